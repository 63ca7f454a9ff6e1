"""Training kernels: one compiled function that runs many steps."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symdiff import modes, optimizers
from symdiff.bridge import to_graph
from symdiff.graph import Node, apply
from symdiff.shapes import Size, concrete_shape

from .build import build
from .emit import cuda
from .emit.cpu import Program, training_source
from .emit.walk import Walk
from .formula import by_comment
from .gpu.run import DeviceRun
from .gpu.shape import Shape, shape_of
from .kernel import (
    RESERVED,
    Lowered,
    Options,
    constant_arrays,
    data_buffer,
    lower_graph,
    prepare,
    used_arrays,
    work_per_row,
)
from .loop_ir import Buffer, Const, Load, Phase, Var, const, count, plus
from .lower import Output
from .machine_code import Entry
from .names import Names
from .run import UPDATE_COST, Run, Shares
from .schedule_report import ScheduleReport, number
from .sizes import SizeTable
from .update import COUNT, UpdateRule

SHORT_TAIL = 1024
"""Elements that one thread adds up and updates faster than threads meet at barriers."""

MOVING = Size("moving_count")
"""The size of the flat array of moving averages, which follow the parameters."""

FLAT = {"parameter": "parameters", "gradient": "gradient", "state": "state"}
"""The flat arrays that hold the buffers of a space."""


@dataclass(frozen=True)
class Step:
    """What a training kernel computes in each step.

    Attributes
    ----------
    loss : Node
    values : list of Node
        For each parameter its gradient, and for the moving averages, which come last among the
        parameters, the value after the step.
    parameters : list of Node
    slots : list of int
        Where each parameter starts in the flat array.
    data : list of Node
    rows : Size or None
    gathered : bool
        Whether the rows of a batch are named by their sample numbers.
    rule : UpdateRule
    options : Options
    title : str
    few : bool
        Whether no batch has more than FEW_ROWS rows.
    known : mapping
        What sizes will be, about.
    """

    loss: Node
    values: Sequence[Node]
    parameters: Sequence[Node]
    slots: Sequence[int]
    data: Sequence[Node]
    rows: Any
    gathered: bool
    rule: UpdateRule
    options: Options
    title: str
    few: bool = False
    known: Mapping[Size, int] = field(default_factory=dict)

    @property
    def moving(self) -> list[Node]:
        """The moving averages among the parameters."""
        return [n for n in self.parameters if isinstance(n.attributes[0], modes.MovingAverage)]

    @property
    def work(self) -> float:
        """Operations for one row, about."""
        return work_per_row([self.loss, *self.values], self.rows)

    @property
    def modes(self) -> list[str]:
        """Which of step, epoch and seed the loss itself reads."""
        used = {n.attributes[0].name for n in modes.mode_leaves([self.loss, *self.values])}
        return [name for name in ("step", "epoch", "seed") if name in used]

    def symbols(self, names: Names, table: SizeTable) -> dict[Node, Any]:
        """Data, parameters and modes as the lowering reads them."""
        symbols: dict[Node, Any] = {}
        for node in self.data:
            symbols[node] = data_buffer(node, names, table, self.rows)
        for node, slot in zip(self.parameters, self.slots, strict=True):
            symbols[node] = data_buffer(node, names, table, None, "parameter")
            symbols[node].slot = slot
        for symbol in (optimizers.step, optimizers.epoch):
            symbols[to_graph(symbol)] = Var(symbol.name, "int")
        symbols[to_graph(modes.seed)] = Var("seed", "int")
        names.release("loss")
        return symbols

    def samples(self, table: SizeTable) -> Buffer | None:
        """The numbers of the samples in a batch, where the rows are gathered."""
        if not self.gathered:
            return None
        return Buffer("samples", [table.expression(self.rows)], "int", "samples")


class TrainingKernel:
    """The compiled loop for one step: phases on threads that meet at barriers.

    With ``clocked`` the kernel adds up the time of each phase in an array ``times``.
    """

    def __init__(self, step: Step, clocked: bool = False) -> None:
        self.step = step
        self._clocked = clocked
        self.options = step.options
        self.rows = step.rows
        self._known = dict(step.known) if step.options.on_device else None
        names = Names(RESERVED)
        table = SizeTable(names)
        if step.rows is not None:
            table.variable(step.rows)
        samples = step.samples(table)
        symbols = step.symbols(names, table)
        self._buffers: dict[Node, Buffer] = {n: symbols[n] for n in step.data}
        outputs = [Output(step.loss, "loss", "output")]
        self._moving = step.moving
        for node, value, slot in zip(step.parameters, step.values, step.slots, strict=True):
            wish = f"{'next' if node in self._moving else 'gradient'}_{symbols[node].name}"
            outputs.append(Output(value, wish, "gradient", slot))
        self.forward = lower_graph(
            outputs, symbols, step.rows, names, table, FLAT,
            gathered=samples, wish="forward_backward", few=step.few, known=self._known,
        )  # fmt: skip
        self.update = self._lower_update(step.rule, names, FLAT)
        self._average = self._lower_average(names, FLAT)
        self.constants = step.rule.numbers
        self._work = step.work
        self._modes = step.modes
        self.source = self._emit(step.title, step.gathered)

    def _lower_update(self, rule: UpdateRule, names: Names, flat: Mapping[str, str]) -> Lowered:
        table = SizeTable(names)
        table.variables[COUNT] = "parameters_count"
        extent = table.expression(COUNT)
        symbols: dict[Node, Any] = {}

        def flat_buffer(name: str, space: str, offset: Any, shape: list[Any]) -> Buffer:
            buffer = Buffer(names.new(name), shape, "real", space)
            buffer.row_axis = 0 if shape else None
            buffer.array, buffer.offset = flat[space], offset
            return buffer

        targets: dict[Any, Buffer] = {}
        parameter, gradient = optimizers.parameter, optimizers.gradient
        targets[parameter] = flat_buffer("w", "parameter", const(0), [extent])
        symbols[rule.leaves[gradient]] = flat_buffer("g", "gradient", const(0), [extent])
        offset: Any = const(0)
        for symbol in [*rule.vectors, *rule.scalars]:
            shape = [extent] if symbol in rule.vectors else []
            targets[symbol] = flat_buffer(str(symbol), "state", offset, shape)
            offset = plus(offset, count(shape))
        for symbol, buffer in targets.items():
            symbols[rule.leaves[symbol]] = buffer
        constants = list(rule.constants.values())
        hyper = Buffer("hyper", [const(len(constants))], "real", "data")
        hyper.array, hyper.offset = "hyper", const(0)
        for k, (leaf, _) in enumerate(constants):
            symbols[leaf] = Load(hyper, (const(k),))
        symbols[rule.leaves[optimizers.step]] = Var("step", "int")
        symbols[rule.leaves[optimizers.epoch]] = Var("epoch", "int")
        outputs = [Output(n, str(s), "state", buffer=targets[s]) for s, n in rule.results().items()]
        return lower_graph(
            outputs, symbols, COUNT, names, table, flat, in_place=True, wish="update",
            known=self._known,
        )  # fmt: skip

    def _lower_average(self, names: Names, flat: Mapping[str, str]) -> list[Phase]:
        """Moving averages take the value that the step computed; they lie behind the others."""
        if not self._moving:
            return []
        table = SizeTable(names)
        table.variables[MOVING] = "moving_count"
        leaf = apply("symbol", attributes=(MOVING, (MOVING,), "real"))
        start = Var("parameters_count", "int")
        buffers = []
        for name, space in (("average", "parameter"), ("next_average", "gradient")):
            buffer = Buffer(names.new(name), [table.expression(MOVING)], "real", space)
            buffer.array, buffer.offset = flat[space], start
            buffers.append(buffer)
        target, source = buffers
        output = Output(leaf, "average", "parameter", buffer=target)
        given = {leaf: source}
        return lower_graph(
            [output], given, None, names, table, flat, wish="update", known=self._known
        ).phases

    @property
    def _short_tail(self) -> bool:
        """Whether the partial results, and so the parameters, are few."""
        if any(phase.kind == "shared" for phase in self.forward.phases):
            return False
        sizes = [p.size for p in self.forward.pools.values() if p.space == "partial"]
        literal = all(isinstance(size, Const) for size in sizes)
        few = literal and sum(int(s.value) for s in sizes if isinstance(s, Const)) <= SHORT_TAIL
        return bool(sizes) and few

    @property
    def phases(self) -> list[Phase]:
        """Forward and backward, then the update."""
        return [*self.forward.phases, *self.update.phases, *self._average]

    def parts(self, run: Run) -> list[tuple[list[Phase], Any, int]]:
        """Phases with the extent of their rows and the number of their chunks in a run."""
        return [
            (self.forward.phases, self.forward.rows, run.chunks),
            (self.update.phases, self.update.rows, run.update_chunks),
            (self._average, None, 1),
        ]

    @property
    def formulas(self) -> dict[str, Node | None]:
        """The nodes that the comments of the source stand for."""
        return by_comment(self.phases)

    @functools.cached_property
    def entry(self) -> Entry:
        """The compiled loop."""
        return build(self.source)

    def schedule(self, run: Shares) -> ScheduleReport:
        """What was decided for this kernel in a run, and why."""
        report = ScheduleReport()
        if run.shape is not None:
            report.add(
                "one block" if run.shape.single else "all blocks that fit on the device at once",
                f"the widest phase uses {number(run.shape.threads)} threads, and a step is about "
                f"{number(run.work)} operations",
            )
            for phase in self.phases:
                report.add_phase(phase)
            return report
        if self.rows is not None:
            chunks = run.chunks
            report.add(
                f"{run.rows} rows in {chunks} {'chunk' if chunks == 1 else 'chunks'}, whatever the "
                "number of threads",
                f"a chunk holds at least {run.grain} rows, about "
                f"{number(run.grain * self._work)} operations; results have the same bits",
            )
        if run.threads == 1:
            report.add("one thread", f"a step is about {number(run.work)} operations")
        else:
            report.add(
                f"up to {run.threads} threads",
                f"a step is about {number(run.work)} operations; the number that turns out "
                "faster is kept",
            )
        if self._short_tail:
            report.add("one thread after the rows", "there are few sums and parameters")
        for phase in self.phases:
            report.add_phase(phase)
        return report

    def moving_elements(self, sizes: Mapping[Size, int]) -> int:
        """How many numbers the moving averages hold."""
        return sum(math.prod(concrete_shape(n.shape, sizes)) for n in self._moving)

    def size_values(
        self, sizes: Mapping[Size, int], parameters: int, largest_batch: int, seed: int
    ) -> dict[str, int]:
        """The values of the size variables in a run."""
        values = {name: int(sizes.get(s, 0)) for s, name in self.forward.sizes.items()}
        if self.rows is not None:
            values[self.forward.sizes[self.rows]] = largest_batch
        moving = self.moving_elements(sizes)
        values.update(parameters_count=parameters - moving, moving_count=moving, seed=seed)
        return values

    def memory(
        self, data: Mapping[Node, np.ndarray], parameters: np.ndarray, state: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The arrays of a run, but for work memory."""
        dtype = self.options.dtype
        memory: dict[str, np.ndarray] = {
            "parameters": parameters,
            "state": state,
            "gradient": np.zeros(max(parameters.size, 1), dtype),
            "loss": np.zeros(1, dtype),
            "hyper": self.constants.astype(dtype),
            "times": np.zeros(2 + len(self.phases), np.int64),
        }
        for lowered in (self.update, self.forward):
            memory.update(constant_arrays(lowered, dtype))
        for node, buffer in self._buffers.items():
            memory[buffer.name] = prepare(data[node], node.dtype, dtype)
        return memory

    @property
    def array_names(self) -> list[str]:
        """The arrays that the kernel takes."""
        return list(self._arrays)

    @property
    def programs(self) -> list[Lowered]:
        """What has work memory."""
        return [self.update, self.forward]

    def shape(self, values: Mapping[str, int]) -> Shape:
        """What a launch on a device asks for."""
        return shape_of(self.phases, values)

    def step_work(self, largest_batch: int, parameters: int) -> float:
        """Operations of a step, about."""
        return largest_batch * self._work + parameters * UPDATE_COST

    def _emit(self, title: str, gathered: bool) -> str:
        forward, update = self.forward, self.update
        arrays = {**used_arrays(forward.phases), **used_arrays(update.phases)}
        arrays.setdefault("loss", "real")
        arrays.pop("samples", None)
        if self._clocked:
            arrays["times"] = "int"
        self._arrays = arrays
        row_data = {}
        for buffer in self._buffers.values():
            if buffer.row_axis == 0 and buffer.array:
                walk = Walk(self.options.dtype, self.options.math, [], None, {})
                row_data[buffer.name] = walk.text(count(buffer.shape[1:]))
        forward_sizes = [*forward.sizes.values(), *self._modes]
        update_sizes = ["step", "epoch", *update.sizes.values()]
        if self._moving:
            update_sizes.append("moving_count")
        every = dict.fromkeys([*forward_sizes, *update_sizes])
        rows = None if self.rows is None else forward.sizes[self.rows]
        self.size_names = [s for s in every if s not in (rows, "step", "epoch")]
        program = Program(
            title, self.options.dtype, self.options.math, forward.phases, forward_sizes,
            forward.rows, arrays, forward.pools,
            update=[*update.phases, *self._average], update_sizes=update_sizes,
            update_rows=update.rows, update_pools=update.pools,
            gathered=gathered, row_data=row_data, short_tail=self._short_tail,
            clocked=self._clocked, precision=self.options.precision,
        )  # fmt: skip
        return (cuda.training_source if self.options.on_device else training_source)(program)

    def bind(
        self,
        data: Mapping[Node, np.ndarray],
        sizes: Mapping[Size, int],
        parameters: np.ndarray,
        state: np.ndarray,
        threads: int,
        largest_batch: int,
        seed: int = 0,
        plain: bool = False,
    ) -> Run | DeviceRun:
        """Fix the arrays of a run; ``parameters`` and ``state`` are changed in place."""
        kind: type[Run] | type[DeviceRun] = DeviceRun if self.options.on_device else Run
        return kind(self, data, sizes, parameters, state, threads, largest_batch, seed, plain)
