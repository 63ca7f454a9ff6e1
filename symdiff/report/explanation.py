"""The chain of rules from the loss to each parameter, as tables of formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bridge import to_graph
from ..printing.explanation import Row, rows_of, written
from ..printing.lines import Notation
from ..printing.mathml import MATHML
from .blocks import Block, Markup, cell, folded, paragraph, scroll, table
from .formulas import formula, shape_mathml

if TYPE_CHECKING:
    from ..derivation import Derivation

__all__ = ["explanation_block"]

UNFOLDED = 2
"""Explanations that are not folded away."""

MOST_ROWS = 500
"""Lines of all explanations: each goes through the whole model, so they grow as its square."""


def explanation_block(derivation: Derivation) -> Block:
    """For each parameter the chain of rules from the loss."""
    notation = Notation(derivation, MATHML)
    parts: list[Markup] = []
    total = 0
    for parameter in derivation.parameters:
        rows, names = rows_of(derivation, to_graph(parameter), False)
        total += len(rows)
        if parts and total > MOST_ROWS:
            break
        formulas = written(derivation, rows, names, MATHML)
        inner = _tables(list(zip(rows, formulas, strict=True)))
        summary = Markup(f"from the loss to {formula(notation.symbol(parameter))}")
        parts.append(folded(summary, inner, len(parts) < UNFOLDED))
    texts = [str(derivation.explain(p)) for p in derivation.parameters[: len(parts)]]
    left = derivation.parameters[len(parts) :]
    if left:
        parts.append(paragraph(f"{len(left)} more: explain() gives that of {left[0]} and others."))
    buttons = (("Copy explanation", "\n\n".join(texts)),)
    return Block("explanation", "Explanation", Markup("".join(parts)), buttons)


def _tables(lines: list[tuple[Row, tuple[str, str]]]) -> Markup:
    """The forward steps, and then one rule in each line."""
    forward = [
        [formula(made), cell(shape_mathml(row.node.shape), "shape")]
        for row, (_, made) in lines
        if row.kind == "forward"
    ]
    backward = [
        [
            row.rule,
            formula(local) if local else "",
            formula(made),
            cell(shape_mathml((row.node if row.kind == "shared" else row.below).shape), "shape"),
        ]
        for row, (local, made) in lines
        if row.kind not in ("given", "forward")
    ]
    head = ["rule", "local derivative", "derivative of the loss", "shape"]
    steps = scroll(table(["forward step", "shape"], forward, "chain")) if forward else ""
    return Markup(steps + scroll(table(head, backward, "chain")))
