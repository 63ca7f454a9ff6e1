"""Rules of quotients and products: no 0/0, no 0 times infinity, no overflow in between."""

from __future__ import annotations

import sympy as sp

from ..graph import Node, apply, number
from ..rules import factors_of, is_a
from .positive import exponentials, log_positive
from .terms import (
    HALF,
    MOST,
    TWO,
    constant_node,
    difference,
    equals,
    is_opposite,
    literal,
    minus,
    product_of,
    quotient,
    scaled,
    terms,
    times,
    with_power,
)

__all__ = ["divide", "multiply"]


def divide(node: Node) -> Node | None:
    """The rule of quotients: each denominator in turn."""
    coefficient, above, below = quotient(node)
    if len(above) + len(below) > MOST:
        return None
    for i, factor in enumerate(below):
        base, power = with_power(factor)
        others = below[:i] + below[i + 1 :]
        for rule in (_tanh, _logistic, _softmax, _cosine, _sinc):
            result = rule(base, power, above)
            if result is None:
                continue
            factor_, kept = result
            total = product_of([*kept, *_without_ones(factor_)])
            total = total if not others else apply("divide", total, product_of(others))
            return times(coefficient, total)
    return None


def _without_ones(factors: list[tuple[sp.Expr, Node]]) -> list[Node]:
    return [times(c, n) for c, n in factors]


Changed = tuple[list[tuple[sp.Expr, Node]], list[Node]]
"""What stands for a denominator and some numerators, and the numerators that are left."""


def _two_exponentials(node: Node) -> tuple[sp.Expr, Node | None, sp.Expr, Node | None] | None:
    if is_a(node, "cosh"):
        x = node.inputs[0]
        return HALF, x, HALF, minus(x)
    if node.operation not in ("add", "subtract", "expm1", "sinh"):
        return None
    parts = exponentials(node)
    if parts is None or len(parts) != 2:
        return None
    (c, u), (d, v) = parts
    return c, u, d, v


def _same(a: Node | None, b: Node | None) -> bool:
    if a is None or b is None:
        return a is b
    (p, x), (q, y) = scaled(a), scaled(b)
    return x is y and equals(p, q)


def _tanh(base: Node, power: int, above: list[Node]) -> Changed | None:
    """``(e^u - e^v) / (e^u + e^v)`` is the hyperbolic tangent of half of u - v."""
    lower = _two_exponentials(base)
    if lower is None or power != 1:
        return None
    c, u, d, v = lower
    for i, factor in enumerate(above):
        upper = _two_exponentials(factor)
        if upper is None:
            continue
        p, r, q, s = upper
        if _same(r, v) and _same(s, u):
            p, r, q, s = q, s, p, r
        if not (_same(r, u) and _same(s, v)):
            continue
        half = times(HALF, difference(u, v))
        ratio, kept = p / c, above[:i] + above[i + 1 :]
        if equals(c, d) and equals(p, -q):
            return [(ratio, apply("tanh", half))], kept
        if equals(c, -d) and equals(p, q):
            return [(ratio, apply("divide", number(1), apply("tanh", half)))], kept
    return None


def _exponent(above: list[Node]) -> tuple[Node, list[Node]] | None:
    """The exponent of a factor that is an exponential, and the other factors."""
    for i, factor in enumerate(above):
        if is_a(factor, "exp"):
            return factor.inputs[0], above[:i] + above[i + 1 :]
    return None


def _logistic(base: Node, power: int, above: list[Node]) -> Changed | None:
    """``e^(m u) / (k + c e^u)^n`` by the logistic function, and ``e^a / (e^a + e^b)``."""
    if base.operation not in ("add", "subtract"):
        return None
    parts = exponentials(base)
    if parts is None or len(parts) != 2 or any(c.is_negative for c, _ in parts):
        return None
    (c, u), (d, v) = parts
    found = _exponent(above)
    if u is not None and v is not None:
        if found is None or power != 1:
            return None
        exponent, kept = found
        if _same(exponent, v):
            (c, u), (d, v) = (d, v), (c, u)
        if not _same(exponent, u):
            return None
        x = _plus_log(difference(u, v), c / d)
        return [(1 / c, apply("sigmoid", x))], kept
    if u is None:
        (c, u), (d, v) = (d, v), (c, u)
    assert u is not None
    x = _plus_log(u, c / d)
    times_u, kept = 0, above
    if found is not None:
        (p, core), (q, other) = scaled(found[0]), scaled(u)
        count = p / q if core is other else sp.S.Zero
        if not equals(count, round(float(count))) or not 0 < round(float(count)) <= power:
            return None
        times_u, kept = round(float(count)), found[1]
    factors: list[tuple[sp.Expr, Node]] = []
    for name, count in ((x, times_u), (minus(x), power - times_u)):
        logistic = apply("sigmoid", name)
        if count:
            value = logistic if count == 1 else apply("power", logistic, number(count))
            factors.append((sp.S.One, value))
    first, *rest = factors
    scale = c**-times_u * d ** -(power - times_u)
    return [(scale, first[1]), *rest], kept


def _plus_log(x: Node, ratio: sp.Expr) -> Node:
    return x if equals(ratio, 1) else apply("add", x, apply("log", constant_node(ratio)))


def _softmax(base: Node, power: int, above: list[Node]) -> Changed | None:
    """An exponential over a sum of exponentials is the exponential of a difference."""
    if base.operation not in ("sum", "add", "subtract"):
        return None
    found = _exponent(above)
    total = log_positive(base) if found is not None else None
    if found is None or total is None:
        return None
    exponent, kept = found
    softmax = apply("exp", difference(exponent, times(sp.Integer(power), total)))
    return [(sp.S.One, softmax)], kept


def _cosine(base: Node, power: int, above: list[Node]) -> Changed | None:
    """``x / sqrt(x^2 + y^2)``, between -1 and 1 however large x is."""
    if not is_a(base, "hypot") or power != 1:
        return None
    for x, y in (base.inputs, base.inputs[::-1]):
        scale, core = scaled(x)
        if core in above:
            i = above.index(core)
            return [(1 / scale, apply("cos_of", x, y))], above[:i] + above[i + 1 :]
    return None


def _sinc(base: Node, power: int, above: list[Node]) -> Changed | None:
    """``sin(c x)^n / x^m`` with m <= n is finite at 0, by ``sin(z) / z``."""
    for i, factor in enumerate(above):
        sine, count = with_power(factor)
        if not is_a(sine, "sin") or count < power:
            continue
        scale, core = scaled(sine.inputs[0])
        if core is not base:
            continue
        quotients = apply("jn", number(0), sine.inputs[0])
        value = quotients if power == 1 else apply("power", quotients, number(power))
        kept = above[:i] + above[i + 1 :]
        if count > power:
            left = count - power
            kept = [*kept, sine if left == 1 else apply("power", sine, number(left))]
        return [(scale**power, value)], kept
    return None


# --- products, roots and powers ----------------------------------------------------------


def multiply(node: Node) -> Node | None:
    """The rule of products."""
    factors = factors_of(node)
    if len(factors) > MOST:
        return None
    for i, factor in enumerate(factors):
        others = factors[:i] + factors[i + 1 :]
        if is_a(factor, "log") or is_a(factor, "log1p"):
            result = _times_log(factor, others)
        elif is_a(factor, "exp"):
            result = _times_exponential(factor.inputs[0], others)
        elif is_a(factor, "erfc"):
            result = _times_normal(factor.inputs[0], others)
        else:
            result = None
        if result is not None:
            return result
    return None


def _times_log(log: Node, others: list[Node]) -> Node | None:
    """``x * log(y)`` where y is 0 with x: it is 0 there."""
    (y,) = log.inputs
    zero_at = _one_plus_log1p(y) if is_a(log, "log1p") else _bases(quotient(y)[1])
    for j, factor in enumerate(others):
        base = with_power(factor)[0]
        if base in zero_at or any(_same_value(base, z) for z in zero_at):
            name = "xlog1py" if is_a(log, "log1p") else "xlogy"
            return product_of([*others[:j], apply(name, factor, y), *others[j + 1 :]])
    return _weighted_log(log, others)


def _weighted_log(log: Node, others: list[Node]) -> Node | None:
    """``t * log(p)`` and ``(1 - t) * log(1 - p)`` of a cross-entropy, where t and p may be 0."""
    weights = [f for f in others if literal(f) is None]
    (p,) = log.inputs
    if len(weights) != 1 or not _is_datum(weights[0]):
        return None
    if is_a(log, "log1p"):
        if not (is_a(p, "negative") and _is_datum(p.inputs[0])):
            return None
    elif not _is_datum(p):
        return None
    weighted = apply("xlog1py" if is_a(log, "log1p") else "xlogy", weights[0], p)
    return product_of([*(f for f in others if literal(f) is not None), weighted])


def _is_datum(node: Node) -> bool:
    """True for a symbol or an array, a part of one, and one minus these."""
    if is_a(node, "subtract") and literal(node.inputs[0]) is not None:
        node = node.inputs[1]
    while node.operation in ("index", "reshape", "transpose", "broadcast_to", "one_hot"):
        node = node.inputs[0]
    return node.operation in ("symbol", "array")


def _bases(factors: list[Node]) -> list[Node]:
    return [with_power(f)[0] for f in factors]


def _one_plus_log1p(y: Node) -> list[Node]:
    if is_a(y, "negative"):
        return [apply("subtract", number(1), y.inputs[0])]
    return [apply("add", y, number(1)), apply("add", number(1), y)]


def _same_value(a: Node, b: Node) -> bool:
    if a.operation not in ("add", "subtract") or b.operation not in ("add", "subtract"):
        return False
    p, q = terms(a), terms(b)
    if p is None or q is None or p.by_node.keys() != q.by_node.keys():
        return False
    same = all(equals(c, q.by_node[n]) for n, c in p.by_node.items())
    return same and equals(p.constant, q.constant)


def _times_exponential(x: Node, others: list[Node]) -> Node | None:
    """``exp(x) * sigmoid(-x)`` is the logistic function of x."""
    for j, factor in enumerate(others):
        if is_a(factor, "sigmoid") and is_opposite(factor.inputs[0], x):
            return product_of([*others[:j], apply("sigmoid", x), *others[j + 1 :]])
    return None


def _times_normal(x: Node, others: list[Node]) -> Node | None:
    """``x * erfc(-x / sqrt(2)) / 2`` is gelu of x."""
    scale, core = scaled(x)
    for j, factor in enumerate(others):
        if factor is core and equals(scale, -1 / sp.sqrt(2)):
            gelu = times(TWO, apply("gelu", core))
            return product_of([*others[:j], gelu, *others[j + 1 :]])
    return None
