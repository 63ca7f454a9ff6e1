"""Two recipes of the TensorFlow 2 cookbook, step by step as the book prints them.

A line and a classifier are fitted by stochastic gradient descent, one random point per step
(*Machine Learning Using TensorFlow Cookbook*, chapter 2). You learn how to write a loss of plain
SymPy symbols, how to give the trainer the samples of every step, how to go on with a second
`fit`, and that float32 training here and in TensorFlow agree to the last digits.

    python examples/tensorflow2_recipes.py --picture tensorflow2_recipes.png
"""

import argparse

import numpy as np
import sympy as sp

import codegen
import symdiff as sd

RATE = 0.02

# Where TensorFlow's random numbers let the book's run begin.
WEIGHT, BIAS = -1.1012202501296997, 0.40308788418769836

# What the book prints: step, weight, bias, loss.
BOOK = {
    "regression": [
        (25, -0.58009654, 0.91217995, 0.13842473924160004),
        (50, -0.5050226, 0.9813488, 0.006441597361117601),
        (75, -0.4791306, 0.9942327, 0.01728087291121483),
        (100, -0.4777394, 0.9807473, 0.05371852591633797),
    ],
    "classification": [
        (25, -0.01804185, 0.44081175, 0.5967269539833069),
        (50, 0.49321094, 0.37732077, 0.3199256658554077),
        (75, 0.7071932, 0.32154965, 0.03642747551202774),
        (100, 0.8395616, 0.30409005, 0.028119442984461784),
    ],
}


def make_data(name):
    """The book's data: x, y and the point that each of 100 steps draws."""
    random = np.random.RandomState(0)
    if name == "regression":
        x = random.normal(1, 0.1, 100).astype(np.float32)
        y = (x * (random.normal(1, 0.05, 100) - 0.5)).astype(np.float32)
    else:
        x = np.concatenate([random.normal(-3, 1, 50), random.normal(3, 1, 50)]).astype(np.float32)
        y = np.repeat([0.0, 1.0], 50).astype(np.float32)
    return x, y, np.random.RandomState(0).choice(100, 100)


def run(name, loss, symbols):
    """Train one recipe; returns weight, bias and loss of every step."""
    x, y, weight, bias = symbols
    heading(f"{name.capitalize()}: the loss of one point and its gradients")
    print(sd.derive(loss, [weight, bias]))
    print()

    x_data, y_data, index = make_data(name)
    trainer = codegen.Trainer(
        loss, {weight: WEIGHT, bias: BIAS}, sd.optimizers.SGD(RATE), dtype="float32"
    )
    path = []
    for point in index:  # one step a time, to see the parameters after each
        history = trainer.fit({x: x_data, y: y_data}, order=[[point]], record="step")
        path.append((trainer.parameters[weight], trainer.parameters[bias], history.loss[0]))
    path = np.array(path)

    print(f"{'':6}{'weight':>26}{'bias':>26}{'loss':>26}")
    print(f"{'step':6}" + f"{'here':>13}{'book':>13}" * 3)
    for step, *book in BOOK[name]:
        pairs = zip(path[step - 1], book, strict=True)
        print(f"{step:<6}" + "".join(f"{here:13.7f}{there:13.7f}" for here, there in pairs))
    return {"x": x_data, "y": y_data, "path": path, "trainer": trainer}


def main(picture="tensorflow2_recipes.png"):
    x, y, weight, bias = symbols = sp.symbols("x y w b")
    line = weight * x + bias
    results = {
        "regression": run("regression", (line - y) ** 2, symbols),
        "classification": run("classification", sd.losses.binary_cross_entropy(line, y), symbols),
    }
    for result in results.values():
        grid = np.linspace(result["x"].min(), result["x"].max(), 200)
        curve = result["trainer"].predict(line, {x: grid})
        result["curve"] = grid, curve
    labels = results["classification"]["y"]
    sure = results["classification"]["trainer"].predict(
        sd.sigmoid(line), {x: results["classification"]["x"]}
    )
    accuracy = float(np.mean((sure > 0.5) == labels))
    print(f"\nThe classifier is right for {accuracy:.0%} of the points.")
    if picture:
        save_picture(picture, results)
    return results | {"accuracy": accuracy}


def heading(text):
    print(f"\n{text}\n{'─' * len(text)}")


def save_picture(path, results):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so there is no picture: pip install matplotlib")
        return
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    grid = figure.subplots(2, 3)
    for row, (name, result) in zip(grid, results.items(), strict=True):
        x, y = result["x"], result["y"]
        left, middle, right = row
        points, curve = result["curve"]
        if name == "regression":
            left.hist([x, y], bins=24, histtype="stepfilled", alpha=0.6, label=["x", "y"])
            middle.scatter(x, y, s=14, alpha=0.6, label="data")
            middle.plot(points, curve, "tab:red", label="w x + b")
        else:
            kinds = [x[y == 0], x[y == 1]]
            left.hist(kinds, bins=24, histtype="stepfilled", alpha=0.6, label=["y = 0", "y = 1"])
            middle.scatter(x, y, s=14, alpha=0.6, label="data")
            middle.plot(points, 1 / (1 + np.exp(-curve)), "tab:red", label="σ(w x + b)")
        left.set(xlabel="value" if name == "regression" else "x", ylabel="points")
        left.set_title(f"{name.capitalize()}: the data")
        middle.set(xlabel="x", ylabel="y", title="The model after 100 steps")
        steps = np.arange(1, 101)
        right.plot(steps, result["path"][:, 2], label="here")
        book = np.array(BOOK[name])
        right.plot(book[:, 0], book[:, 3], "k.", markersize=9, label="the book")
        right.set(xlabel="step", ylabel="loss of the step's point", title="Loss")
        for axes in row:
            axes.grid(alpha=0.3)
            axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    print(f"The picture is in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two recipes of the TensorFlow 2 cookbook.")
    parser.add_argument("--picture", default="tensorflow2_recipes.png", metavar="PATH")
    main(**vars(parser.parse_args()))
