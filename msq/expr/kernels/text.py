"""Text kernels: Java number parsing, letter case, UTF-16 positions, PARSE_LONG, base64."""

from __future__ import annotations

import base64
import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa

from msq.expr.kernels.base import Kernel, by_value, whole
from msq.expr.printer import double_text

_DOUBLE = re.compile(
    r"[+-]?(?:NaN|Infinity|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fFdD]?"
    r"|0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+[fFdD]?)"
)
_LONG = re.compile(r"[+-]?[0-9]+")
_MAX, _MIN = 2**63 - 1, -(2**63)


def to_double(text: str) -> float | None:
    """Java's reading of a double; `true` and `false` are 1 and 0; anything else None."""
    if _DOUBLE.fullmatch(text) is None:
        folded = text.lower()
        return 1.0 if folded == "true" else 0.0 if folded == "false" else None
    lowered = text.lower()
    if "x" in lowered:
        return float.fromhex(lowered.rstrip("fd") if "p" in lowered else lowered)
    return float(lowered.rstrip("fd") if not lowered.endswith("infinity") else lowered)


def to_long(text: str) -> int | None:
    """An exact long, else a double's text cut toward zero and held within the range; else None."""
    if _LONG.fullmatch(text):
        return max(_MIN, min(_MAX, int(text)))
    value = to_double(text)
    if value is None:
        return None
    if value != value:
        return 0
    return _MAX if value >= 2.0**63 else _MIN if value <= -(2.0**63) else int(value)


def units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def from_units(raw: bytes) -> str:
    return raw.decode("utf-16-le", "replace")


def substring(text: str, start: int, length: int) -> str | None:
    """`length` UTF-16 units from `start` (0-based); negative length: to the end; a start at or past the end: None."""
    raw = units(text)
    if start * 2 >= len(raw) and not (start == 0 and length == 0):
        return None
    return from_units(raw[start * 2 :] if length < 0 else raw[start * 2 : (start + length) * 2])


def left(text: str, count: int) -> str:
    return from_units(units(text)[: count * 2])


def right(text: str, count: int) -> str:
    return from_units(units(text)[-count * 2 :]) if count else ""


def index_of(text: str, part: str, start: int) -> int:
    """0-based UTF-16 position of `part` at or after `start`; -1 when absent."""
    at = text.find(part, len(from_units(units(text)[: max(start, 0) * 2])))
    return -1 if at < 0 else len(units(text[:at])) // 2


def pad(text: str, length: int, filler: str, on_left: bool) -> str | None:
    """LPAD and RPAD in UTF-16 units: length 0 gives None, a negative one an empty text."""
    if length <= 0:
        return None if length == 0 else ""
    raw, fill = units(text), units(filler)
    missing = length * 2 - len(raw)
    if missing <= 0:
        return from_units(raw[: length * 2])
    if not fill:
        return text
    made = (fill * (missing // len(fill) + 1))[:missing]
    return from_units(made + raw if on_left else raw + made)


def replace(text: str, part: str, by: str) -> str:
    if part:
        return text.replace(part, by)
    raw, filler = units(text), units(by)
    return from_units(filler + b"".join(raw[i : i + 2] + filler for i in range(0, len(raw), 2)))


def parse_long(text: str, radix: int) -> int | None:
    """Java's Long.parseLong; radix 16 accepts a leading 0x. None for anything it refuses."""
    if not 2 <= radix <= 36:
        return None
    if radix == 16 and text[:2].lower() == "0x":
        text = text[2:]
    if not re.fullmatch(r"[+-]?[0-9A-Za-z]+", text):
        return None
    try:
        value = int(text, radix)
    except ValueError:
        return None
    return value if _MIN <= value <= _MAX else None


def decode_base64(text: str) -> str:
    """UTF-8 text of base64; missing padding is fine. Raises ValueError as Java's decoder words it."""
    bad = re.search(r"[^A-Za-z0-9+/=]", text)
    if bad is not None:
        raise ValueError(f"Function[decode_base64_utf8] cannot decode a text: Illegal base64 character {ord(bad[0]):x}")
    bare = text.rstrip("=")
    if len(bare) % 4 == 1:
        raise ValueError("Function[decode_base64_utf8] cannot decode a text: Last unit does not have enough valid bits")
    return base64.b64decode(bare + "=" * (-len(bare) % 4)).decode("utf-8", "replace")


def round_double(value: float, digits: int) -> float:
    """Half away from zero on the shortest decimal text."""
    if value != value:
        return 0.0
    if value in (float("inf"), float("-inf")):
        return 1.7976931348623157e308 if value > 0 else -1.7976931348623157e308
    exact = Decimal(repr(value))
    if -exact.as_tuple().exponent <= digits:  # type: ignore[operator]
        return value + 0.0
    rounded = (
        exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP) if exact.adjusted() + digits >= -1 else Decimal(0)
    )
    return float(rounded) + 0.0


def _case(upper: bool) -> Any:
    def run(column: Any) -> Any:
        values = whole(column).to_pylist()
        return pa.array([None if v is None else v.upper() if upper else v.lower() for v in values], pa.string())

    return run


KERNELS = (
    by_value("py_to_double", ("VARCHAR",), "DOUBLE", to_double),
    by_value("py_double_text", ("DOUBLE",), "VARCHAR", double_text),
    by_value("py_to_long", ("VARCHAR",), "BIGINT", to_long),
    Kernel("py_upper", ("VARCHAR",), "VARCHAR", _case(True)),
    Kernel("py_lower", ("VARCHAR",), "VARCHAR", _case(False)),
    by_value("py_substring", ("VARCHAR", "BIGINT", "BIGINT"), "VARCHAR", substring),
    by_value("py_left", ("VARCHAR", "BIGINT"), "VARCHAR", left),
    by_value("py_right", ("VARCHAR", "BIGINT"), "VARCHAR", right),
    by_value("py_index_of", ("VARCHAR", "VARCHAR", "BIGINT"), "BIGINT", index_of),
    by_value("py_pad", ("VARCHAR", "BIGINT", "VARCHAR", "BOOLEAN"), "VARCHAR", pad),
    by_value("py_replace", ("VARCHAR", "VARCHAR", "VARCHAR"), "VARCHAR", replace),
    by_value("py_parse_long", ("VARCHAR", "BIGINT"), "BIGINT", parse_long),
    by_value("py_base64", ("VARCHAR",), "VARCHAR", decode_base64),
)
