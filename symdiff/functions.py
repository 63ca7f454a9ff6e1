"""Stable functions as opaque SymPy functions: one node each, with its own derivative.

Each class prints under its own name and keeps its argument together; SymPy never expands
it into a form that overflows. ``fdiff`` is the derivative, in terms of the function itself
where that is the stable form. ``rewrite(sp.exp)`` and the like are not needed: the naive
body of each function is listed in :data:`NAIVE` for tests and for reading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

__all__ = [
    "cos_of",
    "elu",
    "exp_asinh",
    "expm1",
    "gelu",
    "hypot",
    "leaky_relu",
    "log1mexp",
    "log1p",
    "log_cosh",
    "log_erfc",
    "log_normal_cdf",
    "log_sigmoid",
    "logaddexp",
    "logit",
    "normal_hazard",
    "normal_hazard_slope",
    "one_minus_square",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
    "xlog1py",
    "xlogy",
]


class StableFunction(sp.Function):
    """Base of the opaque functions; real on real arguments."""

    @classmethod
    def eval(cls, *args: sp.Expr) -> None:
        return None

    def _eval_is_real(self) -> bool | None:
        return True if all(a.is_extended_real for a in self.args) else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self._partial(argindex - 1, *self.args)

    @staticmethod
    def _partial(position: int, *arguments: sp.Expr) -> sp.Expr:
        raise AssertionError("each function defines its own partial derivative")

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        body = NAIVE[type(self).__name__.removeprefix("Tensor")](*self.args)
        return body._eval_evalf(prec)


class sigmoid(StableFunction):
    """Logistic function 1 / (1 + exp(-x))."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sigmoid(x) * (1 - sigmoid(x))


class softplus(StableFunction):
    """log(1 + exp(x)), without overflow."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sigmoid(x)


class log_sigmoid(StableFunction):
    """log(sigmoid(x)) = -softplus(-x)."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sigmoid(-x)


class relu(StableFunction):
    """max(x, 0), with derivative 0 at 0."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sp.Piecewise((1, x > 0), (0, True))


class leaky_relu(StableFunction):
    """x where x > 0, else slope * x; the derivative at 0 is the slope."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, slope: sp.Expr) -> sp.Expr:
        if position == 1:
            return sp.Piecewise((0, x > 0), (x, True))
        return sp.Piecewise((1, x > 0), (slope, True))


class elu(StableFunction):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, alpha: sp.Expr) -> sp.Expr:
        if position == 1:
            return sp.Piecewise((0, x > 0), (expm1(x), True))
        return sp.Piecewise((1, x > 0), (alpha * sp.exp(x), True))


class gelu(StableFunction):
    """x * Phi(x), Phi the normal distribution function (Hendrycks and Gimpel, 2016)."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        cumulative = sp.erfc(-x / sp.sqrt(2)) / 2
        return cumulative + x * sp.exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)


class silu(StableFunction):
    """x * sigmoid(x)."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sigmoid(x) + x * (sigmoid(x) * (1 - sigmoid(x)))


class logit(StableFunction):
    """log(p / (1 - p)), the inverse of the sigmoid."""

    nargs = 1

    @staticmethod
    def _partial(position: int, p: sp.Expr) -> sp.Expr:
        return 1 / (p * (1 - p))


class xlogy(StableFunction):
    """x * log(y), and 0 where x is 0."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, y: sp.Expr) -> sp.Expr:
        return sp.Piecewise((0, sp.Eq(x, 0)), (x / y, True)) if position == 1 else sp.log(y)


class log1p(StableFunction):
    """log(1 + x), accurate near 0."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return 1 / (1 + x)


class expm1(StableFunction):
    """exp(x) - 1, accurate near 0."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sp.exp(x)


class logaddexp(StableFunction):
    """log(exp(x) + exp(y)), without overflow."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, y: sp.Expr) -> sp.Expr:
        return sigmoid(x - y) if position == 0 else sigmoid(y - x)


class log1mexp(StableFunction):
    """log(1 - exp(x)) of negative x, accurate near 0 and far from it (Maechler, 2012)."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sp.exp(x) / expm1(x)


class log_cosh(StableFunction):
    """log(cosh(x)), without overflow and accurate near 0."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return sp.tanh(x)


class log_erfc(StableFunction):
    """log(erfc(x)), without underflow."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return -sp.sqrt(2) * normal_hazard(sp.sqrt(2) * x)


class log_normal_cdf(StableFunction):
    """log(Phi(x)), Phi the normal distribution function, without underflow."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return normal_hazard(-x)


class normal_hazard(StableFunction):
    """The normal density over what of the distribution lies above x (inverse Mills ratio)."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return normal_hazard_slope(x)


class normal_hazard_slope(StableFunction):
    """The derivative of normal_hazard, h * (h - x), between 0 and 1."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return normal_hazard_slope(x) * (2 * normal_hazard(x) - x) - normal_hazard(x)


class hypot(StableFunction):
    """sqrt(x**2 + y**2), without overflow; its derivative at (0, 0) is 0."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, y: sp.Expr) -> sp.Expr:
        return cos_of(x, y) if position == 0 else cos_of(y, x)


class cos_of(StableFunction):
    """x / sqrt(x**2 + y**2), the cosine of the angle of the point (x, y); 0 at (0, 0)."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, y: sp.Expr) -> sp.Expr:
        other = cos_of(y, x)
        return (other if position == 0 else -cos_of(x, y)) * other / hypot(x, y)


class exp_asinh(StableFunction):
    """x + sqrt(x**2 + 1), which is exp(asinh(x)); nothing cancels where x is negative."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        left = exp_asinh(x) / hypot(x, 1)
        return sp.Piecewise((1 + cos_of(x, 1), x > 0), (left, True))


class one_minus_square(StableFunction):
    """1 - x**2 as (1 - x) * (1 + x), accurate near -1 and 1."""

    nargs = 1

    @staticmethod
    def _partial(position: int, x: sp.Expr) -> sp.Expr:
        return -2 * x


class xlog1py(StableFunction):
    """x * log(1 + y), and 0 where x is 0."""

    nargs = 2

    @staticmethod
    def _partial(position: int, x: sp.Expr, y: sp.Expr) -> sp.Expr:
        if position == 0:
            return log1p(y)
        return sp.Piecewise((0, sp.Eq(x, 0)), (x / (1 + y), True))


def _normal_hazard(x: sp.Expr) -> sp.Expr:
    return sp.sqrt(2 / sp.pi) * sp.exp(-(x**2) / 2) / sp.erfc(x / sp.sqrt(2))


NAIVE: dict[str, Callable[..., Any]] = {
    "sigmoid": lambda x: 1 / (1 + sp.exp(-x)),
    "softplus": lambda x: sp.log(1 + sp.exp(x)),
    "log_sigmoid": lambda x: -sp.log(1 + sp.exp(-x)),
    "relu": lambda x: sp.Piecewise((x, x > 0), (0, True)),
    "leaky_relu": lambda x, slope: sp.Piecewise((x, x > 0), (slope * x, True)),
    "elu": lambda x, alpha: sp.Piecewise((x, x > 0), (alpha * (sp.exp(x) - 1), True)),
    "gelu": lambda x: x * (1 + sp.erf(x / sp.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + sp.exp(-x)),
    "logit": lambda p: sp.log(p / (1 - p)),
    "xlogy": lambda x, y: sp.Piecewise((0, sp.Eq(x, 0)), (x * sp.log(y), True)),
    "log1p": lambda x: sp.log(1 + x),
    "expm1": lambda x: sp.exp(x) - 1,
    "logaddexp": lambda x, y: sp.log(sp.exp(x) + sp.exp(y)),
    "log1mexp": lambda x: sp.log(1 - sp.exp(x)),
    "log_cosh": lambda x: sp.log(sp.cosh(x)),
    "log_erfc": lambda x: sp.log(sp.erfc(x)),
    "log_normal_cdf": lambda x: sp.log(sp.erfc(-x / sp.sqrt(2)) / 2),
    "normal_hazard": _normal_hazard,
    "normal_hazard_slope": lambda x: _normal_hazard(x) * (_normal_hazard(x) - x),
    "hypot": lambda x, y: sp.sqrt(x**2 + y**2),
    "cos_of": lambda x, y: x / sp.sqrt(x**2 + y**2),
    "exp_asinh": lambda x: x + sp.sqrt(x**2 + 1),
    "one_minus_square": lambda x: 1 - x**2,
    "xlog1py": lambda x, y: sp.Piecewise((0, sp.Eq(x, 0)), (x * sp.log(1 + y), True)),
}
"""The textbook form of each stable function: what it means, not how it is computed."""
