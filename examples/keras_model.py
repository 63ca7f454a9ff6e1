"""A Keras model in three lines, the same numbers as Keras, and what activations change.

A network 2-2-32-1 without activations learns the mean of two coordinates with Adam, batches of 32
in order, 100 epochs. You learn `sd.layers.Sequential`, Keras' form of Adam, and batches without
shuffling; the loss of every epoch agrees with Keras. Then the same with tanh, relu and sigmoid.

    python examples/keras_model.py --picture keras_model.png
"""

import argparse
import json
from pathlib import Path

import numpy as np

import codegen
import symdiff as sd

# A run of Keras 3.15 in float32: its initial weights, and its loss in every epoch.
KERAS = json.loads((Path(__file__).parent / "data" / "keras_linear.json").read_text("utf-8"))
ACTIVATIONS = ["linear", "tanh", "relu", "sigmoid"]


def make_data():
    """1000 points near the diagonal of the unit square; y is the mean of their coordinates."""
    random = np.random.RandomState(0)
    line = np.linspace(0, 1, 1000)
    x = np.stack([line + random.uniform(-0.05, 0.05, 1000) for _ in range(2)], axis=1)
    return x, x.mean(axis=1, keepdims=True)


def main(picture="keras_model.png", epochs=100):
    x_data, y_data = make_data()
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    histories, trainers = {}, {}
    for activation in ACTIVATIONS:
        model = sd.layers.Sequential(
            [
                sd.layers.Dense(2, activation),
                sd.layers.Dense(32, activation),
                sd.layers.Dense(1),
            ]
        )
        loss = sd.losses.mse(model(X), y)
        # Every network starts from the weights that Keras drew; model.parameters alone would
        # draw new ones, and sd.init has Keras' initialisers.
        start = dict(zip(model.parameters, KERAS["init"], strict=True))
        optimizer = sd.optimizers.Adam(5e-4, convention="keras")
        trainer = codegen.Trainer(loss, start, optimizer, dtype="float32")
        if activation in ("linear", "tanh"):
            heading(f"The gradients with activation {activation}")
            print(sd.derive(loss, list(model.parameters)))
        history = trainer.fit({X: x_data, y: y_data}, epochs=epochs, batch_size=32, shuffle=False)
        histories[activation], trainers[activation] = history, trainer

    heading("Mean squared error of an epoch: linear, and Keras' own run")
    print(f"{'epoch':>6}{'here':>14}{'Keras':>14}{'difference':>12}")
    for epoch in shown_epochs(epochs):
        here = histories["linear"].loss[epoch - 1]
        keras = KERAS["keras_epoch_loss"][epoch - 1]
        print(f"{epoch:6}{here:14.6e}{keras:14.6e}{here / keras - 1:12.1e}")

    heading("Mean squared error of an epoch with each activation")
    print(f"{'epoch':>6}" + "".join(f"{name:>12}" for name in ACTIVATIONS))
    for epoch in shown_epochs(epochs):
        cells = (histories[name].loss[epoch - 1] for name in ACTIVATIONS)
        print(f"{epoch:6}" + "".join(f"{cell:12.2e}" for cell in cells))
    print("\nThe target is linear, so the network without activations has the easiest task.")

    if picture:
        save_picture(picture, histories)
    return {"histories": histories, "trainers": trainers}


def shown_epochs(epochs):
    return [epoch for epoch in (1, 2, 5, 10, 20, 50, 100) if epoch <= epochs]


def heading(text):
    print(f"\n{text}\n{'─' * len(text)}")


def save_picture(path, histories):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so there is no picture: pip install matplotlib")
        return
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, history in histories.items():
        axes.semilogy(np.arange(1, len(history.loss) + 1), history.loss, label=name)
    keras = KERAS["keras_epoch_loss"][: len(histories["linear"].loss)]
    axes.semilogy(np.arange(1, len(keras) + 1), keras, "k.", markersize=4, label="linear, in Keras")
    axes.set(xlabel="epoch", ylabel="mean squared error", title="Network 2-2-32-1, Adam(5e-4)")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    print(f"\nThe picture is in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A Keras model and its activations.")
    parser.add_argument("--picture", default="keras_model.png", metavar="PATH")
    parser.add_argument("--epochs", type=int, default=100)
    main(**vars(parser.parse_args()))
