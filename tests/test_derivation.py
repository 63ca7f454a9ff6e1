"""Derivations: the steps mean the gradient, and read like a textbook."""

import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
import symdiff.printing.derivation as derivation_module
from symdiff.bridge import to_graph, to_sympy
from symdiff.check import check_gradient
from symdiff.derivation import derive
from symdiff.gradient import loss_node, parameter_nodes, pullback
from symdiff.graph import leaves, number, substitute, walk
from symdiff.textbook import textbook

X = sd.tensor("X", "n", 3)
w = sd.tensor("w", 3)
v = sd.tensor("v", 3)
y = sd.tensor("y", "n")
W1 = sd.tensor("W1", 3, 4)
b1 = sd.tensor("b1", 4)
W2 = sd.tensor("W2", 4, 5)
b2 = sd.tensor("b2", 5)
t = sd.tensor("t", "n", dtype="int")
A = sd.tensor("A", 3, 3)
z1 = sd.tensor("z1", 3)
a, b, lam, delta, L = sp.symbols("a b lambda delta L")

RANDOM = np.random.default_rng(5)
VALUES = {
    X: RANDOM.normal(size=(7, 3)),
    w: RANDOM.normal(size=3),
    v: RANDOM.normal(size=3),
    y: RANDOM.normal(size=7),
    W1: RANDOM.normal(size=(3, 4)),
    b1: RANDOM.normal(size=4),
    W2: RANDOM.normal(size=(4, 5)),
    b2: RANDOM.normal(size=5),
    t: RANDOM.integers(0, 5, 7),
    A: RANDOM.normal(size=(3, 3)),
    z1: RANDOM.normal(size=3),
    a: 0.7,
    b: -0.4,
    lam: 0.3,
    delta: 1.2,
    L: 0.5,
}

tanh_layer = sd.tanh(X @ W1 + b1)
relu_layer = sd.relu(X @ W1 + b1)
logits = tanh_layer @ W2 + b2
p, q = sd.softmax(w), sd.softmax(v)

LOSSES = {
    "linear": (sd.sum((X @ w - y) ** 2), [w, y]),
    "ridge": (sd.losses.mse(X @ w + b, y) + lam * sd.sum(w**2), [w, b, lam]),
    "logistic": (sd.losses.binary_cross_entropy(X @ w + b, sd.relu(y)), [w, b]),
    "softmax network": (
        sd.losses.cross_entropy(logits, t) + 1e-4 * sd.sum(W1**2),
        [W1, b1, W2, b2],
    ),
    "relu network": (sd.mean((relu_layer @ W2) ** 2), [W1, W2, b1]),
    "quadratic form": (w @ A @ w, [w, A]),
    "naive sigmoid": (sp.exp(w @ v) / (1 + sp.exp(w @ v)), [w, v]),
    "naive softplus": (sd.mean(sd.log(1 + sd.exp(-y * (X @ w)))), [w]),
    "huber": (sd.losses.huber(X @ w, y), [w]),
    "softmax squared": (sd.sum(sd.softmax(X @ W1) ** 2), [W1]),
    "norm": (sp.sqrt(sd.sum(w**2)), [w]),
    "extrema": (sd.max(X @ w) + sd.min(X @ W1), [w, W1]),
    "row maxima": (sd.sum(sd.max(X @ W1, axis=1) * y), [W1]),
    "choice": (sd.sum(sd.where(X @ A > 0.2, X @ A, 0) @ w), [w, A]),
    "slices": (sd.sum(X[1:] @ w * y[1:]) + sd.sum(w[None] * w[:, None] * A), [w, A]),
    "concatenation": (sd.sum(sd.concatenate([w, v]) ** 3), [w, v]),
    "gathering": (sd.sum(W2[:, t] ** 2), [W2]),
    "reshaping": (sd.sum(sd.reshape(A, 9) ** 2 * sd.reshape(A.T, 9)), [A]),
    "scalars": (a * sp.exp(-b * a) * sp.sin(a), [a, b]),
    "taken names": (delta * L + sp.tanh(delta * L) ** 2, [delta, L]),
    "taken z1": (sd.sum(sd.sigmoid(z1 @ A) * z1), [z1, A]),
    "deviation": (sd.std(X @ w) + sd.var(w), [w]),
    "a symbol": (a, [a, b]),
    "a number": (sp.Integer(3), [a]),
    "log sum exp": (sd.sum(sd.logsumexp(X @ W1, axis=1)), [W1]),
    "hinge": (sd.losses.hinge(X @ w, y), [w]),
    "divergence": (sd.losses.kl_divergence(p, q), [w, v]),
    "poisson": (sd.losses.poisson(X @ w, abs(y)), [w]),
    "absolute and maximum": (sp.Abs(a - b) + sp.Max(a, b), [a, b]),
    "smooth activations": (sd.sum(sd.gelu(X @ W1) + sd.silu(X @ W1)), [W1]),
    "mean of rows": (sd.mean(X @ W1, axis=0) @ b1, [W1, b1]),
    "quotient": ((w @ v) / (w @ w), [w, v]),
    "chain of products": (sd.sum((X @ W1) @ (W2 @ b2)), [W1, W2, b2]),
}
CASES = pytest.mark.parametrize(("loss", "wrt"), LOSSES.values(), ids=LOSSES)


def evaluate(expression, environment):
    """The value; X tells the size n where the expression itself does not."""
    symbols = [n.attributes[0] for n in leaves([to_graph(sp.sympify(expression))])]
    values = {s: environment[s] for s in symbols}
    try:
        return sd.evaluate(expression, values)
    except sd.BindingError:
        return sd.evaluate(expression, {**values, X: environment[X]})


def run(derivation):
    """The values of all symbols and steps, step by step."""
    environment = dict(VALUES)
    for step in derivation.steps:
        environment[step.symbol] = evaluate(step.expression, environment)
    return environment


@CASES
def test_steps_in_order_give_the_loss_and_its_gradient(loss, wrt):
    derivation = derive(loss, wrt)
    environment = run(derivation)
    for symbol in wrt:
        expected = evaluate(sd.gradient(loss, symbol), VALUES)
        found = evaluate(derivation.gradients[symbol], environment)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
        assert np.shape(found) == np.shape(VALUES[symbol])
    forward = [s for s in derivation.steps if s.phase == "forward"]
    if forward:
        assert forward[-1].node is derivation.loss_node
        found = environment[forward[-1].symbol]
        np.testing.assert_allclose(found, evaluate(loss, VALUES), rtol=1e-12)


@CASES
def test_the_gradient_is_the_one_that_sd_gradient_derives(loss, wrt):
    nodes, _ = parameter_nodes(wrt)
    root = loss_node(loss)
    gradients, adjoints = pullback(root, number(1), nodes)
    expected = textbook(gradients, [root], adjoints.values())
    assert list(derive(loss, wrt).gradient_nodes.values()) == expected


@CASES
def test_each_adjoint_is_the_derivative_by_its_forward_step(loss, wrt):
    derivation = derive(loss, wrt)
    environment = run(derivation)
    for step in derivation.steps:
        assert (step.phase == "forward") <= (step.of is None)
        if step.of is None:
            continue
        assert step.of in derivation.steps
        assert step.shape == step.of.shape
        if step.of.node is derivation.loss_node:
            continue
        leaf = to_graph(step.of.symbol)
        (of_step,) = to_sympy(substitute([derivation.loss_node], {step.of.node: leaf}))
        factor = float(sp.sympify(step.factor).xreplace({X.shape[0]: sp.Integer(7)}))
        needed = [n.attributes[0] for n in leaves([to_graph(of_step)])]
        values = {s: environment[s] for s in {*needed, step.of.symbol}}
        given = factor * np.asarray(environment[step.symbol])
        assert check_gradient(of_step, step.of.symbol, values, gradient=given) < 1e-6


@CASES
def test_lines_fit_and_every_step_is_defined_before_it_is_used(loss, wrt):
    derivation = derive(loss, wrt)
    lines = str(derivation).splitlines()
    assert max(map(len, lines)) <= 100
    for symbol in wrt:
        assert max(map(len, derivation.explain(symbol).splitlines())) <= 100
    known = {*loss.free_symbols, *wrt, X.shape[0]}
    for step in derivation.steps:
        assert step.expression.free_symbols <= known
        assert step.symbol not in known
        known.add(step.symbol)
    for expression in derivation.gradients.values():
        assert expression.free_symbols <= known


@CASES
def test_latex_and_graph_of_every_case(loss, wrt):
    derivation = derive(loss, wrt)
    latex = derivation.latex()
    bare = latex.replace(r"\{", "").replace(r"\}", "")
    assert bare.count("{") == bare.count("}")
    assert latex.count("&=") == len(derivation.steps) + len(wrt)
    assert derivation._repr_latex_() == f"$\\displaystyle {latex}$"
    drawing = derivation.graph()
    keys = [node.key for node in drawing.nodes]
    assert keys == list(range(len(keys)))
    for node in drawing.nodes:
        assert all(i < node.key for i in node.inputs)


# --- what a person reads -----------------------------------------------------------------

LINEAR = """
forward
  r = Xw − y    (n,)
  L = ‖r‖²        ()

gradients
  ∂L/∂w = 2Xᵀr  (3,)
"""

LOGISTIC = """
forward
  z = Xw + b                         (n,)
  L = 1/n · Σ (softplus(z) − z ⊙ y)    ()

backward
  δ = n ∂L/∂z = σ(z) − y             (n,)

gradients
  ∂L/∂w = 1/n · Xᵀδ                  (3,)
  ∂L/∂b = 1/n · Σ δ                    ()
"""

NAIVE = """
forward
  u = (Xw) ⊙ y                  (n,)
  h = softplus(−u)              (n,)
  L = 1/n · Σ h                   ()

rewritten for stability
  log(exp(−u) + 1) → softplus(−u)    (log(1 + exp(x)) = softplus(x))

gradients
  ∂L/∂w = −1/n · Xᵀ(σ(−u) ⊙ y)  (3,)
"""

QUADRATIC = """
forward
  L = wᵀAw               ()

gradients
  ∂L/∂w = (A + Aᵀ)w    (3,)
  ∂L/∂A = wwᵀ        (3, 3)
"""

HAND_WRITTEN = """
forward
  z₁ = XW₁ + b₁                           (n, 3)
  h₁ = σ(z₁)                              (n, 3)
  z₂ = h₁w₂ + b₂                            (n,)
  u = z₂ ⊙ y                                (n,)
  L = −Σ log σ(u)                             ()

backward
  δ₂ = −∂L/∂z₂ = σ(−u) ⊙ y                  (n,)
  δ₁ = −∂L/∂z₁ = (δ₂w₂ᵀ) ⊙ h₁ ⊙ (1 − h₁)  (n, 3)

gradients
  ∂L/∂W₁ = −Xᵀδ₁                          (2, 3)
  ∂L/∂b₁ = −Σᵢ δ₁                           (3,)
  ∂L/∂w₂ = −h₁ᵀδ₂                           (3,)
  ∂L/∂b₂ = −Σ δ₂                              ()
"""

NETWORK = """
forward
  z₁ = XW₁ + b₁                                                   (n, 4)
  h₁ = tanh(z₁)                                                   (n, 4)
  z₂ = h₁W₂ + b₂                                                  (n, 5)
  L = 1/n · Σ (logsumexpⱼ(z₂) − Σⱼ z₂ ⊙ onehot(t)) + 0.0001‖W₁‖²      ()

backward
  P = softmax(z₂)                                                 (n, 5)
  δ₂ = n ∂L/∂z₂ = P − onehot(t)                                   (n, 5)
  δ₁ = n ∂L/∂z₁ = (δ₂W₂ᵀ) ⊙ (1 − h₁²)                             (n, 4)

gradients
  ∂L/∂W₁ = 1/n · Xᵀδ₁ + 0.0002W₁                                  (3, 4)
  ∂L/∂b₁ = 1/n · Σᵢ δ₁                                              (4,)
  ∂L/∂W₂ = 1/n · h₁ᵀδ₂                                            (4, 5)
  ∂L/∂b₂ = 1/n · Σᵢ δ₂                                              (5,)
"""


def hand_written_network():
    data, labels = sd.tensor("X", "n", 2), sd.tensor("y", "n")
    first, offset = sd.tensor("W1", 2, 3), sd.tensor("b1", 3)
    second, last = sd.tensor("w2", 3), sp.Symbol("b2")
    output = sd.sigmoid(data @ first + offset) @ second + last
    return -sd.sum(sd.log_sigmoid(labels * output)), [first, offset, second, last]


@pytest.mark.parametrize(
    ("loss", "wrt", "text"),
    [
        (sd.sum((X @ w - y) ** 2), w, LINEAR),
        (sd.losses.binary_cross_entropy(X @ w + b, y), [w, b], LOGISTIC),
        (*LOSSES["naive softplus"], NAIVE),
        (*LOSSES["quadratic form"], QUADRATIC),
        (*hand_written_network(), HAND_WRITTEN),
        (*LOSSES["softmax network"], NETWORK),
    ],
    ids=["linear", "logistic", "naive logistic", "quadratic", "2-3-1", "softmax network"],
)
def test_printed_derivations(loss, wrt, text):
    assert str(derive(loss, wrt, names={})) == text.strip("\n")


def test_gradient_prints_as_in_a_textbook():
    assert str(sd.gradient(sd.sum((X @ w - y) ** 2), w)) == "2*X.T @ (X @ w - y)"


def test_latex_of_linear_regression():
    expected = (
        "\\begin{aligned}\n"
        "r &= X w - y && \\in \\mathbb{R}^{n} \\\\\n"
        "L &= \\left\\| r \\right\\|^{2} && \\in \\mathbb{R} \\\\\n"
        "\\frac{\\partial L}{\\partial w} &= 2 X^{\\top} r && \\in \\mathbb{R}^{3}\n"
        "\\end{aligned}"
    )
    assert derive(sd.sum((X @ w - y) ** 2), w).latex() == expected


def test_long_sums_break_between_lines():
    parts = [sp.Symbol(f"weight_{i}") * sp.sin(sp.Symbol(f"angle_{i}")) for i in range(12)]
    derivation = derive(sp.Add(*parts), sp.Symbol("angle_3"))
    lines = str(derivation).splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("sin(" in line for line in lines) >= 3
    assert lines[2].lstrip().startswith("+ ")


# --- names, rules, rewrites --------------------------------------------------------------


def test_names_never_collide_with_the_users():
    user = [sp.Symbol(s) for s in ("L", "J", "loss", "delta", "z1", "h", "h1", "u", "r", "δ1")]
    total = sp.tanh(sum(user)) + sp.exp(sp.tanh(sum(user))) * sp.sin(user[3] * user[4])
    derivation = derive(total**2, user)
    names = [step.symbol.name for step in derivation.steps]
    assert len(names) == len(set(names))
    assert not {s.name for s in user} & set(names)
    shown = [line.split(" = ")[0].strip() for line in str(derivation).splitlines() if " = " in line]
    assert len(shown) == len(set(shown))


def test_sizes_are_not_taken_as_names():
    z = sd.tensor("data", "z", 3)
    derivation = derive(sd.sum(sd.tanh(z @ w) ** 2), w)
    assert "z" not in [step.symbol.name for step in derivation.steps]


def test_stability_rewrites_are_steps_with_the_name_of_the_rule():
    derivation = derive(*LOSSES["naive softplus"])
    (rule, _, after) = next(r for r in derivation.applied if r[2].operation == "softplus")
    (step,) = [s for s in derivation.steps if s.node is after]
    assert step.rule == rule.name
    assert not any(n.operation in ("exp", "log") for n in walk([derivation.loss_node]))


def test_rules_name_what_was_differentiated():
    steps = {s.symbol.name: s for s in derive(*LOSSES["softmax network"]).steps}
    assert steps["z1"].rule == "matrix product, sum"
    assert steps["delta1"].rule == "sum, matrix product, tanh"
    assert steps["delta1"].of is steps["z1"]


def test_steps_have_symbols_that_evaluate():
    steps = derive(sd.sum(sd.max(X @ W1, axis=1) * y), W1).steps
    shapes = {s.symbol.name: (s.shape, sd.shape(s.symbol)) for s in steps}
    assert all(shape == own for shape, own in shapes.values())
    assert isinstance(next(s.symbol for s in steps if s.shape == ()), sp.Symbol)


# --- the object --------------------------------------------------------------------------


def test_parameters_come_in_order_and_once():
    derivation = derive(a * b, [b, a, b])
    assert derivation.parameters == (b, a)
    assert list(derivation.gradients) == [b, a]
    assert derivation.loss == a * b
    assert derive(a * b, a).parameters == (a,)


def test_what_is_no_scalar_is_refused():
    with pytest.raises(sd.ShapeError, match="scalar"):
        derive(X @ w, w)


def test_operations_are_counted():
    counts = derive(sd.sum((X @ w - y) ** 2), w).operations()
    assert counts["forward"] == {"matmul": 1, "subtract": 1, "power": 1, "sum": 1}
    assert counts["backward"] == {"transpose": 1, "matmul": 1, "multiply": 1}


def test_a_derivation_can_be_pickled():
    derivation = derive(*LOSSES["softmax network"])
    copy = pickle.loads(pickle.dumps(derivation))
    assert str(copy) == str(derivation)
    assert copy.parameters == derivation.parameters


def test_a_step_is_frozen():
    step = derive(a**2, a).steps[0]
    with pytest.raises(AttributeError):
        step.rule = "another"


HOSTILE = ['a"b', "a\\", "line\nbreak", "{x}", "<b>", "x; y", "\\n"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_escaped(name):
    symbol = sd.tensor(name, 3)
    derivation = derive(sd.sum(sd.tanh(symbol) ** 2), symbol)
    labels = re.findall(r'label="((?:[^"\\]|\\.)*)"', derivation.graph().dot())
    assert len(labels) == len(derivation.graph().nodes)
    shown = labels[0].replace("\\\\", "\0").split("\\n")[0].replace("\0", "\\").replace('\\"', '"')
    assert shown == (name if name.isprintable() else "line\\x0abreak")
    assert all(line.isprintable() for line in str(derivation).splitlines())
    assert derivation.latex().count("\n") == len(derivation.steps) + 2


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_the_graph():
    text = derive(*LOSSES["softmax network"]).graph().dot()
    subprocess.run(["dot", "-Tsvg"], input=text.encode(), check=True, capture_output=True)


# --- size --------------------------------------------------------------------------------


def calls(function, *arguments):
    """How many Python functions `function(*arguments)` calls: its cost, whatever the machine does.

    SymPy's own calls are left out: what they cost depends on what its caches hold.
    """
    count = 0

    def on_event(frame, event, argument):
        nonlocal count
        count += event == "call" and frame.f_globals.get("__name__", "").startswith("symdiff")

    sys.setprofile(on_event)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count


def chain(levels, second):
    e = a
    for _ in range(levels):
        e = sp.tanh(e) * second(e)
    return e


def test_a_chain_costs_linearly():
    # Numbers first: pytest would print the arguments, and SymPy takes exponential time for these.
    half, whole = (calls(derive, chain(n, sp.cos), a) for n in (60, 120))
    assert whole < 2.2 * half


def test_a_chain_of_300_levels_prints_linearly():
    short, long = (derive(chain(n, lambda e: e), a) for n in (150, 300))
    half, whole = calls(str, short), calls(str, long)
    assert whole < 2.2 * half
    assert sum(long.operations()["backward"].values()) < 300 * 8
    assert len(str(long)) < 300 * 400
    assert calls(long.explain, a) < 2.2 * calls(short.explain, a)


def network(layers):
    h, parameters = X, []
    for i in range(layers):
        weight, offset = sd.tensor(f"W{i}", 3, 3), sd.tensor(f"b{i}", 3)
        parameters += [weight, offset]
        h = sd.relu(h @ weight + offset)
    return sd.mean(h**2), parameters


def test_a_network_of_50_layers_costs_and_prints_linearly():
    half, whole = calls(derive, *network(25)), calls(derive, *network(50))
    assert whole < 2.2 * half
    derivation = derive(*network(50))
    assert len([s for s in derivation.steps if s.of is not None]) == 50
    assert str(derivation).count("\n") < 320


def test_second_derivatives_share_the_names_of_the_first():
    X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
    b = sd.tensor("b")
    plain = sd.derive(sd.losses.binary_cross_entropy(X @ w + b, y), [w, b])
    d = plain.with_hessian()
    assert not plain.hessian_nodes and list(d.hessian_nodes) == [(w, w), (w, b), (b, b)]
    assert "σ(z)" in str(d) and str(d).count("Xw") == 1
    for made in (pickle.loads(pickle.dumps(d)), d.in_cheapest_order("n")):
        assert str(made).startswith(str(d)) and list(made.hessian_nodes) == list(d.hessian_nodes)

    random = np.random.default_rng(0)
    values = {X: random.normal(size=(5, 3)), w: random.normal(size=3), b: 0.3, y: random.random(5)}
    s = 1 / (1 + np.exp(-(values[X] @ values[w] + 0.3)))
    slope = s * (1 - s) / 5
    expected = [(values[X].T * slope) @ values[X], values[X].T @ slope, slope.sum()]
    for node, block in zip(d.hessian_nodes.values(), expected, strict=True):
        result = sd.evaluate(to_sympy([node])[0], values)
        np.testing.assert_allclose(result, block, rtol=1e-12)


def test_long_sums_are_broken_into_lines_in_linear_time(monkeypatch):
    looked_at = []
    whole = derivation_module.combining
    monkeypatch.setattr(
        derivation_module, "combining", lambda c: (looked_at.append(c), whole(c))[1]
    )
    counts = []
    for terms in (100, 400):
        rows = [(" + ".join(f"term{k}" for k in range(terms)), ())]
        looked_at.clear()
        (text,) = derivation_module.aligned(rows)
        assert max(map(len, text.splitlines())) <= 100
        counts.append(len(looked_at))
    assert counts[1] < 6 * counts[0]
