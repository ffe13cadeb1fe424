"""TIMESTAMP and DATE literals, and what instant a local time is in a zone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from msq.expr.zones import Zone, zone
from msq.faults import invalid_input, invalid_sql
from msq.intervals import DAY_MS, civil_from_days, days_from_civil
from msq.sql.nodes import TemporalLiteral, position_of

_DATE = r"(\d{1,9})-(\d{1,2})-(\d{1,2})"
_LITERALS = {
    "TIMESTAMP": (re.compile(_DATE + r"(?: (\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d*))?)?"), "yyyy-MM-dd HH:mm:ss"),
    "DATE": (re.compile(_DATE), "yyyy-MM-dd"),
}


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


def session_zone(context: Mapping[str, Any]) -> Zone:
    """The zone of context key sqlTimeZone, UTC without. Raises the refusal of a name that is no zone."""
    name = str(context.get("sqlTimeZone") or "UTC")
    found = zone(name)
    if not found.known:
        raise invalid_input(f"The datetime zone id '{name}' is not recognised")
    return found


def instant_of_local(millis: int, zone: Zone) -> int:
    """The instant at which clocks of `zone` show `millis`; a time that a spring's change leaves out moves forward, one
    that an autumn's change repeats is the earlier."""
    return int(zone.to_utc(np.array([millis], np.int64))[0])
