"""What is drawn: boxes, what they read, and the layers they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ..errors import InvalidArgument

__all__ = ["Drawing", "DrawnNode"]

ALWAYS_OPEN = 4
"""Boxes of steps up to which a loss is not worth hiding."""
MOST_NAMES = 3
"""Parameters or gradients of a layer that are named on its box."""


@dataclass(frozen=True)
class DrawnNode:
    """One box of a drawing.

    Attributes
    ----------
    key : int
        Its place in the order of evaluation.
    name : str
        ``z₁``, ``∂L/∂W₁``, ``layer 2``.
    formula : str
        What it is computed by, in full; empty for a leaf.
    shape : str
    role : {"data", "parameter", "forward", "backward", "gradient"}
    inputs : tuple of int
        Keys of the boxes it is computed from, each once.
    adjoint_of : int or None
        The forward box whose adjoint it is, up to a constant factor; for a gradient, its
        parameter.
    layer : str
        The layer it belongs to, or nothing.
    rule : str
        The rule that made it.
    meaning : str
        For an adjoint, the derivative that it is: ``n ∂L/∂z``.
    outside : bool
        True where it belongs to another layer than the one that is drawn.
    is_layer : bool
        True where it stands for all of a layer; its formula is what enters and comes out.
    """

    key: int
    name: str
    formula: str
    shape: str
    role: str
    inputs: tuple[int, ...] = ()
    adjoint_of: int | None = None
    layer: str = ""
    rule: str = ""
    meaning: str = ""
    outside: bool = False
    is_layer: bool = False

    @property
    def label(self) -> tuple[str, ...]:
        """Its lines: name, formula, shape, as far as it has them."""
        return tuple(line for line in (self.name, self.formula, self.shape) if line)

    @property
    def phase(self) -> str:
        """``leaf``, ``forward`` or ``backward``."""
        if self.role in ("data", "parameter"):
            return "leaf"
        return "forward" if self.role == "forward" else "backward"


@dataclass(frozen=True)
class Drawing:
    """A derivation as boxes and arrows; made by :meth:`Derivation.graph`.

    In a notebook it shows itself.

    Attributes
    ----------
    nodes : tuple of DrawnNode
        In the order of evaluation.
    layers : tuple of str
        Names of the layers from the data to the loss; empty for a model of a single layer.
    collapsed : frozenset of str
        The layers that are drawn as one box, and another one for the way back.
    """

    nodes: tuple[DrawnNode, ...]
    layers: tuple[str, ...] = ()
    collapsed: frozenset[str] = frozenset()
    whole: Drawing | None = field(default=None, repr=False, compare=False)

    @cached_property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """``(from, to)`` for every arrow."""
        return tuple((source, node.key) for node in self.nodes for source in node.inputs)

    @cached_property
    def links(self) -> tuple[tuple[int, int], ...]:
        """``(forward box, its adjoint)``; a gradient has its parameter in its name."""
        return tuple(
            (node.adjoint_of, node.key)
            for node in self.nodes
            if node.role == "backward" and node.adjoint_of is not None
        )

    def collapse(self, expand: Iterable[str | int] | str | int = ()) -> Drawing:
        """The same derivation with one box a layer and one for the way back through it.

        Parameters
        ----------
        expand : str, int or list of them
            Layers to draw in full: their names, or their numbers.

        Examples
        --------
        >>> import symdiff as sd
        >>> X, W = sd.tensor("X", "n", 3), [sd.tensor(f"W{i}", 3, 3) for i in range(1, 5)]
        >>> h = X
        >>> for matrix in W:
        ...     h = sd.tanh(h @ matrix)
        >>> drawing = sd.derive(sd.mean(h**2), W).graph()
        >>> [node.name for node in drawing.collapse().nodes][:4]
        ['X', 'layer 1', 'layer 2', 'layer 3']
        >>> [node.name for node in drawing.collapse(expand=2).nodes][:5]
        ['X', 'layer 1', 'W₂', 'z₂', 'h₂']
        """
        whole = self.whole or self
        opened = whole.known(expand)
        sizes = dict.fromkeys(whole.layers, 0)
        for node in whole.nodes:
            if node.role in ("forward", "backward") and node.layer:
                sizes[node.layer] += 1
        hidden = [
            layer
            for layer in whole.layers
            if layer not in opened and not (layer == "loss" and sizes[layer] <= ALWAYS_OPEN)
        ]
        return _collapsed(whole, hidden)

    def known(self, layers: Iterable[str | int] | str | int) -> set[str]:
        """Names of layers that are there; numbers count from 1."""
        listed = [layers] if isinstance(layers, (str, int)) else list(layers)
        names = {f"layer {n}" if isinstance(n, int) else str(n) for n in listed}
        unknown = sorted(names - set(self.layers))
        if unknown:
            there = ", ".join(self.layers) or "none: the model has a single layer"
            raise InvalidArgument(
                f"there is no layer {unknown[0]!r} to expand; the layers are {there}"
            )
        return names

    def inside(self, layer: str) -> Drawing:
        """One layer alone, with what it reads of others."""
        (name,) = self.known(layer)
        nodes = (self.whole or self).nodes
        members = [n for n in nodes if n.layer == name]
        read = {i for n in members for i in n.inputs} - {n.key for n in members}
        kept = [
            replace(n, inputs=(), adjoint_of=None, outside=True) if n.key in read else n
            for n in nodes
            if n.layer == name or n.key in read
        ]
        return Drawing(_renumbered(kept))

    def dot(self) -> str:
        r"""The drawing in the language of Graphviz, layers as clusters.

        Examples
        --------
        >>> import sympy as sp, symdiff as sd
        >>> x = sp.Symbol("x")
        >>> print(sd.derive(sp.sin(x), x).graph().dot())
        digraph derivation {
          rankdir=TB; fontname="sans-serif";
          node [fontname="sans-serif", shape=box, style="rounded,filled"];
          n0 [label="x\n()", fillcolor="#e3f1dc"];
          n1 [label="L\nsin(x)\n()", fillcolor="#dbe9fa"];
          n2 [label="∂L/∂x\ncos(x)\n()", fillcolor="#fbd3a8"];
          n0 -> n1;
          n0 -> n2 [constraint=false, color="#a9b0ba"];
        }
        """
        from .dot import dot

        return dot(self)

    def svg(self) -> str:
        """The picture as SVG, complete in itself: no script, no fonts, nothing to load.

        Forward steps stand on the left and go down, their adjoints beside them and go up. A
        dashed line ties an adjoint to its forward step. What is too long for a box is cut
        there; the whole formula shows under the pointer. Colours follow the reader's scheme,
        light or dark; a page may set its own by the CSS variables ``--graph-...``.
        """
        return self._svg

    @cached_property
    def _svg(self) -> str:
        from .svg import svg

        return svg(self)

    def html(self) -> str:
        """A part of an HTML page: the picture, and where layers are collapsed, each to open.

        It needs no script and nothing from the network.
        """
        from .html import html

        return html(self)

    def _repr_svg_(self) -> str:
        return self.svg()


def _renumbered(nodes: Sequence[DrawnNode]) -> tuple[DrawnNode, ...]:
    keys = {node.key: place for place, node in enumerate(nodes)}
    return tuple(
        replace(
            node,
            key=keys[node.key],
            inputs=tuple(keys[i] for i in node.inputs if i in keys),
            adjoint_of=keys.get(node.adjoint_of) if node.adjoint_of is not None else None,
        )
        for node in nodes
    )


def _collapsed(whole: Drawing, hidden: Sequence[str]) -> Drawing:
    """One box for the forward part of each hidden layer, and one for the way back."""
    parts: dict[tuple[str, str], list[DrawnNode]] = {}
    box: dict[int, tuple[str, str] | int] = {}
    for node in whole.nodes:
        box[node.key] = node.key
        if node.layer in hidden and node.role != "data":
            side = "backward" if node.phase == "backward" else "forward"
            box[node.key] = (node.layer, side)
            parts.setdefault((node.layer, side), []).append(node)
    # A box of many comes where the last of them was: after all that it reads. On the way back
    # gradients come last, although nothing reads them, so the steps alone count.
    place: dict[tuple[str, str] | int, int] = {}
    for part, members in parts.items():
        steps = [n for n in members if n.role in ("forward", "backward")] or members
        place[part] = max(n.key for n in steps)
    plain = {n.key: n for n in whole.nodes if box[n.key] == n.key}
    place.update({key: key for key in plain})
    # A layer may be evaluated in pieces; drawn as one box it comes before all later layers.
    level = {layer: number for number, layer in enumerate(whole.layers)}

    def position(key: tuple[str, str] | int) -> tuple[bool, int, int]:
        if isinstance(key, int):
            layer, back = plain[key].layer, plain[key].phase == "backward"
        else:
            layer, back = key[0], key[1] == "backward"
        return back, level.get(layer, 0) * (-1 if back else 1), place[key]

    order = sorted(place, key=position)
    numbers = {key: number for number, key in enumerate(order)}
    nodes = []
    for key in order:
        members = [plain[key]] if isinstance(key, int) else parts[key]
        read = {numbers[box[i]] for n in members for i in n.inputs} - {numbers[key]}
        if isinstance(key, int):
            node = members[0]
            of = None if node.adjoint_of is None else numbers[box[node.adjoint_of]]
        else:
            node = _summary(key, members)
            of = numbers.get((key[0], "forward")) if key[1] == "backward" else None
        nodes.append(replace(node, key=numbers[key], inputs=tuple(sorted(read)), adjoint_of=of))
    return Drawing(tuple(nodes), whole.layers, frozenset(hidden), whole)


def _summary(key: tuple[str, str], members: Sequence[DrawnNode]) -> DrawnNode:
    """The box of a layer: what enters, what comes out."""
    layer, side = key
    steps = [n for n in members if n.role == side]
    last = steps[-1] if steps else members[-1]
    others = [n.name for n in members if n.role in ("parameter", "gradient")]
    if side == "forward":
        formula = f"{_listed(others)} → {last.name}" if others else f"→ {last.name}"
        return DrawnNode(0, layer, formula, last.shape, "forward", layer=layer, is_layer=True)
    shown = _listed(others) if others else _listed([n.name for n in steps])
    return DrawnNode(0, f"{layer}, backward", shown, "", "backward", layer=layer, is_layer=True)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return f"{shown}, …" if len(names) > MOST_NAMES else shown
