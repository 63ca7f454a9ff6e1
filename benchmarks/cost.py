"""How time, compile time and memory of symdiff grow, one axis at a time.

A point of an axis is a workload like the others, with us alone: ``samples=1000``.
"""

from __future__ import annotations

import tempfile
from types import SimpleNamespace

import numpy as np

from . import mlp, table
from .problem import Problem, cast, draw_order
from .processes import Worker
from .rules import SGD
from .runner import Result, attempt, settle, total
from .runner import measure as measure_once
from .systems import OURS
from .workloads import w8

RULE = SGD(1e-3)


def logistic(samples, features):
    """Logistic regression on all samples in every step."""

    def problem(quick=False):
        random = np.random.default_rng(0)
        x = random.standard_normal((samples, features), dtype=np.float32)
        y = (x[:, 0] > 0).astype(np.float32)
        start = cast("float32", np.zeros(features), 0.0)
        return Problem((x, y), start, None, 1000)

    def with_symdiff(problem):
        import symdiff as sd

        from .loops.ours import symdiff_loop

        X, y = sd.tensor("X", "n", features), sd.tensor("y", "n")
        w, b = sd.tensor("w", features), sd.tensor("b")
        loss = sd.losses.binary_cross_entropy(X @ w + b, y)
        return symdiff_loop(problem, loss, [X, y], [w, b], RULE)

    return SimpleNamespace(problem=problem, with_symdiff=with_symdiff, loss=w8.loss)


def network(width, layers):
    """A network of so many dense layers, relu between them, ten classes, batches of 64."""

    def problem(quick=False):
        random = np.random.RandomState(0)
        x, t = random.uniform(-1, 1, (1024, 64)), random.randint(10, size=1024)
        start = mlp.start(random, [64, *[width] * (layers - 1), 10])
        order = draw_order(random, 1000, 1024, 64)
        return Problem(cast("float32", x, t), cast("float32", *start), order, 1000)

    def with_symdiff(problem):
        return mlp.symdiff_run(problem, RULE)

    return SimpleNamespace(problem=problem, with_symdiff=with_symdiff, loss=mlp.loss)


def scalars(count):
    """A formula with so many scalar parameters, Σ a·exp(−b·x), 1000 samples in every step."""

    def problem(quick=False):
        random = np.random.RandomState(0)
        x = np.linspace(0, 1, 1000)
        start = random.uniform(0.5, 1.5, count) / np.repeat([count, 1], count // 2)
        return Problem(cast("float64", x, np.exp(-x)), cast("float64", *start), None, 1000)

    def with_symdiff(problem):
        import sympy as sp

        from .loops.ours import symdiff_loop

        x, y = sp.symbols("x y")
        a, b = sp.symbols(f"a:{count // 2}"), sp.symbols(f"b:{count // 2}")
        model = sp.Add(*(p * sp.exp(-q * x) for p, q in zip(a, b, strict=True)))
        return symdiff_loop(problem, (model - y) ** 2, [x, y], [*a, *b], RULE)

    def loss(parameters, x, y):
        a, b = np.split(np.array(parameters), 2)
        return float(np.mean((np.exp(-np.outer(x, b)) @ a - y) ** 2))

    return SimpleNamespace(problem=problem, with_symdiff=with_symdiff, loss=loss)


# Each axis: what it is, the model at a value, and the values; --quick takes the first two.
AXES = {
    "samples": ("samples in a full batch, logistic regression with 10 features",
                lambda n: logistic(n, 10), [10**k for k in range(3, 8)]),
    "parameters": ("parameters in one tensor, logistic regression, 1000 samples",
                   lambda n: logistic(1000, n), [10**k for k in range(1, 6)]),
    "width": ("width of a network of 3 layers, batches of 64",
              lambda n: network(n, 3), [16, 64, 256, 1024, 2048]),
    "depth": ("layers of a network of width 32, batches of 64",
              lambda n: network(32, n), [2, 5, 10, 20, 50, 100]),
    "scalars": ("scalar parameters in one formula, 1000 samples",
                scalars, [2, 20, 200, 1000, 2000]),
}  # fmt: skip


def point(name):
    """The workload of a name such as ``samples=1000``."""
    axis, _, value = name.partition("=")
    return AXES[axis][1](int(value))


def measure(axes, options, say=print):
    """``{axis: {value: Result}}`` of these axes."""
    found = {}
    for axis in axes:
        _, _, values = AXES[axis]
        found[axis] = {}
        for value in values[:2] if options.quick else values:
            found[axis][value] = result = Result(OURS.name)
            attempt(result, lambda r, name=f"{axis}={value}": measure_point(name, r, options))
            if result.failure is None:
                text = f"{1e6 * result.per_step:.3g} µs a step, cold {result.cold:.2f} s"
            say(f"{axis} = {value}: {result.failure or text}")
    return found


def measure_point(name, result, options):
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as cache:
        with Worker(name, OURS, cache, options.quick, options.timeout) as worker:
            reply = worker.ask("start", 1)
            result.cold, result.compiling = total(reply), reply["memory"]
        with Worker(name, OURS, cache, options.quick, options.timeout) as worker:
            result.warm, result.steps = total(worker.ask("start", 1)), 1
            settle(worker, result, 5 if options.quick else 1000, options)
            for _ in range(1 if options.quick else options.rounds):
                measure_once(worker, result)


def report(found, options):
    """The cost tables as a document."""
    lines = table.head("Costs", [], options)
    lines += [
        "One model grows along one axis. First result: to the end of the first step, with an empty "
        "cache and with the kernel from disk, imports not included. Memory: the peak beyond "
        "imports and data, of a process that compiles and of one that finds the kernel.",
    ]
    head = ["", "µs per step", "growth", "first result, cold", "warm", "memory, compiling", "warm"]
    for axis, results in found.items():
        rows, before = [head], None
        for value, r in results.items():
            if r.failure is not None:
                rows.append([f"{value:,}".replace(",", " "), "failed: " + r.failure, *[""] * 5])
                before = None
                continue
            growth = "" if before is None else f"{r.per_step / before:.2g}×"
            before = r.per_step
            memory = [m and f"{m / 2**20:.0f} MiB" for m in (r.compiling, r.memory)]
            rows.append([f"{value:,}".replace(",", " "), table.number(1e6 * r.per_step), growth,
                         f"{r.cold:.2f} s", f"{r.warm:.2f} s", *memory])  # fmt: skip
        lines += ["", f"## {axis.capitalize()}: {AXES[axis][0]}", "", *table.rows(rows)]
    return "\n".join(lines) + "\n"
