"""Formulas read by recursive descent, and evaluated as they are read."""

import re

import numpy as np
from reading_moves import MOVES, top_level_split
from reading_values import (
    ALONG,
    ELEMENTWISE,
    IDENTITY,
    REDUCTIONS,
    WHOLE,
    Shaped,
    Unreadable,
    Value,
    elementwise,
    one_hot,
    product,
    reduced,
    transposed,
    value_of,
)

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
LETTERS = dict(zip("ijklmprstuvx", "ᵢⱼₖₗₘₚᵣₛₜᵤᵥₓ", strict=True))
"""What an axis may be called: the first letters of these that name nothing else."""

MARKS = "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ"
RELATIONS = {
    "=": np.equal, "≠": np.not_equal, "<": np.less, "≤": np.less_equal, ">": np.greater,
    "≥": np.greater_equal,
}  # fmt: skip
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
RECURRENCE = re.compile(r"([^\s(]+)\[([tT])\] of scan[₀-₉]*\(")
CONSTANTS = {"π": np.pi, "e": np.e, "∞": np.inf}
ONES = value_of(1.0, stretches=True)

FUNCTIONS = {
    *ELEMENTWISE, *REDUCTIONS, *ALONG, *WHOLE, *MOVES, "onehot", "broadcast", "arange", "concat",
}  # fmt: skip


def axis_letters(names):
    """What the axes are called on a page with these names."""
    return "".join(mark for letter, mark in LETTERS.items() if letter not in names)


def evaluate(text, names, sizes, letters=None):
    """The value of one formula."""
    known = {**{n: np.float64(s) for n, s in sizes.items()}, **names}
    reader = Reader(text, known, sizes, axis_letters(known) if letters is None else letters)
    result = reader.expression()
    reader.spaces()
    if reader.position < len(text):
        raise Unreadable(f"{text[reader.position :]!r} is left")
    return result


class Reader:
    """Recursive descent over one formula."""

    def __init__(self, text, names, sizes, letters):
        self.text = text
        self.letters = letters
        self.position = 0
        self.sizes = sizes
        self.names = {
            n: a if isinstance(a, (Value, Shaped)) else value_of(a) for n, a in names.items()
        }
        self.longest_first = sorted(self.names, key=len, reverse=True)
        self.closers = []

    # --- characters ----------------------------------------------------------------------

    def spaces(self):
        while self.text.startswith(" ", self.position):
            self.position += 1

    def sees(self, *tokens):
        return any(self.text.startswith(t, self.position) for t in tokens)

    def takes(self, *tokens):
        for token in tokens:
            if self.text.startswith(token, self.position):
                self.position += len(token)
                return token
        return ""

    def expects(self, token):
        self.spaces()
        if not self.takes(token):
            raise Unreadable(f"{token!r} expected before {self.text[self.position :]!r}")

    def inside(self, closer, read):
        """What ``read`` gives up to a closing sign."""
        self.closers.append(closer)
        result = read()
        self.closers.pop()
        self.expects(closer)
        return result

    # --- levels of binding ---------------------------------------------------------------

    def expression(self):
        result = self.sum()
        self.spaces()
        while (operator := self.takes("∧", "∨")) != "":
            function = np.logical_and if operator == "∧" else np.logical_or
            result = elementwise(lambda a, b, f=function: f(a, b).astype(float), result, self.sum())
            self.spaces()
        return result

    def sum(self):
        self.spaces()
        negative = bool(self.takes("−", "-"))
        result = self.product()
        if negative:
            result = product(value_of(-1), result)
        self.spaces()
        while (operator := self.takes("+", "−", "-")) != "":
            term = self.product()
            result = elementwise(np.add if operator == "+" else np.subtract, result, term)
            self.spaces()
        return result

    def product(self):
        result = self.side_by_side()
        self.spaces()
        while (operator := self.takes("⊙", "·", "/")) != "":
            self.spaces()
            if operator == "/":
                result = elementwise(np.divide, result, self.factor())
            elif operator == "⊙":
                result = elementwise(np.multiply, result, self.side_by_side())
            else:
                result = product(result, self.side_by_side())
            self.spaces()
        return result

    def side_by_side(self):
        result = None
        while True:
            self.spaces()
            if not self.starts():
                if result is None:
                    raise Unreadable(f"a value expected before {self.text[self.position :]!r}")
                return result
            part = self.whole_sum() if self.sees("Σ") else self.factor()
            result = part if result is None else product(result, part)

    def starts(self):
        if self.position >= len(self.text) or self.sees("of scan"):
            return False
        if self.closers and self.sees(self.closers[-1]):
            return False
        character = self.text[self.position]
        return character.isalnum() or character in "([‖|√𝟏𝐈Σ∏¬∞"

    def whole_sum(self):
        """``Σᵢ x ⊙ y``: a sum reaches over products."""
        self.takes("Σ")
        axes = self.axes()
        return reduced(REDUCTIONS["Σ"], self.product(), axes)

    def axes(self):
        found = []
        while self.position < len(self.text) and self.text[self.position] in self.letters:
            found.append(self.letters.index(self.text[self.position]))
            self.position += 1
        return tuple(found) or None

    def factor(self):
        bare_number = NUMBER.match(self.text, self.position) is not None
        result = self.atom()
        while True:
            if self.takes("⁻ᵀ"):
                result = transposed(Value(np.linalg.inv(result.array)))
            elif self.takes("ᵀ"):
                result = transposed(result)
            elif self.sees("⁻¹") and isinstance(result, Value) and result.rank == 2:
                self.takes("⁻¹")
                result = Value(np.linalg.inv(result.array))
            elif (
                found := re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+").match(self.text, self.position)
            ) is not None:
                self.position = found.end()
                exponent = int(found[0].translate(SUPERSCRIPTS))
                result = elementwise(lambda x, p=exponent: x ** float(p), result)
            elif self.takes("^"):
                exponent = self.factor() if not self.sees("(") else self.parentheses()
                result = elementwise(np.power, result, exponent)
            elif (
                self.sees("[") and isinstance(result, Value) and not bare_number and self.is_index()
            ):
                key = self.key(result)
                result = Value(result.array[key], stretches=result.stretches)
            else:
                return result

    def parentheses(self):
        self.expects("(")
        return self.inside(")", self.expression)

    # --- atoms ---------------------------------------------------------------------------

    def atom(self):
        if self.sees("("):
            return self.parentheses()
        number = NUMBER.match(self.text, self.position)
        if number is not None:
            self.position = number.end()
            return value_of(float(number[0]))
        if self.takes("‖"):
            inner = self.inside("‖", self.expression)
            return value_of(np.sqrt((inner.array**2).sum()))
        if self.takes("|"):
            return elementwise(np.abs, self.inside("|", self.expression))
        if self.takes("√"):
            return elementwise(np.sqrt, self.atom())
        if self.takes("𝟏"):
            return ONES
        if self.takes("𝐈"):
            return IDENTITY
        if self.takes("¬"):
            return elementwise(lambda x: 1.0 - (x != 0), self.factor())
        if self.takes("["):
            return self.inside("]", self.bracket)
        if RECURRENCE.match(self.text, self.position) is not None:
            return self.recurrence()
        function = self.function_name()
        if function in FUNCTIONS:
            self.position += len(function)
            return self.call(function)
        for name in self.longest_first:
            after = self.text[self.position + len(name) :]
            if self.sees(name) and not after.startswith(tuple(MARKS)):
                self.position += len(name)
                return self.names[name]
        constant = self.takes(*CONSTANTS)
        if constant:
            return value_of(CONSTANTS[constant])
        raise Unreadable(f"nothing is known of {self.text[self.position :]!r}")

    def function_name(self):
        found = re.compile(r"(log σ|convᵀ|[^\W\d_]\w*?|∏)(?=[ᵢⱼₖₗₘₚᵣₛₜᵤᵥₓ]*[(|])").match(
            self.text, self.position
        )
        return found[1] if found is not None else ""

    def bracket(self):
        """``[z > 0]`` is 1 where that holds; ``[a, b]`` is one array."""
        parts = [self.expression()]
        self.spaces()
        relation = self.takes(*RELATIONS)
        if relation:
            other = self.sum()
            function = RELATIONS[relation]
            return elementwise(lambda a, b: function(a, b).astype(float), parts[0], other)
        separator = ""
        while (found := self.takes(",", ";")) != "":
            separator = found
            parts.append(self.expression())
            self.spaces()
        if not separator:
            return elementwise(lambda x: (x != 0).astype(float), parts[0])
        axis = 1 if separator == "," and parts[0].rank == 2 else 0
        return Value(np.concatenate([np.atleast_1d(p.array) for p in parts], axis))

    def arguments(self):
        """The texts between the commas of a call."""
        start = self.position
        depth = 1
        while depth:
            depth += (self.text[self.position] in "([") - (self.text[self.position] in ")]")
            self.position += 1
        inner = self.text[start : self.position - 1]
        return [part.strip() for part in top_level_split(inner, ", ")]

    def read(self, text, names=None):
        names = self.names if names is None else names
        return evaluate(text, names, self.sizes, self.letters)

    def call(self, name):
        axes = self.axes()
        if self.takes("|"):
            inner = self.inside("|", self.expression)
            return elementwise(ELEMENTWISE[name], elementwise(np.abs, inner))
        self.expects("(")
        texts = self.arguments()
        if name in MOVES:
            return MOVES[name](self, texts)
        parts = [self.read(text) for text in texts]
        if name == "onehot":
            return one_hot(parts[0])
        if name == "broadcast":
            return Value(parts[0].array, stretches=True)
        if name == "arange":
            return value_of(np.arange(int(parts[0].array)))
        if name in WHOLE:
            return Value(np.asarray(WHOLE[name](parts[0].array)))
        if name in ALONG:
            (axis,) = axes or (0,)
            (part,) = parts
            if part.stretches and part.array.shape[axis] == 1:
                raise Unreadable(f"{name} along ones, of which nobody says how many there are")
            return Value(ALONG[name](part.array, axis), stretches=part.stretches)
        if name in REDUCTIONS and len(parts) == 1:
            return reduced(REDUCTIONS[name], parts[0], axes)
        if name == "concat":
            return Value(np.concatenate([p.array for p in parts], axes[0]))
        return elementwise(ELEMENTWISE[name], *parts)

    # --- indices -------------------------------------------------------------------------

    def is_index(self):
        """Whether brackets right behind a value are an index, not a condition or an array."""
        depth, end = 0, self.position
        while True:
            depth += (self.text[end] in "([") - (self.text[end] in ")]")
            if not depth:
                break
            end += 1
        inner = self.text[self.position + 1 : end]
        signs = (*RELATIONS, "∧", "∨")
        compares = any(len(top_level_split(inner, f" {sign} ")) > 1 for sign in signs)
        return not compares and not inner.startswith(("¬", "["))

    def key(self, indexed):
        self.expects("[")
        return self.key_of(self.arguments())

    def key_of(self, entries):
        key = []
        for entry in entries:
            if entry == "...":
                key.append(Ellipsis)
            elif entry == "None":
                key.append(None)
            elif ":" in entry:
                ends = [int(self.read(e).array) if e else None for e in entry.split(":")]
                key.append(slice(*ends))
            else:
                found = self.read(entry).array
                key.append(int(found) if not found.ndim else found.astype(int))
        return tuple(key)

    def whole_numbers(self, text):
        """A shape, or a size for each axis: ``(2, 3)``, ``2×3``, ``2``."""
        parts = text.strip("()").split(",") if text.startswith("(") else text.split("×")
        return tuple(int(self.read(p).array) for p in parts if p.strip())

    # --- recurrences ---------------------------------------------------------------------

    def recurrence(self):
        """``h[T] of scan(u = tanh(x + h), h ← u, x ∈ X, h[0] = h₀)``."""
        found = RECURRENCE.match(self.text, self.position)
        wanted, when = found[1], found[2]
        self.position = found.end()
        steps, elements, outputs, carries = {}, {}, {}, {}
        backwards = False
        for part in self.arguments():
            if " ← " in part:
                name, steps[name] = part.split(" ← ", 1)
            elif " ∈ " in part:
                name, text = part.split(" ∈ ", 1)
                elements[name] = self.read(text).array
            elif part == "reversed":
                backwards = True
            else:
                name, text = part.split(" = ", 1)
                if name.endswith("[0]"):
                    carries[name[:-3]] = self.read(text)
                else:
                    outputs[name] = text
        carries = {name: carries.get(name, value_of(0.0)) for name in steps}
        count = len(next(iter(elements.values())))
        seen = [None] * count
        for time in reversed(range(count)) if backwards else range(count):
            inner = {**self.names, **carries}
            inner |= {name: value_of(array[time]) for name, array in elements.items()}
            for name, text in outputs.items():
                inner[name] = self.read(text, inner)
            carries = {name: self.read(text, inner) for name, text in steps.items()}
            seen[time] = inner[wanted]
        if when == "T":
            return carries[wanted]
        arrays = [s.array for s in seen]
        return Value(np.stack(np.broadcast_arrays(*arrays)))
