"""What the page is told: the blocks of a derivation, a check by numbers, or what is wrong."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

import symdiff as sd
from symdiff.binding import bind
from symdiff.derivation import Derivation
from symdiff.errors import ParseError
from symdiff.evaluate import interpret
from symdiff.graph import Node, leaves
from symdiff.modes import settle
from symdiff.report import attempted
from symdiff.report.derivation import derivation_blocks, heading
from symdiff.report.document import section
from symdiff.shapes import concrete_shape

from ..declarations import chosen, declared, symbols_of
from ..report import kernel_blocks
from .limits import LIMITS

__all__ = ["answer"]

DRAWS = 20
"""Random values that are tried, until the loss and its gradients are numbers."""

SMALLEST_SIZE = 3
"""What the first symbolic size is in a check; the others follow, so that no two are the same."""


class Refused(Exception):
    """What a user has typed is not understood."""

    def __init__(self, field: str, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.answer = {"error": {"field": field, "message": message, "column": column}}


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request, ready for JSON.

    Examples
    --------
    >>> from codegen.serve.answers import answer
    >>> answer({"action": "derive", "expression": "a * * b", "wrt": "a"})["error"]["column"]
    5
    """
    try:
        fields = {name: _field(request, name) for name in LIMITS}
        derivation = _derivation(fields)
        action = ACTIONS.get(request.get("action", ""))
        if action is None:
            raise Refused("expression", f"there is no action {request.get('action')!r}")
        return action(derivation)
    except Refused as error:
        return error.answer
    except sd.SymdiffError as error:
        return Refused("expression", str(error)).answer
    except RecursionError:
        return Refused("expression", "the expression is nested too deeply").answer
    except MemoryError:
        return Refused("expression", "this takes more memory than the page gives it").answer


def _field(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name, "")
    if not isinstance(value, str):
        raise Refused(name, "this is not text")
    if len(value) > LIMITS[name]:
        raise Refused(name, f"this has {len(value)} characters; the page reads {LIMITS[name]}")
    return value


def _derivation(fields: Mapping[str, str]) -> Derivation:
    tensors = declared(fields["shapes"].replace(";", " ").split(), _refusing("shapes"))
    text = fields["expression"]
    if not text.strip():
        raise Refused("expression", "type an expression, such as sum((X @ w - y)**2)")
    try:
        loss = sd.parse(text, **tensors)
    except ParseError as error:
        message = str(error).partition("\n    ")[0]
        raise Refused("expression", message, error.column) from None
    known = symbols_of(loss, tensors)
    names = fields["wrt"].replace(",", " ").split()
    if not names:
        there = ", ".join(known) or "no symbols"
        raise Refused("wrt", f"say by what to differentiate; there are {there}")
    parameters = chosen(names, known, _refusing("wrt"))
    return sd.derive(loss, parameters, names={})


def _refusing(field: str) -> Callable[[str], NoReturn]:
    def refuse(message: str) -> NoReturn:
        raise Refused(field, message)

    return refuse


# --- actions -----------------------------------------------------------------------------


def _derive(derivation: Derivation) -> dict[str, Any]:
    """All sections as HTML."""
    blocks = derivation_blocks(derivation)
    blocks += attempted("kernel", lambda: kernel_blocks(derivation))
    _, headline = heading(derivation)
    return {
        "headline": headline,
        "sections": [{"key": b.key, "title": b.title, "html": section(b)} for b in blocks],
    }


def _check(derivation: Derivation) -> dict[str, Any]:
    """The largest error against finite differences, at random values."""
    values, sizes = random_values(derivation)
    error = sd.check_gradient(derivation.loss, list(derivation.parameters), values)
    where = ", ".join(f"{name} = {size}" for name, size in sizes.items())
    return {"check": {"error": f"{error:.2g}", "where": where}}


ACTIONS: dict[str, Callable[[Derivation], dict[str, Any]]] = {"derive": _derive, "check": _check}
"""What a page may ask for."""


def random_values(derivation: Derivation) -> tuple[dict[Any, Any], dict[str, int]]:
    """Values by symbol at which the loss and its gradients are finite, and the sizes taken."""
    roots = settle([derivation.loss_node, *derivation.gradient_nodes.values()])
    symbols = leaves(roots)
    names = {s for n in symbols for d in n.shape for s in getattr(d, "free_symbols", ())}
    sizes = {s: SMALLEST_SIZE + k for k, s in enumerate(sorted(names, key=str))}
    for seed, draw in itertools.product(range(DRAWS), (_normal, _between, _positive)):
        random = np.random.default_rng(seed)
        values = {n.attributes[0]: _drawn(n, concrete_shape(n.shape, sizes), draw, random)
                  for n in symbols}  # fmt: skip
        try:
            arrays, known = bind(symbols, values, roots=roots)
            results = interpret(roots, arrays, known)
        except sd.SymdiffError:
            continue
        if all(np.isfinite(r).all() for r in results):
            return values, {str(s): v for s, v in sizes.items()}
    raise Refused("expression", "no random values were found at which the loss is a number")


def _drawn(node: Node, shape: tuple[int, ...], draw: Any, random: np.random.Generator) -> Any:
    return draw(random, shape) if node.dtype == "real" else random.integers(0, 2, shape)


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return random.normal(size=shape)


def _between(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return random.uniform(0.1, 0.9, size=shape)


def _positive(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Symmetric and positive definite where it is a square matrix."""
    value = random.uniform(1.1, 2.0, size=shape)
    if len(shape) == 2 and shape[0] == shape[1]:
        value = value @ value.T / shape[0] + np.eye(shape[0])
    return value
