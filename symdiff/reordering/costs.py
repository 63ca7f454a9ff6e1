"""What a node costs: multiplications of matrix products, elements of everything else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ..graph import Node, walk
from ..shapes import Dimension, Shape, Size, product

__all__ = ["MEDIUM", "ROWS", "Costs"]

ROWS = 64
"""What a size that counts rows is taken to be where it is not known."""

MEDIUM = 32
"""The same for other symbolic sizes."""

_FREE = ("transpose", "reshape", "broadcast_to")
_REDUCTIONS = ("sum", "prod", "max", "min", "logsumexp", "norm", "argmax", "argmin")
_MULTIPLICATIONS = ("multiply", "divide", "power")


class Costs:
    """Costs of nodes, with values for symbolic sizes.

    Parameters
    ----------
    sizes : mapping
        ``{Size: int}``; a size that is not there is of medium size.
    """

    def __init__(self, sizes: Mapping[Size, int]) -> None:
        self.sizes = dict(sizes)
        self._values: dict[Any, int] = {}

    def size(self, dimension: Dimension) -> int:
        """The value of a size."""
        if isinstance(dimension, int):
            return dimension
        if dimension not in self._values:
            known = {s: self.sizes.get(s, MEDIUM) for s in dimension.free_symbols}
            self._values[dimension] = max(int(dimension.subs(known)), 0)
        return self._values[dimension]

    def elements(self, shape: Shape) -> int:
        """The number of elements of a shape."""
        return math.prod(map(self.size, shape))

    def __call__(self, node: Node) -> int:
        """Operations that a node takes: a multiplication with its addition is one."""
        if node.row.kind == "leaf" or node.operation in _FREE:
            return 0
        if node.operation == "matmul":
            return self.elements(node.shape) * self.size(node.inputs[0].shape[-1])
        if node.operation in _REDUCTIONS:
            return self.elements(node.inputs[0].shape)
        operands = len(node.inputs) if node.operation == "add" else 2
        return self.elements(node.shape) * (operands - 1)

    def total(self, roots: Iterable[Node]) -> int:
        """Operations of a graph, shared parts once."""
        return sum(map(self, walk(roots)))

    def multiplications(self, roots: Iterable[Node]) -> int:
        """Multiplications of a graph, shared parts once."""
        return sum(self(n) for n in walk(roots) if n.operation in ("matmul", *_MULTIPLICATIONS))

    def smallest(self, shapes: Iterable[Shape]) -> list[Shape]:
        """Shapes by their number of elements, as they come where it is the same."""
        return sorted(dict.fromkeys(shapes), key=lambda s: (self.elements(s), len(s)))


def same_size(a: Shape, b: Shape) -> bool:
    """True where two shapes have the same number of elements for any sizes."""
    return bool(product(a) == product(b))
