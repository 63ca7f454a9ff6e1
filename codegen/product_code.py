"""Matrix products as LLVM code, written for the vector registers of one machine.

A *tile* of the result, some rows by some vectors, stays in registers while a loop runs over k;
each element of the left matrix there is multiplied with vectors of the right matrix. A *panel* of
the right matrix, as wide as a tile and at most ``DEPTH`` rows high, stays in the first cache
while tile after tile of rows meets it. Panels are copied to the stack where the right matrix is
transposed, or where its rows lie so far apart that they would push each other out of the cache.

Every element is a sum over k in order, from zero for each ``DEPTH``, whatever tile it lies in: a
product has the same bits however its rows and columns are divided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from .machine import Machine

DEPTH = 256
"""Rows of a panel: 8 rows of 64 bytes and three vectors, 48 KiB at most."""

ROWS = 256
"""Rows of the left matrix that meet one panel: with ``DEPTH`` columns they fit the second cache."""

FAR = 1024
"""Bytes between rows of the right matrix from which on panels are copied."""

WORTH_COPYING = 24
"""Rows of the left matrix from which on a copy of a panel pays."""

PREFIX = "symdiff_product_"
"""What the names of the functions begin with; the dtype follows."""

INT = ir.IntType(64)
BIT = ir.IntType(1)

Body = Callable[[Any, list[Any]], list[Any]]


def _int(value: int) -> ir.Constant:
    return ir.Constant(INT, value)


class Products:
    """Writes the functions of one dtype into a module.

    Parameters
    ----------
    machine : Machine
    dtype : {"float32", "float64"}
    """

    def __init__(self, machine: Machine, dtype: str) -> None:
        self.machine = machine
        self.real = ir.FloatType() if dtype == "float32" else ir.DoubleType()
        self.bytes = 4 if dtype == "float32" else 8
        self.lanes = machine.vector_bytes // self.bytes
        self.vector = ir.VectorType(self.real, self.lanes)
        self.vectors = len(machine.tiles)
        self.width = self.vectors * self.lanes
        self.pointer = self.real.as_pointer()
        self.name = PREFIX + dtype
        self.module = ir.Module(name=self.name)
        self.module.triple = machine.triple
        self.suffix = f"v{self.lanes}f{8 * self.bytes}"

    def write(self) -> ir.Module:
        """The module, with the function ``name``."""
        strips = [self._strip(v + 1) for v in range(self.vectors)]
        self._product(strips, self._pack(), self._pack_transposed())
        return self.module

    # --- pieces --------------------------------------------------------------------------

    def _function(self, name: str, types: Sequence[Any], internal: bool = True) -> Any:
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name)
        function.attributes.add("nounwind")
        if internal:
            function.linkage = "internal"
            function.attributes.add("noinline")
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        return function

    def _loop(self, start: Any, stop: Any, step: int, carried: list[Any], body: Body) -> list[Any]:
        """``for i in range(start, stop, step)``; the body maps carried values to the next."""
        b = self.b
        before = b.block
        head, inside, after = (b.append_basic_block(n) for n in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(INT)
        index.add_incoming(start, before)
        phis = [b.phi(value.type) for value in carried]
        for phi, value in zip(phis, carried, strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed("<", index, stop), inside, after)
        b.position_at_end(inside)
        results = body(index, phis)
        index.add_incoming(b.add(index, _int(step)), b.block)
        for phi, value in zip(phis, results, strict=True):
            phi.add_incoming(value, b.block)
        b.branch(head)
        b.position_at_end(after)
        return phis

    def _splat(self, value: Any) -> Any:
        kind = ir.VectorType(value.type, self.lanes)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, _int(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)

    def _at(self, pointer: Any, offset: Any) -> Any:
        return self.b.gep(pointer, [offset])

    def _load(self, pointer: Any) -> Any:
        place = self.b.bitcast(pointer, self.vector.as_pointer())
        return self.b.load(place, align=self.bytes)

    def _store(self, value: Any, pointer: Any) -> None:
        place = self.b.bitcast(pointer, self.vector.as_pointer())
        self.b.store(value, place, align=self.bytes)

    def _zero(self) -> Any:
        return ir.Constant(self.vector, [0.0] * self.lanes)

    def _intrinsic(self, name: str, result: Any, types: Sequence[Any]) -> Any:
        known = self.module.globals.get(name)
        return known or ir.Function(self.module, ir.FunctionType(result, types), name)

    def _mask(self, count: Any) -> Any:
        """The first ``count`` lanes."""
        lanes = ir.Constant(ir.VectorType(INT, self.lanes), list(range(self.lanes)))
        return self.b.icmp_signed("<", lanes, self._splat(count))

    def _load_masked(self, pointer: Any, mask: Any) -> Any:
        place = self.b.bitcast(pointer, self.vector.as_pointer())
        kind = [place.type, ir.IntType(32), mask.type, self.vector]
        load = self._intrinsic(f"llvm.masked.load.{self.suffix}.p0", self.vector, kind)
        align = ir.Constant(ir.IntType(32), self.bytes)
        return self.b.call(load, [place, align, mask, self._zero()])

    def _store_masked(self, value: Any, pointer: Any, mask: Any) -> None:
        place = self.b.bitcast(pointer, self.vector.as_pointer())
        kind = [self.vector, place.type, ir.IntType(32), mask.type]
        store = self._intrinsic(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), kind)
        align = ir.Constant(ir.IntType(32), self.bytes)
        self.b.call(store, [value, place, align, mask])

    def _multiply_add(self, x: Any, y: Any, total: Any) -> Any:
        if not self.machine.fused:
            return self.b.fadd(self.b.fmul(x, y), total)
        kind = [self.vector] * 3
        return self.b.call(
            self._intrinsic(f"llvm.fma.{self.suffix}", self.vector, kind), [x, y, total]
        )

    def _minimum(self, x: Any, y: Any) -> Any:
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    # --- tiles ---------------------------------------------------------------------------

    def _strip(self, vectors: int) -> Any:
        """All rows of a result that is one tile wide; its last vector has ``last`` columns."""
        p = self.pointer
        function = self._function(
            f"strip_{vectors}", [INT, INT, p, INT, INT, p, INT, p, INT, INT, BIT]
        )
        m, k, a, a_row, a_column, right, b_row, c, c_row, last, add = function.args
        mask = self._mask(last) if self.machine.masks else None
        first: Any = _int(0)
        most = self.machine.tiles[vectors - 1]
        for rows in (most, most // 2, most // 4, 1):
            stop = self.b.sub(m, _int(rows - 1))

            def tile(i: Any, _: list[Any], rows: int = rows) -> list[Any]:
                left = self._at(a, self.b.mul(i, a_row))
                sums = self._sums(rows, vectors, k, left, a_row, a_column, right, b_row, mask)
                self._finish(sums, self._at(c, self.b.mul(i, c_row)), c_row, last, mask, add)
                return [self.b.add(i, _int(rows))]

            first = self._loop(first, stop, rows, [first], tile)[0]
        self.b.ret_void()
        return function

    def _sums(
        self, rows: int, vectors: int, k: Any, a: Any, a_row: Any, a_column: Any,
        right: Any, b_row: Any, mask: Any,
    ) -> list[list[Any]]:  # fmt: skip
        """The sums over k of one tile, by rows."""
        starts = [self._at(a, self.b.mul(a_row, _int(r))) for r in range(rows)]

        def add(j: Any, sums: list[Any]) -> list[Any]:
            line = self._at(right, self.b.mul(j, b_row))
            parts = [self._at(line, _int(v * self.lanes)) for v in range(vectors)]
            factors = [self._load(part) for part in parts[:-1]]
            masked = mask is not None
            factors.append(self._load_masked(parts[-1], mask) if masked else self._load(parts[-1]))
            offset = self.b.mul(j, a_column)
            result = []
            for r in range(rows):
                element = self._splat(self.b.load(self._at(starts[r], offset)))
                for v in range(vectors):
                    result.append(self._multiply_add(element, factors[v], sums[r * vectors + v]))
            return result

        sums = self._loop(_int(0), k, 1, [self._zero()] * (rows * vectors), add)
        return [sums[r * vectors : (r + 1) * vectors] for r in range(rows)]

    def _finish(
        self, sums: list[list[Any]], c: Any, c_row: Any, last: Any, mask: Any, add: Any
    ) -> None:
        """Store a tile, or add it to what is there."""
        with self.b.if_else(add) as (then, otherwise):
            for part, adds in ((then, True), (otherwise, False)):
                with part:
                    for r, row in enumerate(sums):
                        line = self._at(c, self.b.mul(c_row, _int(r)))
                        for v, value in enumerate(row):
                            place = self._at(line, _int(v * self.lanes))
                            if v < len(row) - 1:
                                old = self._load(place) if adds else None
                                self._store(self.b.fadd(old, value) if adds else value, place)
                            elif mask is not None:
                                old = self._load_masked(place, mask) if adds else None
                                new = self.b.fadd(old, value) if adds else value
                                self._store_masked(new, place, mask)
                            else:
                                self._store_lanes(value, place, last, adds)

    def _store_lanes(self, value: Any, place: Any, count: Any, adds: bool) -> None:
        """Store the first lanes of a vector one by one, or all at once."""
        full = self.b.icmp_signed("==", count, _int(self.lanes))
        with self.b.if_else(full) as (then, otherwise):
            with then:
                self._store(self.b.fadd(self._load(place), value) if adds else value, place)
            with otherwise:

                def lane(i: Any, _: list[Any]) -> list[Any]:
                    element = self.b.extract_element(value, i)
                    target = self._at(place, i)
                    if adds:
                        element = self.b.fadd(self.b.load(target), element)
                    self.b.store(element, target)
                    return []

                self._loop(_int(0), count, 1, [], lane)

    # --- panels --------------------------------------------------------------------------

    def _copy_part(self, source: Any, target: Any, count: Any) -> None:
        """``count`` numbers, then zeros up to a whole vector."""
        if self.machine.masks:
            self._store(self._load_masked(source, self._mask(count)), target)
            return
        self._store(self._zero(), target)

        def one(i: Any, _: list[Any]) -> list[Any]:
            self.b.store(self.b.load(self._at(source, i)), self._at(target, i))
            return []

        self._loop(_int(0), count, 1, [], one)

    def _pack(self) -> Any:
        """Copy ``n`` columns; vector after vector of a row, the last one filled up with zeros."""
        p = self.pointer
        function = self._function("pack", [INT, INT, p, INT, p])
        k, n, source, stride, panel = function.args
        whole = self.b.sub(n, _int(self.lanes - 1))

        def row(j: Any, _: list[Any]) -> list[Any]:
            start = self._at(source, self.b.mul(j, stride))
            target = self._at(panel, self.b.mul(j, _int(self.width)))

            def vector(i: Any, _: list[Any]) -> list[Any]:
                self._store(self._load(self._at(start, i)), self._at(target, i))
                return [self.b.add(i, _int(self.lanes))]

            (done,) = self._loop(_int(0), whole, self.lanes, [_int(0)], vector)
            with self.b.if_then(self.b.icmp_signed("<", done, n)):
                rest = self.b.sub(n, done)
                self._copy_part(self._at(start, done), self._at(target, done), rest)
            return []

        self._loop(_int(0), k, 1, [], row)
        self.b.ret_void()
        return function

    def _pack_transposed(self) -> Any:
        """The panel whose columns are ``n`` rows of the source; blocks are turned in registers."""
        p = self.pointer
        function = self._function("pack_transposed", [INT, INT, p, INT, p])
        k, n, source, stride, panel = function.args
        lanes = self.lanes
        bottom = self.b.sub(n, _int(1))
        masked = self.machine.masks
        # blocks of whole vectors, and the rest masked or one by one
        stop = k if masked else self.b.sub(k, _int(lanes - 1))

        def columns(i: Any, _: list[Any]) -> list[Any]:
            lines = []
            for lane in range(lanes):  # the last row stands for those that are not there
                line = self._minimum(self.b.add(i, _int(lane)), bottom)
                lines.append(self._at(source, self.b.mul(line, stride)))

            def block(j: Any, _: list[Any]) -> list[Any]:
                left = self._minimum(self.b.sub(k, j), _int(lanes))
                mask = self._mask(left) if masked else None
                rows = [
                    self._load_masked(self._at(x, j), mask)
                    if masked
                    else self._load(self._at(x, j))
                    for x in lines
                ]
                for lane, column in enumerate(self._turned(rows)):
                    place = self.b.add(self.b.mul(self.b.add(j, _int(lane)), _int(self.width)), i)
                    if masked:
                        with self.b.if_then(self.b.icmp_signed("<", _int(lane), left)):
                            self._store(column, self._at(panel, place))
                    else:
                        self._store(column, self._at(panel, place))
                return [self.b.add(j, _int(lanes))]

            (done,) = self._loop(_int(0), stop, lanes, [_int(0)], block)
            if not masked:

                def single(j: Any, _: list[Any]) -> list[Any]:
                    for lane, line in enumerate(lines):
                        place = self.b.add(self.b.mul(j, _int(self.width)), i)
                        target = self._at(panel, self.b.add(place, _int(lane)))
                        self.b.store(self.b.load(self._at(line, j)), target)
                    return []

                self._loop(done, k, 1, [], single)
            return []

        self._loop(_int(0), n, lanes, [], columns)
        self.b.ret_void()
        return function

    def _turned(self, rows: list[Any]) -> list[Any]:
        """The transpose of a square block: halves, quarters … change places."""
        index = ir.VectorType(ir.IntType(32), self.lanes)
        step = self.lanes // 2
        while step:
            result = list(rows)
            low = [i if not i & step else i - step + self.lanes for i in range(self.lanes)]
            high = [i + step if not i & step else i + self.lanes for i in range(self.lanes)]
            for i in range(self.lanes):
                if not i & step:
                    one, two = rows[i], rows[i + step]
                    result[i] = self.b.shuffle_vector(one, two, ir.Constant(index, low))
                    result[i + step] = self.b.shuffle_vector(one, two, ir.Constant(index, high))
            rows = result
            step //= 2
        return rows

    # --- the product ---------------------------------------------------------------------

    def _product(self, strips: list[Any], pack: Any, pack_transposed: Any) -> None:
        p = self.pointer
        function = self._function(
            self.name, [INT, INT, INT, p, INT, INT, p, INT, INT, p, INT, INT], internal=False
        )
        m, n, k, a, a_stride, a_t, right, b_stride, b_t, c, c_stride, accumulate = function.args
        b = self.b
        room = b.alloca(self.real, _int(DEPTH * self.width), "panel")
        room.align = 64
        turned_a = b.icmp_signed("!=", a_t, _int(0))
        turned_b = b.icmp_signed("!=", b_t, _int(0))
        adds = b.icmp_signed("!=", accumulate, _int(0))
        a_row, a_column = (
            b.select(turned_a, _int(1), a_stride),
            b.select(turned_a, a_stride, _int(1)),
        )
        b_row, b_column = (
            b.select(turned_b, _int(1), b_stride),
            b.select(turned_b, b_stride, _int(1)),
        )
        far = b.icmp_signed(">=", b_stride, _int(FAR // self.bytes))
        many = b.icmp_signed(">=", m, _int(WORTH_COPYING))
        copies = b.or_(turned_b, b.and_(far, many))

        def ceiling(x: Any, y: int) -> Any:
            return b.sdiv(b.add(x, _int(y - 1)), _int(y))

        blocks = ceiling(k, DEPTH)
        blocks = b.select(b.icmp_signed("<", blocks, _int(1)), _int(1), blocks)
        vectors = ceiling(n, self.lanes)
        panels = ceiling(vectors, self.vectors)

        def by_rows(i: Any, _: list[Any]) -> list[Any]:
            height = self._minimum(b.sub(m, i), _int(ROWS))
            a_part = self._at(a, b.mul(i, a_row))
            c_part = self._at(c, b.mul(i, c_stride))

            def by_depth(block: Any, _: list[Any]) -> list[Any]:
                start = b.sdiv(b.mul(k, block), blocks)
                depth = b.sub(b.sdiv(b.mul(k, b.add(block, _int(1))), blocks), start)
                add = b.or_(adds, b.icmp_signed(">", block, _int(0)))
                left = self._at(a_part, b.mul(start, a_column))
                line = self._at(right, b.mul(start, b_row))

                def by_panel(panel: Any, _: list[Any]) -> list[Any]:
                    # panels differ by one vector at most: 4 vectors are 2 + 2, not 3 + 1
                    one = b.sdiv(b.mul(vectors, panel), panels)
                    count = b.sub(b.sdiv(b.mul(vectors, b.add(panel, _int(1))), panels), one)
                    first = b.mul(one, _int(self.lanes))
                    width = self._minimum(b.sub(n, first), b.mul(count, _int(self.lanes)))
                    last = b.sub(width, b.mul(b.sub(count, _int(1)), _int(self.lanes)))
                    place = self._at(line, b.mul(first, b_column))
                    moved = copies
                    if not self.machine.masks:
                        moved = b.or_(moved, b.icmp_signed("<", last, _int(self.lanes)))
                    arguments = [depth, width, place, b_stride, room]
                    with b.if_then(moved), b.if_else(turned_b) as (then, otherwise):
                        with then:
                            b.call(pack_transposed, arguments)
                        with otherwise:
                            b.call(pack, arguments)
                    from_where = b.select(moved, room, place)
                    stride = b.select(moved, _int(self.width), b_stride)
                    end = b.append_basic_block("done")
                    switch = b.switch(count, end)
                    for v, strip in enumerate(strips):
                        case = b.append_basic_block(f"strip_{v + 1}")
                        switch.add_case(_int(v + 1), case)
                        b.position_at_end(case)
                        b.call(
                            strip,
                            [height, depth, left, a_row, a_column, from_where, stride,
                             self._at(c_part, first), c_stride, last, add],
                        )  # fmt: skip
                        b.branch(end)
                    b.position_at_end(end)
                    return []

                self._loop(_int(0), panels, 1, [], by_panel)
                return []

            self._loop(_int(0), blocks, 1, [], by_depth)
            return []

        self._loop(_int(0), m, ROWS, [], by_rows)
        b.ret_void()
