"""codegen: compiles what symdiff derives to fused kernels, and runs them."""

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
