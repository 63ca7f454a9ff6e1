"""Divides what a step computes among the threads of a device.

Statements that need nothing of each other, or only what the same thread has computed, go into one
phase; a barrier follows each phase. In a phase, every index of the axes whose rounds do not depend
on each other goes to a team: a thread, a warp whose threads share the loops inside, or a block.
Long sums are added up in parts, and the parts in order by the next phase, so that results have the
same bits in every run.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..ir_walk import expressions, map_statement, statements, walk
from ..loop_ir import (
    Buffer,
    Expr,
    Gemm,
    Let,
    Load,
    Loop,
    Phase,
    Repeat,
    Spread,
    Statement,
    Store,
    Var,
)
from ..passes.fuse import Summary
from ..passes.sharing import carried
from .making import Making
from .nests import independent, nest
from .parts import Parts
from .pieces import Piece, gathered, meet, one_owner
from .teams import Teams

REPEATED_WORK = 256
"""Statements in a round of a loop that are worth barriers."""


class Spreader:
    """Makes phases of a device out of serial ones."""

    def __init__(self, making: Making) -> None:
        self._making = making
        self._teams = Teams(making)
        self._parts = Parts(making, self._teams)
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
                buffer = self._making.memory(s.name, [], s.value.dtype, s.formula)
                moved[s.name] = buffer
                result.append(Store(buffer, (), s.value, s.formula))
        return result

    def _is_pure(self, value: Expr) -> bool:
        """Whether every thread finds the same value at any time."""
        return not any(
            isinstance(e, Load) and e.buffer in self._making.written for e in walk(value)
        )

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
            self._making.sizes.work([s])
            for s in loop.body
            if isinstance(s, Loop) and nest(s).parallel
        )
        return work >= REPEATED_WORK

    # --- pieces --------------------------------------------------------------------------

    def _phases(
        self, name: str, body: Sequence[Statement], around: tuple[Repeat, ...]
    ) -> list[Phase]:
        pieces: list[Piece] = []
        for piece in self._pieces(self._parts.by_rows(body)):
            for part in self._parts.split(piece):
                self._place(part, pieces)
        levels: dict[int, list[Piece]] = {}
        for piece in pieces:
            levels.setdefault(piece.level, []).append(piece)
        result = []
        for level in sorted(levels):
            phase = Phase(self._making.names.new(name), "spread", [], around=around)
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

    def _pieces(self, body: Sequence[Statement]) -> list[Piece]:
        """Loops that are maps, and what runs once; statements with a variable in common are one."""
        body = self._from_memory(body)
        pieces: list[Piece] = []
        owner: dict[Buffer, Piece] = {}
        for s in body:
            summary = Summary(s)
            if isinstance(s, Spread):
                pieces.append(Piece([s], None, summary, spreads=[s]))
                continue
            if isinstance(s, Loop) and (own := nest(s)).parallel:
                pieces.append(Piece([s], own, summary))
                continue
            variables = [b for b in summary.written if b.space == "scalar"]
            found = list(dict.fromkeys(owner[b] for b in variables if b in owner))
            piece = gathered(pieces, found, s, summary)
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
        shared = {b: self._making.memory(b.name, [], b.dtype, b.formula) for b in once if b in read}
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

    # --- phases of pieces ----------------------------------------------------------------

    def _place(self, piece: Piece, pieces: list[Piece]) -> None:
        """Give a piece the first phase in which all that it needs is there."""
        host: Piece | None = None
        for other in pieces:
            if not meet(other.summary, piece.summary):
                continue
            if one_owner(other, piece):
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

    def _joins(self, host: Piece, piece: Piece, pieces: list[Piece]) -> bool:
        """Whether what runs once may go on in the phase of what else does."""
        return all(
            other is host or other.level < host.level
            for other in pieces
            if meet(other.summary, piece.summary)
        )

    # --- teams ---------------------------------------------------------------------------

    def _spread(self, piece: Piece, place: int) -> Spread | Gemm:
        if isinstance(piece.body[0], Gemm):
            return piece.body[0]
        if piece.spreads:
            (ready,) = piece.spreads
            return ready
        if piece.nest is None:
            body = self._teams.body(piece.body)
            team = "thread" if body is None else self._teams.team(1, body)
            if body is None or team == "thread":
                return Spread([], [], "thread", piece.body, place=place)
            return Spread([], [], team, body, place=place)
        own = piece.nest
        counters = [loop.counter for loop in own.parallel]
        formula = piece.body[0].formula if isinstance(piece.body[0], Loop) else ""
        team, rest = self._teams.divided(own)
        return Spread(counters, own.extents, team, rest, formula)
