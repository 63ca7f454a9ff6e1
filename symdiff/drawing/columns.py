"""The order of what stands in a row, and how far to the right each thing stands.

Rows are put in order so that lines cross little (barycentres, swept down and up), then each row
is moved as near as it may to what it is connected with: the exact solution of least squares
with least distances for one row after the other (pool adjacent violators).
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .ranks import BESIDE, Cell

__all__ = ["Item", "arrange", "spread"]

SWEEPS = 8
ROUNDS = 12


@dataclass(eq=False)
class Item:
    """A cell that is being placed.

    Attributes
    ----------
    cell : Cell
    x : float
        Its axis.
    near : list of Item
        What it is connected with in the rows above and below.
    after : list of Item
        What it reads in its own row.
    """

    cell: Cell
    x: float = 0.0
    near: list[Item] = field(default_factory=list)
    after: list[Item] = field(default_factory=list)

    @property
    def row(self) -> int:
        """The row it stands in."""
        return self.cell.row


def arrange(items: Sequence[Item]) -> None:
    """Give every item of one side its ``x``; the first one begins at 0."""
    rows: dict[int, list[Item]] = {}
    for item in items:
        rows.setdefault(item.row, []).append(item)
    for row in rows.values():
        for place, item in enumerate(row):
            item.x = float(place)
    levels = [rows[row] for row in sorted(rows)]
    _reduce_crossings(levels)
    _set_coordinates(levels)
    left = min((item.x - item.cell.before for item in items), default=0.0)
    for item in items:
        item.x -= left


# --- order -------------------------------------------------------------------------------


def _reduce_crossings(levels: list[list[Item]]) -> None:
    best = [list(level) for level in levels]
    fewest = _crossings(levels)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for level in levels if down else reversed(levels):
            _sort(level, -1 if down else 1)
        count = _crossings(levels)
        if count < fewest:
            fewest, best = count, [list(level) for level in levels]
    for level, order in zip(levels, best, strict=True):
        level[:] = _in_chains(order)
        for place, item in enumerate(level):
            item.x = float(place)


def _in_chains(level: Sequence[Item]) -> list[Item]:
    """The same order, but what reads in its own row follows what it reads."""
    readers: dict[Item, list[Item]] = {}
    for item in level:
        for source in item.after:
            readers.setdefault(source, []).append(item)
    done: dict[Item, None] = {}
    pending = list(reversed(level))
    while pending:
        item = pending.pop()
        if item in done or any(source not in done for source in item.after):
            continue
        done[item] = None
        pending += reversed(readers.get(item, []))
    return [*done, *(item for item in level if item not in done)]


def _sort(level: list[Item], direction: int) -> None:
    """By the mean place of what is near in the rows that are done."""
    centre: dict[Item, float] = {}
    for item in level:
        places = [other.x for other in item.near if (other.row - item.row) * direction > 0]
        centre[item] = sum(places) / len(places) if places else item.x
    level.sort(key=lambda item: (centre[item], item.x))
    for place, item in enumerate(level):
        item.x = float(place)


def _crossings(levels: Iterable[list[Item]]) -> int:
    total = 0
    for level in levels:
        ends: list[float] = []
        for item in sorted(level, key=lambda i: i.x):
            below = [other.x for other in item.near if other.row > item.row]
            total += sum(len(ends) - bisect_right(ends, x) for x in below)
            for x in below:
                insort(ends, x)
    return total


# --- coordinates -------------------------------------------------------------------------


def _set_coordinates(levels: Sequence[Sequence[Item]]) -> None:
    for level in levels:
        x = 0.0
        for item in level:
            item.x = x + item.cell.before
            x = item.x + item.cell.after + BESIDE
    alone = {level[0] for level in levels if len(level) == 1}
    column = alone if 2 * len(alone) > len(levels) else set()
    for turn in range(ROUNDS):
        for level in levels if turn % 2 == 0 else reversed(levels):
            weights = [float(len(item.near)) or 0.01 for item in level]
            distances = [
                one.cell.after + BESIDE + other.cell.before
                for one, other in itertools.pairwise(level)
            ]
            wanted: list[float] = []
            for place, item in enumerate(level):
                # What is tied to nothing keeps to its neighbour.
                beside = wanted[-1] + distances[place - 1] if wanted else item.x
                wanted.append(_centre(item, column, beside))
            for item, x in zip(level, spread(wanted, weights, distances), strict=True):
                item.x = x


def _centre(item: Item, column: Container[Item], beside: float) -> float:
    """Where a cell wants to be: in the column of those alone in their rows, or near the others."""
    if item in column:
        return 0.0
    return sum(other.x for other in item.near) / len(item.near) if item.near else beside


def spread(
    wanted: Sequence[float], weights: Sequence[float], distances: Sequence[float]
) -> list[float]:
    """Places nearest to those wanted, in order and at least the distances apart.

    Minimises ``Σ weight (x − wanted)²`` subject to ``xᵢ₊₁ − xᵢ ≥ distanceᵢ``.

    Examples
    --------
    >>> from symdiff.drawing.columns import spread
    >>> spread([0.0, 0.0, 9.0], [1.0, 1.0, 1.0], [2.0, 2.0])
    [-1.0, 1.0, 9.0]
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, float, int]] = []  # weighted sum, weight, length
    for x, weight, offset in zip(wanted, weights, offsets, strict=False):
        total, heavy, length = (x - offset) * weight, weight, 1
        while blocks and blocks[-1][0] * heavy > total * blocks[-1][1]:
            before = blocks.pop()
            total, heavy, length = total + before[0], heavy + before[1], length + before[2]
        blocks.append((total, heavy, length))
    level = [total / weight for total, weight, length in blocks for _ in range(length)]
    return [x + offset for x, offset in zip(level, offsets, strict=False)]


def lanes(spans: Mapping[Hashable, tuple[int, int]]) -> dict[Hashable, int]:
    """A lane for each span so that those of one lane do not meet; short spans come first.

    Examples
    --------
    >>> from symdiff.drawing.columns import lanes
    >>> lanes({"a": (0, 9), "b": (1, 3), "c": (4, 5)})
    {'c': 0, 'b': 0, 'a': 1}
    """
    taken: list[list[tuple[int, int]]] = []
    result: dict[Hashable, int] = {}
    for key, (low, high) in sorted(spans.items(), key=lambda item: item[1][1] - item[1][0]):
        free = (i for i, lane in enumerate(taken) if all(high < a or b < low for a, b in lane))
        place = next(free, len(taken))
        if place == len(taken):
            taken.append([])
        taken[place].append((low, high))
        result[key] = place
    return result
