"""Where kernels for a device run: on a GPU, or on threads of the processor that stand for one."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from symdiff.errors import SymdiffError

from ..build import load_module
from .shape import BLOCK, Shape, blocks_and_size

REMEDY = (
    "install the CUDA extra (pip install 'symdiff[cuda]') and NVIDIA's driver, or use target='cpu'"
)


class DeviceError(SymdiffError, RuntimeError):
    """There is no device, or it failed."""


class DeviceMemoryError(DeviceError, MemoryError):
    """What is to be trained does not fit into the memory of the device."""


class Device(Protocol):
    """Memory and launches."""

    def upload(self, array: np.ndarray) -> Any:
        """A copy on the device, as something that ``address`` and ``download`` know."""

    def reserve(self, size: int, dtype: Any) -> Any:
        """Memory there for numbers, not set."""

    def address(self, memory: Any) -> int:
        """Where it lies."""

    def replace(self, memory: Any, array: np.ndarray) -> None:
        """Copy new contents into it."""

    def download(self, memory: Any, array: np.ndarray) -> None:
        """Copy its contents into an array."""

    def run(self, source: str, shape: Shape, arguments: Sequence[int]) -> None:
        """Run a kernel, and wait for it."""


class Cuda:
    """The current CUDA device, through Numba."""

    def __init__(self) -> None:
        try:
            import numba_cuda  # noqa: F401
            from numba import cuda
        except ImportError as error:
            raise DeviceError(f"target='cuda' needs the package numba-cuda: {REMEDY}") from error
        if not cuda.is_available():
            raise DeviceError(f"target='cuda' finds no CUDA device or driver: {REMEDY}")
        self._cuda = cuda
        self._kernels: dict[str, Any] = {}

    def upload(self, array: np.ndarray) -> Any:
        """A copy in the memory of the device."""
        flat = np.ascontiguousarray(array).reshape(-1)
        if not flat.size:
            return self.reserve(1, flat.dtype)
        with self._memory(flat.nbytes):
            return self._cuda.to_device(flat)

    def reserve(self, size: int, dtype: Any) -> Any:
        """Memory there for numbers, not set."""
        with self._memory(size * np.dtype(dtype).itemsize):
            return self._cuda.device_array(size, dtype)

    def address(self, memory: Any) -> int:
        """Where it lies."""
        return int(memory.__cuda_array_interface__["data"][0])

    def replace(self, memory: Any, array: np.ndarray) -> None:
        """Copy new contents into it."""
        if array.size:
            memory.copy_to_device(np.ascontiguousarray(array).reshape(-1))

    def download(self, memory: Any, array: np.ndarray) -> None:
        """Copy its contents into an array."""
        if array.size:
            array.reshape(-1)[...] = memory.copy_to_host()

    def run(self, source: str, shape: Shape, arguments: Sequence[int]) -> None:
        """Launch, and wait."""
        kernel, most_threads, most_blocks = self._kernel(source, len(arguments))
        blocks, size = blocks_and_size(shape, most_threads, most_blocks)
        kernel[blocks, size](*arguments)
        self._cuda.synchronize()

    def _kernel(self, source: str, count: int) -> tuple[Any, int, int]:
        """The compiled kernel, threads that a block may have, and blocks that may run at once."""
        if source not in self._kernels:
            dispatcher = load_module(source, "cuda").run
            dispatcher.enable_caching()
            compiled = dispatcher.compile((self._cuda.types.int64,) * count)
            blocks = int(compiled.max_cooperative_grid_blocks(BLOCK))
            self._kernels[source] = dispatcher, int(compiled.max_threads_per_block), blocks
        found: tuple[Any, int, int] = self._kernels[source]
        return found

    @contextlib.contextmanager
    def _memory(self, wanted: int) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if "OUT_OF_MEMORY" not in str(error) and "out of memory" not in str(error).lower():
                raise
            free, total = self._cuda.current_context().get_memory_info()
            raise DeviceMemoryError(
                f"the device has {free / 2**20:.0f} MiB of {total / 2**20:.0f} MiB free, an array "
                f"of {wanted / 2**20:.0f} MiB does not fit: train on less data at a time, with "
                "dtype='float32', or with target='cpu'"
            ) from error


_chosen: list[Device] = []


@functools.cache
def _cuda() -> Cuda:
    return Cuda()


def device() -> Device:
    """The device that kernels run on.

    Raises
    ------
    DeviceError
        Where there is none.
    """
    return _chosen[-1] if _chosen else _cuda()


def plain_device() -> Device:
    """Plain Python in place of a device: slow, and it finds races."""
    from .stand_ins import Scheduled

    return Scheduled()


@contextlib.contextmanager
def running_on(other: Device) -> Iterator[None]:
    """Let kernels for a device run elsewhere, to check them where there is none."""
    _chosen.append(other)
    try:
        yield
    finally:
        _chosen.pop()
