"""Images in memory: the channels behind the places, and loops over them innermost."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .ir_walk import loads, map_statement, rewritten_targets, statements
from .layout import touched
from .loop_ir import (
    LANE,
    ROW,
    Buffer,
    Const,
    Expr,
    Gemm,
    Load,
    Loop,
    Phase,
    Statement,
    Store,
    Update,
    Var,
)
from .names import Names

Index = tuple[Expr, ...]

FEW = 4
"""Channels below which a loop over them is no vector."""


def _image(body: list[Statement]) -> tuple[Buffer, Index] | None:
    """What a body writes or else reads whose memory has an order of its own."""
    inner = list(statements(body))
    for s in inner:
        if isinstance(s, (Store, Update)) and s.buffer.order is not None:
            return s.buffer, s.index
    for s in inner:
        for load in loads(s):
            if load.buffer.order is not None:
                return load.buffer, load.index
    return None


def in_memory_order(axes: list[int], counters: Sequence[str], body: list[Statement]) -> list[int]:
    """The axes of a nest of loops in the order in which memory holds what the body writes."""
    found = _image(body)
    if found is None:
        return axes
    buffer, index = found
    assert buffer.order is not None
    place = {
        i.name: position
        for position, axis in enumerate(buffer.order)
        if isinstance(i := index[axis], Var)
    }
    place[ROW] = -1
    return sorted(axes, key=lambda a: place.get(counters[a], len(place)))


def lanes(nest: Statement, names: Names) -> Statement:
    """Mark the loop over channels that is to become vectors: it is not unrolled."""
    found = _image([nest])
    if found is None:
        return nest
    buffer, index = found
    assert buffer.order is not None
    channel = index[1] if buffer.order[-1] != 0 else index[0]
    if not isinstance(channel, Var):
        return nest
    return _marked(nest, channel.name, names)


def _marked(s: Statement, counter: str, names: Names) -> Statement:
    if not isinstance(s, Loop):
        return s
    if s.counter != counter:
        body = [_marked(i, counter, names) for i in s.body]
        return Loop(s.counter, s.extent, body, s.formula)
    if not isinstance(s.extent, Const) or s.extent.value < FEW:
        return s
    lane = Var(names.new(LANE), "int")
    old = Var(counter, "int")
    body = [map_statement(i, lambda e: lane if e == old else None) for i in s.body]
    return Loop(lane.name, s.extent, body, s.formula)


def arrange(phases: list[Phase]) -> None:
    """Give buffers the order of axes that they are to have, and every index with them.

    Parts of buffers that are operands of products name them in the order of memory already.
    """
    names = ("prologue", "before", "body", "after")
    buffers = (b for p in phases for name in names for b in touched(statements(getattr(p, name))))
    orders = {b: b.order for b in buffers if b.order is not None}
    if not orders:
        return

    def place(buffer: Buffer, index: Index) -> tuple[Buffer, Index]:
        order = orders.get(buffer)
        return buffer, index if order is None else tuple(index[a] for a in order)

    def read(e: Expr) -> Expr | None:
        return Load(*place(e.buffer, e.index)) if isinstance(e, Load) else None

    _set_apart(phases)
    for phase in phases:
        for name in names:
            body = [map_statement(s, read) for s in getattr(phase, name)]
            setattr(phase, name, _moved(body, place))
    for buffer, order in orders.items():
        buffer.shape = [buffer.shape[a] for a in order]
        if buffer.row_axis is not None:
            buffer.row_axis = order.index(buffer.row_axis)
        buffer.order = None


def _set_apart(phases: list[Phase]) -> None:
    """Work memory that loops over channels touch is apart from the rest."""
    for s in (s for p in phases for s in statements(p.body)):
        if not isinstance(s, Loop) or not s.counter.startswith(LANE):
            continue
        for buffer in touched(statements(s.body)):
            buffer.alone |= buffer.space == "private" and bool(buffer.shape)


def _moved(
    body: list[Statement], place: Callable[[Buffer, Index], tuple[Buffer, Index]]
) -> list[Statement]:
    """A copy of a body whose targets are elsewhere; products stay."""
    result: list[Statement] = []
    for s in body:
        if isinstance(s, Loop):
            s = Loop(s.counter, s.extent, _moved(s.body, place), s.formula)
        elif not isinstance(s, Gemm):
            (s,) = rewritten_targets([s], place)
        result.append(s)
    return result
