"""The vector functions against mpmath, at special points, and inside kernels."""

import functools

import loops_for_targets
import minimax
import mpmath as mp
import numpy as np
import pytest
import scipy.special
import sympy as sp
from numba import njit

import codegen
import symdiff as sd
from codegen import vector_constants, vector_math

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
    "tan": mp.tan,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "erf": mp.erf,
    "erfc": lambda x: mp.erfc(x) if abs(x) < 1000 else mp.mpf(0 if x > 0 else 2),
    "gelu": lambda x: x * mp.ncdf(x) if abs(x) < 1000 else max(x, mp.mpf(0)),
}
"""Functions of one operand; the last two are at their limits where mpmath cannot do them."""

BOUND = {"gelu": 2.25}
"""Largest error in units in the last place, where it is not 2."""

CIRCULAR = ("sin", "cos", "tan")
REFERENCE = {
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "gelu": lambda x: x * scipy.special.ndtr(x),
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


@njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp", "afn"})
def power_loop(x, y, result):
    for i in range(x.size):
        result[i] = vector_math.power(x[i], y[i])


def powers(x, y):
    result = np.empty_like(x)
    power_loop(x, y, result)
    return result


def values(name, x):
    result = np.empty_like(x)
    loops()[name](x, result)
    return result


def test_every_function_is_tested():
    assert set(EXACT) | {"power", "FAR", "beyond"} == set(vector_math.__all__)


# --- accuracy ----------------------------------------------------------------------------


def points(name, dtype, count=500):
    """Random points of every size, where the function bends, and near where its parts meet."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    most = dict.fromkeys(CIRCULAR, np.log2(vector_math.FAR[dtype]))
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
    if name in CIRCULAR:
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
def test_error_in_units_in_the_last_place(name, dtype):
    x = points(name, dtype)
    with mp.workprec(160):
        errors = [
            error(got, EXACT[name](mp.mpf(float(at))), dtype)
            for at, got in zip(x, values(name, x), strict=True)
        ]
    worst = int(np.argmax(errors))
    assert errors[worst] <= BOUND.get(name, 2), (
        f"{name}({x[worst]!r}) is off by {errors[worst]:.2f}"
    )


@pytest.mark.parametrize("name", EXACT)
def test_float32_on_a_million_bit_patterns(name):
    bits = np.random.default_rng(1).integers(0, 2**32, 1 << 20, dtype=np.uint32)
    x = bits.view(np.float32)
    if name in CIRCULAR:
        x = x[abs(x) <= vector_math.FAR["float32"]]
    with np.errstate(all="ignore"):
        exact = REFERENCE.get(name, getattr(np, name, None))(x.astype(np.float64))
        got = values(name, x).astype(np.float64)
        rounded = exact.astype(np.float32)
        place = np.maximum(np.frexp(exact)[1] - 1, -126) - 23
        errors = abs(got - exact) / np.exp2(place.astype(float))
    regular = np.isfinite(rounded) & np.isfinite(got)
    assert np.nanmax(errors[regular]) <= BOUND.get(name, 2)
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
    "tan": {0: 0, inf: nan, -inf: nan},
    "sinh": {0: 0, inf: inf, -inf: -inf, 1e300: inf, -1e300: -inf},
    "cosh": {0: 1, inf: inf, -inf: inf, 1e300: inf, -1e300: inf},
    "erf": {0: 0, inf: 1, -inf: -1, 1e300: 1, -1e300: -1},
    "erfc": {0: 1, inf: 0, -inf: 2, 1e300: 0, -1e300: 2},
    "gelu": {0: 0, inf: inf, -inf: 0, 1e300: 1e300, -1e300: 0},
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
@pytest.mark.parametrize("name", ["tanh", "expm1", "log1p", "sin", "tan", "sinh"])
def test_the_smallest_numbers_stay(name, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([tiny, 3 * tiny, -tiny, np.finfo(dtype).tiny], dtype)
    np.testing.assert_array_equal(values(name, x), x)


def power_operands(dtype, count=800):
    """Moderate operands, results of every size, bases of every size, and bases near 1."""
    rng = np.random.default_rng(2)
    info = np.finfo(dtype)
    least, most = info.minexp - info.nmant - 3, info.maxexp + 3
    moderate = rng.uniform(0.3, 3, count)
    size = rng.uniform(info.minexp - info.nmant, info.maxexp, count)
    near = [1 + scale * rng.normal(size=count) for scale in (0.2, 1e-3)]
    result = rng.uniform(least, most, (4, count))
    with np.errstate(all="ignore"):
        bases = [moderate, np.exp2(size.astype(np.longdouble)), *map(abs, near)]
        logarithms = [np.log2(b) for b in bases]
        x = np.concatenate([*bases, moderate]).astype(dtype)
        y = [r / at for r, at in zip(result, logarithms, strict=True)]
        y = np.concatenate([*y, rng.uniform(-40, 40, count)]).astype(dtype)
    kept = np.isfinite(x) & np.isfinite(y) & (x > 0)
    return x[kept], y[kept]


@pytest.mark.parametrize("dtype", DTYPES)
def test_error_of_powers(dtype):
    x, y = power_operands(dtype)
    with mp.workprec(160):
        exact = [mp.power(float(a), mp.mpf(float(b))) for a, b in zip(x, y, strict=True)]
        errors = [error(g, e, dtype) for g, e in zip(powers(x, y), exact, strict=True)]
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2, f"power({x[worst]!r}, {y[worst]!r}) is off by {errors[worst]:.2f}"


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_powers(dtype):
    """As C's ``pow``, which NumPy calls, the sign of 0 included."""
    info = np.finfo(dtype)
    some = [0, 0.5, 1, 1.5, 2, 3, 4, 33, info.tiny, info.smallest_subnormal, info.max, inf, nan]
    some += [1 / info.eps + 1, 2 / info.eps, 1 - info.eps, 1 + info.eps]
    some = np.array([*some, *(-v for v in some)], dtype)
    x, y = (a.ravel() for a in np.meshgrid(some, some))
    with np.errstate(all="ignore"):
        exact = np.power(x, y)
    got = powers(x, y)
    np.testing.assert_allclose(got, exact, 4 * info.eps, info.smallest_subnormal)
    whole = ~np.isnan(exact)
    np.testing.assert_array_equal(np.signbit(got[whole]), np.signbit(exact[whole]))


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
@pytest.mark.parametrize("name", sorted(minimax.problems("float64")))
def test_coefficients_are_those_of_the_minimax_polynomial(name, dtype):
    stored = getattr(vector_constants.CONSTANTS[dtype], name)
    with mp.workprec(minimax.BITS):
        function, weight, start, stop = minimax.problems(dtype)[name]
        found, worst = minimax.remez(function, weight, len(stored) - 1, start, stop)
        assert worst < mp.mpf(2) ** {"float64": -55, "float32": -26}[dtype]
        if name == "erfc":  # the first coefficients are kept in two parts
            low = vector_constants.CONSTANTS[dtype].erfc_low
            rest = [c - mp.mpf(s) for c, s in zip(found, stored[: len(low)], strict=False)]
            np.testing.assert_allclose(low, [float(r) for r in rest], 1e-4)
    np.testing.assert_allclose(stored, [float(c) for c in found], 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants_are_rounded_from_their_values(dtype):
    c = vector_constants.CONSTANTS[dtype]
    with mp.workprec(300):
        assert c.log2_e == dtype_of(dtype)(1 / mp.log(2))
        assert c.two_over_pi == dtype_of(dtype)(2 / mp.pi)
        sums = ((c.ln2, mp.log(2)), (c.half_pi, mp.pi / 2), (c.two_thirds, mp.mpf(2) / 3),
                (c.half_root, mp.sqrt(0.5)))  # fmt: skip
        for parts, value in sums:
            for part in parts:
                assert part == dtype_of(dtype)(value)
                value -= part


# --- in kernels --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("target", sorted(loops_for_targets.TARGETS))
def test_loops_vectorise(target, dtype):
    """For each instruction set: vectors of its full width, and no call of a scalar function."""
    definitions = {n: getattr(vector_math, n).definition for n in [*EXACT, "power"]}
    for name, definition in definitions.items():
        code, assembly = loops_for_targets.compile_loop(definition, dtype, target)
        assert "vector.body" in code, name
        full_width = loops_for_targets.TARGETS[target].registers[dtype]
        assert assembly.count(full_width) > 50, name
        assert not loops_for_targets.calls(assembly), name


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_and_cosine_share_the_reduction(dtype):
    """LLVM sees that both of one argument compute the same: no multiplication is added."""
    sine, cosine = vector_math.sin.definition, vector_math.cos.definition

    def both(x):
        return sine(x) + cosine(x)

    counts = [
        loops_for_targets.compile_loop(f, dtype, "AVX-512")[0].count("@llvm.fma.v")
        for f in (sine, cosine, both)
    ]
    assert counts[0] == counts[1] == counts[2] > 10


def functions_of(x):
    return [
        *(f(x) for f in (sp.exp, sp.log, sp.tanh, sp.sinh, sp.cosh, sp.sin, sp.cos, sp.tan)),
        *(f(x) for f in (sp.erf, sp.erfc, sd.sigmoid, sd.softplus, sd.gelu)),
        x**x, x ** sp.Rational(1, 3), x**2.5, x ** sp.Rational(-3, 2), x**2.0,
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_fast_kernels_use_them_and_accurate_ones_do_not(dtype):
    x = sp.Symbol("x")
    at = np.linspace(0.1, 5, 33).astype(dtype)
    fast = codegen.compile(functions_of(x), inputs=[x], dtype=dtype)
    accurate = codegen.compile(functions_of(x), inputs=[x], dtype=dtype, math="accurate")
    assert "vector_math" in fast.source and "vector_math" not in accurate.source
    eps = np.finfo(dtype).eps
    for a, b, c in zip(fast(at), accurate(at), accurate.plain(at), strict=True):
        np.testing.assert_allclose(a, b, 6 * eps)
        np.testing.assert_allclose(b, c, 6 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sine_of_large_arguments(dtype):
    """A chunk that holds an argument beyond the limit is computed again."""
    x = sp.Symbol("x")
    at = np.linspace(-4, 4, 5000).astype(dtype)
    at[[7, 4000]] = 1e30, -3e7 if dtype == "float32" else -1e18
    at[9] = nan
    outputs = [sp.sin(x), x * sp.cos(x), sp.tan(x)]
    function = codegen.compile(outputs, inputs=[x], dtype=dtype)
    eps = np.finfo(dtype).eps
    for result in (function(at), function.plain(at)):
        np.testing.assert_allclose(result[0], np.sin(at), 4 * eps)
        np.testing.assert_allclose(result[1], at * np.cos(at), 4 * eps)
        np.testing.assert_allclose(result[2], np.tan(at), 6 * eps)


def test_literal_powers_at_special_points():
    x = sp.Symbol("x")
    exponents = [0.5, 1.5, 2.5, 4.5, 2.0, 7, -2, -1.5, 3.7, 0.3]
    function = codegen.compile([x**e for e in exponents], inputs=[x])
    tiny = np.finfo(float).smallest_subnormal
    at = np.array([0.0, inf, -inf, nan, -1, 1, 4, -3.5, tiny, 1e300, 1e-300, 2.0**-700])
    for result in (function(at), function.plain(at)):
        for exponent, got in zip(exponents, result, strict=True):
            with np.errstate(all="ignore"):
                exact = np.power(at, np.full(at.shape, exponent))
            np.testing.assert_allclose(got, exact, 2e-15, err_msg=str(exponent))


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
