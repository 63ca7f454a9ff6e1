"""The layout of recurrences: ``h[T] of scan(h ← tanh(hU + xW), x ∈ X, h[0] = b)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..graph import Node, consumers, walk
from ..recurrence import HISTORY, LAST, STACKED, Recurrence, recurrence
from .infix import STEP_SIZE
from .style import PREFIX, Piece

if TYPE_CHECKING:
    from .page import Page

__all__ = ["scan_layout"]


def scan_layout(page: Page, node: Node) -> Piece:
    """A result of a recurrence. Its step is spelled out once on a page, later ones have numbers."""
    own = recurrence(node)
    kind, position = node.attributes[-1]
    code, function = page.style.code, page.style.function
    number, first = page.recurrences.setdefault(own, (len(page.recurrences) + 1, node))
    name = function("scan") if number == 1 else page.style.symbol(f"scan{number}").text
    if first is node:
        name += _parts(page, own, node)
    carries, _, _ = own.parameters()
    which = code("y") if kind == STACKED else page.text(carries[position])
    time = {LAST: "[T]", HISTORY: "[t]", STACKED: "[t]"}[kind]
    return Piece(f"{which}{code(time)}{function(' of ')}{name}", PREFIX, False)


def _parts(page: Page, own: Recurrence, node: Node) -> str:
    """In parentheses: what is used twice, carries, outputs, elements, starts."""
    kind, position = node.attributes[-1]
    carries, elements, outside = own.parameters()
    inner = type(page)(page.style)
    for leaf, x in zip(outside, own.outside, strict=True):
        inner.name(leaf, page.piece(x))
    code, relation = page.style.code, page.style.relations["equal"]
    short = len(walk(own.body.results)) <= STEP_SIZE
    parts = _shared(inner, own) if short else []
    for leaf, after in zip(carries, own.next_carries, strict=True):
        step = inner.text(after) if short else code("…")
        parts.append(f"{inner.text(leaf)}{page.style.arrow}{step}")
    shown = [own.outputs[position]] if kind == STACKED else []
    parts += [f"{code('y')}{relation}{inner.text(y) if short else code('…')}" for y in shown]
    for leaf, x in zip(elements, own.elements, strict=True):
        parts.append(f"{inner.text(leaf)}{page.style.element}{page.text(x)}")
    for leaf, start in zip(carries, own.start, strict=True):
        if not _is_zero(start):
            parts.append(f"{inner.text(leaf)}{code('[0]')}{relation}{page.text(start)}")
    if own.reverse:
        parts.append(page.style.function("reversed"))
    return page.style.parentheses(page.style.listed(parts))


def _shared(inner: Page, own: Recurrence) -> list[str]:
    """Definitions of what the step uses more than once."""
    users = consumers(own.body.results)
    taken = {n.attributes[0].name for n in users if n.operation == "symbol"}
    letters = [c for c in "uvwabcpqrst" if c not in taken]
    definitions = []
    for node in walk(own.body.results):
        often = len(users[node]) + own.body.results.count(node) > 1
        if not often or not node.inputs or node.operation in _REPEATED or not letters:
            continue
        name = inner.style.symbol(letters.pop(0))
        written = inner.definition(node)
        inner.name(node, name)
        definitions.append(f"{name.text}{inner.style.relations['equal']}{written}")
    return definitions


_REPEATED = {"transpose", "broadcast_to", "reshape", "negative", "power"}
"""Operations that are written wherever they are needed."""


def _is_zero(node: Node) -> bool:
    while node.operation == "broadcast_to":
        node = node.inputs[0]
    return node.is_number(0)
