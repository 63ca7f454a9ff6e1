"""Special functions against mpmath to 1e-12, in ``evaluate`` and in a kernel."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd

x = sp.Symbol("x")

POSITIVE = [1e-10, 1e-3, 0.3, 1.0, 1.5, 2.5, 4.4, 7.0, 17.0, 30.0, 100.0, 650.0]
BOTH = [*POSITIVE, *(-p for p in POSITIVE)]
SHORT = [p for p in BOTH if abs(p) < 25]
LONG_AND_SHORT = [1e-300, 1e-100, *POSITIVE, 1e5, 1e100, 1e300]
BRANCH = [-0.3, -0.2501, -0.2499, -0.36, -0.3678, -0.367879, -0.36787944117144]
LEFT = [-0.3, -1.7, -10.3, -1e4 - 0.3, -3e6 - 0.25, -1e9 - 0.25, -1e12 - 0.25]


def polygamma(n, t):
    """By the reflection formula left of 0, by the asymptotic series far right (5.15.6, 5.15.8)."""
    if t < 0:
        slope = mp.diff(lambda v: mp.pi * mp.cot(mp.pi * v), t, n)
        return (-1) ** n * polygamma(n, 1 - t) - slope
    if t < 1e3:
        return mp.psi(n, t)
    series = (mp.bernoulli(2 * k) * mp.factorial(2 * k + n - 1) / mp.factorial(2 * k)
              / t ** (2 * k + n) for k in range(1, 10))  # fmt: skip
    first = mp.factorial(n - 1) / t**n + mp.factorial(n) / (2 * t ** (n + 1))
    return (-1) ** (n + 1) * (first + sum(series))


def spherical(function, order):
    def value(t):
        sign = 1 if t > 0 else (-1) ** order if function is mp.besselj else (-1) ** (order + 1)
        return sign * mp.sqrt(mp.pi / (2 * abs(t))) * function(order + mp.mpf(1) / 2, abs(t))

    return value


FUNCTIONS = {
    "erf": (sp.erf(x), mp.erf, BOTH),
    "erfc": (sp.erfc(x), mp.erfc, SHORT),
    "erfi": (sp.erfi(x), mp.erfi, SHORT),
    "erfinv": (sp.erfinv(x), mp.erfinv, [1e-300, 1e-5, 0.1, 0.5, 0.99, 1 - 1e-10, -0.3]),
    "erfcinv": (sp.erfcinv(x), lambda t: mp.erfinv(1 - t), [1e-20, 1e-5, 0.1, 0.9, 1.5, 1.999]),
    "gamma": (sp.gamma(x), mp.gamma, [1e-300, 1e-10, 0.3, 1.5, 4.4, 30.2, 170.5, -0.5, -20.3]),
    "loggamma": (sp.loggamma(x), lambda t: mp.re(mp.loggamma(t)), [*LONG_AND_SHORT, -0.5, -20.3]),
    "digamma": (sp.digamma(x), mp.digamma, [*POSITIVE, 1e100, -0.3, -1.7, -100.3]),
    "trigamma": (sp.trigamma(x), lambda t: polygamma(1, t), [*POSITIVE, 1e100, *LEFT]),
    "polygamma 2": (sp.polygamma(2, x), lambda t: polygamma(2, t), [*POSITIVE, *LEFT]),
    "polygamma 5": (sp.polygamma(5, x), lambda t: polygamma(5, t), [*POSITIVE, *LEFT]),
    "beta": (sp.beta(x, 1.5), lambda t: mp.beta(t, 1.5), POSITIVE),
    "zeta": (sp.zeta(x), mp.zeta, [1.01, 1.5, 2.0, 3.0, 10.5, 60.0]),
    "besselj 0": (sp.besselj(0, x), lambda t: mp.besselj(0, t), BOTH),
    "besselj 2.5": (sp.besselj(2.5, x), lambda t: mp.besselj(2.5, t), POSITIVE),
    "bessely 3": (sp.bessely(3, x), lambda t: mp.bessely(3, t), POSITIVE),
    "bessely 0.3": (sp.bessely(0.3, x), lambda t: mp.bessely(0.3, t), POSITIVE),
    "besseli 1": (sp.besseli(1, x), lambda t: mp.besseli(1, t), BOTH),
    "besseli 2.5": (sp.besseli(2.5, x), lambda t: mp.besseli(2.5, t), POSITIVE),
    "besselk 2": (sp.besselk(2, x), lambda t: mp.besselk(2, t), POSITIVE),
    "besselk 0.3": (sp.besselk(0.3, x), lambda t: mp.besselk(0.3, t), POSITIVE),
    "jn 0": (sp.jn(0, x), spherical(mp.besselj, 0), BOTH),
    "jn 1": (sp.jn(1, x), spherical(mp.besselj, 1), [1e-300, *BOTH]),
    "jn 7": (sp.jn(7, x), spherical(mp.besselj, 7), BOTH),
    "yn 0": (sp.yn(0, x), spherical(mp.bessely, 0), BOTH),
    "yn 4": (sp.yn(4, x), spherical(mp.bessely, 4), BOTH),
    "airyai": (sp.airyai(x), mp.airyai, SHORT),
    "airyaiprime": (sp.airyaiprime(x), lambda t: mp.airyai(t, derivative=1), SHORT),
    "airybi": (sp.airybi(x), mp.airybi, SHORT),
    "airybiprime": (sp.airybiprime(x), lambda t: mp.airybi(t, derivative=1), SHORT),
    "lambertw": (sp.LambertW(x), mp.lambertw, [*LONG_AND_SHORT, *BRANCH, -1e-5]),
    "lambertw -1": (sp.LambertW(x, -1), lambda t: mp.lambertw(t, -1), [*BRANCH, -1e-5, -1e-300]),
    "ei": (sp.Ei(x), mp.ei, BOTH),
    "li": (sp.li(x), mp.li, [p for p in POSITIVE if p != 1]),
    "expint 1": (sp.expint(1, x), lambda t: mp.expint(1, t), POSITIVE),
    "expint 5": (sp.expint(5, x), lambda t: mp.expint(5, t), POSITIVE),
    "si": (sp.Si(x), mp.si, BOTH),
    "ci": (sp.Ci(x), mp.ci, POSITIVE),
    "shi": (sp.Shi(x), mp.shi, BOTH),
    "chi": (sp.Chi(x), mp.chi, POSITIVE),
    "fresnels": (sp.fresnels(x), mp.fresnels, BOTH),
    "fresnelc": (sp.fresnelc(x), mp.fresnelc, BOTH),
    "lowergamma": (sp.lowergamma(2.5, x), lambda t: mp.gammainc(2.5, 0, t), POSITIVE),
    "uppergamma": (sp.uppergamma(2.5, x), lambda t: mp.gammainc(2.5, t), POSITIVE),
}


@pytest.fixture(scope="module")
def kernel():
    expressions = [expression for expression, _, _ in FUNCTIONS.values()]
    points = sorted({p for _, _, points in FUNCTIONS.values() for p in points})
    with np.errstate(all="ignore"):
        results = codegen.compile(expressions, inputs=[x])(np.array(points))
    return {
        name: dict(zip(points, result, strict=True))
        for name, result in zip(FUNCTIONS, results, strict=True)
    }


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_against_mpmath(name, kernel):
    expression, function, points = FUNCTIONS[name]
    values = sd.evaluate(expression, {x: np.array(points)})
    with mp.workdps(40):
        for p, value in zip(points, values, strict=True):
            exact = mp.re(function(mp.mpf(p)))
            near = mp.re(function(mp.mpf(p) * (1 + mp.mpf(2) ** -52)))
            # 1e-12, or what the last digit of the argument makes
            allowed = max(mp.mpf(1e-12) * abs(exact), 4 * abs(near - exact))
            for route, got in (("evaluate", value), ("kernel", kernel[name][p])):
                close = abs(mp.mpf(float(got)) - exact) <= allowed
                assert close or float(got) == float(exact), f"{route} at {p}: {got}, not {exact}"


@pytest.mark.parametrize(
    "expression",
    [
        sp.elliptic_pi(2, x),
        sp.stieltjes(x),
        sp.polylog(2, x),
        sp.hyper([1], [2], x),
        sp.mathieus(x, 1, 1),
    ],
    ids=str,
)
def test_others_are_refused_by_name(expression):
    with pytest.raises(sd.UnsupportedOperation, match=type(expression).__name__):
        sd.evaluate(expression, {x: 0.5})
