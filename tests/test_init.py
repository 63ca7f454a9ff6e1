"""Initialisers: the formulas, their variances, their shapes; frozen, picklable, repeatable."""

import dataclasses
import math
import pickle

import numpy as np
import pytest

import symdiff as sd
from symdiff import init
from symdiff.init import fans

SHAPE = (200, 300)
SAMPLES = {
    "constant": init.constant(0.25),
    "forget_bias": init.forget_bias(50, init.uniform(-1.0, 0.0)),
    "glorot_normal": init.glorot_normal(),
    "glorot_uniform": init.glorot_uniform(),
    "he_normal": init.he_normal(),
    "he_uniform": init.he_uniform(),
    "lecun_normal": init.lecun_normal(),
    "normal": init.normal(1.0, 0.5),
    "ones": init.ones(),
    "orthogonal": init.orthogonal(),
    "uniform": init.uniform(-1.0, 3.0),
    "zeros": init.zeros(),
}

VARIANCES = {
    "glorot_normal": 2 / 500,
    "glorot_uniform": 2 / 500,
    "he_normal": 2 / 200,
    "he_uniform": 2 / 200,
    "lecun_normal": 1 / 200,
    "normal": 0.25,
    "uniform": 16 / 12,
    "orthogonal": 1 / 300,
}

LIMITS = {  # no element lies beyond, and one of 60 000 comes close
    "glorot_uniform": math.sqrt(6 / 500),
    "he_uniform": math.sqrt(6 / 200),
    "glorot_normal": 2 * math.sqrt(2 / 500) / 0.87962566103423978,
    "he_normal": 2 * math.sqrt(2 / 200) / 0.87962566103423978,
    "lecun_normal": 2 * math.sqrt(1 / 200) / 0.87962566103423978,
}


def draw(initializer, shape=SHAPE, seed=0):
    return initializer.sample(shape, np.random.default_rng(seed))


def test_every_initialiser_is_tested():
    classes = {c.__name__ for c in init.Initializer.__subclasses__()}
    assert classes == set(SAMPLES) == set(init.__all__) - {"Initializer", "fans"}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_same_state_gives_the_same_float64_array(name):
    a, b = draw(SAMPLES[name]), draw(SAMPLES[name])
    assert a.dtype == np.float64 and a.shape == SHAPE
    assert np.array_equal(a, b)
    assert np.array_equal(a, SAMPLES[name](SHAPE, np.random.default_rng(0)))


@pytest.mark.parametrize("name", SAMPLES)
def test_frozen_picklable_hashable(name):
    initializer = SAMPLES[name]
    assert pickle.loads(pickle.dumps(initializer)) == initializer
    assert {initializer: 1}[initializer] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        initializer.something = 1


@pytest.mark.parametrize("name", VARIANCES)
def test_variance(name):
    values = draw(SAMPLES[name])
    assert values.var() == pytest.approx(VARIANCES[name], rel=0.03)
    assert values.mean() == pytest.approx(1.0 if name in ("normal", "uniform") else 0.0, abs=0.02)


@pytest.mark.parametrize("name", LIMITS)
def test_limits(name):
    largest = np.abs(draw(SAMPLES[name])).max()
    assert 0.99 * LIMITS[name] < largest <= LIMITS[name]


def test_constants():
    assert np.array_equal(draw(init.zeros(), (3,)), np.zeros(3))
    assert np.array_equal(draw(init.ones(), (3,)), np.ones(3))
    assert np.array_equal(draw(init.constant(2), (2, 2)), np.full((2, 2), 2.0))


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (4, 2, 3, 3)])
def test_orthogonal_rows_or_columns(shape):
    matrix = draw(init.orthogonal(gain=2.0), shape).reshape(shape[0], -1) / 2
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    assert np.allclose(small, np.eye(len(small)), atol=1e-12)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((3, 4), (3, 4)),
        ((8, 3, 5, 5), (75, 200)),
        ((8, 3, 2), (6, 16)),
    ],
)
def test_fans(shape, expected):
    assert fans(shape) == expected


@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (2, 3, 4)])
@pytest.mark.parametrize("name", sorted(set(SAMPLES) - {"orthogonal"}))
def test_any_shape(name, shape):
    assert draw(SAMPLES[name], shape).shape == shape


def test_errors():
    with pytest.raises(sd.InvalidArgument, match="low 2 is above high 1"):
        init.uniform(2, 1)
    with pytest.raises(sd.InvalidArgument, match="std must be 0 or more"):
        init.normal(0, -1)
    with pytest.raises(sd.InvalidArgument, match="value of constant must be a finite number"):
        init.constant(float("nan"))
    with pytest.raises(sd.InvalidArgument, match="must be a finite number"):
        init.constant("1")
    with pytest.raises(sd.InvalidType, match=r"numpy.random.default_rng"):
        init.zeros().sample((2,), 0)
    with pytest.raises(sd.InvalidArgument, match="known sizes"):
        init.zeros().sample(("n", 2), np.random.default_rng(0))
    with pytest.raises(sd.ShapeError, match="two axes or more"):
        draw(init.orthogonal(), (3,))
