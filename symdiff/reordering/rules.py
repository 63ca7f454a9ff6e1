"""THE table of moves: each gives what may stand in place of some nodes, and what it is called.

A move knows nothing of costs; the search keeps it where the whole graph becomes cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..graph import Node, apply
from ..shapes import Dimension, Shape
from ..structural import reshape
from .forms import Form, Signed, open_form, sum_of, terms_of, through
from .views import Products, View, column, matrix, ones, row
from .workspace import Workspace

__all__ = ["REORDERING", "Move", "Proposal"]


@dataclass
class Proposal:
    """What a move would put in place of nodes, and the name of each replacement."""

    replacements: dict[Node, Node] = field(default_factory=dict)
    names: dict[Node, str] = field(default_factory=dict)

    def add(self, node: Node, replacement: Node, name: str) -> None:
        """Put one node in the place of another."""
        if replacement is not node:
            self.replacements[node] = replacement
            self.names[node] = name


@dataclass(frozen=True)
class Move:
    """One way to compute the same with other products.

    Attributes
    ----------
    name : str
    operations : tuple of str
        What it looks at.
    propose : callable
        ``(workspace, node) -> Proposal or None``.
    names : tuple of str
        What a derivation may call its replacements.
    """

    name: str
    operations: tuple[str, ...]
    propose: Callable[[Workspace, Node], Proposal | None]
    names: tuple[str, ...]


# --- a node that all readers are linear in ------------------------------------------------

PRODUCT = "(A B) C = A (B C)"
PRODUCT_OF_SUM = "(A B + c) D = A (B D) + c D"
SUM = "Σ A B = (Σ A) B"
SUM_OF_SUM = "Σ (A B + c) = (Σ A) B + Σ c"


def _readers(workspace: Workspace, node: Node) -> list[tuple[Node, Node, bool]] | None:
    """``(reader, operand, transposed)`` of each linear reader; None where one is not."""
    if workspace.is_result(node):
        return None
    found = []
    for reader in workspace.live[node]:
        if reader.operation == "transpose" and node.rank == 2:
            if workspace.is_result(reader):
                return None
            found += [(r, reader, True) for r in workspace.live[reader]]
        else:
            found.append((reader, node, False))
    operands = {operand for _, operand, _ in found}
    for reader, _, _ in found:
        inputs = workspace.inputs(reader)
        if reader.operation not in ("matmul", "sum") or any(i.rank > 2 for i in inputs):
            return None
        if sum(i in operands for i in inputs) != 1:  # a square is not linear
            return None
    return found


def without_intermediate(workspace: Workspace, node: Node) -> Proposal | None:
    """``Z = A B + c`` is not formed: each reader is given ``A``, ``B`` and ``c``."""
    readers = _readers(workspace, node)
    if not readers:
        return None
    form = open_form(node, workspace.private, workspace.inputs, workspace.costs)
    if form is None:
        return None
    proposal = Proposal()
    several = len(form.terms) > 1
    for reader, operand, transposed in readers:
        if reader.operation == "matmul":
            new = _product(workspace, reader, operand, transposed, form)
            name = PRODUCT_OF_SUM if several else PRODUCT
        else:
            new = _sum(workspace, reader, transposed, form)
            name = SUM_OF_SUM if several else SUM
        if new.shape != reader.shape or new.dtype != reader.dtype:
            return None
        proposal.add(reader, new, name)
    return proposal


def _product(
    workspace: Workspace, reader: Node, operand: Node, transposed: bool, form: Form
) -> Node:
    """A matrix product with the form in place of one operand."""
    a, b = workspace.inputs(reader)
    first = a is operand
    if form.node.rank == 1:
        transposed = first
    left = right = None
    if first:
        right = matrix(b, workspace.inputs) if b.rank == 2 else column(b)
    else:
        left = matrix(a, workspace.inputs) if a.rank == 2 else row(a)
    kept = tuple(axis for axis, x in enumerate((a, b)) if x.rank == 2)
    return _assembled(workspace, reader, form, transposed, left, right, kept)


def _sum(workspace: Workspace, reader: Node, transposed: bool, form: Form) -> Node:
    """A sum over axes of the form."""
    axes, keepdims = reader.attributes
    size: tuple[Dimension, Dimension] = (form.rows, form.columns)
    if transposed:
        size = (form.columns, form.rows)
    left = ones(1, size[0]) if 0 in axes else None
    right = ones(size[1], 1) if 1 in axes else None
    rank = reader.inputs[0].rank
    kept = tuple(axis for axis in range(rank) if keepdims or axis not in axes)
    return _assembled(workspace, reader, form, transposed, left, right, kept)


def _assembled(
    workspace: Workspace,
    reader: Node,
    form: Form,
    transposed: bool,
    left: View | None,
    right: View | None,
    kept: tuple[int, ...],
) -> Node:
    make = Products(workspace.live)
    terms = [
        Signed(_placed(view, kept), term.minus, term.scales)
        for view, term in through(form.oriented(transposed), left, right, make)
    ]
    return sum_of(terms, reader.shape, workspace.costs)


def _placed(view: View, kept: tuple[int, ...]) -> Node:
    """A term with the axes that its reader has; it may be stretched along them."""
    if len(kept) == 2:
        return reshape(view.node, view.extents) if view.layout == "column" else view.node
    shape: Shape = tuple(view.extents[axis] for axis in kept)
    return reshape(view.node, shape)


# --- chains ------------------------------------------------------------------------------

CHAIN = "A B C D in the cheapest order"


def cheapest_chain(workspace: Workspace, node: Node) -> Proposal | None:
    """A product of several matrices whose parts nobody else reads, in its cheapest order."""
    if node.rank > 2 or any(i.rank > 2 for i in node.inputs) or _inner_link(workspace, node):
        return None
    factors = _factors(workspace, node)
    if len(factors) < 3:
        return None
    make = Products(workspace.live)
    kept = tuple(axis for axis, x in enumerate(workspace.inputs(node)) if x.rank == 2)
    new = _placed(_multiplied(factors, workspace, make), kept)
    if new.shape != node.shape or new.dtype != node.dtype:
        return None
    proposal = Proposal()
    proposal.add(node, new, CHAIN)
    return proposal


def _inner_link(workspace: Workspace, node: Node) -> bool:
    """True for a product that is a factor of a longer chain."""
    while workspace.private(node):
        (node,) = workspace.live[node]
        if node.operation != "transpose":
            return node.operation == "matmul" and all(i.rank <= 2 for i in node.inputs)
    return False


def _factors(workspace: Workspace, node: Node) -> list[View]:
    """The factors of a chain, from left to right."""
    result: list[View] = []
    first, last = workspace.inputs(node)
    stack = [_view(workspace, last, "column"), _view(workspace, first, "row")]
    while stack:
        view = stack.pop()
        product, flipped = view.node, False
        if product.operation == "transpose" and workspace.private(product):
            product, flipped = workspace.inputs(product)[0], True
        if not (product.operation == "matmul" and product.rank and workspace.private(product)):
            result.append(view)
            continue
        a, b = workspace.inputs(product)
        left, right = _view(workspace, a, "row"), _view(workspace, b, "column")
        if product.rank == 1 and (view.layout == "row") != (a.rank == 1):
            flipped = True
        if flipped:
            left, right = right.transposed, left.transposed
        stack += [right, left]
    return result


def _view(workspace: Workspace, node: Node, layout: str) -> View:
    if node.rank == 2:
        return matrix(node, workspace.inputs)
    return row(node) if layout == "row" else column(node)


def _multiplied(factors: list[View], workspace: Workspace, make: Products) -> View:
    """The product of a chain; the order is found by dynamic programming."""
    count = len(factors)
    size = workspace.costs.size
    edges = [size(factors[0].rows), *(size(f.columns) for f in factors)]
    cost = {(i, i): 0 for i in range(count)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            options = {
                k: cost[i, k] + cost[k + 1, j] + edges[i] * edges[k + 1] * edges[j + 1]
                for k in range(i, j)
            }
            split[i, j] = best = min(options, key=options.__getitem__)
            cost[i, j] = options[best]
    done: dict[tuple[int, int], View] = {(i, i): factors[i] for i in range(count)}
    stack = [(0, count - 1)]
    while stack:
        i, j = part = stack[-1]
        halves = [] if i == j else [(i, split[part]), (split[part] + 1, j)]
        waiting = [h for h in halves if h not in done]
        if waiting:
            stack += waiting
            continue
        stack.pop()
        if part not in done:
            done[part] = make(done[halves[0]], done[halves[1]])
    return done[0, count - 1]


# --- a product that is there already -------------------------------------------------------

SHARED = "(A + B) C = A C + B C"


def shared_product(workspace: Workspace, node: Node) -> Proposal | None:
    """``(A + B) C`` as ``A C + B C`` where the graph holds one of the two products anyway."""
    operands = workspace.inputs(node)
    if any(i.rank > 2 for i in operands):
        return None
    kept = tuple(axis for axis, x in enumerate(operands) if x.rank == 2)
    make = Products(workspace.live)
    for position, total in enumerate(operands):
        terms = workspace.inputs(total)
        sums = total.operation in ("add", "subtract") and workspace.private(total)
        if not sums or any(t.shape != total.shape for t in terms):
            continue
        products = []
        for term in terms:
            pair = [*operands]
            pair[position] = term
            product = make(_view(workspace, pair[0], "row"), _view(workspace, pair[1], "column"))
            products.append(product.node)
        if not any(p in workspace.live for p in products):
            continue
        placed = [reshape(p, tuple(node.shape)) if len(kept) < 2 else p for p in products]
        new = apply(total.operation, *placed)
        if new.shape == node.shape and new.dtype == node.dtype:
            proposal = Proposal()
            proposal.add(node, new, SHARED)
            return proposal
    return None


# --- sums --------------------------------------------------------------------------------

SMALL_FIRST = "small terms of a sum first"


def small_terms_first(workspace: Workspace, node: Node) -> Proposal | None:
    """``M + a + b`` with vectors a and b is ``M + (a + b)``."""
    if workspace.private(node):
        (reader,) = workspace.live[node]
        if reader.operation in ("add", "subtract"):
            return None
    terms = terms_of(node, workspace.private, workspace.inputs)
    small = sum(t.node.shape != node.shape for t in terms)
    if len(terms) < 3 or small < 2:
        return None
    proposal = Proposal()
    proposal.add(node, sum_of(terms, node.shape, workspace.costs), SMALL_FIRST)
    return proposal


REORDERING: list[Move] = [
    Move(
        "an intermediate that all readers are linear in",
        ("matmul", "add", "subtract", "negative", "multiply", "divide", "broadcast_to"),
        without_intermediate,
        (PRODUCT, PRODUCT_OF_SUM, SUM, SUM_OF_SUM),
    ),
    Move("chains of products", ("matmul",), cheapest_chain, (CHAIN,)),
    Move("products that are there already", ("matmul",), shared_product, (SHARED,)),
    Move("sums", ("add", "subtract"), small_terms_first, (SMALL_FIRST,)),
]
