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
    from .loops.numba_mlp import numba_mlp

    return numba_mlp(problem, rule)


def jax_run(problem, rule):
    import jax
    import jax.numpy as jnp

    from .loops.jax_loop import jax_loop

    def loss(parameters, x, t):
        z = jax.nn.log_softmax(logits(parameters, x, jax.nn.relu))
        return -jnp.take_along_axis(z, t[:, None], axis=1).mean()

    return jax_loop(problem, loss, rule)


def torch_run(problem, rule, mode):
    import torch
    from torch.nn import functional

    from .loops.torch_loop import torch_loop

    def loss(parameters, x, t):
        return functional.cross_entropy(logits(parameters, x, torch.relu), t)

    return torch_loop(problem, loss, rule, mode)


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
