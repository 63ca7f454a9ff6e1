"""A page as one HTML document that loads nothing, and the file that holds it."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from ..errors import InvalidType, SymdiffError
from .blocks import Block, Markup, html

__all__ = ["WriteError", "document", "policy", "resource", "section", "write_page"]


class WriteError(SymdiffError, OSError):
    """A page cannot be written; the message names the file and what is in the way."""


def resource(name: str) -> str:
    """A file beside this one: the style or the script of a page."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def policy(script: str, connect: str = "'none'") -> str:
    """What a page may load: nothing; of scripts, its own alone may run."""
    digest = b64encode(sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        f"img-src data:; connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def document(title: str, headline: Markup, blocks: Sequence[Block]) -> str:
    """A page of blocks, with links to them."""
    script = resource("page.js")
    links = "".join(f'<li><a href="#{b.key}">{html(b.title)}</a></li>' for b in blocks)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{html(policy(script))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html(title)}</title>
<style>{resource("page.css")}</style>
</head>
<body>
<header><h1>{headline}</h1></header>
<nav aria-label="Contents"><ul>{links}</ul></nav>
<main>
{"".join(section(b) for b in blocks)}
</main>
<script>{script}</script>
</body>
</html>
"""


def section(block: Block) -> Markup:
    """A block with its heading."""
    return Markup(
        f'<section id="{block.key}" aria-labelledby="title-{block.key}">'
        f'<h2 id="title-{block.key}">{html(block.title)}</h2>{block.body()}</section>\n'
    )


def write_page(path: str | Path, page: str) -> Path:
    """Write a page beside its place, then move it there."""
    try:
        target = Path(path)
    except TypeError:
        raise InvalidType(f"the name of a file is a string or a path, got {path!r}") from None
    if target.is_dir():
        raise WriteError(f"{target} is a directory: give the name of a file, such as page.html")
    if not target.parent.is_dir():
        raise WriteError(f"there is no directory {target.parent}: make it first")
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        beside.write_text(page, encoding="utf-8", errors="replace")
        beside.replace(target)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise WriteError(f"{target} cannot be written: {error.strerror or error}") from error
    return target
