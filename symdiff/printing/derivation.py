"""A derivation on the page: named steps, the chain of rules, LaTeX."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import combining

from ..bridge import to_graph
from ..gradient import depends
from ..graph import Node, apply, walk
from ..shapes import Shape, text
from .latex import LATEX
from .page import Page
from .style import ATOM, CALL, PREFIX, Piece
from .text import TEXT

if TYPE_CHECKING:
    import sympy as sp

    from ..derivation import Derivation

__all__ = ["WIDTH", "broken", "derivation_latex", "derivation_text", "explanation_text"]

WIDTH = 100
RULES = 40
"""Columns for the names of rules in an explanation."""
LONGEST = 60
"""Parts of a formula beyond which an aside shows only that there is one."""

MOST_MOVES = 24
"""Reordered products that are shown one by one."""

Row = tuple[str, Shape]


def derivation_text(derivation: Derivation) -> str:
    """The named steps in matrix notation, shapes on the right."""
    page = _page(derivation)
    naming = derivation.naming
    forward = [
        (f"{name.text} = {page.definition(node)}", node.shape)
        for node, name in naming.forward.items()
    ]
    backward = [
        (f"{name.text} = {_meaning(page, derivation, node)}{page.definition(node)}", node.shape)
        for node, name in naming.backward.items()
    ]
    gradients = [
        (f"∂{_loss(derivation)}/∂{_shown(page, s)} = {page.text(node)}", node.shape)
        for s, node in derivation.gradient_nodes.items()
    ]
    seconds = [
        (
            f"∂²{_loss(derivation)}/∂{_shown(page, one)}∂{_shown(page, other)} = {page.text(node)}",
            node.shape,
        )
        for (one, other), node in derivation.hessian_nodes.items()
    ]
    rows = aligned([*forward, *backward, *gradients, *seconds])
    first, second = len(forward), len(forward) + len(backward)
    third = second + len(gradients)
    blocks = [
        ("forward", rows[:first]),
        ("rewritten for stability", _rewritten(page, derivation)),
        ("backward", rows[first:second]),
        ("gradients", rows[second:third]),
        ("second derivatives", rows[third:]),
        _reordered(page, derivation),
    ]
    return "\n\n".join("\n".join([title, *lines]) for title, lines in blocks if lines)


def aligned(rows: Sequence[Row], width: int = WIDTH) -> list[str]:
    """Formulas on the left, shapes right-aligned; long sums go on in the next line."""
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


def broken(formula: str, width: int) -> list[str]:
    """A formula in lines, broken before ``+`` and ``−`` outside all parentheses."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(formula):
        depth += (character in "([") - (character in ")]")
        if depth == 0 and formula[position : position + 3] in (" + ", " − "):
            parts.append(formula[start:position])
            start = position
    parts.append(formula[start:])
    indent = " " * (formula.find(" = ") + 2 if " = " in formula else 2)
    lines = [parts[0]]
    for part in parts[1:]:
        if columns(lines[-1] + part) <= width:
            lines[-1] += part
        else:
            lines.append(indent + part)
    return lines


def _page(derivation: Derivation) -> Page:
    names = {n: name.piece for n, name in derivation.naming.all.items()}
    return Page(TEXT, names)


def _loss(derivation: Derivation) -> str:
    root = derivation.loss_node
    name = derivation.naming.forward.get(root)
    if name is not None:
        return name.text
    return TEXT.symbol(root.attributes[0].name).text if root.operation == "symbol" else "L"


def _shown(page: Page, symbol: sp.Symbol) -> str:
    return page.text(to_graph(symbol))


def _meaning(page: Page, derivation: Derivation, node: Node) -> str:
    """``n ∂L/∂z = `` for what is the derivative by z, up to a constant."""
    if node not in derivation.naming.adjoint_of:
        return ""
    of, factor = derivation.naming.adjoint_of[node]
    loss, name = _loss(derivation), derivation.naming.forward[of]
    return scaled(page, Piece(f"∂{loss}/∂{name.text}", PREFIX, False), factor) + " = "


def scaled(page: Page, derivative: Piece, factor: Node) -> str:
    """A derivative divided by a constant factor."""
    from ..steps import fold

    inverse = to_graph(1 / fold(factor, {}))
    placeholder = apply("symbol", attributes=(_PLACEHOLDER, (), "real"))
    inner = Page(page.style, {placeholder: derivative})
    if inverse.is_number(1):
        return derivative.text
    if inverse.is_number(-1):
        return inner.text(apply("negative", placeholder))
    return inner.text(apply("multiply", inverse, placeholder))


def _placeholder() -> Any:
    from sympy import Dummy

    return Dummy("derivative")


_PLACEHOLDER = _placeholder()


def _rewritten(page: Page, derivation: Derivation) -> list[str]:
    """What the stability rules have replaced, where it is short enough to be read."""
    lines = []
    present = set(walk([derivation.loss_node]))
    for rule, before, after in derivation.applied:
        if after in present and page.size(before) <= LONGEST:
            old, new = page.definition(before), page.definition(after)
            lines.append(f"  {old} → {new}    ({rule.name})")
    return list(dict.fromkeys(lines))


def _reordered(page: Page, derivation: Derivation) -> tuple[str, list[str]]:
    """The products that are computed in another order, and what that saves."""
    reordering = derivation.reordering
    if reordering is None or not reordering.applied:
        return "", []
    title = f"products reordered: {reordering.before} → {reordering.after} multiplications"
    if reordering.rows is not None:
        title += f" for {reordering.rows} = {reordering.sizes[reordering.rows]}"
    lines = []
    for name, before, after in reordering.applied:
        if max(page.size(before, own=True), page.size(after, own=True)) <= LONGEST:
            lines.append(f"  {page.definition(before)} → {page.definition(after)}    ({name})")
    lines = list(dict.fromkeys(lines))
    if len(lines) < len(reordering.applied) or len(lines) > MOST_MOVES:
        shown = lines[:MOST_MOVES]
        lines = [*shown, f"  and {len(reordering.applied) - len(shown)} more"]
    return title, lines


# --- the chain of rules ------------------------------------------------------------------


def explanation_text(derivation: Derivation, parameter: Any) -> str:
    """The derivatives from the loss to a parameter, each with the rules that give it."""
    explained = _Explanation(derivation, to_graph(parameter))
    rows = [("", f"∂{explained.loss}/∂{explained.loss} = 1", ()), *explained.rows()]
    room = max(1, min(max(len(rule) for rule, _, _ in rows), RULES))
    lines = aligned([(formula, shape) for _, formula, shape in rows], WIDTH - room)
    result = []
    for (rule, _, _), line in zip(rows, lines, strict=True):
        *before, last = textwrap.wrap(rule, room) or [""]
        result += before
        result.append(f"{last:<{room}}{line}".replace("\n", "\n" + " " * room))
    return "\n".join(result)


class _Explanation:
    """The chain of rules to one parameter."""

    def __init__(self, derivation: Derivation, target: Node) -> None:
        self.derivation = derivation
        self.target = target
        self.page = _page(derivation)
        self.loss = _loss(derivation)
        self.introduced: set[Node] = set(derivation.naming.forward)

    def rows(self) -> Iterable[tuple[str, str, Shape]]:
        derivation = self.derivation
        on_path = depends([derivation.loss_node], [self.target])
        shown: set[Node] = {derivation.loss_node}
        written: set[Node] = set()
        for node in reversed(walk([derivation.loss_node])):
            if node is derivation.loss_node or node not in on_path:
                continue
            adjoint = derivation.adjoint_nodes.get(node)
            if adjoint is None:
                continue
            named = node in derivation.naming.forward or node is self.target
            if not named and (adjoint in written or node.operation in _PASSING):
                continue
            rule = derivation.rules_between(node, shown)
            yield from self._row(node, adjoint, rule)
            shown.add(node)
            written.add(adjoint)
        if self.target not in shown:
            formula = f"∂{self.loss}/∂{self._name(self.target)} = 0"
            yield "not in the loss", formula, self.target.shape

    def _row(self, node: Node, adjoint: Node, rule: str) -> Iterable[tuple[str, str, Shape]]:
        backward = self.derivation.naming.backward
        for step in walk([adjoint], self.introduced):
            if step in backward and step is not adjoint:
                yield rule, f"{backward[step].text} = {self.page.definition(step)}", step.shape
                rule = ""
            if step in backward:
                self.introduced.add(step)
        formula = f"∂{self.loss}/∂{self._name(node)} = "
        if adjoint in backward:
            formula += f"{backward[adjoint].text} = "
        yield rule, formula + self._definition(adjoint), node.shape
        if adjoint not in self.page.names and self.page.size(adjoint) > 8:
            self.page.name(adjoint, Piece(f"∂{self.loss}/∂{self._name(node)}", CALL, False))

    def _definition(self, node: Node) -> str:
        return self.page.definition(node) if self.page.size(node, own=True) <= LONGEST else "…"

    def _name(self, node: Node) -> str:
        if node in self.page.names or not node.inputs:
            return self.page.text(node)
        inner = self.page.inside(node, ATOM).text if self.page.size(node) <= LONGEST else ""
        return inner if 0 < len(inner) <= 36 else "(…)"


_PASSING = {"reshape", "broadcast_to", "transpose", "negative"}


# --- LaTeX -------------------------------------------------------------------------------


def derivation_latex(derivation: Derivation) -> str:
    """The named steps as an ``aligned`` environment."""
    names = {n: name.latex_piece for n, name in derivation.naming.all.items()}
    page = Page(LATEX, names)
    root = names.get(derivation.loss_node)
    loss = root.text if root is not None else "L"
    lines = []
    for node, name in derivation.naming.all.items():
        meaning = ""
        if node in derivation.naming.adjoint_of:
            of, factor = derivation.naming.adjoint_of[node]
            quotient = rf"\frac{{\partial {loss}}}{{\partial {names[of].text}}}"
            derivative = Piece(quotient, PREFIX)
            meaning = f" = {scaled(page, derivative, factor)}"
        lines.append(f"{name.latex}{meaning} &= {page.definition(node)} && {_space(node)}")
    for symbol, node in derivation.gradient_nodes.items():
        below = page.text(to_graph(symbol))
        derivative_text = rf"\frac{{\partial {loss}}}{{\partial {below}}}"
        lines.append(f"{derivative_text} &= {page.text(node)} && {_space(node)}")
    for pair, node in derivation.hessian_nodes.items():
        below = r" \, ".join(rf"\partial {page.text(to_graph(s))}" for s in pair)
        derivative_text = rf"\frac{{\partial^{{2}} {loss}}}{{{below}}}"
        lines.append(f"{derivative_text} &= {page.text(node)} && {_space(node)}")
    joined = " \\\\\n".join(lines)
    return f"\\begin{{aligned}}\n{joined}\n\\end{{aligned}}"


def _space(node: Node) -> str:
    """The set that a node's values lie in."""
    field = {"real": r"\mathbb{R}", "int": r"\mathbb{Z}", "bool": r"\{0, 1\}"}[node.dtype]
    sizes = r" \times ".join(LATEX.symbol(str(d)).text for d in node.shape)
    return rf"\in {field}" + (f"^{{{sizes}}}" if sizes else "")
