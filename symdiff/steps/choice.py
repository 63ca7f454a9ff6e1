"""Which nodes of a derivation become named steps.

A node is worth a name where it is used twice, where it is the input of an activation or its
result, where it is the derivative of the loss by such a node, and where a line would become too
long without. What is trivial (a transpose, a comparison, a number) is folded into its users.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..graph import Node, apply, consumers, number, walk
from ..printing.infix import new_axes
from ..printing.layouts import is_log_softmax, is_softmax, shown_inputs
from ..textbook.monomials import constant_step, is_short_scalar, without_constant

__all__ = ["ACTIVATIONS", "AFFINE", "Choice"]

WIDEST = 16
"""Parts of a formula beyond which a part of it gets a name of its own."""

TRIVIAL = {
    "transpose", "broadcast_to", "negative", "one_hot", "equal", "not_equal", "less",
    "less_equal", "logical_and", "logical_or", "logical_not",
}  # fmt: skip
"""Operations that are repeated rather than named, as long as their operands are short."""

ACTIVATIONS = {
    "tanh", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "log_sigmoid",
    "sin", "cos", "erf",
}  # fmt: skip

_QUIET = {"transpose", "inv", "broadcast_to", "negative"}
"""Operations that are a mark on what they are applied to."""

AFFINE = {"add", "subtract", "negative"}
_ARITHMETIC = {*AFFINE, "multiply", "divide"}


def without_constants(node: Node) -> list[tuple[Node, Node]]:
    """``(factor, rest)`` with ``node = factor * rest``: nothing, one, then more taken out."""
    factor = number(1)
    result = [(factor, node)]
    while (step := constant_step(node)) is not None:
        operation, constant, node = step
        scale = (factor,) if constant is None else (factor, constant)
        factor = apply(operation, *scale)
        result.append((factor, node))
    return result


class Choice:
    """The nodes of one derivation while the named ones are being chosen."""

    def __init__(
        self, root: Node, gradients: Sequence[Node], adjoints: Mapping[Node, Node]
    ) -> None:
        self.root = root
        self.forward = walk([root])
        self.is_forward = set(self.forward)
        self.order = walk([root, *gradients])
        self.users = consumers([root, *gradients])
        self.results = {root, *gradients}
        self.constant: set[Node] = set()
        for node in self.order:
            leaf = node.operation in ("number", "size")
            if leaf or (node.inputs and all(i in self.constant for i in node.inputs)):
                self.constant.add(node)
        self.named: set[Node] = {root} if root.inputs else set()
        self.cores: dict[Node, list[tuple[Node, Node]]] = {
            node: [
                (factor, core)
                for factor, core in without_constants(adjoint)
                if core in self.users and core not in self.is_forward
            ]
            for node, adjoint in adjoints.items()
            if node.inputs
        }

    def is_trivial(self, node: Node) -> bool:
        """True for what is repeated rather than named."""
        if not node.inputs or node in self.constant or node.operation in TRIVIAL:
            return True
        if node.operation == "reshape":
            return not node.rank or new_axes(node.inputs[0].shape, node.shape) is not None
        if node.operation == "power":
            return not node.inputs[1].inputs
        if node.operation == "inv":
            return not node.inputs[0].inputs
        if is_short_scalar(node):
            return True
        if is_log_softmax(node):  # of softmax(z), which does not show it
            return all(is_softmax(u) for u in self.users[node] if u in self.is_forward)
        return node.operation == "index" and len(node.inputs) == 1

    def core(self, node: Node) -> tuple[Node, Node] | None:
        """``(factor, named node)`` whose product is the derivative by a forward node."""
        return next((pair for pair in self.cores.get(node, []) if pair[1] in self.named), None)

    def affine(self) -> list[Node]:
        """Inputs of activations and outputs of a network: matrix products with what is added."""
        affine: set[Node] = set()
        for node in self.forward:
            sums = node.operation in AFFINE and any(i in affine for i in node.inputs)
            if sums or node.operation == "matmul" or without_constant(node) in affine:
                affine.add(node)
        return [n for n in self.forward if n in affine and n is not self.root and self._is_read(n)]

    def _is_read(self, node: Node) -> bool:
        """True for what more is done with in the loss than adding to it or scaling it."""
        users = [u for u in self.users[node] if u in self.is_forward]
        return any(u.operation not in AFFINE and without_constant(u) is u for u in users)

    def name_layers(self) -> None:
        """Inputs and results of activations, and the derivatives by the inputs."""
        layers = self.affine()
        for node in self.forward:
            into_matrix = any(u.operation == "matmul" for u in self.users[node])
            if node.operation in ACTIVATIONS and into_matrix:
                self.named.add(node)
        if len(layers) < 2:
            return
        for node in layers:
            for _, core in self.cores.get(node, [])[:1]:
                if not self.is_trivial(core):
                    self.named |= {node, core}

    def name_probabilities(self) -> None:
        """The softmax in a gradient: P − onehot(t)."""
        for node in self.order:
            derived = is_softmax(node) and node not in self.is_forward
            if derived and any(u.operation in _ARITHMETIC for u in self.users[node]):
                self.named.add(node)

    def name_shared(self) -> None:
        """What would be written out more than once."""
        times = dict.fromkeys(self.order, 0)
        for node in self.results:
            times[node] += 1
        for node in reversed(self.order):
            if times[node] > 1 and not self.is_trivial(node):
                self.named.add(node)
            weight = 1 if node in self.named else min(times[node], 2)
            for operand in shown_inputs(node):
                times[operand] += weight

    def name_origins(self) -> None:
        """Forward nodes whose derivative has a name get one too: the one nearest the loss."""
        origin: dict[Node, Node] = {}
        for node in self.forward:
            pair = self.core(node)
            if pair is not None and (node in self.named or origin.get(pair[1]) not in self.named):
                origin[pair[1]] = node
        self.named.update(n for n in origin.values() if not self.is_trivial(n))

    def name_heavy(self) -> None:
        """Parts of what would be too long; a sum may be long, it breaks between lines."""
        weights: dict[Node, int] = {}
        for node in self.order:
            parts = {i: weights[i] for i in shown_inputs(node)}
            total = (node.operation not in _QUIET) + sum(parts.values())
            if node.operation not in ("add", "subtract"):
                while total > WIDEST:
                    heaviest = max(parts, key=parts.__getitem__)
                    if parts[heaviest] < 3 or self.is_trivial(heaviest):
                        break
                    self.named.add(heaviest)
                    parts[heaviest] = weights[heaviest] = 1
                    total = (node.operation not in _QUIET) + sum(parts.values())
            weights[node] = 1 if node in self.named else total
