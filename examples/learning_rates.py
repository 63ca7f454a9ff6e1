"""Learning rates and optimizers, compared on one line through 100 points.

Fitting w·x + b where all x lie near 1 makes a long narrow valley: w and b can trade places almost
for free. You learn what the rate does there, what momentum, Nesterov's momentum, Adagrad and
Adadelta change, that each of them prints its update equations, that a rate may be an expression
in `sd.step`, and how to follow the parameters with a callback.

    python examples/learning_rates.py --picture learning_rates.png
"""

import argparse

import numpy as np
import sympy as sp

import codegen
import symdiff as sd

RATES = [0.001, 0.02, 0.4, 0.52]
OPTIMIZERS = {
    "gradient descent": sd.optimizers.SGD(0.02),
    "momentum": sd.optimizers.SGD(0.02, momentum=0.9),
    "Nesterov": sd.optimizers.SGD(0.02, momentum=0.9, nesterov=True),
    "Adagrad": sd.optimizers.Adagrad(0.2),
    "Adadelta": sd.optimizers.Adadelta(1.0),
    "falling rate": sd.optimizers.SGD(0.4 / (1 + sd.step / 50)),
}
START = (-1.0, 0.5)

x, y, w, b = sp.symbols("x y w b")
LOSS = (w * x + b - y) ** 2


def train(optimizer, data, steps):
    """Full-batch training; the callback notes where the parameters are after every step."""
    trainer = codegen.Trainer(LOSS, {w: START[0], b: START[1]}, optimizer)
    path = [START]

    def note(trainer, history):
        path.append((trainer.parameters[w], trainer.parameters[b]))

    losses = trainer.fit(data, epochs=steps, callback=note).loss
    return {"loss": losses, "path": np.array(path, dtype=float)}


def main(picture="learning_rates.png", steps=400):
    random = np.random.RandomState(0)
    x_data = random.normal(1, 0.1, 100)
    data = {x: x_data, y: x_data * (random.normal(1, 0.05, 100) - 0.5)}
    slope, intercept = np.polyfit(data[x], data[y], 1)
    least = float(np.mean((slope * data[x] + intercept - data[y]) ** 2))

    heading("The loss of one point and its gradients")
    print(sd.derive(LOSS, [w, b]))

    heading("Update equations: w is the parameter, g its gradient")
    for name, optimizer in OPTIMIZERS.items():
        print(f"{name}\n    " + str(optimizer).replace("\n", "\n    "))

    rates = {rate: train(sd.optimizers.SGD(rate), data, steps) for rate in RATES}
    optimizers = {name: train(optimizer, data, steps) for name, optimizer in OPTIMIZERS.items()}

    heading(f"Mean squared error; the least possible is {least:.5f}")
    shown = [k for k in (1, 10, 50, 100, 200, steps) if k <= steps]
    print(f"{'':24}" + "".join(f"{f'step {k}':>11}" for k in shown))
    named = {f"gradient descent, {r}": result for r, result in rates.items()}
    for name, result in {**named, **optimizers}.items():
        print(f"{name:24}" + "".join(f"{result['loss'][k - 1]:11.4g}" for k in shown))
    print("\nA small rate creeps, one that is too large runs away; momentum walks along the valley")
    print("as fast as a rate ten times as large, and further from the cliff.")

    if picture:
        save_picture(picture, rates, optimizers, slope, least)
    return {"rates": rates, "optimizers": optimizers, "least": least}


def heading(text):
    print(f"\n{text}\n{'─' * len(text)}")


def save_picture(path, rates, optimizers, slope, least):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so there is no picture: pip install matplotlib")
        return
    figure = Figure(figsize=(14, 4.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for rate, result in rates.items():
        loss = np.minimum(result["loss"], 1e6)  # matplotlib cannot draw what runs away to inf
        left.loglog(np.arange(1, len(loss) + 1), loss, label=f"rate {rate}")
    left.set(ylim=(least / 2, 1e2), title="Gradient descent: the rate")
    for name, result in optimizers.items():
        middle.loglog(np.arange(1, len(result["loss"]) + 1), result["loss"], label=name)
    middle.set(ylim=(least / 2, 10), title="Optimizers")
    for axes in (left, middle):
        axes.axhline(least, color="gray", linestyle="--", linewidth=1)
        axes.set(xlabel="step", ylabel="mean squared error")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=9)

    for name, result in optimizers.items():
        right.plot(result["path"][:, 0], label=name)
    right.axhline(slope, color="gray", linestyle="--", linewidth=1, label="the best line")
    right.set(xlabel="step", ylabel="w", title="The slope w, the slow direction")
    right.grid(alpha=0.3)
    right.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    print(f"The picture is in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare learning rates and optimizers.")
    parser.add_argument("--picture", default="learning_rates.png", metavar="PATH")
    parser.add_argument("--steps", type=int, default=400)
    main(**vars(parser.parse_args()))
