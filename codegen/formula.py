"""Formulas of nodes as short text, for the comments of generated source."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from symdiff.graph import Node

from .ir_walk import statements
from .layout import used_buffers, whole_body
from .loop_ir import Phase
from .names import comment

_INFIX = {
    "add": (" + ", 1), "subtract": (" - ", 1), "multiply": (" * ", 2), "divide": (" / ", 2),
    "matmul": (" @ ", 2), "power": ("**", 4), "equal": (" == ", 0), "not_equal": (" != ", 0),
    "less": (" < ", 0), "less_equal": (" <= ", 0),
}  # fmt: skip

_DEPTH = 12


class Formula(str):
    """The text of a formula that knows the node it is of.

    Passes hand it on with the statements that compute the node; it ends as a comment, and
    :func:`by_comment` leads from there back to the node.
    """

    __slots__ = ("node",)
    node: Node

    def __new__(cls, text: str, node: Node) -> Formula:
        """The text, and what it is of."""
        made = super().__new__(cls, text)
        made.node = node
        return made


def formula(node: Node, name: Callable[[Node], str | None]) -> Formula:
    """The formula of a node over the names of what it reads."""
    return Formula(_text(node, name, 0, _DEPTH, top=True), node)


def by_comment(phases: Iterable[Phase]) -> dict[str, Node | None]:
    """The nodes that the comments of a kernel stand for; None where a comment is cut short.

    Names are unique in a kernel, so equal formulas are of equal nodes, unless they are too long to
    be written in full.
    """
    found: dict[str, Node | None] = {}
    for phase in phases:
        texts = [getattr(s, "formula", "") for s in statements(whole_body(phase))]
        texts += [b.formula for b in used_buffers(phase)]
        for text in texts:
            if isinstance(text, Formula):
                key = comment(text)
                found[key] = text.node if found.get(key, text.node) is text.node else None
    return found


def _text(
    node: Node, name: Callable[[Node], str | None], level: int, depth: int, top: bool = False
) -> str:
    known = None if top else name(node)
    if known is not None:
        return known
    if depth == 0:
        return "…"

    def part(operand: Node, inner: int = 0) -> str:
        return _text(operand, name, inner, depth - 1)

    operation = node.operation
    if operation == "number" and node.attributes[0].is_Float:
        return f"{float(node.attributes[0]):.15g}"
    if operation in ("number", "size", "symbol"):
        return str(node.attributes[0])
    if operation in ("array", "arange"):
        return "constant" if operation == "array" else f"arange({node.attributes[0]})"
    if operation in _INFIX:
        symbol, own = _INFIX[operation]
        left = part(node.inputs[0], own)
        rest = [part(i, own + (operation != "add")) for i in node.inputs[1:]]
        body = symbol.join([left, *rest])
        return f"({body})" if own < level else body
    if operation == "negative":
        body = f"-{part(node.inputs[0], 3)}"
        return f"({body})" if level > 1 else body
    if operation in ("reshape", "broadcast_to"):
        return part(node.inputs[0], level)
    if operation == "transpose":
        return f"{part(node.inputs[0], 5)}.T"
    arguments = ", ".join(part(i) for i in node.inputs)
    if operation in ("sum", "prod", "max", "min", "argmax", "argmin"):
        axes = node.attributes[0]
        if len(axes) < node.inputs[0].rank:
            return f"{operation}({arguments}, axis={axes[0] if len(axes) == 1 else axes})"
    return f"{operation}({arguments})"
