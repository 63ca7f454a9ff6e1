"""Row loops are cut so that mathematics of single numbers is vectorised over the rows.

A row loop with loops over features inside computes one row after the other, and with it what it
computes of single numbers in between: a sigmoid, say. That becomes a loop of its own over the
rows of a tile, which LLVM vectorises. What goes from one loop to the next lies in a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..ir_walk import expressions, loads, map_statement, rewritten_targets, statements, walk
from ..loop_ir import (
    ROW,
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
    Var,
    count,
)
from ..names import Names

HEAVY = {
    "cos", "cosh", "erf", "erfc", "exp", "expm1", "log", "log1p", "log_sigmoid", "power",
    "sigmoid", "sin", "sinh", "softplus", "tanh",
}  # fmt: skip
"""Operations that are many times faster in a vector than one by one."""

WIDTH = 512
"""Elements of a row that may go from loop to loop: a tile of rows stays in cache."""

Group = list[Statement]


def distribute(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Cut the row loops of a phase where that vectorises heavy operations."""
    if phase.kind not in ("rows", "step"):
        return
    body = [part for s in phase.body for part in _parts(s, names, buffers)]
    if len(body) > len(phase.body):
        heavy = {p.operation for s in statements(phase.body) for e in expressions(s)
                 for p in walk(e) if isinstance(p, Call) and p.operation in HEAVY}  # fmt: skip
        phase.note(
            f"the loop over the rows cut in {1 + len(body) - len(phase.body)}",
            f"{', '.join(sorted(heavy))} of single numbers are vectorised over the rows",
        )
    phase.body = body


def _parts(s: Statement, names: Names, buffers: list[Buffer]) -> list[Statement]:
    if not isinstance(s, Loop) or s.counter != ROW:
        return [s]
    groups = _groups(s.body)
    cut = _cut(groups, s.extent, names, buffers) if groups else None
    return [s] if cut is None else [Loop(ROW, s.extent, g, s.formula) for g in cut]


def _groups(body: Sequence[Statement]) -> list[Group]:
    """Runs of single numbers with a heavy operation, and what lies between them.

    Empty where there is nothing to gain.
    """
    runs: list[Group] = []
    for s in body:
        if runs and isinstance(s, Loop) == isinstance(runs[-1][0], Loop):
            runs[-1].append(s)
        else:
            runs.append([s])
    groups: list[tuple[bool, Group]] = []
    for run in runs:
        heavy = not isinstance(run[0], Loop) and _is_heavy(run)
        if groups and not heavy and not groups[-1][0]:
            groups[-1][1].extend(run)
        else:
            groups.append((heavy, run))
    looping = any(isinstance(s, Loop) for s in body)
    return [g for _, g in groups] if looping and any(heavy for heavy, _ in groups) else []


def _is_heavy(body: Sequence[Statement]) -> bool:
    parts = (p for s in body for e in expressions(s) for p in walk(e))
    return any(isinstance(p, Call) and p.operation in HEAVY for p in parts)


def _accessed(group: Group) -> Iterator[tuple[Buffer | str, str, bool]]:
    """``(variable or buffer, dtype, written)`` of every access."""
    for s in statements(group):
        for load in loads(s):
            yield load.buffer, load.dtype, False
        for e in expressions(s):
            for part in walk(e):
                if isinstance(part, Var):
                    yield part.name, part.dtype, False
        if isinstance(s, (Store, Update)):
            yield s.buffer, s.buffer.dtype, True
        elif isinstance(s, Let):
            yield s.name, s.value.dtype, True
        elif isinstance(s, Routine):
            for buffer in s.buffers:
                yield buffer, buffer.dtype, True
        elif isinstance(s, Gemm):
            yield s.c.buffer, "real", True


def _cut(
    groups: list[Group], rows: Expr, names: Names, buffers: list[Buffer]
) -> list[Group] | None:
    """The groups as bodies of their own; None where too much would go from one to the next."""
    written: dict[Buffer | str, list[int]] = {}
    touched: dict[Buffer | str, list[int]] = {}
    dtypes: dict[Buffer | str, str] = {}
    for number, group in enumerate(groups):
        for what, dtype, writes in _accessed(group):
            touched.setdefault(what, []).append(number)
            if writes:
                written.setdefault(what, []).append(number)
                dtypes[what] = dtype
    crossing = [w for w, where in written.items() if len({*where, *touched[w]}) > 1]
    numbers = [w for w in crossing if isinstance(w, str) or w.space == "scalar"]
    arrays = [w for w in crossing if isinstance(w, Buffer) and _is_work(w)]
    width = len(numbers)
    for buffer in arrays:
        elements = count(buffer.shape)
        if not isinstance(elements, Const):
            return None
        width += int(elements.value)
    if width > WIDTH or any(_in_routine(g, arrays) for g in groups):
        return None
    row = Var(ROW, "int")
    tiles: dict[Buffer | str, Buffer] = {}
    for what in [*numbers, *arrays]:
        name, shape, formula = (
            (what, [], "") if isinstance(what, str) else (what.name, what.shape, what.formula)
        )
        tiles[what] = Buffer(
            names.new(f"{name}_tile"), [rows, *shape], dtypes[what], "private", 0, formula
        )
        buffers.append(tiles[what])

    def place(buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        return (tiles[buffer], (row, *index)) if buffer in arrays else (buffer, index)

    def read(e: Expr) -> Expr | None:
        return Load(*place(e.buffer, e.index)) if isinstance(e, Load) else None

    result = []
    for number, group in enumerate(groups):
        body: Group = rewritten_targets([map_statement(s, read) for s in group], place)
        before: Group = []
        for what in numbers:
            tile = tiles[what]
            if number in touched[what] and min(written[what]) < number:
                before.append(_take(what, Load(tile, (row,))))
            later = any(n > number for n in touched[what])
            if number in written[what] and later:
                body.append(Store(tile, (row,), _value(what, dtypes[what])))
        result.append([*before, *body])
    return result


def _is_work(buffer: Buffer) -> bool:
    """Work memory of one row, used again for the next one."""
    return buffer.space == "private" and buffer.row_axis is None


def _in_routine(group: Group, arrays: list[Buffer]) -> bool:
    return any(
        isinstance(s, Gemm) or (isinstance(s, Routine) and any(b in arrays for b in s.buffers))
        for s in statements(group)
    )


def _take(what: Buffer | str, value: Expr) -> Statement:
    return Let(what, value) if isinstance(what, str) else Store(what, (), value)


def _value(what: Buffer | str, dtype: str) -> Expr:
    return Var(what, dtype) if isinstance(what, str) else Load(what, ())
