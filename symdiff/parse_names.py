"""What a text may say: functions, constants, and the numbers that are refused for their size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from . import arrays, convolution, expressions, language, linear_algebra, losses, products
from .errors import InvalidArgument

MAX_BITS = 100_000
"""Largest number that a power of numbers may give: ``9^9^9`` would fill the memory."""

MAX_HYPERBOLIC = 5
"""Deepest nesting of sinh, cosh and tanh: SymPy's assumptions take exponential time over it."""

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(module, name)
    for module in (arrays, products, linear_algebra, convolution, losses)
    for name in module.__all__
}
"""THE table of the functions that a text may call."""

FUNCTIONS |= {
    name: getattr(language, name) for name in ("broadcast_to", "matmul", "reshape", "transpose")
}
FUNCTIONS |= {  # matrixcalculus.org's names, and what people write
    "abs": arrays.absolute,
    "ln": arrays.log,
    "norm1": lambda x: arrays.sum(arrays.absolute(x)),
    "norm2": products.norm,
    "tr": products.trace,
}

CONSTANTS: dict[str, Any] = {"e": sp.E, "inf": sp.oo, "pi": sp.pi}
"""Names with a value, unless a text declares them."""

LITERALS: dict[str, Any] = {"None": None, "False": False, "True": True}

COMPARISONS: dict[str, Callable[..., Any]] = {
    "<": arrays.less,
    "<=": arrays.less_equal,
    ">": arrays.greater,
    ">=": arrays.greater_equal,
    "==": arrays.equal,
    "!=": arrays.not_equal,
}

ARITY = {  # operands of the elementwise functions that take not just one
    "atan2": (2, 2),
    "hypot": (2, 2),
    "log": (1, 2),
    "logaddexp": (2, 2),
    "maximum": (1, 1000),
    "minimum": (1, 1000),
    "xlog1py": (2, 2),
    "xlogy": (2, 2),
}

TAKES_TEXT = {"einsum", "norm", "reduction", "ord", "padding"}
"""Functions and keywords with an argument in quotes."""


# --- numbers that would fill the memory ------------------------------------------------------


def check_power(base: Any, exponent: Any) -> None:
    """Refuse powers of numbers that SymPy would write out, digit by digit."""
    if base is sp.E:
        check_operand("exp", exponent)
    if not isinstance(exponent, sp.Rational) or not isinstance(base, sp.Expr):
        return
    coefficient = base.as_coeff_Mul()[0] if not getattr(base, "shape", ()) else base
    factors = coefficient.args if isinstance(coefficient, sp.Mul) else (coefficient,)
    bits = sum(
        max(abs(f.p).bit_length(), f.q.bit_length()) - 1
        for f in factors
        if isinstance(f, sp.Rational) and f
    )
    if bits * abs(exponent) > MAX_BITS:
        raise InvalidArgument(f"the power of numbers has more than {MAX_BITS} binary digits")


def _height(expression: Any, known: dict[Any, int]) -> int:
    """How many hyperbolic functions are nested, up to the next matrix product or sum."""
    if isinstance(expression, (sp.Atom, expressions.Structural)):
        return 0
    if expression not in known:
        inner = max((_height(a, known) for a in expression.args), default=0)
        known[expression] = inner + isinstance(expression, (sp.sinh, sp.cosh, sp.tanh))
    return known[expression]


def check_operand(name: str, operand: Any) -> None:
    """Refuse operands for which SymPy computes a number of that many digits or steps."""
    if not isinstance(operand, sp.Expr):
        return
    if _height(operand, {}) >= MAX_HYPERBOLIC:
        raise InvalidArgument(
            f"{name} of hyperbolic functions nested {MAX_HYPERBOLIC} deep: SymPy would take "
            "exponential time; name parts of the expression"
        )
    if name in ("loggamma", "digamma"):
        numbers = [operand]
    elif name in ("exp", "sinh", "cosh", "tanh") and operand.has(sp.log):
        numbers = [term.as_coeff_Mul()[0] for term in sp.Add.make_args(operand)]
    else:
        return
    if any(isinstance(n, sp.Rational) and abs(n) > 10_000 for n in numbers):
        raise InvalidArgument(f"{name} of so large a number; write it with a decimal point")
