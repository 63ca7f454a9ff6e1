"""Program to loop IR.

``value`` writes the element of a node at an index as an expression. THE lowering table has two
parts: ``elements.py`` for operations whose elements are written where they are used, ``nests.py``
for those that have loops of their own; elementwise nodes with memory are a loop over their shape.
Where a node is computed is decided in ``schedule``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from symdiff.errors import UnsupportedOperation
from symdiff.graph import Node

from .arrange import arrange, in_memory_order, lanes
from .channels import Images, plan_images
from .convolutions import PRODUCTS
from .decompose import DECOMPOSED, decompose
from .elements import ELEMENTS, symbol_element
from .formula import Formula, formula
from .gpu.windows import DEVICE_NESTS
from .loop_ir import (
    ROW,
    Buffer,
    Call,
    Expr,
    Gemm,
    Let,
    Load,
    Matrix,
    Phase,
    Statement,
    Store,
    Var,
    const,
    nested,
    neutral,
    row_major,
)
from .names import Names
from .nests import NESTS
from .recurrence import lower_recurrence
from .rows import row_axis
from .schedule import Schedule, operand_source, schedule
from .sizes import SizeTable
from .windows import CONVOLUTIONS

Index = tuple[Expr, ...]

TILE = 64
"""Rows that a tile holds where matrix kernels need their operands in memory."""


@dataclass(frozen=True)
class Output:
    """Where a result goes: a node, and the buffer (an existing one, if given) that receives it."""

    node: Node
    name: str
    space: str
    slot: int | None = None
    buffer: Buffer | None = None
    dtype: str | None = None


class Lowering:
    """Lowers one graph; ``phases`` is the result.

    With ``single`` one thread takes all rows as one chunk, in one phase. With ``in_place`` the
    results replace what the graph reads, after the last statement that reads it. With ``device``
    each element has a sum of its own wherever that is possible, for as many threads.
    """

    def __init__(
        self,
        outputs: Sequence[Output],
        symbols: dict[Node, Buffer | Expr | Callable[[Index], Expr]],
        rows: Any,
        names: Names,
        sizes: SizeTable,
        gathered: Buffer | None = None,
        gemm: bool = True,
        in_place: bool = False,
        wish: str = "rows",
        single: bool = False,
        few: bool = False,
        device: bool = False,
        large: Callable[[Node], bool] | None = None,
    ) -> None:
        self.device = device
        self.in_place = in_place
        self.single = single
        self.wish = wish
        self.names = names
        self.sizes = sizes
        self.rows = rows
        self.gathered = gathered
        self.symbols = symbols
        roots = decompose([o.node for o in outputs])
        self.plan: Schedule = schedule(roots, rows, gemm, few, large)
        images = gemm and not device
        self.images = plan_images(self.plan.order, rows) if images else Images({}, {})
        self.prologue: list[Statement] | None = None
        self.buffers: dict[Node, Buffer] = {}
        self.constants: dict[Node, Buffer] = {}
        self.extra: list[Buffer] = []
        self.checks: list[Any] = []
        self._tiles: list[Node] = []
        self._zeros: list[Statement] = []
        self._values: dict[Node, Expr] = {}
        self._statements: list[Statement] = []
        self._pending: list[tuple[Node, Buffer, Buffer]] = []
        self._targets: dict[Node, list[Buffer]] = {}
        for root, output in zip(roots, outputs, strict=True):
            buffer = output.buffer or self._buffer(root, output.name, output.space)
            buffer.slot = output.slot
            buffer.dtype = output.dtype or buffer.dtype
            self._targets.setdefault(root, []).append(buffer)
        self.phases = self._lower()
        arrange(self.phases)

    # --- buffers -------------------------------------------------------------------------

    def _buffer(self, node: Node, wish: str, space: str) -> Buffer:
        shape = [self.sizes.expression(d) for d in node.shape]
        buffer = Buffer(self.names.new(wish), shape, node.dtype, space)
        axis = row_axis(node, self.rows)
        buffer.row_axis = axis if axis is not None and axis >= 0 else None
        if space in ("private", "shared", "partial"):
            buffer.order = self.images.orders.get(node)
        self.extra.append(buffer)
        return buffer

    def _space(self, node: Node) -> str:
        """Memory of one thread where only the phase that computes it reads it."""
        plan = self.plan
        if self.single:
            return "private"
        if node in plan.reduces:
            return "shared"
        time = plan.time[node]
        users = self._users[node]
        return "shared" if any(plan.time[u] != time for u in users) else "private"

    # --- phases --------------------------------------------------------------------------

    def _lower(self) -> list[Phase]:
        plan = self.plan
        self._users = self._find_users()
        phases: list[Phase] = []
        for time in range(plan.last + 1):
            nodes = [n for n in plan.order if n in plan.stored and plan.time[n] == time]
            if not nodes:
                continue
            if not self.single:
                self._values = {}
            if time % 2:
                phases += self._rows_phases(nodes, time)
            else:
                body = self._serial(nodes)
                if body:
                    phases.append(Phase(self.names.new(self._serial_wish), "serial", body))
        return [self._joined(phases)] if self.single else phases

    def _joined(self, phases: list[Phase]) -> Phase:
        """All phases as one, on one thread."""
        body = [*self._zeros, *(s for phase in phases for s in (*phase.prologue, *phase.body))]
        self._statements = body
        self._write_back()
        return Phase(self.names.new(self.wish), "step", body)

    def _find_users(self) -> dict[Node, list[Node]]:
        """For each stored node, the stored nodes that read it, directly or inlined."""
        plan = self.plan
        users: dict[Node, dict[Node, None]] = {n: {} for n in plan.order}
        for node in reversed(plan.order):
            through = {node: None} if node in plan.stored else {}
            if node not in plan.stored or node in plan.scalars:  # computed where it is read
                through |= users[node]
            for operand in node.inputs:
                users[operand].update(through)
        return {n: list(u) for n, u in users.items()}

    def _serial(self, nodes: list[Node]) -> list[Statement]:
        body: list[Statement] = []
        self._statements = body
        wanted = [n for n in nodes if n not in self.plan.scalars or n in self._targets]
        scalars = self._needed_scalars(wanted)
        chosen = {*wanted, *scalars}
        for node in [n for n in self.plan.order if n in chosen]:
            if node in self._targets or node not in self.plan.scalars:
                self._compute(node)
            else:
                self._let(node)
        if not self.single:
            self._write_back()
        return body

    def _write_back(self) -> None:
        """Store results that replace what was read, once all of them are computed."""
        for node, source, target in self._pending:
            row = row_axis(node, self.rows) if node in self.plan.local else None
            counters, index = self._counters(target.shape, row)
            store: list[Statement] = [Store(target, index, Load(source, index), source.formula)]
            self._emit_or_extend(counters, target.shape, store, "", row)
            self.buffers[node] = source
        self._pending.clear()

    def _let(self, node: Node) -> Var:
        """Compute a scalar node once in this phase."""
        value = self._element(node, ())
        dtype = value.dtype if isinstance(value, Var) else node.dtype
        variable = Var(self.names.new(self._wish(node)), dtype)
        self._statements.append(Let(variable.name, value, self._formula(node)))
        self._values[node] = variable
        return variable

    def _rows_phases(self, nodes: list[Node], time: int) -> list[Phase]:
        prologue: list[Statement] = []
        self._statements = prologue
        for node in self._scalar_symbols(nodes):
            self._let(node)
        for node in self._needed_scalars(nodes):
            self._let(node)
        body: list[Statement] = []
        self._statements = body
        self.prologue = prologue
        combines: list[Statement] = []
        for node in nodes:
            self._compute(node, combines)
        self.prologue = None
        if not self.single:
            self._write_back()
        wish = "update" if self.in_place else self.wish
        gemm = any(n in self.plan.gemms for n in nodes)
        phase = Phase(self.names.new(wish), "rows", body, tile=TILE if gemm else None)
        phase.prologue = prologue
        self._note_images(phase, nodes)
        result = [phase]
        if combines:
            result.append(Phase(self.names.new("combine"), "combine", combines))
        for node in self._tiles:
            del self.buffers[node]
        self._tiles.clear()
        return result

    def _note_images(self, phase: Phase, nodes: list[Node]) -> None:
        """Say in which form the convolutions of a phase are computed, and why."""
        count = sum(n.operation in CONVOLUTIONS for n in nodes)
        if not count or not self.images.why:
            return
        form = "products of patches" if self.images.products else "direct loops"
        word = "convolution" if count == 1 else "convolutions"
        phase.note(f"{count} {word} as {form}", self.images.why)

    def _scalar_symbols(self, nodes: list[Node]) -> list[Node]:
        """Symbols without axes that a phase reads: loaded once, not in every row."""
        if self.single:  # variables already
            return []
        found: dict[Node, None] = {}
        stack = list(nodes)
        seen: set[Node] = set()
        while stack:
            node = stack.pop()
            for operand in node.inputs:
                if operand in seen:
                    continue
                seen.add(operand)
                if operand.operation == "symbol" and not operand.shape:
                    found.setdefault(operand)
                elif operand not in self.buffers or operand in self.plan.scalars:
                    stack.append(operand)
        return [n for n in self.plan.order if n in found and n not in self._values]

    def _needed_scalars(self, nodes: list[Node]) -> list[Node]:
        """Scalar nodes that the nodes of a phase by rows read, in order."""
        plan = self.plan
        needed: set[Node] = set()
        stack = [i for n in nodes for i in n.inputs]
        seen: set[Node] = set()
        while stack:
            node = stack.pop()
            if node in seen or (node in self.buffers and node not in plan.scalars):
                continue
            seen.add(node)
            if node in plan.scalars:
                needed.add(node)
            if node not in plan.stored or node in plan.scalars:
                stack.extend(node.inputs)
        ready = self._ready_scalars
        return [n for n in plan.order if n in needed and n not in ready and n not in self._values]

    @property
    def _serial_wish(self) -> str:
        return "update_scalars" if self.in_place else "whole"

    @property
    def _ready_scalars(self) -> set[Node]:
        return {n for n in self.plan.scalars if n in self.buffers}

    # --- computing a stored node ---------------------------------------------------------

    def _wish(self, node: Node) -> str:
        if node.operation == "symbol":
            return str(node.attributes[0])
        return node.operation

    def _formula(self, node: Node) -> Formula:
        return formula(node, self._name_of)

    def _name_of(self, node: Node) -> str | None:
        if node in self.symbols:
            return str(node.attributes[0])
        buffer = self.buffers.get(node)
        if buffer is not None:
            return buffer.name
        value = self._values.get(node)
        return value.name if isinstance(value, Var) else None

    def _compute(self, node: Node, combines: list[Statement] | None = None) -> None:
        if node.operation == "scan":
            if node not in self.buffers:
                lower_recurrence(self, node)
            return
        targets = self._targets.get(node, [])
        text = self._formula(node)
        reduces = node in self.plan.reduces
        if reduces:
            if self.single:
                self._sum_rows(node, text)
                return
            final = targets[0] if targets else self._buffer(node, self._wish(node), "shared")
            partial = self._buffer(node, f"partial_{final.name}", "partial")
            partial.formula = final.formula = text
            self._nest(node, partial, text)
            assert combines is not None
            combines.append(self._combine(node, partial, final))
            self.buffers[node] = final
            for other in targets[1:]:
                combines.append(self._copy(node, final, other))
            return
        if targets and self.in_place:
            first, rest = self._buffer(node, self._wish(node), "private"), []
            self._pending += [(node, first, target) for target in targets]
        elif targets:
            first, *rest = targets
        elif (place := self._result_of(node)) is not None:
            first, rest = place, []
        else:
            first, rest = self._buffer(node, self._wish(node), self._space(node)), []
        first.formula = text
        self._nest(node, first, text)
        self.buffers[node] = first
        for other in rest:
            self._statements.append(self._copy(node, first, other))

    def _result_of(self, node: Node) -> Buffer | None:
        """A result made of a product, element by element, has room for the product, too."""
        if node not in self.plan.shared or self.in_place:
            return None
        readers = [n for n in self.plan.order if node in n.inputs]
        if len(readers) != 1 or readers[0] not in self._targets:
            return None
        (reader,) = readers
        same = reader.shape == node.shape and reader.row.kind == "elementwise"
        alone = same and reader not in self.plan.local
        return self._targets[reader][0] if alone else None

    def _sum_rows(self, node: Node, text: str) -> None:
        """One thread adds up all rows in the result itself."""
        final = self._buffer(node, self._wish(node), "private")
        final.formula = text
        start = neutral(_update_operation(node), node.dtype)
        counters, index = self._counters(final.shape)
        zero: list[Statement] = [Store(final, index, start)]
        self._zeros.append(nested(counters, final.shape, zero, "") if counters else zero[0])
        self._nest(node, final, text)
        self.buffers[node] = final
        self._pending += [(node, final, target) for target in self._targets.get(node, [])]

    def _combine(self, node: Node, partial: Buffer, final: Buffer) -> Statement:
        """Combine the chunks in order: ``final[i] = partial 0 [i] op partial 1 [i] op …``."""
        counters, index = self._counters(final.shape)
        call = Call(f"combine_{_update_operation(node)}", (Load(partial, index),), node.dtype)
        comment = Formula(f"{final.name} from the partial results of the chunks", node)
        return nested(counters, final.shape, [Store(final, index, call, comment)], comment)

    def _copy(self, node: Node, source: Buffer, target: Buffer) -> Statement:
        counters, index = self._counters(target.shape)
        return nested(counters, target.shape, [Store(target, index, Load(source, index))], "copy")

    def _counters(self, shape: Sequence[Expr], row: int | None = None) -> tuple[list[str], Index]:
        counters = []
        for axis, _ in enumerate(shape):
            counters.append(ROW if axis == row else self.names.new("ijklmpq"[min(axis, 6)]))
        return counters, tuple(Var(c, "int") for c in counters)

    def _nest(self, node: Node, buffer: Buffer, text: str) -> None:
        row = row_axis(node, self.rows) if node in self.plan.local else None
        if node in self.plan.gemms:
            self._gemm(node, buffer, text)
            return
        build = NESTS.get(node.operation)
        if self.device:
            build = DEVICE_NESTS.get(node.operation, build)
        if node in self.images.products:
            build = PRODUCTS[node.operation]
        elif node.operation == "reshape" and self._flatten(node, buffer, row, text):
            return
        if build is not None:
            build(self, node, buffer, row, text)
            return
        counters, index = self._counters(buffer.shape, row)
        body: list[Statement] = [Store(buffer, index, self._element(node, index), text)]
        self._emit_or_extend(counters, buffer.shape, body, text, row)

    def _emit(
        self,
        counters: Sequence[str],
        shape: Sequence[Expr],
        body: list[Statement],
        text: str,
        row: int | None,
    ) -> None:
        """Loops over a shape, the row axis outermost; over images in the order of memory."""
        order = sorted(range(len(counters)), key=lambda a: a != row)
        order = in_memory_order(order, counters, body)
        nest = nested([counters[a] for a in order], [shape[a] for a in order], body, text)
        self._statements.append(lanes(nest, self.names))

    def _flatten(self, node: Node, buffer: Buffer, row: int | None, text: str) -> bool:
        """Copy images into rows of numbers, in the order in which images lie in memory."""
        (x,) = node.inputs
        source = self.buffers.get(x)
        if source is None or source.order is None or node.rank != 2 or node.shape[0] != x.shape[0]:
            return False
        counters, index = self._counters(source.shape, row)
        flat = row_major(source.shape[1:], index[1:])
        store: list[Statement] = [Store(buffer, (index[0], flat), Load(source, index), text)]
        self._emit(counters, source.shape, store, text, row)
        return True

    def _emit_or_extend(
        self,
        counters: Sequence[str],
        shape: Sequence[Expr],
        body: list[Statement],
        text: str,
        row: int | None,
    ) -> None:
        if counters:
            self._emit(counters, shape, body, text, row)
        else:
            self._statements.extend(body)

    # --- values --------------------------------------------------------------------------

    def value(self, node: Node, index: Index) -> Expr:
        """The element of a node at an index, read from memory or written out."""
        if node in self._values:
            return self._values[node]
        if node in self.buffers:
            return Load(self.buffers[node], index)
        return self._element(node, index)

    def _element(self, node: Node, index: Index) -> Expr:
        if node.row.kind == "elementwise":
            arguments = tuple(self.value(i, self._aligned(i, node, index)) for i in node.inputs)
            return Call(node.operation, arguments, node.dtype)
        try:
            rule = ELEMENTS[node.operation]
        except KeyError:
            raise UnsupportedOperation(
                f"there is no lowering for the operation {node.operation}"
            ) from None
        return rule(self, node, index)

    def _aligned(self, operand: Node, node: Node, index: Index) -> Index:
        """The index of a broadcast operand: aligned from the right, 0 along axes of size 1."""
        tail = index[node.rank - operand.rank :]
        shape = node.shape[node.rank - operand.rank :]
        return tuple(
            const(0) if d == 1 and full != 1 else i
            for d, full, i in zip(operand.shape, shape, tail, strict=True)
        )

    def bounded(self, value: Expr, size: Expr) -> Expr:
        """An index that counts from the end where negative, and is checked at run time."""
        return Call("bounded", (value, size), "int")

    # --- matrix kernels ------------------------------------------------------------------

    def _matrix(self, operand: Node) -> Matrix:
        source = operand_source(operand)
        buffer = self.buffers.get(source) or self._leaf_buffer(source)
        return Matrix(buffer, transposed=operand is not source)

    def _leaf_buffer(self, node: Node) -> Buffer:
        if node.operation == "symbol":
            buffer = self.symbols[node]
            assert isinstance(buffer, Buffer)
            if self.gathered is None or buffer.row_axis is None:
                return buffer
            return self._gather_tile(node)
        return self._constant(node)

    def _gather_tile(self, node: Node) -> Buffer:
        """Copy the rows of a batch into a tile, for a matrix kernel."""
        data = self.symbols[node]
        assert isinstance(data, Buffer)
        shared = any(operand_source(i) is node for g in self.plan.shared for i in g.inputs)
        wish, space = ("batch", "shared") if shared else ("tile", "private")
        buffer = self._buffer(node, f"{data.name}_{wish}", space)
        counters, index = self._counters(buffer.shape, 0)
        text = f"{buffer.name} = rows of {data.name}"
        load = symbol_element(self, node, index)
        self._statements.append(nested(counters, buffer.shape, [Store(buffer, index, load)], text))
        self.buffers[node] = buffer
        if not shared:
            self._tiles.append(node)
        return buffer

    def _constant(self, node: Node) -> Buffer:
        if node not in self.constants:
            self.constants[node] = self._buffer(node, "constant", "constant")
        return self.constants[node]

    def _gemm(self, node: Node, buffer: Buffer, text: str) -> None:
        a, b = node.inputs
        left, right = self._matrix(a), self._matrix(b)
        m, k, n = (self.sizes.expression(d) for d in (a.shape[0], a.shape[1], b.shape[1]))
        accumulate = node in self.plan.reduces
        self._statements.append(Gemm(Matrix(buffer), left, right, m, n, k, accumulate, text))


def _update_operation(node: Node) -> str:
    """How the contributions of rows come together."""
    return {"max": "maximum", "min": "minimum"}.get(node.operation, "add")


def lowered_operations() -> set[str]:
    """All structural operations that can be lowered."""
    return set(ELEMENTS) | set(NESTS) | DECOMPOSED | {"scan"}


__all__ = ["Lowering", "Output", "lowered_operations"]
