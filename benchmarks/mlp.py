"""Networks of dense layers with relu and softmax cross-entropy, for every system.

Parameters lie as W1, b1, W2, b2, …; data are x of shape (n, features) and labels t of shape (n,).
"""

from itertools import pairwise

import numpy as np

from .problem import cross_entropy, doubles


def start(random, sizes):
    """Uniform by He's rule, biases zero."""
    arrays = []
    for rows, columns in pairwise(sizes):
        arrays += [random.uniform(-1, 1, (rows, columns)) * np.sqrt(6 / rows), np.zeros(columns)]
    return arrays


def pairs(parameters):
    return list(zip(parameters[::2], parameters[1::2], strict=True))


def logits(parameters, x, maximum):
    """The network for any library that has ``@``; ``maximum`` is its relu."""
    *hidden, (W, b) = pairs(parameters)
    for V, c in hidden:
        x = maximum(x @ V + c)
    return x @ W + b


def loss(parameters, x, t):
    *parameters, x, t = doubles([*parameters, x, t])
    return cross_entropy(logits(parameters, x, lambda h: np.maximum(h, 0)), t)


def symdiff_run(problem, rule):
    import symdiff as sd
    from symdiff.layers import Dense, Sequential

    from .loops.ours import symdiff_loop

    *hidden, (_, last) = pairs(problem.start)
    model = Sequential([*(Dense(b.size, activation="relu") for _, b in hidden), Dense(last.size)])
    X, t = sd.tensor("X", "n", problem.data[0].shape[1]), sd.tensor("t", "n", dtype="int")
    loss = sd.losses.cross_entropy(model(X), t)
    return symdiff_loop(problem, loss, [X, t], list(model.parameters), rule)


def numpy_run(problem, rule):
    from .loops.numpy_loop import numpy_loop

    def gradient(parameters, x, t):
        layers, inputs = pairs(parameters), [x]
        for W, b in layers[:-1]:
            h = inputs[-1] @ W
            h += b
            inputs.append(np.maximum(h, 0, out=h))
        W, b = layers[-1]
        d = inputs[-1] @ W + b
        d -= d.max(axis=1, keepdims=True)
        np.exp(d, out=d)
        d /= d.sum(axis=1, keepdims=True)
        d[np.arange(len(t)), t] -= 1
        d /= np.float32(len(t))
        gradients = []
        for (W, _), h in zip(layers[::-1], inputs[::-1], strict=True):
            gradients += [d.sum(axis=0), h.T @ d]
            if h is not x:
                d = (d @ W.T) * (h > 0)
        return gradients[::-1]

    return numpy_loop(problem, gradient, rule)


def numba_run(problem, rule):
    """Matrix products by BLAS, all else in loops; ``rule`` is SGD with momentum, or Adam."""
    import numba

    from .loops.numba_rules import adam, adam_constants, momentum
    from .rules import Adam

    is_adam = isinstance(rule, Adam)

    @numba.njit(cache=True, fastmath=True)
    def train(x, t, order, flat, weights, biases, weight_gradients, bias_gradients,
              hidden, deltas, scales, constants):  # fmt: skip
        p, g, m, v = flat
        batch, layers, zero = order.shape[1], len(weights), np.float32(0)
        for k in range(order.shape[0]):
            for i in range(batch):
                hidden[0][i] = x[order[k, i]]
            for layer in range(layers):
                h, b = hidden[layer + 1], biases[layer]
                np.dot(hidden[layer], weights[layer], h)
                for i in range(batch):
                    for j in range(b.size):
                        h[i, j] += b[j]
                        if layer < layers - 1:
                            h[i, j] = max(h[i, j], zero)
            d, out = deltas[layers], hidden[layers]
            for i in range(batch):
                top, total = out[i].max(), zero
                for j in range(out.shape[1]):
                    d[i, j] = np.exp(out[i, j] - top)
                    total += d[i, j]
                for j in range(out.shape[1]):
                    d[i, j] /= total * np.float32(batch)
                d[i, t[order[k, i]]] -= np.float32(1 / batch)
            for layer in range(layers - 1, -1, -1):
                d, h, gb = deltas[layer + 1], hidden[layer], bias_gradients[layer]
                np.dot(h.T, d, weight_gradients[layer])
                gb[:] = zero
                for i in range(batch):
                    for j in range(gb.size):
                        gb[j] += d[i, j]
                if layer > 0:
                    below = deltas[layer]
                    np.dot(d, weights[layer].T, below)
                    for i in range(batch):
                        for j in range(below.shape[1]):
                            below[i, j] = below[i, j] if h[i, j] > zero else zero
            if is_adam:
                adam(p, g, m, v, (scales[k, 0], scales[k, 1]), constants)
            else:
                momentum(p, g, m, constants[0], constants[1])

    sizes = [problem.start[0].shape[0], *(b.size for b in problem.start[1::2])]
    batch = problem.order.shape[1]
    if is_adam:
        scales, constants = (
            rule.scales(problem.steps, problem.dtype),
            adam_constants(rule, problem.dtype),
        )
    else:
        constants = (np.float32(rule.rate), np.float32(rule.momentum))
        scales = np.empty((0, 2), np.float32)
    whole = np.concatenate([a.ravel() for a in problem.start])
    hidden = tuple(np.empty((batch, s), np.float32) for s in sizes)
    deltas = tuple(np.empty((batch, s), np.float32) for s in sizes)

    def run(steps):
        flat = (whole.copy(), *(np.zeros_like(whole) for _ in range(3)))
        parameters, gradients = (views(a, problem.start) for a in flat[:2])
        train(*problem.data, problem.order[:steps], flat, tuple(parameters[::2]),
              tuple(parameters[1::2]), tuple(gradients[::2]), tuple(gradients[1::2]),
              hidden, deltas, scales, constants)  # fmt: skip
        return parameters

    return run


def views(flat, like):
    ends = np.cumsum([a.size for a in like])[:-1]
    return [p.reshape(a.shape) for p, a in zip(np.split(flat, ends), like, strict=True)]


def jax_run(problem, rule):
    import jax
    import jax.numpy as jnp

    from .loops.jax_loop import jax_loop

    def loss(parameters, x, t):
        z = jax.nn.log_softmax(logits(parameters, x, jax.nn.relu))
        return -jnp.take_along_axis(z, t[:, None], axis=1).mean()

    return jax_loop(problem, loss, rule)


def torch_run(problem, rule, compiled):
    import torch
    from torch.nn import functional

    from .loops.torch_loop import torch_loop

    def loss(parameters, x, t):
        return functional.cross_entropy(logits(parameters, x, torch.relu), t)

    return torch_loop(problem, loss, rule, compiled)


def tensorflow_run(problem, rule, mode):
    import tensorflow as tf

    from .loops.tensorflow_loop import tensorflow_loop

    def loss(parameters, x, t):
        z = logits(parameters, x, tf.nn.relu)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(t, z))

    return tensorflow_loop(problem, loss, rule, mode)


def keras_run(problem, rule):
    import keras
    from keras.layers import Dense

    from .loops.tensorflow_loop import keras_loop

    *hidden, (_, last) = pairs(problem.start)
    layers = [Dense(b.size, activation="relu") for _, b in hidden]
    features = keras.Input((problem.data[0].shape[1],))
    model = keras.Sequential([features, *layers, Dense(last.size)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras_loop(problem, model, loss, rule)
