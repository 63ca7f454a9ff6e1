"""``codegen.Objective``: a compiled loss for ``scipy.optimize``."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from symdiff.binding import SymbolDict, bind, by_symbol, check_names, numbers, unify
from symdiff.bridge import to_graph
from symdiff.errors import InvalidArgument, InvalidType, ShapeError
from symdiff.expressions import stand_in
from symdiff.gradient import derived, loss_node, parameter_nodes, pullback
from symdiff.graph import Node, leaves, number
from symdiff.modes import settle
from symdiff.rewrite import algebra
from symdiff.second_order import inner, jacobian_node
from symdiff.shapes import Size, concrete_shape, text

from .kernel import FunctionKernel, Options, choose_rows, dtype_name
from .labels import check_labels
from .launch import check_threads
from .roll import roll, rolled_parameters
from .vectorise import is_scalar, over_samples, vectorise


class Objective:
    """A loss as a function of one flat vector of parameters.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar. A loss whose data are plain scalar symbols is the loss of one sample.
    parameters : dict
        ``{symbol: start array or number}``.
    data : dict
        ``{symbol: array}`` for the other symbols of the loss.
    reduction : {"mean", "sum"}
        How the losses of samples combine where the loss is that of one sample.
    dtype : {"float64", "float32"}
    threads : int, optional
    math : {"fast", "accurate"}

    Attributes
    ----------
    start : numpy.ndarray, shape (k,)
        The starts of all parameters, one after the other.

    Examples
    --------
    >>> import sympy as sp, codegen
    >>> from scipy.optimize import minimize
    >>> a, b = sp.symbols("a b")
    >>> objective = codegen.Objective((a - 1) ** 2 + 3 * (b + 2) ** 2, {a: 0.0, b: 0.0}, {})
    >>> result = minimize(objective.value_and_gradient, objective.start, jac=True)
    >>> {s: round(float(v), 4) for s, v in objective.unpack(result.x).items()}
    {a: 1.0, b: -2.0}
    """

    def __init__(
        self,
        loss: Any,
        parameters: Mapping[Any, Any],
        data: Mapping[Any, Any] | None = None,
        reduction: str = "mean",
        dtype: Any = "float64",
        target: str = "cpu",
        threads: int | None = None,
        math: str = "fast",
    ) -> None:
        if reduction not in ("mean", "sum"):
            raise InvalidArgument(f"reduction must be 'mean' or 'sum', got {reduction!r}")
        if not isinstance(parameters, Mapping) or not parameters:
            raise InvalidType("parameters are given as {symbol: start}, at least one")
        self._options = Options(dtype_name(dtype), target, math)
        self._threads = check_threads(threads)
        self._loss = loss
        self._starts = {s: np.asarray(numbers(v, s), np.float64) for s, v in parameters.items()}
        if data is not None and not isinstance(data, Mapping):
            raise InvalidType(
                f"data are given as a dict {{symbol: array}}, got {type(data).__name__}"
            )
        self._values = dict(data or {})
        self._reduction = reduction
        self._prepare()

    def _prepare(self) -> None:
        (root,) = settle([loss_node(self._loss)], self._values)
        self._starts = dict(by_symbol(self._starts, leaves([root])))
        self._values = dict(by_symbol(self._values, leaves([root])))
        self._parameters, _ = parameter_nodes(list(self._starts))
        chosen = set(self._parameters)
        data = [n for n in leaves([root]) if n not in chosen]
        check_names(data, self._values)
        vectors: list[Node] = []
        if is_scalar([root]):
            vectors = [n for n in data if np.ndim(self._values[n.attributes[0]]) > 0]
        (root,), mapping = vectorise([root], vectors)
        root = over_samples(root, self._reduction)
        sizes: dict[Size, int] = {}
        origin: dict[Size, str] = {}
        for node in self._parameters:
            symbol = node.attributes[0]
            if self._starts[symbol].ndim:
                unify(symbol, node.shape, self._starts[symbol].shape, sizes, origin)
        nodes = {n: mapping.get(n, n) for n in data}
        self._arrays, self._sizes = bind(
            list(nodes.values()), self._values, dtype=self._options.dtype, known=sizes
        )
        check_labels([root], list(nodes.values()),
                     {n: n for n in nodes.values()}, self._arrays, self._sizes)  # fmt: skip
        self._shapes = {
            n.attributes[0]: concrete_shape(n.shape, self._sizes) for n in self._parameters
        }
        self._roll(root)
        self._data = list(nodes.values())
        self._kernels: dict[str, FunctionKernel] = {}
        self._directions = {
            n: to_graph(stand_in(f"v_{n.attributes[0]}", n.shape)) for n in self._variables
        }
        self.start = self.pack(self._starts)

    def _roll(self, root: Node) -> None:
        """The loss as kernels compute it, of variables that are parts of the flat vector."""
        counts = [int(np.prod(s)) for s in self._shapes.values()]
        slots = [0, *itertools.accumulate(counts)][:-1]
        alone = {n: k for n, k in zip(self._parameters, slots, strict=True) if not n.shape}
        (root,), vectors = roll([root], alone)
        self._variables, _ = rolled_parameters(self._parameters, slots, vectors)
        (self._root,) = algebra([root])

    # --- flat vectors ------------------------------------------------------------------------

    def pack(self, values: Mapping[Any, Any]) -> np.ndarray:
        """One flat vector from ``{symbol: array}``, in the order of the parameters."""
        values = by_symbol(values, self._parameters)
        check_names(self._parameters, values)
        parts = []
        for symbol, shape in self._shapes.items():
            value = np.asarray(numbers(values[symbol], symbol), np.float64)
            if value.ndim == 0:
                value = np.full(shape, value)
            if value.shape != shape:
                raise ShapeError(f"{symbol} has shape {text(shape)}, got an array of {value.shape}")
            parts.append(value.ravel())
        return np.concatenate(parts)

    def unpack(self, theta: Any) -> dict[Any, Any]:
        """``{symbol: array}`` from a flat vector."""
        theta = self._flat(theta, "theta")
        result = SymbolDict()
        position = 0
        for symbol, shape in self._shapes.items():
            count = int(np.prod(shape))
            value = theta[position : position + count].reshape(shape).copy()
            result[symbol] = value[()] if value.ndim == 0 else value
            position += count
        return result

    def _flat(self, theta: Any, name: str) -> np.ndarray:
        vector = np.asarray(theta, np.float64).reshape(-1)
        size = sum(int(np.prod(s)) for s in self._shapes.values())
        if vector.size != size:
            raise ShapeError(f"{name} must have {size} elements, got {vector.size}")
        return vector

    # --- values ------------------------------------------------------------------------------

    def _run(self, name: str, roots: list[Node], values: dict[Node, Any]) -> list[Any]:
        if name not in self._kernels:
            symbols = [*self._data, *values]
            rows = choose_rows(self._data)
            self._kernels[name] = FunctionKernel(
                roots, symbols, rows, self._options, name, self._sizes
            )
        arrays = {**self._arrays, **{n: np.asarray(v) for n, v in values.items()}}
        return self._kernels[name](arrays, self._sizes, self._threads)

    def _parts(self, theta: Any, name: str = "theta") -> list[np.ndarray]:
        """What a flat vector holds for each variable."""
        vector = self._flat(theta, name)
        shapes = [concrete_shape(n.shape, self._sizes) for n in self._variables]
        parts = np.split(vector, np.cumsum([int(np.prod(s)) for s in shapes])[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]

    def _bound(self, theta: Any) -> dict[Node, Any]:
        return dict(zip(self._variables, self._parts(theta), strict=True))

    def _gradients(self) -> list[Node]:
        return derived(self._root, self._variables).gradients

    def value(self, theta: Any) -> float:
        """The loss at a flat vector."""
        (value,) = self._run("value", [self._root], self._bound(theta))
        return float(value)

    __call__ = value

    def gradient(self, theta: Any) -> np.ndarray:
        """The gradient at a flat vector, shape (k,)."""
        return self.value_and_gradient(theta)[1]

    def value_and_gradient(self, theta: Any) -> tuple[float, np.ndarray]:
        """The loss and its gradient of shape (k,): ``minimize(..., jac=True)``."""
        roots = [self._root, *self._gradients()] if "gradient" not in self._kernels else []
        value, *parts = self._run("gradient", roots, self._bound(theta))
        return float(value), np.concatenate([np.ravel(p) for p in parts]).astype(np.float64)

    def hessian_product(self, theta: Any, v: Any) -> np.ndarray:
        """The Hessian times a vector, without the Hessian: ``minimize(..., hessp=…)``."""
        parts = self._parts(v, "v")
        directions = self._directions
        roots: list[Node] = []
        if "hessian product" not in self._kernels:
            along = inner(self._gradients(), list(directions.values()))
            found, _ = pullback(along, number(1), self._variables)
            roots = algebra(found)
        values = self._bound(theta)
        values.update(zip(directions.values(), parts, strict=True))
        products = self._run("hessian product", roots, values)
        return np.concatenate([np.ravel(p) for p in products]).astype(np.float64)

    def hessian(self, theta: Any) -> np.ndarray:
        """The Hessian at a flat vector, shape (k, k)."""
        roots: list[Node] = []
        if "hessian" not in self._kernels:
            roots = algebra(
                [jacobian_node(g, n) for g in self._gradients() for n in self._variables]
            )
        parts = self._run("hessian", roots, self._bound(theta))
        sizes = [part.size for part in self._parts(theta)]
        count = len(sizes)
        blocks = [
            [np.reshape(parts[i * count + j], (sizes[i], sizes[j])) for j in range(count)]
            for i in range(count)
        ]
        return np.block(blocks).astype(np.float64)

    # --- pickling ----------------------------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        kept = ("_loss", "_starts", "_values", "_reduction", "_options", "_threads")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._prepare()

    def __repr__(self) -> str:
        return f"<Objective of {', '.join(map(str, self._shapes))}>"


__all__ = ["Objective"]
