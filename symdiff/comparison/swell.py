"""How large SymPy's derivative of an expression is, without building it.

``diff`` writes a part of the loss wherever a product or a function needs it, and each of these
copies holds its own parts again. Here every part of the loss is differentiated once, by SymPy,
with names in place of what it is made of; a name weighs what stands behind it.
"""

from __future__ import annotations

from typing import Any

import sympy as sp

from ..bridge import to_graph
from ..graph import Node
from .counting import tree_operations

__all__ = ["Swell"]


_SMALL = 3
"""Operations up to which a sum is no more than its name."""


class Swell:
    """The operations of the derivatives of one scalar expression.

    Parameters
    ----------
    expression : sympy.Expr

    Examples
    --------
    >>> import sympy as sp
    >>> from symdiff.comparison.swell import Swell
    >>> x = e = sp.Symbol("x")
    >>> for _ in range(6):
    ...     e = 4 * e * (1 - e)
    >>> Swell(e).operations(x), sp.count_ops(e.diff(x))
    (2096, 2096)
    """

    def __init__(self, expression: sp.Expr) -> None:
        self._parts = _postorder(expression)
        self._root = expression
        self._weights: dict[Node, int] = {}
        self._names: dict[int, Any] = {}
        self._local: dict[int, Any] = {}
        real = any(isinstance(p, (sp.Abs, sp.sign)) for p in self._parts)
        self._assumptions = {"real": True} if real else {}
        for part in self._parts:
            shown = (self._shown(part, a) for a in part.args)
            local = part.func(*shown) if part.args else part
            self._local[id(part)] = local
            # a condition or a pair of a Piecewise has no derivative: it stays as it is
            if part.args and isinstance(local, sp.Expr):
                self._names[id(part)] = self._name(local)

    @property
    def parts(self) -> int:
        """The different parts of the expression."""
        return len(self._parts)

    def operations(self, symbol: sp.Symbol) -> int:
        """The operations of ``expression.diff(symbol)``, written out as a tree."""
        derivatives: dict[Any, Any] = {symbol: sp.S.One}
        total = derivatives.get(self._root, sp.S.Zero)
        for part in self._parts:
            name, local = self._names.get(id(part)), self._local[id(part)]
            if name is None:
                continue
            read = sorted(local.free_symbols & set(derivatives), key=str)
            total = sp.Add(*(local.diff(other) * derivatives[other] for other in read))
            if total != 0:
                large = isinstance(total, sp.Add) and self._weight(total) > _SMALL
                derivatives[name] = self._name(total) if large else total
        return self._weight(total)

    def _shown(self, parent: Any, part: Any) -> Any:
        """A part as its parent shows it: SymPy collects numbers and equal terms where it sees them.

        It sees the factors of a product that is a term, and short sums.
        """
        local = self._local[id(part)]
        seen = isinstance(parent, sp.Add) and isinstance(part, sp.Mul)
        short = isinstance(part, sp.Add) and self._weight(local) <= _SMALL
        return local if seen or short else self._names.get(id(part), local)

    def _name(self, expression: sp.Expr) -> sp.Dummy:
        name = sp.Dummy(**self._assumptions)
        self._weights[to_graph(name)] = self._weight(expression)
        return name

    def _weight(self, expression: sp.Expr) -> int:
        return tree_operations(to_graph(expression), self._weights)


def _postorder(expression: sp.Basic) -> list[Any]:
    """All parts, each object once, after its own parts: comparing parts would walk trees."""
    order: list[Any] = []
    done: set[int] = set()
    stack: list[tuple[Any, bool]] = [(expression, False)]
    while stack:
        part, ready = stack.pop()
        if id(part) in done:
            continue
        if ready:
            done.add(id(part))
            order.append(part)
        else:
            stack.append((part, True))
            stack.extend((a, False) for a in part.args)
    return order
