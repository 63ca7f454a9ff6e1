"""The rows of an explanation: which formulas stand in it, and how a notation writes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..chain import Joint, Link, LocalDerivative, chain_of_rules
from ..graph import Node, leaves, number, walk
from ..modes import MODES
from .lines import LONGEST, Notation
from .page import Page
from .style import CALL, Piece, Style
from .text import TEXT, subscript

if TYPE_CHECKING:
    from ..derivation import Derivation

__all__ = ["Row", "rows_of", "written"]

NAME = 12
"""Columns beyond which the text of a forward node on the way gets a name."""

SHORT = 16
"""Parts of a local derivative beyond which it is written with the names of backward steps, too."""

NAMED_ADJOINT = 8
"""Parts of a derivative beyond which later formulas write it as ``∂L/∂x``."""


@dataclass(frozen=True)
class Row:
    """One formula of an explanation.

    Attributes
    ----------
    kind : {"given", "forward", "start", "shared", "path", "rule", "joined", "absent"}
        A symbol of the loss; a forward step; the derivative of the loss by itself; a backward
        step that several rules share; the part of one path; the derivative that one rule gives;
        the sum over several paths; the derivative by a symbol that the loss does not contain.
    rule : str
    node : Node
        What the formula computes.
    below : Node
        The forward node that it is the derivative by, or the node itself.
    link : Link or None
    number : int
        Of a path, from 1.
    """

    kind: str
    rule: str
    node: Node
    below: Node
    link: Link | None = None
    number: int = 0


def rows_of(derivation: Derivation, target: Node, given: bool) -> tuple[list[Row], dict[Node, str]]:
    """The rows from the data to the loss and back to a parameter, and names of further steps."""
    root, naming = derivation.loss_node, derivation.naming
    joints = chain_of_rules(
        root, target, derivation.adjoint_nodes, derivation.trace, naming.forward
    )
    names = _further_names(derivation, joints)
    order = walk([root])
    data = [n for n in leaves([root]) if n.attributes[0] not in MODES] if given else []
    rows = [Row("given", "", n, n) for n in data]
    for node in order:
        if node in naming.forward or node in names:
            rows.append(Row("forward", derivation.forward_rule(node, names), node, node))
    rows.append(Row("start", "start", number(1), root))
    introduced = {n for n in order if n.inputs}
    for joint in joints:
        rows += _joint_rows(derivation, joint, introduced)
    if target is not root and not any(j.node is target for j in joints):
        rows.append(Row("absent", "not in the loss", number(0), target))
    return rows, names


def _further_names(derivation: Derivation, joints: Sequence[Joint]) -> dict[Node, str]:
    """Names of nodes on the way that would be long to write out at each place."""
    page = Notation(derivation, TEXT).page
    taken = set(derivation.naming.taken)
    names: dict[Node, str] = {}
    for joint in reversed(joints):
        node = joint.node
        if not node.inputs or node in page.names:
            continue
        if page.size(node) <= LONGEST and len(page.text(node)) <= NAME:
            continue
        count = len(names) + 1
        while taken & {f"u{count}", f"u{subscript(count)}"}:
            count += 1
        names[node] = f"u{count}"
        taken.add(names[node])
        page.name(node, TEXT.symbol(names[node]))
    return names


def _joint_rows(derivation: Derivation, joint: Joint, introduced: set[Node]) -> Iterable[Row]:
    naming = derivation.naming
    whole = joint.adjoint
    core = next(
        (n for n, (of, _) in naming.adjoint_of.items() if of is joint.node and n not in introduced),
        None,
    )
    several = len(joint.links) > 1
    parts = [link.term for link in joint.links] if several else []
    for node in walk([*parts, whole if core is None else core], introduced):
        if node in naming.backward:
            introduced.add(node)
            if node is not core:
                yield Row("shared", "", node, node)
    for place, link in enumerate(joint.links, 1):
        if several:
            yield Row("path", link.rule, link.term, joint.node, link, place)
        else:
            yield Row("rule", link.rule, whole if core is None else core, joint.node, link)
    if several:
        rule = f"sum over {len(joint.links)} paths"
        yield Row("joined", rule, whole if core is None else core, joint.node)


# --- writing -----------------------------------------------------------------------------


def written(
    derivation: Derivation, rows: Sequence[Row], names: Mapping[Node, str], style: Style
) -> list[tuple[str, str]]:
    """For each row the local derivative ("" where there is none) and the formula."""
    writer = _Writer(derivation, names, style)
    return [(writer.local(row), writer.formula(row)) for row in rows]


class _Writer:
    """The formulas of one explanation in one notation; rows are written in their order."""

    def __init__(self, derivation: Derivation, names: Mapping[Node, str], style: Style) -> None:
        self.derivation = derivation
        self.notation = Notation(derivation, style)
        self.style = style = self.notation.style
        self.page = self.notation.page
        forward = {n: name.piece(style) for n, name in derivation.naming.forward.items()}
        self.forward = Page(style, forward)
        """What a rule knows: a local derivative is made of forward steps."""
        for node, name in names.items():
            for page in (self.page, self.forward):
                page.name(node, style.symbol(name))

    def local(self, row: Row) -> str:
        """``∂h/∂z = 1 − h²``, or ``dZ = X dW`` where the derivative is no array that is read."""
        if row.link is None or row.link.local is None:
            return ""
        above, below = self._name(row.link.above), self._name(row.below)
        local: LocalDerivative = row.link.local
        page = self.forward if self.forward.size(local.node) <= SHORT else self.page
        if page.size(local.node) > LONGEST:
            return ""
        if local.change is None:
            left = self.style.derivative(above, (below,)).text
            return self.style.equation(left, page.text(local.node))
        differential = self.style.function("d")
        page.name(local.change, Piece(differential + below, CALL, False))
        return self.style.equation(differential + above, page.text(local.node))

    def formula(self, row: Row) -> str:
        """``∂L/∂w = 2Xᵀr``."""
        node = row.node
        if row.kind == "given":
            return self.page.text(node)
        if row.kind in ("forward", "shared"):
            return self.style.equation(self._name(node), self._definition(node))
        if row.kind == "path":
            return self.style.path(row.number, self._short(node))
        name = self._name(row.below)
        left = self.notation.derivative(name)
        naming = self.derivation.naming
        if naming.adjoint_of.get(node, (None,))[0] is row.below and row.kind != "start":
            meaning = self.notation.meaning(node)
            return self.style.equation(self._name(node), meaning, self._definition(node))
        result = self.style.equation(left, self._short(node))
        if node not in self.page.names and self.page.size(node) > NAMED_ADJOINT:
            self.page.name(node, Piece(left, CALL, False))
        return result

    @property
    def _more(self) -> str:
        return self.style.code("…")

    def _short(self, node: Node) -> str:
        return self.page.text(node) if self.page.size(node) <= LONGEST else self._more

    def _definition(self, node: Node) -> str:
        whole = self.page.size(node, own=True) <= LONGEST
        return self.page.definition(node) if whole else self._more

    def _name(self, node: Node) -> str:
        if node in self.page.names or not node.inputs:
            return self.page.text(node)
        return self.page.inside(node, CALL).text
