"""``codegen.compile``: expressions to a compiled function of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symdiff.binding import (
    as_array,
    bind,
    broadcast_shape,
    by_symbol,
    check_names,
    is_symbol,
    symbol_of,
)
from symdiff.bridge import describe, to_graph
from symdiff.errors import BindingError, InvalidArgument, InvalidType
from symdiff.graph import Node, leaves
from symdiff.language import as_expression
from symdiff.modes import settle
from symdiff.resolve import resolve
from symdiff.rewrite import stabilise

from .kernel import FunctionKernel, Options, choose_rows, dtype_name
from .launch import check_threads
from .vectorise import is_scalar, vectorise

__all__ = ["CompiledFunction", "compile"]


class CompiledFunction:
    """A compiled function of arrays; made by :func:`compile`.

    Attributes
    ----------
    source : str
        The generated kernel as readable Python.
    inputs : tuple of Symbol
        The order of the arguments.
    """

    def __init__(
        self, expressions: Any, inputs: Sequence[Any], options: Options, threads: int | None
    ) -> None:
        self._single = not isinstance(expressions, (list, tuple))
        self._expressions = [expressions] if self._single else list(expressions)
        self.inputs = tuple(inputs)
        self._options = options
        self._threads = threads
        self._prepare()

    def _prepare(self) -> None:
        roots = [to_graph(as_expression(e)) for e in self._expressions]
        self._roots = settle(stabilise(roots), self.inputs)
        known = [n.attributes[0] for n in leaves(self._roots)]
        self._symbols = [_input_node(s, known) for s in self.inputs]
        missing = sorted(
            str(n.attributes[0]) for n in leaves(self._roots) if n not in self._symbols
        )
        if missing:
            raise BindingError(
                f"inputs= lacks {', '.join(missing)}: list every symbol of the expressions"
            )
        self._ufunc = is_scalar(self._roots)
        self._kernels: dict[tuple[bool, ...], tuple[FunctionKernel, list[Node]]] = {}
        self._last: FunctionKernel | None = None

    def _kernel(self, vectors: tuple[bool, ...]) -> tuple[FunctionKernel, list[Node]]:
        """The kernel in which the flagged scalar inputs are vectors."""
        if vectors not in self._kernels:
            chosen = [s for s, v in zip(self._symbols, vectors, strict=True) if v]
            roots, mapping = vectorise(self._roots, chosen)
            symbols = [mapping.get(s, s) for s in self._symbols]
            title = ", ".join(describe(r) for r in self._roots[:3])
            rows = choose_rows(symbols)
            kernel = FunctionKernel(roots, symbols, rows, self._options, title)
            self._kernels[vectors] = kernel, symbols
        return self._kernels[vectors]

    @property
    def source(self) -> str:
        """The kernel of the last call, or that of scalar arguments before any call."""
        if self._last is None:
            self._last = self._kernel((False,) * len(self._symbols))[0]
        return self._last.source

    def __call__(self, *arrays: Any) -> Any:
        """The values of the expressions: one array for each input, in order."""
        if len(arrays) != len(self.inputs):
            names = ", ".join(map(str, self.inputs))
            raise BindingError(
                f"the function takes {len(self.inputs)} arrays ({names}), got {len(arrays)}"
            )
        values = by_symbol(dict(zip(self.inputs, arrays, strict=True)), self._symbols)
        results = self._call_ufunc(values) if self._ufunc else self._call(values)
        return results[0] if self._single else results

    def _call(self, values: dict[Any, Any], plain: bool = False) -> list[Any]:
        kernel, symbols = self._kernel((False,) * len(self._symbols))
        self._last = kernel
        arrays, sizes = bind(symbols, values, dtype=self._options.dtype, roots=kernel.roots)
        return kernel(arrays, sizes, check_threads(self._threads), plain=plain)

    def _call_ufunc(self, values: dict[Any, Any], plain: bool = False) -> list[Any]:
        check_names(self._symbols, values)
        arrays = [
            as_array(values[n.attributes[0]], n.attributes[0], n.dtype, self._options.dtype)
            for n in self._symbols
        ]
        shape = broadcast_shape({s: a.shape for s, a in zip(self.inputs, arrays, strict=True)})
        vectors = tuple(a.ndim > 0 for a in arrays)
        kernel, symbols = self._kernel(vectors)
        self._last = kernel
        flat = {
            node: np.broadcast_to(a, shape).reshape(-1) if a.ndim else a
            for node, a in zip(symbols, arrays, strict=True)
        }
        sizes = {kernel.rows: int(np.prod(shape))} if kernel.rows is not None else {}
        results = kernel(flat, sizes, check_threads(self._threads), plain=plain)
        if not any(vectors):
            return results
        return [r.reshape(shape) if np.ndim(r) else np.full(shape, r)[()] for r in results]

    def plain(self, *arrays: Any) -> Any:
        """Run the text of the kernel as plain Python; slow, for checking."""
        values = by_symbol(dict(zip(self.inputs, arrays, strict=True)), self._symbols)
        call = self._call_ufunc if self._ufunc else self._call
        results = call(values, plain=True)
        return results[0] if self._single else results

    def __getstate__(self) -> dict[str, Any]:
        expressions = self._expressions[0] if self._single else self._expressions
        return {
            "expressions": expressions, "inputs": self.inputs,
            "options": self._options, "threads": self._threads,
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        CompiledFunction.__init__(self, **state)

    def __repr__(self) -> str:
        return f"<compiled function of ({', '.join(map(str, self.inputs))})>"


def _input_node(symbol: Any, known: Sequence[Any]) -> Node:
    node = to_graph(symbol_of(symbol, known) if is_symbol(symbol) else as_expression(symbol))
    if node.operation != "symbol":
        raise InvalidType(f"inputs= lists symbols, got {symbol}")
    return node


def compile(
    expressions: Any,
    inputs: Any = None,
    dtype: Any = "float64",
    target: str = "cpu",
    threads: int | None = None,
    math: str = "fast",
    precision: str = "full",
) -> CompiledFunction:
    """Compile expressions to a function of arrays.

    Parameters
    ----------
    expressions : sympy.Expr or list of them
        One expression gives one result, a list a list.
    inputs : list of Symbol
        The arguments, in order; symbols that no expression needs may be among them. By default
        the symbols of the expressions, by name.
    dtype : {"float64", "float32"}
    target : {"cpu", "cuda"}
        "cuda" runs on a GPU; :attr:`CompiledFunction.source` needs none.
    threads : int, optional
        At most this many; by default the cores that the process may use. The results are the
        same bits for any number.
    math : {"fast", "accurate"}
        "accurate" keeps the order of operations as written.
    precision : {"full", "tf32"}
        On a GPU, "tf32" lets tensor cores compute large products of float32 matrices, rounded.

    Returns
    -------
    CompiledFunction
        Called with one array for each input. Expressions in scalar symbols broadcast over
        arrays, like a NumPy ufunc.

    Examples
    --------
    >>> import sympy as sp, codegen
    >>> x, a = sp.symbols("x a")
    >>> f = codegen.compile(a * x**2, inputs=[x, a])
    >>> f([1.0, 2.0, 3.0], 2.0)
    array([ 2.,  8., 18.])
    """
    options = Options(dtype_name(dtype), target, math, precision)
    check_threads(threads)
    if inputs is None:
        listed = expressions if isinstance(expressions, (list, tuple)) else [expressions]
        found = leaves(settle(resolve([to_graph(as_expression(e)) for e in listed])))
        inputs = sorted((n.attributes[0] for n in found), key=str)
    elif not isinstance(inputs, (list, tuple)):
        inputs = [inputs]
    if len(set(inputs)) != len(inputs):
        raise InvalidArgument("inputs= lists a symbol twice")
    return CompiledFunction(expressions, inputs, options, threads)
