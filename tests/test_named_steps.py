"""Steps under the names that a user gave: sd.name, and the variables of the caller."""

import pickle

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.bridge import to_graph

X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
W1, b1 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3)
W2, b2 = sd.tensor("W2", 3, 1), sd.tensor("b2", 1)
a, x = sp.symbols("a x")


def steps(derivation):
    return {s.symbol.name: s for s in derivation.steps}


def network(name=lambda title, expression: expression):
    hidden = name("H", sd.sigmoid(X @ W1 + b1))
    return sd.losses.binary_cross_entropy(name("logits", hidden @ W2 + b2), y)


def test_steps_have_the_names_of_the_callers_variables():
    H = sd.sigmoid(X @ W1 + b1)
    logits = H @ W2 + b2
    derivation = sd.derive(sd.losses.binary_cross_entropy(logits, y), [W1, W2])
    assert list(steps(derivation))[:4] == ["z1", "H", "logits", "L"]
    assert "H = σ(z₁)" in str(derivation)


def test_sd_name_names_where_no_variable_does():
    derivation = sd.derive(network(sd.name), [W1, W2])
    assert list(steps(derivation)) == ["z1", "H", "logits", "L", "delta2", "delta1"]
    assert steps(derivation)["delta2"].of.symbol.name == "logits"


def test_names_can_be_given_to_derive_and_switched_off():
    hidden = sd.sigmoid(X @ W1 + b1)
    loss = sd.losses.binary_cross_entropy(hidden @ W2 + b2, y)
    assert "Hid = " in str(sd.derive(loss, W1, names={"Hid": hidden}))
    assert "hidden" not in str(sd.derive(loss, W1, names={}))


def test_a_name_changes_neither_the_graph_nor_the_gradient():
    plain, named = network(), network(sd.name)
    assert to_graph(named) is to_graph(plain)
    assert sd.gradient(named, W1) == sd.gradient(plain, W1)


def test_a_named_scalar_stays_a_sympy_expression():
    z = sd.name("z", a * x + 1)
    assert isinstance(z, sp.Expr) and z.func(*z.args) == z
    assert sp.diff(sp.exp(2 * z), a) == 2 * x * sp.exp(2 * z)
    assert str(2 * z) == "2*(a*x + 1)" and z.free_symbols == {a, x}
    assert z.subs(a, 3) == sd.name("z", 3 * x + 1)
    value = sd.evaluate(z**2, {a: 2.0, x: np.array([1.0, 2.0])})
    np.testing.assert_array_equal(value, [9.0, 25.0])


def test_a_named_tensor_has_the_operators_of_tensors():
    H = sd.name("H", X @ W1)
    assert H.shape == to_graph(X @ W1).shape and (H.T @ H).shape == (3, 3)
    assert str(H + b1) == "X @ W1 + b1"


def test_a_symbol_keeps_its_own_name():
    assert sd.name("V", W1) is W1


def test_equal_names_are_numbered_and_none_hides_a_symbol():
    h = X
    for k in range(2):
        h = sd.name("h", sd.tanh(h @ sd.tensor(f"V{k}", 2, 2)))
    derivation = sd.derive(sd.sum(sd.name("X", h @ W1)), sd.tensor("V0", 2, 2), names={})
    assert [n for n in steps(derivation) if n[0] in "hX"] == ["h1", "h2", "X1"]


def test_a_variable_called_like_a_symbol_gives_no_name():
    W1 = sd.tanh(X @ sd.tensor("W1", 2, 3))  # noqa: F841
    derivation = sd.derive(sd.sum((X @ sd.tensor("W1", 2, 3) - y) ** 2), sd.tensor("W1", 2, 3))
    assert "W1" not in steps(derivation)


def test_a_named_part_is_a_step_however_small():
    derivation = sd.derive(sd.sum(sd.name("T", X.T) @ y), X, names={})
    assert "T" in steps(derivation)


def test_the_loss_can_be_named():
    assert "∂J/∂a" in str(sd.derive(sd.name("J", (a * x - 1) ** 2), a))


def test_a_name_that_a_stability_rule_removes_is_not_shown():
    p = sd.name("p", sd.sigmoid(X @ W1 @ W2))
    derivation = sd.derive(-sd.sum(sp.log(p)), W1, names={})
    assert "p" not in steps(derivation)


def test_names_are_kept_by_pickling_and_by_further_derivations():
    hidden = sd.sigmoid(X @ W1 + b1)
    derivation = sd.derive(sd.mean((hidden @ W2 - y) ** 2), [W1, W2])
    assert "hidden = " in str(derivation.in_cheapest_order("n"))
    assert str(pickle.loads(pickle.dumps(derivation))) == str(derivation)
    assert pickle.loads(pickle.dumps(sd.name("h", hidden))) == sd.name("h", hidden)


@pytest.mark.parametrize("title", [3, None, "", "  "])
def test_what_is_not_a_name_is_refused(title):
    with pytest.raises(sd.SymdiffError, match="name"):
        sd.name(title, X @ W1)


def test_any_text_may_be_a_name():
    title = 'a"; <script>\n$^{'
    text = sd.derive(sd.sum(sd.name(title, sd.tanh(X)) @ W1), W1, names={})
    assert "\n$" not in str(text) and "<script>" in str(text)
    assert r"\{" in text.latex()


def test_a_named_scalar_is_a_number_and_a_function_where_it_can_be():
    part = sd.name("part", a**2 + 1)
    assert sp.lambdify(a, 2 * part, "math")(3.0) == 20.0
    np.testing.assert_array_equal(sp.lambdify(a, 2 * part)(np.array([0.0, 3.0])), [2.0, 20.0])
    assert float(part.subs(a, 2)) == 5.0
    assert sd.name("part", a).subs(a, 2) == 2
    assert part.xreplace({a: sp.Integer(1)}) == 2


def test_a_derivation_keeps_the_names_that_it_uses():
    hidden = sd.sigmoid(X @ W1 + b1)
    elsewhere = sd.sum(W2) + a  # noqa: F841
    derivation = sd.derive(sd.mean((hidden @ W2 - y) ** 2), [W1, W2])
    assert "hidden" in derivation.names and "elsewhere" not in derivation.names


def test_matrix_expressions_are_named_where_they_stay_what_they_are():
    G, v = sp.MatrixSymbol("G", 3, 3), sp.MatrixSymbol("v", 3, 1)
    product = G * v
    with pytest.raises(sd.InvalidType, match="names="):
        sd.name("P", product)
    loss = sd.sum(sd.tanh(product) ** 2)
    assert "P = Gv" in str(sd.derive(loss, G, names={"P": product}))
    assert "product = Gv" in str(sd.derive(loss, G))


def test_a_variable_that_cannot_be_read_does_not_matter(monkeypatch):
    hidden = sd.sigmoid(X @ W1 + b1)
    broken = sd.tanh(hidden @ W2) * y
    original = sd.gradient.__globals__["stabilise"]

    def refusing(roots, applied=None, context=()):
        if to_graph(broken) in roots:
            raise sd.ShapeError("two shapes of one symbol")
        return original(roots, applied, context)

    monkeypatch.setitem(sd.gradient.__globals__, "stabilise", refusing)
    assert "hidden" in steps(sd.derive(sd.mean((hidden @ W2 - y) ** 2), [W1, W2]))
