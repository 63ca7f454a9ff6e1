"""Values at which methods are compared: those given, and random ones for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..binding import as_array, bind, by_symbol, symbolic_dimensions, unify
from ..errors import InvalidArgument, InvalidType, SymdiffError
from ..evaluate import interpret
from ..graph import Node, leaves
from ..shapes import Size, concrete_shape

__all__ = ["draw"]

_TRIES = 60

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def _positive_definite(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return random.normal(size=shape)
    root = random.normal(size=shape)
    return root @ np.swapaxes(root, -1, -2) + np.eye(shape[-1])


_KINDS: tuple[Draw, ...] = (
    lambda random, shape: random.normal(size=shape),
    lambda random, shape: random.uniform(0.1, 0.9, shape),
    lambda random, shape: random.uniform(0.5, 2.0, shape),
    _positive_definite,
    lambda random, shape: random.uniform(1.1, 3.0, shape),
    lambda random, shape: random.uniform(-0.9, 0.9, shape),
    lambda random, shape: random.uniform(-2.0, -0.5, shape),
)
"""Where numbers are looked for, in this order: a logarithm wants positive ones, for instance."""


def draw(
    roots: Sequence[Node],
    parameters: Sequence[Node],
    given: Mapping[Any, Any] | None,
    sizes: Mapping[str, int] | None,
    default: int,
    seed: int,
) -> tuple[dict[Node, np.ndarray], dict[Size, int]]:
    """Arrays of all symbols and the sizes, so that every root is finite; the same for a seed."""
    symbols = list(dict.fromkeys([*leaves(roots), *parameters]))
    values = by_symbol(given or {}, symbols)
    if not isinstance(values, Mapping):
        raise InvalidType(
            f"values are given as a dict {{symbol: array}}, got {type(values).__name__}"
        )
    known = _sizes([*roots, *parameters], symbols, values, sizes, default)
    missing = [n for n in symbols if n.attributes[0] not in values]
    failure: SymdiffError | None = None
    for attempt in range(_TRIES if missing else 1):
        random = np.random.default_rng((seed, attempt))
        drawn = {n.attributes[0]: _array(n, known, random, attempt) for n in missing}
        try:
            arrays, found = bind(
                symbols, {**values, **drawn}, roots=[*roots, *parameters], known=known
            )
            results = interpret(roots, arrays, found)
        except SymdiffError as error:
            if not missing:
                raise
            failure = error
            continue
        if not missing or all(np.isfinite(r).all() for r in results):
            return arrays, found
    if failure is not None:
        raise failure
    names = ", ".join(sorted(str(n.attributes[0]) for n in missing))
    raise InvalidArgument(
        f"compare: no random numbers were found for {names} at which the loss and its gradient "
        "are finite; give values={symbol: array}"
    )


def _array(
    node: Node, sizes: Mapping[Size, int], random: np.random.Generator, attempt: int
) -> np.ndarray:
    shape = concrete_shape(node.shape, sizes)
    if node.dtype != "real":  # labels: 0 and 1 are in most ranges, 0 is in all
        return random.integers(0, 2 if attempt % 2 == 0 else 1, shape)
    each_its_own = attempt >= 2 * len(_KINDS)
    kind = int(random.integers(len(_KINDS))) if each_its_own else attempt // 2
    return np.asarray(_KINDS[kind](random, shape))


def _sizes(
    roots: Sequence[Node],
    symbols: Sequence[Node],
    values: Mapping[Any, Any],
    sizes: Mapping[str, int] | None,
    default: int,
) -> dict[Size, int]:
    wanted = sorted(
        {s for d in symbolic_dimensions(roots) for s in d.free_symbols}, key=lambda s: str(s)
    )
    unknown = sorted(set(sizes or {}) - {s.name for s in wanted})
    if unknown:
        known = ", ".join(s.name for s in wanted) or "none"
        raise InvalidArgument(
            f"compare: sizes names {', '.join(unknown)}, the loss has the symbolic sizes: {known}"
        )
    result = {Size(name): int(size) for name, size in (sizes or {}).items()}
    origin: dict[Size, str] = dict.fromkeys(result, "sizes")
    for node in symbols:
        symbol = node.attributes[0]
        if symbol in values and node.shape:
            array = as_array(values[symbol], symbol, node.dtype, "float64")
            unify(symbol, node.shape, array.shape, result, origin)
    for symbol, value in values.items():  # a size may be bound as a number, too
        if Size(getattr(symbol, "name", "")) in wanted and not np.ndim(value):
            result.setdefault(Size(symbol.name), int(value))
    for size in wanted:
        result.setdefault(size, default)
    return result
