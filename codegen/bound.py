"""What ``Trainer`` binds before it runs: data, and the start of each parameter."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symdiff.binding import numbers
from symdiff.errors import InvalidType, ShapeError
from symdiff.graph import Node
from symdiff.init import Initializer
from symdiff.shapes import Size, text


@dataclass
class Bound:
    """Data bound to the leaves of a kernel.

    Attributes
    ----------
    arrays : dict
    sizes : dict
    vectors : frozenset of Node
        Scalar symbols that stand for one value of each sample.
    rows : Size or None
    samples : int or None
    """

    arrays: dict[Node, np.ndarray]
    sizes: dict[Size, int]
    vectors: frozenset[Node]
    rows: Any
    samples: int | None


def is_known(shape: Sequence[Any], sizes: Mapping[Size, int]) -> bool:
    """Whether the sizes give the shape."""
    return all(isinstance(d, int) or d.free_symbols <= set(sizes) for d in shape)


def mentions(node: Node, size: Size) -> bool:
    """Whether the shape of a node depends on a size."""
    return any(not isinstance(d, int) and size in d.free_symbols for d in node.shape)


def start_value(symbol: Any, start: Any, shape: tuple[int, ...], rng: Any) -> np.ndarray:
    """Where a parameter starts: from a number, an array or an initialiser."""
    if isinstance(start, Initializer):
        value = np.asarray(start.sample(shape, rng), np.float64)
    else:
        try:
            value = np.asarray(numbers(start, symbol), np.float64)
        except InvalidType as error:
            raise InvalidType(
                f"the start of {symbol} must be a number, an array or an initialiser of sd.init, "
                f"got {str(start)[:60]!r}"
            ) from error
    if value.shape == shape:
        return value
    if value.ndim == 0:
        return np.full(shape, value)
    raise ShapeError(f"{symbol} has shape {text(shape)}, its start has shape {value.shape}")


def warn_not_finite(arrays: Mapping[Node, np.ndarray]) -> None:
    """Warn of data that are NaN or infinite."""
    for node, array in arrays.items():
        if array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64)):
            continue
        if not np.isfinite(array).all():
            kind = "NaN" if np.isnan(array).any() else "infinity"
            warnings.warn(
                f"the data of {node.attributes[0]} contain {kind}", RuntimeWarning, stacklevel=4
            )
