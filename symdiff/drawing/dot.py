"""A drawing in the language of Graphviz, which places it itself."""

from __future__ import annotations

from .model import Drawing, DrawnNode
from .svg import COLOURS

__all__ = ["dot", "quoted"]

LONGEST = 100
"""Characters of a line of a label."""


def dot(drawing: Drawing) -> str:
    """The text for Graphviz: forward goes down and backward up, layers are clusters."""
    lines = [
        "digraph derivation {",
        '  rankdir=TB; fontname="sans-serif";',
        '  node [fontname="sans-serif", shape=box, style="rounded,filled"];',
    ]
    opened = [name for name in drawing.layers if name not in drawing.collapsed]
    inside: dict[str, list[DrawnNode]] = {name: [] for name in opened}
    for node in drawing.nodes:
        if node.layer in inside:
            inside[node.layer].append(node)
        else:
            lines.append(f"  {_node(node)}")
    for place, (name, nodes) in enumerate(inside.items()):
        lines += [
            f"  subgraph cluster_{place} {{",
            f'    label="{quoted(name)}"; style="filled,rounded"; color="{COLOURS["band"][0]}";',
            *(f"    {_node(node)}" for node in nodes),
            "  }",
        ]
    for source, target in drawing.edges:
        lines.append(f"  {_edge(drawing.nodes[source], drawing.nodes[target])}")
    for step, adjoint in drawing.links:
        lines.append(
            f"  n{step} -> n{adjoint} [style=dotted, dir=none, constraint=false, "
            f'color="{COLOURS["muted"][0]}"];'
        )
    return "\n".join([*lines, "}"])


def _node(node: DrawnNode) -> str:
    label = r"\n".join(quoted(_cut(line)) for line in node.label)
    return f'n{node.key} [label="{label}", fillcolor="{COLOURS[node.role][0]}"];'


def _edge(source: DrawnNode, target: DrawnNode) -> str:
    if target.phase != "backward":
        return f"n{source.key} -> n{target.key};"
    if source.phase != "backward":
        colour = COLOURS["across-edge"][0]
        return f'n{source.key} -> n{target.key} [constraint=false, color="{colour}"];'
    # Graphviz puts the first of two above: written the other way round, what follows on the way
    # back stands higher.
    colour = COLOURS["backward-edge"][0]
    return f'n{target.key} -> n{source.key} [dir=back, color="{colour}"];'


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


def quoted(label: str) -> str:
    """Any text inside double quotes of Graphviz."""
    printable = "".join(c if c.isprintable() else "?" for c in label)
    return printable.replace("\\", "\\\\").replace('"', '\\"')
