"""Names that a user gives to parts of a model, which a derivation shows as its steps.

A name changes nothing but what is read: the graph of ``name("H", e)`` is that of ``e``.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import sympy as sp
from sympy.core.basic import Basic
from sympy.core.symbol import Str
from sympy.core.sympify import _sympify as strictly  # never runs text
from sympy.printing.precedence import precedence

from .bridge import to_graph
from .errors import InvalidArgument, InvalidType, SymdiffError
from .expressions import Composite
from .graph import Node
from .language import as_expression, as_number

__all__ = ["Named", "given_names", "name", "variables_of_caller"]


class Named(Composite):
    """An expression with a name; made by :func:`name`."""

    __slots__ = ()

    def __new__(cls, expression: Any, title: Any) -> Any:
        """Build from the expression and the name, as ``func(*args)`` does.

        A number or a symbol, which may have been substituted, needs no name.
        """
        if isinstance(expression, sp.Expr) and expression.is_Atom:
            return expression
        obj = sp.Expr.__new__(cls, strictly(expression), title)
        obj._node = to_graph(obj.args[0])
        return obj

    @property
    def precedence(self) -> int:
        """How tightly its text binds, for SymPy's printers."""
        return int(precedence(self.args[0]))

    def _eval_derivative(self, symbol: sp.Symbol) -> Any:
        return self.args[0].diff(symbol)

    def _eval_evalf(self, precision: int) -> Any:
        return self.args[0]._eval_evalf(precision)

    def _printed(self, printer: Any, **options: Any) -> str:
        return str(printer._print(self.args[0]))

    _sympystr = _latex = _printed
    _pythoncode = _numpycode = _mpmathcode = _printed  # sympy.lambdify


def name(title: str, expression: Any) -> Any:
    """The same expression, called ``title`` wherever a derivation shows it as a step.

    Parameters
    ----------
    title : str
    expression : sympy.Expr
        A symbol has a name already and is returned as it is.

    Raises
    ------
    InvalidType
        For SymPy's matrix expressions, which would be tensors from then on.

    Examples
    --------
    >>> import symdiff as sd
    >>> X, W, v = sd.tensor("X", "n", 2), sd.tensor("W", 2, 3), sd.tensor("v", 3)
    >>> H = sd.name("H", sd.tanh(X @ W))
    >>> print(sd.derive(sd.sum(H @ v), W))
    forward
      z = XW                    (n, 3)
      H = tanh(z)               (n, 3)
      L = Σ Hv                      ()
    <BLANKLINE>
    backward
      δ = ∂L/∂z = v ⊙ (1 − H²)  (n, 3)
    <BLANKLINE>
    gradients
      ∂L/∂W = Xᵀδ               (2, 3)
    """
    if not isinstance(title, str):
        raise InvalidType(f"name: the first argument is the name, a string, got {title!r}")
    if not title.strip():
        raise InvalidArgument("name: a name has at least one letter")
    if isinstance(expression, (sp.MatrixExpr, sp.MatrixBase)):
        raise InvalidType(
            f"name: {title!r} is to be a SymPy matrix expression, whose * is the matrix product; "
            "keep it and give its name to derive: sd.derive(loss, wrt, names={name: expression})"
        )
    inner = as_number(expression)
    return inner if isinstance(inner, sp.Symbol) else Named(inner, Str(title))


def given_names(expression: Basic) -> list[tuple[str, Node]]:
    """The names in an expression and the nodes that have them, innermost first."""
    found: list[tuple[str, Node]] = []
    seen: set[int] = set()
    stack: list[tuple[Basic, bool]] = [(expression, False)]
    while stack:
        part, ready = stack.pop()
        if ready:
            found.append((part.args[1].name, part._node))
            continue
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Named):
            stack.append((part, True))
        stack.extend((a, False) for a in reversed(part.args) if isinstance(a, Basic))
    return found


# --- variables ---------------------------------------------------------------------------

_OURS = ("symdiff", "codegen")


def variables_of_caller() -> dict[str, Any]:
    """The variables of the code that called the library, which hold expressions.

    The first frame outside of the library is read: its local variables, then those of its module.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _module(frame).partition(".")[0] in _OURS:
        frame = frame.f_back
    if frame is None:
        return {}
    variables = dict(frame.f_locals)
    for title, value in frame.f_globals.items():
        variables.setdefault(title, value)
    return {title: value for title, value in variables.items() if _has_parts(title, value)}


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _has_parts(title: str, value: Any) -> bool:
    written = title.isidentifier() and not title.startswith("_")  # tools add names of their own
    if not written or not isinstance(value, sp.Expr) or value.is_Atom:
        return False
    try:
        return bool(to_graph(as_expression(value)).inputs)
    except SymdiffError:  # an expression that has nothing to do with a loss
        return False
