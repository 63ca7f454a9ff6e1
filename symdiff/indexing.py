"""Keys of ``x[...]``: slices, ints, None and integer tensors, with NumPy's meaning.

A key is a tuple with one entry per axis of the operand, and one for each new axis:

* ``("slice", start, count, step)``: elements ``start + step * i`` for ``i < count``;
* ``("int", i)``: one element, the axis disappears;
* ``("new",)``: a new axis of size 1;
* ``("tensor", k)``: the k-th index operand.

Starts and counts may be sizes. Negative ints count from the end of a symbolic axis too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .errors import IndexOutOfRange, InvalidArgument, ShapeError
from .shapes import Dimension, Shape, broadcast, concrete, text

Key = tuple[tuple[Any, ...], ...]


def normalise_key(key: Any, shape: Shape, what: str) -> tuple[Key, list[Any]]:
    """Split what a user wrote in brackets into a :data:`Key` and its index operands."""
    entries = list(key) if isinstance(key, tuple) else [key]
    explicit = sum(1 for e in entries if e is not None and e is not Ellipsis)
    if explicit > len(shape):
        raise ShapeError(f"too many indices for {what}: {explicit} for {len(shape)} axes")
    if sum(1 for e in entries if e is Ellipsis) > 1:
        raise InvalidArgument(f"an index holds '...' at most once, in the index of {what}")
    fill = [slice(None)] * (len(shape) - explicit)
    if any(e is Ellipsis for e in entries):
        position = next(i for i, e in enumerate(entries) if e is Ellipsis)
        entries[position : position + 1] = fill
    else:
        entries += fill
    result: list[tuple[Any, ...]] = []
    operands: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is None:
            result.append(("new",))
            continue
        size = shape[axis]
        if isinstance(entry, slice):
            result.append(_slice(entry, size, axis, what))
        elif _is_int(entry):
            result.append(("int", _wrap(int(entry), size, axis, what)))
        else:
            result.append(("tensor", len(operands)))
            operands.append(entry)
        axis += 1
    return tuple(result), operands


def _is_int(entry: Any) -> bool:
    return not isinstance(entry, (bool, np.bool_)) and (
        isinstance(entry, (int, np.integer)) or getattr(entry, "is_Integer", False) is True
    )


def _wrap(index: int, size: Dimension, axis: int, what: str) -> Dimension:
    if isinstance(size, int) and not -size <= index < size:
        raise IndexOutOfRange(f"index {index} is out of range for axis {axis} of {what}")
    return index if index >= 0 else size + index


def _slice(entry: slice, size: Dimension, axis: int, what: str) -> tuple[Any, ...]:
    if isinstance(size, int):
        start, stop, step = entry.indices(size)
        return ("slice", start, len(range(start, stop, step)), step)
    step = 1 if entry.step is None else int(entry.step)
    if step == -1 and entry.start is None and entry.stop is None:
        return ("slice", size - 1, size, -1)
    start, stop = entry.start, entry.stop
    if step != 1 or any(v is not None and not _is_int(v) for v in (start, stop)):
        raise InvalidArgument(
            f"axis {axis} of {what} has the symbolic size {size}: only slices with step 1 and "
            "int ends, and [::-1], have a size that is known"
        )
    first = 0 if start is None else int(start)
    last = size if stop is None else int(stop)
    first = first if first >= 0 else size + first
    if isinstance(last, int):
        last = last if last >= 0 else size + last
    count = last - first
    return ("slice", first, int(count) if getattr(count, "is_Integer", False) else count, 1)


def output_order(key: Key) -> tuple[int, bool]:
    """Where the axes of the index tensors go: ``(position, adjacent)``.

    With index tensors, ints count as index tensors too. If all of these stand together, the
    broadcast axes replace them; otherwise they come first.
    """
    if not any(e[0] == "tensor" for e in key):
        return 0, True
    advanced = [i for i, e in enumerate(key) if e[0] in ("tensor", "int")]
    adjacent = advanced == list(range(advanced[0], advanced[-1] + 1))
    before = sum(1 for e in key[: advanced[0]] if e[0] in ("slice", "new"))
    return (before, True) if adjacent else (0, False)


def indexed_shape(
    shape: Shape, key: Key, index_shapes: Sequence[Shape], what: Callable[[], str]
) -> Shape:
    """The shape of ``x[key]``."""
    plain: list[Dimension] = []
    for entry in key:
        if entry[0] == "slice":
            plain.append(entry[2])
        elif entry[0] == "new":
            plain.append(1)
    if not index_shapes:
        return tuple(plain)
    common = broadcast(*index_shapes)
    if common is None:
        shapes = " and ".join(text(s) for s in index_shapes)
        raise ShapeError(f"the index tensors of {what()} do not broadcast: {shapes}")
    position, _ = output_order(key)
    return (*plain[:position], *common, *plain[position:])


def numpy_key(
    key: Key, indices: Sequence[Any], shape: Sequence[int], sizes: Any
) -> tuple[Any, ...]:
    """The key as NumPy takes it, for an operand of a concrete shape."""
    result: list[Any] = []
    axis = 0
    for entry in key:
        if entry[0] == "new":
            result.append(None)
            continue
        size = shape[axis]
        if entry[0] == "tensor":
            result.append(indices[entry[1]])
        elif entry[0] == "int":
            index = concrete(entry[1], sizes)
            if not -size <= index < size:
                raise IndexError(f"index {index} for axis {axis} with size {size}")
            result.append(index)
        else:
            start, count, step = concrete(entry[1], sizes), concrete(entry[2], sizes), entry[3]
            last = start + step * (count - 1)
            if count < 0 or (count and not (0 <= start < size and 0 <= last < size)):
                raise IndexError(f"slice of {count} from {start} for axis {axis} with size {size}")
            stop = start + step * count
            result.append(slice(start, stop if stop >= 0 else None, step))
        axis += 1
    return tuple(result)
