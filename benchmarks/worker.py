"""A process that runs one system on one workload, as its standard input says.

Each line of the input is a request in JSON, each line of the output its answer:
``{"do": "start", "steps": n}`` prepares the system and runs it for the first time,
``{"do": "run", "steps": n}`` runs it again. Every run begins at the same start.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

from .systems import by_name
from .workloads import load

STATUS = Path("/proc/self/status")


def memory(field):
    """``VmHWM``, the peak, or ``VmRSS`` in bytes; None where the system does not tell."""
    try:
        lines = STATUS.read_text("ascii").splitlines()
    except OSError:
        return None
    found = [line for line in lines if line.startswith(field + ":")]
    return int(found[0].split()[1]) * 1024 if found else None


def forget_peak():
    """Let the peak begin at what is in use now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return  # the peak then includes the making of the data


def serve(workload, system, quick, requests, answer):
    module, chosen = load(workload), by_name(system)
    chosen.load()
    problem = module.problem(quick)
    gc.collect()
    forget_peak()
    before = memory("VmRSS")
    run, prepared = None, 0.0
    for line in requests:
        request = json.loads(line)
        began = time.perf_counter()
        if request["do"] == "start":
            run = chosen.made_for(module)(problem)
            prepared = time.perf_counter() - began
            began = time.perf_counter()
        parameters = run(request["steps"])
        seconds = time.perf_counter() - began
        peak = memory("VmHWM")
        reply = {
            "seconds": seconds,
            "prepared": prepared,
            "memory": None if before is None or peak is None else peak - before,
        }
        if request.get("loss"):
            reply["loss"] = module.loss(parameters, *problem.data)
        answer(reply)


def answering(serve):
    """Call ``serve(requests, answer)``; an error is its last answer."""
    # Libraries print to the standard output at will; answers have one of their own.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(reply):
        channel.write(json.dumps(reply) + "\n")
        channel.flush()

    try:
        serve(sys.stdin, answer)
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        answer({"error": f"{type(error).__name__}: {text[0]}"[:200]})
        raise


def main():
    workload, system, size = sys.argv[1:]
    answering(lambda requests, answer: serve(workload, system, size == "quick", requests, answer))


if __name__ == "__main__":
    main()
