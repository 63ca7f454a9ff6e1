"""Products and norms against NumPy, their gradients against finite differences."""

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd

RNG = np.random.default_rng(5)
A, B = sd.tensor("A", 3, 4), sd.tensor("B", 4, 3)
S, u, v = sd.tensor("S", 3, 3), sd.tensor("u", 3), sd.tensor("v", 4)
T = sd.tensor("T", 2, 3, 4)
VALUES = {s: RNG.normal(size=tuple(s.shape)) for s in (A, B, S, u, v, T)}
EINSUM = [
    ("ij,jk->ik", A, B), ("ij,jk", A, B), ("ii", S), ("ii->i", S), ("ij->ji", A),
    ("ij,ij->", A, A), ("tij,jk->tik", T, B), ("tij,ij->t", T, A), ("i,j->ij", u, v),
    ("i,ij,j->", u, A, v), ("tij->j", T), ("tij,tij->ti", T, T), ("ij,kl->", A, B),
]  # fmt: skip


def n(symbol):
    return VALUES[symbol]


CASES = {
    "trace": (sd.trace(S), np.trace(n(S))),
    "diag of a matrix": (sd.diag(S), np.diag(n(S))),
    "diag of a vector": (sd.diag(u), np.diag(n(u))),
    "outer": (sd.outer(u, v), np.outer(n(u), n(v))),
    "kron of matrices": (sd.kron(A, B), np.kron(n(A), n(B))),
    "kron of vectors": (sd.kron(u, v), np.kron(n(u), n(v))),
    "dot 2-D": (sd.dot(A, B), np.dot(n(A), n(B))),
    "dot 3-D with 2-D": (sd.dot(T, B), np.dot(n(T), n(B))),
    "dot 2-D with 3-D": (sd.dot(S, T), np.dot(n(S), n(T))),
    "norm": (sd.norm(u), np.linalg.norm(n(u))),
    "norm fro": (sd.norm(S, "fro"), np.linalg.norm(n(S), "fro")),
    "norm 1": (sd.norm(u, 1), np.linalg.norm(n(u), 1)),
    "norm 2": (sd.norm(u, 2), np.linalg.norm(n(u), 2)),
    "norm inf": (sd.norm(u, np.inf), np.linalg.norm(n(u), np.inf)),
    "norm -inf": (sd.norm(u, -np.inf), np.linalg.norm(n(u), -np.inf)),
    "norm 3": (sd.norm(u, 3), np.linalg.norm(n(u), 3)),
    "norm 2.5": (sd.norm(u, 2.5), np.linalg.norm(n(u), 2.5)),
    "norm 0": (sd.norm(u, 0), np.linalg.norm(n(u), 0)),
    "norm of rows": (sd.norm(A, axis=1), np.linalg.norm(n(A), axis=1)),
    **{f"einsum {s}": (sd.einsum(s, *o), np.einsum(s, *map(n, o))) for s, *o in EINSUM},
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(name):
    expression, expected = CASES[name]
    got = sd.evaluate(expression, VALUES)
    assert np.shape(got) == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    loss = sd.sum(expression**2)
    for symbol, value in VALUES.items():
        gradient = sd.evaluate(sd.gradient(loss, symbol), VALUES)
        direction = np.random.default_rng(1).normal(size=value.shape)
        ends = [sd.evaluate(loss, {**VALUES, symbol: value + h * direction}) for h in (1e-6, -1e-6)]
        np.testing.assert_allclose(
            np.sum(gradient * direction), (ends[0] - ends[1]) / 2e-6, rtol=2e-5, atol=1e-5
        )


def test_compiled_equals_numpy():
    function = codegen.compile([e for e, _ in CASES.values()], inputs=list(VALUES))
    for (_, expected), got in zip(CASES.values(), function(*VALUES.values()), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("order", [None, 1, 2, 3, np.inf])
def test_the_norm_of_zero_has_gradient_zero(order):
    gradient = sd.gradient(sd.norm(u, order), u)
    got = sd.evaluate(gradient, {u: np.zeros(3)})
    np.testing.assert_array_equal(got, np.zeros(3))


def test_the_gradient_of_a_trace_is_a_transpose():
    assert str(sd.gradient(sd.trace(A @ B), A)) == "B.T"


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: sd.trace(A), "trace takes a square matrix, got A with shape (3, 4)"),
        (lambda: sd.kron(A, u), "u with shape (3,)"),
        (lambda: sd.norm(A, 1), "axis="),
        (lambda: sd.norm(u, "nuc"), "'nuc'"),
        (lambda: sd.einsum("ij,jk->ik", A, S), "axis 'j' has size 4 and size 3"),
        (lambda: sd.einsum("ij->ik", A), "k"),
        (lambda: sd.einsum("i...->i", A), "'...'"),
        (lambda: sd.einsum("ij", A, B), "names 1 operands, got 2"),
    ],
)
def test_errors_name_what_is_wrong(build, words):
    with pytest.raises(sd.SymdiffError) as error:
        build()
    assert words in str(error.value)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_norms_neither_overflow_nor_vanish(scale):
    x, rows = sd.tensor("x", 3), sd.tensor("rows", "n", 3)
    data = scale * np.array([3.0, -4.0, 12.0])
    outputs = [sd.norm(x), sd.sqrt(sd.sum(x**2)), sd.norm(rows, axis=1)[0], sp.sqrt(x @ x)]
    values = {x: data, rows: data[None]}
    for got in (
        sd.evaluate(outputs, values),
        codegen.compile(outputs, inputs=[x, rows])(data, data[None]),
    ):
        np.testing.assert_allclose(got, 13 * scale, rtol=1e-14)
    for gradient in sd.evaluate([sd.gradient(e, x) for e in outputs[:2]], {x: data}):
        np.testing.assert_allclose(gradient, data / scale / 13, rtol=1e-14)


def test_norm_of_what_is_not_finite_and_at_the_origin():
    x = sd.tensor("x", 2)
    both = [sd.norm(x), sd.gradient(sd.norm(x), x)]
    f = codegen.compile(both, inputs=[x])
    for data, value in (([np.inf, 1.0], np.inf), ([np.nan, 1.0], np.nan), ([0.0, -0.0], 0.0)):
        for norm, gradient in (sd.evaluate(both, {x: data}), f(data)):
            np.testing.assert_equal(norm, value)
            if value == 0:
                np.testing.assert_array_equal(gradient, [0, 0])
    assert sd.gradient(sd.norm(x) ** 2, x) == 2 * x
    assert "‖x‖" in str(sd.derive(sd.norm(x) * sd.sum(x), x))
