"""Walks the table of structural operations: value and derivatives against NumPy."""

import numpy as np
import pytest
import sympy as sp
from differences import check, finite_difference, value
from scipy.special import logsumexp

import symdiff as sd
from symdiff.bridge import to_graph, to_sympy
from symdiff.graph import apply, number, walk
from symdiff.structural import STRUCTURAL
from symdiff.structural_classes import RandomUniform


def regular(x):
    """Far from singular, so that finite differences are accurate."""
    return x + 4 * sd.eye(sd.shape(x)[-1])


def solve(a, b):
    return np.linalg.solve(a, b[:, None])[..., 0] if b.ndim == 1 else np.linalg.solve(a, b)


# row -> (what a user writes, the same in NumPy, shapes of the real operands)
def uniform(seed, step, site, shape):
    """The documented hash, in Python's integers."""
    golden, last = 0x9E3779B97F4A7C15, 2**64 - 1

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & last
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & last
        return z ^ (z >> 31)

    result = np.empty(shape)
    for index, place in enumerate(np.ndindex(*shape)):
        z = mix((seed + golden) & last)
        for part in (site, step, index):
            z = mix((z + golden * (part + 1)) & last)
        result[place] = (z >> 40) / 2**24
    return result


def recurrent(x, w):
    h, outputs = x[0] / 2, []
    for e in x:
        outputs.append(h * e)
        h = np.tanh(h @ w + e)
    return h, np.stack(outputs)


def padded(x, padding, fill=0.0):
    return np.pad(x, [(0, 0), (0, 0), *padding], constant_values=fill) if padding else x


def convolved(x, k, strides, padding=None):
    """The definition, one element of the result at a time."""
    x = padded(x, padding)
    spatial = [(d - w) // s + 1 for d, w, s in zip(x.shape[2:], k.shape[2:], strides, strict=True)]
    result = np.empty((len(x), len(k), *spatial))
    for n, o, *place in np.ndindex(*result.shape):
        part = tuple(
            slice(s * p, s * p + w) for s, p, w in zip(strides, place, k.shape[2:], strict=True)
        )
        result[(n, o, *place)] = np.sum(x[(n, slice(None), *part)] * k[o])
    return result


def pooled(x, size, strides, function, padding=None, fill=0.0):
    x = padded(x, padding, fill)
    rows, columns = ((d - w) // s + 1 for d, w, s in zip(x.shape[2:], size, strides, strict=True))
    result = np.empty((*x.shape[:2], rows, columns))
    for n, c, i, j in np.ndindex(*result.shape):
        (a, b), (s, t) = size, strides
        result[n, c, i, j] = function(x[n, c, s * i : s * i + a, t * j : t * j + b])
    return result


CASES = {
    "sum": [
        (lambda x: sd.sum(x), lambda x: x.sum(), [(2, 3)]),
        (lambda x: sd.sum(x), lambda x: x, [()]),
        (lambda x: sd.sum(x, axis=0), lambda x: x.sum(0), [(2, 3)]),
        (lambda x: sd.sum(x, axis=-1, keepdims=True), lambda x: x.sum(-1, keepdims=True), [(2, 3)]),
        (lambda x: sd.sum(x, axis=(0, 2)), lambda x: x.sum((0, 2)), [(2, 3, 2)]),
        (lambda x: sd.sum(x, axis=1), lambda x: x.sum(1), [(2, 1)]),
        (lambda x: sd.mean(x, axis=(1, -1)), lambda x: x.mean((1, -1)), [(2, 3, 2)]),
        (lambda x: sd.var(x, axis=1, ddof=1), lambda x: x.var(1, ddof=1), [(2, 3)]),
        (lambda x: sd.std(x, keepdims=True), lambda x: x.std(keepdims=True), [(2, 3)]),
        (lambda x: sd.sum(3 * x), lambda x: x.sum() * 3, [(2, 3)]),
    ],
    "max": [
        (lambda x: sd.max(x), lambda x: x.max(), [(2, 3)]),
        (lambda x: sd.max(x, axis=1), lambda x: x.max(1), [(2, 3)]),
        (lambda x: sd.max(x, axis=0, keepdims=True), lambda x: x.max(0, keepdims=True), [(2, 3)]),
        (lambda x: sd.max(x, axis=(0, 2)), lambda x: x.max((0, 2)), [(2, 3, 2)]),
    ],
    "min": [
        (lambda x: sd.min(x), lambda x: x.min(), [(2, 3)]),
        (lambda x: sd.min(x, axis=1), lambda x: x.min(1), [(2, 3)]),
        (lambda x: sd.min(x, axis=0, keepdims=True), lambda x: x.min(0, keepdims=True), [(2, 3)]),
        (lambda x: sd.min(x, axis=(0, 2)), lambda x: x.min((0, 2)), [(2, 3, 2)]),
    ],
    "logsumexp": [
        (lambda x: sd.logsumexp(x), lambda x: logsumexp(x), [(2, 3)]),
        (lambda x: sd.logsumexp(x, axis=1), lambda x: logsumexp(x, 1), [(2, 3)]),
        (
            lambda x: sd.logsumexp(x, axis=0, keepdims=True),
            lambda x: logsumexp(x, 0, keepdims=True),
            [(2, 3)],
        ),
        (lambda x: sd.logsumexp(x, axis=(0, 2)), lambda x: logsumexp(x, (0, 2)), [(2, 3, 2)]),
        (lambda x: sd.softmax(x), lambda x: np.exp(x - logsumexp(x, 1)[:, None]), [(2, 3)]),
        (lambda x: sd.log_softmax(x, axis=0), lambda x: x - logsumexp(x, 0), [(2, 3)]),
    ],
    "argmax": [
        (lambda x: sd.argmax(x), lambda x: x.argmax(), [(2, 3)]),
        (lambda x: sd.argmax(x, axis=1), lambda x: x.argmax(1), [(2, 3)]),
        (lambda x: sd.argmax(x, axis=0), lambda x: x.argmax(0), [(2, 3, 2)]),
    ],
    "argmin": [
        (lambda x: sd.argmin(x), lambda x: x.argmin(), [(2, 3)]),
        (lambda x: sd.argmin(x, axis=-1), lambda x: x.argmin(-1), [(2, 3)]),
    ],
    "matmul": [
        (sd.matmul, np.matmul, shapes)
        for shapes in [
            [(3,), (3,)],
            [(2, 3), (3,)],
            [(2,), (2, 3)],
            [(2, 3), (3, 4)],
            [(5, 2, 3), (5, 3, 2)],
            [(5, 2, 3), (3, 2)],
            [(2, 3), (5, 3, 2)],
            [(4, 1, 2, 3), (5, 3, 2)],
            [(3,), (5, 3, 2)],
            [(5, 2, 3), (3,)],
            [(1, 3), (3, 1)],
        ]
    ],
    "prod": [
        (lambda x: sd.prod(x), lambda x: x.prod(), [(2, 3)]),
        (lambda x: sd.prod(x, axis=0), lambda x: x.prod(0), [(2, 3)]),
        (
            lambda x: sd.prod(x, axis=-1, keepdims=True),
            lambda x: x.prod(-1, keepdims=True),
            [(2, 3)],
        ),
        (lambda x: sd.prod(x, axis=(0, 2)), lambda x: x.prod((0, 2)), [(2, 3, 2)]),
        (lambda x: sd.prod(x, axis=1), lambda x: x[:, 0], [(2, 1)]),
    ],
    "prod_others": [
        (lambda x: sd.prod_others(x, 0), lambda x: x.prod() / x, [(4,)]),
        (lambda x: sd.prod_others(x, 1), lambda x: x.prod(1, keepdims=True) / x, [(2, 3, 2)]),
        (lambda x: sd.prod_others(x, 0), lambda x: np.ones((1, 3)), [(1, 3)]),
    ],
    "cumsum": [
        (lambda x: sd.cumsum(x), lambda x: x.cumsum(), [(2, 3)]),
        (lambda x: sd.cumsum(x, axis=0), lambda x: x.cumsum(0), [(2, 3)]),
        (lambda x: sd.cumsum(x, axis=-2), lambda x: x.cumsum(1), [(2, 3, 2)]),
    ],
    "det": [
        (lambda x: sd.det(x), np.linalg.det, [(3, 3)]),
        (lambda x: sd.det(x), np.linalg.det, [(2, 3, 3)]),
        (lambda x: sd.det(x), np.linalg.det, [(1, 1)]),
    ],
    "logdet": [
        (lambda x: sd.logdet(x), lambda x: np.linalg.slogdet(x)[1], [(3, 3)]),
        (lambda x: sd.logdet(x), lambda x: np.linalg.slogdet(x)[1], [(4, 2, 2)]),
    ],
    "inv": [
        (lambda x: sd.inv(regular(x)), lambda x: np.linalg.inv(x + 4 * np.eye(x.shape[-1])), [s])
        for s in [(3, 3), (2, 4, 2, 2)]
    ],
    "solve": [
        (
            lambda x, b: sd.solve(regular(x), b),
            lambda x, b: solve(x + 4 * np.eye(x.shape[-1]), b),
            shapes,
        )
        for shapes in [
            [(3, 3), (3,)],
            [(3, 3), (3, 2)],
            [(2, 3, 3), (2, 3, 1)],
            [(3, 3), (2, 3, 2)],
            [(4, 1, 2, 2), (3, 2, 2)],
            [(2, 3, 3), (3,)],
        ]
    ],
    "cholesky": [
        (
            lambda x, axes=axes: sd.cholesky(x @ sd.transpose(x, axes) + sd.eye(x.shape[-1])),
            lambda x: np.linalg.cholesky(x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])),
            [shape],
        )
        for axes, shape in [((1, 0), (3, 3)), ((0, 2, 1), (2, 2, 2))]
    ],
    "convolve": [
        (sd.conv1d, lambda x, k: convolved(x, k, (1,)), [(2, 3, 5), (4, 3, 2)]),
        (
            lambda x, k: sd.conv1d(x, k, 2, 1),
            lambda x, k: convolved(x, k, (2,), [(1, 1)]),
            [(2, 1, 5), (2, 1, 3)],
        ),
        (sd.conv2d, lambda x, k: convolved(x, k, (1, 1)), [(2, 3, 4, 5), (4, 3, 2, 3)]),
        (
            lambda x, k: sd.conv2d(x, k, (2, 1), (1, 0)),
            lambda x, k: convolved(x, k, (2, 1), [(1, 1), (0, 0)]),
            [(2, 2, 5, 4), (1, 2, 3, 2)],
        ),
        (
            lambda x, k: sd.conv2d(x, k, padding="same"),
            lambda x, k: convolved(x, k, (1, 1), [(0, 1), (1, 1)]),
            [(1, 2, 3, 4), (2, 2, 2, 3)],
        ),
        (
            lambda x, k: sd.conv2d(x, k, 2, "same"),
            lambda x, k: convolved(x, k, (2, 2), [(0, 1), (1, 1)]),
            [(1, 1, 4, 5), (1, 1, 3, 3)],
        ),
    ],
    "convolve_transposed": [],  # what `convolve` has as its adjoints
    "convolve_kernel": [],
    "windows": [
        (
            lambda x: sd.max_pool2d(x, 2),
            lambda x: pooled(x, (2, 2), (2, 2), np.max),
            [(2, 3, 4, 5)],
        ),
        (
            lambda x: sd.max_pool2d(x, (2, 3), 1, padding=(0, 1)),
            lambda x: pooled(x, (2, 3), (1, 1), np.max, [(0, 0), (1, 1)], -np.inf),
            [(2, 1, 4, 3)],
        ),
        (
            lambda x: sd.max_pool2d(x, 2, padding="same"),
            lambda x: pooled(x, (2, 2), (2, 2), np.max, [(0, 1), (0, 0)], -np.inf),
            [(2, 1, 3, 4)],
        ),
        (
            lambda x: sd.avg_pool2d(x, 3, 2),
            lambda x: pooled(x, (3, 3), (2, 2), np.mean),
            [(2, 1, 5, 7)],
        ),
        (
            lambda x: sd.avg_pool2d(x, 2, 1, 1),
            lambda x: pooled(x, (2, 2), (1, 1), np.mean, [(1, 1), (1, 1)]),
            [(2, 1, 3, 2)],
        ),
        (
            lambda x: sd.avg_pool2d(x, 2, 1, "same"),
            lambda x: pooled(x, (2, 2), (1, 1), np.nanmean, [(0, 1), (0, 1)], np.nan),
            [(1, 2, 3, 2)],
        ),
    ],
    "overlap_add": [],  # what `windows` has as its adjoint
    "scan": [
        (
            lambda x, w: sd.scan(lambda h, e: (sd.tanh(h @ w + e), h * e), x[0] / 2, x)[0],
            lambda x, w: recurrent(x, w)[0],
            [(4, 3), (3, 3)],
        ),
        (
            lambda x, w: sd.scan(lambda h, e: (sd.tanh(h @ w + e), h * e), x[0] / 2, x)[1],
            lambda x, w: recurrent(x, w)[1],
            [(4, 3), (3, 3)],
        ),
        (
            lambda x, y: sd.scan(lambda c, e: (c + e[0] * e[1], c), 1.0, (x, y), reverse=True)[1],
            lambda x, y: 1 + np.concatenate([np.cumsum((x * y)[:0:-1])[::-1], [0.0]]),
            [(4,), (4,)],
        ),
        (
            lambda x: sd.sum(
                sd.stack(sd.scan(lambda c, e: ((c[1], c[0] * e), None), (x[1], x[0]), x)[0])
            ),
            lambda x: x[1] * np.prod(x[::2]) + x[0] * np.prod(x[1::2]),
            [(4,)],
        ),
    ],
    "norm": [
        (lambda x: sd.norm(x), lambda x: np.sqrt((x**2).sum()), [(2, 3)]),
        (lambda x: sd.norm(x, axis=-1), lambda x: np.sqrt((x**2).sum(-1)), [(2, 3)]),
        (
            lambda x: sd.norm(x, axis=0, keepdims=True),
            lambda x: np.sqrt((x**2).sum(0, keepdims=True)),
            [(2, 3)],
        ),
    ],
    "random_uniform": [
        (
            lambda x: x * RandomUniform.make([sp.Integer(5), sp.Integer(3)], (7, sd.shape(x))),
            lambda x: x * uniform(5, 3, 7, x.shape),
            [(2, 3)],
        ),
    ],
    "transpose": [
        (lambda x: sd.transpose(x), lambda x: x.T, [(2, 3)]),
        (lambda x: sd.transpose(x), lambda x: x.T, [(2, 3, 4)]),
        (lambda x: sd.transpose(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0), [(2, 3, 4)]),
        (lambda x: sd.transpose(x, (-1, 0, 1)), lambda x: x.transpose(2, 0, 1), [(2, 3, 4)]),
        (lambda x: sd.transpose(x), lambda x: x, [(3,)]),
    ],
    "reshape": [
        (lambda x: sd.reshape(x, 3, 2), lambda x: x.reshape(3, 2), [(2, 3)]),
        (lambda x: sd.reshape(x, (-1,)), lambda x: x.ravel(), [(2, 3)]),
        (lambda x: sd.reshape(x, 1, -1, 1), lambda x: x.reshape(1, -1, 1), [(2, 3)]),
        (lambda x: sd.reshape(x, 1, 1), lambda x: x.reshape(1, 1), [()]),
        (lambda x: sd.reshape(x, ()), lambda x: x.reshape(()), [(1, 1)]),
    ],
    "broadcast_to": [
        (lambda x: sd.broadcast_to(x, 2, 3), lambda x: np.broadcast_to(x, (2, 3)), [(3,)]),
        (lambda x: sd.broadcast_to(x, (2, 3)), lambda x: np.broadcast_to(x, (2, 3)), [(2, 1)]),
        (lambda x: sd.broadcast_to(x, 2, 3), lambda x: np.broadcast_to(x, (2, 3)), [()]),
        (lambda x: sd.broadcast_to(x, 4, 2, 3), lambda x: np.broadcast_to(x, (4, 2, 3)), [(1, 3)]),
    ],
    "index": [
        (lambda x: x[0], lambda x: x[0], [(3, 4)]),
        (lambda x: x[-1, 1:3], lambda x: x[-1, 1:3], [(3, 4)]),
        (lambda x: x[..., None, ::-1], lambda x: x[..., None, ::-1], [(3, 4)]),
        (lambda x: x[[2, 0, 2, -1]], lambda x: x[[2, 0, 2, -1]], [(3, 4)]),
        (lambda x: x[:, [1, 1]], lambda x: x[:, [1, 1]], [(3, 4)]),
        (lambda x: x[[0, 0], [1, -1]], lambda x: x[[0, 0], [1, -1]], [(3, 4)]),
        (lambda x: x[[0, 2], :, 1], lambda x: x[[0, 2], :, 1], [(3, 2, 4)]),
        (lambda x: x[:, [0, 1], 1], lambda x: x[:, [0, 1], 1], [(3, 2, 4)]),
        (lambda x: sd.take(x, [2, 2], axis=0), lambda x: x.take([2, 2], 0), [(3, 2)]),
        (lambda x: sd.take(x, [5, 0]), lambda x: x.take([5, 0]), [(3, 2)]),
    ],
    "index_add": [],  # what `index` has as its adjoint; see test_index_add
    "one_hot": [
        (lambda x: sd.one_hot(sd.argmax(x, 1), 3), lambda x: np.eye(3)[x.argmax(1)], [(2, 3)]),
    ],
    "concatenate": [
        (lambda a, b: sd.concatenate([a, b]), lambda a, b: np.concatenate([a, b]), [(2,), (3,)]),
        (
            lambda a, b, c: sd.concatenate([a, b, c], axis=-1),
            lambda a, b, c: np.concatenate([a, b, c], axis=-1),
            [(2, 1), (2, 3), (2, 2)],
        ),
        (lambda a, b: sd.stack([a, b]), lambda a, b: np.stack([a, b]), [(2, 3), (2, 3)]),
        (lambda a, b: sd.stack([a, b], -1), lambda a, b: np.stack([a, b], -1), [(2, 3), (2, 3)]),
        (lambda a: sd.concatenate([a, a], 1), lambda a: np.concatenate([a, a], 1), [(2, 3)]),
    ],
    "symbol": [(lambda x: x, lambda x: x, [(2, 3)])],
    "number": [(lambda x: x * 0 + sp.Rational(1, 3), lambda x: x * 0 + 1 / 3, [(2, 3)])],
    "array": [(lambda x: x + np.arange(3), lambda x: x + np.arange(3), [(2, 3)])],
    "size": [(lambda x: x / sd.shape(x)[0], lambda x: x / x.shape[0], [(2, 3)])],
    "arange": [
        (lambda x: x * sd.arange(sd.shape(x)[1]), lambda x: x * np.arange(x.shape[1]), [(2, 3)])
    ],
}

LIST = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


def setup(name, i, symbolic=False):
    build, reference, shapes = CASES[name][i]
    rng = np.random.default_rng([i, *map(ord, name)])
    arrays = [rng.normal(size=s) for s in shapes]
    # one size for each length, so that equal sizes are equal names; 1 stays 1
    symbols = [
        sd.tensor(f"x{k}", *(f"n{d}" if symbolic and d != 1 else d for d in s))
        for k, s in enumerate(shapes)
    ]
    expression = build(*symbols)
    return expression, symbols, dict(zip(symbols, arrays, strict=True)), reference(*arrays)


def projected(expression, values, seed=0):
    """A random linear form of the elements, as a loss."""
    size = np.shape(value(expression, values))
    weights = np.random.default_rng(seed).normal(size=size)
    return (
        sd.sum(expression * weights)
        if all(isinstance(d, int) for d in sd.shape(expression))
        else (sd.sum(expression * sd.sin(1.0 + sum_of_places(expression))))
    )


def sum_of_places(expression):
    """A number for each element, for shapes that are symbolic."""
    total = 0
    rank = len(sd.shape(expression))
    for axis, size in enumerate(sd.shape(expression)):
        place = sd.reshape(sd.arange(size), *[size if k == axis else 1 for k in range(rank)])
        total = total + (axis + 0.7) * place
    return total


def test_every_row_has_a_case():
    assert set(CASES) == set(STRUCTURAL), set(CASES) ^ set(STRUCTURAL)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_the_case_uses_its_row(name, i):
    expression = setup(name, i, symbolic=name == "size")[0]
    kinds = {n.operation for n in walk([to_graph(expression)])}
    trivial = [("sum", 1), ("transpose", 4)]
    assert name in kinds or (name, i) in trivial


@pytest.mark.parametrize(("name", "i"), LIST)
def test_value(name, i):
    expression, _, values, expected = setup(name, i)
    got = value(expression, values)
    assert sd.shape(expression) == np.shape(expected) == np.shape(got)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)
    single = value(expression, values, dtype="float32")
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=1e-5)
    if to_graph(expression).dtype == "real":
        assert single.dtype == np.float32


NAMES_A_SIZE = {
    ("reshape", 0), ("sum", 5),
    *((n, i) for n, i in LIST if n in ("broadcast_to", "array")),
    *((n, i) for n, i in LIST if n in ("convolve", "windows")),  # see test_convolution
    *((n, i) for n, i in LIST if n in ("index", "one_hot")),  # see test_language
}  # fmt: skip
"""Cases whose text holds a size."""


@pytest.mark.parametrize(("name", "i"), [case for case in LIST if case not in NAMES_A_SIZE])
def test_value_with_symbolic_sizes(name, i):
    expression, symbols, values, expected = setup(name, i, symbolic=True)
    got = sd.evaluate(expression, values)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)
    if STRUCTURAL[name].differentiable:
        loss = projected(expression, values)
        if sd.shape(loss) == ():
            check(loss, symbols, values)


@pytest.mark.parametrize(("name", "i"), LIST)
def test_first_and_second_derivative(name, i):
    expression, symbols, values, _ = setup(name, i)
    if name in ("argmax", "argmin", "one_hot"):
        for gradient in sd.gradient(sd.sum(expression) + 0.0, symbols):
            assert not np.any(value(gradient, values))
        return
    for first in check(projected(expression, values), symbols, values):
        check(projected(first, values, seed=1), symbols, values, rtol=1e-6, atol=1e-7)
    nonlinear = projected(sd.tanh(expression), values, seed=2)  # the adjoint depends on data
    check(nonlinear, symbols, values)


def test_index_add():
    g = sd.tensor("g", 4, 2)
    node = apply(
        "index_add",
        to_graph(g),
        to_graph(sd.constant([2, 0, 2, -1])),
        attributes=((("tensor", 0), ("slice", 0, 2, 1)), (3, 2)),
    )
    (expression,) = to_sympy([node])
    data = np.arange(8.0).reshape(4, 2)
    expected = np.zeros((3, 2))
    np.add.at(expected, [2, 0, 2, -1], data)
    np.testing.assert_array_equal(sd.evaluate(expression, {g: data}), expected)
    check(sd.sum(sp.sin(expression)), [g], {g: data})


def test_the_gradient_of_gathering_adds_up_repeated_rows():
    table, ids = sd.tensor("table", "v", 2), sd.tensor("ids", "n", dtype="int")
    gradient = sd.gradient(sd.sum(table[ids]), table)
    got = sd.evaluate(gradient, {table: np.zeros((4, 2)), ids: [1, 1, 3]})
    np.testing.assert_array_equal(got, [[0, 0], [2, 2], [0, 0], [1, 1]])


def test_int_and_bool_operands():
    k, b = sd.tensor("k", 3, dtype="int"), sd.tensor("b", 3, dtype="bool")
    values = {k: [1, 2, 4], b: [True, False, True]}
    for expression, expected in [
        (sd.sum(k), 7),
        (sd.sum(b), 2),
        (sd.max(k), 4),
        (sd.max(b), 1),
        (k @ k, 21),
        (b @ k, 5),
        (sd.prod(k), 8),
        (sd.prod(b), 0),
        (sd.cumsum(b)[-1], 2),
    ]:
        got = value(expression, values)
        assert got == expected and got.dtype == np.int64
    assert value(sd.mean(b), values) == pytest.approx(2 / 3)
    assert value(sd.logsumexp(k), values) == pytest.approx(logsumexp([1, 2, 4]))


def test_large_logsumexp():
    x = sd.tensor("x", 3)
    loss = sd.logsumexp(x)
    for data, expected in (
        ([1e300, 0, -1e300], 1e300),
        ([-1e300] * 3, -1e300),
        ([-np.inf] * 3, -np.inf),
        ([np.inf, 0, 0], np.inf),
    ):
        assert sd.evaluate(loss, {x: data}) == expected
    assert np.isnan(sd.evaluate(loss, {x: [np.nan, 0, 0]}))


def test_empty_operands():
    x = sd.tensor("x", "n", 3)
    empty = np.zeros((0, 3))
    assert sd.evaluate(sd.sum(x), {x: empty}) == 0
    assert np.array_equal(sd.evaluate(sd.sum(x, axis=0), {x: empty}), np.zeros(3))
    assert sd.evaluate(x @ np.ones(3), {x: empty}).shape == (0,)
    assert sd.evaluate(sd.logsumexp(x), {x: empty}) == -np.inf
    with pytest.raises(sd.SymdiffError, match="max"):
        sd.evaluate(sd.max(x, axis=0), {x: empty})
    with pytest.raises(sd.ShapeError, match="max of no elements"):
        sd.max(sd.tensor("x", 0, 3), axis=0)
    assert sd.evaluate(sd.prod(x), {x: empty}) == 1
    with pytest.raises(sd.SymdiffError, match="argmax"):
        sd.evaluate(sd.argmax(x, axis=0), {x: empty})


@pytest.mark.parametrize("data", [[0, 2, 3], [0, 2, 0], [0, 0, 0], [1, 0, -2]])
@pytest.mark.parametrize("shape", [("n",), (3,), (1, 3), ("m", "n")])
def test_derivatives_of_a_product_where_elements_are_zero(shape, data):
    x = sd.tensor("x", *shape)
    values = {x: np.reshape(np.array(data, float), (1, 3) if len(shape) == 2 else 3)}
    first = check(sd.prod(x) + sd.sum(x), [x], values)[0]
    second = check(sd.sum(first * sd.sin(1 + x)), [x], values)[0]
    check(sd.sum(second * x), [x], values)


def test_a_sum_over_nothing_and_a_constant_one():
    n = sd.tensor("x", "n", 3)
    for expression in (sd.sum(sd.ones("n", 3)), sd.sum(0 * n + 1)):
        assert sd.evaluate(expression + 0 * sd.sum(n), {n: np.zeros((4, 3))}) == 12
    node = apply("sum", apply("broadcast_to", number(2), attributes=((4, 3),)),
                 attributes=((0,), False))  # fmt: skip
    assert sd.evaluate(to_sympy([node])[0], {}).tolist() == [8, 8, 8]


def test_max_over_axes_against_differences_of_ties_free_data():
    x = sd.tensor("x", 2, 3)
    data = np.array([[1.0, 5.0, 2.0], [7.0, 0.0, 3.0]])
    loss = sd.sum(sd.max(x, axis=1) ** 2)
    expected = finite_difference(lambda v: sd.evaluate(loss, v), {x: data}, x)
    np.testing.assert_allclose(sd.evaluate(sd.gradient(loss, x), {x: data}), expected, atol=1e-8)
