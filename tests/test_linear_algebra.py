"""Determinants, inverses, linear systems, Cholesky factors: textbook forms, objectives, errors.

The rows themselves are walked in test_structural, test_second_order, test_codegen_operations.
"""

import numpy as np
import pytest
import sympy as sp
from differences import check

import codegen
import symdiff as sd

RNG = np.random.default_rng(7)
N = 3
X, A, B = (sd.tensor(name, "n", "n") for name in "XAB")
a, b = sd.tensor("a", "n"), sd.tensor("b", "n")
VALUES = {
    X: RNG.normal(size=(N, N)) + 3 * np.eye(N),
    A: RNG.normal(size=(N, N)),
    B: RNG.normal(size=(N, N)),
    a: RNG.normal(size=N),
    b: RNG.normal(size=N),
}
x, m, k, u, v = (VALUES[s] for s in (X, A, B, a, b))
y = np.linalg.inv(x)

# Petersen and Pedersen, The Matrix Cookbook (2012): loss, gradient by X
FORMS = {
    "det X (49)": (sd.det(X), np.linalg.det(x) * y.T),
    "det AXB (51)": (sd.det(A @ X @ B), np.linalg.det(m @ x @ k) * y.T),
    "det X'X (52)": (sd.det(X.T @ X), 2 * np.linalg.det(x.T @ x) * y.T),
    "log |det X| (57)": (sd.logdet(X), y.T),
    "log det X'X (54)": (sd.log(sd.det(X.T @ X)), 2 * y.T),
    "det X^4 (58)": (sd.det(sd.matrix_power(X, 4)), 4 * np.linalg.det(x) ** 4 * y.T),
    "a' X^-1 b (61)": (a @ sd.inv(X) @ b, -y.T @ np.outer(u, v) @ y.T),
    "a' solve(X, b) (61)": (a @ sd.solve(X, b), -y.T @ np.outer(u, v) @ y.T),
    "det X^-1 (62)": (sd.det(sd.inv(X)), -np.linalg.det(y) * y.T),
    "tr A X^-1 B (63)": (sd.trace(A @ sd.inv(X) @ B), -(y @ k @ m @ y).T),
    "tr X^-1 (63)": (sd.trace(sd.inv(X)), -(y @ y).T),
    "tr (X + A)^-1 (64)": (
        sd.trace(sd.inv(X + A)),
        -(np.linalg.inv(x + m) @ np.linalg.inv(x + m)).T,
    ),
    "tr X^3 (121)": (sd.trace(sd.matrix_power(X, 3)), 3 * (x @ x).T),
    "tr A X^2 (106)": (sd.trace(A @ sd.matrix_power(X, 2)), (x @ m + m @ x).T),
    "tr X^-2": (sd.trace(sd.matrix_power(X, -2)), -2 * (y @ y @ y).T),
}


@pytest.mark.parametrize("name", FORMS)
def test_textbook_forms(name):
    loss, expected = FORMS[name]
    gradient = sd.gradient(loss, X)
    np.testing.assert_allclose(sd.evaluate(gradient, VALUES), expected, rtol=1e-10, atol=1e-11)
    check(loss, [X], VALUES, rtol=1e-6)


@pytest.mark.parametrize("name", ["log |det X| (57)", "a' solve(X, b) (61)", "tr X^-1 (63)"])
def test_second_order(name):
    loss, _ = FORMS[name]
    check(sd.sum(sd.gradient(loss, X) * A), [X], VALUES, rtol=1e-6)
    hessian = sd.evaluate(sd.hessian(loss, X), VALUES)
    product = sd.evaluate(sd.hvp(loss, X, A), VALUES)
    np.testing.assert_allclose(np.tensordot(hessian, m, 2), product, rtol=1e-10, atol=1e-12)


def test_the_hessian_of_logdet():
    """d2 logdet X = -tr(X^-1 dX X^-1 dX)."""
    direction = VALUES[A]
    value = sd.evaluate(sd.sum(sd.hvp(sd.logdet(X), X, A) * A), VALUES)
    assert value == pytest.approx(-np.trace(y @ direction @ y @ direction), rel=1e-12)


def test_forms_compile():
    losses = [loss for loss, _ in FORMS.values()]
    gradients = [sd.gradient(loss, X) for loss in losses]
    everything = [*losses, *gradients]
    function = codegen.compile(everything, inputs=list(VALUES))
    expected = sd.evaluate(everything, VALUES)
    for result in (function(*VALUES.values()), function.plain(*VALUES.values())):
        for expression, got, want in zip(everything, result, expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-10, err_msg=str(expression))


def test_printed_gradients():
    assert str(sd.gradient(sd.logdet(X), X)) == "inv(X).T"
    assert str(sd.gradient(sd.det(X), X)) == "det(X)*inv(X).T"
    assert str(sd.gradient(sd.trace(A @ sd.inv(X)), X)) == "-inv(X).T @ A.T @ inv(X).T"
    assert str(sd.gradient(a @ sd.solve(X, b), b)) == "solve(X.T, a)"
    assert sp.latex(sd.inv(X)) == "X^{-1}"
    assert sp.latex(sd.gradient(sd.logdet(X), X)) == r"X^{-\top}"
    assert "X⁻ᵀ" in str(sd.derive(sd.logdet(X), X))
    assert "log|det(X)|" in str(sd.derive(sd.logdet(X), X))


def test_expressions_are_sympy_expressions():
    for expression in (sd.det(X), sd.logdet(X), sd.inv(X), sd.solve(X, b), sd.cholesky(X)):
        assert isinstance(expression, sp.Expr)
        assert expression.func(*expression.args) == expression


# --- objectives --------------------------------------------------------------------------


def test_gaussian_log_likelihood():
    """By mean and precision, against the closed form."""
    data, mean, precision = sd.tensor("D", "s", N), sd.tensor("mu", N), sd.tensor("P", N, N)
    centred = data - mean
    quadratic = sd.sum(centred @ precision * centred)
    count = data.shape[0]
    loss = 0.5 * (count * sd.logdet(precision) - quadratic) - 0.5 * count * N * sd.log(2 * sp.pi)
    d = RNG.normal(size=(6, N))
    p = y @ y.T
    values = {data: d, mean: u, precision: p}
    c = d - u
    expected = sum(
        0.5 * np.log(np.linalg.det(p)) - 0.5 * row @ p @ row - 1.5 * np.log(2 * np.pi) for row in c
    )
    assert sd.evaluate(loss, values) == pytest.approx(expected, rel=1e-12)
    by_mean, by_precision = sd.gradient(loss, [mean, precision])
    np.testing.assert_allclose(sd.evaluate(by_mean, values), p @ c.sum(0), rtol=1e-10)
    want = 0.5 * (6 * np.linalg.inv(p).T - c.T @ c)
    np.testing.assert_allclose(sd.evaluate(by_precision, values), want, rtol=1e-9)


def gaussian_process():
    inputs, targets = sd.tensor("x", "n"), sd.tensor("y", "n")
    scale, noise = sp.symbols("scale noise")
    distance = (inputs[:, None] - inputs) ** 2
    covariance = sd.exp(-distance / (2 * scale**2)) + noise**2 * sd.eye(inputs.shape[0])
    return inputs, targets, scale, noise, covariance


def test_gaussian_process_marginal_likelihood():
    """By solve and logdet, and by the Cholesky factor, against NumPy and the closed form."""
    inputs, targets, scale, noise, covariance = gaussian_process()
    direct = 0.5 * (targets @ sd.solve(covariance, targets) + sd.logdet(covariance))
    factor = sd.cholesky(covariance)
    whitened = sd.solve(factor, targets)
    triangular = 0.5 * whitened @ whitened + sd.sum(sd.log(sd.diag(factor)))
    xs = np.linspace(0, 2, 8)
    ys = np.sin(3 * xs)
    values = {inputs: xs, targets: ys, scale: 0.7, noise: 0.3}

    square = np.subtract.outer(xs, xs) ** 2
    smooth = np.exp(-square / (2 * 0.7**2))
    full = smooth + 0.09 * np.eye(8)
    alpha = np.linalg.solve(full, ys)
    value = 0.5 * (ys @ alpha + np.linalg.slogdet(full)[1])
    inner = np.linalg.inv(full) - np.outer(alpha, alpha)
    slopes = [0.5 * np.sum(inner * smooth * square / 0.7**3), 0.5 * np.trace(inner) * 0.6]
    both = [direct, triangular]
    everything = [*both, *(sd.gradient(loss, s) for loss in both for s in (scale, noise))]
    expected = [value, value, *slopes, *slopes]
    np.testing.assert_allclose(sd.evaluate(everything, values), expected, rtol=1e-10)
    function = codegen.compile(everything, inputs=list(values))
    np.testing.assert_allclose(function(*values.values()), expected, rtol=1e-10)


def test_training_through_a_determinant():
    """The maximum likelihood precision is the inverse of the covariance of the data."""
    data = sd.tensor("D", "s", 2)
    factor = sd.tensor("F", 2, 2)
    precision = factor.T @ factor
    loss = sd.mean(sd.sum(data @ precision * data, axis=1)) - sd.logdet(precision)
    d = RNG.normal(size=(50, 2)) @ np.array([[1.0, 0.4], [0.0, 0.8]])
    trainer = codegen.Trainer(loss, {factor: np.eye(2)}, optimizer=sd.optimizers.Adam(0.05))
    trainer.fit({data: d}, epochs=600)
    f = trainer.parameters[factor]
    np.testing.assert_allclose(np.linalg.inv(f.T @ f), d.T @ d / 50, rtol=2e-2, atol=1e-3)


# --- errors ------------------------------------------------------------------------------


def test_singular_matrices():
    singular = {X: np.ones((N, N)), b: v}
    assert sd.evaluate(sd.det(X), singular) == pytest.approx(0, abs=1e-12)
    assert sd.evaluate(sd.logdet(X), {X: np.zeros((2, 2))}) == -np.inf
    for expression in (sd.inv(X), sd.solve(X, b), sd.gradient(sd.logdet(X), X)):
        with pytest.raises(sd.LinearAlgebraError, match="singular"):
            sd.evaluate(expression, singular)
    function = codegen.compile([sd.inv(X), sd.det(X)], inputs=[X])
    function(x)
    for call in (function, function.plain):
        with pytest.raises(sd.LinearAlgebraError, match="singular"):
            call(np.ones((N, N)))
    with pytest.raises(np.linalg.LinAlgError, match=r"inv of X with shape \(n, n\)"):
        sd.evaluate(sd.inv(X), singular)


def test_indefinite_matrices():
    with pytest.raises(sd.LinearAlgebraError, match="not positive definite"):
        sd.evaluate(sd.cholesky(X), {X: -np.eye(2)})
    function = codegen.compile(sd.cholesky(X), inputs=[X])
    with pytest.raises(sd.LinearAlgebraError, match="not positive definite"):
        function(-np.eye(2))
    np.testing.assert_array_equal(function(4 * np.eye(2)), 2 * np.eye(2))


def test_the_kernel_pivots():
    swapped = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [3.0, 0.0, 1.0]])
    function = codegen.compile([sd.det(X), sd.inv(X), sd.logdet(X)], inputs=[X])
    want = np.linalg.det(swapped), np.linalg.inv(swapped), np.linalg.slogdet(swapped)[1]
    for got, expected in zip(function(swapped), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)
    assert function(np.zeros((2, 2)) + np.diag([1.0, 1e-300]))[0] == 1e-300
    assert all(np.isnan(np.sum(r)) for r in function(np.full((2, 2), np.nan)))


def test_large_matrices_are_accurate():
    big = RNG.normal(size=(120, 120))
    function = codegen.compile([sd.solve(X, b), sd.logdet(X), sd.det(X)], inputs=[X, b])
    right = RNG.normal(size=120)
    solution, log, _ = function(big, right)
    np.testing.assert_allclose(solution, np.linalg.solve(big, right), rtol=1e-8, atol=1e-10)
    assert log == pytest.approx(np.linalg.slogdet(big)[1], rel=1e-12)


def test_shapes_are_checked():
    rectangle = sd.tensor("R", 2, 3)
    for function in (sd.det, sd.logdet, sd.inv, sd.cholesky):
        with pytest.raises(sd.ShapeError, match="square matrix"):
            function(rectangle)
    with pytest.raises(sd.ShapeError, match="solve"):
        sd.solve(sd.eye(2), sd.tensor("c", 3))
    with pytest.raises(sd.ShapeError, match="square"):
        sd.matrix_power(rectangle, 2)
    with pytest.raises(sd.InvalidType, match="int"):
        sd.matrix_power(X, 0.5)


def test_matrix_powers():
    for n in (-3, -1, 0, 1, 2, 7):
        got = sd.evaluate(sd.matrix_power(X, n), VALUES)
        np.testing.assert_allclose(got, np.linalg.matrix_power(x, n), rtol=1e-10, atol=1e-12)
    stack = sd.tensor("S", 2, N, N)
    data = RNG.normal(size=(2, N, N))
    got = sd.evaluate(sd.matrix_power(stack, 0), {stack: data})
    np.testing.assert_array_equal(got, np.linalg.matrix_power(data, 0))


def test_the_gradient_of_the_cholesky_factor_is_symmetric():
    S = sd.tensor("S", N, N)
    gradient = sd.evaluate(sd.gradient(sd.sum(sd.cholesky(S) * VALUES[A]), S), {S: x @ x.T})
    np.testing.assert_allclose(gradient, gradient.T, rtol=1e-12)
    assert sd.evaluate(sd.cholesky(S), {S: np.tril(np.ones((N, N))) + np.triu(np.ones((N, N)), 1)
                                        + np.eye(N)}).shape == (N, N)  # fmt: skip
