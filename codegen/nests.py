"""Nests: the loops of structural operations that are computed into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sympy as sp

from symdiff.graph import Node

from .elements import key_index
from .loop_ir import (
    Buffer,
    Call,
    Const,
    Expr,
    Let,
    Load,
    Loop,
    Statement,
    Store,
    Update,
    Var,
    const,
    nested,
    neutral,
)
from .matrices import MATRIX_NESTS
from .passes.unroll import WINDOW
from .rows import row_axis
from .windows import WINDOW_NESTS

if TYPE_CHECKING:
    from .lower import Lowering

Index = tuple[Expr, ...]


def _accumulate_rows(
    low: Lowering,
    buffer: Buffer,
    operation: str,
    row: str,
    inner: Sequence[tuple[str, Expr]],
    target: Index,
    value: Expr,
    text: str,
) -> None:
    """Add what each row contributes to the partial result of the chunk."""
    update = Update(buffer, target, operation, value, text)
    counters = [row, *(c for c, _ in inner)]
    shape = [low.sizes.expression(low.rows), *(e for _, e in inner)]
    low._emit(counters, shape, [update], text, 0)


def _reduce(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    operation = {"sum": "add", "max": "maximum", "min": "minimum"}[node.operation]
    (x,) = node.inputs
    axes, keepdims = node.attributes
    shape = [low.sizes.expression(d) for d in x.shape]
    own = row_axis(x, low.rows) if node in low.plan.local else None
    counters, index = low._counters(shape, own)
    kept: Index = tuple(
        const(0) if a in axes else i for a, i in enumerate(index) if keepdims or a not in axes
    )
    value = low.value(x, index)
    if node.dtype == "int" and value.dtype == "bool":
        value = Call("to_int", (value,), "int")
    if node in low.plan.reduces:
        assert own is not None
        inner = [(counters[a], shape[a]) for a in range(x.rank) if a != own]
        _accumulate_rows(low, buffer, operation, "row", inner, kept, value, text)
        return
    if _over_images(low, x, axes, shape):
        start: list[Statement] = [Store(buffer, kept, neutral(operation, node.dtype))]
        outer = [a for a in range(x.rank) if a not in axes]
        position = None if own is None else outer.index(own)
        low._emit([counters[a] for a in outer], [shape[a] for a in outer], start, "", position)
        low._emit(counters, shape, [Update(buffer, kept, operation, value, text)], text, own)
        return
    total = Buffer(low.names.new("total"), [], node.dtype, "scalar")
    low.extra.append(total)
    reduced = [a for a in range(x.rank) if a in axes]
    outer = [a for a in range(x.rank) if a not in axes]
    inside: list[Statement] = [
        nested(
            [counters[a] for a in reduced],
            [shape[a] for a in reduced],
            [Update(total, (), operation, value)],
            "",
        )
    ]
    body: list[Statement] = [
        Store(total, (), neutral(operation, node.dtype)),
        *inside,
        Store(buffer, kept, Load(total, ()), text),
    ]
    position = None if own is None else outer.index(own)
    low._emit_or_extend(
        [counters[a] for a in outer], [shape[a] for a in outer], body, text, position
    )


def _over_images(low: Lowering, x: Node, axes: Sequence[int], shape: Sequence[Expr]) -> bool:
    """Whether many places of an image are reduced: the channels stay inside, as vectors."""
    if low.images.orders.get(x) is None or {0, 1} & set(axes):
        return False
    extents = [shape[a] for a in axes]
    return math.prod(e.value if isinstance(e, Const) else WINDOW + 1 for e in extents) > WINDOW


def _prod(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (x,) = node.inputs
    axes, keepdims = node.attributes
    shape, own, counters, index = _operand(low, node)
    kept: Index = tuple(
        const(0) if a in axes else i for a, i in enumerate(index) if keepdims or a not in axes
    )
    total = _running(low, "total", node.dtype)
    step = _times_element(low, total, x, index)
    reduced = [a for a in range(x.rank) if a in axes]
    body: list[Statement] = [
        Store(total, (), Const(sp.S.One, node.dtype)),
        nested([counters[a] for a in reduced], [shape[a] for a in reduced], [step], ""),
        Store(buffer, kept, Load(total, ()), text),
    ]
    _around(low, node, axes, own, counters, shape, body, text)


def _operand(low: Lowering, node: Node) -> tuple[list[Expr], int | None, list[str], Index]:
    """The shape of the only operand, its row axis, and counters for its axes."""
    (x,) = node.inputs
    shape = [low.sizes.expression(d) for d in x.shape]
    own = row_axis(x, low.rows) if node in low.plan.local else None
    return shape, own, *low._counters(shape, own)


def _running(low: Lowering, wish: str, dtype: str) -> Buffer:
    """A variable that loops update."""
    buffer = Buffer(low.names.new(wish), [], dtype, "scalar")
    low.extra.append(buffer)
    return buffer


def _times_element(low: Lowering, total: Buffer, x: Node, index: Index) -> Statement:
    value = low.value(x, index)
    if total.dtype == "int" and value.dtype == "bool":
        value = Call("to_int", (value,), "int")
    return Store(total, (), Call("multiply", (Load(total, ()), value), total.dtype))


def _around(
    low: Lowering,
    node: Node,
    axes: Sequence[int],
    own: int | None,
    counters: Sequence[str],
    shape: Sequence[Expr],
    body: list[Statement],
    text: str,
) -> None:
    """Loops over the axes of the operand that ``body`` does not run over itself."""
    outer = [a for a in range(node.inputs[0].rank) if a not in axes]
    position = None if own is None else outer.index(own)
    low._emit_or_extend(
        [counters[a] for a in outer], [shape[a] for a in outer], body, text, position
    )


def _prod_others(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """The products before each element from the front, times those behind it from the back."""
    (x,) = node.inputs
    (axis,) = node.attributes
    shape, own, counters, index = _operand(low, node)
    total = _running(low, "total", node.dtype)
    one = Store(total, (), Const(sp.S.One, node.dtype))
    last = Call("subtract", (shape[axis], const(1)), "int")
    k = low.names.new("k")
    back: Expr = Call("subtract", (last, Var(k, "int")), "int")
    behind = (*index[:axis], back, *index[axis + 1 :])
    product_ = Call("multiply", (Load(buffer, behind), Load(total, ())), node.dtype)
    body: list[Statement] = [
        one,
        Loop(
            counters[axis],
            shape[axis],
            [Store(buffer, index, Load(total, ())), _times_element(low, total, x, index)],
        ),
        one,
        Loop(k, shape[axis], [Store(buffer, behind, product_, text),
                              _times_element(low, total, x, behind)]),
    ]  # fmt: skip
    _around(low, node, (axis,), own, counters, shape, body, text)


def _cumsum(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (x,) = node.inputs
    (axis,) = node.attributes
    shape, own, counters, index = _operand(low, node)
    total = _running(low, "total", node.dtype)
    value = low.value(x, index)
    if node.dtype == "int" and value.dtype == "bool":
        value = Call("to_int", (value,), "int")
    body: list[Statement] = [
        Store(total, (), neutral("add", node.dtype)),
        Loop(
            counters[axis],
            shape[axis],
            [
                Update(total, (), "add", value),
                Store(buffer, index, Load(total, ()), text),
            ],
        ),
    ]
    _around(low, node, (axis,), own, counters, shape, body, text)


def _arg(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (x,) = node.inputs
    (axis,), keepdims = node.attributes
    shape = [low.sizes.expression(d) for d in x.shape]
    own = row_axis(x, low.rows) if node in low.plan.local else None
    counters, index = low._counters(shape, own)
    kept: Index = tuple(
        const(0) if a == axis else i for a, i in enumerate(index) if keepdims or a != axis
    )
    best = Buffer(low.names.new("best"), [], x.dtype, "scalar")
    place = Buffer(low.names.new("place"), [], "int", "scalar")
    low.extra += [best, place]
    value = low.value(x, index)
    candidate = Var(low.names.new("candidate"), x.dtype)
    better = Call("better_max" if node.operation == "argmax" else "better_min",
                  (candidate, Load(best, ())), "bool")  # fmt: skip
    first = tuple(const(0) if a == axis else i for a, i in enumerate(index))
    body: list[Statement] = [
        Store(best, (), low.value(x, first)),
        Store(place, (), const(0)),
        Loop(
            counters[axis],
            shape[axis],
            [
                Let(candidate.name, value),
                Store(place, (), Call("where", (better, index[axis], Load(place, ())), "int")),
                Store(best, (), Call("where", (better, candidate, Load(best, ())), x.dtype)),
            ],
        ),
        Store(buffer, kept, Load(place, ()), text),
    ]
    outer = [a for a in range(x.rank) if a != axis]
    position = None if own is None else outer.index(own)
    low._emit_or_extend(
        [counters[a] for a in outer], [shape[a] for a in outer], body, text, position
    )


def _matmul(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """Loops over batch axes, rows, columns and the contracted axis."""
    a, b = node.inputs
    reduces = node in low.plan.reduces
    free = sum(1 for o in (a, b) if o.rank > 1)
    batch = node.rank - free
    k_size = low.sizes.expression(a.shape[-1])
    counters, index = low._counters(buffer.shape, row)
    k = "row" if reduces else low.names.new("k")
    at = Var(k, "int")

    def operand(x: Node, free_index: tuple[Expr, ...], first: bool) -> Expr:
        if x.rank == 1:
            return low.value(x, (at,))
        lead = x.rank - 2
        head = tuple(
            const(0) if x.shape[i] == 1 and node.shape[batch - lead + i] != 1
            else index[batch - lead + i]
            for i in range(lead)
        )  # fmt: skip
        return low.value(x, (*head, *free_index, at) if first else (*head, at, *free_index))

    left = operand(a, (index[batch],) if a.rank > 1 else (), True)
    right = operand(b, (index[-1],) if b.rank > 1 else (), False)
    value = Call("multiply", (left, right), node.dtype)
    if reduces:
        inner = list(zip(counters, buffer.shape, strict=True))
        _accumulate_rows(low, buffer, "add", "row", inner, index, value, text)
        return
    columns = buffer.shape[-1] if b.rank > 1 and node.rank else None
    if (
        columns is not None
        and not _is_transposed(b)
        and not _small(columns)
        and row != node.rank - 1
        and not low.device
    ):
        # columns innermost: memory is read in order
        body: list[Statement] = [
            Loop(counters[-1], columns, [Store(buffer, index, neutral("add", node.dtype))]),
            Loop(k, k_size, [Loop(counters[-1], columns, [Update(buffer, index, "add", value)])]),
        ]
        low._emit_or_extend(counters[:-1], buffer.shape[:-1], body, text, row)
        return
    total = Buffer(low.names.new("total"), [], node.dtype, "scalar")
    low.extra.append(total)
    body = [
        Store(total, (), neutral("add", node.dtype)),
        Loop(k, k_size, [Update(total, (), "add", value)]),
        Store(buffer, index, Load(total, ()), text),
    ]
    low._emit_or_extend(counters, buffer.shape, body, text, row)


def _is_transposed(node: Node) -> bool:
    return node.operation == "transpose"


def _small(extent: Expr) -> bool:
    return isinstance(extent, Const) and extent.value < 8


def _scatter(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    values = node.inputs[0]
    shape = [low.sizes.expression(d) for d in values.shape]
    own = row_axis(values, low.rows) if node in low.plan.local else None
    counters, index = low._counters(shape, own)
    target = key_index(low, node, index, node)
    update = Update(buffer, target, "add", low.value(values, index), text)
    if node not in low.plan.reduces:
        zero_counters, zero_index = low._counters(buffer.shape, row)
        zero: list[Statement] = [Store(buffer, zero_index, neutral("add", node.dtype))]
        low._emit_or_extend(zero_counters, buffer.shape, zero, "", row)
    low._emit_or_extend(counters, shape, [update], text, own)


NESTS: dict[str, Callable[[Lowering, Node, Buffer, int | None, str], None]] = {
    "sum": _reduce,
    "max": _reduce,
    "min": _reduce,
    "prod": _prod,
    "prod_others": _prod_others,
    "cumsum": _cumsum,
    "argmax": _arg,
    "argmin": _arg,
    "matmul": _matmul,
    "index_add": _scatter,
    **MATRIX_NESTS,
    **WINDOW_NESTS,
}
"""Structural operations that are computed into memory by loops of their own."""
