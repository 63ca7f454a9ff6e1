"""Special functions of kernels on a device, where SciPy's routines cannot be called.

Written in the language of kernels, in float64 as on the processor, whatever the type of a kernel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import special as processor
from .control import with_primitives

zeta: Any = processor.zeta
log_gamma: Any = processor.loggamma
"""The logarithm of gamma of a finite number."""


def loggamma(x: Any) -> Any:
    """The logarithm of the absolute value of the gamma function."""
    return x if x == -np.inf else log_gamma(x)


# --- digamma -----------------------------------------------------------------------------

_ROOT = (1569415565.0 / 1073741824, 381566830.0 / 1073741824**2, 0.9016312093258695919e-19)
"""The positive root of digamma in three parts, of which the first ones are exact."""

_SLOPE = 0.99558162689208984
"""Digamma over the distance from its root is this and the quotient of two polynomials in x - 1.

As in the Boost C++ libraries (J. Maddock), ``digamma.hpp``.
"""
_NUMERATOR = (
    -0.0020713321167745952, -0.045251321448739056, -0.28919126444774784, -0.65031853770896507,
    -0.32555031186804491, 0.25479851061131551,
)  # fmt: skip
_DENOMINATOR = (
    -0.55789841213675513e-6, 0.0021284987017821144, 0.054151797245674225, 0.43593529692665969,
    1.4606242909763515, 2.0767117023730469, 1.0,
)  # fmt: skip

_ASYMPTOTIC = (
    1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12,
)  # fmt: skip
"""B_2k / 2k, the last one first: NIST Digital Library of Mathematical Functions, 5.11.2."""

_NEGATIVE_ROOT = -0.504083008264455409
_NEGATIVE_ROOT_VALUE = 7.2897639029768949e-17
"""The first negative root and what digamma is at the float64 number."""


def digamma(x: Any) -> Any:
    """The derivative of the logarithm of the gamma function."""
    x = np.float64(x)
    if x == 0.0:
        return -1.0 / x
    if x == np.inf:
        return x
    total = 0.0
    if x < 0.0:
        distance = x - _NEGATIVE_ROOT
        if abs(distance) < 0.3:
            # a series about the root: the sum of two large numbers would cancel there
            total = _NEGATIVE_ROOT_VALUE
            power = -1.0
            for k in range(2, 100):
                power *= -distance
                term = power * zeta(float(k), _NEGATIVE_ROOT)
                total += term
                if abs(term) <= 1e-17 * abs(total):
                    break
            return total
        if x == np.floor(x) or x == -np.inf:
            return np.nan
        total = -np.pi / np.tan(np.pi * (x - np.round(x)))
        x = 1.0 - x
    if x < 1.0:
        total -= 1.0 / x
        x += 1.0
    if x < 10.0:
        while x > 2.0:
            x -= 1.0
            total += 1.0 / x
        above = 0.0
        for coefficient in _NUMERATOR:
            above = above * (x - 1.0) + coefficient
        below = 0.0
        for coefficient in _DENOMINATOR:
            below = below * (x - 1.0) + coefficient
        distance = ((x - _ROOT[0]) - _ROOT[1]) - _ROOT[2]
        return total + (distance * _SLOPE + distance * (above / below))
    square = 1.0 / (x * x)
    series = 0.0
    for coefficient in _ASYMPTOTIC:
        series = series * square + coefficient
    return total + (np.log(x) - 0.5 / x - square * series)


# --- spherical Bessel functions ----------------------------------------------------------

_HUGE = 1e200


def jn_of_positive(order: Any, x: Any) -> Any:
    """``jn`` beyond the reach of its series: the recurrence in the direction that is stable."""
    if x == np.inf:
        return 0.0
    before = np.sin(x) / x
    if order == 0.0:
        return before
    first = before
    current = (before - np.cos(x)) / x
    if order < x:
        for k in range(1, int(order)):
            before, current = current, (2.0 * k + 1.0) * current / x - before
        return current
    second = current
    # Miller's algorithm: downwards from where the functions are next to nothing
    above = 0.0
    here = 1e-200
    wanted = 0.0
    k = int(order + 20.0 + 15.0 * order ** (1.0 / 3.0))
    while k > 0:
        above, here = here, (2.0 * k + 1.0) / x * here - above
        k -= 1
        if k == order:
            wanted = here
        if abs(here) > _HUGE:
            above /= _HUGE
            here /= _HUGE
            wanted /= _HUGE
    # the larger one of the first two tells the scale
    return wanted * (first / here) if abs(first) > abs(second) else wanted * (second / above)


jn: Any = with_primitives(processor.jn.function, {"jn_of_positive": jn_of_positive})
"""The spherical Bessel function of the first kind; NaN unless the order is natural."""
