"""Functions named as in NumPy and SciPy, with NumPy's meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sympy as sp

from . import functions as fn
from . import language as lang
from . import structural_classes as kinds
from .bridge import describe, to_graph
from .errors import InvalidArgument, InvalidType, ShapeError
from .language import as_expression, as_number, combine, shape
from .shapes import dimension, normalise_axes, product, shape_of
from .typed import typed

__all__ = [
    "absolute", "acos", "acosh", "arange", "argmax", "argmin", "asin", "asinh", "atan", "atan2",
    "atanh", "clip", "concatenate", "cos", "cosh", "cumsum", "digamma", "elu", "equal", "erf",
    "erfc", "exp", "expit", "expm1", "eye", "floor", "gelu", "greater", "greater_equal",
    "hypot", "leaky_relu", "less", "less_equal", "log", "log1mexp", "log1p", "log_cosh", "log_erfc",
    "log_normal_cdf", "log_sigmoid", "log_softmax", "logaddexp",
    "loggamma", "logical_and", "logical_not", "logical_or", "logit", "logsumexp", "max",
    "maximum", "mean", "min", "minimum", "not_equal", "one_hot", "ones", "prod", "prod_others",
    "relu", "sigmoid", "sign", "silu", "sin", "sinh", "softmax", "softplus", "sqrt", "square",
    "stack", "std", "sum", "take", "tan", "tanh", "var", "where", "xlog1py", "xlogy",
    "zeros",
]  # fmt: skip


def _function(name: str, function: Any, summary: str) -> Callable[..., Any]:
    def call(*operands: Any) -> Any:
        return combine(function, *operands)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{summary}, elementwise."
    return call


exp = _function("exp", sp.exp, "Exponential function")
log = _function("log", sp.log, "Natural logarithm")
sqrt = _function("sqrt", sp.sqrt, "Square root")
square = _function("square", lambda x: x**2, "Square")
sin = _function("sin", sp.sin, "Sine")
cos = _function("cos", sp.cos, "Cosine")
tan = _function("tan", sp.tan, "Tangent")
asin = _function("asin", sp.asin, "Inverse sine")
acos = _function("acos", sp.acos, "Inverse cosine")
atan = _function("atan", sp.atan, "Inverse tangent")
atan2 = _function("atan2", sp.atan2, "Angle of the point (x, y) from ``atan2(y, x)``")
sinh = _function("sinh", sp.sinh, "Hyperbolic sine")
cosh = _function("cosh", sp.cosh, "Hyperbolic cosine")
tanh = _function("tanh", sp.tanh, "Hyperbolic tangent")
asinh = _function("asinh", sp.asinh, "Inverse hyperbolic sine")
acosh = _function("acosh", sp.acosh, "Inverse hyperbolic cosine")
atanh = _function("atanh", sp.atanh, "Inverse hyperbolic tangent")
absolute = _function("absolute", sp.Abs, "Absolute value, with derivative 0 at 0")
sign = _function("sign", sp.sign, "Sign, with derivative 0 everywhere")
floor = _function("floor", sp.floor, "Largest integer not above, with derivative 0 everywhere")
erf = _function("erf", sp.erf, "Error function")
erfc = _function("erfc", sp.erfc, "Complementary error function")
loggamma = _function("loggamma", sp.loggamma, "Logarithm of the absolute gamma function")
digamma = _function("digamma", sp.digamma, "Logarithmic derivative of the gamma function")
sigmoid = _function("sigmoid", fn.sigmoid, "Logistic function 1 / (1 + exp(-x))")
expit = _function("expit", fn.sigmoid, "Logistic function under SciPy's name")
softplus = _function("softplus", fn.softplus, "log(1 + exp(x)) without overflow")
log_sigmoid = _function("log_sigmoid", fn.log_sigmoid, "log(sigmoid(x)) without overflow")
relu = _function("relu", fn.relu, "max(x, 0), with derivative 0 at 0")
gelu = _function("gelu", fn.gelu, "x times the normal distribution function of x")
silu = _function("silu", fn.silu, "x times sigmoid(x)")
logit = _function("logit", fn.logit, "log(p / (1 - p))")
xlogy = _function("xlogy", fn.xlogy, "x * log(y), and 0 where x is 0")
log1p = _function("log1p", fn.log1p, "log(1 + x), accurate near 0")
expm1 = _function("expm1", fn.expm1, "exp(x) - 1, accurate near 0")
logaddexp = _function("logaddexp", fn.logaddexp, "log(exp(x) + exp(y)) without overflow")
log1mexp = _function("log1mexp", fn.log1mexp, "log(1 - exp(x)) of negative x")
log_cosh = _function("log_cosh", fn.log_cosh, "log(cosh(x)) without overflow")
log_erfc = _function("log_erfc", fn.log_erfc, "log(erfc(x)) without underflow")
log_normal_cdf = _function(
    "log_normal_cdf", fn.log_normal_cdf, "Logarithm of the normal distribution function"
)
hypot = _function("hypot", fn.hypot, "sqrt(x**2 + y**2) without overflow")
xlog1py = _function("xlog1py", fn.xlog1py, "x * log(1 + y), and 0 where x is 0")
maximum = _function("maximum", sp.Max, "Larger of the operands; ties share the gradient")
minimum = _function("minimum", sp.Min, "Smaller of the operands; ties share the gradient")


def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """``x`` where positive, else ``slope * x`` (slope 0.01, as in PyTorch)."""
    return combine(fn.leaky_relu, x, slope)


def elu(x: Any, alpha: Any = 1) -> Any:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``."""
    return combine(fn.elu, x, alpha)


def clip(x: Any, lower: Any = None, upper: Any = None) -> Any:
    """``x`` limited to the interval from ``lower`` to ``upper``; None means no limit."""
    if lower is not None:
        x = maximum(x, lower)
    return x if upper is None else minimum(x, upper)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """``yes`` where the condition holds, else ``no``.

    The branch that is not taken contributes nothing to the gradient, not even a NaN.
    """
    from .elementwise import as_condition

    def choose(yes: Any, no: Any) -> Any:
        return sp.Piecewise((yes, test), (no, True), evaluate=False)

    test = as_condition(as_expression(condition))
    return typed(choose(as_number(yes), as_number(no)))


def _comparison(name: str, cls: Any, flip: bool, summary: str) -> Callable[..., Any]:
    def call(a: Any, b: Any) -> Any:
        operands = [as_number(b), as_number(a)] if flip else [as_number(a), as_number(b)]
        return cls.make(operands)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{summary}; the result counts as 0 or 1 in arithmetic."
    return call


equal = _comparison("equal", kinds.Equal, False, "True where a == b")
not_equal = _comparison("not_equal", kinds.NotEqual, False, "True where a != b")
less = _comparison("less", kinds.Less, False, "True where a < b")
less_equal = _comparison("less_equal", kinds.LessEqual, False, "True where a <= b")
greater = _comparison("greater", kinds.Less, True, "True where a > b")
greater_equal = _comparison("greater_equal", kinds.LessEqual, True, "True where a >= b")


def logical_and(*conditions: Any) -> Any:
    """True where all conditions hold."""
    return kinds.LogicalAnd.make([as_expression(c) for c in conditions])


def logical_or(*conditions: Any) -> Any:
    """True where any condition holds."""
    return kinds.LogicalOr.make([as_expression(c) for c in conditions])


def logical_not(condition: Any) -> Any:
    """True where the condition does not hold."""
    return kinds.LogicalNot.make([as_expression(condition)])


def _reduce(cls: Any, name: str, a: Any, axis: Any, keepdims: bool) -> Any:
    a = as_number(a)
    axes = normalise_axes(axis, len(shape(a)), name)
    if not axes:
        return a
    return cls.make([a], (axes, bool(keepdims)))


def sum(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum of elements over axes.

    Examples
    --------
    >>> import symdiff as sd
    >>> X = sd.tensor("X", "n", 3)
    >>> sd.sum(X, axis=1).shape
    (n,)
    """
    return _reduce(kinds.SumOver, "sum", a, axis, keepdims)


def prod(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Product of elements over axes; every derivative is right where elements are 0.

    Examples
    --------
    >>> import symdiff as sd
    >>> x = sd.tensor("x", 3)
    >>> gradient = sd.gradient(sd.prod(x), x)
    >>> gradient
    prod_others(x, axis=0)
    >>> sd.evaluate(gradient, {x: [0.0, 2.0, 3.0]})
    array([6., 0., 0.])
    """
    return _reduce(kinds.ProdOver, "prod", a, axis, keepdims)


def prod_others(a: Any, axis: int) -> Any:
    """For each element the product of the others along an axis, without a division."""
    a = as_number(a)
    return kinds.ProdOthers.make([a], _one_axis(a, axis, "prod_others"))


def _one_axis(a: Any, axis: Any, name: str) -> tuple[int, ...]:
    axes = normalise_axes(axis, len(shape(a)), name)
    if len(axes) != 1:
        raise InvalidArgument(f"{name}: axis must be one int, got {axis!r}")
    return axes


def cumsum(a: Any, axis: int | None = None) -> Any:
    """Sums of the elements up to each one along an axis, or of the flattened operand.

    Examples
    --------
    >>> import symdiff as sd
    >>> X = sd.tensor("X", 2, 3)
    >>> sd.evaluate(sd.cumsum(X, axis=1), {X: [[1, 2, 3], [4, 5, 6]]})
    array([[ 1.,  3.,  6.],
           [ 4.,  9., 15.]])
    """
    a = as_number(a)
    if axis is None:
        a, axis = lang.reshape(a, -1), 0
    return kinds.CumulativeSum.make([a], _one_axis(a, axis, "cumsum"))


def mean(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Arithmetic mean over axes."""
    a = as_number(a)
    return sum(a, axis, keepdims) / _count(a, axis, "mean")


def _count(a: Any, axis: Any, name: str) -> Any:
    sizes = shape(a)
    return _size_expression(product(sizes[i] for i in normalise_axes(axis, len(sizes), name)))


def _size_expression(size: Any) -> Any:
    """A size as an operand: a number, a size symbol, or a product of sizes."""
    return sp.Integer(size) if isinstance(size, int) else size


def var(a: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Variance over axes; the divisor is the count minus ``ddof``."""
    a = as_number(a)
    centred = a - mean(a, axis, keepdims=True)
    return sum(centred**2, axis, keepdims) / (_count(a, axis, "var") - ddof)


def std(a: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Standard deviation over axes: the square root of :func:`var`."""
    return sqrt(var(a, axis, ddof, keepdims))


def max(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Largest element over axes; ties share the gradient."""
    return _reduce(kinds.MaxOver, "max", a, axis, keepdims)


def min(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Smallest element over axes; ties share the gradient."""
    return _reduce(kinds.MinOver, "min", a, axis, keepdims)


def logsumexp(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Log of the sum of exponentials over axes, without overflow."""
    return _reduce(kinds.LogSumExp, "logsumexp", a, axis, keepdims)


def softmax(a: Any, axis: Any = -1) -> Any:
    """exp(a) / sum(exp(a)) over an axis, without overflow."""
    return exp(log_softmax(a, axis))


def log_softmax(a: Any, axis: Any = -1) -> Any:
    """Logarithm of :func:`softmax`, without overflow."""
    a = as_number(a)
    return a - logsumexp(a, axis, keepdims=True)


def _arg(cls: Any, name: str, a: Any, axis: Any) -> Any:
    a = as_number(a)
    axes = normalise_axes(axis, len(shape(a)), name)
    if axis is not None and len(axes) != 1:
        raise InvalidArgument(f"{name}: axis must be one int or None, got {axis!r}")
    return cls.make([a], (axes, False))


def argmax(a: Any, axis: Any = None) -> Any:
    """Position of the first largest element along an axis, or in the flattened operand."""
    return _arg(kinds.ArgMax, "argmax", a, axis)


def argmin(a: Any, axis: Any = None) -> Any:
    """Position of the first smallest element along an axis, or in the flattened operand."""
    return _arg(kinds.ArgMin, "argmin", a, axis)


def one_hot(labels: Any, classes: Any) -> Any:
    """Rows of the identity matrix: 1 at the label, else 0; labels lie in 0..classes-1."""
    return kinds.OneHot.make([as_expression(labels)], (dimension(classes),))


def take(a: Any, indices: Any, axis: int | None = None) -> Any:
    """Elements of ``a`` at integer indices along an axis, as NumPy's ``take``."""
    a = as_expression(a)
    if axis is None:
        a, axis = lang.reshape(a, -1), 0
    (axis,) = normalise_axes(axis, len(shape(a)), "take")
    return lang.index(a, (*[slice(None)] * axis, indices))


def _operands(name: str, arrays: Any) -> list[Any]:
    if not isinstance(arrays, Iterable):
        raise InvalidType(f"{name} takes a list of operands, got {type(arrays).__name__}")
    return [as_number(a) for a in arrays]


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join operands along an axis that exists."""
    operands = _operands("concatenate", arrays)
    if not operands:
        raise InvalidArgument("concatenate needs at least one operand")
    (axis,) = normalise_axes(axis, len(shape(operands[0])), "concatenate")
    return operands[0] if len(operands) == 1 else kinds.Concatenated.make(operands, (axis,))


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """Join operands of one shape along a new axis."""
    operands = _operands("stack", arrays)
    if not operands:
        raise InvalidArgument("stack needs at least one operand")
    first = shape(operands[0])
    for operand in operands[1:]:
        if shape(operand) != first:
            raise ShapeError(
                f"stack: {describe(to_graph(operands[0]))} and {describe(to_graph(operand))} "
                f"have the shapes {first} and {shape(operand)}"
            )
    (axis,) = normalise_axes(axis, len(first) + 1, "stack")
    new = (*first[:axis], 1, *first[axis:])
    return concatenate([lang.reshape(o, new) for o in operands], axis)


def zeros(*sizes: Any) -> Any:
    """Zeros of a shape."""
    return lang.broadcast_to(0.0, *_sizes(sizes))


def ones(*sizes: Any) -> Any:
    """Ones of a shape."""
    return lang.broadcast_to(1.0, *_sizes(sizes))


def _sizes(sizes: tuple[Any, ...]) -> tuple[Any, ...]:
    return shape_of(sizes[0] if len(sizes) == 1 and isinstance(sizes[0], tuple) else sizes)


def arange(n: Any) -> Any:
    """0, 1, …, n - 1."""
    return kinds.Arange.make([], (dimension(n),))


def eye(n: Any) -> Any:
    """The identity matrix."""
    return 1.0 * one_hot(arange(n), n)
