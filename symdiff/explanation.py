"""``explain``: the chain of rules from a loss to one parameter, with numbers, checked.

Nothing is derived to be explained: what each line says is what the reverse walk has sent from one
node to another when it built the gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .printing.explanation import Row, rows_of, written
from .printing.latex import LATEX
from .printing.table import lines_latex, lines_text
from .printing.text import TEXT
from .shapes import Shape

if TYPE_CHECKING:
    from .derivation import Derivation
    from .graph import Node

__all__ = ["Explanation", "Line", "explain"]


@dataclass(frozen=True)
class Line:
    """One line of an explanation.

    Attributes
    ----------
    phase : {"given", "forward", "backward"}
    rule : str
        The name of the rule; "" where a line only says what something is called.
    local : str
        The derivative of what the rule computes by its operand, ``∂h/∂z = 1 − h²``; where that
        is no array that is read easily, the change of the one by a change of the other,
        ``dZ = X dW``.
    formula : str
        The forward step, or the derivative of the loss that follows.
    shape : tuple
        Of what the formula gives.
    value : array or None
        What the formula gives, in numbers.
    error : float or None
        The largest relative error against finite differences.
    kink : bool
        True where the loss has a kink at the values: there every number between the derivatives
        from both sides counts as right.
    """

    phase: str
    rule: str
    local: str
    formula: str
    shape: Shape
    value: Any = field(default=None, compare=False)
    error: float | None = None
    kink: bool = False


class Explanation(str):
    """The chain of rules to one parameter: a text in columns, with what it was made of.

    Attributes
    ----------
    lines : tuple of Line
    """

    __slots__ = ("_latex", "lines")

    lines: tuple[Line, ...]
    _latex: str

    def __new__(cls, lines: Sequence[Line], latex: str) -> Explanation:
        """Make the text of the lines."""
        result = super().__new__(cls, lines_text(lines))
        result.lines = tuple(lines)
        result._latex = latex
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        return Explanation, (self.lines, self._latex)

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return str.__str__(self)

    def latex(self) -> str:
        """The lines as an ``array`` environment."""
        return self._latex

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"


def explain(
    derivation: Derivation, target: Node, values: Mapping[Any, Any] | None, check: bool
) -> Explanation:
    """The chain of rules from the loss of a derivation to one of its parameters."""
    from .following import compared, drawn, follow

    rows, names = rows_of(derivation, target, values is not None)
    numbers: list[Any] = [None] * len(rows)
    found: list[Any] = [None] * len(rows)
    formulas = written(derivation, rows, names, TEXT)
    if check or values is not None:
        arrays = drawn(derivation, target) if values is None else values
        run = follow(derivation, target, rows, arrays)
        if values is not None:
            numbers = [
                None if row.kind in ("start", "absent") else run.value(row.node, row.below)
                for row in rows
            ]
        if check:
            found = compared(derivation, rows, run, [formula for _, formula in formulas])
    lines = [
        _line(row, local, formula, number, comparison)
        for row, (local, formula), number, comparison in zip(
            rows, formulas, numbers, found, strict=True
        )
    ]
    return Explanation(lines, lines_latex(lines, written(derivation, rows, names, LATEX)))


_PHASES = {"given": "given", "forward": "forward"}


def _line(row: Row, local: str, formula: str, number: Any, comparison: Any) -> Line:
    error, kink = (None, False) if comparison is None else comparison
    shape = row.node.shape if row.kind in ("given", "forward", "shared") else row.below.shape
    phase = _PHASES.get(row.kind, "backward")
    return Line(phase, row.rule, local, formula, shape, number, error, kink)
