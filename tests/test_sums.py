"""``Sum`` and ``Product`` over ``Indexed``, against NumPy and finite differences."""

import pickle

import numpy as np
import pytest
import sympy as sp
from scipy.special import gammaln

import codegen
import symdiff as sd

a, b, t = sp.symbols("a b t")
i, j, k, n, m = sp.symbols("i j k n m", integer=True)
x, y, w, v, A, X = (sp.IndexedBase(name) for name in ("x", "y", "w", "v", "A", "X"))
B = sp.IndexedBase("B", shape=(n, m))
c = sp.IndexedBase("c", integer=True)
RNG = np.random.default_rng(11)
DATA = {
    x: RNG.normal(size=5), y: RNG.normal(size=5), w: RNG.normal(size=3), v: RNG.normal(size=6),
    A: RNG.normal(size=(5, 5)), X: RNG.normal(size=(5, 3)), B: RNG.normal(size=(5, 3)),
    c: np.array([0, 2, 2, 1, 0]), a: 0.7, b: -1.3, n: 5, m: 3,
}  # fmt: skip
dx, dy, dw, dv, dA, dX, dB, dc = (DATA[s] for s in (x, y, w, v, A, X, B, c))
S, P = sp.Sum, sp.Product
rows, columns = (i, 0, n - 1), (j, 0, m - 1)


SUMS = {
    "sum": (S(x[i], rows), [x], dx.sum()),
    "dot product": (S(x[i] * y[i], rows), [x, y], dx @ dy),
    "mean of squares": (S(x[i] ** 2, rows) / n, [x], (dx**2).mean()),
    "numeric bounds": (S(x[i] * y[i], (i, 0, 4)), [x, y], dx @ dy),
    "numeric and symbolic bounds": (S(x[i], (i, 0, 2)) * S(x[i], rows), [x],
                                    dx[:3].sum() * dx.sum()),
    "an element beside": (x[0] * x[3] + S(sp.exp(x[i]), rows), [x],
                          dx[0] * dx[3] + np.exp(dx).sum()),
    "last element": (S(x[i], rows) * B[n - 1, 0], [x, B], dx.sum() * dB[4, 0]),
    "two limits": (S(w[i] * X[j, i], (i, 0, m - 1), (j, 0, n - 1)), [w, X], (dX @ dw).sum()),
    "quadratic form": (S(x[i] * A[i, j] * y[j], rows, (j, 0, n - 1)), [x, A, y], dx @ dA @ dy),
    "least squares": (
        S((S(X[i, j] * w[j], columns) - y[i]) ** 2, rows) / n, [w, X, y],
        ((dX @ dw - dy) ** 2).mean(),
    ),
    "trace of a cube": (
        S(A[i, j] * A[j, k] * A[k, i], rows, (j, 0, n - 1), (k, 0, n - 1)), [A],
        np.trace(dA @ dA @ dA),
    ),
    "trace": (S(A[i, i], rows), [A], np.trace(dA)),
    "transposed": (S(A[i, j] * A[j, i], rows, (j, 0, n - 1)), [A], (dA * dA.T).sum()),
    "scalars beside": (a * S(b * x[i] ** 2 + a, rows) - b, [x, a, b],
                       0.7 * (-1.3 * (dx**2).sum() + 5 * 0.7) + 1.3),
    "index as a number": (S(i**2 * x[i] / (i + 1), rows), [x],
                          (np.arange(5) ** 2 * dx / np.arange(1, 6)).sum()),
    "size as a number": (S(x[i] / n, rows) + n, [x], dx.mean() + 5),
    "count": (S(a, rows, columns), [a], 15 * 0.7),
    "two bases, one index each": (S(x[i] * y[j], rows, (j, 0, n - 1)), [x, y], dx.sum() * dy.sum()),
    "neighbours": (S((x[i + 1] - x[i]) ** 2, (i, 0, n - 2)), [x], (np.diff(dx) ** 2).sum()),
    "reversed": (S(x[i] * y[n - 1 - i], rows), [x, y], dx @ dy[::-1]),
    "every second": (S(x[2 * i], (i, 0, 2)), [x], dx[::2].sum()),
    "squares of the index": (S(x[i**2], (i, 0, 2)), [x], dx[[0, 1, 4]].sum()),
    "sum of indices": (S(w[j] * y[i + j], (i, 0, 2), (j, 0, 2)), [w, y],
                       sum(dw[q] * dy[p + q] for p in range(3) for q in range(3))),
    "flat storage": (S(v[i * m + j] * w[j], (i, 0, 1), columns), [v, w],
                     (dv.reshape(2, 3) @ dw).sum()),
    "from one": (S(x[i] * i, (i, 1, n - 1)), [x], (dx * np.arange(5)).sum()),
    "triangle": (S(x[i] * x[j] * A[i, j], (j, 0, i), rows), [x, A],
                 (np.tril(dA) * np.outer(dx, dx)).sum()),
    "pairs": (S((x[i] - x[j]) ** 2, (j, i + 1, n - 1), (i, 0, n - 2)), [x],
              sum((dx[p] - dx[q]) ** 2 for p in range(5) for q in range(p + 1, 5))),
    "inverse distances of pairs": (S(1 / (i - j), (j, 0, i - 1), (i, 1, n - 1)) * a, [a],
                                   0.7 * sum(1 / (p - q) for p in range(5) for q in range(p))),
    "convolution": (S(x[k] * S(y[j] * x[k - j], (j, 0, k)), (k, 0, n - 1)), [x, y],
                    dx @ np.convolve(dy, dx)[:5]),
    "product": (P(x[i], rows), [x], dx.prod()),
    "product of sums": (P(S(X[i, j], columns), rows), [X], dX.sum(axis=1).prod()),
    "sum of products": (S(P(X[i, j], columns), rows), [X], dX.prod(axis=1).sum()),
    "product without elements": (P(a + k, (k, 1, 3)), [a], 1.7 * 2.7 * 3.7),
    "log-likelihood of Poisson": (
        S(y[i] ** 2 * x[i] - sp.exp(x[i]) - sp.loggamma(y[i] ** 2 + 1), rows), [x, y],
        (dy**2 * dx - np.exp(dx) - gammaln(dy**2 + 1)).sum(),
    ),
    "log of sums of exponentials": (
        S(sp.log(S(sp.exp(X[i, j]), columns)), rows), [X], np.log(np.exp(dX).sum(axis=1)).sum()
    ),
    "choice": (S(sp.Piecewise((x[i] ** 2, x[i] > 0), (-y[i], True)), rows), [x, y],
               np.where(dx > 0, dx**2, -dy).sum()),
    "hinge": (S(sp.Max(0, 1 - x[i] * y[i]), rows), [x, y], np.maximum(0, 1 - dx * dy).sum()),
    "gather": (S(w[c[i]] * x[i], rows), [x, w], (dw[dc] * dx).sum()),
    "gather of rows": (S(B[c[i], j] ** 2, rows, columns), [B], (dB[dc] ** 2).sum()),
    "declared shape": (S(B[i, j] ** 2, rows, columns) / (n * m), [B], (dB**2).mean()),
    "part of a declared shape": (S(B[i, 1], (i, 1, 3)), [B], dB[1:4, 1].sum()),
    "Idx": (S(x[sp.Idx("q", n)] ** 2, sp.Idx("q", n)), [x], (dx**2).sum()),
    "sigmoid of an element": (S(sd.sigmoid(x[i]) * y[i], rows), [x, y],
                              (dy / (1 + np.exp(-dx))).sum()),
    "beside a tensor": (S(x[i], rows) * sd.sum(sd.tensor("T", 2)), [x], dx.sum() * 3.0),
    "polynomial": (S(k * a**k, (k, 1, 5)), [a], sum(p * 0.7**p for p in range(1, 6))),
    "symbolic polynomial": (S(k * a**k, (k, 0, n)) / n, [a], sum(p * 0.7**p for p in range(6)) / 5),
    "thousands of terms": (S(a**k / (k + 1), (k, 0, 4999)), [a], -np.log(0.3) / 0.7),
    "empty": (S(x[i], (i, 0, -1)) + S(x[i], rows), [x], dx.sum()),
}  # fmt: skip


def needed(loss, wrt):
    """The data that a loss contains."""
    values = {s: d for s, d in DATA.items() if s in loss.free_symbols or s in wrt}
    if isinstance(loss, sp.Expr) and loss.has(sd.tensor("T", 2)):
        values[sd.tensor("T", 2)] = [1.0, 2.0]
    bases = {e.base for e in loss.atoms(sp.Indexed)}
    return values | {s: DATA[s] for s in bases}


@pytest.mark.parametrize("name", SUMS)
def test_sum(name):
    loss, wrt, expected = SUMS[name]
    values = needed(loss, wrt)
    np.testing.assert_allclose(sd.evaluate(loss, values), expected, rtol=1e-12)
    for symbol in wrt:
        gradient = sd.evaluate(sd.gradient(loss, symbol), values)
        assert gradient.shape == np.shape(DATA[symbol])
        assert sd.check_gradient(loss, symbol, values) < 1e-6


COMPILED = [
    "mean of squares", "an element beside", "quadratic form", "trace", "index as a number",
    "neighbours", "reversed", "flat storage", "triangle", "product of sums", "choice", "gather",
    "symbolic polynomial",
]  # fmt: skip


def test_sums_compile():
    roots = []
    for name in COMPILED:
        loss, wrt, _ = SUMS[name]
        roots += [loss, sd.gradient(loss, wrt[0])]
    inputs = [s for s in DATA if s not in (n, m)]
    results = codegen.compile(roots, inputs=inputs)(*(DATA[s] for s in inputs))
    for position, name in enumerate(COMPILED):
        loss, wrt, expected = SUMS[name]
        np.testing.assert_allclose(results[2 * position], expected, rtol=1e-12, err_msg=name)
        by_numpy = sd.evaluate(sd.gradient(loss, wrt[0]), needed(loss, wrt))
        np.testing.assert_allclose(
            results[2 * position + 1], by_numpy, rtol=1e-9, atol=1e-12, err_msg=name
        )


REGRESSION = SUMS["least squares"][0]


def test_gradients_of_sums_are_matrix_products():
    assert str(sd.gradient(REGRESSION, w)) == "2*X.T @ (w @ X.T - y)/n"
    assert str(sd.gradient(SUMS["quadratic form"][0], x)) == "A @ y"
    assert str(sd.gradient(SUMS["trace of a cube"][0], A)) == "3*A.T @ A.T"
    assert str(sd.hessian(REGRESSION, w)) == "2*X.T @ X/n"


def test_training_on_sums():
    data = {X: dX, y: dy}
    trainer = codegen.Trainer(
        REGRESSION, {w: np.zeros(3)}, optimizer=sd.optimizers.SGD(0.1), dtype="float64"
    )
    trainer.fit(data, epochs=3000)
    best = np.linalg.lstsq(dX, dy, rcond=None)[0]
    np.testing.assert_allclose(trainer.parameters[w], best, atol=1e-3)
    again = pickle.loads(pickle.dumps(trainer))
    np.testing.assert_array_equal(again.parameters[w], trainer.parameters[w])
    first = trainer.predict(S(w[j] * X[0, j], (j, 0, m - 1)), {X: dX})
    np.testing.assert_allclose(first, dX[0] @ trainer.parameters[w])
    assert "w" in trainer.derivation.explain(w)


def test_objective_of_sums():
    objective = codegen.Objective(REGRESSION, {w: np.ones(3)}, {X: dX, y: dy})
    value, slope = objective.value_and_gradient(objective.start)
    residual = dX @ np.ones(3) - dy
    np.testing.assert_allclose(value, residual @ residual / 5)
    np.testing.assert_allclose(slope, 2 * dX.T @ residual / 5)
    assert objective.unpack(objective.start)[w].shape == (3,)


def test_sizes_of_bases():
    assert sd.gradient(SUMS["flat storage"][0], w).shape == ("m",)
    with pytest.raises(sd.BindingError, match="n = "):
        sd.evaluate(S(x[i] * y[i], rows), {x: dx, y: dy[:4]})
    with pytest.raises(sd.BindingError, match="n = 7"):
        sd.evaluate(S(x[i], rows) / n, {x: dx, n: 7})
    short = sp.IndexedBase("short", shape=(m,))
    with pytest.raises(sd.BindingError, match=r"n - 3 = -1"):
        sd.evaluate(S(short[i], (i, 0, n - 4)) * S(y[i], rows), {short: dw, y: dy[:2]})
    with pytest.raises(sd.BindingError, match="the size n is not known"):
        sd.evaluate(sd.gradient(S(x[i], rows), x), {x: dx})
    np.testing.assert_array_equal(
        sd.evaluate(sd.gradient(S(x[i], rows), x), {x: dx, n: 5}), np.ones(5)
    )
    with pytest.raises(sd.IndexOutOfRange):
        sd.evaluate(SUMS["gather"][0], {x: dx, w: dw, c: [0, 1, 2, 3, 0]})


def test_two_symbols_of_one_name_stay_two():
    scalar = sp.Symbol("n")
    T = sd.tensor("T", "n")
    assert sd.evaluate(scalar * sd.sum(T), {T: [1.0, 2.0], scalar: 10.0}) == 30.0
    base = sd.tensor("x", "n")
    both = S(x[i], rows) + sd.sum(2 * base)
    assert sd.evaluate(both, {x: [1.0, 2.0], base: [5.0, 6.0]}) == 25.0


REFUSED_SUMS = {
    "no index": (2 * x[i], "no Sum or Product says which values the index i takes"),
    "infinite": (S(x[i], (i, 0, sp.oo)), "finite"),
    "backwards": (S(x[i], (i, 5, 2)), "backwards"),
    "below 0": (S(x[i - 1], rows), "-1"),
    "above the end": (S(B[i, 0], (i, 0, n)), "up to n, but there are n elements"),
    "above a numeric end": (S(sp.IndexedBase("q", shape=(3,))[i], (i, 0, 3)), "3 elements"),
    "real bound": (S(x[i], (i, 0, 1.5 * a)), "whole number"),
    "rational bound": (S(x[i], (i, 0, n / 2)), "whole number"),
    "bound from data": (S(x[i], (i, 0, c[0])), "whole number"),
    "real index": (S(x[y[i]], rows), "integer=True"),
    "index by division": (S(x[i / 2], rows), "whole numbers"),
    "index of unknown direction": (S(x[i**2 - i], rows), "least and largest"),
    "a tensor inside": (S(x[i] * sd.tensor("T", "n"), rows), "take it out of the sum"),
    "an index inside a tensor": (S(x[i] * sd.sum(i * sd.tensor("T", "n")), rows), "write sd.sum"),
    "strides": (S(sp.IndexedBase("q", strides=(2,))[i], rows), "strides"),
}


@pytest.mark.parametrize("name", REFUSED_SUMS)
def test_refused_sum(name):
    loss, message = REFUSED_SUMS[name]
    with pytest.raises(sd.UnsupportedOperation, match=message):
        sd.gradient(loss, a)


def test_bases_that_do_not_fit():
    with pytest.raises(sd.ShapeError, match="declare its shape"):
        sd.gradient(S(x[i], rows) * S(x[j], columns), x)
    with pytest.raises(sd.ShapeError, match="1 and with 2 indices"):
        sd.gradient(S(x[i] * x[i, i], rows), x)
    with pytest.raises(sd.InvalidType, match="IndexedBase"):
        sd.gradient(a, x)
