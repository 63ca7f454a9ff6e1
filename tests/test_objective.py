"""Objectives for SciPy, and curve fitting against SciPy's own."""

import pickle

import numpy as np
import pytest
import sympy as sp
from scipy.optimize import curve_fit, minimize

import codegen
import symdiff as sd

RNG = np.random.default_rng(7)
X, y, w, c = sd.tensor("X", "n", 4), sd.tensor("y", "n"), sd.tensor("w", 4), sp.Symbol("c")
DATA = {X: RNG.normal(size=(50, 4)), y: RNG.integers(0, 2, 50).astype(float)}
a, b, x, z = sp.symbols("a b x z")
XS = np.linspace(0, 4, 60)
YS = 2 * np.exp(-0.5 * XS) + 0.05 * RNG.normal(size=60)


@pytest.fixture(scope="module")
def objective():
    loss = sd.losses.binary_cross_entropy(X @ w + c, y) + 0.1 * sd.sum(w**2)
    return codegen.Objective(loss, {w: 0.0, c: 0.5}, DATA)


def test_value_and_gradient(objective):
    theta = RNG.normal(size=5)
    value, gradient = objective.value_and_gradient(theta)
    logits = DATA[X] @ theta[:4] + theta[4]
    expected = np.mean(np.logaddexp(0, logits) - DATA[y] * logits) + 0.1 * np.sum(theta[:4] ** 2)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    assert isinstance(value, float)
    h = 1e-6
    numeric = [
        (objective.value(theta + h * e) - objective.value(theta - h * e)) / (2 * h)
        for e in np.eye(5)
    ]
    np.testing.assert_allclose(gradient, numeric, atol=1e-8)


def test_hessian_and_product(objective):
    theta, v = RNG.normal(size=5), RNG.normal(size=5)
    hessian = objective.hessian(theta)
    h = 1e-5
    numeric = [
        (objective.gradient(theta + h * e) - objective.gradient(theta - h * e)) / (2 * h)
        for e in np.eye(5)
    ]
    np.testing.assert_allclose(hessian, numeric, atol=1e-8)
    np.testing.assert_allclose(objective.hessian_product(theta, v), hessian @ v, atol=1e-13)


def test_scipy_minimises_it(objective):
    result = minimize(
        objective.value_and_gradient, objective.start, jac=True,
        hessp=objective.hessian_product, method="trust-ncg",
    )  # fmt: skip
    assert result.success
    np.testing.assert_allclose(objective.gradient(result.x), 0, atol=1e-4)


def test_pack_and_unpack(objective):
    np.testing.assert_array_equal(objective.start, [0, 0, 0, 0, 0.5])
    theta = np.arange(5.0)
    unpacked = objective.unpack(theta)
    assert unpacked[w].shape == (4,)
    assert unpacked[c] == 4.0
    np.testing.assert_array_equal(objective.pack(unpacked), theta)
    with pytest.raises(sd.ShapeError, match="theta must have 5 elements, got 3"):
        objective.unpack(np.zeros(3))
    with pytest.raises(sd.BindingError, match="no value for c"):
        objective.pack({w: np.zeros(4)})


def test_pickle(objective):
    other = pickle.loads(pickle.dumps(objective))
    theta = RNG.normal(size=5)
    assert other.value(theta) == objective.value(theta)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_of_one_sample(reduction):
    objective = codegen.Objective(
        (a * x + b - z) ** 2, {a: 0.0, b: 0.0}, {x: XS, z: YS}, reduction=reduction
    )
    expected = getattr(np, reduction)((2 * XS - 1 - YS) ** 2)
    np.testing.assert_allclose(objective.value([2, -1]), expected, rtol=1e-13)


def test_missing_and_surplus_data():
    with pytest.raises(sd.BindingError, match="no value for z"):
        codegen.Objective((a * x - z) ** 2, {a: 0.0}, {x: XS})
    with pytest.raises(sd.BindingError, match="does not contain b"):
        codegen.Objective((a * x) ** 2, {a: 0.0}, {x: XS, b: XS})


SIGMA = np.linspace(0.05, 0.1, 60)


@pytest.mark.parametrize(
    "options", [{}, {"sigma": SIGMA}, {"sigma": SIGMA, "absolute_sigma": True}]
)
def test_fit_curve_agrees_with_scipy(options):
    fit = codegen.fit_curve(a * sp.exp(-b * x), {x: XS}, YS, {a: 1.0, b: 1.0}, **options)
    expected, covariance = curve_fit(
        lambda x, a, b: a * np.exp(-b * x), XS, YS, [1, 1], xtol=1e-14, ftol=1e-14, **options
    )
    np.testing.assert_allclose(list(fit.parameters.values()), expected, rtol=1e-7)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-5)
    np.testing.assert_allclose(
        [fit.standard_errors[a], fit.standard_errors[b]], np.sqrt(np.diag(covariance)), rtol=1e-5
    )
    weights = 1 / options.get("sigma", 1.0)
    residuals = (expected[0] * np.exp(-expected[1] * XS) - YS) * weights
    np.testing.assert_allclose(fit.residual_sum_of_squares, residuals @ residuals, rtol=1e-9)
    assert fit.converged


def test_fit_curve_without_full_rank_says_so():
    fit = codegen.fit_curve(a * b * x, {x: XS}, 2 * XS, {a: 1.0, b: 1.0})
    assert np.isinf(fit.covariance).all()
    assert "rank" in fit.message


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: codegen.fit_curve(a * x, {x: XS}, YS[:-1], {a: 1.0}), "x has shape (60,)"),
        (lambda: codegen.fit_curve(a * x, {}, YS, {a: 1.0}), "no value for x"),
        (lambda: codegen.fit_curve(a * x, {x: XS * np.nan}, YS, {a: 1.0}), "x contains NaN"),
        (lambda: codegen.fit_curve(a * x, {x: XS}, YS, {a: 1.0}, sigma=0.0), "sigma"),
        (lambda: codegen.fit_curve(sp.log(a) * x, {x: XS}, YS, {a: -1.0}), "start"),
    ],
)
def test_fit_curve_errors(call, words):
    with pytest.raises(sd.SymdiffError) as error:
        call()
    assert words in str(error.value)
