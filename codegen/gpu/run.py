"""Training kernels on a device, bound to arrays: each call runs some more steps there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from symdiff.graph import Node
from symdiff.shapes import Size

from ..data import Plan
from ..kernel import Lowered, Options, pool_sizes
from ..run import Shares
from .device import device, plain_device
from .orders import Orders
from .shape import Shape


class DeviceKernel(Protocol):
    """What a run needs to know of a kernel.

    Attributes
    ----------
    options : Options
    source : str
    size_names : list of str
        The size variables that the kernel takes, before the arrays.
    """

    options: Options
    source: str
    size_names: list[str]

    @property
    def array_names(self) -> list[str]:
        """The arrays that the kernel takes."""

    @property
    def programs(self) -> list[Lowered]:
        """What has work memory."""

    def size_values(
        self, sizes: Mapping[Size, int], parameters: int, largest_batch: int, seed: int
    ) -> dict[str, int]:
        """The values of the size variables in a run."""

    def memory(
        self, data: Mapping[Node, np.ndarray], parameters: np.ndarray, state: np.ndarray
    ) -> dict[str, np.ndarray]:
        """The arrays of a run, but for work memory."""

    def shape(self, values: Mapping[str, int]) -> Shape:
        """What a launch asks for."""

    def step_work(self, largest_batch: int, parameters: int) -> float:
        """Operations of a step, about."""


class DeviceRun:
    """A training kernel on a device; each call runs some more steps there.

    The data stay on the device. Parameters and state go there before, and come back after.
    """

    threads = 1
    times = None

    def __init__(
        self,
        kernel: DeviceKernel,
        data: Mapping[Node, np.ndarray],
        sizes: Mapping[Size, int],
        parameters: np.ndarray,
        state: np.ndarray,
        threads: int,
        largest_batch: int,
        seed: int,
        plain: bool,
    ) -> None:
        self._device = plain_device() if plain else device()
        dtype = kernel.options.dtype
        values = self.values = kernel.size_values(sizes, parameters.size, largest_batch, seed)
        memory = kernel.memory(data, parameters, state)
        reserved: dict[str, tuple[int, object]] = {}
        for lowered in kernel.programs:
            for name, (size, kind) in pool_sizes(lowered, dtype, values).items():
                reserved[name] = max(size, reserved.get(name, (0, kind))[0]), kind
        self._kernel = kernel
        self._shape = kernel.shape(values)
        self._sizes = [values[s] for s in kernel.size_names]
        self._trained = {"parameters": parameters, "state": state}
        where = self._device
        self._there = {
            name: where.reserve(*reserved[name]) if name in reserved else where.upload(memory[name])
            for name in kernel.array_names
        }
        self._barrier = self._device.upload(np.zeros(16, np.int64))
        self._orders = Orders()
        self._sent: tuple[Plan, Any, Any] | None = None
        work = kernel.step_work(largest_batch, parameters.size)
        self.shares = Shares(largest_batch, 1, 1, 1, work, self._shape)

    def __call__(
        self,
        plan: Plan,
        start: int,
        steps: int,
        passed: int,
        epochs: int,
        random: np.ndarray,
        threads: int,
    ) -> tuple[np.ndarray, int]:
        """Run steps; returns the loss of each, and the status of the kernel."""
        losses = np.zeros(max(steps, 1), self._kernel.options.dtype)
        done = 0
        while done < steps:
            count = min(steps - done, self._orders.most_steps(plan, start + done))
            part = losses[done : done + count]
            status = self._some(plan, start + done, count, passed, epochs, random, part)
            if status:
                return losses[:steps], status
            done += count
        return losses[:steps], 0

    def _some(
        self,
        plan: Plan,
        start: int,
        steps: int,
        passed: int,
        epochs: int,
        random: np.ndarray,
        losses: np.ndarray,
    ) -> int:
        where, there = self._device, self._there
        status = np.zeros(1, np.int64)
        given = [
            where.upload(status), *self._batches(plan, start, steps, random),
            where.reserve(losses.size, losses.dtype),
        ]  # fmt: skip
        for name, array in self._trained.items():
            if name in there:
                where.replace(there[name], array)
        at, offsets, samples, results = (where.address(m) for m in given)
        stride = plan.order.size if plan.shuffled else 0
        arguments = [
            where.address(self._barrier), at, start, steps, passed, epochs, plan.per_pass, stride,
            plan.order.size, offsets, samples, results, *self._sizes,
            *(where.address(there[name]) for name in self._kernel.array_names),
        ]  # fmt: skip
        where.run(self._kernel.source, self._shape, arguments)
        where.download(given[0], status)
        if status[0]:
            return int(status[0])
        where.download(given[3], losses)
        for name, array in self._trained.items():
            if name in there:
                where.download(there[name], array)
        return 0

    def _batches(self, plan: Plan, start: int, steps: int, random: np.ndarray) -> tuple[Any, Any]:
        """Offsets and order on the device, where those that do not change stay."""
        where = self._device
        if self._sent is None or self._sent[0] is not plan:
            order = None if plan.shuffled else where.upload(plan.order)
            self._sent = plan, where.upload(plan.offsets), order
        _, offsets, order = self._sent
        if order is None:
            order = where.upload(self._orders.of(plan, start, steps, random))
        return offsets, order
