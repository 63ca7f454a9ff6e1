"""Matrix products of float32 numbers on tensor cores, in the language of kernels.

Operands are rounded to TF32, which has the range of float32 and eleven digits in base 2; products
are exact, sums are float32. As in ``tiles``, parts of the operands lie in memory of the block.
A tile of the result is cut into eight parts of 32 by 16 numbers, each of them the work of a warp:
two by two results of the instruction, which multiplies 16 by 8 with 8 by 8 numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import control, tiles
from .control import WARP, primitive
from .tiles import DEPTH, load, put

block_wait = primitive("block_wait")
shared_array = primitive("shared_array")
zero = primitive("zero")

multiply_accumulate = primitive("multiply_accumulate")
"""``multiply_accumulate(c0, c1, c2, c3, a0, a1, a2, a3, b0, b1)``: four numbers of ``c + a @ b``.

All threads of a warp call it together. With i and j the quotient and the remainder of a thread's
place in the warp by 4, it has these rows and columns, as the PTX ISA lays them out for m16n8k8:
a0 (i, j), a1 (i + 8, j), a2 (i, j + 4), a3 (i + 8, j + 4); b0 (j, i), b1 (j + 4, i);
c0 (i, 2j), c1 (i, 2j + 1), c2 (i + 8, 2j), c3 (i + 8, 2j + 1).
"""

TILE_BITS = 6
JOBS = 8
"""Parts of a tile."""

PADDING = 8
"""Numbers between lines: what the threads of a warp read lies in as many banks."""

WIDTH = (1 << TILE_BITS) + PADDING
PART = DEPTH * WIDTH
MEMORY = 4 * PART


def tile_memory(c: Any) -> Any:
    """Memory of the block for parts of the operands: the same for all products."""
    return shared_array(MEMORY, c)


def put_four(
    c: Any, c_stride: int, row: int, column: int, m: int, n: int,
    c0: Any, c1: Any, c2: Any, c3: Any, accumulate: int,
) -> None:  # fmt: skip
    """Store what a thread has of a result of the instruction."""
    place = row * c_stride + column
    put(c, place, row < m and column < n, c0, accumulate)
    put(c, place + 1, row < m and column + 1 < n, c1, accumulate)
    place += 8 * c_stride
    put(c, place, row + 8 < m and column < n, c2, accumulate)
    put(c, place + 1, row + 8 < m and column + 1 < n, c3, accumulate)


def gemm_tf32(
    tid: int, nth: int, size: int, m: int, n: int, k: int,
    a: Any, a_stride: int, a_transposed: int, b: Any, b_stride: int, b_transposed: int,
    c: Any, c_stride: int, accumulate: int,
) -> None:  # fmt: skip
    """As ``tiles.gemm``, with operands rounded to TF32, and tiles of one size."""
    memory = tile_memory(c)
    across = (n + (1 << TILE_BITS) - 1) >> TILE_BITS
    down = (m + (1 << TILE_BITS) - 1) >> TILE_BITS
    lane = tid % size
    i = (lane % WARP) >> 2
    j = lane & 3
    for number in range(tid // size, down * across, nth // size):
        row = number // across << TILE_BITS
        column = number % across << TILE_BITS
        # a block of fewer warps than parts goes over the tile more than once
        for first in range(0, JOBS, size // WARP):
            job = first + lane // WARP
            r = ((job & 1) << 5) + i
            q = (job >> 1 & 3) << 4
            c0 = c1 = c2 = c3 = zero(c)
            d0 = d1 = d2 = d3 = zero(c)
            e0 = e1 = e2 = e3 = zero(c)
            f0 = f1 = f2 = f3 = zero(c)
            turn = 0
            for start in range(0, k, DEPTH):
                here = turn * (2 * PART)
                load(
                    lane, size, TILE_BITS, row, m, start, k, a, a_stride, 1 - a_transposed,
                    memory, here,
                )  # fmt: skip
                load(
                    lane, size, TILE_BITS, column, n, start, k, b, b_stride, b_transposed,
                    memory, here + PART,
                )  # fmt: skip
                block_wait()
                p = 0
                while p < DEPTH:
                    left = here + (p + j) * WIDTH + r
                    right = here + (p + j) * WIDTH + q + i + PART
                    a0 = memory[left]
                    a1 = memory[left + 8]
                    a2 = memory[left + 4 * WIDTH]
                    a3 = memory[left + 4 * WIDTH + 8]
                    g0 = memory[left + 16]
                    g1 = memory[left + 24]
                    g2 = memory[left + 4 * WIDTH + 16]
                    g3 = memory[left + 4 * WIDTH + 24]
                    b0 = memory[right]
                    b1 = memory[right + 4 * WIDTH]
                    h0 = memory[right + 8]
                    h1 = memory[right + 4 * WIDTH + 8]
                    c0, c1, c2, c3 = multiply_accumulate(c0, c1, c2, c3, a0, a1, a2, a3, b0, b1)
                    d0, d1, d2, d3 = multiply_accumulate(d0, d1, d2, d3, a0, a1, a2, a3, h0, h1)
                    e0, e1, e2, e3 = multiply_accumulate(e0, e1, e2, e3, g0, g1, g2, g3, b0, b1)
                    f0, f1, f2, f3 = multiply_accumulate(f0, f1, f2, f3, g0, g1, g2, g3, h0, h1)
                    p += 8
                turn = 1 - turn
            block_wait()
            if job < JOBS:
                r += row
                q += column + 2 * j
                put_four(c, c_stride, r, q, m, n, c0, c1, c2, c3, accumulate)
                put_four(c, c_stride, r, q + 8, m, n, d0, d1, d2, d3, accumulate)
                put_four(c, c_stride, r + 16, q, m, n, e0, e1, e2, e3, accumulate)
                put_four(c, c_stride, r + 16, q + 8, m, n, f0, f1, f2, f3, accumulate)


def bound(
    primitives: Mapping[str, Any], compiled: Callable[[Any], Any] = lambda function: function
) -> dict[str, Any]:
    """``gemm_tf32``, and ``gemm`` of ``tiles``, with their primitives.

    Two of them are ``rounded``, a float32 number as TF32, and ``same``, the number itself.
    ``compiled`` is done to each function.
    """
    whole = control.bound({**primitives, "rounded": primitives["same"]}, compiled, tiles.PARTS)
    padded = control.bound({**primitives, "PADDING": PADDING}, compiled, (tiles.load,))
    found = control.bound(
        {**primitives, **whole, **padded}, compiled, (tile_memory, put_four, gemm_tf32)
    )
    return whole | found
