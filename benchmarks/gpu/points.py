"""What is trained: the workloads, two models that grow with their samples, and wide layers.

A point is a module like those of ``workloads/``, by name: ``W6``, ``logistic=65536`` (samples),
``curve32=1048576``, ``curve64=1048576``, ``wide=1024x128`` (width, batch).
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from .. import mlp, workloads
from ..problem import Problem, cast, draw_order
from ..rules import SGD
from ..workloads import w8, w9, w9f

BLOCK = 2**14
"""Samples that large data repeat: to draw 10⁹ random numbers would take longer than to train."""

JUDGED = 256
"""Samples on which the loss of a wide network is computed."""


def repeated(array, count):
    """The rows of an array again and again, ``count`` in all."""
    result = np.empty((count, *array.shape[1:]), array.dtype)
    for begin in range(0, count, len(array)):
        part = result[begin : begin + len(array)]
        part[:] = array[: len(part)]
    return result


def first_of(count, loss):
    """A loss on the first samples alone."""
    return lambda parameters, *data: loss(parameters, *(a[:count] for a in data))


def sides(module):
    """How each system trains a workload."""
    return {k: v for k, v in vars(module).items() if k.startswith("with_")}


def growing(module, title, samples, draw):
    """A full-batch workload on more samples; ``draw(count)`` gives the data that are repeated."""

    def problem(quick=False):
        data = [repeated(a, samples) for a in draw(min(samples, BLOCK))]
        return Problem(tuple(data), start(), None, 20)

    def start():
        return module.problem(quick=True).start

    # The loss is a mean, so that of all samples is that of one block.
    return SimpleNamespace(
        __doc__=f"{title}: {title}", problem=problem, loss=first_of(BLOCK, module.loss),
        STEPS=20, TOLERANCE=module.TOLERANCE, **sides(module),
    )  # fmt: skip


def logistic(samples):
    """Logistic regression with 100 features, float32."""

    def draw(count):
        random = np.random.default_rng(0)
        x = random.standard_normal((count, 100), dtype=np.float32)
        y = x @ random.standard_normal(100, dtype=np.float32) > random.normal(0, 5, count)
        return x, y.astype(np.float32)

    return growing(w8, "logistic regression", samples, draw)


def curve(samples, dtype):
    """The curve fit of W9."""

    def draw(count):
        random = np.random.default_rng(0)
        x = np.linspace(0, 4, count)
        y = 2 * np.exp(-0.7 * x) + 0.5 * np.sin(3 * x + 0.4) + random.normal(0, 0.05, count)
        return cast(dtype, x, y)

    return growing({"float32": w9f, "float64": w9}[dtype], f"curve fit, {dtype}", samples, draw)


def wide(width, batch):
    """A network of two hidden layers as wide as its inputs, and ten classes."""
    rule = SGD(1e-2)

    def problem(quick=False):
        random = np.random.RandomState(0)
        samples, steps = 2 * batch, 20
        x = np.random.default_rng(0).random((samples, width), dtype=np.float32) - np.float32(0.5)
        t = random.randint(10, size=samples)
        start = mlp.start(random, [width, width, width, 10])
        order = draw_order(random, steps, samples, batch)
        return Problem(cast("float32", x, t), cast("float32", *start), order, steps)

    return SimpleNamespace(
        __doc__="wide: wide layers", problem=problem, loss=first_of(JUDGED, mlp.loss),
        STEPS=20, TOLERANCE=1e-2,
        operations=2 * batch * (5 * width**2 + 3 * 10 * width),
        with_symdiff=lambda problem: mlp.symdiff_run(problem, rule),
        with_jax=lambda problem: mlp.jax_run(problem, rule),
        with_torch=lambda problem, mode: mlp.torch_run(problem, rule, mode),
    )  # fmt: skip


def load(name):
    """The point of a name."""
    kind, _, size = name.partition("=")
    if kind == "logistic":
        return logistic(int(size))
    if kind in ("curve32", "curve64"):
        return curve(int(size), f"float{kind[-2:]}")
    if kind == "wide":
        return wide(*map(int, size.split("x")))
    return workloads.load(name)


# Bytes of a sample, and the fewest samples.
GROWING = {"logistic": (404, 2**16), "curve32": (8, 2**20), "curve64": (16, 2**20)}
WIDTHS = [256, 512, 1024, 2048, 4096]
BATCHES = [128, 1024, 8192]


def sizes(kind, memory):
    """Samples, four times as many each time, up to those that fill so many bytes."""
    per_sample, count = GROWING[kind]
    result = []
    while count * per_sample <= memory:
        result.append(count)
        count *= 4
    most = int(memory // per_sample) // BLOCK * BLOCK
    return [*result, most] if result and most > 1.5 * result[-1] else result


def data_bytes(name):
    """Bytes of the data of a growing model; None for other points."""
    kind, _, size = name.partition("=")
    return int(size) * GROWING[kind][0] if kind in GROWING else None


def names(memory, quick=False, tiny=False):
    """``{group: names}`` of all points.

    Parameters
    ----------
    memory : int
        Bytes that data may fill.
    quick : bool
        One size of each growing model, which no cache holds, and two of wide layers.
    tiny : bool
        Sizes that a test can afford.
    """
    groups = {"workloads": list(workloads.WORKLOADS)}
    for kind, (per_sample, _) in GROWING.items():
        counts = sizes(kind, memory)
        if quick:
            counts = [c for c in counts if c * per_sample <= 2**31][-1:]
        if tiny:
            counts = [2**10]
        groups[kind] = [f"{kind}={c}" for c in counts]
    shapes = [(w, b) for w in WIDTHS for b in BATCHES]
    if quick:
        shapes = [(256, 128), (2048, 1024)]
    if tiny:
        shapes = [(16, 8)]
    groups["wide"] = [f"wide={w}x{b}" for w, b in shapes]
    return groups
