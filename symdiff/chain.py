"""The chain of rules from a loss to one of its symbols, read from the trace of the reverse walk.

A forward node on the way is a :class:`Joint`: its adjoint is the sum of what the rules that read
it send down, one :class:`Link` each. What only moves values (a reshape, a sum that passes an
adjoint on as it is) is folded into the rule beside it, and so are the parts of what is read as one
function: a squared norm, a mean, a softmax.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import sympy as sp

from .bridge import to_sympy
from .gradient import Trace, accumulate, depends, partial, pullback
from .graph import Node, apply, number, substitute, walk
from .printing.layouts import is_log_softmax
from .recurrence import recurrence
from .rewrite import ALGEBRA, Rewriter
from .shapes import product
from .structural import broadcast_to, transpose

__all__ = ["Joint", "Link", "LocalDerivative", "chain_of_rules"]


@dataclass(frozen=True)
class LocalDerivative:
    """The derivative of what one rule computes by one operand.

    Attributes
    ----------
    node : Node
        Without ``change`` the derivative itself; with it the change of the result that a change
        of the operand makes, which is linear in it.
    change : Node or None
        A symbol that stands for the change of the operand.
    """

    node: Node
    change: Node | None = None


@dataclass(frozen=True)
class Link:
    """One rule: what it sends from a node down to an operand.

    Attributes
    ----------
    rule : str
    above : Node
        The forward node whose derivative is known.
    readers : frozenset of Node
        The forward nodes that the rule is about, which read the operand.
    local : LocalDerivative or None
        None where there is no short formula, as for a recurrence.
    term : Node
        What arrives at the operand: its part of the derivative of the loss.
    """

    rule: str
    above: Node
    readers: frozenset[Node]
    local: LocalDerivative | None
    term: Node


@dataclass(frozen=True)
class Joint:
    """A forward node on the way, and the rules whose parts add up to its adjoint."""

    node: Node
    adjoint: Node
    links: tuple[Link, ...]


def chain_of_rules(
    loss: Node,
    target: Node,
    adjoints: Mapping[Node, Node],
    trace: Trace,
    named: Collection[Node],
) -> list[Joint]:
    """The joints from the loss (which is left out) to the target, in this order.

    Parameters
    ----------
    loss, target : Node
    adjoints : dict
        ``{forward node: its adjoint}``.
    trace : dict
        What each adjoint is the sum of.
    named : collection of Node
        Forward nodes that are never folded.
    """
    way = depends([loss], [target])
    order = [n for n in reversed(walk([loss])) if n in way and n in adjoints]
    folding = _Folding(loss, trace, {*named, target})
    joints = []
    for node in order:
        if node is not loss and not folding.folds(node):
            joints.append(Joint(node, adjoints[node], folding.links(node)))
        folding.open(node)
    return joints


_MOVES = {"reshape", "broadcast_to", "transpose"}
_REDUCTIONS = {"sum", "prod", "max", "min", "logsumexp", "norm"}


class _Folding:
    """Which nodes are parts of others; the nodes are visited from the loss down."""

    def __init__(self, loss: Node, trace: Trace, kept: Collection[Node]) -> None:
        self.loss = loss
        self.trace = trace
        self.kept = kept
        self.head: dict[Node, Node] = {}
        """For a part of a function that is read as one, that function."""
        self.members: dict[Node, set[Node]] = {}
        self.rule: dict[Node, str] = {}
        self.simplify = Rewriter(ALGEBRA)
        self.passed_on: dict[Node, Node] = {}
        """For a term whose adjoint is that of the whole sum, the sum."""

    def open(self, node: Node) -> None:
        """Take in the parts of what a node computes as one function."""
        if node in self.head:
            return
        for idiom in _IDIOMS:
            found = idiom(node)
            if found is None:
                continue
            rule, parts = found
            if all(self._only_in(part, node, parts) for part in parts):
                self.rule[node] = rule
                self._join(node, parts)
                return

    def _only_in(self, part: Node, head: Node, parts: Collection[Node]) -> bool:
        if part in self.kept or part not in self.trace:
            return part not in self.kept and not part.inputs
        return all(c.user is head or c.user in parts for c in self.trace[part])

    def _join(self, head: Node, parts: Collection[Node]) -> None:
        self.members.setdefault(head, {head}).update(parts)
        for part in parts:
            self.head[part] = head

    def folds(self, node: Node) -> bool:
        """True for a node without a line of its own."""
        if node in self.head:
            return True
        sent = self.trace.get(node, [])
        if node in self.kept or not node.inputs or len(sent) != 1:
            return False
        user = sent[0].user
        head = self.head.get(user, user)
        if node.operation in _MOVES:
            self._join(head, {node})
            return True
        adds = user.operation == "add" or (user.operation == "subtract" and not sent[0].position)
        if adds and head is user and node.shape == user.shape:
            self.passed_on[node] = self.passed_on.get(user, user)
            return True
        return False

    def links(self, node: Node) -> tuple[Link, ...]:
        """The rules that send something to a node."""
        terms: dict[Node, list[Node]] = {}
        for user, _, term in self.trace.get(node, []):
            terms.setdefault(self.head.get(user, user), []).append(term)
        result = []
        for head, parts in terms.items():
            members = frozenset(self.members.get(head, {head}))
            rule = self.rule.get(head) or head.row.rule or head.operation
            elementwise = head.row.kind == "elementwise" and head not in self.rule
            if elementwise and node.shape != head.shape and node.rank:
                rule += ", broadcast"
            if head.operation == "scan":
                own = recurrence(head)
                group = [n for n in walk([self.loss]) if n.operation == "scan"]
                members = frozenset(n for n in group if recurrence(n) == own)
            (term,) = self.simplify([accumulate(parts)])
            separable = head in self.rule and any(idiom(head) for idiom in _SEPARABLE)
            local = _local(head, members, node, separable, self.simplify)
            result.append(Link(rule, self.passed_on.get(head, head), members, local, term))
        return tuple(result)


# --- what is read as one function --------------------------------------------------------

_Found = tuple[str, list[Node]] | None


def _squared_norm(node: Node) -> _Found:
    if node.operation == "sum":
        square = node.inputs[0]
        if square.operation == "power" and square.inputs[1].is_number(2):
            whole = len(node.attributes[0]) == square.rank
            return "squared norm" if whole else "sum of squares", [square]
    return None


def _mean(node: Node) -> _Found:
    if node.operation not in ("multiply", "divide"):
        return None
    a, b = node.inputs
    total, factor = (b, a) if node.operation == "multiply" and b.operation == "sum" else (a, b)
    if total.operation != "sum" or any(n.operation == "symbol" for n in walk([factor])):
        return None
    if factor.shape:
        return None
    (value,) = to_sympy([factor])
    count = product(total.inputs[0].shape[axis] for axis in total.attributes[0])
    share = value * count if node.operation == "multiply" else value / count
    if sp.cancel(share) != 1:
        return None
    squares = _squared_norm(total)
    return ("mean", [total]) if squares is None else ("mean of squares", [total, *squares[1]])


def _plain_mean(node: Node) -> _Found:
    found = _mean(node)
    return None if found is None else ("mean", found[1][:1])


def _softmax(node: Node) -> _Found:
    whole = node.inputs[0] if node.operation == "exp" else node
    if not is_log_softmax(whole):
        return None
    logits = whole.inputs[0]
    parts = [n for n in walk([whole], {logits}) if n is not node]
    return ("softmax" if node.operation == "exp" else "log of softmax"), parts


_IDIOMS: tuple[Callable[[Node], _Found], ...] = (_mean, _plain_mean, _squared_norm, _softmax)
"""Functions of several nodes that are read as one: ``node -> (rule, the other nodes)``."""

_SEPARABLE = (_mean, _plain_mean, _squared_norm)
"""Those whose operand's elements each go into one element of the result."""


# --- local derivatives -------------------------------------------------------------------


def _local(
    head: Node, members: Collection[Node], operand: Node, separable: bool, simplify: Rewriter
) -> LocalDerivative | None:
    """The derivative of a function by one operand, made of the same rules."""
    if head.operation == "scan":
        return None
    moved = {m for m in members if m is not head}
    moves = {m.operation for m in moved}
    if head.row.kind == "elementwise" and moves <= {"reshape", "broadcast_to"}:
        return LocalDerivative(simplify([_partial(head, moved, operand)])[0])
    body, x, back = _isolated(head, members, operand)
    single = separable or (head.operation in _REDUCTIONS and not moved)
    if not head.shape or single:
        (found,), _ = pullback(body, broadcast_to(number(1), head.shape), [x])
        return LocalDerivative(_restored(found, back, simplify))
    if head.operation == "matmul" and not moved and head.inputs.count(operand) == 1:
        change = _stand_in(operand)
        inputs = (change if i is operand else i for i in head.inputs)
        return _matrix(LocalDerivative(apply("matmul", *inputs), change))
    seed = _stand_in(head)
    (backward,), _ = pullback(body, seed, [x])
    change = _stand_in(operand)
    (forward,), _ = pullback(backward, change, [seed])
    return _matrix(LocalDerivative(_restored(forward, back, simplify), change))


def _partial(head: Node, moved: Collection[Node], operand: Node) -> Node:
    """The derivative of one element by the element of the operand that it is made of."""
    terms = []
    for position, read in enumerate(head.inputs):
        while read in moved:
            read = read.inputs[0]
        if read is not operand:
            continue
        if head.operation == "where" and position:
            chosen = head.inputs[0]
            chosen = chosen if position == 1 else apply("logical_not", chosen)
            terms.append(apply("where", chosen, number(1), number(0)))
        else:
            terms.append(partial(head, position))
    return accumulate(terms)


def _isolated(
    head: Node, members: Collection[Node], operand: Node
) -> tuple[Node, Node, dict[Node, Node]]:
    """The function alone: over symbols, that of the operand, and what the symbols stand for."""
    new: dict[Node, Node] = {}
    for member in (n for n in walk([head]) if n in members):
        for read in member.inputs:
            if read not in new:
                constant = not read.inputs and read.operation != "symbol"
                new[read] = read if constant else _stand_in(read)
        inputs = tuple(new[i] for i in member.inputs)
        new[member] = apply(member.operation, *inputs, attributes=member.attributes)
    back = {stand_in: n for n, stand_in in new.items() if n not in members}
    return new[head], new[operand], back


def _stand_in(node: Node) -> Node:
    return apply("symbol", attributes=(sp.Dummy("x"), node.shape, node.dtype))


def _restored(node: Node, back: Mapping[Node, Node], simplify: Rewriter) -> Node:
    return simplify(substitute([node], back))[0]


def _matrix(local: LocalDerivative) -> LocalDerivative:
    """The matrix of a linear map of vectors, where the formula is one product with it."""
    node, change = local.node, local.change
    if node.operation != "matmul" or node.rank != 1:
        return local
    a, b = node.inputs
    if b is change and a.rank == 2 and change not in walk([a]):
        return LocalDerivative(a)
    if a is change and b.rank == 2 and change not in walk([b]):
        return LocalDerivative(transpose(b, (1, 0)))
    return local
