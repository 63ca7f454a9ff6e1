"""Phases that threads share: products over few rows, each thread computing a part of them."""

import importlib

import numpy as np
import pytest
import sympy as sp
from loops import Loops

import codegen
import symdiff as sd
from codegen.control import share
from codegen.loop_ir import (
    Block,
    Buffer,
    Call,
    Const,
    Gemm,
    Let,
    Load,
    Loop,
    Matrix,
    Phase,
    Store,
    Update,
    Var,
    const,
)  # fmt: skip
from codegen.training import TrainingKernel
from codegen.verify import InvalidLoopIR, verify
from symdiff import optimizers

X, t = sd.tensor("X", "n", 17), sd.tensor("t", "n", dtype="int")
W1, W2, W3 = sd.tensor("W1", 17, 17), sd.tensor("W2", 17, 17), sd.tensor("W3", 17, 17)
b1 = sd.tensor("b1", 17)


def with_gradients(loss, *symbols):
    return [loss, *sd.gradient(loss, list(symbols))]


layers = sd.losses.cross_entropy(sd.relu(sd.tanh(X @ W1 + b1) @ W2) @ W3, t)
GRAPHS = {
    "layers": with_gradients(layers, W1, b1, W2, W3),
    "decay": with_gradients(layers + sd.sum(W1**2) + sd.sum(sd.tanh(W2)), W1, W2, W3, b1),
    "transposed": [(sd.tanh(X @ W1).T @ sd.relu(X @ W1)).T / 3, X.T @ sd.relu(X @ W1) - W1],
    "normal equations": [
        sd.solve(X.T @ X + sd.eye(17), X.T @ sd.sum(X, axis=1)),
        sd.trace(X.T @ X),
    ],
    "chain": [(X.T @ X) @ (X.T @ X) @ W1, sd.sum(X.T @ X, axis=0)],
}


@pytest.fixture
def small(monkeypatch):
    """Small products are worth it, too."""
    schedule = importlib.import_module("codegen.schedule")
    monkeypatch.setattr(schedule, "SHARED_ELEMENTS", 20)
    monkeypatch.setattr(schedule, "GEMM_WORK", 20)
    monkeypatch.setattr(schedule, "SHARED_WORK", 20)
    monkeypatch.setattr(importlib.import_module("codegen.passes.sharing"), "SHARE_WORK", 200)


def cut_bodies(monkeypatch, size):
    """Short bodies are cut into functions, too."""
    split = importlib.import_module("codegen.passes.split")
    monkeypatch.setattr(split, "LIMIT", size + 1)
    monkeypatch.setattr(split, "SIZE", size)


@pytest.mark.parametrize("cut", [False, True], ids=["", "cut"])
@pytest.mark.parametrize("order", [None, [5, 0, 3, 3]], ids=["all", "gathered"])
@pytest.mark.parametrize("name", GRAPHS)
def test_shared_products_mean_the_same(small, name, order, cut, monkeypatch):
    if cut:
        cut_bodies(monkeypatch, 3)
    random = np.random.default_rng(0)
    expressions = GRAPHS[name]
    used = {s for e in expressions for s in sd.language.as_expression(e).free_symbols}
    values = {s: random.normal(size=[7 if str(d) == "n" else int(d) for d in s.shape])
              for s in (X, W1, W2, W3, b1) if s in used}  # fmt: skip
    if t in used:
        values[t] = random.integers(0, 3, 7)
    batch = values
    if order is not None:
        batch = {s: v[order] if str(s.shape[0]) == "n" else v for s, v in values.items()}
    expected = sd.evaluate(expressions, batch)
    loops = Loops(expressions, values, order=order, few=True)
    kinds = set()
    for stage, phases in loops.stages():
        loops.verify(phases, laid_out=stage == "layout")
        kinds |= {phase.kind for phase in phases}
        for result, value in zip(loops.run(phases, chunks=2), expected, strict=True):
            assert np.allclose(result, value, 1e-9, 1e-11), f"after {stage!r}"
    assert "shared" in kinds
    parts = [s for p in phases if p.kind == "shared" for s in p.body if isinstance(s, Block)]
    assert not parts if not cut else parts or name in ("transposed", "chain")


# --- what threads may do together --------------------------------------------------------

N = const(64)


def matrix(name, space="shared"):
    return Buffer(name, [N, N], "real", space, array=name)


def loop(counter, *body):
    return Loop(counter, N, list(body))


def copy(target, source, i, j):
    one, other = (Var(c, "int") for c in "ij")
    return loop(
        "i", loop("j", Store(target, (one, other), Load(source, (Var(i, "int"), Var(j, "int")))))
    )


def product(c, a, b):
    return Gemm(Matrix(c), Matrix(a), Matrix(b), N, N, N, False)


A, B, C, D = (matrix(name) for name in "ABCD")
total = Buffer("s", [], "real", "shared", array="s")
number = Buffer("x", [], "real", "scalar")
copied = Buffer("y", [], "real", "private", array="y")
GOOD = {
    "a sum that each thread computes": [
        Store(number, (), Const(sp.S.Zero, "real")),
        loop("i", Update(number, (), "add", Load(A, (Var("i", "int"), const(0))))),
        loop("i", Store(B, (Var("i", "int"), const(0)), Load(number, ()))),
    ],
    "rows of a product": [product(C, A, B), copy(D, C, "i", "j")],
    "a product into what was read": [copy(D, C, "i", "j"), product(C, A, B)],
    "numbers of the first thread": [Store(total, (), Load(A, (const(0), const(0)))),
                                    Store(matrix("E"), (const(0), const(0)), Load(total, ()))],
    "a number in memory of its own that many read": [
        Store(copied, (), Load(total, ())),
        loop("i", Store(A, (Var("i", "int"), const(0)), Load(copied, ()))),
        Loop("i", const(63), [Store(B, (Var("i", "int"), const(0)), Load(copied, ()))]),
    ],
    "variables": [Let("x", Load(total, ())), loop("i", Store(
        A, (Var("i", "int"), const(0)), Var("x", "real")))],
}  # fmt: skip
BAD = {
    "a sum over all rows": [
        Store(number, (), Const(sp.S.Zero, "real")),
        loop("i", Update(number, (), "add", Const(sp.S.One, "real"))),
        loop("i", Store(A, (Var("i", "int"), const(0)), Load(number, ()))),
        loop("i", Update(number, (), "add", Load(A, (Var("i", "int"), const(0)))),
             Store(B, (Var("i", "int"), const(0)), Load(number, ()))),
    ],
    "another row": [product(C, A, B), copy(D, C, "j", "i")],
    "a product of a result": [product(C, A, B), product(D, A, C)],
    "a result of a loop": [copy(D, C, "i", "j"), product(A, D, B)],
    "a number that others read": [
        Store(total, (), Const(sp.S.One, "real")), Let("x", Load(total, ())),
    ],
    "a row that the first thread reads": [copy(D, C, "i", "j"), Store(
        total, (), Call("add", (Load(D, (const(9), const(9))),) * 2, "real"))],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_threads_that_do_not_meet(name):
    verify([Phase("p", "shared", GOOD[name])], [], None)


@pytest.mark.parametrize("name", BAD)
def test_threads_that_would_meet(name):
    with pytest.raises(InvalidLoopIR, match="meet"):
        verify([Phase("p", "shared", BAD[name])], [], None)


@pytest.mark.parametrize("extent", [0, 1, 7, 8, 9, 64, 100, 1001])
def test_the_parts_of_threads_are_all(extent):
    for nth in (1, 2, 3, 7):
        parts = [range(*share(extent, tid, nth)) for tid in range(nth)]
        assert [i for part in parts for i in part] == list(range(extent))


# --- training ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "cut"), [("float32", 0), ("float64", 0), ("float64", 3), ("float64", 13)]
)
def test_training_with_shared_products(dtype, cut, monkeypatch):
    """The same bits for any number of threads; one step is that of the formula."""
    if cut:
        cut_bodies(monkeypatch, cut)
    monkeypatch.setattr(importlib.import_module("codegen.run"), "STEP_WORK", 0)
    used = []
    bind = TrainingKernel.bind

    def spy(self, *arguments, **keywords):
        run = bind(self, *arguments, **keywords)
        used.append((run.threads, "    whole(tid, nth, " in self.source))
        return run

    monkeypatch.setattr(TrainingKernel, "bind", spy)
    x, labels = sd.tensor("x", "n", 30), sd.tensor("labels", "n", dtype="int")
    V1, c1, V2 = sd.tensor("V1", 30, 90), sd.tensor("c1", 90), sd.tensor("V2", 90, 90)
    s2, c2, V3 = sd.tensor("s2", 90), sd.tensor("c2", 90), sd.tensor("V3", 90, 7)
    loss = sd.losses.cross_entropy(sd.relu(sd.relu(x @ V1 + c1) @ V2 * s2 + c2) @ V3, labels)
    loss += sd.sum(V1**2) / 1000 + sd.sum(sd.tanh(V2)) / 100
    random = np.random.default_rng(1)
    start = {V1: random.normal(size=(30, 90)) / 6, c1: random.normal(size=90) / 6,
             V2: random.normal(size=(90, 90)) / 9, c2: random.normal(size=90) / 9, s2: np.ones(90),
             V3: random.normal(size=(90, 7)) / 9}  # fmt: skip
    data = {x: random.normal(size=(305, 30)), labels: random.integers(0, 7, 305)}
    results = []
    for threads in (1, 2, 3):
        trainer = codegen.Trainer(loss, start, optimizers.SGD(0.1), dtype=dtype, threads=threads)
        trainer.fit(data, batch_size=150, epochs=3, shuffle=False)  # the last batch has 5 rows
        results.append(trainer.parameters)
    assert used == [(1, True), (2, True), (3, True)]
    for other in results[1:]:
        for symbol in start:
            assert np.array_equal(other[symbol], results[0][symbol])
    expected = {s: v.copy() for s, v in start.items()}
    for _ in range(3):
        for rows in (slice(0, 150), slice(150, 300), slice(300, 305)):
            batch = {s: v[rows] for s, v in data.items()}
            gradients = sd.evaluate(sd.gradient(loss, list(start)), {**batch, **expected})
            for symbol, gradient in zip(start, gradients, strict=True):
                expected[symbol] = expected[symbol] - 0.1 * gradient
    for symbol in start:
        tolerance = 1e-5 if dtype == "float32" else 1e-12
        assert np.allclose(results[0][symbol], expected[symbol], tolerance, tolerance)


def test_many_rows_keep_their_activations_to_themselves():
    """Memory for the activations of all rows is taken for small batches only."""
    x, V = sd.tensor("x", "n", 64), sd.tensor("V", 64, 64)
    loss = sd.mean(sd.tanh(x @ V) ** 2)
    sources = []
    for rows in (1024, 1025):
        trainer = codegen.Trainer(loss, {V: 0.1}, optimizers.SGD(0.1))
        trainer.fit({x: np.ones((rows, 64))}, steps=1, batch_size=None)
        sources.append(trainer.source)
    assert "share(" in sources[0] and "share(" not in sources[1]
