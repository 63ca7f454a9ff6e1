"""From source text to a callable: one module file per kernel, and the cache on disk.

A kernel lives in a directory named by a hash of its source and of everything else that its
machine code depends on. The file is written once, under a temporary name, and linked into
place, so processes that start together do not see half a file. Numba keeps the machine code
beside it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite
import numba
import numpy as np
import scipy

MODULE_FILE = "kernel.py"
_lock = threading.RLock()
_loaded: dict[str, Callable[..., None]] = {}


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
    runtime = "".join(
        hashlib.sha256((here / name).read_bytes()).hexdigest()
        for name in (
            "runtime.py",
            "blas.py",
            "special.py",
            "straight_line.py",
            "vector_constants.py",
            "vector_math.py",
        )
    )
    flags = sorted((k, v) for k, v in os.environ.items() if k.startswith("NUMBA_"))
    versions = (
        sys.version, platform.machine(), numba.__version__, llvmlite.__version__,
        np.__version__, scipy.__version__, flags, runtime,
    )  # fmt: skip
    return repr(versions)


def fingerprint(source: str) -> str:
    """The name of a kernel: a hash of all that its machine code depends on."""
    digest = hashlib.sha256()
    digest.update(_environment().encode())
    digest.update(b"\0")
    digest.update(source.encode())
    return digest.hexdigest()[:40]


def _write(source: str, name: str) -> Path:
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
        _replace(path, source)
    except OSError:
        directory = Path(tempfile.mkdtemp(prefix="symdiff-"))
        path = directory / MODULE_FILE
        _replace(path, source)
    return path


def _replace(path: Path, source: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(source)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _load(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Numba finds cached machine code by the module's name, so it must be importable by it
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_or_compile(path: Path, name: str) -> ModuleType:
    """Load a kernel; machine code that cannot be read is thrown away."""
    try:
        return _load(path, name)
    except Exception:
        if not (path.parent / "__pycache__").exists():
            raise
        shutil.rmtree(path.parent / "__pycache__", ignore_errors=True)
        return _load(path, name)


def build(source: str) -> Callable[..., None]:
    """The compiled entry of a kernel; from memory, from disk, or compiled now."""
    name = fingerprint(source)
    with _lock:
        if name not in _loaded:
            path = _write(source, name)
            _loaded[name] = _load_or_compile(path, f"symdiff_kernel_{name}").run
        return _loaded[name]


def build_plain(source: str) -> Callable[..., None]:
    """The entry of a kernel as plain Python on NumPy arrays, for one thread."""
    text = source.replace("from codegen.runtime import", "from codegen.plain import")
    text = text.replace("from codegen.blas import", "from codegen.plain import")
    text = text.replace("from codegen.vector_math import", "from codegen.plain import")
    text = text.replace(
        "from codegen import special", "from codegen import plain_special as special"
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / MODULE_FILE
        path.write_text(text, encoding="utf-8")
        name = f"symdiff_plain_{fingerprint(text)}"
        module = _load(path, name)
        del sys.modules[name]
    run: Any = module.run
    return run
