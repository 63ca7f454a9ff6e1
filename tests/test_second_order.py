"""Jacobians, Hessians and products against finite differences of what they derive."""

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from symdiff.batching import RULES
from symdiff.bridge import to_graph
from symdiff.graph import leaves, walk
from symdiff.structural import STRUCTURAL

RNG = np.random.default_rng(3)
W, X = sd.tensor("W", 3, 2), sd.tensor("X", "n", 3)
t = sd.tensor("t", "n", dtype="int")
V = sd.tensor("V", 3, 2)
IMAGE = np.arange(24.0).reshape(1, 1, 6, 4) / 9
VALUES = {
    X: RNG.normal(size=(4, 3)), W: RNG.normal(size=(3, 2)), t: np.array([0, 1, 1, 0]),
    V: RNG.normal(size=(3, 2)),
}  # fmt: skip

FUNCTIONS = {
    "elementwise": sd.tanh(X @ W),
    "softmax": sd.softmax(X @ W, axis=1),
    "logsumexp over rows": sd.logsumexp(X @ W, axis=0),
    "gram": (X @ W).T @ (X @ W),
    "max": sd.max(X @ W, axis=1),
    "min": sd.min(X @ W, axis=0, keepdims=True),
    "concatenate": sd.concatenate([W, W.T @ W], axis=0),
    "slices": W[::-1] * W[:, :1],
    "gather": W[[0, 2, 2]][:, None],
    "gather apart": sd.reshape(W, 3, 1, 2)[[0, 2], :, [1, 0]] * W[:2, 1][:, None],
    "keepdims": sd.sum(W * W, axis=0, keepdims=True) / W,
    "prod": sd.prod(X @ W, axis=1),
    "prod_others": sd.prod_others(W, axis=0),
    "cumsum": sd.cumsum(X @ W, axis=1) * sd.cumsum(W[:, 0])[0],
    "det": sd.det(W[:2] @ sd.stack([W[:2], W[1:]])),
    "logdet": sd.logdet(W.T @ W + sd.stack([W[:2], 3 * W[1:]])),
    "inv": sd.inv(W[1:]) @ W.T,
    "solve": sd.solve(W[1:], W[0]),
    "solve, constant matrix": sd.solve(np.array([[2.0, 1.0], [0.0, 3.0]]), W[0]),
    "solve, constant vector": sd.solve(W[1:], np.array([1.0, -2.0])),
    "solve, matrices": sd.solve(sd.stack([W[1:], W[:2]]), W.T),
    "cholesky": sd.cholesky(W.T @ W + sd.eye(2)),
    "convolution": sd.conv2d(IMAGE, W[None, None]) * W[0, 0],
    "convolution of a product": sd.conv2d(sd.tanh(W)[None, None], W[:2][None, None], 1, 1),
    "convolution, both": sd.conv1d(W.T[None], sd.stack([W[:2].T, W[1:].T])),
    "pooling": sd.max_pool2d(W[None, None], (2, 1), 1)
    * sd.avg_pool2d(W[None, None] ** 2, (2, 1), 1),
    "scan": sd.scan(lambda h, x: (sd.tanh(h @ W.T @ W + x), h * x), sd.zeros(2), X @ W)[1],
    "scan, last": sd.scan(lambda h, x: (h * x, None), W[0, 0], W[:, 1])[0] * W[0],
    "norm": sd.norm(X @ W, axis=1) * sd.norm(W),
    "relu": sd.relu(X @ W)[:, 0],
    "reshape": sd.reshape(W, 2, 3) @ W,
    "vector @ matrix": W[:, 0] @ W,
    "matrix @ vector": X @ W[:, 1],
    "inner product": (W[:, 1] @ W[:, 0]) * W[0],
    "stacked @ vector": sd.stack([W, 2 * W]) @ W[0],
    "vector @ stacked": W[:, 0] @ sd.stack([W, 2 * W]),
    "stacked @ stacked": sd.stack([W, 2 * W]) @ sd.stack([W.T, W.T]),
    "one_hot": sd.one_hot(t, 2) * (X @ W),
    "where": sd.where(W > 0, W**3, W),
    "broadcast": sd.broadcast_to(W[0], 4, 2) * sd.sum(W),
    "constant": sd.ones(2),
}


def values_of(expression):
    needed = {n.attributes[0] for n in leaves([to_graph(expression)])} | {W}
    return {s: a for s, a in VALUES.items() if s in needed}


def numeric_jacobian(expression, symbol, values, h=1e-6):
    base = sd.evaluate(expression, values)
    result = np.zeros(np.shape(base) + np.shape(values[symbol]))
    for i in np.ndindex(*np.shape(values[symbol])):
        ends = []
        for sign in (1, -1):
            moved = values[symbol].copy()
            moved[i] += sign * h
            ends.append(sd.evaluate(expression, {**values, symbol: moved}))
        result[(..., *i)] = (ends[0] - ends[1]) / (2 * h)
    return result


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jacobian(name):
    f = FUNCTIONS[name]
    values = values_of(f)
    jacobian = sd.jacobian(f, W)
    assert sd.shape(jacobian) == (*sd.shape(f), 3, 2)
    got = sd.evaluate(jacobian, values)
    np.testing.assert_allclose(got, numeric_jacobian(f, W, values), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_products_agree_with_the_jacobian(name):
    f = FUNCTIONS[name]
    values = {**values_of(f), V: VALUES[V]}
    jacobian = sd.evaluate(sd.jacobian(f, W), values)
    pushed = sd.evaluate(sd.jvp(f, W, V), values)
    np.testing.assert_allclose(pushed, np.tensordot(jacobian, VALUES[V], 2), atol=1e-12)
    u = RNG.normal(size=jacobian.shape[:-2])
    seed = sd.tensor("U", *sd.shape(f))
    pulled = sd.evaluate(sd.vjp(f, W, seed), {**values, seed: u})
    np.testing.assert_allclose(pulled, np.tensordot(u, jacobian, u.ndim), atol=1e-12)


def test_every_structural_operation_can_be_stacked():
    leaves_ = {name for name, row in STRUCTURAL.items() if row.kind == "leaf"}
    alone = {"random_uniform"}  # it reads a seed and a step, never a symbol that is stacked
    assert set(STRUCTURAL) - leaves_ - alone == set(RULES)


LOSSES = {
    "cross-entropy": sd.losses.cross_entropy(X @ W, t),
    "network": sd.sum(sd.tanh(sd.tanh(X @ W) @ W.T)),
    "quadratic": sd.sum((X @ W) ** 2),
    "of a maximum": sd.sum(sd.max(X @ W, axis=1) ** 3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_hessian(name):
    loss = LOSSES[name]
    values = values_of(loss)
    hessian = sd.hessian(loss, W)
    assert sd.shape(hessian) == (3, 2, 3, 2)
    got = sd.evaluate(hessian, values)
    expected = numeric_jacobian(sd.gradient(loss, W), W, values)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)
    product = sd.evaluate(sd.hvp(loss, W, V), {**values, V: VALUES[V]})
    np.testing.assert_allclose(product, np.tensordot(got, VALUES[V], 2), atol=1e-10)


def test_second_order_compiles():
    loss = LOSSES["cross-entropy"]
    both = [sd.hessian(loss, W), sd.hvp(loss, W, V)]
    function = codegen.compile(both, inputs=[X, t, W, V])
    for got, expression in zip(function(*(VALUES[s] for s in (X, t, W, V))), both, strict=True):
        np.testing.assert_allclose(got, sd.evaluate(expression, VALUES), rtol=1e-10, atol=1e-13)


def test_a_hessian_vector_product_costs_a_small_multiple_of_the_gradient():
    loss = LOSSES["network"]
    gradient = len(walk([to_graph(sd.gradient(loss, W))]))
    product = len(walk([to_graph(sd.hvp(loss, W, V))]))
    assert product < 5 * gradient


def test_third_derivatives():
    x = sp.Symbol("x")
    first = sd.gradient(sp.exp(2 * x) * sp.sin(x), x)
    third = sd.gradient(sd.gradient(first, x), x)
    expected = sp.diff(sp.exp(2 * x) * sp.sin(x), x, 3)
    got = sd.evaluate(third, {x: 0.3})
    np.testing.assert_allclose(got, float(expected.subs(x, 0.3)), rtol=1e-12)


def test_scalars_and_lists():
    a, b = sp.symbols("a b")
    assert sd.hessian(a**2 * b, [a, b]) == [[2 * b, 2 * a], [2 * a, 0]]
    assert sd.jacobian(a**2 * b, [a, b]) == [2 * a * b, a**2]
    assert sd.hvp(a**2 * b, [a, b], [1, 0]) == [2 * b, 2 * a]
    assert sd.jvp(a**2 * b, [a, b], [b, a]) == sp.expand(2 * a * b**2 + a**3)


def test_a_direction_of_the_wrong_shape_is_refused():
    with pytest.raises(sd.ShapeError, match=r"W must have shape \(3, 2\)"):
        sd.hvp(LOSSES["network"], W, X)
    with pytest.raises(sd.ShapeError, match="1 symbols but 2 directions"):
        sd.jvp(W, [W], [W, W])
