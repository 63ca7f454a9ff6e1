"""Tiny models on a device: one thread runs whole steps, with the results of the processor."""

import ast

import numpy as np
import pytest
import sympy as sp
from on_devices import GRIDS, on_a_device  # noqa: F401
from test_compact import MODELS, SAMPLES, WAYS, cases, embedding, line, many_rows, network, no_data

import codegen
import symdiff as sd
from codegen import compact
from codegen import loop as loops
from codegen.compact import DEVICE_STEP_WORK, CompactKernel
from codegen.emit.cuda import NUMPY, PRODUCTS, RUNTIME, THREAD, TRAINING
from codegen.gpu import orders
from codegen.gpu.device import running_on
from codegen.gpu.stand_ins import Processor, Scheduled
from codegen.kernel import RESERVED
from codegen.training import TrainingKernel
from symdiff import optimizers


def trained(model, way, target="cuda", **options):
    """A trainer after a fit, and the losses of all steps."""
    loss, start, given = model()
    options.setdefault("optimizer", optimizers.SGD(0.05, momentum=0.9))
    trainer = codegen.Trainer(loss, start, seed=4, target=target, **options)
    history = trainer.fit(given, record="step", **way)
    return trainer, np.array(history.loss)


def kernel(trainer):
    """The kernel of the last fit."""
    return trainer._fitted[0]


def same(trainer, losses, model, way, rtol=1e-11, **options):
    """Check a training on a device against that of the processor."""
    other, expected = trained(model, way, "cpu", **options)
    np.testing.assert_allclose(losses, expected, rtol)
    for symbol, value in other.parameters.items():
        np.testing.assert_allclose(trainer.parameters[symbol], value, rtol * 10, rtol)


@pytest.fixture
def larger_steps(monkeypatch):
    """Whatever one thread of the processor runs as one step, one of a device does, too."""
    monkeypatch.setattr(compact, "DEVICE_STEP_WORK", compact.STEP_WORK)


@pytest.mark.parametrize("model, way", list(cases()))
@pytest.mark.usefixtures("on_a_device", "larger_steps")
def test_as_on_the_processor(model, way):
    trainer, losses = trained(model, way)
    assert isinstance(kernel(trainer), CompactKernel)
    assert "wait(" not in trainer.source and "one thread of the device" in str(trainer.schedule)
    same(trainer, losses, model, way)


def xor():
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    A, a, B, b = sd.tensor("A", 2, 3), sd.tensor("a", 3), sd.tensor("B", 3, 1), sd.tensor("b", 1)
    output = sd.sigmoid(sd.sigmoid(X @ A + a) @ B + b)
    start = {A: np.array([[1, -0.5, 0.25], [-1, 0.5, 0.75]]), a: 0.1, B: 0.5, b: -0.3}
    data = {X: [[0, 0], [0, 1], [1, 0], [1, 1]], y: [[0], [1], [1], [0]]}
    return sd.sum((output - y) ** 2), start, data


def classification():
    a, x, y = sp.symbols("a x y")
    p = sd.sigmoid(x + a)
    rng = np.random.default_rng(0)
    data = {x: rng.normal(size=SAMPLES), y: rng.integers(0, 2, SAMPLES)}
    return -(y * sp.log(p) + (1 - y) * sp.log(1 - p)), {a: 10.0}, data


ONE = {"order": np.random.default_rng(1).integers(0, SAMPLES, (60, 1))}
TINY = [(line, ONE), (classification, ONE), (xor, {"steps": 60})]


@pytest.mark.parametrize("model, way", TINY, ids=lambda p: getattr(p, "__name__", ""))
@pytest.mark.usefixtures("on_a_device")
def test_in_float32(model, way):
    options = {"dtype": "float32", "optimizer": optimizers.Adam(0.02)}
    trainer, losses = trained(model, way, **options)
    same(trainer, losses, model, way, 2e-4, **options)


@pytest.mark.parametrize("number", range(len(MODELS)), ids=lambda i: MODELS[i].__name__)
@pytest.mark.usefixtures("larger_steps")
def test_on_all_threads_of_a_grid(number):
    """The other threads do nothing, whatever the grid."""
    model = MODELS[number]
    way = {"steps": 4} if model is no_data else {"epochs": 2, "batch_size": 8}
    with running_on(Scheduled(*GRIDS[number % len(GRIDS)], seed=number)):
        trainer, losses = trained(model, way, optimizer=optimizers.Adam(0.05))
    assert isinstance(kernel(trainer), CompactKernel)
    same(trainer, losses, model, way, optimizer=optimizers.Adam(0.05))


@pytest.mark.parametrize("model", [line, network, embedding, no_data], ids=lambda m: m.__name__)
@pytest.mark.usefixtures("on_a_device", "larger_steps")
def test_how_many_steps_a_launch_runs_does_not_change_a_bit(model, monkeypatch):
    way = {"steps": 50} if model is no_data else {"steps": 50, "batch_size": 3}
    options = {"dtype": "float32", "optimizer": optimizers.Nadam(0.01)}
    whole, losses = trained(model, way, **options)
    monkeypatch.setattr(loops, "BLOCK_SECONDS", 0.0)  # a step at a time, after the second call
    monkeypatch.setattr(orders, "MOST", 2 * SAMPLES)  # and orders of two passes
    single, one_by_one = trained(model, way, **options)
    np.testing.assert_array_equal(losses, one_by_one)
    for symbol, value in whole.parameters.items():
        np.testing.assert_array_equal(value, single.parameters[symbol])


@pytest.mark.usefixtures("on_a_device", "larger_steps")
def test_fits_in_a_row():
    """Parameters, state, numbers of steps and epochs, and random numbers go on."""
    loss, start, given = network()
    rate = sp.Float(0.1) / (2 + sd.step) + 0.01 * sd.epoch
    results = []
    for target in ("cpu", "cuda"):
        trainer = codegen.Trainer(loss, start, optimizers.Adam(rate), seed=7, target=target)
        losses = []
        for way in [WAYS[1], WAYS[2], *WAYS[2:], WAYS[0]]:
            losses += trainer.fit(given, record="step", **way).loss
        results.append([losses, *trainer.parameters.values()])
    for value, expected in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, 1e-10)


@pytest.mark.usefixtures("on_a_device")
def test_an_index_out_of_range_leaves_the_parameters():
    E, i, shift = sd.tensor("E", 5, 2), sd.tensor("i", "n", dtype="int"), sd.tensor("shift", "n")
    moved = sd.where(shift > 0, i + 1, i)
    loss = sd.mean(sd.sum(E[moved], axis=1) ** 2)
    trainer = codegen.Trainer(loss, {E: 0.5}, optimizers.SGD(0.1, momentum=0.9), target="cuda")
    inside = {i: [0, 4, 2], shift: [1.0, -1.0, 1.0]}
    trainer.fit(inside, steps=3)
    assert isinstance(kernel(trainer), CompactKernel)
    before, state = trainer.parameters[E], trainer._state.copy()
    with pytest.raises(sd.IndexOutOfRange, match="parameters are those after step 3"):
        trainer.fit({**inside, shift: [1.0, 1.0, 1.0]}, order=[[1], [0], [2]])
    np.testing.assert_array_equal(trainer._state, state)
    np.testing.assert_array_equal(trainer.parameters[E], before)


def many_terms(count):
    """A step of about 60 operations for each term."""
    a, x = sp.symbols("a x")
    return sum(sp.tanh((a + k) * x) for k in range(count)) ** 2, {a: 0.5}, {x: [0.3]}


def test_steps_of_more_work_have_phases():
    works = []
    with running_on(Processor(1)):
        for model in (lambda: many_terms(3), lambda: many_terms(30), many_rows):
            trainer, _ = trained(model, {"steps": 2})
            works.append(trainer._fitted[1].work)
            tiny = works[-1] <= DEVICE_STEP_WORK
            assert isinstance(kernel(trainer), CompactKernel if tiny else TrainingKernel)
            assert ("wait(barrier, nth, size)" in trainer.source) != tiny
    assert works[0] < DEVICE_STEP_WORK < works[1] < works[2]


def test_names_of_the_module_are_not_given_to_symbols():
    quotient, passes = sp.symbols("quotient passes")
    loss = (quotient * passes - 1) ** 2
    with running_on(Processor(1)):
        trainer, _ = trained(lambda: (loss, {quotient: 0.5}, {passes: [1.0, 2.0]}), WAYS[0])
    names = {*THREAD, *TRAINING, *RUNTIME, *NUMPY.values(), *PRODUCTS.values()}
    for s in ast.parse(trainer.source).body:
        if isinstance(s, ast.FunctionDef):
            names.add(s.name)
        elif isinstance(s, (ast.Import, ast.ImportFrom)):
            names |= {a.asname or a.name for a in s.names}
    assert {"run", "train", "cuda", "reals"} <= names <= RESERVED
