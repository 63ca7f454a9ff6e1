"""Linear algebra named as in NumPy: square matrices, and stacks of them along leading axes.

What NumPy refuses is refused: a singular matrix, or one that is not positive definite, raises
``LinearAlgebraError`` from ``evaluate`` and from compiled code alike.
"""

from __future__ import annotations

from typing import Any

from . import arrays
from . import language as lang
from . import structural_classes as kinds
from .bridge import to_graph
from .errors import InvalidType, ShapeError
from .language import as_number, shape
from .structural import described

__all__ = ["cholesky", "det", "inv", "logdet", "matrix_power", "solve"]


def det(a: Any) -> Any:
    """Determinant.

    Its derivative is ``det(A) * inv(A).T``; at a singular matrix that raises, although the
    matrix of cofactors exists there.

    Examples
    --------
    >>> import symdiff as sd
    >>> A = sd.tensor("A", 2, 2)
    >>> sd.evaluate(sd.gradient(sd.det(A), A), {A: [[3.0, 1.0], [0.0, 2.0]]}).round(12)
    array([[ 2.,  0.],
           [-1.,  3.]])
    """
    return kinds.Det.make([as_number(a)])


def logdet(a: Any) -> Any:
    """Log |det(a)|, without overflow; minus infinity where the matrix is singular.

    Examples
    --------
    >>> import symdiff as sd
    >>> X = sd.tensor("X", "n", "n")
    >>> sd.gradient(sd.logdet(X), X)
    inv(X).T
    """
    return kinds.LogDet.make([as_number(a)])


def inv(a: Any) -> Any:
    """Inverse matrix.

    Examples
    --------
    >>> import symdiff as sd
    >>> A, X = sd.tensor("A", "n", "n"), sd.tensor("X", "n", "n")
    >>> sd.gradient(sd.trace(A @ sd.inv(X)), X)
    -inv(X).T @ A.T @ inv(X).T
    """
    return kinds.Inverted.make([as_number(a)])


def solve(a: Any, b: Any) -> Any:
    """The solution x of ``a @ x = b``, for a vector or the columns of a matrix b.

    A 1-D ``b`` is a vector, anything else holds matrices, as in NumPy 2.

    Examples
    --------
    >>> import symdiff as sd
    >>> A, b = sd.tensor("A", 2, 2), sd.tensor("b", 2)
    >>> sd.evaluate(sd.solve(A, b), {A: [[2, 0], [0, 4]], b: [1, 1]})
    array([0.5 , 0.25])
    """
    a, b = as_number(a), as_number(b)
    if len(shape(b)) == 1 and len(shape(a)) > 2:
        solution = solve(a, lang.reshape(b, *shape(b), 1))
        return lang.reshape(solution, *shape(solution)[:-1])
    return kinds.Solved.make([a, b])


def cholesky(a: Any) -> Any:
    """Lower triangular L with ``L @ L.T = a``, for a symmetric positive definite matrix.

    The factor is that of the symmetric part ``(a + a.T) / 2``, so the gradient is symmetric.
    (NumPy reads the lower triangle only; for symmetric matrices it is the same.)

    Examples
    --------
    >>> import symdiff as sd
    >>> A = sd.tensor("A", 2, 2)
    >>> sd.evaluate(sd.cholesky(A), {A: [[4, 2], [2, 10]]})
    array([[2., 0.],
           [1., 3.]])
    """
    return kinds.Cholesky.make([as_number(a)])


def matrix_power(a: Any, n: int) -> Any:
    """The product of n copies of a square matrix; a negative n is a power of the inverse.

    Examples
    --------
    >>> import symdiff as sd
    >>> A = sd.tensor("A", 2, 2)
    >>> sd.evaluate(sd.matrix_power(A, 3), {A: [[1, 1], [0, 1]]})
    array([[1., 3.],
           [0., 1.]])
    """
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise InvalidType(f"matrix_power: the exponent must be an int, got {n!r}")
    n = n.__index__()
    base = as_number(a)
    sizes = shape(base)
    if len(sizes) < 2 or sizes[-1] != sizes[-2]:
        raise ShapeError(
            f"matrix_power takes a square matrix or a stack of them, got "
            f"{described(to_graph(base))}"
        )
    if n == 0:
        return lang.broadcast_to(arrays.eye(sizes[-1]), *sizes)
    if n < 0:
        base, n = inv(base), -n
    result = None
    while n:
        if n % 2:
            result = base if result is None else lang.matmul(result, base)
        n //= 2
        if n:
            base = lang.matmul(base, base)
    return result
