"""Pages: a derivation as one HTML file that needs nothing else.

A page is a list of blocks. Those of the mathematics are made here; other packages add theirs
through :data:`CONTRIBUTORS`, which they fill when they are imported, or through an entry point of
the group ``symdiff.report``, so that nothing here knows who compiles.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .blocks import Block

if TYPE_CHECKING:
    from pathlib import Path

    from ..derivation import Derivation

__all__ = ["CONTRIBUTORS", "Block", "attempted", "contributed", "derivation_page", "write"]

CONTRIBUTORS: dict[str, Callable[[Derivation], list[Block]]] = {}
"""Who adds blocks to the page of a derivation, by the name of the block: ``f(derivation)``."""

GROUP = "symdiff.report"
"""The entry points of this group are contributors, too."""


def derivation_page(derivation: Derivation, more: Sequence[Block] | None = None) -> str:
    """The page of a derivation as text.

    Parameters
    ----------
    derivation : Derivation
    more : list of Block, optional
        What follows the mathematics; by default what the contributors have to say.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> from symdiff.report import derivation_page
    >>> x = sp.Symbol("x")
    >>> derivation_page(sd.derive(sp.sin(x), x), more=[]).partition(">")[0]
    '<!DOCTYPE html'
    """
    from .derivation import derivation_blocks, heading
    from .document import document

    blocks = derivation_blocks(derivation)
    title, headline = heading(derivation)
    return document(
        title, headline, [*blocks, *(contributed(derivation) if more is None else more)]
    )


def contributed(derivation: Derivation) -> list[Block]:
    """What others have to say of a derivation; who fails says why."""
    from importlib.metadata import entry_points

    from .blocks import paragraph

    makers: dict[str, Callable[[], Callable[[Derivation], list[Block]]]] = {
        entry.name: entry.load for entry in entry_points(group=GROUP)
    }
    makers |= {name: lambda maker=maker: maker for name, maker in CONTRIBUTORS.items()}  # type: ignore[misc]
    blocks: list[Block] = []
    for name, load in makers.items():
        blocks += attempted(name, lambda load=load: load()(derivation))  # type: ignore[misc]
    if not makers:
        said = "The kernel is not shown: the package that generates it is not installed here."
        blocks.append(Block("kernel", "Kernel", paragraph(said)))
    return blocks


def attempted(name: str, make: Callable[[], list[Block]]) -> list[Block]:
    """Blocks, or one that says why there are none: the rest of the page is still of use."""
    from ..errors import SymdiffError
    from .blocks import paragraph

    try:
        return make()
    except (SymdiffError, ImportError) as error:
        said = f"There is no {name} for this derivation: {error}"
        return [Block(name, name.capitalize(), paragraph(said))]


def write(path: str | Path, page: str) -> Path:
    """Write a page in one piece: a reader sees the old file or the new one, never half of it."""
    from .document import write_page

    return write_page(path, page)
