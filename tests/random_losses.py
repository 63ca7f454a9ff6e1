"""Random losses of scalars, vectors and matrices, always the same for a seed."""

import random

import numpy as np
import sympy as sp

import symdiff as sd

w, v, y = sd.tensor("w", 3), sd.tensor("v", 3), sd.tensor("y", "n")
A, B, X = sd.tensor("A", 3, 3), sd.tensor("B", 3, 3), sd.tensor("X", "n", 3)
a, b = sp.symbols("a b")
ROWS = 5
SYMBOLS = (w, v, y, A, B, X, a, b)
_draw = np.random.default_rng(0)
VALUES = {
    w: _draw.uniform(0.3, 1.5, 3), v: _draw.uniform(0.3, 1.5, 3), y: _draw.uniform(0.3, 1.5, ROWS),
    A: _draw.uniform(0.3, 1.5, (3, 3)) + 2 * np.eye(3),
    B: _draw.uniform(0.3, 1.5, (3, 3)) + np.eye(3), X: _draw.uniform(0.3, 1.5, (ROWS, 3)),
    a: 0.7, b: 1.2,
}  # fmt: skip

LEAVES = {"scalar": (a, b), "vector": (w, v), "matrix": (A, B), "table": (X,), "rows": (y,)}

ANY = [
    lambda e, k: e(k) + e(k),
    lambda e, k: e(k) - 2 * e(k),
    lambda e, k: e(k) * e(k),
    lambda e, k: e("scalar") * e(k),
    lambda e, k: sd.tanh(e(k)),
    lambda e, k: sd.sigmoid(e(k)),
    lambda e, k: sd.softplus(e(k)),
    lambda e, k: sp.sin(e(k)),
    lambda e, k: e(k) ** 2,
    lambda e, k: e(k) / (1 + e(k) ** 2),
    lambda e, k: e(k) + sp.Rational(1, 2),
    lambda e, k: -e(k),
    lambda e, k: e(k) / b,
]
OWN = {
    "scalar": [
        lambda e: e("vector") @ e("vector"),
        lambda e: e("vector") @ e("matrix") @ e("vector"),
        lambda e: sd.sum(e("matrix")),
        lambda e: sd.mean(e("rows")),
        lambda e: sd.norm(e("vector")),
        lambda e: sd.logsumexp(e("rows")),
        lambda e: sd.sum(sd.relu(e("table"))),
    ],
    "vector": [
        lambda e: e("matrix") @ e("vector"),
        lambda e: e("vector") @ e("matrix"),
        lambda e: sd.matmul(sd.transpose(e("table")), e("rows")),
        lambda e: sd.softmax(e("vector")),
        lambda e: sd.solve(A, e("vector")),
    ],
    "matrix": [
        lambda e: e("matrix") @ e("matrix"),
        lambda e: sd.outer(e("vector"), e("vector")),
        lambda e: sd.transpose(e("matrix")),
        lambda e: e("matrix") + e("vector"),
        lambda e: sd.inv(A + e("matrix") ** 2 / 9),
        lambda e: sd.softmax(e("matrix"), axis=1),
    ],
    "table": [
        lambda e: e("table") @ e("matrix"),
        lambda e: e("table") + e("vector"),
        lambda e: sd.outer(e("rows"), e("vector")),
        lambda e: sd.softmax(e("table"), axis=1),
    ],
    "rows": [
        lambda e: e("table") @ e("vector"),
        lambda e: sd.logsumexp(e("table"), axis=1),
        lambda e: e("rows") - sd.mean(e("rows")),
    ],
}


def random_loss(seed, depth=4):
    """A scalar expression, and the symbols that it holds."""
    choose = random.Random(seed)

    def expression(kind, left):
        if left == 0 or choose.random() < 0.12:
            return choose.choice(LEAVES[kind])

        def part(of):
            return expression(of, left - 1)

        if choose.random() < 0.55:
            return choose.choice(OWN[kind])(part)
        return choose.choice(ANY)(part, kind)

    loss = choose.choice(OWN["scalar"])(lambda kind: expression(kind, depth - 1))
    return loss, [s for s in SYMBOLS if s in loss.free_symbols]
