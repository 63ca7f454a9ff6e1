"""Loop IR of expressions, and what it computes, for the tests."""

import dataclasses
import functools

import numpy as np

from codegen.gpu.passes import is_wide_product, run_device_passes
from codegen.interpret import interpret
from codegen.kernel import RESERVED, choose_rows, data_buffer
from codegen.layout import layout
from codegen.loop_ir import Buffer
from codegen.lower import Lowering, Output
from codegen.names import Names
from codegen.passes import PASSES, run_pass
from codegen.passes.partials import partials
from codegen.rows import row_axis
from codegen.sizes import SizeTable
from codegen.verify import verify
from symdiff.binding import bind
from symdiff.bridge import to_graph
from symdiff.graph import leaves
from symdiff.rewrite import stabilise


class Loops:
    """The phases of some expressions, before any pass, and the arrays that they work on."""

    def __init__(self, expressions, values, order=None, dtype="float64", few=False):
        self.dtype = dtype
        self.roots = stabilise([to_graph(e) for e in expressions])
        symbols = leaves(self.roots)
        known = {n.attributes[0] for n in symbols}
        arrays, sizes = bind(symbols, {s: v for s, v in values.items() if s in known}, dtype)
        size = choose_rows(symbols)
        self.names = Names(RESERVED)
        table = SizeTable(self.names)
        samples = None
        if size is not None:
            table.variable(size)
            if order is not None:
                sizes[size] = len(order)
                samples = Buffer("samples", [table.expression(size)], "int", "samples")
        data = {n: data_buffer(n, self.names, table, size) for n in symbols}
        self.results = [self._result(r, table, size) for r in self.roots]
        outputs = [
            Output(r, b.name, "output", buffer=b)
            for r, b in zip(self.roots, self.results, strict=True)
        ]
        lowering = self._lowering(outputs, dict(data), size, table, gathered=samples, few=few)
        self.phases = lowering.phases
        self.buffers = lowering.extra
        self.rows = None if size is None else table.expression(size)
        self.variables = {name: sizes[s] for s, name in table.variables.items()}
        self.arrays = {data[n]: np.asarray(a) for n, a in arrays.items()}
        for node, buffer in lowering.constants.items():
            self.arrays[buffer] = np.asarray(node.attributes[0].value)
        if samples is not None:
            self.arrays[samples] = np.asarray(order)

    def _lowering(self, outputs, data, size, table, **options):
        return Lowering(outputs, data, size, self.names, table, **options)

    def _result(self, root, table, size):
        shape = [table.expression(d) for d in root.shape]
        buffer = Buffer(self.names.new("output"), shape, root.dtype, "output")
        axis = row_axis(root, size)
        buffer.row_axis = axis if axis is not None and axis >= 0 else None
        return buffer

    def stages(self):
        """Apply the passes one by one; yields the phases after each, to be run or verified."""
        done = [name for name, _ in PASSES].index(
            next(name for name, transform in PASSES if transform is partials)
        )
        yield "lowering", self._started()
        for number, (name, transform) in enumerate(PASSES):
            run_pass(transform, self.phases, self.names, self.buffers)
            yield name, self.phases if number >= done else self._started()
        layout(self.phases, {})
        yield "layout", self.phases

    def _started(self):
        """The phases with their partial results started, which is a pass of its own."""
        copies = [
            dataclasses.replace(p, before=list(p.before), after=list(p.after)) for p in self.phases
        ]
        for phase in copies:
            partials(phase, self.names, [])
        return copies

    def finish(self):
        """The phases after all passes and layout."""
        *_, (_, phases) = self.stages()
        return phases

    def verify(self, phases, laid_out=False):
        verify(phases, self.variables, self.rows, laid_out)

    def run(self, phases, chunks=1):
        """The values of the expressions."""
        arrays = dict(self.arrays)
        for root, buffer in zip(self.roots, self.results, strict=True):
            shape = [int(_size(e, self.variables)) for e in buffer.shape]
            arrays[buffer] = np.zeros(shape, self.dtype if root.dtype == "real" else np.int64)
        interpret(phases, arrays, self.variables, self.rows, chunks, self.dtype)
        return [arrays[b] for b in self.results]


class DeviceLoops(Loops):
    """The same for a device; ``finish`` runs its passes."""

    def _lowering(self, outputs, data, size, table, *, gathered, few):
        large = functools.partial(is_wide_product, known={})
        return Lowering(
            outputs, data, None, self.names, table, device=True, large=large, gathered=gathered
        )

    def stages(self):
        """Before the passes of a device, and after them, when memory is seen by all threads."""
        yield "lowering", self.phases
        run_device_passes(self.phases, self.names, self.buffers, self.variables)
        layout(self.phases, {})
        yield "layout", self.phases


def _size(expression, variables):
    from codegen.layout import size_value

    return size_value(expression, variables)
