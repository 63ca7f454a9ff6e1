"""What kernels for a device run on where there is none, to check them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..build import build
from ..launch import address, default_threads, launch
from .shape import Shape
from .translated import processor_source


class Processor:
    """Threads of the processor in place of those of a device."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads or default_threads()

    def upload(self, array: np.ndarray) -> np.ndarray:
        """A copy."""
        return np.array(array, order="C")

    def reserve(self, size: int, dtype: Any) -> np.ndarray:
        """An array of what no result should hold."""
        kind = np.dtype(dtype)
        return np.full(size, np.nan if kind.kind == "f" else np.iinfo(kind).min, kind)

    def address(self, memory: np.ndarray) -> int:
        """Where the array lies."""
        return address(memory)

    def replace(self, memory: np.ndarray, array: np.ndarray) -> None:
        """Copy new contents into an array."""
        np.copyto(memory, array)

    def download(self, memory: np.ndarray, array: np.ndarray) -> None:
        """Copy an array."""
        np.copyto(array, memory)

    def run(self, source: str, shape: Shape, arguments: Sequence[int]) -> None:
        """Run on threads that meet at a spin barrier."""
        entry = build(processor_source(source))
        nth = min(self._threads, shape.threads)
        launch(entry, nth, lambda tid, nth: [tid, nth, *arguments])


class Scheduled(Processor):
    """Threads of plain Python under a scheduler that fails on races and on divergence.

    Parameters
    ----------
    blocks, size, warp : int
        The most blocks, threads of each, and threads of a warp.
    seed : int
        Of the order in which threads run.
    """

    def __init__(self, blocks: int = 2, size: int = 4, warp: int = 2, seed: int = 0) -> None:
        super().__init__(1)
        self._shape = blocks, size, warp
        self._seed = seed

    def address(self, memory: np.ndarray) -> Any:
        """The array itself."""
        return memory.reshape(-1)

    def run(self, source: str, shape: Shape, arguments: Sequence[Any]) -> None:
        """Run every thread until it waits, then another one."""
        from .load import build_plain_grid

        grid = build_plain_grid(source, "train", exempt=("status",))
        with np.errstate(all="ignore"):
            grid(*self._shape, self._seed, *arguments)
