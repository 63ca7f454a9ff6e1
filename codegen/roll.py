"""Long sums of terms that differ in their parameters only become sums over an axis.

``a0*exp(-b0*x) + a1*exp(-b1*x) + …`` is the sum of ``a*exp(-b*x)`` along the axis of two vectors,
whose elements lie side by side in the flat array of parameters. A thousand terms are then one
loop, and neither the derivative nor the kernel grows with their number. Terms may also differ in
literal numbers, which become a constant array.

A parameter goes into a vector only if all that reads it does: what remains would pick single
elements out of the vector, and add single elements to its gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symdiff.bridge import to_graph
from symdiff.graph import Node, apply, consumers, leaves, substitute, walk
from symdiff.language import constant
from symdiff.structural import reduce_sum, reshape
from symdiff.update_rule import UpdateSymbol

LEAST = 17
"""The fewest terms that become an axis: shorter axes are unrolled."""

LEAVES = 16
"""The most parameters and numbers in one term."""

_SUMS = ("add", "subtract", "negative")
_COMMUTE = ("add", "multiply")

Vector = tuple[int, int]
"""The place of the first element in the flat array, and the number of elements."""


Vectors = dict[Node, tuple[Node, ...]]
"""New symbols, and the parameters that are the elements of each."""


@dataclass(frozen=True)
class _Pattern:
    """What a node is but for its parameters and numbers, and these in order."""

    key: int
    leaves: tuple[Node, ...] = ()


@dataclass(frozen=True)
class _Run:
    """Terms of one sum whose parameters lie side by side."""

    total: Node
    negative: bool
    terms: tuple[Node, ...]
    vectors: frozenset[Vector]


def roll(roots: Sequence[Node], slots: Mapping[Node, int]) -> tuple[list[Node], Vectors]:
    """Roots in which long sums run over an axis.

    Parameters
    ----------
    roots : list of Node
    slots : dict
        The parameters without axes, and where they lie in a flat array.

    Returns
    -------
    roots : list of Node
    vectors : dict
        For each new symbol the parameters that are its elements, which have slots one after the
        other.
    """
    if len(slots) < LEAST:
        return list(roots), {}
    return _Roller(roots, slots).result()


def rolled_parameters(
    parameters: Sequence[Node], slots: Sequence[int], vectors: Vectors
) -> tuple[list[Node], list[int]]:
    """Parameters and their slots, in their order, vectors in place of their elements."""
    place = dict(zip(parameters, slots, strict=False))
    gone = {p for elements in vectors.values() for p in elements}
    new = {v: place[elements[0]] for v, elements in vectors.items()}
    first = {elements[0]: v for v, elements in vectors.items()}
    order = [first.get(p, p) for p in parameters if p in first or p not in gone]
    return order, [new[p] if p in new else place[p] for p in order]


def side_by_side(roots: Sequence[Node], parameters: Sequence[Node]) -> list[Node]:
    """Parameters in an order in which those of long sums lie as :func:`roll` needs them."""
    slots = {n: k for k, n in enumerate(parameters) if not n.shape}
    placed: dict[Node, None] = {}
    if len(slots) >= LEAST:
        for columns in _Roller(roots, slots).columns():
            chosen = [n for column in columns for n in column]
            if len(set(chosen)) == len(chosen) and not any(n in placed for n in chosen):
                placed.update(dict.fromkeys(chosen))
    return [*placed, *(n for n in parameters if n not in placed)]


class _Roller:
    def __init__(self, roots: Sequence[Node], slots: Mapping[Node, int]) -> None:
        self.roots = list(roots)
        self.slots = slots
        self.at = {slot: node for node, slot in slots.items()}
        self.readers = consumers(roots)
        self._keys: dict[object, int] = {}
        self._patterns: dict[Node, _Pattern] = {}
        for node in walk(roots):
            self._patterns[node] = self._pattern(node)

    def result(self) -> tuple[list[Node], Vectors]:
        runs = list(self._runs())
        while runs:
            roots = self._rolled(runs)
            left = {self.slots[n] for n in leaves(roots) if n in self.slots}
            found = {v for run in runs for v in run.vectors}
            wrong = {v for v in found if not left.isdisjoint(_places(v))}
            wrong |= {v for v in found for u in found if u != v and _meet(u, v)}
            if not wrong:
                return roots, {
                    self._vector(v): tuple(self.at[k] for k in _places(v)) for v in found
                }
            runs = [run for run in runs if run.vectors.isdisjoint(wrong)]
        return self.roots, {}

    # --- finding runs --------------------------------------------------------------------

    def _key(self, value: object) -> int:
        return self._keys.setdefault(value, len(self._keys))

    def _pattern(self, node: Node) -> _Pattern:
        if node in self.slots:
            return _Pattern(self._key("parameter"), (node,))
        if node.operation == "number" and node.dtype != "bool":
            return _Pattern(self._key("number"), (node,))
        own = _Pattern(self._key(node))
        if node.row.kind != "elementwise":
            return own
        parts = [self._patterns[i] for i in self._ordered(node)]
        if node.operation == "power" and node.inputs[1].operation == "number":
            parts[1] = _Pattern(self._key(node.inputs[1]))  # small powers are products
        found = tuple(leaf for part in parts for leaf in part.leaves)
        if not 0 < len(found) <= LEAVES:
            return own
        return _Pattern(
            self._key((node.operation, node.attributes, *(p.key for p in parts))), found
        )

    def _ordered(self, node: Node) -> Sequence[Node]:
        """The inputs of a node, those of a sum or product in an order that terms agree in."""
        if node.operation not in _COMMUTE:
            return node.inputs
        return sorted(node.inputs, key=lambda i: (self._patterns[i].key, self._first(i)))

    def _first(self, node: Node) -> int:
        return min((self.slots.get(n, -1) for n in self._patterns[node].leaves), default=-1)

    def columns(self) -> Iterator[list[list[Node]]]:
        """For each long sum the parameters at each place of its terms, ordered by the first."""
        for _, _, family in self._families():
            columns = [list(dict.fromkeys(c)) for c in self._varying(family)]
            if columns and all(len(c) == len(family) for c in columns):
                order = sorted(range(len(family)), key=lambda k: self.slots[columns[0][k]])
                yield [[c[k] for k in order] for c in {tuple(c): c for c in columns}.values()]

    def _runs(self) -> Iterator[_Run]:
        for total, negative, family in self._families():
            yield from self._runs_of(total, negative, family)

    def _families(self) -> Iterator[tuple[Node, bool, list[Node]]]:
        """Terms that are alike: the sum that they stand in, their sign, and they."""
        for total, terms in self._sums().items():
            families: dict[tuple[bool, int], list[Node]] = {}
            for negative, term in terms:
                pattern = self._patterns[term]
                if any(leaf in self.slots for leaf in pattern.leaves):
                    families.setdefault((negative, pattern.key), []).append(term)
            for (negative, _), family in families.items():
                if len(family) >= LEAST:
                    yield total, negative, family

    def _sums(self) -> dict[Node, list[tuple[bool, Node]]]:
        """The terms of every sum, with their signs, and not those of sums inside it."""
        found: dict[Node, list[tuple[bool, Node]]] = {}
        inside: set[Node] = set()
        for node in reversed(walk(self.roots)):
            if node.operation not in _SUMS or node in inside:
                continue
            terms = []
            stack = [(False, node)]
            while stack:
                negative, part = stack.pop()
                alone = part is node or self.readers[part] == [node] or part in inside
                if part.operation not in _SUMS or not alone:
                    terms.append((negative, part))
                    continue
                for position, term in enumerate(part.inputs):
                    minus = part.operation == "negative" or (
                        part.operation == "subtract" and position == 1
                    )
                    if term.operation in _SUMS and len(self.readers[term]) == 1:
                        inside.add(term)
                    stack.append((negative != minus, term))
            if len(terms) >= LEAST:
                found[node] = terms[::-1]
        return found

    def _runs_of(self, total: Node, negative: bool, family: list[Node]) -> Iterator[_Run]:
        varying = [[self.slots[n] for n in column] for column in self._varying(family)]
        if not varying:
            return
        places = sorted(zip(zip(*varying, strict=True), range(len(family)), strict=True))
        start = 0
        for end in range(1, len(places) + 1):
            if end < len(places) and all(
                b == a + 1 for a, b in zip(places[end - 1][0], places[end][0], strict=True)
            ):
                continue
            if end - start >= LEAST:
                vectors = frozenset((first, end - start) for first in places[start][0])
                terms = tuple(family[position] for _, position in places[start:end])
                yield _Run(total, negative, terms, vectors)
            start = end

    def _varying(self, family: list[Node]) -> list[tuple[Node, ...]]:
        """The parameters at each place that is not the same in all terms; none if they differ."""
        found = []
        for column in zip(*(self._patterns[t].leaves for t in family), strict=True):
            if len(set(column)) == 1 or all(n.operation == "number" for n in column):
                continue
            if not all(n in self.slots for n in column):
                return []
            found.append(column)
        return found

    # --- writing them --------------------------------------------------------------------

    def _rolled(self, runs: Sequence[_Run]) -> list[Node]:
        sums = self._sums()
        replaced: dict[Node, Node] = {}
        for total in dict.fromkeys(run.total for run in runs):
            own = [run for run in runs if run.total is total]
            done = {term for run in own for term in run.terms}
            result: Node | None = None
            for run in own:
                axis = len(run.terms[0].shape)
                part = reduce_sum(self._together(run.terms), (axis,))
                result = _plus(result, part, run.negative)
            for negative, term in sums[total]:
                if term not in done:
                    result = _plus(result, term, negative)
            assert result is not None
            replaced[total] = result
        roots = self.roots
        while any(n in replaced for n in walk(roots)):  # a sum may stand in a term of another
            roots = substitute(roots, replaced)
        return roots

    def _together(self, terms: Sequence[Node]) -> Node:
        """Terms as one, along a new last axis."""
        first = terms[0]
        if all(t is first for t in terms):
            return reshape(first, (*first.shape, 1)) if first.shape else first
        if first in self.slots:
            return self._vector((self.slots[first], len(terms)))
        if first.operation == "number":
            return to_graph(constant(np.array([float(t.attributes[0]) for t in terms])))
        columns = zip(*map(self._ordered, terms), strict=True)
        inputs = [self._together(column) for column in columns]
        return apply(first.operation, *inputs, attributes=first.attributes)

    def _vector(self, vector: Vector) -> Node:
        start, count = vector
        names = [str(self.at[slot].attributes[0]) for slot in (start, start + count - 1)]
        symbol = UpdateSymbol("_to_".join(names))
        return apply("symbol", attributes=(symbol, (count,), "real"))


def _plus(total: Node | None, term: Node, negative: bool) -> Node:
    if total is None:
        return apply("negative", term) if negative else term
    return apply("subtract" if negative else "add", total, term)


def _places(vector: Vector) -> range:
    return range(vector[0], vector[0] + vector[1])


def _meet(a: Vector, b: Vector) -> bool:
    return a[0] < b[0] + b[1] and b[0] < a[0] + a[1]


__all__ = ["Vectors", "roll", "rolled_parameters", "side_by_side"]
