"""What only a GPU can show: ``pytest -m gpu``. The models are checked on stand-ins elsewhere."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen.gpu.device import DeviceMemoryError, device, running_on
from codegen.gpu.stand_ins import Processor

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.gpu


def digits(**options):
    """The network of examples/digits.py, and its data."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    X, t = sd.tensor("X", "n", 64), sd.tensor("t", "n", dtype="int")
    W1, b1 = sd.tensor("W1", 64, 128), sd.tensor("b1", 128)
    W2, b2 = sd.tensor("W2", 128, 10), sd.tensor("b2", 10)
    scores = sd.relu(X @ W1 + b1) @ W2 + b2
    start = {W1: sd.init.he_uniform(), b1: 0.0, W2: sd.init.glorot_uniform(), b2: 0.0}
    trainer = codegen.Trainer(
        sd.losses.cross_entropy(scores, t), start, sd.optimizers.Adam(2e-3), seed=0, **options
    )
    held_out = np.arange(len(data.target)) % 5 == 0
    parts = [{X: data.data[rows] / 16, t: data.target[rows]} for rows in (~held_out, held_out)]
    return trainer, parts, sd.mean(sd.equal(sd.argmax(scores, axis=1), t))


def test_digits_to_the_same_accuracy():
    accuracies = {}
    for target in ("cpu", "cuda"):
        trainer, (train, test), accuracy = digits(dtype="float32", target=target)
        trainer.fit(train, epochs=40, batch_size=64)
        accuracies[target] = trainer.evaluate(test, metrics={"accuracy": accuracy})["accuracy"]
    assert accuracies["cuda"] > 0.96
    assert abs(accuracies["cuda"] - accuracies["cpu"]) < 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_two_runs_have_the_same_bits(dtype):
    bits = []
    for _ in range(2):
        trainer, (train, _), _ = digits(dtype=dtype, target="cuda")
        history = trainer.fit(train, epochs=3, batch_size=64)
        bits.append([np.asarray(history.loss), *trainer.parameters.values()])
    for first, second in zip(*bits, strict=True):
        np.testing.assert_array_equal(first, second)


def wide(**options):
    """Layers whose products are computed by tiles."""
    X, t = sd.tensor("X", "n", 784), sd.tensor("t", "n", dtype="int")
    W1, W2 = sd.tensor("W1", 784, 512), sd.tensor("W2", 512, 10)
    loss = sd.losses.cross_entropy(sd.relu(X @ W1) @ W2, t)
    start = {W1: sd.init.he_uniform(), W2: sd.init.glorot_uniform()}
    random = np.random.default_rng(3)
    data = {X: random.random((512, 784)), t: random.integers(0, 10, 512)}
    trainer = codegen.Trainer(loss, start, sd.optimizers.SGD(1e-2), dtype="float32", **options)
    return trainer, data


@pytest.mark.parametrize(("precision", "tolerance"), [("full", 1e-5), ("tf32", 2e-3)])
def test_wide_layers_train_as_on_the_processor(precision, tolerance):
    reference, data = wide()
    reference.fit(data, epochs=2, batch_size=128, shuffle=False)
    trainer, data = wide(target="cuda", precision=precision)
    trainer.fit(data, epochs=2, batch_size=128, shuffle=False)
    assert "gemm" in trainer.source
    for symbol, value in reference.parameters.items():
        np.testing.assert_allclose(trainer.parameters[symbol], value, atol=tolerance)


def test_many_rows_are_read_by_warps():
    X, y, w = sd.tensor("X", "n", 100), sd.tensor("y", "n"), sd.tensor("w", 100)
    loss = sd.mean(sd.softplus(X @ w) - y * (X @ w))
    random = np.random.default_rng(0)
    data = {X: random.normal(size=(300_000, 100)), y: random.integers(0, 2, 300_000)}
    results = []
    for target in ("cpu", "cuda"):
        trainer = codegen.Trainer(
            loss, {w: np.zeros(100)}, sd.optimizers.SGD(0.5), dtype="float32", target=target
        )
        trainer.fit(data, steps=5)
        results.append(trainer.parameters[w])
    assert "shared_array" in trainer.source
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-7)


def test_data_that_do_not_fit_are_an_error_that_says_so():
    where = device()
    _, total = where._cuda.current_context().get_memory_info()
    with pytest.raises(DeviceMemoryError, match=r"MiB free.*target='cpu'"):
        where.reserve(total // 4 + 1, np.float64)
    x, a = sp.symbols("x a")
    trainer = codegen.Trainer((a * x - 1) ** 2, {a: 0.0}, target="cuda")
    trainer.fit({x: [1.0, 2.0]}, steps=3)  # the device goes on
    assert np.isfinite(trainer.parameters[a])


def test_an_index_out_of_range_changes_nothing():
    E, i = sd.tensor("E", 7, 3), sd.tensor("i", "n", dtype="int")
    trainer = codegen.Trainer(sd.sum(E[2 * i] ** 2), {E: np.ones((7, 3))}, target="cuda")
    with pytest.raises(IndexError, match="out of range"):
        trainer.fit({i: np.array([0, 5, 3])}, epochs=2)
    np.testing.assert_array_equal(trainer.parameters[E], np.ones((7, 3)))


def test_a_second_process_takes_the_kernel_from_disk(tmp_path):
    program = textwrap.dedent("""
        import time
        import sympy as sp, symdiff as sd, codegen
        a, x, y = sp.symbols("a x y")
        trainer = codegen.Trainer((sp.sin(a * x) - y) ** 2, {a: 0.1}, target="cuda")
        start = time.perf_counter()
        trainer.fit({x: [1.0, 2.0], y: [0.5, 0.7]}, steps=10)
        print(time.perf_counter() - start, float(trainer.parameters[a]))
    """)
    environment = {**os.environ, "SYMDIFF_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            cwd=ROOT, env=environment,
        ).stdout.split()
        for _ in range(2)
    ]  # fmt: skip
    assert runs[0][1] == runs[1][1]
    assert list(tmp_path.rglob("*.nbc")), "numba-cuda has kept nothing"


SANITIZED = """
import numpy as np
import symdiff as sd, codegen
X, t = sd.tensor("X", "n", 20), sd.tensor("t", "n", dtype="int")
W1, W2 = sd.tensor("W1", 20, 30), sd.tensor("W2", 30, 5)
loss = sd.losses.cross_entropy(sd.relu(X @ W1) @ W2, t)
random = np.random.default_rng(0)
start = {W1: random.normal(size=(20, 30)), W2: random.normal(size=(30, 5))}
trainer = codegen.Trainer(loss, start, dtype="float32", target="cuda")
trainer.fit({X: random.random((50, 20)), t: random.integers(0, 5, 50)}, epochs=2, batch_size=16)
"""


@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "synccheck"])
def test_compute_sanitizer_finds_nothing(tool):
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        pytest.skip("compute-sanitizer is not installed")
    run = subprocess.run(
        [sanitizer, "--tool", tool, "--error-exitcode", "9", sys.executable, "-c", SANITIZED],
        capture_output=True, text=True, cwd=ROOT, timeout=200, check=False,
    )  # fmt: skip
    if "not supported" in run.stdout:
        pytest.skip("compute-sanitizer does not support this device")
    assert run.returncode == 0, run.stdout[-2000:]


def test_a_stand_in_is_chosen_only_where_asked():
    with running_on(Processor(1)):
        assert isinstance(device(), Processor)
    assert not isinstance(device(), Processor)
