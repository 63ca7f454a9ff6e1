"""W8: logistic regression, 10⁶ samples of 100 features in every step, float32."""

import numpy as np

from ..problem import Problem, cast, doubles, softplus
from ..rules import SGD

STEPS = 40
FIRST = 2
TOLERANCE = 1e-4
RULE = SGD(0.1)


def problem(quick=False):
    random = np.random.default_rng(0)
    samples, steps = (2000, 4) if quick else (1_000_000, STEPS)
    x = random.standard_normal((samples, 100), dtype=np.float32)
    y = x @ random.standard_normal(100, dtype=np.float32) > random.normal(0, 5, samples)
    start = cast("float32", np.zeros(100), 0.0)
    return Problem((x, y.astype(np.float32)), start, None, steps)


def loss(parameters, x, y):
    w, b = doubles(parameters)
    z = x @ w.astype(np.float32) + np.float32(b)  # data in float64 would need 800 MB
    return float(np.mean(softplus(z) - y * z, dtype=np.float64))


def with_symdiff(problem):
    import symdiff as sd

    from ..loops.ours import symdiff_loop

    X, y, w, b = sd.tensor("X", "n", 100), sd.tensor("y", "n"), sd.tensor("w", 100), sd.tensor("b")
    loss = sd.losses.binary_cross_entropy(X @ w + b, y)
    return symdiff_loop(problem, loss, [X, y], [w, b], RULE)


def with_numpy(problem):
    from ..loops.numpy_loop import numpy_loop

    def gradient(parameters, x, y):
        w, b = parameters
        d = x @ w
        d += b
        np.negative(d, out=d)
        np.exp(d, out=d)
        d += 1
        np.reciprocal(d, out=d)
        d -= y
        d /= np.float32(len(y))
        return [d @ x, d.sum()]

    return numpy_loop(problem, gradient, RULE)


def with_numba(problem):
    import numba

    # Chunks: one sum for each, so that a row is read once and threads need not meet.
    @numba.njit(cache=True, fastmath=True, parallel=True)
    def train(x, y, w, b, rate, steps, chunks):
        w, one = w.copy(), np.float32(1)
        partial = np.empty((chunks, w.size + 1), np.float32)
        size = (len(y) + chunks - 1) // chunks
        for _ in range(steps):
            for c in numba.prange(chunks):
                g = partial[c]
                g[:] = np.float32(0)
                for i in range(c * size, min(len(y), (c + 1) * size)):
                    z = b
                    for j in range(w.size):
                        z += x[i, j] * w[j]
                    d = one / (one + np.exp(-z)) - y[i]
                    for j in range(w.size):
                        g[j] += d * x[i, j]
                    g[w.size] += d
            for c in range(chunks):
                for j in range(w.size):
                    w[j] -= rate * partial[c, j]
                b -= rate * partial[c, w.size]
        return w, b

    w, b = problem.start
    rate = np.float32(RULE.rate / len(problem.data[0]))
    return lambda steps: train(*problem.data, w, b[()], rate, steps, 64)


def with_jax(problem):
    import jax

    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, y):
        z = x @ parameters[0] + parameters[1]
        return (jax.nn.softplus(z) - y * z).mean()

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    from torch.nn import functional

    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, y):
        z = x @ parameters[0] + parameters[1]
        return functional.binary_cross_entropy_with_logits(z, y)

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, y):
        z = tf.linalg.matvec(x, parameters[0]) + parameters[1]
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z))

    return tensorflow_loop(problem, loss, RULE, mode)
