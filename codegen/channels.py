"""Which convolutions are matrix products, and how images lie in memory then.

A convolution computed as it is defined has a row of an image innermost: 6 or 30 elements, and a
load and a store for each multiplication. As a product of *patches* (all that one place of the
result sees, as a row) with the kernel it runs in registers, with the filters as lanes of vectors.
Then all that images pass through (bias, activation, pooling and their adjoints) has the channels
as lanes, too: work memory holds them last.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from symdiff.graph import Node, consumers

from .windows import CONVOLUTIONS

LANES = 16
"""Numbers that a vector holds, about."""

MEMORY = 3
"""Accesses of memory for each multiplication of a direct loop: two loads and a store."""

COPY = 2
"""Accesses of memory for each element of a patch."""

LEAST_WORK = 4096
"""Multiplications of an image below which a call of a matrix kernel is not worth it."""

STRIP_ELEMENTS = 1 << 16
"""Elements of patches laid out at a time, if possible: they stay in the second cache."""

SPREAD = {
    *CONVOLUTIONS, "windows", "overlap_add", "max", "min", "sum", "prod", "index_add", "index",
    "concatenate", "reshape", "broadcast_to",
}  # fmt: skip
"""Structural operations whose operand and result are images alike."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of a convolution, the same for it and its adjoints."""

    channels: int
    filters: int
    window: tuple[int, ...]
    places: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Elements of a patch."""
        return self.channels * math.prod(self.window)

    @property
    def work(self) -> int:
        """Multiplications for one image."""
        return self.depth * self.filters * math.prod(self.places)

    @property
    def direct(self) -> float:
        """Cost of loops along the last spatial axis."""
        return self.work * MEMORY / min(self.places[-1], LANES)

    @property
    def product(self) -> float:
        """Cost of patches and their product with the kernel."""
        vectors = -(-self.filters // LANES)
        return self.depth * math.prod(self.places) * (COPY + vectors)

    @property
    def strip(self) -> int:
        """Places along the first spatial axis whose patches are laid out together."""
        first, *rest = self.places
        row = self.depth * math.prod(rest)
        fitting = [d for d in range(1, first + 1) if first % d == 0 and d * row <= STRIP_ELEMENTS]
        most = max(fitting, default=1)
        return most if most * math.prod(rest) >= 8 else first


def geometry(node: Node) -> Geometry | None:
    """The sizes of a convolution, or None where one of them is not a number."""
    strides = node.attributes[0]
    if node.operation == "convolve":
        kernel, places = node.inputs[1].shape, node.shape[2:]
    elif node.operation == "convolve_transposed":
        kernel, places = node.inputs[1].shape, node.inputs[0].shape[2:]
    else:
        kernel, places = node.shape, node.inputs[1].shape[2:]
    image = node.shape if node.operation == "convolve_transposed" else node.inputs[0].shape
    if not all(isinstance(d, int) and d > 0 for d in (*kernel, *places, *image[2:])):
        return None
    filters, channels, *window = kernel
    return Geometry(channels, filters, tuple(window), tuple(places), strides)


@dataclass
class Images:
    """What was decided for the convolutions of a graph.

    Attributes
    ----------
    products : dict
        The convolutions that are matrix products, with their sizes.
    orders : dict
        For nodes that hold images, in which order memory has their axes.
    why : str
        The reason, for ``Trainer.schedule``.
    """

    products: dict[Node, Geometry]
    orders: dict[Node, tuple[int, ...]]
    why: str = ""


def plan_images(order: Sequence[Node], rows: Any) -> Images:
    """Choose the cheaper form for all convolutions of a graph together.

    They share their images, so one form for all of them saves copies.
    """
    found = {n: geometry(n) for n in order if n.operation in CONVOLUTIONS and n.dtype == "real"}
    sizes = {n: g for n, g in found.items() if g is not None}
    images = {n.inputs[0].shape[0] for n in sizes}
    if not sizes or len(sizes) < len(found) or len(images) > 1:
        return Images({}, {}, "a size of a convolution is not known")
    direct, product = (sum(getattr(g, f) for g in sizes.values()) for f in ("direct", "product"))
    filters = ", ".join(map(str, sorted({g.filters for g in sizes.values()})))
    if product > direct:
        why = f"with {filters} filters, loops along a row of an image cost less than patches"
        return Images({}, {}, why)
    if max(g.work for g in sizes.values()) < LEAST_WORK:
        return Images({}, {}, "the images are small")
    why = f"{filters} filters fill vectors better than a row of an image"
    return Images(sizes, _orders(order, sizes), why)


def image_order(spatial: int, rank: int) -> tuple[int, ...]:
    """The axes of images in memory: places, then channels, then what belongs to a place."""
    return (0, *range(2, spatial + 2), 1, *range(spatial + 2, rank))


def _orders(order: Sequence[Node], products: dict[Node, Geometry]) -> dict[Node, tuple[int, ...]]:
    """The order of the axes wherever images go, and for sums of kernels."""
    known = set(order)
    readers = consumers(order)
    batch = next(iter(products)).inputs[0].shape[0]

    def is_image(n: Node, spatial: int) -> bool:
        return n.rank >= spatial + 2 and n.shape[0] == batch and isinstance(n.shape[1], int)

    def passes(n: Node) -> bool:
        return n.row.kind == "elementwise" or n.operation in SPREAD

    stack = [(m, len(g.places)) for n, g in products.items() for m in (n, *n.inputs)]
    found: dict[Node, int] = {}
    while stack:
        node, spatial = stack.pop()
        if node in found or node not in known or not is_image(node, spatial):
            continue
        found[node] = spatial
        if passes(node):
            stack += [(i, spatial) for i in node.inputs]
        stack += [(r, spatial) for r in readers.get(node, ()) if passes(r)]
    result = {n: image_order(s, n.rank) for n, s in found.items() if n.row.kind != "leaf"}
    for node, sizes in products.items():
        if node.operation == "convolve_kernel":
            result[node] = (*range(2, len(sizes.window) + 2), 1, 0)
    return result
