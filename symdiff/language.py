"""The language: tensors as SymPy expressions whose symbols carry shapes.

A tensor expression is a :class:`sympy.Expr`. Elementwise parts are SymPy's own ``Add``,
``Mul``, ``Pow`` and functions; structural parts (``@``, sum, transpose, gather …) are
subclasses of :class:`Structural`, with SymPy's invariant ``e.func(*e.args) == e``.

What SymPy builds from a tensor by ``+ * **`` is given the operators of
:class:`TensorExpression` by SymPy's constructor postprocessors, as SymPy's matrices do it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.basic import Basic
from sympy.logic.boolalg import Boolean

from .bridge import describe, to_graph
from .errors import InvalidArgument, InvalidType, ShapeError, UnsupportedOperation
from .expressions import TensorExpression, TensorSymbol, decode, encode
from .graph import OPERATIONS, Node
from .indexing import normalise_key
from .shapes import Shape, broadcast, shape_of, text
from .structural import complete_shape, described
from .structural_classes import (
    STRUCTURAL_CLASSES,
    Broadcasted,
    Indexed_,
    Matmul,
    Reshaped,
    Transposed,
)
from .typed import ArrayExpression, retype, typed

DTYPES = ("real", "int", "bool")


def tensor(name: str, *shape: Any, dtype: str = "real") -> TensorSymbol:
    """A symbol that carries a shape.

    Parameters
    ----------
    name : str
        Any text.
    *shape : int, str or SymPy integer
        Sizes; a string is a symbolic size, and equal strings are the same size.
    dtype : {"real", "int", "bool"}

    Examples
    --------
    >>> import symdiff as sd
    >>> X = sd.tensor("X", "n", 3)
    >>> X.shape, (X.T @ X).shape
    ((n, 3), (3, 3))
    """
    if not isinstance(name, str):
        raise InvalidType(f"the name of a tensor is a string, got {name!r}")
    if dtype not in DTYPES:
        raise InvalidArgument(f"dtype of tensor {name!r} must be one of {DTYPES}, got {dtype!r}")
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return TensorSymbol(name, shape_of(shape), dtype)


def as_expression(value: Any) -> Any:
    """A user's operand as an expression: numbers and arrays become constants."""
    if isinstance(value, (sp.MatrixExpr, sp.MatrixBase)):
        from .matrix_expressions import tensor_form

        return tensor_form(value)
    if isinstance(value, (sp.Expr, Boolean)):
        return value
    if isinstance(value, sp.NDimArray):
        return constant(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return sp.Integer(int(value))
    if isinstance(value, (int, np.integer)):
        return sp.Integer(int(value))
    if isinstance(value, (float, np.floating)):
        return sp.Float(float(value))
    if isinstance(value, (np.ndarray, list, tuple)) or hasattr(value, "__array__"):
        return constant(value)
    raise InvalidType(
        f"expected a number, an array or a SymPy expression, got {type(value).__name__}: "
        f"{str(value)[:60]!r}; text is read by sd.parse only"
        if isinstance(value, str)
        else f"expected a number, an array or a SymPy expression, got {type(value).__name__}"
    )


def as_number(value: Any) -> Any:
    """Like :func:`as_expression`, with conditions as 0 and 1."""
    value = as_expression(value)
    if isinstance(value, Boolean) and not isinstance(value, sp.Expr):
        return typed(sp.Piecewise((1, value), (0, True)))
    return value


def constant(array: Any) -> Any:
    """A constant array as an expression; a single number becomes a SymPy number."""
    if isinstance(array, (list, tuple)) and _holds_expressions(array):
        from .arrays import stack

        return stack([as_expression(a) for a in array])
    value = np.asarray(array)
    if value.dtype == object:
        if value.ndim and _holds_expressions(value.ravel()):
            raise InvalidType(
                "a NumPy array of SymPy expressions: NumPy took an operator apart, element by "
                "element; write sd.constant(array) there, or sd.exp(X) for sp.exp(X), or build "
                "the tensor with sd.stack"
            )
        raise InvalidType("a constant array must hold numbers, got dtype object")
    if value.ndim == 0:
        return as_expression(value.item())
    result = ArrayExpression(value)
    return result


def _holds_expressions(entries: Any) -> bool:
    return any(
        _holds_expressions(e) if isinstance(e, (list, tuple)) else isinstance(e, Basic)
        for e in entries
    )


def shape(expression: Any) -> Shape:
    """The shape of any expression.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> sd.shape(sp.exp(sd.tensor("X", "n", 3)))
    (n, 3)
    """
    return to_graph(as_expression(expression)).shape


def combine(function: Callable[..., Any], *operands: Any) -> Any:
    """Apply an elementwise SymPy function; what SymPy cancels keeps its shape."""
    arguments = [as_number(o) for o in operands]
    try:
        nodes = [to_graph(a) for a in arguments]
    except UnsupportedOperation:  # as in `typed`
        return function(*arguments)
    expected = broadcast(*(n.shape for n in nodes))
    if expected is None:
        listed = " and ".join(map(described, nodes))
        raise ShapeError(
            f"shapes do not broadcast: {listed}; sizes must be equal or 1, aligned from the right"
        )
    result = function(*arguments)
    return typed(keep_shape(result, expected))


def keep_shape(expression: Any, expected: Shape) -> Any:
    """Stretch an expression that lost axes by cancellation back to its shape."""
    if shape(expression) == expected:
        return expression
    return Broadcasted.make([expression], (expected,))


def matmul(a: Any, b: Any) -> Any:
    """Matrix product ``a @ b`` with NumPy's meaning for 1-D and stacked operands."""
    return Matmul.make([as_number(a), as_number(b)])


def transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    """Permute axes; by default reverse them, as NumPy's ``transpose``."""
    a = as_expression(a)
    rank = len(shape(a))
    if axes is None:
        permutation = tuple(reversed(range(rank)))
    else:
        if not isinstance(axes, (tuple, list)) or not all(hasattr(i, "__index__") for i in axes):
            raise InvalidType(f"transpose: axes must be a tuple of ints, got {axes!r}")
        if any(not -rank <= int(i) < rank for i in axes):
            raise ShapeError(f"transpose: axes {tuple(axes)} for an operand with {rank} axes")
        permutation = tuple(int(i) % rank for i in axes)
    if permutation == tuple(range(rank)):
        return a
    if isinstance(a, Transposed):
        inner = decode(a.args[-1])[0]
        return transpose(a.operands[0], tuple(inner[p] for p in permutation))
    return Transposed.make([a], (permutation,))


def reshape(a: Any, *shape_: Any) -> Any:
    """The same elements in another shape; one size may be -1, sizes may be symbolic."""
    a = as_expression(a)
    if len(shape_) == 1 and isinstance(shape_[0], (tuple, list, sp.Tuple)):
        shape_ = tuple(shape_[0])
    entries = tuple(-1 if e == -1 else e for e in shape_)
    new = complete_shape(shape(a), tuple(-1 if e == -1 else shape_of([e])[0] for e in entries))
    if new is None:
        raise ShapeError(
            f"reshape: {described(to_graph(a))} cannot take shape "
            f"{text(entries)}: at most one size may be -1, and it must divide"
        )
    return a if new == shape(a) else Reshaped.make([a], (new,))


def broadcast_to(a: Any, *shape_: Any) -> Any:
    """Stretch to a shape, as NumPy's ``broadcast_to``."""
    a = as_expression(a)
    if len(shape_) == 1 and isinstance(shape_[0], (tuple, list, sp.Tuple)):
        shape_ = tuple(shape_[0])
    new = shape_of(shape_)
    return a if new == shape(a) else Broadcasted.make([a], (new,))


def index(a: Any, key: Any) -> Any:
    """``a[key]`` with slices, ints, None, ``...`` and integer tensors, as NumPy."""
    a = as_expression(a)
    node = to_graph(a)
    normal, operands = normalise_key(key, node.shape, describe(node))
    tensors = [_as_index(o, node) for o in operands]
    kept = [e for e in normal if e[0] != "new"]
    if all(e == ("slice", 0, d, 1) for e, d in zip(kept, node.shape, strict=True)):
        return reshape(a, tuple(1 if e[0] == "new" else e[2] for e in normal))
    return Indexed_.make([a, *tensors], (normal,))


def _as_index(operand: Any, node: Node) -> Any:
    """An index tensor; a list that is empty holds ints, not floats as NumPy has it."""
    if isinstance(operand, (bool, np.bool_)):
        raise InvalidType(f"the index of {describe(node)} is the bool {operand}; use 0 or 1")
    if isinstance(operand, (list, tuple)) and not np.size(operand):
        return constant(np.asarray(operand, dtype=np.int64))
    return as_expression(operand)


def from_node(node: Node, inputs: Sequence[Any], evaluate: bool) -> Any:
    """The expression of a node, given those of its inputs."""
    if node.operation == "symbol" or node.operation == "number":
        return node.attributes[0]
    if node.operation == "array":
        value = node.attributes[0]
        return value if isinstance(value, ArrayExpression) else ArrayExpression(value.value)
    if node.operation == "size" and isinstance(node.attributes[0], sp.Symbol):
        return node.attributes[0]
    row = OPERATIONS[node.operation]
    if row.kind != "elementwise":
        return STRUCTURAL_CLASSES[node.operation]._of(inputs, encode(node.attributes), node)
    assert row.body is not None
    if node.dtype == "bool":
        arguments = list(inputs)
    elif node.operation == "where":
        arguments = [inputs[0], *map(as_number, inputs[1:])]
    else:
        arguments = list(map(as_number, inputs))
    if evaluate:
        result = row.body(*arguments)
    else:
        with sp.evaluate(False):
            result = row.body(*arguments)
    if not node.shape or not isinstance(result, sp.Expr):
        return result
    if evaluate and to_graph(result).shape != node.shape:
        return Broadcasted.make([result], (node.shape,))
    return typed(result) if evaluate else _typed_as(result, node)


def _typed_as(expression: Any, node: Node) -> Any:
    """Type without asking for the shape, which a long expression would compute anew."""
    if isinstance(expression, (TensorExpression, sp.Atom)):
        return expression
    return retype(expression, node)
