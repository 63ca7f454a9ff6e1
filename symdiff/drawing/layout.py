"""Where everything lies: boxes, arrows as lines with right angles, bands behind layers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from .columns import Item, arrange
from .measure import Label, label_of, width
from .model import Drawing
from .ranks import STACKED, Cell, set_in_rows
from .routing import ARM, Routes, Wire

__all__ = ["Band", "Box", "Layout", "Line", "lay_out"]

Point = tuple[float, float]

MARGIN = 14.0
HEADING = 26.0
CHANNEL = 30.0
"""Between two rows without lines that bend."""
TRACK = 9.0
BAND_NAME = 12.0


@dataclass(frozen=True)
class Box:
    """A box and its label; ``x`` and ``y`` are its upper left corner."""

    key: int
    label: Label
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Line:
    """An arrow, or the link between a step and its adjoint.

    Attributes
    ----------
    source, target : int
    points : tuple of (float, float)
        Its corners.
    kind : {"forward", "backward", "across", "link"}
        Across leads from the forward side to the backward side.
    curved : bool
        True for a short arrow inside a cell, drawn as one curve from its first to its last point.
    """

    source: int
    target: int
    points: tuple[Point, ...]
    kind: str
    curved: bool = False


@dataclass(frozen=True)
class Band:
    """The rows of one layer."""

    name: str
    y: float
    height: float


@dataclass(frozen=True)
class Layout:
    """A drawing with places; all within ``width`` and ``height``."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    bands: tuple[Band, ...]
    headings: tuple[tuple[str, float], ...]
    """What stands above a side, and where its middle is."""


def lay_out(drawing: Drawing) -> Layout:
    """Place a drawing."""
    return _Layout(drawing).result()


class _Layout:
    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.nodes = drawing.nodes
        self.labels = {n.key: label_of(n) for n in self.nodes}
        self.cells = set_in_rows(drawing, self.labels)
        self.routes = Routes(drawing, self.cells)
        self.rows = len(self.routes.trunks) - 1
        self.boxes: dict[int, Box] = {}

    def result(self) -> Layout:
        self.set_x()
        self.routes.set_ports()
        self.routes.gather_trunks()
        self.set_y()
        lines = [*self.inner_lines(), *self.routed_lines()]
        sides = [("forward ↓", "left"), ("gradients ↑", "right")]
        headings = tuple(
            (text, sum(x for x in self.extent(side)) / 2)
            for text, side in sides
            if any(cell.side == side for cell in self.cells)
        )
        boxes = tuple(self.boxes[n.key] for n in self.nodes)
        right = max((box.x + box.width for box in boxes), default=0.0)
        right = max([right, *(x for line in lines for x, _ in line.points)])
        return Layout(right + MARGIN, self.bottom, boxes, tuple(lines), self.bands(), headings)

    # --- x -------------------------------------------------------------------------------

    def set_x(self) -> None:
        self.align_widths()
        items = {cell: Item(cell) for cell in self.cells}
        sides: dict[str, list[Item]] = {
            side: [items[c] for c in self.cells if c.side == side] for side in ("left", "right")
        }
        self.mirror(sides["right"])
        for wire in self.routes.wires:
            one, other = (self.routes.cell_of[key] for key in (wire.source, wire.target))
            if one.side == other.side and abs(one.row - other.row) == 1:
                items[one].near.append(items[other])
                items[other].near.append(items[one])
            elif one.side == other.side and one.row == other.row and one is not other:
                items[other].after.append(items[one])
        for listed in sides.values():
            arrange(listed)
        for item in items.values():
            item.cell.x = item.x
        between = self.routes.set_lanes()
        edge = max((c.x + c.after for c in self.cells if c.side == "left"), default=0.0)
        start = self.left_edge()
        for cell in self.cells:
            cell.x += start + (edge + between if cell.side == "right" else 0.0)
        self.routes.move_lanes(start + edge)

    def align_widths(self) -> None:
        """Boxes that stand one above the other get the same width."""
        for side in ("left", "right"):
            cells = [c for c in self.cells if c.side == side]
            count = Counter(c.row for c in cells)
            column = [c for c in cells if count[c.row] == 1]
            steps = [c for c in column if c.core is not None and self.nodes[c.core].inputs]
            for cell in steps:
                cell.core_size = max(c.core_size[0] for c in steps), cell.core_size[1]
            stacks = [c for c in column if c.stack]
            widest = max((c.stack_size[0] for c in stacks), default=0.0)
            room = max((len(c.tracks) for c in stacks), default=0)
            for cell in stacks:
                cell.stack_size, cell.room = (widest, cell.stack_size[1]), room

    def mirror(self, right: list[Item]) -> None:
        """Begin with adjoints in the opposite order of their steps."""
        places = {
            cell.core: place for place, cell in enumerate(self.cells) if cell.core is not None
        }

        def place(item: Item) -> int:
            core = item.cell.core
            of = self.nodes[core].adjoint_of if core is not None else None
            return -places[of] if of in places else len(places)

        right.sort(key=lambda item: (item.row, place(item)))

    def left_edge(self) -> float:
        """Where boxes begin: right of the names of layers."""
        names = [width(name, BAND_NAME) for name in self.open_layers()]
        return MARGIN + (max(names) + 16 if names else 0.0)

    def open_layers(self) -> list[str]:
        return [name for name in self.drawing.layers if name not in self.drawing.collapsed]

    def extent(self, side: str) -> tuple[float, float]:
        cells = [c for c in self.cells if c.side == side]
        return min(c.x - c.before for c in cells), max(c.x + c.after for c in cells)

    def set_y(self) -> None:
        self.channel_y: list[float] = []
        self.row_y: list[tuple[float, float]] = []
        y = MARGIN + HEADING
        for channel, tracks in enumerate(self.routes.tracks):
            self.channel_y.append(y)
            outer = channel in (0, self.rows)
            y += (8.0 if outer else CHANNEL) + TRACK * (tracks + (1 if outer and tracks else 0))
            if channel < self.rows:
                high = max((c.height for c in self.routes.by_row.get(channel, [])), default=0.0)
                self.row_y.append((y, y + high))
                y += high
        self.bottom = y + MARGIN / 2
        for cell in self.cells:
            self.place(cell)

    def place(self, cell: Cell) -> None:
        top, bottom = self.row_y[cell.row]
        middle = (top + bottom) / 2
        if cell.core is not None:
            wide, high = cell.core_size
            self.box(cell.core, cell.x - wide / 2, middle - high / 2, wide)
        y = middle - cell.stack_size[1] / 2
        wide = cell.stack_size[0]
        for key in cell.stack:
            x = cell.x - cell.before if cell.side == "left" else cell.x + cell.after - wide
            self.box(key, x, y, wide)
            y += self.labels[key].height + STACKED

    def box(self, key: int, x: float, y: float, wide: float) -> None:
        label = self.labels[key]
        self.boxes[key] = Box(key, label, x, y, wide, label.height)

    # --- lines ---------------------------------------------------------------------------

    def trunk_y(self, channel: int, net: int) -> float:
        track = self.routes.trunks[channel][net].track
        outer = channel in (0, self.rows)
        room = 8.0 if outer else CHANNEL
        # Arrows end below the tracks or above them: more room where their points are.
        return self.channel_y[channel] + room / 2 + TRACK * track + (TRACK / 2 if outer else 0.0)

    def inner_lines(self) -> list[Line]:
        """Curves from leaves to their step, and from an adjoint to its gradients."""
        lines = []
        beside: dict[int, list[tuple[int, int]]] = {}
        for source, target in self.routes.inner:
            core = target if self.routes.side(source) == "left" else source
            beside.setdefault(core, []).append((source, target))
        for core, pairs in beside.items():
            box = self.boxes[core]
            pairs.sort(key=lambda p: self.boxes[p[0] if p[1] == core else p[1]].y)
            arm = min(ARM, (box.height - 10) / max(len(pairs), 1))
            middle = box.y + box.height / 2
            for place, (source, target) in enumerate(pairs):
                y = middle + arm * (place - (len(pairs) - 1) / 2)
                other = self.boxes[source if target == core else target]
                centre = other.y + other.height / 2
                if abs(centre - y) < 3:
                    y = centre
                if target == core:
                    points = ((other.x + other.width, centre), (box.x, y))
                else:
                    points = ((box.x + box.width, y), (other.x, centre))
                kind = "forward" if target == core else "backward"
                lines.append(Line(source, target, points, kind, curved=True))
        return lines

    def routed_lines(self) -> list[Line]:
        lines = []
        both = {(w.source, w.target) for w in self.routes.wires if w.kind != "link"}
        for wire in self.routes.wires:
            if self.routes.is_level(wire):
                one, other = self.boxes[wire.source], self.boxes[wire.target]
                y = one.y + one.height / 2
                if (wire.source, wire.target) in both:
                    y += -5.0 if wire.kind == "link" else 7.0
                points: tuple[Point, ...] = ((one.x + one.width, y), (other.x, y))
            else:
                points = self.route(wire)
            lines.append(Line(wire.source, wire.target, points, wire.kind))
        return lines

    def route(self, wire: Wire) -> tuple[Point, ...]:
        columns = self.routes.columns_of(wire)
        points = [self.end(wire.source, columns[0][1], self.routes.channel(wire, wire.source))]
        if wire.source in self.routes.stacked:
            points.append((columns[0][1], points[0][1]))
        for (row, x), (other, far) in pairwise(columns):
            if abs(x - far) > 0.5:
                channel = max(row, other) if row != other else row + 1
                y = self.trunk_y(channel, wire.net)
                points += [(x, y), (far, y)]
        last = self.end(wire.target, columns[-1][1], self.routes.channel(wire, wire.target))
        if wire.target in self.routes.stacked:
            points.append((columns[-1][1], last[1]))
        points.append(last)
        return tuple(points)

    def end(self, key: int, x: float, channel: int) -> Point:
        """Where a line meets a box: its side in a stack, else its upper or lower edge."""
        box = self.boxes[key]
        if key in self.routes.stacked:
            left = self.routes.side(key) == "right"
            return (box.x if left else box.x + box.width), box.y + box.height / 2
        return x, (box.y + box.height if channel > self.routes.row(key) else box.y)

    # --- layers --------------------------------------------------------------------------

    def bands(self) -> tuple[Band, ...]:
        """The rows of each layer that is drawn in full."""
        result = []
        for name in self.open_layers():
            rows = [self.routes.row(n.key) for n in self.nodes if n.layer == name and not n.outside]
            if rows:
                top = self.boundary(min(rows))
                result.append(Band(name, top, self.boundary(max(rows) + 1) - top))
        return tuple(result)

    def boundary(self, channel: int) -> float:
        """The middle of a channel."""
        if channel == 0:
            return self.channel_y[0]
        if channel == self.rows:
            return self.bottom
        return (self.row_y[channel - 1][1] + self.row_y[channel][0]) / 2
