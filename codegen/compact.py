"""Small models: a whole training step on one thread, its parameters in variables.

Steps that take a microsecond or less are bound by latency: by every barrier, and by every number
that goes through memory on its way to the next step. Here forward, backward and update are one
graph and one loop body. Parameters, state and sums are variables (``passes.resident``); there are
no partial results, no gradient array and no barriers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from symdiff.graph import Node, apply, walk
from symdiff.shapes import Size, concrete_shape
from symdiff.update_rule import UpdateSymbol, gradient, parameter

from .build import build, build_plain
from .data import Batches, Plan
from .emit import cuda
from .emit.cpu import step_source
from .emit.expressions import CIRCULAR
from .emit.step import StepProgram
from .formula import by_comment
from .gpu.run import DeviceRun
from .gpu.shape import Shape
from .kernel import (
    RESERVED,
    Lowered,
    address,
    constant_arrays,
    lower_graph,
    pool_arrays,
    prepare,
    used_arrays,
)
from .layout import size_value
from .loop_ir import Buffer, Load, Var, const, count, times
from .lower import Output
from .machine_code import Entry
from .names import Names
from .passes.split import weight
from .rows import row_axis
from .run import UPDATE_COST, Shares
from .schedule import is_large_product
from .schedule_report import ScheduleReport, number
from .sizes import SizeTable
from .training import FLAT, Step

STEP_WORK = 60_000
"""Operations in a step from which on chunks and threads are worth their barriers."""

DEVICE_STEP_WORK = 1000
"""Operations in a step up to which one thread of a device is faster than phases. A phase costs
about 0.3 µs: its threads meet, and what it reads has been in memory since the one before. A step
has three of them at least. In this time one thread does some 200 to 500 operations that wait for
each other, and twice as many where it has others to go on with."""

LIMIT = 400
"""Weight of the longest body that is compiled as one function."""


PRODUCT_WORK = 512
"""From this many multiplications per row on, matrix kernels gain more than barriers cost."""


class CompactKernel:
    """The loop over the steps of a small model."""

    def __init__(
        self, step: Step, sizes: Mapping[Size, int], batches: Batches, work: float = 0.0
    ) -> None:
        self.step = step
        self._step_work = work
        self.options = step.options
        names = Names(RESERVED)
        fixed = {s: v for s, v in sizes.items() if s != step.rows}
        if batches.fixed is not None:
            fixed[step.rows] = batches.fixed
        table = SizeTable(names, fixed)
        self._rows = table.expression(step.rows) if step.rows is not None else None
        symbols = step.symbols(names, table)
        self._buffers: dict[Node, Buffer] = {n: symbols[n] for n in step.data}
        for node, buffer in self._buffers.items():
            if row_axis(node, step.rows) == 0 and not batches.whole and not step.gathered:
                symbols[node] = self._window(buffer, names)
        outputs = [Output(step.loss, "loss", "private")]
        outputs += self._updates(symbols, names, sizes)
        lowered = lower_graph(
            outputs, symbols, step.rows, names, table, FLAT,
            gathered=step.samples(table), gemm=False, in_place=True, single=True, wish="step",
            alone=step.options.on_device,
        )  # fmt: skip
        self._lowered = lowered
        (self.phase,) = lowered.phases
        self._arrays = used_arrays(lowered.phases)
        self._arrays.pop("samples", None)
        self.size_names = [
            name for size, name in lowered.sizes.items() if size != step.rows
        ] + [m for m in step.modes if m == "seed"]  # fmt: skip
        program = StepProgram(
            step.title, step.options.dtype, step.options.math, self.phase, self.size_names,
            self._rows, self._arrays, lowered.pools, step.gathered, batches.whole,
        )  # fmt: skip
        self.source = (cuda.step_source if step.options.on_device else step_source)(program)

    @property
    def formulas(self) -> dict[str, Node | None]:
        """The nodes that the comments of the source stand for."""
        return by_comment([self.phase])

    @staticmethod
    def _window(buffer: Buffer, names: Names) -> Buffer:
        """The rows of a batch in the data."""
        window = Buffer(
            names.new(f"{buffer.name}_batch"), buffer.shape, buffer.dtype, buffer.space,
            buffer.row_axis, buffer.formula,
        )  # fmt: skip
        window.array = buffer.name
        window.offset = times(Var("first", "int"), count(buffer.shape[1:]))
        buffer.array = buffer.name
        return window

    def _updates(
        self, symbols: dict[Node, Any], names: Names, sizes: Mapping[Size, int]
    ) -> list[Output]:
        """The new values of parameters and state."""
        step, rule = self.step, self.step.rule
        for position, (leaf, _) in enumerate(rule.constants.values()):
            number = Buffer(names.new(str(leaf.attributes[0])), [], "real", "hyper")
            number.array, number.offset = "hyper", const(position)
            symbols[leaf] = Load(number, ())
        averages = set(step.moving)
        trained = [n for n in step.parameters if n not in averages]
        total = sum(int(np.prod(concrete_shape(n.shape, sizes))) for n in trained)
        for position, symbol in enumerate(rule.scalars):
            number = Buffer(names.new(str(symbol)), [], "real", "state")
            number.slot = len(rule.vectors) * total + position
            symbols[rule.leaves[symbol]] = number
        outputs: list[Output] = []
        for node, value, slot in zip(step.parameters, step.values, step.slots, strict=True):
            if node in averages:
                outputs.append(_replaced(node, value, symbols))
                continue
            leaves = {parameter: node, gradient: value}
            for position, symbol in enumerate(rule.vectors):
                mark = UpdateSymbol(f"{symbol}_{symbols[node].name}")
                leaf = leaves[symbol] = apply("symbol", attributes=(mark, node.shape, "real"))
                buffer = Buffer(names.new(mark.name), symbols[node].shape, "real", "state")
                buffer.slot = position * total + slot
                symbols[leaf] = buffer
            results = rule.results(leaves)
            outputs += [
                _replaced(leaves[s], results[s], symbols) for s in (parameter, *rule.vectors)
            ]
        shared = rule.results()
        outputs += [_replaced(rule.leaves[s], shared[s], symbols) for s in rule.scalars]
        return [o for o in outputs if o.node not in symbols or symbols[o.node] is not o.buffer]

    @property
    def fits(self) -> bool:
        """Whether the body is short enough to be compiled as one function."""
        return weight(self.phase.body) <= LIMIT

    @functools.cached_property
    def entry(self) -> Entry:
        """The compiled loop."""
        return build(self.source)

    def schedule(self, run: Shares) -> ScheduleReport:
        """What was decided for this kernel, and why."""
        report = ScheduleReport()
        on_device = self.options.on_device
        report.add(
            f"one thread{' of the device' if on_device else ''}, without barriers",
            f"a step is about {number(self._step_work)} operations, fewer than "
            f"{number(DEVICE_STEP_WORK if on_device else STEP_WORK)}: threads would wait for each "
            "other longer than they compute",
        )
        if self._rows is not None and not isinstance(self._rows, Var):
            rows = int(size_value(self._rows, {}))
            report.add(
                f"{rows} {'row' if rows == 1 else 'rows'} in every step, a literal of the kernel",
                "no loop" if rows == 1 or on_device else "the lanes of vectors",
            )
        report.add_phase(self.phase)
        return report

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
    ) -> CompactRun | DeviceRun:
        """Fix the arrays of a run; ``parameters`` and ``state`` are changed in place."""
        if self.options.on_device:
            return DeviceRun(
                self, data, sizes, parameters, state, threads, largest_batch, seed, plain
            )
        values = self.size_values(sizes, parameters.size, largest_batch, seed)
        memory = {
            **self.memory(data, parameters, state),
            **pool_arrays(self._lowered, self.options.dtype, values, 1, 1),
        }
        return CompactRun(self, memory, values, plain)

    def size_values(
        self, sizes: Mapping[Size, int], parameters: int, largest_batch: int, seed: int
    ) -> dict[str, int]:
        """The values of the size variables in a run."""
        values = {name: int(sizes.get(s, 0)) for s, name in self._lowered.sizes.items()}
        if isinstance(self._rows, Var):
            values[self._rows.name] = largest_batch
        values["seed"] = seed
        return values

    def memory(
        self, data: Mapping[Node, np.ndarray], parameters: np.ndarray, state: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The arrays of a run, but for work memory."""
        dtype = self.options.dtype
        memory: dict[str, np.ndarray] = {
            "parameters": parameters,
            "state": state,
            "hyper": self.step.rule.numbers.astype(dtype),
            **constant_arrays(self._lowered, dtype),
        }
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
        return [self._lowered]

    def shape(self, values: Mapping[str, int]) -> Shape:
        """What a launch on a device asks for: one thread."""
        return Shape(1, True)

    def step_work(self, largest_batch: int, parameters: int) -> float:
        """Operations of a step, about."""
        return self._step_work


def _replaced(node: Node, value: Node, symbols: Mapping[Node, Any]) -> Output:
    buffer = symbols[node]
    return Output(value, buffer.name, buffer.space, buffer.slot, buffer)


class CompactRun:
    """A compact kernel on given arrays; each call runs some more steps."""

    threads = 1
    shares = Shares(0, 1, 0, 1, 0.0)
    times = None

    def __init__(
        self,
        kernel: CompactKernel,
        memory: dict[str, np.ndarray],
        values: dict[str, int],
        plain: bool,
    ) -> None:
        self.values = values
        self._dtype = kernel.options.dtype
        self._plain = plain
        self._status = np.zeros(1, np.int64)
        self._reads_offsets = isinstance(kernel._rows, Var)
        self._entry = build_plain(kernel.source) if plain else kernel.entry
        self._memory = memory  # the kernel has only addresses
        sizes = [values[s] for s in kernel.size_names]
        self._fixed = [*sizes, *(self._hand(memory[a]) for a in kernel._arrays)]

    def _hand(self, array: np.ndarray) -> Any:
        return array.reshape(-1) if self._plain else address(array)

    def __call__(
        self,
        plan: Plan,
        start: int,
        steps: int,
        passed: int,
        epochs: int,
        random: np.ndarray,
        threads: int = 1,
    ) -> tuple[np.ndarray, int]:
        """Run steps; returns the loss of each, and the status of the kernel."""
        losses = np.zeros(max(steps, 1), self._dtype)
        hand = self._hand
        self._status[0] = 0
        offsets = plan.offsets if self._reads_offsets else plan.order
        with np.errstate(all="ignore"):
            self._entry(
                hand(self._status), start, steps, passed, epochs, plan.per_pass, int(plan.shuffled),
                plan.order.size, hand(random), hand(offsets), hand(plan.order), hand(losses),
                *self._fixed,
            )  # fmt: skip
        return losses[:steps], int(self._status[0])


def compact_kernel(
    step: Step, sizes: Mapping[Size, int], batches: Batches, elements: int
) -> CompactKernel | None:
    """A compact kernel, where the step is small enough to be worth one."""
    work = step.work * batches.largest + elements * UPDATE_COST
    on_device = step.options.on_device
    if work > (DEVICE_STEP_WORK if on_device else STEP_WORK):
        return None
    for node in walk([step.loss, *step.values]):
        # a step that has replaced what it read cannot go back where sin is out of its range
        far = node.operation in CIRCULAR and batches.largest > 1 and not on_device
        if node.operation == "scan" or far:
            return None
        if node.operation == "matmul" and is_large_product(node, step.rows, PRODUCT_WORK):
            return None
    kernel = CompactKernel(step, sizes, batches, work)
    return kernel if kernel.fits else None
