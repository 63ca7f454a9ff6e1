"""Lowering of recurrences: one loop over time around the loops of the step.

The carries live in buffers that each step replaces. The step is a graph of its own, scheduled
like any other; its leaves are the carries, elements of the sequences at this time, and what comes
from outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sympy as sp

from symdiff.graph import Node, substitute, walk
from symdiff.recurrence import HISTORY, LAST, STACKED, Recurrence, placeholder, recurrence

from .loop_ir import Buffer, Call, Const, Expr, Load, Loop, Statement, Store, Var, const
from .schedule import schedule

if TYPE_CHECKING:
    from .lower import Lowering

Index = tuple[Expr, ...]

_serials = itertools.count(1)


def lower_recurrence(low: Lowering, node: Node) -> None:
    """Compute all results of a recurrence that are needed."""
    own = recurrence(node)
    members = [
        n
        for n in low.plan.order
        if n.operation == "scan" and n in low.plan.stored and recurrence(n) == own
    ]
    targets = {n: _targets(low, n) for n in members}
    results = {n.attributes[-1]: targets[n][0] for n in members}
    outer = low._statements
    carries = [_work(low, p, "carry") for p in own.parameters()[0]]
    for carry, start in zip(carries, own.start, strict=True):
        outer.append(_filled(low, carry, _reader(low, start)))
    length = low.sizes.expression(own.length)
    counter = low.names.new("t")
    at: Expr = Var(counter, "int")
    if own.reverse:
        at = Call("subtract", (Call("subtract", (length, const(1)), "int"), at), "int")
    body: list[Statement] = []
    for k, carry in enumerate(carries):
        history = results.get((HISTORY, k))
        if history is not None:
            body.append(_filled(low, history, _element(carry), at))
    nexts = [_work(low, p, "next") for p in own.parameters()[0]]
    outputs = {
        j: _work(low, y, "output") for j, y in enumerate(own.outputs) if (STACKED, j) in results
    }
    body += _step(low, own, carries, at, nexts, outputs)
    for j, output in outputs.items():
        body.append(_filled(low, results[STACKED, j], _element(output), at))
    for carry, after in zip(carries, nexts, strict=True):
        body.append(_filled(low, carry, _element(after)))
    outer.append(Loop(counter, length, body, low._formula(node)))
    for k, carry in enumerate(carries):
        if (LAST, k) in results:
            outer.append(_filled(low, results[LAST, k], _element(carry)))
    low._statements = outer
    for n in members:
        first, *rest = targets[n]
        low.buffers[n] = first
        for other in rest:
            outer.append(_filled(low, other, _element(first)))


def _targets(low: Lowering, node: Node) -> list[Buffer]:
    """Where a result goes: its outputs, or work memory."""
    given = low._targets.get(node)
    return given or [low._buffer(node, low._wish(node), "shared")]


def _work(low: Lowering, like: Node, wish: str) -> Buffer:
    """Work memory in the shape of a node."""
    shape = [low.sizes.expression(d) for d in like.shape]
    name = like.attributes[0].name if like.operation == "symbol" else wish
    buffer = Buffer(low.names.new(name), shape, like.dtype, "private")
    low.extra.append(buffer)
    return buffer


def _element(buffer: Buffer) -> Callable[[Index], Expr]:
    return lambda index: Load(buffer, index)


def _reader(low: Lowering, node: Node, *lead: Expr) -> Callable[[Index], Expr]:
    return lambda index: low.value(node, (*lead, *index))


def _filled(
    low: Lowering, buffer: Buffer, element: Callable[[Index], Expr], *lead: Expr
) -> Statement:
    """Loops that store each element of a buffer, or of a part of it."""
    extents = buffer.shape[len(lead) :]
    counters = [low.names.new("ijklmpq"[min(k, 6)]) for k in range(len(extents))]
    index = tuple(Var(c, "int") for c in counters)
    value = element(index)
    if buffer.dtype == "real" and value.dtype != "real":
        value = Call("multiply", (value, Const(sp.Float(1), "real")), "real")
    statement: Statement = Store(buffer, (*lead, *index), value)
    for counter, extent in reversed(list(zip(counters, extents, strict=True))):
        statement = Loop(counter, extent, [statement])
    return statement


def _step(
    low: Lowering,
    own: Recurrence,
    carries: Sequence[Buffer],
    at: Expr,
    nexts: Sequence[Buffer],
    outputs: dict[int, Buffer],
) -> list[Statement]:
    """The statements of one step; its results go to ``nexts`` and ``outputs``."""
    leaves, elements, outside = own.parameters()
    # A step inside another may have leaves that are equal to those of the outer one.
    own_leaf = {
        n: placeholder(n.attributes[0].name, n.shape, n.dtype, next(_serials))
        for n in own.body.parameters
    }
    for leaf, carry in zip(leaves, carries, strict=True):
        low.symbols[own_leaf[leaf]] = _element(carry)
    for leaf, x in zip(elements, own.elements, strict=True):
        low.symbols[own_leaf[leaf]] = _reader(low, x, at)
    for leaf, x in zip(outside, own.outside, strict=True):
        low.symbols[own_leaf[leaf]] = _reader(low, x)
    saved = low.plan, low._users, low._values, low._targets
    wanted = substitute([*own.next_carries, *(own.outputs[j] for j in outputs)], own_leaf)
    low.plan = schedule(wanted, None, gemm=False)
    low._targets = {}
    for result, buffer in zip(wanted, [*nexts, *outputs.values()], strict=True):
        low._targets.setdefault(result, []).append(buffer)
    low._users, low._values = low._find_users(), {}
    inside = [n for n in low.plan.order if n in low.plan.stored]
    statements = low._serial(inside)
    for n in walk(wanted):
        low.buffers.pop(n, None)
    low.plan, low._users, low._values, low._targets = saved
    for leaf in own_leaf.values():
        del low.symbols[leaf]
    return statements
