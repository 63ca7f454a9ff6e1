"""Tensors written out: graphs whose entries are SymPy scalars, or numbers of many digits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import sympy as sp

from ..errors import UnsupportedOperation
from ..graph import Node, walk
from ..shapes import Size, concrete_shape
from .counting import graph_operations

__all__ = ["is_scalar_formula", "numeric_entries", "scalar_count", "written_out"]

_MOVES = {
    "transpose", "reshape", "broadcast_to", "index", "concatenate", "windows", "matmul",
    "cumsum", "convolve", "overlap_add", "index_add",
}  # fmt: skip
"""Operations whose NumPy meaning holds for arrays of SymPy objects as well."""

_LARGEST_MATRIX = 3
"""Determinants and inverses are written out up to this size: their formulas have n! terms."""


def is_scalar_formula(root: Node) -> bool:
    """True where no tensor stands in a loss, so that it is written out already."""
    return all(not n.shape and n.row.kind != "structural" for n in walk([root]))


def scalar_count(root: Node, sizes: Mapping[Size, int]) -> int:
    """How many scalar operations a graph takes when it is written out, shared ones once."""
    moved = sum(math.prod(concrete_shape(n.shape, sizes)) for n in walk([root]))
    return graph_operations([root], sizes) + moved


def written_out(
    root: Node, entries: Mapping[Node, Any], sizes: Mapping[Size, int], digits: int | None = None
) -> Any:
    """The value of a scalar graph whose symbols have arrays of SymPy objects as ``entries``.

    With ``digits`` every result is a number, computed with so many digits.
    """
    values: dict[Node, Any] = {}
    for node in walk([root]):
        if node in entries:
            values[node] = entries[node]
            continue
        inputs = [values[i] for i in node.inputs]
        if node.operation == "number" and node.dtype == "real":
            value = _objects(node.attributes[0])
        elif all(i.dtype != object for i in inputs):
            value = np.asarray(node.row.numpy(inputs, node, sizes))
            value = value if node.dtype != "real" else _symbolic(value, digits)
        else:
            value = _apply(node, inputs, sizes, digits)
        values[node] = _numbers(value, digits) if digits and value.dtype == object else value
    return _symbolic(values[root], digits)[()]


def numeric_entries(array: np.ndarray, digits: int) -> np.ndarray:
    """An array of numbers as SymPy numbers with so many digits, each the same double."""
    return _symbolic(array, digits)


def _objects(value: Any) -> np.ndarray:
    array = np.empty((), object)
    array[()] = value
    return array


def _mapped(function: Callable[[Any], Any], array: np.ndarray) -> np.ndarray:
    result = np.empty(array.shape, object)
    for index in np.ndindex(array.shape):
        result[index] = function(array[index])
    return result


def _symbolic(array: np.ndarray, digits: int | None) -> np.ndarray:
    if array.dtype == object:
        return array
    if array.dtype == np.bool_:
        return _mapped(lambda v: sp.true if v else sp.false, array)
    if array.dtype.kind in "iu":
        return _mapped(lambda v: sp.Integer(int(v)), array)
    return _mapped(lambda v: sp.Float(float(v), digits or 17), array)


def _numbers(array: np.ndarray, digits: int) -> np.ndarray:
    """Results as numbers: what SymPy has left unevaluated is evaluated now."""

    def settled(value: Any) -> Any:
        if isinstance(value, (sp.Number, sp.logic.boolalg.BooleanAtom)):
            return value
        value = value.doit()
        return value if isinstance(value, sp.logic.boolalg.BooleanAtom) else value.evalf(digits)

    return _mapped(settled, array)


def _apply(node: Node, inputs: list[np.ndarray], sizes: Any, digits: int | None) -> np.ndarray:
    if node.row.kind == "elementwise":
        return _elementwise(node, [_symbolic(i, digits) for i in inputs], digits)
    if node.operation in _MOVES:
        indices = node.operation in ("index", "index_add")
        operands = [
            i if indices and position else _symbolic(i, digits) for position, i in enumerate(inputs)
        ]
        result = np.asarray(node.row.numpy(operands, node, sizes), object)
        return _mapped(lambda v: v if isinstance(v, sp.Basic) else sp.Integer(int(v)), result)
    if node.operation in _REDUCTIONS:
        return _reduced(node, _symbolic(inputs[0], digits))
    if node.operation in _MATRICES:
        return _matrices(node, [_symbolic(i, digits) for i in inputs])
    raise UnsupportedOperation(
        f"the operation {node.operation} is not written out in scalars; "
        "compare a loss without it, or read the row of the graph alone"
    )


def _elementwise(node: Node, inputs: list[np.ndarray], digits: int | None) -> np.ndarray:
    body = node.row.body
    assert body is not None
    arrays = np.broadcast_arrays(*inputs)
    result = np.empty(arrays[0].shape, object)
    for index in np.ndindex(result.shape):
        arguments = [a[index] for a in arrays]
        if node.operation == "where" and arguments[0] in (sp.true, sp.false):
            result[index] = arguments[1 if arguments[0] == sp.true else 2]
        elif node.dtype == "bool" or node.operation == "where":
            result[index] = body(*arguments)
        else:
            result[index] = body(*map(_counted, arguments))
    return result


def _counted(value: Any) -> Any:
    """A condition as a number, which is what it is in arithmetic."""
    if isinstance(value, sp.logic.boolalg.Boolean) and not isinstance(value, sp.Symbol):
        return sp.Piecewise((1, value), (0, True))
    return value


def _root_of_squares(parts: Iterable[Any]) -> Any:
    return sp.sqrt(sp.Add(*(p**2 for p in parts)))


def _log_of_exponentials(parts: Iterable[Any]) -> Any:
    return sp.log(sp.Add(*map(sp.exp, parts)))


_REDUCTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "sum": lambda parts: sp.Add(*parts),
    "prod": lambda parts: sp.Mul(*parts),
    "max": lambda parts: sp.Max(*parts),
    "min": lambda parts: sp.Min(*parts),
    "norm": _root_of_squares,
    "logsumexp": _log_of_exponentials,
}


def _reduced(node: Node, array: np.ndarray) -> np.ndarray:
    axes, keepdims = node.attributes
    rest = [a for a in range(array.ndim) if a not in axes]
    shape = tuple(array.shape[a] for a in rest)
    lines = np.transpose(array, (*rest, *axes)).reshape(*shape, -1)
    result = np.empty(shape, object)
    for index in np.ndindex(shape):
        result[index] = _REDUCTIONS[node.operation](list(map(_counted, lines[index])))
    return np.expand_dims(result, axes) if keepdims else result


_MATRICES: dict[str, Callable[..., Any]] = {
    "det": lambda a: a.det(),
    "logdet": lambda a: sp.log(sp.Abs(a.det())),
    "inv": lambda a: a.adjugate() / a.det(),
    "solve": lambda a, b: a.adjugate() * b / a.det(),
}


def _matrices(node: Node, inputs: list[np.ndarray]) -> np.ndarray:
    n = inputs[0].shape[-1]
    if n > _LARGEST_MATRIX or any(i.ndim > 2 for i in inputs):
        raise UnsupportedOperation(
            f"the {node.operation} of a matrix of shape {inputs[0].shape} is not written out in "
            f"scalars, only of one matrix of at most {_LARGEST_MATRIX} rows"
        )
    shaped = [sp.Matrix(i.reshape(n, -1).tolist()) for i in inputs]
    result = _MATRICES[node.operation](*shaped)
    if not isinstance(result, sp.MatrixBase):
        return _objects(result)
    array = np.empty((result.rows, result.cols), object)
    for index in np.ndindex(array.shape):
        array[index] = result[index]
    return array[:, 0] if node.rank == 1 else array
