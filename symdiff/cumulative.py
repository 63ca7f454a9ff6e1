"""Structural rows of products over axes and cumulative sums.

The derivative of a product is the product of the other elements. That is a row of its own,
computed from the products before and after each element and never by a division, so it is right
where elements are zero; its derivative is made of products of others again, and so is every
higher one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .graph import Attributes, Node, Operation, apply, number
from .indexing import Key
from .shapes import Dimension, Shape, product
from .structural import (
    _reducing,
    _row,
    expand_reduced,
    multiply,
    reduce_sum,
    reshape,
    transpose,
)

# --- products ----------------------------------------------------------------------------


def _numpy_prod(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.prod(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _prod_adjoint(node: Node, g: Node) -> list[Node]:
    return [multiply(expand_reduced(g, node), _others(node.inputs[0], node.attributes[0]))]


def _others(x: Node, axes: tuple[int, ...]) -> Node:
    """For each element the product of all others over some axes, which are merged into one."""
    if len(axes) == 1:
        return apply("prod_others", x, attributes=axes)
    order = (*(a for a in range(x.rank) if a not in axes), *axes)
    moved = transpose(x, order)
    kept = moved.shape[: x.rank - len(axes)]
    flat = reshape(moved, (*kept, product(moved.shape[len(kept) :])))
    others = apply("prod_others", flat, attributes=(len(kept),))
    return transpose(reshape(others, moved.shape), [int(i) for i in np.argsort(order)])


def _numbers(x: Any) -> Any:
    """Conditions count as 0 and 1."""
    x = np.asarray(x)
    return x.astype(np.int64) if x.dtype == np.bool_ else x


def _numpy_others(arrays: list[Any], node: Node, sizes: Any) -> Any:
    x = np.moveaxis(_numbers(arrays[0]), node.attributes[0], -1)
    before, after = np.ones_like(x), np.ones_like(x)
    before[..., 1:] = np.cumprod(x[..., :-1], axis=-1)
    after[..., :-1] = np.cumprod(x[..., :0:-1], axis=-1)[..., ::-1]
    return np.moveaxis(before * after, -1, node.attributes[0])


def _last(x: Node, axis: int) -> Node:
    """The operand with one axis moved to the end."""
    return transpose(x, (*(a for a in range(x.rank) if a != axis), axis))


def _others_adjoint(node: Node, g: Node) -> list[Node]:
    """``d others_i / d x_k`` is the product without i and k: of row i of a matrix, less k."""
    (axis,) = node.attributes
    x, g = _last(node.inputs[0], axis), _last(g, axis)
    *kept, size = x.shape
    on_diagonal = diagonal(size)
    rows = apply("where", on_diagonal, number(1), reshape(x, (*kept, 1, size)))
    others = apply("prod_others", rows, attributes=(rows.rank - 1,))
    terms = multiply(reshape(g, (*kept, size, 1)), others)
    total = reduce_sum(apply("where", on_diagonal, number(0), terms), (x.rank - 1,))
    order = (*range(axis), x.rank - 1, *range(axis, x.rank - 1))
    return [transpose(total, order)]


def diagonal(size: Dimension) -> Node:
    """The condition that holds on the diagonal of a square matrix."""
    along = apply("arange", attributes=(size,))
    return apply("equal", reshape(along, (size, 1)), along)


# --- cumulative sums ---------------------------------------------------------------------


def _infer_along(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (x,) = inputs
    return x.shape, "real" if x.dtype == "real" else "int"


def _numpy_cumsum(arrays: list[Any], node: Node, sizes: Any) -> Any:
    x = _numbers(arrays[0])
    return np.cumsum(x, axis=node.attributes[0], dtype=x.dtype)


def _reversed(x: Node, axis: int) -> Node:
    key: Key = tuple(
        ("slice", d - 1, d, -1) if a == axis else ("slice", 0, d, 1) for a, d in enumerate(x.shape)
    )
    return apply("index", x, attributes=(key,))


def _cumsum_adjoint(node: Node, g: Node) -> list[Node]:
    (axis,) = node.attributes
    total = apply("cumsum", _reversed(g, axis), attributes=(axis,))
    return [_reversed(total, axis)]


CUMULATIVE: dict[str, Operation] = {
    row.name: row
    for row in (
        _reducing("prod", _numpy_prod, _prod_adjoint, "product over axes"),
        _row("prod_others", _infer_along, _numpy_others, _others_adjoint, "products of others"),
        _row("cumsum", _infer_along, _numpy_cumsum, _cumsum_adjoint, "cumulative sum"),
    )
}
"""Products over axes, products of the other elements along an axis, cumulative sums."""
