"""Expressions of loop IR as Python text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from symdiff.errors import UnsupportedOperation

from ..ir_walk import walk
from ..layout import Pool
from ..loop_ir import Buffer, Call, Const, Expr, Load, Var, const, flat_index, plus
from .spelling import SPELLING, External, Helper, Vector

_LEVEL = {
    "where": 0, "logical_or": 1, "better_max": 1, "better_min": 1, "logical_and": 2,
    "logical_not": 3, "equal": 4, "not_equal": 4, "less": 4, "less_equal": 4, "add": 5,
    "subtract": 5, "multiply": 6, "divide": 6, "mod": 6, "floor_divide": 6, "modulo": 6,
    "negative": 7,
}  # fmt: skip
"""Binding strength of what a template writes; anything else is a call."""

_CALL = 9
_RIGHT = {"subtract", "multiply", "divide", "mod", "floor_divide", "modulo"}
"""Left-associative operations: an operand on the right of equal strength is parenthesised."""

_CONDITIONS = {"logical_and", "logical_or", "logical_not"}
_COMPARISONS = {"equal", "not_equal", "less", "less_equal", "better_max", "better_min"}
_CHECKED = {"bounded", "label"}

FLAGS = {"bounded": ("astray", 1), "label": ("mislabelled", 2)}
"""The variable that notes an index out of range, and the status that tells it."""

CIRCULAR = {"sin", "cos", "tan"}
"""Vector functions of a limited range; see ``Expressions._circular``."""


class Expressions(ABC):
    """Writes expressions, and notes what they need.

    Parameters
    ----------
    real : {"float64", "float32"}
    math : {"fast", "accurate"}
    pools : dict
        The flat arrays.

    Attributes
    ----------
    helpers, vectors : dict
        The functions that the text calls, in the order of their first use.
    """

    def __init__(self, real: str, math: str, pools: Mapping[str, Pool]) -> None:
        self.real = real
        self.math = math
        self.pools = pools
        self.helpers: dict[str, None] = {}
        self.vectors: dict[str, None] = {}
        self._watching = False
        self._flagging = False
        self._conditional = 0
        self._watched: dict[str, bool] = {}

    @abstractmethod
    def element(self, buffer: Buffer, index: tuple[Expr, ...]) -> str:
        """The text of an element of a buffer."""

    def text(self, expression: Expr, dtype: str | None = None, level: int = 0) -> str:
        """An expression in a dtype, in parentheses where it binds weaker than ``level``."""
        own, text = self._text(expression, dtype or expression.dtype)
        if dtype is not None and dtype != expression.dtype and not isinstance(expression, Const):
            own, text = self._convert(text, own, expression, dtype)
        return f"({text})" if own < level else text

    def _convert(self, text: str, level: int, expression: Expr, dtype: str) -> tuple[int, str]:
        if dtype == "bool":
            return 4, f"{self._paren(text, level, 5)} != 0"
        if dtype == "real":
            return _CALL, f"real({text})"
        if isinstance(expression, Load) and expression.dtype == "bool":
            return level, text  # conditions in memory are integers
        return _CALL, f"int({text})"

    @staticmethod
    def _paren(text: str, level: int, needed: int) -> str:
        return f"({text})" if level < needed else text

    def _text(self, expression: Expr, dtype: str) -> tuple[int, str]:
        match expression:
            case Const():
                return self._constant(expression.value, dtype)
            case Var():
                return _CALL, expression.name
            case Load():
                return self._load(expression.buffer, expression.index, dtype)
            case Call():
                return self._call(expression)

    def _load(self, buffer: Buffer, index: tuple[Expr, ...], dtype: str) -> tuple[int, str]:
        text = self.element(buffer, index)
        if buffer.dtype == "bool" and dtype == "bool" and buffer.space != "scalar":
            return 4, f"{text} != 0"
        return _CALL, text

    def _constant(self, value: Any, dtype: str) -> tuple[int, str]:
        if dtype == "bool":
            return _CALL, str(bool(value) if value.is_Boolean else value != 0)
        if dtype == "int":
            number = int(value)
            return (_CALL if number >= 0 else 7), str(number)
        real = float(value) if not getattr(value, "is_Boolean", False) else float(bool(value))
        if real != real or real in (float("inf"), float("-inf")):
            name = "np.nan" if real != real else "np.inf" if real > 0 else "-np.inf"
            return _CALL, f"real({name})"
        if self.real == "float64":
            return (_CALL if real >= 0 else 7), repr(real)
        whole = real.is_integer() and 0 < abs(real) < 2**31
        return _CALL, f"real({int(real)})" if whole else f"real({real!r})"

    def _call(self, call: Call) -> tuple[int, str]:
        operation = call.operation
        if operation == "power":
            return self._power(call)
        if operation in _CHECKED:
            value, size = (self.text(a, "int") for a in call.arguments)
            return _CALL, self._checked(operation, value, size)
        if operation.startswith("combine_"):
            return self._combine(call)
        spelling = SPELLING.get(operation)
        if spelling is None:
            raise UnsupportedOperation(f"there is no spelling for the operation {operation}")
        level = _LEVEL.get(operation, _CALL)
        dtypes = self._operand_dtypes(call)
        if isinstance(spelling, External):
            arguments = ", ".join(
                self.text(a, d) for a, d in zip(call.arguments, dtypes, strict=True)
            )
            return _CALL, f"real(special.{spelling.name}({arguments}))"
        if isinstance(spelling, (Helper, Vector)):
            if operation in CIRCULAR and self.math == "fast":
                return _CALL, self._circular(call)
            self._need(operation)
            return _CALL, self._nested_call(operation, call, dtypes)
        if spelling.join:
            parts = []
            for i, (a, d) in enumerate(zip(call.arguments, dtypes, strict=True)):
                short = operation in ("logical_and", "logical_or") and i > 0
                self._conditional += short
                parts.append(self.text(a, d, level + (i > 0)))  # a * (b % c) is not a * b % c
                self._conditional -= short
            return level, spelling.join.join(parts)
        needed = [level if level < _CALL else 0] * len(dtypes)
        if operation in _RIGHT:
            needed[-1] = level + 1
        elif operation in _COMPARISONS or operation == "where":
            needed = [5 if operation in _COMPARISONS else 1] * len(dtypes)
        elif operation == "negative":
            needed = [8]
        parts = []
        for position, operand in enumerate(zip(call.arguments, dtypes, needed, strict=True)):
            conditional = operation == "where" and position > 0
            self._conditional += conditional
            parts.append(self.text(*operand))
            self._conditional -= conditional
        return level, spelling.text.format(*parts)

    def _nested_call(self, operation: str, call: Call, dtypes: list[str]) -> str:
        """A helper of two operands serves any number of them."""
        parts = [self.text(a, d) for a, d in zip(call.arguments, dtypes, strict=True)]
        result = parts[0]
        if len(parts) == 1:
            return f"{operation}({result})"
        if operation not in ("maximum", "minimum"):
            return f"{operation}({', '.join(parts)})"
        for part in parts[1:]:
            result = f"{operation}({result}, {part})"
        return result

    def _circular(self, call: Call) -> str:
        """A sine or cosine whose argument is watched, or that of the C library.

        The vector functions have a limited range. The loop notes whether an argument lay beyond
        it, and then the chunk is computed again with the C library.
        """
        argument = self.text(call.arguments[0], call.dtype)
        checked = any(isinstance(e, Call) and e.operation in _CHECKED for e in walk(call))
        if not self._watching or checked:
            return f"np.{call.operation}({argument})"
        self._need(call.operation)
        self._watched.setdefault(f"far |= beyond({argument})", False)
        return f"{call.operation}({argument})"

    def _checked(self, operation: str, value: str, size: str) -> str:
        """An index that must lie in an axis.

        Inside a loop over the rows a variable notes what is wrong: a store to the status would
        keep LLVM from vectorising the loop. Where an index is not always needed, it is checked
        where it is used.
        """
        if not self._flagging or self._conditional:
            self._need(operation)
            return f"{operation}({value}, {size}, status)"
        outside = f"{operation}_outside"
        self._need(outside)
        self._watched.setdefault(f"{FLAGS[operation][0]} |= {outside}({value}, {size})", False)
        if operation == "label":
            return value
        self._need("inside")
        return f"inside({value}, {size})"

    def _operand_dtypes(self, call: Call) -> list[str]:
        operation = call.operation
        if operation in _CONDITIONS:
            return ["bool"] * len(call.arguments)
        if operation in _COMPARISONS:
            kinds = {a.dtype for a in call.arguments}
            return ["real" if "real" in kinds else "int"] * len(call.arguments)
        if operation == "where":
            return ["bool", call.dtype, call.dtype]
        if operation in ("to_int",):
            return ["int"]
        if operation == "random_bits":  # the step may be given as a real number
            return [a.dtype for a in call.arguments]
        return [call.dtype] * len(call.arguments)

    def _power(self, call: Call) -> tuple[int, str]:
        base, exponent = call.arguments
        value = float(exponent.value) if isinstance(exponent, Const) else 0.0
        text = self.text(base, call.dtype)
        if value == 2:
            self._need("square")
            return _CALL, f"square({text})"
        if value.is_integer() and 1 < value < 64:
            self._need("integer_power")
            return _CALL, f"integer_power({text}, {int(value)})"
        if (2 * value).is_integer() and 0 < value < 5 and value != 1:
            self._need("half_power")
            return _CALL, f"half_power({text}, {int(value)})"
        self._need("power")
        return _CALL, f"power({text}, {self.text(exponent, call.dtype)})"

    def _combine(self, call: Call) -> tuple[int, str]:
        (load,) = call.arguments
        assert isinstance(load, Load)
        self._need(call.operation)
        pool = self.pools[load.buffer.array]
        position = plus(self._offset(load.buffer), flat_index(load.buffer, load.index))
        return (
            _CALL,
            # a literal position would be a type of its own, and a compilation
            f"{call.operation}(at({pool.name}, {self.text(position)}), "
            f"{self.text(pool.size)}, chunks)",
        )

    def _need(self, helper: str) -> None:
        spelling = SPELLING[helper]
        if isinstance(spelling, Vector) and self.math == "fast":
            self.vectors.setdefault(helper)
            return
        text = spelling.accurate if isinstance(spelling, Vector) else spelling
        for name in text.needs if isinstance(text, Helper) else ():
            self._need(name)
        self.helpers.setdefault(helper)

    @staticmethod
    def _offset(buffer: Buffer) -> Expr:
        return buffer.offset if buffer.offset is not None else const(0)
