"""The chain of rules from the loss to one parameter."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..bridge import to_graph
from ..gradient import depends
from ..graph import Node, walk
from ..shapes import Shape
from .derivation import WIDTH, aligned
from .lines import LONGEST, Notation
from .style import ATOM, CALL, Piece
from .text import TEXT

if TYPE_CHECKING:
    from ..derivation import Derivation

__all__ = ["explanation_text"]

RULES = 40
"""Columns for the names of rules in an explanation."""


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
        notation = Notation(derivation, TEXT)
        self.page, self.loss = notation.page, notation.loss
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
