"""Operators of kernels: the kinds of their results as Numba has them, and their instructions."""

from __future__ import annotations

import ast
from collections.abc import Callable

from .code import Code
from .kinds import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT,
    NATURAL,
    REALS,
    NotTranslatable,
    Value,
    constant,
)

_REAL: dict[type[ast.operator], str] = {
    ast.Add: "fadd",
    ast.Sub: "fsub",
    ast.Mult: "fmul",
    ast.Div: "fdiv",
}
_WHOLE: dict[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
_BITS: dict[type[ast.operator], str] = {
    ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
    ast.LShift: "shl", ast.RShift: "lshr",
}  # fmt: skip
_FOLDED: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}
_TESTS: dict[type[ast.cmpop], tuple[str, str, str]] = {
    ast.Eq: ("oeq", "eq", "eq"), ast.NotEq: ("une", "ne", "ne"),
    ast.Lt: ("olt", "slt", "ult"), ast.LtE: ("ole", "sle", "ule"),
    ast.Gt: ("ogt", "sgt", "ugt"), ast.GtE: ("oge", "sge", "uge"),
}  # fmt: skip


def common(code: Code, a: Value, b: Value) -> tuple[Value, Value]:
    """Two numbers in the kind in which Numba computes with both."""
    kinds = {a.kind, b.kind}
    if len(kinds) == 1:
        kind = a.kind if a.kind is not BOOL else INT
    elif kinds <= {BOOL, INT}:
        kind = INT
    elif FLOAT32 in kinds and kinds <= {FLOAT32, BOOL}:
        kind = FLOAT32
    elif NATURAL not in kinds and kinds & set(REALS):
        kind = FLOAT64
    else:
        raise NotTranslatable(f"{a.kind.name} beside {b.kind.name}")
    return code.convert(a, kind), code.convert(b, kind)


def binary(code: Code, operator: ast.operator, a: Value, b: Value) -> Value:
    """The value of ``a operator b``."""
    kind = type(operator)
    if kind in _BITS:
        return _bitwise(code, kind, a, b)
    a, b = common(code, a, b)
    if kind is ast.Div and a.kind not in REALS:
        a, b = code.convert(a, FLOAT64), code.convert(b, FLOAT64)
    if a.kind in REALS:
        return _on_reals(code, kind, a, b)
    if kind in _WHOLE:
        if a.number is not None and b.number is not None and a.kind is INT:
            return constant(INT, _FOLDED[kind](int(a.number), int(b.number)))
        return code.whole(_WHOLE[kind], a, b)
    if kind in (ast.FloorDiv, ast.Mod):
        return _divided(code, kind is ast.Mod, a, b)
    raise NotTranslatable(f"{kind.__name__} of {a.kind.name}")


def _bitwise(code: Code, kind: type[ast.operator], a: Value, b: Value) -> Value:
    if a.kind is not b.kind:
        a, b = common(code, a, b)
    if a.kind in REALS or (kind is ast.RShift and a.kind is not NATURAL):
        raise NotTranslatable(f"{kind.__name__} of {a.kind.name}")
    return code.whole(_BITS[kind], a, b)


def _on_reals(code: Code, kind: type[ast.operator], a: Value, b: Value) -> Value:
    if kind in _REAL:
        return code.real(_REAL[kind], a, b)
    if kind is ast.Pow:
        return code.intrinsic("pow", a, b)
    if kind not in (ast.Mod, ast.FloorDiv):
        raise NotTranslatable(f"{kind.__name__} of {a.kind.name}")
    return _remainder(code, a, b)[0] if kind is ast.Mod else _floor_quotient(code, a, b)


def _remainder(code: Code, a: Value, b: Value) -> tuple[Value, Value, Value]:
    """As NumPy: with the sign of the divisor; that of C, and whether they differ."""
    rest = code.real("frem", a, b, flags="")
    zero = constant(a.kind, 0.0)
    signs = code.whole("xor", code.test("fcmp olt", rest, zero), code.test("fcmp olt", b, zero))
    turned = code.whole("and", signs, code.test("fcmp une", rest, zero))
    result = code.select(turned, code.real("fadd", rest, b, flags=""), rest)
    signed = code.intrinsic("copysign", zero, b, flags="")
    return code.select(code.test("fcmp oeq", rest, zero), signed, result), rest, turned


def _floor_quotient(code: Code, a: Value, b: Value) -> Value:
    """As NumPy: from the remainder, so that it is exact."""
    _, rest, turned = _remainder(code, a, b)
    zero, one = constant(a.kind, 0.0), constant(a.kind, 1.0)
    quotient = code.real("fdiv", code.real("fsub", a, rest, flags=""), b, flags="")
    quotient = code.select(turned, code.real("fsub", quotient, one, flags=""), quotient)
    below = code.intrinsic("floor", quotient, flags="")
    far = code.test("fcmp ogt", code.real("fsub", quotient, below, flags=""), constant(a.kind, 0.5))
    rounded = code.select(far, code.real("fadd", below, one, flags=""), below)
    plain = code.real("fdiv", a, b, flags="")
    signed = code.intrinsic("copysign", zero, plain, flags="")
    rounded = code.select(code.test("fcmp oeq", quotient, zero), signed, rounded)
    return code.select(code.test("fcmp oeq", b, zero), plain, rounded)


def _divided(code: Code, rest_wanted: bool, a: Value, b: Value) -> Value:
    """Quotient or remainder of whole numbers, rounded down; 0 where the divisor is."""
    name = "rem" if rest_wanted else "div"
    if a.kind is NATURAL:
        return code.whole(f"u{name}", a, b)
    zero, one = constant(INT, 0), constant(INT, 1)
    if b.number is not None and int(b.number) > 0:
        if a.number is not None:
            both = divmod(int(a.number), int(b.number))
            return constant(INT, both[rest_wanted])
        divisor, bad = b, None
    else:
        none = code.test("icmp eq", b, zero)
        # the least number divided by -1 has no quotient, and its remainder is 0
        edge = code.whole(
            "and",
            code.test("icmp eq", b, constant(INT, -1)),
            code.test("icmp eq", a, constant(INT, -(2**63))),
        )
        bad = code.whole("or", none, edge)
        divisor = code.select(bad, one, b)
    rest = code.whole("srem", a, divisor)
    signs = code.test("icmp slt", code.whole("xor", rest, divisor), zero)
    inexact = code.test("icmp ne", rest, zero)
    down = code.whole("and", signs, inexact)
    if rest_wanted:
        result = code.select(down, code.whole("add", rest, divisor), rest)
    else:
        quotient = code.whole("sdiv", a, divisor)
        result = code.whole("sub", quotient, code.convert(down, INT))
    return result if bad is None else code.select(bad, zero, result)


def unary(code: Code, operator: ast.unaryop, a: Value) -> Value:
    """The value of ``operator a``."""
    if isinstance(operator, ast.Not):
        a = code.truth(a)
        if a.number is not None:
            return constant(BOOL, not a.number)
        return code.whole("xor", a, constant(BOOL, True))
    if isinstance(operator, ast.USub):
        if a.number is not None and a.kind is not NATURAL:
            return constant(INT if a.kind is BOOL else a.kind, -a.number)
        if a.kind in REALS:
            return code.value(a.kind, f"fneg {code.flags}{a.kind.llvm} {a.text}")
        return code.whole("sub", constant(INT, 0), code.convert(a, INT))
    raise NotTranslatable(type(operator).__name__)


def compare(code: Code, operator: ast.cmpop, a: Value, b: Value) -> Value:
    """The condition ``a operator b``."""
    names = _TESTS.get(type(operator))
    if names is None:
        raise NotTranslatable(type(operator).__name__)
    real, signed, unsigned = names
    a, b = _beside(a, b), _beside(b, a)
    if a.kind is not b.kind or a.kind is BOOL:
        a, b = common(code, a, b)
    if a.kind in REALS:
        return code.value(BOOL, f"fcmp {code.flags}{real} {a.kind.llvm} {a.text}, {b.text}")
    return code.test(f"icmp {unsigned if a.kind is NATURAL else signed}", a, b)


def _beside(value: Value, other: Value) -> Value:
    """A number that is known in the kind of a real number beside it, where that holds it."""
    number = value.number
    if number is None or value.kind is other.kind or other.kind not in REALS:
        return value
    same = constant(other.kind, number)
    return same if same.number == number or number != number else value
