"""From serial phases to those of a device."""

from __future__ import annotations

from collections.abc import Mapping

from ..loop_ir import Buffer, Phase, statements
from ..names import Names
from ..passes.contract import contract
from ..passes.fuse import Summary
from ..passes.unroll import unroll_body
from .fuse import fuse
from .nests import Sizes
from .spread import Spreader


def run_device_passes(
    phases: list[Phase], names: Names, buffers: list[Buffer], known: Mapping[str, int]
) -> None:
    """Join loops, turn what they pass on into variables, and divide them among threads.

    Parameters
    ----------
    phases : list of Phase
        Serial ones; changed in place.
    names : Names
    buffers : list of Buffer
        Takes the buffers that are made.
    known : dict
        What size variables will be, about.
    """
    sizes = Sizes(known)
    written = {
        b for phase in phases for s in statements(phase.body)
        for b, changed in Summary(s).written.items() if changed
    }  # fmt: skip
    spreader = Spreader(names, buffers, sizes, written)
    for phase in phases:
        body = unroll_body(spreader.named(phase.body), names, 1)
        phase.body = fuse(body, sizes)
        contract(phase, names, buffers, whole=True)
    phases[:] = [new for phase in phases for new in spreader.phases(phase.name, phase.body)]
