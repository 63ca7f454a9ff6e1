"""The names that kernels for a device import, for threads of :mod:`codegen.gpu.scheduler`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from codegen import plain, plain_special
from codegen.translation.builtins import TF32_HALF

from . import control
from .memory import Memory
from .scheduler import call_site, current

VECTOR = (
    "exp", "expm1", "log", "log1p", "sin", "cos", "tan", "sinh", "cosh", "tanh", "power", "erf",
    "erfc", "sigmoid", "softplus", "log_sigmoid", "gelu",
)  # fmt: skip
"""Functions that kernels call by the names of :mod:`codegen.vector_math`."""

NUMPY = (
    "sqrt", "arcsin", "arccos", "arctan", "arctan2", "arcsinh", "arccosh", "arctanh", "floor",
    "ceil",
)  # fmt: skip
"""Functions that kernels call by NumPy's names."""

POINTERS = ("at", "float32s", "float64s", "integers", "naturals")
"""What kernels do with pointers; :mod:`codegen.runtime` has the same for Numba."""


class Cuda:
    """Stands for ``numba.cuda``: decorators that leave functions as they are."""

    def jit(self, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Give back the function."""
        return function if function is not None else lambda decorated: decorated


def _same(pointer: Any) -> Any:
    return pointer


def at(pointer: Memory, offset: int) -> Memory:
    """The elements from an offset on."""
    return pointer.at(offset)


def quotient(a: int, b: int) -> int:
    """``a // b`` of a position, which is never negative."""
    assert a >= 0 < b, f"{a} // {b} is not one of a position"
    return a // b


def remainder(a: int, b: int) -> int:
    """``a % b`` of a position, which is never negative."""
    assert a >= 0 < b, f"{a} % {b} is not one of a position"
    return a % b


def warp_wait() -> None:
    """Until all threads of the warp are here."""
    thread = current()
    thread.wait(thread.grid.warps[thread.warp], "warp_wait")


def block_wait() -> None:
    """Until all threads of the block are here."""
    thread = current()
    thread.wait(thread.grid.blocks[thread.block], "block_wait")


def grid_wait(barrier: Any, nth: int) -> None:
    """Until all threads are here."""
    thread = current()
    thread.wait(thread.grid.whole, "grid_wait")


def exchange(x: Any, distance: int) -> Any:
    """The number of the thread whose place in the warp is ours xor a distance.

    It orders no accesses to memory, and does not on a device.
    """
    thread = current()
    return thread.wait(thread.grid.warps[thread.warp], "exchange", (x, distance))


def scratch(x: Any) -> Memory:
    """Memory of the block, one number like x for each warp; all calls give the same."""
    grid = current().grid
    return grid.shared(current().block, ("scratch",), grid.size // grid.warp, _dtype(x))


def shared_array(count: int, like: Any) -> Memory:
    """Memory of the block of so many numbers; each place of the text that calls has its own."""
    return current().grid.shared(current().block, call_site(), count, _dtype(like))


def _dtype(like: Any) -> np.dtype:
    return like.dtype if isinstance(like, Memory) else np.asarray(like).dtype


def maximum(a: Any, b: Any) -> Any:
    """The larger one; NaN if either is."""
    return a if a >= b or a != a else b


def minimum(a: Any, b: Any) -> Any:
    """The smaller one; NaN if either is."""
    return a if a <= b or a != a else b


def tf32(x: Any) -> Any:
    """The nearest float32 number of eleven digits in base 2, of two the one away from 0."""
    bits = np.asarray(x, np.float32).view(np.uint32) + np.uint32(TF32_HALF)
    near = (bits & np.uint32(2**32 - 2 * TF32_HALF)).view(np.float32)
    return np.where(np.isnan(x), x, near)[()]


def product_tf32(
    i: int, j: int, p: int,
    a: Any, a_stride: int, a_transposed: int, b: Any, b_stride: int, b_transposed: int,
) -> Any:  # fmt: skip
    """As ``product``, of operands rounded to TF32."""
    left = a[p * a_stride + i] if a_transposed else a[i * a_stride + p]
    right = b[j * b_stride + p] if b_transposed else b[p * b_stride + j]
    return tf32(left) * tf32(right)


def product(
    i: int, j: int, p: int,
    a: Any, a_stride: int, a_transposed: int, b: Any, b_stride: int, b_transposed: int,
) -> Any:  # fmt: skip
    """``a[i, p] * b[p, j]``."""
    left = a[p * a_stride + i] if a_transposed else a[i * a_stride + p]
    right = b[j * b_stride + p] if b_transposed else b[p * b_stride + j]
    return left * right


def gemm(
    tid: int, nth: int, size: int, m: int, n: int, k: int,
    a: Any, a_stride: int, a_transposed: int, b: Any, b_stride: int, b_transposed: int,
    c: Any, c_stride: int, accumulate: int,
) -> None:  # fmt: skip
    """``c = a @ b`` or ``c += a @ b``: what it means, an element at a time.

    As with tiles, an element's thread is not the one that has it in a loop over all elements: a
    barrier that is missing there is a race.
    """
    for element in range(nth - 1 - tid, m * n, nth):
        i = element // n
        j = element % n
        place = i * c_stride + j
        if k > 0:
            total = product(i, j, 0, a, a_stride, a_transposed, b, b_stride, b_transposed)
            for p in range(1, k):
                total += product(i, j, p, a, a_stride, a_transposed, b, b_stride, b_transposed)
            c[place] = c[place] + total if accumulate else total
        elif not accumulate:
            c[place] = 0


@functools.cache
def names(warp: int) -> Mapping[str, Mapping[str, Any]]:
    """What the text of a kernel imports, by module, where a warp has so many threads."""
    primitives = {
        "WARP": warp, "block_wait": block_wait, "exchange": exchange, "grid_wait": grid_wait,
        "maximum": maximum, "minimum": minimum, "scratch": scratch, "warp_wait": warp_wait,
    }  # fmt: skip
    cuda = Cuda()
    return {
        "numba": {"cuda": cuda},
        "codegen.gpu": {"special": plain_special},
        "codegen.gpu.runtime": {
            **primitives, **control.bound(primitives), **control.reductions(primitives),
            "MOST_WARPS": control.MOST_WARPS,
            "cuda": cuda, **dict.fromkeys(POINTERS, _same), "anew": _same, "at": at,
            "carried": plain.carried, "quotient": quotient, "remainder": remainder,
            "shared_array": shared_array, "step_over": plain.step_over,
        },
        "codegen.gpu.mathematics": {
            "np": np,
            **{name: getattr(plain, name) for name in VECTOR},
            **{name: getattr(np, name) for name in NUMPY},
        },
        "codegen.gpu.products": {
            "gemm": gemm, "gemm_tf32": control.with_primitives(gemm, {"product": product_tf32}),
        },
    }  # fmt: skip
