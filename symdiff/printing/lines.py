"""A derivation as lines of formulas, in any notation: what stands on the page, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sympy import Dummy

from ..bridge import to_graph
from ..graph import Node, apply, walk
from .page import Page
from .style import Piece, Style

if TYPE_CHECKING:
    import sympy as sp

    from ..derivation import Derivation

__all__ = ["LONGEST", "Formula", "Notation", "Section"]

LONGEST = 60
"""Parts of a formula beyond which an aside shows only that there is one."""

MOST_MOVES = 24
"""Reordered products that are shown one by one."""


@dataclass(frozen=True)
class Formula:
    """One equation: a name, what else that is, and what it is computed by.

    Attributes
    ----------
    name : str
    meaning : str
        The derivative that a backward step is, up to a factor; "" where there is nothing to say.
    definition : str
    node : Node
        What it is computed by.
    """

    name: str
    meaning: str
    definition: str
    node: Node


@dataclass(frozen=True)
class Section:
    """A part of a derivation: equations, or remarks of the kind ``before → after (why)``."""

    title: str
    formulas: tuple[Formula, ...] = ()
    remarks: tuple[tuple[str, str, str], ...] = ()
    more: int = 0
    """Remarks that are left out."""


_PLACEHOLDER = Dummy("derivative")


class Notation:
    """The formulas of one derivation in one notation."""

    def __init__(self, derivation: Derivation, style: Style) -> None:
        self.derivation = derivation
        naming = derivation.naming
        self.style = style = style.avoiding(naming.taken)
        self.page = Page(style, {n: name.piece(style) for n, name in naming.all.items()})
        root = derivation.loss_node
        named = root in naming.forward or not root.inputs
        self.loss = self.page.text(root) if named else style.symbol("L").text

    def symbol(self, symbol: sp.Symbol) -> str:
        """A symbol of the loss."""
        return self.page.text(to_graph(symbol))

    def derivative(self, *below: str) -> str:
        """The derivative of the loss by what is written ``below``."""
        return self.style.derivative(self.loss, below).text

    def sections(self) -> list[Section]:
        """The parts of the page that hold anything, in order."""
        naming = self.derivation.naming
        gradients = self.derivation.gradient_nodes
        seconds = self.derivation.hessian_nodes
        sections = [
            Section("forward", tuple(self._step(n) for n in naming.forward)),
            self._rewritten(),
            Section("backward", tuple(self._step(n) for n in naming.backward)),
            Section(
                "gradients",
                tuple(self._result((symbol,), node) for symbol, node in gradients.items()),
            ),
            Section(
                "second derivatives",
                tuple(self._result(pair, node) for pair, node in seconds.items()),
            ),
            self._reordered(),
        ]
        return [s for s in sections if s.formulas or s.remarks or s.more]

    def _step(self, node: Node) -> Formula:
        name = self.derivation.naming.all[node].piece(self.style).text
        return Formula(name, self.meaning(node), self.page.definition(node), node)

    def _result(self, below: tuple[sp.Symbol, ...], node: Node) -> Formula:
        derivative = self.derivative(*(self.symbol(s) for s in below))
        return Formula(derivative, "", self.page.text(node), node)

    def meaning(self, node: Node) -> str:
        """``n ∂L/∂z`` for what is the derivative by z, up to a constant."""
        naming = self.derivation.naming
        if node not in naming.adjoint_of:
            return ""
        of, factor = naming.adjoint_of[node]
        name = naming.forward[of].piece(self.style).text
        return self._scaled(self.style.derivative(self.loss, (name,)), factor)

    def _scaled(self, derivative: Piece, factor: Node) -> str:
        """A derivative divided by a constant factor."""
        from ..steps import fold

        inverse = to_graph(1 / fold(factor, {}))
        placeholder = apply("symbol", attributes=(_PLACEHOLDER, (), "real"))
        inner = Page(self.style, {placeholder: derivative})
        if inverse.is_number(1):
            return derivative.text
        if inverse.is_number(-1):
            return inner.text(apply("negative", placeholder))
        return inner.text(apply("multiply", inverse, placeholder))

    def _rewritten(self) -> Section:
        """What the stability rules have replaced, where it is short enough to be read."""
        present = set(walk([self.derivation.loss_node]))
        remarks = [
            (self.page.definition(before), self.page.definition(after), rule.name)
            for rule, before, after in self.derivation.applied
            if after in present and self.page.size(before) <= LONGEST
        ]
        return Section("rewritten for stability", remarks=tuple(dict.fromkeys(remarks)))

    def _reordered(self) -> Section:
        """The products that are computed in another order, and what that saves."""
        reordering = self.derivation.reordering
        if reordering is None or not reordering.applied:
            return Section("products reordered")
        title = "products reordered"
        counted = reordering.before != reordering.after  # sums alone may be saved
        if counted:
            title += f": {reordering.before} → {reordering.after} multiplications"
        if counted and reordering.rows is not None:
            title += f" for {reordering.rows} = {reordering.sizes[reordering.rows]}"
        page = Page(self.style, self.page.names, grouped=True)
        remarks = [
            (page.definition(before), page.definition(after), name)
            for name, before, after in reordering.applied
            if max(page.size(before, own=True), page.size(after, own=True)) <= LONGEST
        ]
        shown = tuple(dict.fromkeys(remarks))
        if len(shown) == len(reordering.applied) <= MOST_MOVES:
            return Section(title, remarks=shown)
        shown = shown[:MOST_MOVES]
        return Section(title, remarks=shown, more=len(reordering.applied) - len(shown))
