"""Checking a gradient against finite differences."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import sympy as sp

from .binding import bind, by_symbol
from .bridge import to_graph
from .errors import BindingError, GradientMismatch, InvalidArgument, InvalidType, ShapeError
from .gradient import gradient as derived_gradient
from .gradient import loss_node, parameter_nodes
from .graph import Node, leaves, walk
from .language import as_expression
from .modes import settle
from .resolve import resolve

__all__ = ["Comparison", "check_gradient", "compare_entry"]

TOLERANCE = 1e-6
STEP = 1e-3
"""First step, relative to the entry; ten times smaller ones follow where it is not good enough."""

_REFINEMENTS = 5
_EPSILON = float(np.finfo(np.float64).eps)


def check_gradient(
    loss: Any,
    wrt: Any,
    values: Mapping[Any, Any],
    gradient: Any = None,
    step: float | None = None,
    tolerance: float | None = None,
) -> float:
    """Compare a gradient with finite differences.

    Central differences, extrapolated to step 0 (Richardson), with smaller steps where they do
    not resolve. Where the loss has a kink (``relu`` at 0, a tie of a maximum), differences
    cannot judge: there symdiff's own convention counts as right, and so does every value
    between the derivatives from the left and from the right.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar. Of scalar symbols it is the loss of one sample: data may then be 1-D arrays,
        and the gradient of the mean over the samples is checked.
    wrt : Symbol or list of Symbol
    values : dict
        ``{symbol: array}``, for the data and for where the gradient is taken.
    gradient : optional
        The gradient to check, by default symdiff's own. An expression or an array, a list of
        them in the order of ``wrt``, a dict by symbol, or a function that returns any of
        these; a function of one argument is given ``values``, one of several the arrays in
        the order of ``values``.
    step : float, optional
        First step, relative to the size of the entry, 1e-3 by default.
    tolerance : float, optional
        Largest relative error of an entry, 1e-6 by default.

    Returns
    -------
    float
        The largest relative error. An entry that is small against the rounding errors of the
        differences is measured against these.

    Raises
    ------
    GradientMismatch
        Names the symbol and the entry that is farthest off.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.check import check_gradient
    >>> X, w, y = sd.tensor("X", "n", 2), sd.tensor("w", 2), sd.tensor("y", "n")
    >>> values = {X: [[1, 2], [3, 4]], w: [0.5, -1], y: [1, 2]}
    >>> check_gradient(sd.sum((X @ w - y) ** 2), w, values) < 1e-6
    True
    >>> check_gradient(sd.sum((X @ w - y) ** 2), w, values, gradient=X.T @ (X @ w - y))
    Traceback (most recent call last):
    ...
    symdiff.errors.GradientMismatch: w[0]: given -16, finite differences -32
    """
    step = STEP if step is None else _positive("step", step)
    tolerance = TOLERANCE if tolerance is None else _positive("tolerance", tolerance)
    stable = loss_node(loss)  # a loss that is not a real scalar is refused here
    nodes, _ = parameter_nodes(wrt, [stable])
    values = by_symbol(values, leaves([stable]))
    nodes = list(dict.fromkeys(nodes))
    (written,) = resolve([to_graph(as_expression(loss))])
    function = _Function(written, nodes, values)
    if not function.is_finite():
        function = _Function(stable, nodes, values)
    if not function.is_finite():
        raise InvalidArgument(
            "check_gradient: the loss is not finite at these values, so it has no differences there"
        )
    own = function.evaluated(derived_gradient(loss, [n.attributes[0] for n in nodes]), nodes)
    given = own if gradient is None else _given(gradient, nodes, values, function)
    worst: tuple[float, str] = (0.0, "")
    for node, array, convention in zip(nodes, given, own, strict=True):
        line = function.line(node)
        for entry in np.ndindex(array.shape):
            pair = float(array[entry]), float(convention[entry])
            error, difference, _ = compare_entry(line, entry, pair, step, tolerance)
            if error > worst[0]:
                place = f"[{', '.join(map(str, entry))}]" if entry else ""
                name = f"{node.attributes[0]}{place}"
                worst = error, f"{name}: given {pair[0]:.6g}, finite differences {difference:.6g}"
    error, message = worst
    if error > tolerance:
        raise GradientMismatch(message)
    return error


def _positive(name: str, value: Any) -> float:
    if not value > 0:
        raise InvalidArgument(f"check_gradient: {name} must be a positive number, got {value!r}")
    return float(value)


# --- the loss as a function of one entry -------------------------------------------------


class _Function:
    """A loss as a function of its parameters.

    Of scalar symbols bound to arrays it is the mean over the samples: at once where the loss is
    elementwise, as a NumPy ufunc, else sample by sample. A case holds the arrays of one run.
    """

    def __init__(self, root: Node, nodes: Sequence[Node], values: Mapping[Any, Any]) -> None:
        if not isinstance(values, Mapping):
            raise InvalidType(
                f"values are given as a dict {{symbol: array}}, got {type(values).__name__}"
            )
        for node in nodes:
            symbol = node.attributes[0]
            if not node.shape and np.ndim(values.get(symbol, 0)):
                raise ShapeError(
                    f"{symbol} is a scalar and a parameter: its value is one number, got an array "
                    f"of shape {np.shape(values[symbol])}; only data have one value for each sample"
                )
        self.given = values
        (root,) = settle([root], values)
        self.root = root
        self.order = walk([root])
        symbols = list(dict.fromkeys([*leaves([root]), *nodes]))
        at_once = all(n.row.kind in ("leaf", "elementwise") and not n.shape for n in self.order)
        cases = [values] if at_once else _samples(symbols, nodes, values)
        bound = [bind(symbols, c, ufunc=at_once, roots=[root, *nodes]) for c in cases]
        self.cases = [arrays for arrays, _ in bound]
        self.sizes = bound[0][1]
        self.arrays = self.cases[0]
        self.bases = [self.run(self.order, arrays) for arrays in self.cases]

    def run(self, order: Sequence[Node], known: Mapping[Node, Any]) -> dict[Node, Any]:
        """The values of the nodes in ``order``, given those of the nodes before."""
        results = dict(known)
        with np.errstate(all="ignore"):
            for node in order:
                if node not in results or node.inputs:
                    inputs = [results[i] for i in node.inputs]
                    value = node.row.numpy(inputs, node, self.sizes)
                    real = node.dtype == "real"
                    results[node] = np.asarray(value, np.float64) if real else value
        return results

    def is_finite(self) -> bool:
        """Whether the loss is a finite number at the values."""
        return all(bool(np.isfinite(base[self.root]).all()) for base in self.bases)

    def line(self, node: Node) -> _Line:
        """The loss as a function of the array of one parameter."""
        depends = {node}
        order = []
        for n in self.order:
            if any(i in depends for i in n.inputs):
                depends.add(n)
                order.append(n)
        return _Line(self, node, order)

    def evaluated(self, expressions: Sequence[Any], nodes: Sequence[Node]) -> list[np.ndarray]:
        """Expressions at the values, the mean over samples, each for one parameter."""
        graphs = resolve([to_graph(as_expression(e)) for e in expressions], self.arrays)
        roots = settle(graphs, self.given)
        unknown = [n for n in leaves(roots) if n not in self.arrays]
        if unknown:
            names = ", ".join(sorted(str(n.attributes[0]) for n in unknown))
            raise InvalidArgument(f"the given gradient contains {names}, which the loss does not")
        order = walk(roots)
        runs = [self.run(order, arrays) for arrays in self.cases]
        return [
            np.mean([r[root] if node.shape else np.mean(r[root]) for r in runs], axis=0)
            for root, node in zip(roots, nodes, strict=True)
        ]


def _samples(
    symbols: Sequence[Node], nodes: Sequence[Node], values: Mapping[Any, Any]
) -> list[Mapping[Any, Any]]:
    """One dict of values for each sample, where scalar data are bound to 1-D arrays."""
    scalars = [n.attributes[0] for n in symbols if not n.shape and n not in nodes]
    data = {s: values[s] for s in scalars if s in values and np.ndim(values[s]) == 1}
    lengths = {s: len(v) for s, v in data.items()}
    if not data:
        return [values]
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{s}: {k}" for s, k in lengths.items())
        raise BindingError(f"the data have different numbers of samples: {listed}")
    count = next(iter(lengths.values()))
    if not count:
        raise BindingError(f"there are no samples: {', '.join(map(str, data))} are empty")
    return [{**values, **{s: v[i] for s, v in data.items()}} for i in range(count)]


class _Line:
    """The loss along one entry of one parameter."""

    def __init__(self, function: _Function, node: Node, order: Sequence[Node]) -> None:
        self._function = function
        self._node = node
        self._order = order
        self._known = [dict(base) for base in function.bases]
        self.start = np.array(function.arrays[node], np.float64)

    def __call__(self, entry: tuple[int, ...], offset: float) -> float:
        moved = self.start.copy()
        moved[entry] += offset
        total = 0.0
        for known in self._known:
            known[self._node] = moved
            results = self._function.run(self._order, known)
            total += float(np.mean(results[self._function.root]))
        return total / len(self._known)


# --- the gradient that was given ---------------------------------------------------------


def _given(
    gradient: Any, nodes: Sequence[Node], values: Mapping[Any, Any], function: _Function
) -> list[np.ndarray]:
    symbols = [n.attributes[0] for n in nodes]
    if callable(gradient) and not isinstance(gradient, (sp.Basic, np.ndarray)):
        gradient = _called(gradient, values)
    if isinstance(gradient, Mapping):
        missing = [str(s) for s in symbols if s not in gradient]
        if missing:
            raise InvalidArgument(f"the given gradient has no entry for {', '.join(missing)}")
        parts = [gradient[s] for s in symbols]
    elif len(nodes) > 1 or (isinstance(gradient, (list, tuple)) and _wraps_one(gradient, nodes)):
        parts = list(gradient)
        if len(parts) != len(nodes):
            raise InvalidArgument(
                f"{len(parts)} gradients were given for {len(nodes)} symbols: "
                f"{', '.join(map(str, symbols))}"
            )
    else:
        parts = [gradient]
    return [_checked(p, n, function) for p, n in zip(parts, nodes, strict=True)]


def _called(gradient: Any, values: Mapping[Any, Any]) -> Any:
    """A function of the dict of values, or of the arrays in their order."""
    arrays = [np.asarray(v, np.float64) if np.isrealobj(v) else v for v in values.values()]
    try:
        parameters = inspect.signature(gradient).parameters.values()
    except (TypeError, ValueError):  # some built-ins have no signature
        return gradient(*arrays)
    needed = [
        p for p in parameters
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]  # fmt: skip
    several = len(needed) > 1 or any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return gradient(*arrays) if several else gradient(values)


def _wraps_one(gradient: Sequence[Any], nodes: Sequence[Node]) -> bool:
    """True for a list that holds the one gradient, not its entries."""
    if len(gradient) != 1:
        return False
    return isinstance(gradient[0], sp.Basic) or np.ndim(gradient[0]) == nodes[0].rank


def _checked(part: Any, node: Node, function: _Function) -> np.ndarray:
    symbol = node.attributes[0]
    if isinstance(part, sp.Basic):
        (array,) = function.evaluated([part], [node])
    else:
        array = np.asarray(part, np.float64)
    wanted = function.arrays[node].shape
    if np.shape(array) != wanted:
        raise ShapeError(
            f"the given gradient of {symbol} has shape {np.shape(array)}, {symbol} has {wanted}; "
            "a gradient has the shape of its symbol"
        )
    return np.asarray(array)


# --- comparing ---------------------------------------------------------------------------


class AlongEntries(Protocol):
    """A scalar function of an array, moved along one entry at a time."""

    start: np.ndarray

    def __call__(self, entry: tuple[int, ...], offset: float) -> float:
        """Its value where one entry has moved."""


class Comparison(NamedTuple):
    """How far a derivative is from finite differences.

    Attributes
    ----------
    error : float
        Relative.
    difference : float
        The derivative by finite differences.
    kink : bool
        True where the derivatives from both sides differ and what was given is one of those
        that count as right there.
    """

    error: float
    difference: float
    kink: bool = False


def compare_entry(
    line: AlongEntries,
    entry: tuple[int, ...],
    pair: tuple[float, float],
    step: float = STEP,
    tolerance: float = TOLERANCE,
) -> Comparison:
    """Compare the derivative by one entry: the given one, and what is convention at a kink."""
    given, convention = pair
    here = float(line.start[entry])
    centre = line(entry, 0.0)
    best: tuple[float, Comparison] | None = None
    for refinement in range(_REFINEMENTS):
        width = step * max(abs(here), 1.0) / 10**refinement
        estimate, uncertainty = _extrapolated(line, entry, width)
        if not np.isfinite(estimate):
            continue
        noise = 8 * _EPSILON * abs(centre) / width
        error = _relative(given, estimate, max(uncertainty, noise), tolerance)
        if error <= tolerance:
            return Comparison(error, estimate)
        if best is None or uncertainty + noise < best[0]:
            best = uncertainty + noise, Comparison(error, estimate)
    if best is None:
        return Comparison(np.inf, np.nan)
    sides = _kink(line, entry, centre, step * max(abs(here), 1.0))
    if sides is not None:
        low, high = sides
        margin = 1e-4 * max(abs(low), abs(high))
        if low - margin <= given <= high + margin:
            return Comparison(0.0, given, True)
        if abs(given - convention) <= tolerance * max(abs(given), abs(convention)):
            return Comparison(0.0, given, True)
    return best[1]


def _extrapolated(line: AlongEntries, entry: tuple[int, ...], width: float) -> tuple[float, float]:
    """Richardson's extrapolation of central differences, and how far it moved."""
    wide = (line(entry, width) - line(entry, -width)) / (2 * width)
    narrow = (line(entry, width / 2) - line(entry, -width / 2)) / width
    return (4 * narrow - wide) / 3, abs(narrow - wide) / 3


def _relative(given: float, estimate: float, uncertainty: float, tolerance: float) -> float:
    if not np.isfinite(given):
        return np.inf
    size = max(abs(given), abs(estimate))
    uncertainty = min(uncertainty, 1e-4 * size) if size else uncertainty
    scale = max(size, uncertainty / tolerance, np.finfo(np.float64).tiny)
    return abs(given - estimate) / scale


def _kink(
    line: AlongEntries, entry: tuple[int, ...], centre: float, width: float
) -> tuple[float, float] | None:
    """The derivatives from both sides, the smaller one first, where they differ."""
    for narrower in (width * 1e-2, width * 1e-4):
        left = (centre - line(entry, -narrower)) / narrower
        right = (line(entry, narrower) - centre) / narrower
        low, high = min(left, right), max(left, right)
        size = max(abs(low), abs(high))
        noise = 100 * _EPSILON * abs(centre) / narrower
        if not (np.isfinite(size) and high - low > 1e-2 * size + noise):
            return None
    return low, high
