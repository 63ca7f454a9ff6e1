"""Batching: a graph for one value of some inputs becomes a graph for a stack of them.

Every node that depends on a stacked input gets a leading axis; the others stay as they are.
Jacobians are the reverse walk, stacked over the unit vectors of the output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .errors import UnsupportedOperation
from .graph import Node, apply, walk
from .indexing import output_order
from .recurrence import LAST, STACKED, Body, Recurrence, placeholder, recurrence
from .shapes import Dimension, Shape
from .structural import broadcast_to, matmul, reshape, swap_last, transpose

Rule = Callable[[Node, list[Node], list[bool], Dimension], Node]


def _lead(x: Node, rank: int) -> Node:
    """Put axes of size 1 behind the stacked axis, so that the others align from the right."""
    return reshape(x, (x.shape[0], *[1] * (rank + 1 - x.rank), *x.shape[1:]))


def _elementwise(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    aligned = [_lead(x, node.rank) if s else x for x, s in zip(inputs, stacked, strict=True)]
    result = apply(node.operation, *aligned, attributes=node.attributes)
    return broadcast_to(result, (size, *node.shape))


def _reduction(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    axes, keepdims = node.attributes
    return apply(node.operation, *inputs, attributes=(tuple(a + 1 for a in axes), keepdims))


def _along(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    (axis,) = node.attributes
    return apply(node.operation, *inputs, attributes=(axis + 1,))


def _transpose(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    return transpose(inputs[0], (0, *(p + 1 for p in node.attributes[0])))


def _reshape(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    return reshape(inputs[0], (size, *node.shape))


def _broadcast(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    return broadcast_to(_lead(inputs[0], node.rank), (size, *node.shape))


def _matmul(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    a, b = inputs
    rank_a, rank_b = (x.rank - s for x, s in zip(inputs, stacked, strict=True))
    if rank_a == 1 and rank_b == 2 and not stacked[1]:
        return matmul(a, b)
    if rank_a == 2 and rank_b == 1 and not stacked[0]:
        return matmul(b, swap_last(a))
    if rank_a == 1 and rank_b == 1 and stacked != [True, True]:
        return matmul(a, b)
    left = reshape(a, (*a.shape[:-1], 1, a.shape[-1])) if rank_a == 1 else a
    right = reshape(b, (*b.shape, 1)) if rank_b == 1 else b
    rank = max(x.rank - s for x, s in zip((left, right), stacked, strict=True))
    left, right = (_lead(x, rank) if s else x for x, s in zip((left, right), stacked, strict=True))
    return reshape(matmul(left, right), (size, *node.shape))


def _stacks(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    """Operations on matrices take stacks of them as they are."""
    return apply(node.operation, *inputs)


def _solve(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    a, b = inputs
    if node.rank == 1 and not stacked[0]:  # the right sides are columns of one matrix
        return swap_last(apply("solve", a, swap_last(b)))
    if node.rank == 1:
        return reshape(apply("solve", a, reshape(b, (*b.shape, 1))), (size, *node.shape))
    rank = max(x.rank - s for x, s in zip(inputs, stacked, strict=True))
    return apply(
        "solve", *(_lead(x, rank) if s else x for x, s in zip(inputs, stacked, strict=True))
    )


def _index(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    if any(stacked[1:]):
        raise UnsupportedOperation("an index that depends on the stacked symbol has no derivative")
    whole = ("slice", 0, size, 1)
    (key,) = node.attributes
    result = apply("index", *inputs, attributes=((whole, *key),))
    return _index_axes(result, node, key)


def _index_axes(result: Node, node: Node, key: Sequence[tuple[object, ...]]) -> Node:
    """Where index tensors put their axes first, the stacked axis comes after them."""
    _, adjacent = output_order((("slice", 0, 0, 1), *key))
    if adjacent or not any(e[0] == "tensor" for e in key):
        return result
    extra = result.rank - 1 - sum(1 for e in key if e[0] in ("slice", "new"))
    order = (extra, *range(extra), *range(extra + 1, result.rank))
    return transpose(result, order)


def _index_add(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    key, shape = node.attributes
    whole = ("slice", 0, size, 1)
    values = inputs[0]
    _, adjacent = output_order((("slice", 0, 0, 1), *key))
    if not adjacent and any(e[0] == "tensor" for e in key):
        extra = values.rank - 1 - sum(1 for e in key if e[0] in ("slice", "new"))
        values = transpose(values, (*range(1, extra + 1), 0, *range(extra + 1, values.rank)))
    return apply("index_add", values, *inputs[1:], attributes=((whole, *key), (size, *shape)))


def _one_hot(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    return apply("one_hot", *inputs, attributes=node.attributes)


def _concatenate(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    full = [
        x if s else broadcast_to(x, (size, *x.shape)) for x, s in zip(inputs, stacked, strict=True)
    ]
    return apply("concatenate", *full, attributes=(node.attributes[0] + 1,))


def _merged(x: Node, axis: int) -> Node:
    """The stacked axis merged into an axis of each part."""
    if axis:
        x = transpose(x, (*range(1, axis + 1), 0, *range(axis + 1, x.rank)))
    return reshape(x, (*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _unmerged(x: Node, axis: int, size: Dimension, shape: Shape) -> Node:
    """The inverse of :func:`_merged`, for parts of ``shape``."""
    x = reshape(x, (*shape[:axis], size, *shape[axis:]))
    return transpose(x, (axis, *range(axis), *range(axis + 1, x.rank))) if axis else x


_ROLES = {
    "convolve": ((0, 0), (0, 1)),
    "convolve_transposed": ((0, 0), (1, 1)),
    "convolve_kernel": ((1, 1), (1, 0)),
}
"""For each operand of a convolution, the axis of it that the stack can be merged into, and the
axis of the result where it comes out."""


def _convolution(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    """The operations are linear in each operand, and an axis of it is simply longer.

    Where both operands are stacked, the reverse walk being linear in its seed, there is none.
    """
    if all(stacked):
        raise UnsupportedOperation(
            f"{node.operation}: the Jacobian of a product of stacked convolutions is not there"
        )
    position = stacked.index(True)
    own, result = _ROLES[node.operation][position]
    operands = list(inputs)
    operands[position] = _merged(inputs[position], own)
    attributes = node.attributes
    if len(attributes) == 2:
        shape = attributes[1]
        longer = (*shape[:result], shape[result] * size, *shape[result + 1 :])
        attributes = (attributes[0], longer)
    whole = apply(node.operation, *operands, attributes=attributes)
    return _unmerged(whole, result, size, node.shape)


def _windows(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    return apply("windows", *inputs, attributes=node.attributes)


def _overlap(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    strides, shape = node.attributes
    return apply("overlap_add", *inputs, attributes=(strides, (size, *shape)))


def _scan(node: Node, inputs: list[Node], stacked: list[bool], size: Dimension) -> Node:
    """The stack goes behind time; a carry is stacked where it starts or becomes so."""
    own = recurrence(node)
    flags = list(stacked)
    while True:
        moving = {p for p, f in zip(own.body.parameters, flags, strict=True) if f}
        below = set(moving)
        for n in walk(own.body.results):
            if any(i in below for i in n.inputs):
                below.add(n)
        grown = [f or n in below for f, n in zip(flags, own.next_carries, strict=False)]
        if grown == flags[: own.carries]:
            break
        flags[: own.carries] = grown
    first, second = own.carries, own.carries + own.sequences
    stacks = {
        p: placeholder(p.attributes[0].name, (size, *p.shape), p.dtype)
        for p, f in zip(own.body.parameters, flags, strict=True)
        if f
    }
    wide = batch(own.body.results, stacks, size)
    results = [
        w if k >= first or flags[k] else r
        for k, (r, w) in enumerate(zip(own.body.results, wide, strict=True))
    ]
    operands = []
    for k, (x, is_stacked) in enumerate(zip(inputs, stacked, strict=True)):
        if flags[k] and not is_stacked:
            x = broadcast_to(x, (size, *x.shape))
        elif is_stacked and first <= k < second:
            x = transpose(x, (1, 0, *range(2, x.rank)))
        operands.append(x)
    body = Body(tuple(stacks.get(p, p) for p in own.body.parameters), tuple(results))
    kind, position = node.attributes[-1]
    result = Recurrence(
        body, own.carries, own.sequences, own.length, own.reverse, tuple(operands)
    ).node(kind, position)
    if kind != STACKED and not flags[position]:
        return broadcast_to(result, (size, *node.shape))
    return result if kind == LAST else transpose(result, (1, 0, *range(2, result.rank)))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("sum", "prod", "max", "min", "logsumexp", "norm", "argmax", "argmin"), _reduction
    ),
    **dict.fromkeys(("prod_others", "cumsum"), _along),
    **dict.fromkeys(("det", "logdet", "inv", "cholesky"), _stacks),
    "solve": _solve,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "matmul": _matmul,
    "index": _index,
    "index_add": _index_add,
    "one_hot": _one_hot,
    "concatenate": _concatenate,
    **dict.fromkeys(_ROLES, _convolution),
    "windows": _windows,
    "overlap_add": _overlap,
    "scan": _scan,
}
"""How each structural operation treats a leading stacked axis."""


def batch(roots: Sequence[Node], stacks: Mapping[Node, Node], size: Dimension) -> list[Node]:
    """The graphs of ``roots`` with some nodes replaced by stacks of them.

    Parameters
    ----------
    roots : list of Node
    stacks : dict
        Nodes to their stacks, of shape ``(size, *shape)``.
    size : int or size

    Returns
    -------
    list of Node
        Of shape ``(size, *shape)``, also where a root does not depend on any stack.
    """
    new: dict[Node, Node] = {}
    stacked: set[Node] = set()
    for node in walk(roots):
        if node in stacks:
            new[node] = stacks[node]
            stacked.add(node)
            continue
        flags = [i in stacked for i in node.inputs]
        if not any(flags):
            new[node] = node
            continue
        inputs = [new[i] for i in node.inputs]
        rule = _elementwise if node.row.kind == "elementwise" else RULES.get(node.operation)
        if rule is None:
            raise UnsupportedOperation(f"the operation {node.operation} cannot be stacked")
        new[node] = rule(node, inputs, flags, size)
        stacked.add(node)
    return [new[r] if r in stacked else broadcast_to(r, (size, *r.shape)) for r in roots]
