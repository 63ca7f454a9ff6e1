"""The boxes of a derivation: its named steps, or every operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..bridge import to_graph
from ..errors import InvalidArgument
from ..graph import Node, walk
from ..printing.lines import Notation
from ..printing.text import TEXT
from ..shapes import text
from ..steps import ACTIVATIONS
from .layers import in_layers
from .model import Drawing, DrawnNode

if TYPE_CHECKING:
    from ..derivation import Derivation, Step

__all__ = ["draw"]

LEVELS = ("steps", "operations")
MANY = 60
"""Boxes above which layers are collapsed."""
HIDDEN = {"number", "size"}
"""Leaves that are read inside formulas and are no boxes."""

_PRODUCTS = {"matmul", "convolve", "convolve_transposed", "convolve_kernel", "scan", "index"}
"""Operations by which a parameter opens a layer."""


def draw(
    derivation: Derivation,
    level: str = "steps",
    collapse: bool | None = None,
    expand: Iterable[str | int] | str | int = (),
) -> Drawing:
    """The drawing of a derivation, see :meth:`Derivation.graph`."""
    if level not in LEVELS:
        raise InvalidArgument(f"the level is {level!r}; it must be one of {', '.join(LEVELS)}")
    if collapse not in (None, True, False):
        raise InvalidArgument(
            f"collapse is {collapse!r}; True draws one box a layer, False draws all, "
            "None decides by the number of boxes"
        )
    steps = _Content(derivation)
    steps.add_steps()
    nodes, layers = in_layers(steps.nodes, steps.opens)
    if level == "operations":
        nodes = _operations(derivation, steps, nodes)
    drawing = Drawing(nodes, layers)
    drawing.known(expand)
    if collapse or (collapse is None and len(nodes) > MANY):
        return drawing.collapse(expand) if layers else drawing
    return drawing


class _Content:
    """Boxes as they are put down, each after what it reads."""

    def __init__(self, derivation: Derivation) -> None:
        self.derivation = derivation
        self.naming = derivation.naming
        self.names = self.naming.all
        self.notation = Notation(derivation, TEXT)
        self.page = self.notation.page
        self.parameters = {to_graph(s) for s in derivation.parameters}
        self.nodes: list[DrawnNode] = []
        self.keys: dict[Node, int] = {}
        self.opens: dict[int, str] = {}
        self.source: dict[int, Node] = {}

    def put(self, node: Node, name: str, formula: str, role: str, **more: Any) -> int:
        """One box; its key."""
        key = len(self.nodes)
        self.nodes.append(DrawnNode(key, name, formula, text(node.shape), role, **more))
        self.source[key] = node
        return key

    def reads(self, nodes: Iterable[Node], known: Mapping[Node, Any]) -> tuple[int, ...]:
        """Keys of the boxes that a formula over named nodes reads; leaves are put down."""
        found: dict[int, None] = {}
        for node in nodes:
            for operand in node.inputs:
                if operand in known and operand in self.keys:
                    found[self.keys[operand]] = None
            if node.row.kind == "leaf" and node.operation not in HIDDEN:
                found[self.leaf(node)] = None
        return tuple(found)

    def leaf(self, node: Node) -> int:
        if node not in self.keys:
            role = "parameter" if node in self.parameters else "data"
            self.keys[node] = self.put(node, self.page.text(node), "", role)
        return self.keys[node]

    def add_steps(self) -> None:
        """Leaves, named steps, and a result for each parameter."""
        rules = {step.node: step for step in self.derivation.steps}
        root = self.derivation.loss_node
        if not root.inputs and root.operation not in HIDDEN:
            self.leaf(root)
        for node in self.names:
            self._step(node, rules[node])
        for parameter in self.derivation.parameters:
            self.leaf(to_graph(parameter))
        for symbol, node in self.derivation.gradient_nodes.items():
            name = self.notation.derivative(self.notation.symbol(symbol))
            self.result(name, node, self.keys[to_graph(symbol)])
        for (one, other), node in self.derivation.hessian_nodes.items():
            name = self.notation.derivative(*map(self.notation.symbol, (one, other)))
            self.result(name, node, self.keys[to_graph(one)])

    def _step(self, node: Node, step: Step) -> None:
        own = [*walk(node.inputs, self.names), node]
        inputs = self.reads(own, self.names)
        of = step.of.node if step.of is not None else None
        key = self.put(
            node,
            self.names[node].text,
            self.page.definition(node),
            step.phase,
            inputs=inputs,
            adjoint_of=self.keys.get(of) if of is not None else None,
            rule=step.rule,
            meaning=self.notation.meaning(node),
        )
        self.keys[node] = key
        if step.phase == "forward":
            self.opens[key] = self._kind(own)

    def _kind(self, own: list[Node]) -> str:
        """How a step takes in parameters: by a product, otherwise, or not at all."""
        holding: set[Node] = set()
        for node in own:
            if node in self.parameters or any(i in holding for i in node.inputs):
                holding.add(node)
            read = node.inputs[:1] if node.operation == "index" else node.inputs
            if node.operation in _PRODUCTS and any(i in holding for i in read):
                return "product"
        if holding:
            return "parameter"
        return "activation" if own[-1].operation in ACTIVATIONS else ""

    def result(self, name: str, node: Node, parameter: int) -> int:
        """The box of a gradient, which may be a step, a leaf or a number as well."""
        if node in self.names:
            inputs: tuple[int, ...] = (self.keys[node],)
        else:
            inputs = self.reads([*walk(node.inputs, self.names), node], self.names)
        formula = self.page.text(node)
        return self.put(node, name, formula, "gradient", inputs=inputs, adjoint_of=parameter)


def _operations(
    derivation: Derivation, steps: _Content, named: Iterable[DrawnNode]
) -> tuple[DrawnNode, ...]:
    """Every operation; numbers and sizes are left out."""
    content = _Content(derivation)
    forward = set(walk([derivation.loss_node]))
    origins = {n: of for n, (of, _) in content.naming.adjoint_of.items()}
    for operation, adjoint in derivation.adjoint_nodes.items():
        if operation.inputs and adjoint not in forward:
            origins.setdefault(adjoint, operation)
    layer = _layer_of_operations(steps, named)
    roots = [*derivation.gradient_nodes.values(), *derivation.hessian_nodes.values()]
    for node in walk([derivation.loss_node, *roots]):
        if node.operation in HIDDEN:
            continue
        if node.row.kind == "leaf":
            content.leaf(node)
            continue
        of = origins.get(node)
        name = content.names.get(node)
        content.keys[node] = content.put(
            node,
            name.text if name is not None else node.operation,
            content.page.definition(node),
            "forward" if node in forward else "backward",
            inputs=tuple(dict.fromkeys(content.keys[i] for i in node.inputs if i in content.keys)),
            adjoint_of=content.keys.get(of) if of is not None else None,
            rule=node.row.rule or node.operation,
            meaning=content.notation.meaning(node),
        )
    for parameter in derivation.parameters:
        content.leaf(to_graph(parameter))
    for drawn in named:
        if drawn.role == "gradient" and drawn.adjoint_of is not None:
            node = steps.source[drawn.key]
            parameter = content.keys[steps.source[drawn.adjoint_of]]
            content.put(
                node,
                drawn.name,
                content.page.text(node),
                "gradient",
                inputs=(content.keys[node],) if node in content.keys else (),
                adjoint_of=parameter,
                layer=drawn.layer,
            )
    placed: list[DrawnNode] = []
    for drawn in content.nodes:
        # An adjoint stands beside its operation, so it belongs to the same layer.
        if drawn.role == "backward" and drawn.adjoint_of is not None:
            own = placed[drawn.adjoint_of].layer
        else:
            own = drawn.layer or layer.get(content.source[drawn.key], "")
        placed.append(replace(drawn, layer=own))
    return tuple(placed)


def _layer_of_operations(steps: _Content, named: Iterable[DrawnNode]) -> dict[Node, str]:
    """An operation belongs to the layer of the first step whose formula holds it."""
    result: dict[Node, str] = {}
    for drawn in named:
        node = steps.source[drawn.key]
        for part in [*walk(node.inputs, steps.names), node]:
            result.setdefault(part, drawn.layer)
    return result
