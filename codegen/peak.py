"""What this machine can do at most, measured once for each process.

Arithmetic: fused multiply-adds of independent vectors in registers. Memory: the sum of an array,
for sizes that stay in one level of cache after another.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .kernel import launch
from .runtime import WideCompiler
from .straight_line import FORMATS

CHAINS = 12
"""Independent sums in registers: two units with a latency of four to six cycles are kept busy."""

LEVELS = (2**14, 2**18, 2**20, 2**23, 2**27)
"""Bytes that each thread reads."""

SECONDS = 0.02
REPEATS = 5


def _vector_bytes() -> int:
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx") else 16


def _multiply_add(dtype: str) -> Any:
    """A function of the number of rounds, each of ``CHAINS`` fused multiply-adds."""
    format = FORMATS[dtype]
    lanes = _vector_bytes() * 8 // format.integer.width
    vector, integer = ir.VectorType(format.real, lanes), ir.IntType(64)

    @intrinsic
    def chains(typing_context: Any, rounds: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            name = f"llvm.fma.v{lanes}f{format.integer.width}"
            kind = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, name)

            def constant(value: float) -> Any:
                return ir.Constant(vector, [value] * lanes)

            start = builder.block
            body, end = builder.append_basic_block(), builder.append_basic_block()
            builder.branch(body)
            builder.position_at_end(body)
            counter = builder.phi(integer)
            counter.add_incoming(integer(0), start)
            sums = [builder.phi(vector) for _ in range(CHAINS)]
            factor, term = constant(0.5), constant(1.0)
            following = [builder.call(fma, [s, factor, term]) for s in sums]
            for k, (s, value) in enumerate(zip(sums, following, strict=True)):
                s.add_incoming(constant(float(k)), start)
                s.add_incoming(value, body)
            count = builder.add(counter, integer(1))
            counter.add_incoming(count, body)
            builder.cbranch(builder.icmp_signed("<", count, arguments[0]), body, end)
            builder.position_at_end(end)
            total = following[0]
            for value in following[1:]:
                total = builder.fadd(total, value)
            return builder.extract_element(total, ir.IntType(32)(0))

        return format.numba(types.int64), generate

    @njit(nogil=True, pipeline_class=WideCompiler)
    def run(rounds: int) -> Any:
        return chains(rounds)

    return run, 2 * lanes * CHAINS


@njit(nogil=True, fastmath=True, pipeline_class=WideCompiler)
def _sum(array: Any, rounds: int) -> float:
    total = 0.0
    for _ in range(rounds):
        for i in range(array.size):
            total += array[i]
        array[0] = total * 0.0  # so that no round can be left out
    return total


def _best(run: Any, threads: int, arguments: Any) -> float:
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
    rounds, seconds = 250, 0.0
    while seconds < SECONDS / REPEATS:
        rounds *= 4
        arguments = [rounds]
        seconds = _best(run, threads, lambda tid, nth, given=arguments: given)
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

    def arguments(tid: int, nth: int) -> list[Any]:
        return [arrays[tid], rounds]

    _sum(arrays[0], 1)
    return threads * rounds * level / _best(_sum, threads, arguments)
