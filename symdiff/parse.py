"""Text to expressions: a tokenizer and a recursive descent, and nothing is ever run.

The grammar, from what binds least to what binds most::

    expression = sum [("<" | "<=" | ">" | ">=" | "==" | "!=") sum]
    sum        = product {("+" | "-") product}
    product    = operand {("*" | ".*" | "/" | "./" | "@") operand}
    operand    = {"+" | "-"} postfix [("**" | "^" | ".^") operand]
    postfix    = atom {"'" | ".T" | "[" entry {"," entry} "]"}
    atom       = number | name | name "(" arguments ")" | "(" expression ")"
               | "[" expressions "]" | "||" expression "||"

A name is looked up in the shapes given, then among the constants; a name before a parenthesis
is looked up in :data:`~symdiff.parse_names.FUNCTIONS`. There is no other way from text to Python.
"""

from __future__ import annotations

import difflib
import inspect
import unicodedata
from collections.abc import Callable
from typing import Any, NoReturn

import sympy as sp

from . import language, products
from .bridge import to_graph
from .errors import InvalidArgument, InvalidType, ParseError, SymdiffError
from .language import as_expression, combine, shape, tensor
from .parse_names import (
    ARITY,
    COMPARISONS,
    CONSTANTS,
    FUNCTIONS,
    LITERALS,
    TAKES_TEXT,
    check_operand,
    check_power,
)
from .parse_tokens import Token, fail, tokens
from .shapes import Size, broadcast

__all__ = ["parse"]

MAX_LENGTH = 100_000
"""Longest text, in characters."""

MAX_DEPTH = 60
"""Deepest nesting of parentheses, calls and exponents."""

_FAILURES = (SymdiffError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


def parse(text: str, /, **shapes: Any) -> Any:
    """Read an expression from text. The text is never evaluated.

    Parameters
    ----------
    text : str
        NumPy's notation: ``+ - * / ** @``, comparisons, parentheses, ``x[0]``, ``X[:, 1]``,
        ``X.T`` and the functions of symdiff with their keywords. ``*``, ``/`` and ``**`` act on
        elements, ``@`` is the matrix product. As on matrixcalculus.org ``'`` is the transpose,
        ``.*``, ``./`` and ``.^`` act on elements; ``^`` is ``**``, and ``||x||`` is the norm.
        ``pi``, ``e`` and ``inf`` are constants, unless they are declared.
    **shapes
        For each tensor its shape: a tuple of ints and names, one int or name for a vector, ()
        for a scalar. A symbol or an expression stands for itself. Every other name is a scalar
        ``sympy.Symbol``, or the size of that name where a shape mentions it.

    Returns
    -------
    sympy.Expr

    Raises
    ------
    ParseError
        With the text, a mark under the column, and what was expected there. It is a
        :class:`ShapeError` too where shapes do not fit.

    Examples
    --------
    >>> import symdiff as sd
    >>> loss = sd.parse("sum((X @ w - y)**2)", X=("n", "d"), w="d", y="n")
    >>> sd.gradient(loss, sd.tensor("w", "d"))
    2*X.T @ (X @ w - y)
    >>> sd.parse("x' @ A @ x", x=3, A=(3, 3)).shape
    ()
    >>> sd.parse("a * * b")
    Traceback (most recent call last):
    symdiff.errors.ParseError: expected a number, a name or "(", got "*" in column 5
        a * * b
            ^
    """
    if not isinstance(text, str):
        raise InvalidType(f"parse reads text, got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise ParseError(
            f"the text has {len(text)} characters; parse reads at most {MAX_LENGTH}. Build long "
            "expressions in Python"
        )
    names = _declared(shapes)
    parser = _Parser(text, names)
    try:
        return parser.whole()
    except RecursionError:
        raise ParseError("the text is nested too deeply; name parts of it") from None


def _declared(shapes: dict[str, Any]) -> dict[str, Any]:
    """The symbol, size or expression of each name."""
    names: dict[str, Any] = {}
    for name, value in shapes.items():
        if isinstance(value, sp.Basic) and not _is_size(value):
            names[name] = value
            continue
        entries = tuple(value) if isinstance(value, (tuple, list, sp.Tuple)) else (value,)
        for entry in entries:
            if isinstance(entry, str) and not entry.isidentifier():
                raise InvalidArgument(
                    f"the shape of {name}: {entry!r} is not the name of a size; write a tuple "
                    f'such as {name}=("n", 3)'
                )
        names[name] = tensor(name, *entries) if entries else sp.Symbol(name)
    sizes = {s for v in names.values() for d in getattr(v, "shape", ()) for s in _size_symbols(d)}
    return {s.name: s for s in sizes} | names


def _is_size(value: sp.Basic) -> bool:
    return isinstance(value, (sp.Integer, sp.Tuple)) or bool(_size_symbols(value))


def _size_symbols(dimension: Any) -> set[Size]:
    """The size symbols of a shape's entry that is made of nothing else."""
    free: set[Any] = getattr(dimension, "free_symbols", set())
    return set(free) if all(isinstance(s, Size) for s in free) else set()


# --- the descent ---------------------------------------------------------------------------


class _Parser:
    """One text, its tokens and the place reached."""

    def __init__(self, text: str, names: dict[str, Any]) -> None:
        self.text = text
        self.names = names
        self.tokens = list(tokens(text))
        self.place = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.place]

    def advance(self) -> Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def at(self, *operators: str) -> bool:
        return self.token.kind == "operator" and self.token.text in operators

    def expect(self, operator: str, what: str) -> None:
        if not self.at(operator):
            self.fail_expecting(what)
        self.advance()

    def fail(self, token: Token, message: str, cause: BaseException | None = None) -> NoReturn:
        fail(self.text, token.position, message, cause)

    def fail_expecting(self, what: str) -> NoReturn:
        token = self.token
        got = "the end of the text" if token.kind == "end" else f'"{token.text[:30]}"'
        self.fail(token, f"expected {what}, got {got}")

    def call(
        self, token: Token, function: Callable[..., Any], *operands: Any, **options: Any
    ) -> Any:
        """Apply a function; its errors point at the token."""
        try:
            return function(*operands, **options)
        except ParseError:
            raise
        except _FAILURES as error:
            self.fail(token, " ".join(str(error).split()) or type(error).__name__, error)

    def whole(self) -> Any:
        """The expression that is the whole text."""
        if self.token.kind == "end":
            self.fail(self.token, "expected an expression, got an empty text")
        start = self.token
        value = self.expression()
        if self.token.kind != "end":
            self.fail_after_expression("the end")
        if isinstance(value, tuple):
            self.fail(start, "a tuple is not an expression")
        value = self.call(start, as_expression, value)
        self.call(start, to_graph, value)
        return value

    def fail_after_expression(self, closing: str) -> NoReturn:
        if self.at("="):
            self.fail(self.token, 'expected an operator, got "="; equality is written ==')
        self.fail_expecting(f"an operator or {closing}")

    def expression(self) -> Any:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(
                self.token, f"the text is nested more than {MAX_DEPTH} deep; name parts of it"
            )
        value = self.sum()
        if self.at(*COMPARISONS):
            operator = self.advance()
            other = self.sum()
            value = self.call(operator, COMPARISONS[operator.text], value, other)
            if self.at(*COMPARISONS):
                self.fail(self.token, "comparisons cannot be chained; use logical_and(a, b)")
        self.depth -= 1
        return value

    def sum(self) -> Any:
        terms = _Chain(self, sp.Add, self.product())
        while self.at("+", "-"):
            operator = self.advance()
            term = self.product()
            if operator.text == "-":
                term = self.call(operator, combine, sp.Mul, sp.S.NegativeOne, term)
            terms.append(operator, term)
        return terms.value()

    def product(self) -> Any:
        factors = _Chain(self, sp.Mul, self.operand())
        while self.at("*", ".*", "/", "./", "@"):
            operator = self.advance()
            factor = self.operand()
            if operator.text == "@":
                value = self.call(operator, language.matmul, factors.value(), factor)
                factors = _Chain(self, sp.Mul, value)
                continue
            if operator.text in ("/", "./"):
                factor = self.call(operator, combine, sp.Pow, factor, sp.S.NegativeOne)
            factors.append(operator, factor)
        return factors.value()

    def operand(self, in_exponent: bool = False) -> Any:
        negative: Token | None = None
        while self.at("+", "-"):
            if self.advance().text == "-":
                negative = None if negative else self.tokens[self.place - 1]
        value = self.postfix(in_exponent)
        if self.at("**", "^", ".^"):
            operator = self.advance()
            self.depth += 1
            if self.depth > MAX_DEPTH:
                self.fail(operator, f"powers are nested more than {MAX_DEPTH} deep")
            exponent = self.operand(in_exponent=True)
            self.depth -= 1
            self.call(operator, check_power, value, exponent)
            value = self.call(operator, combine, sp.Pow, value, exponent)
        if negative:
            value = self.call(negative, combine, sp.Mul, sp.S.NegativeOne, value)
        return value

    def postfix(self, in_exponent: bool) -> Any:
        start = self.token
        value = self.atom()
        while self.at("'", ".T", "["):
            operator = self.advance()
            if operator.text == "[":
                value = self.call(operator, language.index, value, self.key())
                continue
            if in_exponent or start.kind == "number":
                self.fail(operator, "it is not clear what is transposed; write (A**n)' or A**(n')")
            value = self.call(operator, language.transpose, value)
        return value

    def atom(self) -> Any:
        token = self.token
        if token.kind == "number":
            self.advance()
            return self.number(token)
        if token.kind == "name":
            self.advance()
            return self.function(token) if self.at("(") else self.name(token)
        if token.kind == "text":
            self.fail(token, "text in quotes is an argument of einsum, norm and reduction= only")
        if self.at("("):
            self.advance()
            return self.group()
        if self.at("["):
            self.advance()
            return self.items("]")
        if self.at("||"):
            return self.bars(self.advance())
        self.fail_expecting('a number, a name or "("')

    def number(self, token: Token) -> Any:
        if token.text.isdigit():
            if len(token.text) > 4000:
                self.fail(token, "the number has more than 4000 digits")
            return sp.Integer(int(token.text))
        value = float(token.text)
        if value in (float("inf"), float("-inf")):
            self.fail(token, f"{token.text[:30]} is too large; the largest number is about 1.8e308")
        return as_expression(value)

    def name(self, token: Token) -> Any:
        name = token.text
        for known in (name, unicodedata.normalize("NFKC", name)):  # as Python reads keywords
            if known in self.names:
                return self.names[known]
        if name in LITERALS:
            return LITERALS[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in FUNCTIONS:
            self.fail(
                token,
                f"{name} is a function: write {name}(...), or declare a variable with {name}=()",
            )
        return sp.Symbol(name)

    def group(self) -> Any:
        """What stands in parentheses: an expression, or a tuple, which only arguments may be."""
        value = self.expression()
        if not self.at(","):
            if not self.at(")"):
                self.fail_after_expression('")"')
            self.advance()
            return value
        self.advance()
        return (value, *([] if self.closes(")") else self.items(")")))

    def closes(self, closing: str) -> bool:
        if self.at(closing):
            self.advance()
            return True
        return False

    def items(self, closing: str) -> list[Any]:
        """Expressions with commas between them, up to a bracket."""
        values = [self.expression()]
        while self.at(","):
            self.advance()
            if self.at(closing):
                break
            values.append(self.expression())
        if not self.at(closing):
            self.fail_after_expression(f'"," or "{closing}"')
        self.advance()
        return values

    def bars(self, opening: Token) -> Any:
        value = self.expression()
        self.expect("||", 'an operator or "||"')
        if len(self.call(opening, shape, value)) > 1:
            self.fail(opening, '||A|| of a matrix may mean several norms; write norm(A, "fro")')
        return self.call(opening, products.norm, value)

    def key(self) -> Any:
        """An index: entries with commas between them, up to the bracket."""
        entries = [self.entry()]
        while self.at(","):
            self.advance()
            if self.at("]"):
                break
            entries.append(self.entry())
        if not self.at("]"):
            self.fail_after_expression('":", "," or "]"')
        self.advance()
        return tuple(entries)

    def entry(self) -> Any:
        if self.at("..."):
            self.advance()
            return Ellipsis
        parts = [self.bound()]
        while self.at(":") and len(parts) < 3:
            self.advance()
            parts.append(self.bound())
        if len(parts) > 1:
            return slice(*parts)
        if parts[0] is _MISSING:
            self.fail_expecting("an index")
        return parts[0]

    def bound(self) -> Any:
        if self.at(":", ",", "]"):
            following_colon = self.at(":") or self.tokens[self.place - 1].text == ":"
            return None if following_colon else _MISSING
        token = self.token
        value = self.expression()
        if isinstance(value, tuple):
            self.fail(token, "an index is a number, a slice or a tensor, not a tuple")
        return int(value) if isinstance(value, sp.Integer) else value

    def function(self, token: Token) -> Any:
        """A call; the parenthesis is next."""
        name = token.text
        if name in self.names or name in CONSTANTS:
            self.fail(token, f"{name} is not a function; a product is written {name}*(...)")
        if name not in FUNCTIONS:
            close = difflib.get_close_matches(name[:50], FUNCTIONS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.fail(token, f'there is no function "{name[:50]}"{hint}')
        self.advance()
        operands, options = self.arguments(name)
        function = FUNCTIONS[name]
        self.check_arguments(token, function, operands, options)
        return self.call(token, function, *operands, **options)

    def arguments(self, name: str) -> tuple[list[Any], dict[str, Any]]:
        operands: list[Any] = []
        options: dict[str, Any] = {}
        while not self.closes(")"):
            if operands or options:
                if not self.at(","):
                    self.fail_after_expression('"," or ")"')
                self.advance()
                if self.closes(")"):
                    break
            token = self.token
            following = self.tokens[min(self.place + 1, len(self.tokens) - 1)]
            if token.kind == "name" and following[:2] == ("operator", "="):
                self.place += 2
                if token.text in options:
                    self.fail(token, f"{token.text}= is given twice")
                options[token.text] = self.argument(name, token.text)
            elif options:
                self.fail(token, "an argument without a name stands before those with one")
            else:
                operands.append(self.argument(name, name))
        return operands, options

    def argument(self, function: str, keyword: str) -> Any:
        token = self.token
        if token.kind == "text":
            if keyword not in TAKES_TEXT:
                self.fail(token, f"{function} takes no text in quotes here")
            return self.advance().text
        return self.expression()

    def check_arguments(
        self, token: Token, function: Callable[..., Any], operands: list[Any], options: Any
    ) -> None:
        """What Python would say late, or not at all."""
        name = token.text
        if not operands:
            self.fail(token, f"{name} needs an operand")
        if name in ("max", "min") and len(operands) > 1:
            self.fail(token, f"{name} reduces over axes: write {name}imum(a, b), or axis=")
        signature = inspect.signature(function)
        try:
            signature.bind(*operands, **options)
        except TypeError as error:
            known = ", ".join(p for p in signature.parameters if p != "operands")
            hint = f"; its arguments are {known}" if known else ""
            self.fail(token, f"{name}: {error}{hint}", error)
        if list(signature.parameters) == ["operands"]:
            least, most = ARITY.get(name, (1, 1))
            if not least <= len(operands) <= most:
                count = least if least == most else f"{least} to {most}"
                self.fail(
                    token, f"{name} takes {count} operand{'s' * (most > 1)}, got {len(operands)}"
                )
            for operand in operands:
                self.call(token, check_operand, name, operand)


_MISSING = object()


class _Chain:
    """Terms of one sum or factors of one product, given to SymPy together.

    One by one, SymPy would take quadratic time.
    """

    def __init__(self, parser: _Parser, function: Any, first: Any) -> None:
        self.parser = parser
        self.function = function
        self.terms = [first]
        self.shape: Any = None

    def append(self, operator: Token, term: Any) -> None:
        """Add a term; shapes that do not fit are an error at this operator."""
        call = self.parser.call
        if self.shape is None:
            self.shape = call(operator, shape, self.terms[0])
        joined = broadcast(self.shape, call(operator, shape, term))
        if joined is None:
            call(operator, combine, self.function, self.value(), term)
        self.shape = joined
        self.terms.append(term)
        self.operator = operator

    def value(self) -> Any:
        """The sum or product."""
        if len(self.terms) == 1:
            return self.terms[0]
        return self.parser.call(self.operator, combine, self.function, *self.terms)
