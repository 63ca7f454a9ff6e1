"""Every example runs, keeps what it promises, and saves a picture."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import symdiff as sd

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

FOLDER = Path(__file__).parent.parent / "examples"
GOLDEN = Path(__file__).parent / "golden"
NAMES = [
    "tensorflow1_style",
    "tensorflow2_recipes",
    "handwritten_network",
    "keras_model",
    "xor",
    "digits",
    "digits_convolution",
    "learning_rates",
    "draw_gradient",
]
PICTURES = {"draw_gradient": ("svg", b"<svg")}
"""What the others save is a PNG."""


def golden(name):
    return json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the main function of an example; returns what it returns and what it printed."""
    monkeypatch.setenv("MPLBACKEND", "Agg")

    def run(name, **arguments):
        spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        suffix, start = PICTURES.get(name, ("png", b"\x89PNG"))
        picture = tmp_path / f"{name}.{suffix}"
        result = module.main(picture=str(picture), **arguments)
        assert picture.read_bytes().startswith(start) and picture.stat().st_size > 10_000
        printed = capsys.readouterr().out
        assert "∂L/∂" in printed and f"The picture is in {picture}." in printed
        return result, printed

    return run


def test_every_example_is_tested():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_docstring_tells_how_to_run_it(name):
    text = (FOLDER / f"{name}.py").read_text("utf-8")
    suffix, _ = PICTURES.get(name, ("png", b""))
    assert f"python examples/{name}.py --picture {name}.{suffix}" in text


def test_tensorflow1_style(run):
    results, _ = run("tensorflow1_style")
    regression, classification = results["regression"], results["classification"]
    assert len(regression["loss"]) == 100 and len(classification["loss"]) == 1400
    assert regression["A"][-1] == pytest.approx(10, abs=0.3)
    assert classification["A"][0] > 8
    assert classification["A"][-1] == pytest.approx(-1, abs=0.2)
    assert classification["accuracy"] >= 0.97


def test_tensorflow2_recipes(run):
    results, printed = run("tensorflow2_recipes")
    book = golden("book_tf2")
    for name in ("regression", "classification"):
        expected, result = book[name], results[name]
        np.testing.assert_array_equal(result["x"], np.float32(expected["x"]))
        np.testing.assert_array_equal(result["y"], np.float32(expected["y"]))
        weights, biases, losses = result["path"].T
        np.testing.assert_allclose(weights, expected["weights"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(biases, expected["biases"], rtol=0, atol=1e-6)
        np.testing.assert_allclose(losses, expected["loss"], rtol=1e-4)
    # Each printed row holds our numbers and the book's, side by side.
    rows = re.findall(r"^(?:25|50|75|100) +(.*)$", printed, re.MULTILINE)
    assert len(rows) == 8
    for row in rows:
        numbers = np.array(row.split(), dtype=float)
        np.testing.assert_allclose(numbers[::2], numbers[1::2], atol=1e-6)
    assert results["accuracy"] == 1.0


def test_handwritten_network(run):
    result, printed = run("handwritten_network", steps=3000, progress=False)
    assert result["error"] < 1e-6 and result["error_implied"] < 1e-6
    assert isinstance(result["mismatch"], sd.GradientMismatch)
    assert "GradientMismatch" in printed and "(f*y - 1)**2/2" in printed
    expected = golden("scratch_mlp")
    for name, ours in (("right_gradient", "right"), ("seed_gradient", "handwritten")):
        for step, loss in expected[name]["L_after_k_updates"].items():
            if int(step) in (0, 500, 1000, 2000):
                assert result[ours][int(step)] == pytest.approx(loss, rel=1e-9)


@pytest.mark.slow
def test_handwritten_network_all_200000_steps(run):
    result, _ = run("handwritten_network", progress=False)
    assert len(result["right"]) == 200_001
    expected = golden("scratch_mlp")["wrongness"]
    for name, ours in (("right", "right"), ("seed", "handwritten")):
        for step, loss in expected[f"L_after_60000_{name}_gradient"].items():
            assert result[ours][int(step)] == pytest.approx(loss, rel=1e-9)


def test_keras_model(run):
    result, printed = run("keras_model")
    losses = {name: history.loss for name, history in result["histories"].items()}
    expected = golden("keras_linear")
    np.testing.assert_allclose(losses["linear"], expected["keras_epoch_loss"], rtol=1e-4)
    parameters = result["trainers"]["linear"].parameters.values()
    for ours, theirs in zip(parameters, expected["final_keras"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    assert set(losses) == {"linear", "tanh", "relu", "sigmoid"}
    assert all(values[-1] < values[0] for values in losses.values())
    assert losses["linear"][-1] == min(values[-1] for values in losses.values())
    assert "tanh(z₁)" in printed


def test_keras_data_are_the_golden_data():
    shipped = json.loads((FOLDER / "data" / "keras_linear.json").read_text("utf-8"))
    expected = golden("keras_linear")
    assert shipped["init"] == expected["init"]
    assert shipped["keras_epoch_loss"] == expected["keras_epoch_loss"]


def test_xor(run):
    result, printed = run("xor")
    for number, draw in enumerate(result["draws"]):
        expected = golden("xor_mlp")["draws"][str(number)]
        steps = list(map(int, expected["tf_float32"]))
        ours = [draw["loss"][step] for step in steps]
        np.testing.assert_allclose(ours, list(expected["tf_float32"].values()), rtol=1e-4)
        np.testing.assert_allclose(draw["answers"], np.ravel(expected["y_out_tf_500"]), rtol=1e-4)
    steps = result["derivation"].steps
    added = [step for step in steps if step.of is not None]
    assert added and all(step.of in steps and step.of.phase == "forward" for step in added)
    for step in steps:
        assert f"{step.symbol!s:6} = {step.expression}" in printed


def test_digits_convolution(run):
    result, printed = run("digits_convolution", progress=False)
    assert result["accuracy"] >= 0.98
    assert "corr(" in printed and "convᵀ(" in printed


def test_digits(run):
    result, printed = run("digits", progress=False)
    assert result["accuracy"] >= 0.97
    assert {"loss", "val_loss", "accuracy", "val_accuracy"} <= set(result["history"].keys())
    assert "P − onehot(t)" in printed and "held out" in printed


def test_learning_rates(run):
    result, printed = run("learning_rates")
    rates = {rate: run["loss"] for rate, run in result["rates"].items()}
    assert sorted(rates) == list(rates)
    *good, too_large = rates.values()
    assert good[0][-1] > good[1][-1] > good[2][-1] > result["least"]
    assert too_large[-1] > 1e6
    last = {name: run["loss"][-1] for name, run in result["optimizers"].items()}
    assert max(last["momentum"], last["Nesterov"]) < last["gradient descent"]
    for name in ("momentum", "Nesterov", "Adagrad", "Adadelta"):
        assert name in last and name in printed
    assert "w ← w − learning_rate·g" in printed


def test_draw_gradient(run):
    drawings, printed = run("draw_gradient")
    assert "∂L/∂W₁" in drawings["graph"].svg()
    for call, drawing in drawings.items():
        assert call == "graph" or re.search(
            rf"{re.escape(call)} +{len(drawing.nodes)} boxes", printed
        )


def test_without_matplotlib_an_example_says_so_and_goes_on(run, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(FileNotFoundError):  # the fixture looks for the picture
        run("tensorflow1_style")
    printed = capsys.readouterr().out
    assert "accuracy" in printed and "matplotlib is not installed" in printed


def test_from_the_shell(tmp_path):
    command = [sys.executable, str(FOLDER / "digits.py"), "--picture", "here.png", "--epochs", "3"]
    path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": path, "PYTHONUTF8": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    assert "∂L/∂W₁ = 1/n · Xᵀδ₁" in done.stdout
    assert "100%" in done.stderr  # the progress bar
    assert (tmp_path / "here.png").exists()
