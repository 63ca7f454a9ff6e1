"""From serial phases to those of a device."""

from __future__ import annotations

import math
from collections.abc import Mapping

from symdiff.graph import Node
from symdiff.shapes import Size

from ..ir_walk import statements
from ..loop_ir import Buffer, Phase
from ..names import Names
from ..passes.contract import contract
from ..passes.fuse import Summary
from ..passes.sharing import UNKNOWN
from ..passes.unroll import unroll_body
from .fuse import fuse
from .interchange import interchange
from .making import Making
from .nests import Sizes
from .spread import Spreader

PRODUCT_WORK = 1 << 24
"""Multiplications from which on a product is worth tiles in the memory of blocks, and a barrier:
below, a thread for each element is as fast, and what follows joins it."""

NARROW = 16
"""Products with fewer rows or columns, or shorter sums, do not fill tiles."""


def is_wide_product(node: Node, known: Mapping[Size, int]) -> bool:
    """Whether a product of matrices is computed by tiles."""
    a, b = node.inputs
    if a.rank != 2 or b.rank != 2 or node.dtype != "real":
        return False
    sizes = [d if isinstance(d, int) else known.get(d, UNKNOWN) for d in (*a.shape, b.shape[1])]
    return min(sizes) >= NARROW and math.prod(sizes) >= PRODUCT_WORK


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
    spreader = Spreader(Making(names, buffers, sizes, written))
    for phase in phases:
        body = unroll_body(spreader.named(phase.body), names, 1)
        phase.body = interchange(fuse(body, sizes), sizes, names, buffers)
        contract(phase, names, buffers, whole=True)
    phases[:] = [new for phase in phases for new in spreader.phases(phase.name, phase.body)]
