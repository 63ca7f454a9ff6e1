"""The indices of sums: which values each takes, and those of expressions in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from .bridge import describe_expression, to_graph
from .errors import UnsupportedOperation
from .graph import Node, apply
from .resolve import sizes_of
from .shapes import Size, dimension
from .structural import reshape


@dataclass(frozen=True)
class Entry:
    """One index: all its values, ``low + k`` for ``k < count``, and its own bounds.

    ``lower`` and ``upper`` may hold outer indices; then ``low`` and ``count`` are the smallest
    range that holds all values, and the others are masked.
    """

    symbol: sp.Symbol
    lower: sp.Expr
    upper: sp.Expr
    low: sp.Expr
    high: sp.Expr

    @property
    def count(self) -> sp.Expr:
        """The number of values."""
        return sp.expand(self.high - self.low + 1)

    @property
    def size(self) -> Any:
        """The number of values as a size."""
        return dimension(self.count)

    @property
    def masked(self) -> bool:
        """Whether not all values are taken."""
        return (self.lower, self.upper) != (self.low, self.high)


@dataclass(frozen=True)
class Scope:
    """The indices of the sums around an expression, from the outermost.

    The index at position k has axis ``-(k + 1)``.
    """

    entries: tuple[Entry, ...] = ()
    sizes: dict[sp.Symbol, Size] = field(default_factory=dict)

    @property
    def indices(self) -> set[sp.Symbol]:
        """The symbols of the indices."""
        return {e.symbol for e in self.entries}

    @property
    def known(self) -> set[sp.Symbol]:
        """The indices, and the symbols that name sizes."""
        return self.indices | set(self.sizes) | set(self.sizes.values())

    @property
    def dependent(self) -> bool:
        """Whether the bounds of an index hold another one."""
        return any(e.masked for e in self.entries)

    def position(self, symbol: sp.Symbol) -> int | None:
        """The innermost index of this symbol."""
        for k in range(len(self.entries) - 1, -1, -1):
            if self.entries[k].symbol == symbol:
                return k
        return None

    def uses(self, expression: sp.Basic, k: int) -> bool:
        """Whether an expression depends on the index at a position."""
        symbol = self.entries[k].symbol
        return self.position(symbol) == k and symbol in expression.free_symbols

    def in_sizes(self, expression: sp.Expr) -> sp.Expr:
        """The expression with sizes in place of the symbols that name them."""
        names = {s: d for s, d in self.sizes.items() if s not in self.indices}
        return expression.xreplace(names)

    def symbols_of(self, sizes: Iterable[sp.Symbol]) -> frozenset[sp.Symbol]:
        """The symbols that name sizes."""
        sizes = set(sizes)
        return frozenset(s for s, d in self.sizes.items() if d in sizes)

    def extended(self, owner: Any, symbol: sp.Symbol, lower: Any, upper: Any) -> Scope:
        """With one more index inside."""
        sizes = {
            **self.sizes,
            **sizes_of((lower.free_symbols | upper.free_symbols) - self.indices),
        }
        scope = Scope(self.entries, sizes)
        lower, upper = scope.in_sizes(lower), scope.in_sizes(upper)
        low, high = extent(lower, scope), extent(upper, scope)
        if low is None or high is None:
            raise UnsupportedOperation(
                f"the {type(owner).__name__} {describe_expression(owner)}: the bounds of {symbol} "
                "must be sums and products of sizes, whole numbers and outer indices"
            )
        entry = Entry(symbol, sp.expand(lower), sp.expand(upper), low[0], high[1])
        if entry.count.is_Integer and entry.count < 0:
            raise UnsupportedOperation(
                f"the {type(owner).__name__} {describe_expression(owner)}: the index {symbol} "
                f"runs backwards, from {entry.low} to {entry.high}"
            )
        return Scope((*self.entries, entry), sizes)

    def leaves(self) -> dict[sp.Basic, Node]:
        """The nodes of indices and sizes."""
        result: dict[sp.Basic, Node] = {s: to_graph(d) for s, d in self.sizes.items()}
        for k, entry in enumerate(self.entries):
            node = apply("arange", attributes=(entry.size,))
            if entry.low != 0:
                node = apply("add", node, to_graph(entry.low))
            result[entry.symbol] = reshape(node, (entry.size, *[1] * k))
        return result

    def mask(self, own: Sequence[int], convert: Callable[[Any, Scope], Node]) -> Node | None:
        """Where the indices at some positions lie between their own bounds."""
        conditions = []
        nodes = self.leaves()
        for k in own:
            entry = self.entries[k]
            outer = Scope(self.entries[:k], self.sizes)
            index = reshape(nodes[entry.symbol], (entry.size, *[1] * k))
            if entry.lower != entry.low:
                conditions.append(apply("less_equal", convert(entry.lower, outer), index))
            if entry.upper != entry.high:
                conditions.append(apply("less_equal", index, convert(entry.upper, outer)))
        if not conditions:
            return None
        return conditions[0] if len(conditions) == 1 else apply("logical_and", *conditions)

    def axes_of(self, node: Node) -> tuple[int, ...]:
        """The positions of the indices along which a node is not stretched."""
        return tuple(k for k in range(node.rank) if node.shape[-(k + 1)] != 1)


def polynomial(expression: sp.Expr) -> bool:
    """Whether an expression is made of symbols and whole numbers by ``+ - *``."""
    if expression.is_Integer:
        return True
    symbols = expression.free_symbols
    if not symbols or not expression.is_polynomial(*symbols):
        return False
    if not all(type(s) in (sp.Symbol, sp.Dummy, Size, sp.Idx) for s in symbols):
        return False
    return all(c.is_Integer for c in sp.Poly(expression, *symbols).coeffs())


def extent(expression: sp.Expr, scope: Scope) -> tuple[Any, Any] | None:
    """The least and the largest value over all values of the indices, in sizes.

    None where they are not known: not a polynomial in the indices, or one that is not seen to
    grow or fall with each of them.
    """
    expression = sp.expand(scope.in_sizes(expression))
    if not polynomial(expression):
        return None
    low = high = expression
    for k in range(len(scope.entries) - 1, -1, -1):  # an inner bound may hold outer indices
        entry = scope.entries[k]
        if scope.position(entry.symbol) != k:
            continue
        directions = [_direction(e, entry.symbol, scope) for e in (low, high)]
        if None in directions:
            return None
        ends = {
            1: (entry.lower, entry.upper),
            -1: (entry.upper, entry.lower),
            0: (sp.S.Zero, sp.S.Zero),
        }
        low = sp.expand(low.xreplace({entry.symbol: ends[directions[0] or 0][0]}))
        high = sp.expand(high.xreplace({entry.symbol: ends[directions[1] or 0][1]}))
    return low, high


def _direction(expression: sp.Expr, symbol: sp.Symbol, scope: Scope) -> int | None:
    """1 where an expression grows with an index, -1 where it falls, 0 without it, else None."""
    if symbol not in expression.free_symbols:
        return 0
    signs = set()
    polynomial_ = sp.Poly(expression, symbol)
    entry = next(e for e in reversed(scope.entries) if e.symbol == symbol)
    for (power,), coefficient in polynomial_.terms():
        if power == 0:
            continue
        if power > 1 and not _nonnegative(entry.low):
            return None
        sign = _sign(coefficient, scope)
        if sign is None:
            return None
        signs.add(sign)
    return signs.pop() if len(signs) == 1 else None


def _sign(coefficient: sp.Expr, scope: Scope) -> int | None:
    nonnegative = {e.symbol for e in scope.entries if _nonnegative(e.low)}
    for sign in (1, -1):
        stand_in = {s: sp.Dummy(nonnegative=True) for s in nonnegative}
        if _nonnegative((sign * coefficient).xreplace(stand_in)):
            return sign
    return None


def _nonnegative(expression: sp.Expr) -> bool:
    return bool(sp.expand(expression).is_nonnegative)
