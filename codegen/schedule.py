"""What is computed where: phases, and which nodes get memory.

Time runs in steps. At even times one thread computes what does not split into rows; at odd
times threads compute nodes row by row, each on its chunks. A node that sums over the rows is
ready one step after it was computed, when the partial results have been combined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from symdiff.graph import Node, consumers, walk
from symdiff.recurrence import recurrence

from .rows import local_inputs, reduces_rows, row_axis
from .windows import CONVOLUTIONS

MOVES = {"reshape", "transpose", "broadcast_to"}
"""Operations that only change indices."""

BORDERS = ("index_add", "concatenate")
"""Operations that ask for each element where it comes from. A convolution would ask again for each
entry of its kernel."""

INLINE_DEPTH = 10
"""Longest chain of operations written as one expression."""

INLINE_SIZE = 60
"""Most operations and operands written as one expression."""

GEMM_WORK = 128
"""From this many multiplications per row on, a product is a call of a matrix kernel."""

SHARED_WORK = 512
"""From this many elements on, a product over few rows may be divided among threads."""

FEW_ROWS = 1024
"""A batch of up to this many rows may keep what it computes in the second cache."""

SHARED_ELEMENTS = 4096
"""From this many elements of products over few rows on, threads share the products.

Otherwise each chunk of rows starts its own partial result at zero, reads and writes it for every
tile of rows, and all are read once more to be added up: three times the elements, for each chunk,
from caches that they fill. Sharing costs one barrier, as much as some hundred elements, and what
the rows compute goes through memory that all threads see."""


@dataclass
class Schedule:
    """The plan for one graph.

    Attributes
    ----------
    order : list of Node
        All nodes, each after its inputs.
    time : dict
        When a node is computed; even is serial, odd is by rows.
    stored : set of Node
        Nodes that get a buffer; others are written out where they are used.
    scalars : set of Node
        Unsampled elementwise nodes without axes; every phase that needs one computes it.
    local : dict
        For nodes computed by rows: which inputs are read at the same row.
    reduces : set of Node
        Nodes that sum over the rows.
    gemms : set of Node
        Products that are computed by matrix kernels, on tiles of rows or of all rows.
    shared : set of Node
        Products that sum over few rows, of which each thread computes some elements.
    """

    order: list[Node]
    time: dict[Node, int]
    stored: set[Node]
    scalars: set[Node]
    local: dict[Node, list[bool]]
    reduces: set[Node]
    gemms: set[Node]
    shared: set[Node]
    rows: Any
    last: int


def is_leaf(node: Node) -> bool:
    """True for symbols, numbers and the like."""
    return node.row.kind == "leaf"


def schedule(
    roots: Sequence[Node],
    rows: Any,
    gemm: bool = True,
    few: bool = False,
    large: Callable[[Node], bool] | None = None,
) -> Schedule:
    """Plan a graph whose batch size is ``rows`` (a size, or None), and at most FEW_ROWS if few.

    ``large`` says which products matrix kernels compute, where it is not the rule of GEMM_WORK.
    """
    order = walk(roots)
    shared = _shared(order, rows) if gemm and few else set()
    readers = consumers(roots)
    local: dict[Node, list[bool]] = {}
    reduces: set[Node] = set()
    scalars: set[Node] = set()
    time: dict[Node, int] = {}
    for node in order:
        if is_leaf(node) and node.operation != "arange":
            time[node] = -1
            continue
        flags = local_inputs(node, rows)
        if flags is not None and node not in shared:
            local[node] = flags
            if reduces_rows(node, rows):
                reduces.add(node)
            time[node] = _row_time(node, flags, time, local, reduces)
        else:
            if node.row.kind == "elementwise" and not node.shape:
                scalars.add(node)
            time[node] = max((_complete(i, time, local) for i in node.inputs), default=0)
            time[node] = max(time[node], 0)
    last = max((_complete(r, time, local) for r in roots), default=0)
    last += last % 2
    _as_late_as_possible(order, readers, roots, time, local, scalars, last)
    _together(order, time)
    plan = Schedule(order, time, set(), scalars, local, reduces, set(), shared, rows, last)
    if gemm:
        chosen = large or (lambda node: _is_gemm(node, plan))
        plan.gemms = {n for n in order if n.operation == "matmul" and chosen(n)}
    plan.stored = _stored(order, readers, roots, plan)
    return plan


def _together(order: Sequence[Node], time: dict[Node, int]) -> None:
    """All results of a recurrence are computed when the first of them is needed."""
    earliest: dict[Any, int] = {}
    for node in order:
        if node.operation == "scan":
            own = recurrence(node)
            earliest[own] = min(time[node], earliest.get(own, time[node]))
    for node in order:
        if node.operation == "scan":
            time[node] = earliest[recurrence(node)]


def _complete(node: Node, time: dict[Node, int], local: dict[Node, list[bool]]) -> int:
    """The first even time at which all of a node is there."""
    return time[node] + 1 if node in local else time[node]


def _row_time(
    node: Node,
    flags: list[bool],
    time: dict[Node, int],
    local: dict[Node, list[bool]],
    reduces: set[Node],
) -> int:
    earliest = 1
    for operand, same_row in zip(node.inputs, flags, strict=True):
        t = time[operand]
        if same_row and operand in local and operand not in reduces:
            earliest = max(earliest, t)
        elif t >= 0:
            complete = _complete(operand, time, local)
            earliest = max(earliest, complete + 1)
    return earliest


def _as_late_as_possible(
    order: list[Node],
    readers: dict[Node, list[Node]],
    roots: Sequence[Node],
    time: dict[Node, int],
    local: dict[Node, list[bool]],
    scalars: set[Node],
    last: int,
) -> None:
    """Move serial nodes to the last time that still serves their readers: fewer phases.

    Phases by rows compute the scalars that they read themselves, so a scalar may stand late; what
    it is computed from must be there when the first phase needs it.
    """
    needed: dict[Node, int] = {}
    results = set(roots)
    for node in reversed(order):
        if node in local or time[node] < 0:
            continue
        deadlines = [last] if node in results else []
        by_rows = [time[reader] - 1 for reader in readers[node] if reader in local]
        deadlines += [needed[reader] for reader in readers[node] if reader not in local]
        earliest = time[node]
        time[node] = needed[node] = max(earliest, min([*deadlines, *by_rows], default=last))
        if node in scalars:
            own = [time[reader] for reader in readers[node] if reader not in local]
            time[node] = max(earliest, min(own, default=last))


def _shared(order: Sequence[Node], rows: Any) -> set[Node]:
    """The products over the rows, where they have enough elements together."""
    found = {}
    for node in order:
        if node.operation != "matmul" or node.rank != 2 or node.dtype != "real":
            continue
        a, b = node.inputs
        m, n = node.shape
        if (
            a.rank == b.rank == 2
            and a.shape[1] == rows
            and isinstance(m, int)
            and isinstance(n, int)
        ):
            found[node] = m * n if m * n >= SHARED_WORK and min(m, n) > 1 else 0
    return {n for n in found if found[n]} if sum(found.values()) >= SHARED_ELEMENTS else set()


def _is_gemm(node: Node, plan: Schedule) -> bool:
    if node in plan.local and node not in plan.reduces and row_axis(node, plan.rows) != 0:
        return False
    return is_large_product(node, plan.rows)


def is_large_product(node: Node, rows: Any, least: int | None = None) -> bool:
    """True for products of matrices of so many multiplications; of ``GEMM_WORK`` if not given."""
    a, b = node.inputs
    if a.rank != 2 or b.rank != 2 or node.dtype != "real":
        return False
    work = 1
    sizes = [a.shape[0], a.shape[1], b.shape[1]]
    for size in sizes:
        if isinstance(size, int):
            work *= size
        elif size != rows:
            work *= 32  # a size that is not known is taken to be of medium size
    least = GEMM_WORK if least is None else least
    return work >= least and min(s for s in [*sizes, 8] if isinstance(s, int)) >= 2


def _stored(
    order: list[Node], readers: dict[Node, list[Node]], roots: Sequence[Node], plan: Schedule
) -> set[Node]:
    stored: set[Node] = set(roots)
    readers = _through_moves(order, readers)
    depth: dict[Node, int] = {}
    size: dict[Node, int] = {}
    for node in order:
        if is_leaf(node):
            depth[node], size[node] = 0, 1
            continue
        inline = _may_inline(node, readers[node], plan)
        below = [0 if i in stored else depth[i] for i in node.inputs]
        depth[node] = max(below, default=0) + (0 if node.operation in MOVES else 1)
        size[node] = 1 + sum(1 if i in stored else size[i] for i in node.inputs)
        if not inline or depth[node] > INLINE_DEPTH or size[node] > INLINE_SIZE:
            stored.add(node)
    for node in plan.gemms:
        for operand in node.inputs:
            stored.add(operand_source(operand))
    for node in order:
        if node in plan.local:
            continue
        for operand in node.inputs:  # whole columns are read here: rows must be in memory
            if operand in plan.local and operand not in plan.reduces:
                stored.add(_stored_source(operand))
    return {n for n in stored if not (is_leaf(n) and not _needs_copy(n, plan, roots))}


def _through_moves(order: list[Node], readers: dict[Node, list[Node]]) -> dict[Node, list[Node]]:
    """For each node the readers that compute with it, past those that only move it."""
    result: dict[Node, list[Node]] = {}
    for node in reversed(order):
        result[node] = [
            r for reader in readers[node]
            for r in (result[reader] if reader.operation in MOVES else [reader])
        ]  # fmt: skip
    return result


def operand_source(node: Node) -> Node:
    """What lies in memory where a matrix operand is a transpose of it."""
    return node.inputs[0] if node.operation == "transpose" else node


def _stored_source(node: Node) -> Node:
    while node.operation in MOVES:
        node = node.inputs[0]
    return node


def _needs_copy(node: Node, plan: Schedule, roots: Sequence[Node]) -> bool:
    """A leaf has memory already; it is copied as an output, or to feed a matrix kernel."""
    if node in roots or node.operation == "arange":
        return True
    feeds = any(operand_source(i) is node for g in plan.gemms for i in g.inputs)
    return feeds and (node.dtype != "real" or node.operation in ("number", "size"))


def _may_inline(node: Node, readers: list[Node], plan: Schedule) -> bool:
    if node.operation in MOVES:
        return True
    if node.operation in BORDERS and any(r.operation in CONVOLUTIONS for r in readers):
        return False
    if node.operation in ("one_hot", "concatenate", "index", "windows"):
        return True
    if node.operation == "index_add":
        return all(e[0] != "tensor" for e in node.attributes[0])
    if node.row.kind != "elementwise":
        return False
    if len(readers) > 1:
        return False
    if not readers:
        return False
    return not _repeated(node, readers[0], plan) or _cheap(node)


def _repeated(node: Node, reader: Node, plan: Schedule) -> bool:
    """True where a reader computes an element of the node more than once."""
    if reader.operation in ("matmul", *CONVOLUTIONS, "windows", "scan"):
        return True
    if reader.operation in ("max", "min", "argmax", "argmin", "sum", "prod"):
        return False
    if reader.operation in ("index", "index_add", "concatenate", "one_hot"):
        return True
    return reader.shape != node.shape and reader.operation not in ("reshape", "transpose")


def _cheap(node: Node) -> bool:
    return node.operation in ("negative", "add", "subtract", "multiply") and all(
        is_leaf(i) for i in node.inputs
    )
