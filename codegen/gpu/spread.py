"""Divides what a step computes among the threads of a device.

Statements that need nothing of each other, or only what the same thread has computed, go into one
phase; a barrier follows each phase. In a phase, every index of the axes whose rounds do not depend
on each other goes to a team: a thread, a warp whose threads share the loops inside, or a block.
Long sums are added up in parts, and the parts in order by the next phase, so that results have the
same bits in every run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..loop_ir import (
    Buffer,
    Expr,
    Gemm,
    Lanes,
    Let,
    Load,
    Loop,
    Meet,
    Phase,
    Repeat,
    Routine,
    Spread,
    Statement,
    Store,
    Turns,
    Update,
    Var,
    const,
    expressions,
    loads,
    map_statement,
    neutral,
    rewritten_targets,
    statements,
    walk,
)
from ..names import Names
from ..passes.fuse import Summary
from ..passes.sharing import carried
from .control import WARP
from .nests import SUMS, Nest, Sizes, chain, independent, nest, summed

THREADS = 1 << 15
"""Indices that keep a device busy with one thread for each."""

WARP_ROUNDS = 8
"""From this many rounds on, a loop is worth a warp, where not all threads are busy without;"""

BLOCK_ROUNDS = 1024
"""from this many on a block, where there are at most"""

BLOCKS = 64
"""so many indices."""

SPLIT_ROUNDS = 1 << 14
"""From this many rounds on, a sum is added up in parts,"""

PART_ROUNDS = {"block": 1024, "warp": 64, "thread": 64}
"""each of so many rounds at least,"""

MOST_PARTS = {"block": 4096, "warp": 4096, "thread": 1024}
"""and of them so many at most: the more there are, the more evenly blocks share them."""

FAR = 1 << 18
"""Elements of an array that does not stay in the caches of multiprocessors."""

ROW_ROUNDS = 16
"""Numbers side by side that are worth a warp which reads them together."""

REPEATED_WORK = 256
"""Statements in a round of a loop that are worth barriers."""


@dataclass(eq=False)
class _Piece:
    """Statements that one kind of team runs.

    Attributes
    ----------
    nest : Nest or None
        None for what runs once.
    summary : Summary
        Of all that it touches.
    level : int
        Its phase.
    """

    body: list[Statement]
    nest: Nest | None
    summary: Summary
    level: int = 0
    spreads: list[Spread] = field(default_factory=list)

    @property
    def single(self) -> bool:
        return self.nest is None and not self.spreads and not isinstance(self.body[0], Gemm)


class Spreader:
    """Makes phases of a device out of serial ones.

    Parameters
    ----------
    names : Names
    buffers : list of Buffer
        Takes the buffers that are made.
    sizes : Sizes
    written : set of Buffer
        What the program writes anywhere.
    """

    def __init__(
        self, names: Names, buffers: list[Buffer], sizes: Sizes, written: set[Buffer]
    ) -> None:
        self._names = names
        self._buffers = buffers
        self._sizes = sizes
        self._written = written
        self._pure: dict[str, Let] = {}

    def phases(
        self, name: str, body: Sequence[Statement], around: tuple[Repeat, ...] = ()
    ) -> list[Phase]:
        """The phases that stand for a body, run in loops around them."""
        result: list[Phase] = []
        waiting: list[Statement] = []
        for s in self.named(body):
            if isinstance(s, Loop) and self._repeats(s):
                result += self._phases(name, waiting, around)
                waiting = []
                inside = (*around, Repeat(s.counter, s.extent))
                result += self.phases(name, s.body, inside)
            else:
                waiting.append(s)
        return result + self._phases(name, waiting, around)

    # --- what is named -------------------------------------------------------------------

    def named(self, body: Sequence[Statement]) -> list[Statement]:
        """Values with names outside of loops: computed where they are read, or in memory."""
        result: list[Statement] = []
        moved: dict[str, Buffer] = {}

        def read(e: Expr) -> Expr | None:
            return Load(moved[e.name], ()) if isinstance(e, Var) and e.name in moved else None

        for s in body:
            s = map_statement(s, read) if moved else s
            if not isinstance(s, Let):
                result.append(s)
            elif self._is_pure(s.value):
                self._pure[s.name] = s
            else:
                buffer = self._new(s.name, [], s.value.dtype, "shared", s.formula)
                moved[s.name] = buffer
                self._written.add(buffer)
                result.append(Store(buffer, (), s.value, s.formula))
        return result

    def _is_pure(self, value: Expr) -> bool:
        """Whether every thread finds the same value at any time."""
        return not any(isinstance(e, Load) and e.buffer in self._written for e in walk(value))

    def _new(
        self, name: str, shape: list[Expr], dtype: str, space: str, formula: str = ""
    ) -> Buffer:
        buffer = Buffer(self._names.new(name), shape, dtype, space, formula=formula)
        self._buffers.append(buffer)
        return buffer

    # --- loops that repeat phases --------------------------------------------------------

    def _repeats(self, loop: Loop) -> bool:
        """Whether the rounds of a loop follow each other, with work for many threads in each."""
        summary = Summary(loop)
        if independent(loop, summary, sums=True) or nest(loop).parallel:
            return False
        if any(b.space == "team" for b in summary.written):
            return False  # warps have parts of the rows
        variables = {b for b, w in summary.written.items() if w and b.space == "scalar"}
        if carried(loop, variables, ("scalar",)):
            return False
        work = sum(
            self._sizes.work([s]) for s in loop.body if isinstance(s, Loop) and nest(s).parallel
        )
        return work >= REPEATED_WORK

    # --- pieces --------------------------------------------------------------------------

    def _phases(
        self, name: str, body: Sequence[Statement], around: tuple[Repeat, ...]
    ) -> list[Phase]:
        pieces: list[_Piece] = []
        for piece in self._pieces(self._by_rows(body)):
            for part in self._split(piece):
                self._place(part, pieces)
        levels: dict[int, list[_Piece]] = {}
        for piece in pieces:
            levels.setdefault(piece.level, []).append(piece)
        result = []
        for level in sorted(levels):
            phase = Phase(self._names.new(name), "spread", [], around=around)
            for place, piece in enumerate(levels[level]):
                phase.body.append(self._spread(piece, place))
            phase.prologue = self._prologue(phase.body)
            result.append(phase)
        return result

    def _prologue(self, body: Sequence[Statement]) -> list[Statement]:
        """The values with names that a body reads, in order."""
        needed: set[str] = set()
        stack = [e for s in statements(list(body)) for e in expressions(s)]
        while stack:
            for e in walk(stack.pop()):
                if isinstance(e, Var) and e.name in self._pure and e.name not in needed:
                    needed.add(e.name)
                    stack.append(self._pure[e.name].value)
        return [let for name, let in self._pure.items() if name in needed]

    def _pieces(self, body: Sequence[Statement]) -> list[_Piece]:
        """Loops that are maps, and what runs once; statements with a variable in common are one."""
        body = self._from_memory(body)
        pieces: list[_Piece] = []
        owner: dict[Buffer, _Piece] = {}
        for s in body:
            summary = Summary(s)
            if isinstance(s, Spread):
                pieces.append(_Piece([s], None, summary, spreads=[s]))
                continue
            if isinstance(s, Loop) and (own := nest(s)).parallel:
                pieces.append(_Piece([s], own, summary))
                continue
            variables = [b for b in summary.written if b.space == "scalar"]
            found = list(dict.fromkeys(owner[b] for b in variables if b in owner))
            piece = _gathered(pieces, found, s, summary)
            owner.update(dict.fromkeys(variables, piece))
            owner.update({b: piece for b, old in owner.items() if old not in pieces})
        return pieces

    def _from_memory(self, body: Sequence[Statement]) -> list[Statement]:
        """Variables of what runs once that maps read, too, as numbers in memory."""
        once: set[Buffer] = set()
        read: set[Buffer] = set()
        for s in body:
            variables = {b for b in Summary(s).written if b.space == "scalar"}
            (read if isinstance(s, Loop) and nest(s).parallel else once).update(variables)
        shared = {b: self._new(b.name, [], b.dtype, "shared", b.formula) for b in once if b in read}
        if not shared:
            return list(body)

        def in_memory(e: Expr) -> Expr | None:
            known = isinstance(e, Load) and e.buffer in shared
            return Load(shared[e.buffer], ()) if known and isinstance(e, Load) else None

        result: list[Statement] = []
        for s in body:
            if isinstance(s, Loop) and nest(s).parallel:
                result.append(map_statement(s, in_memory))
                continue
            result.append(s)
            for b, written in Summary(s).written.items():
                if written and b in shared:
                    result.append(Store(shared[b], (), Load(b, ())))
        return result

    # --- sums that each warp has for itself ----------------------------------------------

    def _by_rows(self, body: Sequence[Statement]) -> list[Statement]:
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
        wanted = min(self._sizes.extent(loop.extent) // PART_ROUNDS["warp"], MOST_PARTS["warp"])
        parts = 1 << max(wanted.bit_length() - 1, 0)
        number = self._names.new("c")
        mine = Var(number, "int")
        numbers = summed(loop, summary)
        before, _, inside, own = self._partial_sums(numbers, loop.body)
        body = self._team_body(inside)
        assert body is not None, "interchange takes loops that a warp can divide"
        head: list[Statement] = list(before)
        tail: list[Statement] = []
        combined: list[Statement] = []
        for b in summary.written:
            if b.space != "team":
                continue
            whole = self._new(f"parts_{b.name}", [const(parts), *b.shape], b.dtype, "shared")
            self._written.add(whole)
            shared[b] = whole, summary.sums[b], parts
            for place, source, target in ((head, starts[b].value, None), (tail, None, whole)):
                counters = [self._names.new("j") for _ in b.shape]
                index: tuple[Expr, ...] = tuple(Var(c, "int") for c in counters)
                store = (
                    Store(b, index, source)
                    if target is None and source is not None
                    else Store(whole, (mine, *index), Load(b, index))
                )
                place.append(Lanes(counters, list(b.shape), [store], {}))
        again = self._names.new("c")
        updates: list[Statement] = []
        for b, (part, operation) in zip(numbers, own.items(), strict=True):
            whole = self._new(f"parts_{part.name}", [const(parts)], part.dtype, "shared")
            self._written.add(whole)
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
            total = totals[b] = self._new("total", [], b.dtype, "scalar")
            c = self._names.new("c")
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

    # --- phases of pieces ----------------------------------------------------------------

    def _place(self, piece: _Piece, pieces: list[_Piece]) -> None:
        """Give a piece the first phase in which all that it needs is there."""
        host: _Piece | None = None
        for other in pieces:
            if not _meet(other.summary, piece.summary):
                continue
            if _one_owner(other, piece, self._sizes):
                piece.level = max(piece.level, other.level)
            elif other.level + 1 > piece.level:
                piece.level = other.level + 1
                host = other
            elif other.level + 1 == piece.level:
                host = None
        if host is not None and host.single and piece.single and self._joins(host, piece, pieces):
            host.body += piece.body
            host.summary.join(piece.summary)
            return
        pieces.append(piece)

    def _joins(self, host: _Piece, piece: _Piece, pieces: list[_Piece]) -> bool:
        """Whether what runs once may go on in the phase of what else does."""
        return all(
            other is host or other.level < host.level
            for other in pieces
            if _meet(other.summary, piece.summary)
        )

    # --- teams ---------------------------------------------------------------------------

    def _spread(self, piece: _Piece, place: int) -> Spread | Gemm:
        if isinstance(piece.body[0], Gemm):
            return piece.body[0]
        if piece.spreads:
            (ready,) = piece.spreads
            return ready
        if piece.nest is None:
            body = self._team_body(piece.body)
            team = "thread" if body is None else self._team(1, body)
            if body is None or team == "thread":
                return Spread([], [], "thread", piece.body, place=place)
            return Spread([], [], team, body, place=place)
        own = piece.nest
        counters = [loop.counter for loop in own.parallel]
        formula = piece.body[0].formula if isinstance(piece.body[0], Loop) else ""
        indices = self._sizes.product(own.extents)
        rest = own.rest
        team = "thread"
        if any(isinstance(s, Loop) for s in rest) and (indices < THREADS or self._reads_rows(own)):
            body = self._team_body(rest)
            if body is not None:
                team = "warp" if indices >= THREADS else self._team(indices, body)
                rest = rest if team == "thread" else body
        return Spread(counters, own.extents, team, rest, formula)

    def _reads_rows(self, own: Nest) -> bool:
        """Whether threads side by side would read large arrays at places far from each other."""
        last = Var(own.parallel[-1].counter, "int")
        inside: dict[Expr, int] = {
            Var(s.counter, "int"): self._sizes.extent(s.extent)
            for s in statements(own.rest)
            if isinstance(s, Loop)
        }
        for s in statements(own.rest):
            for load in loads(s):
                if not load.index or inside.get(load.index[-1], 0) < ROW_ROUNDS:
                    continue
                large = self._sizes.product(load.buffer.shape) >= FAR
                if large and any(last in walk(i) for i in load.index[:-1]):
                    return True
        return False

    def _team(self, indices: int, body: Sequence[Statement]) -> str:
        """How many threads an index is worth."""
        rounds = max(
            (self._sizes.product(s.extents) for s in body if isinstance(s, Lanes)), default=1
        )
        if rounds >= BLOCK_ROUNDS and indices <= BLOCKS:
            return "block"
        return "warp" if rounds >= WARP_ROUNDS and indices * WARP <= THREADS else "thread"

    def _team_body(self, body: Sequence[Statement]) -> list[Statement] | None:
        """A body with its loops divided among the threads of a team; None where one cannot be."""
        divided: list[Statement] = []
        for s in body:
            if isinstance(s, Gemm):
                return None
            if not isinstance(s, Loop):
                divided.append(s)
                continue
            lanes = self._lanes(s)
            if lanes is None:
                return None
            divided += lanes
        return _with_meetings(divided)

    def _lanes(self, loop: Loop) -> list[Statement] | None:
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
        before, after, body, parts = self._partial_sums(sums, body)
        lanes = Lanes(
            [each.counter for each in outer], [each.extent for each in outer], body, parts,
            formula=loop.formula,
        )  # fmt: skip
        return [*before, lanes, *after]

    def _partial_sums(
        self, sums: dict[Buffer, str], body: list[Statement]
    ) -> tuple[list[Statement], list[Statement], list[Statement], dict[Buffer, str]]:
        """Let a loop add to variables of its own; what stands before and after it."""
        own = {b: self._new(f"part_{b.name}", [], b.dtype, "scalar") for b in sums}

        def place(buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
            return own.get(buffer, buffer), index

        before: list[Statement] = [Store(own[b], (), neutral(sums[b], b.dtype)) for b in sums]
        after: list[Statement] = [Update(b, (), sums[b], Load(own[b], ())) for b in sums]
        parts = {own[b]: operation for b, operation in sums.items()}
        return before, after, rewritten_targets(body, place), parts

    # --- long sums -----------------------------------------------------------------------

    def _split(self, piece: _Piece) -> list[_Piece]:
        """Long sums in parts, each a piece of its own, and what adds the parts up."""
        own = piece.nest
        counters = [loop.counter for loop in own.parallel] if own else []
        extents = own.extents if own else []
        indices = self._sizes.product(extents)
        rest = own.rest if own else piece.body
        result: list[_Piece] = []
        left: list[Statement] = []
        for s in rest:
            part = None
            if isinstance(s, Loop) and not any(_meet(Summary(t), Summary(s)) for t in left):
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
            return [*result, _joined(left)]
        inner: list[Statement] = left
        for loop in reversed(own.parallel):
            inner = [Loop(loop.counter, loop.extent, inner, loop.formula)]
        (outer,) = inner
        assert isinstance(outer, Loop)
        return [*result, _Piece([outer], nest(outer), Summary(outer))]

    def _part(
        self, loop: Loop, counters: list[str], extents: list[Expr], indices: int
    ) -> tuple[_Piece, list[Statement]] | None:
        summary = Summary(loop)
        sums = summed(loop, summary)
        rounds = self._sizes.product([each.extent for each in chain(loop)])
        if not sums or rounds < SPLIT_ROUNDS:
            return None
        team = "block" if indices < WARP_ROUNDS else "thread"
        wanted = min(rounds // PART_ROUNDS[team], MOST_PARTS[team])
        parts = 1 << max(wanted.bit_length() - 1, 0)
        others = {b for b in summary.written if b.space == "scalar" and b not in sums}
        started = {s.buffer for s in statements(loop.body) if isinstance(s, Store)}
        if others - started or indices >= THREADS:
            return None
        divided = self._lanes(loop)
        if divided is None:
            return None
        lanes = next(s for s in divided if isinstance(s, Lanes))
        number = self._names.new("c")
        mine = Var(number, "int")
        index = (mine, *(Var(c, "int") for c in counters))
        shape = [const(parts), *extents]
        memory = {
            b: self._new(f"parts_{b.name}", list(shape), b.dtype, "shared") for b in lanes.sums
        }
        self._written |= set(memory.values())
        lanes.part = (mine, parts)
        body: list[Statement] = [
            *(s for s in divided if isinstance(s, Store)),
            lanes,
            *(Store(memory[b], index, Load(b, ())) for b in lanes.sums),
        ]
        spread = Spread([number, *counters], shape, team, body, loop.formula)
        piece = _Piece([spread], None, Summary(spread), spreads=[spread])
        again = self._names.new("c")
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


def _gathered(pieces: list[_Piece], found: list[_Piece], s: Statement, summary: Summary) -> _Piece:
    """The piece of a statement and of the pieces whose variables it has.

    It takes the place of the first of them, or the last place, if nothing between keeps it from
    there; else all that lies between becomes a part of it.
    """
    new = _Piece([s], None, summary)
    if not found:
        pieces.append(new)
        return new
    first = min(pieces.index(p) for p in found)
    tail = pieces[first:]
    up = not any(
        _meet(other.summary, later.summary)
        for n, other in enumerate(tail)
        if other not in found
        for later in (*(p for p in tail[n + 1 :] if p in found), new)
    )
    down = not any(
        _meet(earlier.summary, other.summary)
        for n, other in enumerate(tail)
        if other not in found
        for earlier in tail[:n]
        if earlier in found
    )
    taken = found if up or down else tail
    place = first if up else len(pieces) - len(taken)
    rest = [p for p in pieces if p not in taken]
    whole = [p for p in tail if p in taken]
    piece = _Piece([i for p in whole for i in p.body] + [s], None, summary)
    for p in whole:
        piece.summary.join(p.summary)
    rest.insert(place, piece)
    pieces[:] = rest
    return piece


def _joined(body: list[Statement]) -> _Piece:
    summary = Summary(body[0])
    for s in body[1:]:
        summary.join(Summary(s))
    return _Piece(body, None, summary)


def _meet(a: Summary, b: Summary) -> bool:
    """Whether one writes memory that the other touches."""
    return any(c.space != "scalar" for c in a.conflicts(b))


def _one_owner(a: _Piece, b: _Piece, sizes: Sizes) -> bool:
    """Whether the thread that needs something has computed it."""
    if a.nest is None or b.nest is None or a.nest.extents != b.nest.extents:
        return False
    if any(isinstance(s, Loop) for own in (a.nest, b.nest) for s in own.rest):
        return False  # a team may divide them
    for buffer in a.summary.conflicts(b.summary):
        if buffer.space == "scalar":
            continue
        for one, other in zip(a.nest.summaries, b.nest.summaries, strict=True):
            if not one.axes[buffer] & other.axes[buffer]:
                return False
    return True


def _with_meetings(body: Sequence[Statement]) -> list[Statement]:
    """Let the threads of a team meet where one reads what another has written."""
    result: list[Statement] = []
    since: list[tuple[Statement, Summary]] = []
    for s in body:
        summary = Summary(s)
        if any(_meet(other, summary) and not _same_thread(earlier, s) for earlier, other in since):
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
