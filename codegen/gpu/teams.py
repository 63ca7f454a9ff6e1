"""Teams: how many threads an index is worth, and what each of them does."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir_walk import loads, rewritten_targets, statements, walk
from ..loop_ir import (
    Buffer,
    Expr,
    Gemm,
    Lanes,
    Load,
    Loop,
    Meet,
    Routine,
    Statement,
    Store,
    Update,
    Var,
    neutral,
)
from ..passes.fuse import Summary
from .control import WARP
from .making import Making
from .nests import Nest, chain, independent, summed
from .pieces import meet

THREADS = 1 << 15
"""Indices that keep a device busy with one thread for each."""

WARP_ROUNDS = 8
"""From this many rounds on, a loop is worth a warp, where not all threads are busy without;"""

BLOCK_ROUNDS = 1024
"""from this many on a block, where there are at most"""

BLOCKS = 64
"""so many indices."""

FAR = 1 << 18
"""Elements of an array that does not stay in the caches of multiprocessors."""

ROW_ROUNDS = 16
"""Numbers side by side that are worth a warp which reads them together."""


class Teams:
    """Divides the bodies of loops among the threads of teams."""

    def __init__(self, making: Making) -> None:
        self._making = making

    def busy(self, indices: int) -> bool:
        """Whether one thread for each index is enough."""
        return indices >= THREADS

    def divided(self, own: Nest) -> tuple[str, list[Statement]]:
        """The team of each index of a nest, and what it does."""
        indices = self._making.sizes.product(own.extents)
        rest = own.rest
        busy = self.busy(indices)
        if not any(isinstance(s, Loop) for s in rest) or (busy and not self._reads_rows(own)):
            return "thread", rest
        body = self.body(rest)
        team = "thread"
        if body is not None:
            team = "warp" if busy else self.team(indices, body)
        return team, rest if body is None or team == "thread" else body

    def _reads_rows(self, own: Nest) -> bool:
        """Whether threads side by side would read large arrays at places far from each other."""
        last = Var(own.parallel[-1].counter, "int")
        inside: dict[Expr, int] = {
            Var(s.counter, "int"): self._making.sizes.extent(s.extent)
            for s in statements(own.rest)
            if isinstance(s, Loop)
        }
        for s in statements(own.rest):
            for load in loads(s):
                if not load.index or inside.get(load.index[-1], 0) < ROW_ROUNDS:
                    continue
                large = self._making.sizes.product(load.buffer.shape) >= FAR
                if large and any(last in walk(i) for i in load.index[:-1]):
                    return True
        return False

    def team(self, indices: int, body: Sequence[Statement]) -> str:
        """How many threads an index is worth."""
        rounds = max(
            (self._making.sizes.product(s.extents) for s in body if isinstance(s, Lanes)), default=1
        )
        if rounds >= BLOCK_ROUNDS and indices <= BLOCKS:
            return "block"
        return "warp" if rounds >= WARP_ROUNDS and indices * WARP <= THREADS else "thread"

    def body(self, body: Sequence[Statement]) -> list[Statement] | None:
        """A body with its loops divided among the threads of a team; None where one cannot be."""
        divided: list[Statement] = []
        for s in body:
            if isinstance(s, Gemm):
                return None
            if not isinstance(s, Loop):
                divided.append(s)
                continue
            lanes = self.lanes(s)
            if lanes is None:
                return None
            divided += lanes
        return with_meetings(divided)

    def lanes(self, loop: Loop) -> list[Statement] | None:
        """A loop divided among threads, its sums in variables of each thread."""
        loops = chain(loop)
        outer: list[Loop] = []
        inner: list[Loop] = []
        for each in loops:
            divided = independent(each, Summary(each), sums=True)
            (outer if divided else inner).append(each)
        ragged = any(
            isinstance(e, Var) and e.name in {c.counter for c in loops}
            for each in loops
            for e in walk(each.extent)
        )
        if not outer or ragged:
            only_variables = all(
                b.space == "scalar" for b, w in Summary(loop).written.items() if w
            ) and not any(isinstance(s, Routine) for s in statements([loop]))
            return [loop] if only_variables else None
        body = loops[-1].body
        for each in reversed(inner):
            body = [Loop(each.counter, each.extent, body, each.formula)]
        sums = summed(loop, Summary(loop))
        before, after, body, parts = self.partial_sums(sums, body)
        lanes = Lanes(
            [each.counter for each in outer], [each.extent for each in outer], body, parts,
            formula=loop.formula,
        )  # fmt: skip
        return [*before, lanes, *after]

    def partial_sums(
        self, sums: dict[Buffer, str], body: list[Statement]
    ) -> tuple[list[Statement], list[Statement], list[Statement], dict[Buffer, str]]:
        """Let a loop add to variables of its own; what stands before and after it."""
        own = {b: self._making.variable(f"part_{b.name}", b.dtype) for b in sums}

        def place(buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
            return own.get(buffer, buffer), index

        before: list[Statement] = [Store(own[b], (), neutral(sums[b], b.dtype)) for b in sums]
        after: list[Statement] = [Update(b, (), sums[b], Load(own[b], ())) for b in sums]
        parts = {own[b]: operation for b, operation in sums.items()}
        return before, after, rewritten_targets(body, place), parts


def with_meetings(body: Sequence[Statement]) -> list[Statement]:
    """Let the threads of a team meet where one reads what another has written."""
    result: list[Statement] = []
    since: list[tuple[Statement, Summary]] = []
    for s in body:
        summary = Summary(s)
        if any(meet(other, summary) and not _same_thread(earlier, s) for earlier, other in since):
            result.append(Meet())
            since = []
        result.append(s)
        since.append((s, summary))
    return result


def _same_thread(a: Statement, b: Statement) -> bool:
    """Whether what two statements do in one place is done by one thread of the team."""
    if isinstance(a, Lanes) and isinstance(b, Lanes):
        if a.extents != b.extents:
            return False
        one, other = ([Summary(_as_loop(s, c)) for c in s.counters] for s in (a, b))
        return all(
            x.axes[buffer] & y.axes[buffer]
            for x, y in zip(one, other, strict=True)
            for buffer in x.conflicts(y)
            if buffer.space != "scalar"
        )
    return _by_first(a) and _by_first(b)


def _by_first(s: Statement) -> bool:
    """Whether the first thread of a team does it, not all of them."""
    stores = isinstance(s, (Store, Update)) and s.buffer.space != "scalar"
    return stores or isinstance(s, Routine)


def _as_loop(lanes: Lanes, counter: str) -> Loop:
    return Loop(counter, lanes.extents[lanes.counters.index(counter)], lanes.body)
