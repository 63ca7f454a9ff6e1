"""Memory of kernels run by the scheduler: every access is checked for its place and for races.

Barriers are the only things that order threads here, and a warp is part of a block, a block part
of the grid. So what one thread did is ordered before what another does if, and only if, a barrier
of the smallest group that holds both lies between; each thread counts those that it has passed.
What came before a barrier of the grid is before all that follows, and is forgotten.
"""

from __future__ import annotations

import linecache
import operator
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
from greenlet import getcurrent

from symdiff.errors import IndexOutOfRange, InvalidArgument, InvalidType, SymdiffError

Place = tuple[CodeType, int]
"""A function, and the number of the instruction that it is at."""

Stamp = tuple[Any, int, int]
"""A thread, and the barriers of its block and of its warp that it has passed."""


class Race(SymdiffError, RuntimeError):
    """Two threads use an element, one of them writes it, and no barrier orders them."""


def named(place: Place) -> str:
    """A place in the text: function, file, line, and what is written there."""
    code, instruction = place
    line = next(
        (at for start, end, at in code.co_lines() if start <= instruction < end and at),
        code.co_firstlineno,
    )
    text = linecache.getline(code.co_filename, line).strip()
    where = f"{code.co_name} ({Path(code.co_filename).name}, line {line}"
    return f"{where}: {text})" if text else f"{where})"


def _place(frame: FrameType) -> Place:
    return frame.f_code, frame.f_lasti


class Accesses:
    """Who has read and written which elements since the last barrier of the grid."""

    def __init__(self) -> None:
        self._writes: dict[int, tuple[Stamp, Place]] = {}
        self._reads: dict[int, dict[int, tuple[Stamp, Place]]] = {}

    def forget(self) -> None:
        """All threads have met: what was, is before all that will be."""
        self._writes.clear()
        self._reads.clear()

    def read(self, memory: Memory, index: int, key: int, frame: FrameType) -> None:
        """Note that the running thread reads an element, unless that is a race."""
        stamp = getcurrent().stamp
        written = self._writes.get(key)
        if written is not None and _unordered(written[0], stamp):
            raise _race(memory, index, written, "wrote", stamp, "reads", frame)
        here = stamp, _place(frame)
        readers = self._reads.get(key)
        if readers is None:
            self._reads[key] = {stamp[0].tid: here}
        else:
            readers[stamp[0].tid] = here

    def write(self, memory: Memory, index: int, key: int, frame: FrameType) -> None:
        """Note that the running thread writes an element, unless that is a race."""
        stamp = getcurrent().stamp
        written = self._writes.get(key)
        if written is not None and _unordered(written[0], stamp):
            raise _race(memory, index, written, "wrote", stamp, "writes", frame)
        readers = self._reads.pop(key, None)
        if readers is not None:
            for reader in readers.values():
                if _unordered(reader[0], stamp):
                    raise _race(memory, index, reader, "read", stamp, "writes", frame)
        self._writes[key] = stamp, _place(frame)


def _unordered(before: Stamp, now: Stamp) -> bool:
    """Whether no barrier lies between what one thread did and what another does now."""
    one, other = before[0], now[0]
    if one is other:
        return False
    if one.warp == other.warp:
        return before[2] == now[2]
    if one.block == other.block:
        return before[1] == now[1]
    return True  # what is before a barrier of the grid is not noted any more


def _race(
    memory: Memory, index: int, past: tuple[Stamp, Place], did: str, now: Stamp, does: str,
    frame: FrameType,
) -> Race:  # fmt: skip
    (one, *_), place = past
    other = now[0]
    if one.warp == other.warp:
        barrier = "warp_wait()"
    elif one.block == other.block:
        barrier = "block_wait()"
    else:
        barrier = "wait(barrier, nth, size)"
    return Race(
        f"{one} {did} {memory.name}[{index}] in {named(place)}, and {other} {does} it in "
        f"{named(_place(frame))}: no barrier that both took part in lies between, "
        f"so either may come first. Put {barrier} or a wait of more threads between the two, "
        "where all threads pass, or let one thread do both."
    )


class Memory:
    """A pointer, as a kernel sees it: the elements of an array, or those from an offset on.

    Parameters
    ----------
    array : ndarray
        One axis.
    name : str
        What errors call it.
    accesses : Accesses, optional
        Where accesses are noted; without it any thread may use any element at any time.
    """

    __slots__ = ("_accesses", "_array", "_item", "_last", "_offset", "_start", "dtype", "name")

    def __init__(self, array: np.ndarray, name: str, accesses: Accesses | None = None) -> None:
        if array.ndim != 1 or not array.flags.c_contiguous:
            raise InvalidArgument(
                f"{name}: a kernel works on contiguous arrays of one axis, got shape {array.shape} "
                f"with strides {array.strides}; pass np.ascontiguousarray(...).reshape(-1)"
            )
        self._array = array
        self._accesses = accesses
        self._offset = 0
        self._last = len(array)
        self._item = array.itemsize
        # elements are known by their addresses, so two views of one array are the same memory
        self._start = int(array.__array_interface__["data"][0])
        self.name = name
        self.dtype = array.dtype

    def _index(self, index: Any) -> int:
        """Where an element lies in the array."""
        try:
            place = self._offset + operator.index(index)
        except TypeError:
            raise InvalidType(
                f"{self.name}[{index!r}]: an index must be a whole number, got "
                f"{type(index).__name__}"
            ) from None
        if place < self._offset or place >= self._last:
            window = f" from element {self._offset} on" if self._offset else ""
            raise IndexOutOfRange(
                f"{getcurrent()} uses {self.name}[{index}]{window} in "
                f"{named(_place(sys._getframe(2)))}: {self.name} has {self._last} elements. "
                "Pointers count from 0 and are not checked on a device: bound the index."
            )
        return place

    def __getitem__(self, index: Any) -> Any:
        place = self._index(index)
        if self._accesses is not None:
            self._accesses.read(self, place, self._start + place * self._item, sys._getframe(1))
        return self._array[place]

    def __setitem__(self, index: Any, value: Any) -> None:
        place = self._index(index)
        if self._accesses is not None:
            self._accesses.write(self, place, self._start + place * self._item, sys._getframe(1))
        self._array[place] = value

    def at(self, offset: Any) -> Memory:
        """The same memory from an offset on."""
        start = self._offset + operator.index(offset)
        if start < 0 or start > self._last:
            raise IndexOutOfRange(
                f"at({self.name}, {offset}) in {named(_place(sys._getframe(2)))}: "
                f"{self.name} has {self._last} elements"
            )
        window = Memory.__new__(Memory)
        window._array, window._accesses, window._offset = self._array, self._accesses, start
        window._start, window._item, window._last = self._start, self._item, self._last
        window.name, window.dtype = self.name, self.dtype
        return window
