"""What a comparison gives: rows, and the table that a person reads."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Comparison", "Row"]

WIDTH = 100


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes
    ----------
    method : str
    gradient : dict or None
        ``{symbol: array}``, None where the method was not run.
    operations : int or None
        Scalar operations that one gradient takes.
    nodes : int or None
        Nodes of what is kept to compute it: of the graph, or of the formulas as trees.
    numbers : int or None
        Intermediate numbers held at the same time.
    derive_seconds, evaluate_seconds : float or None
        None where there is nothing to derive, or nothing was run.
    error : float or None
        Largest difference from the reference, relative to the largest entry of the reference. None
        for the reference itself.
    exact : bool
        False where ``operations`` is an estimate, because the formula was not built.
    note : str
        Why something is missing.
    """

    method: str
    gradient: dict[Any, Any] | None = field(default=None, repr=False, compare=False)
    operations: int | None = None
    nodes: int | None = None
    numbers: int | None = None
    derive_seconds: float | None = None
    evaluate_seconds: float | None = None
    error: float | None = None
    exact: bool = True
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False)  # comparing a loss may take SymPy forever
class Comparison:
    """The gradient of one loss by several methods; made by :func:`symdiff.compare`.

    Attributes
    ----------
    loss : sympy.Expr
    parameters : tuple of Symbol
    values : dict
        ``{symbol: array}``, the values at which the methods were compared.
    rows : tuple of Row
    reference : str
        What the errors are measured against.
    """

    loss: Any
    parameters: tuple[Any, ...]
    values: dict[Any, Any]
    rows: tuple[Row, ...]
    reference: str

    def __getitem__(self, method: str) -> Row:
        """The row of a method by its name."""
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(f"{method!r}; there are {', '.join(repr(r.method) for r in self.rows)}")

    @property
    def title(self) -> str:
        """What was compared, in a line."""
        names = ", ".join(_plain(str(s)) for s in self.parameters)
        entries = sum(_size(self.values[s]) for s in self.parameters)
        return (
            f"gradient with respect to {names}: {entries} {'entry' * (entries == 1) or 'entries'}"
        )

    def notes(self) -> list[str]:
        """What the table alone does not say."""
        lines = [f"{row.method}: {_plain(row.note)}" for row in self.rows if row.note]
        return [*lines, f"error: against {self.reference}"]

    def __str__(self) -> str:
        table = [[title for title, _ in COLUMNS], *([f(r) for _, f in COLUMNS] for r in self.rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [*textwrap.wrap(self.title, WIDTH), ""]
        for cells in table:
            first, *rest = (
                c.ljust(w) if i == 0 else c.rjust(w)
                for i, (c, w) in enumerate(zip(cells, widths, strict=True))
            )
            lines.append("  ".join([first, *rest]).rstrip())
        lines.append("")
        for note in self.notes():
            lines += textwrap.wrap(note, WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The same as an HTML table; text of the user's is escaped."""
        heads = "".join(
            f'<th style="text-align:{"left" if i == 0 else "right"}">{html.escape(title)}</th>'
            for i, (title, _) in enumerate(COLUMNS)
        )
        rows = "".join(f"<tr>{_cells(row)}</tr>" for row in self.rows)
        notes = "<br>".join(html.escape(note) for note in self.notes())
        return (
            f"<table><caption>{html.escape(self.title)}</caption>"
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table><p>{notes}</p>"
        )


def _cells(row: Row) -> str:
    return "".join(
        f'<td style="text-align:{"left" if i == 0 else "right"}">{html.escape(read(row))}</td>'
        for i, (_, read) in enumerate(COLUMNS)
    )


def _plain(text: str) -> str:
    """A user's text on one line, without characters that a terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def _size(value: Any) -> int:
    return int(getattr(value, "size", 1))


_MISSING = "–"


def _count(value: int | None, exact: bool = True) -> str:
    if value is None:
        return _MISSING
    sign = "" if exact else "≈ "
    if value < 10**9:
        return sign + f"{value:,}".replace(",", " ")
    digits = str(value // 10 ** max(value.bit_length() * 3 // 10 - 5, 0))  # some leading ones
    power = len(digits) - 1 + max(value.bit_length() * 3 // 10 - 5, 0)
    return sign + f"{digits[0]}.{digits[1]}e{power}"


def _seconds(value: float | None) -> str:
    if value is None:
        return _MISSING
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale or unit == "µs":
            return f"{value / scale:.3g} {unit}" if value < 999.5 * scale else f"{value:.0f} s"
    return _MISSING


def _error(value: float | None) -> str:
    if value is None:
        return _MISSING
    return "0" if value == 0 else "not finite" if value != value else f"{value:.1e}"


COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("method", lambda row: row.method),
    ("operations", lambda row: _count(row.operations, row.exact)),
    ("nodes", lambda row: _count(row.nodes)),
    ("numbers", lambda row: _count(row.numbers)),
    ("derive", lambda row: _seconds(row.derive_seconds)),
    ("evaluate", lambda row: _seconds(row.evaluate_seconds)),
    ("error", lambda row: _error(row.error)),
)
