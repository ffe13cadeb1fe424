"""One external value at a time: Druid's conversions from what a reader saw to a declared type, exactly.

A value is what JSON and its like can say: None, bool, int, float, str, bytes, list, dict. These functions are the rule;
`convert` applies it to whole columns and comes here only for values that are out of the ordinary.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

from msq.datatypes import ColumnType

LONG_MAX = 2**63 - 1
LONG_MIN = -(2**63)

_LONG = re.compile(r"[-+]?[0-9]+", re.ASCII)
_LEADING_ZERO = re.compile(r"[-+]?0[0-9][^.]*", re.ASCII)
_OCTAL = re.compile(r"[-+]?[0-7]+", re.ASCII)
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?", re.ASCII)
_HEX = re.compile(r"([+-]?)0[xX]([0-9a-fA-F]*)\.?([0-9a-fA-F]*)[pP]([+-]?[0-9]+)[fFdD]?", re.ASCII)
_WORDS = {w: float(w) for w in ("NaN", "Infinity", "+Infinity", "-Infinity", "+NaN", "-NaN")}
_JAVA_BLANK = "".join(map(chr, range(33)))


def java_double(value: float) -> str:
    """`Double.toString`: 1.0, 1.0E20, 1.0E-5, NaN, Infinity."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0.0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + part) - len(digits))
    digits = digits.rstrip("0") or "0"
    if 1e-3 <= abs(value) < 1e7:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        digits = digits.ljust(point, "0")
        return f"{sign}{digits[:point]}.{digits[point:] or '0'}"
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{point - 1}"


def _number_text(value: int | float) -> str:
    """A number as Java prints it. An integer beyond 64 bits was read as a double."""
    if isinstance(value, int) and LONG_MIN <= value <= LONG_MAX:
        return str(value)
    try:
        return java_double(float(value))
    except OverflowError:
        return "Infinity" if value > 0 else "-Infinity"


def java_text(value: Any) -> str:
    """`String.valueOf`: maps as `{a=1, b=x}`, lists as `[1, x]`, null as `null`, bytes in base64."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _number_text(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}={java_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(java_text, value)) + "]"
    return str(value)


def to_string(value: Any) -> str | list[str | None] | None:
    """A STRING: text, or a list when the value holds several. An empty list is NULL, one element is that element."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        several = [None if v is None else java_text(v) for v in value]
        return None if not several else several[0] if len(several) == 1 else several
    return java_text(value)


def saturate(value: float) -> int:
    """Java's cast of a double to a long."""
    if math.isnan(value):
        return 0
    if value >= 2**63:
        return LONG_MAX
    return LONG_MIN if value <= -(2**63) else int(value)


def number_of_text(text: str) -> int | float | None:
    """The number a text says (blanks around, thousands commas and a plus allowed); None when it says none."""
    text = text.strip(_JAVA_BLANK).replace(",", "")
    if _LONG.fullmatch(text):
        value = int(text) if len(text) < 4000 else math.inf
        return value if LONG_MIN <= value <= LONG_MAX else float(value) if abs(value) < 1e308 else double_of(text)
    return double_of(text)


def double_of(text: str) -> float | None:
    if text in _WORDS:
        return _WORDS[text]
    if _DOUBLE.fullmatch(text):
        return float(text.rstrip("fFdD"))
    if hexed := _HEX.fullmatch(text):
        sign, whole, part, power = hexed.groups()
        if whole or part:
            try:
                return float.fromhex(f"{sign}0x{whole or '0'}.{part or '0'}p{power}")
            except OverflowError:
                return -math.inf if sign == "-" else math.inf
    return None


def plain_number(text: str) -> int | float | None:
    """The number a text is, written as a number and nothing else (tryParseNumbers); None when it is none."""
    if _LEADING_ZERO.fullmatch(text) and not _OCTAL.fullmatch(text):
        return None  # a leading zero says octal, and this is none: the text stays a text
    if _LONG.fullmatch(text) and text[0] != "+":
        value = int(text)
        return value if LONG_MIN <= value <= LONG_MAX else float(value)
    return float(text.rstrip("fFdD")) if _DOUBLE.fullmatch(text) else None


def to_long(value: Any) -> int | None:
    number = _number(value)
    if isinstance(number, float):
        return saturate(number)
    return None if number is None else max(LONG_MIN, min(LONG_MAX, number))


def to_double(value: Any) -> float | None:
    number = _number(value)
    if number is None:
        return None
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _number(value: Any) -> int | float | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value
    return number_of_text(value) if isinstance(value, str) else None


def to_typed(value: Any, declared: ColumnType) -> Any:
    """The Python value of a frame's cell of type `declared`: the conversion of any external value."""
    kind = declared.kind
    if kind == "STRING":
        return to_string(value)
    if kind == "LONG":
        return to_long(value)
    if kind in ("FLOAT", "DOUBLE"):
        return to_double(value)
    if kind == "ARRAY":
        return to_array(value, declared)
    return to_json_text(value) if declared.is_json else to_sketch_bytes(value)


def to_array(value: Any, declared: ColumnType) -> list[Any] | None:
    """A list by elements, a scalar as a list of one; an object is NULL."""
    if value is None or isinstance(value, dict):
        return None
    element = declared.element
    assert element is not None
    values = value if isinstance(value, (list, tuple)) else [value]
    if element.kind == "STRING":
        return [None if v is None else v if isinstance(v, str) else java_text(v) for v in values]
    return [to_typed(v, element) for v in values]


def to_json_text(value: Any) -> str | None:
    """JSON as Druid stores and prints it: no blanks, doubles in Java's form, a boolean by itself as 1 or 0."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "1" if value else "0"
    return json_text(value)


def json_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (int, float)):
        text = _number_text(value)
        return f'"{text}"' if text[-1] in "Ny" else text  # JSON has no NaN and no Infinity
    if isinstance(value, (bytes, bytearray)):
        return f'"{base64.b64encode(value).decode()}"'
    if isinstance(value, dict):
        return "{" + ",".join(f"{json_text(str(k))}:{json_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(json_text, value)) + "]"
    return str(value)


def to_sketch_bytes(value: Any) -> bytes | None:
    """The serialised form of a COMPLEX column: bytes, or text that holds them in base64."""
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            return None
    return None
