"""Runs workloads: every system in a process of its own, one run of each in turn."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from .processes import Worker, WorkerFailed
from .systems import OURS
from .workloads import load, title


def difference(loss, reference):
    """How far two losses are apart, relative to the larger; None where one is missing."""
    if loss is None or reference is None:
        return None
    largest = max(abs(loss), abs(reference))
    return abs(loss - reference) / largest if largest else 0.0


@dataclass
class Options:
    """What a user asked for.

    Attributes
    ----------
    quick : bool
        Small problems, few steps, one round.
    rounds : int
        Runs of each system.
    limit : float
        A run that would take more seconds than this has fewer steps.
    timeout : float
        A system that does not answer for so many seconds has failed.
    pause : float
        Seconds between two runs: threads of some libraries spin for 0.2 s after their last work.
    """

    quick: bool = False
    rounds: int = 5
    limit: float = 3.0
    timeout: float = 900.0
    pause: float = 0.25


@dataclass
class Result:
    """What one system did on one workload; times in seconds, memory in bytes."""

    system: str
    steps: int = 0
    cold: float | None = None
    warm: float | None = None
    runs: list[float] = field(default_factory=list)
    memory: int | None = None
    loss: float | None = None
    reference: float | None = None
    failure: str | None = None

    @property
    def per_step(self):
        """Median seconds of a step, or None."""
        return median(self.runs) / self.steps if self.runs else None

    def difference(self):
        """How far the loss is from that of the reference after the same steps."""
        return difference(self.loss, self.reference)


@dataclass
class Outcome:
    """One workload, done.

    Attributes
    ----------
    workload, title : str
    first : int
        Steps of the run that gives the first result.
    tolerance : float
        Larger differences of losses are reported.
    reference : str
        The system that the others' losses are compared with.
    results : list of Result
    """

    workload: str
    title: str
    first: int
    tolerance: float
    reference: str = ""
    results: list[Result] = field(default_factory=list)

    def disagrees(self, result):
        """Whether a loss is not that of the reference; a NaN agrees with nothing."""
        difference = result.difference()
        return difference is not None and not difference <= self.tolerance

    def of(self, system):
        """The result of a system by name, or None."""
        return next((r for r in self.results if r.system == system), None)


def run_workload(name, systems, options, say=print):
    """Run one workload with all systems that can.

    Parameters
    ----------
    name : str
    systems : list of System
    options : Options
    say : callable
        Is told what happens.

    Returns
    -------
    Outcome
    """
    module = load(name)
    steps = module.problem(True).steps if options.quick else module.STEPS
    first = min(module.FIRST, steps)
    outcome = Outcome(name, title(module), first, module.TOLERANCE)
    chosen = [s for s in systems if s.made_for(module)]
    with ExitStack() as stack:
        cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-"))
        workers = {}
        for system in chosen:
            result = Result(system.name)
            outcome.results.append(result)
            worker = first_results(name, system, result, cache, first, options, stack)
            if worker is None:
                say(f"{name}  {system.name}: {result.failure}")
                continue
            workers[system.name] = worker
            say(f"{name}  {system.name}: first result after {result.cold:.2f} s, "
                f"with its cache {result.warm:.2f} s")  # fmt: skip
        for result in outcome.results:
            if result.system in workers:
                attempt(result, lambda r: settle(workers[r.system], r, steps, options))
        rounds = 1 if options.quick else options.rounds
        for number in range(rounds):
            running = [r for r in outcome.results if r.failure is None]
            turn = number % max(1, len(running))
            for result in running[turn:] + running[:turn]:  # nobody always runs after the same
                if not options.quick:
                    time.sleep(options.pause)
                attempt(result, lambda r: measure(workers[r.system], r))
        compare(outcome, workers)
    return outcome


def attempt(result, action):
    try:
        action(result)
    except WorkerFailed as error:
        result.failure = str(error)


def first_results(name, system, result, cache, first, options, stack):
    """Start twice, with an empty cache and with the one that is then there; keep the second."""
    try:
        with Worker(name, system, cache, options.quick, options.timeout) as worker:
            result.cold = total(worker.ask("start", first))
        worker = stack.enter_context(Worker(name, system, cache, options.quick, options.timeout))
        result.warm = total(worker.ask("start", first))
    except WorkerFailed as error:
        result.failure = str(error)
        return None
    result.steps = first
    return worker


def total(reply):
    return reply["prepared"] + reply["seconds"]


def settle(worker, result, steps, options):
    """Choose the steps of a run so that it keeps the limit, and warm up with them.

    A run of few steps is mostly preparation, so the steps grow until a run tells the time of one.
    """
    count = result.steps
    while True:
        worker.ask("run", count)  # some compile for each number of steps
        seconds = worker.ask("run", count)["seconds"]
        if seconds * steps <= options.limit * count:
            count = steps
            break
        if seconds >= options.limit / 8:
            count = max(1, int(options.limit * count / seconds))
            break
        count = min(steps, 8 * count)
    result.steps = count
    worker.ask("run", count)


def measure(worker, result):
    reply = worker.ask("run", result.steps, loss=not result.runs)
    result.runs.append(reply["seconds"])
    result.memory = reply["memory"]
    result.loss = reply.get("loss", result.loss)


def compare(outcome, workers):
    """Let one system, ours if it ran, do what each of the others did."""
    running = [r for r in outcome.results if r.failure is None]
    if not running:
        return
    best = next((r for r in running if r.system == OURS.name), None)
    best = best or min(running, key=lambda r: r.per_step)
    outcome.reference = best.system
    losses = {best.steps: best.loss}
    for result in running:
        try:
            if result.steps not in losses:
                reply = workers[best.system].ask("run", result.steps, loss=True)
                losses[result.steps] = reply["loss"]
        except WorkerFailed as error:
            best.failure = str(error)
            return
        result.reference = losses[result.steps]
