"""Every rewrite rule keeps the value of a graph; naive spellings become stable ones."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiff as sd
from symdiff.bridge import to_graph, to_sympy
from symdiff.evaluate import interpret
from symdiff.graph import apply, number, walk
from symdiff.rewrite import ALGEBRA, STABILITY, Rewriter, algebra, stabilise
from symdiff.shapes import Size

RNG = np.random.default_rng(0)
X = to_graph(sd.tensor("X", "n", 3))
v = to_graph(sd.tensor("v", 3))
s = to_graph(sp.Symbol("s"))
c = to_graph(sd.tensor("c", 3, dtype="bool"))
M = to_graph(sd.tensor("M", 3, 3))
one_row = to_graph(sd.tensor("r", 1, 3))
SIZES = {Size("n"): 4}
VALUES = {
    X: RNG.uniform(0.5, 1.5, (4, 3)),
    v: RNG.uniform(0.5, 1.5, 3),
    s: np.float64(0.7),
    c: np.array([True, False, True]),
    M: RNG.uniform(0.5, 1.5, (3, 3)),
    one_row: RNG.uniform(0.5, 1.5, (1, 3)),
}
n = apply("size", attributes=(Size("n"),))
ALL, KEPT = ((0, 1), False), ((1,), True)


def num(value):
    return number(sp.sympify(value) if not isinstance(value, float) else sp.Float(value))


def op(name, *inputs, attributes=()):
    return apply(name, *inputs, attributes=attributes)


def negative(x):
    return op("negative", x)


def stretched(x, *shape):
    return op("broadcast_to", x, attributes=(shape,))


exp_v, exp_x = op("exp", v), op("exp", X)

along = op("arange", attributes=(3,))
identity = op("one_hot", along, attributes=(3,))

# for each rule: the graphs that it changes
CASES = {
    "log of a stable form": [
        op("log", exp_v),
        op("log", op("sigmoid", v)),
        op("log", op("subtract", num(1), op("sigmoid", v))),
        op("log", op("sum", exp_x, attributes=ALL)),
        op("log", op("sum", exp_x, attributes=KEPT)),
        op("log", op("divide", exp_v, op("sum", exp_v, attributes=((0,), False)))),
        op("log", op("divide", num(1), op("add", num(1), exp_v))),
        op("log", op("add", exp_v, op("exp", s))),
        op("log", op("add", num(1), exp_v)),
        op("log", op("add", v, num(1))),
        op("log", op("subtract", num(1), op("divide", v, num(2)))),
        op("log", op("erfc", v)),
        op("log", op("divide", op("erfc", v), num(2))),
        op("log", op("multiply", op("cosh", v), s)),
        op("log", op("add", exp_v, op("exp", negative(v)))),
        op("log", op("subtract", num(1), op("exp", negative(v)))),
        op("log", op("subtract", exp_v, num(1))),
        op("log", op("sinh", v)),
        op("log", op("subtract", num(1), op("power", op("tanh", v), num(2)))),
        op("log", op("add", num(2), op("sum", exp_v, attributes=((0,), False)))),
        op("log", op("index", op("divide", exp_v, op("exp", s)), attributes=((("int", 1),),))),
        op("log", op("divide", s, op("subtract", num(1), s))),
        op("log", op("divide", op("add", s, num(1)), op("subtract", num(1), s))),
        op("log", op("gamma", v)),
        op("log", op("power", v, num(2))),
        op("log", op("sqrt", v)),
        op("log", op("exp_asinh", v)),
    ],
    "log1p of a stable form": [
        op("log1p", exp_v),
        op("log1p", negative(op("exp", negative(v)))),
        op("log1p", op("expm1", v)),
        op("log1p", negative(op("power", op("tanh", v), num(2)))),
    ],
    "a sum in which nothing cancels": [
        op("subtract", exp_v, num(1)),
        op("subtract", op("multiply", num(2), exp_v), num(2.0)),
        op("add", num(1), op("erf", v)),
        op("subtract", num(1), op("erf", v)),
        op("subtract", num(1), op("erfc", v)),
        op("subtract", num(1), op("cos", v)),
        op("add", op("cos", v), num(1)),
        op("subtract", op("cosh", v), num(1)),
        op("add", num(1), op("tanh", v)),
        op("subtract", op("multiply", num(2), op("sigmoid", v)), num(1)),
        op("subtract", exp_v, op("exp", negative(v))),
        op("subtract", op("sqrt", op("add", v, num(1))), op("sqrt", v)),
        op("subtract", op("sqrt", op("add", v, num(1))), num(1)),
        op("add", op("hypot", v, num(1)), v),
        op("subtract", op("hypot", op("multiply", num(2), v), num(3)), op("multiply", num(2), v)),
        op("subtract", op("add", s, exp_v, X), num(1)),
    ],
    "a quotient that neither overflows nor is 0/0": [
        op("divide", num(1), op("add", num(1), op("exp", negative(v)))),
        op("divide", num(1), op("add", exp_v, num(1))),
        op("divide", num(3), op("add", op("multiply", num(2), exp_v), num(5))),
        op("divide", exp_v, op("add", num(1), exp_v)),
        op("divide", exp_v, op("power", op("add", num(1), exp_v), num(2))),
        op("divide", exp_v, op("add", exp_v, op("exp", s))),
        op("divide", exp_v, op("add", exp_v, op("exp", s), num(1))),
        op("divide", s, op("add", num(1), op("exp", negative(v)))),
        op("divide", exp_x, op("sum", exp_x, attributes=KEPT)),
        op("divide", exp_v, op("sum", exp_v, attributes=((0,), False))),
        op("divide", op("multiply", s, exp_v), op("sum", exp_v, attributes=((0,), False))),
        op("divide", op("multiply", op("multiply", s, exp_v), v), op("add", num(1), exp_v)),
        op("divide", op("sinh", v), op("cosh", v)),
        op("divide", op("cosh", v), op("sinh", v)),
        op("divide", op("multiply", s, v), op("hypot", v, num(1))),
        op("divide", op("sin", op("multiply", num(3), v)), v),
        op("divide", op("power", op("sin", v), num(3)), op("power", v, num(2))),
    ],
    "a product that is not 0 times infinity": [
        op("multiply", v, op("log", v)),
        op("multiply", op("log", s), s),
        op("multiply", op("multiply", v, s), op("log", op("divide", s, v))),
        op("multiply", op("add", num(1), v), op("log1p", v)),
        op("multiply", exp_v, op("sigmoid", negative(v))),
        op("multiply", v, op("erfc", negative(op("divide", v, op("sqrt", num(2)))))),
    ],
    "a root without overflow": [
        op("sqrt", op("power", negative(v), num(2))),
        op("sqrt", op("add", op("power", v, num(2)), op("power", s, num(2)))),
        op("sqrt", op("add", op("multiply", num(3), op("power", v, num(2))), num(4))),
        op("sqrt", op("subtract", num(1), op("power", op("divide", v, num(2)), num(2)))),
        op("sqrt", op("sum", op("power", X, num(2)), attributes=((0,), False))),
        op("sqrt", op("sum", op("multiply", v, v), attributes=((0,), True))),
        op("sqrt", op("matmul", v, v)),
    ],
    "|x|^2 = x^2": [op("power", op("abs", v), num(4))],
    "norm(x)^2 = sum(x^2)": [
        op("power", op("norm", X, attributes=((1,), True)), num(2)),
        op("power", op("norm", v, attributes=((0,), False)), num(2)),
    ],
    "acos(1 - u) by u": [
        op(name, argument)
        for name in ("acos", "asin", "atanh")
        for argument in (op("subtract", num(1), v), op("subtract", v, num(1)))
    ]
    + [op("acosh", op("add", v, num(1)))],
    "fold numbers": [
        op("add", num(2), num(3)),
        op("subtract", num(2), num(sp.Rational(1, 3))),
        op("multiply", num(2), num(3)),
        negative(num(2)),
    ],
    "x + 0": [
        op("add", v, num(0)),
        op("add", num(0), num(0), stretched(num(0), 3)),
        op("add", v, op("add", s, v)),
    ],
    "a + (-b) = a - b": [
        op("add", negative(v), s),
        op("add", negative(v), negative(s)),
        op("add", v, negative(s), X, negative(v)),
    ],
    "a/n - b/n = (a - b)/n": [
        op("subtract", op("divide", v, n), op("divide", s, n)),
        op("add", op("divide", v, num(3)), op("divide", s, num(3)), op("divide", X, num(3))),
        op("subtract", op("multiply", num(2), v), op("multiply", num(2), s)),
    ],
    "x - 0": [
        op("subtract", v, num(0)),
        op("subtract", num(0), v),
        op("subtract", v, negative(s)),
    ],
    "x * 1, x * 0, sign first": [
        op("multiply", v, num(0)),
        op("multiply", num(1), v),
        op("multiply", num(-1), v),
        op("multiply", negative(v), s),
        op("multiply", op("divide", num(1), v), s),
        op("multiply", op("divide", v, n), s),
        op("multiply", v, num(3)),
        op("multiply", num(3), op("multiply", num(2), v)),
        op("multiply", s, op("multiply", num(2), v)),
        op("multiply", op("multiply", num(2), v), s),
    ],
    "x / 1, 0 / x": [
        op("divide", v, num(1)),
        op("divide", num(0), v),
        op("divide", negative(v), s),
        op("divide", op("multiply", num(4), v), num(2)),
        op("divide", op("multiply", num(2), v), num(4)),
        op("divide", op("multiply", num(-2), v), num(4)),
        op("divide", op("multiply", num(2), v), op("multiply", num(6), n)),
        op("divide", op("divide", v, n), num(2)),
    ],
    "-(-x), -(a - b)": [negative(negative(v)), negative(op("subtract", v, s))],
    "powers 0, 1, 1/2 and below 0": [
        op("power", v, num(1)),
        op("power", v, num(0)),
        op("power", v, num(sp.Rational(1, 2))),
        op("power", v, num(-2)),
        op("power", v, num(-1)),
    ],
    "transpose of transpose": [
        op("transpose", op("transpose", X, attributes=((1, 0),)), attributes=((1, 0),)),
        op("transpose", X, attributes=((0, 1),)),
    ],
    "reshape of reshape": [
        op("reshape", op("reshape", M, attributes=((9,),)), attributes=((1, 9),)),
        op("reshape", M, attributes=((3, 3),)),
        op("reshape", stretched(s, 3, 3), attributes=((9,),)),
        op("reshape", v, attributes=((1, 3),)),
        op("reshape", s, attributes=((1, 1),)),
    ],
    "broadcast of broadcast": [
        stretched(stretched(v, 3, 3), 2, 3, 3),
        stretched(v, 3),
    ],
    "broadcast into elementwise": [
        op("multiply", stretched(v, 3, 3), M),
        op("where", c, stretched(num(0), 3), v),
        op("add", X, stretched(v, Size("n"), 3)),
    ],
    "broadcast after elementwise": [
        op("add", stretched(v, 3, 3), s),
        op("exp", stretched(v, 3, 3)),
        op("tanh", stretched(s, 3)),
    ],
    "a choice that is known": [
        op("where", op("equal", v, num(0)), num(0), op("divide", v, v)),
        op("where", c, v, v),
        op("where", number(sp.true), v, s),
        op("where", number(sp.false), v, s),
        op("where", num(2), v, s),
        op("where", num(0), v, s),
    ],
    "sum of a constant": [
        op("sum", stretched(s, Size("n"), 3), attributes=ALL),
        op("sum", stretched(v, Size("n"), 3), attributes=((0,), False)),
        op("sum", stretched(one_row, Size("n"), 3), attributes=((0,), True)),
        op("sum", one_row, attributes=((0,), False)),
    ],
    "extremum of one element": [
        op("max", one_row, attributes=((0,), False)),
        op("min", one_row, attributes=((0,), True)),
        op("logsumexp", one_row, attributes=((0,), False)),
    ],
    "constant out of sum and product": [
        op("sum", negative(X), attributes=ALL),
        op("sum", op("multiply", num(3), X), attributes=KEPT),
        op("sum", op("divide", X, n), attributes=((0,), False)),
        op("matmul", negative(X), v),
        op("matmul", X, op("multiply", num(2), v)),
        op("matmul", op("divide", M, num(3)), op("multiply", num(2), v)),
    ],
    "scatter to the diagonal": [
        op("index_add", v, along, along, attributes=((("tensor", 0), ("tensor", 1)), (3, 3))),
    ],
    "transpose of the identity": [op("transpose", identity, attributes=((1, 0),))],
    "product with the identity": [
        op("matmul", identity, M),
        op("matmul", X, identity),
    ],
    "not not": [op("logical_not", op("logical_not", c))],
}

RULES = [*STABILITY, *ALGEBRA]
LIST = [(name, i) for name, graphs in CASES.items() for i in range(len(graphs))]


def run(node):
    return np.asarray(interpret([node], VALUES, SIZES)[0])


def test_every_rule_has_a_case():
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert set(names) == set(CASES), set(names) ^ set(CASES)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_a_rule_keeps_value_and_shape(name, i):
    rule = next(r for r in RULES if r.name == name)
    node = CASES[name][i]
    assert node.operation in rule.operations
    new = rule.apply(node)
    assert new is not None and new is not node, "the rule does not see its case"
    assert new.shape == node.shape
    np.testing.assert_allclose(run(new), run(node), rtol=1e-13)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_all_rules_together_keep_it_too(name, i):
    node = CASES[name][i]
    for rewrite in (algebra, stabilise):
        (new,) = rewrite([node])
        assert new.shape == node.shape
        np.testing.assert_allclose(run(new), run(node), rtol=1e-13)
        assert rewrite([new]) == [new], "rewriting again changes it again"


def test_a_choice_by_a_number_other_than_one():
    """True is what is not 0."""
    (new,) = algebra([op("where", num(2), v, s)])
    np.testing.assert_array_equal(run(new), VALUES[v])


def test_rewrites_that_were_applied_are_told():
    applied = []
    stabilise([op("log", op("sigmoid", v))], applied)
    ((rule, before, after),) = applied
    assert rule.name == "log(sigmoid(x)) = log_sigmoid(x)"
    assert (before.operation, after.operation) == ("log", "log_sigmoid")
    applied.clear()
    stabilise([op("add", v, num(0))], applied)
    assert not applied


def test_a_rewriter_visits_a_node_once():
    rewriter = Rewriter(ALGEBRA)
    e = v
    for _ in range(50):
        e = op("add", op("tanh", e), num(0))
        (done,) = rewriter([e])
    assert len(walk([done])) == 51


# --- naive spellings ---------------------------------------------------------------------

x, y = sp.symbols("x y")
V = sd.tensor("V", 3)

NAIVE = [
    # spelling, at, value, derivative
    (sp.log(1 + sp.exp(x)), 1e3, 1e3, 1),
    (sp.log(1 + sp.exp(x)), -1e3, 0, 0),
    (sp.log(1 / (1 + sp.exp(-x))), 1e3, 0, 0),
    (sp.log(1 / (1 + sp.exp(-x))), -1e3, -1e3, 1),
    (-sp.log(1 / (1 + sp.exp(-x))), -1e3, 1e3, -1),
    (sp.log(sd.sigmoid(x)), -1e3, -1e3, 1),
    (sp.log(1 - sd.sigmoid(x)), 1e3, -1e3, -1),
    (sp.log(1 - sd.sigmoid(x)), -1e3, 0, 0),
    (1 / (1 + sp.exp(-x)), -1e3, 0, 0),
    (1 / (1 + sp.exp(-x)), 1e3, 1, 0),
    (sp.exp(x) / (1 + sp.exp(x)), 1e3, 1, 0),
    (sp.exp(x) / (1 + sp.exp(x)), -1e3, 0, 0),
    (sp.log(sp.exp(x) + sp.exp(2 * x)), 1e3, 2e3, 2),
    (sp.log(sp.exp(x) + sp.exp(2 * x)), -1e3, -1e3, 1),
    (sp.log(sp.exp(x) + 1), 1e3, 1e3, 1),
    (sp.sqrt(x**2), 0, 0, 0),
    (sp.sqrt(x**2), -1e200, 1e200, -1),
    (x * sp.log(x), 0, 0, None),
    (sp.exp(x) - 1, 1e-12, 1.0000000000005e-12, 1),
    (sp.log(1 + x), 1e-12, 9.999999999995e-13, 1),
]


@pytest.mark.parametrize(("expression", "at", "expected", "slope"), NAIVE, ids=str)
def test_naive_spellings_are_stable(expression, at, expected, slope):
    (stable,) = to_sympy(stabilise([to_graph(expression)]))
    got = sd.evaluate(stable, {x: at}) if stable.free_symbols else float(stable)
    assert got == pytest.approx(expected, rel=1e-15, abs=1e-300)
    if slope is not None:
        got = sd.evaluate(sd.gradient(expression, x), {x: at})
        assert got == pytest.approx(slope, rel=1e-11, abs=1e-300)


@pytest.mark.parametrize("shift", [0.0, 1e3, -1e3])
def test_naive_softmax_and_logsumexp(shift):
    data = np.array([0.0, 1.0, 2.0])
    p = np.exp(data) / np.exp(data).sum()
    e = sd.exp(V)
    for loss, value, slope in (
        (sp.log(sd.sum(e)), np.log(np.exp(data).sum()) + shift, p),
        (sd.sum(e / sd.sum(e) * np.arange(3.0)), p @ data, p * (data - p @ data)),
        (sd.sum(sd.log(e / sd.sum(e))), np.log(p).sum(), 1 - 3 * p),
        (-sd.log(sd.softmax(V))[1], -np.log(p[1]), p - [0, 1, 0]),
    ):
        (stable,) = to_sympy(stabilise([to_graph(loss)]))
        assert sd.evaluate(stable, {V: data + shift}) == pytest.approx(value, rel=1e-13)
        got = sd.evaluate(sd.gradient(loss, V), {V: data + shift})
        np.testing.assert_allclose(got, slope, rtol=1e-12, atol=1e-13)


def test_naive_cross_entropy_far_out():
    z, t = sp.symbols("z t")
    p = 1 / (1 + sp.exp(-z))
    loss = -t * sp.log(p) - (1 - t) * sp.log(1 - p)
    gradient = sd.gradient(loss, z)
    for at, label, slope in ((1e3, 0, 1), (1e3, 1, 0), (-1e3, 1, -1), (-1e3, 0, 0), (0, 1, -0.5)):
        assert sd.evaluate(gradient, {z: at, t: label}) == pytest.approx(slope, abs=1e-300)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("+-*/n0123x"), min_size=3, max_size=12))
def test_random_arithmetic_keeps_its_value(tokens):
    stack = [s, v, num(2)]
    for token in tokens:
        a, b = stack[-1], stack[-2]
        name = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}.get(token)
        if name:
            stack.append(op(name, a, b))
        else:
            stack.append({"n": negative(a), "x": v, "0": num(0)}.get(token) or num(int(token)))
    root = op("add", *stack)
    expected = run(root)
    for rewrite in (algebra, stabilise):
        got = run(rewrite([root])[0])
        finite = np.isfinite(expected)
        np.testing.assert_allclose(
            np.broadcast_to(got, expected.shape)[finite], expected[finite], rtol=1e-9, atol=1e-9
        )
