"""Matrix products by all threads of a grid, in the language of kernels.

The result is cut into square tiles, which go to the blocks in turn. Parts of both operands, as
high and as wide as the tile and ``DEPTH`` deep, lie in memory of the block one after the other;
there are two places, so that a block waits once for each. A thread has a square of the tile, of
up to four by four numbers, in registers. Sums run over k in order, whatever the tiles.
"""

from __future__ import annotations

from typing import Any

from .control import primitive

block_wait = primitive("block_wait")
shared_array = primitive("shared_array")
"""``shared_array(count, like)``: memory of the block for so many numbers."""
zero = primitive("zero")
"""``zero(pointer)``: 0, of the type of the numbers there."""

rounded = primitive("rounded")
"""``rounded(x)``: what is multiplied in place of x."""

SIDE_BITS = 4
"""Squares of a tile in a row of it, as a power of two."""

SQUARES = 1 << (2 * SIDE_BITS)
"""Squares of a tile: a block of 256 threads has one for each."""

DEPTH_BITS = 4
DEPTH = 1 << DEPTH_BITS
"""Numbers of a row of the left matrix that are in memory of the block at a time."""

PADDING = 4
"""Numbers between lines there: they start in other banks, and are aligned for wide loads."""

PART = DEPTH * ((4 << SIDE_BITS) + PADDING)
"""Numbers of the largest part of an operand."""

MEMORY = 4 * PART


def steps(m: int, n: int, bits: int, blocks: int) -> int:
    """What a product costs in tiles of squares of ``2**bits``, in multiplications of a thread.

    A thread loads a row and a column for each square of multiplications.
    """
    tile = 1 << (bits + SIDE_BITS)
    tiles = ((m + tile - 1) // tile) * ((n + tile - 1) // tile)
    return (tiles + blocks - 1) // blocks * ((1 << (2 * bits)) + (2 << bits) + 2)


def choose(m: int, n: int, blocks: int) -> int:
    """The cheapest squares, as a power of two; of equal ones the largest."""
    cost4 = steps(m, n, 2, blocks)
    cost2 = steps(m, n, 1, blocks)
    cost1 = steps(m, n, 0, blocks)
    if cost4 <= cost2 and cost4 <= cost1:
        return 2
    return 1 if cost2 <= cost1 else 0


def load(
    lane: int, size: int, tile: int, first: int, lines: int, start: int, k: int,
    matrix: Any, stride: int, along: int, memory: Any, part: int,
) -> None:  # fmt: skip
    """Copy lines of a matrix, ``DEPTH`` of their numbers; 0 for what is beyond its edges.

    Neighbours in a line are neighbours in the matrix if ``along``, or else neighbouring lines
    are; either way neighbouring threads load neighbours.
    """
    for number in range(lane, DEPTH << tile, size):
        line = number >> DEPTH_BITS if along else number & ((1 << tile) - 1)
        p = number & (DEPTH - 1) if along else number >> tile
        value = zero(matrix)
        if first + line < lines and start + p < k:
            place = (first + line) * stride + start + p
            value = matrix[place if along else (start + p) * stride + first + line]
        memory[part + p * ((1 << tile) + PADDING) + line] = rounded(value)


def put(c: Any, place: int, inside: bool, value: Any, accumulate: int) -> None:
    """Store a number of the result."""
    if inside:
        if accumulate:
            c[place] += value
        else:
            c[place] = value


def put_row(
    c: Any, place: int, left: int, inside: bool, c0: Any, c1: Any, c2: Any, c3: Any, accumulate: int
) -> None:
    """Store the numbers of a row of the result that a thread has."""
    if inside:
        put(c, place, left > 0, c0, accumulate)
        put(c, place + 1, left > 1, c1, accumulate)
        put(c, place + 2, left > 2, c2, accumulate)
        put(c, place + 3, left > 3, c3, accumulate)


def tile_memory(c: Any) -> Any:
    """Memory of the block for parts of the operands: the same for all products."""
    return shared_array(MEMORY, c)


def gemm(
    tid: int, nth: int, size: int, m: int, n: int, k: int,
    a: Any, a_stride: int, a_transposed: int, b: Any, b_stride: int, b_transposed: int,
    c: Any, c_stride: int, accumulate: int,
) -> None:  # fmt: skip
    """``c = a @ b`` or ``c += a @ b`` for row-major matrices; strides are those of rows.

    All threads of the grid call it. What other blocks wrote into a and b must have been waited
    for, and c must be waited for by who reads it elsewhere.
    """
    memory = tile_memory(c)
    bits = choose(m, n, nth // size)
    tile = SIDE_BITS + bits
    across = (n + (1 << tile) - 1) >> tile
    down = (m + (1 << tile) - 1) >> tile
    lane = tid % size
    along = 1 - a_transposed
    for number in range(tid // size, down * across, nth // size):
        row = number // across << tile
        column = number % across << tile
        # a block of fewer threads than squares goes over the tile more than once
        for first in range(0, SQUARES, size):
            r = ((first + lane) >> SIDE_BITS) & ((1 << SIDE_BITS) - 1)
            q = (first + lane) & ((1 << SIDE_BITS) - 1)
            c00 = c01 = c02 = c03 = zero(c)
            c10 = c11 = c12 = c13 = zero(c)
            c20 = c21 = c22 = c23 = zero(c)
            c30 = c31 = c32 = c33 = zero(c)
            turn = 0
            for start in range(0, k, DEPTH):
                here = turn * (2 * PART)
                load(lane, size, tile, row, m, start, k, a, a_stride, along, memory, here)
                load(
                    lane, size, tile, column, n, start, k, b, b_stride, b_transposed,
                    memory, here + PART,
                )  # fmt: skip
                block_wait()
                if bits == 2:
                    p = 0
                    while p < DEPTH:
                        left = here + p * ((4 << SIDE_BITS) + PADDING) + (r << 2)
                        right = here + p * ((4 << SIDE_BITS) + PADDING) + (q << 2) + PART
                        a0 = memory[left]
                        a1 = memory[left + 1]
                        a2 = memory[left + 2]
                        a3 = memory[left + 3]
                        b0 = memory[right]
                        b1 = memory[right + 1]
                        b2 = memory[right + 2]
                        b3 = memory[right + 3]
                        c00 += a0 * b0
                        c01 += a0 * b1
                        c02 += a0 * b2
                        c03 += a0 * b3
                        c10 += a1 * b0
                        c11 += a1 * b1
                        c12 += a1 * b2
                        c13 += a1 * b3
                        c20 += a2 * b0
                        c21 += a2 * b1
                        c22 += a2 * b2
                        c23 += a2 * b3
                        c30 += a3 * b0
                        c31 += a3 * b1
                        c32 += a3 * b2
                        c33 += a3 * b3
                        p += 1
                elif bits == 1:
                    p = 0
                    while p < DEPTH:
                        left = here + p * ((2 << SIDE_BITS) + PADDING) + (r << 1)
                        right = here + p * ((2 << SIDE_BITS) + PADDING) + (q << 1) + PART
                        a0 = memory[left]
                        a1 = memory[left + 1]
                        b0 = memory[right]
                        b1 = memory[right + 1]
                        c00 += a0 * b0
                        c01 += a0 * b1
                        c10 += a1 * b0
                        c11 += a1 * b1
                        p += 1
                else:
                    p = 0
                    while p < DEPTH:
                        left = here + p * ((1 << SIDE_BITS) + PADDING) + r
                        right = here + p * ((1 << SIDE_BITS) + PADDING) + q + PART
                        a0 = memory[left]
                        b0 = memory[right]
                        c00 += a0 * b0
                        p += 1
                turn = 1 - turn
            block_wait()
            if first + lane < SQUARES:
                r <<= bits
                q <<= bits
                # a smaller square ends before the tile of its neighbour
                below = min(m - row - r, 1 << bits)
                left = min(n - column - q, 1 << bits)
                place = (row + r) * c_stride + column + q
                put_row(c, place, left, below > 0, c00, c01, c02, c03, accumulate)
                place += c_stride
                put_row(c, place, left, below > 1, c10, c11, c12, c13, accumulate)
                place += c_stride
                put_row(c, place, left, below > 2, c20, c21, c22, c23, accumulate)
                place += c_stride
                put_row(c, place, left, below > 3, c30, c31, c32, c33, accumulate)


PARTS = (steps, choose, load, tile_memory, put, put_row, gemm)
"""Each function after those that it calls."""
