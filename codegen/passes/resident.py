"""Numbers that stay in variables from one training step to the next.

A phase that is a whole step reads its parameters once, before the first step, and writes them
once, after the last one, as long as they are few. What is kept in memory must be stored and
loaded in every step, and the next step waits for that.
"""

from __future__ import annotations

from ..ir_walk import loads, map_statement, rewritten_targets, statements
from ..loop_ir import Buffer, Const, Expr, Load, Phase, Resident, Statement, Store, Update
from ..names import Names

NUMBERS = 64
"""Elements that are held in variables at most."""

SPACES = ("parameter", "state", "hyper")

Element = tuple[Buffer, tuple[Expr, ...]]


def resident(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Hold the parameters and the state of a step in variables."""
    if phase.kind != "step":
        return
    found: dict[Buffer, set[tuple[Expr, ...]]] = {}
    written: set[Element] = set()
    for s in statements(phase.body):
        for load in loads(s):
            found.setdefault(load.buffer, set()).add(load.index)
        if isinstance(s, (Store, Update)):
            found.setdefault(s.buffer, set()).add(s.index)
            written.add((s.buffer, s.index))
    variables: dict[Element, Buffer] = {}
    for buffer, indices in found.items():
        literal = all(isinstance(i, Const) for index in indices for i in index)
        if buffer.space not in SPACES or not literal or len(variables) + len(indices) > NUMBERS:
            continue
        for index in sorted(indices, key=str):
            suffix = "_".join(str(i.value) for i in index if isinstance(i, Const))
            name = names.new(f"{buffer.name}_{suffix}") if suffix else buffer.name
            variable = Buffer(name, [], buffer.dtype, "scalar")
            buffers.append(variable)
            variables[buffer, index] = variable
            phase.resident.append(Resident(variable, buffer, index, (buffer, index) in written))

    if variables:
        phase.note(
            f"{len(variables)} numbers of parameters, state and rule held in variables",
            "the next step need not wait for memory",
        )

    def place(buffer: Buffer, index: tuple[Expr, ...]) -> Element:
        variable = variables.get((buffer, index))
        return (buffer, index) if variable is None else (variable, ())

    def read(e: Expr) -> Expr | None:
        return Load(*place(e.buffer, e.index)) if isinstance(e, Load) else None

    body: list[Statement] = [map_statement(s, read) for s in phase.body]
    phase.body = rewritten_targets(body, place)
