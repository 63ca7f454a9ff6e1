"""What the stable functions mean in NumPy; kernels spell the same formulas (``codegen``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .special import scipy_function

__all__ = [
    "cos_of",
    "exp_asinh",
    "hypot",
    "log1mexp",
    "log_cosh",
    "log_erfc",
    "log_normal_cdf",
    "normal_hazard",
    "normal_hazard_slope",
    "one_minus_square",
]

LN2, ROOT_HALF = 0.6931471805599453, 0.7071067811865476
ROOT_TWO_OVER_PI, LOG_ROOT_TWO_OVER_PI = 0.7978845608028654, -0.22579135264472744
LOG_ROOT_TWO_PI = 0.9189385332046727

FAR = 4.0
"""Beyond this the hazard of the normal distribution is a continued fraction of LEVELS levels."""
LEVELS = 40


def _real(x: Any) -> Any:
    return np.asarray(x, np.result_type(x, np.float32))


def log1mexp(x: Any) -> Any:
    """log(1 - exp(x))."""
    x = _real(x)
    return np.where(x > -LN2, np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def log_cosh(x: Any) -> Any:
    """log(cosh(x))."""
    a = np.abs(_real(x))
    t = np.expm1(-a)
    return np.where(a < 1, np.log1p(t * t / (2 * (1 + t))), a + (np.log1p(np.exp(-2 * a)) - LN2))


def _fraction(x: Any) -> tuple[Any, Any]:
    """H - x for the hazard h of large x: ``1 / (x + t)``, and t = 2/(x + 3/(x + ...)))."""
    t = np.zeros_like(x)
    for level in range(LEVELS, 1, -1):
        t = level / (x + t)
    return 1 / (x + t), t


def normal_hazard(x: Any) -> Any:
    """The density over the upper tail of the normal distribution."""
    x = _real(x)
    far = np.maximum(x, FAR)
    near = np.minimum(x, FAR)
    tail = scipy_function("erfc")(near * x.dtype.type(ROOT_HALF))
    direct = ROOT_TWO_OVER_PI * np.exp(-near * near / 2) / tail
    return np.where(x > FAR, far + _fraction(far)[0], direct)


def normal_hazard_slope(x: Any) -> Any:
    """The derivative of the hazard."""
    x = _real(x)
    excess, t = _fraction(np.maximum(x, FAR))
    near = np.maximum(np.minimum(x, FAR), x.dtype.type(-1e3))  # the hazard is 0 below
    h = normal_hazard(near)
    return np.where(x > FAR, 1 - excess * (t - excess), h * (h - near))


def log_erfc(x: Any) -> Any:
    """log(erfc(x))."""
    x = _real(x)
    far = np.maximum(x, 2)
    hazard = normal_hazard(far * x.dtype.type(np.sqrt(2.0)))
    tail = LOG_ROOT_TWO_OVER_PI - np.log(hazard) - far * far
    middle = np.log(scipy_function("erfc")(x))
    near = np.log1p(-scipy_function("erf")(np.minimum(x, 1)))
    return np.where(x < 0.5, near, np.where(x > 2, tail, middle))


def log_normal_cdf(x: Any) -> Any:
    """log(Phi(x))."""
    x = _real(x)
    erfc, scale = scipy_function("erfc"), x.dtype.type(ROOT_HALF)
    low = np.minimum(x, -3)
    tail = -np.log(normal_hazard(-low)) - low * low / 2 - LOG_ROOT_TWO_PI
    right = np.log1p(-erfc(x * scale) / 2)
    return np.where(x > 0, right, np.where(x < -3, tail, np.log(erfc(-x * scale) / 2)))


def hypot(x: Any, y: Any) -> Any:
    """sqrt(x**2 + y**2)."""
    return np.hypot(_real(x), _real(y))


def cos_of(x: Any, y: Any) -> Any:
    """X / hypot(x, y), and 0 where both are 0."""
    x, y = np.broadcast_arrays(*np.asarray([*np.broadcast_arrays(_real(x), _real(y))]))
    a, b = np.abs(x), np.abs(y)
    wide = np.where(a >= b, y / x, x / y)
    length = np.sqrt(1 + wide * wide)
    result = np.where(a >= b, np.sign(x), np.sign(x) * np.abs(wide)) / length
    return np.where((x == 0) & (y == y), x, result)


def exp_asinh(x: Any) -> Any:
    """X + sqrt(x**2 + 1)."""
    x = _real(x)
    root = np.hypot(x, np.ones_like(x))
    return np.where(x < 0, 1 / (root - np.minimum(x, 0)), x + root)


def one_minus_square(x: Any) -> Any:
    """1 - x**2."""
    x = _real(x)
    return (1 - x) * (1 + x)
