"""Running a plan: blocks of steps, the losses that they leave, progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from symdiff.errors import IndexOutOfRange, LinearAlgebraError

from .compact import CompactRun
from .data import Plan
from .gpu.run import DeviceRun
from .history import History
from .kernel import MATRIX_PROBLEMS
from .run import Run

if TYPE_CHECKING:
    from .trainer import Trainer

BLOCK_SECONDS = 0.15
"""Python gets control back about this often, for progress and for Ctrl-C."""


TRIAL_SECONDS = 0.01
"""Blocks are as short as this while numbers of threads are compared."""


class Team:
    """Chooses between one thread and all: what ran faster, tried again now and then.

    Threads that share a core with other programs wait for each other much longer than they
    compute. The results are the same bits either way.
    """

    TRIALS = 2
    AGAIN = 40

    def __init__(self, most: int) -> None:
        self.most = most
        self.threads = most
        self._blocks = 0
        self._best: dict[int, float] = {}

    @property
    def tries(self) -> bool:
        """Whether numbers of threads are being compared."""
        return self.most > 1 and self._blocks % self.AGAIN < 2 * self.TRIALS

    def record(self, seconds: float) -> None:
        """Note how long a step took in the last block, and choose for the next one."""
        if self.most == 1:
            return
        if self._blocks % self.AGAIN == 0:
            self._best.clear()
        self._blocks += 1
        self._best[self.threads] = min(seconds, self._best.get(self.threads, seconds))
        if self._blocks % self.AGAIN < 2 * self.TRIALS:
            self.threads = 1 if self.threads == self.most else self.most
        else:
            self.threads = min(self._best, key=lambda t: self._best[t])


class Loop:
    """Runs a plan in blocks of steps, and records losses."""

    def __init__(
        self, trainer: Trainer, run: Run | DeviceRun | CompactRun, plan: Plan, history: History,
        record: str, watch: bool, progress: bool,
    ) -> None:  # fmt: skip
        self.trainer = trainer
        self.run = run
        self.plan = plan
        self.history = history
        self.record = record
        self.watch = watch
        self.progress = progress
        self.mean = EpochMean()
        self.team = Team(run.threads)

    def epochs(self) -> Iterator[int]:
        """Run; yields after every epoch where somebody watches, else at the end."""
        plan = self.plan
        trainer = self.trainer
        done = 0
        block = 1 if plan.steps > 1 else plan.steps
        base_steps, base_epochs = trainer._steps, trainer._epochs
        epochs = -(-plan.steps // plan.per_pass)
        bar = _progress_bar(plan.steps) if self.progress else None
        try:
            while done < plan.steps:
                count = min(block, plan.steps - done)
                if self.watch:
                    count = min(count, plan.per_pass - done % plan.per_pass)
                started = time.perf_counter()
                losses = self._block(done, count, base_steps, base_epochs)
                elapsed = time.perf_counter() - started
                # the first block holds the compilation, and in a short one the call counts
                if done > 0 and elapsed > TRIAL_SECONDS / 4:
                    self.team.record(elapsed / count)
                trainer._steps = base_steps + done + count
                self._record(done, losses)
                done += count
                if plan.passes_are_epochs:
                    trainer._epochs = base_epochs + done // plan.per_pass
                if bar is not None:
                    bar.update(count)
                    if plan.per_pass > 1:
                        epoch = -(-done // plan.per_pass)
                        bar.set_description(f"epoch {epoch}/{epochs}", refresh=False)
                    bar.set_postfix(loss=f"{losses[-1]:.4g}", refresh=False)
                if done > 1:
                    rate = count / max(elapsed, 1e-6)
                    seconds = TRIAL_SECONDS if self.team.tries else BLOCK_SECONDS
                    block = max(1, min(int(rate * seconds), 8 * block, 1 << 22))
                if self.watch and done % plan.per_pass == 0:
                    yield done // plan.per_pass
            if self.watch and plan.steps % plan.per_pass:
                yield epochs
        finally:
            if bar is not None:
                bar.close()

    def _block(self, done: int, count: int, steps: int, epochs: int) -> np.ndarray:
        trainer, plan = self.trainer, self.plan
        flat, state = trainer._started(), trainer._state
        kept = flat.copy(), state.copy()
        losses, status = self.run(
            plan, done, count, steps, epochs, trainer._random, self.team.threads
        )
        if status:
            flat[...], state[...] = kept
            if status in MATRIX_PROBLEMS:
                raise LinearAlgebraError(
                    f"{MATRIX_PROBLEMS[status]}; the parameters are those after step {steps + done}"
                )
            raise IndexOutOfRange(
                "an index or a label is out of range for a sample of this batch; the parameters "
                f"are those after step {steps + done}"
            )
        return losses

    def _record(self, done: int, losses: np.ndarray) -> None:
        plan = self.plan
        if self.record == "step":
            self.history.extend(losses)
            return
        if plan.per_pass == 1:  # every step is an epoch
            self.history.extend(losses)
            return
        position = 0
        while position < len(losses):
            left = plan.per_pass - (done + position) % plan.per_pass
            part = losses[position : position + left]
            self.mean.add(part, plan.weights(done + position, len(part)))
            position += len(part)
            if (done + position) % plan.per_pass == 0 or done + position == plan.steps:
                self.history.loss.append(self.mean.take())


class EpochMean:
    """The mean loss of the steps of an epoch, weighted by the sizes of the batches.

    How many steps come at a time depends on how long they take. The result does not: sums are
    taken of segments of fixed length, counted from the first step of the epoch.
    """

    SEGMENT = 4096

    def __init__(self) -> None:
        self._rest = np.zeros(0)
        self._sum = 0.0
        self._weight: float = 0
        self._factor = 1

    def add(self, losses: np.ndarray, weights: np.ndarray | int) -> None:
        """Take in the next steps; one weight serves all of them."""
        terms = losses if isinstance(weights, int) else losses * weights
        self._factor = weights if isinstance(weights, int) else 1
        if self._rest.size:
            missing = self.SEGMENT - self._rest.size
            self._rest = np.concatenate([self._rest, terms[:missing]])
            terms = terms[missing:]
            if self._rest.size == self.SEGMENT:
                self._sum += float(self._rest.sum(dtype=np.float64))
                self._rest = terms[:0]
        if terms.size:
            whole = terms.size - terms.size % self.SEGMENT
            for total in terms[:whole].reshape(-1, self.SEGMENT).sum(axis=1, dtype=np.float64):
                self._sum += float(total)
            self._rest = terms[whole:].copy()
        self._weight += weights * losses.size if isinstance(weights, int) else float(weights.sum())

    def take(self) -> float:
        """The mean of the epoch that is over."""
        total = self._sum + float(self._rest.sum(dtype=np.float64))
        mean = self._factor * total / self._weight
        self._rest, self._sum, self._weight = np.zeros(0), 0.0, 0
        return mean


def _progress_bar(steps: int) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=steps, unit="step")
