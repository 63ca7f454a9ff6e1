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

__all__ = [
    "BRANCH_NEAR",
    "BRANCH_POINT",
    "BRANCH_SERIES",
    "REFLECTED",
    "SERIES",
    "SPECIAL",
    "SpecialRow",
    "polygamma",
    "scipy_function",
    "whole_order",
]

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


def _natural_order(function: Callable[..., Any], order: Any, x: Any) -> Any:
    order = np.asarray(order)
    natural = (order >= 0) & (order < 2.0**31)
    return np.where(natural, whole_order(function, np.where(natural, order, 0), x), np.nan)


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


BRANCH_POINT = (0.36787944117144233, -1.2428753672788363e-17)
"""1/e in two parts; Lambert's W branches at -1/e."""

BRANCH_SERIES = (
    -1.0, 1.0, -1 / 3, 11 / 72, -43 / 540, 769 / 17280, -221 / 8505, 680863 / 43545600,
    -1963 / 204120, 226287557 / 37623398400,
)  # fmt: skip
"""W in powers of ``sqrt(2 (e x + 1))``: Corless et al., On the Lambert W function (1996), 4.22."""

BRANCH_NEAR = 1e-3
"""``x + 1/e`` below which the series is used."""


def _lambertw(x: Any, branch: Any) -> Any:
    """The real branches 0 and -1; NaN where the value is not real."""
    x, branch = np.broadcast_arrays(np.asarray(x, np.result_type(x, np.float32)), branch)
    value = scipy_function("lambertw")(x, np.asarray(branch).astype(np.int64)).real
    # SciPy loses digits where the branches meet
    distance = (x + x.dtype.type(BRANCH_POINT[0])) + x.dtype.type(BRANCH_POINT[1])
    root = np.sqrt(np.maximum(2 * np.e * distance, 0))
    root = np.where(branch == 0, root, -root)
    series = np.polynomial.polynomial.polyval(root, BRANCH_SERIES)
    value = np.where(distance < BRANCH_NEAR, series, value)
    real = (x >= -np.exp(-1.0)) & ((branch == 0) | ((branch == -1) & (x <= 0)))
    return np.where(real, value, np.nan)


def cotangent_derivative(order: int) -> list[float]:
    """The derivative of ``cot(t)`` as a polynomial in ``cot(t)``."""
    coefficients = [0.0, 1.0]
    for _ in range(order):
        slope = [k * c for k, c in enumerate(coefficients)][1:]
        coefficients = [0.0] * (len(slope) + 2)
        for k, c in enumerate(slope):
            coefficients[k] -= c
            coefficients[k + 2] -= c
    return coefficients


REFLECTED = 20
"""Orders of polygamma up to which negative arguments are reflected (5.15.6)."""


def _polygamma(order: Any, x: Any) -> Any:
    """SciPy's; it adds up a term for each integer left of 0, and gives NaN where they are many."""
    from scipy import special

    order, x = np.broadcast_arrays(order, np.asarray(x, np.result_type(x, np.float32)))
    far = (x < 0) & np.isfinite(x) & (order > 0) & (order <= REFLECTED) & (x != np.floor(x))
    value = special.polygamma(order, np.where(far, 1 - x, x))
    for n in np.unique(order[far]):
        here = far & (order == n)
        t = x[here].astype(np.float64)
        cotangent = 1 / np.tan(np.pi * (t - np.round(t)))
        term = np.polynomial.polynomial.polyval(cotangent, cotangent_derivative(int(n)))
        value[here] = (-1.0) ** n * value[here] - np.pi ** (n + 1.0) * term
    return value


def polygamma(order: Any, x: Any) -> Any:
    """The derivative of digamma of an order; NaN unless the order is a natural number."""
    return whole_order(_polygamma, order, x)


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


def _spherical_jn(order: Any, x: Any) -> Any:
    """SciPy's, and the series near 0, where SciPy's recurrence cancels (10.53.1)."""
    x = np.asarray(x, np.result_type(x, np.float32))
    order, x = np.broadcast_arrays(order, x)
    near = x * x <= 2 * order + 3
    factor = np.where(near, -x * x / 2, 0)
    total, term = np.ones_like(x), np.ones_like(x)
    for k in range(1, SERIES):
        term = term * factor / (k * (2 * order + 2 * k + 1))
        total = total + term
    for k in range(1, int(np.max(order, initial=0)) + 1):
        total = np.where(k <= order, total * x / (2 * k + 1), total)
    far = scipy_function("spherical_jn")(order, np.where(near, 1 + order + abs(x), x))
    return np.where(near, total, far)


SERIES = 16
"""Terms of the series of spherical Bessel functions; each is less than half the one before."""


def _spherical(name: str, function: Any) -> SpecialRow:
    """``(n f(n - 1) - (n + 1) f(n + 1)) / (2n + 1)`` (10.51.2)."""

    def derivative(order: sp.Expr, x: sp.Expr) -> sp.Expr:
        below = sp.Piecewise((0, sp.Eq(order, 0)), (order * function(order - 1, x), True))
        return (below - (order + 1) * function(order + 1, x)) / (2 * order + 1)

    routine = _spherical_jn if name == "jn" else scipy_function("spherical_yn")
    return name, function, partial(_natural_order, routine), _of_argument(name, derivative)


def _zeta(s: Any, q: Any) -> Any:
    """Hurwitz's zeta function of s > 1; NaN elsewhere, where SciPy's versions differ."""
    defined = (np.asarray(s) >= 1) & ~np.isnan(q)
    return np.where(defined, scipy_function("zeta")(s, q), np.nan)


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
    ("zeta", sp.zeta, _zeta, _of_argument("zeta", lambda s, q: -s * sp.zeta(s + 1, q))),
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
