"""The served view: what can be queried, by table, interval and tier. C-03..C-12, C-27..C-42, C-59..C-62, B-01.

A used segment that nothing overshadows is read straight from deep storage, so it is served from the moment it is
published: this view follows the metadata without delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.responses import Response

from controller.api.metadata import full_datasource, tables_with_used, used_of
from controller.api.routing import Call, get, parse_interval
from controller.metadata.store import now_ms
from controller.system.state import TIER
from msq.faults import invalid_input
from msq.intervals import Interval
from msq.segment.identity import DataSegment
from msq.segment.timeline import overshadowed

BASE = "/druid/coordinator/v1/datasources"
_NONE = Response(status_code=204)
_TWO_WEEKS_MS = 14 * 86_400_000


def served_of(call: Call, name: str) -> list[DataSegment]:
    """Used segments that are served, overshadowed ones left out, in order of id."""
    used = used_of(call, name)
    hidden = {s.id for s in overshadowed(used)}
    return [s for s in used if s.id not in hidden]


def served(call: Call) -> dict[str, list[DataSegment]]:
    """Served segments by table."""
    found = {name: served_of(call, name) for name in tables_with_used(call)}
    return {name: segments for name, segments in found.items() if segments}


def simple(segments: Sequence[DataSegment]) -> dict[str, Any]:
    size = sum(s.size for s in segments)
    intervals = [Interval.parse(s.interval) for s in segments]
    first, last = min(intervals, key=lambda i: i.start), max(intervals, key=lambda i: i.end)
    return {
        "tiers": {TIER: {"segmentCount": len(segments), "size": size, "replicatedSize": size}},
        "segments": {
            "count": len(segments), "size": size, "replicatedSize": size,
            "minTime": str(first).partition("/")[0], "maxTime": str(last).partition("/")[2],
        },
    }  # fmt: skip


# -- load status -------------------------------------------------------------------------------------------------------


@get("/druid/coordinator/v1/loadstatus")
def load_status(call: Call) -> object:
    return _load_status(call, tables_with_used(call))


def _load_status(call: Call, names: Iterable[str]) -> dict[str, Any]:
    if call.flag("simple"):
        return dict.fromkeys(names, 0)
    if call.flag("full"):
        return {TIER: dict.fromkeys(names, 0)}
    return dict.fromkeys(names, 100.0)


@get(BASE + "/{datasource}/loadstatus")
def load_status_of(call: Call) -> object:
    name = call.params["datasource"]
    if call.get("forceMetadataRefresh") is None:
        raise invalid_input("Query parameter [forceMetadataRefresh] is required")
    interval = call.interval("interval") or Interval(now_ms() - _TWO_WEEKS_MS, now_ms())
    used = used_of(call, name)
    touched = any(Interval.parse(s.interval).overlaps(interval) for s in used)
    return _load_status(call, [name]) if touched else _NONE


@get("/druid/coordinator/v1/loadqueue")
def load_queue(call: Call) -> object:
    """Nothing is ever waiting to be loaded or dropped."""
    if call.flag("simple"):
        empty: dict[str, Any] = {
            "segmentsToLoad": 0, "segmentsToDrop": 0, "segmentsToLoadSize": 0, "segmentsToDropSize": 0,
            "expectedLoadTimeMillis": 0,
        }  # fmt: skip
    else:
        empty = {"segmentsToLoad": [], "segmentsToDrop": []}
    return {call.server.node: empty}


# -- tables ------------------------------------------------------------------------------------------------------------


@get(BASE)
def datasources(call: Call) -> object:
    found = served(call)
    if call.flag("full"):
        return [full_datasource(call, name, segments) for name, segments in found.items()]
    if call.flag("simple"):
        return [{"name": name, "properties": simple(segments)} for name, segments in found.items()]
    return list(found)


@get("/druid/v2/datasources")
def queryable(call: Call) -> object:
    return list(served(call))


@get(BASE + "/{datasource}")
def datasource(call: Call) -> object:
    segments = served_of(call, call.params["datasource"])
    if not segments:
        return _NONE
    return full_datasource(call, call.params["datasource"], segments) if call.flag("full") else simple(segments)


@get(BASE + "/{datasource}/tiers")
def tiers_of(call: Call) -> object:
    return [TIER] if served_of(call, call.params["datasource"]) else []


@get(BASE + "/{datasource}/segments")
def segments_of(call: Call) -> object:
    segments = served_of(call, call.params["datasource"])
    if not segments:
        return _NONE
    return [s.to_json() if call.flag("full") else s.id for s in segments]


@get(BASE + "/{datasource}/segments/{id}")
def segment_of(call: Call) -> object:
    found = [s for s in served_of(call, call.params["datasource"]) if s.id == call.params["id"]]
    return {"metadata": found[0].to_json(), "servers": [call.server.node]} if found else _NONE


@get(BASE + "/{datasource}/handoffComplete")
def handoff_complete(call: Call) -> object:
    interval, number, version = call.interval("interval"), call.integer("partitionNumber"), call.get("version") or ""
    if interval is None or number is None:
        raise invalid_input("Query parameters [interval] and [partitionNumber] are required")
    return any(
        Interval.parse(s.interval).contains(interval) and s.version >= version and s.shard_spec.partition_num == number
        for s in served_of(call, call.params["datasource"])
    )


# -- intervals of a table ----------------------------------------------------------------------------------------------


def _by_interval(segments: Iterable[DataSegment]) -> dict[str, list[DataSegment]]:
    """Newest interval first."""
    grouped: dict[str, list[DataSegment]] = {}
    for s in segments:
        grouped.setdefault(s.interval, []).append(s)
    return dict(sorted(grouped.items(), key=lambda item: Interval.parse(item[0]), reverse=True))


def _sizes(segments: Sequence[DataSegment]) -> dict[str, int]:
    return {"size": sum(s.size for s in segments), "count": len(segments)}


def _with_servers(call: Call, segments: Iterable[DataSegment]) -> dict[str, Any]:
    return {s.id: {"metadata": s.to_json(), "servers": [call.server.node]} for s in segments}


@get(BASE + "/{datasource}/intervals")
def intervals_of(call: Call) -> object:
    grouped = _by_interval(served_of(call, call.params["datasource"]))
    if not grouped:
        return _NONE
    if call.flag("full"):
        return {interval: _with_servers(call, members) for interval, members in grouped.items()}
    if call.flag("simple"):
        return {interval: _sizes(members) for interval, members in grouped.items()}
    return list(grouped)


@get(BASE + "/{datasource}/intervals/{interval}")
def interval_of(call: Call) -> object:
    segments = served_of(call, call.params["datasource"])
    if not segments:
        return _NONE
    wanted = parse_interval(call.params["interval"])
    grouped = _by_interval(s for s in segments if wanted.contains(Interval.parse(s.interval)))
    if call.flag("full"):
        return {interval: _with_servers(call, members) for interval, members in grouped.items()}
    if call.flag("simple"):
        return {interval: _sizes(members) for interval, members in grouped.items()}
    return sorted(s.id for members in grouped.values() for s in members)


@get(BASE + "/{datasource}/intervals/{interval}/serverview")
def server_view(call: Call) -> object:
    wanted = parse_interval(call.params["interval"])
    return [
        {"segment": s.to_json(), "servers": [call.server.metadata]}
        for s in served_of(call, call.params["datasource"])
        if Interval.parse(s.interval).overlaps(wanted)
    ]


# -- intervals of all tables -------------------------------------------------------------------------------------------


def _all_by_interval(call: Call, within: Interval | None) -> dict[str, dict[str, list[DataSegment]]]:
    grouped: dict[str, dict[str, list[DataSegment]]] = {}
    for name, segments in served(call).items():
        for interval, members in _by_interval(segments).items():
            if within is None or within.contains(Interval.parse(interval)):
                grouped.setdefault(interval, {})[name] = members
    return dict(sorted(grouped.items(), key=lambda item: Interval.parse(item[0]), reverse=True))


@get("/druid/coordinator/v1/intervals")
def intervals(call: Call) -> object:
    return {i: {n: _sizes(m) for n, m in tables.items()} for i, tables in _all_by_interval(call, None).items()}


@get("/druid/coordinator/v1/intervals/{interval}")
def interval(call: Call) -> object:
    found = _all_by_interval(call, parse_interval(call.params["interval"]))
    if call.flag("full"):
        return {i: {n: _sizes(m) for n, m in tables.items()} for i, tables in found.items()}
    if call.flag("simple"):
        return {i: _sizes([s for m in tables.values() for s in m]) for i, tables in found.items()}
    everything = [s for tables in found.values() for m in tables.values() for s in m]
    return _sizes(everything) if everything else {}
