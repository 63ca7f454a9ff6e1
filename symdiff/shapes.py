"""Sizes and shapes: symbolic sizes, broadcasting, axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy as sp

from .errors import InvalidArgument, InvalidType, ShapeError

Dimension = Any
"""One size: a Python int, or a SymPy expression in :class:`Size` symbols."""

Shape = tuple[Dimension, ...]


class Size(sp.Symbol):
    """A symbolic size; equal to another size, and to a string, of the same name.

    Examples
    --------
    >>> from symdiff.shapes import Size
    >>> Size("n") == Size("n"), Size("n") == "n", Size("n") == sp.Symbol("n")
    (True, True, False)
    """

    __slots__ = ()

    def __new__(cls, name: str) -> Size:
        """Make the size of this name."""
        return sp.Symbol.__xnew__(cls, name, integer=True, nonnegative=True)

    def __getnewargs_ex__(self) -> tuple[tuple[str], dict[str, Any]]:
        return (self.name,), {}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.name == other
        return isinstance(other, Size) and self.name == other.name

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.name)


def dimension(entry: Any) -> Dimension:
    """One entry of a shape as an int or a SymPy expression in sizes."""
    if isinstance(entry, str):
        if not entry:
            raise InvalidArgument("a symbolic size needs a name that is not empty")
        return Size(entry)
    if isinstance(entry, sp.Expr) and not isinstance(entry, sp.Integer):
        if all(isinstance(s, Size) for s in entry.free_symbols) and entry.free_symbols:
            return entry
        raise InvalidType(
            f"a size is an int, a name or an expression in sizes, not {entry}; "
            "use a string for a symbolic size"
        )
    if isinstance(entry, bool) or not hasattr(entry, "__index__"):
        raise InvalidType(f"a size is an int or a name, not {entry!r}")
    value = int(entry)
    if value < 0:
        raise InvalidArgument(f"a size cannot be negative, got {value}")
    return value


def shape_of(entries: Iterable[Any]) -> Shape:
    """Normalise the entries that a user wrote to a shape."""
    return tuple(dimension(e) for e in entries)


def product(dimensions: Iterable[Dimension]) -> Dimension:
    """The number of elements of a shape."""
    result: Dimension = 1
    for d in dimensions:
        result = result * d
    return int(result) if isinstance(result, sp.Integer) else result


def divide_dimensions(total: Dimension, part: Dimension) -> Dimension | None:
    """``total / part`` where it is known to be a whole size, else None."""
    if isinstance(total, int) and isinstance(part, int):
        return total // part if part and total % part == 0 else None
    quotient = sp.cancel(sp.Mul(total, sp.Pow(part, -1)))
    if quotient.is_Integer:
        return int(quotient)
    return quotient if quotient.is_polynomial(*quotient.free_symbols) else None


def concrete(dimension: Dimension, sizes: Mapping[Size, int]) -> int:
    """The value of a size, given the values of the symbolic ones."""
    if isinstance(dimension, int):
        return dimension
    return int(dimension.xreplace({s: sp.Integer(sizes[s]) for s in dimension.free_symbols}))


def concrete_shape(shape: Shape, sizes: Mapping[Size, int]) -> tuple[int, ...]:
    """The value of a shape, given the values of the symbolic sizes."""
    return tuple(concrete(d, sizes) for d in shape)


def text(shape: Sequence[Dimension]) -> str:
    """A shape as a user reads it: ``(n, 64)``, ``(3,)``, ``()``."""
    inner = ", ".join(str(d) for d in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def broadcast(*shapes: Shape) -> Shape | None:
    """The common shape by NumPy's rule, or None where there is none.

    A symbolic size is equal to itself only, and stretches only from a literal 1.
    """
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dimension] = []
    for axis in range(-rank, 0):
        size: Dimension = 1
        for s in shapes:
            if len(s) < -axis:
                continue
            d = s[axis]
            if d == 1 or d == size:
                continue
            if size != 1:
                return None
            size = d
        result.append(size)
    return tuple(result)


def normalise_axes(axis: Any, rank: int, what: str) -> tuple[int, ...]:
    """``axis=`` of a reduction as sorted non-negative ints; None means all axes."""
    if axis is None:
        return tuple(range(rank))
    entries = axis if isinstance(axis, (tuple, list, sp.Tuple)) else (axis,)
    result = []
    for entry in entries:
        if isinstance(entry, bool) or not hasattr(entry, "__index__"):
            raise InvalidType(
                f"{what}: axis must be an int, a tuple of ints or None, got {entry!r}"
            )
        a = int(entry)
        if not -rank <= a < rank:
            raise ShapeError(f"{what}: axis {a} is out of range for an operand with {rank} axes")
        result.append(a % rank)
    if len(set(result)) != len(result):
        raise InvalidArgument(f"{what}: an axis is named twice in {axis}")
    return tuple(sorted(result))


def reduce_shape(shape: Shape, axes: tuple[int, ...], keepdims: bool) -> Shape:
    """The shape that is left when ``axes`` are reduced."""
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)
