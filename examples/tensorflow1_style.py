"""Regression and classification as in the first TensorFlow tutorials: one parameter each.

A number A is learned from random points, one point per step. You learn that a loss of plain SymPy
symbols is the loss of one sample, what its derivation looks like, and how to train in stages: a
second `fit` goes on where the first one stopped.

    python examples/tensorflow1_style.py --picture tensorflow1_style.png
"""

import argparse

import numpy as np
import sympy as sp

import codegen
import symdiff as sd

x, y, A = sp.symbols("x y A")


def train(loss, start, rate, data, steps, stages, random):
    """Train A with one random point per step; print it after each stage."""
    trainer = codegen.Trainer(loss, {A: start}, sd.optimizers.SGD(rate))
    samples = len(data[x])
    losses, values = [], [start]
    print(f"{'step':>6}{'A':>10}{'loss of the last point':>26}")
    print(f"{0:6}{start:10.4f}")
    for stage in range(1, stages + 1):
        # One row for each step, which names the samples that the step sees.
        order = random.integers(samples, size=(steps // stages, 1))
        losses += trainer.fit(data, order=order, record="step").loss
        values.append(float(trainer.parameters[A]))
        print(f"{stage * len(order):6}{values[-1]:10.4f}{losses[-1]:26.4f}")
    return {"trainer": trainer, "loss": losses, "A": values}


def regression(random):
    """Find A such that A x is 10 for x near 1."""
    heading("Regression: loss (A·x − y)² of one point")
    loss = (A * x - y) ** 2
    print(sd.derive(loss, A), end="\n\n")
    data = {x: random.normal(1, 0.1, 100), y: np.full(100, 10.0)}
    start = random.normal()
    result = train(loss, start, 0.02, data, steps=100, stages=10, random=random)
    print(f"A should be near 10: it is {result['A'][-1]:.2f}.")
    return result | {"data": data}


def classification(random):
    """Find A such that σ(x + A) tells two clouds of points apart."""
    heading("Classification: cross-entropy of σ(x + A) for one point")
    loss = sd.losses.binary_cross_entropy(x + A, y)
    print(sd.derive(loss, A), end="\n\n")
    points = np.concatenate([random.normal(-1, 1, 50), random.normal(3, 1, 50)])
    data = {x: points, y: np.repeat([0.0, 1.0], 50)}
    start = random.normal(10, 1)
    result = train(loss, start, 0.05, data, steps=1400, stages=14, random=random)
    probability = result["trainer"].predict(sd.sigmoid(x + A), {x: points})
    accuracy = float(np.mean((probability > 0.5) == data[y]))
    print(f"A should be near −1: it is {result['A'][-1]:.2f}; accuracy {accuracy:.0%}.")
    return result | {"data": data, "accuracy": accuracy}


def main(picture="tensorflow1_style.png", seed=11):
    random = np.random.default_rng(seed)
    results = {"regression": regression(random), "classification": classification(random)}
    if picture:
        save_picture(picture, results)
    return results


def heading(text):
    print(f"\n{text}\n{'─' * len(text)}")


def save_picture(path, results):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so there is no picture: pip install matplotlib")
        return
    figure = Figure(figsize=(10, 6), layout="constrained")
    for row, (name, result) in zip(figure.subplots(2, 2), results.items(), strict=True):
        left, right = row
        losses = np.array(result["loss"])
        steps = np.arange(1, len(losses) + 1)
        left.plot(steps, losses, ".", markersize=3, alpha=0.5, label="loss of the step's point")
        width = max(len(losses) // 20, 1)
        smooth = np.convolve(losses, np.ones(width) / width, "valid")
        left.plot(steps[width - 1 :], smooth, label=f"mean of {width} steps")
        left.set(xlabel="step", ylabel="loss", title=f"{name.capitalize()}: loss")
        stages = np.linspace(0, len(losses), len(result["A"]))
        right.plot(stages, result["A"], "o-", color="tab:green", label="A")
        goal = 10 if name == "regression" else -1
        right.axhline(goal, color="gray", linestyle="--", label=f"goal {goal}")
        right.set(xlabel="step", ylabel="A", title=f"{name.capitalize()}: A")
        for axes in row:
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    print(f"\nThe picture is in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Regression and classification, one parameter.")
    parser.add_argument("--picture", default="tensorflow1_style.png", metavar="PATH")
    parser.add_argument("--seed", type=int, default=11)
    main(**vars(parser.parse_args()))
