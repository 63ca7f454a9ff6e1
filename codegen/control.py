"""What kernels do between their phases, written in the language of kernels.

The same functions run as plain Python, under Numba, and translated; what they take from the
processor (``PRIMITIVES``) differs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

import numpy as np

from .translation.builtins import PRIMITIVES

atomic_add = PRIMITIVES["atomic_add"]
atomic_load = PRIMITIVES["atomic_load"]
clock = PRIMITIVES["clock"]
give_way = PRIMITIVES["give_way"]

SPINS = 4000
GENERATION = 8
"""The counter of passed barriers lies on a cache line of its own."""

SHARE = 8
"""Elements or rows that one thread computes together."""


def with_primitives(function: Any, primitives: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of this module with other primitives."""
    return FunctionType(function.__code__, {**function.__globals__, **primitives})


def wait(barrier: Any, nth: int) -> None:
    """Wait until all threads are here: a spin barrier (0.1 to 0.3 µs where each has a core)."""
    if nth == 1:
        return
    generation = atomic_load(barrier, GENERATION)
    if atomic_add(barrier, 0, 1) == nth - 1:
        atomic_add(barrier, 0, -nth)
        atomic_add(barrier, GENERATION, 1)
        return
    spins = 0
    while atomic_load(barrier, GENERATION) == generation:
        spins += 1
        if spins > SPINS:
            give_way()


def chunk_count(rows: int, grain: int, most: int) -> int:
    """How many chunks: a power of two, so that any usual number of threads has equal shares."""
    chunks = 1
    while 2 * chunks <= most and 2 * chunks * grain <= rows:
        chunks *= 2
    return chunks


def stamp(times: Any, tid: int, place: int) -> None:
    """Let the first thread add to ``times[place]`` what has passed since the last stamp."""
    if tid == 0:
        now = clock()
        if place > 0:
            times[place] += now - times[0]
        times[0] = now


def share(extent: int, tid: int, nth: int) -> tuple[int, int]:
    """The part of a thread, in whole tiles of a product; the last thread takes the rest."""
    lines = extent // SHARE
    last = extent if tid == nth - 1 else lines * (tid + 1) // nth * SHARE
    return lines * tid // nth * SHARE, last


def shuffle(order: Any, count: int, state: Any) -> None:
    """Fisher and Yates' shuffle, random numbers by splitmix64 (Steele, Lea, Flood 2014).

    It starts from 0, 1, 2 …, so that an order depends on the state of the random numbers alone,
    and training goes on in the same way after a pause.
    """
    for i in range(count):
        order[i] = i
    for i in range(count - 1, 0, -1):
        s = state[0] + np.uint64(0x9E3779B97F4A7C15)
        state[0] = s
        z = (s ^ (s >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        j = np.int64(z % np.uint64(i + 1))
        held = order[i]
        order[i] = order[j]
        order[j] = held
