"""Runs points: a process for each system that stays, one run of each in turn."""

from __future__ import annotations

import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ..processes import Process, WorkerFailed, environment
from ..runner import difference
from ..systems import OURS
from ..workloads import title
from . import points
from .systems import by_name

SHORT = 2
"""Steps of the short run, whose time is taken off that of the long one."""


@dataclass
class Options:
    """What a user asked for.

    Attributes
    ----------
    device : {"cuda", "cpu"}
    rounds : int
        Pairs of runs of each system.
    limit : float
        Seconds that a long run should not exceed.
    timeout : float
        A system that does not answer for so many seconds has failed.
    quick : bool
        Systems are opened side by side.
    tiny : bool
        Small problems.
    deadline : float or None
        On time.monotonic: no point begins later.
    apart : int
        Data of more bytes are trained by one system after the other, each in a new process.
    pause : float
        Seconds between two runs.
    log : path-like or None
        Where the systems' own words go.
    """

    device: str = "cuda"
    rounds: int = 5
    limit: float = 0.5
    timeout: float = 300.0
    quick: bool = False
    tiny: bool = False
    deadline: float | None = None
    apart: int = 2**32
    pause: float = 0.02
    log: Path | None = None


@dataclass
class Measurement:
    """What one system did at one point; times in seconds."""

    system: str
    precision: str = "float32"
    first: float | None = None
    most: int = 0
    steps: int = 0
    runs: list[tuple[float, float]] = field(default_factory=list)
    judged: int = 0
    loss: float | None = None
    reference: float | None = None
    failure: str | None = None

    @property
    def key(self):
        return self.system, self.precision

    @property
    def name(self):
        return self.system if self.precision == "float32" else f"{self.system} {self.precision}"

    def slopes(self):
        """Seconds of a step in each round: what the steps of the long run took beyond the short."""
        return [(long - short) / (self.steps - SHORT) for short, long in self.runs]

    @property
    def per_step(self):
        """Median seconds of a step; None without a run, or where steps are lost in noise."""
        value = median(self.slopes()) if self.runs and self.failure is None else 0.0
        return value if value > 0 else None

    @property
    def whole(self):
        """Median seconds of a long run, per step: with whatever a run does beside its steps."""
        return median(long for _, long in self.runs) / self.steps if self.runs else None

    @property
    def spread(self):
        slopes = self.slopes()
        return (max(slopes) - min(slopes)) / self.per_step if self.per_step else None

    def difference(self):
        """How far the loss is from the reference after the same steps."""
        return difference(self.loss, self.reference)


@dataclass
class Outcome:
    """One point, done.

    Attributes
    ----------
    point, title : str
    steps : int
        Losses are compared after so many steps, or fewer.
    parameters : int
    bytes : int or None
        What a step must read at least, where it reads all data.
    operations : int or None
        Those of the matrix products of a step, where they are what counts.
    """

    point: str
    title: str
    steps: int
    tolerance: float
    parameters: int = 0
    bytes: int | None = None
    operations: int | None = None
    reference: str = ""
    measurements: list[Measurement] = field(default_factory=list)

    def of(self, system, precision="float32"):
        """The measurement of a system, or None."""
        return next((m for m in self.measurements if m.key == (system, precision)), None)

    def disagrees(self, m):
        """Whether a loss is not that of the reference; a NaN agrees with nothing."""
        difference = m.difference()
        return difference is not None and not difference <= self.tolerance


class Session:
    """The processes of all systems.

    Parameters
    ----------
    options : Options
    cache : path-like
        Where the systems keep compiled code.
    say : callable
        Is told what happens.
    """

    def __init__(self, options, cache, say=print):
        self.options, self.say = options, say
        self._workers, self._silent = {}, Counter()
        self._variables = environment(cache) | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        self._variables["XLA_PYTHON_CLIENT_MEM_FRACTION"] = ".95"
        if options.device == "cpu":
            self._variables["JAX_PLATFORMS"] = "cpu"
        elif self._variables.get("JAX_PLATFORMS") == "cpu":
            del self._variables["JAX_PLATFORMS"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for key in list(self._workers):
            self.end(key)

    def ask(self, key, do, **request):
        """Ask the process of a system and precision, which is started if there is none.

        Raises
        ------
        WorkerFailed
            If it fails: it is ended then, and the next request starts another.
        """
        if self._silent[key] > 1:
            raise WorkerFailed("not tried: it gave no answer twice")
        worker = self._workers.get(key)
        if worker is None:
            command = ["benchmarks.gpu.worker", key[0], self.options.device]
            worker = Process(command, self._variables, self.options.timeout, self.options.log)
            self._workers[key] = worker
        try:
            return worker.ask(do, **request)
        except WorkerFailed as error:
            self._silent[key] += "no answer" in str(error)
            self.end(key)
            raise

    def end(self, key):
        worker = self._workers.pop(key, None)
        if worker is not None:
            worker.close()

    def ready(self, systems):
        """``{name: why it cannot run}``, of the systems that cannot."""

        def ask(system):
            try:
                self.ask((system.name, "float32"), "ready")
            except WorkerFailed as error:
                return str(error)

        answers = side_by_side(ask, systems)
        return {s.name: a for s, a in zip(systems, answers, strict=True) if a is not None}

    def bandwidth(self, systems, size):
        """Bytes a second, read and written, of a copy on the device, and who measured it."""
        for family in ("torch", "jax"):
            for system in systems:
                if system.family != family:
                    continue
                try:
                    reply = self.ask((system.name, "float32"), "copy", size=size)
                except WorkerFailed as error:
                    self.say(f"copying with {system.name}: {error}")
                    continue
                return reply["bandwidth"], system.name
        return None, None

    def late(self):
        deadline = self.options.deadline
        return deadline is not None and time.monotonic() > deadline

    def run(self, name, keys):
        """Run one point with these systems and precisions.

        Returns
        -------
        Outcome
        """
        module = points.load(name)
        steps = module.problem(True).steps if self.options.tiny else module.STEPS
        outcome = Outcome(name, title(module), steps, module.TOLERANCE)
        outcome.operations = getattr(module, "operations", None)
        outcome.measurements = [
            Measurement(*k) for k in keys if by_name(k[0]).made_for(module) is not None
        ]  # fmt: skip
        if (points.data_bytes(name) or 0) > self.options.apart:
            self._apart(outcome)
        else:
            self._in_turn(outcome)
        for m in outcome.measurements:
            time_ = f"{1e6 * m.per_step:.4g} µs a step" if m.per_step else "steps lost in noise"
            self.say(f"{name}  {m.name}: {m.failure or time_}")
        return outcome

    def _in_turn(self, outcome):
        """All systems have the point open; nobody always runs after the same."""
        open_one = self._tried(lambda m: self._open(outcome, m))
        if self.options.quick:
            side_by_side(open_one, outcome.measurements)
        else:
            for m in outcome.measurements:
                open_one(m)
        self._each(outcome, self._settle)
        for number in range(self.options.rounds):
            running = [m for m in outcome.measurements if m.failure is None]
            turn = number % max(1, len(running))
            for m in running[turn:] + running[:turn]:
                self._tried(self._measure)(m)
        self._each(outcome, lambda m: self._judge(m, min(outcome.steps, m.steps)))
        self._compare(outcome)
        self._each(outcome, lambda m: self.ask(m.key, "close"))

    def _apart(self, outcome):
        """Large data: one system after the other has the device for itself."""
        for key in list(self._workers):
            self.end(key)

        def all_of_it(m):
            self._open(outcome, m)
            self._settle(m)
            for _ in range(min(3, self.options.rounds)):
                self._measure(m)
            self._judge(m, outcome.steps)

        for m in outcome.measurements:
            self._tried(all_of_it)(m)
            self.end(m.key)
        best = self._best(outcome)
        for m in outcome.measurements:
            m.reference = None if best is None else best.loss

    def _tried(self, action):
        def attempt(m):
            try:
                action(m)
            except WorkerFailed as error:
                m.failure = str(error)

        return attempt

    def _each(self, outcome, action):
        for m in outcome.measurements:
            if m.failure is None:
                self._tried(action)(m)

    def _open(self, outcome, m):
        reply = self.ask(m.key, "open", point=outcome.point, precision=m.precision,
                         tiny=self.options.tiny, steps=SHORT)  # fmt: skip
        m.first, m.most = reply["seconds"], reply["most"]
        outcome.parameters, outcome.bytes = reply["parameters"], reply["bytes"]

    def _seconds(self, m, steps, loss=False):
        if self.options.pause:
            time.sleep(self.options.pause)
        return self.ask(m.key, "run", steps=int(steps), loss=loss)

    def _settle(self, m):
        """Choose the steps of a long run: what they take should stand out from the short run."""

        def least(count):
            self._seconds(m, count)  # some compile for each number of steps
            return min(self._seconds(m, count)["seconds"] for _ in range(2))

        short = least(SHORT)
        goal = max(self.options.limit, short) / 2
        count = min(max(int(goal * SHORT / short), 2 * SHORT), 256 * SHORT, m.most)
        while True:
            long = least(count)
            steps = (long - short) / (count - SHORT) * count
            if steps >= goal / 4 or count >= m.most:
                break
            # What noise hides may be long, so a run may at most be 16 times its aim.
            factor = min(goal / max(steps, goal / 1000), 16 * goal / long)
            count = min(m.most, int(count * max(2, factor)))
        m.steps = count

    def _measure(self, m):
        m.runs.append((self._seconds(m, SHORT)["seconds"], self._seconds(m, m.steps)["seconds"]))

    def _judge(self, m, steps):
        m.judged, m.loss = steps, self._seconds(m, steps, loss=True)["loss"]

    @staticmethod
    def _best(outcome):
        """Ours in float32 if it ran, else the fastest."""
        ran = [m for m in outcome.measurements if m.failure is None]
        ours = [m for m in ran if m.key == (OURS.name, "float32")]
        best = min(ours or ran, key=lambda m: m.per_step or float("inf"), default=None)
        outcome.reference = "" if best is None else best.name
        return best

    def _compare(self, outcome):
        """Let one system do as many steps as each of the others."""
        best = self._best(outcome)
        if best is None:
            return
        losses = {best.judged: best.loss}
        for m in outcome.measurements:
            if m.failure is not None:
                continue
            try:
                if m.judged not in losses:
                    losses[m.judged] = self._seconds(best, m.judged, loss=True)["loss"]
            except WorkerFailed as error:
                best.failure = str(error)
                return
            m.reference = losses[m.judged]


def side_by_side(action, items):
    """The results of an action on each item, at the same time."""
    with ThreadPoolExecutor(max_workers=max(1, len(items), os.cpu_count() or 1)) as pool:
        return list(pool.map(action, items))
