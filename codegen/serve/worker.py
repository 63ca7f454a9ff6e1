"""A process that answers: it may take so long, and so much memory, and is replaced if it does.

It is a plain Python process that reads a line of JSON and writes one. Run as a module this file is
that process.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

__all__ = ["Worker"]

SECONDS = 8.0
"""How long an answer may take."""

STARTING = 60.0
"""How long the process may take until it is ready."""

MEMORY = 3 << 30
"""Bytes of address space that the process may have."""


class Worker:
    """Answers requests in another process, one at a time.

    Parameters
    ----------
    seconds : float
        How long an answer may take.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._busy = threading.Lock()
        self._order = threading.Lock()
        self._latest: dict[str, int] = {}

    def start(self) -> None:
        """Have the process ready before anything is asked."""
        with self._busy, suppress(queue.Empty):
            self._ready()

    def ask(self, request: dict[str, Any], page: str = "") -> dict[str, Any]:
        """The answer to a request; of those that wait for one page, only the last is answered."""
        with self._order:
            number = self._latest[page] = self._latest.get(page, 0) + 1
            while len(self._latest) > 1000:  # pages that are long gone
                del self._latest[next(iter(self._latest))]
        with self._busy:
            if self._latest.get(page, number) != number:
                return {"stale": True}
            try:
                process = self._ready()
                assert process.stdin is not None
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                line = self._lines.get(timeout=self.seconds)
            except queue.Empty:
                self._end()
                return _refused(f"this takes more than {self.seconds:g} seconds; make it smaller")
            except OSError:
                line = None
            if line is None:
                self._end()
                return _refused("this takes more memory than the page gives it, or cannot be done")
            result: dict[str, Any] = json.loads(line)
            return result

    def close(self) -> None:
        """End the process."""
        with self._busy:
            self._end()

    def _ready(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        # found where this process has found it, and nothing else from where it happens to run
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "codegen.serve.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment, text=True, encoding="utf-8",
        )  # fmt: skip
        self._process, self._lines = process, queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=_hand_on, args=(process.stdout, self._lines), daemon=True).start()
        self._lines.get(timeout=STARTING)
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError):
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _hand_on(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Lines as they come; None at the end."""
    with suppress(ValueError, OSError):  # closed while it is read
        for line in stream:
            lines.put(line)
    lines.put(None)


def _refused(message: str) -> dict[str, Any]:
    return {"error": {"field": "expression", "message": message, "column": None}}


# --- in the other process ----------------------------------------------------------------


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not on this system
        return
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    least = MEMORY if most == resource.RLIM_INFINITY else min(MEMORY, most)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (least, most))


def main() -> None:
    """Answer line by line until the input ends."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anything prints does not stand among the answers
    _limit()
    from .answers import answer

    output.write("ready\n")
    output.flush()
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception as error:  # what is typed next is answered, whatever this was
            found = _refused(f"this cannot be done: {type(error).__name__}: {error}")
        output.write(json.dumps(found) + "\n")
        output.flush()


if __name__ == "__main__":
    main()
