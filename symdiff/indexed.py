"""``Sum`` and ``Product`` over ``Indexed`` and over elements of matrix symbols, as graphs.

An ``IndexedBase`` stands for a tensor symbol, ``x[i]`` for its element i, counted from 0 as in
NumPy. Every index of a sum becomes an axis: the body is broadcast over the axes of all indices
that it depends on, and summed over its own. The outermost index has the last axis, so that what
depends on few indices needs no new axes. A body that is a product is contracted by matrix
products, and ``x[i]`` where i runs over a whole axis is ``x`` itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.sympify import _sympify as strictly  # never runs text
from sympy.matrices.expressions.matexpr import MatrixElement

from .bridge import FROM_SYMPY, PARTS, describe_expression, to_graph
from .contraction import contract
from .errors import InvalidType, ShapeError, UnsupportedOperation
from .expressions import TensorSymbol
from .graph import Node, apply, number
from .ranges import Scope, extent, polynomial
from .resolve import bound_symbols, named_sizes, own_size, sizes_of
from .shapes import Shape, shape_of
from .structural import broadcast_to, reduce_sum, reshape, size_node, transpose

MAX_TERMS = 1_000
"""Longest ``Sum`` or ``Product`` without elements that is written out term by term."""


class SizedSymbol(TensorSymbol):
    """A tensor symbol made from SymPy's own symbols; some of these name its sizes."""

    __slots__ = ("size_symbols",)

    kind = ""
    size_symbols: frozenset[sp.Symbol]

    def __new__(
        cls, name: str, shape: Shape, dtype: str = "real", size_symbols: Any = ()
    ) -> SizedSymbol:
        """Make the symbol; ``size_symbols`` are the symbols that stand in its shape."""
        obj = super().__new__(cls, name, shape, dtype)
        obj.size_symbols = frozenset(size_symbols)
        return obj

    def __eq__(self, other: object) -> bool:
        return self is other or (
            type(self) is type(other)
            and self._hashable_content() == other._hashable_content()
            and self._shape == other._shape
        )

    __hash__ = TensorSymbol.__hash__

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.kind, *super()._hashable_content(), self.size_symbols)

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.name, self._shape, self.dtype, self.size_symbols), {}


class IndexedTensor(SizedSymbol):
    """The tensor symbol of an ``IndexedBase``, with the shape that its use needs."""

    __slots__ = ("base",)

    kind = "IndexedBase"
    base: sp.IndexedBase

    def __new__(cls, base: sp.IndexedBase, shape: Shape, size_symbols: Any = ()) -> IndexedTensor:
        """Make the symbol; a base with ``integer=True`` holds ints."""
        dtype = "int" if base.label.is_integer else "real"
        obj = super().__new__(cls, str(base.label), shape, dtype, size_symbols)
        obj.base = base
        return obj

    def with_shape(self, shape: Shape, size_symbols: Any) -> IndexedTensor:
        """The symbol of the same base with another shape."""
        return IndexedTensor(self.base, shape, size_symbols)

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.base, *super()._hashable_content())

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.base, self._shape, self.size_symbols), {}


class TensorInBody(UnsupportedOperation):
    """The body of a sum is no number, so that it has no element for each index."""


def declared_tensor(base: sp.IndexedBase) -> IndexedTensor | None:
    """The tensor symbol of a base that has a shape, else None."""
    if base.shape is None:
        return None
    symbols = frozenset().union(*(strictly(d).free_symbols for d in base.shape))
    sizes = sizes_of(symbols)
    return IndexedTensor(base, shape_of(strictly(d).xreplace(sizes) for d in base.shape), symbols)


def refuse(expression: Any, reason: str) -> UnsupportedOperation:
    """The error for an expression that has no form in tensors."""
    name = type(expression).__name__
    return UnsupportedOperation(f"the {name} {describe_expression(expression)}: {reason}")


# --- elements ------------------------------------------------------------------------------


def _element(expression: Any, scope: Scope) -> Node:
    """``x[i, j]`` as slices where each index runs over one axis, else as a gather."""
    scope = Scope(scope.entries, {**scope.sizes, **sizes_of(_declared(expression))})
    extents = [_extent(expression, e, scope) for e in expression.indices]
    if isinstance(expression, MatrixElement):
        whole = to_graph(expression.parent)
    else:
        whole = to_graph(_tensor(expression, extents, scope))
    if whole.rank != len(extents):
        raise ShapeError(
            f"{describe_expression(expression)} has {len(extents)} indices, "
            f"{expression.base} has {whole.rank} axes"
        )
    for axis, (found, size) in enumerate(zip(extents, whole.shape, strict=True)):
        if found is not None and sp.expand(found[1] - size).is_nonnegative:
            raise refuse(
                expression, f"index {axis} goes up to {found[1]}, but there are {size} elements"
            )
    return _sliced(expression, whole, scope) or _gathered(expression, whole, scope)


def _declared(expression: Any) -> set[sp.Symbol]:
    """The symbols in the declared shape of what an element is taken of."""
    of = expression.parent if isinstance(expression, MatrixElement) else expression.base
    shape = getattr(of, "shape", None) or ()
    return set().union(*(strictly(d).free_symbols for d in shape))


def _extent(expression: Any, index: sp.Expr, scope: Scope) -> tuple[Any, Any] | None:
    """The least and the largest value of an index, or None where only the data tell."""
    if index.has(sp.Indexed):
        return None
    unknown = sorted(str(s) for s in index.free_symbols if s not in scope.known)
    if unknown:
        raise refuse(
            expression,
            f"no Sum or Product says which values the index {', '.join(unknown)} takes",
        )
    result = extent(index, scope)
    if result is None:
        raise refuse(
            expression,
            f"the values of the index {index} must be whole numbers whose least and largest are "
            "known: sums and products of indices and sizes",
        )
    if result[0].is_negative:
        raise refuse(
            expression, f"the index {index} goes down to {result[0]}, below the first element, 0"
        )
    return result


def _tensor(expression: sp.Indexed, extents: Sequence[Any], scope: Scope) -> IndexedTensor:
    base = expression.base
    if base.strides is not None or base.offset != 0:
        raise refuse(expression, "strides and an offset describe memory; slice the array instead")
    if not isinstance(base, sp.IndexedBase) or isinstance(base.label, sp.MatrixSymbol):
        raise refuse(expression, "its base must be an IndexedBase")
    tensor = declared_tensor(base)
    if tensor is not None:
        return tensor
    sizes = [
        own_size(str(base.label), axis) if found is None else sp.expand(found[1] + 1)
        for axis, found in enumerate(extents)
    ]
    named = {s for d in sizes for s in strictly(d).free_symbols}
    return IndexedTensor(base, shape_of(sizes), scope.symbols_of(named))


def _sliced(expression: Any, whole: Node, scope: Scope) -> Node | None:
    """Slices and single elements, if every index of the scope stands in at most one axis."""
    key: list[tuple[Any, ...]] = []
    order: list[int] = []
    for index in expression.indices:
        index = scope.in_sizes(index)
        used = [k for k, e in enumerate(scope.entries) if scope.uses(index, k)]
        if not used:
            if index.has(sp.Indexed):
                return None
            key.append(("int", _plain(index)))
            continue
        if len(used) > 1 or used[0] in order:
            return None
        (position,) = used
        entry = scope.entries[position]
        step = sp.expand(index).coeff(entry.symbol, 1)
        start = sp.expand(index - step * entry.symbol)
        if not step.is_Integer or start.has(entry.symbol) or step == 0:
            return None
        first = sp.expand(start + step * entry.low)
        key.append(("slice", _plain(first), _plain(entry.count), int(step)))
        order.append(position)
    kept = [d for d, entry in zip(whole.shape, key, strict=True) if entry == ("slice", 0, d, 1)]
    part = whole if len(kept) == whole.rank else apply("index", whole, attributes=(tuple(key),))
    permutation = sorted(range(len(order)), key=lambda a: -order[a])
    return _aligned(transpose(part, permutation), sorted(order, reverse=True))


def _aligned(node: Node, positions: Sequence[int]) -> Node:
    """Put each axis where its index has it, with axes of size 1 between."""
    if not positions:
        return node
    sizes = dict(zip(positions, node.shape, strict=True))
    return reshape(node, tuple(sizes.get(k, 1) for k in range(positions[0], -1, -1)))


def _plain(size: Any) -> Any:
    return int(size) if strictly(size).is_Integer else size


def _gathered(expression: Any, whole: Node, scope: Scope) -> Node:
    key: list[tuple[Any, ...]] = []
    operands: list[Node] = []
    for axis, index in enumerate(expression.indices):
        index = scope.in_sizes(index)
        if not index.has(sp.Indexed) and not any(
            scope.uses(index, k) for k in range(len(scope.entries))
        ):
            key.append(("int", _plain(index)))
            continue
        node = _index_values(expression, index, scope)
        if scope.dependent:  # elements outside the range of a dependent index are masked later
            last = apply("subtract", size_node(whole.shape[axis]), number(1))
            node = apply("maximum", apply("minimum", node, last), number(0))
        key.append(("tensor", len(operands)))
        operands.append(node)
    return apply("index", whole, *operands, attributes=(tuple(key),))


def _index_values(expression: Any, index: sp.Expr, scope: Scope) -> Node:
    """The int tensor of an index; powers as products, since powers of ints are reals."""
    if isinstance(index, sp.Pow) and index.exp.is_Integer and index.exp > 0:
        base = _index_values(expression, index.base, scope)
        result = base
        for _ in range(int(index.exp) - 1):
            result = apply("multiply", result, base)
        return result
    if isinstance(index, (sp.Add, sp.Mul)):
        nodes = [_index_values(expression, a, scope) for a in index.args]
        operation = "add" if isinstance(index, sp.Add) else "multiply"
        result = nodes[0]
        for node in nodes[1:]:
            result = apply(operation, result, node)
        return result
    result = convert(index, scope)
    if result.dtype == "real":
        raise refuse(
            expression,
            f"the index {index} is not of dtype int; an IndexedBase of ints is declared with "
            "IndexedBase(name, integer=True)",
        )
    return result


# --- sums and products ---------------------------------------------------------------------


def convert(expression: sp.Expr, scope: Scope) -> Node:
    """The graph of an expression in the indices of a scope."""
    known: dict[sp.Basic, Node] = scope.leaves()
    for part in _parts_with_indices(expression, scope):
        if isinstance(part, ExprWithLimits):
            known[part] = _reduced(part, scope)
        else:
            known[part] = _element(part, scope)
    return to_graph(expression, known)


def _parts_with_indices(expression: sp.Basic, scope: Scope) -> list[sp.Basic]:
    """The outermost elements, sums and products; refuses tensors among them."""
    found: list[sp.Basic] = []
    stack: list[sp.Basic] = [expression]
    seen: set[sp.Basic] = set()
    while stack:
        part = stack.pop()
        if part in seen:
            continue
        seen.add(part)
        if isinstance(part, (sp.Indexed, MatrixElement, sp.Sum, sp.Product)):
            found.append(part)
            continue
        opaque = any(isinstance(a, (sp.MatrixExpr, sp.MatrixBase)) for a in part.args)
        node = getattr(part, "_node", None)
        if isinstance(part, (sp.MatrixExpr, sp.MatrixBase)) or (node is not None and node.shape):
            raise TensorInBody(
                f"the tensor {describe_expression(part)} in the body of a Sum or Product: take it "
                "out of the sum, or write sd.sum"
            )
        if opaque or node is not None:
            if scope.indices & part.free_symbols:
                raise TensorInBody(
                    f"{describe_expression(part)}, a function of tensors, holds the index of a "
                    "Sum or Product: give the sum numbers as bounds, or write sd.sum"
                )
            continue
        stack.extend(part.args)
    return found


def _reduced(expression: Any, scope: Scope) -> Node:
    """A Sum or Product in a scope: one axis for each of its indices."""
    plain = {q: sp.Dummy(q.name) for q in expression.variables if isinstance(q, sp.Idx)}
    expression = expression.xreplace(plain)
    bounds = [_bounds(expression, limit) for limit in expression.limits]
    terms = _terms(expression, bounds)
    if terms is not None and not _elements(expression):
        return _written_out(expression, terms, scope)
    inner = scope
    for index, low, high in reversed(bounds):
        inner = inner.extended(expression, index, low, high)
    try:
        return _over_axes(expression, scope, inner)
    except TensorInBody:
        if terms is None:
            raise
        return _written_out(expression, terms, scope)


def _bounds(expression: Any, limit: sp.Tuple) -> tuple[sp.Symbol, sp.Expr, sp.Expr]:
    if len(limit) != 3:
        raise refuse(expression, f"the index {limit[0]} needs a lower and an upper bound")
    index, low, high = limit
    for bound in (low, high):
        if bound.is_infinite:
            raise refuse(expression, "its bounds must be finite")
        if not polynomial(bound):
            raise refuse(
                expression,
                f"the bound {bound} must be a whole number, or made of sizes and whole numbers by "
                "+ - *",
            )
    return index, sp.expand(low), sp.expand(high)


def _elements(expression: Any) -> bool:
    return bool(expression.function.has(sp.Indexed, MatrixElement))


def _terms(expression: Any, bounds: Sequence[Any]) -> list[Any] | None:
    """The terms for all values of the indices; None where a bound is symbolic or many."""
    values: list[dict[Any, Any]] = [{}]
    for index, low, high in reversed(bounds):
        extended = []
        for value in values:
            first, last = low.xreplace(value), high.xreplace(value)
            if not (first.is_Integer and last.is_Integer):
                return None
            if last < first - 1:
                raise refuse(expression, f"the index {index} runs backwards, {first} to {last}")
            if last - first >= MAX_TERMS:
                return None
            extended += [{**value, index: sp.Integer(k)} for k in range(first, last + 1)]
        if len(extended) > MAX_TERMS:
            return None
        values = extended
    return [(expression.function, value) for value in values]


def _written_out(expression: Any, terms: Sequence[Any], scope: Scope) -> Node:
    nodes = [convert(body.subs(value), scope) for body, value in terms]
    if isinstance(expression, sp.Sum):
        return FROM_SYMPY[sp.Add](expression, *nodes) if nodes else number(0)
    result = number(1)
    for node in nodes:
        result = node if result.is_number(1) else apply("multiply", result, node)
    return result


def _over_axes(expression: Any, scope: Scope, inner: Scope) -> Node:
    own = range(len(scope.entries), len(inner.entries))
    mask = inner.mask(own, convert)
    if isinstance(expression, sp.Sum) and mask is None:
        factors = sp.Mul.make_args(expression.function)
        nodes = [(f, convert(f, inner)) for f in factors]
        parts = [(inner.axes_of(n), n) for _, n in nodes]
        return contract(parts, own, [e.size for e in inner.entries])
    body = convert(expression.function, inner)
    if mask is not None:
        body = apply("where", mask, body, number(0 if isinstance(expression, sp.Sum) else 1))
    depth = len(inner.entries)
    shape = (1,) * (depth - body.rank) + body.shape
    full = tuple(
        inner.entries[depth - 1 - a].size if depth - 1 - a in own else d
        for a, d in enumerate(shape)
    )
    body = broadcast_to(body, full)
    axes = tuple(range(len(own)))
    if isinstance(expression, sp.Sum):
        result = reduce_sum(body, axes)
    else:
        result = apply("prod", body, attributes=(axes, False))
    return _trimmed(result)


def _trimmed(node: Node) -> Node:
    """Without leading axes of size 1: what depends on no index is a scalar."""
    shape = node.shape
    while shape and shape[0] == 1:
        shape = shape[1:]
    return reshape(node, shape)


# --- where they stand alone ----------------------------------------------------------------


def _alone(expression: Any) -> Node:
    return named_sizes(_reduced(expression, Scope()), bound_symbols([expression]))


def _none(expression: Any) -> tuple[Any, ...]:
    return ()


def _base(expression: sp.IndexedBase) -> Node:
    tensor = declared_tensor(expression)
    if tensor is None:
        raise InvalidType(
            f"the base {expression} stands alone and has no shape: declare it, as in "
            f"IndexedBase({str(expression)!r}, shape=(n,)), or use it with indices in a Sum"
        )
    return to_graph(tensor)


FROM_SYMPY |= {
    sp.Sum: _alone,
    sp.Product: _alone,
    sp.Indexed: lambda e: _element(e, Scope()),
    sp.IndexedBase: _base,
    MatrixElement: lambda e: _element(e, Scope()),
}

PARTS |= {
    sp.Sum: _none,
    sp.Product: _none,
    sp.Indexed: _none,
    sp.IndexedBase: _none,
    MatrixElement: _none,
}


def tensor_of(base: sp.IndexedBase, symbols: Iterable[Any]) -> Any:
    """The tensor symbol of a base among symbols, or by its declared shape; else None."""
    for symbol in symbols:
        if isinstance(symbol, IndexedTensor) and symbol.base == base:
            return symbol
    return declared_tensor(base)
