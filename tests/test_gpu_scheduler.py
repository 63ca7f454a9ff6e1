"""Kernels for a device without one: under the scheduler, which must find every fault, and Numba."""

import itertools
import operator
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen.gpu import plain
from codegen.gpu.load import build_plain_grid, build_processor_grid, load
from codegen.gpu.memory import Race
from codegen.gpu.scheduler import Divergence, run_grid
from symdiff.errors import IndexOutOfRange, InvalidArgument, InvalidType

SHAPES = [(1, 1, 1), (1, 4, 4), (1, 8, 4), (3, 8, 4), (2, 16, 8), (4, 6, 2), (3, 5, 1)]
"""Blocks, threads of a block, threads of a warp."""

KERNEL = """
from numba import cuda
import numpy as np
from codegen.gpu.runtime import (
    WARP, at, float32s as reals, wait, block_wait, warp_wait, warp_add, warp_maximum, block_add,
    block_minimum, shared_array,
)
from codegen.gpu.products import gemm
real = np.float32

@cuda.jit(device=True)
def square(x):
    return x * x

@cuda.jit(device=True)
def squares(tid, nth, size, n, x, work):
    for e in range(tid, n, nth):
        work[e] = square(x[e])

@cuda.jit(device=True)
def of_rows(tid, nth, size, rows, columns, work, sums, tops):
    for i in range(tid // WARP, rows, nth // WARP):
        row = at(work, i * columns)
        total = real(0)
        top = real(-np.inf)
        for j in range(tid % WARP, columns, WARP):
            total += row[j]
            top = max(top, row[j])
        total = warp_add(total)
        top = warp_maximum(top)
        if tid % WARP == 0:
            sums[i] = total
            tops[i] = top

@cuda.jit(device=True)
def of_warps(tid, nth, size, rows, sums, doubled):
    # what a warp hands on within itself
    memory = shared_array(64, real(0))
    place = tid % size
    for start in range(tid // WARP * WARP, rows, nth):
        i = start + tid % WARP
        memory[place] = sums[i] if i < rows else real(0)
        warp_wait()
        if tid % WARP == 0:
            for lane in range(WARP):
                if start + lane < rows:
                    doubled[start + lane] = memory[place + lane] * real(2)
        warp_wait()

@cuda.jit(device=True)
def of_blocks(tid, nth, size, n, x, partials, least):
    memory = shared_array(64, real(0))
    place = tid % size
    block = tid // size
    total = real(0)
    low = real(np.inf)
    for e in range(tid, n, nth):
        total += x[e]
        low = min(low, x[e])
    memory[place] = total
    block_wait()
    if place == 0:
        counted = real(0)
        for other in range(size):
            counted += memory[other]
        partials[block] = counted
    block_wait()
    memory[place] = low
    block_wait()
    if place == 0:
        least[block] = memory[size - 1]
    total = block_add(total, place, size)
    low = block_minimum(low, place, size)
    if place == 0:
        partials[block] = (total + partials[block]) / real(2)
        least[block] = min(low, least[block])

@cuda.jit(device=True)
def of_grid(tid, nth, size, partials, least, result):
    if tid == 0:
        total = real(0)
        low = real(np.inf)
        for block in range(nth // size):
            total += partials[block]
            low = min(low, least[block])
        result[0] += total
        result[1] = low

@cuda.jit(device=True)
def train(tid, nth, size, barrier, status, steps, rows, columns,
          x, work, sums, tops, doubled, partials, least, result, product):
    for k in range(steps):
        squares(tid, nth, size, rows * columns, x, work)
        wait(barrier, nth, size)
        of_rows(tid, nth, size, rows, columns, work, sums, tops)
        wait(barrier, nth, size)
        of_warps(tid, nth, size, rows, sums, doubled)
        of_blocks(tid, nth, size, rows * columns, x, partials, least)
        wait(barrier, nth, size)
        of_grid(tid, nth, size, partials, least, result)
        gemm(tid, nth, size, columns, columns, rows, work, columns, 1, work, columns, 0,
             product, columns, k > 0)
        status[0] = 7
        wait(barrier, nth, size)

@cuda.jit
def run(barrier, steps):
    train(cuda.grid(1), cuda.gridsize(1), cuda.blockDim.x, barrier, steps)
"""
WAITS = re.findall(r"^ +(?:wait|block_wait|warp_wait)\(.*\)\n", KERNEL, re.MULTILINE)
STEPS = 2


def without_wait(number):
    """The text with one of its barriers removed."""
    spans = [m.span() for m in re.finditer(r"^ +\w*wait\(.*\)\n", KERNEL, re.MULTILINE)]
    first, last = spans[number]
    return KERNEL[:first] + KERNEL[last:]


def kernel_arguments(blocks, rows=7, columns=5):
    """Whole numbers, so that sums are exact in any order."""
    x = np.random.default_rng(rows).integers(-6, 9, rows * columns).astype(np.float32)
    sizes = [rows * columns, rows, rows, rows, blocks, blocks, 2, columns * columns]
    memory = [np.zeros(size, np.float32) for size in sizes]
    return [np.zeros(16, np.int64), np.zeros(1, np.int64), STEPS, rows, columns, x, *memory]


def check_kernel(arguments):
    _, status, _, rows, columns, x, work, sums, tops, doubled, _, _, result, product = arguments
    X = x.reshape(rows, columns)
    np.testing.assert_array_equal(work, x**2)
    np.testing.assert_array_equal(sums, (X**2).sum(1))
    np.testing.assert_array_equal(tops, (X**2).max(1))
    np.testing.assert_array_equal(doubled, 2 * (X**2).sum(1))
    np.testing.assert_array_equal(result, [STEPS * x.sum(), x.min()])
    np.testing.assert_array_equal(product, STEPS * ((X**2).T @ X**2).ravel())
    assert status[0] == 7


RIGHT = build_plain_grid(KERNEL, exempt=["status"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(4))
def test_a_kernel_under_the_scheduler(shape, seed):
    arguments = kernel_arguments(shape[0])
    RIGHT(*shape, seed, *arguments)
    check_kernel(arguments)


@given(
    warp=st.sampled_from([1, 2, 4, 8]),
    warps=st.integers(1, 4),
    blocks=st.integers(1, 4),
    rows=st.integers(1, 11),
    columns=st.integers(1, 6),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=30)
def test_a_kernel_of_any_shape(warp, warps, blocks, rows, columns, seed):
    arguments = kernel_arguments(blocks, rows, columns)
    RIGHT(blocks, warp * warps, warp, seed, *arguments)
    check_kernel(arguments)


def test_a_kernel_on_threads_of_the_processor():
    run = build_processor_grid(KERNEL)
    for threads in (1, 2, 3):
        arguments = kernel_arguments(threads)
        run(threads, *arguments)
        check_kernel(arguments)


@pytest.mark.parametrize("number", range(len(WAITS)))
@pytest.mark.parametrize("seed", range(3))
def test_no_barrier_can_be_removed(number, seed):
    with pytest.raises(Race, match=r"thread \d+ \(block \d, warp \d\)[^:]*kernel.py, line \d+"):
        build_plain_grid(without_wait(number), exempt=["status"])(
            3, 8, 4, seed, *kernel_arguments(3, rows=30)
        )


def test_what_is_not_exempt_is_checked():
    with pytest.raises(Race, match=r"status\[0\].*status\[0\] = 7"):
        build_plain_grid(KERNEL)(2, 4, 4, 0, *kernel_arguments(2))


# --- order and races ---------------------------------------------------------------------------


def order(seed):
    seen = []

    def kernel(tid, nth, size):
        for _ in range(3):
            seen.append(tid)
            plain.grid_wait(None, nth)

    run_grid(kernel, 2, 8, 4, seed, [])
    return seen


def test_the_seed_decides_the_order():
    assert order(5) == order(5)
    assert len({tuple(order(seed)) for seed in range(10)}) == 10
    assert sorted(order(0)[:16]) == list(range(16))  # between barriers each thread runs once


BLOCKS, SIZE, WARP = 2, 4, 2
NTH = BLOCKS * SIZE

step = st.one_of(
    st.tuples(st.sampled_from(["read", "write"]), st.integers(0, NTH - 1), st.integers(0, 2)),
    st.tuples(st.just("warp"), st.integers(0, NTH // WARP - 1), st.just(0)),
    st.tuples(st.just("block"), st.integers(0, BLOCKS - 1), st.just(0)),
    st.tuples(st.just("grid"), st.just(0), st.just(0)),
)


def has_race(steps):
    """Whether accesses conflict that no chain of threads and barriers orders: by vector clocks."""
    clocks = [[int(i == t) for i in range(NTH)] for t in range(NTH)]
    members = {"warp": WARP, "block": SIZE, "grid": NTH}
    past = []
    for kind, who, element in steps:
        if kind in members:
            team = range(who * members[kind], (who + 1) * members[kind])
            met = [max(column) for column in zip(*(clocks[t] for t in team), strict=True)]
            for t in team:
                clocks[t] = [time + (i == t) for i, time in enumerate(met)]
            continue
        for other, time, what, place in past:
            conflict = place == element and "write" in (kind, what)
            if conflict and other != who and clocks[who][other] < time:
                return True
        past.append((who, clocks[who][who], kind, element))
    return False


def play(steps, seed):
    def kernel(tid, nth, size, x):
        for kind, who, element in steps:
            if kind == "read" and tid == who:
                x[element]
            elif kind == "write" and tid == who:
                x[element] = tid
            elif kind == "warp" and tid // WARP == who:
                plain.warp_wait()
            elif kind == "block" and tid // size == who:
                plain.block_wait()
            elif kind == "grid":
                plain.grid_wait(None, nth)

    run_grid(kernel, BLOCKS, SIZE, WARP, seed, [np.zeros(3)])


def check_races(steps, seed):
    if has_race(steps):
        with pytest.raises(Race):
            play(steps, seed)
    else:
        play(steps, seed)


@given(steps=st.lists(step, max_size=14), seed=st.integers(0, 99))
@settings(max_examples=200)
def test_races_are_found_exactly(steps, seed):
    check_races(steps, seed)


BARRIERS = [("warp", 0), ("warp", 1), ("warp", 3), ("block", 0), ("block", 1), ("grid", 0)]


@pytest.mark.parametrize("first", ["read", "write"])
@pytest.mark.parametrize("second", ["read", "write"])
def test_all_ways_to_order_two_accesses(first, second):
    """None, one or two barriers between an access by thread 1 and one by any thread."""
    between = [[], *([b] for b in BARRIERS), *itertools.product(BARRIERS, repeat=2)]
    for seed, (barriers, tid) in enumerate(itertools.product(between, range(NTH))):
        middle = [(*barrier, 0) for barrier in barriers]
        check_races([(first, 1, 0), *middle, (second, tid, 0)], seed)


@pytest.mark.parametrize(
    ("kind", "partner", "remedy"),
    [("warp", 1, "warp_wait()"), ("block", 2, "block_wait()"), ("grid", 4, "wait(barrier, nth")],
)
def test_a_race_says_who_where_and_what_to_do(kind, partner, remedy):
    steps = [("write", 0, 1), ("read", partner, 1)]
    with pytest.raises(Race) as caught:
        play(steps, 0)
    said = str(caught.value)
    assert f"Put {remedy}" in said and "x[1]" in said and "x[element] = tid" in said
    for tid in (0, partner):
        assert f"thread {tid} (block {tid // SIZE}, warp {tid // WARP})" in said
    play([steps[0], (kind, 0, 0), steps[1]], 0)


def test_an_exchange_orders_nothing():
    def kernel(tid, nth, size, x):
        x[tid] = 1.0
        plain.exchange(x[tid], 1)
        x[tid ^ 1]

    with pytest.raises(Race, match="warp_wait"):
        run_grid(kernel, 1, 2, 2, 0, [np.zeros(2)])


def test_views_of_one_array_are_the_same_memory():
    x = np.zeros(8)

    def kernel(tid, nth, size, x, y):
        if tid == 0:
            x[5] = 1.0
        else:
            y[1]

    with pytest.raises(Race):
        run_grid(kernel, 1, 2, 2, 0, [x, x[4:]])
    run_grid(kernel, 1, 2, 2, 0, [x, np.zeros(8)])


def test_windows_are_the_same_memory():
    def kernel(tid, nth, size, x):
        if tid == 0:
            plain.at(plain.at(x, 2), 1)[0] += 1.0
        else:
            x[3]

    with pytest.raises(Race, match=r"x\[3\]"):
        run_grid(kernel, 1, 2, 2, 0, [np.zeros(4)])


# --- threads that do not meet ------------------------------------------------------------------


def _in_a_branch(tid, nth, size):
    if tid != 5:
        plain.block_wait()


def _other_calls(tid, nth, size):
    if tid % 4 < 2:
        plain.block_wait()
    else:
        plain.block_wait()


def _other_kinds(tid, nth, size):
    if tid == 3:
        plain.warp_wait()
    else:
        plain.grid_wait(None, nth)


def _other_rounds(tid, nth, size):
    for _ in range(tid, 13, nth):
        plain.grid_wait(None, nth)


def _other_callers(tid, nth, size):
    if tid < 2:
        _meet()
    else:
        _meet()


def _meet():
    plain.warp_wait()


def _other_distances(tid, nth, size):
    plain.exchange(1.0, 1 + tid % 2)


def _other_types(tid, nth, size):
    plain.exchange(np.float32(1) if tid % 2 else np.float64(1), 1)


def _too_far(tid, nth, size):
    plain.exchange(1.0, 4)


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        (_in_a_branch, r"threads 0 to 4, 6 to 7: waits in block_wait of _in_a.*thread 5: ended"),
        (
            _other_calls,
            r"of a block do not meet. threads (0 to 1, 4 to 5|8 to 9, 12 to 13): .*line",
        ),
        (_other_kinds, r"thread 3: waits in warp_wait of _other_kinds"),
        (_other_rounds, r"threads of a grid .*threads 0 to 12: waits .*threads 13 to 15: ended"),
        (_other_callers, r"waits in warp_wait of _meet .*, called in _other_callers .*line \d+"),
        (_other_distances, r"_other_distances .*distances \[1, 2\]"),
        (_other_types, r"types float32, float64"),
        (_too_far, r"from 1 to 3; .*distances \[4\]"),
    ],
)
def test_divergence(kernel, said):
    for seed in range(3):
        with pytest.raises(Divergence, match=said):
            run_grid(kernel, 2, 8, 4, seed, [])


def test_threads_that_wait_are_ended_after_an_error():
    ended = []

    def kernel(tid, nth, size, x):
        try:
            if tid == 2:
                x[9]
            plain.grid_wait(None, nth)
        finally:
            ended.append(tid)

    with pytest.raises(IndexOutOfRange):
        run_grid(kernel, 2, 4, 2, 1, [np.zeros(4)])
    assert 2 in ended and len(ended) == len(set(ended))


# --- memory ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda x: x[4], r"x\[4\] .*x has 4 elements"),
        (lambda x: x[-1], r"x\[-1\]"),
        (lambda x: operator.setitem(x, np.int64(7), 1.0), r"x\[7\]"),
        (lambda x: plain.at(x, 3)[1], r"x\[1\] from element 3 on"),
        (lambda x: plain.at(x, 3)[-1], r"x\[-1\] from element 3 on"),
        (lambda x: plain.at(x, 5), r"at\(x, 5\)"),
        (lambda x: plain.shared_array(3, x)[3], "3 elements"),
        (lambda x: plain.scratch(x)[2], "2 elements"),
    ],
)
def test_out_of_bounds(use, said):
    def kernel(tid, nth, size, x):
        use(x)

    with pytest.raises(IndexOutOfRange, match=said):
        run_grid(kernel, 1, 4, 2, 0, [np.zeros(4)])


def test_an_index_is_a_whole_number():
    def kernel(tid, nth, size, x):
        x[np.float64(1)]

    with pytest.raises(InvalidType, match=r"x\[np.float64\(1.0\)\].*float64"):
        run_grid(kernel, 1, 1, 1, 0, [np.zeros(4)])


def test_memory_of_a_block():
    seen = []

    def kernel(tid, nth, size):
        first = plain.shared_array(size, np.float32(0))
        second = plain.shared_array(size, np.float32(0))
        count = plain.shared_array(1, tid)
        if tid % size == 0:
            seen.extend([first[0], count[0]])
        plain.block_wait()
        first[tid % size] = tid
        second[tid % size] = -tid
        plain.block_wait()
        assert first[(tid + 1) % size] == tid // size * size + (tid + 1) % size
        assert second[tid % size] == -tid

    run_grid(kernel, 2, 4, 2, 0, [])
    assert np.isnan(seen[0]) and seen[0].dtype == np.float32  # nobody has set it
    assert seen[1].dtype == np.int64


@pytest.mark.parametrize("shape", [(0, 4, 4), (1, 0, 1), (1, 6, 4), (1, 6, 3)])
def test_grids_that_do_not_exist(shape):
    with pytest.raises(InvalidArgument, match="whole number of warps"):
        run_grid(lambda tid, nth, size: None, *shape, 0, [])


def test_arguments_that_do_not_fit():
    def kernel(tid, nth, size, x):
        pass

    with pytest.raises(InvalidArgument, match="takes x after tid, nth, size: 1 arguments, got 2"):
        run_grid(kernel, 1, 1, 1, 0, [np.zeros(1), 3])
    with pytest.raises(InvalidArgument, match="contiguous arrays of one axis"):
        run_grid(kernel, 1, 1, 1, 0, [np.zeros((2, 2))])
    with pytest.raises(InvalidArgument, match="exempt names status"):
        run_grid(kernel, 1, 1, 1, 0, [np.zeros(1)], exempt=["status"])
    with pytest.raises(InvalidArgument, match="imports warp_mean"):
        load("from codegen.gpu.runtime import warp_mean", plain.names(4))
    with pytest.raises(InvalidArgument, match="no function run_all"):
        build_plain_grid("import numpy as np", "run_all")(1, 1, 1, 0)
