"""The loop of a compact kernel: a whole step in one body, its numbers in variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..ir_walk import statements
from ..layout import Pool, touched
from ..loop_ir import Const, Expr, Phase, Var
from .walk import INDENT, Walk


@dataclass
class StepProgram:
    """What the emitter needs to know of a compact kernel: one phase that is a whole step.

    Attributes
    ----------
    whole : bool
        Whether every step takes all samples, in order.
    """

    title: str
    real: str
    math: str
    phase: Phase
    sizes: list[str]
    rows: Expr | None
    arrays: dict[str, str]
    pools: Mapping[str, Pool]
    gathered: bool
    whole: bool


def step_lines(walk: Walk, program: StepProgram, shuffles: bool) -> list[str]:
    """The loop over the steps, and what stands before and after it.

    Where the kernel does not shuffle the order itself, the orders of all passes that it runs
    follow each other.
    """
    phase = program.phase
    places = [(r.variable.name, walk.place(r), r.written) for r in phase.resident]
    before = [f"{INDENT}{name} = {place}" for name, place, _ in places]
    after = [f"{INDENT}{place} = {name}" for name, place, written in places if written]
    seen = [b for b in touched(statements(phase.body)) if b.space != "samples"]
    fixed = [b for b in seen if isinstance(b.offset, Const)]
    walk.views(fixed, 1)
    before += walk.lines
    walk.lines = []
    walk.views([b for b in seen if b not in fixed], 2)  # where it lies depends on the batch
    walk.step_body(phase.body)
    walk.line(2, "losses[k - start] = loss")
    for name, _, written in places:
        if written:
            walk.line(2, f"{name} = carried({name})")
    walk.line(2, "step_over()")
    body, walk.lines = walk.lines, []
    used = set(re.findall(r"\w+", "\n".join([*before, *body])))
    head, batch, following = _batches(walk, program, shuffles)
    two = INDENT * 2
    if "step" in used:
        batch.append(f"{two}step = passed + k  # completed updates")
    if "epoch" in used:
        batch.append(f"{two}epoch = epochs + k // per_pass")
    loop = f"{INDENT}for k in range(start, start + steps):"
    return [*head, *before, loop, *batch, *body, *following, *after]


def _batches(
    walk: Walk, program: StepProgram, shuffles: bool
) -> tuple[list[str], list[str], list[str]]:
    """Which rows a step takes: lines before the loop, at the head of a step, and at its end."""
    one, two, three = INDENT, INDENT * 2, INDENT * 3
    rows = program.rows.name if isinstance(program.rows, Var) else None
    if program.rows is None:
        return [], [], []
    if program.whole:
        return [f"{one}{rows} = samples_count"] if rows is not None else [], [], []
    head, batch = [f"{one}batch = start % per_pass"], []
    following = [f"{two}batch += 1", f"{two}if batch == per_pass:", f"{three}batch = 0"]
    place = "first"
    if program.gathered and shuffles:
        batch = [f"{two}if batch == 0 and shuffled == 1:",
                 f"{three}shuffle(order, samples_count, random)"]  # fmt: skip
    elif program.gathered:
        head.append(f"{one}passes = 0")
        following.append(f"{three}passes += 1")
        place = "passes * pass_stride + first"
    first = "offsets[batch]" if rows is not None else f"batch * {walk.text(program.rows)}"
    batch.append(f"{two}first = {first}")
    if rows is not None:
        batch.append(f"{two}{rows} = offsets[batch + 1] - first")
    if program.gathered:
        batch.append(f"{two}samples = at(order, {place})")
    return head, batch, following
