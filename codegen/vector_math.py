"""Branch-free elementary functions for generated kernels: LLVM vectorises the loops they are in.

Numba from pip calls the scalar exponential of the C library, and a loop with a call in it is not
vectorised. Each function here is a short run of additions, fused multiplications, selections and
operations on bits, the same for float64 and float32. ``README.md`` has a table of the errors;
``tests/test_vector_math.py`` measures them over the whole range. NaN, infinities, subnormal
numbers and overflow are right; the sign of a result that is zero is kept by ``power`` and not
everywhere else. ``fma`` rounds once on every machine, so results are the same on all of them, but
it needs a processor that has it to be fast (AVX2, AVX-512, NEON).

``sin``, ``cos`` and ``tan`` reduce arguments below ``FAR`` exactly enough. Beyond it the
generated code notices (``beyond``) and computes that chunk of rows again with the C library.
Functions of the same argument share what they have in common: LLVM sees that it is the same.

Range reduction follows Cody and Waite, *Software Manual for the Elementary Functions* (1980),
with fused multiplication in place of short constants: if n is the integer nearest x/c, then
x − n·c rounded once is exact. The series of the logarithm in f / (2 + f) is that of FreeBSD's
``e_log.c``; one polynomial for ``exp(a²) erfc(a)`` in (a − s) / (a + s) follows M. M. Shepherd
and J. G. Laframboise, *Mathematics of Computation* 36 (1981).
"""

from __future__ import annotations

from typing import Any

from .straight_line import Value, condition, function
from .vector_constants import CONSTANTS, FAR, NEAR, SPLIT, Constants

__all__ = [
    "FAR", "beyond", "cos", "cosh", "erf", "erfc", "exp", "expm1", "gelu", "log", "log1p",
    "log_sigmoid", "power", "sigmoid", "sin", "sinh", "softplus", "tan", "tanh",
]  # fmt: skip

INFINITY = float("inf")
NAN = float("nan")
MEDIAN = 0.65
"""Below this ``1 - erf`` is exact enough,"""
UPPER = 0.4
"""and below this ``1 + erf`` of a negative number."""
CHANGE = 0.8
"""Minus the derivative of the logarithm of the polynomial for ``erfc``, which is ½ to 1.2."""


def _constants(x: Value) -> Constants:
    return CONSTANTS[x.format.name]


def _polynomial(x: Value, coefficients: tuple[float, ...]) -> Value:
    """Estrin's scheme: few steps wait for one another, so a single sample is fast too.

    The last three terms follow Horner: that is one multiplication less, and takes no longer.
    """
    terms: list[Any] = list(coefficients)
    while len(terms) > 3:
        pairs = [x.fma(high, low) for low, high in zip(terms[::2], terms[1::2], strict=False)]
        terms = pairs + terms[2 * len(pairs) :]
        x = x * x
    result = terms.pop()
    while terms:
        result = x.fma(result, terms.pop())
    return result


def _magnitude(x: Value) -> Value:
    return (x.bits() & (x.format.sign - 1)).number()


def _minus_magnitude(x: Value) -> Value:
    return (x.bits() | x.format.sign).number()


def _with_sign_of(x: Value, sign: Value) -> Value:
    """A number that is not negative, with the sign of another one."""
    return (x.bits() | (sign.bits() & x.format.sign)).number()


# --- exponentials ------------------------------------------------------------------------
#
# Nothing waits for a comparison of the argument: what lies beyond the limits is computed like
# all else, to no use, and replaced at the end.


def _reduce(x: Value, bias: int, rest: Value | None = None) -> tuple[Value, Value, Value]:
    """``x + rest = n ln 2 + r + lost``: bits that end in n + bias, r, and the small ``lost``."""
    c = _constants(x)
    shifted = x.fma(c.log2_e, c.rounder + bias)
    n = shifted - (c.rounder + bias)
    exact = n.fma(-c.ln2[0], x)
    if rest is None:
        r = n.fma(-c.ln2[1], exact)
        return shifted.bits(), r, n.fma(-c.ln2[1], exact - r)
    low = n.fma(-c.ln2[1], rest)
    r = exact + low
    return shifted.bits(), r, low - (r - exact)


def _expm1_of(r: Value, lost: Value | None) -> Value:
    """``exp(r + lost) − 1`` of a reduced argument."""
    tail = _polynomial(r, _constants(r).exp)
    return (r * r).fma(tail, r) if lost is None else (r * r).fma(tail, lost) + r


def _power_of_two(bits: Value) -> Value:
    """2ⁿ of an integer that ends in n + the bias."""
    return (bits << bits.format.mantissa).number()


def _factors(bits: Value) -> tuple[Value, Value]:
    """Two numbers whose product is 2ⁿ; bits end in n + twice the bias.

    They are two because there is no 2¹⁰²⁴, and 2⁻¹⁰⁷⁴ is subnormal.
    """
    half = bits >> 1
    return _power_of_two(half), _power_of_two(bits - half)


def _exp_minus(x: Value) -> tuple[Value, Value, Value]:
    """``exp(−|x|)`` as ``s + s e``, for |x| within the limits: s, e, and e's rounding error."""
    bits, r, lost = _reduce(_minus_magnitude(x), 2 * x.format.bias)
    first, second = _factors(bits)
    return first * second, _expm1_of(r, None), lost


def _expm1_over(divisor: int, x: Value) -> Value:
    """``expm1(x) / divisor`` within the limits; a part of it, since there is no 2¹⁰²⁴."""
    bits, r, lost = _reduce(x, x.format.bias - (divisor - 1).bit_length())
    s = _power_of_two(bits)
    return s.fma(_expm1_of(r, lost), s - 1.0 / divisor)


@function
def exp(x: Value) -> Value:
    """The exponential."""
    c = _constants(x)
    bits, r, _ = _reduce(x, 2 * x.format.bias)
    first, second = _factors(bits)
    result = first.fma(_expm1_of(r, None), first) * second
    result = (x > c.highest).choose(INFINITY, result)
    return (x < c.lowest).choose(0.0, result)


@function
def expm1(x: Value) -> Value:
    """``exp(x) − 1``."""
    c = _constants(x)
    result = (x > c.highest).choose(INFINITY, 2.0 * _expm1_over(2, x))
    result = (x < -c.top).choose(-1.0, result)
    return (_magnitude(x) < x.format.epsilon).choose(x, result)


@function
def tanh(x: Value) -> Value:
    """The hyperbolic tangent."""
    y = _magnitude(x)
    h = _expm1_over(2, y + y)
    # h / (1 + h), so written that roundings count for little
    lead = (h > 1.0).choose(1.0, h)
    result = lead - lead * lead / (1.0 + h)
    return _with_sign_of((y > _constants(x).top / 2).choose(1.0, result), x)


@function
def sinh(x: Value) -> Value:
    """The hyperbolic sine."""
    y = _magnitude(x)
    q = _expm1_over(4, y)
    quotient = q / q.fma(4.0, 1.0)
    # so written that roundings of the quotient count for little where it is not small
    near = 4.0 * (q + q).fma(-quotient, q)
    result = (q < 0.25).choose(near, 2.0 * (q + quotient))
    result = (y > _constants(x).highest + 0.5).choose(INFINITY, result)
    return (y < x.format.epsilon).choose(x, _with_sign_of(result, x))


@function
def cosh(x: Value) -> Value:
    """The hyperbolic cosine."""
    y = _magnitude(x)
    bits, r, lost = _reduce(y, x.format.bias - 2)
    s = _power_of_two(bits)
    quarter = s.fma(_expm1_of(r, lost), s)
    result = 2.0 * (quarter + 0.0625 / quarter)
    return (y > _constants(x).highest + 0.5).choose(INFINITY, result)


@function
def sigmoid(x: Value) -> Value:
    """``1 / (1 + exp(−x))``."""
    s, e, lost = _exp_minus(x)
    negative = x < 0.0
    z, u = s.fma(e, s), s.fma(e, 1.0 + s)
    quotient = negative.choose(z, 1.0) / u
    # what rounding took from 1 + z, and for small quotients from z
    error = ((u - 1.0) - z) + negative.choose(lost, x.constant(0.0))
    quotient = quotient.fma(error, quotient)
    outside = _minus_magnitude(x) < _constants(x).lowest
    return outside.choose(negative.choose(0.0, x.constant(1.0)), quotient)


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


def _parts(x: Value) -> tuple[Value, Value]:
    """``x = 2ᵏ m`` for positive x, subnormal ones included: k and m."""
    c = _constants(x)
    small = x < c.least
    _, k, m = _mantissa(small.choose(x * 2.0**c.lift, x))
    return k - small.choose(float(c.lift), x.constant(0.0)), m


def _log(
    f: Value, coefficients: tuple[float, ...], rest: Value | float = 0.0
) -> tuple[Value, Value]:
    """``log(1 + f) + rest`` as f and what to add to it.

    With ``s = f / (2 + f)`` it is ``2 s + s³ p(s²)``, and 2 s is ``f − f²/2 + s f²/2``: so the
    rounding of the quotient counts for little.
    """
    s = f / (f + 2.0)
    t = s * s
    half_square = f * (0.5 * f)
    series = t.fma(_polynomial(t, coefficients), half_square)
    return f, s.fma(series, rest) - half_square


@function
def log(x: Value) -> Value:
    """The natural logarithm; −∞ at 0, NaN below."""
    c = _constants(x)
    k, m = _parts(x)
    f, rest = _log(m - 1.0, c.log, k * c.ln2[1])
    result = k.fma(c.ln2[0], f + rest)
    result = (x < INFINITY).choose(result, x)  # infinity and NaN
    return (x > 0.0).choose(result, x.equals(0.0).choose(-INFINITY, x.constant(NAN)))


@function
def log1p(x: Value) -> Value:
    """``log(1 + x)``; −∞ at −1, NaN below."""
    c, format = _constants(x), x.format
    u = 1.0 + x
    back = u - 1.0
    lost = (1.0 - (u - back)) + (x - back)
    exponent, k, m = _mantissa(u)
    inverse = (((2 * format.bias) << format.mantissa) - exponent).number()  # 2⁻ᵏ
    correction = (x > 1.0 / format.epsilon).choose(0.0, lost * inverse)
    f = m - 1.0
    correction = correction * f.fma(f - 1.0, 1.0)  # over 1 + f, about
    f, rest = _log(f, c.log, k.fma(c.ln2[1], correction))
    result = k.fma(c.ln2[0], f + rest)
    result = (_magnitude(x) < format.epsilon).choose(x, result)
    result = (x < INFINITY).choose(result, x)  # infinity and NaN
    return (x > -1.0).choose(result, x.equals(-1.0).choose(-INFINITY, x.constant(NAN)))


def _bend(x: Value) -> Value:
    """``log(1 + exp(−|x|))``, what softplus differs by from its asymptotes."""
    c = _constants(x)
    s, e, lost = _exp_minus(x)
    z = (_minus_magnitude(x) < c.lowest).choose(0.0, s.fma(e + lost, s))
    f, rest = _log(z, c.log_to_two)
    return f + rest


@function
def softplus(x: Value) -> Value:
    """``log(1 + exp(x))``."""
    return (x > 0.0).choose(x, x.constant(0.0)) + _bend(x)


@function
def log_sigmoid(x: Value) -> Value:
    """``log(sigmoid(x))``."""
    return (x < 0.0).choose(x, x.constant(0.0)) - _bend(x)


# --- powers ------------------------------------------------------------------------------


def _product(a: Value, b: Value) -> tuple[Value, Value]:
    """A product, and its rounding error."""
    high = a * b
    return high, a.fma(b, -high)


def _log_exactly(x: Value) -> tuple[Value, Value]:
    """``log(x)`` of positive finite x as a sum of two numbers, about twice as precise.

    As in ``_log``, but the quotient and the first two terms of its series carry along what
    rounding takes from them.
    """
    c = _constants(x)
    k, m = _parts(x)
    f, d = m - 1.0, m + 1.0
    inverse = 1.0 / d
    s = f * inverse
    s_low = (-s).fma(m - (d - 1.0), (-s).fma(d, f)) * inverse
    t, t_low = _product(s, s)
    t_low = (s + s).fma(s_low, t_low)
    tail = _polynomial(t, c.log_tail)
    p = t.fma(tail, c.two_thirds[0])
    p_low = t.fma(tail, c.two_thirds[0] - p) + c.two_thirds[1]
    cube, cube_low = _product(s, t)
    cube_low = s.fma(t_low, t.fma(s_low, cube_low))
    series, series_low = _product(cube, p)
    series_low = cube.fma(p_low, p.fma(cube_low, series_low))
    twice = s + s
    near = twice + series
    near_low = (series - (near - twice)) + (s_low + s_low + series_low)
    far, far_low = _product(k, x.constant(c.ln2[0]))
    far_low = k.fma(c.ln2[1], far_low)
    high = far + near  # k is 0 or the first is larger
    return high, (near - (high - far)) + (near_low + far_low)


@function
def power(x: Value, y: Value) -> Value:
    """Raise x to the power of y, with the special cases of C's ``pow``."""
    c = _constants(x)
    size = _magnitude(x)
    high, low = _log_exactly(size)
    high = (size < INFINITY).choose(high, size)  # infinity and NaN
    high = size.equals(0.0).choose(-INFINITY, high)
    exponent, rounding = _product(y, high)
    bits, r, lost = _reduce(exponent, 2 * x.format.bias, y.fma(low, rounding))
    first, second = _factors(bits)
    result = first.fma(_expm1_of(r, lost), first) * second
    result = (exponent > c.highest).choose(INFINITY, result)
    result = (exponent < c.lowest).choose(0.0, result)

    half = 0.5 * y
    whole = y.truncated().equals(y)
    odd = half.truncated().equals(half).choose(0.0, whole.choose(x, x.constant(0.0)))
    result = _with_sign_of(result, odd)
    unreal = (x < 0.0) & (x > -INFINITY)
    result = whole.choose(result, unreal.choose(NAN, result))
    one = size.equals(1.0) & _magnitude(y).equals(INFINITY)
    return (one | x.equals(1.0) | y.equals(0.0)).choose(1.0, result)


# --- error function ----------------------------------------------------------------------


def _upper_tail(
    a: Value, a_low: Value | None, square: Value, rest: Value, factor: Value | None = None
) -> Value:
    """``factor erfc(a + a_low)`` for a ≥ 0 or NaN, where ``square + rest`` is its square.

    With ``q = (a - s) / (a + s)`` it is a polynomial of q over ``a + s``, times ``exp(-a²)``. The
    polynomial's last step, the quotient and the products carry along what rounding takes from them.
    """
    c = _constants(a)
    d = a + SPLIT
    u = 1.0 / d
    d_low = a - (d - SPLIT)
    if a_low is not None:
        d_low = d_low + a_low
    error = u.fma(-d, 1.0) - u * d_low  # of u, as a part of it
    q = u.fma(-2.0 * SPLIT, 1.0)
    exponent = (1.0 - q).fma(CHANGE * error, error) - rest
    tail = _polynomial(q, c.erfc[2:])
    inner = q.fma(tail, c.erfc[1])
    inner_low = q.fma(tail, c.erfc[1] - inner)
    p = q.fma(inner, c.erfc[0])
    p_low = q.fma(inner, c.erfc[0] - p) + q.fma(inner_low, _polynomial(q, c.erfc_low))
    if factor is not None:
        u, u_low = _product(u, factor)
    scaled, low = _product(p, u)
    low = p_low.fma(u, low)
    if factor is not None:
        low = p.fma(u_low, low)
    bits, r, lost = _reduce(-square, 2 * a.format.bias, exponent)
    first, second = _factors(bits)
    result = scaled.fma(_expm1_of(r, lost), low) + scaled
    return (square > -c.lowest).choose(0.0, result * first * second)


def _erfs(x: Value) -> tuple[Value, Value]:
    """``erf(x)``, exact enough for |x| below ``NEAR``, and ``erfc(|x|)``."""
    a = _magnitude(x)
    square, rest = _product(a, a)
    near = x.fma(_polynomial(square, _constants(x).erf), x)
    return near, _upper_tail(a, None, square, rest)


@function
def erf(x: Value) -> Value:
    """The error function."""
    near, tail = _erfs(x)
    return (_magnitude(x) < NEAR).choose(near, _with_sign_of(1.0 - tail, x))


@function
def erfc(x: Value) -> Value:
    """``1 - erf(x)``."""
    near, tail = _erfs(x)
    return (_magnitude(x) < MEDIAN).choose(1.0 - near, (x < 0.0).choose(2.0 - tail, tail))


@function
def gelu(x: Value) -> Value:
    """Multiply x by its normal distribution function."""
    a = _magnitude(x)
    half = 0.5 * a
    half_square, rest = _product(half, a)
    root, root_low = _constants(x).half_root
    z = root * x
    near = x * (0.5 + 0.5 * z.fma(_polynomial(half_square, _constants(x).erf), z))
    scaled = root * a
    low = a.fma(root_low, a.fma(root, -scaled))
    tail = _upper_tail(scaled, low, half_square, rest, half)
    far = (x > 0.0).choose(x, x.constant(0.0)) - tail
    return (half_square < UPPER * UPPER).choose(near, far)


# --- sine and cosine ---------------------------------------------------------------------


def _circular(x: Value) -> tuple[Value, Value, Value]:
    """Sine and cosine of x less a multiple of π/2, and bits that end in the multiple."""
    c = _constants(x)
    shifted = x.fma(c.two_over_pi, c.rounder)
    n = shifted - c.rounder
    r = x
    for part in c.half_pi:
        r = n.fma(-part, r)
    square = r * r
    sine = (r * square).fma(_polynomial(square, c.sin), r)
    cosine = square.fma(square.fma(_polynomial(square, c.cos), -0.5), 1.0)
    return sine, cosine, shifted.bits()


def _sine(x: Value, quadrants: int) -> Value:
    """``sin(x + quadrants π/2)``."""
    sine, cosine, quadrant = _circular(x)
    quadrant = quadrant + quadrants
    result = (quadrant & 1).equals(0).choose(sine, cosine)
    return (result.bits() ^ ((quadrant & 2) << (x.format.integer.width - 2))).number()


@function
def sin(x: Value) -> Value:
    """The sine of an argument below ``FAR``."""
    return _sine(x, 0)


@function
def cos(x: Value) -> Value:
    """The cosine of an argument below ``FAR``."""
    return _sine(x, 1)


@function
def tan(x: Value) -> Value:
    """The tangent of an argument below ``FAR``.

    The sine carries along what rounding takes from the argument and from the cosine.
    """
    c = _constants(x)
    shifted = x.fma(c.two_over_pi, c.rounder)
    n = shifted - c.rounder
    exact = n.fma(-c.half_pi[0], x)
    part, part_low = _product(n, x.constant(c.half_pi[1]))
    r = exact - part
    low = n.fma(-c.half_pi[2], ((exact - r) - part) - part_low)
    square = r * r
    bend = square.fma(_polynomial(square, c.cos), -0.5)
    cosine = square.fma(bend, 1.0)
    # over the cosine, for which it counts, too; and what rounding takes from the cosine
    low = (-r).fma(square.fma(bend, 1.0 - cosine), low.fma(0.5 * square, low))
    sine = (r * square).fma(_polynomial(square, c.sin), low) + r
    even = (shifted.bits() & 1).equals(0)
    return even.choose(sine, -cosine) / even.choose(cosine, sine)


@condition
def beyond(x: Value) -> Value:
    """True where ``sin`` and ``cos`` of x are not to be had here; False for NaN."""
    return _magnitude(x) > FAR[x.format.name]
