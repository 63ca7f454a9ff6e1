"""Runs what is compiled for a device: on stand-ins for one, and on a GPU where asked for."""

import contextlib
import functools

import pytest

import codegen
from codegen.gpu import fuse, interchange, parts, passes, spread, teams
from codegen.gpu.device import running_on
from codegen.gpu.stand_ins import Processor

DEVICES = {
    "processor": lambda: running_on(Processor(2)),
    "gpu": contextlib.nullcontext,
}
"""Where kernels run: with ``-m gpu`` the same tests run on a GPU."""

NEVER = 1 << 40

MARKED = [pytest.param("processor"), pytest.param("gpu", marks=pytest.mark.gpu)]


@pytest.fixture(params=MARKED)
def on_a_device(request):
    """Kernels for a device run on threads of the processor, or on a GPU."""
    with DEVICES[request.param]():
        yield request.param


@pytest.fixture
def with_target_cuda(monkeypatch):
    """All that a test compiles is for a device."""
    for name in ("Trainer", "compile"):
        monkeypatch.setattr(codegen, name, functools.partial(getattr(codegen, name), target="cuda"))


@pytest.fixture
def for_a_device(on_a_device, with_target_cuda):
    """All that a test compiles is for a device, and runs on it."""


PATHS = {
    "sums in parts by blocks": {},
    "sums in parts by threads": {"FEW": 1},
    "blocks": {"SPLIT_ROUNDS": NEVER},
    "warps": {"SPLIT_ROUNDS": NEVER, "BLOCK_ROUNDS": NEVER},
    "threads": {"SPLIT_ROUNDS": NEVER, "BLOCK_ROUNDS": NEVER, "WARP_ROUNDS": NEVER},
    "loops joined": {"MANY": 1},
    "loops joined, no parts": {"MANY": 1, "SPLIT_ROUNDS": NEVER},
    "loops apart": {"LIGHT": 0},
    "products by tiles": {"PRODUCT_WORK": 1, "NARROW": 1},
}
"""What else to make of loops of a few rounds, by what they become."""

SMALL = {
    "SPLIT_ROUNDS": 6,
    "PART_ROUNDS": {"block": 2, "warp": 2, "thread": 2},
    "MOST_PARTS": {"block": 4, "warp": 4, "thread": 4},
    "FEW": 2,
    "WARP_ROUNDS": 2,
    "BLOCK_ROUNDS": 3,
    "REPEATED_WORK": 2,
    "FAR": 4,
    "ROW_ROUNDS": 2,
    "WIDTH": 2,
}
"""So that loops of a few rounds are divided as long ones are."""

GRIDS = [(2, 4, 2), (1, 6, 2), (3, 8, 4)]
"""Blocks, threads of each, threads of a warp."""


def divide_small_loops(monkeypatch, path):
    """Let tiny sizes take a path that large ones take."""
    for name, value in {**SMALL, **PATHS[path]}.items():
        readers = [m for m in (fuse, interchange, parts, passes, spread, teams) if hasattr(m, name)]
        assert readers, f"no module divides loops by {name}"
        for module in readers:
            monkeypatch.setattr(module, name, value)
