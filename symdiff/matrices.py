"""Structural rows of linear algebra: determinants, inverses, linear systems, Cholesky factors.

Each takes square matrices, or stacks of them along leading axes. The derivatives are in matrix
form and hold only operations of the table, so every higher order is there too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from .errors import LinearAlgebraError, ShapeError
from .graph import Attributes, Node, Operation, apply, number
from .shapes import Shape, broadcast, text
from .structural import (
    Numpy,
    _row,
    described,
    matmul,
    multiply,
    outer,
    reshape,
    swap_last,
    unbroadcast,
)

SINGULAR = "the matrix is singular: it has no inverse"
INDEFINITE = "the matrix is not positive definite: it has no Cholesky factor"


def _check_square(name: str, a: Node) -> None:
    if a.rank < 2 or a.shape[-1] != a.shape[-2]:
        raise ShapeError(f"{name} takes a square matrix or a stack of them, got {described(a)}")


def _infer_same(name: str) -> Callable[[tuple[Node, ...], Attributes], tuple[Shape, str]]:
    def infer(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
        _check_square(name, inputs[0])
        return inputs[0].shape, "real"

    return infer


def _infer_scalar(name: str) -> Callable[[tuple[Node, ...], Attributes], tuple[Shape, str]]:
    def infer(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
        _check_square(name, inputs[0])
        return inputs[0].shape[:-2], "real"

    return infer


def _numpy(function: Callable[..., Any], problem: str) -> Numpy:
    """A function of ``numpy.linalg``; where it fails, the error says of which matrix."""

    def numpy(arrays: list[Any], node: Node, sizes: Any) -> Any:
        real = [np.asarray(a) for a in arrays]
        real = [a if a.dtype.kind == "f" else a.astype(np.float64) for a in real]
        try:
            return function(*real)
        except np.linalg.LinAlgError as error:
            raise LinearAlgebraError(
                f"{node.operation} of {described(node.inputs[0])}: {problem}"
            ) from error

    return numpy


# --- determinants ------------------------------------------------------------------------


def _inverse(a: Node) -> Node:
    return apply("inv", a)


def _scaled(g: Node, matrix: Node) -> Node:
    """Each matrix of a stack times its number."""
    return multiply(reshape(g, (*g.shape, 1, 1)) if g.rank else g, matrix)


def _det_adjoint(node: Node, g: Node) -> list[Node]:
    """Jacobi's formula: ``det(A) inv(A).T``."""
    return [_scaled(multiply(g, node), swap_last(_inverse(node.inputs[0])))]


def _logdet_adjoint(node: Node, g: Node) -> list[Node]:
    return [_scaled(g, swap_last(_inverse(node.inputs[0])))]


# --- inverses and linear systems ---------------------------------------------------------


def _negative(x: Node) -> Node:
    return apply("negative", x)


def _inv_adjoint(node: Node, g: Node) -> list[Node]:
    transposed = swap_last(node)
    return [_negative(matmul(matmul(transposed, g), transposed))]


def _infer_solve(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    a, b = inputs
    _check_square("solve", a)
    vector = b.rank == 1 and a.rank == 2
    batch = () if vector or b.rank < 2 else broadcast(a.shape[:-2], b.shape[:-2])
    rows = b.shape[0] if vector else b.shape[-2] if b.rank > 1 else None
    if batch is None or rows != a.shape[-1]:
        raise ShapeError(
            f"solve: {described(a)} and {described(b)}: the right side must be a vector of "
            f"{a.shape[-1]} elements or a matrix of {a.shape[-1]} rows, and stacks must broadcast; "
            f"got {text(b.shape)}"
        )
    return (b.shape if vector else (*batch, *b.shape[-2:])), "real"


def _numpy_solve(a: Any, b: Any) -> Any:
    return np.linalg.solve(a, b[:, None])[:, 0] if b.ndim == 1 else np.linalg.solve(a, b)


def _solve_adjoint(node: Node, g: Node) -> list[Node]:
    a, b = node.inputs
    back = apply("solve", swap_last(a), g)
    if node.rank == 1:
        return [_negative(outer(back, node)), back]
    return [
        unbroadcast(_negative(matmul(back, swap_last(node))), a.shape),
        unbroadcast(back, b.shape),
    ]


# --- Cholesky factors --------------------------------------------------------------------


def _numpy_cholesky(a: Any) -> Any:
    half = a.dtype.type(0.5)
    return np.linalg.cholesky(half * (a + np.swapaxes(a, -1, -2)))


def _cholesky_adjoint(node: Node, g: Node) -> list[Node]:
    """Murray, Differentiation of the Cholesky decomposition (2016), equation 8, symmetric.

    With K = inv(L) and P = L.T @ g it is K.T @ S @ K / 2, where S is P on and below the diagonal
    and P.T above.
    """
    size = node.shape[-1]
    along = apply("arange", attributes=(size,))
    lower = apply("less_equal", along, reshape(along, (size, 1)))
    product = matmul(swap_last(node), g)
    symmetric = apply("where", lower, product, swap_last(product))
    inverse = _inverse(node)
    total = matmul(matmul(swap_last(inverse), symmetric), inverse)
    return [multiply(number(sp.Rational(1, 2)), total)]


MATRICES: dict[str, Operation] = {
    row.name: row
    for row in (
        _row("det", _infer_scalar("det"), _numpy(np.linalg.det, ""), _det_adjoint, "determinant"),
        _row("logdet", _infer_scalar("logdet"), _numpy(lambda a: np.linalg.slogdet(a)[1], ""),
             _logdet_adjoint, "log of the determinant"),
        _row("inv", _infer_same("inv"), _numpy(np.linalg.inv, SINGULAR), _inv_adjoint, "inverse"),
        _row("solve", _infer_solve, _numpy(_numpy_solve, SINGULAR), _solve_adjoint,
             "linear system"),
        _row("cholesky", _infer_same("cholesky"), _numpy(_numpy_cholesky, INDEFINITE),
             _cholesky_adjoint, "Cholesky factor"),
    )
}  # fmt: skip
"""Determinants, inverses, linear systems, Cholesky factors."""
