"""The reverse walk: textbook forms, linear cost, errors, random graphs."""

import numpy as np
import pytest
import sympy as sp
from differences import check, finite_difference, value
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.gradient import loss_node, pullback
from symdiff.graph import number, walk

X = sd.tensor("X", "n", "d")
w = sd.tensor("w", "d")
y = sd.tensor("y", "n")
A = sd.tensor("A", 3, 3)
v = sd.tensor("v", 3)
a, b, x = sp.symbols("a b x")


@pytest.mark.parametrize(
    ("loss", "wrt", "expected"),
    [
        ((a * x - b) ** 2, a, 2 * x * (a * x - b)),
        (sp.sin(x) * sp.exp(x), x, sp.sin(x) * sp.exp(x) + sp.cos(x) * sp.exp(x)),
        (sp.log(x), x, 1 / x),
        (sp.tanh(x), x, 1 - sp.tanh(x) ** 2),
        (sd.sigmoid(x), x, sd.sigmoid(x) * (1 - sd.sigmoid(x))),
        (x**3, x, 3 * x**2),
        (x / a, a, -x / a**2),
        (sp.Integer(7), x, 0),
        (x, x, 1),
        (sd.sum(v**2), v, 2 * v),
        (sd.sum((X @ w - y) ** 2), w, 2 * (X.T @ (X @ w - y))),
        (v @ (A @ v), A, v[:, None] * v[None, :]),
        (sd.sum(A @ v), A, None),
        (v @ A @ v, v, A @ v + A.T @ v),
        (sd.logsumexp(v), v, sd.exp(v - sd.logsumexp(v))),
        (sd.sum(sd.softplus(v)), v, sd.sigmoid(v)),
        (sd.mean(v), v, None),
    ],
    ids=str,
)
def test_textbook_forms(loss, wrt, expected):
    gradient = sd.gradient(loss, wrt)
    assert sd.shape(gradient) == sd.shape(wrt)
    rng = np.random.default_rng(0)
    sizes = {"n": 5, "d": 3}
    values = {
        s: rng.uniform(0.5, 1.5, [sizes.get(str(d), d) for d in sd.shape(s)])
        for s in (X, w, y, A, v, a, b, x)
    }
    if expected is not None and sd.shape(expected) == ():
        assert sp.expand(gradient - expected) == 0
    elif expected is not None:
        np.testing.assert_allclose(value(gradient, values), value(expected, values), rtol=1e-13)
    known = {s: values[s] for s in loss.free_symbols if s in values} | {wrt: values[wrt]}
    right = finite_difference(lambda q: value(loss, q), known, wrt)
    np.testing.assert_allclose(value(gradient, values), right, rtol=1e-8, atol=1e-9)


def test_least_squares_is_written_as_in_a_textbook():
    assert sd.gradient(sd.sum((X @ w - y) ** 2), w) == 2 * (X.T @ (X @ w - y))
    n = sd.shape(y)[0]
    assert sd.gradient(sd.mean((X @ w - y) ** 2), w) == 2 * (X.T @ (X @ w - y)) / n


def test_one_symbol_or_a_list():
    loss = (a * x - b) ** 2
    one = sd.gradient(loss, a)
    assert isinstance(one, sp.Expr)
    assert sd.gradient(loss, [a, b]) == [one, sd.gradient(loss, b)]
    assert sd.gradient(loss, (b, a)) == [sd.gradient(loss, b), one]
    assert sd.gradient(loss, [a, a, b, a])[:2] == [one, one]
    assert sd.gradient(loss, []) == []
    assert sd.gradient(loss, [a]) == [one]


def test_independent_symbols_get_zeros():
    free = sd.tensor("free", 2, 3)
    sized = sd.tensor("sized", "k")
    zero, zeros, symbolic = sd.gradient(a**2, [b, free, sized])
    assert zero == 0
    assert sd.shape(zeros) == (2, 3) and not sd.evaluate(zeros, {}).any()
    assert sd.shape(symbolic) == ("k",)
    assert sd.evaluate(symbolic, {sized: [1, 2]}).tolist() == [0, 0]


def test_a_gradient_of_numbers_is_real():
    for dtype in ("float64", "float32"):
        assert sd.evaluate(sd.gradient(3 * x, x), {}, dtype=dtype).dtype == dtype
        assert sd.evaluate(sd.gradient(sd.sum(v), v), {}, dtype=dtype).dtype == dtype


def test_same_name_but_another_symbol():
    positive = sp.Symbol("x", positive=True)
    loss = x**2 + 3 * positive
    assert sd.gradient(loss, x) == 2 * x
    assert sd.gradient(loss, positive) == 3


def test_sympys_assumptions_do_not_matter():
    for assumption in (
        {},
        {"positive": True},
        {"real": True},
        {"integer": True},
        {"complex": True},
    ):
        z = sp.Symbol("z", **assumption)
        got = value(sd.gradient(sp.Abs(z) + sp.sqrt(z**2) + sp.sign(z), z), {z: -2.0})
        assert got == (-2 if not assumption.get("positive") else got)


# --- cost --------------------------------------------------------------------------------


def nodes_of_gradient(loss, wrt):
    root = loss_node(loss)
    gradients, _ = pullback(root, number(1), [to_graph(s) for s in wrt])
    return len(walk([root])), len(walk([root, *gradients]))


def chain(length):
    e = x
    for _ in range(length):
        e = sp.tanh(e) * e
    return e


def mlp(layers):
    h = sd.tensor("h", "n", 4)
    parameters = []
    for i in range(layers):
        W, c = sd.tensor(f"W{i}", 4, 4), sd.tensor(f"c{i}", 4)
        parameters += [W, c]
        h = sd.tanh(h @ W + c)
    return sd.sum(h**2), parameters


def test_the_cost_of_a_shared_chain_is_linear():
    forward, total = nodes_of_gradient(chain(300), [x])
    small_forward, small_total = nodes_of_gradient(chain(100), [x])
    assert forward <= 3 * small_forward + 10
    assert total <= 3 * small_total + 10
    assert total <= 6 * forward


def test_the_cost_of_a_deep_network_is_linear():
    (f10, t10), (f30, t30), (f50, t50) = (nodes_of_gradient(*mlp(n)) for n in (10, 30, 50))
    assert f50 - f30 == f30 - f10
    assert t50 - t30 == t30 - t10
    assert t50 <= 5 * f50


def test_deep_chains_come_back_as_expressions():
    gradient = sd.gradient(chain(60), x)
    assert isinstance(gradient, sp.Expr)
    right = finite_difference(lambda q: sd.evaluate(chain(60), q), {x: 0.9}, x)
    assert sd.evaluate(gradient, {x: 0.9}) == pytest.approx(float(right), rel=1e-7)
    loss, parameters = mlp(50)
    assert [sd.shape(g) for g in sd.gradient(loss, parameters)] == [p.shape for p in parameters]


def test_a_chain_of_three_hundred_levels_has_the_right_value():
    gradient = sd.gradient(chain(300), x)
    e, d = 1.5, 1.0
    for _ in range(300):
        t = np.tanh(e)
        d *= (1 - t * t) * e + t
        e = t * e
    assert sd.evaluate(gradient, {x: 1.5}) == pytest.approx(d, rel=1e-10)


def test_a_symbol_used_many_times():
    loss = sum((x - i) ** 2 for i in range(50))
    assert sd.evaluate(sd.gradient(loss, x), {x: 1.0}) == 2 * (50 - sum(range(50)))


# --- errors ------------------------------------------------------------------------------

f = sp.Function("f")
noncommutative = sp.Symbol("q", commutative=False)
k = sd.tensor("k", 3, dtype="int")


@pytest.mark.parametrize(
    ("loss", "wrt", "error", "message"),
    [
        (f(x) + x, x, sd.UnsupportedOperation, "function f is undefined"),
        (sp.I * x, x, sd.UnsupportedOperation, "I in an expression"),
        (x + sp.zoo, x, sd.UnsupportedOperation, "zoo"),
        (x * noncommutative, x, sd.UnsupportedOperation, "q does not commute"),
        (v, v, sd.ShapeError, r"scalar, got v with shape \(3,\); take sd.sum or sd.mean"),
        (X @ w - y, w, sd.ShapeError, r"shape \(n,\)"),
        (x > 0, x, sd.InvalidType, "condition"),
        (sd.sum(v * k), k, sd.InvalidType, "k has dtype int"),
        (sd.sum(v * k), [v, k], sd.InvalidType, "k has dtype int"),
        (x**2, x**2, sd.InvalidType, "symbols"),
        (x**2, "x", sd.InvalidType, "symbols"),
        (x**2, 3, sd.InvalidType, "symbols"),
        ("x**2", x, sd.InvalidType, "text is read by"),
        (sd.mean(X), sd.shape(X)[0], sd.InvalidArgument, "n is a size"),
        (sp.Derivative(f(x), x), x, sd.UnsupportedOperation, "Derivative"),
        (sp.Integral(sp.exp(x**x), x), x, sd.UnsupportedOperation, "Integral"),
        (sp.zeta(x), x, sd.UnsupportedOperation, "zeta"),
        (sp.arg(x), x, sd.UnsupportedOperation, "arg"),
        (range, x, sd.InvalidType, "got type"),
        (None, x, sd.InvalidType, "NoneType"),
        ({x}, x, sd.InvalidType, "set"),
    ],
    ids=str,
)
def test_errors(loss, wrt, error, message):
    with pytest.raises(error, match=message):
        sd.gradient(loss, wrt)


def test_a_bool_loss_is_refused():
    for loss in (sd.equal(x, 1), sd.tensor("flag", dtype="bool"), sd.logical_not(sd.less(x, a))):
        with pytest.raises(sd.InvalidType, match=r"bool|condition"):
            sd.gradient(loss, x)


def test_an_unknown_function_is_refused_even_where_it_does_not_matter():
    for loss in (x + 0 * f(a), sd.sum(v) + f(x), f(x) ** 2 - f(x) ** 2 + f(a)):
        if loss.has(f):
            with pytest.raises(sd.UnsupportedOperation, match="function f"):
                sd.gradient(loss, x)


def test_tensors_with_i_or_unknown_functions_are_refused_when_used():
    for bad in (v * sp.I, v + f(x), v * f(x) + 1, (v + 1) / sp.I):
        with pytest.raises(sd.UnsupportedOperation):
            sd.gradient(sd.sum(bad), v)


def test_errors_of_deep_expressions_are_short():
    e = chain(200) + f(x)
    with pytest.raises(sd.UnsupportedOperation) as error:
        sd.gradient(e, x)
    assert len(str(error.value)) < 1000


# --- random graphs -----------------------------------------------------------------------

UNARY = [
    sp.sin, sp.cos, sp.tanh, sp.exp, sd.sigmoid, sd.softplus, sd.relu, sd.gelu, sp.Abs, sd.silu,
    lambda e: e**2, lambda e: sd.sqrt(e**2 + 1), lambda e: sd.log1p(e**2), sp.atan, sd.square,
    lambda e: -e, lambda e: 1 / (1 + e**2), sp.erf, sd.elu, lambda e: 2**e, sd.expm1, sd.softmax,
    lambda e: sd.sum(e, axis=0), lambda e: sd.mean(e, axis=-1, keepdims=True), sd.transpose,
    lambda e: sd.logsumexp(e, axis=-1), lambda e: sd.max(e, axis=0), lambda e: sd.reshape(e, -1),
    lambda e: e[None], lambda e: sd.concatenate([e, e]), lambda e: sd.stack([e, e * 2], axis=-1),
    lambda e: sd.take(e, [0, -1, 0], axis=0), lambda e: sd.where(e > 0.1, e, sp.sin(e)),
    lambda e: sd.where(e > 0, sp.log(e), e), lambda e: sd.var(e, axis=0),
]  # fmt: skip
BINARY = [
    lambda p, q: p + q, lambda p, q: p - q, lambda p, q: p * q, lambda p, q: p / (q**2 + 1),
    sd.maximum, sd.minimum, sd.logaddexp, lambda p, q: sd.where(p > q, p, 2 * q), sd.matmul,
    lambda p, q: sd.xlogy(p, q**2 + 1), lambda p, q: sp.atan2(p, q**2 + 1),
    lambda p, q: (p**2 + 1) ** q,
]  # fmt: skip


@st.composite
def random_loss(draw):
    """A scalar expression that shares parts, in tensors of several shapes."""
    symbols = [sd.tensor("p", 2, 3), sd.tensor("q", 3), sd.tensor("r", 3, 2), sp.Symbol("s")]
    pool = list(symbols)
    for _ in range(draw(st.integers(2, 8))):
        if draw(st.booleans()):
            e = draw(st.sampled_from(pool))
            function = draw(st.sampled_from(UNARY))
            operands = (e,)
        else:
            function = draw(st.sampled_from(BINARY))
            operands = (draw(st.sampled_from(pool)), draw(st.sampled_from(pool)))
        try:
            result = function(*operands)
            if np.prod(sd.shape(result)) > 40:
                continue
        except (sd.ShapeError, sd.InvalidArgument, AttributeError, TypeError):
            continue  # axes that the operands do not have; `sp.sin(x)[None]` is Python's refusal
        pool.append(result)
    loss = 0
    for e in pool[-3:]:
        loss = loss + sd.mean(e)
    return loss, symbols


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(random_loss(), st.integers(0, 2**31))
def test_random_graphs_against_finite_differences(case, seed):
    loss, symbols = case
    rng = np.random.default_rng(seed)
    values = {s: rng.uniform(-1.5, 1.5, sd.shape(s)) for s in symbols}
    start = value(loss, values)
    assume(np.isfinite(start) and abs(start) < 1e4)
    gradients = sd.gradient(loss, symbols)
    for symbol, gradient in zip(symbols, gradients, strict=True):
        wide = finite_difference(lambda q: value(loss, q), values, symbol, 1e-3)
        narrow = finite_difference(lambda q: value(loss, q), values, symbol, 2e-4)
        scale = 1 + np.abs(narrow).max(initial=0)
        smooth = np.abs(wide - narrow) < 1e-6 * scale  # no kink and no blow-up close by
        got = np.asarray(value(gradient, values))
        assert got.shape == sd.shape(symbol)
        error = np.abs(got - narrow)[smooth]
        assert np.all(error <= 1e-5 * scale), f"d/d{symbol} of {loss}"


def test_second_order_of_a_network():
    loss, parameters = mlp(2)
    rng = np.random.default_rng(0)
    h = sd.tensor("h", "n", 4)
    values = {h: rng.normal(size=(5, 4))} | {p: rng.normal(size=p.shape) for p in parameters}
    first = sd.gradient(loss, parameters[0])
    check(sd.sum(first * rng.normal(size=(4, 4))), parameters, values, rtol=1e-6, atol=1e-7)


def test_a_choice_inside_the_condition_of_a_choice():
    """SymPy's Piecewise would fold them into each other without end."""
    p = sd.tensor("p", 2, 3)
    z = sd.where(p > 0.1, p, sd.sin(p))
    loss = sd.sum(sd.max(p + z, axis=0))
    values = {p: np.linspace(-1, 1, 6).reshape(2, 3)}
    got = sd.evaluate(sd.gradient(loss, p), values)
    np.testing.assert_allclose(got, [[0, 0, 0], [2, 2, 2]], rtol=1e-12)
