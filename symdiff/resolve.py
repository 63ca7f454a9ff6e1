"""Names that only the whole graph can resolve: sizes of indexed bases, and size symbols.

SymPy's ``IndexedBase`` often has no shape, and each place where it is used tells only what that
place needs: ``x[0]`` one element, ``Sum(x[i], (i, 0, n - 1))`` n of them. Each place is a symbol
of its own in the graph at first; here they become one, of the largest shape, and slices of it.

A symbol such as ``n`` that names a size of a matrix symbol or the bound of a sum, and stands
elsewhere as a number, is that size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sympy as sp

from .errors import ShapeError
from .graph import Node, apply, leaves, rebuild, substitute
from .shapes import Shape, Size, text


def own_size(name: str, axis: int) -> Size:
    """The size of an axis of which nothing is known: any other size replaces it."""
    return Size(f"size {axis} of {name}")


def sizes_of(symbols: Iterable[sp.Symbol]) -> dict[sp.Symbol, Size]:
    """The size that each symbol names."""
    return {s: s if isinstance(s, Size) else Size(s.name) for s in symbols}


def resolve(roots: Sequence[Node], context: Iterable[Node] = ()) -> list[Node]:
    """One symbol for each indexed base, and sizes where their symbols stand as numbers.

    ``context`` are symbol nodes of other graphs with the same data.
    """
    found = leaves(roots)
    parts, wholes = _merged(found, context)
    mapping = {**parts, **_named(found, context)}
    if not mapping:
        return list(roots)

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node in mapping:
            return mapping[node]
        if inputs == node.inputs:
            return node
        if node.operation == "index" and node.inputs[0] in wholes:  # not a slice of a slice
            inputs = (wholes[node.inputs[0]], *inputs[1:])
        return apply(node.operation, *inputs, attributes=node.attributes)

    return rebuild(roots, transform)


def named_sizes(node: Node, symbols: Iterable[sp.Symbol]) -> Node:
    """The graph in which these symbols are sizes."""
    names = {s for s in symbols if not isinstance(s, Size)}
    mapping = {
        leaf: apply("size", attributes=(Size(leaf.attributes[0].name),))
        for leaf in leaves([node])
        if leaf.attributes[0] in names
    }
    return substitute([node], mapping)[0] if mapping else node


def bound_symbols(expressions: Iterable[sp.Basic]) -> set[sp.Symbol]:
    """The symbols that name sizes, being bounds of sums."""
    found: set[sp.Symbol] = set()
    stack = list(expressions)
    seen: set[sp.Basic] = set()
    while stack:
        part = stack.pop()
        if part in seen:
            continue
        seen.add(part)
        stack.extend(part.args)
        if isinstance(part, (sp.Sum, sp.Product)):
            indices = {limit[0] for limit in part.limits}
            for limit in part.limits:
                found |= {s for b in limit[1:] for s in b.free_symbols} - indices
    return found


def _named(found: Sequence[Node], context: Iterable[Node]) -> dict[Node, Node]:
    names: set[sp.Symbol] = set()
    for node in (*found, *context):
        names |= getattr(node.attributes[0], "size_symbols", frozenset())
    if not names:
        return {}
    return {
        node: apply("size", attributes=(Size(node.attributes[0].name),))
        for node in found
        if node.attributes[0] in names
    }


Mapping = dict[Node, Node]


def _merged(found: Sequence[Node], context: Iterable[Node]) -> tuple[Mapping, Mapping]:
    """For each symbol of a base its part of the whole, and the whole."""
    groups: dict[Any, list[Node]] = {}
    for node in (*found, *context):
        base = getattr(node.attributes[0], "base", None)
        if base is not None:
            groups.setdefault(base, []).append(node)
    parts: Mapping = {}
    wholes: Mapping = {}
    for nodes in groups.values():
        if len(set(nodes)) > 1:
            leaf = _one_symbol(nodes)
            for node in nodes:
                if node is not leaf:
                    parts[node] = _part(leaf, node.shape, node.attributes[0])
                    wholes[node] = leaf
    return parts, wholes


def _one_symbol(nodes: Sequence[Node]) -> Node:
    symbol = nodes[0].attributes[0]
    ranks = sorted({n.rank for n in nodes})
    if len(ranks) > 1:
        raise ShapeError(
            f"{symbol} is used with {ranks[0]} and with {ranks[-1]} indices; an indexed base has "
            "the same number everywhere"
        )
    shape = tuple(
        _largest([n.shape[axis] for n in nodes], symbol, axis) for axis in range(ranks[0])
    )
    whole = symbol.with_shape(
        shape, frozenset().union(*(n.attributes[0].size_symbols for n in nodes))
    )
    return apply("symbol", attributes=(whole, shape, nodes[0].dtype))


def _largest(sizes: Sequence[Any], symbol: Any, axis: int) -> Any:
    """The size that holds all others; a symbolic one before numbers, which are checked later."""
    distinct = [s for s in dict.fromkeys(sizes) if s != own_size(symbol.name, axis)]
    symbolic = [s for s in distinct if not isinstance(s, int)]
    if not distinct:
        return sizes[0]
    if not symbolic:
        return max(distinct)
    largest = symbolic[0]
    for size in symbolic[1:]:
        difference = sp.expand(size - largest)
        if not difference.is_Integer:
            raise ShapeError(
                f"axis {axis} of {symbol} runs over {text((largest,))} and over {text((size,))} "
                f"elements: declare its shape, as in IndexedBase({str(symbol)!r}, shape=...)"
            )
        largest = size if difference > 0 else largest
    return largest


def _part(whole: Node, shape: Shape, symbol: Any) -> Node:
    key = tuple(
        ("slice", 0, full if size == own_size(symbol.name, axis) else size, 1)
        for axis, (size, full) in enumerate(zip(shape, whole.shape, strict=True))
    )
    if all(entry[2] == full for entry, full in zip(key, whole.shape, strict=True)):
        return whole
    return apply("index", whole, attributes=(key,))
