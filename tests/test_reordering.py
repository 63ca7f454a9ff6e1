"""Products reordered where that is cheaper: the same values, never more operations."""

import functools
import itertools
import pickle

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import codegen
import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.evaluate import interpret
from symdiff.gradient import loss_node, pullback
from symdiff.graph import apply, number, walk
from symdiff.layers import Dense, Sequential
from symdiff.reordering import REORDERING, Costs, reorder
from symdiff.reordering.workspace import Workspace
from symdiff.rewrite import algebra
from symdiff.shapes import Size, broadcast, concrete_shape
from symdiff.structural import matmul, reduce_sum, reshape, swap_last

n = Size("n")


def tensor(name, *shape):
    return sd.tensor(name, *shape)


def graph(*expressions):
    return [to_graph(e) for e in expressions]


def joint(loss, parameters):
    """The graph that a trainer compiles: the loss and its gradients."""
    root = loss_node(loss)
    gradients, _ = pullback(root, number(1), [to_graph(p) for p in parameters])
    return [root, *algebra(gradients)]


def random_values(roots, sizes, seed=0):
    rng = np.random.default_rng(seed)
    symbols = [node for node in walk(roots) if node.operation == "symbol"]
    return {s: rng.uniform(-1, 1, concrete_shape(s.shape, sizes)) for s in symbols}


def check(roots, rows=None, sizes=None, known=True):
    """Reorder, and compare values, shapes and costs with the graph as it was."""
    sizes = sizes or {}
    result = reorder(roots, rows, sizes if known else None)
    values = random_values(roots, sizes)
    for old, new, a, b in zip(
        roots, result.roots, interpret(roots, values, sizes),
        interpret(result.roots, values, sizes), strict=True,
    ):  # fmt: skip
        assert (old.shape, old.dtype) == (new.shape, new.dtype)
        assert np.shape(a) == np.shape(b)
        scale = max(1.0, np.abs(a).max(initial=0))
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9 * scale)
    costs = Costs(result.sizes)
    if result.applied:
        assert costs.total(result.roots) < costs.total(roots)
    else:
        assert all(a is b for a, b in zip(roots, result.roots, strict=True))
    return result


# --- the table ---------------------------------------------------------------------------

X, A, B, C = tensor("X", "n", 2), tensor("A", 2, 30), tensor("B", 30, 3), tensor("C", 3, 40)
a, b, v = tensor("a", 30), tensor("b", 30), tensor("v", 30)
S = tensor("S", 30, 30)

CASES = {
    "(A B) C = A (B C)": [X @ A @ B, (X @ A).T @ tensor("r", "n", 3), v @ (B @ C), X @ A @ v],
    "(A B + c) D = A (B D) + c D": [
        (X @ A + a) @ B, (X @ A + a).T @ tensor("r", "n"), (X @ A - a) @ v,
        (3 * (X @ A) - tensor("c", "n", 1)) @ B, tensor("s", 30) @ (X @ A + 2).T,
    ],
    "Σ A B = (Σ A) B": [sd.sum(X @ A, axis=0), sd.sum(X @ A), sd.sum(X @ A, axis=1, keepdims=True)],
    "Σ (A B + c) = (Σ A) B + Σ c": [sd.sum(X @ A + a, axis=0), sd.sum(a - X @ A)],
    "A B C D in the cheapest order": [tensor("K", 3, 90) @ tensor("L", 90, 2) @ A @ v],
    "(A + B) C = A C + B C": [
        (S + S.T) @ v @ v + v @ S @ v, sd.sum(S @ v) + v @ (S - S.T) @ v,
        sd.sum(S @ B) + sd.sum((S - S.T) @ B),
    ],
    "small terms of a sum first": [X @ A + a + b, a - (X @ A - b) + sp.Symbol("s")],
}  # fmt: skip
LIST = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


def test_every_name_has_a_case():
    names = [name for move in REORDERING for name in move.names]
    assert len(set(names)) == len(names)
    assert set(names) == set(CASES)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_a_move_keeps_values(name, i):
    """The move alone, whatever it costs."""
    roots = graph(CASES[name][i])
    sizes = {n: 7}
    values = random_values(roots, sizes)
    expected = interpret(roots, values, sizes)[0]
    made = 0
    for move in REORDERING:
        for node in walk(roots):
            workspace = Workspace(roots, Costs(sizes))
            proposal = move.propose(workspace, node) if node.operation in move.operations else None
            if proposal is None or name not in proposal.names.values():
                continue
            made += 1
            workspace.replace(proposal.replacements)
            (new,) = workspace.roots()
            assert new.shape == roots[0].shape
            np.testing.assert_allclose(interpret([new], values, sizes)[0], expected, rtol=1e-10)
    assert made, "no move sees its case"


def test_a_product_of_the_loss_is_computed_once():
    """``(A + Aᵀ) w`` where the loss has ``wᵀ A w``: one more product of a matrix, no sum."""
    derivation = sd.derive(v @ S @ v, v)
    (gradient,) = derivation.gradient_nodes.values()
    assert any(node.operation == "add" and node.rank == 2 for node in walk([gradient]))
    result = check([derivation.loss_node, gradient])
    found = walk(result.roots)
    assert not any(node.operation in ("add", "subtract") and node.rank == 2 for node in found)
    assert (
        sum(
            node.operation == "matmul"
            and S
            in [
                i.attributes[0]
                for part in (node, *node.inputs)
                for i in part.inputs
                if i.operation == "symbol"
            ]
            for node in found
        )
        == 3
    )
    assert "multiplications" not in str(derivation.in_cheapest_order())  # as many as before


# --- against NumPy -----------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 50])
@pytest.mark.parametrize("width", [1, 3, 40])
def test_linear_layers_against_numpy(rows, width):
    x, y = tensor("X", "n", 2), tensor("y", "n")
    W, c, w = tensor("W", 2, width), tensor("c", width), tensor("w", width)
    roots = joint(sd.mean(((x @ W + c) @ w - y) ** 2), [W, c, w])
    sizes = {n: rows}
    result = check(roots, n, sizes)
    rng = np.random.default_rng(1)
    data = {s: rng.normal(size=concrete_shape(to_graph(s).shape, sizes)) for s in (x, y, W, c, w)}
    got = interpret(result.roots, {to_graph(s): array for s, array in data.items()}, sizes)
    xs, ys, Ws, cs, ws = data.values()
    z = xs @ Ws + cs
    r = z @ ws - ys
    delta = 2 / rows * np.outer(r, ws)
    expected = [np.mean(r**2), xs.T @ delta, delta.sum(0), 2 / rows * z.T @ r]
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-10, atol=1e-12)


def orders(dimensions):
    """The multiplications of every order of a chain of matrices."""
    if len(dimensions) == 2:
        return [0]
    found = []
    for k in range(1, len(dimensions) - 1):
        top = dimensions[0] * dimensions[k] * dimensions[-1]
        halves = itertools.product(orders(dimensions[: k + 1]), orders(dimensions[k:]))
        found += [top + left + right for left, right in halves]
    return found


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=3, max_size=7), st.data())
def test_chains_reach_the_cheapest_order(dimensions, data):
    parts = []
    for i, (p, q) in enumerate(itertools.pairwise(dimensions)):
        flipped = data.draw(st.booleans())
        symbol = tensor(f"M{i}", q, p) if flipped else tensor(f"M{i}", p, q)
        parts.append(swap_last(to_graph(symbol)) if flipped else to_graph(symbol))
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [matmul(parts[at], parts[at + 1])]
    result = check(parts)
    cost, best = Costs({}).total(result.roots), min(orders(dimensions))
    assert cost <= best / 0.95, "further from the best than what is not worthwhile"


KINDS = ["left", "right", "left", "right", "sum", "flip", "plus", "bias", "scale", "column"]


@st.composite
def random_graphs(draw):
    """Sums and products with transposes, biases, sums and outer products, and their gradients."""
    sizes = st.sampled_from([n, 1, 2, 3, 17])
    pool = []

    def leaf(*shape):
        named = [d if isinstance(d, int) else str(d) for d in shape]
        pool.append(to_graph(tensor(f"s{len(pool)}", *named)))
        return pool[-1]

    def fitting(size, axis):
        """An operand of a product, old or new."""
        known = [
            p for p in pool if p.rank in (1, 2) and p.shape[axis if p.rank == 2 else 0] == size
        ]
        if known and draw(st.booleans()):
            return draw(st.sampled_from(known))
        if draw(st.integers(0, 3)) == 0:
            return leaf(size)
        other = draw(sizes)
        return leaf(size, other) if axis == 0 else leaf(other, size)

    for _ in range(3):
        leaf(draw(sizes), draw(sizes))
    for _ in range(draw(st.integers(3, 14))):
        x = draw(st.sampled_from(pool[-6:]))
        kind = draw(st.sampled_from(KINDS))
        if kind == "left" and x.rank:
            pool.append(matmul(x, fitting(x.shape[-1], 0)))
        elif kind == "right" and x.rank:
            pool.append(matmul(fitting(x.shape[0], 1), x))
        elif kind == "sum" and x.rank:
            axes = draw(st.sampled_from([(0,), (x.rank - 1,), tuple(range(x.rank))]))
            pool.append(reduce_sum(x, axes, draw(st.booleans())))
        elif kind == "flip" and x.rank == 2:
            pool.append(swap_last(x))
        elif kind == "plus":
            others = [p for p in pool if broadcast(p.shape, x.shape) is not None]
            name = draw(st.sampled_from(["add", "subtract", "multiply"]))
            pool.append(apply(name, x, draw(st.sampled_from(others))))
        elif kind == "bias" and x.rank:
            pool.append(apply("add", x, leaf(x.shape[-1])))
        elif kind == "scale":
            pool.append(apply("divide", apply("negative", x), number(3)))
        elif kind == "column" and x.rank == 1:
            pool.append(reshape(x, draw(st.sampled_from([(*x.shape, 1), (1, *x.shape)]))))
    roots = pool[-draw(st.integers(1, 4)) :]
    if draw(st.booleans()):
        squares = [reduce_sum(apply("power", r, number(2)), tuple(range(r.rank))) for r in roots]
        (loss,) = algebra([functools.reduce(lambda p, q: apply("add", p, q), squares)])
        symbols = [s for s in walk([loss]) if s.operation == "symbol"]
        gradients, _ = pullback(loss, number(1), symbols)
        roots = [loss, *algebra(gradients)]
    return roots


@settings(max_examples=250, deadline=None)
@given(random_graphs(), st.sampled_from([1, 2, 30]), st.booleans())
def test_random_graphs_keep_their_values(roots, rows, known):
    check(roots, n, {n: rows}, known)


# --- what stays as it is -----------------------------------------------------------------


def dense(widths, outputs, activation=None):
    x, y = tensor("X", "n", widths[0]), tensor("y", "n", outputs)
    layers = [Dense(w, activation=activation) for w in widths[1:]]
    model = Sequential([*layers, Dense(outputs)])
    return sd.losses.mse(model(x), y), list(model.parameters)


y, w, c = tensor("y", "n"), tensor("w", 2), sp.Symbol("c")
U, V, R = tensor("U", "n", 8), tensor("V", "m", 8), tensor("R", "n", "m")
P = tensor("P", 60, 4)
Z = tensor("Z", "n", 60)
residual = X @ w - y
UNCHANGED = {
    "linear regression": (sd.mean((X @ w + c - y) ** 2), [w, c]),
    "bias only": (sd.mean((c - y) ** 2), [c]),
    "ridge": (sd.mean(residual**2) + sd.sum(w**2), [w]),
    "a square as a product": (residual @ residual, [w]),
    "factorisation": (sd.sum((U @ V.T - R) ** 2), [U, V]),
    "narrow autoencoder": (sd.sum((Z @ P @ P.T - Z) ** 2), [P]),
    "relu network": dense([8, 30, 30], 3, "relu"),
    "tanh network": dense([2, 3], 1, "tanh"),
    "centred": (sd.sum(((X - sd.mean(X, axis=0)).T @ (X - sd.mean(X, axis=0)) @ w) ** 2), [w]),
}


@pytest.mark.parametrize("name", UNCHANGED)
def test_the_same_object_where_nothing_is_gained(name):
    assert not check(joint(*UNCHANGED[name]), n, {n: 64, Size("m"): 20}).applied


def test_attention_keeps_its_softmax():
    keys = [tensor(f"W{k}", 16, 16) for k in "qkv"]
    x = tensor("X", "n", 16)
    q, k, values = (x @ W for W in keys)
    weights = sd.softmax(q @ k.T / 4, axis=1)
    roots = joint(sd.mean((weights @ values) ** 2), keys)
    before = [m.operation for m in walk(roots) if m.operation in ("exp", "logsumexp")]
    result = check(roots, n, {n: 20})
    after = [m.operation for m in walk(result.roots) if m.operation in ("exp", "logsumexp")]
    assert sorted(before) == sorted(after)


def test_the_batch_decides():
    """The product of two weights pays for many rows, not for one."""
    (root,) = graph(tensor("X", "n", 30) @ tensor("W", 30, 40) @ tensor("V", 40, 20))
    assert not check([root], n, {n: 1}).applied
    assert check([root], n, {n: 1000}).applied


def test_the_moves_of_deep_networks_are_few():
    """They grow as the network does; a network that is not linear offers none."""
    counts = []
    for depth in (10, 20, 40):
        result = reorder(joint(*dense([32] * depth, 1)), n)
        counts.append(len(result.applied))
        assert result.after < result.before / 10
    assert counts[2] < 2.6 * counts[1] < 6.8 * counts[0]
    assert not reorder(joint(*dense([32] * 40, 1, "relu")), n).applied


# --- the linear network of the benchmarks ------------------------------------------------


def test_what_a_row_costs():
    """Two multiplications for the residual, its square, two sums of products and two sums."""
    loss, parameters = dense([2, 2, 32], 1)
    result = check(joint(loss, parameters), n, {n: 32})
    one, more = (Costs({n: size}).total(result.roots) for size in (100, 101))
    assert more - one == 2 + 2 + 1 + 1 + 2 + 1
    wide = [m for m in walk(result.roots) if n in m.shape and 32 in m.shape]
    assert not wide


def test_training_takes_the_same_path():
    """Against NumPy and against the kernel that computes as written."""
    rng = np.random.default_rng(0)
    loss, parameters = dense([2, 2, 32], 1)
    start = [rng.normal(size=to_graph(p).shape) / 2 for p in parameters]
    xs = rng.normal(size=(100, 2))
    ys = xs.mean(axis=1, keepdims=True)
    order = rng.integers(0, 100, (60, 32))
    rate = 0.05
    histories = {}
    for math in ("fast", "accurate"):
        trainer = codegen.Trainer(
            loss, dict(zip(parameters, start, strict=True)), sd.optimizers.SGD(rate), math=math
        )
        data = {tensor("X", "n", 2): xs, tensor("y", "n", 1): ys}
        history = trainer.fit(data, order=order, record="step")
        histories[math] = history.loss, [trainer.parameters[p] for p in parameters]
        assert ("products reordered" in str(trainer.derivation)) is (math == "fast")
    weights = [array.copy() for array in start]
    losses = []
    for batch in order:
        W1, b1, W2, b2, W3, b3 = weights
        x0, y0 = xs[batch], ys[batch]
        z1 = x0 @ W1 + b1
        z2 = z1 @ W2 + b2
        r = z2 @ W3 + b3 - y0
        losses.append(np.mean(r**2))
        d3 = 2 * r / len(batch)
        d2 = d3 @ W3.T
        d1 = d2 @ W2.T
        gradients = [x0.T @ d1, d1.sum(0), z1.T @ d2, d2.sum(0), z2.T @ d3, d3.sum(0)]
        weights = [p - rate * g for p, g in zip(weights, gradients, strict=True)]
    for losses_, found in histories.values():
        np.testing.assert_allclose(losses_, losses, rtol=1e-6)
        for array, expected in zip(found, weights, strict=True):
            np.testing.assert_allclose(array, expected, rtol=1e-6, atol=1e-12)


# --- what a reader sees ------------------------------------------------------------------

DERIVATION = """
products reordered: 19279 → 897 multiplications for n = 64
  δ₂W₂ᵀ → r(W₂W₃)ᵀ    ((A B) C = A (B C))
  z₁ᵀδ₂ → z₁ᵀrW₃ᵀ    ((A B) C = A (B C))
  Σᵢ δ₂ → W₃(Σᵢ r)    (Σ A B = (Σ A) B)
  z₂W₃ → z₁(W₂W₃) + W₃ᵀb₂    ((A B + c) D = A (B D) + c D)
  z₂ᵀr → W₂ᵀ(z₁ᵀr) + b₂(Σᵢ r)ᵀ    ((A B + c) D = A (B D) + c D)
  Xᵀδ₁ → Xᵀr(W₂W₃)ᵀ    ((A B) C = A (B C))
  Σᵢ δ₁ → W₂W₃(Σᵢ r)    (Σ A B = (Σ A) B)
  z₁ᵀr → W₁ᵀ(Xᵀr) + b₁(Σᵢ r)ᵀ    ((A B + c) D = A (B D) + c D)
  z₁(W₂W₃) → X(W₁(W₂W₃)) + (W₂W₃)ᵀb₁    ((A B + c) D = A (B D) + c D)
  z₂W₃ + b₃ − y → X(W₁(W₂W₃)) + (W₂W₃)ᵀb₁ + W₃ᵀb₂ + b₃ − y    (small terms of a sum first)
"""


def test_the_derivation_says_so():
    loss, parameters = dense([2, 2, 32], 1)
    plain = sd.derive(loss, parameters)
    assert plain.reordering is None
    told = plain.in_cheapest_order("n")
    assert str(told) == f"{plain}\n{DERIVATION.rstrip()}"
    again = pickle.loads(pickle.dumps(told))
    assert str(again) == str(told)
    assert list(told.gradients.values()) == list(plain.gradients.values())


def test_a_derivation_in_which_nothing_changes():
    plain = sd.derive(sd.mean(residual**2), [w])
    assert str(plain.in_cheapest_order("n")) == str(plain)


def test_a_long_list_of_moves_is_cut():
    loss, parameters = dense([16] * 12, 1)
    text = str(sd.derive(loss, parameters).in_cheapest_order("n"))
    block = text[text.index("products reordered") :].splitlines()
    assert len(block) < 30
    assert block[-1].startswith("  and ")
    assert block[-1].endswith(" more")


# --- kernels -----------------------------------------------------------------------------


def test_compiled_values():
    """Readers of every kind in one kernel, against NumPy."""
    Y, W, V_, q = tensor("Y", "n", 3), tensor("W", 2, 30), tensor("V", 30, 3), tensor("q", 30)
    layer = X @ W + q
    expressions = [
        layer @ V_, layer.T @ Y, sd.sum(layer, axis=0), sd.sum(X @ W), X @ W @ V_ @ Y.T, w @ W @ V_,
    ]  # fmt: skip
    f = codegen.compile(expressions, [X, Y, W, V_, q, w])
    rng = np.random.default_rng(3)
    data = [rng.normal(size=s) for s in ((50, 2), (50, 3), (2, 30), (30, 3), (30,), (2,))]
    x, y_, W_, V0, q_, w_ = data
    z = x @ W_ + q_
    expected = [z @ V0, z.T @ y_, z.sum(0), (x @ W_).sum(), x @ W_ @ V0 @ y_.T, w_ @ W_ @ V0]
    for got, e in zip(f(*data), expected, strict=True):
        np.testing.assert_allclose(got, e, rtol=1e-10, atol=1e-12)
    for got, e in zip(f.plain(*data), expected, strict=True):
        np.testing.assert_allclose(got, e, rtol=1e-10, atol=1e-12)


def test_a_residual_near_zero_keeps_its_digits():
    """A square is never expanded: the loss of a perfect fit is 0 up to rounding of the residual."""
    line = np.linspace(1e3, 1e3 + 1, 50)
    data = np.stack([line, np.ones(50)], axis=1)
    roots = joint(residual @ residual, [w])
    result = reorder(roots, n, {n: 50})
    values = dict(zip(graph(X, y, w), (data, data @ [2.0, 3.0], np.array([2.0, 3.0])), strict=True))
    assert interpret(result.roots, values, {n: 50})[0] < 1e-20
