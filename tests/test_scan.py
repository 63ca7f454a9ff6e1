"""Recurrences: what a user meets beyond the rows of the table."""

import pickle

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd

X = sd.tensor("X", "T", "n", 3)
W, U, b = sd.tensor("W", 3, 4), sd.tensor("U", 4, 4), sd.tensor("b", 4)
RNG = np.random.default_rng(4)
VALUES = {
    X: RNG.normal(size=(6, 2, 3)), W: RNG.normal(size=(3, 4)), U: RNG.normal(size=(4, 4)) / 2,
    b: RNG.normal(size=4),
}  # fmt: skip


def rnn(h, x):
    h = sd.tanh(x @ W + h @ U + b)
    return h, h


def network():
    last, states = sd.scan(rnn, sd.zeros("n", 4), X)
    return sd.sum(last**2) + sd.sum(sp.sin(states))


def unrolled(steps):
    h, total = sd.zeros("n", 4), 0
    for t in range(steps):
        h, _ = rnn(h, X[t])
        total += sd.sum(sp.sin(h))
    return sd.sum(h**2) + total


def test_a_scan_is_the_unrolled_loop():
    loss, copy = network(), unrolled(6)
    for a, c in zip(
        sd.evaluate([loss, *sd.gradient(loss, [W, U, b, X])], VALUES),
        sd.evaluate([copy, *sd.gradient(copy, [W, U, b, X])], VALUES),
        strict=True,
    ):
        np.testing.assert_allclose(a, c, rtol=1e-12, atol=1e-14)


def test_third_derivatives():
    u = sd.tensor("u", 4)
    loss = sd.sum(sd.scan(lambda c, x: (sd.sin(c * u + x), c), sd.zeros(4), X[:, 0, :1])[0] ** 2)
    values = {X: VALUES[X], u: VALUES[b]}
    first = sd.gradient(loss, u)
    second = sd.gradient(sd.sum(first * np.arange(4.0)), u)
    sd.check_gradient(sd.sum(second**2), u, values)


def test_the_kernel_is_a_loop_and_not_its_copies():
    sources = []
    for steps in (7, 1000):
        x = sd.tensor("x", steps, 3)
        last, _ = sd.scan(rnn, sd.zeros(4), x)
        outputs = [sd.sum(last**2), *sd.gradient(sd.sum(last**2), [W, U, b])]
        sources.append(codegen.compile(outputs, inputs=[x, W, U, b]).source)
    assert sources[0].replace("7", "N").count("\n") == sources[1].count("\n")


def test_a_step_of_two_carries_and_two_outputs():
    (a, c), (p, q) = sd.scan(lambda s, x: ((s[1], s[0] + x), (s[0], 2 * x)), (0, 1.0), b)
    values = {b: [1.0, 2.0, 3.0, 4.0]}
    # Fibonacci with a drive: (0, 1) (1, 1) (1, 3) (3, 4) (4, 7)
    assert sd.evaluate([a, c], values) == [4, 7]
    np.testing.assert_array_equal(sd.evaluate(p, values), [0, 1, 1, 3])
    np.testing.assert_array_equal(sd.evaluate(q, values), [2, 4, 6, 8])


def test_the_start_is_stretched_and_made_real():
    last, _ = sd.scan(lambda c, x: (c + x * b, None), 0, b)
    assert last.shape == (4,)
    np.testing.assert_allclose(sd.evaluate(last, {b: np.arange(4.0)}), 6 * np.arange(4.0))


def test_no_step_at_all():
    x = sd.tensor("x", "T", 4)
    last, stacked = sd.scan(lambda c, e: (c * e, c), b, x)
    values = {x: np.zeros((0, 4)), b: np.arange(4.0)}
    outputs = [last, stacked, sd.gradient(sd.sum(last * b), b)]
    expected = [np.arange(4.0), np.zeros((0, 4)), 2 * np.arange(4.0)]
    f = codegen.compile(outputs, inputs=[x, b])
    for got in (sd.evaluate(outputs, values), f(*values.values())):
        for g, e in zip(got, expected, strict=True):
            np.testing.assert_array_equal(g, e)
            assert g.shape == e.shape


def test_the_step_is_stabilised():
    x = sd.tensor("x", "T")
    total, _ = sd.scan(lambda c, e: (c + sp.log(1 + sp.exp(e)), None), 0.0, x)
    assert sd.evaluate(total, {x: [1000.0, -1000.0]}) == 1000


def test_symbols_named_like_the_arguments_of_the_step():
    h, x = sd.tensor("h", 4), sd.tensor("x", 4)
    last, _ = sd.scan(lambda h, x: (h * x + globals_h, None), x, sd.stack([h, h + 1]))
    values = {h: np.full(4, 2.0), x: np.ones(4)}
    assert sd.evaluate(last, values).tolist() == [(1 * 2 + 2) * 3 + 2] * 4
    sd.check_gradient(sd.sum(last), [h, x], values)


globals_h = sd.tensor("h", 4)


def test_it_pickles_and_can_be_substituted_in():
    loss = network()
    copy = pickle.loads(pickle.dumps(loss))
    assert copy == loss and hash(copy) == hash(loss)
    assert loss.free_symbols == {X, W, U, b} | set(X.shape[:2])
    V = sd.tensor("V", 4, 4)
    other = loss.xreplace({U: V})
    assert other != loss
    assert sd.evaluate(other, {**VALUES, V: VALUES[U]}) == sd.evaluate(loss, VALUES)


def test_it_reads_like_a_recurrence():
    text = str(sd.derive(network(), [U]))
    assert "scan(u = tanh(hU + xW + b), h ← u, x ∈ X, h[0] = 0)" in text
    assert "y[t] of scan  " in text, "the step is spelled out once"
    assert "δU ← hᵀ" in text and "reversed" in text
    assert "scan(h, x -> tanh(" in str(network())
    assert r"\leftarrow" in sd.derive(network(), [U]).latex()


def test_training_an_rnn_is_numpy_with_the_same_steps():
    data, y = sd.tensor("data", "n", 5, 3), sd.tensor("y", "n")
    last, _ = sd.scan(rnn, sd.zeros("n", 4), sd.transpose(data, (1, 0, 2)))
    loss = sd.losses.mse(sd.sum(last, axis=1), y)
    start = {W: VALUES[W], U: VALUES[U], b: VALUES[b]}
    arrays = {data: RNG.normal(size=(8, 5, 3)), y: RNG.normal(size=8)}
    trainer = codegen.Trainer(loss, start, optimizer=sd.optimizers.SGD(0.05))
    order = np.array([[0, 1, 2], [3, 4, 5], [7, 0, 4]])
    history = trainer.fit(arrays, order=order, record="step")
    w, u, bias = (VALUES[s].copy() for s in (W, U, b))
    for k, chosen in enumerate(order):
        x, target = arrays[data][chosen], arrays[y][chosen]
        states = [np.zeros((3, 4))]
        for t in range(5):
            states.append(np.tanh(x[:, t] @ w + states[-1] @ u + bias))
        error = states[-1].sum(1) - target
        assert history.loss[k] == pytest.approx(np.mean(error**2), rel=1e-10)
        g = np.repeat(2 / 3 * error[:, None], 4, axis=1)
        gw, gu, gb = np.zeros_like(w), np.zeros_like(u), np.zeros_like(bias)
        for t in reversed(range(5)):
            g = g * (1 - states[t + 1] ** 2)
            gw, gu, gb = gw + x[:, t].T @ g, gu + states[t].T @ g, gb + g.sum(0)
            g = g @ u.T
        w, u, bias = w - 0.05 * gw, u - 0.05 * gu, bias - 0.05 * gb
    for symbol, value in ((W, w), (U, u), (b, bias)):
        np.testing.assert_allclose(trainer.parameters[symbol], value, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: sd.scan(3, 0.0, b), sd.InvalidType, "step must be a function"),
        (lambda: sd.scan(lambda c, x: c, 0.0, b), sd.InvalidType, r"return \(carry, y_t\)"),
        (lambda: sd.scan(lambda c, x: (c, c, c), 0.0, b), sd.InvalidType, "tuple of 3 parts"),
        (lambda: sd.scan(lambda c, x: ((c, c), None), 0.0, b), sd.ShapeError,
         "2 parts, init has 1"),
        (lambda: sd.scan(lambda c, x: (c[:2], None), b, b), sd.ShapeError,
         r"part 1 .* shape \(4,\) before .* \(2,\) after"),
        (lambda: sd.scan(lambda c, x: (c, None), 0.0, sp.Symbol("s")), sd.ShapeError,
         "s is a scalar"),
        (lambda: sd.scan(lambda c, x: (c, None), 0.0, (b, W)), sd.ShapeError, "differ in length"),
        (lambda: sd.scan(lambda c, x: (c, None), 0.0, ()), sd.InvalidArgument, "at least one"),
        (lambda: sd.scan(lambda c, x: (c @ W, None), 0.0, b), sd.ShapeError, "c .*scalar"),
    ],
    ids=range(9),
)  # fmt: skip
def test_errors(build, error, message):
    with pytest.raises(error, match=message):
        build()
