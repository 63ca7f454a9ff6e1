"""Unrolling of tiny loops with literal extents, so that their buffers become variables."""

from __future__ import annotations

from ..ir_walk import map_statement, statements
from ..loop_ir import LANE, ROW, Buffer, Const, Let, Loop, Phase, Statement, Var, const
from ..names import Names
from .contract import fold

EXTENTS = (16, 4)
"""Loops of up to this many iterations are unrolled, of more where all loops inside are,"""

STATEMENTS = 120
"""as long as a loop keeps to this many statements."""


WINDOW = 16
"""In longer loops, windows of up to this many statements are unrolled."""


def _size(body: list[Statement], extent: int) -> int:
    total = 0
    for s in body:
        if isinstance(s, Loop):
            total += (_iterations(s, extent) or 1) * _size(s.body, extent)
        else:
            total += 1
    return total


def _iterations(loop: Loop, extent: int) -> int | None:
    """The iterations of a loop that is tiny, else None.

    Several rows stay a loop: LLVM makes them the lanes of a vector. So do channels, and loops
    around them.
    """
    if loop.extent != const(1) and any(
        isinstance(s, Loop) and s.counter.startswith(LANE) for s in statements([loop])
    ):
        return None
    if not isinstance(loop.extent, Const) or loop.extent.value > extent:
        return None
    rows = loop.counter == ROW and loop.extent.value > 1
    return None if rows else int(loop.extent.value)


def _extent(statement: Statement) -> int:
    """How long the loops are that are unrolled in a statement."""
    most, few = EXTENTS
    inside = [s for s in statements([statement]) if isinstance(s, Loop)]
    scalar = all(_iterations(s, most) for s in inside if s.counter != ROW)
    if scalar and _size([statement], most) <= STATEMENTS:
        return most  # the rows become the lanes of vectors
    return few if _size([statement], few) <= STATEMENTS else 0


def unroll_body(
    body: list[Statement], names: Names, extent: int, inmost: bool = False
) -> list[Statement]:
    """Unroll all tiny loops, or with ``inmost`` those in which nothing long is left."""
    result: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            result.append(s)
            continue
        inner = unroll_body(s.body, names, extent, inmost)
        iterations = _iterations(s, extent)
        long = any(isinstance(i, Loop) for i in inner) or (iterations or 0) * len(inner) > WINDOW
        if iterations is None or (inmost and iterations > 1 and long):
            result.append(Loop(s.counter, s.extent, inner, s.formula))
            continue
        for i in range(iterations):
            copies = _fresh_names(inner, names) if i else inner
            result += [_iteration(c, s.counter, i) for c in copies]
    return result


def _iteration(statement: Statement, counter: str, i: int) -> Statement:
    """A statement with the counter replaced by a number."""
    variable = Var(counter, "int")
    return map_statement(statement, lambda e: fold(const(i) if e == variable else e))


def _fresh_names(body: list[Statement], names: Names) -> list[Statement]:
    """A copy of a body whose variables have names of their own."""
    new = {s.name: names.new(s.name) for s in statements(body) if isinstance(s, Let)}
    if not new:
        return body

    def rename(statement: Statement) -> Statement:
        copy = map_statement(
            statement,
            lambda e: Var(new[e.name], e.dtype) if isinstance(e, Var) and e.name in new else None,
        )
        return _rename_lets(copy, new)

    return [rename(s) for s in body]


def _rename_lets(statement: Statement, new: dict[str, str]) -> Statement:
    if isinstance(statement, Let):
        return Let(new.get(statement.name, statement.name), statement.value, statement.formula)
    if isinstance(statement, Loop):
        body = [_rename_lets(s, new) for s in statement.body]
        return Loop(statement.counter, statement.extent, body, statement.formula)
    return statement


def unroll(phase: Phase, names: Names, buffers: list[Buffer], vectors: bool = True) -> None:
    """Unroll the tiny loops of a phase where the result stays short.

    ``vectors`` tells whether what a loop over the rows computes goes into them.
    """
    if phase.kind in ("combine", "shared"):
        return
    extents = [_extent(s) for s in phase.body]
    length = sum(_size([s], e) for s, e in zip(phase.body, extents, strict=True))
    if length > 2 * STATEMENTS:
        extents = [min(e, EXTENTS[1]) for e in extents]
    lengths: set[int] = set()
    body: list[Statement] = []
    for s, extent in zip(phase.body, extents, strict=True):
        loops = [i for i in statements([s]) if isinstance(i, Loop)]
        lengths |= {n for i in loops if (n := _iterations(i, extent)) is not None and n > 1}
        body += unroll_body([s], names, extent or EXTENTS[1], inmost=not extent)
    phase.body = body
    if lengths:
        flat = any(isinstance(s, Loop) and s.counter == ROW and _is_flat(s) for s in body)
        why = (
            "the rows become the lanes of vectors"
            if flat and vectors
            else "their elements are variables"
        )
        phase.note(f"axes of {', '.join(map(str, sorted(lengths)))} unrolled", why)


def _is_flat(loop: Loop) -> bool:
    return not any(isinstance(s, Loop) for s in loop.body)
