"""Losses against their definitions written in NumPy, and their gradients."""

import inspect

import numpy as np
import pytest
import sympy as sp
from scipy import special

import symdiff as sd
from symdiff import losses
from symdiff.bridge import to_graph
from symdiff.graph import walk

N, K = 6, 3
RNG = np.random.default_rng(3)
A = RNG.normal(size=(N, K))
B = RNG.normal(size=(N, K))
P = special.softmax(RNG.normal(size=(N, K)), axis=1)
Q = special.softmax(RNG.normal(size=(N, K)), axis=1)
P[0] = [0, 1, 0]
LABELS = RNG.integers(0, K, N)
COUNTS = RNG.poisson(2.0, (N, K)).astype(float)
SIGNS = np.where(B > 0, 1.0, -1.0)
BITS = (B > 0).astype(float)


def log_softmax(z):
    return z - special.logsumexp(z, axis=-1, keepdims=True)


def huber(e, delta):
    return np.where(abs(e) <= delta, e**2 / 2, delta * (abs(e) - delta / 2))


# arguments of the loss, the two arrays, and the losses of the elements or rows
CASES = {
    "mse": (losses.mse, A, B, (A - B) ** 2),
    "mae": (losses.mae, A, B, abs(A - B)),
    "huber": (losses.huber, A, B, huber(A - B, 1.0)),
    "huber 0.3": (lambda p, t, **k: losses.huber(p, t, 0.3, **k), A, B, huber(A - B, 0.3)),
    "binary_cross_entropy": (
        losses.binary_cross_entropy,
        A,
        BITS,
        -BITS * np.log(special.expit(A)) - (1 - BITS) * np.log(special.expit(-A)),
    ),
    "cross_entropy": (losses.cross_entropy, A, LABELS, -log_softmax(A)[np.arange(N), LABELS]),
    "cross_entropy of probabilities": (losses.cross_entropy, A, P, -(P * log_softmax(A)).sum(1)),
    "hinge": (losses.hinge, A, SIGNS, np.maximum(0, 1 - SIGNS * A)),
    "kl_divergence": (losses.kl_divergence, P, Q, special.rel_entr(P, Q).sum(1)),
    "poisson": (losses.poisson, A, COUNTS, np.exp(A) - COUNTS * A),
    "poisson of the rate": (
        lambda p, t, **k: losses.poisson(p, t, log_input=False, **k),
        np.exp(A),
        COUNTS,
        np.exp(A) - COUNTS * A,
    ),
}

ELEMENTWISE = ["mse", "mae", "huber", "binary_cross_entropy", "hinge", "poisson", "kl_divergence"]


def build(name):
    loss, first, second, expected = CASES[name]
    shape = ("n", K)
    a = sd.tensor("a", *shape)
    kind = "int" if second.dtype.kind == "i" else "real"
    b = sd.tensor("b", *shape[: second.ndim], dtype=kind)
    return loss, a, b, {a: first, b: second}, expected


def test_every_loss_is_tested():
    assert set(losses.__all__) - {"l1", "l2"} <= {name.partition(" ")[0] for name in CASES}
    for name in set(losses.__all__) - {"l1", "l2"}:
        assert inspect.signature(getattr(losses, name)).parameters["reduction"].default == "mean"


@pytest.mark.parametrize("name", CASES)
def test_value(name):
    loss, a, b, values, expected = build(name)
    none = loss(a, b, reduction="none")
    assert none.shape == ("n", *expected.shape[1:])
    assert np.allclose(sd.evaluate(none, values), expected, rtol=1e-13)
    assert np.allclose(sd.evaluate(loss(a, b), values), expected.mean(), rtol=1e-13)
    assert np.allclose(sd.evaluate(loss(a, b, reduction="sum"), values), expected.sum(), rtol=1e-13)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradient(name, reduction):
    loss, a, b, values, _ = build(name)
    expression = loss(a, b, reduction=reduction)
    gradient = sd.evaluate(sd.gradient(expression, a), values)
    step = 1e-6
    for index in np.ndindex(N, K):
        if name == "kl_divergence" and values[a][index] == 0:
            continue
        moved = []
        for sign in (1, -1):
            changed = values[a].copy()
            changed[index] += sign * step
            moved.append(sd.evaluate(expression, {**values, a: changed}))
        assert gradient[index] == pytest.approx((moved[0] - moved[1]) / (2 * step), abs=1e-7)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_of_scalar_symbols_it_is_the_loss_of_one_sample(name):
    x, y = sp.symbols("x y")
    loss = CASES[name][0]
    expression = loss(x, y)
    assert sd.shape(expression) == ()
    assert {n.row.kind for n in walk([to_graph(expression)])} <= {"leaf", "elementwise"}
    for reduction in ("sum", "none"):
        assert loss(x, y, reduction=reduction) == expression
    _, first, second, expected = CASES[name]
    terms = sd.evaluate(expression, {x: first, y: second})
    if expected.ndim == 1:
        terms = terms.sum(axis=1)
    assert np.allclose(terms, expected, rtol=1e-13)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(
    ("left", "right"), [(("n", 1), ("n",)), (("n",), ("n", 1)), ((3,), (4,)), (("n", 3), (3,))]
)
def test_shapes_must_be_equal(name, left, right):
    first, second = sd.tensor("first", *left), sd.tensor("second", *right)
    with pytest.raises(sd.ShapeError, match=r"first with shape .* second with shape"):
        CASES[name][0](first, second)


def test_the_error_of_a_missing_axis_says_what_to_do():
    with pytest.raises(sd.ShapeError, match=r"\[\.\.\., 0\]"):
        losses.mse(sd.tensor("p", "n", 1), sd.tensor("y", "n"))


def test_a_scalar_operand_is_compared_with_every_element():
    p, delta = sd.tensor("p", "n"), sp.Symbol("c")
    loss = losses.mse(p, delta)
    assert sd.evaluate(loss, {p: [1, 3], delta: 1}) == 2.0
    assert sd.evaluate(losses.mse(p, 1), {p: [1, 3]}) == 2.0


@pytest.mark.parametrize("name", ["mse", "binary_cross_entropy", "hinge", "mae", "huber"])
@pytest.mark.parametrize("dtype", ["bool", "int"])
def test_bool_and_int_targets_count_as_numbers(name, dtype):
    p, t, r = sd.tensor("p", "n"), sd.tensor("t", "n", dtype=dtype), sd.tensor("r", "n")
    loss = CASES[name][0]
    bits = np.array([0, 1, 1])
    expected = sd.evaluate(loss(p, r), {p: A[:3, 0], r: bits})
    got = sd.evaluate(loss(p, t), {p: A[:3, 0], t: bits})
    assert got == pytest.approx(expected, rel=1e-14)
    assert sd.evaluate(loss(p, sp.Gt(r, 0)), {p: A[:3, 0], r: bits}) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1e3, -1e3, 1e300])
def test_finite_for_all_logits(scale):
    z, y = sp.symbols("z y")
    Z, t = sd.tensor("Z", "n", 2), sd.tensor("t", "n", dtype="int")
    value = sd.evaluate(losses.binary_cross_entropy(z, y), {z: scale, y: 1.0})
    assert value == max(0.0, -scale)
    slope = sd.gradient(losses.binary_cross_entropy(z, y), z)
    assert sd.evaluate(slope, {z: scale, y: 1.0}) == (0.0 if scale > 0 else -1.0)
    loss = losses.cross_entropy(Z, t)
    values = {Z: [[scale, 0.0]], t: [0]}
    assert sd.evaluate(loss, values) == max(0.0, -scale)
    right = [[0.0, 0.0]] if scale > 0 else [[-1.0, 1.0]]
    assert np.array_equal(sd.evaluate(sd.gradient(loss, Z), values), right)


def test_textbook_gradients():
    z, t = sd.tensor("z", "n", 3), sd.tensor("t", "n", dtype="int")
    gradient = sd.gradient(losses.cross_entropy(z, t), z)
    softmax = special.softmax(A, axis=1)
    expected = (softmax - np.eye(K)[LABELS]) / N
    assert np.allclose(sd.evaluate(gradient, {z: A, t: LABELS}), expected, rtol=1e-14, atol=1e-16)
    # softmax - one_hot, divided once, and nothing more
    kinds = {n.operation for n in walk([to_graph(gradient)]) if n.row.kind != "leaf"}
    assert kinds - {"reshape", "index"} == {"divide", "exp", "logsumexp", "one_hot", "subtract"}
    x, y = sp.symbols("x y")
    assert sd.gradient(losses.binary_cross_entropy(x, y), x) == sd.sigmoid(x) - y


def test_derivatives_at_the_corners():
    x, y = sp.symbols("x y")

    def slope(loss, at, target):
        return sd.evaluate(sd.gradient(loss(x, y), x), {x: at, y: target})

    assert slope(losses.mae, 2.0, 2.0) == 0
    assert slope(losses.hinge, 1.0, 1.0) == 0
    assert slope(losses.huber, 1.0, 0.0) == 1.0
    p, q = sd.tensor("p", 2), sd.tensor("q", 2)
    gradient = sd.gradient(losses.kl_divergence(p, q), q)
    assert np.array_equal(sd.evaluate(gradient, {p: [0, 1], q: [0, 0.5]}), [0, -2])


def test_kl_divergence_with_empty_classes():
    p, q = sd.tensor("p", 2), sd.tensor("q", 2)
    loss = losses.kl_divergence(p, q)
    assert sd.evaluate(loss, {p: [0, 1], q: [0, 1]}) == 0
    assert sd.evaluate(loss, {p: [1, 0], q: [0, 1]}) == np.inf


def test_cross_entropy_of_one_row_and_of_many_axes():
    z, t = sd.tensor("z", 3), sd.tensor("t", dtype="int")
    assert sd.evaluate(losses.cross_entropy(z, t), {z: A[0], t: 2}) == pytest.approx(
        -log_softmax(A[0])[2]
    )
    z, t = sd.tensor("z", "n", "s", 3), sd.tensor("t", "n", "s", dtype="int")
    assert losses.cross_entropy(z, t, reduction="none").shape == ("n", "s")
    Z, T = RNG.normal(size=(2, 4, 3)), RNG.integers(0, 3, (2, 4))
    expected = -np.take_along_axis(log_softmax(Z), T[..., None], -1).mean()
    assert sd.evaluate(losses.cross_entropy(z, t), {z: Z, t: T}) == pytest.approx(expected)


def test_cross_entropy_takes_arrays():
    z = sd.tensor("z", N, K)
    expected = CASES["cross_entropy"][3].mean()
    assert sd.evaluate(losses.cross_entropy(z, LABELS), {z: A}) == pytest.approx(expected)


def test_cross_entropy_errors():
    z = sd.tensor("z", "n", 3)
    with pytest.raises(sd.InvalidArgument, match=r't with shape \(n,\).*dtype="int"'):
        losses.cross_entropy(z, sd.tensor("t", "n"))
    with pytest.raises(
        sd.ShapeError, match=r"z with shape \(n, 3\) and labels t with shape \(n, 1"
    ):
        losses.cross_entropy(z, sd.tensor("t", "n", 1, dtype="int"))
    with pytest.raises(sd.ShapeError, match="binary_cross_entropy"):
        losses.cross_entropy(sp.Symbol("z"), sd.tensor("t", dtype="int"))
    t = sd.tensor("t", "n", dtype="int")
    with pytest.raises(sd.IndexOutOfRange, match=r"labels t .* must lie in 0\.\.2, found 0\.\.3"):
        sd.evaluate(losses.cross_entropy(z, t), {z: np.zeros((2, 3)), t: [0, 3]})


def test_l1_and_l2():
    W, b, c = sd.tensor("W", 2, 2), sd.tensor("b", 2), sp.Symbol("c")
    values = {W: [[1, -2], [3, -4]], b: [1, -1], c: -3}
    assert sd.evaluate(losses.l1([W, b, c]), values) == 15
    assert sd.evaluate(losses.l2([W, b, c]), values) == 41
    assert sd.evaluate(losses.l1(W), {W: values[W]}) == 10
    assert sd.evaluate(losses.l2({W: 0.0}), {W: values[W]}) == 30
    assert losses.l2(c) == c**2
    assert losses.l2([]) == 0
    gradient = sd.evaluate(sd.gradient(losses.l1(b), b), {b: [2.0, 0.0]})
    assert np.array_equal(gradient, [1, 0])


def test_arguments():
    x, y = sp.symbols("x y")
    with pytest.raises(sd.InvalidArgument, match="reduction must be one of"):
        losses.mse(x, y, reduction="average")
    with pytest.raises(sd.InvalidArgument, match="delta must be a positive number, got 0"):
        losses.huber(x, y, 0)
    for name in ELEMENTWISE:
        with pytest.raises(sd.InvalidType, match="text is read by"):
            CASES[name][0]("x", y)
        with pytest.raises(sd.InvalidType, match="text is read by"):
            CASES[name][0](x, "y")
    for regularise in (losses.l1, losses.l2):
        with pytest.raises(sd.InvalidType, match="text is read by"):
            regularise(["x"])
