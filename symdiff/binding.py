"""Binding: arrays to symbols, and symbolic sizes from the arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from .bridge import to_graph
from .errors import BindingError, InvalidType, SymdiffError
from .graph import Node, walk
from .shapes import Size, concrete_shape, text


def is_symbol(value: Any) -> bool:
    """Whether a value names something that can be bound: a symbol or a ``MatrixSymbol``."""
    return isinstance(value, (sp.Symbol, sp.MatrixSymbol))


def symbol_of(key: Any) -> sp.Symbol:
    """The symbol that a binding names; the tensor symbol of a ``MatrixSymbol``."""
    if isinstance(key, sp.MatrixSymbol):
        from .matrix_expressions import matrix_tensor

        return matrix_tensor(key)
    if not isinstance(key, sp.Symbol):
        raise InvalidType(
            f"values are bound to symbols, got the key {key!r} of type {type(key).__name__}; "
            "use the symbol itself, not its name"
        )
    return key


class SymbolDict(dict[Any, Any]):
    """Values by symbol; a ``MatrixSymbol`` finds the value of its tensor symbol."""

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, sp.MatrixSymbol):
            return self[symbol_of(key)]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(symbol_of(key) if isinstance(key, sp.MatrixSymbol) else key)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a symbol, or the default."""
        return super().get(symbol_of(key) if isinstance(key, sp.MatrixSymbol) else key, default)


def by_symbol(values: Any) -> Any:
    """A user's ``{symbol: value}`` in which every ``MatrixSymbol`` is its tensor symbol."""
    if not isinstance(values, Mapping) or not any(isinstance(k, sp.MatrixSymbol) for k in values):
        return values
    return SymbolDict({symbol_of(k): v for k, v in values.items()})


def as_array(value: Any, symbol: Any, node_dtype: str, dtype: Any) -> np.ndarray:
    """A user's data as a native array of the kernel's dtype, checked against the symbol's."""
    if isinstance(value, sp.Basic):
        if not getattr(value, "is_number", False):
            raise InvalidType(f"the value of {symbol} must be numbers, got the expression {value}")
        value = float(value)
    array = np.asarray(value)
    if array.dtype == object:
        try:
            if any(v is None for v in array.ravel()):  # NumPy makes NaN of it
                raise TypeError
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise InvalidType(
                f"the value of {symbol} must be an array of numbers, got objects such as "
                f"{str(array.ravel()[0])[:40]!r}"
                if array.size
                else f"{symbol}: empty objects"
            ) from None
    if array.dtype.kind not in "biuf":
        raise InvalidType(f"the value of {symbol} must hold real numbers, got dtype {array.dtype}")
    if node_dtype == "real":
        return np.asarray(array, dtype)
    if node_dtype == "bool":
        if array.dtype.kind == "b" or not array.size or np.isin(array, (0, 1)).all():
            return array.astype(np.bool_)
        raise InvalidType(f"{symbol} has dtype bool, got values other than 0 and 1")
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = array.astype(np.int64)
        if not (np.isfinite(array).all() and (whole == array).all()):
            raise InvalidType(
                f"{symbol} has dtype int, got {array.dtype} values that are not whole numbers"
            )
        return whole
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise InvalidType(f"{symbol}: values above 2**63 - 1 do not fit a 64-bit int")
    return array.astype(np.int64)


def unify(
    symbol: Any,
    shape: Sequence[Any],
    actual: tuple[int, ...],
    sizes: dict[Size, int],
    origin: dict[Size, str],
) -> None:
    """Read symbolic sizes from one array; ``sizes`` and ``origin`` are extended."""
    described = f"{symbol} has shape {text(tuple(shape))}"
    if len(shape) != len(actual):
        raise BindingError(
            f"{described}, got an array with {len(actual)} axes, shape {actual}; "
            f"{_remedy(shape, actual)}"
        )
    for axis, (size, value) in enumerate(zip(shape, actual, strict=True)):
        if isinstance(size, int):
            if size != value:
                raise BindingError(
                    f"{described}, got an array of shape {actual}: axis {axis} must be {size}"
                )
        elif isinstance(size, Size):
            known = sizes.setdefault(size, value)
            if known != value:
                raise BindingError(
                    f"{described}, got an array of shape {actual}: axis {axis} gives "
                    f"{size} = {value}, but {origin[size]} gave {size} = {known}"
                )
            origin.setdefault(size, str(symbol))


def _remedy(shape: Sequence[Any], actual: tuple[int, ...]) -> str:
    if len(actual) == len(shape) + 1 and actual[-1] == 1:
        return "drop the last axis with array[:, 0]"
    if len(actual) + 1 == len(shape):
        return "add an axis with array[:, None]"
    return "reshape the array, or declare the tensor with its shape"


def check_names(symbols: Iterable[Node], values: Mapping[Any, Any], surplus: bool = False) -> None:
    """Every symbol has a value, and (unless ``surplus`` is allowed) no value is left over."""
    if not isinstance(values, Mapping):
        raise InvalidType(
            f"values are given as a dict {{symbol: array}}, got {type(values).__name__}"
        )
    needed = {n.attributes[0] for n in symbols}
    given = {symbol_of(k) for k in values}
    missing = sorted(map(str, needed - given))
    if missing:
        same = sorted({str(g) for g in given} & set(missing))
        hint = f"; a different symbol of the same name was given for {same}" if same else ""
        raise BindingError(f"no value for {', '.join(missing)}{hint}; bind each symbol")
    extra = sorted(map(str, given - needed))
    if extra and not surplus:
        raise BindingError(
            f"the expression does not contain {', '.join(extra)}; remove the surplus binding"
        )


def bind(
    symbols: Sequence[Node],
    values: Mapping[Any, Any],
    dtype: Any = "float64",
    ufunc: bool = False,
    surplus: bool = False,
    roots: Sequence[Node] = (),
    known: Mapping[Size, int] | None = None,
) -> tuple[dict[Node, np.ndarray], dict[Size, int]]:
    """Arrays of the symbol nodes and the sizes they imply.

    With ``ufunc`` scalar symbols take arrays of any shapes that broadcast. ``known`` sizes are
    those that the parameters of a model fix.
    """
    values = by_symbol(values)
    needed = required_sizes(roots)
    symbols = [*symbols, *size_sources(symbols, values, needed)]
    check_names(symbols, values, surplus)
    sizes: dict[Size, int] = dict(known or {})
    origin: dict[Size, str] = dict.fromkeys(sizes, "the parameters")
    arrays: dict[Node, np.ndarray] = {}
    for node in symbols:
        symbol = node.attributes[0]
        array = as_array(values[symbol], symbol, node.dtype, dtype)
        if not (ufunc and not node.shape):
            unify(symbol, node.shape, array.shape, sizes, origin)
        arrays[node] = array
    for node in symbols:  # sizes that are expressions are checked once all symbols are known
        expected = concrete_shape(node.shape, sizes) if not (ufunc and not node.shape) else None
        if expected is not None and expected != arrays[node].shape:
            raise BindingError(
                f"{node.attributes[0]} has shape {text(node.shape)} = {expected}, got an array of "
                f"shape {arrays[node].shape}"
            )
    if ufunc:
        try:
            np.broadcast_shapes(*(a.shape for a in arrays.values()))
        except ValueError:
            shapes = ", ".join(f"{n.attributes[0]}: {a.shape}" for n, a in arrays.items())
            raise BindingError(f"the arrays do not broadcast: {shapes}") from None
    unknown = {s for s in needed if s not in sizes}
    if unknown:
        raise BindingError(
            f"the size {', '.join(sorted(map(str, unknown)))} is not known from any array"
        )
    return arrays, sizes


def size_sources(
    symbols: Sequence[Node], values: Mapping[Any, Any], needed: set[Size]
) -> list[Node]:
    """The symbols that occur nowhere and are bound, but whose arrays give a size that is needed.

    The gradient of ``sum(X)`` is ones: only the array of ``X`` says how many.
    """
    known = {d for node in symbols for d in node.shape}
    found = []
    for symbol in values if isinstance(values, Mapping) else ():
        node = to_graph(symbol) if is_symbol(symbol) else None
        if node is None or node.operation != "symbol" or node in symbols:
            continue
        if any(d in needed and d not in known for d in node.shape):
            found.append(node)
    return found


def required_sizes(roots: Sequence[Node]) -> set[Size]:
    """The symbolic sizes that a graph needs."""
    result: set[Size] = set()
    for node in walk(roots):
        for d in node.shape:
            if not isinstance(d, int):
                result |= d.free_symbols
        if node.operation in ("size", "arange"):
            d = node.attributes[0]
            result |= set() if isinstance(d, int) else d.free_symbols
    return result


__all__ = [
    "SymbolDict",
    "SymdiffError",
    "as_array",
    "bind",
    "by_symbol",
    "check_names",
    "is_symbol",
    "required_sizes",
    "symbol_of",
    "to_graph",
    "unify",
]
