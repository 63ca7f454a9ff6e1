"""The graph of a derivation: forward nodes, and the gradient nodes that were added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..bridge import to_graph
from ..graph import Node, walk
from ..shapes import text
from .text import node_text

if TYPE_CHECKING:
    from ..derivation import Derivation

__all__ = ["Drawing", "DrawnNode", "draw"]


@dataclass(frozen=True)
class DrawnNode:
    """One node of a drawing.

    Attributes
    ----------
    key : int
    label : tuple of str
        Lines: the name where there is one, the operation or value, the shape.
    phase : {"leaf", "forward", "backward"}
    inputs : tuple of int
        Keys of the nodes it is computed from.
    adjoint_of : int or None
        The forward node whose adjoint it is, up to a constant factor.
    """

    key: int
    label: tuple[str, ...]
    phase: str
    inputs: tuple[int, ...]
    adjoint_of: int | None = None


@dataclass(frozen=True)
class Drawing:
    """A derivation as nodes and edges, in the order of evaluation."""

    nodes: tuple[DrawnNode, ...]

    def dot(self) -> str:
        r"""The drawing in the language of Graphviz.

        Examples
        --------
        >>> import sympy as sp
        >>> from symdiff.derivation import derive
        >>> x = sp.Symbol("x")
        >>> print(derive(sp.sin(x), x).graph().dot())
        digraph derivation {
          rankdir=TB;
          node [fontname="sans-serif", shape=box, style="rounded,filled"];
          n0 [label="x\n()", fillcolor="#f4f4f0"];
          n1 [label="L\nsin\n()", fillcolor="#dce9f7"];
          n2 [label="∂L/∂x\ncos\n()", fillcolor="#fbe3d6"];
          n0 -> n1;
          n0 -> n2;
        }
        """
        lines = [
            "digraph derivation {",
            "  rankdir=TB;",
            '  node [fontname="sans-serif", shape=box, style="rounded,filled"];',
        ]
        for node in self.nodes:
            label = r"\n".join(map(quoted, node.label))
            colour = _COLOURS[node.phase]
            lines.append(f'  n{node.key} [label="{label}", fillcolor="{colour}"];')
        for node in self.nodes:
            lines += [f"  n{source} -> n{node.key};" for source in node.inputs]
            if node.adjoint_of is not None:
                lines.append(
                    f"  n{node.adjoint_of} -> n{node.key} "
                    '[style=dashed, dir=none, constraint=false, color="#b05030"];'
                )
        return "\n".join([*lines, "}"])


_COLOURS = {"leaf": "#f4f4f0", "forward": "#dce9f7", "backward": "#fbe3d6"}


def quoted(label: str) -> str:
    """Any text inside double quotes of Graphviz."""
    printable = "".join(c if c.isprintable() else "?" for c in label)
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def draw(derivation: Derivation) -> Drawing:
    """The nodes of the loss and of its gradients; numbers and sizes are left out."""
    forward = set(walk([derivation.loss_node]))
    shown = [
        n
        for n in walk([derivation.loss_node, *derivation.gradient_nodes.values()])
        if n.operation not in ("number", "size")
    ]
    keys = {n: i for i, n in enumerate(shown)}
    titles = {n: name.text for n, name in derivation.naming.all.items()}
    loss = titles.get(derivation.loss_node, "L")
    origins = {n: of for n, (of, _) in derivation.naming.adjoint_of.items()}
    for symbol, node in derivation.gradient_nodes.items():
        titles.setdefault(node, f"∂{loss}/∂{node_text(to_graph(symbol))}")
    return Drawing(
        tuple(
            DrawnNode(
                keys[n],
                _label(n, titles.get(n)),
                "leaf" if not n.inputs else "forward" if n in forward else "backward",
                tuple(keys[i] for i in n.inputs if i in keys),
                keys.get(origins[n]) if n in origins else None,
            )
            for n in shown
        )
    )


def _label(node: Node, title: str | None) -> tuple[str, ...]:
    what = node_text(node) if node.row.kind == "leaf" else node.operation
    shape = text(node.shape)
    return (title, what, shape) if title is not None and title != what else (what, shape)
