"""Kernels for a device as plain Python on threads in any order: races and divergence are errors.

Thresholds are so low here that tiny sizes take every path that large ones do.
"""

import re

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from on_devices import GRIDS, PATHS, divide_small_loops, with_target_cuda  # noqa: F401
from small_models import (
    SMALL_MODELS,
    assert_alike,
    convolutional,
    perceptron,
    recurrent,
    trained_on_the_processor,
)
from test_codegen_operations import structural_cases, structural_values
from test_codegen_random import SETTINGS, assert_all_close, problems, used

import codegen
import symdiff as sd
from codegen.emit.cuda import TRAINING
from codegen.gpu.device import running_on
from codegen.gpu.load import build_plain_grid
from codegen.gpu.memory import Race
from codegen.gpu.stand_ins import Processor, Scheduled

pytestmark = pytest.mark.usefixtures("with_target_cuda")


@pytest.mark.parametrize("path", PATHS)
def test_structural_rows_on_threads_in_any_order(path, monkeypatch):
    """Every way to divide loops, on grids of several shapes: no races, the same values."""
    divide_small_loops(monkeypatch, path)
    for number, (name, expressions) in enumerate(structural_cases().items()):
        values = structural_values(expressions)
        function = codegen.compile(expressions, inputs=list(values))
        with running_on(Scheduled(*GRIDS[number % len(GRIDS)], seed=number)):
            results = function(*values.values())
        expected = sd.evaluate(expressions, values)
        for expression, want, got in zip(expressions, expected, results, strict=True):
            message = f"{name}: {expression}, {path}"
            assert got.dtype == want.dtype and got.shape == want.shape, message
            np.testing.assert_allclose(got, want, 2e-13, 2e-13, err_msg=message)


@pytest.mark.parametrize("path", [None, *PATHS])
def test_models_on_threads_in_any_order(path, monkeypatch):
    """No races and no divergence, however loops are divided, on grids of several shapes."""
    if path is not None:
        divide_small_loops(monkeypatch, path)
    start = [None, *PATHS].index(path)
    for number, model in enumerate(SMALL_MODELS, start):
        grid = GRIDS[number % len(GRIDS)]
        with running_on(Scheduled(*grid, seed=number)):
            results = model().train()
        expected = trained_on_the_processor(model)
        assert_alike(results, expected, "float64", f"{model.__name__} on {grid}, {path}")


@pytest.mark.parametrize("model", [perceptron, convolutional, recurrent], ids=lambda m: m.__name__)
def test_bits_depend_on_the_grid_only(model, monkeypatch):
    """Not on the order in which its threads run; in float32 numbers stay so."""
    divide_small_loops(monkeypatch, "sums in parts by blocks")
    results = []
    for seed in range(4):
        with running_on(Scheduled(*GRIDS[0], seed=seed)):
            results.append(model().train(dtype="float32"))
    for losses, parameters in results[1:]:
        assert np.array_equal(losses, results[0][0])
        assert np.array_equal(parameters, results[0][1])
    assert_alike(results[0], trained_on_the_processor(model, "float32"), "float32")


def test_threads_of_the_processor_give_the_same_bits(monkeypatch):
    """A team is one thread there, so sums do not depend on how many there are."""
    divide_small_loops(monkeypatch, "products by tiles")
    for model in SMALL_MODELS:
        results = []
        for threads in (1, 2, 3):
            with running_on(Processor(threads)):
                results.append(model().train())
        for losses, parameters in results[1:]:
            assert np.array_equal(losses, results[0][0]), model.__name__
            assert np.array_equal(parameters, results[0][1]), model.__name__
        assert_alike(results[0], trained_on_the_processor(model), "float64", model.__name__)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_sums_of_whole_numbers_in_real_memory(dtype, monkeypatch):
    """A result made of literals is real in memory: what reads it takes whole numbers again."""
    divide_small_loops(monkeypatch, "blocks")
    X, u = sd.tensor("X", "n", 3), sd.tensor("u", "n")
    literal = sd.gradient(sd.sum(X[1]) * X.shape[0], X)
    results = [literal, sd.sum(literal, axis=1) + u]
    function = codegen.compile(results, [X, u], dtype=dtype)
    with running_on(Scheduled(*GRIDS[0])):
        got = function(np.ones((4, 3)), np.zeros(4))
    np.testing.assert_array_equal(got[1], [0, 12, 0, 0])
    assert "int(output[" in function.source


# --- random graphs -----------------------------------------------------------------------


@settings(SETTINGS, max_examples=10, phases=[Phase.generate])  # shrinking takes a compiler's time
@given(problems())
def test_random_graphs_on_threads_of_the_processor(problem):
    results, values = problem
    values = used(results, values)
    function = codegen.compile(results, list(values), target="cuda")
    with running_on(Processor(2)):
        got = function(*values.values())
    assert_all_close(got, sd.evaluate(results, values), "threads of the processor")


@pytest.mark.parametrize("path", list(PATHS))
def test_random_graphs_on_threads_in_any_order(path):
    with pytest.MonkeyPatch.context() as patch:
        divide_small_loops(patch, path)
        number = iter(range(1000))

        @settings(SETTINGS, max_examples=12)
        @given(problems())
        def check(problem):
            results, values = problem
            values = used(results, values)
            function = codegen.compile(results, list(values), target="cuda")
            seed = next(number)
            with running_on(Scheduled(*GRIDS[seed % len(GRIDS)], seed=seed)):
                got = function(*values.values())
            assert_all_close(got, sd.evaluate(results, values), path)

        check()


# --- barriers ----------------------------------------------------------------------------

WAIT = re.compile(r"^ *(wait|warp_wait|block_wait)\(.*\)$", re.MULTILINE)


class Launched(Exception):
    """A training has come to its first launch."""


class Recorder(Scheduled):
    """Keeps what the first launch runs, two steps of it, instead of running it."""

    def run(self, source, shape, arguments):
        self.source, self.arguments = source, list(arguments)
        losses = self.arguments[TRAINING.index("losses")]
        self.arguments[TRAINING.index("losses")] = np.zeros(2, losses.dtype)
        self.arguments[TRAINING.index("steps")] = 2
        raise Launched

    def launch(self, source, grid):
        fresh = [a.copy() if isinstance(a, np.ndarray) else a for a in self.arguments]
        build_plain_grid(source, "train", exempt=("status",))(*grid, 0, *fresh)


def races(recorder, source):
    """Whether the scheduler finds a race, on some grid."""
    for grid in GRIDS:
        try:
            recorder.launch(source, grid)
        except Race:
            return True
    return False


QUICK = ["sums in parts by blocks", "warps"]
SLOW = [pytest.param(path, marks=pytest.mark.slow) for path in PATHS if path not in QUICK]


@pytest.mark.parametrize("path", [*QUICK, *SLOW])
def test_a_barrier_that_is_left_out_is_a_race(path, monkeypatch):
    """But for some between phases that happen to need nothing of each other."""
    divide_small_loops(monkeypatch, path)
    found, superfluous = dict.fromkeys(["wait", "warp_wait", "block_wait"], 0), []
    for model in SMALL_MODELS:
        recorder = Recorder()
        with running_on(recorder), pytest.raises(Launched):
            model().train()
        source = recorder.source
        assert not races(recorder, source), model.__name__
        for wait in WAIT.finditer(source):
            if races(recorder, f"{source[: wait.start()]}{source[wait.end() :]}"):
                found[wait[1]] += 1
            else:
                superfluous.append((model.__name__, wait[0].strip(), wait.start()))
    assert found["wait"] > 30
    assert len(superfluous) < sum(found.values()) / 3, superfluous
    team = {"warps": "warp_wait", "sums in parts by blocks": "block_wait"}.get(path, "wait")
    assert found[team] > 3
