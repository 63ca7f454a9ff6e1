"""What is printed: SymPy's str and LaTeX of tensor expressions, and matrix notation."""

import re

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.graph import OPERATIONS, apply, number
from symdiff.printing.infix import INFIX
from symdiff.printing.latex import LATEX, name_latex, node_latex
from symdiff.printing.layouts import LAYOUTS
from symdiff.printing.mathml import name_mathml
from symdiff.printing.text import TEXT, node_text, shown_name
from symdiff.structural_classes import STRUCTURAL_CLASSES

n = sd.tensor("X", "n", 3).shape[0]
X = sd.tensor("X", "n", 3)
Y = sd.tensor("Y", "n", 3)
A = sd.tensor("A", 3, 3)
W1 = sd.tensor("W1", 3, 4)
w = sd.tensor("w", 3)
v = sd.tensor("v", 3)
b1 = sd.tensor("b1", 4)
y = sd.tensor("y", "n")
t = sd.tensor("t", "n", dtype="int")
logits = sd.tensor("logits", "n", 4)
a, b, x, lam = sp.symbols("a b x lambda")
NAMES = {str(s): s for s in (X, Y, A, W1, w, v, b1, y, t, logits, a, b, x, lam, n)}
SPACE = {**{k: f for k, f in vars(sd).items() if not k.startswith("_")}, **NAMES}
SPACE |= {"Piecewise": sp.Piecewise, "Max": sp.Max, "Min": sp.Min, "Abs": sp.Abs, "Ne": sp.Ne}

PYTHON = [
    (X @ w - y, "X @ w - y"),
    (2 * (X.T @ (X @ w - y)), "2*X.T @ (X @ w - y)"),
    (2 * (X.T @ (X @ w - y)) / n, "2*X.T @ (X @ w - y)/n"),
    (X @ (A @ w), "X @ (A @ w)"),
    (X @ A @ w, "X @ A @ w"),
    ((2 * X) @ w, "2*X @ w"),
    (X @ (2 * w), "X @ (2*w)"),
    ((-X) @ w, "(-X) @ w"),
    (X @ (-w), "X @ (-w)"),
    (-(X @ w), "-X @ w"),
    ((X + 1) @ w, "(X + 1) @ w"),
    ((X @ w) * y, "(X @ w)*y"),
    (1 / (X @ w), "1/(X @ w)"),
    (y / (X @ w), "y/(X @ w)"),
    ((X @ w) ** 2, "(X @ w)**2"),
    (2 ** (X @ w), "2**(X @ w)"),
    (a * (w @ v), "a*(w @ v)"),
    (w / a / v, "w/(a*v)"),
    (X.T, "X.T"),
    ((X @ A).T, "(X @ A).T"),
    ((X + Y).T, "(X + Y).T"),
    ((X**2).T, "(X**2).T"),
    (sd.exp(X).T, "exp(X).T"),
    (sd.transpose(X[None], (0, 2, 1)), "transpose(X[None], (0, 2, 1))"),
    (sd.sum(X), "sum(X)"),
    (sd.sum(X, axis=1), "sum(X, axis=1)"),
    (sd.sum(X[None], axis=(0, 1)), "sum(X[None], axis=(0, 1))"),
    (sd.max(X, axis=0, keepdims=True), "max(X, axis=0, keepdims=True)"),
    (sd.logsumexp(X, axis=1, keepdims=True), "logsumexp(X, axis=1, keepdims=True)"),
    (sd.argmax(X, axis=1), "argmax(X, axis=1)"),
    (X[1:, None], "X[1:, None]"),
    (X[0], "X[0]"),
    (X[-1], "X[-1]"),
    (X[:, 1], "X[:, 1]"),
    (X[:-1], "X[:-1]"),
    (X[2:-1], "X[2:-1]"),
    (X[::-1], "X[::-1]"),
    (A[::2, ::-1], "A[::2, ::-1]"),
    (A[2:0:-1], "A[2:0:-1]"),
    (W1[:, 3:0:-2], "W1[:, ::-2]"),
    (W1[:, 2::-2], "W1[:, 2::-2]"),
    (X[t], "X[t]"),
    (X[t, 1:], "X[t, 1:]"),
    (w[:, None], "w[:, None]"),
    (sd.reshape(w, 3, 1), "w[:, None]"),
    (sd.reshape(w, 1, 3), "w[None]"),
    (sd.reshape(X, -1), "reshape(X, (3*n,))"),
    (sd.reshape(W1, 2, 6), "reshape(W1, (2, 6))"),
    (sd.broadcast_to(w, "n", 3), "broadcast_to(w, (n, 3))"),
    (sd.zeros("n", 3), "zeros(n, 3)"),
    (sd.ones(3), "ones(3)"),
    (sd.eye(3), "eye(3)"),
    (sd.arange("n"), "arange(n)"),
    (sd.one_hot(t, 10), "one_hot(t, 10)"),
    (sd.concatenate([w, v]), "concatenate([w, v], axis=0)"),
    (sd.less(w, v), "less(w, v)"),
    (sd.logical_and(sd.less(w, v), sd.equal(w, v)), "logical_and(less(w, v), equal(w, v))"),
    (X @ W1 + b1, "X @ W1 + b1"),
    (1 - sd.sigmoid(w), "1 - sigmoid(w)"),
    (w - 1, "w - 1"),
    (-w / 2, "-w/2"),
    (w**-2, "w**(-2)"),
]


@pytest.mark.parametrize(("expression", "text"), PYTHON, ids=[text for _, text in PYTHON])
def test_str_is_the_python_text_a_user_types(expression, text):
    assert str(expression) == text


VALUES = {
    X: np.arange(15.0).reshape(5, 3) / 7 - 1,
    Y: np.sin(np.arange(15.0)).reshape(5, 3),
    A: np.cos(np.arange(9.0)).reshape(3, 3),
    W1: np.cos(np.arange(12.0)).reshape(3, 4),
    w: np.array([0.3, -1.2, 0.7]),
    v: np.array([1.5, 0.4, -0.2]),
    b1: np.arange(4.0),
    y: np.arange(5.0) - 2.5,
    t: np.array([0, 2, 1, 1, 0]),
    a: 0.7,
    b: -1.3,
}


def value(expression):
    symbols = expression.free_symbols
    try:
        return sd.evaluate(expression, {s: VALUES[s] for s in symbols if s in VALUES})
    except sd.BindingError:  # a size that only X gives
        return sd.evaluate(expression, {s: VALUES[s] for s in {*symbols, X} if s in VALUES})


@pytest.mark.parametrize(("expression", "text"), PYTHON, ids=[text for _, text in PYTHON])
def test_the_python_text_means_the_expression(expression, text):
    rebuilt = eval(text, SPACE)
    assert sd.shape(rebuilt) == sd.shape(expression)
    np.testing.assert_allclose(value(rebuilt), value(expression), rtol=1e-13)


_LEAVES = st.sampled_from([A, X[:3], w[:, None] * v, A.T, sp.Integer(2), a])


def _row_sums(e):
    return sd.broadcast_to(sd.sum(e, axis=0, keepdims=True), 3, 3) if sd.shape(e) else e


def _combine(children):
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        pairs.map(lambda p: p[0] / (p[1] ** 2 + 3)),
        pairs.map(lambda p: p[0] @ p[1] if sd.shape(p[0]) and sd.shape(p[1]) else p[0] * p[1]),
        children.map(lambda e: -e),
        children.map(lambda e: e**2),
        children.map(lambda e: sd.transpose(e)),
        children.map(_row_sums),
    )


@settings(deadline=None, max_examples=60)
@given(st.recursive(_LEAVES, _combine, max_leaves=7))
def test_python_text_of_random_expressions_means_the_expression(expression):
    expected = value(expression)
    rebuilt = eval(str(expression), SPACE)
    assert sd.shape(rebuilt) == sd.shape(expression)
    np.testing.assert_allclose(value(sp.sympify(rebuilt)), expected, rtol=1e-9, atol=1e-9)


TEXTS = [
    (X @ w - y, "Xw − y"),
    (2 * (X.T @ (X @ w - y)), "2Xᵀ(Xw − y)"),
    (2 * (X.T @ (X @ w - y)) / n, "2/n · Xᵀ(Xw − y)"),
    (sd.sum((X @ w - y) ** 2), "‖Xw − y‖²"),
    (sd.mean((X @ w - y) ** 2) + lam * sd.sum(w**2), "‖Xw − y‖²/n + λ‖w‖²"),
    (sp.sqrt(sd.sum(w**2)), "‖w‖"),
    (w @ A @ w, "wᵀAw"),
    (w @ A, "Aᵀw"),
    (w @ A.T, "Aw"),
    (w @ v, "wᵀv"),
    (w[:, None] * v, "wvᵀ"),
    (w[:, None] * A, "diag(w) A"),
    (X @ (A @ w), "XAw"),
    (X @ A @ w, "XAw"),
    (X @ (-w), "X(−w)"),
    (A * (A @ A), "(AA) ⊙ A"),
    (sd.tanh(X @ W1 + b1), "tanh(XW₁ + b₁)"),
    (sd.softmax(logits), "softmax(logits)"),
    (sd.log_softmax(logits), "log_softmax(logits)"),
    (sd.softmax(logits) - sd.one_hot(t, 4), "softmax(logits) − onehot(t)"),
    (logits @ W1.T, "logits W₁ᵀ"),
    (sd.sigmoid(w) * (1 - sd.sigmoid(w)), "σ(w) ⊙ (1 − σ(w))"),
    (sd.sum(X, axis=0), "Σᵢ X"),
    (sd.sum(X * Y, axis=1), "Σⱼ X ⊙ Y"),
    (sd.sum(X + Y), "Σ (X + Y)"),
    (sd.sum(w) * w, "(Σ w)w"),
    (sd.where(w > 0, v, 0), "v ⊙ [w > 0]"),
    (sd.where(w > 0, v, 1), "where([w > 0], v, 1)"),
    (sd.maximum(w, 0), "max(0, w)"),
    (abs(w), "|w|"),
    (sp.sqrt(a + 1), "√(a + 1)"),
    (-(w + v), "−v − w"),
    (a * (w + v) / b, "a/b · (v + w)"),
    (1 / (X @ w), "1/(Xw)"),
    (w / 2, "w/2"),
    (-w / 2, "−w/2"),
    (2 * x * (a * x - b), "2x(ax − b)"),
    ((a * sp.exp(-b * x)) ** 2, "a² exp(−2bx)"),
    (x ** sp.Rational(3, 2), "x^(3/2)"),
    (x**-a, "x^(−a)"),
    (0.5 * w, "0.5w"),
    (sd.ones(3) @ w, "𝟏ᵀw"),
    (sd.eye(3) @ w, "𝐈w"),
    (X[1:, None], "X[1:, None]"),
    (sd.argmax(X, axis=1), "argmaxⱼ(X)"),
    (sd.concatenate([w, v]), "[w, v]"),
    (sd.log_sigmoid(a) ** 2, "(log σ(a))²"),
]


@pytest.mark.parametrize(("expression", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_matrix_notation(expression, text):
    assert node_text(to_graph(sp.sympify(expression))) == text


LATEXES = [
    (2 * (X.T @ (X @ w - y)) / n, r"\frac{2}{n} \, X^{\top} \left(X w - y\right)"),
    (sd.sum(W1**2), r"\left\| W_{1} \right\|_{F}^{2}"),
    (A * (A @ A), r"\left(A A\right) \odot A"),
    (sd.sum(X, axis=0), r"\sum_{i} X"),
    (sd.softmax(logits), r"\operatorname{softmax}\left(\mathrm{logits}\right)"),
    (sd.sigmoid(lam), r"\sigma\left(\lambda\right)"),
    (X @ W1 + b1, r"X W_{1} + b_{1}"),
    (sd.where(w > 0, v, 0), r"v \odot \left[w > 0\right]"),
]


@pytest.mark.parametrize(("expression", "latex"), LATEXES, ids=[text for _, text in LATEXES])
def test_latex_of_nodes(expression, latex):
    assert node_latex(to_graph(expression)) == latex


@pytest.mark.parametrize(
    ("expression", "latex"),
    [
        (X @ w - y, "X w - y"),
        (2 * (X.T @ (X @ w - y)), r"2 X^{\top} \left(X w - y\right)"),
        (X.T**2, r"{X^{\top}}^{2}"),
        (1 / (w @ v), r"\frac{1}{w^{\top} v}"),
        (a * sd.sum(X) * sd.sum(Y), r"a \left(\sum X\right) \left(\sum Y\right)"),
        (a * (w @ v) + 1, r"a w^{\top} v + 1"),
    ],
)
def test_sympy_latex(expression, latex):
    assert sp.latex(expression) == latex


def test_sympy_latex_keeps_the_printers_settings():
    assert sp.latex(X @ w, symbol_names={w: r"\omega"}) == r"X \omega"


@pytest.mark.parametrize("expression", [e for e, _ in [*PYTHON, *TEXTS]], ids=str)
def test_latex_is_balanced(expression):
    latex = sp.latex(expression)
    bare = latex.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert latex.count(r"\left") == latex.count(r"\right") + latex.count(r"\leftarrow")
    assert not re.search(r"\}\^\{[^{}]*\}\^", latex)


def test_every_structural_operation_has_a_python_text():
    assert set(INFIX) == set(STRUCTURAL_CLASSES)


def test_every_operation_that_is_no_function_has_a_layout():
    for name, row in OPERATIONS.items():
        assert name in LAYOUTS or row.kind == "elementwise", name


@pytest.mark.parametrize("style", [TEXT, LATEX], ids=["text", "latex"])
def test_both_notations_spell_the_same_relations(style):
    assert set(style.relations) == set(TEXT.relations) == set(LATEX.relations)


def test_numbers_side_by_side_do_not_run_together():
    node = to_graph(sp.Mul(2, sp.Pow(3, a), evaluate=False))
    assert node_text(node) == "2 · 3^a"


def test_a_sign_inside_a_product_is_kept():
    assert node_text(apply("multiply", number(-sp.oo), to_graph(w))) == "−∞w"


def test_deep_graphs_print_without_recursion():
    node = to_graph(w)
    for _ in range(3000):
        node = apply("tanh", apply("add", node, number(1)))
    assert node_text(node).count("tanh") == 3000


@pytest.mark.parametrize("name", ["a\nb", '"', "\\", "{", "$x$", "x y", "∑"])
def test_hostile_names_stay_on_one_line_and_are_escaped(name):
    node = to_graph(sd.tensor(name, 3) + 1)
    assert node_text(node).isprintable()
    latex = node_latex(node)
    bare = re.sub(r"\\[{}]|\\text\w+\{\}", "", latex)
    assert bare.count("{") == bare.count("}")
    assert "$" not in latex.replace(r"\$", "") and "\n" not in latex


NAMES = ["x", "x_", "_x", "x__1", "x_1", "x_1_2", "x_12", "x_i_j", "__init__", "_", "__", "W_ih"]


@pytest.mark.parametrize("shown", [shown_name, name_latex, name_mathml])
def test_names_that_differ_in_underscores_read_differently(shown):
    written = [re.sub(r"\s", "", shown(name)) for name in NAMES]
    assert len(set(written)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_names_are_one_word_and_one_group(name):
    assert " " not in shown_name(name)
    assert not re.search(r"(^|[^\\])_[^{]", name_latex(name))  # an index is in braces


def test_a_symbol_without_a_name():
    nameless = sp.Symbol("")
    assert str(sd.derive(nameless**2, nameless)).endswith('∂L/∂"" = 2 ""  ()')


def test_latex_of_sizes_and_transposed_convolutions_is_plain_ascii():
    image, kernel = sd.tensor("x", "n", 2, 6, 6), sd.tensor("K", 3, 2, 3, 3)
    maps = sd.max_pool2d(sd.conv2d(image, kernel), 2)
    derivation = sd.derive(sd.sum(maps**2) + sd.sum(image[:, :, 1:, 1:]), [image, kernel])
    assert derivation.latex().isascii()
    assert r"\operatorname{conv}^{\top}" in derivation.latex()


@pytest.mark.parametrize(
    ("name", "latex"),
    [
        ("α", r"\alpha"), ("λ1", r"\lambda _{1}"), ("δA", r"\mathrm{\delta A}"),
        ("x2y3", r"\mathrm{x2y3}"), ("é", r"\text{é}"), ("日本", r"\text{日本}"),
    ],
)  # fmt: skip
def test_latex_takes_other_letters_as_text_only(name, latex):
    assert name_latex(name) == latex
