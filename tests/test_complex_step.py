"""Derivatives of analytic rows by the complex step, which has no rounding error to speak of.

``f'(x) = Im f(x + ih) / h`` with h = 1e-30: nothing is subtracted (Squire, Trapp 1998). The
second derivative is the complex step of the first.
"""

import numpy as np
import pytest
import test_operations as elementwise
import test_structural as structural

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.elementwise import ELEMENTWISE
from symdiff.evaluate import interpret
from symdiff.graph import leaves
from symdiff.structural import STRUCTURAL

H = 1e-30

NO_COMPLEX_MEANING = {  # what NumPy or SciPy compute of them knows real numbers only, or loses h
    "airyai", "airyaiprime", "airybiprime", "atan2", "besselj", "bessely", "beta", "chi", "ci",
    "cos_of", "ei", "erfcinv", "erfinv", "exp_asinh", "expint", "hypot", "lambertw",
    "log_cosh", "log_sigmoid", "logaddexp", "loggamma", "logit", "lowergamma", "mod", "polygamma",
    "shi", "si", "sigmoid", "silu", "softplus", "uppergamma", "yn", "zeta",
}  # fmt: skip
FIRST_ORDER = {"asinh", "digamma", "jn", "besseli", "besselk"}
"""Rows whose derivative has no complex meaning."""
NOT_ANALYTIC = {"abs", "sign", "floor", "ceiling", "heaviside"}
REAL_ONLY = {"cholesky", "det", "inv", "logdet", "scan", "solve"}
"""Rows whose NumPy meaning takes real arrays only."""


def complex_value(loss, values):
    (root,) = [to_graph(loss)]
    arrays = {n: np.asarray(values[n.attributes[0]]) for n in leaves([root])}
    (result,) = interpret([root], arrays, {}, np.complex128)
    return result


def complex_step(loss, symbol, values):
    base = np.asarray(values[symbol], complex)
    result = np.empty(base.shape)
    for place in np.ndindex(*base.shape):
        moved = base.copy()
        moved[place] += 1j * H
        result[place] = complex_value(loss, {**values, symbol: moved}).imag / H
    return result


def compare(loss, symbols, values):
    gradients = sd.gradient(loss, symbols)
    for symbol, gradient in zip(symbols, gradients, strict=True):
        exact = complex_step(loss, symbol, values)
        np.testing.assert_allclose(sd.evaluate(gradient, values), exact, rtol=1e-11, atol=1e-12)
    return gradients


@pytest.mark.parametrize(
    "name",
    [n for n in elementwise.DOMAINS if ELEMENTWISE[n].differentiable and n not in NOT_ANALYTIC],
)
def test_elementwise(name):
    shapes = elementwise.PATTERNS[len(elementwise.DOMAINS[name])][-1]
    expression, symbols, values = elementwise.setup(name, shapes)
    loss = elementwise.loss_of(expression, name)
    chosen = elementwise.differentiable(name, symbols)
    if name in NO_COMPLEX_MEANING:
        with pytest.raises((TypeError, AssertionError)):
            compare(loss, chosen, values)
        return
    for first in compare(loss, chosen, values):
        if name in FIRST_ORDER:
            continue
        compare(elementwise.loss_of(first, name, seed=2), chosen, values)


ANALYTIC = [
    (name, i)
    for name, i in structural.LIST
    if STRUCTURAL[name].kind != "leaf" and STRUCTURAL[name].differentiable and name not in REAL_ONLY
]


@pytest.mark.parametrize(("name", "i"), ANALYTIC)
def test_structural(name, i):
    expression, symbols, values, _ = structural.setup(name, i)
    for first in compare(structural.projected(expression, values), symbols, values):
        compare(structural.projected(sd.sin(first), values, seed=1), symbols, values)
