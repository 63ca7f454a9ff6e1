"""Structural rows of convolutions and sliding windows.

A convolution ``y[n, o, p] = Σ_{c, w} x[n, c, s p + w] k[o, c, w]`` is linear in ``x`` and in
``k``. Its two adjoints are rows of their own, and the adjoints of all three are among the three,
so every order of derivative is there. ``p`` and ``w`` run over any number of spatial axes; ``s``
is the stride. As in neural networks, the kernel is not flipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .errors import ShapeError
from .graph import Attributes, Node, Operation, apply
from .shapes import Dimension, Shape, concrete_shape, text
from .structural import _row, described

Strides = tuple[int, ...]


def output_size(size: Dimension, window: int, stride: int, what: str) -> Dimension:
    """How many windows fit along an axis.

    Raises
    ------
    ShapeError
        Where the window is longer than the axis, or a symbolic axis has a stride: its number of
        windows is no polynomial in the size.
    """
    if isinstance(size, int):
        if size < window:
            raise ShapeError(f"{what}: a window of {window} does not fit an axis of size {size}")
        return (size - window) // stride + 1
    if stride != 1:
        raise ShapeError(
            f"{what}: an axis of the symbolic size {size} takes the stride 1 only, got {stride}; "
            "declare the tensor with its size"
        )
    count = size - (window - 1)
    return int(count) if getattr(count, "is_Integer", False) else count


def _outputs(sizes: Shape, windows: Sequence[Any], strides: Strides, what: str) -> Shape:
    return tuple(
        output_size(d, w, s, what) for d, w, s in zip(sizes, windows, strides, strict=True)
    )


def _check_rank(x: Node, rank: int, name: str, axes: str) -> None:
    if x.rank != rank:
        raise ShapeError(f"{name} takes axes {axes}, got {described(x)}")


# --- convolution -------------------------------------------------------------------------


def _infer_convolve(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    x, kernel = inputs
    (strides,) = attributes
    rank = len(strides) + 2
    name = f"conv{len(strides)}d"
    _check_rank(x, rank, name, "(n, c_in, …)")
    _check_rank(kernel, rank, name, "(c_out, c_in, …) for its kernel")
    if x.shape[1] != kernel.shape[1]:
        raise ShapeError(
            f"{name}: {described(x)} has {x.shape[1]} channels, the kernel {described(kernel)} "
            f"takes {kernel.shape[1]}"
        )
    if not all(isinstance(d, int) for d in kernel.shape[2:]):
        raise ShapeError(f"{name}: the kernel {described(kernel)} must have spatial sizes in ints")
    spatial = _outputs(x.shape[2:], kernel.shape[2:], strides, f"{name} of {described(x)}")
    return (x.shape[0], kernel.shape[0], *spatial), "real"


def _offsets(windows: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    yield from np.ndindex(*windows)


def _places(offset: Sequence[int], counts: Sequence[int], strides: Strides) -> tuple[Any, ...]:
    """The elements that lie at an offset of each window."""
    return tuple(
        slice(o, o + s * (n - 1) + 1 if n else o, s)
        for o, n, s in zip(offset, counts, strides, strict=True)
    )


def _numpy_convolve(arrays: list[Any], node: Node, sizes: Any) -> Any:
    x, kernel = arrays
    (strides,) = node.attributes
    shape = concrete_shape(node.shape, sizes)
    result = np.zeros(shape, np.result_type(x, kernel))
    for offset in _offsets(kernel.shape[2:]):
        part = x[(..., *_places(offset, shape[2:], strides))]
        result += np.einsum("nc...,oc->no...", part, kernel[(..., *offset)])
    return result


def _numpy_transposed(arrays: list[Any], node: Node, sizes: Any) -> Any:
    g, kernel = arrays
    strides, shape = node.attributes
    result = np.zeros(concrete_shape(shape, sizes), np.result_type(g, kernel))
    for offset in _offsets(kernel.shape[2:]):
        part = result[(..., *_places(offset, g.shape[2:], strides))]
        part += np.einsum("no...,oc->nc...", g, kernel[(..., *offset)])
    return result


def _numpy_kernel(arrays: list[Any], node: Node, sizes: Any) -> Any:
    x, g = arrays
    strides, shape = node.attributes
    result: Any = np.zeros(concrete_shape(shape, sizes), np.result_type(x, g))
    summed = (0, *range(2, g.ndim))
    for offset in _offsets(result.shape[2:]):
        part = x[(..., *_places(offset, g.shape[2:], strides))]
        result[(..., *offset)] = np.tensordot(g, part, axes=(summed, summed))
    return result


def convolve(x: Node, kernel: Node, strides: Strides) -> Node:
    """``y[n, o, p] = Σ x[n, c, s p + w] kernel[o, c, w]``."""
    return apply("convolve", x, kernel, attributes=(strides,))


def _transposed(g: Node, kernel: Node, strides: Strides, shape: Shape) -> Node:
    return apply("convolve_transposed", g, kernel, attributes=(strides, shape))


def _kernel(x: Node, g: Node, strides: Strides, shape: Shape) -> Node:
    return apply("convolve_kernel", x, g, attributes=(strides, shape))


def _convolve_adjoint(node: Node, g: Node) -> list[Node]:
    x, kernel = node.inputs
    (strides,) = node.attributes
    return [_transposed(g, kernel, strides, x.shape), _kernel(x, g, strides, kernel.shape)]


def _transposed_adjoint(node: Node, h: Node) -> list[Node]:
    g, kernel = node.inputs
    strides, _ = node.attributes
    return [convolve(h, kernel, strides), _kernel(h, g, strides, kernel.shape)]


def _kernel_adjoint(node: Node, h: Node) -> list[Node]:
    x, g = node.inputs
    strides, _ = node.attributes
    return [_transposed(g, h, strides, x.shape), convolve(x, h, strides)]


def _infer_shape(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    return attributes[1], "real"


# --- windows -----------------------------------------------------------------------------


def _infer_windows(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    (x,) = inputs
    windows, strides = attributes
    lead = x.rank - len(windows)
    if lead < 0:
        raise ShapeError(f"windows of {text(windows)} need as many axes, got {described(x)}")
    spatial = _outputs(x.shape[lead:], windows, strides, f"windows of {described(x)}")
    return (*x.shape[:lead], *spatial, *windows), x.dtype


def _numpy_windows(arrays: list[Any], node: Node, sizes: Any) -> Any:
    (x,) = (np.asarray(a) for a in arrays)
    windows, strides = node.attributes
    axes = tuple(range(x.ndim - len(windows), x.ndim))
    view = np.lib.stride_tricks.sliding_window_view(x, windows, axes)
    steps = (slice(None, None, s) for s in strides)
    return view[(*[slice(None)] * axes[0], *steps)] if axes else view


def _windows_adjoint(node: Node, g: Node) -> list[Node]:
    _, strides = node.attributes
    return [apply("overlap_add", g, attributes=(strides, node.inputs[0].shape))]


def _numpy_overlap(arrays: list[Any], node: Node, sizes: Any) -> Any:
    g: Any = np.asarray(arrays[0])
    strides, shape = node.attributes
    count = len(strides)
    result = np.zeros(concrete_shape(shape, sizes), g.dtype)
    for offset in _offsets(g.shape[g.ndim - count :]):
        counts = g.shape[g.ndim - 2 * count : g.ndim - count]
        result[(..., *_places(offset, counts, strides))] += g[(..., *offset)]
    return result


def _overlap_adjoint(node: Node, h: Node) -> list[Node]:
    (g,) = node.inputs
    strides, _ = node.attributes
    return [apply("windows", h, attributes=(g.shape[g.rank - len(strides) :], strides))]


def _infer_overlap(inputs: tuple[Node, ...], attributes: Attributes) -> tuple[Shape, str]:
    return attributes[1], "int" if inputs[0].dtype == "bool" else inputs[0].dtype


WINDOWED: dict[str, Operation] = {
    row.name: row
    for row in (
        _row("convolve", _infer_convolve, _numpy_convolve, _convolve_adjoint, "convolution"),
        _row("convolve_transposed", _infer_shape, _numpy_transposed, _transposed_adjoint,
             "transposed convolution"),
        _row("convolve_kernel", _infer_shape, _numpy_kernel, _kernel_adjoint,
             "correlation with the input"),
        _row("windows", _infer_windows, _numpy_windows, _windows_adjoint, "sliding windows"),
        _row("overlap_add", _infer_overlap, _numpy_overlap, _overlap_adjoint, "overlapping sums"),
    )
}  # fmt: skip
"""Convolution, its adjoints, sliding windows and their adjoint."""
