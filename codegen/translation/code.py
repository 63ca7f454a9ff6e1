"""Instructions of one LLVM function, written as text."""

from __future__ import annotations

from .kinds import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT,
    NATURAL,
    REALS,
    Kind,
    NotTranslatable,
    Pointer,
    Value,
    constant,
)


class Code:
    """Writes instructions one after another.

    Parameters
    ----------
    flags : str
        The fast-math flags of arithmetic, each with a space after it.
    """

    def __init__(self, flags: str) -> None:
        self.flags = flags
        self.lines: list[str] = []
        self.slots: list[str] = []
        self.declared: dict[str, str] = {}
        self.live = True
        self._count = 0

    # --- instructions and blocks -----------------------------------------------------------

    def _name(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def value(self, kind: Kind, text: str) -> Value:
        """An instruction that gives a value."""
        name = self._name()
        self.lines.append(f"  {name} = {text}")
        return Value(kind, name)

    def do(self, text: str) -> None:
        """An instruction that gives nothing."""
        self.lines.append(f"  {text}")

    def slot(self, kind: Kind, count: int = 1) -> str:
        """Memory of this call of the function."""
        name = self._name()
        many = f", i64 {count}" if count > 1 else ""
        self.slots.append(f"  {name} = alloca {kind.llvm}{many}")
        return name

    def load(self, kind: Kind, place: str) -> Value:
        """What lies in a place."""
        return self.value(kind, f"load {kind.llvm}, ptr {place}")

    def store(self, value: Value, place: str) -> None:
        """Put a value into a place."""
        self.do(f"store {value.kind.llvm} {value.text}, ptr {place}")

    def new_block(self) -> str:
        """A name for a block."""
        self._count += 1
        return f"b{self._count}"

    def start(self, block: str) -> None:
        """What follows belongs to a block."""
        if self.live:
            self.do(f"br label %{block}")
        self.lines.append(f"{block}:")
        self.live = True

    def go(self, block: str, remark: str = "") -> None:
        """Go on in a block."""
        if self.live:
            self.do(f"br label %{block}{remark}")
        self.live = False

    def choose(self, condition: Value, yes: str, no: str) -> None:
        """Go on in one of two blocks."""
        self.do(f"br i1 {condition.text}, label %{yes}, label %{no}")
        self.live = False

    def end(self, text: str) -> None:
        """End the function, or this way through it."""
        self.do(text)
        self.live = False

    # --- calls -------------------------------------------------------------------------------

    def call(
        self, kind: Kind, symbol: str, arguments: list[Value], attributes: str = "", flags: str = ""
    ) -> Value:
        """A call of a function that is declared here or defined in this module."""
        given = ", ".join(f"{a.kind.llvm} {a.text}" for a in arguments)
        text = f"call {flags}{kind.llvm} @{symbol}({given}){attributes}"
        if kind.llvm == "void":
            self.do(text)
            return Value(kind, "")
        return self.value(kind, text)

    def external(
        self,
        kind: Kind,
        symbol: str,
        arguments: list[Value],
        attributes: str = "",
        flags: str = "",
    ) -> Value:
        """A call of a function of another module."""
        kinds = ", ".join(a.kind.llvm for a in arguments)
        self.declared[symbol] = f"declare {kind.llvm} @{symbol}({kinds}){attributes}"
        return self.call(kind, symbol, arguments, flags=flags)

    def intrinsic(self, name: str, *arguments: Value, flags: str | None = None) -> Value:
        """An operation of LLVM's on real numbers of one kind."""
        kind = arguments[0].kind
        symbol = f"llvm.{name}.{'f32' if kind is FLOAT32 else 'f64'}"
        flags = self.flags if flags is None else flags
        return self.external(kind, symbol, list(arguments), flags=flags)

    # --- conversions -------------------------------------------------------------------------

    def convert(self, value: Value, kind: Kind) -> Value:
        """A value in another kind."""
        source = value.kind
        if source == kind:
            return value
        if isinstance(source, Pointer) or isinstance(kind, Pointer):
            raise NotTranslatable(f"a {source.name} cannot become a {kind.name}")
        if value.number is not None:
            return constant(kind, value.number)
        if kind is BOOL:
            return self.truth(value)
        if {source, kind} == {INT, NATURAL}:
            return Value(kind, value.text)
        operation = _CONVERSIONS.get((source, kind))
        if operation is None:
            raise NotTranslatable(f"a {source.name} cannot become a {kind.name}")
        return self.value(kind, f"{operation} {source.llvm} {value.text} to {kind.llvm}")

    def truth(self, value: Value) -> Value:
        """Whether a value is not zero."""
        if value.kind is BOOL:
            return value
        if value.number is not None:
            return constant(BOOL, bool(value.number))
        if value.kind in REALS:
            return self.value(BOOL, f"fcmp une {value.kind.llvm} {value.text}, 0.0")
        return self.value(BOOL, f"icmp ne i64 {value.text}, 0")

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        """One of two values of one kind that are both computed."""
        kind = yes.kind.llvm
        return self.value(
            yes.kind, f"select i1 {condition.text}, {kind} {yes.text}, {kind} {no.text}"
        )

    # --- arithmetic --------------------------------------------------------------------------

    def real(self, operation: str, a: Value, b: Value, flags: str | None = None) -> Value:
        """An operation on two real numbers of one kind."""
        flags = self.flags if flags is None else flags
        return self.value(a.kind, f"{operation} {flags}{a.kind.llvm} {a.text}, {b.text}")

    def whole(self, operation: str, a: Value, b: Value) -> Value:
        """An operation on two whole numbers or conditions of one kind."""
        return self.value(a.kind, f"{operation} {a.kind.llvm} {a.text}, {b.text}")

    def test(self, operation: str, a: Value, b: Value) -> Value:
        """A comparison of two numbers of one kind."""
        return self.value(BOOL, f"{operation} {a.kind.llvm} {a.text}, {b.text}")


_CONVERSIONS = {
    (BOOL, INT): "zext", (BOOL, NATURAL): "zext",
    (BOOL, FLOAT32): "uitofp", (BOOL, FLOAT64): "uitofp",
    (INT, FLOAT32): "sitofp", (INT, FLOAT64): "sitofp",
    (NATURAL, FLOAT32): "uitofp", (NATURAL, FLOAT64): "uitofp",
    (FLOAT32, FLOAT64): "fpext", (FLOAT64, FLOAT32): "fptrunc",
    (FLOAT32, INT): "fptosi", (FLOAT64, INT): "fptosi",
    (FLOAT32, NATURAL): "fptoui", (FLOAT64, NATURAL): "fptoui",
}  # fmt: skip
