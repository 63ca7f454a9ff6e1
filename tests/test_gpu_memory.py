"""How much memory of a device a training takes."""

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen.gpu.device import running_on
from codegen.gpu.stand_ins import Processor

SAMPLES = 5000


class Counting(Processor):
    """Adds up what is sent."""

    sent = 0

    def upload(self, array):
        self.sent += array.nbytes
        return super().upload(array)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_curve_takes_few_numbers_for_a_sample(dtype):
    """Two of data, and those that go from phase to phase: no padding for each sample."""
    a, b, x, y = sp.symbols("a b x y")
    random = np.random.default_rng(0)
    data = {x: random.random(SAMPLES), y: random.random(SAMPLES)}
    device = Counting(1)
    with running_on(device):
        trainer = codegen.Trainer(
            (a * sp.exp(-b * x) - y) ** 2, {a: 1.0, b: 0.5}, dtype=dtype, target="cuda"
        )
        trainer.fit(data, steps=1)
    assert device.sent / np.dtype(dtype).itemsize < 10 * SAMPLES
    reference = codegen.Trainer(
        (a * sp.exp(-b * x) - y) ** 2, {a: 1.0, b: 0.5}, dtype=dtype, target="cpu"
    )
    reference.fit(data, steps=1)
    for symbol in (a, b):
        np.testing.assert_allclose(
            trainer.parameters[symbol], reference.parameters[symbol], rtol=1e-6
        )


def test_work_memory_of_a_network_is_not_padded():
    """Layers of odd widths: rows follow each other."""
    X, t = sd.tensor("X", "n", 3), sd.tensor("t", "n", dtype="int")
    W, V = sd.tensor("W", 3, 5), sd.tensor("V", 5, 7)
    loss = sd.losses.cross_entropy(sd.tanh(X @ W) @ V, t)
    random = np.random.default_rng(0)
    data = {X: random.normal(size=(SAMPLES, 3)), t: random.integers(0, 7, SAMPLES)}
    start = {W: random.normal(size=(3, 5)), V: random.normal(size=(5, 7))}
    device = Counting(1)
    with running_on(device):
        trainer = codegen.Trainer(loss, start, target="cuda")
        trainer.fit(data, steps=2)
    # X and t, hidden layer, scores and their adjoints, three numbers of the softmax, the order
    most = 3 + 1 + 2 * 5 + 2 * 7 + 5
    assert device.sent / 8 < most * SAMPLES
    reference = codegen.Trainer(loss, start)
    reference.fit(data, steps=2)
    for symbol in (W, V):
        np.testing.assert_allclose(
            trainer.parameters[symbol], reference.parameters[symbol], rtol=1e-10
        )
