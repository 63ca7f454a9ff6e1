"""The functions that kernels call by name, on NVIDIA devices; all are for float32 and float64.

Most are those of libdevice, NVIDIA's library. A function of float32 numbers has no float64
instruction in it. Needs ``numba-cuda``, as ``runtime`` does.

``np`` stands for NumPy in kernels: the functions of this module and the constants and types of
NumPy that kernels use, by the names of NumPy. ``numba-cuda`` knows few functions of NumPy.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy
from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic

from .. import vector_math
from ..straight_line import FORMATS, Function, Value
from . import elementary
from .control import with_primitives
from .runtime import overloaded

# --- functions of one floating type --------------------------------------------------------

LIBDEVICE = {
    "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "ceil": "ceil", "cosh": "cosh", "erf": "erf",
    "erfc": "erfc", "exp": "exp", "expm1": "expm1", "floor": "floor", "log": "log",
    "log1p": "log1p", "power": "pow", "round": "rint", "sinh": "sinh", "sqrt": "sqrt",
    "tanh": "tanh",
}  # fmt: skip
"""What functions of kernels are called in libdevice; an f follows there for float32."""

BINARY = ("arctan2", "power")


def _real(operands: tuple[Any, ...]) -> Any:
    """The type of a result: float32 if all operands are."""
    return types.float32 if all(t == types.float32 for t in operands) else types.float64


def _intrinsic(name: str, count: int, resolve: Callable[..., Any]) -> Any:
    """An intrinsic of one or two numbers."""

    def one(typing_context: Any, x: Any) -> Any:
        return resolve(x)

    def two(typing_context: Any, x: Any, y: Any) -> Any:
        return resolve(x, y)

    typing = {1: one, 2: two}[count]
    typing.__name__ = name
    return intrinsic(typing)


def libdevice_function(name: str, there: str, count: int, widen: bool = False) -> Any:
    """A function of libdevice; or that for float64 alone."""

    def resolve(*operands: Any) -> Any:
        real = types.float64 if widen else _real(operands)
        symbol = f"__nv_{there}{'f' if real == types.float32 else ''}"

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = context.get_value_type(real)
            kind = ir.FunctionType(number, [number] * count)
            function = cgutils.get_or_insert_function(builder.module, kind, symbol)
            return builder.call(function, arguments)

        return real(*[real] * count), generate

    return _intrinsic(name, count, resolve)


_functions = {
    name: libdevice_function(name, there, 2 if name in BINARY else 1)
    for name, there in LIBDEVICE.items()
}
arccos, arccosh, arcsin, arcsinh, arctan, arctan2, arctanh = (
    _functions[name]
    for name in ("arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh")
)
ceil, cosh, erf, erfc, exp, expm1, floor, log, log1p, power, sinh, sqrt, tanh = (
    _functions[name]
    for name in (
        "ceil", "cosh", "erf", "erfc", "exp", "expm1", "floor", "log", "log1p", "power", "sinh",
        "sqrt", "tanh",
    )
)  # fmt: skip
_normal = libdevice_function("normal", "normcdf", 1)


def _by_type(function: Callable[..., Any], **primitives: Any) -> Any:
    """A function in the language of kernels, where ``real`` is the type of its operand."""
    forms = {
        kind: with_primitives(function, {**primitives, "real": real})
        for kind, real in ((types.float32, numpy.float32), (types.float64, numpy.float64))
    }

    return overloaded(function, lambda x: forms[_real((x,))])


sigmoid = _by_type(elementary.sigmoid, exp=exp)
softplus = _by_type(elementary.softplus, exp=exp, log1p=log1p)
log_sigmoid = _by_type(elementary.log_sigmoid, exp=exp, log1p=log1p)
gelu = _by_type(elementary.gelu, normal=_normal)

# --- sine, cosine and tangent --------------------------------------------------------------


class _Builder:
    """A builder of instructions that writes none that the LLVM of NVIDIA's compiler lacks."""

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._builder, name)

    def fneg(self, x: Any) -> Any:
        """The negative number; LLVM 7 has no instruction for it."""
        return self._builder.fsub(ir.Constant(x.type, -0.0), x)


def _float32(function: Function) -> Any:
    """A function of ``vector_math`` for float32 numbers, with the instructions of processors."""

    def resolve(x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            operand = Value(_Builder(builder), arguments[0], FORMATS["float32"])
            return function.definition(operand)._value

        result = types.boolean if function.condition else types.float32
        return result(types.float32), generate

    return _intrinsic(function.__name__, 1, resolve)


@intrinsic
def _bits(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.bitcast(arguments[0], ir.IntType(32)), ir.IntType(64))

    return types.int64(types.float32), generate


_CIRCULAR = {
    "beyond": _float32(vector_math.beyond),
    "near_cosine": _float32(vector_math.cos),
    "near_sine": _float32(vector_math.sin),
    "near_tangent": _float32(vector_math.tan),
    "quadrant": cuda.jit(device=True)(with_primitives(elementary.quadrant, {"bits": _bits})),
}
_CIRCULAR["far_sine"] = cuda.jit(device=True)(with_primitives(elementary.far_sine, _CIRCULAR))


def _circular(narrow: Callable[..., Any], there: str) -> Any:
    """The function of libdevice for float64, and ours for float32."""
    form = with_primitives(narrow, _CIRCULAR)
    function = libdevice_function(there, there, 1)

    def wide(x):  # type: ignore[no-untyped-def]  # numba-cuda compares the signatures
        return function(x)

    return overloaded(narrow, lambda x: form if x == types.float32 else wide)


sin = _circular(elementary.sine, "sin")
cos = _circular(elementary.cosine, "cos")
tan = _circular(elementary.tangent, "tan")


np = ModuleType("np", "What kernels call by the names of NumPy.")
np.__dict__.update(_functions, cos=cos, sin=sin, tan=tan)
np.__dict__.update(
    {
        name: getattr(numpy, name)
        for name in ("e", "float32", "float64", "inf", "int64", "nan", "pi", "uint64")
    }
)
