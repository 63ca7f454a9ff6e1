"""Matrix products of vector code, against NumPy, and their code for other processors."""

import ctypes
import hashlib
import re

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codegen import library, plain, products
from codegen.machine import Machine, host
from codegen.product_code import DEPTH, ROWS, Products

ROUNDING = {"float32": 2.0**-24, "float64": 2.0**-53}
GUARD = 7.5
"""What lies around a result and must stay."""

ICE_LAKE = Machine(
    "x86_64-unknown-linux-gnu",
    "icelake-server",
    "+avx512f,+avx512vl,+avx512bw,+avx512dq,+fma,+avx2,+avx",
)
HASWELL = Machine("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma,+avx")
NEHALEM = Machine("x86_64-unknown-linux-gnu", "nehalem", "+sse4.2")
NEOVERSE = Machine("aarch64-unknown-linux-gnu", "neoverse-n1", "+neon")
MACHINES = {"avx512": ICE_LAKE, "avx2": HASWELL, "sse": NEHALEM, "neon": NEOVERSE}

_engines = []


def function(dtype, machine=None):
    """The compiled product, called with NumPy arrays."""
    products.products(dtype)
    if machine is None:
        address = llvm.address_of_symbol(f"symdiff_product_{dtype}")
    else:
        module = llvm.parse_assembly(str(Products(machine, dtype).write()))
        engine = llvm.create_mcjit_compiler(module, machine.target_machine())
        engine.finalize_object()
        _engines.append(engine)
        address = engine.get_function_address(f"symdiff_product_{dtype}")
    whole, pointer = ctypes.c_int64, ctypes.c_void_p
    kinds = [
        whole,
        whole,
        whole,
        pointer,
        whole,
        whole,
        pointer,
        whole,
        whole,
        pointer,
        whole,
        whole,
    ]
    compiled = ctypes.CFUNCTYPE(None, *kinds)(address)

    def call(a, a_transposed, b, b_transposed, c, accumulate):
        """``a`` and ``b`` as they lie in memory."""
        (m, n), k = c.shape, a.shape[0] if a_transposed else a.shape[1]
        left, right, target = (x.strides[0] // x.itemsize for x in (a, b, c))
        compiled(
            m, n, k, a.ctypes.data, left, a_transposed, b.ctypes.data, right, b_transposed,
            c.ctypes.data, target, accumulate,
        )  # fmt: skip

    return call


def framed(array):
    """A copy inside a larger array, whose border tells whether something wrote beyond."""
    frame = np.full((array.shape[0] + 2, array.shape[1] + 37), GUARD, array.dtype)
    inside = frame[1:-1, 3 : 3 + array.shape[1]]
    inside[...] = array
    return frame, inside


def check(call, m, n, k, dtype, a_transposed, b_transposed, accumulate, seed=0):
    random = np.random.default_rng(seed)
    a = random.normal(size=(k, m) if a_transposed else (m, k)).astype(dtype)
    b = random.normal(size=(n, k) if b_transposed else (k, n)).astype(dtype)
    _, a = framed(a)
    _, b = framed(b)
    frame, c = framed(random.normal(size=(m, n)).astype(dtype))
    start = c.astype(np.longdouble) if accumulate else np.zeros((m, n), np.longdouble)
    left, right = (a.T if a_transposed else a), (b.T if b_transposed else b)
    expected = start + left.astype(np.longdouble) @ right.astype(np.longdouble)
    size = np.abs(start) + np.abs(left).astype(np.longdouble) @ np.abs(right)
    call(a, a_transposed, b, b_transposed, c, accumulate)
    assert np.all(np.abs(c - expected) <= (k + 2) * ROUNDING[dtype] * size)
    c[...] = GUARD
    assert np.all(frame == GUARD)


@pytest.fixture(scope="module", params=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module")
def product(dtype):
    return function(dtype)


size = st.integers(1, 70)
flag = st.integers(0, 1)


@settings(max_examples=150, deadline=None)
@given(m=size, n=size, k=size, a=flag, b=flag, accumulate=flag, seed=st.integers(0, 99))
def test_products_are_those_of_numpy(product, dtype, m, n, k, a, b, accumulate, seed):
    check(product, m, n, k, dtype, a, b, accumulate, seed)


@pytest.mark.parametrize("shape", [
    (ROWS + 9, 50, DEPTH + 3), (3, 700, 2 * DEPTH), (2 * ROWS, 5, 3), (30, 300, 3 * DEPTH + 1),
    (4, 4, 0), (0, 4, 4), (4, 0, 4),
])  # fmt: skip
@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_large_and_empty_products(product, dtype, shape, a, b):
    for accumulate in (0, 1):
        check(product, *shape, dtype, a, b, accumulate)


@pytest.mark.parametrize("machine", [
    pytest.param(m, id=name) for name, m in MACHINES.items()
    if m.triple.split("-")[0] == host().triple.split("-")[0]
    and m.vector_bytes <= host().vector_bytes and (host().fused or not m.fused)
])  # fmt: skip
def test_code_for_smaller_processors_of_this_kind(machine, dtype):
    """It runs here, too: tails that are copied instead of masked, fewer registers."""
    own = Machine(host().triple, machine.cpu, machine.features)
    call = function(dtype, own)
    random = np.random.default_rng(1)
    for case in range(60):
        m, n, k = random.integers(1, 70, 3)
        check(call, m, n, k, dtype, case & 1, case >> 1 & 1, case >> 2 & 1, case)
    check(call, ROWS + 1, 45, DEPTH + 1, dtype, 0, 1, 1)


def test_what_is_not_finite_stays_in_its_row_and_column(product, dtype):
    """No lane that only fills up a vector, and no row that only fills up a tile, gets through."""
    random = np.random.default_rng(2)
    for m, n, k in [(13, 21, 9), (8, 50, 33), (1, 3, 2), (31, 16, 70)]:
        for a_t, b_t in [(0, 0), (0, 1), (1, 0), (1, 1)]:
            left, right = random.normal(size=(m, k)), random.normal(size=(k, n))
            row, column = random.integers(m), random.integers(n)
            left[row, random.integers(k)] = np.nan
            right[random.integers(k), column] = np.inf
            a = framed((left.T if a_t else left).astype(dtype))[0]
            b = framed((right.T if b_t else right).astype(dtype))[0]
            for frame in (a, b):  # what lies beyond the matrices is no number either
                frame[frame == GUARD] = np.nan
            a, b = a[1:-1, 3 : a.shape[1] - 34], b[1:-1, 3 : b.shape[1] - 34]
            c = np.zeros((m, n), dtype)
            product(a, a_t, b, b_t, c, 0)
            bad = np.zeros((m, n), bool)
            bad[row], bad[:, column] = True, True
            assert np.all(np.isfinite(c) == ~bad)


def test_the_bits_do_not_depend_on_how_rows_and_columns_are_divided(product, dtype):
    random = np.random.default_rng(3)
    m, n, k = 45, 77, 2 * DEPTH + 11
    a, b = random.normal(size=(m, k)).astype(dtype), random.normal(size=(k, n)).astype(dtype)
    whole = np.zeros((m, n), dtype)
    product(a, 0, b, 0, whole, 0)
    parts = np.zeros((m, n), dtype)
    for first, last in [(0, 1), (1, 12), (12, 40), (40, 45)]:
        for left, right in [(0, 5), (5, 70), (70, 77)]:
            product(a[first:last], 0, b[:, left:right], 0, parts[first:last, left:right], 0)
    assert np.array_equal(whole, parts)
    turned = np.zeros((m, n), dtype)
    product(np.ascontiguousarray(a.T), 1, np.ascontiguousarray(b.T), 1, turned, 0)
    assert np.array_equal(whole, turned)


def test_plain_products_mean_the_same(product, dtype):
    random = np.random.default_rng(4)
    a, b = random.normal(size=(6, 5)).astype(dtype), random.normal(size=(7, 6)).astype(dtype)
    one, two = (np.ones((5, 7), dtype) for _ in range(2))
    product(a, 1, b, 1, one, 1)
    plain.products(dtype)(5, 7, 6, a.ravel(), 5, 1, b.ravel(), 6, 1, two.ravel(), 7, 1)
    assert np.allclose(one, two, rtol=1e-5)


def assembly(machine, dtype):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return machine.target_machine().emit_assembly(
        llvm.parse_assembly(str(Products(machine, dtype).write()))
    )


INNER = {
    "avx512": (r"vfmadd\w+", r"zmm(\d+)", r"\(%rsp|\(%rbp\)"),
    "avx2": (r"vfmadd\w+", r"ymm(\d+)", r"\(%rsp|\(%rbp\)"),
    "neon": (r"fmla", r"\b[dqsv](\d+)\b", r"\[sp"),
}
"""The fused multiply-add, a vector register, and an access of the stack."""


def inner_loops(text, fused):
    """The basic blocks that hold products and jump back to their own start."""
    blocks = re.split(r"^(\.LBB\w+):.*$", text, flags=re.M)
    for name, body in zip(blocks[1::2], blocks[2::2], strict=True):
        if len(re.findall(fused, body)) > 1 and re.search(rf"\s{re.escape(name)}\b", body):
            yield body


@pytest.mark.parametrize("name", list(INNER))
def test_tiles_stay_in_registers(name, dtype):
    """Inner loops hold as many products as a tile has vectors, and never touch the stack."""
    machine, (fused, register, stack) = MACHINES[name], INNER[name]
    loops = list(inner_loops(assembly(machine, dtype), fused))
    for vectors, rows in enumerate(machine.tiles, 1):
        body = next(x for x in loops if len(re.findall(fused, x)) == rows * vectors)
        used = {int(number) for number in re.findall(register, body)}
        assert rows * vectors < len(used) <= machine.registers
        spills = [line for line in body.splitlines() if re.search(stack, line)]
        assert not [line for line in spills if re.search(register, line)]
        assert not re.search(r"\bv?mov(aps|apd)?\s+[%v]\w+(\.16b)?, [%v]\w+(\.16b)?$", body, re.M)


def test_a_damaged_library_is_written_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMDIFF_CACHE_DIR", str(tmp_path))
    code = library.object_code(host(), "float32")
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert whole == hashlib.sha256(code).digest() + code
    for damage in (b"", whole[:-1], whole[:32] + b"\0" + whole[33:]):
        path.write_bytes(damage)
        assert library.object_code(host(), "float32") == code
        assert path.read_bytes() == whole


def test_another_processor_has_another_library(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMDIFF_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(library, "compiled", lambda machine, dtype: dtype.encode())
    for machine in MACHINES.values():
        for dtype in ROUNDING:
            assert library.object_code(machine, dtype) == dtype.encode()
    assert len(list(tmp_path.iterdir())) == 2 * len(MACHINES)
