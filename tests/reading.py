"""A reader of printed derivations: from the text alone to numbers.

It knows the conventions of the page and nothing of the library. Names are those that stand at the
left of earlier lines or belong to the symbols and sizes of the loss.
"""

import re
from dataclasses import dataclass

from reading_formulas import axis_letters, evaluate
from reading_moves import top_level_split
from reading_values import Unreadable, fitted, moved, value_of


@dataclass(frozen=True)
class Equation:
    """One line: a name, what else it is, how it is computed, and its announced shape."""

    name: str
    meaning: str
    formula: str
    shape: str


def spelled_out(text):
    """The page with every recurrence in full: later mentions have only its name."""
    for name in dict.fromkeys(re.findall(r" of (scan[₀-₉]*)\(", text)):
        start = end = text.index(f" of {name}(") + len(f" of {name}")
        depth = 1
        while depth:
            end += 1
            depth += (text[end] in "([") - (text[end] in ")]")
        whole = " ".join(text[start : end + 1].split())
        text = re.sub(rf" of {name}(?=\s)", lambda m, w=whole, n=name: f" of {n}{w}", text)
    return text


def equations(text, *sections):
    """The lines of some sections of a page."""
    result, section, pending = [], "", ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            section = line
        if section not in sections or not line.startswith(" "):
            continue
        pending += line if not pending else " " + line.strip()
        found = re.fullmatch(r"\s*(.*?)\s{2,}(\([^()]*\))", pending)
        if found is not None:
            name, *meaning, formula = top_level_split(found[1], " = ")
            result.append(Equation(name, *(meaning or [""]), formula, found[2]))
            pending = ""
    assert not pending, f"a line without a shape: {pending}"
    return result


class Page:
    """A printed derivation that is evaluated from top to bottom.

    Parameters
    ----------
    text : str
    symbols : dict
        ``{name as it is shown: array}``.
    sizes : dict
        ``{name: int}``.
    """

    def __init__(self, text, symbols, sizes):
        self.symbols = {name: value_of(array) for name, array in symbols.items()}
        self.sizes = sizes
        text = spelled_out(text)
        self.forward = equations(text, "forward")
        self.backward = equations(text, "backward")
        self.gradients = equations(text, "gradients")
        lines = [line.name for line in (*self.forward, *self.backward)]
        self.letters = axis_letters({*symbols, *sizes, *lines})

    def shape(self, equation):
        entries = [e for e in equation.shape.strip("()").split(",") if e.strip()]
        return tuple(int(evaluate(e, {}, self.sizes).array) for e in entries)

    def run(self, lines, names, fixed=()):
        """The values of lines on top of ``names``; those in ``fixed`` keep the value they have."""
        names = dict(names)
        for line in lines:
            if line.name in fixed:
                continue
            try:
                found = evaluate(line.formula, names, self.sizes, self.letters)
                names[line.name] = fitted(found, self.shape(line))
            except (Unreadable, ValueError, IndexError) as error:
                raise Unreadable(f"{line.name} = {line.formula}: {error}") from error
        return names

    def loss_at(self, changed, names):
        """The loss where one name has another value, all lines that follow read again."""
        start = {**names, **{n: moved(names[n], array) for n, array in changed.items()}}
        return float(self.run(self.forward, start, changed)[self.forward[-1].name].array)
