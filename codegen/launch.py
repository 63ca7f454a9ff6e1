"""Threads: how many, and the run of an entry on them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from symdiff.errors import InvalidArgument


def default_threads() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def check_threads(threads: int | None) -> int:
    """The most threads to use: a positive int, by default the cores of the process."""
    if threads is None:
        return default_threads()
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or threads < 1:
        raise InvalidArgument(f"threads must be a positive int or None, got {threads!r}")
    return int(threads)


def address(array: np.ndarray) -> int:
    """Where the elements of an array lie."""
    return int(array.__array_interface__["data"][0])


def launch(
    entry: Callable[..., None], nth: int, arguments: Callable[[int, int], Sequence[Any]]
) -> None:
    """Run an entry on threads; ``arguments(tid, nth)`` gives what each is called with."""
    if nth == 1:
        entry(*arguments(0, 1))
        return
    ready = threading.Event()
    team: list[int] = []

    def work(tid: int) -> None:
        ready.wait()
        if team[0] > tid:
            entry(*arguments(tid, team[0]))

    workers = []
    for tid in range(1, nth):
        worker = threading.Thread(target=work, args=(tid,), daemon=True)
        try:
            worker.start()
        except RuntimeError:  # the system gives no more threads: go on with those there are
            break
        workers.append(worker)
    team.append(len(workers) + 1)
    ready.set()
    entry(*arguments(0, team[0]))
    for worker in workers:
        worker.join()
