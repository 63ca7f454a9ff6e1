"""Where everything lies: boxes, arrows as lines with right angles, bands behind layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass

from .channels import Trunk, set_on_tracks
from .columns import LINES, Item, arrange, lanes, spread
from .measure import Label, label_of, width
from .model import Drawing
from .ranks import STACKED, Cell, set_in_rows

__all__ = ["Band", "Box", "Layout", "Line", "lay_out"]

Point = tuple[float, float]

MARGIN = 14.0
HEADING = 26.0
CHANNEL = 30.0
"""Between two rows without lines that bend."""
TRACK = 9.0
MIDDLE = 56.0
"""Between forward and backward side, without lines that pass there."""
ARM = 12.0
"""Between the ports of a box, and from its corners."""
BAND_NAME = 12.0
STIFF = 50.0
"""How much more a line stays where it goes straight than where it bends anyway."""


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


@dataclass(frozen=True)
class _Wire:
    """One arrow that is routed through channels. A link has a source of its own, below 0."""

    source: int
    target: int
    net: int
    kind: str


class _Layout:
    def __init__(self, drawing: Drawing) -> None:
        self.drawing = drawing
        self.nodes = drawing.nodes
        self.labels = {n.key: label_of(n) for n in self.nodes}
        self.cells = set_in_rows(drawing, self.labels)
        self.cell_of = {key: cell for cell in self.cells for key in cell.members}
        self.rows = max((cell.row for cell in self.cells), default=-1) + 1
        self.stacked = {key for cell in self.cells for key in cell.stack}
        self.inner: list[tuple[int, int]] = []
        self.wires: list[_Wire] = []
        self.lane_x: dict[tuple[int, bool], float] = {}
        self.boxes: dict[int, Box] = {}
        self.trunks: list[dict[int, Trunk]] = [{} for _ in range(self.rows + 1)]
        self.port_x: dict[tuple[int, int, bool], float] = {}

    def result(self) -> Layout:
        self.sort_lines()
        self.set_x()
        self.set_ports()
        self.gather_trunks()
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

    # --- which lines there are -----------------------------------------------------------

    def side(self, key: int) -> str:
        return self.cell_of[key].side

    def row(self, key: int) -> int:
        return self.cell_of[key].row

    def is_direct(self, source: int, target: int) -> bool:
        """True for an arrow between neighbours in a cell."""
        one, other = self.cell_of[source], self.cell_of[target]
        if one is not other or one.core is None:
            return False
        return (one.core == target) if one.side == "left" else (one.core == source)

    def sort_lines(self) -> None:
        """Short arrows inside cells, and those that are routed; the tracks beside stacks."""
        for source, target in self.drawing.edges:
            if self.is_direct(source, target):
                self.inner.append((source, target))
            else:
                kind = "across" if self.side(source) != self.side(target) else "backward"
                kind = "forward" if self.side(target) == "left" else kind
                self.wires.append(_Wire(source, target, source, kind))
        for step, adjoint in self.drawing.links:
            if self.row(step) == self.row(adjoint):
                self.wires.append(_Wire(step, adjoint, -1 - step, "link"))
        for wire in self.wires:
            for key in (wire.source, wire.target):
                cell = self.cell_of[key]
                if key in self.stacked and wire.net not in cell.tracks:
                    cell.tracks.append(wire.net)

    def is_level(self, wire: _Wire) -> bool:
        """True if a straight horizontal line joins two neighbours of one row."""
        one, other = self.cell_of[wire.source], self.cell_of[wire.target]
        if one.row != other.row or (one.core, other.core) != (wire.source, wire.target):
            return False
        if one.side == other.side and (one.x >= other.x or one.stack):
            return False
        between = (c for c in self.by_row[one.row] if c not in (one, other))
        if one.side == other.side:
            return not any(one.x < c.x < other.x for c in between)
        return not any(c.x > one.x if c.side == one.side else c.x < other.x for c in between)

    def is_column(self, wire: _Wire) -> bool:
        """True if a straight vertical line joins two steps of one side: no box is in its way."""
        one, other = self.cell_of[wire.source], self.cell_of[wire.target]
        if one.side != other.side or (one.core, other.core) != (wire.source, wire.target):
            return False
        if abs(one.x - other.x) > other.core_size[0] / 2 - ARM or wire.kind == "link":
            return False
        low, high = min(one.row, other.row), max(one.row, other.row)
        return not any(
            c.side == one.side and c.x - c.before - ARM < one.x < c.x + c.after + ARM
            for row in range(low + 1, high)
            for c in self.by_row.get(row, ())
        )

    # --- x -------------------------------------------------------------------------------

    def set_x(self) -> None:
        self.align_widths()
        items = {cell: Item(cell) for cell in self.cells}
        sides: dict[str, list[Item]] = {
            side: [items[c] for c in self.cells if c.side == side] for side in ("left", "right")
        }
        self.mirror(sides["right"])
        for wire in self.wires:
            one, other = self.cell_of[wire.source], self.cell_of[wire.target]
            if one.side == other.side and abs(one.row - other.row) == 1:
                items[one].near.append(items[other])
                items[other].near.append(items[one])
            elif one.side == other.side and one.row == other.row and one is not other:
                items[other].after.append(items[one])
        for listed in sides.values():
            arrange(listed)
        for item in items.values():
            item.cell.x = item.x
        self.by_row: dict[int, list[Cell]] = {}
        for cell in sorted(self.cells, key=lambda c: c.x):
            self.by_row.setdefault(cell.row, []).append(cell)
        between = self.set_lanes()
        edge = max((c.x + c.after for c in self.cells if c.side == "left"), default=0.0)
        start = self.left_edge()
        for cell in self.cells:
            cell.x += start + (edge + between if cell.side == "right" else 0.0)
        self.lane_x = {key: start + edge + x for key, x in self.lane_x.items()}

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

    def set_lanes(self) -> float:
        """Lanes between the sides for lines that pass a row; the room for them.

        What comes from the left goes on the left, and short lines next to the boxes, so that
        long ones go around them.
        """
        spans: dict[tuple[int, bool], tuple[int, int]] = {}
        for wire in self.wires:
            start, end = self.row(wire.source), self.row(wire.target)
            if abs(end - start) > 1 and not self.is_column(wire):
                low, high = min(start, end) + 1, max(start, end)
                before = spans.get((wire.net, end > start), (low, high))
                spans[wire.net, end > start] = min(before[0], low), max(before[1], high)
        sides: dict[str, dict[Hashable, tuple[int, int]]] = {"left": {}, "right": {}}
        for key, span in spans.items():
            sides[self.side(key[0])][key] = span
        left, right = lanes(sides["left"]), lanes(sides["right"])
        count = len({*left.values()}) + len({*right.values()})
        for key in spans:
            place = left[key] if key in left else count - 1 - right[key]
            self.lane_x[key] = MIDDLE / 2 + LINES * place
        return MIDDLE + LINES * max(count - 1, 0)

    def left_edge(self) -> float:
        """Where boxes begin: right of the names of layers."""
        names = [width(name, BAND_NAME) for name in self.open_layers()]
        return MARGIN + (max(names) + 16 if names else 0.0)

    def open_layers(self) -> list[str]:
        return [name for name in self.drawing.layers if name not in self.drawing.collapsed]

    def extent(self, side: str) -> tuple[float, float]:
        cells = [c for c in self.cells if c.side == side]
        return min(c.x - c.before for c in cells), max(c.x + c.after for c in cells)

    # --- ports ---------------------------------------------------------------------------

    def channel(self, wire: _Wire, at: int) -> int:
        """The channel by which a line leaves or enters a row; channel c lies below row c - 1."""
        start, end = self.row(wire.source), self.row(wire.target)
        here = self.row(at)
        if at == wire.source:
            return here if end < start else here + 1
        return here + 1 if end <= start else here

    def routed(self) -> list[_Wire]:
        return [wire for wire in self.wires if not self.is_level(wire)]

    def set_ports(self) -> None:
        """Where lines meet the upper and the lower edge of each box."""
        wanted: dict[tuple[int, bool], dict[int, tuple[float, float]]] = {}
        for wire in self.routed():
            for key, other in ((wire.source, wire.target), (wire.target, wire.source)):
                cell = self.cell_of[key]
                below = self.channel(wire, key) > cell.row
                if key in self.stacked:
                    self.port_x[key, wire.net, below] = self.track_x(cell, wire.net)
                    continue
                ports = wanted.setdefault((key, below), {})
                # What leaves a step the usual way starts in the middle.
                if wire.net == key and below == (cell.side == "left"):
                    ports[wire.net] = cell.x, STIFF
                else:
                    along = self.cell_of[other].side == cell.side and other not in self.stacked
                    ports[wire.net] = self.toward(wire, key, other), STIFF / 2 if along else 1.0
        for (key, below), ports in wanted.items():
            cell = self.cell_of[key]
            order = sorted(ports, key=lambda net: (ports[net], net))
            half = cell.core_size[0] / 2 - ARM
            arm = min(ARM, 2 * half / max(len(order) - 1, 1))
            aims = [min(max(ports[net][0], cell.x - half), cell.x + half) for net in order]
            places = spread(aims, [ports[net][1] for net in order], [arm] * (len(order) - 1))
            low, high = cell.x - half, cell.x + half - arm * (len(order) - 1)
            for place, (net, x) in enumerate(zip(order, places, strict=True)):
                inside = min(max(x - arm * place, low), high)
                self.port_x[key, net, below] = inside + arm * place

    def toward(self, wire: _Wire, key: int, other: int) -> float:
        """Where a line comes from, seen from one of its ends."""
        cell, far = self.cell_of[key], self.cell_of[other]
        if abs(cell.row - far.row) < 2:
            if other in self.stacked:
                return self.track_x(far, wire.net)
            return far.x
        return self.passing_x(wire)

    def passing_x(self, wire: _Wire) -> float:
        """Where a line passes the rows between its ends."""
        if self.is_column(wire):
            return self.cell_of[wire.source].x
        return self.lane_x[wire.net, self.row(wire.target) > self.row(wire.source)]

    def track_x(self, cell: Cell, net: int) -> float:
        """The vertical line of a source between the core and the stack of a cell."""
        offset = 10.0 + 9.0 * cell.tracks.index(net)
        half = cell.core_size[0] / 2
        return cell.x - half - cell.gap + offset if cell.side == "left" else cell.x + half + offset

    # --- lines ---------------------------------------------------------------------------

    def columns_of(self, wire: _Wire) -> list[tuple[int, float]]:
        """``(channel, x)``: the vertical lines that a line follows, with channels between."""
        start, end = self.row(wire.source), self.row(wire.target)
        below = self.channel(wire, wire.source) > start
        columns = [(start, self.port_x[wire.source, wire.net, below])]
        step = 1 if end > start else -1
        for row in range(start + step, end, step):
            columns.append((row, self.passing_x(wire)))
        entered = self.channel(wire, wire.target) > end
        columns.append((end, self.port_x[wire.target, wire.net, entered]))
        return columns

    def gather_trunks(self) -> None:
        for wire in self.routed():
            columns = self.columns_of(wire)
            for (row, x), (other, far) in zip(columns, columns[1:], strict=False):
                channel = max(row, other) if row != other else row + 1
                trunk = self.trunks[channel].setdefault(wire.net, Trunk())
                for r, place in ((row, x), (other, far)):
                    ends = trunk.above if r < channel else trunk.below
                    if place not in ends:
                        ends.append(place)
        self.tracks = [set_on_tracks(trunks) for trunks in self.trunks]

    def set_y(self) -> None:
        self.channel_y: list[float] = []
        self.row_y: list[tuple[float, float]] = []
        y = MARGIN + HEADING
        for channel, tracks in enumerate(self.tracks):
            self.channel_y.append(y)
            outer = channel in (0, self.rows)
            y += (8.0 if outer else CHANNEL) + TRACK * (tracks + (1 if outer and tracks else 0))
            if channel < self.rows:
                high = max((c.height for c in self.by_row.get(channel, [])), default=0.0)
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

    def trunk_y(self, channel: int, net: int) -> float:
        track = self.trunks[channel][net].track
        outer = channel in (0, self.rows)
        room = 8.0 if outer else CHANNEL
        # Arrows end below the tracks or above them: more room where their points are.
        return self.channel_y[channel] + room / 2 + TRACK * track + (TRACK / 2 if outer else 0.0)

    def inner_lines(self) -> list[Line]:
        """Curves from leaves to their step, and from an adjoint to its gradients."""
        lines = []
        beside: dict[int, list[tuple[int, int]]] = {}
        for source, target in self.inner:
            core = target if self.side(source) == "left" else source
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
        both = {(w.source, w.target) for w in self.wires if w.kind != "link"}
        for wire in self.wires:
            if self.is_level(wire):
                one, other = self.boxes[wire.source], self.boxes[wire.target]
                y = one.y + one.height / 2
                if (wire.source, wire.target) in both:
                    y += -5.0 if wire.kind == "link" else 7.0
                points: tuple[Point, ...] = ((one.x + one.width, y), (other.x, y))
            else:
                points = self.route(wire)
            lines.append(Line(wire.source, wire.target, points, wire.kind))
        return lines

    def route(self, wire: _Wire) -> tuple[Point, ...]:
        columns = self.columns_of(wire)
        points = [self.end(wire.source, columns[0][1], self.channel(wire, wire.source))]
        if wire.source in self.stacked:
            points.append((columns[0][1], points[0][1]))
        for (row, x), (other, far) in zip(columns, columns[1:], strict=False):
            if abs(x - far) > 0.5:
                channel = max(row, other) if row != other else row + 1
                y = self.trunk_y(channel, wire.net)
                points += [(x, y), (far, y)]
        last = self.end(wire.target, columns[-1][1], self.channel(wire, wire.target))
        if wire.target in self.stacked:
            points.append((columns[-1][1], last[1]))
        points.append(last)
        return tuple(points)

    def end(self, key: int, x: float, channel: int) -> Point:
        """Where a line meets a box: its side in a stack, else its upper or lower edge."""
        box = self.boxes[key]
        if key in self.stacked:
            left = self.side(key) == "right"
            return (box.x if left else box.x + box.width), box.y + box.height / 2
        return x, (box.y + box.height if channel > self.row(key) else box.y)

    # --- layers --------------------------------------------------------------------------

    def bands(self) -> tuple[Band, ...]:
        """The rows of each layer that is drawn in full."""
        result = []
        for name in self.open_layers():
            rows = [self.row(n.key) for n in self.nodes if n.layer == name and not n.outside]
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
