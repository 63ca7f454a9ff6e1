"""Rewriting: rules that keep the value of a graph are applied from the leaves to the roots.

``STABILITY`` rules recognise naive spellings that overflow or cancel; they are applied to a
loss before it is differentiated. ``ALGEBRA`` rules remove what differentiation leaves behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from .algebra import ALGEBRA
from .graph import Node, apply, walk
from .resolve import resolve
from .rules import Rule
from .stability import STABILITY

__all__ = ["ALGEBRA", "STABILITY", "Rewriter", "Rule", "algebra", "stabilise"]


def _index(rules: Sequence[Rule]) -> dict[str, list[Rule]]:
    table: dict[str, list[Rule]] = {}
    for rule in rules:
        for operation in rule.operations:
            table.setdefault(operation, []).append(rule)
    return table


Applied = list[tuple[Rule, Node, Node]]

_LIMIT = 64
"""Rewrites of one node in a row; rules that undo each other would never end."""


class Rewriter:
    """Applies a table of rules bottom-up and remembers what it has done.

    Calling it again on a larger graph only visits what is new, so a walk that grows a graph
    node by node stays linear.
    """

    def __init__(self, rules: Sequence[Rule], applied: Applied | None = None) -> None:
        self._table = _index(rules)
        self._applied = applied
        self._done: dict[Node, Node] = {}

    def __call__(self, roots: Sequence[Node]) -> list[Node]:
        """Rewrite what lies below ``roots``."""
        for node in walk(roots, self._done):
            inputs = tuple(self._done[i] for i in node.inputs)
            new = node
            if inputs != node.inputs:
                new = apply(node.operation, *inputs, attributes=node.attributes)
            result = self._done[new] if new in self._done else self._fixpoint(new)
            self._done[node] = result
            self._done[result] = result
        return [self._done[r] for r in roots]

    def _fixpoint(self, node: Node) -> Node:
        for _ in range(_LIMIT):
            for rule in self._table.get(node.operation, ()):
                new = rule.apply(node)
                if new is not None and new is not node:
                    if self._applied is not None and rule in STABILITY:
                        self._applied.append((rule.told(node, new), node, new))
                    node = self._settle_inputs(new)
                    break
            else:
                return node
        return node

    def _settle_inputs(self, node: Node) -> Node:
        inputs = tuple(self(node.inputs))
        if inputs == node.inputs:
            return node
        return apply(node.operation, *inputs, attributes=node.attributes)


def algebra(roots: Sequence[Node]) -> list[Node]:
    """Simplify by the rules of :data:`ALGEBRA`."""
    return Rewriter(ALGEBRA)(roots)


def stabilise(
    roots: Sequence[Node], applied: Applied | None = None, context: Sequence[Node] = ()
) -> list[Node]:
    """Resolve names and replace naive spellings by stable functions.

    ``applied`` collects what was done; ``context`` are symbol nodes of other graphs with the
    same data.
    """
    return Rewriter([*STABILITY, *ALGEBRA], applied)(resolve(roots, context))
