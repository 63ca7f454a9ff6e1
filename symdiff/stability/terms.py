"""Sums as terms with literal coefficients, products as factors.

The rules read a formula through these: ``2 - 2 * cos(x)``, ``1.0 + exp(-x)`` and what else SymPy
makes of a formula are the same terms in another order.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from ..graph import Node, apply, number
from ..rules import factors_of, is_a

__all__ = [
    "HALF",
    "MINUS",
    "MOST",
    "TWO",
    "Terms",
    "assemble",
    "constant_node",
    "difference",
    "equals",
    "is_opposite",
    "is_power",
    "literal",
    "minus",
    "product_of",
    "quotient",
    "scaled",
    "square",
    "terms",
    "times",
    "with_power",
]

HALF, TWO, MINUS = sp.Rational(1, 2), sp.Integer(2), sp.S.NegativeOne


MOST = 24
"""Terms of a sum that are looked at; longer sums are nobody's naive spelling of a function."""

_ARITHMETIC = {"add", "subtract", "multiply", "divide", "negative", "sqrt", "power", "log"}


# --- numbers -----------------------------------------------------------------------------


def literal(node: Node, depth: int = 4) -> sp.Expr | None:
    """The number that a node stands for, where it is made of literal numbers only."""
    if node.operation == "number":
        value = node.attributes[0]
        usable = node.dtype != "bool" and value.is_real and value.is_finite
        return value if usable else None
    if node.shape or node.operation not in _ARITHMETIC or depth == 0:
        return None
    if any(literal(i, depth - 1) is None for i in node.inputs):
        return None
    from ..bridge import to_sympy

    value = to_sympy([node])[0]
    return value if value.is_real and value.is_finite else None


def equals(a: sp.Expr, b: sp.Expr | int) -> bool:
    """True for one number in two spellings, ``1`` and ``1.0`` say."""
    return float(a) == float(b)


def constant_node(value: sp.Expr) -> Node:
    """The node of a literal number, ``sqrt(2)`` too."""
    from ..bridge import to_graph

    return to_graph(value)


def times(coefficient: sp.Expr, node: Node) -> Node:
    """``coefficient * node`` as a person writes it."""
    nearest = round(float(coefficient))
    if nearest and abs(float(coefficient) / nearest - 1) < 5e-16:  # sqrt(2) * 0.7071067811865476
        coefficient = sp.Integer(nearest)
    if coefficient.is_negative:
        return apply("negative", times(-coefficient, node))
    if coefficient == 1:
        return node
    if coefficient.is_Rational and not coefficient.is_Integer:
        return apply("divide", times(sp.Integer(coefficient.p), node), number(coefficient.q))
    return apply("multiply", constant_node(coefficient), node)


def scaled(node: Node) -> tuple[sp.Expr, Node]:
    """``(c, x)`` with ``node = c * x`` and c a literal number."""
    factor = sp.S.One
    while True:
        if is_a(node, "negative"):
            factor, node = -factor, node.inputs[0]
            continue
        if node.operation in ("multiply", "divide"):
            a, b = node.inputs
            if (value := literal(b)) is not None and value != 0 and a.shape == node.shape:
                factor, node = (factor * value if is_a(node, "multiply") else factor / value), a
                continue
            if is_a(node, "multiply") and (value := literal(a)) is not None and value != 0:
                factor, node = factor * value, b
                continue
        return factor, node


def is_opposite(a: Node, b: Node) -> bool:
    """True where ``a`` is ``-b``."""
    if is_a(a, "subtract") and is_a(b, "subtract"):
        return a.inputs == b.inputs[::-1]
    (p, x), (q, y) = scaled(a), scaled(b)
    return x is y and equals(p, -q)


def difference(a: Node | None, b: Node | None) -> Node:
    """``a - b``; None is 0."""
    if b is None:
        assert a is not None
        return a
    if a is None:
        return times(sp.S.NegativeOne, b)
    (p, x), (q, y) = scaled(a), scaled(b)
    if x is y and not equals(p, q):
        return times(p - q, x)
    return apply("subtract", a, b)


# --- terms -------------------------------------------------------------------------------


@dataclass
class Terms:
    """A sum: coefficients by term, and the literal part of it."""

    by_node: dict[Node, sp.Expr]
    constant: sp.Expr

    def without(self, *nodes: Node, constant: bool = False) -> Terms:
        """The sum without some of its terms."""
        kept = {n: c for n, c in self.by_node.items() if n not in nodes}
        return Terms(kept, sp.S.Zero if constant else self.constant)


_READ: weakref.WeakKeyDictionary[Node, Terms | None] = weakref.WeakKeyDictionary()


def terms(node: Node) -> Terms | None:
    """The terms of a sum or a difference, or None where there are too many."""
    if node not in _READ:
        _READ[node] = _terms(node)
    return _READ[node]


def _terms(node: Node) -> Terms | None:
    found: dict[Node, sp.Expr] = {}
    constant = sp.S.Zero
    stack: list[tuple[sp.Expr, Node]] = [(sp.S.One, node)]
    count = 0
    while stack:
        factor, part = stack.pop()
        count += 1
        if count > MOST or len(part.inputs) > MOST:
            return None
        if is_a(part, "add"):
            stack.extend((factor, i) for i in reversed(part.inputs))
        elif is_a(part, "subtract"):
            a, b = part.inputs
            stack += [(-factor, b), (factor, a)]
        elif (value := literal(part)) is not None:
            constant += factor * value
        else:
            scale, core = scaled(part)
            if is_a(core, "add") or is_a(core, "subtract"):
                stack.append((factor * scale, core))
            else:
                found[core] = found.get(core, sp.S.Zero) + factor * scale
    return Terms({n: c for n, c in found.items() if c != 0}, constant)


def assemble(parts: Sequence[tuple[sp.Expr, Node]], constant: sp.Expr = sp.S.Zero) -> Node:
    """The sum of scaled nodes: what is added first, then what is subtracted."""
    plus = [times(c, n) for c, n in parts if not c.is_negative]
    minus = [times(-c, n) for c, n in parts if c.is_negative]
    if constant.is_positive or not (plus or minus or constant):
        plus.append(constant_node(constant))
    if not plus:
        first = minus.pop(0) if minus else constant_node(-constant)
        total = apply("negative", first)
        constant = constant if minus or not is_a(first, "number") else sp.S.Zero
    else:
        total = plus[0] if len(plus) == 1 else apply("add", *plus)
    for term in minus:
        total = apply("subtract", total, term)
    return apply("subtract", total, constant_node(-constant)) if constant.is_negative else total


# --- products ----------------------------------------------------------------------------


def minus(node: Node) -> Node:
    """The node with the other sign."""
    return times(MINUS, node)


def square(node: Node) -> Node:
    """The node times itself."""
    return apply("power", node, number(2))


def is_power(node: Node, exponent: int) -> bool:
    """True for a power with this exponent."""
    value = literal(node.inputs[1]) if is_a(node, "power") else None
    return value is not None and equals(value, exponent)


def with_power(factor: Node) -> tuple[Node, int]:
    """A factor as a base and a small natural exponent."""
    if is_a(factor, "power"):
        exponent = literal(factor.inputs[1])
        if exponent is not None and equals(exponent, int(exponent)) and 0 < exponent <= 8:
            return factor.inputs[0], int(exponent)
    return factor, 1


def quotient(node: Node) -> tuple[sp.Expr, list[Node], list[Node]]:
    """The literal coefficient, the numerators and the denominators."""
    coefficient = sp.S.One
    sides: tuple[list[Node], list[Node]] = ([], [])
    stack = [(node, 1)]
    while stack:
        part, sign = stack.pop()
        if is_a(part, "negative"):
            coefficient = -coefficient
            stack.append((part.inputs[0], sign))
        elif is_a(part, "divide"):
            stack += [(part.inputs[1], -sign), (part.inputs[0], sign)]
        elif is_a(part, "multiply"):
            stack.extend((f, sign) for f in reversed(factors_of(part)))
        elif (value := literal(part)) is not None and value != 0:
            coefficient = coefficient * value if sign > 0 else coefficient / value
        else:
            sides[0 if sign > 0 else 1].append(part)
    return coefficient, *sides


def product_of(factors: Sequence[Node]) -> Node:
    """The factors multiplied from left to right."""
    result = factors[0] if factors else number(1)
    for factor in factors[1:]:
        result = apply("multiply", result, factor)
    return result
