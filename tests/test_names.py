"""Names: a symbol may be called anything, and no name reaches source text as code."""

import ast
import builtins

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen.emit.spelling import SPELLING
from codegen.kernel import RESERVED

NAMES = [
    "lambda", "np", "i", "x[0]", "1; import os", "\u00b5", "\u03bc", "", "a" * 1_000_000,
    "x\ny", "x\r\nraise",
    "'", '"', '"""', "\\", "#", "{x}", "{{", "%s", "__import__('os')", "None", "True", "self",
    "row", "chunk", "status", "tid", "run", "exp", "square", "at", "values", "results", "shared",
    "private_own", "whole", "whole_part", "output", "real", "sin_1", "add_1", "n", "loss",
    "x y", "\x00", "\u2028exit()", "\u202e", "é", "变量", "x'", "x.T", "β_1", "_", "__", "1", "-",
]  # fmt: skip


class Calls(ast.NodeVisitor):
    """The functions that a source text calls, and the names that it reads."""

    def __init__(self, source):
        self.names = set()
        self.imported = set()
        self.visit(ast.parse(source))

    def visit_Name(self, node):
        self.names.add(node.id)

    def visit_Import(self, node):
        self.imported |= {a.name for a in node.names}

    def visit_ImportFrom(self, node):
        self.imported.add(node.module)


@pytest.fixture(scope="module")
def symbols():
    return [sp.Symbol(n) for n in NAMES]


@pytest.fixture(scope="module")
def compiled(symbols):
    values = np.linspace(0.2, 1.7, len(symbols))
    terms = [sp.sin(s) * k for k, s in enumerate(symbols, 1)]
    loss = sp.Add(*terms)
    function = codegen.compile([loss, *sd.gradient(loss, symbols[:4])], inputs=symbols)
    return function, function(*values), values


def test_a_symbol_may_be_called_anything(symbols, compiled):
    _, results, values = compiled
    weights = np.arange(1, len(values) + 1)
    np.testing.assert_allclose(results[0], np.sin(values) @ weights, rtol=1e-13)
    np.testing.assert_allclose(results[1:], (np.cos(values) * weights)[:4], rtol=1e-13)
    loss = sp.Add(*[sp.sin(s) * k for k, s in enumerate(symbols, 1)])
    bound = dict(zip(symbols, values, strict=True))
    np.testing.assert_allclose(sd.evaluate(loss, bound), results[0], rtol=1e-13)


def test_no_name_is_code(compiled):
    function, _, _ = compiled
    source = function.source
    assert max(map(len, source.splitlines())) < 1500
    calls = Calls(source)
    assert calls.imported <= {"numpy", "math", "codegen.runtime", "codegen.vector_math"}
    assert not calls.names & {"os", "__import__", "exit", "eval", "exec"}
    assert all(n.isascii() for n in calls.names)
    for node in ast.walk(ast.parse(source)):
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, str)
                    and node.value not in ("float64", "fast"))  # fmt: skip


def test_tensors_sizes_and_parameters_with_hostile_names():
    X = sd.tensor("X\nimport os", "1; n", 2)
    w, b = sd.tensor("lambda", 2), sd.tensor("parameters")
    y = sd.tensor("loss", "1; n")
    loss = sd.mean((X @ w + b - y) ** 2)
    trainer = codegen.Trainer(loss, {w: [1.0, 2.0], b: 0.5}, sd.optimizers.SGD(0.1))
    data = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])
    target = np.array([1.0, 0.0, 2.0])
    history = trainer.fit({X: data, y: target}, epochs=1)
    residual = data @ [1.0, 2.0] + 0.5 - target
    assert history.loss[0] == pytest.approx(np.mean(residual**2))
    np.testing.assert_allclose(trainer.parameters[w], [1, 2] - 0.2 / 3 * data.T @ residual)
    assert "os" not in Calls(trainer.source).imported
    for text in (str(sd.derive(loss, [w, b])), sd.derive(loss, [w, b]).latex()):
        assert text


def test_symbols_that_print_alike_stay_two():
    pairs = [
        (sp.Symbol("x"), sp.Symbol("x", positive=True)),
        (sp.Dummy("x"), sp.Dummy("x")),
        (sp.Symbol("x"), sp.Dummy("x")),
        (sp.Symbol("\u00b5"), sp.Symbol("\u03bc")),
        (sp.Symbol("x", integer=True), sp.Symbol("x", real=True)),
    ]
    expressions = [p - 2 * q for p, q in pairs]
    for (p, q), expression in zip(pairs, expressions, strict=True):
        assert sd.evaluate(expression, {p: 5.0, q: 1.0}) == 3.0
        assert sd.evaluate(sd.gradient(expression**2, q), {p: 5.0, q: 1.0}) == -12.0
    inputs = list(dict.fromkeys(s for pair in pairs for s in pair))
    function = codegen.compile(expressions, inputs=inputs)
    numbers = {s: float(k + 1) for k, s in enumerate(inputs)}
    results = function(*numbers.values())
    assert results == [numbers[p] - 2 * numbers[q] for p, q in pairs]


def test_errors_stay_short():
    long = sp.Symbol("a" * 1_000_000)
    tensor = sd.tensor("b" * 1_000_000, "n", 3)
    for use in (
        lambda: sd.evaluate(long + 1, {}),
        lambda: sd.evaluate(sd.sum(tensor), {tensor: np.zeros(4)}),
        lambda: sd.evaluate(long + 1, {long: "text"}),
        lambda: tensor + sd.zeros(4),
    ):
        with pytest.raises(sd.SymdiffError) as caught:
            use()
        assert len(str(caught.value)) < 2000


def test_generated_names_are_reserved():
    for name in (*SPELLING, "run", "tid", "row", "values", "results"):
        assert name in RESERVED
    assert not {n for n in RESERVED if not n.isidentifier()}
    assert "eval" in dir(builtins)  # names of builtins are never given out either
    assert codegen.names.Names().new("eval") != "eval"
