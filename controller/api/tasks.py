"""Tasks of the Overlord: lists, status, payload, log, reports, shutdown. T-02..T-15."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import Response

from controller.api.errors import json_response
from controller.api.routing import Call, HttpError, get, post
from controller.api.users import Role
from controller.metadata.task_list import TaskFilter, TaskSummary
from controller.tasks.views import runner_status, task_status
from msq.faults import invalid_input
from msq.intervals import format_instant

_STATES = ("running", "complete", "waiting", "pending")


def _unknown(task_id: str) -> HttpError:
    return HttpError(404, f"Task [{task_id}] does not exist", text=True)


def _found(call: Call) -> TaskSummary:
    task = _seen(call, call.params["id"])
    if task is None:
        raise _unknown(call.params["id"])
    return task


def _seen(call: Call, task_id: str) -> TaskSummary | None:
    """A task that the user may know of."""
    task = call.server.tasks.summary(task_id)
    return None if task is None or not call.may_see(task) else task


# -- lists ------------------------------------------------------------------------------------------------------------


@get("/druid/indexer/v1/tasks")
def tasks(call: Call) -> object:
    state = call.get("state")
    if state is not None and state.lower() not in _STATES:
        known = ", ".join(_STATES)
        raise HttpError(400, f"Invalid task state [{state}]: must be one of [{known}]", text=True)
    return _list(call, None if state is None else state.lower())


def _of_state(state: str) -> Callable[[Call], object]:
    def handler(call: Call) -> object:
        return _list(call, state)

    return handler


for _state in _STATES:
    get(f"/druid/indexer/v1/{_state}Tasks")(_of_state(_state))


def _list(call: Call, state: str | None) -> list[dict[str, Any]]:
    """Active tasks first, then complete ones, newest first; `max` cuts the complete ones."""
    created = call.interval("createdTimeInterval")
    limit = call.integer("max") if call.get("max") else call.integer("n")
    if limit is not None and limit < 0:
        raise invalid_input(f"Query parameter [max] must be 0 or more, but is [{limit}]")
    manager = call.server.tasks
    states = manager.queue.states()

    def chosen(active: bool, cut: int | None) -> Sequence[TaskSummary]:
        span = None if created is None else (format_instant(created.start), format_instant(created.end))
        wanted = TaskFilter(active, call.get("datasource"), call.get("type"), span)
        return [t for t in manager.summaries(wanted, cut) if call.may_see(t)]

    out: list[TaskSummary] = []
    if state != "complete":
        out += [t for t in chosen(True, None) if state is None or runner_status(t, states).lower() == state]
    if state is None or state == "complete":
        out += chosen(False, limit)
    return [manager.shown(t) for t in out]


@post("/druid/indexer/v1/taskStatus", needs=Role.READ)
def task_statuses(call: Call) -> object:
    """Status by id of those that exist."""
    ids = call.json()
    if not isinstance(ids, list) or not ids or not all(isinstance(i, str) for i in ids):
        raise invalid_input("The request's body must be a list of task ids, not an empty one")
    manager, own = call.server.tasks, call.server.engine.settings.location
    found = {i: task for i in ids if (task := _seen(call, i)) is not None}
    return {i: task_status(task, manager.queue.states(), own) for i, task in found.items()}


# -- one task ----------------------------------------------------------------------------------------------------------


@get("/druid/indexer/v1/task/{id}")
def payload(call: Call) -> object:
    found = call.server.tasks.payload(call.params["id"]) if _seen(call, call.params["id"]) is not None else None
    if found is None:
        return json_response({"task": call.params["id"], "payload": None}, 404)
    return {"task": call.params["id"], "payload": found}


@get("/druid/indexer/v1/task/{id}/status")
def status(call: Call) -> object:
    task = _seen(call, call.params["id"])
    if task is None:
        return json_response({"task": call.params["id"], "status": None}, 404)
    return {"task": task.id, "status": call.server.tasks.shown(task)}


@get("/druid/indexer/v1/task/{id}/reports")
def reports(call: Call) -> object:
    task = _found(call)
    report = call.server.tasks.report(task.id)
    if report is None:
        raise HttpError(404, f"No task reports were found for task [{task.id}]", text=True)
    return report


@get("/druid/indexer/v1/task/{id}/log", "/druid/worker/v1/task/{id}/log")
def log(call: Call) -> Response:
    """`offset` counts bytes; a negative one from the end."""
    task = _found(call)
    text = call.server.tasks.log(task.id)
    if text is None:
        raise HttpError(404, f"No log was found for task [{task.id}]", text=True)
    offset = call.integer("offset") or 0
    return Response(text[max(offset, -len(text)) :], media_type="text/plain; charset=utf-8")


@get("/druid/indexer/v1/task/{id}/segments")
def segments(call: Call) -> object:
    """What the task published; nothing for one that runs, failed or writes no table."""
    return call.server.tasks.published(_found(call).id)


@post("/druid/indexer/v1/task/{id}/shutdown", "/druid/worker/v1/task/{id}/shutdown", "/druid/v2/sql/task/{id}/shutdown")
def shutdown(call: Call) -> object:
    """Ends a task that waits or runs. 404 for one that is complete: its end stays as it is."""
    task = _found(call)
    if task.is_of_table:
        call.require_table(Role.WRITE, task.datasource)
    if not call.server.tasks.shutdown(task.id):
        raise HttpError(404, f"Task [{task.id}] is complete or runs in another process", text=True)
    return {"task": task.id}


@post("/druid/indexer/v1/datasources/{datasource}/shutdownAllTasks")
def shutdown_all(call: Call) -> object:
    name = call.params["datasource"]
    found = call.server.tasks.summaries(TaskFilter(active=True, datasource=name))
    ended = [call.server.tasks.shutdown(t.id) for t in found if t.group_id == t.id]
    return {"dataSource": name} if any(ended) else Response(status_code=404)


@get("/druid/worker/v1/tasks")
def worker_tasks(call: Call) -> object:
    """Ids of tasks that hold a slot now."""
    manager = call.server.tasks
    states = manager.queue.states()
    active = [t for t in manager.summaries(TaskFilter(active=True)) if call.may_see(t)]
    return [t.id for t in active if runner_status(t, states) == "RUNNING"]
