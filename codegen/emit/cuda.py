"""Source text of kernels for a device: phases of teams of threads, and the loop around them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..gpu.control import GRID_WARPS
from ..ir_walk import statements
from ..layout import seen_buffers
from ..loop_ir import (
    Buffer,
    Call,
    Expr,
    Gemm,
    Lanes,
    Meet,
    Phase,
    Routine,
    Spread,
    Statement,
    Store,
    Turns,
    Update,
    Var,
    const,
    count,
    times,
)
from ..names import comment
from .cpu import INDENT, Program, helper_lines, with_batches
from .spelling import SPELLING, Helper, Vector
from .step import StepProgram, step_lines
from .walk import Walk

FUNCTION = ("barrier", "status")
"""Arguments that every function kernel has, before sizes and arrays."""

TRAINING = (
    "barrier", "status", "start", "steps", "passed", "epochs", "per_pass", "pass_stride",
    "samples_count", "offsets", "order", "losses",
)  # fmt: skip
"""Arguments that every training kernel has, before sizes and arrays."""

THREAD = ("tid", "nth", "size")
"""Which thread this is, of how many, and how many a block has."""

PRODUCTS = {"full": "gemm", "tf32": "gemm_tf32"}
"""Functions that compute products by tiles, by the precision of what is multiplied."""

WIDTH = {"thread": "1", "warp": "WARP", "block": "size"}
"""Threads of a team."""

LANE = {"warp": "tid % WARP", "block": "remainder(tid, size)"}
"""The place of a thread in its team."""

NUMPY = {
    "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "arcsin": "arcsin", "arccos": "arccos",
    "arctan": "arctan", "arctan2": "arctan2", "arcsinh": "arcsinh", "arccosh": "arccosh",
    "arctanh": "arctanh",
}  # fmt: skip
"""Functions of NumPy in spellings, and the names of those of a device."""

_NUMPY = re.compile(rf"\b(?:np|math)\.({'|'.join(NUMPY)})\(")

RUNTIME = (
    "WARP", "anew", "at", "block_add", "block_maximum", "block_minimum", "block_wait", "carried",
    "integers", "quotient", "remainder", "shared_array", "step_over", "wait", "warp_add",
    "warp_maximum", "warp_minimum",
    "warp_wait",
)  # fmt: skip
"""What kernels import from ``codegen.gpu.runtime``."""


class DeviceWalk(Walk):
    """Writes the phases of a kernel for a device."""

    precision = "full"
    _team = "thread"

    def _circular(self, call: Call) -> str:
        """The sine of a device has no limits."""
        self._need(call.operation)
        return f"{call.operation}({self.text(call.arguments[0], call.dtype)})"

    # --- phases --------------------------------------------------------------------------

    def phase(self, phase: Phase, only: bool = False) -> bool:
        """Write one phase as a function."""
        self._phase = phase
        self.line(0, f"def {phase.name}({', '.join([*THREAD, 'status', *self.arguments(phase)])}):")
        for buffer in seen_buffers(phase):
            self._view(buffer, 1)
        self.body(phase.prologue, 1) if phase.prologue else None
        for s in phase.body:
            if isinstance(s, Gemm):
                self._product(s)
            else:
                assert isinstance(s, Spread)
                self._spread(s)
        self._phase = None
        return False

    def arguments(self, phase: Phase) -> list[str]:
        """The counters of the loops around a phase, sizes, and the arrays that it takes."""
        return [*(loop.counter for loop in phase.around), *super().arguments(phase)]

    def _product(self, s: Gemm) -> None:
        """A product by tiles, which blocks compute in turn."""
        if s.formula:
            self.line(1, f"# {comment(s.formula)}")
        matrices = ", ".join(
            f"{self._matrix(m)}, {self.text(m.stride)}, {int(m.transposed)}" for m in (s.a, s.b)
        )
        sizes = ", ".join(self.text(e) for e in (s.m, s.n, s.k))
        target = f"{self._matrix(s.c)}, {self.text(s.c.stride)}, {int(s.accumulate)}"
        product = PRODUCTS[self.precision]
        self.line(1, f"{product}({', '.join(THREAD)}, {sizes}, {matrices}, {target})")

    # --- teams ---------------------------------------------------------------------------

    def _spread(self, s: Spread) -> None:
        first, step = {
            "thread": ("tid", "nth"),
            "warp": ("tid // WARP", "nth // WARP"),
            "block": ("quotient(tid, size)", "quotient(nth, size)"),
        }[s.team]
        self._team = s.team
        for buffer in _of_team(s):
            width = count(buffer.shape)
            memory = f"shared_array({self.text(times(width, const(GRID_WARPS)))}, real(0))"
            place = f"{LANE['block']} // WARP * {self.text(width)}"
            self.line(1, f"{buffer.name} = at({memory}, {place})", buffer.formula)
        if s.formula:
            self.line(1, f"# {comment(s.formula)}")
        end = None
        if s.counters:
            depth, end = self._positions(1, "place", first, step, s.counters, s.extents)
        else:
            number = f"{s.place} * WARP" if s.team == "thread" else f"{s.place}"
            mine = f"remainder({number}, {step})" if s.place else "0"
            self.line(1, f"if {first} == {mine}:")
            depth = 2
        if s.team != "thread":
            self.line(depth, f"lane = {LANE[s.team]}")
        self._team_body(s.body, depth)
        if end is not None:
            self.line(depth, end)
        self._team = "thread"

    def _positions(
        self, depth: int, name: str, first: str, step: str, counters: Sequence[str],
        extents: Sequence[Expr],
    ) -> tuple[int, str | None]:  # fmt: skip
        """A loop over every index of some axes; returns the depth and the end of its body.

        Not over a range: how many rounds that has is a division of 64 bits by ``step``, and
        several numbers that are kept from round to round.
        """
        texts = [self.text(e) for e in extents]
        name = counters[0] if len(counters) == 1 else name
        total = self.text(count(list(extents)))
        if (first, step) == ("0", "1"):
            self.line(depth, f"for {name} in range({total}):")
            end = None
        else:
            self.line(depth, f"{name} = {first}")
            self.line(depth, f"while {name} < {total}:")
            end = f"{name} += {step}"
        if len(counters) == 1:
            return depth + 1, end
        rest: Expr = const(1)
        for counter, extent, text in list(zip(counters, extents, texts, strict=True))[:0:-1]:
            self.line(depth + 1, f"{counter} = remainder({self._over(name, rest)}, {text})")
            rest = times(rest, extent)
        self.line(depth + 1, f"{counters[0]} = {self._over(name, rest)}")
        return depth + 1, end

    def _over(self, name: str, divisor: Expr) -> str:
        return name if divisor == const(1) else f"quotient({name}, {self.text(divisor)})"

    def _team_body(self, body: Sequence[Statement], depth: int) -> None:
        """What a team runs: its first thread stores what all of them know."""
        alone = False
        for s in body:
            stores = isinstance(s, (Store, Update)) and s.buffer.space != "scalar"
            guarded = self._team != "thread" and (stores or isinstance(s, Routine))
            if guarded and not alone:
                self.line(depth, "if lane == 0:")
            alone = guarded
            self.statement(s, depth + guarded)
        if not body:
            self.line(depth, "pass")

    def statement(self, s: Statement, depth: int) -> None:
        """Write a statement, and those inside it."""
        if isinstance(s, Meet):
            self.line(depth, f"{self._team}_wait()")
        elif isinstance(s, Lanes):
            self._lanes(s, depth)
        elif isinstance(s, Turns):
            start, step = self.text(s.part[0]), s.part[1]
            extent = self.text(s.extent)
            self.line(depth, f"{s.counter} = {start}")
            self.line(depth, f"while {s.counter} < {extent}:")
            self._team_body(s.body, depth + 1)
            self.line(depth + 1, f"{s.counter} += {step}")
        else:
            super().statement(s, depth)

    def _lanes(self, s: Lanes, depth: int) -> None:
        width = WIDTH[self._team]
        first, step = ("0", "1") if self._team == "thread" else ("lane", width)
        if s.part is not None:
            number, parts = self.text(s.part[0]), s.part[1]
            first = number if self._team == "thread" else f"{number} * {width} + lane"
            step = f"{parts}" if self._team == "thread" else f"{parts} * {width}"
        if s.formula:
            self.line(depth, f"# {comment(s.formula)}")
        inside, end = self._positions(depth, "inner", first, step, s.counters, s.extents)
        self.body(s.body, inside)
        if end is not None:
            self.line(inside, end)
        for buffer, operation in s.sums.items():
            if self._team == "warp":
                self.line(depth, f"{buffer.name} = warp_{operation}({buffer.name})")
            elif self._team == "block":
                self.line(depth, f"{buffer.name} = block_{operation}({buffer.name}, lane, size)")

    # --- expressions ---------------------------------------------------------------------

    def _need(self, helper: str) -> None:
        spelling = SPELLING[helper]
        if isinstance(spelling, Vector):
            self.vectors.setdefault(helper)
            return
        for name in spelling.needs if isinstance(spelling, Helper) else ():
            self._need(name)
        self.helpers.setdefault(helper)


def _of_team(s: Spread) -> list[Buffer]:
    """The memory that each warp has for itself."""
    found = [b for i in statements([s]) if isinstance(i, (Store, Update)) for b in [i.buffer]]
    return list(dict.fromkeys(b for b in found if b.space == "team"))


def _prelude(
    program: Program | StepProgram, walks: Sequence[DeviceWalk], body: str
) -> tuple[list[str], str]:
    """The head of a module, and its body with the functions of a device."""
    helpers = helper_lines(walks, "@cuda.jit(device=True)")
    text = "\n".join([*helpers, body])
    functions = {v for w in walks for v in w.vectors}
    functions |= {NUMPY[n] for n in _NUMPY.findall(text)}
    lines = [f"# {comment(program.title)}", "", "import numpy as np", "from numba import cuda", ""]
    if functions:
        lines.append(f"from codegen.gpu.mathematics import {', '.join(sorted(functions))}")
    products = [p for p in PRODUCTS.values() if re.search(rf"\b{p}\(", text)]
    if products:
        lines.append(f"from codegen.gpu.products import {', '.join(products)}")
    if re.search(r"\bspecial\.", text):
        lines.append("from codegen.gpu import special")
    imported = [n for n in RUNTIME if re.search(rf"\b{n}\b", text)]
    imported.append(f"{program.real}s as reals")
    lines.append(f"from codegen.gpu.runtime import {', '.join(sorted(imported))}")
    lines += ["", f"real = np.{program.real}", "", *helpers]
    return [_NUMPY.sub(lambda m: f"{NUMPY[m[1]]}(", line) for line in lines], _NUMPY.sub(
        lambda m: f"{NUMPY[m[1]]}(", body
    )


def _write(walk: DeviceWalk, phases: Sequence[Phase]) -> None:
    for phase in phases:
        walk.lines += ["", "@cuda.jit(device=True)"]
        walk.phase(phase)
        walk.lines.append("")


def _calls(walk: DeviceWalk, phases: Sequence[Phase], depth: int) -> list[str]:
    """The phases in order, in the loops around them, with a barrier after each."""
    lines: list[str] = []
    open_: list[object] = []
    for phase in phases:
        same = 0
        while same < min(len(open_), len(phase.around)) and open_[same] is phase.around[same]:
            same += 1
        open_ = open_[:same]
        for loop in phase.around[same:]:
            indent = INDENT * (depth + len(open_))
            lines.append(f"{indent}for {loop.counter} in range({walk.text(loop.extent)}):")
            open_.append(loop)
        indent = INDENT * (depth + len(open_))
        # or the compiler computes the addresses of all phases before the steps, and keeps them
        known = {"tid", *walk.sizes, *(loop.counter for loop in phase.around)} - {"seed"}
        given = [*THREAD, "status", *walk.arguments(phase)]
        arguments = ", ".join(f"anew({a})" if a in known else a for a in given)
        lines.append(f"{indent}{phase.name}({arguments})")
        lines.append(f"{indent}wait(barrier, nth, size)")
    return lines


def _entry(kind: Sequence[str], program: Program | StepProgram, sizes: Sequence[str]) -> list[str]:
    """The function that is launched: whole numbers to pointers, and which thread this is."""
    convert = dict.fromkeys(("barrier", "status", "offsets", "order"), "integers")
    convert["losses"] = "reals"
    convert |= {a: "reals" if d == "real" else "integers" for a, d in program.arrays.items()}
    arguments = [*kind, *sizes, *program.arrays]
    given = [f"{convert[a]}({a})" if a in convert else a for a in arguments]
    return [
        "", "", "@cuda.jit",
        f"def run({', '.join(arguments)}):",
        f"{INDENT}train(",
        f"{INDENT * 2}cuda.grid(1), cuda.gridsize(1), np.int64(cuda.blockDim.x),",
        *(f"{INDENT * 2}{g}," for g in given),
        f"{INDENT})",
    ]  # fmt: skip


def function_source(program: Program) -> str:
    """A kernel that runs its phases once."""
    walk = DeviceWalk(program.real, program.math, program.sizes, None, program.pools)
    walk.precision = program.precision
    _write(walk, program.phases)
    arguments = ", ".join([*THREAD, *FUNCTION, *program.sizes, *program.arrays])
    body = [
        *walk.lines, "", "@cuda.jit(device=True)", f"def train({arguments}):",
        *_calls(walk, program.phases, 1), *_entry(FUNCTION, program, program.sizes),
    ]  # fmt: skip
    head, text = _prelude(program, [walk], "\n".join(body))
    return "\n".join([*head, text]) + "\n"


def training_source(program: Program) -> str:
    """A kernel that runs many steps: choose the batch, forward and backward, update."""
    walk = DeviceWalk(program.real, program.math, program.sizes, None, program.pools)
    walk.precision = program.precision
    _write(walk, program.phases)
    update = DeviceWalk(
        program.real, program.math, program.update_sizes, None, program.update_pools
    )
    _write(update, program.update)
    rows = program.rows.name if isinstance(program.rows, Var) else None
    every = dict.fromkeys([*program.sizes, *program.update_sizes])
    fixed = [s for s in every if s not in (rows, "step", "epoch")]
    arguments = ", ".join([*THREAD, *TRAINING, *fixed, *program.arrays])
    one, two = INDENT, INDENT * 2
    loop = [
        "", "@cuda.jit(device=True)", f"def train({arguments}):",
        f"{one}for k in range(start, start + steps):",
        f"{two}step = passed + k  # completed updates",
        f"{two}batch = k % per_pass",
        f"{two}epoch = epochs + k // per_pass",
    ]  # fmt: skip
    calls = _calls(walk, program.phases, 2)
    if rows is not None:
        loop.append(f"{two}{rows} = offsets[batch + 1] - offsets[batch]")
        if program.gathered:
            loop += [
                f"{two}passes = k // per_pass - start // per_pass",
                f"{two}samples = at(order, passes * pass_stride + offsets[batch])",
            ]
        else:
            loop += [
                f"{two}{name}_batch = at({name}, offsets[batch] * ({stride}))"
                for name, stride in program.row_data.items()
            ]
            calls = [with_batches(c, program.row_data) for c in calls]
    calls += [f"{two}if tid == 0:", f"{two}{one}losses[k - start] = loss[0]"]
    calls += _calls(update, program.update, 2)
    body = [*walk.lines, *update.lines, *loop, *calls, *_entry(TRAINING, program, fixed)]
    head, text = _prelude(program, [walk, update], "\n".join(body))
    return "\n".join([*head, text]) + "\n"


def step_source(program: StepProgram) -> str:
    """A kernel that runs many steps of a tiny model on one thread, in one function."""
    walk = DeviceWalk(program.real, program.math, program.sizes, None, program.pools)
    lines = step_lines(walk, program, shuffles=False)
    arguments = ", ".join([*THREAD, *TRAINING, *program.sizes, *program.arrays])
    body = [
        # or what step_over stands in stays a function, whose pointers are not known to be global
        "", "@cuda.jit(device=True, forceinline=True)", f"def train({arguments}):",
        f"{INDENT}if tid != 0:", f"{INDENT * 2}return", *lines,
        *_entry(TRAINING, program, program.sizes),
    ]  # fmt: skip
    head, text = _prelude(program, [walk], "\n".join(body))
    return "\n".join([*head, text]) + "\n"
