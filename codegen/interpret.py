"""What loop IR means: phases run in plain Python, element by element.

The second oracle, beside ``symdiff.evaluate``, which says what a graph means: where a kernel is
wrong and its loop IR right, the text or the compiler is to blame. Elementwise operations have the
NumPy meaning of the table of operations, not their spelling. Work memory is a dict of elements:
one that is read before it is written is an error, and so is an index out of bounds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from symdiff.elementwise import ELEMENTWISE
from symdiff.errors import IndexOutOfRange
from symdiff.random_bits import random_bits

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
    Matrix,
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

Index = tuple[int, ...]
Elements = MutableMapping[Index, Any]

LOCAL = ("private", "scalar")
"""Spaces whose contents last for one tile of rows."""

OPERATIONS: dict[str, Callable[..., Any]] = {
    "floor_divide": lambda a, b: a // b,
    "modulo": lambda a, b: a % b,
    "better_max": lambda a, b: bool(a > b or (a != a and b == b)),
    "better_min": lambda a, b: bool(a < b or (a != a and b == b)),
    "to_int": lambda a: int(a),
}
"""Operations that lowering adds to those of the table."""


class Array(MutableMapping[Index, Any]):
    """An array that the caller owns, as elements."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __getitem__(self, index: Index) -> Any:
        return self.array[self._checked(index)]

    def __setitem__(self, index: Index, value: Any) -> None:
        self.array[self._checked(index)] = value

    def __delitem__(self, index: Index) -> None:
        raise TypeError("elements of an array stay")

    def __iter__(self) -> Any:
        return iter(np.ndindex(self.array.shape))

    def __len__(self) -> int:
        return int(self.array.size)

    def _checked(self, index: Index) -> Index:
        if len(index) != self.array.ndim or any(
            not 0 <= i < n for i, n in zip(index, self.array.shape, strict=True)
        ):
            raise IndexOutOfRange(f"index {index} of an array of shape {self.array.shape}")
        return index


class Interpreter:
    """Runs phases.

    Parameters
    ----------
    arrays : dict
        ``{buffer: array}`` for all memory that the caller owns, in the shape of the buffer.
    variables : dict
        Values of the size variables, and of ``step`` and ``epoch`` in an update.
    rows : Expr or None
        The number of rows.
    chunks : int
        Chunks that the rows are divided into.
    dtype : {"float64", "float32"}
    """

    def __init__(
        self,
        arrays: Mapping[Buffer, np.ndarray],
        variables: Mapping[str, int],
        rows: Expr | None = None,
        chunks: int = 1,
        dtype: str = "float64",
    ) -> None:
        self.memory: dict[Buffer, Elements] = {b: Array(a) for b, a in arrays.items()}
        self.partials: dict[tuple[Buffer, int], Elements] = {}
        self.variables: dict[str, Any] = dict(variables)
        self.rows = rows
        self.chunks = chunks
        self.real = np.dtype(dtype).type
        self.chunk = 0
        self.tile: range | None = None
        self._kept: set[Buffer] = set()

    # --- phases --------------------------------------------------------------------------

    def run(self, phases: Sequence[Phase]) -> None:
        """Run phases in order."""
        with np.errstate(all="ignore"):
            self._in_order(list(phases), 0)

    def _in_order(self, phases: Sequence[Phase], depth: int) -> None:
        """Phases that are in the same ``depth`` loops; those in one more are repeated together."""
        for loop, group in itertools.groupby(
            phases, lambda p: p.around[depth] if len(p.around) > depth else None
        ):
            inside = list(group)
            if loop is not None:
                for i in range(self.value(loop.extent)):
                    self.variables[loop.counter] = i
                    self._in_order(inside, depth + 1)
                continue
            for phase in inside:
                outer = dict(self.variables)
                self._phase(phase)
                self._kept = set()
                self._forget()
                self.variables = outer

    def _phase(self, phase: Phase) -> None:
        if phase.kind != "rows":
            self._body(phase.prologue)
            self._body(phase.body)
            return
        assert self.rows is not None
        count = self.value(self.rows)
        self._body(phase.prologue)
        self._kept = set(self.memory)
        for chunk in range(self.chunks):
            self.chunk = chunk
            first = count * chunk // self.chunks
            last = count * (chunk + 1) // self.chunks
            self._body(phase.before)
            for start in range(first, last, phase.tile or max(count, 1)):
                self.tile = range(start, min(start + (phase.tile or count), last))
                self._body(phase.body)
            self._body(phase.after)
            self.tile = None
            self._forget()

    def _forget(self) -> None:
        """What a tile or a thread kept for itself is gone, but for that of the prologue."""
        for buffer in [b for b in self.memory if b.space in LOCAL and b not in self._kept]:
            del self.memory[buffer]

    # --- statements ----------------------------------------------------------------------

    def _body(self, body: Sequence[Statement]) -> None:
        for statement in body:
            self._statement(statement)

    def _statement(self, s: Statement) -> None:
        match s:
            case Store():
                self._store(s.buffer, s.index, self.value(s.value, s.buffer.dtype))
            case Update():
                old = self._load(s.buffer, s.index)
                value = self.value(s.value, "real" if s.buffer.dtype == "real" else "int")
                new = old + value if s.operation == "add" else _apply(s.operation, [old, value])
                self._store(s.buffer, s.index, new)
            case Let():
                self.variables[s.name] = self.value(s.value)
            case Turns():
                for i in range(self.value(s.part[0]), self.value(s.extent), s.part[1]):
                    self.variables[s.counter] = i
                    self._body(s.body)
            case Loop():
                for i in self._range(s.extent):
                    self.variables[s.counter] = i
                    self._body(s.body)
            case Block():
                self._body(s.body)
            case Spread() | Lanes():
                self._divided(s)
            case Meet():
                pass
            case Gemm():
                self._gemm(s)
            case Routine():
                self._routine(s)

    def _divided(self, s: Spread | Lanes) -> None:
        """Every index of the axes in order, or those of a part."""
        every = itertools.product(*(range(self.value(e)) for e in s.extents))
        places: Iterator[tuple[int, ...]] = every
        if isinstance(s, Lanes) and s.part is not None:
            places = itertools.islice(every, self.value(s.part[0]), None, s.part[1])
        for place in places:
            self.variables.update(zip(s.counters, place, strict=True))
            self._body(s.body)

    def _range(self, extent: Expr) -> range:
        """All of an extent; of the rows those of this tile."""
        if self.tile is not None and extent == self.rows:
            return self.tile
        return range(self.value(extent))

    def _elements(self, buffer: Buffer) -> Elements:
        if buffer.space == "partial":
            return self.partials.setdefault((buffer, self.chunk), {})
        return self.memory.setdefault(buffer, {})

    def _index(self, buffer: Buffer, index: Sequence[Expr]) -> Index:
        place = tuple(int(self.value(i, "int")) for i in index)
        if len(place) != len(buffer.shape):
            raise IndexOutOfRange(f"{buffer} has {len(buffer.shape)} axes, got the index {place}")
        for axis, (i, extent) in enumerate(zip(place, buffer.shape, strict=True)):
            # a tile holds some rows, data more of them than a batch
            free = axis == buffer.row_axis and buffer.space in ("private", "data")
            if i < 0 or (not free and i >= self.value(extent)):
                raise IndexOutOfRange(f"index {place} of {buffer}")
        return place

    def _load(self, buffer: Buffer, index: Sequence[Expr]) -> Any:
        place = self._index(buffer, index)
        try:
            return self._elements(buffer)[place]
        except KeyError:
            raise LookupError(f"{buffer} is read at {place} before it is written") from None

    def _store(self, buffer: Buffer, index: Sequence[Expr], value: Any) -> None:
        self._elements(buffer)[self._index(buffer, index)] = value

    # --- expressions ---------------------------------------------------------------------

    def value(self, expression: Expr, dtype: str | None = None) -> Any:
        """The value of an expression, as a number of a dtype."""
        return self._convert(self._value(expression), dtype or expression.dtype)

    def _convert(self, value: Any, dtype: str) -> Any:
        if dtype == "real":
            return self.real(value)
        return int(value) if dtype == "int" else bool(value != 0)

    def _value(self, expression: Expr) -> Any:
        match expression:
            case Const():
                number = expression.value
                if getattr(number, "is_Boolean", False):
                    return bool(number)
                return int(number) if expression.dtype == "int" else self.real(float(number))
            case Var():
                return self.variables[expression.name]
            case Load():
                return self._load(expression.buffer, expression.index)
            case Call():
                return self._call(expression)

    def _call(self, call: Call) -> Any:
        operation = call.operation
        if operation == "where":  # the branch not taken may lie outside of its array
            condition, yes, no = call.arguments
            return self.value(yes if self.value(condition, "bool") else no, call.dtype)
        if operation.startswith("combine_"):
            return self._combine(call)
        if operation == "random_bits":
            return int(random_bits(*(int(self.value(a)) for a in call.arguments)))
        if operation in ("bounded", "label"):
            return self._checked(operation, *(self.value(a, "int") for a in call.arguments))
        return _apply(operation, [self.value(a, _operand_dtype(call)) for a in call.arguments])

    def _checked(self, operation: str, index: int, size: int) -> int:
        place = index + size if index < 0 and operation == "bounded" else index
        if not 0 <= place < size:
            raise IndexOutOfRange(f"{operation}: {index} does not lie in an axis of {size}")
        return place

    def _combine(self, call: Call) -> Any:
        (load,) = call.arguments
        assert isinstance(load, Load)
        operation = call.operation.removeprefix("combine_")
        index = self._index(load.buffer, load.index)
        parts = [self.partials[load.buffer, chunk][index] for chunk in range(self.chunks)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part if operation == "add" else _apply(operation, [total, part])
        return total

    # --- matrices ------------------------------------------------------------------------

    def _gemm(self, s: Gemm) -> None:
        for i in self._range(s.m):
            for j in self._range(s.n):
                total = self._entry(s.c, i, j) if s.accumulate else self.real(0)
                for k in self._range(s.k):
                    total = total + self._entry(s.a, i, k) * self._entry(s.b, k, j)
                place = self._place(s.c, i, j)
                self._store(s.c.buffer, place, total)

    def _place(self, matrix: Matrix, row: int, column: int) -> tuple[Const, ...]:
        """The index of an entry in the buffer."""
        place = (column, row) if matrix.transposed else (row, column)
        shape = matrix.buffer.shape
        if not matrix.lead and len(shape) == 2:
            return Const(place[0], "int"), Const(place[1], "int")
        inner = [int(self.value(e, "int")) for e in shape[1:]]
        first, *rest = [*(int(self.value(i, "int")) for i in matrix.lead), *[0] * len(shape)]
        flat = place[0] * inner[-1] + place[1]
        for i, axis in zip(rest, range(len(inner)), strict=False):
            flat += i * math.prod(inner[axis + 1 :])
        index = [first + flat // math.prod(inner)]
        index += map(int, np.unravel_index(flat % math.prod(inner), inner))
        return tuple(Const(i, "int") for i in index)

    def _entry(self, matrix: Matrix, row: int, column: int) -> Any:
        return self._load(matrix.buffer, self._place(matrix, row, column))

    def _routine(self, s: Routine) -> None:
        sizes = [self.value(e, "int") for e in s.sizes]
        ROUTINES[s.name]([self._elements(b) for b in s.buffers], sizes)


def _operand_dtype(call: Call) -> str:
    """The dtype in which an operation takes its operands."""
    if call.operation.startswith("logical_"):
        return "bool"
    if call.dtype == "bool":  # a comparison
        return "real" if any(a.dtype == "real" for a in call.arguments) else "int"
    return call.dtype


def _apply(operation: str, arguments: list[Any]) -> Any:
    own = OPERATIONS.get(operation)
    if own is not None:
        return own(*arguments)
    row = ELEMENTWISE[operation]
    result = row.numpy([np.asarray(a)[()] for a in arguments], None, {})
    return np.asarray(result)[()]


def _matrix(elements: Elements, rows: int, columns: int) -> np.ndarray:
    return np.array([[elements[i, j] for j in range(columns)] for i in range(rows)])


def _fill(elements: Elements, matrix: np.ndarray) -> None:
    elements.update({(i, j): matrix[i, j] for i, j in np.ndindex(matrix.shape)})


def _determinant(buffers: list[Elements], sizes: list[int]) -> None:
    result, a = buffers
    result[0, 0] = np.linalg.det(_matrix(a, sizes[0], sizes[0]))


def _log_determinant(buffers: list[Elements], sizes: list[int]) -> None:
    result, a = buffers
    result[0, 0] = np.linalg.slogdet(_matrix(a, sizes[0], sizes[0])).logabsdet


def _solve_linear(buffers: list[Elements], sizes: list[int]) -> None:
    a, b = buffers
    n, k = sizes
    _fill(b, np.linalg.solve(_matrix(a, n, n), _matrix(b, n, k)))


def _cholesky_factor(buffers: list[Elements], sizes: list[int]) -> None:
    (a,) = buffers
    _fill(a, np.linalg.cholesky(_matrix(a, sizes[0], sizes[0])))


ROUTINES: dict[str, Callable[[list[Elements], list[int]], None]] = {
    "determinant": _determinant,
    "log_determinant": _log_determinant,
    "solve_linear": _solve_linear,
    "cholesky_factor": _cholesky_factor,
}
"""What routines on whole buffers mean."""


def interpret(
    phases: Sequence[Phase],
    arrays: Mapping[Buffer, np.ndarray],
    variables: Mapping[str, int],
    rows: Expr | None = None,
    chunks: int = 1,
    dtype: str = "float64",
) -> None:
    """Run phases; results are written into ``arrays``. The arguments are those of Interpreter."""
    Interpreter(arrays, variables, rows, chunks, dtype).run(phases)
