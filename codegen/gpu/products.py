"""Matrix products of kernels on NVIDIA devices: the functions of ``tiles``, compiled for them."""

from __future__ import annotations

from numba import cuda

from . import tiles
from .control import bound
from .runtime import block_wait, shared_array, zero

gemm = bound(
    {"block_wait": block_wait, "shared_array": shared_array, "zero": zero},
    cuda.jit(device=True),
    tiles.PARTS,
)["gemm"]
