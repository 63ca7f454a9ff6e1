"""Identifiers for generated source: from any text of a user's, unique and harmless."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata

_LIMIT = 24

RESERVED = frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | frozenset(dir(builtins))


class Names:
    """Gives out identifiers that are unique among themselves and the reserved words.

    Examples
    --------
    >>> names = Names()
    >>> names.new("W1"), names.new("W1"), names.new("lambda"), names.new("1; import os")
    ('W1', 'W1_1', 'lambda_', 'v1_import_os')
    """

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._used = set(RESERVED | reserved)
        self._last: dict[str, int] = {}

    def new(self, wish: str) -> str:
        """An identifier close to ``wish``."""
        stem = identifier(wish)
        name = stem
        if name in self._used:
            name = f"{stem}_" if keyword.iskeyword(stem) else f"{stem}_1"
        number = self._last.get(stem, 1)
        while name in self._used:
            number += 1
            name = f"{stem}_{number}"
        self._last[stem] = number
        self._used.add(name)
        return name

    def release(self, name: str) -> None:
        """Give a name back."""
        self._used.discard(name)


_GREEK = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (\w+)$")


def identifier(text: str) -> str:
    """Any text as an ASCII identifier; Greek letters by their names."""
    parts = []
    for character in text[:_LIMIT]:
        if character.isascii():
            parts.append(character)
            continue
        match = _GREEK.match(unicodedata.name(character, ""))
        parts.append(match[1].lower() if match else "_")
    stem = re.sub(r"[^0-9A-Za-z_]+", "_", "".join(parts)).strip("_")[:_LIMIT]
    if not stem:
        return "v"
    return stem if not stem[0].isdigit() else f"v{stem}"


def comment(text: str, limit: int = 100) -> str:
    """Any text as one line that cannot end the comment it stands in."""
    line = " ".join(text[: 4 * limit].split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"
