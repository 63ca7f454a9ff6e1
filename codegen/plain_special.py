"""The names of ``special`` for kernels run as plain Python: SciPy's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special


def gamma(x: Any) -> Any:
    return special.gamma(np.float64(x))


def gammaln(x: Any) -> Any:
    return special.gammaln(np.float64(x))


def psi(x: Any) -> Any:
    return special.psi(np.float64(x))


def erfinv(x: Any) -> Any:
    return special.erfinv(np.float64(x))


def zeta(s: Any, q: Any) -> Any:
    return special.zeta(np.float64(s), np.float64(q))


def polygamma(order: Any, x: Any) -> Any:
    order, x = np.float64(order), np.float64(x)
    if not 0 <= order < 2**63 or order != np.floor(order):
        return np.float64(np.nan)
    if order == 0:
        return special.psi(x)
    sign = 1.0 if order % 2 == 1 else -1.0
    return sign * special.gamma(order + 1) * special.zeta(order + 1, x)
