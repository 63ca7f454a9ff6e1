"""W5: linear network 2-2-32-1, mean squared error, Adam, batches of 32, float32."""

import numpy as np

from ..problem import Problem, cast, doubles, draw_order
from ..rules import Adam

STEPS = 3100  # 100 epochs of 31 batches
FIRST = 3100
TOLERANCE = 1e-3  # the loss nears zero, where the last bits of float32 count
RULE = Adam(5e-4)
SHAPES = [(2, 2), (2,), (2, 32), (32,), (32, 1), (1,)]


def problem(quick=False):
    random = np.random.RandomState(0)
    line = np.linspace(0, 1, 1000)
    x = np.stack([line + random.uniform(-0.05, 0.05, 1000) for _ in range(2)], axis=1)
    start = [random.uniform(-1, 1, s) * np.sqrt(6 / sum(s)) if len(s) == 2 else np.zeros(s)
             for s in SHAPES]  # fmt: skip
    steps = 40 if quick else STEPS
    order = draw_order(random, steps, 1000, 32)
    return Problem(
        cast("float32", x, x.mean(axis=1, keepdims=True)), cast("float32", *start), order, steps
    )


def loss(parameters, x, y):
    W1, b1, W2, b2, W3, b3, x, y = doubles([*parameters, x, y])
    return float(np.mean((((x @ W1 + b1) @ W2 + b2) @ W3 + b3 - y) ** 2))


def with_symdiff(problem):
    import symdiff as sd
    from symdiff.layers import Dense, Sequential

    from ..loops.ours import symdiff_loop

    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    model = Sequential([Dense(2), Dense(32), Dense(1)])
    loss = sd.losses.mse(model(X), y)
    return symdiff_loop(problem, loss, [X, y], list(model.parameters), RULE)


def with_numpy(problem):
    from ..loops.numpy_loop import numpy_loop

    def gradient(parameters, x, y):
        W1, b1, W2, b2, W3, b3 = parameters
        h1 = x @ W1 + b1
        h2 = h1 @ W2 + b2
        d3 = (h2 @ W3 + b3 - y) * np.float32(2 / len(y))
        d2 = d3 @ W3.T
        d1 = d2 @ W2.T
        return [x.T @ d1, d1.sum(0), h1.T @ d2, d2.sum(0), h2.T @ d3, d3.sum(0)]

    return numpy_loop(problem, gradient, RULE)


def with_numba(problem):
    import numba

    from ..loops.numba_rules import adam_constants

    @numba.njit(cache=True, fastmath=True)
    def train(x, y, order, scales, constants, p):
        beta1, rest1, beta2, rest2 = constants
        p, m, v, g = p.copy(), np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
        W1, b1, W2, b2 = p[0:4], p[4:6], p[6:70].reshape(2, 32), p[70:102]
        W3 = p[102:134]
        gW1, gb1, gW2, gb2 = g[0:4], g[4:6], g[6:70].reshape(2, 32), g[70:102]
        gW3 = g[102:134]
        h2 = np.empty(32, np.float32)
        zero, factor = np.float32(0), np.float32(2 / order.shape[1])
        for k in range(order.shape[0]):
            g[:] = zero
            for i in order[k]:
                x0, x1 = x[i, 0], x[i, 1]
                a = x0 * W1[0] + x1 * W1[2] + b1[0]
                b = x0 * W1[1] + x1 * W1[3] + b1[1]
                out = zero
                for j in range(32):
                    h2[j] = a * W2[0, j] + b * W2[1, j] + b2[j]
                    out += h2[j] * W3[j]
                d = factor * (out + p[134] - y[i, 0])
                g[134] += d
                da, db = zero, zero
                for j in range(32):
                    gW3[j] += d * h2[j]
                    d2 = d * W3[j]
                    gb2[j] += d2
                    gW2[0, j] += d2 * a
                    gW2[1, j] += d2 * b
                    da += d2 * W2[0, j]
                    db += d2 * W2[1, j]
                gb1[0] += da
                gb1[1] += db
                gW1[0] += da * x0
                gW1[1] += db * x0
                gW1[2] += da * x1
                gW1[3] += db * x1
            # Written out: Numba finds no kernel on disk that closes over another one.
            rate, epsilon = scales[k, 0], scales[k, 1]
            for i in range(p.size):
                m[i] = beta1 * m[i] + rest1 * g[i]
                v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
                p[i] -= rate * m[i] / (np.sqrt(v[i]) + epsilon)
        return p

    flat = np.concatenate([a.ravel() for a in problem.start])
    scales = RULE.scales(problem.steps, problem.dtype)
    constants = adam_constants(RULE)
    ends = np.cumsum([np.prod(s) for s in SHAPES])[:-1]

    def run(steps):
        p = train(*problem.data, problem.order[:steps], scales, constants, flat)
        return [a.reshape(s) for a, s in zip(np.split(p, ends), SHAPES, strict=True)]

    return run


def predict(parameters, x):
    W1, b1, W2, b2, W3, b3 = parameters
    return ((x @ W1 + b1) @ W2 + b2) @ W3 + b3


def with_jax(problem):
    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        return ((predict(parameters, x) - y) ** 2).mean()

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        return ((predict(parameters, x) - y) ** 2).mean()

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        return tf.reduce_mean((predict(parameters, x) - y) ** 2)

    return tensorflow_loop(problem, loss, RULE, mode)


def with_keras(problem):
    from keras import Input, Sequential
    from keras.layers import Dense

    from ..loops.tensorflow_loop import keras_loop

    model = Sequential([Input((2,)), Dense(2), Dense(32), Dense(1)])
    return keras_loop(problem, model, "mse", RULE)
