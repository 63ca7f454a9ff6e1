"""From LLVM code to machine code for this machine."""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm

from ..machine import host
from ..machine_code import MachineCode
from ..straight_line import DEFINED, library_text
from .module import ENTRY, Module


def optimised(source: str) -> tuple[Any, Module]:
    """The optimised LLVM module of a kernel, and the translation that it comes from."""
    module = Module(source)
    linked = llvm.parse_assembly(module.text)
    linked.triple = host().triple
    for symbol in module.declared:
        if symbol in DEFINED:
            linked.link_in(llvm.parse_assembly(library_text(symbol)))
    machine = host().target_machine()
    linked.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.slp_vectorization = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(linked, builder)
    return linked, module


def compiled(source: str) -> MachineCode:
    """The machine code of a kernel."""
    linked, module = optimised(source)
    return machine_code(linked, ENTRY, module.arguments)


def machine_code(module: Any, symbol: str, arguments: int) -> MachineCode:
    """The machine code of an LLVM module with one entry."""
    externals = [
        f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")
    ]
    return MachineCode(symbol, arguments, externals, host().target_machine().emit_object(module))
