"""Pieces of formulas, and what a notation has to spell."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar, Self

__all__ = [
    "ATOM",
    "CALL",
    "JUXTAPOSED",
    "PARTS_OF_A_NAME",
    "POWER",
    "PREFIX",
    "PRODUCT",
    "SUM",
    "Piece",
    "Style",
]

SUM, PREFIX, PRODUCT, JUXTAPOSED, CALL, POWER, ATOM = range(7)
"""How tightly a piece of text binds, from ``a + b`` to ``a``."""

PARTS_OF_A_NAME = r"[^\W_]+(_[^\W_]+)*"
"""Names with indices. Of any other name, such as ``x_``, the underscores are letters."""


@dataclass(frozen=True)
class Piece:
    """A written part: its text, how tightly it binds, whether it is of single letters only."""

    text: str
    level: int = ATOM
    short: bool = True
    negative: bool = False
    """True where the text stands for the part without a minus sign in front of it."""


_AXES = "ijklmprstuvx"
"""Letters that have subscripts in Unicode."""


class Style(ABC):
    """How a notation spells what a :class:`Page` lays out."""

    plus, minus, hadamard, dot = " + ", " − ", " ⊙ ", " · "
    functions: ClassVar[Mapping[str, str]] = {}
    relations: ClassVar[Mapping[str, str]] = {}
    ones, identity = "𝟏", "𝐈"
    arrow, element = " ← ", " ∈ "
    axes = "ijklmp"
    """Letters of the axes, in order."""

    def avoiding(self, names: Container[str]) -> Self:
        """The same notation with letters for the axes that name nothing else."""
        style = copy(self)
        style.axes = "".join(c for c in _AXES if c not in names)
        return style

    @abstractmethod
    def symbol(self, name: str) -> Piece:
        """A symbol or a size by its name."""

    @abstractmethod
    def adjoint(self, of: str, name: str) -> Piece:
        """δ with the name of a step as its index; ``name`` is what that is as a symbol."""

    @abstractmethod
    def derivative(self, above: str, below: Sequence[str]) -> Piece:
        """∂L/∂x, and ∂²L/∂x∂y for two symbols below."""

    @abstractmethod
    def literal(self, value: Any) -> Piece:
        """A number that is not negative."""

    @abstractmethod
    def parentheses(self, inner: str) -> str:
        """``(inner)``."""

    @abstractmethod
    def brackets(self, inner: str) -> str:
        """``[inner]``, which is also 1 where a condition holds, else 0."""

    @abstractmethod
    def bars(self, inner: str) -> str:
        """``|inner|``."""

    @abstractmethod
    def norm(self, inner: str, rank: int) -> str:
        """The Euclidean norm of a vector, the Frobenius norm of a matrix."""

    @abstractmethod
    def root(self, inner: Piece) -> Piece:
        """The square root."""

    @abstractmethod
    def power(self, base: str, exponent: Piece) -> str:
        """A base, in parentheses where needed, and its exponent."""

    @abstractmethod
    def transposed(self, inner: str) -> str:
        """The transpose."""

    @abstractmethod
    def inverse(self, base: str, transposed: bool = False) -> str:
        """The inverse of a matrix, or the transpose of that."""

    @abstractmethod
    def fraction(self, above: Piece | None, below: Piece) -> Piece:
        """A quotient; None stands for 1."""

    @abstractmethod
    def juxtapose(self, left: Piece, right: Piece) -> str:
        """Two parts side by side."""

    @abstractmethod
    def operator(self, name: str, axes: Sequence[int] | None) -> str:
        """The name of a reduction, with the axes it runs over; None means all."""

    @abstractmethod
    def function(self, name: str) -> str:
        """The name of a function."""

    @abstractmethod
    def code(self, inner: str) -> str:
        """What has no mathematical form: an index as it is typed."""

    def listed(self, parts: Sequence[str], separator: str = ",") -> str:
        """Parts with a separator between them: ``a, b``."""
        return f"{separator} ".join(parts)

    def path(self, number: int, inner: str) -> str:
        """The contribution of one path: ``path 1: P/n``."""
        return f"{self.function('path')} {number}: {inner}"

    def equation(self, *sides: str) -> str:
        """``a = b = c``."""
        return self.relations["equal"].join(sides)
