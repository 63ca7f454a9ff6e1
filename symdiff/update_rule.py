"""What an update rule is: equations for one element of a parameter, read, checked and printed.

The built-in ones are rows of the table in `optimizers.py`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, TypeAlias

import sympy as sp
from sympy.logic.boolalg import BooleanAtom
from sympy.printing.latex import LatexPrinter
from sympy.printing.precedence import PRECEDENCE
from sympy.printing.str import StrPrinter

from .errors import InvalidArgument, InvalidType

Value: TypeAlias = float | sp.Expr
Equation: TypeAlias = tuple[sp.Symbol, sp.Expr]


class UpdateSymbol(sp.Symbol):
    """A symbol of the update rules: never equal to a user's symbol of the same name."""

    __slots__ = ()


class Hyperparameter(UpdateSymbol):
    """A number of an update rule that its user chooses, such as the learning rate."""

    __slots__ = ()


step = UpdateSymbol("step", nonnegative=True)
"""Completed updates: 0 in the first one."""
epoch = UpdateSymbol("epoch", nonnegative=True)
"""Completed epochs: 0 in the first one."""
parameter = UpdateSymbol("w", real=True)
"""One element of a parameter."""
gradient = UpdateSymbol("g", real=True)
"""The derivative of the loss with respect to that element."""

# ---- Reading what the user gives ---------------------------------------------------------------


def read_number(what: str, value: object) -> sp.Expr:
    """The given number as a SymPy number; a Python float stays the same double."""
    if isinstance(value, sp.Expr) and not getattr(value, "is_Matrix", False):
        number = value
    elif isinstance(value, Real) and not isinstance(value, bool):
        number = sp.Integer(value) if isinstance(value, int) else sp.Float(float(value))
    else:
        raise InvalidType(
            f"{what} is {value!r}, of type {type(value).__name__}; give a number "
            "or a scalar SymPy expression."
        )
    if number.is_number and not (number.is_extended_real and number.is_finite):
        raise InvalidArgument(f"{what} is {value}; give a finite real number.")
    return number


def unknown_names(symbols: set[sp.Symbol], known: Iterable[sp.Symbol]) -> str:
    """The names of unknown symbols, and what was meant where a known one has the same name."""
    names = sorted(map(str, symbols))
    text = ", ".join(names)
    for twin in sorted({str(symbol) for symbol in known}.intersection(names)):
        text += f" (not the same symbol as the {twin} of this rule: use that one)"
    return text


def _pairs(equations: object) -> list[tuple[object, object]]:
    if isinstance(equations, Mapping):
        return list(equations.items())
    if isinstance(equations, (sp.Equality, BooleanAtom)):
        equations = [equations]
    if not isinstance(equations, Iterable):
        raise InvalidType(f"Equations are a list of (left, right) pairs, not {equations!r}.")
    pairs: list[tuple[object, object]] = []
    for entry in equations:
        if isinstance(entry, sp.Equality):
            pairs.append((entry.lhs, entry.rhs))
        elif isinstance(entry, (bool, BooleanAtom)):
            raise InvalidArgument(
                f"SymPy has evaluated an Eq to {entry}; write that equation as a pair "
                "(left, right)."
            )
        elif isinstance(entry, (tuple, list, sp.Tuple)) and len(entry) == 2:
            pairs.append((entry[0], entry[1]))
        else:
            raise InvalidType(f"{entry!r} is no equation; write (left, right) or Eq(left, right).")
    return pairs


def _equation(left: object, right: object) -> Equation:
    if not isinstance(left, sp.Symbol) or getattr(left, "shape", ()) != ():
        raise InvalidType(
            f"{left!r} stands on the left of an equation; a plain sympy.Symbol belongs there, as "
            "equations hold for one element of a parameter."
        )
    if left in (gradient, step, epoch):
        raise InvalidArgument(f"{left} is given and cannot be assigned; choose a new symbol.")
    expression = read_number(f"The right side of {left}", right)
    if expression.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
        raise InvalidArgument(f"The right side of {left} is {expression}: not a real number.")
    return left, expression


def _state_symbols(equations: Iterable[Equation]) -> list[sp.Symbol]:
    """The left-hand symbols that are read before they are written, once all symbols are known."""
    lines = list(equations)
    given = {parameter, gradient, step, epoch}
    lefts = [left for left, _ in lines]
    for left in lefts:
        if lefts.count(left) > 1:
            raise InvalidArgument(
                f"{left} is assigned more than once; give the earlier value a symbol of its own."
            )
    if parameter not in lefts:
        raise InvalidArgument(
            "No equation assigns the parameter; add one such as "
            "(parameter, parameter - 0.01*gradient)."
        )
    read_first: set[sp.Symbol] = set()
    written: set[sp.Symbol] = set()
    for left, right in lines:
        unknown = right.free_symbols - given - set(lefts)
        if unknown:
            raise InvalidArgument(
                f"The right side of {left} contains {unknown_names(unknown, {*given, *lefts})}; "
                "put a number in its place, or add an equation that assigns it."
            )
        read_first |= right.free_symbols - written - given
        written.add(left)
    return [left for left in lefts if left in read_first]


# ---- Printing, in the order of a textbook ------------------------------------------------------

_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def _greek(word: str) -> str | None:
    try:
        return unicodedata.lookup(f"GREEK SMALL LETTER {word.replace('lambda', 'lamda')}")
    except KeyError:
        return None


def _symbol_parts(name: str) -> tuple[str, bool, str] | None:
    """Letter, hat and index of a name such as m_hat, beta1 or mu_next; None for a word."""
    head, _, index = name.partition("_")
    letter = head.rstrip("0123456789")
    if len(letter) != 1 and not _greek(letter):
        return None
    hat = index == "hat"
    return letter, hat, head[len(letter) :] + ("" if hat else index)


def _varies(expression: sp.Expr) -> bool:
    """Whether it holds more than numbers, hyper-parameters, counters and Greek letters."""
    return any(
        not isinstance(symbol, Hyperparameter)
        and symbol not in (step, epoch)
        and len((_symbol_parts(symbol.name) or " ")[0]) == 1
        for symbol in expression.free_symbols
    )


def _ordered_terms(expression: sp.Add, left: sp.Symbol | None) -> list[sp.Expr]:
    """Terms as one writes them: w − η·m, β·m + (1 − β)·g, √v + ε, 1 − β."""

    def rank(term: sp.Expr) -> tuple[object, ...]:
        coefficient, body = term.as_coeff_Mul()
        free = term.free_symbols
        negative = bool(coefficient.is_negative)
        order = (left not in free, not _varies(term), negative, not body.is_Symbol)
        return (*order, gradient in free, sp.default_sort_key(body))

    terms = sorted(expression.args, key=rank)
    first = next((term for term in terms if term.as_coeff_Mul()[0] > 0), terms[0])
    terms.remove(first)
    return [first, *terms]


def _factor_rank(factor: sp.Expr) -> tuple[object, ...]:
    order = (not factor.is_number, _varies(factor), gradient in factor.free_symbols)
    return (*order, not factor.is_Symbol, sp.default_sort_key(factor))


class _TextPrinter(StrPrinter):
    """One line of Unicode; `left` is the symbol that the expression is assigned to."""

    left: sp.Symbol | None = None

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        parts = _symbol_parts(expr.name)
        if parts is None:
            return str(expr.name)
        letter, hat, index = parts
        text = (_greek(letter) or letter) + "\u0302" * hat
        return text + (f"_{index}" if index.strip("0123456789") else index.translate(_SUBSCRIPT))

    def _print_Float(self, expr: sp.Float) -> str:
        return repr(float(expr))

    def _print_Add(self, expr: sp.Add, order: object = None) -> str:
        text = ""
        for term in _ordered_terms(expr, self.left):
            negative = term.as_coeff_Mul()[0] < 0
            sign = (" − " if text else "−") if negative else (" + " if text else "")
            text += sign + self._factor(-term if negative else term)
        return text

    def _factor(self, expr: sp.Expr) -> str:
        return str(self.parenthesize(expr, PRECEDENCE["Mul"], strict=True))

    def _print_Mul(self, expr: sp.Expr) -> str:
        if expr.as_coeff_Mul()[0] < 0:
            return "−" + self._factor(-expr)
        above, below = [], []
        for factor in sp.Mul.make_args(expr):
            base, exponent = factor.as_base_exp()
            if factor.is_Rational:
                above.append(sp.Integer(factor.p))
                below.append(sp.Integer(factor.q))
            elif exponent.is_number and exponent.is_negative:
                below.append(base**-exponent)
            else:
                above.append(factor)
        over, under = (
            [self._factor(f) for f in sorted(factors, key=_factor_rank) if f != 1]
            for factors in (above, below)
        )
        text = "·".join(over) or "1"
        return f"{text}/({'·'.join(under)})" if len(under) > 1 else "/".join([text, *under])

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        base, exponent = expr.args
        if exponent.is_number and exponent.is_negative:
            return self._print_Mul(expr)
        if exponent == sp.Rational(1, 2):
            return "√" + self.parenthesize(base, PRECEDENCE["Atom"], strict=True)
        text = self.parenthesize(base, PRECEDENCE["Pow"])
        if exponent.is_Integer:
            return text + str(exponent).translate(_SUPERSCRIPT)
        return f"{text}^{self.parenthesize(exponent, PRECEDENCE['Atom'], strict=True)}"

    def _print_Abs(self, expr: sp.Abs) -> str:
        return f"|{self._print(expr.args[0])}|"

    def _print_Max(self, expr: sp.Max) -> str:
        return f"max({', '.join(map(self._print, sorted(expr.args, key=_factor_rank)))})"

    def _print_Min(self, expr: sp.Min) -> str:
        return f"min({', '.join(map(self._print, sorted(expr.args, key=_factor_rank)))})"


class _LatexPrinter(LatexPrinter):
    """LaTeX with the same names and the same order of terms."""

    left: sp.Symbol | None = None

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        parts = _symbol_parts(expr.name)
        if parts is None:
            return r"\mathrm{" + expr.name.replace("_", r"\_") + "}"
        letter, hat, index = parts
        text = "\\" + letter if len(letter) > 1 else letter
        text = rf"\hat{{{text}}}" if hat else text
        index = index if index.isdigit() else rf"\mathrm{{{index}}}" * bool(index)
        return text + (rf"_{{{index}}}" if index else "")

    def _as_ordered_terms(self, expr: sp.Add, order: object = None) -> list[sp.Expr]:
        return _ordered_terms(expr, self.left)


def _print(printer: StrPrinter | LatexPrinter, value: object, left: sp.Symbol | None) -> str:
    printer.left = left
    return str(printer.doprint(read_number("value", value)))


def _text(value: object, left: sp.Symbol | None = None) -> str:
    return _print(_TextPrinter(), value, left)


def _latex(value: object, left: sp.Symbol | None = None) -> str:
    return _print(_LatexPrinter({"mul_symbol": "dot"}), value, left)


def _code(value: object) -> str:
    """As one types it."""
    return str(sp.sstr(value, full_prec=False)) if not isinstance(value, Real) else repr(value)


# ---- Optimizers --------------------------------------------------------------------------------


class Optimizer:
    """An optimizer: equations for one element of a parameter, carried out once per step.

    Parameters
    ----------
    equations : list of (Symbol, Expr) or sympy.Eq, or dict
        Assignments, carried out in order, each to a symbol of its own. The right sides may contain
        `parameter`, `gradient`, `step`, `epoch` and the symbols assigned here. A symbol that is
        read before it is written keeps its value from step to step.
    initial : dict, optional
        Value of such a symbol before the first step, 0 where nothing is given.
    name : str, optional
        What to call the optimizer in messages.

    Raises
    ------
    InvalidArgument
        When no equation assigns the parameter, one symbol is assigned twice, or a symbol is
        unknown.
    InvalidType
        When an entry is not an equation.

    Examples
    --------
    >>> import sympy as sp
    >>> from symdiff.optimizers import Optimizer, gradient, parameter
    >>> m = sp.Symbol("m")
    >>> heavy_ball = Optimizer([(m, 0.9 * m + gradient), (parameter, parameter - 0.01 * m)])
    >>> print(heavy_ball)
    m ← 0.9·m + g
    w ← w − 0.01·m
    >>> heavy_ball.state
    {m: 0}
    """

    def __init__(
        self,
        equations: Iterable[Any] | Mapping[sp.Symbol, Any],
        *,
        initial: Mapping[sp.Symbol, Any] | None = None,
        name: str = "Optimizer",
    ) -> None:
        rule = [_equation(left, right) for left, right in _pairs(equations)]
        self._store(name, rule, initial or {}, {})

    def _store(
        self,
        name: str,
        rule: Iterable[Equation],
        initial: Mapping[sp.Symbol, Any],
        values: Mapping[str, Value | bool],
        convention: str = "torch",
    ) -> None:
        self._name, self._rule, self._values = name, tuple(rule), dict(values)
        self._convention = convention
        numbers = {
            Hyperparameter(key, real=True): read_number(key, value)
            for key, value in values.items()
            if not isinstance(value, bool)
        }
        self._equations = tuple((left, right.xreplace(numbers)) for left, right in self._rule)
        state = _state_symbols(self._equations)
        for symbol, value in initial.items():
            if symbol not in state:
                raise InvalidArgument(
                    f"initial names {unknown_names({symbol}, state)}, which is no state of this "
                    f"rule: state is {', '.join(map(str, state)) or 'empty'}. Leave it out."
                )
            if not read_number(f"The initial value of {symbol}", value).is_number:
                raise InvalidArgument(f"The initial value of {symbol} is {value}; give a number.")
        self._state = {symbol: read_number("", initial.get(symbol, 0)) for symbol in state}

    @property
    def name(self) -> str:
        """What the optimizer is called."""
        return self._name

    @property
    def equations(self) -> tuple[Equation, ...]:
        """The ordered assignments (symbol, expression), with every hyper-parameter's value."""
        return self._equations

    @property
    def rule(self) -> tuple[Equation, ...]:
        """The same assignments with hyper-parameters as symbols: what is printed."""
        return self._rule

    @property
    def state(self) -> dict[sp.Symbol, sp.Expr]:
        """The symbols carried from step to step, each with its initial number."""
        return dict(self._state)

    @property
    def intermediates(self) -> tuple[sp.Symbol, ...]:
        """The assigned symbols that are neither state nor the parameter."""
        kept = {parameter, *self._state}
        return tuple(left for left, _ in self._equations if left not in kept)

    @property
    def scalars(self) -> tuple[sp.Symbol, ...]:
        """The assigned symbols that have one value for all elements, such as bias corrections."""
        varying = {parameter, gradient}
        for _ in self._equations:  # a state may pass it on to a line above
            varying |= {left for left, right in self._equations if right.free_symbols & varying}
        return tuple(left for left, _ in self._equations if left not in varying)

    @property
    def hyperparameters(self) -> dict[str, Value | bool]:
        """Name and value of what a built-in optimizer was given; empty for equations."""
        return dict(self._values)

    @property
    def learning_rate(self) -> Value | None:
        """The learning rate, a number or an expression in `step` and `epoch`, if there is one."""
        return self._values.get("learning_rate")

    def _used_values(self) -> dict[sp.Symbol, Value]:
        used = set().union(*(right.free_symbols for _, right in self._rule))
        symbols = {Hyperparameter(key, real=True): value for key, value in self._values.items()}
        return {symbol: value for symbol, value in symbols.items() if symbol in used}

    def _starts(self) -> dict[sp.Symbol, sp.Expr]:
        return {symbol: value for symbol, value in self._state.items() if not value.is_zero}

    def __str__(self) -> str:
        lines = [f"{_text(left)} ← {_text(right, left)}" for left, right in self._rule]
        values = [f"{symbol.name} = {_text(x)}" for symbol, x in self._used_values().items()]
        starts = [f"{_text(key)} = {_text(x)}" for key, x in self._starts().items()]
        if values:
            lines.append(", ".join(values))
        if starts:
            lines.append("initially " + ", ".join(starts))
        return "\n".join(lines)

    def __repr__(self) -> str:
        arguments = [f"{key}={_code(value)}" for key, value in self._values.items()]
        if not self._values:
            arguments.append(_code(list(self._rule)))
            if self._starts():
                arguments.append(f"initial={_code(self._starts())}")
            if self._name != "Optimizer":
                arguments.append(f"name={self._name!r}")
        if self._convention != "torch":
            arguments.append(f"convention={self._convention!r}")
        return f"{type(self).__name__}({', '.join(arguments)})"

    def latex(self) -> str:
        """The equations and values as a LaTeX `aligned` environment."""
        lines = [f"{_latex(left)} &\\leftarrow {_latex(right, left)}" for left, right in self._rule]
        shown = (("", self._used_values()), (r"\text{initially } ", self._starts()))
        for title, values in shown:
            if values:
                pairs = [f"{_latex(symbol)} = {_latex(value)}" for symbol, value in values.items()]
                lines.append("&" + title + r",\; ".join(pairs))
        return "\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.latex()}$"

    def _content(self) -> tuple[object, ...]:
        return self._name, self._equations, tuple(self._state.items())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Optimizer):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())
