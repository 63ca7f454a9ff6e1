"""From the syntax tree of a function to LLVM code: statements and expressions.

Every variable has a place in memory, which LLVM's first pass turns into registers. Its kind is
that of the first value that it is given; where a later one needs a wider kind, the function is
translated again.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from . import arithmetic
from .code import Code
from .kinds import (
    BOOL,
    INT,
    NOTHING,
    Kind,
    NotTranslatable,
    Pointer,
    Several,
    Value,
    constant,
    literal,
    several,
    unified,
)
from .names import Builtin, Definition, Number, Table

if TYPE_CHECKING:
    from .module import Module

_EAGER = (
    ast.Name, ast.Constant, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.IfExp,
    ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context,
)  # fmt: skip
UNROLLED = 4
"""Loops of more rounds are not unrolled by LLVM: that doubles its time, and what loop IR leaves
as a loop is to become vectors."""

_TRAPS = (ast.FloorDiv, ast.Mod, ast.Pow)


def _eager(node: ast.expr) -> bool:
    """True for what may be computed though it is not needed: arithmetic on variables."""
    return all(isinstance(n, _EAGER) and not isinstance(n, _TRAPS) for n in ast.walk(node))


def _few(first: Value, last: Value) -> bool:
    """True where a loop is known to have few rounds."""
    if first.number is None or last.number is None:
        return False
    return last.number - first.number <= UNROLLED


class _Again(Exception):
    """A variable has turned out to need a wider kind."""


class Body:
    """One function for one choice of the kinds of its arguments.

    Parameters
    ----------
    module : Module
    definition : Definition
    kinds : tuple of Kind
    flags : str
        The fast-math flags of arithmetic.

    Attributes
    ----------
    result : Kind
    """

    def __init__(
        self, module: Module, definition: Definition, kinds: tuple[Kind, ...], flags: str
    ) -> None:
        self._module = module
        self._definition = definition
        self._kinds = kinds
        self._wider: dict[str, Kind] = {}
        self.result: Kind = NOTHING
        self._flags = flags
        while True:
            self.code = Code(flags)
            self._variables: dict[str, tuple[Kind, str]] = {}
            self._loops: list[tuple[str, str]] = []
            self._branches = 0
            self._returned = self.result is not NOTHING
            try:
                self._write()
            except _Again:
                continue
            break

    def _write(self) -> None:
        node = self._definition.node
        self.parameters = []
        for position, (argument, kind) in enumerate(zip(node.args.args, self._kinds, strict=True)):
            self.parameters.append((kind, f"%a{position}"))
            self._assign(argument.arg, Value(kind, f"%a{position}"))
        self._statements(node.body)
        if self.code.live:
            if self.result is not NOTHING:
                raise NotTranslatable(f"{node.name} may end without a result")
            self.code.end("ret void")

    # --- statements ------------------------------------------------------------------------

    def _branch(self, body: list[ast.stmt]) -> None:
        """Statements that may not run, or run often."""
        self._branches += 1
        self._statements(body)
        self._branches -= 1

    def _statements(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if not self.code.live:
                return  # what follows a return
            rule = _STATEMENTS.get(type(statement))
            if rule is None:
                raise NotTranslatable(f"{type(statement).__name__} in a kernel")
            rule(self, statement)

    def _expr(self, s: ast.Expr) -> None:
        if not isinstance(s.value, ast.Constant):  # a docstring
            self.expression(s.value)

    def _pass(self, s: ast.Pass) -> None:
        pass

    def _assign_statement(self, s: ast.Assign) -> None:
        target = s.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(s.value, ast.Tuple):
            values = [self.expression(v) for v in s.value.elts]
            for part, value in zip(target.elts, values, strict=True):
                self._set(part, value)
            return
        value = self.expression(s.value)
        for target in s.targets:
            self._set(target, value)

    def _augmented(self, s: ast.AugAssign) -> None:
        if isinstance(s.target, ast.Name):
            before = self._name(s.target)
            self._set(
                s.target, arithmetic.binary(self.code, s.op, before, self.expression(s.value))
            )
            return
        if not isinstance(s.target, ast.Subscript):
            raise NotTranslatable("an augmented assignment to something else than an element")
        element, place = self._place(s.target)
        before = self.code.load(element, place)
        value = arithmetic.binary(self.code, s.op, before, self.expression(s.value))
        self.code.store(self.code.convert(value, element), place)

    def _set(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self._assign(target.id, value)
        elif isinstance(target, ast.Subscript):
            element, place = self._place(target)
            self.code.store(self.code.convert(value, element), place)
        elif isinstance(target, ast.Tuple) and isinstance(value.kind, Several):
            for i, (part, kind) in enumerate(zip(target.elts, value.kind.members, strict=True)):
                text = f"extractvalue {value.kind.llvm} {value.text}, {i}"
                self._set(part, self.code.value(kind, text))
        else:
            raise NotTranslatable(f"an assignment to {ast.unparse(target)}")

    def _assign(self, name: str, value: Value) -> None:
        if value.kind is NOTHING:
            raise NotTranslatable(f"{name} is given no value")
        known = self._variables.get(name)
        other = known and isinstance(known[0], Pointer) != isinstance(value.kind, Pointer)
        if other and self._branches == 0:
            known = None  # outside of loops and branches a name may be used again
        if known is None:
            kind = self._wider.get(name, value.kind)
            known = self._variables[name] = (kind, self.code.slot(kind))
        kind, place = known
        if kind != value.kind:
            wider = unified(kind, value.kind)
            if wider != kind:
                self._wider[name] = wider
                raise _Again
        self.code.store(self.code.convert(value, kind), place)

    def _if(self, s: ast.If) -> None:
        code = self.code
        condition = code.truth(self.expression(s.test))
        yes, end = code.new_block(), code.new_block()
        no = code.new_block() if s.orelse else end
        code.choose(condition, yes, no)
        code.start(yes)
        self._branch(s.body)
        reached = not s.orelse or code.live
        code.go(end)
        if s.orelse:
            code.start(no)
            self._branch(s.orelse)
            reached = reached or code.live
            code.go(end)
        if reached:
            code.start(end)

    def _for(self, s: ast.For) -> None:
        code = self.code
        if not isinstance(s.target, ast.Name):
            raise NotTranslatable("a loop over several variables")
        if not isinstance(s.iter, ast.Call):
            table = self._denotation(s.iter)
            assert isinstance(table, Table)
            bounds = [constant(INT, 0), constant(INT, len(table.numbers)), constant(INT, 1)]
        else:
            table = None
            bounds = self._range(s.iter)
        first, last, step = bounds
        counter = code.slot(INT)
        code.store(first, counter)
        test, body, after, end = (code.new_block() for _ in range(4))
        code.start(test)
        here = code.load(INT, counter)
        sign = "sgt" if step.number is not None and step.number < 0 else "slt"
        code.choose(code.test(f"icmp {sign}", here, last), body, end)
        code.start(body)
        self._assign(s.target.id, here if table is None else self._entry(table, here))
        self._loops.append((after, end))
        self._branch(s.body)
        self._loops.pop()
        code.start(after)
        here = code.load(INT, counter)
        code.store(code.value(INT, f"add nsw i64 {here.text}, {step.text}"), counter)
        code.go(test, "" if _few(first, last) else f", !llvm.loop !{self._module.loop()}")
        code.start(end)

    def _range(self, call: ast.Call) -> list[Value]:
        """First, last and step of a ``range``; a step that is not a literal is positive."""
        if not (isinstance(call.func, ast.Name) and call.func.id == "range"):
            raise NotTranslatable(f"a loop over {ast.unparse(call)}")
        bounds = [self.code.convert(self.expression(a), INT) for a in call.args]
        if len(bounds) == 1:
            bounds.insert(0, constant(INT, 0))
        return bounds if len(bounds) == 3 else [*bounds, constant(INT, 1)]

    def _while(self, s: ast.While) -> None:
        code = self.code
        test, body, end = (code.new_block() for _ in range(3))
        code.start(test)
        code.choose(code.truth(self.expression(s.test)), body, end)
        code.start(body)
        self._loops.append((test, end))
        self._branch(s.body)
        self._loops.pop()
        code.go(test)
        code.start(end)

    def _break(self, s: ast.Break) -> None:
        self.code.go(self._loops[-1][1])

    def _continue(self, s: ast.Continue) -> None:
        self.code.go(self._loops[-1][0])

    def _return(self, s: ast.Return) -> None:
        if s.value is None:
            self.code.end("ret void")
            return
        if isinstance(s.value, ast.Tuple):
            value = self._several([self.expression(v) for v in s.value.elts])
        else:
            value = self.expression(s.value)
        if not self._returned:
            self.result, self._returned = value.kind, True
        elif value.kind != self.result:
            wider = unified(self.result, value.kind)
            if wider != self.result:
                self.result = wider
                raise _Again
            value = self.code.convert(value, wider)
        self.code.end(f"ret {value.kind.llvm} {value.text}")

    def _several(self, values: list[Value]) -> Value:
        kind = several(tuple(v.kind for v in values))
        result = Value(kind, "undef")
        for i, v in enumerate(values):
            text = f"insertvalue {kind.llvm} {result.text}, {v.kind.llvm} {v.text}, {i}"
            result = self.code.value(kind, text)
        return result

    # --- expressions -------------------------------------------------------------------------

    def expression(self, node: ast.expr) -> Value:
        """The value of an expression."""
        rule = _EXPRESSIONS.get(type(node))
        if rule is None:
            raise NotTranslatable(f"{type(node).__name__} in a kernel")
        return rule(self, node)

    def _constant(self, node: ast.Constant) -> Value:
        return literal(node.value)

    def _name(self, node: ast.Name) -> Value:
        known = self._variables.get(node.id)
        if known is not None:
            return self.code.load(*known)
        found = self._definition.scope[node.id]
        if isinstance(found, Number):
            return literal(found.number)
        raise NotTranslatable(f"{node.id} is no value")

    def _attribute(self, node: ast.Attribute) -> Value:
        found = self._denotation(node)
        if isinstance(found, Number):
            return literal(found.number)
        raise NotTranslatable(f"{ast.unparse(node)} is no value")

    def _denotation(self, node: ast.expr) -> Any:
        """What a name of the module, or of a module in it, stands for."""
        if isinstance(node, ast.Name) and node.id not in self._variables:
            return self._definition.scope[node.id]
        if isinstance(node, ast.Attribute):
            return self._denotation(node.value)[node.attr]
        raise NotTranslatable(f"{ast.unparse(node)} where a name should be")

    def _binary(self, node: ast.BinOp) -> Value:
        a = self.expression(node.left)
        return arithmetic.binary(self.code, node.op, a, self.expression(node.right))

    def _unary(self, node: ast.UnaryOp) -> Value:
        return arithmetic.unary(self.code, node.op, self.expression(node.operand))

    def _compare(self, node: ast.Compare) -> Value:
        code = self.code
        values = [self.expression(v) for v in (node.left, *node.comparators)]
        result = arithmetic.compare(code, node.ops[0], *values[:2])
        for operator, a, b in zip(node.ops[1:], values[1:], values[2:], strict=False):
            result = code.whole("and", result, arithmetic.compare(code, operator, a, b))
        return result

    def _bool(self, node: ast.BoolOp) -> Value:
        code = self.code
        every = isinstance(node.op, ast.And)
        result = self._condition(node.values[0])
        if all(_eager(v) for v in node.values[1:]):
            for operand in node.values[1:]:
                # not "and" or "or": a value that is not needed may be poison
                other = self._condition(operand)
                yes, no = (other, constant(BOOL, False)) if every else (constant(BOOL, True), other)
                result = code.select(result, yes, no)
            return result
        place, end = code.slot(BOOL), code.new_block()
        code.store(result, place)
        for operand in node.values[1:]:
            block = code.new_block()
            code.choose(result, *((block, end) if every else (end, block)))
            code.start(block)
            result = self._condition(operand)
            code.store(result, place)
        code.start(end)
        return code.load(BOOL, place)

    def _condition(self, node: ast.expr) -> Value:
        value = self.expression(node)
        if value.kind is not BOOL:
            raise NotTranslatable(f"and, or of {value.kind.name}")
        return value

    def _choice(self, node: ast.IfExp) -> Value:
        code = self.code
        condition = code.truth(self.expression(node.test))
        if _eager(node.body) and _eager(node.orelse):
            yes, no = self.expression(node.body), self.expression(node.orelse)
            kind = unified(yes.kind, no.kind)
            return code.select(condition, code.convert(yes, kind), code.convert(no, kind))
        labels = code.new_block(), code.new_block()
        end = code.new_block()
        code.choose(condition, *labels)
        code.start(labels[0])
        yes = self.expression(node.body)
        first = len(code.lines)
        code.go(end)
        code.start(labels[1])
        no = self.expression(node.orelse)
        kind = unified(yes.kind, no.kind)
        place = code.slot(kind)
        code.store(code.convert(no, kind), place)
        code.start(end)
        # the value of the first way, stored at its end, once the kind of both is known
        later, code.lines = code.lines[first:], code.lines[:first]
        code.store(code.convert(yes, kind), place)
        code.lines += later
        return code.load(kind, place)

    def _call(self, node: ast.Call) -> Value:
        found = self._denotation(node.func)
        if isinstance(found, Builtin) and found.of_table:
            return found.write(self.code, self._denotation(node.args[0]))
        arguments = [self.expression(a) for a in node.args]
        if isinstance(found, Kind):
            (value,) = arguments
            return self.code.convert(value, found)
        if isinstance(found, Builtin):
            return found.write(self.code, arguments)
        if isinstance(found, Definition):
            symbol, result = self._module.function(found, tuple(a.kind for a in arguments))
            return self.code.call(result, symbol, arguments)
        raise NotTranslatable(f"a call of {ast.unparse(node.func)}")

    def _subscript(self, node: ast.Subscript) -> Value:
        if isinstance(node.value, ast.Name) and node.value.id not in self._variables:
            table = self._denotation(node.value)
            if isinstance(table, Table):
                return self._entry(table, self.expression(node.slice))
        element, place = self._place(node)
        return self.code.load(element, place)

    def _entry(self, table: Table, index: Value) -> Value:
        name = self._module.table(table)
        kind = table.kind
        text = f"getelementptr inbounds {kind.llvm}, ptr @{name}, i64 {index.text}"
        return self.code.load(kind, self.code.value(INT, text).text)

    def _place(self, node: ast.Subscript) -> tuple[Kind, str]:
        """The kind of an element, and where it lies."""
        array = self.expression(node.value)
        if not isinstance(array.kind, Pointer):
            raise NotTranslatable(f"an element of a {array.kind.name}")
        index = self.code.convert(self.expression(node.slice), INT)
        element = array.kind.element
        if index.number == 0:
            return element, array.text
        text = f"getelementptr inbounds {element.llvm}, ptr {array.text}, i64 {index.text}"
        return element, self.code.value(array.kind, text).text


_STATEMENTS: Mapping[type, Callable[[Body, Any], None]] = {
    ast.Expr: Body._expr, ast.Pass: Body._pass, ast.Assign: Body._assign_statement,
    ast.AugAssign: Body._augmented, ast.If: Body._if, ast.For: Body._for, ast.While: Body._while,
    ast.Break: Body._break, ast.Continue: Body._continue, ast.Return: Body._return,
}  # fmt: skip
_EXPRESSIONS: Mapping[type, Callable[[Body, Any], Value]] = {
    ast.Constant: Body._constant, ast.Name: Body._name, ast.Attribute: Body._attribute,
    ast.BinOp: Body._binary, ast.UnaryOp: Body._unary, ast.Compare: Body._compare,
    ast.BoolOp: Body._bool, ast.IfExp: Body._choice, ast.Call: Body._call,
    ast.Subscript: Body._subscript,
}  # fmt: skip
