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


def with_primitives(
    function: Any, primitives: Mapping[str, Any], name: str | None = None
) -> Callable[..., Any]:
    """A function of this module with its primitives, perhaps with another name."""
    code = function.__code__
    code = code.replace(co_name=name, co_qualname=name) if name else code
    return FunctionType(code, {**function.__globals__, **primitives})


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

combine = primitive("combine")
"""``combine(a, b)``: one of COMBINED."""


def wait(barrier: Any, nth: int, size: int) -> None:
    """Wait for all threads: of the only block, or of the grid."""
    if nth == size:
        block_wait()
    else:
        grid_wait(barrier, nth)


def add(a: Any, b: Any) -> Any:
    """The sum of two numbers."""
    return a + b


def warp_all(x: Any) -> Any:
    """What ``combine`` makes of the numbers of a warp.

    The same bits in all of its threads, for of each pair both combine the same two.
    """
    distance = WARP // 2
    while distance > 0:
        x = combine(x, exchange(x, distance))
        distance //= 2
    return x


def block_all(x: Any, place: int, size: int) -> Any:
    """What ``combine`` makes of the numbers of a block, for the thread at a place of it.

    Of those of each warp first, then of these in order.
    """
    x = warp_all(x)
    memory = scratch(x)
    if place % WARP == 0:
        memory[place // WARP] = x
    block_wait()
    total = memory[0]
    for warp in range(1, size // WARP):
        total = combine(total, memory[warp])
    block_wait()
    return total


COMBINED = ("add", "maximum", "minimum")
"""For each there are ``warp_…`` and ``block_…``: the sum, the largest and the smallest number."""


def bound(
    primitives: Mapping[str, Any],
    compiled: Callable[[Any], Any] = lambda function: function,
    functions: Sequence[Any] = (wait,),
) -> dict[str, Any]:
    """Functions with their primitives, by name; ``compiled`` is done to each.

    Those that a function calls come before it.
    """
    found: dict[str, Any] = {}
    for function in functions:
        own = with_primitives(function, {**primitives, **found})
        found[function.__name__] = compiled(own)
    return found


def reductions(
    primitives: Mapping[str, Any], compiled: Callable[[Any], Any] = lambda function: function
) -> dict[str, Any]:
    """``warp_add``, ``block_add`` and the others of COMBINED, with their primitives."""
    pairs = {**primitives, "add": compiled(add)}
    found: dict[str, Any] = {}
    for name in COMBINED:
        own = {**primitives, "combine": pairs[name]}
        over_warp = compiled(with_primitives(warp_all, own, f"warp_{name}"))
        own["warp_all"] = over_warp
        found[f"warp_{name}"] = over_warp
        found[f"block_{name}"] = compiled(with_primitives(block_all, own, f"block_{name}"))
    return found
