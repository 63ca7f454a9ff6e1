"""The language: tensors as SymPy expressions whose symbols carry shapes.

A tensor expression is a :class:`sympy.Expr`. Elementwise parts are SymPy's own ``Add``,
``Mul``, ``Pow`` and functions; structural parts (``@``, sum, transpose, gather …) are
subclasses of :class:`Structural`, with SymPy's invariant ``e.func(*e.args) == e``.

What SymPy builds from a tensor by ``+ * **`` is given the operators of
:class:`TensorExpression` by SymPy's constructor postprocessors, as SymPy's matrices do it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.assumptions import _assume_defined
from sympy.core.basic import Basic
from sympy.core.symbol import Str
from sympy.core.sympify import _sympify as strictly  # never runs text
from sympy.logic.boolalg import Boolean
from sympy.printing.precedence import PRECEDENCE

from .bridge import describe, to_graph, to_sympy
from .constants import Array
from .errors import InvalidArgument, InvalidType, ShapeError, UnsupportedOperation
from .graph import OPERATIONS, Node, apply
from .indexing import normalise_key
from .recurrence import Body
from .shapes import Shape, broadcast, shape_of, text
from .structural import complete_shape

DTYPES = ("real", "int", "bool")


class TensorExpression(sp.Expr):
    """Operators and attributes of expressions that carry a shape."""

    __slots__ = ()
    _op_priority = 1000.0
    __array_ufunc__ = None  # NumPy leaves ``array * tensor`` to us
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
        return transpose(self)

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
        return combine(sp.Add, self, other)

    def __radd__(self, other: Any) -> Any:
        return combine(sp.Add, other, self)

    def __sub__(self, other: Any) -> Any:
        return combine(lambda a, b: a + sp.Mul(-1, b), self, other)

    def __rsub__(self, other: Any) -> Any:
        return combine(lambda a, b: sp.Add(a, sp.Mul(-1, b)), other, self)

    def __mul__(self, other: Any) -> Any:
        return combine(sp.Mul, self, other)

    def __rmul__(self, other: Any) -> Any:
        return combine(sp.Mul, other, self)

    def __truediv__(self, other: Any) -> Any:
        return combine(lambda a, b: sp.Mul(a, sp.Pow(b, -1)), self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return combine(lambda a, b: sp.Mul(a, sp.Pow(b, -1)), other, self)

    def __pow__(self, other: Any, modulo: Any = None) -> Any:
        return combine(sp.Pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return combine(sp.Pow, other, self)

    def __mod__(self, other: Any) -> Any:
        return combine(_mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return combine(_mod, other, self)

    def _eval_Mod(self, other: Any) -> Any:
        return _mod(self, other)

    def __neg__(self) -> Any:
        return combine(sp.Mul, sp.S.NegativeOne, self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return combine(sp.Abs, self)

    def __matmul__(self, other: Any) -> Any:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return matmul(other, self)

    def __getitem__(self, key: Any) -> Any:
        return index(self, key)

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


class Structural(TensorExpression):
    """Base of structural expressions: ``args`` are the operands and a tuple of attributes."""

    __slots__ = ("_node",)
    is_commutative = True
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

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.args

    def __getstate__(self) -> None:
        return None

    def doit(self, **hints: Any) -> Any:
        """Nothing is left to be done."""
        return self

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


class Matmul(Structural):
    """``a @ b`` with NumPy's meaning."""

    __slots__ = ()
    operation = "matmul"
    precedence = PRECEDENCE["Mul"]  # SymPy's printers ask for it


class Transposed(Structural):
    """A permutation of axes."""

    __slots__ = ()
    operation = "transpose"


class Reshaped(Structural):
    """The same elements in another shape."""

    __slots__ = ()
    operation = "reshape"


class Broadcasted(Structural):
    """An operand stretched to a shape."""

    __slots__ = ()
    operation = "broadcast_to"


class Indexed_(Structural):
    """``x[...]``: slices, new axes and gathering."""

    __slots__ = ()
    operation = "index"


class IndexAdded(Structural):
    """Zeros with ``x`` added at the places of an index: the adjoint of ``x[...]``."""

    __slots__ = ()
    operation = "index_add"


class SumOver(Structural):
    """Sum over axes."""

    __slots__ = ()
    operation = "sum"


class MaxOver(Structural):
    """Largest element over axes."""

    __slots__ = ()
    operation = "max"


class MinOver(Structural):
    """Smallest element over axes."""

    __slots__ = ()
    operation = "min"


class ProdOver(Structural):
    """Product over axes."""

    __slots__ = ()
    operation = "prod"


class ProdOthers(Structural):
    """For each element the product of the others along an axis."""

    __slots__ = ()
    operation = "prod_others"


class CumulativeSum(Structural):
    """Sums of the elements up to each one along an axis."""

    __slots__ = ()
    operation = "cumsum"


class Det(Structural):
    """Determinant."""

    __slots__ = ()
    operation = "det"


class LogDet(Structural):
    """log of the absolute determinant."""

    __slots__ = ()
    operation = "logdet"


class Inverted(Structural):
    """Inverse matrix."""

    __slots__ = ()
    operation = "inv"


class Solved(Structural):
    """Solution x of ``a @ x = b``."""

    __slots__ = ()
    operation = "solve"


class Cholesky(Structural):
    """Lower triangular factor of a positive definite matrix."""

    __slots__ = ()
    operation = "cholesky"


class Convolved(Structural):
    """Convolution of ``(n, c_in, …)`` with a kernel ``(c_out, c_in, …)``."""

    __slots__ = ()
    operation = "convolve"


class ConvolvedTransposed(Structural):
    """The adjoint of a convolution in its input."""

    __slots__ = ()
    operation = "convolve_transposed"


class ConvolvedKernel(Structural):
    """The adjoint of a convolution in its kernel."""

    __slots__ = ()
    operation = "convolve_kernel"


class Windows(Structural):
    """Sliding windows over the last axes."""

    __slots__ = ()
    operation = "windows"


class OverlapAdded(Structural):
    """Windows added where they overlap: the adjoint of sliding windows."""

    __slots__ = ()
    operation = "overlap_add"


class Scanned(Structural):
    """A result of a recurrence."""

    __slots__ = ()
    operation = "scan"


class RandomUniform(Structural):
    """Random numbers in [0, 1), the same for the same seed, step and place."""

    __slots__ = ()
    operation = "random_uniform"


class LogSumExp(Structural):
    """log of the sum of exponentials over axes, without overflow."""

    __slots__ = ()
    operation = "logsumexp"


class ArgMax(Structural):
    """Position of the first largest element along an axis."""

    __slots__ = ()
    operation = "argmax"


class ArgMin(Structural):
    """Position of the first smallest element along an axis."""

    __slots__ = ()
    operation = "argmin"


class OneHot(Structural):
    """Rows of the identity matrix, chosen by labels."""

    __slots__ = ()
    operation = "one_hot"


class Concatenated(Structural):
    """Operands joined along an axis."""

    __slots__ = ()
    operation = "concatenate"


class Arange(Structural):
    """0, 1, … up to a size."""

    __slots__ = ()
    operation = "arange"


class Equal(Structural):
    """1 where two operands are equal, else 0."""

    __slots__ = ()
    operation = "equal"


class NotEqual(Structural):
    """1 where two operands differ, else 0."""

    __slots__ = ()
    operation = "not_equal"


class Less(Structural):
    """1 where a < b, else 0."""

    __slots__ = ()
    operation = "less"


class LessEqual(Structural):
    """1 where a <= b, else 0."""

    __slots__ = ()
    operation = "less_equal"


class LogicalAnd(Structural):
    """1 where all operands are not 0."""

    __slots__ = ()
    operation = "logical_and"


class LogicalOr(Structural):
    """1 where any operand is not 0."""

    __slots__ = ()
    operation = "logical_or"


class LogicalNot(Structural):
    """1 where the operand is 0."""

    __slots__ = ()
    operation = "logical_not"


class SizeOf(Structural):
    """A size that is an expression in symbolic sizes, as a number."""

    __slots__ = ()
    operation = "size"


STRUCTURAL_CLASSES: dict[str, type[Structural]] = {
    cls.operation: cls for cls in Structural.__subclasses__()
}
"""The expression class of each structural operation."""


# --- typing what SymPy builds ------------------------------------------------------------

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
    return _retype(obj, to_graph(obj))


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
    return _retype(expression, node)


def _retype(expression: sp.Expr, node: Node) -> Any:
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


# --- building ----------------------------------------------------------------------------


def tensor(name: str, *shape: Any, dtype: str = "real") -> TensorSymbol:
    """A symbol that carries a shape.

    Parameters
    ----------
    name : str
        Any text.
    *shape : int, str or SymPy integer
        Sizes; a string is a symbolic size, and equal strings are the same size.
    dtype : {"real", "int", "bool"}

    Examples
    --------
    >>> import symdiff as sd
    >>> X = sd.tensor("X", "n", 3)
    >>> X.shape, (X.T @ X).shape
    ((n, 3), (3, 3))
    """
    if not isinstance(name, str):
        raise InvalidType(f"the name of a tensor is a string, got {name!r}")
    if dtype not in DTYPES:
        raise InvalidArgument(f"dtype of tensor {name!r} must be one of {DTYPES}, got {dtype!r}")
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    return TensorSymbol(name, shape_of(shape), dtype)


def as_expression(value: Any) -> Any:
    """A user's operand as an expression: numbers and arrays become constants."""
    if isinstance(value, (sp.MatrixExpr, sp.MatrixBase)):
        from .matrix_expressions import tensor_form

        return tensor_form(value)
    if isinstance(value, (sp.Expr, Boolean)):
        return value
    if isinstance(value, sp.NDimArray):
        return constant(value.tolist())
    if isinstance(value, (bool, np.bool_)):
        return sp.Integer(int(value))
    if isinstance(value, (int, np.integer)):
        return sp.Integer(int(value))
    if isinstance(value, (float, np.floating)):
        return sp.Float(float(value))
    if isinstance(value, (np.ndarray, list, tuple)) or hasattr(value, "__array__"):
        return constant(value)
    raise InvalidType(
        f"expected a number, an array or a SymPy expression, got {type(value).__name__}: "
        f"{str(value)[:60]!r}; text is read by sd.parse only"
        if isinstance(value, str)
        else f"expected a number, an array or a SymPy expression, got {type(value).__name__}"
    )


def as_number(value: Any) -> Any:
    """Like :func:`as_expression`, with conditions as 0 and 1."""
    value = as_expression(value)
    if isinstance(value, Boolean) and not isinstance(value, sp.Expr):
        return typed(sp.Piecewise((1, value), (0, True)))
    return value


def constant(array: Any) -> Any:
    """A constant array as an expression; a single number becomes a SymPy number."""
    if isinstance(array, (list, tuple)) and _holds_expressions(array):
        from .arrays import stack

        return stack([as_expression(a) for a in array])
    value = np.asarray(array)
    if value.dtype == object:
        if value.ndim and _holds_expressions(value.ravel()):
            raise InvalidType(
                "a NumPy array of SymPy expressions: NumPy took an operator apart, element by "
                "element; write sd.constant(array) there, or sd.exp(X) for sp.exp(X), or build "
                "the tensor with sd.stack"
            )
        raise InvalidType("a constant array must hold numbers, got dtype object")
    if value.ndim == 0:
        return as_expression(value.item())
    result = ArrayExpression(value)
    return result


def _holds_expressions(entries: Any) -> bool:
    return any(
        _holds_expressions(e) if isinstance(e, (list, tuple)) else isinstance(e, Basic)
        for e in entries
    )


def shape(expression: Any) -> Shape:
    """The shape of any expression.

    Examples
    --------
    >>> import sympy as sp, symdiff as sd
    >>> sd.shape(sp.exp(sd.tensor("X", "n", 3)))
    (n, 3)
    """
    return to_graph(as_expression(expression)).shape


def combine(function: Callable[..., Any], *operands: Any) -> Any:
    """Apply an elementwise SymPy function; what SymPy cancels keeps its shape."""
    arguments = [as_number(o) for o in operands]
    try:
        nodes = [to_graph(a) for a in arguments]
    except UnsupportedOperation:  # as in `typed`
        return function(*arguments)
    expected = broadcast(*(n.shape for n in nodes))
    if expected is None:
        listed = " and ".join(f"{describe(n)} with shape {text(n.shape)}" for n in nodes)
        raise ShapeError(
            f"shapes do not broadcast: {listed}; sizes must be equal or 1, aligned from the right"
        )
    result = function(*arguments)
    return typed(keep_shape(result, expected))


def keep_shape(expression: Any, expected: Shape) -> Any:
    """Stretch an expression that lost axes by cancellation back to its shape."""
    if shape(expression) == expected:
        return expression
    return Broadcasted.make([expression], (expected,))


def matmul(a: Any, b: Any) -> Any:
    """Matrix product ``a @ b`` with NumPy's meaning for 1-D and stacked operands."""
    return Matmul.make([as_number(a), as_number(b)])


def transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    """Permute axes; by default reverse them, as NumPy's ``transpose``."""
    a = as_expression(a)
    rank = len(shape(a))
    if axes is None:
        permutation = tuple(reversed(range(rank)))
    else:
        if not isinstance(axes, (tuple, list)) or not all(hasattr(i, "__index__") for i in axes):
            raise InvalidType(f"transpose: axes must be a tuple of ints, got {axes!r}")
        if any(not -rank <= int(i) < rank for i in axes):
            raise ShapeError(f"transpose: axes {tuple(axes)} for an operand with {rank} axes")
        permutation = tuple(int(i) % rank for i in axes)
    if permutation == tuple(range(rank)):
        return a
    if isinstance(a, Transposed):
        inner = decode(a.args[-1])[0]
        return transpose(a.operands[0], tuple(inner[p] for p in permutation))
    return Transposed.make([a], (permutation,))


def reshape(a: Any, *shape_: Any) -> Any:
    """The same elements in another shape; one size may be -1, sizes may be symbolic."""
    a = as_expression(a)
    if len(shape_) == 1 and isinstance(shape_[0], (tuple, list, sp.Tuple)):
        shape_ = tuple(shape_[0])
    entries = tuple(-1 if e == -1 else e for e in shape_)
    new = complete_shape(shape(a), tuple(-1 if e == -1 else shape_of([e])[0] for e in entries))
    if new is None:
        raise ShapeError(
            f"reshape: {describe(to_graph(a))} with shape {text(shape(a))} cannot take shape "
            f"{text(entries)}: at most one size may be -1, and it must divide"
        )
    return a if new == shape(a) else Reshaped.make([a], (new,))


def broadcast_to(a: Any, *shape_: Any) -> Any:
    """Stretch to a shape, as NumPy's ``broadcast_to``."""
    a = as_expression(a)
    if len(shape_) == 1 and isinstance(shape_[0], (tuple, list, sp.Tuple)):
        shape_ = tuple(shape_[0])
    new = shape_of(shape_)
    return a if new == shape(a) else Broadcasted.make([a], (new,))


def index(a: Any, key: Any) -> Any:
    """``a[key]`` with slices, ints, None, ``...`` and integer tensors, as NumPy."""
    a = as_expression(a)
    node = to_graph(a)
    normal, operands = normalise_key(key, node.shape, describe(node))
    tensors = [_as_index(o, node) for o in operands]
    kept = [e for e in normal if e[0] != "new"]
    if all(e == ("slice", 0, d, 1) for e, d in zip(kept, node.shape, strict=True)):
        return reshape(a, tuple(1 if e[0] == "new" else e[2] for e in normal))
    return Indexed_.make([a, *tensors], (normal,))


def _as_index(operand: Any, node: Node) -> Any:
    """An index tensor; a list that is empty holds ints, not floats as NumPy has it."""
    if isinstance(operand, (bool, np.bool_)):
        raise InvalidType(f"the index of {describe(node)} is the bool {operand}; use 0 or 1")
    if isinstance(operand, (list, tuple)) and not np.size(operand):
        return constant(np.asarray(operand, dtype=np.int64))
    return as_expression(operand)


def from_node(node: Node, inputs: Sequence[Any], evaluate: bool) -> Any:
    """The expression of a node, given those of its inputs."""
    if node.operation == "symbol" or node.operation == "number":
        return node.attributes[0]
    if node.operation == "array":
        value = node.attributes[0]
        return value if isinstance(value, ArrayExpression) else ArrayExpression(value.value)
    if node.operation == "size" and isinstance(node.attributes[0], sp.Symbol):
        return node.attributes[0]
    row = OPERATIONS[node.operation]
    if row.kind != "elementwise":
        return STRUCTURAL_CLASSES[node.operation]._of(inputs, encode(node.attributes), node)
    assert row.body is not None
    if node.dtype == "bool":
        arguments = list(inputs)
    elif node.operation == "where":
        arguments = [inputs[0], *map(as_number, inputs[1:])]
    else:
        arguments = list(map(as_number, inputs))
    if evaluate:
        result = row.body(*arguments)
    else:
        with sp.evaluate(False):
            result = row.body(*arguments)
    if not node.shape or not isinstance(result, sp.Expr):
        return result
    if evaluate and to_graph(result).shape != node.shape:
        return Broadcasted.make([result], (node.shape,))
    return typed(result) if evaluate else _typed_as(result, node)


def _typed_as(expression: Any, node: Node) -> Any:
    """Type without asking for the shape, which a long expression would compute anew."""
    if isinstance(expression, (TensorExpression, sp.Atom)):
        return expression
    return _retype(expression, node)
