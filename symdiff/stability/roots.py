"""Rules of roots and powers, and of inverse functions near the ends of their domains."""

from __future__ import annotations

import sympy as sp

from ..graph import Node, apply, number
from ..rules import is_a
from .terms import (
    HALF,
    MINUS,
    TWO,
    constant_node,
    equals,
    is_power,
    literal,
    minus,
    terms,
    times,
)

__all__ = ["even_power", "near_the_end", "sqrt", "squared_norm"]


def sqrt(node: Node) -> Node | None:
    """The rule of square roots: of squares, and of sums of squares."""
    (x,) = node.inputs
    if is_power(x, 2):
        return apply("abs", x.inputs[0])
    if is_a(x, "sum"):
        base = _square_of(x.inputs[0])
        whole = base is not None and base.shape == x.inputs[0].shape
        return apply("norm", base, attributes=x.attributes) if base is not None and whole else None
    if is_a(x, "matmul") and x.inputs[0] is x.inputs[1] and x.inputs[0].rank == 1:
        return apply("norm", x.inputs[0], attributes=((0,), False))
    found = terms(x) if x.operation in ("add", "subtract") else None
    if found is None:
        return None
    legs: list[Node] = []
    for part, coefficient in found.by_node.items():
        base = _square_of(part)
        if base is None:
            return None
        if coefficient.is_negative:
            one = len(found.by_node) == 1 and equals(found.constant, 1)
            inner = times(sp.sqrt(-coefficient), base)
            return apply("sqrt", apply("one_minus_square", inner)) if one else None
        legs.append(times(sp.sqrt(coefficient), base))
    if found.constant.is_negative or len(legs) > 4:
        return None
    if not equals(found.constant, 0):
        legs.append(constant_node(sp.sqrt(found.constant)))
    result = legs[0]
    for leg in legs[1:]:
        result = apply("hypot", result, leg)
    return result if len(legs) > 1 else None


def _square_of(node: Node) -> Node | None:
    if is_power(node, 2):
        return node.inputs[0]
    return node.inputs[0] if is_a(node, "multiply") and node.inputs[0] is node.inputs[1] else None


def even_power(node: Node) -> Node | None:
    """``|x|^2`` is ``x^2``, whose second derivative at 0 is 2."""
    base, exponent = node.inputs
    value = literal(exponent)
    if is_a(base, "abs") and value is not None and value.is_Integer and int(value) % 2 == 0:
        return apply("power", base.inputs[0], exponent)
    return None


def squared_norm(node: Node) -> Node | None:
    """The square of a norm is a sum of squares, whose derivatives at 0 are there."""
    base, exponent = node.inputs
    if not is_a(base, "norm") or literal(exponent) != 2:
        return None
    return apply("sum", apply("power", base.inputs[0], exponent), attributes=base.attributes)


def near_the_end(node: Node) -> Node | None:
    """``acos(1 - u)`` and its like by u itself: ``1 - u`` keeps little of a small u."""
    found = terms(node.inputs[0]) if node.inputs[0].operation in ("add", "subtract") else None
    if found is None or len(found.by_node) != 1 or not equals(abs(found.constant), 1):
        return None
    ((core, coefficient),) = found.by_node.items()
    sign = MINUS if found.constant.is_negative else sp.S.One
    kind = node.operation
    if kind == "acosh":
        if sign is MINUS:
            return None
        return times(TWO, apply("asinh", apply("sqrt", times(coefficient / 2, core))))
    u = times(-sign * coefficient, core)  # the argument is sign * (1 - u)
    rest = apply("subtract", number(2), u)
    if kind == "atanh":
        logs = apply("subtract", apply("log", rest), apply("log", u))
        d = apply("subtract", u, number(1))
        middle = apply("subtract", apply("log1p", minus(d)), apply("log1p", d))
        return times(
            sign * HALF, apply("where", apply("less", u, constant_node(HALF)), logs, middle)
        )
    roots = apply("sqrt", u), apply("sqrt", rest)
    if kind == "asin":
        value = apply("atan2", apply("subtract", number(1), u), apply("multiply", *roots))
        return times(sign, value)
    value = times(TWO, apply("atan2", *roots))
    return apply("subtract", number(sp.pi), value) if sign is MINUS else value
