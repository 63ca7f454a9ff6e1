"""What the notation of a derivation means, in NumPy: products, stretching, reductions, moves.

Written from the conventions alone, without the library's own operations.
"""

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np


class Unreadable(AssertionError):
    """A text that the conventions give no single meaning."""


@dataclass(frozen=True)
class Value:
    """An array as it stands in a formula.

    Attributes
    ----------
    array : numpy.ndarray
    row : bool
        A vector that is transposed.
    stretches : bool
        Made of ones: it has any length where its own is 1, or any shape where it is one number.
    kept : numpy.ndarray or None
        The array with the axes that a reduction has removed, each of size 1.
    named : bool
        It stands for a line, which has a shape of its own: that comes first.
    columns : bool
        A matrix times ones: a vector, or a matrix of which it is every column.
    """

    array: np.ndarray
    row: bool = False
    stretches: bool = False
    kept: np.ndarray | None = None
    named: bool = False
    columns: bool = False

    @property
    def rank(self):
        return self.array.ndim


@dataclass(frozen=True)
class Shaped:
    """What has its size from what stands beside it: an identity, a one-hot matrix, a scatter."""

    at: object  # shape -> array


def value_of(array, **options):
    return Value(np.asarray(array, float), **options)


# --- elementwise -------------------------------------------------------------------------


def elementwise(function, *operands):
    """A function of elements that lie at the same place; axes align from the right."""
    shaped = [o for o in operands if isinstance(o, Shaped)]
    if shaped:
        others = [o.array.shape for o in operands if isinstance(o, Value)]
        shape = np.broadcast_shapes(*others) if others else ()
        if not shape:  # numbers: the size is still unknown

            def at(shape):
                return function(
                    *(o.at(shape) if isinstance(o, Shaped) else o.array for o in operands)
                )

            return Shaped(at)
        operands = [value_of(o.at(shape)) if isinstance(o, Shaped) else o for o in operands]
    operands = [replace(o, row=o.row and bool(o.rank)) for o in operands]  # ones have no direction
    rank = max(o.rank for o in operands)
    if any(o.row for o in operands):
        if not all(o.row or not o.rank for o in operands):
            raise Unreadable("a row beside a column")
        return Value(function(*(o.array for o in operands)), row=True)
    stretches = all(o.stretches or not o.rank for o in operands)
    stretches = stretches and any(o.stretches for o in operands)
    kept_rank = max((o.kept.ndim for o in operands if o.kept is not None), default=-1)
    reduced_ones = any(o.kept is not None and not o.named for o in operands)
    with np.errstate(all="ignore"):
        plain = _attempt(function, [o.array for o in operands])
        kept = None
        if all(o.kept is not None or o.rank in (0, kept_rank) for o in operands):
            kept = _attempt(function, [o.array if o.kept is None else o.kept for o in operands])
    if kept is not None and kept_rank == rank and (reduced_ones or plain is None):
        return Value(kept, stretches=stretches)
    if plain is not None:
        columns = any(o.columns for o in operands) and kept is not None
        return Value(plain, stretches=stretches, kept=kept, columns=columns)
    if kept is not None:  # sums along different axes of one array
        return Value(kept, stretches=stretches)
    raise Unreadable(f"shapes {', '.join(str(o.array.shape) for o in operands)} side by side")


def _attempt(function, arrays):
    """The result, or None where the shapes do not fit."""
    try:
        return function(*arrays)
    except ValueError:
        return None


# --- products without a sign -------------------------------------------------------------


def product(a, b):
    """A number times anything, else the product of matrices; a vector is a column."""
    if isinstance(a, Shaped) or isinstance(b, Shaped):
        return _product_with_shaped(a, b)
    if not a.rank and not a.stretches:
        return _scaled(a, b)
    if not b.rank and not b.stretches:
        return _scaled(b, a)
    if not b.rank:  # ones
        if b.row:  # every column is a
            return Value(a.array[:, None], stretches=True)
        total = a.array.sum(-1) * b.array  # by a vector of ones, or by a matrix of them
        kept = total[..., None] if a.rank == 2 else None
        return Value(total, stretches=not a.rank, kept=kept, columns=a.rank == 2)
    if not a.rank:
        if b.row:  # every row is b
            return Value(b.array[None, :] * a.array, stretches=True)
        total = b.array.sum(0) * a.array
        return Value(total) if a.row else Value(total[None, :], stretches=True)
    if a.rank == 1 and b.rank == 1:
        if a.row == b.row:
            raise Unreadable("two vectors side by side")
        return value_of(a.array @ b.array) if a.row else Value(np.outer(a.array, b.array))
    if a.columns:
        return Value(np.outer(a.array, b.array.sum(0)))
    if a.rank == 1 and not a.row:
        raise Unreadable("a column times a matrix")
    if b.row:
        raise Unreadable("a matrix times a row")
    left, right = a.array, b.array
    if b.stretches and right.shape[0] == 1:
        right = np.broadcast_to(right, (left.shape[-1], *right.shape[1:]))
    if a.stretches and left.shape[-1] == 1:
        left = np.broadcast_to(left, (*left.shape[:-1], right.shape[0]))
    if b.columns and a.rank > 1:
        total = left @ right
        return Value(total, kept=total[..., None], columns=True)
    rows = a.stretches and a.rank > 1 and left.shape[-2] == 1
    columns = b.stretches and b.rank > 1 and right.shape[-1] == 1
    try:
        return Value(left @ right, row=a.row and b.rank > 1, stretches=rows or columns)
    except ValueError as error:
        raise Unreadable(str(error)) from error


def _scaled(number, other):
    kept = None if other.kept is None else other.kept * number.array
    return replace(other, array=other.array * number.array, kept=kept)


def _product_with_shaped(a, b):
    if isinstance(a, Value) and not a.rank:
        return Shaped(lambda shape: a.array * b.at(shape))
    if isinstance(b, Value) and not b.rank:
        return Shaped(lambda shape: b.array * a.at(shape))
    if isinstance(a, Value) and isinstance(b, Shaped):
        return Value(a.array @ b.at((a.array.shape[-1],) * 2))
    raise Unreadable("a matrix of unknown size in a product")


def transposed(x):
    if isinstance(x, Shaped):
        return Shaped(lambda shape: x.at(shape[::-1]).T)
    if x.rank > 2:
        raise Unreadable("the transpose of more than two axes")
    return Value(x.array.T) if x.rank == 2 else replace(x, row=not x.row, kept=None)


# --- reductions and moves ----------------------------------------------------------------


def reduced(function, x, axes):
    """A reduction over all axes, or over those of its indices."""
    if isinstance(x, Shaped):
        raise Unreadable("a reduction of an array of unknown size")
    axes = tuple(range(x.rank)) if axes is None else axes
    if x.stretches and (not x.rank or any(x.array.shape[a] == 1 for a in axes)):
        raise Unreadable("a reduction over ones, of which nobody says how many there are")
    kept = function(x.array, axes)
    plain = kept.reshape([d for i, d in enumerate(kept.shape) if i not in axes])
    return Value(plain, stretches=x.stretches, kept=kept)


def fitted(x, shape):
    """The value of a line, whose shape stands in the column on the right."""
    if isinstance(x, Shaped):
        return value_of(x.at(shape))
    if x.array.shape == shape:
        return Value(x.array, kept=x.kept, named=True)
    if x.kept is not None and x.kept.shape == shape:
        return Value(x.kept)
    if x.row and x.array.shape == shape[1:] and shape[0] == 1:
        return Value(x.array[None])
    if x.columns and len(shape) == 2 and x.array.shape[0] == shape[0]:
        return Value(np.broadcast_to(x.kept, shape))
    if x.stretches or (not x.rank and x.array == 0):
        if x.rank == 1 and len(shape) == 2 and x.array.shape[0] == shape[0] != shape[1]:
            return Value(np.broadcast_to(x.array[:, None], shape))
        return Value(np.broadcast_to(x.array, shape))
    raise Unreadable(f"a value of shape {x.array.shape} where {shape} is announced")


def moved(x, array):
    """Another array in place of a value."""
    kept = None if x.kept is None else array.reshape(x.kept.shape)
    return Value(array, kept=kept, named=True)


def scattered(x, key):
    """Zeros with ``x`` added at the places of an index."""

    def at(shape):
        result = np.zeros(shape)
        np.add.at(result, key, x.array)
        return result

    return Shaped(at)


def one_hot(labels):
    return Shaped(lambda shape: (labels.array[..., None] == np.arange(shape[-1])).astype(float))


IDENTITY = Shaped(lambda shape: np.eye(*shape[-2:]))


# --- windows -----------------------------------------------------------------------------


def _places(size, window, stride):
    """How many windows there are along each axis."""
    return tuple((d - k) // s + 1 for d, k, s in zip(size, window, stride, strict=True))


def _cut(offset, places, stride):
    """Element ``offset`` of every window."""
    return tuple(slice(o, o + p * s, s) for o, p, s in zip(offset, places, stride, strict=True))


def convolved(x, kernel, stride):
    axes = x.ndim - 2
    window = kernel.shape[2:]
    places = _places(x.shape[2:], window, stride)
    result = np.zeros((x.shape[0], kernel.shape[0], *places))
    for offset in itertools.product(*map(range, window)):
        part = x[(..., *_cut(offset, places, stride))]
        result += np.tensordot(part, kernel[(..., *offset)], (1, 1)).transpose(
            0, axes + 1, *range(1, axes + 1)
        )
    return result


def _largest(places, window, stride):
    return tuple((p - 1) * s + k for p, k, s in zip(places, window, stride, strict=True))


def spread(adjoint, kernel, stride):
    """What a convolution sends back to its image."""

    def at(shape):
        result = np.zeros(shape)
        places = adjoint.shape[2:]
        axes = len(places)
        for offset in itertools.product(*map(range, kernel.shape[2:])):
            part = np.tensordot(adjoint, kernel[(..., *offset)], (1, 0))
            result[(..., *_cut(offset, places, stride))] += part.transpose(
                0, axes + 1, *range(1, axes + 1)
            )
        return result

    return Shaped(at)


def correlated(x, adjoint, stride):
    """What a convolution sends back to its kernel."""
    places = adjoint.shape[2:]

    def at(shape):
        result = np.zeros(shape)
        axes = (0, *range(2, x.ndim))
        for offset in itertools.product(*map(range, shape[2:])):
            part = x[(..., *_cut(offset, places, stride))]
            result[(..., *offset)] = np.tensordot(adjoint, part, (axes, axes))
        return result

    return Shaped(at)


def windowed(x, window, stride):
    lead = x.shape[: x.ndim - len(window)]
    places = _places(x.shape[len(lead) :], window, stride)
    result = np.zeros((*lead, *places, *window))
    for offset in itertools.product(*map(range, window)):
        result[(..., *offset)] = x[(..., *_cut(offset, places, stride))]
    return result


def overlapped(x, stride):
    """Windows added back to where they came from; no element lies behind the last window."""
    axes = len(stride)
    lead = x.shape[: x.ndim - 2 * axes]
    places, window = x.shape[len(lead) : len(lead) + axes], x.shape[len(lead) + axes :]
    result = np.zeros((*lead, *_largest(places, window, stride)))
    for offset in itertools.product(*map(range, window)):
        result[(..., *_cut(offset, places, stride))] += x[(..., *offset)]
    return result


# --- functions ---------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_sum_exp(x, axes):
    top = x.max(axes, keepdims=True)
    return np.log(np.exp(x - top).sum(axes, keepdims=True)) + top


def others(x, axis):
    """For each element the product of all others."""
    result = np.empty_like(x)
    for place in range(x.shape[axis]):
        rest = np.delete(x, place, axis).prod(axis)
        result[(slice(None),) * axis + (place,)] = rest
    return result


ELEMENTWISE = {
    "exp": np.exp, "log": np.log, "sin": np.sin, "cos": np.cos, "tan": np.tan, "tanh": np.tanh,
    "sinh": np.sinh, "cosh": np.cosh, "arctan": np.arctan, "sign": np.sign, "log1p": np.log1p,
    "expm1": np.expm1, "σ": lambda x: 1 / (1 + np.exp(-x)),
    "log σ": lambda x: -np.logaddexp(0, -x), "softplus": lambda x: np.logaddexp(0, x),
    "relu": lambda x: np.maximum(x, 0), "erf": np.vectorize(math.erf),
    "erfc": np.vectorize(math.erfc),
    "elu": lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * np.vectorize(lambda t: (1 + math.erf(t / math.sqrt(2))) / 2)(x),
    "where": lambda c, yes, no: np.where(np.asarray(c) != 0, yes, no),
    "silu": lambda x: x / (1 + np.exp(-x)), "atan2": np.arctan2,
    "xlogy": lambda x, y: np.where(x == 0, 0, x * np.log(np.where(x == 0, 1, y))),
    "max": lambda *x: functools.reduce(np.maximum, x),
    "min": lambda *x: functools.reduce(np.minimum, x), "power": np.power,
}  # fmt: skip
"""Functions of elements."""

REDUCTIONS = {
    "Σ": lambda x, axes: x.sum(axes, keepdims=True),
    "∏": lambda x, axes: x.prod(axes, keepdims=True),
    "max": lambda x, axes: x.max(axes, keepdims=True),
    "min": lambda x, axes: x.min(axes, keepdims=True),
    "logsumexp": log_sum_exp,
    "norm": lambda x, axes: np.sqrt((x**2).sum(axes, keepdims=True)),
}

ALONG = {"cumsum": np.cumsum, "prod_others": others}
"""Functions along one axis."""

WHOLE = {
    "softmax": softmax,
    "log_softmax": lambda x: np.log(softmax(x)),
    "det": np.linalg.det,
    "cholesky": np.linalg.cholesky,
    "diag": np.diag,
    "tr": np.trace,
}
"""Functions of whole arrays."""
