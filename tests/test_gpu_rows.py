"""Sums over many rows for each column: one loop over the rows reads large data once in a step."""

import numpy as np
import pytest

import codegen
import symdiff as sd
from codegen.gpu import fuse, interchange, parts
from codegen.gpu.control import GRID_WARPS, WARP
from codegen.gpu.device import running_on
from codegen.gpu.shape import blocks_and_size, shape_of
from codegen.gpu.stand_ins import Processor, Scheduled

DEVICES = [Processor(2), Scheduled(1, 4, 4), Scheduled(2, 4, 2, seed=3), Scheduled(3, 8, 4, seed=1)]


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch):
    """Tiny data take the path of large ones."""
    for module in (fuse, interchange):
        monkeypatch.setattr(module, "MANY", 4)
    monkeypatch.setattr(interchange, "WIDTH", 2)
    monkeypatch.setattr(parts, "SPLIT_ROUNDS", 8)
    monkeypatch.setattr(parts, "PART_ROUNDS", dict.fromkeys(parts.PART_ROUNDS, 4))
    monkeypatch.setattr(parts, "MOST_PARTS", dict.fromkeys(parts.MOST_PARTS, 8))


def logistic():
    X, y, w = sd.tensor("X", "n", 9), sd.tensor("y", "n"), sd.tensor("w", 9)
    return sd.mean(sd.softplus(X @ w) - y * (X @ w)), [X, y], [w]


def ridge():
    X, y, w = sd.tensor("X", "n", 5), sd.tensor("y", "n"), sd.tensor("w", 5)
    return sd.sum((X @ w - y) ** 2) + sd.sum(w**2) / 7, [X, y], [w]


def softmax():
    X, W, b = sd.tensor("X", "n", 6), sd.tensor("W", 6, 3), sd.tensor("b", 3)
    Y = sd.tensor("Y", "n", 3)
    scores = X @ W + b
    return sd.mean(sd.logsumexp(scores, axis=1) - sd.sum(Y * scores, axis=1)), [X, Y], [W, b]


def largest():
    X, v = sd.tensor("X", "n", 7), sd.tensor("v", 7)
    return sd.sum(sd.max(X * sd.tanh(X @ v)[:, None], axis=0)), [X], [v]


MODELS = {"logistic": logistic, "ridge": ridge, "softmax": softmax, "largest": largest}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients(name, dtype):
    loss, data, parameters = MODELS[name]()
    random = np.random.default_rng(5)
    values = {}
    for symbol in (*data, *parameters):
        shape = [37 if not isinstance(d, int) else d for d in symbol.shape]
        values[symbol] = random.normal(size=[int(d) for d in shape])
    expressions = [loss, *sd.gradient(loss, parameters)]
    expected = sd.evaluate(expressions, values, dtype="float64")
    function = codegen.compile(expressions, inputs=[*data, *parameters], dtype=dtype, target="cuda")
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for device in DEVICES:
        with running_on(device):
            results = function(*values.values())
        for got, want in zip(results, expected, strict=True):
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    assert "shared_array" in function.source


def reads(source, name):
    """Loops over the rows in which an array is read."""
    phases = source.split("@cuda.jit(device=True)")
    return sum(f"{name}[" in phase for phase in phases)


def test_the_data_are_read_once_in_a_step():
    loss, data, parameters = logistic()
    trainer = codegen.Trainer(loss, {parameters[0]: np.zeros(9)}, target="cuda")
    random = np.random.default_rng(1)
    values = {data[0]: random.normal(size=(41, 9)), data[1]: random.integers(0, 2, 41)}
    reference = codegen.Trainer(loss, {parameters[0]: np.zeros(9)})
    reference.fit(values, steps=4)
    for device in DEVICES:
        trainer.reset()
        with running_on(device):
            trainer.fit(values, steps=4)
        np.testing.assert_allclose(
            trainer.parameters[parameters[0]], reference.parameters[parameters[0]], rtol=1e-12
        )
    assert reads(trainer.source, "X") == 1


def test_sums_that_do_not_fit_stay_apart(monkeypatch):
    monkeypatch.setattr(interchange, "MEMORY", 8 * interchange.NUMBER)
    loss, data, parameters = logistic()
    function = codegen.compile(
        sd.gradient(loss, parameters[0]), inputs=[*data, *parameters], target="cuda"
    )
    random = np.random.default_rng(1)
    values = [random.normal(size=(33, 9)), random.normal(size=33), random.normal(size=9)]
    with running_on(Scheduled()):
        got = function(*values)
    want = sd.evaluate(
        sd.gradient(loss, parameters[0]), dict(zip([*data, *parameters], values, strict=True))
    )
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert "shared_array" not in function.source


def test_blocks_have_no_more_warps_than_memory_for_them():
    loss, data, parameters = logistic()
    kernel = codegen.compile(
        sd.gradient(loss, parameters[0]), inputs=[*data, *parameters], target="cuda"
    )._kernel((False,) * 3)[0]._for({data[0].shape[0]: 64})  # fmt: skip
    lowered = kernel._lowered
    assert "shared_array" in kernel.source
    for rows in (1, 64, 10**7):
        asked = shape_of(lowered.phases, dict.fromkeys(lowered.sizes.values(), rows))
        assert blocks_and_size(asked, 1024, 264)[1] <= GRID_WARPS * WARP
