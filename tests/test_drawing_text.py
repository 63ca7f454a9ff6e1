"""A drawing as SVG, HTML and for Graphviz: complete, well-formed, and safe for any name."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from drawings import MODELS, check_dot, check_places, derivation, drawings, each_model
from hypothesis import given
from hypothesis import strategies as st

import symdiff as sd
from symdiff.drawing.measure import shortened, width, wrapped

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
