"""What SymPy writes: functions, conditions, numbers, matrices; and what is refused by name."""

import numpy as np
import pytest
import sympy as sp
from sympy.stats import Expectation, Normal

import codegen
import symdiff as sd
from symdiff.matrix_expressions import matrix_tensor

a, b, t = sp.symbols("a b t")
i, j, k, n, m = sp.symbols("i j k n m", integer=True)
x = sp.IndexedBase("x")
rows = (i, 0, n - 1)
S, P = sp.Sum, sp.Product
RNG = np.random.default_rng(11)

# --- functions and numbers ---------------------------------------------------------------------

VALUES = {a: np.array([-1.5, 0.3, 2.0, 0.6]), b: np.array([0.5, -2.0, 2.0, 1.7])}
va, vb = VALUES[a], VALUES[b]

SCALARS = {
    "Piecewise": (
        sp.Piecewise((a**2, a < 0), (sp.sin(a), a < 1), (b * a, True)),
        np.where(va < 0, va**2, np.where(va < 1, np.sin(va), va * vb)),
    ),
    "Piecewise without default": (
        sp.Piecewise((a * b, a < 1)), np.where(va < 1, va * vb, np.nan)
    ),
    "Min": (sp.Min(a, b, 1) * b, np.minimum(np.minimum(va, vb), 1) * vb),
    "Max": (sp.Max(a, b, 1) * b, np.maximum(np.maximum(va, vb), 1) * vb),
    "Abs": (sp.Abs(a * b), np.abs(va * vb)),
    "sign": (sp.sign(a) * b, np.sign(va) * vb),
    "floor": (sp.floor(a) * b, np.floor(va) * vb),
    "ceiling": (sp.ceiling(a) * b, np.ceil(va) * vb),
    "Mod": (sp.Mod(a, 2) * b, np.mod(va, 2) * vb),
    "Mod by a symbol": (sp.Mod(a, b), np.mod(va, vb)),
    "frac": (sp.frac(a) * b, (va - np.floor(va)) * vb),
    "Heaviside": (sp.Heaviside(a) * b, np.heaviside(va, 0.5) * vb),
    "Heaviside with a value at 0": (sp.Heaviside(a - 2, 1) * b, np.heaviside(va - 2, 1) * vb),
    "And": (sp.Piecewise((a * b, sp.And(a > 0, b > 0)), (a, True)),
            np.where((va > 0) & (vb > 0), va * vb, va)),
    "Or": (sp.Piecewise((a * b, sp.Or(a > 1, b < -1)), (b, True)),
           np.where((va > 1) | (vb < -1), va * vb, vb)),
    "Not": (sp.Piecewise((a * b, sp.Not(sp.And(a > 0, b > 0))), (b, True)),
            np.where(~((va > 0) & (vb > 0)), va * vb, vb)),
    "ITE": (sp.Piecewise((a**2, sp.ITE(a > 0, b > 0, b < 0)), (b, True)),
            np.where(np.where(va > 0, vb > 0, vb < 0), va**2, vb)),
    "Xor": (sp.Piecewise((a**2, sp.Xor(a > 0, b > 0)), (b, True)),
            np.where((va > 0) ^ (vb > 0), va**2, vb)),
    "Eq and Ne": (sp.Piecewise((a, sp.Eq(a, b)), (b, sp.Ne(a, 0.3)), (7, True)) * b,
                  np.where(va == vb, va, np.where(va != 0.3, vb, 7)) * vb),
    "Rational": (sp.Rational(1, 3) * a - b**2 * sp.Rational(22, 7), va / 3 - vb**2 * 22 / 7),
    "rational power": (sp.Abs(a) ** sp.Rational(2, 3) * b, np.abs(va) ** (2 / 3) * vb),
    "big integer": (a * 10**30 + b * 10**30, va * 1e30 + vb * 1e30),
    "big integer below": (a / sp.Integer(10) ** 40 * b, va / 1e40 * vb),
    "integer beyond 64 bits": (a * 2**64 + b * (3**50), va * 2.0**64 + vb * 3.0**50),
    "UnevaluatedExpr": (sp.UnevaluatedExpr(a + b) * sp.sin(sp.UnevaluatedExpr(a)),
                        (va + vb) * np.sin(va)),
    "precise Float": (a * sp.Float("0.1", 50) + b, va * 0.1 + vb),
    "named constants": (sp.pi * a + sp.E * b + sp.GoldenRatio + sp.EulerGamma + sp.Catalan,
                        np.pi * va + np.e * vb + 1.618033988749895 + np.euler_gamma
                        + 0.915965594177219),
    "KroneckerDelta": (sp.KroneckerDelta(a, b) * a + b, (va == vb) * va + vb),
    "real part": (sp.re(a) * b + sp.im(a), va * vb),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALARS)
def test_scalar(name):
    loss, expected = SCALARS[name]
    np.testing.assert_allclose(sd.evaluate(loss, VALUES), expected, rtol=1e-13, atol=1e-300)
    point = {a: 0.37, b: -0.21}
    for symbol in sorted(loss.free_symbols, key=str):
        assert sd.check_gradient(loss, symbol, point) < 1e-6


def test_scalars_compile():
    roots = []
    for loss, _ in SCALARS.values():
        roots += [loss, sd.gradient(loss, a)]
    results = codegen.compile(roots, inputs=[a, b])(va, vb)
    for position, (name, (loss, expected)) in enumerate(SCALARS.items()):
        np.testing.assert_allclose(
            results[2 * position], expected, rtol=1e-13, atol=1e-300, err_msg=name
        )
        by_numpy = np.broadcast_to(sd.evaluate(sd.gradient(loss, a), VALUES), va.shape)
        np.testing.assert_allclose(
            results[2 * position + 1], by_numpy, rtol=1e-12, atol=1e-300, err_msg=name
        )


def test_conditions_are_values():
    both = sp.And(a > 0, b > 0)
    np.testing.assert_array_equal(sd.evaluate(both, VALUES), (va > 0) & (vb > 0))
    choice = sp.ITE(a > 0, b > 0, b < -1)
    np.testing.assert_array_equal(sd.evaluate(choice, VALUES), np.where(va > 0, vb > 0, vb < -1))


def test_choices_stay_inside_reductions():
    T = sd.tensor("T", 3, 2)
    data = RNG.normal(size=(3, 2))
    inner = sp.Piecewise((T, T > 0), (0.1 * T, True))
    leaky = np.where(data > 0, data, 0.1 * data)
    chosen = sd.where(sd.max(inner, axis=0) > 0.5, T**2, T)
    expected = np.where(leaky.max(axis=0) > 0.5, data**2, data)
    np.testing.assert_allclose(sd.evaluate(chosen, {T: data}), expected)
    assert sd.check_gradient(sd.sum(chosen), T, {T: data}) < 1e-6
    scalar = sp.Piecewise((a, sd.sum(inner) > 0), (a**2, True))
    assert sd.evaluate(scalar, {T: data, a: 3.0}) == (3.0 if leaky.sum() > 0 else 9.0)
    assert sd.evaluate(scalar, {T: -np.abs(data), a: 3.0}) == 9.0


# --- matrices ----------------------------------------------------------------------------------

M = sp.MatrixSymbol("M", n, m)
Q, R = sp.MatrixSymbol("Q", n, n), sp.MatrixSymbol("R", n, n)
u = sp.MatrixSymbol("u", n, 1)
F = sp.MatrixSymbol("F", 3, 3)
MATRICES = {
    M: RNG.normal(size=(4, 2)), Q: RNG.normal(size=(4, 4)) + 3 * np.eye(4),
    R: RNG.normal(size=(4, 4)), u: RNG.normal(size=(4, 1)), F: RNG.normal(size=(3, 3)),
    a: 0.7, b: 0.3,
}  # fmt: skip
dM, dQ, dR, du, dF = (MATRICES[s] for s in (M, Q, R, u, F))
grown = np.block([[dQ, dR], [dR, dQ]])

MATRIX_LOSSES = {
    "MatMul": (sp.Trace(Q * R.T * Q), np.trace(dQ @ dR.T @ dQ)),
    "MatAdd": (sp.Trace((Q + 2 * R - a * Q) * R), np.trace((dQ + 2 * dR - 0.7 * dQ) @ dR)),
    "Transpose": (sp.Trace(M.T * Q * M), np.trace(dM.T @ dQ @ dM)),
    "Adjoint": (sp.Trace(sp.Adjoint(Q) * R), (dQ * dR).sum()),
    "Inverse": (u.T * Q.I * u, (du.T @ np.linalg.inv(dQ) @ du).item()),
    "Trace": (sp.Trace(Q) ** 2 + 1, np.trace(dQ) ** 2 + 1),
    "Determinant": (sp.log(sp.Determinant(Q.T * Q)), np.log(np.linalg.det(dQ) ** 2)),
    "HadamardProduct": (sp.Trace(sp.HadamardProduct(Q, R, Q) * R), np.trace(dQ * dR * dQ @ dR)),
    "HadamardPower": (sp.Trace(sp.HadamardPower(Q, 3) * R), np.trace(dQ**3 @ dR)),
    "ElementwiseApplyFunction": (
        sp.Trace(Q.applyfunc(sp.Lambda(t, sp.sin(t) * a)) * R), np.trace(0.7 * np.sin(dQ) @ dR)
    ),
    "MatPow": (sp.Trace(Q**3 + Q**-2),
               np.trace(np.linalg.matrix_power(dQ, 3) + np.linalg.matrix_power(dQ, -2))),
    "Identity": (sp.Trace((Q + n * sp.Identity(n)) ** 2),
                 np.trace((dQ + 4 * np.eye(4)) @ (dQ + 4 * np.eye(4)))),
    "OneMatrix": (sp.OneMatrix(1, n) * M * sp.OneMatrix(m, 1) / (n * m), dM.mean()),
    "ZeroMatrix": (sp.Trace(Q * R + sp.ZeroMatrix(n, n)), np.trace(dQ @ dR)),
    "BlockMatrix": (
        sp.Trace(sp.BlockMatrix([[Q, R], [R, Q]]) ** 2), np.trace(grown @ grown)
    ),
    "BlockMatrix with a corner": (
        sp.Determinant(sp.BlockMatrix([[Q, u], [u.T, sp.Matrix([[2]])]])),
        np.linalg.det(np.block([[dQ, du], [du.T, np.full((1, 1), 2.0)]])),
    ),
    "BlockDiagMatrix": (sp.Trace(sp.BlockDiagMatrix(Q, F) ** 2),
                        np.trace(dQ @ dQ) + np.trace(dF @ dF)),
    "MatrixSlice": (sp.Trace(F[0:2, 1:3] * F[1:, :2]), np.trace(dF[0:2, 1:3] @ dF[1:, :2])),
    "DiagonalOf": (sp.Trace(sp.DiagonalOf(Q) * u.T), (np.diag(dQ) @ du).item()),
    "DiagonalMatrix": (sp.Trace(sp.DiagonalMatrix(Q) * R), np.diag(dQ) @ np.diag(dR)),
    "PermutationMatrix": (
        sp.Trace(sp.PermutationMatrix(sp.combinatorics.Permutation([1, 2, 0])) * F),
        dF[1, 0] + dF[2, 1] + dF[0, 2],
    ),
    "matrix of scalars": (
        sp.Trace(sp.Matrix([[a, 1, 0], [b, a, 2], [0, 0, b * a]]) * F),
        np.trace(np.array([[0.7, 1, 0], [0.3, 0.7, 2], [0, 0, 0.21]]) @ dF),
    ),
    "determinant of scalars": (sp.Determinant(sp.Matrix([[a, b], [-b, a]])), 0.7**2 + 0.3**2),
    "1x1 Matrix": (sp.Matrix([[a * b + 1]]), 1.21),
    "1x1 product": (u.T * Q * u / n, (du.T @ dQ @ du).item() / 4),
    "function of a 1x1 product": (sd.log(u.T * u + sp.Identity(1)), np.log(1 + (du**2).sum())),
    "size symbols": (sp.Trace(Q) / n + n * sd.sum(M) / m, np.trace(dQ) / 4 + 2 * dM.sum()),
    "element": (Q[0, 1] * u[2, 0] + Q[n - 1, 0], dQ[0, 1] * du[2, 0] + dQ[3, 0]),
    "sum over elements": (S(Q[i, j] * u[i, 0] * u[j, 0], rows, (j, 0, n - 1)),
                          (du.T @ dQ @ du).item()),
    "sum over a compound": (S((Q * R)[i, i], rows), np.trace(dQ @ dR)),
    "sum of matrix powers": (sp.Trace(F) + S(sp.Trace(F**k), (k, 2, 3)),
                             sum(np.trace(np.linalg.matrix_power(dF, p)) for p in (1, 2, 3))),
    "NDimArray": (sd.sum(sd.constant([1.0, 2.0, 3.0]) * sp.Array([a, b, a * b])),
                  0.7 + 0.6 + 0.63),
}  # fmt: skip


def matrix_values(loss):
    free = loss.free_symbols
    return {
        s: d for s, d in MATRICES.items()
        if s in free or (isinstance(s, sp.MatrixSymbol) and matrix_tensor(s) in free)
    }  # fmt: skip


@pytest.mark.parametrize("name", MATRIX_LOSSES)
def test_matrix(name):
    loss, expected = MATRIX_LOSSES[name]
    values = matrix_values(loss)
    np.testing.assert_allclose(sd.evaluate(loss, values), expected, rtol=1e-11)
    for symbol, value in values.items():
        gradient = sd.evaluate(sd.gradient(loss, symbol), values)
        assert gradient.shape == np.shape(value)
        assert sd.check_gradient(loss, symbol, values) < 1e-6


def test_matrices_compile():
    names = ["MatAdd", "Inverse", "Identity", "OneMatrix", "BlockMatrix", "MatrixSlice",
             "size symbols", "sum over elements"]  # fmt: skip
    inputs = list(MATRICES)
    roots = [MATRIX_LOSSES[name][0] for name in names]
    slopes = [sd.gradient(r, Q) for r in roots if r is not roots[3] and r is not roots[5]]
    results = codegen.compile([*roots, *slopes], inputs=inputs)(*MATRICES.values())
    for name, result in zip(names, results, strict=False):
        np.testing.assert_allclose(result, MATRIX_LOSSES[name][1], rtol=1e-11, err_msg=name)
    for slope, result in zip(slopes, results[len(roots) :], strict=True):
        np.testing.assert_allclose(result, sd.evaluate(slope, MATRICES), rtol=1e-9, atol=1e-11)


def test_size_symbols_are_sizes():
    loss = (M.T * Q * M)[0, 0] / n
    assert sd.gradient(sp.Trace(Q) / n, Q).free_symbols & {n} == set()
    np.testing.assert_allclose(sd.evaluate(loss, {M: dM, Q: dQ}), (dM.T @ dQ @ dM)[0, 0] / 4)
    with pytest.raises(sd.BindingError, match="n = 9"):
        sd.evaluate(loss, {M: dM, Q: dQ, n: 9})
    assert sd.evaluate(sd.sum(Q * u) / n, {Q: dQ, u: du}) == pytest.approx((dQ @ du).sum() / 4)


# --- what is refused ---------------------------------------------------------------------------

g = sp.Function("g")
N = Normal("N", 0, 1)
z = sp.Symbol("z", commutative=False)

REFUSED = {
    "undefined function": (g(a) * b, "g is undefined"),
    "Derivative of an undefined function": (g(a).diff(a), "Derivative"),
    "Derivative": (sp.Derivative(a**2, a), r"Derivative.*doit"),
    "Integral": (sp.Integral(a * t, (t, 0, 1)), r"Integral.*doit"),
    "Limit": (sp.Limit(sp.sin(a * t) / t, t, 0), r"Limit.*doit"),
    "Order": (a + sp.O(a**2), r"Order.*removeO"),
    "Subs": (sp.Subs(g(t), t, a), "Subs"),
    "I": (sp.I * a, "I in an expression"),
    "root of a negative number": (sp.sqrt(-2) * a, "I in an expression"),
    "complex exponential": (sp.exp(sp.I * a), "I in an expression"),
    "zoo": (a + sp.zoo, "zoo"),
    "noncommutative symbol": (z * a, "does not commute"),
    "random symbol": (N * a, "RandomSymbol.*no value"),
    "expectation": (Expectation(N * a), "Expectation"),
    "bounds": (a + sp.AccumBounds(0, 1), "AccumulationBounds"),
    "DiracDelta": (sp.DiracDelta(a), "DiracDelta"),
    "complex argument": (sp.arg(a), "arg"),
    "root of a polynomial": (sp.CRootOf(t**5 - t + 1, 0) * a, "ComplexRootOf"),
    "infinite product": (P(a + 1 / k**2, (k, 1, sp.oo)), "finite"),
    "symbolic matrix power": (sp.Trace(Q**a), "exponent must be an integer"),
    "Permanent": (sp.Permanent(F) * a, "Permanent"),
    "slice to a symbol": (sp.Trace(Q[:m, :m]) * a, "a slice ends"),
    "element with a free index": (Q[i, 0] * a, "no Sum or Product"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name):
    loss, message = REFUSED[name]
    with pytest.raises(sd.UnsupportedOperation, match=message):
        sd.gradient(loss, a)
    with pytest.raises(sd.UnsupportedOperation, match=message):
        codegen.compile(loss, inputs=[a])


NO_LOSSES = {
    "relation": (a > b, sd.InvalidType, "condition a > b"),
    "conjunction": (sp.And(a > b, a < 1), sd.InvalidType, "condition"),
    "equation": (sp.Eq(a, b), sd.InvalidType, "condition"),
    "truth": (sp.true, sd.InvalidType, "condition"),
    "matrix product": (Q * R, sd.ShapeError, r"must be a scalar.*\(n, n\)"),
    "matrix of scalars": (sp.Matrix([[a, b], [b, a]]), sd.ShapeError, r"must be a scalar.*2, 2"),
    "tensor": (sd.tensor("T", 3) * a, sd.ShapeError, "must be a scalar"),
    "tuple": (sp.Tuple(a, b), sd.InvalidType, "Tuple"),
    "set": (sp.Interval(0, 1), sd.InvalidType, "Interval"),
    "polynomial object": (sp.Poly(a**2, a), sd.InvalidType, "Poly"),
    "text": ("a**2", sd.InvalidType, "sd.parse"),
}


@pytest.mark.parametrize("name", NO_LOSSES)
def test_no_loss(name):
    loss, error, message = NO_LOSSES[name]
    with pytest.raises(error, match=message):
        sd.gradient(loss, a)
    with pytest.raises(error):
        codegen.Trainer(loss, {a: 1.0})


def test_no_gradient_by_what_is_no_symbol():
    for wrt in (g(a), N, x[0], Q[0, 0], a + b, z):
        with pytest.raises(sd.SymdiffError):
            sd.gradient(a**2, wrt)
