"""Products and norms named as in NumPy, made of sums, products and matrix products."""

from __future__ import annotations

from typing import Any

import sympy as sp

from . import arrays
from . import language as lang
from . import structural_classes as kinds
from .bridge import to_graph
from .errors import InvalidArgument, ShapeError
from .language import as_number, shape
from .shapes import normalise_axes
from .structural import described

__all__ = ["diag", "dot", "einsum", "kron", "norm", "outer", "trace"]


def trace(a: Any) -> Any:
    """Sum of the diagonal of a square matrix.

    Examples
    --------
    >>> import symdiff as sd
    >>> A = sd.tensor("A", 3, 3)
    >>> sd.evaluate(sd.gradient(sd.trace(A @ A), A), {A: [[1, 2, 0], [0, 1, 0], [3, 0, 1]]})
    array([[2., 0., 6.],
           [4., 2., 0.],
           [0., 0., 2.]])
    """
    return arrays.sum(diag(_square(a, "trace")))


def _square(a: Any, name: str) -> Any:
    a = as_number(a)
    sizes = shape(a)
    if len(sizes) != 2 or sizes[0] != sizes[1]:
        raise ShapeError(f"{name} takes a square matrix, got {described(to_graph(a))}")
    return a


def diag(a: Any) -> Any:
    """The diagonal of a square matrix, or the diagonal matrix of a vector."""
    a = as_number(a)
    sizes = shape(a)
    if len(sizes) == 1:
        return lang.reshape(a, sizes[0], 1) * arrays.one_hot(arrays.arange(sizes[0]), sizes[0])
    a = _square(a, "diag")
    along = arrays.arange(sizes[0])
    return lang.index(a, (along, along))


def outer(a: Any, b: Any) -> Any:
    """All products of an element of ``a`` with one of ``b``; both are flattened."""
    a, b = (lang.reshape(as_number(x), -1) for x in (a, b))
    return lang.reshape(a, *shape(a), 1) * b


def outer_product(a: Any, b: Any) -> Any:
    """All products of an element of ``a`` with one of ``b``: axes of ``a``, then of ``b``."""
    return lang.reshape(a, *shape(a), *[1] * len(shape(b))) * b


def dot(a: Any, b: Any) -> Any:
    """NumPy's ``dot``: products of scalars, inner products of vectors, matrix products."""
    a, b = as_number(a), as_number(b)
    rank_a, rank_b = len(shape(a)), len(shape(b))
    if rank_a == 0 or rank_b == 0:
        return lang.combine(sp.Mul, a, b)
    if rank_b <= 2:
        return lang.matmul(a, b)
    letters = "abcdefghijklmnopqrstuvwxyz"
    left, right = letters[:rank_a], letters[rank_a : rank_a + rank_b]
    right = right[:-2] + left[-1] + right[-1]
    return einsum(f"{left},{right}->{left[:-1]}{right[:-2]}{right[-1]}", a, b)


def kron(a: Any, b: Any) -> Any:
    """Kronecker product of two matrices or two vectors."""
    a, b = as_number(a), as_number(b)
    if len(shape(a)) != len(shape(b)) or len(shape(a)) not in (1, 2):
        raise ShapeError(
            f"kron takes two vectors or two matrices, got {described(to_graph(a))} and "
            f"{described(to_graph(b))}"
        )
    if len(shape(a)) == 1:
        return lang.reshape(outer(a, b), -1)
    (m, n), (p, q) = shape(a), shape(b)
    product = lang.reshape(a, m, 1, n, 1) * lang.reshape(b, 1, p, 1, q)
    return lang.reshape(product, m * p, n * q)


def norm(a: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Norm of a vector, or of a matrix by ``"fro"``; its derivative at zero is zero.

    Parameters
    ----------
    ord : None, "fro", inf, -inf, 0, 1, 2 or another number
        As in ``numpy.linalg.norm``: None is the root of the sum of squares of all elements, a
        number p the p-norm of vectors. Norms of matrices by singular values are not there.
    axis : int, optional
        The axis of the vectors.
    """
    a = as_number(a)
    rank = len(shape(a))
    axes = normalise_axes(axis, rank, "norm")
    if ord not in (None, "fro") and len(axes) != 1:
        raise InvalidArgument(
            f"norm: ord={ord!r} is the norm of vectors; name their axis with axis= for "
            f"{described(to_graph(a))}"
        )
    if ord == "fro" and len(axes) != 2:
        raise InvalidArgument(
            f"norm: ord='fro' is the norm of matrices, got {described(to_graph(a))}"
        )
    size = arrays.absolute(a)
    if ord in (None, "fro", 2):
        return kinds.NormOver.make([a], (axes, bool(keepdims)))
    if ord == 1:
        return arrays.sum(size, axis, keepdims)
    if ord in (float("inf"), sp.oo):
        return arrays.max(size, axis, keepdims)
    if ord in (-float("inf"), -sp.oo):
        return arrays.min(size, axis, keepdims)
    if ord == 0:
        return arrays.sum(arrays.not_equal(a, 0), axis, keepdims)
    if isinstance(ord, str) or not as_number(ord).is_number:
        raise InvalidArgument(f"norm: ord must be None, 'fro' or a number, got {ord!r}")
    return _root(arrays.sum(size ** as_number(ord), axis, keepdims), as_number(ord))


def _root(total: Any, p: Any) -> Any:
    """``total ** (1/p)``, and 0 with derivative 0 where the total is 0."""
    root = total ** (1 / sp.nsimplify(p))
    return arrays.where(arrays.greater(total, 0), root, total)


def einsum(subscripts: str, *operands: Any) -> Any:
    """Einstein summation, as NumPy's ``einsum`` with one letter per axis.

    Examples
    --------
    >>> import symdiff as sd
    >>> A, x = sd.tensor("A", 2, 3), sd.tensor("x", 3)
    >>> sd.einsum("ij,j->i", A, x).shape
    (2,)
    """
    inputs, output = _subscripts(subscripts, len(operands))
    tensors = [as_number(o) for o in operands]
    sizes: dict[str, Any] = {}
    for letters, tensor in zip(inputs, tensors, strict=True):
        if len(letters) != len(shape(tensor)):
            raise ShapeError(
                f"einsum: {letters!r} names {len(letters)} axes of {described(to_graph(tensor))}"
            )
        for letter, size in zip(letters, shape(tensor), strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(
                    f"einsum: axis {letter!r} has size {sizes[letter]} and size {size} in "
                    f"{described(to_graph(tensor))}"
                )
    unknown = set(output) - set(sizes)
    if unknown:
        raise InvalidArgument(f"einsum: {sorted(unknown)} stand in the output only")
    parts = [_diagonal(letters, t) for letters, t in zip(inputs, tensors, strict=True)]
    while len(parts) > 1:
        (left, a), (right, b), *rest = parts
        needed = set(output).union(*(letters for letters, _ in rest))
        parts = [contract(left, a, right, b, needed), *rest]
    letters, tensor = parts[0]
    extra = tuple(i for i, letter in enumerate(letters) if letter not in output)
    if extra:
        tensor = arrays.sum(tensor, axis=extra)
        letters = "".join(x for x in letters if x in output)
    return lang.transpose(tensor, [letters.index(x) for x in output]) if letters else tensor


def _subscripts(subscripts: str, count: int) -> tuple[list[str], str]:
    if not isinstance(subscripts, str) or "." in subscripts:
        raise InvalidArgument(
            f"einsum: subscripts must be letters without '...', got {subscripts!r}"
        )
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != count:
        raise InvalidArgument(f"einsum: {subscripts!r} names {len(inputs)} operands, got {count}")
    every = "".join(inputs)
    if not (every + output).isalpha() and every + output:
        raise InvalidArgument(f"einsum: subscripts must be letters, got {subscripts!r}")
    if not arrow:
        output = "".join(sorted(x for x in set(every) if every.count(x) == 1))
    if len(set(output)) != len(output):
        raise InvalidArgument(f"einsum: a letter stands twice in the output {output!r}")
    return inputs, output


def _diagonal(letters: str, tensor: Any) -> tuple[str, Any]:
    """Take the diagonal of axes that share a letter."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            size = shape(tensor)[first]
            order = [first, second, *(i for i in range(len(letters)) if i not in (first, second))]
            along = arrays.arange(size)
            tensor = lang.index(lang.transpose(tensor, order), (along, along))
            letters = letter + "".join(letters[i] for i in order[2:])
    return letters, tensor


def contract(left: str, a: Any, right: str, b: Any, needed: set[str]) -> tuple[str, Any]:
    """Multiply two operands and sum over the letters that nobody needs any more."""
    for letters, mine in ((left, True), (right, False)):
        other = right if mine else left
        alone = tuple(i for i, x in enumerate(letters) if x not in other and x not in needed)
        if alone:
            kept = "".join(x for i, x in enumerate(letters) if i not in alone)
            if mine:
                left, a = kept, arrays.sum(a, axis=alone)
            else:
                right, b = kept, arrays.sum(b, axis=alone)
    batch = "".join(x for x in left if x in right and x in needed)
    summed = "".join(x for x in left if x in right and x not in needed)
    rows = "".join(x for x in left if x not in right)
    columns = "".join(x for x in right if x not in left)
    sizes = dict(zip(left, shape(a), strict=True)) | dict(zip(right, shape(b), strict=True))

    def arranged(letters: str, tensor: Any, *groups: str) -> Any:
        """Axes in the order of the groups, each joined to one; without a batch none is empty."""
        order = [letters.index(x) for x in "".join(groups)]
        moved = lang.transpose(tensor, order)
        joined = [_joined(group) for group in groups[1:] if batch or group]
        return lang.reshape(moved, *[sizes[x] for x in batch], *joined)

    def _joined(group: str) -> Any:
        total: Any = 1
        for x in group:
            total = total * sizes[x]
        return total

    if not batch and not summed:
        return rows + columns, outer_product(a, b)
    result = lang.matmul(
        arranged(left, a, batch, rows, summed), arranged(right, b, batch, summed, columns)
    )
    letters = batch + rows + columns
    return letters, lang.reshape(result, *[sizes[x] for x in letters]) if letters else (
        lang.reshape(result, ())
    )
