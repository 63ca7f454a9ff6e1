"""The workloads, a module for each; a module holds

``STEPS``, ``FIRST``
    Steps of a full run, and of the run whose time is the time to the first result.
``TOLERANCE``
    How far final losses may differ, relative to the largest, before the table says so.
``problem(quick)``
    Data, start and sample order; a small problem of the same shape where ``quick``.
``loss(parameters, *data)``
    The final loss, in NumPy, the judge of all systems.
``with_numpy(problem)``, …
    One for each system: prepares and returns ``run(steps)``.
"""

from importlib import import_module

WORKLOADS = ["W1", "W2", "W3", "W4", "W5", "W6", "W7", "W8", "W9", "W9f", "W10"]


def load(name):
    """The module of a workload, or the point of a cost table, such as ``samples=1000``."""
    if "=" in name:
        from ..cost import point

        return point(name)
    return import_module(f".{name.lower()}", __name__)


def title(workload):
    """What its module says it is."""
    return workload.__doc__.strip().splitlines()[0].partition(": ")[2].rstrip(".")
