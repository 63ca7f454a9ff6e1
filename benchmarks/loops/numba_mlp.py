"""Networks of dense layers in hand-written Numba: products by BLAS, all else in loops."""

import numba
import numpy as np

from ..rules import Adam
from .numba_rules import adam, adam_constants, momentum


@numba.njit(cache=True, fastmath=True)
def train(data, order, flat, parameters, gradients, hidden, deltas, scales, betas, descent):
    """Train in place; without ``scales`` by gradient descent with momentum."""
    x, t = data
    weights, biases = parameters
    weight_gradients, bias_gradients = gradients
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
        if scales.size:
            adam(p, g, m, v, (scales[k, 0], scales[k, 1]), betas)
        else:
            momentum(p, g, m, descent[0], descent[1])


def numba_mlp(problem, rule):
    """``rule`` is SGD with momentum, or Adam."""
    batch, sizes = problem.order.shape[1], [problem.start[0].shape[0]]
    sizes += [b.size for b in problem.start[1::2]]
    if isinstance(rule, Adam):
        scales, betas = rule.scales(problem.steps, problem.dtype), adam_constants(rule)
        descent = (np.float32(0),) * 2
    else:
        scales, betas = np.empty((0, 2), np.float32), (np.float32(0),) * 4
        descent = (np.float32(rule.rate), np.float32(rule.momentum))
    whole = np.concatenate([a.ravel() for a in problem.start])
    hidden, deltas = (tuple(np.empty((batch, s), np.float32) for s in sizes) for _ in range(2))

    def run(steps):
        flat = (whole.copy(), *(np.zeros_like(whole) for _ in range(3)))
        parameters, gradients = (views(a, problem.start) for a in flat[:2])
        train(problem.data, problem.order[:steps], flat, halves(parameters), halves(gradients),
              hidden, deltas, scales, betas, descent)  # fmt: skip
        return parameters

    return run


def views(flat, like):
    """Parts of a flat array in the shapes of other arrays."""
    ends = np.cumsum([a.size for a in like])[:-1]
    return [p.reshape(a.shape) for p, a in zip(np.split(flat, ends), like, strict=True)]


def halves(arrays):
    """Weights and biases."""
    return tuple(arrays[::2]), tuple(arrays[1::2])
