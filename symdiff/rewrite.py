"""Rewriting: rules that keep the value of a graph are applied from the leaves to the roots.

``STABILITY`` rules recognise naive spellings that overflow or cancel; they are applied to a
loss before it is differentiated. ``ALGEBRA`` rules remove what differentiation leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .algebra import ALGEBRA
from .graph import Node, apply
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

_LIMIT = 128
"""Forms that one node may have in a row; rules that undo each other would never end."""


class Rewriter:
    """Applies a table of rules bottom-up and remembers what it has done.

    Calling it again on a larger graph only visits what is new, so a walk that grows a graph
    node by node stays linear. Nodes that are ``kept`` stay as they are.
    """

    def __init__(
        self, rules: Sequence[Rule], applied: Applied | None = None, kept: Iterable[Node] = ()
    ) -> None:
        self._table = _index(rules)
        self._applied = applied
        self._done: dict[Node, Node] = {n: n for n in kept}

    def __call__(self, roots: Sequence[Node]) -> list[Node]:
        """Rewrite what lies below ``roots``."""
        for root in roots:
            if root not in self._done:
                self._settle(root)
        return [self._done[r] for r in roots]

    def _settle(self, root: Node) -> None:
        """Rewrite one node, after its inputs and those of what it becomes.

        The stack holds the forms that each node under way has had; Python's own would overflow,
        where a rule moves a factor along a deep chain.
        """
        stack = [[root]]
        while stack:
            forms = stack[-1]
            node = forms[-1]
            if node not in self._done:
                waiting = next((i for i in node.inputs if i not in self._done), None)
                if waiting is not None:
                    stack.append([waiting])
                    continue
                inputs = tuple(self._done[i] for i in node.inputs)
                if inputs != node.inputs:
                    forms.append(apply(node.operation, *inputs, attributes=node.attributes))
                    continue
                new = self._rewritten(node) if len(forms) <= _LIMIT else None
                if new is not None:
                    forms.append(new)
                    continue
                self._done[node] = node
            for form in forms:
                self._done[form] = self._done[node]
            stack.pop()

    def _rewritten(self, node: Node) -> Node | None:
        """What the first rule that applies makes of a node."""
        for rule in self._table.get(node.operation, ()):
            new = rule.apply(node)
            if new is not None and new is not node:
                if self._applied is not None and rule in STABILITY:
                    self._applied.append((rule.told(node, new), node, new))
                return new
        return None


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
