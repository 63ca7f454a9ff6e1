"""The names of ``runtime``, ``products`` and ``vector_math`` for kernels run as plain Python.

Pointers are NumPy arrays, and ``at`` is a slice. Used to check that the text of a kernel means
what the compiled kernel does, and to read it with a debugger.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from . import control


class Compiler:
    """Decorators that leave functions as they are."""

    def __init__(self, real: str, math: str) -> None:
        self.real = real

    def helper(self, function: Callable[..., Any]) -> Any:
        """Give back the function."""
        return function

    phase = part = entry = helper


def _same(array: Any) -> Any:
    return array


float64s = float32s = integers = naturals = _same


def carried(value: Any) -> Any:
    """The value itself."""
    return value


def step_over() -> None:
    """Nothing."""


def at(array: np.ndarray, offset: int) -> np.ndarray:
    """The elements from an offset on."""
    return array[offset:]


def wait(barrier: np.ndarray, nth: int) -> None:
    """One thread waits for nobody."""


chunk_count, share = control.chunk_count, control.share
stamp = control.with_primitives(control.stamp, {"clock": time.perf_counter_ns})


def shuffle(order: np.ndarray, count: int, state: np.ndarray) -> None:
    """Shuffle in place, with the random numbers of compiled kernels."""
    with np.errstate(over="ignore"):
        control.shuffle(order, count, state)


exp, expm1, log, log1p, sin, cos, tan, sinh, cosh, tanh, power = (
    np.exp, np.expm1, np.log, np.log1p, np.sin, np.cos, np.tan, np.sinh, np.cosh, np.tanh,
    np.power,
)  # fmt: skip
erf, erfc = scipy.special.erf, scipy.special.erfc


def beyond(x: Any) -> bool:
    """The sine and cosine of NumPy have no limits."""
    return False


def sigmoid(x: Any) -> Any:
    """As NumPy computes it without overflow."""
    z = np.exp(-abs(x))
    return (z if x < 0 else 1) / (1 + z)


def _bend(x: Any) -> Any:
    return np.log1p(np.exp(-abs(x)))


def softplus(x: Any) -> Any:
    """As NumPy computes it without overflow."""
    return np.maximum(x, 0) + _bend(x)


def log_sigmoid(x: Any) -> Any:
    """As NumPy computes it without overflow."""
    return np.minimum(x, 0) - _bend(x)


def gelu(x: Any) -> Any:
    """Multiply x by its normal distribution function."""
    return x * scipy.special.ndtr(x) if x != -np.inf else np.zeros_like(x)


def _matrix(data: np.ndarray, rows: int, columns: int, stride: int, transposed: int) -> np.ndarray:
    if transposed:
        rows, columns = columns, rows
    item = data.itemsize
    view = np.lib.stride_tricks.as_strided(data, (rows, columns), (stride * item, item))
    return view.T if transposed else view


def gemm(
    m: int, n: int, k: int,
    a: np.ndarray, a_stride: int, a_transposed: int,
    b: np.ndarray, b_stride: int, b_transposed: int,
    c: np.ndarray, c_stride: int, accumulate: int,
) -> None:  # fmt: skip
    """``c = a @ b`` or ``c += a @ b``."""
    if m == 0 or n == 0:
        return
    left = _matrix(a, m, k, a_stride, a_transposed)
    right = _matrix(b, k, n, b_stride, b_transposed)
    target = _matrix(c, m, n, c_stride, 0)
    target[...] = (target if accumulate else 0) + left @ right


def products(real: str) -> Callable[..., None]:
    """The function of matrix products."""
    return gemm
