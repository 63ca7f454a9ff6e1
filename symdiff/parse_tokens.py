"""The tokens of a text, and errors that point into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from .errors import ParseError, ShapeError


class Token(NamedTuple):
    """A piece of text: its kind, what it says and where it stands (from 0)."""

    kind: str  # number, name, text, operator or end
    text: str
    position: int


_PATTERN = re.compile(
    r"""(?P<space>\s+)
    | (?P<number>(?:\d+(?:\.(?![*/^'T.])\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[^\W\d]\w*)
    | (?P<quoted>"[^"]*")
    | (?P<operator>\.T(?!\w)|\.\.\.|\.\*|\./|\.\^|\*\*|<=|>=|==|!=|\|\||[-+*/^@()\[\],:'<>=])
    """,
    re.VERBOSE,
)
_QUOTED = re.compile(r"'[^']*'")
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_ ,>.-]{0,200}")


class _ShapeParseError(ParseError, ShapeError):
    """Shapes in a text do not fit."""


def fail(text: str, position: int, message: str, cause: BaseException | None = None) -> NoReturn:
    """Raise an error with a mark under the column; a long text is cut around it."""
    line = "".join(c if c.isprintable() else " " for c in text)
    start = max(0, position - 60)
    shown = line[start : position + 40]
    before, after = "…" * (start > 0), "…" * (position + 40 < len(line))
    mark = " " * (len(before) + position - start) + "^"
    kind = _ShapeParseError if isinstance(cause, ShapeError) else ParseError
    error = kind(f"{message} in column {position + 1}\n    {before}{shown}{after}\n    {mark}")
    error.column = position + 1
    raise error from cause


def tokens(text: str) -> Iterator[Token]:
    """The tokens of a text; an apostrophe after an operand is a transpose, else a quote."""
    position = 0
    after_operand = False
    while position < len(text):
        found = None if after_operand else _QUOTED.match(text, position)
        kind = "quoted"
        if found is None:
            found = _PATTERN.match(text, position)
            kind = found.lastgroup or "" if found else ""
        if found is None:
            fail(text, position, _unexpected(text, position))
        piece = found.group()
        if kind == "name":
            _check_name(text, piece, position)
        if kind == "quoted":
            if not _PLAIN_TEXT.fullmatch(piece[1:-1]):
                fail(text, position, "text in quotes may hold letters, digits, ',' and '->' only")
            yield Token("text", piece[1:-1], position)
        elif kind != "space":
            yield Token(kind, piece, position)
        if kind != "space":
            after_operand = kind in ("number", "name") or piece in (")", "]", "'", ".T", "||")
        position = found.end()
    yield Token("end", "", len(text))


def _unexpected(text: str, position: int) -> str:
    character = text[position]
    if character == ".":
        return 'only .T, .*, ./ and .^ may follow a dot: attributes are not read, got "."'
    if character in "&|!~":
        return (
            f'"{character}" is not read: write logical_and(a, b), logical_or(a, b), '
            "logical_not(a), and abs(x) or ||x||"
        )
    return f"unexpected character {character!r}"


def _check_name(text: str, name: str, position: int) -> None:
    if name.startswith("__") or len(name) > 1000:
        fail(text, position, f'"{name[:30]}" cannot be a name in a text')
    if "ᵀ" in name:
        fail(text, position, f"write {name.replace('ᵀ', '')}.T or {name.replace('ᵀ', '')}'")
    if not name.isidentifier():
        fail(text, position, f'"{name[:30]}" is not a name; write powers with ** or ^')
