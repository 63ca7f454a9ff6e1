"""Layers: sugar that builds expressions and lists its parameters with their initialisers.

A layer is called with an expression and returns one. It makes its parameter tensors at the
first call, from the last axis of what it is called with; later calls share them. Tensors of
equal name and shape are the same tensor everywhere in symdiff, so a layer refuses an input that
already holds a tensor of the name it is about to use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from . import arrays, init
from .bridge import describe, to_graph
from .errors import InvalidArgument, InvalidType, ShapeError
from .graph import leaves
from .language import TensorSymbol, as_number, matmul, tensor
from .shapes import text

__all__ = ["ACTIVATIONS", "Dense", "Sequential"]


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


class Dense:
    """``activation(x @ W + b)``.

    Parameters
    ----------
    units : int
        Size of the last axis of the result.
    activation : str or callable, optional
        A name of :data:`ACTIVATIONS` or a function of an expression.
    use_bias : bool
    kernel_initializer, bias_initializer : Initializer, str, number or array
        A string names an initialiser of :mod:`symdiff.init` that needs no arguments.
    name : str, optional
        The parameters are ``W`` and ``b``, and with a name ``name_W`` and ``name_b``.

    Attributes
    ----------
    parameters : dict
        ``{symbol: initialiser}``, as ``codegen.Trainer`` takes it.

    Examples
    --------
    >>> import symdiff as sd
    >>> layer = sd.layers.Dense(2, activation="relu", name="hidden")
    >>> layer(sd.tensor("X", "n", 3)).shape
    (n, 2)
    >>> layer.parameters
    {hidden_W: glorot_uniform(), hidden_b: zeros()}
    """

    def __init__(
        self,
        units: int,
        activation: str | Callable[[Any], Any] | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = init.glorot_uniform(),  # noqa: B008  (immutable)
        bias_initializer: Any = init.zeros(),  # noqa: B008
        name: str | None = None,
    ) -> None:
        if isinstance(units, (bool, np.bool_)) or not hasattr(units, "__index__") or units < 1:
            raise InvalidArgument(f"units of Dense must be a positive int, got {units!r}")
        self.units = int(units)
        self.activation = _activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = _initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = _initializer("bias_initializer", bias_initializer)
        self.name = _name(name)
        self.kernel: TensorSymbol | None = None
        self.bias: TensorSymbol | None = None

    def __call__(self, x: Any) -> Any:
        """Apply the layer; the first call makes its parameters."""
        prefix = f"{self.name}_" if self.name else ""
        return self._apply(x, f"{prefix}W", f"{prefix}b")

    def _apply(self, x: Any, kernel: str, bias: str) -> Any:
        """Apply the layer; the names are for parameters that do not exist yet."""
        x = as_number(x)
        node = to_graph(x)
        if not node.shape:
            raise ShapeError(
                f"Dense needs an input with at least one axis, got the scalar {describe(node)}"
            )
        size = node.shape[-1]
        if self.kernel is None:
            taken = {str(leaf.attributes[0]) for leaf in leaves([node])}
            for name in (kernel, bias) if self.use_bias else (kernel,):
                if name in taken:
                    raise InvalidArgument(
                        f"the input of Dense already holds a tensor named {name}; give the layer, "
                        'or its Sequential, a name of its own: name="decoder"'
                    )
            self.kernel = tensor(kernel, size, self.units)
            self.bias = tensor(bias, self.units) if self.use_bias else None
        if self.kernel.shape[0] != size:
            raise ShapeError(
                f"this Dense layer has the kernel {self.kernel} with shape "
                f"{text(self.kernel.shape)} from an earlier call; {describe(node)} with shape "
                f"{text(node.shape)} needs another one, so make a new layer"
            )
        result = matmul(x, self.kernel)
        return self.activation(result if self.bias is None else result + self.bias)

    @property
    def parameters(self) -> dict[TensorSymbol, Any]:
        """Each parameter with its initialiser; known once the layer has been called."""
        if self.kernel is None:
            raise InvalidArgument(
                "this Dense layer has no parameters yet; call it with an expression first, its "
                "last axis gives their shape"
            )
        result = {self.kernel: self.kernel_initializer}
        if self.bias is not None:
            result[self.bias] = self.bias_initializer
        return result


class Sequential:
    """Layers, each applied to the result of the one before.

    Parameters
    ----------
    layers : sequence
        ``Dense`` layers, other ``Sequential`` models, or functions of an expression.
    name : str, optional
        The parameters are ``W1, b1, W2, b2``, and with a name ``name_W1`` and so on. A layer
        that has a name of its own keeps it.

    Attributes
    ----------
    parameters : dict
        ``{symbol: initialiser}``, as ``codegen.Trainer`` takes it.

    Examples
    --------
    >>> import symdiff as sd
    >>> X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    >>> model = sd.layers.Sequential([sd.layers.Dense(32, "tanh"), sd.layers.Dense(1)])
    >>> loss = sd.losses.mse(model(X), y)
    >>> {symbol: symbol.shape for symbol in model.parameters}
    {W1: (2, 32), b1: (32,), W2: (32, 1), b2: (1,)}
    """

    def __init__(self, layers: Iterable[Any], name: str | None = None) -> None:
        self.name = _name(name)
        self.layers = list(_flat(layers))
        if not self.layers:
            raise InvalidArgument("Sequential needs at least one layer")

    def __call__(self, x: Any) -> Any:
        """Apply the layers in order; the first call makes their parameters."""
        prefix = f"{self.name}_" if self.name else ""
        numbers = {id(layer): i for i, layer in enumerate(self._dense, start=1)}
        for layer in self.layers:
            if isinstance(layer, Dense) and layer.name is None:
                number = numbers[id(layer)]
                x = layer._apply(x, f"{prefix}W{number}", f"{prefix}b{number}")
            else:
                x = layer(x)
        _check_distinct(self._dense)
        return x

    @property
    def parameters(self) -> dict[TensorSymbol, Any]:
        """Each parameter with its initialiser; known once the model has been called."""
        return {s: i for layer in self._dense for s, i in layer.parameters.items()}

    @property
    def _dense(self) -> list[Dense]:
        """Each layer that has parameters, once."""
        return list({id(x): x for x in self.layers if isinstance(x, Dense)}.values())


def _flat(layers: Iterable[Any]) -> Iterable[Any]:
    if isinstance(layers, Dense) or callable(layers):
        raise InvalidType("Sequential takes a list of layers: Sequential([Dense(8), Dense(1)])")
    for layer in layers:
        if isinstance(layer, Sequential):
            yield from layer.layers
        elif callable(layer):
            yield layer
        else:
            raise InvalidType(
                f"a layer is a Dense, a Sequential or a function, got {type(layer).__name__}"
            )


def _check_distinct(layers: Sequence[Dense]) -> None:
    """Two layers whose parameters have one name would silently share them."""
    seen: set[str] = set()
    for layer in layers:
        for symbol in layer.parameters:
            if symbol.name in seen:
                raise InvalidArgument(
                    f"two layers of a Sequential have a parameter named {symbol.name}; give each "
                    "a name of its own: Dense(..., name=...)"
                )
            seen.add(symbol.name)


def _activation(value: Any) -> Callable[[Any], Any]:
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


def _initializer(what: str, value: Any) -> Any:
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


def _name(name: Any) -> str | None:
    if name is not None and (not isinstance(name, str) or not name):
        raise InvalidType(f"the name of a layer is a text that is not empty, got {name!r}")
    return name
