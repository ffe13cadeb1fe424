"""Instants, intervals and granularities against Python's calendar and Druid's texts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msq.intervals import (
    ETERNITY,
    STANDARD_PERIODS,
    Granularity,
    Interval,
    condense,
    format_instant,
    parse_instant,
    subtract,
)

instants = st.integers(min_value=-62_135_596_800_000, max_value=253_402_300_799_999)


@given(instants)
def test_text_of_an_instant_agrees_with_the_calendar(ms: int) -> None:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert format_instant(ms) == when.strftime(f"{when.year:04d}-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


@given(st.integers(min_value=ETERNITY.start, max_value=ETERNITY.end))
def test_text_and_instant_are_inverse_over_all_of_time(ms: int) -> None:
    assert parse_instant(format_instant(ms)) == ms


def test_eternity_prints_as_druid_prints_it() -> None:
    assert str(ETERNITY) == "-146136543-09-08T08:23:32.096Z/146140482-04-24T15:36:27.903Z"
    assert Interval.parse(str(ETERNITY)) == ETERNITY


@given(st.sampled_from(sorted(STANDARD_PERIODS)), instants)
def test_a_bucket_holds_its_instant_and_floors_to_its_start(name: str, ms: int) -> None:
    granularity = Granularity(name)
    bucket = granularity.bucket(ms)
    assert bucket.start <= ms < bucket.end
    assert granularity.floor(bucket.start) == bucket.start == granularity.floor(bucket.end - 1)
    assert granularity.floor(bucket.end) == bucket.end and granularity.is_aligned(bucket)
    assert granularity.floor_array(np.array([ms], dtype=np.int64))[0] == bucket.start


@pytest.mark.parametrize(
    ("period", "printed"),
    [
        ("P1D", "DAY"),
        ("P7D", "WEEK"),
        ("PT60M", "HOUR"),
        ("PT12H", {"type": "period", "period": "PT12H", "timeZone": "UTC", "origin": None}),
    ],
)
def test_periods_print_as_the_standard_name_where_there_is_one(period: str, printed: object) -> None:
    assert Granularity.of_period(period).to_json() == printed


@pytest.mark.parametrize("text", ["", "x", "2000-02-30", "2000-13-01", "2000-01-01T24:00", "2000-01-01T00:00:00+1"])
def test_what_is_no_instant_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"Cannot parse timestamp"):
        parse_instant(text)


span = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda t: Interval(t[0], t[0] + t[1]))
spans = st.lists(span, max_size=6)


@given(spans, spans)
def test_subtract_and_condense_agree_with_sets_of_points(base: list[Interval], holes: list[Interval]) -> None:
    points = lambda intervals: {p for i in intervals for p in range(i.start, i.end)}  # noqa: E731
    assert points(subtract(base, holes)) == points(base) - points(holes)
    assert points(condense(base)) == points(base)
    merged = condense(base)
    assert all(a.end < b.start for a, b in itertools.pairwise(merged))
