"""Nodes to text exactly as Druid 37 prints them in plans, virtual columns and explanations.

Arguments are separated by a bare comma, except in the few functions of `_SPACED`. Operators print in parentheses with
blanks around. The lower-case `cast` stands for the text that TRUNCATE expands to and leaves its operator bare.
"""

from __future__ import annotations

import math
from typing import Any

from msq.expr.nodes import BINARY_OPERATORS, CHAIN_OPERATORS, UNARY_OPERATORS, Call, Identifier, Lambda, Literal, Node

_SPACED = frozenset({"substring", "CAST"})
_PLAIN = frozenset(chr(c) for c in range(32, 127)) - {"'", "\\"}


def to_text(node: Node) -> str:
    """The expression text of a node; `parse` reads it back."""
    if isinstance(node, Identifier):
        return quote_identifier(node.name)
    if isinstance(node, Literal):
        return _literal(node)
    if isinstance(node, Lambda):
        return f"({', '.join(node.params)}) -> {to_text(node.body)}"
    assert isinstance(node, Call)
    name, args = node.function, node.args
    if name in BINARY_OPERATORS and len(args) == 2:
        return f"({_bare(node)})"
    if name in CHAIN_OPERATORS and len(args) > 2:
        return f"({f' {name} '.join(to_text(a) for a in args)})"
    if name in UNARY_OPERATORS and len(args) == 1:
        return f"({name} {to_text(args[0])})"
    if name == "cast":
        first = args[0]
        bare = isinstance(first, Call) and first.function in BINARY_OPERATORS
        return f"cast({_bare(first) if bare else to_text(first)},{to_text(args[1])})"
    if name == "json_value" and len(args) == 3:
        return f"json_value({to_text(args[0])},{to_text(args[1])}, {to_text(args[2])})"
    return f"{name}({(', ' if name in _SPACED else ',').join(to_text(a) for a in args)})"


def quote_identifier(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def quote_string(text: str) -> str:
    r"""A string literal; quotes, backslashes, control and unusual characters print as `\uXXXX`, by UTF-16 unit."""
    return "'" + "".join(c if c in _PLAIN or (c.isalnum() and c <= "\uffff") else _escape(c) for c in text) + "'"


def double_text(value: float) -> str:
    """A double as Java prints it: `1.0`, `1.0E20`, `1.0E-5`, `NaN`, `Infinity`."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(float(value))
    if 2.0**53 < abs(value) < 2.0**62:
        return _scientific(whole_digits(value, 53))
    digits, _, shift = repr(float(value)).partition("e")
    if shift:
        return f"{digits if '.' in digits else digits + '.0'}E{int(shift)}"
    sign = "-" if digits.startswith("-") else ""
    plain = digits.lstrip("-").replace(".", "").lstrip("0").rstrip("0")
    # repr() prints the shortest digits without an exponent from 1e-4 to 1e16; move the point.
    exponent = int(f"{value:.17e}".partition("e")[2])
    return f"{sign}{plain[0]}.{plain[1:] or '0'}E{exponent}"


def whole_digits(value: float, bits: int) -> int:
    """A whole number beyond `bits` bits as Java before 19 prints it: exact, without the decimal digits that the binary
    precision (53 for doubles, 24 for floats) cannot tell apart. Values within 2^bits and 2^62."""
    number = abs(int(value))
    spare = number.bit_length() - 1 - bits - 1
    drop: int = 10 ** (int(spare * 0.30103) if spare > 3 else 0)
    kept, rest = divmod(number, drop)
    made = (kept + (drop > 1 and 2 * rest >= drop)) * drop
    return made if value > 0 else -made


def _scientific(number: int) -> str:
    digits = str(abs(number))
    return f"{'-' if number < 0 else ''}{digits[0]}.{digits[1:].rstrip('0') or '0'}E{len(digits) - 1}"


def _bare(node: Node) -> str:
    assert isinstance(node, Call)
    return f"{to_text(node.args[0])} {node.function} {to_text(node.args[1])}"


def _escape(char: str) -> str:
    raw = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[i]:02X}{raw[i + 1]:02X}" for i in range(0, len(raw), 2))


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return quote_string(value)
    return double_text(value) if isinstance(value, float) else str(value)


def _literal(node: Literal) -> str:
    if isinstance(node.value, tuple):
        assert node.type is not None
        inner = ", ".join(_value(v) for v in node.value)
        plain = node.value and node.type.element is not None and node.type.element.kind == "STRING"
        return f"[{inner}]" if plain else f"{node.type}[{inner}]"
    return _value(node.value)
