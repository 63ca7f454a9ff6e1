"""The names that kernels for a device import, for Numba on threads of the processor.

Each thread is a block of one warp of one thread, so threads meet at barriers of the grid only:
the spin barrier of kernels for the processor.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

from codegen import runtime, special, vector_math
from codegen.launch import launch
from symdiff.errors import InvalidArgument

from . import control, plain

compiled = njit(error_model="numpy", nogil=True)


class Cuda:
    """Stands for ``numba.cuda``: what a device function calls is compiled for the processor."""

    def jit(self, function: Any = None, *, device: bool = False, **options: Any) -> Any:
        """Compile a function of a device; leave an entry as it is."""
        if function is not None:
            return function
        return compiled if device else lambda decorated: decorated


@compiled
def nothing() -> None:
    """One thread waits for nobody."""


@compiled
def exchange(x: Any, distance: int) -> Any:
    """The number of the only thread of the warp."""
    return x


def _memory(context: Any, builder: Any, dtype: Any, count: int) -> Any:
    """Memory of the calling function, reserved once however often it comes here."""
    kind = ir.ArrayType(context.get_data_type(dtype), count)
    zero = ir.IntType(32)(0)
    return builder.gep(cgutils.alloca_once(builder, kind), [zero, zero], inbounds=True)


@intrinsic
def scratch(typing_context: Any, x: Any) -> Any:
    """Memory of the block: one number like x, for its only warp."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _memory(context, builder, x, 1)

    return types.CPointer(x)(x), generate


@intrinsic(prefer_literal=True)
def shared_array(typing_context: Any, count: Any, like: Any) -> Any:
    """Memory of the block: a literal number of numbers like another; not set at first."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    number = types.unliteral(like)
    dtype = number.dtype if isinstance(number, types.CPointer) else number
    length = count.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _memory(context, builder, dtype, length)

    return types.CPointer(dtype)(count, number), generate


def _same(number: Any) -> Any:
    return number


def _quotient(a: int, b: int) -> int:
    return a // b


def _remainder(a: int, b: int) -> int:
    return a % b


@functools.cache
def names() -> Mapping[str, Mapping[str, Any]]:
    """What the text of a kernel imports, by module."""
    primitives = {
        "WARP": 1, "block_wait": nothing, "exchange": exchange, "grid_wait": runtime.wait,
        "maximum": compiled(plain.maximum), "minimum": compiled(plain.minimum),
        "scratch": scratch, "warp_wait": nothing,
    }  # fmt: skip
    cuda = Cuda()
    rounded = control.with_primitives(plain.product_tf32, {"tf32": runtime.tf32})
    products = {
        name: compiled(control.with_primitives(plain.gemm, {"product": compiled(product)}))
        for name, product in (("gemm", plain.product), ("gemm_tf32", rounded))
    }
    # the sine and cosine of vector_math are for bounded arguments
    vector = {name: getattr(vector_math, name) for name in plain.VECTOR}
    return {
        "numba": {"cuda": cuda},
        "codegen.gpu": {"special": special},
        "codegen.gpu.runtime": {
            **primitives, **control.bound(primitives, compiled),
            **control.reductions(primitives, compiled), "MOST_WARPS": 1, "cuda": cuda,
            **{name: getattr(runtime, name) for name in plain.POINTERS},
            "anew": compiled(_same), "carried": runtime.carried, "quotient": compiled(_quotient),
            "remainder": compiled(_remainder), "shared_array": shared_array,
            "step_over": runtime.step_over,
        },
        "codegen.gpu.mathematics": {
            "np": np, **vector, "sin": np.sin, "cos": np.cos, "tan": np.tan,
            **{name: getattr(np, name) for name in plain.NUMPY},
        },
        "codegen.gpu.products": products,
    }  # fmt: skip


@intrinsic
def _pointers(typing_context: Any, arguments: Any) -> Any:
    """Arrays as pointers to their first elements; numbers as they are."""
    found = tuple(types.CPointer(a.dtype) if isinstance(a, types.Array) else a for a in arguments)
    signature = types.BaseTuple.from_types(found)(arguments)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        (given,) = values
        results = []
        for place, kind in enumerate(signature.args[0]):
            value = builder.extract_value(given, place)
            if isinstance(kind, types.Array):
                value = context.make_array(kind)(context, builder, value).data
            results.append(value)
        return context.make_tuple(builder, signature.return_type, results)

    return signature, generate


def on_threads(function: Callable[..., None]) -> Callable[..., None]:
    """A compiled function as ``run(threads, *arguments)``.

    It is called as ``function(tid, nth, 1, *arguments)`` on each thread, without the GIL.
    """

    @compiled
    def entry(tid: int, nth: int, arguments: Any) -> None:
        function(tid, nth, 1, *_pointers(arguments))

    def run(threads: int, *arguments: Any) -> None:
        for number, array in enumerate(arguments):
            if isinstance(array, np.ndarray) and not array.flags.c_contiguous:
                raise InvalidArgument(
                    f"argument {number} is an array of shape {array.shape} that is not "
                    "contiguous; pass np.ascontiguousarray(...)"
                )
        launch(entry, threads, lambda tid, nth: (tid, nth, arguments))

    return run
