"""Matrix products in tiles, as plain Python on the threads of a device, against NumPy."""

import numpy as np
import pytest

import codegen
import symdiff as sd
from codegen import compact
from codegen.gpu import passes, plain, processor, tensor_cores, tiles
from codegen.gpu.control import WARP, bound
from codegen.gpu.device import running_on
from codegen.gpu.memory import Race
from codegen.gpu.scheduler import current, run_grid
from codegen.gpu.stand_ins import Processor, Scheduled


def primitives(side_bits, depth_bits):
    """Those of plain Python, and smaller tiles than those of a device."""
    depth = 1 << depth_bits
    part = depth * ((4 << side_bits) + tiles.PADDING)
    return {
        "block_wait": plain.block_wait,
        "rounded": lambda x: x,
        "shared_array": plain.shared_array,
        "zero": lambda pointer: pointer.dtype.type(0),
        "SIDE_BITS": side_bits,
        "SQUARES": 1 << (2 * side_bits),
        "DEPTH_BITS": depth_bits,
        "DEPTH": depth,
        "PART": part,
        "MEMORY": 4 * part,
    }


SMALL = bound(primitives(1, 1), functions=tiles.PARTS)


def padded(matrix, padding, transposed):
    """Its numbers in a flat array, and the distance of its rows; NaN between them."""
    matrix = matrix.T if transposed else matrix
    rows, columns = matrix.shape
    flat = np.full((rows, columns + padding), np.nan, matrix.dtype)
    flat[:, :columns] = matrix
    return flat.reshape(-1), columns + padding


def check(
    gemm, shape, transposed, accumulate, blocks, size, warp, seed, dtype=np.float64, rounded=None
):
    m, n, k = shape
    random = np.random.default_rng(seed)
    a, b, c = (random.normal(size=s).astype(dtype) for s in ((m, k), (k, n), (m, n)))
    if rounded is not None:
        a, b = rounded(a), rounded(b)
    left, left_stride = padded(a, seed % 3, transposed[0])
    right, right_stride = padded(b, seed % 2, transposed[1])
    result, stride = padded(c, (seed + 1) % 3, False)
    run_grid(
        gemm, blocks, size, warp, seed,
        [
            m, n, k, left, left_stride, transposed[0], right, right_stride, transposed[1],
            result, stride, accumulate,
        ],
    )  # fmt: skip
    got = result.reshape(m, stride)
    exact = a.astype(np.float64) @ b + (c if accumulate else 0)
    np.testing.assert_allclose(got[:, :n], exact, rtol=0, atol=200 * np.finfo(dtype).eps)
    assert np.isnan(got[:, n:]).all(), "wrote beside the result"


@pytest.mark.parametrize("seed", range(40))
def test_products(seed):
    random = np.random.default_rng(1000 + seed)
    shape = tuple(int(x) for x in random.integers(1, 22, 3))
    transposed = (seed & 1, seed >> 1 & 1)
    blocks, warps = int(random.integers(1, 4)), int(random.integers(1, 5))
    dtype = np.float32 if seed % 5 == 0 else np.float64
    check(SMALL["gemm"], shape, transposed, seed >> 2 & 1, blocks, 2 * warps, 2, seed, dtype)


@pytest.mark.parametrize(
    ("shape", "bits"), [((16, 16, 5), 2), ((9, 3, 6), 1), ((3, 3, 6), 1), ((2, 2, 3), 0)]
)
def test_each_size_of_squares(shape, bits):
    assert SMALL["choose"](shape[0], shape[1], 1) == bits
    check(SMALL["gemm"], shape, (0, 1), 1, 1, 4, 2, 3)


def test_the_sizes_of_a_device():
    check(
        bound(primitives(4, 4), functions=tiles.PARTS)["gemm"],
        (70, 66, 18),
        (1, 0),
        0,
        1,
        64,
        32,
        0,
    )


@pytest.mark.parametrize("accumulate", [0, 1])
def test_nothing_to_add_up(accumulate):
    result = np.ones(6)
    arguments = [2, 3, 0, np.zeros(1), 0, 0, np.zeros(1), 3, 0, result, 3, accumulate]
    run_grid(SMALL["gemm"], 1, 2, 2, 0, arguments)
    assert (result == accumulate).all()


def test_one_product_after_another():
    """The memory of a block is free for the next product."""

    def two(tid, nth, size, n, a, b, c, d):
        SMALL["gemm"](tid, nth, size, n, n, n, a, n, 0, b, n, 0, c, n, 0)
        SMALL["gemm"](tid, nth, size, n, n, n, b, n, 0, a, n, 0, d, n, 0)

    a, b = np.random.default_rng(0).normal(size=(2, 7, 7))
    c, d = np.zeros(49), np.zeros(49)
    run_grid(two, 2, 4, 2, 0, [7, a.reshape(-1), b.reshape(-1), c, d])
    np.testing.assert_allclose(c.reshape(7, 7), a @ b)
    np.testing.assert_allclose(d.reshape(7, 7), b @ a)


def test_without_its_barrier_it_is_a_race():
    unsafe = bound({**primitives(1, 1), "block_wait": lambda: None}, functions=tiles.PARTS)
    with pytest.raises(Race):
        check(unsafe["gemm"], (5, 5, 5), (0, 0), 0, 1, 4, 2, 0)


def test_the_same_order_of_sums_in_all_tiles():
    """So a product has the same bits however many blocks there are."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(17, 30)), random.normal(size=(30, 15))
    results = []
    for blocks in (1, 3, 20):
        c = np.zeros(17 * 15)
        arguments = [17, 15, 30, a.reshape(-1), 30, 0, b.reshape(-1), 15, 0, c, 15, 0]
        run_grid(SMALL["gemm"], blocks, 4, 2, blocks, arguments)
        results.append(c)
    assert len({SMALL["choose"](17, 15, blocks) for blocks in (1, 3, 20)}) > 1
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


# --- tensor cores ------------------------------------------------------------------------


def to_tf32(x):
    """Eleven digits: half of the last one is added to the bits, and what is below cut off."""
    bits = np.asarray(x, np.float32).view(np.uint32) + np.uint32(0x1000)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def multiply_accumulate(c0, c1, c2, c3, *factors):
    """The instruction, by numbers that all threads of a warp tell one another."""
    place = current().tid % WARP
    factors = np.array(factors)
    everyone = {place: factors}
    for distance in range(1, WARP):
        everyone[place ^ distance] = plain.exchange(factors, distance)
    a, b = np.zeros((16, 8), np.float32), np.zeros((8, 8), np.float32)
    for thread, (a0, a1, a2, a3, b0, b1) in everyone.items():
        i, j = divmod(thread, 4)
        a[i, j], a[i + 8, j], a[i, j + 4], a[i + 8, j + 4] = a0, a1, a2, a3
        b[j, i], b[j + 4, i] = b0, b1
    assert all((to_tf32(x) == x).all() for x in (a, b)), "operands must be rounded before"
    i, j = divmod(place, 4)
    left = a[[i, i, i + 8, i + 8]]
    right = b[:, [2 * j, 2 * j + 1, 2 * j, 2 * j + 1]].T
    return tuple(
        np.float32(c) + x for c, x in zip((c0, c1, c2, c3), (left * right).sum(1), strict=True)
    )


def tensor(dropped=()):
    names = {
        **{
            n: p for n, p in primitives(4, 4).items() if n in ("block_wait", "shared_array", "zero")
        },
        "multiply_accumulate": multiply_accumulate,
        "rounded": lambda x: to_tf32(x)[()],
        "same": lambda x: x,
    }
    return tensor_cores.bound({**names, **dict.fromkeys(dropped, lambda: None)})["gemm_tf32"]


@pytest.mark.parametrize(
    ("shape", "transposed", "accumulate", "blocks", "size"),
    [
        ((64, 64, 8), (0, 0), 0, 1, 128),
        ((70, 61, 19), (1, 0), 1, 1, 96),  # three warps, eight parts
        ((61, 67, 9), (0, 1), 0, 2, 256),
    ],
)
def test_tensor_cores(shape, transposed, accumulate, blocks, size):
    check(
        tensor(), shape, transposed, accumulate, blocks, size, WARP, 1, np.float32, rounded=to_tf32
    )


def test_tensor_cores_round_their_operands():
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(tensor(), (64, 64, 4), (0, 0), 0, 1, 256, WARP, 2, np.float32)


def test_tensor_cores_need_their_barrier():
    with pytest.raises(Race):
        check(tensor(["block_wait"]), (64, 64, 9), (0, 0), 0, 1, 128, WARP, 0, np.float32)


# --- tensor cores in kernels -------------------------------------------------------------


def test_the_nearest_number_with_eleven_digits():
    x = np.random.default_rng(5).normal(size=500)
    x = np.concatenate([x, [0.0, -0.0, np.inf, -np.inf, np.nan, 1 + 2.0**-11]])
    x = np.float32(x)
    rounded = plain.tf32(x)
    fraction, exponent = np.frexp(x[:500].astype(float))
    nearest = np.ldexp(np.rint(fraction * 2**11), exponent - 11)
    np.testing.assert_array_equal(rounded[:500], nearest)
    np.testing.assert_array_equal(rounded[500:-1], x[500:-1])
    assert rounded[-1] == 1 + 2.0**-10  # half of the last digit goes away from 0


@pytest.mark.parametrize("stand_in", [Processor(2), Scheduled()], ids=["processor", "any order"])
@pytest.mark.parametrize("precision", ["full", "tf32"])
def test_a_training_with_rounded_operands(stand_in, precision, monkeypatch):
    """The gradient of a loss that is linear in its parameters is a product of the data."""
    monkeypatch.setattr(passes, "PRODUCT_WORK", 1)
    monkeypatch.setattr(passes, "NARROW", 1)
    monkeypatch.setattr(compact, "DEVICE_STEP_WORK", 0)
    random = np.random.default_rng(8)
    x, t, w = (np.float32(random.normal(size=shape)) for shape in ((8, 6), (8, 5), (6, 5)))
    X, T, W = sd.tensor("X", "n", 6), sd.tensor("T", "n", 5), sd.tensor("W", 6, 5)
    trainer = codegen.Trainer(
        sd.sum((X @ W) * T), {W: w}, sd.optimizers.SGD(0.25), dtype="float32",
        target="cuda", precision=precision,
    )  # fmt: skip
    with running_on(stand_in):
        trainer.fit({X: x, T: t}, steps=1)
    assert ("gemm_tf32(" in trainer.source) == (precision == "tf32")
    rounded = {"full": np.float32, "tf32": to_tf32}
    results = {name: w - 0.25 * (near(x).T @ near(t)) for name, near in rounded.items()}
    expected = results.pop(precision)
    np.testing.assert_allclose(trainer.parameters[W], expected, rtol=1e-5, atol=1e-5)
    (other,) = results.values()
    assert np.abs(trainer.parameters[W] - other).max() > 1e-4


@pytest.mark.parametrize("name", ["gemm", "gemm_tf32"])
def test_products_compiled_by_numba(name):
    random = np.random.default_rng(6)
    a, b = np.float32(random.normal(size=(3, 5))), np.float32(random.normal(size=(5, 4)))
    c = np.zeros((3, 4), np.float32)
    product = processor.names()["codegen.gpu.products"][name]
    processor.on_threads(product)(2, 3, 4, 5, a.ravel(), 5, 0, b.ravel(), 4, 0, c.reshape(-1), 4, 0)
    near = to_tf32 if name == "gemm_tf32" else np.float32
    np.testing.assert_allclose(c, near(a) @ near(b), rtol=1e-5, atol=1e-6)
