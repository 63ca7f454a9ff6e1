"""Walks the table of elementwise operations: value, derivatives, broadcasting, special points.

The structural half of the table is in test_structural.py.
"""

import mpmath
import numpy as np
import pytest
import sympy as sp
from differences import check, finite_difference, value

import symdiff as sd
from symdiff.bridge import FROM_SYMPY, to_graph, to_sympy
from symdiff.elementwise import ELEMENTWISE, VARIADIC
from symdiff.functions import NAIVE, StableFunction
from symdiff.graph import apply
from symdiff.operations import TABLE
from symdiff.special import SPECIAL
from symdiff.structural import STRUCTURAL

ANY = (-2.0, 2.0)
POSITIVE = (0.4, 2.5)
UNIT = (-0.85, 0.85)
PROBABILITY = (0.1, 0.9)
ORDERS = (0, 1, 2, 3)

# for each row: an interval for each operand
DOMAINS = {
    "add": (ANY, ANY),
    "subtract": (ANY, ANY),
    "multiply": (ANY, ANY),
    "divide": (ANY, POSITIVE),
    "negative": (ANY,),
    "power": (POSITIVE, ANY),
    "sqrt": (POSITIVE,),
    "exp": (ANY,),
    "log": (POSITIVE,),
    "sin": (ANY,),
    "cos": (ANY,),
    "tan": ((-1.2, 1.2),),
    "asin": (UNIT,),
    "acos": (UNIT,),
    "atan": (ANY,),
    "atan2": (ANY, POSITIVE),
    "sinh": (ANY,),
    "cosh": (ANY,),
    "tanh": (ANY,),
    "asinh": (ANY,),
    "acosh": ((1.2, 3.0),),
    "atanh": (UNIT,),
    "erf": (ANY,),
    "erfc": (ANY,),
    "erfinv": (UNIT,),
    "gamma": (POSITIVE,),
    "loggamma": (POSITIVE,),
    "digamma": (POSITIVE,),
    "polygamma": ((1, 2, 3), POSITIVE),
    "abs": (ANY,),
    "sign": (ANY,),
    "floor": (ANY,),
    "ceiling": (ANY,),
    "mod": (ANY, POSITIVE),
    "heaviside": (ANY, ANY),
    "maximum": (ANY, ANY),
    "minimum": (ANY, ANY),
    "where": ((0, 1), ANY, ANY),
    "sigmoid": (ANY,),
    "softplus": (ANY,),
    "log_sigmoid": (ANY,),
    "relu": (ANY,),
    "leaky_relu": (ANY, PROBABILITY),
    "elu": (ANY, POSITIVE),
    "gelu": (ANY,),
    "silu": (ANY,),
    "logit": (PROBABILITY,),
    "xlogy": (ANY, POSITIVE),
    "log1p": ((-0.6, 2.0),),
    "expm1": (ANY,),
    "logaddexp": (ANY, ANY),
    "log1mexp": ((-2.5, -0.3),),
    "log_cosh": (ANY,),
    "log_erfc": (ANY,),
    "log_normal_cdf": (ANY,),
    "normal_hazard": (ANY,),
    "normal_hazard_slope": (ANY,),
    "hypot": (ANY, ANY),
    "cos_of": (ANY, ANY),
    "exp_asinh": (ANY,),
    "one_minus_square": (ANY,),
    "xlog1py": (ANY, (-0.6, 2.0)),
    "erfi": (ANY,),
    "erfcinv": ((0.15, 1.85),),
    "beta": (POSITIVE, POSITIVE),
    "lowergamma": (POSITIVE, POSITIVE),
    "uppergamma": (POSITIVE, POSITIVE),
    "besselj": (ORDERS, POSITIVE),
    "bessely": (ORDERS, POSITIVE),
    "besseli": (ORDERS, POSITIVE),
    "besselk": (ORDERS, POSITIVE),
    "jn": (ORDERS, POSITIVE),
    "yn": (ORDERS, POSITIVE),
    "zeta": ((2, 3, 4), POSITIVE),
    "ei": (POSITIVE,),
    "expint": (ORDERS, POSITIVE),
    "si": (ANY,),
    "ci": (POSITIVE,),
    "shi": (ANY,),
    "chi": (POSITIVE,),
    "lambertw": ((-0.3, 2.0), (0,)),
    "airyai": (ANY,),
    "airyaiprime": (ANY,),
    "airybi": (ANY,),
    "airybiprime": (ANY,),
    "fresnels": (ANY,),
    "fresnelc": (ANY,),
    "equal": ((0, 1), (0, 1)),
    "not_equal": ((0, 1), (0, 1)),
    "less": (ANY, ANY),
    "less_equal": ((0, 1), (0, 1)),
    "logical_and": ((0, 1), (0, 1)),
    "logical_or": ((0, 1), (0, 1)),
    "logical_not": ((0, 1),),
}

# operands that take whole numbers: they are data, and the loss is not differentiated by them
FIXED = {("polygamma", 0), ("where", 0), ("lambertw", 1), ("expint", 0)} | {
    (name, 0)
    for name in (
        "besselj",
        "bessely",
        "besseli",
        "besselk",
        "jn",
        "yn",
        "zeta",
        "lowergamma",
        "uppergamma",
    )
}

UNARY = [((),), ((3,),), ((2, 3),)]
BINARY = [((), ()), ((), (3,)), ((3,), ()), ((2, 3), (3,)), ((2, 1), (1, 3)), ((2, 3), (2, 3))]
TERNARY = [((), (3,), ()), ((2, 1), (3,), (2, 3)), ((2, 3), (), (2, 1))]
PATTERNS = {1: UNARY, 2: BINARY, 3: TERNARY}

CASES = [(name, shapes) for name in DOMAINS for shapes in PATTERNS[len(DOMAINS[name])]]
SMOOTH = [c for c in CASES if ELEMENTWISE[c[0]].differentiable]


def label(case):
    return str(case) if isinstance(case, tuple) else case


def draw(domain, shape, rng):
    if all(isinstance(d, int) for d in domain):
        return rng.choice(domain, shape).astype(float)
    return rng.uniform(*domain, shape)


def setup(name, shapes):
    """The expression of a row in tensors of these shapes, the tensors and their values."""
    rng = np.random.default_rng([len(name), *map(ord, name)])
    symbols = [sd.tensor(f"x{i}", *shape) for i, shape in enumerate(shapes)]
    values = {
        s: draw(d, shape, rng) for s, d, shape in zip(symbols, DOMAINS[name], shapes, strict=True)
    }
    (expression,) = to_sympy([apply(name, *map(to_graph, symbols))])
    return expression, symbols, values


def loss_of(expression, name, seed=1):
    weights = np.random.default_rng(seed).uniform(0.5, 1.5, sd.shape(expression))
    return sd.sum(expression * weights)


def differentiable(name, symbols):
    return [s for i, s in enumerate(symbols) if (name, i) not in FIXED]


def test_every_row_has_a_case():
    assert set(DOMAINS) == set(ELEMENTWISE), set(DOMAINS) ^ set(ELEMENTWISE)
    assert set(TABLE) >= set(ELEMENTWISE) | set(STRUCTURAL)
    assert set(ELEMENTWISE) >= VARIADIC
    assert set(NAIVE) == {cls.__name__ for cls in StableFunction.__subclasses__()}
    assert set(StableFunction.__subclasses__()) <= set(FROM_SYMPY)


@pytest.mark.parametrize("name", DOMAINS)
def test_numpy_meaning_is_that_of_the_sympy_form(name):
    rng = np.random.default_rng(7)
    row = ELEMENTWISE[name]
    arguments = sp.symbols(f"x:{len(DOMAINS[name])}", real=True)
    body = row.body(*arguments)
    node = apply(name, *map(to_graph, arguments))
    for _ in range(5):
        point = [float(draw(d, (), rng)) for d in DOMAINS[name]]
        exact = dict(zip(arguments, map(sp.Rational, point), strict=True))
        expected = body.replace(sp.erfcinv, lambda t: sp.erfinv(1 - t)).subs(exact)
        got = row.numpy([np.float64(p) for p in point], node, {})
        if node.dtype == "bool":
            assert bool(got) is bool(expected)
        else:
            rel = 1e-12 if name in {row[0] for row in SPECIAL} else 2e-14  # SciPy's accuracy
            assert float(got) == pytest.approx(float(expected.evalf(30)), rel=rel, abs=1e-16)


@pytest.mark.parametrize("name", NAIVE)
def test_stable_functions_have_the_value_and_the_derivatives_of_their_textbook_form(name):
    rng = np.random.default_rng(5)
    arity = len(DOMAINS[name])
    arguments = sp.symbols(f"x:{arity}", real=True)
    function = next(c for c in StableFunction.__subclasses__() if c.__name__ == name)
    for _ in range(3):
        point = [float(draw(d, (), rng)) for d in DOMAINS[name]]
        exact = dict(zip(arguments, map(sp.Rational, point), strict=True))
        for position in range(arity):
            own = function(*arguments).diff(arguments[position]).subs(exact).evalf(25)
            naive = NAIVE[name](*arguments).diff(arguments[position]).subs(exact).evalf(25)
            assert abs(own - naive) < sp.Float("1e-20")


@pytest.mark.parametrize(("name", "shapes"), CASES, ids=label)
def test_broadcasting_and_both_dtypes(name, shapes):
    expression, _, values = setup(name, shapes)
    row = ELEMENTWISE[name]
    stretched = np.broadcast_arrays(*values.values())
    scalars = [apply(name, *map(to_graph, sp.symbols(f"y:{len(shapes)}")))] * stretched[0].size
    expected = [
        row.numpy([np.float64(a.ravel()[i]) for a in stretched], scalars[i], {})
        for i in range(stretched[0].size)
    ]
    got = sd.evaluate(expression, values)
    assert np.shape(got) == stretched[0].shape
    np.testing.assert_array_almost_equal_nulp(np.ravel(got) * 1.0, np.array(expected) * 1.0, 4)
    single = sd.evaluate(expression, values, dtype="float32")
    if to_graph(expression).dtype == "real":
        assert single.dtype == np.float32
    if name not in ("mod", "floor", "ceiling"):
        np.testing.assert_allclose(single, got, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "shapes"), SMOOTH, ids=label)
def test_first_derivative(name, shapes):
    expression, symbols, values = setup(name, shapes)
    loss = loss_of(expression, name)
    gradients = check(loss, differentiable(name, symbols), values, rtol=2e-8, atol=2e-8)
    for gradient in gradients:
        double = value(gradient, values)
        single = value(gradient, values, dtype="float32")
        assert single.dtype == np.float32
        if name not in ("mod", "floor", "ceiling"):
            np.testing.assert_allclose(single, double, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("name", "shapes"), SMOOTH, ids=label)
def test_second_derivative(name, shapes):
    expression, symbols, values = setup(name, shapes)
    wrt = differentiable(name, symbols)
    for first in sd.gradient(loss_of(expression, name), wrt):
        check(loss_of(first, name, seed=2), wrt, values, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", [n for n in DOMAINS if not ELEMENTWISE[n].differentiable])
def test_what_has_no_derivative_contributes_nothing(name):
    x = sp.Symbol("x")
    shapes = [()] * len(DOMAINS[name])
    expression, symbols, values = setup(name, shapes)
    loss = x**2 + x * sd.where(expression, 1, 0)
    for symbol in symbols:
        assert sd.gradient(loss, symbol) == 0
    gradient = sd.gradient(loss, x)
    expected = finite_difference(lambda v: sd.evaluate(loss, v), {**values, x: 1.5}, x)
    assert sd.evaluate(gradient, {**values, x: 1.5}) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", sorted(VARIADIC))
def test_rows_of_any_number_of_operands(name):
    rng = np.random.default_rng(0)
    symbols = [sd.tensor(f"x{i}", *shape) for i, shape in enumerate([(3,), (), (2, 3), (2, 1)])]
    values = {s: draw(DOMAINS[name][0], s.shape, rng) for s in symbols}
    (expression,) = to_sympy([apply(name, *map(to_graph, symbols))])
    function = {
        "add": np.add,
        "maximum": np.maximum,
        "minimum": np.minimum,
        "logical_and": np.logical_and,
        "logical_or": np.logical_or,
    }[name]
    expected = values[symbols[0]]
    for s in symbols[1:]:
        expected = function(expected, values[s])
    np.testing.assert_allclose(sd.evaluate(expression, values), expected)
    if ELEMENTWISE[name].differentiable:
        check(loss_of(expression, name), symbols, values)


# --- special points ----------------------------------------------------------------------

x, y = sp.symbols("x y")


def slope(expression, **at):
    values = {sp.Symbol(k): v for k, v in at.items()}
    return value(sd.gradient(expression, x), values)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (sd.relu(x), 0),
        (sp.Abs(x), 0),
        (sp.sqrt(x**2), 0),
        (sp.Max(x, 0), 0.5),
        (sp.Min(x, 0), 0.5),
        (sd.maximum(x, x**2), 0.5),
        (sp.sign(x), 0),
        (sp.floor(x), 0),
        (sp.ceiling(x), 0),
        (sp.Heaviside(x), 0),
        (sd.leaky_relu(x), 0.01),
        (sd.elu(x), 1),
        (sd.sigmoid(x), 0.25),
        (sd.softplus(x), 0.5),
        (sd.clip(x, 0, 1), 0.5),
        (x**2, 0),
        (x**3, 0),
        (x**1, 1),
        (x ** x.func("k"), None),
        (sp.exp(-(x**2)), 0),
        (sp.sinc(x), 0),
    ],
    ids=str,
)
def test_derivative_at_zero(expression, expected):
    if expected is None:  # x**k at k = 0, 1, 2
        for k, right in ((0.0, 0), (1.0, 1), (2.0, 0)):
            assert slope(expression, x=0.0, k=k) == right
        return
    got = slope(expression, x=0.0)
    assert got == expected and not np.isnan(got)


def test_ties_share_the_gradient():
    a, b, c = sp.symbols("a b c")
    at = {a: 2.0, b: 2.0, c: 1.0}
    for extremum, sign in ((sp.Max, 1), (sp.Min, -1)):
        gradients = sd.gradient(sign * extremum(sign * a, sign * b, sign * c), [a, b, c])
        assert [value(g, at) for g in gradients] == [0.5, 0.5, 0]
    v = sd.tensor("v", 4)
    for reduce, sign in ((sd.max, 1), (sd.min, -1)):
        gradient = sd.gradient(reduce(v), v)
        got = sd.evaluate(gradient, {v: sign * np.array([3.0, 1.0, 3.0, 3.0])})
        np.testing.assert_allclose(got, [1 / 3, 0, 1 / 3, 1 / 3])


def test_no_delta_functions_in_second_derivatives():
    for expression in (sp.Abs(x), sp.sign(x) * x, sp.Max(x, 0), sd.relu(x), sp.Heaviside(x) * x**2):
        second = sd.gradient(sd.gradient(expression, x), x)
        assert not second.has(sp.DiracDelta, sp.Derivative)
        assert np.isfinite(sd.evaluate(second, {x: 0.0}) if second.free_symbols else float(second))


# each of these is fine at x only because a branch is not taken there
UNTAKEN = [
    (sd.where(x > 0, sp.log(x), 0), -1.0, 0.0),
    (sd.where(x > 0, sp.log(x), 0), 0.0, 0.0),
    (sd.where(x > 0, sp.sqrt(x), 3 * x), 0.0, 3.0),
    (sd.where(x > 0, 1 / x, x**2), 0.0, 0.0),
    (sp.Piecewise((sp.log(x), x > 0), (x, True)), 0.0, 1.0),
    (sp.Piecewise((sp.log(x), x > 1), (sp.sqrt(x), x > 0), (2 * x, True)), 0.0, 2.0),
    (sp.exp(sd.where(x > 0, sp.log(x), 0)), -1.0, 0.0),
    (sd.where(x > 0, sd.where(x > 1, sp.log(x - 1), sp.log(x)), 5 * x), 0.0, 5.0),
    (sd.where(x > 0, sd.where(x > 1, sp.log(x - 1), sp.log(x)), 5 * x), 1.0, 1.0),
    (sd.where(x > 0, sp.sqrt(x) * sp.log(x) + sp.log(x) ** 2, x), 0.0, 1.0),
    (sd.where(x > 0, sp.log(x), 0) + sd.where(x > 0, sp.log(x) ** 2, 0) + x, 0.0, 1.0),
    (sd.where(x > 0, sp.log(x), 0) * sd.where(x < 0, sp.log(-x), x), 0.0, 0.0),
    (sd.where(x > 0, x * sp.exp(1000 * x), x), -1.0, 1.0),
    (sd.where(x > 0, sp.exp(-1000 / x), 2 * x), 0.0, 2.0),
]


@pytest.mark.parametrize(("expression", "at", "expected"), UNTAKEN, ids=str)
def test_the_branch_not_taken_contributes_nothing(expression, at, expected):
    assert slope(expression, x=at) == pytest.approx(expected)


def test_the_branch_not_taken_contributes_nothing_to_tensors():
    X, s = sd.tensor("X", "n", 3), sd.tensor("s", 3)
    data = np.array([[1.0, 0.0, -1.0], [4.0, -2.0, 0.0]])
    inner = sp.log(X * s)  # shared by both branches, and only safe where X > 0
    loss = sd.sum(sd.where(X > 0, inner**2, 0)) + sd.sum(sd.where(X > 0, inner, X))
    values = {X: data, s: np.array([1.0, 2.0, 3.0])}
    gradients = [sd.evaluate(g, values) for g in sd.gradient(loss, [X, s])]
    positive = data > 0
    with np.errstate(all="ignore"):
        log = np.log(data * values[s])
        right_X = np.where(positive, (2 * log + 1) / data, 1)
        right_s = np.where(positive, (2 * log + 1) / values[s], 0).sum(axis=0)
    np.testing.assert_allclose(gradients[0], right_X)
    np.testing.assert_allclose(gradients[1], right_s)
    # through a sum, a product of matrices and a slice
    W = sd.tensor("W", 3, 2)
    loss = sd.sum(sd.where(sd.sum(X, axis=1) > 0, sp.log(sd.sum(X, axis=1)), 0))
    assert np.isfinite(sd.evaluate(sd.gradient(loss, X), {X: data - 1})).all()
    hidden = sd.where(X > 0, sp.log(X), 0)
    gradients = sd.gradient(sd.sum((hidden @ W) ** 2), [X, W])
    for gradient in gradients:
        assert np.isfinite(sd.evaluate(gradient, {X: data, W: np.ones((3, 2))})).all()


def test_norm_by_hand_at_zero():
    v = sd.tensor("v", 3)
    safe = sd.where(sd.sum(v**2) > 0, sd.sqrt(sd.sum(v**2)), 0)
    np.testing.assert_array_equal(sd.evaluate(sd.gradient(safe, v), {v: np.zeros(3)}), np.zeros(3))


def test_nan_in_the_data_stays_visible():
    for expression in (sp.exp(x), sd.relu(x), sp.Max(x, 0), sd.softplus(x), x**2, sp.Abs(x)):
        assert np.isnan(sd.evaluate(expression, {x: np.nan}))


@pytest.mark.parametrize("at", [1e3, -1e3, 1e300, -1e300])
def test_stable_functions_far_out(at):
    expected = {
        sd.sigmoid(x): (float(at > 0), 0.0),
        sd.softplus(x): (max(at, 0.0), float(at > 0)),
        sd.log_sigmoid(x): (min(at, 0.0), float(at < 0)),
        sd.silu(x): (max(at, 0.0), float(at > 0)),
        sd.gelu(x): (max(at, 0.0), float(at > 0)),
        sd.elu(x): (at if at > 0 else -1.0, float(at > 0)),
        sp.tanh(x): (np.sign(at), 0.0),
        sd.logaddexp(x, 0): (max(at, 0.0), float(at > 0)),
    }
    for expression, (right, derivative) in expected.items():
        assert sd.evaluate(expression, {x: at}) == right, expression
        assert slope(expression, x=at) == derivative, expression


@pytest.mark.parametrize(("name", "position"), sorted(FIXED - {("where", 0)}))
def test_an_order_has_no_derivative(name, position):
    (expression,) = to_sympy([apply(name, to_graph(y), to_graph(x))])
    with pytest.raises(sd.UnsupportedOperation, match=name):
        sd.gradient(expression, (y, x)[position])


def test_whole_orders_and_real_branches():
    assert np.isnan(sd.evaluate(sp.polygamma(y, x), {y: 0.5, x: 1.0}))
    assert np.isnan(sd.evaluate(sp.expint(y, x), {y: 0.5, x: 1.0}))
    assert sd.evaluate(sp.LambertW(x, -1), {x: -0.1}) == pytest.approx(-3.577152063957297)
    assert np.isnan(sd.evaluate(sp.LambertW(x), {x: -1.0}))
    assert np.isnan(sd.evaluate(sp.LambertW(x, -1), {x: 1.0}))
    assert slope(sp.LambertW(x), x=0.0) == 1
    assert slope(sp.Si(x), x=0.0) == slope(sp.Shi(x), x=0.0) == 1


# functions that have no row of their own: by an equal expression in functions that have one
REWRITTEN = {
    sp.cot(x): 0.7, sp.sec(x): 0.7, sp.csc(x): 0.7, sp.acot(x): 0.7, sp.asec(x): 1.7,
    sp.acsc(x): 1.7, sp.coth(x): 0.7, sp.sech(x): 0.7, sp.csch(x): 0.7, sp.acoth(x): 1.7,
    sp.asech(x): 0.7, sp.acsch(x): 0.7, sp.sinc(x): 0.7, sp.frac(x): 1.7,
    sp.erf2(x, 1): 0.7, sp.factorial(x): 1.7, sp.binomial(x, 2): 4.5, sp.binomial(7, x): 2.5,
    sp.RisingFactorial(x, sp.Rational(5, 2)): 1.5, sp.harmonic(x): 1.7,
    sp.FallingFactorial(x, sp.Rational(1, 2)): 2.5, sp.li(x): 2.5, sp.Li(x): 2.5,
    sp.log(x, 2): 1.7, sp.cbrt(x): 1.7, sp.exp(x) ** 2: 0.3, sp.real_root(x, 3): 1.7,
    sp.Heaviside(x): 0.7, sp.E1(x): 0.7, sp.Mod(x, 3): 4.5, sp.Rational(1, 2) ** x: 0.7,
    sp.root(x, 5): 0.7, sp.re(x) * sp.conjugate(x): 0.7, sp.loggamma(x): 0.7, sp.trigamma(x): 0.7,
}  # fmt: skip


@pytest.mark.parametrize("expression", REWRITTEN, ids=str)
def test_functions_by_others(expression):
    at = REWRITTEN[expression]
    form = expression.replace(sp.erf2, lambda p, q: sp.erf(q) - sp.erf(p))
    expected = float(form.subs(x, sp.Rational(at)).evalf(30))
    assert sd.evaluate(expression, {x: at}) == pytest.approx(expected, rel=1e-13)
    right = finite_difference(lambda v: sd.evaluate(expression, v), {x: at}, x)
    assert slope(expression, x=at) == pytest.approx(float(right), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (sp.Xor(x > 0, y > 0), lambda p, q: p != q),
        (sp.Implies(x > 0, y > 0), lambda p, q: not p or q),
        (sp.Equivalent(x > 0, y > 0), lambda p, q: p == q),
        (sp.And(x > 0, y > 0), lambda p, q: p and q),
        (sp.Or(x > 0, y > 0), lambda p, q: p or q),
        (sp.Nand(x > 0, y > 0), lambda p, q: not (p and q)),
        (sp.ITE(x > 0, y > 0, y < 0), lambda p, q: p == q),
        (sp.Not(x > 0), lambda p, q: not p),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
def test_logic(condition, expected):
    for at in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        got = value(sp.Piecewise((1, condition), (0, True)), dict(zip((x, y), at, strict=True)))
        assert got == expected(at[0] > 0, at[1] > 0)


def test_accuracy_where_the_textbook_form_cancels():
    with mpmath.workdps(40):
        for at in (1e-10, -1e-10, 1e-300):
            assert sd.evaluate(sd.log1p(x), {x: at}) == float(mpmath.log1p(at))
            assert sd.evaluate(sd.expm1(x), {x: at}) == float(mpmath.expm1(at))
        for at in (-40.0, -700.0):
            right = float(mpmath.log1p(mpmath.exp(at)))
            assert sd.evaluate(sd.softplus(x), {x: at}) == pytest.approx(right, rel=1e-15)
            assert sd.evaluate(sd.log_sigmoid(x), {x: -at}) == pytest.approx(-right, rel=1e-15)


@pytest.mark.parametrize("function", [sd.silu, sd.gelu], ids=["silu", "gelu"])
def test_gated_functions_at_infinity(function):
    v = sd.tensor("v", 3)
    data = [-np.inf, np.inf, -1e300]
    np.testing.assert_array_equal(sd.evaluate(function(v), {v: data}), [0, np.inf, 0])
