"""W3: network 2-3-1 of sigmoids, −Σ log σ(y·f(x)), 1000 samples in every step, float64."""

import numpy as np

from ..problem import Problem, cast, doubles, sigmoid, softplus
from ..rules import SGD

STEPS = 20_000
FIRST = 1000
TOLERANCE = 1e-8
RULE = SGD(1e-4)


def problem(quick=False):
    random = np.random.RandomState(0)
    line = np.linspace(0, 1, 1000)
    x = np.stack([line + random.uniform(-0.05, 0.05, 1000) for _ in range(2)], axis=1)
    random = np.random.RandomState(0)
    start = [random.randn(*s) / np.prod(s) ** 2 for s in [(2, 3), (3,), (3,), ()]]
    steps = 20 if quick else STEPS
    return Problem(cast("float64", x, x.mean(axis=1)), cast("float64", *start), None, steps)


def loss(parameters, x, y):
    W1, b1, W2, b2, x, y = doubles([*parameters, x, y])
    return float(np.sum(softplus(-y * (sigmoid(x @ W1 + b1) @ W2 + b2))))


def with_symdiff(problem):
    import symdiff as sd

    from ..loops.ours import symdiff_loop

    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n")
    W1, b1, W2, b2 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3), sd.tensor("W2", 3), sd.tensor("b2")
    f = sd.sigmoid(X @ W1 + b1) @ W2 + b2
    loss = -sd.sum(sd.log_sigmoid(y * f))
    return symdiff_loop(problem, loss, [X, y], [W1, b1, W2, b2], RULE)


def with_numpy(problem):
    from ..loops.numpy_loop import numpy_loop

    def gradient(parameters, x, y):
        W1, b1, W2, b2 = parameters
        h = 1 / (1 + np.exp(-(x @ W1 + b1)))
        df = -y / (1 + np.exp(y * (h @ W2 + b2)))
        dh = np.outer(df, W2) * h * (1 - h)
        return [x.T @ dh, dh.sum(axis=0), h.T @ df, df.sum()]

    return numpy_loop(problem, gradient, RULE)


def with_numba(problem):
    import numba

    @numba.njit(cache=True, fastmath=True)
    def train(x, y, W1, b1, W2, b2, rate, steps):
        W1, b1, W2 = W1.copy(), b1.copy(), W2.copy()
        h = np.empty(3)
        for _ in range(steps):
            dW1, db1, dW2, db2 = np.zeros((2, 3)), np.zeros(3), np.zeros(3), 0.0
            for i in range(y.size):
                f = b2
                for j in range(3):
                    h[j] = 1 / (1 + np.exp(-(x[i, 0] * W1[0, j] + x[i, 1] * W1[1, j] + b1[j])))
                    f += h[j] * W2[j]
                df = -y[i] / (1 + np.exp(y[i] * f))
                db2 += df
                for j in range(3):
                    dh = df * W2[j] * h[j] * (1 - h[j])
                    dW1[0, j] += x[i, 0] * dh
                    dW1[1, j] += x[i, 1] * dh
                    db1[j] += dh
                    dW2[j] += h[j] * df
            W1 -= rate * dW1
            b1 -= rate * db1
            W2 -= rate * dW2
            b2 -= rate * db2
        return W1, b1, W2, b2

    *arrays, b2 = problem.start
    return lambda steps: train(*problem.data, *arrays, float(b2), RULE.rate, steps)


def with_jax(problem):
    import jax

    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        return -jax.nn.log_sigmoid(y * (jax.nn.sigmoid(x @ W1 + b1) @ W2 + b2)).sum()

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    import torch
    from torch.nn import functional

    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        return -functional.logsigmoid(y * (torch.sigmoid(x @ W1 + b1) @ W2 + b2)).sum()

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        f = tf.linalg.matvec(tf.sigmoid(x @ W1 + b1), W2) + b2
        return -tf.reduce_sum(tf.math.log_sigmoid(y * f))

    return tensorflow_loop(problem, loss, RULE, mode)


def with_pytensor(problem):
    import pytensor.tensor as pt

    from ..loops.pytensor_loop import pytensor_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        return pt.sum(pt.softplus(-y * (pt.sigmoid(x @ W1 + b1) @ W2 + b2)))

    return pytensor_loop(problem, loss, RULE)


def with_heyoka(problem):
    import heyoka

    from ..loops.heyoka_loop import heyoka_loop

    def loss(p, x1, x2, y):
        f = p[12]
        for j in range(3):
            h = heyoka.sigmoid(x1 * p[j] + x2 * p[3 + j] + p[6 + j])
            f = f + h * p[9 + j]
        return -heyoka.log(heyoka.sigmoid(y * f))

    x, y = problem.data
    return heyoka_loop(problem, loss, [x[:, 0], x[:, 1], y], RULE, "sum")
