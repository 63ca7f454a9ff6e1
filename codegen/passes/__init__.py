"""Passes over loop IR: one named, ordered list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from ..loop_ir import Buffer, Phase
from ..names import Names
from .contract import contract
from .distribute import distribute
from .fuse import fuse
from .hoist import hoist_gather
from .partials import partials
from .resident import resident
from .sharing import share
from .split import split
from .unroll import unroll

Pass = Callable[[Phase, Names, list[Buffer]], list[Phase] | None]
"""Changes a phase in place, or gives the phases that stand for it."""

PASSES: list[tuple[str, Pass]] = [
    ("fuse loops over the same extent", fuse),
    ("unroll tiny loops", unroll),
    ("turn buffers of one loop body into variables", contract),
    ("cut row loops where that vectorises heavy operations", distribute),
    ("start partial results at zero, small ones in variables", partials),
    ("hold the parameters of a whole step in variables", resident),
    ("load the sample number of a row once", hoist_gather),
    ("divide what is serial among threads", share),
    ("cut long bodies into blocks", split),
]
"""What phases go through, in order; each pass keeps the meaning."""


WITHOUT_VECTORS: list[tuple[str, Pass]] = [
    (what, functools.partial(unroll, vectors=False) if transform is unroll else transform)
    for what, transform in PASSES
    if transform is not distribute
]
"""What a step for one thread of a device goes through."""


def run_passes(
    phases: list[Phase],
    names: Names,
    buffers: list[Buffer],
    passes: Sequence[tuple[str, Pass]] = PASSES,
) -> None:
    """Apply passes to every phase, in place."""
    for _, transform in passes:
        run_pass(transform, phases, names, buffers)


def run_pass(transform: Pass, phases: list[Phase], names: Names, buffers: list[Buffer]) -> None:
    """Apply one pass to every phase, in place."""
    results = [(phase, transform(phase, names, buffers)) for phase in phases]
    phases[:] = [new for phase, given in results for new in (given or [phase])]
