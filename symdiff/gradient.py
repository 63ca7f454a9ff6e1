"""The reverse walk: from a scalar loss to the gradient of every leaf, as more graph.

Elementwise rows are differentiated by ``sympy.diff`` of their one-line SymPy form, once for
each operation and position; structural rows give their adjoint in the table. The walk is
iterative and visits each node once, so its cost is linear in the graph.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sympy as sp
from sympy.core.sympify import _sympify as strictly  # never runs text

from . import recurrence
from .binding import is_symbol, symbol_of
from .bridge import describe, instantiate, to_graph, to_sympy
from .errors import (
    InvalidArgument,
    InvalidType,
    ShapeError,
    SymdiffError,
    UnsupportedOperation,
)
from .graph import OPERATIONS, Node, apply, leaves, number, walk
from .rewrite import ALGEBRA, Applied, Rewriter, stabilise
from .shapes import broadcast
from .structural import broadcast_to, described, multiply, unbroadcast, zeros
from .textbook import textbook


class Contribution(NamedTuple):
    """One term of the adjoint of a node: which node sent it, from which of its inputs."""

    user: Node
    position: int
    term: Node


Trace = dict[Node, list[Contribution]]
"""For each forward node on the way, what its adjoint is the sum of."""


@functools.lru_cache(maxsize=4096)
def partial_template(operation: str, position: int, arity: int) -> tuple[sp.Expr, tuple[Any, ...]]:
    """The partial derivative of an elementwise row, as SymPy in its argument symbols."""
    row = OPERATIONS[operation]
    arguments = tuple(sp.Dummy(f"x{i}", real=True) for i in range(arity))
    if row.partials is not None:
        derivative = strictly(row.partials(position, *arguments))
    else:
        assert row.body is not None
        derivative = row.body(*arguments).diff(arguments[position])
    if derivative.has(sp.Derivative, sp.Subs, sp.DiracDelta, sp.I):
        raise UnsupportedOperation(
            f"the derivative of {operation} with respect to its operand {position + 1} has no "
            "formula in real functions"
        )
    return derivative, arguments


def partial(node: Node, position: int) -> Node:
    """The partial derivative of an elementwise node with respect to one input."""
    if node.operation == "power" and position == 0 and node.inputs[1].is_number():
        return _power_rule(node)
    if node.operation == "add":
        return number(1)
    template, arguments = partial_template(node.operation, position, len(node.inputs))
    return instantiate(template, arguments, node.inputs)


def _power_rule(node: Node) -> Node:
    base, exponent = node.inputs
    return multiply(exponent, apply("power", base, number(exponent.attributes[0] - 1)))


def masked(node: Node) -> tuple[Node, Node] | None:
    """``(condition, value)`` where the node is ``where(condition, value, 0)``."""
    if node.operation == "where" and node.inputs[2].is_number(0):
        return node.inputs[0], node.inputs[1]
    return None


def _mask(condition: Node, value: Node) -> Node:
    return apply("where", condition, value, number(0))


def chain(adjoint: Node, factor: Node) -> Node:
    """``adjoint * factor``, and 0 wherever the adjoint is masked, whatever the factor is there.

    The factor may be NaN or infinite on a branch that was not taken; multiplying a zero by it
    would carry that into the gradient.
    """
    if factor.is_number(0):
        return number(0)
    mask = masked(adjoint)
    if mask is not None:
        return _mask(mask[0], multiply(mask[1], factor))
    return multiply(adjoint, factor)


def accumulate(terms: Sequence[Node]) -> Node:
    """The sum of adjoint contributions; masked where every one of them is masked."""
    if len(terms) == 1:
        return terms[0]
    masks = [masked(t) for t in terms]
    if any(m is None for m in masks):
        return apply("add", *terms)
    conditions = list(dict.fromkeys(m[0] for m in masks if m is not None))
    if len(masks) == len(conditions) == 2 and masks[0] and masks[1]:
        (first, a), (second, b) = masks[0], masks[1]
        if second is apply("logical_not", first):
            return apply("where", first, a, b)
        if first is apply("logical_not", second):
            return apply("where", second, b, a)
    if len(conditions) == 1:
        return _mask(conditions[0], apply("add", *(m[1] for m in masks if m is not None)))
    return _mask(apply("logical_or", *conditions), apply("add", *terms))


def _elementwise(
    node: Node, adjoint: Node, wanted: set[Node], simplify: Rewriter
) -> list[Node | None]:
    result: list[Node | None] = []
    for position, operand in enumerate(node.inputs):
        if operand not in wanted:
            result.append(None)
            continue
        if node.operation == "where" and position > 0:
            contribution = _choice(node, adjoint, position)
        else:
            (factor,) = simplify([partial(node, position)])
            contribution = chain(adjoint, factor)
        if contribution.is_number(0):
            result.append(None)
            continue
        shape = broadcast(contribution.shape, node.shape)
        result.append(unbroadcast(broadcast_to(contribution, shape or ()), operand.shape))
    return result


def _choice(node: Node, adjoint: Node, position: int) -> Node:
    condition = node.inputs[0]
    if position == 2:
        condition = apply("logical_not", condition)
    mask = masked(adjoint)
    if mask is not None:
        return _mask(apply("logical_and", mask[0], condition), mask[1])
    return _mask(condition, adjoint)


_MOVES = {"sum", "reshape", "transpose", "broadcast_to", "index"}
"""Operations whose adjoint only moves values, so that a mask moves along."""


def _structural(node: Node, adjoint: Node) -> Sequence[Node | None]:
    row = node.row
    if row.adjoint is None:
        raise UnsupportedOperation(f"the operation {node.operation} has no derivative rule")
    mask = masked(adjoint)
    if mask is not None and node.operation in _MOVES - {"broadcast_to", "index"}:
        condition = broadcast_to(mask[0], adjoint.shape)
        value = broadcast_to(mask[1], adjoint.shape)
        (moved_condition,) = row.adjoint(node, condition)
        (moved_value,) = row.adjoint(node, value)
        assert moved_condition is not None and moved_value is not None
        return [_mask(moved_condition, moved_value)]
    return row.adjoint(node, broadcast_to(adjoint, node.shape))


def depends(roots: Sequence[Node], targets: Iterable[Node]) -> set[Node]:
    """The nodes below ``roots`` that depend on a target by differentiable operations."""
    wanted = set(targets)
    for node in walk(roots):
        if node.row.differentiable and any(i in wanted for i in node.inputs):
            wanted.add(node)
    return wanted


def _recurrences(order: Sequence[Node]) -> dict[Node, list[Node]]:
    """For each node what is pulled back at its turn: itself, in general.

    The results of one recurrence are pulled back together, at the turn of the first in the order,
    when all of them have their adjoints.
    """
    groups: dict[Node, list[Node]] = {}
    first: dict[Any, Node] = {}
    for node in order:
        if node.operation != "scan":
            groups[node] = [node]
            continue
        leader = first.setdefault(recurrence.recurrence(node), node)
        groups[node] = []
        groups[leader].append(node)
    return groups


def pullback(
    root: Node, seed: Node, targets: Sequence[Node], trace: Trace | None = None
) -> tuple[list[Node], dict[Node, Node]]:
    """The adjoints of ``targets``, given the adjoint ``seed`` of ``root``.

    What each adjoint is the sum of is added to ``trace``.

    Returns
    -------
    gradients : list of Node
        One for each target, of its shape.
    adjoints : dict
        The adjoint of every forward node on the way.
    """
    wanted = depends([root], targets)
    terms: dict[Node, list[Node]] = {root: [seed]}
    adjoints: dict[Node, Node] = {}
    simplify = Rewriter(ALGEBRA)
    order = walk([root])
    groups = _recurrences(order)
    for node in reversed(order):
        if node in wanted and node in terms:
            (adjoints[node],) = simplify([accumulate(terms.pop(node))])
        members = [n for n in groups[node] if n in adjoints]
        if not members:
            continue
        contributions: Sequence[Node | None]
        if node.operation == "scan":
            whole = {n: broadcast_to(adjoints[n], n.shape) for n in members}
            contributions = recurrence.adjoint(whole, wanted)
        elif node.row.kind == "elementwise":
            contributions = _elementwise(node, adjoints[node], wanted, simplify)
        elif node.row.kind == "structural":
            contributions = _structural(node, adjoints[node])
        else:
            continue
        for position, contribution in enumerate(contributions):
            operand = node.inputs[position]
            if contribution is not None and operand in wanted:
                terms.setdefault(operand, []).append(contribution)
                if trace is not None:
                    sent = Contribution(node, position, contribution)
                    trace.setdefault(operand, []).append(sent)
    gradients = [
        broadcast_to(adjoints[t], t.shape) if t in adjoints else zeros(t.shape) for t in targets
    ]
    return gradients, adjoints


class Derived(NamedTuple):
    """The gradients of a loss in the form that is shown and compiled.

    Attributes
    ----------
    gradients : list of Node
        One for each target, of its shape.
    adjoints : dict
        The adjoint of every forward node on the way, from the loss on.
    plain : list of Node
        The adjoints as the rules of differentiation leave them.
    """

    gradients: list[Node]
    adjoints: dict[Node, Node]
    plain: list[Node]


def derived(root: Node, targets: Sequence[Node], trace: Trace | None = None) -> Derived:
    """The gradients of a loss by the reverse walk, in the forms of textbooks.

    What each adjoint is the sum of is added to ``trace``, as the walk leaves it.
    """
    gradients, adjoints = pullback(root, number(1), targets, trace)
    plain = list(adjoints.values())
    found = textbook([*gradients, *plain], [root], plain)
    rewritten = dict(zip(adjoints, found[len(targets) :], strict=True))
    return Derived(found[: len(targets)], rewritten, plain)


def loss_node(loss: Any) -> Node:
    """The stabilised graph of a loss; it must be a real scalar."""
    return loss_nodes(loss)[0]


def loss_nodes(loss: Any, parts: Sequence[Node] = (), applied: Applied | None = None) -> list[Node]:
    """The stabilised graph of a loss, and what has become of parts of it."""
    from .language import as_expression

    loss = as_expression(loss)
    if isinstance(loss, sp.logic.boolalg.Boolean) and not isinstance(loss, sp.Expr):
        raise InvalidType(f"a loss must be a number, got the condition {loss}")
    root = to_graph(loss)
    if root.dtype == "bool":
        raise InvalidType(f"a loss must be a number, got {describe(root)} of dtype bool")
    if root.shape:
        raise ShapeError(
            f"a loss must be a scalar, got {described(root)}; take sd.sum or sd.mean of it"
        )
    symbols = set(leaves([root]))
    kept = [p if symbols.issuperset(leaves([p])) else number(0) for p in parts]
    rewritten = stabilise([root], applied)
    try:
        return [*rewritten, *stabilise(kept, context=leaves([root]))]
    except SymdiffError:  # of something that shares symbols with the loss, and is no part of it
        inside = set(walk([root]))
        kept = [p if p in inside else number(0) for p in kept]
        return [*rewritten, *stabilise(kept, context=leaves([root]))]


def parameter_nodes(wrt: Any, roots: Sequence[Node] = ()) -> tuple[list[Node], bool]:
    """The leaves to differentiate with respect to, and whether a single one was given.

    An ``IndexedBase`` without a shape has that of its symbol in the graph of ``roots``.
    """
    known = [n.attributes[0] for n in leaves(roots)]
    single = not isinstance(wrt, (list, tuple, set, dict))
    symbols = [wrt] if single else list(wrt)
    nodes = []
    for symbol in symbols:
        if not is_symbol(symbol):
            raise InvalidType(
                f"a gradient is taken with respect to symbols, not {symbol}; "
                "name the part with a tensor symbol of its own"
            )
        node = to_graph(symbol_of(symbol, known))
        if node.operation != "symbol":
            raise InvalidArgument(f"{symbol} is a size, not a variable")
        if node.dtype != "real":
            raise InvalidType(f"{symbol} has dtype {node.dtype}: only real symbols have a gradient")
        nodes.append(node)
    return nodes, single


def gradient(loss: Any, wrt: Any) -> Any:
    """The gradient of a scalar loss, as a SymPy expression of the shape of the parameter.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar.
    wrt : Symbol or list of Symbol
        One symbol gives one expression, a list a list in the same order. A symbol that the
        loss does not depend on gets zeros.

    Raises
    ------
    ShapeError
        Where the loss is not a scalar.
    UnsupportedOperation
        Where an operation has no derivative; the message names it.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> a, x, y = sp.symbols("a x y")
    >>> sd.gradient((a * x - y) ** 2, a)
    2*x*(a*x - y)
    >>> X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
    >>> sd.gradient(sd.sum((X @ w - y) ** 2), w)
    2*X.T @ (X @ w - y)
    """
    root = loss_node(loss)
    nodes, single = parameter_nodes(wrt, [root])
    expressions = to_sympy(derived(root, nodes).gradients)
    return expressions[0] if single else expressions
