"""Matrix notation of graphs: one layout for text and LaTeX.

A :class:`Page` lays out nodes from the leaves up, each once and without recursion. Nodes that
have a name are written by their name. What is common to all notations (which factors are
scalars, where parentheses are needed, that ``sum(x**2)`` is a squared norm) is decided here;
how it is spelled is the business of a :class:`Style`.

Conventions of what is written: a vector is a column, so ``w @ X`` is ``Xᵀw`` and the product of
two vectors is ``aᵀb``; tensors side by side are matrix products, ``⊙`` is the elementwise
product; ``Σᵢ`` sums over the first axis, ``Σⱼ`` over the second; ``[c]`` is 1 where ``c`` holds
and else 0; shapes broadcast in sums.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy as sp

from ..graph import Node, number, walk
from ..shapes import reduce_shape, text
from .infix import dimension_text, key_entries, new_axes

__all__ = ["ATOM", "LAYOUTS", "Page", "Piece", "Style"]

SUM, PREFIX, PRODUCT, JUXTAPOSED, CALL, POWER, ATOM = range(7)
"""How tightly a piece of text binds, from ``a + b`` to ``a``."""


@dataclass(frozen=True)
class Piece:
    """A written part: its text, how tightly it binds, whether it is of single letters only."""

    text: str
    level: int = ATOM
    short: bool = True
    negative: bool = False
    """True where the text stands for the part without a minus sign in front of it."""


class Style(ABC):
    """How a notation spells what a :class:`Page` lays out."""

    plus, minus, hadamard, dot = " + ", " − ", " ⊙ ", " · "
    functions: Mapping[str, str] = {}
    relations: Mapping[str, str] = {}
    ones, identity = "𝟏", "𝐈"

    @abstractmethod
    def symbol(self, name: str) -> Piece:
        """A symbol or a size by its name."""

    @abstractmethod
    def literal(self, value: Any) -> Piece:
        """A number that is not negative."""

    @abstractmethod
    def parentheses(self, inner: str) -> str: ...

    @abstractmethod
    def brackets(self, inner: str) -> str: ...

    @abstractmethod
    def bars(self, inner: str) -> str: ...

    @abstractmethod
    def norm(self, inner: str, rank: int) -> str: ...

    @abstractmethod
    def root(self, inner: Piece) -> Piece: ...

    @abstractmethod
    def power(self, base: str, exponent: Piece) -> str: ...

    @abstractmethod
    def transposed(self, inner: str) -> str: ...

    @abstractmethod
    def fraction(self, above: Piece | None, below: Piece) -> Piece:
        """A quotient; None stands for 1."""

    @abstractmethod
    def juxtapose(self, left: Piece, right: Piece) -> str:
        """Two parts side by side."""

    @abstractmethod
    def operator(self, name: str, axes: Sequence[int] | None) -> str:
        """The name of a reduction, with the axes it runs over; None means all."""

    @abstractmethod
    def function(self, name: str) -> str:
        """The name of a function."""

    @abstractmethod
    def code(self, inner: str) -> str:
        """What has no mathematical form: an index as it is typed."""


class Page:
    """Writes nodes in a style; a named node is written by its name.

    Parameters
    ----------
    style : Style
    names : dict
        ``{node: Piece}``.
    """

    def __init__(self, style: Style, names: Mapping[Node, Piece] | None = None) -> None:
        self.style = style
        self.names: dict[Node, Piece] = dict(names or {})
        self._pieces: dict[Node, Piece] = dict(self.names)
        self._depths: dict[Node, tuple[bool, int]] = {}
        self._sizes: dict[Node, int] = dict.fromkeys(self.names, 1)

    def piece(self, node: Node) -> Piece:
        """A node as part of something else, possibly without its minus sign."""
        for n in walk([node], self._pieces):
            self._pieces[n] = self._lay_out(n)
        return self._pieces[node]

    def definition(self, node: Node) -> str:
        """A node spelled out, even if it has a name."""
        for n in walk(node.inputs, self._pieces):
            self._pieces[n] = self._lay_out(n)
        return self.whole(self._lay_out(node))

    def text(self, node: Node) -> str:
        """A node as it stands alone."""
        return self.whole(self.piece(node))

    def whole(self, piece: Piece) -> str:
        """A piece with its minus sign."""
        return self.style.minus.strip() + piece.text if piece.negative else piece.text

    def inside(self, node: Node, level: int) -> Piece:
        """An operand, in parentheses where it binds less than ``level``."""
        return self.wrap(self.piece(node), level)

    def wrap(self, piece: Piece, level: int) -> Piece:
        """A piece, in parentheses where it binds less than ``level``."""
        if piece.level >= level and not piece.negative:
            return piece
        return Piece(self.style.parentheses(self.whole(piece)))

    def opens(self, node: Node) -> bool:
        """True for a node that is written out in place."""
        return node not in self.names

    def depth(self, node: Node) -> tuple[bool, int]:
        """Whether a node holds structural parts, and over how many operations."""
        for n in walk([node], self._depths):
            if n in self.names or not n.inputs:
                self._depths[n] = False, 0
                continue
            below = [self._depths[i] for i in n.inputs]
            structural = n.row.kind == "structural" and n.operation not in _QUIET
            self._depths[n] = (
                structural or any(s for s, _ in below),
                1 + max(height for _, height in below),
            )
        return self._depths[node]

    def name(self, node: Node, piece: Piece) -> None:
        """Give a node a name from here on."""
        self.names[node] = self._pieces[node] = piece
        self._sizes[node] = 1

    def size(self, node: Node, own: bool = False) -> int:
        """How many parts the text of a node has; with ``own``, of its definition."""
        for n in walk(node.inputs if own else [node], self._sizes):
            self._sizes[n] = self._size(n)
        return self._size(node) if own else self._sizes[node]

    def _size(self, node: Node) -> int:
        return 1 + sum(self._sizes[i] for i in node.inputs)

    def _lay_out(self, node: Node) -> Piece:
        special = LAYOUTS.get(node.operation)
        return special(self, node) if special else _call(self, node)


_QUIET = {"broadcast_to", "reshape", "transpose"}


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


def _add(page: Page, node: Node) -> Piece:
    signed = []
    for negative, term in _terms(page, node):
        piece = page.piece(_unstretched(page, term))
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


def _place(page: Page, term: Node) -> tuple[bool, int, bool, int]:
    """Where a term goes: matrices before vectors, products before symbols, numbers last."""
    core = _unstretched(page, term)
    structural, height = page.depth(core)
    return core.operation == "number", -core.rank, not structural, -height


def _unstretched(page: Page, node: Node) -> Node:
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
            node = _unstretched(page, node)
        opened = node is root or page.opens(node)
        if opened and node.operation == "multiply":
            stack.extend((i, inverted) for i in reversed(node.inputs))
        elif opened and node.operation == "divide":
            stack.extend([(node.inputs[1], not inverted), (node.inputs[0], inverted)])
        elif opened and node.operation == "negative":
            result.negative = not result.negative
            stack.append((node.inputs[0], inverted))
        elif opened and _masks(node) and node is not root and not inverted:
            result.above.append((_iverson(page, node.inputs[0]), node.inputs[0]))
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
    return result


def _is_literal(node: Node) -> bool:
    """A number that combines with other numbers; a division by 0 is shown as it is."""
    if node.operation != "number" or node.dtype == "bool":
        return False
    value = node.attributes[0]
    return bool(value.is_finite and not value.is_zero and (value.is_Rational or value.is_Float))


def _multiply(page: Page, node: Node) -> Piece:
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
        rest = piece if rest is None else _side(page, page.wrap(piece, CALL), rest)
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
    return [] if value == 1 else [page.style.literal(value)]


def _row(page: Page, pieces: Sequence[Piece]) -> Piece | None:
    """Scalars side by side."""
    result: Piece | None = None
    for piece in pieces:
        if len(pieces) > 1:
            piece = page.wrap(piece, CALL)
        result = piece if result is None else _side(page, result, piece)
    return result


def _side(page: Page, left: Piece, right: Piece) -> Piece:
    level = min(JUXTAPOSED, right.level) if right.level >= PREFIX else JUXTAPOSED
    right = page.wrap(right, PREFIX)
    return Piece(page.style.juxtapose(left, right), level, left.short and right.short)


def _coefficient_of(page: Page, coefficient: Piece | None, rest: Piece | None, far: bool) -> Piece:
    if coefficient is None:
        return rest if rest is not None else page.style.literal(sp.S.One)
    if rest is None:
        return coefficient
    if not far:
        return _side(page, page.wrap(coefficient, JUXTAPOSED), rest)
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
        special = _outer(page, above, node) or _diagonal(page, above, node)
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
    written = [page.wrap(p, CALL).text for p in pieces]
    return Piece(page.style.hadamard.join(written), PRODUCT, short=False)


def _vector(node: Node, axis: int) -> Node | None:
    """``v`` where the node is the vector as a column (axis 0) or as a row (axis 1) of a matrix."""
    if node.rank == 1 and axis == 1:
        return node
    if node.operation not in ("reshape", "index") or node.rank != 2:
        return None
    vector = node.inputs[0]
    if vector.rank != 1 or len(node.inputs) > 1:
        return None
    size = vector.shape[0]
    if node.operation == "index" and ("slice", 0, size, 1) not in node.attributes[0]:
        return None
    return vector if node.shape == ((size, 1) if axis == 0 else (1, size)) else None


def _outer(page: Page, factors: Sequence[tuple[Piece, Node]], node: Node) -> Piece | None:
    """``abᵀ`` for a column times a row."""
    if len(factors) != 2 or node.rank != 2:
        return None
    for first, second in (factors, factors[::-1]):
        column, row = _vector(first[1], 0), _vector(second[1], 1)
        if column is not None and row is not None:
            left, right = page.inside(column, CALL), page.inside(row, ATOM)
            transposed = Piece(page.style.transposed(right.text), POWER, right.short)
            return _side(page, left, transposed)
    return None


def _diagonal(page: Page, factors: Sequence[tuple[Piece, Node]], node: Node) -> Piece | None:
    """``diag(v) A`` for a column times a matrix: each row of A by its own number."""
    if len(factors) < 2 or node.rank != 2:
        return None
    columns = [v for _, n in factors if (v := _vector(n, 0)) is not None]
    others = [(p, n) for p, n in factors if _vector(n, 0) is None]
    if len(columns) != 1 or not any(n.shape == node.shape for _, n in others):
        return None
    inner = page.text(columns[0])
    diagonal = Piece(page.style.function("diag") + page.style.parentheses(inner), CALL, False)
    matrix = _hadamard(page, [p for p, _ in others])
    assert matrix is not None
    return _side(page, diagonal, page.wrap(matrix, JUXTAPOSED))


# --- matrix products ---------------------------------------------------------------------


def _transpose_piece(page: Page, node: Node) -> Piece:
    """The transpose of a vector or a matrix."""
    if page.opens(node) and node.operation == "transpose" and node.rank == 2:
        return page.inside(node.inputs[0], JUXTAPOSED)
    inner = page.inside(node, ATOM)
    return Piece(page.style.transposed(inner.text), POWER, inner.short)


def _matmul(page: Page, node: Node) -> Piece:
    a, b = node.inputs
    if a.rank == 1 and b.rank == 1:
        left, right = _transpose_piece(page, a), page.inside(b, CALL)
    elif a.rank == 1 and b.rank == 2:
        left, right = _transpose_piece(page, b), page.inside(a, CALL)
    else:
        left, right = page.inside(a, JUXTAPOSED), page.inside(b, CALL)
    return _side(page, left, right)


def _transpose(page: Page, node: Node) -> Piece:
    (permutation,) = node.attributes
    if permutation == (1, 0):
        inner = page.inside(node.inputs[0], ATOM)
        return Piece(page.style.transposed(inner.text), POWER, inner.short)
    inner_text = f"{page.text(node.inputs[0])}, {text(permutation)}"
    return Piece(page.style.function("transpose") + page.style.parentheses(inner_text), CALL, False)


# --- powers, functions, choices ----------------------------------------------------------


def _power(page: Page, node: Node) -> Piece:
    base, exponent = node.inputs
    inner = page.inside(base, ATOM)
    return Piece(page.style.power(inner.text, page.piece(exponent)), POWER, inner.short)


def _sqrt(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    squared = _square_sum(page, x) if page.opens(x) else None
    if squared is not None:
        return Piece(page.style.norm(page.text(squared), squared.rank))
    return page.style.root(page.piece(x))


def _square_sum(page: Page, node: Node) -> Node | None:
    """``x`` where the node is ``sum(x**2)`` over all axes."""
    if node.operation != "sum":
        return None
    (square,) = node.inputs
    if len(node.attributes[0]) != square.rank or not page.opens(square):
        return None
    if square.operation == "power" and square.inputs[1].is_number(2):
        return square.inputs[0] if square.inputs[0].shape == square.shape else None
    return None


def _abs(page: Page, node: Node) -> Piece:
    return Piece(page.style.bars(page.text(node.inputs[0])), ATOM)


def _call(page: Page, node: Node) -> Piece:
    inner = ", ".join(page.text(i) for i in node.inputs)
    return Piece(page.style.function(node.operation) + page.style.parentheses(inner), CALL, False)


def _exp(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    if _is_log_softmax(x):
        return _named_call(page, "softmax", x.inputs[0])
    return _call(page, node)


def _subtract(page: Page, node: Node) -> Piece:
    if _is_log_softmax(node):
        return _named_call(page, "log_softmax", node.inputs[0])
    return _add(page, node)


def _is_log_softmax(node: Node) -> bool:
    """``z - logsumexp(z)`` over the last axis."""
    if node.operation != "subtract":
        return False
    z, total = node.inputs
    while total.operation in ("reshape", "broadcast_to"):
        total = total.inputs[0]
    if total.operation != "logsumexp" or total.inputs[0] is not z:
        return False
    kept = node.inputs[1].rank == z.rank or z.rank == 1
    return kept and total.attributes[0] == (z.rank - 1,)


def _named_call(page: Page, name: str, *arguments: Node) -> Piece:
    inner = ", ".join(page.text(a) for a in arguments)
    return Piece(page.style.function(name) + page.style.parentheses(inner), CALL, False)


def _masks(node: Node) -> bool:
    return node.operation == "where" and node.inputs[2].is_number(0)


def _iverson(page: Page, condition: Node) -> Piece:
    inner = page.piece(condition)
    if page.opens(condition) and condition.operation in _RELATIONS:
        return inner
    return Piece(page.style.brackets(page.whole(inner)))


def _where(page: Page, node: Node) -> Piece:
    condition, yes, no = node.inputs
    if _masks(node):
        bracket = _iverson(page, condition)
        if yes.is_number(1):
            return bracket
        value = page.piece(_unstretched(page, yes))
        if not _unstretched(page, yes).rank or not condition.rank:
            return _side(page, page.wrap(value, JUXTAPOSED), bracket)
        joined = page.wrap(value, PRODUCT).text + page.style.hadamard + bracket.text
        return Piece(joined, PRODUCT, short=False)
    parts = [page.text(condition), page.text(yes), page.text(no)]
    inner = page.style.parentheses(", ".join(parts))
    return Piece(page.style.function("where") + inner, CALL, False)


_RELATIONS = {"equal", "not_equal", "less", "less_equal"}
_MIRRORED = {"less": "greater", "less_equal": "greater_equal"}


def _relation(page: Page, node: Node) -> Piece:
    a, b = node.inputs
    name = node.operation
    if name in _MIRRORED and a.operation in ("number", "size"):
        a, b, name = b, a, _MIRRORED[name]
    inner = page.text(a) + page.style.relations[name] + page.text(b)
    return Piece(page.style.brackets(inner))


def _logical(page: Page, node: Node) -> Piece:
    parts = [page.wrap(_iverson(page, i), CALL).text for i in node.inputs]
    if node.operation == "logical_not":
        return Piece(page.style.relations["logical_not"] + parts[0], POWER, False)
    return Piece(page.style.relations[node.operation].join(parts), SUM, False)


# --- reductions --------------------------------------------------------------------------


def _sum(page: Page, node: Node) -> Piece:
    squared = _square_sum(page, node)
    if squared is not None and not node.attributes[1]:
        norm = page.style.norm(page.text(squared), squared.rank)
        return Piece(page.style.power(norm, page.style.literal(sp.Integer(2))), POWER)
    operator = page.style.operator("sum", _axes(node))
    inner = page.inside(node.inputs[0], PREFIX)
    return Piece(f"{operator} {inner.text}", PREFIX, short=False)


def _axes(node: Node) -> tuple[int, ...] | None:
    axes: tuple[int, ...] = node.attributes[0]
    return None if len(axes) == node.inputs[0].rank else axes


def _reduction(page: Page, node: Node) -> Piece:
    operator = page.style.operator(node.operation, _axes(node))
    inner = page.style.parentheses(page.text(node.inputs[0]))
    return Piece(operator + inner, CALL, short=False)


# --- data movement and leaves ------------------------------------------------------------


def _reshape(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    if not x.rank:
        return page.piece(x)
    if x.operation in _REDUCED and node.shape == reduce_shape(
        x.inputs[0].shape, x.attributes[0], True
    ):
        return page.piece(x)  # keepdims
    if node.rank == 2 and x.rank == 1 and node.shape[0] == 1:
        return _transpose_piece(page, x)
    entries = new_axes(x.shape, node.shape)
    if entries is not None:
        inner = page.inside(x, ATOM)
        return Piece(inner.text + page.style.code(f"[{', '.join(entries)}]"), POWER, False)
    inner_text = f"{page.text(x)}, {page.style.code(text(node.shape))}"
    return Piece(page.style.function("reshape") + page.style.parentheses(inner_text), CALL, False)


_REDUCED = {"sum", "max", "min", "logsumexp", "argmax", "argmin"}


def _broadcast(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    ones = Piece(page.style.ones)
    if x.is_number(0) or not node.rank:
        return page.piece(x)
    if x.is_number(1):
        return ones
    if not x.rank:
        inner = page.piece(x)
        if inner.level == PRODUCT:
            spelled = inner.text + page.style.dot + ones.text
            return Piece(spelled, PRODUCT, short=False, negative=inner.negative)
        positive = page.wrap(replace(inner, negative=False), JUXTAPOSED)
        return replace(_side(page, positive, ones), negative=inner.negative)
    if node.rank == 2 and x.rank == 1:  # every row is x
        return _side(page, ones, _transpose_piece(page, x))
    column = _vector(x, 0)
    if node.rank == 2 and column is not None:
        transposed = Piece(page.style.transposed(page.style.ones), POWER)
        return _side(page, page.inside(column, JUXTAPOSED), transposed)
    return _named_call(page, "broadcast", x)


def _index(page: Page, node: Node) -> Piece:
    x, *indices = node.inputs
    entries = key_entries(node.attributes[0], x.shape, [page.text(i) for i in indices])
    inner = page.inside(x, ATOM)
    return Piece(inner.text + page.style.code(f"[{', '.join(entries)}]"), POWER, False)


def _index_add(page: Page, node: Node) -> Piece:
    x, *indices = node.inputs
    key, shape = node.attributes
    entries = key_entries(key, shape, [page.text(i) for i in indices])
    name = page.style.function("scatter") + page.style.parentheses(page.text(x))
    return Piece(name + page.style.code(f"[{', '.join(entries)}]"), CALL, False)


def _concatenate(page: Page, node: Node) -> Piece:
    (axis,) = node.attributes
    parts = [page.text(i) for i in node.inputs]
    if node.rank == 1 or (node.rank == 2 and axis == 1):
        return Piece(page.style.brackets(", ".join(parts)))
    if node.rank == 2:
        return Piece(page.style.brackets("; ".join(parts)))
    operator = page.style.operator("concatenate", (axis,))
    return Piece(operator + page.style.parentheses(", ".join(parts)), CALL, False)


def _one_hot(page: Page, node: Node) -> Piece:
    (labels,) = node.inputs
    if labels.operation == "arange" and labels.attributes == node.attributes:
        return Piece(page.style.identity)
    return _named_call(page, "onehot", labels)


def _symbol(page: Page, node: Node) -> Piece:
    return page.style.symbol(node.attributes[0].name)


def _number(page: Page, node: Node) -> Piece:
    value = node.attributes[0]
    if node.dtype == "bool":
        return page.style.literal(sp.Integer(int(bool(value))))
    if value.is_negative:
        return replace(_number(page, number(-value)), negative=True)
    if value.is_Rational and not value.is_Integer:
        above, below = (page.style.literal(sp.Integer(v)) for v in (value.p, value.q))
        return page.style.fraction(above, below)
    return page.style.literal(value)


def _array(page: Page, node: Node) -> Piece:
    value = node.attributes[0].value
    shown = ", ".join(f"{v:g}" for v in value.ravel()[:4])
    more = ", …" if value.size > 4 else ""
    return Piece(page.style.brackets(shown + more), ATOM, False)


def _size(page: Page, node: Node) -> Piece:
    return page.style.symbol(dimension_text(node.attributes[0]))


def _arange(page: Page, node: Node) -> Piece:
    inner = page.style.symbol(dimension_text(node.attributes[0])).text
    return Piece(page.style.function("arange") + page.style.parentheses(inner), CALL, False)


LAYOUTS: dict[str, Callable[[Page, Node], Piece]] = {
    "add": _add,
    "subtract": _subtract,
    "negative": _multiply,
    "multiply": _multiply,
    "divide": _multiply,
    "power": _power,
    "sqrt": _sqrt,
    "abs": _abs,
    "exp": _exp,
    "where": _where,
    **dict.fromkeys(_RELATIONS, _relation),
    **dict.fromkeys(["logical_and", "logical_or", "logical_not"], _logical),
    "matmul": _matmul,
    "transpose": _transpose,
    "sum": _sum,
    **dict.fromkeys(_REDUCED - {"sum"}, _reduction),
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "index": _index,
    "index_add": _index_add,
    "concatenate": _concatenate,
    "one_hot": _one_hot,
    "symbol": _symbol,
    "number": _number,
    "array": _array,
    "size": _size,
    "arange": _arange,
}
"""How operations are laid out; every other one is written as a function of its inputs."""
