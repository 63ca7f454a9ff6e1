"""What a rewrite rule is, and the words that the rules are written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .graph import Node
from .structural import broadcast_to

__all__ = ["Rule", "factors_of", "is_a", "same_shape", "terms_of"]


@dataclass(frozen=True)
class Rule:
    """One rewrite: the operations it looks at, what it does, and its name in a derivation.

    Attributes
    ----------
    name : str
    operations : tuple of str
    apply : callable
        Takes a node whose inputs are already rewritten and gives its replacement, or None.
    title : callable, optional
        ``(before, after) -> name``: a name that says more about one rewrite.
    """

    name: str
    operations: tuple[str, ...]
    apply: Callable[[Node], Node | None]
    title: Callable[[Node, Node], str | None] | None = None

    def told(self, before: Node, after: Node) -> Rule:
        """The rule under the name that a derivation gives to one rewrite."""
        name = None if self.title is None else self.title(before, after)
        return self if name is None else replace(self, name=name)


def is_a(node: Node, operation: str) -> bool:
    """True for a node of this operation."""
    return node.operation == operation


def same_shape(node: Node, result: Node) -> Node:
    """Give a replacement the shape of what it replaces."""
    return broadcast_to(result, node.shape)


def terms_of(node: Node) -> list[Node]:
    """The operands of a sum, or the node alone."""
    return list(node.inputs) if is_a(node, "add") else [node]


def factors_of(node: Node) -> list[Node]:
    """The factors of a product, from left to right."""
    result: list[Node] = []
    stack = [node]
    while stack:
        factor = stack.pop()
        if is_a(factor, "multiply"):
            stack.extend(reversed(factor.inputs))
        else:
            result.append(factor)
    return result
