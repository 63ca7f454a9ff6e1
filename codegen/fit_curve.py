"""``codegen.fit_curve``: nonlinear least squares with the symbolic Jacobian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from symdiff.binding import check_names, numbers
from symdiff.bridge import to_graph
from symdiff.errors import InvalidArgument, InvalidType, ShapeError
from symdiff.gradient import gradient, parameter_nodes
from symdiff.graph import leaves
from symdiff.language import as_expression

from .function import compile as compile_function
from .vectorise import is_scalar


@dataclass
class CurveFit:
    """The result of :func:`fit_curve`.

    Attributes
    ----------
    parameters : dict
        ``{symbol: float}``.
    standard_errors : dict
        ``{symbol: float}``: square roots of the diagonal of the covariance.
    covariance : numpy.ndarray, shape (k, k)
        In the order in which the parameters were given.
    residual_sum_of_squares : float
        Weighted by ``sigma`` where it was given.
    converged : bool
    message : str
        Why the search stopped.
    """

    parameters: dict[Any, float]
    standard_errors: dict[Any, float]
    covariance: np.ndarray = field(repr=False)
    residual_sum_of_squares: float
    converged: bool
    message: str


def fit_curve(
    model: Any,
    data: Mapping[Any, Any],
    ys: Any,
    parameters: Mapping[Any, float],
    sigma: Any = None,
    absolute_sigma: bool = False,
    threads: int | None = None,
) -> CurveFit:
    """Fit the parameters of a formula to data by least squares.

    Minimises the sum of ``((model - y) / sigma) ** 2`` by the Levenberg–Marquardt method of
    SciPy (trust region where there are fewer data than parameters), with the Jacobian derived
    symbolically and compiled.

    Parameters
    ----------
    model : sympy.Expr
        A formula in scalar symbols.
    data : dict
        ``{symbol: 1-D array}`` of the independent variables.
    ys : array, shape (n,)
    parameters : dict
        ``{symbol: start}``.
    sigma : number or array, shape (n,), optional
        Standard deviations of ``ys``.
    absolute_sigma : bool
        If False, errors are scaled by the residual variance, as in ``scipy.optimize.curve_fit``.

    Examples
    --------
    >>> import numpy as np, sympy as sp, codegen
    >>> x, a, b = sp.symbols("x a b")
    >>> xs = np.linspace(0, 4, 50)
    >>> ys = 2 * np.exp(-0.5 * xs)
    >>> fit = codegen.fit_curve(a * sp.exp(-b * x), {x: xs}, ys, {a: 1.0, b: 1.0})
    >>> round(fit.parameters[a], 6), round(fit.parameters[b], 6), fit.converged
    (2.0, 0.5, True)
    """
    from scipy.optimize import least_squares

    model = as_expression(model)
    root = to_graph(model)
    if not is_scalar([root]):
        raise InvalidType("fit_curve takes a formula in scalar symbols; see codegen.Objective")
    if not isinstance(parameters, Mapping) or not parameters:
        raise InvalidType("parameters are given as {symbol: start}, at least one")
    nodes, _ = parameter_nodes(list(parameters))
    symbols = [n.attributes[0] for n in nodes]
    chosen = set(nodes)
    check_names([n for n in leaves([root]) if n not in chosen], data)
    target = np.asarray(numbers(ys, "ys"), np.float64)
    if target.ndim != 1:
        raise ShapeError(f"ys must be 1-D, got shape {target.shape}")
    columns = {s: np.asarray(numbers(v, s), np.float64) for s, v in data.items()}
    for symbol, values in columns.items():
        if values.shape not in ((), target.shape):
            raise ShapeError(f"{symbol} has shape {values.shape}, ys has shape {target.shape}")
    _check_finite({**columns, "ys": target})
    weight = _weights(sigma, target)
    count, size = target.size, len(symbols)
    function = compile_function(
        [model, *gradient_columns(model, symbols)], [*columns, *symbols], threads=threads
    )
    scale = np.ones(count) if weight is None else weight
    order = list(columns.values())
    last: dict[bytes, Any] = {}

    def evaluate(theta: np.ndarray) -> Any:
        key = theta.tobytes()
        if key not in last:
            last.clear()
            values, *partials = function(*order, *theta)
            residual = (np.broadcast_to(values, (count,)) - target) * scale
            matrix = np.stack([np.broadcast_to(p, (count,)) * scale for p in partials], axis=1)
            last[key] = residual, matrix
        return last[key]

    start = np.array([_start(s, parameters[s]) for s in symbols])
    if not np.isfinite(evaluate(start)[0]).all():
        raise InvalidArgument("the model is not finite at the start: choose other start values")
    method = "lm" if count >= size else "trf"
    result = least_squares(
        lambda t: evaluate(t)[0], start, jac=lambda t: evaluate(t)[1], method=method, x_scale="jac"
    )
    residuals = float(result.fun @ result.fun)
    covariance = _covariance(result.jac)
    message = str(result.message)
    if covariance is None:
        covariance = np.full((size, size), np.inf)
        message += " The covariance could not be estimated: the Jacobian has no full rank."
    elif not absolute_sigma:
        factor = residuals / (count - size) if count > size else np.inf
        covariance = covariance * factor
    errors = np.sqrt(np.diag(covariance))
    return CurveFit(
        {s: float(v) for s, v in zip(symbols, result.x, strict=True)},
        {s: float(e) for s, e in zip(symbols, errors, strict=True)},
        covariance, residuals, bool(result.success), message,
    )  # fmt: skip


def gradient_columns(model: Any, symbols: list[Any]) -> list[Any]:
    """The partial derivatives of a formula, one for each symbol."""
    result: list[Any] = gradient(model, symbols)
    return result


def _start(symbol: Any, value: Any) -> float:
    """The start of a parameter: one number."""
    start = numbers(value, symbol)
    if start.size != 1:
        raise ShapeError(f"the start of {symbol} must be a number, got shape {start.shape}")
    return float(start.reshape(()))


def _weights(sigma: Any, target: np.ndarray) -> np.ndarray | None:
    if sigma is None:
        return None
    values = np.asarray(numbers(sigma, "sigma"), np.float64)
    if values.shape not in ((), target.shape):
        raise ShapeError(f"sigma has shape {values.shape}, ys has shape {target.shape}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise InvalidArgument("sigma must be positive and finite")
    return np.broadcast_to(1 / values, target.shape)


def _check_finite(arrays: Mapping[Any, np.ndarray]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise InvalidArgument(f"{name} contains NaN or infinity: remove these points")


def _covariance(jacobian: np.ndarray) -> np.ndarray | None:
    """Inverse of JᵀJ by the singular values of J; None where J has no full rank."""
    _, values, rows = np.linalg.svd(jacobian, full_matrices=False)
    threshold = np.finfo(np.float64).eps * max(jacobian.shape) * (values[0] if values.size else 0)
    if values.size < jacobian.shape[1] or (values <= threshold).any():
        return None
    scaled = rows.T / values
    return scaled @ scaled.T
