"""W1: the book's regression w·x + b, squared error, one sample per step, float32."""

import numpy as np

from ..problem import Problem, cast, doubles
from ..rules import SGD

STEPS = 1_000_000
FIRST = 100
TOLERANCE = 1e-4
RULE = SGD(0.02)


def problem(quick=False):
    random = np.random.RandomState(0)
    x = random.normal(1, 0.1, 100)
    y = x * (random.normal(1, 0.05, 100) - 0.5)
    steps = 200 if quick else STEPS
    order = random.randint(100, size=(steps, 1))
    return Problem(cast("float32", x, y), cast("float32", -1.1012, 0.4031), order, steps)


def loss(parameters, x, y):
    w, b, x, y = doubles([*parameters, x, y])
    return float(np.mean((w * x + b - y) ** 2))


def with_symdiff(problem):
    import sympy as sp

    from ..loops.ours import symdiff_loop

    w, b, x, y = sp.symbols("w b x y")
    return symdiff_loop(problem, (w * x + b - y) ** 2, [x, y], [w, b], RULE)


def with_numpy(problem):
    x, y = problem.data

    def run(steps):
        w, b = (p[()] for p in problem.start)  # NumPy's scalars: arrays of size 1 are slower
        rate = np.float32(2 * RULE.rate)
        for i in problem.order[:steps, 0].tolist():
            step = rate * (w * x[i] + b - y[i])
            w -= step * x[i]
            b -= step
        return [w, b]

    return run


def with_numba(problem):
    import numba

    @numba.njit(cache=True, fastmath=True)
    def train(x, y, order, w, b, rate):
        for i in order:
            step = rate * (w * x[i] + b - y[i])
            w -= step * x[i]
            b -= step
        return w, b

    order, (w, b) = problem.order[:, 0].copy(), (p[()] for p in problem.start)
    rate = np.float32(2 * RULE.rate)
    return lambda steps: train(*problem.data, order[:steps], w, b, rate)


def with_jax(problem):
    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        w, b = parameters
        return (w * x + b - y) ** 2

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        w, b = parameters
        return (w * x + b - y) ** 2

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        w, b = parameters
        return (w * x + b - y) ** 2

    return tensorflow_loop(problem, loss, RULE, mode)
