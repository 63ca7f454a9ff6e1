"""Models to draw, and what holds for every drawing: its places, its text for Graphviz."""

import re
from itertools import combinations, pairwise

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.drawing.layout import lay_out
from symdiff.drawing.measure import FORMULA, NAME, PADDING, SHAPE, width
from symdiff.layers import Conv2D, Dense, Flatten, MaxPool2D, Sequential

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


# --- places ---


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


# --- Graphviz ---

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
