"""Small models of every kind, and how they are trained: for tests of whole trainings."""

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

RNG = np.random.default_rng(21)


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
    X, t = sd.tensor("X", "n", 3), sd.tensor("t", "n", dtype="int")
    model = Sequential([Dense(4, activation="tanh"), Dense(3)])
    loss = sd.losses.cross_entropy(model(X), t)
    data = {X: RNG.normal(size=(7, 3)), t: RNG.integers(0, 3, 7)}
    rate = sp.Float(0.1) / (1 + sd.step) + 0.01 * sd.epoch
    return Model(loss, model.parameters, data, optimizers.SGD(rate, momentum=0.9))


def convolutional():
    image, t = sd.tensor("image", "n", 1, 5, 5), sd.tensor("t", "n", dtype="int")
    layers = [Conv2D(2, 2, activation="relu"), MaxPool2D(2), Flatten(), Dense(2)]
    model = Sequential(layers)
    loss = sd.losses.cross_entropy(model(image), t)
    data = {image: RNG.normal(size=(3, 1, 5, 5)), t: np.array([0, 1, 1])}
    return Model(loss, model.parameters, data, fit={"epochs": 2, "batch_size": 2})


def recurrent():
    sequence, t = sd.tensor("sequence", "n", 3, 2), sd.tensor("t", "n", 1)
    model = Sequential([LSTM(2), Dense(1)])
    data = {sequence: RNG.normal(size=(4, 3, 2)), t: RNG.normal(size=(4, 1))}
    loss = sd.losses.mse(model(sequence), t)
    return Model(loss, model.parameters, data, fit={"epochs": 2, "batch_size": 2})


def clipped():
    """An update that needs the norm of the whole gradient."""
    X, t, W, b = (
        sd.tensor("X", "n", 4), sd.tensor("t", "n", 2), sd.tensor("W", 4, 2), sd.tensor("b", 2)
    )  # fmt: skip
    norm = sp.sqrt(sd.sum(gradient**2))
    clip = optimizers.Optimizer([(parameter, parameter - gradient / sp.Max(1, 2 * norm) / 4)])
    data = {X: RNG.normal(size=(6, 4)), t: RNG.normal(size=(6, 2))}
    loss = sd.losses.mse(X @ W + b, t) + sd.sum(W**2) / 10
    return Model(loss, {W: sd.init.normal(0, 0.5), b: 0.0}, data, clip)


def embedding():
    i, t = sd.tensor("i", "n", 2, dtype="int"), sd.tensor("t", "n")
    layer = Embedding(5, 3)
    loss = sd.mean((sd.sum(layer(i), axis=(1, 2)) - t) ** 2)
    data = {i: RNG.integers(0, 5, (7, 2)), t: RNG.normal(size=7)}
    return Model(loss, layer.parameters, data)


def attention():
    X, t = sd.tensor("X", "n", 3, 2), sd.tensor("t", "n", 3, 2)
    Q, K, V = (sd.tensor(name, 2, 2) for name in "QKV")
    weights = sd.softmax((X @ Q) @ sd.transpose(X @ K, (0, 2, 1)) / 2, axis=2)
    data = {X: RNG.normal(size=(4, 3, 2)), t: RNG.normal(size=(4, 3, 2))}
    start = dict.fromkeys((Q, K, V), sd.init.normal(0, 0.5))
    return Model(sd.losses.mse(weights @ (X @ V), t), start, data)


def reductions():
    """Sums over all samples that need each other, in one batch."""
    X, w = sd.tensor("X", "n", 3), sd.tensor("w", 3)
    loss = sd.logsumexp(X @ w) + sd.sum(sd.max(sd.tanh(X * w), axis=0)) + sd.var(X @ w)
    data = {X: RNG.normal(size=(13, 3))}
    return Model(loss, {w: np.array([0.1, 0.2, 0.3])}, data, fit={"steps": 2})


def normalised():
    """Moving averages that a step changes, and masks of the seed."""
    X, t = sd.tensor("X", "n", 3), sd.tensor("t", "n", 1)
    model = Sequential([Dense(4, use_bias=False), BatchNorm(), Dropout(0.4), Dense(1)])
    data = {X: RNG.normal(size=(6, 3)), t: RNG.normal(size=(6, 1))}
    return Model(sd.losses.mse(model(X), t), model.parameters, data)


def of_samples():
    """The loss of one sample, with numbers that are no vectors."""
    a, b, x, y, s = sp.symbols("a b x y s")
    data = {x: RNG.normal(size=8), y: RNG.normal(size=8), s: 2.0}
    loss = (a * sp.exp(-b * x) - y) ** 2 / s
    return Model(loss, {a: 0.3, b: 0.2}, data, options={"reduction": "sum"})


def matrices():
    """Determinants and systems of equations in a loss without rows."""
    S, v = sd.tensor("S", 3, 3), sd.tensor("v", 3)
    A = S @ S.T + sd.eye(3)
    loss = v @ sd.solve(A, v) + sd.logdet(A) / 2 + sd.sum(sd.cumsum(v) ** 2)
    return Model(loss, {S: RNG.normal(size=(3, 3)), v: RNG.normal(size=3)}, {}, fit={"steps": 2})


SMALL_MODELS = [
    perceptron, convolutional, recurrent, clipped, embedding, attention, reductions, normalised,
    of_samples, matrices,
]  # fmt: skip
