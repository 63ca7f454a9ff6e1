"""Training and use: what a model does differently while it is trained.

``training`` is a condition that ``codegen.Trainer`` makes true in the steps of ``fit`` and false
everywhere else; ``seed`` and ``step`` feed the random numbers of ``dropout``. A model is one
expression for both: ``where(training, ..., ...)``.

A :class:`MovingAverage` is a parameter that is not trained by its gradient. Where an expression
holds ``where(training, x, average)``, every step of training moves it towards ``x``.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from numbers import Real
from typing import Any

import sympy as sp

from . import arrays
from . import structural_classes as kinds
from .bridge import describe, to_graph
from .errors import InvalidArgument, InvalidType, ShapeError
from .expressions import TensorSymbol
from .graph import Node, apply, number, rebuild, substitute, walk
from .language import as_number, shape
from .shapes import Shape, text
from .update_rule import epoch, step

__all__ = ["MovingAverage", "dropout", "seed", "training"]


class ModeSymbol(TensorSymbol):
    """A symbol that says how a model is run; no symbol of a user equals it."""

    __slots__ = ()


training = ModeSymbol("training", (), "bool")
"""True in the steps of ``Trainer.fit``, false where a value is asked for."""

seed = ModeSymbol("seed", (), "int")
"""The seed of the trainer."""

DEFAULTS: dict[Any, Any] = {training: sp.false, seed: sp.Integer(0)}
"""What symbols of the mode are where nobody says so."""

MODES = (training, seed, step, epoch)
"""Symbols that ``fit`` gives a value."""


class MovingAverage(TensorSymbol):
    """A parameter that follows a value of the batches; ``momentum`` is what a step keeps of it."""

    __slots__ = ("momentum",)

    momentum: float

    def __new__(
        cls, name: str, shape: Shape, dtype: str, serial: int = 0, momentum: float = 0.99
    ) -> MovingAverage:
        """Make the symbol."""
        if not 0 <= momentum <= 1:
            raise InvalidArgument(f"momentum must lie in [0, 1], got {momentum!r}")
        obj = super().__new__(cls, name, shape, dtype, serial)
        assert isinstance(obj, MovingAverage)
        obj.momentum = float(momentum)
        return obj

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.name, self._shape, self.dtype, self.serial, self.momentum), {}


def moving_average(value: Any, average: MovingAverage) -> Any:
    """``value`` in training and its moving average elsewhere.

    Every step of training moves it: ``average ← momentum average + (1 − momentum) value``.
    """
    return arrays.where(training, value, average)


_sites = itertools.count()


def dropout(x: Any, rate: Any) -> Any:
    """In training, zero a share of the elements and divide the others by what is kept.

    Parameters
    ----------
    x : expression
    rate : float
        The share of zeros, in [0, 1).

    Returns
    -------
    expression of the shape of ``x``
        ``x`` itself outside of training. Each call of ``dropout`` has masks of its own, and each
        step of training has others. The seed of the trainer decides them.

    Examples
    --------
    >>> import numpy as np, symdiff as sd
    >>> x = sd.tensor("x", 6)
    >>> y = sd.dropout(x, 0.5)
    >>> sd.evaluate(y, {x: np.ones(6)})
    array([1., 1., 1., 1., 1., 1.])
    >>> drawn = sd.evaluate(y, {x: np.ones(6), sd.training: True, sd.step: 0})
    >>> set(drawn) <= {0.0, 2.0}
    True
    """
    x = as_number(x)
    rate = check_rate(rate)
    if rate == 0:
        return x
    drawn = kinds.RandomUniform.make([seed, step], (next(_sites), shape(x)))
    return x * arrays.where(training, arrays.where(drawn < rate, 0, 1 / (1 - rate)), 1)


def check_rate(rate: Any) -> float:
    """The rate of dropout: a number in [0, 1)."""
    if isinstance(rate, sp.Expr) and rate.is_number:
        rate = float(rate)
    if isinstance(rate, bool) or not isinstance(rate, Real):
        raise InvalidType(f"the rate of dropout must be a number, got {rate!r}")
    value = float(rate)
    if not 0 <= value < 1:
        raise InvalidArgument(f"the rate of dropout must lie in [0, 1), got {rate!r}")
    return value


# --- choosing a mode ---------------------------------------------------------------------


def settle(roots: Sequence[Node], given: Container[Any] = ()) -> list[Node]:
    """Graphs in which symbols of the mode that are not ``given`` have their defaults."""
    present = {n.attributes[0] for n in mode_leaves(roots)}
    return _resolve(roots, {s: v for s, v in DEFAULTS.items() if s in present and s not in given})


def in_training(roots: Sequence[Node]) -> list[Node]:
    """Graphs as they are in the steps of ``fit``; the sites of random numbers are counted anew.

    So the masks of a model do not depend on what else was built before it.
    """
    sites: dict[int, int] = {}

    def renumber(node: Node, inputs: tuple[Node, ...]) -> Node:
        attributes = node.attributes
        if node.operation == "random_uniform":
            site, *rest = attributes
            attributes = (sites.setdefault(site, len(sites)), *rest)
        if inputs == node.inputs and attributes is node.attributes:
            return node
        return apply(node.operation, *inputs, attributes=attributes)

    fixed = {training: sp.true} if to_graph(training) in mode_leaves(roots) else {}
    return rebuild(_resolve(roots, fixed), renumber)


def _resolve(roots: Sequence[Node], values: dict[Any, Any]) -> list[Node]:
    from .rewrite import algebra

    mapping = {to_graph(s): number(v) for s, v in values.items()}
    return algebra(substitute(roots, mapping)) if mapping else list(roots)


def mode_leaves(roots: Sequence[Node]) -> list[Node]:
    """The symbols of the mode below ``roots``."""
    return [n for n in walk(roots) if n.operation == "symbol" and n.attributes[0] in MODES]


def moving_values(roots: Sequence[Node]) -> dict[Node, Node]:
    """The next value of each moving average, as a step of training computes it.

    Raises
    ------
    InvalidArgument
        Where an average stands anywhere but in ``where(training, value, average)``.
    """
    flag = to_graph(training)
    result: dict[Node, Node] = {}
    for node in walk(roots):
        averages = [i for i in node.inputs if _is_average(i)]
        if not averages:
            continue
        average = averages[0]
        if node.operation != "where" or node.inputs[0] is not flag or node.inputs[2] is not average:
            raise InvalidArgument(
                f"{average.attributes[0]} is a moving average: it stands for a value outside of "
                f"training only, not in {describe(node)}"
            )
        value = node.inputs[1]
        if value.shape != average.shape:
            raise ShapeError(
                f"the moving average {average.attributes[0]} has shape {text(average.shape)}, "
                f"its value {text(value.shape)}"
            )
        momentum = average.attributes[0].momentum
        before = result.get(average, average)
        result[average] = apply(
            "add",
            apply("multiply", number(momentum), before),
            apply("multiply", number(1 - momentum), value),
        )
    return result


def _is_average(node: Node) -> bool:
    return node.operation == "symbol" and isinstance(node.attributes[0], MovingAverage)
