"""The named steps of a derivation: which nodes they are (``choice``), what they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sympy as sp

from ..bridge import to_sympy
from ..graph import Node, apply, walk
from .choice import ACTIVATIONS, Choice
from .names import Given, Name, Naming, name_steps

__all__ = ["ACTIVATIONS", "Given", "Name", "Naming", "choose", "fold"]


def choose(
    root: Node,
    gradients: Sequence[Node],
    adjoints: Mapping[Node, Node],
    rewritten: Iterable[Node] = (),
    symbols: Iterable[sp.Symbol] = (),
    given: Given | None = None,
) -> Naming:
    """Choose and name the steps of a derivation.

    Parameters
    ----------
    root : Node
        The loss.
    gradients : list of Node
    adjoints : dict
        ``{forward node: its adjoint}``, in the form that the gradients contain.
    rewritten : list of Node
        Nodes that a stability rule has put in; they become steps.
    symbols : list of Symbol
        Further symbols whose names are taken.
    given : Given, optional
        What the user calls parts of the loss.
    """
    given = given or Given()
    choice = Choice(root, gradients, adjoints)
    choice.named.update(n for n in rewritten if n in choice.users and n.inputs)
    choice.named |= given.wanted
    choice.named.update(n for n in given.titles if not choice.is_trivial(n))
    choice.name_layers()
    choice.name_probabilities()
    choice.name_shared()
    choice.name_origins()
    choice.name_heavy()
    return name_steps(choice, given, symbols)


# --- expressions over names --------------------------------------------------------------


def fold(node: Node, names: Mapping[Node, Name], own: bool = False) -> Any:
    """The SymPy expression of a node over the named ones.

    With ``own`` the node is spelled out even if it has a name itself.
    """
    if node in names and not own:
        return names[node].symbol
    new: dict[Node, Node] = {}
    for n in [*walk(node.inputs, names), node]:
        for operand in n.inputs:
            if operand in names and operand not in new:
                new[operand] = _leaf(names[operand].symbol, operand)
        inputs = tuple(new[i] for i in n.inputs)
        same = inputs == n.inputs
        new[n] = n if same else apply(n.operation, *inputs, attributes=n.attributes)
    return to_sympy([new[node]])[0]


def _leaf(symbol: sp.Symbol, node: Node) -> Node:
    return apply("symbol", attributes=(symbol, node.shape, node.dtype))
