"""Size: long sums and products, many parameters, deep chains; functions stay short."""

import re

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen.packing import FEW
from symdiff import bridge

X, t = sd.tensor("X", "n", 4), sd.tensor("t", "n")


def lengths(source):
    """The number of lines of every function."""
    return [len(part.splitlines()) for part in re.split(r"^def ", source, flags=re.M)[1:]]


def test_long_bodies_are_cut_into_short_functions():
    p = sp.symbols("p:90")
    model = sp.Add(*[sp.exp(-X[:, k % 4] * q) for k, q in enumerate(p)])
    loss = sd.mean((model - t) ** 2)
    wrt = list(p[:12])
    one, two = (
        codegen.compile([loss, *sd.gradient(loss, wrt)], inputs=[X, t, *p], threads=threads)
        for threads in (1, 2)
    )
    rng = np.random.default_rng(0)
    data, target = rng.uniform(size=(30_000, 4)), rng.uniform(size=30_000)
    values = np.linspace(0.5, 1.5, len(p))
    results = one(data, target, *values)
    assert max(lengths(one.source)) <= 120
    assert one.source.count("@compiler.part") > 4
    terms = [np.exp(-data[:, k % 4] * q) for k, q in enumerate(values)]
    residual = np.sum(terms, axis=0) - target
    np.testing.assert_allclose(results[0], np.mean(residual**2), rtol=1e-12)
    for k in range(len(wrt)):
        expected = np.mean(-2 * residual * terms[k] * data[:, k % 4])
        np.testing.assert_allclose(results[1 + k], expected, rtol=1e-10)
    assert [r.tobytes() for r in two(data, target, *values)] == [r.tobytes() for r in results]


def test_small_kernels_are_left_whole():
    a, b = sp.symbols("a b")
    function = codegen.compile(sp.exp(a) * b, inputs=[a, b])
    assert "compiler.part" not in function.source
    assert "values" not in function.source


def test_source_grows_in_proportion_to_the_graph():
    sizes = []
    for count in (250, 1000):
        x = sp.symbols(f"x:{count}")
        loss = sp.Add(*[sp.sin(s) ** 2 for s in x], evaluate=False)
        source = codegen.compile([loss, *sd.gradient(loss, list(x))], inputs=x).source
        assert max(lengths(source)) <= 120
        sizes.append(len(source.splitlines()))
    assert sizes[1] < 4.4 * sizes[0]


def test_sum_of_5000_terms_and_its_gradient():
    x = sp.symbols("x:5000")
    loss = sp.Add(*[s**2 * k for k, s in enumerate(x, 1)], evaluate=False)
    values = dict(zip(x, np.linspace(-1, 1, 5000), strict=True))
    k = np.arange(1, 5001)
    numbers = np.linspace(-1, 1, 5000)
    np.testing.assert_allclose(sd.evaluate(loss, values), numbers**2 @ k, rtol=1e-12)
    gradients = sd.gradient(loss, list(x))
    np.testing.assert_allclose(sd.evaluate(gradients, values), 2 * numbers * k, rtol=1e-12)
    assert max(lengths(codegen.compile(loss, inputs=x).source)) <= 120


def test_product_of_300_factors():
    x = sp.symbols("x:300")
    loss = sp.Mul(*[1 + s**2 / 100 for s in x], evaluate=False)
    numbers = np.linspace(-1, 1, 300)
    values = dict(zip(x, numbers, strict=True))
    factors = 1 + numbers**2 / 100
    np.testing.assert_allclose(sd.evaluate(loss, values), np.prod(factors), rtol=1e-12)
    gradients = sd.evaluate(sd.gradient(loss, list(x)), values)
    expected = np.prod(factors) / factors * numbers / 50
    np.testing.assert_allclose(gradients, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.slow
def test_3000_scalar_parameters_train():
    p = sp.symbols("p:3000")
    loss = sp.Add(*[(s - k) ** 2 for k, s in enumerate(p)], evaluate=False)
    trainer = codegen.Trainer(loss, dict.fromkeys(p, 0.0), sd.optimizers.SGD(0.25))
    trainer.fit(steps=2)
    found = np.array([trainer.parameters[s] for s in p[::500]])
    np.testing.assert_allclose(found, 0.75 * np.arange(0, 3000, 500))


def test_chains_20000_deep():
    x, v = sp.Symbol("x"), sd.tensor("v", 3)
    chain, vector = x, v
    for _ in range(20_000):
        chain = sp.sin(chain, evaluate=False)
        vector = sd.tanh(vector)
    expected, product = 0.7, 1.0
    for _ in range(20_000):
        product *= np.cos(expected)
        expected = np.sin(expected)
    assert sd.evaluate(chain, {x: 0.7}) == pytest.approx(expected, rel=1e-9)
    derivation = sd.derive(chain, x)
    assert len(derivation.steps) > 20_000
    numbers = np.full(3, 0.7)
    for _ in range(20_000):
        numbers = np.tanh(numbers)
    np.testing.assert_allclose(sd.evaluate(sd.sum(vector), {v: [0.7] * 3}), numbers.sum())


def test_gradients_of_deep_chains_with_factors():
    """Rules that move a constant factor out do not recurse through the chain."""
    depth = 1500
    x, v = sp.Symbol("x"), sd.tensor("v", 3)
    chain, vector = x, v
    for _ in range(depth):
        chain = sp.sin(chain, evaluate=False)
        vector = sd.tanh(vector) * 1.01
    value, slope = 0.7, 1.0
    for _ in range(depth):
        value, slope = np.sin(value), slope * np.cos(value)
    assert sd.evaluate(sd.gradient(chain, x), {x: 0.7}) == pytest.approx(slope, rel=1e-9)
    value, slope = np.array([0.1, -0.2, 0.3]), np.ones(3)
    for _ in range(depth):
        slope = slope * 1.01 * (1 - np.tanh(value) ** 2)
        value = np.tanh(value) * 1.01
    gradient = sd.gradient(sd.sum(vector**2) / 2, v)
    got = sd.evaluate(gradient, {v: [0.1, -0.2, 0.3]})
    np.testing.assert_allclose(got, slope * value, rtol=1e-8)


def test_a_chain_of_stable_functions_is_built_in_linear_time(monkeypatch):
    """Building on an expression visits the new part only."""
    visited = []
    original = bridge._converter
    monkeypatch.setattr(bridge, "_converter", lambda e: (visited.append(e), original(e))[1])
    chain = sp.Symbol("x")
    for _ in range(300):
        chain = sd.sigmoid(chain)
    assert 300 <= len(visited) < 3000


def test_many_numbers_travel_in_one_array():
    x = sp.symbols(f"x:{FEW + 1}")
    k = sd.tensor("k", dtype="int")
    function = codegen.compile([*(s + k for s in x), sp.Add(*x)], inputs=[*x, k])
    results = function(*range(FEW + 1), 5)
    assert results == [*(float(n + 5) for n in range(FEW + 1)), sum(range(FEW + 1))]
    assert "values[" in function.source or "at(values" in function.source


def test_a_chain_that_reads_each_step_twice_is_linear():
    """The logistic map: written out, 40 steps of it are 2⁴⁰ terms."""
    x, rate, steps = sp.Symbol("x"), 3.7, 40
    chain = x
    for _ in range(steps):
        chain = rate * chain * (1 - chain)
    f = codegen.compile([chain, sd.gradient(chain, x)], inputs=[x])
    assert f.source.count("\n") < 20 * steps
    value, slope = 0.3, 1.0
    for _ in range(steps):
        value, slope = rate * value * (1 - value), rate * (1 - 2 * value) * slope
    np.testing.assert_allclose(f(0.3), [value, slope], rtol=1e-3)  # it is chaotic
    assert bridge.describe(bridge.to_graph(chain)) == "a multiply"
