"""Training kernels: one compiled function that runs many steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from symdiff import modes, optimizers
from symdiff.bridge import to_graph
from symdiff.graph import Node, apply, number, rebuild, substitute, walk
from symdiff.rewrite import algebra
from symdiff.shapes import Size, concrete_shape
from symdiff.update_rule import UpdateSymbol

from .build import build, build_plain
from .emit.cpu import Program, training_source
from .emit.walk import Walk
from .kernel import (
    CHUNK_WORK,
    MOST_CHUNKS,
    RESERVED,
    Lowered,
    Options,
    address,
    chunking,
    constant_arrays,
    data_buffer,
    launch,
    lower_graph,
    one_blas_thread,
    pool_arrays,
    prepare,
    used_arrays,
    work_per_row,
)
from .layout import size_value
from .loop_ir import Buffer, Load, Phase, Var, const, count, plus
from .lower import Output
from .names import Names
from .sizes import SizeTable

COUNT = Size("parameters_count")
"""The size of the flat array of parameters."""

STEP_WORK = 800_000
"""Operations in a step that make a second thread worth a barrier (about 0.4 ms)."""

MOVING = Size("moving_count")
"""The size of the flat array of moving averages, which follow the parameters."""

UPDATE_COST = 8


class UpdateRule:
    """An optimizer as a graph over the flat arrays of parameters, gradient and state."""

    def __init__(self, optimizer: optimizers.Optimizer) -> None:
        shared = set(optimizer.scalars)
        self.vectors = [s for s in optimizer.state if s not in shared]
        self.scalars = [s for s in optimizer.state if s in shared]
        self.initial = {s: float(v) for s, v in optimizer.state.items()}
        self.leaves: dict[Any, Node] = {}
        for symbol in (optimizers.parameter, optimizers.gradient, *self.vectors):
            self.leaves[symbol] = apply("symbol", attributes=(symbol, (COUNT,), "real"))
        for symbol in (optimizers.step, optimizers.epoch, *self.scalars):
            self.leaves[symbol] = to_graph(symbol)
        current: dict[Node, Node] = {to_graph(s): n for s, n in self.leaves.items()}
        for symbol, expression in optimizer.equations:
            (value,) = substitute([to_graph(expression)], current)
            current[to_graph(symbol)] = value
        written = [optimizers.parameter, *self.vectors, *self.scalars]
        values = rebuild(algebra([current[to_graph(s)] for s in written]), _without_cancellation)
        self.constants = self._constants(values, optimizer)
        values = substitute(values, {n: leaf for n, (leaf, _) in self.constants.items()})
        self.results = {
            s: v if v.shape == self.leaves[s].shape else _stretch(v, self.leaves[s].shape)
            for s, v in zip(written, values, strict=True)
        }

    @staticmethod
    def _constants(
        values: Sequence[Node], optimizer: optimizers.Optimizer
    ) -> dict[Node, tuple[Node, float]]:
        """Numbers that are not whole become arguments, so that another rate is the same kernel."""
        known: dict[float, str] = {}
        for name, value in optimizer.hyperparameters.items():
            if isinstance(value, float):
                known.setdefault(value, name)
                known.setdefault(1 - value, f"one_minus_{name}")
        found: dict[Node, tuple[Node, float]] = {}
        for node in walk(values):
            if node.operation != "number" or not node.attributes[0].is_Float:
                continue
            value = float(node.attributes[0])
            name = known.get(value, f"constant_{len(found)}")
            leaf = apply("symbol", attributes=(UpdateSymbol(name), (), "real"))
            found[node] = leaf, value
        return found

    def start(self, parameters: int, dtype: str) -> np.ndarray:
        """The flat state before the first step."""
        parts = [np.full(parameters, self.initial[s], dtype) for s in self.vectors]
        parts += [np.full(1, self.initial[s], dtype) for s in self.scalars]
        return np.concatenate(parts) if parts else np.zeros(1, dtype)


def _without_cancellation(node: Node, inputs: tuple[Node, ...]) -> Node:
    """``1 - b^t`` as ``-expm1(t log b)``: in float32, 1 - 0.999 has four right digits."""
    if node.operation == "subtract" and inputs[0].is_number(1) and inputs[1].operation == "power":
        base, exponent = inputs[1].inputs
        if base.is_number() and 0 < float(base.attributes[0]) < 1:
            log = number(sp.Float(math.log(float(base.attributes[0]))))
            return apply("negative", apply("expm1", apply("multiply", exponent, log)))
    if inputs == node.inputs:
        return node
    return apply(node.operation, *inputs, attributes=node.attributes)


def _stretch(node: Node, shape: tuple[Any, ...]) -> Node:
    """A value that is the same for every element, as a vector."""
    return apply("add", node, apply("broadcast_to", number(0), attributes=(shape,)))


class TrainingKernel:
    """The compiled loop for one loss, optimizer and way to choose batches.

    Parameters
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
    """

    def __init__(
        self,
        loss: Node,
        values: Sequence[Node],
        parameters: Sequence[Node],
        slots: Sequence[int],
        data: Sequence[Node],
        rows: Any,
        gathered: bool,
        rule: UpdateRule,
        options: Options,
        title: str,
    ) -> None:
        self.options = options
        self.rows = rows
        self._data = list(data)
        names = Names(RESERVED)
        table = SizeTable(names)
        if rows is not None:
            table.variable(rows)
        samples = None
        if gathered:
            extent = [table.expression(rows)]
            samples = Buffer("samples", extent, "int", "samples")
        symbols: dict[Node, Any] = {}
        self._buffers: dict[Node, Buffer] = {}
        for node in data:
            self._buffers[node] = symbols[node] = data_buffer(node, names, table, rows)
        for node, slot in zip(parameters, slots, strict=True):
            symbols[node] = data_buffer(node, names, table, None, "parameter")
            symbols[node].slot = slot
        for symbol in (optimizers.step, optimizers.epoch):
            symbols[to_graph(symbol)] = Var(symbol.name, "int")
        symbols[to_graph(modes.seed)] = Var("seed", "int")
        names.release("loss")
        outputs = [Output(loss, "loss", "output")]
        for node, value, slot in zip(parameters, values, slots, strict=True):
            moving = isinstance(node.attributes[0], modes.MovingAverage)
            wish = f"{'next' if moving else 'gradient'}_{symbols[node].name}"
            outputs.append(Output(value, wish, "gradient", slot))
        self._moving = [n for n in parameters if isinstance(n.attributes[0], modes.MovingAverage)]
        flat = {"parameter": "parameters", "gradient": "gradient", "state": "state"}
        self._forward = lower_graph(
            outputs, symbols, rows, names, table, flat,
            gathered=samples, wish="forward_backward",
        )  # fmt: skip
        self._update = self._lower_update(rule, names, flat)
        self._average = self._lower_average(names, flat)
        self.constants = np.array([value for _, value in rule.constants.values()] or [0.0])
        self._work = work_per_row([loss, *values], rows)
        used = {n.attributes[0].name for n in modes.mode_leaves([loss, *values])}
        self._modes = [name for name in ("step", "epoch", "seed") if name in used]
        self.source = self._emit(title, gathered)

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
        outputs = [Output(n, str(s), "state", buffer=targets[s]) for s, n in rule.results.items()]
        return lower_graph(
            outputs, symbols, COUNT, names, table, flat, in_place=True, wish="update"
        )

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
        return lower_graph([output], given, None, names, table, flat, wish="update").phases

    def moving_elements(self, sizes: Mapping[Size, int]) -> int:
        """How many numbers the moving averages hold."""
        return sum(math.prod(concrete_shape(n.shape, sizes)) for n in self._moving)

    def _emit(self, title: str, gathered: bool) -> str:
        forward, update = self._forward, self._update
        arrays = {**used_arrays(forward.phases), **used_arrays(update.phases)}
        arrays.setdefault("loss", "real")
        arrays.pop("samples", None)
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
            gathered=gathered, row_data=row_data,
        )  # fmt: skip
        return training_source(program)

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
    ) -> Run:
        """Fix the arrays of a run; ``parameters`` and ``state`` are changed in place."""
        return Run(self, data, sizes, parameters, state, threads, largest_batch, seed, plain)


class Run:
    """A training kernel on given arrays; each call runs some more steps."""

    def __init__(
        self,
        kernel: TrainingKernel,
        data: Mapping[Node, np.ndarray],
        sizes: Mapping[Size, int],
        parameters: np.ndarray,
        state: np.ndarray,
        threads: int,
        largest_batch: int,
        seed: int,
        plain: bool,
    ) -> None:
        forward, update = kernel._forward, kernel._update
        dtype = kernel.options.dtype
        values = {name: int(sizes.get(s, 0)) for s, name in forward.sizes.items()}
        if kernel.rows is not None:
            values[forward.sizes[kernel.rows]] = largest_batch
        moving = kernel.moving_elements(sizes)
        trained = parameters.size - moving
        values.update(parameters_count=trained, moving_count=moving, seed=seed)
        self.grain, self.most_chunks = chunking(forward, values, kernel._work)
        chunks = max(1, min(self.most_chunks, largest_batch // self.grain))
        self.update_chunks = max(1, min(MOST_CHUNKS, trained * UPDATE_COST // CHUNK_WORK))
        if any(p.space == "partial" for p in update.pools.values()):
            self.update_chunks = 1
        work = largest_batch * kernel._work + trained * UPDATE_COST
        useful = max(chunks, self.update_chunks) if work >= STEP_WORK else 1
        self.threads = 1 if plain else min(threads, useful)
        memory: dict[str, np.ndarray] = {
            "parameters": parameters,
            "state": state,
            "gradient": np.zeros(max(parameters.size, 1), dtype),
            "loss": np.zeros(1, dtype),
            "hyper": kernel.constants.astype(dtype),
        }
        for lowered, most in ((update, self.update_chunks), (forward, self.most_chunks)):
            memory.update(constant_arrays(lowered, dtype))
            pools = pool_arrays(lowered, dtype, values, most, self.threads)
            for name, array in pools.items():
                if name not in memory or memory[name].size < array.size:
                    memory[name] = array
        for node, buffer in kernel._buffers.items():
            memory[buffer.name] = prepare(data[node], node.dtype, dtype)
        self._memory = memory
        self._values = values
        self._kernel = kernel
        self._plain = plain
        self._entry = build_plain(kernel.source) if plain else build(kernel.source)
        self._sizes = [values[s] for s in kernel.size_names]
        self._barrier, self._status = np.zeros(16, np.int64), np.zeros(1, np.int64)

    def _hand(self, array: np.ndarray) -> Any:
        return array.reshape(-1) if self._plain else address(array)

    def __call__(
        self,
        start: int,
        steps: int,
        passed: int,
        epochs: int,
        shuffled: bool,
        offsets: np.ndarray,
        order: np.ndarray,
        random: np.ndarray,
        threads: int,
    ) -> tuple[np.ndarray, int]:
        """Run steps on some threads; returns the loss of each, and the status of the kernel."""
        losses = np.zeros(max(steps, 1), self._kernel.options.dtype)
        hand = self._hand
        fixed = [hand(self._memory[a]) for a in self._kernel._arrays]
        self._status[0] = 0
        middle = [
            hand(self._barrier), hand(self._status), start, steps, passed, epochs,
            len(offsets) - 1, int(shuffled), order.size, self.grain, self.most_chunks,
            self.update_chunks, hand(random), hand(offsets), hand(order), hand(losses),
        ]  # fmt: skip

        def arguments(tid: int, nth: int) -> list[Any]:
            return [tid, nth, *middle, *self._sizes, *fixed]

        with one_blas_thread(self._kernel.source), np.errstate(all="ignore"):
            launch(self._entry, min(threads, self.threads), arguments)
        return losses[:steps], int(self._status[0])


__all__ = ["COUNT", "Run", "TrainingKernel", "UpdateRule", "size_value"]
