"""Random nested sums and products over ``Indexed``, against loops in plain Python."""

import math
import random

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd

SIZE = 4
n, a = sp.Symbol("n", integer=True), sp.Symbol("a")
INDICES = sp.symbols("i j k", integer=True)
x, y = (sp.IndexedBase(name, shape=(n,)) for name in "xy")
A, B = (sp.IndexedBase(name, shape=(n, n)) for name in "AB")
RNG = np.random.default_rng(5)
DATA = {base: RNG.normal(size=(SIZE,) * len(base.shape)) for base in (x, y, A, B)}
DATA[a] = 0.7
FUNCTIONS = {sp.exp: math.exp, sp.sin: math.sin}


def value(e, known):
    """What an expression means, index by index."""
    if isinstance(e, (sp.Sum, sp.Product)):

        def terms(limits, known):
            if not limits:
                yield value(e.function, known)
                return
            index, low, high = limits[-1]  # the last one is the outermost
            for k in range(int(value(low, known)), int(value(high, known)) + 1):
                yield from terms(limits[:-1], {**known, index: k})

        every = list(terms(list(e.limits), known))
        return sum(every) if isinstance(e, sp.Sum) else math.prod(every)
    if isinstance(e, sp.Indexed):
        return DATA[e.base][tuple(int(value(i, known)) for i in e.indices)]
    if e in known:
        return known[e]
    if e.is_Number:
        return float(e)
    parts = [value(part, known) for part in e.args]
    if e.is_Add:
        return sum(parts)
    if e.is_Mul:
        return math.prod(parts)
    return parts[0] ** parts[1] if e.is_Pow else FUNCTIONS[e.func](*parts)


class Writer:
    """Writes a random sum; the seed decides which."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.indices = INDICES[: self.random.randint(1, 3)]

    def chance(self, share):
        return self.random.random() < share

    def limit(self, position):
        low, high = sp.S.Zero, n - 1
        outer = self.indices[:position]
        if outer and self.chance(0.5):
            other = self.random.choice(outer)
            low, high = (other, high) if self.chance(0.5) else (low, other)
        elif self.chance(0.5):
            low, high = (sp.S.One, high) if self.chance(0.5) else (low, n - 2)
        return self.indices[position], low, high

    def index(self):
        own = self.random.choice(self.indices)
        return self.random.choice([own, own, own, own, n - 1 - own, sp.Integer(2)])

    def atom(self):
        kinds = [
            lambda: self.random.choice([x, y])[self.index()],
            lambda: self.random.choice([A, B])[self.index(), self.index()],
            lambda: sp.exp(-x[self.index()] / 3),
            lambda: self.random.choice([a, self.random.choice(self.indices) + 1]),
        ]
        return self.random.choices(kinds, [4, 4, 1, 1])[0]()

    def factor(self):
        kinds = [
            self.atom,
            lambda: self.atom() + self.atom(),
            lambda: sp.sin(self.atom() * self.atom()),
            lambda: self.atom() ** 2,
        ]
        return self.random.choices(kinds, [6, 2, 1, 1])[0]()

    def expression(self):
        limits = [self.limit(p) for p in range(len(self.indices))][::-1]
        body = sp.Mul(*(self.factor() for _ in range(self.random.randint(1, 4))))
        body += self.factor() if self.chance(0.3) else 0
        outer = sp.Product if self.chance(0.15) else sp.Sum
        if len(limits) > 1 and self.chance(0.4):
            return a * outer(sp.Sum(body, limits[0]), *limits[1:])
        return a * outer(body, *limits)


LOSSES = [Writer(seed).expression() for seed in range(60)]


@pytest.mark.parametrize("seed", range(len(LOSSES)))
def test_value_and_gradient(seed):
    loss = LOSSES[seed]
    bases = sorted({e.base for e in loss.atoms(sp.Indexed)}, key=str)
    values = {base: DATA[base] for base in bases} | {a: DATA[a], n: SIZE}
    expected = value(loss, {a: DATA[a], n: SIZE})
    np.testing.assert_allclose(sd.evaluate(loss, values), expected, rtol=1e-10, atol=1e-12)
    for base in bases[:1]:
        assert sd.check_gradient(loss, base, values) < 1e-6


def test_kernel():
    losses = [e for e in LOSSES if e.atoms(sp.Indexed)][:5]
    roots = [*losses, *(sd.gradient(e, x) for e in losses[:2])]
    inputs = list(DATA)
    results = codegen.compile(roots, inputs=inputs)(*DATA.values())
    for loss, result in zip(losses, results, strict=False):
        expected = value(loss, {a: DATA[a], n: SIZE})
        np.testing.assert_allclose(result, expected, rtol=1e-10, atol=1e-12)
    for slope, result in zip(roots[len(losses) :], results[len(losses) :], strict=True):
        np.testing.assert_allclose(result, sd.evaluate(slope, DATA), rtol=1e-9, atol=1e-12)
