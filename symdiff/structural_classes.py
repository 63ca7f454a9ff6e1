"""The expression class of each structural operation: a name to print, and the row it stands for."""

from __future__ import annotations

from sympy.printing.precedence import PRECEDENCE

from .expressions import Structural


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


class NormOver(Structural):
    """Root of the sum of squares over axes, without overflow."""

    __slots__ = ()
    operation = "norm"


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
