"""Stability rules: naive spellings that overflow or cancel become stable functions."""

from __future__ import annotations

from collections.abc import Sequence

from .graph import Node, apply
from .rules import Rule, factors_of, is_a, same_shape

__all__ = ["STABILITY"]


def _without(terms: Sequence[Node], removed: Node) -> Node:
    rest = [t for t in terms if t is not removed]
    return rest[0] if len(rest) == 1 else apply("add", *rest)


def _one_plus(node: Node) -> Node | None:
    """``x`` where the node is ``1 + x``."""
    if not is_a(node, "add"):
        return None
    one = next((t for t in node.inputs if t.is_number(1)), None)
    return None if one is None else _without(node.inputs, one)


def _log(node: Node) -> Node | None:
    (x,) = node.inputs
    if is_a(x, "exp"):
        return x.inputs[0]
    if is_a(x, "sigmoid"):
        return apply("log_sigmoid", x.inputs[0])
    if is_a(x, "subtract") and x.inputs[0].is_number(1) and is_a(x.inputs[1], "sigmoid"):
        return apply("log_sigmoid", apply("negative", x.inputs[1].inputs[0]))
    if is_a(x, "sum") and is_a(x.inputs[0], "exp"):
        return apply("logsumexp", x.inputs[0].inputs[0], attributes=x.attributes)
    if is_a(x, "divide") and is_a(x.inputs[0], "exp"):
        numerator = x.inputs[0].inputs[0]
        return apply("subtract", numerator, _log_of(x.inputs[1]))
    if is_a(x, "divide") and x.inputs[0].is_number(1):
        return apply("negative", _log_of(x.inputs[1]))
    if is_a(x, "add") and len(x.inputs) == 2 and all(is_a(t, "exp") for t in x.inputs):
        return apply("logaddexp", *(t.inputs[0] for t in x.inputs))
    rest = _one_plus(x)
    if rest is not None:
        return apply("softplus", rest.inputs[0]) if is_a(rest, "exp") else apply("log1p", rest)
    if is_a(x, "subtract") and x.inputs[0].is_number(1):
        return apply("log1p", apply("negative", x.inputs[1]))
    return None


def _log_of(node: Node) -> Node:
    logarithm = apply("log", node)
    return _log(logarithm) or logarithm


def _log1p(node: Node) -> Node | None:
    (x,) = node.inputs
    return apply("softplus", x.inputs[0]) if is_a(x, "exp") else None


def _exchange(product: Node, old: Node, new: Node) -> Node | None:
    """The product with one factor replaced, or None where it is no factor."""
    factors = factors_of(product)
    if old not in factors:
        return None
    factors[factors.index(old)] = new
    result = factors[0]
    for factor in factors[1:]:
        result = apply("multiply", result, factor)
    return result


def _divide(node: Node) -> Node | None:
    above, below = node.inputs
    if is_a(below, "sum") and is_a(below.inputs[0], "exp"):
        x = below.inputs[0].inputs[0]
        total = apply("logsumexp", x, attributes=below.attributes)
        softmax = apply("exp", apply("subtract", x, total))
        result = _exchange(above, below.inputs[0], softmax)
        return None if result is None else same_shape(node, result)
    rest = _one_plus(below)
    if rest is None or not is_a(rest, "exp"):
        return None
    x = rest.inputs[0]
    result = _exchange(above, rest, apply("sigmoid", x))
    if result is not None:
        return result
    opposite = x.inputs[0] if is_a(x, "negative") else apply("negative", x)
    logistic = apply("sigmoid", opposite)
    return logistic if above.is_number(1) else apply("multiply", above, logistic)


def _subtract(node: Node) -> Node | None:
    a, b = node.inputs
    return apply("expm1", a.inputs[0]) if is_a(a, "exp") and b.is_number(1) else None


def _multiply_log(node: Node) -> Node | None:
    a, b = node.inputs
    for x, y in ((a, b), (b, a)):
        if is_a(y, "log") and y.inputs[0] is x:
            return apply("xlogy", x, x)
    return None


def _sqrt_square(node: Node) -> Node | None:
    (x,) = node.inputs
    if is_a(x, "power") and x.inputs[1].is_number(2):
        return apply("abs", x.inputs[0])
    return None


STABILITY: list[Rule] = [
    Rule("log of a stable form", ("log",), _log),
    Rule("log(1 + exp x) = softplus(x)", ("log1p",), _log1p),
    Rule("sigmoid and softmax from exponentials", ("divide",), _divide),
    Rule("exp(x) - 1 = expm1(x)", ("subtract",), _subtract),
    Rule("x log x = xlogy(x, x)", ("multiply",), _multiply_log),
    Rule("sqrt(x^2) = |x|", ("sqrt",), _sqrt_square),
]
