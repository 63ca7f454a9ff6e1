"""The number of the sample that a row stands for is loaded once for each row."""

from __future__ import annotations

from ..ir_walk import expressions, loads, map_statement, statements, walk
from ..loop_ir import Buffer, Const, Let, Load, Loop, Phase, Statement, Var
from ..names import Names


def hoist_gather(phase: Phase, names: Names, buffers: list[Buffer]) -> None:
    """Bind ``sample = samples[row]`` at the head of every loop that uses it."""
    phase.body = [_hoist(s, names) for s in phase.body]
    if phase.kind == "step":
        _hoist_single(phase, names)


def _hoist_single(phase: Phase, names: Names) -> None:
    """The only sample of a batch, where the loop over the rows has been unrolled."""
    found = {load for s in statements(phase.body) for load in loads(s)
             if load.buffer.space == "samples" and isinstance(load.index[0], Const)}  # fmt: skip
    if len(found) != 1:
        return
    (load,) = found
    sample = Var(names.new("sample"), "int")
    body = [map_statement(s, lambda e: sample if e == load else None) for s in phase.body]
    phase.body = [Let(sample.name, load, "the sample of this step"), *body]


def _hoist(statement: Statement, names: Names) -> Statement:
    if not isinstance(statement, Loop):
        return statement
    counter = Var(statement.counter, "int")
    load = None
    for s in statements(statement.body):
        for e in expressions(s):
            for part in walk(e):
                if (
                    isinstance(part, Load)
                    and part.buffer.space == "samples"
                    and part.index == (counter,)
                ):
                    load = part
    if load is None:
        body = [_hoist(s, names) for s in statement.body]
        return Loop(statement.counter, statement.extent, body, statement.formula)
    sample = Var(names.new("sample"), "int")
    found = load
    body = [map_statement(s, lambda e: sample if e == found else None) for s in statement.body]
    first = Let(sample.name, found, "the sample in this row")
    return Loop(statement.counter, statement.extent, [first, *body], statement.formula)
