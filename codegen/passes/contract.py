"""Contraction: an axis of a work buffer that one loop body only visits at its counter goes.

A buffer that loses all its axes is a variable of the loop body; one whose remaining indices
are all literal becomes one variable for each element.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator

import sympy as sp

from ..ir_walk import loads, map_statement, rewritten_targets
from ..loop_ir import (
    Buffer,
    Call,
    Const,
    Expr,
    Gemm,
    Load,
    Loop,
    Phase,
    Routine,
    Statement,
    Store,
    Update,
    Var,
    const,
    plus,
    times,
)
from ..names import Names

ELEMENTS = 64
"""Buffers of up to this many elements may become variables."""

Path = tuple[int, ...]


_LITERAL: dict[str, Callable[[int, int], int | bool]] = {
    "subtract": operator.sub,
    "floor_divide": operator.floordiv,
    "modulo": operator.mod,
    "equal": operator.eq,
    "less": operator.lt,
    "less_equal": operator.le,
}


def fold(expression: Expr) -> Expr:
    """Fold int arithmetic, comparisons and choices on literals.

    The branch that a literal condition does not take may read what is not there.
    """
    if not isinstance(expression, Call):
        return expression
    operation, arguments = expression.operation, expression.arguments
    if operation == "where" and isinstance(arguments[0], Const):
        chosen = arguments[1] if arguments[0].value else arguments[2]
        return chosen if chosen.dtype == expression.dtype else expression
    if operation == "logical_and":
        unknown = tuple(a for a in arguments if not isinstance(a, Const))
        if any(isinstance(a, Const) and not a.value for a in arguments):
            return Const(sp.S.Zero, "bool")
        return Call(operation, unknown, "bool") if unknown else Const(sp.S.One, "bool")
    if len(arguments) != 2 or any(a.dtype != "int" for a in arguments):
        return expression
    if expression.dtype == "int" and operation == "add":
        return plus(*arguments)
    if expression.dtype == "int" and operation == "multiply":
        return times(*arguments)
    a, b = arguments
    if operation in _LITERAL and isinstance(a, Const) and isinstance(b, Const):
        value = _LITERAL[operation](int(a.value), int(b.value))
        return Const(sp.Integer(int(value)), expression.dtype)
    return expression


def _visits(
    body: list[Statement], path: tuple[tuple[int, str], ...] = ()
) -> Iterator[tuple[Buffer, tuple[Expr, ...] | None, tuple[tuple[int, str], ...], bool]]:
    """``(buffer, index, enclosing loops, written)`` of every access."""
    for s in body:
        for load in loads(s):
            yield load.buffer, load.index, path, False
        if isinstance(s, (Store, Update)):
            yield s.buffer, s.index, path, True
        elif isinstance(s, Routine):
            for buffer in s.buffers:
                yield buffer, None, path, True
        elif isinstance(s, Gemm):
            for matrix in (s.a, s.b, s.c):
                yield matrix.buffer, matrix.index, path, matrix is s.c
        elif isinstance(s, Loop):
            yield from _visits(s.body, (*path, (id(s), s.counter)))


def _common(paths: list[tuple[tuple[int, str], ...]]) -> tuple[tuple[int, str], ...]:
    shortest = min(paths, key=len)
    for length in range(len(shortest), -1, -1):
        if all(p[:length] == shortest[:length] for p in paths):
            return shortest[:length]
    return ()


def contract(phase: Phase, names: Names, buffers: list[Buffer], whole: bool = False) -> None:
    """Contract the private buffers of a phase, and the small partial results.

    With ``whole`` only those become variables that one loop body has for itself, and no others
    lose axes: many threads run the loop at once.
    """
    visits: dict[Buffer, list[tuple[tuple[Expr, ...] | None, tuple[tuple[int, str], ...]]]] = {}
    for buffer, index, path, _ in _visits(phase.body):
        if buffer.space in ("private", "scalar"):
            visits.setdefault(buffer, []).append((index, path))
    dropped: dict[Buffer, list[int]] = {}
    variables: dict[tuple[Buffer, tuple[Expr, ...]], Buffer] = {}
    for buffer, entries in visits.items():
        if buffer.space == "scalar" or any(index is None for index, _ in entries):
            continue
        inside = {counter for _, counter in _common([p for _, p in entries])}
        axes = []
        first = entries[0][0]
        assert first is not None
        for axis in range(len(buffer.shape)):
            at = {index[axis] for index, _ in entries if index is not None}
            if (at == {const(0)} and buffer.shape[axis] == const(1)) or (
                len(at) == 1 and (i := next(iter(at))) and isinstance(i, Var) and i.name in inside
            ):
                axes.append(axis)
        kept = [a for a in range(len(buffer.shape)) if a not in axes]
        left = {tuple(index[a] for a in kept) for index, _ in entries if index is not None}
        literal = all(isinstance(i, Const) for index in left for i in index)
        if whole and not (inside and literal and len(left) <= ELEMENTS):
            continue
        dropped[buffer] = axes
        if literal and len(left) <= ELEMENTS:
            for index in sorted(left, key=str):
                suffix = "_".join(str(i.value) for i in index if isinstance(i, Const))
                name = f"{buffer.name}_{suffix}" if suffix else buffer.name
                variable = Buffer(
                    names.new(name) if suffix else name, [], buffer.dtype, "scalar",
                    formula=buffer.formula,
                )  # fmt: skip
                variables[(buffer, index)] = variable
                buffers.append(variable)
            buffer.space = "gone"

    def place(buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        if buffer not in dropped:
            return buffer, index
        index = tuple(i for a, i in enumerate(index) if a not in dropped[buffer])
        variable = variables.get((buffer, index))
        return (variable, ()) if variable is not None else (buffer, index)

    def expression(e: Expr) -> Expr | None:
        if isinstance(e, Load) and e.buffer in dropped:
            return Load(*place(e.buffer, e.index))
        return None

    phase.body = rewritten_targets([map_statement(s, expression) for s in phase.body], place)
    for buffer, axes in dropped.items():
        if buffer.row_axis is not None:
            if buffer.row_axis in axes:
                buffer.row_axis = None
            else:
                buffer.row_axis -= sum(1 for a in axes if a < buffer.row_axis)
        buffer.shape = [e for a, e in enumerate(buffer.shape) if a not in axes]
