"""Numbers along a chain of rules: one run through forward and backward, and its differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from .binding import bind, by_symbol, symbolic_dimensions
from .check import TOLERANCE, compare_entry
from .errors import GradientMismatch, InvalidArgument, SymdiffError
from .graph import Node, apply, leaves, rebuild, walk
from .modes import DEFAULTS, MODES, settle
from .shapes import Size, concrete_shape

if TYPE_CHECKING:
    from .derivation import Derivation
    from .printing.explanation import Row

__all__ = ["Run", "compared", "drawn", "follow"]

MOST_ENTRIES = 60
"""Entries of an array whose derivatives are compared; of a larger one, so many spread over it."""

ROUNDING = 1e-11
"""Rounding errors of finite differences, for a loss of size 1."""

DRAWS = 6
"""Random values that are tried."""


@dataclass(frozen=True)
class Run:
    """The values of all nodes of an explanation, each computed once."""

    results: Mapping[Node, Any]
    sizes: Mapping[Size, int]

    def value(self, node: Node, below: Node) -> Any:
        """The array of a node in the shape of the forward node that it belongs to."""
        array = self.results[node]
        shape = concrete_shape(below.shape, self.sizes)
        return np.broadcast_to(array, shape) if np.shape(array) != shape else array


def follow(
    derivation: Derivation, target: Node, rows: Sequence[Row], values: Mapping[Any, Any]
) -> Run:
    """Run forward and backward once; every shared node is computed once."""
    roots = [derivation.loss_node, target, *(n for r in rows for n in (r.node, r.below))]
    symbols = leaves([derivation.loss_node, target])
    values = _without_other_parameters(derivation, symbols, by_symbol(values, symbols))
    arrays, sizes = bind(symbols, _with_modes(symbols, derivation, target, values), roots=roots)
    return Run(evaluated(walk(roots), arrays, sizes), sizes)


def _with_modes(
    symbols: Collection[Node], derivation: Derivation, target: Node, values: Any
) -> Any:
    """What a model is in use, unless the values say that it is trained.

    What is read in training only, such as the count of steps, has any value elsewhere.
    """
    if not isinstance(values, Mapping):
        return values
    modes = [n for n in symbols if n.attributes[0] in MODES and n.attributes[0] not in values]
    needed = settle([derivation.loss_node, target, *derivation.adjoint_nodes.values()], values)
    read = set(leaves(needed))
    further = {
        n.attributes[0]: bool(DEFAULTS[n.attributes[0]]) if n.dtype == "bool" else 0
        for n in modes
        if n not in read
    }
    return {**values, **further}


def _without_other_parameters(derivation: Derivation, needed: Collection[Node], values: Any) -> Any:
    """The loss may lack some parameters of a derivation; to give their values is no mistake."""
    if not isinstance(values, Mapping):
        return values
    present = {n.attributes[0] for n in needed}
    lacking = {p for p in derivation.parameters if p not in present}
    return {k: v for k, v in values.items() if k not in lacking}


def evaluated(
    order: Sequence[Node], known: Mapping[Node, Any], sizes: Mapping[Size, int]
) -> dict[Node, Any]:
    """The arrays of nodes in order, given those of some."""
    results = dict(known)
    with np.errstate(all="ignore"):
        for node in order:
            if node not in results:
                value = node.row.numpy([results[i] for i in node.inputs], node, sizes)
                real = node.dtype == "real"
                results[node] = np.asarray(value, np.float64) if real else np.asarray(value)
    return results


# --- finite differences ------------------------------------------------------------------


def compared(
    derivation: Derivation, rows: Sequence[Row], run: Run, formulas: Sequence[str]
) -> list[tuple[float, bool] | None]:
    """For each row that is a derivative its largest relative error, and whether it is at a kink.

    The forward graph from a node on is a function of the value of that node: of what all of its
    readers see for a whole derivative, of what one rule sees for the part of a path.

    Raises
    ------
    GradientMismatch
        Names the rule and the formula that differ.
    InvalidArgument
        The loss is not finite at the values.
    """
    if not np.isfinite(run.value(derivation.loss_node, derivation.loss_node)):
        raise InvalidArgument(
            "explain: the loss is not finite at these values, so it has no differences there; "
            "give other values, or leave out check=True"
        )
    found: list[tuple[float, bool] | None] = []
    for row, formula in zip(rows, formulas, strict=True):
        if row.kind not in ("path", "rule", "joined", "start"):
            found.append(None)
            continue
        readers = row.link.readers if row.kind == "path" and row.link is not None else None
        rest = _Rest(run, derivation.loss_node, row.below, readers)
        scale = _scale(derivation, row, run)
        given = np.asarray(run.value(row.node, row.below), np.float64) * scale
        worst, kink = 0.0, False
        # what is 0 but for rounding has no relative error
        size = float(np.abs(given).max(initial=0)) * max(
            1.0, float(np.abs(rest.start).max(initial=0))
        )
        noise = ROUNDING * (
            abs(float(run.value(derivation.loss_node, derivation.loss_node))) + size
        )
        for entry in _entries(given.shape):
            pair = float(given[entry]), float(given[entry])
            error, difference, at_kink = compare_entry(rest, entry, pair)
            kink = kink or at_kink
            if noise > 0:
                error = min(error, TOLERANCE * abs(pair[0] - difference) / noise)
            worst = max(worst, error)
            if error > TOLERANCE:
                place = f" at [{', '.join(map(str, entry))}]" if entry else ""
                rule = row.rule or "start"
                raise GradientMismatch(
                    f"{rule}: {formula}: this gives a derivative of {pair[0]:.6g}{place}, finite "
                    f"differences {difference:.6g}"
                )
        found.append((worst, kink))
    return found


def _scale(derivation: Derivation, row: Row, run: Run) -> Any:
    """What a named backward step is multiplied by to be the derivative of the loss."""
    of, factor = derivation.naming.adjoint_of.get(row.node, (None, None))
    if of is not row.below or factor is None or row.kind == "start":
        return 1.0
    order = walk([factor])
    return evaluated(order, {}, run.sizes)[factor]


def _entries(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All entries of a small array; of a large one some of all places, always the same."""
    count = int(np.prod(shape))
    step = max(1, -(-count // MOST_ENTRIES))
    while step > 1 and any(d % step == 0 or step % d == 0 for d in shape if d > 1):
        step += 1  # not always the same column
    return [tuple(map(int, np.unravel_index(i, shape))) for i in range(0, count, step)]


class _Rest:
    """The loss as a function of the value of one forward node."""

    def __init__(self, run: Run, loss: Node, node: Node, readers: Collection[Node] | None) -> None:
        self.run = run
        self.leaf = apply("symbol", attributes=(sp.Dummy("x"), node.shape, node.dtype))

        def moved(reader: Node, inputs: tuple[Node, ...]) -> Node:
            if readers is None or reader in readers:
                pairs = zip(reader.inputs, inputs, strict=True)
                inputs = tuple(self.leaf if old is node else new for old, new in pairs)
            if inputs == reader.inputs:
                return reader
            return apply(reader.operation, *inputs, attributes=reader.attributes)

        self.root = self.leaf if node is loss else rebuild([loss], moved)[0]
        self.order = [n for n in walk([self.root], run.results) if n is not self.leaf]
        self.start = np.array(run.results[node], np.float64)

    def __call__(self, entry: tuple[int, ...], offset: float) -> float:
        moved = self.start.copy()
        moved[entry] += offset
        known = _Layered(self.run.results, {self.leaf: moved})
        with np.errstate(all="ignore"):
            for n in self.order:
                value = n.row.numpy([known[i] for i in n.inputs], n, self.run.sizes)
                known[n] = np.asarray(value, np.float64) if n.dtype == "real" else value
        return float(known[self.root])


class _Layered(dict[Node, Any]):
    """Values over others that do not change."""

    def __init__(self, below: Mapping[Node, Any], own: Mapping[Node, Any]) -> None:
        super().__init__(own)
        self.below = below

    def __missing__(self, node: Node) -> Any:
        return self.below[node]


# --- values where none are given ---------------------------------------------------------


def drawn(derivation: Derivation, *targets: Node) -> dict[Any, Any]:
    """Random values, always the same, at which the loss and its derivatives are finite."""
    symbols = leaves([derivation.loss_node, *targets])
    roots = [derivation.loss_node, *derivation.adjoint_nodes.values()]
    named = set().union(*(d.free_symbols for d in symbolic_dimensions(roots)))
    sizes = {size: 3 + i for i, size in enumerate(sorted(named, key=str))}
    told = {d for n in symbols for d in n.shape if isinstance(d, Size)}
    numbers = {sp.Symbol(s.name): count for s, count in sizes.items() if s not in told}
    draws: tuple[Callable[..., Any], ...] = (_normal, _share, _positive)
    attempts = itertools.product(range(DRAWS), draws)
    for seed, draw in attempts:
        random = np.random.default_rng(seed)
        values: dict[Any, Any] = dict(numbers)
        for node in symbols:
            if node.attributes[0] in DEFAULTS:
                continue
            shape = concrete_shape(node.shape, sizes)
            if node.dtype == "real":
                values[node.attributes[0]] = draw(random, shape)
            else:
                values[node.attributes[0]] = random.integers(0, 2, shape)
        try:
            complete = _with_modes(symbols, derivation, targets[0], values)
            arrays, known = bind(symbols, complete, roots=roots)
            results = evaluated(walk(roots), arrays, known)
        except SymdiffError:
            continue
        if all(np.isfinite(results[r]).all() for r in roots):
            return values
    raise InvalidArgument(
        "no random values were found at which the loss is finite; give values=, a dict "
        "{symbol: array}"
    )


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return random.normal(size=shape)


def _share(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return random.uniform(0.1, 0.9, size=shape)


def _positive(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Symmetric and positive definite where it is a square matrix."""
    value = random.uniform(1.1, 2.0, size=shape)
    if len(shape) >= 2 and shape[-1] == shape[-2]:
        value = value @ np.swapaxes(value, -1, -2) / shape[-1] + np.eye(shape[-1])
    return value
