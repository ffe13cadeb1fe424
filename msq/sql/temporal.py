"""TIMESTAMP and DATE literals, and what instant a local time is in a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from msq.faults import invalid_input, invalid_sql
from msq.intervals import DAY_MS, civil_from_days, days_from_civil
from msq.sql.nodes import TemporalLiteral, position_of

_DATE = r"(\d{1,9})-(\d{1,2})-(\d{1,2})"
_LITERALS = {
    "TIMESTAMP": (re.compile(_DATE + r"(?: (\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d*))?)?"), "yyyy-MM-dd HH:mm:ss"),
    "DATE": (re.compile(_DATE), "yyyy-MM-dd"),
}
_OFFSET = re.compile(r"([+-])(\d{1,2})(?::?(\d{2}))?")


def local_millis(literal: TemporalLiteral) -> int:
    """What a literal says, as ms since 1970-01-01T00:00 of its own clock. Raises the refusal of a text that says no
    such time, and of kinds that Druid has no type for."""
    kind, text = str(literal.args["kind"]), str(literal.this)
    position = position_of(literal)
    if kind not in _LITERALS:
        raise invalid_sql(f"Cannot handle literal [{text}] of unsupported type [{kind}].", position=position)
    pattern, shape = _LITERALS[kind]
    found = pattern.fullmatch(text.strip())
    if found is not None:
        year, month, day, hour, minute, second = (int(found[i] or 0) if i <= pattern.groups else 0 for i in range(1, 7))
        fraction = (found[7] if pattern.groups >= 7 else None) or ""
        days = days_from_civil(year, month, day) if 1 <= month <= 12 and 1 <= day <= 31 else None
        there = days is not None and civil_from_days(days) == (year, month, day)
        if days is not None and there and hour < 24 and minute < 60 and second < 60:
            return days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + int(fraction[:3].ljust(3, "0"))
    line, column = position[:2] if position else (0, 0)
    where = f"(line [{line}], column [{column}])"
    raise invalid_sql(f"Illegal {kind} literal '{text}': not in format '{shape}' {where}", position=position)


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """The time zone of a name or offset (`Europe/Berlin`, `+05:30`, `UTC`). Raises the refusal of an unknown one."""
    if name.upper() in ("UTC", "Z", "GMT", "ETC/UTC"):
        return UTC
    offset = _OFFSET.fullmatch(name)
    if offset is not None and int(offset[2]) < 24:
        delta = timedelta(hours=int(offset[2]), minutes=int(offset[3] or 0))
        return timezone(-delta if offset[1] == "-" else delta)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise invalid_input(f"The datetime zone id '{name}' is not recognised") from error


def instant_of_local(millis: int, zone: tzinfo) -> int:
    """The instant at which clocks of `zone` show `millis`; a time that a spring's change leaves out moves forward, one
    that an autumn's change repeats is the earlier."""
    if zone is UTC:
        return millis
    days = millis // DAY_MS
    year = civil_from_days(days)[0]
    shift = 0 if 2 <= year <= 9998 else (2000 - year) // 400 * 400
    moved = days_from_civil(year + shift, 1, 1) - days_from_civil(year, 1, 1) if shift else 0
    local = datetime(1970, 1, 1) + timedelta(milliseconds=millis + moved * DAY_MS)
    offset = local.replace(tzinfo=zone).utcoffset()
    return millis - (0 if offset is None else offset // timedelta(milliseconds=1))


def session_zone(context: object) -> tzinfo:
    """The zone of context key sqlTimeZone (a mapping's), UTC without."""
    value = context.get("sqlTimeZone") if hasattr(context, "get") else None
    return zone_of(str(value)) if value else UTC
