"""Branch-free elementary functions for generated kernels: LLVM vectorises the loops they are in.

Numba from pip calls the scalar exponential of the C library, and a loop with a call in it is not
vectorised. Each function here is a short run of additions, fused multiplications, selections and
operations on bits, the same for float64 and float32, with an error of at most 2 units in the last
place over the whole range (``tests/test_vector_math.py``). NaN, infinities, subnormal numbers
and overflow are right; the sign of a result that is zero is not kept everywhere. ``fma`` rounds
once on every machine, so results are the same on all of them, but it needs a processor that has
it to be fast (AVX2, AVX-512, NEON).

``sin`` and ``cos`` reduce arguments below ``FAR`` exactly enough. Beyond it the generated code
notices (``beyond``) and computes that chunk of rows again with the C library.

The largest errors seen on 10⁵ points each, in units in the last place:

===========  =======  =======
function     float64  float32
===========  =======  =======
exp             0.98     0.97
expm1           1.56     1.27
log             0.93     0.92
log1p           0.97     1.00
tanh            1.67     1.60
sigmoid         1.71     1.65
softplus        1.48     1.67
log_sigmoid     1.54     1.50
sin             1.39     1.46
cos             1.40     1.49
===========  =======  =======

The coefficients are minimax polynomials in the relative error, found by Remez' exchange in
240 bits (``tests/minimax.py`` finds them again), then rounded. Range reduction follows Cody and
Waite, *Software Manual for the Elementary Functions* (1980), with fused multiplication in place
of short constants: if n is the integer nearest x/c, then x − n·c rounded once is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .straight_line import Value, condition, function

__all__ = [
    "FAR", "beyond", "cos", "exp", "expm1", "log", "log1p", "log_sigmoid", "sigmoid", "sin",
    "softplus", "tanh",
]  # fmt: skip

FAR = {"float64": 2.0**30, "float32": 2.0**18}
"""Arguments of ``sin`` and ``cos`` below this are reduced to full precision."""


@dataclass(frozen=True)
class Constants:
    """The numbers of one floating type.

    Attributes
    ----------
    rounder : float
        Adding it rounds to an integer, which is then found in the low bits of the sum.
    lowest, highest : float
        The exponential is 0 below and infinite above.
    top : float
        The natural logarithm of 1/epsilon, rounded up: ``1 - exp(-top)`` is 1.
    least : float
        The smallest normal number.
    lift : int
        A power of two that makes subnormal numbers normal.
    ln2, half_pi : tuple of float
        Parts that add up to the constant, each rounded to nearest.
    exp : tuple of float
        (exp(r) − 1 − r) / r² for |r| ≤ ½ ln 2.
    log : tuple of float
        (log(1 + f) − f) / f² for √½ ≤ 1 + f ≤ √2.
    sin, cos : tuple of float
        (sin r − r) / r³ and (cos r − 1 + r²/2) / r⁴ in powers of r² for |r| ≤ π/4.
    """

    rounder: float
    log2_e: float
    two_over_pi: float
    lowest: float
    highest: float
    top: float
    least: float
    lift: int
    root_half: int
    ln2: tuple[float, float]
    half_pi: tuple[float, float, float]
    exp: tuple[float, ...]
    log: tuple[float, ...]
    sin: tuple[float, ...]
    cos: tuple[float, ...]


CONSTANTS = {
    "float64": Constants(
        rounder=1.5 * 2.0**52,
        log2_e=1.4426950408889634,
        two_over_pi=0.6366197723675814,
        lowest=-746.0,
        highest=710.0,
        top=40.0,
        least=2.0**-1022,
        lift=54,
        root_half=0x3FE6A09E667F3BCD,
        ln2=(0.6931471805599453, 2.3190468138462996e-17),
        half_pi=(1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
        exp=(
            0.5000000000000006, 0.16666666666666685, 0.0416666666665737, 0.008333333333314569,
            0.0013888888932354255, 0.00019841269903062185, 2.4801504476957023e-05,
            2.7557227937913593e-06, 2.762631361256881e-07, 2.5114475039816218e-08,
        ),
        log=(
            -0.5000000000000004, 0.3333333333333318, -0.2499999999997278, 0.20000000000034876,
            -0.1666666667161751, 0.14285714285428436, -0.1249999959193309, 0.1111111077008271,
            -0.10000018108912195, 0.09090937813498014, -0.08332870088901094, 0.07691243637502425,
            -0.07149668310159153, 0.06687884627904528, -0.06198654851876598, 0.056493171464239156,
            -0.056462058901741594, 0.06536981805030602, -0.06098662590243053, 0.026924809264377587,
        ),
        sin=(
            -0.16666666666666632, 0.008333333333322424, -0.00019841269829815543,
            2.7557313694715186e-06, -2.5050758570128655e-08, 1.5896822947682286e-10,
        ),
        cos=(
            0.0416666666666666, -0.0013888888888874138, 2.4801587289490993e-05,
            -2.7557314354962125e-07, 2.0875723641872055e-09, -1.13596674580094e-11,
        ),
    ),
    "float32": Constants(
        rounder=1.5 * 2.0**23,
        log2_e=1.4426950216293335,
        two_over_pi=0.6366197466850281,
        lowest=-104.0,
        highest=89.0,
        top=20.0,
        least=2.0**-126,
        lift=25,
        root_half=0x3F3504F3,
        ln2=(0.6931471824645996, -1.9046542121259336e-09),
        half_pi=(1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
        exp=(
            0.5, 0.1666666716337204, 0.04166635498404503, 0.008333273231983185,
            0.0013940997887402773, 0.00019914156291633844,
        ),
        log=(
            -0.49999988079071045, 0.3333330750465393, -0.2500152289867401, 0.2000301629304886,
            -0.16611149907112122, 0.14163467288017273, -0.13208800554275513, 0.13004851341247559,
            -0.07823387533426285,
        ),
        sin=(-0.16666655242443085, 0.008332177996635437, -0.0001951728918356821),
        cos=(0.04166664555668831, -0.001388736767694354, 2.4438440959784202e-05),
    ),
}  # fmt: skip

INFINITY = float("inf")
NAN = float("nan")


def _constants(x: Value) -> Constants:
    return CONSTANTS[x.format.name]


def _polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Estrin's scheme: few steps wait for one another, so a single sample is fast too."""
    terms: list[Any] = list(coefficients)
    while len(terms) > 1:
        pairs = [x.fma(high, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        if len(terms) > 1:
            x = x * x
    return terms[0]


def _magnitude(x: Value) -> Value:
    return (x.bits() & (x.format.sign - 1)).number()


def _with_sign_of(x: Value, sign: Value) -> Value:
    """A number that is not negative, with the sign of another one."""
    return (x.bits() | (sign.bits() & x.format.sign)).number()


# --- exponentials ------------------------------------------------------------------------


def _reduce(x: Value, bias: int, keep: bool) -> tuple[Value, Value]:
    """``x = n ln 2 + r``: bits that end in n + bias, and ``exp(r) − 1``.

    With ``keep``, what rounding takes from r is added again.
    """
    c = _constants(x)
    shifted = x.fma(c.log2_e, c.rounder + bias)
    n = shifted - (c.rounder + bias)
    exact = n.fma(-c.ln2[0], x)
    r = n.fma(-c.ln2[1], exact)
    tail = _polynomial(r, c.exp)
    if not keep:
        return shifted.bits(), (r * r).fma(tail, r)
    return shifted.bits(), (r * r).fma(tail, n.fma(-c.ln2[1], exact - r)) + r


def _exp(x: Value, keep: bool = False) -> Value:
    """The exponential of a number between ``lowest`` and ``highest``, or of NaN."""
    bits, e = _reduce(x, 2 * x.format.bias, keep)
    # 2ⁿ in two factors: there is no 2¹⁰²⁴, and 2⁻¹⁰⁷⁴ is subnormal
    half = bits >> 1
    mantissa = x.format.mantissa
    return (1.0 + e) * (half << mantissa).number() * ((bits - half) << mantissa).number()


def _exp_minus(x: Value) -> Value:
    """``exp(−x)`` of a number that is not negative, or of NaN."""
    lowest = _constants(x).lowest
    return _exp(-(x > -lowest).choose(-lowest, x), keep=True)


def _half_expm1(x: Value) -> Value:
    """``(exp(x) − 1) / 2``; half of it, since there is no 2¹⁰²⁴."""
    bits, e = _reduce(x, x.format.bias - 1, keep=True)
    s = (bits << x.format.mantissa).number()
    return s.fma(e, s - 0.5)


@function
def exp(x: Value) -> Value:
    """The exponential."""
    c = _constants(x)
    x = (x > c.highest).choose(c.highest, x)
    return _exp((x < c.lowest).choose(c.lowest, x))


@function
def expm1(x: Value) -> Value:
    """``exp(x) − 1``."""
    c = _constants(x)
    y = (x > c.highest).choose(c.highest, x)
    y = (y < -c.top).choose(-c.top, y)
    tiny = _magnitude(x) < x.format.epsilon
    return tiny.choose(x, 2.0 * _half_expm1(y))


@function
def tanh(x: Value) -> Value:
    """The hyperbolic tangent."""
    c = _constants(x)
    y = _magnitude(x)
    y = (y > c.top / 2).choose(c.top / 2, y)
    h = _half_expm1(y + y)
    # h / (1 + h), so written that roundings count for little
    lead = (h > 1.0).choose(1.0, h)
    return _with_sign_of(lead - lead * lead / (1.0 + h), x)


@function
def sigmoid(x: Value) -> Value:
    """``1 / (1 + exp(−x))``."""
    z = _exp_minus(_magnitude(x))
    # lead / (1 + z), so written that roundings count for little
    lead = (x < 0.0).choose(z, 1.0)
    return lead - lead * z / (1.0 + z)


# --- logarithms --------------------------------------------------------------------------


def _mantissa(x: Value) -> tuple[Value, Value, Value]:
    """``x = 2ᵏ m`` with √½ ≤ m < √2, for normal positive x: biased k as bits, k, and m."""
    c, format = _constants(x), x.format
    bits = x.bits() + ((format.bias << format.mantissa) - c.root_half)
    whole = 1 << format.mantissa
    m = ((bits & (whole - 1)) + c.root_half).number()
    # an integer below 2⁵² in the low bits of 2⁵² is that integer plus 2⁵²
    k = ((bits >> format.mantissa) | ((format.bias + format.mantissa) << format.mantissa)).number()
    return bits & -whole, k - float(whole + format.bias), m


def _log(k: Value, f: Value, rest: Value | float = 0.0) -> Value:
    """``k ln 2 + log(1 + f) + rest``, small terms first."""
    c = _constants(f)
    rest = (f * f).fma(_polynomial(f, c.log), k.fma(c.ln2[1], rest))
    return k.fma(c.ln2[0], rest + f)


@function
def log(x: Value) -> Value:
    """The natural logarithm; −∞ at 0, NaN below."""
    c = _constants(x)
    small = x < c.least
    _, k, m = _mantissa(small.choose(x * 2.0**c.lift, x))
    result = _log(k - small.choose(float(c.lift), x.constant(0.0)), m - 1.0)
    result = (x < INFINITY).choose(result, x)  # infinity and NaN
    return (x > 0.0).choose(result, x.equals(0.0).choose(-INFINITY, x.constant(NAN)))


def _log1p(x: Value, lost: Value) -> Value:
    """``log(u + lost)`` where u is ``1 + x`` rounded and ``lost`` the rounding error."""
    format = x.format
    exponent, k, m = _mantissa(1.0 + x)
    inverse = (((2 * format.bias) << format.mantissa) - exponent).number()  # 2⁻ᵏ
    correction = (x > 1.0 / format.epsilon).choose(0.0, lost * inverse)
    f = m - 1.0
    return _log(k, f, correction * f.fma(f - 1.0, 1.0))  # over 1 + f, about


@function
def log1p(x: Value) -> Value:
    """``log(1 + x)``; −∞ at −1, NaN below."""
    u = 1.0 + x
    back = u - 1.0
    lost = (1.0 - (u - back)) + (x - back)
    result = _log1p(x, lost)
    result = (_magnitude(x) < x.format.epsilon).choose(x, result)
    result = (x < INFINITY).choose(result, x)  # infinity and NaN
    return (x > -1.0).choose(result, x.equals(-1.0).choose(-INFINITY, x.constant(NAN)))


def _bend(x: Value) -> Value:
    """``log(1 + exp(−|x|))``, what softplus differs by from its asymptotes."""
    z = _exp_minus(_magnitude(x))
    return _log1p(z, z - ((1.0 + z) - 1.0))


@function
def softplus(x: Value) -> Value:
    """``log(1 + exp(x))``."""
    return (x > 0.0).choose(x, x.constant(0.0)) + _bend(x)


@function
def log_sigmoid(x: Value) -> Value:
    """``log(sigmoid(x))``."""
    return (x < 0.0).choose(x, x.constant(0.0)) - _bend(x)


# --- sine and cosine ---------------------------------------------------------------------


def _circular(x: Value, quadrants: int) -> Value:
    """``sin(x + quadrants π/2)``."""
    c, format = _constants(x), x.format
    shifted = x.fma(c.two_over_pi, c.rounder)
    n = shifted - c.rounder
    r = x
    for part in c.half_pi:
        r = n.fma(-part, r)
    square = r * r
    sine = (r * square).fma(_polynomial(square, c.sin), r)
    cosine = square.fma(square.fma(_polynomial(square, c.cos), -0.5), 1.0)
    quadrant = shifted.bits() + quadrants
    result = (quadrant & 1).equals(0).choose(sine, cosine)
    return (result.bits() ^ ((quadrant & 2) << (format.integer.width - 2))).number()


@function
def sin(x: Value) -> Value:
    """The sine of an argument below ``FAR``."""
    return _circular(x, 0)


@function
def cos(x: Value) -> Value:
    """The cosine of an argument below ``FAR``."""
    return _circular(x, 1)


@condition
def beyond(x: Value) -> Value:
    """True where ``sin`` and ``cos`` of x are not to be had here; False for NaN."""
    return _magnitude(x) > FAR[x.format.name]
