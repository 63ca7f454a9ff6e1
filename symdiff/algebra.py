"""Algebraic rules: what differentiation leaves behind is removed.

Products with 1, sums with 0, double transposes; numbers and signs go in front.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from .elementwise import ELEMENTWISE
from .graph import Node, apply, number
from .rules import Rule, is_a, same_shape, terms_of
from .shapes import broadcast
from .structural import broadcast_to, reshape, signed_sum, size_node, transpose

__all__ = ["ALGEBRA", "MODEST"]

_FOLD: dict[str, Callable[..., sp.Expr]] = {
    "add": lambda *a: sp.Add(*a),
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "negative": lambda a: -a,
}


def _fold(node: Node) -> Node | None:
    if not all(i.is_number() and i.dtype != "bool" for i in node.inputs):
        return None
    values = [i.attributes[0] for i in node.inputs]
    if all(v.is_Rational for v in values):
        return number(_FOLD[node.operation](*values))
    if is_a(node, "multiply") and all(v.is_Rational or v.is_Float for v in values):
        result = float(values[0]) * float(values[1])
        return number(sp.Float(result)) if MODEST[0] < abs(result) < MODEST[1] else None
    return None


MODEST = (1e-100, 1e100)
"""Products of floats that are folded: what they multiply may be large or small itself."""


def _is_constant(node: Node) -> bool:
    """A literal number, a size, or a product of these: a factor that no data can make extreme."""
    if is_a(node, "multiply"):
        return all(_is_constant(i) for i in node.inputs)
    return is_a(node, "size") or (node.is_number() and node.dtype != "bool")


def _add(node: Node) -> Node | None:
    kept: list[Node] = []
    for term in node.inputs:
        if term.is_number(0):
            continue
        kept.extend(terms_of(term))
    if len(kept) == len(node.inputs):
        return None
    if not kept:
        return same_shape(node, number(0))
    return same_shape(node, kept[0] if len(kept) == 1 else apply("add", *kept))


def _add_negative(node: Node) -> Node | None:
    """A person writes ``a - b``, not ``a + (-b)``."""
    minus = [t.inputs[0] for t in node.inputs if is_a(t, "negative")]
    if not minus:
        return None
    plus = [t for t in node.inputs if not is_a(t, "negative")]
    return signed_sum(plus, minus) if plus else apply("negative", apply("add", *minus))


def _common_factor(node: Node) -> Node | None:
    """``a/n - b/n`` as ``(a - b)/n``, and the same with a constant factor."""
    kind = node.inputs[0].operation
    if kind not in ("divide", "multiply") or any(t.operation != kind for t in node.inputs):
        return None
    first, second = zip(*(t.inputs for t in node.inputs), strict=True)
    shared, parts = (second, first) if kind == "divide" else (first, second)
    if len(set(shared)) != 1 or not _is_constant(shared[0]):
        return None
    combined = apply(node.operation, *parts)
    pair = (combined, shared[0]) if kind == "divide" else (shared[0], combined)
    return apply(kind, *pair)


def _subtract_zero(node: Node) -> Node | None:
    a, b = node.inputs
    if b.is_number(0):
        return same_shape(node, a)
    if a.is_number(0):
        return same_shape(node, apply("negative", b))
    if is_a(b, "negative"):
        return apply("add", a, b.inputs[0])
    return None


def _multiply(node: Node) -> Node | None:
    a, b = node.inputs
    for x, y in ((a, b), (b, a)):
        if x.is_number(0):
            return same_shape(node, number(0))
        if x.is_number(1):
            return same_shape(node, y)
        if x.is_number(-1):
            return same_shape(node, apply("negative", y))
        if is_a(x, "negative"):
            return apply("negative", apply("multiply", x.inputs[0], y))
        if is_a(x, "divide") and x.inputs[0].is_number(1):
            return apply("divide", y, x.inputs[1])
        if is_a(x, "divide") and _is_constant(x.inputs[1]) and not _is_constant(y):
            return apply("divide", apply("multiply", x.inputs[0], y), x.inputs[1])
    # numbers first, gathered: (x * 2) * 3 -> 6 * x
    if b.is_number() and not a.is_number():
        return apply("multiply", b, a)
    if a.is_number() and is_a(b, "multiply") and b.inputs[0].is_number():
        folded = _fold(apply("multiply", a, b.inputs[0]))
        return None if folded is None else apply("multiply", folded, b.inputs[1])
    if not a.is_number() and is_a(b, "multiply") and b.inputs[0].is_number():
        return apply("multiply", b.inputs[0], apply("multiply", a, b.inputs[1]))
    if is_a(a, "multiply") and a.inputs[0].is_number():
        return apply("multiply", a.inputs[0], apply("multiply", a.inputs[1], b))
    return None


def _divide_one(node: Node) -> Node | None:
    a, b = node.inputs
    if b.is_number(1):
        return same_shape(node, a)
    if a.is_number(0):
        return same_shape(node, number(0))
    if is_a(a, "negative"):
        return apply("negative", apply("divide", a.inputs[0], b))
    if is_a(a, "multiply") and a.inputs[0].is_number() and b.is_number():
        return _times_rational(a.inputs[0].attributes[0] / b.attributes[0], a.inputs[1])
    if is_a(a, "multiply") and a.inputs[0].is_number() and is_a(b, "multiply"):
        number_, rest = b.inputs
        if number_.is_number():
            ratio = a.inputs[0].attributes[0] / number_.attributes[0]
            scaled = _times_rational(ratio, a.inputs[1])
            return None if scaled is None else apply("divide", scaled, rest)
    if is_a(a, "divide") and _is_constant(a.inputs[1]) and _is_constant(b):
        return apply("divide", a.inputs[0], apply("multiply", b, a.inputs[1]))
    return None


def _times_rational(factor: sp.Expr, x: Node) -> Node | None:
    """``x`` times a fraction that is in lowest terms where it is simpler than it was."""
    if not factor.is_Rational or 1 not in (abs(factor.p), factor.q):
        return None
    if factor.q == 1:
        return apply("multiply", number(factor), x)
    result = apply("divide", x, number(factor.q))
    return result if factor.p > 0 else apply("negative", result)


def _negative(node: Node) -> Node | None:
    (x,) = node.inputs
    if is_a(x, "negative"):
        return x.inputs[0]
    if is_a(x, "subtract"):
        return apply("subtract", x.inputs[1], x.inputs[0])
    return None


def _power(node: Node) -> Node | None:
    base, exponent = node.inputs
    if exponent.is_number(1):
        return same_shape(node, base)
    if exponent.is_number(0):
        return same_shape(node, number(1))
    if exponent.is_number(sp.Rational(1, 2)):
        return apply("sqrt", base)
    if exponent.is_number() and exponent.attributes[0].is_negative:
        positive = apply("power", base, number(-exponent.attributes[0]))
        return apply("divide", number(1), _power(positive) or positive)
    return None


def _transpose(node: Node) -> Node | None:
    (x,) = node.inputs
    (permutation,) = node.attributes
    if permutation == tuple(range(len(permutation))):
        return x
    if is_a(x, "transpose"):
        return transpose(x.inputs[0], [x.attributes[0][p] for p in permutation])
    return None


def _reshape(node: Node) -> Node | None:
    (x,) = node.inputs
    if is_a(x, "reshape"):
        return reshape(x.inputs[0], node.shape)
    if is_a(x, "broadcast_to") and not x.inputs[0].shape:
        return broadcast_to(x.inputs[0], node.shape)
    if is_a(x, "broadcast_to") and x.shape == (1,) * (x.rank - x.inputs[0].rank) + (
        x.inputs[0].shape
    ):
        return reshape(x.inputs[0], node.shape)
    added = node.rank - x.rank
    if added > 0 and node.shape == (1,) * added + x.shape:
        return broadcast_to(x, node.shape)
    return x if x.shape == node.shape else None


def _linear(node: Node) -> Node | None:
    """A sign or a constant factor is taken out of a sum or a matrix product."""
    for position, x in enumerate(node.inputs):

        def around(inner: Node, position: int = position) -> Node:
            inputs = (*node.inputs[:position], inner, *node.inputs[position + 1 :])
            return apply(node.operation, *inputs, attributes=node.attributes)

        if is_a(x, "negative"):
            return apply("negative", around(x.inputs[0]))
        if is_a(x, "multiply") and _is_constant(x.inputs[0]) and x.inputs[1].shape == x.shape:
            return apply("multiply", x.inputs[0], around(x.inputs[1]))
        if is_a(x, "divide") and _is_constant(x.inputs[1]):
            return apply("divide", around(x.inputs[0]), x.inputs[1])
    return None


def _broadcast(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    if is_a(x, "broadcast_to"):
        return broadcast_to(x.inputs[0], node.shape)
    return None


def _absorb_broadcast(node: Node) -> Node | None:
    """An elementwise operand need not be stretched where another one has the shape."""
    for position, operand in enumerate(node.inputs):
        if not is_a(operand, "broadcast_to"):
            continue
        inner = operand.inputs[0]
        others = [i.shape for k, i in enumerate(node.inputs) if k != position]
        if broadcast(inner.shape, *others) == node.shape:
            inputs = (*node.inputs[:position], inner, *node.inputs[position + 1 :])
            return apply(node.operation, *inputs, attributes=node.attributes)
    return None


def _hoist_broadcast(node: Node) -> Node | None:
    """An elementwise operation on nothing but stretched operands is done before stretching."""
    if not any(is_a(i, "broadcast_to") for i in node.inputs):
        return None
    inner = [i.inputs[0] if is_a(i, "broadcast_to") else i for i in node.inputs]
    shape = broadcast(*(i.shape for i in inner))
    if shape is None or shape == node.shape:
        return None
    return broadcast_to(apply(node.operation, *inner, attributes=node.attributes), node.shape)


def _is_identity(node: Node) -> bool:
    return (
        is_a(node, "one_hot")
        and is_a(node.inputs[0], "arange")
        and (node.shape[0] == node.shape[1])
    )


def _matmul(node: Node) -> Node | None:
    """A product with the identity matrix."""
    a, b = node.inputs
    if _is_identity(a):
        return b
    if _is_identity(b) or (is_a(b, "transpose") and _is_identity(b.inputs[0])):
        return a
    return None


def _scatter_diagonal(node: Node) -> Node | None:
    """Values scattered to the places (i, i) are a column times the identity."""
    key, shape = node.attributes
    if key != (("tensor", 0), ("tensor", 1)) or shape[0] != shape[1]:
        return None
    values, rows, columns = node.inputs
    if rows is not columns or not is_a(rows, "arange") or rows.shape != shape[:1]:
        return None
    unit = apply("one_hot", rows, attributes=(shape[0],))
    return apply("multiply", reshape(values, (shape[0], 1)), unit)


def _transpose_identity(node: Node) -> Node | None:
    (x,) = node.inputs
    return x if _is_identity(x) else None


def _where(node: Node) -> Node | None:
    condition, yes, no = node.inputs
    if yes is no:
        return same_shape(node, yes)
    if condition.is_number():
        chosen = no if condition.attributes[0] in (sp.false, 0) else yes
        return same_shape(node, chosen)
    if yes.is_number(0) and is_a(condition, "equal") and is_a(no, "divide"):
        x, zero = condition.inputs
        if zero.is_number(0) and no.inputs == (x, x):  # x/x, and 0 where x is 0
            nonzero = apply("where", apply("not_equal", x, zero), number(1), number(0))
            return same_shape(node, nonzero)
    return None


def _sum(node: Node) -> Node | None:
    """A sum over axes along which the operand is constant is a product with their size."""
    (x,) = node.inputs
    axes, keepdims = node.attributes
    if is_a(x, "broadcast_to"):
        inner = x.inputs[0]
        offset = x.rank - inner.rank
        constant = [a for a in axes if a < offset or (inner.shape[a - offset] == 1 != x.shape[a])]
        if constant and len(constant) == len(axes):
            aligned = reshape(inner, (*[1] * offset, *inner.shape))
            target = tuple(1 if a in axes else d for a, d in enumerate(x.shape))
            total = broadcast_to(aligned, target)
            if not keepdims:
                total = reshape(total, node.shape)
            for a in constant:
                total = apply("multiply", size_node(x.shape[a]), total)
            return total
    if all(x.shape[a] == 1 for a in axes):
        return reshape(x, node.shape)
    if len(axes) == 1 and _is_identity(x):
        return same_shape(node, number(1))
    return None


def _extremum(node: Node) -> Node | None:
    """Of one element there is nothing to choose."""
    (x,) = node.inputs
    return reshape(x, node.shape) if all(x.shape[a] == 1 for a in node.attributes[0]) else None


def _logical(node: Node) -> Node | None:
    (x,) = node.inputs
    return x.inputs[0] if is_a(x, "logical_not") and x.inputs[0].dtype == "bool" else None


_ELEMENTWISE = tuple(ELEMENTWISE)

ALGEBRA: list[Rule] = [
    Rule("fold numbers", tuple(_FOLD), _fold),
    Rule("x + 0", ("add",), _add),
    Rule("a + (-b) = a - b", ("add",), _add_negative),
    Rule("a/n - b/n = (a - b)/n", ("add", "subtract"), _common_factor),
    Rule("x - 0", ("subtract",), _subtract_zero),
    Rule("x * 1, x * 0, sign first", ("multiply",), _multiply),
    Rule("x / 1, 0 / x", ("divide",), _divide_one),
    Rule("-(-x), -(a - b)", ("negative",), _negative),
    Rule("powers 0, 1, 1/2 and below 0", ("power",), _power),
    Rule("transpose of transpose", ("transpose",), _transpose),
    Rule("scatter to the diagonal", ("index_add",), _scatter_diagonal),
    Rule("transpose of the identity", ("transpose",), _transpose_identity),
    Rule("product with the identity", ("matmul",), _matmul),
    Rule("reshape of reshape", ("reshape",), _reshape),
    Rule("broadcast of broadcast", ("broadcast_to",), _broadcast),
    Rule("broadcast into elementwise", _ELEMENTWISE, _absorb_broadcast),
    Rule("broadcast after elementwise", _ELEMENTWISE, _hoist_broadcast),
    Rule("a choice that is known", ("where",), _where),
    Rule("sum of a constant", ("sum",), _sum),
    Rule("extremum of one element", ("max", "min", "logsumexp", "prod"), _extremum),
    Rule("constant out of sum and product", ("sum", "matmul"), _linear),
    Rule("not not", ("logical_not",), _logical),
]
