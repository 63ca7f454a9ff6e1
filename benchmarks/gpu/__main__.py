"""``python -m benchmarks.gpu``: trains on a CUDA device, prints and writes a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from .. import machine
from . import card as cards
from . import points
from .report import report
from .session import Options, Session
from .systems import EAGER, OURS, PRECISIONS, SYSTEMS

QUICK_SECONDS = 215


def arguments(argv):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description="Compare symdiff with its peers on a GPU."
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda",
                        help="cpu: see that all runs where there is no GPU")  # fmt: skip
    parser.add_argument("--only", metavar="W3,W8,logistic,wide",
                        help="workloads and groups: workloads, scale (logistic, curve32, curve64), "
                        "wide")  # fmt: skip
    parser.add_argument("--peers", metavar="jax,torch", help="these beside us")
    parser.add_argument("--quick", action="store_true",
                        help="few and short runs, few sizes: ends within 4 minutes")  # fmt: skip
    parser.add_argument("--tiny", action="store_true", help="small problems: times mean nothing")
    parser.add_argument("--rounds", type=int, help="runs of each system (5; quick: 3)")
    parser.add_argument("--limit", type=float, metavar="SECONDS",
                        help="about how long a run may take (0.5; quick: 0.1)")  # fmt: skip
    parser.add_argument("--memory", type=float, default=0.6, metavar="SHARE",
                        help="of the device's memory that data may fill (0.6)")  # fmt: skip
    parser.add_argument("--budget", type=float, metavar="SECONDS",
                        help=f"no point begins later (quick: {QUICK_SECONDS})")  # fmt: skip
    parser.add_argument("--timeout", type=float, metavar="SECONDS",
                        help="a silent system has failed (300; quick: 40)")  # fmt: skip
    parser.add_argument("--output", type=Path, help="also write the table there")
    parser.add_argument("--log", type=Path, help="where tracebacks of the systems go")
    return parser, parser.parse_args(argv)


def chosen(text, groups, parser):
    """The names of points that a list with commas selects, in our order."""
    everything = [name for names in groups.values() for name in names]
    if text is None:
        return everything
    groups = groups | {"scale": [n for kind in points.GROWING for n in groups[kind]]}
    known = {name.lower(): [name] for name in everything} | groups
    wanted = set()
    for part in text.split(","):
        if part.strip().lower() not in known:
            parser.error(f"--only {text}: choose from {', '.join([*groups['workloads'], *groups])}")
        wanted.update(known[part.strip().lower()])
    return [name for name in everything if name in wanted]


def find_card(given, parser):
    if given.device == "cpu":
        return cards.Card("cpu", f"{machine.processor()}, {machine.cores()} cores", 2**30)
    try:
        return cards.find()
    except cards.NoDevice as error:
        parser.error(
            f"there is no CUDA device: {error}. Run this on a machine with an NVIDIA GPU, its "
            'driver, and pip install -e ".[bench,cuda]" with the CUDA builds of JAX and PyTorch; '
            "--device cpu --tiny shows here that everything runs"
        )


def keys_of(name, systems, device):
    """Systems and precisions that run a point."""
    names = [s.name for s in systems]
    if name.startswith("wide="):
        known = ["float32", "tf32"] if device == "cuda" else ["float32"]
        return [(n, p) for p in known for n in names if p in PRECISIONS.get(n, ())]
    if "=" in name:  # eager PyTorch keeps many arrays of the size of the data
        names = [n for n in names if n != EAGER.name]
    return [(n, "float32") for n in names]


def select(text, parser):
    """Us and the peers that are installed, and ``{name: why}`` of the others."""
    families = {s.family for s in SYSTEMS}
    asked = families if text is None else {p.strip() for p in text.split(",")} | {OURS.family}
    if asked - families:
        parser.error(f"--peers {text}: choose from {', '.join(sorted(families - {OURS.family}))}")
    systems = [s for s in SYSTEMS if s.family in asked]
    absent = {s.name: f"{', '.join(s.missing())} not installed" for s in systems if s.missing()}
    if OURS.name in absent:
        parser.error("symdiff does not import: run this from the checkout, or install it")
    return [s for s in systems if s.name not in absent], absent


def main(argv=None):
    parser, given = arguments(argv)
    quick, began = given.quick, time.monotonic()
    options = Options(given.device, quick=quick, tiny=given.tiny, log=given.log)
    for name in ("rounds", "limit", "timeout", "budget"):
        value = getattr(given, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be positive")
    options.rounds = given.rounds or (3 if quick else 5)
    options.limit = given.limit or (0.1 if quick else 0.5)
    options.timeout = given.timeout or (40 if quick else 300)
    budget = given.budget or (QUICK_SECONDS if quick else None)
    options.deadline = budget and began + budget
    if not 0 < given.memory < 1:
        parser.error("--memory is a share between 0 and 1")
    card = find_card(given, parser)
    groups = points.names(given.memory * card.memory, quick, given.tiny)
    names = chosen(given.only, groups, parser)
    systems, absent = select(given.peers, parser)
    cache = tempfile.TemporaryDirectory(prefix="benchmarks-gpu-", ignore_cleanup_errors=True)
    outcomes, skipped, bandwidth, source = [], [], None, None

    def text():
        return report(outcomes, card, options, absent, bandwidth, source, skipped)

    with cache as folder, Session(options, folder, say) as session:
        failures = session.ready(systems)
        absent |= failures
        for name, why in absent.items():
            say(f"left out: {name}: {why}")
        systems = [s for s in systems if s.name not in failures]
        size = 2**20 if given.tiny else min(2**30, card.memory // 16)
        bandwidth, source = session.bandwidth(systems, size)
        for name in names:
            if session.late():
                skipped.append(name)
                continue
            outcomes.append(session.run(name, keys_of(name, systems, given.device)))
            if given.output is not None:  # after every point: a run that is stopped leaves these
                given.output.write_text(text(), encoding="utf-8")
    if given.output is not None:
        given.output.write_text(text(), encoding="utf-8")
        say(f"written to {given.output}")
    print(text())
    say(f"{time.monotonic() - began:.0f} s")


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
