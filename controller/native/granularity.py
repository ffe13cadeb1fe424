"""Granularities of native queries: the expression that floors a row's time, and walking from bucket to bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from controller.native.errors import refused, unsupported
from msq.datatypes import LONG, STRING
from msq.expr.kernels import times
from msq.expr.nodes import Call, Identifier, Literal, Node
from msq.expr.printer import to_text
from msq.expr.zones import zone
from msq.intervals import STANDARD_PERIODS, parse_instant

_TIME = Identifier("__time")
_WALKED = 1024


@dataclass(frozen=True)
class Buckets:
    """`all`, `none`, or a period in a zone with an origin (ms)."""

    name: str
    period: str = ""
    time_zone: str = "UTC"
    origin: int | None = None

    @property
    def is_all(self) -> bool:
        return self.name == "all"

    @property
    def can_be_empty(self) -> bool:
        """Whether times without rows are buckets, too. Milliseconds are left out: there are too many."""
        return self.name == "period"

    @property
    def expression(self) -> str:
        """The start of a row's bucket in Druid's expression language. Not for `all`."""
        if self.name == "none":
            return to_text(_TIME)
        origin: Node = Literal(None, None) if self.origin is None else Literal(self.origin, LONG)
        return to_text(
            Call("timestamp_floor", (_TIME, Literal(self.period, STRING), origin, Literal(self.time_zone, STRING)))
        )

    def next(self, start: int) -> int:
        """The start of the bucket behind the one that starts at `start`."""
        moved = times.add(np.array([start]), times.period(self.period), np.array([1]), zone(self.time_zone))
        return int(moved[0])

    def walk(self, first: int, last: int) -> Iterator[list[int]]:
        """The starts of buckets from `first` to `last`, both of them starts, some at a time."""
        at = 0
        while True:
            counts = np.arange(at, at + _WALKED)
            starts = times.add(np.full(_WALKED, first), times.period(self.period), counts, zone(self.time_zone))
            yield starts[starts <= last].tolist()
            if starts[-1] >= last:
                return
            at += _WALKED

    @staticmethod
    def of(value: Any) -> Buckets:
        """Raises DruidException for what is no granularity."""
        if value is None:
            return Buckets("all")
        if isinstance(value, str):
            upper = value.upper()
            if upper in ("ALL", "NONE"):
                return Buckets(upper.lower())
            if upper not in STANDARD_PERIODS:
                raise refused(f"Unknown granularity [{value}]: known are all, none, {', '.join(STANDARD_PERIODS)}")
            return Buckets("period", STANDARD_PERIODS[upper])
        if not isinstance(value, dict):
            raise refused(f"Unknown granularity [{value}]")
        kind = value.get("type")
        if kind in ("all", "none"):
            return Buckets(str(kind))
        if kind == "period":
            return _checked(str(value.get("period")), str(value.get("timeZone") or "UTC"), _origin(value))
        if kind == "duration":
            return _duration(value)
        raise refused(f"Could not resolve granularity [{kind}]: known types = [all, duration, none, period]")


def _duration(value: dict[str, Any]) -> Buckets:
    duration = value.get("duration")
    if isinstance(duration, str) and duration.isdigit():
        duration = int(duration)
    if not isinstance(duration, int) or duration <= 0:
        raise refused(f"Granularity's [duration] must be a number of ms above 0, but is [{duration}]")
    if duration % 1000:
        raise unsupported(f"Granularities of a duration of parts of seconds ([{duration}] ms) are not supported")
    return Buckets("period", f"PT{duration // 1000}S", "UTC", _origin(value))


def _origin(value: dict[str, Any]) -> int | None:
    given = value.get("origin")
    try:
        return given if given is None or isinstance(given, int) else parse_instant(str(given))
    except ValueError as error:
        raise refused(str(error)) from None


def _checked(period: str, time_zone: str, origin: int | None) -> Buckets:
    made = Buckets("period", period, time_zone, origin)
    try:
        if made.next(0) <= 0:
            raise ValueError("zero period is not acceptable in PeriodGranularity!")
    except (ValueError, KeyError) as error:
        raise refused(f"Granularity of period [{period}], zone [{time_zone}]: {error}") from None
    return made
