"""Straight-line LLVM code written as Python: operators on ``Value`` append instructions.

A function written this way is one basic block without calls, so LLVM vectorises the loop it is
inlined into. Fast-math flags of the caller do not apply to it: ``(x + c) - c`` is left as it is
written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from .translation.code import Code
from .translation.kinds import BOOL, FLOAT32, FLOAT64
from .translation.names import Builtin


@dataclass(frozen=True)
class Format:
    """A floating type and the integer type of its bits."""

    name: str
    real: Any
    integer: Any
    mantissa: int
    bias: int

    @property
    def sign(self) -> int:
        """The bit of the sign."""
        return 1 << (self.integer.width - 1)

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 0.5**self.mantissa


FORMATS = {
    "float64": Format("float64", ir.DoubleType(), ir.IntType(64), 52, 1023),
    "float32": Format("float32", ir.FloatType(), ir.IntType(32), 23, 127),
}


class Value:
    """A number that the code computes: floating, integer (its bits), or a condition.

    Python numbers among the operands become constants of the same type. A comparison with NaN
    is False.
    """

    def __init__(self, builder: Any, value: Any, format: Format) -> None:
        self._builder = builder
        self._value = value
        self.format = format

    def _new(self, value: Any) -> Value:
        return Value(self._builder, value, self.format)

    def _other(self, other: Value | float) -> Any:
        return other._value if isinstance(other, Value) else ir.Constant(self._value.type, other)

    def constant(self, number: float) -> Value:
        """A constant of the same type."""
        return self._new(self._other(number))

    def _apply(
        self, floating: str, integer: str, other: Value | float, swap: bool = False
    ) -> Value:
        name = integer if isinstance(self._value.type, ir.IntType) else floating
        operands = [self._value, self._other(other)]
        return self._new(getattr(self._builder, name)(*(operands[::-1] if swap else operands)))

    def __add__(self, other: Value | float) -> Value:
        return self._apply("fadd", "add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._apply("fsub", "sub", other)

    def __mul__(self, other: Value | float) -> Value:
        return self._apply("fmul", "mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._apply("fdiv", "", other)

    def __and__(self, other: Value | int) -> Value:
        return self._apply("", "and_", other)

    def __or__(self, other: Value | int) -> Value:
        return self._apply("", "or_", other)

    def __xor__(self, other: Value | int) -> Value:
        return self._apply("", "xor", other)

    def __lshift__(self, other: int) -> Value:
        return self._apply("", "shl", other)

    def __rshift__(self, other: int) -> Value:
        """Shift zeros in from the left."""
        return self._apply("", "lshr", other)

    def __radd__(self, other: float) -> Value:
        return self + other

    def __rsub__(self, other: float) -> Value:
        return self._apply("fsub", "sub", other, swap=True)

    def __rmul__(self, other: float) -> Value:
        return self * other

    def __rtruediv__(self, other: float) -> Value:
        return self._apply("fdiv", "", other, swap=True)

    def __neg__(self) -> Value:
        return self._new(self._builder.fneg(self._value))

    def _compare(self, sign: str, other: Value | float) -> Value:
        return self._new(self._builder.fcmp_ordered(sign, self._value, self._other(other)))

    def __lt__(self, other: Value | float) -> Value:
        return self._compare("<", other)

    def __gt__(self, other: Value | float) -> Value:
        return self._compare(">", other)

    def equals(self, other: Value | float) -> Value:
        """The condition that both are the same number; 0 and -0 are."""
        if isinstance(self._value.type, ir.IntType):
            return self._new(self._builder.icmp_signed("==", self._value, self._other(other)))
        return self._compare("==", other)

    def choose(self, yes: Value | float, no: Value | float) -> Value:
        """``yes if self else no`` of values that are both computed."""
        known = yes if isinstance(yes, Value) else no
        assert isinstance(known, Value)
        return self._new(self._builder.select(self._value, known._other(yes), known._other(no)))

    def fma(self, factor: Value | float, term: Value | float) -> Value:
        """``self * factor + term`` with one rounding, on every machine."""
        return self._new(self._builder.fma(self._value, self._other(factor), self._other(term)))

    def truncated(self) -> Value:
        """The integer next to it towards 0."""
        module, kind = self._builder.module, self._value.type
        return self._new(
            self._builder.call(module.declare_intrinsic("llvm.trunc", [kind]), [self._value])
        )

    def bits(self) -> Value:
        """The bits of a floating number as an integer."""
        return self._new(self._builder.bitcast(self._value, self.format.integer))

    def number(self) -> Value:
        """The floating number that has these bits."""
        return self._new(self._builder.bitcast(self._value, self.format.real))


Definition = Callable[..., Value]


def _symbol(definition: Definition, format: Format) -> str:
    return f"symdiff_{definition.__name__}_{format.name}"


class Function:
    """A definition as a function of kernels; its operands are float64, or all of them float32.

    Parameters
    ----------
    definition : callable
        From values to a value.
    condition : bool
        Whether it ends in a comparison.
    """

    def __init__(self, definition: Definition, condition: bool = False) -> None:
        self.definition = definition
        self.condition = condition
        self.__name__, self.__doc__ = definition.__name__, definition.__doc__
        for format in FORMATS.values():
            DEFINED[_symbol(definition, format)] = self, format

    def translated(self) -> Builtin:
        """What it is in the translation of a kernel: a call of it by name."""

        def write(code: Code, arguments: list[Any]) -> Any:
            narrow = all(a.kind is FLOAT32 for a in arguments)
            kind = FLOAT32 if narrow else FLOAT64
            symbol = _symbol(self.definition, FORMATS[kind.name])
            values = [code.convert(a, kind) for a in arguments]
            return code.external(BOOL if self.condition else kind, symbol, values)

        return Builtin(write)

    @functools.cached_property
    def _numba_type_(self) -> Any:
        """Its type under Numba."""
        from .numba_functions import type_of

        return type_of(self)


DEFINED: dict[str, tuple[Function, Format]] = {}
"""The functions by their symbols."""


def function(definition: Definition) -> Function:
    """Decorate a definition of a function of real numbers."""
    return Function(definition)


def condition(definition: Definition) -> Function:
    """As ``function``, for a definition that ends in a comparison."""
    return Function(definition, condition=True)


def define(module: Any, definition: Definition, format: Format, condition: bool = False) -> Any:
    """Write a definition into a module of llvmlite's, as a function that is always inlined."""
    count = definition.__code__.co_argcount
    result = ir.IntType(1) if condition else format.real
    kind = ir.FunctionType(result, [format.real] * count)
    function = ir.Function(module, kind, _symbol(definition, format))
    function.attributes.add("alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(definition(*(Value(builder, a, format) for a in function.args))._value)
    return function


@functools.cache
def library_text(symbol: str) -> str:
    """The LLVM code of a module with one function, which goes where nobody calls it."""
    function, format = DEFINED[symbol]
    module = ir.Module()
    written = define(module, function.definition, format, function.condition)
    written.linkage = "linkonce_odr"
    return str(module)
