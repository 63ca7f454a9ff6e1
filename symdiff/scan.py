"""``scan``: a recurrence written as a function of the carry and one element of a sequence."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from .bridge import describe, to_graph, to_sympy
from .errors import InvalidArgument, InvalidType, ShapeError
from .graph import Node, apply, is_literal, number, substitute, walk
from .language import as_number, keep_shape
from .recurrence import LAST, STACKED, PlaceholderNames, Recurrence, make, placeholder
from .rewrite import stabilise
from .shapes import Dimension, broadcast, text

__all__ = ["scan"]

_fresh = itertools.count(1)

LITERALS = ("number", "size", "array", "arange")
"""Leaves that a step holds itself."""


def scan(
    step: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    sequence: Any,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Apply a step along a sequence; it compiles to a loop.

    Parameters
    ----------
    step : callable
        ``step(carry, x_t) -> (carry, y_t)``. It is called with expressions, once or twice, and
        may read tensors from outside. ``y_t`` may be None, or a tuple.
    init : expression, or tuple of them
        The carry before the first step. A number, or a smaller shape, is stretched to the shape
        of the carry.
    sequence : expression, or tuple of them
        Time is axis 0.
    reverse : bool
        Whether to begin at the end; outputs stand where their elements do.

    Returns
    -------
    carry
        After the last step; a tuple where ``init`` is one.
    outputs
        ``y_t`` stacked along axis 0; a tuple where ``y_t`` is one, None where it is None.

    Raises
    ------
    ShapeError
        Where a carry changes its shape, or sequences differ in length.

    Examples
    --------
    >>> import symdiff as sd
    >>> x, a = sd.tensor("x", "T"), sd.tensor("a")
    >>> last, means = sd.scan(lambda m, x: (a * m + (1 - a) * x,) * 2, 0.0, x)
    >>> sd.evaluate(means, {x: [1, 1, 3], a: 0.5})
    array([0.5  , 0.75 , 1.875])
    >>> sd.gradient(last, x).shape
    (T,)
    """
    if not callable(step):
        raise InvalidType(f"scan: step must be a function (carry, x_t), got {type(step).__name__}")
    starts, many_carries = _parts(init)
    sequences, many_sequences = _parts(sequence)
    length = _length(sequences)
    names = _argument_names(step)
    starts = [_real(s) for s in starts]
    for _ in range(len(starts) + 1):  # each round settles at least one carry
        carries = _leaves(names[0], [(s.shape, s.dtype) for s in starts])
        elements = _leaves(names[1], [(s.shape[1:], s.dtype) for s in sequences])
        after, outputs, many_outputs = _trace(
            step, _packed(carries, many_carries), _packed(elements, many_sequences), len(starts)
        )
        settled = [_settled(s, a, k) for k, (s, a) in enumerate(zip(starts, after, strict=True))]
        if settled == starts:
            break
        starts = settled
    own = _closed(names, carries, starts, after, elements, sequences, outputs, length, reverse)
    last = to_sympy([own.node(LAST, k) for k in range(len(starts))])
    stacked = to_sympy([own.node(STACKED, j) for j in range(len(outputs))])
    carry = tuple(last) if many_carries else last[0]
    if many_outputs is None:
        return carry, None
    return carry, tuple(stacked) if many_outputs else stacked[0]


def _parts(value: Any) -> tuple[list[Node], bool]:
    """The nodes of one expression or of a tuple of them, and whether it is a tuple."""
    many = isinstance(value, (tuple, list))
    return [to_graph(as_number(v)) for v in (value if many else [value])], many


def _packed(nodes: Sequence[Node], many: bool) -> Any:
    expressions = to_sympy(nodes)
    return tuple(expressions) if many else expressions[0]


def _real(node: Node) -> Node:
    """A literal number as a real one: the carry that begins at 0 is no int."""
    if node.dtype == "bool" or (node.dtype == "int" and is_literal(node)):
        return apply("multiply", node, number(1.0)) if node.inputs else number(node_value(node))
    return node


def node_value(node: Node) -> Any:
    """The number of a literal leaf, as a float."""
    return float(node.attributes[0])


def _length(sequences: Sequence[Node]) -> Dimension:
    if not sequences:
        raise InvalidArgument("scan needs at least one sequence: its first axis is time")
    for x in sequences:
        if not x.rank:
            raise ShapeError(f"scan: the sequence {describe(x)} is a scalar; its axis 0 is time")
        if x.shape[0] != sequences[0].shape[0]:
            raise ShapeError(
                f"scan: the sequences {describe(sequences[0])} with shape "
                f"{text(sequences[0].shape)} and {describe(x)} with shape {text(x.shape)} differ "
                "in length, their axis 0"
            )
    return sequences[0].shape[0]


def _argument_names(step: Callable[..., Any]) -> tuple[str, str]:
    """What the function calls its arguments: a person reads these in the derivation."""
    try:
        named = [p.name for p in inspect.signature(step).parameters.values()
                 if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]  # fmt: skip
    except (TypeError, ValueError):
        named = []
    carry, element = [*named, "carry", "x"][:2] if len(named) >= 2 else ("carry", "x")
    return carry, element


def _leaves(name: str, kinds: Sequence[tuple[Any, str]]) -> list[Node]:
    """Leaves that nothing else holds; their names are settled when the step is closed."""
    return [
        placeholder(f"{name}{k if len(kinds) > 1 else ''}", shape, dtype, next(_fresh))
        for k, (shape, dtype) in enumerate(kinds)
    ]


def _trace(
    step: Callable[..., Any], carry: Any, element: Any, count: int
) -> tuple[list[Node], list[Node], bool | None]:
    """Next carries and outputs of one step, and whether the outputs are a tuple (None: none)."""
    result = step(carry, element)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise InvalidType(
            f"scan: step must return (carry, y_t), got {type(result).__name__}"
            + (f" of {len(result)} parts" if isinstance(result, (tuple, list)) else "")
        )
    after, many = _parts(result[0])
    if len(after) != count or many != isinstance(carry, tuple):
        raise ShapeError(
            f"scan: step returns a carry of {len(after)} parts, init has {count}; both must be "
            "one expression, or tuples of equal length"
        )
    if result[1] is None:
        return stabilise(after), [], None
    outputs, several = _parts(result[1])
    nodes = stabilise([*after, *outputs])
    return nodes[:count], nodes[count:], several


def _settled(start: Node, after: Node, position: int) -> Node:
    """The start, stretched or made real where the next carry asks for it."""
    if start.shape == after.shape:
        if start.dtype == "int" and after.dtype == "real":
            return apply("multiply", start, number(1.0))
        return start
    common = broadcast(start.shape, after.shape)
    if common is None or common == start.shape:
        raise ShapeError(
            f"scan: part {position + 1} of the carry has shape {text(start.shape)} before a step "
            f"and {text(after.shape)} after it; a carry keeps its shape"
        )
    (stretched,) = to_sympy([start])
    return to_graph(keep_shape(stretched, common))


def _closed(
    names: tuple[str, str],
    carries: Sequence[Node],
    starts: Sequence[Node],
    after: Sequence[Node],
    elements: Sequence[Node],
    sequences: Sequence[Node],
    outputs: Sequence[Node],
    length: Dimension,
    reverse: bool,
) -> Recurrence:
    """The recurrence with leaves of its own for all that its step takes from outside."""
    results = [*after, *outputs]
    given = [*carries, *elements]
    inside = set(given)
    for node in walk(results):
        if any(i in inside for i in node.inputs):
            inside.add(node)
    outside = [
        n
        for n in dict.fromkeys(
            [i for m in walk(results) if m in inside for i in m.inputs] + results
        )
        if n not in inside and n.operation not in LITERALS
    ]
    unique = PlaceholderNames()
    mapping: dict[Node, Node] = {}
    for name, group in ((names[0], carries), (names[1], elements)):
        for k, leaf in enumerate(group):
            wish = f"{name}{k}" if len(group) > 1 else name
            mapping[leaf] = unique.leaf(wish, leaf.shape, leaf.dtype)
    for node in outside:
        wish = node.attributes[0].name if node.operation == "symbol" else "c"
        mapping[node] = unique.leaf(wish, node.shape, node.dtype)
    results = [apply("add", r) if r in mapping else r for r in results]
    results = substitute(results, mapping)
    return make(
        list(zip((mapping[c] for c in carries), starts, results[: len(carries)], strict=True)),
        list(zip((mapping[e] for e in elements), sequences, strict=True)),
        [(mapping[n], n) for n in outside],
        results[len(carries) :],
        length,
        bool(reverse),
    )
