"""How many blocks of how many threads a kernel is launched with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..ir_walk import statements
from ..loop_ir import Gemm, Phase, Spread, Turns
from .control import GRID_WARPS, MOST_WARPS, WARP
from .nests import Sizes

BLOCK = GRID_WARPS * WARP
"""Threads of a block, where there are several."""

TILE = 16 * 16
"""Elements of the smallest tile of a product, which a block computes."""

BARRIER_WORK = 45_000
"""Statements that one block runs while the blocks of a grid meet at a barrier (about 1.5 µs)."""


@dataclass(frozen=True)
class Shape:
    """What a launch asks for.

    Attributes
    ----------
    threads : int
        As many as the widest phase can use.
    single : bool
        Whether one block is faster than many, which must meet at slower barriers.
    """

    threads: int
    single: bool


def shape_of(phases: Sequence[Phase], values: Mapping[str, int]) -> Shape:
    """What a kernel asks for, given the values of its size variables."""
    sizes = Sizes(values)
    threads = 1
    work = 0
    barriers = 0
    for phase in phases:
        rounds = sizes.product([loop.extent for loop in phase.around])
        barriers += rounds
        work += rounds * sizes.work(phase.body)
        for s in phase.body:
            if isinstance(s, Gemm):
                wanted = -(-sizes.product([s.m, s.n]) // TILE) * BLOCK
            else:
                assert isinstance(s, Spread)
                team = {"thread": 1, "warp": WARP, "block": BLOCK}[s.team]
                wanted = sizes.product(s.extents) * team
            threads = max(threads, wanted)
    # the memory of warps is for those of the blocks of a grid
    shared = any(isinstance(s, Turns) for phase in phases for s in statements(phase.body))
    return Shape(threads, work <= BARRIER_WORK * max(barriers, 1) and not shared)


def blocks_and_size(shape: Shape, most_threads: int, most_blocks: int) -> tuple[int, int]:
    """Blocks, and threads of each.

    Parameters
    ----------
    shape : Shape
    most_threads : int
        That a block of the compiled kernel may have.
    most_blocks : int
        Blocks of BLOCK threads that may run at once.
    """
    whole = -(-shape.threads // WARP) * WARP
    largest = min(most_threads, WARP * MOST_WARPS) // WARP * WARP
    if shape.single or whole <= BLOCK:
        return 1, max(min(whole, largest), WARP)
    size = min(BLOCK, largest)
    return max(1, min(-(-whole // size), most_blocks)), size
