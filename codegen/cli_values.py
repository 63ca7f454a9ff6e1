"""Numbers for the symbols of an expression, as the shell is given them: JSON or a file.

Nothing that is read can run: JSON holds data only, and arrays of objects are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile

import numpy as np

__all__ = ["read_values"]


def read_values(
    given: str, known: Mapping[str, Any], refuse: Callable[[str], NoReturn]
) -> dict[Any, Any]:
    """The arrays by symbol.

    Parameters
    ----------
    given : str
        JSON, or the name of a ``.npz`` or ``.json`` file.
    known : dict
        The symbols by name.
    refuse : callable
        Is told what is wrong, and does not return.
    """
    text = given.strip()
    shown = f"--values {_printable(text if len(text) <= 60 else text[:59] + '…')}"
    read = _arrays if text.endswith(".npz") else _numbers
    named = read(text, shown, refuse)
    unknown = _printable(", ".join(sorted(set(named) - set(known))))
    if unknown:
        there = f"it has {', '.join(known)}" if known else "it has no symbols"
        refuse(f"{shown}: the expression has no {unknown}; {there}")
    return {known[name]: value for name, value in named.items()}


def _printable(text: str) -> str:
    """A text without what a terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _arrays(name: str, shown: str, refuse: Callable[[str], NoReturn]) -> dict[str, Any]:
    try:
        with np.load(name, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        refuse(f"{shown}: {error}")


def _numbers(text: str, shown: str, refuse: Callable[[str], NoReturn]) -> dict[str, Any]:
    if text.endswith(".json"):
        try:
            text = Path(text).read_text("utf-8")
        except (OSError, ValueError) as error:
            refuse(f"{shown}: {error}")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1] if text else ""
        start = max(0, error.colno - 40)
        part = _printable(line[start : error.colno + 40])
        refuse(
            f'{shown}: {error.msg}; write numbers by name as in {{"w": [1, 2], "x": 0.5}}\n'
            f"    {part}\n    {' ' * (error.colno - 1 - start)}^"
        )
    except RecursionError:
        refuse(f"{shown}: brackets within brackets, too deep")
    if not isinstance(found, dict):
        refuse(f'{shown}: write numbers by name as in {{"w": [1, 2], "x": 0.5}}')
    return {name: _array(name, value, shown, refuse) for name, value in found.items()}


def _array(name: str, value: Any, shown: str, refuse: Callable[[str], NoReturn]) -> Any:
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError, RecursionError):
        refuse(f"{shown}: {_printable(name)}: the rows have different lengths")
    if array.dtype.kind not in "biuf":
        refuse(f"{shown}: {_printable(name)}: write numbers, and lists of numbers of equal length")
    if not math.prod(array.shape):
        array = array.astype(np.float64)
    return array
