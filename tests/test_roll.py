"""Long sums of terms that differ in parameters only are sums over an axis in kernels."""

import numpy as np
import pytest
import sympy as sp

import codegen
from codegen.roll import LEAST, roll, side_by_side
from symdiff.bridge import to_graph
from symdiff.evaluate import interpret
from symdiff.graph import leaves, walk
from symdiff.optimizers import SGD

COUNT = 2 * LEAST
x, y, c = sp.symbols("x y c")
a, b = sp.symbols(f"a:{COUNT}"), sp.symbols(f"b:{COUNT}")
exponentials = sp.Add(*(p * sp.exp(-q * x) for p, q in zip(a, b, strict=True)))
fourier = sp.Add(*(p * sp.sin(k * x) - 3 * q * sp.cos(k * x) / 2
                   for k, (p, q) in enumerate(zip(a, b, strict=True), 1)))  # fmt: skip
ROLLED = {  # a loss, and how many vectors it is a formula of
    "exponentials": ((exponentials - y) ** 2, 2),
    "a Fourier series": ((fourier - y) ** 2, 2),
    "with a penalty": (exponentials**2 + sum(p**2 for p in a) / 7, 2),
    "a parameter of all terms": (sum(p * sp.tanh(c * x + q) for p, q in zip(a, b, strict=True))
                                 / y + c**2, 2),
    "a parameter twice": (sum(p * sp.tanh(p * x) for p in a), 1),
    "a sum in each term": (sum(p * sp.tanh(sum(sp.exp(q * x) for q in b)) for p in a), 2),
    "subtracted": (y - sum(sp.exp(p * x) for p in a), 1),
    "two orders": (sum(sp.exp(p * x) for p in a) + sum(sp.tanh(p * x) for p in reversed(a)), 1),
    "two halves": (sum(p * sp.exp(p * x) for p in a[:LEAST]) + sum(a[LEAST:]), 2),
}  # fmt: skip
WRITTEN_OUT = {
    "a parameter that stands alone, too": sum(sp.exp(p * x) for p in a) + a[3] ** 3,
    "few": sum(sp.exp(p * x) for p in a[: LEAST - 1]),
    "all different": sum(p ** (k + 2) for k, p in enumerate(a)),
    "another order": sum(p * sp.exp(q * x) for p, q in zip(a, b[::-1], strict=True)),
    "columns of data": sum(p * q for p, q in zip(a, sp.symbols(f"x:{COUNT}"), strict=True)) - y,
}


def values(rng=None):
    rng = np.random.default_rng(0) if rng is None else rng
    return dict(zip((x, y, c, *a, *b), rng.uniform(0.2, 0.9, 2 * COUNT + 3), strict=True))


def rolled(expression):
    graph = to_graph(sp.sympify(expression))
    slots = {to_graph(s): k for k, s in enumerate((*a, *b, c))}
    return roll([graph], slots)


@pytest.mark.parametrize("name", ROLLED)
def test_a_rolled_sum_means_the_same(name):
    expression, count = ROLLED[name]
    (root,), vectors = rolled(expression)
    assert len(vectors) == count
    given = values()
    inputs = {n: np.array([given[p.attributes[0]] for p in vectors.get(n, [n])]) for n in
              leaves([root])}  # fmt: skip
    inputs = {n: v if n in vectors else v[0] for n, v in inputs.items()}
    (value,) = interpret([root], inputs, {})
    assert np.isclose(value, float(expression.subs(given)), 1e-12)


def test_the_graph_does_not_grow_with_the_terms():
    (root,), _ = rolled(ROLLED["exponentials"][0])
    assert len(walk([root])) < 20


@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_what_is_no_long_sum_of_like_terms_stays(name):
    graph = to_graph(WRITTEN_OUT[name])
    assert rolled(WRITTEN_OUT[name]) == ([graph], {})


def test_parameters_are_laid_out_as_the_terms_need_them():
    mixed = [to_graph(s) for pair in zip(b, a, strict=True) for s in (c, *pair)[pair[0] != b[0] :]]
    order = side_by_side([to_graph(exponentials + c)], mixed)
    names = [str(n.attributes[0]) for n in order]
    assert names[:COUNT] in ([str(s) for s in a], [str(s) for s in b])
    assert sorted(names[COUNT:-1]) == sorted(str(s) for s in (b if names[0] == "a0" else a))
    assert names[-1] == "c"


X = np.linspace(0, 1, 50)
Y = np.exp(-2 * X)


def loss_and_gradient(p, q):
    terms = np.exp(-np.outer(X, q))
    rest = terms @ p - Y
    slope = -(rest[:, None] * X[:, None] * terms * p)
    return np.mean(rest**2), 2 * (terms.T @ rest) / len(X), 2 * slope.mean(axis=0)


def test_training():
    """Parameters in any order; losses, metrics and predictions are those of the formula."""
    given = values()
    pairs = [s for pair in zip(b, a, strict=True) for s in pair]
    start = {s: given[s] / 9 for s in pairs}
    trainer = codegen.Trainer((exponentials - y) ** 2, start, SGD(0.01), dtype="float64")
    p, q = np.array([start[s] for s in a]), np.array([start[s] for s in b])
    losses = []
    for _ in range(3):
        loss, dp, dq = loss_and_gradient(p, q)
        losses.append(loss)
        p, q = p - 0.01 * dp, q - 0.01 * dq
    history = trainer.fit({x: X, y: Y}, epochs=3)
    assert np.allclose(history.loss, losses, 1e-12)
    assert np.allclose([trainer.parameters[s] for s in a], p, 1e-12)
    assert np.allclose([trainer.parameters[s] for s in b], q, 1e-12)
    assert np.allclose(trainer.predict(exponentials, {x: X}), np.exp(-np.outer(X, q)) @ p, 1e-12)
    assert np.isclose(trainer.evaluate({x: X, y: Y})["loss"], loss_and_gradient(p, q)[0], 1e-12)
    assert len(trainer.source.splitlines()) < 200


def test_an_objective():
    given = values()
    loss = (exponentials - y) ** 2 + c**2
    start = {s: given[s] for s in (c, *a, *b)}
    objective = codegen.Objective(loss, start, {x: X, y: Y})
    theta = objective.start
    assert np.array_equal(theta, list(start.values()))
    value, dp, dq = loss_and_gradient(theta[1 : 1 + COUNT], theta[1 + COUNT :])
    found, gradient = objective.value_and_gradient(theta)
    assert np.isclose(found, value + given[c] ** 2, 1e-12)
    assert np.allclose(gradient, [2 * given[c], *dp, *dq], 1e-10)
    direction, step = np.cos(np.arange(theta.size)), 1e-5
    ahead = objective.gradient(theta + step * direction)
    behind = objective.gradient(theta - step * direction)
    product = objective.hessian_product(theta, direction)
    assert np.allclose(product, (ahead - behind) / (2 * step), 1e-6, 1e-6)
