"""Layers in a row."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from ..errors import InvalidArgument, InvalidType
from ..expressions import TensorSymbol
from .base import Layer, layer_name


class Sequential:
    """Layers, each applied to the result of the one before.

    Parameters
    ----------
    layers : sequence
        Layers, other ``Sequential`` models, or functions of an expression.
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
        self.name = layer_name(name)
        self.layers = list(_flat(layers))
        if not self.layers:
            raise InvalidArgument("Sequential needs at least one layer")

    def __call__(self, x: Any) -> Any:
        """Apply the layers in order; the first call makes their parameters."""
        prefix = f"{self.name}_" if self.name else ""
        numbers = {id(layer): i for i, layer in enumerate(self._own, start=1)}
        for layer in self.layers:
            if isinstance(layer, Layer) and layer.name is None and layer.has_parameters:
                x = layer.apply(x, prefix, map(str, itertools.count(numbers[id(layer)])))
            else:
                x = layer(x)
        return x

    @property
    def parameters(self) -> dict[TensorSymbol, Any]:
        """Each parameter with its initialiser; known once the model has been called."""
        return {s: i for layer in self._own for s, i in layer.parameters.items()}

    @property
    def _own(self) -> list[Layer]:
        """Each layer that has parameters, once."""
        layers = (x for x in self.layers if isinstance(x, Layer) and x.has_parameters)
        return list({id(x): x for x in layers}.values())


def _flat(layers: Iterable[Any]) -> Iterable[Any]:
    if isinstance(layers, Layer) or callable(layers):
        raise InvalidType("Sequential takes a list of layers: Sequential([Dense(8), Dense(1)])")
    for layer in layers:
        if isinstance(layer, Sequential):
            yield from layer.layers
        elif callable(layer):
            yield layer
        else:
            raise InvalidType(
                f"a layer is one of sd.layers, a Sequential or a function, got "
                f"{type(layer).__name__}"
            )
