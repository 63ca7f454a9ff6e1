"""Formulas of nodes as short text, for the comments of generated source."""

from __future__ import annotations

from collections.abc import Callable

from symdiff.graph import Node

_INFIX = {
    "add": (" + ", 1), "subtract": (" - ", 1), "multiply": (" * ", 2), "divide": (" / ", 2),
    "matmul": (" @ ", 2), "power": ("**", 4), "equal": (" == ", 0), "not_equal": (" != ", 0),
    "less": (" < ", 0), "less_equal": (" <= ", 0),
}  # fmt: skip

_DEPTH = 12


def formula(node: Node, name: Callable[[Node], str | None]) -> str:
    """The formula of a node over the names of what it reads."""
    return _text(node, name, 0, _DEPTH, top=True)


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
