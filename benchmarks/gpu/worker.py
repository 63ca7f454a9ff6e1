"""A process that runs one system on a device, one point after the other.

Requests, each a line in JSON: ``ready``, answered once all is imported; ``copy``, the bandwidth of
copying; ``open`` a point; ``run`` it for so many steps; ``close`` it.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from dataclasses import replace
from statistics import median

import numpy as np

from ..problem import Problem
from ..worker import answering
from . import points
from .systems import by_name

MOST = 2**24
"""Samples of the longest order; beyond its end the order begins again."""


class Clock:
    """Host time, for systems whose runs end with results on the host."""

    def seconds(self, action):
        began = time.perf_counter()
        result = action()
        return result, time.perf_counter() - began

    def forget(self):
        """Give back what the last point held."""


class TorchClock(Clock):
    """Time between two events of the device."""

    def __init__(self):
        import torch

        self.torch = torch
        if not torch.cuda.is_available():
            raise RuntimeError("this PyTorch has no CUDA device")

    def seconds(self, action):
        began, ended = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        began.record()
        result = action()
        ended.record()
        ended.synchronize()
        return result, began.elapsed_time(ended) / 1000

    def forget(self):
        self.torch.cuda.empty_cache()


class JaxClock(Clock):
    def __init__(self, device):
        import jax

        self.jax = jax
        if device == "cuda" and jax.default_backend() != "gpu":
            raise RuntimeError("this JAX has no CUDA device: install jax[cuda13]")

    def forget(self):
        self.jax.clear_caches()


def clock(family, device):
    if family == "torch" and device == "cuda":
        return TorchClock()
    return JaxClock(device) if family == "jax" else Clock()


def copy_seconds(family, device, size):
    """Seconds of copying so many bytes on the device, and the bytes that are moved."""
    count = size // 4
    if family == "torch":
        import torch

        source = torch.rand(count, device=device)
        target = torch.empty_like(source)

        def copies(times):
            for _ in range(times):
                target.copy_(source)

    else:
        import jax

        source = jax.random.uniform(jax.random.key(0), (count,), "float32")
        double = jax.jit(lambda a: 2 * a)

        def copies(times):
            for _ in range(times):
                result = double(source)
            result.block_until_ready()

    watch = clock(family, device)
    watch.seconds(lambda: copies(10))
    runs = [watch.seconds(lambda: copies(20))[1] / 20 for _ in range(7)]
    return median(runs), 2 * 4 * count


def opened(point, device, precision, tiny):
    """The point, and its problem on a device; sample orders are repeated."""
    module = points.load(point)
    problem: Problem = module.problem(tiny)
    problem = replace(problem, device=device, precision=precision)
    if problem.order is not None and not tiny:
        count, batch = problem.order.shape
        most = max(count, MOST // batch)
        problem = replace(problem, order=np.resize(problem.order, (most, batch)))
    return module, problem


def serve(name, device, requests, answer):
    system = by_name(name)
    system.load()
    watch = clock(system.family, device)
    module = problem = run = None
    for line in requests:
        request = json.loads(line)
        do = request["do"]
        reply = {}
        if do == "copy":
            seconds, moved = copy_seconds(system.family, device, request["size"])
            reply = {"bandwidth": moved / seconds}
        elif do == "open":
            precision, tiny = request["precision"], request["tiny"]
            module, problem = opened(request["point"], device, precision, tiny)
            began = time.perf_counter()
            run = system.made_for(module)(problem)
            run(request["steps"])
            reply = {
                "seconds": time.perf_counter() - began,
                "steps": problem.steps,
                "most": 10**7 if problem.order is None else len(problem.order),
                "parameters": sum(a.size for a in problem.start),
                "bytes": sum(a.nbytes for a in problem.data) if problem.order is None else None,
            }
        elif do == "run":
            steps = request["steps"]
            parameters, seconds = watch.seconds(lambda run=run, steps=steps: run(steps))
            reply = {"seconds": seconds}
            if request["loss"]:
                reply["loss"] = float(module.loss(parameters, *problem.data))
        elif do == "close":
            module = problem = run = None
            gc.collect()
            watch.forget()
        answer(reply)


def main():
    name, device = sys.argv[1:]
    answering(lambda requests, answer: serve(name, device, requests, answer))


if __name__ == "__main__":
    main()
