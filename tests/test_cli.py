"""The command line: what it prints, what it refuses, and that it runs nothing that is typed."""

import inspect
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen.build import build_plain
from codegen.cli import FORMATS, main
from codegen.gpu.load import build_plain_grid

ROOT = Path(__file__).parent.parent
SQUARES = [
    "gradient", "sum((X @ w - y)**2)", "--shape", "X=n,d", "--shape", "w=d", "--shape", "y=n",
    "--wrt", "w",
]  # fmt: skip


@pytest.fixture
def shell(capsys):
    """Runs a command; returns the exit status, and what went to the two streams."""

    def shell(*arguments):
        try:
            status = main(list(arguments))
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return shell


def squares():
    X, w, y = sd.tensor("X", "n", "d"), sd.tensor("w", "d"), sd.tensor("y", "n")
    return sd.sum((X @ w - y) ** 2), X, w, y


# --- formulas ----------------------------------------------------------------------------


def test_text_and_latex_are_those_of_the_library(shell):
    loss, _, w, _ = squares()
    derivation = sd.derive(loss, w)
    assert shell(*SQUARES) == (0, f"{derivation}\n", "")
    assert shell(*SQUARES, "--format", "latex") == (0, f"{derivation.latex()}\n", "")
    assert "∂L/∂w = 2Xᵀr" in str(derivation)


def test_the_readme_shows_what_is_printed(shell):
    text = (ROOT / "README.md").read_text("utf-8").replace("\\\n", "")
    commands = [shlex.split(c)[1:] for c in re.findall(r"^symdiff gradient.*$", text, re.M)]
    assert commands[0] == SQUARES and len(commands) > 1
    assert f"```text\n{shell(*SQUARES)[1]}```" in text
    for command in commands:
        words = command[: command.index(">")] if ">" in command else command
        assert shell(*words)[0] == 0, command


def test_hessian(shell):
    status, text, _ = shell(*SQUARES, "--hessian")
    assert status == 0 and re.search(r"∂²L/∂w∂w = 2XᵀX +\(d, d\)", text)
    _, latex, _ = shell(*SQUARES, "--hessian", "--format", "latex")
    assert r"\frac{\partial^{2} L}{\partial w \, \partial w} &= 2 X^{\top} X" in latex


def test_each_pair_of_parameters_has_one_block(shell):
    _, text, _ = shell("gradient", "a*exp(-b*x)", "--wrt", "a,b", "--wrt", "a", "--hessian")
    assert re.findall(r"∂²L/(∂\w∂\w) =", text) == ["∂a∂a", "∂a∂b", "∂b∂b"]


def test_names_without_a_shape_are_scalars(shell):
    a, b, x, y = sp.symbols("a b x y")
    expected = sd.derive((a * sp.exp(-b * x) - y) ** 2, [b, a])
    text = "(a*exp(-b*x) - y)**2"
    assert shell("gradient", text, "--wrt", "b, a")[1] == f"{expected}\n"
    # the same if it is said of one of them
    assert shell("gradient", text, "--wrt", "b, a", "--shape", "b=")[1] == f"{expected}\n"


def test_what_the_loss_does_not_depend_on_has_a_zero_gradient(shell):
    status, text, _ = shell("gradient", "sum(x)", "--shape", "x=3", "--shape", "u=2", "--wrt", "u")
    assert status == 0 and re.search(r"∂L/∂u = 0 +\(2,\)", text)


def test_an_expression_may_begin_with_a_minus_sign(shell):
    status, text, _ = shell("gradient", "-x**2", "--wrt", "x")
    assert status == 0 and "= −2x" in text
    assert shell("gradient", "-h", "--help")[0] == 0  # that stays the option


def test_labels_are_integers(shell):
    arguments = ["cross_entropy(X @ W, t)", "--shape", "X=n,3", "--shape", "W=3,4", "--wrt", "W"]
    X, W, t = sd.tensor("X", "n", 3), sd.tensor("W", 3, 4), sd.tensor("t", "n", dtype="int")
    expected = sd.derive(sd.losses.cross_entropy(X @ W, t), W)
    assert shell("gradient", *arguments, "--shape", "t=n:int")[1] == f"{expected}\n"


# --- kernels -----------------------------------------------------------------------------


def kernel_values(source, cuda, values, shapes):
    """Run the text of a kernel as plain Python; gives its outputs in order."""
    head = "tid, nth, size" if cuda else "tid, nth, chunks"
    signature = re.search(r"^def (?:run|train)\(([^)]*)\)", source.split("@cuda.jit\n")[0], re.M)
    if not cuda:
        signature = re.search(r"@compiler\.entry\ndef run\(([^)]*)\)", source)
    names = signature[1].split(", ")
    assert ", ".join(names[:3]) == head
    outputs = {f"output_{i}" if i else "output": np.zeros(s) for i, s in enumerate(shapes)}
    given = {
        **values, **outputs, "barrier": np.zeros(16, np.int64), "status": np.zeros(1, np.int64),
        "shared": np.full(1000, np.nan), "partials": np.full(1000, np.nan),
        "private": np.full(1000, np.nan),
    }  # fmt: skip
    flat = [a.reshape(-1) if isinstance(a, np.ndarray) else a for a in map(given.get, names[3:])]
    if cuda:
        build_plain_grid(source, "train", exempt=("status",))(2, 4, 2, 0, *flat)
    else:
        build_plain(source)(0, 1, 1, *flat)
    return list(outputs.values())


@pytest.mark.parametrize("form", ["python", "numba", "cuda"])
def test_kernels_compute_loss_gradient_and_hessian(shell, form):
    status, source, _ = shell(*SQUARES, "--hessian", "--format", form)
    assert status == 0
    random = np.random.default_rng(0)
    X, w, y = random.normal(size=(5, 3)), random.normal(size=3), random.normal(size=5)
    values = {"n": 5, "d": 3, "X": X, "w": w, "y": y}
    found = kernel_values(source, form == "cuda", values, [(), (3,), (3, 3)])
    r = X @ w - y
    for result, expected in zip(found, [r @ r, 2 * X.T @ r, 2 * X.T @ X], strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("form", "target"), [("numba", "cpu"), ("cuda", "cuda")])
def test_kernels_are_those_of_compile(shell, form, target, dtype):
    loss, X, w, y = squares()
    outputs = [loss, sd.gradient(loss, w)]
    expected = codegen.compile(outputs, [X, w, y], dtype=dtype, target=target).source
    assert shell(*SQUARES, "--format", form, "--dtype", dtype)[1] == f"{expected}\n"
    assert f"np.{dtype}" in expected


def test_every_format_writes_something(shell):
    for form in FORMATS:
        status, text, _ = shell(*SQUARES, "--format", form)
        assert status == 0 and len(text.splitlines()) > 3, form


def test_in_a_process_of_its_own_and_without_numba_cuda(tmp_path):
    """As a user runs it, where the packages that a GPU needs are not installed."""
    program = (
        "import sys\n"
        "sys.modules['numba_cuda'] = sys.modules['numba.cuda'] = None\n"
        "import runpy\n"
        "sys.argv[0] = 'symdiff'\n"
        "runpy.run_module('codegen', run_name='__main__')\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    run = subprocess.run(
        [sys.executable, "-c", program, *SQUARES, "--format", "cuda"], cwd=tmp_path,
        env=environment, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "@cuda.jit\ndef run(" in run.stdout and run.stderr == ""


def test_the_command_that_is_installed():
    """``symdiff`` is the function that these tests call."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (name, value), *others = project["scripts"].items()
    assert name == "symdiff" and not others
    assert EntryPoint(name, value, "console_scripts").load() is main


def test_python_m_codegen(tmp_path):
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PYTHONIOENCODING": "ascii",
    }  # fmt: skip

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "codegen", *arguments], cwd=tmp_path, env=environment,
            capture_output=True, encoding="ascii", check=False,
        )  # fmt: skip

    good = run(*SQUARES)
    # where ∂ cannot be written, an escape stands for it
    assert good.returncode == 0 and r"\u2202L/\u2202w = 2X\u1d40r" in good.stdout
    assert run("gradient", "x +", "--wrt", "x").returncode == 1
    assert run("gradient", "x").returncode == 2


# --- explain ---------------------------------------------------------------------------------

EXPLAIN = ["explain", *SQUARES[1:]]
NUMBERS = '{"X": [[1, 2], [3, 4], [5, 6]], "w": [0.5, -1], "y": [1, 2, 3.5]}'


def test_explanations_are_those_of_the_library(shell):
    loss, X, w, y = squares()
    derivation = sd.derive(loss, w, names={})
    assert shell(*EXPLAIN) == (0, f"{derivation.explain(w)}\n", "")
    assert shell(*EXPLAIN, "--check") == (0, f"{derivation.explain(w, check=True)}\n", "")
    latex = derivation.explain(w).latex()
    assert shell(*EXPLAIN, "--format", "latex") == (0, f"{latex}\n", "")
    values = {symbol: json.loads(NUMBERS)[str(symbol)] for symbol in (X, w, y)}
    expected = derivation.explain(w, values, check=True)
    assert shell(*EXPLAIN, "--values", NUMBERS, "--check") == (0, f"{expected}\n", "")


def test_each_parameter_is_explained(shell):
    status, text, _ = shell("explain", "a*exp(-b*x)", "--wrt", "a,b", "--wrt", "a")
    assert status == 0 and text.count("backward") == 2 == text.count("∂L/∂L = 1")


def test_values_from_files(shell, tmp_path):
    expected = shell(*EXPLAIN, "--values", NUMBERS)
    assert expected[0] == 0 and "array of norm" not in expected[1] and "= [" in expected[1]
    arrays = {name: np.array(value) for name, value in json.loads(NUMBERS).items()}
    np.savez(tmp_path / "numbers.npz", **arrays)
    assert shell(*EXPLAIN, "--values", str(tmp_path / "numbers.npz")) == expected
    (tmp_path / "numbers.json").write_text(NUMBERS, "utf-8")
    assert shell(*EXPLAIN, "--values", str(tmp_path / "numbers.json")) == expected


class Hostile:
    """Unpickling it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_values_are_never_unpickled(shell, tmp_path):
    mark = tmp_path / "run"
    np.savez(tmp_path / "x.npz", w=np.array([Hostile(mark)], dtype=object))
    (tmp_path / "y.npz").write_bytes(pickle.dumps(Hostile(mark)))
    for name in ("x.npz", "y.npz"):
        status, _, error = shell(*EXPLAIN, "--values", str(tmp_path / name))
        assert status == 2 and "--values" in error
    assert not mark.exists()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ('{"w": [1, 2}', "delimiter"),
        ("", "by name"),
        ("[1, 2]", "by name"),
        ('{"w": [[1, 2], [3]]}', "w: the rows have different lengths"),
        ('{"w": ["a", 2]}', "w: write numbers"),
        ('{"w": [1, null]}', "w: write numbers"),
        ('{"w": {"a": 1}}', "w: write numbers"),
        ('{"q": 1}', "no q; it has"),
        ("[" * 100_000, "too deep"),
        ("nothing.npz", "No such file"),
        ("nothing.json", "No such file"),
        ('{"\\u001b[2J": 1}', "no ?[2J"),
    ],
)
def test_values_that_are_not_understood(shell, numbers, message):
    status, output, error = shell(*EXPLAIN, "--values", numbers)
    assert (status, output) == (2, "") and message in error and "\x1b" not in error


def test_an_error_of_json_points_into_it(shell):
    *_, shown, mark = shell(*EXPLAIN, "--values", '{"w": [1, 2}')[2].rstrip("\n").split("\n")
    assert shown.strip() == '{"w": [1, 2}' and shown[mark.index("^")] == "}"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ('{"w": [1, 2]}', "no value for X, y"),
        ('{"w": [1, 2, 3], "X": [[1, 2]], "y": [1]}', "w has shape (d,)"),
    ],
)
def test_values_that_do_not_fit(shell, numbers, message):
    status, _, error = shell(*EXPLAIN, "--values", numbers)
    assert status == 1 and message in error and error.rstrip().endswith("^~~~~~~~~~~~~~~~~~~")


# --- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("sum((X @ w - y)**2", 19, 'expected an operator or "," or ")"'),
        ("sum(X @ y)", 7, "X"),
        ("sum(nonsense(w))", 5, 'no function "nonsense"'),
        ("w.real", 2, "attributes are not read"),
    ],
)
def test_an_error_points_into_the_text(shell, text, column, message):
    status, output, error = shell("gradient", text, *SQUARES[2:])
    first, *_, shown, mark = error.rstrip("\n").split("\n")
    assert (status, output) == (1, "")
    assert first.startswith("symdiff: ") and message in first
    assert shown.strip() == text and mark.index("^") - 4 == column - 1


def test_an_error_of_the_whole_expression_marks_it(shell):
    status, _, error = shell("gradient", "X @ w", *SQUARES[2:])
    first, shown, mark = error.rstrip("\n").split("\n")
    assert status == 1 and "a loss must be a scalar" in first and "(n,)" in first
    assert (shown, mark) == ("    X @ w", "    ^~~~~")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["gradient"],
        ["gradient", "x**2"],
        ["gradient", "x**2", "--wrt", "z"],
        ["gradient", "x**2", "--wrt", "x,"],
        ["gradient", "3", "--wrt", "x"],
        ["gradient", "x**2", "--wrt", "x", "--format", "pictures"],
        ["gradient", "x**2", "--wrt", "x", "--dtype", "float16"],
        ["gradient", "x**2", "--wrt", "x", "--shape", "x"],
        ["gradient", "x**2", "--wrt", "x", "--shape", "x=n+1"],
        ["gradient", "x**2", "--wrt", "x", "--shape", "x=n,,2"],
        ["gradient", "x**2", "--wrt", "x", "--shape", "x=-2"],
        ["gradient", "x**2", "--wrt", "x", "--shape", "x=n:float"],
        ["gradient", "x**2", "--wrt", "x", "--shape", "x=2", "--shape", "x=3"],
        ["gradient", "x**2", "--wrt", "x", "--form", "text"],
        ["demo", "--seed", "-1"],
    ],
)
def test_bad_usage(shell, arguments):
    status, output, error = shell(*arguments)
    assert (status, output) == (2, "") and error.startswith("usage: symdiff")


@pytest.mark.parametrize("place", ["expression", "shape", "wrt", "size"])
def test_nothing_that_is_typed_is_run(shell, place, tmp_path):
    mark = tmp_path / "run"
    hostile = f"__import__('pathlib').Path('{mark}').touch()"
    arguments = {
        "expression": [hostile, "--wrt", "x"],
        "shape": ["x", "--wrt", "x", "--shape", hostile],
        "wrt": ["x", "--wrt", hostile],
        "size": ["sum(x)", "--wrt", "x", "--shape", f"x={hostile}"],
    }[place]
    status, output, _ = shell("gradient", *arguments, "--format", "python")
    assert status == (1 if place == "expression" else 2) and output == ""
    assert not mark.exists()


def test_who_reads_may_stop(tmp_path):
    """A pipe that is closed early is no error to be reported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-m", "codegen", *SQUARES], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_said_in_a_line(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with open("/dev/full", "w") as full:
        run = subprocess.run(
            [sys.executable, "-m", "codegen", *SQUARES], cwd=tmp_path, env=environment,
            stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert run.returncode == 1
    assert re.fullmatch(r"symdiff: .*No space left on device\n", run.stderr)


# --- demo --------------------------------------------------------------------------------


def test_demo_shows_the_formulas_and_learns(shell):
    status, text, _ = shell("demo")
    assert status == 0 and "∂L/∂W = 1/n · Xᵀδ₁" in text
    first, last = map(float, re.search(r"loss +(\S+) at first, (\S+) at last", text).groups())
    assert last < first / 10
    assert float(re.search(r"(\S+)% of 2000 other points", text)[1]) > 90
    assert inspect.getsourcefile(codegen).replace("__init__", "demo") in text


def test_demo_is_repeatable(shell):
    def shown():
        return re.sub(r"in \S+ s", "", shell("demo", "--seed", "3", "--dtype", "float32")[1])

    assert shown() == shown() != re.sub(r"in \S+ s", "", shell("demo", "--dtype", "float32")[1])
