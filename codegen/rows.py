"""Which axis of a node counts the rows of the batch, and which nodes work row by row.

A node that works row by row can be computed for a tile of rows at a time, in threads. A sum
over the rows is computed as one partial result for each chunk of rows.
"""

from __future__ import annotations

from typing import Any

from symdiff.graph import Node
from symdiff.indexing import output_order

IRREGULAR = -1
"""Stands for "the row size occurs, but not as one plain axis"."""


def row_axis(node: Node, rows: Any) -> int | None:
    """The axis of ``node`` that counts rows, None without rows, or :data:`IRREGULAR`."""
    if rows is None:
        return None
    found: int | None = None
    for axis, dimension in enumerate(node.shape):
        if isinstance(dimension, int):
            continue
        if dimension == rows and found is None:
            found = axis
        elif rows in dimension.free_symbols:
            return IRREGULAR
    return found


def _matmul_axes(node: Node, position: int) -> tuple[int, int | None]:
    """Contracted axis of an operand, and its free axis (None for a vector)."""
    rank = node.inputs[position].rank
    if rank == 1:
        return 0, None
    return (rank - 1, rank - 2) if position == 0 else (rank - 2, rank - 1)


def _reduces(node: Node, rows: Any) -> bool:
    """True where the node sums (or takes the maximum) over the rows."""
    if node.operation in ("sum", "max", "min"):
        return row_axis(node.inputs[0], rows) in node.attributes[0]
    if node.operation == "matmul":
        axes = [row_axis(i, rows) for i in node.inputs]
        return all(a == _matmul_axes(node, p)[0] for p, a in enumerate(axes))
    if node.operation == "convolve_kernel":
        return [row_axis(i, rows) for i in node.inputs] == [0, 0]
    if node.operation == "index_add":
        axis = row_axis(node.inputs[0], rows)
        if axis is None or axis < 0 or row_axis(node, rows) is not None:
            return False
        return all(_index_operand_axis(node, i) in (None, axis) for i in range(1, len(node.inputs)))
    return False


def _index_operand_axis(node: Node, position: int) -> int | None:
    """The axis of the gathered values that the axes of an index tensor become, for 1-D ones."""
    key = node.attributes[0]
    start, _ = output_order(key)
    operand = node.inputs[position]
    return start if operand.rank == 1 else None


def _slice_axes(key: Any) -> dict[int, int]:
    """Axes of the operand that a key keeps whole, to their axis among plain output axes."""
    result: dict[int, int] = {}
    source = 0
    output = 0
    for entry in key:
        if entry[0] == "new":
            output += 1
            continue
        if entry[0] == "slice":
            if entry[1] == 0 and entry[3] == 1:
                result[source] = output
            output += 1
        source += 1
    return result


def _gather_axes(node: Node, gathered: Node, whole: Node) -> tuple[dict[int, int], int]:
    """Whole axes of ``whole`` to axes of ``gathered``; and where the index axes start."""
    key = node.attributes[0]
    start, _ = output_order(key)
    operands = node.inputs[1:]
    extra = max((o.rank for o in operands), default=0)
    mapping = {
        source: out if out < start or not operands else out + extra
        for source, out in _slice_axes(key).items()
        if whole.shape[source]
        == gathered.shape[out if out < start or not operands else out + extra]
    }
    return mapping, start


def local_inputs(node: Node, rows: Any) -> list[bool] | None:
    """For each input whether row r of the node needs only row r of it.

    Inputs without rows count as False: they must be complete. None means that the node cannot
    be computed row by row at all.
    """
    axis = row_axis(node, rows)
    reduces = _reduces(node, rows)
    if axis == IRREGULAR or (axis is None and not reduces):
        return None
    inputs = [row_axis(i, rows) for i in node.inputs]
    if node.row.kind == "elementwise":
        if any(a == IRREGULAR for a in inputs):
            return None
        offset = [node.rank - i.rank for i in node.inputs]
        return [a is not None and a + o == axis for a, o in zip(inputs, offset, strict=True)]
    if reduces:
        return [a is not None for a in inputs]
    rule = _LOCAL.get(node.operation)
    return None if rule is None else rule(node, axis, inputs)


def _same_axis(node: Node, axis: Any, inputs: list[Any]) -> list[bool]:
    return [a is not None and a == axis for a in inputs]


def _reduction(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    axes, keepdims = node.attributes
    if inputs[0] is None or inputs[0] < 0 or inputs[0] in axes:
        return None
    moved = inputs[0] if keepdims else inputs[0] - sum(1 for a in axes if a < inputs[0])
    return [moved == axis]


def _along(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    return None if node.attributes[0] == axis else [True]


def _matmul(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    result = []
    for position, a in enumerate(inputs):
        contracted, free = _matmul_axes(node, position)
        operand = node.inputs[position]
        if a is None:
            result.append(False)
            continue
        if a == contracted or a < 0:
            return None
        if a == free:
            behind = 0 if position == 1 or node.inputs[1].rank == 1 else 1
            result.append(axis == node.rank - 1 - behind)
        else:
            free_axes = sum(1 for o in node.inputs if o.rank > 1)
            result.append(axis == a - (operand.rank - 2) + (node.rank - free_axes))
        if not result[-1]:
            return None
    return result


def _stacked(node: Node, axis: Any, inputs: list[Any], lead: int) -> list[bool] | None:
    """Rows count the matrices of a stack, never the rows of one matrix."""
    result = []
    for operand, a in zip(node.inputs, inputs, strict=True):
        if a is not None and (axis >= lead or a < 0 or a + lead - (operand.rank - 2) != axis):
            return None
        result.append(a is not None)
    return result


def _transpose(node: Node, axis: Any, inputs: list[Any]) -> list[bool]:
    return [inputs[0] is not None and node.attributes[0][axis] == inputs[0]]


def _reshape(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    old = [d for d in node.inputs[0].shape[: inputs[0]] if d != 1]
    new = [d for d in node.shape[:axis] if d != 1]
    return [True] if inputs[0] is not None and inputs[0] >= 0 and old == new else None


def _broadcast(node: Node, axis: Any, inputs: list[Any]) -> list[bool]:
    a = inputs[0]
    return [a is not None and a + node.rank - node.inputs[0].rank == axis]


def _index(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    if any(a == IRREGULAR for a in inputs):
        return None
    mapping, start = _gather_axes(node, node, node.inputs[0])
    result = [inputs[0] is not None and mapping.get(inputs[0]) == axis]
    extra = max((o.rank for o in node.inputs[1:]), default=0)
    for operand, a in zip(node.inputs[1:], inputs[1:], strict=True):
        result.append(a is not None and start + extra - operand.rank + a == axis)
    return result


def _index_add(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    values = node.inputs[0]
    mapping, _ = _gather_axes(node, values, node)
    if inputs[0] is None or mapping.get(axis) != inputs[0] or any(inputs[1:]):
        return None
    if any(a is not None for a in inputs[1:]):
        return None
    return [True, *[False] * (len(inputs) - 1)]


def _one_hot(node: Node, axis: Any, inputs: list[Any]) -> list[bool]:
    return [inputs[0] is not None and inputs[0] == axis]


def _concatenate(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    return None if node.attributes[0] == axis else [a is not None and a == axis for a in inputs]


def _convolution(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    """Rows count the images; kernels have none."""
    return [True, False] if axis == 0 and inputs == [0, None] else None


def _windows(node: Node, axis: Any, inputs: list[Any]) -> list[bool] | None:
    strides = node.attributes[1 if node.operation == "windows" else 0]
    lead = min(node.rank, node.inputs[0].rank) - len(strides)
    return [True] if inputs[0] == axis and axis < lead else None


def _arange(node: Node, axis: Any, inputs: list[Any]) -> list[bool]:
    return []


_LOCAL = {
    "sum": _reduction,
    "prod": _reduction,
    "prod_others": _along,
    "cumsum": _along,
    "max": _reduction,
    "min": _reduction,
    "argmax": _reduction,
    "argmin": _reduction,
    "matmul": _matmul,
    **dict.fromkeys(("det", "logdet"), lambda n, axis, i: _stacked(n, axis, i, n.rank)),
    **dict.fromkeys(
        ("inv", "solve", "cholesky"), lambda n, axis, i: _stacked(n, axis, i, n.rank - 2)
    ),
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "index": _index,
    "index_add": _index_add,
    "one_hot": _one_hot,
    "concatenate": _concatenate,
    "arange": _arange,
    "random_uniform": lambda node, axis, inputs: [False, False],
    **dict.fromkeys(("convolve", "convolve_transposed"), _convolution),
    **dict.fromkeys(("windows", "overlap_add"), _windows),
}
"""How rows pass through each structural operation; one that is missing is computed whole."""


def reduces_rows(node: Node, rows: Any) -> bool:
    """True where the node is computed from partial results of chunks of rows."""
    return rows is not None and _reduces(node, rows)
