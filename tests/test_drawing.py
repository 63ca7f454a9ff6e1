"""The graph of a derivation: what is drawn, that nothing overlaps, and that every text is safe."""

import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from itertools import combinations, pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import symdiff as sd
from symdiff.drawing import Drawing, DrawnNode
from symdiff.drawing.layout import lay_out
from symdiff.drawing.measure import FORMULA, NAME, PADDING, SHAPE, shortened, width, wrapped
from symdiff.layers import Conv2D, Dense, Flatten, MaxPool2D, Sequential
from symdiff.printing.text import shown_name

# --- models ------------------------------------------------------------------------------


def network():
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 1)
    W1, b1 = sd.tensor("W1", 2, 3), sd.tensor("b1", 3)
    W2, b2 = sd.tensor("W2", 3, 1), sd.tensor("b2", 1)
    output = sd.sigmoid(sd.sigmoid(X @ W1 + b1) @ W2 + b2)
    return sd.mean((output - y) ** 2), [W1, b1, W2, b2]


def mlp(*sizes):
    h, t = sd.tensor("X", "n", sizes[0]), sd.tensor("t", "n", dtype="int")
    parameters = []
    for number, (rows, columns) in enumerate(pairwise(sizes), 1):
        W, b = sd.tensor(f"W{number}", rows, columns), sd.tensor(f"b{number}", columns)
        parameters += [W, b]
        h = (sd.relu(h) if number > 1 else h) @ W + b
    return sd.losses.cross_entropy(h, t), parameters


def logistic():
    X, y = sd.tensor("X", "n", 3), sd.tensor("y", "n")
    w, b = sd.tensor("w", 3), sd.tensor("b")
    return sd.losses.binary_cross_entropy(X @ w + b, y), [w, b]


def ridge():
    X, y = sd.tensor("X", "n", 3), sd.tensor("y", "n")
    w, b = sd.tensor("w", 3), sd.tensor("b")
    return sd.mean((X @ w + b - y) ** 2) + 0.1 * sd.sum(w**2), [w, b]


def lstm_step():
    x, h = sd.tensor("x", "n", 4), sd.tensor("h", "n", 5)
    c, t = sd.tensor("c", "n", 5), sd.tensor("t", "n", 5)
    parameters, gates = [], {}
    for gate in "ifog":
        W, U, b = sd.tensor("W" + gate, 4, 5), sd.tensor("U" + gate, 5, 5), sd.tensor("b" + gate, 5)
        parameters += [W, U, b]
        function = sd.tanh if gate == "g" else sd.sigmoid
        gates[gate] = function(x @ W + h @ U + b)
    state = gates["f"] * c + gates["i"] * gates["g"]
    return sd.mean((gates["o"] * sd.tanh(state) - t) ** 2), parameters


def convolution():
    image, t = sd.tensor("image", "n", 1, 8, 8), sd.tensor("t", "n", dtype="int")
    model = Sequential([Conv2D(4, 3, activation="relu"), MaxPool2D(2), Flatten(), Dense(10)])
    return sd.losses.cross_entropy(model(image), t), list(model.parameters)


def recurrence():
    x, t, start = sd.tensor("x", 7, 4), sd.tensor("t", 7, 5), sd.tensor("h0", 5)
    W, U = sd.tensor("W", 4, 5), sd.tensor("U", 5, 5)

    def step(h, x_t):
        h = sd.tanh(x_t @ W + h @ U)
        return h, h

    _, outputs = sd.scan(step, start, x)
    return sd.mean((outputs - t) ** 2), [W, U]


def unrolled():
    W, U, h = sd.tensor("W", 4, 5), sd.tensor("U", 5, 5), sd.tensor("h0", "n", 5)
    for number in range(6):
        h = sd.tanh(sd.tensor(f"x{number}", "n", 4) @ W + h @ U)
    return sd.mean(h**2), [W, U]


def residual():
    X, y = sd.tensor("X", "n", 8), sd.tensor("y", "n", 8)
    h, parameters = X, []
    for number in range(5):
        W, V = sd.tensor(f"W{number}", 8, 8), sd.tensor(f"V{number}", 8, 8)
        parameters += [W, V]
        h = h + sd.relu(h @ W) @ V
    return sd.mean((h - y) ** 2), parameters


def attention():
    X, t = sd.tensor("X", 6, 8), sd.tensor("t", 6, 8)
    query, key, value, out = (sd.tensor(f"W{letter}", 8, 8) for letter in "qkvo")
    weights = sd.softmax((X @ query) @ (X @ key).T / 3, axis=1)
    result = sd.relu(weights @ (X @ value) @ out) + X
    return sd.mean((result - t) ** 2), [query, key, value, out]


def scalars():
    x, y = sp.symbols("x y")
    a = sp.symbols("a1:5")
    h = x
    for i in (0, 2):
        h = sp.tanh(a[i] * h + a[i + 1])
    return (h - y) ** 2, list(a)


def constants():
    w = sd.tensor("w", 3)
    return sd.sum((np.eye(3) @ w - np.arange(3.0)) ** 2), [w]


def symbol():
    x = sp.Symbol("x")
    return x, [x]


def unused():
    x, w, u = sd.tensor("x", 3), sd.tensor("w", 3), sd.tensor("u", 2, 2)
    return sd.sum(x * w), [w, u]


def unused_in_a_network():
    loss, parameters = network()
    return loss, [*parameters, sd.tensor("u", 2, 2)]


def number():
    return sp.Integer(3), [sp.Symbol("x")]


def exponential():
    x = sp.Symbol("x")
    return sp.exp(x), [x]


MODELS = {
    "2-3-1 network": network,
    "softmax network": lambda: mlp(64, 32, 16, 10),
    "logistic": logistic,
    "ridge": ridge,
    "LSTM step": lstm_step,
    "convolution": convolution,
    "scan": recurrence,
    "unrolled": unrolled,
    "residual": residual,
    "attention": attention,
    "scalars": scalars,
    "constants": constants,
    "a symbol": symbol,
    "unused parameter": unused,
    "network and unused": unused_in_a_network,
    "a number": number,
    "its own derivative": exponential,
    "20 layers": lambda: mlp(*[8] * 21),
}

_derivations = {}


def derivation(name):
    if name not in _derivations:
        _derivations[name] = sd.derive(*MODELS[name]())
    return _derivations[name]


each_model = pytest.mark.parametrize("name", MODELS)


def drawings(name):
    """A model at both levels, in full, collapsed, and with a layer open."""
    d = derivation(name)
    result = [d.graph(level, collapse=False) for level in ("steps", "operations")]
    if result[0].layers:
        result += [drawing.collapse(expand) for drawing in result for expand in ((), 2, "loss")]
        result += [result[0].inside(layer) for layer in result[0].layers[:3]]
    return result


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


def overlap(one, other, least=0.0):
    return (
        one[0] < other[2] - least
        and other[0] < one[2] - least
        and one[1] < other[3] - least
        and other[1] < one[3] - least
    )


def check_places(drawing):
    """No box on another, labels inside, lines from edge to edge and around all other boxes."""
    layout = lay_out(drawing)
    assert [box.key for box in layout.boxes] == [n.key for n in drawing.nodes]
    areas = {b.key: (b.x, b.y, b.x + b.width, b.y + b.height) for b in layout.boxes}
    for one, other in combinations(areas.values(), 2):
        assert not overlap(one, other, -4)
    for box in layout.boxes:
        assert box.x >= 0 and box.x + box.width <= layout.width
        assert box.y >= 0 and box.y + box.height <= layout.height
        label, room = box.label, box.width - 2 * PADDING + 1e-6
        assert width(label.name, NAME, bold=True) + width(label.shape, SHAPE) <= room
        assert all(width(line, FORMULA) <= room for line in label.lines)
        assert 17 * (1 + len(label.lines)) <= box.height
    drawn = [(line.source, line.target) for line in layout.lines if line.kind != "link"]
    assert sorted(drawn) == sorted(drawing.edges)
    links = [(line.source, line.target) for line in layout.lines if line.kind == "link"]
    assert set(links) <= set(drawing.links) and len(set(links)) == len(links)
    for line in layout.lines:
        for point, key in ((line.points[0], line.source), (line.points[-1], line.target)):
            left, top, right, bottom = areas[key]
            x, y = point
            assert left - 0.1 <= x <= right + 0.1 and top - 0.1 <= y <= bottom + 0.1
            assert min(abs(x - left), abs(x - right), abs(y - top), abs(y - bottom)) < 0.1
        for (x, y), (u, v) in pairwise(line.points):
            assert line.curved or min(abs(x - u), abs(y - v)) < 0.6
            segment = min(x, u), min(y, v), max(x, u), max(y, v)
            for key, area in areas.items():
                if key not in (line.source, line.target):
                    clear = 0.5 if line.curved else -1.0
                    assert not overlap(segment, area, clear), (line, key)
            assert segment[0] >= -0.1 and segment[2] <= layout.width
            assert segment[1] >= -0.1 and segment[3] <= layout.height
    for one, other in combinations(layout.bands, 2):
        assert one.y + one.height <= other.y + 0.1 or other.y + other.height <= one.y + 0.1
    for band in layout.bands:
        for node in drawing.nodes:
            inside = band.y <= areas[node.key][1] and areas[node.key][3] <= band.y + band.height
            assert inside == (node.layer == band.name)


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


# --- text --------------------------------------------------------------------------------


def test_widths_know_what_takes_no_room_and_what_takes_two():
    assert width("x̂", 10) == width("x", 10)
    assert width("字", 10) > 1.4 * width("x", 10)
    assert width("Xᵀ", 10) < width("XT", 10)
    assert width("ab", 10) == pytest.approx(width("a", 10) + width("b", 10))
    assert width("W", 10, bold=True) > width("W", 10)


@given(st.text(), st.floats(20, 300))
def test_shortened_text_fits_and_says_so(text, room):
    short = shortened(text, 12, room)
    assert width(short, 12) <= room + 1e-6
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


@given(st.text(alphabet="ab +", min_size=1), st.integers(1, 4))
def test_wrapped_text_is_all_there_or_cut_in_the_last_line(text, most):
    lines = wrapped(text, 12, 60, most)
    assert 1 <= len(lines) <= most and all(width(line, 12) <= 60 + 1e-6 for line in lines)
    if not any("…" in line for line in lines):
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


# --- SVG and HTML ------------------------------------------------------------------------

SVG = "{http://www.w3.org/2000/svg}"


@each_model
def test_svg_has_each_box_once_with_a_tooltip(name):
    for drawing in drawings(name):
        root = ElementTree.fromstring(drawing.svg())
        assert root.tag == SVG + "svg" and root.get("role") == "img" and root.get("viewBox")
        assert root.find(SVG + "title") is not None and root.find(SVG + "desc") is not None
        groups = root.findall(f".//{SVG}g[@data-key]")
        assert [int(g.get("data-key")) for g in groups] == [n.key for n in drawing.nodes]
        for group, node in zip(groups, drawing.nodes, strict=True):
            tip = group.find(SVG + "title").text
            assert (
                node.meaning in tip
                and node.name in tip
                and node.formula[:1000] in tip
                and node.shape in tip
            )
        edges = [p.get("data-edge") for p in root.iter(SVG + "path") if p.get("data-edge")]
        assert sorted(edges) == sorted(f"{a} {b}" for a, b in drawing.edges)
        assert not [e for e in root.iter() if e.get("id") or e.get("href")]


def test_the_same_derivation_is_the_same_text():
    for name in ("2-3-1 network", "LSTM step"):
        first, second = (sd.derive(*MODELS[name]()).graph() for _ in range(2))
        assert first == second
        assert (first.svg(), first.dot(), first.html()) == (
            second.svg(),
            second.dot(),
            second.html(),
        )
    assert first._repr_svg_() == first.svg()


def test_light_and_dark():
    text = derivation("2-3-1 network").graph().svg()
    assert "prefers-color-scheme:dark" in text
    # Who does not know variables reads plain attributes.
    root = ElementTree.fromstring(text)
    for shape in root.iter(SVG + "rect"):
        assert re.fullmatch("#[0-9a-f]{6}", shape.get("fill"))
    for words in root.iter(SVG + "text"):
        assert re.fullmatch("#[0-9a-f]{6}", words.get("fill"))


class Tags(HTMLParser):
    """What a browser would see: tags with their attributes, and whether they are closed."""

    def __init__(self, text):
        super().__init__()
        self.seen, self.open = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_each_collapsed_layer_opens_by_a_link_and_without_a_script():
    drawing = derivation("20 layers").graph()
    page = Tags(drawing.html())
    assert not page.open
    tags = [tag for tag, _ in page.seen]
    assert tags.count("details") == tags.count("summary") == 20 and "script" not in tags
    assert tags.count("svg") == 21
    places = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    links = [attributes["href"] for tag, attributes in page.seen if tag == "a"]
    assert len(set(places)) == 20
    assert sorted(links) == sorted(2 * [f"#{place}" for place in places])
    for tag, attributes in page.seen:
        assert not [a for a in attributes if a.startswith("on") or a == "src"], tag
    # Another drawing on the same page has other places.
    other = Tags(derivation("2-3-1 network").graph(collapse=True).html())
    assert not {a["id"] for _, a in other.seen if "id" in a} & set(places)


def test_a_small_drawing_is_one_picture():
    page = Tags(derivation("2-3-1 network").graph().html())
    tags = [tag for tag, _ in page.seen]
    assert tags.count("svg") == 1 and "details" not in tags and "a" not in tags


HOSTILE = [
    "<script>alert(1)</script>",
    '"]; x [',
    "</svg><img src=x onerror=alert(1)>",
    "]]>&amp;",
    "a\\",
    "line\nbreak\x00\x1b[31m\ud800\ufffe",
    "x" * 5000,
    "a̐" * 300,
    '" onload="alert(1)',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_gets_out_of_its_place(name):
    X, y = sd.tensor("X", "n", 2), sd.tensor("y", "n", 2)
    W, V = sd.tensor(name, 2, 2), sd.tensor(name + "2", 2, 2)
    d = sd.derive(sd.mean((sd.tanh(X @ W) @ V - y) ** 2), [W, V])
    known = set()
    for tag, _ in Tags(derivation("20 layers").graph().html()).seen:
        known.add(tag)
    for drawing in (d.graph(), d.graph("operations"), d.graph(collapse=True)):
        check_places(drawing)
        root = ElementTree.fromstring(drawing.svg())
        assert {e.tag.removeprefix(SVG) for e in root.iter()} <= known
        page = Tags(drawing.html())
        assert not page.open and {tag for tag, _ in page.seen} <= known
        assert not [a for _, attributes in page.seen for a in attributes if a.startswith("on")]
        assert len(drawing.svg()) < 200_000
        check_dot(drawing)


# --- Graphviz ----------------------------------------------------------------------------

QUOTED = r'"(?:[^"\\]|\\.)*"'
VALUE = rf"(?:{QUOTED}|[A-Za-z]+)"
ATTRIBUTES = rf"\[\w+={VALUE}(?:, \w+={VALUE})*\]"
LINES = [
    r"digraph derivation \{",
    rf"  rankdir=TB; fontname={QUOTED};",
    rf"  node {ATTRIBUTES};",
    r"  subgraph cluster_\d+ \{",
    rf"    label={QUOTED}; style={QUOTED}; color={QUOTED};",
    r"  (?:  )?\}",
    rf"  (?:  )?n\d+ {ATTRIBUTES};",
    rf"  n\d+ -> n\d+(?: {ATTRIBUTES})?;",
    r"\}",
]


def check_dot(drawing):
    text = drawing.dot()
    for line in text.split("\n"):
        assert any(re.fullmatch(pattern, line) for pattern in LINES), line
    bare = re.sub(QUOTED, "", text)
    assert bare.count("{") == bare.count("}")
    declared = re.findall(r"^ +n(\d+) \[", text, flags=re.MULTILINE)
    assert sorted(map(int, declared)) == [n.key for n in drawing.nodes]
    arrows = re.findall(r"^ +n(\d+) -> n(\d+)( \[.*\])?;", text, flags=re.MULTILINE)
    drawn = []
    for a, b, attributes in arrows:
        if "dir=none" not in attributes:
            drawn.append((int(b), int(a)) if "dir=back" in attributes else (int(a), int(b)))
    assert sorted(drawn) == sorted(drawing.edges)
    assert len(arrows) - len(drawn) == len(drawing.links)


@each_model
def test_dot_declares_each_box_and_arrow_once(name):
    for drawing in drawings(name):
        check_dot(drawing)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("name", ["2-3-1 network", "20 layers"])
def test_graphviz_draws_it(name):
    for drawing in drawings(name):
        text = drawing.dot().encode()
        result = subprocess.run(["dot", "-Tsvg"], input=text, check=True, capture_output=True)
        assert not result.stderr
