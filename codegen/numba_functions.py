"""What kernels call, for Numba: functions of ``straight_line`` and ``special``."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .straight_line import FORMATS, Format, Function, define

_libraries: dict[tuple[Any, str], Any] = {}


class _Form:
    """A function for one floating type."""

    def __init__(self, function: Function, format: Format) -> None:
        self._function = function
        self._format = format
        self._name = f"symdiff_{function.__name__}_{format.name}"
        real = getattr(types, format.name)
        operands = [real] * function.definition.__code__.co_argcount
        self.signature = (types.boolean if function.condition else real)(*operands)

    def _library(self, codegen: Any) -> Any:
        """A finished library that holds the function, made when it is first used.

        It does not go through Numba's type inference, which would put the caller's fast-math
        flags on each instruction.
        """
        key = (codegen, self._name)
        if key not in _libraries:
            library = codegen.create_library(self._name)
            module = library.create_ir_module(self._name)
            define(module, self._function.definition, self._format, self._function.condition)
            library.add_ir_module(module)
            library.finalize()
            _libraries[key] = library
        return _libraries[key]

    def generate(self, context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        """Call the function."""
        context.active_code_library.add_linking_library(self._library(context.codegen()))
        function = builder.module.globals.get(self._name)
        if function is None:
            result = ir.IntType(1) if self._function.condition else self._format.real
            kind = ir.FunctionType(result, [self._format.real] * len(arguments))
            function = ir.Function(builder.module, kind, self._name)
        return builder.call(function, arguments)


@functools.cache
def numba_function(function: Function) -> Any:
    """A function of ``straight_line`` as an intrinsic of Numba's."""
    forms = {name: _Form(function, format) for name, format in FORMATS.items()}

    def resolve(*operands: Any) -> Any:
        narrow = all(t == types.float32 for t in operands)
        form = forms["float32" if narrow else "float64"]
        return form.signature, form.generate

    def one(typing_context: Any, x: Any) -> Any:
        return resolve(x)

    def two(typing_context: Any, x: Any, y: Any) -> Any:
        return resolve(x, y)

    typing = {1: one, 2: two}[function.definition.__code__.co_argcount]
    typing.__name__, typing.__doc__ = function.__name__, function.__doc__
    return intrinsic(typing)


_kept: list[Any] = []
"""Numba's types refer to functions weakly."""


def _resolved(function: Any) -> Any:
    """The type that Numba knows something callable by."""
    _kept.append(function)
    cpu_target.typing_context.refresh()  # Numba is compiling, and reads its registries before
    cpu_target.target_context.refresh()
    return cpu_target.typing_context.resolve_value_type(function)


def type_of(function: Function) -> Any:
    """The type of a function of ``straight_line``."""
    return _resolved(numba_function(function))


def compiled_type(function: Any) -> Any:
    """The type of a Python function that Numba compiles."""
    return _resolved(njit(error_model="numpy")(function))


def routine_type(symbol: str, arguments: int) -> Any:
    """The type of a routine of SciPy's."""
    kinds = [*[types.float64] * arguments, types.int32]
    external = types.ExternalFunction(symbol, types.float64(*kinds))
    # the last argument says that no Python subclass overrides the routine
    if arguments == 1:
        return _resolved(njit(lambda x: external(x, np.int32(0))))
    return _resolved(njit(lambda x, y: external(x, y, np.int32(0))))


def routine_result_type(symbol: str, count: int, position: int) -> Any:
    """The type of a function that gives one of the results of a routine of SciPy's."""

    @intrinsic
    def call(typing_context: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            real = ir.DoubleType()
            places = [cgutils.alloca_once(builder, real) for _ in range(count)]
            kind = ir.FunctionType(ir.VoidType(), [real, *[real.as_pointer()] * count])
            function = cgutils.get_or_insert_function(builder.module, kind, symbol)
            builder.call(function, [arguments[0], *places])
            return builder.load(places[position])

        return types.float64(types.float64), generate

    return _resolved(njit(lambda x: call(np.float64(x))))
