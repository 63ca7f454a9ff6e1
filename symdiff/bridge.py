"""SymPy to graph and back: the only conversion.

``to_graph`` walks SymPy's arguments without recursion. SymPy's own classes are looked up in
:data:`FROM_SYMPY`; symdiff's classes carry their node (``_node``). ``to_sympy`` goes back by
the ``body`` of each row and the expression class of each structural operation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import Application, AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom

from . import functions as fn
from . import operations as _operations  # noqa: F401  (completes the table)
from .constants import Array
from .errors import InvalidType, UnsupportedOperation
from .graph import OPERATIONS, Node, apply, number, walk
from .resolve import bound_symbols, named_sizes
from .shapes import Size
from .structural import reshape, signed_sum, zeros

EVALUATE_LIMIT = 400
"""Beyond this many nodes SymPy is given the parts as they stand: its automatic
simplification recurses through the whole expression and can take exponential time."""


def _chain(name: str) -> Callable[..., Node]:
    def build(expression: sp.Basic, *inputs: Node) -> Node:
        return apply(name, *inputs)

    return build


def _variadic(name: str) -> Callable[..., Node]:
    def build(expression: sp.Basic, *inputs: Node) -> Node:
        return inputs[0] if len(inputs) == 1 else apply(name, *inputs)

    return build


def _negated(node: Node) -> Node | None:
    """``x`` where the node is ``-x``."""
    if node.operation == "negative":
        return node.inputs[0]
    if node.operation == "number" and node.dtype != "bool" and node.attributes[0].is_negative:
        return number(-node.attributes[0])
    return None


def _add(expression: sp.Basic, *inputs: Node) -> Node:
    """Sum the positive terms, then subtract the negative ones one by one."""
    plus = [i for i in inputs if _negated(i) is None]
    minus = [n for i in inputs if (n := _negated(i)) is not None]
    # SymPy puts numbers first; a person writes x - 1, not -1 + x
    plus.sort(key=lambda i: i.operation == "number")
    return signed_sum(plus, minus)


def _multiply(expression: sp.Basic, *inputs: Node) -> Node:
    """Numerators over denominators, with the sign in front."""
    sign = 1
    above: list[Node] = []
    below: list[Node] = []
    for argument, node in zip(expression.args, inputs, strict=True):
        if argument.is_Rational and not argument.is_Integer:
            sign *= 1 if argument.is_positive else -1
            if abs(argument.p) != 1:
                above.append(number(abs(argument.p)))
            below.append(number(argument.q))
        elif argument.is_Number and argument.is_negative:
            sign *= -1
            if argument != -1:
                above.append(number(-argument))
        elif node.operation == "divide" and node.inputs[0].is_number(1):
            below.append(node.inputs[1])
        else:
            above.append(node)
    result = _fold("multiply", above) if above else number(1)
    if below:
        result = apply("divide", result, _fold("multiply", below))
    return result if sign > 0 else apply("negative", result)


def _fold(name: str, nodes: Sequence[Node]) -> Node:
    result = nodes[0]
    for node in nodes[1:]:
        result = apply(name, result, node)
    return result


def _power(expression: sp.Basic, base: Node, exponent: Node) -> Node:
    if expression.args[0] is sp.E:
        return apply("exp", exponent)
    power = expression.args[1]
    if power.is_Number and power.is_negative:
        return apply("divide", number(1), _root_or_power(base, -power))
    return _root_or_power(base, power) if power.is_Number else apply("power", base, exponent)


def _root_or_power(base: Node, power: sp.Number) -> Node:
    if power == 1:
        return base
    if power == sp.Rational(1, 2):
        return apply("sqrt", base)
    return apply("power", base, number(power))


def _not_equal(expression: sp.Basic, a: Node, b: Node) -> Node:
    if a.dtype == "bool" and b.is_number(0):  # how SymPy writes that a tensor is a condition
        return a
    return apply("not_equal", a, b)


def _flip(name: str) -> Callable[..., Node]:
    return lambda expression, a, b: apply(name, b, a)


def _piecewise(expression: sp.Basic, *inputs: Node) -> Node:
    """Nested choices; without a default branch, NaN where no condition holds."""
    pairs = [(inputs[2 * i], inputs[2 * i + 1]) for i in range(len(inputs) // 2)]
    last_value, last_condition = pairs[-1]
    if last_condition.operation == "number" and last_condition.attributes[0] == sp.true:
        result = last_value
        pairs.pop()
    else:
        result = number(sp.nan)
    for value, condition in reversed(pairs):
        result = apply("where", condition, value, result)
    return result


def _heaviside(expression: sp.Basic, x: Node, at_zero: Node) -> Node:
    return apply("heaviside", x, at_zero)


def _log(expression: sp.Basic, x: Node, *base: Node) -> Node:
    result = apply("log", x)
    return apply("divide", result, apply("log", base[0])) if base else result


def _polygamma(expression: sp.Basic, order: Node, x: Node) -> Node:
    return apply("digamma", x) if order.is_number(0) else apply("polygamma", order, x)


def _lambertw(expression: sp.Basic, x: Node, *branch: Node) -> Node:
    return apply("lambertw", x, *(branch or (number(0),)))


def _zeta(expression: sp.Basic, s: Node, *q: Node) -> Node:
    return apply("zeta", s, *(q or (number(1),)))


def _truth(node: Node) -> Node:
    return node if node.dtype == "bool" else apply("not_equal", node, number(0))


def _xor(expression: sp.Basic, *inputs: Node) -> Node:
    result = _truth(inputs[0])
    for other in inputs[1:]:
        result = apply("not_equal", result, _truth(other))
    return result


def _equivalent(expression: sp.Basic, *inputs: Node) -> Node:
    first, *rest = map(_truth, inputs)
    pairs = [apply("equal", first, other) for other in rest]
    return pairs[0] if len(pairs) == 1 else apply("logical_and", *pairs)


def _by(formula: Callable[..., sp.Expr]) -> Callable[..., Node]:
    """A SymPy function by an equal expression in functions that have rows."""

    def build(expression: sp.Basic, *inputs: Node) -> Node:
        arguments = [sp.Dummy(real=True) for _ in inputs]
        return instantiate(formula(*arguments), arguments, inputs)

    return build


_SPECIAL = [
    "erfi", "erfcinv", "beta", "lowergamma", "uppergamma", "besselj", "bessely", "besseli",
    "besselk", "jn", "yn", "Ei", "expint", "Si", "Ci", "Shi", "Chi", "airyai", "airyaiprime",
    "airybi", "airybiprime", "fresnels", "fresnelc",
]  # fmt: skip

_SAME = [
    "exp", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh",
    "acosh", "atanh", "erf", "erfc", "erfinv", "gamma", "loggamma", "sign", "floor", "ceiling",
]  # fmt: skip

FROM_SYMPY: dict[type, Callable[..., Node]] = {
    sp.Add: _add,
    sp.Mul: _multiply,
    sp.Pow: _power,
    sp.log: _log,
    sp.polygamma: _polygamma,
    sp.Abs: _chain("abs"),
    sp.Mod: _chain("mod"),
    sp.Max: _variadic("maximum"),
    sp.Min: _variadic("minimum"),
    sp.Piecewise: _piecewise,
    sp.Heaviside: _heaviside,
    sp.And: _variadic("logical_and"),
    sp.Or: _variadic("logical_or"),
    sp.Not: _chain("logical_not"),
    sp.ITE: _chain("where"),
    sp.Eq: _chain("equal"),
    sp.Ne: _not_equal,
    sp.Lt: _chain("less"),
    sp.Le: _chain("less_equal"),
    sp.Gt: _flip("less"),
    sp.Ge: _flip("less_equal"),
    sp.cot: _by(lambda x: 1 / sp.tan(x)),
    sp.sec: _by(lambda x: 1 / sp.cos(x)),
    sp.csc: _by(lambda x: 1 / sp.sin(x)),
    sp.acot: _by(lambda x: sp.atan(1 / x)),
    sp.asec: _by(lambda x: sp.acos(1 / x)),
    sp.acsc: _by(lambda x: sp.asin(1 / x)),
    sp.coth: _by(lambda x: 1 / sp.tanh(x)),
    sp.sech: _by(lambda x: 1 / sp.cosh(x)),
    sp.csch: _by(lambda x: 1 / sp.sinh(x)),
    sp.acoth: _by(lambda x: sp.atanh(1 / x)),
    sp.asech: _by(lambda x: sp.acosh(1 / x)),
    sp.acsch: _by(lambda x: sp.asinh(1 / x)),
    sp.sinc: _by(lambda x: sp.Piecewise((1, sp.Eq(x, 0)), (sp.sin(x) / x, True))),
    sp.frac: _by(lambda x: x - sp.floor(x)),
    sp.erf2: _by(lambda x, y: sp.erf(y) - sp.erf(x)),
    sp.factorial: _by(lambda x: sp.gamma(x + 1)),
    sp.binomial: _by(lambda n, k: 1 / ((n + 1) * sp.beta(n - k + 1, k + 1))),
    sp.RisingFactorial: _by(lambda x, k: sp.gamma(x + k) / sp.gamma(x)),
    sp.FallingFactorial: _by(lambda x, k: sp.gamma(x + 1) / sp.gamma(x - k + 1)),
    sp.harmonic: _by(lambda x: sp.polygamma(0, x + 1) + sp.EulerGamma),
    sp.li: _by(lambda x: sp.Ei(sp.log(x))),
    sp.Li: _by(lambda x: sp.Ei(sp.log(x)) - sp.li(2).evalf(30)),
    sp.KroneckerDelta: _by(lambda i, j: sp.Piecewise((1, sp.Eq(i, j)), (0, True))),
    sp.LambertW: _lambertw,
    sp.zeta: _zeta,
    sp.re: lambda expression, x: x,  # all symbols are real
    sp.conjugate: lambda expression, x: x,
    sp.im: lambda expression, x: zeros(x.shape),
    sp.Xor: _xor,
    sp.Implies: lambda expression, a, b: apply("logical_or", apply("logical_not", a), b),
    sp.Equivalent: _equivalent,
    sp.UnevaluatedExpr: lambda expression, x: x,
    **{getattr(sp, name): _chain(name) for name in _SAME},
    **{getattr(sp, name): _chain(name.lower()) for name in _SPECIAL},
    **{cls: _chain(cls.__name__) for cls in fn.StableFunction.__subclasses__()},
}
"""How each SymPy class becomes nodes: ``(expression, *inputs) -> node``."""


PARTS: dict[type, Callable[[Any], tuple[sp.Basic, ...]]] = {}
"""Which parts of a class become the inputs of its rule, where these are not its arguments."""


REMEDIES = {
    "Derivative": "carry it out first with .doit()",
    "Subs": "carry it out first with .doit()",
    "Integral": "carry it out first with .doit(), or write it as a finite sum",
    "Limit": "carry it out first with .doit()",
    "Order": "drop it first with .removeO()",
    "RandomSymbol": "it has no value: use a plain symbol for a sample of it",
    "DiracDelta": "it has no value at 0",
}
"""What to do about classes that are refused, by the name of the class."""


def _leaf(expression: sp.Basic) -> Node | None:
    """The node of an atom, or None where the expression has parts."""
    if isinstance(expression, Size):
        return apply("size", attributes=(expression,))
    if isinstance(expression, sp.Symbol):
        if not expression.is_commutative:
            raise UnsupportedOperation(
                f"the symbol {expression} does not commute; declare a matrix with sd.tensor"
            )
        return apply("symbol", attributes=(expression, (), "real"))
    if isinstance(expression, Array):
        return apply("array", attributes=(expression,))
    if isinstance(expression, (sp.Number, sp.NumberSymbol, BooleanAtom)):
        return apply("number", attributes=(expression,))
    if expression is sp.I or expression is sp.zoo:
        raise UnsupportedOperation(
            f"{expression} in an expression: symdiff works with real numbers only"
        )
    return None


def _converter(expression: sp.Basic) -> Callable[..., Node]:
    for cls in type(expression).__mro__:
        if cls in FROM_SYMPY:
            return FROM_SYMPY[cls]
    name = type(expression).__name__
    if isinstance(expression, AppliedUndef):
        raise UnsupportedOperation(
            f"the function {expression.func} is undefined: nothing is known about its value or "
            f"derivative in {describe_expression(expression)}; write out its formula"
        )
    remedy = REMEDIES.get(name, "see CONTRIBUTING.md on how to add an operation")
    raise UnsupportedOperation(
        f"there is no rule for {name} in {describe_expression(expression)}; {remedy}"
    )


def _parts(expression: sp.Basic) -> tuple[sp.Basic, ...]:
    if isinstance(expression, sp.Piecewise):
        # SymPy writes 1/0 as zoo, and puts it into branches that are there to avoid it
        parts = (part for pair in expression.args for part in pair.args)
        return tuple(sp.nan if part is sp.zoo else part for part in parts)
    own = PARTS.get(type(expression))
    return expression.args if own is None else own(expression)


def _one_by_one(node: Node) -> Node:
    """A 1x1 matrix as the scalar that it stands for."""
    return reshape(node, ()) if node.shape == (1, 1) else node


RECENT = 32
_recent: OrderedDict[int, tuple[sp.Basic, Node]] = OrderedDict()
"""The last expressions that were converted: one that is built upon is not walked again.

By identity: comparing expressions whose parts are shared takes SymPy exponential time.
"""


def _remembered(expression: sp.Basic) -> Node | None:
    found = _recent.get(id(expression))
    return found[1] if found is not None and found[0] is expression else None


def to_graph(expression: Any, known: Mapping[Any, Node] | None = None) -> Node:
    """The node of a SymPy expression; the same expression gives the same node.

    ``known`` are nodes of parts that mean something else here, such as the index of a sum.
    """
    if isinstance(expression, Node):
        return expression
    if not isinstance(expression, sp.Basic):
        raise InvalidType(f"expected a SymPy expression, got {type(expression).__name__}")
    done: dict[sp.Basic, Node] = dict(known or {})
    bounded: list[sp.Basic] = []
    stack: list[tuple[sp.Basic, bool]] = [(expression, False)]
    while stack:
        current, ready = stack.pop()
        if current in done:
            continue
        own = getattr(current, "_node", None) or (None if known else _remembered(current))
        leaf = own if own is not None else _leaf(current)
        if leaf is not None:
            done[current] = leaf
            continue
        convert = _converter(current)
        parts = _parts(current)
        if isinstance(current, ExprWithLimits):
            bounded.append(current)
        if ready:
            inputs = [done[p] for p in parts]
            if isinstance(current, Application):  # a function of numbers
                inputs = [
                    _one_by_one(n) if isinstance(p, sp.MatrixExpr) else n
                    for p, n in zip(parts, inputs, strict=True)
                ]
            done[current] = convert(current, *inputs)
        else:
            stack.append((current, True))
            stack.extend((p, False) for p in parts)
    if bounded and bounded != [expression]:  # the bound n of a sum is a size beside it, too
        return named_sizes(done[expression], bound_symbols(bounded))
    if known is None and not bounded:
        _recent[id(expression)] = expression, done[expression]
        if len(_recent) > RECENT:
            _recent.popitem(last=False)
    return done[expression]


def instantiate(template: sp.Expr, arguments: Sequence[sp.Expr], inputs: Sequence[Node]) -> Node:
    """The graph of a SymPy template whose argument symbols stand for given nodes."""
    from .graph import substitute

    root = to_graph(template)
    leaf = {to_graph(a): n for a, n in zip(arguments, inputs, strict=True)}
    return substitute([root], leaf)[0]


def to_sympy(roots: Iterable[Node]) -> list[Any]:
    """The SymPy expressions of nodes; shared nodes become shared subexpressions."""
    from .language import from_node

    roots = list(roots)
    nodes = walk(roots)
    evaluate = len(nodes) <= EVALUATE_LIMIT
    made: dict[Node, Any] = {}
    for node in nodes:
        made[node] = from_node(node, [made[i] for i in node.inputs], evaluate)
        # SymPy asks the parts first, and where they know the answer it goes no deeper.
        getattr(made[node], "is_commutative", None)
    return [made[r] for r in roots]


def describe_expression(expression: Any, limit: int = 60) -> str:
    """A short text of an expression for an error message."""
    try:
        text = str(expression)
    except RecursionError:
        text = type(expression).__name__
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def describe(node: Node, limit: int = 60) -> str:
    """A short text of a node for an error message; long ones by their operation."""
    sizes: dict[Node, int] = {}
    for n in walk([node]):  # of what is written out: a part that is read twice stands there twice
        sizes[n] = 1 + sum(sizes[i] for i in n.inputs)
    if len(sizes) > 60 or sizes[node] > 1000:
        return f"a {node.operation}"
    return describe_expression(to_sympy([node])[0], limit)


__all__ = [
    "FROM_SYMPY",
    "OPERATIONS",
    "PARTS",
    "Boolean",
    "Relational",
    "describe",
    "describe_expression",
    "instantiate",
    "to_graph",
    "to_sympy",
]
