"""Elements: how one element of a structural operation is written where it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from symdiff.graph import Node
from symdiff.indexing import output_order
from symdiff.random_bits import BITS

from .loop_ir import (
    Buffer,
    Call,
    Const,
    Expr,
    Load,
    const,
    plus,
    times,
)
from .windows import window_element

if TYPE_CHECKING:
    from .lower import Lowering

Index = tuple[Expr, ...]


def symbol_element(low: Lowering, node: Node, index: Index) -> Expr:
    """An element of an input; of the rows of a batch that are gathered, that of the sample."""
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


def key_index(low: Lowering, node: Node, index: Index, whole: Node) -> Index:
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
    return low.value(node.inputs[0], key_index(low, node, index, node.inputs[0]))


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


ELEMENTS: dict[str, Callable[[Lowering, Node, Index], Expr]] = {
    "symbol": symbol_element,
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
