"""Sums: like terms become one, and a common factor is written once."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from ..graph import Node, number
from ..rules import same_shape
from ..structural import signed_sum, swap_last
from .chains import Factor, chain_of, is_transpose, product, turned
from .monomials import Monomial, monomial

__all__ = ["collect"]

MOST = 16
"""Terms that are looked at; a longer sum is nobody's line of a book."""


@dataclass(frozen=True)
class Term:
    """``scale * product(factors)``; a scalar has no factors."""

    scale: Monomial
    factors: tuple[Factor, ...]

    @property
    def key(self) -> tuple[frozenset[tuple[Node, int]], tuple[Factor, ...]]:
        """What like terms share."""
        return self.scale.key, self.factors

    def node(self) -> Node:
        """The term as a graph, without its sign."""
        scale = replace(self.scale, number=abs(self.scale.number))
        return scale.node(product(self.factors) if self.factors else None)

    def times(self, value: sp.Expr) -> Term:
        """A multiple."""
        return replace(self, scale=replace(self.scale, number=self.scale.number * value))


def collect(node: Node, loss: Container[Node], steps: Container[Node]) -> Node | None:
    """A sum with like terms joined and common factors of matrix products taken out.

    Products of the ``loss`` are opened where they are brief; of ``steps``, no elementwise ones are.
    """
    found = _collected(node, _terms(node, steps), loss, steps)
    if found is None and any(is_transpose(i) for i in node.inputs):
        # the loss may hold a sum and its transpose, as (Xw − y)ᵀ(Xw − y) does
        found = _collected(node, _terms(node, ()), loss, steps, halved=True)
    return found


def _collected(
    node: Node,
    signed: list[tuple[int, Node]] | None,
    loss: Container[Node],
    steps: Container[Node],
    halved: bool = False,
) -> Node | None:
    """The sum of terms joined; None where nothing is, or not so many that half of them are left."""
    if signed is None:
        return None
    terms = []
    for sign, part in signed:
        term = _term(part, loss, steps)
        if term is None:
            return None
        terms.append(term.times(sign))
    joined = _like_terms(terms)
    if halved and 2 * len(joined) > len(terms):
        return None
    shorter = _common_factor(joined, -1) or _common_factor(joined, 0)
    while shorter is not None:
        joined = shorter
        shorter = _common_factor(joined, -1) or _common_factor(joined, 0)
    constant, joined = _common_constant(joined)
    if len(joined) == len(terms) and constant is None:
        return None
    total = _sum(joined)
    return same_shape(node, total if constant is None else constant.node(total))


def _common_constant(terms: list[Term]) -> tuple[Monomial | None, list[Term]]:
    """A number and sizes that all terms share, and the terms without them."""
    numbers = {abs(t.scale.number) for t in terms}
    common = Monomial(numbers.pop() if len(numbers) == 1 else sp.S.One)
    first, *others = (t.scale.powers for t in terms) if terms else [{}]
    for base, exponent in first.items():
        shared = min([-exponent, *(-p.get(base, 0) for p in others)])
        if base.operation == "size" and shared > 0:
            common.include(base, -shared)
    if len(terms) < 2 or (common.number in (1, 1.0) and not common.powers):
        return None, terms
    rest = []
    for term in terms:
        scale = term.scale.times(common.inverse())
        number = _quotient(term.scale.number, common.number)
        rest.append(replace(term, scale=replace(scale, number=number)))
    return common, rest


def _quotient(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """``a / b``, which is the integer 1 or -1 where they differ in sign only, floats too."""
    return sp.sign(a * b) if abs(a) == abs(b) else a / b


def _terms(root: Node, kept: Container[Node]) -> list[tuple[int, Node]] | None:
    """The terms of a sum with their signs; transposed sums are opened where sums are."""
    result: list[tuple[int, Node]] = []
    stack = [(1, root, False)]
    while stack:
        sign, node, flipped = stack.pop()
        inner = node.inputs[0] if is_transpose(node) else node
        if inner is not node and inner not in kept and inner.operation in ("add", "subtract"):
            node, flipped = inner, not flipped
        shape = root.shape[::-1] if flipped else root.shape
        opened = node is root or (node not in kept and node.shape == shape)
        if opened and node.operation == "add":
            stack.extend((sign, i, flipped) for i in reversed(node.inputs))
        elif opened and node.operation == "subtract":
            first, second = node.inputs
            stack.extend([(-sign, second, flipped), (sign, first, flipped)])
        elif opened and node.operation == "negative":
            stack.append((-sign, node.inputs[0], flipped))
        else:
            result.append((sign, swap_last(node) if flipped else node))
        if len(result) + len(stack) > MOST or (flipped and node.rank != 2):
            return None
    return result


def _term(node: Node, loss: Container[Node], steps: Container[Node]) -> Term | None:
    if not node.rank:
        scale = monomial(node, steps)
        return None if scale is None else Term(scale, ())
    if node.rank > 2:
        return Term(Monomial(), ((node, False),))
    chain = chain_of(node, loss, again=True)
    return Term(Monomial(), ((node, False),)) if chain is None else Term(chain.scale, chain.factors)


def _like_terms(terms: Sequence[Term]) -> list[Term]:
    joined: dict[object, Term] = {}
    for term in terms:
        before = joined.get(term.key)
        total = term.scale.number + (before.scale.number if before is not None else 0)
        joined[term.key] = replace(term, scale=replace(term.scale, number=total))
    return [t for t in joined.values() if t.scale.number != 0]


def _common_factor(terms: list[Term], end: int) -> list[Term] | None:
    """The terms with those of one common last (or first) factor joined, or None."""
    groups: dict[object, list[Term]] = {}
    for term in terms:
        if len(term.factors) > 1:
            groups.setdefault((term.scale.key, term.factors[end]), []).append(term)
    group = next((g for g in groups.values() if len(g) > 1), None)
    if group is None:
        return None
    group.sort(key=lambda t: sum(transposed for _, transposed in t.factors))
    numbers = [t.scale.number for t in group]
    common = numbers[0] if len({abs(n) for n in numbers}) == 1 else sp.S.One
    rest = [t.factors[:-1] if end else t.factors[1:] for t in group]
    rows = [_is_row(factors[0]) for factors in rest]
    if any(rows):  # what follows a column: a sum of rows, if there is nothing but rows
        if not all(rows) or any(_is_column(factors[-1]) for factors in rest):
            return None
        rest = [turned(factors) for factors in rest]
    pairs = zip(numbers, rest, strict=True)
    inner = [Term(Monomial(_quotient(n, common)), factors) for n, factors in pairs]
    total = _sum(inner), any(rows)
    factors = (total, group[0].factors[-1]) if end else (group[0].factors[0], total)
    joined = Term(replace(group[0].scale, number=common), factors)
    place = min(i for i, t in enumerate(terms) if t in group)
    others = [t for t in terms if t not in group]
    return [*others[:place], joined, *others[place:]]


def _is_row(factor: Factor) -> bool:
    return factor[0].rank == 1 and factor[1]


def _is_column(factor: Factor) -> bool:
    return factor[0].rank == 1 and not factor[1]


def _sum(terms: Sequence[Term]) -> Node:
    """The sum as a graph: what is added first, then what is subtracted."""
    plus = [t.node() for t in terms if t.scale.number > 0]
    minus = [t.node() for t in terms if t.scale.number < 0]
    return signed_sum(plus, minus) if plus or minus else number(0)
