"""Source text of CPU kernels: prelude, phases, and the entry that runs them in order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..layout import Pool
from ..loop_ir import Expr, Phase, Var
from ..names import comment
from .spelling import SPELLING, Helper, Vector
from .step import StepProgram, step_lines
from .walk import INDENT, Walk

CONTROL = ("tid", "nth", "chunks", "barrier", "status")
"""Arguments that every function kernel has, before sizes and arrays."""

TRAINING = (
    "tid", "nth", "barrier", "status", "start", "steps", "passed", "epochs", "per_pass",
    "shuffled", "samples_count", "grain", "most_chunks", "update_chunks", "random", "offsets",
    "order", "losses",
)  # fmt: skip
"""Arguments that every training kernel has, before sizes and arrays."""


@dataclass
class Program:
    """What the emitter needs to know of a kernel.

    Attributes
    ----------
    title : str
    real, math : str
    phases : list of Phase
    sizes : list of str
        Size variables, the row size included.
    rows : Expr or None
    arrays : dict
        Name of each array argument to its memory dtype, in order.
    pools : dict
        Flat arrays among them.
    short_tail : bool
        Whether what follows the rows, the update included, is too little work for threads.
    precision : str
        Of matrix products on a device.
    """

    title: str
    real: str
    math: str
    phases: list[Phase]
    sizes: list[str]
    rows: Expr | None
    arrays: dict[str, str]
    pools: Mapping[str, Pool]
    update: list[Phase] = field(default_factory=list)
    update_sizes: list[str] = field(default_factory=list)
    update_rows: Expr | None = None
    update_pools: Mapping[str, Pool] = field(default_factory=dict)
    gathered: bool = False
    row_data: dict[str, str] = field(default_factory=dict)
    clocked: bool = False
    short_tail: bool = False
    precision: str = "full"


def _prelude(program: Program | StepProgram, walks: Sequence[Walk], body: str) -> list[str]:
    helpers = helper_lines(walks)
    text = "\n".join([*helpers, body])
    lines = [f"# {comment(program.title)}", ""]
    lines += ["import math", ""] if re.search(r"\bmath\.", text) else []
    lines += ["import numpy as np", ""]
    if re.search(r"\bspecial\.", text):
        lines.append("from codegen import special")
    multiplies = bool(re.search(r"\bgemm\(", body))
    lines += ["from codegen.products import products"] if multiplies else []
    imported = ["Compiler", f"{program.real}s as reals", "integers"]
    wanted = "at carried chunk_count naturals share shuffle stamp step_over wait".split()
    imported += [n for n in wanted if re.search(rf"\b{n}\(", body)]
    lines.append(f"from codegen.runtime import {', '.join(imported)}")
    vectors = sorted({v for w in walks for v in w.vectors})
    if vectors:
        vectors += ["beyond"] if re.search(r"\bbeyond\(", body) else []
        lines.append(f"from codegen.vector_math import {', '.join(sorted(vectors))}")
    lines += ["", f"real = np.{program.real}"]
    lines += [f'compiler = Compiler(real="{program.real}", math="{program.math}")']
    lines += [f'gemm = products(real="{program.real}")', ""] if multiplies else [""]
    return [*lines, *helpers]


def helper_lines(walks: Sequence[Walk], decorator: str = "@compiler.helper") -> list[str]:
    """The functions that phases call."""
    lines: list[str] = []
    for name in dict.fromkeys(h for w in walks for h in w.helpers):
        spelling = SPELLING[name]
        text = spelling.accurate if isinstance(spelling, Vector) else spelling
        if isinstance(text, str):
            lines.append(f"{name} = {text}")
            continue
        assert isinstance(text, Helper)
        lines += ["", decorator, *text.source.splitlines(), ""]
    return lines


def _write_phases(walk: Walk, phases: Sequence[Phase]) -> None:
    for phase in phases:
        start = len(walk.lines)
        walk.lines += ["", "@compiler.phase"]
        if walk.phase(phase):
            walk.lines += ["", "", "@compiler.phase"]
            walk.phase(phase, only=True)
        walk.lines.append("")
        walk.lines[start:start] = walk.parts
        walk.parts = []


def _call(walk: Walk, phase: Phase, chunks: str, thread: str = "tid, nth") -> str:
    arguments = ", ".join([thread, chunks, "status", *walk.arguments(phase)])
    return f"{phase.name}({arguments})"


def _calls(walk: Walk, phases: Sequence[Phase], depth: int, chunks: str) -> list[str]:
    indent = INDENT * depth
    lines = []
    for phase in phases:
        lines.append(f"{indent}{_call(walk, phase, chunks)}")
        lines.append(f"{indent}wait(barrier, nth)")
    return lines


def _pointers(arrays: Mapping[str, str]) -> list[str]:
    convert = {"real": "reals", "int": "integers"}
    return [f"{INDENT}{name} = {convert[dtype]}({name})" for name, dtype in arrays.items()]


def function_source(program: Program) -> str:
    """A kernel that runs its phases once."""
    walk = Walk(program.real, program.math, program.sizes, program.rows, program.pools)
    _write_phases(walk, program.phases)
    arguments = ", ".join([*CONTROL, *program.sizes, *program.arrays])
    entry = ["", "@compiler.entry", f"def run({arguments}):"]
    entry += [f"{INDENT}barrier = integers(barrier)", f"{INDENT}status = integers(status)"]
    entry += _pointers(program.arrays)
    entry += _calls(walk, program.phases, 1, "chunks")
    body = "\n".join([*walk.lines, *entry])
    return "\n".join([*_prelude(program, [walk], body), body]) + "\n"


def training_source(program: Program) -> str:
    """A kernel that runs many steps: choose the batch, forward and backward, update."""
    walk = Walk(program.real, program.math, program.sizes, program.rows, program.pools)
    _write_phases(walk, program.phases)
    update = Walk(
        program.real, program.math, program.update_sizes, program.update_rows, program.update_pools
    )
    _write_phases(update, program.update)
    rows = program.rows.name if isinstance(program.rows, Var) else None
    every = dict.fromkeys([*program.sizes, *program.update_sizes])
    fixed = [s for s in every if s not in (rows, "step", "epoch")]
    arguments = ", ".join([*TRAINING, *fixed, *program.arrays])
    one, two = INDENT, INDENT * 2
    entry = ["", "@compiler.entry", f"def run({arguments}):"]
    entry += [f"{one}barrier = integers(barrier)", f"{one}status = integers(status)"]
    entry += [f"{one}random = naturals(random)", f"{one}offsets = integers(offsets)"]
    entry += [f"{one}order = integers(order)", f"{one}losses = reals(losses)"]
    entry += _pointers(program.arrays)
    entry += [f"{one}stamp(times, tid, 0)"] if program.clocked else []
    entry += [
        f"{one}for k in range(start, start + steps):",
        f"{two}step = passed + k  # completed updates",
        f"{two}batch = k % per_pass",
        f"{two}epoch = epochs + k // per_pass",
    ]
    if rows is not None:
        entry += [
            f"{two}if batch == 0 and shuffled == 1:",
            f"{two}{one}if tid == 0:",
            f"{two}{two}shuffle(order, samples_count, random)",
            f"{two}{one}wait(barrier, nth)",
            f"{two}{rows} = offsets[batch + 1] - offsets[batch]",
            f"{two}chunks = chunk_count({rows}, grain, most_chunks)",
        ]
        if program.gathered:
            entry.append(f"{two}samples = at(order, offsets[batch])")
        else:
            entry += [
                f"{two}{name}_batch = at({name}, offsets[batch] * ({stride}))"
                for name, stride in program.row_data.items()
            ]
    else:
        entry.append(f"{two}chunks = 1")
    calls = _step_calls(program, walk, update)
    if program.clocked:
        names = [phase.name for phase in [*program.phases, *program.update]]
        calls = [f"{two}stamp(times, tid, 1)", *_stamped(calls, names)]
    entry += calls
    body = "\n".join([*walk.lines, *update.lines, *entry])
    return "\n".join([*_prelude(program, [walk, update], body), body]) + "\n"


def _stamped(lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """Let the first thread note the time after each phase, and the barrier that belongs to it.

    Place 0 of ``times`` is the last time, place 1 what lies between the phases.
    """
    result: list[str] = []
    pending = 0
    for line in lines:
        result.append(line)
        called = line.strip().partition("(")[0]
        indent = line[: len(line) - len(line.lstrip())]
        if called in names:
            place = names.index(called) + 2
            if indent == INDENT * 2:
                pending = place
            else:  # one thread does a short tail
                result.append(f"{indent}stamp(times, tid, {place})")
        elif called == "wait" and pending:
            result.append(f"{indent}stamp(times, tid, {pending})")
            pending = 0
    return result


def _step_calls(program: Program, walk: Walk, update: Walk) -> list[str]:
    """The phases of a step, with a barrier after each.

    Where little follows the last phase by rows, one thread does it, with one barrier.
    """
    two, three = INDENT * 2, INDENT * 3
    kinds = [phase.kind for phase in program.phases]
    last = max((n for n, kind in enumerate(kinds) if kind == "rows"), default=-1) + 1
    if not program.short_tail:
        last = len(kinds)
    calls = _calls(walk, program.phases[:last], 2, "chunks")
    tail = [_call(walk, phase, "chunks", "0, 1") for phase in program.phases[last:]]
    record = "losses[k - start] = loss[0]"
    if program.short_tail:
        tail += [_call(update, phase, "update_chunks", "0, 1") for phase in program.update]
        calls.append(f"{two}if tid == 0:")
        calls += [f"{three}{line}" for line in [*tail, record]]
        calls.append(f"{two}wait(barrier, nth)")
    if not program.gathered:
        calls = [with_batches(c, program.row_data) for c in calls]
    if not program.short_tail:
        calls += _calls(update, program.update, 2, "update_chunks")
        calls += [f"{two}if tid == 0:", f"{three}{record}"]
    return calls


STEP = (
    "status", "start", "steps", "passed", "epochs", "per_pass", "shuffled", "samples_count",
    "random", "offsets", "order", "losses",
)  # fmt: skip
"""Arguments that every compact kernel has, before sizes and arrays."""


def step_source(program: StepProgram) -> str:
    """A kernel that runs many steps of a small model on one thread, in one function."""
    walk = Walk(program.real, program.math, program.sizes, None, program.pools)
    lines = step_lines(walk, program, shuffles=True)
    one = INDENT
    arguments = ", ".join([*STEP, *program.sizes, *program.arrays])
    text = "\n".join([
        "", "@compiler.phase", f"def train({arguments}):", *lines,
        "", "", "@compiler.entry", f"def run({arguments}):",
        f"{one}status = integers(status)", f"{one}random = naturals(random)",
        f"{one}offsets = integers(offsets)", f"{one}order = integers(order)",
        f"{one}losses = reals(losses)", *_pointers(program.arrays), f"{one}train({arguments})",
    ])  # fmt: skip
    return "\n".join([*_prelude(program, [walk], text), text]) + "\n"


def with_batches(call: str, row_data: Mapping[str, str]) -> str:
    """Pass the rows of the batch in place of all rows."""
    head, _, tail = call.partition("(")
    if not tail or head.strip() == "wait":
        return call
    names = [f"{a}_batch" if a in row_data else a for a in tail.rstrip(")").split(", ")]
    return f"{head}({', '.join(names)})"
