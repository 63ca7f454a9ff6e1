"""Initialisers: where the training of a parameter begins.

An initialiser is a frozen value; :meth:`Initializer.sample` draws an array. Fan-in and fan-out
are counted as Keras does: of a matrix ``(in, out)`` its sizes, of a kernel
``(c_out, c_in, ...)`` the channels times the size of the receptive field.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InvalidArgument, InvalidType, ShapeError

__all__ = [
    "Initializer",
    "constant",
    "fans",
    "forget_bias",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "normal",
    "ones",
    "orthogonal",
    "uniform",
    "zeros",
]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Fan-in and fan-out: how many numbers enter and leave one element.

    Parameters
    ----------
    shape : sequence of int

    Returns
    -------
    fan_in, fan_out : int

    Examples
    --------
    >>> from symdiff.init import fans
    >>> fans((64, 32)), fans((32,)), fans((8, 3, 5, 5))
    ((64, 32), (32, 32), (75, 200))
    """
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    if len(shape) == 2:
        return shape[0], shape[1]
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


@dataclass(frozen=True)
class Initializer(ABC):
    """Base of the initialisers."""

    def sample(self, shape: Sequence[int] | int, rng: np.random.Generator) -> np.ndarray:
        """Draw a float64 array.

        Parameters
        ----------
        shape : sequence of int
        rng : numpy.random.Generator
            The same state of the generator gives the same array.

        Returns
        -------
        numpy.ndarray
        """
        if not isinstance(rng, np.random.Generator):
            raise InvalidType(
                f"rng must be a numpy.random.Generator, got {type(rng).__name__}; "
                "make one with numpy.random.default_rng(seed)"
            )
        return np.asarray(self._draw(_sizes(shape), rng), dtype=np.float64)

    def __call__(self, shape: Sequence[int] | int, rng: np.random.Generator) -> np.ndarray:
        """Draw an array: the same as :meth:`sample`."""
        return self.sample(shape, rng)

    @abstractmethod
    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        """The array, in any floating type."""


def _sizes(shape: Sequence[int] | int) -> tuple[int, ...]:
    entries = shape if isinstance(shape, (tuple, list)) else (shape,)
    for entry in entries:
        if isinstance(entry, bool) or not hasattr(entry, "__index__") or int(entry) < 0:
            raise InvalidArgument(f"an initialiser needs a shape of known sizes, got {shape!r}")
    return tuple(int(entry) for entry in entries)


def _finite(owner: Initializer, **values: Any) -> None:
    for name, value in values.items():
        if isinstance(value, str) or not np.ndim(value) == 0 or not math.isfinite(value):
            raise InvalidArgument(
                f"{name} of {type(owner).__name__} must be a finite number, got {value!r}"
            )


# The standard deviation of a normal distribution cut off at two standard deviations.
_TRUNCATED_STD = 0.87962566103423978


def _truncated_normal(std: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal numbers of the given standard deviation, none beyond twice the uncut one."""
    values = rng.standard_normal(shape)
    while (outside := np.abs(values) > 2).any():
        values = np.where(outside, rng.standard_normal(shape), values)
    return values * (std / _TRUNCATED_STD)


def _symmetric(limit: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-limit, limit, shape)


@dataclass(frozen=True)
class glorot_uniform(Initializer):
    """Uniform in ±sqrt(6 / (fan_in + fan_out)); also called Xavier.

    References
    ----------
    X. Glorot, Y. Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010.

    Examples
    --------
    >>> import numpy as np, symdiff as sd
    >>> sd.init.glorot_uniform().sample((2, 4), np.random.default_rng(0)).shape
    (2, 4)
    """

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return _symmetric(math.sqrt(6 / max(1, sum(fans(shape)))), shape, rng)


@dataclass(frozen=True)
class glorot_normal(Initializer):
    """Normal with variance 2 / (fan_in + fan_out), cut off at two standard deviations.

    Cut off and scaled as in Keras; the source is that of :class:`glorot_uniform`.
    """

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return _truncated_normal(math.sqrt(2 / max(1, sum(fans(shape)))), shape, rng)


@dataclass(frozen=True)
class he_uniform(Initializer):
    """Uniform in ±sqrt(6 / fan_in), for layers followed by relu; also called Kaiming.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, Delving deep into rectifiers, 2015.
    """

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return _symmetric(math.sqrt(6 / max(1, fans(shape)[0])), shape, rng)


@dataclass(frozen=True)
class he_normal(Initializer):
    """Normal with variance 2 / fan_in, cut off at two standard deviations.

    Cut off and scaled as in Keras; the source is that of :class:`he_uniform`.
    """

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return _truncated_normal(math.sqrt(2 / max(1, fans(shape)[0])), shape, rng)


@dataclass(frozen=True)
class lecun_normal(Initializer):
    """Normal with variance 1 / fan_in, cut off at two standard deviations as in Keras.

    References
    ----------
    Y. LeCun, L. Bottou, G. B. Orr, K.-R. Müller, Efficient backprop, 1998.
    """

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return _truncated_normal(math.sqrt(1 / max(1, fans(shape)[0])), shape, rng)


@dataclass(frozen=True)
class uniform(Initializer):
    """Uniform between ``low`` and ``high``.

    Parameters
    ----------
    low, high : float

    Examples
    --------
    >>> import symdiff as sd
    >>> sd.init.uniform(-1, 1)
    uniform(low=-1, high=1)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        _finite(self, low=self.low, high=self.high)
        if self.low > self.high:
            raise InvalidArgument(f"uniform: low {self.low} is above high {self.high}")

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True)
class normal(Initializer):
    """Normal with a mean and a standard deviation, not cut off.

    Parameters
    ----------
    mean, std : float
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        _finite(self, mean=self.mean, std=self.std)
        if self.std < 0:
            raise InvalidArgument(f"normal: std must be 0 or more, got {self.std}")

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.mean, self.std, shape)


@dataclass(frozen=True)
class zeros(Initializer):
    """Zeros."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape)


@dataclass(frozen=True)
class ones(Initializer):
    """Ones."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape)


@dataclass(frozen=True)
class constant(Initializer):
    """One number everywhere.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> import numpy as np, symdiff as sd
    >>> sd.init.constant(0.5).sample((2,), np.random.default_rng(0))
    array([0.5, 0.5])
    """

    value: float

    def __post_init__(self) -> None:
        _finite(self, value=self.value)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, float(self.value))


@dataclass(frozen=True)
class forget_bias(Initializer):
    """The bias of an LSTM: another start, and ones for the forget gate.

    Parameters
    ----------
    units : int
        The forget gate is elements ``units`` to ``2 units`` of the first axis.
    other : Initializer, number or array

    References
    ----------
    R. Jozefowicz, W. Zaremba, I. Sutskever, An empirical exploration of recurrent network
    architectures, 2015.

    Examples
    --------
    >>> import numpy as np, symdiff as sd
    >>> sd.init.forget_bias(1, sd.init.zeros()).sample(4, np.random.default_rng(0))
    array([0., 1., 0., 0.])
    """

    units: int
    other: Any

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        drawn = self.other.sample(shape, rng) if isinstance(self.other, Initializer) else self.other
        value = np.array(np.broadcast_to(np.asarray(drawn, np.float64), shape))
        if shape:
            value[self.units : 2 * self.units] = 1
        return value


@dataclass(frozen=True)
class orthogonal(Initializer):
    """Orthonormal rows or columns, whichever are fewer, times ``gain``.

    Of a kernel ``(c_out, ...)`` the matrix with ``c_out`` rows, as in PyTorch.

    Parameters
    ----------
    gain : float

    References
    ----------
    A. M. Saxe, J. L. McClelland, S. Ganguli, Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks, 2014. The signs that make the distribution uniform:
    F. Mezzadri, How to generate random matrices from the classical compact groups, 2007.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, gain=self.gain)

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ShapeError(f"orthogonal needs a shape with two axes or more, got {shape}")
        rows, columns = shape[0], math.prod(shape[1:])
        matrix = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(matrix)
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


BY_NAME: dict[str, type[Initializer]] = {
    cls.__name__: cls
    for cls in (
        glorot_normal,
        glorot_uniform,
        he_normal,
        he_uniform,
        lecun_normal,
        ones,
        orthogonal,
        zeros,
    )
}
"""The initialisers that need no arguments, by the names that Keras gives them."""
