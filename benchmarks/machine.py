"""The machine and the versions, for the head of a table."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ["symdiff", "numpy", "scipy", "sympy", "numba", "numba-cuda", "llvmlite", "jax", "torch",
            "tensorflow", "tensorflow-cpu", "keras", "pytensor", "heyoka"]  # fmt: skip


def processor():
    """The model of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def vector_units():
    """The widest vectors it says it has."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return ""
    return next((f" ({name.upper()})" for name in ("avx512f", "avx2", "asimd") if name in text), "")


def cores():
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions():
    """``{package: version}`` of what is installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def commit():
    """The commit of the checkout, with a + where files differ from it; None without git."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def describe():
    """The lines at the head of a table."""
    packages = ", ".join(f"{k} {v}" for k, v in versions().items())
    here = commit()
    packages = f"this checkout at {here}, {packages}" if here else packages
    return [
        f"* Date: {datetime.date.today().isoformat()}",
        f"* Processor: {processor()}{vector_units()}, {cores()} cores",
        f"* System: {platform.system()} {platform.release()}, Python {platform.python_version()}",
        f"* Versions: {packages}",
    ]
