"""The blocks of a derivation: formulas, graph, steps, operations, explanations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..bridge import to_graph
from ..graph import Node
from ..printing.lines import LONGEST, Formula, Notation, Section
from ..printing.mathml import MATHML
from ..printing.text import TEXT
from .blocks import Block, Markup, cell, code, html, paragraph, scroll, table
from .explanation import explanation_block
from .formulas import formula, own_row, shape_mathml

if TYPE_CHECKING:
    from ..derivation import Derivation

__all__ = ["derivation_blocks", "heading"]

LONGEST_CODE = 4000
"""Letters of an expression in the table of steps."""


def heading(derivation: Derivation) -> tuple[str, Markup]:
    """The title of the page as text, and the headline as HTML."""
    names = ", ".join(str(p) for p in derivation.parameters)
    title = f"{_loss(Notation(derivation, TEXT), str)} by {names}"
    written = _loss(Notation(derivation, MATHML), own_row)
    return title, Markup(f"The gradient of {formula(written)}")


def _loss(notation: Notation, own: Callable[[str], str]) -> str:
    """``L = ‖r‖²``, or the name alone where it has no definition that is read easily."""
    node = notation.derivation.loss_node
    if not node.inputs or notation.page.size(node, own=True) > LONGEST:
        return notation.loss
    equal = notation.style.relations["equal"]
    return f"{notation.loss}{equal}{own(notation.page.definition(node))}"


def derivation_blocks(derivation: Derivation) -> list[Block]:
    """All that a page says of a derivation."""
    return [
        formulas_block(derivation),
        graph_block(derivation),
        explanation_block(derivation),
        steps_block(derivation),
        operations_block(derivation),
    ]


# --- formulas ----------------------------------------------------------------------------


def formulas_block(derivation: Derivation) -> Block:
    """The equations in the order of the printed derivation, shapes on the right."""
    parts = [_section(s) for s in Notation(derivation, MATHML).sections()]
    buttons = (("Copy LaTeX", derivation.latex()), ("Copy text", str(derivation)))
    return Block("formulas", "Formulas", Markup("".join(parts)), buttons)


def _section(section: Section) -> str:
    lines = "".join(map(_line, section.formulas))
    title = html(section.title[:1].upper() + section.title[1:])
    body = f'<table class="lines" aria-label="{title}"><tbody>{lines}</tbody></table>'
    body = body if lines else ""
    arrow = "<mo>→</mo>"
    remarks = "".join(
        f"<li>{scroll(formula(own_row(before) + arrow + own_row(after)))} "
        f"<small>{html(why)}</small></li>"
        for before, after, why in section.remarks
    )
    if section.more:
        remarks += f"<li>and {section.more} more</li>"
    body += f'<ul class="remarks">{remarks}</ul>' if remarks else ""
    return f"<h3>{title}</h3>{body}"


def _line(line: Formula) -> str:
    equal = MATHML.relations["equal"]
    name = equal.join(part for part in (line.name, line.meaning) if part)
    definition = scroll(formula(equal + own_row(line.definition)))
    cells = [
        cell(formula(name), "name"),
        cell(definition, "definition"),
        cell(shape_mathml(line.node.shape), "shape"),
    ]
    return f"<tr>{''.join(cells)}</tr>"


# --- the rest ----------------------------------------------------------------------------


def graph_block(derivation: Derivation) -> Block:
    """The graph as a picture; the layers of a large one open by a click."""
    drawing = derivation.graph()
    buttons = (("Copy SVG", drawing.svg()), ("Copy DOT", drawing.dot()))
    return Block("graph", "Graph", Markup(drawing.html()), buttons)


def steps_block(derivation: Derivation) -> Block:
    """Every step as the Python text that computes it."""
    names = derivation.naming.all
    rows = []
    for step in derivation.steps:
        of = step.of
        rows.append(
            [
                formula(names[step.node].piece(MATHML).text),
                cell(scroll(code(_typed(step.expression))), "wide"),
                cell(shape_mathml(step.shape), "shape"),
                step.rule,
                formula(names[of.node].piece(MATHML).text) if of is not None else "",
            ]
        )
    notation = Notation(derivation, MATHML)
    for symbol, expression in derivation.gradients.items():
        node: Node = to_graph(symbol)
        rows.append(
            [
                formula(notation.derivative(notation.symbol(symbol))),
                cell(scroll(code(_typed(expression))), "wide"),
                cell(shape_mathml(node.shape), "shape"),
                "gradient",
                formula(notation.symbol(symbol)),
            ]
        )
    head = ["step", "expression", "shape", "rule", "adjoint of"]
    return Block("steps", "Steps", scroll(table(head, rows, "steps")))


def _typed(expression: object) -> str:
    written = str(expression)
    return written if len(written) <= LONGEST_CODE else written[: LONGEST_CODE - 1] + "…"


def operations_block(derivation: Derivation) -> Block:
    """How many operations of each kind there are, forward and backward."""
    counts = derivation.operations()
    forward, backward = counts["forward"], counts["backward"]
    kinds = sorted({*forward, *backward}, key=lambda k: -forward.get(k, 0) - backward.get(k, 0))

    def row(kind: str, one: int, two: int, mark: str = "") -> list[str]:
        return [cell(kind, mark), *(cell(str(n or "–"), f"number {mark}") for n in (one, two))]

    rows = [row(k, forward.get(k, 0), backward.get(k, 0)) for k in kinds]
    rows.append(row("all", sum(forward.values()), sum(backward.values()), "total"))
    said = paragraph(
        "Operations on whole tensors: those of the loss, and those that the gradients add; what "
        "both need is computed once."
    )
    made = scroll(table(["operation", "forward", "backward"], rows, "counts"))
    return Block("operations", "Operations", Markup(said + made))
