"""Java's String.format."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from msq.expr.kernels.base import by_value
from msq.expr.printer import double_text

_SPEC = re.compile(r"%(?:(\d+)\$)?([-#+ 0,(<]*)(\d+)?(?:\.(\d+))?([bBhHsScCdoxXeEfgGaAn%])")


def format_text(pattern: str, kinds: str, values: tuple[str | None, ...]) -> str:
    """The pattern filled in; when it does not fit its arguments, the pattern followed by `; argument` for each.

    `kinds` has a letter per value: S text, L LONG, D DOUBLE, N untyped null. Values arrive as texts.
    """
    try:
        return _fill(pattern, [_typed(k, v) for k, v in zip(kinds, values)])
    except ValueError:
        return "; ".join([pattern, *("null" if v is None else v for v in values)])


def simple_pieces(pattern: str, count: int) -> list[tuple[str, str]] | None:
    """A pattern as (kind, text): `text` as it stands, `s`, or `d` with the digits that zeros fill up (or none).

    None where it asks for more than %s, %d, %0Nd and %% of `count` arguments one after the other.
    """
    pieces = re.findall(r"([^%]+)|%(?:0([1-9]\d?))?(d)|%(s)|(%%)|(%)", pattern)
    if any(odd for *_, odd in pieces) or sum(bool(p[2] or p[3]) for p in pieces) > count:
        return None
    return [("text", "%" if p[4] else p[0]) if p[0] or p[4] else ("d", p[1]) if p[2] else ("s", "") for p in pieces]


def _typed(kind: str, text: str | None) -> Any:
    if text is None:
        return None
    return int(text) if kind == "L" else float(text) if kind == "D" else text


def _fill(pattern: str, values: list[Any]) -> str:
    out = []
    at, following, last = 0, 0, -1
    while at < len(pattern):
        mark = pattern.find("%", at)
        if mark < 0:
            out.append(pattern[at:])
            break
        out.append(pattern[at:mark])
        found = _SPEC.match(pattern, mark)
        if found is None:
            raise ValueError(pattern)
        at = found.end()
        conversion = found[5]
        if conversion in "n%":
            out.append("\n" if conversion == "n" else _width("%", found[2], found[3]))
            continue
        if found[1] is not None:
            last = int(found[1]) - 1
        elif "<" not in found[2]:
            last = following
            following += 1
        if not 0 <= last < len(values):
            raise ValueError(pattern)
        out.append(_one(conversion, found[2], found[3], found[4], values[last]))
    return "".join(out)


def _width(text: str, flags: str, width: str | None) -> str:
    if width is None:
        if "-" in flags:
            raise ValueError(text)
        return text
    return text.ljust(int(width)) if "-" in flags else text.rjust(int(width))


def _one(conversion: str, flags: str, width: str | None, precision: str | None, value: Any) -> str:
    kind = conversion.lower()
    if kind in "bs" or value is None:
        text = _plain(kind, value)
        text = text if precision is None else text[: int(precision)]
    elif kind in "dox":
        if not isinstance(value, int) or precision is not None:
            raise ValueError(conversion)
        return _cased(_integer(kind, flags, width, value), conversion)
    elif kind in "efg":
        if not isinstance(value, float):
            raise ValueError(conversion)
        return _cased(_double(kind, flags, width, precision, value), conversion)
    elif kind == "h":
        text = f"{_hash(value) & 0xFFFFFFFF:x}"
    else:
        # %c takes an int or a char and %a has no use here: neither LONG nor DOUBLE nor text fits.
        raise ValueError(conversion)
    return _cased(_width(text, flags, width), conversion)


def _plain(kind: str, value: Any) -> str:
    if kind == "b":
        return "false" if value is None else "true"
    return "null" if value is None else double_text(value) if isinstance(value, float) else str(value)


def _cased(text: str, conversion: str) -> str:
    return text.upper() if conversion.isupper() else text


def _hash(value: Any) -> int:
    if isinstance(value, int):
        return (value ^ (value >> 32)) & 0xFFFFFFFF
    if isinstance(value, float):
        import struct

        bits: int = struct.unpack(">q", struct.pack(">d", value))[0]
        return (bits ^ (bits >> 32)) & 0xFFFFFFFF
    result = 0
    raw = value.encode("utf-16-be", "surrogatepass")
    for i in range(0, len(raw), 2):
        result = (result * 31 + (raw[i] << 8 | raw[i + 1])) & 0xFFFFFFFF
    return result


def _integer(kind: str, flags: str, width: str | None, value: int) -> str:
    if kind != "d":
        body = f"{value & (2**64 - 1):{kind}}"
        if "#" in flags:
            body = ("0x" if kind == "x" else "0") + body
        return _padded("", body, flags, width)
    body = f"{abs(value):,}" if "," in flags else str(abs(value))
    return _signed(value < 0, body, flags, width)


def _double(kind: str, flags: str, width: str | None, precision: str | None, value: float) -> str:
    if value != value or value in (float("inf"), float("-inf")):
        return _width(double_text(value), flags, width)
    digits = 6 if precision is None else int(precision)
    exact = Decimal(repr(abs(value)))
    negative = value < 0 or (value == 0 and str(value).startswith("-"))
    if kind == "g":
        digits = max(digits, 1)
        rounded = exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), ROUND_HALF_UP) if exact else exact
        kind = "f" if not rounded or Decimal("0.0001") <= rounded < Decimal(10) ** digits else "e"
        digits = max(digits - 1 - (rounded.adjusted() if kind == "f" and rounded else 0), 0)
    if kind == "f":
        body = f"{exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,f}"
        body = body if "," in flags else body.replace(",", "")
    else:
        shift = exact.adjusted() if exact else 0
        mantissa = exact.scaleb(-shift).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        if mantissa >= 10:
            mantissa, shift = mantissa / 10, shift + 1
            mantissa = mantissa.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        body = f"{mantissa}e{'-' if shift < 0 else '+'}{abs(shift):02d}"
    return _signed(negative, body, flags, width)


def _signed(negative: bool, body: str, flags: str, width: str | None) -> str:
    if negative:
        if "(" in flags:
            return _padded("(", body + ")", flags, width)
        return _padded("-", body, flags, width)
    return _padded("+" if "+" in flags else " " if " " in flags else "", body, flags, width)


def _padded(sign: str, body: str, flags: str, width: str | None) -> str:
    if "0" in flags:
        if width is None or "-" in flags:
            raise ValueError(flags)
        return sign + body.rjust(int(width) - len(sign), "0")
    return _width(sign + body, flags, width)


def _format(pattern: str | None, kinds: str, values: tuple[str | None, ...]) -> str | None:
    return None if pattern is None else format_text(pattern, kinds, values)


KERNELS = (by_value("py_format", ("VARCHAR", "VARCHAR", "VARCHAR[]"), "VARCHAR", _format, nulls=True),)
