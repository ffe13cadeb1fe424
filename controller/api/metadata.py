"""The Coordinator's metadata view: used segments as the store has them, at once. C-13..C-26, N-17, N-18."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from controller.api.errors import json_response
from controller.api.routing import Call, HttpError, get, parse_interval, post
from controller.api.users import Role
from controller.metadata import segments as rows
from controller.metadata.segment_list import StoredSegment, find_segment, stored_segments
from msq.faults import invalid_input
from msq.segment.identity import DataSegment
from msq.segment.timeline import overshadowed

BASE = "/druid/coordinator/v1/metadata"


def tables_with_used(call: Call) -> list[str]:
    """Names that the user may read."""
    with call.server.engine.store.reading() as connection:
        return [name for name in rows.datasource_names(connection) if call.may_read(name)]


def used_of(call: Call, name: str) -> list[DataSegment]:
    """Used segments in order of id."""
    return sorted(call.server.engine.used_segments(name), key=lambda s: s.id)


def full_datasource(call: Call, name: str, segments: Sequence[DataSegment]) -> dict[str, Any]:
    with call.server.engine.store.reading() as connection:
        created = min((s.created for s in stored_segments(connection, name, used=True)), default=call.server.started)
    return {"name": name, "properties": {"created": created}, "segments": [s.to_json() for s in segments]}


# -- all tables --------------------------------------------------------------------------------------------------------


@get(f"{BASE}/segments")
def all_segments(call: Call) -> object:
    """Used segments of all tables, or of those that `datasources` names; with their overshadowed status on request."""
    wanted = [d for d in call.all("datasources") if d]
    with_status = call.flag("includeOvershadowedStatus")
    if call.flag("includeRealtimeSegments") and not with_status:
        raise invalid_input("[includeRealtimeSegments] needs [includeOvershadowedStatus]")
    out = []
    for name in tables_with_used(call):
        if wanted and name not in wanted:
            continue
        used = used_of(call, name)
        hidden = {s.id for s in overshadowed(used)} if with_status else set()
        for s in used:
            more = {
                "overshadowed": s.id in hidden, "replicationFactor": 1, "numRows": s.total_rows, "realtime": False
            }  # fmt: skip
            out.append({**s.to_json(), **more} if with_status else s.to_json())
    return out


@get(f"{BASE}/datasources")
def datasources(call: Call) -> object:
    if call.flag("includeUnused") or call.flag("includeDisabled"):
        from controller.metadata.segment_list import all_datasource_names

        with call.server.engine.store.reading() as connection:
            return [name for name in all_datasource_names(connection) if call.may_read(name)]
    names = tables_with_used(call)
    if call.flag("full"):
        return [full_datasource(call, name, used_of(call, name)) for name in names]
    return names


# -- one table ---------------------------------------------------------------------------------------------------------


def _used_or_404(call: Call) -> list[DataSegment]:
    used = used_of(call, call.params["datasource"])
    if not used:
        raise _Empty404()
    return used


class _Empty404(HttpError):
    """404 without a body, as the Coordinator answers for a table without used segments."""

    def __init__(self) -> None:
        super().__init__(404, "", text=True)


@get(BASE + "/datasources/{datasource}")
def datasource(call: Call) -> object:
    used = _used_or_404(call)
    return full_datasource(call, call.params["datasource"], used)


@get(BASE + "/datasources/{datasource}/segments")
def segments(call: Call) -> object:
    used = _used_or_404(call)
    return [s.to_json() if call.flag("full") else s.id for s in used]


@post(BASE + "/datasources/{datasource}/segments", needs=Role.READ)
def segments_within(call: Call) -> object:
    """Used segments that overlap any interval of the body's list."""
    body = call.json()
    if not isinstance(body, list) or not all(isinstance(i, str) for i in body):
        raise invalid_input("The request's body must be a list of intervals")
    within = [parse_interval(text) for text in body]
    with call.server.engine.store.reading() as connection:
        used = rows.used_segments(connection, call.params["datasource"], within)
    used.sort(key=lambda s: s.id)
    return [s.to_json() if call.flag("full") else s.id for s in used]


@get(BASE + "/datasources/{datasource}/segments/{id}")
def segment(call: Call) -> object:
    name, segment_id = call.params["datasource"], call.params["id"]
    with call.server.engine.store.reading() as connection:
        found = find_segment(connection, segment_id)
    if found is None or found.segment.datasource != name or not (found.used or call.true("includeUnused")):
        if not segment_id.startswith(f"{name}_") or segment_id.count("_") - name.count("_") < 3:
            raise invalid_input(f"[{segment_id}] is no segment id of data source [{name}]")
        raise _Empty404()
    return found.segment.to_json()


@get(BASE + "/datasources/{datasource}/unusedSegments")
def unused_segments(call: Call) -> object:
    """Unused rows in order of id; `lastSegmentId` continues behind an id."""
    name, limit, last = call.params["datasource"], call.integer("limit"), call.get("lastSegmentId")
    order = (call.get("sortOrder") or "ASC").upper()
    if limit is not None and limit < 0:
        raise invalid_input(f"Invalid limit [{limit}]: it must be 0 or more")
    if order not in ("ASC", "DESC"):
        raise invalid_input(f"Invalid sort order [{order}]: it must be ASC or DESC")
    if last and not last.startswith(f"{name}_"):
        raise invalid_input(f"Invalid lastSegmentId [{last}]: it is no segment of data source [{name}]")
    within = call.interval("interval")
    with call.server.engine.store.reading() as connection:
        found = stored_segments(connection, name, used=False)
    found = [s for s in found if within is None or within.contains(s.interval)]
    found.sort(key=lambda s: s.segment.id, reverse=order == "DESC")
    if last:
        found = [s for s in found if (s.segment.id < last if order == "DESC" else s.segment.id > last)]
    return [_unused(s) for s in found[: limit if limit else None]]


def _unused(found: StoredSegment) -> dict[str, Any]:
    return {
        "dataSegment": found.segment.to_json(), "createdDate": found.created,
        "usedStatusLastUpdatedDate": found.updated, "used": False, "schemaFingerprint": None, "numRows": None,
        "upgradedFromSegmentId": None,
    }  # fmt: skip


@post(f"{BASE}/bootstrapSegments", needs=Role.READ)
def bootstrap(call: Call) -> object:
    return []


@post(f"{BASE}/dataSourceInformation", needs=Role.READ)
def information(call: Call) -> Response:
    return json_response({"error": "There is no centralized data source schema"}, 404)
