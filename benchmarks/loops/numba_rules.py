"""Updates of flat arrays, for the kernels written by hand; all in float32."""

import numba
import numpy as np


def adam_constants(rule):
    """β₁, 1 − β₁, β₂, 1 − β₂; of Python's numbers Numba would compute in float64."""
    return tuple(np.float32(c) for c in (rule.beta1, 1 - rule.beta1, rule.beta2, 1 - rule.beta2))


@numba.njit(cache=True, fastmath=True)
def adam(p, g, m, v, scale, constants):
    """One step of Adam in place; ``scale`` is that of the step."""
    beta1, rest1, beta2, rest2 = constants
    rate, epsilon = scale
    for i in range(p.size):
        m[i] = beta1 * m[i] + rest1 * g[i]
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i]
        p[i] -= rate * m[i] / (np.sqrt(v[i]) + epsilon)


@numba.njit(cache=True, fastmath=True)
def momentum(p, g, v, rate, factor):
    """One step of gradient descent with momentum in place."""
    for i in range(p.size):
        v[i] = factor * v[i] + g[i]
        p[i] -= rate * v[i]
