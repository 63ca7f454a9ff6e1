"""Curves as SVG: axes with round numbers, one line for each series, nothing to load."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .blocks import Markup, html

__all__ = ["curves", "ticks"]

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 38, 44
MOST_POINTS = 600
"""Points of a line; of more, the least and the greatest of each stretch are drawn."""

FEW_POINTS = 24
"""Points up to which each has a dot."""

LOGARITHMIC = 50.0
"""A ratio of greatest and least value from which on the scale is logarithmic."""


def curves(series: Mapping[str, Sequence[float]], unit: str, label: str) -> Markup:
    """Series of values over their number, counted from 1."""
    finite = [v for values in series.values() for v in values if math.isfinite(v)]
    if not finite:
        return Markup(f"<p>{html(label)}: no finite values were recorded.</p>")
    scale = _Scale(min(finite), max(finite))
    count = max(len(values) for values in series.values())
    parts = [_axes(scale, count, unit, label)]
    for number, (name, values) in enumerate(series.items()):
        parts.append(_line(values, number % 2, count, scale))
        parts.append(_legend(name, number, values))
    last = ", ".join(f"{name} {_number(values[-1])}" for name, values in series.items() if values)
    said = html(f"{label} by {unit}, {count} values; the last: {last}")
    return Markup(
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
        f"<title>{said}</title>{''.join(parts)}</svg>"
    )


class _Scale:
    """Values to heights."""

    def __init__(self, least: float, greatest: float) -> None:
        self.logarithmic = least > 0 and greatest / least >= LOGARITHMIC
        low, high = self._inner(least), self._inner(greatest)
        if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
            low, high = low - max(abs(low), 1.0) / 2, high + max(abs(high), 1.0) / 2
        margin = 0.04 * (high - low)
        self.low, self.high = low - margin, high + margin

    def _inner(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def place(self, value: float) -> float:
        share = (self._inner(value) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Round numbers: powers of ten, and their multiples where these are few."""
        if not self.logarithmic:
            return ticks(self.low, self.high)
        first, last = math.ceil(self.low), math.floor(self.high)
        step = max(1, (last - first) // 6 + 1)
        powers = [10.0**e for e in range(first, last + 1, step)]
        if len(powers) >= 3:
            return powers
        finer = [m * 10.0**e for e in range(first - 1, last + 1) for m in (1, 2, 5)]
        return [v for v in finer if self.low <= math.log10(v) <= self.high]


def ticks(low: float, high: float, wish: int = 5) -> list[float]:
    """About ``wish`` round numbers between two.

    Examples
    --------
    >>> from symdiff.report.charts import ticks
    >>> ticks(0.1, 1.07)
    [0.2, 0.4, 0.6, 0.8, 1.0]
    """
    raw = (high - low) / wish
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [float(f"{k * step:.12g}") for k in range(first, last + 1)]


def _across(position: float, count: int) -> float:
    share = (position - 1) / (count - 1) if count > 1 else 0.5
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _axes(scale: _Scale, count: int, unit: str, label: str) -> str:
    bottom = HEIGHT - BOTTOM
    parts = [f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>']
    for value in scale.ticks():
        y = scale.place(value)
        parts.append(f'<path class="axis" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" opacity="0.5"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        )
    places = ticks(1, count) if count > 5 else [float(k) for k in range(1, count + 1)]
    for place in sorted({float(max(1, round(p))) for p in places} | {1.0}):
        x = _across(place, count)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v5"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{bottom + 19}" text-anchor="middle">{_number(place)}</text>'
        )
    written = f"{label}, logarithmic" if scale.logarithmic else label
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{html(unit)}</text>'
    )
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">{html(written)}</text>')
    return "".join(parts)


def _line(values: Sequence[float], number: int, count: int, scale: _Scale) -> str:
    """A line, interrupted where a value is not finite."""
    path, pen = [], "M"
    points = _thinned(values)
    for position, value in points:
        if not math.isfinite(value):
            pen = "M"
            continue
        path.append(f"{pen}{_across(position, count):.1f} {scale.place(value):.1f}")
        pen = "L"
    drawn = f'<path class="line-{number}" d="{"".join(path)}"/>'
    if len(values) <= FEW_POINTS:
        drawn += "".join(
            f'<circle class="dot-{number}" r="3" cx="{_across(p, count):.1f}" '
            f'cy="{scale.place(v):.1f}"/>'
            for p, v in points
            if math.isfinite(v)
        )
    return drawn


def _thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    points = list(enumerate(map(float, values), 1))
    if len(points) <= MOST_POINTS:
        return points
    stretch = -(-2 * len(points) // MOST_POINTS)
    result = []
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        finite = [p for p in part if math.isfinite(p[1])]
        if finite:
            ends = {min(finite, key=lambda p: p[1]), max(finite, key=lambda p: p[1])}
            result += sorted(ends)
        else:
            result.append(part[0])
    return result


def _legend(name: str, number: int, values: Sequence[float]) -> str:
    x = LEFT + 210 * number
    last = f" {_number(values[-1])}" if len(values) else ""
    return (
        f'<path class="line-{number % 2}" d="M{x} 14h22"/>'
        f'<text x="{x + 28}" y="18">{html(name)}{last}</text>'
    )


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
