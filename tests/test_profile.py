"""Counting of operations and bytes against counts by hand, and the profile of a training step."""

import re

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen import counting, peak, profile, straight_line, vector_math
from codegen.data import plan_batches
from codegen.kernel import FunctionKernel, Options
from codegen.training import TrainingKernel
from symdiff.bridge import to_graph
from symdiff.graph import leaves

N = 1000
x, y = sd.tensor("x", N), sd.tensor("y", N)
A, B = sd.tensor("A", 30, 40), sd.tensor("B", 40, 50)


def work(expression, dtype="float64"):
    """Operations and bytes of a function."""
    roots = [to_graph(expression)]
    kernel = FunctionKernel(roots, leaves(roots), None, Options(dtype), "function")
    works = [
        counting.count_phase(phase, {}, kernel._lowered.rows, 1, dtype)
        for phase in kernel._lowered.phases
    ]
    return sum(w.operations for w in works), sum(w.bytes for w in works)


HAND = {
    "sum of products": (2 * x * y + y, 3 * N, 3 * N),
    "choice": (sp.Max(x, y), N, 3 * N),
    "square": (x**2, N, 2 * N),
    "cube": (x**3, 2 * N, 2 * N),
    "root and a half": (x ** sp.Rational(5, 2), 3 * N, 2 * N),
    "whole sum": (sd.sum(x), N, N + 1),
    "read twice": (x * x + x, 2 * N, 2 * N),
    "matrix product": (A @ B, 2 * 30 * 40 * 50, 30 * 40 + 40 * 50 + 30 * 50),
}


@pytest.mark.parametrize(("dtype", "item"), [("float64", 8), ("float32", 4)])
@pytest.mark.parametrize("name", HAND)
def test_counts_are_those_by_hand(name, dtype, item):
    expression, operations, numbers = HAND[name]
    assert work(expression, dtype) == (operations, item * numbers)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_vector_function_counts_as_its_code(dtype):
    for name in ("exp", "sigmoid", "power", "sin"):
        definition = getattr(vector_math, name).definition
        module = straight_line.ir.Module()
        straight_line.define(module, definition, straight_line.FORMATS[dtype])
        text = str(module)
        single = len(re.findall(r"= (?:fadd|fsub|fmul|fdiv|fcmp|select|call)\b", text))
        assert counting.operation_cost(name, dtype) == single + len(re.findall("= call.*fma", text))


X, t, w = sd.tensor("X", "n", 64), sd.tensor("t", "n"), sd.tensor("w", 64)
V, U = sd.tensor("V", 64, 48), sd.tensor("U", 48)
RNG = np.random.default_rng(0)
DATA = {X: RNG.normal(size=(2000, 64)), t: RNG.normal(size=2000)}


def linear():
    return codegen.Trainer(sd.losses.mse(X @ w, t), {w: 0.0}, sd.optimizers.SGD(0.01))


def network():
    loss = sd.losses.mse(sd.tanh(X @ V) @ U, t)
    start = {V: sd.init.glorot_uniform(), U: RNG.normal(size=48)}
    return codegen.Trainer(loss, start, sd.optimizers.Adam(1e-3), dtype="float32", threads=2)


def tiny():
    a, b, p, q = sp.symbols("a b p q")
    data = {p: RNG.normal(size=50), q: RNG.normal(size=50)}
    return codegen.Trainer((a * p + b - q) ** 2, {a: 0.0, b: 0.0}, sd.optimizers.SGD(0.1)), data


def test_a_step_of_a_linear_model():
    """X @ w, its transposed product, and the update; X is read, w read and written."""
    result = linear().profile(DATA, batch_size=500)
    step = result.total(1)
    assert step.operations == pytest.approx(4 * 500 * 64, rel=0.05)
    assert step.bytes == pytest.approx(8 * 500 * 65, rel=0.2)


def test_a_step_of_a_network():
    result = network().profile(DATA, batch_size=512)
    tanh = counting.operation_cost("tanh", "float32")
    forward = 512 * (2 * 64 * 48 + 48 * (tanh + 2))
    backward = 512 * (2 * 64 * 48 + 48 * 6)
    step = result.total(1)
    assert step.operations == pytest.approx(forward + backward, rel=0.15)
    assert step.seconds == pytest.approx(sum(r.seconds for r in result.rows[1]))
    names = [r.phase for r in result.rows[1]]
    assert names[0] == "between the phases" and "update" in names
    for threads, rows in result.rows.items():
        assert [r.phase for r in rows] == names
        assert 0 < result.total(threads).seconds < 1
        for row in rows:
            assert row.seconds >= 0 and row.bound_by in ("arithmetic", "memory", "waiting")


def test_a_small_model_is_one_phase():
    trainer, data = tiny()
    result = trainer.profile(data, batch_size=1)
    (row,) = result.rows[1]
    assert list(result.rows) == [1]
    assert 10 <= row.operations <= 25
    assert 0 < row.seconds < 1e-3


@pytest.mark.parametrize("make", [linear, network, tiny])
def test_the_trainer_stays_as_it_was(make):
    made = [make() for _ in range(2)] if make is not network else [network()]
    pairs = [m if isinstance(m, tuple) else (m, DATA) for m in made]
    trainer, data = pairs[0]
    trainer.fit(data, epochs=1, batch_size=25)
    before, source = trainer.parameters, trainer.source
    trainer.profile(data, batch_size=10)
    for symbol, value in trainer.parameters.items():
        np.testing.assert_array_equal(value, before[symbol])
    assert trainer.source == source
    if make is linear:  # the same random numbers and state follow, too
        other, _ = pairs[1]
        history = trainer.fit(data, epochs=1, batch_size=25)
        other.fit(data, epochs=1, batch_size=25)
        assert other.fit(data, epochs=1, batch_size=25).loss == history.loss


def test_a_table_for_text_and_notebooks():
    row = profile.Row("forward & backward", 2e-6, 4e4, 1e3, 1e11, 1e10)
    result = profile.Profile({1: [row, profile.Row("update", 1e-6, 0, 3e4, 1e11, 4e10)]})
    lines = str(result).splitlines()
    assert [line.split()[0] for line in lines] == ["phase", "step,", "forward", "update"]
    assert "67%" in lines[2] and "2 µs" in lines[2] and "20" in lines[2].split()
    assert (row.arithmetic, row.memory) == (pytest.approx(0.2), pytest.approx(0.05))
    assert [r.bound_by for r in result.rows[1]] == ["waiting", "memory"]
    assert "forward &amp; backward" in result._repr_html_()


def test_the_text_of_a_clocked_kernel_runs_as_plain_python():
    trainer = linear()
    bound = trainer._bind(DATA)
    plan = plan_batches(bound.samples, 1, None, 1000, False, None)
    step = trainer._kernel(bound.vectors, bound.rows, plan.gathered).step
    kernel = TrainingKernel(step, clocked=True)
    flat, state = trainer._started().copy(), trainer._state.copy()
    run = kernel.bind(bound.arrays, bound.sizes, flat, state, 1, 1000, plain=True)
    run(plan, 0, 2, 0, 0, trainer._random.copy(), 1)
    assert run.times.size == len(kernel.phases) + 2
    assert np.all(run.times[2:] > 0)


def test_the_peaks_are_measured_once():
    assert peak.arithmetic("float32", 1) > 1e9
    assert peak.arithmetic("float32", 1) == peak.arithmetic("float32", 1)
    assert peak.bandwidth(1000, 1) > 1e8
    assert peak.bandwidth(1000, 1) == peak.bandwidth(2000, 1)


def test_data_that_are_missing_are_named():
    with pytest.raises(sd.SymdiffError, match="t"):
        linear().profile({X: DATA[X]})


def test_routines_and_integers():
    """A determinant is about 2/3 n³; index arithmetic is nothing."""
    matrix = sd.tensor("M", 12, 12)
    operations, _ = work(sd.det(matrix))
    assert operations == pytest.approx(2 * 12**3 / 3, rel=0.2)
    assert work(x[3:7])[0] == 0
