"""What the steps of a derivation are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count

import sympy as sp

from ..expressions import TensorSymbol
from ..graph import Node, walk
from ..printing.layouts import is_log_softmax, is_softmax
from ..printing.style import Piece, Style
from ..printing.text import TEXT, shown_name
from ..textbook.monomials import without_constant
from .choice import ACTIVATIONS, AFFINE, Choice

__all__ = ["Given", "Name", "Naming", "name_steps"]


@dataclass(frozen=True)
class Name:
    """What a step is called.

    Attributes
    ----------
    symbol : Symbol
    kind : str
        The letter that says what the step is: z before an activation, h after it, …
    index : str or None
        Of a layer, and of what comes from it.
    of : Symbol or None
        For the adjoint of a step that is not a layer, the symbol of that step: δ has it as index.
    """

    symbol: sp.Symbol
    kind: str
    index: str | None = None
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
    taken : set of str
        The names of symbols, sizes and steps, as typed and as shown.
    """

    forward: dict[Node, Name] = field(default_factory=dict)
    backward: dict[Node, Name] = field(default_factory=dict)
    adjoint_of: dict[Node, tuple[Node, Node]] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

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
        cls,
        roots: Sequence[Node],
        given: Sequence[tuple[str, Node]],
        variables: Sequence[tuple[str, Node]],
    ) -> Given:
        """The names of nodes of a loss and its gradients; those given on purpose come first.

        ``roots`` are the loss, which no variable gives its name to, and the gradients.
        """
        present = {n for n in walk(roots) if n.inputs}
        titles = {n: title for title, n in reversed(given) if n in present}
        wanted = frozenset(titles)
        for title, node in variables:
            if node in present and node not in roots:
                titles.setdefault(node, title)
        return cls(titles, wanted)


# --- naming ------------------------------------------------------------------------------


def name_steps(choice: Choice, given: Given, symbols: Iterable[sp.Symbol]) -> Naming:
    """Name the chosen nodes.

    Parameters
    ----------
    choice : Choice
    given : Given
        What the user calls parts of the loss.
    symbols : list of Symbol
        Symbols whose names are taken, beside those of the loss.
    """
    naming = Naming()
    for node in choice.forward:
        pair = choice.core(node)
        if pair is not None and node in choice.named:
            factor, core = pair
            naming.adjoint_of[core] = (node, factor)
    taken = naming.taken = _taken(choice.order, symbols)
    titles = _own_titles(choice, given, taken)
    _name_forward(choice, naming, taken, titles)
    _name_backward(choice, naming, taken, titles)
    return naming


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


def _own_titles(choice: Choice, given: Given, taken: set[str]) -> dict[Node, str]:
    """The names that a user gave, each once: of equal ones, and of symbols' names, h₁, h₂, …."""
    titles = {n: given.titles[n] for n in choice.order if n in given.titles}
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
    choice: Choice, naming: Naming, taken: set[str], titles: Mapping[Node, str]
) -> None:
    kinds = {
        n: _kind(n, choice.users[n])
        for n in choice.forward
        if n in choice.named and n is not choice.root
    }
    counts = Counter(kinds.values())
    indices = _layer_indices([n for n, kind in kinds.items() if kind == "z"], titles)
    counters: Counter[str] = Counter()
    for node, kind in kinds.items():
        index = indices.get(node)
        if kind == "h" and node.inputs[0] in indices and node.inputs[0] in naming.forward:
            index = indices[node.inputs[0]]
        if node in titles:
            naming.forward[node] = Name(_symbol(titles[node], node), kind, index)
        else:
            alone = counts[kind] == 1
            naming.forward[node] = _numbered(node, kind, index, alone, counters, taken)
    if choice.root in choice.named:
        letters = chain(["L", "J", "loss"], (f"L{index}" for index in count(1)))
        letter = titles.get(choice.root) or next(c for c in letters if c not in taken)
        taken.add(letter)
        naming.forward[choice.root] = Name(_symbol(letter, choice.root), "L")


def _layer_indices(layers: Sequence[Node], titles: Mapping[Node, str]) -> dict[Node, str]:
    """The indices of the inputs of activations: of z_f it is f, of Z2 it is 2, or else a number.

    One layer has none. Beside layers with letters, those called otherwise have none.
    """
    if len(layers) < 2:
        return {}
    found = {n: _LAYER.fullmatch(titles.get(n, "")) for n in layers}
    indices = {n: match[1] or match[2] for n, match in found.items() if match is not None}
    lettered = any(not index.isdecimal() for index in indices.values())
    numbers = (str(i) for i in count(1))
    free = (number for number in numbers if number not in indices.values())
    for node in layers:
        if node not in indices and not (lettered and node in titles):
            indices[node] = next(free)
    order = {node: place for place, node in enumerate(layers)}
    return dict(sorted(indices.items(), key=lambda pair: order[pair[0]]))


_LAYER = re.compile("[A-Za-z](?:_?([0-9]{1,2})|_([A-Za-z]))")


def _numbered(
    node: Node, kind: str, index: str | None, alone: bool, counters: Counter[str], taken: set[str]
) -> Name:
    """A letter, with an index unless it is alone."""
    plain = _ASCII.get(kind, kind)
    if alone and index is None and not taken & {kind, plain}:
        taken |= {kind, plain}
        return Name(_symbol(plain, node), kind)
    while True:
        if index is None:
            counters[kind] += 1
        wanted = index or str(counters[kind])
        name = f"{plain}{wanted}" if wanted.isdecimal() else f"{plain}_{wanted}"
        if not taken & {name, shown_name(name)}:
            break
        index = None
    taken |= {name, shown_name(name)}
    return Name(_symbol(name, node), kind, wanted)


_ASCII = {"δ": "delta"}
"""How a letter is spelled in the name of a symbol."""


def _kind(node: Node, users: Sequence[Node]) -> str:
    """The letter of a forward step: z before an activation, h after it, r for a residual."""
    if node.dtype == "bool":
        return "c"
    if node.operation in AFFINE and any(u.operation in ACTIVATIONS for u in users):
        return "z"
    if node.operation in ACTIVATIONS:
        return "h"
    if is_softmax(node):
        return _probability(node)
    core = without_constant(node)
    while core.operation in AFFINE:
        inputs = [without_constant(i) for i in core.inputs]
        core = next((i for i in inputs if _leads_to_product(i)), inputs[0])
    if core.operation == "matmul":
        return "r" if node.operation == "subtract" else "z"
    if node.operation in ("sum", "prod", "max", "min", "logsumexp", "norm"):
        return "s"
    return "r" if node.operation == "subtract" and not is_log_softmax(node) else "u"


def _probability(node: Node) -> str:
    """The letter of probabilities, "" for anything else."""
    return ("P" if node.rank > 1 else "p") if is_softmax(node) else ""


def _leads_to_product(node: Node) -> bool:
    return node.operation == "matmul" or node.operation in AFFINE


def _name_backward(
    choice: Choice, naming: Naming, taken: set[str], titles: Mapping[Node, str]
) -> None:
    nodes = _backward_order(choice, naming)
    origins = {n: naming.forward[naming.adjoint_of[n][0]] for n in nodes if n in naming.adjoint_of}
    kinds = Counter(name.kind for name in origins.values())
    letters = {n: _probability(n) or "v" for n in nodes if n not in origins}
    counts = Counter(letters.values())
    layer = "z" if kinds["z"] else "r"
    counters: Counter[str] = Counter()
    for node in nodes:
        origin = origins.get(node)
        if node in titles:
            name = Name(_symbol(titles[node], node), letters.get(node, "δ"))
        elif origin is None:
            alone = counts[letters[node]] == 1
            name = _numbered(node, letters[node], None, alone, counters, taken)
        elif origin.kind == layer and (origin.index is not None or kinds[layer] == 1):
            name = _numbered(node, "δ", origin.index, kinds[layer] == 1, counters, taken)
        else:
            name = _adjoint_name(node, origin, taken)
        naming.backward[node] = name


def _backward_order(choice: Choice, naming: Naming) -> list[Node]:
    """The named backward nodes from the loss on, each after what it needs."""
    place = {n: i for i, n in enumerate(choice.forward)}
    backward = [n for n in choice.order if n in choice.named and n not in choice.is_forward]
    of = {n: place[naming.adjoint_of[n][0]] for n in backward if n in naming.adjoint_of}
    done: set[Node] = set(choice.is_forward)
    ordered: list[Node] = []
    for node in [*sorted(of, key=of.__getitem__, reverse=True), *backward]:
        new = walk([node], done)
        ordered += [n for n in new if n in choice.named]
        done.update(new)
    return ordered


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
