"""Machine code of kernels: as a file, and from a file into the process, by LLVM alone.

A kernel that has just been compiled is loaded the same way, so that a process which compiles has
the bits of one that does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import json
import sys
from dataclasses import asdict, dataclass

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
        kinds = [ctypes.c_int64] * machine_code.arguments
        self._function = ctypes.CFUNCTYPE(None, *kinds)(address)

    def __call__(self, *arguments: int) -> None:
        """Run, without holding the interpreter's lock."""
        self._function(*arguments)


@functools.lru_cache(maxsize=1)
def _c_libraries() -> list[ctypes.CDLL]:
    """The C library and its mathematics."""
    names: list[str | None] = [None, "libm.so.6"]
    if sys.platform == "win32":
        names = ["ucrtbase"]
    found = []
    for name in names:
        with contextlib.suppress(OSError):
            found.append(ctypes.CDLL(name))
    return found


def _c(name: str) -> bool:
    """Register a function of the C library; True where there is one."""
    for library_of_c in _c_libraries():
        function = getattr(library_of_c, name, None)
        if function is not None:
            llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
            return True
    return False


def _find(externals: list[str]) -> None:
    """Register the routines that machine code calls."""
    for name in externals:
        if name.startswith(PREFIX):
            library.load(name.removeprefix(PREFIX))
        for start, module in ROUTINES.items():
            if name.startswith(start):
                importlib.import_module(f"codegen.{module}")
    missing = [name for name in externals if not llvm.address_of_symbol(name) and not _c(name)]
    if missing:
        raise UnknownRoutine(f"there is no {', '.join(missing)}")
