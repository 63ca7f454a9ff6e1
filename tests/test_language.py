"""The language: what SymPy builds from tensors, shapes, indexing, operands, hostile text."""

import pickle

import numpy as np
import pytest
import sympy as sp
from differences import value
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.expressions import TensorExpression

X = sd.tensor("X", "n", 3)
Y = sd.tensor("Y", "n", 3)
A = sd.tensor("A", 2, 3)
B = sd.tensor("B", 2, 3)
v = sd.tensor("v", 3)
k = sd.tensor("k", "m", dtype="int")
b = sd.tensor("b", 3, dtype="bool")
x = sp.Symbol("x")

RNG = np.random.default_rng(0)
VALUES = {
    X: RNG.normal(size=(4, 3)),
    Y: RNG.normal(size=(4, 3)),
    A: RNG.normal(size=(2, 3)),
    B: RNG.normal(size=(2, 3)),
    v: RNG.normal(size=3),
    k: np.array([0, 2, -1, 1]),
    b: np.array([True, False, True]),
    x: 1.5,
}

# expression -> the same in NumPy
EXPRESSIONS = {
    "sum": (X + Y, lambda X, Y: X + Y),
    "difference": (X - Y, lambda X, Y: X - Y),
    "product": (X * Y, lambda X, Y: X * Y),
    "quotient": (X / Y, lambda X, Y: X / Y),
    "power": (X**2, lambda X: X**2),
    "negative": (-X, lambda X: -X),
    "affine": (2 * X + v, lambda X, v: 2 * X + v),
    "reflected": (1 - 2 / X + 2**X, lambda X: 1 - 2 / X + 2**X),
    "scalar factor": (x * X, lambda x, X: x * X),
    "matmul": (X @ A.T, lambda X, A: X @ A.T),
    "residual": ((X @ v - 1) ** 2, lambda X, v: (X @ v - 1) ** 2),
    "normal equations": (X.T @ (X @ v), lambda X, v: X.T @ (X @ v)),
    "sympy's exp": (sp.exp(A) + B, lambda A, B: np.exp(A) + B),
    "sympy's tanh in ours": (sd.sum(sp.tanh(A), axis=0), lambda A: np.tanh(A).sum(0)),
    "matmul of sympy's": (sd.matmul(sp.exp(A), v), lambda A, v: np.exp(A) @ v),
    "matmul by sympy's": (A @ sp.exp(v), lambda A, v: A @ np.exp(v)),
    "transpose of sympy's": (sd.transpose(sp.exp(A)), lambda A: np.exp(A).T),
    "index of a sum": ((A + B)[0], lambda A, B: (A + B)[0]),
    "index of an index": (A[0][1:], lambda A: A[0][1:]),
    "T of a product": ((A * B).T, lambda A, B: (A * B).T),
    "abs": (abs(A), lambda A: abs(A)),
    "mod": (A % 2, lambda A: A % 2),
    "max": (sp.Max(A, B, 0), lambda A, B: np.maximum(np.maximum(A, B), 0)),
    "relation": (sd.where(A > B, A, B), lambda A, B: np.where(A > B, A, B)),
    "piecewise": (sp.Piecewise((A, A > 0), (v, True)), lambda A, v: np.where(A > 0, A, v)),
    "gather": (A[:, k], lambda A, k: A[:, k]),
    "bool factor": (A * b, lambda A, b: A * b),
    "bools add up": (b + b, lambda b: b.astype(int) + b),
    "stacked": (sd.stack([A[0], A[1], v]), lambda A, v: np.stack([A[0], A[1], v])),
    "clip": (sd.clip(A, -0.5, 0.5), lambda A: np.clip(A, -0.5, 0.5)),
    "unpacked": (sd.stack(list(A[:, :2])), lambda A: A[:, :2]),
    "constant": (sd.constant([1.0, 2.0, 3.0]) * A, lambda A: A * [1.0, 2.0, 3.0]),
    "eye": (A @ sd.eye(3), lambda A: A),
    "two sizes": (sd.sum(X, axis=0) * A, lambda X, A: X.sum(0) * A),
    "mean": (sd.mean(X * Y), lambda X, Y: (X * Y).mean()),
}


def numpy_value(function):
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return function(*(VALUES[{str(s): s for s in VALUES}[n]] for n in names))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_value_and_shape(name):
    expression, function = EXPRESSIONS[name]
    expected = numpy_value(function)
    assert isinstance(expression, sp.Expr)
    np.testing.assert_allclose(value(expression, VALUES), expected, rtol=1e-13, atol=1e-15)
    sizes = {"n": 4, "m": 4}
    shape = tuple(sizes.get(str(d), d) for d in sd.shape(expression))
    assert shape == np.shape(expected)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_sympys_invariants(name):
    expression = EXPRESSIONS[name][0]
    for part in sp.preorder_traversal(expression):
        if part.args:
            again = part.func(*part.args)
            assert again == part
            assert hash(again) == hash(part)
            if isinstance(part, sp.Expr):
                assert to_graph(again) is to_graph(part)
    assert expression.xreplace({}) == expression
    # SymPy's own substitution rebuilds every part
    other = {s: sd.tensor(f"{s.name}_2", *s.shape, dtype=s.dtype)
             for s in expression.free_symbols if isinstance(s, TensorExpression)}  # fmt: skip
    back = expression.xreplace(other).xreplace({new: old for old, new in other.items()})
    np.testing.assert_allclose(value(back, VALUES), value(expression, VALUES))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_pickling(name):
    expression = EXPRESSIONS[name][0]
    again = pickle.loads(pickle.dumps(expression))
    assert again == expression and hash(again) == hash(expression)
    assert type(again) is type(expression)
    assert to_graph(again) is to_graph(expression)


@pytest.mark.parametrize(
    "expression", [X + Y, X * Y, 2 * X, X**2, X - 1, X / 2, -X, (X + 1) * 2, X @ v, X.T, abs(X)]
)
def test_what_sympy_builds_has_operators(expression):
    assert isinstance(expression, TensorExpression)
    assert expression.shape == sd.shape(expression)
    assert expression.ndim == len(expression.shape)
    assert expression.T.shape == expression.shape[::-1]
    assert (expression + 1).shape == expression.shape
    assert expression[None].shape == (1, *expression.shape)


def test_sympy_still_names_its_classes():
    assert isinstance(X + Y, sp.Add) and (X + Y).is_Add
    assert isinstance(X * Y, sp.Mul) and isinstance(X**2, sp.Pow)
    assert (X + Y).func is sp.Add
    assert (X + Y).free_symbols == {X, Y}


@pytest.mark.parametrize(
    ("expression", "shape", "expected"),
    [
        (X - X, ("n", 3), 0),
        (0 * X, ("n", 3), 0),
        (X * 0, ("n", 3), 0),
        (X / X, ("n", 3), 1),
        (X**0, ("n", 3), 1),
        (v - v + X * 0, ("n", 3), 0),
        ((v + X) - X, ("n", 3), None),
        (v * X / X, ("n", 3), None),
        (X * Y - Y * X, ("n", 3), 0),
        (sd.where(X > 0, 1, 1), ("n", 3), 1),
        (sp.S.One**X, ("n", 3), 1),
        (1**X, ("n", 3), 1),
        (sd.maximum(X, sp.oo), ("n", 3), np.inf),
        (sd.exp(X - X), ("n", 3), 1),
        (sd.clip(X - X, 0, 1), ("n", 3), 0),
    ],
    ids=str,
)
def test_what_cancels_keeps_its_shape(expression, shape, expected):
    assert sd.shape(expression) == shape
    assert expression.shape == shape
    got = value(expression, VALUES)
    right = np.broadcast_to(VALUES[v] if expected is None else expected, (4, 3))
    np.testing.assert_allclose(got, right, rtol=1e-14)


def test_shape_attributes():
    assert X.shape == ("n", 3) and X.ndim == 2 and X.T.shape == (3, "n")
    assert len(A) == 2 and [r.shape for r in A] == [(3,), (3,)]
    assert sd.tensor("s").shape == () and sd.tensor("s", dtype="int").dtype == "int"
    assert sd.tensor("t", sp.Integer(2), np.int64(3)).shape == (2, 3)
    assert sd.tensor("t", ("n", 2)).shape == ("n", 2)
    with pytest.raises(sd.InvalidType, match="symbolic"):
        len(X)
    with pytest.raises(sd.InvalidType, match="symbolic"):
        list(X)
    with pytest.raises(sd.InvalidType, match="scalar"):
        len(sd.tensor("s"))


def test_equal_names_shapes_and_dtypes_are_one_tensor():
    assert sd.tensor("X", "n", 3) == X and hash(sd.tensor("X", "n", 3)) == hash(X)
    for other in (sd.tensor("X", 3, 3), sd.tensor("X", "n", 3, dtype="int"), sp.Symbol("X")):
        assert other != X
        assert len({other, X}) == 2
    assert sd.tensor("X", "3") != sd.tensor("X", 3)
    real, positive = sp.Symbol("p"), sp.Symbol("p", positive=True)
    assert sd.evaluate(real - positive, {real: 3, positive: 1}) == 2


def test_a_symbol_may_have_the_name_of_a_size():
    n = sp.Symbol("n")
    expression = n * sd.mean(X) + sd.tensor("n")
    assert sd.evaluate(expression, {n: 2, sd.tensor("n"): 1, X: np.ones((5, 3))}) == 3


# --- NumPy arrays as operands ------------------------------------------------------------


@pytest.mark.parametrize("array", [np.arange(3.0), np.arange(3), np.array([True, False, True])])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("operator", ["+", "-", "*", "/", "**", "@", "%"])
def test_numpy_arrays_on_either_side(array, side, operator):
    import operator as op

    function = {
        "+": op.add, "-": op.sub, "*": op.mul, "/": op.truediv, "**": op.pow, "@": op.matmul,
        "%": op.mod,
    }[operator]  # fmt: skip
    data = np.array([0.5, 1.5, 2.5])
    number = array.astype(int) if array.dtype == bool else array
    symbolic = function(array, v) if side == "left" else function(v, array)
    assert isinstance(symbolic, sp.Expr)
    with np.errstate(all="ignore"):
        expected = function(number, data) if side == "left" else function(data, number)
    np.testing.assert_allclose(sd.evaluate(symbolic, {v: data}), expected)


def test_constants():
    assert sd.constant(3) == 3 and sd.constant(np.float64(0.5)) == 0.5
    assert sd.constant([[1, 2]]).shape == (1, 2)
    assert sd.constant([1.0, 2.0]) == sd.constant(np.array([1.0, 2.0]))
    assert sd.constant([1.0, 2.0]) != sd.constant([1.0, 3.0])
    assert sd.constant([1, 2]) != sd.constant([1.0, 2.0])
    assert sd.constant([1, 2]) != sd.constant([[1, 2]])
    data = np.ones(3)
    expression = v * data
    data[:] = 7
    np.testing.assert_array_equal(sd.evaluate(expression, {v: np.ones(3)}), np.ones(3))
    with pytest.raises(sd.InvalidType, match="object"):
        sd.constant(np.array([object()]))
    with pytest.raises(sd.InvalidType, match="complex"):
        v * np.array([1j, 0, 0])
    with pytest.raises(sd.InvalidType, match=r"sd\.exp"):
        sd.sum(sp.exp(v) * np.ones(3))


def test_arrays_order_terms_the_same_in_every_process():
    import subprocess
    import sys

    program = (
        "import numpy as np, symdiff as sd\n"
        "v = sd.tensor('v', 3)\n"
        "print(v * np.arange(3.0) + v ** 2 * np.ones(3) + np.full(3, 2.0) + np.eye(3)[0])"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(texts) == 1


# --- indexing ----------------------------------------------------------------------------

SHAPE = (4, 3, 5)
CUBE = RNG.normal(size=SHAPE)
KEYS = [
    0, -1, (1, 2), (1, -1, 0), slice(1, 3), slice(None, None, -1), slice(None, None, 2),
    slice(10), slice(-2, None), slice(3, 1), (slice(None), 1), (..., 0), (0, ..., 1), None,
    (None, 0, None), (slice(1, 2), None, ..., slice(None, -1)), ([0, 1, 1],), ([-1, 0], slice(1)),
    (slice(None), [0, 2]), ([0, 1], [0, 2]), ([0, 1], slice(None), [0, 2]), (0, [0, 2]),
    ([0, 2], 0), (0, slice(None), [0, 2]), ([[0, 1], [2, 3]],), ([[0], [1]], [0, 2]),
    (slice(None), [0], [1]), (None, [0, 1]), ([0, 1], None, [0, 1]), (slice(0, 0),), ([],),
    (slice(None), slice(None), [4, 4, 0]), (..., [0, 1], [1, 2]), (slice(4, 0, -2), ..., -1),
]  # fmt: skip


def numpy_style(key):
    """Lists inside a key as integer arrays; an empty list is an integer array too."""
    entries = key if isinstance(key, tuple) else (key,)
    return tuple(np.array(e, dtype=int) if isinstance(e, list) else e for e in entries)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_is_numpys(key):
    cube = sd.tensor("cube", *SHAPE)
    expected = CUBE[numpy_style(key)]
    expression = cube[key if not isinstance(key, list) else (key,)]
    assert sd.shape(expression) == expected.shape
    np.testing.assert_array_equal(sd.evaluate(expression, {cube: CUBE}), expected)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing_with_symbolic_sizes(key):
    cube = sd.tensor("cube", "a", "b", "c")
    steps = [e.step for e in numpy_style(key) if isinstance(e, slice)]
    if any(s not in (None, 1, -1) for s in steps) or key in (slice(10), slice(3, 1)):
        with pytest.raises(sd.SymdiffError):
            sd.evaluate(cube[key], {cube: CUBE})
        return
    if isinstance(key, tuple) and any(
        isinstance(e, slice) and e.step == -1 and e.start is not None for e in key
    ):
        return
    expected = CUBE[numpy_style(key)]
    np.testing.assert_array_equal(sd.evaluate(cube[key], {cube: CUBE}), expected)


@settings(max_examples=150, deadline=None)
@given(
    key=hn.basic_indices(SHAPE, allow_newaxis=True, allow_ellipsis=True, max_dims=6),
)
def test_any_basic_index(key):
    cube = sd.tensor("cube", *SHAPE)
    expected = CUBE[key]
    got = sd.evaluate(cube[key], {cube: CUBE})
    assert np.shape(got) == sd.shape(cube[key]) == expected.shape
    np.testing.assert_array_equal(got, expected)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_mixed_index(data):
    """Index tensors with slices, ints, new axes: shape, value and gradient."""
    cube = sd.tensor("cube", *SHAPE)
    result = data.draw(hn.mutually_broadcastable_shapes(num_shapes=3, max_dims=2, max_side=3))
    key, symbols = [], {}
    for axis, (size, shape) in enumerate(zip(SHAPE, result.input_shapes, strict=True)):
        kind = data.draw(st.sampled_from(["tensor", "int", "slice", "new"]))
        if kind == "tensor":
            symbol = sd.tensor(f"i{axis}", *shape, dtype="int")
            symbols[symbol] = data.draw(
                hn.arrays(np.int64, shape, elements=st.integers(-size, size - 1))
            )
            key.append(symbol)
        elif kind == "int":
            key.append(data.draw(st.integers(-size, size - 1)))
        else:
            if kind == "new":
                key.append(None)
            key.append(data.draw(st.slices(size)))
    expression = cube[tuple(key)]
    plain = tuple(symbols[e] if isinstance(e, sp.Symbol) else e for e in key)
    expected = CUBE[plain]
    got = sd.evaluate(expression, {cube: CUBE, **symbols})
    assert np.shape(got) == sd.shape(expression) == expected.shape
    np.testing.assert_array_equal(got, expected)
    weights = np.arange(1.0, expected.size + 1).reshape(expected.shape)
    if not expected.size:
        return
    gradient = sd.gradient(sd.sum(expression * weights), cube)
    right = np.zeros(SHAPE)
    np.add.at(right, plain, weights)
    np.testing.assert_allclose(value(gradient, {cube: CUBE, **symbols}), right)


def test_index_errors():
    with pytest.raises(sd.IndexOutOfRange, match="index 2 is out of range for axis 0 of A"):
        A[2]
    with pytest.raises(sd.IndexOutOfRange, match="-4"):
        A[0, -4]
    with pytest.raises(IndexError):
        A[2]
    with pytest.raises(sd.ShapeError, match="3 for 2 axes"):
        A[0, 0, 0]
    with pytest.raises(sd.InvalidArgument, match="at most once"):
        A[..., 0, ...]
    with pytest.raises(sd.InvalidType, match=r'v .*dtype real; declare it .*dtype="int"'):
        A[0, v]
    with pytest.raises(sd.ShapeError, match=r"do not broadcast: \(2,\) and \(3,\)"):
        A[[0, 1], [0, 1, 2]]
    for bad in (2, -3, 2**40):
        with pytest.raises(sd.IndexOutOfRange, match="A"):
            sd.evaluate(A[sd.tensor("i", "m", dtype="int")], {A: np.ones((2, 3)),
                        sd.tensor("i", "m", dtype="int"): [0, bad]})  # fmt: skip
    with pytest.raises(sd.IndexOutOfRange):
        sd.evaluate(X[5], {X: np.ones((4, 3))})
    with pytest.raises(sd.SymdiffError):
        A["0"]
    with pytest.raises(sd.SymdiffError):
        A[1.0]
    with pytest.raises(sd.SymdiffError):
        A[object()]


def test_boolean_masks_are_refused_or_numpys():
    """A mask has a result whose size only the data know."""
    mask = sd.tensor("mask", 2, dtype="bool")
    with pytest.raises(sd.SymdiffError, match=r"bool"):
        A[mask]
    with pytest.raises(sd.SymdiffError, match=r"bool"):
        A[np.array([True, False])]
    with pytest.raises(sd.SymdiffError, match=r"bool"):
        A[True]


# --- errors ------------------------------------------------------------------------------

W = sd.tensor("W", 4, 2)
u = sd.tensor("u", "m")


@pytest.mark.parametrize(
    ("build", "parts"),
    [
        (lambda: X + W, ["X with shape (n, 3)", "W with shape (4, 2)"]),
        (lambda: X * u, ["X with shape (n, 3)", "u with shape (m,)"]),
        (lambda: X / W, ["X with shape (n, 3)", "W with shape (4, 2)"]),
        (lambda: X**W, ["X with shape (n, 3)", "W with shape (4, 2)"]),
        (lambda: np.ones(4) * X, ["X with shape (n, 3)", "shape (4,)"]),
        (lambda: X @ W, ["X with shape (n, 3)", "W with shape (4, 2)", "3", "4"]),
        (lambda: X @ x, ["X with shape (n, 3)", "x with shape ()", "use *"]),
        (lambda: sd.where(X > 0, W, 0), ["(n, 3)", "W with shape (4, 2)"]),
        (lambda: sd.logaddexp(X, W), ["X with shape (n, 3)", "W with shape (4, 2)"]),
        (lambda: sd.equal(X, W), ["X with shape (n, 3)", "W with shape (4, 2)"]),
        (lambda: sd.concatenate([X, W], axis=0), ["X with shape (n, 3)", "W with shape (4, 2)"]),
        (lambda: sd.stack([X, W]), ["X", "W", "(n, 3)", "(4, 2)"]),
        (lambda: sd.reshape(X, 4), ["X with shape (n, 3)", "(4,)"]),
        (lambda: sd.reshape(A, -1, 4), ["A with shape (2, 3)", "(-1, 4)"]),
        (lambda: sd.broadcast_to(A, 3, 3), ["A with shape (2, 3)", "(3, 3)"]),
        (lambda: sd.sum(X, axis=2), ["axis 2", "2 axes"]),
        (lambda: sd.transpose(X, (0, 0)), ["X with shape (n, 3)", "(0, 0)"]),
        (lambda: sd.transpose(X, (0, 5)), ["(0, 5)", "2 axes"]),
    ],
)
def test_shape_errors_name_operands_and_shapes(build, parts):
    with pytest.raises(sd.ShapeError) as error:
        build()
    assert isinstance(error.value, ValueError)
    for part in parts:
        assert part in str(error.value)


def test_what_sympy_alone_has_built_is_checked_when_it_is_used():
    with pytest.raises(sd.ShapeError, match=r"X with shape \(n, 3\).*W with shape \(4, 2\)"):
        sd.sum(sp.atan2(X, W))
    with pytest.raises(sd.ShapeError):
        sd.evaluate(sp.Max(X, W), {X: np.ones((2, 3)), W: np.ones((4, 2))})


def test_axis_errors():
    with pytest.raises(sd.InvalidArgument, match="twice"):
        sd.sum(X, axis=(0, -2))
    with pytest.raises(sd.InvalidType, match="axis"):
        sd.sum(X, axis=1.0)
    with pytest.raises(sd.InvalidType, match="axis"):
        sd.sum(X, axis="0")
    with pytest.raises(sd.InvalidArgument, match="argmax"):
        sd.argmax(X, axis=(0, 1))


@pytest.mark.parametrize("shape", [(-1,), (2.0,), (True,), ("",), (None,), (x,), ([2],)])
def test_bad_sizes(shape):
    if shape == ([2],):
        assert sd.tensor("t", *shape).shape == (2,)
        return
    with pytest.raises(sd.SymdiffError):
        sd.tensor("t", *shape)


def test_bad_tensors():
    with pytest.raises(sd.InvalidArgument, match="complex"):
        sd.tensor("t", 2, dtype="complex")
    with pytest.raises(sd.InvalidType, match="name"):
        sd.tensor(3)
    with pytest.raises(sd.InvalidType, match=r"sd\.gradient"):
        (X @ v).diff(v)
    with pytest.raises(sd.InvalidArgument):
        sd.concatenate([])
    with pytest.raises(sd.InvalidArgument):
        sd.stack([])


def test_one_hot_needs_integers():
    with pytest.raises(sd.InvalidType, match=r'v .*dtype="int"'):
        sd.one_hot(v, 3)


# --- text is never run -------------------------------------------------------------------

BOMB = "__import__('os').environ.__setitem__('SYMDIFF_BOMB', '1') or 1"


@pytest.fixture
def unexploded(monkeypatch):
    import os

    monkeypatch.delenv("SYMDIFF_BOMB", raising=False)
    yield
    assert "SYMDIFF_BOMB" not in os.environ


NOT_OPERANDS = {"arange", "eye", "zeros", "ones"}
ENTRY_POINTS = sorted(
    name
    for name in sd.__all__
    if callable(getattr(sd, name)) and not isinstance(getattr(sd, name), (type, sp.Basic))
)


@pytest.mark.parametrize("name", [n for n in ENTRY_POINTS if n not in ("tensor", "parse")])
def test_every_function_refuses_text(name, unexploded):
    function = getattr(sd, name)
    if name in NOT_OPERANDS:  # a string is the name of a size there, and stays one
        assert BOMB in map(str, sd.shape(function(BOMB)))
        return
    calls = [(BOMB,), (BOMB, BOMB), (BOMB, x), (x, BOMB), (BOMB, x, x), (x, BOMB, x), (x, x, BOMB),
             ([BOMB],), ([BOMB, x],), (np.array([BOMB]),), (np.array([BOMB], dtype=object),),
             (x, [BOMB])]  # fmt: skip
    refused = 0
    for arguments in calls:
        try:
            function(*arguments)
        except sd.SymdiffError:
            refused += 1
        except TypeError as error:  # a wrong number of arguments
            assert "argument" in str(error)
    assert refused


@pytest.mark.parametrize("operator", ["__add__", "__rsub__", "__mul__", "__truediv__", "__pow__",
                                      "__matmul__", "__mod__", "__getitem__"])  # fmt: skip
def test_operators_refuse_text(operator, unexploded):
    for operand in (A, A + B, A @ A.T, A.T, sd.relu(A), sd.constant(np.ones((2, 2)))):
        with pytest.raises((sd.SymdiffError, TypeError)):
            getattr(operand, operator)(BOMB)


def test_structural_classes_refuse_text(unexploded):
    from symdiff.structural_classes import STRUCTURAL_CLASSES

    for cls in STRUCTURAL_CLASSES.values():
        for arguments in ((BOMB, sp.Tuple()), (A, BOMB), (BOMB,)):
            with pytest.raises((sd.SymdiffError, sp.SympifyError, TypeError, ValueError, KeyError)):
                cls(*arguments)


HOSTILE = [
    BOMB, "x; import os", "lambda", "None", "E", "I", "pi", "oo", "zoo", "S", "N", "1", "a b", "",
    "x'", '"', "\\", "\n", "{}", "é", "日本", "__class__", "self", "np", "return", "a.b", "x[0]",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_names(name, unexploded):
    s = sp.Symbol(name)
    t = sd.tensor(name, 2)
    loss = sd.sum(t * s) + sp.sin(s)
    got = value(sd.gradient(loss, s), {s: 0.0, t: [1.0, 2.0]})
    assert got == 4
    assert pickle.loads(pickle.dumps(loss)) == loss
    str(loss), repr(loss)
    if name:
        q = sd.tensor("q", name)
        assert sd.evaluate(sd.mean(q), {q: [1.0, 3.0]}) == 2
        str(sd.mean(q))
