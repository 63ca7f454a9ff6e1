"""Functions that kernels have on a device only, as plain Python, against mpmath."""

import mpmath
import numpy as np
import pytest
import scipy.special

from codegen.gpu import elementary, special_functions
from codegen.gpu.control import with_primitives
from codegen.vector_constants import FAR

RANDOM = np.random.default_rng(0)
mpmath.mp.dps = 60


def worst(function, exact, points):
    """The largest relative error over some points."""
    errors = []
    for x in points:
        right = exact(mpmath.mpf(float(x)))
        errors.append(abs((mpmath.mpf(float(function(x))) - right) / right))
    return float(max(errors))


# --- special functions -------------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        RANDOM.uniform(-20, 30, 400),
        10 ** RANDOM.uniform(-300, 300, 100),
        -(10 ** RANDOM.uniform(-300, 2, 100)),
        RANDOM.uniform(1.45, 1.47, 60),  # about the positive root
        RANDOM.uniform(-0.8, -0.21, 60),  # about the first negative one
    ],
    ids=["usual", "positive", "negative", "root", "negative root"],
)
def test_digamma(points):
    with np.errstate(over="ignore"):
        assert worst(special_functions.digamma, mpmath.digamma, points) < 1e-12


@pytest.mark.parametrize("x", [0.0, -0.0, -1.0, -7.0, np.inf, -np.inf, np.nan])
def test_digamma_at_special_points(x):
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(special_functions.digamma(x), scipy.special.psi(x))


def test_jn():
    """Where the order is above the argument relative to it, elsewhere to the size of a wave."""
    orders = RANDOM.integers(0, 120, 300)
    arguments = 10 ** RANDOM.uniform(-2, 2.5, 300)
    for order, x in [*zip(orders, arguments, strict=True), (30, 30.0), (100, 99.0), (2, 2.5)]:
        exact = mpmath.besselj(order + mpmath.mpf(1) / 2, x, maxprec=20000)
        exact *= mpmath.sqrt(mpmath.pi / 2 / mpmath.mpf(float(x)))
        size = abs(exact) if order >= x else max(abs(exact), 1 / x)
        if abs(exact) > 1e-300:
            error = abs(special_functions.jn(float(order), float(x)) - exact) / size
            assert error < 1e-12, (order, x)


@pytest.mark.parametrize(("order", "x"), [(3, np.inf), (3, -2.5), (2, -2.5), (1.5, 1.0), (-1, 1.0)])
def test_jn_at_special_points(order, x):
    natural = order == int(order) >= 0
    right = scipy.special.spherical_jn(int(order), x) if natural else np.nan
    np.testing.assert_allclose(special_functions.jn(float(order), x), right, rtol=1e-12)


# --- elementary functions ----------------------------------------------------------------

PRIMITIVES = {
    "exp": np.exp,
    "log1p": np.log1p,
    # SciPy's loses digits of small values
    "normal": lambda x: type(x)(mpmath.ncdf(float(x))),
}
EXACT = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "log_sigmoid": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "gelu": lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
}
AT_INFINITY = {
    "sigmoid": (0, 1), "softplus": (0, np.inf), "log_sigmoid": (-np.inf, 0), "gelu": (0, np.inf),
}  # fmt: skip


@pytest.mark.parametrize("real", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_elementary(name, real):
    function = with_primitives(getattr(elementary, name), {**PRIMITIVES, "real": real})
    reach = 80 if name != "gelu" else 10
    points = np.concatenate([RANDOM.uniform(-reach, reach, 200), RANDOM.normal(size=100)])
    assert worst(function, EXACT[name], points.astype(real)) < 6 * np.finfo(real).eps
    assert all(type(function(real(x))) is real for x in (-3, 0, 3, np.inf, -np.inf))
    low, high = AT_INFINITY[name]
    assert function(real(-np.inf)) == low and function(real(np.inf)) == high
    assert np.isnan(function(real(np.nan)))


def _bits(x):
    return int(np.float32(x).view(np.int32))


CIRCULAR = {
    "bits": _bits,
    "near_sine": np.sin,
    "near_cosine": np.cos,
    "near_tangent": np.tan,
    "beyond": lambda x: abs(x) > FAR["float32"],
}
CIRCULAR["quadrant"] = with_primitives(elementary.quadrant, CIRCULAR)
CIRCULAR["far_sine"] = with_primitives(elementary.far_sine, CIRCULAR)

first, last = _bits(FAR["float32"]), _bits(np.finfo(np.float32).max)
LARGE = np.concatenate([
    RANDOM.integers(first, last, 1500, dtype=np.int32).view(np.float32),
    # the second is as near to a multiple of π/2 as large numbers get
    np.array([FAR["float32"] * 1.0001, 16367173 * 2.0**72, np.finfo(np.float32).max], np.float32),
])  # fmt: skip


@pytest.mark.parametrize("name", ["sine", "cosine", "tangent"])
def test_large_arguments(name):
    """They are reduced to full precision: what is left are the errors of NumPy's functions."""
    function = with_primitives(getattr(elementary, name), CIRCULAR)
    exact = {"sine": mpmath.sin, "cosine": mpmath.cos, "tangent": mpmath.tan}[name]
    with np.errstate(over="ignore"):
        for sign in (1, -1):
            assert worst(function, exact, np.float32(sign) * LARGE) < 3 * np.finfo(np.float32).eps
        assert type(function(LARGE[0])) is np.float32
    with np.errstate(invalid="ignore"):
        assert np.isnan(function(np.float32(np.inf))) and np.isnan(function(np.float32(np.nan)))
