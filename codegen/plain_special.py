"""The names of ``special`` for kernels run as plain Python: SciPy's own functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from symdiff.special import SPECIAL
from symdiff.special import polygamma as symdiff_polygamma

_NAMES = {
    "beta": "beta",
    "besseli": "iv",
    "besselj": "jv",
    "besselk": "kv",
    "bessely": "yv",
    "digamma": "psi",
    "ei": "expi",
    "erfcinv": "erfcinv",
    "erfi": "erfi",
    "erfinv": "erfinv",
    "gamma": "gamma",
    "loggamma": "gammaln",
}
_RESULTS = {
    "airy": ("airyai", "airyaiprime", "airybi", "airybiprime"),
    "fresnel": ("fresnels", "fresnelc"),
    "shichi": ("shi", "chi"),
    "sici": ("si", "ci"),
}


def _function(routine: str, position: int | None = None) -> Callable[..., Any]:
    """A function of SciPy on float64; or one of its results."""

    def call(*arguments: Any) -> Any:
        result = getattr(special, routine)(*map(np.float64, arguments))
        return result if position is None else result[position]

    return call


globals().update({name: _function(routine) for name, routine in _NAMES.items()})
globals().update(
    {
        name: _function(routine, position)
        for routine, names in _RESULTS.items()
        for position, name in enumerate(names)
    }
)


def lowergamma(order: Any, x: Any) -> Any:
    """The lower incomplete gamma function, not regularised."""
    return special.gammainc(np.float64(order), np.float64(x)) * special.gamma(np.float64(order))


def uppergamma(order: Any, x: Any) -> Any:
    """The upper incomplete gamma function, not regularised."""
    return special.gammaincc(np.float64(order), np.float64(x)) * special.gamma(np.float64(order))


def _is_natural(order: Any) -> bool:
    return bool(0 <= order < 2**31 and order == np.floor(order))


def expint(order: Any, x: Any) -> Any:
    """The generalised exponential integral; NaN unless the order is a natural number."""
    return special.expn(int(order), np.float64(x)) if _is_natural(order) else np.float64(np.nan)


def polygamma(order: Any, x: Any) -> Any:
    """The derivative of digamma of an order; NaN unless the order is a natural number."""
    return symdiff_polygamma(np.float64(order), np.float64(x))[()] if _is_natural(order) else np.nan


def jn(order: Any, x: Any) -> Any:
    """The spherical Bessel function of the first kind, as ``symdiff`` evaluates it."""
    return _meaning("jn", order, x)


def yn(order: Any, x: Any) -> Any:
    """The spherical Bessel function of the second kind, as ``symdiff`` evaluates it."""
    return _meaning("yn", order, x)


def zeta(s: Any, q: Any) -> Any:
    """Hurwitz's zeta function, as ``symdiff`` evaluates it."""
    return _meaning("zeta", s, q)


def _meaning(name: str, *arguments: Any) -> Any:
    row = next(row for row in SPECIAL if row[0] == name)
    return row[2](*map(np.float64, arguments))[()]


def lambertw(x: Any, branch: Any) -> Any:
    """The real branches 0 and -1 of Lambert's W; NaN elsewhere."""
    return _meaning("lambertw", x, branch)
