"""What this machine can do at most, measured once for each process.

Arithmetic: fused multiply-adds of independent vectors in registers. Memory: the sum of an array,
for sizes that stay in one level of cache after another.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from .build import build
from .launch import launch
from .machine import host
from .machine_code import Entry
from .straight_line import FORMATS
from .translation.optimise import machine_code

CHAINS = 12
"""Independent sums in registers: two units with a latency of four to six cycles are kept busy."""

LEVELS = (2**14, 2**18, 2**20, 2**23, 2**27)
"""Bytes that each thread reads."""

SECONDS = 0.02
REPEATS = 5

SUM = """\
from codegen.runtime import Compiler, float64s as reals

compiler = Compiler(real="float64", math="fast")


@compiler.entry
def run(array, size, rounds):
    array = reals(array)
    for _ in range(rounds):
        total = 0.0
        for i in range(size):
            total += array[i]
        array[0] = total * 0.0  # so that no round can be left out
"""


def _multiply_add(dtype: str) -> tuple[Entry, int]:
    """A function of a number of rounds and a place for a result, and the operations of a round.

    A round is ``CHAINS`` fused multiply-adds of vectors.
    """
    format = FORMATS[dtype]
    lanes = host().vector_bytes * 8 // format.integer.width
    vector, integer = ir.VectorType(format.real, lanes), ir.IntType(64)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [integer, integer]), "chains")
    start, body, end = (function.append_basic_block() for _ in range(3))
    builder = ir.IRBuilder(start)

    def constant(value: float) -> Any:
        return ir.Constant(vector, [value] * lanes)

    builder.branch(body)
    builder.position_at_end(body)
    counter = builder.phi(integer)
    counter.add_incoming(integer(0), start)
    sums = [builder.phi(vector) for _ in range(CHAINS)]
    name = f"llvm.fma.v{lanes}f{format.integer.width}"
    fma = ir.Function(module, ir.FunctionType(vector, [vector] * 3), name)
    following = [builder.call(fma, [s, constant(0.5), constant(1.0)]) for s in sums]
    for k, (s, value) in enumerate(zip(sums, following, strict=True)):
        s.add_incoming(constant(float(k)), start)
        s.add_incoming(value, body)
    count = builder.add(counter, integer(1))
    counter.add_incoming(count, body)
    rounds, place = function.args
    builder.cbranch(builder.icmp_signed("<", count, rounds), body, end)
    builder.position_at_end(end)
    total = following[0]
    for value in following[1:]:
        total = builder.fadd(total, value)
    builder.store(total, builder.inttoptr(place, vector.as_pointer()), align=1)
    builder.ret_void()
    written = llvm.parse_assembly(str(module))
    return Entry(machine_code(written, "chains", 2)), 2 * lanes * CHAINS


def _best(run: Entry, threads: int, arguments: Callable[[int, int], list[int]]) -> float:
    best = np.inf
    for _ in range(REPEATS):
        started = time.perf_counter()
        launch(run, threads, arguments)
        best = min(best, time.perf_counter() - started)
    return float(best)


@functools.cache
def arithmetic(dtype: str, threads: int) -> float:
    """Floating-point operations in a second, of all threads together."""
    run, each = _multiply_add(dtype)
    results = [np.empty(host().vector_bytes, np.uint8) for _ in range(threads)]
    rounds, seconds = 250, 0.0
    while seconds < SECONDS / REPEATS:
        rounds *= 4
        count = rounds

        def arguments(tid: int, nth: int, count: int = count) -> list[int]:
            return [count, results[tid].ctypes.data]

        seconds = _best(run, threads, arguments)
    return threads * each * rounds / seconds


def bandwidth(size: float, threads: int) -> float:
    """Bytes in a second that all threads together read where each uses ``size / threads``."""
    share = size / threads
    level = next((n for n in LEVELS if share <= n), LEVELS[-1])
    return _bandwidth(level, threads)


@functools.cache
def _bandwidth(level: int, threads: int) -> float:
    arrays = [np.ones(level // 8) for _ in range(threads)]
    rounds = max(1, 2**25 // level)

    def arguments(tid: int, nth: int) -> list[int]:
        return [arrays[tid].ctypes.data, level // 8, rounds]

    return threads * rounds * level / _best(build(SUM), threads, arguments)
