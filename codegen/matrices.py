"""Lowering of linear algebra: matrices are copied into work memory, where routines take them.

A stack of matrices is a loop over the stack, by rows where its first axis counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sympy as sp

from symdiff.graph import Node

from .loop_ir import Buffer, Call, Const, Expr, Load, Loop, Routine, Statement, Store, Var, const

if TYPE_CHECKING:
    from .lower import Lowering

Index = tuple[Expr, ...]
Element = Callable[[Expr, Expr], Expr]


def _work(low: Lowering, wish: str, rows: Expr, columns: Expr) -> Buffer:
    buffer = Buffer(low.names.new(wish), [rows, columns], "real", "private")
    low.extra.append(buffer)
    return buffer


def _stored(
    low: Lowering, shape: Sequence[Expr], target: Callable[[Expr, Expr], Statement]
) -> Statement:
    """A statement for each row and column."""
    i, j = (low.names.new(name) for name in "ij")
    inner = Loop(j, shape[1], [target(Var(i, "int"), Var(j, "int"))])
    return Loop(i, shape[0], [inner])


def _filled(
    low: Lowering, wish: str, shape: Sequence[Expr], element: Element
) -> tuple[Buffer, Statement]:
    """Work memory, and the loops that fill it."""
    work = _work(low, wish, *shape)
    return work, _stored(low, shape, lambda i, j: Store(work, (i, j), element(i, j)))


def _elements(low: Lowering, operand: Node, node: Node, stack: Index) -> Element:
    """An element of the matrix of a stacked operand; a stack of one serves all."""
    lead = operand.rank - 2
    sizes = node.shape[len(stack) - lead : len(stack)]
    head = tuple(
        const(0) if size == 1 != full else i
        for size, full, i in zip(
            operand.shape[:lead], sizes, stack[len(stack) - lead :], strict=True
        )
    )
    return lambda i, j: low.value(operand, (*head, i, j))


def _number(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """Det and logdet: the elimination of a copy, and what its diagonal says."""
    (a,) = node.inputs
    counters, stack = low._counters(buffer.shape, row)
    size = low.sizes.expression(a.shape[-1])
    matrix, fill = _filled(low, "matrix", (size, size), _elements(low, a, node, stack))
    result = _work(low, node.operation, const(1), const(1))
    routine = {"det": "determinant", "logdet": "log_determinant"}[node.operation]
    body: list[Statement] = [
        fill,
        Routine(routine, (result, matrix), (size,), text),
        Store(buffer, stack, Load(result, (const(0), const(0)))),
    ]
    low._emit_or_extend(counters, buffer.shape, body, text, row)


def _matrix_result(
    low: Lowering,
    buffer: Buffer,
    row: int | None,
    text: str,
    build: Callable[[Index], tuple[Buffer, list[Statement]]],
) -> None:
    """Loops over a stack around what computes one matrix, which is then copied out."""
    shape = buffer.shape[:-2]
    counters, stack = low._counters(shape, row)
    result, body = build(stack)
    copy = _stored(
        low, buffer.shape[-2:], lambda i, j: Store(buffer, (*stack, i, j), Load(result, (i, j)))
    )
    low._emit_or_extend(counters, shape, [*body, copy], text, row)


def _inv(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    """The solution for the columns of the identity."""
    shape = buffer.shape[-2:]

    def build(stack: Index) -> tuple[Buffer, list[Statement]]:
        matrix, fill = _filled(low, "matrix", shape, _elements(low, node.inputs[0], node, stack))
        inverse, identity = _filled(low, "inverse", shape, _unit)
        routine = Routine("solve_linear", (matrix, inverse), (shape[0], shape[0]), text)
        return inverse, [fill, identity, routine]

    _matrix_result(low, buffer, row, text, build)


def _unit(i: Expr, j: Expr) -> Expr:
    one, zero = (Const(sp.Integer(v), "real") for v in (1, 0))
    return Call("where", (Call("equal", (i, j), "bool"), one, zero), "real")


def _solve(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    a, b = node.inputs
    size = low.sizes.expression(a.shape[-1])
    if node.rank == 1:
        matrix, fill = _filled(low, "matrix", (size, size), lambda i, j: low.value(a, (i, j)))
        right, start = _filled(low, "solution", (size, const(1)), lambda i, j: low.value(b, (i,)))
        i = low.names.new("i")
        at = Var(i, "int")
        low._statements += [
            fill,
            start,
            Routine("solve_linear", (matrix, right), (size, const(1)), text),
            Loop(i, size, [Store(buffer, (at,), Load(right, (at, const(0))))]),
        ]
        return

    def build(stack: Index) -> tuple[Buffer, list[Statement]]:
        matrix, fill = _filled(low, "matrix", (size, size), _elements(low, a, node, stack))
        right, start = _filled(low, "solution", buffer.shape[-2:], _elements(low, b, node, stack))
        routine = Routine("solve_linear", (matrix, right), (size, buffer.shape[-1]), text)
        return right, [fill, start, routine]

    _matrix_result(low, buffer, row, text, build)


def _cholesky(low: Lowering, node: Node, buffer: Buffer, row: int | None, text: str) -> None:
    shape = buffer.shape[-2:]
    half = Const(sp.Rational(1, 2), "real")

    def build(stack: Index) -> tuple[Buffer, list[Statement]]:
        element = _elements(low, node.inputs[0], node, stack)
        matrix, fill = _filled(
            low, "factor", shape,
            lambda i, j: Call(
                "multiply", (half, Call("add", (element(i, j), element(j, i)), "real")), "real"
            ),
        )  # fmt: skip
        return matrix, [fill, Routine("cholesky_factor", (matrix,), (shape[0],), text)]

    _matrix_result(low, buffer, row, text, build)


MATRIX_NESTS: dict[str, Callable[[Lowering, Node, Buffer, int | None, str], None]] = {
    "det": _number,
    "logdet": _number,
    "inv": _inv,
    "solve": _solve,
    "cholesky": _cholesky,
}
"""A part of THE lowering table: operations on whole matrices."""
