"""Which layer a box belongs to.

A layer opens where a product takes in a parameter, and goes on to the next one: its products,
activations and all that follows. Layers in parallel, such as the gates of a recurrent cell, are
one. What only the loss reads at the end is the layer ``loss``. An adjoint belongs to the layer
of its forward step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .model import DrawnNode

__all__ = ["in_layers"]


def in_layers(
    nodes: Sequence[DrawnNode], opens: Mapping[int, str]
) -> tuple[tuple[DrawnNode, ...], tuple[str, ...]]:
    """The boxes with their layers, and the layers in order; none where there are less than two.

    Parameters
    ----------
    nodes : list of DrawnNode
        Named steps, in the order of evaluation.
    opens : dict
        For a forward step ``"product"`` where a product takes in a parameter, ``"parameter"``
        where something else does, ``"activation"`` for an activation.
    """
    depth = _depths(nodes, opens)
    deepest = max(depth.values(), default=0)
    if deepest < 2:
        return tuple(nodes), ()
    loss = deepest + 1
    for key in _only_in_loss(nodes, opens):
        depth[key] = loss
    _leaves(nodes, depth)
    _backward(nodes, depth)
    names = [f"layer {number}" for number in range(1, loss)] + ["loss"]
    placed = tuple(
        replace(n, layer=names[depth[n.key] - 1]) if n.key in depth else n for n in nodes
    )
    there = {n.layer for n in placed}
    return placed, tuple(name for name in names if name in there)


def _depths(nodes: Sequence[DrawnNode], opens: Mapping[int, str]) -> dict[int, int]:
    """How many layers have been opened on the longest way to a forward step, at least one."""
    root = max((n.key for n in nodes if n.role == "forward"), default=-1)
    wanted = {"product"} if "product" in opens.values() else {"product", "parameter"}
    depth: dict[int, int] = {}
    fed = {n.key for n in nodes if n.role == "data"}
    for node in nodes:
        if node.role != "forward":
            continue
        below = max((depth[i] for i in node.inputs if i in depth), default=0)
        # What reads parameters only, such as a penalty, is no layer.
        is_fed = any(i in fed for i in node.inputs)
        opening = is_fed and node.key != root and opens.get(node.key) in wanted
        depth[node.key] = below + opening
        if is_fed:
            fed.add(node.key)
    return {key: max(value, 1) for key, value in depth.items()}


def _only_in_loss(nodes: Sequence[DrawnNode], opens: Mapping[int, str]) -> set[int]:
    """Steps that nothing but the loss reads, down to the last layer's output."""
    forward = [n for n in nodes if n.role == "forward"]
    users: dict[int, list[int]] = {n.key: [] for n in forward}
    for node in forward:
        for i in node.inputs:
            if i in users:
                users[i].append(node.key)
    found: set[int] = set()
    for node in reversed(forward):
        last = node is forward[-1]
        kind = opens.get(node.key)
        ends = kind in ("product", "activation") or not all(u in found for u in users[node.key])
        if last or not ends:
            found.add(node.key)
    return found


def _leaves(nodes: Sequence[DrawnNode], depth: dict[int, int]) -> None:
    """With the first step that reads them; what none reads, with the first layer."""
    leaves = {n.key for n in nodes if n.phase == "leaf"}
    for node in nodes:
        if node.role == "forward":
            for i in node.inputs:
                if i in leaves:
                    depth[i] = min(depth.get(i, depth[node.key]), depth[node.key])
    for key in leaves:
        depth.setdefault(key, 1)


def _backward(nodes: Sequence[DrawnNode], depth: dict[int, int]) -> None:
    """Adjoints with their steps; what lies between with the one nearest to the loss it serves."""
    for node in reversed(nodes):
        if node.role not in ("backward", "gradient"):
            continue
        own = depth.get(node.adjoint_of) if node.adjoint_of is not None else depth.get(node.key)
        if own is None:
            own = max((depth[i] for i in node.inputs if i in depth), default=1)
        depth[node.key] = own
        for i in node.inputs:
            reader = nodes[i]
            if reader.role == "backward" and reader.adjoint_of is None:
                depth[i] = max(depth.get(i, 0), own)
