"""What the methods are measured against: differences of the loss, in numbers of many digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp

from ..errors import SymdiffError
from ..graph import Node
from . import scalars
from .methods import Problem

__all__ = ["reference"]

_DIGITS = 120
_STEP = sp.Rational(1, 10**40)
"""A central difference is then right to 80 digits, however the loss rounds and overflows."""

_LARGEST = 12_000
"""Scalar operations that the reference may take; each is some ten microseconds."""


def reference(problem: Problem) -> dict[Any, np.ndarray] | None:
    """The gradient to all digits of a double, or None where that takes long or has no form."""
    work = 2 * len(problem.entries) * scalars.scalar_count(problem.written, problem.sizes)
    if work > _LARGEST:
        return None
    entries = {
        node: scalars.numeric_entries(array, _DIGITS) if node.dtype == "real" else array
        for node, array in problem.arrays.items()
    }
    slopes = []
    try:
        for node, index in problem.entries:
            sides = [_moved(problem, entries, node, index, s * _STEP) for s in (1, -1)]
            slopes.append(float((sides[0] - sides[1]) / (2 * _STEP)))
    except (SymdiffError, ArithmeticError, TypeError, ValueError, RecursionError):
        return None
    if not all(map(math.isfinite, slopes)):
        return None
    return problem.gradient(slopes)


def _moved(problem: Problem, entries: Any, node: Node, index: Any, offset: Any) -> Any:
    array = entries[node].copy()
    array[index] += offset
    loss = scalars.written_out(
        problem.written, {**entries, node: array}, problem.sizes, digits=_DIGITS
    )
    return loss
