"""Losses whose printed derivations are read back: textbook forms, networks, and every notation."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

import symdiff as sd
from symdiff import losses


@dataclass
class Printed:
    """A loss, what it is derived by, and values of all its symbols."""

    loss: Any
    parameters: list[Any]
    values: dict[Any, Any]


def draw(*shape):
    seed = sum((i + 1) * d for i, d in enumerate(shape))
    return np.random.default_rng(seed).normal(size=shape)


n = 5
X, w, v, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("v", 3), sd.tensor("y", "n")
b, lam, a, x, mu, s = sp.symbols("b lambda a x mu s")
A, B, S = sd.tensor("A", 3, 3), sd.tensor("B", 3, 3), sd.tensor("S", 3, 3)
W1, b1, W2, b2 = (
    sd.tensor("W1", 3, 4),
    sd.tensor("b1", 4),
    sd.tensor("W2", 4, 2),
    sd.tensor("b2", 2),
)
W3, b3 = sd.tensor("W3", 2, 3), sd.tensor("b3", 3)
t = sd.tensor("t", "n", dtype="int")
VALUES = {
    X: draw(n, 3), w: draw(3), v: draw(3) + 0.3, y: draw(n), b: 0.4, lam: 0.3, a: 0.7, x: -0.6,
    mu: 0.2, s: 1.3, A: draw(3, 3), B: draw(3, 3) + 0.1,
    S: draw(3, 3) @ draw(3, 3).T + 3 * np.eye(3), W1: draw(3, 4), b1: draw(4), W2: draw(4, 2),
    b2: draw(2), W3: draw(2, 3), b3: draw(3) - 0.2, t: np.array([0, 1, 1, 0, 1]),
}  # fmt: skip

image, kernel = sd.tensor("image", 2, 2, 5, 5), sd.tensor("kernel", 3, 2, 2, 2)
signal, filter_ = sd.tensor("signal", 2, 2, 7), sd.tensor("k", 3, 2, 3)
E = sd.tensor("E", 4, 3)
i = sd.tensor("i", "n", dtype="int")
Q, K, V = (sd.tensor(name, "n", 3) for name in "QKV")
VALUES |= {
    image: draw(2, 2, 5, 5), kernel: draw(3, 2, 2, 2), signal: draw(2, 2, 7),
    filter_: draw(3, 2, 3), E: draw(4, 3), i: np.array([0, 3, 1, 3, 2]), Q: draw(n, 3),
    K: draw(n, 3) + 0.1, V: draw(n, 3) - 0.1,
}  # fmt: skip
lstm_x, h, c = sd.tensor("x", 3), sd.tensor("h", 4), sd.tensor("c", 4)
gates = {
    g: (sd.tensor(f"W_{g}", 3, 4), sd.tensor(f"U_{g}", 4, 4), sd.tensor(f"b_{g}", 4))
    for g in "ifog"
}
VALUES |= {lstm_x: draw(3), h: draw(4), c: draw(4) - 0.5}
for number, tensors in enumerate(gates.values()):
    VALUES |= {g: draw(*sd.shape(g)) / 2 + number / 10 for g in tensors}


def network(activation):
    return activation(X @ W1 + b1) @ W2 + b2


def lstm_step():
    def gate(name, activation):
        W, U, bias = gates[name]
        return activation(lstm_x @ W + h @ U + bias)

    after = gate("f", sd.sigmoid) * c + gate("i", sd.sigmoid) * gate("g", sd.tanh)
    hidden = gate("o", sd.sigmoid) * sd.tanh(after)
    return sd.sum(hidden**2) / 2


def layer_norm():
    z = X @ W1
    centred = z - sd.mean(z, axis=1, keepdims=True)
    variance = sd.mean(centred**2, axis=1, keepdims=True)
    return sd.sum((centred / sp.sqrt(variance + 1e-3)) ** 3)


def recurrent():
    last, _ = sd.scan(lambda carry, element: (sd.tanh(element + carry @ A), carry), v, X)
    return sd.sum(last**2)


r = X @ w - y
deep = sd.relu(sd.tanh(X @ W1 + b1) @ W2 + b2) @ W3 + b3
ONE_LAYER = [W1, b1, W2, b2]
LOSSES = {
    "linear regression": (sd.sum(r**2), [w]),
    "mean squares with offset": (losses.mse(X @ w + b, y), [w, b]),
    "ridge": (sd.sum(r**2) + lam * sd.sum(w**2), [w, lam]),
    "lasso": (sd.mean(r**2) / 2 + lam * sd.sum(sp.Abs(w)), [w]),
    "huber": (losses.huber(X @ w, y), [w]),
    "logistic regression": (losses.binary_cross_entropy(X @ w + b, sd.sigmoid(y)), [w, b]),
    "poisson": (losses.poisson(X @ w, y**2), [w]),
    "hinge": (losses.hinge(X @ w, y), [w]),
    "2-3-1": (sd.sum((sd.sigmoid(X @ W1 + b1) @ b1 + b - y) ** 2) / 2, [W1, b1, b]),
    "softmax network": (
        losses.cross_entropy(network(sd.tanh), t) + 1e-3 * sd.sum(W1**2),
        ONE_LAYER,
    ),
    "relu network": (losses.cross_entropy(network(sd.relu), t), ONE_LAYER),
    "deep network": (
        losses.cross_entropy(deep, t) + lam * (sd.sum(W1**2) + sd.sum(W2**2)),
        [*ONE_LAYER, W3, b3],
    ),
    "elu network": (sd.mean(network(sd.elu) ** 2), ONE_LAYER),
    "gaussian": (sp.log(s) + (x - mu) ** 2 / (2 * s**2), [mu, s]),
    "gaussian of samples": (n * sp.log(s) + sd.sum((y - mu) ** 2) / (2 * s**2), [mu, s]),
    "multivariate gaussian": ((w - v) @ sd.solve(S, w - v) / 2 + sd.logdet(S) / 2, [v, S]),
    "curve": ((a * sp.exp(-b * x) - s) ** 2, [a, b]),
    "quadratic form": (w @ A @ w, [w, A]),
    "bilinear": (w @ A @ v, [w, A, v]),
    "trace of a product": (sd.trace(A @ B @ S), [A, B]),
    "log determinant": (sd.logdet(A), [A]),
    "determinant": (sd.det(A), [A]),
    "inverse": (w @ sd.inv(A) @ v, [w, A]),
    "system": (sd.sum(sd.solve(A, v) ** 2), [A, v]),
    "cosine similarity": ((w @ v) / (sd.norm(w) * sd.norm(v)), [w, v]),
    "rayleigh quotient": ((w @ S @ w) / (w @ w), [w, S]),
    "frobenius": (sd.norm(A @ B - S), [A, B]),
    "variance": (sd.var(X @ w) + sd.std(w), [w]),
    "cumulative": (sd.sum(sd.cumsum(w) ** 2) + sd.sum(sd.cumsum(X, axis=1) @ v), [w, X]),
    "kronecker": (sd.sum(sd.kron(A, B) ** 2) + sd.sum(sd.kron(A, B)), [A, B]),
    "layer norm": (layer_norm(), [W1]),
    "einsum": (sd.sum(sd.einsum("ij,kj->ik", A, B) * S), [A, B]),
    "outer": (sd.sum(sd.outer(w, v) * A) + sd.sum(sd.outer(w, w) ** 2), [w, v]),
    "scaled rows": (sd.sum(y[:, None] * X * w) + sd.sum(sp.exp(y[:, None] * X)), [y, w, X]),
    "attention": (sd.sum((sd.softmax(Q @ K.T / sp.sqrt(3)) @ V) ** 2), [Q, K, V]),
    "self-attention": (sd.sum(sd.softmax((X @ A) @ X.T) @ X), [A, X]),
    "divergence": (losses.kl_divergence(sd.softmax(w), sd.softmax(v)), [w, v]),
    "mean of rows": (sd.mean(X @ W1, axis=0) @ b1, [W1, b1]),
    "chain of products": (sd.sum((X @ W1) @ (W2 @ b2)), [W1, W2, b2]),
    "smooth activations": (sd.sum(sd.gelu(X @ W1) + sd.silu(X @ W1)), [W1]),
    "log of sums": (sd.logsumexp(X @ w) + sd.sum(sd.logsumexp(X @ W1, axis=1)), [w, W1]),
    "extrema": (sd.max(X @ w) + sd.sum(sd.max(X @ W1, axis=1)) + sd.min(v), [w, W1]),
    "embedding": (sd.sum((E[i] @ w - y) ** 2), [E, w]),
    "slices": (sd.sum(y[1:] * y[:-1]) + w[0] * w[-1] + sd.sum(X[1:, :2] ** 2), [y, w, X]),
    "reversed": (sd.sum(w[::-1] * v), [w]),
    "concatenation": (sd.sum(sd.concatenate([w, v]) ** 3), [w, v]),
    "reshaping": (sd.sum(sd.reshape(A, 9)[2:] ** 2), [A]),
    "choice": (sd.sum(sd.where(X > 0.2, X**2, sp.sin(X)) @ w), [X, w]),
    "products": (sd.prod(w) + sd.sum(sd.prod(A, axis=1) * v), [w, A]),
    "powers": (sd.sum(v**2) ** sp.Rational(3, 2) + sd.sum(sp.exp(w) ** a) + a**x**2, [v, w, a]),
    "functions": (sd.sum(sp.atan(w) * sd.softplus(v) + sp.erf(w) + sd.log1p(v**2)), [w, v]),
    "scalars": (sp.sin(a * x) * sp.exp(-(a**2)) + sp.sqrt(a) / (1 + x**2), [a, x]),
    "absolute": (sd.mean(sp.Abs(X @ w - y)), [w]),
    "convolution": (sd.sum(sd.conv2d(image, kernel, stride=2) ** 2), [kernel, image]),
    "padded convolution": (sd.sum(sd.relu(sd.conv2d(image, kernel, padding=1))), [kernel]),
    "pooling": (sd.sum(sd.max_pool2d(sd.conv2d(image, kernel), 2) ** 2), [kernel]),
    "signals": (sd.sum(sd.tanh(sd.conv1d(signal, filter_, padding=1))), [filter_]),
    "lstm step": (lstm_step(), [tensor for g in gates.values() for tensor in g]),
    "recurrence": (recurrent(), [A, v]),
}  # fmt: skip


@functools.cache
def printed(name):
    """A loss with the values of the symbols that it holds."""
    loss, parameters = LOSSES[name]
    symbols = set(loss.free_symbols) | set(parameters)
    return Printed(loss, parameters, {s: v for s, v in VALUES.items() if s in symbols})
