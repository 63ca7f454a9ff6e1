"""Elementwise rows of the table of operations.

A row is a name, its SymPy form, its NumPy meaning and, only where ``sympy.diff`` of the
SymPy form is unusable, its partial derivatives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.basic import Basic
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean

from . import functions as fn
from . import stable
from .errors import ShapeError, UnsupportedOperation
from .graph import Attributes, Node, Operation
from .shapes import Shape, broadcast, text
from .special import SPECIAL, polygamma, scipy_function

Piecewise = sp.Piecewise

INTEGER_CLOSED = {"add", "subtract", "multiply", "negative", "abs", "sign", "maximum", "minimum"}
"""Operations that give an int where every operand is an int or a bool, as NumPy does."""


def _shape(name: str, inputs: tuple[Node, ...]) -> Shape:
    shape = broadcast(*(i.shape for i in inputs))
    if shape is None:
        from .bridge import describe

        operands = " and ".join(f"{describe(i)} with shape {text(i.shape)}" for i in inputs)
        raise ShapeError(
            f"{name}: shapes do not broadcast: {operands}; "
            "sizes must be equal or 1, aligned from the right (see reshape, transpose, sd.shape)"
        )
    return shape


def _infer(name: str, result: str | None) -> Callable[..., tuple[Shape, str]]:
    def infer(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
        dtype = result
        if dtype is None:
            branches = inputs[1:] if name == "where" else inputs
            kinds = {i.dtype for i in branches}
            if name == "where" and len(kinds) == 1:
                dtype = kinds.pop()
            elif "real" not in kinds and (name in INTEGER_CLOSED or name == "where"):
                dtype = "int"
            else:
                dtype = "real"
        return _shape(name, inputs), dtype

    return infer


def numeric(array: Any) -> Any:
    """A bool array as integers; anything else as it is."""
    return array.astype(np.int64) if getattr(array, "dtype", None) == np.bool_ else array


def _row(
    name: str,
    body: Callable[..., Any],
    meaning: Callable[..., Any],
    partials: Callable[..., Any] | None = None,
    dtype: str | None = None,
    differentiable: bool = True,
    rule: str = "",
) -> Operation:
    raw = name in ("where",) or dtype == "bool"

    def numpy(arrays: list[Any], node: Node, sizes: Any) -> Any:
        return meaning(*(arrays if raw else [numeric(a) for a in arrays]))

    return Operation(
        name,
        "elementwise",
        _infer(name, dtype),
        numpy,
        partials=partials,
        body=body,
        differentiable=differentiable and dtype != "bool",
        rule=rule or name,
    )


def _real(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy meaning of a function whose integer operands count as reals."""

    def call(*arrays: Any) -> Any:
        return function(*(np.asarray(a, np.result_type(a, np.float32)) for a in arrays))

    return call


def _power(base: Any, exponent: Any) -> Any:
    return np.power(np.asarray(base, np.result_type(base, np.float32)), exponent)


def _sum_of(operator: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def call(first: Any, *rest: Any) -> Any:
        for other in rest:
            first = operator(first, other)
        return first

    return call


def _extremum_partial(extremum: Any) -> Callable[..., sp.Expr]:
    """Ties share the gradient equally: 1/k for each of k operands that attain the extremum."""

    def partial(position: int, *arguments: sp.Expr) -> sp.Expr:
        if len(arguments) == 2:
            own, other = arguments[position], arguments[1 - position]
            wins = own > other if extremum is sp.Max else own < other
            half = sp.Rational(1, 2)
            return Piecewise((1, wins), (half, sp.Eq(own, other)), (0, True))
        top = extremum(*arguments)
        attained = [Piecewise((1, sp.Eq(a, top)), (0, True)) for a in arguments]
        return attained[position] / sp.Add(*attained)

    return partial


def _zero(position: int, *arguments: sp.Expr) -> sp.Expr:
    return sp.S.Zero


def _power_partial(position: int, base: sp.Expr, exponent: sp.Expr) -> sp.Expr:
    if position == 0:
        return Piecewise((0, sp.Eq(exponent, 0)), (exponent * sp.Pow(base, exponent - 1), True))
    flat = sp.And(sp.Eq(base, 0), exponent >= 0)
    return Piecewise((0, flat), (base**exponent * sp.log(base), True))


def _where_partial(position: int, *arguments: sp.Expr) -> sp.Expr:
    condition = sp.Ne(arguments[0], 0)
    if position == 0:
        return sp.S.Zero
    return Piecewise((int(position == 1), condition), (int(position == 2), True))


def _where_body(condition: sp.Expr, yes: sp.Expr, no: sp.Expr) -> sp.Expr:
    if any(isinstance(e, Boolean) and not isinstance(e, sp.Expr) for e in (yes, no)):
        return sp.ITE(*map(as_condition, (condition, yes, no)))
    rest = no.args if isinstance(no, Piecewise) else (ExprCondPair(no, True),)
    condition = as_condition(condition)
    if condition.has(Piecewise):  # which SymPy would move to the outside, if need be for ever
        chosen = sp.Tuple.__new__(ExprCondPair, yes, condition)
        return Basic.__new__(Piecewise, chosen, *rest)
    return Piecewise((yes, condition), *rest, evaluate=False)


def as_condition(expression: Any) -> Any:
    """A SymPy Boolean; a number or a tensor is true where it is not 0."""
    if isinstance(expression, Boolean) and not isinstance(expression, sp.Symbol):
        return expression
    return sp.Ne(expression, 0, evaluate=False)


def _logical(operator: Any) -> Callable[..., Any]:
    return lambda *a: operator(*(as_condition(x) for x in a), evaluate=False)


def _erfinv_partial(position: int, x: sp.Expr) -> sp.Expr:
    return sp.sqrt(sp.pi) / 2 * sp.exp(sp.erfinv(x) ** 2)


def _gated(x: Any, gate: Any) -> Any:
    """``x * gate``, and 0 where a gate is closed for minus infinity."""
    return np.where(x == -np.inf, np.zeros_like(x), x * gate)


def _sigmoid(x: Any) -> Any:
    return scipy_function("expit")(x)


def _loggamma_partial(position: int, x: sp.Expr) -> sp.Expr:
    return sp.polygamma(0, x)


def _gamma_partial(position: int, x: sp.Expr) -> sp.Expr:
    return sp.gamma(x) * sp.polygamma(0, x)


def _polygamma_partial(position: int, order: sp.Expr, x: sp.Expr) -> sp.Expr:
    if position == 0:
        raise UnsupportedOperation("polygamma has no derivative with respect to its order")
    return sp.polygamma(order + 1, x)


def _compare(relation: Any) -> Callable[..., Any]:
    # unevaluated: SymPy would try to decide it by assumptions, at any cost
    return lambda a, b: relation(a, b, evaluate=False)


_ROWS: list[Operation] = [
    _row("add", lambda *a: sp.Add(*a), _sum_of(np.add), rule="sum"),
    _row("subtract", lambda a, b: a - b, np.subtract, rule="difference"),
    _row("multiply", lambda a, b: a * b, np.multiply, rule="product"),
    _row("divide", lambda a, b: a / b, _real(np.divide), rule="quotient"),
    _row("negative", lambda a: -a, np.negative, rule="sign change"),
    _row("power", sp.Pow, _power, _power_partial, rule="power"),
    _row("sqrt", sp.sqrt, _real(np.sqrt), rule="square root"),
    _row("exp", sp.exp, _real(np.exp)),
    _row("log", sp.log, _real(np.log)),
    _row("sin", sp.sin, _real(np.sin)),
    _row("cos", sp.cos, _real(np.cos)),
    _row("tan", sp.tan, _real(np.tan)),
    _row("asin", sp.asin, _real(np.arcsin), lambda i, x: 1 / sp.sqrt(fn.one_minus_square(x))),
    _row("acos", sp.acos, _real(np.arccos), lambda i, x: -1 / sp.sqrt(fn.one_minus_square(x))),
    _row("atan", sp.atan, _real(np.arctan)),
    _row(
        "atan2",
        sp.atan2,
        _real(np.arctan2),
        lambda i, y, x: (fn.cos_of(x, y) if i == 0 else -fn.cos_of(y, x)) / fn.hypot(x, y),
    ),
    _row("sinh", sp.sinh, _real(np.sinh)),
    _row("cosh", sp.cosh, _real(np.cosh)),
    _row("tanh", sp.tanh, _real(np.tanh)),
    _row("asinh", sp.asinh, _real(np.arcsinh), lambda i, x: 1 / fn.hypot(x, 1)),
    _row("acosh", sp.acosh, _real(np.arccosh)),
    _row("atanh", sp.atanh, _real(np.arctanh), lambda i, x: 1 / fn.one_minus_square(x)),
    _row("erf", sp.erf, scipy_function("erf")),
    _row("erfc", sp.erfc, scipy_function("erfc")),
    _row("erfinv", sp.erfinv, scipy_function("erfinv"), _erfinv_partial),
    _row("gamma", sp.gamma, scipy_function("gamma"), _gamma_partial),
    _row("loggamma", sp.loggamma, scipy_function("gammaln"), _loggamma_partial),
    _row("digamma", lambda x: sp.polygamma(0, x), scipy_function("digamma"),
         lambda i, x: sp.polygamma(1, x)),
    _row("polygamma", sp.polygamma, polygamma, _polygamma_partial),
    _row("abs", sp.Abs, np.abs, lambda i, x: sp.sign(x)),
    _row("sign", sp.sign, np.sign, _zero),
    _row("floor", sp.floor, _real(np.floor), _zero),
    _row("ceiling", sp.ceiling, _real(np.ceil), _zero),
    _row("mod", lambda x, y: sp.Mod(x, y, evaluate=False), np.mod,
         lambda i, x, y: sp.S.One if i == 0 else -sp.floor(x / y)),
    _row("heaviside", sp.Heaviside, _real(np.heaviside), _zero),
    _row("maximum", sp.Max, _sum_of(np.maximum), _extremum_partial(sp.Max)),
    _row("minimum", sp.Min, _sum_of(np.minimum), _extremum_partial(sp.Min)),
    _row("where", _where_body, lambda c, a, b: np.where(np.asarray(c) != 0, a, b),
         _where_partial, rule="choice"),
    _row("sigmoid", fn.sigmoid, _sigmoid),
    _row("softplus", fn.softplus, lambda x: np.logaddexp(x, np.zeros_like(x))),
    _row("log_sigmoid", fn.log_sigmoid, scipy_function("log_expit")),
    _row("relu", fn.relu, lambda x: np.maximum(x, np.zeros_like(x))),
    _row("leaky_relu", fn.leaky_relu, lambda x, s: np.where(np.asarray(x) > 0, x, s * x)),
    _row("elu", fn.elu, lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))),
    _row("gelu", fn.gelu, lambda x: _gated(x, scipy_function("ndtr")(x))),
    _row("silu", fn.silu, lambda x: _gated(x, _sigmoid(x))),
    _row("logit", fn.logit, scipy_function("logit")),
    _row("xlogy", fn.xlogy, scipy_function("xlogy")),
    _row("log1p", fn.log1p, _real(np.log1p)),
    _row("expm1", fn.expm1, _real(np.expm1)),
    _row("logaddexp", fn.logaddexp, _real(np.logaddexp)),
    _row("log1mexp", fn.log1mexp, stable.log1mexp),
    _row("log_cosh", fn.log_cosh, stable.log_cosh),
    _row("log_erfc", fn.log_erfc, stable.log_erfc),
    _row("log_normal_cdf", fn.log_normal_cdf, stable.log_normal_cdf),
    _row("normal_hazard", fn.normal_hazard, stable.normal_hazard),
    _row("normal_hazard_slope", fn.normal_hazard_slope, stable.normal_hazard_slope),
    _row("hypot", fn.hypot, stable.hypot),
    _row("cos_of", fn.cos_of, stable.cos_of),
    _row("exp_asinh", fn.exp_asinh, stable.exp_asinh),
    _row("one_minus_square", fn.one_minus_square, stable.one_minus_square),
    _row("xlog1py", fn.xlog1py, scipy_function("xlog1py")),
    _row("equal", _compare(sp.Eq), np.equal, dtype="bool"),
    _row("not_equal", _compare(sp.Ne), np.not_equal, dtype="bool"),
    _row("less", _compare(sp.Lt), np.less, dtype="bool"),
    _row("less_equal", _compare(sp.Le), np.less_equal, dtype="bool"),
    _row("logical_and", _logical(sp.And), _sum_of(np.logical_and), dtype="bool"),
    _row("logical_or", _logical(sp.Or), _sum_of(np.logical_or), dtype="bool"),
    _row("logical_not", _logical(sp.Not), np.logical_not, dtype="bool"),
]  # fmt: skip

_ROWS += [_row(*entry) for entry in SPECIAL]

ELEMENTWISE: dict[str, Operation] = {row.name: row for row in _ROWS}

VARIADIC = {"add", "maximum", "minimum", "logical_and", "logical_or"}
"""Rows that take any number of operands."""
