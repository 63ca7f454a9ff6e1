"""Matrix products for generated kernels: SciPy's BLAS, called by pointer.

The routine is registered with LLVM under a name, so that compiled kernels can be cached and
loaded by another process, where its address differs.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import get_cython_function_address, intrinsic

for _name in ("dgemm", "sgemm"):
    llvm.add_symbol(
        f"symdiff_{_name}", get_cython_function_address("scipy.linalg.cython_blas", _name)
    )


@intrinsic
def gemm(
    typing_context: Any,
    m: Any, n: Any, k: Any,
    a: Any, a_stride: Any, a_transposed: Any,
    b: Any, b_stride: Any, b_transposed: Any,
    c: Any, c_stride: Any, accumulate: Any,
) -> Any:  # fmt: skip
    """``c = a @ b`` or ``c += a @ b`` for row-major matrices.

    The BLAS is column-major: it is asked for the transposed product of the transposed matrices,
    which are the same memory.
    """
    i = types.int64
    signature = types.void(i, i, i, a, i, i, b, i, i, c, i, i)
    name = "symdiff_dgemm" if a.dtype == types.float64 else "symdiff_sgemm"

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        m, n, k, a, a_stride, a_t, b, b_stride, b_t, c, c_stride, accumulate = arguments
        int32, char = ir.IntType(32), ir.IntType(8)
        real = context.get_value_type(signature.args[3].dtype)

        def reference(value: Any) -> Any:
            return cgutils.alloca_once_value(builder, value)

        def integer(value: Any) -> Any:
            return reference(builder.trunc(value, int32))

        def is_set(flag: Any) -> Any:
            return builder.icmp_signed("!=", flag, ir.Constant(flag.type, 0))

        def letter(flag: Any) -> Any:
            yes, no = ir.Constant(char, ord("T")), ir.Constant(char, ord("N"))
            return reference(builder.select(is_set(flag), yes, no))

        one, zero = ir.Constant(real, 1.0), ir.Constant(real, 0.0)
        beta = reference(builder.select(is_set(accumulate), one, zero))
        c8, i32, f = char.as_pointer(), int32.as_pointer(), real.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [c8, c8, i32, i32, i32, f, f, i32, f, i32, f, f, i32])
        routine = cgutils.get_or_insert_function(builder.module, kind, name)
        builder.call(
            routine,
            [
                letter(b_t), letter(a_t), integer(n), integer(m), integer(k), reference(one),
                b, integer(b_stride), a, integer(a_stride), beta, c, integer(c_stride),
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return signature, generate
