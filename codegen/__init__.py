"""codegen: compiles what symdiff derives to fused kernels, and runs them."""

from typing import Any

from symdiff.report import CONTRIBUTORS

from .fit_curve import CurveFit, fit_curve
from .function import CompiledFunction, compile
from .history import History
from .objective import Objective
from .trainer import Trainer

__all__ = [
    "CompiledFunction",
    "CurveFit",
    "History",
    "Objective",
    "Trainer",
    "compile",
    "fit_curve",
]


def _kernel_blocks(derivation: Any) -> Any:
    """The kernel on the page of a derivation; what writes it is loaded with the first page."""
    from .report import kernel_blocks

    return kernel_blocks(derivation)


CONTRIBUTORS["kernel"] = _kernel_blocks
