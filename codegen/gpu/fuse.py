"""Which loops a device runs as one.

Joined loops need no barrier between them, but what one thread does after another cannot be done
by two. So loops are joined where all their axes agree, or where what is left for one team is
little.
"""

from __future__ import annotations

from ..loop_ir import Buffer, Const, Loop, Statement, Store
from ..passes.fuse import WINDOW, Summary, fusable, join
from .nests import Sizes, independent

LIGHT = 1024
"""Statements that one team may run for an index of the first axis, where threads are few;"""

MANY = 1 << 17
"""from this many indices on, these alone keep all threads busy."""


def fuse(body: list[Statement], sizes: Sizes) -> list[Statement]:
    """Join the loops of a body, then those inside each loop.

    Nothing moves past a loop whose rounds follow each other: phases may be repeated in it.
    """
    result: list[Statement] = []
    start = 0
    for place, s in enumerate(body):
        if isinstance(s, Loop) and not independent(s, Summary(s), sums=True):
            result += [*_fused(body[start:place], sizes), _inner(s, sizes)]
            start = place + 1
    return result + _fused(body[start:], sizes)


def _fused(body: list[Statement], sizes: Sizes) -> list[Statement]:
    result: list[Statement] = []
    summaries: list[Summary] = []
    for statement in _starts_first(body):
        summary = Summary(statement)
        place = _partner(statement, summary, result, summaries, sizes)
        if place is None:
            result.append(statement)
            summaries.append(summary)
            continue
        first = result[place]
        assert isinstance(first, Loop) and isinstance(statement, Loop)
        result[place] = _inner(join(first, statement), sizes)
        summaries[place].join(summary)
    return [_inner(s, sizes) if isinstance(s, Loop) else s for s in result]


def _starts_first(body: list[Statement]) -> list[Statement]:
    """The starts of sums before the loops, so that none stands between two of these."""
    starts: list[Statement] = []
    rest: list[Statement] = []
    seen: set[Buffer] = set()
    for s in body:
        start = isinstance(s, Store) and s.buffer.space == "scalar" and isinstance(s.value, Const)
        if start and isinstance(s, Store) and s.buffer not in seen:
            starts.append(s)
        else:
            rest.append(s)
        seen.update(Summary(s).written)
    return starts + rest


def _inner(loop: Loop, sizes: Sizes) -> Loop:
    return Loop(loop.counter, loop.extent, fuse(loop.body, sizes), loop.formula)


def _partner(
    statement: Statement,
    summary: Summary,
    result: list[Statement],
    summaries: list[Summary],
    sizes: Sizes,
) -> int | None:
    """The earlier loop that a loop is joined to, moving up past what is independent."""
    if not isinstance(statement, Loop):
        return None
    for place in reversed(range(max(0, len(result) - WINDOW), len(result))):
        other = result[place]
        if isinstance(other, Loop) and _together(
            other, statement, summaries[place], summary, sizes
        ):
            return place
        if not summary.independent(summaries[place]):
            return None
    return None


def _together(first: Loop, second: Loop, a: Summary, b: Summary, sizes: Sizes) -> bool:
    if not fusable(first, second, a, b):
        return False
    maps = [independent(loop, summary) for loop, summary in ((first, a), (second, b))]
    if sizes.extent(first.extent) >= MANY:
        return True
    needed = not a.independent(b)
    if _alike(first, second, a, b):
        straight = not any(isinstance(s, Loop) for s in (*first.body, *second.body))
        return maps[0] == maps[1] or (needed and straight)
    return all(maps) and needed and sizes.work([*first.body, *second.body]) <= LIGHT


def _alike(first: Loop, second: Loop, a: Summary, b: Summary) -> bool:
    """Whether two nests agree in all axes whose indices do not depend on each other."""
    if not fusable(first, second, a, b):
        return False
    one, other = _inside(first), _inside(second)
    if one is None and other is None:
        return not _divides(first) and not _divides(second)
    if one is None or other is None:
        return False
    return _alike(one[0], other[0], one[1], other[1])


def _divides(loop: Loop) -> bool:
    """Whether there are loops inside for the threads of a team."""
    return any(isinstance(s, Loop) and independent(s, Summary(s)) for s in loop.body)


def _inside(loop: Loop) -> tuple[Loop, Summary] | None:
    """The only statement of a loop, where it is a loop whose rounds are independent."""
    if len(loop.body) != 1 or not isinstance(loop.body[0], Loop):
        return None
    inner = loop.body[0]
    summary = Summary(inner)
    return (inner, summary) if independent(inner, summary) else None
