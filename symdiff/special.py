"""Special functions as elementwise rows: SymPy's form, SciPy's meaning, the derivative.

Where a derivative has no closed form, with respect to an order for example, it is refused.
Formulas of derivatives: NIST Digital Library of Mathematical Functions, by section.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import sympy as sp

from .errors import UnsupportedOperation

__all__ = ["SPECIAL", "SpecialRow", "scipy_function", "whole_order"]

SpecialRow = tuple[str, Callable[..., Any], Callable[..., Any], Callable[..., Any]]


def scipy_function(name: str, position: int | None = None) -> Callable[..., Any]:
    """A function of ``scipy.special``, imported when it is called; or one of its results."""

    def call(*arrays: Any) -> Any:
        from scipy import special

        result = getattr(special, name)(*arrays)
        return result if position is None else result[position]

    return call


def _of_argument(name: str, derivative: Callable[..., sp.Expr]) -> Callable[..., sp.Expr]:
    """Partials of a function of an order and an argument."""

    def partial(position: int, order: sp.Expr, x: sp.Expr) -> sp.Expr:
        if position == 0:
            raise UnsupportedOperation(
                f"{name} has no derivative in closed form with respect to its first argument"
            )
        return derivative(order, x)

    return partial


def _unary(derivative: Callable[[sp.Expr], sp.Expr]) -> Callable[..., sp.Expr]:
    return lambda position, x: derivative(x)


def _filled(numerator: sp.Expr, x: sp.Expr) -> sp.Expr:
    """``numerator / x``, which tends to 1 at 0."""
    return sp.Piecewise((1, sp.Eq(x, 0)), (numerator / x, True))


def whole_order(function: Callable[..., Any], order: Any, x: Any) -> Any:
    """SciPy takes whole orders only and would cut others off."""
    order = np.asarray(order)
    whole = np.floor(order) == order
    return np.where(whole, function(np.where(whole, order, 0).astype(np.int64), x), np.nan)


def _expint(order: Any, x: Any) -> Any:
    return whole_order(scipy_function("expn"), order, x)


def _expint_derivative(order: sp.Expr, x: sp.Expr) -> sp.Expr:
    # SciPy has no negative orders; below 2 the recurrence gives the order before (8.19.12)
    recurrence = (sp.exp(-x) - (order - 1) * sp.expint(order, x)) / x
    return -sp.Piecewise((sp.expint(order - 1, x), order >= 2), (recurrence, True))


def _lower_gamma(order: Any, x: Any) -> Any:
    return scipy_function("gammainc")(order, x) * scipy_function("gamma")(order)


def _upper_gamma(order: Any, x: Any) -> Any:
    return scipy_function("gammaincc")(order, x) * scipy_function("gamma")(order)


def _lambertw(x: Any, branch: Any) -> Any:
    """The real branches 0 and -1; NaN where the value is not real."""
    x, branch = np.broadcast_arrays(x, branch)
    value = scipy_function("lambertw")(x, np.asarray(branch).astype(np.int64))
    real = (x >= -np.exp(-1.0)) & ((branch == 0) | ((branch == -1) & (x <= 0)))
    return np.where(real, value.real, np.nan)


def _lambertw_partial(position: int, x: sp.Expr, branch: sp.Expr) -> sp.Expr:
    if position == 1:
        raise UnsupportedOperation("lambertw has no derivative with respect to its branch")
    w = sp.LambertW(x, branch)
    return sp.exp(-w) / (1 + w)  # not w / (x * (1 + w)): defined at 0 too


def _beta_partial(position: int, a: sp.Expr, b: sp.Expr) -> sp.Expr:
    own = (a, b)[position]
    return sp.beta(a, b) * (sp.polygamma(0, own) - sp.polygamma(0, a + b))


def _bessel(name: str, function: Any, sign: int, routine: str) -> SpecialRow:
    """``(f(v - 1) - sign * f(v + 1)) / 2``, for K with the opposite sign in front (10.6, 10.29)."""
    front = -1 if name == "besselk" else 1

    def derivative(order: sp.Expr, x: sp.Expr) -> sp.Expr:
        return front * (function(order - 1, x) - sign * function(order + 1, x)) / 2

    return name, function, scipy_function(routine), _of_argument(name, derivative)


def _spherical(name: str, function: Any) -> SpecialRow:
    """``(n f(n - 1) - (n + 1) f(n + 1)) / (2n + 1)`` (10.51.2)."""

    def derivative(order: sp.Expr, x: sp.Expr) -> sp.Expr:
        below = sp.Piecewise((0, sp.Eq(order, 0)), (order * function(order - 1, x), True))
        return (below - (order + 1) * function(order + 1, x)) / (2 * order + 1)

    meaning = partial(whole_order, scipy_function(f"spherical_{name}"))
    return name, function, meaning, _of_argument(name, derivative)


_HALF_ROOT_PI = sp.sqrt(sp.pi) / 2

SPECIAL: list[SpecialRow] = [
    ("erfi", sp.erfi, scipy_function("erfi"), _unary(lambda x: sp.exp(x**2) / _HALF_ROOT_PI)),
    ("erfcinv", sp.erfcinv, scipy_function("erfcinv"),
     _unary(lambda x: -_HALF_ROOT_PI * sp.exp(sp.erfcinv(x) ** 2))),
    ("beta", sp.beta, scipy_function("beta"), _beta_partial),
    ("lowergamma", sp.lowergamma, _lower_gamma,
     _of_argument("lowergamma", lambda s, x: x ** (s - 1) * sp.exp(-x))),
    ("uppergamma", sp.uppergamma, _upper_gamma,
     _of_argument("uppergamma", lambda s, x: -(x ** (s - 1)) * sp.exp(-x))),
    _bessel("besselj", sp.besselj, 1, "jv"),
    _bessel("bessely", sp.bessely, 1, "yv"),
    _bessel("besseli", sp.besseli, -1, "iv"),
    _bessel("besselk", sp.besselk, -1, "kv"),
    _spherical("jn", sp.jn),
    _spherical("yn", sp.yn),
    ("ei", sp.Ei, scipy_function("expi"), _unary(lambda x: sp.exp(x) / x)),
    ("expint", sp.expint, _expint, _of_argument("expint", _expint_derivative)),
    ("si", sp.Si, scipy_function("sici", 0), _unary(lambda x: _filled(sp.sin(x), x))),
    ("ci", sp.Ci, scipy_function("sici", 1), _unary(lambda x: sp.cos(x) / x)),
    ("shi", sp.Shi, scipy_function("shichi", 0), _unary(lambda x: _filled(sp.sinh(x), x))),
    ("chi", sp.Chi, scipy_function("shichi", 1), _unary(lambda x: sp.cosh(x) / x)),
    ("lambertw", sp.LambertW, _lambertw, _lambertw_partial),
    ("airyai", sp.airyai, scipy_function("airy", 0), _unary(sp.airyaiprime)),
    ("airyaiprime", sp.airyaiprime, scipy_function("airy", 1), _unary(lambda x: x * sp.airyai(x))),
    ("airybi", sp.airybi, scipy_function("airy", 2), _unary(sp.airybiprime)),
    ("airybiprime", sp.airybiprime, scipy_function("airy", 3), _unary(lambda x: x * sp.airybi(x))),
    ("fresnels", sp.fresnels, scipy_function("fresnel", 0),
     _unary(lambda x: sp.sin(sp.pi * x**2 / 2))),
    ("fresnelc", sp.fresnelc, scipy_function("fresnel", 1),
     _unary(lambda x: sp.cos(sp.pi * x**2 / 2))),
]  # fmt: skip
"""Name, SymPy form, NumPy meaning and partial derivatives of each row."""
