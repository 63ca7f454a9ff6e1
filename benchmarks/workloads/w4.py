"""W4: XOR by a network 2-3-1 of sigmoids, sum of squares, 4 samples in every step, float32."""

import numpy as np

from ..problem import Problem, cast, doubles, sigmoid
from ..rules import SGD

STEPS = 100_000
FIRST = 500
TOLERANCE = 1e-3  # the loss nears zero, where the last bits of float32 count
RULE = SGD(1.0)


def problem(quick=False):
    x, y = [[0, 0], [1, 1], [1, 0], [0, 1]], [0, 0, 1, 1]
    random = np.random.RandomState(0)
    start = [random.uniform(0.1, 0.9, size) for size in [(2, 3), 3, 3, ()]]
    x, y = np.array(x, float), np.array(y, float)
    return Problem(cast("float32", x, y), cast("float32", *start), None, 200 if quick else STEPS)


def loss(parameters, x, y):
    W1, b1, W2, b2, x, y = doubles([*parameters, x, y])
    return float(np.sum((sigmoid(sigmoid(x @ W1 + b1) @ W2 + b2) - y) ** 2))


def with_symdiff(problem):
    import symdiff as sd

    from ..loops.ours import symdiff_loop

    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n")
    W1, b1, W2, b2 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3), sd.tensor("W2", 3), sd.tensor("b2")
    output = sd.sigmoid(sd.sigmoid(X @ W1 + b1) @ W2 + b2)
    return symdiff_loop(problem, sd.sum((output - y) ** 2), [X, y], [W1, b1, W2, b2], RULE)


def with_numpy(problem):
    from ..loops.numpy_loop import numpy_loop

    def gradient(parameters, x, y):
        W1, b1, W2, b2 = parameters
        h = 1 / (1 + np.exp(-(x @ W1 + b1)))
        o = 1 / (1 + np.exp(-(h @ W2 + b2)))
        df = 2 * (o - y) * o * (1 - o)
        dh = np.outer(df, W2) * h * (1 - h)
        return [x.T @ dh, dh.sum(axis=0), h.T @ df, df.sum()]

    return numpy_loop(problem, gradient, RULE)


def with_numba(problem):
    import numba

    @numba.njit(cache=True, fastmath=True)
    def train(x, y, W1, b1, W2, b2, rate, steps):
        W1, b1, W2 = W1.copy(), b1.copy(), W2.copy()
        one, zero = np.float32(1), np.float32(0)
        h = np.empty((4, 3), np.float32)
        df = np.empty(4, np.float32)
        for _ in range(steps):
            for i in range(4):
                f = b2
                for j in range(3):
                    a = x[i, 0] * W1[0, j] + x[i, 1] * W1[1, j] + b1[j]
                    h[i, j] = one / (one + np.exp(-a))
                    f += h[i, j] * W2[j]
                o = one / (one + np.exp(-f))
                df[i] = rate * (o - y[i]) * o * (one - o)
            for j in range(3):
                g0, g1, g2, g3 = zero, zero, zero, zero
                for i in range(4):
                    dh = df[i] * W2[j] * h[i, j] * (one - h[i, j])
                    g0 += x[i, 0] * dh
                    g1 += x[i, 1] * dh
                    g2 += dh
                    g3 += h[i, j] * df[i]
                W1[0, j] -= g0
                W1[1, j] -= g1
                b1[j] -= g2
                W2[j] -= g3
            for i in range(4):
                b2 -= df[i]
        return W1, b1, W2, b2

    *arrays, b2 = problem.start
    rate = np.float32(2 * RULE.rate)
    return lambda steps: train(*problem.data, *arrays, b2[()], rate, steps)


def with_jax(problem):
    import jax

    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        return ((jax.nn.sigmoid(jax.nn.sigmoid(x @ W1 + b1) @ W2 + b2) - y) ** 2).sum()

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    import torch

    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        return ((torch.sigmoid(torch.sigmoid(x @ W1 + b1) @ W2 + b2) - y) ** 2).sum()

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        f = tf.linalg.matvec(tf.sigmoid(x @ W1 + b1), W2) + b2
        return tf.reduce_sum((tf.sigmoid(f) - y) ** 2)

    return tensorflow_loop(problem, loss, RULE, mode)


def with_pytensor(problem):
    import pytensor.tensor as pt

    from ..loops.pytensor_loop import pytensor_loop

    def loss(parameters, x, y):
        W1, b1, W2, b2 = parameters
        return pt.sum((pt.sigmoid(pt.sigmoid(x @ W1 + b1) @ W2 + b2) - y) ** 2)

    return pytensor_loop(problem, loss, RULE)
