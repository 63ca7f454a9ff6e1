"""The vector functions against mpmath, at special points, and inside kernels."""

import functools

import minimax
import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from numba import njit

import codegen
import symdiff as sd
from codegen import vector_math

DTYPES = ["float64", "float32"]
EXACT = {
    "exp": mp.exp,
    "expm1": mp.expm1,
    "log": mp.log,
    "log1p": mp.log1p,
    "tanh": mp.tanh,
    "sin": mp.sin,
    "cos": mp.cos,
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
}
REFERENCE = {
    "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
}
inf, nan = np.inf, np.nan


@functools.cache
def loops():
    """Each function over an array."""

    def loop_of(function):
        @njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp", "afn"})
        def loop(x, result):
            for i in range(x.size):
                result[i] = function(x[i])

        return loop

    return {name: loop_of(getattr(vector_math, name)) for name in EXACT}


def values(name, x):
    result = np.empty_like(x)
    loops()[name](x, result)
    return result


def test_every_function_is_tested():
    assert set(EXACT) | {"FAR", "beyond"} == set(vector_math.__all__)


# --- accuracy ----------------------------------------------------------------------------


def points(name, dtype, count=700):
    """Random points of every size, where the function bends, and near where its parts meet."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    most = {"sin": np.log2(vector_math.FAR[dtype]), "cos": np.log2(vector_math.FAR[dtype])}
    size = rng.uniform(info.minexp - info.nmant, most.get(name, info.maxexp), count)
    moderate = rng.uniform(-70, min(10, info.maxexp), count)
    sign = rng.choice([-1.0, 1.0], (2, count))
    largest = 89 if dtype == "float32" else 710
    halves = np.arange(-40, 41) / 2
    with np.errstate(over="ignore", under="ignore"):
        parts = [
            np.exp2(np.array([size, moderate], np.longdouble)).ravel() * sign.ravel(),
            rng.uniform(-1.2 * largest, largest, count),
            rng.uniform(-3, 3, count),
            1 + rng.normal(size=count) / 100,
            halves * np.log(2),
            np.exp2(halves),
            np.round(rng.uniform(-1e5, 1e5, count)) * np.pi / 2,
        ]
        x = np.concatenate(parts).astype(dtype)
        x = np.concatenate([np.nextafter(x, dtype_of(dtype)(inf)), x])
    x = x[np.isfinite(x)]
    if name in ("sin", "cos"):
        return x[abs(x) <= vector_math.FAR[dtype]]
    return x[x > {"log": 0, "log1p": -1}.get(name, -inf)]


def dtype_of(name):
    return np.dtype(name).type


def error(got, exact, dtype):
    """In units of the last place of the exact result."""
    info = np.finfo(dtype)
    if not np.isfinite(got):
        return 0 if abs(exact) > mp.mpf(float(info.max)) else inf
    place = max(mp.frexp(exact)[1] - 1, info.minexp) - info.nmant
    return float(abs(mp.mpf(float(got)) - exact) / mp.mpf(2) ** place)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_error_is_at_most_two_units_in_the_last_place(name, dtype):
    x = points(name, dtype)
    with mp.workprec(160):
        errors = [
            error(got, EXACT[name](mp.mpf(float(at))), dtype)
            for at, got in zip(x, values(name, x), strict=True)
        ]
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2, f"{name}({x[worst]!r}) is off by {errors[worst]:.2f}"


@pytest.mark.parametrize("name", EXACT)
def test_float32_on_a_million_bit_patterns(name):
    bits = np.random.default_rng(1).integers(0, 2**32, 1 << 20, dtype=np.uint32)
    x = bits.view(np.float32)
    if name in ("sin", "cos"):
        x = x[abs(x) <= vector_math.FAR["float32"]]
    with np.errstate(all="ignore"):
        exact = REFERENCE.get(name, getattr(np, name, None))(x.astype(np.float64))
        got = values(name, x).astype(np.float64)
        rounded = exact.astype(np.float32)
        place = np.maximum(np.frexp(exact)[1] - 1, -126) - 23
        errors = abs(got - exact) / np.exp2(place.astype(float))
    regular = np.isfinite(rounded) & np.isfinite(got)
    assert np.nanmax(errors[regular]) <= 2
    np.testing.assert_array_equal(got[~regular], rounded[~regular].astype(np.float64))


SPECIAL = {
    "exp": {0: 1, inf: inf, -inf: 0, 1e300: inf, -1e300: 0},
    "expm1": {0: 0, inf: inf, -inf: -1, 1e300: inf, -1e300: -1},
    "log": {0: -inf, inf: inf, -inf: nan, -1: nan, -1e-320: nan, 1: 0},
    "log1p": {0: 0, inf: inf, -inf: nan, -1: -inf, -2: nan, -1e300: nan},
    "tanh": {0: 0, inf: 1, -inf: -1, 1e300: 1, -1e300: -1},
    "sin": {0: 0, inf: nan, -inf: nan},
    "cos": {0: 1, inf: nan, -inf: nan},
    "sigmoid": {0: 0.5, inf: 1, -inf: 0, 1e300: 1, -1e300: 0},
    "softplus": {inf: inf, -inf: 0, -1e300: 0},
    "log_sigmoid": {inf: 0, -inf: -inf, 1e300: 0},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore:overflow")
def test_special_values(name, dtype):
    cases = {**SPECIAL[name], nan: nan}
    if dtype == "float32":
        cases.pop(-1e-320, None)
    x = np.array(list(cases), dtype)
    np.testing.assert_array_equal(values(name, x), np.array(list(cases.values()), dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["tanh", "expm1", "log1p", "sin"])
def test_the_smallest_numbers_stay(name, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([tiny, 3 * tiny, -tiny, np.finfo(dtype).tiny], dtype)
    np.testing.assert_array_equal(values(name, x), x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "low"), [("tanh", -1), ("sigmoid", 0), ("expm1", -1)])
def test_saturation_is_monotone_and_never_passes_the_limit(name, low, dtype):
    x = np.linspace(-60, 60, 100_001).astype(dtype)
    y = values(name, x)
    assert y.min() >= low
    assert name == "expm1" or y.max() == 1
    outer = abs(x) > (18 if dtype == "float64" else 8)
    slack = np.finfo(dtype).eps * abs(y[1:])  # two results, each rounded
    assert np.all((np.diff(y) >= -slack) | ~outer[1:])
    assert np.all(np.diff(y[x > 40]) >= 0)


# --- the coefficients --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos"])
def test_coefficients_are_those_of_the_minimax_polynomial(name, dtype):
    stored = getattr(vector_math.CONSTANTS[dtype], name)
    with mp.workprec(minimax.BITS):
        function, weight, start, stop = minimax.problems()[name]
        found, worst = minimax.remez(function, weight, len(stored) - 1, start, stop)
        assert worst < mp.mpf(2) ** {"float64": -55, "float32": -26}[dtype]
    np.testing.assert_allclose(stored, [float(c) for c in found], 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants_are_rounded_from_their_values(dtype):
    c = vector_math.CONSTANTS[dtype]
    with mp.workprec(300):
        assert c.log2_e == dtype_of(dtype)(1 / mp.log(2))
        assert c.two_over_pi == dtype_of(dtype)(2 / mp.pi)
        for parts, value in ((c.ln2, mp.log(2)), (c.half_pi, mp.pi / 2)):
            for part in parts:
                assert part == dtype_of(dtype)(value)
                value -= part


# --- in kernels --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_loops_vectorise(name, dtype):
    x = np.ones(4, dtype)
    values(name, x)
    loop = loops()[name]
    signature = next(s for s in loop.signatures if str(s[0].dtype) == dtype)
    assert "vector.body" in loop.inspect_llvm(signature)


def functions_of(x):
    return [sp.exp(x), sp.log(x), sp.tanh(x), sd.sigmoid(x), sd.softplus(x), sp.sin(x), sp.cos(x)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_fast_kernels_use_them_and_accurate_ones_do_not(dtype):
    x = sp.Symbol("x")
    at = np.linspace(0.1, 5, 33).astype(dtype)
    fast = codegen.compile(functions_of(x), inputs=[x], dtype=dtype)
    accurate = codegen.compile(functions_of(x), inputs=[x], dtype=dtype, math="accurate")
    assert "vector_math" in fast.source and "vector_math" not in accurate.source
    eps = np.finfo(dtype).eps
    for a, b, c in zip(fast(at), accurate(at), accurate.plain(at), strict=True):
        np.testing.assert_allclose(a, b, 4 * eps)
        np.testing.assert_allclose(b, c, 4 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_of_large_arguments(dtype):
    """A chunk that holds an argument beyond the limit is computed again."""
    x = sp.Symbol("x")
    at = np.linspace(-4, 4, 5000).astype(dtype)
    at[[7, 4000]] = 1e30, -3e7 if dtype == "float32" else -1e18
    at[9] = nan
    function = codegen.compile([sp.sin(x), x * sp.cos(x)], inputs=[x], dtype=dtype)
    eps = np.finfo(dtype).eps
    for result in (function(at), function.plain(at)):
        np.testing.assert_allclose(result[0], np.sin(at), 4 * eps)
        np.testing.assert_allclose(result[1], at * np.cos(at), 4 * eps)


def test_training_with_large_arguments():
    """Sums of a chunk that is computed again count once."""
    x, y, w = sp.symbols("x y w")
    at = np.linspace(-4, 4, 20_000)
    at[[5, 15_000]] = 1e30, -1e18
    target = np.sin(at) * 0.5
    losses = {}
    for math in ("fast", "accurate"):
        trainer = codegen.Trainer(
            (w * sp.sin(x) - y) ** 2, {w: 0.0}, sd.optimizers.SGD(0.3), math=math
        )
        losses[math] = trainer.fit({x: at, y: target}, epochs=5).loss
    np.testing.assert_allclose(losses["fast"], losses["accurate"], 1e-12)
