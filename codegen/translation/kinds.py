"""The types of values in kernels, and values themselves."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple


class NotTranslatable(Exception):
    """A kernel uses something that the translation does not know."""


@dataclass(frozen=True)
class Kind:
    """A type.

    Attributes
    ----------
    name : str
    llvm : str
        Its name in LLVM.
    """

    name: str
    llvm: str


@dataclass(frozen=True)
class Pointer(Kind):
    """A pointer to elements of a kind."""

    element: Kind


@dataclass(frozen=True)
class Several(Kind):
    """What a function gives that returns several values."""

    members: tuple[Kind, ...]


INT = Kind("int64", "i64")
NATURAL = Kind("uint64", "i64")
INT32 = Kind("int32", "i32")
BOOL = Kind("bool", "i1")
BYTE = Kind("int8", "i8")
FLOAT32 = Kind("float32", "float")
FLOAT64 = Kind("float64", "double")
NOTHING = Kind("nothing", "void")

REALS = (FLOAT32, FLOAT64)
KINDS = {kind.name: kind for kind in (INT, NATURAL, BOOL, FLOAT32, FLOAT64)}


def pointer(element: Kind) -> Pointer:
    """The kind of pointers to a kind."""
    return Pointer(f"pointer to {element.name}", "ptr", element)


def several(members: tuple[Kind, ...]) -> Several:
    """The kind of several values."""
    names = ", ".join(m.name for m in members)
    return Several(f"({names})", f"{{{', '.join(m.llvm for m in members)}}}", members)


class Value(NamedTuple):
    """A value: its kind, its text in LLVM, and its number where that is known."""

    kind: Kind
    text: str
    number: float | int | bool | None = None


VOID = Value(NOTHING, "")


def constant(kind: Kind, number: float | int | bool) -> Value:
    """A number that is known."""
    if kind in REALS:
        number = float(number)
        if kind is FLOAT32:
            number = _single(number)
        bits = struct.unpack("<Q", struct.pack("<d", number))[0]
        return Value(kind, f"0x{bits:016X}", number)
    if kind is BOOL:
        return Value(kind, "true" if number else "false", bool(number))
    return Value(kind, str(int(number)), int(number))


def _single(number: float) -> float:
    """The next number of 32 bits."""
    try:
        (result,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")
    return float(result)


def literal(number: object) -> Value:
    """A number of Python's, in the kind that Numba gives it."""
    if isinstance(number, bool):
        return constant(BOOL, number)
    if isinstance(number, int):
        return constant(INT if -(2**63) <= number < 2**63 else NATURAL, number)
    if isinstance(number, float):
        return constant(FLOAT64, number)
    raise NotTranslatable(f"{number!r} is no number")


def unified(first: Kind, second: Kind) -> Kind:
    """The kind of a variable that is given values of both."""
    if first == second:
        return first
    kinds = {first, second}
    if kinds == {BOOL, INT}:
        return INT
    if FLOAT64 in kinds and kinds <= {BOOL, INT, FLOAT32, FLOAT64}:
        return FLOAT64
    if kinds == {INT, FLOAT32}:
        return FLOAT64
    if kinds == {BOOL, FLOAT32}:
        return FLOAT32
    raise NotTranslatable(f"a value is {first.name} here and {second.name} there")
