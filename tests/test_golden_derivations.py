"""What a derivation prints, word for word: golden text files, as they would stand on a slide.

``pytest tests/test_golden_derivations.py --update-golden`` writes them anew; the difference is then
to be read by a person.
"""

from pathlib import Path

import pytest
import sympy as sp

import symdiff as sd

FOLDER = Path(__file__).parent / "golden" / "derivations"


def linear_regression():
    X, w, b, y = sd.tensor("X", "n", "d"), sd.tensor("w", "d"), sp.Symbol("b"), sd.tensor("y", "n")
    return sd.derive(sd.losses.mse(X @ w + b, y), [w, b])


def logistic_regression():
    X, w, b, y = sd.tensor("X", "n", "d"), sd.tensor("w", "d"), sp.Symbol("b"), sd.tensor("y", "n")
    return sd.derive(sd.losses.binary_cross_entropy(X @ w + b, y), [w, b])


def ridge_regression():
    X, w, y = sd.tensor("X", "n", "d"), sd.tensor("w", "d"), sd.tensor("y", "n")
    return sd.derive(sd.sum((X @ w - y) ** 2) + sp.Symbol("lambda") * sd.sum(w**2), w)


def softmax_regression():
    X, W, b = sd.tensor("X", "n", "d"), sd.tensor("W", "d", "k"), sd.tensor("b", "k")
    Z = X @ W + b
    t = sd.tensor("t", "n", dtype="int")
    return sd.derive(sd.losses.cross_entropy(Z, t), [W, b])


def network_2_3_1():
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    W1, b1 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3)
    W2, b2 = sd.tensor("W2", 3, 1), sd.tensor("b2", 1)
    H = sd.sigmoid(X @ W1 + b1)
    P = sd.sigmoid(H @ W2 + b2)
    return sd.derive(sd.mean((P - y) ** 2), [W1, b1, W2, b2])


def network_with_softmax():
    X, t = sd.tensor("X", "n", 64), sd.tensor("t", "n", dtype="int")
    W1, b1 = sd.tensor("W1", 64, 32), sd.tensor("b1", 32)
    W2, b2 = sd.tensor("W2", 32, 16), sd.tensor("b2", 16)
    W3, b3 = sd.tensor("W3", 16, 10), sd.tensor("b3", 10)
    H1 = sd.relu(X @ W1 + b1)
    H2 = sd.relu(H1 @ W2 + b2)
    logits = H2 @ W3 + b3
    return sd.derive(sd.losses.cross_entropy(logits, t), [W1, b1, W2, b2, W3, b3])


def gaussian_likelihood():
    x, mu, sigma = sd.tensor("x", "n"), *sp.symbols("mu sigma")
    return sd.derive(sd.sum((x - mu) ** 2 / (2 * sigma**2) + sp.log(sigma)), [mu, sigma])


def gaussian_likelihood_in_many_dimensions():
    x, mu, Sigma = sd.tensor("x", "d"), sd.tensor("mu", "d"), sd.tensor("Sigma", "d", "d")
    r = x - mu
    return sd.derive((sd.logdet(Sigma) + r @ sd.inv(Sigma) @ r) / 2, [mu, Sigma])


def convolution():
    x, t = sd.tensor("x", "n", 1, 28, 28), sd.tensor("t", "n", dtype="int")
    K, b = sd.tensor("K", 8, 1, 3, 3), sd.tensor("b", 8)
    V, c = sd.tensor("V", 8, 10), sd.tensor("c", 10)
    F = sd.relu(sd.conv2d(x, K) + b[:, None, None])
    a = sd.mean(F, axis=(2, 3))
    logits = a @ V + c
    return sd.derive(sd.losses.cross_entropy(logits, t), [K, b, V, c])


def lstm_step():
    x, h, c = sd.tensor("x", "n", "d"), sd.tensor("h", "n", "k"), sd.tensor("c", "n", "k")
    y = sd.tensor("y", "n", "k")
    W = {g: sd.tensor(f"W_{g}", "d", "k") for g in "ifog"}
    U = {g: sd.tensor(f"U_{g}", "k", "k") for g in "ifog"}
    b = {g: sd.tensor(f"b_{g}", "k") for g in "ifog"}
    z = {g: sd.name(f"z_{g}", x @ W[g] + h @ U[g] + b[g]) for g in "ifog"}
    i, f, o = (sd.name(g, sd.sigmoid(z[g])) for g in "ifo")
    g = sd.name("g", sd.tanh(z["g"]))
    c_new = sd.name("c_new", f * c + i * g)
    h_new = sd.name("h_new", o * sd.tanh(c_new))
    return sd.derive(sd.sum((h_new - y) ** 2) / 2, [*W.values(), *U.values(), *b.values()])


MODELS = [
    linear_regression,
    logistic_regression,
    ridge_regression,
    softmax_regression,
    network_2_3_1,
    network_with_softmax,
    gaussian_likelihood,
    gaussian_likelihood_in_many_dimensions,
    convolution,
    lstm_step,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_golden_derivations(model, request):
    text = f"{model()}\n"
    path = FOLDER / f"{model.__name__}.txt"
    if request.config.getoption("--update-golden"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_the_readme_shows_what_is_printed_and_drawn():
    root = Path(__file__).parent.parent
    derivation = network_2_3_1()
    assert f"```text\n{derivation}\n```" in (root / "README.md").read_text(encoding="utf-8")
    picture = (root / "docs" / "gradient_graph.svg").read_text(encoding="utf-8")
    assert picture.strip() == derivation.graph().svg().strip()


def test_every_golden_file_has_its_model():
    assert {p.stem for p in FOLDER.iterdir()} == {model.__name__ for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_golden_derivations_are_narrow(model):
    assert max(map(len, str(model()).splitlines())) <= 100
