"""Class labels and indices in the data are checked before a kernel sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from symdiff.errors import IndexOutOfRange
from symdiff.graph import Node, walk
from symdiff.shapes import Size, concrete

from .schedule import MOVES


def _source(node: Node) -> Node:
    while node.operation in MOVES:
        node = node.inputs[0]
    return node


def check_labels(
    roots: Sequence[Node],
    data: Sequence[Node],
    leaves: Mapping[Node, Node],
    arrays: Mapping[Node, np.ndarray],
    sizes: Mapping[Size, int],
) -> None:
    """Raise where data that serve as labels or indices lie outside their axis.

    ``leaves`` maps the symbols in ``roots`` to those that ``arrays`` are bound to.
    """
    known = set(data)
    for node in walk(roots):
        for operand, size, negative in _uses(node):
            source = _source(operand)
            if source not in known:
                continue
            array = arrays[leaves[source]]
            try:
                extent = concrete(size, sizes)
            except KeyError:
                continue  # a size that the kernel checks when it knows it
            lowest = -extent if negative else 0
            if array.size and (array.min() < lowest or array.max() >= extent):
                what = "indices" if negative else "labels"
                raise IndexOutOfRange(
                    f"the {what} {source.attributes[0]} must lie in {lowest}..{extent - 1}, "
                    f"found {array.min()}..{array.max()}"
                )


def _uses(node: Node) -> list[tuple[Node, Any, bool]]:
    """``(operand, size of the axis, whether negative values count from the end)``."""
    if node.operation == "one_hot":
        return [(node.inputs[0], node.attributes[0], False)]
    if node.operation not in ("index", "index_add"):
        return []
    shape = node.inputs[0].shape if node.operation == "index" else node.shape
    result = []
    axis = 0
    for entry in node.attributes[0]:
        if entry[0] == "new":
            continue
        if entry[0] == "tensor":
            result.append((node.inputs[1 + entry[1]], shape[axis], True))
        axis += 1
    return result
