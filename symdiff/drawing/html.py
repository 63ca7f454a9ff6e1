"""A drawing as a part of an HTML page, its layers to open one by one."""

from __future__ import annotations

import re
from hashlib import blake2s

from .model import Drawing
from .svg import escaped, svg

__all__ = ["html"]

STYLE = (
    ".symdiff-layers{margin:.5em 0}"
    ".symdiff-layers details{margin:.2em 0}"
    ".symdiff-layers summary{cursor:pointer}"
    ".symdiff-layers svg,.symdiff-drawing>svg{display:block;margin:.4em 0}"
    ".symdiff-drawing,.symdiff-layers details>div{overflow-x:auto;margin:0}"
)


SMALLEST = 0.75
"""How far a picture may shrink."""


def html(drawing: Drawing) -> str:
    """The picture; below it, each collapsed layer in full, closed until asked for.

    A collapsed box leads to its layer by a link, at which browsers open what is closed.
    """
    picture = _readable(svg(drawing))
    parts = [f'<figure class="symdiff-drawing"><style>{STYLE}</style>', picture]
    if drawing.collapsed:
        # Several drawings may stand on one page: names of places differ where pictures do.
        mark = blake2s(picture.encode("utf-8"), digest_size=6).hexdigest()
        names = [name for name in drawing.layers if name in drawing.collapsed]
        places = {name: f"symdiff-{mark}-{number}" for number, name in enumerate(names)}
        parts[1] = _linked(drawing, picture, places)
        parts.append('<div class="symdiff-layers">')
        for name in names:
            box = next(n for n in drawing.nodes if n.is_layer and n.layer == name)
            summary = f"<summary><b>{escaped(name)}</b> {escaped(box.formula)}</summary>"
            inner = _readable(svg(drawing.inside(name)))
            parts.append(f'<details>{summary}<div id="{places[name]}">{inner}</div></details>')
        parts.append("</div>")
    return "\n".join([*parts, "</figure>"])


def _readable(picture: str) -> str:
    """On a narrow page a picture shrinks a little, then it is scrolled."""
    found = re.search(r' width="([\d.]+)"', picture)
    least = round(SMALLEST * float(found[1])) if found else 0
    return picture.replace("max-width:100%;", f"max-width:100%;min-width:{least}px;", 1)


def _linked(drawing: Drawing, picture: str, places: dict[str, str]) -> str:
    """The picture with a link around each box of a layer."""
    targets = {str(n.key): places[n.layer] for n in drawing.nodes if n.is_layer}

    def link(found: re.Match[str]) -> str:
        target = targets.get(found["key"])
        return f'<a href="#{target}">{found[0]}</a>' if target else found[0]

    return re.sub(r'<g class="\w+" data-key="(?P<key>\d+)">.*?</g>', link, picture, flags=re.DOTALL)
