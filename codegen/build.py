"""From source text to a callable: one module file per kernel, and the cache on disk.

A kernel lives in a directory named by a hash of its source and of everything else that its
machine code depends on. The file is written once, under a temporary name, and linked into
place, so processes that start together do not see half a file. The machine code lies beside it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import platform
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import llvmlite.binding as llvm
import numpy as np
import scipy

from .machine import host
from .machine_code import Entry, MachineCode, UnknownRoutine
from .translation.optimise import compiled, optimised

MODULE_FILE = "kernel.py"
CODE_FILE = "kernel.o"
_lock = threading.RLock()
_loaded: MutableMapping[str, Entry] = weakref.WeakValueDictionary()


def cache_directory() -> Path:
    """Where kernels are kept: ``SYMDIFF_CACHE_DIR``, or the user's cache directory."""
    configured = os.environ.get("SYMDIFF_CACHE_DIR")
    if configured:
        return Path(configured)
    import platformdirs

    return Path(platformdirs.user_cache_dir("symdiff")) / "kernels"


@functools.lru_cache(maxsize=1)
def _environment() -> str:
    """What the machine code depends on besides the source."""
    here = Path(__file__).parent
    names = (
        "control.py", "machine.py", "product_code.py", "special.py", "straight_line.py",
        "vector_constants.py", "vector_math.py",
    )  # fmt: skip
    paths = [*(here / name for name in names), *sorted((here / "translation").glob("*.py"))]
    texts = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    versions = (
        sys.version, platform.machine(), host(), llvmlite.__version__, llvm.llvm_version_info,
        np.__version__, scipy.__version__, texts,
    )  # fmt: skip
    return repr(versions)


def fingerprint(source: str) -> str:
    """The name of a kernel: a hash of all that its machine code depends on."""
    digest = hashlib.sha256()
    digest.update(_environment().encode())
    digest.update(b"\0")
    digest.update(source.encode())
    return digest.hexdigest()[:40]


def write(source: str, name: str) -> Path:
    """The file of a kernel, written unless it is there with this very text."""
    directory = cache_directory() / name
    path = directory / MODULE_FILE
    try:
        if path.read_text(encoding="utf-8") == source:
            return path
    except (OSError, UnicodeDecodeError):
        pass
    try:
        directory.mkdir(parents=True, exist_ok=True)
        replace(path, source.encode())
    except OSError:
        directory = Path(tempfile.mkdtemp(prefix="symdiff-"))
        path = directory / MODULE_FILE
        replace(path, source.encode())
    return path


def replace(path: Path, content: bytes) -> None:
    """Write a file, so that other processes see all of it or the one before."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load(path: Path, name: str, given: Mapping[str, Any] | None = None) -> ModuleType:
    """The module in a file, run with the names given to it."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update(given or {})
    sys.modules[name] = module  # Numba looks for the module of what it compiles
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def llvm_code(source: str) -> str:
    """The optimised LLVM code of a kernel, compiled again."""
    return str(optimised(source)[0])


def _read(path: Path, source: str) -> Entry | None:
    """The kernel in a file; None where there is no file, a damaged one, or one that cannot run."""
    try:
        machine_code = MachineCode.unpacked(path.read_bytes(), source)
        return None if machine_code is None else Entry(machine_code)
    except (OSError, ValueError, KeyError, TypeError, UnknownRoutine):
        return None


def build(source: str) -> Entry:
    """The compiled entry of a kernel; from memory, from disk, or compiled now."""
    name = fingerprint(source)
    with _lock:
        entry = _loaded.get(name)
        if entry is None:
            path = write(source, name)
            entry = _read(path.with_name(CODE_FILE), source)
            if entry is None:
                machine_code = compiled(source)
                entry = Entry(machine_code)
                with contextlib.suppress(OSError):
                    replace(path.with_name(CODE_FILE), machine_code.packed(source))
            _loaded[name] = entry
        return entry


def load_module(source: str, kind: str) -> ModuleType:
    """The text of a kernel as a module, in a file of the cache."""
    name = fingerprint(source)
    return load(write(source, name), f"symdiff_{kind}_{name}")


def build_numba(source: str) -> Callable[..., None]:
    """The entry of a kernel, compiled by Numba."""
    run: Any = load_module(source, "numba").run
    return run


def build_plain(source: str) -> Callable[..., None]:
    """The entry of a kernel as plain Python on NumPy arrays, for one thread."""
    text = source.replace("from codegen.runtime import", "from codegen.plain import")
    text = text.replace("from codegen.products import", "from codegen.plain import")
    text = text.replace("from codegen.vector_math import", "from codegen.plain import")
    text = text.replace(
        "from codegen import special", "from codegen import plain_special as special"
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / MODULE_FILE
        path.write_text(text, encoding="utf-8")
        name = f"symdiff_plain_{fingerprint(text)}"
        module = load(path, name)
    run: Any = module.run
    return run
