"""Functions of a formula whose arguments are more than values: sizes, strides, places."""

import numpy as np
from reading_values import (
    Shaped,
    Value,
    convolved,
    correlated,
    overlapped,
    scattered,
    spread,
    windowed,
)


def top_level_split(text, separator):
    """Parts between separators that stand outside all brackets."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        depth += (text[position] in "([") - (text[position] in ")]")
        if depth == 0 and text.startswith(separator, position):
            parts.append(text[start:position])
            start = position = position + len(separator)
            continue
        position += 1
    return [*parts, text[start:]]


def _for_each(stride, axes):
    """One stride for each axis."""
    return stride if len(stride) == axes else stride * axes


def _strided(reader, texts):
    """Arguments without the stride, and the stride."""
    strides = [t for t in texts if t.startswith("stride ")]
    stride = reader.whole_numbers(strides[0][len("stride ") :]) if strides else None
    return [t for t in texts if t not in strides], stride or (1,)


def _convolution(function):
    def move(reader, texts):
        parts, stride = _strided(reader, texts)
        arrays = [reader.read(p).array for p in parts]
        stride = _for_each(stride, arrays[0].ndim - 2)
        found = function(*arrays, stride)
        return found if isinstance(found, Shaped) else Value(found)

    return move


def _windows(reader, texts):
    (inner, window), stride = _strided(reader, texts)
    window = reader.whole_numbers(window)
    return Value(windowed(reader.read(inner).array, window, _for_each(stride, len(window))))


def _overlap_add(reader, texts):
    (inner,), stride = _strided(reader, texts)
    array = reader.read(inner).array
    return Value(overlapped(array, _for_each(stride, (array.ndim - 2) // 2)))


def _reshape(reader, texts):
    part, shape = reader.read(texts[0]), reader.whole_numbers(texts[1])
    if part.stretches and part.array.size == 1:  # the same number everywhere
        return Value(np.broadcast_to(part.array.reshape((1,) * len(shape)), shape))
    return Value(part.array.reshape(shape))


def _transpose(reader, texts):
    return Value(reader.read(texts[0]).array.transpose(reader.whole_numbers(texts[1])))


def _pad(reader, texts):
    """``pad(x, 1×(0, 2))``: zeros on both sides of the last axes."""
    array = reader.read(texts[0]).array
    around = []
    for text in top_level_split(", ".join(texts[1:]), "×"):
        ends = reader.whole_numbers(text)
        around.append(ends if len(ends) == 2 else ends * 2)
    around = [(0, 0)] * (array.ndim - len(around)) + around
    return Value(np.pad(array, around))


def _scatter(reader, texts):
    (inner,) = texts
    reader.expects("[")
    return scattered(reader.read(inner), reader.key_of(reader.arguments()))


MOVES = {
    "conv": _convolution(convolved), "convᵀ": _convolution(spread),
    "corr": _convolution(correlated), "windows": _windows, "overlap_add": _overlap_add,
    "reshape": _reshape, "transpose": _transpose, "pad": _pad, "scatter": _scatter,
}  # fmt: skip
"""Functions that do not take values only."""
