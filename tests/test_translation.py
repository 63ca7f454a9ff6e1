"""The translation of kernels to LLVM code: means what Python and Numba mean by the same text."""

import ctypes
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import codegen
import symdiff as sd
from codegen import control
from codegen.build import build, build_numba, build_plain
from codegen.kernel import FunctionKernel
from codegen.translation.kinds import NotTranslatable
from codegen.translation.module import Module

HEAD = """
import math
import numpy as np
from codegen import special
from codegen.runtime import Compiler, at, float64s as reals, integers, naturals, shuffle

real = np.float64
compiler = Compiler(real="float64", math="fast")
"""
SINGLE = HEAD.replace("float64", "float32")


def kernel(body, helpers="", head=HEAD, fill=""):
    """A kernel on three arrays of 64 bits each: reals x, results y, whole numbers k."""
    text = f"""
        {fill}
        @compiler.entry
        def run(x, y, k, n):
            x = reals(x)
            y = reals(y)
            k = integers(k)
    """
    body = textwrap.indent(textwrap.dedent(body).strip("\n"), " " * 4)
    return head + textwrap.dedent(helpers) + textwrap.dedent(text) + body + "\n"


def arrays(x, k, dtype=np.float64):
    x, k = np.array(x, dtype), np.array(k, np.int64)
    return x, np.zeros(64, dtype), k


def addresses(data):
    return [a.ctypes.data for a in data]


def results(source, x=(), k=(), dtype=np.float64, numba=True):
    """What the kernel writes, translated, as plain Python, and by Numba."""
    found = []
    for run, pass_ in [(build(source), addresses), (build_plain(source), list)] + (
        [(build_numba(source), addresses)] if numba else []
    ):
        data = arrays(x, k, dtype)
        with np.errstate(all="ignore"):
            run(*pass_(data), len(k))
        found.append((data[1], data[2]))
    return found


def check(source, x=(), k=(), dtype=np.float64, numba=True, rtol=0.0):
    """All ways give the same; returns what the translation gives."""
    first, *others = results(source, x, k, dtype, numba)
    for other in others:
        np.testing.assert_allclose(first[0], other[0], rtol=rtol)
        np.testing.assert_array_equal(first[1], other[1])
    return first


NUMBERS = [-(2**62), -7, -3, -2, -1, 0, 1, 2, 3, 5, 2**40]


def test_whole_numbers_divide_as_in_python():
    source = kernel("""
        for i in range(n // 2):
            a = k[i]
            b = k[n // 2 + i]
            k[i] = a // b * 1000 + a % b
            k[n // 2 + i] = min(a, b, 3) - max(a, b) + abs(b)
    """)
    pairs = [(a, b) for a in NUMBERS[1:-1] for b in NUMBERS[1:-1] if b]
    k = [a for a, _ in pairs] + [b for _, b in pairs]
    _, found = check(source, k=k)
    assert list(found[: len(pairs)]) == [a // b * 1000 + a % b for a, b in pairs]


def test_division_by_zero_and_the_least_number_do_not_trap():
    source = kernel("""
        k[0] = k[0] // k[1]
        k[2] = k[2] % k[1]
        k[3] = k[3] // k[4]
        k[5] = k[3] % k[4]
    """)
    data = arrays([], [5, 0, 5, -(2**63), -1, 9])
    build(source)(*addresses(data), 6)
    assert list(data[2]) == [0, 0, 0, 0, -1, 0]


def test_divisors_that_are_known():
    source = kernel("""
        for i in range(n):
            k[i] = k[i] // 3 * 100 + k[i] % 7
    """)
    check(source, k=NUMBERS)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_remainders_of_real_numbers(dtype):
    source = kernel(
        """
        y[0] = x[0] % x[1]
        y[1] = x[0] // x[1]
        """,
        head=SINGLE if dtype == "float32" else HEAD,
    )
    values = [-7.5, -1.0, -0.0, 0.0, 0.3, 1.0, 2.5, 7.5, np.inf, -np.inf, np.nan]
    run = build(source)
    with np.errstate(all="ignore"):
        for a in values:
            for b in values:
                data = arrays([a, b], [0], dtype)
                run(*addresses(data), 1)
                a_, b_ = data[0]
                expected = [np.mod(a_, b_), np.floor_divide(a_, b_)]
                np.testing.assert_array_equal(data[1][:2], expected, str((a, b)))
                assert list(np.signbit(data[1][:1])) == list(np.signbit(expected[:1])) or a != a


def test_loops():
    check(
        kernel("""
        total = 0
        for i in range(n - 1, -1, -1):
            total = total * 3 + k[i]
        for i in range(2, n, 3):
            if k[i] < 0:
                continue
            if k[i] == 5:
                break
            total += i
        spins = 0
        while spins < 5 and total != 77:
            spins += 1
            if spins == 4:
                break
        for i in range(n, 0):
            total = -1
        k[0] = total
        k[1] = spins
        k[2] = i
    """),
        k=NUMBERS,
    )


def test_conditions_are_lazy_where_that_matters():
    source = kernel("""
        k[0] = 1 if n > 100 and k[1000000000] == 0 else 2
        k[1] = 1 if n < 100 or k[1000000000] == 0 else 2
        k[2] = k[1000000000] if n > 100 else 7
        k[3] = int(not n > 3) + int(0 < n < 100) * 2 + int(0 < n < 2) * 4
    """)
    assert list(check(source, k=[0] * 4, numba=False)[1]) == [2, 1, 7, 2]


def test_variables_take_the_wider_kind_and_functions_several_kinds():
    helpers = """
        @compiler.helper
        def twice(x):
            return x + x

        @compiler.helper
        def split(a, b):
            return a // b, a % b

        @compiler.helper
        def sign(x):
            if x > 0:
                return 1
            elif x < 0:
                return -1
            return x
    """
    source = kernel(
        """
        total = 0
        for i in range(3):
            total = total + x[i]
        y[0] = total
        k[0] = twice(k[1])
        y[1] = twice(x[1])
        first, last = split(k[2], 4)
        first, last = last, first
        k[3] = first * 10 + last
        y[2] = sign(x[0])
        y[3] = sign(x[3])
        before = after = 2.5
        y[4] = before + after
        """,
        helpers,
    )
    y, k = check(source, x=[1.5, 2.5, -4.25, -3.0], k=[0, 21, 23, 0])
    assert list(y[:5]) == [-0.25, 5.0, 1.0, -1.0, 5.0] and list(k) == [42, 21, 23, 35]


def test_comparisons_with_nan():
    source = kernel("""
        for i in range(n):
            v = x[i]
            code = 0
            if v == v:
                code += 1
            if v != v:
                code += 2
            if v < 1:
                code += 4
            if not v >= 1:
                code += 8
            if v > -np.inf:
                code += 16
            k[i] = code
    """)
    values = [np.nan, -np.inf, 0.0, 1.0, np.inf]
    assert list(check(source, x=values, k=[0] * 5)[1]) == [10, 13, 29, 17, 17]


FUNCTIONS = [
    "np.exp(v)", "np.log(v)", "np.log1p(v)", "np.expm1(v)", "np.sin(v)", "np.cos(v)",
    "np.tan(v)", "np.sinh(v)", "np.cosh(v)", "np.tanh(v)", "np.arcsin(v)", "np.arccos(v)",
    "np.arctan(v)", "np.arctan2(v, w)", "np.arcsinh(v)", "np.arccosh(v + 1.0)",
    "np.arctanh(v)", "np.power(v, w)", "np.sqrt(v)", "np.floor(-v)", "np.ceil(v)",
    "math.erf(v)", "math.erfc(v)", "abs(-v)", "v ** w", "real(int(w))", "np.round(w)",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_functions_of_the_c_library(dtype):
    lines = [f"y[{i}] = real({f})" for i, f in enumerate(FUNCTIONS)]
    body = "\n".join(["v = x[0]", "w = x[1]", *lines]).replace("1.0", "real(1)")
    source = kernel(body, head=HEAD.replace("float64", dtype))
    rtol = 4e-16 if dtype == "float64" else 3e-7
    y, _ = check(source, x=[0.3, 2.7], k=[0], dtype=dtype, rtol=rtol)
    assert (np.isfinite(y).all() and y[: len(FUNCTIONS)].all()) or y[19] == -1.0


def test_special_functions_are_the_same_under_numba():
    """Routines of SciPy, results through pointers, tables, arrays and recurrences."""
    calls = ["gamma(v)", "besselj(w, v)", "airyai(v)", "zeta(w, v)", "polygamma(w, -v)",
             "lambertw(v, 0.0)", "jn(w, v)", "expint(w, v)", "uppergamma(w, v)"]  # fmt: skip
    lines = [f"y[{i}] = special.{c}" for i, c in enumerate(calls)]
    body = "\n".join(["v = x[0]", "w = x[1]", *lines])
    first, _, third = results(kernel(body), x=[0.3, 2.0], k=[0])
    np.testing.assert_allclose(first[0], third[0], rtol=1e-14)
    assert np.all(first[0][: len(calls)] != 0)
    assert first[0][0] == pytest.approx(math.gamma(0.3), rel=1e-14)


def test_shuffles_are_the_same():
    source = kernel("shuffle(k, n, naturals(y_address))").replace(
        "def run(x, y, k, n)", "def run(x, y_address, k, n)"
    ).replace("    y = reals(y)\n", "")  # fmt: skip
    order, state = np.zeros(40, np.int64), np.array([7], np.uint64)
    build(source)(0, state.ctypes.data, order.ctypes.data, 40)
    expected, expected_state = np.zeros(40, np.int64), np.array([7], np.uint64)
    with np.errstate(over="ignore"):
        control.shuffle(expected, 40, expected_state)
    assert list(order) == list(expected) and state == expected_state
    assert sorted(order) == list(range(40))


WRONG = {
    "np.hypot": "y[0] = np.hypot(x[0], x[1])",
    "nothing": "y[0] = nothing",
    "While": "async_ = [i for i in range(3)]",
    "value": "y[0] = real",
    "and, or": "y[0] = 1.0 if (k[0] and k[1]) else 2.0",
    "beside": "y[0] = 1.0 + np.uint64(3)",
    "loop over": "for i in sorted(k):\n    k[0] = 1",
    "element of": "z = 3\nk[0] = z[1]",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_in_the_language_is_refused(name):
    with pytest.raises(NotTranslatable):
        Module(kernel(WRONG[name]))


whole = st.recursive(
    st.sampled_from(["a", "b", "c", "7", "-2"]),
    lambda e: st.one_of(
        st.tuples(e, st.sampled_from(["+", "-", "*", "//", "%"]), e).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(e, st.sampled_from(["<", "<=", "==", "!="]), e, e, e).map(
            lambda t: f"({t[3]} if {t[0]} {t[1]} {t[2]} else {t[4]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), e, e).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        e.map(lambda t: f"abs({t})"),
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(expression=whole, values=st.tuples(*[st.integers(-9, 9)] * 3))
def test_random_expressions_of_whole_numbers(expression, values):
    """As Python's own arithmetic; a quotient by zero is 0, as Numba and NumPy have it."""
    body = f"a = k[0]\nb = k[1]\nc = k[2]\nk[3] = {expression}"
    data = arrays([], [*values, 0])
    build(kernel(body))(*addresses(data), 4)
    try:
        expected = eval(expression, {}, dict(zip("abc", values, strict=True)))
    except ZeroDivisionError:
        return
    if abs(expected) < 2**62:
        assert data[2][3] == expected


X, t = sd.tensor("X", "n", 5), sd.tensor("t", "n", dtype="int")
W, V = sd.tensor("W", 5, 7), sd.tensor("V", 7, 3)
MODELS = {
    "network": sd.losses.cross_entropy(sd.tanh(X @ W) @ V, t),
    "norms": sd.sum(sd.softplus(X @ W)) + sp.log(1 + sd.sum(V**2)) + sd.max(V * V),
    "special": sp.gamma(2 + sd.sum(V**2) / 9) + sd.sum(sd.erf(X @ W)),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("network", "float64"), ("network", "float32"), ("norms", "float32"), ("special", "float64")],
)
def test_kernels_are_modules_for_numba(name, dtype):
    """The text that a trainer shows compiles under Numba, to the same results."""
    loss = MODELS[name]
    rng = np.random.default_rng(3)
    parameters = [s for s in (W, V) if loss.has(s)]
    gradients = [sd.gradient(loss, s) for s in parameters]
    used = [s for s in (X, t, W, V) if loss.has(s)]
    values = {X: rng.normal(size=(40, 5)), t: rng.integers(0, 3, 40),
              W: rng.normal(size=(5, 7)), V: rng.normal(size=(7, 3))}  # fmt: skip
    function = codegen.compile([loss, *gradients], used, dtype=dtype)
    given = [values[s] for s in used]
    ours = function(*given)
    kernels = [k for k in vars(function).values() if isinstance(k, FunctionKernel)]
    (kernel_of_function,) = kernels or [function._kernel]
    vars(kernel_of_function)["_entry"] = build_numba(function.source)
    for a, b in zip(ours, function(*given), strict=True):
        tight = 1e-12 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(a, b, rtol=tight, atol=tight)


def test_training_needs_no_numba():
    text = """
        import sys
        import symdiff as sd, codegen, sympy as sp
        X, w = sd.tensor("X", "n", 2), sd.tensor("w", 2)
        loss = sd.sum((X @ w - 1) ** 2) + sp.loggamma(2 + sd.sum(w**2))
        trainer = codegen.Trainer(loss, {w: [0.1, 0.2]})
        trainer.fit({X: [[1.0, 2.0], [3.0, 4.0]]}, epochs=2)
        print("numba" in sys.modules)
    """
    root = str(Path(codegen.__file__).parents[1])
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)], capture_output=True, text=True, cwd=root
    )
    assert found.stdout.strip() == "False", found.stderr


def test_no_text_of_a_user_reaches_the_llvm_code():
    name = "secret_name"
    a = sp.Symbol(name)
    source = codegen.compile(a**2 + 1, [a]).source
    assert name in source and name not in Module(source).text


def test_entries_run_without_the_lock():
    """ctypes gives the interpreter's lock away while a kernel runs."""
    entry = build(kernel("k[0] = n"))
    assert isinstance(entry._function, ctypes._CFuncPtr)
    assert not entry._function._flags_ & ctypes._FUNCFLAG_PYTHONAPI
