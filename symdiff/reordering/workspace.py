"""A graph that changes node by node: who reads what, what a change costs.

Nodes never change; a node that is replaced is followed to its replacement wherever it is read.
So a move touches what it adds and removes only, however large the graph is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..graph import Node, apply, walk
from .costs import Costs

__all__ = ["Workspace"]


class Workspace:
    """The graph below some roots.

    Attributes
    ----------
    costs : Costs
    live : dict
        For each node of the graph its readers, with how many times each reads it.
    """

    def __init__(self, roots: Sequence[Node], costs: Costs) -> None:
        self.costs = costs
        self.live: dict[Node, dict[Node, int]] = {n: {} for n in walk(roots)}
        for node in self.live:
            for operand in node.inputs:
                self._read(operand, node)
        self._roots = list(roots)
        self._results = set(roots)
        self._replaced: dict[Node, Node] = {}

    def _read(self, operand: Node, reader: Node) -> None:
        readers = self.live[operand]
        readers[reader] = readers.get(reader, 0) + 1

    def current(self, node: Node) -> Node:
        """What stands for a node now."""
        while node in self._replaced:
            node = self._replaced[node]
        return node

    def inputs(self, node: Node) -> tuple[Node, ...]:
        """The operands of a node as they are now."""
        return tuple(map(self.current, node.inputs))

    def is_result(self, node: Node) -> bool:
        """True for a root."""
        return node in self._results

    def private(self, node: Node) -> bool:
        """True for a node with a single reader, to which it belongs."""
        readers = self.live.get(node, {})
        return len(readers) == 1 and not self.is_result(node) and sum(readers.values()) == 1

    def added(self, replacements: Iterable[Node]) -> list[Node] | None:
        """The nodes that replacements would add; None where one was replaced before."""
        new = walk(replacements, self.live)
        return None if any(n in self._replaced for n in new) else new

    def gain(self, replacements: Mapping[Node, Node]) -> int:
        """How much less the graph costs with the replacements; not positive where none."""
        new = self.added(replacements.values())
        if new is None:
            return 0
        needed = {i for node in new for i in node.inputs} | set(replacements.values())
        removed = self._removed(replacements, needed)
        return sum(map(self.costs, removed)) - sum(map(self.costs, new))

    def _removed(self, replaced: Iterable[Node], needed: set[Node]) -> list[Node]:
        """What nobody reads any more once nodes are replaced."""
        counts: dict[Node, int] = {}
        removed = list(replaced)
        done = set(removed)
        for node in removed:
            for operand in self.inputs(node):
                left = counts.get(operand)
                if left is None:
                    left = sum(self.live[operand].values())
                counts[operand] = left = left - 1
                if left or operand in needed or operand in done or self.is_result(operand):
                    continue
                done.add(operand)
                removed.append(operand)
        return removed

    def replace(self, replacements: Mapping[Node, Node]) -> list[Node]:
        """Make the replacements; gives the nodes that are new."""
        new = self.added(replacements.values()) or []
        for node in new:
            self.live[node] = {}
            for operand in node.inputs:
                self._read(operand, node)
        for old, value in replacements.items():
            for reader, times in self.live[old].items():
                readers = self.live[value]
                readers[reader] = readers.get(reader, 0) + times
            self.live[old] = {}
            self._replaced[old] = value
            if old in self._results:
                self._results.discard(old)
                self._results.add(value)
        self._drop(replacements)
        return [n for n in new if n in self.live]

    def _drop(self, unread: Iterable[Node]) -> None:
        pending = list(unread)
        while pending:
            node = pending.pop()
            if node not in self.live or self.live[node] or self.is_result(node):
                continue
            del self.live[node]
            for operand in self.inputs(node):
                readers = self.live.get(operand, {})
                if node in readers:
                    readers[node] -= 1
                    if not readers[node]:
                        del readers[node]
                    if not readers:
                        pending.append(operand)

    def roots(self) -> list[Node]:
        """The roots as a graph of nodes again."""
        done: dict[Node, Node] = {}
        stack = [self.current(r) for r in reversed(self._roots)]
        while stack:
            node = stack[-1]
            operands = self.inputs(node)
            waiting = [i for i in operands if i not in done]
            if node in done or not waiting:
                stack.pop()
            if waiting:
                stack.extend(waiting)
            elif node not in done:
                inputs = tuple(done[i] for i in operands)
                same = inputs == node.inputs
                done[node] = (
                    node if same else apply(node.operation, *inputs, attributes=node.attributes)
                )
        return [done[self.current(r)] for r in self._roots]
