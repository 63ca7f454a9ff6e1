"""The layout of sums and products: what goes in front, what needs parentheses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import sympy as sp

from ..graph import Node
from ..structural import guarded_norm, reshape
from ..textbook.chains import vector_of
from .matrices import transposed
from .style import ATOM, CALL, JUXTAPOSED, POWER, PREFIX, PRODUCT, SUM, Piece

if TYPE_CHECKING:
    from .page import Page

__all__ = [
    "RELATIONS",
    "bracket",
    "masks",
    "product_layout",
    "sum_layout",
    "unstretched",
]


# --- sums --------------------------------------------------------------------------------


def _terms(page: Page, root: Node) -> list[tuple[bool, Node]]:
    """The terms of a sum with their signs, in order."""
    terms: list[tuple[bool, Node]] = []
    stack = [(root, False)]
    while stack:
        node, negative = stack.pop()
        opened = node is root or page.opens(node)
        if opened and node.operation == "add":
            stack.extend((i, negative) for i in reversed(node.inputs))
        elif opened and node.operation == "subtract":
            stack.extend([(node.inputs[1], not negative), (node.inputs[0], negative)])
        elif opened and node.operation == "negative":
            stack.append((node.inputs[0], not negative))
        else:
            terms.append((negative, node))
    return terms


def sum_layout(page: Page, node: Node) -> Piece:
    """A sum: what is added first, what is subtracted last."""
    signed = []
    for negative, term in _terms(page, node):
        piece = page.piece(unstretched(page, term))
        signed.append((negative != piece.negative, term, replace(piece, negative=False)))
    signed.sort(key=lambda entry: (entry[0], _place(page, entry[1])))
    result = ""
    for negative, _, piece in signed:
        written = page.wrap(piece, PREFIX).text
        if result:
            result += (page.style.minus if negative else page.style.plus) + written
        else:
            result = page.style.minus.strip() + written if negative else written
    return Piece(result, SUM, short=False)


def _place(page: Page, term: Node) -> tuple[bool, int, bool, int, bool]:
    """Where a term goes: matrices before vectors, products before symbols, numbers last."""
    core = unstretched(page, term)
    structural, height = page.depth(core)
    is_turned = core.operation == "transpose"
    height -= is_turned  # A + Aᵀ
    return core.operation == "number", -core.rank, not structural, -height, is_turned


def unstretched(page: Page, node: Node) -> Node:
    """What an elementwise operation sees of an operand: stretching goes without saying."""
    while page.opens(node) and node.operation in ("broadcast_to", "reshape"):
        if node.operation == "reshape" and node.inputs[0].rank:
            break
        node = node.inputs[0]
    return node


# --- products ----------------------------------------------------------------------------


@dataclass
class _Factors:
    """A product taken apart: sign, numbers, scalars and tensors above and below the line."""

    negative: bool
    number: sp.Expr
    above: list[tuple[Piece, Node]]
    below: list[tuple[Piece, Node]]


def _factors(page: Page, root: Node) -> _Factors:
    result = _Factors(False, sp.S.One, [], [])
    stack = [(root, False)]
    while stack:
        node, inverted = stack.pop()
        if node is not root:
            node = unstretched(page, node)
        opened = node is root or page.opens(node)
        if opened and node.operation == "multiply":
            stack.extend((i, inverted) for i in reversed(node.inputs))
        elif opened and node.operation == "divide":
            stack.extend([(node.inputs[1], not inverted), (node.inputs[0], inverted)])
        elif opened and node.operation == "negative":
            result.negative = not result.negative
            stack.append((node.inputs[0], inverted))
        elif opened and _is_negated_vector(page, node):
            result.negative = not result.negative
            stack.append((reshape(node.inputs[0].inputs[0], node.shape), inverted))
        elif opened and masks(node) and node is not root and not inverted:
            result.above.append((bracket(page, node.inputs[0]), node.inputs[0]))
            stack.append((node.inputs[1], inverted))
        elif opened and _is_literal(node):
            value = abs(node.attributes[0])
            result.negative ^= bool(node.attributes[0].is_negative)
            result.number = result.number / value if inverted else result.number * value
        else:
            piece = page.piece(node)
            result.negative ^= piece.negative
            target = result.below if inverted else result.above
            target.append((replace(piece, negative=False), node))
    _drop_guards(page, result)
    return result


def _drop_guards(page: Page, factors: _Factors) -> None:
    """``x/‖x‖`` for the unit vector, which is 0 where x is."""
    for _, node in list(factors.below):
        length = guarded_norm(node)
        if length is None or not any(n is length[1] for _, n in factors.above):
            continue
        exponent = 0
        for entry in list(factors.below):
            power = 1 if entry[1] in (node, length[0]) else _exponent(entry[1], length[0])
            if power:
                exponent += power
                factors.below.remove(entry)
        piece = page.piece(length[0])
        if exponent > 1:
            level = page.style.literal(sp.Integer(exponent))
            piece = Piece(page.style.power(page.wrap(piece, ATOM).text, level), POWER, piece.short)
        factors.below.append((piece, length[0]))


def _exponent(node: Node, base: Node) -> int:
    """K where the node is ``base ** k``."""
    if node.operation != "power" or node.inputs[0] is not base or not node.inputs[1].is_number():
        return 0
    value = node.inputs[1].attributes[0]
    return int(value) if value.is_Integer else 0


def _is_negated_vector(page: Page, node: Node) -> bool:
    """``-v`` as a column or row of a matrix."""
    if node.operation != "reshape":
        return False
    (inner,) = node.inputs
    return inner.operation == "negative" and page.opens(inner)


def _is_literal(node: Node) -> bool:
    """A number that combines with other numbers; a division by 0 is shown as it is."""
    if node.operation != "number" or node.dtype == "bool":
        return False
    value = node.attributes[0]
    return bool(value.is_finite and not value.is_zero and (value.is_Rational or value.is_Float))


def product_layout(page: Page, node: Node) -> Piece:
    """A product or quotient: ``2/n · x``, scalars first, then tensors, elementwise."""
    parts = _factors(page, node)
    scalars = [p for p, n in parts.above if not n.rank]
    scalars[:0] = _literals(page, sp.fraction(parts.number)[0])
    plain = [p for p in scalars if p.level >= POWER]
    loose = sorted((p for p in scalars if p.level < POWER), key=lambda p: p.level == PREFIX)
    divisors = _literals(page, sp.fraction(parts.number)[1])
    divisors += [p for p, n in parts.below if not n.rank]
    rest = _tensors(page, parts, node)
    if rest is None and not plain and len(loose) == 1 and loose[0].level != PREFIX:
        plain, loose = loose, []
    for piece in reversed(loose):
        rest = piece if rest is None else page.side_by_side(page.wrap(piece, CALL), rest)
    coefficient = _row(page, plain)
    if divisors:
        below = _row(page, divisors)
        assert below is not None
        if coefficient is None and rest is not None and rest.level >= POWER:
            coefficient, rest = rest, None
        coefficient = page.style.fraction(coefficient, below)
    result = _coefficient_of(page, coefficient, rest, bool(divisors))
    if parts.negative and result.level == SUM:
        result = page.wrap(result, PREFIX)
    return replace(result, negative=parts.negative)


def _literals(page: Page, value: sp.Expr) -> list[Piece]:
    return [] if value in (1, 1.0) else [page.style.literal(value)]


def _row(page: Page, pieces: Sequence[Piece]) -> Piece | None:
    """Scalars side by side."""
    result: Piece | None = None
    for piece in pieces:
        if len(pieces) > 1:
            piece = page.wrap(piece, CALL)
        result = piece if result is None else page.side_by_side(result, piece)
    return result


def _coefficient_of(page: Page, coefficient: Piece | None, rest: Piece | None, far: bool) -> Piece:
    if coefficient is None:
        return rest if rest is not None else page.style.literal(sp.S.One)
    if rest is None:
        return coefficient
    if not far:
        return page.side_by_side(page.wrap(coefficient, JUXTAPOSED), rest)
    right = page.wrap(rest, PREFIX)
    level = min(PRODUCT, right.level)
    return Piece(coefficient.text + page.style.dot + right.text, level, short=False)


def _tensors(page: Page, parts: _Factors, node: Node) -> Piece | None:
    """The factors that have axes, elementwise."""
    above = [(p, n) for p, n in parts.above if n.rank]
    below = [(p, n) for p, n in parts.below if n.rank]
    if not above and not below:
        return None
    if not below:
        above = _with_outer(page, above, node)
        special = _diagonal(page, above, node)
        if special is not None:
            return special
    top = _hadamard(page, [p for p, _ in above])
    if not below:
        return top
    bottom = _hadamard(page, [p for p, _ in below])
    assert bottom is not None
    return replace(page.style.fraction(top, bottom), short=False)


def _hadamard(page: Page, pieces: Sequence[Piece]) -> Piece | None:
    if not pieces:
        return None
    if len(pieces) == 1:
        return pieces[0]
    pieces = sorted(pieces, key=lambda piece: piece.level == SUM)  # h ⊙ (1 − h)
    written = [page.wrap(p, CALL).text for p in pieces]
    return Piece(page.style.hadamard.join(written), PRODUCT, short=False)


def _with_outer(
    page: Page, factors: list[tuple[Piece, Node]], node: Node
) -> list[tuple[Piece, Node]]:
    """``abᵀ`` for a column times a row, in place of the two."""
    if node.rank != 2:
        return factors
    columns = [(f, v) for f in factors if (v := vector_of(f[1], 0)) is not None]
    rows = [(f, v) for f in factors if (v := vector_of(f[1], 1)) is not None]
    if len(columns) != 1 or len(rows) != 1:
        return factors
    (column, a), (row, b) = columns[0], rows[0]
    left, right = page.inside(a, JUXTAPOSED), transposed(page, b)
    product = page.side_by_side(left, right), node
    return [product, *(f for f in factors if f is not column and f is not row)]


def _diagonal(page: Page, factors: Sequence[tuple[Piece, Node]], node: Node) -> Piece | None:
    """``diag(v) A`` for a column times a matrix: each row of A by its own number."""
    if len(factors) < 2 or node.rank != 2:
        return None
    columns = [v for _, n in factors if (v := vector_of(n, 0)) is not None]
    others = [(p, n) for p, n in factors if vector_of(n, 0) is None]
    if len(columns) != 1 or not any(n.shape == node.shape for _, n in others):
        return None
    inner = page.text(columns[0])
    diagonal = Piece(page.style.function("diag") + page.style.parentheses(inner), CALL, False)
    matrix = _hadamard(page, [p for p, _ in others])
    assert matrix is not None
    return page.side_by_side(diagonal, page.wrap(matrix, JUXTAPOSED))


# --- conditions as factors -------------------------------------------------------------

RELATIONS = {"equal", "not_equal", "less", "less_equal"}


def masks(node: Node) -> bool:
    """True for ``where(condition, value, 0)``."""
    return node.operation == "where" and node.inputs[2].is_number(0)


def bracket(page: Page, condition: Node) -> Piece:
    """A condition as a number: ``[z > 0]`` is 1 where it holds, else 0."""
    inner = page.piece(condition)
    if page.opens(condition) and condition.operation in RELATIONS:
        return inner
    return Piece(page.style.brackets(page.whole(inner)))
