"""Constant arrays as hashable attributes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import sympy as sp

from .errors import InvalidType


class Array(sp.Atom):
    """A read-only NumPy array that compares and hashes by value, as a SymPy atom.

    Attributes
    ----------
    value : numpy.ndarray
        float64, int64 or bool, C-contiguous, read-only.
    """

    __slots__ = ("digest", "value")

    value: np.ndarray
    digest: str

    def __new__(cls, array: Any) -> Array:
        """Copy an array."""
        value = np.asarray(array)
        if value.dtype == np.bool_:
            kind: Any = np.bool_
        elif np.issubdtype(value.dtype, np.integer):
            kind = np.int64
            if value.dtype == np.uint64 and value.size and value.max() > np.iinfo(np.int64).max:
                kind = np.float64
        elif np.issubdtype(value.dtype, np.floating):
            kind = np.float64
        else:
            raise InvalidType(
                f"a constant array must hold real numbers, got dtype {value.dtype}; "
                "convert it with array.astype(float)"
            )
        obj = super().__new__(cls)
        obj.value = np.array(value, dtype=kind, order="C")
        obj.value.flags.writeable = False
        obj.digest = hashlib.sha256(obj.value.tobytes()).hexdigest()
        return obj

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        return self.value.shape

    @property
    def dtype(self) -> str:
        """The kind of its elements: real, int or bool."""
        return {"f": "real", "i": "int", "b": "bool"}[self.value.dtype.kind]

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.value.shape, self.value.dtype.str, self.digest)

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.value,)

    def __getstate__(self) -> None:
        return None

    def sort_key(self, order: Any = None) -> Any:
        """An order that is the same in every process."""
        return self.class_key(), (1, (self.digest,)), sp.S.One.sort_key(), sp.S.One

    def _sympystr(self, printer: Any) -> str:
        flat = ", ".join(f"{v:g}" for v in self.value.ravel()[:4])
        more = ", ..." if self.value.size > 4 else ""
        return f"array([{flat}{more}], shape={self.value.shape})"
