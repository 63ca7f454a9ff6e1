"""Trainings with ``target="cuda"``: all of ``test_codegen_trainer``, and models of every kind."""

import re

import numpy as np
import pytest
from on_devices import for_a_device, on_a_device, with_target_cuda  # noqa: F401
from small_models import SMALL_MODELS, assert_alike, convolutional, trained_on_the_processor
from test_codegen_trainer import *  # noqa: F403
from test_codegen_trainer import MODELS, X, linear_data, v, without_comments

import codegen
import symdiff as sd
from symdiff import optimizers
from symdiff.errors import InvalidArgument

del test_threads_do_not_change_a_bit, test_float32_kernels_hold_no_float64_arithmetic  # noqa: F821

pytestmark = pytest.mark.usefixtures("for_a_device")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("model", SMALL_MODELS, ids=lambda m: m.__name__)
def test_models_train_as_on_the_processor(model, dtype):
    """The same batches, masks and starts: the same losses and parameters to rounding."""
    expected = trained_on_the_processor(model, dtype)
    assert_alike(model().train(dtype=dtype), expected, dtype)
    losses, parameters = expected
    assert len(set(losses)) > 1 and parameters.dtype == dtype


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_larger_models_train_as_on_the_processor(model, dtype):
    loss, start, data, how = model()
    results = []
    for target in ("cpu", "cuda", "cuda"):
        trainer = codegen.Trainer(
            loss, start, optimizers.Adam(0.01), dtype=dtype, seed=5, target=target
        )
        history = trainer.fit(data, record="step", **how)
        flat = [np.ravel(value) for value in trainer.parameters.values()]
        results.append((np.array(history.loss), np.concatenate(flat)))
    assert_alike(results[1], results[0], dtype)
    for first, second in zip(*results[1:], strict=True):
        assert np.array_equal(first, second)  # the same bits in every run


@pytest.mark.parametrize("name", list(optimizers.RULES))
def test_every_optimizer_trains_as_on_the_processor(name):
    """Rules that divide by the root of a gradient's square need one that is not 0."""
    data = linear_data(10)
    loss = sd.mean(sd.log(sd.cosh(data[X] @ v - 1))) + sd.sum(v**2) / 3
    results = []
    for target in ("cpu", "cuda"):
        for convention in ("torch", "keras"):
            optimizer = getattr(optimizers, name)(convention=convention)
            trainer = codegen.Trainer(loss, {v: np.arange(4) / 10}, optimizer, target=target)
            losses = trainer.fit(steps=6, record="step").loss
            results.append((np.array(losses), trainer.parameters[v]))
    for got, want in zip(results[2:], results[:2], strict=True):
        assert_alike(got, want, "float64")


# --- what a trainer says -----------------------------------------------------------------


@pytest.mark.parametrize("model", SMALL_MODELS, ids=lambda m: m.__name__)
def test_float32_kernels_name_no_float64(model):
    problem = model()
    trainer = codegen.Trainer(
        problem.loss, problem.start, problem.optimizer, dtype="float32", **problem.options
    )
    trainer.fit(problem.data, **problem.fit)
    code = without_comments(trainer.source)
    assert "float64" not in code
    numbers = re.finditer(r"(?<![\w.])\d+\.\d*(?:e[-+]?\d+)?", code)
    bare = [m[0] for m in numbers if not re.search(r"real\(-?$", code[: m.start()])]
    assert not bare, bare


def test_the_schedule_says_who_does_what():
    problem = convolutional()
    trainer = codegen.Trainer(problem.loss, problem.start, problem.optimizer)
    trainer.fit(problem.data, **problem.fit)
    report = str(trainer.schedule)
    assert re.search(r"one block: the widest phase uses \d+ threads", report)
    assert "divided among teams of threads" in report and "a thread for each index" in report
    for phase in trainer.schedule.phases:
        assert f"def {phase.name}(" in trainer.source
    with pytest.raises(InvalidArgument, match="target='cpu'"):
        trainer.profile(problem.data)
