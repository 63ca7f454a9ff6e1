"""Sizes of the graph as integer expressions of the loop IR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from symdiff.errors import UnsupportedOperation

from .loop_ir import Call, Expr, Var, const, plus, times
from .names import Names


class SizeTable:
    """Gives each symbolic size a variable, and writes sizes as expressions of these.

    ``fixed`` are sizes of a known value, which need no variable.
    """

    def __init__(self, names: Names, fixed: Mapping[Any, int] | None = None) -> None:
        self.variables: dict[Any, str] = {}
        self._fixed = dict(fixed or {})
        self._names = names

    def variable(self, size: Any) -> Expr:
        """The variable of a symbolic size, or its value where that is known."""
        if size in self._fixed:
            return const(self._fixed[size])
        if size not in self.variables:
            self.variables[size] = self._names.new(str(size))
        return Var(self.variables[size], "int")

    def expression(self, dimension: Any) -> Expr:
        """A size as an int expression; a quotient of sizes is known to be whole."""
        if isinstance(dimension, (int, sp.Integer)):
            return const(int(dimension))
        if isinstance(dimension, sp.Symbol):
            return self.variable(dimension)
        numerator, denominator = sp.fraction(sp.together(dimension))
        if denominator != 1:
            whole = (self._polynomial(numerator), self._polynomial(denominator))
            return Call("floor_divide", whole, "int")
        return self._polynomial(sp.expand(dimension))

    def _polynomial(self, expression: Any) -> Expr:
        if isinstance(expression, sp.Integer):
            return const(int(expression))
        if isinstance(expression, sp.Symbol):
            return self.variable(expression)
        parts = expression.args
        if isinstance(expression, sp.Add):
            total = self._polynomial(parts[0])
            for part in parts[1:]:
                total = plus(total, self._polynomial(part))
            return total
        if isinstance(expression, sp.Mul):
            product = self._polynomial(parts[0])
            for part in parts[1:]:
                product = times(product, self._polynomial(part))
            return product
        if isinstance(expression, sp.Pow) and parts[1].is_Integer and parts[1] > 0:
            product = self._polynomial(parts[0])
            for _ in range(int(parts[1]) - 1):
                product = times(product, self._polynomial(parts[0]))
            return product
        raise UnsupportedOperation(f"the size {expression} is not a polynomial in symbolic sizes")
