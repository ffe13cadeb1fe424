"""Joda date patterns: compiling, formatting, parsing; and the ISO texts that TIME_PARSE reads without a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from msq.expr.kernels.base import Kernel, by_value, whole
from msq.expr.kernels.times import DAY, week_fields
from msq.expr.zones import zone
from msq.intervals import civil_from_days, days_from_civil

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMERIC = "CYywxeDdhHkKmsSM"
_LETTERS = frozenset("GCYxwyeEDMdaKhHkmsSzZ")
_ZONE_NAMES = {"UTC": 0, "GMT": 0, "UT": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
               "PDT": -7}  # fmt: skip

_LONG_NAMES = {
    "EST": "Eastern Standard Time",
    "EDT": "Eastern Daylight Time",
    "CST": "Central Standard Time",
    "CDT": "Central Daylight Time",
    "MST": "Mountain Standard Time",
    "MDT": "Mountain Daylight Time",
    "PST": "Pacific Standard Time",
    "PDT": "Pacific Daylight Time",
    "GMT": "Greenwich Mean Time",
    "BST": "British Summer Time",
    "CET": "Central European Time",
    "CEST": "Central European Summer Time",
    "EET": "Eastern European Time",
    "EEST": "Eastern European Summer Time",
    "JST": "Japan Standard Time",
    "IST": "India Standard Time",
}
"""Long names of zones for `zzzz`; others print their short one."""


@dataclass(frozen=True)
class Piece:
    """A pattern letter with its count, or literal text (`letter` empty)."""

    letter: str
    count: int
    text: str = ""

    @property
    def numeric(self) -> bool:
        return self.letter != "" and self.letter in _NUMERIC and not (self.letter == "M" and self.count > 2)


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> tuple[Piece, ...]:
    """Raises ValueError for a letter that Joda does not know."""
    pieces: list[Piece] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "'":
            end = at + 1
            text = ""
            while end < len(pattern):
                if pattern[end] == "'":
                    if pattern[end + 1 : end + 2] != "'":
                        break
                    end += 1
                text += pattern[end]
                end += 1
            if end == at + 1:
                text = "'"
            pieces.append(Piece("", 0, text))
            at = end + 1
        elif char.isascii() and char.isalpha():
            end = at
            while end < len(pattern) and pattern[end] == char:
                end += 1
            if char not in _LETTERS:
                raise ValueError(f"Illegal pattern component: {pattern[at:end]}")
            pieces.append(Piece(char, end - at))
            at = end
        else:
            pieces.append(Piece("", 0, char))
            at += 1
    return tuple(pieces)


# ------------------------------------------------------------------------------------------------------- formatting


def format_time(ms: int, pattern: str, tz: str) -> str:
    """An instant by a pattern in a zone. Raises ValueError for an unknown zone or a bad pattern."""
    where = zone(tz)
    if not where.known:
        raise ValueError(f"The datetime zone id '{tz}' is not recognised")
    offset = int(where.offsets_at(np.array([ms], np.int64))[0])
    days, in_day = divmod(ms + offset, DAY)
    year, month, day = civil_from_days(days)
    hour = in_day // 3_600_000
    out = []
    for piece in compile_pattern(pattern):
        letter, count = piece.letter, piece.count
        if not letter:
            out.append(piece.text)
        elif letter in "yYx":
            number = year if letter != "x" else int(week_fields(np.array([days], np.int64))[0][0])
            if letter == "Y" and number <= 0:
                number = 1 - number
            out.append(f"{abs(number) % 100:02d}" if count == 2 else _padded(number, count))
        elif letter == "M":
            name = _MONTHS[month - 1]
            out.append(_padded(month, count) if count < 3 else name[:3] if count == 3 else name)
        elif letter == "E":
            name = _DAYS[(days + 3) % 7]
            out.append(name if count > 3 else name[:3])
        elif letter == "S":
            out.append(f"{in_day % 1000:03d}".ljust(count, "0")[:count])
        elif letter == "a":
            out.append("AM" if hour < 12 else "PM")
        elif letter == "G":
            out.append("AD" if year > 0 else "BC")
        elif letter == "Z":
            out.append(tz if count > 2 else _offset_text(offset, count == 2))
        elif letter == "z":
            out.append(_zone_name(ms, tz, count > 3))
        else:
            number = {
                "C": abs(year) // 100, "e": (days + 3) % 7 + 1, "D": days - days_from_civil(year, 1, 1) + 1, "d": day,
                "w": int(week_fields(np.array([days], np.int64))[1][0]) if letter == "w" else 0,
                "K": hour % 12, "h": (hour + 11) % 12 + 1, "H": hour, "k": (hour + 23) % 24 + 1,
                "m": in_day // 60_000 % 60, "s": in_day // 1000 % 60,
            }[letter]  # fmt: skip
            out.append(_padded(number, count))
    return "".join(out)


def _padded(number: int, count: int) -> str:
    return f"-{-number:0{count}d}" if number < 0 else f"{number:0{count}d}"


def _offset_text(offset: int, colon: bool) -> str:
    minutes = abs(offset) // 60_000
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02d}{':' if colon else ''}{minutes % 60:02d}"


def _zone_name(ms: int, tz: str, long: bool) -> str:
    if zone(tz).fixed is not None:
        return ("Coordinated Universal Time" if long else "UTC") if zone(tz).fixed == 0 else tz
    from zoneinfo import ZoneInfo

    short = datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(tz)).tzname() or tz
    return _LONG_NAMES.get(short, short) if long else short


# ---------------------------------------------------------------------------------------------------------- parsing


def parse_time(text: str, pattern: str, tz: str) -> int | None:
    """ms of a text by a pattern, missing fields as of 1970-01-01 local; None when it does not match."""
    fields: dict[str, Any] = {}
    at = 0
    pieces = compile_pattern(pattern)
    for i, piece in enumerate(pieces):
        if not piece.letter:
            if text[at : at + len(piece.text)].lower() != piece.text.lower():
                return None
            at += len(piece.text)
            continue
        adjacent = i + 1 < len(pieces) and pieces[i + 1].numeric
        taken = _take(text, at, piece, adjacent, fields)
        if taken is None:
            return None
        at = taken
    return None if at != len(text) else _assemble(fields, tz)


def _take(text: str, at: int, piece: Piece, adjacent: bool, fields: dict[str, Any]) -> int | None:
    """Reads one field into `fields`; the new position, or None."""
    letter = piece.letter
    if piece.numeric:
        return _take_number(text, at, piece, adjacent, fields)
    rest = text[at:]
    if letter == "M" or letter == "E":
        names = _MONTHS if letter == "M" else _DAYS
        for length in (99, 3):
            for number, name in enumerate(names, 1):
                if rest[: len(name[:length])].lower() == name[:length].lower():
                    fields["M" if letter == "M" else "e"] = number
                    return at + len(name[:length])
        return None
    if letter in "aG":
        word = rest[:2].upper()
        if word not in (("AM", "PM") if letter == "a" else ("AD", "BC", "CE")):
            return None
        fields[letter] = int(word in ("PM", "BC"))
        return at + 2
    if letter == "Z" and piece.count < 3:
        found = re.match(r"[zZ]|([+-])(\d{2}):?(\d{2})?(?::?(\d{2}))?", rest)
        if found is None:
            return None
        seconds = (int(found[2] or 0) * 60 + int(found[3] or 0)) * 60 + int(found[4] or 0)
        fields["offset"] = (-seconds if found[1] == "-" else seconds) * 1000
        return at + found.end()
    if letter == "z":
        named = re.match(r"[A-Z]+", rest)
        if named is None or named[0] not in _ZONE_NAMES:
            return None
        fields["offset"] = _ZONE_NAMES[named[0]] * 3_600_000
        return at + named.end()
    named = re.match(r"[A-Za-z_+\-0-9:]+(?:/[A-Za-z_+\-0-9]+)*", rest)
    if named is None or not zone(named[0]).known:
        return None
    fields["zone"] = named[0]
    return at + named.end()


def _take_number(text: str, at: int, piece: Piece, adjacent: bool, fields: dict[str, Any]) -> int | None:
    letter, count = piece.letter, piece.count
    if letter == "S":
        found = re.compile(rf"\d{{1,{count if adjacent else max(count, 9)}}}").match(text, at)
        if found is None:
            return None
        fields["S"] = int(found[0][:3].ljust(3, "0"))
        return found.end()
    signed = letter in "yYx"
    most = count if adjacent else 9 if signed else max(count, 3 if letter == "D" else 2)
    sign = r"[+-]?" if signed and not adjacent else ""
    found = re.compile(rf"{sign}\d{{1,{most}}}").match(text, at)
    if found is None or (adjacent and len(found[0]) != count):
        return None
    number = int(found[0])
    if signed and count == 2 and len(found[0]) == 2 and found[0].isdigit():
        pivot = datetime.now(UTC).year - 50
        number += (pivot - number + 99) // 100 * 100
    fields[letter] = number
    return found.end()


def _assemble(fields: dict[str, Any], tz: str) -> int | None:
    hour = fields.get("H", 0)
    if "k" in fields:
        hour = fields["k"] % 24
        if not 1 <= fields["k"] <= 24:
            return None
    for letter, low, high in (("h", 1, 12), ("K", 0, 11)):
        if letter in fields:
            if not low <= fields[letter] <= high:
                return None
            hour = fields[letter] % 12
    if "a" in fields:
        hour = hour % 12 + 12 * fields["a"]
    days = _days(fields)
    minute, second = fields.get("m", 0), fields.get("s", 0)
    if days is None or not (0 <= hour < 24 and minute < 60 and second < 60):
        return None
    local: int = days * DAY + ((hour * 60 + minute) * 60 + second) * 1000 + fields.get("S", 0)
    if "offset" in fields:
        return local - int(fields["offset"])
    return local_to_utc(local, fields.get("zone", tz))


def _days(fields: dict[str, Any]) -> int | None:
    if "x" in fields or "w" in fields:
        year, week, day = fields.get("x", fields.get("y", 1970)), fields.get("w", 1), fields.get("e", 1)
        return week_days(year, week, day)
    year = fields.get("y", fields.get("Y", 1970))
    if fields.get("G"):
        year = 1 - year
    if "D" in fields:
        days = days_from_civil(year, 1, 1) + fields["D"] - 1
        return days if fields["D"] >= 1 and civil_from_days(days)[0] == year else None
    return civil_days(year, fields.get("M", 1), fields.get("d", 1))


def civil_days(year: int, month: int, day: int) -> int | None:
    """The day number of a date that exists, else None."""
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    days = days_from_civil(year, month, day)
    return days if civil_from_days(days) == (year, month, day) else None


def week_days(year: int, week: int, day: int) -> int | None:
    """The day number of an ISO week date that exists, else None."""
    fourth = days_from_civil(year, 1, 4)
    days = fourth - (fourth + 3) % 7 + (week - 1) * 7 + day - 1
    if not (1 <= week <= 53 and 1 <= day <= 7):
        return None
    return days if int(week_fields(np.array([days], np.int64))[0][0]) == year else None


def local_to_utc(local: int, tz: str) -> int | None:
    """The instant of a local time; None in a gap."""
    where = zone(tz)
    one = np.array([local], np.int64)
    return None if where.in_gap(one)[0] else int(where.to_utc(one)[0])


_ISO = re.compile(
    r"(?P<year>[+-]?\d{1,9})(?:-(?:(?P<month>\d{1,2})(?:-(?P<day>\d{1,2}))?|W(?P<week>\d{1,2})(?:-(?P<dow>\d))?"
    r"|(?P<doy>\d{3})))?(?:[T ](?:(?P<hour>\d{1,2})(?:(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})"
    r"(?:[.,](?P<fraction>\d{1,9})\d*)?)?)|(?P<part>[.,]\d+))?)?(?P<offset>Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?)?",
    re.ASCII,
)


def parse_iso(text: str, tz: str) -> int | None:
    """ms of an ISO-8601 text as TIME_PARSE reads it; None for any other text."""
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    year = int(found["year"])
    if found["week"]:
        days = week_days(year, int(found["week"]), int(found["dow"] or 1))
    elif found["doy"]:
        days = days_from_civil(year, 1, 1) + int(found["doy"]) - 1
        days = days if civil_from_days(days)[0] == year and int(found["doy"]) else None
    else:
        days = civil_days(year, int(found["month"] or 1), int(found["day"] or 1))
    hour, minute, second = (int(found[n] or 0) for n in ("hour", "minute", "second"))
    if days is None or hour > 23 or minute > 59 or second > 59:
        return None
    millis = int((found["fraction"] or "0")[:3].ljust(3, "0"))
    if found["part"]:
        millis = int(float("0." + found["part"][1:]) * 3_600_000)
    local = days * DAY + ((hour * 60 + minute) * 60 + second) * 1000 + millis
    if not found["offset"]:
        return local_to_utc(local, tz)
    if found["offset"] == "Z":
        return local
    digits = re.sub(r"\D", "", found["offset"]).ljust(6, "0")
    seconds = (int(digits[:2]) * 60 + int(digits[2:4])) * 60 + int(digits[4:])
    return local + seconds * (1000 if found["offset"][0] == "-" else -1000)


_FAST = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}:\d{2}(\.\d{1,3})?)?(Z)?")


def _parse_iso_column(texts: Any, tz: Any) -> Any:
    """Arrow's own reader where a whole batch is plain ISO in one form; else text by text, each distinct text once."""
    array = whole(texts)
    names = whole(tz)
    name = names[0].as_py() if len(names) else "UTC"
    first = next((v for v in array if v.is_valid), None)
    if first is None:
        return pa.nulls(len(array), pa.int64())
    found = _FAST.fullmatch(first.as_py())
    if found is not None:
        try:
            kind = pa.timestamp("ms", "UTC" if found[3] else None)
            made = array.cast(kind).cast(pa.int64())
            if found[3] or zone(name).fixed == 0:
                return made
            local = np.asarray(made.fill_null(0))
            where = zone(name)
            return pa.array(where.to_utc(local), mask=where.in_gap(local) | np.asarray(made.is_null()))
        except pa.ArrowInvalid:
            pass
    seen: dict[str | None, int | None] = {None: None}
    out = []
    for value in array.to_pylist():
        if value not in seen:
            seen[value] = parse_iso(value, name)
        out.append(seen[value])
    return pa.array(out, pa.int64())


KERNELS = (
    Kernel("py_parse_iso", ("VARCHAR", "VARCHAR"), "BIGINT", _parse_iso_column),
    by_value("py_parse_time", ("VARCHAR", "VARCHAR", "VARCHAR"), "BIGINT", parse_time),
    by_value("py_format_time", ("BIGINT", "VARCHAR", "VARCHAR"), "VARCHAR", format_time),
)
