"""What may be bound to a symbol: every line of data that a user may come with."""

import copy
import decimal
import fractions
import warnings

import numpy as np
import pandas as pd
import pytest
import sympy as sp

import codegen
import symdiff as sd

X, y = sd.tensor("X", "n", 3), sd.tensor("y", "n")
w, b = sd.tensor("w", 3), sd.tensor("b")
t = sd.tensor("t", "n", dtype="int")
m = sd.tensor("m", "n", dtype="bool")
u, v, a = sp.symbols("u v a")
MODEL = X @ w + y
LOSS = sd.mean((X @ w + b - y) ** 2)

BASE = np.array([[1, 2, 3], [250, 255, 0], [7, 0, 9], [4, 200, 6]])
ONES = np.array([1.0, 0.5, 0.25])

big = BASE.astype(">f8")
strided = np.repeat(np.repeat(BASE, 2, axis=0), 3, axis=1)[::2, ::3]
reversed_ = BASE[::-1, ::-1].copy()[::-1, ::-1]
read_only = BASE.astype(np.float64)
read_only.flags.writeable = False

SAME = {
    "bool": BASE > 4,
    "uint8": BASE.astype(np.uint8),
    "int8": (BASE - 128).astype(np.int8),
    "uint16": BASE.astype(np.uint16),
    "int16": BASE.astype(np.int16),
    "int32": BASE.astype(np.int32),
    "uint32": BASE.astype(np.uint32),
    "int64": BASE.astype(np.int64),
    "uint64": BASE.astype(np.uint64),
    "float16": BASE.astype(np.float16),
    "float32": BASE.astype(np.float32),
    "float64": BASE.astype(np.float64),
    "longdouble": BASE.astype(np.longdouble),
    "big-endian floats": big,
    "big-endian ints": BASE.astype(">i2"),
    "Fortran-ordered": np.asfortranarray(BASE.astype(np.float64)),
    "strided": strided,
    "negative strides": reversed_,
    "read-only": read_only,
    "broadcast": np.broadcast_to(np.array([1.0, 2.0, 3.0]), (4, 3)),
    "list": BASE.tolist(),
    "tuple": tuple(map(tuple, BASE.tolist())),
    "list of arrays": [np.array(r) for r in BASE],
    "DataFrame": pd.DataFrame(BASE, columns=["p", "q", "r"]),
    "mixed DataFrame": pd.DataFrame({"p": [1, 2, 3, 4], "q": [0.5] * 4, "r": [True, False] * 2}),
    "nullable DataFrame": pd.DataFrame(BASE).astype("Int64"),
    "objects": BASE.astype(object),
    "sympy Matrix": sp.Matrix(BASE),
    "fractions": [[fractions.Fraction(1, 3)] * 3, [decimal.Decimal("0.5")] * 3] * 2,
    "sympy numbers": [[sp.Rational(1, 3), sp.pi, sp.Integer(2)]] * 4,
    "unmasked": np.ma.MaskedArray(BASE.astype(float)),
}

REFUSED = {
    "complex": (BASE + 1j, "complex128"),
    "strings": (np.full((4, 3), "1"), "dtype <U1"),
    "bytes": (np.full((4, 3), b"1"), "dtype .S1"),
    "objects with text": (np.array([["1", 2, 3]] * 4, object), "objects such as '1'"),
    "datetime": (np.full((4, 3), np.datetime64("2020-01-01")), "datetime64"),
    "timedelta": (np.full((4, 3), np.timedelta64(1, "s")), "timedelta64"),
    "None": (np.full((4, 3), None), "None"),
    "pandas NA": (np.array([[1, pd.NA, 2]] * 4, object), "NA"),
    "ragged": ([[1, 2, 3], [1, 2]], "length"),
    "masked": (np.ma.MaskedArray(BASE, mask=BASE > 4), "masked"),
    "imaginary": ([[sp.I, 1, 2]] * 4, "objects such as 'I'"),
    "an expression": (sp.Symbol("q") + 1, "q \\+ 1"),
    "a dict": ({}, "objects such as"),
    "structured": (np.zeros((4, 3), [("f", float)]), "dtype"),
    "a string": ("text", "dtype <U4"),
}


def plain(value):
    """The same numbers by NumPy alone."""
    if isinstance(value, sp.MatrixBase):
        return np.array(value.tolist(), float)
    return np.asarray(value).astype(np.float64)


@pytest.fixture(scope="module")
def model():
    return codegen.compile(MODEL, inputs=[X, y, w])


@pytest.fixture(scope="module")
def trained():
    return codegen.Trainer(LOSS, {w: 0.0, b: 0.0}, sd.optimizers.SGD(1e-6))


@pytest.mark.parametrize("name", list(SAME))
def test_every_dtype_and_layout(name, model, trained):
    value = SAME[name]
    kept = copy.deepcopy(value)
    numbers = plain(value)
    expected = numbers @ ONES + np.arange(4)
    data = {X: value, y: np.arange(4)}
    np.testing.assert_allclose(sd.evaluate(MODEL, {**data, w: ONES}), expected, rtol=1e-15)
    np.testing.assert_allclose(model(value, np.arange(4), ONES), expected, rtol=1e-15)
    trained.reset()
    loss = trained.fit(data, epochs=1).loss[0]
    np.testing.assert_allclose(loss, np.mean(np.arange(4.0) ** 2))
    expected = 1e-6 * 2 / 4 * numbers.T @ np.arange(4)  # one step from zero
    np.testing.assert_allclose(trained.parameters[w], expected, rtol=1e-12, atol=1e-20)
    prediction = trained.predict(X @ w, {X: value})
    np.testing.assert_allclose(prediction, numbers @ trained.parameters[w], rtol=1e-12, atol=1e-20)
    residual = numbers @ trained.parameters[w] + trained.parameters[b] - np.arange(4)
    np.testing.assert_allclose(trained.evaluate(data)["loss"], np.mean(residual**2))
    assert np.array_equal(plain(value), plain(kept)), "the data of a user were changed"


def test_uint8_images_do_not_wrap(model):
    images = np.full((2, 3), 255, np.uint8)
    assert model(images, [255, 255], [1, 1, 1]).tolist() == [1020.0, 1020.0]
    assert sd.evaluate(X * 2 - 600, {X: images}).tolist() == [[-90.0] * 3] * 2
    assert sd.evaluate(t * t, {t: np.array([200, 255], np.uint8)}).tolist() == [40000, 65025]


@pytest.mark.parametrize("name", list(REFUSED))
def test_what_is_no_number_is_refused_by_name(name, model, trained):
    value, message = REFUSED[name]
    for use in (
        lambda: sd.evaluate(MODEL, {X: value, y: np.zeros(4), w: ONES}),
        lambda: model(value, np.zeros(4), ONES),
        lambda: trained.fit({X: value, y: np.zeros(4)}),
        lambda: codegen.Objective(LOSS, {w: ONES, b: 0.0}, {X: value, y: np.zeros(4)}),
    ):
        with pytest.raises(sd.SymdiffError, match=f"X.*{message}|{message}.*X") as caught:
            use()
        assert isinstance(caught.value, (TypeError, ValueError))


@pytest.mark.parametrize("value", ["1.5", 1j, None, [sp.I], np.datetime64("2020-01-01")])
def test_starts_and_columns_of_fits_are_numbers(value):
    xs = np.arange(5.0)
    for use in (
        lambda: codegen.fit_curve(a * u, {u: [value] * 5}, xs, {a: 1.0}),
        lambda: codegen.fit_curve(a * u, {u: xs}, [value] * 5, {a: 1.0}),
        lambda: codegen.fit_curve(a * u, {u: xs}, xs, {a: value}),
        lambda: codegen.Objective((a * u - v) ** 2, {a: value}, {u: xs, v: xs}),
        lambda: codegen.Trainer((a * u - v) ** 2, {a: value}),
    ):
        with pytest.raises(sd.SymdiffError):
            use()


def test_series_lists_and_sympy_numbers_in_a_curve_fit():
    xs, ys = pd.Series(np.arange(6), index=list("fedcba")), [sp.Integer(2) * k for k in range(6)]
    fit = codegen.fit_curve(a * u, {u: xs}, ys, {a: sp.Integer(1)}, sigma=pd.Series([1.0] * 6))
    assert abs(fit.parameters[a] - 2) < 1e-12
    objective = codegen.Objective((a * u - v) ** 2, {a: sp.Rational(1, 2)}, {u: xs, v: ys})
    expected = np.mean((0.5 * np.arange(6) - 2 * np.arange(6)) ** 2)
    assert objective.value_and_gradient(objective.start)[0] == pytest.approx(expected)


def test_a_series_is_taken_by_position_not_by_its_index():
    series = pd.Series([1.0, 2.0, 3.0], index=[2, 1, 0])
    assert sd.evaluate(y[0], {y: series}) == 1.0


def test_labels_are_checked_before_training():
    logits = X @ sd.tensor("W", 3, 4)
    W = sd.tensor("W", 3, 4)
    trainer = codegen.Trainer(sd.losses.cross_entropy(logits, t), {W: 0.0})
    for labels in ([0, 1, 4, 2], [0, -1, 1, 2], np.array([0, 1, 2, 2**40])):
        with pytest.raises(sd.SymdiffError, match=r"labels t must lie in 0..3"):
            trainer.fit({X: BASE, t: labels})
    assert not trainer.parameters[W].any()
    with pytest.raises(sd.SymdiffError, match="t has dtype int"):
        trainer.fit({X: BASE, t: [0.5, 1, 2, 3]})
    with pytest.raises(sd.SymdiffError, match="t has dtype int"):
        trainer.fit({X: BASE, t: [np.nan, 1, 2, 3]})
    for labels in ([0, 1, 2, 3], np.array([0.0, 1, 2, 3]), pd.Series([0, 1, 2, 3], dtype="uint8")):
        trainer.reset()
        assert trainer.fit({X: BASE, t: labels}).loss[0] == pytest.approx(np.log(4))


def test_bools_and_wide_integers():
    assert sd.evaluate(m * 2, {m: [True, False]}).tolist() == [2, 0]
    assert sd.evaluate(m * 2, {m: np.array([1.0, 0.0])}).tolist() == [2, 0]
    with pytest.raises(sd.SymdiffError, match="m has dtype bool"):
        sd.evaluate(m * 2, {m: [2, 0]})
    large = 2**62 + 1
    assert sd.evaluate(t + 0, {t: np.array([large], object)}).tolist() == [large]
    with pytest.raises(sd.SymdiffError, match="t: values above"):
        sd.evaluate(t, {t: np.array([2**63], np.uint64)})


def test_zero_sizes_and_numbers_without_axes(model):
    empty = np.zeros((0, 3))
    assert model(empty, [], ONES).shape == (0,)
    assert sd.evaluate(MODEL, {X: empty, y: [], w: ONES}).shape == (0,)
    assert sd.evaluate(sd.sum(X), {X: empty}) == 0
    with pytest.raises(sd.SymdiffError, match="empty"):
        codegen.Trainer(LOSS, {w: 0.0, b: 0.0}).fit({X: empty, y: []})
    for number in (2, 2.0, np.float32(2), np.array(2), sp.Integer(2), sp.Float(2), True + 1):
        assert sd.evaluate(b * 3, {b: number}) == 6
        assert sd.evaluate(u * 3, {u: number}) == 6
    assert sd.evaluate(b, {b: sp.pi}) == np.pi
    assert sd.evaluate(b, {b: sp.oo}) == np.inf


WRONG = {
    "sizes disagree": ({X: BASE, y: np.zeros(5)}, "y.*n = 5.*X gave n = 4"),
    "a fixed size": ({X: np.zeros((4, 2)), y: np.zeros(4)}, "X.*axis 1 must be 3"),
    "too few axes": ({X: np.zeros(4), y: np.zeros(4)}, "X.*1 axis"),
    "too many axes": ({X: BASE, y: np.zeros((4, 1))}, "y.*2 axes.*drop the last axis"),
    "missing": ({X: BASE}, "no value for y"),
    "surplus": ({X: BASE, y: np.zeros(4), u: 1.0}, "not contain u.*surplus"),
    "a name": ({X: BASE, "y": np.zeros(4)}, "key 'y'.*use the symbol itself"),
    "another symbol of that name": ({X: BASE, sp.Symbol("y"): np.zeros(4)}, "same name"),
    "no dict": ([BASE, np.zeros(4)], "dict"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_bindings_that_do_not_fit(name, model, trained):
    data, message = WRONG[name]
    uses = [
        lambda: trained.fit(data),
        lambda: trained.evaluate(data),
        lambda: trained.predict(X @ w + y, data),
        lambda: codegen.Objective(LOSS, {w: ONES, b: 0.0}, data),
    ]
    if isinstance(data, dict) and name != "surplus":  # evaluate lets a gradient have less symbols
        uses.append(lambda: sd.evaluate(MODEL, {**data, w: ONES}))
    for use in uses:
        with pytest.raises(sd.SymdiffError, match=message):
            use()


def test_arguments_of_a_compiled_function(model):
    with pytest.raises(sd.SymdiffError, match=r"takes 3 arrays \(X, y, w\), got 2"):
        model(BASE, np.zeros(4))
    with pytest.raises(sd.SymdiffError, match=r"takes 3 arrays \(X, y, w\), got 4"):
        model(BASE, np.zeros(4), ONES, 1.0)
    with pytest.raises(sd.SymdiffError, match=r"y.*n = 5.*X gave n = 4"):
        model(BASE, np.zeros(5), ONES)


def test_scalars_that_do_not_broadcast():
    trainer = codegen.Trainer((a * u - v) ** 2, {a: 0.0})
    for use in (
        lambda: sd.evaluate(u + v, {u: [1.0, 2.0], v: [1.0, 2.0, 3.0]}),
        lambda: codegen.compile(u + v, inputs=[u, v])([1.0, 2.0], [1.0, 2.0, 3.0]),
        lambda: trainer.predict(u + v, {u: [1.0, 2.0], v: [1.0, 2.0, 3.0]}),
    ):
        with pytest.raises(sd.SymdiffError, match=r"u: .2,., v: .3,."):
            use()


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_nan_and_infinity_are_allowed_but_said(value, word, trained):
    spoilt = BASE.astype(float)
    spoilt[1, 2] = value
    trained.reset()
    with pytest.warns(RuntimeWarning, match=f"X.*{word}"):
        history = trained.fit({X: spoilt, y: np.zeros(4)})
    assert len(history.loss) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.reset()
        trained.fit({X: BASE, y: np.zeros(4)})
        result = sd.evaluate(MODEL, {X: spoilt, y: np.zeros(4), w: ONES})
    np.testing.assert_array_equal(result, spoilt @ ONES)
    with pytest.raises(sd.SymdiffError, match="u contains NaN or infinity"):
        codegen.fit_curve(a * u, {u: [1.0, value]}, [1.0, 2.0], {a: 1.0})


def test_large_finite_data_are_no_infinity(trained):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained.reset()
        trained.fit({X: BASE * 1e305, y: np.zeros(4)}, epochs=0)
