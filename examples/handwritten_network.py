"""A network whose gradient was written by hand, and wrongly.

A small network 2-3-1 is trained by gradient descent on L = -Σ log σ(y·f(x)), with a gradient that
somebody derived on paper. The loss does fall, so nobody notices. You learn how
`sd.check_gradient` finds such a mistake, how to find out which loss the gradient does belong to,
what the right gradient achieves, and that 200 000 steps of it take seconds.

    python examples/handwritten_network.py --picture handwritten_network.png
"""

import argparse
import time

import numpy as np
import sympy as sp

import codegen
import symdiff as sd

RATE = 1e-4

# L after so many steps, from a separate program in plain NumPy.
REFERENCE_RIGHT = {
    0: 505.7640086098065,
    500: 132.72066677017818,
    1000: 99.78343994060768,
    2000: 75.92649630523721,
    10000: 42.91993489246827,
    20000: 34.64840601037921,
    30000: 30.83097882019184,
    40000: 28.491037722815474,
    50000: 26.862819629251433,
    60000: 25.644462842058726,
}
REFERENCE_HANDWRITTEN = {
    0: 505.7640086098065,
    500: 406.26511976087,
    1000: 403.0154556407232,
    2000: 386.65894401971804,
    10000: 340.1392420405571,
    20000: 334.5812355133887,
    30000: 332.3059460305799,
    40000: 330.8740178786014,
    50000: 329.80060192693094,
    60000: 328.9618398885273,
}


def handwritten_gradient(x, y, W1, b1, W2, b2):
    """The gradient as it was written by hand. Can you see the mistake?"""
    h = 1 / (1 + np.exp(-(x @ W1 + b1)))
    f = h @ W2 + b2
    df = -y * (1 - y * f)
    dh = np.outer(df, W2) * h * (1 - h)
    return x.T @ dh, dh.sum(axis=0), h.T @ df, df.sum()


def make_data():
    """1000 points near the diagonal of the unit square; y is the mean of their coordinates."""
    random = np.random.RandomState(0)
    line = np.linspace(0, 1, 1000)
    x = np.stack([line + random.uniform(-0.05, 0.05, 1000) for _ in range(2)], axis=1)
    return x, x.mean(axis=1)


def make_start():
    """Initial W1, b1, W2, b2: normal numbers, divided by the square of how many they are."""
    random = np.random.RandomState(0)
    return [random.randn(*s) / np.prod(s) ** 2 for s in [(2, 3), (3,), (3,), ()]]


def main(picture="handwritten_network.png", steps=200_000, progress=True):
    x_data, y_data = make_data()
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n")
    W1, b1, W2, b2 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3), sd.tensor("W2", 3), sd.tensor("b2")
    parameters = [W1, b1, W2, b2]
    start = dict(zip(parameters, make_start(), strict=True))
    data = {X: x_data, y: y_data}
    values = {**data, **start}

    f = sd.sigmoid(X @ W1 + b1) @ W2 + b2
    loss = -sd.sum(sd.log_sigmoid(y * f))

    heading("The loss L = -Σ log σ(y·f(x)) and its gradients")
    print(sd.derive(loss, parameters))

    heading("Finite differences judge")
    error = sd.check_gradient(loss, parameters, values)
    print(f"derived:       right, largest relative error {error:.1e}")
    mismatch = None
    try:
        sd.check_gradient(loss, parameters, values, gradient=handwritten_gradient)
    except sd.GradientMismatch as caught:
        mismatch = caught
        print(f"hand-written:  {type(caught).__name__}: {caught}")

    heading("What is the hand-written gradient the gradient of?")
    fi, yi = sp.symbols("f y")
    written = -yi * (1 - yi * fi)
    implied = sp.factor(sp.integrate(written, fi) + sp.Rational(1, 2))
    print(f"derived, for one point:   ∂L/∂f = {sd.gradient(-sd.log_sigmoid(yi * fi), fi)}")
    print(f"hand-written:             ∂L/∂f = {written}       a sigmoid is missing")
    print(f"integrated over f:            L = {implied}")
    half_square = sd.sum((y * f - 1) ** 2) / 2
    error_implied = sd.check_gradient(half_square, parameters, values, handwritten_gradient)
    print(f"So it is the exact gradient of ½ Σ (y·f(x) − 1)²: largest error {error_implied:.1e}.")

    heading(f"{steps} steps of gradient descent with rate {RATE}, 1000 points in each")
    trainer = codegen.Trainer(loss, start, sd.optimizers.SGD(RATE))
    began = time.perf_counter()
    right = trainer.fit(data, steps=steps, record="step", progress=progress).loss
    seconds = time.perf_counter() - began
    right.append(float(trainer.predict(loss, data)))  # the record has L before every step
    print(f"{seconds:.1f} s, or {1e6 * seconds / steps:.1f} µs a step, compiling included")

    # The hand-written gradient descends on ½ Σ (y·f − 1)²; meanwhile we look at L.
    trainer = codegen.Trainer(half_square, start, sd.optimizers.SGD(RATE))
    last = min(steps, max(REFERENCE_HANDWRITTEN))
    look = {int(k) for k in np.geomspace(1, last, 60)}
    handwritten, done = {}, 0
    for k in sorted(look | {k for k in REFERENCE_HANDWRITTEN if k <= last}):
        trainer.fit(data, steps=k - done)
        handwritten[k], done = float(trainer.predict(loss, data)), k

    print(f"\n{'':8}{'L by the right gradient':^28}{'L by the hand-written one':^28}")
    print(f"{'steps':>8}" + f"{'here':>14}{'reference':>14}" * 2)
    for k in sorted({*REFERENCE_RIGHT, 100_000, steps}):
        if k <= steps:
            cells = [right[k], REFERENCE_RIGHT.get(k)]
            cells += [handwritten.get(k), REFERENCE_HANDWRITTEN.get(k)]
            print(f"{k:8}" + "".join(" " * 14 if c is None else f"{c:14.6f}" for c in cells))
    print("\nThe hand-written gradient gets stuck: it pulls every y·f towards 1, while L wants")
    print("y·f as large as it can be.")

    if picture:
        save_picture(picture, right, handwritten)
    return {
        "mismatch": mismatch,
        "error": error,
        "error_implied": error_implied,
        "right": right,
        "handwritten": handwritten,
        "parameters": trainer.parameters,
        "seconds": seconds,
    }


def heading(text):
    print(f"\n{text}\n{'─' * len(text)}")


def save_picture(path, right, handwritten):
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so there is no picture: pip install matplotlib")
        return
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.loglog(list(handwritten), list(handwritten.values()), label="the hand-written gradient")
    axes.loglog(np.arange(len(right)), right, label="the right gradient")
    for reference in (REFERENCE_HANDWRITTEN, REFERENCE_RIGHT):
        steps = [k for k in reference if 0 < k < len(right)]
        axes.plot(steps, [reference[k] for k in steps], "k.", zorder=3)
    axes.plot([], [], "k.", label="a separate program in NumPy")
    axes.set(
        xlabel="step",
        ylabel="L = −Σ log σ(y·f(x))",
        title="The loss falls with both; that proves nothing",
        xlim=(1, None),
    )
    axes.grid(alpha=0.3, which="both")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=130)
    print(f"The picture is in {path}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Find the mistake in a hand-written gradient.")
    parser.add_argument("--picture", default="handwritten_network.png", metavar="PATH")
    parser.add_argument("--steps", type=int, default=200_000)
    main(**vars(parser.parse_args()))
