"""Program to loop IR; THE lowering table.

``value`` writes the element of a node at an index as an expression; ``_NESTS`` says how a node
that gets memory is computed: elementwise nodes by a loop over their shape, reductions and
products by the functions of the table. Where a node is computed is decided in ``schedule``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from symdiff.errors import UnsupportedOperation
from symdiff.graph import Node, apply, number, rebuild
from symdiff.indexing import output_order
from symdiff.random_bits import BITS
from symdiff.recurrence import Body
from symdiff.shapes import product
from symdiff.structural import reshape

from .formula import formula
from .loop_ir import (
    Buffer,
    Call,
    Const,
    Expr,
    Gemm,
    Let,
    Load,
    Loop,
    Matrix,
    Phase,
    Statement,
    Store,
    Update,
    Var,
    const,
    plus,
    times,
)
from .matrices import MATRIX_NESTS
from .names import Names
from .recurrence import lower_recurrence
from .rows import row_axis
from .schedule import MOVES, Schedule, operand_source, schedule
from .sizes import SizeTable
from .windows import CONVOLUTIONS, WINDOW_NESTS, window_element

Index = tuple[Expr, ...]

OPERANDS = 16
"""Operands that one line of source holds."""

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


def decompose(roots: Sequence[Node]) -> list[Node]:
    """Replace operations by others that have a lowering of their own."""
    bodies: dict[Body, Body] = {}

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.operation == "scan":
            body, *rest = node.attributes
            if body not in bodies:
                bodies[body] = Body(body.parameters, tuple(decompose(body.results)))
            return apply("scan", *inputs, attributes=(bodies[body], *rest))
        if node.operation == "logsumexp":
            return _logsumexp(inputs[0], *node.attributes)
        if node.operation == "norm":
            return _norm(inputs[0], *node.attributes)
        if node.operation in ("matmul", *CONVOLUTIONS) and node.dtype == "real":
            inputs = tuple(i if i.dtype == "real" else _as_real(i) for i in inputs)
        if node.operation in ("argmax", "argmin") and len(node.attributes[0]) > 1:
            flat = reshape(inputs[0], (product(inputs[0].shape),))
            return reshape(apply(node.operation, flat, attributes=((0,), False)), node.shape)
        if node.row.kind == "elementwise" and len(inputs) > OPERANDS:
            return _chain(node, inputs)
        if inputs == node.inputs:
            return node
        return apply(node.operation, *inputs, attributes=node.attributes)

    return [_copied(r) if r.row.kind == "leaf" else r for r in rebuild(roots, transform)]


def _copied(leaf: Node) -> Node:
    """A result that is an input or a constant as it stands is copied: the sum of one operand."""
    return apply("logical_or" if leaf.dtype == "bool" else "add", leaf)


def _chain(node: Node, inputs: Sequence[Node]) -> Node:
    """A sum or product of very many operands, in their order, as one of sums of a few."""
    result = apply(node.operation, *inputs[:OPERANDS], attributes=node.attributes)
    for start in range(OPERANDS, len(inputs), OPERANDS - 1):
        operands = inputs[start : start + OPERANDS - 1]
        result = apply(node.operation, result, *operands, attributes=node.attributes)
    return result


def _as_real(x: Node) -> Node:
    """Matrix kernels take real operands."""
    return apply("multiply", x, number(sp.Float(1)))


def _logsumexp(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """max(x) + log(sum(exp(x - max(x)))); an infinite maximum is not subtracted."""
    top = apply("max", x, attributes=(axes, True))
    finite = apply("less", apply("abs", top), number(sp.oo))
    shift = apply("where", finite, top, number(0))
    terms = apply("exp", apply("subtract", x, shift))
    total = apply("sum", terms, attributes=(axes, True))
    result = apply("add", apply("log", total), shift)
    return result if keepdims else _without(result, axes)


def _norm(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """The largest ``|x|`` times the root of the sum of ``(x / largest)^2``.

    One that is 0 or infinite divides nothing.
    """
    top = apply("max", apply("abs", x), attributes=(axes, True))
    usable = apply(
        "logical_and",
        apply("less", number(0), top),
        apply("less", top, number(sp.oo)),
    )
    scale = apply("where", usable, top, number(1))
    squares = apply("power", apply("divide", x, scale), number(2))
    total = apply("sum", squares, attributes=(axes, True))
    result = apply("multiply", apply("sqrt", total), scale)
    return result if keepdims else _without(result, axes)


def _without(x: Node, axes: tuple[int, ...]) -> Node:
    return reshape(x, tuple(d for i, d in enumerate(x.shape) if i not in axes))


class Lowering:
    """Lowers one graph; ``kernel`` is the result."""

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
    ) -> None:
        self.in_place = in_place
        self.wish = wish
        self.names = names
        self.sizes = sizes
        self.rows = rows
        self.gathered = gathered
        self.symbols = symbols
        roots = decompose([o.node for o in outputs])
        self.plan: Schedule = schedule(roots, rows, gemm)
        self.buffers: dict[Node, Buffer] = {}
        self.constants: dict[Node, Buffer] = {}
        self.extra: list[Buffer] = []
        self.checks: list[Any] = []
        self._tiles: list[Node] = []
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

    # --- buffers -------------------------------------------------------------------------

    def _buffer(self, node: Node, wish: str, space: str) -> Buffer:
        shape = [self.sizes.expression(d) for d in node.shape]
        buffer = Buffer(self.names.new(wish), shape, node.dtype, space)
        axis = row_axis(node, self.rows)
        buffer.row_axis = axis if axis is not None and axis >= 0 else None
        self.extra.append(buffer)
        return buffer

    def _space(self, node: Node) -> str:
        """Memory of one thread where only the phase that computes it reads it."""
        plan = self.plan
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
            self._values = {}
            if time % 2:
                phases += self._rows_phases(nodes, time)
            else:
                body = self._serial(nodes)
                if body:
                    phases.append(Phase(self.names.new(self._serial_wish), "serial", body))
        return phases

    def _find_users(self) -> dict[Node, list[Node]]:
        """For each stored node, the stored nodes that read it, directly or inlined."""
        plan = self.plan
        users: dict[Node, list[Node]] = {n: [] for n in plan.order}
        for node in reversed(plan.order):
            through = [node] if node in plan.stored else []
            if node not in plan.stored or node in plan.scalars:  # computed where it is read
                through = through + users[node]
            for operand in node.inputs:
                users[operand].extend(through)
        return {n: list(dict.fromkeys(u)) for n, u in users.items()}

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
        combines: list[Statement] = []
        for node in nodes:
            self._compute(node, combines)
        self._write_back()
        wish = "update" if self.in_place else self.wish
        gemm = any(n in self.plan.gemms for n in nodes)
        phase = Phase(self.names.new(wish), "rows", body, tile=TILE if gemm else None)
        phase.prologue = prologue
        result = [phase]
        if combines:
            result.append(Phase(self.names.new("combine"), "combine", combines))
        for node in self._tiles:
            del self.buffers[node]
        self._tiles.clear()
        return result

    def _scalar_symbols(self, nodes: list[Node]) -> list[Node]:
        """Symbols without axes that a phase reads: loaded once, not in every row."""
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
        return [n for n in self.plan.order if n in found]

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
        return [n for n in plan.order if n in needed and n not in ready]

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

    def _formula(self, node: Node) -> str:
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
        else:
            first, rest = self._buffer(node, self._wish(node), self._space(node)), []
        first.formula = text
        self._nest(node, first, text)
        self.buffers[node] = first
        for other in rest:
            self._statements.append(self._copy(node, first, other))

    def _combine(self, node: Node, partial: Buffer, final: Buffer) -> Statement:
        """Combine the chunks in order: ``final[i] = partial 0 [i] op partial 1 [i] op …``."""
        operation = (
            "add"
            if node.operation in ("sum", "matmul", "index_add", "convolve_kernel")
            else ("maximum" if node.operation == "max" else "minimum")
        )
        counters, index = self._counters(final.shape)
        call = Call(f"combine_{operation}", (Load(partial, index),), node.dtype)
        comment = f"{final.name} from the partial results of the chunks"
        return _wrap(counters, final.shape, [Store(final, index, call, comment)], comment)

    def _copy(self, node: Node, source: Buffer, target: Buffer) -> Statement:
        counters, index = self._counters(target.shape)
        return _wrap(counters, target.shape, [Store(target, index, Load(source, index))], "copy")

    def _counters(self, shape: Sequence[Expr], row: int | None = None) -> tuple[list[str], Index]:
        counters = []
        for axis, _ in enumerate(shape):
            counters.append("row" if axis == row else self.names.new("ijklmpq"[min(axis, 6)]))
        return counters, tuple(Var(c, "int") for c in counters)

    def _nest(self, node: Node, buffer: Buffer, text: str) -> None:
        row = row_axis(node, self.rows) if node in self.plan.local else None
        if node in self.plan.gemms:
            self._gemm(node, buffer, text)
            return
        build = _NESTS.get(node.operation)
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
        """Loops over a shape, the row axis outermost."""
        order = sorted(range(len(counters)), key=lambda a: a != row)
        self._statements.append(
            _wrap([counters[a] for a in order], [shape[a] for a in order], body, text)
        )

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
            rule = _VALUES[node.operation]
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
        buffer = self._buffer(node, f"{data.name}_tile", "private")
        counters, index = self._counters(buffer.shape, 0)
        text = f"{buffer.name} = rows of {data.name}"
        load = _symbol(self, node, index)
        self._statements.append(_wrap(counters, buffer.shape, [Store(buffer, index, load)], text))
        self.buffers[node] = buffer
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


def _wrap(
    counters: Sequence[str], shape: Sequence[Expr], body: list[Statement], text: str
) -> Statement:
    """Loops around a body; without counters, the body must be one statement."""
    for position in reversed(range(len(counters))):
        body = [Loop(counters[position], shape[position], body, text if position == 0 else "")]
    (statement,) = body
    return statement


# --- how elements are written -----------------------------------------------------------


def _symbol(low: Lowering, node: Node, index: Index) -> Expr:
    buffer = low.symbols[node]
    if callable(buffer):  # a variable of the step of a recurrence
        return buffer(index)
    if not isinstance(buffer, Buffer):
        return buffer
    if buffer.row_axis is not None and low.gathered is not None and buffer.space == "data":
        row = Load(low.gathered, (index[buffer.row_axis],))
        index = (*index[: buffer.row_axis], row, *index[buffer.row_axis + 1 :])
    return Load(buffer, index)


def _number(low: Lowering, node: Node, index: Index) -> Expr:
    return Const(node.attributes[0], node.dtype)


def _array(low: Lowering, node: Node, index: Index) -> Expr:
    return Load(low._constant(node), index)


def _size(low: Lowering, node: Node, index: Index) -> Expr:
    return low.sizes.expression(node.attributes[0])


def _transpose(low: Lowering, node: Node, index: Index) -> Expr:
    inverse = np.argsort(node.attributes[0])
    return low.value(node.inputs[0], tuple(index[int(p)] for p in inverse))


def _broadcast(low: Lowering, node: Node, index: Index) -> Expr:
    return low.value(node.inputs[0], low._aligned(node.inputs[0], node, index))


def _reshape(low: Lowering, node: Node, index: Index) -> Expr:
    (x,) = node.inputs
    old = [(i, d) for i, d in enumerate(x.shape) if d != 1]
    new = [(i, d) for i, d in enumerate(node.shape) if d != 1]
    result: list[Expr] = [const(0)] * x.rank
    while old and new and old[0][1] == new[0][1]:
        result[old.pop(0)[0]] = index[new.pop(0)[0]]
    tail: list[tuple[int, Expr]] = []
    while old and new and old[-1][1] == new[-1][1]:
        tail.append((old.pop()[0], index[new.pop()[0]]))
    for axis, expression in tail:
        result[axis] = expression
    if old:
        flat: Expr = const(0)
        for axis, size in new:
            flat = plus(times(flat, low.sizes.expression(size)), index[axis])
        for position, (axis, size) in reversed(list(enumerate(old))):
            extent = low.sizes.expression(size)
            result[axis] = Call("modulo", (flat, extent), "int") if position else flat
            flat = Call("floor_divide", (flat, extent), "int")
    return low.value(x, tuple(result))


def _key_index(low: Lowering, node: Node, index: Index, whole: Node) -> Index:
    """The index into the operand of ``x[key]`` at an index of the result."""
    key = node.attributes[0]
    operands = node.inputs[1:]
    start, _ = output_order(key)
    extra = max((o.rank for o in operands), default=0)
    gathered = index[start : start + extra]
    plain = [*index[:start], *index[start + extra :]] if operands else list(index)
    result: list[Expr] = []
    for entry in key:
        if entry[0] == "new":
            plain.pop(0)
        elif entry[0] == "slice":
            first = low.sizes.expression(entry[1])
            step = times(const(entry[3]), plain.pop(0))
            result.append(plus(first, step))
        elif entry[0] == "int":
            result.append(low.sizes.expression(entry[1]))
        else:
            operand = operands[entry[1]]
            tail = gathered[extra - operand.rank :]
            at = tuple(const(0) if d == 1 else i for d, i in zip(operand.shape, tail, strict=True))
            size = low.sizes.expression(whole.shape[len(result)])
            result.append(low.bounded(low.value(operand, at), size))
    return tuple(result)


def _index(low: Lowering, node: Node, index: Index) -> Expr:
    return low.value(node.inputs[0], _key_index(low, node, index, node.inputs[0]))


def _index_add(low: Lowering, node: Node, index: Index) -> Expr:
    """``g`` at the places of a basic key, 0 elsewhere."""
    values = node.inputs[0]
    inside: list[Expr] = []
    at: list[Expr] = []
    axis = 0
    for entry in node.attributes[0]:
        if entry[0] == "new":
            at.append(const(0))
            continue
        i = index[axis]
        size = node.shape[axis]
        axis += 1
        first = low.sizes.expression(entry[1])
        if entry[0] == "int":
            inside.append(Call("equal", (i, first), "bool"))
            continue
        count, step = entry[2], entry[3]
        if entry[1] == 0 and step == 1 and count == size:
            at.append(i)
            continue
        offset: Expr = Call("subtract", (i, first), "int")
        position = offset if step == 1 else Call("floor_divide", (offset, const(step)), "int")
        if step != 1:
            remainder = Call("modulo", (offset, const(step)), "int")
            inside.append(Call("equal", (remainder, const(0)), "bool"))
        inside.append(Call("less_equal", (const(0), position), "bool"))
        inside.append(Call("less", (position, low.sizes.expression(count)), "bool"))
        at.append(position)
    value = low.value(values, tuple(at))
    if not inside:
        return value
    condition = inside[0] if len(inside) == 1 else Call("logical_and", tuple(inside), "bool")
    return Call("where", (condition, value, Const(sp.S.Zero, node.dtype)), node.dtype)


def _one_hot(low: Lowering, node: Node, index: Index) -> Expr:
    size = low.sizes.expression(node.shape[-1])
    label = Call("label", (low.value(node.inputs[0], index[:-1]), size), "int")
    return Call("equal", (label, index[-1]), "bool")


def _arange(low: Lowering, node: Node, index: Index) -> Expr:
    return index[0]


def _random_uniform(low: Lowering, node: Node, index: Index) -> Expr:
    site, shape = node.attributes
    place: Expr = const(0)
    for size, i in zip(shape, index, strict=True):
        place = plus(times(place, low.sizes.expression(size)), i)
    seed, step = (low.value(i, ()) for i in node.inputs)
    bits = Call("random_bits", (seed, step, const(site), place), "int")
    return Call("multiply", (bits, Const(sp.Float(2.0**-BITS), "real")), "real")


def _concatenate(low: Lowering, node: Node, index: Index) -> Expr:
    (axis,) = node.attributes
    stops: list[Any] = []
    total: Any = 0
    for operand in node.inputs:
        total = total + operand.shape[axis]
        stops.append(total)
    result: Expr | None = None
    for operand, stop in reversed(list(zip(node.inputs, stops, strict=True))):
        start = low.sizes.expression(stop - operand.shape[axis])
        shifted = index[axis]
        if start != const(0):
            shifted = Call("subtract", (index[axis], start), "int")
        value = low.value(operand, (*index[:axis], shifted, *index[axis + 1 :]))
        if result is None:
            result = value
        else:
            inside = Call("less", (index[axis], low.sizes.expression(stop)), "bool")
            result = Call("where", (inside, value, result), node.dtype)
    assert result is not None
    return result


_VALUES: dict[str, Callable[[Lowering, Node, Index], Expr]] = {
    "symbol": _symbol,
    "number": _number,
    "array": _array,
    "size": _size,
    "arange": _arange,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "index": _index,
    "index_add": _index_add,
    "one_hot": _one_hot,
    "concatenate": _concatenate,
    "windows": window_element,
    "random_uniform": _random_uniform,
}
"""Structural operations whose elements are written where they are used."""


# --- how nodes with memory are computed ---------------------------------------------------

_START = {"add": sp.S.Zero, "maximum": -sp.oo, "minimum": sp.oo}


def _start(operation: str, dtype: str) -> Const:
    if dtype != "real" and operation != "add":
        limit = np.iinfo(np.int64)
        return Const(sp.Integer(limit.min if operation == "maximum" else limit.max), "int")
    return Const(_START[operation], dtype)


def _accumulate_rows(
    low: Lowering,
    buffer: Buffer,
    operation: str,
    row: str,
    inner: Sequence[tuple[str, Expr]],
    target: Index,
    value: Expr,
    text: str,
) -> None:
    """Add what each row contributes to the partial result of the chunk."""
    update = Update(buffer, target, operation, value, text)
    counters = [row, *(c for c, _ in inner)]
    shape = [low.sizes.expression(low.rows), *(e for _, e in inner)]
    low._statements.append(_wrap(counters, shape, [update], text))


def _reduce(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    operation = {"sum": "add", "max": "maximum", "min": "minimum"}[node.operation]
    (x,) = node.inputs
    axes, keepdims = node.attributes
    shape = [low.sizes.expression(d) for d in x.shape]
    own = row_axis(x, low.rows) if node in low.plan.local else None
    counters, index = low._counters(shape, own)
    kept: Index = tuple(
        const(0) if a in axes else i for a, i in enumerate(index) if keepdims or a not in axes
    )
    value = low.value(x, index)
    if node.dtype == "int" and value.dtype == "bool":
        value = Call("to_int", (value,), "int")
    if node in low.plan.reduces:
        assert own is not None
        inner = [(counters[a], shape[a]) for a in range(x.rank) if a != own]
        _accumulate_rows(low, buffer, operation, "row", inner, kept, value, text)
        return
    total = Buffer(low.names.new("total"), [], node.dtype, "scalar")
    low.extra.append(total)
    reduced = [a for a in range(x.rank) if a in axes]
    outer = [a for a in range(x.rank) if a not in axes]
    inside: list[Statement] = [
        _wrap(
            [counters[a] for a in reduced],
            [shape[a] for a in reduced],
            [Update(total, (), operation, value)],
            "",
        )
    ]
    body: list[Statement] = [
        Store(total, (), _start(operation, node.dtype)),
        *inside,
        Store(buffer, kept, Load(total, ()), text),
    ]
    position = None if own is None else outer.index(own)
    low._emit_or_extend(
        [counters[a] for a in outer], [shape[a] for a in outer], body, text, position
    )


def _prod(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (x,) = node.inputs
    axes, keepdims = node.attributes
    shape, own, counters, index = _operand(low, node)
    kept: Index = tuple(
        const(0) if a in axes else i for a, i in enumerate(index) if keepdims or a not in axes
    )
    total = _running(low, "total", node.dtype)
    step = _times_element(low, total, x, index)
    reduced = [a for a in range(x.rank) if a in axes]
    body: list[Statement] = [
        Store(total, (), Const(sp.S.One, node.dtype)),
        _wrap([counters[a] for a in reduced], [shape[a] for a in reduced], [step], ""),
        Store(buffer, kept, Load(total, ()), text),
    ]
    _around(low, node, axes, own, counters, shape, body, text)


def _operand(low: Lowering, node: Node) -> tuple[list[Expr], int | None, list[str], Index]:
    """The shape of the only operand, its row axis, and counters for its axes."""
    (x,) = node.inputs
    shape = [low.sizes.expression(d) for d in x.shape]
    own = row_axis(x, low.rows) if node in low.plan.local else None
    return shape, own, *low._counters(shape, own)


def _running(low: Lowering, wish: str, dtype: str) -> Buffer:
    """A variable that loops update."""
    buffer = Buffer(low.names.new(wish), [], dtype, "scalar")
    low.extra.append(buffer)
    return buffer


def _times_element(low: Lowering, total: Buffer, x: Node, index: Index) -> Statement:
    value = low.value(x, index)
    if total.dtype == "int" and value.dtype == "bool":
        value = Call("to_int", (value,), "int")
    return Store(total, (), Call("multiply", (Load(total, ()), value), total.dtype))


def _around(
    low: Lowering,
    node: Node,
    axes: Sequence[int],
    own: int | None,
    counters: Sequence[str],
    shape: Sequence[Expr],
    body: list[Statement],
    text: str,
) -> None:
    """Loops over the axes of the operand that ``body`` does not run over itself."""
    outer = [a for a in range(node.inputs[0].rank) if a not in axes]
    position = None if own is None else outer.index(own)
    low._emit_or_extend(
        [counters[a] for a in outer], [shape[a] for a in outer], body, text, position
    )


def _prod_others(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """The products before each element from the front, times those behind it from the back."""
    (x,) = node.inputs
    (axis,) = node.attributes
    shape, own, counters, index = _operand(low, node)
    total = _running(low, "total", node.dtype)
    one = Store(total, (), Const(sp.S.One, node.dtype))
    last = Call("subtract", (shape[axis], const(1)), "int")
    k = low.names.new("k")
    back: Expr = Call("subtract", (last, Var(k, "int")), "int")
    behind = (*index[:axis], back, *index[axis + 1 :])
    product_ = Call("multiply", (Load(buffer, behind), Load(total, ())), node.dtype)
    body: list[Statement] = [
        one,
        Loop(
            counters[axis],
            shape[axis],
            [Store(buffer, index, Load(total, ())), _times_element(low, total, x, index)],
        ),
        one,
        Loop(k, shape[axis], [Store(buffer, behind, product_, text),
                              _times_element(low, total, x, behind)]),
    ]  # fmt: skip
    _around(low, node, (axis,), own, counters, shape, body, text)


def _cumsum(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (x,) = node.inputs
    (axis,) = node.attributes
    shape, own, counters, index = _operand(low, node)
    total = _running(low, "total", node.dtype)
    value = low.value(x, index)
    if node.dtype == "int" and value.dtype == "bool":
        value = Call("to_int", (value,), "int")
    body: list[Statement] = [
        Store(total, (), _start("add", node.dtype)),
        Loop(
            counters[axis],
            shape[axis],
            [
                Update(total, (), "add", value),
                Store(buffer, index, Load(total, ()), text),
            ],
        ),
    ]
    _around(low, node, (axis,), own, counters, shape, body, text)


def _arg(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    (x,) = node.inputs
    (axis,), keepdims = node.attributes
    shape = [low.sizes.expression(d) for d in x.shape]
    own = row_axis(x, low.rows) if node in low.plan.local else None
    counters, index = low._counters(shape, own)
    kept: Index = tuple(
        const(0) if a == axis else i for a, i in enumerate(index) if keepdims or a != axis
    )
    best = Buffer(low.names.new("best"), [], x.dtype, "scalar")
    place = Buffer(low.names.new("place"), [], "int", "scalar")
    low.extra += [best, place]
    value = low.value(x, index)
    candidate = Var(low.names.new("candidate"), x.dtype)
    better = Call("better_max" if node.operation == "argmax" else "better_min",
                  (candidate, Load(best, ())), "bool")  # fmt: skip
    first = tuple(const(0) if a == axis else i for a, i in enumerate(index))
    body: list[Statement] = [
        Store(best, (), low.value(x, first)),
        Store(place, (), const(0)),
        Loop(
            counters[axis],
            shape[axis],
            [
                Let(candidate.name, value),
                Store(place, (), Call("where", (better, index[axis], Load(place, ())), "int")),
                Store(best, (), Call("where", (better, candidate, Load(best, ())), x.dtype)),
            ],
        ),
        Store(buffer, kept, Load(place, ()), text),
    ]
    outer = [a for a in range(x.rank) if a != axis]
    position = None if own is None else outer.index(own)
    low._emit_or_extend(
        [counters[a] for a in outer], [shape[a] for a in outer], body, text, position
    )


def _matmul(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """Loops over batch axes, rows, columns and the contracted axis."""
    a, b = node.inputs
    reduces = node in low.plan.reduces
    free = sum(1 for o in (a, b) if o.rank > 1)
    batch = node.rank - free
    k_size = low.sizes.expression(a.shape[-1])
    counters, index = low._counters(buffer.shape, row)
    k = "row" if reduces else low.names.new("k")
    at = Var(k, "int")

    def operand(x: Node, free_index: tuple[Expr, ...], first: bool) -> Expr:
        if x.rank == 1:
            return low.value(x, (at,))
        lead = x.rank - 2
        head = tuple(
            const(0) if x.shape[i] == 1 and node.shape[batch - lead + i] != 1
            else index[batch - lead + i]
            for i in range(lead)
        )  # fmt: skip
        return low.value(x, (*head, *free_index, at) if first else (*head, at, *free_index))

    left = operand(a, (index[batch],) if a.rank > 1 else (), True)
    right = operand(b, (index[-1],) if b.rank > 1 else (), False)
    value = Call("multiply", (left, right), node.dtype)
    if reduces:
        inner = list(zip(counters, buffer.shape, strict=True))
        _accumulate_rows(low, buffer, "add", "row", inner, index, value, text)
        return
    columns = buffer.shape[-1] if b.rank > 1 and node.rank else None
    if (
        columns is not None
        and not _is_transposed(b)
        and not _small(columns)
        and row != node.rank - 1
    ):
        # columns innermost: memory is read in order
        body: list[Statement] = [
            Loop(counters[-1], columns, [Store(buffer, index, _start("add", node.dtype))]),
            Loop(k, k_size, [Loop(counters[-1], columns, [Update(buffer, index, "add", value)])]),
        ]
        low._emit_or_extend(counters[:-1], buffer.shape[:-1], body, text, row)
        return
    total = Buffer(low.names.new("total"), [], node.dtype, "scalar")
    low.extra.append(total)
    body = [
        Store(total, (), _start("add", node.dtype)),
        Loop(k, k_size, [Update(total, (), "add", value)]),
        Store(buffer, index, Load(total, ()), text),
    ]
    low._emit_or_extend(counters, buffer.shape, body, text, row)


def _is_transposed(node: Node) -> bool:
    return node.operation == "transpose"


def _small(extent: Expr) -> bool:
    return isinstance(extent, Const) and extent.value < 8


def _scatter(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    values = node.inputs[0]
    shape = [low.sizes.expression(d) for d in values.shape]
    own = row_axis(values, low.rows) if node in low.plan.local else None
    counters, index = low._counters(shape, own)
    target = _key_index(low, node, index, node)
    update = Update(buffer, target, "add", low.value(values, index), text)
    if node not in low.plan.reduces:
        zero_counters, zero_index = low._counters(buffer.shape, row)
        zero: list[Statement] = [Store(buffer, zero_index, _start("add", node.dtype))]
        low._emit_or_extend(zero_counters, buffer.shape, zero, "", row)
    low._emit_or_extend(counters, shape, [update], text, own)


_NESTS: dict[str, Callable[[Lowering, Node, Buffer, int | None, str], None]] = {
    "sum": _reduce,
    "max": _reduce,
    "min": _reduce,
    "prod": _prod,
    "prod_others": _prod_others,
    "cumsum": _cumsum,
    "argmax": _arg,
    "argmin": _arg,
    "matmul": _matmul,
    "index_add": _scatter,
    **MATRIX_NESTS,
    **WINDOW_NESTS,
}
"""Structural operations that are computed into memory by loops of their own."""


def lowered_operations() -> set[str]:
    """All structural operations that can be lowered."""
    return set(_VALUES) | set(_NESTS) | {"logsumexp", "norm", "scan"}


__all__ = ["MOVES", "Lowering", "Output", "decompose", "lowered_operations"]
