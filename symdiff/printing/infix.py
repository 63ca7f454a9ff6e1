"""SymPy's ``str`` of tensor expressions: the Python text that a user would type.

Each structural operation has one row in :data:`INFIX`. Sums and products of tensors are
written by :func:`sum_text` and :func:`product_text`, because SymPy would put ``-y`` in front
of ``X @ w`` and does not know that ``@`` is not commutative.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sympy as sp
from sympy.printing.precedence import PRECEDENCE, precedence

from ..expressions import Structural, decode
from ..graph import walk
from ..shapes import Dimension, Shape, text

__all__ = ["product_text", "structural_text", "sum_text"]

ATOM, PRODUCT, SUM = PRECEDENCE["Func"], PRECEDENCE["Mul"], PRECEDENCE["Add"]


def structural_text(expression: Structural, printer: Any) -> str:
    """The text of a structural expression, for SymPy's ``StrPrinter``."""
    attributes = decode(expression.args[-1])
    return INFIX[expression.operation](expression.operands, attributes, printer)


def sum_text(expression: sp.Add, printer: Any) -> str:
    """A sum of tensors: what is added first, what is subtracted last, numbers after tensors."""
    terms = [(t, printer._print(t)) for t in printer._as_ordered_terms(expression)]
    added = [(t, s) for t, s in terms if not s.startswith("-")]
    added.sort(key=lambda pair: _place(pair[0]))
    result = " + ".join(f"({s})" if t.is_Add else s for t, s in added)
    for _, s in terms:
        if s.startswith("-"):
            result += f" - {s[1:]}" if result else s
    return result


def _place(term: Any) -> tuple[bool, int, bool, bool]:
    """Where a term goes: matrices before vectors, products before symbols, numbers last."""
    factors = [f for f in sp.Mul.make_args(term) if isinstance(f, Structural)]
    turned = [f for f in factors if f.operation == "transpose"]
    return bool(term.is_Number), -_rank(term), len(turned) == len(factors), bool(turned)


def product_text(expression: sp.Mul, printer: Any) -> str:
    """A product with a tensor: scalars first, a matrix product next, then the division."""
    sign, above, below = factors(expression)
    if any(f == 1.0 for f in above) and any(_is_identity(f) for f in above):
        above.remove(sp.Float(1.0))  # eye(n) is 1.0*one_hot(arange(n), n)
    above.sort(key=_order)
    texts = []
    for factor in above:
        # scalars commute with @, so 2*A @ B is right however it is read
        bare = factor.func.operation == "matmul" if isinstance(factor, Structural) else False
        bare = bare and all(_order(f) == 0 for f in above if f is not factor)
        texts.append(printer._print(factor) if bare else _inside(factor, printer, PRODUCT))
    result = sign + ("*".join(texts) or "1")
    if not below:
        return result
    divisors = [_inside(f, printer, PRODUCT) for f in below]
    return f"{result}/{divisors[0]}" if len(below) == 1 else f"{result}/({'*'.join(divisors)})"


def factors(expression: sp.Mul) -> tuple[str, list[Any], list[Any]]:
    """The sign, the factors of the numerator and those of the denominator."""
    sign = ""
    above: list[Any] = []
    below: list[Any] = []
    for position, factor in enumerate(expression.args):
        if position == 0 and factor.is_Number and factor.is_negative:
            sign, factor = "-", -factor
            if factor == 1 and len(expression.args) > 1:
                continue
        if factor.is_Rational and not factor.is_Integer:
            if factor.p != 1:
                above.append(sp.Integer(factor.p))
            below.append(sp.Integer(factor.q))
        elif factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative:
            inverse = -factor.exp
            below.append(factor.base if inverse == 1 else sp.Pow(factor.base, inverse))
        else:
            above.append(factor)
    return sign, above, below


def _order(factor: Any) -> int:
    from ..bridge import to_graph

    if not to_graph(factor).shape:
        return 0
    return 1 if isinstance(factor, Structural) and factor.operation == "matmul" else 2


def _inside(expression: Any, printer: Any, level: int, strict: bool = False) -> str:
    """The text of an operand, in parentheses where it binds less than its surroundings."""
    written = printer._print(expression)
    own = precedence(expression)
    if own < level or (not strict and own == level) or written.startswith("-"):
        return f"({written})"
    return written


# --- one row for each structural operation -----------------------------------------------


def _call(name: str, *arguments: str) -> str:
    return f"{name}({', '.join(arguments)})"


def _plain(name: str) -> Callable[..., str]:
    def write(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
        return _call(name, *map(printer._print, operands), *map(dimension_text, attributes))

    return write


def _reduction(name: str) -> Callable[..., str]:
    def write(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
        (x,) = operands
        axes, keepdims = attributes
        arguments = [printer._print(x)]
        if len(axes) != _rank(x):
            arguments.append(f"axis={axes[0] if len(axes) == 1 else axes}")
        if keepdims:
            arguments.append("keepdims=True")
        return _call(name, *arguments)

    return write


def _along(name: str) -> Callable[..., str]:
    def write(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
        return _call(name, printer._print(operands[0]), f"axis={attributes[0]}")

    return write


def _matmul(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    left, right = operands
    return f"{_inside(left, printer, PRODUCT, strict=True)} @ {_inside(right, printer, PRODUCT)}"


def _transpose(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    (x,) = operands
    (permutation,) = attributes
    if permutation == (1, 0):
        return f"{_inside(x, printer, ATOM, strict=True)}.T"
    return _call("transpose", printer._print(x), str(permutation))


def _reshape(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    (x,) = operands
    (new,) = attributes
    entries = new_axes(_shape(x), new)
    if entries is None:
        return _call("reshape", printer._print(x), text(new))
    return f"{_inside(x, printer, ATOM, strict=True)}[{', '.join(entries)}]"


def new_axes(old: Shape, new: Shape) -> list[str] | None:
    """``:`` and ``None`` where ``new`` only inserts axes of size 1 into ``old``, else None."""
    entries: list[str] = []
    kept = 0
    for size in new:
        if kept < len(old) and size == old[kept]:
            entries.append(":")
            kept += 1
        elif size == 1:
            entries.append("None")
        else:
            return None
    if not old or kept != len(old):
        return None
    while len(entries) > 1 and entries[-1] == ":":
        entries.pop()
    return entries


def _broadcast(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    (x,) = operands
    (shape,) = attributes
    if x.is_Number and x in (0, 1, 0.0, 1.0):
        return _call("ones" if x.is_nonzero else "zeros", *map(dimension_text, shape))
    return _call("broadcast_to", printer._print(x), text(shape))


def _index(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    x, *indices = operands
    entries = key_entries(attributes[0], _shape(x), [printer._print(i) for i in indices])
    return f"{_inside(x, printer, ATOM, strict=True)}[{', '.join(entries)}]"


def _index_add(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    x, *indices = operands
    key, shape = attributes
    entries = key_entries(key, shape, [printer._print(i) for i in indices])
    return f"index_add({printer._print(x)}, {text(shape)})[{', '.join(entries)}]"


def key_entries(key: Any, shape: Shape, indices: Sequence[str]) -> list[str]:
    """The entries of an index as a user writes them, without full slices at the end."""
    entries: list[str] = []
    axis = 0
    for entry in key:
        if entry[0] == "new":
            entries.append("None")
            continue
        size = shape[axis]
        axis += 1
        if entry[0] == "tensor":
            entries.append(indices[entry[1]])
        elif entry[0] == "int":
            entries.append(dimension_text(_from_end(entry[1], size)))
        else:
            entries.append(_slice(entry[1], entry[2], entry[3], size))
    while len(entries) > 1 and entries[-1] == ":":
        entries.pop()
    return entries


def _slice(start: Dimension, count: Dimension, step: int, size: Dimension) -> str:
    if step < 0 and start == size - 1 and count == (size if step == -1 else -(-size // -step)):
        return f"::{step}"
    stop = start + step * count
    if step < 0:
        last = "" if stop == -step * -1 or stop < 0 else str(stop)
        return f"{start}:{last}:{step}"
    past = isinstance(stop, int) and isinstance(size, int) and stop >= size
    first = "" if start == 0 else dimension_text(_from_end(start, size))
    last = "" if past or stop == size else dimension_text(_from_end(stop, size))
    return f"{first}:{last}" + (f":{step}" if step > 1 else "")


def _from_end(position: Dimension, size: Dimension) -> Dimension:
    """``n - 2`` as -2 on an axis of symbolic size n."""
    if isinstance(position, int) or isinstance(size, int):
        return position
    distance = sp.Integer(0) + position - size
    return int(distance) if distance.is_Integer and distance < 0 else position


def dimension_text(size: Dimension) -> str:
    """A size as Python text."""
    return str(size)


def _concatenate(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    joined = ", ".join(map(printer._print, operands))
    return f"concatenate([{joined}], axis={attributes[0]})"


def _one_hot(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    (labels,) = operands
    if _counts(labels, attributes):
        return _call("eye", dimension_text(attributes[0]))
    return _plain("one_hot")(operands, attributes, printer)


def _counts(labels: Any, attributes: Any) -> bool:
    counted = isinstance(labels, Structural) and labels.operation == "arange"
    return counted and bool(decode(labels.args[-1]) == attributes)


def _is_identity(expression: Any) -> bool:
    if not isinstance(expression, Structural) or expression.operation != "one_hot":
        return False
    return _counts(expression.operands[0], decode(expression.args[-1]))


def _size(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    return f"({printer._print(attributes[0])})"


def _with_strides(name: str, function: str) -> Callable[..., str]:
    """A call whose only option is a stride; 1, the default, is left out."""

    def write(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
        *windows, strides = attributes[: 2 if name == "windows" else 1]
        options = [f"size={text(windows[0])}"] if windows else []
        if any(s != 1 for s in strides):
            options.append(f"stride={text(strides)}")
        return _call(function, *map(printer._print, operands), *options)

    return write


STEP_SIZE = 60
"""Operations of a step that are written out."""


def _scan(operands: Sequence[Any], attributes: Any, printer: Any) -> str:
    """``scan(h, x -> tanh(x + h); h=0, x=X).last``."""
    from ..bridge import to_sympy

    body, carries, sequences, _, reverse, output = attributes
    names = [p.attributes[0].name for p in body.parameters]
    short = len(walk(body.results)) <= STEP_SIZE
    results = ", ".join(map(printer._print, to_sympy(body.results))) if short else "..."
    bound = [
        f"{name}={written}"
        for name, written in zip(names, map(printer._print, operands), strict=True)
        if name != written
    ]
    parameters = ", ".join(names[: carries + sequences])
    kind, position = output
    which = f"[{position}]" if carries > 1 or kind == "stacked" else ""
    direction = ", reverse=True" if reverse else ""
    return f"scan({parameters} -> {results}; {', '.join(bound)}{direction}).{kind}{which}"


INFIX: dict[str, Callable[..., str]] = {
    "matmul": _matmul,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _broadcast,
    "index": _index,
    "index_add": _index_add,
    "concatenate": _concatenate,
    "one_hot": _one_hot,
    "size": _size,
    "arange": _plain("arange"),
    **{n: _reduction(n) for n in ("sum", "prod", "max", "min", "logsumexp", "argmax", "argmin")},
    "norm": _reduction("norm"),
    **{n: _along(n) for n in ("prod_others", "cumsum")},
    **{n: _plain(n) for n in ("det", "logdet", "inv", "solve", "cholesky")},
    "convolve": _with_strides("convolve", "conv"),
    "convolve_transposed": _with_strides("convolve_transposed", "conv_transposed"),
    "convolve_kernel": _with_strides("convolve_kernel", "conv_kernel"),
    "windows": _with_strides("windows", "windows"),
    "scan": _scan,
    "random_uniform": lambda operands, attributes, printer: _call("uniform", text(attributes[1])),
    "overlap_add": _with_strides("overlap_add", "overlap_add"),
    **{n: _plain(n) for n in ("equal", "not_equal", "less", "less_equal")},
    **{n: _plain(n) for n in ("logical_and", "logical_or", "logical_not")},
}
"""How each structural operation is written: ``(operands, attributes, printer) -> text``."""


def _shape(expression: Any) -> Shape:
    from ..bridge import to_graph

    return to_graph(expression).shape


def _rank(expression: Any) -> int:
    return len(_shape(expression))
