"""Time kernels on whole numpy arrays: floor, ceiling, shift, fields, months between; any zone, any instant."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from msq.expr.kernels.base import Kernel, same, whole
from msq.expr.zones import Longs, Zone, zone

DAY = 86_400_000
_FIELD_MS = {"hours": 3_600_000, "minutes": 60_000, "seconds": 1000, "millis": 1}


@dataclass(frozen=True)
class FieldPeriod:
    """An ISO period by its fields, as Joda keeps it; `millis` come from a fraction of seconds."""

    years: int
    months: int
    weeks: int
    days: int
    hours: int
    minutes: int
    seconds: int
    millis: int

    @property
    def fields(self) -> list[tuple[str, int]]:
        """Name and number of the fields that are not 0, coarse to fine."""
        return [(name, getattr(self, name)) for name in self.__dataclass_fields__ if getattr(self, name)]

    @property
    def fixed_ms(self) -> int | None:
        """Its length in ms in UTC; None when it holds months or years."""
        if self.years or self.months:
            return None
        days = self.weeks * 7 + self.days
        clock: int = sum(getattr(self, name) * ms for name, ms in _FIELD_MS.items())
        return days * DAY + clock


@lru_cache(maxsize=512)
def period(text: str) -> FieldPeriod:
    """Raises ValueError for a text that is no ISO period."""
    found = re.fullmatch(
        r"P(?:(-?\d+)Y)?(?:(-?\d+)M)?(?:(-?\d+)W)?(?:(-?\d+)D)?"
        r"(?:T(?:(-?\d+)H)?(?:(-?\d+)M)?(?:(-?\d+)(?:\.(\d{1,3})\d*)?S)?)?",
        text.upper(),
    )
    if found is None or not any(found.groups()):
        raise ValueError(f'Invalid format: "{text}"')
    years, months, weeks, days, hours, minutes, seconds = (int(g or 0) for g in found.groups()[:7])
    millis = int((found[8] or "0").ljust(3, "0"))
    return FieldPeriod(years, months, weeks, days, hours, minutes, seconds, millis)


# ------------------------------------------------------------------------------------------------------- calendar


def month_numbers(local: Longs) -> Longs:
    """Months since 1970-01 of local times in ms."""
    months: Longs = (local // DAY).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return months


def month_starts(months: Longs) -> Longs:
    """Day numbers of the first days of months since 1970-01."""
    days: Longs = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    return days


def add_months(local: Longs, count: Longs) -> Longs:
    """Local times moved by months; the day is cut to the month's last."""
    days = local // DAY
    months = month_numbers(local)
    day = days - month_starts(months)
    target = months + count
    start = month_starts(target)
    last = month_starts(target + 1) - start - 1
    moved: Longs = (start + np.minimum(day, last)) * DAY + (local - days * DAY)
    return moved


def add(instants: Longs, by: FieldPeriod, count: Longs, tz: Zone) -> Longs:
    """Instants moved by `count` periods: calendar fields in local time, clock fields in elapsed time."""
    moved = instants
    months = by.years * 12 + by.months
    if months:
        moved = tz.to_utc(add_months(tz.to_local(moved), months * count))
    days = by.weeks * 7 + by.days
    if days:
        moved = tz.to_utc(tz.to_local(moved) + days * DAY * count)
    rest = sum(getattr(by, name) * ms for name, ms in _FIELD_MS.items())
    return moved + rest * count if rest else moved


def floor(instants: Longs, by: FieldPeriod, origin: int | None, tz: Zone) -> Longs:
    """Starts of the buckets that hold the instants; see Druid's PeriodGranularity."""
    fields = by.fields
    if not fields:
        raise ValueError("zero period is not acceptable in PeriodGranularity!")
    start = int(tz.to_utc(np.zeros(1, np.int64))[0]) if origin is None else origin
    if len(fields) > 1:
        return _compound(instants, by, start, tz)
    name, count = fields[0]
    if name in _FIELD_MS:
        unit = _FIELD_MS[name] * count
        if count == 1 and origin is None:
            return instants - tz.to_local(instants) % unit
        return instants - (instants - start) % unit
    local = tz.to_local(instants)
    base = int(tz.to_local(np.array([start], np.int64))[0])
    if name in ("years", "months"):
        unit = count * (12 if name == "years" else 1)
        return tz.to_utc(_floor_months(local, base, unit))
    unit = count * (7 if name == "weeks" else 1) * DAY
    if name == "weeks" and count == 1 and origin is None:
        base = -3 * DAY
    elif origin is None:
        base = 0
    return tz.to_utc(local - (local - base) % unit)


def _floor_months(local: Longs, base: int, unit: int) -> Longs:
    one = np.array([base], np.int64)
    months = month_numbers(local) - month_numbers(one)[0]
    steps = months - months % unit
    bases = np.full(local.shape, base, np.int64)
    made = add_months(bases, steps)
    late = made > local
    return np.where(late, add_months(bases, steps - unit), made) if late.any() else made


def _compound(instants: Longs, by: FieldPeriod, start: int, tz: Zone) -> Longs:
    length = by.fixed_ms
    if length is not None and (tz.fixed is not None or not (by.weeks or by.days)):
        return instants - (instants - start) % length
    # Period by period from the origin: the number of steps is estimated by mean length and then put right.
    mean = (by.years * 12 + by.months) * 2_629_746_000
    mean += (by.weeks * 7 + by.days) * DAY + sum(getattr(by, n) * ms for n, ms in _FIELD_MS.items())
    origin = np.full(instants.shape, start, np.int64)
    steps = (instants - start) // mean
    for _ in range(64):
        made = add(origin, by, steps, tz)
        late, early = made > instants, add(origin, by, steps + 1, tz) <= instants
        if not (late.any() or early.any()):
            return made
        steps = steps - late + early
    return add(origin, by, steps, tz)


def ceiling(instants: Longs, by: FieldPeriod, origin: int | None, tz: Zone) -> Longs:
    made = floor(instants, by, origin, tz)
    return np.where(made == instants, made, add(made, by, np.ones(instants.shape, np.int64), tz))


def months_between(later: Longs, earlier: Longs, tz: Zone) -> Longs:
    """Complete months from `earlier` to `later`, negative when it is the other way; month ends count as complete."""
    one, two = tz.to_local(later), tz.to_local(earlier)
    months = month_numbers(one) - month_numbers(two)
    moved = add_months(two, months)
    return months - ((months > 0) & (moved > one)) + ((months < 0) & (moved < one))


def field_values(local: Longs, unit: str) -> Longs:
    """A calendar field of local times; units of EXTRACT. EPOCH takes instants."""
    days = local // DAY
    in_day = local - days * DAY
    if unit == "EPOCH":
        return np.where(local >= 0, local // 1000, -(-local // 1000))
    if unit in ("MILLISECOND", "SECOND", "MINUTE", "HOUR"):
        size, top = {"MILLISECOND": (1, 1000), "SECOND": (1000, 60), "MINUTE": (60_000, 60), "HOUR": (3_600_000, 24)}[
            unit
        ]
        return in_day // size % top
    if unit in ("DOW", "ISODOW"):
        return (days + 3) % 7 + 1
    months = month_numbers(local)
    year = 1970 + months // 12
    if unit == "DAY":
        return days - month_starts(months) + 1
    if unit == "DOY":
        return days - month_starts(months - months % 12) + 1
    if unit == "WEEK":
        return week_fields(days)[1]
    return {
        "MONTH": months % 12 + 1, "QUARTER": months % 12 // 3 + 1, "YEAR": year, "ISOYEAR": year, "DECADE": year // 10,
        "CENTURY": -(-year // 100), "MILLENNIUM": -(-year // 1000),
    }[unit]  # fmt: skip


UNITS = (
    "EPOCH", "MILLISECOND", "SECOND", "MINUTE", "HOUR", "DAY", "DOW", "ISODOW", "DOY", "WEEK", "MONTH", "QUARTER",
    "YEAR",     "ISOYEAR", "DECADE", "CENTURY", "MILLENNIUM",
)  # fmt: skip


def week_fields(days: Longs) -> tuple[Longs, Longs]:
    """(ISO week year, ISO week) of day numbers."""
    thursday = days - (days + 3) % 7 + 3
    months = thursday.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return 1970 + months // 12, (thursday - month_starts(months - months % 12)) // 7 + 1


# -------------------------------------------------------------------------------------------------------- kernels


def _grouped(instants: Any, constants: list[Any], of: Callable[..., Any]) -> Any:
    """`of(int64 values, *constants)` for each distinct combination of the constants in a batch; NULL instants stay."""
    array = whole(instants)
    values = np.asarray(pc.fill_null(array, 0)).astype(np.int64, copy=False)
    nulls = np.asarray(pc.is_null(array))
    columns = [whole(c) for c in constants]
    keys = list(zip(*(c.to_pylist() for c in columns))) if not all(same(c) for c in columns) else None
    if keys is None:
        made, missing = of(values, *(c[0].as_py() if len(c) else None for c in columns))
        return pa.array(made, mask=nulls | missing)
    out = np.zeros(len(values), np.int64)
    for key in dict.fromkeys(keys):
        at = np.array([k == key for k in keys])
        made, missing = of(values[at], *key)
        out[at] = made
        nulls[at] |= missing
    return pa.array(out, mask=nulls)


def _period_of_row(function: str, text: str) -> FieldPeriod:
    """Raises ValueError, which names the function, for a text that is no period."""
    try:
        return period(text)
    except ValueError as error:
        raise ValueError(f"Function[{function}] got an invalid period: {error}") from error


def _bucket(function: str, of: Callable[..., Longs]) -> Callable[..., Any]:
    def run(instants: Any, text: Any, origin: Any, tz: Any) -> Any:
        def one(values: Longs, length: str | None, start: int | None, name: str | None) -> tuple[Longs, Any]:
            if length is None:
                return values, True
            return of(values, _period_of_row(function, length), start, zone(name or "UTC")), False

        return _grouped(instants, [text, origin, tz], one)

    return run


def _shift(instants: Any, text: Any, step: Any, tz: Any) -> Any:
    def one(values: Longs, length: str | None, count: int | None, name: str | None) -> tuple[Longs, Any]:
        if length is None or not count:
            return values, False
        length_of_row = _period_of_row("timestamp_shift", length)
        return add(values, length_of_row, np.full(values.shape, count, np.int64), zone(name or "UTC")), False

    return _grouped(instants, [text, step, tz], one)


def _extract(instants: Any, unit: Any, tz: Any) -> Any:
    def one(values: Longs, field: str, name: str) -> tuple[Longs, Any]:
        return field_values(values if field == "EPOCH" else zone(name).to_local(values), field), False

    return _grouped(instants, [unit, tz], one)


def _local(instants: Any, tz: Any) -> Any:
    return _grouped(instants, [tz], lambda values, name: (zone(name).to_local(values), False))


def _months(later: Any, earlier: Any, tz: Any) -> Any:
    one, two = whole(later), whole(earlier)
    values = [np.asarray(pc.fill_null(a, 0)).astype(np.int64, copy=False) for a in (one, two)]
    names = whole(tz)
    made = months_between(values[0], values[1], zone(names[0].as_py() if len(names) else "UTC"))
    return pa.array(made, mask=np.asarray(pc.is_null(one)) | np.asarray(pc.is_null(two)))


KERNELS = (
    Kernel("py_time_floor", ("BIGINT", "VARCHAR", "BIGINT", "VARCHAR"), "BIGINT", _bucket("timestamp_floor", floor)),
    Kernel("py_time_ceil", ("BIGINT", "VARCHAR", "BIGINT", "VARCHAR"), "BIGINT", _bucket("timestamp_ceil", ceiling)),
    Kernel("py_time_shift", ("BIGINT", "VARCHAR", "BIGINT", "VARCHAR"), "BIGINT", _shift),
    Kernel("py_time_extract", ("BIGINT", "VARCHAR", "VARCHAR"), "BIGINT", _extract),
    Kernel("py_local", ("BIGINT", "VARCHAR"), "BIGINT", _local),
    Kernel("py_months_between", ("BIGINT", "BIGINT", "VARCHAR"), "BIGINT", _months),
)
