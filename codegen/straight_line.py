"""Straight-line LLVM code written as Python: operators on ``Value`` append instructions.

A function written this way is one basic block without calls, so LLVM vectorises the loop it is
inlined into. It goes into a library of its own and not through Numba's type inference, for two
reasons: that takes 1 ms in place of 50, and Numba puts the caller's fast-math flags on every
instruction of a function that it compiles, but ``(x + c) - c`` must be left as it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@dataclass(frozen=True)
class Format:
    """A floating type and the integer type of its bits."""

    name: str
    numba: Any
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
    "float64": Format("float64", types.float64, ir.DoubleType(), ir.IntType(64), 52, 1023),
    "float32": Format("float32", types.float32, ir.FloatType(), ir.IntType(32), 23, 127),
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

_libraries: dict[tuple[Any, str], Any] = {}


def define(module: Any, definition: Definition, format: Format, condition: bool = False) -> Any:
    """Write a definition into an LLVM module as a function that is always inlined."""
    count = definition.__code__.co_argcount
    result = ir.IntType(1) if condition else format.real
    kind = ir.FunctionType(result, [format.real] * count)
    function = ir.Function(module, kind, f"symdiff_{definition.__name__}_{format.name}")
    function.attributes.add("alwaysinline")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(definition(*(Value(builder, a, format) for a in function.args))._value)
    return function


class _Function:
    """One definition for one floating type."""

    def __init__(self, definition: Definition, format: Format, condition: bool) -> None:
        self._definition = definition
        self._format = format
        self._condition = condition
        self._name = f"symdiff_{definition.__name__}_{format.name}"
        operands = [format.numba] * definition.__code__.co_argcount
        self.signature = (types.boolean if condition else format.numba)(*operands)

    def _library(self, codegen: Any) -> Any:
        """A finished library that holds the function, made when it is first used."""
        key = (codegen, self._name)
        if key not in _libraries:
            library = codegen.create_library(self._name)
            module = library.create_ir_module(self._name)
            define(module, self._definition, self._format, self._condition)
            library.add_ir_module(module)
            library.finalize()
            _libraries[key] = library
        return _libraries[key]

    def generate(self, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        context.active_code_library.add_linking_library(self._library(context.codegen()))
        function = builder.module.globals.get(self._name)
        if function is None:
            result = ir.IntType(1) if self._condition else self._format.real
            kind = ir.FunctionType(result, [self._format.real] * len(arguments))
            function = ir.Function(builder.module, kind, self._name)
        return builder.call(function, arguments)


def _compiled(definition: Definition, condition: bool) -> Any:
    forms = {n: _Function(definition, f, condition) for n, f in FORMATS.items()}

    def resolve(*operands: Any) -> Any:
        narrow = all(t == types.float32 for t in operands)
        form = forms["float32" if narrow else "float64"]
        return form.signature, form.generate

    def one(typing_context: Any, x: Any) -> Any:
        return resolve(x)

    def two(typing_context: Any, x: Any, y: Any) -> Any:
        return resolve(x, y)

    typing = {1: one, 2: two}[definition.__code__.co_argcount]
    typing.__name__, typing.__doc__ = definition.__name__, definition.__doc__
    result = intrinsic(typing)
    result.definition = definition
    return result


def function(definition: Definition) -> Any:
    """A function of Numba code; its operands are float64, or all of them float32."""
    return _compiled(definition, condition=False)


def condition(definition: Definition) -> Any:
    """As ``function``, for a definition that ends in a comparison."""
    return _compiled(definition, condition=True)
