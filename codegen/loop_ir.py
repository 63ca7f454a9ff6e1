"""Loop IR: what lies between the graph and source text.

::

    Kernel    := Phase*                       phases run in order, a barrier between them
    Phase     := serial Stmt* | rows Stmt*    on one thread | on chunks of the rows, in threads
               | combine Stmt* | step Stmt*   sums of partial results | a whole step of training
               | shared Stmt*                 each thread computes a part of every result
               | spread Spread*               on a device: loops divided among teams of threads
    Stmt      := Store | Update | Let | Loop | Gemm | Routine | Block | Spread | Lanes | Meet
    Store     := buffer[index*] = Expr
    Update    := buffer[index*] op= Expr      op is add, maximum or minimum
    Let       := name = Expr
    Loop      := for name in range(extent): Stmt*
    Gemm      := C[m, n] (+)= A[m, k] B[k, n] on matrices in memory, or parts of larger buffers
    Routine   := a helper of the spelling table on whole buffers and sizes
    Block     := Stmt*                        a part of a long body, a function of its own
    Spread    := for indices in extents: Stmt*     one team for each index
    Lanes     := for indices in extents: Stmt*     in a Spread: one thread of the team for each
    Turns     := for name in range(extent): Stmt*  in a Spread: some rounds, by all of a team
    Meet      := the threads of a team see what the others have written
    Expr      := Const | Var | Load | Call
    Load      := buffer[index*]
    Call      := operation(Expr*)             operations of the spelling table

A buffer is an array with a shape; its space says where it lives and who may see it. A buffer
without axes that only one loop body uses becomes a variable of that body (``passes.contract``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

SPACES = {
    "data": "an input array, read only",
    "parameter": "a part of the flat array of parameters",
    "output": "an output array",
    "gradient": "a part of the flat gradient",
    "state": "a part of the flat optimizer state",
    "hyper": "a number of the update rule",
    "constant": "a constant array of the model, read only",
    "shared": "work memory that all threads see",
    "partial": "one copy for each chunk of rows, combined in fixed order",
    "private": "work memory of one thread",
    "team": "memory of a team of threads, within its block",
    "scalar": "a variable",
    "samples": "the numbers of the samples in the rows of a batch",
    "gone": "replaced by variables",
}
"""Where a buffer lives."""


ROW = "row"
"""The counter of loops over the rows of a batch."""

LANE = "lane"
"""What the counters begin with of loops that become vectors, over the channels of images."""


@dataclass(eq=False)
class Buffer:
    """An array that statements load from and store to.

    Attributes
    ----------
    name : str
        A valid identifier, unique in the kernel.
    shape : list of Expr
        Extents; row-major.
    dtype : {"real", "int", "bool"}
    space : str
        A key of :data:`SPACES`.
    row_axis : int or None
        The axis that counts the rows of the batch.
    formula : str
        What the buffer holds, as text for a comment.
    slot : int or None
        Position in a flat array that is laid out already.
    array, offset : str, Expr
        The argument of the kernel that holds the buffer, and where it starts there; set by
        ``layout``.
    order : tuple of int or None
        The order in which memory is to have the axes; None once it has, see ``arrange``.
    alone : bool
        Work memory that is an array of its own: a compiler then knows that a loop over channels
        does not read what it writes, and makes vectors of it.
    """

    name: str
    shape: list[Expr]
    dtype: str
    space: str
    row_axis: int | None = None
    formula: str = ""
    slot: int | None = None
    array: str = ""
    offset: Expr | None = None
    order: tuple[int, ...] | None = None
    alone: bool = False

    def __repr__(self) -> str:
        return f"{self.space} {self.name}[{', '.join(map(text, self.shape))}]"


@dataclass(frozen=True)
class Const:
    """A literal number."""

    value: Any
    dtype: str


@dataclass(frozen=True)
class Var:
    """A variable: a loop counter, a size, or a value bound by a Let."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Load:
    """An element of a buffer."""

    buffer: Buffer
    index: tuple[Expr, ...]

    @property
    def dtype(self) -> str:
        """The dtype of the buffer."""
        return self.buffer.dtype


@dataclass(frozen=True)
class Call:
    """An operation on values."""

    operation: str
    arguments: tuple[Expr, ...]
    dtype: str


Expr = Const | Var | Load | Call

WHOLE = Var(":", "int")
"""In an index, all of an axis."""


@dataclass
class Store:
    """``buffer[index] = value``."""

    buffer: Buffer
    index: tuple[Expr, ...]
    value: Expr
    formula: str = ""


@dataclass
class Update:
    """``buffer[index] = operation(buffer[index], value)``."""

    buffer: Buffer
    index: tuple[Expr, ...]
    operation: str
    value: Expr
    formula: str = ""


@dataclass
class Let:
    """A variable of the body in which it stands."""

    name: str
    value: Expr
    formula: str = ""


@dataclass
class Loop:
    """A body for every value of a counter below an extent."""

    counter: str
    extent: Expr
    body: list[Statement]
    formula: str = ""


@dataclass
class Matrix:
    """A whole buffer with two axes, or its transpose.

    With ``lead``, that part of a buffer that begins at an index of its first axes: the last axis
    is that of the columns, all others count the rows.
    """

    buffer: Buffer
    transposed: bool = False
    lead: tuple[Expr, ...] = ()

    @property
    def stride(self) -> Expr:
        """The distance of two rows of the buffer."""
        return self.buffer.shape[-1]

    @property
    def index(self) -> tuple[Expr, ...] | None:
        """The index of what is accessed, None for all of the buffer."""
        if not self.lead:
            return None
        return (*self.lead, *[WHOLE] * (len(self.buffer.shape) - len(self.lead)))

    def moved(self, buffer: Buffer, index: tuple[Expr, ...]) -> Matrix:
        """The same matrix, at another place."""
        return Matrix(buffer, self.transposed, tuple(i for i in index if i != WHOLE))


@dataclass
class Gemm:
    """``c = a @ b``, or ``c += a @ b`` with ``accumulate``; sizes m, n, k."""

    c: Matrix
    a: Matrix
    b: Matrix
    m: Expr
    n: Expr
    k: Expr
    accumulate: bool
    formula: str = ""


@dataclass
class Routine:
    """``name(buffers…, sizes…, status)``: a helper that reads and writes whole buffers."""

    name: str
    buffers: tuple[Buffer, ...]
    sizes: tuple[Expr, ...]
    formula: str = ""


@dataclass
class Block:
    """A part of a long body that is written as a function of its own; see ``passes.split``."""

    name: str
    body: list[Statement]


@dataclass
class Spread:
    """A body for every index of some axes, divided among teams of a device.

    ``team`` is ``"thread"``, ``"warp"`` or ``"block"``. All threads of a team run the body: they
    compute the same variables, and its first thread stores what is stored outside of ``Lanes``.
    Without axes the body runs once, on team ``place``.
    """

    counters: list[str]
    extents: list[Expr]
    team: str
    body: list[Statement]
    formula: str = ""
    place: int = 0


@dataclass
class Lanes:
    """Loops divided among the threads of a team; ``sums`` are combined over the team afterwards.

    With ``part`` (a number, and how many there are) only that part of the first loop is run.
    """

    counters: list[str]
    extents: list[Expr]
    body: list[Statement]
    sums: dict[Buffer, str]
    part: tuple[Expr, int] | None = None
    formula: str = ""


@dataclass
class Turns(Loop):
    """In a Spread, a loop that the threads of a team run together, with each one round in turn.

    Only part ``part[0]`` of ``part[1]`` of the rounds is run.
    """

    part: tuple[Expr, int] = field(default=(Const(0, "int"), 1))


@dataclass
class Meet:
    """The threads of a team wait for each other."""


Statement = Store | Update | Let | Loop | Gemm | Routine | Block | Spread | Lanes | Meet


@dataclass(eq=False)
class Repeat:
    """A loop around phases of a device, each followed by a barrier."""

    counter: str
    extent: Expr


@dataclass(frozen=True)
class Resident:
    """A number in memory that is a variable for the length of a run; see ``passes.resident``."""

    variable: Buffer
    buffer: Buffer
    index: tuple[Expr, ...]
    written: bool


@dataclass(frozen=True)
class Note:
    """What a pass did to a phase, and why."""

    what: str
    why: str


@dataclass
class Phase:
    """Statements between two barriers.

    ``kind`` is ``"rows"`` (the body handles the rows ``first <= row < last`` of a chunk,
    ``tile`` rows at a time where it is not None; ``before`` and ``after`` run once for each
    chunk, ``prologue`` once), ``"combine"`` (sums of the chunks' partial results),
    ``"serial"``, ``"shared"`` (loops and products are divided among the threads by their first
    axis, variables belong to every thread, the first thread runs the rest), ``"step"`` (all
    of a training step on one thread; the numbers of ``resident`` are variables from step to
    step), or ``"spread"`` (loops divided among teams of a device; it runs in the loops of
    ``around``, and ``prologue`` once in every thread).
    """

    name: str
    kind: str
    body: list[Statement]
    tile: int | None = None
    prologue: list[Statement] = field(default_factory=list)
    before: list[Statement] = field(default_factory=list)
    after: list[Statement] = field(default_factory=list)
    resident: list[Resident] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    around: tuple[Repeat, ...] = ()

    def note(self, what: str, why: str) -> None:
        """Remember a decision, for ``Trainer.schedule``."""
        self.notes.append(Note(what, why))


_NEUTRAL = {"add": sp.S.Zero, "maximum": -sp.oo, "minimum": sp.oo}
_NEUTRAL_INT = {
    "add": sp.S.Zero, "maximum": sp.Integer(-(2**63)), "minimum": sp.Integer(2**63 - 1),
}  # fmt: skip


def neutral(operation: str, dtype: str) -> Const:
    """What an update starts from: 0 for a sum, the smallest value for a maximum."""
    if dtype == "real":
        return Const(_NEUTRAL[operation], dtype)
    return Const(_NEUTRAL_INT[operation], dtype if operation == "add" else "int")


def const(value: int) -> Const:
    """An int literal of index arithmetic."""
    return Const(value, "int")


def plus(a: Expr, b: Expr) -> Expr:
    """``a + b`` of ints, folded where both are literal."""
    if isinstance(a, Const) and isinstance(b, Const):
        return const(a.value + b.value)
    if isinstance(a, Const) and a.value == 0:
        return b
    if isinstance(b, Const) and b.value == 0:
        return a
    return Call("add", (a, b), "int")


def times(a: Expr, b: Expr) -> Expr:
    """``a * b`` of ints, folded where both are literal."""
    if isinstance(a, Const) and isinstance(b, Const):
        return const(a.value * b.value)
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Const) and x.value == 0:
            return const(0)
        if isinstance(x, Const) and x.value == 1:
            return y
    if isinstance(a, Call) and a.operation == "multiply" and isinstance(b, Const):
        *rest, last = a.arguments
        if isinstance(last, Const) and len(rest) == 1:
            return times(rest[0], const(last.value * b.value))
    return Call("multiply", (a, b), "int")


def nested(
    counters: Sequence[str], shape: Sequence[Expr], body: list[Statement], text: str
) -> Statement:
    """Loops around a body; without counters, the body must be one statement."""
    for position in reversed(range(len(counters))):
        body = [Loop(counters[position], shape[position], body, text if position == 0 else "")]
    (statement,) = body
    return statement


def count(shape: list[Expr]) -> Expr:
    """The number of elements of a shape."""
    result: Expr = const(1)
    for extent in shape:
        result = times(result, extent)
    return result


def flat_index(buffer: Buffer, index: tuple[Expr, ...]) -> Expr:
    """The position of an element in row-major order."""
    return row_major(buffer.shape, index)


def row_major(extents: Sequence[Expr], index: Sequence[Expr]) -> Expr:
    """The position of an index in row-major order."""
    position: Expr = const(0)
    for extent, i in zip(extents, index, strict=True):
        position = plus(times(position, extent), i)
    return position


def text(expression: Expr) -> str:
    """An expression as short text, for printing the IR."""
    match expression:
        case Const():
            return str(expression.value)
        case Var():
            return expression.name
        case Load():
            return f"{expression.buffer.name}[{', '.join(map(text, expression.index))}]"
        case Call():
            return f"{expression.operation}({', '.join(map(text, expression.arguments))})"


def dump(body: list[Statement], indent: str = "") -> str:
    """Statements as text, for a person who reads what a pass did."""
    lines = []
    for s in body:
        match s:
            case Store():
                lines.append(f"{indent}{text(Load(s.buffer, s.index))} = {text(s.value)}")
            case Update():
                target = text(Load(s.buffer, s.index))
                lines.append(f"{indent}{target} {s.operation}= {text(s.value)}")
            case Let():
                lines.append(f"{indent}{s.name} = {text(s.value)}")
            case Turns():
                lines.append(f"{indent}turns {s.counter} < {text(s.extent)}, part "
                             f"{text(s.part[0])} of {s.part[1]}:")  # fmt: skip
                lines.append(dump(s.body, indent + "    "))
            case Loop():
                lines.append(f"{indent}for {s.counter} in range({text(s.extent)}):")
                lines.append(dump(s.body, indent + "    "))
            case Block():
                lines.append(f"{indent}{s.name}:")
                lines.append(dump(s.body, indent + "    "))
            case Spread() | Lanes():
                pairs = zip(s.counters, s.extents, strict=True)
                axes = ", ".join(f"{c} < {text(e)}" for c, e in pairs)
                who = f"each {s.team}" if isinstance(s, Spread) else "lanes"
                part = (
                    f" part {text(s.part[0])} of {s.part[1]}"
                    if isinstance(s, Lanes) and s.part
                    else ""
                )
                sums = (
                    ""
                    if isinstance(s, Spread)
                    else "".join(f" {op} {b.name}" for b, op in s.sums.items())
                )
                lines.append(f"{indent}{who} [{axes}]{part}{sums}:")
                lines.append(dump(s.body, indent + "    "))
            case Meet():
                lines.append(f"{indent}meet")
            case Routine():
                arguments = [*(b.name for b in s.buffers), *map(text, s.sizes)]
                lines.append(f"{indent}{s.name}({', '.join(arguments)})")
            case Gemm():
                sign = "+=" if s.accumulate else "="
                lines.append(
                    f"{indent}{s.c.buffer.name} {sign} {s.a.buffer.name} @ {s.b.buffer.name}"
                )
    return "\n".join(lines)
