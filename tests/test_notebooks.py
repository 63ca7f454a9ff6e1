"""The notebooks of the examples run from top to bottom, and are saved as they ran."""

import os
import re
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = {path.stem: path for path in sorted((ROOT / "examples").glob("*.ipynb"))}
LARGEST_IMAGE = 80_000
"""Letters of an image in base64."""


def read(name):
    return nbformat.read(NOTEBOOKS[name], as_version=4)


def printed(notebook):
    """What the cells have printed and shown, as text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                yield output.text
            elif output.output_type != "error":
                data = output.data
                yield from (data[k] for k in data if k.startswith("text/"))


def formulas(notebook):
    """The lines of derivations among what was printed: the same in every run."""
    text = "\n".join(printed(notebook))
    return [line for line in text.splitlines() if "∂L/∂" in line and "=" in line]


def test_there_are_three():
    assert set(NOTEBOOKS) == {
        "symbolic_against_automatic", "xor_backpropagation", "your_own_optimizer",
    }  # fmt: skip


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_runs_and_says_what_is_saved(name, monkeypatch):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the notebook chooses its own
    saved, run = read(name), read(name)
    for cell in run.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    # asserts in its cells compare the numbers; an error in a cell is raised here
    nbclient.NotebookClient(run, timeout=120, resources={"metadata": {"path": ROOT}}).execute()
    assert formulas(run) == formulas(saved), "run it again: see CONTRIBUTING.md"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_readable_without_running(name):
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) > len(code) / 2
    assert any("assert" in cell.source for cell in code)
    for cell in code:
        assert "execution" not in cell.metadata  # times of day
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output
            images = [v for k, v in output.get("data", {}).items() if k.startswith("image/")]
            assert all(len(image) < LARGEST_IMAGE for image in images)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert all(re.fullmatch(r"cell-\d\d", cell.id) for cell in notebook.cells)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_nothing_of_the_machine_is_saved(name):
    text = NOTEBOOKS[name].read_text("utf-8")
    assert "\\u001b" not in text and "\x1b" not in text
    shown = "\n".join(printed(read(name)))
    assert not re.search(
        r"(?<![\w<])/(home|root|tmp|usr|Users|work|var)/|[A-Z]:\\\\|site-packages", shown
    )
    assert not re.search(r"0x[0-9a-f]{8,}", shown)  # where an object lay in memory


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_prose_and_formulas_alternate(name):
    kinds = [cell.cell_type for cell in read(name).cells]
    assert kinds[0] == kinds[-1] == "markdown"
    assert "code code code code" not in " ".join(kinds)


def test_the_figure_of_the_logistic_map():
    shown = "\n".join(printed(read("symbolic_against_automatic")))
    assert "2 420 736 operations" in shown and "≈ 2 420 736" in shown
    assert "softplus(z)" in shown and "× fused" in shown


def test_the_network_learns_xor():
    shown = "\n".join(printed(read("xor_backpropagation")))
    answers = re.findall(r"(\d) xor (\d) = (\d\.\d+)", shown)
    assert [round(float(o)) for *_, o in answers] == [int(a) ^ int(b) for a, b, _ in answers]
    assert len(answers) == 4
