"""Matrix products in generated kernels: calls of the library by name."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import library
from .product_code import PREFIX


@intrinsic
def gemm(
    typing_context: Any,
    m: Any, n: Any, k: Any,
    a: Any, a_stride: Any, a_transposed: Any,
    b: Any, b_stride: Any, b_transposed: Any,
    c: Any, c_stride: Any, accumulate: Any,
) -> Any:  # fmt: skip
    """``c = a @ b`` or ``c += a @ b`` for row-major matrices; strides are those of rows."""
    i = types.int64
    signature = types.void(i, i, i, a, i, i, b, i, i, c, i, i)
    name = PREFIX + a.dtype.name

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = [value.type for value in arguments]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)
        return context.get_dummy_value()

    return signature, generate


def products(real: str) -> Any:
    """The function ``gemm``, once its library is loaded.

    Parameters
    ----------
    real : {"float32", "float64"}
    """
    library.load(real)
    return gemm
