"""W6: digits by a network 64-128-10, relu, softmax cross-entropy, Adam, batches of 64, float32."""

import numpy as np

from .. import mlp
from ..problem import Problem, cast, draw_order
from ..rules import Adam

STEPS = 560  # 20 epochs of 28 batches
FIRST = 28
TOLERANCE = 1e-2
RULE = Adam(1e-3)


def problem(quick=False):
    from sklearn.datasets import load_digits

    digits = load_digits()
    random = np.random.RandomState(0)
    start = mlp.start(random, [64, 128, 10])
    steps = 10 if quick else STEPS
    order = draw_order(random, steps, len(digits.target), 64)
    data = cast("float32", digits.data / 16, digits.target.astype(np.int64))
    return Problem(data, cast("float32", *start), order, steps)


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
