"""timeBoundary and dataSourceMetadata: the first and the last time of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from controller.native.answers import answers, subquery
from controller.native.errors import refused
from controller.native.reading import Json
from controller.native.session import Session
from controller.native.sources import base_of
from msq.aggregate.counts import LongMaxAggregator, LongMinAggregator
from msq.datatypes import LONG, RowSignature
from msq.intervals import format_instant
from msq.native.query import GroupByQuery


def _ends(session: Session, body: Json) -> tuple[int, int] | None:
    """(first, last) time of the rows; None for none."""
    base = base_of(session, body, subquery, need_intervals=False)
    query = GroupByQuery(
        base.source, base.intervals, tuple(base.virtual) or None, base.filter,
        aggregations=(LongMinAggregator("min", "__time"), LongMaxAggregator("max", "__time")),
    )  # fmt: skip
    first, last = next(session.ask(query, RowSignature([("min", LONG), ("max", LONG)])))
    return None if first is None else (first, last)


@answers("timeBoundary")
def time_boundary(session: Session, body: Json) -> Iterator[Any]:
    bound = body.get("bound") or ""
    if bound not in ("", "minTime", "maxTime"):
        raise refused(f"Unknown bound [{bound}]: known are minTime, maxTime")
    ends = _ends(session, body)
    if ends is None:
        return iter(())
    shown = dict(zip(("minTime", "maxTime"), map(format_instant, ends)))
    result = {k: v for k, v in shown.items() if bound in ("", k)}
    return iter([{"timestamp": next(iter(result.values())), "result": result}])


@answers("dataSourceMetadata")
def data_source_metadata(session: Session, body: Json) -> Iterator[Any]:
    ends = _ends(session, body)
    if ends is None:
        return iter(())
    last = format_instant(ends[1])
    return iter([{"timestamp": last, "result": {"maxIngestedEventTime": last}}])
