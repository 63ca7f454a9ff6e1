"""Textbook forms: every form keeps the value, and the classic gradients read as in a book."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.evaluate import interpret
from symdiff.gradient import derived, loss_node, parameter_nodes, pullback
from symdiff.graph import apply, leaves, number, walk
from symdiff.printing.text import node_text
from symdiff.rewrite import Rewriter, algebra
from symdiff.shapes import Size
from symdiff.textbook import TEXTBOOK, Known, textbook

RNG = np.random.default_rng(3)
A, B = (sd.tensor(n, "d", "d") for n in "AB")
X = sd.tensor("X", "n", "d")
C = sd.tensor("C", "d", "n")
a, b, x = (sd.tensor(n, "d") for n in "abx")
y = sd.tensor("y", "n")
K = sd.tensor("K", "n", 2, 3, 4)
F = sd.tensor("F", 4, 2, 2, 2)
column = sd.tensor("u", "d", 1)
s, t = sp.symbols("s t", positive=True)
d = apply("size", attributes=(Size("d"),))

VALUES = {
    A: RNG.normal(size=(3, 3)) + 3 * np.eye(3),
    B: RNG.normal(size=(3, 3)),
    X: RNG.normal(size=(5, 3)),
    C: RNG.normal(size=(3, 5)),
    a: RNG.normal(size=3),
    b: RNG.normal(size=3),
    x: RNG.uniform(0.5, 2.0, 3),
    y: RNG.normal(size=5),
    K: RNG.normal(size=(5, 2, 3, 4)),
    F: RNG.normal(size=(4, 2, 2, 2)),
    column: RNG.normal(size=(3, 1)),
    s: 0.7,
    t: 1.3,
}


def g(expression):
    return to_graph(expression)


def op(name, *inputs, attributes=()):
    return apply(name, *map(g, inputs), attributes=attributes)


def turned(expression):
    return op("transpose", expression, attributes=((1, 0),))


def times(*nodes):
    result = nodes[0]
    for node in nodes[1:]:
        result = op("multiply", result, node)
    return result


def total(expression, axes, keepdims=False):
    return op("sum", expression, attributes=(axes, keepdims))


def constant(size):
    return op("broadcast_to", s, attributes=((Size(size),),))


outer = g(a[:, None] * b)
product = op("matmul", A, B)
gram_inverse = op("inv", op("matmul", turned(X), X))
powers = op("divide", times(number(4), op("power", s, number(2)), s), op("power", s, number(4)))

CASES = {
    "(A B)ᵀ = Bᵀ Aᵀ": [
        turned(product),
        turned(outer),
        turned(op("matmul", turned(A), outer)),
        turned(times(g(s), product)),
        turned(op("divide", product, s)),
    ],
    "((Aᵀ A)⁻¹)ᵀ = (Aᵀ A)⁻¹": [turned(gram_inverse)],
    "(A + B)ᵀ = Aᵀ + Bᵀ": [
        turned(op("add", turned(A), product)),
        turned(op("subtract", outer, times(g(s), turned(B)))),
    ],
    "A (b cᵀ) D = (A b)(Dᵀ c)ᵀ": [
        op("matmul", A, outer),
        op("matmul", outer, turned(B)),
        op("matmul", outer, x),
        op("matmul", a, outer),
        op("matmul", outer, outer),
    ],
    "A (c x) = c A x": [
        op("matmul", A, times(g(s), g(x))),
        op("matmul", op("divide", A, s), op("negative", x)),
        op("matmul", times(g(t), g(x)), B),
    ],
    "A⁻¹(c x) = c A⁻¹ x": [op("solve", A, times(g(s), g(x))), op("solve", A, op("divide", B, t))],
    "A [c] = c A": [
        op("matmul", column, op("broadcast_to", s, attributes=((1, 1),))),
        op("matmul", op("broadcast_to", number(1), attributes=((1, 1),)), turned(column)),
    ],
    "A (c 𝟏) = c Σ A": [
        op("matmul", X, constant("d")),
        op("matmul", turned(X), constant("n")),
        op("matmul", constant("n"), X),
        op("matmul", constant("d"), turned(X)),
    ],
    "conv(x, 2 k) = 2 conv(x, k)": [
        op("convolve", K, times(number(3), g(F)), attributes=((1, 1),)),
        op("convolve", op("divide", K, d), F, attributes=((1, 1),)),

        op("reshape", times(number(2), g(x)), attributes=((*x.shape, 1),)),
        turned(op("divide", op("negative", op("tanh", A)), d)),
    ],
    "x x = x²": [
        times(g(x), g(x)),
        powers,
        op("divide", op("power", x, number(2)), times(g(x), g(x), g(x))),
        times(d, d),
        op("divide", times(op("det", A), op("inv", A)), op("det", A)),
        op("divide", times(op("det", A), turned(op("inv", A))), op("det", A)),
    ],
    "Σ c x = c Σ x": [
        total(times(g(s), g(x)), (0,)),
        total(op("divide", times(g(t), op("power", x, number(2))), s), (0,)),
        total(times(g(s), g(X)), (1,), True),
    ],
    "Σ Σ x = Σ x": [total(total(K, (2, 3)), (0,)), total(total(K, (1,), True), (3,), True)],
    "sum without axes of size 1": [
        op("reshape", total(total(K, (0,)), (1, 2), True), attributes=((2,),)),
    ],
    "x + x = 2 x, A x + B x = (A + B) x": [
        op("add", op("matmul", A, x), op("matmul", x, A)),
        op("add", x, x),
        op("subtract", op("add", x, op("tanh", x)), x),
        op("subtract", op("matmul", A, B), op("matmul", A, A)),
        op("add", op("matmul", A, outer), op("negative", op("matmul", B, outer))),
        op("add", op("matmul", outer, A), op("matmul", outer, B)),
        op("add", turned(op("subtract", product, A)),
           op("subtract", op("matmul", turned(B), turned(A)), turned(A))),
        op("subtract", op("divide", x, d), op("divide", b, times(d, d))),
        op("add", times(g(s), op("matmul", A, x)), times(op("matmul", B, x), g(s))),
    ],
}  # fmt: skip
LIST = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]
NOTHING = Known(set(), set())


def run(*nodes):
    arrays = {n: np.asarray(VALUES[n.attributes[0]]) for n in leaves(nodes)}
    return interpret(list(nodes), arrays, {Size("n"): 5, Size("d"): 3})


def test_every_form_has_a_case():
    names = [form.name for form in TEXTBOOK]
    assert len(set(names)) == len(names) and set(names) == set(CASES)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_a_form_keeps_value_and_shape(name, i):
    form = next(f for f in TEXTBOOK if f.name == name)
    node = CASES[name][i]
    assert node.operation in form.operations
    new = form.apply(node, NOTHING)
    assert new is not None and new is not node, "the form does not see its case"
    assert new.shape == node.shape
    np.testing.assert_allclose(*run(new, node), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_all_forms_together_keep_it_and_settle(name, i):
    node = CASES[name][i]
    (new,) = textbook([node])
    np.testing.assert_allclose(*run(new, node), rtol=1e-12, atol=1e-14)
    assert textbook([new]) == [new]


MATRICES = st.sampled_from([g(A), g(B), turned(A), outer])


@st.composite
def formulas(draw):
    """Random linear combinations of products of matrices and vectors."""

    def matrix(depth):
        kind = draw(st.sampled_from(["leaf", "matmul", "add", "turned", "scaled", "times"]))
        if depth == 0 or kind == "leaf":
            return draw(MATRICES)
        first = matrix(depth - 1)
        if kind == "turned":
            return turned(first)
        if kind == "scaled":
            return op(
                draw(st.sampled_from(["multiply", "divide"])), first, draw(st.sampled_from([s, t]))
            )
        if kind == "times":
            return times(first, matrix(depth - 1))
        return op(
            "matmul" if kind == "matmul" else draw(st.sampled_from(["add", "subtract"])),
            first,
            matrix(depth - 1),
        )

    node = matrix(draw(st.integers(1, 3)))
    return draw(st.sampled_from([node, op("matmul", node, x), op("matmul", x, node)]))  # fmt: skip


@settings(max_examples=150)
@given(formulas(), formulas())
def test_random_sums_keep_their_value(first, second):
    node = op("add", first, second) if first.shape == second.shape else first
    (new,) = textbook([node], loss=[second])
    np.testing.assert_allclose(*run(new, node), rtol=1e-9, atol=1e-9)


def test_the_loss_stays_as_it_is():
    loss = op("matmul", op("matmul", x, A), x)
    kept = op("matmul", x, A)
    (new,) = textbook([turned(op("matmul", outer, A))], loss=[loss])
    assert textbook([kept], loss=[loss]) == [kept] and new is not None


def test_a_quotient_stays_undefined_where_it_was():
    quotient = op("divide", times(g(s), g(s), g(s)), s)
    assert [n.operation for n in walk(textbook([quotient]))].count("divide") == 1


def test_products_of_one_adjoint_are_not_merged_into_the_next():
    first = times(g(a), g(b))
    second = times(first, op("tanh", x))
    (new,) = textbook([second], adjoints=[first, second])
    assert first in walk([new])


def test_rules_never_run_in_circles(monkeypatch):
    monkeypatch.setattr("symdiff.rewrite._LIMIT", 40)
    seen = []
    original = Rewriter._rewritten

    def counted(self, node):
        seen.append(node)
        return original(self, node)

    monkeypatch.setattr(Rewriter, "_rewritten", counted)
    for cases in CASES.values():
        for node in cases:
            seen.clear()
            textbook([node])
            assert len(seen) < 80


# --- what a book prints ------------------------------------------------------------------

S, mu, w = sd.tensor("S", "d", "d"), sd.tensor("mu", "d"), sd.tensor("w", "d")
M = sd.tensor("M", "d", "d")
D, Q = sd.tensor("D", "d", "n"), sd.tensor("Q", "n", "n")
labels, Z, Y = sd.tensor("t", "n", dtype="int"), sd.tensor("Z", "n", "d"), sd.tensor("Y", "n", "d")
lam, m, sigma, z = sp.symbols("lambda m sigma z")
quadratic = (x - mu) @ sd.inv(S) @ (x - mu)

CLASSIC = [
    (x @ A @ x, x, "(A + Aᵀ)x"),
    (x @ A @ x, A, "xxᵀ"),
    (a @ x, x, "a"),
    (a @ M @ b, M, "abᵀ"),
    (a @ M.T @ b, M, "baᵀ"),
    (sd.sum((X @ w - y) ** 2), w, "2Xᵀ(Xw − y)"),
    (sd.norm(X @ w - y) ** 2, w, "2Xᵀ(Xw − y)"),
    ((X @ w - y) @ (X @ w - y), w, "2Xᵀ(Xw − y)"),
    (sd.sum((X @ w - y) ** 2) + lam * w @ w, w, "2(Xᵀ(Xw − y) + λw)"),
    (sd.norm(x), x, "x/‖x‖"),
    (sd.logdet(M), M, "M⁻ᵀ"),
    (sp.log(sd.det(M)), M, "M⁻ᵀ"),
    (sd.det(M), M, "det(M) M⁻ᵀ"),
    (sd.trace(M), M, "𝐈"),
    (sd.trace(Q @ X @ D.T.T), X, "QᵀDᵀ"),
    (sd.trace(X.T @ X), X, "2X"),
    (sd.trace(X.T @ Q @ X), X, "(Q + Qᵀ)X"),
    (sd.trace(sd.inv(M)), M, "−M⁻ᵀM⁻ᵀ"),
    (a @ sd.inv(M) @ b, M, "−M⁻ᵀabᵀM⁻ᵀ"),
    (a @ sd.solve(M, b), M, "−M⁻ᵀabᵀM⁻ᵀ"),
    (sd.trace(M @ M @ M), M, "3MᵀMᵀ"),
    (sd.logdet(X.T @ X), X, "2X(XᵀX)⁻¹"),
    (quadratic / 2 + sd.logdet(S) / 2, S, "1/2 · (S⁻ᵀ − S⁻ᵀ(x − μ)(x − μ)ᵀS⁻ᵀ)"),
    (quadratic / 2, mu, "−1/2 · (S⁻¹ + S⁻ᵀ)(x − μ)"),
    (sp.log(sigma) + (z - m) ** 2 / (2 * sigma**2), m, "−(z − m)/σ²"),
    (sp.log(sigma) + (z - m) ** 2 / (2 * sigma**2), sigma, "1/σ − (z − m)²/σ³"),
    (sd.losses.binary_cross_entropy(X @ w, y), w, "1/n · Xᵀ(σ(Xw) − y)"),
    (sd.losses.cross_entropy(Z, labels), Z, "1/n · (softmax(Z) − onehot(t))"),
    (sd.sum(sd.sigmoid(x)), x, "σ(x) ⊙ (1 − σ(x))"),
    (sp.exp(-x @ A @ x / 2), x, "−1/2 · exp(−xᵀAx/2) · (A + Aᵀ)x"),
    (sd.mean((x - sd.mean(x)) ** 2), x, "2/d · (x − 1/d · Σ (x − 1/d · Σ x) − 1/d · Σ x)"),
]


@pytest.mark.parametrize(("loss", "wrt", "text"), CLASSIC, ids=[c[2] for c in CLASSIC])
def test_classic_gradients_read_as_in_a_book(loss, wrt, text):
    assert node_text(sd.derive(loss, wrt).gradient_nodes[wrt]) == text


def test_classic_gradients_as_sympy_expressions():
    assert str(sd.gradient(x @ A @ x, x)) == "(A + A.T) @ x"
    assert str(sd.gradient(sd.logdet(M), M)) == "inv(M).T"
    assert str(sd.gradient(sd.trace(X.T @ Q @ X), X)) == "(Q + Q.T) @ X"


def test_matrix_symbols_read_the_same():
    n = sp.Symbol("n", integer=True, positive=True)
    G, v, u = sp.MatrixSymbol("G", n, n), *(sp.MatrixSymbol(c, n, 1) for c in "vu")
    for loss, wrt, text in [
        (v.T * G * v, v, "(G + Gᵀ)v"),
        ((G * v - u).T * (G * v - u), v, "2Gᵀ(Gv − u)"),
        (sp.log(sp.Determinant(G)), G, "G⁻ᵀ"),
        (sp.Trace(G.I), G, "−G⁻ᵀG⁻ᵀ"),
    ]:
        (node,) = sd.derive(loss, wrt).gradient_nodes.values()
        assert node_text(node) == text


def test_floats_are_folded_only_where_the_result_leaves_room():
    """``10⁻²⁰⁰ (10⁻²⁰⁰ x)`` is a number for ``x = 10³⁰⁰``; ``10⁻⁴⁰⁰`` is none."""
    tiny = number(sp.Float(1e-200))
    large = {to_graph(s): 1e300, to_graph(x): np.full(3, 1e300), to_graph(A): np.eye(3)}
    for node in (
        times(tiny, times(tiny, g(s))),
        op("matmul", times(tiny, g(A)), times(tiny, g(x))),
    ):
        (found,) = textbook([node])
        np.testing.assert_allclose(np.max(interpret([found], large, {Size("d"): 3})[0]), 1e-100)


@pytest.mark.parametrize("steps", [10, 40])
def test_scalars_of_the_loss_are_not_computed_again(steps):
    """Each step of ``z ← s z (1 − z)`` is read twice: its products are those of the loss."""
    z, factor = sp.symbols("z s")
    value = z
    for _ in range(steps):
        value = sp.Mul(factor, value, 1 - value, evaluate=False)
    root = loss_node(value)
    targets, _ = parameter_nodes([factor, z], [root])
    plain = algebra(pullback(root, number(1), targets)[0])
    assert len(walk([root, *derived(root, targets).gradients])) < len(walk([root, *plain])) + 10


def test_sums_over_constants_leave_no_ones():
    """Means of products, normalised rows and contrasts of rows with each other."""
    w = sd.tensor("w", "d")
    assert str(sd.gradient(sd.mean(X @ w), w)) == "sum(X, axis=0)/n"
    centred = X - sd.mean(X, axis=0)
    assert str(sd.gradient(sd.mean((centred + b) @ w), b)) == "w"
    contrast = -sd.trace(sd.log_softmax(X @ sd.transpose(X), axis=1))
    logits = to_graph(X @ sd.transpose(X))
    (adjoint,) = {n for k, n in sd.derive(contrast, X).adjoint_nodes.items() if k is logits}
    assert node_text(adjoint).endswith(" − 𝐈")
    assert "Σ" not in node_text(adjoint)
