"""Pages: complete, loading nothing, with any text as text; what stands beside which line."""

import itertools
import re
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import codegen
import symdiff as sd
from codegen.cli import main
from codegen.formula import Formula
from codegen.ir_walk import statements
from codegen.layout import whole_body
from codegen.report import function_kernel, kernel_blocks
from symdiff import report
from symdiff.report import arrays, charts
from symdiff.report.document import WriteError
from symdiff.report.listing import highlighted

VOID = {"meta", "img", "br", "link", "input"}


class Reader(HTMLParser):
    """A page as elements; every one must be closed where it ought to be."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.stack, self.elements, self.shown, self.ids = [], [], [], []
        self.feed(page)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        if not self.stack or self.stack[-1] not in ("style", "script"):
            self.shown.append(data)

    @property
    def text(self):
        return re.sub(r"[\u2061\u2062]", "", "".join(self.shown))


def read(page):
    """The elements of a page, after a look for what it could load."""
    reader = Reader(page)
    addresses = set(re.findall(r"\w+://[^\s\"'<>)&]+", page))
    assert addresses <= {"http://www.w3.org/1998/Math/MathML", "http://www.w3.org/2000/svg"}
    for tag, attributes in reader.elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,") and attributes["alt"]
        assert "src" not in attributes or tag == "img"
        href = attributes.get("href", attributes.get("xlink:href", "#"))
        assert href.startswith("#")
    assert len(reader.ids) == len(set(reader.ids)), "two elements have one id"
    policies = [a["content"] for t, a in reader.elements if a.get("http-equiv")]
    assert len(policies) == 1 and "default-src 'none'" in policies[0]
    assert "'unsafe-inline'" not in re.search(r"script-src ([^;]*)", policies[0])[1]
    return reader


X, w, b, y = sd.tensor("X", "n", 3), sd.tensor("w", 3), sd.tensor("b"), sd.tensor("y", "n")
LOSS = sd.mean((X @ w + b - y) ** 2)


def network():
    t = sd.tensor("t", "n", dtype="int")
    W1, b1, W2 = sd.tensor("W1", 3, 4), sd.tensor("b1", 4), sd.tensor("W2", 4, 5)
    logits = sd.sigmoid(X @ W1 + b1) @ W2
    return sd.losses.cross_entropy(logits, t), t, [W1, b1, W2]


def headings(reader, page):
    found = re.findall(r"<h([1-6])[ >]", page)
    assert found[0] == "1" and found.count("1") == 1
    for before, after in itertools.pairwise(found):
        assert int(after) <= int(before) + 1, "a heading skips a level"
    return [a["id"].removeprefix("title-") for t, a in reader.elements if t == "h2"]


def test_a_page_has_everything(tmp_path):
    path = tmp_path / "page.html"
    assert sd.derive(LOSS, [w, b]).report(path) == path
    page = path.read_text(encoding="utf-8")
    reader = read(page)
    assert headings(reader, page) == [
        "formulas", "graph", "explanation", "steps", "operations", "kernel",
    ]  # fmt: skip
    assert "Xw+b−y" in reader.text  # MathML
    assert "matrix product" in reader.text and "∂L/∂w" in reader.text  # the explanation
    assert "X @ w + b - y" in reader.text  # the step table
    assert "def run(" in reader.text  # the kernel
    assert "L = ‖r‖²/n" in reader.text and r"\frac{2}{n}" in reader.text  # to be copied
    assert [tag for tag, _ in reader.elements].count("math") > 20


def test_links_lead_to_sections():
    reader = read(report.derivation_page(sd.derive(LOSS, w)))
    targets = [a["href"][1:] for t, a in reader.elements if t == "a"]
    assert targets and set(targets) <= set(reader.ids)
    copies = [a["data-copy"] for t, a in reader.elements if "data-copy" in a]
    assert copies and set(copies) <= set(reader.ids)


def test_operations_are_those_of_the_derivation():
    derivation = sd.derive(LOSS, [w, b])
    counts = derivation.operations()
    page = report.derivation_page(derivation, more=[])
    table = re.search(r'<table class="counts">(.*?)</table>', page, re.DOTALL)[1]
    rows = re.findall(r"<tr><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td></tr>", table)
    read_back = [(kind, *(0 if n == "–" else int(n) for n in ns)) for kind, *ns in rows]
    *kinds, total = read_back
    assert {k: f for k, f, _ in kinds if f} == counts["forward"]
    assert {k: s for k, _, s in kinds if s} == counts["backward"]
    assert total == ("all", *(sum(counts[phase].values()) for phase in ("forward", "backward")))


def test_second_derivatives_and_rewrites_are_shown():
    x = sd.tensor("x", 3)
    derivation = sd.derive(sd.sum(sp.log(1 + sp.exp(x))), x).with_hessian()
    reader = read(report.derivation_page(derivation))
    assert "Second derivatives" in reader.text and "Rewritten for stability" in reader.text


HOSTILE = ["<script>alert(1)</script>", "</math><img src=x onerror=alert(1)>", '"]; x [', "]]>-->"]


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_names_are_text(name, tmp_path):
    vector, size = sd.tensor(name, f"n{name}"), sp.Symbol(f"s{name}")
    loss = sd.sum(sd.tanh(vector) ** 2) * size
    page = report.derivation_page(sd.derive(loss, [vector, size]))
    reader = read(page)
    assert [t for t, _ in reader.elements].count("script") == 1
    assert not [a for t, a in reader.elements if t == "img"]
    assert name in reader.text
    trainer = codegen.Trainer(sd.sum(vector**2), {vector: [1.0, 2.0]})
    history = trainer.fit({}, steps=3, record="step", metrics={})
    history.append(name, 1.0)
    read(trainer.report(tmp_path / "page.html", history).read_text(encoding="utf-8"))


def test_a_deep_network_makes_a_page_of_its_own_size():
    h = X
    for i in range(25):
        h = sd.tanh(h @ sd.tensor(f"W{i}", 3, 3))
    parameters = [sd.tensor(f"W{i}", 3, 3) for i in range(25)]
    page = report.derivation_page(sd.derive(sd.sum(h**2), parameters), more=[])
    assert "more: explain() gives that of" in read(page).text
    assert len(page) < 1_500_000


def test_the_shell_prints_the_page(capsys, monkeypatch):
    shapes = ["--shape", "X=n,3", "--shape", "w=3", "--shape", "y=n", "--wrt", "w"]
    arguments = ["gradient", "sum((X @ w - y)**2)", *shapes, "--format", "html"]
    assert main([*arguments, "--dtype", "float32"]) == 0
    reader = read(capsys.readouterr().out)
    assert "Xw−y" in reader.text and "real = np.float32" in reader.text

    def refuses(derivation, dtype):
        raise sd.UnsupportedOperation("no lowering")

    monkeypatch.setattr("codegen.report.kernel_blocks", refuses)
    assert main(["gradient", "x**2", "--wrt", "x", "--format", "html"]) == 0
    assert "There is no kernel for this derivation" in read(capsys.readouterr().out).text


# --- files -------------------------------------------------------------------------------


def test_a_missing_directory_is_an_error_that_names_it(tmp_path):
    derivation = sd.derive(LOSS, w)
    with pytest.raises(WriteError, match=r"nowhere.*make it first"):
        derivation.report(tmp_path / "nowhere" / "page.html")
    with pytest.raises(OSError, match="is a directory"):
        derivation.report(tmp_path)
    with pytest.raises(sd.SymdiffError):
        derivation.report(str(tmp_path / "nowhere" / "page.html"))
    with pytest.raises(sd.InvalidType, match="got None"):
        derivation.report(None)


def test_a_file_is_replaced_in_one_piece(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("before")

    def full(self, *arguments, **options):
        open(self, "w").close()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(WriteError, match="No space left"):
            sd.derive(LOSS, w).report(path)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    sd.derive(LOSS, w).report(str(path))
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [path]


# --- who contributes ---------------------------------------------------------------------


def test_without_the_machine_the_page_says_so(monkeypatch):
    monkeypatch.setattr(report, "CONTRIBUTORS", {})
    monkeypatch.setattr(report, "GROUP", "symdiff.report.nobody")
    reader = read(report.derivation_page(sd.derive(LOSS, w)))
    assert "not installed here" in reader.text and "def run(" not in reader.text


def test_a_contributor_that_fails_is_a_sentence(monkeypatch):
    def fails(derivation):
        raise sd.UnsupportedOperation("there is no lowering for <b>")

    monkeypatch.setattr(report, "CONTRIBUTORS", {"kernel": fails})
    reader = read(report.derivation_page(sd.derive(LOSS, w)))
    assert "There is no kernel for this derivation: there is no lowering for <b>" in reader.text


def test_the_entry_point_names_what_the_import_registers():
    import tomllib

    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text("utf-8"))
    (target,) = project["project"]["entry-points"][report.GROUP].values()
    module, _, name = target.partition(":")
    assert getattr(__import__(module, fromlist=[name]), name) is kernel_blocks
    assert set(report.CONTRIBUTORS) == set(project["project"]["entry-points"][report.GROUP])


# --- the kernel --------------------------------------------------------------------------


def beside(page):
    """``[(line of code, formula)]`` of a listing."""
    rows = re.findall(
        r'<tr><td class="at">\d+</td><td><code>(.*?)</code></td><td class="beside">(.*?)</td></tr>',
        page,
    )
    return [tuple(Reader(f"<p>{part}</p>").text for part in row) for row in rows]


def test_the_kernel_shown_is_that_of_the_nodes_shown():
    derivation = sd.derive(LOSS, [w, b])
    (block,) = kernel_blocks(derivation)
    kernel = function_kernel(derivation)
    lines = beside(block.html)
    assert "\n".join(code for code, _ in lines) == kernel.source.rstrip("\n")
    assert kernel.roots == [derivation.loss_node, *derivation.gradient_nodes.values()]


def test_the_text_of_a_kernel_does_not_depend_on_what_formulas_know(monkeypatch):
    loss, _, parameters = network()
    derivation = sd.derive(loss, parameters)
    source = function_kernel(derivation).source
    known = codegen.lower.formula
    monkeypatch.setattr(codegen.lower, "formula", lambda *arguments: str(known(*arguments)))
    monkeypatch.setattr(codegen.lower, "Formula", lambda text, node: text)
    plain = function_kernel(derivation)
    assert plain.source == source and not plain.formulas


def test_the_formula_stands_beside_the_line_that_computes_it():
    loss, _, parameters = network()
    (block,) = kernel_blocks(sd.derive(loss, parameters))
    lines = [(code.strip(), formula) for code, formula in beside(block.html) if formula]
    formulas = [formula for _, formula in lines]
    for wanted in (r"δ.*=.*−onehot\(t\)", r"(\w=)?logsumexp.\(z2\)", r"X⊤.*δ"):
        assert any(re.match(wanted, f) for f in formulas), (wanted, formulas)
    codes = {c for c, f in lines if f.startswith("δ") and "onehot" in f}
    assert codes and all("exp(" in code and "t[" in code for code in codes)
    assert not any("= at(" in code for code, _ in lines)


def test_every_formula_of_a_statement_is_of_a_node():
    """What a comment says is what the node computes: both texts name the same operations."""
    loss, _, parameters = network()
    kernel = function_kernel(sd.derive(loss, parameters))
    found = [
        s.formula
        for phase in kernel._lowered.phases
        for s in statements(whole_body(phase))
        if isinstance(getattr(s, "formula", ""), Formula)
    ]
    assert len(found) > 10
    for formula in found:
        if " @ " in formula and "(" not in formula:
            assert formula.node.operation == "matmul"
        if formula.startswith("sum(") and formula.count("(") == 1:
            assert formula.node.operation == "sum"
    comments = set(re.findall(r"# (.*)", kernel.source)[1:])
    assert comments <= set(kernel.formulas) | {"the sample in this row", "copy"}


def test_a_comment_that_is_cut_short_says_nothing():
    """Two long formulas with one beginning: neither node is shown beside them."""
    x = sd.tensor("x", "n")
    long = sum(sd.sin(x + k) ** k for k in range(2, 14))
    loss = sd.sum(sd.exp(long + 100)) + sd.sum(sd.exp(long + 200))
    kernel = function_kernel(sd.derive(loss, x))
    for text, node in kernel.formulas.items():
        assert node is not None or text.endswith("…")


# --- training ----------------------------------------------------------------------------


def trained(**options):
    loss, t, parameters = network()
    start = dict.fromkeys(parameters, sd.init.glorot_uniform())
    trainer = codegen.Trainer(loss, start, optimizer=sd.optimizers.Adam(1e-2))
    rng = np.random.default_rng(0)
    data = {X: rng.normal(size=(40, 3)), t: rng.integers(0, 5, 40)}
    history = trainer.fit(data, epochs=5, batch_size=10, **options)
    return trainer, history, data


def test_the_page_of_a_trainer(tmp_path):
    trainer, history, data = trained()
    page = trainer.report(tmp_path / "page.html").read_text(encoding="utf-8")
    reader = read(page)
    assert headings(reader, page)[-3:] == ["training", "parameters", "kernel"]
    assert "5 values" in reader.text and f"{history.loss[-1]:.4g}" in reader.text
    lines = beside(page)
    assert "\n".join(code for code, _ in lines) == trainer.source.rstrip("\n")
    assert any(f.startswith("δ") and "onehot" in f for _, f in lines)
    for symbol, value in trainer.parameters.items():
        assert f"{np.linalg.norm(value):.4g}" in reader.text, symbol
    assert [t for t, _ in reader.elements].count("img") == len(trainer.parameters)

    history = trainer.fit(data, epochs=3, validation=data, metrics={"twice": 2 * trainer._loss})
    reader = read(trainer.report(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "validation" in reader.text and "twice by epoch, 3 values" in reader.text


def test_the_page_of_a_trainer_before_and_without_data(tmp_path):
    loss, _, parameters = network()
    trainer = codegen.Trainer(loss, dict.fromkeys(parameters, 0.0))
    reader = read(trainer.report(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "has not been trained" in reader.text
    v = sd.tensor("v", "m")
    trainer = codegen.Trainer(sd.sum((sd.tensor("Z", "n", "m") @ v) ** 2), {v: sd.init.zeros()})
    reader = read(trainer.report(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "not known before the first fit" in reader.text


def test_the_loss_of_one_sample_has_its_names_in_the_loop(tmp_path):
    a, x, z = sp.symbols("a x z")
    trainer = codegen.Trainer((sp.exp(a * x) - z) ** 2, {a: 0.5})
    trainer.fit({x: [1.0, 2.0], z: [2.0, 4.0]}, steps=10, record="step")
    page = trainer.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "10 values" in read(page).text
    shown = [formula for _, formula in beside(page) if formula]
    assert any("−z" in f and "=" in f for f in shown), "the step of one sample, by its name"
    assert not any("exp(ax)" in f and "=" not in f for f in shown)


# --- curves and pictures -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (1, 20, [5, 10, 15, 20]), (-3, 3, [-2, 0, 2]),
     (1e-9, 5e-9, [1e-9, 2e-9, 3e-9, 4e-9, 5e-9]), (0, 1e300, None)],
)  # fmt: skip
def test_ticks_are_round_and_inside(low, high, expected):
    made = charts.ticks(low, high)
    assert 2 <= len(made) <= 8 and all(low <= t <= high for t in made)
    if expected is not None:
        np.testing.assert_allclose(made, expected, rtol=1e-12, atol=1e-15)


def points(svg, number=0):
    (path,) = re.findall(rf'class="line-{number}" d="(M[^h"]*)"', svg)
    return [tuple(map(float, p.split())) for p in re.findall(r"[ML]([\d.]+ [\d.]+)", path)]


def test_a_curve_goes_through_its_values():
    values = [4.0, 1.0, 2.0]
    drawn = points(charts.curves({"loss": values}, "epoch", "loss"))
    x, height = np.array(drawn).T
    assert np.allclose(np.diff(x), np.diff(x)[0])
    # up the page is down in SVG, and the scale is linear
    np.testing.assert_allclose(
        (height - height[0]) / (height[1] - height[0]), [0, 1, 2 / 3], atol=1e-3
    )


def test_a_loss_over_many_powers_of_ten_has_a_logarithmic_scale():
    drawn = points(charts.curves({"loss": [1.0, 1e-2, 1e-4]}, "epoch", "loss"))
    height = np.array(drawn)[:, 1]
    np.testing.assert_allclose(np.diff(height)[0], np.diff(height)[1], atol=0.2)


def test_long_series_keep_their_peaks():
    values = np.ones(50_000)
    values[31_337] = 7.0
    drawn = points(charts.curves({"loss": list(values)}, "step", "loss"))
    assert len(drawn) <= charts.MOST_POINTS + 2
    assert sum(h < 60 for _, h in drawn) == 1


@pytest.mark.parametrize(
    "values", [[1.0], [0.0, 0.0], [np.nan], [1.0, np.inf, 2.0, np.nan], [-1.0, 1.0], [1e-320] * 3]
)
def test_odd_series_make_a_picture_or_a_sentence(values):
    made = charts.curves({"loss": values}, "step", "loss")
    Reader(f"<div>{made}</div>")
    assert "nan" not in re.sub(
        r"aria-label=\"[^\"]*\"|<title>.*?</title>|<text.*?</text>", "", made
    )


def decoded(data):
    """Pixels of an uncomplicated PNG."""
    position, chunks = 8, {}
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        chunks[kind] = data[position + 8 : position + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, position + 8 + length)
        assert checksum == zlib.crc32(kind + chunks[kind])
        position += 12 + length
    width, height, depth, colours = struct.unpack_from(">IIBB", chunks[b"IHDR"])
    assert (depth, colours) == (8, 2)
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(height, width, 3)


def test_a_picture_can_be_read_back():
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(decoded(arrays.png(pixels)), pixels)


@pytest.mark.parametrize("shape", [(3,), (200, 3), (2, 3, 4, 5), (1, 1), (0, 3), (500, 500)])
def test_pictures_of_any_shape(shape):
    array = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    made = arrays.heat_map(array, "<w>")
    if not array.size:
        assert made == ""
        return
    ((_, attributes),) = Reader(made).elements
    from base64 import b64decode

    pixels = decoded(b64decode(attributes["src"].partition(",")[2])).astype(int)
    assert max(pixels.shape[:2]) <= arrays.MOST_PIXELS
    if array.size > 1:
        assert pixels[0, 0, 2] > pixels[0, 0, 0], "the first is negative: blue"
        assert pixels[-1, -1, 0] > pixels[-1, -1, 2], "the last is positive: red"


def test_numbers_that_are_none_are_grey():
    made = arrays.heat_map(np.array([np.nan, np.inf, -np.inf, 0.0]), "w")
    from base64 import b64decode

    (row,) = decoded(b64decode(re.search(r"base64,([^\"]*)", made)[1]))
    assert tuple(row[0]) == arrays.UNKNOWN and tuple(row[3]) == arrays.MIDDLE
    assert tuple(row[1]) == arrays.POSITIVE and tuple(row[2]) == arrays.NEGATIVE


@pytest.mark.parametrize(
    "line", ["x = 'a' + \"b\"  # <c>", "    if a < 1e-5 and b:", 'y = "open', "ü = 3.0 @ w", ""]
)
def test_highlighting_keeps_the_text(line):
    assert Reader(f"<p>{highlighted(line)}</p>").text == line
