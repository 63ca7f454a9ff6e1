"""Batches: which samples each step sees."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from symdiff.errors import IndexOutOfRange, InvalidArgument, InvalidType

FIXED_ROWS = 16
"""Batches of up to this many samples are a literal size of the kernel: the lanes of one vector."""


@dataclass(frozen=True)
class Batches:
    """How a run goes through its samples.

    Attributes
    ----------
    largest : int
        Samples of the largest batch.
    equal : bool
        Whether all batches have this size.
    whole : bool
        Whether every step takes all samples, in order.
    """

    largest: int
    equal: bool
    whole: bool

    @property
    def fixed(self) -> int | None:
        """The size of a batch, where the kernel may rely on it."""
        return self.largest if self.equal and self.largest <= FIXED_ROWS else None


@dataclass
class Plan:
    """The samples of every step of a run.

    Attributes
    ----------
    order : numpy.ndarray of int64
        Sample numbers, batch after batch.
    per_pass : int
        Steps of one pass through the order.
    size : int or numpy.ndarray of int
        The size of every batch of a pass, or of all of them.
    steps : int
        All steps of the run.
    shuffled : bool
        Whether ``order`` is shuffled before each pass.
    gathered : bool
        False where the rows are used in the order of the data.
    passes_are_epochs : bool
        Whether a pass through the order is an epoch.
    """

    order: np.ndarray
    per_pass: int
    size: int | np.ndarray
    steps: int
    shuffled: bool = False
    gathered: bool = False
    passes_are_epochs: bool = True

    @functools.cached_property
    def offsets(self) -> np.ndarray:
        """Step k of a pass uses ``order[offsets[k]:offsets[k + 1]]``."""
        if isinstance(self.size, int):
            return np.arange(self.per_pass + 1, dtype=np.int64) * self.size
        return np.concatenate([[0], np.cumsum(self.size)]).astype(np.int64)

    @property
    def batches(self) -> Batches:
        """The sizes of the batches."""
        whole = self.per_pass == 1 and not self.gathered
        return Batches(int(np.max(self.size)), isinstance(self.size, int), whole)

    def weights(self, start: int, count: int) -> np.ndarray | int:
        """The number of samples of some steps of one pass."""
        if isinstance(self.size, int):
            return self.size
        first = start % self.per_pass
        return self.size[first : first + count]


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
        return Plan(np.zeros(1, np.int64), 1, 1, count)
    if samples == 0:
        raise InvalidArgument("the data are empty: training needs at least one sample")
    size = samples if batch_size is None else whole_number(batch_size, "batch_size", 1)
    size = min(size, samples)
    per_pass, last = -(-samples // size), samples % size
    if steps is not None:
        total = whole_number(steps, "steps", 0)
    else:
        total = per_pass * whole_number(1 if epochs is None else epochs, "epochs", 0)
    mixed = bool(shuffle) and size < samples
    order = np.arange(samples, dtype=np.int64)
    sizes = np.append(np.full(per_pass - 1, size, np.int64), last) if last else size
    return Plan(order, per_pass, sizes, total, mixed, mixed)


def _given(order: Any, samples: int | None) -> Plan:
    if samples is None:
        raise InvalidArgument("order= needs data with a sample axis")
    size: int | np.ndarray
    if isinstance(order, np.ndarray):
        if order.ndim != 2:
            raise InvalidArgument(
                f"order= must have shape (steps, batch), got {order.shape}; for one sample per "
                "step use order[:, None]"
            )
        steps = order.shape[0]
        flat, size = order.reshape(-1), order.shape[1]
    else:
        rows = [np.asarray(r) for r in order]
        for number, row in enumerate(rows):
            if row.ndim != 1:
                raise InvalidArgument(
                    f"order= must hold 1-D arrays; step {number} has shape {row.shape}"
                )
        flat = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        size = np.array([r.size for r in rows], np.int64)
        size = int(size[0]) if rows and (size == size[0]).all() else size
        steps = len(rows)
    if not steps:
        return Plan(np.zeros(1, np.int64), 1, 1, 0)
    if not np.all(size):
        raise InvalidArgument(f"order=: step {int(np.argmin(size))} has no samples")
    if flat.dtype.kind not in "iu":
        raise InvalidArgument(f"order= must hold integers, got dtype {flat.dtype}")
    numbers = np.ascontiguousarray(flat, np.int64)
    if int(numbers.view(np.uint64).max()) >= samples:  # negative numbers are the largest so
        wrong = (flat >= samples) | (flat < -samples if flat.dtype.kind == "i" else False)
        if wrong.any():
            _out_of_range(int(np.argmax(wrong)), flat, size, steps, samples)
        numbers = np.where(numbers < 0, numbers + samples, numbers)
    return Plan(numbers, steps, size, steps, gathered=True, passes_are_epochs=False)


def _out_of_range(
    place: int, flat: np.ndarray, size: int | np.ndarray, steps: int, samples: int
) -> NoReturn:
    ends = np.cumsum(np.broadcast_to(size, (steps,)))
    step = int(np.searchsorted(ends, place, side="right"))
    raise IndexOutOfRange(f"order=: step {step} names sample {flat[place]}, there are {samples}")
