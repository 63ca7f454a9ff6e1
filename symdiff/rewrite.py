"""Rewriting: one ordered list of rules that keep the value of a graph.

``STABILITY`` rules recognise naive spellings that overflow or cancel; they are applied to a
loss before it is differentiated. ``ALGEBRA`` rules remove what differentiation leaves behind:
products with 1, sums with 0, double transposes. A rule takes a node whose inputs are already
rewritten and gives its replacement, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp

from .elementwise import ELEMENTWISE
from .graph import Node, apply, number, walk
from .resolve import resolve
from .shapes import broadcast
from .structural import broadcast_to, reshape, size_node, transpose

__all__ = ["ALGEBRA", "STABILITY", "Rewriter", "Rule", "algebra", "stabilise"]


@dataclass(frozen=True)
class Rule:
    """One rewrite: the operations it looks at, what it does, and its name in a derivation."""

    name: str
    operations: tuple[str, ...]
    apply: Callable[[Node], Node | None]


def _is(node: Node, operation: str) -> bool:
    return node.operation == operation


def _same(node: Node, result: Node) -> Node:
    """Give a replacement the shape of what it replaces."""
    return broadcast_to(result, node.shape)


# --- stability ---------------------------------------------------------------------------


def _terms(node: Node) -> list[Node]:
    return list(node.inputs) if _is(node, "add") else [node]


def _without(terms: Sequence[Node], removed: Node) -> Node:
    rest = [t for t in terms if t is not removed]
    return rest[0] if len(rest) == 1 else apply("add", *rest)


def _one_plus(node: Node) -> Node | None:
    """``x`` where the node is ``1 + x``."""
    if not _is(node, "add"):
        return None
    one = next((t for t in node.inputs if t.is_number(1)), None)
    return None if one is None else _without(node.inputs, one)


def _log(node: Node) -> Node | None:
    (x,) = node.inputs
    if _is(x, "exp"):
        return x.inputs[0]
    if _is(x, "sigmoid"):
        return apply("log_sigmoid", x.inputs[0])
    if _is(x, "subtract") and x.inputs[0].is_number(1) and _is(x.inputs[1], "sigmoid"):
        return apply("log_sigmoid", apply("negative", x.inputs[1].inputs[0]))
    if _is(x, "sum") and _is(x.inputs[0], "exp"):
        return apply("logsumexp", x.inputs[0].inputs[0], attributes=x.attributes)
    if _is(x, "divide") and _is(x.inputs[0], "exp"):
        numerator = x.inputs[0].inputs[0]
        return apply("subtract", numerator, _log_of(x.inputs[1]))
    if _is(x, "divide") and x.inputs[0].is_number(1):
        return apply("negative", _log_of(x.inputs[1]))
    if _is(x, "add") and len(x.inputs) == 2 and all(_is(t, "exp") for t in x.inputs):
        return apply("logaddexp", *(t.inputs[0] for t in x.inputs))
    rest = _one_plus(x)
    if rest is not None:
        return apply("softplus", rest.inputs[0]) if _is(rest, "exp") else apply("log1p", rest)
    if _is(x, "subtract") and x.inputs[0].is_number(1):
        return apply("log1p", apply("negative", x.inputs[1]))
    return None


def _log_of(node: Node) -> Node:
    logarithm = apply("log", node)
    return _log(logarithm) or logarithm


def _log1p(node: Node) -> Node | None:
    (x,) = node.inputs
    return apply("softplus", x.inputs[0]) if _is(x, "exp") else None


def _factors(node: Node) -> list[Node]:
    """The factors of a product, from left to right."""
    result: list[Node] = []
    stack = [node]
    while stack:
        factor = stack.pop()
        if _is(factor, "multiply"):
            stack.extend(reversed(factor.inputs))
        else:
            result.append(factor)
    return result


def _exchange(product: Node, old: Node, new: Node) -> Node | None:
    """The product with one factor replaced, or None where it is no factor."""
    factors = _factors(product)
    if old not in factors:
        return None
    factors[factors.index(old)] = new
    result = factors[0]
    for factor in factors[1:]:
        result = apply("multiply", result, factor)
    return result


def _divide(node: Node) -> Node | None:
    above, below = node.inputs
    if _is(below, "sum") and _is(below.inputs[0], "exp"):
        x = below.inputs[0].inputs[0]
        total = apply("logsumexp", x, attributes=below.attributes)
        softmax = apply("exp", apply("subtract", x, total))
        result = _exchange(above, below.inputs[0], softmax)
        return None if result is None else _same(node, result)
    rest = _one_plus(below)
    if rest is None or not _is(rest, "exp"):
        return None
    x = rest.inputs[0]
    result = _exchange(above, rest, apply("sigmoid", x))
    if result is not None:
        return result
    opposite = x.inputs[0] if _is(x, "negative") else apply("negative", x)
    logistic = apply("sigmoid", opposite)
    return logistic if above.is_number(1) else apply("multiply", above, logistic)


def _subtract(node: Node) -> Node | None:
    a, b = node.inputs
    return apply("expm1", a.inputs[0]) if _is(a, "exp") and b.is_number(1) else None


def _multiply_log(node: Node) -> Node | None:
    a, b = node.inputs
    for x, y in ((a, b), (b, a)):
        if _is(y, "log") and y.inputs[0] is x:
            return apply("xlogy", x, x)
    return None


def _sqrt_square(node: Node) -> Node | None:
    (x,) = node.inputs
    if _is(x, "power") and x.inputs[1].is_number(2):
        return apply("abs", x.inputs[0])
    return None


STABILITY: list[Rule] = [
    Rule("log of a stable form", ("log",), _log),
    Rule("log(1 + exp x) = softplus(x)", ("log1p",), _log1p),
    Rule("sigmoid and softmax from exponentials", ("divide",), _divide),
    Rule("exp(x) - 1 = expm1(x)", ("subtract",), _subtract),
    Rule("x log x = xlogy(x, x)", ("multiply",), _multiply_log),
    Rule("sqrt(x^2) = |x|", ("sqrt",), _sqrt_square),
]


# --- algebra -----------------------------------------------------------------------------

_FOLD: dict[str, Callable[..., sp.Expr]] = {
    "add": lambda *a: sp.Add(*a),
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "negative": lambda a: -a,
}


def _fold(node: Node) -> Node | None:
    if not all(i.is_number() and i.dtype != "bool" for i in node.inputs):
        return None
    values = [i.attributes[0] for i in node.inputs]
    if all(v.is_Rational for v in values):
        return number(_FOLD[node.operation](*values))
    return None


def _is_constant(node: Node) -> bool:
    """A literal number, a size, or a product of these: a factor that no data can make extreme."""
    if _is(node, "multiply"):
        return all(_is_constant(i) for i in node.inputs)
    return _is(node, "size") or (node.is_number() and node.dtype != "bool")


def _add(node: Node) -> Node | None:
    kept: list[Node] = []
    for term in node.inputs:
        if term.is_number(0):
            continue
        kept.extend(_terms(term))
    if len(kept) == len(node.inputs):
        return None
    if not kept:
        return _same(node, number(0))
    return _same(node, kept[0] if len(kept) == 1 else apply("add", *kept))


def _add_negative(node: Node) -> Node | None:
    """A person writes ``a - b``, not ``a + (-b)``."""
    minus = [t.inputs[0] for t in node.inputs if _is(t, "negative")]
    if not minus:
        return None
    plus = [t for t in node.inputs if not _is(t, "negative")]
    if not plus:
        return apply("negative", apply("add", *minus))
    total = plus[0] if len(plus) == 1 else apply("add", *plus)
    for term in minus:
        total = apply("subtract", total, term)
    return total


def _common_factor(node: Node) -> Node | None:
    """``a/n - b/n`` as ``(a - b)/n``, and the same with a constant factor."""
    kind = node.inputs[0].operation
    if kind not in ("divide", "multiply") or any(t.operation != kind for t in node.inputs):
        return None
    first, second = zip(*(t.inputs for t in node.inputs), strict=True)
    shared, parts = (second, first) if kind == "divide" else (first, second)
    if len(set(shared)) != 1 or not _is_constant(shared[0]):
        return None
    combined = apply(node.operation, *parts)
    pair = (combined, shared[0]) if kind == "divide" else (shared[0], combined)
    return apply(kind, *pair)


def _subtract_zero(node: Node) -> Node | None:
    a, b = node.inputs
    if b.is_number(0):
        return _same(node, a)
    if a.is_number(0):
        return _same(node, apply("negative", b))
    if _is(b, "negative"):
        return apply("add", a, b.inputs[0])
    return None


def _multiply(node: Node) -> Node | None:
    a, b = node.inputs
    for x, y in ((a, b), (b, a)):
        if x.is_number(0):
            return _same(node, number(0))
        if x.is_number(1):
            return _same(node, y)
        if x.is_number(-1):
            return _same(node, apply("negative", y))
        if _is(x, "negative"):
            return apply("negative", apply("multiply", x.inputs[0], y))
        if _is(x, "divide") and x.inputs[0].is_number(1):
            return apply("divide", y, x.inputs[1])
        if _is(x, "divide") and _is_constant(x.inputs[1]) and not _is_constant(y):
            return apply("divide", apply("multiply", x.inputs[0], y), x.inputs[1])
    # numbers first, gathered: (x * 2) * 3 -> 6 * x
    if b.is_number() and not a.is_number():
        return apply("multiply", b, a)
    if a.is_number() and _is(b, "multiply") and b.inputs[0].is_number():
        folded = _fold(apply("multiply", a, b.inputs[0]))
        return None if folded is None else apply("multiply", folded, b.inputs[1])
    if not a.is_number() and _is(b, "multiply") and b.inputs[0].is_number():
        return apply("multiply", b.inputs[0], apply("multiply", a, b.inputs[1]))
    if _is(a, "multiply") and a.inputs[0].is_number():
        return apply("multiply", a.inputs[0], apply("multiply", a.inputs[1], b))
    return None


def _divide_one(node: Node) -> Node | None:
    a, b = node.inputs
    if b.is_number(1):
        return _same(node, a)
    if a.is_number(0):
        return _same(node, number(0))
    if _is(a, "negative"):
        return apply("negative", apply("divide", a.inputs[0], b))
    if _is(a, "multiply") and a.inputs[0].is_number() and b.is_number():
        return _times_rational(a.inputs[0].attributes[0] / b.attributes[0], a.inputs[1])
    if _is(a, "multiply") and a.inputs[0].is_number() and _is(b, "multiply"):
        number_, rest = b.inputs
        if number_.is_number():
            ratio = a.inputs[0].attributes[0] / number_.attributes[0]
            scaled = _times_rational(ratio, a.inputs[1])
            return None if scaled is None else apply("divide", scaled, rest)
    if _is(a, "divide") and _is_constant(a.inputs[1]) and _is_constant(b):
        return apply("divide", a.inputs[0], apply("multiply", b, a.inputs[1]))
    return None


def _times_rational(factor: sp.Expr, x: Node) -> Node | None:
    """``x`` times a fraction that is in lowest terms where it is simpler than it was."""
    if not factor.is_Rational or 1 not in (abs(factor.p), factor.q):
        return None
    if factor.q == 1:
        return apply("multiply", number(factor), x)
    result = apply("divide", x, number(factor.q))
    return result if factor.p > 0 else apply("negative", result)


def _negative(node: Node) -> Node | None:
    (x,) = node.inputs
    if _is(x, "negative"):
        return x.inputs[0]
    if _is(x, "subtract"):
        return apply("subtract", x.inputs[1], x.inputs[0])
    return None


def _power(node: Node) -> Node | None:
    base, exponent = node.inputs
    if exponent.is_number(1):
        return _same(node, base)
    if exponent.is_number(0):
        return _same(node, number(1))
    if exponent.is_number(sp.Rational(1, 2)):
        return apply("sqrt", base)
    if exponent.is_number() and exponent.attributes[0].is_negative:
        positive = apply("power", base, number(-exponent.attributes[0]))
        return apply("divide", number(1), _power(positive) or positive)
    return None


def _transpose(node: Node) -> Node | None:
    (x,) = node.inputs
    (permutation,) = node.attributes
    if permutation == tuple(range(len(permutation))):
        return x
    if _is(x, "transpose"):
        return transpose(x.inputs[0], [x.attributes[0][p] for p in permutation])
    return None


def _reshape(node: Node) -> Node | None:
    (x,) = node.inputs
    if _is(x, "reshape"):
        return reshape(x.inputs[0], node.shape)
    if _is(x, "broadcast_to") and not x.inputs[0].shape:
        return broadcast_to(x.inputs[0], node.shape)
    added = node.rank - x.rank
    if added > 0 and node.shape == (1,) * added + x.shape:
        return broadcast_to(x, node.shape)
    return x if x.shape == node.shape else None


def _linear(node: Node) -> Node | None:
    """A sign or a constant factor is taken out of a sum or a matrix product."""
    for position, x in enumerate(node.inputs):

        def around(inner: Node, position: int = position) -> Node:
            inputs = (*node.inputs[:position], inner, *node.inputs[position + 1 :])
            return apply(node.operation, *inputs, attributes=node.attributes)

        if _is(x, "negative"):
            return apply("negative", around(x.inputs[0]))
        if _is(x, "multiply") and _is_constant(x.inputs[0]) and x.inputs[1].shape == x.shape:
            return apply("multiply", x.inputs[0], around(x.inputs[1]))
        if _is(x, "divide") and _is_constant(x.inputs[1]):
            return apply("divide", around(x.inputs[0]), x.inputs[1])
    return None


def _broadcast(node: Node) -> Node | None:
    (x,) = node.inputs
    if x.shape == node.shape:
        return x
    if _is(x, "broadcast_to"):
        return broadcast_to(x.inputs[0], node.shape)
    return None


def _absorb_broadcast(node: Node) -> Node | None:
    """An elementwise operand need not be stretched where another one has the shape."""
    for position, operand in enumerate(node.inputs):
        if not _is(operand, "broadcast_to"):
            continue
        inner = operand.inputs[0]
        others = [i.shape for k, i in enumerate(node.inputs) if k != position]
        if broadcast(inner.shape, *others) == node.shape:
            inputs = (*node.inputs[:position], inner, *node.inputs[position + 1 :])
            return apply(node.operation, *inputs, attributes=node.attributes)
    return None


def _hoist_broadcast(node: Node) -> Node | None:
    """An elementwise operation on nothing but stretched operands is done before stretching."""
    if not any(_is(i, "broadcast_to") for i in node.inputs):
        return None
    inner = [i.inputs[0] if _is(i, "broadcast_to") else i for i in node.inputs]
    shape = broadcast(*(i.shape for i in inner))
    if shape is None or shape == node.shape:
        return None
    return broadcast_to(apply(node.operation, *inner, attributes=node.attributes), node.shape)


def _is_identity(node: Node) -> bool:
    return (
        _is(node, "one_hot") and _is(node.inputs[0], "arange") and (node.shape[0] == node.shape[1])
    )


def _matmul(node: Node) -> Node | None:
    """A product with the identity matrix."""
    a, b = node.inputs
    if _is_identity(a):
        return b
    if _is_identity(b) or (_is(b, "transpose") and _is_identity(b.inputs[0])):
        return a
    return None


def _scatter_diagonal(node: Node) -> Node | None:
    """Values scattered to the places (i, i) are a column times the identity."""
    key, shape = node.attributes
    if key != (("tensor", 0), ("tensor", 1)) or shape[0] != shape[1]:
        return None
    values, rows, columns = node.inputs
    if rows is not columns or not _is(rows, "arange") or rows.shape != shape[:1]:
        return None
    unit = apply("one_hot", rows, attributes=(shape[0],))
    return apply("multiply", reshape(values, (shape[0], 1)), unit)


def _transpose_identity(node: Node) -> Node | None:
    (x,) = node.inputs
    return x if _is_identity(x) else None


def _where(node: Node) -> Node | None:
    condition, yes, no = node.inputs
    if yes is no:
        return _same(node, yes)
    if condition.is_number():
        chosen = no if condition.attributes[0] in (sp.false, 0) else yes
        return _same(node, chosen)
    return None


def _sum(node: Node) -> Node | None:
    """A sum over axes along which the operand is constant is a product with their size."""
    (x,) = node.inputs
    axes, keepdims = node.attributes
    if _is(x, "broadcast_to"):
        inner = x.inputs[0]
        offset = x.rank - inner.rank
        constant = [a for a in axes if a < offset or (inner.shape[a - offset] == 1 != x.shape[a])]
        if constant and len(constant) == len(axes):
            aligned = reshape(inner, (*[1] * offset, *inner.shape))
            target = tuple(1 if a in axes else d for a, d in enumerate(x.shape))
            total = broadcast_to(aligned, target)
            if not keepdims:
                total = reshape(total, node.shape)
            for a in constant:
                total = apply("multiply", size_node(x.shape[a]), total)
            return total
    if all(x.shape[a] == 1 for a in axes):
        return reshape(x, node.shape)
    return None


def _extremum(node: Node) -> Node | None:
    """Of one element there is nothing to choose."""
    (x,) = node.inputs
    return reshape(x, node.shape) if all(x.shape[a] == 1 for a in node.attributes[0]) else None


def _logical(node: Node) -> Node | None:
    (x,) = node.inputs
    return x.inputs[0] if _is(x, "logical_not") and x.inputs[0].dtype == "bool" else None


_ELEMENTWISE = tuple(ELEMENTWISE)

ALGEBRA: list[Rule] = [
    Rule("fold numbers", tuple(_FOLD), _fold),
    Rule("x + 0", ("add",), _add),
    Rule("a + (-b) = a - b", ("add",), _add_negative),
    Rule("a/n - b/n = (a - b)/n", ("add", "subtract"), _common_factor),
    Rule("x - 0", ("subtract",), _subtract_zero),
    Rule("x * 1, x * 0, sign first", ("multiply",), _multiply),
    Rule("x / 1, 0 / x", ("divide",), _divide_one),
    Rule("-(-x), -(a - b)", ("negative",), _negative),
    Rule("powers 0, 1, 1/2 and below 0", ("power",), _power),
    Rule("transpose of transpose", ("transpose",), _transpose),
    Rule("scatter to the diagonal", ("index_add",), _scatter_diagonal),
    Rule("transpose of the identity", ("transpose",), _transpose_identity),
    Rule("product with the identity", ("matmul",), _matmul),
    Rule("reshape of reshape", ("reshape",), _reshape),
    Rule("broadcast of broadcast", ("broadcast_to",), _broadcast),
    Rule("broadcast into elementwise", _ELEMENTWISE, _absorb_broadcast),
    Rule("broadcast after elementwise", _ELEMENTWISE, _hoist_broadcast),
    Rule("choice between equals", ("where",), _where),
    Rule("sum of a constant", ("sum",), _sum),
    Rule("extremum of one element", ("max", "min", "logsumexp", "prod"), _extremum),
    Rule("constant out of sum and product", ("sum", "matmul"), _linear),
    Rule("not not", ("logical_not",), _logical),
]


def _index(rules: Sequence[Rule]) -> dict[str, list[Rule]]:
    table: dict[str, list[Rule]] = {}
    for rule in rules:
        for operation in rule.operations:
            table.setdefault(operation, []).append(rule)
    return table


Applied = list[tuple[Rule, Node, Node]]

_LIMIT = 64
"""Rewrites of one node in a row; rules that undo each other would never end."""


class Rewriter:
    """Applies a table of rules bottom-up and remembers what it has done.

    Calling it again on a larger graph only visits what is new, so a walk that grows a graph
    node by node stays linear.
    """

    def __init__(self, rules: Sequence[Rule], applied: Applied | None = None) -> None:
        self._table = _index(rules)
        self._applied = applied
        self._done: dict[Node, Node] = {}

    def __call__(self, roots: Sequence[Node]) -> list[Node]:
        """Rewrite what lies below ``roots``."""
        for node in walk(roots, self._done):
            inputs = tuple(self._done[i] for i in node.inputs)
            new = node
            if inputs != node.inputs:
                new = apply(node.operation, *inputs, attributes=node.attributes)
            result = self._done[new] if new in self._done else self._fixpoint(new)
            self._done[node] = result
            self._done[result] = result
        return [self._done[r] for r in roots]

    def _fixpoint(self, node: Node) -> Node:
        for _ in range(_LIMIT):
            for rule in self._table.get(node.operation, ()):
                new = rule.apply(node)
                if new is not None and new is not node:
                    if self._applied is not None and rule in STABILITY:
                        self._applied.append((rule, node, new))
                    node = self._settle_inputs(new)
                    break
            else:
                return node
        return node

    def _settle_inputs(self, node: Node) -> Node:
        inputs = tuple(self(node.inputs))
        if inputs == node.inputs:
            return node
        return apply(node.operation, *inputs, attributes=node.attributes)


def algebra(roots: Sequence[Node]) -> list[Node]:
    """Simplify by the rules of :data:`ALGEBRA`."""
    return Rewriter(ALGEBRA)(roots)


def stabilise(
    roots: Sequence[Node], applied: Applied | None = None, context: Sequence[Node] = ()
) -> list[Node]:
    """Resolve names and replace naive spellings by stable functions.

    ``applied`` collects what was done; ``context`` are symbol nodes of other graphs with the
    same data.
    """
    return Rewriter([*STABILITY, *ALGEBRA], applied)(resolve(roots, context))
