"""Binding arrays to symbols, and the NumPy interpreter."""

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.binding import bind
from symdiff.bridge import to_graph

X = sd.tensor("X", "n", 3)
y = sd.tensor("y", "n")
w = sd.tensor("w", 3)
k = sd.tensor("k", "n", dtype="int")
b = sd.tensor("b", "n", dtype="bool")
p, q = sp.symbols("p q")
DATA = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("expression", "values", "message"),
    [
        (p + q, {p: 1}, "no value for q"),
        (X @ w, {X: DATA}, "no value for w"),
        (p, {sp.Symbol("p", positive=True): 1}, r"no value for p; a different symbol of the same"),
        (
            X,
            {X: np.ones(3)},
            r"X has shape \(n, 3\), got .* shape \(3,\), with 1 axis; .*array\[:, None\]",
        ),
        (y, {y: np.ones((4, 1))}, r"y has shape \(n,\).*array\[:, 0\]"),
        (X, {X: np.ones((2, 4))}, r"X has shape \(n, 3\), got an array of shape \(2, 4\): axis 1"),
        (X @ w - y, {X: DATA, w: np.ones(3), y: np.ones(5)}, r"n = 5, but X gave n = 2"),
        (sd.sum(sd.ones("n")), {}, "size n is not known"),
        (w, {w: np.ones((1, 3))}, "2 axes"),
        (w, {w: 1.0}, "0 axes"),
    ],
)
def test_binding_errors(expression, values, message):
    with pytest.raises(sd.BindingError, match=message) as error:
        sd.evaluate(expression, values)
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    ("expression", "values", "message"),
    [
        (p, {"p": 1}, "use the symbol itself, not its name"),
        (p, {p: "1"}, "p must hold real numbers"),
        (p, {p: 1j}, "real numbers, got dtype complex"),
        (p, {p: None}, "array of numbers, got objects"),
        (p, {p: [object()]}, "array of numbers"),
        (p, {p: q}, "the expression q"),
        (p, {p: {1: 2}}, "numbers"),
        (p, [1], "as a dict"),
        (p, 3, "as a dict"),
        (k, {k: [1.5]}, "k has dtype int, got float64 values that are not whole"),
        (k, {k: [np.nan]}, "not whole"),
        (k, {k: [np.inf]}, "not whole"),
        (b, {b: [2]}, "b has dtype bool"),
        (k, {k: np.array([2**63], dtype=np.uint64)}, "64-bit"),
        (y, {y: np.array(["2020-01-01"], dtype="datetime64[D]")}, "datetime64"),
        ("p + 1", {p: 1}, "text is read by"),
    ],
)
def test_type_errors(expression, values, message):
    with pytest.raises(sd.InvalidType, match=message) as error:
        sd.evaluate(expression, values)
    assert isinstance(error.value, TypeError)


def test_integer_data_for_real_symbols():
    got = sd.evaluate(X @ w, {X: DATA.astype(int), w: [1, 2, 3]})
    assert got.dtype == np.float64
    np.testing.assert_array_equal(got, DATA @ [1, 2, 3])
    assert sd.evaluate(p / q, {p: 1, q: 2}) == 0.5
    assert sd.evaluate(p**q, {p: 2, q: -1}) == 0.5
    assert sd.evaluate(p, {p: True}) == 1.0
    assert sd.evaluate(p * 2, {p: sp.Rational(1, 4)}) == 0.5
    assert sd.evaluate(y, {y: [sp.Integer(1), sp.Rational(1, 2)]}).tolist() == [1.0, 0.5]
    for dtype in ("int8", "uint8", "int32", "float16", ">f8", ">i4", bool):
        got = sd.evaluate(y + 0, {y: np.array([0, 1, 1]).astype(dtype)})
        assert got.dtype == np.float64 and got.tolist() == [0, 1, 1]


def test_unsigned_and_small_integers_do_not_wrap_around():
    for dtype in (np.uint8, np.int8, np.uint64):
        got = sd.evaluate(k - 1, {k: np.zeros(2, dtype=dtype)})
        assert got.dtype == np.int64 and got.tolist() == [-1, -1]
        got = sd.evaluate(k * 100, {k: np.full(2, 100, dtype=dtype)})
        assert got.tolist() == [10000, 10000]
    assert sd.evaluate(k, {k: [1.0, -2.0]}).tolist() == [1, -2]
    assert sd.evaluate(b, {b: [0, 1.0]}).tolist() == [False, True]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_of_results(dtype):
    values = {y: [1.0, 2.0], k: [1, 2], b: [True, False]}
    real = [
        sp.exp(y),
        y + k,
        k / 2,
        sp.exp(k),
        sd.mean(k),
        y * b,
        sd.sum(y),
        sp.sqrt(k),
        k**2 * 1.5,
    ]
    for expression in real:
        used = {s: v for s, v in values.items() if s in expression.free_symbols}
        assert sd.evaluate(expression, used, dtype=dtype).dtype == dtype
    for expression, expected in (
        (k + 1, np.int64), (sd.argmax(y), np.int64), (sd.equal(y, 1), np.bool_), (b, np.bool_),
        (sd.sum(k), np.int64), (sd.one_hot(k, 3), np.int64), (b + b, np.int64),
    ):  # fmt: skip
        used = {s: v for s, v in values.items() if s in expression.free_symbols}
        assert sd.evaluate(expression, used, dtype=dtype).dtype == expected
    assert sd.evaluate(sp.Integer(3), {}, dtype=dtype).dtype == dtype
    assert sd.evaluate(sp.pi, {}, dtype=dtype).dtype == dtype
    assert sd.evaluate(sd.zeros(2), {}, dtype=dtype).dtype == dtype


def test_scalar_results_are_numpy_scalars():
    got = sd.evaluate(sd.sum(w), {w: np.ones(3)})
    assert isinstance(got, np.float64) and not isinstance(got, np.ndarray)
    assert isinstance(sd.evaluate(p, {p: np.array(2.0)}), np.float64)
    assert isinstance(sd.evaluate(sd.argmax(w), {w: np.ones(3)}), np.int64)


def test_a_list_gives_a_list():
    got = sd.evaluate([p + q, p * q, 3], {p: 2, q: 5})
    assert isinstance(got, list) and got == [7, 10, 3]
    assert sd.evaluate([], {}) == []
    # a symbol needs to occur in one of them only
    assert sd.evaluate((p, q), {p: 1, q: 2}) == [1, 2]


# --- like a ufunc ------------------------------------------------------------------------


def test_scalar_expressions_broadcast_over_arrays():
    expression = p * sp.exp(-q)
    rows, columns = np.arange(3.0)[:, None], np.arange(4.0)
    got = sd.evaluate(expression, {p: rows, q: columns})
    np.testing.assert_allclose(got, rows * np.exp(-columns))
    assert sd.evaluate(expression, {p: rows, q: 0.0}).shape == (3, 1)
    assert sd.evaluate(p + 1, {p: np.zeros((2, 0))}).shape == (2, 0)
    assert sd.evaluate(sd.where(p > 0, p, q), {p: [1.0, -1.0], q: 5}).tolist() == [1, 5]
    with pytest.raises(sd.BindingError, match=r"p: \(2,\), q: \(3,\)|q: \(3,\), p: \(2,\)"):
        sd.evaluate(p + q, {p: np.ones(2), q: np.ones(3)})


def test_a_scalar_next_to_a_tensor_stays_a_scalar():
    with pytest.raises(sd.BindingError, match="p has shape"):
        sd.evaluate(p * sd.sum(w), {p: np.ones(3), w: np.ones(3)})


def test_a_constant_in_a_list_broadcasts_to_itself():
    got = sd.evaluate([p, sp.Integer(2)], {p: np.ones(3)})
    assert got[0].shape == (3,) and got[1] == 2


# --- what arrays look like ---------------------------------------------------------------


def views():
    base = np.arange(24.0).reshape(4, 6)
    read_only = np.ascontiguousarray(base[:2, :3])
    read_only.flags.writeable = False
    yield "contiguous", np.ascontiguousarray(base[:2, :3])
    yield "read-only", read_only
    yield "fortran", np.asfortranarray(base[:2, :3])
    yield "transposed", base.T[:2, :3]
    yield "strided", base[::2, ::2]
    yield "reversed", base[1::-1, 2::-1]
    yield "broadcast", np.broadcast_to(base[0, :3], (2, 3))
    yield "big-endian", base[:2, :3].astype(">f8")
    yield "float32", base[:2, :3].astype(np.float32)
    yield "list", base[:2, :3].tolist()
    yield "unaligned", np.frombuffer(b"\0" + base[:2, :3].tobytes(), dtype="u1")[1:].view("f8").reshape(2, 3)  # fmt: skip  # noqa: E501
    yield "empty", np.empty((0, 3))
    yield "masked", np.ma.masked_array(base[:2, :3])


@pytest.mark.parametrize(("kind", "array"), list(views()), ids=[kind for kind, _ in views()])
def test_any_layout(kind, array):
    plain = np.array(array, dtype=float)
    copy = np.array(array)
    weights = np.array([1.0, -2.0, 0.5])
    expression = sd.sum(sd.relu(X @ w - 1) ** 2) + sd.sum(X[..., ::-1] * w)
    got = sd.evaluate(expression, {X: array, w: weights})
    z = np.maximum(plain @ weights - 1, 0)
    assert got == pytest.approx((z**2).sum() + (plain[:, ::-1] * weights).sum())
    gradient = sd.evaluate(sd.gradient(expression, X), {X: array, w: weights})
    right = 2 * z[:, None] * weights + weights[::-1]
    np.testing.assert_allclose(gradient, right)
    np.testing.assert_array_equal(np.array(array), copy)  # the input is as it was


@pytest.mark.parametrize(
    "expression",
    [X, X.T, X[0], X[:, 1:], sd.reshape(X, -1), X[None], sd.broadcast_to(w, 2, 3), X + 0, 1 * X],
    ids=str,
)
def test_results_are_the_callers_own(expression):
    """Writing into a result changes no input, and the other way round."""
    data, weights = DATA.copy(), np.ones(3)
    values = {s: {X: data, w: weights}[s] for s in expression.free_symbols if s in (X, w)}
    got = sd.evaluate(expression, values)
    assert got.flags.writeable
    got[...] = 99
    np.testing.assert_array_equal(data, DATA)
    np.testing.assert_array_equal(weights, np.ones(3))


def test_zero_dimensional_arrays():
    assert sd.evaluate(p + q, {p: np.array(1.0), q: np.float32(2)}) == 3
    s = sd.tensor("s")
    assert sd.evaluate(s * w, {s: np.array(2.0), w: np.ones(3)}).tolist() == [2, 2, 2]


def test_empty_data():
    values = {X: np.empty((0, 3)), w: np.ones(3), y: np.empty(0)}
    loss = sd.sum((X @ w - y) ** 2)
    assert sd.evaluate(loss, values) == 0
    assert sd.evaluate(sd.gradient(loss, w), values).tolist() == [0, 0, 0]
    assert np.isnan(sd.evaluate(sd.mean((X @ w - y) ** 2), values))
    assert sd.evaluate(X @ w, {X: np.empty((0, 3)), w: np.ones(3)}).shape == (0,)


def test_no_warnings_from_numpy():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(sd.evaluate(sp.log(p), {p: -1.0}))
        assert sd.evaluate(1 / p, {p: 0.0}) == np.inf
        assert sd.evaluate(sp.exp(p), {p: 1e4}) == np.inf
        assert sd.evaluate(sd.sigmoid(p), {p: -1e4}) == 0
        assert np.isnan(sd.evaluate(sd.mean(y), {y: np.empty(0)}))


# --- symbolic sizes ----------------------------------------------------------------------


def test_sizes_come_from_the_arrays():
    n = sd.shape(y)[0]
    assert sd.evaluate(sd.sum(y) / n, {y: np.ones(7)}) == 1
    assert sd.evaluate(sd.arange("n") * y, {y: np.ones(3)}).tolist() == [0, 1, 2]
    A = sd.tensor("A", "m", "m")
    with pytest.raises(sd.BindingError, match="m = 3, but A gave m = 2"):
        sd.evaluate(A, {A: np.ones((2, 3))})
    both = sd.concatenate([y, y])
    Z = sd.tensor("Z", sd.shape(both)[0])
    assert sd.evaluate(both + Z, {y: np.ones(2), Z: np.ones(4)}).tolist() == [2] * 4
    with pytest.raises(sd.BindingError, match=r"Z has shape \(2\*n,\) = \(4,\)"):
        sd.evaluate(both + Z, {y: np.ones(2), Z: np.ones(3)})


def test_a_symbol_that_has_dropped_out_may_still_give_a_size():
    gradient = sd.gradient(sd.sum(X), X)
    np.testing.assert_array_equal(sd.evaluate(gradient, {X: DATA}), np.ones((2, 3)))
    assert sd.evaluate(gradient, {X: DATA, w: np.ones(3)}).shape == (2, 3)


def test_what_is_bound_beyond_need():
    """A gradient often contains fewer symbols than its loss, so evaluate does not mind."""
    assert sd.evaluate(p, {p: 1, q: 2}) == 1
    node = to_graph(p)
    with pytest.raises(sd.BindingError, match="does not contain q; remove"):
        bind([node], {p: 1, q: 2}, roots=[node])


def test_values_of_constants():
    assert sd.evaluate(sp.pi, {}) == np.pi
    assert sd.evaluate(sp.E + sp.oo, {}) == np.inf
    assert np.isnan(sd.evaluate(sp.nan, {}))
    assert sd.evaluate(sp.Rational(1, 3), {}) == 1 / 3
    assert sd.evaluate(sp.Float("0.1", 40), {}) == 0.1
    assert sd.evaluate(sp.GoldenRatio, {}) == float(sp.GoldenRatio)
    assert sd.evaluate(2, {}) == 2 and sd.evaluate(np.ones(2), {}).tolist() == [1, 1]
    assert sd.evaluate(sp.Integer(10) ** 30 * p, {p: 1.0}) == 1e30
    assert bool(sd.evaluate(sp.true, {})) is True
    assert sd.evaluate(sp.Gt(p, 1), {p: [0.0, 2.0]}).tolist() == [False, True]
