"""Checks of lowered phases: what would read what is not there, or let two threads write one place.

It finds mistakes of lowering and of passes before there is a kernel that runs into foreign
memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence

from .ir_walk import children
from .loop_ir import (
    Block,
    Buffer,
    Call,
    Const,
    Expr,
    Gemm,
    Lanes,
    Let,
    Load,
    Loop,
    Meet,
    Phase,
    Routine,
    Spread,
    Statement,
    Store,
    Turns,
    Update,
    Var,
)
from .passes.sharing import meet

READ_ONLY = ("data", "constant", "samples")
OWN = ("private", "partial", "scalar")
"""Memory that a chunk or a thread has for itself."""

UPDATES = ("add", "maximum", "minimum")


class InvalidLoopIR(AssertionError):
    """Loop IR that breaks a rule: a mistake in codegen, not of the user."""


def verify(
    phases: Sequence[Phase], variables: Iterable[str], rows: Expr | None, laid_out: bool = True
) -> None:
    """Raise :class:`InvalidLoopIR` where phases break a rule of loop IR.

    Parameters
    ----------
    phases : list of Phase
    variables : list of str
        The variables that every phase may read: sizes, and step and epoch of an update.
    rows : Expr or None
        The number of rows.
    laid_out : bool
        Whether buffers must have their arrays already.
    """
    known = set(variables)
    for phase in phases:
        _Check(phase, known, rows, laid_out).run()


class _Check:
    """The check of one phase."""

    def __init__(
        self, phase: Phase, variables: Container[str], rows: Expr | None, laid_out: bool
    ) -> None:
        self.phase = phase
        self.sizes = variables
        self.rows = rows
        self.laid_out = laid_out
        self.bound: set[str] = set()
        self.counters: list[str] = []
        self.row_counters: list[str] = []
        self.spread_counters: list[str] = []
        self.checked: set[Buffer] = set()
        self.written: set[Buffer] = set()

    def run(self) -> None:
        phase = self.phase
        if phase.kind == "spread":
            for loop in phase.around:
                self.expression(loop.extent)
                self.bind(loop.counter)
            self.body(phase.prologue)
            self.body(phase.body)
            return
        if phase.kind != "rows":
            if phase.prologue or phase.before or phase.after or phase.tile:
                self.fail("only phases by rows have tiles, a prologue, before and after")
            for number in phase.resident:
                self.element(number.buffer, number.index)
                self.written.add(number.variable)
            self.body(phase.body)
            if phase.kind == "shared" and meet(list(_top(phase.body))):
                self.fail("threads that share it meet in one place")
            return
        if self.rows is None:
            self.fail("a phase by rows of a graph without rows")
        for body in (phase.prologue, phase.before, phase.body, phase.after):
            self.body(body)

    def fail(self, problem: str) -> None:
        raise InvalidLoopIR(f"phase {self.phase.name}: {problem}")

    # --- statements ----------------------------------------------------------------------

    def body(self, body: Sequence[Statement]) -> None:
        outer = set(self.bound)
        for statement in body:
            self.statement(statement)
        if body is not self.phase.prologue:
            self.bound = outer

    def statement(self, s: Statement) -> None:
        match s:
            case Store():
                self.expression(s.value)
                self.target(s.buffer, s.index)
                self.written.add(s.buffer)
            case Update():
                self.expression(s.value)
                if s.operation not in UPDATES:
                    self.fail(f"there is no update {s.operation}")
                if s.buffer.space == "scalar" and s.buffer not in self.written:
                    self.fail(f"{s.buffer} is updated before it is written")
                self.target(s.buffer, s.index)
            case Let():
                self.expression(s.value)
                self.bind(s.name)
            case Turns():
                self.turns(s)
            case Loop():
                self.loop(s)
            case Block():
                self.body(s.body)
            case Spread() | Lanes():
                self.divided(s)
            case Meet():
                pass
            case Gemm():
                self.gemm(s)
            case Routine():
                for size in s.sizes:
                    self.expression(size)
                for buffer in s.buffers:
                    self.buffer(buffer)
                    if buffer.space not in OWN and self.phase.kind == "rows":
                        self.fail(f"{s.name} writes {buffer}, which all threads see")

    def bind(self, name: str) -> None:
        if name in self.bound or name in self.counters or name in self.sizes:
            self.fail(f"{name} is bound twice")
        self.bound.add(name)

    def turns(self, s: Turns) -> None:
        """Rounds in turn: what is written in a round is no other team's."""
        self.expression(s.part[0])
        outside = self.spread_counters
        parts = {s.part[0]}
        self.spread_counters = [c for c in outside if Var(c, "int") not in parts] + [s.counter]
        self.loop(s)
        self.spread_counters = outside

    def loop(self, s: Loop) -> None:
        self.expression(s.extent)
        if s.counter in self.counters or s.counter in self.bound or s.counter in self.sizes:
            self.fail(f"the counter {s.counter} is in use where a loop begins")
        by_rows = self.phase.kind == "rows" and s.extent == self.rows
        if by_rows and self.row_counters:
            self.fail(f"a loop over the rows, {s.counter}, inside another")
        self.counters.append(s.counter)
        if by_rows:
            self.row_counters.append(s.counter)
        self.body(s.body)
        self.counters.pop()
        if by_rows:
            self.row_counters.pop()

    def divided(self, s: Spread | Lanes) -> None:
        """Loops of which each thread runs a part: what it writes is nobody else's."""
        for extent in s.extents:
            self.expression(extent)
        outer = self.spread_counters
        if isinstance(s, Lanes) and s.part is not None:
            number = s.part[0]
            self.expression(number)
            # teams with other numbers have other indices of these loops
            outer = [c for c in outer if not _is_counter(number, [c])]
        for counter in s.counters:
            if counter in self.counters or counter in self.bound or counter in self.sizes:
                self.fail(f"the counter {counter} is in use where a loop begins")
        self.counters += s.counters
        kept, self.spread_counters = self.spread_counters, [*outer, *s.counters]
        for buffer in s.sums if isinstance(s, Lanes) else ():
            if buffer not in self.written:
                self.fail(f"the sum {buffer} has no start")
        self.body(s.body)
        self.spread_counters = kept
        if s.counters:
            del self.counters[-len(s.counters) :]

    def gemm(self, s: Gemm) -> None:
        for matrix in (s.a, s.b, s.c):
            self.buffer(matrix.buffer)
            axes = len(matrix.buffer.shape) - len(matrix.lead)
            if axes < (1 if matrix.lead else 2) or matrix.buffer.dtype != "real":
                self.fail(f"{matrix.buffer} is no matrix of real numbers")
            for e in (matrix.stride, *matrix.lead):
                self.expression(e)
        for size in (s.m, s.n, s.k):
            self.expression(size)
        c = s.c.buffer
        self.writable(c)
        if self.phase.kind == "rows":
            rows = s.m == self.rows or (s.c.lead and _is_counter(s.c.lead[0], self.row_counters))
            if c.space not in OWN and (c.row_axis != 0 or not rows):
                self.fail(f"a matrix product writes {c}, which all threads see")
            if self.rows in (s.n,):
                self.fail("the columns of a matrix product count the rows of the batch")
            if s.k == self.rows and not s.accumulate:
                self.fail("a matrix product over the rows of a tile must accumulate")

    # --- memory --------------------------------------------------------------------------

    def target(self, buffer: Buffer, index: Sequence[Expr]) -> None:
        self.element(buffer, index)
        self.writable(buffer)
        if self.phase.kind == "spread" and buffer.space not in ("scalar", "team"):
            own = [c for c in self.spread_counters if not _is_counter_among(index, c)]
            if own:
                self.fail(f"two threads may write one element of {buffer}: not at {own[0]}")
        if self.phase.kind != "rows" or buffer.space in OWN:
            return
        axis = buffer.row_axis
        if axis is None or not _is_counter(index[axis], self.row_counters):
            self.fail(f"two threads may write one element of {buffer}")

    def writable(self, buffer: Buffer) -> None:
        if buffer.space in READ_ONLY:
            self.fail(f"{buffer} is read only")

    def element(self, buffer: Buffer, index: Sequence[Expr], taken: bool = True) -> None:
        self.buffer(buffer)
        if len(index) != len(buffer.shape):
            self.fail(f"{buffer} has {len(buffer.shape)} axes, an index has {len(index)}")
        for i, extent in zip(index, buffer.shape, strict=True):
            self.expression(i)
            if not taken or not isinstance(i, Const):
                continue
            if i.value < 0 or (isinstance(extent, Const) and i.value >= extent.value):
                self.fail(f"the index {i.value} of {buffer} is out of bounds")

    def buffer(self, buffer: Buffer) -> None:
        if buffer in self.checked:
            return
        self.checked.add(buffer)
        if buffer.space == "gone":
            self.fail(f"{buffer.name} has been replaced by variables")
        if buffer.space == "scalar" and buffer.shape:
            self.fail(f"the variable {buffer.name} has axes")
        if self.laid_out and buffer.space not in ("scalar", "team") and not buffer.array:
            self.fail(f"{buffer} has no place in memory")

    # --- expressions ---------------------------------------------------------------------

    def expression(self, expression: Expr) -> None:
        stack = [(expression, True)]  # a branch of a choice need not be taken
        while stack:
            part, taken = stack.pop()
            if isinstance(part, Var):
                name = part.name
                if not (name in self.counters or name in self.bound or name in self.sizes):
                    self.fail(f"{name} is read before it is bound")
            elif isinstance(part, Load):
                if part.buffer.space == "scalar" and part.buffer not in self.written:
                    self.fail(f"{part.buffer} is read before it is written")
                if part.buffer.space == "partial" and self.phase.kind != "rows":
                    self.fail(f"{part.buffer} is read outside of a combination")
                self.element(part.buffer, part.index, taken)
            elif isinstance(part, Call) and part.operation.startswith("combine_"):
                (load,) = part.arguments
                if self.phase.kind != "combine" or not isinstance(load, Load):
                    self.fail(f"{part.operation} outside of a phase that combines")
                else:
                    self.element(load.buffer, load.index)
            else:
                choice = isinstance(part, Call) and part.operation == "where"
                stack += [(p, taken and not (choice and n)) for n, p in enumerate(children(part))]


def _top(body: Iterable[Statement]) -> Iterator[Statement]:
    """The statements of a body, those of its blocks in their place."""
    for s in body:
        if isinstance(s, Block):
            yield from _top(s.body)
        else:
            yield s


def _is_counter_among(index: Sequence[Expr], counter: str) -> bool:
    return any(_is_counter(i, [counter]) for i in index)


def _is_counter(index: Expr, counters: Sequence[str]) -> bool:
    return isinstance(index, Var) and index.name in counters
