"""XOR with a network 2-3-1, and the graph of the loss before and after differentiation.

Four points, sigmoid units, the sum of squares as loss, gradient descent with rate 1.0: the
classic first network. You learn how to look at a derivation as data: the steps forward, and for
each the steps that the gradient adds, which know what they are the adjoint of (`step.of`).

    python examples/xor.py --picture xor.png
"""

import argparse

import numpy as np

import codegen
import symdiff as sd

POINTS = np.array([[0, 0], [1, 1], [1, 0], [0, 1]])
ANSWERS = np.array([0, 0, 1, 1])

# The loss after so many steps of TensorFlow, in float32, from the same two starts.
TENSORFLOW = {
    0: {0: 1.5211977, 1: 1.1695483, 10: 0.9984828, 100: 0.9770981, 200: 0.6735240,
        300: 0.0765849, 400: 0.0241742, 500: 0.0135252},
    1: {0: 1.3320756, 1: 1.0432762, 10: 0.9995319, 100: 0.9975541, 200: 0.9509780,
        300: 0.5988805, 400: 0.0602085, 500: 0.0217925},
}  # fmt: skip


def make_start(seed):
    """W1, b1, w2, b2, uniform between 0.1 and 0.9."""
    random = np.random.RandomState(seed)
    return [random.uniform(0.1, 0.9, size).astype(np.float32) for size in [(2, 3), 3, 3, ()]]


def main(picture="xor.png", steps=500, dtype="float32"):
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n")
    W1, b1, w2, b2 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3), sd.tensor("w2", 3), sd.tensor("b2")
    parameters = [W1, b1, w2, b2]
    output = sd.sigmoid(sd.sigmoid(X @ W1 + b1) @ w2 + b2)
    loss = sd.sum((output - y) ** 2)

    derivation = sd.derive(loss, parameters)
    heading("The loss L = Σ (output − y)² and its gradients")
    print(derivation)
    heading("The graph: nodes of the loss, and what the gradient adds for each")
    print_graph(derivation)

    data = {X: POINTS, y: ANSWERS}
    draws = []
    for seed, reference in TENSORFLOW.items():
        heading(f"Draw {seed}: {steps} steps of gradient descent with rate 1.0")
        start = dict(zip(parameters, make_start(seed), strict=True))
        trainer = codegen.Trainer(loss, start, sd.optimizers.SGD(1.0), dtype=dtype)
        losses = trainer.fit(data, steps=steps, record="step").loss
        losses.append(float(trainer.predict(loss, data)))  # the record has L before every step
        print(f"{'step':>6}{'loss':>14}{'TensorFlow':>14}")
        for step, value in reference.items():
            if step <= steps:
                print(f"{step:6}{losses[step]:14.7f}{value:14.7f}")
        answers = trainer.predict(output, {X: POINTS})
        for point, answer in zip(POINTS, answers, strict=True):
            print(f"  {point[0]} xor {point[1]} = {answer:.3f}")
        draws.append({"loss": losses, "answers": answers, "trainer": trainer})
    if picture:
        plane = np.stack(np.meshgrid(np.linspace(-0.3, 1.3, 81), np.linspace(-0.3, 1.3, 81)), -1)
        for draw in draws:
            values = draw["trainer"].predict(output, {X: plane.reshape(-1, 2)})
            draw["plane"] = values.reshape(plane.shape[:2])
        save_picture(picture, draws)
    return {"derivation": derivation, "draws": draws}


def print_graph(derivation):
    """Each forward step, and below it the steps backward that were added for it."""
    forward = [step for step in derivation.steps if step.phase == "forward"]
    backward = [step for step in derivation.steps if step.phase == "backward"]
    for step in forward:
        print(f"{step.symbol!s:6} = {step.expression!s:42} {step.rule}")
        for added in backward:
            if added.of is step:
                factor = "" if added.factor == 1 else f"{added.factor} · "
                meaning = f"{factor}{added.symbol} is ∂L/∂{step.symbol}"
                print(f"   + {added.symbol!s:6} = {added.expression!s:37} {meaning}")
    print("and for no single one")
    for added in backward:
        if added.of is None:
            print(f"   + {added.symbol!s:6} = {added.expression!s:37} {added.rule}")
    for parameter, gradient in derivation.gradients.items():
        print(f"{parameter}\n   + ∂L/∂{parameter!s:2} = {gradient}")
    counts = derivation.operations()
    words = ", ".join(f"{count} {name}" for name, count in counts["backward"].items())
    total = sum(counts["forward"].values())
    print(f"\n{total} operations for the loss; the gradients add {words}.")


def heading(text):
    print(f"\n{text}\n{'─' * len(text)}")


def save_picture(path, draws):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so there is no picture: pip install matplotlib")
        return
    figure = Figure(figsize=(12, 4), layout="constrained")
    left, *planes = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
    for number, draw in enumerate(draws):
        left.semilogy(draw["loss"], label=f"draw {number}")
        reference = TENSORFLOW[number]
        left.plot(list(reference), list(reference.values()), "k.")
    left.plot([], [], "k.", label="TensorFlow")
    left.set(xlabel="step", ylabel="sum of squares", title="Loss")
    left.grid(alpha=0.3)
    left.legend(frameon=False)
    for number, (axes, draw) in enumerate(zip(planes, draws, strict=True)):
        image = axes.imshow(
            draw["plane"], origin="lower", extent=(-0.3, 1.3, -0.3, 1.3), cmap="RdBu",
            vmin=0, vmax=1,
        )  # fmt: skip
        axes.scatter(*POINTS.T, c=ANSWERS, cmap="RdBu", vmin=0, vmax=1, edgecolors="black", s=90)
        axes.set(title=f"Draw {number}: the output", xticks=[0, 1], yticks=[0, 1])
    figure.colorbar(image, ax=planes)
    figure.savefig(path, dpi=130)
    print(f"\nThe picture is in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train XOR and show the graph of its gradient.")
    parser.add_argument("--picture", default="xor.png", metavar="PATH")
    parser.add_argument("--steps", type=int, default=500)
    main(**vars(parser.parse_args()))
