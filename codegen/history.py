"""What training recorded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np


class History:
    """Losses and metrics of one call of ``fit``.

    Attributes
    ----------
    loss : list of float
        One mean training loss per epoch; with ``record="step"`` one value per step.
    records : dict
        All recorded series by name: ``"loss"``, ``"val_loss"``, each metric and ``"val_"`` +
        metric.
    unit : {"epoch", "step"}
        What one value of ``loss`` belongs to.
    """

    def __init__(self, unit: str = "epoch") -> None:
        self.unit = unit
        self._records: dict[str, list[float]] = {"loss": []}
        self._waiting: list[np.ndarray] = []

    @property
    def records(self) -> dict[str, list[float]]:
        """All recorded series by name."""
        for losses in self._waiting:
            self._records["loss"].extend(losses.astype(np.float64).tolist())
        self._waiting.clear()
        return self._records

    def extend(self, losses: np.ndarray) -> None:
        """Add losses; they become Python's numbers when somebody looks at them."""
        self._waiting.append(losses)

    @property
    def loss(self) -> list[float]:
        """The training losses."""
        return self.records["loss"]

    def __getitem__(self, name: str) -> list[float]:
        try:
            return self.records[name]
        except KeyError:
            known = ", ".join(self.records)
            raise KeyError(f"no series {name!r} was recorded; there are {known}") from None

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def keys(self) -> Any:
        """Names of the recorded series."""
        return self.records.keys()

    def append(self, name: str, value: float) -> None:
        """Add a value to a series, which begins where it does not exist."""
        self.records.setdefault(name, []).append(float(value))

    def plot(self, axes: Any = None, logarithmic: bool = False) -> Any:
        """Draw the losses (and below them the metrics) with matplotlib.

        Parameters
        ----------
        axes : matplotlib axes, optional
            Where to draw the losses; a new figure by default.
        logarithmic : bool

        Returns
        -------
        matplotlib axes of the losses.
        """
        import matplotlib.pyplot as plt

        losses = [n for n in self.records if n.removeprefix("val_") == "loss"]
        metrics = [n for n in self.records if n not in losses]
        below = None
        if axes is None:
            _, grid = plt.subplots(
                2 if metrics else 1, 1, sharex=True, squeeze=False, layout="constrained"
            )
            axes = grid[0, 0]
            below = grid[1, 0] if metrics else None
        for name in losses:
            self._draw(axes, name, "loss")
        if logarithmic:
            axes.set_yscale("log")
        if below is not None:
            for name in metrics:
                self._draw(below, name, "metric")
        (below if below is not None else axes).set_xlabel(self.unit)
        return axes

    def _draw(self, axes: Any, name: str, label: str) -> None:
        values = self.records[name]
        axes.plot(range(1, len(values) + 1), values, label=name)
        axes.set_ylabel(label)
        axes.legend()

    def __repr__(self) -> str:
        series = ", ".join(f"{n}: {len(v)} values" for n, v in self.records.items())
        return f"<History by {self.unit}; {series}>"
