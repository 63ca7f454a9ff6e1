"""The benchmarks run, and all systems train the same model. No speed is asserted."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import __main__, cost, runner, systems, table, workloads  # noqa: E402
from benchmarks.processes import Worker, WorkerFailed  # noqa: E402
from benchmarks.rules import SGD, Adam  # noqa: E402

pytest.importorskip("sklearn")  # the digits of W6 and W10


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_our_loss_is_that_of_numpy(name):
    workload = workloads.load(name)
    problem = workload.problem(quick=True)
    steps = min(problem.steps, 8)
    begin = workload.loss(problem.start, *problem.data)
    ours, theirs = (
        workload.loss(side(problem)(steps), *problem.data)
        for side in (workload.with_symdiff, workload.with_numpy)
    )
    assert abs(ours - theirs) < 1e-5 * abs(theirs)
    # The steps did something that the comparison can see.
    assert abs(theirs - begin) > 1e-4 * abs(begin)


def test_every_run_begins_at_the_start():
    workload = workloads.load("W4")
    run = workload.with_symdiff(workload.problem(quick=True))
    first, _, again = run(3), run(5), run(3)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", workloads.WORKLOADS)
def test_workloads_are_complete(name):
    workload = workloads.load(name)
    problem = workload.problem(quick=True)
    assert workloads.title(workload)
    assert 0 < workload.FIRST <= workload.STEPS
    assert 0 < workload.TOLERANCE < 0.1
    assert {a.dtype for a in problem.start} == {problem.dtype}
    assert problem.order is None or len(problem.order) == problem.steps
    for family in ("numba", "jax", "torch", "tensorflow"):
        chosen = [s for s in systems.choose([family]) if s is not systems.OURS]
        assert any(s.made_for(workload) for s in chosen), family


def test_command_prints_and_writes_a_table(tmp_path, capsys):
    output = tmp_path / "results.md"
    __main__.main(["--quick", "--only", "w1,W2", "--peers", "numpy,numba", "--output", str(output)])
    text = output.read_text("utf-8")
    assert capsys.readouterr().out.strip() == text.strip()
    lines = text.splitlines()
    assert "| µs per step | symdiff | NumPy | Numba by hand |" in lines
    for name in ("W1", "W2"):
        cells = next(line for line in lines if line.startswith(f"| {name} |")).split("|")[2:-1]
        assert len(cells) == 3 and all(float(c.split()[0].replace(" ", "")) > 0 for c in cells)
        assert "×" not in cells[0] and "×" in cells[1] and "≠" not in "".join(cells)
    assert text.count("the reference") == 2 and text.count(" agrees, ") == 4
    assert "numba " in text and "Processor: " in text and "mean nothing" in text


def fake_workload(**functions):
    """A workload of one parameter that is halved in each step."""
    made = {"STEPS": 100, "FIRST": 2, "TOLERANCE": 1e-6, "__doc__": "W0: halving."}
    problem = SimpleNamespace(steps=4, data=())
    return SimpleNamespace(**made, problem=lambda quick=False: problem, **functions)


class FakeWorker:
    """Answers as a worker would; a run of ours takes 0.01 s beside its steps."""

    def __init__(self, name, system, *_):
        self.system = system.name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, do, steps, loss=False):
        begin, step, factor = {
            "symdiff": (0.01, 0.001, 0.5),
            "NumPy": (0.0, 0.004, 0.5),
            "JAX": (0.0, 0.1, 0.6),
        }[self.system]
        if self.system == "JAX" and do == "run" and steps > 50:
            raise WorkerFailed("too many steps")
        reply = {"seconds": begin + step * steps, "prepared": 1.0, "memory": None}
        return reply | ({"loss": factor**steps} if loss else {})


def test_losses_and_limits(monkeypatch):
    sides = {f: lambda problem: None for f in ("with_symdiff", "with_numpy", "with_jax")}
    monkeypatch.setattr(runner, "load", lambda name: fake_workload(**sides))
    monkeypatch.setattr(runner, "Worker", FakeWorker)
    options = runner.Options(rounds=2, limit=0.2, pause=0)
    chosen = systems.choose(["numpy", "jax"])
    outcome = runner.run_workload("W0", chosen, options, say=lambda text: None)
    ours, numpy, jax = outcome.results
    assert outcome.reference == "symdiff"
    # 0.2 s are all steps of ours, 50 of NumPy's, and 2 of JAX's.
    assert (ours.steps, numpy.steps, jax.steps) == (100, 50, 2)
    assert ours.per_step == pytest.approx(0.0011) and numpy.per_step == pytest.approx(0.004)
    assert ours.cold == pytest.approx(1.012)
    # Each loss is compared with ours after as many steps.
    assert not outcome.disagrees(numpy) and numpy.reference == 0.5**50
    assert outcome.disagrees(jax) and jax.difference() == pytest.approx(0.11 / 0.36)
    text = table.report([outcome], [], options)
    assert "4 000 (3.64×)" in text and "100 000 (90.9×) ≠" in text and "**disagrees**" in text


def test_a_loss_that_is_not_a_number_disagrees():
    outcome = runner.Outcome("W0", "", 1, 0.1)
    nan = runner.Result("NumPy", loss=float("nan"), reference=1.0)
    same = runner.Result("NumPy", loss=1.05, reference=1.0)
    assert outcome.disagrees(nan) and not outcome.disagrees(same)


def test_a_system_that_fails_is_reported(monkeypatch):
    class Failing(FakeWorker):
        def ask(self, do, steps, loss=False):
            if self.system == "NumPy":
                raise WorkerFailed("ValueError: no luck")
            return super().ask(do, steps, loss)

    sides = {f: lambda problem: None for f in ("with_symdiff", "with_numpy")}
    monkeypatch.setattr(runner, "load", lambda name: fake_workload(**sides))
    monkeypatch.setattr(runner, "Worker", Failing)
    said = []
    options = runner.Options(quick=True)
    outcome = runner.run_workload("W0", systems.choose(["numpy"]), options, say=said.append)
    assert "W0  NumPy: ValueError: no luck" in said
    text = table.report([outcome], [(systems.by_name("JAX"), ["jax"])], options)
    assert "ValueError: no luck" in text and "| W0 | 3 500 | failed |" in text
    assert "Left out: JAX, jax not installed" in text


def test_workers_report_errors_and_time_limits(tmp_path):
    # PyTensor has no side here: an error, and another one where it is not installed.
    other = Worker("W1", systems.by_name("PyTensor"), tmp_path, quick=True)
    with other, pytest.raises(WorkerFailed, match=r"TypeError|ModuleNotFoundError"):
        other.ask("start", 1)
    late = Worker("W1", systems.by_name("NumPy"), tmp_path, quick=True, timeout=0.0)
    with late, pytest.raises(WorkerFailed, match="no answer within"):
        late.ask("start", 1)


def test_cost_points_are_workloads():
    for axis, (words, _, values) in cost.AXES.items():
        assert words and values == sorted(values)
        workload = workloads.load(f"{axis}={values[1]}")
        problem = workload.problem()
        assert np.isfinite(workload.loss(problem.start, *problem.data))
    # The count is that of the axis.
    assert len(workloads.load("samples=1000").problem().data[0]) == 1000
    assert workloads.load("parameters=100").problem().start[0].size == 100
    assert len(workloads.load("depth=20").problem().start) == 40
    assert workloads.load("width=64").problem().start[2].shape == (64, 64)
    assert workloads.load("scalars=20").problem().start[0].shape == ()


def test_scalar_model_of_the_cost_table():
    workload = workloads.load("scalars=2")
    problem = workload.problem()
    x, y = problem.data
    begin = workload.loss(problem.start, x, y)
    trained = workload.with_symdiff(problem)(3)
    a, b = (float(p) for p in problem.start)
    for _ in range(3):
        r, u = a * np.exp(-b * x) - y, np.exp(-b * x)
        a, b = (a - cost.RULE.rate * np.mean(2 * r * u),
                b + cost.RULE.rate * np.mean(2 * r * a * x * u))  # fmt: skip
    np.testing.assert_allclose(trained, [a, b], rtol=1e-12)
    assert workload.loss(trained, x, y) < begin


@pytest.mark.parametrize("rule", [SGD(0.1), SGD(0.1, momentum=0.9), Adam(0.01)])
def test_rules_in_both_forms(rule):
    random = np.random.default_rng(0)
    here = [random.normal(size=3)]
    there = [here[0].copy()]
    state, update = rule.begin(here), rule.in_place(there)
    scales = rule.scales(5, np.float64)
    for k in range(5):
        gradient = [random.normal(size=3)]
        here, state = rule.update(here, gradient, state, None if scales is None else scales[k])
        update(gradient)
    np.testing.assert_allclose(here[0], there[0], rtol=1e-12)


def test_unknown_names_are_refused(capsys):
    for arguments, word in [
        (["--only", "W77"], "W77"),
        (["--peers", "abacus"], "abacus"),
        (["--rounds", "0"], "--rounds"),
    ]:
        with pytest.raises(SystemExit):
            __main__.main(arguments)
        assert word in capsys.readouterr().err


def test_list(capsys):
    __main__.main(["--list"])
    printed = capsys.readouterr().out
    assert all(f"{name:4} " in printed for name in workloads.WORKLOADS)
    assert all(s.name in printed for s in systems.SYSTEMS)


def test_no_worker_is_left_behind(tmp_path):
    worker = Worker("W1", systems.by_name("NumPy"), tmp_path, quick=True)
    worker.ask("start", 2)
    identity = worker._process.pid
    worker.close()
    with pytest.raises(ProcessLookupError):
        os.kill(identity, 0)
