"""Matrices as views of nodes: vectors as rows or columns, stretched operands, ones.

A bias that is added to every row is a column of ones times a row, and a sum over the rows is a
row of ones times a matrix. In this notation sums, biases and outer products are matrix products,
so that one rule moves all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from ..graph import Node, apply, number
from ..shapes import Dimension, Shape
from ..structural import multiply, reduce_sum, reshape, size_node, swap_last

__all__ = ["Inputs", "Products", "View", "column", "matrix", "ones", "row", "view_of"]


Inputs = Callable[[Node], tuple[Node, ...]]
"""The operands of a node as they are now."""


@dataclass(frozen=True)
class View:
    """A node as a matrix of ``rows`` and ``columns``; stretched along an axis where it has 1.

    Attributes
    ----------
    node : Node
    rows, columns : size
    layout : {"matrix", "row", "column", "scalar"}
        A node with two axes, with one as a row or as a column, or with none.
    """

    node: Node
    rows: Dimension
    columns: Dimension
    layout: str

    @property
    def extents(self) -> Shape:
        """The axes that the node itself has."""
        shape = self.node.shape
        return {"matrix": shape, "row": (1, *shape), "column": (*shape, 1)}.get(self.layout, (1, 1))

    def full(self, axis: int) -> bool:
        """True where the node is not stretched along an axis."""
        return bool(self.extents[axis] == (self.rows, self.columns)[axis])

    @property
    def transposed(self) -> View:
        """The transpose."""
        node, layout = self.node, self.layout
        if layout == "matrix":
            is_transpose = node.operation == "transpose"
            node = node.inputs[0] if is_transpose else swap_last(node)
        layout = {"row": "column", "column": "row"}.get(layout, layout)
        return View(node, self.columns, self.rows, layout)

    def resized(self, rows: Dimension, columns: Dimension) -> View:
        """The same elements for other sizes."""
        return View(self.node, rows, columns, self.layout)


def matrix(node: Node, inputs: Inputs) -> View:
    """A node with two axes; one that only reshapes a vector is that vector."""
    rows, columns = node.shape
    if node.operation == "transpose" and inputs(node) != node.inputs:
        node = swap_last(inputs(node)[0])
    if node.operation == "reshape" and node.inputs[0].rank == 1:
        (inner,) = inputs(node)
        if node.shape == (*inner.shape, 1):
            return View(inner, rows, columns, "column")
        return View(inner, rows, columns, "row")
    return View(node, rows, columns, "matrix")


def row(node: Node) -> View:
    """A vector as a matrix of one row."""
    return View(node, 1, node.shape[0], "row")


def column(node: Node) -> View:
    """A vector as a matrix of one column."""
    return View(node, node.shape[0], 1, "column")


def ones(rows: Dimension, columns: Dimension) -> View:
    """Nothing but ones."""
    return View(number(1), rows, columns, "scalar")


def view_of(node: Node, rows: Dimension, columns: Dimension, inputs: Inputs) -> View:
    """A node that broadcasts to a matrix as that matrix."""
    if node.rank == 2:
        return matrix(node, inputs).resized(rows, columns)
    return View(node, rows, columns, "row" if node.rank else "scalar")


class Products:
    """Builds products of views; of two spellings it takes the one that the graph has already.

    Parameters
    ----------
    live : container of Node
        The nodes of the graph.
    """

    def __init__(self, live: Container[Node] = ()) -> None:
        self._live = live

    def __call__(self, a: View, b: View) -> View:
        """The product ``a b``."""
        inner, rows, columns = a.columns, a.rows, b.columns
        if a.full(1) and b.full(0):
            if inner != 1 or _is_plain(a, b):
                return self._matmul(a, b)
            return self._times(a, b)
        if b.full(0):
            b = self._sum_rows(b)
        elif a.full(1):
            a = self._sum_rows(a.transposed).transposed
        else:
            size = View(size_node(inner), 1, columns, "scalar")
            b = self._times(size, b.resized(1, columns))
        return self._times(a.resized(rows, 1), b.resized(1, columns))

    def _matmul(self, a: View, b: View) -> View:
        layout = _LAYOUTS[a.layout, b.layout]
        node = apply("matmul", a.node, b.node)
        if node not in self._live:
            left, right = b.transposed.node, a.transposed.node
            other = apply("matmul", left, right)
            simpler = _transposes(left, right) < _transposes(a.node, b.node)
            if other in self._live or (simpler and layout == "matrix"):
                node = swap_last(other) if layout == "matrix" else other
        return View(node, a.rows, b.columns, layout)

    def _sum_rows(self, a: View) -> View:
        """The sums over the rows."""
        if a.layout == "row":
            return View(a.node, 1, a.columns, "row")
        node = reduce_sum(a.node, (0,))
        return View(node, 1, a.columns, "row" if a.layout == "matrix" else "scalar")

    def _times(self, a: View, b: View) -> View:
        """A column times a row: all products of their elements."""
        rows, columns = a.rows, b.columns
        if a.node.is_number(1):
            return b.resized(rows, columns)
        if b.node.is_number(1):
            return a.resized(rows, columns)
        if a.layout == "column" and not b.node.rank:
            return View(multiply(b.node, a.node), rows, columns, "column")
        left = _lowered(a)
        if not left.rank:
            return View(multiply(left, b.node), rows, columns, b.layout)
        if left.rank == 1:
            left = reshape(left, (*left.shape, 1))
        right = reshape(b.node, (1, 1)) if b.layout == "column" else b.node
        return View(multiply(left, right), rows, columns, "matrix")


_LAYOUTS = {
    ("matrix", "matrix"): "matrix",
    ("row", "matrix"): "row",
    ("matrix", "column"): "column",
    ("row", "column"): "scalar",
}
"""Of a matrix product, by those of its operands."""


def _is_plain(a: View, b: View) -> bool:
    """True for operands of a matrix product of which none is stretched."""
    return (a.layout, b.layout) in _LAYOUTS and a.full(0) and b.full(1)


def _transposes(*nodes: Node) -> int:
    return sum(n.operation == "transpose" for n in nodes)


def _lowered(a: View) -> Node:
    """The node, without axes where it has one element."""
    return reshape(a.node, ()) if a.extents == (1, 1) else a.node
