"""Structural rows of the table of operations: leaves, reductions, products, data movement.

Each derivative is more graph, so second order comes free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp

from .errors import IndexOutOfRange, InvalidType, ShapeError, UnsupportedOperation
from .graph import Attributes, Node, Operation, apply, number
from .indexing import Key, indexed_shape, numpy_key
from .shapes import (
    Shape,
    broadcast,
    concrete,
    concrete_shape,
    divide_dimensions,
    product,
    reduce_shape,
    text,
)

Numpy = Callable[..., Any]


def described(node: Node) -> str:
    """An operand and its shape, for an error message."""
    from .bridge import describe

    return f"{describe(node)} with shape {text(node.shape)}"


# --- small builders that several derivatives share -------------------------------------


def add(*terms: Node) -> Node:
    """The sum of terms."""
    return terms[0] if len(terms) == 1 else apply("add", *terms)


def signed_sum(plus: Sequence[Node], minus: Sequence[Node]) -> Node:
    """What is added, less one after the other what is subtracted."""
    total = add(*plus) if plus else apply("negative", minus[0])
    for term in minus if plus else minus[1:]:
        total = apply("subtract", total, term)
    return total


def multiply(a: Node, b: Node) -> Node:
    """The product, elementwise."""
    return apply("multiply", a, b)


def size_node(dimension: Any) -> Node:
    """A size as a number in the graph."""
    if isinstance(dimension, int):
        return number(dimension)
    return apply("size", attributes=(dimension,))


def reshape(x: Node, shape: Shape) -> Node:
    """The same elements in another shape."""
    return x if x.shape == shape else apply("reshape", x, attributes=(shape,))


def transpose(x: Node, permutation: Sequence[int]) -> Node:
    """The axes permuted."""
    permutation = tuple(permutation)
    if permutation == tuple(range(x.rank)):
        return x
    return apply("transpose", x, attributes=(permutation,))


def swap_last(x: Node) -> Node:
    """Transpose the last two axes."""
    return transpose(x, (*range(x.rank - 2), x.rank - 1, x.rank - 2))


def broadcast_to(x: Node, shape: Shape) -> Node:
    """Stretched to a shape."""
    return x if x.shape == shape else apply("broadcast_to", x, attributes=(shape,))


def reduce_sum(x: Node, axes: tuple[int, ...], keepdims: bool = False) -> Node:
    """The sum over axes; without axes the operand itself."""
    return apply("sum", x, attributes=(axes, keepdims)) if axes else x


def zeros(shape: Shape) -> Node:
    """Zeros of a shape."""
    return broadcast_to(number(0), shape)


def unbroadcast(x: Node, shape: Shape) -> Node:
    """Sum over the axes along which ``shape`` was stretched to ``x.shape``."""
    if x.shape == shape:
        return x
    extra = x.rank - len(shape)
    x = reduce_sum(x, tuple(range(extra)))
    stretched = tuple(i for i, d in enumerate(shape) if d == 1 and x.shape[i] != 1)
    return reduce_sum(x, stretched, keepdims=True)


def expand_reduced(x: Node, node: Node) -> Node:
    """Put back the axes that a reduction removed, each of size 1."""
    axes, keepdims = node.attributes[:2]
    return x if keepdims else reshape(x, reduce_shape(node.inputs[0].shape, axes, True))


# --- leaves ----------------------------------------------------------------------------


def _no_inputs(infer: Callable[[Attributes], tuple[Shape, str]]) -> Callable[..., Any]:
    return lambda inputs, attributes: infer(attributes)


def _number_dtype(attributes: Attributes) -> tuple[Shape, str]:
    value = attributes[0]
    if value in (sp.true, sp.false):
        return (), "bool"
    # what does not fit 64 bits is a real, as in every array
    return (), "int" if value.is_Integer and abs(int(value)) < 2**63 else "real"


def _number_value(arrays: Any, node: Node, sizes: Any) -> Any:
    value = node.attributes[0]
    if node.dtype == "bool":
        return np.bool_(bool(value))
    if node.dtype == "int":
        return np.int64(int(value))
    return np.float64(value)


def _leaf(name: str, infer: Callable[[Attributes], tuple[Shape, str]], numpy: Numpy) -> Operation:
    return Operation(name, "leaf", _no_inputs(infer), numpy, differentiable=False)


# --- reductions ------------------------------------------------------------------------


_NEED_ELEMENTS = ("max", "min", "argmax", "argmin")


def _check_not_empty(node: Node, x: Any) -> None:
    if node.operation in _NEED_ELEMENTS and 0 in (x.shape[a] for a in node.attributes[0]):
        raise ShapeError(
            f"{node.operation} of no elements: {described(node.inputs[0])} = {x.shape}"
        )


def _infer_reduction(name: str, result: str | None) -> Callable[..., tuple[Shape, str]]:
    def infer(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
        (x,) = inputs
        axes, keepdims = attributes
        if name in _NEED_ELEMENTS and 0 in (x.shape[a] for a in axes):
            raise ShapeError(f"{name} of no elements: {described(x)}, axes {axes}")
        dtype = result or ("real" if x.dtype == "real" else "int")
        return reduce_shape(x.shape, axes, keepdims), dtype

    return infer


def _reduction(function: Callable[..., Any]) -> Numpy:
    def numpy(arrays: list[Any], node: Node, sizes: Any) -> Any:
        axes, keepdims = node.attributes
        x = np.asarray(arrays[0])
        x = x.astype(np.int64) if x.dtype == np.bool_ else x
        _check_not_empty(node, x)
        return function(x, axis=axes, keepdims=keepdims)

    return numpy


def _numpy_sum(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _numpy_logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    x = np.asarray(x, np.result_type(x, np.float32))
    top = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    shift = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", over="ignore"):
        total = np.sum(np.exp(x - shift), axis=axis, keepdims=True)
        result = np.log(total) + shift
    return result if keepdims else np.squeeze(result, axis=axis)


def _numpy_norm(x: Any, axis: Any, keepdims: bool) -> Any:
    """Divided by the largest element first: squares overflow long before the norm does."""
    x = np.asarray(x, np.result_type(x, np.float32))
    top = np.max(np.abs(x), axis=axis, keepdims=True, initial=0)
    scale = np.where((top > 0) & (top < np.inf), top, 1)
    result = np.sqrt(np.sum((x / scale) ** 2, axis=axis, keepdims=True)) * scale
    return result if keepdims else np.squeeze(result, axis=axis)


def _numpy_arg(function: Any) -> Numpy:
    def numpy(arrays: list[Any], node: Node, sizes: Any) -> Any:
        axes, keepdims = node.attributes
        x = np.asarray(arrays[0])
        _check_not_empty(node, x)
        if len(axes) == x.ndim:
            result = function(x.reshape(-1))
            return np.reshape(result, (1,) * x.ndim) if keepdims else result
        return function(x, axis=axes[0], keepdims=keepdims)

    return numpy


def _sum_adjoint(node: Node, g: Node) -> list[Node]:
    return [broadcast_to(expand_reduced(g, node), node.inputs[0].shape)]


def _extremum_adjoint(node: Node, g: Node) -> list[Node]:
    x = node.inputs[0]
    attained = apply("equal", x, expand_reduced(node, node))
    weight = apply("where", attained, number(1), number(0))
    share = reduce_sum(weight, node.attributes[0], keepdims=True)
    return [multiply(expand_reduced(g, node), apply("divide", weight, share))]


def _logsumexp_adjoint(node: Node, g: Node) -> list[Node]:
    x = node.inputs[0]
    probabilities = apply("exp", apply("subtract", x, expand_reduced(node, node)))
    return [multiply(expand_reduced(g, node), probabilities)]


def _norm_adjoint(node: Node, g: Node) -> list[Node]:
    """The unit vector; 0 at the origin, where there is none."""
    (x,) = node.inputs
    length = expand_reduced(node, node)
    direction = apply(
        "divide", x, apply("where", apply("less", number(0), length), length, number(1))
    )
    return [multiply(expand_reduced(g, node), direction)]


def guarded_norm(node: Node) -> tuple[Node, Node] | None:
    """``(‖x‖, x)`` where the node is what the derivative of a norm divides by: 1 at the origin."""
    if node.operation != "where" or not node.inputs[2].is_number(1):
        return None
    condition, length, _ = node.inputs
    norm = length.inputs[0] if length.operation == "reshape" else length
    if condition.operation != "less" or condition.inputs[1] is not length:
        return None
    return (length, norm.inputs[0]) if norm.operation == "norm" else None


# --- products --------------------------------------------------------------------------


def _infer_matmul(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    a, b = inputs
    problem = f"matmul: {described(a)} @ {described(b)}" if 0 in (a.rank, b.rank) else ""
    if problem:
        raise ShapeError(f"{problem}: a scalar has no matrix product, use * instead")
    inner_b = b.shape[-2] if b.rank > 1 else b.shape[0]
    batch = broadcast(a.shape[:-2], b.shape[:-2])
    if a.shape[-1] != inner_b or batch is None:
        raise ShapeError(
            f"matmul: {described(a)} @ {described(b)}: the last axis of the left operand "
            f"({a.shape[-1]}) must equal the {'second to last' if b.rank > 1 else 'only'} axis "
            f"of the right one ({inner_b}), and batch axes must broadcast"
        )
    rows = a.shape[-2:-1] if a.rank > 1 else ()
    columns = b.shape[-1:] if b.rank > 1 else ()
    dtype = "int" if "real" not in (a.dtype, b.dtype) else "real"
    return (*batch, *rows, *columns), dtype


def _numpy_matmul(arrays: list[Any], node: Node, sizes: Any) -> Any:
    a, b = (np.asarray(x) for x in arrays)
    a, b = (x.astype(np.int64) if x.dtype == np.bool_ else x for x in (a, b))
    return np.matmul(a, b)


def matmul(a: Node, b: Node) -> Node:
    """The matrix product, as NumPy's."""
    return apply("matmul", a, b)


def outer(a: Node, b: Node) -> Node:
    """``a[..., :, None] * b[..., None, :]``."""
    return multiply(reshape(a, (*a.shape, 1)), reshape(b, (*b.shape[:-1], 1, b.shape[-1])))


def _matmul_adjoint(node: Node, g: Node) -> list[Node]:
    a, b = node.inputs
    if a.rank == 1 and b.rank == 1:
        return [multiply(g, b), multiply(g, a)]
    if a.rank == 1:
        if b.rank == 2:
            return [matmul(b, g), outer(a, g)]
        column = reshape(g, (*g.shape, 1))
        return [
            unbroadcast(reshape(matmul(b, column), b.shape[:-1]), a.shape),
            multiply(reshape(a, (*a.shape, 1)), reshape(g, (*g.shape[:-1], 1, g.shape[-1]))),
        ]
    if b.rank == 1:
        if a.rank == 2:
            return [outer(g, b), matmul(swap_last(a), g)]
        column = reshape(g, (*g.shape, 1))
        product_ = matmul(swap_last(a), column)
        return [
            multiply(column, b),
            unbroadcast(reshape(product_, product_.shape[:-1]), b.shape),
        ]
    return [
        unbroadcast(matmul(g, swap_last(b)), a.shape),
        unbroadcast(matmul(swap_last(a), g), b.shape),
    ]


# --- data movement ---------------------------------------------------------------------


def _infer_transpose(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (x,) = inputs
    (permutation,) = attributes
    if sorted(permutation) != list(range(x.rank)):
        raise ShapeError(
            f"transpose: {permutation} is no permutation of the axes of {described(x)}"
        )
    return tuple(x.shape[p] for p in permutation), x.dtype


def _infer_reshape(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (x,) = inputs
    (shape,) = attributes
    if sp.expand(product(shape) - product(x.shape)) != 0:
        raise ShapeError(
            f"reshape: {described(x)} cannot take shape {text(shape)}: "
            f"{product(x.shape)} elements are not {product(shape)}"
        )
    return shape, x.dtype


def complete_shape(old: Shape, new: tuple[Any, ...]) -> Shape | None:
    """Replace one -1 in a new shape by what is left of the elements."""
    if new.count(-1) == 0:
        return new
    if new.count(-1) > 1:
        return None
    left = divide_dimensions(product(old), product(d for d in new if d != -1))
    return None if left is None else tuple(left if d == -1 else d for d in new)


def _infer_broadcast(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (x,) = inputs
    (shape,) = attributes
    if broadcast(x.shape, shape) != shape:
        raise ShapeError(f"broadcast_to: {described(x)} does not stretch to {text(shape)}")
    return shape, x.dtype


def _infer_index(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    x, *indices = inputs
    for i in indices:
        if i.dtype == "bool":
            raise InvalidType(
                f"an index must be an int tensor, got the mask {described(i)} of dtype bool: how "
                "many elements it takes is known to the data only; use sd.where, or give the "
                "positions, numpy.flatnonzero(mask)"
            )
        if i.dtype == "real":
            raise InvalidType(
                f"an index must be an int tensor, got {described(i)} of dtype real; "
                'declare it with sd.tensor(..., dtype="int")'
            )
    (key,) = attributes
    return indexed_shape(x.shape, key, [i.shape for i in indices], lambda: described(x)), x.dtype


def _numpy_index(arrays: list[Any], node: Node, sizes: Any) -> Any:
    x, *indices = (np.asarray(a) for a in arrays)
    (key,) = node.attributes
    try:
        return x[numpy_key(key, indices, x.shape, sizes)]
    except IndexError as error:
        raise IndexOutOfRange(f"index out of range in {described(node)}: {error}") from error


def _index_adjoint(node: Node, g: Node) -> list[Node | None]:
    x, *indices = node.inputs
    (key,) = node.attributes
    scattered = apply("index_add", g, *indices, attributes=(key, x.shape))
    return [scattered, *[None] * len(indices)]


def _infer_index_add(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    return attributes[1], inputs[0].dtype if inputs[0].dtype != "bool" else "int"


def _numpy_index_add(arrays: list[Any], node: Node, sizes: Any) -> Any:
    g, *indices = (np.asarray(a) for a in arrays)
    key, shape = node.attributes
    result = np.zeros(concrete_shape(shape, sizes), g.dtype if g.dtype != np.bool_ else np.int64)
    try:
        np.add.at(result, numpy_key(key, indices, result.shape, sizes), g)
    except IndexError as error:
        raise IndexOutOfRange(f"index out of range in {described(node)}: {error}") from error
    return result


def _index_add_adjoint(node: Node, g: Node) -> list[Node | None]:
    _, *indices = node.inputs
    gathered = apply("index", g, *indices, attributes=(node.attributes[0],))
    return [gathered, *[None] * len(indices)]


def _infer_one_hot(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (labels,) = inputs
    if labels.dtype == "real":
        raise InvalidType(
            f"one_hot: labels must be an int tensor, got {described(labels)} of dtype real; "
            'declare them with sd.tensor(..., dtype="int")'
        )
    return (*labels.shape, attributes[0]), "int"


def _numpy_one_hot(arrays: list[Any], node: Node, sizes: Any) -> Any:
    labels = np.asarray(arrays[0]).astype(np.int64)
    classes = concrete(node.attributes[0], sizes)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise IndexOutOfRange(
            f"labels {described(node.inputs[0])} must lie in 0..{classes - 1}, "
            f"found {labels.min()}..{labels.max()}"
        )
    return (labels[..., None] == np.arange(classes)).astype(np.int64)


def _infer_concatenate(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (axis,) = attributes
    first = inputs[0]
    for other in inputs[1:]:
        rest = [
            (s, t)
            for i, (s, t) in enumerate(zip(first.shape, other.shape, strict=False))
            if i != axis
        ]
        if first.rank != other.rank or any(s != t for s, t in rest):
            raise ShapeError(
                f"concatenate along axis {axis}: {described(first)} and {described(other)} "
                "differ in another axis"
            )
    total: Any = 0
    for x in inputs:
        total = total + x.shape[axis]
    shape = tuple(total if i == axis else d for i, d in enumerate(first.shape))
    kinds = {x.dtype for x in inputs}
    dtype = kinds.pop() if len(kinds) == 1 else "real" if "real" in kinds else "int"
    return shape, dtype


def _concatenate_adjoint(node: Node, g: Node) -> list[Node]:
    (axis,) = node.attributes
    start: Any = 0
    result = []
    for x in node.inputs:
        stop = start + x.shape[axis]
        key: Key = tuple(
            ("slice", start, x.shape[axis], 1) if i == axis else ("slice", 0, d, 1)
            for i, d in enumerate(x.shape)
        )
        result.append(apply("index", g, attributes=(key,)))
        start = stop
    return result


def _row(
    name: str,
    infer: Callable[..., tuple[Shape, str]],
    numpy: Numpy,
    adjoint: Callable[[Node, Node], Sequence[Node | None]] | None = None,
    rule: str = "",
) -> Operation:
    """A structural row; without an adjoint its derivative is zero by definition."""
    differentiable = adjoint is not None
    return Operation(name, "structural", infer, numpy, adjoint,
                     differentiable=differentiable, rule=rule)  # fmt: skip


def _reducing(name: str, function: Any, adjoint: Any, rule: str, result: Any = None) -> Operation:
    return _row(name, _infer_reduction(name, result), _reduction(function), adjoint, rule)


def _choosing(name: str, function: Any) -> Operation:
    return _row(name, _infer_reduction(name, "int"), _numpy_arg(function))


def _inverse(permutation: Sequence[int]) -> list[int]:
    return [int(i) for i in np.argsort(permutation)]


_ROWS: list[Operation] = [
    _leaf("symbol", lambda a: (a[1], a[2]), lambda a, n, s: _unbound(n)),
    _leaf("number", _number_dtype, _number_value),
    _leaf("array", lambda a: (a[0].shape, a[0].dtype), lambda a, n, s: n.attributes[0].value),
    _leaf("size", lambda a: ((), "int"), lambda a, n, s: np.int64(concrete(n.attributes[0], s))),
    _leaf("arange", lambda a: ((a[0],), "int"),
          lambda a, n, s: np.arange(concrete(n.attributes[0], s), dtype=np.int64)),
    _reducing("sum", _numpy_sum, _sum_adjoint, "sum over axes"),
    _reducing("max", np.max, _extremum_adjoint, "maximum over axes"),
    _reducing("min", np.min, _extremum_adjoint, "minimum over axes"),
    _reducing("logsumexp", _numpy_logsumexp, _logsumexp_adjoint, "log of summed exponentials",
              "real"),
    _reducing("norm", _numpy_norm, _norm_adjoint, "Euclidean norm", "real"),
    _choosing("argmax", np.argmax),
    _choosing("argmin", np.argmin),
    _row("matmul", _infer_matmul, _numpy_matmul, _matmul_adjoint, "matrix product"),
    _row("transpose", _infer_transpose, lambda a, n, s: np.transpose(a[0], n.attributes[0]),
         lambda n, g: [transpose(g, _inverse(n.attributes[0]))]),
    _row("reshape", _infer_reshape, lambda a, n, s: np.reshape(a[0], concrete_shape(n.shape, s)),
         lambda n, g: [reshape(g, n.inputs[0].shape)]),
    _row("broadcast_to", _infer_broadcast,
         lambda a, n, s: np.broadcast_to(a[0], concrete_shape(n.shape, s)),
         lambda n, g: [unbroadcast(g, n.inputs[0].shape)], "broadcast"),
    _row("index", _infer_index, _numpy_index, _index_adjoint, "gather"),
    _row("index_add", _infer_index_add, _numpy_index_add, _index_add_adjoint, "scatter"),
    _row("one_hot", _infer_one_hot, _numpy_one_hot),
    _row("concatenate", _infer_concatenate,
         lambda a, n, s: np.concatenate([np.asarray(x) for x in a], axis=n.attributes[0]),
         _concatenate_adjoint),
]  # fmt: skip


def _unbound(node: Node) -> Any:
    raise UnsupportedOperation(f"the symbol {node.attributes[0]} has no value")


STRUCTURAL: dict[str, Operation] = {row.name: row for row in _ROWS}
