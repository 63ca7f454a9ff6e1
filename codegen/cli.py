"""The command line: ``symdiff gradient``, ``explain``, ``serve`` and ``demo``.

Expressions are read by :func:`symdiff.parse`, which has no way from text to Python: nothing that
a user types is run. The exit status is 0, 1 where an expression is refused (or a device is not
there), and 2 where the command is not understood.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import symdiff as sd

from .declarations import chosen, declared, symbols_of
from .function import compile

__all__ = ["FORMATS", "Request", "main"]

SHOWN = 100
"""Characters of an expression that an error shows."""


@dataclass(frozen=True)
class Request:
    """What ``symdiff gradient`` was asked for.

    Attributes
    ----------
    loss : sympy.Expr
    parameters : list of Symbol
        Those to differentiate by, in order.
    inputs : list of Symbol
        The symbols of the loss and the declared ones, which are the arguments of a kernel.
    hessian : bool
        Whether second derivatives are wanted, too.
    dtype : str
    """

    loss: Any
    parameters: list[Any]
    inputs: list[Any]
    hessian: bool = False
    dtype: str = "float64"

    def derivation(self) -> sd.Derivation:
        """The gradient in named steps."""
        made = sd.derive(self.loss, self.parameters)
        return made.with_hessian() if self.hessian else made

    def kernel(self, target: str) -> str:
        """The text of the kernel of loss, gradients, and second derivatives of each pair."""
        results = [self.loss, *sd.gradient(self.loss, self.parameters)]
        if self.hessian:
            for number, row in enumerate(sd.hessian(self.loss, self.parameters)):
                results += row[number:]
        return compile(results, inputs=self.inputs, dtype=self.dtype, target=target).source

    def page(self) -> str:
        """The page of the gradient, its kernel with it."""
        from symdiff.report import attempted, derivation_page

        from .report import kernel_blocks

        derivation = self.derivation()
        kernel = attempted("kernel", lambda: kernel_blocks(derivation, self.dtype))
        return derivation_page(derivation, kernel)


FORMATS: dict[str, Callable[[Request], str]] = {
    "text": lambda request: str(request.derivation()),
    "latex": lambda request: request.derivation().latex(),
    "html": lambda request: request.page(),
    "python": lambda request: request.kernel("cpu"),
    "numba": lambda request: request.kernel("cpu"),
    "cuda": lambda request: request.kernel("cuda"),
}
"""THE table of what ``--format`` may be, and what writes it."""


# --- expressions ---------------------------------------------------------------------------


def _add_expression(parser: Any, wrt: str) -> None:
    """The arguments that say what is differentiated by what."""
    parser.add_argument(
        "expression", help="a scalar, in NumPy's notation: @ is the matrix product; see sd.parse"
    )
    parser.add_argument(
        "--shape", action="append", default=[], metavar="NAME=SIZE,…",
        help="a tensor, each size a number or a name; NAME=n:int for integers such as labels. "
        "Names without a shape are scalars",
    )  # fmt: skip
    parser.add_argument("--wrt", action="append", required=True, metavar="NAME,…", help=wrt)


def _answered(
    options: argparse.Namespace, answer: Callable[[Any, list[Any], dict[str, Any]], str]
) -> str:
    """The answer to a loss, its parameters and all symbols by name; errors show the expression."""
    text = options.expression.strip()
    tensors = declared(options.shape, lambda said: options.usage_error(f"--shape {said}"))
    loss = sd.parse(text, **tensors)
    try:
        known = symbols_of(loss, tensors)
        names = [n for w in options.wrt for n in w.split(",")]
        parameters = chosen(names, known, lambda said: options.usage_error(f"--wrt {said}"))
        return answer(loss, parameters, known)
    except sd.SymdiffError as error:  # of the whole expression
        shown = "".join(c if c.isprintable() else " " for c in text)
        shown = shown if len(shown) <= SHOWN else shown[: SHOWN - 1] + "…"
        error.args = (f"{error}\n    {shown}\n    ^{'~' * (len(shown) - 1)}", *error.args[1:])
        raise


# --- symdiff gradient --------------------------------------------------------------------


def _add_gradient(commands: Any) -> None:
    parser = commands.add_parser(
        "gradient",
        help="the gradient of an expression: as formulas, or as a kernel that computes it",
        allow_abbrev=False,
        epilog='for example: symdiff gradient "sum((X @ w - y)**2)" --shape X=n,d --shape w=d'
        " --shape y=n --wrt w",
    )
    _add_expression(parser, "differentiate with respect to these")
    parser.add_argument("--hessian", action="store_true", help="second derivatives, too")
    parser.add_argument(
        "--format", choices=FORMATS, default="text",
        help="text and latex are formulas in named steps, html a page with all there is to see, "
        "python and numba the kernel for the processor, cuda that for a GPU, which need not be "
        "there (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64",
        help="the numbers of a kernel (default: %(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=_gradient, usage_error=parser.error)


def _gradient(options: argparse.Namespace) -> str:
    def answer(loss: Any, parameters: list[Any], known: dict[str, Any]) -> str:
        inputs = list(known.values())
        request = Request(loss, parameters, inputs, options.hessian, options.dtype)
        return FORMATS[options.format](request)

    return _answered(options, answer)


# --- symdiff explain ---------------------------------------------------------------------

EXPLANATIONS: dict[str, Callable[[Any], str]] = {"text": str, "latex": lambda found: found.latex()}
"""THE table of what ``symdiff explain --format`` may be."""


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="the chain of rules from an expression to each parameter, one rule per line",
        allow_abbrev=False,
        epilog='for example: symdiff explain "tanh(w*x)**2" --wrt w --values \'{"w": 0.5, "x": 2}\''
        " --check",
    )
    _add_expression(parser, "explain the derivatives with respect to these")
    parser.add_argument(
        "--values", metavar="NUMBERS",
        help="a number or an array for every symbol: JSON such as {\"w\": [1, 2], \"x\": 0.5}, or "
        "the name of a file that ends in .npz or .json",
    )  # fmt: skip
    parser.add_argument(
        "--check", action="store_true",
        help="compare every line with finite differences, at the values or at random ones",
    )  # fmt: skip
    parser.add_argument("--format", choices=EXPLANATIONS, default="text")
    parser.set_defaults(run=_explain, usage_error=parser.error)


def _explain(options: argparse.Namespace) -> str:
    from .cli_values import read_values

    def answer(loss: Any, parameters: list[Any], known: dict[str, Any]) -> str:
        values = None
        if options.values is not None:
            values = read_values(options.values, known, options.usage_error)
        derivation = sd.derive(loss, parameters, names={})
        write = EXPLANATIONS[options.format]
        found = [derivation.explain(p, values, options.check) for p in parameters]
        return "\n\n".join(map(write, found))

    return _answered(options, answer)


# --- symdiff demo ------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    parser = commands.add_parser(
        "demo", help="train a small network: its formulas, and what it learns", allow_abbrev=False
    )
    parser.add_argument("--target", choices=("cpu", "cuda"), default="cpu", help="where it trains")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--seed", type=int, default=0, help="of the data and of the start")
    parser.set_defaults(run=_demo, usage_error=parser.error)


def _demo(options: argparse.Namespace) -> str:
    from .demo import report

    if options.seed < 0:
        options.usage_error("--seed: write a number from 0 on")
    return report(options.target, options.dtype, options.seed)


# --- symdiff serve -----------------------------------------------------------------------


def _add_serve(commands: Any) -> None:
    parser = commands.add_parser(
        "serve",
        help="a page on this machine that derives what is typed into it",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--port", type=int, default=8765,
        help="where it listens, on this machine alone; 0 takes any (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.set_defaults(run=_serve, usage_error=parser.error)


def _serve(options: argparse.Namespace) -> str:
    import webbrowser

    from .serve.server import Server

    if not 0 <= options.port < 65536:
        options.usage_error("--port: write a number from 0 to 65535")
    with Server(options.port) as server:
        print(f"{server.address}\nCtrl-C ends it.", flush=True)
        server.worker.start()
        if not options.no_browser:
            webbrowser.open(server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return ""
    return ""


# --- all commands ------------------------------------------------------------------------

COMMANDS = (_add_gradient, _add_explain, _add_demo, _add_serve)
"""THE table of commands: each adds its parser, whose ``run`` gives the text that is printed."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="symdiff", description="Symbolic gradients that are read and run.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in COMMANDS:
        add(commands)
    return parser


def _protected(argument: str) -> str:
    """An expression that begins with a minus sign, so that it is not taken for an option."""
    return f" {argument}" if re.match(r"-[^-]", argument) and argument != "-h" else argument


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process if not given.

    Returns
    -------
    int
        The exit status: 0, or 1 where an expression is refused. A command that is not understood
        raises ``SystemExit(2)``.

    Examples
    --------
    >>> main(["gradient", "sum((X @ w - y)**2)", "--shape", "X=n,3", "--shape", "w=3",
    ...       "--shape", "y=n", "--wrt", "w"])
    forward
      r = Xw − y     (n,)
      L = ‖r‖²         ()
    <BLANKLINE>
    gradients
      ∂L/∂w = 2Xᵀr   (3,)
    0
    """
    given = sys.argv[1:] if arguments is None else arguments
    _let_print(sys.stdout)
    _let_print(sys.stderr)
    options = _parser().parse_args([_protected(a) for a in given])
    try:
        print(options.run(options))
        sys.stdout.flush()
    except sd.SymdiffError as error:
        print(f"symdiff: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who reads has seen enough; nothing is to be written at exit, either
        _discard_output()
        return 1
    except OSError as error:  # such as a full disk
        _discard_output()
        print(f"symdiff: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _let_print(stream: Any) -> None:
    """Let a stream write what its encoding lacks as an escape."""
    if not str(getattr(stream, "encoding", None) or "utf").lower().startswith("utf"):
        stream.reconfigure(errors="backslashreplace")
