"""What kernels on a device do together, written in the language of kernels.

What differs between a device, the processor and plain Python are the primitives: the size of a
warp, waiting, the exchange of numbers within a warp, and memory that a block shares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

WARP = 32
"""Threads that run in step."""

MOST_WARPS = 32
"""Warps of the largest block."""

GRID_WARPS = 8
"""Warps of a block, where there are several blocks."""


def with_primitives(function: Any, primitives: Mapping[str, Any]) -> Callable[..., Any]:
    """A function of this module with its primitives."""
    return FunctionType(function.__code__, {**function.__globals__, **primitives})


def primitive(name: str) -> Callable[..., Any]:
    """Stands for what a target has to bring."""

    def absent(*arguments: Any) -> Any:
        raise AssertionError(f"{name} belongs to a target")

    return absent


warp_wait = primitive("warp_wait")
"""``warp_wait()``: until all threads of the warp are here; what they wrote is seen."""

block_wait = primitive("block_wait")
"""``block_wait()``: until all threads of the block are here."""

grid_wait = primitive("grid_wait")
"""``grid_wait(barrier, nth)``: until all threads are here."""

exchange = primitive("exchange")
"""``exchange(x, distance)``: the number of the thread whose place in the warp is ours xor that."""

scratch = primitive("scratch")
"""``scratch(x)``: memory of the block, one number like x for each warp."""

maximum = primitive("maximum")
minimum = primitive("minimum")


def wait(barrier: Any, nth: int, size: int) -> None:
    """Wait for all threads: of the only block, or of the grid."""
    if nth == size:
        block_wait()
    else:
        grid_wait(barrier, nth)


def warp_add(x: Any) -> Any:
    """The sum over a warp: the same bits in all of its threads, for both add the same pair."""
    distance = WARP // 2
    while distance > 0:
        x = x + exchange(x, distance)
        distance //= 2
    return x


def warp_maximum(x: Any) -> Any:
    """The largest number of a warp."""
    distance = WARP // 2
    while distance > 0:
        x = maximum(x, exchange(x, distance))
        distance //= 2
    return x


def warp_minimum(x: Any) -> Any:
    """The smallest number of a warp."""
    distance = WARP // 2
    while distance > 0:
        x = minimum(x, exchange(x, distance))
        distance //= 2
    return x


def block_add(x: Any, place: int, size: int) -> Any:
    """The sum over a block, for the thread at a place of it: over warps, then these in order."""
    x = warp_add(x)
    memory = scratch(x)
    if place % WARP == 0:
        memory[place // WARP] = x
    block_wait()
    total = memory[0]
    for warp in range(1, size // WARP):
        total = total + memory[warp]
    block_wait()
    return total


def block_maximum(x: Any, place: int, size: int) -> Any:
    """The largest number of a block."""
    x = warp_maximum(x)
    memory = scratch(x)
    if place % WARP == 0:
        memory[place // WARP] = x
    block_wait()
    total = memory[0]
    for warp in range(1, size // WARP):
        total = maximum(total, memory[warp])
    block_wait()
    return total


def block_minimum(x: Any, place: int, size: int) -> Any:
    """The smallest number of a block."""
    x = warp_minimum(x)
    memory = scratch(x)
    if place % WARP == 0:
        memory[place // WARP] = x
    block_wait()
    total = memory[0]
    for warp in range(1, size // WARP):
        total = minimum(total, memory[warp])
    block_wait()
    return total


FUNCTIONS = (wait, warp_add, warp_maximum, warp_minimum, block_add, block_maximum, block_minimum)


def bound(
    primitives: Mapping[str, Any],
    compiled: Callable[[Any], Any] = lambda function: function,
    functions: Sequence[Any] = FUNCTIONS,
) -> dict[str, Any]:
    """Functions with their primitives, by name; ``compiled`` is done to each.

    Those that a function calls come before it.
    """
    found: dict[str, Any] = {}
    for function in functions:
        own = with_primitives(function, {**primitives, **found})
        found[function.__name__] = compiled(own)
    return found
