"""What device kernels call: reductions and mathematics, as plain Python and under Numba."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from codegen.gpu import control, plain
from codegen.gpu.load import build_plain_grid, build_processor_grid
from codegen.gpu.memory import Race
from codegen.gpu.scheduler import run_grid
from symdiff.errors import InvalidArgument

SHAPES = [(1, 1, 1), (1, 4, 4), (1, 8, 4), (3, 8, 4), (2, 16, 8), (4, 6, 2), (3, 5, 1)]
"""Blocks, threads of a block, threads of a warp."""

# --- what threads do together ------------------------------------------------------------------


def together(name, shape, seed, values):
    """Each thread's result of a function of ``control``, for one number from each."""
    blocks, size, warp = shape
    function = plain.names(warp)["codegen.gpu.runtime"][name]
    results = np.zeros_like(values)

    def kernel(tid, nth, size, values, results):
        if name.startswith("warp"):
            results[tid] = function(values[tid])
        else:
            results[tid] = function(values[tid], tid % size, size)

    run_grid(kernel, blocks, size, warp, seed, [values, results])
    return results


NUMBERS = [-3.5, 0.0, 1.25, 7.0, 1e30, -1e30, math.inf, -math.inf, math.nan]
MEANINGS = {"add": np.sum, "maximum": np.max, "minimum": np.min}


@pytest.mark.parametrize("group", ["warp", "block"])
@pytest.mark.parametrize("what", list(MEANINGS))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_reductions(group, what, shape, dtype):
    blocks, size, warp = shape
    rng = np.random.default_rng(size)
    members = size if group == "block" else warp
    for seed in range(3):
        values = rng.integers(-50, 50, blocks * size).astype(dtype)
        results = together(f"{group}_{what}", shape, seed, values).reshape(-1, members)
        expected = MEANINGS[what](values.reshape(-1, members), axis=1, keepdims=True)
        np.testing.assert_array_equal(results, np.broadcast_to(expected, results.shape))


@given(st.data())
@settings(max_examples=60)
def test_reductions_of_any_numbers(data):
    group = data.draw(st.sampled_from(["warp", "block"]))
    what = data.draw(st.sampled_from(list(MEANINGS)))
    shape = blocks, size, warp = data.draw(st.sampled_from(SHAPES))
    number = st.sampled_from(NUMBERS) | st.floats(width=32)
    drawn = data.draw(st.lists(number, min_size=blocks * size, max_size=blocks * size))
    values = np.array(drawn, np.float32)
    members = size if group == "block" else warp
    results = together(f"{group}_{what}", shape, data.draw(st.integers(0, 99)), values)
    results, groups = results.reshape(-1, members), values.reshape(-1, members)
    # the order of the threads changes no bit, and all have the same number, a sum bit by bit;
    # a maximum of 0 and -0 is either
    again = together(f"{group}_{what}", shape, data.draw(st.integers(0, 99)), values)
    assert again.tobytes() == results.tobytes()
    np.testing.assert_array_equal(results, np.broadcast_to(results[:, :1], results.shape))
    if what == "add":
        np.testing.assert_array_equal(
            np.signbit(results) & (results == 0), np.signbit(results[:, :1]) & (results == 0)
        )
    with np.errstate(all="ignore"):
        if what != "add":
            np.testing.assert_array_equal(results[:, 0], MEANINGS[what](groups, axis=1))
            return
        for row, total in zip(groups.astype(np.float64), results[:, 0], strict=True):
            if np.abs(row).sum() < 1e38:
                np.testing.assert_allclose(
                    total, math.fsum(row), rtol=0, atol=np.abs(row).sum() * members * 2e-7 + 1e-44
                )
            elif not np.isfinite(row).all():
                np.testing.assert_equal(np.float64(total), row.sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_wait_meets_block_or_grid(shape):
    blocks, size, warp = shape
    wait = plain.names(warp)["codegen.gpu.runtime"]["wait"]

    def kernel(tid, nth, size, x, total):
        x[tid] = tid
        wait(None, nth, size)
        total[tid] = sum(int(x[i]) for i in range(nth))

    nth = blocks * size
    for seed in range(3):
        x, total = np.zeros(nth, np.int64), np.zeros(nth, np.int64)
        run_grid(kernel, blocks, size, warp, seed, [x, total])
        assert set(total) == {nth * (nth - 1) // 2}


@pytest.mark.parametrize("skipped", [0, 1])
@pytest.mark.parametrize("name", ["block_add", "block_maximum", "block_minimum"])
def test_both_barriers_of_block_reductions_are_needed(name, skipped):
    known = plain.names(2)["codegen.gpu.runtime"]
    calls = {}

    def block_wait():
        thread = plain.current()
        calls[thread.tid] = calls.get(thread.tid, -1) + 1
        if calls[thread.tid] % 2 != skipped:
            plain.block_wait()

    function = control.reductions({**known, "block_wait": block_wait})[name]

    def kernel(tid, nth, size, x):
        for _ in range(2):
            x[tid] = function(x[tid], tid % size, size)

    with pytest.raises(Race, match=r"shared\[\d\] in block_\w+ \(control.py"):
        run_grid(kernel, 1, 4, 2, 0, [np.ones(4)])


def test_numbers_keep_their_type():
    kinds = []

    def kernel(tid, nth, size, x, memory):
        total = plain.names(4)["codegen.gpu.runtime"]["block_add"](x[tid] * x[0], tid, size)
        kinds.append(type(total))
        memory[tid] += plain.at(x, 2)[np.int64(1)] + total

    x = np.arange(8, dtype=np.float32)
    memory = np.ones(8, np.float32)
    run_grid(kernel, 1, 8, 4, 0, [x, memory])
    assert set(kinds) == {np.float32}
    np.testing.assert_array_equal(memory, np.full(8, 4.0))


# --- mathematics -------------------------------------------------------------------------------

MEANING = {
    **{name: getattr(np, name) for name in (*plain.VECTOR, *plain.NUMPY) if hasattr(np, name)},
    "erf": special.erf,
    "erfc": special.erfc,
    "sigmoid": special.expit,
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": special.log_expit,
    "gelu": lambda x: x * special.ndtr(x),
    "special.digamma": special.psi,
    "special.gamma": special.gamma,
    "special.besselk": special.kv,
    "special.loggamma": special.gammaln,
}
TWO = ("power", "arctan2", "special.besselk")
CALLS = [f"{name}(x[i], x[i])" if name in TWO else f"{name}(x[i])" for name in MEANING]
MATHEMATICS = f"""
from numba import cuda
from codegen.gpu import special
from codegen.gpu.mathematics import np, {", ".join(n for n in MEANING if "." not in n)}

@cuda.jit(device=True)
def run_all(tid, nth, size, n, x, y):
    for i in range(tid, n, nth):
""" + "".join(
    f"        y[{k} * n + i] = {call} * np.sqrt(x[0] / x[0])\n" for k, call in enumerate(CALLS)
)


def test_mathematics():
    points = np.array([0.1, 0.5, 0.96, 1.0, 1.7, 6.0])
    compiled = build_processor_grid(MATHEMATICS, "run_all")
    for dtype in (np.float64, np.float32):
        x = points.astype(dtype)
        with np.errstate(all="ignore"):
            power = [np.power(x, x), np.arctan2(x, x), special.kv(x, x)]
            expected = [f(x) for name, f in MEANING.items() if name not in TWO]
        known = dict(zip(TWO, power, strict=True))
        others = iter(expected)
        rows = np.array([known[n] if n in TWO else next(others) for n in MEANING])
        for run in (
            lambda *a: build_plain_grid(MATHEMATICS, "run_all")(2, 4, 4, 0, *a),
            lambda *a: compiled(2, *a),
        ):
            y = np.zeros(rows.size, dtype)
            run(len(x), x, y)
            tolerance = 16 * np.finfo(dtype).eps
            np.testing.assert_allclose(y.reshape(rows.shape), rows, rtol=tolerance)


def test_plain_mathematics_keeps_float32():
    names = plain.names(4)["codegen.gpu.mathematics"]
    x = np.float32(0.5)
    for name in (*plain.VECTOR, *plain.NUMPY):
        with np.errstate(invalid="ignore"):
            value = names[name](x, x) if name in TWO else names[name](x)
        assert type(value) is np.float32, name


# --- on threads of the processor ---------------------------------------------------------------


def test_reductions_of_one_thread():
    text = """
from numba import cuda
from codegen.gpu.runtime import (
    WARP, exchange, scratch, shared_array, warp_add, warp_maximum, warp_minimum, block_add,
    block_maximum, block_minimum, warp_wait, MOST_WARPS,
)

@cuda.jit(device=True)
def run_all(tid, nth, size, x, y):
    z = x[tid]
    y[tid] = warp_add(z) + warp_maximum(z) + warp_minimum(z) + exchange(z, 1)
    y[tid] += block_add(z, 0, size) + block_maximum(z, 0, size) + block_minimum(z, 0, size)
    memory = shared_array(3, z)
    memory[2] = z
    own = scratch(z)
    own[0] = z
    warp_wait()
    y[tid] += memory[2] + WARP + size + own[0] * MOST_WARPS
"""
    x, y = np.array([1.5, -3.0, 4.0]), np.zeros(3)
    build_processor_grid(text, "run_all")(3, x, y)
    np.testing.assert_array_equal(y, 9 * x + 2)


def test_the_processor_takes_contiguous_arrays():
    text = "from numba import cuda\n@cuda.jit(device=True)\ndef train(tid, nth, size, x): pass\n"
    with pytest.raises(InvalidArgument, match="not contiguous"):
        build_processor_grid(text)(1, np.zeros(8)[::2])
