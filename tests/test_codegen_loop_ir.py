"""Loop IR: what it means, that each pass keeps the meaning, and what verification finds."""

import numpy as np
import pytest
import sympy as sp
from loops import Loops

import symdiff as sd
from codegen.decompose import decompose
from codegen.interpret import interpret
from codegen.loop_ir import (
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
)
from codegen.passes import PASSES, run_pass
from codegen.verify import InvalidLoopIR, verify
from symdiff.bridge import to_graph
from symdiff.language import index

X, Y = sd.tensor("X", "n", 4), sd.tensor("Y", "n", 4)
t, i = sd.tensor("t", "n"), sd.tensor("i", "n", dtype="int")
v, W, B = sd.tensor("v", 4), sd.tensor("W", 4, 3), sd.tensor("B", "k", 4)
A, W1, W2 = sd.tensor("A", "n", 24), sd.tensor("W1", 24, 24), sd.tensor("W2", 24, 3)
Z, S = sd.tensor("Z", 9), sd.tensor("S", 6, 6)
a, b = sp.symbols("a b")
P = sp.symbols("p:70")


def with_gradients(loss, *symbols):
    return [loss, *sd.gradient(loss, list(symbols))]


GRAPHS = {
    "linear": with_gradients(sd.losses.mse(X @ v + a, t), v, a, X),
    "layers": with_gradients(sd.mean(sd.tanh(sd.relu(X @ W) @ W.T) * Y), W),
    "gemm": with_gradients(sd.losses.cross_entropy(sd.relu(A @ W1) @ W2, i), W1, W2),
    "reductions": [
        sd.max(X, axis=0), sd.min(X), sd.max(X, axis=1, keepdims=True), sd.logsumexp(X, axis=0),
        sd.argmax(X, axis=0), sd.argmax(X), sd.mean(X) + sd.var(X, axis=0), sd.std(t),
    ],
    "softmax": with_gradients(sd.sum(sd.softmax(X, axis=1) * Y), X),
    "gather": with_gradients(sd.sum(sp.exp(v[i]) * t) + sd.sum(W[i, 1] ** 2), v, W, t),
    "moves": [
        X.T, sd.reshape(X, -1) * 2, sd.reshape(X, (-1, 2)), X[1:, ::-2], X[::-1] + Y,
        sd.concatenate([X, 2 * Y]), sd.concatenate([X, t[:, None]], axis=1), sd.one_hot(i, 3),
    ],
    "moved": with_gradients(
        sd.sum(sd.concatenate([X[1:], sd.reshape(Y, (-1, 4)) ** 2]) @ v) + sd.sum(X.T @ t), X, Y, v
    ),
    "choices": with_gradients(
        sd.sum(sd.where(X > 0, sp.log(X), Y)) + sd.sum(sp.Max(X, Y)) + sd.sum(sp.Min(X, 0, v)), X, v
    ),
    "scalars": with_gradients(sp.exp(a * b) / (1 + a**2) + sp.sin(b) ** 3, a, b),
    "constants": [X * np.array([1.0, 2.0, 3.0, 4.0]), sd.arange("n") * t, t / X.shape[0]],
    "two sizes": with_gradients(sd.sum((X @ B.T) ** 2) + sd.sum(sp.tanh(B)), X, B),
    "bools": [X > Y, sp.And(X > 0, Y > 0), sd.sum(X > Y), (X > 0) * Y],
    "other elements": [
        index(sp.tanh(Z), slice(None, None, -1)) * sp.tanh(Z), sp.sin(S) * sd.transpose(sp.sin(S)),
        *with_gradients(sd.sum(sp.tanh(Z) * index(sp.tanh(Z), slice(None, None, -1))), Z),
    ],
    "scalars of wholes": [
        X @ (W * sp.sin(v @ v)), X * sp.sin(v @ v) - 1,
        (X - sd.mean(X, axis=0)) * sp.sin(v @ v) + sp.cos(sd.max(W)), sp.exp(sp.cos(sd.max(W))),
        *with_gradients(sd.sum(sp.sin(v @ v) * X @ v) / sd.max(W), v, W),
    ],
    "long": with_gradients(
        sp.Add(*[sp.exp(a / k) * sd.sum(sp.sin(X[:, k % 4] * b * k) * t) for k in range(1, 60)]),
        a, b, X,
    ),
    "long scalars": with_gradients(sp.Add(*[sp.sin(a + k) * sp.exp(-b * k) for k in range(99)]), a),
    "long sums": with_gradients(sd.sum(sp.Mul(*[sp.tanh(X @ v * p) for p in P])), *P),
    "scalars late": [
        X * sp.sin(v @ v), (X - sd.mean(X, axis=0)) * sp.sin(v @ v) + sp.cos(sd.max(W)),
        sp.exp(sp.cos(sd.max(W))),
    ],
    "scalars of sums": with_gradients(
        sd.softplus(v @ sd.mean(X, axis=0)) + sd.sum(X**2 * t[:, None]), X, v
    ),
    "literal choices": with_gradients(
        sd.sum(sd.concatenate([(X @ (X.T @ X))[:, 1:], X[:, :1]], axis=1) ** 2), X
    ),
    "nothing to do": [X, v, sp.Integer(2), i],
}  # fmt: skip

VALUES = {
    X: np.random.default_rng(0).normal(size=(7, 4)),
    Y: np.random.default_rng(1).normal(size=(7, 4)),
    t: np.random.default_rng(2).normal(size=7),
    i: np.array([0, 2, 1, 1, 0, 2, 2]),
    v: np.array([0.5, -1.0, 2.0, 0.25]),
    W: np.random.default_rng(3).normal(size=(4, 3)),
    B: np.random.default_rng(4).normal(size=(2, 4)),
    A: np.random.default_rng(5).normal(size=(7, 24)),
    W1: np.random.default_rng(6).normal(size=(24, 24)) / 5,
    W2: np.random.default_rng(7).normal(size=(24, 3)) / 5,
    Z: np.random.default_rng(8).normal(size=9),
    S: np.random.default_rng(9).normal(size=(6, 6)),
    a: 0.7,
    b: -0.3,
    **{p: 0.5 + k / 100 for k, p in enumerate(P)},
}


def used(expressions, values=VALUES):
    names = set().union(*(e.free_symbols for e in expressions))
    return {s: x for s, x in values.items() if s in names}


def assert_all_close(results, expected, message):
    for number, (result, right) in enumerate(zip(results, expected, strict=True)):
        np.testing.assert_allclose(
            result, right, rtol=1e-12, atol=1e-13, err_msg=f"{message}, result {number}"
        )


@pytest.mark.parametrize("name", GRAPHS)
def test_every_pass_keeps_the_meaning(name):
    expressions = GRAPHS[name]
    expected = sd.evaluate(expressions, used(expressions))
    loops = Loops(expressions, VALUES)
    for stage, phases in loops.stages():
        loops.verify(phases, laid_out=stage == "layout")
        assert_all_close(loops.run(phases, chunks=2), expected, f"after {stage!r}")


@pytest.mark.parametrize("chunks", [1, 3, 7])
@pytest.mark.parametrize("name", ["linear", "gemm", "reductions", "gather", "softmax"])
def test_chunks_do_not_matter(name, chunks):
    expressions = GRAPHS[name]
    loops = Loops(expressions, VALUES)
    results = loops.run(loops.finish(), chunks)
    assert_all_close(results, sd.evaluate(expressions, used(expressions)), f"{chunks} chunks")


@pytest.mark.parametrize("name", ["linear", "layers", "gemm", "gather"])
def test_batches_are_gathered(name):
    expressions = GRAPHS[name]
    order = [5, 0, 3, 3]
    values = {
        s: (np.asarray(x)[order] if np.shape(x)[:1] == (7,) else x) for s, x in VALUES.items()
    }
    expected = sd.evaluate(expressions, used(expressions, values))
    loops = Loops(expressions, VALUES, order=order)
    for stage, phases in loops.stages():
        loops.verify(phases, laid_out=stage == "layout")
        assert_all_close(loops.run(phases, 2), expected, f"after {stage!r}")


def test_every_pass_changes_something(monkeypatch):
    """A pass that these graphs do not exercise would pass the tests above untried."""
    monkeypatch.setattr("codegen.passes.sharing.SHARE_WORK", 1)
    changed = {name: False for name, _ in PASSES}
    weight = Buffer("weight", [const(1)], "real", "parameter")
    first = (const(0),)
    step = Phase("step", "step", [Update(weight, first, "add", Load(weight, first))])
    for expressions in GRAPHS.values():
        for order in (None, [1, 0]):
            loops = Loops(expressions, VALUES, order=order)
            for name, transform in PASSES:
                phases = [*loops.phases, step]
                before = repr(phases)
                run_pass(transform, phases, loops.names, loops.buffers)
                changed[name] |= before != repr(phases)
                loops.phases = phases[:-1]
    assert all(changed.values()), changed


# --- the interpreter ---------------------------------------------------------------------

N = Var("n", "int")


def real(value):
    return Const(sp.Float(value), "real")


def vector(name="x", space="output", row_axis=None, extent=N):
    return Buffer(name, [extent], "real", space, row_axis=row_axis, array=name)


def loop(counter, *body, extent=N):
    return Loop(counter, extent, list(body))


def at(name):
    return (Var(name, "int"),)


def test_chunks_and_partial_results():
    x, partial, total = vector("x", "data"), Buffer("p", [], "real", "partial"), vector("s")
    total.shape = []
    first = Phase("first", "rows", [loop("r", Update(partial, (), "add", Load(x, at("r"))))])
    first.before.append(Store(partial, (), real(0)))
    combined = Call("combine_add", (Load(partial, ()),), "real")
    second = Phase("second", "combine", [Store(total, (), combined)])
    for chunks in (1, 2, 5):
        result = np.zeros(())
        interpret([first, second], {x: np.arange(5.0), total: result}, {"n": 5}, N, chunks)
        assert result == 10


def test_what_is_read_must_have_been_written():
    work, x = vector("w", "private"), vector()
    phase = Phase("p", "rows", [loop("r", Store(x, at("r"), Load(work, at("r"))))])
    with pytest.raises(LookupError, match="before it is written"):
        interpret([phase], {x: np.zeros(3)}, {"n": 3}, N)


def test_an_index_out_of_bounds_is_an_error():
    x = vector()
    beyond = (Call("add", (Var("r", "int"), const(1)), "int"),)
    phase = Phase("p", "serial", [loop("r", Store(x, beyond, real(1)))])
    with pytest.raises(IndexError):
        interpret([phase], {x: np.zeros(3)}, {"n": 3})


def test_private_memory_does_not_outlive_a_chunk():
    work, x = vector("w", "private"), vector(row_axis=0)
    fill = Store(work, (const(0),), real(1))
    only_first = Call("where", (Call("equal", (Var("r", "int"), const(0)), "bool"),
                                real(2), Load(work, (const(0),))), "real")  # fmt: skip
    phase = Phase("p", "rows", [loop("r", Store(x, at("r"), only_first), fill)])
    interpret([phase], {x: np.zeros(4)}, {"n": 4}, N, 1)
    with pytest.raises(LookupError):
        interpret([phase], {x: np.zeros(4)}, {"n": 4}, N, 2)


# --- verification ------------------------------------------------------------------------


def serial(*body):
    return Phase("p", "serial", list(body))


def by_rows(*body, **options):
    return Phase("p", "rows", list(body), **options)


def square(space="shared", row_axis=None):
    return Buffer("C", [N, N], "real", space, row_axis=row_axis, array="C")


FOUR = const(4)


def gemm(c, m=FOUR, n=FOUR, k=FOUR, accumulate=False):
    other = Buffer("D", [N, N], "real", "data", array="D")
    return Gemm(*(Matrix(x) for x in (c, other, other)), m, n, k, accumulate)


GOOD = [
    serial(loop("j", Store(vector(), at("j"), real(1)))),
    by_rows(loop("r", Store(vector(row_axis=0), at("r"), real(1)))),
    by_rows(loop("r", Store(vector(space="private"), (const(3),), real(1)))),
    by_rows(gemm(square(row_axis=0), m=N)),
    by_rows(gemm(square("partial"), k=N, accumulate=True)),
    serial(Let("x1", real(1)), Store(vector(), (const(0),), Var("x1", "real"))),
    serial(
        Store(
            vector(),
            (const(0),),
            Call(
                "where",
                (Const(sp.false, "bool"), Load(vector("y", extent=const(2)), (const(2),)), real(1)),
                "real",
            ),
        )
    ),
]

BAD = {
    "read before it is bound": serial(Store(vector(), at("j"), real(1))),
    "x1 is read before": serial(Store(vector(), (const(0),), Var("x1", "real"))),
    "x2 is read before": serial(
        loop("j", Let("x2", real(1))), Store(vector(), (const(0),), Var("x2", "real"))
    ),
    "bound twice": serial(Let("x1", real(1)), Let("x1", real(2))),
    "in use where a loop begins": serial(loop("j", loop("j", Store(vector(), at("j"), real(1))))),
    "counter n": serial(loop("n", Store(vector(), at("n"), real(1)))),
    "read only": serial(Store(vector(space="data"), (const(0),), real(1))),
    "out of bounds": serial(Store(vector(extent=const(3)), (const(3),), real(1))),
    "-1 of": serial(Store(vector(), (const(-1),), real(1))),
    "has 1 axes, an index has 2": serial(Store(vector(), (const(0), const(0)), real(1))),
    "no place in memory": serial(Store(Buffer("y", [], "real", "shared"), (), real(1))),
    "replaced by variables": serial(Store(Buffer("y", [], "real", "gone"), (), real(1))),
    "has axes": serial(Store(vector(space="scalar"), (const(0),), real(1))),
    "scalar y.* read before": serial(
        Store(vector(), (const(0),), Load(Buffer("y", [], "real", "scalar"), ()))
    ),
    "scalar y.* updated before": serial(
        Update(Buffer("y", [], "real", "scalar"), (), "add", real(1))
    ),
    "no update": serial(Update(vector(), (const(0),), "multiply", real(1))),
    "two threads.*x": by_rows(loop("r", Store(vector(row_axis=0), (const(0),), real(1)))),
    "two threads.*x.n": by_rows(loop("r", Store(vector(), at("r"), real(1)))),
    "two threads": by_rows(loop("j", Store(vector(row_axis=0), at("j"), real(1)), extent=const(9))),
    "inside another": by_rows(loop("r", loop("q", Store(square(row_axis=0), (*at("r"), *at("q")),
                                                        real(1))))),
    "outside of a phase that combines": serial(
        Store(vector(), (const(0),), Call("combine_add", (Load(vector("q", "partial"),
                                                               (const(0),)),), "real"))
    ),
    "outside of a combination": serial(
        Store(vector(), (const(0),), Load(vector("q", "partial"), (const(0),)))
    ),
    "all threads see": by_rows(gemm(square())),
    "must accumulate": by_rows(gemm(square("private"), k=N)),
    "columns of a matrix product": by_rows(gemm(square("private"), n=N)),
    "only phases by rows": Phase("p", "serial", [], tile=64),
}  # fmt: skip


@pytest.mark.parametrize("phase", GOOD)
def test_good_phases_pass(phase):
    verify([phase], ["n"], N)


@pytest.mark.parametrize("problem", BAD)
def test_broken_phases_are_refused(problem):
    with pytest.raises(InvalidLoopIR, match=problem):
        verify([BAD[problem]], ["n"], N)


def test_rows_need_a_number_of_rows():
    with pytest.raises(InvalidLoopIR, match="without rows"):
        verify([by_rows(loop("r", Store(vector(row_axis=0), at("r"), real(1))))], ["n"], None)


def test_a_normalisation_sums_once_for_itself_and_for_its_averages():
    """Sums that keep their axes are those that do not; what is made of them, too."""
    X = sd.tensor("X", "n", 20)
    kept, plain = sd.mean(X, axis=0, keepdims=True), sd.mean(X, axis=0)
    centred = sd.sum(sd.tanh(X - kept), axis=0), sd.sum(sd.tanh(X - plain), axis=0)
    both = decompose([to_graph(e) for e in centred])
    assert both[0] is both[1]
    (result,) = decompose([to_graph(sd.tanh(kept))])
    assert str(result.shape) == "(1, 20)"
