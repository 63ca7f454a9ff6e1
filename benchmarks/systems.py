"""THE table of systems: one row for each column of the results."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.util import find_spec


@dataclass(frozen=True)
class System:
    """A way to train.

    Attributes
    ----------
    name : str
        How the tables call it.
    family : str
        What ``--peers`` selects.
    modules : tuple of str
        What is imported before any clock runs; all must be installed.
    function : str
        Its function in the module of a workload.
    arguments : dict
        What that function is given beside the problem.
    """

    name: str
    family: str
    modules: tuple[str, ...]
    function: str
    arguments: dict = field(default_factory=dict)

    def missing(self):
        """Names of its modules that are not installed."""
        return [m for m in self.modules if find_spec(m) is None]

    def load(self):
        for module in self.modules:
            import_module(module)

    def made_for(self, workload):
        """The function that prepares it for a workload, or None."""
        function = getattr(workload, self.function, None)
        return function and partial(function, **self.arguments)


OURS = System("symdiff", "symdiff", ("symdiff", "codegen"), "with_symdiff")

SYSTEMS = [
    OURS,
    System("NumPy", "numpy", ("numpy",), "with_numpy"),
    System("Numba by hand", "numba", ("numba", "scipy"), "with_numba"),
    System("JAX", "jax", ("jax",), "with_jax"),
    System("torch", "torch", ("torch",), "with_torch", {"mode": "eager"}),
    System("torch.compile", "torch", ("torch",), "with_torch", {"mode": "compiled"}),
    System("TF eager", "tensorflow", ("tensorflow",), "with_tensorflow", {"mode": "eager"}),
    System("tf.function", "tensorflow", ("tensorflow",), "with_tensorflow", {"mode": "function"}),
    System("TF XLA", "tensorflow", ("tensorflow",), "with_tensorflow", {"mode": "xla"}),
    System("keras.fit", "tensorflow", ("tensorflow", "keras"), "with_keras"),
    System("PyTensor", "pytensor", ("pytensor",), "with_pytensor"),
    System("heyoka", "heyoka", ("heyoka",), "with_heyoka"),
]

FAMILIES = list(dict.fromkeys(s.family for s in SYSTEMS if s is not OURS))


def by_name(name):
    return next(s for s in SYSTEMS if s.name == name)


def choose(families):
    """The systems of these families, ours first; all where None.

    Raises
    ------
    ValueError
        If a family is unknown.
    """
    if families is None:
        return list(SYSTEMS)
    unknown = sorted(set(families) - {*FAMILIES, OURS.family})
    if unknown:
        raise ValueError(
            f"unknown peers {', '.join(unknown)}: choose from {', '.join(FAMILIES)}"
        )  # fmt: skip
    return [s for s in SYSTEMS if s is OURS or s.family in families]
