"""Walking loop IR, and rebuilding it with other expressions or places."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from .loop_ir import (
    Block,
    Buffer,
    Call,
    Expr,
    Gemm,
    Lanes,
    Let,
    Load,
    Loop,
    Matrix,
    Meet,
    Routine,
    Spread,
    Statement,
    Store,
    Turns,
    Update,
)


def children(expression: Expr) -> tuple[Expr, ...]:
    """The direct parts of an expression."""
    if isinstance(expression, Load):
        return expression.index
    return expression.arguments if isinstance(expression, Call) else ()


def expressions(statement: Statement) -> list[Expr]:
    """The expressions that a statement reads, not those of the statements inside it."""
    if isinstance(statement, (Store, Update)):
        return [*statement.index, statement.value]
    if isinstance(statement, Let):
        return [statement.value]
    if isinstance(statement, Turns):
        return [statement.extent, statement.part[0]]
    if isinstance(statement, Loop):
        return [statement.extent]
    if isinstance(statement, Routine):
        return list(statement.sizes)
    if isinstance(statement, (Block, Meet)):
        return []
    if isinstance(statement, Lanes):
        return [*statement.extents, *([statement.part[0]] if statement.part else [])]
    if isinstance(statement, Spread):
        return list(statement.extents)
    matrices = (statement.a, statement.b, statement.c)
    sizes = [statement.m, statement.n, statement.k, *(m.stride for m in matrices)]
    return [*sizes, *(i for m in matrices for i in m.lead)]


def walk(expression: Expr) -> Iterator[Expr]:
    """An expression and all its parts."""
    stack = [expression]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(children(current))


def statements(body: list[Statement]) -> Iterator[Statement]:
    """All statements of a body, those inside loops and blocks too."""
    for statement in body:
        yield statement
        if isinstance(statement, (Loop, Block, Spread, Lanes)):
            yield from statements(statement.body)


def map_expression(expression: Expr, function: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild bottom-up; ``function`` gives a replacement, or None to keep the part."""
    if isinstance(expression, Load):
        index = tuple(map_expression(i, function) for i in expression.index)
        if index != expression.index:
            expression = Load(expression.buffer, index)
    elif isinstance(expression, Call):
        arguments = tuple(map_expression(a, function) for a in expression.arguments)
        if any(a is not b for a, b in zip(arguments, expression.arguments, strict=True)):
            expression = Call(expression.operation, arguments, expression.dtype)
    new = function(expression)
    return expression if new is None else new


def map_statement(statement: Statement, function: Callable[[Expr], Expr | None]) -> Statement:
    """A copy of a statement with its expressions rebuilt, inner statements included."""

    def new(expression: Expr) -> Expr:
        return map_expression(expression, function)

    match statement:
        case Store():
            index = tuple(map(new, statement.index))
            return Store(statement.buffer, index, new(statement.value), statement.formula)
        case Update():
            index = tuple(map(new, statement.index))
            value = new(statement.value)
            return Update(statement.buffer, index, statement.operation, value, statement.formula)
        case Let():
            return Let(statement.name, new(statement.value), statement.formula)
        case Turns():
            body = [map_statement(s, function) for s in statement.body]
            mine = new(statement.part[0]), statement.part[1]
            return replace(statement, extent=new(statement.extent), body=body, part=mine)
        case Loop():
            body = [map_statement(s, function) for s in statement.body]
            return Loop(statement.counter, new(statement.extent), body, statement.formula)
        case Block():
            return Block(statement.name, [map_statement(s, function) for s in statement.body])
        case Meet():
            return statement
        case Spread():
            body = [map_statement(s, function) for s in statement.body]
            extents = [new(e) for e in statement.extents]
            return replace(statement, extents=extents, body=body)
        case Lanes():
            body = [map_statement(s, function) for s in statement.body]
            extents = [new(e) for e in statement.extents]
            part = (new(statement.part[0]), statement.part[1]) if statement.part else None
            return replace(statement, extents=extents, body=body, part=part)
        case Routine():
            sizes = tuple(map(new, statement.sizes))
            return Routine(statement.name, statement.buffers, sizes, statement.formula)
        case Gemm():

            def at(matrix: Matrix) -> Matrix:
                lead = tuple(map(new, matrix.lead))
                return Matrix(matrix.buffer, matrix.transposed, lead) if lead else matrix

            return Gemm(
                at(statement.c), at(statement.a), at(statement.b),
                new(statement.m), new(statement.n), new(statement.k),
                statement.accumulate, statement.formula,
            )  # fmt: skip


def rewritten_targets(
    body: list[Statement],
    place: Callable[[Buffer, tuple[Expr, ...]], tuple[Buffer, tuple[Expr, ...]]],
) -> list[Statement]:
    """A copy of a body that writes elsewhere; parts of buffers in products are elsewhere, too."""
    result: list[Statement] = []
    for s in body:
        if isinstance(s, Gemm):
            c, a, b = (
                m if m.index is None else m.moved(*place(m.buffer, m.index))
                for m in (s.c, s.a, s.b)
            )
            s = Gemm(c, a, b, s.m, s.n, s.k, s.accumulate, s.formula)
        if isinstance(s, Store):
            s = Store(*place(s.buffer, s.index), s.value, s.formula)
        elif isinstance(s, Update):
            s = Update(*place(s.buffer, s.index), s.operation, s.value, s.formula)
        elif isinstance(s, Loop):
            s = Loop(s.counter, s.extent, rewritten_targets(s.body, place), s.formula)
        result.append(s)
    return result


def loads(statement: Statement) -> Iterator[Load]:
    """Every element that a statement itself reads."""
    for expression in expressions(statement):
        for part in walk(expression):
            if isinstance(part, Load):
                yield part
