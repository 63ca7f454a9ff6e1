"""What a kernel needs on a device that is not there: machine code and its resources.

``python -m codegen.gpu.offline kernel.py --capability sm_90`` prints them for a kernel in a file,
for example ``trainer.source``. Needs ``numba-cuda`` and no driver.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import dataclasses
import inspect
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from .control import WARP

CAPABILITIES = ("sm_80", "sm_90")
"""Ampere and Hopper: those that tests compile for."""

REGISTERS = 65536
"""Registers of a multiprocessor, which a block may take; the same from sm_50 to sm_120."""

REGISTER_UNIT = 256
"""Registers are given to a warp in such portions."""

MOST_REGISTERS = 255
"""What a thread can name; a kernel that needs more keeps some in memory (spills)."""

MOST_THREADS = 1024
"""Threads of the largest block."""

GIBIBYTE = 1 << 30


@dataclass(frozen=True)
class Requirements:
    """What one kernel needs on devices of one compute capability.

    Attributes
    ----------
    capability : str
        For example "sm_90".
    registers : int
        32-bit registers of a thread.
    spill_stores, spill_loads : int
        Bytes that a thread writes to and reads from memory for want of registers.
    stack : int
        Bytes of memory of a thread: arrays of its own, and what calls save.
    shared : int
        Bytes of static memory of a block.
    block_barriers, grid_barriers : int
        Places in the PTX code where a block, or the grid, waits.
    wide : dict
        How often each float64 instruction stands in the PTX code.
    ptx : str
        The PTX code of the kernel, without what it is linked with.
    cubin : bytes
        The machine code.
    seconds : float
        Time of the compiler for this capability, without Numba's part, which all share.
    """

    capability: str
    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int
    block_barriers: int
    grid_barriers: int
    wide: dict[str, int]
    ptx: str = dataclasses.field(repr=False)
    cubin: bytes = dataclasses.field(repr=False)
    seconds: float = dataclasses.field(compare=False)

    @property
    def spills(self) -> int:
        """Bytes written and read for want of registers."""
        return self.spill_stores + self.spill_loads

    @property
    def most_threads(self) -> int:
        """Threads of the largest block for which the registers suffice."""
        units = -(-self.registers * WARP // REGISTER_UNIT)
        return min(MOST_THREADS, REGISTERS // (max(units, 1) * REGISTER_UNIT) * WARP)

    def __str__(self) -> str:
        wide = ", ".join(f"{count} {name}" for name, count in sorted(self.wide.items()))
        return "\n".join([
            f"{self.capability}: {self.registers} registers",
            f"  threads         {self.most_threads} in the largest block",
            f"  spills          {self.spill_stores} bytes stored, {self.spill_loads} loaded",
            f"  stack           {self.stack} bytes of a thread",
            f"  shared memory   {self.shared} bytes of a block",
            f"  barriers        {self.block_barriers} of blocks, {self.grid_barriers} of the grid",
            f"  float64         {wide or 'none'}",
            f"  machine code    {len(self.cubin)} bytes",
        ])  # fmt: skip


def capability_pair(capability: str | tuple[int, int]) -> tuple[int, int]:
    """A compute capability as numbers: "sm_90", "9.0" and (9, 0) are the same."""
    if isinstance(capability, tuple):
        return capability
    match = re.fullmatch(r"(?:sm_)?(\d+)\.?(\d)a?", capability)
    if match is None:
        raise ValueError(f"{capability!r} is no compute capability; write it as 'sm_90'")
    return int(match[1]), int(match[2])


@contextlib.contextmanager
def stand_in_device(capability: tuple[int, int]) -> Iterator[None]:
    """Let ``numba-cuda`` compile as for a device of a capability, whether there is one or not.

    It asks the current device for its capability wherever it compiles a kernel or a function that
    a kernel calls, although ``cuda.compile`` takes the capability as an argument, and asking needs
    a driver. Both places that ask get an answer here. What comes of it depends on the capability
    in the last step only, the translation to PTX, so functions that were compiled so may be kept
    and used by a launch on a real device. Nothing else compiles meanwhile: this holds the lock
    that every compilation of ``numba-cuda`` takes.
    """
    from numba.cuda import codegen, dispatcher
    from numba.cuda.core.compiler_lock import global_compiler_lock

    device = SimpleNamespace(compute_capability=capability)
    with (
        global_compiler_lock,
        mock.patch.object(dispatcher, "get_current_device", lambda: device),
        mock.patch.object(
            codegen.CUDACodeLibrary, "_ensure_cc", lambda self, asked: asked or _full(capability)
        ),
    ):
        yield


def _full(capability: tuple[int, int]) -> tuple[int, int, str]:
    """As ``numba-cuda`` names a device's: with the features of this one capability alone."""
    return (*capability, "a" if capability >= (9, 0) else "")


def _link(library: Any, capability: tuple[int, int]) -> tuple[bytes, str]:
    """The machine code of a kernel's library, and what the linker says of it."""
    from cuda.core import Linker, LinkerOptions, ObjectCode
    from numba.cuda.cudadrv.libs import get_cudalib

    major, minor, suffix = full = _full(capability)
    if library._lto:
        parts = [ObjectCode.from_ltoir(library.get_ltoir(cc=full))]
    else:
        parts = [ObjectCode.from_ptx(ptx.encode()) for ptx in library.get_asm_strs(cc=full)]
    if library.needs_cudadevrt:
        runtime = Path(get_cudalib("cudadevrt", static=True))
        if not runtime.is_file():
            raise FileNotFoundError(
                f"a kernel that waits for the grid is linked with {runtime.name}, which is not"
                " there; install numba-cuda[cu13], which brings it"
            )
        parts.append(ObjectCode.from_library(runtime.read_bytes()))
    options = LinkerOptions(
        arch=f"sm_{major}{minor}{suffix}",
        link_time_optimization=True if library._lto else None,
        max_register_count=library._max_registers,
        verbose=True,
    )
    linker = Linker(*parts, options=options)
    try:
        code = bytes(linker.link("cubin").code)
        return code, linker.get_info_log()
    finally:
        linker.close()


def _reported(log: str, name: str) -> dict[str, int]:
    """What the linker's log says of a kernel and of the functions that it calls.

    The compiler's lines have the spills of each function in the PTX code. Where something was
    linked in, lines of the linker follow with the registers and the stack of the kernel, those of
    the functions that it calls included.
    """
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    place = rf"Function properties for (?:{re.escape(name)}|'{re.escape(name)}':)[^\n]*\n"
    reports = re.findall(place + r"(?:[^\n]*stack frame[^\n]*\n)?[^\n]*[Uu]sed \d+ [^\n]*", log)
    if not reports or not spills:
        raise RuntimeError(
            f"the linker's log has no resources of {name}; this version of the CUDA toolkit writes"
            f" it in another way:\n{log[:2000]}"
        )

    def number(unit: str) -> int:
        match = re.search(rf"(\d+) (?:{unit})", reports[-1])
        return int(match[1]) if match else 0

    return {
        "registers": number("registers"),
        "spill_stores": sum(int(stores) for stores, _ in spills),
        "spill_loads": sum(int(loads) for _, loads in spills),
        "stack": number("stack|bytes stack frame"),
        "shared": number("bytes smem"),
    }


_INSTRUCTION = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.:]*)[\s;]", re.MULTILINE)


def instructions(ptx: str) -> Counter[str]:
    """How often each instruction stands in PTX code."""
    return Counter(_INSTRUCTION.findall(ptx))


def compile_entry(
    entry: Any, capabilities: Sequence[str | tuple[int, int]] = CAPABILITIES
) -> list[Requirements]:
    """Compile the entry of a kernel to machine code; see ``requirements``.

    In this process, and for as long as it takes.

    Parameters
    ----------
    entry : dispatcher of ``cuda.jit``
        The function ``run`` of a kernel's module. All its arguments are int64.
    capabilities : sequence of str
        For example ``["sm_80"]``.
    """
    from numba.cuda import types
    from numba.cuda.dispatcher import _Kernel

    pairs = [capability_pair(capability) for capability in capabilities]
    if not pairs:
        return []
    arguments = (types.int64,) * len(inspect.signature(entry.py_func).parameters)
    results = []
    with stand_in_device(pairs[0]):
        kernel = _Kernel(entry.py_func, arguments, **entry.targetoptions)
        library = kernel.library
        for pair in pairs:
            start = time.perf_counter()
            ptx = library.get_asm_str(cc=_full(pair))
            cubin, log = _link(library, pair)
            used = instructions(ptx)
            results.append(
                Requirements(
                    capability=f"sm_{pair[0]}{pair[1]}",
                    **_reported(log, kernel.entry_name),
                    block_barriers=sum(
                        count for name, count in used.items()
                        if name.startswith(("bar.sync", "barrier."))
                    ),
                    grid_barriers=len(re.findall(r"\bcudaCGSynchronize\s*,", ptx)),
                    wide={name: count for name, count in used.items() if ".f64" in name},
                    ptx=ptx,
                    cubin=cubin,
                    seconds=time.perf_counter() - start,
                )
            )  # fmt: skip
    return results


def requirements(
    source: str,
    capabilities: Sequence[str | tuple[int, int]] = CAPABILITIES,
    seconds: float = 300.0,
    memory: int = 8 * GIBIBYTE,
) -> list[Requirements]:
    """What the kernel in a text needs, compiled by a process of its own within bounds.

    Parameters
    ----------
    source : str
        The text of a kernel for CUDA devices, for example ``trainer.source``.
    capabilities : sequence of str
        For example ``["sm_80"]``.
    seconds : float
        The process is stopped after this time.
    memory : int
        Bytes that the process may allocate (not on Windows).

    Raises
    ------
    TimeoutError
        The time was not enough.
    RuntimeError
        The kernel does not compile, or the memory was not enough.
    """
    pairs = [capability_pair(capability) for capability in capabilities]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "kernel.py"
        path.write_text(source, encoding="utf-8")
        command = [sys.executable, "-m", __name__, str(path), "--json", "--memory", str(memory)]
        for major, minor in pairs:
            command += ["--capability", f"sm_{major}{minor}"]
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(
                f"the kernel has not been compiled after {seconds:g} s; its text has"
                f" {source.count(chr(10))} lines. Raise `seconds`, or compile a smaller model"
            ) from None
    if run.returncode != 0:
        raise RuntimeError(
            f"the kernel was not compiled within {memory / GIBIBYTE:.3g} GiB:\n"
            + (run.stderr.strip()[-2000:] or f"exit status {run.returncode}")
        )
    return [
        Requirements(**{**entry, "cubin": base64.b64decode(entry["cubin"])})
        for entry in json.loads(run.stdout)
    ]


def _bound_memory(size: int) -> None:
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m codegen.gpu.offline", description=__doc__)
    parser.add_argument("kernel", type=Path, help="file with the text of a kernel")
    parser.add_argument("--capability", action="append", help="sm_80 and sm_90 if not given")
    parser.add_argument("--memory", type=int, help="bytes that this process may allocate")
    parser.add_argument("--json", action="store_true", help="print everything, for programs")
    parser.add_argument("--ptx", action="store_true", help="print the PTX code, too")
    options = parser.parse_args(arguments)
    if options.memory:
        _bound_memory(options.memory)
    from ..build import build_numba

    entry = build_numba(options.kernel.read_text(encoding="utf-8"))
    results = compile_entry(entry, options.capability or CAPABILITIES)
    if options.json:
        print(
            json.dumps(
                [
                    {**dataclasses.asdict(result), "cubin": base64.b64encode(result.cubin).decode()}
                    for result in results
                ]
            )
        )
        return
    for result in results:
        print(result)
        if options.ptx:
            print(result.ptx)


if __name__ == "__main__":
    main()
