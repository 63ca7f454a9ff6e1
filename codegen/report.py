"""What the machine adds to the page of a derivation: the kernel, and what training has done.

The kernel of a page is made of the very nodes that the page shows. Beside each line that computes
a node stands that node, written over the names of the derivation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sympy as sp

from symdiff.bridge import to_graph
from symdiff.derivation import Derivation
from symdiff.graph import Node, leaves, substitute, walk
from symdiff.modes import settle
from symdiff.printing.lines import LONGEST, Notation
from symdiff.printing.mathml import MATHML
from symdiff.printing.style import Piece
from symdiff.report import Block, derivation_page
from symdiff.report.arrays import arrays_table
from symdiff.report.blocks import Markup, paragraph
from symdiff.report.charts import curves
from symdiff.report.derivation import heading
from symdiff.report.formulas import formula, own_row
from symdiff.report.listing import listing

from .decompose import decompose
from .kernel import FunctionKernel, Options, choose_rows
from .update import COMPLEMENT

if TYPE_CHECKING:
    from .history import History
    from .trainer import Trainer

__all__ = ["function_kernel", "kernel_blocks", "kernel_listing", "training_page"]

_VIEW = re.compile(r"\s*\w+ = at\(")
"""A line that says where something lies, and computes nothing."""

_TARGET = re.compile(r"\s*(\w+)(?:\[.*?\])? (?:\+?=) ")
"""A line that gives a variable or an element its value."""

MOST_LINES = 4000
"""Lines of a listing; the copied text is complete."""


def function_kernel(derivation: Derivation, dtype: str = "float64") -> FunctionKernel:
    """The kernel that computes the loss and the gradients of a derivation."""
    roots = [derivation.loss_node, *derivation.gradient_nodes.values()]
    roots += derivation.hessian_nodes.values()
    settled = settle(roots)
    symbols = sorted(leaves(settled), key=lambda n: str(n.attributes[0]))
    title, _ = heading(derivation)
    return FunctionKernel(settled, symbols, choose_rows(symbols), Options(dtype), title)


def kernel_blocks(derivation: Derivation, dtype: str = "float64") -> list[Block]:
    """The kernel of loss and gradients, as a block of a page."""
    kernel = function_kernel(derivation, dtype)
    said = paragraph(
        "One function that computes the loss and its gradients, as Python text for the compiler. "
        "What is computed stands beside the line that does it."
    )
    made = kernel_listing(kernel.source, kernel.formulas, derivation)
    return [Block("kernel", "Kernel", Markup(said + made), (("Copy code", kernel.source),))]


def kernel_listing(
    source: str,
    formulas: Mapping[str, Node | None],
    derivation: Derivation,
    data: Sequence[Node] = (),
) -> Markup:
    """The text of a kernel with the formulas of a derivation beside its lines.

    Parameters
    ----------
    formulas : dict
        ``{comment: node}``, see :func:`codegen.formula.by_comment`.
    data : sequence of Node
        Leaves of the kernel that stand for symbols of the derivation: those of the loss of one
        sample have a value for each sample there.
    """
    lines = source.rstrip("\n").split("\n")
    found: dict[int, tuple[Node, str | None]] = {}
    for number, line in enumerate(lines, 1):
        node = formulas.get(line.partition("# ")[2])
        if node is not None and not _VIEW.match(line):
            target = _TARGET.match(line)
            found[number] = node, target[1] if target else None
    variables = {n: t for n, t in found.values() if t is not None}
    written = _Written(derivation, variables, {to_graph(n.attributes[0]): n for n in data})
    beside: dict[int, Markup] = {}
    last = None
    for number, (node, _) in found.items():
        if node is not last:  # a loop that is written out says it once
            beside[number] = written.line(node)
        last = node
    shown = "\n".join(lines[:MOST_LINES])
    made = listing(shown, beside)
    if len(lines) > MOST_LINES:
        left = paragraph(f"{len(lines) - MOST_LINES} more lines are in the copied text.")
        return Markup(made + left)
    return made


class _Written:
    """Nodes of a kernel as formulas over the names of a derivation.

    What a kernel computes by other operations, such as a sum of exponentials whose greatest is
    taken out, is shown as what it is in the derivation, under its name there.
    """

    def __init__(
        self, derivation: Derivation, variables: Mapping[Node, str], data: Mapping[Node, Node]
    ) -> None:
        notation = Notation(derivation, MATHML)
        self.page = notation.page
        self.names = {n: name.piece(MATHML).text for n, name in derivation.naming.all.items()}
        for symbol, node in derivation.gradient_nodes.items():
            self.names.setdefault(node, notation.derivative(notation.symbol(symbol)))
        self.names.setdefault(derivation.loss_node, notation.loss)
        nodes = [derivation.loss_node, *derivation.gradient_nodes.values()]
        steps = walk([*nodes, *derivation.hessian_nodes.values()])
        self.steps: dict[Node, Node] = {}
        for lowered, step in zip(decompose(substitute(steps, data)), steps, strict=True):
            self.steps[lowered] = step
            while lowered.operation == "reshape" and step.operation != "reshape":
                (lowered,) = lowered.inputs  # which costs nothing, and has no line
                self.steps.setdefault(lowered, step)
        self.variables = Notation(derivation, MATHML).page
        for leaf in leaves(variables):
            name = leaf.attributes[0].name
            if name.startswith(COMPLEMENT):
                rest = MATHML.symbol(name.removeprefix(COMPLEMENT)).text
                one = MATHML.literal(sp.S.One).text
                piece = Piece(MATHML.parentheses(one + MATHML.minus + rest))
                self.page.name(leaf, piece)
                self.variables.name(leaf, piece)
        for page in (self.page, self.variables):
            for lowered, step in self.steps.items():
                if step in page.names:
                    page.name(lowered, page.names[step])
        for node, variable in variables.items():
            if self.variables.opens(node) and node.inputs:
                self.variables.name(node, Piece(MATHML.code(variable), short=False))

    def line(self, node: Node) -> Markup:
        """``r = Xw − y`` for a step, else what the node is; over variables where that is long."""
        node = self.steps.get(node, node)
        name = self.names.get(node)
        page = self.page if self.page.size(node, own=True) <= LONGEST else self.variables
        if page.size(node, own=True) > LONGEST:
            return formula(name) if name else Markup("")
        definition = own_row(page.definition(node))
        return formula(f"{name}{MATHML.relations['equal']}{definition}" if name else definition)


# --- training ----------------------------------------------------------------------------


def training_page(trainer: Trainer, history: History | None) -> str:
    """The page of a trainer: its derivation, the loop, what it recorded, what it has learned."""
    derivation = trainer.derivation
    blocks = [*history_blocks(history), *parameter_blocks(trainer)]
    blocks.append(loop_block(trainer, derivation))
    return derivation_page(derivation, blocks)


def history_blocks(history: History | None) -> list[Block]:
    """The loss of the last fit, and each metric, with those of the validation data."""
    if history is None or not any(history.records.values()):
        said = paragraph("The model has not been trained yet.")
        return [Block("training", "Training", said)]
    names = [n for n in history.records if not n.startswith("val_") or n[4:] not in history]
    parts = []
    for name in names:
        series = {"train": history[name]}
        if f"val_{name}" in history:
            series["validation"] = history[f"val_{name}"]
        parts.append(f"<figure>{curves(series, history.unit, name)}</figure>")
    return [Block("training", "Training", Markup("".join(parts)))]


def parameter_blocks(trainer: Trainer) -> list[Block]:
    """The parameters as they are now."""
    from symdiff.errors import BindingError

    try:
        values: Mapping[Any, Any] = trainer.parameters
    except BindingError as error:  # their sizes come with the data
        return [Block("parameters", "Parameters", paragraph(str(error)))]
    return [Block("parameters", "Parameters", arrays_table(values))]


def loop_block(trainer: Trainer, derivation: Derivation) -> Block:
    """The kernel of the training loop."""
    from symdiff.errors import BindingError

    try:
        kernel = trainer.kernel
    except BindingError as error:
        return Block("kernel", "Kernel", paragraph(str(error)))
    said = paragraph(
        f"The whole training loop: the batch, forward, backward, and the update of "
        f"{trainer.optimizer.name}. What is computed stands beside the line that does it; "
        "g is a gradient and w a parameter of the update."
    )
    made = kernel_listing(kernel.source, kernel.formulas, derivation, kernel.step.data)
    return Block("kernel", "Kernel", Markup(said + made), (("Copy code", kernel.source),))
