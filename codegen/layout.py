"""Layout: which argument of the kernel holds each buffer, and at which offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .ir_walk import loads, statements
from .loop_ir import (
    Block,
    Buffer,
    Call,
    Const,
    Expr,
    Gemm,
    Lanes,
    Loop,
    Phase,
    Routine,
    Spread,
    Statement,
    Store,
    Update,
    Var,
    const,
    count,
    plus,
    times,
)

TILE = 64
"""Rows of a private buffer that keeps its row axis."""

LINE = 16
"""Elements of a cache line."""

POOLS = ("shared", "partial", "private", "constant")
"""Spaces whose buffers are parts of one flat array for each dtype."""

ARRAY_NAMES = {
    ("shared", "real"): "shared", ("shared", "int"): "shared_int",
    ("partial", "real"): "partials", ("partial", "int"): "partials_int",
    ("private", "real"): "private", ("private", "int"): "private_int",
    ("constant", "real"): "constants", ("constant", "int"): "constants_int",
}  # fmt: skip


@dataclass
class Pool:
    """One flat array: its dtype, and the number of elements of one copy."""

    name: str
    space: str
    dtype: str
    size: Expr = field(default_factory=lambda: const(0))


def memory_dtype(dtype: str) -> str:
    """Conditions are kept in memory as integers."""
    return "real" if dtype == "real" else "int"


def used_buffers(phase: Phase) -> list[Buffer]:
    """The buffers that a phase touches, in order of appearance."""
    found = dict.fromkeys(touched(statements(whole_body(phase))))
    return list(found | dict.fromkeys(r.buffer for r in phase.resident))


def seen_buffers(part: Phase | Block) -> list[Buffer]:
    """The buffers that a phase or a block touches itself, not in a block inside."""
    return touched(_own(whole_body(part) if isinstance(part, Phase) else part.body))


def whole_body(phase: Phase) -> list[Statement]:
    """All that a phase runs, in order."""
    return [*phase.prologue, *phase.before, *phase.body, *phase.after]


def _own(body: Iterable[Statement]) -> Iterator[Statement]:
    for s in body:
        yield s
        if isinstance(s, (Loop, Spread, Lanes)):
            yield from _own(s.body)


def touched(body: Iterable[Statement]) -> list[Buffer]:
    """The buffers of statements that lie in memory."""
    found: dict[Buffer, None] = {}
    for s in body:
        for load in loads(s):
            found.setdefault(load.buffer)
        if isinstance(s, (Store, Update)):
            found.setdefault(s.buffer)
        elif isinstance(s, Routine):
            found.update(dict.fromkeys(s.buffers))
        elif isinstance(s, Gemm):
            for matrix in (s.a, s.b, s.c):
                found.setdefault(matrix.buffer)
    return [b for b in found if b.space not in ("scalar", "gone", "team")]


def layout(phases: Iterable[Phase], flat: Mapping[str, str]) -> dict[str, Pool]:
    """Give every buffer its array and offset; returns the flat arrays that are needed.

    ``flat`` names the array of spaces whose buffers have a slot in an array that exists
    (parameters, gradient, state).
    """
    pools: dict[str, Pool] = {}
    done: set[Buffer] = set()
    members: dict[str, list[Buffer]] = {}
    for phase in phases:
        buffers = used_buffers(phase)
        for buffer in buffers:
            if buffer.space == "private" and phase.kind not in ("rows", "shared"):
                buffer.space = "shared"
            if buffer.space == "private" and buffer.row_axis is not None:
                if phase.tile != TILE:
                    phase.note(f"tiles of {TILE} rows", "what goes from loop to loop is in cache")
                phase.tile = TILE
                buffer.shape = [
                    const(TILE) if axis == buffer.row_axis else extent
                    for axis, extent in enumerate(buffer.shape)
                ]
        for buffer in buffers:
            if buffer in done:
                continue
            done.add(buffer)
            if buffer.array:
                continue
            if buffer.slot is not None:
                buffer.array, buffer.offset = flat[buffer.space], const(buffer.slot)
            elif buffer.space in POOLS:
                dtype = memory_dtype(buffer.dtype)
                name = ARRAY_NAMES[buffer.space, dtype]
                if buffer.alone and buffer.space in ("private", "shared"):
                    name = f"_{buffer.name}"  # no identifier of a user's starts with it
                pools.setdefault(name, Pool(name, buffer.space, dtype))
                members.setdefault(name, []).append(buffer)
                buffer.array = name
            else:
                buffer.array, buffer.offset = buffer.name, const(0)
    for name, pool in pools.items():
        _place(pool, members[name])
    return pools


def _place(pool: Pool, buffers: list[Buffer]) -> None:
    """Give the buffers of a pool their offsets; all but short ones start with a cache line."""
    short = [b for b in buffers if _is_short(b)]
    unknown: dict[Expr, int] = {}  # multiples of sizes; a sum of terms would get longer and longer
    literal = 0

    def end(literal: int) -> Expr:
        result: Expr = const(0)
        for size, factor in unknown.items():
            result = plus(result, times(_whole_lines(size), const(factor)))
        return plus(result, const(literal))

    for buffer in [*(b for b in buffers if not _is_short(b)), *short]:
        buffer.offset = end(literal)
        size = count(buffer.shape)
        if isinstance(size, Const):
            literal += int(size.value) if _is_short(buffer) else _lines(int(size.value))
            continue
        unknown[size] = unknown.get(size, 0) + 1
    pool.size = end(_lines(literal) if len(buffers) > len(short) else literal)


def _is_short(buffer: Buffer) -> bool:
    size = count(buffer.shape)
    return isinstance(size, Const) and size.value < LINE


def _whole_lines(size: Expr) -> Expr:
    """A size that is not known, rounded up to whole lines."""
    factors = size.arguments if isinstance(size, Call) and size.operation == "multiply" else ()
    if any(isinstance(a, Const) and a.value % LINE == 0 for a in factors):
        return size
    lines = Call("floor_divide", (plus(size, const(LINE - 1)), const(LINE)), "int")
    return times(lines, const(LINE))


def _lines(size: int) -> int:
    return -(-size // LINE) * LINE


def size_value(expression: Expr, values: Mapping[str, int]) -> int:
    """The value of an int expression, given the values of the size variables."""
    match expression:
        case Const():
            return int(expression.value)
        case Var():
            return values[expression.name]
        case Call():
            a, b = (size_value(x, values) for x in expression.arguments)
            operations: dict[str, Any] = {
                "add": a + b, "subtract": a - b, "multiply": a * b,
                "floor_divide": a // b if b else 0,
            }  # fmt: skip
            return int(operations[expression.operation])
    raise AssertionError("sizes are not loaded from memory")
