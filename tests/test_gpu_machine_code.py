"""Every kernel of the tables of operations, of the optimizers and of models goes to machine code.

No device is needed: what would run there is only kept, and compiled for two compute capabilities.
"""

import numpy as np
import pytest
import sympy as sp
import test_codegen_operations as cases
from small_models import SMALL_MODELS, Model
from test_operations import DOMAINS, FIXED

import codegen
import symdiff as sd
from codegen.build import build_numba
from codegen.emit.spelling import SPELLING, External
from codegen.gpu.device import running_on
from codegen.gpu.special_names import DEVICE_SPECIAL
from codegen.gpu.stand_ins import Processor
from symdiff import optimizers
from symdiff.layers import Dense, Sequential
from symdiff.structural import STRUCTURAL

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed: pip install 'symdiff[cuda]'")

from codegen.gpu import offline

SHARED = 48 * 1024
"""Bytes of static memory that a block can have."""

RNG = np.random.default_rng(4)


class Texts(Processor):
    """Keeps the kernels that it is asked to run; all numbers stay 0."""

    def __init__(self):
        super().__init__(1)
        self.sources = {}

    def reserve(self, size, dtype):
        return np.zeros(size, dtype)

    def run(self, source, shape, arguments):
        self.sources.setdefault(source)


def function_kernels(expressions, values, dtype):
    """The kernels of a compiled function for arguments of these sizes."""
    texts = Texts()
    with running_on(texts):
        function = codegen.compile(expressions, inputs=list(values), dtype=dtype, target="cuda")
        function(*values.values())
    return texts.sources


def training_kernels(model, **options):
    """The kernels of a training."""
    texts = Texts()
    with running_on(texts):
        model.train(target="cuda", **options)
    return texts.sources


def check(sources, threads=256):
    """No spills, a block of so many threads, no float64 where nothing is computed in it."""
    assert sources
    for source in sources:
        wide = "float64s as reals" in source or "import special" in source
        results = offline.compile_entry(build_numba(source))
        assert [r.capability for r in results] == list(offline.CAPABILITIES)
        for result in results:
            title = f"{source.splitlines()[0]}\n{result}"
            assert result.spills == 0, title
            assert result.registers <= offline.MOST_REGISTERS, title
            assert result.most_threads >= threads, title
            assert result.shared <= SHARED, title
            assert wide or not result.wide, title


# --- tables of operations ----------------------------------------------------------------

LAST = {arity: patterns[-1] for arity, patterns in cases.PATTERNS.items()}
"""For each number of operands shapes that are broadcast, where there are several."""

PLAIN = [n for n in DOMAINS if not isinstance(SPELLING[n], External)]


def elementwise(names, arity, gradients, dtype):
    """Values or gradients of some rows."""
    names = [n for n in cases.names_of(arity) if n in names]
    symbols, values = cases.operands(names, LAST[arity])
    expressions = {n: cases.expression_of(n, symbols[n]) for n in names}
    if not gradients:
        return function_kernels(list(expressions.values()), values, dtype)
    found = []
    for name in cases.smooth_rows(arity):
        if name in expressions:
            wrt = [s for place, s in enumerate(symbols[name]) if (name, place) not in FIXED]
            loss = sd.sum(expressions[name] ** 2 + expressions[name])
            found += sd.gradient(loss, wrt)
    return function_kernels(found, values, dtype)


@pytest.mark.parametrize(
    ("arity", "gradients", "dtype"),
    [
        (1, False, "float32"),
        (2, False, "float32"),
        (3, False, "float32"),
        (3, True, "float64"),
        pytest.param(1, True, "float32", marks=pytest.mark.slow),
        pytest.param(2, True, "float32", marks=pytest.mark.slow),
        pytest.param(1, False, "float64", marks=pytest.mark.slow),
    ],
)
def test_elementwise_rows(arity, gradients, dtype):
    check(elementwise(PLAIN, arity, gradients, dtype))


@pytest.mark.slow
@pytest.mark.parametrize("arity", [1, 2])
def test_special_functions(arity):
    """They compute in float64 whatever the kernel's type is."""
    check(elementwise(DEVICE_SPECIAL, arity, False, "float32"))


EXPENSIVE = ["det", "logdet", "inv", "solve", "cholesky", "convolve_transposed", "convolve_kernel"]
CHEAP = [name for name in STRUCTURAL if name not in EXPENSIVE]
GROUPS = [(CHEAP[k::6], "float32") for k in range(6)]
SLOW_GROUPS = [
    *(([name], "float32") for name in EXPENSIVE),
    (["matmul", "scan", "index_add", "windows", "logsumexp"], "float64"),
]


@pytest.mark.parametrize(
    ("names", "dtype"),
    [*GROUPS, *(pytest.param(*g, marks=pytest.mark.slow) for g in SLOW_GROUPS)],
    ids=lambda v: v if isinstance(v, str) else v[0],
)
def test_structural_rows(names, dtype):
    expressions = [e for name in names for e in cases.structural_cases()[name]]
    check(function_kernels(expressions, cases.structural_values(expressions), dtype))


def test_every_row_is_in_a_group():
    grouped = {n for names, dtype in [*GROUPS, *SLOW_GROUPS] if dtype == "float32" for n in names}
    assert grouped == set(STRUCTURAL)
    assert {len(DOMAINS[n]) for n in PLAIN} == set(LAST)


# --- optimizers --------------------------------------------------------------------------


def regression(optimizer=None, rows=40, columns=48):
    """Linear, of several outputs."""
    X, t = sd.tensor("X", "n", columns), sd.tensor("t", "n", 8)
    W, b = sd.tensor("W", columns, 8), sd.tensor("b", 8)
    data = {X: RNG.normal(size=(rows, columns)), t: RNG.normal(size=(rows, 8))}
    fit = {"epochs": 1, "batch_size": 32}
    return Model(
        sd.losses.mse(X @ W + b, t), {W: 0.1, b: 0.0}, data, optimizer or optimizers.SGD(0.1),
        fit=fit,
    )  # fmt: skip


@pytest.mark.parametrize("name", list(optimizers.RULES))
def test_optimizers(name):
    optimizer = getattr(optimizers, name)()
    check(training_kernels(regression(optimizer), dtype="float32"), threads=512)


# --- models ------------------------------------------------------------------------------


def xor():
    X, t = sd.tensor("X", "n", 2), sd.tensor("t", "n", 1)
    model = Sequential([Dense(3, activation="sigmoid"), Dense(1, activation="sigmoid")])
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    data = {X: points, t: points[:, :1] != points[:, 1:]}
    return Model(sd.losses.mse(model(X), t), model.parameters, data, fit={"steps": 3})


def network(samples=64, width=64, hidden=128, classes=10):
    """One hidden layer and softmax."""
    X, t = sd.tensor("X", "n", width), sd.tensor("t", "n", dtype="int")
    model = Sequential([Dense(hidden, activation="relu"), Dense(classes)])
    loss = sd.losses.cross_entropy(model(X), t)
    data = {X: RNG.random((samples, width)), t: RNG.integers(0, classes, samples)}
    return Model(loss, model.parameters, data, fit={"epochs": 1, "batch_size": samples})


def wide_layers():
    """Products of these sizes are computed by tiles."""
    return network(256, 512, 512, 64)


def logistic():
    X, t, w, b = sd.tensor("X", "n", 100), sd.tensor("t", "n"), sd.tensor("w", 100), sd.tensor("b")
    loss = sd.losses.binary_cross_entropy(X @ w + b, t)
    data = {X: RNG.random((20_000, 100)), t: RNG.integers(0, 2, 20_000)}
    return Model(loss, {w: 0.0, b: 0.0}, data, fit={"epochs": 1, "batch_size": None})


def curve():
    a, b, x, y = sp.symbols("a b x y")
    data = {x: RNG.random(50_000), y: RNG.random(50_000)}
    loss = (a * sp.exp(-b * x) - y) ** 2
    return Model(loss, {a: 0.3, b: 0.2}, data, fit={"steps": 2, "batch_size": None})


MODELS = [*SMALL_MODELS, xor, network, wide_layers, logistic, curve]


@pytest.mark.parametrize("model", MODELS)
def test_models_in_float32(model):
    """Two blocks of 256 threads have registers on a multiprocessor; with `gemm` for sm_80, one."""
    threads = 256 if model is wide_layers else 512
    check(training_kernels(model(), dtype="float32"), threads)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_models_in_float64(model):
    check(training_kernels(model(), dtype="float64"))


def test_wide_layers_on_tensor_cores():
    sources = training_kernels(wide_layers(), dtype="float32", precision="tf32")
    assert all("gemm_tf32(" in source for source in sources)
    check(sources, threads=512)
