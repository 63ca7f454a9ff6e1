"""Batches: which samples each step sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from symdiff.errors import IndexOutOfRange, InvalidArgument, InvalidType


@dataclass
class Plan:
    """The samples of every step of a run.

    Attributes
    ----------
    order : numpy.ndarray of int64
        Sample numbers, batch after batch.
    offsets : numpy.ndarray of int64
        Step k of a pass uses ``order[offsets[k]:offsets[k + 1]]``.
    steps : int
        All steps of the run.
    shuffled : bool
        Whether ``order`` is shuffled before each pass.
    gathered : bool
        False where the rows are used in the order of the data.
    passes_are_epochs : bool
        Whether a pass through ``offsets`` is an epoch.
    """

    order: np.ndarray
    offsets: np.ndarray
    steps: int
    shuffled: bool
    gathered: bool
    passes_are_epochs: bool

    @property
    def per_pass(self) -> int:
        """Steps of one pass through the offsets."""
        return len(self.offsets) - 1

    def weights(self, start: int, count: int) -> np.ndarray:
        """The number of samples of steps ``start … start + count - 1``."""
        places = np.arange(start, start + count) % self.per_pass
        sizes: np.ndarray = self.offsets[places + 1] - self.offsets[places]
        return sizes


def whole_number(value: Any, name: str, least: int) -> int:
    """An int argument of at least ``least``."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise InvalidType(f"{name} must be an int, got {value!r}")
    number = int(value)
    if number < least:
        raise InvalidArgument(f"{name} must be at least {least}, got {number}")
    return number


def plan_batches(
    samples: int | None,
    epochs: int | None,
    steps: int | None,
    batch_size: int | None,
    shuffle: bool,
    order: Any,
) -> Plan:
    """Plan a run; ``samples`` is None for a loss without samples."""
    if order is not None:
        if epochs is not None or steps is not None or batch_size is not None:
            raise InvalidArgument("order= is all that runs: leave out epochs, steps and batch_size")
        return _given(order, samples)
    if epochs is not None and steps is not None:
        raise InvalidArgument("give either epochs= or steps=, not both")
    if samples is None:
        if batch_size is not None:
            raise InvalidArgument("batch_size= needs data with a sample axis")
        count = whole_number(steps if steps is not None else epochs if epochs is not None else 1,
                             "steps" if steps is not None else "epochs", 0)  # fmt: skip
        return Plan(np.zeros(1, np.int64), np.array([0, 1]), count, False, False, True)
    if samples == 0:
        raise InvalidArgument("the data are empty: training needs at least one sample")
    size = samples if batch_size is None else whole_number(batch_size, "batch_size", 1)
    size = min(size, samples)
    offsets = np.append(np.arange(0, samples, size), samples).astype(np.int64)
    per_pass = len(offsets) - 1
    if steps is not None:
        total = whole_number(steps, "steps", 0)
    else:
        total = per_pass * whole_number(1 if epochs is None else epochs, "epochs", 0)
    mixed = bool(shuffle) and size < samples
    order = np.arange(samples, dtype=np.int64)
    return Plan(order, offsets, total, mixed, mixed, True)


def _given(order: Any, samples: int | None) -> Plan:
    if samples is None:
        raise InvalidArgument("order= needs data with a sample axis")
    if isinstance(order, np.ndarray):
        if order.ndim != 2:
            raise InvalidArgument(
                f"order= must have shape (steps, batch), got {order.shape}; for one sample per "
                "step use order[:, None]"
            )
        flat, counts = order.reshape(-1), np.full(order.shape[0], order.shape[1], np.int64)
    else:
        rows = [np.asarray(r) for r in order]
        for number, row in enumerate(rows):
            if row.ndim != 1:
                raise InvalidArgument(
                    f"order= must hold 1-D arrays; step {number} has shape {row.shape}"
                )
        flat = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        counts = np.array([r.size for r in rows], np.int64)
    if not counts.size:
        return Plan(np.zeros(1, np.int64), np.array([0, 1]), 0, False, True, False)
    if not counts.all():
        raise InvalidArgument(f"order=: step {int(np.argmin(counts))} has no samples")
    if flat.dtype.kind not in "iu":
        raise InvalidArgument(f"order= must hold integers, got dtype {flat.dtype}")
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    if flat.min() < -samples or flat.max() >= samples:
        place = int(np.argmax((flat < -samples) | (flat >= samples)))
        step = int(np.searchsorted(offsets, place, side="right")) - 1
        raise IndexOutOfRange(
            f"order=: step {step} names sample {flat[place]}, there are {samples}"
        )
    if flat.min() < 0:
        flat = np.where(flat < 0, flat + samples, flat)
    flat = flat.astype(np.int64)
    return Plan(flat, offsets, counts.size, False, True, False)
