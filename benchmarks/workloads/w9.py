"""W9: curve fit a·exp(−b·x) + c·sin(d·x + e), 10⁶ points in every step, float64."""

import numpy as np

from ..problem import Problem, cast, doubles
from ..rules import SGD

STEPS = 50
FIRST = 2
TOLERANCE = 1e-8
RULE = SGD(0.05)
START = (1.5, 0.5, 0.8, 2.9, 0.2)


def problem(quick=False, dtype="float64"):
    random = np.random.default_rng(0)
    samples, steps = (1000, 10) if quick else (1_000_000, STEPS)
    x = np.linspace(0, 4, samples)
    y = 2 * np.exp(-0.7 * x) + 0.5 * np.sin(3 * x + 0.4) + random.normal(0, 0.05, samples)
    return Problem(cast(dtype, x, y), cast(dtype, *START), None, steps)


def loss(parameters, x, y):
    a, b, c, d, e, x, y = doubles([*parameters, x, y])
    return float(np.mean((a * np.exp(-b * x) + c * np.sin(d * x + e) - y) ** 2))


def with_symdiff(problem):
    import sympy as sp

    from ..loops.ours import symdiff_loop

    x, y, a, b, c, d, e = sp.symbols("x y a b c d e")
    loss = (a * sp.exp(-b * x) + c * sp.sin(d * x + e) - y) ** 2
    return symdiff_loop(problem, loss, [x, y], [a, b, c, d, e], RULE)


def with_numpy(problem):
    from ..loops.numpy_loop import numpy_loop

    def gradient(parameters, x, y):
        a, b, c, d, e = (p[()] for p in parameters)
        u, angle = np.exp(-b * x), d * x + e
        s, cosine = np.sin(angle), np.cos(angle)
        r = a * u + c * s - y
        factor = problem.dtype.type(2 / len(x))
        ru, rc = r * u, r * cosine
        return [factor * ru.sum(), -factor * a * (ru @ x), factor * (r @ s),
                factor * c * (rc @ x), factor * c * rc.sum()]  # fmt: skip

    return numpy_loop(problem, gradient, RULE)


def with_numba(problem):
    import numba

    @numba.njit(cache=True, fastmath=True, parallel=True)
    def train(x, y, a, b, c, d, e, factor, steps):
        zero = x.dtype.type(0)
        for _ in range(steps):
            ga, gb, gc, gd, ge = zero, zero, zero, zero, zero
            for i in numba.prange(x.size):
                u = np.exp(-b * x[i])
                angle = d * x[i] + e
                s, cosine = np.sin(angle), np.cos(angle)
                r = a * u + c * s - y[i]
                ga += r * u
                gb += r * u * x[i]
                gc += r * s
                gd += r * cosine * x[i]
                ge += r * cosine
            a, b, c, d, e = (a - factor * ga, b + factor * a * gb, c - factor * gc,
                             d - factor * c * gd, e - factor * c * ge)  # fmt: skip
        return a, b, c, d, e

    factor = problem.dtype.type(2 * RULE.rate / len(problem.data[0]))
    return lambda steps: train(*problem.data, *(p[()] for p in problem.start), factor, steps)


def with_jax(problem):
    import jax.numpy as jnp

    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        a, b, c, d, e = parameters
        return ((a * jnp.exp(-b * x) + c * jnp.sin(d * x + e) - y) ** 2).mean()

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    import torch

    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        a, b, c, d, e = parameters
        return ((a * torch.exp(-b * x) + c * torch.sin(d * x + e) - y) ** 2).mean()

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        a, b, c, d, e = parameters
        return tf.reduce_mean((a * tf.exp(-b * x) + c * tf.sin(d * x + e) - y) ** 2)

    return tensorflow_loop(problem, loss, RULE, mode)


def with_pytensor(problem):
    import pytensor.tensor as pt

    from ..loops.pytensor_loop import pytensor_loop

    def loss(parameters, x, y):
        a, b, c, d, e = parameters
        return pt.mean((a * pt.exp(-b * x) + c * pt.sin(d * x + e) - y) ** 2)

    return pytensor_loop(problem, loss, RULE)


def with_heyoka(problem):
    import heyoka

    from ..loops.heyoka_loop import heyoka_loop

    def loss(p, x, y):
        a, b, c, d, e = p
        return (a * heyoka.exp(-b * x) + c * heyoka.sin(d * x + e) - y) ** 2

    return heyoka_loop(problem, loss, problem.data, RULE, "mean")
