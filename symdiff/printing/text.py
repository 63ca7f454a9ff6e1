"""Matrix notation in plain text: ``2/n · Xᵀ(Xw − y)``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import sympy as sp
from sympy.printing.pretty.pretty_symbology import pretty_symbol

from ..graph import Node
from .page import Page
from .style import ATOM, CALL, PARTS_OF_A_NAME, POWER, PREFIX, PRODUCT, Piece, Style

__all__ = ["TEXT", "node_text", "shown_name", "subscript"]

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_DIGITS = "0123456789"
_LETTERS = str.maketrans("ijklmprstuvx", "ᵢⱼₖₗₘₚᵣₛₜᵤᵥₓ")
_MARKS = "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ"
_DIGIT_MARKS = "₀₁₂₃₄₅₆₇₈₉"
_TAKEN = {"Σ", "𝟏", "I", "∂", "∂L", "log", "exp", "diag"}
"""Names that mean something else on the page."""

_UNMISTAKABLE = {"Sigma": "𝚺"}
"""Letters that would read as an operator."""


def subscript(number: int) -> str:
    """A number as a subscript: ``₁₂``."""
    return str(number).translate(_SUBSCRIPTS)


def shown_name(name: str) -> str:
    """A symbol's name as it is read: Greek letters and short indices, nothing that misleads.

    Examples
    --------
    >>> from symdiff.printing.text import shown_name
    >>> [shown_name(n) for n in ("W1", "lambda", "log_r", "logits", "Sigma")]
    ['W₁', 'λ', 'log_r', 'logits', '𝚺']
    """
    if not re.fullmatch(r"\w+", name):
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in name) or '""'
    if name in _UNMISTAKABLE:
        return _UNMISTAKABLE[name]
    if not re.fullmatch(PARTS_OF_A_NAME, name):  # SymPy drops underscores: x_ is not x
        return name
    pretty = str(pretty_symbol(name))
    indices = len(pretty) - len(pretty.rstrip(_MARKS))
    if " " in pretty:  # W_1_2: two indices with a gap would read as two factors
        return name
    if "_" in pretty and len(pretty.partition("_")[0]) > 1:
        return name
    word = indices and len(pretty) - indices > 1 and pretty[-1] not in _DIGIT_MARKS
    return name if word or indices > 3 or pretty in _TAKEN else pretty  # logᵣ is no log_r


def _is_short(name: str) -> bool:
    """True for one letter with its indices and accents."""
    base = "".join(c for c in name.rstrip(_MARKS) if not unicodedata.combining(c))
    return len(base) == 1 and base.isalpha()


class TextStyle(Style):
    """Unicode text on one line."""

    functions: ClassVar[Mapping[str, str]] = {
        "sigmoid": "σ", "log_sigmoid": "log σ", "gamma": "Γ", "loggamma": "log Γ",
        "digamma": "ψ", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
        "asinh": "arsinh", "acosh": "arcosh", "atanh": "artanh", "maximum": "max",
        "minimum": "min", "ceiling": "ceil", "power": "power",
    }  # fmt: skip
    relations: ClassVar[Mapping[str, str]] = {
        "equal": " = ", "not_equal": " ≠ ", "less": " < ", "less_equal": " ≤ ",
        "greater": " > ", "greater_equal": " ≥ ", "logical_and": " ∧ ", "logical_or": " ∨ ",
        "logical_not": "¬",
    }  # fmt: skip

    def symbol(self, name: str) -> Piece:
        shown = shown_name(name)
        return Piece(shown, ATOM, _is_short(shown))

    def adjoint(self, of: str, name: str) -> Piece:
        shown = shown_name(name).replace("delta_", "δ_")  # δu₁ would read as a product
        return Piece(shown, ATOM, _is_short(shown))

    def derivative(self, above: str, below: Sequence[str]) -> Piece:
        order = "" if len(below) == 1 else str(len(below)).translate(_SUPERSCRIPTS)
        return Piece(f"∂{order}{above}/{''.join(f'∂{b}' for b in below)}", PREFIX, False)

    def literal(self, value: Any) -> Piece:
        if value.is_Float:
            return Piece(f"{float(value):.12g}")
        return Piece({sp.oo: "∞", sp.pi: "π", sp.E: "e", sp.nan: "NaN"}.get(value, str(value)))

    def parentheses(self, inner: str) -> str:
        return f"({inner})"

    def brackets(self, inner: str) -> str:
        return f"[{inner}]"

    def bars(self, inner: str) -> str:
        return f"|{inner}|"

    def norm(self, inner: str, rank: int) -> str:
        return f"‖{inner}‖"

    def root(self, inner: Piece) -> Piece:
        if inner.level == ATOM and not inner.negative:
            return Piece("√" + inner.text, POWER, False)
        return Piece(f"√({'−' if inner.negative else ''}{inner.text})", POWER, False)

    def power(self, base: str, exponent: Piece) -> str:
        written = ("-" if exponent.negative else "") + exponent.text
        if written.lstrip("-").isdecimal():
            return base + written.translate(_SUPERSCRIPTS)
        plain = exponent.level == ATOM and not exponent.negative
        return f"{base}^{exponent.text}" if plain else f"{base}^({written.replace('-', '−', 1)})"

    def inverse(self, base: str, transposed: bool = False) -> str:
        return base + ("⁻ᵀ" if transposed else "⁻¹")

    def transposed(self, inner: str) -> str:
        return inner + "ᵀ"

    def fraction(self, above: Piece | None, below: Piece) -> Piece:
        top = above.text if above is not None else "1"
        if above is not None and above.level < PRODUCT:
            top = f"({top})"
        bottom = below.text if below.level >= CALL else f"({below.text})"
        return Piece(f"{top}/{bottom}", PRODUCT, False)

    def juxtapose(self, left: Piece, right: Piece) -> str:
        if right.text[0] in _DIGITS:
            return f"{left.text} · {right.text}"
        if left.text[-1] in _DIGITS and left.level == ATOM:  # a number
            tight = right.short or right.text[0] in "(‖["
            return f"{left.text}{'' if tight else ' '}{right.text}"
        if right.text[0] == "(":
            return f"{left.text}{'' if left.short else ' · '}{right.text}"
        if right.text[0] == "[":  # beside a name it would be an index
            return f"{left.text} {right.text}"
        return f"{left.text}{'' if left.short and right.short else ' '}{right.text}"

    def operator(self, name: str, axes: Sequence[int] | None) -> str:
        indices = "" if axes is None else "".join(self._axis(a) for a in axes)
        return {"sum": "Σ", "prod": "∏", "concatenate": "concat"}.get(name, name) + indices

    def _axis(self, axis: int) -> str:
        return self.axes[axis].translate(_LETTERS) if axis < len(self.axes) else subscript(axis)

    def function(self, name: str) -> str:
        return self.functions.get(name, name)

    def code(self, inner: str) -> str:
        return inner


TEXT = TextStyle()


def node_text(node: Node, names: Mapping[Node, Piece] | None = None) -> str:
    """The text of a node.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.bridge import to_graph
    >>> from symdiff.printing.text import node_text
    >>> X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
    >>> node_text(to_graph(2 * X.T @ (X @ w - y)))
    '2Xᵀ(Xw − y)'
    """
    return Page(TEXT, names).text(node)
