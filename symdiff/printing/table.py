"""An explanation as text in columns, and as LaTeX."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..shapes import text
from .derivation import WIDTH, broken, columns
from .latex import LATEX, escaped

if TYPE_CHECKING:
    from ..explanation import Line

__all__ = ["lines_latex", "lines_text", "number_text"]

RULE = 26
"""Columns for the names of rules."""

LOCAL = 44
"""Columns for local derivatives."""

INLINE = 12
"""Elements of an array that are written out, if they fit some columns."""

INLINE_WIDTH = 64

_GAP = 2
_TITLES = {
    "given": "values",
    "forward": "forward",
    "backward": "backward: rule, local derivative, derivative of the loss",
}


def lines_text(lines: Sequence[Line]) -> str:
    """Forward steps first, then the rules from the loss down; shapes on the right."""
    blocks = []
    for phase, title in _TITLES.items():
        block = [line for line in lines if line.phase == phase]
        if block:
            blocks.append("\n".join([title, *_block(block)]))
    return "\n\n".join(blocks)


def _block(lines: Sequence[Line]) -> list[str]:
    """The lines of one phase."""
    shapes = [text(line.shape) for line in lines]
    errors = [error_text(line) for line in lines]
    margin = max(map(len, shapes)) + _GAP
    margin_of_errors = max(map(len, errors)) + _GAP if any(errors) else 0
    rule = min(max((len(line.rule) for line in lines), default=0), RULE)
    local = max((w for line in lines if (w := columns(line.local)) <= LOCAL), default=0)
    room = WIDTH - 2 - margin - margin_of_errors
    if lines[0].phase == "backward":
        cells = [_rule_cells(line, rule, local, room) for line in lines]
    else:
        cells = [_with_number(broken(line.formula, room), line, room) for line in lines]
    edge = min(max(columns(cell[-1]) for cell in cells), room) + margin
    result: list[str] = []
    for cell, shape, error in zip(cells, shapes, errors, strict=True):
        gap = max(_GAP, edge - len(shape) - columns(cell[-1]))
        cell[-1] += " " * gap + shape
        if error:
            cell[-1] += f"{error:>{margin_of_errors}}"
        result += [f"  {part}".rstrip() for part in cell]
    return result


def _rule_cells(line: Line, rule: int, local: int, room: int) -> list[str]:
    """A rule, its local derivative, and the formula beside it, or below it where it is long."""
    left = rule + _GAP
    beside = room - left - (local + _GAP if local else 0)
    names = textwrap.wrap(line.rule, rule) or [""]
    if columns(line.local) <= local and columns(line.formula) <= beside:
        cell = [_padded(line.local, local + _GAP if local else 0) + line.formula]
        below: list[str] = []
    else:
        cell = broken(line.local, room - left) if line.local else []
        cell = cell if max(map(columns, cell), default=0) <= room - left else []  # too long
        below = broken(line.formula, room - left - 2 * bool(cell))
        if max(map(columns, below)) <= room - left - 2 * bool(cell):
            cell += ["  " * bool(cell) + part for part in below]
            below = []
        else:
            below = broken(line.formula, room - 4)
    names += [""] * (len(cell) - len(names))
    cell = [*[""] * (len(names) - len(cell)), *cell]
    result = [f"{n:<{left}}{part}" for n, part in zip(names, cell, strict=True)]
    result += [f"    {part}" for part in below]
    if line.value is not None:
        number = f"= {number_text(line.value, min(INLINE_WIDTH, room - left - 2))}"
        result.append(" " * (left + max(0, min(room - left - len(number), 4))) + number)
    return result


def _with_number(cell: list[str], line: Line, room: int) -> list[str]:
    """The number after a formula, or below it."""
    if line.value is None:
        return cell
    number = f"= {number_text(line.value)}"
    if columns(cell[-1]) + 1 + len(number) <= room:
        return [*cell[:-1], f"{cell[-1]} {number}"]
    return [*cell, f"    {number}"]


def _padded(cell: str, width: int) -> str:
    """A cell filled with spaces up to a width."""
    return cell + " " * max(0, width - columns(cell))


def error_text(line: Line) -> str:
    """How far a derivative is from finite differences."""
    if line.error is None:
        return ""
    return f"error {line.error:.0e}" + (", a kink" if line.kink else "")


def number_text(value: Any, width: int = INLINE_WIDTH) -> str:
    """A number with four digits; a small array with its elements, a larger one by its norm.

    Elements that need more than ``width`` columns are not shown.

    Examples
    --------
    >>> from symdiff.printing.table import number_text
    >>> number_text(2 / 3), number_text([[1, 0.5], [0.25, -3]])
    ('0.6667', '[[1, 0.5], [0.25, -3]]')
    >>> number_text(np.ones((64, 25)))
    'a (64, 25) array of norm 40'
    """
    array = np.asarray(value)
    written = _nested(array) if array.size <= INLINE else ""
    if array.size <= INLINE and len(written) <= width:
        return written
    norm = float(np.linalg.norm(np.asarray(array, np.float64).ravel()))
    return f"a {text(array.shape)} array of norm {norm:.4g}"


def _nested(array: Any) -> str:
    if not array.ndim:
        return f"{array + 0:.4g}"  # -0 is shown as 0
    return f"[{', '.join(_nested(part) for part in array)}]"


# --- LaTeX -------------------------------------------------------------------------------


def lines_latex(lines: Sequence[Line], formulas: Sequence[tuple[str, str]]) -> str:
    """The lines as an ``array`` environment: rule, local derivative, formula, shape."""
    rows = []
    checked = any(line.error is not None for line in lines)
    for line, (local, formula) in zip(lines, formulas, strict=True):
        if line.value is not None:
            formula += f" = {_number_latex(line.value)}"
        shape = LATEX.code(text(line.shape))
        parts = [LATEX.code(line.rule) if line.phase == "backward" else "", local, formula, shape]
        if checked:
            parts.append(LATEX.code(error_text(line)))
        rows.append(" & ".join(parts))
    phases = [line.phase for line in lines]
    ends = ["" if phase == after else r" \hline" for phase, after in itertools.pairwise(phases)]
    joined = "".join(f"{row} \\\\{end}\n" for row, end in zip(rows, ends, strict=False))
    return f"\\begin{{array}}{{lll{'ll' if checked else 'l'}}}\n{joined}{rows[-1]}\n\\end{{array}}"


def _number_latex(value: Any) -> str:
    array = np.asarray(value)
    if array.ndim > 2 or array.size > INLINE:
        return LATEX.code(number_text(value))
    if not array.ndim:
        return _scalar_latex(array)
    rows = array if array.ndim == 2 else array[:, None]
    inner = r" \\ ".join(" & ".join(map(_scalar_latex, row)) for row in rows)
    return rf"\begin{{pmatrix}} {inner} \end{{pmatrix}}"


def _scalar_latex(value: Any) -> str:
    written = f"{value + 0:.4g}"
    mantissa, mark, exponent = written.partition("e")
    if mark:
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"
    return written if written[-1].isdigit() else rf"\text{{{escaped(written)}}}"
