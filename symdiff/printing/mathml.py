r"""Matrix notation in MathML Core, which browsers show without any script.

Everything is elements: layouts glue pieces side by side, so a piece is a run of elements that may
stand in one ``<mrow>``, and text that is not inside ``<mi>``, ``<mn>``, ``<mo>`` or ``<mtext>``
would not be shown at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, ClassVar

import sympy as sp
from sympy.printing.conventions import split_super_sub
from sympy.printing.pretty.pretty_symbology import greek_unicode

from ..graph import Node
from ..shapes import Dimension
from .page import Page
from .style import ATOM, PARTS_OF_A_NAME, PREFIX, Piece, Style

__all__ = ["MATHML", "dimension", "mathematics", "name_mathml", "node_mathml", "space"]

NAMESPACE = "http://www.w3.org/1998/Math/MathML"

THIN = '<mspace width="0.167em"/>'
"""The gap between factors that would otherwise read as one name."""

_STARTS_WITH_NUMBER = re.compile(r"(?:<m(?:row|sup|sub)>)*<mn>")
_STARTS_WITH_FENCE = re.compile(r"(?:<m(?:row|sup|sub)>)*<mrow><mo[^>]*>[(\[|‖]</mo>")
_ENDS_WITH_NUMBER = re.compile(r"<mn>[^<]*</mn>(?:</mrow>)*$")

_ACCENTS = {
    "hat": "^", "bar": "¯", "tilde": "~", "dot": "˙", "ddot": "¨", "vec": "→", "check": "ˇ",
}  # fmt: skip


def _printable(text: str) -> str:
    """Any text as the content of an element; spaces at its ends stay."""
    shown = "".join(c if c.isprintable() else "?" for c in text)
    inner = shown.strip(" ")
    before, after = len(shown) - len(shown.lstrip(" ")), len(shown) - len(shown.rstrip(" "))
    return escape("\xa0" * before + inner + "\xa0" * after * bool(inner))


def _row(inner: str) -> str:
    """A run of elements as one; a single leaf is one already."""
    if re.fullmatch(r"<(mi|mn|mtext)(?: [^<>]*)?>[^<]*</\1>", inner):
        return inner
    return f"<mrow>{inner}</mrow>"


def _raised(base: str, exponent: str) -> str:
    """A base with an exponent, which stands above the index of the base where it has one."""
    if base.startswith("<msub>"):
        parts = _children(base)
        if parts is not None:
            return f"<msubsup>{''.join(parts)}{exponent}</msubsup>"
    return f"<msup>{_row(base)}{exponent}</msup>"


def _children(run: str) -> list[str] | None:
    """The elements inside a run that is one element, else None."""
    parts: list[str] = []
    depth = start = 0
    for tag in re.finditer(r"<(/?)[^>]*?(/?)>", run):
        if not tag[1] and depth == 1:
            start = tag.start()
        if not tag[2]:
            depth += -1 if tag[1] else 1
        if depth == 1 and (tag[1] or tag[2]):
            parts.append(run[start : tag.end()])
        if depth == 0 and tag.end() < len(run):
            return None
    return parts


def _part(text: str) -> str:
    """A name without indices: Greek letters, accents, words upright."""
    if text.isdecimal():
        return f"<mn>{text}</mn>"
    if text in greek_unicode:
        return f"<mi>{greek_unicode[text]}</mi>"
    for accent, mark in _ACCENTS.items():
        if text.endswith(accent) and len(text) > len(accent):
            base = _part(text.removesuffix(accent))
            return f'<mover accent="true">{base}<mo stretchy="false">{mark}</mo></mover>'
    return f"<mi>{_printable(text)}</mi>"


def name_mathml(name: str) -> str:
    """A symbol's name: Greek letters and indices as SymPy reads them, words upright.

    Examples
    --------
    >>> from symdiff.printing.mathml import name_mathml
    >>> name_mathml("W1")
    '<msub><mi>W</mi><mn>1</mn></msub>'
    >>> name_mathml("lambda"), name_mathml("logits"), name_mathml("a<b")
    ('<mi>λ</mi>', '<mi>logits</mi>', '<mtext>a&lt;b</mtext>')
    """
    name = unicodedata.normalize("NFC", name)
    if not re.fullmatch(r"\w+", name):
        return f"<mtext>{_printable(name)}</mtext>"
    if not re.fullmatch(PARTS_OF_A_NAME, name):
        return f"<mi>{_printable(name)}</mi>"
    stem, above, below = split_super_sub(name)
    base, up, down = _part(stem), _listed_parts(above), _listed_parts(below)
    if up and down:
        return f"<msubsup>{base}{down}{up}</msubsup>"
    if up:
        return f"<msup>{base}{up}</msup>"
    return f"<msub>{base}{down}</msub>" if down else base


def _listed_parts(parts: Sequence[str]) -> str:
    return _row(THIN.join(map(_part, parts))) if parts else ""


class MathmlStyle(Style):
    """MathML for the inside of a ``<math>`` element."""

    plus, minus, hadamard = "<mo>+</mo>", "<mo>−</mo>", "<mo>⊙</mo>"
    dot = THIN
    ones, identity = "<mn>𝟏</mn>", "<mi>𝐈</mi>"
    arrow, element = "<mo>←</mo>", "<mo>∈</mo>"
    functions: ClassVar[Mapping[str, str]] = {
        "sigmoid": "<mi>σ</mi>", "log_sigmoid": f"<mi>log</mi>{THIN}<mi>σ</mi>",
        "gamma": '<mi mathvariant="normal">Γ</mi>',
        "loggamma": f'<mi>log</mi>{THIN}<mi mathvariant="normal">Γ</mi>',
        "digamma": "<mi>ψ</mi>", "asin": "<mi>arcsin</mi>", "acos": "<mi>arccos</mi>",
        "atan": "<mi>arctan</mi>", "asinh": "<mi>arsinh</mi>", "acosh": "<mi>arcosh</mi>",
        "atanh": "<mi>artanh</mi>", "maximum": "<mi>max</mi>", "minimum": "<mi>min</mi>",
        "ceiling": "<mi>ceil</mi>",
    }  # fmt: skip
    relations: ClassVar[Mapping[str, str]] = {
        "equal": "<mo>=</mo>", "not_equal": "<mo>≠</mo>", "less": "<mo>&lt;</mo>",
        "less_equal": "<mo>≤</mo>", "greater": "<mo>&gt;</mo>", "greater_equal": "<mo>≥</mo>",
        "logical_and": "<mo>∧</mo>", "logical_or": "<mo>∨</mo>", "logical_not": "<mo>¬</mo>",
    }  # fmt: skip

    def symbol(self, name: str) -> Piece:
        written = name_mathml(name)
        letters = re.findall(r"<m(?:i|text)[^>]*>([^<]*)<", written)
        return Piece(written, ATOM, bool(letters) and len(letters[0]) == 1)

    def adjoint(self, of: str, name: str) -> Piece:
        return Piece(f"<msub><mi>δ</mi>{_row(name_mathml(of))}</msub>")

    def derivative(self, above: str, below: Sequence[str]) -> Piece:
        mark = "<mi>∂</mi>"
        order = mark if len(below) == 1 else f"<msup>{mark}<mn>{len(below)}</mn></msup>"
        under = THIN.join(mark + b for b in below)
        return Piece(f"<mfrac><mrow>{order}{above}</mrow><mrow>{under}</mrow></mfrac>", PREFIX)

    def literal(self, value: Any) -> Piece:
        known = {sp.oo: "<mi>∞</mi>", sp.pi: "<mi>π</mi>", sp.E: "<mi>e</mi>"}
        if value in known:
            return Piece(known[value])
        written = f"{float(value):.12g}" if value.is_Float else str(value)
        digits, _, exponent = written.partition("e")
        if exponent.lstrip("+-").isdecimal():
            sign = "<mo>−</mo>" if exponent.startswith("-") else ""
            power = f"<mrow>{sign}<mn>{int(exponent.lstrip('+-'))}</mn></mrow>"
            return Piece(f"<mrow><mn>{digits}</mn><mo>⋅</mo><msup><mn>10</mn>{power}</msup></mrow>")
        if re.fullmatch(r"[0-9.]+", written):
            return Piece(f"<mn>{written}</mn>")
        return Piece(f"<mi>{_printable(written)}</mi>")

    def parentheses(self, inner: str) -> str:
        return _fenced("(", inner, ")")

    def brackets(self, inner: str) -> str:
        return _fenced("[", inner, "]")

    def bars(self, inner: str) -> str:
        return _fenced("|", inner, "|")

    def norm(self, inner: str, rank: int) -> str:
        written = _fenced("‖", inner, "‖")
        return f"<msub>{written}<mi>F</mi></msub>" if rank > 1 else written

    def root(self, inner: Piece) -> Piece:
        return Piece(f"<msqrt>{self.minus if inner.negative else ''}{inner.text}</msqrt>")

    def power(self, base: str, exponent: Piece) -> str:
        sign = self.minus if exponent.negative else ""
        return _raised(base, _row(sign + exponent.text))

    def transposed(self, inner: str) -> str:
        return _raised(inner, "<mi>⊤</mi>")

    def inverse(self, base: str, transposed: bool = False) -> str:
        what = "<mi>⊤</mi>" if transposed else "<mn>1</mn>"
        return _raised(base, f"<mrow><mo>−</mo>{what}</mrow>")

    def fraction(self, above: Piece | None, below: Piece) -> Piece:
        top = above.text if above is not None else "<mn>1</mn>"
        return Piece(
            f"<mfrac>{_part_of_fraction(top)}{_part_of_fraction(below.text)}</mfrac>", ATOM
        )

    def juxtapose(self, left: Piece, right: Piece) -> str:
        after_number = bool(_ENDS_WITH_NUMBER.search(left.text))
        if after_number and _STARTS_WITH_NUMBER.match(right.text):
            return f"{left.text}<mo>⋅</mo>{right.text}"
        tight = left.short and (right.short or bool(_STARTS_WITH_FENCE.match(right.text)))
        return f"{left.text}{'<mo>&#x2062;</mo>' if tight else THIN}{right.text}"

    def operator(self, name: str, axes: Sequence[int] | None) -> str:
        sign = {"sum": "∑", "prod": "∏"}.get(name)
        written = f"<mo>{sign}</mo>" if sign else self.function(name)
        if axes is None:
            return written
        under = f"<mrow>{THIN.join(map(self._axis, axes))}</mrow>"
        return (
            f"<munder>{written}{under}</munder>" if sign else f"<msub>{_row(written)}{under}</msub>"
        )

    def _axis(self, axis: int) -> str:
        return f"<mi>{self.axes[axis]}</mi>" if axis < len(self.axes) else f"<mn>{axis}</mn>"

    def function(self, name: str) -> str:
        return self.functions.get(name) or f"<mi>{_printable(name)}</mi>"

    def code(self, inner: str) -> str:
        return f"<mtext>{_printable(inner)}</mtext>"

    def path(self, number: int, inner: str) -> str:
        return f"<mtext>path {number}:\xa0</mtext><mrow>{inner}</mrow>"

    def equation(self, *sides: str) -> str:
        """Each side is a row of its own: a sign in front of it is no operation between two."""
        return super().equation(*(f"<mrow>{side}</mrow>" for side in sides))

    def listed(self, parts: Sequence[str], separator: str = ",") -> str:
        return f'<mo separator="true">{separator}</mo>'.join(parts)


def _part_of_fraction(inner: str) -> str:
    """What stands above or below a line; a fraction in it is as large as one that stands alone."""
    if "<mfrac>" not in inner:
        return _row(inner)
    return f'<mrow displaystyle="true">{inner}</mrow>'


def _fenced(left: str, inner: str, right: str) -> str:
    """Brackets, whose signs belong to what is inside; they grow where that is high."""
    grow = "true" if any(f"<{tall}" in inner for tall in _TALL) else "false"
    return (
        f'<mrow><mo form="prefix" stretchy="{grow}">{left}</mo><mrow>{inner}</mrow>'
        f'<mo form="postfix" stretchy="{grow}">{right}</mo></mrow>'
    )


_TALL = ("mfrac", "munder", "msqrt", "mover")
"""Elements that are higher than a line. Around others, signs that may grow are set too loosely."""


MATHML = MathmlStyle()


def space(node: Node) -> str:
    """The set that a node's values lie in: ``∈ ℝⁿˣ³``."""
    field = {"real": "<mi>ℝ</mi>", "int": "<mi>ℤ</mi>"}.get(node.dtype)
    if field is None:
        field = "<mrow><mo>{</mo><mn>0</mn><mo>,</mo><mn>1</mn><mo>}</mo></mrow>"
    sizes = "<mo>×</mo>".join(dimension(d) for d in node.shape)
    return MATHML.element + (f"<msup>{field}<mrow>{sizes}</mrow></msup>" if sizes else field)


def dimension(size: Dimension) -> str:
    """One size of a shape."""
    written = str(size)
    return f"<mn>{written}</mn>" if written.isdecimal() else name_mathml(written)


def mathematics(inner: str, display: str = "inline") -> str:
    """A run of elements as a formula of its own."""
    return f'<math xmlns="{NAMESPACE}" display="{display}" displaystyle="true">{_row(inner)}</math>'


def node_mathml(node: Node, names: Mapping[Node, Piece] | None = None) -> str:
    """The MathML of a node, as a ``<math>`` element.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.bridge import to_graph
    >>> from symdiff.printing.mathml import node_mathml
    >>> w = sd.tensor("w", 3)
    >>> print(node_mathml(to_graph(w + 1)).partition(">")[2])
    <mrow><mi>w</mi><mo>+</mo><mn>1</mn></mrow></math>
    """
    return mathematics(Page(MATHML, names).text(node))
