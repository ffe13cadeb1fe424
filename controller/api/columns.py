"""What columns a table has, by time: the Broker's and Router's table rows. B-02..B-05, N-09."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from controller.api.datasources import served_of
from controller.api.routing import Call, delete, get, parse_interval
from controller.api.sql import check_canceller
from controller.api.users import Role
from controller.metadata.store import now_ms
from msq.faults import invalid_input
from msq.intervals import Interval
from msq.segment.identity import DataSegment

BASE = "/druid/v2/datasources"
_WEEK_MS = 7 * 86_400_000


def _within(call: Call) -> list[DataSegment]:
    """Served segments that overlap `interval`, the last week by default; newest first."""
    interval = call.interval("interval") or Interval(now_ms() - _WEEK_MS, now_ms())
    found = [s for s in served_of(call, call.params["datasource"]) if Interval.parse(s.interval).overlaps(interval)]
    return sorted(found, key=lambda s: (Interval.parse(s.interval), s.version), reverse=True)


def _names(segments: list[DataSegment], kind: str) -> list[str]:
    return list(dict.fromkeys(name for s in segments for name in getattr(s, kind)))


def _both(segments: list[DataSegment]) -> dict[str, Any]:
    return {"dimensions": _names(segments, "dimensions"), "metrics": _names(segments, "metrics")}


@get(BASE + "/{datasource}")
def datasource(call: Call) -> object:
    found = _within(call)
    if not call.flag("full"):
        return _both(found)
    spans: list[tuple[Interval, dict[str, Any]]] = []
    for interval in sorted({Interval.parse(s.interval) for s in found}):
        columns = _both([s for s in found if s.interval == str(interval)])
        if spans and spans[-1][1] == columns and spans[-1][0].end == interval.start:
            spans[-1] = (Interval(spans[-1][0].start, interval.end), columns)
        else:
            spans.append((interval, columns))
    return {str(interval): columns for interval, columns in spans}


@get(BASE + "/{datasource}/dimensions")
def dimensions(call: Call) -> object:
    return _names(_within(call), "dimensions")


@get(BASE + "/{datasource}/metrics")
def metrics(call: Call) -> object:
    return _names(_within(call), "metrics")


@get(BASE + "/{datasource}/candidates")
def candidates(call: Call) -> object:
    given = call.get("intervals")
    if not given:
        raise invalid_input("Query parameter [intervals] is required")
    return located(call, call.params["datasource"], [parse_interval(text) for text in given.split(",")])


def located(call: Call, name: str, wanted: Sequence[Interval]) -> list[dict[str, Any]]:
    """Where the served segments of a table are that overlap one of `wanted`; `numCandidates` bounds the servers."""
    count = call.integer("numCandidates")
    servers = [call.server.metadata][: count if count is not None and count >= 0 else None]
    return [
        {
            "interval": s.interval, "version": s.version, "partitionNumber": s.shard_spec.partition_num,
            "size": s.size, "locations": servers,
        }
        for s in served_of(call, name)
        if any(Interval.parse(s.interval).overlaps(i) for i in wanted)
    ]  # fmt: skip


@delete("/druid/v2/{id}", needs=Role.READ)
def cancel_native(call: Call) -> Response:
    """Known or not, it is accepted."""
    check_canceller(call)
    call.server.cancel_interactive(call.params["id"])
    return Response(status_code=202)
