"""MathML: well-formed for every operation, nothing outside its tokens, any text as text."""

import re
from xml.etree import ElementTree

import pytest
import sympy as sp
from test_operations import DOMAINS
from test_printing import PYTHON, TEXTS
from test_structural import CASES

import symdiff as sd
from symdiff.bridge import to_graph, to_sympy
from symdiff.graph import apply, walk
from symdiff.printing.latex import LATEX
from symdiff.printing.layouts import LAYOUTS
from symdiff.printing.mathml import MATHML, NAMESPACE, name_mathml, node_mathml
from symdiff.printing.text import TEXT, node_text

TOKENS = {"mi", "mn", "mo", "mtext"}
GROUPS = {"math": None, "mrow": None, "mtable": None, "mtr": None, "mtd": None, "msqrt": None}
CHILDREN = GROUPS | {
    "mfrac": 2, "msup": 2, "msub": 2, "msubsup": 3, "munder": 2, "mover": 2, "mspace": 0,
}  # fmt: skip
"""The elements that we write, and how many children each has; None for any number."""

PAIRS = {"(": ")", "[": "]", "|": "|", "‖": "‖"}


def checked(mathml):
    """The tree of a formula, after a look at each of its elements."""
    tree = ElementTree.fromstring(mathml)
    for element in tree.iter():
        name = element.tag.removeprefix(f"{{{NAMESPACE}}}")
        assert not (element.tail or "").strip(), f"text outside a token: {element.tail!r}"
        if name in TOKENS:
            assert len(element) == 0 and element.text, f"an empty {name}, or one with elements"
            continue
        assert not (element.text or "").strip(), f"text outside a token: {element.text!r}"
        assert CHILDREN[name] in (None, len(element)), f"{name} of {len(element)}"
        fences = [e.text for e in element if e.get("stretchy") and name != "mover"]
        assert not fences or (len(fences) == 2 and PAIRS[fences[0]] == fences[1])
    return tree


def shown(tree):
    """What a reader sees, without gaps and invisible signs."""
    text = "".join(tree.itertext())
    return re.sub(r"[\s\u2061\u2062\xa0]", "", text)


def structural():
    for name, cases in CASES.items():
        for function, _, shapes in cases:
            symbols = [sd.tensor(f"x{i}", *shape) for i, shape in enumerate(shapes)]
            expression = function(*symbols)
            for part in expression if isinstance(expression, tuple) else [expression]:
                yield name, to_graph(part)


def elementwise():
    for name, domains in DOMAINS.items():
        for shape in [(), (2, 3)]:
            operands = [to_graph(sd.tensor(f"x{i}", *shape)) for i in range(len(domains))]
            yield name, apply(name, *operands)


NODES = [*structural(), *elementwise()]
NODES += [(text, to_graph(sp.sympify(e))) for e, text in [*PYTHON, *TEXTS]]


def test_every_formula_is_well_formed():
    for name, node in NODES:
        try:
            checked(node_mathml(node))
        except (AssertionError, ElementTree.ParseError) as error:
            raise AssertionError(f"{name}: {node_text(node)}: {error}") from error


def test_every_layout_is_well_formed_in_a_derivation():
    met = {n.operation for _, node in NODES for n in walk([node])}
    for name, node in structural():
        symbols = [n.attributes[0] for n in walk([node]) if n.operation == "symbol"]
        if node.dtype != "real" or not symbols:
            continue
        derivation = sd.derive(sd.sum(to_sympy([node])[0]), symbols)
        met |= {n.operation for n in walk(derivation.gradient_nodes.values())}
        try:
            checked(derivation.mathml())
        except (AssertionError, ElementTree.ParseError) as error:
            raise AssertionError(f"{name}: {derivation}: {error}") from error
    assert set(LAYOUTS) - met == set()


@pytest.mark.parametrize("style", [TEXT, LATEX, MATHML], ids=["text", "latex", "mathml"])
def test_all_notations_spell_the_same_relations(style):
    assert set(style.relations) == set(TEXT.relations)


X, w, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("y", "n")
A = sd.tensor("A", 3, 3)
a, b, x = sp.symbols("a b x")


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        (2 * (X.T @ (X @ w - y)), "2X⊤(Xw−y)"),
        (X @ w - y, "Xw−y"),
        (-(X @ w), "−Xw"),
        (sd.sum(w**2), "‖w‖2"),
        (sd.inv(A).T, "A−⊤"),
        (A * A.T, "A⊙A⊤"),
        (sd.sum(X, axis=0), "∑iX"),
        (sp.sqrt(a + 1), "a+1"),
        (1.5e-7 * a, "1.5⋅10−7a"),
        (sd.where(w > 0, w, 1), "where([w>0],w,1)"),
        (X[1:, None], "X[1:,None]"),
        (sd.ones(3) @ w, "𝟏⊤w"),
    ],
    ids=str,
)
def test_what_a_reader_sees(expression, parts):
    assert shown(checked(node_mathml(to_graph(expression)))) == parts


def test_numbers_side_by_side_do_not_run_together():
    node = to_graph(sp.Mul(2, sp.Pow(3, a), evaluate=False))
    assert shown(checked(node_mathml(node))) == "2⋅3a"


def test_a_fraction_has_a_row_above_and_one_below():
    tree = checked(node_mathml(to_graph((a + b) / (x + 1))))
    (fraction,) = tree.iter(f"{{{NAMESPACE}}}mfrac")
    assert [shown(part) for part in fraction] == ["a+b", "x+1"]


def test_brackets_grow_around_fractions_only():
    for expression, grown in ((sp.exp((a + 1) / (b + 2)), "true"), (sp.exp(a + 1), "false")):
        fences = checked(node_mathml(to_graph(expression))).iter(f"{{{NAMESPACE}}}mo")
        assert {e.get("stretchy") for e in fences if e.text in PAIRS} == {grown}


def test_an_exponent_stands_above_the_index():
    W = sd.tensor("W1", 3, 3)
    for expression in (W.T, sd.inv(W), sd.sum(W**2), sp.Symbol("x_1") ** 2):
        tree = checked(node_mathml(to_graph(expression)))
        assert len(list(tree.iter(f"{{{NAMESPACE}}}msubsup"))) == 1
        assert not list(tree.iter(f"{{{NAMESPACE}}}msup"))


def test_a_sign_in_front_is_the_first_of_its_row():
    """Browsers set a minus sign that follows nothing close to what it belongs to."""
    tree = checked(node_mathml(to_graph(X @ (-w))))
    rows = [e for e in tree.iter(f"{{{NAMESPACE}}}mrow") if len(e) and e[0].text == "−"]
    assert [shown(row) for row in rows] == ["−w"]


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("x", "x"),
        ("W1", "W1"),
        ("lambda", "λ"),
        ("x_train", "xtrain"),
        ("theta_hat", "θhat"),
        ("logits", "logits"),
        ("Sigma", "Σ"),
        ("_", "_"),
        ("1", "1"),
        ("é", "é"),
        ("x_", "x_"),
        ("__init__", "__init__"),
    ],
)
def test_names(name, seen):
    assert shown(ElementTree.fromstring(name_mathml(name))) == seen


HOSTILE = [
    "<script>alert(1)</script>", '"]; x [', "&amp;", "]]>", "<!--", "a\nb", "\x00", "a'b", "<mi>",
    "</math><img src=x onerror=alert(1)>", "∑", " ",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text(name):
    scalar = sp.Symbol(name)
    vector = sd.tensor(name, 3)
    for node in (to_graph(sp.exp(scalar)), to_graph(vector + 1), to_graph(sd.sum(vector**2))):
        seen = "".join(checked(node_mathml(node)).itertext())
        expected = "".join(c if c.isprintable() else "?" for c in name).strip()
        assert expected in seen
    checked(sd.derive(sd.sum(sd.tanh(vector) ** 2), vector).mathml())


def test_hostile_sizes_are_text():
    vector = sd.tensor("x", "<b>n</b>")
    derivation = sd.derive(sd.sum(vector**2), vector)
    assert "<b>n</b>" in "".join(checked(derivation.mathml()).itertext())


def test_a_derivation_is_one_table():
    loss = sd.mean((X @ w - y) ** 2)
    derivation = sd.derive(loss, w)
    tree = checked(derivation.mathml())
    rows = list(tree.iter(f"{{{NAMESPACE}}}mtr"))
    assert len(rows) == len(derivation.steps) + 1
    name, definition, space = (shown(cell) for cell in rows[-1])
    assert (name, definition, space) == ("∂L∂w", "=2nX⊤r", "∈ℝ3")


def test_a_long_derivation_is_written_once():
    """Linear in the size of the model: a deep network does not repeat its layers."""
    h = X
    for i in range(40):
        h = sd.tanh(h @ sd.tensor(f"W{i}", 3, 3))
    derivation = sd.derive(sd.sum(h**2), sd.tensor("W0", 3, 3))
    assert len(checked(derivation.mathml()).findall(f".//{{{NAMESPACE}}}mtr")) < 200
    assert len(derivation.mathml()) < 200_000
