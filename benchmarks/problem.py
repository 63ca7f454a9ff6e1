"""What every system is given: data, start, and the samples of every step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Problem:
    """One training task.

    Attributes
    ----------
    data : tuple of numpy.ndarray
        Samples along the first axis.
    start : tuple of numpy.ndarray
        Where the parameters begin.
    order : numpy.ndarray of int64, shape (steps, batch), or None
        The samples of every step; None where every step sees all of them.
    steps : int
        Steps of a full run.
    device : {"cpu", "cuda"}
        Where systems that have a choice train.
    precision : {"float32", "tf32"}
        What matrix products of float32 on a device may round their factors to.
    """

    data: tuple[np.ndarray, ...]
    start: tuple[np.ndarray, ...]
    order: np.ndarray | None
    steps: int
    device: str = "cpu"
    precision: str = "float32"

    @property
    def dtype(self) -> np.dtype:
        return self.start[0].dtype

    @property
    def one_by_one(self) -> bool:
        """Whether a step sees a single sample."""
        return self.order is not None and self.order.shape[1] == 1

    def copies(self) -> list[np.ndarray]:
        """The start, to be changed in place."""
        return [np.array(a) for a in self.start]


def draw_order(random: np.random.RandomState, steps: int, samples: int, batch: int) -> np.ndarray:
    """Shuffled epochs, without the incomplete batch at the end of each."""
    per_epoch = samples // batch
    epochs = -(-steps // per_epoch)
    rows = [random.permutation(samples)[: per_epoch * batch] for _ in range(epochs)]
    return np.concatenate(rows).reshape(-1, batch)[:steps]


def cast(dtype: str, *arrays) -> tuple[np.ndarray, ...]:
    """Contiguous arrays of the dtype; whole numbers stay as they are."""
    result = []
    for array in arrays:
        array = np.asarray(array)
        wanted = array.dtype if array.dtype.kind in "iu" else np.dtype(dtype)
        result.append(np.array(array, dtype=wanted, order="C"))
    return tuple(result)


# --- the losses that judge all systems, in float64 -----------------------------------------


def sigmoid(x):
    """In plain NumPy, for large arguments too."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def softplus(x):
    return np.logaddexp(0, x)


def doubles(arrays) -> list[np.ndarray]:
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in map(np.asarray, arrays)]


def cross_entropy(logits, labels) -> float:
    """The mean over the rows."""
    top = logits.max(axis=1, keepdims=True)
    normaliser = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(np.mean(normaliser - logits[np.arange(len(labels)), labels]))
