"""What a user reads where there is no device, or too little memory on it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codegen.gpu.device import Cuda, DeviceError, DeviceMemoryError
from symdiff.errors import SymdiffError

ROOT = Path(__file__).parent.parent


def test_no_device_is_an_error_that_says_what_to_do():
    program = (
        "import sympy as sp, codegen\n"
        "a, x = sp.symbols('a x')\n"
        "codegen.Trainer((a * x - 1) ** 2, {a: 0.0}, target='cuda').fit({x: [1.0]}, steps=1)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert run.returncode != 0
    assert DeviceError.__name__ in run.stderr and "target='cpu'" in run.stderr


def test_without_numba_cuda_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    with pytest.raises(DeviceError, match=r"numba-cuda.*symdiff\[cuda\].*target='cpu'"):
        Cuda()


def fail(*arguments):
    raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")


def full_device():
    """A device whose memory is full, as numba-cuda reports it."""
    where = Cuda.__new__(Cuda)
    context = SimpleNamespace(get_memory_info=lambda: (3 * 2**20, 80 * 2**30))
    where._cuda = SimpleNamespace(
        to_device=fail, device_array=fail, current_context=lambda: context
    )
    return where


@pytest.mark.parametrize(
    "take",
    [lambda w: w.upload(np.zeros(2**20)), lambda w: w.reserve(2**20, np.float64)],
    ids=["data", "work memory"],
)
def test_out_of_memory_says_how_much_and_what_to_do(take):
    with pytest.raises(
        DeviceMemoryError, match=r"3 MiB of 81920 MiB free.*8 MiB.*float32"
    ) as error:
        take(full_device())
    assert isinstance(error.value, (SymdiffError, MemoryError))


def test_other_failures_stay_what_they_are():
    where = full_device()
    where._cuda.to_device = lambda array: 1 / 0
    with pytest.raises(ZeroDivisionError):
        where.upload(np.zeros(3))
