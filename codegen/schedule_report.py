"""``Trainer.schedule``: how a kernel goes through rows, axes and threads, and why."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

from .ir_walk import statements
from .loop_ir import Gemm, Note, Phase, Spread

KINDS = {
    "rows": "by rows, each thread some chunks",
    "serial": "on one thread",
    "combine": "sums of the chunks, in fixed order",
    "shared": "divided among threads by the first axis of the results",
    "step": "forward, backward and update in one loop body, on one thread",
    "spread": "divided among teams of threads of a device",
}
"""What the kinds of phases mean to a reader."""

TEAMS = {
    "thread": ("a thread for each index", "there are many, or each has little to do"),
    "warp": ("a warp for each index", "the loops inside are long enough to share"),
    "block": ("a block for each index", "there are few, and the loops inside are long"),
}
"""What teams do, and why."""


@dataclass(frozen=True)
class PhaseReport:
    """What was decided for one phase, by its name in ``trainer.source``."""

    name: str
    kind: str
    notes: list[Note]


@dataclass
class ScheduleReport:
    """The decisions that the compiler took for a kernel, with their reasons.

    Attributes
    ----------
    notes : list of Note
        What concerns the whole kernel: each has ``what`` and ``why``.
    phases : list of PhaseReport
    """

    notes: list[Note] = field(default_factory=list)
    phases: list[PhaseReport] = field(default_factory=list)

    def add(self, what: str, why: str) -> None:
        """Add a decision for the whole kernel."""
        self.notes.append(Note(what, why))

    def add_phase(self, phase: Phase) -> None:
        """Add a phase with what the passes noted."""
        products = sum(isinstance(s, Gemm) for s in statements(phase.body))
        notes = list(phase.notes)
        for team, (what, why) in TEAMS.items():
            loops = sum(isinstance(s, Spread) and s.team == team and bool(s.counters)
                        for s in phase.body)  # fmt: skip
            if loops:
                notes.append(Note(f"{loops} {'loop' if loops == 1 else 'loops'}, {what}", why))
        if products and phase.kind == "spread":
            notes.append(Note(f"{products} by tiles in the memory of blocks", "they are wide"))
        elif products:
            word = "product" if products == 1 else "products"
            notes.append(
                Note(f"{products} {word} by vector kernels", "each has work for many registers")
            )
        self.phases.append(PhaseReport(phase.name, KINDS[phase.kind], notes))

    def __str__(self) -> str:
        lines = [_line(n, 0) for n in self.notes]
        for phase in self.phases:
            lines += ["", f"{phase.name}: {phase.kind}"]
            lines += [_line(n, 2) for n in phase.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _line(note: Note, indent: int) -> str:
    return f"{' ' * indent}- {note.what}: {note.why}"


def number(value: float) -> str:
    """A count for reading: two digits, and spaces between thousands."""
    digits = max(len(str(int(value))) - 2, 0)
    return f"{round(value / 10**digits) * 10**digits:,}".replace(",", " ")
