"""What does not split into rows is divided among threads by the first axis of its results.

The statements of a serial phase go, in order, into phases in which no thread reads what another
one writes: loops whose results stand at their counters, and products, of which each thread
computes some rows. What cannot be divided is left to the first thread. An element is computed in
the same way whichever thread it falls to, so results do not depend on their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..ir_walk import loads, statements
from ..loop_ir import Buffer, Const, Expr, Gemm, Let, Loop, Phase, Routine, Statement, Store, Update
from ..names import Names
from .fuse import Summary

SHARE_WORK = 8192
"""Elements written, or products of 16, from which on a phase is worth a barrier more."""

UNKNOWN = 32
"""A size that is not known is taken to be of medium size."""

LANES = 16

OWN = ("scalar", "private")
"""Memory that a thread has for itself."""


@dataclass(eq=False)
class _Part:
    """A statement, and how it is divided: loops and products along ``extent``."""

    statement: Statement
    summary: Summary
    everywhere: bool
    extent: Expr | None

    @property
    def own(self) -> set[Buffer]:
        """The memory of a thread that the statement touches."""
        return {b for b in self.summary.written if b.space in OWN}

    def writes(self, buffer: Buffer) -> bool:
        return self.summary.written[buffer]

    def axes(self, buffer: Buffer) -> set[int]:
        """The axes along which all its accesses of a buffer stay in the part of one thread."""
        s = self.statement
        if isinstance(s, Gemm):
            return {0} if buffer is s.c.buffer and buffer not in (s.a.buffer, s.b.buffer) else set()
        return self.summary.axes[buffer] if isinstance(s, Loop) else set()


@dataclass
class _Group:
    """Statements that need no barrier between them."""

    parts: list[_Part] = field(default_factory=list)
    _touching: dict[Buffer, list[_Part]] = field(default_factory=dict)
    _writing: dict[Buffer, list[_Part]] = field(default_factory=dict)

    def add(self, part: _Part) -> None:
        self.parts.append(part)
        for buffer, written in part.summary.written.items():
            self._touching.setdefault(buffer, []).append(part)
            if written:
                self._writing.setdefault(buffer, []).append(part)

    def takes(self, part: _Part) -> bool:
        """Whether a part may follow without a barrier: what nobody writes keeps nobody apart."""
        return all(
            _together(earlier, part)
            for buffer, written in part.summary.written.items()
            for earlier in (self._touching if written else self._writing).get(buffer, ())
        )


def share(phase: Phase, names: Names, buffers: list[Buffer]) -> list[Phase] | None:
    """Phases that threads share in place of a serial one, where there is work for them."""
    if phase.kind != "serial" or sum(map(_work, phase.body)) < SHARE_WORK:
        return None
    for s in phase.body:
        for buffer in Summary(s).written:
            if buffer.space == "private":  # of the only thread that runs a serial phase
                buffer.space = "shared"
    parts = [_part(new) for s in phase.body for new in _separate(s)]
    groups = [_Group()]
    waiting: list[_Part] = []
    for part in parts:
        if part.everywhere:
            waiting.append(part)  # what each thread has for itself goes to where it is used
            continue
        needed = _needed(part, waiting)
        waiting = [w for w in waiting if w not in needed]
        if not all(groups[-1].takes(p) for p in (*needed, part)):
            groups.append(_Group())
        for earlier in needed:
            groups[-1].add(earlier)
        if not groups[-1].takes(part):  # it replaces what the others read
            groups.append(_Group())
        groups[-1].add(part)
    if not _closed(groups):
        return None
    result = []
    for number, group in enumerate(groups):
        body = [p.statement for p in group.parts]
        name = names.new(phase.name) if number else phase.name
        kind = "shared" if any(p.extent is not None for p in group.parts) else "serial"
        result.append(Phase(name, kind, body))
    return result


def _needed(part: _Part, waiting: Sequence[_Part]) -> list[_Part]:
    """Those of the waiting parts that must come before a part, in order."""
    found: list[_Part] = []
    for w in reversed(waiting):
        if any(not w.summary.independent(u.summary) for u in (part, *found)):
            found.append(w)
    return found[::-1]


def who(statement: Statement) -> str:
    """Who runs a statement: ``"divided"``, ``"everybody"`` or the ``"first"`` thread."""
    part = _part(statement)
    if part.everywhere:
        return "everybody"
    return "first" if part.extent is None else "divided"


def meet(statements: Sequence[Statement]) -> bool:
    """Whether, without a barrier, one thread may read or write what another one writes."""
    group = _Group()
    for part in map(_part, statements):
        if not group.takes(part):
            return True
        group.add(part)
    return False


def _work(statement: Statement) -> int:
    """Elements that a statement writes, products counted by vectors."""
    if isinstance(statement, Loop):
        return _size(statement.extent) * sum(map(_work, statement.body))
    if isinstance(statement, Gemm):
        m, n, k = (_size(e) for e in (statement.m, statement.n, statement.k))
        return m * n * max(k // LANES, 1)
    return 1


def _size(extent: Expr) -> int:
    return int(extent.value) if isinstance(extent, Const) else UNKNOWN


def _separate(s: Statement) -> list[Statement]:
    """A loop that sums into variables and does something else, as two."""
    sums, rest = _sums(s), _others(s)
    if sums is None or rest is None or not isinstance(s, Loop):
        return [s]
    return [sums, rest] if Summary(sums).independent(Summary(rest)) else [s]


def _is_sum(s: Statement) -> bool:
    return isinstance(s, (Store, Update)) and s.buffer.space in OWN


def _sums(s: Statement) -> Statement | None:
    """The part of a loop that writes variables."""
    if not isinstance(s, Loop):
        return s if _is_sum(s) else None
    body = [new for i in s.body if (new := _sums(i)) is not None]
    return Loop(s.counter, s.extent, body, s.formula) if body else None


def _others(s: Statement) -> Statement | None:
    """The part of a loop that writes memory."""
    if not isinstance(s, Loop):
        return None if _is_sum(s) else s
    body = [new for i in s.body if (new := _others(i)) is not None]
    return Loop(s.counter, s.extent, body, s.formula) if body else None


def _part(s: Statement) -> _Part:
    summary = Summary(s)
    if isinstance(s, Gemm):
        own = not s.c.transposed and s.c.buffer not in (s.a.buffer, s.b.buffer)
        return _Part(s, summary, False, s.m if own else None)
    if isinstance(s, Loop):
        part = _Part(s, summary, False, None)
        targets = {i.buffer for i in statements([s]) if isinstance(i, (Store, Update))}
        if targets and all(b.space in OWN for b in targets):
            whole_sum = not any(isinstance(i, (Gemm, Routine)) for i in statements([s]))
            return _Part(s, summary, whole_sum, None)
        whole = any(isinstance(i, (Gemm, Routine)) for i in statements([s]))
        written = {i.buffer for i in statements([s]) if isinstance(i, (Store, Update))}
        outside = {b for b in written if b.space not in OWN and not part.axes(b)}
        part.extent = None if whole or outside or carried(s, written) else s.extent
        return part
    number = isinstance(s, (Store, Update)) and s.buffer.space in OWN
    return _Part(s, summary, isinstance(s, Let) or number, None)


def _together(a: _Part, b: _Part) -> bool:
    """Whether b may follow a without a barrier."""
    alone = [not x.everywhere and x.extent is None for x in (a, b)]
    if all(alone) or (a.everywhere and b.everywhere):
        return True
    for buffer in a.own & b.own:
        if b.writes(buffer) or (a.writes(buffer) and not a.everywhere):
            return False  # it is not in every thread what it is in the one that wrote it
    conflicts = [c for c in a.summary.conflicts(b.summary) if c.space not in OWN]
    if not conflicts:
        return True
    if a.extent is None or a.extent != b.extent:
        return False
    return all(a.axes(c) & b.axes(c) for c in conflicts)


def _closed(groups: list[_Group]) -> bool:
    """Whether every variable is written and read in one phase."""
    for k, group in enumerate(groups):
        own = {b for p in group.parts for b in p.own}
        names = {n for p in group.parts for n in p.summary.bound}
        for other in groups[k + 1 :]:
            if any(own & p.own or names & p.summary.read for p in other.parts):
                return False
    return True


def carried(loop: Loop, written: set[Buffer], own: Sequence[str] = OWN) -> bool:
    """Whether an iteration reads a variable that the iteration before has written."""
    started: set[Buffer] = set()
    for s in statements(loop.body):
        read = {load.buffer for load in loads(s)}
        if isinstance(s, Update):
            read.add(s.buffer)
        if any(b.space in own and b in written and b not in started for b in read):
            return True
        if isinstance(s, Store):
            started.add(s.buffer)
    return False
