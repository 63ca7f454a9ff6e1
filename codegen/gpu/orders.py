"""The samples of the steps that a device runs at a time, shuffled by the processor.

A shuffle is a chain of exchanges that each depend on the one before: slow on one thread of a
device, and the processor does it as kernels for the processor do, so the orders are the same.
"""

from __future__ import annotations

import functools

import numpy as np

from ..build import build
from ..data import Plan
from ..launch import address
from ..machine_code import Entry

MOST = 1 << 24
"""Sample numbers that go to a device at a time, about 128 MiB."""

SOURCE = """# the order of the samples of a pass

import numpy as np

from codegen.runtime import Compiler, integers, naturals, shuffle

compiler = Compiler(real="float64", math="accurate")


@compiler.entry
def run(order, count, random):
    shuffle(integers(order), count, naturals(random))
"""


@functools.cache
def _entry() -> Entry:
    return build(SOURCE)


class Orders:
    """Makes the orders of passes one after another."""

    @staticmethod
    def most_steps(plan: Plan, start: int) -> int:
        """How many steps from ``start`` on have orders that are sent at a time."""
        if not plan.shuffled:
            return plan.steps
        passes = max(1, MOST // max(plan.order.size, 1))
        return passes * plan.per_pass - start % plan.per_pass

    @staticmethod
    def of(plan: Plan, start: int, steps: int, random: np.ndarray) -> np.ndarray:
        """The orders of all passes that steps touch, one after another.

        Where a pass begins its order is made in ``plan.order``, with the state of the random
        numbers going on.
        """
        if not plan.shuffled:
            return plan.order
        first = start // plan.per_pass
        last = (start + steps - 1) // plan.per_pass
        result = np.empty((last - first + 1, plan.order.size), np.int64)
        for number in range(first, last + 1):
            if number * plan.per_pass >= start:
                _entry()(address(plan.order), plan.order.size, address(random))
            result[number - first] = plan.order
        return result.reshape(-1)
