"""Layers beyond Dense against NumPy, in use and in training."""

import pickle

import numpy as np
import pytest

import codegen
import symdiff as sd
from symdiff.layers import (
    LSTM,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    MaxPool2D,
    Sequential,
    SimpleRNN,
)

RNG = np.random.default_rng(8)
IMAGE = sd.tensor("image", "n", 2, 6, 6)
IMAGES = RNG.normal(size=(5, 2, 6, 6))
SEQUENCE = sd.tensor("sequence", "n", 7, 3)
SEQUENCES = RNG.normal(size=(5, 7, 3))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(layer):
    return {s: RNG.normal(size=s.shape) / 2 for s in layer.parameters}


def test_a_convolutional_network_has_the_shapes_of_keras():
    model = Sequential(
        [Conv2D(4, 3, padding="same", activation="relu"), MaxPool2D(2), BatchNorm(),
         Conv2D(8, (2, 3)), AvgPool2D((2, 1)), Flatten(), Dropout(0.5), Dense(10)]
    )  # fmt: skip
    assert model(IMAGE).shape == ("n", 10)
    assert {str(s): s.shape for s in model.parameters} == {
        "K1": (4, 2, 3, 3), "b1": (4,), "gamma2": (4,), "beta2": (4,), "mean2": (4,),
        "variance2": (4,), "K3": (8, 4, 2, 3), "b3": (8,), "W4": (8, 10), "b4": (10,),
    }  # fmt: skip


def test_conv2d_is_conv2d():
    layer = Conv2D(3, (2, 3), stride=2, padding=(1, 0), activation="tanh")
    y = layer(IMAGE)
    K, b = layer.parameters
    values = {IMAGE: IMAGES, **drawn(layer)}
    plain = np.tanh(sd.evaluate(sd.conv2d(IMAGE, K, 2, (1, 0)), values) + values[b][:, None, None])
    np.testing.assert_allclose(sd.evaluate(y, values), plain, rtol=1e-13)
    assert names(Conv2D(2, 1, use_bias=False)) == ["K"]


def names(layer):
    layer(IMAGE)
    return [str(s) for s in layer.parameters]


def test_pools_and_flatten():
    values = {IMAGE: IMAGES}
    blocks = IMAGES.reshape(5, 2, 3, 2, 3, 2)
    np.testing.assert_array_equal(sd.evaluate(MaxPool2D()(IMAGE), values), blocks.max((3, 5)))
    np.testing.assert_allclose(sd.evaluate(AvgPool2D(2)(IMAGE), values), blocks.mean((3, 5)))
    np.testing.assert_array_equal(sd.evaluate(Flatten()(IMAGE), values), IMAGES.reshape(5, -1))
    assert MaxPool2D().parameters == Flatten().parameters == {}


def test_embedding_looks_up_rows():
    words = sd.tensor("words", "n", 4, dtype="int")
    layer = Embedding(9, 3)
    y = layer(words)
    (E,) = layer.parameters
    table, labels = RNG.normal(size=(9, 3)), RNG.integers(0, 9, (5, 4))
    np.testing.assert_array_equal(sd.evaluate(y, {words: labels, E: table}), table[labels])
    gradient = sd.evaluate(sd.gradient(sd.sum(y), E), {words: labels, E: table})
    np.testing.assert_array_equal(gradient[:, 0], np.bincount(labels.ravel(), minlength=9))
    with pytest.raises(sd.InvalidType, match=r'sequence of dtype real.*dtype="int"'):
        layer(SEQUENCE)


@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(affine):
    layer = LayerNorm(center=affine, scale=affine)
    y = layer(SEQUENCE)
    values = {SEQUENCE: SEQUENCES, **drawn(layer)}
    centred = SEQUENCES - SEQUENCES.mean(-1, keepdims=True)
    normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3)
    if affine:
        gamma, beta = (values[s] for s in layer.parameters)
        normal = normal * gamma + beta
    np.testing.assert_allclose(sd.evaluate(y, values), normal, rtol=1e-12)


@pytest.mark.parametrize("axis", [1, -1])
def test_batch_norm_in_training_and_in_use(axis):
    layer, target = BatchNorm(axis=axis, momentum=0.8), sd.tensor("target", "n")
    y = sd.sum(layer(IMAGE), axis=(1, 2, 3))
    loss = sd.losses.mse(y, target)
    gamma, beta, mean, variance = layer.parameters
    data = {IMAGE: IMAGES * 3 + 1, target: RNG.normal(size=5)}
    trainer = codegen.Trainer(loss, layer.parameters, optimizer=sd.optimizers.SGD(1e-4))
    history = trainer.fit(data, steps=3, record="step")
    axes = tuple(a for a in range(4) if a != axis % 4)
    shape = [1, 1, 1, 1]
    shape[axis] = IMAGES.shape[axis]
    x = data[IMAGE]
    centre, spread = x.mean(axes), x.var(axes)
    normal = (x - centre.reshape(shape)) / np.sqrt(spread.reshape(shape) + 1e-3)
    g, b = np.ones_like(centre), np.zeros_like(centre)
    for step in range(3):
        error = (normal * g.reshape(shape) + b.reshape(shape)).sum((1, 2, 3)) - data[target]
        assert history.loss[step] == pytest.approx(np.mean(error**2), rel=1e-10)
        wide = np.broadcast_to((2 / 5 * error)[:, None, None, None], x.shape)
        g = g - 1e-4 * (wide * normal).sum(axes)
        b = b - 1e-4 * wide.sum(axes)
    found = trainer.parameters
    np.testing.assert_allclose(found[gamma], g, rtol=1e-10)
    np.testing.assert_allclose(found[beta], b, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(found[mean], centre * (1 - 0.8**3), rtol=1e-12)
    np.testing.assert_allclose(found[variance], 0.8**3 + spread * (1 - 0.8**3), rtol=1e-12)
    used = (x - found[mean].reshape(shape)) / np.sqrt(found[variance].reshape(shape) + 1e-3)
    used = (used * g.reshape(shape) + b.reshape(shape)).sum((1, 2, 3))
    np.testing.assert_allclose(trainer.predict(y, {IMAGE: x}), used, rtol=1e-10)
    assert trainer.evaluate(data)["loss"] == pytest.approx(np.mean((used - data[target]) ** 2))


def test_weight_decay_and_momentum_leave_moving_averages_alone():
    layer = BatchNorm()
    loss = sd.mean(layer(IMAGE) ** 4)
    optimizer = sd.optimizers.SGD(0.1, momentum=0.9, weight_decay=0.5)
    trainer = codegen.Trainer(loss, layer.parameters, optimizer=optimizer, dtype="float32")
    trainer.fit({IMAGE: IMAGES}, steps=2)
    mean = list(layer.parameters)[2]
    expected = IMAGES.mean((0, 2, 3)) * (1 - 0.99**2)
    np.testing.assert_allclose(trainer.parameters[mean], expected, rtol=1e-4)


def test_a_moving_average_that_is_no_parameter_or_stands_alone_is_refused():
    layer = BatchNorm()
    loss = sd.mean(layer(IMAGE) ** 2)
    gamma, beta, mean, _ = layer.parameters
    with pytest.raises(sd.BindingError, match="moving averages mean, variance"):
        codegen.Trainer(loss, {gamma: 1.0, beta: 0.0})
    with pytest.raises(sd.InvalidArgument, match="mean is a moving average"):
        codegen.Trainer(loss + sd.sum(mean**2), layer.parameters)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("every", [False, True])
def test_simple_rnn(every, backwards):
    layer = SimpleRNN(4, return_sequences=every, go_backwards=backwards)
    y = layer(SEQUENCE)
    values = {SEQUENCE: SEQUENCES, **drawn(layer)}
    W, U, b = (values[s] for s in layer.parameters)
    h, states = np.zeros((5, 4)), np.zeros((5, 7, 4))
    for t in reversed(range(7)) if backwards else range(7):
        h = np.tanh(SEQUENCES[:, t] @ W + h @ U + b)
        states[:, t] = h
    np.testing.assert_allclose(sd.evaluate(y, values), states if every else h, rtol=1e-12)
    sd.check_gradient(sd.sum(y**2), list(layer.parameters), values)


@pytest.mark.parametrize("every", [False, True])
def test_lstm(every):
    layer = LSTM(4, return_sequences=every)
    y = layer(SEQUENCE)
    values = {SEQUENCE: SEQUENCES, **drawn(layer)}
    W, U, b = (values[s] for s in layer.parameters)
    h, c, states = np.zeros((5, 4)), np.zeros((5, 4)), []
    for t in range(7):
        i, f, g, o = np.split(SEQUENCES[:, t] @ W + h @ U + b, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    expected = np.stack(states, axis=1) if every else h
    np.testing.assert_allclose(sd.evaluate(y, values), expected, rtol=1e-12)
    sd.check_gradient(sd.sum(y**2), list(layer.parameters), values)


def test_the_forget_gate_begins_open():
    layer = LSTM(3)
    layer(SEQUENCE)
    bias = list(layer.parameters.values())[2].sample((12,), np.random.default_rng(0))
    np.testing.assert_array_equal(bias, [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    plain = LSTM(3, unit_forget_bias=False)
    plain(SEQUENCE)
    assert list(plain.parameters.values())[2] == sd.init.zeros()


def test_dropout_masks():
    x = sd.tensor("x", "n", 50)
    y, z = sd.dropout(x, 0.3), sd.dropout(x, 0.3)
    values = {x: np.ones((400, 50)), sd.training: True, sd.step: 4, sd.seed: 1}
    first, second = sd.evaluate([y, z], values)
    assert set(np.unique(first)) == {0.0, 1 / 0.7}
    assert np.mean(first == 0) == pytest.approx(0.3, abs=0.01)
    assert np.mean((first == 0) & (second == 0)) == pytest.approx(0.09, abs=0.01)
    np.testing.assert_array_equal(first, sd.evaluate(y, values))
    for changed in ({sd.step: 5}, {sd.seed: 2}):
        other = sd.evaluate(y, {**values, **changed})
        assert np.mean((first == 0) & (other == 0)) == pytest.approx(0.09, abs=0.01)
    columns = (first == 0).mean(0)
    assert np.abs(columns - 0.3).max() < 0.12  # 5 standard deviations
    np.testing.assert_array_equal(sd.evaluate(y, {x: values[x]}), values[x])
    gradient = sd.evaluate(sd.gradient(sd.sum(y * x), x), values)
    np.testing.assert_allclose(gradient, 2 * first)
    names = list(values)
    compiled = codegen.compile([y, z], inputs=names)
    for got in (compiled(*values.values()), compiled.plain(*(values[n] for n in names))):
        np.testing.assert_array_equal(got[0], first)
    assert sd.dropout(x, 0) == x


def test_dropout_in_training():
    x, w, t = sd.tensor("x", "n", 20), sd.tensor("w", 20), sd.tensor("t", "n")
    data = {x: RNG.normal(size=(64, 20)), t: RNG.normal(size=64)}

    def trained(threads, built_before=0):
        for _ in range(built_before):
            sd.dropout(x, 0.5)
        prediction = sd.dropout(x, 0.5) @ w
        loss = sd.losses.mse(prediction, t)
        trainer = codegen.Trainer(loss, {w: 1.0}, sd.optimizers.SGD(0.01), seed=3, threads=threads)
        history = trainer.fit(data, epochs=4, batch_size=16)
        return trainer, history, prediction

    trainer, history, prediction = trained(1)
    weights = trainer.parameters[w]
    for threads, before in ((2, 0), (1, 5)):
        again, other, _ = trained(threads, before)
        assert other.loss == history.loss
        np.testing.assert_array_equal(again.parameters[w], weights)
    np.testing.assert_allclose(trainer.predict(prediction, {x: data[x]}), data[x] @ weights)
    quiet = trainer.evaluate(data)["loss"]
    assert quiet == pytest.approx(np.mean((data[x] @ weights - data[t]) ** 2))
    copy = pickle.loads(pickle.dumps(trainer))
    assert copy.fit(data, epochs=1, batch_size=16).loss == (
        trainer.fit(data, epochs=1, batch_size=16).loss
    )


def test_a_loss_may_depend_on_the_step():
    x, w = sd.tensor("x", "n"), sd.tensor("w")
    loss = sd.mean((x - w) ** 2) * (1 + sd.step)
    trainer = codegen.Trainer(loss, {w: 0.0}, optimizer=sd.optimizers.SGD(0.1))
    history = trainer.fit({x: [1.0, 3.0]}, steps=3, record="step")
    value, expected = 0.0, []
    for step in range(3):
        expected.append((np.mean((np.array([1.0, 3.0]) - value) ** 2)) * (1 + step))
        value += 0.1 * 2 * (2.0 - value) * (1 + step)
    np.testing.assert_allclose(history.loss, expected)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Conv2D(3, 3)(SEQUENCE), sd.ShapeError, r"images \(n, c, h, w\)"),
        (lambda: Conv2D(0, 3), sd.InvalidArgument, "filters"),
        (lambda: Conv2D(3, 0), sd.InvalidArgument, "kernel_size"),
        (lambda: LSTM(3)(IMAGE), sd.ShapeError, r"sequences \(n, time, features\)"),
        (lambda: SimpleRNN(-1), sd.InvalidArgument, "units of SimpleRNN"),
        (lambda: Dropout(1.0), sd.InvalidArgument, r"\[0, 1\)"),
        (lambda: Dropout("half"), sd.InvalidType, "a number"),
        (lambda: BatchNorm(axis=4)(IMAGE), sd.ShapeError, "no axis 4"),
        (lambda: BatchNorm(momentum=2)(IMAGE), sd.InvalidArgument, "momentum"),
        (lambda: Embedding(0, 3), sd.InvalidArgument, "input_dim"),
        (lambda: LSTM(3).parameters, sd.InvalidArgument, "call it with an expression first"),
    ],
    ids=range(11),
)
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()
