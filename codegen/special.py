"""Special functions for generated kernels: SciPy's compiled routines, in float64."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding as llvm
from numba import njit, types
from numba.extending import get_cython_function_address

_MODULE = "scipy.special.cython_special"


def _external(name: str, routine: str, arguments: int = 1) -> Any:
    """A routine of SciPy as a function that compiled code finds by name."""
    symbol = f"symdiff_special_{name}"
    llvm.add_symbol(symbol, get_cython_function_address(_MODULE, routine))
    signature = types.float64(*[types.float64] * arguments)
    return types.ExternalFunction(symbol, signature)


def capsules() -> list[str]:
    """The routines that SciPy exports, for finding the name of a new one."""
    from scipy.special import cython_special

    return sorted(cython_special.__pyx_capi__)


__all__ = ["capsules", "ctypes", "njit"]
