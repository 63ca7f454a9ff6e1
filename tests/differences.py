"""Finite differences, the judge of every gradient in the tests."""

import numpy as np

import symdiff as sd

# weights of f(x - 2h), f(x - h), f(x + h), f(x + 2h): exact for polynomials up to degree 4
STENCIL = ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12))


def finite_difference(function, values, symbol, step=1e-3):
    """The gradient of a scalar function of `{symbol: array}`, entry by entry."""
    start = np.asarray(values[symbol], dtype=float)
    result = np.zeros(start.shape)
    for index in np.ndindex(start.shape):
        total = 0.0
        for offset, weight in STENCIL:
            moved = start.copy()
            moved[index] += offset * step
            total += weight * float(function({**values, symbol: moved}))
        result[index] = total / step
    return result


def value(expression, values, dtype="float64"):
    """Evaluate, given the values of more symbols than the expression may need."""
    return sd.evaluate(expression, values, dtype=dtype)


def check(loss, symbols, values, rtol=1e-7, atol=1e-8, step=1e-3):
    """Compare the gradients of a loss with finite differences of its value."""
    gradients = sd.gradient(loss, list(symbols))
    for symbol, gradient in zip(symbols, gradients, strict=True):
        assert sd.shape(gradient) == sd.shape(symbol)
        expected = finite_difference(lambda v: value(loss, v), values, symbol, step)
        np.testing.assert_allclose(
            value(gradient, values), expected, rtol=rtol, atol=atol, err_msg=f"d/d{symbol}"
        )
    return gradients
