"""Elementary functions that libdevice lacks, in the language of kernels.

``real`` is the type of the argument, and the names that this module does not define belong to a
target; see ``control.with_primitives``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .control import primitive

real: Any = np.float64
exp = primitive("exp")
log1p = primitive("log1p")
normal = primitive("normal")
"""``normal(x)``: the distribution function of the normal distribution."""

near_sine = primitive("near_sine")
near_cosine = primitive("near_cosine")
near_tangent = primitive("near_tangent")
beyond = primitive("beyond")
"""``beyond(x)``: whether the three above do not know their value at x."""

bits = primitive("bits")
"""``bits(x)``: those of a float32 number, as an int64."""


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, of which small values keep their digits."""
    z = exp(-abs(x))
    return (z if x < 0 else real(1)) / (real(1) + z)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))`` without overflow."""
    return (x if x > 0 else x if x != x else real(0)) + log1p(exp(-abs(x)))


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))`` without overflow."""
    return (x if x < 0 else x if x != x else real(0)) - log1p(exp(-abs(x)))


def gelu(x: Any) -> Any:
    """Multiply x by its normal distribution function."""
    return real(0) if x == -np.inf else x * normal(x)


# --- sine, cosine and tangent of large float32 numbers -----------------------------------
#
# libdevice reduces them with float64 numbers, which are slow on many devices.


def quadrant(x: Any) -> tuple[int, Any]:
    """The multiple of π/2 nearest to a float32 number of at least 2¹⁸, modulo 4, and the rest.

    M. Payne and R. Hanek, Radian reduction for trigonometric functions (1983): of 2/π times the
    number, which is a whole number of 24 bits times a power of two, only the bits that count.
    """
    pattern = bits(x)
    whole = np.uint64((pattern & 0x7FFFFF) | 0x800000)
    # 2/π from the bit on that has the weight 2 after the multiplication by the power of two
    place = ((pattern >> 23) & 0xFF) - 152
    word = place >> 5
    shift = np.uint64(place & 31)
    if place < 0:
        high = np.uint64(0x00000000A2F9836E)
        low = np.uint64(0x4E441529FC2757D1)
    elif word == 0:
        high = np.uint64(0xA2F9836E4E441529)
        low = np.uint64(0xFC2757D1F534DDC0)
    elif word == 1:
        high = np.uint64(0x4E441529FC2757D1)
        low = np.uint64(0xF534DDC0DB629599)
    elif word == 2:
        high = np.uint64(0xFC2757D1F534DDC0)
        low = np.uint64(0xDB6295993C439041)
    else:
        high = np.uint64(0xF534DDC0DB629599)
        low = np.uint64(0x3C439041FE5163AB)
    one = np.uint64(1)
    first = (high << shift) | ((low >> one) >> (np.uint64(63) - shift))
    second = (low << shift) >> np.uint64(32)
    # quarter turns with 62 bits after the point
    turns = whole * first + ((whole * second) >> np.uint64(32))
    count = (turns + (one << np.uint64(61))) >> np.uint64(62)
    fraction = np.int64(turns - (count << np.uint64(62)))
    # times π/2, in whole numbers: the rest is rounded once
    angle = (fraction >> 31) * _QUARTER_TURN + (((fraction & 0x7FFFFFFF) * _QUARTER_TURN) >> 31)
    rest = np.float32(angle) * _UNIT
    times = np.int64(count) & 3
    return (-times & 3, -rest) if x < 0 else (times, rest)  # type: ignore[return-value]


_QUARTER_TURN = 1686629713
"""π/2, with 30 bits after the point."""

_UNIT = np.float32(2.0**-61)


def far_sine(x: Any, ahead: int) -> Any:
    """The sine of a large float32 number and some quarter turns."""
    if x - x != 0:
        return x - x
    times, rest = quadrant(x)
    times += ahead
    result = near_sine(rest) if times % 2 == 0 else near_cosine(rest)
    return -result if times & 2 else result


def sine(x: Any) -> Any:
    """The sine of a float32 number."""
    return far_sine(x, 0) if beyond(x) else near_sine(x)


def cosine(x: Any) -> Any:
    """The cosine of a float32 number."""
    return far_sine(x, 1) if beyond(x) else near_cosine(x)


def tangent(x: Any) -> Any:
    """The tangent of a float32 number."""
    if beyond(x):
        if x - x != 0:
            return x - x
        times, rest = quadrant(x)
        result = near_tangent(rest)
        return np.float32(-1) / result if times % 2 == 1 else result
    return near_tangent(x)
