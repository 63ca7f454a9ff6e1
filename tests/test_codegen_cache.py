"""The cache of kernels on disk: other processes, other options, damaged files."""

import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen import build, machine

x = sp.Symbol("x")

TRAIN = """
import time
import numpy as np, sympy as sp
import symdiff as sd, codegen, codegen.build

compiled = []

def note(source, translate=codegen.build.compiled):
    compiled.append("run")
    return translate(source)

codegen.build.compiled = note
X, t, W = sd.tensor("X", "n", 16), sd.tensor("t", "n", dtype="int"), sd.tensor("W", 16, 40)
V = sd.tensor("V", 40, 5)
loss = sd.losses.cross_entropy(sd.gelu(X @ W) @ V, t) + sp.loggamma(2 + sd.sum(V**2))
rng = np.random.default_rng(0)
start = {W: rng.normal(size=(16, 40)) / 4, V: rng.normal(size=(40, 5)) / 6}
trainer = codegen.Trainer(loss, start, sd.optimizers.Adam(0.01), threads=2)
history = trainer.fit(
    {X: rng.normal(size=(300, 16)), t: rng.integers(0, 5, 300)}, epochs=3, batch_size=64
)
print(repr((history.loss, float(trainer.parameters[W].sum()))))
print(compiled)
"""


def start(text, cache, **environment):
    names = ("SYMDIFF_CACHE_DIR", "PYTHONPATH")
    inherited = {k: v for k, v in os.environ.items() if k not in names}
    root = str(Path(codegen.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", textwrap.dedent(text)],
        env={**inherited, "SYMDIFF_CACHE_DIR": str(cache), "PYTHONPATH": root, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out.splitlines()


def files(cache):
    return {p: p.stat().st_mtime_ns for p in Path(cache).rglob("*") if p.is_file()}


def kernels(cache):
    return sorted(Path(cache).rglob(build.MODULE_FILE))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and nothing in memory."""
    monkeypatch.setenv("SYMDIFF_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(build, "_loaded", {})  # which keeps what it holds
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A cache in which one process has left the kernel of `TRAIN`."""
    directory = tmp_path_factory.mktemp("cache")
    return directory, result(start(TRAIN, directory))


def test_a_second_process_trains_without_compiling(trained):
    cache, first = trained
    assert "'run'" in first[1]
    before = files(cache)
    assert any(p.name == build.CODE_FILE for p in before)
    second = result(start(TRAIN, cache))
    assert second == [first[0], "[]"]
    assert files(cache) == before


def test_a_process_finds_routines_of_scipy_at_other_addresses(trained):
    """Kernels name products and SciPy's functions; addresses differ from process to process."""
    cache, first = trained
    (source,) = (k.read_text() for k in kernels(cache) if "gemm" in k.read_text())
    assert "special." in source and "gemm(" in source
    assert result(start(TRAIN, cache, PYTHONHASHSEED="12345"))[0] == first[0]


def test_two_processes_that_start_at_once(tmp_path, trained):
    expected = trained[1][0]
    together = [start(TRAIN, tmp_path) for _ in range(2)]
    assert [result(p)[0] for p in together] == [expected] * 2
    assert len(kernels(tmp_path)) == 1
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("which", "damage"),
    [("*", "empty"), ("*", "rubbish"), ("kernel.o", "cut"), ("kernel.py", "cut")],
)
def test_damaged_files_are_survived(trained, tmp_path, which, damage):
    cache = shutil.copytree(trained[0], tmp_path / "cache")
    damaged = [p for p in cache.rglob(which) if p.is_file()]
    for path in damaged:
        content = path.read_bytes()
        rubbish = {
            "empty": b"",
            "rubbish": b"\xff\x00 rubbish (",
            "cut": content[: len(content) // 2],
        }
        path.write_bytes(rubbish[damage])
    assert damaged
    assert result(start(TRAIN, cache))[0] == trained[1][0]
    assert result(start(TRAIN, cache)) == [trained[1][0], "[]"]


def test_a_directory_that_cannot_be_written_is_survived(trained, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file where the directory should be")
    assert result(start(TRAIN, blocked / "cache"))[0] == trained[1][0]
    assert blocked.read_text().startswith("a file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_read_only_directory_is_survived(trained, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert result(start(TRAIN, tmp_path))[0] == trained[1][0]
    finally:
        tmp_path.chmod(0o700)


def test_other_text_at_the_path_of_a_kernel_is_never_used(cache):
    function = codegen.compile(3 * x + 1, [x])
    path = cache / build.fingerprint(function.source) / build.MODULE_FILE
    path.parent.mkdir()
    path.write_text(function.source.replace("3", "5"))
    time.sleep(0.01)
    assert function(2.0) == 7
    assert path.read_text() == function.source


def test_machine_code_of_other_text_is_never_used(cache, monkeypatch):
    one, two = codegen.compile(3 * x + 1, [x]), codegen.compile(5 * x + 1, [x])
    assert one(2.0) == 7
    # the same name for everything: a collision of fingerprints
    monkeypatch.setattr(build, "_loaded", {})
    name = build.fingerprint(one.source)
    monkeypatch.setattr(build, "fingerprint", lambda source: name)
    assert two(2.0) == 11


def test_every_option_has_a_kernel_of_its_own(cache, monkeypatch):
    expression = sp.exp(x) / 3
    functions = [
        codegen.compile(expression, [x], dtype=dtype, math=math)
        for dtype in ("float64", "float32")
        for math in ("fast", "accurate")
    ]
    values = [f(1.5) for f in functions]
    assert len(kernels(cache)) == 4
    assert [v.dtype.name for v in values] == ["float64", "float64", "float32", "float32"]
    source = functions[0].source
    names = {build.fingerprint(source), build.fingerprint(source + " ")}
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    machine.host.cache_clear()
    build._environment.cache_clear()
    names.add(build.fingerprint(source))
    monkeypatch.undo()
    machine.host.cache_clear()
    build._environment.cache_clear()
    assert len(names) == 3


def test_the_same_model_is_one_kernel(cache):
    X, w = sd.tensor("X", "n", 3), sd.tensor("w", 3)
    for _ in range(3):
        codegen.compile(sd.sum((X @ w) ** 2), [X, w])([[1.0, 2.0, 3.0]], [1.0, 1.0, 1.0])
    assert len(kernels(cache)) == 1
    before = files(cache)
    build._loaded.clear()  # as in another process
    codegen.compile(sd.sum((X @ w) ** 2), [X, w])([[1.0, 2.0, 3.0]], [1.0, 1.0, 1.0])
    assert files(cache) == before


def test_sources_do_not_depend_on_the_hash_seed(tmp_path):
    text = TRAIN.split("history =")[0] + "\nprint(trainer.source)"
    sources = [result(start(text, tmp_path, PYTHONHASHSEED=seed)) for seed in ("1", "2", "77")]
    assert sources[0] == sources[1] == sources[2]
