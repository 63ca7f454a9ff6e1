"""What layers have in common: names, parameters, and checks of their arguments."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import arrays, init
from ..bridge import describe, to_graph
from ..errors import InvalidArgument, InvalidType, ShapeError
from ..expressions import TensorSymbol
from ..graph import Node, leaves
from ..language import as_number
from ..modes import MovingAverage
from ..shapes import Shape, text


def linear(x: Any) -> Any:
    """The input as it is."""
    return x


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "linear": linear,
    "relu": arrays.relu,
    "leaky_relu": arrays.leaky_relu,
    "elu": arrays.elu,
    "gelu": arrays.gelu,
    "silu": arrays.silu,
    "sigmoid": arrays.sigmoid,
    "log_sigmoid": arrays.log_sigmoid,
    "softplus": arrays.softplus,
    "tanh": arrays.tanh,
    "exponential": arrays.exp,
    "softmax": arrays.softmax,
    "log_softmax": arrays.log_softmax,
}
"""Activations by name; softmax is over the last axis, gelu the exact one."""

_serials = itertools.count(1)
"""Tells the parameters of layers apart that have one name."""


@dataclass(frozen=True)
class Parameter:
    """What a layer asks for: a shape, a start, and the momentum of a moving average."""

    shape: Shape
    start: Any
    momentum: float | None = None


class Layer(ABC):
    """Base of the layers: a function of an expression that owns parameters.

    A layer of a user's own says in ``specify`` what parameters it has for an input, and in
    ``forward`` what it computes.

    Attributes
    ----------
    parameters : dict
        ``{symbol: start}``, as ``codegen.Trainer`` takes it; known once the layer was called.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.layers.base import Layer, Parameter
    >>> class Scale(Layer):
    ...     def specify(self, shape):
    ...         return {"s": Parameter(shape[-1:], sd.init.ones())}
    ...
    ...     def forward(self, x, p):
    ...         return x * p["s"]
    >>> layer = Scale(name="scale")
    >>> layer(sd.tensor("x", "n", 3))
    scale_s*x
    >>> layer.parameters
    {scale_s: ones()}
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = layer_name(name)
        self._symbols: dict[str, TensorSymbol] | None = None
        self._starts: dict[str, Any] = {}

    # --- what a layer is -----------------------------------------------------------------

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """The parameters for an input of this shape, by role; raises where it does not fit."""
        return {}

    @abstractmethod
    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The result for an input, given the parameters by role."""

    # --- calling -------------------------------------------------------------------------

    def __call__(self, x: Any) -> Any:
        """Apply the layer; the first call makes its parameters."""
        prefix = f"{self.name}_" if self.name else ""
        return self.apply(x, prefix, itertools.chain([""], map(str, itertools.count(2))))

    def apply(self, x: Any, prefix: str, numbers: Iterator[str]) -> Any:
        """Apply the layer; a parameter that does not exist yet is called prefix, role, number.

        The number is the first for which the input holds no tensor of that name.
        """
        x = as_number(x)
        node = to_graph(x)
        if not node.shape:
            raise ShapeError(
                f"{type(self).__name__} needs an input with at least one axis, got the scalar "
                f"{describe(node)}"
            )
        wanted = self.specify(node.shape)
        if self._symbols is None:
            self._make(node, wanted, prefix, numbers)
        assert self._symbols is not None
        for role, parameter in wanted.items():
            symbol = self._symbols[role]
            if symbol.shape != parameter.shape:
                raise ShapeError(
                    f"this {type(self).__name__} layer has the parameter {symbol} with shape "
                    f"{text(symbol.shape)} from an earlier call; {describe(node)} with shape "
                    f"{text(node.shape)} needs {text(parameter.shape)}, so make a new layer"
                )
        return self.forward(x, self._symbols)

    def _make(
        self, node: Node, wanted: Mapping[str, Parameter], prefix: str, numbers: Iterator[str]
    ) -> None:
        taken = {str(leaf.attributes[0]) for leaf in leaves([node])} if wanted else set()
        number = next(n for n in numbers if not any(f"{prefix}{r}{n}" in taken for r in wanted))
        self._symbols = {}
        for role, p in wanted.items():
            name, serial = f"{prefix}{role}{number}", next(_serials)
            self._symbols[role] = (
                TensorSymbol(name, p.shape, "real", serial)
                if p.momentum is None
                else MovingAverage(name, p.shape, "real", serial, p.momentum)
            )
            self._starts[role] = p.start

    @property
    def has_parameters(self) -> bool:
        """Whether a layer of this kind ever has parameters."""
        return type(self).specify is not Layer.specify

    @property
    def parameters(self) -> dict[TensorSymbol, Any]:
        """Each parameter with its start; known once the layer has been called."""
        if self._symbols is None and self.has_parameters:
            raise InvalidArgument(
                f"this {type(self).__name__} layer has no parameters yet; call it with an "
                "expression first, its shape gives theirs"
            )
        return {symbol: self._starts[role] for role, symbol in (self._symbols or {}).items()}


# --- checks of arguments -----------------------------------------------------------------


def layer_name(name: Any) -> str | None:
    """A name given to a layer, or None."""
    if name is not None and (not isinstance(name, str) or not name):
        raise InvalidType(f"the name of a layer is a text that is not empty, got {name!r}")
    return name


def activation(value: Any) -> Callable[[Any], Any]:
    """An activation given as None, a name or a function."""
    if value is None:
        value = "linear"
    if isinstance(value, str):
        if value not in ACTIVATIONS:
            raise InvalidArgument(
                f"there is no activation named {value!r}; choose one of {', '.join(ACTIVATIONS)}, "
                "or give a function"
            )
        return ACTIVATIONS[value]
    if not callable(value):
        raise InvalidType(f"an activation is a name or a function, got {type(value).__name__}")
    return value


def initializer(what: str, value: Any) -> Any:
    """An initialiser given as one, as a name, a number or an array."""
    if isinstance(value, str):
        if value not in init.BY_NAME:
            raise InvalidArgument(
                f"{what}: there is no initialiser named {value!r}; choose one of "
                f"{', '.join(init.BY_NAME)}, or give one of symdiff.init"
            )
        return init.BY_NAME[value]()
    if isinstance(value, type) and issubclass(value, init.Initializer):
        raise InvalidType(f"{what}: write {value.__name__}() with parentheses")
    if isinstance(value, init.Initializer) or np.asarray(value).dtype.kind in "biuf":
        return value
    raise InvalidType(f"{what} must be an initialiser, a number or an array, got {value!r}")


def positive_int(what: str, value: Any) -> int:
    """A size given as an int."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__") or value < 1:
        raise InvalidArgument(f"{what} must be a positive int, got {value!r}")
    return int(value)


def known_size(layer: str, shape: Shape, axis: int) -> Any:
    """The size of an axis of the input, for the shape of a parameter."""
    if not -len(shape) <= axis < len(shape):
        raise ShapeError(f"{layer}: an input of shape {text(shape)} has no axis {axis}")
    return shape[axis]
