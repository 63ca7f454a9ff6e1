"""Rules of sums: two terms that take away what the other gives become one function."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from ..graph import Node, apply
from ..rules import is_a
from .terms import (
    HALF,
    MINUS,
    TWO,
    Terms,
    assemble,
    constant_node,
    equals,
    is_opposite,
    literal,
    minus,
    scaled,
    square,
    terms,
    times,
)

__all__ = ["without_cancellation"]


def _cosine_minus_one(x: Node) -> Node:
    return times(-TWO, square(apply("sin", times(HALF, x))))


def _half_tanh(x: Node) -> Node:
    return times(HALF, apply("tanh", times(HALF, x)))


def _two_sigmoid(x: Node) -> Node:
    return times(TWO, apply("sigmoid", times(TWO, x)))


_WITH_A_NUMBER: dict[str, list[tuple[sp.Expr, Callable[[Node], Node]]]] = {
    "exp": [(MINUS, lambda x: apply("expm1", x))],
    "expm1": [(sp.S.One, lambda x: apply("exp", x))],
    "cos": [(MINUS, _cosine_minus_one),
            (sp.S.One, lambda x: times(TWO, square(apply("cos", times(HALF, x)))))],
    "cosh": [(MINUS, lambda x: times(TWO, square(apply("sinh", times(HALF, x)))))],
    "erf": [(sp.S.One, lambda x: apply("erfc", minus(x))),
            (MINUS, lambda x: minus(apply("erfc", x)))],
    "erfc": [(MINUS, lambda x: minus(apply("erf", x))),
             (-TWO, lambda x: minus(apply("erfc", minus(x))))],
    "tanh": [(sp.S.One, _two_sigmoid), (MINUS, lambda x: minus(_two_sigmoid(minus(x))))],
    "sigmoid": [(-HALF, _half_tanh)],
}  # fmt: skip
"""``f(x) + k`` by f and k, and what it is without cancellation."""

_PAIRED = {"exp", "sqrt", "hypot"}


def without_cancellation(node: Node) -> Node | None:
    """The rule of sums and differences."""
    if not any(scaled(i)[1].operation in _WITH_A_NUMBER or _may_cancel(i) for i in node.inputs):
        return None
    found = terms(node)
    if found is None:
        return None
    for part, coefficient in found.by_node.items():
        for constant, better in _WITH_A_NUMBER.get(part.operation, ()):
            if equals(found.constant, coefficient * constant):
                new = better(part.inputs[0])
                return _replaced(found.without(part, constant=True), coefficient, new)
        if part.operation in _PAIRED:
            result = _pair(found, part, coefficient)
            if result is not None:
                return result
    return None


def _may_cancel(node: Node) -> bool:
    part = scaled(node)[1]
    return part.operation in _PAIRED or part.operation in ("add", "subtract")


def _replaced(rest: Terms, coefficient: sp.Expr, better: Node) -> Node:
    parts = [(c, n) for n, c in rest.by_node.items()]
    scale, core = scaled(better)
    return assemble([*parts, (coefficient * scale, core)], rest.constant)


def _pair(found: Terms, part: Node, coefficient: sp.Expr) -> Node | None:
    """Two terms of which one takes away what the other gives."""
    for other, c in found.by_node.items():
        takes = coefficient.is_positive and other.operation == part.operation
        takes = takes and equals(c, -coefficient)
        if takes and is_a(part, "exp") and is_opposite(part.inputs[0], other.inputs[0]):
            sinh = apply("sinh", part.inputs[0])
            return _replaced(found.without(part, other), 2 * coefficient, sinh)
        if takes and is_a(part, "sqrt"):
            result = _roots(part, other)
            if result is not None:
                return _replaced(found.without(part, other), coefficient, result)
        if is_a(part, "hypot"):
            result = _root_and_leg(part, other, c / coefficient)
            if result is not None:
                return _replaced(found.without(part, other), coefficient, result)
    if is_a(part, "sqrt") and (found.constant * coefficient).is_negative:
        one = constant_node(abs(found.constant / coefficient))
        result = _roots(part, one)
        if result is not None:
            return _replaced(found.without(part, constant=True), coefficient, result)
    return None


def _roots(a: Node, b: Node) -> Node | None:
    """``sqrt(x + 1) - sqrt(x)`` as ``1 / (sqrt(x + 1) + sqrt(x))``."""
    p = terms(a.inputs[0])
    number_ = literal(b)
    q = Terms({}, number_**2) if number_ is not None else terms(b.inputs[0])
    if p is None or q is None:
        return None
    rest = dict(p.by_node)
    for node, c in q.by_node.items():
        rest[node] = rest.get(node, sp.S.Zero) - c
    parts = [(c, n) for n, c in rest.items() if not equals(c, 0)]
    constant = p.constant - q.constant
    if len(parts) + (not equals(constant, 0)) != 1:
        return None
    return apply("divide", assemble(parts, constant), apply("add", a, b))


def _root_and_leg(root: Node, leg: Node, ratio: sp.Expr) -> Node | None:
    """``x + sqrt(x^2 + k^2)`` with a literal number k."""
    a, b = root.inputs
    k = literal(b)
    scale, core = scaled(a)
    if k is None or core is not leg or not equals(abs(scale), abs(ratio)):
        return None
    x = a if equals(scale, ratio) else minus(a)
    return times(k, apply("exp_asinh", times(1 / k, x)))
