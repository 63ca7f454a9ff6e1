"""What generated CPU kernels import: pointers, the barrier, shuffling, compile options.

``plain`` has the same names for the same text run as plain Python on NumPy arrays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

FAST_FLAGS = {"reassoc", "contract", "nsz", "arcp", "afn"}
"""Fast-math without nnan and ninf: NaN and infinity keep their meaning."""


class Compiler:
    """Decorators of one generated module.

    Parameters
    ----------
    real : {"float64", "float32"}
    math : {"fast", "accurate"}
        "accurate" also switches off contraction to fused multiply-add.
    """

    def __init__(self, real: str, math: str) -> None:
        self.real = {"float64": types.float64, "float32": types.float32}[real]
        self.options: dict[str, Any] = {
            "error_model": "numpy",
            "nogil": True,
            "fastmath": FAST_FLAGS if math == "fast" else False,
        }

    def helper(self, function: Callable[..., Any]) -> Any:
        """A function of scalars."""
        return self._part(function)

    def phase(self, function: Callable[..., Any]) -> Any:
        """A function on pointers; compiled when the entry that calls it is."""
        return self._part(function)

    def _part(self, function: Callable[..., Any]) -> Any:
        """What the entry calls becomes part of it.

        Otherwise a process that compiles runs the first of two copies of the function, a process
        that reads the kernel from disk the second, which LLVM has optimised once more: their
        results differ in the last digit.
        """
        return njit(forceinline=True, **self.options)(function)

    def entry(self, function: Callable[..., Any]) -> Any:
        """The function that Python calls: ints and addresses only. Cached on disk."""
        arguments = function.__code__.co_argcount
        signature = types.void(*[types.int64] * arguments)
        return njit(signature, cache=True, **self.options)(function)


def _pointer_intrinsic(dtype: Any) -> Any:
    @intrinsic
    def convert(typing_context: Any, address: Any) -> Any:
        signature = types.CPointer(dtype)(types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target = context.get_value_type(signature.return_type)
            return builder.inttoptr(arguments[0], target)

        return signature, generate

    return convert


float64s = _pointer_intrinsic(types.float64)
float32s = _pointer_intrinsic(types.float32)
integers = _pointer_intrinsic(types.int64)
naturals = _pointer_intrinsic(types.uint64)


@intrinsic
def at(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """The pointer to the element at an offset.

    Generated code indexes pointers, not arrays: Numba's arrays wrap negative indices, and that
    test stops LLVM from vectorising a loop whose first index is not a literal.
    """
    signature = pointer(pointer, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], inbounds=True)

    return signature, generate


@intrinsic
def _atomic_add(typing_context: Any, pointer: Any, offset: Any, value: Any) -> Any:
    signature = types.int64(types.CPointer(types.int64), types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]], inbounds=True)
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return signature, generate


@intrinsic
def _atomic_load(typing_context: Any, pointer: Any, offset: Any) -> Any:
    signature = types.int64(types.CPointer(types.int64), types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]], inbounds=True)
        return builder.load_atomic(place, "seq_cst", 8)

    return signature, generate


if sys.platform == "win32":

    @njit
    def _give_way() -> None:
        """Nothing: the spin goes on until the system takes the core away."""

else:
    _sched_yield = types.ExternalFunction("sched_yield", types.int32())

    @njit
    def _give_way() -> None:
        """Let another thread have the core."""
        _sched_yield()


SPINS = 4000
GENERATION = 8
"""The counter of passed barriers lies on a cache line of its own."""


@njit(nogil=True)
def wait(barrier: Any, nth: int) -> None:
    """Wait until all threads are here: a spin barrier (0.1 to 0.3 µs where each has a core)."""
    if nth == 1:
        return
    generation = _atomic_load(barrier, GENERATION)
    if _atomic_add(barrier, 0, 1) == nth - 1:
        _atomic_add(barrier, 0, -nth)
        _atomic_add(barrier, GENERATION, 1)
        return
    spins = 0
    while _atomic_load(barrier, GENERATION) == generation:
        spins += 1
        if spins > SPINS:
            _give_way()


def shuffle_python(order: Any, count: int, state: Any) -> None:
    """Fisher and Yates' shuffle, random numbers by splitmix64 (Steele, Lea, Flood 2014).

    It starts from 0, 1, 2 …, so that an order depends on the state of the random numbers alone,
    and training goes on in the same way after a pause.
    """
    for i in range(count):
        order[i] = i
    for i in range(count - 1, 0, -1):
        s = state[0] + np.uint64(0x9E3779B97F4A7C15)
        state[0] = s
        z = (s ^ (s >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        j = np.int64(z % np.uint64(i + 1))
        held = order[i]
        order[i] = order[j]
        order[j] = held


shuffle = njit(nogil=True)(shuffle_python)
