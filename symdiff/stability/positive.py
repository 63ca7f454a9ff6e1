"""Stable logarithms of what is positive whatever the data, sums of exponentials above all."""

from __future__ import annotations

import sympy as sp

from ..graph import Node, apply, number
from ..rules import is_a
from .terms import (
    MOST,
    assemble,
    constant_node,
    difference,
    equals,
    is_opposite,
    literal,
    product_of,
    quotient,
    scaled,
    terms,
    times,
)

__all__ = ["exponentials", "log_of_sum", "log_positive", "log_product"]

DEEPEST = 40
"""Levels that are looked through; a graph may be deeper than Python's stack."""

_MOVES = {"index", "reshape", "transpose", "broadcast_to"}

_LOGARITHMS = {"sigmoid": "log_sigmoid", "erfc": "log_erfc", "cosh": "log_cosh"}
"""Positive functions and the stable functions that are their logarithms."""


def log_number(value: sp.Expr) -> Node | None:
    """The logarithm of a positive literal number; None is 0."""
    return None if equals(value, 1) else apply("log", constant_node(value))


def log_positive(node: Node, depth: int = DEEPEST) -> Node | None:
    """A stable logarithm of a node that is positive whatever the data, or None."""
    if depth == 0:
        return None

    def log(part: Node) -> Node | None:
        return log_positive(part, depth - 1)

    kind = node.operation
    value = literal(node)
    if value is not None:
        return (log_number(value) or number(0)) if value.is_positive else None
    if kind == "exp":
        return node.inputs[0]
    if kind == "size":
        return apply("log", node)
    if kind in _LOGARITHMS:
        return apply(_LOGARITHMS[kind], *node.inputs)
    if kind in ("multiply", "divide"):
        return log_product(node, partly=False, depth=depth - 1)
    if kind == "sqrt":
        inner = log(node.inputs[0])
        return None if inner is None else times(sp.Rational(1, 2), inner)
    if kind == "power" and (exponent := literal(node.inputs[1])) is not None:
        inner = log(node.inputs[0])
        return None if inner is None else times(exponent, inner)
    if kind in _MOVES:
        inner = log(node.inputs[0])
        if inner is None:
            return None
        return apply(kind, inner, *node.inputs[1:], attributes=node.attributes)
    if kind == "sum":
        inner = log(node.inputs[0])
        if inner is None or inner.shape != node.inputs[0].shape:
            return None
        return apply("logsumexp", inner, attributes=node.attributes)
    if kind in ("add", "subtract"):
        complement = _log_complement(node)
        parts = exponentials(node, depth) if complement is None else None
        if parts is None or any(c.is_negative for c, _ in parts):
            return complement
        return log_of_sum(parts)
    return None


def _log_complement(node: Node) -> Node | None:
    """The logarithm of ``1 - sigmoid(x)`` and ``1 - tanh(x)^2``."""
    found = terms(node)
    if found is None or len(found.by_node) != 1 or not found.constant.is_positive:
        return None
    ((part, coefficient),) = found.by_node.items()
    if not equals(coefficient, -found.constant):
        return None
    if is_a(part, "sigmoid"):
        logarithm = apply("log_sigmoid", times(sp.S.NegativeOne, part.inputs[0]))
    elif is_a(part, "power") and is_a(part.inputs[0], "tanh") and part.inputs[1].is_number(2):
        logarithm = times(sp.Integer(-2), apply("log_cosh", part.inputs[0].inputs[0]))
    else:
        return None
    return _with_number(logarithm, found.constant)


def _sum(a: Node, b: Node) -> Node:
    if a.is_number(0):
        return b
    return a if b.is_number(0) else apply("add", a, b)


Exponentials = list[tuple[sp.Expr, "Node | None"]]
"""A sum of exponentials: coefficients and exponents; the exponent None is 0."""


def exponentials(node: Node, depth: int = DEEPEST) -> Exponentials | None:
    """A sum as exponentials, where each of its terms has a stable logarithm."""
    found = terms(node)
    if found is None or not found.by_node:
        return None
    result: Exponentials = []
    constant = found.constant
    for part, coefficient in found.by_node.items():
        if is_a(part, "expm1"):
            constant -= coefficient
            result.append((coefficient, part.inputs[0]))
        elif is_a(part, "sinh"):
            x = part.inputs[0]
            result += [(coefficient / 2, x), (-coefficient / 2, times(sp.S.NegativeOne, x))]
        else:
            exponent = log_positive(part, depth - 1)
            if exponent is None:
                return None
            result.append((coefficient, exponent))
    if not equals(constant, 0):
        result.append((constant, None))
    return result


def _shifted(coefficient: sp.Expr, exponent: Node | None) -> Node:
    """The logarithm of one term."""
    shift = log_number(coefficient)
    if exponent is None:
        return number(0) if shift is None else shift
    return exponent if shift is None else apply("add", exponent, shift)


def log_of_sum(parts: Exponentials) -> Node | None:
    """The logarithm of a sum of exponentials, where it has one."""
    plus = [(c, u) for c, u in parts if c.is_positive]
    minus = [(-c, u) for c, u in parts if c.is_negative]
    if not plus:
        return None
    if len(plus) == len(minus) == 1 and plus[0][1] is not None and minus[0][1] is not None:
        (c, u), (d, v) = plus[0], minus[0]
        ratio = apply("log1mexp", _shifted(d / c, difference(v, u)))
        return _sum(_shifted(c, u), ratio)
    total = _log_of_positive_sum(plus)
    if not minus:
        return total
    part = _log_of_positive_sum(minus)
    ratio = apply("log1mexp", part if total.is_number(0) else difference(part, total))
    return _sum(total, ratio)


def _log_of_positive_sum(parts: Exponentials) -> Node:
    if len(parts) == 1:
        return _shifted(*parts[0])
    if len(parts) == 2:
        (c, u), (d, v) = parts
        if u is not None and v is not None and equals(c, d) and is_opposite(u, v):
            inner = u if not is_a(u, "negative") else v
            return _with_number(apply("log_cosh", inner), 2 * c)
        if u is None or v is None:
            (k, _), (c, u) = (parts[0], parts[1]) if u is None else (parts[1], parts[0])
            assert u is not None
            return _with_number(apply("softplus", _shifted(c / k, u)), k)
    result = _shifted(*parts[0])
    for c, u in parts[1:]:
        result = apply("logaddexp", result, _shifted(c, u))
    return result


def _with_number(node: Node, value: sp.Expr) -> Node:
    shift = log_number(value)
    return node if shift is None else apply("add", node, shift)


def log_product(node: Node, partly: bool = True, depth: int = DEEPEST) -> Node | None:
    """The logarithm of a product or quotient, of the factors that have a stable one.

    The other factors, of which nothing is known, stay together under one logarithm if
    ``partly`` says that there may be such.
    """
    coefficient, above, below = quotient(node)
    if len(above) + len(below) > MOST:
        return None
    positive: list[tuple[sp.Expr, Node]] = []
    rest: tuple[list[Node], list[Node]] = ([], [])
    for sign, factors in ((1, above), (-1, below)):
        for factor in factors:
            parts = exponentials(factor, depth) if factor.operation in ("add", "subtract") else None
            if parts and sign > 0 and not any(c.is_negative for c, _ in parts):
                # the number goes into the sum, where it may cancel another one
                logarithm = log_of_sum([(abs(coefficient) * c, u) for c, u in parts])
                coefficient = sp.sign(coefficient)
            else:
                logarithm = log_positive(factor, depth)
            if logarithm is None:
                if not partly:
                    return None
                rest[0 if sign > 0 else 1].append(factor)
            else:
                positive.append((sp.Integer(sign), logarithm))
    if len(rest[0]) == 1 and not rest[1]:  # perhaps a difference of exponentials
        parts = exponentials(rest[0][0])
        logarithm = log_of_sum([(coefficient * c, u) for c, u in parts]) if parts else None
        if logarithm is not None:
            positive.append((sp.S.One, logarithm))
            rest, coefficient = ([], []), sp.S.One
    if not positive:
        return None
    if coefficient.is_negative and not (rest[0] or rest[1]):
        return None
    if rest[0] or rest[1]:
        inner = product_of(rest[0])
        if rest[1]:
            inner = apply("divide", inner, product_of(rest[1]))
        if coefficient.is_negative:
            inner = apply("negative", inner)
        positive.append((sp.S.One, apply("log", inner)))
    factor, positive = _joined(positive)
    coefficient *= factor
    half = next((n for c, n in positive if is_a(n, "log_erfc") and c == 1), None)
    if half is not None and equals(abs(coefficient), sp.Rational(1, 2)):
        scale, x = scaled(half.inputs[0])
        normal = apply("log_normal_cdf", times(-sp.sqrt(2) * scale, x))
        positive = [(c, normal if n is half else n) for c, n in positive]
        coefficient = sp.S.One
    if (shift := log_number(abs(coefficient))) is not None:
        positive.append((sp.S.One, shift))
    return assemble(positive)


def _joined(
    logs: list[tuple[sp.Expr, Node]],
) -> tuple[sp.Expr, list[tuple[sp.Expr, Node]]]:
    """``log_sigmoid(2x) + log_sigmoid(-2x)`` is ``-2 log_cosh(x) - log 4``; c in ``log c``, too."""
    for i, (c, n) in enumerate(logs):
        for j, (d, m) in enumerate(logs[:i]):
            both = is_a(n, "log_sigmoid") and is_a(m, "log_sigmoid") and c == d
            if both and is_opposite(n.inputs[0], m.inputs[0]):
                x = times(sp.Rational(1, 2), n.inputs[0])
                kept = [pair for k, pair in enumerate(logs) if k not in (i, j)]
                return 4**-c, [*kept, (-2 * c, apply("log_cosh", x))]
    return sp.S.One, logs
