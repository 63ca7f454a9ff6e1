"""Threads of kernels beside those of others: callers, forked workers, joblib, Numba's own."""

import multiprocessing
import sys
from concurrent.futures import ThreadPoolExecutor

import joblib
import numba
import numpy as np
import pytest

import codegen
import symdiff as sd

X, t, w = sd.tensor("X", "n", 8), sd.tensor("t", "n"), sd.tensor("w", 8)
LOSS = sd.losses.binary_cross_entropy(X @ w, t)
VALUE = codegen.compile([LOSS, sd.gradient(LOSS, w)], inputs=[X, t, w], threads=2)


def samples(seed=0, n=60_000):
    rng = np.random.default_rng(seed)
    return {X: rng.normal(size=(n, 8)), t: rng.integers(0, 2, n).astype(float)}


def trained(seed=0):
    """The losses of a training on two threads."""
    trainer = codegen.Trainer(LOSS, {w: 0.0}, sd.optimizers.SGD(0.5), threads=2)
    return trainer.fit(samples(seed), epochs=6).loss


def value(seed=0):
    data = samples(seed)
    loss, gradient = VALUE(data[X], data[t], np.full(8, 0.1))
    return [float(loss), *gradient]


@pytest.mark.parametrize("work", [trained, value])
def test_concurrent_callers(work):
    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, [0, 1, 2, 3] * 3))
    assert together == alone * 3


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize("work", [trained, value])
def test_forked_workers_after_threads_have_run(work):
    expected = work()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(work, [0, 0, 0]).get(timeout=120) == [expected] * 3


@pytest.mark.parametrize("prefer", ["threads", "processes"])
def test_joblib(prefer):
    results = joblib.Parallel(n_jobs=2, prefer=prefer)(joblib.delayed(trained)(0) for _ in range(3))
    assert results == [trained()] * 3


def test_a_process_that_has_used_threads_of_numba():
    @numba.njit(parallel=True)
    def total(array):
        result = 0.0
        for i in numba.prange(array.size):
            result += array[i]
        return result

    expected = trained()
    assert total(np.ones(100_000)) == 100_000
    assert trained() == expected
    assert total(np.ones(100_000)) == 100_000
