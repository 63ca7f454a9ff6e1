"""What replaces operations that have no lowering of their own by others that do."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from symdiff.graph import Node, apply, number, rebuild, walk
from symdiff.recurrence import Body
from symdiff.shapes import product
from symdiff.structural import reshape

from .windows import CONVOLUTIONS

OPERANDS = 16
"""Operands that one line of source holds."""

DECOMPOSED = {"logsumexp", "norm"}
"""Operations that no lowered graph holds."""


def decompose(roots: Sequence[Node]) -> list[Node]:
    """Replace operations by others that have a lowering of their own."""
    bodies: dict[Body, Body] = {}

    def transform(node: Node, inputs: tuple[Node, ...]) -> Node:
        if node.operation == "scan":
            body, *rest = node.attributes
            if body not in bodies:
                bodies[body] = Body(body.parameters, tuple(decompose(body.results)))
            return apply("scan", *inputs, attributes=(bodies[body], *rest))
        if node.operation == "logsumexp":
            return _logsumexp(inputs[0], *node.attributes)
        if node.operation == "norm":
            return _norm(inputs[0], *node.attributes)
        if node.operation in ("matmul", *CONVOLUTIONS) and node.dtype == "real":
            inputs = tuple(i if i.dtype == "real" else _as_real(i) for i in inputs)
        if node.operation == "divide" and node.shape and _is_size(inputs[1]):
            return apply("multiply", inputs[0], apply("divide", number(1), inputs[1]))
        if node.operation in ("argmax", "argmin") and len(node.attributes[0]) > 1:
            flat = reshape(inputs[0], (product(inputs[0].shape),))
            return reshape(apply(node.operation, flat, attributes=((0,), False)), node.shape)
        if node.operation == "multiply" and len(inputs) == 2:
            return _divided_early(node, inputs)
        if node.operation == "sum" and (whole := _whole_sum(node, inputs[0])) is not None:
            return whole
        if node.row.kind == "elementwise" and len(inputs) > OPERANDS:
            return _chain(node, inputs)
        if inputs == node.inputs:
            return node
        return apply(node.operation, *inputs, attributes=node.attributes)

    results = rebuild(rebuild(roots, transform), _outside)
    return [_copied(r) if r.row.kind == "leaf" else r for r in results]


def _outside(node: Node, inputs: tuple[Node, ...]) -> Node:
    """Leading axes of size 1 are added last: a sum that keeps its axes is the one that does not.

    A normalisation over the batch computes both, for itself and for its moving averages.
    """
    if node.operation == "sum" and node.attributes == (tuple(range(len(node.attributes[0]))), True):
        return reshape(apply("sum", *inputs, attributes=(node.attributes[0], False)), node.shape)
    if node.row.kind == "elementwise" and node.shape:
        plain = tuple(map(_without_leading, inputs))
        if plain != inputs:
            return reshape(apply(node.operation, *plain, attributes=node.attributes), node.shape)
    if inputs == node.inputs:
        return node
    return apply(node.operation, *inputs, attributes=node.attributes)


def _without_leading(x: Node) -> Node:
    """What a reshape has put axes of size 1 in front of."""
    if x.operation != "reshape":
        return x
    (inner,) = x.inputs
    added = x.rank - inner.rank
    return inner if added > 0 and x.shape == (*(1,) * added, *inner.shape) else x


def _divided_early(node: Node, inputs: tuple[Node, ...]) -> Node:
    """``g * (w / s)`` as ``(g / s) * w``, where that takes fewer quotients.

    The adjoint of a maximum divides what comes back among the elements that attain it.
    """
    for g, share in (inputs, inputs[::-1]):
        if share.operation == "divide" and share.dtype == g.dtype == "real":
            w, s = share.inputs
            if g.shape == s.shape != w.shape == node.shape:
                w, s = _as_reals(w, s)
                return apply("multiply", apply("divide", g, s), w)
    return node if inputs == node.inputs else apply("multiply", *inputs)


def _as_reals(w: Node, s: Node) -> tuple[Node, Node]:
    """Ones and zeros and their sum as real numbers: vectors of them need not be converted."""
    if w.operation != "where" or s.operation != "sum" or s.inputs != (w,) or w.dtype != "int":
        return w, s
    condition, *values = w.inputs
    if any(v.operation != "number" for v in values):
        return w, s
    real = (number(sp.Float(v.attributes[0])) for v in values)
    weight = apply("where", condition, *real)
    return weight, apply("sum", weight, attributes=s.attributes)


def _whole_sum(node: Node, x: Node) -> Node | None:
    """A sum of a sum over the leading axis as one sum: of images, memory is read in order."""
    axes, keepdims = node.attributes
    if x.operation != "sum" or x.attributes != ((0,), False) or x.rank < 2:
        return None
    inner = (0, *(a + 1 for a in axes))
    whole = apply("sum", x.inputs[0], attributes=(inner, False))
    return reshape(whole, node.shape) if keepdims else whole


def _copied(leaf: Node) -> Node:
    """A result that is an input or a constant as it stands is copied: the sum of one operand."""
    return apply("logical_or" if leaf.dtype == "bool" else "add", leaf)


def _chain(node: Node, inputs: Sequence[Node]) -> Node:
    """A sum or product of very many operands, in their order, as one of sums of a few."""
    result = apply(node.operation, *inputs[:OPERANDS], attributes=node.attributes)
    for start in range(OPERANDS, len(inputs), OPERANDS - 1):
        operands = inputs[start : start + OPERANDS - 1]
        result = apply(node.operation, result, *operands, attributes=node.attributes)
    return result


def _is_size(x: Node) -> bool:
    """A count of elements, whose reciprocal is computed once for all elements."""
    return not x.shape and all(leaf.operation == "size" for leaf in walk([x]) if not leaf.inputs)


def _as_real(x: Node) -> Node:
    """Matrix kernels take real operands."""
    return apply("multiply", x, number(sp.Float(1)))


def _logsumexp(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """max(x) + log(sum(exp(x - max(x)))); an infinite maximum is not subtracted."""
    top = apply("max", x, attributes=(axes, True))
    finite = apply("less", apply("abs", top), number(sp.oo))
    shift = apply("where", finite, top, number(0))
    terms = apply("exp", apply("subtract", x, shift))
    total = apply("sum", terms, attributes=(axes, True))
    result = apply("add", apply("log", total), shift)
    return result if keepdims else _without(result, axes)


def _norm(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """The largest ``|x|`` times the root of the sum of ``(x / largest)^2``.

    One that is 0 or infinite divides nothing.
    """
    top = apply("max", apply("abs", x), attributes=(axes, True))
    usable = apply(
        "logical_and",
        apply("less", number(0), top),
        apply("less", top, number(sp.oo)),
    )
    scale = apply("where", usable, top, number(1))
    squares = apply("power", apply("divide", x, scale), number(2))
    total = apply("sum", squares, attributes=(axes, True))
    result = apply("multiply", apply("sqrt", total), scale)
    return result if keepdims else _without(result, axes)


def _without(x: Node, axes: tuple[int, ...]) -> Node:
    return reshape(x, tuple(d for i, d in enumerate(x.shape) if i not in axes))
