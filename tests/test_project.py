"""The rules of the project that no single module can keep by itself."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("symdiff", "codegen")

# What the mathematics never imports: it works without the machine.
MACHINE = {"codegen", "numba", "llvmlite"}

# Builtins that run text, and the SymPy functions that run text through them.
RUN_TEXT_BUILTINS = {"eval", "exec", "compile"}
RUN_TEXT_SYMPY = {"sympify", "parse_expr", "lambdify"}

# Files that may use one of these names, each with the reason why that is safe.
MAY_RUN_TEXT = {
    "codegen/build.py": "loads the module that it has itself generated",
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_packages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and top-level package of every absolute import, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, node.module.partition(".")[0]


def bound_at_top(tree: ast.Module) -> set[str]:
    """Names that a module defines or imports itself and that so hide a builtin."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


def text_runners(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything that could run text.

    Every mention counts, not only calls: `map(sp.sympify, texts)` calls too. A method called
    `eval` is SymPy's way to write a function and runs nothing; `sp.S("text")` is `sympify`.
    """
    builtins = RUN_TEXT_BUILTINS - bound_at_top(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in builtins | RUN_TEXT_SYMPY:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            of_builtins = isinstance(node.value, ast.Name) and node.value.id == "builtins"
            if node.attr in RUN_TEXT_SYMPY or (of_builtins and node.attr in RUN_TEXT_BUILTINS):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            hidden = RUN_TEXT_BUILTINS if node.module == "builtins" else set()
            for name in sorted(names & (RUN_TEXT_SYMPY | hidden)):
                yield node.lineno, name
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", None)
            if name == "S":
                yield node.lineno, "S"


def test_symdiff_never_imports_the_machine():
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {package}"
        for path in sources("symdiff")
        for line, package in imported_packages(parse(path))
        if package in MACHINE
    ]
    assert not found, "\n".join(found)


def test_symdiff_loads_without_the_machine():
    """The same rule at run time, for what a module brings in through others."""
    program = (
        "import importlib, pkgutil, sys\n"
        "import symdiff\n"
        "for module in pkgutil.walk_packages(symdiff.__path__, 'symdiff.'):\n"
        "    if not module.name.endswith('.__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert MACHINE.isdisjoint(run.stdout.split())


def test_codegen_loads_without_what_is_needed_later():
    """Compilers, SciPy's special functions and what divides loops for a GPU take time to load."""
    later = ["numba", "numba_cuda", "scipy.special", "greenlet", "codegen.gpu.spread"]
    program = f"import sys, codegen; print(*[m for m in {later} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_text_is_run(package):
    found = [
        f"{path.relative_to(ROOT)}:{line} uses {name}"
        for path in sources(package)
        if path.relative_to(ROOT).as_posix() not in MAY_RUN_TEXT
        for line, name in text_runners(parse(path))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("eval(text)", ["eval"]),
        ("import builtins\nbuiltins.exec(text)", ["exec"]),
        ("from builtins import eval as value", ["eval"]),
        ("compile(text, name, 'exec')", ["compile"]),
        ("from codegen.function import compile\ncompile(loss)", []),
        ("def compile(loss): ...\ncompile(loss)", []),
        ("cls.eval(x)", []),
        ("list(map(sp.sympify, texts))", ["sympify"]),
        ("from sympy import lambdify as function", ["lambdify"]),
        ("sp.S(text) + sp.S.One", ["S"]),
    ],
)
def test_what_counts_as_running_text(text, names):
    assert [name for _, name in text_runners(ast.parse(text))] == names


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_have_docstrings(package):
    module = importlib.import_module(package)
    # `__doc__` and not `inspect.getdoc`: a class does not inherit what it says of itself.
    bare = [name for name in module.__all__ if not (getattr(module, name).__doc__ or "").strip()]
    assert not bare, f"without a docstring in {package}: {', '.join(bare)}"


def readme_test_command() -> str:
    """What the first line of the README that calls pytest runs, after installing."""
    in_block = False
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            in_block = not in_block
        elif in_block and "pytest" in line:
            return line.split("&&")[-1].strip()
    raise AssertionError("no fenced block of README.md shows how to run the tests")


def test_ci_runs_the_readme_test_command():
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert readme_test_command() in [line.strip() for line in lines]
