"""Source text with a formula beside each line that computes one."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from html import escape

from .blocks import Markup

__all__ = ["highlighted", "listing"]

_TOKEN = re.compile(
    r"""(?P<c>\#.*)|(?P<s>"[^"\n]*"|'[^'\n]*')|(?P<n>\b\d[\w.]*(?:(?<=e)[+-]\d+)?)|(?P<w>\w+)"""
    r"""|(?P<o>[^\w\s"'#]+|\s+|["'])"""
)


def highlighted(line: str) -> Markup:
    """A line of Python, its keywords, numbers, strings and comment marked."""
    parts = []
    for found in _TOKEN.finditer(line):
        text = escape("".join(c if c.isprintable() else "?" for c in found[0]))
        kind = found.lastgroup
        if kind == "w":
            kind = "k" if keyword.iskeyword(found[0]) else None
        parts.append(
            f'<span class="{kind}">{text}</span>' if kind in ("c", "s", "n", "k") else text
        )
    return Markup("".join(parts))


def listing(source: str, beside: Mapping[int, Markup]) -> Markup:
    """A listing with numbers of lines; ``beside`` gives the formulas by line, counted from 1."""
    rows = []
    for number, line in enumerate(source.rstrip("\n").split("\n"), 1):
        formula = f'<div class="fit">{beside[number]}</div>' if number in beside else ""
        rows.append(
            f'<tr><td class="at">{number}</td><td><code>{highlighted(line)}</code></td>'
            f'<td class="beside">{formula}</td></tr>'
        )
    head = (
        '<thead><tr><th scope="col"></th><th scope="col">code</th>'
        '<th scope="col">what it computes</th></tr></thead>'
    )
    body = f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"
    return Markup(f'<div class="listing" tabindex="0">{body}</div>')
