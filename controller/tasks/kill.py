"""The kill task: deletes unused segments of an interval, rows first and then files. Source: http-api C-48, T-12."""

from __future__ import annotations

import random
import string
from typing import Any

from controller.engine import Engine
from controller.metadata import marking
from controller.metadata.store import now_iso
from controller.tasks.job import JobTask
from msq.intervals import Interval


def new_task_id(prefix: str, kind: str, datasource: str) -> str:
    """`<prefix><kind>_<table>_<8 letters>_<time>`, as Druid names tasks."""
    letters = "".join(random.SystemRandom().choices(string.ascii_lowercase, k=8))
    return f"{prefix}{kind}_{datasource}_{letters}_{now_iso()}"


def kill_payload(
    task_id: str, datasource: str, interval: Interval, versions: list[str] | None = None, limit: int | None = None
) -> dict[str, Any]:
    """The task's JSON; `limit` bounds the segments it deletes."""
    return {
        "type": "kill", "id": task_id, "groupId": task_id, "dataSource": datasource, "interval": str(interval),
        "versions": versions, "limit": limit, "context": {},
        "resource": {"availabilityGroup": task_id, "requiredCapacity": 1},
    }  # fmt: skip


def kill_task(engine: Engine, payload: dict[str, Any], recorded: bool = False) -> JobTask:
    """A kill task ready to be queued."""
    task_id, datasource, limit = payload["id"], payload["dataSource"], payload["limit"]
    interval = Interval.parse(payload["interval"])

    def work(task: JobTask) -> dict[str, Any] | None:
        with engine.store.transaction() as connection:
            chosen = marking.within(connection, datasource, interval, payload["versions"], used=False)[:limit]
            files = marking.forget(connection, chosen)
        task.log.info(f"deleted the rows of [{len(chosen)}] unused segments of [{datasource}] in [{interval}]")
        for stored in files:
            engine.deep_storage.kill(stored.segment)
            task.log.info(f"deleted segment [{stored.segment.id}]")
        stats = {"numSegmentsKilled": len(chosen), "numBatchesProcessed": 1, "numSegmentsMarkedAsUnused": 0}
        return {"killTaskReport": {"type": "killTaskReport", "taskId": task_id, "payload": stats}}

    return JobTask(engine, payload, work, recorded)
