"""Binding: arrays to symbols, and symbolic sizes from the arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import sympy as sp

from .bridge import to_graph
from .errors import BindingError, InvalidType, SymdiffError
from .graph import Node, walk
from .resolve import own_size
from .shapes import Size, concrete, concrete_shape, text


def is_symbol(value: Any) -> bool:
    """Whether a value names what can be bound: a symbol, a ``MatrixSymbol``, an ``IndexedBase``."""
    return isinstance(value, (sp.Symbol, sp.MatrixSymbol, sp.IndexedBase))


def symbol_of(key: Any, symbols: Iterable[Any] = ()) -> Any:
    """The symbol that a binding names; the tensor symbol of a ``MatrixSymbol``.

    An ``IndexedBase`` names the one of ``symbols`` that stands for it; without one, and without
    a shape of its own, it stays as it is.
    """
    if isinstance(key, sp.MatrixSymbol):
        from .matrix_expressions import matrix_tensor

        return matrix_tensor(key)
    if isinstance(key, sp.IndexedBase):
        from .indexed import tensor_of

        tensor = tensor_of(key, symbols)
        return key if tensor is None else tensor
    if not isinstance(key, sp.Symbol):
        raise InvalidType(
            f"values are bound to symbols, got the key {key!r} of type {type(key).__name__}; "
            "use the symbol itself, not its name"
        )
    return key


_NAMED = (sp.MatrixSymbol, sp.IndexedBase)


class SymbolDict(dict[Any, Any]):
    """Values by symbol; a ``MatrixSymbol`` finds the value of its tensor symbol."""

    def __missing__(self, key: Any) -> Any:
        symbol = symbol_of(key, self) if isinstance(key, _NAMED) else key
        if symbol is key:
            raise KeyError(key)
        return self[symbol]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(symbol_of(key, self) if isinstance(key, _NAMED) else key)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a symbol, or the default."""
        return super().get(symbol_of(key, self) if isinstance(key, _NAMED) else key, default)


def by_symbol(values: Any, symbols: Iterable[Node] = ()) -> Any:
    """A user's ``{symbol: value}`` in which every SymPy array symbol is its tensor symbol.

    ``symbols`` are the nodes among which an ``IndexedBase`` is looked for.
    """
    if not isinstance(values, Mapping) or not any(isinstance(k, _NAMED) for k in values):
        return values
    known = [n.attributes[0] for n in symbols]
    return SymbolDict({symbol_of(k, known): v for k, v in values.items()})


def numbers(value: Any, what: Any) -> np.ndarray:
    """A user's numbers as an array of bools, ints or floats in native byte order.

    Takes what NumPy takes for numbers, SymPy's numbers among them; refuses text, dates, complex
    numbers, missing values and other objects, and names ``what`` they were given for.
    """
    if isinstance(value, sp.Basic) and not getattr(value, "is_number", False):
        raise InvalidType(f"the value of {what} must be numbers, got the expression {value}")
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise InvalidType(
                f"the value of {what} has masked elements: fill them or leave them out"
            )
        value = value.data
    try:
        array = np.asarray(value)
    except ValueError:
        raise InvalidType(f"the value of {what} is no array: its rows differ in length") from None
    if array.dtype == object:
        array = _from_objects(array, what)
    if array.dtype.kind not in "biuf":
        raise InvalidType(f"the value of {what} must hold real numbers, got dtype {array.dtype}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _from_objects(array: np.ndarray, what: Any) -> np.ndarray:
    """Objects that are numbers, whole ones as ints so that none is rounded."""
    flat = array.ravel().tolist()
    for number in flat:
        real = isinstance(number, (Real, Decimal, np.bool_)) or (
            isinstance(number, sp.Basic) and getattr(number, "is_extended_real", False)
        )
        if not real and number is not sp.nan:
            raise InvalidType(
                f"the value of {what} must be an array of numbers, got objects such as "
                f"{str(number)[:40]!r}"
            )
    if flat and all(isinstance(n, (int, np.integer, sp.Integer)) for n in flat):
        try:
            return np.array([int(n) for n in flat], np.int64).reshape(array.shape)
        except OverflowError:
            pass
    return np.array([float(n) for n in flat], np.float64).reshape(array.shape)


def as_array(value: Any, symbol: Any, node_dtype: str, dtype: Any) -> np.ndarray:
    """A user's data as a native array of the kernel's dtype, checked against the symbol's."""
    array = numbers(value, symbol)
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
            f"{described}, got an array of shape {actual}, with {len(actual)} "
            f"{'axis' if len(actual) == 1 else 'axes'}; "
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
        elif (found := _solved(size, value, sizes)) is not None:
            known = sizes.setdefault(found[0], found[1])
            if known != found[1]:
                raise BindingError(
                    f"{described}, got an array of shape {actual}: axis {axis} gives "
                    f"{found[0]} = {found[1]}, but {origin[found[0]]} gave {found[0]} = {known}"
                )
            origin.setdefault(found[0], str(symbol))


def _solved(size: Any, value: int, sizes: Mapping[Size, int]) -> tuple[Size, int] | None:
    """The one unknown size in an expression such as n + 1, if that has this value."""
    size = sp.expand(
        size.xreplace({s: sp.Integer(sizes[s]) for s in size.free_symbols & set(sizes)})
    )
    if len(size.free_symbols) != 1:
        return None
    (symbol,) = size.free_symbols
    step = size.coeff(symbol, 1)
    rest = sp.expand(size - step * symbol)
    if not (step.is_Integer and rest.is_Integer and step != 0):
        return None
    count, remainder = divmod(value - int(rest), int(step))
    return (symbol, count) if remainder == 0 and count >= 0 else None


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
    given = {symbol_of(k, needed) for k in values}
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
    values = by_symbol(values, symbols)
    dimensions = symbolic_dimensions(roots)
    needed: set[Size] = set().union(*(d.free_symbols for d in dimensions))
    symbols = [*symbols, *size_sources(symbols, values, needed)]
    sizes: dict[Size, int] = dict(known or {})
    origin: dict[Size, str] = dict.fromkeys(sizes, "the parameters")
    check_names(symbols, _without_sizes(symbols, values, needed), surplus)
    arrays: dict[Node, np.ndarray] = {}
    for node in symbols:
        symbol = node.attributes[0]
        array = as_array(values[symbol], symbol, node.dtype, dtype)
        if not (ufunc and not node.shape):
            unify(symbol, node.shape, array.shape, sizes, origin)
        arrays[node] = array
    _given_sizes(symbols, values, needed, sizes, origin)
    if any(not isinstance(d, (int, Size)) for n in arrays for d in n.shape):
        _solve_sizes(arrays, sizes, origin, ufunc)
    for node in symbols:  # sizes that are expressions are checked once all symbols are known
        expected = concrete_shape(node.shape, sizes) if not (ufunc and not node.shape) else None
        if expected is not None and expected != arrays[node].shape:
            raise BindingError(
                f"{node.attributes[0]} has shape {text(node.shape)} = {expected}, got an array of "
                f"shape {arrays[node].shape}"
            )
    if ufunc:
        broadcast_shape({n.attributes[0]: a.shape for n, a in arrays.items()})
    unknown = {s for s in needed if s not in sizes}
    if unknown:
        raise BindingError(
            f"the size {', '.join(sorted(map(str, unknown)))} is not known from any array; "
            "a number can be bound to the symbol of its name"
        )
    check_sizes(dimensions, sizes)
    return arrays, sizes


def _solve_sizes(
    arrays: Mapping[Node, np.ndarray], sizes: dict[Size, int], origin: dict[Size, str], ufunc: bool
) -> None:
    """Read sizes that stand in expressions only, such as m in n*m, once n is known."""
    known = -1
    while known < len(sizes):
        known = len(sizes)
        for node, array in arrays.items():
            if not (ufunc and not node.shape):
                unify(node.attributes[0], node.shape, array.shape, sizes, origin)
    unknown = sorted(
        {str(s) for n in arrays for d in n.shape if not isinstance(d, int)
         for s in d.free_symbols if s not in sizes}
    )  # fmt: skip
    if unknown:
        raise BindingError(
            f"the size {', '.join(unknown)} is not known from any array; "
            "a number can be bound to the symbol of its name"
        )


def _without_sizes(symbols: Sequence[Node], values: Any, needed: set[Size]) -> Any:
    """The values that are not sizes given as numbers."""
    if not isinstance(values, Mapping):
        return values
    inside = {n.attributes[0] for n in symbols}
    return {k: v for k, v in values.items() if k in inside or not _names_size(k, needed)}


def _names_size(key: Any, needed: set[Size]) -> bool:
    return type(key) in (sp.Symbol, sp.Dummy) and Size(key.name) in needed


def _given_sizes(
    symbols: Sequence[Node],
    values: Mapping[Any, Any],
    needed: set[Size],
    sizes: dict[Size, int],
    origin: Mapping[Size, str],
) -> None:
    """Read sizes that are bound as numbers, ``{n: 5}``, where no array tells them.

    Where one does, the number must be the same, unless the symbol only shares the name.
    """
    inside = {n.attributes[0] for n in symbols if n.shape}
    named = set().union(*(getattr(s, "size_symbols", ()) for s in inside))
    for key, value in values.items():
        if isinstance(key, sp.IndexedBase):  # the graph holds its sizes at most
            for axis, length in enumerate(np.shape(value)):
                sizes.setdefault(own_size(str(key.label), axis), length)
        if not _names_size(key, needed):
            continue
        size = Size(key.name)
        if size in sizes and key not in named:
            continue
        count = as_array(value, key, "int", np.int64)
        if count.ndim or count < 0:
            raise BindingError(f"{key} is a size, a whole number from 0; got {value!r}")
        known = sizes.setdefault(size, int(count))
        if known != int(count):
            raise BindingError(f"{key} = {count}, but {origin[size]} gave {size} = {known}")


def check_sizes(dimensions: Iterable[Any], sizes: Mapping[Size, int]) -> None:
    """A size such as n - 3 may turn out negative, which is no shape."""
    for size in dimensions:
        if isinstance(size, Size) or not size.free_symbols <= set(sizes):
            continue
        if concrete(size, sizes) < 0:
            given = ", ".join(f"{s} = {sizes[s]}" for s in sorted(size.free_symbols, key=str))
            raise BindingError(f"there are {size} = {concrete(size, sizes)} elements: {given}")


def broadcast_shape(shapes: Mapping[Any, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape to which the arrays of scalar symbols broadcast, as in a NumPy ufunc."""
    shape: tuple[int, ...] = ()
    try:
        for other in dict.fromkeys(shapes.values()):  # NumPy takes at most 64 at a time
            shape = np.broadcast_shapes(shape, other)
    except ValueError:
        listed = ", ".join(f"{symbol}: {own}" for symbol, own in list(shapes.items())[:8])
        raise BindingError(f"the arrays do not broadcast: {listed}") from None
    return shape


def size_sources(
    symbols: Sequence[Node], values: Mapping[Any, Any], needed: set[Size]
) -> list[Node]:
    """The symbols that occur nowhere and are bound, but whose arrays give a size that is needed.

    The gradient of ``sum(X)`` is ones: only the array of ``X`` says how many.
    """
    known = {d for node in symbols for d in node.shape}
    found = []
    for symbol in values if isinstance(values, Mapping) else ():
        node = to_graph(symbol) if isinstance(symbol, sp.Symbol) else None
        if node is None or node.operation != "symbol" or node in symbols:
            continue
        if any(d in needed and d not in known for d in node.shape):
            found.append(node)
    return found


def symbolic_dimensions(roots: Sequence[Node]) -> set[Any]:
    """The sizes in a graph that are not numbers: symbols, and expressions in them."""
    nodes = walk(roots)
    result = {d for node in nodes for d in node.shape if not isinstance(d, int)}
    numbers = {n.attributes[0] for n in nodes if n.operation == "size"}
    return result | {d for d in numbers if not isinstance(d, int)}


__all__ = [
    "SymbolDict",
    "SymdiffError",
    "as_array",
    "bind",
    "broadcast_shape",
    "by_symbol",
    "check_names",
    "check_sizes",
    "is_symbol",
    "numbers",
    "symbol_of",
    "symbolic_dimensions",
    "to_graph",
    "unify",
]
