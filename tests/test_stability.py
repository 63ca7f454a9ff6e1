"""Naive spellings: the derivation names the rule, values and derivatives hold at extreme points.

The oracle is mpmath: the naive formula itself, written a second time, with so many digits that
nothing cancels and nothing overflows; its derivatives are numerical ones with as many digits.
"""

import functools

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.rewrite import stabilise

x = sp.Symbol("x")
E, L = sp.exp, sp.log

EVERYWHERE = [0.0, -0.0, 1e-300, -1e-300, 1e-9, -1e-9, 0.7, -0.7, 5.0, -5.0, 40.0, -40.0, 800.0,
              -800.0, 1e300, -1e300]  # fmt: skip
MODERATE = [p for p in EVERYWHERE if abs(p) < 100]
NONZERO = [p for p in MODERATE if p]
RIGHT = [1e-300, 1e-9, 0.5, 3.0, 40.0, 800.0, 1e300]
LEFT = [-p for p in RIGHT]
SMALL = [1e-300, 1e-20, 1e-8, 0.5]
UNIT = [1e-300, 1e-10, -1e-10, 0.5, 1 - 1e-12, -1 + 1e-10]

Phi = (1 + sp.erf(x / sp.sqrt(2))) / 2
half = sp.Float(0.5)


def log_erfc(t):
    """By the continued fraction far out, where erfc itself would take for ever."""
    return (
        mp.log(mp.erfc(t))
        if t < 60
        else -(t**2)
        - mp.log(t * mp.sqrt(mp.pi))
        + mp.log(sum((-1) ** k * mp.fac2(2 * k - 1) / (2 * t**2) ** k for k in range(1, 40)) + 1)
    )


def log_phi(t):
    return log_erfc(-t / mp.sqrt(2)) - mp.log(2)


def sigmoid(t):
    return 1 / (1 + mp.exp(-t))


def log1pexp(t):
    return mp.log(1 + mp.exp(t))


SIGMOID, SOFTPLUS = "sigmoid from exponentials", "log(1 + exp(x)) = softplus(x)"
LOG_SIGMOID = "log(sigmoid(x)) = log_sigmoid(x)"
LOGADDEXP = "log(exp(x) + exp(y)) = logaddexp(x, y)"
TANH, EXPM1, LOG1P = "tanh from exponentials", "exp(x) - 1 = expm1(x)", "log(1 + x) = log1p(x)"
HYPOT, LOG_COSH = "sqrt(x^2 + y^2) = hypot(x, y)", "log(cosh(x)) = log_cosh(x)"
LOG1MEXP, LOG_ERFC = "log(1 - exp(x)) = log1mexp(x)", "log(erfc(x)) = log_erfc(x)"
LOG_NORMAL = "log(erfc(-x/sqrt(2))/2) = log_normal_cdf(x)"
SINC = "sin(x)/x is 1 at 0"
XLOGY, EXP_ASINH = "x log(y) is 0 where x is", "x + sqrt(x^2 + 1) = exp(asinh(x))"

# the spelling, the rule that its derivation names, the same function in mpmath, points
SPELLINGS = {
    "sigmoid": (1 / (1 + E(-x)), SIGMOID, sigmoid, EVERYWHERE),
    "sigmoid in floats": (1.0 / (1.0 + E(-1.0 * x)), SIGMOID, sigmoid, EVERYWHERE),
    "sigmoid, other way up": (E(x) / (E(x) + 1), SIGMOID, sigmoid, EVERYWHERE),
    "sigmoid, scaled": (3 / (2 + 2 * E(-2 * x)), SIGMOID, lambda t: 1.5 * sigmoid(2 * t),
        EVERYWHERE),
    "sigmoid with an offset": (1 / (1 + 2 * E(-x)), SIGMOID, lambda t: 1 / (1 + 2 * mp.exp(-t)),
        EVERYWHERE),
    "sigmoid by tanh": ((1 + sp.tanh(x / 2)) / 2, SIGMOID, sigmoid, EVERYWHERE),
    "logistic density": (E(-x) / (1 + E(-x)) ** 2, SIGMOID, lambda t: sigmoid(t) * sigmoid(-t),
        EVERYWHERE),
    "softmax of two": (E(x) / (E(x) + E(3 * x)), SIGMOID, lambda t: sigmoid(-2 * t), EVERYWHERE),
    "softmax of three": (E(x) / (E(x) + E(-x) + 1), LOGADDEXP,
                         lambda t: mp.exp(t) / (mp.exp(t) + mp.exp(-t) + 1), EVERYWHERE),
    "log-sigmoid": (L(1 / (1 + E(-x))), LOG_SIGMOID, lambda t: -log1pexp(-t), EVERYWHERE),
    "log-sigmoid of a quotient": (L(E(x) / (1 + E(x))), LOG_SIGMOID, lambda t: -log1pexp(-t),
        EVERYWHERE),
    "log-sigmoid, mixed": (sd.log(1 - 1 / (1 + sp.exp(-x))), LOG_SIGMOID, lambda t: -log1pexp(t),
        EVERYWHERE),
    "softplus": (L(1 + E(x)), SOFTPLUS, log1pexp, EVERYWHERE),
    "softplus in floats": (L(1.0 + E(x)), SOFTPLUS, log1pexp, EVERYWHERE),
    "softplus by log1p": (sd.log1p(sp.exp(x)), SOFTPLUS, log1pexp, EVERYWHERE),
    "softplus, scaled": (L(3 + 2 * E(2 * x)) / 2, SOFTPLUS,
        lambda t: mp.log(3 + 2 * mp.exp(2 * t)) / 2, EVERYWHERE),
    "logaddexp": (L(E(x) + E(2 * x)), LOGADDEXP, lambda t: t + log1pexp(t), EVERYWHERE),
    "logaddexp of three": (L(E(x) + E(-3 * x) + 1), LOGADDEXP,
                           lambda t: mp.log(mp.exp(t) + mp.exp(-3 * t) + 1), EVERYWHERE),
    "log softmax": (L(E(x) / (E(x) + E(2 * x))), LOG_SIGMOID, lambda t: -log1pexp(t), EVERYWHERE),
    "log1p": (L(1 + x), LOG1P, lambda t: mp.log(1 + t), [*SMALL, 1e300]),
    "log1p, float": (L(1.0 + x), LOG1P, lambda t: mp.log(1 + t), SMALL),
    "log1p of -x": (L(1 - x), LOG1P, lambda t: mp.log(1 - t), SMALL),
    "expm1": (E(x) - 1, EXPM1, lambda t: mp.exp(t) - 1, MODERATE),
    "expm1 with a constant in front": (2 * (E(x) - 1), EXPM1, lambda t: 2 * mp.exp(t) - 2,
        MODERATE),
    "expm1 in a sum": (E(x) + x - 1, EXPM1, lambda t: mp.exp(t) + t - 1, NONZERO),
    "1 - exp": (1 - E(-x), EXPM1, lambda t: 1 - mp.exp(-t), RIGHT),
    "hypot": (sp.sqrt(x**2 + 1), HYPOT, lambda t: mp.sqrt(t**2 + 1), EVERYWHERE),
    "hypot, scaled": (sp.sqrt(4 * x**2 + 9), HYPOT, lambda t: mp.sqrt(4 * t**2 + 9), EVERYWHERE),
    "norm of one": (sp.sqrt(x**2), "sqrt(x^2) = |x|", abs, NONZERO),
    "x over a norm": (x / sp.sqrt(1 + x**2), "x/sqrt(x^2 + y^2) without overflow",
                      lambda t: t / mp.sqrt(1 + t**2), EVERYWHERE),
    "x log x": (x * L(x), XLOGY, lambda t: t * mp.log(t), RIGHT),
    "x log cx": (x * L(2 * x), XLOGY, lambda t: t * mp.log(2 * t), RIGHT),
    "(1 - x) log(1 - x)": ((1 - x) * L(1 - x), "x log(1 + y) is 0 where x is",
                           lambda t: (1 - t) * mp.log(1 - t), SMALL),
    "tanh": ((E(x) - E(-x)) / (E(x) + E(-x)), TANH, mp.tanh, EVERYWHERE),
    "tanh, other way up": ((E(2 * x) - 1) / (E(2 * x) + 1), TANH, mp.tanh, EVERYWHERE),
    "tanh by a sigmoid": (2 / (1 + E(-2 * x)) - 1, TANH, mp.tanh, EVERYWHERE),
    "tanh, one minus": (1 - 2 / (E(2 * x) + 1), TANH, mp.tanh, EVERYWHERE),
    "tanh as sinh / cosh": (sp.sinh(x) / sp.cosh(x), TANH, mp.tanh, EVERYWHERE),
    "sinh": ((E(x) - E(-x)) / 2, "exp(x) - exp(-x) = 2 sinh(x)", mp.sinh, MODERATE),
    "log erfc": (L(sp.erfc(x)), LOG_ERFC, log_erfc, EVERYWHERE),
    "log(1 - erf)": (L(1 - sp.erf(x)), LOG_ERFC, log_erfc, EVERYWHERE),
    "log of the normal distribution": (L(Phi), LOG_NORMAL, log_phi, EVERYWHERE),
    "log of the normal distribution by erfc": (L(sp.erfc(-x / sp.sqrt(2)) / 2), LOG_NORMAL,
        log_phi, EVERYWHERE),
    "log of the normal distribution, float": (L(half + half * sp.erf(x / sp.sqrt(2))), LOG_NORMAL,
        log_phi, EVERYWHERE),
    "log of the upper tail": (sd.log(1 - Phi), LOG_NORMAL, lambda t: log_phi(-t), EVERYWHERE),
    "normal distribution": (Phi, "1 - erf(x) = erfc(x)", lambda t: mp.erfc(-t / mp.sqrt(2)) / 2,
        MODERATE),
    "gelu": (x * Phi, "x erfc(-x/sqrt(2))/2 = gelu(x)", lambda t: t * mp.erfc(-t / mp.sqrt(2)) / 2,
        MODERATE),
    "log cosh": (L(sp.cosh(x)), LOG_COSH, lambda t: mp.log(mp.cosh(t)), EVERYWHERE),
    "log cosh by exponentials": (L((E(x) + E(-x)) / 2), LOG_COSH, lambda t: mp.log(mp.cosh(t)),
        EVERYWHERE),
    "log(1 - tanh^2)": (L(1 - sp.tanh(x) ** 2), LOG_COSH, lambda t: -2 * mp.log(mp.cosh(t)),
        EVERYWHERE),
    "log sinh": (L(sp.sinh(x)), LOG1MEXP, lambda t: mp.log(mp.sinh(t)), RIGHT),
    "log(1 - exp)": (L(1 - E(x)), LOG1MEXP, lambda t: mp.log(-mp.expm1(t)), LEFT),
    "log(1 - exp) by log1p": (sd.log1p(-E(x)), LOG1MEXP, lambda t: mp.log(-mp.expm1(t)), LEFT),
    "log(exp - 1)": (L(E(x) - 1), LOG1MEXP, lambda t: mp.log(mp.expm1(t)), RIGHT),
    "log(1 - c exp)": (L(1 - 2 * E(x)), LOG1MEXP, lambda t: mp.log(1 - 2 * mp.exp(t)),
        [-1.0, -40.0, -800.0]),
    "1 - cos": (1 - sp.cos(3 * x), "1 - cos(x) = 2 sin(x/2)^2", lambda t: 1 - mp.cos(3 * t),
        MODERATE),
    "(1 - cos x) / x": ((1 - sp.cos(x)) / x, SINC, lambda t: (1 - mp.cos(t)) / t, NONZERO),
    "(1 - cos x) / x^2": ((2 - 2 * sp.cos(x)) / x**2, SINC, lambda t: (2 - 2 * mp.cos(t)) / t**2,
        NONZERO),
    "cosh - 1": (sp.cosh(x) - 1, "cosh(x) - 1 = 2 sinh(x/2)^2", lambda t: mp.cosh(t) - 1, MODERATE),
    "asin(1 - u)": (sp.asin(1 - x), "asin(1 - u) = atan2(1 - u, sqrt(u (2 - u)))",
                    lambda t: mp.asin(1 - t), [*SMALL, 1.5, 1.999999]),
    "acos(1 - u)": (sp.acos(1 - x), "acos(1 - u) = 2 atan2(sqrt(u), sqrt(2 - u))",
                    lambda t: mp.acos(1 - t), [*SMALL, 1.5, 1.999999]),
    "acosh(1 + u)": (sp.acosh(1 + x), "acosh(1 + u) = 2 asinh(sqrt(u/2))",
                     lambda t: mp.acosh(1 + t), [*SMALL, 5.0]),
    "atanh(1 - u)": (sp.atanh(1 - x), "atanh(1 - u) = (log(2 - u) - log(u))/2",
                     lambda t: mp.atanh(1 - t), [*SMALL, 1.5]),
    "asin": (sp.asin(x), None, mp.asin, UNIT),
    "acos": (sp.acos(x), None, mp.acos, UNIT),
    "atanh": (sp.atanh(x), None, mp.atanh, UNIT),
    "sqrt(1 - x^2)": (sp.sqrt(1 - x**2), "1 - x^2 = (1 - x)(1 + x)", lambda t: mp.sqrt(1 - t**2),
        UNIT),
    "atanh by logarithms": (half * L((1 + x) / (1 - x)), "log((1 + x)/(1 - x)) = 2 atanh(x)",
        mp.atanh, UNIT),
    "logit": (L(x / (1 - x)), "log(p/(1 - p)) = logit(p)", lambda t: mp.log(t / (1 - t)),
              [0.5 + 1e-10, 1e-300, 1 - 1e-10]),
    "sqrt(x^2 + 1) - x": (sp.sqrt(x**2 + 1) - x, EXP_ASINH, lambda t: mp.sqrt(t**2 + 1) - t,
        EVERYWHERE),
    "sqrt(x^2 + 1) + x": (sp.sqrt(x**2 + 1) + x, EXP_ASINH, lambda t: mp.sqrt(t**2 + 1) + t,
        EVERYWHERE),
    "asinh by a logarithm": (L(x + sp.sqrt(x**2 + 1)), "log(x + sqrt(x^2 + 1)) = asinh(x)",
        mp.asinh, EVERYWHERE),
    "difference of roots": (sp.sqrt(x + 1) - sp.sqrt(x), "a sum in which nothing cancels",
                            lambda t: mp.sqrt(t + 1) - mp.sqrt(t), RIGHT),
    "sqrt(1 + x) - 1": (sp.sqrt(1 + x) - 1, "a sum in which nothing cancels",
        lambda t: mp.sqrt(1 + t) - 1, SMALL),
    "log of a square": (L(x**2), "log(x^2) = 2 log|x|", lambda t: 2 * mp.log(abs(t)), NONZERO),
    "log of gamma": (L(sp.gamma(x)), "log(gamma(x)) = loggamma(x)", mp.loggamma,
        [0.3, 5.0, 171.0, 800.0]),
}  # fmt: skip


@functools.cache
def derivatives(name):
    expression = SPELLINGS[name][0]
    first = sd.gradient(expression, x)
    return expression, first, sd.gradient(first, x)


def exact(function, p):
    """Value, first and second derivative at a point, as floats, by differences."""
    size = abs(p)
    digits = 1500 if not 1e-100 < size < 1e100 else 500 if size > 100 else 200
    with mp.workdps(digits if p else 200):
        step = mp.mpf(10) ** -40 * (abs(mp.mpf(p)) or 1)
        below, value, above = (function(mp.mpf(p) + k * step) for k in (-1, 0, 1))
        slopes = (above - below) / (2 * step), (above - 2 * value + below) / step**2
        return [float(mp.re(v)) for v in (value, *slopes)]


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_derivation_names_the_rule(name):
    expression, rule, _, _ = SPELLINGS[name]
    derivation = sd.derive(expression, x)
    if rule is not None:
        assert rule in [r.name for r, _, _ in derivation.applied]
        final = [s.rule for s in derivation.steps if s.phase == "forward"]
        assert final, "the rewritten loss is no step"


def tolerance(order, wanted):
    """Relative; absolute where a derivative that is of the size of 1 elsewhere has a zero."""
    return 1e-11 * abs(wanted) + (4e-15 if order else 1e-300)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_value_and_derivatives_at_extreme_points(name):
    _, _, function, points = SPELLINGS[name]
    wanted_at = {p: exact(function, p) for p in points}
    points = np.array(points)
    for order, expression in enumerate(derivatives(name)):
        if expression.free_symbols:
            got = sd.evaluate(expression, {x: points})
        else:
            got = np.full(points.shape, float(expression))
        for p, value in zip(points, got, strict=True):
            wanted = wanted_at[p][order]
            close = value == wanted or abs(value - wanted) <= tolerance(order, wanted)
            assert close, f"derivative {order} at {p}: {value}, not {wanted}"


VECTORS = sd.tensor("V", "n", 4), sd.tensor("W", 4)


def test_tensors_and_scalars_mixed():
    V, W = VECTORS
    rng = np.random.default_rng(0)
    v, w = rng.normal(size=(3, 4)) * 900, rng.normal(size=4)
    e = sd.exp(V + W)
    total = sd.sum(e, axis=1, keepdims=True)
    logits = v + w
    top = logits.max(axis=1, keepdims=True)
    lse = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    p = np.exp(logits - lse)
    labels = np.array([0, 3, 1])
    picked = np.arange(3), labels
    cases = {
        "logsumexp": (sd.sum(sp.log(total)), lse.sum(), p.sum(axis=0)),
        "log mean exp": (sd.sum(sp.log(sd.mean(e, axis=1))), (lse - np.log(4)).sum(),
                         p.sum(axis=0)),
        "logsumexp with 1": (sd.sum(sp.log(1 + total)), np.logaddexp(0, lse).sum(), None),
        "scaled": (sd.sum(sp.log(3 * total)), (lse + np.log(3)).sum(), p.sum(axis=0)),
        "softmax": (sd.sum(e / total * np.arange(4.0)), (p * np.arange(4)).sum(), None),
        "cross-entropy": (-sd.sum(sd.log(e / total)[picked]), (lse[:, 0] - logits[picked]).sum(),
                          p.sum(axis=0) - np.bincount(labels, minlength=4)),
        "log of an entry": (-sd.sum(sd.log((e / total)[:, 1])),
                            (lse[:, 0] - logits[:, 1]).sum(), None),
    }  # fmt: skip
    at = {V: v, W: w}
    for name, (loss, value, slope) in cases.items():
        assert sd.evaluate(loss, at) == pytest.approx(value, rel=1e-13), name
        gradient = sd.evaluate(sd.gradient(loss, W), at)
        assert np.isfinite(gradient).all(), name
        if slope is not None:
            np.testing.assert_allclose(gradient, slope, atol=1e-12, err_msg=name)


def test_nothing_is_made_of_what_is_not_known_to_be_positive():
    """log(a b) is log a + log b only where a is known to be positive."""
    y = sp.Symbol("y")
    for expression in (sp.log(x * y), sp.log(x / y), sp.log(-x * sp.exp(y))):
        for signs in ((2.0, 3.0), (-2.0, -3.0), (-2.0, 3.0)):
            at = dict(zip((x, y), signs, strict=True))
            argument = sd.evaluate(expression.args[0], at)
            with np.errstate(invalid="ignore"):
                wanted = np.log(argument)
            np.testing.assert_allclose(sd.evaluate(expression, at), wanted, rtol=1e-14)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_limits_at_infinity():
    """Where there is a limit it is the value; NaN stays NaN."""
    inf = np.inf
    cases = {
        1 / (1 + E(-x)): (0, 1), L(1 + E(x)): (0, inf), L(1 / (1 + E(-x))): (-inf, 0),
        L(Phi): (-inf, 0), L(sp.erfc(x)): (np.log(2), -inf), L(sp.cosh(x)): (inf, inf),
        x / sp.sqrt(1 + x**2): (-1, 1), sp.sqrt(x**2 + 1): (inf, inf), E(x) - 1: (-1, inf),
        (E(x) - E(-x)) / (E(x) + E(-x)): (-1, 1), L(1 - E(-sp.Abs(x))): (0, 0),
        sp.sqrt(x**2 + 1) - x: (inf, 0),
    }  # fmt: skip
    slopes = {
        1 / (1 + E(-x)): (0, 0), L(1 + E(x)): (0, 1), L(1 / (1 + E(-x))): (1, 0),
        L(Phi): (inf, 0), L(sp.cosh(x)): (-1, 1), sp.sqrt(x**2 + 1): (-1, 1), Phi: (0, 0),
        (E(x) - E(-x)) / (E(x) + E(-x)): (0, 0), x / sp.sqrt(1 + x**2): (0, 0),
    }  # fmt: skip
    for expression, wanted in cases.items():
        got = sd.evaluate(expression, {x: np.array([-inf, inf, np.nan])})
        np.testing.assert_allclose(got, [*wanted, np.nan], rtol=1e-15, err_msg=str(expression))
    for expression, wanted in slopes.items():
        got = sd.evaluate(sd.gradient(expression, x), {x: np.array([-inf, inf, np.nan])})
        np.testing.assert_allclose(got, [*wanted, np.nan], rtol=1e-15, err_msg=str(expression))


def test_zero_times_its_logarithm():
    y = sp.Symbol("y")
    for expression in (x * L(x), -x * L(x), x * L(x / y), y * x * L(x), x**2 * L(x)):
        assert (
            sd.evaluate(expression, {x: 0.0, y: 2.0} if y in expression.free_symbols else {x: 0.0})
            == 0
        )
    entropy = -x * L(x) - (1 - x) * L(1 - x)
    for p in (0.0, 1.0):
        assert sd.evaluate(entropy, {x: p}) == 0
    cross_entropy = -(y * L(x) + (1 - y) * L(1 - x))
    for at in ({x: 0.0, y: 0.0}, {x: 1.0, y: 1.0}):
        assert sd.evaluate(cross_entropy, at) == 0
        assert abs(sd.evaluate(sd.gradient(cross_entropy, x), at)) == 1
    P, Q = sd.tensor("P", 3), sd.tensor("Q", 3)
    at = {P: np.array([0.0, 0.25, 0.75]), Q: np.array([0.5, 0.25, 0.25])}
    divergence = sd.sum(P * sd.log(P / Q))
    assert sd.evaluate(divergence, at) == pytest.approx(0.75 * np.log(3))
    np.testing.assert_allclose(sd.evaluate(sd.gradient(divergence, Q), at), [0, -1, -3])


def test_powers_with_base_zero():
    y = sp.Symbol("y")
    by_base, by_exponent = sd.gradient(x**y, [x, y])
    second = sd.gradient(by_base, x)
    for k, value, slope, curvature in ((0, 1, 0, 0), (1, 0, 1, 0), (2, 0, 0, 2), (3, 0, 0, 0)):
        at = {x: 0.0, y: float(k)}
        assert sd.evaluate(x**y, at) == value
        assert sd.evaluate(by_base, at) == slope
        assert sd.evaluate(second, at) == curvature
        assert sd.evaluate(by_exponent, at) == 0
    assert sd.evaluate(sd.gradient(sd.gradient(sp.Abs(x) ** 2, x), x) + 0 * x, {x: 0.0}) == 2


NAMES = list(SPELLINGS)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_kernels_agree_with_evaluate(dtype):
    orders = {"float64": (0, 1), "float32": (0,)}[dtype]
    spelled = [derivatives(name)[order] for name in NAMES for order in orders]
    spelled = [e for e in spelled if e.free_symbols]
    # many spellings are one graph after rewriting
    nodes = stabilise([to_graph(e) for e in spelled])
    expressions = list(dict(zip(nodes, spelled, strict=True)).values())
    function = codegen.compile(expressions, inputs=[x], dtype=dtype)
    limit = {"float64": 1e300, "float32": 1e30}[dtype]
    points = sorted({p for name in NAMES for p in SPELLINGS[name][3] if abs(p) <= limit})
    points = np.array([*points, np.inf, -np.inf, np.nan], dtype)
    wanted = sd.evaluate(expressions, {x: points}, dtype=dtype)
    rtol, atol = {"float64": (1e-11, 1e-15), "float32": (1e-4, 1e-6)}[dtype]
    for expression, got, want in zip(expressions, function(points), wanted, strict=True):
        assert got.dtype == dtype
        if dtype == "float32":  # 1 / sqrt(0) and its like are whatever the processor gives
            got, want = got[np.isfinite(want)], want[np.isfinite(want)]
        np.testing.assert_allclose(got, want, rtol, atol, err_msg=str(expression))
