"""``explain``: one rule per line, the numbers of a hand-written pass, finite differences."""

import dataclasses
import pickle
import re

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.gradient import partial_template
from symdiff.graph import OPERATIONS
from symdiff.layers import LSTM, Dense, Sequential

X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
W1, b1, W2 = sd.tensor("W1", 3, 4), sd.tensor("b1", 4), sd.tensor("W2", 4, 5)
t = sd.tensor("t", "n", dtype="int")
y1 = sd.tensor("y1", 3)
a, b, c = sp.symbols("a b c")
RANDOM = np.random.default_rng(8)


def backward(explanation):
    return [line for line in explanation.lines if line.phase == "backward"]


def rules(explanation):
    return [line.rule for line in backward(explanation) if line.rule]


# --- what stands there -------------------------------------------------------------------


def test_linear_regression():
    explanation = sd.derive(sd.sum((X @ w - y) ** 2), w).explain(w)
    assert explanation.splitlines() == [
        "forward",
        "  r = Xw − y  (n,)",
        "  L = ‖r‖²      ()",
        "",
        "backward: rule, local derivative, derivative of the loss",
        "  start                       ∂L/∂L = 1       ()",
        "  squared norm    ∂L/∂r = 2r  ∂L/∂r = 2r    (n,)",
        "  matrix product  ∂r/∂w = X   ∂L/∂w = 2Xᵀr  (3,)",
    ]
    assert str(explanation) == repr(explanation) == explanation and "2Xᵀr" in explanation
    assert explanation.lines[-1].shape == (3,) and explanation.lines[-1].value is None


def test_rules_are_those_on_the_way_to_the_parameter():
    layer = sd.relu(sd.tanh(X @ W1 + b1) @ W2)
    d = sd.derive(sd.sum(sd.exp(layer)), [W1, W2, b1])
    below = ["start", "sum over axes", "exp", "relu", "matrix product"]
    assert rules(d.explain(W2)) == below
    assert rules(d.explain(W1)) == [*below, "tanh", "matrix product"]
    assert rules(d.explain(b1)) == [*below, "tanh", "sum, broadcast"]
    local = {line.rule: line.local for line in backward(d.explain(W1))}
    assert local["tanh"].endswith("= 1 − h₁²") and local["relu"].endswith("= [z₂ > 0]")
    assert local["matrix product"] == "dz₁ = X dW₁"


def test_what_is_read_as_one_function_is_one_line():
    assert "log of softmax" in rules(sd.derive(sd.sum(sd.log_softmax(w) * y1), w).explain(w))
    assert rules(sd.derive(sd.mean(sd.sin(w)), w).explain(w))[1:] == ["mean", "sin"]
    assert rules(sd.derive(sd.mean((X @ w) ** 2), w).explain(w))[1:] == [
        "mean of squares",
        "matrix product",
    ]
    # a third of the sum over four is no mean
    assert "quotient" in rules(sd.derive(sd.sum(sd.sin(b1)) / 3, b1).explain(b1))


def test_a_node_that_is_read_twice_joins_two_paths():
    s = sp.tanh(a)
    explanation = sd.derive(sp.exp(s) * sp.sin(s), a).explain(a, {a: 0.3}, check=True)
    joined = next(line for line in backward(explanation) if line.rule == "sum over 2 paths")
    at = backward(explanation).index(joined)
    parts = backward(explanation)[at - 2 : at]
    assert {line.rule for line in parts} == {"exp", "sin"}
    assert all(line.formula.startswith("path ") for line in parts)
    h = np.tanh(0.3)
    assert {round(float(line.value), 12) for line in parts} == {
        round(np.exp(h) * np.sin(h), 12),
        round(np.exp(h) * np.cos(h), 12),
    }
    assert joined.value == pytest.approx(np.exp(h) * (np.sin(h) + np.cos(h)))


def test_a_parameter_that_is_used_twice():
    A = sd.tensor("A", 3, 3)
    explanation = sd.derive(w @ sd.tanh(A @ w), w).explain(w, check=True)
    assert rules(explanation)[-3:-1] == ["matrix product"] * 2
    assert explanation.lines[-1].rule == "sum over 2 paths"
    assert explanation.lines[-1].formula.startswith("∂L/∂w = ")


def test_a_square_by_multiplication_is_one_path():
    """Both factors are the same node: one rule reads it."""
    explanation = sd.derive(sd.sum(sd.matmul(W1, W1.T)), W1).explain(W1, check=True)
    assert explanation.lines[-1].formula.startswith("∂L/∂W₁ = ")


def test_names_are_introduced_before_they_are_used():
    logits = sd.tanh(X @ W1 + b1) @ W2
    d = sd.derive(sd.losses.cross_entropy(logits, t) + 1e-4 * sd.sum(W1**2), [W1, b1, W2])
    first = [re.sub(r"path \d: ", "", line.formula).split(" = ")[0] for line in d.explain(W1).lines]
    assert first.index("z₁") < first.index("h₁") < first.index("L") < first.index("∂L/∂L")
    assert first.index("δ₂") < first.index("∂L/∂h₁") < first.index("δ₁")
    assert first[-1] == "∂L/∂W₁"


def test_what_the_loss_does_not_contain():
    explanation = sd.derive(a**2, [a, b]).explain(b, {a: 2.0, b: 1.0}, check=True)
    assert "not in the loss" in explanation and "∂L/∂b = 0" in explanation
    with pytest.raises(sd.InvalidArgument, match="lambda"):
        sd.derive(a**2, a).explain(sp.Symbol("lambda"))
    assert "∂a/∂a = 1" in sd.derive(a, a).explain(a, {a: 3}, check=True)


def test_latex_and_pickle():
    values = {X: RANDOM.normal(size=(2, 3)), w: [1.0, 2.0, 3e-9], y: [0.5, 1.0]}
    explanation = sd.derive(sd.sum((X @ w - y) ** 2), w).explain(w, values, check=True)
    latex = explanation.latex()
    assert r"\frac{\partial r}{\partial w} = X" in latex and r"\begin{pmatrix}" in latex
    assert latex.count("\\begin{") == latex.count("\\end{")
    assert r"3 \cdot 10^{-9}" in latex and explanation._repr_latex_()[1:-1].endswith(latex)
    again = pickle.loads(pickle.dumps(explanation))
    assert again == explanation and again.latex() == latex and len(again.lines) == 8


HOSTILE = ["<script>alert(1)</script>", '"]; x [', "a_{b}$&%", "ж" * 60, "δ", "dw", "u1"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name):
    s, u = sd.tensor(name, "n"), sd.tensor("u", "n")
    explanation = sd.derive(sd.sum(sp.sin(s * u) * sp.exp(u)), [s, u]).explain(u, check=True)
    assert explanation.lines[-1].error < 1e-6
    latex = explanation.latex()
    plain = re.sub(r"\\[{}]", "", latex)
    assert plain.count("{") == plain.count("}")
    names = [line.formula.split(" = ")[0] for line in explanation.lines if line.phase == "forward"]
    assert len(set(names)) == len(names) and name not in names


def test_lines_are_not_wide():
    model = Sequential([Dense(16, activation="gelu"), Dense(16, activation="tanh"), Dense(7)])
    loss = sd.losses.cross_entropy(model(X), t) + sum(1e-4 * sd.sum(p**2) for p in model.parameters)
    d = sd.derive(loss, list(model.parameters))
    values = {X: RANDOM.normal(size=(4, 3)), t: [0, 1, 2, 3]}
    values |= {p: RANDOM.normal(size=p.shape) for p in d.parameters}
    for p in d.parameters:
        for explanation in (d.explain(p), d.explain(p, values, check=True)):
            assert max(map(len, explanation.splitlines())) <= 100


# --- numbers -----------------------------------------------------------------------------


def test_the_numbers_of_the_xor_network():
    """One data point through forward and backward, written by hand."""
    x, target = sd.tensor("x", 2), sp.Symbol("t")
    W, p, v, q = sd.tensor("W", 2, 2), sd.tensor("p", 2), sd.tensor("v", 2), sp.Symbol("q")
    h = sd.sigmoid(x @ W + p)
    out = sd.sigmoid(h @ v + q)
    d = sd.derive((out - target) ** 2 / 2, [W, p, v, q])
    values = {
        x: np.array([1.0, 0.0]), target: 1.0, W: np.array([[0.5, -0.3], [0.8, 0.2]]),
        p: np.array([0.1, -0.2]), v: np.array([0.7, -0.6]), q: 0.05,
    }  # fmt: skip

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    z1 = values[x] @ values[W] + values[p]
    h1 = sigmoid(z1)
    z2 = h1 @ values[v] + values[q]
    o = sigmoid(z2)
    loss = (o - 1) ** 2 / 2
    by_o = o - 1
    by_z2 = by_o * o * (1 - o)
    by_h = by_z2 * values[v]
    by_z1 = by_h * h1 * (1 - h1)
    expected = {W: np.outer(values[x], by_z1), p: by_z1, v: by_z2 * h1, q: by_z2}
    for symbol, gradient in expected.items():
        explanation = d.explain(symbol, values, check=True)
        np.testing.assert_allclose(explanation.lines[-1].value, gradient, rtol=1e-12)
        assert explanation.lines[-1].formula.startswith(f"∂L/∂{symbol}")
    explanation = d.explain(W, values)
    given = {line.formula: line.value for line in explanation.lines if line.phase == "given"}
    assert set(given) == {"x", "t", "W", "p", "v", "q"}
    steps = [line.value for line in explanation.lines if line.phase == "forward"]
    for wanted in (z1, h1, z2, o, loss):
        assert any(np.shape(s) == np.shape(wanted) and np.allclose(s, wanted) for s in steps)
    found = [line.value for line in backward(explanation) if line.value is not None]
    for wanted in (by_o, by_z2, by_h, by_z1):
        close = [np.shape(f) == np.shape(wanted) and np.allclose(f, wanted) for f in found]
        assert any(close), wanted
    shown = f"[{h1[0]:.4g}, {h1[1]:.4g}]"
    assert shown in explanation and f"{loss:.4g}" in explanation


def test_large_arrays_are_shown_by_their_norm():
    values = {X: RANDOM.normal(size=(50, 3)), w: np.ones(3), y: np.zeros(50)}
    explanation = sd.derive(sd.sum((X @ w - y) ** 2), w).explain(w, values)
    r = values[X].sum(axis=1)
    assert f"r = Xw − y = a (50,) array of norm {np.linalg.norm(r):.4g}" in explanation
    assert f"L = ‖r‖² = {r @ r:.4g}" in explanation


def test_values_that_are_missing_or_left_over():
    d = sd.derive(sd.sum((X @ w - y) ** 2), w)
    good = {X: np.ones((2, 3)), w: np.ones(3), y: np.ones(2)}
    with pytest.raises(sd.BindingError, match="no value for y"):
        d.explain(w, {X: good[X], w: good[w]})
    with pytest.raises(sd.BindingError, match="surplus"):
        d.explain(w, {**good, a: 1.0})
    with pytest.raises(sd.BindingError, match=r"axis 0 gives\s+n = 3"):
        d.explain(w, {**good, y: np.ones(3)})
    with pytest.raises(sd.InvalidType):
        d.explain(w, [good])
    # another parameter, that the loss does not hold
    assert sd.derive(a**2, [a, b]).explain(a, {a: 1.0, b: 2.0}).lines[-1].value == 2


def test_matrix_symbols_sums_and_sizes():
    M, u = sp.MatrixSymbol("M", 2, 3), sp.MatrixSymbol("u", 3, 1)
    explanation = sd.derive((M * u).T * (M * u), u).explain(
        u, {M: [[1, 2, 3], [0, 1, 0]], u: [[1], [0], [2]]}, check=True
    )
    assert explanation.lines[-1].value.tolist() == [[14.0], [28.0], [42.0]]
    count = sp.Symbol("m", integer=True, positive=True)
    k, x = sp.Symbol("k", integer=True), sp.IndexedBase("x")
    total = sp.Sum(x[k] ** 2 * a, (k, 0, count - 1))
    d = sd.derive(total, a)
    assert d.explain(a, {x: [1.0, 2.0], a: 3.0}, check=True).lines[-1].value == 5
    assert d.explain(a, check=True).lines[-1].error < 1e-6
    positions = sd.derive(sd.sum(sd.arange("m") * a), a)
    assert positions.explain(a, check=True).lines[-1].error < 1e-6
    assert positions.explain(a, {a: 1.0, sp.Symbol("m"): 4}).lines[-1].value == 6


def test_what_differs_in_training_is_explained_as_in_use():
    loss = sd.sum(sd.dropout(sd.tanh(w), 0.5) ** 2)
    values = {w: np.array([0.1, 0.2, 0.3])}
    found = sd.derive(loss, w).explain(w, values, check=True).lines[-1].value
    h = np.tanh(values[w])
    np.testing.assert_allclose(found, 2 * h * (1 - h**2), rtol=1e-12)


# --- finite differences ------------------------------------------------------------------

image, kernel = sd.tensor("image", 2, 1, 5, 5), sd.tensor("kernel", 2, 1, 2, 2)
V, S = sd.tensor("V", 6, 3), sd.tensor("S", 3, 3)
h0, U, R = sd.tensor("h0", 3), sd.tensor("U", 3, 3), sd.tensor("R", 4, 3)
_, outputs = sd.scan(lambda h, x: (sd.tanh(x + h @ U), h * x), h0, R)

MODELS = {
    "softmax": (sd.losses.cross_entropy(sd.tanh(X @ W1 + b1) @ W2, t) + sd.sum(W1**2), [W1, b1]),
    "relu": (sd.mean(sd.relu(X @ W1 + b1) ** 2), [W1, b1]),
    "where": (sd.sum(sd.where(X @ W1 > 0.1, sp.sin(X @ W1), 2) * b1), [W1]),
    "convolution": (sd.sum(sd.max_pool2d(sd.conv2d(image, kernel), 2) ** 2), [kernel, image]),
    "scan": (sd.sum(outputs**2), [U, h0, R]),
    "gather": (sd.sum(sd.tanh(V[t]) * X), [V]),
    "logarithms": (sd.sum(sd.log(w) + sp.sqrt(w) * w), [w]),
    "determinant": (sd.logdet(S @ S.T + sd.eye(3)) + w @ sd.inv(S + 4 * sd.eye(3)) @ w, [S, w]),
    "cholesky": (sd.sum(sd.cholesky(S @ S.T + sd.eye(3)) ** 2), [S]),
    "solve": (sd.sum(sd.solve(S + 5 * sd.eye(3), w) ** 2), [S, w]),
    "attention": (sd.sum(sd.softmax((X @ S) @ X.T) @ X), [S, X]),
    "reductions": (sd.norm(w) + sd.prod(w) + sd.max(X @ w) + sd.logsumexp(w) + sd.var(w), [w, X]),
    "moves": (sd.sum(sd.concatenate([w[::-1], sd.cumsum(w)]) ** 3) + w[0] * w[-1], [w]),
    "scalars": (sp.atan2(a, b) * sp.Max(a, b) * sp.exp(-(c**2)) * sp.Abs(a), [a, b, c]),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_every_line_agrees_with_finite_differences(name):
    loss, wrt = MODELS[name]
    d = sd.derive(loss, wrt)
    for symbol in wrt:
        explanation = d.explain(symbol, check=True)
        lines = [line for line in backward(explanation) if line.rule]
        assert len(lines) > 1 and all(line.error is not None for line in lines)
        assert max(line.error for line in lines) < 1e-6
        single = [line for line in explanation.splitlines() if "scan(" not in line]
        assert max(map(len, single)) <= 100
        assert explanation.latex().count("\n") == len(explanation.lines) + 1


def test_a_recurrent_layer():
    sequence = sd.tensor("sequence", 2, 3, 2)
    layer = LSTM(2)
    loss = sd.sum(layer(sequence) ** 2)
    d = sd.derive(loss, list(layer.parameters))
    for symbol in layer.parameters:
        assert d.explain(symbol, check=True).lines[-1].error < 1e-6


@pytest.fixture
def broken(monkeypatch):
    """The derivative of tanh is wrong."""
    row = OPERATIONS["tanh"]
    wrong = dataclasses.replace(row, partials=lambda position, x: 1 - sp.tanh(x) ** 2 / 2)
    monkeypatch.setitem(OPERATIONS, "tanh", wrong)
    partial_template.cache_clear()
    yield
    monkeypatch.undo()
    partial_template.cache_clear()


def test_a_wrong_rule_is_named(broken):
    d = sd.derive(sd.sum(sd.exp(sd.tanh(X @ W1 + b1))), [W1, b1])
    with pytest.raises(sd.GradientMismatch, match=r"^tanh: .*∂L/∂z.*finite differences") as error:
        d.explain(W1, check=True)
    assert "[0, 0]" in str(error.value)
    assert "finite" not in d.explain(W1)


def test_a_loss_that_is_no_number_has_nothing_to_compare():
    d = sd.derive(sp.log(a), a)
    with pytest.raises(sd.InvalidArgument, match="not finite at these values"):
        d.explain(a, {a: -1.0}, check=True)
    assert np.isnan(d.explain(a, {a: -1.0}).lines[1].value)


@pytest.mark.parametrize(("place", "slope"), [(0.0, 0.0), (0.5, 1.0)])
def test_kinks_are_said(place, slope):
    explanation = sd.derive(sd.relu(a), a).explain(a, {a: place}, check=True)
    assert explanation.lines[-1].kink == (place == 0) and explanation.lines[-1].value == slope
    assert ("a kink" in explanation) == (place == 0)


def test_ties_are_kinks():
    explanation = sd.derive(sd.max(w) * 3, w).explain(w, {w: np.ones(3)}, check=True)
    assert explanation.lines[-1].kink and list(explanation.lines[-1].value) == [1, 1, 1]


def test_differences_need_a_finite_loss():
    with pytest.raises(sd.InvalidArgument, match="values="):
        sd.derive(sp.log(-(a**2) - 1), a).explain(a, check=True)
