"""Textbook derivatives of matrix expressions, each with its closed form written by hand.

The forms are those of the Matrix Cookbook (Petersen and Pedersen, 2012), of matrixcalculus.org
and of textbooks on optimisation and statistics. A gradient has the shape of its symbol. Every
form that SymPy's matrix expressions can spell is checked in that spelling, too.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import sympy as sp
from sympy.matrices.expressions.kronecker import KroneckerProduct

import symdiff as sd

RNG = np.random.default_rng(2012)


def _matrix(*shape):
    return RNG.normal(size=shape)


_root = _matrix(3, 3)
_wide = _matrix(4, 4)
VALUES = {
    **{name: _matrix(3, 3) for name in "ABCD"},
    "X": _matrix(3, 3) / 2 + 2 * np.eye(3),
    "Y": _matrix(3, 3) / 2 - 2 * np.eye(3),
    "S": _root @ _root.T + np.eye(3),  # symmetric and positive definite
    "T": _root + _root.T,  # symmetric
    "N": _matrix(4, 3),
    "W": _wide @ _wide.T + np.eye(4),
    "G": _matrix(4, 4),
    **{name: _matrix(3) for name in ("a", "b", "c", "x", "y")},
    **{name: RNG.uniform(0.5, 2.0, size=3) for name in ("p", "q")},
    "u": _matrix(4),
    "z": np.array([0.0, 1.0, 1.0, 0.0]),
    "t": 0.4,
}
v = SimpleNamespace(**VALUES)
s = SimpleNamespace(
    **{k: sd.tensor(k, *np.shape(d)) if np.ndim(d) else sp.Symbol(k) for k, d in VALUES.items()}
)
m = SimpleNamespace(
    **{
        k: sp.MatrixSymbol(k, *np.shape(d), *[1] * (2 - np.ndim(d))) if np.ndim(d) else sp.Symbol(k)
        for k, d in VALUES.items()
    }
)
inv, det, tr, diag, outer = np.linalg.inv, np.linalg.det, np.trace, np.diag, np.outer
I3 = np.eye(3)
Tr, Det, HP, Id = sp.Trace, sp.Determinant, sp.HadamardProduct, sp.Identity(3)
_e = sp.Symbol("e")


def each(matrix, function):
    """A scalar function of every element, as SymPy spells it."""
    return matrix.applyfunc(sp.Lambda(_e, function(_e)))


def norm(vector):
    return sp.sqrt((vector.T * vector)[0, 0])


def fro(matrix):
    return sp.sqrt(Tr(matrix.T * matrix))


def sigma(value):
    return 1 / (1 + np.exp(-value))


def softmax(value):
    return np.exp(value) / np.exp(value).sum()


# name: (expression of tensors, the same of matrix symbols or None, symbol, closed form)
GRADIENTS = {
    # --- traces ---
    "tr X": (sd.trace(s.X), Tr(m.X), "X", I3),
    "tr XA": (sd.trace(s.X @ s.A), Tr(m.X * m.A), "X", v.A.T),
    "tr AXB": (sd.trace(s.A @ s.X @ s.B), Tr(m.A * m.X * m.B), "X", v.A.T @ v.B.T),
    "tr AX'B": (sd.trace(s.A @ s.X.T @ s.B), Tr(m.A * m.X.T * m.B), "X", v.B @ v.A),
    "tr X'A": (sd.trace(s.X.T @ s.A), Tr(m.X.T * m.A), "X", v.A),
    "tr AX'": (sd.trace(s.A @ s.X.T), Tr(m.A * m.X.T), "X", v.A),
    "tr X²": (sd.trace(s.X @ s.X), Tr(m.X**2), "X", 2 * v.X.T),
    "tr X²B": (sd.trace(s.X @ s.X @ s.B), Tr(m.X**2 * m.B), "X", (v.X @ v.B + v.B @ v.X).T),
    "tr X'BX": (sd.trace(s.X.T @ s.B @ s.X), Tr(m.X.T * m.B * m.X), "X", (v.B + v.B.T) @ v.X),
    "tr BXX'": (sd.trace(s.B @ s.X @ s.X.T), Tr(m.B * m.X * m.X.T), "X", (v.B + v.B.T) @ v.X),
    "tr XBX'": (sd.trace(s.X @ s.B @ s.X.T), Tr(m.X * m.B * m.X.T), "X", v.X @ (v.B + v.B.T)),
    "tr BX'X": (sd.trace(s.B @ s.X.T @ s.X), Tr(m.B * m.X.T * m.X), "X", v.X @ (v.B + v.B.T)),
    "tr AXBX": (sd.trace(s.A @ s.X @ s.B @ s.X), Tr(m.A * m.X * m.B * m.X), "X",
                v.A.T @ v.X.T @ v.B.T + v.B.T @ v.X.T @ v.A.T),
    "tr X'X": (sd.trace(s.X.T @ s.X), Tr(m.X.T * m.X), "X", 2 * v.X),
    "tr N'N": (sd.trace(s.N.T @ s.N), Tr(m.N.T * m.N), "N", 2 * v.N),
    "tr B'X'CXB": (sd.trace(s.B.T @ s.X.T @ s.C @ s.X @ s.B), Tr(m.B.T * m.X.T * m.C * m.X * m.B),
                   "X", (v.C + v.C.T) @ v.X @ v.B @ v.B.T),
    "tr X'BXC": (sd.trace(s.X.T @ s.B @ s.X @ s.C), Tr(m.X.T * m.B * m.X * m.C), "X",
                 v.B @ v.X @ v.C + v.B.T @ v.X @ v.C.T),
    "tr AXBX'C": (sd.trace(s.A @ s.X @ s.B @ s.X.T @ s.C), Tr(m.A * m.X * m.B * m.X.T * m.C), "X",
                  v.A.T @ v.C.T @ v.X @ v.B.T + v.C @ v.A @ v.X @ v.B),
    "tr (AXB+C)(AXB+C)'": (
        sd.trace((s.A @ s.X @ s.B + s.C) @ (s.A @ s.X @ s.B + s.C).T),
        Tr((m.A * m.X * m.B + m.C) * (m.A * m.X * m.B + m.C).T), "X",
        2 * v.A.T @ (v.A @ v.X @ v.B + v.C) @ v.B.T,
    ),
    "tr X⊗X": (sd.trace(sd.kron(s.X, s.X)), Tr(KroneckerProduct(m.X, m.X)), "X",
               2 * tr(v.X) * I3),
    "tr A⊗X": (sd.trace(sd.kron(s.A, s.X)), Tr(KroneckerProduct(m.A, m.X)), "X", tr(v.A) * I3),
    "tr X⁴": (sd.trace(sd.matrix_power(s.X, 4)), Tr(m.X**4), "X", 4 * (v.X @ v.X @ v.X).T),
    "tr AX³": (sd.trace(s.A @ s.X @ s.X @ s.X), Tr(m.A * m.X**3), "X",
               (v.X @ v.X @ v.A + v.X @ v.A @ v.X + v.A @ v.X @ v.X).T),
    "tr B'X'CXX'CXB": (
        sd.trace(s.B.T @ s.X.T @ s.C @ s.X @ s.X.T @ s.C @ s.X @ s.B),
        Tr(m.B.T * m.X.T * m.C * m.X * m.X.T * m.C * m.X * m.B), "X",
        v.C @ v.X @ v.X.T @ v.C @ v.X @ v.B @ v.B.T
        + v.C.T @ v.X @ v.B @ v.B.T @ v.X.T @ v.C.T @ v.X
        + v.C @ v.X @ v.B @ v.B.T @ v.X.T @ v.C @ v.X
        + v.C.T @ v.X @ v.X.T @ v.C.T @ v.X @ v.B @ v.B.T,
    ),
    "(tr X)² + 1": (sd.trace(s.X) ** 2 + 1, Tr(m.X) ** 2 + 1, "X", 2 * tr(v.X) * I3),
    "exp tr X": (sp.exp(sd.trace(s.X)), sp.exp(Tr(m.X)), "X", np.exp(tr(v.X)) * I3),
    "log tr X": (sp.log(sd.trace(s.X)), sp.log(Tr(m.X)), "X", I3 / tr(v.X)),
    "tr X tr AX": (sd.trace(s.X) * sd.trace(s.A @ s.X), Tr(m.X) * Tr(m.A * m.X), "X",
                   tr(v.A @ v.X) * I3 + tr(v.X) * v.A.T),
    "tr AX / tr BX": (sd.trace(s.A @ s.X) / sd.trace(s.B @ s.X), Tr(m.A * m.X) / Tr(m.B * m.X),
                      "X", v.A.T / tr(v.B @ v.X) - tr(v.A @ v.X) / tr(v.B @ v.X) ** 2 * v.B.T),
    "(tr X'X)²": (sd.trace(s.X.T @ s.X) ** 2, Tr(m.X.T * m.X) ** 2, "X",
                  4 * tr(v.X.T @ v.X) * v.X),
    "tr (X'X)²": (sd.trace(s.X.T @ s.X @ s.X.T @ s.X), Tr((m.X.T * m.X) ** 2), "X",
                  4 * v.X @ v.X.T @ v.X),
    # --- determinants ---
    "det X": (sd.det(s.X), Det(m.X), "X", det(v.X) * inv(v.X).T),
    "det AXB": (sd.det(s.A @ s.X @ s.B), Det(m.A * m.X * m.B), "X",
                det(v.A @ v.X @ v.B) * inv(v.X).T),
    "log |det X|": (sd.logdet(s.Y), sp.log(sp.Abs(Det(m.Y))), "Y", inv(v.Y).T),
    "log det X": (sp.log(sd.det(s.X)), sp.log(Det(m.X)), "X", inv(v.X).T),
    "log det S": (sd.logdet(s.S), sp.log(Det(m.S)), "S", inv(v.S)),
    "det X³": (sd.det(s.X @ s.X @ s.X), Det(m.X**3), "X", 3 * det(v.X) ** 3 * inv(v.X).T),
    "det(X)²": (sd.det(s.X) ** 2, Det(m.X) ** 2, "X", 2 * det(v.X) ** 2 * inv(v.X).T),
    "1 / det X": (1 / sd.det(s.X), 1 / Det(m.X), "X", -inv(v.X).T / det(v.X)),
    "log det N'N": (sd.logdet(s.N.T @ s.N), sp.log(Det(m.N.T * m.N)), "N",
                    2 * np.linalg.pinv(v.N).T),
    "det X'AX": (sd.det(s.X.T @ s.A @ s.X), Det(m.X.T * m.A * m.X), "X",
                 2 * det(v.X.T @ v.A @ v.X) * inv(v.X).T),
    "det N'WN": (sd.det(s.N.T @ s.W @ s.N), Det(m.N.T * m.W * m.N), "N",
                 2 * det(v.N.T @ v.W @ v.N) * v.W @ v.N @ inv(v.N.T @ v.W @ v.N)),
    "det N'GN": (sd.det(s.N.T @ s.G @ s.N), Det(m.N.T * m.G * m.N), "N",
                 det(v.N.T @ v.G @ v.N) * (v.G @ v.N @ inv(v.N.T @ v.G @ v.N)
                                           + v.G.T @ v.N @ inv(v.N.T @ v.G.T @ v.N))),
    "log det (I + XX')": (sd.logdet(sd.eye(3) + s.X @ s.X.T), sp.log(Det(Id + m.X * m.X.T)), "X",
                          2 * inv(I3 + v.X @ v.X.T) @ v.X),
    "log det (S + xx')": (sd.logdet(s.S + sd.outer(s.x, s.x)), sp.log(Det(m.S + m.x * m.x.T)), "x",
                          2 * inv(v.S + outer(v.x, v.x)) @ v.x),
    "det (I + xy')": (sd.det(sd.eye(3) + sd.outer(s.x, s.y)), Det(Id + m.x * m.y.T), "x", v.y),
    "det (S + tT)": (sd.det(s.S + s.t * s.T), Det(m.S + m.t * m.T), "t",
                     det(v.S + v.t * v.T) * tr(inv(v.S + v.t * v.T) @ v.T)),
    "log det (S + tT)": (sd.logdet(s.S + s.t * s.T), sp.log(Det(m.S + m.t * m.T)), "t",
                         tr(inv(v.S + v.t * v.T) @ v.T)),
    # --- inverses ---
    "tr X⁻¹": (sd.trace(sd.inv(s.X)), Tr(m.X.I), "X", -(inv(v.X) @ inv(v.X)).T),
    "tr AX⁻¹B": (sd.trace(s.A @ sd.inv(s.X) @ s.B), Tr(m.A * m.X.I * m.B), "X",
                 -(inv(v.X) @ v.B @ v.A @ inv(v.X)).T),
    "tr X⁻²": (sd.trace(sd.matrix_power(s.X, -2)), Tr(m.X**-2), "X",
               -2 * np.linalg.matrix_power(inv(v.X), 3).T),
    "tr (X + A)⁻¹": (sd.trace(sd.inv(s.X + s.A)), Tr((m.X + m.A).I), "X",
                     -(inv(v.X + v.A) @ inv(v.X + v.A)).T),
    "a'X⁻¹b": (s.a @ sd.inv(s.X) @ s.b, m.a.T * m.X.I * m.b, "X",
               -inv(v.X).T @ outer(v.a, v.b) @ inv(v.X).T),
    "a'X⁻¹b by solve": (s.a @ sd.solve(s.X, s.b), None, "X",
                        -inv(v.X).T @ outer(v.a, v.b) @ inv(v.X).T),
    "a'X⁻ᵀb": (s.a @ sd.inv(s.X).T @ s.b, m.a.T * m.X.I.T * m.b, "X",
               -inv(v.X).T @ outer(v.b, v.a) @ inv(v.X).T),
    "a'(S + tT)⁻¹b": (s.a @ sd.solve(s.S + s.t * s.T, s.b), m.a.T * (m.S + m.t * m.T).I * m.b, "t",
                      -v.a @ inv(v.S + v.t * v.T) @ v.T @ inv(v.S + v.t * v.T) @ v.b),
    "‖X⁻¹b‖²": (sd.sum(sd.solve(s.X, s.b) ** 2), (m.X.I * m.b).T * (m.X.I * m.b), "b",
                2 * inv(v.X).T @ inv(v.X) @ v.b),
    "tr (X'SX)⁻¹A": (
        sd.trace(sd.inv(s.X.T @ s.S @ s.X) @ s.A), Tr((m.X.T * m.S * m.X).I * m.A), "X",
        -v.S @ v.X @ inv(v.X.T @ v.S @ v.X) @ (v.A + v.A.T) @ inv(v.X.T @ v.S @ v.X),
    ),
    "tr (N'WN)⁻¹N'(G + G')N": (
        sd.trace(sd.inv(s.N.T @ s.W @ s.N) @ (s.N.T @ (s.G + s.G.T) @ s.N)),
        Tr((m.N.T * m.W * m.N).I * (m.N.T * (m.G + m.G.T) * m.N)), "N",
        -2 * v.W @ v.N @ inv(v.N.T @ v.W @ v.N) @ v.N.T @ (v.G + v.G.T) @ v.N
        @ inv(v.N.T @ v.W @ v.N) + 2 * (v.G + v.G.T) @ v.N @ inv(v.N.T @ v.W @ v.N),
    ),
    "tr N(N'N)⁻¹N'G": (
        sd.trace(s.N @ sd.inv(s.N.T @ s.N) @ s.N.T @ s.G),
        Tr(m.N * (m.N.T * m.N).I * m.N.T * m.G), "N",
        (np.eye(4) - v.N @ np.linalg.pinv(v.N)) @ (v.G + v.G.T) @ np.linalg.pinv(v.N).T,
    ),
    # --- linear and quadratic forms ---
    "a'x": (s.a @ s.x, m.a.T * m.x, "x", v.a),
    "x'a": (s.x @ s.a, m.x.T * m.a, "x", v.a),
    "a'Xb": (s.a @ s.X @ s.b, m.a.T * m.X * m.b, "X", outer(v.a, v.b)),
    "a'X'b": (s.a @ s.X.T @ s.b, m.a.T * m.X.T * m.b, "X", outer(v.b, v.a)),
    "a'Xa": (s.a @ s.X @ s.a, m.a.T * m.X * m.a, "X", outer(v.a, v.a)),
    "x'Ax": (s.x @ s.A @ s.x, m.x.T * m.A * m.x, "x", (v.A + v.A.T) @ v.x),
    "x'Ax by A": (s.x @ s.A @ s.x, m.x.T * m.A * m.x, "A", outer(v.x, v.x)),
    "x'Sx": (s.x @ s.S @ s.x, m.x.T * m.S * m.x, "x", 2 * v.S @ v.x),
    "x'Ay": (s.x @ s.A @ s.y, m.x.T * m.A * m.y, "y", v.A.T @ v.x),
    "b'X'Xc": (s.b @ s.X.T @ s.X @ s.c, m.b.T * m.X.T * m.X * m.c, "X",
               v.X @ (outer(v.b, v.c) + outer(v.c, v.b))),
    "a'XX'b": (s.a @ s.X @ s.X.T @ s.b, m.a.T * m.X * m.X.T * m.b, "X",
               (outer(v.a, v.b) + outer(v.b, v.a)) @ v.X),
    "a'X²b": (s.a @ s.X @ s.X @ s.b, m.a.T * m.X**2 * m.b, "X",
              outer(v.a, v.b) @ v.X.T + v.X.T @ outer(v.a, v.b)),
    "(Ax+b)'C(Dx+c)": (
        (s.A @ s.x + s.b) @ s.C @ (s.D @ s.x + s.c),
        (m.A * m.x + m.b).T * m.C * (m.D * m.x + m.c), "x",
        v.A.T @ v.C @ (v.D @ v.x + v.c) + v.D.T @ v.C.T @ (v.A @ v.x + v.b),
    ),
    "b'X'DXc": (s.b @ s.X.T @ s.D @ s.X @ s.c, m.b.T * m.X.T * m.D * m.X * m.c, "X",
                v.D.T @ v.X @ outer(v.b, v.c) + v.D @ v.X @ outer(v.c, v.b)),
    "(Xb+c)'D(Xb+c)": (
        (s.X @ s.b + s.c) @ s.D @ (s.X @ s.b + s.c), (m.X * m.b + m.c).T * m.D * (m.X * m.b + m.c),
        "X", (v.D + v.D.T) @ outer(v.X @ v.b + v.c, v.b),
    ),
    "(x-Ay)'S(x-Ay) by y": (
        (s.x - s.A @ s.y) @ s.S @ (s.x - s.A @ s.y), (m.x - m.A * m.y).T * m.S * (m.x - m.A * m.y),
        "y", -2 * v.A.T @ v.S @ (v.x - v.A @ v.y),
    ),
    "(x-Ay)'S(x-Ay) by x": (
        (s.x - s.A @ s.y) @ s.S @ (s.x - s.A @ s.y), (m.x - m.A * m.y).T * m.S * (m.x - m.A * m.y),
        "x", 2 * v.S @ (v.x - v.A @ v.y),
    ),
    "(x-Ay)'S(x-Ay) by A": (
        (s.x - s.A @ s.y) @ s.S @ (s.x - s.A @ s.y), (m.x - m.A * m.y).T * m.S * (m.x - m.A * m.y),
        "A", -2 * v.S @ outer(v.x - v.A @ v.y, v.y),
    ),
    "(x'x)²": ((s.x @ s.x) ** 2, (m.x.T * m.x) ** 2, "x", 4 * v.x @ v.x * v.x),
    "a'xx'b": ((s.a @ s.x) * (s.x @ s.b), m.a.T * m.x * m.x.T * m.b, "x",
               (outer(v.a, v.b) + outer(v.b, v.a)) @ v.x),
    "Rayleigh quotient": (
        (s.x @ s.A @ s.x) / (s.x @ s.x), (m.x.T * m.A * m.x)[0, 0] / (m.x.T * m.x)[0, 0], "x",
        ((v.A + v.A.T) @ v.x - 2 * (v.x @ v.A @ v.x) / (v.x @ v.x) * v.x) / (v.x @ v.x),
    ),
    "generalised Rayleigh quotient": (
        (s.x @ s.T @ s.x) / (s.x @ s.S @ s.x),
        (m.x.T * m.T * m.x)[0, 0] / (m.x.T * m.S * m.x)[0, 0],
        "x", 2 * (v.T @ v.x - (v.x @ v.T @ v.x) / (v.x @ v.S @ v.x) * (v.S @ v.x))
        / (v.x @ v.S @ v.x),
    ),
    # --- norms ---
    "‖x‖": (sd.norm(s.x), norm(m.x), "x", v.x / np.linalg.norm(v.x)),
    "‖x‖²": (sd.norm(s.x) ** 2, m.x.T * m.x, "x", 2 * v.x),
    "‖x - a‖": (sd.norm(s.x - s.a), norm(m.x - m.a), "x",
                (v.x - v.a) / np.linalg.norm(v.x - v.a)),
    "1 / ‖x‖": (1 / sd.norm(s.x), 1 / norm(m.x), "x", -v.x / np.linalg.norm(v.x) ** 3),
    "‖x‖₁": (sd.norm(s.x, 1), None, "x", np.sign(v.x)),
    "‖x‖₃": (sd.norm(s.x, 3), None, "x",
             v.x * np.abs(v.x) / (np.abs(v.x) ** 3).sum() ** (2 / 3)),
    "‖x‖∞": (sd.norm(s.x, np.inf), None, "x",
             np.sign(v.x) * (np.abs(v.x) == np.abs(v.x).max())),
    "‖Nb - u‖² by b": (sd.sum((s.N @ s.b - s.u) ** 2), (m.N * m.b - m.u).T * (m.N * m.b - m.u),
                       "b", 2 * v.N.T @ (v.N @ v.b - v.u)),
    "‖Nb - u‖² by N": (sd.sum((s.N @ s.b - s.u) ** 2), (m.N * m.b - m.u).T * (m.N * m.b - m.u),
                       "N", 2 * outer(v.N @ v.b - v.u, v.b)),
    "‖Nb - u‖": (sd.norm(s.N @ s.b - s.u), norm(m.N * m.b - m.u), "b",
                 v.N.T @ (v.N @ v.b - v.u) / np.linalg.norm(v.N @ v.b - v.u)),
    "ridge": (sd.sum((s.N @ s.b - s.u) ** 2) + s.t * sd.sum(s.b**2),
              ((m.N * m.b - m.u).T * (m.N * m.b - m.u))[0, 0] + m.t * (m.b.T * m.b)[0, 0], "b",
              2 * v.N.T @ (v.N @ v.b - v.u) + 2 * v.t * v.b),
    "sum of squared norms": (
        sd.sum((s.A @ s.x - s.a) ** 2) + sd.sum((s.B @ s.x - s.b) ** 2),
        (m.A * m.x - m.a).T * (m.A * m.x - m.a) + (m.B * m.x - m.b).T * (m.B * m.x - m.b), "x",
        2 * v.A.T @ (v.A @ v.x - v.a) + 2 * v.B.T @ (v.B @ v.x - v.b),
    ),
    "‖X‖F": (sd.norm(s.X, "fro"), fro(m.X), "X", v.X / np.linalg.norm(v.X)),
    "‖X‖F²": (sd.sum(s.X**2), Tr(m.X.T * m.X), "X", 2 * v.X),
    "‖X - A‖F": (sd.norm(s.X - s.A), fro(m.X - m.A), "X", (v.X - v.A) / np.linalg.norm(v.X - v.A)),
    "‖AX - B‖F²": (sd.sum((s.A @ s.X - s.B) ** 2), Tr((m.A * m.X - m.B).T * (m.A * m.X - m.B)),
                   "X", 2 * v.A.T @ (v.A @ v.X - v.B)),
    "‖XX' - T‖F²": (sd.sum((s.X @ s.X.T - s.T) ** 2),
                    Tr((m.X * m.X.T - m.T).T * (m.X * m.X.T - m.T)), "X",
                    4 * (v.X @ v.X.T - v.T) @ v.X),
    "‖N X - u a'‖F² + t ‖X‖F²": (
        sd.sum((s.N @ s.X - sd.outer(s.u, s.a)) ** 2) + s.t * sd.sum(s.X**2),
        Tr((m.N * m.X - m.u * m.a.T).T * (m.N * m.X - m.u * m.a.T)) + m.t * Tr(m.X.T * m.X), "X",
        2 * v.N.T @ (v.N @ v.X - outer(v.u, v.a)) + 2 * v.t * v.X,
    ),
    "cosine similarity": (
        s.a @ s.x / (sd.norm(s.a) * sd.norm(s.x)),
        (m.a.T * m.x)[0, 0] / (norm(m.a) * norm(m.x)), "x",
        v.a / np.linalg.norm(v.a) / np.linalg.norm(v.x)
        - (v.a @ v.x) * v.x / np.linalg.norm(v.a) / np.linalg.norm(v.x) ** 3,
    ),
    # --- elementwise and Hadamard forms ---
    "Σ A⊙X": (sd.sum(s.A * s.X), Tr(m.A.T * m.X), "X", v.A),
    "tr A'(X⊙X)": (sd.sum(s.A * s.X**2), Tr(m.A.T * HP(m.X, m.X)), "X", 2 * v.A * v.X),
    "tr (A⊙X)B": (sd.trace((s.A * s.X) @ s.B), Tr(HP(m.A, m.X) * m.B), "X", v.A * v.B.T),
    "a'(X⊙A)b": (s.a @ (s.X * s.A) @ s.b, m.a.T * HP(m.X, m.A) * m.b, "X",
                 v.A * outer(v.a, v.b)),
    "Σ (X⊙A)X": (sd.sum((s.X * s.A) @ s.X), None, "X",
                 v.A * (np.ones((3, 1)) @ v.X.sum(axis=1)[None, :])
                 + np.outer((v.X * v.A).sum(axis=0), np.ones(3))),
    "Σ X⊙X⊙X": (sd.sum(s.X * s.X * s.X), sd.sum(HP(m.X, m.X, m.X)), "X", 3 * v.X**2),
    "Σ X^∘⁴": (sd.sum(s.X**4), sd.sum(sp.HadamardPower(m.X, 4)), "X", 4 * v.X**3),
    "Σ A⊙X⁻¹": (sd.sum(s.A * sd.inv(s.X)), Tr(m.A.T * m.X.I), "X",
                -inv(v.X).T @ v.A @ inv(v.X).T),
    "Σ exp X": (sd.sum(sd.exp(s.X)), sd.sum(each(m.X, sp.exp)), "X", np.exp(v.X)),
    "tr exp∘X": (sd.trace(sd.exp(s.X)), Tr(each(m.X, sp.exp)), "X", diag(diag(np.exp(v.X)))),
    "a' exp(Xb)": (s.a @ sd.exp(s.X @ s.b), m.a.T * each(m.X * m.b, sp.exp), "X",
                   outer(v.a * np.exp(v.X @ v.b), v.b)),
    "a' sin(Ax)": (s.a @ sd.sin(s.A @ s.x), m.a.T * each(m.A * m.x, sp.sin), "x",
                   v.A.T @ (v.a * np.cos(v.A @ v.x))),
    "a' tanh(Xb)": (s.a @ sd.tanh(s.X @ s.b), m.a.T * each(m.X * m.b, sp.tanh), "X",
                    outer(v.a * (1 - np.tanh(v.X @ v.b) ** 2), v.b)),
    "a' log p": (s.a @ sd.log(s.p), m.a.T * each(m.p, sp.log), "p", v.a / v.p),
    "a'(x⊙x⊙x)": (s.a @ s.x**3, m.a.T * HP(m.x, m.x, m.x), "x", 3 * v.a * v.x**2),
    "x' diag(a) x": (s.x @ sd.diag(s.a) @ s.x, m.x.T * sp.DiagMatrix(m.a) * m.x, "x",
                     2 * v.a * v.x),
    "x' diag(a) x by a": (s.x @ sd.diag(s.a) @ s.x, m.x.T * sp.DiagMatrix(m.a) * m.x, "a", v.x**2),
    "tr diag(x) A": (sd.trace(sd.diag(s.x) @ s.A), Tr(sp.DiagMatrix(m.x) * m.A), "x", diag(v.A)),
    "tr diag(x) A diag(x) B": (
        sd.trace(sd.diag(s.x) @ s.A @ sd.diag(s.x) @ s.B),
        Tr(sp.DiagMatrix(m.x) * m.A * sp.DiagMatrix(m.x) * m.B), "x",
        (v.A * v.B.T + v.A.T * v.B) @ v.x,
    ),
    "det diag(p)": (sd.det(sd.diag(s.p)), Det(sp.DiagMatrix(m.p)), "p", v.p.prod() / v.p),
    "Π x": (sd.prod(s.x), None, "x", v.x.prod() / v.x),
    "entropy": (-sd.sum(s.p * sd.log(s.p)), -sd.sum(HP(m.p, each(m.p, sp.log))), "p",
                -np.log(v.p) - 1),
    "relative entropy by q": (sd.sum(s.p * sd.log(s.p / s.q)), None, "q", -v.p / v.q),
    "relative entropy by p": (sd.sum(s.p * sd.log(s.p / s.q)), None, "p", np.log(v.p / v.q) + 1),
    "log Σ exp x": (sp.log(sd.sum(sd.exp(s.x))), sp.log(sd.sum(each(m.x, sp.exp))), "x",
                    softmax(v.x)),
    "a' softmax x": (s.a @ sd.softmax(s.x), None, "x",
                     softmax(v.x) * (v.a - v.a @ softmax(v.x))),
    "logistic regression": (
        sd.sum(sd.log(1 + sd.exp(s.N @ s.b)) - s.z * (s.N @ s.b)),
        sd.sum(each(m.N * m.b, lambda e: sp.log(1 + sp.exp(e))) - HP(m.z, m.N * m.b)), "b",
        v.N.T @ (sigma(v.N @ v.b) - v.z),
    ),
    "Poisson regression": (sd.sum(sd.exp(s.N @ s.b) - s.z * (s.N @ s.b)),
                           sd.sum(each(m.N * m.b, sp.exp) - HP(m.z, m.N * m.b)), "b",
                           v.N.T @ (np.exp(v.N @ v.b) - v.z)),
    "multinomial regression": (
        -sd.sum(sd.log_softmax(s.N @ s.X, axis=1)[:, 0]), None, "X",
        v.N.T @ (np.exp(v.N @ v.X) / np.exp(v.N @ v.X).sum(axis=1, keepdims=True) - np.eye(3)[0]),
    ),
    "u' relu(Nb)": (s.u @ sd.relu(s.N @ s.b), m.u.T * each(m.N * m.b, lambda e: sp.Max(e, 0)),
                    "b", v.N.T @ (v.u * (v.N @ v.b > 0))),
    "Σ |X|": (sd.sum(abs(s.X)), sd.sum(each(m.X, sp.Abs)), "X", np.sign(v.X)),
    "max x": (sd.max(s.x), None, "x", (v.x == v.x.max()).astype(float)),
    "two layers": (
        s.a @ sd.tanh(s.A @ sd.tanh(s.X @ s.b)),
        m.a.T * each(m.A * each(m.X * m.b, sp.tanh), sp.tanh),
        "X",
        outer((1 - np.tanh(v.X @ v.b) ** 2)
              * (v.A.T @ (v.a * (1 - np.tanh(v.A @ np.tanh(v.X @ v.b)) ** 2))), v.b),
    ),
    # --- statistics ---
    "Gaussian by its mean": (
        -(s.x - s.y) @ sd.solve(s.S, s.x - s.y) / 2 - sd.logdet(s.S) / 2,
        -((m.x - m.y).T * m.S.I * (m.x - m.y))[0, 0] / 2 - sp.log(Det(m.S)) / 2, "y",
        inv(v.S) @ (v.x - v.y),
    ),
    "Gaussian by its covariance": (
        -(s.x - s.y) @ sd.solve(s.S, s.x - s.y) / 2 - sd.logdet(s.S) / 2,
        -((m.x - m.y).T * m.S.I * (m.x - m.y))[0, 0] / 2 - sp.log(Det(m.S)) / 2, "S",
        (inv(v.S) @ outer(v.x - v.y, v.x - v.y) @ inv(v.S) - inv(v.S)) / 2,
    ),
    "Gaussian by its precision": (
        sd.logdet(s.S) / 2 - (s.x - s.y) @ s.S @ (s.x - s.y) / 2,
        sp.log(Det(m.S)) / 2 - ((m.x - m.y).T * m.S * (m.x - m.y))[0, 0] / 2, "S",
        (inv(v.S) - outer(v.x - v.y, v.x - v.y)) / 2,
    ),
    "graphical lasso": (sd.trace(s.T @ s.S) - sd.logdet(s.S) + s.t * sd.sum(abs(s.S)), None, "S",
                        v.T - inv(v.S) + v.t * np.sign(v.S)),
    "Student t": (
        sp.log(1 + (s.x - s.y) @ sd.solve(s.S, s.x - s.y) / 5),
        sp.log(1 + ((m.x - m.y).T * m.S.I * (m.x - m.y))[0, 0] / 5), "y",
        -2 * inv(v.S) @ (v.x - v.y) / (5 + (v.x - v.y) @ inv(v.S) @ (v.x - v.y)),
    ),
    "tr (S + tT)³ by t": (sd.trace(sd.matrix_power(s.S + s.t * s.T, 3)),
                          Tr((m.S + m.t * m.T) ** 3), "t",
                          3 * tr((v.S + v.t * v.T) @ (v.S + v.t * v.T) @ v.T)),
}  # fmt: skip


def _pairs(function):
    """The array of ``function(i, j, k, h)``."""
    return np.array(
        [[[[function(i, j, k, h) for h in range(3)] for k in range(3)] for j in range(3)]
         for i in range(3)]
    )  # fmt: skip


_inverse = inv(v.X)
_square = _inverse @ _inverse
_unit = v.x / np.linalg.norm(v.x)
_logistic = sigma(v.N @ v.b)
_soft = softmax(v.x)

JACOBIANS = {
    "Ax": (s.A @ s.x, m.A * m.x, "x", v.A),
    "x'A": (s.x @ s.A, m.A.T * m.x, "x", v.A.T),
    "Ax + b": (s.A @ s.x + s.b, m.A * m.x + m.b, "x", v.A),
    "x": (s.x, m.x, "x", I3),
    "a⊙x": (s.a * s.x, HP(m.a, m.x), "x", diag(v.a)),
    "x⊙Ax": (s.x * (s.A @ s.x), HP(m.x, m.A * m.x), "x", diag(v.x) @ v.A + diag(v.A @ v.x)),
    "x x'a": (s.x * (s.x @ s.a), m.x * (m.x.T * m.a), "x", (v.x @ v.a) * I3 + outer(v.x, v.a)),
    "exp Ax": (sd.exp(s.A @ s.x), each(m.A * m.x, sp.exp), "x", diag(np.exp(v.A @ v.x)) @ v.A),
    "tanh Ax": (sd.tanh(s.A @ s.x), each(m.A * m.x, sp.tanh), "x",
                diag(1 - np.tanh(v.A @ v.x) ** 2) @ v.A),
    "x / ‖x‖": (s.x / sd.norm(s.x), m.x / norm(m.x), "x",
                (I3 - outer(_unit, _unit)) / np.linalg.norm(v.x)),
    "softmax x": (sd.softmax(s.x), None, "x", diag(_soft) - outer(_soft, _soft)),
    "log softmax x": (sd.log_softmax(s.x), None, "x", I3 - np.tile(_soft, (3, 1))),
    "cumsum x": (sd.cumsum(s.x), None, "x", np.tril(np.ones((3, 3)))),
    "A⁻¹b by b": (sd.solve(s.X, s.b), m.X.I * m.b, "b", _inverse),
    "A⁻¹b by A": (sd.solve(s.X, s.b), m.X.I * m.b, "X",
                  -np.einsum("ij,k->ijk", _inverse, _inverse @ v.b)),
    "xx'": (sd.outer(s.x, s.x), m.x * m.x.T, "x",
            np.einsum("ik,j->ijk", I3, v.x) + np.einsum("jk,i->ijk", I3, v.x)),
    "Xb": (s.X @ s.b, m.X * m.b, "X", np.einsum("ij,k->ijk", I3, v.b)),
    "AXB": (s.A @ s.X @ s.B, m.A * m.X * m.B, "X", np.einsum("ik,lj->ijkl", v.A, v.B)),
    "X'": (s.X.T, m.X.T, "X", _pairs(lambda i, j, k, h: float(i == h and j == k))),
    "X²": (s.X @ s.X, m.X**2, "X",
           np.einsum("ik,lj->ijkl", I3, v.X) + np.einsum("ik,lj->ijkl", v.X, I3)),
    "X'X": (s.X.T @ s.X, m.X.T * m.X, "X",
            _pairs(lambda i, j, k, h: (i == h) * v.X[k, j] + (j == h) * v.X[k, i])),
    "XX'": (s.X @ s.X.T, m.X * m.X.T, "X",
            _pairs(lambda i, j, k, h: (i == k) * v.X[j, h] + (j == k) * v.X[i, h])),
    "X⁻¹": (sd.inv(s.X), m.X.I, "X", -np.einsum("ik,lj->ijkl", _inverse, _inverse)),
    "X⊙X": (s.X * s.X, HP(m.X, m.X), "X",
            _pairs(lambda i, j, k, h: 2.0 * v.X[i, j] * (i == k and j == h))),
    "tr(X) X": (sd.trace(s.X) * s.X, Tr(m.X) * m.X, "X",
                np.einsum("ij,kl->ijkl", v.X, I3)
                + tr(v.X) * _pairs(lambda i, j, k, h: float(i == k and j == h))),
}  # fmt: skip

HESSIANS = {
    "x'Ax": (s.x @ s.A @ s.x, m.x.T * m.A * m.x, "x", v.A + v.A.T),
    "‖Ax - b‖²/2": (sd.sum((s.A @ s.x - s.b) ** 2) / 2,
                    (m.A * m.x - m.b).T * (m.A * m.x - m.b) / 2, "x", v.A.T @ v.A),
    "(x'x)²": ((s.x @ s.x) ** 2, (m.x.T * m.x) ** 2, "x",
               4 * (v.x @ v.x) * I3 + 8 * outer(v.x, v.x)),
    "exp a'x": (sp.exp(s.a @ s.x), sp.exp((m.a.T * m.x)[0, 0]), "x",
                np.exp(v.a @ v.x) * outer(v.a, v.a)),
    "log a'p": (sp.log((s.a @ s.p) ** 2) / 2, sp.log((m.a.T * m.p)[0, 0] ** 2) / 2, "p",
                -outer(v.a, v.a) / (v.a @ v.p) ** 2),
    "‖x‖": (sd.norm(s.x), norm(m.x), "x", (I3 - outer(_unit, _unit)) / np.linalg.norm(v.x)),
    "log Σ exp x": (sp.log(sd.sum(sd.exp(s.x))), sp.log(sd.sum(each(m.x, sp.exp))), "x",
                    diag(_soft) - outer(_soft, _soft)),
    "logistic regression": (sd.sum(sd.softplus(s.N @ s.b)), None, "b",
                            v.N.T @ diag(_logistic * (1 - _logistic)) @ v.N),
    "Poisson regression": (sd.sum(sd.exp(s.N @ s.b)), sd.sum(each(m.N * m.b, sp.exp)), "b",
                           v.N.T @ diag(np.exp(v.N @ v.b)) @ v.N),
    "Σ p log p": (sd.sum(s.p * sd.log(s.p)), sd.sum(HP(m.p, each(m.p, sp.log))), "p",
                  diag(1 / v.p)),
    "a'x^∘³": (s.a @ s.x**3, m.a.T * sp.HadamardPower(m.x, 3), "x", diag(6 * v.a * v.x)),
    "1 / x'x": (1 / (s.x @ s.x), 1 / (m.x.T * m.x)[0, 0], "x",
                -2 * I3 / (v.x @ v.x) ** 2 + 8 * outer(v.x, v.x) / (v.x @ v.x) ** 3),
    "Π p": (sd.prod(s.p), None, "p", v.p.prod() * (outer(1 / v.p, 1 / v.p) - diag(1 / v.p**2))),
    "tr X'X": (sd.trace(s.X.T @ s.X), Tr(m.X.T * m.X), "X",
               _pairs(lambda i, j, k, h: 2.0 * (i == k and j == h))),
    "tr X²": (sd.trace(s.X @ s.X), Tr(m.X**2), "X",
              _pairs(lambda i, j, k, h: 2.0 * (i == h and j == k))),
    "(tr X)²": (sd.trace(s.X) ** 2, Tr(m.X) ** 2, "X", 2 * np.einsum("ij,kl->ijkl", I3, I3)),
    "tr X'AX": (sd.trace(s.X.T @ s.A @ s.X), Tr(m.X.T * m.A * m.X), "X",
                np.einsum("ik,jl->ijkl", v.A + v.A.T, I3)),
    "log det X": (sd.logdet(s.X), sp.log(Det(m.X)), "X",
                  -_pairs(lambda i, j, k, h: _inverse[h, i] * _inverse[j, k])),
    "det X": (sd.det(s.X), Det(m.X), "X",
              det(v.X) * _pairs(lambda i, j, k, h: _inverse[j, i] * _inverse[h, k]
                                - _inverse[h, i] * _inverse[j, k])),
    "tr X⁻¹": (sd.trace(sd.inv(s.X)), Tr(m.X.I), "X",
               _pairs(lambda i, j, k, h: _inverse[j, k] * _square[h, i]
                      + _square[j, k] * _inverse[h, i])),
}  # fmt: skip

FORMS = {
    **{("gradient", name): form for name, form in GRADIENTS.items()},
    **{("jacobian", name): form for name, form in JACOBIANS.items()},
    **{("hessian", name): form for name, form in HESSIANS.items()},
}
DERIVE = {"gradient": sd.gradient, "jacobian": sd.jacobian, "hessian": sd.hessian}


def check(kind, expression, symbols, name, expected):
    wrt = getattr(symbols, name)
    values = {getattr(symbols, k): d if np.ndim(d) != 1 or symbols is s else d[:, None]
              for k, d in VALUES.items()}  # fmt: skip
    derivative = DERIVE[kind](expression, wrt)
    result = sd.evaluate(derivative, values)
    own = np.shape(values[wrt])
    shape = {"gradient": own, "hessian": own + own}.get(kind)
    if shape is None:
        shape = sd.shape(expression) + own
    assert result.shape == shape
    np.testing.assert_allclose(
        result, np.reshape(expected, shape), rtol=1e-10, atol=1e-10 * np.abs(expected).max()
    )


def test_there_are_a_hundred():
    assert len(FORMS) >= 100
    assert sum(form[1] is not None for form in FORMS.values()) >= 100


@pytest.mark.parametrize("kind, name", FORMS)
def test_tensors(kind, name):
    expression, _, symbol, expected = FORMS[kind, name]
    check(kind, expression, s, symbol, expected)


@pytest.mark.parametrize("kind, name", [key for key, form in FORMS.items() if form[1] is not None])
def test_matrix_symbols(kind, name):
    _, expression, symbol, expected = FORMS[kind, name]
    check(kind, expression, m, symbol, expected)
