"""SymPy's matrix expressions against the same losses of tensors, and finite differences."""

import numpy as np
import pytest
import sympy as sp
from differences import finite_difference
from sympy.matrices.expressions.dotproduct import DotProduct
from sympy.matrices.expressions.kronecker import KroneckerProduct

import codegen
import symdiff as sd
from symdiff.matrix_expressions import matrix_tensor

n, i, j = sp.symbols("n i j", integer=True)
s = sp.Symbol("s")
A, B, C = (sp.MatrixSymbol(name, 3, 3) for name in "ABC")
X, w, y = sp.MatrixSymbol("X", n, 3), sp.MatrixSymbol("w", 3, 1), sp.MatrixSymbol("y", n, 1)
x, z = sp.MatrixSymbol("x", 3, 1), sp.MatrixSymbol("z", 3, 1)
a, b, c = (sd.tensor(name, 3, 3) for name in "ABC")
tx, tw, ty = sd.tensor("X", "n", 3), sd.tensor("w", 3, 1), sd.tensor("y", "n", 1)
u, v = sd.tensor("x", 3, 1), sd.tensor("z", 3, 1)
RNG = np.random.default_rng(3)
VALUES = {k: RNG.normal(size=(3, 3)) + 2 * np.eye(3) for k in (A, B, C)} | {
    X: RNG.normal(size=(5, 3)),
    w: RNG.normal(size=(3, 1)),
    y: RNG.normal(size=(5, 1)),
    x: RNG.normal(size=(3, 1)),
    z: RNG.normal(size=(3, 1)),
    s: 1.5,
}
TENSORS = {A: a, B: b, C: c, X: tx, w: tw, y: ty, x: u, z: v, s: s}

CASES = {
    "quadratic form": (x.T * A * x, sd.sum(u * (a @ u))),
    "bilinear form": (x.T * A * z, sd.sum(u * (a @ v))),
    "least squares": ((X * w - y).T * (X * w - y), sd.sum((tx @ tw - ty) ** 2)),
    "trace of a product": (sp.Trace(A * B * C), sd.trace(a @ b @ c)),
    "trace with a transpose": (sp.Trace(A.T * B), sd.sum(a * b)),
    "trace times scalar": (s * sp.Trace(A * A) ** 2, s * sd.trace(a @ a) ** 2),
    "sum with factors": (sp.Trace(2 * A - s * B / 3), 2 * sd.trace(a) - s * sd.trace(b) / 3),
    "MatPow": (sp.Trace(A**3), sd.trace(a @ a @ a)),
    "MatPow -2": (sp.Trace(A**-2), sd.trace(sd.inv(a) @ sd.inv(a))),
    "Inverse": (x.T * A.I * z, sd.sum(u * sd.solve(a, v))),
    "Determinant": (sp.Determinant(A * B), sd.det(a @ b)),
    "log det": (sp.log(sp.Determinant(A.T * A)), sd.logdet(a.T @ a)),
    "HadamardProduct": (sp.Trace(sp.HadamardProduct(A, B) * C), sd.trace((a * b) @ c)),
    "HadamardPower": (sp.Trace(sp.HadamardPower(A, 3)), sd.trace(a**3)),
    "HadamardPower by a symbol": (
        x.T * sp.HadamardPower(sp.HadamardPower(z, 2), s), sd.sum(u * (v**2) ** s)
    ),
    "elementwise exp": (x.T * A.applyfunc(sp.exp) * x, sd.sum(u * (sd.exp(a) @ u))),
    "elementwise lambda": (
        sp.Trace(A.applyfunc(sp.Lambda(s, sp.tanh(s) + 1)) * B), sd.trace((sd.tanh(a) + 1) @ b)
    ),
    "Identity": (sp.Trace((A + s * sp.Identity(3)) * A), sd.trace((a + s * sd.eye(3)) @ a)),
    "OneMatrix": (sp.OneMatrix(1, n) * (X * w), sd.sum(tx @ tw)),
    "ZeroMatrix": (sp.Trace(A * B + sp.ZeroMatrix(3, 3)), sd.trace(a @ b)),
    "BlockMatrix": (
        sp.Trace(sp.BlockMatrix([[A, B], [C, A]]) ** 2), sd.trace(a @ a + 2 * (b @ c) + a @ a)
    ),
    "Kronecker product": (sp.Trace(KroneckerProduct(A, B)), sd.trace(a) * sd.trace(b)),
    "DotProduct": (DotProduct(x, z), sd.sum(u * v)),
    "DiagMatrix": (sp.Trace(sp.DiagMatrix(x) * A), sd.sum(u[:, 0] * sd.diag(a))),
    "constant matrix": (
        x.T * sp.Matrix([[1, 2, 0], [0, 1, 0], [3, 0, sp.Rational(1, 2)]]) * z,
        sd.sum(u * (np.array([[1, 2, 0], [0, 1, 0], [3, 0, 0.5]]) @ v)),
    ),
    "matrix of scalars": (
        sp.Trace(sp.Matrix([[s, 1, 0], [0, s**2, 0], [0, 0, 1]]) * A),
        s * a[0, 0] + a[1, 0] + s**2 * a[1, 1] + a[2, 2],
    ),
    "elements": (A[0, 1] * A[1, 0] - sp.sin(A[2, 2]), a[0, 1] * a[1, 0] - sd.sin(a[2, 2])),
    "Sum of elements": (sp.Sum(x[i, 0] ** 2 * z[i, 0], (i, 0, 2)), sd.sum(u**2 * v)),
    "double Sum": (sp.Sum(A[i, j] * B[j, i], (i, 0, 2), (j, 0, 2)), sd.trace(a @ b)),
    "Product of elements": (sp.Product(x[i, 0], (i, 0, 2)), u[0, 0] * u[1, 0] * u[2, 0]),
    "function of a 1x1 matrix": (sd.exp(x.T * z / 10), sd.exp(sd.sum(u * v) / 10)),
    "SymPy's function of a 1x1 matrix": (sp.exp(x.T * z / 10), sd.exp(sd.sum(u * v) / 10)),
    "root of a 1x1 matrix": (sp.sqrt(x.T * x), sd.norm(u)),
    "inverse of a 1x1 matrix": (x.T * A * x * (x.T * x).I, sd.sum(u * (a @ u)) / sd.sum(u**2)),
    "mixed with sd functions": (sd.sum(sd.tanh(X * w) ** 2), sd.sum(sd.tanh(tx @ tw) ** 2)),
    "mixed with tensors": (sd.sum(a @ B), sd.sum(a @ b)),
}  # fmt: skip


def symbols_of(name):
    loss = CASES[name][0]
    found = set(loss.free_symbols)
    return [k for k in VALUES if k in found or (k is not s and matrix_tensor(k) in found)]


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient(name):
    loss, same = CASES[name]
    by_tensor = {TENSORS[k]: value for k, value in VALUES.items()}
    values = VALUES | ({a: VALUES[A]} if name == "mixed with tensors" else {})
    got = sd.evaluate(loss, values)
    assert np.shape(got) == ()
    np.testing.assert_allclose(got, sd.evaluate(same, by_tensor), rtol=1e-12)
    symbols = symbols_of(name)
    assert symbols
    for symbol, gradient in zip(symbols, sd.gradient(loss, symbols), strict=True):
        result = sd.evaluate(gradient, values)
        assert result.shape == np.shape(VALUES[symbol])
        expected = sd.evaluate(sd.gradient(same, TENSORS[symbol]), by_tensor)
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-11)
        differences = finite_difference(lambda q: sd.evaluate(loss, q), values, symbol)
        np.testing.assert_allclose(result, differences, rtol=1e-6, atol=1e-6)


REFUSED = {
    "Indexed": sp.IndexedBase("q")[i],
    "infinite bound": sp.Sum(s**i, (i, 0, sp.oo)),
    "beyond the last element": sp.Sum(x[i, 0], (i, 0, 3)),
    "symbolic exponent": sp.Trace(A**n),
    "rational exponent": sp.Trace(sp.MatPow(A, sp.Rational(1, 2))),
    "symbolic element": A[i, 0],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    with pytest.raises(sd.UnsupportedOperation):
        sd.gradient(REFUSED[name], s)


def test_a_matrix_is_no_loss():
    with pytest.raises(sd.ShapeError, match=r"\(3, 3\)"):
        sd.gradient(A * B, A)


def test_a_matrix_symbol_is_not_the_tensor_of_its_name():
    both = sd.sum(A * sp.Identity(3)) + sd.sum(2 * a)
    assert sd.gradient(both, A) != sd.gradient(both, a)
    with pytest.raises(sd.BindingError):
        sd.evaluate(both, {A: np.ones((3, 3))})


def test_sizes():
    assert sd.shape(X * w) == ("n", 1)
    assert sd.shape(x.T * A * x) == ()
    assert sd.gradient((X * w - y).T * (X * w - y), w).shape == (3, 1)
    with pytest.raises(sd.BindingError, match="n = "):
        sd.evaluate(X * w - y, VALUES | {y: np.ones((4, 1))})


def test_compile():
    loss = (X * w - y).T * (X * w - y)
    f = codegen.compile([loss, sd.gradient(loss, w)], inputs=[X, w, y])
    value, gradient = f(VALUES[X], VALUES[w], VALUES[y])
    residual = VALUES[X] @ VALUES[w] - VALUES[y]
    np.testing.assert_allclose(value, (residual**2).sum())
    np.testing.assert_allclose(gradient, 2 * VALUES[X].T @ residual)


def test_derivation():
    derivation = sd.derive(x.T * A * x, [x, A])
    assert derivation.gradients[x].shape == (3, 1)
    assert "A" in str(derivation)
    assert derivation.explain(x)


def test_train():
    residual = X * w - y
    data = {X: VALUES[X], y: VALUES[y]}
    trainer = codegen.Trainer(
        residual.T * residual, {w: VALUES[w]}, optimizer=sd.optimizers.SGD(0.01), dtype="float64"
    )
    trainer.fit(data, steps=1)
    step = 2 * VALUES[X].T @ (VALUES[X] @ VALUES[w] - VALUES[y])
    np.testing.assert_allclose(trainer.parameters[w], VALUES[w] - 0.01 * step)
    np.testing.assert_allclose(
        trainer.predict(X * w, {X: VALUES[X]}), VALUES[X] @ trainer.parameters[w]
    )


def test_objective_and_check():
    residual = X * w - y
    data = {X: VALUES[X], y: VALUES[y]}
    objective = codegen.Objective(residual.T * residual, {w: 0.0 * VALUES[w]}, data)
    best = np.linalg.lstsq(VALUES[X], VALUES[y], rcond=None)[0]
    _, slope = objective.value_and_gradient(objective.pack({w: best}))
    np.testing.assert_allclose(slope, 0, atol=1e-10)
    assert objective.unpack(objective.start)[w].shape == (3, 1)
    assert sd.check_gradient(residual.T * residual, w, data | {w: best + 1}) < 1e-5


def test_hessian():
    hessian = sd.hessian(x.T * A * x, x)
    assert sd.shape(hessian) == (3, 1, 3, 1)
    got = sd.evaluate(hessian, VALUES).reshape(3, 3)
    np.testing.assert_allclose(got, VALUES[A] + VALUES[A].T)
