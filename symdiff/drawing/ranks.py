"""Cells, and the rows they stand in.

A cell is a step with what belongs to it alone: on the left a forward step with the leaves that
only it reads, on the right an adjoint with the gradients that only it leads to. Forward rows go
down. An adjoint stands in the row of its forward step, so the way back goes up. The rows of a
layer follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .measure import Label
from .model import Drawing, DrawnNode

__all__ = ["Cell", "set_in_rows"]

ROOM = {"left": 330.0, "right": 660.0}
"""Width to which the cells of one row may grow; beside an adjoint others find a place."""
GAP = 34.0
"""Between a step and the stack beside it."""
STACKED = 7.0
"""Between two boxes of a stack."""
BESIDE = 30.0
"""Between two cells of a row."""


@dataclass(eq=False)
class Cell:
    """A step and the small boxes beside it.

    Attributes
    ----------
    side : {"left", "right"}
    core : int or None
        Key of the step, or of a leaf that several steps read; None for gradients alone.
    stack : list of int
        Keys of the boxes beside it, from above: on its left on the left side, else on its right.
    tracks : list of int
        Sources of the vertical lines between core and stack.
    room : int
        Tracks that there is room for, at least.
    """

    side: str
    core: int | None
    row: int
    stack: list[int] = field(default_factory=list)
    tracks: list[int] = field(default_factory=list)
    room: int = 0
    core_size: tuple[float, float] = (0.0, 0.0)
    stack_size: tuple[float, float] = (0.0, 0.0)
    x: float = 0.0

    @property
    def gap(self) -> float:
        """The room between core and stack."""
        return GAP + 9.0 * max(len(self.tracks), self.room) if self.stack else 0.0

    @property
    def before(self) -> float:
        """Its extent to the left of its axis, the middle of its core."""
        half = self.core_size[0] / 2
        return half + (self.gap + self.stack_size[0] if self.side == "left" else 0.0)

    @property
    def after(self) -> float:
        """Its extent to the right of its axis."""
        half = self.core_size[0] / 2
        return half + (self.gap + self.stack_size[0] if self.side == "right" else 0.0)

    @property
    def height(self) -> float:
        """Of its highest part."""
        return max(self.core_size[1], self.stack_size[1])

    @property
    def members(self) -> list[int]:
        """All its boxes."""
        return self.stack if self.core is None else [self.core, *self.stack]


def set_in_rows(drawing: Drawing, labels: Mapping[int, Label]) -> list[Cell]:
    """The cells of a drawing, with their rows counted from 0."""
    rows = _Rows(drawing, labels)
    rows.set_left()
    rows.set_right()
    lowest = min((cell.row for cell in rows.cells), default=0)
    for cell in rows.cells:
        cell.row -= lowest
        _size(cell, labels)
    return rows.cells


def _size(cell: Cell, labels: Mapping[int, Label]) -> None:
    if cell.core is not None:
        cell.core_size = labels[cell.core].width, labels[cell.core].height
    if cell.stack:
        boxes = [labels[key] for key in cell.stack]
        high = sum(box.height for box in boxes) + STACKED * (len(boxes) - 1)
        cell.stack_size = max(box.width for box in boxes), high


class _Rows:
    def __init__(self, drawing: Drawing, labels: Mapping[int, Label]) -> None:
        self.nodes = drawing.nodes
        self.labels = labels
        self.cells: list[Cell] = []
        self.cell_of: dict[int, Cell] = {}
        self.used: dict[tuple[str, int], float] = {}
        order = {layer: number for number, layer in enumerate(drawing.layers)}
        self.level = {n.key: order.get(n.layer, 0) for n in self.nodes}
        self.end = 0
        self.spans: dict[int, tuple[int, int]] = {}
        self.readers: dict[int, list[DrawnNode]] = {n.key: [] for n in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                self.readers[source].append(node)

    def put(self, cell: Cell) -> None:
        self.cells.append(cell)
        for key in cell.members:
            self.cell_of[key] = cell
        _size(cell, self.labels)
        place = cell.side, cell.row
        self.used[place] = self.used.get(place, 0.0) + cell.before + cell.after + BESIDE

    def first_free(self, cell: Cell, step: int, last: int | None = None) -> None:
        """Move a cell row by row to where there is room for it."""
        _size(cell, self.labels)
        wide = cell.before + cell.after
        while cell.row != last:
            used = self.used.get((cell.side, cell.row), 0.0)
            if not used or used + wide <= ROOM[cell.side]:
                return
            cell.row += step

    # --- forward -------------------------------------------------------------------------

    def set_left(self) -> None:
        """Forward steps layer by layer, and leaves."""
        left = [n for n in self.nodes if n.phase != "backward"]
        alone: dict[int, list[int]] = {}
        shared: list[DrawnNode] = []
        for node in left:
            if node.phase != "leaf":
                continue
            steps = [r for r in self.readers[node.key] if r.role == "forward"]
            if len(steps) == 1:
                alone.setdefault(steps[0].key, []).append(node.key)
            else:
                shared.append(node)
        steps = [n for n in left if n.role == "forward" and not n.outside]
        shared += [n for n in left if n.role == "forward" and n.outside]
        first = 1 if any(n.outside for n in shared) else 0
        for level in sorted({self.level[n.key] for n in left}):
            own = {n.key for n in shared if self.level[n.key] == level and not n.outside}
            lowest = self._layer(level, [n for n in steps if self.level[n.key] == level], first,
                                 own, alone)  # fmt: skip
            first = lowest + 1
        self.end = first
        for node in shared:
            self._leaf(node)

    def _layer(
        self, level: int, steps: Sequence[DrawnNode], first: int, own: set[int],
        alone: Mapping[int, list[int]],
    ) -> int:  # fmt: skip
        """The steps of one layer; the last row that it takes."""
        last = first if own or steps else first - 1
        for node in sorted(steps, key=lambda n: n.key):
            row = first + any(i in own for i in node.inputs)
            for i in node.inputs:
                if i in self.cell_of and self.nodes[i].role == "forward":
                    row = max(row, self.cell_of[i].row + 1)
            cell = Cell(
                "left", node.key, row, [i for i in node.inputs if i in alone.get(node.key, ())]
            )
            self.first_free(cell, 1)
            self.put(cell)
            last = max(last, cell.row)
        self.spans[level] = first, last
        return last

    def _leaf(self, node: DrawnNode) -> None:
        """A leaf of its own: above the first step that reads it."""
        rows = [self.cell_of[r.key].row for r in self.readers[node.key] if r.key in self.cell_of]
        if rows:
            row = min(rows) - 1
        elif node.outside:
            row = self.end
        else:
            row = self.spans.get(self.level[node.key], (0, 0))[0]
        self.put(Cell("left", node.key, row))

    # --- backward ------------------------------------------------------------------------

    def set_right(self) -> None:
        """Adjoints beside their steps, the rest between what it reads and what reads it."""
        stacks: dict[int, Cell] = {}
        for node in self.nodes:
            if node.role == "backward":
                cell = Cell("right", node.key, 0)
                self._back_row(node, cell)
                self.put(cell)
        for node in self.nodes:
            if node.role != "gradient":
                continue
            steps = [i for i in node.inputs if self.nodes[i].role == "backward"]
            if len(steps) == 1 and steps[0] in self.cell_of:
                cell = self.cell_of[steps[0]]
            else:
                row = self._parameter_row(node)
                cell = stacks.get(row) or Cell("right", None, row)
                if row not in stacks:
                    stacks[row] = cell
                    self.cells.append(cell)
            cell.stack.append(node.key)
            self.cell_of[node.key] = cell

    def _back_row(self, node: DrawnNode, cell: Cell) -> None:
        if node.adjoint_of is not None and node.adjoint_of in self.cell_of:
            cell.row = self.cell_of[node.adjoint_of].row
            return
        if node.outside:
            cell.row = self.end
            return
        first, last = self.spans.get(self.level[node.key], (0, self.end - 1))
        back = [i for i in node.inputs if self.nodes[i].role == "backward" and i in self.cell_of]
        rows = [self.cell_of[i].row - 1 for i in back]
        rows = rows or [self.cell_of[i].row for i in node.inputs if i in self.cell_of]
        cell.row = min(rows) if back else max(rows, default=last)
        if len(self.spans) > 1:
            cell.row = min(max(cell.row, first), last)
            self.first_free(cell, -1, first)
        else:
            self.first_free(cell, -1)

    def _parameter_row(self, node: DrawnNode) -> int:
        """The row of the parameter, or of what reads it first."""
        if node.adjoint_of is not None and node.adjoint_of in self.cell_of:
            return self.cell_of[node.adjoint_of].row
        return max((self.cell_of[i].row for i in node.inputs if i in self.cell_of), default=0)
