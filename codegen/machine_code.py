"""Machine code of kernels: from Numba to a file, and from a file into the process without Numba.

The entry of a kernel takes integers, calls nothing of Numba's and raises nothing, so LLVM alone
can load it. Numba's own cache must first set up all that Numba can compile, which takes half a
second in every process. A kernel that has just been compiled is loaded the same way, so that a
process which compiles has the bits of one that does not.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
from dataclasses import asdict, dataclass
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm

from . import library
from .product_code import PREFIX

ROUTINES = {"symdiff_special_": "special"}
"""Which module of codegen registers routines whose names begin so."""


class UnknownRoutine(Exception):
    """Machine code that calls what this process does not have."""


@dataclass(frozen=True)
class MachineCode:
    """An entry as an object file.

    Attributes
    ----------
    symbol : str
        The name of the entry in the object file.
    arguments : int
    externals : list of str
        What the code calls.
    code : bytes
    """

    symbol: str
    arguments: int
    externals: list[str]
    code: bytes

    def packed(self, source: str) -> bytes:
        """As the content of a file, with a digest of it and of the source."""
        head = {k: v for k, v in asdict(self).items() if k != "code"}
        head["source"] = hashlib.sha256(source.encode()).hexdigest()
        body = json.dumps(head).encode() + b"\n" + self.code
        return hashlib.sha256(body).digest() + body

    @classmethod
    def unpacked(cls, content: bytes, source: str) -> MachineCode | None:
        """From the content of a file; None where it is damaged or of another source."""
        digest, body = content[:32], content[32:]
        if hashlib.sha256(body).digest() != digest:
            return None
        line, _, code = body.partition(b"\n")
        head = json.loads(line)
        if head.pop("source") != hashlib.sha256(source.encode()).hexdigest():
            return None
        return cls(code=code, **head)


def compiled(function: FunctionType, compiler: Any) -> MachineCode:
    """The machine code of the entry of a generated module."""
    library, symbol = compiler.library(function)
    module = library._final_module
    externals = [
        f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")
    ]
    code: bytes = library.codegen._tm.emit_object(module)
    return MachineCode(symbol, function.__code__.co_argcount, externals, code)


class Entry:
    """A kernel in memory, called with integers; its code goes when nobody holds it any more."""

    def __init__(self, machine_code: MachineCode) -> None:
        _find(machine_code.externals)
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        target = llvm.Target.from_default_triple().create_target_machine(jit=True)
        module = llvm.parse_assembly("")
        module.triple = llvm.get_process_triple()
        self._engine = llvm.create_mcjit_compiler(module, target)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(machine_code.code))
        self._engine.finalize_object()
        address = self._engine.get_function_address(machine_code.symbol)
        # Numba's convention: places for a result and for an exception come first
        kinds = [ctypes.c_void_p] * 2 + [ctypes.c_int64] * machine_code.arguments
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(address)
        self._places = (ctypes.c_int64 * 2)()
        first = ctypes.addressof(self._places)
        self._first = first, first + 8

    def __call__(self, *arguments: int) -> None:
        """Run, without holding the interpreter's lock."""
        self._function(*self._first, *arguments)


def _find(externals: list[str]) -> None:
    """Register the routines that machine code calls."""
    for name in externals:
        if name.startswith(PREFIX):
            library.load(name.removeprefix(PREFIX))
        for start, module in ROUTINES.items():
            if name.startswith(start):
                importlib.import_module(f"codegen.{module}")
    if all(llvm.address_of_symbol(name) for name in externals):
        return
    from numba.core.registry import cpu_target

    cpu_target.target_context.refresh()  # registers what Numba calls
    missing = [name for name in externals if not llvm.address_of_symbol(name)]
    if missing:
        raise UnknownRoutine(f"there is no {', '.join(missing)}")
