"""Derivations: the gradient of a loss as named steps, each with the rule that made it.

The steps are parts of the very graph that :func:`symdiff.gradient` returns and that codegen
compiles; nothing is derived a second time to be explained.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sympy as sp

from .binding import SymbolDict, symbol_of
from .bridge import to_graph
from .errors import InvalidArgument, InvalidType
from .explanation import Explanation, explain
from .gradient import Contribution, Trace, derived, loss_nodes, parameter_nodes
from .graph import Node, number, walk
from .language import as_expression
from .naming import given_names, variables_of_caller
from .printing.derivation import derivation_latex, derivation_mathml, derivation_text
from .reordering import Reordering, reorder
from .rewrite import Applied
from .second_order import hessian_nodes
from .shapes import Shape, Size
from .steps import Given, Name, Naming, choose, fold
from .textbook import textbook

if TYPE_CHECKING:
    from .drawing import Drawing

__all__ = ["Derivation", "Step", "derive"]


@dataclass(frozen=True)
class Step:
    """One named intermediate of a derivation.

    Attributes
    ----------
    symbol : Symbol
        Its name: a plain symbol for a real scalar, else a tensor symbol with its shape.
    shape : tuple
    rule : str
        What made it: for a forward step its operations, for an adjoint the rules that lead to
        it from the loss, for a stability rewrite the name of the rewrite.
    of : Step or None
        The forward step it is the adjoint of.
    factor : sympy.Expr
        ``factor * symbol`` is the derivative of the loss with respect to ``of``. It is 1 unless
        a constant such as 2 or 1/n was taken out of all that follows.
    phase : {"forward", "backward"}
    """

    symbol: sp.Symbol
    shape: Shape
    rule: str
    of: Step | None
    factor: Any
    phase: str
    node: Node = field(repr=False)
    _names: dict[Node, Name] = field(repr=False, compare=False, hash=False)

    @cached_property
    def expression(self) -> Any:
        """The step over the symbols of earlier steps, as SymPy."""
        return fold(self.node, self._names, own=True)


class Derivation:
    """Everything about one gradient; made by :func:`derive`.

    Attributes
    ----------
    loss : sympy.Expr
    parameters : tuple of Symbol
        In the order given, each once.
    names : dict
        ``{name: expression}``: what parts of the loss are called.
    loss_node : Node
        The graph of the loss, after the stability rewrites.
    gradient_nodes : dict
        ``{symbol: Node}``.
    applied : list
        The stability rewrites: ``(rule, node before, node after)``.
    reordering : Reordering or None
        The products that a kernel computes in another order, see :meth:`in_cheapest_order`.
    hessian_nodes : dict
        ``{(symbol, symbol): Node}``, empty without :meth:`with_hessian`.
    """

    def __init__(
        self, loss: Any, parameters: tuple[sp.Symbol, ...], names: Mapping[str, Any] | None = None
    ) -> None:
        self.loss = as_expression(loss)
        self.names = dict(names or {})
        self.reordering: Reordering | None = None
        self.hessian_nodes: dict[tuple[sp.Symbol, sp.Symbol], Node] = {}
        self.applied: Applied = []
        given = given_names(self.loss)
        variables = [(title, to_graph(as_expression(e))) for title, e in self.names.items()]
        named = [*given, *variables]
        self.loss_node, *parts = loss_nodes(self.loss, [n for _, n in named], self.applied)
        named = [(title, part) for (title, _), part in zip(named, parts, strict=True)]
        nodes, _ = parameter_nodes(list(parameters), [self.loss_node])
        nodes = list(dict.fromkeys(nodes))
        self.parameters = tuple(n.attributes[0] for n in nodes)
        self._trace: Trace = {}
        gradients, self.adjoint_nodes, self._plain = derived(self.loss_node, nodes, self._trace)
        self.gradient_nodes: dict[sp.Symbol, Node] = SymbolDict(
            zip(self.parameters, gradients, strict=True)
        )
        roots = [self.loss_node, *self.gradient_nodes.values()]
        self._given = Given.of(roots, named[: len(given)], named[len(given) :])
        used = set(self._given.titles.values())
        self.names = {title: e for title, e in self.names.items() if title in used}

    def __reduce__(self) -> tuple[Any, ...]:
        ordered = self.reordering and (self.reordering.rows, self.reordering.sizes)
        return _again, (
            self.loss, list(self.parameters), self.names, ordered, bool(self.hessian_nodes)
        )  # fmt: skip

    def in_cheapest_order(
        self, rows: Any = None, sizes: Mapping[Size, int] | None = None
    ) -> Derivation:
        """The same derivation, telling which products are cheaper in another order.

        Parameters
        ----------
        rows : size, optional
            The size that counts the rows of a batch; it is taken to be large.
        sizes : mapping, optional
            Values of symbolic sizes.

        Examples
        --------
        >>> import symdiff as sd
        >>> from symdiff.derivation import derive
        >>> X, V, w = sd.tensor("X", "n", 3), sd.tensor("V", 3, 20), sd.tensor("w", 20)
        >>> d = derive(sd.sum((X @ V @ w) ** 2), w).in_cheapest_order("n")
        >>> print(d.reordering.before, "to", d.reordering.after)
        6484 to 588
        """
        if isinstance(rows, str):
            rows = Size(rows)
        result = Derivation(self.loss, self.parameters, self.names)
        result.hessian_nodes = self.hessian_nodes
        roots = [result.loss_node, *result.gradient_nodes.values()]
        result.reordering = reorder(roots, rows, sizes)
        return result

    def with_hessian(self) -> Derivation:
        """The same derivation with the second derivatives, each pair of parameters once.

        Examples
        --------
        >>> import symdiff as sd
        >>> from symdiff.derivation import derive
        >>> X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
        >>> print(derive(sd.sum((X @ w - y) ** 2), w).with_hessian())
        forward
          r = Xw − y         (n,)
          L = ‖r‖²             ()
        <BLANKLINE>
        gradients
          ∂L/∂w = 2Xᵀr       (3,)
        <BLANKLINE>
        second derivatives
          ∂²L/∂w∂w = 2XᵀX  (3, 3)
        """
        result = Derivation(self.loss, self.parameters, self.names)
        result.reordering = self.reordering
        nodes, _ = parameter_nodes(list(self.parameters), [result.loss_node])
        blocks = hessian_nodes(result.loss_node, nodes)
        pairs = [(i, j) for i in range(len(nodes)) for j in range(i, len(nodes))]
        before = [result.loss_node, *result.gradient_nodes.values()]
        found = textbook([blocks[i][j] for i, j in pairs], before)
        for (i, j), block in zip(pairs, found, strict=True):
            result.hessian_nodes[self.parameters[i], self.parameters[j]] = block
        return result

    @cached_property
    def naming(self) -> Naming:
        """The nodes that are steps, and their names."""
        return choose(
            self.loss_node,
            [*self.gradient_nodes.values(), *self.hessian_nodes.values()],
            self.adjoint_nodes,
            [after for _, _, after in self.applied],
            self.parameters,
            self._given,
        )

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """The named intermediates in the order of evaluation: forward, then backward."""
        naming = self.naming
        names = naming.all
        rewritten = {after: rule.name for rule, _, after in self.applied}
        origins = {of for of, _ in naming.adjoint_of.values()}
        made: dict[Node, Step] = {}
        for node, name in naming.forward.items():
            rule = rewritten.get(node) or self.forward_rule(node)
            made[node] = Step(name.symbol, node.shape, rule, None, sp.S.One, "forward", node, names)
        for node, name in naming.backward.items():
            of, factor = naming.adjoint_of.get(node, (None, number(1)))
            rule = _rule(node) if of is None else self.rules_between(of, origins)
            origin = made[of] if of is not None else None
            scale = fold(factor, {})
            made[node] = Step(name.symbol, node.shape, rule, origin, scale, "backward", node, names)
        return tuple(made.values())

    @cached_property
    def gradients(self) -> dict[sp.Symbol, Any]:
        """The gradient of each parameter over the named intermediates."""
        names = self.naming.all
        return SymbolDict({s: fold(n, names) for s, n in self.gradient_nodes.items()})

    def forward_rule(self, node: Node, further: Mapping[Node, Any] | None = None) -> str:
        """The operations of a forward step, down to other named ones and to ``further``."""
        names = ChainMap[Node, Any](self.naming.forward, dict(further or {}))
        below = [n for n in walk(node.inputs, names) if n.inputs]
        return ", ".join(dict.fromkeys(_rule(n) for n in [*below, node]))

    def rules_between(self, node: Node, stop: Container[Node]) -> str:
        """The rules that lead to the adjoint of a forward node, from those in ``stop``."""
        rules: list[str] = []
        pending, seen = [node], {node}
        while pending:
            for user in self._users.get(pending.pop(), []):
                if user in seen or user not in self.adjoint_nodes:
                    continue
                seen.add(user)
                rules.append(_rule(user))
                if user not in stop:
                    pending.append(user)
        return ", ".join(dict.fromkeys(reversed(rules)))

    @cached_property
    def _users(self) -> dict[Node, list[Node]]:
        """For each forward node, the forward nodes that read it."""
        result: dict[Node, list[Node]] = {}
        for node in walk([self.loss_node]):
            for operand in dict.fromkeys(node.inputs):
                result.setdefault(operand, []).append(node)
        return result

    # --- what a person reads -------------------------------------------------------------

    def __str__(self) -> str:
        return derivation_text(self)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.parameters))
        return f"<Derivation by {names}: {len(self.steps)} steps>"

    def latex(self) -> str:
        """The named steps and the gradients as an ``aligned`` environment."""
        return derivation_latex(self)

    def mathml(self) -> str:
        """The named steps and the gradients as a ``<math>`` element, which browsers show."""
        return derivation_mathml(self)

    def report(self, path: str | Path) -> Path:
        """Write one HTML page with all there is to see; it needs no network and no other file.

        Formulas, explanations, graph, steps, operation counts, and the kernel with the formula
        beside each line where the package that generates it is installed.

        Parameters
        ----------
        path : str or path
            The file, in a directory that exists; it is replaced in one piece.

        Returns
        -------
        Path
            That of the file.

        Raises
        ------
        symdiff.report.document.WriteError
            An ``OSError``: there is no such directory, or it cannot be written to.
        """
        from .report import derivation_page, write

        return write(path, derivation_page(self))

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    @cached_property
    def trace(self) -> Trace:
        """What each adjoint is the sum of, in the form that the gradients contain."""
        sent = [c for terms in self._trace.values() for c in terms]
        terms = textbook([c.term for c in sent], [self.loss_node], self._plain)
        rewritten = iter(terms)
        return {
            node: [Contribution(c.user, c.position, next(rewritten)) for c in terms]
            for node, terms in self._trace.items()
        }

    def explain(
        self, parameter: sp.Symbol, values: Mapping[Any, Any] | None = None, check: bool = False
    ) -> Explanation:
        """The chain of rules from the loss to one parameter, one rule per line.

        Parameters
        ----------
        parameter : Symbol
            One of those that the loss was derived by.
        values : dict, optional
            ``{symbol: array}`` for all data and parameters: every line shows its number, an
            array of more than 12 elements its shape and norm.
        check : bool
            Compare every derivative with finite differences of the rest of the loss: at
            ``values``, or at random ones, always the same.

        Returns
        -------
        Explanation
            A text; its ``lines`` hold the rules, formulas, shapes, values and errors.

        Raises
        ------
        GradientMismatch
            Where a line differs from finite differences; the message holds the line.

        Examples
        --------
        >>> import symdiff as sd
        >>> from symdiff.derivation import derive
        >>> X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
        >>> d = derive(sd.sum((X @ w - y) ** 2), w)
        >>> print(d.explain(w))
        forward
          r = Xw − y  (n,)
          L = ‖r‖²      ()
        <BLANKLINE>
        backward: rule, local derivative, derivative of the loss
          start                       ∂L/∂L = 1       ()
          squared norm    ∂L/∂r = 2r  ∂L/∂r = 2r    (n,)
          matrix product  ∂r/∂w = X   ∂L/∂w = 2Xᵀr  (3,)
        >>> values = {X: [[1, 2, 3]], w: [0.5, -1, 1], y: [2]}
        >>> print(d.explain(w, values, check=True).lines[-1].value)
        [-1. -2. -3.]
        """
        if parameter not in self.gradient_nodes:
            known = ", ".join(map(str, self.parameters))
            raise InvalidArgument(
                f"{parameter} is not a parameter of this derivation, which has {known}; "
                "derive the loss with respect to it"
            )
        target = to_graph(symbol_of(parameter, self.parameters))
        return explain(self, target, values, check)

    def operations(self) -> dict[str, dict[str, int]]:
        """How many operations of each kind the loss takes, and how many more the gradients.

        Examples
        --------
        >>> import symdiff as sd
        >>> from symdiff.derivation import derive
        >>> X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
        >>> derive(sd.sum((X @ w - y) ** 2), w).operations()["backward"]
        {'transpose': 1, 'matmul': 1, 'multiply': 1}
        """
        forward = walk([self.loss_node])
        backward = walk(self.gradient_nodes.values(), set(forward))
        return {"forward": _counted(forward), "backward": _counted(backward)}

    def graph(
        self,
        level: str = "steps",
        collapse: bool | None = None,
        expand: Iterable[str | int] | str | int = (),
    ) -> Drawing:
        """The forward graph extended by the nodes of the gradients, as a picture.

        Forward steps go down on the left, their adjoints go up beside them on the right, each
        with the gradients that follow from it. A notebook shows the picture; ``.svg()``,
        ``.html()`` and ``.dot()`` are its text.

        Parameters
        ----------
        level : {"steps", "operations"}
            A box for each named step, as in ``print(derivation)``, or for each operation.
        collapse : bool, optional
            True draws each layer as one box, and the way back through it as another; False
            draws all boxes. By default layers are collapsed where there are more than 60 boxes.
        expand : str, int or list of them
            Layers to draw in full all the same: ``"layer 2"`` or ``2``, or ``"loss"``.

        Examples
        --------
        >>> import symdiff as sd
        >>> X, w, b = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("b")
        >>> y = sd.tensor("y", "n")
        >>> drawing = sd.derive(sd.losses.binary_cross_entropy(X @ w + b, y), [w, b]).graph()
        >>> for node in drawing.nodes:
        ...     if node.phase == "backward":
        ...         reads = [drawing.nodes[i].name for i in node.inputs]
        ...         print(node.name, node.shape, "reads", *reads)
        δ (n,) reads z y
        ∂L/∂w (3,) reads X δ
        ∂L/∂b () reads δ
        >>> drawing.svg()[:4]
        '<svg'
        """
        from .drawing import draw

        return draw(self, level, collapse, expand)


def _rule(node: Node) -> str:
    return node.row.rule or node.operation


def _counted(nodes: Iterable[Node]) -> dict[str, int]:
    return dict(Counter(n.operation for n in nodes if n.row.kind != "leaf").most_common())


def _again(
    loss: Any,
    wrt: Any,
    names: Mapping[str, Any],
    ordered: tuple[Any, Mapping[Size, int]] | None,
    hessian: bool,
) -> Derivation:
    made = derive(loss, wrt, names)
    made = made.with_hessian() if hessian else made
    return made.in_cheapest_order(*ordered) if ordered else made


def derive(loss: Any, wrt: Any, names: Mapping[str, Any] | None = None) -> Derivation:
    """The gradient of a scalar loss as named steps.

    Parameters
    ----------
    loss : sympy.Expr
        A scalar.
    wrt : Symbol or list of Symbol
    names : dict, optional
        ``{name: expression}``: what parts of the loss are called where they are steps. If it is not
        given, the variables of the caller that hold such parts give the names; ``{}`` means none.
        Names given by :func:`symdiff.name` come first.

    Returns
    -------
    Derivation
        ``print`` shows it; ``.gradients`` and ``.steps`` are SymPy expressions.

    Examples
    --------
    >>> import symdiff as sd
    >>> from symdiff.derivation import derive
    >>> X, w, b = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("b")
    >>> y = sd.tensor("y", "n")
    >>> print(derive(sd.losses.binary_cross_entropy(X @ w + b, y), [w, b]))
    forward
      z = Xw + b                         (n,)
      L = 1/n · Σ (softplus(z) − z ⊙ y)    ()
    <BLANKLINE>
    backward
      δ = n ∂L/∂z = σ(z) − y             (n,)
    <BLANKLINE>
    gradients
      ∂L/∂w = 1/n · Xᵀδ                  (3,)
      ∂L/∂b = 1/n · Σ δ                    ()
    """
    listed = list(wrt) if isinstance(wrt, (list, tuple, set, dict)) else [wrt]
    if names is None:
        names = variables_of_caller()
    elif not isinstance(names, Mapping):
        raise InvalidType(f"names: expected a dict of names and expressions, got {names!r}")
    return Derivation(loss, tuple(listed), names)
