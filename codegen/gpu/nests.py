"""What a nest of loops lets a device do at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..ir_walk import statements, walk
from ..layout import size_value
from ..loop_ir import Buffer, Expr, Gemm, Lanes, Loop, Routine, Spread, Statement, Turns, Var
from ..passes.fuse import Summary
from ..passes.sharing import UNKNOWN, carried

SUMS = ("add", "maximum", "minimum")
"""Updates that threads may do in parts."""


class Sizes:
    """How long loops are, about: the sizes of the data that a kernel is made for, where known."""

    def __init__(self, known: Mapping[str, int]) -> None:
        self._known = known

    def extent(self, extent: Expr) -> int:
        """The rounds of a loop."""
        try:
            return max(size_value(extent, self._known), 0)
        except (KeyError, AssertionError):
            return UNKNOWN

    def product(self, extents: list[Expr]) -> int:
        """The rounds of nested loops."""
        result = 1
        for extent in extents:
            result *= self.extent(extent)
        return result

    def work(self, body: list[Statement]) -> int:
        """Statements that a body runs."""
        total = 0
        for s in body:
            if isinstance(s, Turns):
                total += -(-self.extent(s.extent) // s.part[1]) * self.work(s.body)
            elif isinstance(s, Loop):
                total += self.extent(s.extent) * self.work(s.body)
            elif isinstance(s, (Spread, Lanes)):
                parts = s.part[1] if isinstance(s, Lanes) and s.part else 1
                total += -(-self.product(s.extents) // parts) * self.work(s.body)
            elif isinstance(s, Gemm):
                total += self.product([s.m, s.n, s.k])
            else:
                total += 1
        return total


@dataclass
class Nest:
    """Loops, each the only statement of the one around it.

    Attributes
    ----------
    parallel, inner : list of Loop
        Those whose rounds do not depend on each other, and the others; in order.
    body : list of Statement
        What the innermost holds.
    summaries : list of Summary
        Of the parallel loops.
    """

    parallel: list[Loop]
    inner: list[Loop]
    body: list[Statement]
    summaries: list[Summary]

    @property
    def extents(self) -> list[Expr]:
        """Of the parallel loops."""
        return [loop.extent for loop in self.parallel]

    @property
    def rest(self) -> list[Statement]:
        """What is left inside the parallel loops."""
        body = self.body
        for loop in reversed(self.inner):
            body = [Loop(loop.counter, loop.extent, body, loop.formula)]
        return body


def chain(loop: Loop) -> list[Loop]:
    """A loop and those that are the only statement of the one around them."""
    result = [loop]
    while len(result[-1].body) == 1 and isinstance(result[-1].body[0], Loop):
        result.append(result[-1].body[0])
    return result


def independent(loop: Loop, summary: Summary, sums: bool = False) -> bool:
    """Whether the rounds of a loop may run at once; with ``sums`` they may add to variables."""
    memory = [b for b, written in summary.written.items() if written and b.space != "scalar"]
    if any(isinstance(s, Routine) for s in statements(loop.body)):
        return False
    if not all(summary.axes[b] for b in memory):
        return False
    added = set(summed(loop, summary)) if sums else set()
    written = {b for b, w in summary.written.items() if w and b not in added}
    return not carried(loop, written, ("scalar",))


def summed(loop: Loop, summary: Summary) -> dict[Buffer, str]:
    """The variables to which a loop only adds, and how."""
    return {
        b: summary.sums[b]
        for b, written in summary.written.items()
        if written and b.space == "scalar" and summary.sums[b] in SUMS
    }


def nest(loop: Loop) -> Nest:
    """Take a nest apart.

    Rounds of a loop that do not depend on each other may run at once whatever loops are around
    it, since in these, too, they meet nowhere.
    """
    loops = chain(loop)
    parallel: list[Loop] = []
    inner: list[Loop] = []
    summaries = []
    known = {each.counter for each in loops}
    for each in loops:
        summary = Summary(each)
        ragged = _variables(each.extent) & known
        if independent(each, summary) and not ragged:
            parallel.append(each)
            summaries.append(summary)
        else:
            inner.append(each)
    return Nest(parallel, inner, loops[-1].body, summaries)


def _variables(expression: Expr) -> set[str]:
    return {e.name for e in walk(expression) if isinstance(e, Var)}
