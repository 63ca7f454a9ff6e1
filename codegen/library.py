"""The library of matrix products: compiled once for a machine, kept beside the kernels.

It is registered with LLVM by name, so a kernel costs no time to compile products, and can itself
be kept on disk and loaded by another process, where the address differs. Loading it needs no
Numba.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from . import machine as machine_module
from . import product_code
from .machine import Machine, host
from .product_code import PREFIX, Products

_lock = threading.Lock()
_engines: dict[str, Any] = {}
"""Keeps the machine code of each dtype alive."""


def load(dtype: str) -> None:
    """Load the products of a dtype, from disk or compiled now."""
    with _lock:
        if dtype not in _engines:
            _engines[dtype] = _load(dtype, object_code(host(), dtype))


def compiled(machine: Machine, dtype: str) -> bytes:
    """The machine code of the library, as an object file.

    The code is written as it should run: no pass of LLVM's improves it.
    """
    module = llvm.parse_assembly(str(Products(machine, dtype).write()))
    code: bytes = machine.target_machine().emit_object(module)
    return code


def _load(dtype: str, code: bytes) -> Any:
    """Put an object file into memory, and register its function."""
    empty = llvm.parse_assembly("")
    empty.triple = host().triple
    engine = llvm.create_mcjit_compiler(empty, host().target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    llvm.add_symbol(PREFIX + dtype, engine.get_function_address(PREFIX + dtype))
    return engine


@functools.lru_cache(maxsize=1)
def _source() -> str:
    modules = (machine_module, product_code)
    texts = [Path(str(module.__file__)).read_bytes() for module in modules]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def object_code(machine: Machine, dtype: str) -> bytes:
    """The object file, from disk where it is there and whole."""
    from .build import cache_directory, replace

    key = repr((machine, dtype, llvmlite.__version__, llvm.llvm_version_info, _source()))
    name = hashlib.sha256(key.encode()).hexdigest()[:40]
    path = cache_directory() / f"products_{name}.o"
    try:
        digest, code = (content := path.read_bytes())[:32], content[32:]
        if digest == hashlib.sha256(code).digest():
            return code
    except OSError:
        pass
    code = compiled(machine, dtype)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, hashlib.sha256(code).digest() + code)
    except OSError:
        pass  # without a place on disk, each process compiles its own
    return code
