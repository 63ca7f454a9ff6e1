"""The GPU benchmark runs on the processor, and judges what it measures. No speed is asserted."""

import ctypes
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.gpu import __main__, card, points, report, session, systems, worker
from benchmarks.processes import WorkerFailed

pytest.importorskip("sklearn")  # the digits of W6 and W10


def test_all_systems_agree_on_the_processor(tmp_path, capsys):
    output = tmp_path / "GPU.md"
    __main__.main(["--device", "cpu", "--tiny", "--quick", "--rounds", "1", "--limit", "0.02",
                   "--timeout", "100", "--budget", "1000",
                   "--only", "W2,w5,curve32,wide", "--output", str(output)])  # fmt: skip
    text = output.read_text("utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    installed = [s.name for s in systems.SYSTEMS if not s.missing()]
    lines = text.splitlines()
    assert "| µs per step | parameters | " + " | ".join(installed) + " |" in lines
    assert "≠" not in text.partition("## Workloads")[2] and "failed" not in text
    assert text.count("the reference after") == 4
    for name in installed[1:]:
        for point in ("W2", "W5", "curve32=1024", "wide=16x8"):
            if name not in {n for n, _ in __main__.keys_of(point, systems.SYSTEMS, "cpu")}:
                continue
            row = next(line for line in lines if line.startswith(f"| {point} | {name} |"))
            assert "| agrees after " in row
    for part in ("Workloads", "Growth: curve fit, float32", "Wide layers", "Targets"):
        assert f"## {part}" in lines
    assert "Not run" not in text


class FakeProcess:
    """A run takes a while beside its steps; the loss halves in each step, JAX's does not."""

    began: ClassVar[list[str]] = []

    def __init__(self, command, variables, timeout, log):
        self.system = command[1]
        self.began.append(self.system)

    def ask(self, do, **request):
        if do == "open":
            self.point = request["point"]
            if self.system == "torch":
                raise WorkerFailed("MemoryError: no luck")
            return {"seconds": 1.0, "steps": 40, "most": 5000, "parameters": 10, "bytes": 10**9}
        if do == "copy":
            return {"bandwidth": 2.5e11}
        if do != "run":
            return {}
        beside, step, factor = {
            "symdiff": (0.1, 0.005, 0.5),
            "JAX": (0.0, 0.05, 0.6),
            "torch graphs": (0.001, 0.04, 0.5),
        }[self.system]
        return {"seconds": beside + step * request["steps"], "loss": factor ** request["steps"]}

    def close(self):
        pass


@pytest.mark.parametrize("apart", [2**32, 0])
def test_slopes_losses_and_targets(monkeypatch, apart):
    monkeypatch.setattr(session, "Process", FakeProcess)
    FakeProcess.began = []
    options = session.Options(rounds=2, limit=1.0, pause=0, apart=apart)
    said = []
    name = f"logistic={10**9 // 404 // points.BLOCK * points.BLOCK}"
    with session.Session(options, "unused", said.append) as running:
        bandwidth, source = running.bandwidth(systems.SYSTEMS, 2**20)
        keys = [(s.name, "float32") for s in systems.SYSTEMS]
        outcome = running.run(name, keys)
    assert source == "torch" and bandwidth == 2.5e11
    ours, jax, torch, graphs = outcome.measurements
    assert torch.failure == "MemoryError: no luck"
    # What a run does beside its steps is not in the time of a step, but in that of the whole run.
    assert ours.per_step == pytest.approx(0.005) and graphs.per_step == pytest.approx(0.04)
    assert ours.whole == pytest.approx(0.005 + 0.1 / ours.steps)
    assert jax.steps * 0.05 >= 0.12 and jax.steps * 0.05 < 2
    assert not outcome.disagrees(ours) and not outcome.disagrees(graphs)
    assert graphs.judged == graphs.steps or apart == 0
    assert outcome.disagrees(jax)
    assert FakeProcess.began.count("symdiff") == 1
    assert FakeProcess.began.count("torch") == (1 if apart else 2)
    device = card.Card("cuda", "a card", 2**36, 2**25)
    # 10⁹ bytes in 5 ms are 2·10¹¹ a second, 80 % of 2.5·10¹¹; but JAX's loss is another one.
    words, measured, met = report.target(outcome, device, bandwidth)
    assert (words, measured, met) == ("80% of copying", "80%", "unknown: losses differ")
    outcome.measurements.remove(jax)
    assert report.target(outcome, device, bandwidth)[2] == "yes"
    assert report.target(outcome, device, 1.01 * bandwidth)[2] == "**no**"
    text = report.report([outcome], device, options, {"JAX": "gone"}, bandwidth, source, ["W1"])
    assert "| 5 000 (80%) | failed | 40 000 (10%) |" in text
    assert "**Not run, the time was over:** W1." in text and "* Left out: JAX: gone" in text
    assert "250 GB/s, read and written, by torch" in text


def outcome_of(parameters, **seconds):
    """A point at which each system needs so many seconds for a step."""
    outcome = session.Outcome("W0", "", 10, 1e-3, parameters)
    for name, value in seconds.items():
        measurement = session.Measurement(name.replace("_", " "), steps=3, loss=1.0, reference=1.0)
        measurement.runs = [(0.0, value)]
        outcome.measurements.append(measurement)
    return outcome


def test_targets_by_size():
    device = card.Card("cuda", "a card", 2**36, 2**25)

    def met(parameters, **seconds):
        found = report.target(outcome_of(parameters, **seconds), device, 1e12)
        return found and found[1:]

    assert met(100, symdiff=1, JAX=5, torch=30, torch_graphs=10) == ("5×, 10×", "yes")
    assert met(100, symdiff=1, JAX=5, torch=30, torch_graphs=9) == ("5×, 9×", "**no**")
    assert met(100, symdiff=1, JAX=4, torch=30) == ("4×, 30×", "**no**")
    assert met(10**6, symdiff=1, JAX=1.1, torch=1.2) == ("1.1×, 1.2×", "yes")
    assert met(10**6, symdiff=1, JAX=1.1, torch=0.9)[1] == "**no**"
    assert met(10**6 + 1, symdiff=1, JAX=1, torch=1) is None
    assert met(100, symdiff=1, torch=1) == ("not measured", "–")
    assert met(100, symdiff=0, JAX=1, torch=1) == ("not measured", "–")  # lost in noise


def test_a_silent_system_is_not_asked_a_third_time(monkeypatch):
    class Silent(FakeProcess):
        def ask(self, do, **request):
            raise WorkerFailed("no answer within 1 s")

    monkeypatch.setattr(session, "Process", Silent)
    Silent.began = []
    with session.Session(session.Options(), "unused") as running:
        assert running.ready([systems.GRAPHS]) == {"torch graphs": "no answer within 1 s"}
        for words in ("no answer", "not tried"):
            with pytest.raises(WorkerFailed, match=words):
                running.ask(("torch graphs", "float32"), "ready")
    assert len(Silent.began) == 2


def test_points():
    memory = 48 * 2**30
    groups = points.names(memory)
    for kind, (per_sample, _) in points.GROWING.items():
        sizes = [points.data_bytes(name) for name in groups[kind]]
        assert sizes == sorted(sizes) and 0.6 * memory < sizes[-1] <= memory
        problem = points.load(f"{kind}={2 * points.BLOCK}").problem()
        assert sum(a.nbytes for a in problem.data) == 2 * points.BLOCK * per_sample
        for a in problem.data:
            np.testing.assert_array_equal(a[: points.BLOCK], a[points.BLOCK :])
    assert points.load("curve64=1024").problem().dtype == np.float64
    assert len(groups["wide"]) == len(points.WIDTHS) * len(points.BATCHES)
    quick = points.names(memory, quick=True)
    assert [len(quick[kind]) for kind in points.GROWING] == [1, 1, 1] and len(quick["wide"]) == 2
    module = points.load("wide=8x4")
    problem = module.problem()
    assert problem.order.shape == (20, 4) and problem.data[0].shape == (8, 8)
    # 2·3 operations a sample and weight; 2·2 in the first layer, whose input needs no adjoint.
    weights = [a.size for a in problem.start if a.ndim == 2]
    assert module.operations == 4 * (6 * sum(weights) - 2 * weights[0])
    assert points.data_bytes("W1") is None


def test_precisions():
    """Both where there are tensor cores; a trainer for the processor refuses TF32."""
    keys = __main__.keys_of("wide=8x4", systems.SYSTEMS, "cuda")
    assert keys[0] == (systems.OURS.name, "float32")
    assert {n for n, p in keys if p == "tf32"} == {n for n, p in keys if p == "float32"}
    here = __main__.keys_of("wide=8x4", systems.SYSTEMS, "cpu")
    assert {p for _, p in here} == {"float32"}
    _, problem = worker.opened("wide=8x4", "cuda", "tf32", tiny=True)
    assert points.load("wide=8x4").with_symdiff(problem) is not None
    with pytest.raises(ValueError, match="precision='tf32'"):
        points.load("wide=8x4").with_symdiff(replace(problem, device="cpu"))


def test_orders_are_repeated():
    module, problem = worker.opened("W6", "cuda", "tf32", tiny=False)
    given = module.problem().order
    assert len(problem.order) == worker.MOST // 64
    np.testing.assert_array_equal(problem.order[560:1120], given)
    assert (problem.device, problem.precision) == ("cuda", "tf32")
    _, tiny = worker.opened("W6", "cpu", "float32", tiny=True)
    assert len(tiny.order) == tiny.steps


def test_graphs_train_as_numpy_does():
    pytest.importorskip("torch")
    for name in ("W1", "W6", "W7"):  # one sample at a time, Adam, momentum
        module = points.load(name)
        problem = module.problem(quick=True)
        run = module.with_torch(problem, "graphs")
        run(3)  # leaves state behind
        expected = module.with_numpy(problem)(4)
        for ours, theirs in zip(run(4), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-5)


def test_without_a_device(monkeypatch, capsys):
    def absent(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(SystemExit) as stopped:
        __main__.main([])
    words = capsys.readouterr().err
    assert stopped.value.code == 2
    for part in ("there is no CUDA device", "libcuda.so.1", "--device cpu --tiny", "pip install"):
        assert part in words


def driver(devices=1, status=0):
    """What the driver's library answers."""
    attributes = {card.MULTIPROCESSORS: 132, card.CACHE: 50 * 2**20, card.MAJOR: 9, card.MINOR: 0}

    def put(pointer, value):
        pointer._obj.value = value
        return 0

    def name(buffer, length, device):
        buffer.value = b"Some Card"
        return 0

    return SimpleNamespace(
        cuInit=lambda flags: status,
        cuDeviceGetCount=lambda p: put(p, devices),
        cuDeviceGet=lambda p, number: put(p, number),
        cuDeviceGetName=name,
        cuDeviceTotalMem_v2=lambda p, device: put(p, 80 * 2**30),
        cuDeviceGetAttribute=lambda p, key, device: put(p, attributes[key]),
        cuDriverGetVersion=lambda p: put(p, 13010),
    )


def test_card(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver())
    found = card.find()
    assert (found.device, found.memory, found.cache) == ("cuda", 80 * 2**30, 50 * 2**20)
    assert found.name == ("Some Card, 80 GiB, 132 multiprocessors, 50 MiB of cache, "
                          "compute capability 9.0, driver for CUDA 13.1")  # fmt: skip
    for fault, words in [({"devices": 0}, "sees no device"), ({"status": 100}, "cuInit")]:
        monkeypatch.setattr(ctypes, "CDLL", lambda name, fault=fault: driver(**fault))
        with pytest.raises(card.NoDevice, match=words):
            card.find()


@pytest.mark.parametrize(
    "arguments", [["--only", "W77"], ["--peers", "abacus"], ["--memory", "2"], ["--rounds", "-1"]]
)
def test_unknown_names_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        __main__.main(["--device", "cpu", "--tiny", *arguments])
    assert arguments[0] in capsys.readouterr().err
