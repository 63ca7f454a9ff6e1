"""Layers: their names, parameters, sharing, activations and errors."""

import pickle

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.layers import ACTIVATIONS, Dense, Sequential

X = sd.tensor("X", "n", 3)
DATA = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])


def names(layer):
    return [str(symbol) for symbol in layer.parameters]


def test_dense_is_an_affine_map():
    layer = Dense(2)
    y = layer(X)
    W, b = layer.parameters
    assert isinstance(y, sp.Expr) and y.shape == ("n", 2)
    assert (W.shape, b.shape) == ((3, 2), (2,))
    w, c = np.arange(6.0).reshape(3, 2), np.array([10.0, 20.0])
    assert np.allclose(sd.evaluate(y, {X: DATA, W: w, b: c}), DATA @ w + c)


def test_names():
    lone, named = Dense(2), Dense(2, name="hidden")
    lone(X), named(X)
    assert names(lone) == ["W", "b"]
    assert names(named) == ["hidden_W", "hidden_b"]
    for _ in range(2):  # no counter that remembers
        model = Sequential([Dense(4), sd.relu, Dense(3, name="middle"), Dense(1)])
        model(X)
        assert names(model) == ["W1", "b1", "middle_W", "middle_b", "W3", "b3"]
    encoder = Sequential([Dense(4), Dense(3)], name="encoder")
    encoder(X)
    assert names(encoder) == ["encoder_W1", "encoder_b1", "encoder_W2", "encoder_b2"]


def test_without_bias():
    model = Sequential([Dense(2, use_bias=False), Dense(1)])
    model(X)
    assert names(model) == ["W1", "W2", "b2"]


def test_nested_sequentials_are_numbered_as_one():
    model = Sequential([Sequential([Dense(4), Dense(4)]), Dense(1)])
    model(X)
    assert names(model) == ["W1", "b1", "W2", "b2", "W3", "b3"]


def test_a_keras_model_in_three_lines():
    y = sd.tensor("y", "n", 1)
    model = Sequential([Dense(2), Dense(32, "tanh"), Dense(1)])
    loss = sd.losses.mse(model(X), y)
    gradients = sd.gradient(loss, list(model.parameters))
    assert [g.shape for g in gradients] == [p.shape for p in model.parameters]
    kinds = [type(i) for i in model.parameters.values()]
    assert kinds == [sd.init.glorot_uniform, sd.init.zeros] * 3


def test_later_calls_share_the_parameters():
    layer = Dense(3)
    first, second = layer(X), layer(sd.tensor("Z", "m", 3))
    assert first.free_symbols & second.free_symbols >= set(layer.parameters)
    twice = layer(layer(X))
    assert twice.shape == ("n", 3)
    with pytest.raises(
        sd.ShapeError, match=r"parameter W with shape \(3, 3\).*Q with shape \(n, 4\)"
    ):
        layer(sd.tensor("Q", "n", 4))


def test_the_parameters_of_two_layers_are_not_the_same():
    first, second = Dense(3), Dense(3)
    loss = sd.sum(first(X) * second(X))
    (W, b), (V, c) = first.parameters, second.parameters
    assert str(W) == str(V) == "W" and W != V and sd.tensor("W", 3, 3) != W
    values = {X: DATA, W: np.eye(3), b: np.zeros(3), V: 2 * np.eye(3), c: np.ones(3)}
    assert sd.evaluate(loss, values) == pytest.approx(np.sum(DATA * (2 * DATA + 1)))
    sd.check_gradient(loss, [W, V, b, c], values)
    assert Sequential([first, first])(X).free_symbols >= {W, b}


def test_a_name_that_the_input_holds_is_not_used_again():
    outer = Dense(3)
    outer(Dense(3)(X))
    assert names(outer) == ["W2", "b2"]
    encoder, decoder = Sequential([Dense(8), Dense(4)]), Sequential([Dense(8), Dense(2)])
    decoder(encoder(X))
    assert names(decoder) == ["W3", "b3", "W4", "b4"]
    named = Dense(3, name="a")
    named(Dense(3, name="a")(X))
    assert names(named) == ["a_W2", "a_b2"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_name_and_as_functions(name):
    by_name, by_function = Dense(2, name), Dense(2, ACTIVATIONS[name])
    y = by_name(X)
    W, b = by_name.parameters
    other = by_function(X)
    assert other.xreplace(dict(zip(by_function.parameters, (W, b), strict=True))) == y
    values = {X: DATA, W: np.ones((3, 2)), b: np.array([0.5, -0.5])}
    z = DATA @ values[W] + values[b]
    e = np.exp(z)
    p = e / e.sum(axis=-1, keepdims=True)
    s = 1 / (1 + np.exp(-z))
    from scipy.special import ndtr

    expected = {
        "linear": z,
        "relu": np.maximum(z, 0),
        "leaky_relu": np.where(z > 0, z, 0.01 * z),
        "elu": np.where(z > 0, z, np.expm1(z)),
        "gelu": z * ndtr(z),
        "silu": z * s,
        "sigmoid": s,
        "log_sigmoid": np.log(s),
        "softplus": np.log(1 + e),
        "tanh": np.tanh(z),
        "exponential": e,
        "softmax": p,
        "log_softmax": np.log(p),
    }
    assert np.allclose(sd.evaluate(y, values), expected[name], rtol=1e-12)


def test_initialisers_by_name_number_and_array():
    layer = Dense(2, kernel_initializer="he_normal", bias_initializer=0.5)
    layer(X)
    assert list(layer.parameters.values()) == [sd.init.he_normal(), 0.5]
    array = np.ones((3, 2))
    layer = Dense(2, kernel_initializer=array)
    layer(X)
    assert next(iter(layer.parameters.values())) is array


def test_models_can_be_pickled():
    model = Sequential([Dense(4, "relu"), Dense(1)])
    y = model(X)
    copy = pickle.loads(pickle.dumps(model))
    assert copy.parameters == model.parameters
    assert copy(X) == y


def test_any_number_of_batch_axes():
    layer = Dense(2)
    assert layer(sd.tensor("x", 3)).shape == (2,)
    assert layer(sd.tensor("S", "n", "time", 3)).shape == ("n", "time", 2)
    assert layer(np.ones((5, 3))).shape == (5, 2)


@pytest.mark.parametrize("units", [0, -1, 2.0, True, "2", None])
def test_units(units):
    with pytest.raises(sd.InvalidArgument, match="units"):
        Dense(units)


def test_errors():
    with pytest.raises(sd.InvalidArgument, match="no activation named 'rely'"):
        Dense(1, "rely")
    with pytest.raises(sd.InvalidType, match="activation"):
        Dense(1, 3)
    with pytest.raises(sd.InvalidArgument, match="no initialiser named 'he'"):
        Dense(1, kernel_initializer="he")
    with pytest.raises(sd.InvalidType, match=r"write he_normal\(\)"):
        Dense(1, kernel_initializer=sd.init.he_normal)
    with pytest.raises(sd.ShapeError, match="scalar a"):
        Dense(1)(sp.Symbol("a"))
    with pytest.raises(sd.InvalidArgument, match="call it with an expression first"):
        _ = Dense(1).parameters
    with pytest.raises(sd.InvalidType, match="list of layers"):
        Sequential(Dense(1))
    with pytest.raises(sd.InvalidType, match="got str"):
        Sequential([Dense(1), "relu"])
    with pytest.raises(sd.InvalidArgument, match="at least one layer"):
        Sequential([])
    with pytest.raises(sd.InvalidType, match="text is read by"):
        Dense(1)("X")
