"""Nodes that are linear: sums of products and of terms that are no products.

A form is what a reader sees that is linear in a node: ``A B + 1 bᵀ`` of ``A @ B + b``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..graph import Node, apply
from ..shapes import Dimension, Shape
from ..structural import add, broadcast_to, reshape
from .costs import Costs, same_size
from .views import Inputs, Products, View, column, matrix, row, view_of

__all__ = ["Form", "Signed", "Term", "open_form", "sum_of", "terms_of", "through"]

Scales = tuple[tuple[str, Node], ...]
"""Scalars that a term is multiplied with or divided by, the innermost first."""


@dataclass(frozen=True)
class Signed:
    """A node in a sum."""

    node: Node
    minus: bool = False
    scales: Scales = ()

    def value(self) -> Node:
        """The node, scaled."""
        result = self.node
        for operation, scalar in self.scales:
            operands = (scalar, result) if operation == "multiply" else (result, scalar)
            result = apply(operation, *operands)
        return result


@dataclass(frozen=True)
class Term:
    """One term of a form: a product of two matrices, or a matrix."""

    factors: tuple[View, ...]
    minus: bool
    scales: Scales

    @property
    def transposed(self) -> Term:
        """The term of the transpose."""
        return replace(self, factors=tuple(f.transposed for f in reversed(self.factors)))


@dataclass(frozen=True)
class Form:
    """A node as a sum of terms; a vector is a column.

    Attributes
    ----------
    node : Node
    rows, columns : size
    terms : list of Term
    """

    node: Node
    rows: Dimension
    columns: Dimension
    terms: Sequence[Term]

    def oriented(self, transposed: bool) -> list[Term]:
        """The terms, or those of the transpose."""
        return [t.transposed for t in self.terms] if transposed else list(self.terms)


def terms_of(root: Node, inside: Callable[[Node], bool], inputs: Inputs) -> list[Signed]:
    """The terms of a sum, scalars that multiply them aside, in order.

    ``inside`` says which nodes below ``root`` belong to the sum alone; others are terms.
    """
    result: list[Signed] = []
    stack = [Signed(root)]
    while stack:
        term = stack.pop()
        node = term.node
        operands = inputs(node) if node is root or inside(node) else ()
        if not operands:
            result.append(term)
        elif node.operation == "add":
            stack.extend(replace(term, node=i) for i in reversed(operands))
        elif node.operation == "subtract":
            stack.append(replace(term, node=operands[1], minus=not term.minus))
            stack.append(replace(term, node=operands[0]))
        elif node.operation == "negative":
            stack.append(replace(term, node=operands[0], minus=not term.minus))
        elif node.operation == "broadcast_to":
            stack.append(replace(term, node=operands[0]))
        elif node.operation == "multiply" and not operands[0].rank and operands[1].rank:
            scales = (("multiply", operands[0]), *term.scales)
            stack.append(replace(term, node=operands[1], scales=scales))
        elif node.operation == "multiply" and not operands[1].rank and operands[0].rank:
            scales = (("multiply", operands[1]), *term.scales)
            stack.append(replace(term, node=operands[0], scales=scales))
        elif node.operation == "divide" and not operands[1].rank:
            scales = (("divide", operands[1]), *term.scales)
            stack.append(replace(term, node=operands[0], scales=scales))
        else:
            result.append(term)
    return result


def open_form(
    node: Node, inside: Callable[[Node], bool], inputs: Inputs, costs: Costs
) -> Form | None:
    """The form of a node, or None where none of its terms is a product.

    What is stretched to the shape of the node, a bias say, stays in one piece: taken apart layer by
    layer, the biases of a deep network would be a quadratic number of products.
    """
    if node.rank not in (1, 2) or node.dtype != "real":
        return None
    size = node.shape if node.rank == 2 else (node.shape[0], 1)

    def whole(part: Node) -> bool:
        return inside(part) and part.shape == node.shape

    terms: list[Term] = []
    small: dict[Shape, list[Signed]] = {}
    for signed in terms_of(node, whole, inputs):
        base = signed.node
        if base.dtype == "bool":
            return None
        if base.shape != node.shape:
            small.setdefault(base.shape, []).append(signed)
            continue
        pair = _pair(base, inputs) if base is node or whole(base) else None
        factors = _placed(base, pair or (base,), size, node.rank, inputs)
        terms.append(Term(factors, signed.minus, signed.scales))
    if not any(len(t.factors) == 2 for t in terms):
        return None
    for shape, group in small.items():
        base = sum_of(group, shape, costs)
        terms.append(Term(_placed(base, (base,), size, node.rank, inputs), False, ()))
    return Form(node, size[0], size[1], terms)


def _pair(node: Node, inputs: Inputs) -> tuple[Node, ...] | None:
    """The two factors of a matrix product or of an outer product."""
    if node.operation == "matmul" and node.rank and all(i.rank < 3 for i in inputs(node)):
        return inputs(node)
    if node.operation == "multiply" and node.rank == 2:
        a, b = inputs(node)
        if _is_column(a, node) and _is_row(b, node):
            return a, b
        if _is_column(b, node) and _is_row(a, node):
            return b, a
    return None


def _is_column(operand: Node, node: Node) -> bool:
    return operand.rank == 2 and operand.shape == (node.shape[0], 1) != node.shape


def _is_row(operand: Node, node: Node) -> bool:
    return operand.shape in (node.shape[1:], (1, node.shape[1])) and operand.shape != node.shape


def _placed(
    base: Node, pair: tuple[Node, ...], size: Shape, rank: int, inputs: Inputs
) -> tuple[View, ...]:
    """A term as matrices of the sizes of what it is a term of."""
    rows, columns = size
    if len(pair) == 1:
        if rank == base.rank == 1:
            return (View(base, rows, columns, "column"),)
        return (view_of(base, rows, columns, inputs),)
    first, second = pair
    left = matrix(first, inputs) if first.rank == 2 else row(first)
    if second.rank == 2:
        right = matrix(second, inputs)
    else:
        right = column(second) if base.operation == "matmul" else row(second)
    if base.rank == 1 and (rank == 1) != (first.rank == 2):  # a row where a column is wanted
        left, right = right.transposed, left.transposed
    inner = left.columns
    return left.resized(rows, inner), right.resized(inner, columns)


def through(
    terms: Sequence[Term], left: View | None, right: View | None, make: Products
) -> list[tuple[View, Term]]:
    """``left (sum of terms) right``, term by term: what lies outside of a product goes inside."""
    result = []
    for term in terms:
        factors = list(term.factors)
        if left is not None:
            factors[0] = make(left, factors[0])
        if right is not None:
            factors[-1] = make(factors[-1], right)
        result.append((make(*factors) if len(factors) == 2 else factors[0], term))
    return result


# --- sums --------------------------------------------------------------------------------


def sum_of(terms: Sequence[Signed], shape: Shape, costs: Costs) -> Node:
    """The sum of terms, those with few elements first, in a given shape."""
    groups: dict[Shape, list[Signed]] = {}
    for term in terms:
        value = Signed(term.value(), term.minus)
        groups.setdefault(value.node.shape, []).append(value)
    total: Signed | None = None
    for size in costs.smallest(groups):
        group = groups[size] if total is None else [*groups[size], total]
        total = _added(group)
    assert total is not None
    result = apply("negative", total.node) if total.minus else total.node
    if result.shape != shape and same_size(result.shape, shape):
        return reshape(result, shape)
    return broadcast_to(result, shape)


def _added(terms: Sequence[Signed]) -> Signed:
    """The sum of terms; minus a sum where all of them are negative."""
    plus = [t.node for t in terms if not t.minus]
    minus = [t.node for t in terms if t.minus]
    if not plus:
        return Signed(add(*minus), True)
    total = add(*plus)
    for node in minus:
        total = apply("subtract", total, node)
    return Signed(total)
