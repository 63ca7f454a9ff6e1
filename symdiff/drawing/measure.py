"""How wide text is, and how large a box has to be for its label.

Nothing says which font a reader has, so widths are those of DejaVu Sans, one of the widest: in
another font a label has room to spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import category, combining, east_asian_width

from .model import DrawnNode

__all__ = ["Label", "label_of", "shortened", "width", "wrapped"]

NAME, FORMULA, SHAPE = 13.0, 12.5, 11.0
"""Font sizes in pixels."""
LINE = 17.0
PADDING = 10.0
WIDEST_FORMULA = 235.0
WIDEST_NAME = 170.0
WIDEST_SHAPE = 130.0
MOST_LINES = 2

# Hundredths of the font size, for the characters from the space to the tilde.
_ASCII = (
    "32 40 46 84 64 95 78 27 39 39 50 84 32 36 32 34 64 64 64 64 64 64 64 64 64 64 34 34 84 84 84 "
    "53 100 68 69 70 77 63 58 77 75 29 29 66 56 86 75 79 60 79 69 63 61 73 68 99 69 61 69 39 34 "
    "39 84 50 50 61 63 55 63 62 35 63 63 28 28 58 28 97 63 61 63 63 41 52 39 63 59 82 59 59 52 64 "
    "34 64 84"
)
_WIDTHS = {chr(32 + place): int(part) / 100 for place, part in enumerate(_ASCII.split())}
_WIDTHS |= dict.fromkeys("₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₙₒₚᵣₛₜᵤᵥₓᵦ⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ", 0.45)
_WIDTHS |= dict.fromkeys("·", 0.32)
_WIDTHS |= dict.fromkeys("…", 1.0)
_WIDTHS |= {"₍": 0.3, "₎": 0.3, "ₘ": 0.63, "⁻": 0.54, "‖": 0.5, "∂": 0.53, "√": 0.65, "Σ": 0.64}
_BOLD = 1.17


def width(text: str, size: float, bold: bool = False) -> float:
    """An estimate of the width of a text, rather too wide than too narrow.

    Examples
    --------
    >>> from symdiff.drawing.measure import width
    >>> width("Xᵀδ", 10) < width("XᵀXw", 10) < width("XXXX", 10)
    True
    """
    return sum(map(_advance, text)) * size * (_BOLD if bold else 1.0)


def _advance(character: str) -> float:
    known = _WIDTHS.get(character)
    if known is not None:
        return known
    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    if east_asian_width(character) in "WF":
        return 1.3 if category(character) == "So" else 1.05
    if character.isalpha() and ord(character) < 0x250:
        return 1.0 if character.isupper() else 0.7
    if category(character) == "Ll":
        return 0.8
    return 1.0 if ord(character) < 0x10000 else 1.1


def shortened(text: str, size: float, room: float, bold: bool = False) -> str:
    """The text, or as much of it as there is room for and an ellipsis."""
    scale = size * (_BOLD if bold else 1.0)
    dots = scale * _WIDTHS["…"]
    used, fits = 0.0, 0
    for place, character in enumerate(text):
        used += _advance(character) * scale
        if used <= room - dots:
            fits = place + 1
        if used > room:
            return text[:fits].rstrip() + "…"
    return text


def wrapped(text: str, size: float, room: float, most: int) -> tuple[str, ...]:
    """The text in lines, broken at spaces, the last one cut where it goes on."""
    lines: list[str] = []
    words = text.split(" ")
    place = 0
    while place < len(words) and len(lines) < most:
        line, place = words[place], place + 1
        if len(lines) == most - 1:
            # All that is left is cut to fit; a long text is not measured to its end.
            line = shortened(" ".join([line, *words[place:]]), size, room)
            place = len(words)
        while place < len(words) and width(f"{line} {words[place]}", size) <= room:
            line, place = f"{line} {words[place]}", place + 1
        lines.append(shortened(line, size, room))
    return tuple(lines)


@dataclass(frozen=True)
class Label:
    """What is written in a box, and the room that it takes.

    Attributes
    ----------
    name, shape : str
        The first line, left and right.
    lines : tuple of str
        The lines of the formula.
    width, height : float
        Of the box.
    """

    name: str
    shape: str
    lines: tuple[str, ...]
    width: float
    height: float


def label_of(node: DrawnNode) -> Label:
    """The label of a box."""
    name = shortened(node.name, NAME, WIDEST_NAME, bold=True)
    shape = shortened(node.shape, SHAPE, WIDEST_SHAPE)
    lines: Sequence[str] = ()
    if node.formula and not node.outside:
        lines = wrapped(node.formula, FORMULA, WIDEST_FORMULA, MOST_LINES)
    head = width(name, NAME, bold=True) + (width(shape, SHAPE) + 12 if shape else 0)
    wide = max([head, *(width(line, FORMULA) for line in lines)])
    height = 12 + LINE * (1 + len(lines))
    return Label(name, shape, tuple(lines), max(wide + 2 * PADDING, 48.0), height)
