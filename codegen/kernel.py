"""Kernels: a graph, lowered, emitted, built and ready to run on arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symdiff.bridge import describe
from symdiff.errors import (
    IndexOutOfRange,
    InvalidArgument,
    LinearAlgebraError,
    ShapeError,
    UnsupportedOperation,
)
from symdiff.graph import Node, is_literal, walk
from symdiff.matrices import INDEFINITE, MATRICES, SINGULAR
from symdiff.reordering import reorder
from symdiff.shapes import Size, concrete_shape

from .build import build, build_plain
from .control import chunk_count
from .emit import cuda
from .emit.cpu import Program, function_source
from .emit.spelling import SPELLING, External
from .formula import by_comment
from .gpu.device import Device, device, plain_device
from .gpu.shape import shape_of
from .gpu.special_names import DEVICE_SPECIAL
from .ir_walk import statements
from .launch import address, launch
from .layout import Pool, layout, memory_dtype, size_value, used_buffers
from .loop_ir import Buffer, Expr, Gemm, Phase, Var
from .lower import Lowering, Output
from .machine_code import Entry
from .names import Names
from .packing import join, pack
from .passes import PASSES, WITHOUT_VECTORS, run_passes
from .rows import row_axis
from .sizes import SizeTable
from .verify import verify

MOST_CHUNKS = 16
"""Chunks that the rows are divided into, whatever the number of threads."""

CHUNK_WORK = 40_000
"""Operations that a chunk should hold, about 20 µs."""

PARTIAL_ELEMENTS = 1 << 21
"""Elements that the partial results of all chunks may take together."""

COMBINE_COST = 4
"""Operations that one element of the partial results of a chunk costs."""

GEMM_ROWS = 32
"""Rows below which a matrix kernel is not worth calling;"""

FAR_ROWS = 64
"""twice as many where each chunk reads its right matrix from beyond the second cache,"""

FAR_ELEMENTS = 1 << 17
"""that is, from this many elements on."""

CACHE_LINE = 64
"""Bytes that vectors should not straddle."""

THREAD_WORK = 4_000_000
"""Operations that make it worth starting threads for one call (about 2 ms)."""

RESERVED = frozenset(
    """np math real reals integers naturals compiler Compiler at carried chunk_count step_over
    wait share shuffle gemm products special run train tid
    nth chunks chunk first last barrier status start steps passed per_pass shuffled samples_count
    grain most_chunks update_chunks random offsets order losses times stamp k step epochs
    parameters_count hyper batch epoch samples row tile_first tile_last far astray mislabelled
    beyond only shared shared_int partials
    partials_int private private_int constants constants_int private_own private_int_own
    partials_own partials_int_own parameters gradient values values_int results results_int state
    loss seed moving_count min max range abs int
    cuda size place inner lane passes pass_stride WARP warp_wait block_wait warp_add warp_maximum
    warp_minimum block_add block_maximum block_minimum sqrt floor ceil arcsin arccos arctan arctan2
    arcsinh arccosh arctanh
    anew quotient remainder shared_array gemm_tf32""".split()
) | frozenset(SPELLING)

_COST = {"exp": 20, "log": 20, "sin": 25, "cos": 25, "tanh": 30, "sigmoid": 25, "softplus": 40,
         "log_sigmoid": 40, "power": 30, "divide": 4, "sqrt": 6, "logsumexp": 30}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """How to compile: floating type, target and arithmetic."""

    dtype: str = "float64"
    target: str = "cpu"
    math: str = "fast"
    precision: str = "full"

    def __post_init__(self) -> None:
        if self.dtype not in ("float64", "float32"):
            raise InvalidArgument(f"dtype must be 'float64' or 'float32', got {self.dtype!r}")
        if self.target not in ("cpu", "cuda"):
            raise InvalidArgument(f"target must be 'cpu' or 'cuda', got {self.target!r}")
        if self.math not in ("fast", "accurate"):
            raise InvalidArgument(f"math must be 'fast' or 'accurate', got {self.math!r}")
        if self.precision not in ("full", "tf32"):
            raise InvalidArgument(f"precision must be 'full' or 'tf32', got {self.precision!r}")
        if self.precision == "tf32" and (self.dtype, self.target) != ("float32", "cuda"):
            raise InvalidArgument(
                "precision='tf32' is for matrix products of float32 on a GPU: it needs "
                f"dtype='float32' and target='cuda', got {self.dtype!r} and {self.target!r}"
            )

    @property
    def on_device(self) -> bool:
        """Whether kernels run on a GPU."""
        return self.target == "cuda"


def dtype_name(dtype: Any) -> str:
    """The name of a floating type given as text, type or dtype."""
    try:
        return np.dtype(dtype).name
    except TypeError:
        raise InvalidArgument(f"dtype must be 'float64' or 'float32', got {dtype!r}") from None


def work_per_row(roots: Sequence[Node], rows: Any) -> float:
    """Operations for one row, about: 1 for an addition, 20 for an exponential."""
    total = 0.0
    for node in walk(roots):
        axis = row_axis(node, rows)
        sampled = axis is not None or any(row_axis(i, rows) is not None for i in node.inputs)
        if not sampled or node.row.kind == "leaf":
            continue
        shape = node.shape
        if node.operation in ("sum", "prod", "max", "min", "logsumexp", "norm", *MATRICES):
            shape = node.inputs[0].shape
        sizes = [d if isinstance(d, int) else 32 for d in shape if d != rows]
        elements = math.prod(sizes)
        if node.operation == "matmul" or node.operation in MATRICES:
            inner = node.inputs[0].shape[-1]
            elements *= inner if isinstance(inner, int) else 1
        total += elements * _COST.get(node.operation, 1)
    return max(total, 1.0)


@dataclass
class Lowered:
    """A graph after lowering, passes and layout."""

    phases: list[Phase]
    pools: dict[str, Pool]
    constants: dict[Node, Buffer]
    sizes: dict[Any, str]
    rows: Expr | None
    order: list[Node]
    packed: dict[str, list[Buffer]]


def lower_graph(
    outputs: Sequence[Output],
    symbols: dict[Node, Any],
    rows: Any,
    names: Names,
    table: SizeTable,
    flat: Mapping[str, str],
    packs: bool = False,
    known: Mapping[Size, int] | None = None,
    alone: bool = False,
    **options: Any,
) -> Lowered:
    """The way from graph to laid-out phases; ``packs`` puts many single numbers in one array.

    ``known`` is given for the threads of a device, with what sizes will be, about; ``alone`` for
    one thread of a device.
    """
    if known is not None or alone:
        check_for_device([o.node for o in outputs])
    if known is None:
        lowering = Lowering(outputs, symbols, rows, names, table, **options)
        run_passes(lowering.phases, names, lowering.extra, WITHOUT_VECTORS if alone else PASSES)
    else:
        # loaded where it is needed: who trains on the processor does not wait for it
        from .gpu.passes import is_wide_product, run_device_passes

        lowering = Lowering(
            outputs, symbols, None, names, table, device=True,
            large=functools.partial(is_wide_product, known=known), **options,
        )  # fmt: skip
        likely = {name: known[s] for s, name in table.variables.items() if s in known}
        run_device_passes(lowering.phases, names, lowering.extra, likely)
    packed = pack(lowering.phases) if packs else {}
    pools = layout(lowering.phases, flat)
    extent = table.expression(rows) if rows is not None else None
    given = [v.name for v in symbols.values() if isinstance(v, Var)]
    verify(lowering.phases, [*table.variables.values(), *given], extent)
    return Lowered(
        lowering.phases, pools, lowering.constants, table.variables, extent, lowering.plan.order,
        packed,
    )  # fmt: skip


def check_for_device(roots: Sequence[Node]) -> None:
    """Raise where a device has no routine for an operation."""
    for node in walk(roots):
        external = isinstance(SPELLING.get(node.operation), External)
        if external and node.operation not in DEVICE_SPECIAL:
            raise UnsupportedOperation(
                f"a GPU has no routine for {node.operation}, in {describe(node, 60)}: use "
                f"target='cpu'; of SciPy's functions there are {', '.join(DEVICE_SPECIAL)}"
            )


def check_not_empty(roots: Sequence[Node], sizes: Mapping[Size, int]) -> None:
    """Raise where a maximum or a minimum would be taken of no elements."""
    for node in walk(roots):
        if node.operation in ("max", "min", "argmax", "argmin"):
            shape = concrete_shape(node.inputs[0].shape, sizes)
            if any(shape[axis] == 0 for axis in node.attributes[0]):
                raise ShapeError(
                    f"{node.operation} of no elements: {describe(node.inputs[0])} has shape {shape}"
                )


def data_buffer(
    node: Node, names: Names, table: SizeTable, rows: Any, space: str = "data"
) -> Buffer:
    """The buffer of an input symbol."""
    symbol = node.attributes[0]
    shape = [table.expression(d) for d in node.shape]
    buffer = Buffer(names.new(str(symbol)), shape, node.dtype, space)
    axis = row_axis(node, rows)
    buffer.row_axis = axis if axis is not None and axis >= 0 else None
    return buffer


def used_arrays(phases: Sequence[Phase]) -> dict[str, str]:
    """The arrays that phases touch, with their memory dtype."""
    arrays: dict[str, str] = {}
    for phase in phases:
        for buffer in used_buffers(phase):
            arrays.setdefault(buffer.array, memory_dtype(buffer.dtype))
    return arrays


def constant_arrays(lowered: Lowered, dtype: str) -> dict[str, np.ndarray]:
    """The flat arrays of the model's constants."""
    result: dict[str, np.ndarray] = {}
    for name, pool in lowered.pools.items():
        if pool.space == "constant":
            kind: Any = dtype if pool.dtype == "real" else np.int64
            result[name] = np.zeros(size_value(pool.size, {}), kind)
    for node, buffer in lowered.constants.items():
        if buffer.array:
            value = node.attributes[0].value
            start = size_value(buffer.offset, {}) if buffer.offset is not None else 0
            result[buffer.array][start : start + value.size] = value.ravel()
    return result


def pool_sizes(
    lowered: Lowered, dtype: str, values: Mapping[str, int], chunks: int = 1, nth: int = 1
) -> dict[str, tuple[int, Any]]:
    """How many numbers the arrays of work memory have, and of which type."""
    copies = {"shared": 1, "partial": chunks, "private": nth}
    result = {}
    for name, pool in lowered.pools.items():
        if pool.space != "constant":
            kind: Any = dtype if pool.dtype == "real" else np.int64
            size = size_value(pool.size, values) * copies[pool.space]
            result[name] = max(size, 1), kind
    return result


def pool_arrays(
    lowered: Lowered, dtype: str, values: Mapping[str, int], chunks: int, nth: int
) -> dict[str, np.ndarray]:
    """Fresh work memory."""
    sizes = pool_sizes(lowered, dtype, values, chunks, nth)
    return {name: aligned(size, kind) for name, (size, kind) in sizes.items()}


def aligned(size: int, dtype: Any) -> np.ndarray:
    """An array that starts with a cache line, its elements not set."""
    item = np.dtype(dtype).itemsize
    whole = np.empty(size + CACHE_LINE // item, dtype)
    start = -address(whole) % CACHE_LINE // item
    return whole[start : start + size]


def chunking(lowered: Lowered, values: Mapping[str, int], work: float) -> tuple[int, int]:
    """How rows are divided: ``(fewest rows of a chunk, most chunks)``.

    Depends on sizes only, never on the number of threads, so sums do not either. A chunk must
    be worth its partial results, which are added up afterwards; a matrix kernel wants rows.
    """
    size = sum(size_value(p.size, values) for p in lowered.pools.values() if p.space == "partial")
    grain = max(CHUNK_WORK, COMBINE_COST * size) / work
    most = max(2, min(MOST_CHUNKS, PARTIAL_ELEMENTS // max(size, 1)))
    return max(1, math.ceil(grain), _fewest_rows(lowered, values)), most


def _fewest_rows(lowered: Lowered, values: Mapping[str, int]) -> int:
    """The fewest rows of a chunk that are worth a call of its matrix kernels."""
    tiled = [phase for phase in lowered.phases if phase.tile is not None]
    products = [s for phase in tiled for s in statements(phase.body) if isinstance(s, Gemm)]
    right = [size_value(s.n, values) * size_value(s.k, values) for s in products
             if s.m == lowered.rows]  # fmt: skip
    if max(right, default=0) >= FAR_ELEMENTS:
        return FAR_ROWS
    return GEMM_ROWS if tiled else 1


MATRIX_PROBLEMS = {3: SINGULAR, 4: INDEFINITE}
"""What a status says of a matrix."""


def check_status(status: np.ndarray, what: str) -> None:
    """Raise where a kernel met an index out of range, or a matrix that it cannot take."""
    if status[0] == 1:
        raise IndexOutOfRange(f"an index tensor of {what} points outside its axis")
    if status[0] == 2:
        raise IndexOutOfRange(
            f"the labels of {what} must lie in 0..classes-1: a label is outside this range"
        )
    if status[0] in MATRIX_PROBLEMS:
        raise LinearAlgebraError(f"{what}: {MATRIX_PROBLEMS[int(status[0])]}")


def in_cheapest_order(
    roots: Sequence[Node], rows: Any, options: Options, sizes: Mapping[Size, int] | None = None
) -> list[Node]:
    """What a kernel computes: products reordered, unless arithmetic is to stay as written."""
    return list(roots) if options.math == "accurate" else reorder(roots, rows, sizes).roots


def powers_of_two(sizes: Mapping[Size, int]) -> dict[Size, int]:
    """Sizes rounded up to powers of two: what is decided by them hardly depends on more."""
    return {s: 1 << max(v - 1, 0).bit_length() for s, v in sizes.items()}


@dataclass
class FunctionKernel:
    """Computes the values of nodes from the values of symbols.

    Attributes
    ----------
    sizes : mapping, optional
        Values of symbolic sizes where they are known: the cheapest order of products follows them.
    source : str
    """

    roots: list[Node]
    symbols: list[Node]
    rows: Any
    options: Options
    title: str
    sizes: Mapping[Size, int] | None = None
    source: str = field(init=False)
    _others: dict[Any, FunctionKernel] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        names = Names(RESERVED)
        table = SizeTable(names)
        if self.rows is not None:
            table.variable(self.rows)
        self._buffers = {n: data_buffer(n, names, table, self.rows) for n in self.symbols}
        self._outputs = [names.new("output") for _ in self.roots]
        computed = in_cheapest_order(self.roots, self.rows, self.options, self.sizes)
        outputs = [
            Output(new, name, "output", dtype=result_dtype(n))
            for n, new, name in zip(self.roots, computed, self._outputs, strict=True)
        ]
        # the output buffers keep the names that were given out for them
        for name in self._outputs:
            names.release(name)
        on_device = self.options.on_device
        lowered = lower_graph(
            outputs, dict(self._buffers), self.rows, names, table, {}, packs=True,
            known=(self.sizes or {}) if on_device else None,
        )  # fmt: skip
        self._lowered = lowered
        arrays = used_arrays(lowered.phases)
        self._arrays = arrays
        program = Program(
            self.title, self.options.dtype, self.options.math, lowered.phases,
            list(lowered.sizes.values()), lowered.rows, arrays, lowered.pools,
            precision=self.options.precision,
        )  # fmt: skip
        self.source = (cuda.function_source if on_device else function_source)(program)
        self._constants = constant_arrays(lowered, self.options.dtype)
        self._work = work_per_row(computed, self.rows)

    @property
    def formulas(self) -> dict[str, Node | None]:
        """The nodes that the comments of the source stand for."""
        return by_comment(self._lowered.phases)

    @functools.cached_property
    def _entry(self) -> Entry:
        return build(self.source)

    def __call__(
        self,
        arrays: Mapping[Node, np.ndarray],
        sizes: Mapping[Size, int],
        threads: int = 1,
        plain: bool = False,
    ) -> list[Any]:
        """Run on bound arrays; returns one array (or NumPy scalar) for each root."""
        if 0 in sizes.values():
            check_not_empty(self.roots, sizes)
        if self.options.on_device and sizes:
            kernel = self._for(sizes)
            if kernel is not self:
                return kernel(arrays, sizes, threads, plain)
        dtype = self.options.dtype
        values = {name: int(sizes[s]) for s, name in self._lowered.sizes.items()}
        memory: dict[str, np.ndarray] = dict(self._constants)
        for node, buffer in self._buffers.items():
            memory[buffer.name] = prepare(arrays[node], node.dtype, dtype)
        for node, name in zip(self.roots, self._outputs, strict=True):
            kind: Any = dtype if result_dtype(node) == "real" else np.int64
            memory[name] = np.empty(concrete_shape(node.shape, sizes), kind)
        join(self._lowered.packed, memory)
        results = [memory[name] for name in self._outputs]
        if self.options.on_device:
            status = self._run_on_device(plain_device() if plain else device(), memory, values)
            check_status(status, self.title)
            return [_finish(r, n) for r, n in zip(results, self.roots, strict=True)]
        rows = values[self._lowered.sizes[self.rows]] if self.rows is not None else 0
        grain, most = chunking(self._lowered, values, self._work)
        chunks = chunk_count(rows, grain, most)
        busy = rows * self._work >= THREAD_WORK
        nth = min(threads, chunks) if busy and not plain else 1
        memory.update(pool_arrays(self._lowered, dtype, values, chunks, nth))
        barrier, status = np.zeros(16, np.int64), np.zeros(1, np.int64)
        entry = build_plain(self.source) if plain else self._entry

        def hand(array: np.ndarray) -> Any:
            return array.reshape(-1) if plain else address(array)

        fixed = [hand(memory[a]) for a in self._arrays]

        def arguments(tid: int, nth: int) -> list[Any]:
            head = [tid, nth, chunks, hand(barrier), hand(status)]
            return [*head, *values.values(), *fixed]

        with np.errstate(all="ignore"):
            launch(entry, nth, arguments)
        check_status(status, self.title)
        return [_finish(r, n) for r, n in zip(results, self.roots, strict=True)]

    def _for(self, sizes: Mapping[Size, int]) -> FunctionKernel:
        """The kernel for a device and sizes like these: loops are divided by their lengths."""
        about = powers_of_two(sizes)
        if self.sizes == about:
            return self
        key = frozenset(about.items())
        if key not in self._others:
            self._others[key] = FunctionKernel(
                self.roots, self.symbols, self.rows, self.options, self.title, about
            )
        self.source = self._others[key].source
        return self._others[key]

    def _run_on_device(
        self, where: Device, memory: Mapping[str, np.ndarray], values: Mapping[str, int]
    ) -> np.ndarray:
        """Copy the inputs there and the results back; gives the status."""
        work = pool_sizes(self._lowered, self.options.dtype, values)
        there = {
            name: where.reserve(*work[name]) if name in work else where.upload(memory[name])
            for name in self._arrays
        }
        barrier, status = np.zeros(16, np.int64), np.zeros(1, np.int64)
        control = [where.upload(barrier), where.upload(status)]
        addresses = [where.address(m) for m in (*control, *there.values())]
        arguments = [*addresses[:2], *values.values(), *addresses[2:]]
        where.run(self.source, shape_of(self._lowered.phases, values), arguments)
        where.download(control[1], status)
        changed = {*self._outputs, *(n for n in self._lowered.packed if n.startswith("results"))}
        for name in changed & set(there):
            where.download(there[name], memory[name])
        return status


def result_dtype(node: Node) -> str:
    """The dtype of a result: what holds literal numbers only is real."""
    return "real" if is_literal(node) else node.dtype


def _finish(array: np.ndarray, node: Node) -> Any:
    if node.dtype == "bool":
        array = array.astype(np.bool_)
    return array[()] if array.ndim == 0 else array


def prepare(array: np.ndarray, node_dtype: str, dtype: str) -> np.ndarray:
    """An input as the kernel reads it: contiguous, in the memory dtype; copied only if needed."""
    return np.ascontiguousarray(array, dtype if node_dtype == "real" else np.int64)


def choose_rows(symbols: Sequence[Node]) -> Any:
    """The size that counts rows: the leading symbolic size that most inputs share."""
    votes: dict[Any, int] = {}
    for node in symbols:
        if node.shape and isinstance(node.shape[0], Size):
            votes[node.shape[0]] = votes.get(node.shape[0], 0) + 1
    return max(votes, key=lambda s: votes[s]) if votes else None
