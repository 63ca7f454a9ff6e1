"""The special functions that kernels call on NVIDIA devices, in float64 as on the processor."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from llvmlite import ir
from numba import cuda
from numba.cuda import cgutils, types
from numba.cuda.core.errors import RequireLiteralValue
from numba.cuda.extending import intrinsic

from .. import special as processor
from . import special_functions, special_names
from .control import with_primitives
from .mathematics import libdevice_function, np


@intrinsic
def _zeros(typing_context: Any, count: Any) -> Any:
    """Memory of the thread: a literal number of float64 zeros."""
    if not isinstance(count, types.IntegerLiteral):
        raise RequireLiteralValue(count)
    length = count.literal_value

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.ArrayType(ir.DoubleType(), length)
        memory = cgutils.alloca_once(builder, kind)
        builder.store(ir.Constant(kind, None), memory)
        return builder.bitcast(memory, ir.DoubleType().as_pointer())

    return types.CPointer(types.float64)(count), generate


_np = ModuleType("np", np.__doc__)
_np.__dict__.update(np.__dict__, zeros=_zeros)

SPECIAL: dict[str, Any] = {
    name: libdevice_function(name, there, 1, widen=True)
    for name, there in special_names.LIBDEVICE.items()
}
"""The functions that ``special_names.DEVICE_SPECIAL`` names."""


def _special(function: Callable[..., Any]) -> Any:
    """A function in the language of kernels that calls special functions before it."""
    bound = with_primitives(function, {"np": _np, **SPECIAL, **_PARTS})
    return cuda.jit(device=True)(bound)


_PARTS: dict[str, Any] = {"log_gamma": libdevice_function("loggamma", "lgamma", 1, widen=True)}
for _name in ("zeta", "lambertw"):
    SPECIAL[_name] = _special(getattr(processor, _name).function)
for _name in ("digamma", "loggamma"):
    SPECIAL[_name] = _special(getattr(special_functions, _name))
_PARTS["jn_of_positive"] = _special(special_functions.jn_of_positive)
_PARTS["yn_of_positive"] = _special(processor.yn_of_positive.function)
_PARTS["_reflected"] = _special(processor._reflected.function)
for _name in ("jn", "polygamma", "yn"):
    SPECIAL[_name] = _special(getattr(processor, _name).function)
globals().update(SPECIAL)
