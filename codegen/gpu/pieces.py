"""Pieces: statements that one kind of team runs, and which phase each belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..loop_ir import Gemm, Loop, Spread, Statement
from ..passes.fuse import Summary
from .nests import Nest


@dataclass(eq=False)
class Piece:
    """Statements that one kind of team runs.

    Attributes
    ----------
    nest : Nest or None
        None for what runs once.
    summary : Summary
        Of all that it touches.
    level : int
        Its phase.
    """

    body: list[Statement]
    nest: Nest | None
    summary: Summary
    level: int = 0
    spreads: list[Spread] = field(default_factory=list)

    @property
    def single(self) -> bool:
        """Whether it runs once, on a team that is not chosen yet."""
        return self.nest is None and not self.spreads and not isinstance(self.body[0], Gemm)


def gathered(pieces: list[Piece], found: list[Piece], s: Statement, summary: Summary) -> Piece:
    """The piece of a statement and of the pieces whose variables it has.

    It takes the place of the first of them, or the last place, if nothing between keeps it from
    there; else all that lies between becomes a part of it.
    """
    new = Piece([s], None, summary)
    if not found:
        pieces.append(new)
        return new
    first = min(pieces.index(p) for p in found)
    tail = pieces[first:]
    up = not any(
        meet(other.summary, later.summary)
        for n, other in enumerate(tail)
        if other not in found
        for later in (*(p for p in tail[n + 1 :] if p in found), new)
    )
    down = not any(
        meet(earlier.summary, other.summary)
        for n, other in enumerate(tail)
        if other not in found
        for earlier in tail[:n]
        if earlier in found
    )
    taken = found if up or down else tail
    place = first if up else len(pieces) - len(taken)
    rest = [p for p in pieces if p not in taken]
    whole = [p for p in tail if p in taken]
    piece = Piece([i for p in whole for i in p.body] + [s], None, summary)
    for p in whole:
        piece.summary.join(p.summary)
    rest.insert(place, piece)
    pieces[:] = rest
    return piece


def joined(body: list[Statement]) -> Piece:
    """Statements that run once, as one piece."""
    summary = Summary(body[0])
    for s in body[1:]:
        summary.join(Summary(s))
    return Piece(body, None, summary)


def meet(a: Summary, b: Summary) -> bool:
    """Whether one writes memory that the other touches."""
    return any(c.space != "scalar" for c in a.conflicts(b))


def one_owner(a: Piece, b: Piece) -> bool:
    """Whether the thread that needs something has computed it."""
    if a.nest is None or b.nest is None or a.nest.extents != b.nest.extents:
        return False
    if any(isinstance(s, Loop) for own in (a.nest, b.nest) for s in own.rest):
        return False  # a team may divide them
    for buffer in a.summary.conflicts(b.summary):
        if buffer.space == "scalar":
            continue
        for one, other in zip(a.nest.summaries, b.nest.summaries, strict=True):
            if not one.axes[buffer] & other.axes[buffer]:
                return False
    return True
