"""Floating-point operations and memory traffic of loop IR, counted without running it.

An addition, product, quotient, root, comparison or choice of real numbers is one operation, a
fused multiply-add two; a vector function has as many as the code that it is made of. Index
arithmetic is not counted. A matrix product has 2 m n k.

Bytes are those of the numbers in memory that a phase reads and of those that it writes, each
once: what would move if the caches held all that a phase needs and nothing from before. The
scratch memory of a thread stays in its cache and is not counted.
"""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from . import vector_math
from .emit.spelling import SPELLING, External, Helper, Vector
from .ir_walk import walk
from .layout import size_value
from .loop_ir import (
    Block,
    Buffer,
    Call,
    Const,
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
)
from .straight_line import FORMATS, define

EXTERNAL = 100
"""What a special function of SciPy counts for: it depends on the argument."""

ITEM = {"float64": 8, "float32": 4}

_ARITHMETIC = {
    "fadd": 1, "fsub": 1, "fmul": 1, "fdiv": 1, "fcmp": 1, "select": 1, "call": 1,
}  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What one phase does in a step."""

    name: str
    operations: float
    bytes: float


@functools.cache
def operation_cost(operation: str, dtype: str = "float64") -> int:
    """Floating-point operations of an operation on one element, of two operands where it joins."""
    spelling = SPELLING.get(operation)
    if isinstance(spelling, External):
        return EXTERNAL
    if isinstance(spelling, Vector):
        return _vector_cost(operation, dtype)
    if isinstance(spelling, Helper):
        parts = ast.walk(ast.parse(spelling.source))
        return max(1, sum(_syntax_cost(part, dtype) for part in parts))
    return 0 if operation in ("to_int", "negative", "logical_and", "logical_or") else 1


def _vector_cost(name: str, dtype: str) -> int:
    module = ir.Module()
    function = define(module, getattr(vector_math, name).definition, FORMATS[dtype])
    total = 0
    for instruction in function.blocks[0].instructions:
        total += _ARITHMETIC.get(instruction.opname, 0)
        if instruction.opname == "call" and "llvm.fma" in str(instruction):
            total += 1
    return total


def _syntax_cost(node: ast.AST, dtype: str) -> int:
    """A branch counts whether or not it is taken, a loop of a helper once, a test for NaN not."""
    if isinstance(node, ast.Compare):
        return int(ast.dump(node.left) != ast.dump(node.comparators[0]))
    if isinstance(node, (ast.BinOp, ast.AugAssign)):
        return 1
    if isinstance(node, ast.Call):
        called = node.func.id if isinstance(node.func, ast.Name) else "sqrt"
        return operation_cost(called, dtype) if called in SPELLING else int(called == "sqrt")
    return 0


class _Count:
    """Adds up one phase.

    Parameters
    ----------
    values : dict
        Sizes by name; the rows are those of the batch.
    rows : Expr or None
    chunks : int
    dtype : {"float64", "float32"}
    """

    def __init__(
        self, values: Mapping[str, int], rows: Expr | None, chunks: int, dtype: str
    ) -> None:
        self._values = values
        self._rows = rows
        self._dtype = dtype
        self._chunks = chunks
        self.operations = 0.0
        self._read: defaultdict[Buffer, float] = defaultdict(float)
        self._written: defaultdict[Buffer, float] = defaultdict(float)

    def body(self, statements: Sequence[Statement], times: float, pieces: int) -> None:
        """Count statements that run ``times`` for each of some pieces of the rows."""
        for s in statements:
            if isinstance(s, Loop):
                trips = self._size(s.extent)
                by_rows = self._rows is not None and s.extent == self._rows
                self.body(s.body, times * trips, 1 if by_rows else pieces)
            elif isinstance(s, Block):
                self.body(s.body, times, pieces)
            else:
                self._statement(s, times * pieces, times)

    def _size(self, extent: Expr) -> int:
        return size_value(extent, self._values)

    def _statement(self, s: Statement, times: float, whole: float) -> None:
        match s:
            case Store():
                self._expression(s.value, times)
                self._indices(s.index, times)
                self._written[s.buffer] += times
            case Update():
                self._expression(s.value, times)
                self._indices(s.index, times)
                self.operations += times
                self._read[s.buffer] += times
                self._written[s.buffer] += times
            case Let():
                self._expression(s.value, times)
            case Gemm():
                m, n, k = (self._size(e) for e in (s.m, s.n, s.k))
                if self._rows in (s.m, s.n, s.k):
                    times = whole
                self.operations += 2.0 * m * n * k * times
                self._read[s.a.buffer] += m * k * times
                self._read[s.b.buffer] += k * n * times
                self._written[s.c.buffer] += m * n * times
                if s.accumulate:
                    self._read[s.c.buffer] += m * n * times
            case Routine():
                self.operations += times * self._routine(s)
                for buffer in s.buffers:
                    self._read[buffer] += times * self._elements(buffer)

    def _routine(self, routine: Routine) -> float:
        """A decomposition of an n × n matrix, with k right-hand sides where it has them."""
        n, *more = (self._size(e) for e in routine.sizes)
        cube = n**3 / 3 if routine.name == "cholesky_factor" else 2 * n**3 / 3
        return cube + sum(2.0 * n * n * k for k in more)

    def _indices(self, index: Sequence[Expr], times: float) -> None:
        for i in index:
            self._expression(i, times)

    def _expression(self, expression: Expr, times: float) -> None:
        for part in walk(expression):
            if isinstance(part, Load):
                self._read[part.buffer] += times
            elif isinstance(part, Call):
                self.operations += times * self._call(part, times)

    def _call(self, call: Call, times: float) -> float:
        if call.operation.startswith("combine_"):
            (load,) = call.arguments
            assert isinstance(load, Load)
            self._read[load.buffer] += times * (self._chunks - 1)
            return self._chunks - 1
        if all(a.dtype != "real" for a in (call, *call.arguments)):
            return 0
        if call.operation == "power" and isinstance(call.arguments[1], Const):
            exponent = float(call.arguments[1].value)
            whole = exponent.is_integer()
            if 0 < exponent < (64 if whole else 5) and (2 * exponent).is_integer():
                return int(exponent) - whole + (not whole)  # products, and a root
        cost = operation_cost(call.operation, self._dtype)
        spelling = SPELLING.get(call.operation)
        joined = bool(getattr(spelling, "join", ""))
        if joined or call.operation in ("maximum", "minimum"):
            return cost * (len(call.arguments) - 1)
        return cost

    def _elements(self, buffer: Buffer) -> float:
        total = 1.0
        for extent in buffer.shape:
            total *= self._size(extent)
        return total

    def traffic(self) -> float:
        """Bytes, each number once for reading and once for writing."""
        total, item = 0.0, ITEM[self._dtype]
        for found in (self._read, self._written):
            for buffer, count in found.items():
                if buffer.space in ("scalar", "gone", "private"):
                    continue
                copies = self._chunks if buffer.space == "partial" else 1
                width = item if buffer.dtype == "real" else 8
                total += width * min(count, copies * self._elements(buffer))
        return total


def count_phase(
    phase: Phase,
    values: Mapping[str, int],
    rows: Expr | None,
    chunks: int,
    dtype: str,
) -> Work:
    """The work of a phase in one step.

    Parameters
    ----------
    phase : Phase
    values : dict
        Sizes by name, the rows of the batch among them.
    rows : Expr or None
        The number of rows, as the loops over rows have it.
    chunks : int
    dtype : {"float64", "float32"}
    """
    by_rows = phase.kind == "rows"
    parts = chunks if by_rows else 1
    tiles = parts
    if by_rows and phase.tile is not None and rows is not None:
        share = -(-size_value(rows, values) // chunks)
        tiles = chunks * -(-share // phase.tile)
    counter = _Count(values, rows if by_rows else None, chunks, dtype)
    counter.body(phase.prologue, 1, 1)
    counter.body([*phase.before, *phase.after], 1, parts)
    counter.body(phase.body, 1, tiles)
    return Work(phase.name, counter.operations, counter.traffic())


__all__ = ["Work", "count_phase", "operation_cost"]
