"""Loop fusion: adjacent loops over the same extent become one.

Two loops may be joined where every buffer that one writes and the other touches is accessed,
in both, at the loop counter along one axis: then iteration i of the second loop needs only
iteration i of the first. A loop may also move up past statements that it does not depend on.
"""

from __future__ import annotations

from ..ir_walk import expressions, map_statement, statements, walk
from ..loop_ir import (
    Buffer,
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
)
from ..names import Names

WINDOW = 40
"""How far back a loop looks for a partner."""


class Summary:
    """What a statement and those inside it touch.

    Attributes
    ----------
    written : dict
        The buffers that the statement touches, and whether it writes them.
    axes : dict
        For each buffer, the axes along which every access stands at the counter of the loop.
    sums : dict
        For each buffer, how the statement adds to it, if it does nothing else with it.
    bound, read : set of str
        Variables.
    """

    def __init__(self, statement: Statement) -> None:
        self.written: dict[Buffer, bool] = {}
        self.axes: dict[Buffer, set[int]] = {}
        self.sums: dict[Buffer, str] = {}
        self.bound: set[str] = set()
        self.read: set[str] = set()
        self._counter: Expr | None = None
        if isinstance(statement, Loop):
            self._counter = Var(statement.counter, "int")
        for s in statements([statement]):
            self._add(s)

    def _add(self, s: Statement) -> None:
        if isinstance(s, Let):
            self.bound.add(s.name)
        for e in expressions(s):
            for part in walk(e):
                if isinstance(part, Var):
                    self.read.add(part.name)
                elif isinstance(part, Load):
                    self._access(part.buffer, part.index, False)
        if isinstance(s, Update):
            self._access(s.buffer, s.index, True, s.operation)
        elif isinstance(s, Store):
            self._access(s.buffer, s.index, True)
        elif isinstance(s, Routine):
            for buffer in s.buffers:
                self._access(buffer, None, True)
        elif isinstance(s, Gemm):
            for matrix in (s.a, s.b):
                self._access(matrix.buffer, matrix.index, False)
            self._access(s.c.buffer, s.c.index, True)

    def _access(
        self, buffer: Buffer, index: tuple[Expr, ...] | None, written: bool, operation: str = ""
    ) -> None:
        axes: set[int] = set()
        if index is not None and self._counter is not None:
            axes = {axis for axis, i in enumerate(index) if i == self._counter}
        self._note(buffer, written, axes, operation)

    def _note(self, buffer: Buffer, written: bool, axes: set[int], operation: str) -> None:
        if buffer not in self.written:
            self.written[buffer] = written
            self.axes[buffer] = axes
            self.sums[buffer] = operation
            return
        self.written[buffer] |= written
        self.axes[buffer] = self.axes[buffer] & axes
        if self.sums[buffer] != operation:
            self.sums[buffer] = ""

    def join(self, other: Summary) -> None:
        """Take in a loop that becomes part of this one."""
        for buffer, written in other.written.items():
            self._note(buffer, written, other.axes[buffer], other.sums[buffer])
        self.bound |= other.bound
        self.read |= other.read

    def conflicts(self, other: Summary) -> list[Buffer]:
        """Buffers that one writes and the other touches."""
        few, many = sorted((self.written, other.written), key=len)
        return [b for b, written in few.items() if b in many and (written or many[b])]

    def independent(self, other: Summary) -> bool:
        """Whether the two may change places."""
        names = self.bound & other.read or other.bound & self.read
        return not names and not self.conflicts(other)


def fusable(first: Loop, second: Loop, a: Summary, b: Summary) -> bool:
    """Whether two loops mean the same as one loop with both bodies."""
    if first.extent != second.extent:
        return False
    if a.bound & b.read or b.bound & a.read:
        return False
    for buffer in a.conflicts(b):
        if buffer.space == "scalar":
            return False
        only_sums = a.sums[buffer] and a.sums[buffer] == b.sums[buffer]
        if not a.axes[buffer] & b.axes[buffer] and not only_sums:
            return False
    return True


def join(first: Loop, second: Loop) -> Loop:
    """One loop with both bodies."""
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
            result[partner] = join(old, statement)
            summaries[partner].join(summary)
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
        if isinstance(other, Loop) and fusable(other, statement, summaries[position], summary):
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
