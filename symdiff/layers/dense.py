"""Layers that multiply by a matrix, or look up its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import init
from ..bridge import describe, to_graph
from ..errors import InvalidType
from ..expressions import TensorSymbol
from ..language import index, matmul
from ..shapes import Shape
from .base import Layer, Parameter, activation, initializer, positive_int


class Dense(Layer):
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
        super().__init__(name)
        self.units = positive_int("units of Dense", units)
        self.activation = _activation(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializer("kernel_initializer", kernel_initializer)
        self.bias_initializer = initializer("bias_initializer", bias_initializer)

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """A kernel ``(size of the last axis, units)`` and a bias."""
        wanted = {"W": Parameter((shape[-1], self.units), self.kernel_initializer)}
        if self.use_bias:
            wanted["b"] = Parameter((self.units,), self.bias_initializer)
        return wanted

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The affine map and the activation."""
        result = matmul(x, p["W"])
        return self.activation(result + p["b"] if self.use_bias else result)


_activation = activation


class Embedding(Layer):
    """Rows of a table, looked up by integers.

    Parameters
    ----------
    input_dim : int
        Rows of the table: labels lie in ``0 … input_dim - 1``.
    output_dim : int
        Size of the last axis of the result.
    embeddings_initializer : Initializer, str, number or array
    name : str, optional
        The parameter is ``E``, and with a name ``name_E``.

    Examples
    --------
    >>> import symdiff as sd
    >>> words = sd.tensor("words", "n", 7, dtype="int")
    >>> sd.layers.Embedding(1000, 16)(words).shape
    (n, 7, 16)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = init.uniform(-0.05, 0.05),  # noqa: B008
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.input_dim = positive_int("input_dim of Embedding", input_dim)
        self.output_dim = positive_int("output_dim of Embedding", output_dim)
        self.embeddings_initializer = initializer("embeddings_initializer", embeddings_initializer)

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """The table."""
        return {"E": Parameter((self.input_dim, self.output_dim), self.embeddings_initializer)}

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The rows."""
        node = to_graph(x)
        if node.dtype != "int":
            raise InvalidType(
                f"Embedding looks up integers, got {describe(node)} of dtype {node.dtype}; declare "
                'it with sd.tensor(..., dtype="int")'
            )
        return index(p["E"], x)
