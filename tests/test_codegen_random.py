"""Random expressions through the whole pipeline: graph, loop IR, source as Python, kernel."""

import numpy as np
import sympy as sp
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from loops import Loops

import codegen
import symdiff as sd
from symdiff.language import index

N = "n"
ALL = slice(None)
X, Y = sd.tensor("X", N, 3), sd.tensor("Y", N, 3)
u, v, W = sd.tensor("u", N), sd.tensor("v", 3), sd.tensor("W", 3, 3)
s = sp.Symbol("s")
i, j = sd.tensor("i", N, dtype="int"), sd.tensor("j", 3, dtype="int")

LEAVES = {(): [s], (N,): [u], (3,): [v], (N, 3): [X, Y], (3, 3): [W]}
REAL = [X, Y, u, v, W, s]

UNARY = [
    sp.tanh, sp.sin, sp.cos, sd.sigmoid, sd.softplus, sd.relu, sd.gelu, sp.Abs, sp.atan,
    lambda e: sp.exp(-(e**2)), lambda e: sp.log(1 + e**2), lambda e: sp.sqrt(1 + e**2),
    lambda e: -e, lambda e: e**2 / 4, lambda e: 1 / (2 + sp.sin(e)), lambda e: sp.erf(e),
    lambda e: sp.tanh(e) ** 3,
]  # fmt: skip
BINARY = [
    lambda p, q: p + q,
    lambda p, q: p - 2 * q,
    lambda p, q: p * q / 2,
    lambda p, q: p / (1 + q**2),
    sp.Max,
    sp.Min,
    lambda p, q: sp.atan2(p, 2 + q**2),
    sd.logaddexp,
]


def at(*key):
    """Indexing, also of what SymPy alone has built."""
    return lambda e: index(e, key)


def column(p):
    return at(slice(None), None)(p)


CHOICES = [
    lambda p, q: p + q,
    lambda p, q: sd.where(p > q, p * q, sp.sin(q)),
    lambda p, q: sp.Piecewise((p, q > 0), (q * p, p < -1), (sp.sqrt(1 + q**2), True)),
    lambda p, q: sd.where(sd.logical_or(p > 1, q > 1), sp.log(1 + p**2), q),
]
"""Not inside other operations: SymPy folds a choice into a condition that contains it."""

# for each shape: (shapes of what it is made from, how)
STRUCTURE = {
    (): [
        ([(N, 3)], sd.sum), ([(N,)], sd.mean), ([(3,)], sd.max), ([(N, 3)], sd.logsumexp),
        ([(N, 3)], sd.min), ([(3,), (3,)], sd.matmul), ([(N,), (N,)], sd.matmul),
        ([(N, 3)], at(0, 1)), ([(N,)], at(-1)), ([(3, 3)], at(2, 0)),
    ],
    (N,): [
        ([(N, 3), (3,)], sd.matmul), ([(N, 3)], lambda m: sd.sum(m, axis=1)),
        ([(N, 3)], lambda m: sd.max(m, axis=1)), ([(3,)], at(i)),
        ([(N, 3)], at(ALL, 1)), ([(N, 3)], lambda m: sd.logsumexp(m, axis=1)),
        ([(N,)], at(slice(None, None, -1))),
        ([(N, 3)], lambda m: at(ALL, 0)(sd.take(m, j, axis=1))),
        ([(N, 3)], lambda m: sd.argmax(m, axis=1) / 3 + at(ALL, 0)(m)),
    ],
    (3,): [
        ([(N,), (N, 3)], sd.matmul), ([(N, 3)], lambda m: sd.mean(m, axis=0)),
        ([(N, 3)], lambda m: sd.min(m, axis=0)), ([(N, 3)], at(-1)),
        ([(3,)], at(j)), ([(3, 3), (3,)], sd.matmul),
        ([(N, 3)], lambda m: sd.logsumexp(sd.transpose(m), axis=1)),
        ([(3, 3)], lambda m: sd.max(m, axis=1)),
        ([(3,), (3,)], lambda p, q: sd.concatenate([at(slice(1, None))(p), at(slice(1))(q)])),
    ],
    (N, 3): [
        ([(N, 3), (3, 3)], sd.matmul), ([(N,), (3,)], lambda p, q: column(p) * q),
        ([(N,), (N, 3)], lambda p, m: column(p) + m), ([(3, 3)], at(i)),
        ([(N, 3)], at(slice(None, None, -1), slice(None, None, -1))), ([(N, 3)], at(ALL, j)),
        ([(N, 3)], lambda m: sd.softmax(m, axis=1)), ([(N, 3)], lambda m: sd.softmax(m, axis=0)),
        ([(N, 3)], lambda m: sd.reshape(sd.reshape(m, -1), (-1, 3))),
        ([(N, 3), (N, 3)], lambda m, q: sd.concatenate(
            [at(ALL, slice(1, None))(m), at(ALL, slice(1))(q)], axis=1)),
        ([(N, 3)], lambda m: m - sd.mean(m, axis=0)),
        ([(N, 3), (3, 3)], lambda m, q: sd.transpose(sd.matmul(q, sd.transpose(m)))),
    ],
    (3, 3): [
        ([(N, 3), (N, 3)], lambda m, q: sd.matmul(sd.transpose(m), q)),
        ([(3, 3), (3, 3)], lambda m, q: sd.matmul(m, sd.transpose(q))),
        ([(3,), (3,)], lambda p, q: column(p) * q), ([(3, 3)], at(j)),
        ([(3, 3)], sd.transpose), ([(3, 3), (3,)], lambda m, p: m + p),
    ],
}  # fmt: skip


@st.composite
def expressions(draw, shape=(), depth=4):
    """An expression of a shape."""
    kind = draw(st.integers(0, 5)) if depth else 0
    if kind == 0:
        return draw(st.sampled_from(LEAVES[shape]))
    if kind == 1:
        return draw(st.sampled_from(UNARY))(draw(expressions(shape, depth - 1)))
    if kind == 2:
        other = draw(st.sampled_from([d for d in LEAVES if d == shape[len(shape) - len(d) :]]))
        operands = draw(expressions(shape, depth - 1)), draw(expressions(other, depth - 1))
        return draw(st.sampled_from(BINARY))(*operands)
    shapes, build = draw(st.sampled_from(STRUCTURE[shape]))
    return build(*(draw(expressions(d, depth - 1)) for d in shapes))


@st.composite
def problems(draw):
    """Some results, a loss, its gradients, and the values of the symbols."""
    n = draw(st.sampled_from([5, 1, 3, 2]))
    shared = draw(expressions((N, 3), 3))
    shape = draw(st.sampled_from(list(LEAVES)))
    result = draw(expressions(shape, 3))
    choice = draw(st.sampled_from(CHOICES))(shared, draw(expressions((N, 3), 2)))
    loss = sd.sum(draw(expressions((), 3)) + choice) + sd.sum(result)
    present = [t for t in REAL if t in loss.free_symbols]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    sizes = {N: n}
    values = {t: rng.normal(size=[sizes.get(str(d), d) for d in sd.shape(t)]) for t in REAL}
    values[i], values[j] = rng.integers(-3, 3, n), rng.integers(-3, 3, 3)
    # all of X gives the size n wherever it is needed
    return [sd.sum(X), result, shared, loss, *sd.gradient(loss, present)], values


def used(results, values):
    names = set().union(*(r.free_symbols for r in results))
    return {t: x for t, x in values.items() if t in names}


def assert_all_close(results, expected, way):
    assert len(results) == len(expected)
    for number, (result, right) in enumerate(zip(results, expected, strict=True)):
        scale = np.max(np.abs(right), initial=1)
        np.testing.assert_allclose(
            result, right, rtol=1e-9, atol=1e-10 * scale, err_msg=f"{way}, result {number}"
        )


SETTINGS = settings(
    deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example,
                           HealthCheck.data_too_large],
)  # fmt: skip


@settings(SETTINGS, max_examples=100)
@given(problems())
def test_loop_ir_and_source_as_python(problem):
    results, values = problem
    values = used(results, values)
    expected = sd.evaluate(results, values)
    loops = Loops(results, values)
    phases = loops.finish()
    loops.verify(phases, laid_out=True)
    assert_all_close(loops.run(phases, chunks=2), expected, "loop IR")
    function = codegen.compile(results, list(values))
    assert_all_close(function.plain(*values.values()), expected, "source as Python")


@settings(SETTINGS, max_examples=15, phases=[Phase.generate])  # shrinking takes a compiler's time
@given(problems())
def test_kernels(problem):
    results, values = problem
    values = used(results, values)
    expected = sd.evaluate(results, values)
    function = codegen.compile(results, list(values))
    assert_all_close(function(*values.values()), expected, "kernel")
    assert_all_close(function.plain(*values.values()), expected, "source as Python")
