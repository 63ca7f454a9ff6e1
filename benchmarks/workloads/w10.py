"""W10: digits by conv 3×3×16, relu, max-pool 2, dense 10; Adam, batches of 64, float32."""

import numpy as np

from ..problem import Problem, cast, cross_entropy, doubles, draw_order
from ..rules import Adam

STEPS = 560  # 20 epochs of 28 batches
FIRST = 28
TOLERANCE = 1e-2
RULE = Adam(1e-3)


def problem(quick=False):
    from sklearn.datasets import load_digits

    digits = load_digits()
    random = np.random.RandomState(0)
    start = [random.uniform(-0.6, 0.6, (16, 1, 3, 3)), np.zeros(16),
             random.uniform(-0.2, 0.2, (144, 10)), np.zeros(10)]  # fmt: skip
    steps = 10 if quick else STEPS
    order = draw_order(random, steps, len(digits.target), 64)
    data = cast("float32", digits.images[:, None] / 16, digits.target.astype(np.int64))
    return Problem(data, cast("float32", *start), order, steps)


def patches(x, concatenate):
    """The 3×3 neighbourhoods as rows, (n · 36, 9), for any library of arrays."""
    parts = [x[:, 0, i : i + 6, j : j + 6].reshape(-1, 1) for i in range(3) for j in range(3)]
    return concatenate(parts, 1)


def loss(parameters, x, t):
    K, b, W, c, x, t = doubles([*parameters, x, t])
    h = np.maximum(patches(x, np.concatenate) @ K.reshape(16, 9).T + b, 0)
    pooled = h.reshape(-1, 3, 2, 3, 2, 16).max(axis=(2, 4))
    return cross_entropy(pooled.transpose(0, 3, 1, 2).reshape(-1, 144) @ W + c, t)


def with_symdiff(problem):
    import symdiff as sd
    from symdiff.layers import Conv2D, Dense, Flatten, MaxPool2D, Sequential

    from ..loops.ours import symdiff_loop

    image, t = sd.tensor("image", "n", 1, 8, 8), sd.tensor("t", "n", dtype="int")
    model = Sequential([Conv2D(16, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(10)])
    loss = sd.losses.cross_entropy(model(image), t)
    return symdiff_loop(problem, loss, [image, t], list(model.parameters), RULE)


def with_numpy(problem):
    from ..loops.numpy_loop import numpy_loop

    def gradient(parameters, x, t):
        K, b, W, c = parameters
        n, rows = len(t), np.arange(len(t))
        columns = patches(x, np.concatenate)
        h = np.maximum(columns @ K.reshape(16, 9).T + b, 0)
        # (n, 3, 3, 16, 4): the four elements of each window last
        windows = h.reshape(n, 3, 2, 3, 2, 16).transpose(0, 1, 3, 5, 2, 4).reshape(n, 3, 3, 16, 4)
        place = windows.argmax(axis=-1)[..., None]
        pooled = np.take_along_axis(windows, place, axis=-1)[..., 0]
        flat = pooled.transpose(0, 3, 1, 2).reshape(n, 144)
        z = flat @ W + c
        d = np.exp(z - z.max(axis=1, keepdims=True))
        d /= d.sum(axis=1, keepdims=True)
        d[rows, t] -= 1
        d /= np.float32(n)
        back = (d @ W.T).reshape(n, 16, 3, 3).transpose(0, 2, 3, 1) * (pooled > 0)
        spread = np.zeros_like(windows)
        np.put_along_axis(spread, place, back[..., None], axis=-1)
        spread = spread.reshape(n, 3, 3, 16, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(-1, 16)
        return [(spread.T @ columns).reshape(K.shape), spread.sum(axis=0), flat.T @ d, d.sum(0)]

    return numpy_loop(problem, gradient, RULE)


def with_numba(problem):
    import numba

    from ..loops.numba_rules import adam_constants

    @numba.njit(cache=True, fastmath=True)
    def train(x, t, order, p, scales, constants):
        beta1, rest1, beta2, rest2 = constants
        p, m, v, g = p.copy(), np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
        K, b, W, c = p[:144].reshape(9, 16), p[144:160], p[160:1600].reshape(144, 10), p[1600:]
        gK, gb, gW, gc = g[:144].reshape(9, 16), g[144:160], g[160:1600].reshape(144, 10), g[1600:]
        zero, batch = np.float32(0), order.shape[1]
        h = np.empty(16, np.float32)
        pooled, place = np.empty((9, 16), np.float32), np.empty((9, 16), np.int64)
        z = np.empty(10, np.float32)
        for k in range(order.shape[0]):
            g[:] = zero
            for i in order[k]:
                image = x[i, 0]
                z[:] = c
                pooled[:] = zero
                for u in range(6):
                    for w in range(6):
                        h[:] = b
                        for q in range(9):
                            pixel = image[u + q // 3, w + q % 3]
                            for f in range(16):
                                h[f] += pixel * K[q, f]
                        window = (u // 2) * 3 + w // 2
                        for f in range(16):
                            if h[f] > pooled[window, f]:
                                pooled[window, f] = h[f]
                                place[window, f] = u * 8 + w
                for f in range(16):
                    for window in range(9):
                        for j in range(10):
                            z[j] += pooled[window, f] * W[f * 9 + window, j]
                top, total = z.max(), zero
                for j in range(10):
                    z[j] = np.exp(z[j] - top)
                    total += z[j]
                for j in range(10):
                    z[j] /= total * np.float32(batch)
                z[t[i]] -= np.float32(1 / batch)
                for j in range(10):
                    gc[j] += z[j]
                for f in range(16):
                    for window in range(9):
                        a = pooled[window, f]
                        if a > zero:
                            d = zero
                            for j in range(10):
                                gW[f * 9 + window, j] += a * z[j]
                                d += z[j] * W[f * 9 + window, j]
                            gb[f] += d
                            u, w = place[window, f] // 8, place[window, f] % 8
                            for q in range(9):
                                gK[q, f] += d * image[u + q // 3, w + q % 3]
            # Written out: Numba finds no kernel on disk that closes over another one.
            rate, epsilon = scales[k, 0], scales[k, 1]
            for i in range(p.size):
                m[i] = beta1 * m[i] + rest1 * g[i]
                v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
                p[i] -= rate * m[i] / (np.sqrt(v[i]) + epsilon)
        return p

    K, b, W, c = problem.start
    flat = np.concatenate([K.reshape(16, 9).T.ravel(), b, W.ravel(), c])
    scales = RULE.scales(problem.steps, problem.dtype)
    constants = adam_constants(RULE)

    def run(steps):
        p = train(*problem.data, problem.order[:steps], flat, scales, constants)
        K = p[:144].reshape(9, 16).T.reshape(16, 1, 3, 3)
        return K, p[144:160], p[160:1600].reshape(144, 10), p[1600:]

    return run


def with_jax(problem):
    import jax
    import jax.numpy as jnp

    from ..loops.jax_loop import jax_loop

    def loss(parameters, x, t):
        K, b, W, c = parameters  # a product with patches is faster here than lax.conv
        h = jax.nn.relu(patches(x, jnp.concatenate) @ K.reshape(16, 9).T + b)
        pooled = h.reshape(-1, 3, 2, 3, 2, 16).max(axis=(2, 4))
        z = jax.nn.log_softmax(pooled.transpose(0, 3, 1, 2).reshape(-1, 144) @ W + c)
        return -jnp.take_along_axis(z, t[:, None], axis=1).mean()

    return jax_loop(problem, loss, RULE)


def with_torch(problem, mode):
    import torch
    from torch.nn import functional

    from ..loops.torch_loop import torch_loop

    def loss(parameters, x, t):
        K, b, W, c = parameters
        pooled = functional.max_pool2d(torch.relu(functional.conv2d(x, K, b)), 2)
        return functional.cross_entropy(pooled.flatten(1) @ W + c, t)

    return torch_loop(problem, loss, RULE, mode)


def with_tensorflow(problem, mode):
    import tensorflow as tf

    from ..loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, t):
        K, b, W, c = parameters
        images = tf.transpose(x, (0, 2, 3, 1))  # on the CPU TensorFlow wants channels last
        h = tf.nn.relu(tf.nn.conv2d(images, tf.transpose(K, (2, 3, 1, 0)), 1, "VALID") + b)
        pooled = tf.transpose(tf.nn.max_pool2d(h, 2, 2, "VALID"), (0, 3, 1, 2))
        z = tf.reshape(pooled, (-1, 144)) @ W + c
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(t, z))

    return tensorflow_loop(problem, loss, RULE, mode)


def with_keras(problem):
    import keras
    from keras.layers import Conv2D, Dense, Flatten, MaxPooling2D, Permute

    from ..loops.tensorflow_loop import keras_loop

    model = keras.Sequential(
        [
            keras.Input((1, 8, 8)),
            Permute((2, 3, 1)),
            Conv2D(16, 3, activation="relu"),
            MaxPooling2D(2),
            Permute((3, 1, 2)),
            Flatten(),
            Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    K, *rest = problem.start
    run = keras_loop(problem, model, loss, RULE, [K.transpose(2, 3, 1, 0), *rest])

    def run_here(steps):
        K, *rest = run(steps)
        return [K.transpose(3, 2, 0, 1), *rest]

    return run_here
