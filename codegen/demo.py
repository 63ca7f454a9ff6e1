"""What ``symdiff demo`` shows: a network that learns which points lie in a ring."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import symdiff as sd

from .trainer import Trainer

STEPS = 1000
WIDTH, HEIGHT = 60, 22
"""Characters of the picture."""


def ring(points: np.ndarray) -> np.ndarray:
    """1 for the points of a ring around the origin, else 0."""
    distance = np.hypot(points[:, 0], points[:, 1])
    return np.asarray((distance > 0.35) & (distance < 0.85), float)


def report(target: str = "cpu", dtype: str = "float64", seed: int = 0) -> str:
    """Train, and say what was derived and what came of it."""
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n")
    W, b = sd.tensor("W", 2, 16), sd.tensor("b", 16)
    v, c = sd.tensor("v", 16), sd.tensor("c")
    score = sd.tanh(X @ W + b) @ v + c
    loss = sd.losses.binary_cross_entropy(score, y)

    random = np.random.default_rng(seed)
    points, others = random.uniform(-1, 1, (400, 2)), random.uniform(-1, 1, (2000, 2))
    normal = sd.init.normal(0.0, 1.5)
    trainer = Trainer(
        loss, {W: normal, b: normal, v: normal, c: 0.0}, sd.optimizers.Adam(0.05),
        dtype=dtype, target=target, seed=seed,
    )  # fmt: skip
    start = time.perf_counter()
    losses = trainer.fit({X: points, y: ring(points)}, steps=STEPS, record="step").loss
    seconds = time.perf_counter() - start

    right = np.mean((trainer.predict(score, {X: others}) > 0) == ring(others))
    across, up = np.linspace(-1, 1, WIDTH), np.linspace(1, -1, HEIGHT)
    plane = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    answers = np.reshape(trainer.predict(score, {X: plane}) > 0, (HEIGHT, WIDTH))
    picture = ["".join("#" if inside else "·" for inside in row) for row in answers]
    return "\n".join([
        "A network with 16 hidden units learns from 400 points which of them lie in a ring.",
        "", str(trainer.derivation), "",
        f"trained    {STEPS} steps of Adam in {seconds:.2f} s, the time of the compiler included",
        f"loss       {losses[0]:.4f} at first, {losses[-1]:.4f} at last",
        f"answers    {right:.1%} of {len(others)} other points are right; the plane as it sees it:",
        "", *picture, "", f"The program is {Path(__file__)}.",
    ])  # fmt: skip
