"""Matrix products taken apart: a scalar times a chain of matrices and vectors.

A vector is a column, its transpose a row. ``v @ A`` is the chain ``Aᵀ v``, ``v[:, None] * w`` is
``v wᵀ``.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import sympy as sp

from ..graph import Node, apply
from ..structural import guarded_norm, matmul, outer, swap_last
from .monomials import Monomial, monomial

__all__ = ["Chain", "Factor", "chain_of", "matrix_outer", "vector_of"]

LONGEST = 8
"""Factors of a chain; longer ones stay as they are."""

BRIEF = 3
"""Factors of a product of the loss that are written once more, where that joins two terms."""

Factor = tuple[Node, bool]
"""A matrix or a vector, and whether it is transposed."""


@dataclass(frozen=True)
class Chain:
    """A scalar times a chain of factors."""

    scale: Monomial
    factors: tuple[Factor, ...]

    def node(self) -> Node:
        """The graph of the chain without its scale."""
        return product(self.factors)


def vector_of(node: Node, axis: int) -> Node | None:
    """``v`` where the node is the vector as a column (axis 0) or as a row (axis 1) of a matrix."""
    if node.rank == 1 and axis == 1:
        return node
    if node.operation == "sum" and node.rank == 2 and node.attributes == ((1 - axis,), True):
        return apply("sum", *node.inputs, attributes=(node.attributes[0], False))
    if node.operation not in ("reshape", "index") or node.rank != 2:
        return None
    vector = node.inputs[0]
    if vector.rank != 1 or len(node.inputs) > 1:
        return None
    size = vector.shape[0]
    if node.operation == "index" and ("slice", 0, size, 1) not in node.attributes[0]:
        return None
    return vector if node.shape == ((size, 1) if axis == 0 else (1, size)) else None


def matrix_outer(node: Node) -> tuple[Node, Node] | None:
    """``(a, b)`` where the node is ``a bᵀ``."""
    if node.operation != "multiply" or node.rank != 2:
        return None
    for left, right in (node.inputs, node.inputs[::-1]):
        a, b = vector_of(left, 0), vector_of(right, 1)
        if a is not None and b is not None:
            return a, b
    return None


def is_transpose(node: Node) -> bool:
    """True for the transpose of a matrix."""
    return node.operation == "transpose" and node.rank == 2


def _parts(node: Node) -> tuple[Factor, ...] | None:
    """The factors of one product or transpose."""
    if is_transpose(node):
        return ((node.inputs[0], True),)
    if node.operation == "matmul":
        a, b = node.inputs
        if (a.rank, b.rank) in ((2, 2), (2, 1)):
            return (a, False), (b, False)
        if (a.rank, b.rank) == (1, 2):
            return (b, True), (a, False)
        return None
    pair = matrix_outer(node)
    return None if pair is None else ((pair[0], False), (pair[1], True))


def _scaled(node: Node) -> tuple[Node, str, Node] | None:
    """``(scalar, operation, tensor)`` of a tensor times a scalar, or divided by one."""
    if node.operation not in ("multiply", "divide"):
        return None
    a, b = node.inputs
    if guarded_norm(b) is not None:  # it stays with its vector
        return None
    if not b.rank and a.shape == node.shape:
        return b, node.operation, a
    if node.operation == "multiply" and not a.rank and b.shape == node.shape:
        return a, "multiply", b
    return None


def brief(node: Node) -> bool:
    """True for a product that is short enough to be written twice."""
    pending, count = [node], 0
    while pending and count <= BRIEF:
        parts = _parts(pending.pop())
        if parts is None:
            count += 1
        else:
            pending.extend(p for p, _ in parts)
    return count <= BRIEF


def chain_of(root: Node, kept: Container[Node], again: bool = False) -> Chain | None:
    """A matrix or a vector as a chain; a product in ``kept`` stays whole, or is opened if brief.

    Parameters
    ----------
    root : Node
    kept : container of Node
        Those of the loss, which have been computed before.
    again : bool
        Whether brief products of the loss are opened.
    """
    scale = Monomial()
    factors: list[Factor] = [(root, False)]
    position = 0
    while position < len(factors):
        if len(factors) > LONGEST:
            return None
        node, turned = factors[position]
        opened = node not in kept or (again and brief(node))
        if opened and node.operation == "negative":
            scale = scale.times(Monomial(sp.S.NegativeOne))
            factors[position] = (node.inputs[0], turned)
            continue
        scaled = _scaled(node) if opened else None
        if scaled is not None:
            scalar, operation, tensor = scaled
            part = monomial(scalar, kept)
            if part is None:
                return None
            if operation == "divide":
                part = part.inverse()
            scale = scale.times(part)
            factors[position] = (tensor, turned)
            continue
        parts = _parts(node) if opened or is_transpose(node) else None
        if parts is None:
            position += 1
            continue
        if turned:
            parts = tuple((n, not t) for n, t in reversed(parts))
        factors[position : position + 1] = parts
    return Chain(scale, tuple(factors)) if scale.is_modest else None


def turned(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """The transpose of a chain."""
    return tuple((n, not t) for n, t in reversed(factors))


# --- back to a graph ---------------------------------------------------------------------


def product(factors: Sequence[Factor]) -> Node:
    """The graph of a chain: inner products first, then from the vectors on."""
    segments: list[list[Factor]] = [[factors[0]]]
    for factor in factors[1:]:
        before = segments[-1][-1][0]
        if before.rank == 1 and factor[0].rank == 1 and not segments[-1][-1][1] and factor[1]:
            segments.append([])
        segments[-1].append(factor)
    if len(segments) == 1:
        return _column(segments[0])
    first, last = segments[0], segments[-1]
    if last[-1][0].rank == 1 and not last[-1][1]:  # a vector times numbers
        result, inner = _column(first), segments[1:]
    else:
        result, inner = outer(_column(first), _column(turned(last))), segments[1:-1]
    for segment in inner:
        scalar = matmul(segment[0][0], _column(segment[1:]))
        result = apply("multiply", scalar, result)
    return result


def _matrix(factor: Factor) -> Node:
    node, transposed = factor
    return swap_last(node) if transposed and node.rank == 2 else node


def _column(segment: Sequence[Factor]) -> Node:
    """Matrices up to a vector, or matrices only."""
    if segment[-1][0].rank == 1:
        result = segment[-1][0]
        for factor in reversed(segment[:-1]):
            result = matmul(_matrix(factor), result)
        return result
    result = _matrix(segment[0])
    for factor in segment[1:]:
        result = matmul(result, _matrix(factor))
    return result
