"""JAX: the whole loop in one jitted function, by ``lax.scan``."""

from functools import lru_cache, partial

import numpy as np


def jax_loop(problem, loss, rule):
    """``loss(parameters, *batch)`` in jax.numpy; a single sample comes as scalars."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", problem.dtype == np.float64)
    if problem.device == "cuda":  # its own default there is TF32
        precision = "tensorfloat32" if problem.precision == "tf32" else "highest"
        jax.config.update("jax_default_matmul_precision", precision)
    gradient = jax.grad(loss)

    @partial(jax.jit, static_argnames="steps")
    def train(parameters, data, order, scales, steps):
        samples = order
        if problem.one_by_one:  # all samples in order beforehand: a scan reads them fastest
            samples = [a[order[:, 0]] for a in data]

        def step(carry, now):
            parameters, state = carry
            sample, scale = now
            if order is None:
                batch = data
            elif problem.one_by_one:
                batch = sample
            else:
                batch = [a[sample] for a in data]
            return rule.update(parameters, gradient(parameters, *batch), state, scale), None

        carry = (parameters, rule.begin(parameters))
        carry, _ = jax.lax.scan(step, carry, (samples, scales), length=steps)
        return carry[0]

    data = [jnp.asarray(a) for a in problem.data]
    start = [jnp.asarray(a) for a in problem.start]

    @lru_cache
    def prepared(steps):
        order, scales = problem.order, rule.scales(steps, problem.dtype)
        order = None if order is None else jnp.asarray(order[:steps].astype(np.int32))
        return order, None if scales is None else jnp.asarray(scales)

    def run(steps):
        order, scales = prepared(steps)
        return [np.asarray(p) for p in train(start, data, order, scales, steps)]

    return run
