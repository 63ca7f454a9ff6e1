"""W2: logistic regression with one parameter, σ(x + A), one sample per step, float32."""

import numpy as np

from ..problem import Problem, cast, doubles, softplus
from ..rules import SGD

STEPS = 1_000_000
FIRST = 1400
TOLERANCE = 1e-4
RULE = SGD(0.05)


def problem(quick=False):
    random = np.random.RandomState(11)
    x = np.concatenate([random.normal(-1, 1, 50), random.normal(3, 1, 50)])
    y = np.repeat([0.0, 1.0], 50)
    steps = 200 if quick else STEPS
    order = random.randint(100, size=(steps, 1))
    return Problem(cast("float32", x, y), cast("float32", random.normal(10, 1)), order, steps)


def loss(parameters, x, y):
    a, x, y = doubles([*parameters, x, y])
    return float(np.mean(softplus(x + a) - y * (x + a)))


def with_symdiff(problem):
    import sympy as sp

    import symdiff as sd

    from ..loops.ours import symdiff_loop

    x, y, a = sp.symbols("x y A")
    loss = sd.losses.binary_cross_entropy(x + a, y)
    return symdiff_loop(problem, loss, [x, y], [a], RULE)


def with_numpy(problem):
    x, y = problem.data

    def run(steps):
        a = problem.start[0][()]
        rate, one = np.float32(RULE.rate), np.float32(1)
        for i in problem.order[:steps, 0].tolist():
            a -= rate * (one / (one + np.exp(-x[i] - a)) - y[i])
        return [a]

    return run


def with_numba(problem):
    import numba

    @numba.njit(cache=True, fastmath=True)
    def train(x, y, order, a, rate):
        one = np.float32(1)
        for i in order:
            a -= rate * (one / (one + np.exp(-x[i] - a)) - y[i])
        return a

    order, a, rate = problem.order[:, 0].copy(), problem.start[0][()], np.float32(RULE.rate)
    return lambda steps: [train(*problem.data, order[:steps], a, rate)]


def with_jax(problem):
    import jax

    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        z = x + parameters[0]
        return jax.nn.softplus(z) - y * z

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    from torch.nn import functional

    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        return functional.binary_cross_entropy_with_logits(x + parameters[0], y)

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=x + parameters[0])

    return tensorflow_loop(problem, loss, RULE, mode)
