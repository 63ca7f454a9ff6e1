"""W9f: the curve fit of W9 in float32."""

from . import w9
from .w9 import (  # noqa: F401
    FIRST,
    RULE,
    STEPS,
    loss,
    with_heyoka,
    with_jax,
    with_numba,
    with_numpy,
    with_pytensor,
    with_symdiff,
    with_tensorflow,
    with_torch,
)

TOLERANCE = 1e-3


def problem(quick=False):
    return w9.problem(quick, "float32")
