"""THE table of methods: how each gets the gradient of one loss, and what that takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import sympy as sp

from ..bridge import to_graph
from ..errors import SymdiffError
from ..evaluate import interpret
from ..expressions import stand_in
from ..gradient import pullback
from ..graph import Node, number, walk
from ..rewrite import algebra
from ..second_order import push
from ..shapes import Size, concrete_shape
from . import scalars
from .counting import graph_operations, tree_operations
from .programs import Formulas, numbers_held
from .swell import Swell
from .table import Row

__all__ = ["METHODS", "Problem", "gradient_roots", "timed"]

_STEP = float(np.cbrt(np.finfo(np.float64).eps))
"""The step of a central difference relative to the entry: cutting off and rounding err alike."""

_SHORT = 300
"""Operations of loss times entries up to which a derivative is built without a look at its size."""
_PARTS = 30_000
"""Parts of the loss times entries up to which that look is taken."""
_SCALARS = 5000
"""Scalar operations up to which tensors are written out."""
_ENTRIES = 10_000
"""Entries of parameters up to which there is a pass for each."""

_SYMPY_FAILS = (
    SymdiffError, ArithmeticError, AttributeError, NotImplementedError, RecursionError, TypeError,
    ValueError,
)  # fmt: skip
"""What SymPy raises where it has no derivative, or where a formula is too deep for it."""


@dataclass
class Problem:
    """One loss at one place.

    Attributes
    ----------
    expression : sympy.Expr
    written : Node
        The loss as the user wrote it.
    gradients : list of Node
        Of the loss after the stability rewrites, by symdiff.
    derive_seconds : float
        How long it took to derive them.
    parameters : list of Node
    arrays, sizes : dict
    limit : int
        Operations up to which SymPy's derivative is built.
    """

    expression: Any
    written: Node
    gradients: list[Node]
    derive_seconds: float
    parameters: list[Node]
    arrays: dict[Node, np.ndarray]
    sizes: dict[Size, int]
    limit: int

    @cached_property
    def entries(self) -> list[tuple[Node, tuple[int, ...]]]:
        """Every entry of every parameter."""
        return [(n, i) for n in self.parameters for i in np.ndindex(self.arrays[n].shape)]

    def gradient(self, numbers: Sequence[Any]) -> dict[Any, np.ndarray]:
        """One number for each entry as arrays by symbol."""
        flat = iter(numbers)
        result = {}
        for node in self.parameters:
            array = np.empty(self.arrays[node].shape)
            for index in np.ndindex(array.shape):
                array[index] = next(flat)
            result[node.attributes[0]] = array
        return result

    @cached_property
    def formula(self) -> tuple[Any, list[Any], dict[Any, Any]]:
        """The loss in scalars, the symbol of each entry, and the numbers of all symbols."""
        real = any(n.operation in _NEED_REALS for n in walk([self.written]))
        if scalars.is_scalar_formula(self.written) and not real:
            numbers = {n.attributes[0]: a[()] for n, a in self.arrays.items()}
            return self.expression, [n.attributes[0] for n in self.parameters], numbers
        entries, numbers = {}, {}
        for node, array in self.arrays.items():
            if node.dtype != "real":
                entries[node] = array
                continue
            symbols = np.empty(array.shape, object)
            for index in np.ndindex(array.shape):
                # `real` costs SymPy time everywhere, and Abs cannot do without it
                symbols[index] = sp.Dummy(
                    str(node.attributes[0]), **({"real": True} if real else {})
                )
                numbers[symbols[index]] = array[index]
            entries[node] = symbols
        formula = scalars.written_out(self.written, entries, self.sizes)
        return formula, [entries[n][i] for n, i in self.entries], numbers


_NEED_REALS = {"abs", "logdet", "sign", "atan2", "floor", "ceiling", "mod"}
"""Operations whose derivatives SymPy knows for real symbols only."""


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a function, and how many seconds it took."""
    start = time.perf_counter()
    result = function()
    return result, time.perf_counter() - start


def _run(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result and the shortest of a few runs; one run where that takes long."""
    result, best = timed(function)
    total = best
    for _ in range(20):
        if total > 0.02:
            break
        _, seconds = timed(function)
        best, total = min(best, seconds), total + seconds
    return result, best


# --- the methods ---------------------------------------------------------------------------


def finite_differences(problem: Problem) -> Row:
    """``(f(w + h) − f(w − h)) / 2h``, once for each entry; ``f`` as the user wrote it."""
    name, count = "finite differences", len(problem.entries)
    once = graph_operations([problem.written], problem.sizes)
    costs: dict[str, Any] = {
        "operations": 2 * count * (once + 2),  # w ± h; the difference, the quotient
        "nodes": len(walk([problem.written])),
        "numbers": numbers_held([problem.written], problem.sizes),
    }
    if count > _ENTRIES:
        return Row(name, **costs, note=f"not run: two passes for each of {count} entries")

    def run() -> list[Any]:
        arrays = dict(problem.arrays)
        slopes = []
        for node, index in problem.entries:
            base = problem.arrays[node]
            step = _STEP * max(abs(float(base[index])), 1.0)
            values = []
            for sign in (1, -1):
                arrays[node] = base.copy()
                arrays[node][index] += sign * step
                values.append(float(interpret([problem.written], arrays, problem.sizes)[0]))
            arrays[node] = base
            slopes.append((values[0] - values[1]) / (2 * step))
        return slopes

    slopes, seconds = _run(run)
    return Row(name, problem.gradient(slopes), **costs, evaluate_seconds=seconds)


def forward_mode(problem: Problem) -> Row:
    """The derivative along one unit vector after another, as dual numbers carry it along."""
    name, count = "forward mode", len(problem.entries)

    def derive() -> Node:
        (tangent,) = algebra([push(problem.written, problem.parameters, directions)])
        return tangent

    directions = [to_graph(stand_in("v", n.shape)) for n in problem.parameters]
    try:
        tangent, derived = timed(derive)
    except SymdiffError as error:
        return Row(name, note=_failure(error))
    costs: dict[str, Any] = {
        "operations": count * graph_operations([tangent], problem.sizes),
        "nodes": len(walk([tangent])),
        "numbers": numbers_held([tangent], problem.sizes),
        "derive_seconds": derived,
    }
    if count > _ENTRIES:
        return Row(name, **costs, note=f"not run: a pass for each of {count} entries")
    along = dict(zip(problem.parameters, directions, strict=True))

    def run() -> list[Any]:
        arrays = dict(problem.arrays)
        arrays |= {along[n]: np.zeros(problem.arrays[n].shape) for n in problem.parameters}
        slopes = []
        for node, index in problem.entries:
            arrays[along[node]][index] = 1.0
            slopes.append(float(interpret([tangent], arrays, problem.sizes)[0]))
            arrays[along[node]][index] = 0.0
        return slopes

    slopes, seconds = _run(run)
    return Row(name, problem.gradient(slopes), **costs, evaluate_seconds=seconds)


def sympy_trees(problem: Problem) -> list[Row]:
    """``sympy.diff`` of the loss in scalars, by each entry: as trees, and after ``sympy.cse``."""
    tree, cse = "SymPy diff, tree", "SymPy diff, cse"
    refusal, operations = _refused(problem)
    if refusal:
        later = "not built: cse starts from the tree"
        return [Row(tree, operations=operations, exact=False, note=refusal), Row(cse, note=later)]
    formula, symbols, _ = problem.formula
    try:
        derivatives, derived = timed(lambda: [sp.diff(formula, s) for s in symbols])
        rows = [_formulas(problem, tree, [], derivatives, derived)]
    except _SYMPY_FAILS as error:
        return [Row(tree, note=_failure(error)), Row(cse, note="not built: there is no tree")]
    try:
        names = iter(sp.Dummy, None)  # SymPy's own names may be those of the user
        (named, results), more = timed(lambda: sp.cse(derivatives, symbols=names))
        rows.append(_formulas(problem, cse, named, results, derived + more))
    except _SYMPY_FAILS as error:
        rows.append(Row(cse, note=_failure(error)))
    return rows


def _formulas(
    problem: Problem, name: str, named: Sequence[Any], results: Sequence[Any], derived: float
) -> Row:
    size = sum(tree_operations(to_graph(e)) for e in [*(e for _, e in named), *results])
    if size > 4 * problem.limit:  # the look at its size before was an estimate
        note = f"not run: more operations than 4 times limit={problem.limit}"
        return Row(name, operations=size, derive_seconds=derived, note=note)
    formulas = Formulas(named, results)
    _, _, numbers = problem.formula
    slopes, seconds = _run(lambda: formulas(numbers))
    return Row(
        name,
        problem.gradient([float(v) for v in slopes]),
        formulas.operations,
        formulas.nodes,
        formulas.numbers,
        derived,
        seconds,
    )


def _refused(problem: Problem) -> tuple[str, int | None]:
    """Why SymPy's derivative is not built, and how many operations it would have, if known."""
    if not problem.limit:
        return "not built: limit=0", None
    count = len(problem.entries)
    size = scalars.scalar_count(problem.written, problem.sizes)
    if size > _SCALARS:
        return f"not built: the loss takes {size} scalar operations, {_SCALARS} are the most", None
    try:
        formula, symbols, _ = problem.formula
        loss = tree_operations(to_graph(formula))
        if loss * count <= _SHORT:
            return "", None
        swell = Swell(formula)
        if swell.parts * count > _PARTS:
            return f"not built: {count} derivatives of a loss with {swell.parts} parts", None
        operations = sum(map(swell.operations, symbols))
    except _SYMPY_FAILS as error:
        return _failure(error), None
    if operations > problem.limit:
        return f"not built: more operations than limit={problem.limit}", operations
    return "", operations


def _failure(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "not built: the formula is too deep for SymPy, which recurs into it"
    text = str(error) if isinstance(error, SymdiffError) else f"SymPy: {error}"
    return f"not built: {' '.join(text.split())[:200]}"


def graph(problem: Problem) -> Row:
    """symdiff: one walk backward through the rewritten graph."""
    roots = problem.gradients
    results, seconds = _run(lambda: interpret(roots, problem.arrays, problem.sizes))
    gradient = {
        n.attributes[0]: np.array(
            np.broadcast_to(r, concrete_shape(n.shape, problem.sizes)), np.float64
        )
        for n, r in zip(problem.parameters, results, strict=True)
    }
    return Row(
        "symdiff graph",
        gradient,
        graph_operations(roots, problem.sizes),
        len(walk(roots)),
        numbers_held(roots, problem.sizes),
        problem.derive_seconds,
        seconds,
    )


def gradient_roots(loss: Node, parameters: Sequence[Node]) -> list[Node]:
    """The gradients of a stabilised loss."""
    gradients, _ = pullback(loss, number(1), parameters)
    return algebra(gradients)


def _one(method: Callable[[Problem], Row]) -> Callable[[Problem], list[Row]]:
    return lambda problem: [method(problem)]


METHODS: Mapping[str, Callable[[Problem], list[Row]]] = {
    "finite differences": _one(finite_differences),
    "forward mode": _one(forward_mode),
    "SymPy": sympy_trees,
    "graph": _one(graph),
}
"""In the order of the table."""
