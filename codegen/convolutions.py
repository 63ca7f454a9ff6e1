"""Convolutions as products of patches with the kernel, image by image.

A patch is all that one place of the result sees. Patches of some rows of an image are laid out
as the rows of a matrix, in cache, and multiplied by the kernel, whose columns are the filters:
``channels.py`` has the rule. The adjoint in the input is the product with the transposed kernel,
added up where patches overlap; that in the kernel is the product of patches with what comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from symdiff.graph import Node

from .arrange import FEW
from .channels import Geometry, image_order
from .loop_ir import (
    Buffer,
    Expr,
    Gemm,
    Load,
    Loop,
    Matrix,
    Statement,
    Store,
    Update,
    Var,
    const,
    neutral,
    row_major,
    times,
)
from .loop_ir import plus as add
from .windows import loops

if TYPE_CHECKING:
    from .lower import Lowering

Index = tuple[Expr, ...]
Body = Callable[[Index], list[Statement]]


def _loops(
    low: Lowering, extents: Sequence[int], body: Body, lane: bool = False
) -> list[Statement]:
    """Nested loops over extents, the last one a vector with ``lane``; the body gets counters."""
    return loops(low, [const(d) for d in extents], body, lane and extents[-1] >= FEW)


def _flat(extents: Sequence[int], index: Index) -> Expr:
    """The position of an index in row-major order."""
    return row_major([const(d) for d in extents], index)


def _work(low: Lowering, name: str, *shape: int) -> Buffer:
    buffer = Buffer(low.names.new(name), [const(d) for d in shape], "real", "private")
    low.extra.append(buffer)
    return buffer


class _Convolution:
    """The parts that the three operations share."""

    def __init__(self, low: Lowering, node: Node) -> None:
        self.low = low
        self.sizes: Geometry = low.images.products[node]
        first, *self.rest = self.sizes.places
        self.strip = self.sizes.strip
        self.strips = first // self.strip
        self.height = self.strip * math.prod(self.rest)
        # whether the same element of many patches lies side by side, rather than one patch
        self.across = self.sizes.channels < FEW

    def lies(self, buffer: Buffer) -> bool:
        """Whether memory holds images so that the channels of places are rows of a matrix."""
        return buffer.order == image_order(len(self.sizes.places), len(buffer.shape))

    # --- places --------------------------------------------------------------------------

    def by_strips(self, body: Callable[[Expr], list[Statement]]) -> list[Statement]:
        """A body for the first place of every strip."""
        if self.strips == 1:
            return body(const(0))
        counter = self.low.names.new("strip")
        first = times(Var(counter, "int"), const(self.strip))
        return [Loop(counter, const(self.strips), body(first))]

    def element(self, first: Expr, place: Index, offset: Index) -> Index:
        """The place in the image of an offset in the window of a place of a strip."""
        place = (add(first, place[0]), *place[1:])
        return tuple(
            add(times(const(s), p), o)
            for s, p, o in zip(self.sizes.strides, place, offset, strict=True)
        )

    def outer(self, images: Expr, row: int | None, text: str, body: Body) -> None:
        """A loop over the images around a body."""
        counters, index = self.low._counters([images], row)
        self.low._statements.append(Loop(counters[0], images, body(index), text))

    # --- matrices ------------------------------------------------------------------------

    def kernel(self, node: Node, filters_last: bool) -> Matrix:
        """The kernel as a matrix, once for every thread: (patch, filters), or its transpose."""
        low, sizes = self.low, self.sizes
        shape = (*sizes.window, sizes.channels)
        matrix = _work(
            low, "kernel",
            *((sizes.depth, sizes.filters) if filters_last else (sizes.filters, sizes.depth)),
        )  # fmt: skip

        def store(index: Index) -> list[Statement]:
            o, w = (index[-1], index[:-1]) if filters_last else (index[0], index[1:])
            entry = (_flat(shape, w), o) if filters_last else (o, _flat(shape, w))
            return [Store(matrix, entry, low.value(node, (o, w[-1], *w[:-1])))]

        extents = (*shape, sizes.filters) if filters_last else (sizes.filters, *shape)
        target = low._statements if low.prologue is None else low.prologue
        target += _loops(low, extents, store, lane=True)
        return Matrix(matrix)

    def patches(self, x: Node, n: Expr, first: Expr, buffer: Buffer) -> list[Statement]:
        """The patches of a strip, laid out one below the other, or side by side."""
        low, sizes = self.low, self.sizes
        places = (self.strip, *self.rest)
        inner = (*sizes.window, sizes.channels)
        count = len(places)

        def store(index: Index) -> list[Statement]:
            if self.across:
                c, w, p = index[0], index[1 : 1 + count], index[1 + count :]
            else:
                p, w, c = index[:count], index[count:-1], index[-1]
            at = (_flat(places, p), _flat(inner, (*w, c)))
            value = low.value(x, (n, c, *self.element(first, p, w)))
            return [Store(buffer, at[::-1] if self.across else at, value)]

        extents = (sizes.channels, *sizes.window, *places) if self.across else (*places, *inner)
        return _loops(low, extents, store, lane=True)

    def patch_buffer(self, across: bool) -> Buffer:
        shape = (self.height, self.sizes.depth)
        return _work(self.low, "patches", *(shape[::-1] if across else shape))

    def image(self, node: Node, n: Expr, first: Expr) -> tuple[Matrix, list[Statement]]:
        """The channels of the places of a strip as a matrix, copied where memory has another."""
        low = self.low
        buffer = low.buffers.get(node)
        if buffer is not None and self.lies(buffer):
            return Matrix(buffer, lead=(n, first)), []
        copy = _work(low, "places", self.height, self.sizes.filters)
        places = (self.strip, *self.rest)

        def store(index: Index) -> list[Statement]:
            *p, o = index
            at = (add(first, p[0]), *p[1:])
            return [Store(copy, (_flat(places, tuple(p)), o), low.value(node, (n, o, *at)))]

        return Matrix(copy), _loops(low, (*places, self.sizes.filters), store, lane=True)


def _product(
    c: Matrix, a: Matrix, b: Matrix, extents: tuple[int, int, int], accumulate: bool, text: str
) -> Gemm:
    m, n, k = map(const, extents)
    return Gemm(c, a, b, m, n, k, accumulate, text)


def _convolve(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    x, kernel = node.inputs
    own = _Convolution(low, node)
    weights = own.kernel(kernel, filters_last=True)
    patches = own.patch_buffer(own.across)
    filters, depth = own.sizes.filters, own.sizes.depth

    def image(index: Index) -> list[Statement]:
        def strip(first: Expr) -> list[Statement]:
            direct = own.lies(buffer)
            target = Matrix(buffer, lead=(index[0], first)) if direct else None
            result = target or Matrix(_work(low, "places", own.height, filters))
            left = Matrix(patches, transposed=own.across)
            body = own.patches(x, index[0], first, patches)
            body.append(_product(result, left, weights, (own.height, filters, depth), False, text))
            return body if direct else [*body, *copied(result.buffer, first)]

        def copied(result: Buffer, first: Expr) -> list[Statement]:
            places = (own.strip, *own.rest)

            def store(op: Index) -> list[Statement]:
                o, *p = op
                value = Load(result, (_flat(places, tuple(p)), o))
                return [Store(buffer, (index[0], o, add(first, p[0]), *p[1:]), value)]

            return _loops(low, (filters, *places), store)

        return own.by_strips(strip)

    own.outer(buffer.shape[0], row, text, image)


def _transposed(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    g, kernel = node.inputs
    own = _Convolution(low, node)
    weights = own.kernel(kernel, filters_last=False)
    patches = own.patch_buffer(across=False)
    filters, depth, channels = own.sizes.filters, own.sizes.depth, own.sizes.channels
    spatial = [int(d) for d in node.shape[2:]]
    places = (own.strip, *own.rest)

    def image(index: Index) -> list[Statement]:
        # The first of its loops, over 1, keeps it from being joined to what has no part in it.
        def start(pc: Index) -> list[Statement]:
            return [Store(buffer, (index[0], pc[-1], *pc[:-1]), neutral("add", "real"))]

        def strip(first: Expr) -> list[Statement]:
            left, copy = own.image(g, index[0], first)
            right = Matrix(patches)
            product = _product(right, left, weights, (own.height, depth, filters), False, text)

            def overlap(index_: Index) -> list[Statement]:
                p, w, c = index_[: len(places)], index_[len(places) : -1], index_[-1]
                value = Load(
                    patches, (_flat(places, p), _flat((*own.sizes.window, channels), (*w, c)))
                )
                target = (index[0], c, *own.element(first, p, w))
                return [Update(buffer, target, "add", value)]

            extents = (*places, *own.sizes.window, channels)
            return [*copy, product, *_loops(low, extents, overlap, lane=True)]

        zero = _loops(low, (1, *spatial, channels), lambda i: start(i[1:]), lane=True)
        return [*zero, *own.by_strips(strip)]

    own.outer(buffer.shape[0], row, text, image)


def _kernel(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """Patches times what comes back, added up over the images in the memory of the result."""
    x, g = node.inputs
    own = _Convolution(low, node)
    patches = own.patch_buffer(own.across)
    filters, depth = own.sizes.filters, own.sizes.depth
    reduces = node in low.plan.reduces
    direct = reduces and buffer.order is not None
    sums = buffer if direct else _work(low, "sums", depth, filters)

    if not direct:

        def start(index: Index) -> list[Statement]:
            return [Store(sums, index, neutral("add", "real"))]

        low._statements += _loops(low, (depth, filters), start, lane=True)

    def image(index: Index) -> list[Statement]:
        def strip(first: Expr) -> list[Statement]:
            right, copy = own.image(g, index[0], first)
            left = Matrix(patches, transposed=not own.across)
            product = _product(Matrix(sums), left, right, (depth, filters, own.height), True, text)
            return [*copy, *own.patches(x, index[0], first, patches), product]

        return own.by_strips(strip)

    own.outer(low.sizes.expression(x.shape[0]), 0 if reduces else None, text, image)
    if not direct:
        shape = (*own.sizes.window, own.sizes.channels)

        def store(index: Index) -> list[Statement]:
            o, c, *w = index
            value = Load(sums, (_flat(shape, (*w, c)), o))
            return [Store(buffer, index, value, text)]

        low._statements += _loops(low, (filters, own.sizes.channels, *own.sizes.window), store)


PRODUCTS: dict[str, Callable[[Lowering, Node, Buffer, int | None, str], None]] = {
    "convolve": _convolve,
    "convolve_transposed": _transposed,
    "convolve_kernel": _kernel,
}
"""How convolutions are computed as products."""
