"""The walk from loop IR to Python text; targets differ in the spelling and the prelude."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from symdiff.errors import UnsupportedOperation

from ..layout import Pool, memory_dtype, seen_buffers, used_buffers
from ..loop_ir import (
    Block,
    Buffer,
    Call,
    Const,
    Expr,
    Gemm,
    Let,
    Load,
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
    statements,
    times,
    walk,
)
from ..names import comment
from ..passes.sharing import who
from .spelling import SPELLING, External, Helper, Vector

_LEVEL = {
    "where": 0, "logical_or": 1, "better_max": 1, "better_min": 1, "logical_and": 2,
    "logical_not": 3, "equal": 4, "not_equal": 4, "less": 4, "less_equal": 4, "add": 5,
    "subtract": 5, "multiply": 6, "divide": 6, "mod": 6, "floor_divide": 6, "modulo": 6,
    "negative": 7,
}  # fmt: skip
"""Binding strength of what a template writes; anything else is a call."""

_CALL = 9
_RIGHT = {"subtract", "multiply", "divide", "mod", "floor_divide", "modulo"}
"""Left-associative operations: an operand on the right of equal strength is parenthesised."""

_CONDITIONS = {"logical_and", "logical_or", "logical_not"}
_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "better_max", "better_min"}
_CHECKED = {"bounded", "label"}

FLAGS = {"bounded": ("astray", 1), "label": ("mislabelled", 2)}
"""The variable that notes an index out of range, and the status that tells it."""

CIRCULAR = {"sin", "cos", "tan"}
"""Vector functions of a limited range; see ``Walk._circular``."""


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


class Walk:
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
        self.real = real
        self.math = math
        self.sizes = sizes
        self.rows = rows
        self.pools = pools
        self.helpers: dict[str, None] = {}
        self.externals: dict[str, None] = {}
        self.vectors: dict[str, None] = {}
        self.lines: list[str] = []
        self.parts: list[str] = []
        self._written: dict[str, str] = {}
        self._visible: tuple[str, ...] = ()
        self._in_block = False
        self._counters: list[str] = []
        self._arrays: dict[str, list[str]] = {}
        self._phase: Phase | None = None
        self._watching = False
        self._flagging = False
        self._conditional = 0
        self._watched: dict[str, bool] = {}
        self._far = False
        self._sharing = False

    # --- expressions ---------------------------------------------------------------------

    def text(self, expression: Expr, dtype: str | None = None, level: int = 0) -> str:
        """An expression in a dtype, in parentheses where it binds weaker than ``level``."""
        own, text = self._text(expression, dtype or expression.dtype)
        if dtype is not None and dtype != expression.dtype and not isinstance(expression, Const):
            own, text = self._convert(text, own, expression, dtype)
        return f"({text})" if own < level else text

    def _convert(self, text: str, level: int, expression: Expr, dtype: str) -> tuple[int, str]:
        if dtype == "bool":
            return 4, f"{self._paren(text, level, 5)} != 0"
        if dtype == "real":
            return _CALL, f"real({text})"
        if isinstance(expression, Load):
            return level, text  # conditions in memory are integers
        return _CALL, f"int({text})"

    @staticmethod
    def _paren(text: str, level: int, needed: int) -> str:
        return f"({text})" if level < needed else text

    def _text(self, expression: Expr, dtype: str) -> tuple[int, str]:
        match expression:
            case Const():
                return self._constant(expression.value, dtype)
            case Var():
                return _CALL, expression.name
            case Load():
                return self._load(expression.buffer, expression.index, dtype)
            case Call():
                return self._call(expression)

    def _load(self, buffer: Buffer, index: tuple[Expr, ...], dtype: str) -> tuple[int, str]:
        text = self.element(buffer, index)
        if buffer.dtype == "bool" and dtype == "bool" and buffer.space != "scalar":
            return 4, f"{text} != 0"
        return _CALL, text

    def _constant(self, value: Any, dtype: str) -> tuple[int, str]:
        if dtype == "bool":
            return _CALL, str(bool(value) if value.is_Boolean else value != 0)
        if dtype == "int":
            number = int(value)
            return (_CALL if number >= 0 else 7), str(number)
        real = float(value) if not getattr(value, "is_Boolean", False) else float(bool(value))
        if real != real or real in (float("inf"), float("-inf")):
            name = "np.nan" if real != real else "np.inf" if real > 0 else "-np.inf"
            return _CALL, f"real({name})"
        if self.real == "float64":
            return (_CALL if real >= 0 else 7), repr(real)
        whole = real.is_integer() and 0 < abs(real) < 2**31
        return _CALL, f"real({int(real)})" if whole else f"real({real!r})"

    def _call(self, call: Call) -> tuple[int, str]:
        operation = call.operation
        if operation == "power":
            return self._power(call)
        if operation in _CHECKED:
            value, size = (self.text(a, "int") for a in call.arguments)
            return _CALL, self._checked(operation, value, size)
        if operation.startswith("combine_"):
            return self._combine(call)
        spelling = SPELLING.get(operation)
        if spelling is None:
            raise UnsupportedOperation(f"there is no spelling for the operation {operation}")
        level = _LEVEL.get(operation, _CALL)
        dtypes = self._operand_dtypes(call)
        if isinstance(spelling, External):
            self.externals.setdefault(spelling.name)
            arguments = ", ".join(
                self.text(a, d) for a, d in zip(call.arguments, dtypes, strict=True)
            )
            return _CALL, f"real(special.{spelling.name}({arguments}))"
        if isinstance(spelling, (Helper, Vector)):
            if operation in CIRCULAR and self.math == "fast":
                return _CALL, self._circular(call)
            self._need(operation)
            return _CALL, self._nested_call(operation, call, dtypes)
        if spelling.join:
            parts = []
            for i, (a, d) in enumerate(zip(call.arguments, dtypes, strict=True)):
                short = operation in ("logical_and", "logical_or") and i > 0
                self._conditional += short
                parts.append(self.text(a, d, level + (i > 0)))  # a * (b % c) is not a * b % c
                self._conditional -= short
            return level, spelling.join.join(parts)
        needed = [level if level < _CALL else 0] * len(dtypes)
        if operation in _RIGHT:
            needed[-1] = level + 1
        elif operation in _COMPARISONS or operation == "where":
            needed = [5 if operation in _COMPARISONS else 1] * len(dtypes)
        elif operation == "negative":
            needed = [8]
        parts = []
        for position, operand in enumerate(zip(call.arguments, dtypes, needed, strict=True)):
            conditional = operation == "where" and position > 0
            self._conditional += conditional
            parts.append(self.text(*operand))
            self._conditional -= conditional
        return level, spelling.text.format(*parts)

    def _nested_call(self, operation: str, call: Call, dtypes: list[str]) -> str:
        """A helper of two operands serves any number of them."""
        parts = [self.text(a, d) for a, d in zip(call.arguments, dtypes, strict=True)]
        result = parts[0]
        if len(parts) == 1:
            return f"{operation}({result})"
        if operation not in ("maximum", "minimum"):
            return f"{operation}({', '.join(parts)})"
        for part in parts[1:]:
            result = f"{operation}({result}, {part})"
        return result

    def _circular(self, call: Call) -> str:
        """A sine or cosine whose argument is watched, or that of the C library.

        The vector functions have a limited range. The loop notes whether an argument lay beyond
        it, and then the chunk is computed again with the C library.
        """
        argument = self.text(call.arguments[0], call.dtype)
        checked = any(isinstance(e, Call) and e.operation in _CHECKED for e in walk(call))
        if not self._watching or checked:
            return f"np.{call.operation}({argument})"
        self._need(call.operation)
        self._watched.setdefault(f"far |= beyond({argument})", False)
        return f"{call.operation}({argument})"

    def _checked(self, operation: str, value: str, size: str) -> str:
        """An index that must lie in an axis.

        Inside a loop over the rows a variable notes what is wrong: a store to the status would
        keep LLVM from vectorising the loop. Where an index is not always needed, it is checked
        where it is used.
        """
        if not self._flagging or self._conditional:
            self._need(operation)
            return f"{operation}({value}, {size}, status)"
        outside = f"{operation}_outside"
        self._need(outside)
        self._watched.setdefault(f"{FLAGS[operation][0]} |= {outside}({value}, {size})", False)
        if operation == "label":
            return value
        self._need("inside")
        return f"inside({value}, {size})"

    def flagged(self, start: int, depth: int) -> None:
        """Set and read the flags of the loops that begin at a line."""
        for name, status in FLAGS.values():
            if any(f"{name} |=" in line for line in self.lines[start:]):
                self.lines.insert(start, f"{INDENT * depth}{name} = False")
                self.line(depth, f"if {name}:")
                self.line(depth + 1, f"status[0] = {status}")

    def _operand_dtypes(self, call: Call) -> list[str]:
        operation = call.operation
        if operation in _CONDITIONS:
            return ["bool"] * len(call.arguments)
        if operation in _COMPARISONS:
            kinds = {a.dtype for a in call.arguments}
            return ["real" if "real" in kinds else "int"] * len(call.arguments)
        if operation == "where":
            return ["bool", call.dtype, call.dtype]
        if operation in ("to_int",):
            return ["int"]
        if operation == "random_bits":  # the step may be given as a real number
            return [a.dtype for a in call.arguments]
        return [call.dtype] * len(call.arguments)

    def _power(self, call: Call) -> tuple[int, str]:
        base, exponent = call.arguments
        value = float(exponent.value) if isinstance(exponent, Const) else 0.0
        text = self.text(base, call.dtype)
        if value == 2:
            self._need("square")
            return _CALL, f"square({text})"
        if value.is_integer() and 1 < value < 64:
            self._need("integer_power")
            return _CALL, f"integer_power({text}, {int(value)})"
        if (2 * value).is_integer() and 0 < value < 5 and value != 1:
            self._need("half_power")
            return _CALL, f"half_power({text}, {int(value)})"
        self._need("power")
        return _CALL, f"power({text}, {self.text(exponent, call.dtype)})"

    def _combine(self, call: Call) -> tuple[int, str]:
        (load,) = call.arguments
        assert isinstance(load, Load)
        self._need(call.operation)
        pool = self.pools[load.buffer.array]
        position = plus(self._offset(load.buffer), flat_index(load.buffer, load.index))
        return (
            _CALL,
            # a literal position would be a type of its own, and a compilation
            f"{call.operation}(at({pool.name}, {self.text(position)}), "
            f"{self.text(pool.size)}, chunks)",
        )

    def _need(self, helper: str) -> None:
        spelling = SPELLING[helper]
        if isinstance(spelling, Vector) and self.math == "fast":
            self.vectors.setdefault(helper)
            return
        text = spelling.accurate if isinstance(spelling, Vector) else spelling
        for name in text.needs if isinstance(text, Helper) else ():
            self._need(name)
        self.helpers.setdefault(helper)

    @staticmethod
    def _offset(buffer: Buffer) -> Expr:
        return buffer.offset if buffer.offset is not None else const(0)

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
