"""Which nodes of a derivation become named steps, and what they are called.

A node is worth a name where it is used twice, where it is the input of an activation or its
result, where it is the derivative of the loss by such a node, and where a line would become too
long without. What is trivial (a transpose, a comparison, a number) is folded into its users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from typing import Any

import sympy as sp

from .bridge import to_sympy
from .expressions import TensorSymbol
from .graph import Node, apply, consumers, number, walk
from .printing.layouts import is_log_softmax
from .printing.style import Piece, Style
from .printing.text import TEXT, shown_name, subscript

__all__ = ["Name", "Naming", "choose", "fold"]

WIDEST = 16
"""Parts of a formula beyond which a part of it gets a name of its own."""

TRIVIAL = {
    "transpose", "reshape", "broadcast_to", "negative", "one_hot", "equal", "not_equal", "less",
    "less_equal", "logical_and", "logical_or", "logical_not",
}  # fmt: skip
"""Operations that are repeated rather than named, as long as their operands are short."""

ACTIVATIONS = {
    "tanh", "sigmoid", "relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "log_sigmoid",
    "sin", "cos", "erf",
}  # fmt: skip

_AFFINE = {"add", "subtract", "negative"}


@dataclass(frozen=True)
class Name:
    """What a step is called.

    Attributes
    ----------
    symbol : Symbol
    kind : str
        The letter that says what the step is: z before an activation, h after it, …
    index : int or None
    of : Symbol or None
        For the adjoint of a step that is not a layer, the symbol of that step: δ has it as index.
    """

    symbol: sp.Symbol
    kind: str
    index: int | None = None
    of: sp.Symbol | None = None

    @property
    def text(self) -> str:
        """The name in text."""
        return self.piece(TEXT).text

    def piece(self, style: Style) -> Piece:
        """The name in a notation."""
        if self.of is None:
            return style.symbol(self.symbol.name)
        return style.adjoint(self.of.name, self.symbol.name)


@dataclass
class Naming:
    """The names of a derivation's nodes.

    Attributes
    ----------
    forward, backward : dict
        ``{node: Name}`` in the order of evaluation; the loss is the last forward one.
    adjoint_of : dict
        For a backward node, the forward node and the factor: factor times the backward node is
        the derivative of the loss with respect to the forward node.
    """

    forward: dict[Node, Name] = field(default_factory=dict)
    backward: dict[Node, Name] = field(default_factory=dict)
    adjoint_of: dict[Node, tuple[Node, Node]] = field(default_factory=dict)

    @property
    def all(self) -> dict[Node, Name]:
        """Forward and backward names, in the order of evaluation."""
        return {**self.forward, **self.backward}


@dataclass(frozen=True)
class Given:
    """The names that a user has given to nodes of a loss.

    Attributes
    ----------
    titles : dict
        ``{node: name}``.
    wanted : frozenset of Node
        Those that were named on purpose, and are steps however small they are.
    """

    titles: Mapping[Node, str] = field(default_factory=dict)
    wanted: frozenset[Node] = frozenset()

    @classmethod
    def of(
        cls, root: Node, given: Sequence[tuple[str, Node]], variables: Sequence[tuple[str, Node]]
    ) -> Given:
        """The names of the nodes of a loss; what was named on purpose comes first."""
        present = {n for n in walk([root]) if n.inputs}
        titles = {n: title for title, n in reversed(given) if n in present}
        wanted = frozenset(titles)
        for title, node in variables:
            if node in present and node is not root:
                titles.setdefault(node, title)
        return cls(titles, wanted)


# --- constants ---------------------------------------------------------------------------


def without_constants(node: Node, constant: set[Node]) -> list[tuple[Node, Node]]:
    """``(factor, rest)`` with ``node = factor * rest``: nothing, one, then more taken out."""
    factor = number(1)
    result = [(factor, node)]
    while (step := _one_constant(node, constant)) is not None:
        operation, scalar, node = step
        scale = (factor,) if scalar is None else (factor, scalar)
        factor = apply(operation, *scale)
        result.append((factor, node))
    return result


def _one_constant(node: Node, constant: set[Node]) -> tuple[str, Node | None, Node] | None:
    if node.operation == "negative":
        return "negative", None, node.inputs[0]
    if node.operation not in ("multiply", "divide"):
        return None
    a, b = node.inputs
    if b in constant and not b.rank and a.shape == node.shape:
        return node.operation, b, a
    if node.operation == "multiply" and a in constant and not a.rank and b.shape == node.shape:
        return node.operation, a, b
    return None


# --- choosing ----------------------------------------------------------------------------


class _Choice:
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
                for factor, core in without_constants(adjoint, self.constant)
                if core in self.users and core not in self.is_forward
            ]
            for node, adjoint in adjoints.items()
            if node.inputs
        }

    def is_trivial(self, node: Node) -> bool:
        """True for what is repeated rather than named."""
        if not node.inputs or node in self.constant or node.operation in TRIVIAL:
            return True
        return node.operation == "index" and len(node.inputs) == 1

    def core(self, node: Node) -> tuple[Node, Node] | None:
        """``(factor, named node)`` whose product is the derivative by a forward node."""
        return next((pair for pair in self.cores.get(node, []) if pair[1] in self.named), None)

    def affine(self) -> list[Node]:
        """Forward nodes that a matrix product and sums end in: the input of something else."""
        affine = set()
        for node in self.forward:
            if node.operation == "matmul" or (
                node.operation in _AFFINE and any(i in affine for i in node.inputs)
            ):
                affine.add(node)
        return [
            n
            for n in self.forward
            if n in affine
            and n is not self.root
            and any(u.operation not in _AFFINE for u in self.users[n] if u in self.is_forward)
        ]

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

    def name_shared(self) -> None:
        """What would be written out more than once."""
        times = dict.fromkeys(self.order, 0)
        for node in self.results:
            times[node] += 1
        for node in reversed(self.order):
            if times[node] > 1 and not self.is_trivial(node):
                self.named.add(node)
            weight = 1 if node in self.named else min(times[node], 2)
            for operand in node.inputs:
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
            parts = {i: weights[i] for i in node.inputs}
            total = 1 + sum(parts.values())
            if node.operation not in ("add", "subtract"):
                while total > WIDEST:
                    heaviest = max(parts, key=parts.__getitem__)
                    if parts[heaviest] < 3 or self.is_trivial(heaviest):
                        break
                    self.named.add(heaviest)
                    parts[heaviest] = weights[heaviest] = 1
                    total = 1 + sum(parts.values())
            weights[node] = 1 if node in self.named else total


def choose(
    root: Node,
    gradients: Sequence[Node],
    adjoints: Mapping[Node, Node],
    rewritten: Iterable[Node] = (),
    symbols: Iterable[sp.Symbol] = (),
    given: Given | None = None,
) -> Naming:
    """Choose and name the steps of a derivation.

    Parameters
    ----------
    root : Node
        The loss.
    gradients : list of Node
    adjoints : dict
        ``{forward node: its adjoint}``, in the form that the gradients contain.
    rewritten : list of Node
        Nodes that a stability rule has put in; they become steps.
    symbols : list of Symbol
        Further symbols whose names are taken.
    given : Given, optional
        What the user calls parts of the loss.
    """
    given = given or Given()
    choice = _Choice(root, gradients, adjoints)
    choice.named.update(n for n in rewritten if n in choice.users and n.inputs)
    choice.named |= given.wanted
    choice.named.update(n for n in given.titles if not choice.is_trivial(n))
    choice.name_layers()
    choice.name_shared()
    choice.name_origins()
    choice.name_heavy()
    naming = Naming()
    _find_origins(choice, naming)
    taken = _taken(choice.order, symbols)
    _name_forward(choice, naming, taken, _own_titles(choice, given, taken))
    _name_backward(choice, naming, taken)
    return naming


def _find_origins(choice: _Choice, naming: Naming) -> None:
    """For each named backward node, the named forward node that it is the adjoint of."""
    for node in choice.forward:
        pair = choice.core(node)
        if pair is not None and node in choice.named:
            factor, core = pair
            naming.adjoint_of[core] = (node, factor)


# --- naming ------------------------------------------------------------------------------


def _taken(order: Iterable[Node], symbols: Iterable[sp.Symbol]) -> set[str]:
    """Every name that a user has given to a symbol or a size, as typed and as shown."""
    names = {s.name for s in symbols}
    for node in order:
        if node.operation == "symbol":
            names.add(node.attributes[0].name)
        sizes = node.attributes[:1] if node.operation in ("size", "arange") else ()
        for size in (*node.shape, *sizes):
            names |= {s.name for s in getattr(size, "free_symbols", ())}
    return names | {shown_name(n) for n in names} | {"I", "e"}


def _own_titles(choice: _Choice, given: Given, taken: set[str]) -> dict[Node, str]:
    """The names that a user gave, each once: of equal ones, and of symbols' names, h₁, h₂, …."""
    titles = {n: given.titles[n] for n in choice.forward if n in given.titles}
    counts = Counter(titles.values())
    result: dict[Node, str] = {}
    for node, title in titles.items():
        name = title
        if {title, shown_name(title)} & taken or counts[title] > 1:
            if node not in given.wanted and counts[title] == 1:
                continue  # a variable that is called like a symbol: nobody has asked for its name
            numbered = (f"{title}{i}" for i in count(1))
            name = next(t for t in numbered if not {t, shown_name(t)} & taken)
        taken |= {name, shown_name(name)}
        result[node] = name
    return result


def _name_forward(
    choice: _Choice, naming: Naming, taken: set[str], titles: Mapping[Node, str]
) -> None:
    kinds = {
        n: _kind(n, choice.users[n])
        for n in choice.forward
        if n in choice.named and n is not choice.root
    }
    counted = list(kinds.values())
    counters: dict[str, int] = {}
    for node, kind in kinds.items():
        source = naming.forward.get(node.inputs[0]) if kind == "h" else None
        index = source.index if source is not None and source.kind == "z" else None
        single = counted.count(kind) == 1 and index is None
        if node in titles:
            if kind == "z" and not single:
                counters[kind] = index = counters.get(kind, 0) + 1
            naming.forward[node] = Name(_symbol(titles[node], node), kind, index)
        else:
            naming.forward[node] = _indexed(node, kind, index, single, counters, taken)
    if choice.root in choice.named:
        letters = chain(["L", "J", "loss"], (f"L{index}" for index in count(1)))
        letter = titles.get(choice.root) or next(c for c in letters if c not in taken)
        taken.add(letter)
        naming.forward[choice.root] = Name(_symbol(letter, choice.root), "L")


def _indexed(
    node: Node, kind: str, index: int | None, single: bool, counters: dict[str, int],
    taken: set[str],
) -> Name:  # fmt: skip
    ascii_kind = {"δ": "delta"}.get(kind, kind)
    if single and not taken & {kind, ascii_kind}:
        taken |= {kind, ascii_kind}
        return Name(_symbol(ascii_kind, node), kind)
    wanted = index
    while True:
        if wanted is None:
            counters[kind] = wanted = counters.get(kind, 0) + 1
        name, shown = f"{ascii_kind}{wanted}", f"{kind}{subscript(wanted)}"
        if not taken & {name, shown}:
            break
        wanted = None
    taken |= {name, shown}
    return Name(_symbol(name, node), kind, wanted)


def _kind(node: Node, users: Sequence[Node]) -> str:
    """The letter of a forward step: z before an activation, h after it, r for a residual."""
    if node.dtype == "bool":
        return "c"
    if node.operation in _AFFINE and any(u.operation in ACTIVATIONS for u in users):
        return "z"
    if node.operation in ACTIVATIONS:
        return "h"
    core = node
    while core.operation in _AFFINE:
        core = next((i for i in core.inputs if _leads_to_product(i)), core.inputs[0])
    if core.operation == "matmul":
        return "r" if node.operation == "subtract" else "z"
    if node.operation in ("sum", "prod", "max", "min", "logsumexp", "norm"):
        return "s"
    return "r" if node.operation == "subtract" and not is_log_softmax(node) else "u"


def _leads_to_product(node: Node) -> bool:
    return node.operation == "matmul" or node.operation in _AFFINE


def _name_backward(choice: _Choice, naming: Naming, taken: set[str]) -> None:
    nodes = [n for n in choice.order if n in choice.named and n not in choice.is_forward]
    origins = {n: naming.forward[naming.adjoint_of[n][0]] for n in nodes if n in naming.adjoint_of}
    kinds = [name.kind for name in origins.values()]
    layer = "z" if "z" in kinds else "r"
    counters: dict[str, int] = {}
    for node in nodes:
        origin = origins.get(node)
        if origin is None:
            single = len(nodes) - len(origins) == 1
            naming.backward[node] = _indexed(node, "v", None, single, counters, taken)
        elif origin.kind == layer:
            single = kinds.count(layer) == 1 and origin.index is None
            naming.backward[node] = _indexed(node, "δ", origin.index, single, counters, taken)
        else:
            naming.backward[node] = _adjoint_name(node, origin, taken)


def _adjoint_name(node: Node, of: Name, taken: set[str]) -> Name:
    """δ with the name of the forward step as its index: δu₁ would read as a product."""
    name = f"delta_{of.symbol.name}"
    while taken & {name, shown_name(name)}:
        name += "_"
    taken |= {name, shown_name(name)}
    return Name(_symbol(name, node), "δ", of=of.symbol)


def _symbol(name: str, node: Node) -> sp.Symbol:
    if not node.shape and node.dtype == "real":
        return sp.Symbol(name)
    return TensorSymbol(name, node.shape, node.dtype)


# --- expressions over names --------------------------------------------------------------


def fold(node: Node, names: Mapping[Node, Name], own: bool = False) -> Any:
    """The SymPy expression of a node over the named ones.

    With ``own`` the node is spelled out even if it has a name itself.
    """
    if node in names and not own:
        return names[node].symbol
    new: dict[Node, Node] = {}
    for n in [*walk(node.inputs, names), node]:
        for operand in n.inputs:
            if operand in names and operand not in new:
                new[operand] = _leaf(names[operand].symbol, operand)
        inputs = tuple(new[i] for i in n.inputs)
        same = inputs == n.inputs
        new[n] = n if same else apply(n.operation, *inputs, attributes=n.attributes)
    return to_sympy([new[node]])[0]


def _leaf(symbol: sp.Symbol, node: Node) -> Node:
    return apply("symbol", attributes=(symbol, node.shape, node.dtype))
