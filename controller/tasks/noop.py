"""The noop task: takes a slot for a while."""

from __future__ import annotations

from typing import Any

from controller.engine import Engine
from controller.tasks.job import JobTask


def noop_payload(task_id: str, datasource: str, run_time_ms: int) -> dict[str, Any]:
    """The task's JSON."""
    return {
        "type": "noop", "id": task_id, "groupId": task_id, "dataSource": datasource, "runTime": run_time_ms,
        "context": {}, "resource": {"availabilityGroup": task_id, "requiredCapacity": 1},
    }  # fmt: skip


def noop_task(engine: Engine, payload: dict[str, Any], recorded: bool = False) -> JobTask:
    """A noop task ready to be queued."""

    def work(task: JobTask) -> dict[str, Any] | None:
        return None if task.cancelled.wait(payload["runTime"] / 1000) else {}

    return JobTask(engine, payload, work, recorded)
