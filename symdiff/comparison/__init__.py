"""Symbolic against automatic: the gradient of one loss by several methods, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..bridge import to_graph
from ..errors import InvalidArgument
from ..gradient import loss_node, parameter_nodes
from ..language import as_expression
from ..modes import settle
from ..resolve import resolve
from .methods import METHODS, Problem, gradient_roots, timed
from .reference import reference
from .table import Comparison, Row
from .values import draw

__all__ = ["Comparison", "Row", "compare"]


def compare(
    loss: Any,
    wrt: Any,
    values: Mapping[Any, Any] | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    seed: int = 0,
    limit: int = 30_000,
) -> Comparison:
    """The gradient of a loss by five methods: the same numbers, at different costs.

    * *finite differences*: central ones, two evaluations of the loss for each entry;
    * *forward mode*: one pass for each entry, with the operations of dual numbers;
    * *SymPy diff, tree*: ``sympy.diff`` of the loss written out in scalars, by each entry;
    * *SymPy diff, cse*: the same after ``sympy.cse``;
    * *symdiff graph*: one reverse walk over a graph that holds equal parts once.

    The first four take the loss as it was written; symdiff rewrites it for stability first. All
    are run by the same interpreter, one NumPy call an operation, so that what differs is the
    number of operations.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar. Of scalar symbols it is the loss of one sample.
    wrt : Symbol or list of Symbol
    values : dict, optional
        ``{symbol: array}``. What is not given is drawn at random, so that the loss and its
        gradient are finite.
    sizes : dict, optional
        ``{"n": 5}``: what symbolic sizes are where no array tells; 3 without it.
    seed : int
        Of the random values.
    limit : int
        SymPy's derivative is built up to so many operations. Beyond, the table says how many it
        would have (``≈``: counted part by part, nothing is built) and why it is not there. With 0
        SymPy is left out.

    Returns
    -------
    Comparison
        ``print`` shows the table; ``.rows`` holds a :class:`~symdiff.comparison.table.Row` for
        each method. *Operations* are scalar ones, ``a + b`` or ``exp(a)``, for one gradient; of a
        formula in scalars that is SymPy's ``count_ops``, of a graph each node counts once for
        each element. *Nodes* are what the formulas or the graph consist of, *numbers* the
        intermediates held at the same time. The error is the largest difference from central
        differences in 120 digits, relative to the largest entry of the gradient.

    Raises
    ------
    ShapeError
        Where the loss is not a scalar.
    InvalidArgument
        Where no values are found at which the loss is finite.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> x = sp.Symbol("x")
    >>> e = x
    >>> for _ in range(14):
    ...     e = 4 * e * (1 - e)
    >>> table = sd.compare(e, x)
    >>> table["SymPy diff, tree"].operations, table["symdiff graph"].operations < 200
    (2420736, True)
    """
    # a loss that is not a real scalar is refused here
    stable, rewriting = timed(lambda: loss_node(loss))
    parameters = list(dict.fromkeys(parameter_nodes(wrt, [stable])[0]))
    if not parameters:
        raise InvalidArgument("compare: wrt is empty; give the symbols of the gradient")
    if not isinstance(limit, int) or limit < 0:
        raise InvalidArgument(f"compare: limit must be a whole number from 0, got {limit!r}")
    expression = as_expression(loss)
    written, stable = settle([resolve([to_graph(expression)])[0], stable], values or {})
    # this comes first, so that nothing is known already of what is timed
    gradients, walking = timed(lambda: gradient_roots(stable, parameters))
    arrays, known = draw([written, stable, *gradients], parameters, values, sizes, 3, seed)
    derived = rewriting + walking
    problem = Problem(expression, written, gradients, derived, parameters, arrays, known, limit)
    rows = [row for method in METHODS.values() for row in method(problem)]
    exact, own = reference(problem), rows[-1].gradient
    against = "central differences of the loss in 120 digits"
    if exact is None:
        against = "symdiff's graph: differences in 120 digits take too long, or have no form here"
    basis = own if exact is None else exact
    assert basis is not None
    rows = [dataclasses.replace(row, error=_error(row.gradient, basis)) for row in rows]
    if exact is None:
        rows[-1] = dataclasses.replace(rows[-1], error=None)
    symbols = tuple(n.attributes[0] for n in parameters)
    bound = {n.attributes[0]: a for n, a in arrays.items()}
    return Comparison(expression, symbols, bound, tuple(rows), against)


def _error(gradient: dict[Any, Any] | None, exact: dict[Any, Any]) -> float | None:
    """The largest difference, relative to the largest entry."""
    if gradient is None:
        return None
    ours, theirs = (np.concatenate([np.ravel(g[s]) for s in exact]) for g in (gradient, exact))
    if not ours.size:
        return 0.0
    scale = float(np.max(np.abs(theirs))) or 1.0
    with np.errstate(invalid="ignore"):
        return float(np.max(np.abs(ours - theirs))) / scale
