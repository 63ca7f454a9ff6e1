"""What kernels import on a device goes to machine code here, without one."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from test_gpu_compact import TINY

import codegen
import symdiff as sd
from codegen.build import build_numba

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'symdiff[cuda]'")

from codegen.emit.spelling import SPELLING, External, Vector
from codegen.gpu import mathematics, offline, special
from codegen.gpu.device import running_on
from codegen.gpu.special_names import DEVICE_SPECIAL
from codegen.gpu.stand_ins import Processor
from symdiff.layers import Dense, Dropout, Sequential

HEAD = """
import numpy as np
from numba import cuda
from codegen.gpu.runtime import {real}s as reals, {names}
real = np.{real}
"""

TOGETHER = (
    HEAD
    + """
@cuda.jit(device=True)
def phase(tid, nth, size, barrier, n, x, y, counts):
    total = real(0)
    count = 0
    for i in range(tid, n, nth):
        total += x[i]
        count += counts[i]
    least = block_minimum(total, tid % size, size)
    most = block_maximum(total, tid % size, size)
    total = block_add(total, tid % size, size)
    few = warp_minimum(least)
    many = warp_maximum(most)
    count = block_add(count, tid % size, size)
    row = shared_array(40, total)
    if tid % size < 40:
        row[tid % size] = many - few
    warp_wait()
    block_wait()
    y[tid] = row[tid % 40] + warp_add(total)
    counts[tid] = count
    wait(barrier, nth, size)
    at(y, 3)[tid] = y[n - tid]

@cuda.jit
def run(barrier, n, x, y, counts):
    nth = cuda.gridsize(1)
    size = cuda.blockDim.x
    phase(cuda.grid(1), nth, size, integers(barrier), n, reals(x), reals(y), integers(counts))
"""
)
NAMES = (
    "WARP, at, block_add, block_maximum, block_minimum, block_wait, integers, shared_array, wait, "
    "warp_add, warp_maximum, warp_minimum, warp_wait"
)


def compiled(text, capabilities=offline.CAPABILITIES):
    """The requirements of a text for each capability, none of which may spill."""
    results = offline.compile_entry(build_numba(text), capabilities)
    for result in results:
        assert result.spills == 0, result
        assert result.cubin.startswith(b"\x7fELF")
    return results


def each(names, operands, real, source):
    """A kernel with one call of each function."""
    calls = [
        f"    y[{place}] = {source}.{name}({', '.join(f'x[{place + i}]' for i in range(count))})"
        for place, (name, count) in enumerate(zip(names, operands, strict=True))
    ]
    return "\n".join([
        HEAD.format(real=real, names="at"),
        f"from codegen.gpu import {source}",
        "@cuda.jit",
        "def run(x, y):",
        "    x = at(reals(x), cuda.grid(1))",
        "    y = reals(y)",
        *calls,
    ])  # fmt: skip


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_what_threads_do_together(real):
    for result in compiled(TOGETHER.format(real=real, names=NAMES)):
        assert result.grid_barriers == 1
        assert result.block_barriers >= 8
        assert result.stack <= 16  # what calls of the runtime save
        assert result.registers <= 64
        # four reductions of reals, one of int64, and 40 numbers; the runtime takes some, too
        width = {"float32": 4, "float64": 8}[real]
        assert 3 * 32 * width + 32 * 8 + 40 * width <= result.shared <= 4096
        assert ".f64" in result.ptx if real == "float64" else not result.wide
        assert "ld.global" in result.ptx and not any(
            name.startswith("ld.f") for name in offline.instructions(result.ptx)
        )


VECTOR = [name for name, row in SPELLING.items() if isinstance(row, Vector)]
FUNCTIONS = [*VECTOR, *(n for n in mathematics.LIBDEVICE if n not in [*VECTOR, "round"])]


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_mathematics(real):
    operands = [2 if name in mathematics.BINARY else 1 for name in FUNCTIONS]
    text = each(FUNCTIONS, operands, real, "mathematics")
    for result in compiled(text):
        assert bool(result.wide) == (real == "float64"), result


def test_special_functions():
    assert sorted(special.SPECIAL) == sorted(DEVICE_SPECIAL)
    externals = {name for name, row in SPELLING.items() if isinstance(row, External)}
    assert set(DEVICE_SPECIAL) <= externals
    two = {"jn", "lambertw", "polygamma", "yn", "zeta"}
    operands = [2 if name in two else 1 for name in DEVICE_SPECIAL]
    compiled(each(DEVICE_SPECIAL, operands, "float32", "special"), ["sm_90"])


PRODUCT = (
    HEAD
    + """
from codegen.gpu.products import gemm

@cuda.jit
def run(m, n, k, a, a_stride, a_transposed, b, b_stride, b_transposed, c, c_stride, accumulate):
    gemm(
        cuda.grid(1), cuda.gridsize(1), cuda.blockDim.x, m, n, k, reals(a), a_stride, a_transposed,
        reals(b), b_stride, b_transposed, reals(c), c_stride, accumulate,
    )
    # literals have types of their own, and both products use the same memory of the block
    gemm(
        cuda.grid(1), cuda.gridsize(1), cuda.blockDim.x, 64, 32, 20, reals(a), 20, 0,
        reals(b), 32, 0, reals(c), 32, 0,
    )
"""
)


@pytest.mark.parametrize(("real", "registers"), [("float32", 128), ("float64", 168)])
def test_products(real, registers):
    """Two blocks of 256 threads have registers on a multiprocessor; one of float64."""
    for result in compiled(PRODUCT.format(real=real, names="at")):
        assert result.registers <= registers
        assert result.stack == 0
        assert result.shared <= {"float32": 18, "float64": 35}[real] * 1024
        assert result.block_barriers == 4
        width = {"float32": "v4.f32", "float64": "v2.f64"}[real]
        assert f"ld.shared.{width}" in result.ptx
        assert bool(result.wide) == (real == "float64")


def test_a_step_keeps_no_addresses_from_phase_to_phase():
    """A network with one hidden layer: half of a multiprocessor's threads can run."""
    images, labels = sd.tensor("images", "n", 64), sd.tensor("labels", "n", dtype="int")
    model = Sequential([Dense(32, activation="relu"), Dropout(0.2), Dense(10)])
    loss = sd.losses.cross_entropy(model(images), labels)
    trainer = codegen.Trainer(
        loss, model.parameters, optimizer=sd.optimizers.Adam(), dtype="float32", target="cuda"
    )
    data = {images: np.zeros((60, 64)), labels: np.zeros(60, int)}
    with running_on(Processor(1)):
        trainer.fit(data, batch_size=50, epochs=1)
    (result,) = compiled(trainer.source, ["sm_90"])
    assert result.registers <= 128 and not result.wide


@pytest.mark.parametrize("model, way", TINY, ids=[model.__name__ for model, _ in TINY])
def test_tiny_models_are_one_loop_over_registers(model, way):
    """Steps are one text: of copies of it, the compiler contracts some products only."""
    with running_on(Processor(1)):
        loss, start, data = model()
        rule = sd.optimizers.Adam()
        trainer = codegen.Trainer(loss, start, rule, dtype="float32", target="cuda")
        trainer.fit(data, **way)
    numbers = sum(np.size(value) for value in trainer.parameters.values())
    for result in compiled(trainer.source):
        used = offline.instructions(result.ptx)
        stores = sum(count for name, count in used.items() if name.startswith("st."))
        # the loss of a step; at the end parameters and state
        assert stores == used["st.global.f32"] == 1 + numbers + trainer._state.size
        assert result.registers <= 128 and result.stack == 0 and result.shared == 0
        assert not result.wide and result.block_barriers == result.grid_barriers == 0


def test_products_on_tensor_cores():
    text = PRODUCT.format(real="float32", names="at").replace("gemm", "gemm_tf32")
    for result in compiled(text):
        assert result.registers <= 128 and result.shared <= 19 * 1024 and not result.wide
        used = offline.instructions(result.ptx)
        assert used["mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"] >= 4
        assert used["cvt.rna.tf32.f32"] > 0


FAULTY = (
    HEAD
    + """
@cuda.jit{options}
def run(x, y):
    x = reals(x)
    y = reals(y)
    {body}
"""
)


def faulty(body, options=""):
    return FAULTY.format(real="float32", names="at", body=body, options=options)


def test_float64_in_a_float32_kernel_is_found():
    (result,) = offline.compile_entry(build_numba(faulty("y[0] = x[0] * 0.1")), ["sm_80"])
    assert result.wide["mul.f64"] == 1
    assert "1 mul.f64" in str(result)


def test_spills_are_found():
    terms = [f"x[{i} + cuda.grid(1)]" for i in range(64)]
    body = f"numbers = ({', '.join(terms)})\n    cuda.syncthreads()\n    "
    body += "\n    ".join(f"y[{i}] = numbers[{i}] / numbers[{63 - i}]" for i in range(64))
    text = faulty(body, "(max_registers=24)")
    (result,) = offline.compile_entry(build_numba(text), ["sm_90"])
    assert result.spill_stores > 0 and result.spill_loads > 0 and result.registers <= 24


def test_a_process_of_its_own_gives_the_same():
    text = faulty("y[0] = x[0]")
    (there,) = offline.requirements(text, ["8.0"])
    (here,) = offline.compile_entry(build_numba(text), [(8, 0)])
    # Numba numbers the functions of a process, so the name of the entry may differ
    assert there.cubin.startswith(b"\x7fELF") and ".entry" in there.ptx
    assert replace(there, ptx="", cubin=b"") == replace(here, ptx="", cubin=b"")


def test_what_is_wrong_with_a_kernel_is_said():
    with pytest.raises(RuntimeError, match="unknown_name"):
        offline.requirements(faulty("y[0] = unknown_name(x[0])"), ["sm_80"])
    with pytest.raises(TimeoutError, match=r"not been compiled after 0\.2 s"):
        offline.requirements(faulty("y[0] = x[0]"), ["sm_80"], seconds=0.2)
    with pytest.raises(ValueError, match="'newest' is no compute capability"):
        offline.requirements(faulty("y[0] = x[0]"), ["newest"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_memory_is_bounded():
    with pytest.raises(RuntimeError, match=r"not compiled within 0\.0625 GiB"):
        offline.requirements(faulty("y[0] = x[0]"), ["sm_80"], memory=1 << 26)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "kernel.py"
    path.write_text(faulty("y[0] = x[0]"), encoding="utf-8")
    offline.main([str(path), "--capability", "sm_90", "--ptx"])
    printed = capsys.readouterr().out
    assert printed.startswith("sm_90: ") and "float64         none" in printed
    assert ".visible .entry" in printed
