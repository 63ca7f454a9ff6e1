"""What kernels for NVIDIA devices import: pointers, waiting, reductions, memory of a block.

Needs ``numba-cuda``, but no device: one is needed where a kernel is launched only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.core.errors import RequireLiteralValue
from numba.cuda.extending import intrinsic, overload

from . import control
from .control import COMBINED, MOST_WARPS, WARP

__all__ = [
    "MOST_WARPS", "WARP", "anew", "at", "block_add", "block_maximum", "block_minimum",
    "block_wait", "carried", "cuda", "exchange", "float32s", "float64s", "grid_wait", "integers",
    "maximum", "minimum", "naturals", "quotient", "remainder", "scratch", "shared_array",
    "step_over", "wait", "warp_add",
    "warp_maximum", "warp_minimum", "warp_wait", "zero",
]  # fmt: skip

GLOBAL, SHARED = 1, 3
"""Address spaces of NVVM."""

ALL_LANES = 0xFFFFFFFF

_numbers = itertools.count()


def _pointer_intrinsic(dtype: Any) -> Any:
    @intrinsic
    def convert(typing_context: Any, address: Any) -> Any:
        signature = types.CPointer(dtype)(types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            # By way of the space of global memory: loads and stores are then known to go there,
            # where those through a pointer to anything test first what it points to.
            target = context.get_value_type(signature.return_type)
            element = context.get_data_type(dtype)
            place = builder.inttoptr(arguments[0], element.as_pointer(GLOBAL))
            return builder.addrspacecast(place, target)

        return signature, generate

    return convert


float64s = _pointer_intrinsic(types.float64)
float32s = _pointer_intrinsic(types.float32)
integers = _pointer_intrinsic(types.int64)
naturals = _pointer_intrinsic(types.uint64)


@intrinsic
def at(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """The pointer to the element at an offset."""
    signature = pointer(pointer, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], inbounds=True)

    return signature, generate


MOST = (1 << 47) - 1
"""No size, position or number of a thread is larger: what addresses can tell apart."""


@intrinsic
def anew(typing_context: Any, number: Any) -> Any:
    """The same whole number, of which the compiler knows only that it is from 0 to MOST.

    What depends on the thread or on a size stays where it stands in a loop. All phases of a step
    would have their addresses computed before the first step, and keep them in registers.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [ir.IntType(64)])
        copy = ir.InlineAsm(kind, "mov.b64 $0, $1;", "=l,l", side_effect=True)
        return builder.and_(builder.call(copy, arguments), ir.IntType(64)(MOST))

    return types.int64(types.int64), generate


def overloaded(function: Callable[..., Any], choose: Callable[..., Any]) -> Any:
    """What kernels call by the name of a function; ``choose`` gives the one for given types."""
    stub = control.primitive(function.__name__)
    stub.__name__, stub.__doc__ = function.__name__, function.__doc__
    overload(stub, target="cuda")(choose)
    return stub


def _natural_intrinsic(operation: str) -> Any:
    @intrinsic
    def divide(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, operation)(*arguments)

        return types.int64(types.int64, types.int64), generate

    return divide


quotient = _natural_intrinsic("udiv")
"""``quotient(a, b)``: ``a // b`` of a position, which is never negative, and b > 0.

No signs are looked at, and b is not compared with 0.
"""
remainder = _natural_intrinsic("urem")
"""``remainder(a, b)``: ``a % b`` of the same."""


@intrinsic
def carried(typing_context: Any, value: Any) -> Any:
    """A number that the next step starts from, of which the compiler knows nothing.

    A step must have the same bits wherever in a launch it stands. NVVM does not reassociate, but
    it turns some products and sums into one multiply-add, by what else uses them and how far
    apart they are: of four steps that it had unrolled, the first was computed in another way than
    the rest. So steps have nothing in common, and are one text (``step_over``).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (number,) = arguments
        kind, letter = ("f32", "f") if value == types.float32 else ("f64", "d")
        function = ir.FunctionType(number.type, [number.type])
        copy = ir.InlineAsm(function, f"mov.{kind} $0, $1;", f"={letter},{letter}")
        return builder.call(copy, arguments)

    return value(value), generate


@intrinsic
def step_over(typing_context: Any) -> Any:
    """The end of a step: the compiler does not unroll the loop over the steps."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
        call = builder.call(nothing, [])
        # "convergent" does not keep NVVM from unrolling, and llvmlite's list lacks this one
        set.add(call.attributes, "noduplicate")
        return context.get_dummy_value()

    return types.void(), generate


def _shared(context: Any, builder: Any, dtype: Any, count: int) -> Any:
    """Memory of the block: the same for all threads and calls that reach this place."""
    element = context.get_data_type(dtype)
    kind = ir.ArrayType(element, count)
    name = f"symdiff_shared_{next(_numbers)}"
    memory = cgutils.add_global_variable(builder.module, kind, name, SHARED)
    memory.linkage = "internal"
    memory.align = 16  # of the widest load
    memory.initializer = ir.Constant(kind, ir.Undefined)
    first = builder.gep(memory, [ir.IntType(32)(0), ir.IntType(32)(0)], inbounds=True)
    return builder.addrspacecast(first, element.as_pointer())


@intrinsic
def scratch(typing_context: Any, x: Any) -> Any:
    """Memory of the block: one number like x for each of its warps."""
    dtype = types.unliteral(x)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _shared(context, builder, dtype, MOST_WARPS)

    return types.CPointer(dtype)(dtype), generate


@intrinsic
def shared_array(typing_context: Any, count: Any, like: Any) -> Any:
    """Memory of the block: so many numbers, a literal, like a number or those at a pointer."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    dtype = like.dtype if isinstance(like, types.CPointer) else types.unliteral(like)
    length = count.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _shared(context, builder, dtype, length)

    return types.CPointer(dtype)(count, like), generate


@intrinsic
def zero(typing_context: Any, pointer: Any) -> Any:
    """0, of the type of the numbers at a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return context.get_constant(signature.return_type, 0)

    return pointer.dtype(pointer), generate


@cuda.jit(device=True)
def warp_wait() -> None:
    """Until all threads of the warp are here; what they wrote is seen."""
    cuda.syncwarp()


@cuda.jit(device=True)
def block_wait() -> None:
    """Until all threads of the block are here; what they wrote is seen."""
    cuda.syncthreads()


@cuda.jit(device=True)
def grid_wait(barrier: Any, nth: int) -> None:
    """Until all threads are here. The kernel must be launched as a cooperative one."""
    cuda.cg.this_grid().sync()


@cuda.jit(device=True)
def exchange(x: Any, distance: int) -> Any:
    """The number of the thread whose place in the warp is ours xor a distance."""
    return cuda.shfl_xor_sync(ALL_LANES, x, distance)


@cuda.jit(device=True)
def maximum(a: Any, b: Any) -> Any:
    """The larger one; NaN if either is."""
    return a if a >= b or a != a else b


@cuda.jit(device=True)
def minimum(a: Any, b: Any) -> Any:
    """The smaller one; NaN if either is."""
    return a if a <= b or a != a else b


_PRIMITIVES = {
    "block_wait": block_wait,
    "exchange": exchange,
    "grid_wait": grid_wait,
    "maximum": maximum,
    "minimum": minimum,
    "scratch": scratch,
    "warp_wait": warp_wait,
}
wait = control.bound(_PRIMITIVES, cuda.jit(device=True))["wait"]
_reductions = control.reductions(_PRIMITIVES, cuda.jit(device=True))
warp_add, warp_maximum, warp_minimum, block_add, block_maximum, block_minimum = (
    _reductions[f"{team}_{operation}"] for team in ("warp", "block") for operation in COMBINED
)
