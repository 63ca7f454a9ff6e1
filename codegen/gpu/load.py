"""The text of a kernel for a device as a function: under the scheduler, or on the processor.

The text is run as it is. Only what it imports is another thing: the statements that do so are
left out, and the module starts with the names.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Collection, Mapping
from types import ModuleType
from typing import Any

from codegen import build
from symdiff.errors import InvalidArgument

Names = Mapping[str, Mapping[str, Any]]
"""Names by the module that a text imports them from."""


def load(source: str, names: Names) -> ModuleType:
    """A text as a module, with other names in place of those that it imports.

    Lines keep their numbers, and the file stays in the cache of kernels, where errors find it.
    """
    lines = source.split("\n")
    given = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.ImportFrom):
            continue
        known = names.get(statement.module or "")
        if known is None:
            continue
        for alias in statement.names:
            if alias.name not in known:
                raise InvalidArgument(
                    f"line {statement.lineno} of the kernel imports {alias.name} from "
                    f"{statement.module}, which has no such name here; there are "
                    f"{', '.join(sorted(known))}"
                )
            given[alias.asname or alias.name] = known[alias.name]
        for number in range(statement.lineno, (statement.end_lineno or statement.lineno) + 1):
            lines[number - 1] = ""
    text = "\n".join(lines)
    name = build.fingerprint(text)
    return build.load(build.write(text, name), f"symdiff_grid_{name}", given)


def _function(module: ModuleType, name: str) -> Callable[..., None]:
    function = getattr(module, name, None)
    if function is None:
        raise InvalidArgument(f"the text of the kernel defines no function {name}")
    return function


@functools.lru_cache(maxsize=64)
def _plain(source: str, warp: int) -> ModuleType:
    """A text for warps of a size; a training runs it many times."""
    from .plain import names

    return load(source, names(warp))


def build_plain_grid(
    source: str, function: str = "train", exempt: Collection[str] = ()
) -> Callable[..., None]:
    """A function of a kernel's text as plain Python, on the threads of a device.

    Parameters
    ----------
    source : str
        As emitted for a device.
    function : str
        Its first parameters are ``tid, nth, size``.
    exempt : collection of str
        Parameters of it that any thread may write at any time.

    Returns
    -------
    callable
        ``run(blocks, size, warp, seed, *arguments)``; see :func:`codegen.gpu.scheduler.run_grid`.
    """
    from .scheduler import run_grid

    def run(blocks: int, size: int, warp: int, seed: int, *arguments: Any) -> None:
        kernel = _function(_plain(source, warp), function)
        run_grid(kernel, blocks, size, warp, seed, arguments, exempt)

    return run


def build_processor_grid(source: str, function: str = "train") -> Callable[..., None]:
    """A function of a kernel's text, compiled by Numba for the processor.

    Each thread of the processor is a block of one warp of one thread.

    Parameters
    ----------
    source : str
        As emitted for a device.
    function : str
        Its first parameters are ``tid, nth, size``.

    Returns
    -------
    callable
        ``run(threads, *arguments)`` with numbers, and contiguous arrays.
    """
    from .processor import names, on_threads

    return on_threads(_function(load(source, names()), function))
