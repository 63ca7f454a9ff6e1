"""Text to expressions: the grammar, and everything that is refused."""

import pickle

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.parse import MAX_LENGTH
from symdiff.parse_names import FUNCTIONS

X, A, B = sd.tensor("X", "n", "d"), sd.tensor("A", 3, 3), sd.tensor("B", 3, 4)
w, y, x, z = sd.tensor("w", "d"), sd.tensor("y", "n"), sd.tensor("x", 3), sd.tensor("z", 3)
t = sd.tensor("t", 3, dtype="int")
a, b, c = sp.symbols("a b c")
SHAPES = {"X": ("n", "d"), "A": (3, 3), "B": [3, 4], "w": "d", "y": "n", "x": 3, "z": (3,), "t": t}

CASES = {
    "sum((X @ w - y)**2)": sd.sum((X @ w - y) ** 2),
    "sum((X @ w - y)^2)": sd.sum((X @ w - y) ** 2),
    "1": sp.Integer(1),
    "2.5e-1 * a": 0.25 * a,
    ".5*a": 0.5 * a,
    "1/3*a": a / 3,
    "a - b - c": a - b - c,
    "a / b / c": a / b / c,
    "a / b * c": a * c / b,
    "-a**2": -(a**2),
    "--a": a,
    "+a": a,
    "2**-1": sp.Rational(1, 2),
    "2^3^2": sp.Integer(512),
    "-2^2": sp.Integer(-4),
    "(a + b)*c": (a + b) * c,
    "pi*e^a": sp.pi * sp.exp(a),
    "-inf": -sp.oo,
    "lambda + i": sp.Symbol("lambda") + sp.Symbol("i"),
    "A'": A.T,
    "A.T": A.T,
    "(A')'": A,
    "x' @ A @ x": x @ A @ x,
    "A' @ B": A.T @ B,
    "A * A": A * A,
    "A .* A ./ 2": A * A / 2,
    "2.*x": 2 * x,
    "2./x": 2 / x,
    "x.^2": x**2,
    "x.^-1": x**-1,
    "2 * A @ x": (2 * A) @ x,
    "x[0]": x[0],
    "x[-1]": x[-1],
    "X[:, 1]": X[:, 1],
    "A[1:, :2]": A[1:, :2],
    "A[::2]": A[::2],
    "A[..., 0]": A[..., 0],
    "x[:, None]": x[:, None],
    "x[t]": x[t],
    "A[t, 0]": A[t, 0],
    "A[0][1]": A[0][1],
    "sum(A, axis=0, keepdims=True)": sd.sum(A, axis=0, keepdims=True),
    "sum(A, axis=(0, 1))": sd.sum(A, axis=(0, 1)),
    "sum(A, 1,)": sd.sum(A, 1),
    "max(A, axis=-1)": sd.max(A, axis=-1),
    "maximum(x, 0)": sd.maximum(x, 0),
    "where(x > 0, x, 0)": sd.where(sd.greater(x, 0), x, 0),
    "x <= 1": sd.less_equal(x, 1),
    "x < 1": sd.less(x, 1),
    "x >= z": sd.greater_equal(x, z),
    "x == z": sd.equal(x, z),
    "x != z": sd.not_equal(x, z),
    "||x - z||^2": sd.norm(x - z) ** 2,
    "norm2(x)": sd.norm(x),
    "norm1(x)": sd.sum(sd.absolute(x)),
    "norm(A, 'fro')": sd.norm(A, "fro"),
    "norm(x, inf)": sd.norm(x, np.inf),
    'einsum("ij,j->i", A, x)': sd.einsum("ij,j->i", A, x),
    "einsum('ij,j->i', A, x)'": sd.einsum("ij,j->i", A, x),
    "tr(A)": sd.trace(A),
    "abs(x)": sd.absolute(x),
    "ln(a)": sp.log(a),
    "exp(-x)": sd.exp(-x),
    "stack([x, z], axis=1)": sd.stack([x, z], axis=1),
    "concatenate([x, z])": sd.concatenate([x, z]),
    "reshape(A, (9,))": sd.reshape(A, 9),
    "reshape(A, -1)": sd.reshape(A, -1),
    "zeros(n, 2)": sd.zeros("n", 2),
    "eye(3) @ x": sd.eye(3) @ x,
    "sum(y)/n": sd.mean(y),
    "mse(X @ w, y, reduction='sum')": sd.losses.mse(X @ w, y, reduction="sum"),
    "cross_entropy(B, t)": sd.losses.cross_entropy(B, t),
    "a\n + b\t": a + b,
}


@pytest.mark.parametrize("text", CASES)
def test_reads(text):
    assert sd.parse(text, **SHAPES) == CASES[text]


def test_shapes():
    assert sd.parse("v", v=()) == sp.Symbol("v")
    assert type(sd.parse("v")) is sp.Symbol
    assert sd.parse("v", v=X) is X
    assert sd.parse("2*v", v=a + b) == 2 * (a + b)
    assert sd.parse("v", v=X.shape[0]).shape == ("n",)
    assert sd.parse("v", v=sp.Integer(4)).shape == (4,)
    assert sd.parse("v", v=X.shape).shape == ("n", "d")
    assert sd.parse("text + shapes", text=3, shapes=()).shape == (3,)
    assert sd.parse("e*pi", e=(), pi=2).shape == (2,)
    assert sd.parse("sum * norm", sum=2, norm=()).shape == (2,)


def test_names_of_any_script():
    micro, mu = "\u00b5", "\u03bc"
    assert sd.parse(f"{micro} + {mu}").free_symbols == {sp.Symbol(micro), sp.Symbol(mu)}
    assert sd.parse(micro, µ=3).shape == (3,)  # Python reads this keyword as the Greek letter
    assert sd.parse("β1 * größe") == sp.Symbol("β1") * sp.Symbol("größe")


def test_gradient_of_a_text():
    loss = sd.parse("sum((X @ w - y)**2)", X=("n", "d"), w="d", y="n")
    values = {X: [[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]], w: [0.5, -1.0], y: [1.0, 0.0, 2.0]}
    got = sd.evaluate(sd.gradient(loss, w), values)
    matrix, vector, target = map(np.array, values.values())
    np.testing.assert_allclose(got, 2 * matrix.T @ (matrix @ vector - target))


def test_every_function_of_the_contract_can_be_called():
    names = """sum mean prod max min var std logsumexp softmax log_softmax norm trace det logdet
        inv solve cholesky transpose reshape broadcast_to concatenate stack take where maximum
        minimum clip einsum matmul dot outer kron diag cumsum argmax one_hot equal not_equal less
        less_equal greater greater_equal logical_and logical_or logical_not eye zeros ones arange
        sigmoid softplus log_sigmoid relu leaky_relu elu gelu silu expit logit xlogy log1p expm1
        logaddexp erf erfc loggamma digamma exp log sqrt sin cos tanh""".split()
    assert [name for name in names if hasattr(sd, name) and name not in FUNCTIONS] == []
    assert set(sd.losses.__all__) <= set(FUNCTIONS)


REFUSED = {
    "": (1, "empty"),
    "a * * b": (5, 'expected a number, a name or "(", got "*"'),
    "a +": (4, "the end of the text"),
    "(a": (3, 'or ")"'),
    "a)": (2, "or the end"),
    "a b": (3, "expected an operator"),
    "2a": (2, "expected an operator"),
    "2j": (2, "expected an operator"),
    "1_000": (2, "expected an operator"),
    "a, b": (2, "expected an operator"),
    "(a, b)": (1, "tuple"),
    "a = b": (3, "=="),
    "a < b < c": (7, "chained"),
    "X @ y": (3, "matmul"),
    "a + X + y": (7, "do not broadcast"),
    "X * y": (3, "do not broadcast"),
    "x[": (3, "the end"),
    "x[]": (3, "index"),
    "x[3]": (2, "out of range"),
    "x[0.5]": (2, "int"),
    "x[0, 1]": (2, "too many"),
    "x[0:1:2:3]": (8, "expected"),
    "x[(0, 1)]": (3, "tuple"),
    "a[0]": (2, "too many"),
    "sin a": (1, "write sin(...)"),
    "summ(x)": (1, "did you mean sum?"),
    "a(b)": (1, "no function"),
    "x(b)": (1, "x*(...)"),
    "max(x, 0)": (1, "maximum(a, b)"),
    "exp()": (1, "needs an operand"),
    "exp(a, b)": (1, "takes 1 operand, got 2"),
    "sum(x, axis=5)": (1, "axis 5"),
    "sum(x, axes=0)": (1, "axes"),
    "sum(x, axis=0, axis=0)": (16, "twice"),
    "sum(axis=0, x)": (13, "without a name"),
    "sum(x": (6, '")"'),
    "A^2'": (4, "(A**n)'"),
    "||A||": (1, 'norm(A, "fro")'),
    "a^2²": (4, "powers"),
    "x²": (1, "powers"),
    "Aᵀ": (1, "A.T"),
    "a & b": (3, "logical_and"),
    "1/0": (2, "zoo"),
    "1e999": (1, "too large"),
    "None": (1, "NoneType"),
}


@pytest.mark.parametrize("text", REFUSED)
def test_errors_point_at_the_column(text):
    column, message = REFUSED[text]
    with pytest.raises(sd.ParseError) as caught:
        sd.parse(text, **SHAPES)
    error = caught.value
    assert isinstance(error, sd.SymdiffError) and isinstance(error, ValueError)
    said, line, mark = str(error).rsplit("\n", 2)
    assert message in said
    assert error.column == column and f"column {column}" in said
    assert line.strip() == text.strip()
    assert mark.index("^") == 4 + column - 1


def test_shape_errors_are_shape_errors_too():
    with pytest.raises(sd.ShapeError):
        sd.parse("X @ y", **SHAPES)
    with pytest.raises(sd.ParseError) as caught:
        sd.parse("a ** * b")
    assert pickle.loads(pickle.dumps(caught.value)).column == 6


def test_the_mark_of_a_long_text():
    text = "a + " * 1000 + "* b" + " + a" * 1000
    with pytest.raises(sd.ParseError) as caught:
        sd.parse(text)
    _, line, mark = str(caught.value).split("\n")
    assert len(line) < 120
    assert line[mark.index("^")] == "*"


HOSTILE = [
    "__import__('os')", "x.__class__", "().__class__.__bases__", "getattr(x, 'T')", "x.shape",
    "eval('1')", "exec(\"1\")", "open('/etc/passwd')", "lambda: 0", "lambda x: x", "'abc'", '"abc"',
    "x; y", "import os", "[x for x in y]", "{a: b}", "f'{a}'", "a if b else c", "x := 3", "@x",
    "S('1')", "sympify('1')", "tensor('x', 3)", "constant(x)", "gradient(a, a)", "parse('1')",
    "a\x00b", "`a`", "$a", "\\", "#", "a # b", "sum.__globals__", "sum(x).__class__", "x['a']",
    "exp(x, evaluate=False)", "norm(x, '__class__')", "sqrt(x, a)", "einsum('{0}', x)", "a % b",
    "einsum('ii->__import__', A)", "__builtins__", "__x__ + 1", "\u202ea", "(((", ")))", "'" * 9,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused(text):
    with pytest.raises(sd.ParseError):
        sd.parse(text, **SHAPES)


TOO_MUCH = [
    "x" * 10**6, "1+" * (MAX_LENGTH // 2) + "1+1", "(" * 50_000, "f(" * 30_000, "[" * 50_000,
    "sin(" * 20_000, "a^" * 40_000 + "a", "||" * 40_000, "9" * 90_000, "x" * 90_000, "9^9^9",
    "(9^9999)^9999", "(2*a)^9^9", "2^(3^99)", "exp(10^9*log(2))", "e^(10^9*log(2))",
    "loggamma(10^9)", "digamma(10^9)", "tanh(" * 30 + "a" + ")" * 30, "((" * 31 + "a" + "))" * 31,
]  # fmt: skip


@pytest.mark.parametrize("text", TOO_MUCH, ids=lambda text: text[:12])
def test_text_that_takes_too_much_is_refused(text):
    with pytest.raises(sd.ParseError) as caught:
        sd.parse(text)
    assert len(str(caught.value)) < 500


def test_long_and_deep_text_that_is_read():
    total = sd.parse(" + ".join(f"a{i}*b{i}" for i in range(5000)))
    assert len(total.args) == 5000
    assert sd.parse("(" * 50 + "a" + ")" * 50) == a
    assert sd.parse("-" * 1001 + "a") == -a
    assert sd.parse("sin(" * 50 + "a" + ")" * 50).func == sp.sin
    assert sd.parse("*".join("a" * 1000)) == a**1000


@pytest.mark.parametrize("text", [None, 3, b"a", sp.Symbol("a")])
def test_what_is_not_text_is_refused(text):
    with pytest.raises(sd.InvalidType):
        sd.parse(text)


@pytest.mark.parametrize("entry", ["n, d", "", "2n", -1, 1.5, ("n", None)])
def test_bad_shapes_are_refused(entry):
    with pytest.raises(sd.SymdiffError):
        sd.parse("v", v=entry)
