"""The functions that kernels call without defining them, and the modules that they import."""

from __future__ import annotations

import ast
import math
import platform
import sys
from collections.abc import Mapping
from typing import Any

from . import arithmetic
from .code import Code
from .kinds import (
    BOOL,
    BYTE,
    FLOAT32,
    FLOAT64,
    INT,
    INT32,
    KINDS,
    NATURAL,
    NOTHING,
    REALS,
    Kind,
    NotTranslatable,
    Pointer,
    Value,
    constant,
    pointer,
)
from .names import Builtin, Number, Table

PURE = " nounwind willreturn memory(none)"
"""What LLVM may know of a mathematical function of the C library."""


# --- mathematics -----------------------------------------------------------------------------


def _reals(code: Code, arguments: list[Value]) -> list[Value]:
    """The arguments as real numbers of one kind."""
    narrow = all(a.kind is FLOAT32 for a in arguments)
    return [code.convert(a, FLOAT32 if narrow else FLOAT64) for a in arguments]


def library_function(name: str) -> Builtin:
    """A function of the C library."""

    def write(code: Code, arguments: list[Value]) -> Value:
        arguments = _reals(code, arguments)
        kind = arguments[0].kind
        symbol = name + ("f" if kind is FLOAT32 else "")
        return code.external(kind, symbol, arguments, PURE)

    return Builtin(write)


def instruction(name: str) -> Builtin:
    """A function that processors have an instruction for."""

    def write(code: Code, arguments: list[Value]) -> Value:
        return code.intrinsic(name, *_reals(code, arguments))

    return Builtin(write)


def _absolute(code: Code, arguments: list[Value]) -> Value:
    (x,) = arguments
    if x.kind in REALS:
        return code.intrinsic("fabs", x)
    x = code.convert(x, INT)
    return code.select(
        arithmetic.compare(code, ast.Lt(), x, constant(INT, 0)),
        arithmetic.unary(code, ast.USub(), x),
        x,
    )


def _extreme(operator: ast.cmpop) -> Builtin:
    """``min`` and ``max`` of Python's: a later argument wins where it is strictly beyond."""

    def write(code: Code, arguments: list[Value]) -> Value:
        result, *others = arguments
        for other in others:
            result, other = arithmetic.common(code, result, other)
            result = code.select(arithmetic.compare(code, operator, other, result), other, result)
        return result

    return Builtin(write)


def _zeros(code: Code, arguments: list[Value]) -> Value:
    """An array of float64 that lives as long as the call of the function."""
    (count,) = arguments
    if count.number is None:
        raise NotTranslatable("an array whose size is not known")
    array = Value(pointer(FLOAT64), code.slot(FLOAT64, int(count.number)))
    size = constant(INT, 8 * int(count.number))
    code.external(
        NOTHING, "llvm.memset.p0.i64", [array, Value(BYTE, "0"), size, constant(BOOL, False)]
    )
    return array


_C_NAMES = {
    "exp": "exp", "log": "log", "log1p": "log1p", "expm1": "expm1", "sin": "sin", "cos": "cos",
    "tan": "tan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "arcsin": "asin",
    "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "power": "pow",
}  # fmt: skip
_INSTRUCTIONS = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "rint"}
_NUMBERS = ("nan", "inf", "pi", "e")

NUMPY: Mapping[str, Any] = {
    **{name: library_function(symbol) for name, symbol in _C_NAMES.items()},
    **{name: instruction(llvm) for name, llvm in _INSTRUCTIONS.items()},
    "zeros": Builtin(_zeros),
    **{name: Number(getattr(math, name)) for name in _NUMBERS},
    **KINDS,
}
MATH: Mapping[str, Any] = {name: library_function(name) for name in ("erf", "erfc")}
MODULES = {"numpy": NUMPY, "math": MATH}


def _length(code: Code, table: Table) -> Value:
    return constant(INT, len(table.numbers))


PYTHON: Mapping[str, Any] = {
    "int": INT,
    "bool": BOOL,
    "abs": Builtin(_absolute),
    "min": _extreme(ast.Lt()),
    "max": _extreme(ast.Gt()),
    "len": Builtin(_length, of_table=True),
}
"""Names that need no import."""


# --- memory and control ------------------------------------------------------------------------


def _addresses(element: Kind) -> Builtin:
    """A number as a pointer."""

    def write(code: Code, arguments: list[Value]) -> Value:
        (address,) = arguments
        return code.value(pointer(element), f"inttoptr i64 {address.text} to ptr")

    return Builtin(write)


def _at(code: Code, arguments: list[Value]) -> Value:
    array, offset = arguments
    if not isinstance(array.kind, Pointer):
        raise NotTranslatable(f"at() of a {array.kind.name}")
    offset = code.convert(offset, INT)
    if offset.number == 0:
        return array
    element = array.kind.element.llvm
    text = f"getelementptr inbounds {element}, ptr {array.text}, i64 {offset.text}"
    return code.value(array.kind, text)


def _carried(code: Code, arguments: list[Value]) -> Value:
    return code.intrinsic("arithmetic.fence", *arguments, flags="")


def _step_over(code: Code, arguments: list[Value]) -> Value:
    code.do('call void asm sideeffect "", ""() convergent')
    return Value(NOTHING, "")


TF32_HALF = 1 << 12
"""Half of the last digit of a TF32 number, in the bits of a float32 number."""


def _tf32(code: Code, arguments: list[Value]) -> Value:
    """The digits below are cut off, after half of the last one was added to the magnitude."""
    x = code.convert(arguments[0], FLOAT32)
    bits = code.value(INT32, f"bitcast float {x.text} to i32")
    bits = code.value(INT32, f"add i32 {bits.text}, {TF32_HALF}")
    bits = code.value(INT32, f"and i32 {bits.text}, {-2 * TF32_HALF}")
    near = code.value(FLOAT32, f"bitcast i32 {bits.text} to float")
    return code.select(arithmetic.compare(code, ast.NotEq(), x, x), x, near)


def _atomic_add(code: Code, arguments: list[Value]) -> Value:
    array, offset, value = arguments
    place = _at(code, [array, offset])
    return code.value(INT, f"atomicrmw add ptr {place.text}, i64 {value.text} seq_cst")


def _atomic_load(code: Code, arguments: list[Value]) -> Value:
    place = _at(code, arguments)
    return code.value(INT, f"load atomic i64, ptr {place.text} seq_cst, align 8")


def _give_way(code: Code, arguments: list[Value]) -> Value:
    if sys.platform != "win32":  # there the spin goes on until the system takes the core away
        code.external(INT32, "sched_yield", [])
    return Value(NOTHING, "")


_CYCLES = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
CLOCK = f"llvm.read{'cycle' if _CYCLES else 'steady'}counter"
"""A count that grows at a constant rate, in any unit. On other processors than x86 the counter of
cycles belongs to the system."""


def _clock(code: Code, arguments: list[Value]) -> Value:
    return code.external(INT, CLOCK, [])


def _gemm(code: Code, arguments: list[Value]) -> Value:
    from ..product_code import PREFIX

    array = arguments[3].kind
    assert isinstance(array, Pointer)
    return code.external(NOTHING, PREFIX + array.element.name, arguments)


def routine(symbol: str) -> Builtin:
    """A routine of SciPy's, registered under a name."""

    def write(code: Code, arguments: list[Value]) -> Value:
        # the last argument says that no Python subclass overrides the routine
        wide = [code.convert(a, FLOAT64) for a in arguments]
        return code.external(FLOAT64, symbol, [*wide, constant(INT32, 0)])

    return Builtin(write)


def routine_result(symbol: str, count: int, position: int) -> Builtin:
    """One of the results that a routine of SciPy's writes through pointers."""

    def write(code: Code, arguments: list[Value]) -> Value:
        places = [Value(pointer(FLOAT64), code.slot(FLOAT64)) for _ in range(count)]
        code.external(NOTHING, symbol, [*(code.convert(a, FLOAT64) for a in arguments), *places])
        return code.load(FLOAT64, places[position].text)

    return Builtin(write)


PRIMITIVES: Mapping[str, Builtin] = {
    "at": Builtin(_at),
    "carried": Builtin(_carried),
    "step_over": Builtin(_step_over),
    "tf32": Builtin(_tf32),
    "atomic_add": Builtin(_atomic_add),
    "atomic_load": Builtin(_atomic_load),
    "give_way": Builtin(_give_way),
    "clock": Builtin(_clock),
    "float64s": _addresses(FLOAT64),
    "float32s": _addresses(FLOAT32),
    "integers": _addresses(INT),
    "naturals": _addresses(NATURAL),
}
"""What ``codegen.runtime`` offers that cannot be written in the language of kernels."""

GEMM = Builtin(_gemm)
