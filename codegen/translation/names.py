"""What the names in kernels stand for."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .kinds import FLOAT64, INT, Kind, NotTranslatable


@dataclass(frozen=True)
class Number:
    """A number with a name."""

    number: float | int | bool


@dataclass(frozen=True)
class Table:
    """A tuple of numbers."""

    numbers: tuple[float | int, ...]

    @property
    def kind(self) -> Kind:
        """The kind of its numbers."""
        return INT if all(isinstance(n, int) for n in self.numbers) else FLOAT64


@dataclass(frozen=True)
class Builtin:
    """A function that the translation writes itself.

    Attributes
    ----------
    write : callable
        ``write(code, arguments)`` writes the instructions and gives the result.
    of_table : bool
        Whether its argument is a table.
    """

    write: Callable[..., Any]
    of_table: bool = False

    def __call__(self, *arguments: Any) -> Any:
        """Refuse: only a translated kernel can call this."""
        raise TypeError("this function is for translated kernels")


@dataclass(frozen=True, eq=False)
class Definition:
    """A function written in the language of kernels.

    Attributes
    ----------
    node : ast.FunctionDef
    scope : mapping
        What its global names stand for.
    role : str
        "helper" and "phase" become a part of what calls them, "part" does not; "entry" is what
        Python calls.
    fast : bool
        Whether the kernel's fast-math flags apply.
    """

    node: ast.FunctionDef
    scope: Mapping[str, Any]
    role: str = "helper"
    fast: bool = False


class Scope(Mapping[str, Any]):
    """The names of one module."""

    def __init__(self, names: Mapping[str, Any], title: str) -> None:
        self._names = names
        self._title = title

    def __getitem__(self, name: str) -> Any:
        try:
            return self._names[name]
        except KeyError:
            raise NotTranslatable(f"{self._title} has no name {name}") from None

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class ModuleScope(Scope):
    """The names of a Python module, looked up where they are needed."""

    def __init__(self, module: Any) -> None:
        super().__init__(vars(module), module.__name__)

    def __getitem__(self, name: str) -> Any:
        return denoted(super().__getitem__(name))


class FunctionScope(Scope):
    """The global names of a Python function, looked up where they are needed."""

    def __init__(self, function: Any) -> None:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        names = {**function.__globals__, **{name: cell.cell_contents for name, cell in cells}}
        super().__init__(names, function.__name__)

    def __getitem__(self, name: str) -> Any:
        from .builtins import PYTHON

        return PYTHON[name] if name in PYTHON else denoted(super().__getitem__(name))


def denoted(thing: Any) -> Any:
    """What an object of Python's stands for in a kernel."""
    from .builtins import MODULES

    if isinstance(thing, (Kind, Builtin, Definition)):
        return thing
    if hasattr(thing, "translated"):
        return thing.translated()
    if isinstance(thing, (bool, int, float)):
        return Number(thing)
    if isinstance(thing, tuple) and all(isinstance(n, (int, float)) for n in thing):
        return Table(thing)
    if inspect.ismodule(thing) and thing.__name__ in MODULES:
        return Scope(MODULES[thing.__name__], thing.__name__)
    if inspect.isfunction(thing):
        return python_function(thing)
    raise NotTranslatable(f"{thing!r} in a kernel")


@functools.cache
def python_function(function: Any) -> Definition:
    """A function of Python's as part of a kernel."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef)
    return Definition(node, FunctionScope(function))
