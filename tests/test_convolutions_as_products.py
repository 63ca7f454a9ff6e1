"""Convolutions as products of patches: the rule, what is computed, and what a kernel is told."""

import numpy as np
import pytest
from loops import Loops

import codegen
import symdiff as sd
from codegen.channels import LANES, geometry, plan_images
from codegen.ir_walk import statements
from codegen.loop_ir import Gemm, Loop
from symdiff.bridge import to_graph
from symdiff.graph import walk
from symdiff.layers import AvgPool2D, BatchNorm, Conv2D, Dense, Flatten, MaxPool2D, Sequential
from symdiff.shapes import Size

RNG = np.random.default_rng(5)


def images(channels, *sizes, rows=2):
    symbol = sd.tensor("image", "n", channels, *sizes)
    return symbol, RNG.normal(size=(rows, channels, *sizes))


def kernels(name, *shape):
    return sd.tensor(name, *shape), RNG.normal(size=shape) / 3


def plan(expression):
    order = walk([to_graph(expression)])
    return plan_images(order, Size("n"))


def planes():
    """Two layers, overlapping windows, padding and strides; few channels and many."""
    x, xs = images(2, 7, 9)
    k, ks = kernels("k", 8, 2, 3, 2)
    m, ms = kernels("m", 16, 8, 2, 3)
    b, bs = kernels("b", 8)
    hidden = sd.tanh(sd.conv2d(x, k, padding=(1, 0)) + b[:, None, None])
    pooled = sd.max_pool2d(hidden, 3, stride=2)
    loss = sd.sum(sd.conv2d(pooled, m, stride=(1, 2), padding="same") ** 2)
    return loss, [x, k, m, b], [xs, ks, ms, bs]


def lines():
    """One spatial axis."""
    x, xs = images(3, 20)
    k, ks = kernels("k", 32, 3, 4)
    m, ms = kernels("m", 16, 32, 3)
    loss = sd.sum(sd.relu(sd.conv1d(sd.sigmoid(sd.conv1d(x, k, stride=2)), m, padding=1)) ** 2)
    return loss, [x, k, m], [xs, ks, ms]


def rests():
    """Pools that leave a rest on two sides, pools of all of an image, and ties."""
    x, xs = images(2, 9, 10)
    k, ks = kernels("k", 16, 2, 2, 2)
    image = sd.conv2d(x, k)
    pools = sd.sum(sd.avg_pool2d(image, 3) ** 2) + sd.sum(sd.tanh(sd.max_pool2d(image, (3, 2))))
    every = sd.sum(sd.mean(image, axis=(2, 3)) ** 2) + sd.sum(sd.max(image, axis=(2, 3)) ** 2)
    ties = sd.sum(sd.max_pool2d(sd.floor(image) * image, 2) ** 2)
    return pools + every + ties, [x, k], [np.round(xs, 1), ks]


def second_order():
    """The gradient of a squared gradient, with a kernel that is computed."""
    x, xs = images(2, 8, 6)
    k, ks = kernels("k", 16, 2, 2, 2)
    gradient = sd.gradient(sd.sum(sd.tanh(sd.conv2d(x, k / (1 + k**2)))), x)
    return sd.sum(gradient**2), [x, k], [xs, ks]


NETWORKS = [planes, lines, rests, second_order]


def results(build):
    loss, symbols, values = build()
    outputs = [loss, *sd.gradient(loss, symbols)]
    return outputs, dict(zip(symbols, values, strict=True))


@pytest.mark.parametrize("build", NETWORKS)
def test_loops_mean_the_convolution(build):
    outputs, values = results(build)
    assert plan(outputs[1]).products
    loops = Loops(outputs, values)
    for stage, phases in loops.stages():
        loops.verify(phases, laid_out=stage == "layout")
    wanted = sd.evaluate(outputs, values)
    for a, b in zip(loops.run(phases, chunks=2), wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_kernels_mean_the_convolution():
    """One and two spatial axes in one kernel; more than one tile, and a batch of another size."""
    outputs, values, inputs = [], {}, []
    for number, build in enumerate((lines, rests)):
        loss, symbols, arrays = build()
        fresh = [sd.tensor(f"{s.name}{number}", *s.shape) for s in symbols]
        loss = loss.subs(dict(zip(symbols, fresh, strict=True)))
        outputs += [loss, *sd.gradient(loss, fresh)]
        for symbol, array in zip(fresh, arrays, strict=True):
            values[symbol] = np.tile(array, (37, *[1] * (array.ndim - 1))) if (
                symbol is fresh[0]
            ) else array  # fmt: skip
        inputs += fresh
    f = codegen.compile(outputs, inputs=inputs)
    for rows in (74, 3):
        part = {s: v[:rows] if s.name.startswith("image") else v for s, v in values.items()}
        wanted = sd.evaluate(outputs, part)
        for a, b in zip(f(*part.values()), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-8)


def network():
    x, t = sd.tensor("x", "n", 1, 9, 9), sd.tensor("t", "n", dtype="int")
    model = Sequential(
        [
            Conv2D(16, 3, padding="same"), BatchNorm(), MaxPool2D(2),
            Conv2D(24, 2, activation="relu"), AvgPool2D(3), Flatten(), Dense(10),
        ]
    )  # fmt: skip
    data = {x: RNG.normal(size=(150, 1, 9, 9)), t: RNG.integers(0, 10, 150)}
    return model, sd.losses.cross_entropy(model(x), t), data


def test_training_has_the_same_bits_for_any_number_of_threads():
    """Statistics of the batch lie between the phases of the images."""
    model, loss, data = network()
    trained = []
    for threads in (1, 2):
        trainer = codegen.Trainer(loss, model.parameters, dtype="float32", threads=threads)
        trainer.fit(data, batch_size=64, epochs=2)
        trained.append(trainer.parameters)
        assert "as products of patches: 16, 24 filters" in str(trainer.schedule)
    for symbol, array in trained[0].items():
        np.testing.assert_array_equal(array, trained[1][symbol])
        assert np.isfinite(array).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_cheaper_form_is_chosen(seed):
    """The rule as the documentation has it, for random sizes."""
    random = np.random.default_rng(seed)
    channels, filters, side, window, stride = (
        int(random.integers(low, high)) for low, high in [(1, 9), (1, 33), (4, 40), (1, 4), (1, 3)]
    )
    x = sd.tensor("x", "n", channels, side, side + 2)
    k = sd.tensor("k", filters, channels, window, window)
    root = to_graph(sd.conv2d(x, k, stride))
    rows, columns = ((d - window) // stride + 1 for d in (side, side + 2))
    depth = channels * window * window
    direct = 3 * depth * filters * rows * columns / min(columns, LANES)
    product = depth * rows * columns * (2 + -(-filters // LANES))
    wanted = product <= direct and depth * filters * rows * columns >= 4096
    chosen = plan_images(walk([root]), Size("n"))
    assert bool(chosen.products) == wanted
    assert chosen.why and geometry(root).work == depth * filters * rows * columns


def test_channels_are_innermost():
    """No loop of an image around a product has anything but channels or a row of it inside."""
    outputs, values = results(planes)
    phases = Loops(outputs, values).finish()
    body = [s for p in phases for s in statements(p.body)]
    assert sum(isinstance(s, Gemm) for s in body) == 6
    lanes = [s for s in body if isinstance(s, Loop) and s.counter.startswith("lane")]
    assert len(lanes) > 8
    assert not any(isinstance(i, Loop) for s in lanes for i in statements(s.body))


def test_a_direct_form_says_why():
    x, k = sd.tensor("x", "n", 1, 30, 30), sd.tensor("k", 2, 1, 3, 3)
    trainer = codegen.Trainer(sd.sum(sd.conv2d(x, k) ** 2), {k: np.ones((2, 1, 3, 3))})
    trainer.fit({x: np.ones((64, 1, 30, 30))}, steps=1, batch_size=64)
    assert "as direct loops: with 2 filters" in str(trainer.schedule)
