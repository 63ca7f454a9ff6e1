"""Loop fusion: adjacent loops over the same extent become one.

Two loops may be joined where every buffer that one writes and the other touches is accessed,
in both, at the loop counter along one axis: then iteration i of the second loop needs only
iteration i of the first. A loop may also move up past statements that it does not depend on.
"""

from __future__ import annotations

from ..loop_ir import (
    Buffer,
    Call,
    Expr,
    Gemm,
    Let,
    Load,
    Loop,
    Phase,
    Routine,
    Statement,
    Store,
    Update,
    Var,
    expressions,
    loads,
    map_statement,
    statements,
    walk,
)
from ..names import Names

Access = tuple[tuple[Expr, ...] | None, bool]
"""An index (None for all of a buffer) and whether it is written."""

WINDOW = 40
"""How far back a loop looks for a partner."""


def accesses(statement: Statement) -> dict[Buffer, list[Access]]:
    """Every access of a statement and of those inside it, by buffer."""
    result: dict[Buffer, list[Access]] = {}
    for s in statements([statement]):
        for load in loads(s):
            result.setdefault(load.buffer, []).append((load.index, False))
        if isinstance(s, (Store, Update)):
            result.setdefault(s.buffer, []).append((s.index, True))
        elif isinstance(s, Routine):
            for buffer in s.buffers:
                result.setdefault(buffer, []).append((None, True))
        elif isinstance(s, Gemm):
            result.setdefault(s.a.buffer, []).append((None, False))
            result.setdefault(s.b.buffer, []).append((None, False))
            result.setdefault(s.c.buffer, []).append((None, True))
    return result


def _names(statement: Statement) -> tuple[set[str], set[str]]:
    """Variables that a statement binds and reads."""
    bound = {s.name for s in statements([statement]) if isinstance(s, Let)}
    read = {
        part.name
        for s in statements([statement])
        for e in expressions(s)
        for part in walk(e)
        if isinstance(part, Var)
    }
    return bound, read


class Summary:
    """What a top-level statement touches; computed once."""

    def __init__(self, statement: Statement) -> None:
        self.accesses = accesses(statement)
        self.bound, self.read = _names(statement)

    def conflicts(self, other: Summary) -> list[Buffer]:
        """Buffers that one writes and the other touches."""
        return [
            b
            for b, mine in self.accesses.items()
            if b in other.accesses
            and (any(w for _, w in mine) or any(w for _, w in other.accesses[b]))
        ]

    def independent(self, other: Summary) -> bool:
        names = self.bound & other.read or other.bound & self.read
        return not names and not self.conflicts(other)


def _pointwise(buffer: Buffer, pairs: list[tuple[Access, str]]) -> bool:
    """All accesses stand at their loop counter, along one common axis."""
    for axis in range(len(buffer.shape)):
        if all(
            index is not None and index[axis] == Var(counter, "int")
            for (index, _), counter in pairs
        ):
            return True
    return False


def _only_sums(buffer: Buffer, first: Loop, second: Loop) -> bool:
    """Both loops only add into the buffer, which nobody reads in between."""
    operations = set()
    for s in [*statements([first]), *statements([second])]:
        if any(load.buffer is buffer for load in loads(s)):
            return False
        if isinstance(s, Update) and s.buffer is buffer:
            operations.add(s.operation)
        elif (
            (isinstance(s, Store) and s.buffer is buffer)
            or (isinstance(s, Routine) and buffer in s.buffers)
            or (isinstance(s, Gemm) and buffer in (s.a.buffer, s.b.buffer, s.c.buffer))
        ):
            return False
    return len(operations) == 1


def _fusable(first: Loop, second: Loop, a: Summary, b: Summary) -> bool:
    if first.extent != second.extent:
        return False
    if a.bound & b.read or b.bound & a.read:
        return False
    for buffer in a.conflicts(b):
        if buffer.space == "scalar":
            return False
        pairs = [(x, first.counter) for x in a.accesses[buffer]]
        pairs += [(x, second.counter) for x in b.accesses[buffer]]
        if not _pointwise(buffer, pairs) and not _only_sums(buffer, first, second):
            return False
    return True


def _join(first: Loop, second: Loop) -> Loop:
    body = second.body
    if second.counter != first.counter:
        old, new = Var(second.counter, "int"), Var(first.counter, "int")
        body = [map_statement(s, lambda e: new if e == old else None) for s in body]
    formula = first.formula or second.formula
    return Loop(first.counter, first.extent, [*first.body, *body], formula)


def fuse_body(body: list[Statement]) -> list[Statement]:
    """Fuse the loops of a body, then those inside each loop."""
    result: list[Statement] = []
    summaries: list[Summary] = []
    for statement in body:
        summary = Summary(statement)
        partner = _partner(statement, summary, result, summaries)
        if partner is not None:
            old = result[partner]
            assert isinstance(old, Loop) and isinstance(statement, Loop)
            result[partner] = _join(old, statement)
            summaries[partner] = Summary(result[partner])
        else:
            result.append(statement)
            summaries.append(summary)
    for position, statement in enumerate(result):
        if isinstance(statement, Loop):
            inner = fuse_body(statement.body)
            result[position] = Loop(statement.counter, statement.extent, inner, statement.formula)
    return result


def _partner(
    statement: Statement, summary: Summary, result: list[Statement], summaries: list[Summary]
) -> int | None:
    """The earlier loop that a loop can be joined to, moving up past what is independent."""
    if not isinstance(statement, Loop):
        return None
    for position in reversed(range(max(0, len(result) - WINDOW), len(result))):
        other = result[position]
        if isinstance(other, Loop) and _fusable(other, statement, summaries[position], summary):
            return position
        if not summary.independent(summaries[position]):
            return None
    return None


def fuse(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Fuse the loops of a phase."""
    before = sum(isinstance(s, Loop) for s in phase.body)
    phase.body = fuse_body(phase.body)
    after = sum(isinstance(s, Loop) for s in phase.body)
    if after < before and phase.kind != "combine":
        phase.note(f"{before} loops joined to {after}", "what they share is read once")


__all__ = ["Call", "Load", "accesses", "fuse", "fuse_body"]
