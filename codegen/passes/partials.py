"""Partial results start at zero for every chunk; small ones are summed in variables."""

from __future__ import annotations

from ..ir_walk import rewritten_targets, statements
from ..loop_ir import (
    Buffer,
    Const,
    Expr,
    Gemm,
    Load,
    Loop,
    Phase,
    Statement,
    Store,
    Update,
    Var,
    count,
    neutral,
)
from ..names import Names

VARIABLES = 64
"""Partial results of up to this many elements are held in variables."""


def partials(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Initialise the partial results of a phase by rows."""
    if phase.kind != "rows":
        return
    found: dict[Buffer, str] = {}
    indices: dict[Buffer, set[tuple[Expr, ...]]] = {}
    matrices: set[Buffer] = set()
    for s in statements(phase.body):
        if isinstance(s, Update) and s.buffer.space == "partial":
            found[s.buffer] = s.operation
            indices.setdefault(s.buffer, set()).add(s.index)
        elif isinstance(s, Gemm) and s.c.buffer.space == "partial":
            found[s.c.buffer] = "add"
            matrices.add(s.c.buffer)
    total = 0
    variables: dict[tuple[Buffer, tuple[Expr, ...]], Buffer] = {}
    for buffer, operation in found.items():
        start = neutral(operation, buffer.dtype)
        at = indices.get(buffer, set())
        literal = all(isinstance(i, Const) for index in at for i in index)
        if buffer not in matrices and literal and total + len(at) <= VARIABLES:
            total += len(at)
            for index in sorted(at, key=str):
                suffix = "_".join(str(i.value) for i in index if isinstance(i, Const))
                name = names.new(f"sum_{buffer.name.removeprefix('partial_')}_{suffix}")
                variable = Buffer(name, [], buffer.dtype, "scalar")
                buffers.append(variable)
                variables[(buffer, index)] = variable
                phase.before.append(Store(variable, (), start))
                phase.after.append(Store(buffer, index, Load(variable, ())))
        else:
            phase.before.append(_fill(buffer, start, names))
    elements = [count(b.shape) for b in found if not any(v[0] is b for v in variables)]
    if variables:
        phase.note(f"sums held in variables, {len(variables)} of them", "they are few")
    if elements:
        many = "an unknown number of"
        if all(isinstance(e, Const) for e in elements):
            many = f"{sum(int(e.value) for e in elements if isinstance(e, Const))}"
        phase.note(f"each chunk has {many} sums of its own", "no two threads write one place")

    def place(buffer: Buffer, index: tuple[Expr, ...]) -> tuple[Buffer, tuple[Expr, ...]]:
        variable = variables.get((buffer, index))
        return (buffer, index) if variable is None else (variable, ())

    phase.body = rewritten_targets(phase.body, place)


def _fill(buffer: Buffer, value: Const, names: Names) -> Statement:
    counters = [names.new("i") for _ in buffer.shape]
    index = tuple(Var(c, "int") for c in counters)
    statement: Statement = Store(buffer, index, value)
    for counter, extent in zip(reversed(counters), reversed(buffer.shape), strict=True):
        statement = Loop(counter, extent, [statement])
    return statement
