"""Matrix products of kernels on NVIDIA devices: ``tiles`` and ``tensor_cores``, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic

from .runtime import block_wait, overloaded, shared_array, zero
from .tensor_cores import bound

_FLOAT, _BITS = ir.FloatType(), ir.IntType(32)


@cuda.jit(device=True)
def _same(x: Any) -> Any:
    return x


@intrinsic
def _rounded(typing_context: Any, x: Any) -> Any:
    """The nearest TF32 number, as a float32 number; of two the one away from 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_BITS, [_FLOAT])
        round_ = ir.InlineAsm(kind, "cvt.rna.tf32.f32 $0, $1;", "=r,f")
        return builder.bitcast(builder.call(round_, arguments), _FLOAT)

    return types.float32(types.float32), generate


@intrinsic
def _multiply_accumulate(
    typing_context: Any,
    c0: Any, c1: Any, c2: Any, c3: Any, a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any,
) -> Any:  # fmt: skip
    """As ``tensor_cores`` says; from sm_80 on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        factors = [builder.bitcast(x, _BITS) for x in arguments[4:]]
        kind = ir.FunctionType(ir.LiteralStructType([_FLOAT] * 4), [*[_BITS] * 6, *[_FLOAT] * 4])
        multiply = ir.InlineAsm(
            kind,
            "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
            "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};",
            "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f",
            side_effect=True,  # the threads of a warp meet here: it stays where it is
        )
        operands = [*factors, *arguments[:4]]
        result = builder.call(multiply, operands, attrs=("convergent",))
        return cgutils.pack_array(builder, [builder.extract_value(result, i) for i in range(4)])

    return types.UniTuple(types.float32, 4)(*[types.float32] * 10), generate


def _compiled(function: Callable[..., Any]) -> Any:
    """A function for devices; of a product, one for each type of its matrices.

    A dispatcher would compile another one for each product of a kernel: its sizes are literals,
    and these have types of their own. An overload is tried with plain integers first.
    """
    if function.__name__ not in ("gemm", "gemm_tf32"):
        return cuda.jit(device=True)(function)

    def choose(  # type: ignore[no-untyped-def]  # numba-cuda compares the signatures
        tid, nth, size, m, n, k, a, a_stride, a_transposed, b, b_stride, b_transposed,
        c, c_stride, accumulate,
    ):  # fmt: skip
        return function

    return overloaded(function, choose)


_products = bound(
    {
        "block_wait": block_wait,
        "multiply_accumulate": _multiply_accumulate,
        "rounded": _rounded,
        "same": _same,
        "shared_array": shared_array,
        "zero": zero,
    },
    _compiled,
)
gemm, gemm_tf32 = _products["gemm"], _products["gemm_tf32"]
