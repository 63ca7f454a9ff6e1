"""The walk from loop IR to Python text; targets differ in the spelling and the prelude."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..ir_walk import statements
from ..layout import Pool, memory_dtype, seen_buffers, used_buffers
from ..loop_ir import (
    Block,
    Buffer,
    Call,
    Const,
    Expr,
    Gemm,
    Let,
    Loop,
    Matrix,
    Phase,
    Resident,
    Routine,
    Statement,
    Store,
    Update,
    Var,
    const,
    flat_index,
    plus,
    times,
)
from ..names import comment
from ..passes.sharing import who
from .expressions import FLAGS, Expressions

INDENT = "    "


def _far_name(phase: Phase) -> str:
    """No identifier of a user's starts with an underscore."""
    return f"_{phase.name}_far"


def _in_place(phase: Phase) -> bool:
    """True where the phase replaces what it reads, so that it cannot be run again."""
    return any(
        isinstance(s, (Store, Update)) and s.buffer.space in ("parameter", "state")
        for s in statements(phase.body)
    )


class Walk(Expressions):
    """Writes the phases of one kernel.

    Parameters
    ----------
    real : {"float64", "float32"}
    math : {"fast", "accurate"}
    sizes : list of str
        Names of the size variables, which every phase takes.
    rows : Expr or None
        The number of rows, as an expression.
    pools : dict
        The flat arrays.
    """

    def __init__(
        self,
        real: str,
        math: str,
        sizes: list[str],
        rows: Expr | None,
        pools: Mapping[str, Pool],
    ) -> None:
        super().__init__(real, math, pools)
        self.sizes = sizes
        self.rows = rows
        self.lines: list[str] = []
        self.parts: list[str] = []
        self._written: dict[str, str] = {}
        self._visible: tuple[str, ...] = ()
        self._in_block = False
        self._counters: list[str] = []
        self._arrays: dict[str, list[str]] = {}
        self._phase: Phase | None = None
        self._far = False
        self._sharing = False

    # --- elements ------------------------------------------------------------------------

    def element(self, buffer: Buffer, index: tuple[Expr, ...]) -> str:
        """The text of an element of a buffer."""
        if buffer.space == "scalar":
            return buffer.name
        if self._direct(buffer):
            array = buffer.array if self._copy_start(buffer) is None else f"{buffer.array}_own"
            return f"{array}[{self.text(self._offset(buffer))}]"
        position = flat_index(buffer, self._in_tile(buffer, index))
        return f"{buffer.name}[{self.text(position, 'int')}]"

    @staticmethod
    def _in_tile(buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """An index whose row counts from the first of the tile, where a buffer holds a tile."""
        axis = buffer.row_axis
        if buffer.space != "private" or axis is None:
            return index
        row = Call("subtract", (index[axis], Var("tile_first", "int")), "int")
        return (*index[:axis], row, *index[axis + 1 :])

    # --- statements ----------------------------------------------------------------------

    def line(self, depth: int, text: str, formula: str = "") -> None:
        """Write a line, with the formula as a comment."""
        for note in [n for n, written in self._watched.items() if not written]:
            self._watched[note] = True
            self._far |= note.startswith("far ")
            self.lines.append(f"{INDENT * depth}{note}")
        remark = f"  # {comment(formula)}" if formula else ""
        self.lines.append(f"{INDENT * depth}{text}{remark}")

    def flagged(self, start: int, depth: int) -> None:
        """Set and read the flags of the loops that begin at a line."""
        for name, status in FLAGS.values():
            if any(f"{name} |=" in line for line in self.lines[start:]):
                self.lines.insert(start, f"{INDENT * depth}{name} = False")
                self.line(depth, f"if {name}:")
                self.line(depth + 1, f"status[0] = {status}")

    def body(self, statements: list[Statement], depth: int) -> None:
        """Write the body of a block."""
        for s in statements:
            self.statement(s, depth)
        if not statements:
            self.line(depth, "pass")

    def statement(self, s: Statement, depth: int) -> None:
        """Write a statement, and those inside it."""
        match s:
            case Store():
                target = self.element(s.buffer, s.index)
                dtype = s.buffer.dtype
                if dtype == "bool":
                    dtype = "int" if s.buffer.space != "scalar" else "bool"
                self.line(depth, f"{target} = {self.text(s.value, dtype)}", s.formula)
            case Update():
                target = self.element(s.buffer, s.index)
                value = self.text(s.value, memory_dtype(s.buffer.dtype))
                if s.operation == "add":
                    self.line(depth, f"{target} += {value}", s.formula)
                else:
                    self._need(s.operation)
                    self.line(depth, f"{target} = {s.operation}({target}, {value})", s.formula)
            case Let():
                self.line(depth, f"{s.name} = {self.text(s.value)}", s.formula)
            case Loop():
                self._loop(s, depth)
            case Block():
                self.line(depth, self._block(s))
            case Gemm():
                self._gemm(s, depth)
            case Routine():
                self._need(s.name)
                sizes = [self.text(e, "int") for e in s.sizes]
                arguments = ", ".join([*(b.name for b in s.buffers), *sizes, "status"])
                self.line(depth, f"{s.name}({arguments})", s.formula)

    def _loop(self, s: Loop, depth: int) -> None:
        inner = statements(s.body)
        if s.formula and not any(getattr(i, "formula", "") for i in inner):
            self.line(depth, f"# {comment(s.formula)}")
        extent = f"range({self.text(s.extent)})"
        if self._by_rows(s.extent):
            extent = "range(tile_first, tile_last)" if self._tiled else "range(first, last)"
        self.line(depth, f"for {s.counter} in {extent}:")
        outside, self._watched = self._watched, {}
        self._counters.append(s.counter)
        self.body(s.body, depth + 1)
        self._counters.pop()
        self._watched = outside

    def _by_rows(self, extent: Expr) -> bool:
        return (
            self._phase is not None
            and self._phase.kind == "rows"
            and self.rows is not None
            and extent == self.rows
        )

    @property
    def _tiled(self) -> bool:
        return self._phase is not None and self._phase.tile is not None

    def _gemm(self, s: Gemm, depth: int) -> None:
        if s.formula:
            self.line(depth, f"# {comment(s.formula)}")
        extents = [
            "tile_last - tile_first" if self._by_rows(e) else self.text(e) for e in (s.m, s.n, s.k)
        ]
        first = None
        if self._sharing:
            first = Var("first", "int")
            self.line(depth, f"first, last = share({extents[0]}, tid, nth)")
            extents[0] = "last - first"
        left, right, target = self._matrix(s.a, first), self._matrix(s.b), self._matrix(s.c, first)
        matrices = ", ".join(
            f"{text}, {self.text(m.stride)}, {int(m.transposed)}"
            for text, m in ((left, s.a), (right, s.b))
        )
        self.line(
            depth,
            f"gemm({', '.join(extents)}, {matrices}, "
            f"{target}, {self.text(s.c.stride)}, {int(s.accumulate)})",
        )

    def _matrix(self, matrix: Matrix, first: Expr | None = None) -> str:
        """The pointer to a matrix, or to its row ``first``."""
        buffer = matrix.buffer
        offset: Expr = const(0)
        if matrix.lead:
            rest = [const(0)] * (len(buffer.shape) - len(matrix.lead))
            offset = flat_index(buffer, self._in_tile(buffer, (*matrix.lead, *rest)))
            if first is not None:
                offset = plus(offset, times(first, matrix.stride))
            return f"at({buffer.name}, {self.text(offset)})"
        if first is not None:
            offset = first if matrix.transposed else times(first, matrix.stride)
        whole = buffer.space != "private" and buffer.row_axis is not None
        if whole and self._phase is not None and self._phase.kind == "rows":
            first = Var("tile_first", "int")
            offset = times(first, matrix.stride) if buffer.row_axis == 0 else first
        return f"at({buffer.name}, {self.text(offset)})"

    # --- phases --------------------------------------------------------------------------

    def arguments(self, phase: Phase) -> list[str]:
        """The arrays that a phase takes."""
        if phase.name not in self._arrays:
            self._arrays[phase.name] = list(dict.fromkeys(b.array for b in used_buffers(phase)))
        return [*self.sizes, *self._arrays[phase.name]]

    def phase(self, phase: Phase, only: bool = False) -> bool:
        """Write one phase as a function; True where it calls for the one with ``only``.

        That one computes a single chunk, with the sine and cosine of the C library.
        """
        self._phase = phase
        self._far = False
        head = ["tid", "nth", "chunks", "status", *(["only"] if only else [])]
        names = ", ".join([*head, *self.arguments(phase)])
        self.line(0, f"def {_far_name(phase) if only else phase.name}({names}):")
        for buffer in seen_buffers(phase):
            self._view(buffer, 1)
        if phase.kind == "rows":
            self._rows(phase, only)
        elif phase.kind == "combine":
            self._split(phase.body)
        elif phase.kind == "shared":
            self._share(phase.body)
        else:
            self.line(1, "if tid != 0:")
            self.line(2, "return")
            self.body(phase.body, 1)
        self._phase = None
        return self._far

    def _block(self, block: Block) -> str:
        """Write a block as a function, once; gives the call of it."""
        if block.name in self._written:
            return self._written[block.name]
        assert self._phase is not None
        saved = self.lines, self._watching, self._flagging, self._watched, self._in_block
        self.lines, self._watching, self._flagging = [], False, False
        self._watched, self._in_block = {}, True
        for array, place in dict.fromkeys(
            (b.array, self._copy_start(b)) for b in seen_buffers(block) if self._direct(b)
        ):
            if place is not None:
                self.line(1, f"{array}_own = at({array}, {self.text(place)})")
        for buffer in seen_buffers(block):
            if self._direct(buffer):
                continue
            self._view(buffer, 1)
            if buffer.space == "partial" and self._phase.kind == "rows":
                self._partial_view(buffer, 1)
        if self._counters:  # the loop around it is divided, or belongs to one thread
            self.body(block.body, 1)
        elif self._phase.kind == "combine":
            self._split(block.body)
        elif self._phase.kind == "shared":
            self._share(block.body)
        else:
            self.body(block.body, 1)
        lines = self.lines
        self.lines, self._watching, self._flagging, self._watched, self._in_block = saved
        code = (line.partition("  # ")[0] for line in lines)
        used = {word for line in code for word in re.findall(r"\w+", line)}
        own = {s.counter for s in statements(block.body) if isinstance(s, Loop)}
        counters = [c for c in dict.fromkeys(self._counters) if c not in own]
        arguments = [*self._visible, "status", *counters, *self.arguments(self._phase)]
        call = f"{block.name}({', '.join(a for a in arguments if a in used)})"
        self.parts += ["", "@compiler.part", f"def {call}:", *lines, ""]
        self._written[block.name] = call
        return call

    def _direct(self, buffer: Buffer) -> bool:
        """True for a number in a flat array, which blocks read there: a view is a line more."""
        return (
            self._in_block
            and not buffer.shape
            and buffer.array != buffer.name
            and isinstance(self._offset(buffer), Const)
            and not (buffer.space == "partial" and self._phase and self._phase.kind != "rows")
        )

    def _copy_start(self, buffer: Buffer) -> Expr | None:
        """Where the copy of a thread or of a chunk starts in an array of copies."""
        own = {"private": "tid", "partial": "chunk"}.get(buffer.space)
        return times(Var(own, "int"), self.pools[buffer.array].size) if own else None

    def _partial_view(self, buffer: Buffer, depth: int) -> None:
        """The partial results of a chunk."""
        stride = self.pools[buffer.array].size
        offset = plus(times(Var("chunk", "int"), stride), self._offset(buffer))
        self.line(depth, f"{buffer.name} = at({buffer.array}, {self.text(offset)})", buffer.formula)

    def step_body(self, body: list[Statement]) -> None:
        """The body of the loop over the steps."""
        start = len(self.lines)
        self._flagging = True
        self.body(body, 2)
        self._flagging = False
        self.flagged(start, 2)

    def place(self, number: Resident) -> str:
        """A number in the flat array that holds it."""
        buffer = number.buffer
        position = plus(self._offset(buffer), flat_index(buffer, number.index))
        return f"{buffer.array}[{self.text(position)}]"

    def views(self, buffers: list[Buffer], depth: int) -> None:
        """Name the buffers of a phase that is written into the entry."""
        for buffer in buffers:
            self._view(buffer, depth)

    def _view(self, buffer: Buffer, depth: int) -> None:
        offset = self._offset(buffer)
        if buffer.space == "partial":
            return  # each chunk has its own
        if buffer.space == "private":
            stride = self.pools[buffer.array].size
            offset = plus(times(Var("tid", "int"), stride), offset)
        elif buffer.array == buffer.name and offset == const(0):
            return
        self.line(depth, f"{buffer.name} = at({buffer.array}, {self.text(offset)})", buffer.formula)

    def _rows(self, phase: Phase, only: bool) -> None:
        assert self.rows is not None
        rows = self.text(self.rows, level=6)
        self._visible = ("tid",)
        self.body(phase.prologue, 1) if phase.prologue else None
        chunks = "range(only, only + 1)" if only else "range(tid, chunks, nth)"
        self.line(1, f"for chunk in {chunks}:")
        self.line(2, f"first = {rows} * chunk // chunks")
        self.line(2, f"last = {rows} * (chunk + 1) // chunks")
        self._visible = ("tid", "chunk", "first", "last")
        for buffer in seen_buffers(phase):
            if buffer.space == "partial":
                self._partial_view(buffer, 2)
        if phase.before:
            self.body(phase.before, 2)
        start = len(self.lines)
        self._watching = not only and not _in_place(phase)
        self._flagging = True
        if phase.tile is None:
            self.body(phase.body, 2)
        else:
            self.line(2, f"for tile_first in range(first, last, {phase.tile}):")
            self.line(3, f"tile_last = min(tile_first + {phase.tile}, last)")
            self._visible += ("tile_first", "tile_last")
            self.body(phase.body, 3)
        self._watching = self._flagging = False
        self.flagged(start, 2)
        self._visible = ("tid", "chunk", "first", "last")
        if phase.after:
            self.body(phase.after, 2)
        if self._far:
            self.lines.insert(start, f"{INDENT * 2}far = False")
            self.line(2, "if far:")
            arguments = ", ".join(["tid, nth, chunks, status, chunk", *self.arguments(phase)])
            self.line(3, f"{_far_name(phase)}({arguments})")

    def _split(self, body: list[Statement]) -> None:
        """Elements go to threads in turn; single values to the first thread."""
        self._visible = ("tid", "nth", "chunks")
        for s in body:
            if isinstance(s, Block):
                self.statement(s, 1)
            elif isinstance(s, Loop):
                if s.formula:
                    self.line(1, f"# {comment(s.formula)}")
                self.line(1, f"for {s.counter} in range(tid, {self.text(s.extent)}, nth):")
                self._divided(s)
            else:
                self.line(1, "if tid == 0:")
                self.statement(s, 2)

    def _share(self, body: list[Statement]) -> None:
        """Loops and products are divided; variables are everybody's, the rest the first thread's.

        ``passes.sharing`` has seen to it that a statement here can be divided, or that no other
        thread reads what it writes.
        """
        self._visible = ("tid", "nth")
        for s in body:
            if isinstance(s, Block):
                self.statement(s, 1)
                continue
            place = who(s)
            if place == "everybody":
                self.statement(s, 1)
            elif place == "first":
                self.line(1, "if tid == 0:")
                self.statement(s, 2)
            elif isinstance(s, Gemm):
                self._sharing = True
                self._gemm(s, 1)
                self._sharing = False
            elif isinstance(s, Loop):
                if s.formula:
                    self.line(1, f"# {comment(s.formula)}")
                self.line(1, f"first, last = share({self.text(s.extent)}, tid, nth)")
                self.line(1, f"for {s.counter} in range(first, last):")
                self._divided(s)

    def _divided(self, s: Loop) -> None:
        """The body of a loop of which each thread runs a part."""
        self._counters.append(s.counter)
        self.body(s.body, 2)
        self._counters.pop()
