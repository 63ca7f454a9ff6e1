"""Small models: one loop body for a whole step, the same numbers as phases with barriers."""

import ast
import itertools

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen import loop as loops
from codegen import trainer as trainers
from codegen.compact import CompactKernel
from codegen.kernel import RESERVED
from codegen.training import TrainingKernel
from symdiff import optimizers
from symdiff.optimizers import RULES

a, b, x, y = sp.symbols("a b x y")
X, t, w = sd.tensor("X", "n", 3), sd.tensor("t", "n"), sd.tensor("w", 3)
W1, W2, W3 = sd.tensor("W1", 3, 2), sd.tensor("W2", 2), sd.tensor("W3", 3, 8)
E, i = sd.tensor("E", 5, 2), sd.tensor("i", "n", dtype="int")
SAMPLES = 20


def data(*symbols):
    rng = np.random.default_rng(3)
    given = {
        X: rng.normal(size=(SAMPLES, 3)),
        t: rng.normal(size=SAMPLES),
        x: rng.normal(size=SAMPLES),
        y: rng.normal(size=SAMPLES),
        i: rng.integers(0, 5, SAMPLES),
    }
    return {s: given[s] for s in symbols}


def line():
    return (a * x + b - y) ** 2, {a: 0.3, b: -0.1}, data(x, y)


def network():
    hidden = sd.sigmoid(X @ W1)
    start = {W1: np.arange(6).reshape(3, 2) / 7, W2: np.array([0.2, -0.3]), b: 0.1}
    return sd.mean((hidden @ W2 + b - t) ** 2) + 0.01 * sd.sum(W1**2), start, data(X, t)


def wide():
    start = {W3: np.linspace(-1, 1, 24).reshape(3, 8)}
    return sd.mean(sd.max(sd.tanh(X @ W3), axis=1)), start, data(X)


def embedding():
    return sd.mean((sd.sum(E[i], axis=1) - t) ** 2), {E: 0.1}, data(i, t)


def two_passes():
    """Each row needs a sum over all rows."""
    return sd.var(X @ w) + sd.logsumexp(X @ w), {w: np.array([0.1, 0.2, 0.3])}, data(X)


def no_data():
    return (1 - a) ** 2 + 100 * (b - a**2) ** 2, {a: -1.2, b: 1.0}, None


MODELS = [line, network, wide, embedding, two_passes, no_data]
WAYS = [
    {"steps": 7},
    {"epochs": 2, "batch_size": 4},
    {"epochs": 2, "batch_size": 8},
    {"epochs": 3, "batch_size": 5, "shuffle": False},
    {"order": np.arange(12)[:, None]},
    {"order": [[0, 3], [1], [5, 6, 7]]},
]


def trained(model, way, monkeypatch, kind=CompactKernel, **options):
    """A trainer after a fit by one kind of kernel, and the losses."""
    made = []
    bind = kind.bind
    monkeypatch.setattr(kind, "bind", lambda *p, **k: made.append(1) or bind(*p, **k))
    if kind is TrainingKernel:
        monkeypatch.setattr(trainers, "compact_kernel", lambda *_: None)
    loss, start, given = model()
    options.setdefault("optimizer", optimizers.SGD(0.05, momentum=0.9))
    trainer = codegen.Trainer(loss, start, seed=4, **options)
    history = trainer.fit(given, record="step", **way)
    assert made == [1]
    monkeypatch.undo()
    return trainer, np.array(history.loss)


def cases():
    for model, way in itertools.product(MODELS, WAYS):
        if model is not no_data or "steps" in way:
            yield pytest.param(model, way, id=f"{model.__name__}-{'-'.join(way)}")


@pytest.mark.parametrize("model, way", list(cases()))
def test_compact_kernels_train_as_phases_do(model, way, monkeypatch):
    compact, losses = trained(model, way, monkeypatch)
    phases, expected = trained(model, way, monkeypatch, TrainingKernel)
    np.testing.assert_allclose(losses, expected, rtol=1e-11)
    for symbol, value in phases.parameters.items():
        np.testing.assert_allclose(compact.parameters[symbol], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(RULES))
def test_every_update_rule(name, dtype, monkeypatch):
    optimizer = getattr(optimizers, name)()
    options = {"optimizer": optimizer, "dtype": dtype}
    compact, _ = trained(network, WAYS[1], monkeypatch, **options)
    phases, _ = trained(network, WAYS[1], monkeypatch, TrainingKernel, **options)
    tolerance = {"float64": 1e-10, "float32": 3e-5}[dtype]
    for symbol, value in phases.parameters.items():
        np.testing.assert_allclose(compact.parameters[symbol], value, rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_how_many_steps_a_call_runs_does_not_change_a_bit(model, monkeypatch):
    way = {"steps": 40} if model is no_data else {"steps": 40, "batch_size": 1}
    options = {"dtype": "float32", "optimizer": optimizers.Adam(0.01)}
    whole, losses = trained(model, way, monkeypatch, **options)
    monkeypatch.setattr(loops, "BLOCK_SECONDS", 0.0)  # a step at a time, after the second call
    single, one_by_one = trained(model, way, monkeypatch, **options)
    np.testing.assert_array_equal(losses, one_by_one)
    for symbol, value in whole.parameters.items():
        np.testing.assert_array_equal(value, single.parameters[symbol])


def test_a_small_step_is_one_loop_over_variables(monkeypatch):
    trainer, _ = trained(line, WAYS[4], monkeypatch)
    (body,) = trainer.source.split("for k in range(start, start + steps):\n")[1:]
    step = body.split("\n    parameters[")[0]
    for word in ("parameters", "gradient", "wait(", "partials", "for row"):
        assert word not in step


def test_fit_in_parts_goes_on_where_it_stopped(monkeypatch):
    way = {"epochs": 4, "batch_size": 4}
    whole, _ = trained(network, way, monkeypatch, optimizer=optimizers.Nadam(0.01))
    loss, start, given = network()
    parts = codegen.Trainer(loss, start, optimizers.Nadam(0.01), seed=4)
    for _ in range(4):
        parts.fit(given, epochs=1, batch_size=4)
    for symbol, value in whole.parameters.items():
        np.testing.assert_array_equal(value, parts.parameters[symbol])


def test_an_index_out_of_range_leaves_the_parameters(monkeypatch):
    loss, start, given = embedding()
    trainer = codegen.Trainer(loss, start, optimizers.SGD(0.1))
    trainer.fit(given, steps=3)
    before = trainer.parameters[E].copy()
    with pytest.raises(sd.IndexOutOfRange, match="indices i"):
        trainer.fit({**given, i: np.full(SAMPLES, 5)}, steps=3)
    np.testing.assert_array_equal(trainer.parameters[E], before)


def large():
    A, V = sd.tensor("A", "n", 40), sd.tensor("V", 40, 40)
    given = {A: np.random.default_rng(0).normal(size=(64, 40))}
    return sd.mean(sd.tanh(A @ V) ** 2), {V: 0.1}, given


def many_rows():
    given = {x: np.linspace(0, 1, 50_000), y: np.ones(50_000)}
    return (a * x + b - y) ** 2, {a: 0.0, b: 0.0}, given


def many_lines():
    loss = sum(sp.cos(k * a) * sp.exp(b / k) for k in range(1, 90))
    return loss, {a: 0.1, b: 0.2}, None


@pytest.mark.parametrize("model", [large, many_rows, many_lines], ids=lambda m: m.__name__)
def test_larger_steps_have_phases(model, monkeypatch):
    trained(model, {"steps": 2}, monkeypatch, TrainingKernel)
    loss, start, given = model()
    trainer = codegen.Trainer(loss, start)
    trainer.fit(given, steps=1)
    assert "wait(barrier, nth)" in trainer.source


@pytest.mark.parametrize("model", [line, embedding], ids=lambda m: m.__name__)
def test_names_of_the_module_are_not_given_to_symbols(model, monkeypatch):
    trainer, _ = trained(model, WAYS[1], monkeypatch)
    module = ast.parse(trainer.source)
    names = {s.name for s in module.body if isinstance(s, ast.FunctionDef)}
    for s in module.body:
        if isinstance(s, (ast.Import, ast.ImportFrom)):
            names |= {a.asname or a.name for a in s.names}
        elif isinstance(s, ast.Assign):
            names |= {t.id for t in s.targets if isinstance(t, ast.Name)}
    assert {"run", "train", "compiler", "real"} <= names <= RESERVED


def test_a_symbol_called_as_the_loop():
    train = sp.Symbol("train")
    trainer = codegen.Trainer((a * train - 1) ** 2, {a: 0.5}, optimizers.SGD(0.1))
    trainer.fit({train: [1.0, 2.0]}, steps=1)
    # the mean of 2 x (x/2 - 1) is -1/2 at x = 1 and 0 at x = 2
    assert float(trainer.parameters[a]) == pytest.approx(0.55)
