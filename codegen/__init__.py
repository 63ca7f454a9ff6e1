"""codegen: compiles what symdiff derives to fused kernels, and runs them."""

from .function import CompiledFunction, compile
from .history import History
from .trainer import Trainer

__all__ = ["CompiledFunction", "History", "Trainer", "compile"]
