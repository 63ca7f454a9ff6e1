"""What generated CPU kernels import: pointers, the barrier, shuffling, compile options.

``plain`` has the same names for the same text run as plain Python on NumPy arrays.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils, compiler
from numba.core.codegen import JITCodeLibrary
from numba.extending import intrinsic

FAST_FLAGS = {
    "float64": {"reassoc", "contract", "nsz", "arcp", "afn"},
    "float32": {"reassoc", "contract", "nsz", "afn"},
}
"""Fast-math without nnan and ninf: NaN and infinity keep their meaning.

With ``arcp`` LLVM computes ``1/sqrt(x)`` in float32 by an estimate and a Newton step, which is
NaN at 0 and at infinity and minus infinity where x is subnormal.
"""


INTERNAL = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
"""Options of functions that are called by compiled code only."""


WIDEST_VECTORS = '"prefer-vector-width"="512"'
"""For Intel's processors with AVX-512 LLVM prefers vectors of 256 bits, since the first of them
slowed down under wider ones. Sums of exponentials take 1.4 times as long then. It means nothing
to processors that have no such vectors."""


class WideLibrary(JITCodeLibrary):
    """LLVM code that may use the widest vectors of the machine."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Add a module."""
        for function in ir_module.functions:
            if not function.is_declaration:
                # llvmlite prints what is in this set, but its ``add`` knows no attribute by string
                set.add(function.attributes, WIDEST_VECTORS)
        super().add_ir_module(ir_module)


class KernelLibrary(WideLibrary):
    """LLVM code that Numba does not load."""

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Nothing: there is no machine code."""
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        """The code generator, for which this library has no place for an environment."""
        return SimpleNamespace(set_env=lambda name, environment: None, _tm=self._codegen._tm)


class PartLibrary(KernelLibrary):
    """LLVM code that is only linked into the entry, and optimised there."""

    def _optimize_final_module(self) -> None:
        """The entry is optimised, with all that it links."""


class WideCompiler(compiler.Compiler):
    """Compiles functions that Python calls."""

    library: type[WideLibrary] = WideLibrary

    def _compile_core(self) -> Any:
        generator = self.state.targetctx.codegen()
        self.state.library = self.library(generator, self.state.func_id.func_qualname)
        return super()._compile_core()


class EntryCompiler(WideCompiler):
    """Compiles the entry of a kernel, with all that is inlined into it."""

    library = KernelLibrary


class InlinedCompiler(WideCompiler):
    """Compiles functions that become a part of the entry, where LLVM optimises them."""

    library = PartLibrary


class SeparateLibrary(PartLibrary):
    """LLVM code of a function that stays one in the machine code of the entry."""

    def add_ir_module(self, ir_module: Any) -> None:
        """Add a module."""
        for function in ir_module.functions:
            if function.blocks and "alwaysinline" not in function.attributes:
                function.attributes.add("noinline")
        super().add_ir_module(ir_module)


class PhaseLibrary(PartLibrary):
    """LLVM code of a phase, whose arguments are pointers to different arrays.

    LLVM need not ask, before every loop, whether what it writes is what it reads; it could not
    where an index comes from memory, as the samples of a batch do. Nor need it ask whether a
    position is beyond the address space: a loop over sixteen pointers would not be vectorised.
    """

    def add_ir_module(self, ir_module: Any) -> None:
        """Add a module."""
        for function in ir_module.functions:
            for argument in function.args if function.blocks else ():
                if isinstance(argument.type, ir.PointerType):
                    argument.add_attribute("noalias")
            for block in function.blocks:
                for instruction in block.instructions:
                    if isinstance(instruction, ir.GEPInstr):
                        instruction.inbounds = True
        super().add_ir_module(ir_module)


class PhaseCompiler(InlinedCompiler):
    """Compiles phases."""

    library = PhaseLibrary


class PartCompiler(InlinedCompiler):
    """Compiles functions that stay functions of their own in the machine code of the entry."""

    library = SeparateLibrary


class Compiler:
    """Decorators of one generated module.

    Parameters
    ----------
    real : {"float64", "float32"}
    math : {"fast", "accurate"}
        "accurate" also switches off contraction to fused multiply-add.
    """

    def __init__(self, real: str, math: str) -> None:
        self.real = {"float64": types.float64, "float32": types.float32}[real]
        self.options: dict[str, Any] = {
            "error_model": "numpy",
            "nogil": True,
            "fastmath": FAST_FLAGS[real] if math == "fast" else False,
        }

    def helper(self, function: Callable[..., Any]) -> Any:
        """A function of scalars."""
        return self._inlined(InlinedCompiler, function)

    def part(self, function: Callable[..., Any]) -> Any:
        """A part of a long phase: stays a function of its own in the machine code."""
        return njit(pipeline_class=PartCompiler, forceinline=False, **INTERNAL, **self.options)(
            function
        )

    def phase(self, function: Callable[..., Any]) -> Any:
        """A function on pointers to different arrays, which becomes part of the entry.

        Were it compiled on its own, a process that compiles would run the first of two copies of
        it, a process that reads the kernel from disk the second, which LLVM has optimised once
        more: their results would differ in the last digit.
        """
        return self._inlined(PhaseCompiler, function)

    def _inlined(self, pipeline: Any, function: Callable[..., Any]) -> Any:
        options = {**INTERNAL, **self.options}
        return njit(pipeline_class=pipeline, forceinline=True, **options)(function)

    def entry(self, function: Callable[..., Any]) -> Any:
        """The function that Python calls: ints and addresses only; see ``machine_code``."""
        return function

    def library(self, entry: Any) -> tuple[Any, str]:
        """The optimised LLVM code of an entry, and its name there."""
        signature = types.void(*[types.int64] * entry.__code__.co_argcount)
        options = {**INTERNAL, **self.options}
        dispatcher = njit(signature, pipeline_class=EntryCompiler, **options)(entry)
        (result,) = dispatcher.overloads.values()
        return result.library, result.fndesc.llvm_func_name


def _pointer_intrinsic(dtype: Any) -> Any:
    @intrinsic
    def convert(typing_context: Any, address: Any) -> Any:
        signature = types.CPointer(dtype)(types.int64)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            target = context.get_value_type(signature.return_type)
            return builder.inttoptr(arguments[0], target)

        return signature, generate

    return convert


float64s = _pointer_intrinsic(types.float64)
float32s = _pointer_intrinsic(types.float32)
integers = _pointer_intrinsic(types.int64)
naturals = _pointer_intrinsic(types.uint64)


@intrinsic
def at(typing_context: Any, pointer: Any, offset: Any) -> Any:
    """The pointer to the element at an offset.

    Generated code indexes pointers, not arrays: Numba's arrays wrap negative indices, and that
    test stops LLVM from vectorising a loop whose first index is not a literal.
    """
    signature = pointer(pointer, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], inbounds=True)

    return signature, generate


@intrinsic
def carried(typing_context: Any, value: Any) -> Any:
    """A number that the next step starts from, rounded here.

    Nothing is reassociated across it. A step must have the same bits wherever in a call it
    stands: how many steps a call runs depends on how long they take.
    """
    signature = value(value)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (number,) = arguments
        fence = builder.module.declare_intrinsic(
            "llvm.arithmetic.fence", [number.type], ir.FunctionType(number.type, [number.type])
        )
        return builder.call(fence, [number])

    return signature, generate


@intrinsic
def step_over(typing_context: Any) -> Any:
    """The end of a step: LLVM does not unroll the loop over the steps."""
    signature = types.void()

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
        builder.call(nothing, [], attrs=("convergent",))
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def _atomic_add(typing_context: Any, pointer: Any, offset: Any, value: Any) -> Any:
    signature = types.int64(types.CPointer(types.int64), types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]], inbounds=True)
        return builder.atomic_rmw("add", place, arguments[2], "seq_cst")

    return signature, generate


@intrinsic
def _atomic_load(typing_context: Any, pointer: Any, offset: Any) -> Any:
    signature = types.int64(types.CPointer(types.int64), types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = builder.gep(arguments[0], [arguments[1]], inbounds=True)
        return builder.load_atomic(place, "seq_cst", 8)

    return signature, generate


if sys.platform == "win32":

    @njit
    def _give_way() -> None:
        """Nothing: the spin goes on until the system takes the core away."""

else:
    _sched_yield = types.ExternalFunction("sched_yield", types.int32())

    @njit
    def _give_way() -> None:
        """Let another thread have the core."""
        _sched_yield()


SPINS = 4000
GENERATION = 8
"""The counter of passed barriers lies on a cache line of its own."""


@njit(nogil=True)
def wait(barrier: Any, nth: int) -> None:
    """Wait until all threads are here: a spin barrier (0.1 to 0.3 µs where each has a core)."""
    if nth == 1:
        return
    generation = _atomic_load(barrier, GENERATION)
    if _atomic_add(barrier, 0, 1) == nth - 1:
        _atomic_add(barrier, 0, -nth)
        _atomic_add(barrier, GENERATION, 1)
        return
    spins = 0
    while _atomic_load(barrier, GENERATION) == generation:
        spins += 1
        if spins > SPINS:
            _give_way()


def chunk_count_python(rows: int, grain: int, most: int) -> int:
    """How many chunks: a power of two, so that any usual number of threads has equal shares."""
    chunks = 1
    while 2 * chunks <= most and 2 * chunks * grain <= rows:
        chunks *= 2
    return chunks


chunk_count = njit(nogil=True)(chunk_count_python)


@intrinsic
def _clock(typing_context: Any) -> Any:
    """A count that grows at a constant rate, in any unit."""
    # on other processors than x86 the counter of cycles belongs to the system
    cycles = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
    name = "llvm.readcyclecounter" if cycles else "llvm.readsteadycounter"

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(64), [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])

    return types.int64(), generate


@njit(nogil=True)
def stamp(times: Any, tid: int, place: int) -> None:
    """Let the first thread add to ``times[place]`` what has passed since the last stamp."""
    if tid == 0:
        now = _clock()
        if place > 0:
            times[place] += now - times[0]
        times[0] = now


def share_python(extent: int, tid: int, nth: int) -> tuple[int, int]:
    """The part of a thread, in whole tiles of a product; the last thread takes the rest."""
    lines = extent // SHARE
    last = extent if tid == nth - 1 else lines * (tid + 1) // nth * SHARE
    return lines * tid // nth * SHARE, last


SHARE = 8
"""Elements or rows that one thread computes together."""

share = njit(nogil=True)(share_python)


def shuffle_python(order: Any, count: int, state: Any) -> None:
    """Fisher and Yates' shuffle, random numbers by splitmix64 (Steele, Lea, Flood 2014).

    It starts from 0, 1, 2 …, so that an order depends on the state of the random numbers alone,
    and training goes on in the same way after a pause.
    """
    for i in range(count):
        order[i] = i
    for i in range(count - 1, 0, -1):
        s = state[0] + np.uint64(0x9E3779B97F4A7C15)
        state[0] = s
        z = (s ^ (s >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        j = np.int64(z % np.uint64(i + 1))
        held = order[i]
        order[i] = order[j]
        order[j] = held


shuffle = njit(nogil=True)(shuffle_python)
