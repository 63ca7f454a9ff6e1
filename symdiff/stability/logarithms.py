"""Rules of logarithms."""

from __future__ import annotations

import sympy as sp

from ..graph import Node, apply, number
from ..rules import is_a
from .positive import exponentials, log_of_sum, log_positive, log_product
from .sums import without_cancellation
from .terms import (
    HALF,
    TWO,
    assemble,
    equals,
    is_opposite,
    literal,
    quotient,
    terms,
    times,
)

__all__ = ["log", "log1p", "one_plus"]


def log(node: Node) -> Node | None:
    """The rule of ``log``."""
    (x,) = node.inputs
    if literal(x) is not None:
        return None
    logarithm = log_positive(x)
    if logarithm is not None:
        return logarithm
    if x.operation in ("add", "subtract", "expm1", "sinh"):
        parts = exponentials(x)
        return log_of_sum(parts) if parts else _log_one_plus(x)
    if is_a(x, "exp_asinh"):
        return apply("asinh", x.inputs[0])
    if is_a(x, "gamma"):  # the logarithm of a negative value is NaN
        positive = apply("less", number(0), x)
        return apply("where", positive, apply("loggamma", x.inputs[0]), number(sp.nan))
    if is_a(x, "sqrt"):
        return times(HALF, apply("log", x.inputs[0]))
    if is_a(x, "power") and (exponent := literal(x.inputs[1])) is not None:
        even = exponent.is_Integer and int(exponent) % 2 == 0
        base = apply("abs", x.inputs[0]) if even else x.inputs[0]
        return times(exponent, apply("log", base))
    if x.operation in ("multiply", "divide", "negative"):
        return _log_odds(x) or log_product(x) or _log_inverse(x)
    return None


def _log_one_plus(x: Node) -> Node | None:
    if is_a(x, "subtract") and x.inputs[0].is_number(1):
        return apply("log1p", apply("negative", x.inputs[1]))
    found = terms(x)
    if found is None or not equals(found.constant, 1) or not found.by_node:
        return None
    return apply("log1p", assemble([(c, n) for n, c in found.by_node.items()]))


def one_plus(node: Node) -> Node | None:
    """``x`` where the node is ``1 + x``."""
    found = terms(node)
    if found is None or not equals(found.constant, 1) or not found.by_node:
        return None
    return assemble([(c, n) for n, c in found.by_node.items()])


def _log_odds(x: Node) -> Node | None:
    """``p / (1 - p)`` and ``(1 + x) / (1 - x)``, either way up."""
    coefficient, above, below = quotient(x)
    if len(above) != 1 or len(below) != 1 or not equals(coefficient, 1):
        return None
    for sign, p, q in ((1, above[0], below[0]), (-1, below[0], above[0])):
        rest = one_plus(q)
        if rest is None:
            continue
        if is_opposite(rest, p) and log_positive(p) is None:
            return times(sp.Integer(sign), apply("logit", p))
        other = one_plus(p)
        if sign > 0 and other is not None and is_opposite(rest, other):
            return times(TWO, apply("atanh", other))
    return None


def _log_inverse(x: Node) -> Node | None:
    if is_a(x, "divide") and (value := literal(x.inputs[0])) is not None and equals(value, 1):
        return apply("negative", apply("log", x.inputs[1]))
    return None


def log1p(node: Node) -> Node | None:
    """The rule of ``log1p``."""
    (x,) = node.inputs
    if is_a(x, "expm1"):
        return x.inputs[0]
    total = apply("add", number(1), x)
    parts = exponentials(total)
    if parts is not None:
        return log_of_sum(parts)
    logarithm = log_positive(total)
    if logarithm is not None:
        return logarithm
    better = without_cancellation(total)
    return None if better is None else _log_of(better)


def _log_of(node: Node) -> Node:
    return log_positive(node) or log_product(node) or apply("log", node)
