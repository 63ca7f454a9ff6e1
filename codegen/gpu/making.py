"""What is made on the way from loops to phases: buffers with names, and what is known of sizes."""

from __future__ import annotations

from dataclasses import dataclass

from ..loop_ir import Buffer, Expr
from ..names import Names
from .nests import Sizes


@dataclass
class Making:
    """What all parts of the way share.

    Attributes
    ----------
    names : Names
    buffers : list of Buffer
        Takes the buffers that are made.
    sizes : Sizes
    written : set of Buffer
        What the program writes anywhere.
    """

    names: Names
    buffers: list[Buffer]
    sizes: Sizes
    written: set[Buffer]

    def variable(self, name: str, dtype: str) -> Buffer:
        """A variable of a loop body."""
        return self._buffer(name, [], dtype, "scalar", "")

    def memory(self, name: str, shape: list[Expr], dtype: str, formula: str = "") -> Buffer:
        """Memory that all threads see."""
        buffer = self._buffer(name, shape, dtype, "shared", formula)
        self.written.add(buffer)
        return buffer

    def _buffer(self, name: str, shape: list[Expr], dtype: str, space: str, formula: str) -> Buffer:
        buffer = Buffer(self.names.new(name), shape, dtype, space, formula=formula)
        self.buffers.append(buffer)
        return buffer
