"""Scalar symbols bound to arrays: an expression in scalars acts like a NumPy ufunc."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from symdiff.graph import Node, apply, substitute, walk
from symdiff.shapes import Size
from symdiff.structural import reduce_sum, size_node

SAMPLES = Size("n")
"""The size of the vectors that scalar symbols become."""


def is_scalar(roots: Sequence[Node]) -> bool:
    """True for expressions in scalar symbols only, with elementwise operations only."""
    return all(n.row.kind in ("leaf", "elementwise") and not n.shape for n in walk(roots))


def vector_leaf(node: Node) -> Node:
    """The symbol of a scalar, with one value for each sample."""
    symbol = node.attributes[0]
    return apply("symbol", attributes=(symbol, (SAMPLES,), node.dtype))


def vectorise(
    roots: Sequence[Node], symbols: Iterable[Node]
) -> tuple[list[Node], dict[Node, Node]]:
    """Let ``symbols`` have one value for each sample; the expressions follow."""
    mapping = {s: vector_leaf(s) for s in symbols}
    return substitute(roots, mapping), mapping


def over_samples(root: Node, reduction: str) -> Node:
    """The mean or the sum of a value that each sample has."""
    if not root.shape:
        return root
    total = reduce_sum(root, (0,))
    return apply("divide", total, size_node(SAMPLES)) if reduction == "mean" else total
