"""Small models of every kind, and how they are trained: for tests of whole trainings."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

import codegen
import symdiff as sd
from symdiff import optimizers
from symdiff.layers import (
    LSTM,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    MaxPool2D,
    Sequential,
)
from symdiff.optimizers import gradient, parameter


def rng():
    return np.random.default_rng(21)


@dataclass
class Model:
    """A loss, its parameters and data, and what a trainer and its fit are told."""

    loss: Any
    start: dict[Any, Any]
    data: dict[Any, Any]
    optimizer: Any = field(default_factory=lambda: optimizers.Adam(0.02))
    options: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=lambda: {"epochs": 2, "batch_size": 3})

    def train(self, **options):
        """The losses of all steps, and the flat parameters."""
        trainer = codegen.Trainer(
            self.loss, self.start, self.optimizer, seed=3, **{**self.options, **options}
        )
        history = trainer.fit(self.data, record="step", **self.fit)
        flat = [np.ravel(value) for value in trainer.parameters.values()]
        return np.array(history.loss), np.concatenate(flat)


def perceptron():
    """Softmax, a rate that depends on the step, a smaller last batch."""
    draw = rng()
    X, t = sd.tensor("X", "n", 3), sd.tensor("t", "n", dtype="int")
    model = Sequential([Dense(4, activation="tanh"), Dense(3)])
    loss = sd.losses.cross_entropy(model(X), t)
    data = {X: draw.normal(size=(7, 3)), t: draw.integers(0, 3, 7)}
    rate = sp.Float(0.1) / (1 + sd.step) + 0.01 * sd.epoch
    return Model(loss, model.parameters, data, optimizers.SGD(rate, momentum=0.9))


def convolutional():
    draw = rng()
    image, t = sd.tensor("image", "n", 1, 5, 5), sd.tensor("t", "n", dtype="int")
    layers = [Conv2D(2, 2, activation="relu"), MaxPool2D(2), Flatten(), Dense(2)]
    model = Sequential(layers)
    loss = sd.losses.cross_entropy(model(image), t)
    data = {image: draw.normal(size=(3, 1, 5, 5)), t: np.array([0, 1, 1])}
    return Model(loss, model.parameters, data, fit={"epochs": 2, "batch_size": 2})


def recurrent():
    draw = rng()
    sequence, t = sd.tensor("sequence", "n", 3, 2), sd.tensor("t", "n", 1)
    model = Sequential([LSTM(2), Dense(1)])
    data = {sequence: draw.normal(size=(4, 3, 2)), t: draw.normal(size=(4, 1))}
    loss = sd.losses.mse(model(sequence), t)
    return Model(loss, model.parameters, data, fit={"epochs": 2, "batch_size": 2})


def clipped():
    """Weights divided by their norm where it is large, and an update of its own."""
    draw = rng()
    X, t, W = sd.tensor("X", "n", 4), sd.tensor("t", "n", 2), sd.tensor("W", 4, 2)
    bounded = W / sp.Max(1, 2 * sd.norm(W))
    rule = optimizers.Optimizer([(parameter, parameter - gradient / sp.Max(1, gradient**2) / 4)])
    data = {X: draw.normal(size=(6, 4)), t: draw.normal(size=(6, 2))}
    return Model(sd.losses.mse(X @ bounded, t), {W: sd.init.normal(0, 0.5)}, data, rule)


def embedding():
    draw = rng()
    i, t = sd.tensor("i", "n", 2, dtype="int"), sd.tensor("t", "n")
    layer = Embedding(5, 3)
    loss = sd.mean((sd.sum(layer(i), axis=(1, 2)) - t) ** 2)
    data = {i: draw.integers(0, 5, (7, 2)), t: draw.normal(size=7)}
    return Model(loss, layer.parameters, data)


def attention():
    draw = rng()
    X, t = sd.tensor("X", "n", 3, 2), sd.tensor("t", "n", 3, 2)
    Q, K, V = (sd.tensor(name, 2, 2) for name in "QKV")
    weights = sd.softmax((X @ Q) @ sd.transpose(X @ K, (0, 2, 1)) / 2, axis=2)
    data = {X: draw.normal(size=(4, 3, 2)), t: draw.normal(size=(4, 3, 2))}
    start = dict.fromkeys((Q, K, V), sd.init.normal(0, 0.5))
    return Model(sd.losses.mse(weights @ (X @ V), t), start, data)


def reductions():
    """Sums over all samples that need each other, in one batch."""
    draw = rng()
    X, w = sd.tensor("X", "n", 3), sd.tensor("w", 3)
    loss = sd.logsumexp(X @ w) + sd.sum(sd.max(sd.tanh(X * w), axis=0)) + sd.var(X @ w)
    data = {X: draw.normal(size=(13, 3))}
    return Model(loss, {w: np.array([0.1, 0.2, 0.3])}, data, fit={"steps": 2})


def normalised():
    """Moving averages that a step changes, and masks of the seed."""
    draw = rng()
    X, t = sd.tensor("X", "n", 3), sd.tensor("t", "n", 1)
    model = Sequential([Dense(4, use_bias=False), BatchNorm(), Dropout(0.4), Dense(1)])
    data = {X: draw.normal(size=(6, 3)), t: draw.normal(size=(6, 1))}
    return Model(sd.losses.mse(model(X), t), model.parameters, data)


def of_samples():
    """The loss of one sample, with numbers that are no vectors."""
    draw = rng()
    a, b, x, y, s = sp.symbols("a b x y s")
    data = {x: draw.normal(size=8), y: draw.normal(size=8), s: 2.0}
    loss = (a * sp.exp(-b * x) - y) ** 2 / s
    return Model(loss, {a: 0.3, b: 0.2}, data, options={"reduction": "sum"})


def matrices():
    """Determinants and systems of equations in a loss without rows."""
    draw = rng()
    S, v = sd.tensor("S", 3, 3), sd.tensor("v", 3)
    A = S @ S.T + sd.eye(3)
    loss = v @ sd.solve(A, v) + sd.logdet(A) / 2 + sd.sum(sd.cumsum(v) ** 2)
    return Model(loss, {S: draw.normal(size=(3, 3)), v: draw.normal(size=3)}, {}, fit={"steps": 2})


SMALL_MODELS = [
    perceptron, convolutional, recurrent, clipped, embedding, attention, reductions, normalised,
    of_samples, matrices,
]  # fmt: skip


TOLERANCE = {"float64": (1e-9, 1e-11), "float32": (1e-4, 1e-5)}


def assert_alike(results, expected, dtype, message=""):
    """Losses and parameters agree but for rounding."""
    for got, want in zip(results, expected, strict=True):
        assert got.shape == want.shape and got.size > 0
        assert np.isfinite(want).all()
        np.testing.assert_allclose(got, want, *TOLERANCE[dtype], err_msg=message)


@functools.cache
def trained_on_the_processor(model, dtype="float64"):
    """What ``target="cpu"`` makes of a model, with the same seed."""
    return model().train(target="cpu", dtype=dtype)
