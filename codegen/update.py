"""An optimizer as a graph: the update rule over flat arrays, or over single parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from symdiff import optimizers
from symdiff.bridge import to_graph
from symdiff.graph import Node, apply, number, rebuild, substitute, walk
from symdiff.rewrite import algebra
from symdiff.shapes import Size
from symdiff.update_rule import UpdateSymbol

COUNT = Size("parameters_count")
"""The size of the flat array of parameters."""


COMPLEMENT = "one_minus_"
"""What the name of ``1 - beta`` begins with."""


class UpdateRule:
    """An optimizer as a graph over the flat arrays of parameters, gradient and state."""

    def __init__(self, optimizer: optimizers.Optimizer) -> None:
        shared = set(optimizer.scalars)
        self.vectors = [s for s in optimizer.state if s not in shared]
        self.scalars = [s for s in optimizer.state if s in shared]
        self.initial = {s: float(v) for s, v in optimizer.state.items()}
        self.leaves: dict[Any, Node] = {}
        for symbol in (optimizers.parameter, optimizers.gradient, *self.vectors):
            self.leaves[symbol] = apply("symbol", attributes=(symbol, (COUNT,), "real"))
        for symbol in (optimizers.step, optimizers.epoch, *self.scalars):
            self.leaves[symbol] = to_graph(symbol)
        current: dict[Node, Node] = {to_graph(s): n for s, n in self.leaves.items()}
        for symbol, expression in optimizer.equations:
            (value,) = substitute([to_graph(expression)], current)
            current[to_graph(symbol)] = value
        written = [optimizers.parameter, *self.vectors, *self.scalars]
        values = rebuild(algebra([current[to_graph(s)] for s in written]), _without_cancellation)
        self.constants = self._constants(values, optimizer)
        values = substitute(values, {n: leaf for n, (leaf, _) in self.constants.items()})
        self._values = dict(zip(written, values, strict=True))

    def results(self, leaves: Mapping[Any, Node] | None = None) -> dict[Any, Node]:
        """The new parameter and state, by symbol, for the flat arrays or for other leaves."""
        leaves = {} if leaves is None else leaves
        values = substitute(
            list(self._values.values()), {self.leaves[s]: n for s, n in leaves.items()}
        )
        shapes = [leaves.get(s, self.leaves[s]).shape for s in self._values]
        return {
            s: v if v.shape == shape else _stretch(v, shape)
            for s, v, shape in zip(self._values, values, shapes, strict=True)
        }

    @staticmethod
    def _constants(
        values: Sequence[Node], optimizer: optimizers.Optimizer
    ) -> dict[Node, tuple[Node, float]]:
        """Numbers that are not whole become arguments, so that another rate is the same kernel."""
        known: dict[float, str] = {}
        for name, value in optimizer.hyperparameters.items():
            if isinstance(value, float):
                known.setdefault(value, name)
                known.setdefault(1 - value, f"{COMPLEMENT}{name}")
        found: dict[Node, tuple[Node, float]] = {}
        for node in walk(values):
            if node.operation != "number" or not node.attributes[0].is_Float:
                continue
            value = float(node.attributes[0])
            name = known.get(value, f"constant_{len(found)}")
            leaf = apply("symbol", attributes=(UpdateSymbol(name), (), "real"))
            found[node] = leaf, value
        return found

    @property
    def numbers(self) -> np.ndarray:
        """The values of the constants, in order."""
        return np.array([value for _, value in self.constants.values()] or [0.0])

    def start(self, parameters: int, dtype: str) -> np.ndarray:
        """The flat state before the first step."""
        parts = [np.full(parameters, self.initial[s], dtype) for s in self.vectors]
        parts += [np.full(1, self.initial[s], dtype) for s in self.scalars]
        return np.concatenate(parts) if parts else np.zeros(1, dtype)


def _without_cancellation(node: Node, inputs: tuple[Node, ...]) -> Node:
    """``1 - b^t`` as ``-expm1(t log b)``: in float32, 1 - 0.999 has four right digits.

    What is divided by it is multiplied by its reciprocal, which is computed once.
    """
    if node.operation == "subtract" and inputs[0].is_number(1) and inputs[1].operation == "power":
        base, exponent = inputs[1].inputs
        if base.is_number() and 0 < float(base.attributes[0]) < 1:
            log = number(sp.Float(math.log(float(base.attributes[0]))))
            return apply("negative", apply("expm1", apply("multiply", exponent, log)))
    if node.operation == "divide" and _is_correction(inputs[1]):
        return apply("multiply", inputs[0], apply("divide", number(1), inputs[1]))
    if inputs == node.inputs:
        return node
    return apply(node.operation, *inputs, attributes=node.attributes)


def _is_correction(node: Node) -> bool:
    """``1 - b^t``, one number for all elements: never so small that it has no reciprocal."""
    return node.operation == "negative" and node.inputs[0].operation == "expm1"


def _stretch(node: Node, shape: tuple[Any, ...]) -> Node:
    """A value that is the same for every element, as a vector."""
    return apply("add", node, apply("broadcast_to", number(0), attributes=(shape,)))
