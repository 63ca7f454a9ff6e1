"""Lowering of convolutions, sliding windows and their adjoints: a part of the lowering table.

A convolution is computed as it is defined, with the last spatial axis innermost: memory is read
in order, and nothing is copied out first. The adjoint in the input adds where the convolution
reads; no test of borders is needed, because padding is an operation of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sympy as sp

from symdiff.graph import Node

from .arrange import lanes
from .loop_ir import (
    LANE,
    Buffer,
    Call,
    Const,
    Expr,
    Load,
    Loop,
    Statement,
    Store,
    Update,
    Var,
    const,
    nested,
    times,
)
from .loop_ir import plus as add

if TYPE_CHECKING:
    from .lower import Lowering

CONVOLUTIONS = ("convolve", "convolve_transposed", "convolve_kernel")


def loops(
    low: Lowering,
    extents: Sequence[Expr],
    body: Callable[[tuple[Expr, ...]], list[Statement]],
    lane: bool = False,
) -> list[Statement]:
    """Nested loops over extents, the last one a vector with ``lane``; the body gets counters."""
    counters = [low.names.new("ijklmpq"[min(i, 6)]) for i in range(len(extents))]
    if lane:
        counters[-1] = low.names.new(LANE)
    result = body(tuple(Var(c, "int") for c in counters))
    for counter, extent in reversed(list(zip(counters, extents, strict=True))):
        result = [Loop(counter, extent, result)]
    return result


def _at(strides: Sequence[int], places: Sequence[Expr], offsets: Sequence[Expr]) -> list[Expr]:
    """Elements of the input: stride times the place of the window, plus the offset in it."""
    return [add(times(const(s), p), o) for s, p, o in zip(strides, places, offsets, strict=True)]


def _zero(buffer: Buffer) -> Const:
    return Const(sp.S.Zero, buffer.dtype)


def _outer(
    low: Lowering,
    sizes: Sequence[Expr],
    row: int | None,
    text: str,
    body: Callable[[tuple[Expr, ...]], list[Statement]],
) -> None:
    """Loops over leading axes, the rows among them, around a body."""
    counters, index = low._counters(sizes, row)
    low._emit_or_extend(counters, sizes, body(index), text, row)


def _convolve(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    x, kernel = node.inputs
    (strides,) = node.attributes
    spatial = buffer.shape[2:]
    inner = [low.sizes.expression(d) for d in kernel.shape[1:]]

    def image(index: tuple[Expr, ...]) -> list[Statement]:
        def start(p: tuple[Expr, ...]) -> list[Statement]:
            return [Store(buffer, (*index, *p), _zero(buffer))]

        def taps(cw: tuple[Expr, ...]) -> list[Statement]:
            c, *w = cw

            def places(p: tuple[Expr, ...]) -> list[Statement]:
                element = low.value(x, (index[0], c, *_at(strides, p, w)))
                weight = low.value(kernel, (index[1], c, *w))
                value = Call("multiply", (element, weight), "real")
                return [Update(buffer, (*index, *p), "add", value, text)]

            return loops(low, spatial, places)

        return [*loops(low, spatial, start), *loops(low, inner, taps)]

    _outer(low, buffer.shape[:2], row, text, image)


def _transposed(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    g, kernel = node.inputs
    strides, _ = node.attributes
    spatial = [low.sizes.expression(d) for d in g.shape[2:]]
    windows = [low.sizes.expression(d) for d in kernel.shape[2:]]
    inner = [low.sizes.expression(g.shape[1]), *windows]

    def image(index: tuple[Expr, ...]) -> list[Statement]:
        def start(p: tuple[Expr, ...]) -> list[Statement]:
            return [Store(buffer, (*index, *p), _zero(buffer))]

        def taps(ow: tuple[Expr, ...]) -> list[Statement]:
            o, *w = ow

            def places(p: tuple[Expr, ...]) -> list[Statement]:
                element = low.value(g, (index[0], o, *p))
                weight = low.value(kernel, (o, index[1], *w))
                value = Call("multiply", (element, weight), "real")
                target = (*index, *_at(strides, p, w))
                return [Update(buffer, target, "add", value, text)]

            return loops(low, spatial, places)

        return [*loops(low, buffer.shape[2:], start), *loops(low, inner, taps)]

    _outer(low, buffer.shape[:2], row, text, image)


def _kernel(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """One number for each entry of the kernel and image, added up over the images."""
    x, g = node.inputs
    strides, _ = node.attributes
    spatial = [low.sizes.expression(d) for d in g.shape[2:]]
    images = low.sizes.expression(x.shape[0])
    reduces = node in low.plan.reduces

    def image(index: tuple[Expr, ...]) -> list[Statement]:
        (n,) = index

        def entry(ocw: tuple[Expr, ...]) -> list[Statement]:
            o, c, *w = ocw
            total = Buffer(low.names.new("total"), [], "real", "scalar")
            low.extra.append(total)

            def places(p: tuple[Expr, ...]) -> list[Statement]:
                element = low.value(x, (n, c, *_at(strides, p, w)))
                value = Call("multiply", (element, low.value(g, (n, o, *p))), "real")
                return [Update(total, (), "add", value)]

            return [
                Store(total, (), _zero(total)),
                *loops(low, spatial, places),
                Update(buffer, ocw, "add", Load(total, ()), text),
            ]

        return loops(low, buffer.shape, entry)

    if not reduces:
        _outer(low, buffer.shape, row, text, lambda ocw: [Store(buffer, ocw, _zero(buffer))])
    _outer(low, [images], 0 if reduces else None, text, image)


def window_element(low: Lowering, node: Node, index: tuple[Expr, ...]) -> Expr:
    """An element of a window is an element of the operand."""
    (x,) = node.inputs
    _, strides = node.attributes
    count = len(strides)
    lead = x.rank - count
    places, offsets = index[lead : lead + count], index[lead + count :]
    return low.value(x, (*index[:lead], *_at(strides, places, offsets)))


def _overlap_images(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """For each window, channels inside; windows that lie side by side write each element once.

    What no window covers is zeroed afterwards: loops over windows can be joined only to what
    stands right before them.
    """
    (g,) = node.inputs
    strides, _ = node.attributes
    count = len(strides)
    lead = node.rank - count
    places, window = g.shape[lead : lead + count], g.shape[lead + count :]
    beside = tuple(window) == tuple(strides)
    if not beside:
        _zero_part(low, buffer, row, [0] * count, buffer.shape[lead:])
    shape = [low.sizes.expression(d) for d in g.shape]
    counters, index = low._counters(shape, row)
    target = (*index[:lead], *_at(strides, index[lead : lead + count], index[lead + count :]))
    value = low.value(g, index)
    body: Statement = (
        Store(buffer, target, value, text) if beside else Update(buffer, target, "add", value, text)
    )
    order = [0, *range(lead, lead + count), *range(1, lead), *range(lead + count, g.rank)]
    nest = nested([counters[a] for a in order], [shape[a] for a in order], [body], text)
    low._statements.append(lanes(nest, low.names))
    if not beside:
        return
    covered = [n * w for n, w in zip(places, window, strict=True)]
    for axis, (size, end) in enumerate(zip(node.shape[lead:], covered, strict=True)):
        if size != end:
            first = [end if a == axis else 0 for a in range(count)]
            extents: list[Expr] = [const(c) for c in covered[:axis]]
            extents += [const(size - end), *buffer.shape[lead + axis + 1 :]]
            _zero_part(low, buffer, row, first, extents)


def _zero_part(
    low: Lowering, buffer: Buffer, row: int | None, first: Sequence[int], extents: Sequence[Expr]
) -> None:
    """Zero a box of every image."""
    lead = len(buffer.shape) - len(first)
    shape = [*buffer.shape[:lead], *extents]
    counters, index = low._counters(shape, row)
    places = [add(const(f), i) for f, i in zip(first, index[lead:], strict=True)]
    store: list[Statement] = [Store(buffer, (*index[:lead], *places), _zero(buffer))]
    order = [0, *range(lead, len(shape)), *range(1, lead)]
    nest = nested([counters[a] for a in order], [shape[a] for a in order], store, "")
    low._statements.append(lanes(nest, low.names))


def _overlap_add(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (g,) = node.inputs
    strides, _ = node.attributes
    if buffer.order is not None:
        _overlap_images(low, node, buffer, row, text)
        return
    lead = node.rank - len(strides)
    inner = [low.sizes.expression(d) for d in g.shape[lead:]]
    count = len(strides)

    def part(index: tuple[Expr, ...]) -> list[Statement]:
        def start(p: tuple[Expr, ...]) -> list[Statement]:
            return [Store(buffer, (*index, *p), _zero(buffer))]

        def places(pw: tuple[Expr, ...]) -> list[Statement]:
            target = (*index, *_at(strides, pw[:count], pw[count:]))
            return [Update(buffer, target, "add", low.value(g, (*index, *pw)), text)]

        return [*loops(low, buffer.shape[lead:], start), *loops(low, inner, places)]

    _outer(low, buffer.shape[:lead], row, text, part)


WINDOW_NESTS: dict[str, Callable[[Lowering, Node, Buffer, int | None, str], None]] = {
    "convolve": _convolve,
    "convolve_transposed": _transposed,
    "convolve_kernel": _kernel,
    "overlap_add": _overlap_add,
}
"""How convolutions and the adjoint of sliding windows are computed."""
