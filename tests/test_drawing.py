"""The graph of a derivation: what is drawn, and that nothing lies on anything else."""

import time
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
import sympy as sp
from drawings import check_dot, check_places, derivation, drawings, each_model, mlp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiff as sd
from symdiff.drawing import Drawing, DrawnNode
from symdiff.drawing.layout import lay_out
from symdiff.printing.text import shown_name

# --- what is drawn -----------------------------------------------------------------------


def reads(drawing, node):
    return sorted(drawing.nodes[i].name for i in node.inputs)


@each_model
def test_boxes_are_the_steps_and_read_what_their_formulas_hold(name):
    d = derivation(name)
    drawing = d.graph(collapse=False)
    texts = [name.text for name in d.naming.all.values()]
    shown = {step.symbol: text for step, text in zip(d.steps, texts, strict=True)}
    leaves = {n.name for n in drawing.nodes if n.phase == "leaf"}

    def expected(expression):
        """What a formula holds, by the symbols of its SymPy form; a size is no box."""
        names = {shown.get(s, shown_name(s.name)) for s in sp.sympify(expression).free_symbols}
        return {n for n in names if n in leaves or n in shown.values()}

    steps = [n for n in drawing.nodes if n.role in ("forward", "backward")]
    assert [n.name for n in steps] == list(shown.values())
    for node, step in zip(steps, d.steps, strict=True):
        symbols = {r for r in reads(drawing, node) if not r.startswith("[")}
        assert symbols == expected(step.expression)
        assert node.role == step.phase
        of = drawing.nodes[node.adjoint_of].name if node.adjoint_of is not None else None
        assert of == (shown[step.of.symbol] if step.of is not None else None)
    results = [n for n in drawing.nodes if n.role == "gradient"]
    assert [drawing.nodes[n.adjoint_of].role for n in results] == ["parameter"] * len(results)
    for node, parameter in zip(results, d.parameters, strict=True):
        assert drawing.nodes[node.adjoint_of].name == shown_name(parameter.name)
        symbols = {r for r in reads(drawing, node) if not r.startswith("[")}
        assert symbols == expected(d.gradients[parameter])


@each_model
def test_every_operation_is_a_box_at_that_level(name):
    d = derivation(name)
    drawing = d.graph("operations", collapse=False)
    counted = d.operations()
    roles = [n.role for n in drawing.nodes]
    assert roles.count("forward") == sum(counted["forward"].values())
    assert roles.count("backward") == sum(counted["backward"].values())
    assert roles.count("parameter") == roles.count("gradient") == len(d.parameters)


@each_model
def test_keys_count_from_zero_and_inputs_come_first(name):
    for drawing in drawings(name)[:2]:
        assert [n.key for n in drawing.nodes] == list(range(len(drawing.nodes)))
        for node in drawing.nodes:
            assert all(i < node.key for i in node.inputs)
            assert len(set(node.inputs)) == len(node.inputs)


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("2-3-1 network", [["X", "W₁", "b₁"], ["W₂", "b₂"], ["y"]]),
        ("softmax network", [["X", "W₁", "b₁"], ["W₂", "b₂"], ["W₃", "b₃"], ["t"]]),
        ("scalars", [["x", "a₁", "a₂"], ["a₃", "a₄"], ["y"]]),
    ],
)
def test_a_layer_opens_where_parameters_enter(name, layers):
    drawing = derivation(name).graph()
    assert list(drawing.layers) == [f"layer {i + 1}" for i in range(len(layers) - 1)] + ["loss"]
    for layer, leaves in zip(drawing.layers, layers, strict=True):
        there = [n.name for n in drawing.nodes if n.layer == layer and n.phase == "leaf"]
        assert sorted(there) == sorted(leaves)
    for node in drawing.nodes:
        if node.adjoint_of is not None:
            assert node.layer == drawing.nodes[node.adjoint_of].layer


def test_gates_in_parallel_are_one_layer_and_a_single_layer_is_none():
    assert derivation("LSTM step").graph().layers == ()
    assert derivation("logistic").graph().layers == ()


@each_model
def test_a_collapsed_drawing_has_the_arrows_of_the_whole(name):
    for whole in drawings(name)[:2]:
        for expand in ((), 2):
            if not whole.layers:
                continue
            drawing = whole.collapse(expand)

            def box(node, hidden=drawing.collapsed):
                if node.layer in hidden and node.role != "data":
                    return node.layer + (", backward" if node.phase == "backward" else "")
                return node.name, node.formula, node.role, node.layer

            def drawn(node):
                if node.is_layer:
                    return node.name
                return node.name, node.formula, node.role, node.layer

            boxes = {box(n) for n in whole.nodes}
            assert {drawn(n) for n in drawing.nodes} == boxes
            arrows = {(box(whole.nodes[a]), box(whole.nodes[b])) for a, b in whole.edges}
            there = [(drawn(drawing.nodes[a]), drawn(drawing.nodes[b])) for a, b in drawing.edges]
            assert set(there) == {(a, b) for a, b in arrows if a != b}


def test_large_models_are_collapsed_unless_told_otherwise():
    d = derivation("20 layers")
    assert d.graph().collapsed == {f"layer {i}" for i in range(1, 21)}
    assert len(d.graph().nodes) < 50 < len(d.graph(collapse=False).nodes)
    assert d.graph(expand=[3, "layer 4"]).collapsed == d.graph().collapsed - {"layer 3", "layer 4"}
    small = derivation("2-3-1 network")
    assert not small.graph().collapsed
    assert small.graph(collapse=True).collapsed == {"layer 1", "layer 2"}
    assert derivation("logistic").graph(collapse=True).collapsed == frozenset()


def test_the_way_back_stands_beside_the_way_there():
    drawing = derivation("20 layers").graph(expand=7)
    place = {box.key: box for box in lay_out(drawing).boxes}
    rows = []
    for step, adjoint in drawing.links:
        assert place[step].x < place[adjoint].x
        assert abs(place[step].y - place[adjoint].y) < 30
        rows.append(place[step].y)
    assert len(rows) >= 20
    for source, target in drawing.edges:
        phases = drawing.nodes[source].phase, drawing.nodes[target].phase
        if phases == ("forward", "forward"):
            assert place[source].y < place[target].y
        if phases == ("backward", "backward") and drawing.nodes[target].role == "backward":
            assert place[source].y > place[target].y


def test_second_derivatives_are_results_too():
    X, y, w = sd.tensor("X", "n", 3), sd.tensor("y", "n"), sd.tensor("w", 3)
    d = sd.derive(sd.sum((X @ w - y) ** 2), w).with_hessian()
    for level in ("steps", "operations"):
        names = [n.name for n in d.graph(level).nodes if n.role == "gradient"]
        assert names == ["∂L/∂w", "∂²L/∂w∂w"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"level": "nodes"}, "nodes"),
        ({"expand": "layer 9"}, "layer 9.*layer 1, layer 2, loss"),
        ({"expand": [1, 7]}, "layer 7"),
        ({"collapse": "yes"}, "yes"),
    ],
)
def test_what_is_not_there_is_refused_by_name(arguments, message):
    with pytest.raises(sd.SymdiffError, match=message):
        derivation("2-3-1 network").graph(**arguments)
    with pytest.raises(ValueError):
        derivation("2-3-1 network").graph(**arguments)


# --- where it lies -----------------------------------------------------------------------


@each_model
def test_nothing_lies_on_anything_else(name):
    for drawing in drawings(name):
        check_places(drawing)


ROLES = ["data", "parameter", "forward", "forward", "forward"]


@st.composite
def random_drawings(draw):
    """Any graph of boxes, more tangled than those of derivations."""
    nodes = []
    size = draw(st.integers(1, 25))
    text = st.text(min_size=1, max_size=30)
    ahead = draw(st.integers(0, size))
    for key in range(size):
        back = key >= ahead
        role = draw(st.sampled_from(["backward", "backward", "gradient"] if back else ROLES))
        inputs = ()
        if role not in ("data", "parameter") and key:
            inputs = tuple(sorted(draw(st.sets(st.integers(0, key - 1), max_size=4))))
        steps = [n.key for n in nodes if n.role == "forward"]
        taken = {n.adjoint_of for n in nodes}
        of = draw(st.sampled_from([None, *steps])) if role == "backward" else None
        formula = draw(st.just("") | text)
        shape = draw(st.sampled_from(["", "()", "(n, 3)"]))
        of = of if of not in taken else None
        nodes.append(DrawnNode(key, draw(text), formula, shape, role, inputs, of))
    return Drawing(tuple(nodes))


@settings(max_examples=60, deadline=None)
@given(random_drawings())
def test_any_graph_is_placed_without_overlap(drawing):
    check_places(drawing)
    ElementTree.fromstring(drawing.svg())
    check_dot(drawing)


x = sd.tensor("x", 3)
w = sd.tensor("w", 3)
M = sd.tensor("M", 3, 3)
vectors = st.recursive(
    st.sampled_from([x, w, M @ w]),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a: M @ a, inner),
        st.builds(sd.tanh, inner),
        st.builds(lambda a: a - sd.mean(a), inner),
    ),
    max_leaves=10,
)


@settings(max_examples=25, deadline=None)
@given(vectors)
def test_random_derivations_are_placed_without_overlap(expression):
    d = sd.derive(sd.sum(expression**2), [w, M])
    for level in ("steps", "operations"):
        drawing = d.graph(level, collapse=False)
        check_places(drawing)
        if drawing.layers:
            check_places(drawing.collapse())


def test_lines_of_different_sources_do_not_lie_on_each_other():
    for name in ("2-3-1 network", "softmax network", "convolution", "LSTM step", "logistic"):
        lines = [line for line in lay_out(derivation(name).graph()).lines if not line.curved]
        for one, other in combinations(lines, 2):
            if one.source == other.source or one.target == other.target:
                continue
            for (a, b), (c, d) in pairwise(one.points):
                for (e, f), (g, h) in pairwise(other.points):
                    if abs(a - c) < 1 and abs(e - g) < 1 and abs(a - e) < 1.5:
                        shared = min(max(b, d), max(f, h)) - max(min(b, d), min(f, h))
                    elif abs(b - d) < 1 and abs(f - h) < 1 and abs(b - f) < 1.5:
                        shared = min(max(a, c), max(e, g)) - max(min(a, c), min(e, g))
                    else:
                        continue
                    assert shared < 4, (name, one, other)


def test_fifty_layers_are_drawn_in_time():
    d = sd.derive(*mlp(*[16] * 51))
    d.steps  # noqa: B018
    start = time.perf_counter()
    in_full, closed = d.graph(collapse=False), d.graph()
    in_full.svg(), closed.svg()
    assert time.perf_counter() - start < 10
    check_places(in_full)
    check_places(closed)
