"""``Trainer.schedule``: the decisions of the compiler, with reasons."""

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd

X, t = sd.tensor("X", "n", 20), sd.tensor("t", "n")
w, V = sd.tensor("w", 20), sd.tensor("V", 20, 3)
a, x, y = sp.symbols("a x y")


def fitted(loss, start, data, **options):
    trainer = codegen.Trainer(loss, start, sd.optimizers.SGD(0.01), **options)
    trainer.fit(data, steps=1)
    return trainer


def samples(n):
    rng = np.random.default_rng(0)
    return {X: rng.normal(size=(n, 20)), t: rng.integers(0, 2, n)}


def test_a_small_step():
    schedule = fitted((a * x - y) ** 2, {a: 0.5}, {x: [1.0, 2.0], y: [2.0, 4.0]}).schedule
    first, rows = schedule.notes
    assert first.what == "one thread, without barriers" and "operations" in first.why
    assert rows.what.startswith("2 rows in every step") and rows.why == "the lanes of vectors"
    (phase,) = schedule.phases
    # the parameter and the learning rate
    assert any(n.what.startswith("2 numbers of parameters") for n in phase.notes)


def test_rows_in_chunks_tiles_and_threads():
    loss = sd.losses.binary_cross_entropy(X @ w, t)
    trainer = fitted(loss, {w: 0.0}, samples(40_000), threads=2)
    text = str(trainer.schedule)
    for part in (
        "40000 rows in 16 chunks", "up to 2 threads", "sigmoid, softplus", "tiles of 64 rows",
        "each chunk has 20 sums of its own",
    ):  # fmt: skip
        assert part in text
    names = {p.name for p in trainer.schedule.phases}
    assert all(f"def {name}(" in trainer.source for name in names)
    assert "one thread: a step" in str(fitted(loss, {w: 0.0}, samples(700), threads=1).schedule)


def test_unrolled_axes_are_named():
    loss = sd.mean(sd.sum(sd.tanh(X @ V), axis=1) ** 2)
    text = str(fitted(loss, {V: 0.1}, {X: samples(3000)[X]}).schedule)
    assert "axes of 3 unrolled: " in text


def test_the_schedule_needs_sizes():
    trainer = codegen.Trainer((a * x - y) ** 2, {a: 0.5})
    with pytest.raises(sd.InvalidArgument, match="fit first"):
        _ = trainer.schedule


def test_html_is_escaped():
    report = fitted((a * x - y) ** 2, {a: 0.5}, {x: [1.0], y: [2.0]}).schedule
    report.add("<b>", "&")
    assert "&lt;b&gt;: &amp;" in report._repr_html_()
