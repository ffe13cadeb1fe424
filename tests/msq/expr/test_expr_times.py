"""Zones, periods, Joda patterns and ISO texts."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msq.expr.binding import evaluate
from msq.expr.kernels.joda import format_time, parse_iso, parse_time
from msq.expr.kernels.times import add, ceiling, floor, months_between, period
from msq.expr.parser import parse
from msq.expr.zones import zone
from msq.faults import DruidException
from msq.intervals import format_instant, parse_instant

NAMES = ("America/Los_Angeles", "Asia/Kolkata", "Europe/London", "Australia/Lord_Howe", "Africa/Casablanca")


def one(ms: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([ms], np.int64)


@given(st.sampled_from(NAMES), st.integers(-2_500_000_000, 8_000_000_000))
def test_offsets_are_those_of_the_zone_database(name: str, second: int) -> None:
    wanted = datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(name)).utcoffset()
    assert wanted is not None
    assert zone(name).offsets_at(one(second * 1000))[0] == wanted.total_seconds() * 1000


@given(st.sampled_from(NAMES), st.integers(-2_500_000_000_000, 4_000_000_000_000))
def test_local_time_leads_back(name: str, ms: int) -> None:
    where = zone(name)
    local = where.to_local(one(ms))
    back = int(where.to_utc(local)[0])
    # in an overlap the earlier instant is meant
    assert back == ms or (back < ms and where.to_local(one(back))[0] == local[0])
    assert not where.in_gap(local)[0]


def test_gaps_and_overlaps() -> None:
    where = zone("America/Los_Angeles")
    gap = one(parse_instant("2024-03-10T02:30:00Z"))
    assert where.in_gap(gap)[0]
    assert format_instant(int(where.to_utc(gap)[0])) == "2024-03-10T10:30:00.000Z"
    assert not where.in_gap(one(parse_instant("2024-03-10T03:00:00Z")))[0]
    assert (
        format_instant(int(where.to_utc(one(parse_instant("2020-11-01T01:30:00Z")))[0])) == "2020-11-01T08:30:00.000Z"
    )


@pytest.mark.parametrize(
    ("name", "offset"),
    [("UTC", 0), ("+05:30", 19_800_000), ("-08:00", -28_800_000), ("MST", -25_200_000), ("No/Zone", 0), ("../etc", 0)],
)
def test_ids(name: str, offset: int) -> None:
    assert zone(name).fixed == offset
    assert zone(name).known == ("/" not in name)


@pytest.mark.parametrize(
    ("time", "text", "tz", "wanted"),
    [
        ("2024-03-10T12:34:56Z", "P1W", "UTC", "2024-03-04T00:00:00.000Z"),
        ("2024-03-10T12:34:56Z", "P2W", "UTC", "2024-02-29T00:00:00.000Z"),
        ("2024-03-10T12:34:56Z", "P5M", "UTC", "2024-03-01T00:00:00.000Z"),
        ("1969-12-31T17:01:00Z", "PT5M", "UTC", "1969-12-31T17:00:00.000Z"),
        ("2020-11-01T08:30:00Z", "PT1H", "America/Los_Angeles", "2020-11-01T08:00:00.000Z"),
        ("2020-11-01T09:30:00Z", "PT1H", "America/Los_Angeles", "2020-11-01T09:00:00.000Z"),
        ("2024-03-10T12:34:56Z", "PT1H", "Asia/Kolkata", "2024-03-10T12:30:00.000Z"),
        ("2024-03-10T12:34:56Z", "P1D", "America/Los_Angeles", "2024-03-10T08:00:00.000Z"),
        ("2024-03-10T12:34:56Z", "p1dt12h", "UTC", "2024-03-10T12:00:00.000Z"),
        ("2024-03-10T12:34:56Z", "P1M2D", "UTC", "2024-02-11T00:00:00.000Z"),
    ],
)
def test_floor(time: str, text: str, tz: str, wanted: str) -> None:
    made = floor(one(parse_instant(time)), period(text), None, zone(tz))
    if text == "P1M2D":
        # stepped from 1970-01-01; the bucket must hold the time and be one period long
        at = parse_instant(time)
        end = int(add(made, period(text), one(1), zone(tz))[0])
        assert int(made[0]) <= at < end
        return
    assert format_instant(int(made[0])) == wanted


@given(
    st.sampled_from(["PT1H", "P1D", "P1W", "P1M", "P3M", "P1Y", "PT15M", "P2D"]),
    st.sampled_from(("UTC", *NAMES)),
    st.integers(-1_000_000_000_000, 3_000_000_000_000),
)
def test_buckets_hold_their_times(text: str, tz: str, ms: int) -> None:
    length, where = period(text), zone(tz)
    start = int(floor(one(ms), length, None, where)[0])
    end = int(ceiling(one(ms), length, None, where)[0])
    assert start <= ms <= end
    assert (start == ms) == (end == ms)
    again = int(floor(one(start), length, None, where)[0])
    assert again == start


@pytest.mark.parametrize("text", ["", "P", "1D", "PT", "P1X", "D1"])
def test_texts_that_are_no_periods(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid format"):
        period(text)


def test_bad_constants_are_refused_before_anything_runs() -> None:
    with pytest.raises(DruidException, match=r"Invalid period\['x'\]"):
        evaluate(parse("timestamp_floor(0,'x',null,'UTC')"))
    with pytest.raises(DruidException, match="Illegal pattern component: q"):
        evaluate(parse("timestamp_format(0,'q','UTC')"))


@pytest.mark.parametrize(
    ("later", "earlier", "months"),
    [("2024-02-28", "2024-01-31", 0), ("2024-02-29", "2024-01-31", 1), ("2024-01-11", "2024-03-10", -1)],
)
def test_complete_months(later: str, earlier: str, months: int) -> None:
    assert months_between(one(parse_instant(later)), one(parse_instant(earlier)), zone("UTC"))[0] == months


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2024", "2024-01-01T00:00:00.000Z"),
        ("2024-W10-3", "2024-03-06T00:00:00.000Z"),
        ("2024-070", "2024-03-10T00:00:00.000Z"),
        ("2024-03-10 12:34:56,789", "2024-03-10T12:34:56.789Z"),
        ("2024-03-10T12:34:56+0530", "2024-03-10T07:04:56.000Z"),
        ("2024-03-10T02:30:00.123456Z", "2024-03-10T02:30:00.123Z"),
        ("2024-3-1", "2024-03-01T00:00:00.000Z"),
        ("2024-02-30", None),
        ("2024-03-10T24:00:00Z", None),
        (" 2024-03-10", None),
        ("not a date", None),
        ("2024-03-10T02:30:00 UTC", None),
        ("", None),
        ("2024-366", "2024-12-31T00:00:00.000Z"),
        ("2023-366", None),
        ("2024-W54", None),
    ],
)
def test_iso_texts(text: str, wanted: str | None) -> None:
    found = parse_iso(text, "UTC")
    assert (None if found is None else format_instant(found)) == wanted


@pytest.mark.parametrize(
    ("text", "pattern", "wanted"),
    [
        ("10/03/24", "dd/MM/yy", "2024-03-10T00:00:00.000Z"),
        ("10/03/85", "dd/MM/yy", "1985-03-10T00:00:00.000Z"),
        ("Mar 10, 2024 3:05 PM", "MMM d, yyyy h:mm a", "2024-03-10T15:05:00.000Z"),
        ("20240310123456", "yyyyMMddHHmmss", "2024-03-10T12:34:56.000Z"),
        ("2024-W10", "xxxx-'W'ww", "2024-03-04T00:00:00.000Z"),
        ("2024-03-10 +0200", "yyyy-MM-dd Z", "2024-03-09T22:00:00.000Z"),
        ("12:34", "HH:mm", "1970-01-01T12:34:00.000Z"),
        ("13:00 PM", "hh:mm a", None),
        ("2024-03-10x", "yyyy-MM-dd", None),
        ("2024-07-01 Europe/London", "yyyy-MM-dd ZZZ", "2024-06-30T23:00:00.000Z"),
    ],
)
def test_patterns_parse(text: str, pattern: str, wanted: str | None) -> None:
    found = parse_time(text, pattern, "UTC")
    assert (None if found is None else format_instant(found)) == wanted


@pytest.mark.parametrize(
    ("pattern", "tz", "wanted"),
    [
        ("yy-M-d h:m:s a", "UTC", "24-3-10 12:34:56 PM"),
        ("EEE EEEE MMM MMMM", "UTC", "Sun Sunday Mar March"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSZZ", "America/Los_Angeles", "2024-03-10T05:34:56.789-07:00"),
        ("'it''s' G C D e w x", "UTC", "it's AD 20 70 7 10 2024"),
        ("k K h H SSSSS", "UTC", "12 0 12 12 78900"),
        ("Z ZZZ", "Asia/Kolkata", "+0530 Asia/Kolkata"),
    ],
)
def test_patterns_format(pattern: str, tz: str, wanted: str) -> None:
    assert format_time(parse_instant("2024-03-10T12:34:56.789Z"), pattern, tz) == wanted
