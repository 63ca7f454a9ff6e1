"""The errors of symdiff: each is a :class:`SymdiffError` and the built-in a caller expects."""

from __future__ import annotations

import re

import numpy as np

__all__ = [
    "BindingError",
    "GradientMismatch",
    "IndexOutOfRange",
    "InvalidArgument",
    "InvalidType",
    "LinearAlgebraError",
    "ParseError",
    "ShapeError",
    "SymdiffError",
    "UnsupportedOperation",
]


class SymdiffError(Exception):
    """Base of every error that symdiff and codegen raise on purpose.

    Names come from users: one of a million letters is cut in the message.
    """

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(_readable(a) if isinstance(a, str) else a for a in arguments))


WORD = 200
"""Letters of one word that a message shows."""


def _readable(message: str) -> str:
    """A message without endless words, and without characters that a terminal obeys."""
    message = re.sub(rf"\S{{{WORD},}}", lambda found: f"{found[0][: WORD - 1]}…", message)
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in message)


class InvalidArgument(SymdiffError, ValueError):
    """An argument has a value outside what the function accepts."""


class ParseError(InvalidArgument):
    """A text is not an expression; the message marks the column, counted from 1."""

    column: int | None = None


class InvalidType(SymdiffError, TypeError):
    """An argument has a type that the function does not accept."""


class ShapeError(InvalidArgument):
    """Shapes do not fit; the message names the operands and their shapes."""


class BindingError(InvalidArgument):
    """A symbol has no value, a surplus value, or a value of the wrong shape or dtype."""


class IndexOutOfRange(SymdiffError, IndexError, ValueError):
    """An index or a class label lies outside its axis."""


class LinearAlgebraError(SymdiffError, np.linalg.LinAlgError):
    """A matrix is singular, or not positive definite; the message names it."""


class UnsupportedOperation(SymdiffError, TypeError, ValueError):
    """An expression holds something that has no rule; the message names it."""


class GradientMismatch(SymdiffError, AssertionError):
    """A gradient differs from finite differences; the message names the entry."""
