"""Walks the tables of operations: compiled, as plain Python, and as NumPy means it.

Many rows share one kernel, because what takes time is starting the compiler.
"""

import functools

import numpy as np
import pytest
import sympy as sp
from test_operations import DOMAINS, FIXED, draw

import codegen
import symdiff as sd
from codegen.emit.spelling import SPELLING
from codegen.lower import lowered_operations
from symdiff.bridge import to_graph, to_sympy
from symdiff.elementwise import ELEMENTWISE
from symdiff.graph import apply, leaves
from symdiff.special import SPECIAL
from symdiff.structural import STRUCTURAL

SIZES = {"n": 3, "m": 2}
PATTERNS = {
    1: [((),), (("n",),), (("n", "m"),)],
    2: [
        ((), ()),
        (("n",), ()),
        (("n", "m"), ("m",)),
        (("m",), ("n", "m")),
        (("n", 1), (1, "m")),
    ],
    3: [((), ("n",), ()), (("n", 1), ("m",), ("n", "m"))],
}
CASES = [(arity, shapes) for arity, patterns in PATTERNS.items() for shapes in patterns]
TOLERANCE = {"float64": 2e-13, "float32": 2e-5}


def names_of(arity):
    return [name for name, domains in DOMAINS.items() if len(domains) == arity]


def smooth_rows(arity):
    return [n for n in names_of(arity) if ELEMENTWISE[n].differentiable]


def operands(names, shapes):
    """For each row its operands: one tensor for each place and domain, and the values."""
    rng = np.random.default_rng(3)
    values = {}
    tensors = {}
    for name in names:
        for place, (domain, shape) in enumerate(zip(DOMAINS[name], shapes, strict=True)):
            if (place, domain) not in tensors:
                symbol = sd.tensor(f"x{place}_{len(tensors)}", *shape)
                tensors[place, domain] = symbol
                values[symbol] = draw(domain, [SIZES.get(d, d) for d in shape], rng)
    return {n: [tensors[p, d] for p, d in enumerate(DOMAINS[n])] for n in names}, values


def expression_of(name, symbols):
    return to_sympy([apply(name, *map(to_graph, symbols))])[0]


def assert_all_equal(function, expressions, values, labels):
    """The kernel, its text as Python, and NumPy agree on every expression."""
    dtype = function._options.dtype
    expected = sd.evaluate(expressions, values, dtype=dtype)
    compiled = function(*values.values())
    plain = function.plain(*values.values())
    rtol = TOLERANCE[dtype]
    for label, want, got, python in zip(labels, expected, compiled, plain, strict=True):
        message = f"{label} in {dtype}"
        assert got.dtype == want.dtype and got.shape == want.shape, message
        assert python.dtype == want.dtype and python.shape == want.shape, message
        np.testing.assert_allclose(got, want, rtol, rtol, err_msg=message)
        np.testing.assert_allclose(python, want, rtol, rtol, err_msg=message + " as Python")


def test_every_row_has_a_spelling_or_a_lowering_and_a_case():
    assert set(ELEMENTWISE) <= set(SPELLING), set(ELEMENTWISE) - set(SPELLING)
    assert set(ELEMENTWISE) == set(DOMAINS), set(ELEMENTWISE) ^ set(DOMAINS)
    assert set(STRUCTURAL) <= lowered_operations(), set(STRUCTURAL) - lowered_operations()
    assert set(STRUCTURAL) == set(structural_cases()), set(STRUCTURAL) ^ set(structural_cases())


SINGLE = [(arity, patterns[-1]) for arity, patterns in PATTERNS.items()]


@pytest.mark.parametrize(
    ("arity", "shapes", "dtype"),
    [(*case, "float64") for case in CASES] + [(*case, "float32") for case in SINGLE],
    ids=str,
)
def test_values(arity, shapes, dtype):
    names = names_of(arity)
    symbols, values = operands(names, shapes)
    expressions = [expression_of(n, symbols[n]) for n in names]
    function = codegen.compile(expressions, inputs=list(values), dtype=dtype)
    assert_all_equal(function, expressions, values, names)


@pytest.mark.parametrize(
    ("arity", "shapes", "dtype"),
    [
        (1, (("n", "m"),), "float64"),
        (1, (("n",),), "float32"),
        (2, (("n", 1), (1, "m")), "float64"),
        (2, (("m",), ("n", "m")), "float32"),
        (3, (("n", 1), ("m",), ("n", "m")), "float64"),
    ],
    ids=str,
)
def test_gradients(arity, shapes, dtype):
    names = smooth_rows(arity)
    symbols, values = operands(names, shapes)
    gradients, labels = [], []
    for name in names:
        expression = expression_of(name, symbols[name])
        loss = sd.sum(expression**2 + expression)  # each element has a weight of its own
        wrt = [s for place, s in enumerate(symbols[name]) if (name, place) not in FIXED]
        gradients += sd.gradient(loss, wrt)
        labels += [f"the gradient of {name} by {s}" for s in wrt]
    function = codegen.compile(gradients, inputs=list(values), dtype=dtype)
    assert_all_equal(function, gradients, values, labels)


# --- special points ----------------------------------------------------------------------

POINTS = [0.0, -0.0, 1e-300, -1e-300, 0.5, -0.5, 1.0, -1.0, 2.0, 800.0, -800.0, 1e300, -1e300]
POINTS += [np.inf, -np.inf, np.nan]

SPECIAL_FUNCTIONS = {entry[0] for entry in SPECIAL}  # their values at infinity are SciPy's own


def special_values(arity, dtype):
    """Every combination of special points, one in each row of a vector."""
    points = np.array(POINTS, dtype)  # in float32 1e300 is infinite
    grid = np.meshgrid(*[points] * arity, indexing="ij")
    return [g.ravel() for g in grid]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("arity", [1, 2])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_special_points(arity, dtype):
    names = [n for n in names_of(arity) if n not in SPECIAL_FUNCTIONS]
    symbols = sp.symbols(f"x:{arity}")
    arrays = special_values(arity, dtype)
    expressions = [expression_of(n, symbols) for n in names]
    function = codegen.compile(expressions, inputs=symbols, dtype=dtype)
    expected = sd.evaluate(expressions, dict(zip(symbols, arrays, strict=True)), dtype=dtype)
    rtol = {"float64": 2e-13, "float32": 5e-6}[dtype]
    tiny = float(np.finfo(dtype).tiny)  # what is smaller may be flushed to 0
    for result in (function(*arrays), function.plain(*arrays)):
        for name, want, got in zip(names, expected, result, strict=True):
            assert got.dtype == want.dtype, name
            close = np.isclose(got, want, rtol, tiny, equal_nan=True)
            if name == "power":  # NumPy takes (-inf)**0.5 as a root or as a power, as it likes
                close |= (arrays[0] == -np.inf) & (arrays[1] == 0.5)
            wrong = [(*(a[i] for a in arrays), got[i], want[i]) for i in np.flatnonzero(~close)]
            assert not wrong, f"{name}: (operands, got, expected) {wrong[:5]}"


def test_special_functions_at_special_points():
    """SciPy's routines, called from a kernel, are those that NumPy programs call."""
    points = [0.0, -0.0, 1e-12, 0.3, -0.2, 1.0, -1.0, 2.0, 3.0, 40.0, -40.0, np.inf, np.nan]
    for arity in (1, 2):
        names = [n for n in names_of(arity) if n in SPECIAL_FUNCTIONS]
        symbols = sp.symbols(f"x:{arity}")
        arrays = [g.ravel() for g in np.meshgrid(*[np.array(points)] * arity)]
        expressions = [expression_of(n, symbols) for n in names]
        function = codegen.compile(expressions, inputs=symbols)
        expected = sd.evaluate(expressions, dict(zip(symbols, arrays, strict=True)))
        for result in (function(*arrays), function.plain(*arrays)):
            for name, want, got in zip(names, expected, result, strict=True):
                close = np.isclose(got, want, 5e-14, 1e-300, equal_nan=True)
                if name == "expint":  # no order is infinite
                    close |= np.isinf(arrays[0])
                wrong = [(*(a[i] for a in arrays), got[i], want[i]) for i in np.flatnonzero(~close)]
                assert not wrong, f"{name}: (operands, got, expected) {wrong[:5]}"


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_derivatives_at_special_points(dtype):
    """Where no value is subtracted from another the derivative has a limit, and is that."""
    x = sp.Symbol("x")
    cases = {
        sd.sigmoid(x): (0, 0), sd.softplus(x): (0, 1), sd.log_sigmoid(x): (1, 0),
        sd.relu(x): (0, 1), sd.leaky_relu(x): (0.01, 1), sd.elu(x): (0, 1), sp.Abs(x): (-1, 1),
        sp.tanh(x): (0, 0), sp.erf(x): (0, 0), sp.sign(x): (0, 0), sp.atan(x): (0, 0),
        sd.logaddexp(x, 0): (0, 1), sp.Max(x, 0): (0, 1), sp.Min(x, 0): (1, 0),
        sp.Piecewise((sp.exp(x), x < 0), (x, True)): (0, 1),
        sd.where(x > 0, sp.log(x), 0): (0, 0),
    }  # fmt: skip
    gradients = [sd.gradient(e, x) for e in cases]
    function = codegen.compile(gradients, inputs=[x], dtype=dtype)
    # float32 knows no 1e300, and its exponential of 800 is infinite already
    for at in (800.0, 1e300, np.inf):
        for side, points in enumerate(([-at], [at])):
            for expression, got, plain in zip(
                cases, function(points), function.plain(points), strict=True
            ):
                want = cases[expression][side]
                assert got[0] == pytest.approx(want, abs=2e-3), (expression, points)
                assert plain[0] == pytest.approx(want, abs=2e-3), (expression, points)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reciprocals_and_roots_at_special_points(dtype):
    """No estimate of a reciprocal root: it is wrong at 0, infinity and subnormal numbers."""
    x = sd.tensor("x", "n")
    expressions = [1 / x, 1 / sp.sqrt(x), sp.sqrt(x), sd.gradient(sd.sum(sp.sqrt(x)), x), 1 / x**2]
    points = np.array([0.0, -0.0, np.inf, 1e-40, 1e-45, 1e38, 2.0, np.nan] * 4, dtype)
    results = codegen.compile(expressions, inputs=[x], dtype=dtype)(points)
    for got, want in zip(results, sd.evaluate(expressions, {x: points}, dtype), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


# --- structural rows ---------------------------------------------------------------------


@functools.cache
def structural_cases():
    """For each structural row, expressions that lead to it and need nothing else much."""
    X, Y = sd.tensor("X", "n", 4), sd.tensor("Y", 4, "k")
    v, w = sd.tensor("v", "n"), sd.tensor("w", 4)
    i, j = sd.tensor("i", "n", dtype="int"), sd.tensor("j", "p", dtype="int")
    T = sd.tensor("T", "n", 2, 3)
    B = sd.tensor("B", "n", 3, 2)
    Z, K = sd.tensor("Z", "n", 2, 5, 4), sd.tensor("K", 3, 2, 2, 3)
    W = sd.transpose(Z, (1, 0, 2, 3))
    M, S, R = sd.tensor("M", "n", "n"), sd.tensor("S", "n", 3, 3), sd.tensor("R", "r", 3, 3)
    positive = [x @ sd.transpose(x, axes) + sd.eye(x.shape[-1])
                for x, axes in ((M, (1, 0)), (S, (0, 2, 1)))]  # fmt: skip
    A = sd.constant(np.array([[1.0, -2.0, 3.0, 0.5]]))
    recurrent = sd.scan(lambda h, x: (sd.tanh(x @ B[0] @ w[:2] + h), h**2), v[:2], T)[1]

    def node(name, *operands, **keywords):
        attributes = keywords.get("attributes", ())
        return to_sympy([apply(name, *map(to_graph, operands), attributes=attributes)])[0]

    reductions = {
        name: [node(name, x, attributes=(axes, keep)) for x, axes, keep in (
            (v, (0,), False), (X, (0,), False), (X, (1,), True), (X, (0, 1), False),
            (T, (0, 2), False), (T, (1,), False), (i, (0,), False),
        )]
        for name in ("sum", "max", "min", "logsumexp", "argmax", "argmin")
        if name != "logsumexp"
    }  # fmt: skip
    for name in ("argmax", "argmin"):
        reductions[name] = [e for k, e in enumerate(reductions[name]) if k != 4]
    return {
        **reductions,
        "prod": [
            sd.prod(v), sd.prod(X, axis=0), sd.prod(X, axis=1, keepdims=True), sd.prod(T),
            sd.prod(T, axis=(0, 2)), sd.prod(T, axis=1), sd.prod(2 * i), sd.gradient(sd.prod(w), w),
        ],
        "prod_others": [
            sd.prod_others(v, 0), sd.prod_others(X, 1) + 1, sd.prod_others(T, 1),
            sd.prod_others(2 * X, 0), sd.prod_others(i, 0),
            sd.gradient(sd.sum(sd.prod_others(X, 1) ** 2), X),
            sd.gradient(sd.sum(sd.prod(v) ** 2), v),
        ],
        "cumsum": [
            sd.cumsum(v), sd.cumsum(X), sd.cumsum(X, axis=1), sd.cumsum(2 * X, axis=0),
            sd.cumsum(T, axis=1), sd.cumsum(i), sd.gradient(sd.sum(sd.cumsum(X, axis=1) ** 2), X),
        ],
        "det": [
            sd.det(M), sd.det(S), sd.det(2 * R), sd.gradient(sd.det(M), M), sd.det(S[0, :1, :1]),
        ],
        "logdet": [sd.logdet(M), sd.logdet(S) * v, sd.gradient(sd.sum(sd.logdet(S) ** 2), S)],
        "inv": [sd.inv(M), sd.inv(S), sd.inv(R + 1), sd.gradient(sd.sum(sd.inv(S) ** 2), S)],
        "solve": [
            sd.solve(M, v), sd.solve(M, X), sd.solve(S, B), sd.solve(S[0], B), sd.solve(S, B[0]),
            sd.solve(S, S[0, 0]), sd.solve(M, i), sd.gradient(sd.sum(sd.solve(M, v) ** 2), M),
            sd.gradient(sd.sum(sd.solve(S, B) ** 2), S),
        ],
        "cholesky": [
            *map(sd.cholesky, positive),
            sd.gradient(sd.sum(sd.cholesky(positive[0]) ** 3), M),
            sd.gradient(sd.sum(sd.cholesky(positive[1]) ** 3), S),
        ],
        "convolve": [
            sd.conv2d(Z, K), sd.conv2d(Z, K, 2, "same"),
            sd.conv2d(i[:, None, None, None] + Z, K, 1, 1), sd.conv1d(T, K[0]),
            sd.conv1d(sd.transpose(T, (1, 2, 0)), sd.stack([K[0, 0], K[1, 0]], -1)),
        ],
        "convolve_transposed": [
            sd.gradient(sd.sum(sd.conv2d(sd.tanh(Z), K, (2, 1), (0, 1)) ** 2), Z),
            sd.gradient(sd.sum(sd.conv1d(T, K[0]) ** 2), T),
        ],
        "convolve_kernel": [
            sd.gradient(sd.sum(sd.conv2d(Z, K, 2, 1) ** 2), K),
            sd.gradient(sd.sum(sd.conv2d(W, W[:, :, :2, :2]) ** 2), Z),
        ],
        "windows": [
            sd.max_pool2d(Z, 2), sd.max_pool2d(sd.tanh(Z), (3, 2), 1, 1), sd.avg_pool2d(Z, 2),
            sd.avg_pool2d(T, 2, 1, "same"), sd.avg_pool2d(X[None, None], (1, 2), 1),
        ],
        "overlap_add": [
            sd.gradient(sd.sum(sd.max_pool2d(Z, 3, 2, "same") ** 2), Z),
            sd.gradient(sd.sum(sd.avg_pool2d(sd.exp(Z), 2, 1, 1) ** 3), Z),
            sd.gradient(sd.sum(sd.avg_pool2d(X[None, None], (1, 2), 1) ** 2), X),
        ],
        "scan": [
            *sd.scan(lambda h, x: (sd.tanh(h * x + w), h @ w), w, X),
            *sd.scan(lambda c, x: ((c[0] + x, c[1] * x), c[0]), (0.0, 1.0), v, reverse=True)[0],
            sd.scan(lambda c, x: (c + x, 2 * c), 0, i)[1],
            sd.scan(lambda c, x: (sd.scan(lambda s, e: (s * e, None), c, x)[0], c), 1.0, X)[1],
            *sd.gradient(sd.sum(recurrent), [v, T, B]),
        ],
        "norm": [
            sd.norm(X), sd.norm(X, axis=0), sd.norm(T, axis=1, keepdims=True), sd.norm(v) * v,
            sd.norm(1e200 * X, axis=1), sd.gradient(sd.sum(sd.norm(X, axis=1)), X),
        ],
        "random_uniform": [
            node("random_uniform", sp.Integer(2), sp.Integer(9), attributes=(k, x.shape)) * x
            for k, x in enumerate((v, X, T))
        ],
        "logsumexp": [sd.logsumexp(X), sd.logsumexp(X, axis=0), sd.logsumexp(T, axis=2)],
        "symbol": [X, w, sd.tensor("s"), i, sd.tensor("c", "n", dtype="bool"), v @ X],
        "number": [sp.Integer(3), sp.Rational(1, 3), sp.pi, v + sp.E],
        "array": [X * A, sd.sum(A) + v],
        "size": [v * sd.mean(X), v / X.shape[0]],
        "arange": [sd.arange("n") * v],
        "matmul": [
            X @ Y, X @ w, v @ X, v @ v, w @ Y, X.T @ X, T @ B, T @ sd.ones(3), sd.ones(2) @ T,
            i @ X, i @ i,
        ],
        "transpose": [X.T, sd.transpose(T, (2, 0, 1)) * 1.0],
        "reshape": [
            sd.reshape(X, -1), sd.reshape(T, (-1, 6)), sd.reshape(T, (-1, 3, 2)),
            sd.reshape(X, (2, -1)),
        ],
        "broadcast_to": [sd.broadcast_to(w, X.shape), sd.broadcast_to(v[:, None], X.shape)],
        "index": [
            X[1:], X[:, ::-1], X[-1], X[:, 1:3] * 2, X[0, 1], v[::-1], X[j], X[:, j], X[j, j],
            X[None, :, 2], T[..., 0], T[:, 0, :], X[i, 1],
        ],
        "index_add": [
            sd.gradient(sd.sum(X[1:] ** 2), X), sd.gradient(sd.sum(X[j] ** 2), X),
            sd.gradient(sd.sum(X[:, j] ** 2), X), sd.gradient(sd.sum(X[j, j] ** 2), X),
            sd.gradient(sd.sum(X[:, ::-2] ** 2), X), sd.gradient(sd.sum(X[::-1, 1] ** 2), X),
            sd.gradient(v[-1] ** 2, v), sd.gradient(sd.sum(sd.exp(w[i])), w),
        ],
        "one_hot": [sd.one_hot(i, 4), sd.one_hot(j, 4) @ Y],
        "concatenate": [
            sd.concatenate([X, A, 2 * X]), sd.concatenate([X, v[:, None]], axis=1),
            sd.concatenate([T, T[:, ::-1]], axis=2), sd.stack([v, 2 * v]),
        ],
    }  # fmt: skip


def structural_values(expressions):
    rng = np.random.default_rng(2)
    sizes = {"n": 4, "k": 2, "p": 5, "r": 6}
    values = {}
    for node in leaves([to_graph(e) for e in expressions]):
        shape = [sizes.get(str(d), d) for d in node.shape]
        real = node.dtype == "real"
        values[node.attributes[0]] = rng.normal(size=shape) if real else rng.integers(0, 2, shape)
    return values


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", list(STRUCTURAL))
def test_structural_values(name, dtype):
    expressions = structural_cases()[name]
    values = structural_values(expressions)
    function = codegen.compile(expressions, inputs=list(values), dtype=dtype)
    assert_all_equal(function, expressions, values, expressions)
