"""Loop IR of a device: what it means, and what verification finds."""

import numpy as np
import pytest
from loops import DeviceLoops
from on_devices import PATHS, divide_small_loops
from test_codegen_loop_ir import GRAPHS, VALUES, N, assert_all_close, at, loop, real, used, vector

import symdiff as sd
from codegen.gpu.making import Making
from codegen.gpu.nests import Sizes
from codegen.gpu.spread import Spreader
from codegen.interpret import interpret
from codegen.ir_walk import statements
from codegen.layout import layout
from codegen.loop_ir import (
    Buffer,
    Call,
    Gemm,
    Lanes,
    Load,
    Meet,
    Phase,
    Repeat,
    Spread,
    Store,
    Update,
    Var,
    const,
)
from codegen.names import Names
from codegen.verify import InvalidLoopIR, verify


def device_loops(expressions, order=None):
    loops = DeviceLoops(expressions, VALUES, order=order)
    for stage, phases in loops.stages():
        loops.verify(phases, laid_out=stage == "layout")
        yield stage, loops.run(phases)


@pytest.mark.parametrize("name", list(GRAPHS))
def test_device_passes_keep_the_meaning(name):
    expressions = GRAPHS[name]
    expected = sd.evaluate(expressions, used(expressions))
    for stage, results in device_loops(expressions):
        assert_all_close(results, expected, f"after {stage!r}")


SOME = ["linear", "gemm", "reductions", "softmax", "gather", "moved", "scalars of sums"]


@pytest.mark.parametrize("path", list(PATHS))
def test_every_way_to_divide_loops_keeps_the_meaning(path, monkeypatch):
    divide_small_loops(monkeypatch, path)
    for name in SOME:
        expressions = GRAPHS[name]
        expected = sd.evaluate(expressions, used(expressions))
        for stage, results in device_loops(expressions):
            assert_all_close(results, expected, f"{name} after {stage!r}, {path}")


@pytest.mark.parametrize("name", ["linear", "gemm", "gather"])
def test_batches_are_gathered_on_a_device(name, monkeypatch):
    divide_small_loops(monkeypatch, "products by tiles")
    expressions, order = GRAPHS[name], [5, 0, 3, 3]
    values = {s: (x[order] if getattr(x, "shape", ())[:1] == (7,) else x)
              for s, x in VALUES.items()}  # fmt: skip
    expected = sd.evaluate(expressions, used(expressions, values))
    for stage, results in device_loops(expressions, order):
        assert_all_close(results, expected, f"after {stage!r}")


def test_these_graphs_take_every_path(monkeypatch):
    """A kind of statement that they do not lead to would pass the tests above untried."""
    found = set()
    for path in PATHS:
        with pytest.MonkeyPatch.context() as patch:
            divide_small_loops(patch, path)
            for name in SOME:
                for phase in DeviceLoops(GRAPHS[name], VALUES).finish():
                    found.update(s.team for s in phase.body if isinstance(s, Spread))
                    for s in statements(phase.body):
                        found.add(type(s))
                        if isinstance(s, Lanes) and s.part:
                            found.add("part")
    assert {"thread", "warp", "block", "part", Lanes, Meet, Gemm} <= found


def test_what_runs_once_stays_in_order():
    """Statements that share variables are one piece, with what stands between and needs both."""
    x, place = vector("x", "data"), Buffer("place", [N], "int", "data", array="place")
    work = Buffer("work", [N], "real", "shared", array="work")
    out = Buffer("out", [], "real", "output", array="out")
    first, second = variable("first"), variable("second")
    body = [
        start(first),
        loop("i", Update(first, (), "add", Load(x, at("i"))), Store(work, at("i"), real(1))),
        loop("j", Update(work, (Load(place, at("j")),), "add", Load(x, at("j")))),
        start(second),
        loop("k", Update(second, (), "add", Load(work, at("k")))),
        Store(out, (), Call("subtract", (Load(first, ()), Load(second, ())), "real")),
    ]
    buffers = []
    spreader = Spreader(Making(Names(), buffers, Sizes({"n": 5}), {work, out}))
    phases = spreader.phases("p", body)
    layout(phases, {})
    verify(phases, ["n"], None)
    arrays = {x: np.arange(5.0), place: np.array([0, 2, 2, 4, 0]), out: np.zeros(())}
    interpret(phases, arrays, {"n": 5})
    assert arrays[out] == -5


# --- verification ------------------------------------------------------------------------


def phase(*body, around=()):
    return Phase("p", "spread", list(body), around=around)


def variable(name):
    return Buffer(name, [], "real", "scalar")


def start(buffer):
    return Store(buffer, (), real(0))


def lanes(counter, *body, sums=None, part=None):
    return Lanes([counter], [N], list(body), sums or {}, part)


def valid():
    """Phases in which nothing is wrong."""
    x, y = vector("x", "data"), vector("y")
    matrix = Buffer("m", [const(3), N], "real", "shared", array="m")
    total, part = variable("total"), variable("part")
    parts = Buffer("parts", [const(3)], "real", "shared", array="parts")
    element = Load(x, at("j"))
    return {
        "threads": phase(Spread(["i"], [N], "thread", [Store(y, at("i"), Load(x, at("i")))])),
        "lanes": phase(
            Spread(["i"], [const(3)], "warp", [
                lanes("j", Store(matrix, (*at("i"), *at("j")), element)),
                Meet(),
                start(total),
                lanes("j", Update(total, (), "add", Load(matrix, (*at("i"), *at("j")))),
                      sums={total: "add"}),
                Store(parts, at("i"), Load(total, ())),
            ]),
        ),
        "parts": phase(
            Spread(["c"], [const(3)], "block", [
                start(part),
                lanes("j", Update(part, (), "add", element), Store(y, at("j"), element),
                      sums={part: "add"}, part=(Var("c", "int"), 3)),
                Store(parts, at("c"), Load(part, ())),
            ]),
        ),
        "repeated": phase(
            Spread(["i"], [const(3)], "thread", [Store(parts, at("i"), Load(x, at("t")))]),
            around=(Repeat("t", N),),
        ),
    }  # fmt: skip


def wrong():
    """What verification must find in phases, by what it says."""
    x, y = vector("x", "data"), vector("y")
    element, first = Load(x, at("i")), (const(0),)
    total = variable("total")
    add = Update(total, (), "add", element)
    number = Buffer("number", [], "real", "shared", array="number")
    return [
        ("two threads may write one element of output y.*not at i",
         phase(Spread(["i"], [N], "thread", [Store(y, first, element)]))),
        ("two threads may write one element of output y.*not at i",
         phase(Spread(["i"], [N], "thread", [Update(y, first, "add", element)]))),
        ("two threads may write one element of shared number",
         phase(Spread(["i"], [N], "warp", [Store(number, (), element)]))),
        ("not at j",
         phase(Spread(["i"], [N], "warp", [lanes("j", Store(y, at("i"), element))]))),
        ("not at i",
         phase(Spread(["i"], [N], "warp", [lanes("j", Store(y, at("j"), element))]))),
        ("not at k",
         phase(Spread(["i"], [N], "warp", [
             lanes("j", Store(y, at("j"), Load(x, at("j"))), part=(Var("i", "int"), 3)),
             lanes("k", Store(y, at("i"), element)),
         ]))),
        ("the sum scalar total.* has no start",
         phase(Spread(["i"], [N], "warp", [lanes("j", add, sums={total: "add"})]))),
        ("updated before it is written",
         phase(Spread(["i"], [N], "thread", [add, Store(y, at("i"), Load(total, ()))]))),
        ("x.*is read only", phase(Spread(["i"], [N], "thread", [Store(x, at("i"), real(0))]))),
        ("j is read before it is bound",
         phase(Spread(["i"], [N], "thread", [Store(y, at("i"), Load(x, at("j")))]))),
        ("the counter i is in use",
         phase(Spread(["i"], [N], "warp", [lanes("i", Store(y, at("i"), real(0)))]))),
        ("t is bound twice",
         phase(Spread(["i"], [N], "thread", [Store(y, at("i"), element)]),
               around=(Repeat("t", N), Repeat("t", N)))),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["threads", "lanes", "parts", "repeated"])
def test_phases_of_a_device_are_accepted(name):
    verify([valid()[name]], ["n"], None)


@pytest.mark.parametrize(("message", "broken"), wrong(), ids=lambda p: p if str(p) == p else "")
def test_verification_finds_what_threads_may_do_to_each_other(message, broken):
    with pytest.raises(InvalidLoopIR, match=message):
        verify([broken], ["n"], None)
