"""``Trainer.profile``: where the time of a training step goes, and what bounds it."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import peak
from .counting import Work, count_phase
from .data import Plan
from .training import TrainingKernel

SECONDS = 0.05
"""About how long one measurement runs; the best of several counts."""

REPEATS = 5

NEAR_PEAK = 0.3
"""A phase that reaches less of both peaks waits: for results, branches, calls or threads."""

COLUMNS = (
    "phase", "seconds", "share", "flop", "bytes", "GFLOP/s", "of peak", "GB/s", "of peak",
    "bound by",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One phase of a step.

    Attributes
    ----------
    phase : str
        The name of its function in ``trainer.source``.
    seconds : float
        For one step.
    operations, bytes : float
        Floating-point operations, and the memory that is read and written, in one step.
    peak_operations, peak_bytes : float
        What this machine can do in a second; memory of the size that the whole step uses.
    """

    phase: str
    seconds: float
    operations: float
    bytes: float
    peak_operations: float
    peak_bytes: float

    @property
    def arithmetic(self) -> float:
        """The share of the machine's peak of floating-point operations."""
        return self.operations / max(self.seconds, 1e-12) / self.peak_operations

    @property
    def memory(self) -> float:
        """The share of the machine's peak of memory traffic."""
        return self.bytes / max(self.seconds, 1e-12) / self.peak_bytes

    @property
    def bound_by(self) -> str:
        """What limits the phase: "arithmetic", "memory" or "waiting"."""
        if max(self.arithmetic, self.memory) < NEAR_PEAK:
            return "waiting"
        return "arithmetic" if self.arithmetic >= self.memory else "memory"


@dataclass(frozen=True)
class Profile:
    """What ``Trainer.profile`` measured.

    Attributes
    ----------
    rows : dict
        Number of threads to the list of rows, the phases in order.
    """

    rows: dict[int, list[Row]]

    def total(self, threads: int) -> Row:
        """The whole step on a number of threads."""
        rows = self.rows[threads]
        return Row(
            "step",
            sum(r.seconds for r in rows),
            sum(r.operations for r in rows),
            sum(r.bytes for r in rows),
            rows[0].peak_operations,
            rows[0].peak_bytes,
        )

    @property
    def table(self) -> list[list[str]]:
        """The rows as text, under ``COLUMNS``; a number of threads starts with its total."""
        result = []
        for threads, rows in self.rows.items():
            total = self.total(threads)
            name = f"step, {threads} thread{'s' if threads > 1 else ''}"
            result.append(_cells(total, name, total.seconds))
            result += [_cells(r, f"  {r.phase}", total.seconds) for r in rows]
        return result

    def __str__(self) -> str:
        lines = [list(COLUMNS), *self.table]
        widths = [max(len(line[k]) for line in lines) for k in range(len(COLUMNS))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if k in (0, len(COLUMNS) - 1) else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells)

        body = "".join(f"<tr>{row(line, 'td')}</tr>" for line in self.table)
        return f"<table><tr>{row(COLUMNS, 'th')}</tr>{body}</table>"


def _cells(row: Row, name: str, whole: float) -> list[str]:
    seconds = max(row.seconds, 1e-12)
    return [
        name,
        _quantity(row.seconds, "s"),
        f"{row.seconds / max(whole, 1e-12):.0%}",
        _quantity(row.operations),
        _quantity(row.bytes, "B"),
        f"{row.operations / seconds / 1e9:.3g}",
        f"{row.arithmetic:.0%}",
        f"{row.bytes / seconds / 1e9:.3g}",
        f"{row.memory:.0%}",
        row.bound_by,
    ]


def _quantity(value: float, unit: str = "") -> str:
    """A number with a prefix: ``1.5 µs``, ``20 k``."""
    if value == 0:
        return "0"
    prefixes = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
    exponent = min(12, max(-9, int(np.floor(np.log10(abs(value)) / 3)) * 3))
    return f"{value / 10.0**exponent:.3g} {prefixes[exponent]}{unit}".rstrip()


def measure(run: Any, plan: Plan, random: np.ndarray, threads: int) -> tuple[float, np.ndarray]:
    """Seconds of a step, and how they divide among the places of the kernel's clock."""
    times = run.times
    count, best = 1, np.inf
    parts = np.zeros(0)
    done = 0
    measured = 0
    while measured < REPEATS:
        if times is not None:
            times[:] = 0
        started = time.perf_counter()
        run(plan, done, count, done, 0, random, threads)
        elapsed = time.perf_counter() - started
        done += count
        if elapsed < SECONDS / 2:
            count *= 2 if elapsed > SECONDS / 20 else 8
            continue
        measured += 1
        if elapsed / count < best:
            best = elapsed / count
            if times is not None:
                parts = times[1:] / max(times[1:].sum(), 1)
    return best, parts


def profile_run(kernel: Any, run: Any, plan: Plan, random: np.ndarray, most: int) -> Profile:
    """Measure a bound kernel on one thread and on all that it uses."""
    dtype = kernel.options.dtype
    works = count_step(kernel, run)
    result = {}
    for threads in dict.fromkeys((1, min(most, run.threads))):
        seconds, parts = measure(run, plan, random, threads)
        peaks = (
            peak.arithmetic(dtype, threads),
            peak.bandwidth(sum(w.bytes for w in works), threads),
        )
        rows = []
        if parts.size:
            rows.append(Row("between the phases", seconds * parts[0], 0, 0, *peaks))
            shares = parts[1:]
        else:
            shares = np.ones(1)
        rows += [
            Row(w.name, seconds * share, w.operations, w.bytes, *peaks)
            for w, share in zip(works, shares, strict=True)
        ]
        result[threads] = rows
    return Profile(result)


def count_step(kernel: Any, run: Any) -> list[Work]:
    """The work of each phase of a step with the largest batch of a run."""
    dtype, values = kernel.options.dtype, run.values
    if not isinstance(kernel, TrainingKernel):
        return [count_phase(kernel.phase, values, None, 1, dtype)]
    return [
        count_phase(phase, values, rows, chunks, dtype)
        for phases, rows, chunks in kernel.parts(run)
        for phase in phases
    ]
