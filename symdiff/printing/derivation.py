"""A derivation in text, in LaTeX and in MathML."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from unicodedata import combining

from ..graph import Node
from ..shapes import Shape, text
from .latex import LATEX
from .lines import Formula, Notation, Section
from .text import TEXT

if TYPE_CHECKING:
    from ..derivation import Derivation

__all__ = [
    "WIDTH",
    "aligned",
    "broken",
    "derivation_latex",
    "derivation_mathml",
    "derivation_text",
    "equation",
]

WIDTH = 100

Row = tuple[str, Shape]


def derivation_text(derivation: Derivation) -> str:
    """The named steps in matrix notation, shapes on the right."""
    sections = Notation(derivation, TEXT).sections()
    rows = aligned([(equation(f), f.node.shape) for s in sections for f in s.formulas])
    blocks = []
    for section in sections:
        lines, rows = rows[: len(section.formulas)], rows[len(section.formulas) :]
        blocks.append("\n".join([section.title, *lines, *_remarks(section)]))
    return "\n\n".join(blocks)


def equation(formula: Formula) -> str:
    """``δ = n ∂L/∂z = σ(z) − y``."""
    parts = [formula.name, formula.meaning, formula.definition]
    return " = ".join(part for part in parts if part)


def _remarks(section: Section) -> list[str]:
    lines = [f"  {before} → {after}    ({why})" for before, after, why in section.remarks]
    return [*lines, f"  and {section.more} more"] if section.more else lines


def aligned(rows: Sequence[Row], width: int = WIDTH) -> list[str]:
    """Formulas on the left, shapes right-aligned; long formulas go on in the next line."""
    shapes = [text(shape) for _, shape in rows]
    margin = max((len(s) for s in shapes), default=0) + 2
    formulas = [broken(formula, width - margin - 2) for formula, _ in rows]
    edge = max((columns(lines[-1]) for lines in formulas), default=0) + margin
    result = []
    for lines, shape in zip(formulas, shapes, strict=True):
        lines[-1] += " " * max(edge - columns(lines[-1]) - len(shape), 2) + shape
        result.append("\n".join(f"  {line}" for line in lines))
    return result


def columns(text: str) -> int:
    """How wide a text is on the screen."""
    return sum(not combining(c) for c in text)


_BREAKS = (" + ", " − ", " ⊙ ", " · ", ", ")


def broken(formula: str, width: int) -> list[str]:
    """A formula in lines, broken outside all parentheses, or else as far outside as possible."""
    equals = [position for position, depth in _positions(formula, " = ") if not depth]
    indent = " " * (equals[-1] + 3 if equals else 3)
    lines = []
    while (fitting := _fitting(formula, width)) < len(formula):
        place = _break(formula, fitting, len(indent))
        if place is None:
            break
        lines.append(formula[:place].rstrip())
        formula = indent + formula[place:].lstrip()
    return [*lines, formula]


def _fitting(formula: str, width: int) -> int:
    """How many characters of a text are not wider than ``width``; the rest is not looked at."""
    used = 0
    for position, character in enumerate(formula):
        used += not combining(character)
        if used > width:
            return position
    return len(formula)


def _positions(formula: str, mark: str) -> Iterator[tuple[int, int]]:
    """Where a mark stands, and inside how many parentheses."""
    depth = 0
    for position, character in enumerate(formula):
        depth += (character in "([") - (character in ")]")
        if formula.startswith(mark, position):
            yield position, depth


def _break(formula: str, fitting: int, start: int) -> int | None:
    """Where a line ends: the last of the outermost places that fit, before a sum's sign first."""
    formula = formula[: fitting + max(map(len, _BREAKS))]
    places = []
    for rank, mark in enumerate(_BREAKS):
        for position, depth in _positions(formula, mark):
            end = position + len(mark.rstrip()) if mark == ", " else position
            if start < position and end <= fitting:
                places.append((-depth, -(rank > 1), end))
    return max(places)[2] if places else None


# --- LaTeX -------------------------------------------------------------------------------


def derivation_latex(derivation: Derivation) -> str:
    """The named steps as an ``aligned`` environment."""
    lines = []
    for section in Notation(derivation, LATEX).sections():
        for formula in section.formulas:
            left = " = ".join(part for part in (formula.name, formula.meaning) if part)
            lines.append(f"{left} &= {formula.definition} && {_space(formula.node)}")
    joined = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{joined}\n\\end{{aligned}}"


def _space(node: Node) -> str:
    """The set that a node's values lie in."""
    field = {"real": r"\mathbb{R}", "int": r"\mathbb{Z}", "bool": r"\{0, 1\}"}[node.dtype]
    sizes = r" \times ".join(LATEX.symbol(str(d)).text for d in node.shape)
    return rf"\in {field}" + (f"^{{{sizes}}}" if sizes else "")


# --- MathML ------------------------------------------------------------------------------


def derivation_mathml(derivation: Derivation) -> str:
    """The named steps as the rows of a table in one ``<math>`` element, shapes on the right."""
    from .mathml import MATHML, mathematics, space

    rows = []
    for section in Notation(derivation, MATHML).sections():
        for formula in section.formulas:
            left = MATHML.relations["equal"].join(p for p in (formula.name, formula.meaning) if p)
            right = MATHML.relations["equal"] + f"<mrow>{formula.definition}</mrow>"
            cells = [("right", left), ("left", right), ("left", space(formula.node))]
            rows.append("".join(map(_cell, cells)))
    table = "".join(f"<mtr>{row}</mtr>" for row in rows)
    return mathematics(f'<mtable displaystyle="true">{table}</mtable>', "block")


def _cell(cell: tuple[str, str]) -> str:
    side, inner = cell
    return f'<mtd style="text-align: {side}; padding: 0.25em 0.4em"><mrow>{inner}</mrow></mtd>'
