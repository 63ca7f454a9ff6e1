"""The vector registers of a processor, as far as matrix products depend on them."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

import llvmlite.binding as llvm


@dataclass(frozen=True)
class Machine:
    """A processor for which LLVM writes code.

    Attributes
    ----------
    triple, cpu, features : str
        As LLVM names them; features start with + or -.
    """

    triple: str
    cpu: str
    features: str

    def _has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")

    @property
    def _arm(self) -> bool:
        return self.triple.startswith(("aarch64", "arm64"))

    @property
    def vector_bytes(self) -> int:
        """Bytes of a vector register."""
        if self._has("avx512f"):
            return 64
        return 32 if self._has("avx2") else 16

    @property
    def registers(self) -> int:
        """Vector registers."""
        return 32 if self._has("avx512f") or self._arm else 16

    @property
    def masks(self) -> bool:
        """Whether loads and stores of a part of a vector cost no more than those of all of it."""
        return self._has("avx512f")

    @property
    def fused(self) -> bool:
        """Whether there is a fused multiply-add; elsewhere it would be a call of the C library."""
        return self._arm or self._has("fma")

    @property
    def tiles(self) -> list[int]:
        """For tiles of one vector, two … in a row: how many rows are held in registers.

        Beside a tile, a row of vectors of the right matrix and an element of the left one need a
        register each: 8 * 3 + 3 + 1 of 32, 6 * 2 + 2 + 1 of 16. Fewer than 12 vectors would wait
        for each other: two units, and four cycles until a sum is there. On ARM, LLVM loads the
        elements of many rows ahead of their use.
        """
        if self.registers == 16:
            return [12, 6]
        return [12, 9, 6] if self._arm else [16, 12, 8]

    def target_machine(self) -> llvm.TargetMachine:
        """The code generator."""
        features = self.features
        if self.vector_bytes == 64:  # some processors ask LLVM to halve such vectors
            features += ",-prefer-256-bit"
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        return llvm.Target.from_triple(self.triple).create_target_machine(
            cpu=self.cpu,
            features=features,
            opt=3,
            reloc="default",
            codemodel="jitdefault",
            jit=True,
        )


@functools.lru_cache(maxsize=1)
def host() -> Machine:
    """The machine that runs this, or what NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say."""
    cpu = os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name()
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = "" if cpu == "generic" else llvm.get_host_cpu_features().flatten()
    return Machine(llvm.get_process_triple(), cpu, features)
