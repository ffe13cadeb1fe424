"""`POST /druid/indexer/v1/task`: tasks that are no SQL, and the Overlord's smaller tables. T-12, T-16, N-35."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from controller.api.routing import Call, delete, parse_interval, post
from controller.api.users import Role
from controller.metadata.locks import locks_of
from controller.metadata.pending import delete_pending
from controller.metadata.store import now_iso
from controller.payload import MASK
from controller.prepared import check_task_id
from controller.tasks.batch import KINDS, BatchSubmission, prepare_batch, table_of, with_id
from controller.tasks.job import JobTask
from controller.tasks.kill import kill_payload, kill_task, new_task_id
from controller.tasks.noop import noop_payload, noop_task
from controller.tasks.query import QueryTask, Submission
from msq.context import FORBIDDEN
from msq.faults import invalid_input

_MAX_NOOP_MS = 86_400_000


@post("/druid/indexer/v1/task")
def submit(call: Call) -> object:
    body = call.json_object()
    kind = body.get("type")
    make = _KINDS.get(str(kind))
    if make is None:
        raise invalid_input(f"Could not resolve type id '{kind}' as a task: known type ids = [{', '.join(_KINDS)}]")
    given = body.get("id")
    if given is not None:
        check_task_id(str(given))
    return {"task": call.server.tasks.add(make(call, body, None if given is None else str(given)))}


def _statement(call: Call, body: dict[str, Any], task_id: str | None) -> QueryTask:
    """The statement of a task's payload, as a new task: what the planner made of it before is made again."""
    sql, context = body.get("sqlQuery"), body.get("sqlQueryContext")
    if not isinstance(sql, str) or not isinstance(context, dict):
        raise invalid_input("A task of type [query_controller] needs [sqlQuery] and [sqlQueryContext]")
    if MASK in sql:
        raise invalid_input(f"The statement's secrets were replaced by [{MASK}]: submit it with its own text")
    own = {key: value for key, value in context.items() if key == "__resultFormat"} | call.own_context
    ours = {*FORBIDDEN, "queryId", "sqlQueryId", "__user"}
    kept = {key: value for key, value in context.items() if key not in ours}
    query_id = str(uuid.uuid4()) if task_id is None else task_id.removeprefix("query-")
    asked = Submission(sql, {**kept, "sqlQueryId": query_id}, (), own)
    engine = call.server.engine
    prepared = engine.prepare(asked.sql, asked.context, own_context=own)
    call.require_for(prepared)
    return QueryTask(engine, prepared, asked)


def _batch(call: Call, body: dict[str, Any], task_id: str | None) -> QueryTask:
    """A native ingest or a compaction, as the statement that does the same."""
    engine = call.server.engine
    asked = BatchSubmission(with_id(body, table_of(body)), call.own_context)
    prepared = prepare_batch(engine, asked)
    call.require_for(prepared)
    return QueryTask(engine, prepared, asked)


def _kill(call: Call, body: dict[str, Any], task_id: str | None) -> JobTask:
    name, interval, limit = body.get("dataSource"), body.get("interval"), body.get("limit")
    if not isinstance(name, str) or not name or not isinstance(interval, str):
        raise invalid_input("A task of type [kill] needs [dataSource] and [interval]")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise invalid_input(f"[limit] must be a number of 1 or more, but is [{limit}]")
    call.require_table(Role.WRITE, name)
    made = task_id or new_task_id("", "kill", name)
    payload = kill_payload(made, name, parse_interval(interval), body.get("versions"), limit)
    return kill_task(call.server.engine, payload)


def _noop(call: Call, body: dict[str, Any], task_id: str | None) -> JobTask:
    """Takes a slot for `runTime` ms."""
    run_time = body.get("runTime", 2_500)
    if type(run_time) is not int or not 0 <= run_time <= _MAX_NOOP_MS:
        raise invalid_input(f"[runTime] must be ms between 0 and [{_MAX_NOOP_MS}], but is [{run_time}]")
    made = task_id or f"noop_{now_iso()}_{uuid.uuid4()}"
    return noop_task(call.server.engine, noop_payload(made, str(body.get("dataSource", "none")), run_time))


_KINDS: dict[str, Callable[[Call, dict[str, Any], str | None], QueryTask | JobTask]] = {
    "kill": _kill, "noop": _noop, "query_controller": _statement, **dict.fromkeys(KINDS, _batch),
}  # fmt: skip


@delete("/druid/indexer/v1/pendingSegments/{datasource}")
def pending_segments(call: Call) -> object:
    """Never those of a task that runs."""
    with call.server.engine.store.transaction() as connection:
        return {"numDeleted": delete_pending(connection, call.params["datasource"], call.interval("interval"))}


def _wanted_tables(call: Call) -> list[str]:
    body = call.json()
    if not isinstance(body, list) or not body or not all(isinstance(e, dict) and e.get("datasource") for e in body):
        raise invalid_input("The request's body must be a list of objects with [datasource], not an empty one")
    return [e["datasource"] for e in body if call.may_read(str(e["datasource"]))]


@post("/druid/indexer/v1/lockedIntervals/v2", needs=Role.READ)
def locked_intervals(call: Call) -> object:
    out = {}
    with call.server.engine.store.reading() as connection:
        for name in _wanted_tables(call):
            held = sorted({str(lock.interval) for lock in locks_of(connection, name) if not lock.revoked})
            if held:
                out[name] = held
    return out


@post("/druid/indexer/v1/activeLocks", needs=Role.READ)
def active_locks(call: Call) -> object:
    out = {}
    with call.server.engine.store.reading() as connection:
        for name in _wanted_tables(call):
            held = [lock.to_json() for lock in locks_of(connection, name) if not lock.revoked]
            if held:
                out[name] = held
    return {"datasourceToLocks": out}
