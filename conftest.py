"""What pytest collects here."""

import importlib.util

collect_ignore: list[str] = []
if importlib.util.find_spec("numba_cuda") is None:  # the extra "cuda" is not installed
    collect_ignore += [
        f"codegen/gpu/{name}.py" for name in ("mathematics", "products", "runtime", "special")
    ]


def pytest_addoption(parser):
    """Golden files are written anew on request."""
    parser.addoption("--update-golden", action="store_true", help="write golden texts anew")
