"""Checking gradients: right ones pass, wrong ones are named."""

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.check import check_gradient

X = sd.tensor("X", "n", 3)
w = sd.tensor("w", 3)
y = sd.tensor("y", "n")
W = sd.tensor("W", 3, 2)
t = sd.tensor("t", "n", dtype="int")
a, b, x, target = sp.symbols("a b x y")

RANDOM = np.random.default_rng(2)
DATA = {X: RANDOM.normal(size=(6, 3)), w: RANDOM.normal(size=3), y: RANDOM.normal(size=6)}
SQUARES = sd.sum((X @ w - y) ** 2)
SAMPLES = {a: 1.3, b: 0.4, x: np.linspace(0, 2, 11), target: RANDOM.normal(size=11)}
CURVE = (a * sp.exp(-b * x) - target) ** 2


def test_the_derived_gradient_is_right():
    assert 0 < check_gradient(SQUARES, w, DATA) < 1e-8
    assert check_gradient(SQUARES, [w, y], DATA) < 1e-8


def test_large_and_small_scales_are_right():
    for scale in (1e-6, 1e6):
        values = {**DATA, X: scale * DATA[X], w: DATA[w] / scale}
        assert check_gradient(SQUARES, w, values) < 1e-6
    assert check_gradient(sp.log(x), x, {x: 1e-6}) < 1e-6
    assert check_gradient(1e9 + x**2, x, {x: 1.0}) < 1e-6


def test_a_wrong_gradient_is_named_with_its_entry():
    loss = sd.losses.cross_entropy(X @ W, t)
    values = {X: DATA[X], W: RANDOM.normal(size=(3, 2)), t: np.array([0, 1, 1, 0, 1, 0])}
    right = sd.evaluate(sd.gradient(loss, W), values)
    assert check_gradient(loss, W, values, gradient=right) < 1e-6
    wrong = right.copy()
    wrong[2, 0] += 0.1
    message = rf"W\[2, 0\]: given {wrong[2, 0]:.6g}, finite differences {right[2, 0]:.6g}"
    with pytest.raises(sd.GradientMismatch, match=message.replace("+", r"\+")):
        check_gradient(loss, W, values, gradient=wrong)


@pytest.mark.parametrize("error", [1e-3, 1e-4, 1e-5])
def test_small_errors_are_found(error):
    right = sd.evaluate(sd.gradient(SQUARES, w), DATA)
    with pytest.raises(sd.GradientMismatch, match=r"w\[0\]"):
        check_gradient(SQUARES, w, DATA, gradient=right * [1 + error, 1, 1])


def test_a_wrong_small_entry_beside_large_ones_is_found():
    loss = 1e6 * a**2 + 1e-3 * b**2
    values = {a: 1.0, b: 1.0}
    assert check_gradient(loss, [a, b], values) < 1e-6
    with pytest.raises(sd.GradientMismatch, match=r"^b: given 0.003"):
        check_gradient(loss, [a, b], values, gradient=[2e6 * a, 3e-3 * b])


def test_the_worst_entry_is_named():
    right = sd.evaluate(sd.gradient(SQUARES, w), DATA)
    with pytest.raises(sd.GradientMismatch, match=r"^w\[1\]"):
        check_gradient(SQUARES, w, DATA, gradient=right * [1.01, 1.5, 1.02])


RIGHT = 2 * X.T @ (X @ w - y)
NUMBERS = 2 * DATA[X].T @ (DATA[X] @ DATA[w] - DATA[y])


@pytest.mark.parametrize(
    "given",
    [
        RIGHT,
        [RIGHT],
        {w: RIGHT},
        NUMBERS,
        list(NUMBERS),
        {w: NUMBERS},
        lambda values: 2 * values[X].T @ (values[X] @ values[w] - values[y]),
        lambda data, weights, labels: 2 * data.T @ (data @ weights - labels),
        lambda *arrays: [2 * arrays[0].T @ (arrays[0] @ arrays[1] - arrays[2])],
        lambda values, scale=2: {w: scale * values[X].T @ (values[X] @ values[w] - values[y])},
        lambda values: RIGHT,
    ],
    ids=range(11),
)
def test_gradients_come_in_many_forms(given):
    assert check_gradient(SQUARES, w, DATA, gradient=given) < 1e-8


def test_lists_and_dicts_for_several_symbols():
    both = {w: RIGHT, y: -2 * (X @ w - y)}
    assert check_gradient(SQUARES, [w, y], DATA, gradient=both) < 1e-8
    assert check_gradient(SQUARES, [y, w], DATA, gradient=[both[y], both[w]]) < 1e-8
    with pytest.raises(sd.GradientMismatch, match=r"^y\["):
        check_gradient(SQUARES, [w, y], DATA, gradient=[RIGHT, 2 * (X @ w - y)])


def test_data_of_a_loss_of_one_sample_are_averaged():
    assert check_gradient(CURVE, [a, b], SAMPLES) < 1e-8
    residual = a * sp.exp(-b * x) - target
    by_sample = {a: 2 * residual * sp.exp(-b * x), b: -2 * residual * a * x * sp.exp(-b * x)}
    assert check_gradient(CURVE, [a, b], SAMPLES, gradient=by_sample) < 1e-8
    with pytest.raises(sd.GradientMismatch, match=r"^a: given"):
        check_gradient(CURVE, a, SAMPLES, gradient=11 * by_sample[a])


def test_samples_of_a_loss_with_tensor_parameters():
    loss = (sd.sum(sd.tanh(w * x)) - target) ** 2
    values = {w: DATA[w], x: SAMPLES[x], target: SAMPLES[target]}
    assert check_gradient(loss, w, values) < 1e-8
    one_by_one = [
        sd.evaluate(sd.gradient(loss, w), {w: DATA[w], x: i, target: j})
        for i, j in zip(SAMPLES[x], SAMPLES[target], strict=True)
    ]
    assert check_gradient(loss, w, values, gradient=np.mean(one_by_one, axis=0)) < 1e-8
    with pytest.raises(sd.BindingError, match="different numbers of samples"):
        check_gradient(loss, w, {**values, x: [1.0, 2.0]})


@pytest.mark.parametrize(
    ("loss", "wrt", "values"),
    [
        (sp.Abs(x), x, {x: 0}),
        (sd.relu(x), x, {x: 0}),
        (sp.Max(x, a), [x, a], {x: 1, a: 1}),
        (sp.floor(x) + x, x, {x: 2.0}),
        (sd.max(w), w, {w: [1.0, 1.0, 0.5]}),
        (sd.sum(sd.relu(X @ w)), w, {X: DATA[X], w: np.zeros(3)}),
    ],
    ids=["abs", "relu", "max", "floor", "tie", "relu of zeros"],
)
def test_kinks_do_not_count_against_a_gradient(loss, wrt, values):
    assert check_gradient(loss, wrt, values) < 1e-9


def test_a_gradient_outside_of_a_kink_is_wrong():
    assert check_gradient(sd.relu(x), x, {x: 0}, gradient=0.5) == 0
    with pytest.raises(sd.GradientMismatch, match=r"x: given 1.5"):
        check_gradient(sd.relu(x), x, {x: 0}, gradient=1.5)


def test_near_a_kink_the_steps_get_smaller():
    assert check_gradient(sd.relu(x), x, {x: 1e-5}) < 1e-6
    with pytest.raises(sd.GradientMismatch):
        check_gradient(sd.relu(x), x, {x: 1e-5}, gradient=0.5)


def test_nan_is_never_right():
    with pytest.raises(sd.GradientMismatch, match="nan"):
        check_gradient(x**2, x, {x: 1.0}, gradient=np.nan)


def test_where_the_naive_loss_overflows_the_stable_one_is_compared():
    assert check_gradient(sp.log(1 + sp.exp(x)), x, {x: 1000.0}) < 1e-6


def test_a_loss_that_is_not_finite_has_no_gradient_to_check():
    with pytest.raises(sd.InvalidArgument, match="not finite"):
        check_gradient(sp.log(x), x, {x: -1.0})


def test_a_symbol_that_the_loss_does_not_contain():
    assert check_gradient(a**2, [a, b], {a: 1.0, b: 2.0}) < 1e-8
    with pytest.raises(sd.GradientMismatch, match=r"^b: given 1, finite differences 0"):
        check_gradient(a**2, [a, b], {a: 1.0, b: 2.0}, gradient=[2 * a, 1.0])


def test_step_and_tolerance():
    assert check_gradient(SQUARES, w, DATA, gradient=RIGHT * 1.001, tolerance=1e-2) > 1e-4
    assert check_gradient(SQUARES, w, DATA, step=1e-2) < 1e-8
    with pytest.raises(sd.InvalidArgument, match="tolerance"):
        check_gradient(SQUARES, w, DATA, tolerance=0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(sd.ShapeError, match="scalar"):
        check_gradient(X @ w, w, {X: DATA[X], w: DATA[w]})
    with pytest.raises(sd.ShapeError, match=r"gradient of w has shape \(2,\)"):
        check_gradient(SQUARES, w, DATA, gradient=[1.0, 2.0])
    with pytest.raises(sd.ShapeError, match="a is a scalar and a parameter"):
        check_gradient(CURVE, a, {**SAMPLES, a: [1.0, 2.0]})
    with pytest.raises(sd.InvalidArgument, match="no entry for y"):
        check_gradient(SQUARES, [w, y], DATA, gradient={w: RIGHT})
    with pytest.raises(sd.InvalidArgument, match="1 gradients were given for 2 symbols"):
        check_gradient(SQUARES, [w, y], DATA, gradient=[RIGHT])
    with pytest.raises(sd.InvalidArgument, match="contains x"):
        check_gradient(a**2, a, {a: 1.0}, gradient=2 * x)
    with pytest.raises(sd.BindingError, match="no value for y"):
        check_gradient(SQUARES, w, {X: DATA[X], w: DATA[w]})
    with pytest.raises(sd.BindingError, match="surplus"):
        check_gradient(a**2, a, {a: 1.0, x: 2.0})


def test_values_are_not_changed():
    values = {k: np.array(v) for k, v in DATA.items()}
    for array in values.values():
        array.flags.writeable = False
    check_gradient(SQUARES, [w, y], values)
    for symbol, array in values.items():
        np.testing.assert_array_equal(array, DATA[symbol])
