"""Results on a device as Markdown."""

from __future__ import annotations

from ..machine import describe
from ..systems import OURS
from ..table import number, rows
from . import points
from .systems import GRAPHS, JAX, SYSTEMS

SMALL, LARGE = 10**4, 10**6
"""Parameters up to which we aim at multiples, and at being ahead."""

SHARE = 0.8
"""Of the bandwidth of copying, where memory decides."""


def bound_by_memory(outcome, card):
    """Whether a step reads so much that no cache holds it."""
    return outcome.bytes is not None and outcome.bytes >= 2 * (card.cache or 2**26)


def quotient(other, ours):
    """How many times longer than we, or None."""
    if ours is None or other is None or ours.per_step is None or other.per_step is None:
        return None
    return other.per_step / ours.per_step


def cell(outcome, m, extra=None):
    """Microseconds, and in brackets how they compare."""
    if m is None:
        return ""
    if m.failure is not None:
        return "failed"
    words = [number(1e6 * m.per_step) if m.per_step else "–"]
    if extra:
        words.append(f"({extra})")
    if outcome.disagrees(m):
        words.append("≠")
    return " ".join(words)


def columns(outcomes):
    """System and precision of all measurements, in the order of the table of systems."""
    present = {m.key for outcome in outcomes for m in outcome.measurements}
    names = [s.name for s in SYSTEMS]
    return sorted(present, key=lambda key: (names.index(key[0]), key[1]))


def heading(key):
    return key[0] if key[1] == "float32" else f"{key[0]}, {key[1]}"


def workloads(outcomes):
    """Microseconds a step of everybody, with the ratio to us."""
    keys = columns(outcomes)
    table = [["µs per step", "parameters", *map(heading, keys)]]
    for outcome in outcomes:
        row = [outcome.point, number(outcome.parameters)]
        for key in keys:
            m, times = outcome.of(*key), None
            if key[0] != OURS.name:
                times = quotient(m, outcome.of(OURS.name))
            row.append(cell(outcome, m, times and f"{number(times)}×"))
        table.append(row)
    return rows(table)


def growth(outcomes, bandwidth):
    """Microseconds a step and the share of the bandwidth that reading all data once makes."""
    keys = columns(outcomes)
    table = [["samples", "data", *map(heading, keys)]]
    for outcome in outcomes:
        size = points.data_bytes(outcome.point)
        row = [f"{int(outcome.point.partition('=')[2]):,}".replace(",", " "), amount(size)]
        for key in keys:
            m = outcome.of(*key)
            share = m and m.per_step and bandwidth and size / m.per_step / bandwidth
            row.append(cell(outcome, m, share and f"{share:.0%}"))
        table.append(row)
    return rows(table)


def amount(size):
    """Bytes for a reader."""
    if size < 2**20:
        return f"{number(size / 2**10)} KiB"
    return f"{number(size / 2**20)} MiB" if size < 2**30 else f"{number(size / 2**30)} GiB"


def wide(outcomes):
    """Microseconds a step and what they mean in arithmetic."""
    keys = columns(outcomes)
    table = [["width", "batch", "parameters", *map(heading, keys)]]
    for outcome in outcomes:
        width, batch = outcome.point.partition("=")[2].split("x")
        row = [width, batch, number(outcome.parameters)]
        for key in keys:
            m = outcome.of(*key)
            rate = m and m.per_step and outcome.operations / m.per_step / 1e12
            row.append(cell(outcome, m, rate and f"{number(rate)}"))
        table.append(row)
    return rows(table)


def details(outcomes):
    """Everything about every measurement."""
    table = [["", "", "µs per step", "spread", "whole run, µs per step", "steps", "first result",
              "final loss", ""]]  # fmt: skip
    for outcome in outcomes:
        for m in outcome.measurements:
            if m.failure is not None:
                table.append([outcome.point, m.name, "failed", *[""] * 5, m.failure])
                continue
            table.append([
                outcome.point, m.name, number(m.per_step and 1e6 * m.per_step),
                "–" if m.spread is None else f"{m.spread:.0%}",
                number(m.whole and 1e6 * m.whole), m.steps, f"{m.first:.2f} s",
                "–" if m.loss is None else f"{m.loss:.7g}", agreement(outcome, m),
            ])  # fmt: skip
    return rows(table)


def agreement(outcome, m):
    if m.name == outcome.reference:
        return f"the reference after {m.judged} steps"
    difference = m.difference()
    if difference is None:
        return "compared with nothing"
    word = "**disagrees**" if outcome.disagrees(m) else "agrees"
    return f"{word} after {m.judged} steps: {difference:.0e}"


def target(outcome, card, bandwidth):
    """What we aim at there, what was measured, and whether it is met; None without an aim."""
    ours, jax = outcome.of(OURS.name), outcome.of(JAX.name)
    torch = [m for m in outcome.measurements if m.system in (SYSTEMS[2].name, GRAPHS.name)
             and m.precision == "float32" and m.per_step]  # fmt: skip
    fastest = min(torch, key=lambda m: m.per_step, default=None)
    missing = "not measured", "–"
    if bound_by_memory(outcome, card):
        if ours is None or not ours.per_step or not bandwidth:
            return f"{SHARE:.0%} of copying", *missing
        share = outcome.bytes / ours.per_step / bandwidth
        return f"{SHARE:.0%} of copying", f"{share:.0%}", yes(share >= SHARE, outcome)
    if outcome.parameters > LARGE or outcome.parameters == 0:
        return None
    small = outcome.parameters <= SMALL
    aims = (5, 10) if small else (1, 1)
    words = "5× JAX, 10× PyTorch" if small else "ahead of both"
    times = [quotient(jax, ours), quotient(fastest, ours)]
    if None in times:
        return words, *missing
    met = all(t >= a for t, a in zip(times, aims, strict=True))
    return words, f"{number(times[0])}×, {number(times[1])}×", yes(met, outcome)


def yes(met, outcome):
    if any(outcome.disagrees(m) for m in outcome.measurements if m.precision == "float32"):
        return "unknown: losses differ"
    return "yes" if met else "**no**"


def targets(outcomes, card, bandwidth):
    table = [["", "parameters", "target", "measured", "met"]]
    for outcome in outcomes:
        found = target(outcome, card, bandwidth)
        if found is not None:
            table.append([outcome.point, number(outcome.parameters), *found])
    return rows(table)


def head(card, options, absent, bandwidth, source):
    date, *rest = describe()
    lines = ["# Results on a GPU" if card.device == "cuda" else "# GPU benchmark on the processor"]
    lines += ["", date, f"* Device: {card.name}", *rest]
    if bandwidth:
        lines.append(f"* Copying on the device: {number(bandwidth / 1e9)} GB/s, read and written, "
                     f"by {source}")  # fmt: skip
    lines += [f"* Left out: {name}: {why}" for name, why in absent.items()]
    if card.device == "cpu":
        lines.append("* On the processor, and no CUDA graphs: **shows that all runs and agrees**")
    elif options.quick:
        lines.append(f"* Quick: {options.rounds} rounds of runs of {options.limit:g} s; first "
                     "results of all systems at the same time")  # fmt: skip
    return lines


NOTE = """\
µs per step: the median of the rounds of what the steps of a long run take beyond those of a run of
two steps, so that what a run does once (our sending of the data, others' start) is not in it; the
details have the whole run, too. Time between events of the device for PyTorch, of the host for
those whose runs end with results on the host. ≠: the final loss is another one."""


def report(outcomes, card, options, absent=(), bandwidth=None, source=None, skipped=()):
    """The whole document."""
    lines = [*head(card, options, dict(absent), bandwidth, source), "", *NOTE.splitlines()]
    if skipped:
        lines += ["", f"**Not run, the time was over:** {', '.join(skipped)}."]

    def part(kind):
        return [o for o in outcomes if o.point.partition("=")[0] == kind and "=" in o.point]

    plain = [o for o in outcomes if "=" not in o.point]
    if plain:
        lines += ["", "## Workloads", "", "In brackets: how many times longer than symdiff.", "",
                  *workloads(plain)]  # fmt: skip
    for kind in points.GROWING:
        if part(kind):
            title = part(kind)[0].title
            lines += ["", f"## Growth: {title}", "", "µs per step; in brackets: the bandwidth at "
                      "which all data were read once a step, as a share of that of copying.", "",
                      *growth(part(kind), bandwidth)]  # fmt: skip
    if part("wide"):
        lines += ["", "## Wide layers", "", "Two hidden layers as wide as the inputs, ten classes. "
                  "µs per step; in brackets: TFLOP/s.", "", *wide(part("wide"))]  # fmt: skip
    lines += ["", "## Details", "", *details(outcomes)]
    lines += ["", "## Targets", "", "PyTorch: the faster of its ways.", "",
              *targets(outcomes, card, bandwidth)]  # fmt: skip
    return "\n".join(lines) + "\n"
