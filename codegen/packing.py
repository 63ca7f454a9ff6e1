"""Very many single numbers travel in one array: each argument of a kernel costs compile time."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

import numpy as np

from .layout import memory_dtype, used_buffers
from .loop_ir import Buffer, Phase, const

FEW = 16
"""Up to this many numbers of a kind are arguments of their own."""

PACKED = {
    ("data", "real"): "values", ("data", "int"): "values_int",
    ("output", "real"): "results", ("output", "int"): "results_int",
}  # fmt: skip
"""The arrays that hold numbers, by space and memory dtype."""


def pack(phases: Iterable[Phase]) -> dict[str, list[Buffer]]:
    """Give inputs and outputs without axes their place in common arrays, if there are many.

    Returns the buffers of each array, in order.
    """
    kinds: dict[str, dict[Buffer, None]] = {}
    for phase in phases:
        for buffer in used_buffers(phase):
            kind = PACKED.get((buffer.space, memory_dtype(buffer.dtype)))
            if kind and not buffer.shape and not buffer.array and buffer.slot is None:
                kinds.setdefault(kind, {}).setdefault(buffer)
    packed = {name: list(found) for name, found in kinds.items() if len(found) > FEW}
    for name, buffers in packed.items():
        for position, buffer in enumerate(buffers):
            buffer.array, buffer.offset = name, const(position)
    return packed


def join(packed: dict[str, list[Buffer]], memory: MutableMapping[str, np.ndarray]) -> None:
    """Replace single numbers in the memory of a call by the arrays that hold them.

    What was an array of one number becomes a view of its place there, so that results are seen.
    """
    for name, buffers in packed.items():
        numbers = [memory[b.name].reshape(1) for b in buffers]
        memory[name] = whole = np.concatenate(numbers)
        for position, buffer in enumerate(buffers):
            memory[buffer.name] = whole[position : position + 1].reshape(())
