"""Blocks of a page, and the few kinds of HTML they are made of. All text is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Block", "Markup", "cell", "code", "copied", "folded", "paragraph", "scroll", "table"]


class Markup(str):
    """Text that is HTML already; every other string is escaped where it enters a page."""

    __slots__ = ()


@dataclass(frozen=True)
class Block:
    """A part of a page under a heading of its own.

    Attributes
    ----------
    key : str
        Letters and hyphens; the block is linked by it.
    title : str
    html : Markup
    buttons : tuple of (str, str)
        What can be copied: the label of the button, and the text.
    """

    key: str
    title: str
    html: Markup
    buttons: tuple[tuple[str, str], ...] = ()

    def body(self) -> Markup:
        """The block without its heading."""
        copies = [copied(self.key, n, label, t) for n, (label, t) in enumerate(self.buttons)]
        row = f'<p class="buttons">{"".join(copies)}</p>' if copies else ""
        return Markup(row + self.html)


def html(text: str) -> str:
    """Any text as HTML."""
    if isinstance(text, Markup):
        return text
    shown = "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)
    return escape(shown)


def paragraph(text: str) -> Markup:
    """A paragraph."""
    return Markup(f"<p>{html(text)}</p>")


def code(text: str) -> Markup:
    """Text as it is typed."""
    return Markup(f"<code>{html(text)}</code>")


def scroll(inner: str) -> Markup:
    """A box that scrolls where its content is wider than the page.

    Browsers let keys reach a box that scrolls, and only that, so it is no stop of its own.
    """
    return Markup(f'<div class="scroll">{html(inner)}</div>')


def copied(key: str, number: int, label: str, text: str) -> Markup:
    """A button that copies a text, which stands beside it unseen."""
    target = f"copy-{key}-{number}"
    return Markup(
        f'<button type="button" class="copy" data-copy="{target}">{html(label)}</button>'
        f'<span hidden id="{target}">{html(text)}</span>'
    )


def folded(summary: str, inner: str, shown: bool) -> Markup:
    """What can be folded away, without a script."""
    state = " open" if shown else ""
    return Markup(f"<details{state}><summary>{html(summary)}</summary>{html(inner)}</details>")


def cell(inner: str, kind: str = "") -> Markup:
    """A cell of a table, with a class."""
    return Markup(f'<td class="{kind}">{html(inner)}</td>')


def table(head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> Markup:
    """A table; a cell that is not made by :func:`cell` becomes a plain one."""
    titles = "".join(f'<th scope="col">{html(title)}</th>' for title in head)
    lines = []
    for row in rows:
        cells = [c if c.startswith("<td") and isinstance(c, Markup) else cell(c) for c in row]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return Markup(
        f'<table class="{kind}"><thead><tr>{titles}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
