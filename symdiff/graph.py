"""The graph: interned, immutable nodes, and walks over them without recursion.

Two nodes with the same operation, inputs and attributes are the same object, so
shared parts of an expression are shared in the graph, and equality is identity.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sympy.core.sympify import _sympify as strictly  # never runs text

from .errors import UnsupportedOperation
from .shapes import Shape

Attributes = tuple[Any, ...]


@dataclass(frozen=True)
class Operation:
    """One row of the table of operations.

    Attributes
    ----------
    name : str
    kind : {"leaf", "elementwise", "structural"}
    infer : callable
        ``(inputs, attributes) -> (shape, dtype)``; raises where operands do not fit.
    numpy : callable
        ``(arrays, node, sizes) -> array``: what the operation means.
    adjoint : callable or None
        ``(node, adjoint) -> contributions``, one node or None for each input. An
        elementwise row has ``partials`` instead.
    partials : callable or None
        ``(position, *arguments) -> sympy.Expr``: the partial derivative with respect to
        the argument at that position, of one element. None means ``sympy.diff`` of the body.
    body : callable or None
        The SymPy form of an elementwise row, as a function of its arguments.
    differentiable : bool
        False where the derivative is zero everywhere by definition (comparisons, argmax).
    rule : str
        The name of the derivative rule, as a derivation shows it.
    """

    name: str
    kind: str
    infer: Callable[[tuple[Node, ...], Attributes], tuple[Shape, str]]
    numpy: Callable[..., Any]
    adjoint: Callable[[Node, Node], Sequence[Node | None]] | None = None
    partials: Callable[..., Any] | None = None
    body: Callable[..., Any] | None = None
    differentiable: bool = True
    rule: str = ""


OPERATIONS: dict[str, Operation] = {}
"""THE table; ``operations`` completes it when symdiff is imported."""


class Node:
    """One operation applied to inputs; made by :func:`apply` only.

    Attributes
    ----------
    operation : str
        The row of the table of operations.
    inputs : tuple of Node
    attributes : tuple
        Hashable parameters of the operation: axes, a permutation, a constant.
    shape : tuple
    dtype : {"real", "int", "bool"}
    """

    __slots__ = ("__weakref__", "attributes", "dtype", "inputs", "operation", "shape")

    operation: str
    inputs: tuple[Node, ...]
    attributes: Attributes
    shape: Shape
    dtype: str

    def __init__(
        self,
        operation: str,
        inputs: tuple[Node, ...],
        attributes: Attributes,
        shape: Shape,
        dtype: str,
    ) -> None:
        self.operation = operation
        self.inputs = inputs
        self.attributes = attributes
        self.shape = shape
        self.dtype = dtype

    @property
    def row(self) -> Operation:
        """The row of its operation."""
        return OPERATIONS[self.operation]

    @property
    def rank(self) -> int:
        """Its number of axes."""
        return len(self.shape)

    def is_number(self, value: Any = None) -> bool:
        """True for a literal number, or for the one given."""
        if self.operation != "number":
            return False
        return value is None or bool(self.attributes[0] == value)

    def __repr__(self) -> str:
        return f"<{self.operation} {self.shape}>"


_interned: weakref.WeakValueDictionary[Any, Node] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def apply(operation: str, *inputs: Node, attributes: Attributes = ()) -> Node:
    """The node of ``operation`` on ``inputs``; the same call gives the same object."""
    try:
        row = OPERATIONS[operation]
    except KeyError:
        raise UnsupportedOperation(f"there is no operation named {operation!r}") from None
    key = _Key((operation, tuple(map(id, inputs)), _typed(attributes)))
    node = _interned.get(key)
    if node is not None:
        return node
    shape, dtype = row.infer(inputs, attributes)
    with _lock:
        return _interned.setdefault(key, Node(operation, inputs, attributes, shape, dtype))


class _Key(tuple[Any, ...]):
    """A key that hashes once: it is removed when SymPy may be gone already, at exit."""

    _hash: int

    def __new__(cls, parts: tuple[Any, ...]) -> _Key:
        key = super().__new__(cls, parts)
        key._hash = tuple.__hash__(key)
        return key

    def __hash__(self) -> int:
        return self._hash


def _typed(value: Any) -> Any:
    """Attributes as a key in which 1, 1.0 and True are three different things."""
    if isinstance(value, tuple):
        return tuple(_typed(v) for v in value)
    return type(value), value


def number(value: Any) -> Node:
    """The node of a literal number."""
    return apply("number", attributes=(strictly(value),))


def walk(roots: Iterable[Node], known: Container[Node] = ()) -> list[Node]:
    """All nodes that ``roots`` depend on, each after its inputs, each once.

    Nodes in ``known``, and what lies below them only, are left out.
    """
    order: list[Node] = []
    done: set[Node] = set()
    stack: list[tuple[Node, int]] = []
    for root in roots:
        if root in done or root in known:
            continue
        stack.append((root, 0))
        while stack:
            node, position = stack.pop()
            if node in done:
                continue
            pending = False
            for i in range(position, len(node.inputs)):
                if node.inputs[i] not in done and node.inputs[i] not in known:
                    stack.append((node, i + 1))
                    stack.append((node.inputs[i], 0))
                    pending = True
                    break
            if not pending:
                done.add(node)
                order.append(node)
    return order


def consumers(roots: Sequence[Node]) -> dict[Node, list[Node]]:
    """For each node below ``roots``, the nodes that read it, once per position."""
    result: dict[Node, list[Node]] = {}
    for node in walk(roots):
        result.setdefault(node, [])
        for operand in node.inputs:
            result[operand].append(node)
    return result


def rebuild(
    roots: Sequence[Node],
    transform: Callable[[Node, tuple[Node, ...]], Node],
) -> list[Node]:
    """Map every node bottom-up: ``transform(node, new inputs)`` gives its replacement."""
    new: dict[Node, Node] = {}
    for node in walk(roots):
        new[node] = transform(node, tuple(new[i] for i in node.inputs))
    return [new[r] for r in roots]


def substitute(roots: Sequence[Node], mapping: Mapping[Node, Node]) -> list[Node]:
    """Replace nodes by others; shapes follow."""

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in mapping:
            return mapping[node]
        if inputs == node.inputs:
            return node
        return apply(node.operation, *inputs, attributes=node.attributes)

    return rebuild(roots, transform)


def is_literal(root: Node) -> bool:
    """True for numbers and sizes only: ``1`` is an int, but a result, a gradient say, is real."""
    leaves_ = (n for n in walk([root]) if not n.inputs)
    return all(n.operation in ("number", "size") and n.dtype != "bool" for n in leaves_)


def leaves(roots: Iterable[Node], operation: str = "symbol") -> list[Node]:
    """The leaves of one kind below ``roots``, in the order they are met."""
    return [n for n in walk(roots) if n.operation == operation]
