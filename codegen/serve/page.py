"""The page that is served: fields to type into, and a place for what comes back."""

from __future__ import annotations

import functools
import json
from importlib.resources import files

from symdiff.report.blocks import html
from symdiff.report.document import resource

from .limits import LIMITS

__all__ = ["EXAMPLES", "page", "script"]

EXAMPLES = {
    "Ridge regression": ("sum((X @ w - y)**2) + lambda*sum(w**2)", "X=n,d w=d y=n", "w"),
    "Logistic regression": (
        "mean(softplus(X @ w + b) - y*(X @ w + b))", "X=n,d w=d y=n", "w b",
    ),
    "Softmax": ("cross_entropy(X @ W + b, t)", "X=n,d W=d,10 b=10 t=n:int", "W b"),
    "Network": (
        "mean((sigmoid(X @ W1 + b1) @ w2 - y)**2)", "X=n,2 W1=2,3 b1=3 w2=3 y=n", "W1 b1 w2",
    ),
    "Gaussian likelihood": (
        "n*logdet(S)/2 + sum((X - m) * ((X - m) @ inv(S)))/2", "X=n,d m=d S=d,d", "m S",
    ),
    "Quadratic form": ("x' @ A @ x", "x=n A=n,n", "x A"),
}  # fmt: skip
"""What can be tried with a click: expression, shapes, and what to differentiate by."""


@functools.cache
def script() -> str:
    """The script of the page: copying, as on every page, and asking."""
    return resource("page.js") + (files(__package__) / "serve.js").read_text(encoding="utf-8")


@functools.cache
def page() -> str:
    """The page as HTML."""
    style = resource("page.css") + (files(__package__) / "serve.css").read_text(encoding="utf-8")
    buttons = "".join(
        f'<button type="button" data-example="{html(json.dumps(fields))}">{html(name)}</button>'
        for name, fields in EXAMPLES.items()
    )
    expression, shapes, wrt = next(iter(EXAMPLES.values()))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>symdiff</title>
<style>{style}</style>
</head>
<body class="served">
<aside>
<h1>Gradients as you type</h1>
<noscript><p>This page asks the server as you type, and needs its script for that.</p></noscript>
<div class="field">
<label for="expression">Expression</label>
<textarea id="expression" rows="3" maxlength="{LIMITS["expression"]}" spellcheck="false"
 autocapitalize="off" autocomplete="off" aria-describedby="said">{html(expression)}</textarea>
</div>
<div class="field">
<label for="shapes">Shapes</label>
<input id="shapes" maxlength="{LIMITS["shapes"]}" spellcheck="false" autocapitalize="off"
 autocomplete="off" aria-describedby="shapes-help said" value="{html(shapes)}">
<small id="shapes-help">X=n,3 is a matrix, t=n:int are labels; other names are scalars</small>
</div>
<div class="field">
<label for="wrt">Differentiate by</label>
<input id="wrt" maxlength="{LIMITS["wrt"]}" spellcheck="false" autocapitalize="off"
 autocomplete="off" aria-describedby="said" value="{html(wrt)}">
</div>
<div id="said" role="status" aria-live="polite"></div>
<pre id="mark" hidden></pre>
<p class="actions"><button type="button" id="check">Check by numbers</button>
<span id="checked" role="status" aria-live="polite"></span></p>
<div class="examples" role="group" aria-label="Examples">{buttons}</div>
</aside>
<main id="answer" aria-busy="true">
<p id="headline"></p>
<nav id="contents" aria-label="Contents"></nav>
<div id="sections"></div>
</main>
<script>{script()}</script>
</body>
</html>
"""
