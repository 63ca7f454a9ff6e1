"""W7: network 784-512-256-10, relu, softmax cross-entropy, momentum, batches of 128, float32."""

import numpy as np

from .. import mlp
from ..problem import Problem, cast, draw_order
from ..rules import SGD

STEPS = 100  # one epoch; after two, how a system rounds decides the loss
FIRST = 10
TOLERANCE = 1e-2
RULE = SGD(0.02, momentum=0.9)


def problem(quick=False):
    """Random images; a random linear map says which class they belong to."""
    random = np.random.RandomState(0)
    samples, steps = (256, 4) if quick else (12_800, STEPS)
    x = random.uniform(0, 1, (samples, 784)).astype(np.float32)
    t = np.argmax((x - 0.5) @ random.normal(size=(784, 10)), axis=1)
    start = mlp.start(random, [784, 512, 256, 10])
    order = draw_order(random, steps, samples, 128)
    return Problem(cast("float32", x, t), cast("float32", *start), order, steps)


loss = mlp.loss


def with_symdiff(problem):
    return mlp.symdiff_run(problem, RULE)


def with_numpy(problem):
    return mlp.numpy_run(problem, RULE)


def with_numba(problem):
    return mlp.numba_run(problem, RULE)


def with_jax(problem):
    return mlp.jax_run(problem, RULE)


def with_torch(problem, mode):
    return mlp.torch_run(problem, RULE, mode)


def with_tensorflow(problem, mode):
    return mlp.tensorflow_run(problem, RULE, mode)


def with_keras(problem):
    return mlp.keras_run(problem, RULE)
