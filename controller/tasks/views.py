"""How the Overlord's API shows tasks: TaskStatusPlus and TaskStatus. Source: reference http-api 0.5."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.metadata.task_list import TaskSummary
from controller.tasks.queue import RUNNING

EPOCH = "1970-01-01T00:00:00.000Z"
Location = tuple[str | None, int, int]


def runner_status(task: TaskSummary, states: Mapping[str, str]) -> str:
    """WAITING, PENDING, RUNNING, or NONE once complete. A task of another process, or a worker, runs."""
    return states.get(task.id, RUNNING) if task.active else "NONE"


def task_status_plus(task: TaskSummary, states: Mapping[str, str], own: Location) -> dict[str, Any]:
    """`states`: of the queue, by task id; `own`: where this process listens."""
    runner = runner_status(task, states)
    location = task.status.location if not task.active else own if runner == RUNNING else (None, -1, -1)
    return {
        "id": task.id, "groupId": task.group_id, "type": task.kind, "createdTime": task.created,
        "queueInsertionTime": EPOCH, "statusCode": task.status.status, "status": task.status.status,
        "runnerStatusCode": runner, "duration": task.status.duration, "location": location_json(location),
        "dataSource": task.datasource, "errorMsg": task.status.error_msg,
    }  # fmt: skip


def task_status(task: TaskSummary, states: Mapping[str, str], own: Location) -> dict[str, Any]:
    """The shorter form."""
    plus = task_status_plus(task, states, own)
    return {key: plus[key] for key in ("id", "status", "duration", "errorMsg", "location")}


def location_json(location: Location) -> dict[str, Any]:
    host, port, tls_port = location
    return {"host": host, "port": port, "tlsPort": tls_port}
