"""Convolution and pooling, as neural networks have them: channels first, kernels not flipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp

from . import arrays
from . import language as lang
from . import structural_classes as kinds
from .bridge import to_graph
from .errors import InvalidArgument, ShapeError
from .language import as_number, shape
from .shapes import Dimension, text
from .structural import described

__all__ = ["avg_pool2d", "conv1d", "conv2d", "max_pool2d"]


def conv2d(x: Any, kernel: Any, stride: Any = 1, padding: Any = 0) -> Any:
    """Convolution ``y[n, o, i, j] = Σ x[n, c, s i + a, s j + b] kernel[o, c, a, b]``.

    Parameters
    ----------
    x : expression of shape (n, c_in, h, w)
    kernel : expression of shape (c_out, c_in, kh, kw)
    stride : int or pair of int
    padding : int, pair of int, "valid" or "same"
        Zeros around every image: so many on both sides of each axis. ``"same"`` keeps
        ``ceil(h / stride)``; an odd zero goes to the end, as in TensorFlow.

    Returns
    -------
    expression of shape (n, c_out, (h + 2 padding - kh) // stride + 1, …)

    Raises
    ------
    ShapeError
        Where the channels differ, the kernel does not fit, or an axis of symbolic size has a
        stride.

    Examples
    --------
    >>> import symdiff as sd
    >>> x, k = sd.tensor("x", "n", 3, 8, 8), sd.tensor("k", 5, 3, 3, 3)
    >>> sd.conv2d(x, k).shape, sd.conv2d(x, k, stride=2, padding="same").shape
    ((n, 5, 6, 6), (n, 5, 4, 4))
    """
    return _convolution("conv2d", x, kernel, stride, padding, 2)


def conv1d(x: Any, kernel: Any, stride: Any = 1, padding: Any = 0) -> Any:
    """Convolution of ``(n, c_in, length)`` with a kernel ``(c_out, c_in, k)``.

    The arguments are those of :func:`conv2d`.

    Examples
    --------
    >>> import symdiff as sd
    >>> x, k = sd.tensor("x", 1, 1, 5), sd.tensor("k", 1, 1, 2)
    >>> sd.evaluate(sd.conv1d(x, k), {x: [[[1, 2, 4, 7, 11]]], k: [[[-1, 1]]]})
    array([[[1., 2., 3., 4.]]])
    """
    return _convolution("conv1d", x, kernel, stride, padding, 1)


def _convolution(name: str, x: Any, kernel: Any, stride: Any, padding: Any, count: int) -> Any:
    x, kernel = as_number(x), as_number(kernel)
    strides = each(name, "stride", stride, count, least=1)
    if len(shape(x)) != count + 2 or len(shape(kernel)) != count + 2:
        sizes = ", ".join("hw"[:count]) if count == 2 else "length"
        raise ShapeError(
            f"{name} takes an input (n, c_in, {sizes}) and a kernel (c_out, c_in, …), got "
            f"{described(to_graph(x))} and {described(to_graph(kernel))}"
        )
    around = _around(name, padding, shape(x)[2:], shape(kernel)[2:], strides)
    return kinds.Convolved.make([_padded(x, around, 0), kernel], (strides,))


def max_pool2d(x: Any, size: Any, stride: Any = None, padding: Any = 0) -> Any:
    """The largest element of each window of ``(n, c, h, w)``.

    Parameters
    ----------
    x : expression
        The last two axes are pooled.
    size : int or pair of int
    stride : int or pair of int, optional
        The size of the window, if not given.
    padding : int, pair of int, "valid" or "same"
        What lies outside never is the largest.

    Examples
    --------
    >>> import symdiff as sd
    >>> x = sd.tensor("x", "n", 3, 8, 8)
    >>> sd.max_pool2d(x, 2).shape, sd.max_pool2d(x, 3, stride=2).shape
    ((n, 3, 4, 4), (n, 3, 3, 3))
    """
    windows, _ = _windows("max_pool2d", x, size, stride, padding, -sp.oo)
    return arrays.max(windows, axis=(-2, -1))


def avg_pool2d(
    x: Any, size: Any, stride: Any = None, padding: Any = 0, count_include_pad: bool | None = None
) -> Any:
    """The mean of each window of ``(n, c, h, w)``.

    Parameters
    ----------
    x, size, stride, padding
        As in :func:`max_pool2d`.
    count_include_pad : bool, optional
        Whether zeros around the image count as elements. By default they do where the padding
        is given in numbers, as in PyTorch, and not with ``"same"``, as in Keras.
    """
    windows, padded = _windows("avg_pool2d", x, size, stride, padding, 0)
    counted = padding != "same" if count_include_pad is None else count_include_pad
    if counted or not padded:
        return arrays.mean(windows, axis=(-2, -1))
    inside = lang.broadcast_to(sp.Integer(1), *shape(as_number(x))[-2:])
    count, _ = _windows("avg_pool2d", inside, size, stride, padding, 0)
    return arrays.sum(windows, axis=(-2, -1)) / arrays.sum(count, axis=(-2, -1))


def _windows(
    name: str, x: Any, size: Any, stride: Any, padding: Any, fill: Any
) -> tuple[Any, bool]:
    """Sliding windows over the last two axes, and whether anything was put around them."""
    x = as_number(x)
    if len(shape(x)) < 2:
        raise ShapeError(f"{name} takes an input (n, c, h, w), got {described(to_graph(x))}")
    sizes = each(name, "size", size, 2, least=1)
    strides = sizes if stride is None else each(name, "stride", stride, 2, least=1)
    around = _around(name, padding, shape(x)[-2:], sizes, strides)
    if fill == -sp.oo and any(p >= s for pair, s in zip(around, sizes, strict=True) for p in pair):
        raise InvalidArgument(
            f"{name}: the padding {text(around)} must be smaller than the window {text(sizes)}, or "
            "a window holds no element"
        )
    windows = kinds.Windows.make([_padded(x, around, fill)], (sizes, strides))
    return windows, any(p for pair in around for p in pair)


def _padded(x: Any, around: Sequence[tuple[int, int]], fill: Any) -> Any:
    """Elements put around the last axes: so many before and after each."""
    if not any(p for pair in around for p in pair):
        return x
    lead = len(shape(x)) - len(around)
    if fill == 0:
        inner = shape(x)
        wide = (
            *inner[:lead],
            *(d + a + b for d, (a, b) in zip(inner[lead:], around, strict=True)),
        )
        key = (
            *(("slice", 0, d, 1) for d in inner[:lead]),
            *(("slice", a, d, 1) for d, (a, _) in zip(inner[lead:], around, strict=True)),
        )
        return kinds.IndexAdded.make([x], (key, wide))
    for axis, (before, after) in enumerate(around, start=lead):
        parts = [_strip(x, axis, before, fill), x, _strip(x, axis, after, fill)]
        parts = [p for p in parts if p is not None]
        x = arrays.concatenate(parts, axis=axis) if len(parts) > 1 else x
    return x


def _strip(x: Any, axis: int, width: int, fill: Any) -> Any:
    if not width:
        return None
    return lang.broadcast_to(fill, *shape(x)[:axis], width, *shape(x)[axis + 1 :])


def each(name: str, what: str, value: Any, count: int, least: int) -> tuple[int, ...]:
    """An int for every spatial axis, from one int or from a sequence of them."""
    values = tuple(value) if isinstance(value, (tuple, list, sp.Tuple)) else (value,) * count
    whole = [v for v in values if hasattr(v, "__index__") and not isinstance(v, bool)]
    if len(values) != count or len(whole) != count or any(v < least for v in whole):
        wanted = f"an int of at least {least}" + (f", or {count} of them" if count > 1 else "")
        raise InvalidArgument(f"{name}: {what} must be {wanted}, got {value!r}")
    return tuple(int(v) for v in whole)


def _around(
    name: str,
    padding: Any,
    sizes: Sequence[Dimension],
    windows: Sequence[Dimension],
    strides: Sequence[int],
) -> tuple[tuple[int, int], ...]:
    """What goes before and after each spatial axis."""
    if isinstance(padding, str):
        rule = _NAMED_PADDING.get(padding)
        if rule is None:
            raise InvalidArgument(
                f"{name}: padding must be an int, {len(sizes)} of them, 'valid' or 'same', got "
                f"{padding!r}"
            )
        return tuple(map(rule, sizes, windows, strides))
    return tuple((p, p) for p in each(name, "padding", padding, len(sizes), least=0))


def _same(size: Dimension, window: Dimension, stride: int) -> tuple[int, int]:
    """So many zeros that ``ceil(size / stride)`` windows fit."""
    if not isinstance(size, int) and stride != 1:
        raise ShapeError(
            f"padding='same' with the stride {stride} needs an axis of known size, got {size}"
        )
    left = 0 if not isinstance(size, int) else (-(-size // stride) - 1) * stride - size
    total = max(left + int(window), 0) if isinstance(size, int) else int(window) - 1
    return total // 2, total - total // 2


_NAMED_PADDING: dict[str, Callable[[Dimension, Dimension, int], tuple[int, int]]] = {
    "valid": lambda size, window, stride: (0, 0),
    "same": _same,
}
