"""Layers of images ``(n, channels, height, width)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import convolution, init
from ..errors import ShapeError
from ..expressions import TensorSymbol
from ..language import reshape, shape
from ..shapes import Shape, product, text
from .base import Layer, Parameter, activation, initializer, positive_int

_activation = activation


class Conv2D(Layer):
    """``activation(conv2d(x, K) + b)`` on images ``(n, c, h, w)``.

    Parameters
    ----------
    filters : int
        Channels of the result.
    kernel_size : int or pair of int
    stride : int or pair of int
    padding : int, pair of int, "valid" or "same"
        As in :func:`symdiff.conv2d`.
    activation : str or callable, optional
    use_bias : bool
    kernel_initializer, bias_initializer : Initializer, str, number or array
    name : str, optional
        The parameters are ``K`` of shape ``(filters, c, kh, kw)`` and ``b``.

    Examples
    --------
    >>> import symdiff as sd
    >>> image = sd.tensor("image", "n", 1, 8, 8)
    >>> sd.layers.Conv2D(16, 3, padding="same", activation="relu")(image).shape
    (n, 16, 8, 8)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        activation: str | Callable[[Any], Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = init.glorot_uniform(),  # noqa: B008
        bias_initializer: Any = init.zeros(),  # noqa: B008
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.filters = positive_int("filters of Conv2D", filters)
        self.kernel_size = convolution.each("Conv2D", "kernel_size", kernel_size, 2, least=1)
        self.stride = stride
        self.padding = padding
        self.activation = _activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializer("bias_initializer", bias_initializer)

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """A kernel ``(filters, channels, kh, kw)`` and a bias."""
        if len(shape) != 4:
            raise ShapeError(f"Conv2D takes images (n, c, h, w), got the shape {text(shape)}")
        kernel = (self.filters, shape[1], *self.kernel_size)
        wanted = {"K": Parameter(kernel, self.kernel_initializer)}
        if self.use_bias:
            wanted["b"] = Parameter((self.filters,), self.bias_initializer)
        return wanted

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The convolution and the activation."""
        result = convolution.conv2d(x, p["K"], self.stride, self.padding)
        return self.activation(result + p["b"][:, None, None] if self.use_bias else result)


class _Pool(Layer):
    """Base of the pooling layers."""

    def __init__(
        self, size: Any = 2, stride: Any = None, padding: Any = 0, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.size, self.stride, self.padding = size, stride, padding


class MaxPool2D(_Pool):
    """The largest element of each window; the arguments are those of ``sd.max_pool2d``."""

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The pooled images."""
        return convolution.max_pool2d(x, self.size, self.stride, self.padding)


class AvgPool2D(_Pool):
    """The mean of each window; the arguments are those of ``sd.avg_pool2d``."""

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The pooled images."""
        return convolution.avg_pool2d(x, self.size, self.stride, self.padding)


class Flatten(Layer):
    """All axes but the first become one.

    Examples
    --------
    >>> import symdiff as sd
    >>> sd.layers.Flatten()(sd.tensor("image", "n", 3, 8, 8)).shape
    (n, 192)
    """

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The rows."""
        return reshape(x, shape(x)[0], product(shape(x)[1:]))
