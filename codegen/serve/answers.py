"""What the page is told: the blocks of a derivation, a check by numbers, or what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.derivation import Derivation
from symdiff.errors import ParseError
from symdiff.following import drawn
from symdiff.graph import leaves
from symdiff.report import attempted
from symdiff.report.derivation import derivation_blocks, heading
from symdiff.report.document import section

from ..declarations import chosen, declared, symbols_of
from ..report import kernel_blocks
from .limits import LIMITS

__all__ = ["answer"]


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
    parameters = [to_graph(p) for p in derivation.parameters]
    try:
        values = drawn(derivation, *parameters)
    except sd.InvalidArgument:
        raise Refused(
            "expression", "no random values were found at which the loss is a number"
        ) from None
    error = sd.check_gradient(derivation.loss, list(derivation.parameters), values)
    sizes: dict[str, int] = {}
    for node in leaves([derivation.loss_node, *parameters]):
        counts = np.shape(values.get(node.attributes[0], 0))
        sizes |= {str(s): c for s, c in zip(node.shape, counts, strict=False) if s != c}
    where = ", ".join(f"{name} = {count}" for name, count in sorted(sizes.items()))
    return {"check": {"error": f"{error:.2g}", "where": where}}


ACTIONS: dict[str, Callable[[Derivation], dict[str, Any]]] = {"derive": _derive, "check": _check}
"""What a page may ask for."""
