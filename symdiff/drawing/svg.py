"""A drawing as SVG: complete in itself, for light and dark, with a tooltip on each box."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from .layout import BAND_NAME, HEADING, MARGIN, Box, Layout, Line, Point, lay_out
from .measure import FORMULA, LINE, NAME, PADDING, SHAPE
from .model import Drawing, DrawnNode

__all__ = ["escaped", "svg"]

ROUND = 7.0
"""Radius of the corners of lines."""
LONGEST = 1500
"""Characters of a formula that a tooltip shows."""

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', 'Noto Sans', sans-serif"

COLOURS = {
    "ground": ("#ffffff", "#16181d"),
    "text": ("#1b1f24", "#e8eaee"),
    "muted": ("#57606a", "#a3abb6"),
    "band": ("#f5f6f8", "#1d2026"),
    "data": ("#eeeeee", "#33373f"),
    "data-edge": ("#9a9a9a", "#7d838d"),
    "parameter": ("#e3f1dc", "#25391f"),
    "parameter-edge": ("#6a9a52", "#7fb267"),
    "forward": ("#dbe9fa", "#1d3452"),
    "forward-edge": ("#3b78c3", "#6ea8ee"),
    "backward": ("#fdebd3", "#4a3114"),
    "backward-edge": ("#d9822b", "#eba04f"),
    "gradient": ("#fbd3a8", "#6b420f"),
    "gradient-edge": ("#c2620a", "#f2ab5c"),
    "across-edge": ("#a9b0ba", "#666d78"),
}
"""What may be set by a page as ``--graph-NAME``: light and dark."""


def svg(drawing: Drawing) -> str:
    """The text of the picture."""
    layout = lay_out(drawing)
    wide, high = _number(layout.width), _number(layout.height)
    title = "Graph of a derivation"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="symdiff-graph" role="img" '
        f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        f'style="max-width:100%;height:auto" font-family="{FONT}">',
        f"<title>{title}</title>",
        f"<desc>{escaped(_description(drawing))}</desc>",
        f"<style>{_style()}</style>",
        f'<rect class="ground" width="{wide}" height="{high}" rx="6" fill="#ffffff"/>',
        *_bands(layout),
        *(
            f'<text class="muted" x="{_number(x)}" y="{_number(MARGIN + HEADING / 2)}" '
            f'font-size="12" text-anchor="middle" fill="#57606a">{escaped(text)}</text>'
            for text, x in layout.headings
        ),
    ]
    order = {"across": 0, "link": 1, "forward": 2, "backward": 3}
    parts += [_line(line) for line in sorted(layout.lines, key=lambda line: order[line.kind])]
    parts += [_box(box, node) for box, node in zip(layout.boxes, drawing.nodes, strict=True)]
    return "\n".join([*parts, "</svg>"])


def escaped(text: str) -> str:
    """Any text as XML, without the characters that XML does not know."""
    known = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return known.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _description(drawing: Drawing) -> str:
    count = Counter(node.role for node in drawing.nodes)
    return (
        f"{count['forward']} forward boxes on the left, {count['backward']} adjoints and "
        f"{count['gradient']} gradients on the right, {len(drawing.edges)} arrows."
    )


def _style() -> str:
    light = ";".join(f"--graph-{name}:{pair[0]}" for name, pair in COLOURS.items())
    dark = ";".join(f"--graph-{name}:{pair[1]}" for name, pair in COLOURS.items())
    rules = [
        f":where(.symdiff-graph){{{light}}}",
        f"@media (prefers-color-scheme:dark){{:where(.symdiff-graph){{{dark}}}}}",
        f".symdiff-graph .ground{{fill:{_variable('ground')}}}",
        f".symdiff-graph .band{{fill:{_variable('band')}}}",
        f".symdiff-graph text{{fill:{_variable('text')}}}",
        f".symdiff-graph text.muted{{fill:{_variable('muted')}}}",
        f".symdiff-graph path.link{{stroke:{_variable('muted')}}}",
        ".symdiff-graph g:hover rect{stroke-width:2.5}",
    ]
    for name in ("data", "parameter", "forward", "backward", "gradient"):
        fill, edge = _variable(name), _variable(f"{name}-edge")
        rules.append(f".symdiff-graph .{name} rect{{fill:{fill};stroke:{edge}}}")
    for name in ("forward", "backward", "across"):
        edge = _variable(f"{name}-edge")
        rules.append(f".symdiff-graph path.{name}{{stroke:{edge}}}")
        rules.append(f".symdiff-graph path.tip.{name}{{fill:{edge}}}")
    return "".join(rules)


def _variable(name: str) -> str:
    return f"var(--graph-{name},{COLOURS[name][0]})"


def _bands(layout: Layout) -> list[str]:
    parts = []
    for place, band in enumerate(layout.bands):
        y, high = _number(band.y), _number(band.height)
        if place % 2 == 0:
            parts.append(
                f'<rect class="band" x="0" y="{y}" width="{_number(layout.width)}" '
                f'height="{high}" fill="#f5f6f8"/>'
            )
        parts.append(
            f'<text class="muted" x="{_number(MARGIN)}" y="{_number(band.y + 20)}" '
            f'font-size="{_number(BAND_NAME)}" fill="#57606a">{escaped(band.name)}</text>'
        )
    return parts


def _box(box: Box, node: DrawnNode) -> str:
    label = box.label
    fill, edge = COLOURS[node.role][0], COLOURS[f"{node.role}-edge"][0]
    dashes = ' stroke-dasharray="4 3"' if node.outside else ""
    left, right = box.x + PADDING, box.x + box.width - PADDING
    y = box.y + 5 + LINE * 0.75
    between = ": " if node.is_layer else " = "
    whole = between.join(filter(None, (node.name, node.meaning, node.formula)))
    tooltip = [_cut(whole), f"shape {node.shape}" if node.shape else "", _cut(node.rule)]
    parts = [
        f'<g class="{node.role}" data-key="{node.key}">',
        f"<title>{escaped(chr(10).join(filter(None, tooltip)))}</title>",
        f'<rect x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}" '
        f'height="{_number(box.height)}" rx="{8 if node.phase != "leaf" else 14}" '
        f'fill="{fill}" stroke="{edge}"{dashes}/>',
        _text(label.name, left, y, NAME, ' font-weight="bold" fill="#1b1f24"'),
    ]
    if label.shape:
        more = ' class="muted" text-anchor="end" fill="#57606a"'
        parts.append(_text(label.shape, right, y, SHAPE, more))
    for line in label.lines:
        y += LINE
        parts.append(_text(line, left, y, FORMULA, ' fill="#1b1f24"'))
    return "".join([*parts, "</g>"])


def _text(text: str, x: float, y: float, size: float, more: str) -> str:
    return (
        f'<text x="{_number(x)}" y="{_number(y)}" font-size="{_number(size)}"{more}>'
        f"{escaped(text)}</text>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


# --- lines -------------------------------------------------------------------------------


def _line(line: Line) -> str:
    points = _bent(line.points)
    name = quoteattr(f"{line.source} {line.target}")
    if line.kind == "link":
        return (
            f'<path class="link" data-link={name} d="{_path(points)}" fill="none" '
            'stroke="#57606a" stroke-width="1.2" stroke-dasharray="2 4">'
            "<title>a step and its adjoint</title></path>"
        )
    colour = COLOURS[f"{line.kind}-edge"][0]
    strong = 1.6 if line.kind != "across" else 1.2
    (x, y), (a, b) = points[-1], points[-2]
    if line.curved:
        a, b = x - 1, y
    length = max(abs(x - a) + abs(y - b), 1e-9)
    dx, dy = (x - a) / length, (y - b) / length
    if abs(dx) > abs(dy):
        dx, dy = (1.0 if dx > 0 else -1.0), 0.0
    else:
        dx, dy = 0.0, (1.0 if dy > 0 else -1.0)
    base = x - 7 * dx, y - 7 * dy
    body = _curve(points[0], base) if line.curved else _path([*points[:-1], base])
    corners = [(x, y), (base[0] - 3.5 * dy, base[1] + 3.5 * dx),
               (base[0] + 3.5 * dy, base[1] - 3.5 * dx)]  # fmt: skip
    tip = "M" + "L".join(f"{_number(px)} {_number(py)}" for px, py in corners) + "Z"
    return (
        f'<path class="{line.kind}" data-edge={name} d="{body}" fill="none" stroke="{colour}" '
        f'stroke-width="{strong}"/>'
        f'<path class="tip {line.kind}" d="{tip}" fill="{colour}" stroke="none"/>'
    )


def _bent(points: Sequence[Point]) -> list[Point]:
    """The corners without those in the middle of a straight line."""
    result: list[Point] = []
    for point in points:
        if result and abs(point[0] - result[-1][0]) + abs(point[1] - result[-1][1]) < 0.01:
            continue
        if len(result) > 1 and any(
            abs(result[-2][axis] - result[-1][axis]) < 0.01
            and abs(result[-1][axis] - point[axis]) < 0.01
            for axis in (0, 1)
        ):
            result.pop()
        result.append(point)
    return result if len(result) > 1 else [*result, *result]


def _curve(start: Point, end: Point) -> str:
    (x, y), (u, v) = start, end
    middle = _number((x + u) / 2)
    return (
        f"M{_number(x)} {_number(y)}C{middle} {_number(y)} {middle} {_number(v)} "
        f"{_number(u)} {_number(v)}"
    )


def _path(points: Sequence[Point]) -> str:
    """Straight lines with round corners."""
    parts = [f"M{_number(points[0][0])} {_number(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(ROUND, _distance(before, corner) / 2, _distance(corner, after) / 2)
        ax, ay = _toward(corner, before, radius)
        bx, by = _toward(corner, after, radius)
        parts.append(
            f"L{_number(ax)} {_number(ay)}Q{_number(corner[0])} {_number(corner[1])} "
            f"{_number(bx)} {_number(by)}"
        )
    parts.append(f"L{_number(points[-1][0])} {_number(points[-1][1])}")
    return "".join(parts)


def _distance(one: Point, other: Point) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _toward(start: Point, end: Point, length: float) -> Point:
    whole = max(_distance(start, end), 1e-9)
    return (
        start[0] + (end[0] - start[0]) * length / whole,
        start[1] + (end[1] - start[1]) * length / whole,
    )


def _number(value: float) -> str:
    return (
        f"{value:.1f}".removesuffix(".0").replace("-0", "0", 1) if value > -0.05 else f"{value:.1f}"
    )
