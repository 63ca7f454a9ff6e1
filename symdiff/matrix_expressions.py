"""SymPy's own matrix expressions as graphs: each class in terms of the functions of symdiff.

A ``MatrixSymbol`` stands for a tensor symbol with two axes (:class:`MatrixTensor`), and a matrix
expression for the expression that a user would have written with ``sd.tensor``. It is converted
where it enters (``language.as_expression``), so that SymPy's matrix product never meets the
elementwise product of tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.sympify import _sympify as strictly  # never runs text
from sympy.matrices.expressions.applyfunc import ElementwiseApplyFunction
from sympy.matrices.expressions.dotproduct import DotProduct
from sympy.matrices.expressions.kronecker import KroneckerProduct
from sympy.matrices.expressions.slice import MatrixSlice

from . import arrays, language, linear_algebra, products
from .bridge import FROM_SYMPY, PARTS, describe_expression, instantiate, to_graph, to_sympy
from .errors import UnsupportedOperation
from .expressions import stand_in
from .graph import Node
from .indexed import SizedSymbol
from .language import combine, constant
from .resolve import sizes_of
from .shapes import Shape, Size, shape_of


class MatrixTensor(SizedSymbol):
    """The tensor symbol of a ``MatrixSymbol``; it differs from ``sd.tensor`` of the same name."""

    __slots__ = ()

    kind = "MatrixSymbol"


def matrix_tensor(symbol: sp.MatrixSymbol) -> MatrixTensor:
    """The tensor symbol that a matrix symbol stands for.

    Examples
    --------
    >>> import sympy as sp
    >>> from symdiff.matrix_expressions import matrix_tensor
    >>> matrix_tensor(sp.MatrixSymbol("A", sp.Symbol("n"), 3)).shape
    (n, 3)
    """
    sizes = set().union(*(strictly(d).free_symbols for d in symbol.shape))
    return MatrixTensor(symbol.name, matrix_shape(symbol), "real", sizes)


def matrix_shape(expression: Any) -> Shape:
    """The shape of a matrix expression; symbols in it are sizes."""
    entries = []
    for entry in expression.shape:
        entry = sp.S.Zero + entry
        sizes = {s: Size(s.name) for s in entry.free_symbols if not isinstance(s, Size)}
        entries.append(entry.xreplace(sizes))
    return shape_of(entries)


def tensor_form(expression: Any) -> Any:
    """A matrix expression as a tensor expression; a 1x1 matrix as a scalar.

    Examples
    --------
    >>> import sympy as sp
    >>> from symdiff.matrix_expressions import tensor_form
    >>> A, x = sp.MatrixSymbol("A", 3, 3), sp.MatrixSymbol("x", 3, 1)
    >>> tensor_form(A.T * x)
    A.T @ x
    >>> tensor_form(x.T * A * x).shape
    ()
    """
    if isinstance(expression, sp.MatrixBase):
        expression = expression.as_immutable()
    if isinstance(expression, sp.MatrixSymbol):
        result: Any = matrix_tensor(expression)
    else:
        (result,) = to_sympy([to_graph(expression)])
    return language.reshape(result, ()) if language.shape(result) == (1, 1) else result


# --- rules ---------------------------------------------------------------------------------


def _by(function: Callable[..., Any]) -> Callable[..., Node]:
    """A rule from a function ``(expression, *operands)`` of tensor expressions."""

    def build(expression: Any, *inputs: Node) -> Node:
        arguments = [
            stand_in(f"operand {i}", n.shape, n.dtype) if n.shape else sp.Dummy()
            for i, n in enumerate(inputs)
        ]
        template = language.as_expression(function(expression, *arguments))
        return instantiate(template, arguments, inputs)

    return build


def _product(expression: Any, *operands: Any) -> Any:
    scalars = [o for o in operands if not language.shape(o)]
    matrices = [o for o in operands if language.shape(o)]
    result = matrices[0]
    for matrix in matrices[1:]:
        result = language.matmul(result, matrix)
    return combine(sp.Mul, *scalars, result) if scalars else result


def _multiplied(expression: Any, *inputs: Node) -> Node:
    """Numbers are kept as they are, so that ``-A`` becomes a subtraction."""
    literal = {i: a for i, a in enumerate(expression.args) if a.is_Number}
    rest = [n for i, n in enumerate(inputs) if i not in literal]
    return _by(lambda e, *operands: _product(e, *literal.values(), *operands))(expression, *rest)


def _power(expression: Any, base: Any) -> Any:
    exponent = expression.exp
    if language.shape(base) == (1, 1) and exponent.is_number:
        number = combine(sp.Pow, language.reshape(base, ()), exponent)
        return language.reshape(number, 1, 1)
    if not exponent.is_Integer:
        raise UnsupportedOperation(
            f"the matrix power {describe_expression(expression)}: the exponent must be an integer; "
            "HadamardPower is the power of each element"
        )
    return linear_algebra.matrix_power(base, int(exponent))


def _applied(expression: Any, operand: Node) -> Node:
    argument = sp.Dummy(real=True)
    body = expression.function(argument)
    if not body.has(argument):
        return to_graph(language.broadcast_to(body, *operand.shape))
    return instantiate(body, [argument], [operand])


def _explicit(expression: Any, *entries: Node) -> Node:
    """A matrix of numbers is a constant, any other is put together from its entries."""
    values = expression.flat()
    if not values:
        return to_graph(language.broadcast_to(0, *expression.shape))
    if all(v.is_number and v.is_extended_real for v in values):
        numbers = [int(v) if v.is_Integer and abs(v) < 2**53 else float(v) for v in values]
        return to_graph(constant(np.array(numbers).reshape(expression.shape)))
    stacked = _by(lambda e, *operands: arrays.stack(operands))(expression, *entries)
    return _by(lambda e, x: language.reshape(x, *e.shape))(expression, stacked)


def _blocks(expression: Any, *blocks: Any) -> Any:
    rows, columns = expression.blockshape
    lines = [blocks[i * columns : (i + 1) * columns] for i in range(rows)]
    return arrays.concatenate([arrays.concatenate(line, axis=1) for line in lines], axis=0)


def _none(expression: Any) -> tuple[Any, ...]:
    return ()


def _first(expression: Any) -> tuple[Any, ...]:
    return expression.args[:1]


def _vector(a: Any) -> Any:
    return language.reshape(a, -1)


def _slice(expression: Any, matrix: Any) -> Any:
    """Rows and columns by ``start:stop:step``; SymPy has made the ends explicit."""
    key: list[slice] = []
    for start, stop, step in (expression.rowslice, expression.colslice):
        if not all(strictly(v).is_Integer for v in (start, step)):
            raise UnsupportedOperation(
                f"the matrix {describe_expression(expression)}: slices start and step by integers"
            )
        size = language.shape(matrix)[len(key)]
        whole = strictly(stop).xreplace(sizes_of(strictly(stop).free_symbols)) == size
        if not whole and not strictly(stop).is_Integer:
            raise UnsupportedOperation(
                f"the matrix {describe_expression(expression)}: a slice ends at an integer or at "
                f"the end, {size}"
            )
        key.append(slice(int(start), None if whole else int(stop), int(step)))
    return language.index(matrix, tuple(key))


FROM_SYMPY |= {
    sp.MatrixSymbol: lambda e: to_graph(matrix_tensor(e)),
    sp.MatAdd: FROM_SYMPY[sp.Add],
    sp.MatMul: _multiplied,
    sp.MatPow: _by(_power),
    sp.Transpose: _by(lambda e, a: language.transpose(a)),
    sp.Adjoint: _by(lambda e, a: language.transpose(a)),  # all symbols are real
    sp.Inverse: _by(_power),
    sp.Determinant: _by(lambda e, a: linear_algebra.det(a)),
    sp.Trace: _by(lambda e, a: products.trace(a)),
    sp.HadamardProduct: _by(lambda e, *operands: combine(sp.Mul, *operands)),
    sp.HadamardPower: _by(lambda e, a, *power: combine(sp.Pow, a, *(power or (e.exp,)))),
    KroneckerProduct: _by(lambda e, a, *rest: _kronecker(a, rest)),
    DotProduct: _by(lambda e, a, b: arrays.sum(_vector(a) * _vector(b))),
    sp.DiagMatrix: _by(lambda e, a: products.diag(_vector(a))),
    sp.DiagonalMatrix: _by(lambda e, a: a * arrays.eye(language.shape(a)[0])),
    sp.DiagonalOf: _by(lambda e, a: language.reshape(products.diag(a), -1, 1)),
    sp.PermutationMatrix: lambda e: to_graph(e.as_explicit().as_immutable()),
    MatrixSlice: _by(_slice),
    sp.Identity: _by(lambda e: arrays.eye(matrix_shape(e)[0])),
    sp.OneMatrix: _by(lambda e: arrays.ones(*matrix_shape(e))),
    sp.ZeroMatrix: _by(lambda e: arrays.zeros(*matrix_shape(e))),
    sp.BlockMatrix: _by(_blocks),
    sp.BlockDiagMatrix: lambda e: to_graph(sp.BlockMatrix(e.blocks)),
    ElementwiseApplyFunction: _applied,
    sp.ImmutableDenseMatrix: _explicit,
    sp.ImmutableSparseMatrix: _explicit,
}


def _kronecker(a: Any, rest: tuple[Any, ...]) -> Any:
    for b in rest:
        a = products.kron(a, b)
    return a


PARTS |= {
    sp.MatrixSymbol: _none,
    sp.MatPow: _first,
    MatrixSlice: _first,
    sp.PermutationMatrix: _none,
    sp.Inverse: _first,
    sp.Identity: _none,
    sp.OneMatrix: _none,
    sp.ZeroMatrix: _none,
    sp.HadamardPower: lambda e: e.args[:1] if e.exp.is_Number else e.args,
    sp.BlockMatrix: lambda e: tuple(e.blocks.flat()),
    sp.BlockDiagMatrix: _none,
    ElementwiseApplyFunction: lambda e: (e.expr,),
    sp.ImmutableDenseMatrix: lambda e: tuple(e.flat()),
    sp.ImmutableSparseMatrix: lambda e: tuple(e.flat()),
}


__all__ = ["MatrixTensor", "matrix_shape", "matrix_tensor", "tensor_form"]
