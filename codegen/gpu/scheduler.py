"""Kernels as plain Python, on the threads of a device, in an order that a seed decides.

A thread runs until it waits; then one that may go on does, drawn at random. Nothing is left to
chance that a device decides otherwise: threads that wait at different places of the text, or for
threads that have ended, are an error, and so is an access that no barrier orders.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Collection, Sequence
from contextvars import copy_context
from types import FrameType
from typing import Any

import numpy as np
from greenlet import getcurrent, greenlet

from symdiff.errors import InvalidArgument, SymdiffError

from .memory import Accesses, Memory, Place, named

OWN = {f"codegen.gpu.{name}" for name in ("memory", "plain", "scheduler")}
"""Modules whose functions are no part of a kernel's text."""


class Divergence(SymdiffError, RuntimeError):
    """Threads that should meet do not."""


class Thread(greenlet):
    """A thread of a grid: its place, what it waits for, and the barriers it has passed.

    Attributes
    ----------
    trail : tuple
        Where it waits, from the innermost function to the kernel.
    stamp : tuple
        The thread, and how many barriers of its block and of its warp it has passed.
    """

    def __init__(self, grid: Grid, tid: int) -> None:
        super().__init__()
        self.gr_context = copy_context()
        self.grid = grid
        self.tid = tid
        self.block, self.warp = tid // grid.size, tid // grid.warp
        self.stamp: Any = (self, 0, 0)
        self.waits_in = ""
        self.trail: tuple[Place, ...] = ()
        self.offer: Any = None
        self.received: Any = None

    def __str__(self) -> str:
        return f"thread {self.tid} (block {self.block}, warp {self.warp})"

    def run(self, received: Any) -> None:
        """Run the kernel."""
        grid = self.grid
        grid.function(self.tid, grid.nth, grid.size, *grid.arguments)

    def wait(self, group: Group, name: str, offer: Any = None) -> Any:
        """Let others run until all threads of a group wait; gives what it then receives."""
        self.waits_in, self.trail, self.offer = name, _trail(sys._getframe(2)), offer
        return self.parent.switch(group)


class Group:
    """Threads that meet: a warp, a block, or the grid."""

    def __init__(self, kind: str, threads: Sequence[Thread]) -> None:
        self.kind = kind
        self.threads = threads
        self.arrived = 0


def _trail(frame: FrameType | None) -> tuple[Place, ...]:
    """The functions of a kernel that a thread is in."""
    trail = []
    while frame is not None:
        if frame.f_globals["__name__"] not in OWN:
            trail.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(trail)


class Grid:
    """All threads of a kernel, and the memory of its blocks.

    Parameters are those of :func:`run_grid`.
    """

    def __init__(
        self,
        function: Callable[..., None],
        blocks: int,
        size: int,
        warp: int,
        seed: int,
        arguments: Sequence[Any],
        exempt: Collection[str] = (),
    ) -> None:
        _check_shape(blocks, size, warp)
        self.function, self.size, self.warp, self.nth = function, size, warp, blocks * size
        self.accesses = Accesses()
        self.arguments = self._wrapped(arguments, exempt)
        self._memory: dict[tuple[Any, ...], Memory] = {}
        self._random = random.Random(seed)
        self.threads = [Thread(self, tid) for tid in range(self.nth)]
        self.warps = self._groups("warp", warp)
        self.blocks = self._groups("block", size)
        (self.whole,) = self._groups("grid", self.nth)

    def _groups(self, kind: str, size: int) -> list[Group]:
        starts = range(0, self.nth, size)
        return [Group(kind, self.threads[start : start + size]) for start in starts]

    def _wrapped(self, arguments: Sequence[Any], exempt: Collection[str]) -> list[Any]:
        parameters = [*inspect.signature(self.function).parameters][3:]
        if len(parameters) != len(arguments):
            raise InvalidArgument(
                f"{self.function.__name__} takes {', '.join(parameters) or 'nothing'} after tid, "
                f"nth, size: {len(parameters)} arguments, got {len(arguments)}"
            )
        if unknown := [name for name in exempt if name not in parameters]:
            raise InvalidArgument(
                f"exempt names {', '.join(unknown)}, but {self.function.__name__} takes "
                f"{', '.join(parameters)}"
            )
        return [
            Memory(value, name, None if name in exempt else self.accesses)
            if isinstance(value, np.ndarray)
            else value
            for name, value in zip(parameters, arguments, strict=True)
        ]

    def shared(self, block: int, key: tuple[Any, ...], count: int, dtype: np.dtype) -> Memory:
        """Memory of a block, made when its first thread asks; numbers in it are not set."""
        whole = (block, *key, count, dtype)
        if whole not in self._memory:
            unset = np.nan if dtype.kind == "f" else np.iinfo(dtype).max
            self._memory[whole] = Memory(np.full(count, unset, dtype), "shared", self.accesses)
        return self._memory[whole]

    def run(self) -> None:
        """Run all threads to their ends."""
        ready = list(self.threads)
        draw = self._random.random
        try:
            while ready:
                chosen = int(draw() * len(ready))
                thread, ready[chosen] = ready[chosen], ready[-1]
                ready.pop()
                try:
                    group = thread.switch(thread.received)
                except Exception as error:
                    error.add_note(f"in {thread} of {self.function.__name__}")
                    raise
                if thread.dead:
                    continue
                group.arrived += 1
                if group.arrived == len(group.threads):
                    self._meet(group)
                    ready += group.threads
            if not all(thread.dead for thread in self.threads):
                raise self._stuck()
        finally:
            for thread in self.threads:
                if not thread.dead:
                    thread.throw()

    def _meet(self, group: Group) -> None:
        """All threads of a group wait: order what they did, or exchange what they offer."""
        first = group.threads[0]
        name, trail = first.waits_in, first.trail
        if any(t.trail != trail or t.waits_in != name for t in group.threads):
            raise _diverged(group.threads, group.kind)
        group.arrived = 0
        if name == "exchange":
            _exchange(group)
        elif len(group.threads) == self.nth:
            self.accesses.forget()
        else:
            block = int(group.kind == "block")
            for thread in group.threads:
                _, blocks, warps = thread.stamp
                thread.stamp = (thread, blocks + block, warps + 1)

    def _stuck(self) -> Divergence:
        """What to say where threads wait and none can go on."""
        groups = [*self.warps, *self.blocks, self.whole]
        group = next(g for g in groups if g.arrived)
        return _diverged(group.threads, group.kind)


def _exchange(group: Group) -> None:
    """Give each thread of a warp the number of its partner."""
    distances = {thread.offer[1] for thread in group.threads}
    (distance, *others) = distances
    # a literal that no round of a loop has changed is a number of Python's
    kinds = {np.result_type(thread.offer[0]) for thread in group.threads}
    if others or not 0 < distance < len(group.threads) or len(kinds) > 1:
        raise Divergence(
            f"exchange in {_called(group.threads[0].trail)}: all threads of a warp must give "
            f"numbers of one type and the same distance, from 1 to {len(group.threads) - 1}; got "
            f"types {', '.join(sorted(k.name for k in kinds))}, distances {sorted(distances)}"
        )
    for place, thread in enumerate(group.threads):
        thread.received = group.threads[place ^ distance].offer[0]


def _diverged(threads: Sequence[Thread], kind: str) -> Divergence:
    """Which threads of a group are where."""
    places: dict[str, list[int]] = {}
    for thread in threads:
        what = "ended" if thread.dead else f"waits in {thread.waits_in} of {_called(thread.trail)}"
        places.setdefault(what, []).append(thread.tid)
    found = "; ".join(f"{_listed(tids)}: {what}" for what, tids in places.items())
    return Divergence(
        f"the threads of a {kind} do not meet. {found}. All threads of a {kind} must come to the "
        "same call: move it out of branches, and out of loops whose number of rounds differs from "
        "thread to thread."
    )


def _called(trail: Sequence[Place]) -> str:
    return ", called in ".join(map(named, trail))


def _listed(tids: Sequence[int]) -> str:
    """Numbers of threads, those in a row as a range."""
    runs: list[list[int]] = []
    for tid in tids:
        if runs and runs[-1][-1] == tid - 1:
            runs[-1].append(tid)
        else:
            runs.append([tid])
    texts = [str(r[0]) if len(r) == 1 else f"{r[0]} to {r[-1]}" for r in runs]
    return f"thread{'s' if len(tids) > 1 else ''} {', '.join(texts)}"


def _check_shape(blocks: int, size: int, warp: int) -> None:
    if blocks < 1 or warp < 1 or warp & (warp - 1) or size < 1 or size % warp:
        raise InvalidArgument(
            "a grid has at least one block, a warp a power of two of threads, and a block a whole "
            f"number of warps; got {blocks} blocks of {size} threads, warps of {warp}"
        )


def run_grid(
    function: Callable[..., None],
    blocks: int,
    size: int,
    warp: int,
    seed: int,
    arguments: Sequence[Any],
    exempt: Collection[str] = (),
) -> None:
    """Run ``function(tid, nth, size, *arguments)`` for all threads of a grid.

    Parameters
    ----------
    function : callable
        A kernel whose names are those of :mod:`codegen.gpu.plain`, for warps of this size.
    blocks, size, warp : int
        Blocks of the grid, threads of a block, threads of a warp.
    seed : int
        Decides the order of the threads; the same seed gives the same order.
    arguments : sequence
        Numbers, and arrays of one axis, which are worked on in place.
    exempt : collection of str
        Parameters that any thread may write at any time, such as a status.

    Raises
    ------
    Divergence
        Where threads of a warp, a block or the grid wait at different places, or have ended.
    Race
        Where two threads use an element, one of them writes, and no barrier orders them.
    IndexOutOfRange
        Where an index is negative, or beyond the end.
    """
    with np.errstate(all="ignore"):
        Grid(function, blocks, size, warp, seed, arguments, exempt).run()


def current() -> Thread:
    """The thread that runs."""
    thread = getcurrent()
    if not isinstance(thread, Thread):
        raise InvalidArgument("this function of kernels runs under run_grid only")
    return thread


def call_site() -> Place:
    """Where the text calls what calls this."""
    frame = sys._getframe(2)
    return frame.f_code, frame.f_lasti
