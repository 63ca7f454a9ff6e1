"""Products reordered where that is cheaper: a rewrite of a whole graph, after differentiation.

A layer that is linear need not be formed for every row of a batch where all that reads it is
linear, too: ``(X W + b) V`` is ``X (W V) + b V``, and ``(X W + b)ᵀ r`` is ``Wᵀ (Xᵀ r) + b Σ r``,
where only ``Xᵀ r`` and ``Σ r`` touch the rows. A move is kept where it makes the whole graph
cheaper, shared parts counted once, so a graph never becomes dearer, and one in which nothing is
linear stays the same object.

================  ==============================================================
``costs.py``      what a node costs
``views.py``      vectors, stretched operands and ones as matrices
``forms.py``      sums of products
``workspace.py``  a graph that changes node by node
``rules.py``      THE table of moves
================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..graph import Node
from ..shapes import Size
from .costs import ROWS, Costs
from .rules import REORDERING, Proposal
from .workspace import Workspace

__all__ = ["REORDERING", "ROWS", "Costs", "Reordering", "reorder"]


MOST_MOVES = 8
"""Moves for each node of a graph."""


WORTHWHILE = 0.95
"""The part of the cost that may be left: what is saved must pay for another pass over memory."""


@dataclass(frozen=True)
class Reordering:
    """What became of a graph.

    Attributes
    ----------
    roots : list of Node
        The given roots themselves where nothing was gained.
    applied : list
        ``(name of the rule, node before, node after)``, in the order in which it was done.
    before, after : int
        Multiplications of the graph.
    rows : Size or None
        The size that counts rows.
    sizes : dict
        What symbolic sizes were taken to be.
    """

    roots: list[Node]
    applied: list[tuple[str, Node, Node]] = field(default_factory=list)
    before: int = 0
    after: int = 0
    rows: Any = None
    sizes: dict[Size, int] = field(default_factory=dict)


def reorder(
    roots: Sequence[Node], rows: Any = None, sizes: Mapping[Size, int] | None = None
) -> Reordering:
    """Compute the same with fewer operations, by other products.

    Parameters
    ----------
    roots : list of Node
        All that is computed together: a loss and its gradients.
    rows : Size, optional
        The size that counts rows; taken to be large where ``sizes`` does not tell it.
    sizes : mapping, optional
        Values of symbolic sizes.
    """
    known = dict(sizes or {})
    if rows is not None:
        known.setdefault(rows, ROWS)
    costs = Costs(known)
    workspace = Workspace(roots, costs)
    applied: list[tuple[str, Node, Node]] = []
    limit = MOST_MOVES * len(workspace.live)
    done = -1
    while done < len(applied) < limit:  # until nothing gains in the whole graph
        done = len(applied)
        pending = list(workspace.live)
        while pending and len(applied) < limit:
            pending = _round(workspace, pending, applied)
    new = workspace.roots() if applied else list(roots)
    if not applied or costs.total(new) > WORTHWHILE * costs.total(roots):
        return Reordering(list(roots), rows=rows, sizes=known)
    before, after = costs.multiplications(roots), costs.multiplications(new)
    return Reordering(new, applied, before, after, rows, known)


def _proposals(workspace: Workspace, node: Node) -> list[tuple[int, int]]:
    """``(gain, number of the move)`` of what makes the graph cheaper."""
    found = []
    for number, move in enumerate(REORDERING):
        if node.operation in move.operations:
            proposal = move.propose(workspace, node)
            gain = workspace.gain(proposal.replacements) if proposal else 0
            if gain > 0:
                found.append((gain, number))
    return found


def _round(
    workspace: Workspace, nodes: Sequence[Node], applied: list[tuple[str, Node, Node]]
) -> list[Node]:
    """Make the moves that gain, the largest gain first; gives the nodes to look at next."""
    found = [
        (gain, -position, number, node)
        for position, node in enumerate(nodes)
        if node in workspace.live
        for gain, number in _proposals(workspace, node)
    ]
    found.sort(key=lambda entry: entry[:3], reverse=True)
    touched: dict[Node, None] = {}
    for _, _, number, node in found:
        if node not in workspace.live:
            continue
        proposal: Proposal | None = REORDERING[number].propose(workspace, node)
        if proposal is None or workspace.gain(proposal.replacements) <= 0:
            continue
        for old, new in proposal.replacements.items():
            applied.append((proposal.names[old], old, new))
        new_nodes = workspace.replace(proposal.replacements)
        for new_node in [*new_nodes, *proposal.replacements.values()]:
            touched.update(dict.fromkeys(_around(workspace, new_node)))
    return list(touched)


def _around(workspace: Workspace, node: Node) -> list[Node]:
    """A node, its operands and its readers, past transposes."""
    if node not in workspace.live:
        return []
    near = [node]
    for operand in workspace.inputs(node):
        near.append(operand)
        if operand.operation in _PASSING:
            near += workspace.inputs(operand)
    for reader in workspace.live[node]:
        near.append(reader)
        near += [r for r in workspace.live[reader] if reader.operation in _PASSING]
    return [n for n in near if n in workspace.live]


_PASSING = ("transpose", "reshape", "broadcast_to", "add", "subtract", "negative")
