"""Long sums: added up in parts, and the parts in order by the next phase."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir_walk import loads, map_statement, statements
from ..loop_ir import (
    Buffer,
    Expr,
    Lanes,
    Load,
    Loop,
    Spread,
    Statement,
    Store,
    Turns,
    Update,
    Var,
    const,
    neutral,
)
from ..passes.fuse import Summary
from .making import Making
from .nests import SUMS, chain, nest, summed
from .pieces import Piece, joined, meet
from .teams import Teams

SPLIT_ROUNDS = 1 << 14
"""From this many rounds on, a sum is added up in parts,"""

FEW = 8
"""Sums that are fewer have a block for each part; of more each thread adds up a part."""

PART_ROUNDS = {"block": 1024, "warp": 64, "thread": 64}
"""each of so many rounds at least,"""

MOST_PARTS = {"block": 4096, "warp": 4096, "thread": 1024}
"""and of them so many at most: the more there are, the more evenly blocks share them."""


class Parts:
    """Cuts sums into parts."""

    def __init__(self, making: Making, teams: Teams) -> None:
        self._making = making
        self._teams = teams

    # --- sums that each warp has for itself ----------------------------------------------

    def by_rows(self, body: Sequence[Statement]) -> list[Statement]:
        """Loops over rows that add to memory of a team (``interchange``): a part for each warp.

        What the warps have summed goes to memory that all see, and is added up in order.
        """
        starts: dict[Buffer, Store] = {}
        shared: dict[Buffer, tuple[Buffer, str, int]] = {}
        result: list[Statement] = []
        for s in body:
            summary = Summary(s)
            sums = {b: w for b, w in summary.written.items() if b.space == "team"}
            if not sums:
                result.append(s)
            elif isinstance(s, Loop) and not any(sums.values()):
                result.append(self._with_totals(s, shared))
            elif isinstance(s, Loop) and all(summary.sums[b] in SUMS for b in sums):
                result += self._rows_of_warps(s, summary, starts, shared)
            else:
                (start,) = (i for i in statements([s]) if isinstance(i, Store))
                starts[start.buffer] = start
        return result

    def _rows_of_warps(
        self,
        loop: Loop,
        summary: Summary,
        starts: dict[Buffer, Store],
        shared: dict[Buffer, tuple[Buffer, str, int]],
    ) -> list[Statement]:
        wanted = min(
            self._making.sizes.extent(loop.extent) // PART_ROUNDS["warp"], MOST_PARTS["warp"]
        )
        parts = 1 << max(wanted.bit_length() - 1, 0)
        number = self._making.names.new("c")
        mine = Var(number, "int")
        numbers = summed(loop, summary)
        before, _, inside, own = self._teams.partial_sums(numbers, loop.body)
        body = self._teams.body(inside)
        assert body is not None, "interchange takes loops that a warp can divide"
        head: list[Statement] = list(before)
        tail: list[Statement] = []
        combined: list[Statement] = []
        for b in summary.written:
            if b.space != "team":
                continue
            whole = self._making.memory(f"parts_{b.name}", [const(parts), *b.shape], b.dtype)
            shared[b] = whole, summary.sums[b], parts
            for place, source, target in ((head, starts[b].value, None), (tail, None, whole)):
                counters = [self._making.names.new("j") for _ in b.shape]
                index: tuple[Expr, ...] = tuple(Var(c, "int") for c in counters)
                store = (
                    Store(b, index, source)
                    if target is None and source is not None
                    else Store(whole, (mine, *index), Load(b, index))
                )
                place.append(Lanes(counters, list(b.shape), [store], {}))
        again = self._making.names.new("c")
        updates: list[Statement] = []
        for b, (part, operation) in zip(numbers, own.items(), strict=True):
            whole = self._making.memory(f"parts_{part.name}", [const(parts)], part.dtype)
            tail.append(Store(whole, (mine,), Load(part, ())))
            updates.append(Update(b, (), operation, Load(whole, (Var(again, "int"),))))
        turns = Turns(loop.counter, loop.extent, body, loop.formula, (mine, parts))
        spread = Spread([number], [const(parts)], "warp", [*head, turns, *tail], loop.formula)
        if updates:
            combined.append(Loop(again, const(parts), updates))
        return [spread, *combined]

    def _with_totals(self, loop: Loop, shared: dict[Buffer, tuple[Buffer, str, int]]) -> Statement:
        """A nest that reads sums of warps: it adds them up first."""
        loops = chain(loop)
        totals: dict[Buffer, Buffer] = {}
        index: dict[Buffer, tuple[Expr, ...]] = {}
        for s in statements(loops[-1].body):
            for load in loads(s):
                if load.buffer in shared:
                    index[load.buffer] = load.index
        head: list[Statement] = []
        for b, place in index.items():
            whole, operation, parts = shared[b]
            total = totals[b] = self._making.variable("total", b.dtype)
            c = self._making.names.new("c")
            part = Load(whole, (Var(c, "int"), *place))
            head += [
                Store(total, (), neutral(operation, b.dtype)),
                Loop(c, const(parts), [Update(total, (), operation, part)]),
            ]

        def read(e: Expr) -> Expr | None:
            known = isinstance(e, Load) and e.buffer in totals
            return Load(totals[e.buffer], ()) if known and isinstance(e, Load) else None

        body: list[Statement] = [*head, *(map_statement(s, read) for s in loops[-1].body)]
        for each in reversed(loops):
            body = [Loop(each.counter, each.extent, body, each.formula)]
        return body[0]

    # --- long sums -----------------------------------------------------------------------

    def split(self, piece: Piece) -> list[Piece]:
        """Long sums in parts, each a piece of its own, and what adds the parts up."""
        own = piece.nest
        counters = [loop.counter for loop in own.parallel] if own else []
        extents = own.extents if own else []
        indices = self._making.sizes.product(extents)
        rest = own.rest if own else piece.body
        result: list[Piece] = []
        left: list[Statement] = []
        for s in rest:
            part = None
            if isinstance(s, Loop) and not any(meet(Summary(t), Summary(s)) for t in left):
                part = self._part(s, counters, extents, indices)
            if part is None:
                left.append(s)
                continue
            before, after = part
            result.append(before)
            left += after
        if not result:
            return [piece]
        if own is None:
            return [*result, joined(left)]
        inner: list[Statement] = left
        for loop in reversed(own.parallel):
            inner = [Loop(loop.counter, loop.extent, inner, loop.formula)]
        (outer,) = inner
        assert isinstance(outer, Loop)
        return [*result, Piece([outer], nest(outer), Summary(outer))]

    def _part(
        self, loop: Loop, counters: list[str], extents: list[Expr], indices: int
    ) -> tuple[Piece, list[Statement]] | None:
        summary = Summary(loop)
        sums = summed(loop, summary)
        rounds = self._making.sizes.product([each.extent for each in chain(loop)])
        if not sums or rounds < SPLIT_ROUNDS:
            return None
        team = "block" if indices < FEW else "thread"
        wanted = min(rounds // PART_ROUNDS[team], MOST_PARTS[team])
        parts = 1 << max(wanted.bit_length() - 1, 0)
        others = {b for b in summary.written if b.space == "scalar" and b not in sums}
        started = {s.buffer for s in statements(loop.body) if isinstance(s, Store)}
        if others - started or self._teams.busy(indices):
            return None
        divided = self._teams.lanes(loop)
        if divided is None:
            return None
        lanes = next(s for s in divided if isinstance(s, Lanes))
        number = self._making.names.new("c")
        mine = Var(number, "int")
        index = (mine, *(Var(c, "int") for c in counters))
        shape = [const(parts), *extents]
        memory = {
            b: self._making.memory(f"parts_{b.name}", list(shape), b.dtype) for b in lanes.sums
        }
        lanes.part = (mine, parts)
        body: list[Statement] = [
            *(s for s in divided if isinstance(s, Store)),
            lanes,
            *(Store(memory[b], index, Load(b, ())) for b in lanes.sums),
        ]
        spread = Spread([number, *counters], shape, team, body, loop.formula)
        piece = Piece([spread], None, Summary(spread), spreads=[spread])
        again = self._making.names.new("c")
        place = (Var(again, "int"), *index[1:])
        after: list[Statement] = [
            Loop(
                again,
                const(parts),
                [
                    Update(b, (), operation, Load(memory[p], place))
                    for (b, operation), p in zip(sums.items(), lanes.sums, strict=True)
                ],
            )
        ]
        return piece, after
