"""Sums of products over shared indices, as matrix products."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from . import arrays, language, products
from .bridge import instantiate
from .expressions import stand_in
from .graph import Node, apply, number
from .structural import reshape, size_node

Part = tuple[tuple[int, ...], Node]
"""A factor, and the positions of the indices that it depends on; index k has axis -(k+1)."""


def contract(parts: Sequence[Part], own: Sequence[int], sizes: Sequence[Any]) -> Node:
    """The product of factors, summed over the indices at the positions ``own``.

    Factors that share an index which is summed are contracted by a matrix product; those that
    do not depend on such an index are taken out of the sum.
    """
    groups: dict[str, Node] = {}
    outside: list[Node] = []
    for positions, node in parts:
        if not positions:
            outside.append(reshape(node, ()))
            continue
        letters = "".join(string.ascii_letters[k] for k in reversed(positions))
        node = reshape(node, tuple(node.shape[-(k + 1)] for k in reversed(positions)))
        groups[letters] = apply("multiply", groups[letters], node) if letters in groups else node
    used = set("".join(groups))
    summed = {string.ascii_letters[k] for k in own}
    factor: Node | None = None
    for k in own:
        if string.ascii_letters[k] not in used:
            count = size_node(sizes[k])
            factor = count if factor is None else apply("multiply", factor, count)
    outer = [k for k in range(len(sizes)) if k not in own and string.ascii_letters[k] in used]
    result: Node | None = None
    if groups:
        kept = "".join(string.ascii_letters[k] for k in reversed(outer))
        result = _einsum(list(groups.items()), kept, summed & used)
        depth = max(outer, default=-1) + 1
        result = reshape(
            result, tuple(sizes[k] if k in outer else 1 for k in range(depth - 1, -1, -1))
        )
    for scale in (factor, *outside):
        if scale is not None and not scale.is_number(1):
            result = scale if result is None else apply("multiply", scale, result)
    return number(1) if result is None else result


def _einsum(factors: list[tuple[str, Node]], output: str, summed: set[str]) -> Node:
    symbols = [stand_in(f"factor {i}", n.shape, n.dtype) for i, (_, n) in enumerate(factors)]
    parts: list[tuple[str, Any]] = [(s, t) for (s, _), t in zip(factors, symbols, strict=True)]
    while len(parts) > 1:
        i, j = _cheapest([letters for letters, _ in parts], output)
        (left, a), (right, b) = parts[i], parts[j]
        rest = [p for k, p in enumerate(parts) if k not in (i, j)]
        needed = set(output).union(*(letters for letters, _ in rest))
        shared = {x for x in left if x in right and x not in needed}
        if shared:
            letters, product = products.contract(left, a, right, b, needed)
        else:
            letters, product = _multiplied(left, a, right, b, needed)
        same = next((k for k, (x, _) in enumerate(rest) if x == letters), None)
        if same is not None:
            rest[same] = (letters, rest[same][1] * product)
            parts = rest
        else:
            parts = [*rest, (letters, product)]
    letters, tensor = parts[0]
    letters, tensor = _summed(letters, tensor, set(output))
    tensor = language.transpose(tensor, [letters.index(x) for x in output]) if output else tensor
    return instantiate(tensor, symbols, [n for _, n in factors])


def _summed(letters: str, tensor: Any, needed: set[str]) -> tuple[str, Any]:
    """Sum over the axes that nobody needs."""
    alone = tuple(i for i, x in enumerate(letters) if x not in needed)
    if alone:
        tensor = arrays.sum(tensor, axis=alone)
    return "".join(x for x in letters if x in needed), tensor


def _multiplied(left: str, a: Any, right: str, b: Any, needed: set[str]) -> tuple[str, Any]:
    """Elements times elements, after summing what each has alone."""
    left, a = _summed(left, a, needed | set(right))
    right, b = _summed(right, b, needed | set(left))
    letters = "".join(dict.fromkeys(left + right))
    operands = []
    for own, tensor in ((left, a), (right, b)):
        order = [own.index(x) for x in letters if x in own]
        moved = language.transpose(tensor, order)
        sizes = dict(zip(own, language.shape(tensor), strict=True))
        operands.append(language.reshape(moved, *[sizes.get(x, 1) for x in letters]))
    return letters, operands[0] * operands[1]


def _cheapest(operands: Sequence[str], output: str) -> tuple[int, int]:
    """The pair whose product has the fewest axes; of these one that sums over an index."""
    best: tuple[int, int, int, int] | None = None
    for i in range(len(operands)):
        for j in range(i + 1, len(operands)):
            others = set(output).union(*(o for k, o in enumerate(operands) if k not in (i, j)))
            both = set(operands[i]) | set(operands[j])
            shared = set(operands[i]) & set(operands[j]) - others
            rank = (len(both & others), -len(shared), i, j)
            best = rank if best is None or rank < best else best
    assert best is not None
    return best[2], best[3]


__all__ = ["contract"]
