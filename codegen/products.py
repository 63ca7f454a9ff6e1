"""Matrix products for generated kernels: a library written for this machine, called by name.

The functions of ``product_code`` are compiled once for a machine and kept on disk beside the
kernels. They are registered with LLVM under a name, so a kernel costs no time to compile them,
and can itself be cached and loaded by another process, where their address differs.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from . import machine as machine_module
from . import product_code
from .machine import Machine, host
from .product_code import Products

_lock = threading.Lock()
_engines: dict[str, Any] = {}
"""Keeps the machine code of each dtype alive."""


@intrinsic
def gemm(
    typing_context: Any,
    m: Any, n: Any, k: Any,
    a: Any, a_stride: Any, a_transposed: Any,
    b: Any, b_stride: Any, b_transposed: Any,
    c: Any, c_stride: Any, accumulate: Any,
) -> Any:  # fmt: skip
    """``c = a @ b`` or ``c += a @ b`` for row-major matrices; strides are those of rows."""
    i = types.int64
    signature = types.void(i, i, i, a, i, i, b, i, i, c, i, i)
    name = _symbol(a.dtype.name)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = [value.type for value in arguments]
        function = ir.FunctionType(ir.VoidType(), kinds)
        builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)
        return context.get_dummy_value()

    return signature, generate


def products(real: str) -> Any:
    """The function ``gemm``, once its library is loaded.

    Parameters
    ----------
    real : {"float32", "float64"}
    """
    with _lock:
        if real not in _engines:
            _engines[real] = _load(real, _object_code(host(), real))
    return gemm


def _symbol(dtype: str) -> str:
    return f"symdiff_product_{dtype}"


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
    llvm.add_symbol(_symbol(dtype), engine.get_function_address(_symbol(dtype)))
    return engine


@functools.lru_cache(maxsize=1)
def _source() -> str:
    modules = (machine_module, product_code)
    texts = [Path(str(module.__file__)).read_bytes() for module in modules]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def _object_code(machine: Machine, dtype: str) -> bytes:
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
