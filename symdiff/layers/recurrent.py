"""Recurrent layers on sequences ``(n, time, features)``; each compiles to a loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from .. import arrays, init
from ..errors import ShapeError
from ..expressions import TensorSymbol
from ..language import matmul, shape, transpose
from ..scan import scan
from ..shapes import Shape, text
from .base import Layer, Parameter, activation, initializer, positive_int

_activation = activation


class Recurrent(Layer):
    """Base of the recurrent layers."""

    gates = 1

    def __init__(
        self,
        units: int,
        activation: str | Callable[[Any], Any] | None = "tanh",
        use_bias: bool = True,
        return_sequences: bool = False,
        go_backwards: bool = False,
        kernel_initializer: Any = init.glorot_uniform(),  # noqa: B008
        recurrent_initializer: Any = init.orthogonal(),  # noqa: B008
        bias_initializer: Any = init.zeros(),  # noqa: B008
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.units = positive_int(f"units of {type(self).__name__}", units)
        self.activation = _activation(activation)
        self.use_bias = bool(use_bias)
        self.return_sequences = bool(return_sequences)
        self.go_backwards = bool(go_backwards)
        self.kernel_initializer = initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = initializer("recurrent_initializer", recurrent_initializer)
        self.bias_initializer = initializer("bias_initializer", bias_initializer)

    def specify(self, shape: Shape) -> Mapping[str, Parameter]:
        """Kernels of the input and of the state, and a bias."""
        if len(shape) != 3:
            raise ShapeError(
                f"{type(self).__name__} takes sequences (n, time, features), got the shape "
                f"{text(shape)}"
            )
        width = self.gates * self.units
        wanted = {
            "W": Parameter((shape[2], width), self.kernel_initializer),
            "U": Parameter((self.units, width), self.recurrent_initializer),
        }
        if self.use_bias:
            wanted["b"] = Parameter((width,), self.bias_initializer)
        return wanted

    def forward(self, x: Any, p: Mapping[str, TensorSymbol]) -> Any:
        """The last state, or all of them."""
        start = tuple(arrays.zeros(shape(x)[0], self.units) for _ in range(self.states))
        wide = matmul(x, p["W"])  # one product for all times
        wide = wide + p["b"] if self.use_bias else wide
        over_time = transpose(wide, (1, 0, 2))

        def step(h: Any, z: Any) -> Any:
            state = self.step(h, z + matmul(h[0], p["U"]))
            return state, (state[0] if self.return_sequences else None)

        last, every = scan(step, start, over_time, reverse=self.go_backwards)
        return transpose(every, (1, 0, 2)) if self.return_sequences else last[0]

    states = 1

    @abstractmethod
    def step(self, state: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        """The next state, given the sum of what comes from the input and from the state."""


class SimpleRNN(Recurrent):
    """``h ← activation(x W + h U + b)``.

    Parameters
    ----------
    units : int
    activation : str or callable, optional
    use_bias : bool
    return_sequences : bool
        Whether the result holds the state after each step, ``(n, time, units)``, or only the
        last one, ``(n, units)``.
    go_backwards : bool
        Whether to begin at the end. The states stand where their elements do.
    kernel_initializer, recurrent_initializer, bias_initializer
        Initializer, str, number or array.
    name : str, optional
        The parameters are ``W``, ``U`` and ``b``.

    Examples
    --------
    >>> import symdiff as sd
    >>> x = sd.tensor("x", "n", 20, 3)
    >>> sd.layers.SimpleRNN(8)(x).shape, sd.layers.SimpleRNN(8, return_sequences=True)(x).shape
    ((n, 8), (n, 20, 8))
    """

    def step(self, state: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        """The activation of the sum."""
        return (self.activation(z),)


class LSTM(Recurrent):
    """Long short-term memory, with the gates in the order of Keras: input, forget, cell, output.

    ``i, f, g, o = split(x W + h U + b)``; ``c ← σ(f) c + σ(i) activation(g)``;
    ``h ← σ(o) activation(c)``.

    Parameters
    ----------
    unit_forget_bias : bool
        Whether the bias of the forget gate begins at one.
    units, activation, use_bias, return_sequences, go_backwards, kernel_initializer,
    recurrent_initializer, bias_initializer, name
        As in :class:`SimpleRNN`.

    References
    ----------
    S. Hochreiter, J. Schmidhuber, Long short-term memory, 1997. The bias of the forget gate:
    R. Jozefowicz, W. Zaremba, I. Sutskever, An empirical exploration of recurrent network
    architectures, 2015.

    Examples
    --------
    >>> import symdiff as sd
    >>> layer = sd.layers.LSTM(8, name="lstm")
    >>> layer(sd.tensor("x", "n", 20, 3)).shape
    (n, 8)
    >>> [symbol.shape for symbol in layer.parameters]
    [(3, 32), (8, 32), (32,)]
    """

    gates = 4
    states = 2

    def __init__(self, units: int, *args: Any, unit_forget_bias: bool = True, **kw: Any) -> None:
        super().__init__(units, *args, **kw)
        if unit_forget_bias:
            self.bias_initializer = init.forget_bias(self.units, self.bias_initializer)

    def step(self, state: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        """The gates."""
        i, f, g, o = (z[:, k * self.units : (k + 1) * self.units] for k in range(4))
        c = arrays.sigmoid(f) * state[1] + arrays.sigmoid(i) * self.activation(g)
        return arrays.sigmoid(o) * self.activation(c), c
