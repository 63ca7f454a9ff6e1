"""``python -m benchmarks``: runs the workloads, prints and writes a table."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import cost, table
from .runner import Options, run_workload
from .systems import FAMILIES, OURS, choose
from .workloads import WORKLOADS, load, title

FOLDER = Path(__file__).resolve().parent


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare symdiff with its peers."
    )
    parser.add_argument("--only", metavar="W1,W3", help="these workloads; with --cost, these axes")
    parser.add_argument("--peers", metavar="numpy,numba", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--quick", action="store_true", help="see that all runs; times mean little")
    parser.add_argument("--list", action="store_true", help="what there is")
    parser.add_argument("--cost", action="store_true", help="how cost grows with the model")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each system (5)")
    parser.add_argument("--limit", type=float, default=3.0, metavar="SECONDS",
                        help="a longer run has fewer steps (3)")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS",
                        help="a silent system has failed (900)")  # fmt: skip
    parser.add_argument("--output", type=Path, help="where the table goes; by default a full run "
                        "goes to benchmarks/RESULTS.md or COST.md, others are printed")  # fmt: skip
    return parser, parser.parse_args(argv)


def chosen(text, known, parser):
    """The names of a list with commas, in the order of ``known``; upper and lower case alike."""
    if text is None:
        return list(known)
    names = {n.lower(): n for n in known}
    asked = [n.strip().lower() for n in text.split(",") if n.strip()]
    unknown = [n for n in asked if n not in names]
    if unknown or not asked:
        parser.error(f"--only {text}: choose from {', '.join(known)}")
    return [n for n in known if n.lower() in asked]


def show_list():
    for name in WORKLOADS:
        print(f"{name:4} {title(load(name))}")
    print()
    for system in choose(None):
        missing = system.missing()
        state = f"left out, {', '.join(missing)} not installed" if missing else "runs"
        print(f"{system.name:14} {state}  (--peers {system.family})")


def main(argv=None):
    parser, given = arguments(argv)
    if given.list:
        return show_list()
    if given.rounds < 1:
        parser.error("--rounds must be at least 1")
    options = Options(given.quick, given.rounds, given.limit, given.timeout)
    whole = given.only is None and given.peers is None and not given.quick
    if given.cost:
        axes = chosen(given.only, list(cost.AXES), parser)
        output = given.output or (FOLDER / "COST.md" if whole else None)
        write(cost.report(cost.measure(axes, options, say), options), output, final=True)
        return None
    try:
        peers = given.peers and [p.strip() for p in given.peers.split(",")]
        systems = choose(peers)
    except ValueError as error:
        parser.error(str(error))
    absent = [(s, s.missing()) for s in systems if s.missing()]
    for system, missing in absent:
        say(f"left out: {system.name}, {', '.join(missing)} not installed")
    systems = [s for s in systems if not s.missing()]
    if OURS not in systems:
        parser.error("symdiff does not import: run this from the checkout, or install it")
    output = given.output or (FOLDER / "RESULTS.md" if whole else None)
    outcomes = []
    names = chosen(given.only, WORKLOADS, parser)
    for name in names:
        outcomes.append(run_workload(name, systems, options, say))
        # Written after every workload: a run that is stopped leaves what it found.
        write(table.report(outcomes, absent, options), output, final=name == names[-1])
    return None


def say(text):
    print(text, file=sys.stderr, flush=True)


def write(text, output, final):
    if output is not None:
        output.write_text(text, encoding="utf-8")
    if final:
        print(text)
        if output is not None:
            say(f"written to {output}")


if __name__ == "__main__":
    main()
