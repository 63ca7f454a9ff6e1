"""Structural row of random numbers: a function of seed, step and place, with no state.

The number at a place is hashed from the seed, the step, the site (which ``dropout`` in the model)
and the index, by three rounds of the finaliser of splitmix64 (Steele, Lea, Flood 2014). So a mask
is the same in the forward and the backward pass, for any number of threads and both floating
types, and a run can be repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import ShapeError
from .graph import Attributes, Node, Operation
from .shapes import Shape, concrete_shape
from .structural import _row

BITS = 24
"""Bits of a number: as many as float32 holds."""


def mix(z: Any) -> Any:
    """The finaliser of splitmix64, on arrays of uint64."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def random_bits(seed: Any, step: Any, site: Any, index: Any) -> Any:
    """Integers in ``[0, 2**24)``, one for each index.

    Examples
    --------
    >>> from symdiff.random_bits import random_bits
    >>> [int(random_bits(0, 0, 0, i)) for i in range(3)]
    [2175092, 837519, 11246243]
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        z = mix(np.asarray(seed).astype(np.uint64) + golden)
        z = mix(z + golden * np.asarray(site + 1).astype(np.uint64))
        z = mix(z + golden * (np.asarray(step).astype(np.uint64) + np.uint64(1)))
        z = mix(z + golden * (np.asarray(index).astype(np.uint64) + np.uint64(1)))
    return (z >> np.uint64(64 - BITS)).astype(np.int64)


def _infer(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    if any(i.shape for i in inputs):
        raise ShapeError("the seed and the step of random numbers are scalars")
    return attributes[1], "real"


def _numpy(arrays: list[Any], node: Node, sizes: Any) -> Any:
    seed, step = arrays
    site, shape = node.attributes
    sizes_ = concrete_shape(shape, sizes)
    index = np.arange(int(np.prod(sizes_)), dtype=np.int64).reshape(sizes_)
    return random_bits(seed, step, site, index) / 2.0**BITS


RANDOM: dict[str, Operation] = {"random_uniform": _row("random_uniform", _infer, _numpy)}
"""Uniform numbers in [0, 1)."""
