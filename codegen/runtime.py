"""What generated kernels import: pointers, the barrier, shuffling, the compiler's options.

A kernel is a module for Numba: imported, it compiles and runs. ``translation`` turns the same
text into LLVM code in a tenth of the time, and ``plain`` has the same names for running it as
plain Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from . import control
from .control import with_primitives
from .translation.builtins import CLOCK, TF32_HALF
from .translation.module import FAST_FLAGS

__all__ = [
    "Compiler", "at", "carried", "chunk_count", "float32s", "float64s", "integers", "naturals",
    "share", "shuffle", "stamp", "step_over", "tf32", "wait",
]  # fmt: skip


class Compiler:
    """Decorators of one generated module.

    Parameters
    ----------
    real : {"float64", "float32"}
    math : {"fast", "accurate"}
        "accurate" also switches off contraction to fused multiply-add.
    """

    def __init__(self, real: str, math: str) -> None:
        self._options: dict[str, Any] = {
            "error_model": "numpy",
            "nogil": True,
            "fastmath": set(FAST_FLAGS[real].split()) if math == "fast" else False,
        }

    def helper(self, function: Callable[..., Any]) -> Any:
        """A function of scalars."""
        return njit(forceinline=True, **self._options)(function)

    phase = helper
    """A function on pointers to different arrays, which becomes part of the entry."""

    def part(self, function: Callable[..., Any]) -> Any:
        """A part of a long phase, which stays a function of its own."""
        return njit(**self._options)(function)

    entry = part
    """The function that Python calls, with whole numbers only: sizes and addresses."""


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
def carried(typing_context: Any, value: Any) -> Any:
    """A number that the next step starts from, rounded here.

    Nothing is reassociated across it. A step must have the same bits wherever in a call it
    stands: how many steps a call runs depends on how long they take.
    """
    signature = value(value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (number,) = arguments
        fence = builder.module.declare_intrinsic(
            "llvm.arithmetic.fence", [number.type], ir.FunctionType(number.type, [number.type])
        )
        return builder.call(fence, [number])

    return signature, generate


@intrinsic
def step_over(typing_context: Any) -> Any:
    """The end of a step: LLVM does not unroll the loop over the steps."""
    signature = types.void()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
        builder.call(nothing, [], attrs=("convergent",))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def tf32(typing_context: Any, x: Any) -> Any:
    """The nearest float32 number of eleven digits in base 2, of two the one away from 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (number,) = arguments
        whole = ir.IntType(32)
        bits = builder.add(builder.bitcast(number, whole), whole(TF32_HALF))
        near = builder.bitcast(builder.and_(bits, whole(-2 * TF32_HALF)), number.type)
        return builder.select(builder.fcmp_unordered("uno", number, number), number, near)

    return types.float32(types.float32), generate


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


@intrinsic
def _clock(typing_context: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, CLOCK), [])

    return types.int64(), generate


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


_PRIMITIVES = {
    "atomic_add": _atomic_add,
    "atomic_load": _atomic_load,
    "clock": _clock,
    "give_way": _give_way,
}
chunk_count, share, shuffle, stamp, wait = (
    njit(nogil=True)(with_primitives(function, _PRIMITIVES))
    for function in (
        control.chunk_count, control.share, control.shuffle, control.stamp, control.wait
    )
)  # fmt: skip
