"""THE spelling table: how each operation is written in generated source.

A spelling is a template (``{0}``, ``{1}`` are the operands, already in the dtype of the
result), or a helper: a small function whose text goes into the generated module. ``real`` is
the floating type of the kernel, so constants never widen a float32 computation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """An expression; ``join`` takes any number of operands."""

    text: str = ""
    join: str = ""


@dataclass(frozen=True)
class Helper:
    """A function in the generated module; ``needs`` names other helpers that it calls."""

    source: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class External:
    """A function of ``codegen.special``: a compiled routine of SciPy, in float64."""

    name: str


@dataclass(frozen=True)
class Vector:
    """A function of ``codegen.vector_math``, called by the name of its operation.

    With ``math="accurate"`` the name stands for ``accurate`` instead: a function of NumPy, which
    is one of the C library, or a helper.
    """

    accurate: str | Helper


Spelling = Template | Helper | External | Vector


def _helper(source: str, *needs: str) -> Helper:
    return Helper(source.strip("\n"), needs)


SPELLING: dict[str, Spelling] = {
    "add": Template(join=" + "),
    "subtract": Template("{0} - {1}"),
    "multiply": Template("{0} * {1}"),
    "divide": Template("{0} / {1}"),
    "negative": Template("-{0}"),
    "power": Vector("np.power"),
    "sqrt": Template("np.sqrt({0})"),
    "exp": Vector("np.exp"),
    "log": Vector("np.log"),
    "sin": Vector("np.sin"),
    "cos": Vector("np.cos"),
    "tan": Vector("np.tan"),
    "asin": Template("np.arcsin({0})"),
    "acos": Template("np.arccos({0})"),
    "atan": Template("np.arctan({0})"),
    "atan2": Template("np.arctan2({0}, {1})"),
    "sinh": Vector("np.sinh"),
    "cosh": Vector("np.cosh"),
    "tanh": Vector("np.tanh"),
    "asinh": Template("np.arcsinh({0})"),
    "acosh": Template("np.arccosh({0})"),
    "atanh": Template("np.arctanh({0})"),
    "log1p": Vector("np.log1p"),
    "expm1": Vector("np.expm1"),
    "abs": Template("abs({0})"),
    "floor": Template("np.floor({0})"),
    "ceiling": Template("np.ceil({0})"),
    "mod": Template("{0} % {1}"),
    "floor_divide": Template("{0} // {1}"),
    "modulo": Template("{0} % {1}"),
    "where": Template("{1} if {0} else {2}"),
    "equal": Template("{0} == {1}"),
    "not_equal": Template("{0} != {1}"),
    "less": Template("{0} < {1}"),
    "less_equal": Template("{0} <= {1}"),
    "logical_and": Template(join=" and "),
    "logical_or": Template(join=" or "),
    "logical_not": Template("not {0}"),
    "better_max": Template("{0} > {1} or ({0} != {0} and {1} == {1})"),
    "better_min": Template("{0} < {1} or ({0} != {0} and {1} == {1})"),
    "to_int": Template("{0}"),
    "square": _helper("""
def square(x):
    return x * x
"""),
    "integer_power": _helper("""
def integer_power(x, k):
    result = x
    for _ in range(k - 1):
        result = result * x
    return result
"""),
    "half_power": _helper("""
def half_power(x, k):
    base = real(np.inf) if x == -np.inf else x
    result = np.sqrt(base)
    for _ in range(k):
        result = result * base
    return result
"""),
    "sign": _helper("""
def sign(x):
    return x if x != x else real(x > 0) - real(x < 0)
"""),
    "heaviside": _helper("""
def heaviside(x, at_zero):
    return x if x != x else at_zero if x == 0 else real(x > 0)
"""),
    "maximum": _helper("""
def maximum(a, b):
    return a if a >= b or a != a else b
"""),
    "minimum": _helper("""
def minimum(a, b):
    return a if a <= b or a != a else b
"""),
    "sigmoid": Vector(_helper("""
def sigmoid(x):
    return real(1) / (real(1) + exp(-x))
""", "exp")),
    "softplus": Vector(_helper("""
def softplus(x):
    return (x if x > 0 else x if x != x else real(0)) + log1p(exp(-abs(x)))
""", "exp", "log1p")),
    "log_sigmoid": Vector(_helper("""
def log_sigmoid(x):
    return (x if x < 0 else x if x != x else real(0)) - log1p(exp(-abs(x)))
""", "exp", "log1p")),
    "relu": _helper("""
def relu(x):
    return x if x > 0 else x if x != x else real(0)
"""),
    "leaky_relu": _helper("""
def leaky_relu(x, slope):
    return x if x > 0 else slope * x
"""),
    "elu": _helper("""
def elu(x, alpha):
    return x if x > 0 else alpha * expm1(x)
""", "expm1"),
    "gelu": Vector(_helper("""
def gelu(x):
    gate = real(0.5) * erfc(-x * real(0.7071067811865476))
    return real(0) if x == -np.inf else x * gate
""", "erfc")),
    "silu": _helper("""
def silu(x):
    return real(0) if x == -np.inf else x / (real(1) + exp(-x))
""", "exp"),
    "logit": _helper("""
def logit(p):
    if p > real(0.3) and p < real(0.65):
        s = (p - real(0.5)) * real(2)
        return log1p(s) - log1p(-s)
    return log(p) - log1p(-p)
""", "log", "log1p"),
    "xlogy": _helper("""
def xlogy(x, y):
    return real(0) if x == 0 and y == y else x * log(y)
""", "log"),
    "logaddexp": _helper("""
def logaddexp(x, y):
    if x == y:
        return x + real(0.6931471805599453)
    top = x if x > y else y
    return top + log1p(exp(-abs(x - y)))
""", "exp", "log1p"),
    "log1mexp": _helper("""
def log1mexp(x):
    if x > -real(0.6931471805599453):
        return log(-expm1(x))
    return log1p(-exp(x))
""", "exp", "expm1", "log", "log1p"),
    "log_cosh": _helper("""
def log_cosh(x):
    a = abs(x)
    if a < real(1):
        t = expm1(-a)
        return log1p(t * t / (real(2) * (real(1) + t)))
    return a + (log1p(exp(real(-2) * a)) - real(0.6931471805599453))
""", "exp", "expm1", "log1p"),
    "normal_fraction": _helper("""
def normal_fraction(x):
    t = real(0)
    for k in range(39):
        t = real(40 - k) / (x + t)
    return t
"""),
    "normal_hazard": _helper("""
def normal_hazard(x):
    if x > real(4):
        return x + real(1) / (x + normal_fraction(x))
    tail = erfc(x * real(0.7071067811865476))
    return real(0.7978845608028654) * exp(-x * x / real(2)) / tail
""", "erfc", "exp", "normal_fraction"),
    "normal_hazard_slope": _helper("""
def normal_hazard_slope(x):
    if x > real(4):
        t = normal_fraction(x)
        excess = real(1) / (x + t)
        return real(1) - excess * (t - excess)
    y = real(-1000) if x < real(-1000) else x
    h = normal_hazard(y)
    return h * (h - y)
""", "normal_fraction", "normal_hazard"),
    "log_erfc": _helper("""
def log_erfc(x):
    if x < real(0.5):
        return log1p(-erf(x))
    if x > real(2):
        h = normal_hazard(x * real(1.4142135623730951))
        return real(-0.22579135264472744) - log(h) - x * x
    return log(erfc(x))
""", "erf", "erfc", "log", "log1p", "normal_hazard"),
    "log_normal_cdf": _helper("""
def log_normal_cdf(x):
    if x > real(0):
        return log1p(real(-0.5) * erfc(x * real(0.7071067811865476)))
    if x < real(-3):
        return -log(normal_hazard(-x)) - x * x / real(2) - real(0.9189385332046727)
    return log(real(0.5) * erfc(-x * real(0.7071067811865476)))
""", "erfc", "log", "log1p", "normal_hazard"),
    "hypot": _helper("""
def hypot(x, y):
    a = abs(x)
    b = abs(y)
    if a == np.inf or b == np.inf:
        return real(np.inf)
    top = a if a > b else b
    low = b if a > b else a
    if top == 0:
        return a + b
    r = low / top
    return top * np.sqrt(real(1) + r * r)
"""),
    "cos_of": _helper("""
def cos_of(x, y):
    if x == 0 and y == y:
        return x
    if abs(x) >= abs(y):
        r = y / x
        return (real(1) if x > 0 else real(-1)) / np.sqrt(real(1) + r * r)
    r = x / abs(y)
    return r / np.sqrt(real(1) + r * r)
"""),
    "exp_asinh": _helper("""
def exp_asinh(x):
    root = hypot(x, real(1))
    return real(1) / (root - x) if x < 0 else x + root
""", "hypot"),
    "one_minus_square": _helper("""
def one_minus_square(x):
    return (real(1) - x) * (real(1) + x)
"""),
    "xlog1py": _helper("""
def xlog1py(x, y):
    return real(0) if x == 0 and y == y else x * log1p(y)
""", "log1p"),
    "bounded": _helper("""
def bounded(index, size, status):
    if index < 0:
        index += size
    if index < 0 or index >= size:
        status[0] = 1
        return 0
    return index
"""),
    "label": _helper("""
def label(index, size, status):
    if index < 0 or index >= size:
        status[0] = 2
    return index
"""),
    "bounded_outside": _helper("""
def bounded_outside(index, size):
    return (index < -size) | (index >= size)
"""),
    "label_outside": _helper("""
def label_outside(index, size):
    return (index < 0) | (index >= size)
"""),
    "inside": _helper("""
def inside(index, size):
    place = index + size if index < 0 else index
    return max(min(place, size - 1), 0)
"""),
    "eliminate": _helper("""
def eliminate(a, b, n, k):
    # Gaussian elimination with partial pivoting; gives the sign of the permutation
    sign = real(1)
    for c in range(n):
        pivot = c
        best = abs(a[c * n + c])
        for r in range(c + 1, n):
            size = abs(a[r * n + c])
            if size > best or (size != size and best == best):
                pivot = r
                best = size
        if best == 0:
            continue
        if pivot != c:
            sign = -sign
            for j in range(n):
                held = a[c * n + j]
                a[c * n + j] = a[pivot * n + j]
                a[pivot * n + j] = held
            for j in range(k):
                held = b[c * k + j]
                b[c * k + j] = b[pivot * k + j]
                b[pivot * k + j] = held
        for r in range(c + 1, n):
            factor = a[r * n + c] / a[c * n + c]
            for j in range(c + 1, n):
                a[r * n + j] -= factor * a[c * n + j]
            for j in range(k):
                b[r * k + j] -= factor * b[c * k + j]
    return sign
"""),
    "solve_linear": _helper("""
def solve_linear(a, b, n, k, status):
    eliminate(a, b, n, k)
    for c in range(n - 1, -1, -1):
        if a[c * n + c] == 0:
            status[0] = 3
        for j in range(k):
            b[c * k + j] /= a[c * n + c]
        for r in range(c):
            for j in range(k):
                b[r * k + j] -= a[r * n + c] * b[c * k + j]
""", "eliminate"),
    "determinant": _helper("""
def determinant(result, a, n, status):
    total = eliminate(a, a, n, 0)
    for c in range(n):
        total = total * a[c * n + c]
    result[0] = total
""", "eliminate"),
    "log_determinant": _helper("""
def log_determinant(result, a, n, status):
    eliminate(a, a, n, 0)
    total = real(0)
    for c in range(n):
        total = total + log(abs(a[c * n + c]))
    result[0] = total
""", "eliminate", "log"),
    "cholesky_factor": _helper("""
def cholesky_factor(a, n, status):
    for j in range(n):
        rest = a[j * n + j]
        for k in range(j):
            rest -= a[j * n + k] * a[j * n + k]
        if not rest > 0:
            status[0] = 4
        a[j * n + j] = np.sqrt(rest)
        for i in range(j + 1, n):
            total = a[i * n + j]
            for k in range(j):
                total -= a[i * n + k] * a[j * n + k]
            a[i * n + j] = total / a[j * n + j]
        for k in range(j + 1, n):
            a[j * n + k] = real(0)
"""),
    "mix": _helper("""
def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
"""),
    "random_bits": _helper("""
def random_bits(seed, step, site, index):
    golden = np.uint64(0x9E3779B97F4A7C15)
    z = mix(np.uint64(seed) + golden)
    z = mix(z + golden * np.uint64(site + 1))
    z = mix(z + golden * (np.uint64(step) + np.uint64(1)))
    z = mix(z + golden * (np.uint64(index) + np.uint64(1)))
    return np.int64(z >> np.uint64(40))
""", "mix"),
    "combine_add": _helper("""
def combine_add(partials, stride, chunks):
    total = partials[0]
    for chunk in range(1, chunks):
        total += partials[chunk * stride]
    return total
"""),
    "combine_maximum": _helper("""
def combine_maximum(partials, stride, chunks):
    total = partials[0]
    for chunk in range(1, chunks):
        total = maximum(total, partials[chunk * stride])
    return total
""", "maximum"),
    "combine_minimum": _helper("""
def combine_minimum(partials, stride, chunks):
    total = partials[0]
    for chunk in range(1, chunks):
        total = minimum(total, partials[chunk * stride])
    return total
""", "minimum"),
    "erf": Vector(_helper("""
def erf(x):
    return real(math.erf(x))
""")),
    "erfc": Vector(_helper("""
def erfc(x):
    return real(math.erfc(x))
""")),
    **{name: External(name) for name in (
        "airyai", "airyaiprime", "airybi", "airybiprime", "besseli", "besselj", "besselk",
        "bessely", "beta", "chi", "ci", "digamma", "ei", "erfcinv", "erfi", "erfinv", "expint",
        "fresnelc", "fresnels", "gamma", "jn", "lambertw", "loggamma", "lowergamma", "polygamma",
        "shi", "si", "uppergamma", "yn", "zeta",
    )},
}  # fmt: skip
"""How every elementwise row of the table of operations is written, and what lowering adds."""
