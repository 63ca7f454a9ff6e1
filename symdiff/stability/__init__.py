"""THE table of stability rules: naive spellings that overflow or cancel become stable functions.

A rule sees a node whose inputs are already rewritten.

=================  ==============================================================
``terms.py``       a sum as terms with literal coefficients, a product as factors
``positive.py``    logarithms of what is positive, sums of exponentials above all
``logarithms.py``  rules of logarithms
``sums.py``        rules of sums that cancel
``products.py``    rules of quotients and products
``roots.py``       rules of roots, powers and inverse functions
=================  ==============================================================
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Node, walk
from ..rules import Rule, same_shape
from . import logarithms, products, roots
from .sums import without_cancellation

__all__ = ["STABILITY"]


def _shaped(rule: Callable[[Node], Node | None]) -> Callable[[Node], Node | None]:
    """A rule whose result gets the shape of what it replaces."""

    def apply_rule(node: Node) -> Node | None:
        result = rule(node)
        return None if result is None else same_shape(node, result)

    return apply_rule


_NAMES = {
    "power:sinh": "cosh(x) - 1 = 2 sinh(x/2)^2",
    "power:sin": "1 - cos(x) = 2 sin(x/2)^2",
    "power:cos": "1 + cos(x) = 2 cos(x/2)^2",
    "log:abs": "log(x^2) = 2 log|x|",
    "acos:sqrt": "acos(1 - u) = 2 atan2(sqrt(u), sqrt(2 - u))",
    "asin:sqrt": "asin(1 - u) = atan2(1 - u, sqrt(u (2 - u)))",
    "atanh:log": "atanh(1 - u) = (log(2 - u) - log(u))/2",
    "acosh:sqrt": "acosh(1 + u) = 2 asinh(sqrt(u/2))",
    "log_sigmoid": "log(sigmoid(x)) = log_sigmoid(x)",
    "softplus": "log(1 + exp(x)) = softplus(x)",
    "logsumexp": "log(sum(exp(x))) = logsumexp(x)",
    "logaddexp": "log(exp(x) + exp(y)) = logaddexp(x, y)",
    "log1mexp": "log(1 - exp(x)) = log1mexp(x)",
    "log_cosh": "log(cosh(x)) = log_cosh(x)",
    "log_normal_cdf": "log(erfc(-x/sqrt(2))/2) = log_normal_cdf(x)",
    "log_erfc": "log(erfc(x)) = log_erfc(x)",
    "logit": "log(p/(1 - p)) = logit(p)",
    "atanh": "log((1 + x)/(1 - x)) = 2 atanh(x)",
    "asinh": "log(x + sqrt(x^2 + 1)) = asinh(x)",
    "loggamma": "log(gamma(x)) = loggamma(x)",
    "log1p": "log(1 + x) = log1p(x)",
    "expm1": "exp(x) - 1 = expm1(x)",
    "erfc": "1 - erf(x) = erfc(x)",
    "erf": "1 - erfc(x) = erf(x)",
    "tanh": "tanh from exponentials",
    "sigmoid": "sigmoid from exponentials",
    "exp": "softmax from exponentials",
    "sinh": "exp(x) - exp(-x) = 2 sinh(x)",
    "exp_asinh": "x + sqrt(x^2 + 1) = exp(asinh(x))",
    "cos_of": "x/sqrt(x^2 + y^2) without overflow",
    "hypot": "sqrt(x^2 + y^2) = hypot(x, y)",
    "norm": "sqrt(sum(x^2)) = norm(x)",
    "one_minus_square": "1 - x^2 = (1 - x)(1 + x)",
    "jn": "sin(x)/x is 1 at 0",
    "xlog1py": "x log(1 + y) is 0 where x is",
    "gelu": "x erfc(-x/sqrt(2))/2 = gelu(x)",
    "xlogy": "x log(y) is 0 where x is",
    "abs": "sqrt(x^2) = |x|",
}
"""What a derivation says, by the operation that a rule has put in."""


def _name(before: Node, after: Node) -> str | None:
    known = set(walk(before.inputs))
    added = set()
    for node in walk([after], known):
        first = node.inputs[0].operation if node.inputs else ""
        added |= {
            node.operation,
            f"{node.operation}:{first}",
            f"{before.operation}:{node.operation}",
        }
    return next((text for key, text in _NAMES.items() if key in added), None)


def _rule(name: str, operations: tuple[str, ...], rewrite: Callable[[Node], Node | None]) -> Rule:
    return Rule(name, operations, _shaped(rewrite), _name)


STABILITY: list[Rule] = [
    _rule("log of a stable form", ("log",), logarithms.log),
    _rule("log1p of a stable form", ("log1p",), logarithms.log1p),
    _rule("a sum in which nothing cancels", ("add", "subtract"), without_cancellation),
    _rule("a quotient that neither overflows nor is 0/0", ("divide",), products.divide),
    _rule("a product that is not 0 times infinity", ("multiply",), products.multiply),
    _rule("a root without overflow", ("sqrt",), roots.sqrt),
    _rule("|x|^2 = x^2", ("power",), roots.even_power),
    _rule("norm(x)^2 = sum(x^2)", ("power",), roots.squared_norm),
    _rule("acos(1 - u) by u", ("asin", "acos", "acosh", "atanh"), roots.near_the_end),
]
