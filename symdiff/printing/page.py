"""Matrix notation of graphs: one layout for text and LaTeX.

A :class:`Page` lays out nodes from the leaves up, each once and without recursion. Nodes that
have a name are written by their name. What is common to all notations (which factors are
scalars, where parentheses are needed, that ``sum(x**2)`` is a squared norm) is decided in
``products`` and ``layouts``; how it is spelled is the business of a
:class:`~symdiff.printing.style.Style`.

Conventions of what is written: a vector is a column, so ``w @ X`` is ``Xᵀw`` and the product of
two vectors is ``aᵀb``; tensors side by side are matrix products, ``⊙`` is the elementwise
product, powers are elementwise; ``Σᵢ`` sums over the first axis, ``Σⱼ`` over the second, with other
letters where these name something else; a reduction inside a formula keeps the places of its axes,
a named one has lost them; ``[c]`` is 1 where ``c`` holds and else 0; ``𝟏`` is a tensor of ones;
shapes broadcast in sums; ``x/‖x‖`` is 0 where x is.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..graph import Node, walk
from ..recurrence import Recurrence
from .layouts import LAYOUTS, call_layout
from .style import JUXTAPOSED, PREFIX, Piece, Style

__all__ = ["Page"]


class Page:
    """Writes nodes in a style; a named node is written by its name.

    Parameters
    ----------
    style : Style
    names : dict
        ``{node: Piece}``.
    grouped : bool
        Whether parentheses say in which order the products of matrices are computed.
    """

    def __init__(
        self, style: Style, names: Mapping[Node, Piece] | None = None, grouped: bool = False
    ) -> None:
        self.style = style
        self.grouped = grouped
        self.names: dict[Node, Piece] = dict(names or {})
        self.recurrences: dict[Recurrence, tuple[int, Node]] = {}
        """Those that are on the page: their numbers, and where their steps are spelled out."""
        self._pieces: dict[Node, Piece] = dict(self.names)
        self._depths: dict[Node, tuple[bool, int]] = {}
        self._sizes: dict[Node, int] = dict.fromkeys(self.names, 1)

    def piece(self, node: Node) -> Piece:
        """A node as part of something else, possibly without its minus sign."""
        for n in walk([node], self._pieces):
            self._pieces[n] = self._lay_out(n)
        return self._pieces[node]

    def definition(self, node: Node) -> str:
        """A node spelled out, even if it has a name."""
        for n in walk(node.inputs, self._pieces):
            self._pieces[n] = self._lay_out(n)
        return self.whole(self._lay_out(node))

    def text(self, node: Node) -> str:
        """A node as it stands alone."""
        return self.whole(self.piece(node))

    def whole(self, piece: Piece) -> str:
        """A piece with its minus sign."""
        return self.style.minus.strip() + piece.text if piece.negative else piece.text

    def inside(self, node: Node, level: int) -> Piece:
        """An operand, in parentheses where it binds less than ``level``."""
        return self.wrap(self.piece(node), level)

    def wrap(self, piece: Piece, level: int) -> Piece:
        """A piece, in parentheses where it binds less than ``level``."""
        if piece.level >= level and not piece.negative:
            return piece
        return Piece(self.style.parentheses(self.whole(piece)))

    def side_by_side(self, left: Piece, right: Piece) -> Piece:
        """Two pieces as a product without a sign: ``Xw``."""
        level = min(JUXTAPOSED, right.level) if right.level >= PREFIX else JUXTAPOSED
        right = self.wrap(right, PREFIX)
        return Piece(self.style.juxtapose(left, right), level, left.short and right.short)

    def opens(self, node: Node) -> bool:
        """True for a node that is written out in place."""
        return node not in self.names

    def depth(self, node: Node) -> tuple[bool, int]:
        """Whether a node holds structural parts, and over how many operations."""
        for n in walk([node], self._depths):
            if n in self.names or not n.inputs:
                self._depths[n] = False, 0
                continue
            below = [self._depths[i] for i in n.inputs]
            structural = n.row.kind == "structural" and n.operation not in _QUIET
            self._depths[n] = (
                structural or any(s for s, _ in below),
                1 + max(height for _, height in below),
            )
        return self._depths[node]

    def name(self, node: Node, piece: Piece) -> None:
        """Give a node a name from here on."""
        self.names[node] = self._pieces[node] = piece
        self._sizes[node] = 1

    def size(self, node: Node, own: bool = False) -> int:
        """How many parts the text of a node has; with ``own``, of its definition."""
        for n in walk(node.inputs if own else [node], self._sizes):
            self._sizes[n] = self._size(n)
        return self._size(node) if own else self._sizes[node]

    def _size(self, node: Node) -> int:
        return 1 + sum(self._sizes[i] for i in node.inputs)

    def _lay_out(self, node: Node) -> Piece:
        special = LAYOUTS.get(node.operation)
        return special(self, node) if special else call_layout(self, node)


_QUIET = {"broadcast_to", "reshape", "transpose"}
"""Structural operations that do not make a formula look like more than it is."""
