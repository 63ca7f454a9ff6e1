"""Loops over the vector functions, compiled for processors that need not be this one."""

import re
from dataclasses import dataclass

import llvmlite.binding as llvm
from llvmlite import ir

from codegen import straight_line


@dataclass(frozen=True)
class Target:
    """A processor, and how its widest vectors appear in assembly."""

    triple: str
    processor: str
    features: str
    registers: dict[str, str]


TARGETS = {
    "AVX-512": Target(
        "x86_64-unknown-linux-gnu",
        "skylake-avx512",
        "-prefer-256-bit",
        {"float64": "zmm", "float32": "zmm"},
    ),
    "AVX2": Target("x86_64-unknown-linux-gnu", "haswell", "", {"float64": "ymm", "float32": "ymm"}),
    "NEON": Target(
        "aarch64-unknown-linux-gnu", "cortex-a72", "", {"float64": ".2d", "float32": ".4s"}
    ),
}


def _loop(definition, dtype, triple):
    """``for i in range(n): result[i] = function(x[i], …)``."""
    format = straight_line.FORMATS[dtype]
    module = ir.Module("loop")
    module.triple = triple
    function = straight_line.define(module, definition, format)
    operands = len(function.args)
    pointer, integer = format.real.as_pointer(), ir.IntType(64)
    kind = ir.FunctionType(ir.VoidType(), [pointer] * (operands + 1) + [integer])
    loop = ir.Function(module, kind, "loop")
    for argument in loop.args[:-1]:
        argument.attributes.add("noalias")
    entry, body, end = (loop.append_basic_block() for _ in range(3))
    builder = ir.IRBuilder(entry)
    builder.branch(body)
    builder.position_at_end(body)
    i = builder.phi(integer)
    i.add_incoming(integer(0), entry)
    values = [builder.load(builder.gep(a, [i])) for a in loop.args[:operands]]
    builder.store(builder.call(function, values), builder.gep(loop.args[operands], [i]))
    following = builder.add(i, integer(1))
    i.add_incoming(following, body)
    builder.cbranch(builder.icmp_signed("<", following, loop.args[-1]), body, end)
    builder.position_at_end(end)
    builder.ret_void()
    return module


def compile_loop(definition, dtype, target):
    """LLVM code and assembly of a loop over a function, after optimisation."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    target = TARGETS[target]
    machine = llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.processor, features=target.features, opt=3
    )
    module = llvm.parse_assembly(str(_loop(definition, dtype, target.triple)))
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return str(module), machine.emit_assembly(module)


def calls(assembly):
    """The functions that are called."""
    return re.findall(r"^\s+(?:callq?|bl)\s+(\S+)", assembly, re.MULTILINE)
