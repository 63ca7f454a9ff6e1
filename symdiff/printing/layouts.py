"""THE table of layouts: how each operation is written, in any notation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sympy as sp

from ..graph import Node, number
from ..shapes import Shape, reduce_shape, text
from ..textbook.chains import vector_of
from .infix import dimension_text, key_entries, new_axes
from .matrices import (
    inverse_layout,
    is_identity,
    matmul_layout,
    solve_layout,
    transpose_layout,
    transposed,
)
from .products import (
    RELATIONS,
    bracket,
    masks,
    product_layout,
    sum_layout,
    unstretched,
)
from .recurrences import scan_layout
from .style import ATOM, CALL, JUXTAPOSED, POWER, PREFIX, PRODUCT, SUM, Piece

if TYPE_CHECKING:
    from .page import Page

__all__ = ["LAYOUTS", "call_layout", "is_log_softmax", "is_softmax", "shown_inputs"]


# --- matrices ---------------------------------------------------------------------------


def _logdet(page: Page, node: Node) -> Piece:
    inner = page.style.parentheses(page.text(node.inputs[0]))
    absolute = page.style.bars(page.style.function("det") + inner)
    return Piece(page.style.function("log") + absolute, CALL, short=False)


# --- powers, functions, choices ----------------------------------------------------------


def _power(page: Page, node: Node) -> Piece:
    base, exponent = node.inputs
    inner = page.inside(base, ATOM)
    return Piece(page.style.power(inner.text, page.piece(exponent)), POWER, inner.short)


def _sqrt(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    squared = _square_sum(page, x) if page.opens(x) else None
    if squared is not None:
        return Piece(page.style.norm(page.text(squared), squared.rank))
    return page.style.root(page.piece(x))


def _square_sum(page: Page, node: Node) -> Node | None:
    """``x`` where the node is ``sum(x**2)`` over all axes."""
    if node.operation != "sum" or _axes(node) is not None:
        return None
    square = _summed(page, node)
    if not page.opens(square):
        return None
    if square.operation == "power" and square.inputs[1].is_number(2):
        return square.inputs[0] if square.inputs[0].shape == square.shape else None
    return None


def _abs(page: Page, node: Node) -> Piece:
    return Piece(page.style.bars(page.text(node.inputs[0])), ATOM)


def call_layout(page: Page, node: Node) -> Piece:
    """An operation as a function of its inputs."""
    inner = page.style.listed([page.text(i) for i in node.inputs])
    return Piece(page.style.function(node.operation) + page.style.parentheses(inner), CALL, False)


def is_softmax(node: Node) -> bool:
    """``exp(z - logsumexp(z))`` over the last axis."""
    return node.operation == "exp" and is_log_softmax(node.inputs[0])


def _exp(page: Page, node: Node) -> Piece:
    if is_softmax(node):
        return _named_call(page, "softmax", node.inputs[0].inputs[0])
    return call_layout(page, node)


def _subtract(page: Page, node: Node) -> Piece:
    if is_log_softmax(node):
        return _named_call(page, "log_softmax", node.inputs[0])
    return sum_layout(page, node)


def is_log_softmax(node: Node) -> bool:
    """``z - logsumexp(z)`` over the last axis."""
    if node.operation != "subtract":
        return False
    z, total = node.inputs
    while total.operation in ("reshape", "broadcast_to"):
        total = total.inputs[0]
    if total.operation != "logsumexp" or total.inputs[0] is not z:
        return False
    kept = node.inputs[1].rank == z.rank or z.rank == 1
    return kept and total.attributes[0] == (z.rank - 1,)


def shown_inputs(node: Node) -> tuple[Node, ...]:
    """The operands that are read where a node is written: of softmax(z) it is z alone."""
    if is_softmax(node):
        node = node.inputs[0]
    return node.inputs[:1] if is_log_softmax(node) else node.inputs


def _named_call(page: Page, name: str, *arguments: Node) -> Piece:
    inner = page.style.listed([page.text(a) for a in arguments])
    return Piece(page.style.function(name) + page.style.parentheses(inner), CALL, False)


def _where(page: Page, node: Node) -> Piece:
    condition, yes, no = node.inputs
    if masks(node):
        chosen = bracket(page, condition)
        if yes.is_number(1):
            return chosen
        value = page.piece(unstretched(page, yes))
        if not unstretched(page, yes).rank or not condition.rank:
            return page.side_by_side(page.wrap(value, JUXTAPOSED), chosen)
        joined = page.wrap(value, PRODUCT).text + page.style.hadamard + chosen.text
        return Piece(joined, PRODUCT, short=False)
    parts = [page.text(condition), page.text(yes), page.text(no)]
    inner = page.style.parentheses(page.style.listed(parts))
    return Piece(page.style.function("where") + inner, CALL, False)


_MIRRORED = {"less": "greater", "less_equal": "greater_equal"}


def _relation(page: Page, node: Node) -> Piece:
    a, b = node.inputs
    name = node.operation
    if name in _MIRRORED and a.operation in ("number", "size"):
        a, b, name = b, a, _MIRRORED[name]
    inner = page.text(a) + page.style.relations[name] + page.text(b)
    return Piece(page.style.brackets(inner))


def _logical(page: Page, node: Node) -> Piece:
    parts = []
    for operand in node.inputs:
        written_out = page.opens(operand) and operand.operation.startswith("logical")
        piece = page.piece(operand) if written_out else bracket(page, operand)
        parts.append(page.wrap(piece, CALL).text)
    if node.operation == "logical_not":
        return Piece(page.style.relations["logical_not"] + parts[0], POWER, False)
    return Piece(page.style.relations[node.operation].join(parts), SUM, False)


# --- reductions --------------------------------------------------------------------------


def _sum(page: Page, node: Node) -> Piece:
    squared = _square_sum(page, node)
    if squared is not None and not node.attributes[1]:
        norm = page.style.norm(page.text(squared), squared.rank)
        return Piece(page.style.power(norm, page.style.literal(sp.Integer(2))), POWER)
    if page.opens(node.inputs[0]) and _is_diagonal(node.inputs[0]) and not node.rank:
        return _named_call(page, "tr", node.inputs[0].inputs[0])
    operator = page.style.operator("sum", _axes(node))
    inner = page.inside(_summed(page, node), PREFIX)
    return Piece(f"{operator} {inner.text}", PREFIX, short=False)


def _summed(page: Page, node: Node) -> Node:
    """What a sum adds up: of a sum over all axes of sums, the terms of these."""
    (x,) = node.inputs
    while _axes(node) is None and x.operation == "sum" and page.opens(x):
        (x,) = x.inputs
    return x


def _is_diagonal(node: Node) -> bool:
    """``A[arange(n), arange(n)]`` of a square matrix."""
    if node.operation != "index" or node.attributes[0] != (("tensor", 0), ("tensor", 1)):
        return False
    matrix, rows, columns = node.inputs
    whole = rows.operation == "arange" and rows.shape == matrix.shape[:1] == matrix.shape[1:]
    return rows is columns and whole


def _norm(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    if _axes(node) is not None:
        return _reduction(page, node)
    return Piece(page.style.norm(page.text(x), x.rank))


def _axes(node: Node) -> tuple[int, ...] | None:
    axes: tuple[int, ...] = node.attributes[0]
    return None if len(axes) == node.inputs[0].rank else axes


def _reduction(page: Page, node: Node) -> Piece:
    operator = page.style.operator(node.operation, _axes(node))
    inner = page.style.parentheses(page.text(node.inputs[0]))
    return Piece(operator + inner, CALL, short=False)


def _along(page: Page, node: Node) -> Piece:
    axes = None if node.rank == 1 else node.attributes
    inner = page.style.parentheses(page.text(node.inputs[0]))
    return Piece(page.style.operator(node.operation, axes) + inner, CALL, short=False)


# --- data movement and leaves ------------------------------------------------------------


def _reshape(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    while not node.rank and page.opens(x) and (x.operation == "reshape" or _is_diagonal(x)):
        x = x.inputs[0]  # the one element
    if not x.rank or not node.rank:
        return page.piece(x)
    kept = x.operation in _REDUCED and reduce_shape(x.inputs[0].shape, x.attributes[0], True)
    if page.opens(x) and node.shape == kept:  # where it is spelled out, axes keep their places
        return page.piece(x)
    if node.rank == 2 and x.rank == 1 and node.shape[0] == 1:
        return transposed(page, x)
    entries = new_axes(x.shape, node.shape)
    if entries is not None:
        whole = next((i for i, entry in enumerate(entries) if entry != ":"), len(entries))
        entries = entries if whole <= 2 else ["...", *entries[whole:]]
        inner = page.inside(x, ATOM)
        return Piece(inner.text + page.style.code(f"[{', '.join(entries)}]"), POWER, False)
    listed = page.style.listed([page.text(x), page.style.code(text(node.shape))])
    return Piece(page.style.function("reshape") + page.style.parentheses(listed), CALL, False)


_REDUCED = {"sum", "prod", "max", "min", "logsumexp", "norm", "argmax", "argmin"}


def _broadcast(page: Page, node: Node) -> Piece:
    (x,) = node.inputs
    ones = Piece(page.style.ones)
    value = x.attributes[0] if x.is_number() and x.dtype != "bool" else None
    if not node.rank or (value is not None and value.is_zero):
        return page.piece(x)
    if value is not None and abs(value) in (1, 1.0):
        return replace(ones, negative=bool(value.is_negative))
    if not x.rank:
        inner = page.piece(x)
        if inner.level == PRODUCT:
            spelled = inner.text + page.style.dot + ones.text
            return Piece(spelled, PRODUCT, short=False, negative=inner.negative)
        positive = page.wrap(replace(inner, negative=False), JUXTAPOSED)
        return replace(page.side_by_side(positive, ones), negative=inner.negative)
    if node.rank == 2 and x.rank == 1:  # every row is x
        return page.side_by_side(ones, transposed(page, x))
    column = vector_of(x, 0)
    if node.rank == 2 and column is not None:
        row = Piece(page.style.transposed(page.style.ones), POWER)
        return page.side_by_side(page.inside(column, JUXTAPOSED), row)
    return _named_call(page, "broadcast", x)


def _index(page: Page, node: Node) -> Piece:
    x, *indices = node.inputs
    if _is_diagonal(node):
        return _named_call(page, "diag", x)
    inner = page.inside(x, ATOM)
    return Piece(inner.text + _key(page, node.attributes[0], x.shape, indices), POWER, False)


def _key(page: Page, key: Sequence[Any], shape: Shape, indices: Sequence[Node]) -> str:
    """What stands in brackets behind a tensor: indices as formulas, slices as they are typed."""
    code = page.style.code
    entries = key_entries(key, shape, [""] * len(indices))
    if not indices:
        return code(f"[{', '.join(entries)}]")
    parts = [
        page.text(indices[entry[1]]) if entry[0] == "tensor" else code(written)
        for entry, written in zip(key, entries, strict=False)
    ]
    return code("[") + page.style.listed(parts) + code("]")


def _index_add(page: Page, node: Node) -> Piece:
    x, *indices = node.inputs
    key, shape = node.attributes
    if _pads(key):
        ends = [(e[1], d - e[1] - e[2]) for e, d in zip(key, shape, strict=True)]
        around = [str(a) if a == b else f"({a}, {b})" for a, b in ends]
        while len(around) > 1 and around[0] == "0":
            del around[0]
        inner = page.style.listed([page.text(x), page.style.code("×".join(around))])
        return Piece(page.style.function("pad") + page.style.parentheses(inner), CALL, False)
    name = page.style.function("scatter") + page.style.parentheses(page.text(x))
    return Piece(name + _key(page, key, shape, indices), CALL, False)


def _pads(key: Sequence[tuple[object, ...]]) -> bool:
    """True for slices of step 1 only: zeros are put around the values."""
    return all(entry[0] == "slice" and entry[3] == 1 for entry in key)


def _concatenate(page: Page, node: Node) -> Piece:
    (axis,) = node.attributes
    parts = [page.text(i) for i in node.inputs]
    if node.rank == 1 or (node.rank == 2 and axis == 1):
        return Piece(page.style.brackets(page.style.listed(parts)))
    if node.rank == 2:
        return Piece(page.style.brackets(page.style.listed(parts, ";")))
    operator = page.style.operator("concatenate", (axis,))
    return Piece(operator + page.style.parentheses(page.style.listed(parts)), CALL, False)


def _one_hot(page: Page, node: Node) -> Piece:
    (labels,) = node.inputs
    if is_identity(node):
        return Piece(page.style.identity)
    return _named_call(page, "onehot", labels)


_WINDOWED = {
    "convolve": "conv", "convolve_transposed": "convᵀ", "convolve_kernel": "corr",
    "windows": "windows", "overlap_add": "overlap_add",
}  # fmt: skip


def _windowed(page: Page, node: Node) -> Piece:
    parts = [page.text(i) for i in node.inputs]
    sizes, strides = node.attributes if node.operation == "windows" else ((), node.attributes[0])
    if sizes:
        parts.append(page.style.code("×".join(map(str, sizes))))
    if any(s != 1 for s in strides):
        stride = str(strides[0]) if len(set(strides)) == 1 else text(strides)
        parts.append(page.style.function("stride ") + page.style.code(stride))
    name = page.style.function(_WINDOWED[node.operation])
    return Piece(name + page.style.parentheses(page.style.listed(parts)), CALL, False)


def _random_uniform(page: Page, node: Node) -> Piece:
    return page.style.symbol("uniform")


def _symbol(page: Page, node: Node) -> Piece:
    return page.style.symbol(node.attributes[0].name)


def _number(page: Page, node: Node) -> Piece:
    value = node.attributes[0]
    if node.dtype == "bool":
        return page.style.literal(sp.Integer(int(bool(value))))
    if value.is_extended_negative:
        return replace(_number(page, number(-value)), negative=True)
    if value.is_Rational and not value.is_Integer:
        above, below = (page.style.literal(sp.Integer(v)) for v in (value.p, value.q))
        return page.style.fraction(above, below)
    return page.style.literal(value)


def _array(page: Page, node: Node) -> Piece:
    value = node.attributes[0].value
    shown = [page.style.code(f"{v:g}") for v in value.ravel()[:4]]
    more = [page.style.code("…")] if value.size > 4 else []
    return Piece(page.style.brackets(page.style.listed([*shown, *more])), ATOM, False)


def _size(page: Page, node: Node) -> Piece:
    return page.style.symbol(dimension_text(node.attributes[0]))


def _arange(page: Page, node: Node) -> Piece:
    inner = page.style.symbol(dimension_text(node.attributes[0])).text
    return Piece(page.style.function("arange") + page.style.parentheses(inner), CALL, False)


LAYOUTS: dict[str, Callable[[Page, Node], Piece]] = {
    "add": sum_layout,
    "subtract": _subtract,
    "negative": product_layout,
    "multiply": product_layout,
    "divide": product_layout,
    "power": _power,
    "sqrt": _sqrt,
    "abs": _abs,
    "exp": _exp,
    "where": _where,
    **dict.fromkeys(RELATIONS, _relation),
    **dict.fromkeys(["logical_and", "logical_or", "logical_not"], _logical),
    "matmul": matmul_layout,
    "transpose": transpose_layout,
    "solve": solve_layout,
    "det": call_layout,
    "cholesky": call_layout,
    "inv": inverse_layout,
    "logdet": _logdet,
    "sum": _sum,
    "norm": _norm,
    **dict.fromkeys(_REDUCED - {"sum", "norm"}, _reduction),
    **dict.fromkeys(["prod_others", "cumsum"], _along),
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "index": _index,
    "index_add": _index_add,
    "concatenate": _concatenate,
    **dict.fromkeys(_WINDOWED, _windowed),
    "scan": scan_layout,
    "random_uniform": _random_uniform,
    "one_hot": _one_hot,
    "symbol": _symbol,
    "number": _number,
    "array": _array,
    "size": _size,
    "arange": _arange,
}
"""How operations are laid out; every other one is written as a function of its inputs."""
