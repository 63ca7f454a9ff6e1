"""Arrays as a table: how large their numbers are, and a picture of them."""

from __future__ import annotations

import math
import struct
import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..bridge import to_graph
from ..printing.mathml import MATHML
from ..printing.page import Page
from .blocks import Markup, cell, html, scroll, table
from .formulas import formula, shape_mathml

__all__ = ["arrays_table", "heat_map", "png"]

MOST_PIXELS = 96
"""Rows and columns of a picture; larger arrays are averaged."""

NEGATIVE, MIDDLE, POSITIVE = (33, 90, 190), (245, 245, 245), (200, 60, 40)
UNKNOWN = (130, 130, 130)
"""The colours of a picture, from the least number over zero to the greatest; of NaN."""


def arrays_table(values: Mapping[Any, Any]) -> Markup:
    """One row for each symbol."""
    rows = []
    for symbol, value in values.items():
        array = np.asarray(value, dtype=np.float64)
        written = formula(Page(MATHML).text(to_graph(symbol)))
        shape = shape_mathml(array.shape)
        if array.ndim == 0:
            rows.append([written, shape, cell(_number(float(array)), "number"), "", "", ""])
            continue
        numbers = [float(np.sqrt(np.sum(array**2)))]
        numbers += [float(array.min()), float(array.max())] if array.size else [math.nan] * 2
        cells = [cell(_number(n), "number") for n in numbers]
        rows.append([written, shape, *cells, heat_map(array, str(symbol))])
    head = ["name", "shape", "value or norm", "least", "greatest", "picture"]
    return scroll(table(head, rows, "parameters"))


def heat_map(array: np.ndarray, name: str) -> Markup:
    """An array as coloured squares: a matrix as it is, more axes as the columns of one."""
    if not array.size:
        return Markup("")
    flat = array.reshape(1, -1) if array.ndim == 1 else array.reshape(array.shape[0], -1)
    small = _averaged(_averaged(flat, 0), 1)
    finite = np.abs(small[np.isfinite(small)])
    largest = float(finite.max()) if finite.size else 0.0
    share = np.clip(np.nan_to_num(small / (largest or 1.0), posinf=1, neginf=-1), -1, 1)[..., None]
    ends = np.where(share < 0, np.array(NEGATIVE), np.array(POSITIVE))
    pixels = np.array(MIDDLE) + np.abs(share) * (ends - np.array(MIDDLE))
    pixels[np.isnan(small)] = UNKNOWN
    data = b64encode(png(pixels.round().astype(np.uint8))).decode()
    rows, columns = small.shape
    scale = max(1.0, min(14.0, 220 / columns, 120 / rows))
    alt = html(f"{name}: blue is negative, red positive, up to {_number(largest)}")
    return Markup(
        f'<img class="heat" width="{round(columns * scale)}" height="{round(rows * scale)}" '
        f'alt="{alt}" title="{alt}" src="data:image/png;base64,{data}">'
    )


def _averaged(matrix: np.ndarray, axis: int) -> np.ndarray:
    """At most so many rows or columns, each the mean of those that it stands for."""
    length = matrix.shape[axis]
    if length <= MOST_PIXELS:
        return matrix
    starts = np.arange(MOST_PIXELS) * length // MOST_PIXELS
    counts = np.diff([*starts, length])
    sums = np.add.reduceat(matrix, starts, axis=axis)
    return sums / (counts[:, None] if axis == 0 else counts)


def png(pixels: np.ndarray) -> bytes:
    """Rows of red, green and blue bytes as a PNG file."""
    height, width, _ = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)
    signature = b"\x89PNG\r\n\x1a\n"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return signature + body


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
