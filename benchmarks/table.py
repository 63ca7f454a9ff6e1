"""Results as Markdown."""

from __future__ import annotations

from . import machine
from .systems import OURS, SYSTEMS


def number(value):
    """Three digits, no exponent where it can be helped."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.3g}" if abs(value) >= 1e-4 else f"{value:.2e}"


def rows(table):
    """A Markdown table; the first row is its head."""
    head, *body = [[str(cell).replace("|", "\\|") for cell in row] for row in table]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in body]


def ratio(result, ours):
    """How many times longer than us, or None."""
    if ours is None or result.per_step is None or not ours.per_step:
        return None
    return result.per_step / ours.per_step


def overview(outcomes):
    """Microseconds per step of everybody, with the ratio to us."""
    present = {r.system for outcome in outcomes for r in outcome.results}
    names = [s.name for s in SYSTEMS if s.name in present]
    table = [["µs per step", *names]]
    for outcome in outcomes:
        ours = outcome.of(OURS.name)
        row = [outcome.workload]
        for name in names:
            result = outcome.of(name)
            if result is None or result.per_step is None:
                row.append("failed" if result is not None and result.failure else "")
                continue
            cell = number(1e6 * result.per_step)
            times = ratio(result, ours)
            if name != OURS.name and times is not None:
                cell += f" ({number(times)}×)"
            if outcome.disagrees(result):
                cell += " ≠"
            row.append(cell)
        table.append(row)
    return rows(table)


def agreement(outcome, result):
    if result.system == outcome.reference:
        return "the reference"
    difference = result.difference()
    if difference is None:
        return "–"
    word = "**disagrees**" if outcome.disagrees(result) else "agrees"
    return f"{word}, {difference:.0e} from {result.reference:.7g}"


def detail(outcome):
    """Everything about one workload."""
    ours = outcome.of(OURS.name)
    head = ["", "µs per step", "ratio", "steps", "spread", "first result, cold", "warm",
            "memory", "final loss", ""]  # fmt: skip
    table = [head]
    for r in outcome.results:
        if r.failure is not None:
            table.append([r.system, "failed", *[""] * 7, r.failure])
            continue
        spread = (max(r.runs) - min(r.runs)) / min(r.runs) if r.runs else 0
        table.append([
            r.system, number(1e6 * r.per_step), number(ratio(r, ours)), r.steps,
            f"{spread:.0%}", f"{r.cold:.3f} s", f"{r.warm:.3f} s",
            "–" if r.memory is None else f"{r.memory / 2**20:.0f} MiB",
            f"{r.loss:.7g}", agreement(outcome, r),
        ])  # fmt: skip
    steps = "step" if outcome.first == 1 else "steps"
    note = f"First result after {outcome.first} {steps}; losses agree within {outcome.tolerance:g}."
    return [f"## {outcome.workload}: {outcome.title}", "", note, "", *rows(table)]


def head(title, absent, options):
    """Title, machine and circumstances."""
    lines = [f"# {title}", "", *machine.describe()]
    if options.quick:
        lines.append("* Small problems and a single round: **the times mean nothing**")
    lines += [f"* Left out: {s.name}, {', '.join(m)} not installed" for s, m in absent]
    return [*lines, ""]


def report(outcomes, absent, options):
    """The whole document."""
    lines = head("Results", absent, options)
    rounds = 1 if options.quick else options.rounds
    lines += [
        f"Medians of {rounds} rounds, one run of each system in turn. In brackets: how many times "
        "longer than symdiff. ≠: the final loss is another one. Written by `python -m benchmarks`; "
        "`benchmarks/README.md` says how to read it.",
        "",
        *overview(outcomes),
    ]
    for outcome in outcomes:
        lines += ["", *detail(outcome)]
    return "\n".join(lines) + "\n"
