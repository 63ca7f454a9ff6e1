"""Long bodies are cut into blocks, which the emitter writes as functions of their own.

The time that a compiler takes grows much faster than the length of a function: 250 lines take
seconds, 5000 lines more memory than there is. A body that stays under ``LIMIT`` is left alone, so
small kernels keep their variables in registers. A variable that more than one function reads or
writes gets a place in the work memory of the thread.

Where a body is cut depends on its text only, never on threads.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..ir_walk import expressions, map_statement, walk
from ..loop_ir import (
    Block,
    Buffer,
    Call,
    Expr,
    Let,
    Load,
    Loop,
    Phase,
    Statement,
    Store,
    Update,
    Var,
)
from ..names import Names

LIMIT = 200
"""Weight from which on the bodies of a phase are cut,"""

SIZE = 60
"""into blocks of about this weight."""

COMBINE = 5
"""Weight of a sum over the chunks."""

OPERATIONS = 4
"""Operations that one line of source holds; a longer one counts as several."""

Function = Block | None
"""A block, or None for the function of the phase."""


def split(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Cut the bodies of a phase that are too long."""
    wish = f"{phase.name}_part"
    bodies = (phase.prologue, phase.before, phase.body, phase.after)
    if phase.kind == "step" or sum(map(weight, bodies)) <= LIMIT:
        return  # a step that is too long is not compiled as one
    phase.prologue, phase.before, phase.body, phase.after = (
        _cut(body, names, wish) for body in bodies
    )
    _keep(phase, names, buffers)
    parts = sum(
        isinstance(s, Block)
        for b in (phase.prologue, phase.before, phase.body, phase.after)
        for s, _ in _visits(b, None)
    )
    phase.note(f"cut into {parts} functions", "the time of a compiler grows faster than a function")


def weight(body: list[Statement]) -> int:
    """How long a body is for a compiler: its lines, long ones counted several times."""
    return sum(map(_statement_weight, body))


def _statement_weight(statement: Statement) -> int:
    if isinstance(statement, Loop):
        return 1 + weight(statement.body)
    if isinstance(statement, Block):
        return 1
    parts = [p for e in expressions(statement) for p in walk(e)]
    if isinstance(statement, (Store, Update)):
        parts.append(Load(statement.buffer, ()))
    views = {p.buffer for p in parts if isinstance(p, Load) and _is_number(p.buffer)}
    loops = sum(isinstance(p, Call) and p.operation.startswith("combine_") for p in parts)
    operations = sum(isinstance(p, (Call, Load)) for p in parts)
    return 1 + len(views) + COMBINE * loops + operations // OPERATIONS


def _is_number(buffer: Buffer) -> bool:
    """True for a number in memory: a line of the function says where."""
    return not buffer.shape and buffer.space != "scalar"


def _cut(body: list[Statement], names: Names, wish: str) -> list[Statement]:
    """A body as long as may be: blocks, and blocks of blocks."""
    body = [
        Loop(s.counter, s.extent, _cut(s.body, names, wish), s.formula)
        if isinstance(s, Loop) and _statement_weight(s) > SIZE
        else s
        for s in body
    ]
    while len(body) > 1 and weight(body) > SIZE:
        groups = list(_groups(body))
        if len(groups) == len(body):
            break
        body = [Block(names.new(wish), g) if len(g) > 1 else g[0] for g in groups]
    return body


def _groups(body: list[Statement]) -> Iterator[list[Statement]]:
    group: list[Statement] = []
    total = 0
    for statement in body:
        own = _statement_weight(statement)
        if group and total + own > SIZE:
            yield group
            group, total = [], 0
        group.append(statement)
        total += own
    if group:
        yield group


def _visits(body: list[Statement], function: Function) -> Iterator[tuple[Statement, Function]]:
    """Every statement with the function that holds it."""
    for s in body:
        yield s, function
        if isinstance(s, Loop):
            yield from _visits(s.body, function)
        elif isinstance(s, Block):
            yield from _visits(s.body, s)


def _keep(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Give variables that cross from one function into another a place in memory."""
    functions: dict[str | Buffer, set[int]] = {}
    lets: dict[str, Let] = {}
    for body in (phase.prologue, phase.before, phase.body, phase.after):
        for s, function in _visits(body, None):
            seen: list[str | Buffer] = []
            if isinstance(s, Let):
                lets[s.name] = s
                seen.append(s.name)
            elif isinstance(s, (Store, Update)):
                seen.append(s.buffer)
            for part in (p for e in expressions(s) for p in walk(e)):
                if isinstance(part, Load):
                    seen.append(part.buffer)
                elif isinstance(part, Var):
                    seen.append(part.name)
            for variable in seen:
                functions.setdefault(variable, set()).add(id(function))
    kept: dict[str, Buffer] = {}
    for variable, places in functions.items():
        if len(places) < 2:
            continue
        if isinstance(variable, Buffer):
            if variable.space == "scalar":
                variable.space = "private"
        elif variable in lets:
            dtype = lets[variable].value.dtype
            kept[variable] = Buffer(variable, [], dtype, "private", formula="")
            buffers.append(kept[variable])

    def read(e: Expr) -> Expr | None:
        return Load(kept[e.name], ()) if isinstance(e, Var) and e.name in kept else None

    def stored(body: list[Statement]) -> list[Statement]:
        result: list[Statement] = []
        for s in body:
            if isinstance(s, Let) and s.name in kept:
                s = Store(kept[s.name], (), s.value, s.formula)
            elif isinstance(s, Loop):
                s = Loop(s.counter, s.extent, stored(s.body), s.formula)
            elif isinstance(s, Block):
                s = Block(s.name, stored(s.body))
            result.append(s)
        return result

    phase.prologue, phase.before, phase.body, phase.after = (
        stored([map_statement(s, read) for s in body])
        for body in (phase.prologue, phase.before, phase.body, phase.after)
    )
