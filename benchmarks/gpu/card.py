"""Which CUDA device there is, asked of the driver: no library, and no context on the device."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

# Attributes of the driver's cuDeviceGetAttribute.
MULTIPROCESSORS, CACHE, MAJOR, MINOR = 16, 38, 75, 76


class NoDevice(Exception):
    """There is no CUDA device; the message says what was tried and what to do."""


@dataclass(frozen=True)
class Card:
    """What calculates: a CUDA device, or the processor.

    Attributes
    ----------
    device : {"cuda", "cpu"}
    name : str
    memory, cache : int or None
        Bytes of the device's memory and of its last cache.
    """

    device: str
    name: str
    memory: int | None = None
    cache: int | None = None


def check(status, function):
    if status != 0:
        raise NoDevice(f"the driver's {function} returned {status}")


def find():
    """The first CUDA device.

    Raises
    ------
    NoDevice
        If there is no driver, or no device.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        raise NoDevice("the driver's library libcuda.so.1 is not there") from None
    check(driver.cuInit(0), "cuInit")
    count, device, memory = ctypes.c_int(), ctypes.c_int(), ctypes.c_size_t()
    check(driver.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    if count.value == 0:
        raise NoDevice("the driver sees no device (is CUDA_VISIBLE_DEVICES set?)")
    check(driver.cuDeviceGet(ctypes.byref(device), 0), "cuDeviceGet")
    name = ctypes.create_string_buffer(256)
    check(driver.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    check(driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device), "cuDeviceTotalMem")

    def attribute(key):
        value = ctypes.c_int()
        check(driver.cuDeviceGetAttribute(ctypes.byref(value), key, device), "cuDeviceGetAttribute")
        return value.value

    version = ctypes.c_int()
    check(driver.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    text = (
        f"{name.value.decode()}, {memory.value / 2**30:.0f} GiB, "
        f"{attribute(MULTIPROCESSORS)} multiprocessors, {attribute(CACHE) / 2**20:.0f} MiB of "
        f"cache, compute capability {attribute(MAJOR)}.{attribute(MINOR)}, "
        f"driver for CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    )
    return Card("cuda", text, memory.value, attribute(CACHE))
