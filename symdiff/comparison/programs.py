"""Formulas and graphs as lists of NumPy calls: what is run, and how many numbers it holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..bridge import to_graph
from ..graph import Node, walk
from ..shapes import Size, concrete_shape
from .counting import tree_nodes, tree_operations

__all__ = ["Formulas", "numbers_held"]


class Formulas:
    """Scalar formulas carried out as they are written: a part that stands twice is computed twice.

    Parameters
    ----------
    named : list of (Symbol, Expr)
        Formulas that later ones read by their symbol, as ``sympy.cse`` gives them.
    results : list of Expr

    Attributes
    ----------
    operations, nodes, numbers : int
        How many operations they take, how many nodes they have as trees, and how many numbers
        are held at most: those under way, and the named ones until they are read last.
    """

    def __init__(self, named: Sequence[tuple[Any, Any]], results: Sequence[Any]) -> None:
        self._names: list[Node | None] = [to_graph(s) for s, _ in named]
        self._names += [None] * len(results)
        roots = [to_graph(e) for _, e in named] + [to_graph(e) for e in results]
        self._roots = roots
        self._programs = [_postfix(root) for root in roots]
        self.operations = sum(map(tree_operations, roots))
        self.nodes = sum(map(tree_nodes, roots))
        self.numbers = self._held()

    def _held(self) -> int:
        last: dict[Node, int] = {}
        for position, program in enumerate(self._programs):
            last.update((node, position) for node, arity in program if not arity)
        alive: set[Node] = set()
        most = finished = 0
        for position, (name, program) in enumerate(zip(self._names, self._programs, strict=True)):
            most = max(most, len(alive) + finished + _depth(program))
            alive = {n for n in alive if last[n] > position}
            if name is None:
                finished += 1
            elif last.get(name, 0) > position:
                alive.add(name)
        return max(most, len(alive) + finished)

    def __call__(self, symbols: Mapping[Any, Any]) -> list[Any]:
        """The results, given the numbers of the symbols."""
        values: dict[Node, Any] = {to_graph(s): v for s, v in symbols.items()}
        for node in walk(self._roots):
            if not node.inputs and node.operation != "symbol":
                values[node] = node.row.numpy([], node, {})
        results = []
        with np.errstate(all="ignore"):
            for name, program in zip(self._names, self._programs, strict=True):
                value = _run(program, values)
                if name is None:
                    results.append(value)
                else:
                    values[name] = value
        return results


def _postfix(root: Node) -> list[tuple[Node, int]]:
    """The tree of a formula as nodes in the order of evaluation, each with its operands' number."""
    program: list[tuple[Node, int]] = []
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready or not node.inputs:
            program.append((node, len(node.inputs)))
        else:
            stack.append((node, True))
            stack.extend((i, False) for i in reversed(node.inputs))
    return program


def _depth(program: Sequence[tuple[Node, int]]) -> int:
    """The most results that wait for their turn."""
    depth = most = 0
    for _, arity in program:
        depth += 1 - arity
        most = max(most, depth)
    return most


def _run(program: Sequence[tuple[Node, int]], values: Mapping[Node, Any]) -> Any:
    stack: list[Any] = []
    for node, arity in program:
        if arity:
            operands = stack[-arity:]
            del stack[-arity:]
            stack.append(node.row.numpy(operands, node, {}))
        else:
            stack.append(values[node])
    return stack.pop()


def numbers_held(roots: Sequence[Node], sizes: Mapping[Size, int]) -> int:
    """The most numbers that a graph holds, each node until it is read last; leaves not counted.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.bridge import to_graph
    >>> from symdiff.comparison.programs import numbers_held
    >>> x = sd.tensor("x", 5)
    >>> numbers_held([to_graph(sd.sum(sd.exp(sd.sin(x))))], {})  # sin and exp of 5 numbers
    10
    """
    order = walk(roots)
    last = {operand: i for i, node in enumerate(order) for operand in node.inputs}
    last.update(dict.fromkeys(roots, len(order)))
    alive = most = 0
    for i, node in enumerate(order):
        if node.row.kind == "leaf":
            continue
        alive += math.prod(concrete_shape(node.shape, sizes))
        most = max(most, alive)
        for operand in dict.fromkeys(node.inputs):
            if last[operand] == i and operand.row.kind != "leaf":
                alive -= math.prod(concrete_shape(operand.shape, sizes))
    return most
