"""Structural row of recurrences: a step applied along a sequence, each time to what it gave before.

The step is a closed graph, a :class:`Body`: whatever it takes from outside is an operand. One
recurrence has several results (the last carries, the carries before every step, the stacked
outputs); each is a node of its own, and the nodes of one recurrence, which differ in the last
attribute only, are computed together.

The adjoint is a recurrence too, over the carries that the forward one went through, in the
opposite direction. Adjoints of what comes from outside are sums over the steps; they are carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import Attributes, Node, Operation, apply, number, walk
from .shapes import Dimension, Shape, concrete
from .structural import _row, add, broadcast_to, multiply, reduce_sum, zeros

LAST, HISTORY, STACKED = "last", "history", "stacked"
"""Results: a carry after all steps, a carry before each step, an output of each step."""


@dataclass(frozen=True)
class Body:
    """One step.

    Attributes
    ----------
    parameters : tuple of Node
        Leaves: the carries, the elements of the sequences, what comes from outside.
    results : tuple of Node
        The next carries, then the outputs.
    """

    parameters: tuple[Node, ...]
    results: tuple[Node, ...]


@dataclass(frozen=True)
class Recurrence:
    """The parts of a node, by name."""

    body: Body
    carries: int
    sequences: int
    length: Dimension
    reverse: bool
    inputs: tuple[Node, ...]

    @property
    def start(self) -> tuple[Node, ...]:
        """The carries before the first step."""
        return self.inputs[: self.carries]

    @property
    def elements(self) -> tuple[Node, ...]:
        """Sequences, one element for each step along the first axis."""
        return self.inputs[self.carries : self.carries + self.sequences]

    @property
    def outside(self) -> tuple[Node, ...]:
        """What every step reads as it is."""
        return self.inputs[self.carries + self.sequences :]

    def parameters(self) -> tuple[tuple[Node, ...], tuple[Node, ...], tuple[Node, ...]]:
        """The leaves of the body: carries, elements, what comes from outside."""
        first, second = self.carries, self.carries + self.sequences
        p = self.body.parameters
        return p[:first], p[first:second], p[second:]

    def node(self, kind: str, position: int) -> Node:
        """One result."""
        attributes = (self.body, self.carries, self.sequences, self.length, self.reverse)
        return apply("scan", *self.inputs, attributes=(*attributes, (kind, position)))

    @property
    def next_carries(self) -> tuple[Node, ...]:
        """The results of the body that go into the next step."""
        return self.body.results[: self.carries]

    @property
    def outputs(self) -> tuple[Node, ...]:
        """The results of the body that are stacked."""
        return self.body.results[self.carries :]


def recurrence(node: Node) -> Recurrence:
    """The recurrence that a node is a result of; equal for all its results."""
    body, carries, sequences, length, reverse, _ = node.attributes
    return Recurrence(body, carries, sequences, length, reverse, node.inputs)


def make(
    carries: Sequence[tuple[Node, Node, Node]],
    elements: Sequence[tuple[Node, Node]],
    outside: Sequence[tuple[Node, Node]],
    outputs: Sequence[Node],
    length: Dimension,
    reverse: bool,
) -> Recurrence:
    """A recurrence without the operands that its step does not read.

    Parameters
    ----------
    carries : list of (parameter, start, next)
    elements, outside : list of (parameter, operand)
    outputs : list of Node
    """
    results = (*(after for _, _, after in carries), *outputs)
    used = set(walk(results))
    elements = [pair for pair in elements if pair[0] in used]
    outside = [pair for pair in outside if pair[0] in used]
    parameters = (*(p for p, _, _ in carries), *(p for p, _ in (*elements, *outside)))
    inputs = (*(start for _, start, _ in carries), *(x for _, x in (*elements, *outside)))
    body = Body(parameters, results)
    return Recurrence(body, len(carries), len(elements), length, reverse, inputs)


def placeholder(name: str, shape: Shape, dtype: str = "real", serial: int = 0) -> Node:
    """A leaf of a body."""
    from .expressions import Placeholder

    return apply("symbol", attributes=(Placeholder(name, shape, dtype, serial), shape, dtype))


class PlaceholderNames:
    """Names that no other leaf of a body has."""

    def __init__(self, taken: Sequence[Node] = ()) -> None:
        self._taken = {n.attributes[0].name for n in taken}

    def leaf(self, name: str, shape: Shape, dtype: str = "real") -> Node:
        """A new leaf with a name like the one wished for."""
        while name in self._taken:
            name += "′"
        self._taken.add(name)
        return placeholder(name, shape, dtype)


# --- meaning -----------------------------------------------------------------------------


def _infer(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    body, carries, sequences, length, reverse, (kind, position) = attributes
    own = Recurrence(body, carries, sequences, length, reverse, inputs)
    if kind == STACKED:
        result = own.outputs[position]
        return (own.length, *result.shape), result.dtype
    carry = own.parameters()[0][position]
    return carry.shape if kind == LAST else (own.length, *carry.shape), carry.dtype


def run(own: Recurrence, arrays: Sequence[Any], sizes: Any) -> dict[tuple[str, int], Any]:
    """All results of a recurrence, by kind and position."""
    from .evaluate import interpret

    dtype = np.result_type(np.float32, *(a for a in arrays if np.asarray(a).dtype.kind == "f"))
    if not any(np.asarray(a).dtype.kind == "f" for a in arrays):
        dtype = np.dtype(np.float64)

    def typed(value: Any, node: Node) -> Any:
        return np.asarray(value, dtype if node.dtype == "real" else None)

    leaves = own.body.parameters
    first, second = own.carries, own.carries + own.sequences
    carries = [typed(a, p) for a, p in zip(arrays[:first], leaves, strict=False)]
    values = dict(zip(leaves[second:], arrays[second:], strict=True))
    length = concrete(own.length, sizes)
    before: list[list[Any]] = [[None] * length for _ in carries]
    outputs: list[list[Any]] = [[None] * length for _ in own.outputs]
    for t in reversed(range(length)) if own.reverse else range(length):
        for k, carry in enumerate(carries):
            before[k][t] = carry
        values.update(zip(leaves, carries, strict=False))
        values.update((p, a[t]) for p, a in zip(leaves[first:second], arrays[first:], strict=False))
        results = interpret(own.body.results, values, sizes, dtype)
        carries = [typed(r, p) for r, p in zip(results, leaves, strict=False)][:first]
        for j, y in enumerate(results[first:]):
            outputs[j][t] = y
    found: dict[tuple[str, int], Any] = {(LAST, k): c for k, c in enumerate(carries)}
    for k, parameter in enumerate(leaves[:first]):
        found[HISTORY, k] = _stack(before[k], parameter, dtype, sizes)
    for j, output in enumerate(own.outputs):
        found[STACKED, j] = _stack(outputs[j], output, dtype, sizes)
    return found


def _stack(parts: list[Any], node: Node, dtype: Any, sizes: Any) -> Any:
    if parts:
        return np.stack([np.asarray(p) for p in parts])
    shape = tuple(concrete(d, sizes) for d in node.shape)
    return np.zeros((0, *shape), dtype if node.dtype == "real" else np.int64)


def _numpy(arrays: list[Any], node: Node, sizes: Any) -> Any:
    return run(recurrence(node), arrays, sizes)[node.attributes[-1]]


# --- derivative --------------------------------------------------------------------------


def adjoint(members: Mapping[Node, Node], wanted: set[Node]) -> list[Node | None]:
    """Contributions to the operands, given the adjoints of results of one recurrence."""
    from .gradient import pullback
    from .rewrite import algebra

    own = recurrence(next(iter(members)))
    given = {n.attributes[-1]: g for n, g in members.items()}
    carries, elements, outside = own.parameters()
    names = PlaceholderNames(own.body.parameters)

    def wish(leaf: Node) -> Node:
        return names.leaf(f"δ{leaf.attributes[0].name}", leaf.shape)

    real = [k for k, p in enumerate(carries) if p.dtype == "real"]
    after = {k: wish(carries[k]) for k in real}
    read = [(p, own.node(HISTORY, k)) for k, p in enumerate(carries)]
    read += list(zip(elements, own.elements, strict=True))
    terms = [_paired(after[k], own.next_carries[k]) for k in real]
    direct: dict[int, Node] = {}
    for (kind, position), g in given.items():
        if kind == STACKED:
            leaf = names.leaf("δy", own.outputs[position].shape)
            terms.append(_paired(leaf, own.outputs[position]))
        elif kind == HISTORY:
            leaf = direct[position] = names.leaf(
                f"δ{carries[position].attributes[0].name}", carries[position].shape
            )
        else:
            continue
        read.append((leaf, g))

    moved = [i for i, x in enumerate(own.elements) if x in wanted and elements[i].dtype == "real"]
    summed = [i for i, x in enumerate(own.outside) if x in wanted and outside[i].dtype == "real"]
    targets = [
        *(carries[k] for k in real),
        *(elements[i] for i in moved),
        *(outside[i] for i in summed),
    ]
    total = add(*terms) if terms else number(0)
    found, _ = pullback(total, number(1), targets)
    into_carries = dict(zip(real, found, strict=False))
    for k, leaf in direct.items():
        into_carries[k] = add(into_carries[k], leaf)
    sums = [wish(outside[i]) for i in summed]
    starts = [given.get((LAST, k), zeros(carries[k].shape)) for k in real]
    nexts = [*(into_carries[k] for k in real)]
    starts += [zeros(outside[i].shape) for i in summed]
    nexts += [
        add(leaf, term) for leaf, term in zip(sums, found[len(found) - len(summed) :], strict=True)
    ]
    results = algebra([*nexts, *found[len(real) : len(real) + len(moved)]])
    leaves_ = [*after.values(), *sums]
    backward = make(
        list(zip(leaves_, starts, results[: len(leaves_)], strict=True)),
        read,
        list(zip(outside, own.outside, strict=True)),
        results[len(leaves_) :],
        own.length,
        not own.reverse,
    )
    contributions: list[Node | None] = [None] * len(own.inputs)
    for position, k in enumerate(real):
        contributions[k] = backward.node(LAST, position)
    for position, i in enumerate(moved):
        contributions[own.carries + i] = backward.node(STACKED, position)
    for position, i in enumerate(summed):
        place = own.carries + own.sequences + i
        contributions[place] = backward.node(LAST, len(real) + position)
    return contributions


def _paired(g: Node, value: Node) -> Node:
    """The sum of products, whose derivative in ``value`` is ``g``."""
    return reduce_sum(multiply(g, broadcast_to(value, g.shape)), tuple(range(g.rank)))


def _alone(node: Node, g: Node) -> Sequence[Node | None]:
    return adjoint({node: g}, set(node.inputs))


RECURRENCES: dict[str, Operation] = {
    "scan": _row("scan", _infer, _numpy, _alone, "reverse recurrence"),
}
"""Recurrences."""
