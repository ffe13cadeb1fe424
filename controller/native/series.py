"""timeseries and topN: group-bys with a bucket of time in front, printed bucket by bucket."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from controller.native.answers import answers, subquery
from controller.native.errors import TYPE_CLASS, refused, unsupported
from controller.native.filters import filter_of
from controller.native.granularity import Buckets
from controller.native.grouping import Groups
from controller.native.reading import Json, flag, number, obj, text
from controller.native.session import Session
from controller.native.sources import Base, base_of
from msq.aggregate.counts import CountAggregator, LongMinAggregator
from msq.datatypes import LONG, RowSignature
from msq.intervals import Interval, format_instant
from msq.native.datasource import TableDataSource, UnionDataSource
from msq.native.filters import FalseFilter
from msq.native.query import DefaultDimensionSpec, GroupByQuery, IntervalSpec

_ROWS = "__rows"
MAX_BUCKETS = 1_000_000
"""Buckets of a timeseries that shows empty ones, which are all held in memory."""


def first_time(session: Session, base: Base) -> str | None:
    """The timestamp of granularity `all`: the later of the interval's start and the first row's time of the earliest
    segment."""
    intervals = base.intervals.intervals
    if not intervals:
        return None
    start = min(i.start for i in intervals)
    if isinstance(base.source, (TableDataSource, UnionDataSource)):
        segments = session.segments(base.source, intervals)
        if segments:
            chunk = Interval.parse(segments[0].segment.interval)
            query = GroupByQuery(base.source, IntervalSpec((chunk,)), aggregations=(LongMinAggregator("t", "__time"),))
            found = next(session.ask(query, RowSignature([("t", LONG)])))[0]
            start = start if found is None else max(start, found)
    return format_instant(start)


# -- timeseries --------------------------------------------------------------------------------------------------------


def _series(session: Session, body: Json) -> tuple[Groups, Buckets]:
    buckets = Buckets.of(body.get("granularity"))
    return Groups.of(base_of(session, body, subquery), body, buckets), buckets


def timeseries_query(session: Session, body: Json) -> GroupByQuery:
    return _series(session, body)[0].query()


@answers("timeseries", timeseries_query)
def timeseries(session: Session, body: Json) -> Iterator[Any]:
    groups, buckets = _series(session, body)
    skip = session.option("skipEmptyBuckets")
    limit = number(body.get("limit"), "limit")
    if buckets.is_all:
        rows = _whole(session, groups, skip)
    else:
        rows = _by_bucket(session, groups, buckets, skip, flag(body.get("descending")))
    total = _grand_total(session, body) if session.option("grandTotal") else iter(())
    field = session.context.get("timestampResultField")
    return _results(islice(rows, limit) if limit else rows, total, str(field) if field else None)


def _results(rows: Iterator[Any], total: Iterator[Any], field: str | None) -> Iterator[Any]:
    for time, event in rows:
        stamp = format_instant(time) if isinstance(time, int) else time
        yield {"timestamp": stamp, "result": {field: stamp, **event} if field else event}
    yield from total


def _whole(session: Session, groups: Groups, skip: bool) -> Iterator[tuple[Any, Json]]:
    """The one row of granularity `all`."""
    columns = groups.signature()
    query = groups.query()
    counted = replace(query, aggregations=(*(query.aggregations or ()), CountAggregator(_ROWS)))
    row = next(session.ask(counted, RowSignature([*columns, (_ROWS, LONG)])))
    if skip and not row[-1]:
        return iter(())
    return iter([(first_time(session, groups.base), dict(zip(groups.names, row)))])


def _grand_total(session: Session, body: Json) -> Iterator[Any]:
    groups, _ = _series(session, {**body, "granularity": "all"})
    row = next(session.ask(groups.query(), groups.signature()))
    return iter([{"timestamp": None, "result": dict(zip(groups.names, row))}])


def _by_bucket(
    session: Session, groups: Groups, buckets: Buckets, skip: bool, descending: bool
) -> Iterator[tuple[Any, Json]]:
    if descending:
        groups.sort_by_bucket(True)
    names = groups.names
    rows = session.ask(groups.query(), groups.signature())
    found = ((row[0], dict(zip(names, row[1:]))) for row in rows)
    if skip or not buckets.can_be_empty:
        return found
    return _filled(session, groups, buckets, dict(found), descending)


def _filled(
    session: Session, groups: Groups, buckets: Buckets, found: dict[int, Json], descending: bool
) -> Iterator[tuple[int, Json]]:
    """Buckets without rows between the first and the last row of a segment are there, too, as in Druid."""
    seen: set[int] = set(found)
    with_rows = sorted(_unfiltered(session, groups) if groups.base.filter is not None else found)
    for chunk in _chunks(session, groups.base):
        first, end = bisect_left(with_rows, chunk.start), bisect_left(with_rows, chunk.end)
        if first and buckets.next(with_rows[first - 1]) > chunk.start:
            first -= 1
        if first < end:
            for starts in buckets.walk(with_rows[first], with_rows[end - 1]):
                seen.update(starts)
                if len(seen) > MAX_BUCKETS:
                    raise refused(
                        f"The answer has more than [{MAX_BUCKETS}] buckets: set [skipEmptyBuckets] in the context"
                    )
    empty = _empty(session, groups) if len(seen) > len(found) else {}
    return ((time, found.get(time, empty)) for time in sorted(seen, reverse=descending))


def _chunks(session: Session, base: Base) -> list[Interval]:
    """Intervals of segments; of another source all of time."""
    found = session.segments(base.source, base.intervals.intervals)
    tables = isinstance(base.source, (TableDataSource, UnionDataSource))
    return sorted({Interval.parse(v.segment.interval) for v in found}) if tables else list(base.intervals.intervals)


def _unfiltered(session: Session, groups: Groups) -> list[int]:
    """The buckets that hold any row."""
    base = replace(groups.base, filter=None)
    all_rows = Groups(base, groups.bucket, groups.dimensions[:1])
    return [row[0] for row in session.ask(all_rows.query(), all_rows.signature())]


def _empty(session: Session, groups: Groups) -> Json:
    """Values over no rows."""
    none = Groups(replace(groups.base, filter=FalseFilter()), None, [], groups.aggregators, groups.posts)
    return dict(zip(none.names, next(session.ask(none.query(), none.signature()))))


# -- topN --------------------------------------------------------------------------------------------------------------


def _top(session: Session, body: Json) -> tuple[Groups, int]:
    threshold = number(body.get("threshold"), "threshold")
    if not threshold:
        raise refused("Threshold cannot be equal to 0." if threshold == 0 else "[threshold] must be given")
    if body.get("dimension") is None:
        raise refused("must specify a dimension")
    groups = Groups.of(base_of(session, body, subquery), body, Buckets.of(body.get("granularity")), [body["dimension"]])
    groups.sort_by_bucket()
    _sort_by_metric(groups, body.get("metric"), True)
    groups.sort_rest()
    if groups.bucket is None:
        groups.limit = threshold
    return groups, threshold


def _dimension(groups: Groups) -> DefaultDimensionSpec:
    return groups.dimensions[-1]


def _sort_by_metric(groups: Groups, value: Any, best_first: bool) -> None:
    if value is None:
        raise refused("must specify a metric")
    spec = {"type": "numeric", "metric": value} if isinstance(value, str) else obj(value, "metric")
    kind = spec.get("type") or "numeric"
    if kind == "inverted":
        _sort_by_metric(groups, spec.get("metric"), not best_first)
    elif kind == "numeric":
        metric = text(spec.get("metric"), "metric")
        if metric not in groups.names:
            raise refused(f"Unknown metric [{metric}]: known are {', '.join(groups.names)}")
        groups.sort(metric, "descending" if best_first else "ascending", None)
    elif kind in ("dimension", "lexicographic", "alphaNumeric"):
        order = spec.get("ordering") if kind == "dimension" else kind
        dimension = _dimension(groups).output_name
        groups.sort(dimension, "ascending" if best_first else "descending", order)
        if spec.get("previousStop") is not None:
            end = "lower" if best_first else "upper"
            name = order.get("type") if isinstance(order, dict) else order
            if name not in (None, "lexicographic", "numeric"):
                raise unsupported(f"[previousStop] of ordering [{name}] is not supported")
            groups.having = filter_of({
                "type": "bound", "dimension": dimension, end: spec["previousStop"], f"{end}Strict": True,
                "ordering": name or "lexicographic",
            })  # fmt: skip
    else:
        known = "alphaNumeric, dimension, inverted, lexicographic, numeric"
        raise refused(
            f"Could not resolve type id '{kind}' as a subtype of [TopNMetricSpec]: known type ids = [{known}]",
            TYPE_CLASS,
        )


def top_n_query(session: Session, body: Json) -> GroupByQuery:
    groups, _ = _top(session, body)
    if groups.bucket is not None:
        raise unsupported("A topN inside a data source needs granularity [all]")
    return groups.query()


@answers("topN", top_n_query)
def top_n(session: Session, body: Json) -> Iterator[Any]:
    groups, threshold = _top(session, body)
    names = groups.names
    rows = session.ask(groups.query(), groups.signature())
    if groups.bucket is not None:
        return _tops(rows, names, threshold)
    found = [dict(zip(names, row)) for row in rows]
    if not found and not session.segments(groups.base.source, groups.base.intervals.intervals):
        return iter(())
    return iter([{"timestamp": first_time(session, groups.base), "result": found}])


def _tops(rows: Iterator[list[Any]], names: list[str], threshold: int) -> Iterator[Any]:
    for time, members in groupby(rows, key=lambda row: row[0]):
        yield {
            "timestamp": format_instant(time),
            "result": [dict(zip(names, row[1:])) for row in islice(members, threshold)],
        }
