"""Which way lines go: lanes between the sides, ports at boxes, channels between rows.

A line leaves its box upwards or downwards into a channel, passes further rows in a lane between
the two sides, and enters by the channel next to its target. All lines of one source share lanes
and trunks, so what is read often is one line with branches.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .channels import Trunk, set_on_tracks
from .columns import lanes, spread
from .model import Drawing
from .ranks import Cell

__all__ = ["ARM", "Routes", "Wire"]

MIDDLE = 56.0
"""Between forward and backward side, without lines that pass there."""
LINES = 12.0
"""Between two lanes."""
ARM = 12.0
"""Between the ports of a box, and from its corners."""
STIFF = 50.0
"""How much more a line stays where it goes straight than where it bends anyway."""


@dataclass(frozen=True)
class Wire:
    """One arrow that is routed through channels. A link has a source of its own, below 0."""

    source: int
    target: int
    net: int
    kind: str


class Routes:
    """The lines of a drawing whose cells stand in rows.

    Attributes
    ----------
    inner : list of (int, int)
        Short arrows between neighbours in a cell.
    wires : list of Wire
        All others.
    trunks : list of dict
        For each channel, the horizontal line of each source.
    tracks : list of int
        How many tracks each channel needs.
    """

    def __init__(self, drawing: Drawing, cells: Sequence[Cell]) -> None:
        self.cells = cells
        self.cell_of = {key: cell for cell in cells for key in cell.members}
        self.stacked = {key for cell in cells for key in cell.stack}
        self.inner: list[tuple[int, int]] = []
        self.wires: list[Wire] = []
        self.by_row: dict[int, list[Cell]] = {}
        self.lane_x: dict[tuple[int, bool], float] = {}
        self.port_x: dict[tuple[int, int, bool], float] = {}
        rows = max((cell.row for cell in cells), default=-1) + 1
        self.trunks: list[dict[int, Trunk]] = [{} for _ in range(rows + 1)]
        self.tracks: list[int] = []
        self._sort(drawing)

    def side(self, key: int) -> str:
        """Left or right."""
        return self.cell_of[key].side

    def row(self, key: int) -> int:
        """The row a box stands in."""
        return self.cell_of[key].row

    def is_direct(self, source: int, target: int) -> bool:
        """True for an arrow between neighbours in a cell."""
        one, other = self.cell_of[source], self.cell_of[target]
        if one is not other or one.core is None:
            return False
        return (one.core == target) if one.side == "left" else (one.core == source)

    def _sort(self, drawing: Drawing) -> None:
        """Short arrows inside cells, and those that are routed; the tracks beside stacks."""
        for source, target in drawing.edges:
            if self.is_direct(source, target):
                self.inner.append((source, target))
            else:
                kind = "across" if self.side(source) != self.side(target) else "backward"
                kind = "forward" if self.side(target) == "left" else kind
                self.wires.append(Wire(source, target, source, kind))
        for step, adjoint in drawing.links:
            if self.row(step) == self.row(adjoint):
                self.wires.append(Wire(step, adjoint, -1 - step, "link"))
        for wire in self.wires:
            for key in (wire.source, wire.target):
                cell = self.cell_of[key]
                if key in self.stacked and wire.net not in cell.tracks:
                    cell.tracks.append(wire.net)

    def is_level(self, wire: Wire) -> bool:
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

    def is_column(self, wire: Wire) -> bool:
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

    # --- lanes ---------------------------------------------------------------------------

    def set_lanes(self) -> float:
        """Lanes between the sides for lines that pass a row; the room for them.

        What comes from the left goes on the left, and short lines next to the boxes, so that
        long ones go around them.
        """
        for cell in sorted(self.cells, key=lambda c: c.x):
            self.by_row.setdefault(cell.row, []).append(cell)
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

    def move_lanes(self, edge: float) -> None:
        """The lanes to where the left side ends."""
        self.lane_x = {key: edge + x for key, x in self.lane_x.items()}

    # --- ports ---------------------------------------------------------------------------

    def channel(self, wire: Wire, at: int) -> int:
        """The channel by which a line leaves or enters a row; channel c lies below row c - 1."""
        start, end = self.row(wire.source), self.row(wire.target)
        here = self.row(at)
        if at == wire.source:
            return here if end < start else here + 1
        return here + 1 if end <= start else here

    def routed(self) -> list[Wire]:
        """The lines that go through channels."""
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

    def toward(self, wire: Wire, key: int, other: int) -> float:
        """Where a line comes from, seen from one of its ends."""
        cell, far = self.cell_of[key], self.cell_of[other]
        if abs(cell.row - far.row) < 2:
            if other in self.stacked:
                return self.track_x(far, wire.net)
            return far.x
        return self.passing_x(wire)

    def passing_x(self, wire: Wire) -> float:
        """Where a line passes the rows between its ends."""
        if self.is_column(wire):
            return self.cell_of[wire.source].x
        return self.lane_x[wire.net, self.row(wire.target) > self.row(wire.source)]

    def track_x(self, cell: Cell, net: int) -> float:
        """The vertical line of a source between the core and the stack of a cell."""
        offset = 10.0 + 9.0 * cell.tracks.index(net)
        half = cell.core_size[0] / 2
        return cell.x - half - cell.gap + offset if cell.side == "left" else cell.x + half + offset

    def columns_of(self, wire: Wire) -> list[tuple[int, float]]:
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
        """What each channel holds, and on which tracks."""
        for wire in self.routed():
            columns = self.columns_of(wire)
            for (row, x), (other, far) in pairwise(columns):
                channel = max(row, other) if row != other else row + 1
                trunk = self.trunks[channel].setdefault(wire.net, Trunk())
                for r, place in ((row, x), (other, far)):
                    ends = trunk.above if r < channel else trunk.below
                    if place not in ends:
                        ends.append(place)
        self.tracks = [set_on_tracks(trunks) for trunks in self.trunks]
