"""Text of Druid's native expression language to nodes. The grammar is Druid's Expr.g4.

Precedence, tight to loose: unary `-` `!`; `^` (right to left); `* / %`; `+ -`; `< <= > >= == !=`; `&&`; `||`.
Raises DruidException (invalid input) for a text that is no expression.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

from msq.datatypes import DOUBLE, DOUBLE_ARRAY, LONG, LONG_ARRAY, STRING, STRING_ARRAY, ColumnType
from msq.expr.nodes import CHAIN_OPERATORS, Call, Identifier, Lambda, Literal, Node
from msq.faults import DruidException, invalid_input

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<double>(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][+-]?[0-9]+)?)
    | (?P<long>[0-9]+)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<quoted>"(?:[^"\\]|\\.)*")
    | (?P<typed>(?:ARRAY|array)\s*<\s*[A-Za-z<>]+\s*>\s*\[)
    | (?P<name>[_$A-Za-z][_$A-Za-z0-9]*(?:\.[_$A-Za-z][_$A-Za-z0-9]*)*)
    | (?P<op>->|&&|\|\||==|!=|<=|>=|[-+*/%^<>!(),\[\]=])
    )""",
    re.VERBOSE | re.DOTALL,
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!="), ("+", "-"), ("*", "/", "%"),
)  # fmt: skip
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The node of a native expression text."""
    return _Parser(text).whole()


def unescape(text: str) -> str:
    r"""The characters of a quoted token's inside: `\n`, `\'`, `\u005C` and the like undone."""
    if "\\" not in text:
        return text

    def one(m: re.Match[str]) -> str:
        return chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2])

    out = re.sub(r"\\(?:u([0-9A-Fa-f]{4})|(.))", one, text, flags=re.DOTALL)
    if any("\ud800" <= c <= "\udfff" for c in out):
        out = out.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return out


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        at = 0
        end = len(text.rstrip())
        while at < end:
            m = _TOKEN.match(text, at)
            if m is None:
                self.fail(text[at:].strip()[:20])
            assert m.lastgroup is not None
            self.tokens.append((m.lastgroup, m[m.lastgroup]))
            at = m.end()
        self.tokens.append(("end", ""))
        self.at = 0

    def fail(self, near: str) -> NoReturn:
        raise _refusal(self.text, near)

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)]

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, op: str) -> bool:
        if self.peek() == ("op", op):
            self.at += 1
            return True
        return False

    def expect(self, op: str) -> None:
        if not self.accept(op):
            self.fail(self.peek()[1] or "<EOF>")

    def whole(self) -> Node:
        node = self.binary(0)
        if self.peek()[0] != "end":
            self.fail(self.peek()[1])
        return node

    def binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.power()
        left = self.binary(level + 1)
        if self.peek()[0] == "op" and self.peek()[1] in CHAIN_OPERATORS and self.peek()[1] in _LEVELS[level]:
            # One call however long the chain: a tree of thousands of terms would be too deep to walk.
            op, terms = self.peek()[1], [left]
            while self.accept(op):
                terms.append(self.binary(level + 1))
            return Call(op, tuple(terms))
        while self.peek()[0] == "op" and self.peek()[1] in _LEVELS[level]:
            op = self.take()[1]
            left = Call(op, (left, self.binary(level + 1)))
        return left

    def power(self) -> Node:
        left = self.unary()
        return Call("^", (left, self.power())) if self.accept("^") else left

    def unary(self) -> Node:
        kind, op = self.peek()
        if kind != "op" or op not in ("-", "!"):
            return self.primary()
        self.at += 1
        inner = self.unary()
        if op == "-" and isinstance(inner, Literal) and inner.type in (LONG, DOUBLE):
            return Literal(-inner.value, inner.type)
        return Call(op, (inner,))

    def primary(self) -> Node:
        kind, text = self.take()
        if kind == "long":
            value = int(text)
            if value > 2**63:
                self.fail(text)
            return Literal(value, LONG)
        if kind == "double":
            return Literal(float(text), DOUBLE)
        if kind == "string":
            return Literal(unescape(text[1:-1]), STRING)
        if kind == "quoted":
            return Identifier(unescape(text[1:-1]))
        if kind == "typed":
            return self.elements(ColumnType.parse(text[:-1].strip()))
        if kind == "name":
            return self.named(text)
        if (kind, text) == ("op", "["):
            return self.elements(None)
        if (kind, text) == ("op", "("):
            made = self.lambda_()
            if made is not None:
                return made
            inner = self.binary(0)
            self.expect(")")
            return inner
        raise _refusal(self.text, text or "<EOF>")

    def named(self, text: str) -> Node:
        if self.accept("("):
            args: list[Node] = []
            if not self.accept(")"):
                args.append(self.argument())
                while self.accept(","):
                    args.append(self.argument())
                self.expect(")")
            return Call(text, tuple(args))
        if text.lower() == "null":
            return Literal(None, None)
        return Identifier(text)

    def argument(self) -> Node:
        if self.peek() == ("op", "("):
            here = self.at
            self.at += 1
            made = self.lambda_()
            if made is not None:
                return made
            self.at = here
        elif self.peek()[0] in ("name", "quoted") and self.peek(1) == ("op", "->"):
            name = self.parameter()
            self.expect("->")
            return Lambda((name,), self.binary(0))
        return self.binary(0)

    def parameter(self) -> str:
        kind, text = self.take()
        if kind not in ("name", "quoted"):
            self.fail(text)
        return unescape(text[1:-1]) if kind == "quoted" else text

    def lambda_(self) -> Lambda | None:
        """After `(`: the lambda that starts there, else None with nothing taken."""
        ahead = 0
        while self.peek(ahead)[0] in ("name", "quoted"):
            ahead += 1
            if self.peek(ahead) == ("op", ","):
                ahead += 1
        if self.peek(ahead) != ("op", ")") or self.peek(ahead + 1) != ("op", "->"):
            return None
        params: list[str] = []
        while not self.accept(")"):
            params.append(self.parameter())
            self.accept(",")
        self.expect("->")
        return Lambda(tuple(params), self.binary(0))

    def elements(self, array: ColumnType | None) -> Literal:
        """After `[`: literals up to `]`, as an array literal; without a type the elements decide it."""
        values: list[object] = []
        while not self.accept("]"):
            item = self.unary()
            if not isinstance(item, Literal):
                self.fail("[")
            values.append(item.value)
            if not self.accept(",") and self.peek() != ("op", "]"):
                self.fail(self.peek()[1])
        if array is None:
            kinds = {type(v) for v in values if v is not None}
            array = STRING_ARRAY if not kinds or str in kinds else LONG_ARRAY if kinds == {int} else DOUBLE_ARRAY
        if array.element == DOUBLE:
            values = [None if v is None else float(v) for v in values]  # type: ignore[arg-type]
        return Literal(tuple(values), array)


def _refusal(text: str, near: str) -> DruidException:
    return invalid_input(f"Expression [{text}] is malformed: unexpected [{near}]")
