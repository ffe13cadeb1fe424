"""Instants, intervals and granularities: ms since 1970-01-01T00:00:00Z, ISO-8601 texts, buckets of time.

Instants are ints (the whole long range, so beyond `datetime`). Calendar arithmetic is proleptic Gregorian in UTC, as
Joda's ISO chronology. Segment granularities are the standard ones in UTC; query granularities with zones live in the
expression language.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

MIN_INSTANT = -(2**63) // 2
MAX_INSTANT = (2**63 - 1) // 2
DAY_MS = 86_400_000


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a proleptic Gregorian date; any year."""
    year -= month <= 2
    era = year // 400
    yoe = year - era * 400
    doy = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
    return era * 146097 + doe - 719468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """(year, month, day) of a day number; the inverse of `days_from_civil`."""
    days += 719468
    era = days // 146097
    doe = days - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    day = doy - (153 * mp + 2) // 5 + 1
    month = mp + (3 if mp < 10 else -9)
    return yoe + era * 400 + (month <= 2), month, day


def format_instant(ms: int) -> str:
    """`2026-03-01T00:00:00.000Z`; years beyond four digits print signed and unpadded, as Joda does."""
    days, rest = divmod(ms, DAY_MS)
    year, month, day = civil_from_days(days)
    seconds, millis = divmod(rest, 1000)
    text = f"{year:04d}" if year >= 0 else f"-{-year:04d}"
    return (
        f"{text}-{month:02d}-{day:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{millis:03d}Z"
    )


_INSTANT = re.compile(
    r"([+-]?\d{1,9})(?:-(\d{1,2})(?:-(\d{1,2}))?)?"
    r"(?:[T ](?:(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:[.,](\d{1,9}))?)?)?)?)?\s*(Z|z|[+-]\d{2}(?::?\d{2})?)?"
)


def parse_instant(text: str) -> int:
    """ms of an ISO-8601 text (UTC when it names no offset). Raises ValueError naming the text."""
    m = _INSTANT.fullmatch(text.strip())
    if m is None:
        raise ValueError(f"Cannot parse timestamp [{text}]: expected an ISO-8601 text such as 2000-01-01T00:00:00Z")
    year, month, day = int(m[1]), int(m[2] or 1), int(m[3] or 1)
    hour, minute, second = int(m[4] or 0), int(m[5] or 0), int(m[6] or 0)
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        raise ValueError(f"Cannot parse timestamp [{text}]: a field is out of range")
    number = days_from_civil(year, month, day)
    if civil_from_days(number) != (year, month, day):
        raise ValueError(f"Cannot parse timestamp [{text}]: there is no such day")
    millis = int((m[7] or "0")[:3].ljust(3, "0"))
    offset = 0
    if m[8] and m[8] not in "Zz":
        digits = m[8][1:].replace(":", "").ljust(4, "0")
        offset = (int(digits[:2]) * 60 + int(digits[2:])) * 60_000 * (-1 if m[8][0] == "-" else 1)
    return number * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + millis - offset


@dataclass(frozen=True, order=True, slots=True)
class Interval:
    """[start, end) in ms. `str` gives `start/end`; `parse` reads it (the end may be a period, `2000/P1D`)."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{format_instant(self.start)}/{format_instant(self.end)}"

    @staticmethod
    @lru_cache(maxsize=16_384)
    def parse(text: str) -> Interval:
        first, slash, last = text.partition("/")
        if not slash:
            raise ValueError(f"Cannot parse interval [{text}]: expected start/end")
        if first.strip().startswith("P"):
            end = parse_instant(last)
            return Interval(add_period(end, Period.parse(first.strip()), -1), end)
        start = parse_instant(first)
        if last.strip().startswith("P"):
            return Interval(start, add_period(start, Period.parse(last.strip()), 1))
        end = parse_instant(last)
        if end < start:
            raise ValueError(f"Cannot parse interval [{text}]: the end is before the start")
        return Interval(start, end)

    def contains(self, other: Interval) -> bool:
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: Interval) -> bool:
        return self.start < other.end and other.start < self.end

    def intersect(self, other: Interval) -> Interval | None:
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Interval(start, end) if start < end else None

    @property
    def is_eternity(self) -> bool:
        return self == ETERNITY


ETERNITY = Interval(MIN_INSTANT, MAX_INSTANT)


def condense(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """Sorted, merged where they touch or overlap."""
    out: list[Interval] = []
    for interval in sorted(intervals):
        if out and interval.start <= out[-1].end:
            out[-1] = Interval(out[-1].start, max(out[-1].end, interval.end))
        else:
            out.append(interval)
    return tuple(out)


def subtract(base: Iterable[Interval], holes: Iterable[Interval]) -> tuple[Interval, ...]:
    """What of `base` lies in no hole; condensed."""
    left = list(condense(base))
    for hole in condense(holes):
        kept: list[Interval] = []
        for interval in left:
            if not interval.overlaps(hole):
                kept.append(interval)
                continue
            if interval.start < hole.start:
                kept.append(Interval(interval.start, hole.start))
            if hole.end < interval.end:
                kept.append(Interval(hole.end, interval.end))
        left = kept
    return tuple(left)


@dataclass(frozen=True, slots=True)
class Period:
    """An ISO-8601 period as months and milliseconds (weeks and days are fixed in UTC)."""

    months: int
    millis: int
    text: str

    @staticmethod
    def parse(text: str) -> Period:
        """Raises ValueError for a text that is no period or is empty."""
        m = re.fullmatch(
            r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.(\d{1,3}))?S)?)?",
            text,
        )
        if m is None or not any(m.groups()):
            raise ValueError(f"Cannot parse period [{text}]: expected an ISO-8601 period such as P1D")
        y, mo, w, d, h, mi, s = (int(g or 0) for g in m.groups()[:7])
        millis = ((((w * 7 + d) * 24 + h) * 60 + mi) * 60 + s) * 1000 + int((m[8] or "0").ljust(3, "0"))
        return Period(y * 12 + mo, millis, text)


def add_period(ms: int, period: Period, times: int) -> int:
    """`ms` moved by `times` periods in UTC; the day of the month is clipped as Joda does."""
    months = period.months * times
    if months:
        days, rest = divmod(ms, DAY_MS)
        year, month, day = civil_from_days(days)
        total = year * 12 + month - 1 + months
        year, month = total // 12, total % 12 + 1
        last = days_from_civil(year + month // 12, month % 12 + 1, 1) - days_from_civil(year, month, 1)
        ms = days_from_civil(year, month, min(day, last)) * DAY_MS + rest
    return ms + period.millis * times


STANDARD_PERIODS = {
    "SECOND": "PT1S", "MINUTE": "PT1M", "FIVE_MINUTE": "PT5M", "TEN_MINUTE": "PT10M", "FIFTEEN_MINUTE": "PT15M",
    "THIRTY_MINUTE": "PT30M", "HOUR": "PT1H", "SIX_HOUR": "PT6H", "EIGHT_HOUR": "PT8H", "DAY": "P1D", "WEEK": "P1W",
    "MONTH": "P1M", "QUARTER": "P3M", "YEAR": "P1Y",
}  # fmt: skip
"""Druid's standard granularities: name to ISO period, fine to coarse."""

_WEEK_ORIGIN = -3 * DAY_MS  # Monday 1969-12-29


@dataclass(frozen=True, slots=True)
class Granularity:
    """A segment or query granularity in UTC: `ALL`, `NONE`, a standard name, or `period` with its own ISO text."""

    name: str
    period_text: str | None = None

    @staticmethod
    def of_period(text: str) -> Granularity:
        """The granularity of an ISO period: the standard name when it equals one. Raises ValueError."""
        period = Period.parse(text)
        for name, standard in STANDARD_PERIODS.items():
            other = Period.parse(standard)
            if (other.months, other.millis) == (period.months, period.millis):
                return Granularity(name)
        return Granularity("PERIOD", text)

    @staticmethod
    def from_json(value: Any) -> Granularity:
        if isinstance(value, str):
            upper = value.upper()
            if upper in ("ALL", "NONE") or upper in STANDARD_PERIODS:
                return Granularity(upper)
            raise ValueError(f"Unknown granularity [{value}]")
        kind = value.get("type")
        if kind in ("all", "none"):
            return Granularity(str(kind).upper())
        if kind == "period":
            return Granularity.of_period(value["period"])
        raise ValueError(f"Unknown granularity [{value}]")

    def to_json(self) -> Any:
        """`"DAY"`, `{"type":"all"}`, `{"type":"none"}` or the period object."""
        if self.name in ("ALL", "NONE"):
            return {"type": self.name.lower()}
        if self.name != "PERIOD":
            return self.name
        return {"type": "period", "period": self.period_text, "timeZone": "UTC", "origin": None}

    @property
    def is_all(self) -> bool:
        return self.name == "ALL"

    @property
    def period(self) -> Period:
        """The period of a standard or period granularity. Raises KeyError for ALL and NONE."""
        return Period.parse(self.period_text if self.name == "PERIOD" else STANDARD_PERIODS[self.name])  # type: ignore[arg-type]

    def floor(self, ms: int) -> int:
        """Start of the bucket that holds `ms`."""
        if self.name == "ALL":
            return MIN_INSTANT
        if self.name == "NONE":
            return ms
        period = self.period
        if period.months:
            days = ms // DAY_MS
            year, month, _ = civil_from_days(days)
            total = (year - 1970) * 12 + month - 1
            total -= total % period.months
            return days_from_civil(1970 + total // 12, total % 12 + 1, 1) * DAY_MS
        origin = _WEEK_ORIGIN if period.millis % (7 * DAY_MS) == 0 else 0
        return ms - (ms - origin) % period.millis

    def bucket(self, ms: int) -> Interval:
        """The interval of the bucket that holds `ms`; eternity for ALL."""
        if self.name == "ALL":
            return ETERNITY
        start = self.floor(ms)
        return Interval(start, start + 1 if self.name == "NONE" else add_period(start, self.period, 1))

    def floor_array(self, ms: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
        """`floor` of every element (int64 in, int64 out), vectorised."""
        if self.name == "ALL":
            return np.full_like(ms, MIN_INSTANT)
        if self.name == "NONE":
            return ms
        period = self.period
        if not period.months:
            origin = _WEEK_ORIGIN if period.millis % (7 * DAY_MS) == 0 else 0
            return ms - (ms - origin) % period.millis
        months = ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
        months -= months % period.months
        return months.astype("datetime64[M]").astype("datetime64[ms]").astype(np.int64)

    def is_aligned(self, interval: Interval) -> bool:
        """Whether both ends of `interval` are bucket borders; eternity is aligned to every granularity."""
        if self.name == "ALL":
            return interval.is_eternity
        return all(
            end in (MIN_INSTANT, MAX_INSTANT) or self.floor(end) == end for end in (interval.start, interval.end)
        )

    def buckets(self, interval: Interval) -> Iterator[Interval]:
        """The buckets that overlap `interval`, in order."""
        at = interval.start
        while at < interval.end:
            bucket = self.bucket(at)
            yield bucket
            at = bucket.end
