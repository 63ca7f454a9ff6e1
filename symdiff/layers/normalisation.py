"""Layers that differ between training and use, or shift and scale what they get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import arrays, init
from .. import modes as _modes
from ..expressions import TensorSymbol
from ..language import reshape, shape
from ..shapes import Shape
from .base import Layer, Parameter, initializer, known_size


class Dropout(Layer):
    """``sd.dropout(x, rate)``: off outside of training."""

    def __init__(self, rate: float, name: str | None = None) -> None:
        super().__init__(name)
        _modes.check_rate(rate)
        self.rate = rate

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The masked input."""
        return _modes.dropout(x, self.rate)


class LayerNorm(Layer):
    """Each row with mean 0 and variance 1, then scaled and shifted.

    ``gamma (x - mean) / sqrt(var + epsilon) + beta`` over the last axis.

    Parameters
    ----------
    epsilon : float
    center, scale : bool
        Whether there are ``beta`` and ``gamma``.
    name : str, optional

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, Layer normalization, 2016.

    Examples
    --------
    >>> import numpy as np, symdiff as sd
    >>> x = sd.tensor("x", 2, 2)
    >>> y = sd.layers.LayerNorm(epsilon=0.0, center=False, scale=False)(x)
    >>> sd.evaluate(y, {x: [[1.0, 3.0], [5.0, 4.0]]})
    array([[-1.,  1.],
           [ 1., -1.]])
    """

    def __init__(
        self,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.epsilon, self.center, self.scale = epsilon, bool(center), bool(scale)

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """``gamma`` and ``beta`` along the last axis."""
        return _affine(self, shape[-1:])

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The normalised rows."""
        mean = arrays.mean(x, axis=-1, keepdims=True)
        variance = arrays.var(x, axis=-1, keepdims=True)
        return _scaled((x - mean) / arrays.sqrt(variance + self.epsilon), p, p)


def _affine(layer: Any, shape: Shape) -> dict[str, Parameter]:
    wanted = {"gamma": Parameter(shape, init.ones())} if layer.scale else {}
    return wanted | ({"beta": Parameter(shape, init.zeros())} if layer.center else {})


def _scaled(x: Any, present: Mapping[str, Any], p: Mapping[str, Any]) -> Any:
    x = x * p["gamma"] if "gamma" in present else x
    return x + p["beta"] if "beta" in present else x


class BatchNorm(Layer):
    """Each channel with mean 0 and variance 1 over the batch, then scaled and shifted.

    In training the mean and the variance are those of the batch, and moving averages follow
    them; elsewhere the moving averages are used.

    Parameters
    ----------
    axis : int
        The axis of the channels, 1 in ``(n, c)`` and ``(n, c, h, w)``.
    momentum : float
        The share of a moving average that a step keeps.
    epsilon : float
    center, scale : bool
        Whether there are ``beta`` and ``gamma``.
    name : str, optional
        The moving averages are ``mean`` and ``variance``.

    References
    ----------
    S. Ioffe, C. Szegedy, Batch normalization: accelerating deep network training by reducing
    internal covariate shift, 2015.

    Examples
    --------
    >>> import symdiff as sd
    >>> layer = sd.layers.BatchNorm(name="norm")
    >>> layer(sd.tensor("x", "n", 8, 4, 4)).shape
    (n, 8, 4, 4)
    >>> list(layer.parameters)
    [norm_gamma, norm_beta, norm_mean, norm_variance]
    """

    def __init__(
        self,
        axis: int = 1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        moving_mean_initializer: Any = init.zeros(),  # noqa: B008
        moving_variance_initializer: Any = init.ones(),  # noqa: B008
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.axis, self.momentum, self.epsilon = axis, momentum, epsilon
        self.center, self.scale = bool(center), bool(scale)
        self.mean_initializer = initializer("moving_mean_initializer", moving_mean_initializer)
        self.variance_initializer = initializer(
            "moving_variance_initializer", moving_variance_initializer
        )

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """``gamma``, ``beta`` and the moving averages along the axis of the channels."""
        channels = (known_size("BatchNorm", shape, self.axis),)
        return {
            **_affine(self, channels),
            "mean": Parameter(channels, self.mean_initializer, self.momentum),
            "variance": Parameter(channels, self.variance_initializer, self.momentum),
        }

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The normalised channels."""
        rank = len(shape(x))
        own = self.axis % rank
        axes = tuple(a for a in range(rank) if a != own)

        def along(v: Any) -> Any:
            return reshape(v, *(shape(v)[0] if a == own else 1 for a in range(rank)))

        assert all(isinstance(p[role], _modes.MovingAverage) for role in ("mean", "variance"))
        mean = _modes.moving_average(arrays.mean(x, axes), p["mean"])
        variance = _modes.moving_average(arrays.var(x, axes), p["variance"])
        normal = (x - along(mean)) / arrays.sqrt(along(variance) + self.epsilon)
        wide = {role: along(p[role]) for role in ("gamma", "beta") if role in p}
        return _scaled(normal, wide, wide)
