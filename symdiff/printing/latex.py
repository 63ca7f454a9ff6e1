r"""Matrix notation in LaTeX: ``\frac{2}{n} X^{\top} \left(X w - y\right)``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import sympy as sp
from sympy.printing.pretty.pretty_symbology import greek_unicode

from ..bridge import to_graph
from ..graph import Node, leaves
from .page import Page
from .style import ATOM, PARTS_OF_A_NAME, POWER, PREFIX, Piece, Style

__all__ = ["LATEX", "escaped", "expression_latex", "name_latex", "node_latex"]

_DIGITS = "0123456789"
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "×": r"$\times$",
}  # fmt: skip

_GREEK = {c: sp.latex(sp.Symbol(title)) + " " for title, c in greek_unicode.items()}
"""Greek letters as they are typed, in LaTeX."""


def escaped(text: str) -> str:
    r"""Any text inside ``\text{...}``."""
    return "".join(_SPECIAL.get(c, c if c.isprintable() else "?") for c in text)


def name_latex(name: str) -> str:
    r"""A symbol's name: Greek letters and indices as SymPy writes them, words upright.

    Examples
    --------
    >>> from symdiff.printing.latex import name_latex
    >>> name_latex("W1"), name_latex("lambda"), name_latex("logits")
    ('W_{1}', '\\lambda', '\\mathrm{logits}')
    """
    if not re.fullmatch(PARTS_OF_A_NAME, name):
        return rf"\text{{{escaped(name)}}}"
    # SymPy puts a space between two indices, which LaTeX does not show: W_1_2 is not W12
    written = sp.latex(sp.Symbol(name)).replace(" ", r" \, ")
    word = re.match(r"[^\W_]{2,}", written)
    written = rf"\mathrm{{{word[0]}}}{written[word.end() :]}" if word else written
    written = "".join(_GREEK.get(c, c) for c in written).rstrip()
    return written if written.isascii() else rf"\text{{{escaped(name)}}}"


class LatexStyle(Style):
    """LaTeX for a mathematics environment."""

    plus, minus, hadamard, dot = " + ", " - ", r" \odot ", r" \, "
    ones, identity = r"\mathbf{1}", r"\mathbf{I}"
    functions: ClassVar[Mapping[str, str]] = {
        "sigmoid": r"\sigma", "log_sigmoid": r"\log \sigma", "gamma": r"\Gamma",
        "loggamma": r"\log \Gamma", "digamma": r"\psi", "asin": r"\arcsin", "acos": r"\arccos",
        "atan": r"\arctan", "maximum": r"\max", "minimum": r"\min",
        "convᵀ": r"\operatorname{conv}^{\top}",
        **{n: rf"\{n}" for n in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    }  # fmt: skip
    relations: ClassVar[Mapping[str, str]] = {
        "equal": " = ", "not_equal": r" \neq ", "less": " < ", "less_equal": r" \leq ",
        "greater": " > ", "greater_equal": r" \geq ", "logical_and": r" \wedge ",
        "logical_or": r" \vee ", "logical_not": r"\neg ",
    }  # fmt: skip

    arrow, element = r" \leftarrow ", r" \in "

    def symbol(self, name: str) -> Piece:
        written = name_latex(name)
        return Piece(written, ATOM, not written.startswith((r"\mathrm", r"\text")))

    def adjoint(self, of: str, name: str) -> Piece:
        return Piece(rf"\delta_{{{name_latex(of)}}}")

    def derivative(self, above: str, below: Sequence[str]) -> Piece:
        order = "" if len(below) == 1 else f"^{{{len(below)}}}"
        under = r" \, ".join(rf"\partial {b}" for b in below)
        return Piece(rf"\frac{{\partial{order} {above}}}{{{under}}}", PREFIX)

    def literal(self, value: Any) -> Piece:
        return Piece(sp.latex(value))

    def parentheses(self, inner: str) -> str:
        return rf"\left({inner}\right)"

    def brackets(self, inner: str) -> str:
        return rf"\left[{inner}\right]"

    def bars(self, inner: str) -> str:
        return rf"\left|{inner}\right|"

    def norm(self, inner: str, rank: int) -> str:
        return rf"\left\| {inner} \right\|" + ("_{F}" if rank > 1 else "")

    def root(self, inner: Piece) -> Piece:
        return Piece(rf"\sqrt{{{'-' if inner.negative else ''}{inner.text}}}")

    def power(self, base: str, exponent: Piece) -> str:
        return f"{base}^{{{'-' if exponent.negative else ''}{exponent.text}}}"

    def inverse(self, base: str, transposed: bool = False) -> str:
        return rf"{base}^{{-\top}}" if transposed else f"{base}^{{-1}}"

    def transposed(self, inner: str) -> str:
        return rf"{inner}^{{\top}}"

    def fraction(self, above: Piece | None, below: Piece) -> Piece:
        return Piece(rf"\frac{{{above.text if above is not None else '1'}}}{{{below.text}}}", ATOM)

    def juxtapose(self, left: Piece, right: Piece) -> str:
        digits = right.text[0] in _DIGITS and left.text[-1] in _DIGITS
        if digits:
            return rf"{left.text} \cdot {right.text}"
        tight = (left.short and right.short) or right.text.startswith((r"\left", "\\"))
        return f"{left.text} {'' if tight else chr(92) + ', '}{right.text}"

    def operator(self, name: str, axes: Sequence[int] | None) -> str:
        known = {"sum": r"\sum", "prod": r"\prod", "max": r"\max", "min": r"\min"}
        operator = known.get(name, rf"\operatorname{{{escaped(name)}}}")
        return operator if axes is None else operator + f"_{{{' '.join(map(self._axis, axes))}}}"

    def _axis(self, axis: int) -> str:
        return self.axes[axis] if axis < len(self.axes) else str(axis)

    def function(self, name: str) -> str:
        return self.functions.get(name, rf"\operatorname{{{escaped(name)}}}")

    def code(self, inner: str) -> str:
        return rf"\text{{{escaped(inner)}}}"


LATEX = LatexStyle()


def expression_latex(expression: Any, printer: Any) -> str:
    """The LaTeX of a tensor expression, for SymPy's ``LatexPrinter``."""
    node = to_graph(expression)
    names = {n: Piece(printer._print(n.attributes[0])) for n in leaves([node])}
    page = Page(LATEX, names)
    piece = page.piece(node)
    if printer._print_level > 1:  # inside what SymPy writes
        if piece.level == POWER:
            return f"{{{page.whole(piece)}}}"  # two exponents in a row are an error in LaTeX
        if piece.level == PREFIX:  # SymPy does not know how far a sum reaches
            return page.wrap(piece, ATOM).text
    return page.whole(piece)


def node_latex(node: Node, names: Mapping[Node, Piece] | None = None) -> str:
    r"""The LaTeX of a node.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.bridge import to_graph
    >>> from symdiff.printing.latex import node_latex
    >>> X, w = sd.tensor("X", "n", 3), sd.tensor("w", 3)
    >>> print(node_latex(to_graph(X.T @ (X @ w))))
    X^{\top} X w
    """
    return Page(LATEX, names).text(node)
