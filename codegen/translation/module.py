"""From the text of a kernel to one LLVM module."""

from __future__ import annotations

import ast
import importlib
import inspect
from typing import Any

from .. import control
from . import builtins
from .body import Body
from .kinds import INT, Kind, NotTranslatable, constant
from .names import Definition, ModuleScope, Number, Scope, Table, denoted

FAST_FLAGS = {
    "float64": "reassoc nsz arcp contract afn ",
    "float32": "reassoc nsz contract afn ",
}
"""Fast-math without nnan and ninf: NaN and infinity keep their meaning.

With ``arcp`` LLVM computes ``1/sqrt(x)`` in float32 by an estimate and a Newton step, which is
NaN at 0 and at infinity and minus infinity where x is subnormal.
"""

ENTRY = "symdiff_run"

_ATTRIBUTES = {
    "helper": " alwaysinline nounwind",
    "phase": " noinline nounwind",
    "part": " noinline nounwind",
    "entry": " nounwind",
}
_WIDEST_VECTORS = ' "prefer-vector-width"="512"'
"""For Intel's processors with AVX-512 LLVM prefers vectors of 256 bits, since the first of them
slowed down under wider ones. Sums of exponentials take 1.4 times as long then. It means nothing
to processors that have no such vectors."""


def _imported(module: str, name: str) -> Any:
    """What a kernel imports."""
    if (module, name) in (("codegen.runtime", "Compiler"), ("codegen.products", "products")):
        return None  # known by the calls
    if module == "codegen.runtime":
        return builtins.PRIMITIVES.get(name) or denoted(getattr(control, name))
    if module == "codegen.vector_math" or (module, name) == ("codegen", "special"):
        found = getattr(importlib.import_module(module), name, None)
        if found is None:
            found = importlib.import_module(f"{module}.{name}")
        return ModuleScope(found) if inspect.ismodule(found) else denoted(found)
    raise NotTranslatable(f"from {module} import {name}")


class Module:
    """A kernel in LLVM code.

    Parameters
    ----------
    source : str
        The text of the kernel.

    Attributes
    ----------
    text : str
        The LLVM code.
    declared : dict
        Functions that the code calls without defining them, with their declarations.
    arguments : int
        How many whole numbers the entry takes.
    """

    def __init__(self, source: str) -> None:
        self._functions: dict[tuple[Definition, tuple[Kind, ...]], tuple[str, Kind]] = {}
        self._texts: list[str] = []
        self.declared: dict[str, str] = {}
        self._tables: dict[Table, str] = {}
        self._loops = 0
        entry = self._read(ast.parse(source))
        self.arguments = len(entry.node.args.args)
        self.function(entry, (INT,) * self.arguments)
        self.text = "\n".join(
            [*self._constants(), *self.declared.values(), *self._texts, *self._metadata()]
        )

    def _read(self, tree: ast.Module) -> Definition:
        """What the module defines; gives its entry."""
        names: dict[str, Any] = dict(builtins.PYTHON)
        scope = Scope(names, "the kernel")
        entry = None
        for statement in tree.body:
            match statement:
                case ast.Import(names=[alias]):
                    module = builtins.MODULES[alias.name]
                    names[alias.asname or alias.name] = Scope(module, alias.name)
                case ast.ImportFrom(module=str(origin)):
                    for alias in statement.names:
                        names[alias.asname or alias.name] = _imported(origin, alias.name)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    names[name] = self._assigned(value, scope)
                case ast.FunctionDef(decorator_list=[ast.Attribute(attr=role)]):
                    found = names[statement.name] = Definition(statement, scope, role, fast=True)
                    entry = found if role == "entry" else entry
                case _:
                    raise NotTranslatable(ast.unparse(statement))
        assert entry is not None
        return entry

    def _assigned(self, value: ast.expr, scope: Scope) -> Any:
        """What a name stands for that the module assigns."""
        match value:
            case ast.Call(func=ast.Name(id="Compiler"), keywords=keywords):
                options = {k.arg: ast.literal_eval(k.value) for k in keywords}
                self._flags = FAST_FLAGS[options["real"]] if options["math"] == "fast" else ""
                return None
            case ast.Call(func=ast.Name(id="products")):
                return builtins.GEMM
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                return scope[module][name]
            case ast.Constant(value=number) if isinstance(number, (int, float)):
                return Number(number)
        raise NotTranslatable(ast.unparse(value))

    # --- what bodies ask for -------------------------------------------------------------------

    def function(self, definition: Definition, kinds: tuple[Kind, ...]) -> tuple[str, Kind]:
        """The symbol of a function for these kinds of arguments, and the kind of its result."""
        key = definition, kinds
        if key not in self._functions:
            flags = self._flags if definition.fast else ""
            body = Body(self, definition, kinds, flags)
            entry = definition.role == "entry"
            symbol = ENTRY if entry else f"f{len(self._functions)}"
            alias = " noalias" if definition.role in ("phase", "part") else ""
            parameters = ", ".join(
                f"{kind.llvm}{alias if kind.llvm == 'ptr' else ''} {name}"
                for kind, name in body.parameters
            )
            attributes = _ATTRIBUTES[definition.role] + _WIDEST_VECTORS
            linkage = "" if entry else "internal "
            head = f"define {linkage}{body.result.llvm} @{symbol}({parameters}){attributes} {{"
            lines = [head, "entry:", *body.code.slots, *body.code.lines, "}"]
            self._texts.append("\n".join(lines))
            self.declared.update(body.code.declared)
            self._functions[key] = symbol, body.result
        return self._functions[key]

    def loop(self) -> int:
        """The number of a loop that LLVM does not unroll."""
        self._loops += 1
        return self._loops

    def table(self, table: Table) -> str:
        """The symbol of a table."""
        return self._tables.setdefault(table, f"table{len(self._tables)}")

    def _metadata(self) -> list[str]:
        """What is said of loops: each needs a node of its own."""
        loops = [f"!{n} = distinct !{{!{n}, !0}}" for n in range(1, self._loops + 1)]
        return ['!0 = !{!"llvm.loop.unroll.disable"}', *loops] if loops else []

    def _constants(self) -> list[str]:
        lines = []
        for table, name in self._tables.items():
            kind = table.kind
            entries = ", ".join(f"{kind.llvm} {constant(kind, n).text}" for n in table.numbers)
            array = f"[{len(table.numbers)} x {kind.llvm}] [{entries}]"
            lines.append(f"@{name} = internal constant {array}")
        return lines
