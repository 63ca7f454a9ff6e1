"""THE list of textbook forms: what turns a derived gradient into the line that a book prints.

Each form keeps the value. What belongs to the loss has been computed when the gradient is, so it
is left as it stands, but for brief products that let two terms be joined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sympy as sp

from ..graph import Node, apply, walk
from ..rules import is_a, same_shape
from ..structural import reshape, swap_last
from .chains import chain_of, is_transpose, matrix_outer, product, turned
from .monomials import Monomial, monomial, without_constant
from .sums import collect

__all__ = ["TEXTBOOK", "Form"]


@dataclass(frozen=True)
class Known:
    """What has been computed before.

    Attributes
    ----------
    loss : set of Node
        The nodes of the loss.
    steps : set of Node
        These, and the adjoints that are done.
    """

    loss: set[Node]
    steps: set[Node]


@dataclass(frozen=True)
class Form:
    """One rewrite.

    Attributes
    ----------
    name : str
    operations : tuple of str
        The operations that it looks at.
    apply : callable
        ``(node, known) -> replacement or None``.
    """

    name: str
    operations: tuple[str, ...]
    apply: Callable[[Node, Known], Node | None]


def _transposed(node: Node, known: Known) -> Node | None:
    """``(A B)ᵀ`` as ``Bᵀ Aᵀ``, ``(a bᵀ)ᵀ`` as ``b aᵀ``."""
    if not is_transpose(node):
        return None
    (inner,) = node.inputs
    chain = chain_of(inner, known.loss)
    if chain is None or chain.factors == ((inner, False),):
        return None
    return chain.scale.node(product(turned(chain.factors)))


def _symmetric(node: Node, known: Known) -> Node | None:
    """``((AᵀA)⁻¹)ᵀ`` as ``(AᵀA)⁻¹``."""
    if not is_transpose(node) or not is_a(node.inputs[0], "inv"):
        return None
    (inverse,) = node.inputs
    chain = chain_of(inverse.inputs[0], ())
    symmetric = chain is not None and chain.factors == turned(chain.factors)
    return inverse if symmetric else None


def _transposed_sum(node: Node, known: Known) -> Node | None:
    """``(Aᵀ + B C)ᵀ`` as ``A + Cᵀ Bᵀ``, where no term keeps a transpose that it had not."""
    if not is_transpose(node):
        return None
    (inner,) = node.inputs
    if inner in known.loss or inner.operation not in ("add", "subtract"):
        return None
    if not all(_turns(t, known) for t in inner.inputs):
        return None
    return apply(inner.operation, *(swap_last(t) for t in inner.inputs))


def _turns(term: Node, known: Known) -> bool:
    while term.operation in ("negative", "multiply", "divide") and term not in known.loss:
        if matrix_outer(term) is not None:
            return True
        tensors = [i for i in term.inputs if i.shape == term.shape]
        if len(tensors) != 1 or any(i.rank for i in term.inputs if i is not tensors[0]):
            return False
        term = tensors[0]
    return is_transpose(term) or (is_a(term, "matmul") and term not in known.loss)


def _outer_in_product(node: Node, known: Known) -> Node | None:
    """``A (b cᵀ) D`` as ``(A b)(Dᵀ c)ᵀ``."""
    if not any(matrix_outer(i) is not None and i not in known.loss for i in node.inputs):
        return None
    chain = chain_of(node, known.loss)
    return None if chain is None else chain.scale.node(chain.node())


def _scalar_from_product(node: Node, known: Known) -> Node | None:
    """``A (c x)`` as ``c (A x)``."""
    if not any(i.operation in ("multiply", "divide", "negative") for i in node.inputs):
        return None
    chain = chain_of(node, known.loss)
    if chain is None or (not chain.scale.powers and chain.scale.number == 1):
        return None
    return chain.scale.node(chain.node())


def _scalar_from_solution(node: Node, known: Known) -> Node | None:
    """``A⁻¹(c x)`` as ``c A⁻¹x``."""
    a, b = node.inputs
    chain = chain_of(b, known.loss)
    if chain is None or (not chain.scale.powers and chain.scale.number == 1):
        return None
    return chain.scale.node(apply("solve", a, chain.node()))


_LINEAR = {
    **dict.fromkeys(["reshape", "transpose", "index", "index_add", "windows", "overlap_add"], 1),
    **dict.fromkeys(["convolve", "convolve_transposed", "convolve_kernel"], 2),
}
"""Operations that are linear in their first operand, or in each of the first two."""


def _constant_from_linear(node: Node, known: Known) -> Node | None:
    """``(2 x)[:, None]`` as ``2 x[:, None]``, ``conv(x, k/n)`` as ``conv(x, k)/n``."""
    for position in range(_LINEAR[node.operation]):
        x = node.inputs[position]
        rest = without_constant(x)
        if rest is x or not rest.rank or x in known.loss or rest.shape != x.shape:
            continue
        parts = monomial(x, {*known.steps, rest})
        if parts is None or parts.powers.get(rest) != 1:
            continue
        if any(base.rank for base in parts.powers if base is not rest):
            continue
        del parts.powers[rest]
        inputs = (*node.inputs[:position], rest, *node.inputs[position + 1 :])
        return parts.node(apply(node.operation, *inputs, attributes=node.attributes))
    return None


def _powers(node: Node, known: Known) -> Node | None:
    """``x² x / (2 x)⁴`` with one power of each base, in one order however it came about."""
    if node.dtype == "bool":
        return None
    parts = monomial(node, known.steps)
    if parts is None:
        return None
    result = same_shape(node, parts.node())
    return result if _size(result, parts) <= _size(node, parts) else None


def _size(node: Node, parts: Monomial) -> int:
    """Operations and bases, each as often as it is written."""
    sizes: dict[Node, int] = dict.fromkeys(parts.powers, 1)
    for n in walk([node], parts.powers):
        sizes[n] = (n.operation not in _SILENT) + sum(sizes[i] for i in n.inputs)
    return sizes[node]


_SILENT = {"broadcast_to", "number"}


def _scalar_from_sum(node: Node, known: Known) -> Node | None:
    """``Σ c x`` as ``c Σ x``."""
    (x,) = node.inputs
    if x in known.steps or x.operation not in ("multiply", "divide", "negative"):
        return None
    parts = monomial(x, known.steps)
    if parts is None:
        return None
    scalars = Monomial(parts.number, {b: e for b, e in parts.powers.items() if not b.rank})
    tensors = Monomial(sp.S.One, {b: e for b, e in parts.powers.items() if b.rank})
    if not tensors.powers or (not scalars.powers and scalars.number == 1):
        return None
    inner = same_shape(x, tensors.node())
    return scalars.node(apply("sum", inner, attributes=node.attributes))


def _sum_of_sum(node: Node, known: Known) -> Node | None:
    """A sum over axes of a sum over others as one sum."""
    (x,) = node.inputs
    axes, keepdims = node.attributes
    inner_keeps = is_a(x, "sum") and x.attributes[1]
    if not is_a(x, "sum") or x in known.steps or keepdims != inner_keeps:
        return None
    if keepdims:
        both = tuple(sorted({*axes, *x.attributes[0]}))
    else:
        left = [a for a in range(x.inputs[0].rank) if a not in x.attributes[0]]
        both = tuple(sorted((*(left[a] for a in axes), *x.attributes[0])))
    return apply("sum", x.inputs[0], attributes=(both, keepdims))


def _sum_without_axes(node: Node, known: Known) -> Node | None:
    """A sum that keeps axes of size 1, which are dropped at once, never has them."""
    (x,) = node.inputs
    if not is_a(x, "sum") or x in known.loss or not x.attributes[1]:
        return None
    total = apply("sum", *x.inputs, attributes=(x.attributes[0], False))
    sizes = ([d for d in shape if d != 1] for shape in (node.shape, total.shape))
    return reshape(total, node.shape) if next(sizes) == next(sizes) else None


def _one_by_one(node: Node, known: Known) -> Node | None:
    """A product with the 1×1 matrix of a number as a multiple."""
    for this, other in (node.inputs, node.inputs[::-1]):
        if this.shape == (1, 1) and is_a(this, "broadcast_to") and not this.inputs[0].rank:
            return apply("multiply", this.inputs[0], other)
    return None


def _product_with_ones(node: Node, known: Known) -> Node | None:
    """``Aᵀ (c 𝟏)`` as ``c`` times the sums over the columns of ``A``."""
    for position, ones in enumerate(node.inputs):
        matrix = node.inputs[1 - position]
        constant = is_a(ones, "broadcast_to") and not ones.inputs[0].rank
        if not constant or ones.rank != 1 or matrix.rank != 2:
            continue
        axis = 1 - position if is_transpose(matrix) else position
        matrix = matrix.inputs[0] if is_transpose(matrix) else matrix
        total = apply("sum", matrix, attributes=((axis,), False))
        return apply("multiply", ones.inputs[0], total)
    return None


def _sum(node: Node, known: Known) -> Node | None:
    """Like terms as one, common factors once."""
    return collect(node, known.loss, known.steps)


TEXTBOOK: list[Form] = [
    Form("(A B)ᵀ = Bᵀ Aᵀ", ("transpose",), _transposed),
    Form("((Aᵀ A)⁻¹)ᵀ = (Aᵀ A)⁻¹", ("transpose",), _symmetric),
    Form("(A + B)ᵀ = Aᵀ + Bᵀ", ("transpose",), _transposed_sum),
    Form("A (b cᵀ) D = (A b)(Dᵀ c)ᵀ", ("matmul",), _outer_in_product),
    Form("A (c x) = c A x", ("matmul",), _scalar_from_product),
    Form("A⁻¹(c x) = c A⁻¹ x", ("solve",), _scalar_from_solution),
    Form("A [c] = c A", ("matmul",), _one_by_one),
    Form("A (c 𝟏) = c Σ A", ("matmul",), _product_with_ones),
    Form("conv(x, 2 k) = 2 conv(x, k)", tuple(_LINEAR), _constant_from_linear),
    Form("x x = x²", ("multiply", "divide"), _powers),
    Form("Σ c x = c Σ x", ("sum",), _scalar_from_sum),
    Form("Σ Σ x = Σ x", ("sum",), _sum_of_sum),
    Form("sum without axes of size 1", ("reshape",), _sum_without_axes),
    Form("x + x = 2 x, A x + B x = (A + B) x", ("add", "subtract"), _sum),
]
"""The forms, in the order in which they are tried; each ends in fewer parts than it began."""
