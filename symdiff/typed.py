"""What SymPy builds from tensors is given their operators.

A sum, product or power of tensors is retyped by SymPy's constructor postprocessors, any other
class by a subclass that is made on demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp
from sympy.core.assumptions import _assume_defined
from sympy.core.basic import Basic

from .bridge import to_graph
from .constants import Array
from .errors import UnsupportedOperation
from .expressions import TensorExpression
from .graph import Node

_typed_classes: dict[type, type] = {}


class TypedSum(TensorExpression):
    """A sum of tensors prints as ``X @ w - y``; SymPy alone would write ``-y + X @ w``."""

    __slots__ = ()

    def _sympystr(self, printer: Any) -> str:
        from .printing.infix import sum_text

        return sum_text(self, printer)

    def _latex(self, printer: Any, **options: Any) -> str:
        from .printing.latex import expression_latex

        return expression_latex(self, printer)


class TypedProduct(TensorExpression):
    """A product with a tensor prints as ``2*X.T @ r``; SymPy alone knows no ``@``."""

    __slots__ = ()

    def _sympystr(self, printer: Any) -> str:
        from .printing.infix import product_text

        return product_text(self, printer)

    def _latex(self, printer: Any, **options: Any) -> str:
        from .printing.latex import expression_latex

        return expression_latex(self, printer)


_TYPED_BASES = {sp.Add: TypedSum, sp.Mul: TypedProduct}


_UNKNOWN = {f"is_{fact}": None for fact in _assume_defined if fact != "commutative"}
"""Nothing is assumed of a tensor. SymPy would ask every part of it, whether it is zero, say, at
every new function around it, which takes exponential time in the depth."""


def typed_class(base: type) -> type:
    """The subclass of a SymPy class that has the operators of tensors."""
    if base not in _typed_classes:
        _typed_classes[base] = type(base)(
            base.__name__,
            (_TYPED_BASES.get(base, TensorExpression), base),
            {
                "__slots__": ("_node",),
                "func": property(lambda self: base),
                "__reduce_ex__": lambda self, protocol: (restore, (base, self.args)),
                "__new__": lambda cls, *args, **options: base(*args, **options),
                "__module__": base.__module__,
                **_UNKNOWN,
            },
        )
    return _typed_classes[base]


def restore(base: type, args: Sequence[Any]) -> Any:
    """What pickling kept, as it was: ``base(*args)`` would evaluate it once more."""
    obj = sp.Expr.__new__(typed_class(base), *args)
    return retype(obj, to_graph(obj))


def typed(expression: Any) -> Any:
    """Give an expression that has a shape the operators of tensors."""
    if isinstance(expression, (TensorExpression, sp.Symbol)) or not isinstance(expression, sp.Expr):
        return expression
    try:
        node = to_graph(expression)
    except UnsupportedOperation:  # SymPy tries quotients by I and drops them; ours is refused later
        return expression
    if not node.shape or isinstance(expression, sp.Atom):
        return expression
    return retype(expression, node)


def retype(expression: sp.Expr, node: Node) -> Any:
    """The expression with the operators of tensors, given its node."""
    obj = sp.Expr.__new__(typed_class(expression.func), *expression.args)
    if isinstance(expression, (sp.Add, sp.Mul, sp.Pow)):
        obj.is_commutative = True
    obj._node = node
    return obj


class ArrayExpression(Array, TensorExpression):
    """A constant array in an expression; Array comes first, since it compares by value."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return Basic.__eq__(self, other)

    __hash__ = Array.__hash__


def _postprocess(expression: Any) -> Any:
    return typed(expression)


Basic._constructor_postprocessor_mapping[TensorExpression] = {
    "Add": [_postprocess],
    "Mul": [_postprocess],
    "Pow": [_postprocess],
}
