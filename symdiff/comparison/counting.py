"""How many operations something takes: one rule for formulas, trees and graphs.

An operation takes one or two numbers and gives one: ``a + b``, ``a * b``, ``a / b``, ``-a``,
``a**b``, ``exp(a)``. Moving numbers is free. Of a formula in scalars this is what SymPy's
``count_ops`` counts (which counts √ as two). An operation on tensors counts once for each of its
scalar operations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..graph import Node, walk
from ..shapes import Size, concrete_shape

__all__ = ["graph_operations", "own_operations", "tree_nodes", "tree_operations"]

_MOVES = {
    "transpose", "reshape", "broadcast_to", "index", "concatenate", "one_hot", "windows",
}  # fmt: skip
_VARIADIC = {"add", "maximum", "minimum", "logical_and", "logical_or"}
_FOLDS = {"sum", "prod", "max", "min", "argmax", "argmin", "index_add", "overlap_add"}
_CUBIC = {"det": 2 / 3, "logdet": 2 / 3, "inv": 2.0, "cholesky": 1 / 3, "solve": 2 / 3}
"""Leading terms of the operation counts of dense factorisations, in n³."""


def own_operations(node: Node, sizes: Mapping[Size, int]) -> int:
    """The operations of one node, given its operands.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.bridge import to_graph
    >>> from symdiff.comparison.counting import own_operations
    >>> A, x = sd.tensor("A", 4, 3), sd.tensor("x", 3)
    >>> own_operations(to_graph(A @ x), {})  # 4 sums of 3 products
    20
    """

    def elements(other: Node) -> int:
        return math.prod(concrete_shape(other.shape, sizes))

    if node.row.kind == "leaf" or node.operation in _MOVES:
        return 0
    if node.row.kind == "elementwise":
        times = len(node.inputs) - 1 if node.operation in _VARIADIC else 1
        return max(times, 1) * elements(node)
    return _structural(node, sizes, elements)


def _structural(node: Node, sizes: Mapping[Size, int], elements: Any) -> int:
    first = node.inputs[0]
    if node.operation in _FOLDS:
        return max(elements(first) - elements(node), 0)
    if node.operation in ("logsumexp", "norm"):  # one function an element, sums, one function
        return 2 * elements(first)
    if node.operation == "matmul":
        inner = concrete_shape(first.shape, sizes)[-1]
        return elements(node) * max(2 * inner - 1, 0)
    if node.operation in ("convolve", "convolve_transposed"):
        outputs = node if node.operation == "convolve" else first
        return 2 * elements(outputs) * math.prod(concrete_shape(node.inputs[1].shape, sizes)[1:])
    if node.operation == "convolve_kernel":
        window = math.prod(concrete_shape(node.shape, sizes)[1:])
        return 2 * elements(node.inputs[1]) * window
    if node.operation in _CUBIC:
        n = concrete_shape(first.shape, sizes)[-1]
        stacks = max(elements(first) // max(n * n, 1), 1)
        extra = 2 * n * elements(node) if node.operation == "solve" else 0
        return round(_CUBIC[node.operation] * n**3 * stacks) + extra
    if node.operation == "scan":
        from ..recurrence import recurrence

        whole = recurrence(node)
        steps = concrete_shape((whole.length,), sizes)[0]
        return steps * graph_operations(whole.body.results, sizes)
    return elements(node)


def graph_operations(roots: Iterable[Node], sizes: Mapping[Size, int]) -> int:
    """The operations of a graph: every node once, however many others read it."""
    total = 0
    recurrences = set()
    for node in walk(roots):
        if node.operation == "scan":  # its results are computed together
            from ..recurrence import recurrence

            whole = recurrence(node)
            if whole in recurrences:
                continue
            recurrences.add(whole)
        total += own_operations(node, sizes)
    return total


def tree_operations(root: Node, leaves: Mapping[Node, int] | None = None) -> int:
    """The operations of a scalar formula written out, where a part counts wherever it stands.

    The tree is not built: its size is a sum over the graph, with integers of any length.
    ``leaves`` gives the operations that a leaf stands for, 0 where it is not listed.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> from symdiff.bridge import to_graph
    >>> from symdiff.comparison.counting import tree_operations
    >>> x = sp.Symbol("x")
    >>> for _ in range(200):
    ...     x = sd.sigmoid(x) + sd.softplus(x)
    >>> tree_operations(to_graph(x)) == 3 * (2**200 - 1)
    True
    """
    totals: dict[Node, int] = dict(leaves or {})
    for node in walk([root]):
        if node not in totals:
            totals[node] = own_operations(node, {}) + sum(totals[i] for i in node.inputs)
    return totals[root]


def tree_nodes(root: Node) -> int:
    """The nodes of a formula written out as a tree, leaves among them."""
    totals: dict[Node, int] = {}
    for node in walk([root]):
        totals[node] = 1 + sum(totals[i] for i in node.inputs)
    return totals[root]
