"""Training kernels bound to arrays: each call runs some more steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from symdiff.graph import Node
from symdiff.shapes import Size

from .build import build_plain
from .control import chunk_count
from .data import Plan
from .gpu.shape import Shape
from .kernel import MOST_CHUNKS, chunking, pool_arrays
from .launch import address, launch

if TYPE_CHECKING:
    from .training import TrainingKernel

STEP_WORK = 80_000
"""Operations in a step that make a second thread worth trying (about 8 µs)."""

UPDATE_CHUNK = 2048
"""Elements that a chunk of the update holds at least, about 2 µs."""

UPDATE_COST = 8
"""Operations that the update of one element costs, about."""


@dataclass(frozen=True)
class Shares:
    """How the work of a step is divided in a run.

    Attributes
    ----------
    rows : int
        Of the largest batch.
    chunks, grain : int
        Their number, and the fewest rows that one holds.
    threads : int
    work : float
        Operations of a step, about.
    shape : Shape or None
        What a launch on a device asks for.
    """

    rows: int
    chunks: int
    grain: int
    threads: int
    work: float
    shape: Shape | None = None


def _add_pools(memory: dict[str, np.ndarray], pools: Mapping[str, np.ndarray]) -> None:
    """Add work memory; two programs share an array."""
    for name, array in pools.items():
        if name not in memory or memory[name].size < array.size:
            memory[name] = array


class Run:
    """A training kernel on given arrays; each call runs some more steps."""

    def __init__(
        self,
        kernel: TrainingKernel,
        data: Mapping[Node, np.ndarray],
        sizes: Mapping[Size, int],
        parameters: np.ndarray,
        state: np.ndarray,
        threads: int,
        largest_batch: int,
        seed: int,
        plain: bool,
    ) -> None:
        forward, update = kernel.forward, kernel.update
        dtype = kernel.options.dtype
        values = kernel.size_values(sizes, parameters.size, largest_batch, seed)
        trained = values["parameters_count"]
        self.grain, self.most_chunks = chunking(forward, values, kernel._work)
        chunks = chunk_count(largest_batch, self.grain, self.most_chunks)
        self.update_chunks = max(1, min(MOST_CHUNKS, trained // UPDATE_CHUNK))
        if any(p.space == "partial" for p in update.pools.values()):
            self.update_chunks = 1
        work = largest_batch * kernel._work + trained * UPDATE_COST
        self.chunks = chunks
        useful = max(chunks, self.update_chunks) if work >= STEP_WORK else 1
        self.threads = 1 if plain else min(threads, useful)
        self.shares = Shares(largest_batch, chunks, self.grain, self.threads, work)
        memory = kernel.memory(data, parameters, state)
        for lowered, most in ((update, self.update_chunks), (forward, self.most_chunks)):
            _add_pools(memory, pool_arrays(lowered, dtype, values, most, self.threads))
        self._memory = memory
        self.values = values
        self.times = memory["times"] if kernel._clocked else None
        self._kernel = kernel
        self._plain = plain
        self._entry = build_plain(kernel.source) if plain else kernel.entry
        self._sizes = [values[s] for s in kernel.size_names]
        self._barrier, self._status = np.zeros(16, np.int64), np.zeros(1, np.int64)

    def _hand(self, array: np.ndarray) -> Any:
        return array.reshape(-1) if self._plain else address(array)

    def __call__(
        self,
        plan: Plan,
        start: int,
        steps: int,
        passed: int,
        epochs: int,
        random: np.ndarray,
        threads: int,
    ) -> tuple[np.ndarray, int]:
        """Run steps on some threads; returns the loss of each, and the status of the kernel."""
        losses = np.zeros(max(steps, 1), self._kernel.options.dtype)
        hand = self._hand
        fixed = [hand(self._memory[a]) for a in self._kernel._arrays]
        self._status[0] = 0
        middle = [
            hand(self._barrier), hand(self._status), start, steps, passed, epochs,
            plan.per_pass, int(plan.shuffled), plan.order.size, self.grain, self.most_chunks,
            self.update_chunks, hand(random), hand(plan.offsets), hand(plan.order), hand(losses),
        ]  # fmt: skip

        def arguments(tid: int, nth: int) -> list[Any]:
            return [tid, nth, *middle, *self._sizes, *fixed]

        with np.errstate(all="ignore"):
            launch(self._entry, min(threads, self.threads), arguments)
        return losses[:steps], int(self._status[0])
