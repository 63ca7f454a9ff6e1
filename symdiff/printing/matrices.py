"""The layout of matrix products, transposes and inverses: ``Aᵀ(Xw)``, ``X⁻ᵀabᵀX⁻ᵀ``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Node
from ..shapes import text
from ..textbook.chains import is_transpose
from .style import ATOM, CALL, JUXTAPOSED, POWER, Piece

if TYPE_CHECKING:
    from .page import Page

__all__ = [
    "inverse_layout",
    "is_identity",
    "matmul_layout",
    "solve_layout",
    "transpose_layout",
    "transposed",
]


def transposed(page: Page, node: Node) -> Piece:
    """The transpose of a vector or a matrix: ``Aᵀ``, ``A⁻ᵀ``, ``xᵀAᵀ`` for ``Ax``."""
    factors: list[Piece] = []
    while page.opens(node) and node.rank == 1 and node.operation in ("matmul", "solve"):
        a, b = node.inputs
        if node.operation == "solve":
            factors.append(_inverse_piece(page, a, turned=True))
        else:
            factors.append(transposed(page, a) if a.rank == 2 else page.inside(b, JUXTAPOSED))
        node = a if a.rank == 1 else b
    if page.opens(node) and is_transpose(node):
        result = page.inside(node.inputs[0], JUXTAPOSED)
    elif page.opens(node) and node.operation == "inv":
        result = _inverse_piece(page, node.inputs[0], turned=True)
    else:
        inner = page.inside(node, ATOM)
        result = Piece(page.style.transposed(inner.text), POWER, inner.short)
    for factor in reversed(factors):
        result = page.side_by_side(result, factor)
    return result


def _inverse_piece(page: Page, node: Node, turned: bool = False) -> Piece:
    """``A⁻¹``, or the transpose of that; the two signs swap where A is a transpose itself."""
    if page.opens(node) and is_transpose(node):
        node, turned = node.inputs[0], not turned
    inner = page.inside(node, ATOM)
    return Piece(page.style.inverse(inner.text, turned), POWER, inner.short)


def matmul_layout(page: Page, node: Node) -> Piece:
    """A product; a vector on the left is a row, or the matrix is transposed."""
    a, b = node.inputs
    if a.rank == 1 and b.rank == 1:
        left, right = transposed(page, a), _right_factor(page, b)
    elif a.rank == 1 and b.rank == 2:
        left, right = transposed(page, b), _right_factor(page, a)
    else:
        left, right = page.inside(a, JUXTAPOSED), _right_factor(page, b)
    return page.side_by_side(left, right)


def _right_factor(page: Page, node: Node) -> Piece:
    """What stands on the right of a product; products of matrices need no parentheses there."""
    if page.opens(node) and node.operation in ("matmul", "solve") and not page.grouped:
        return page.inside(node, JUXTAPOSED)
    return page.inside(node, CALL)


def inverse_layout(page: Page, node: Node) -> Piece:
    """``A⁻¹``."""
    return _inverse_piece(page, node.inputs[0])


def transpose_layout(page: Page, node: Node) -> Piece:
    """``Aᵀ``; any other permutation is spelled out."""
    (permutation,) = node.attributes
    if permutation == (1, 0):
        return transposed(page, node.inputs[0])
    listed = page.style.listed([page.text(node.inputs[0]), page.style.code(text(permutation))])
    return Piece(page.style.function("transpose") + page.style.parentheses(listed), CALL, False)


def solve_layout(page: Page, node: Node) -> Piece:
    """``A⁻¹b``, and ``A⁻ᵀb`` for the transpose."""
    a, b = node.inputs
    inverse = _inverse_piece(page, a)
    if page.opens(b) and is_identity(b):
        return inverse
    return page.side_by_side(inverse, _right_factor(page, b))


def is_identity(node: Node) -> bool:
    """True for the identity matrix."""
    if node.operation in ("multiply", "divide") and any(i.is_number(1.0) for i in node.inputs):
        node = next(i for i in node.inputs if not i.is_number())
    if node.operation != "one_hot" or node.inputs[0].operation != "arange":
        return False
    return node.inputs[0].attributes == node.attributes
