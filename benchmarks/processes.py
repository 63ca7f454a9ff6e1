"""Worker processes, and the caches that they find: empty ones first, then their own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class WorkerFailed(Exception):
    """A system that could not be run; the message says why."""


def environment(cache):
    """The environment of a worker whose libraries keep compiled code below ``cache``."""
    places = {
        "SYMDIFF_CACHE_DIR": "symdiff",
        "NUMBA_CACHE_DIR": "numba",
        "JAX_COMPILATION_CACHE_DIR": "jax",
        "TORCHINDUCTOR_CACHE_DIR": "torch",
        "TRITON_CACHE_DIR": "triton",
    }
    result = dict(os.environ) | {k: str(Path(cache) / v) for k, v in places.items()}
    result["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    result["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    flags = result.get("PYTENSOR_FLAGS")
    result["PYTENSOR_FLAGS"] = ",".join(
        [*([flags] if flags else []), f"base_compiledir={Path(cache) / 'pytensor'}"]
    )  # fmt: skip
    result["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # Python's own search path, so that a worker finds what its parent found.
    result["PYTHONPATH"] = os.pathsep.join([str(ROOT), *(p for p in sys.path if p)])
    return result


class Process:
    """A Python module in a process of its own, that answers requests.

    Parameters
    ----------
    command : sequence of str
        The module and its arguments.
    variables : dict
        Its environment.
    timeout : float
        Seconds that an answer may take.
    log : path-like, optional
        Where it may write what it has to say beside answers: tracebacks, warnings. An error comes
        as an answer, too.
    """

    def __init__(self, command, variables, timeout=900.0, log=None):
        self._timeout = timeout
        with open(log or os.devnull, "ab") as words:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=words,
            )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, do, **request):
        """Send a request, wait for its answer.

        Raises
        ------
        WorkerFailed
            If the process fails, dies, or takes longer than the time limit.
        """
        text = json.dumps({"do": do, **request}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # what it said last tells why
            self._process.stdin.write(text.encode())
            self._process.stdin.flush()
        reply = json.loads(self._line())
        if "error" in reply:
            raise WorkerFailed(reply["error"])
        return reply

    def _line(self):
        end = time.monotonic() + self._timeout
        text = b""
        while not text.endswith(b"\n"):
            left = max(0.0, end - time.monotonic())
            ready, _, _ = select.select([self._process.stdout], [], [], left)
            if not ready:
                self._process.kill()
                raise WorkerFailed(f"no answer within {self._timeout:.0f} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                raise WorkerFailed(f"the process died with status {self._process.wait()}")
            text += part
        return text

    def close(self):
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # a driver may hold it for long
                self._process.wait(timeout=20)
        self._process.stdout.close()


class Worker(Process):
    """One system on one workload in a process of its own."""

    def __init__(self, workload, system, cache, quick=False, timeout=900.0):
        size = "quick" if quick else "full"
        command = ["benchmarks.worker", workload, system.name, size]
        super().__init__(command, environment(cache), timeout)

    def ask(self, do, steps, loss=False):
        return super().ask(do, steps=int(steps), loss=loss)
