"""Every printed gradient, read back by an independent reader, is the derivative of what is read.

The text alone is evaluated: forward lines give the loss, gradient lines are compared with finite
differences of the forward lines, and what a backward line says that it is, ``n ∂L/∂z``, is too.
"""

import re

import numpy as np
import pytest
import random_losses
from printed_losses import LOSSES, printed
from reading import Page, Unreadable, evaluate
from test_golden_derivations import FOLDER
from test_golden_derivations import MODELS as GOLDEN

import symdiff as sd
from symdiff.graph import leaves
from symdiff.printing.text import shown_name

STEP = 1e-3


def read(name):
    """The page of a loss and the values of its lines."""
    case = printed(name)
    text = str(sd.derive(case.loss, case.parameters, names={}))
    symbols = {shown_name(s.name): array for s, array in case.values.items()}
    page = Page(text, symbols, {"n": 5})
    return case, page, page.run(page.forward, page.symbols)


def differences(page, names, moved):
    """The derivative of the loss by a name: differences of the forward lines that are read."""
    start = names[moved].array
    result = np.zeros(start.shape)
    for entry in np.ndindex(start.shape):
        for offset, weight in ((-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)):
            changed = np.array(start)
            changed[entry] += offset * STEP
            result[entry] += weight * page.loss_at({moved: changed}, names) / STEP
    return result


@pytest.mark.parametrize("name", LOSSES)
def test_printed_gradients_are_derivatives(name):
    case, page, names = read(name)
    loss = sd.evaluate(case.loss, case.values)
    np.testing.assert_allclose(names[page.forward[-1].name].array, loss, rtol=1e-10)
    names = page.run(page.backward, names)
    found = page.run(page.gradients, names)
    own = sd.evaluate(sd.gradient(case.loss, case.parameters), case.values)
    symbol_of = {f"∂L/∂{shown_name(s.name)}": s for s in case.parameters}
    assert [line.name for line in page.gradients] == list(symbol_of)
    for line, exact in zip(page.gradients, own, strict=True):
        symbol = shown_name(symbol_of[line.name].name)
        value = found[line.name].array
        assert value.shape == np.shape(case.values[symbol_of[line.name]])
        np.testing.assert_allclose(value, exact, rtol=1e-9, atol=1e-10, err_msg=line.formula)
        numeric = differences(page, names, symbol)
        np.testing.assert_allclose(value, numeric, rtol=2e-6, atol=2e-7, err_msg=line.formula)


def reads(formula, name):
    """Whether a formula may read a name."""
    return re.search(rf"{re.escape(name)}(?![₀₁₂₃₄₅₆₇₈₉])", formula) is not None


@pytest.mark.parametrize("name", LOSSES)
def test_backward_lines_are_what_they_say(name):
    _, page, names = read(name)
    names = page.run(page.backward, names)
    for line in page.backward:
        if not line.meaning:
            continue
        start = line.meaning.index("∂L/∂")
        of = line.meaning[start + len("∂L/∂") :]
        if not any(reads(later.formula, of) for later in page.forward):
            continue  # part of what the page writes as one function
        factor = line.meaning[:start].strip().rstrip("·").strip()
        by_step = differences(page, names, of)
        scale = {"": "1", "−": "−1"}.get(factor, factor)
        expected = evaluate(scale, {}, page.sizes).array * by_step
        np.testing.assert_allclose(
            names[line.name].array, expected, rtol=2e-6, atol=2e-7, err_msg=line.meaning
        )


SIZES = {"n": 5, "d": 3, "k": 2}


@pytest.mark.parametrize("model", GOLDEN, ids=lambda model: model.__name__)
def test_golden_files_are_read_back(model):
    derivation = model()
    draw = np.random.default_rng(2)
    values = {}
    symbols = {n.attributes[0] for n in leaves([derivation.loss_node])}
    used = {str(d) for symbol in symbols for d in sd.shape(symbol)}
    for symbol in sorted(symbols, key=str):
        shape = [SIZES.get(str(d), d) for d in sd.shape(symbol)]
        whole = getattr(symbol, "dtype", "real") == "int"
        drawn = draw.integers(0, 2, shape) if whole else draw.uniform(0.2, 1.2, shape)
        values[symbol] = drawn if shape else float(drawn)
    sizes = {name: size for name, size in SIZES.items() if name in used}
    text = (FOLDER / f"{model.__name__}.txt").read_text(encoding="utf-8")
    page = Page(text, {shown_name(s.name): array for s, array in values.items()}, sizes)
    found = page.run([*page.forward, *page.backward, *page.gradients], page.symbols)
    loss, *own = sd.evaluate(
        [derivation.loss, *sd.gradient(derivation.loss, derivation.parameters)], values
    )
    np.testing.assert_allclose(found[page.forward[-1].name].array, loss, rtol=1e-10)
    for line, exact in zip(page.gradients, own, strict=True):
        np.testing.assert_allclose(found[line.name].array, exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_random_losses_are_read_back(seed):
    loss, symbols = random_losses.random_loss(seed)
    text = str(sd.derive(loss, symbols, names={}))
    values = random_losses.VALUES
    page = Page(text, {str(s): values[s] for s in symbols}, {"n": random_losses.ROWS})
    found = page.run([*page.forward, *page.backward, *page.gradients], page.symbols)
    own = sd.evaluate([loss, *sd.gradient(loss, symbols)], values)
    np.testing.assert_allclose(found[page.forward[-1].name].array, own[0], rtol=1e-9)
    for line, exact in zip(page.gradients, own[1:], strict=True):
        scale = max(1.0, float(np.abs(exact).max()))
        np.testing.assert_allclose(
            found[line.name].array, exact, rtol=1e-8, atol=1e-10 * scale, err_msg=text
        )


# --- the reader itself -------------------------------------------------------------------

A = np.array([[1.0, 2.0], [3.0, 5.0]])
X = np.array([[1.0, -2.0], [0.5, 3.0], [2.0, 1.0]])
x, y = np.array([1.0, -2.0]), np.array([0.5, 4.0])
NAMES = {"A": A, "X": X, "x": x, "y": y, "a": 3.0, "b": 0.5, "w₁": x, "δᵤ₁": y, "step": y}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(A + Aᵀ)x", (A + A.T) @ x),
        ("2Xᵀ(Xx − 1)", 2 * X.T @ (X @ x - 1)),
        ("A⁻ᵀ", np.linalg.inv(A).T),
        ("−A⁻ᵀxyᵀA⁻ᵀ", -np.linalg.inv(A).T @ np.outer(x, y) @ np.linalg.inv(A).T),
        ("xᵀAx", x @ A @ x),
        ("xyᵀ ⊙ A", np.outer(x, y) * A),
        ("x² ⊙ y", x**2 * y),
        ("ab^2", 3 * 0.25),
        ("b⁻²", 4.0),
        ("a^(b + 1)", 3**1.5),
        ("1/2 · ‖x‖² + a", x @ x / 2 + 3),
        ("a Σ x ⊙ y − b", 3 * x @ y - 0.5),
        ("2/3 · Σᵢ A", 2 / 3 * A.sum(0)),
        ("(Σⱼ A) ⊙ A", A.sum(1, keepdims=True) * A),
        ("diag(x) A", np.diag(x) @ A),
        ("log|det(A)|", np.log(abs(np.linalg.det(A)))),
        ("[x > 0] ⊙ y", (x > 0) * y),
        ("x[x > 0]", None),
        ("y[::-1] + x[0]", y[::-1] + x[0]),
        ("x[:, None] ⊙ A", x[:, None] * A),
        ("[x, y]", np.concatenate([x, y])),
        ("max(x, y) + maxⱼ(A)", np.maximum(x, y) + A.max(1)),
        ("σ(a) log(a)", np.log(3) / (1 + np.exp(-3))),
        ("Aᵀ step + δᵤ₁", A.T @ y + y),
        ("√3 · (x + y)", np.sqrt(3) * (x + y)),
        ("(A − 4𝐈)x", (A - 4 * np.eye(2)) @ x),
        ("Xᵀ𝟏", X.sum(0)),
        ("xy", None),
        ("Ax x", None),
        ("AX", None),
        ("x + q", None),
        ("(x", None),
    ],
)
def test_the_reader(text, expected):
    if expected is None:
        with pytest.raises(Unreadable):
            evaluate(text, NAMES, {})
    else:
        np.testing.assert_allclose(evaluate(text, NAMES, {}).array, expected, rtol=1e-12)


def test_a_wrong_gradient_is_noticed():
    case = printed("logistic regression")
    text = str(sd.derive(case.loss, case.parameters, names={}))
    symbols = {shown_name(s.name): array for s, array in case.values.items()}
    page = Page(text.replace("Xᵀδ", "Xᵀh"), symbols, {"n": 5})
    names = page.run([*page.forward, *page.backward], page.symbols)
    wrong = page.run(page.gradients, names)["∂L/∂w"].array
    assert not np.allclose(wrong, differences(page, names, "w"), rtol=1e-3)
