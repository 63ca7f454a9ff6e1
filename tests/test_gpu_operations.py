"""Walks the tables of operations with ``target="cuda"``: all of ``test_codegen_operations``.

There ``plain`` is the kernel's text under the scheduler, which fails on races.
"""

import numpy as np
import pytest
import sympy as sp
import test_codegen_operations as cases
from on_devices import for_a_device, on_a_device, with_target_cuda  # noqa: F401
from test_codegen_operations import *  # noqa: F403
from test_operations import DOMAINS

import codegen
from codegen.emit.spelling import SPELLING, External
from codegen.gpu.device import running_on
from codegen.gpu.special_names import DEVICE_SPECIAL
from symdiff.bridge import to_graph, to_sympy
from symdiff.errors import UnsupportedOperation
from symdiff.graph import apply

del test_every_row_has_a_spelling_or_a_lowering_and_a_case  # noqa: F821

REFUSED = [n for n in DOMAINS if isinstance(SPELLING[n], External) and n not in DEVICE_SPECIAL]
"""Rows that no device has: routines of SciPy."""


@pytest.fixture(autouse=True)
def rows_of_a_device(for_a_device, monkeypatch):  # noqa: F811
    """Of the table of elementwise operations, what a device has."""
    rows = {name: domains for name, domains in DOMAINS.items() if name not in REFUSED}
    monkeypatch.setattr(cases, "DOMAINS", rows)


class Untouched:
    """A device that nothing may reach."""

    def __getattr__(self, name):
        raise AssertionError(f"the device was asked to {name}")


@pytest.mark.parametrize("name", REFUSED)
def test_rows_without_a_routine_are_refused_by_name(name):
    symbols = sp.symbols(f"x:{len(DOMAINS[name])}")
    w = sp.Symbol("w")
    row = to_sympy([apply(name, *map(to_graph, symbols))])[0]
    inner = to_sympy([apply(name, *map(to_graph, [*symbols[:-1], w * symbols[-1]]))])[0]
    with running_on(Untouched()):
        with pytest.raises(UnsupportedOperation, match=rf"no routine for {name},.*target='cpu'"):
            codegen.compile(row, symbols)(*[0.5] * len(symbols))
        trainer = codegen.Trainer(inner**2, {w: 0.5})
        for use in (
            lambda: trainer.source,
            lambda: trainer.fit({key: np.full(2, 0.5) for key in symbols}),
            lambda: trainer.predict(inner, dict.fromkeys(symbols, 0.5)),
        ):
            with pytest.raises(UnsupportedOperation, match="a GPU has no routine for "):
                use()
        assert trainer.parameters[w] == 0.5
