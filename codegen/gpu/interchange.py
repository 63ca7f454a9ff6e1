"""Sums over many rows for each of some columns, as loops over the rows.

``X.T @ r`` is a sum over the rows for each column; what makes ``r`` is a loop over the rows that
has read ``X`` already. With the rows outside, both are one loop, and large data are read once in a
step. Such a sum then has a place for each column, of which every team has one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..ir_walk import loads, map_statement, statements
from ..loop_ir import Buffer, Const, Expr, Load, Loop, Statement, Store, Update, Var, nested
from ..names import Names
from ..passes.fuse import Summary, fusable, join
from .control import GRID_WARPS
from .fuse import MANY
from .nests import SUMS, Sizes, chain

MEMORY = 8 * 1024
"""Bytes of a block for such sums, with one set of them for each of its warps: of 48 KiB, products
by tiles take up to 36,"""

NUMBER = 8
"""of numbers of so many bytes."""

WIDTH = 8
"""Columns that are worth the threads of a warp."""


@dataclass
class _Sums:
    """``total = start; for row: total op= value; then what is done with the total``."""

    columns: list[Loop]
    total: Buffer
    start: Store
    rows: Loop
    update: Update
    rest: list[Statement]


def _sums(s: Statement, sizes: Sizes) -> _Sums | None:
    """A statement taken apart, where it is one sum over many rows for each of some columns."""
    if not isinstance(s, Loop):
        return None
    columns = chain(s)
    body = columns[-1].body
    if len(body) < 3 or any(not isinstance(c.extent, Const) for c in columns):
        return None
    start, rows, *rest = body
    if not isinstance(start, Store) or not isinstance(rows, Loop) or len(rows.body) != 1:
        return None
    (update,) = rows.body
    alone = isinstance(update, Update) and update.buffer is start.buffer
    if not alone or not isinstance(update, Update) or update.operation not in SUMS:
        return None
    if start.buffer.space != "scalar" or any(isinstance(r, Loop) for r in rest):
        return None
    if sizes.extent(rows.extent) < MANY:
        return None
    return _Sums(columns, start.buffer, start, rows, update, rest)


def interchange(
    body: list[Statement], sizes: Sizes, names: Names, buffers: list[Buffer]
) -> list[Statement]:
    """Let loops over many rows take in the sums over them.

    Parameters
    ----------
    body : list of Statement
    sizes : Sizes
    names : Names
    buffers : list of Buffer
        Takes the buffers that are made.
    """
    result = list(body)
    left = MEMORY // (NUMBER * GRID_WARPS)
    for s in body:
        found = _sums(s, sizes)
        if found is None:
            continue
        width = sizes.product([c.extent for c in found.columns])
        place = _host(s, found, result) if WIDTH <= width <= left else None
        if place is None:
            continue
        host = result[place]
        assert isinstance(host, Loop)
        left -= width
        before, inside, after = _by_rows(found, names, buffers)
        position = next(i for i, other in enumerate(result) if other is s)
        result[position] = after
        result[place] = join(host, inside)
        result.insert(place, before)
    return result


def _by_rows(s: _Sums, names: Names, buffers: list[Buffer]) -> tuple[Statement, Loop, Statement]:
    """The start of the sums, the loop over the rows, and what is done with the sums."""
    extents = [c.extent for c in s.columns]
    sums = Buffer(names.new(f"sums_{s.total.name}"), extents, s.total.dtype, "team")
    buffers.append(sums)
    counters = [c.counter for c in s.columns]

    def fresh(parts: list[Statement]) -> Statement:
        new = {c: names.new(c) for c in counters}

        def rename(e: Expr) -> Expr | None:
            return Var(new[e.name], "int") if isinstance(e, Var) and e.name in new else None

        renamed = [map_statement(p, rename) for p in parts]
        return nested([new[c] for c in counters], extents, renamed, s.columns[0].formula)

    index: tuple[Expr, ...] = tuple(Var(c, "int") for c in counters)
    before = fresh([Store(sums, index, s.start.value)])
    add = Update(sums, index, s.update.operation, s.update.value, s.update.formula)
    inside = Loop(s.rows.counter, s.rows.extent, [fresh([add])], s.rows.formula)

    def total(e: Expr) -> Expr | None:
        known = isinstance(e, Load) and e.buffer is s.total
        return Load(sums, index) if known else None

    after = nested(
        counters, extents, [map_statement(r, total) for r in s.rest], s.columns[0].formula
    )
    return before, inside, after


def _host(s: Statement, found: _Sums, body: list[Statement]) -> int | None:
    """The loop over the same rows that makes what the sums need, if nothing is in the way."""
    position = next(i for i, other in enumerate(body) if other is s)
    rows = Loop(found.rows.counter, found.rows.extent, [found.update])
    summary = Summary(rows)
    summary.written.pop(found.total, None)
    whole = Summary(s)
    read = {load.buffer for i in statements([s]) for load in loads(i)}
    for place in range(position - 1, -1, -1):
        other = body[place]
        its = Summary(other)
        makes = isinstance(other, Loop) and any(w and b in read for b, w in its.written.items())
        if makes and isinstance(other, Loop) and fusable(other, rows, its, summary):
            return place
        if not whole.independent(its):
            return None
    return None
