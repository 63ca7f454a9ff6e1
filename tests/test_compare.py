"""Comparing methods: their values agree, and what they count is what others count."""

import math
import pickle
import re

import numpy as np
import pytest
import sympy as sp

import symdiff as sd
from symdiff.bridge import to_graph
from symdiff.comparison.counting import graph_operations, tree_nodes, tree_operations
from symdiff.comparison.programs import Formulas
from symdiff.comparison.scalars import numeric_entries, written_out
from symdiff.comparison.swell import Swell
from symdiff.comparison.values import draw
from symdiff.gradient import loss_node
from symdiff.graph import leaves
from symdiff.shapes import Size

x, y, r = sp.symbols("x y r")
X, v, Y = sd.tensor("X", "n", 2), sd.tensor("v", 3), sd.tensor("Y", "n")
W, b, B = sd.tensor("W", 2, 3), sd.tensor("b", 3), sd.tensor("B", 2, 2)
t = sd.tensor("t", "n", dtype="int")
METHODS = [
    "finite differences", "forward mode", "SymPy diff, tree", "SymPy diff, cse", "symdiff graph",
]  # fmt: skip

LOSSES = {
    "scalars": (sp.exp(-x * y) * sp.sin(r) / (1 + x**2), [x, r]),
    "network": (sd.mean((sd.tanh(X @ W + b) @ v - Y) ** 2), [W, b, v]),
    "softmax": (sd.losses.cross_entropy(X @ W, t), W),
    "stable functions": (sd.sum(sd.softplus(X @ W) * sd.sigmoid(b) + sd.relu(b)), [W, b]),
    "a domain": (sp.log(x) + sp.sqrt(y - 1) + sp.asin(r), [x, y, r]),
    "logarithms of entries": (sd.sum(sd.log(v)) + sd.logsumexp(v) + sd.norm(v), v),
    "absolute values": (sd.sum(sd.absolute(b - v)) + sp.Abs(x), [b, x]),
    "a choice": (sp.Piecewise((x**2, x > y), (y * sp.exp(x), True)), [x, y]),
    "extrema": (sd.max(W, axis=1)[0] * sd.min(v) + sp.Max(x, y), [W, v, x]),
    "movements": (sd.sum(sd.concatenate([W[::-1].T, W.T], axis=1)[1:] ** 2 * b[1]), [W, b]),
    "matrices": (sd.logdet(B @ B.T + sd.eye(2)) + sd.sum(sd.solve(B, b[:2])), [B, b]),
    "convolution": (sd.sum(sd.tanh(sd.conv1d(sd.reshape(v, 1, 1, 3), sd.reshape(b[:2], 1, 1, 2)))),
                    [v, b]),
    "cumulative": (sd.sum(sd.cumsum(v) * sd.prod(b)), [v, b]),
    "exponents": (sd.log(sd.sum(sd.exp(X @ W))) + x**y, [W, x, y]),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_all_methods_give_the_same_numbers(name):
    loss, wrt = LOSSES[name]
    table = sd.compare(loss, wrt)
    assert [row.method for row in table.rows] == METHODS
    assert "120 digits" in table.reference and "long" not in table.reference
    for row in table.rows:
        assert not row.note and row.exact, row
        assert row.error < (1e-6 if row.method == "finite differences" else 1e-12), row
        assert min(row.operations, row.nodes, row.numbers, row.evaluate_seconds) > 0
    assert sd.check_gradient(loss, wrt, table.values, gradient=table.rows[-1].gradient) < 1e-6


def logistic(steps, start=x, factor=4):
    value = start
    for _ in range(steps):
        value = factor * value * (1 - value)
    return value


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
@pytest.mark.parametrize("factor", [4, r])
def test_trees_are_counted_as_sympy_counts(steps, factor):
    loss = logistic(steps, factor=factor)
    derivative = loss.diff(x)
    table = sd.compare(loss, x)
    row = table["SymPy diff, tree"]
    assert row.operations == sp.count_ops(derivative) == Swell(loss).operations(x)
    assert row.nodes == sum(1 for _ in walked(to_graph(derivative)))
    named, results = sp.cse([derivative])
    expected = sum(int(sp.count_ops(e)) for e in [*(e for _, e in named), *results])
    assert table["SymPy diff, cse"].operations == expected


def walked(node):
    """A graph as the tree that it stands for, node by node."""
    yield node
    for operand in node.inputs:
        yield from walked(operand)


def test_a_tree_is_counted_without_being_built():
    table = sd.compare(logistic(14), x)
    tree, graph = table["SymPy diff, tree"], table["symdiff graph"]
    # sp.count_ops(logistic(14).diff(x)), which takes a quarter of a minute
    assert tree.operations == 2_420_736
    assert tree.gradient is None and not tree.exact and "limit=30000" in tree.note
    assert table["SymPy diff, cse"].operations is None and table["SymPy diff, cse"].note
    assert graph.operations < 200 and graph.error < 1e-10
    assert "≈ 2 420 736" in str(table)


@pytest.mark.parametrize(
    "step",
    [
        lambda e: sp.tanh(e) * e,
        lambda e: sp.exp(-e) / (1 + e**2),
        lambda e: 1 / (1 + sp.exp(-r * e - y)),
        lambda e: sp.sqrt(e + r) + sp.log(e * r),
        lambda e: r * e - r * e**2,
    ],
)
def test_the_estimate_is_near_for_other_functions(step):
    loss = x
    for _ in range(5):
        loss = step(loss)
    for symbol in sorted(loss.free_symbols, key=str):
        exact = tree_operations(to_graph(loss.diff(symbol)))
        assert 0.7 < Swell(loss).operations(symbol) / exact < 1.4


def test_a_limit_decides_whether_a_tree_is_built():
    loss = logistic(9)  # beyond what is built unseen
    count = sp.count_ops(loss.diff(x))
    assert sd.compare(loss, x, limit=count)["SymPy diff, tree"].operations == count
    refused = sd.compare(loss, x, limit=count - 1)["SymPy diff, tree"]
    assert refused.gradient is None and refused.operations == count


def test_what_grows_beyond_all_floats_is_counted():
    deep = x
    for _ in range(100):
        deep = sd.sigmoid(deep) + sd.softplus(deep)
    assert tree_operations(to_graph(deep)) == 3 * (2**100 - 1)
    table = sd.compare(deep, x, {x: 0.3})
    row = table["SymPy diff, tree"]
    assert row.gradient is None and row.operations > 2**100
    assert re.search(r"SymPy diff, tree +≈ \d\.\de3\d ", str(table))
    assert table["symdiff graph"].error < 1e-14


def test_operations_of_a_graph_are_those_of_its_scalars():
    """Brute force: the same loss with every entry a symbol, equal parts once."""
    sizes = {Size("n"): 4}
    for loss in (
        sd.sum((X @ W) ** 2),
        sd.sum(sd.exp(X) * Y[:, None]),
        sd.logsumexp(v) + sd.prod(b),
    ):
        root = to_graph(loss)
        entries = {}
        for leaf in leaves([root]):
            array = np.empty([4 if d == "n" else d for d in leaf.shape], object)
            for index in np.ndindex(array.shape):
                array[index] = sp.Dummy()
            entries[leaf] = array
        scalars = written_out(root, entries, sizes)
        assert graph_operations([root], sizes) == sp.count_ops(scalars)


def test_formulas_hold_what_waits():
    formulas = Formulas([(r, x * y)], [r + sp.sin(r), r**2])
    assert formulas.operations == 4 and formulas.nodes == 3 + 4 + 3
    assert formulas({x: 2.0, y: 3.0}) == [6 + math.sin(6), 36]
    # the named product, the first result, and 6, 2 of the square
    assert formulas.numbers == 4
    assert Formulas([], [x * y + x * y]).operations == tree_operations(to_graph(2 * x * y)) == 2
    assert tree_nodes(to_graph(sp.sin(x) + 1)) == 4


def test_the_reference_has_the_digits_of_a_double():
    value = numeric_entries(np.array(800.0), 120)
    naive = to_graph(sp.log(1 + sp.exp(x)))
    exact = written_out(naive, {to_graph(x): value}, {}, digits=120)
    assert abs(exact - 800) < sp.Float("1e-100", 120)
    step = written_out(
        to_graph((1 + x) - 1), {to_graph(x): numeric_entries(np.array(1e-60), 120)}, {}, digits=120
    )
    assert float(step) == 1e-60


def test_a_loss_that_overflows_as_it_is_written():
    table = sd.compare(sp.log(1 + sp.exp(x)), x, {x: 800.0})
    *written, graph = table.rows
    assert all(math.isnan(row.error) for row in written)
    assert graph.error == 0 and graph.gradient[x] == 1
    assert str(table).count("not finite") == 4


def test_values_are_kept_drawn_and_drawn_again():
    given = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    loss, wrt = sd.sum((X @ W[:, 0] - Y) ** 2), W
    table = sd.compare(loss, wrt, {X: given})
    assert (table.values[X] == given).all() and table.values[Y].shape == (4,)
    again = sd.compare(loss, wrt, {X: given})
    assert all((again.values[s] == table.values[s]).all() for s in table.values)
    other = sd.compare(loss, wrt, {X: given}, seed=1)
    assert (other.values[W] != table.values[W]).any()
    assert sd.compare(loss, wrt).values[X].shape == (3, 2)
    assert sd.compare(loss, wrt, sizes={"n": 5}).values[X].shape == (5, 2)


def test_random_values_lie_in_the_domain():
    for loss in (sp.log(x) + sp.log(1 - x), sp.acosh(x), sp.log(-x - r), sp.log(x) + sp.log(-y)):
        root = loss_node(loss)
        arrays, _ = draw([root], leaves([root]), None, None, 3, 0)
        assert np.isfinite(sd.evaluate(loss, {n.attributes[0]: a for n, a in arrays.items()}))
    with pytest.raises(sd.InvalidArgument, match=r"no random numbers were found for x.*values="):
        sd.compare(sp.log(-(x**2)), x)


def test_an_unused_parameter_has_zeros():
    table = sd.compare(sd.sum(v**2), [b, v])
    for row in table.rows:
        assert (row.gradient[b] == 0).all() and row.gradient[v].any()
    assert sd.compare(x**2, y)["symdiff graph"].error == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X @ W, W), sd.ShapeError, "a loss must be a scalar"),
        ((x**2, "x"), sd.InvalidType, "with respect to symbols"),
        ((x**2, []), sd.InvalidArgument, "wrt is empty"),
        ((x**2, x, 3), sd.InvalidType, "as a dict"),
        ((sd.sum(v), v, {v: [1.0, 2.0]}), sd.BindingError, r"v has shape \(3,\)"),
        ((x * y, x, {x: 1.0, y: [1.0, 2.0]}), sd.BindingError, "y has shape"),
    ],
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        sd.compare(*arguments)


def test_sizes_that_do_not_exist_and_bad_limits_are_refused():
    with pytest.raises(sd.InvalidArgument, match="sizes names m"):
        sd.compare(sd.sum(X**2), X, sizes={"m": 2})
    with pytest.raises(sd.InvalidArgument, match="limit"):
        sd.compare(x**2, x, limit=-1)


def test_operations_without_a_scalar_form_say_so():
    carry, _ = sd.scan(lambda c, e: (sd.tanh(c + e), c), sd.zeros(), v)
    table = sd.compare(carry, v)
    assert "scan is not written out" in table["SymPy diff, tree"].note
    assert table["symdiff graph"].error is None and table["finite differences"].error < 1e-6
    A = sd.tensor("A", 60, 60)
    large = sd.compare(sd.sum(A**2), A)
    assert "scalar operations" in large["SymPy diff, tree"].note
    assert "graph" in large.reference


def test_dropout_and_per_sample_losses():
    table = sd.compare(sd.sum(sd.dropout(v, 0.5) ** 2), v)
    np.testing.assert_allclose(table.rows[-1].gradient[v], 2 * table.values[v])
    M = sp.MatrixSymbol("M", 2, 2)
    assert sd.compare(sp.Trace(M.T * M), M).rows[2].error < 1e-12


def test_a_table_is_at_most_100_columns_wide_and_pickles():
    name = sp.Symbol("a_very_long_name_" * 12)
    for table in (sd.compare(name**2, name), sd.compare(*LOSSES["network"])):
        assert max(map(len, str(table).splitlines())) <= 100
        again = pickle.loads(pickle.dumps(table))
        assert str(again) == str(table) and again.parameters == table.parameters
    with pytest.raises(KeyError, match="finite differences"):
        table["nothing"]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"]; x [', "&amp;\x1b[31m"])
def test_hostile_names_are_text(name):
    symbol = sp.Symbol(name)
    table = sd.compare(symbol**2, symbol)
    page = table._repr_html_()
    inside = re.sub(r'</?(table|caption|thead|tbody|tr|th|td|p|br)( style="[a-z:-]*")?>', "", page)
    assert not set("<>\"'\x1b") & set(inside)
    assert "\x1b" not in str(table)
