"""Convolutions and sliding windows on a device: a sum for each element, none is added to by two.

Where the processor adds what one place contributes to many, a device asks for each place what
contributes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sympy as sp

from symdiff.graph import Node

from ..loop_ir import (
    Buffer,
    Call,
    Const,
    Expr,
    Load,
    Statement,
    Store,
    Update,
    const,
    nested,
    plus,
    times,
)

if TYPE_CHECKING:
    from ..lower import Lowering

Index = tuple[Expr, ...]
ZERO = Const(sp.S.Zero, "real")


def _int(operation: str, a: Expr, b: Expr) -> Expr:
    return Call(operation, (a, b), "int")


def _sum(
    low: Lowering,
    buffer: Buffer,
    text: str,
    extents: Sequence[Expr],
    term: Callable[[Index, Index], Expr],
) -> None:
    """Every element as a sum over extents of ``term(index of the element, index of the sum)``."""
    total = Buffer(low.names.new("total"), [], "real", "scalar")
    low.extra.append(total)
    counters, index = low._counters(buffer.shape)
    inner, place = low._counters(extents)
    body: list[Statement] = [
        Store(total, (), ZERO),
        nested(inner, extents, [Update(total, (), "add", term(index, place))], ""),
        Store(buffer, index, Load(total, ()), text),
    ]
    low._emit_or_extend(counters, buffer.shape, body, text, None)


def _convolve(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    x, kernel = node.inputs
    (strides,) = node.attributes
    extents = [low.sizes.expression(d) for d in kernel.shape[1:]]

    def term(index: Index, place: Index) -> Expr:
        n, o, *p = index
        c, *w = place
        at = [plus(times(const(s), i), j) for s, i, j in zip(strides, p, w, strict=True)]
        return Call("multiply", (low.value(x, (n, c, *at)), low.value(kernel, (o, c, *w))), "real")

    _sum(low, buffer, text, extents, term)


def _source(place: Expr, offset: Expr, stride: int, count: Expr) -> tuple[Expr, list[Expr]]:
    """The window whose element with an offset is a place, and the conditions that there is one."""
    distance = _int("subtract", place, offset)
    conditions: list[Expr] = [Call("less_equal", (offset, place), "bool")]
    source = distance
    if stride != 1:
        source = _int("floor_divide", distance, const(stride))
        exact = Call("equal", (_int("modulo", distance, const(stride)), const(0)), "bool")
        conditions.append(exact)
    conditions.append(Call("less", (source, count), "bool"))
    return source, conditions


def _gathered(
    strides: Sequence[int],
    counts: Sequence[Expr],
    places: Sequence[Expr],
    offsets: Sequence[Expr],
    value: Callable[[Index], Expr],
) -> Expr:
    """What the windows that hold a place contribute with given offsets; 0 where there is none."""
    sources: list[Expr] = []
    conditions: list[Expr] = []
    for each in zip(places, offsets, strides, counts, strict=True):
        source, needed = _source(*each)
        sources.append(source)
        conditions += needed
    inside = Call("logical_and", tuple(conditions), "bool")
    return Call("where", (inside, value(tuple(sources)), ZERO), "real")


def _transposed(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    g, kernel = node.inputs
    strides, _ = node.attributes
    counts = [low.sizes.expression(d) for d in g.shape[2:]]
    windows = [low.sizes.expression(d) for d in kernel.shape[2:]]
    extents = [low.sizes.expression(g.shape[1]), *windows]

    def term(index: Index, place: Index) -> Expr:
        n, c, *p = index
        o, *w = place

        def value(source: Index) -> Expr:
            factors = (low.value(g, (n, o, *source)), low.value(kernel, (o, c, *w)))
            return Call("multiply", factors, "real")

        return _gathered(strides, counts, p, w, value)

    _sum(low, buffer, text, extents, term)


def _kernel(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    x, g = node.inputs
    strides, _ = node.attributes
    extents = [low.sizes.expression(d) for d in (g.shape[0], *g.shape[2:])]

    def term(index: Index, place: Index) -> Expr:
        o, c, *w = index
        n, *p = place
        at = [plus(times(const(s), i), j) for s, i, j in zip(strides, p, w, strict=True)]
        return Call("multiply", (low.value(x, (n, c, *at)), low.value(g, (n, o, *p))), "real")

    _sum(low, buffer, text, extents, term)


def _overlap_add(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (g,) = node.inputs
    strides, _ = node.attributes
    axes = len(strides)
    lead = node.rank - axes
    counts = [low.sizes.expression(d) for d in g.shape[lead : lead + axes]]
    windows = [low.sizes.expression(d) for d in g.shape[lead + axes :]]

    def term(index: Index, place: Index) -> Expr:
        def value(source: Index) -> Expr:
            return low.value(g, (*index[:lead], *source, *place))

        return _gathered(strides, counts, index[lead:], place, value)

    _sum(low, buffer, text, windows, term)


DEVICE_NESTS: dict[str, Callable[[Lowering, Node, Buffer, int | None, str], None]] = {
    "convolve": _convolve,
    "convolve_transposed": _transposed,
    "convolve_kernel": _kernel,
    "overlap_add": _overlap_add,
}
"""Operations that have other loops on a device: a part of THE lowering table."""
