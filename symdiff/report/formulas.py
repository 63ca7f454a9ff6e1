"""Formulas in lines of text and in cells of tables."""

from __future__ import annotations

from ..printing.mathml import dimension, mathematics
from ..shapes import Shape
from .blocks import Markup

__all__ = ["formula", "own_row", "shape_mathml"]


def formula(inner: str) -> Markup:
    """A run of MathML as a formula in a line of text."""
    return Markup(mathematics(inner))


def own_row(inner: str) -> str:
    """What begins a row of its own: a sign in front is then no operation between two."""
    return f"<mrow>{inner}</mrow>"


def shape_mathml(shape: Shape) -> Markup:
    """``n × 3``; a scalar has none."""
    if not shape:
        return Markup('<span class="scalar">scalar</span>')
    return formula("<mo>×</mo>".join(dimension(d) for d in shape))
