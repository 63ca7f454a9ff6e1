"""The expression classes of tensors: symbols, structural operations, and their operators.

The functions that build them stand in ``language``; the operators call these.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sympy as sp
from sympy.core.basic import Basic
from sympy.core.symbol import Str
from sympy.core.sympify import _sympify as strictly  # never runs text

from .bridge import to_graph, to_sympy
from .errors import InvalidType
from .graph import Node, apply
from .recurrence import Body
from .shapes import Shape


class TensorExpression(sp.Expr):
    """Operators and attributes of expressions that carry a shape."""

    __slots__ = ()
    _op_priority = 1000.0
    __array_ufunc__ = None  # NumPy leaves ``array * tensor`` to us
    is_number = False  # SymPy would ask all parts of a deep expression, one inside the other
    _iterable = False  # SymPy would take an expression apart that can be iterated over

    @property
    def shape(self) -> Shape:
        """Sizes: ints, and symbolic sizes that equal the string they were given as."""
        return to_graph(self).shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def T(self) -> Any:
        """The transpose: axes in reverse order."""
        return lang.transpose(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Basic) or isinstance(self, sp.Atom):
            return super().__eq__(other)
        if self.func != other.func or hash(self) != hash(other):
            return False
        node = getattr(self, "_node", None)
        if node is not None and node is getattr(other, "_node", None):
            return True  # comparing all parts takes exponential time where they are shared
        return self.args == other.args

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = sp.Expr.__hash__

    def __bool__(self) -> bool:
        return True  # SymPy asks every expression; len() must not answer for it

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            raise InvalidType("a scalar expression has no len()")
        if not isinstance(shape[0], int):
            raise InvalidType(f"the first size of the tensor is symbolic: {shape[0]}; use .shape")
        return shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: Any) -> Any:
        return lang.combine(sp.Add, self, other)

    def __radd__(self, other: Any) -> Any:
        return lang.combine(sp.Add, other, self)

    def __sub__(self, other: Any) -> Any:
        return lang.combine(lambda a, b: a + sp.Mul(-1, b), self, other)

    def __rsub__(self, other: Any) -> Any:
        return lang.combine(lambda a, b: sp.Add(a, sp.Mul(-1, b)), other, self)

    def __mul__(self, other: Any) -> Any:
        return lang.combine(sp.Mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return lang.combine(sp.Mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return lang.combine(lambda a, b: sp.Mul(a, sp.Pow(b, -1)), self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return lang.combine(lambda a, b: sp.Mul(a, sp.Pow(b, -1)), other, self)

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        return lang.combine(sp.Pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return lang.combine(sp.Pow, other, self)

    def __mod__(self, other: Any) -> Any:
        return lang.combine(_mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return lang.combine(_mod, other, self)

    def _eval_Mod(self, other: Any) -> Any:
        return _mod(self, other)

    def __neg__(self) -> Any:
        return lang.combine(sp.Mul, sp.S.NegativeOne, self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return lang.combine(sp.Abs, self)

    def __matmul__(self, other: Any) -> Any:
        return lang.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return lang.matmul(other, self)

    def __getitem__(self, key: Any) -> Any:
        return lang.index(self, key)

    def _eval_derivative(self, symbol: sp.Symbol) -> Any:
        raise InvalidType(f"SymPy's diff does not know tensors; use sd.gradient(loss, {symbol})")


def _mod(a: Any, b: Any) -> Any:
    """SymPy's evaluation looks for a greatest common divisor and fails on what has elements."""
    return sp.Mod(a, b, evaluate=False)


class TensorSymbol(TensorExpression, sp.Symbol):
    """A symbol with a shape and a dtype; made by :func:`tensor`.

    Symbols of one name, shape and dtype are equal, unless they have different serial numbers,
    which :func:`tensor` does not give: the parameters of two layers are not the same, whatever
    they are called. Symbols of a subclass equal none of another class.
    """

    __slots__ = ("_shape", "dtype", "serial")

    _shape: Shape
    dtype: str
    serial: int

    def __new__(cls, name: str, shape: Shape, dtype: str, serial: int = 0) -> TensorSymbol:
        """Make the symbol; :func:`tensor` checks what a user writes."""
        obj = sp.Symbol.__xnew__(cls, name)
        obj._shape = tuple(shape)
        obj.dtype = dtype
        obj.serial = serial
        return obj

    @property
    def _node(self) -> Node:
        return apply("symbol", attributes=(self, self._shape, self.dtype))

    @property
    def shape(self) -> Shape:
        """Sizes, as they were given."""
        return self._shape

    def __getnewargs_ex__(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.name, self._shape, self.dtype, self.serial), {}

    def __getstate__(self) -> None:
        return None

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.name, *map(str, self._shape), self.dtype, str(self.serial))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TensorSymbol)
            and type(self) is type(other)
            and self.name == other.name
            and self.dtype == other.dtype
            and self.serial == other.serial
            and self._shape == other._shape
        )

    __hash__ = sp.Symbol.__hash__

    def _eval_derivative(self, symbol: sp.Symbol) -> Any:
        return sp.S.One if self == symbol else sp.S.Zero


class Placeholder(TensorSymbol):
    """A variable of the step of a recurrence."""

    __slots__ = ()


_serials = itertools.count(-1, -1)


def stand_in(name: str, shape: Shape, dtype: str = "real") -> Placeholder:
    """A symbol that equals no other: what a template is filled with later."""
    return Placeholder(name, shape, dtype, next(_serials))


class StepFunction(Basic):
    """The step of a recurrence: parameters and results, as two tuples."""

    @property
    def free_symbols(self) -> set[Any]:
        """None: what a step takes from outside is an operand of the recurrence."""
        return set()

    @property
    def body(self) -> Body:
        """The step as a graph."""
        parameters, results = self.args
        return Body(tuple(map(to_graph, parameters.args)), tuple(map(to_graph, results.args)))


class Composite(TensorExpression):
    """An expression of symdiff's own that is made of others: ``func(*args)`` makes it again."""

    __slots__ = ("_node",)
    is_commutative = True
    _node: Node

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.args

    def __getstate__(self) -> None:
        return None

    def doit(self, **hints: Any) -> Any:
        """Nothing is left to be done."""
        return self


class Structural(Composite):
    """Base of structural expressions: ``args`` are the operands and a tuple of attributes."""

    __slots__ = ()
    operation = ""

    def __new__(cls, *args: Any) -> Structural:
        """Build from operands and the encoded attributes, as ``func(*args)`` does."""
        *operands, attributes = map(strictly, args)
        node = apply(cls.operation, *map(to_graph, operands), attributes=decode(attributes))
        return cls._of(operands, attributes, node)

    @classmethod
    def _of(cls, operands: Sequence[Any], attributes: sp.Tuple, node: Node) -> Structural:
        obj = sp.Expr.__new__(cls, *operands, attributes)
        obj._node = node
        return obj

    @classmethod
    def make(cls, operands: Sequence[Any], attributes: tuple[Any, ...] = ()) -> Structural:
        """Build from operands and plain Python attributes; checks shapes."""
        return cls(*operands, encode(attributes))

    @property
    def operands(self) -> tuple[Any, ...]:
        """The arguments without the attributes."""
        return self.args[:-1]

    def has(self, *patterns: Any) -> bool:
        """Whether a part is of a kind; choices are not seen.

        SymPy asks this before it moves the choices inside a condition to the outside, which
        must not pass a sum or an index: they hold for one element each.
        """
        return bool(super().has(*(p for p in patterns if p is not sp.Piecewise)))

    def _sympystr(self, printer: Any) -> str:
        from .printing.infix import structural_text

        return structural_text(self, printer)

    def _latex(self, printer: Any, **options: Any) -> str:
        from .printing.latex import expression_latex

        return expression_latex(self, printer)


def encode(value: Any) -> Any:
    """Python attributes as SymPy arguments."""
    if isinstance(value, tuple):
        return sp.Tuple(*map(encode, value))
    if isinstance(value, str):
        return Str(value)
    if isinstance(value, Body):
        return StepFunction(
            sp.Tuple(*to_sympy(value.parameters)), sp.Tuple(*to_sympy(value.results))
        )
    if isinstance(value, Basic):
        return value
    return strictly(value)


def decode(value: Any) -> Any:
    """SymPy arguments as Python attributes: the inverse of :func:`encode`."""
    if isinstance(value, sp.Tuple):
        return tuple(map(decode, value.args))
    if isinstance(value, Str):
        return value.name
    if isinstance(value, StepFunction):
        return value.body
    if isinstance(value, sp.Integer):
        return int(value)
    if value in (sp.true, sp.false):
        return bool(value)
    return value


from . import language as lang  # noqa: E402  (the functions there are made of these classes)
