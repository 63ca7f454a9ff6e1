"""Symbols as a user declares them in text: ``X=n,3`` and ``t=n:int``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

import sympy as sp

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.graph import leaves

__all__ = ["chosen", "declared", "symbols_of"]

Refuse = Callable[[str], NoReturn]
"""Is told what is wrong, and does not return."""


def declared(declarations: Iterable[str], refuse: Refuse) -> dict[str, Any]:
    """The declared symbols by name."""
    result: dict[str, Any] = {}
    for declaration in declarations:
        found = re.fullmatch(r"\s*(\w+)\s*=([^:=]*)(?::\s*(real|int|bool))?\s*", declaration)
        if found is None or not found[1].isidentifier():
            refuse(
                f"{declaration}: write NAME=SIZE,SIZE such as X=n,3, and NAME=n:int for integers"
            )
        name, sizes, dtype = found[1], found[2].strip(), found[3] or "real"
        if name in result:
            refuse(f"{declaration}: {name} is declared twice")
        if not sizes and dtype == "real":
            result[name] = sp.Symbol(name)
            continue
        entries = [_size(entry.strip(), declaration, refuse) for entry in sizes.split(",")]
        try:
            result[name] = sd.tensor(name, *(entries if sizes else []), dtype=dtype)
        except sd.SymdiffError as error:
            refuse(f"{declaration}: {error}")
    return result


def _size(entry: str, declaration: str, refuse: Refuse) -> int | str:
    if re.fullmatch(r"[0-9]{1,15}", entry):
        return int(entry)
    if entry and not entry.isidentifier():
        refuse(f"{declaration}: {entry!r} is neither a number nor a name")
    elif not entry and declaration.partition("=")[2].strip():
        refuse(f"{declaration}: a size is missing beside a comma")
    return entry


def symbols_of(expression: Any, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The declared symbols and those that the expression has besides, by name."""
    found = sorted((n.attributes[0] for n in leaves([to_graph(expression)])), key=str)
    return {**tensors, **{str(s): s for s in found}}


def chosen(names: Iterable[str], known: Mapping[str, Any], refuse: Refuse) -> list[Any]:
    """The symbols of these names, each once."""
    result: dict[Any, None] = {}
    for name in (n.strip() for n in names):
        if name not in known:
            there = (
                f"the expression has no such symbol; there are {', '.join(known)}"
                if known
                else "the expression has no symbols"
            )
            refuse(f"{name}: {there}")
        result[known[name]] = None
    return list(result)
