"""The systems that train on a device: rows of the table of all systems, and CUDA graphs."""

from __future__ import annotations

from ..systems import OURS, System
from ..systems import by_name as any_by_name

JAX, EAGER = any_by_name("JAX"), any_by_name("torch")
GRAPHS = System("torch graphs", "torch", ("torch",), "with_torch", {"mode": "graphs"})

SYSTEMS = [OURS, JAX, EAGER, GRAPHS]


def by_name(name):
    return next(s for s in SYSTEMS if s.name == name)


PRECISIONS = {name: ["float32", "tf32"] for name in (OURS.name, JAX.name, GRAPHS.name)}
"""How wide layers are multiplied, by system; the processor knows float32 only."""
