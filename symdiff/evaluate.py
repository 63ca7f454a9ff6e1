"""The NumPy interpreter: what every graph means, with nothing compiled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .binding import bind
from .bridge import to_graph
from .graph import Node, is_literal, leaves, walk
from .language import as_expression
from .modes import settle
from .rewrite import stabilise
from .shapes import Size


def interpret(
    roots: Sequence[Node],
    values: Mapping[Node, Any],
    sizes: Mapping[Size, int],
    dtype: Any = np.float64,
) -> list[Any]:
    """The arrays of ``roots``, given the arrays of the symbols and the symbolic sizes."""
    results: dict[Node, Any] = {}
    with np.errstate(all="ignore"):
        for node in walk(roots):
            if node.operation == "symbol":
                results[node] = values[node]
                continue
            result = node.row.numpy([results[i] for i in node.inputs], node, sizes)
            if node.dtype == "real" and getattr(result, "dtype", None) != dtype:
                result = np.asarray(result, dtype)
            results[node] = result
    return [results[r] for r in roots]


def evaluate(expression: Any, values: Mapping[Any, Any], dtype: Any = "float64") -> Any:
    """The value of an expression by the NumPy reference interpreter.

    Parameters
    ----------
    expression : sympy.Expr, or list of them
    values : dict
        ``{symbol: array}``; symbols that the expression does not contain may be among them (a
        gradient often contains fewer than its loss). An expression in scalar symbols broadcasts
        over arrays, like a NumPy ufunc.
    dtype : dtype, default float64

    Returns
    -------
    numpy.ndarray or NumPy scalar
        Or a list of these for a list of expressions.

    Raises
    ------
    BindingError
        A missing symbol, or arrays whose sizes disagree.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> x = sp.Symbol("x")
    >>> sd.evaluate(sp.exp(x) - 1, {x: 0.0})
    np.float64(0.0)
    >>> A = sd.tensor("A", "n", "n")
    >>> sd.evaluate(A @ A.T, {A: [[1.0, 2.0], [0.0, 1.0]]})
    array([[5., 2.],
           [2., 1.]])
    """
    single = not isinstance(expression, (list, tuple))
    roots = stabilise(
        [to_graph(as_expression(e)) for e in ([expression] if single else expression)]
    )
    roots = settle(roots, values)
    symbols = leaves(roots)
    scalars = all(n.row.kind in ("leaf", "elementwise") and not n.shape for n in walk(roots))
    arrays, sizes = bind(symbols, values, dtype=dtype, ufunc=scalars, surplus=True, roots=roots)
    values_ = interpret(roots, arrays, sizes, np.dtype(dtype))
    results = [
        _result(v, dtype if is_literal(r) else None) for r, v in zip(roots, values_, strict=True)
    ]
    return results[0] if single else results


def _result(value: Any, dtype: Any) -> Any:
    array = np.array(value, dtype)
    return array[()] if array.ndim == 0 else array
