"""Used and unused segments, and their deletion: Coordinator rows and their Overlord twins. C-43..C-50, N-11..N-16."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from controller.api.routing import EMPTY, JSON_TYPE, Call, HttpError, delete, parse_interval, post
from controller.metadata import marking
from controller.metadata.segment_list import StoredSegment, stored_segments
from controller.tasks.kill import kill_payload, kill_task, new_task_id
from msq.faults import invalid_input
from msq.intervals import Interval

_BASES = ("/druid/coordinator/v1/datasources", "/druid/indexer/v1/datasources")


def _both(path: str) -> tuple[str, ...]:
    return tuple(base + path for base in _BASES)


def _changed(count: int) -> dict[str, Any]:
    return {"numChangedSegments": count, "segmentStateChanged": count > 0}


# -- whole tables ------------------------------------------------------------------------------------------------------


@post(*_both("/{datasource}"))
def mark_table_used(call: Call) -> object:
    if call.body and call.media_type != JSON_TYPE:
        raise HttpError(415, f"Unsupported Content-Type [{call.media_type}]: this path takes [{JSON_TYPE}]")
    name = call.params["datasource"]
    with call.server.engine.store.transaction() as connection:
        return _changed(marking.mark_used(connection, name, stored_segments(connection, name, used=False)))


@delete(*_both("/{datasource}"))
def mark_table_unused(call: Call) -> object:
    """With `kill=true` and an interval: the old spelling of deleting an interval."""
    name = call.params["datasource"]
    if call.true("kill"):
        interval = call.interval("interval")
        if interval is None:
            raise invalid_input("[kill=true] needs [interval]")
        return _kill(call, name, interval)
    with call.server.engine.store.transaction() as connection:
        return _changed(marking.mark_unused(connection, stored_segments(connection, name, used=True)))


@delete("/druid/coordinator/v1/datasources/{datasource}/intervals/{interval}")
def delete_interval(call: Call) -> Response:
    return _kill(call, call.params["datasource"], parse_interval(call.params["interval"]))


def _kill(call: Call, name: str, interval: Interval) -> Response:
    payload = kill_payload(new_task_id("api-issued_", "kill", name), name, interval)
    call.server.tasks.add(kill_task(call.server.engine, payload))
    return EMPTY


# -- groups of segments ------------------------------------------------------------------------------------------------


@post(*_both("/{datasource}/markUsed"))
def mark_used(call: Call) -> object:
    return _mark(call, used=True)


@post(*_both("/{datasource}/markUnused"))
def mark_unused(call: Call) -> object:
    return _mark(call, used=False)


def _mark(call: Call, used: bool) -> object:
    name, body = call.params["datasource"], call.json_object()
    _check_group(body)
    with call.server.engine.store.transaction() as connection:
        if not stored_segments(connection, name) and call.path.startswith(_BASES[0]):
            return Response(status_code=204)
        if body.get("interval") is not None:
            interval = parse_interval(str(body["interval"]))
            chosen = marking.within(connection, name, interval, body.get("versions"), used=not used)
        else:
            chosen = marking.by_ids(connection, name, body["segmentIds"])
        if used:
            return _changed(marking.mark_used(connection, name, chosen))
        return _changed(marking.mark_unused(connection, chosen))


def _check_group(body: dict[str, Any]) -> None:
    """Raises DruidException unless exactly one of interval and segmentIds is there."""
    interval, ids, versions = body.get("interval"), body.get("segmentIds"), body.get("versions")
    if (interval is None) == (ids is None):
        raise invalid_input("Give exactly one of [interval] and [segmentIds]")
    if ids is not None and (not isinstance(ids, list) or not ids or not all(isinstance(i, str) for i in ids)):
        raise invalid_input("[segmentIds] must be a list of segment ids, not an empty one")
    if versions is not None and (ids is not None or not isinstance(versions, list)):
        raise invalid_input("[versions] must be a list, and goes with [interval] only")


# -- single segments ---------------------------------------------------------------------------------------------------


@post(*_both("/{datasource}/segments/{id}"))
def mark_one_used(call: Call) -> object:
    name = call.params["datasource"]
    with call.server.engine.store.transaction() as connection:
        return _changed(marking.mark_used(connection, name, _one(call, marking.by_ids(connection, name, _ids(call)))))


@delete(*_both("/{datasource}/segments/{id}"))
def mark_one_unused(call: Call) -> object:
    name = call.params["datasource"]
    with call.server.engine.store.transaction() as connection:
        return _changed(marking.mark_unused(connection, _one(call, marking.by_ids(connection, name, _ids(call)))))


def _ids(call: Call) -> list[str]:
    return [call.params["id"]]


def _one(call: Call, found: list[StoredSegment]) -> list[StoredSegment]:
    if not found:
        check_segment_id(call.params["datasource"], call.params["id"])
    return found


def check_segment_id(datasource: str, segment_id: str) -> None:
    """Raises DruidException for a text that cannot be the id of a segment of the table: `<table>_start_end_version`."""
    parts = segment_id.removeprefix(datasource + "_").split("_")
    try:
        if not segment_id.startswith(datasource + "_") or len(parts) < 3:
            raise ValueError("its parts are missing")
        Interval.parse(f"{parts[0]}/{parts[1]}")
    except ValueError as error:
        raise invalid_input(f"[{segment_id}] is no segment id of data source [{datasource}]: {error}") from None
