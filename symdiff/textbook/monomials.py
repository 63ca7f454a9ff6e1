"""Elementwise products taken apart: a number times powers of bases."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

import sympy as sp

from ..algebra import MODEST
from ..graph import Node, apply, number

__all__ = ["Monomial", "constant_step", "is_short_scalar", "monomial", "without_constant"]


@dataclass
class Monomial:
    """``number`` times the product of ``base ** exponent``, elementwise.

    Attributes
    ----------
    number : sympy.Number
    powers : dict
        ``{base: exponent}``, none of them 0, in the order in which the bases were met.
    """

    number: sp.Expr = sp.S.One
    powers: dict[Node, int] = field(default_factory=dict)

    def times(self, other: Monomial) -> Monomial:
        """The product of two."""
        result = Monomial(self.number * other.number, dict(self.powers))
        for base, exponent in other.powers.items():
            result.include(base, exponent)
        return result

    def include(self, base: Node, exponent: int) -> None:
        """Multiply by one more power."""
        self.powers[base] = self.powers.get(base, 0) + exponent

    def inverse(self) -> Monomial:
        """1 over the product."""
        return Monomial(1 / self.number, {b: -e for b, e in self.powers.items()})

    @property
    def is_modest(self) -> bool:
        """False for a float that has no room left for what it multiplies, or is none any more."""
        low, high = MODEST
        return bool(self.number.is_Rational or low < abs(self.number) < high)

    @property
    def key(self) -> frozenset[tuple[Node, int]]:
        """What two monomials share that differ in their number only."""
        return frozenset((b, e) for b, e in self.powers.items() if e)

    def node(self, rest: Node | None = None) -> Node:
        """The product as a graph, times ``rest``: number, scalars, tensors, over what divides."""
        above, below = sp.fraction(self.number)
        scalars = [(b, e) for b, e in self.powers.items() if not b.rank]
        tensors = [(b, e) for b, e in self.powers.items() if b.rank]
        result = _product([*_powers(scalars), *_powers(tensors)], rest)
        under = _product(_powers(tensors, -1))
        if under is not None:
            result = apply("divide", number(1) if result is None else result, under)
        if above != 1 or result is None:
            result = number(above) if result is None else apply("multiply", number(above), result)
        divisor = _product([*([number(below)] if below != 1 else []), *_powers(scalars, -1)])
        return result if divisor is None else apply("divide", result, divisor)


def _powers(pairs: Sequence[tuple[Node, int]], sign: int = 1) -> list[Node]:
    """The powers of one sign, as they stand above or below the line."""
    return [
        b if e == sign else apply("power", b, number(sign * e)) for b, e in pairs if sign * e > 0
    ]


def _product(nodes: Sequence[Node], rest: Node | None = None) -> Node | None:
    result: Node | None = None
    for node in [*nodes, *([rest] if rest is not None else [])]:
        result = node if result is None else apply("multiply", result, node)
    return result


MOST = 32
"""Factors that are looked at; longer products stay as they are."""


def constant_step(node: Node) -> tuple[str, Node | None, Node] | None:
    """``(operation, constant, rest)`` of a multiple of ``rest``; a sign has no constant."""
    if node.operation == "negative":
        return "negative", None, node.inputs[0]
    if node.operation not in ("multiply", "divide"):
        return None
    a, b = node.inputs
    if _is_constant(b) and a.shape == node.shape:
        return node.operation, b, a
    if node.operation == "multiply" and _is_constant(a) and b.shape == node.shape:
        return node.operation, a, b
    return None


def without_constant(node: Node) -> Node:
    """A node without the numbers and sizes that it is a multiple of."""
    while (step := constant_step(node)) is not None:
        node = step[2]
    return node


def _is_constant(node: Node) -> bool:
    """True for numbers, sizes and short products of these."""
    return is_short_scalar(node, leaves=("number", "size"))


SHORT = 9
"""Parts of a scalar that is written wherever it is needed."""


def is_short_scalar(
    node: Node, leaves: Container[str] = ("number", "size", "symbol"), others: int = 0
) -> bool:
    """True for a scalar that is a short product of leaves, their powers, and some ``others``."""
    pending = [node]
    for _ in range(SHORT):
        if not pending:
            return True
        part = pending.pop()
        if part.rank:
            return False
        if part.operation in (leaves if not part.inputs else _PRODUCTS):
            pending.extend(part.inputs)
        elif others:
            others -= 1
        else:
            return False
    return not pending


_PRODUCTS = {"multiply", "divide", "negative", "power"}


def monomial(root: Node, kept: Container[Node]) -> Monomial | None:
    """A node as a monomial. What is in ``kept`` is not opened, but for powers and short scalars.

    A base that stands above and below the line is cancelled only as far as it stays below it:
    the quotient must remain undefined where it was.
    """
    above, below = Monomial(), Monomial()
    stack: list[tuple[Node, int]] = [(root, 1)]
    seen = 0
    while stack:
        node, exponent = stack.pop()
        side = above if exponent > 0 else below
        seen += 1
        if seen > MOST:
            return None
        opened = node is root or node not in kept or is_short_scalar(node, others=1)
        if node.operation == "number" and node.dtype != "bool" and _usable(node):
            side.number *= node.attributes[0] ** abs(exponent)
        elif node.operation == "power" and _whole(node.inputs[1]):
            stack.append((node.inputs[0], exponent * int(node.inputs[1].attributes[0])))
        elif opened and node.operation == "multiply":
            stack.extend((i, exponent) for i in reversed(node.inputs))
        elif opened and node.operation == "divide":
            stack.extend([(node.inputs[1], -exponent), (node.inputs[0], exponent)])
        elif opened and node.operation == "negative":
            side.number *= (-1) ** abs(exponent)
            stack.append((node.inputs[0], exponent))
        elif opened and node.operation == "broadcast_to":
            stack.append((node.inputs[0], exponent))
        else:
            side.include(node, abs(exponent))
    for base, exponent in below.powers.items():
        if above.powers.get(base, 0) >= exponent and not _never_zero(base, above.powers):
            return None
    result = above.times(below.inverse())
    return result if result.is_modest else None


def _never_zero(base: Node, factors: Iterable[Node]) -> bool:
    """A size, or a determinant beside the inverse of its matrix, which would not be there."""
    if base.operation == "det":
        inverse = apply("inv", *base.inputs)
        return any(inverse in (f, *f.inputs) for f in factors if f.operation in _INVERSES)
    return base.operation == "size"


_INVERSES = {"inv", "transpose"}


def _usable(node: Node) -> bool:
    value = node.attributes[0]
    return bool((value.is_Rational or value.is_Float) and not value.is_zero)


def _whole(exponent: Node) -> bool:
    value = exponent.attributes[0] if exponent.operation == "number" else None
    return value is not None and bool(value.is_Integer) and 1 <= int(value) <= 16
