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
    "elu",
    "expm1",
    "gelu",
    "leaky_relu",
    "log1p",
    "log_sigmoid",
    "logaddexp",
    "logit",
    "relu",
    "sigmoid",
    "silu",
    "softplus",
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
}
"""The textbook form of each stable function: what it means, not how it is computed."""
