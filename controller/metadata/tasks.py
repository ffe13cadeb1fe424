"""Rows of druid_tasks with their reports and logs, and what a dead process leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from controller.metadata.liveness import is_alive
from controller.metadata.locks import release
from controller.metadata.schema import pending_segments, task_files, task_owners, tasks
from controller.metadata.store import from_payload, now_iso, to_payload

PUBLISHED = "segments"
"""Kind of the task file that lists what a task published; written by the transaction that publishes."""


REPORT = "report"
"""Kind of the task file that holds a task's report: written by the transaction that publishes, and again at its end."""


LOG = "log"
"""Kind of the task file that holds a task's log: written with its end."""


@dataclass(frozen=True)
class TaskStatus:
    """The `status_payload` of a task. `status`: RUNNING, SUCCESS or FAILED; `duration` in ms, -1 while it runs."""

    id: str
    status: str = "RUNNING"
    duration: int = -1
    error_msg: str | None = None
    location: tuple[str | None, int, int] = (None, -1, -1)

    def to_json(self) -> dict[str, Any]:
        host, port, tls_port = self.location
        return {
            "id": self.id, "status": self.status, "duration": self.duration, "errorMsg": self.error_msg,
            "location": {"host": host, "port": port, "tlsPort": tls_port},
        }  # fmt: skip

    @staticmethod
    def from_json(value: dict[str, Any]) -> TaskStatus:
        location = value.get("location") or {}
        return TaskStatus(
            value["id"], value["status"], value["duration"], value.get("errorMsg"),
            (location.get("host"), location.get("port", -1), location.get("tlsPort", -1)),
        )  # fmt: skip


@dataclass(frozen=True)
class TaskRow:
    """One task: its JSON as submitted, its status, when it was made."""

    id: str
    created: str
    datasource: str
    payload: dict[str, Any]
    status: TaskStatus
    active: bool
    kind: str
    group_id: str


def add_task(connection: Connection, payload: dict[str, Any], process: str) -> TaskRow:
    """Records a task as running, owned by `process`. Raises ValueError when its id is taken."""
    task_id = payload["id"]
    if connection.execute(select(tasks.c.id).where(tasks.c.id == task_id)).first() is not None:
        raise ValueError(f"Task [{task_id}] exists already. Choose another sqlQueryId.")
    row = TaskRow(
        task_id, now_iso(), payload["dataSource"], payload, TaskStatus(task_id), True, payload["type"],
        payload.get("groupId", task_id),
    )  # fmt: skip
    connection.execute(insert(tasks).values(
        id=row.id, created_date=row.created, datasource=row.datasource, payload=to_payload(payload),
        status_payload=to_payload(row.status.to_json()), active=True, type=row.kind, group_id=row.group_id,
    ))  # fmt: skip
    connection.execute(insert(task_owners).values(task_id=task_id, process=process))
    return row


def end_task(connection: Connection, status: TaskStatus) -> None:
    """Records the end of a task and lets go of its locks, its unpublished segment ids and what would begin it."""
    connection.execute(
        update(tasks).where(tasks.c.id == status.id).values(active=False, status_payload=to_payload(status.to_json()))
    )
    connection.execute(delete(task_owners).where(task_owners.c.task_id == status.id))
    connection.execute(delete(task_files).where(task_files.c.task_id == status.id, task_files.c.kind == "request"))
    let_go(connection, status.id)


def let_go(connection: Connection, task_id: str) -> None:
    """Gives up a task's locks and unpublished segment ids."""
    connection.execute(delete(pending_segments).where(pending_segments.c.task_allocator_id == task_id))
    release(connection, task_id)


def task(connection: Connection, task_id: str) -> TaskRow | None:
    row = connection.execute(select(tasks).where(tasks.c.id == task_id)).first()
    return None if row is None else _row(row)


def _row(row: Any) -> TaskRow:
    return TaskRow(
        row.id, row.created_date, row.datasource, from_payload(row.payload),
        TaskStatus.from_json(from_payload(row.status_payload)), row.active, row.type or "", row.group_id or row.id,
    )  # fmt: skip


def put_file(connection: Connection, task_id: str, kind: str, payload: bytes) -> None:
    """Stores (again) a task's `report` or `log`."""
    connection.execute(delete(task_files).where(task_files.c.task_id == task_id, task_files.c.kind == kind))
    connection.execute(insert(task_files).values(task_id=task_id, kind=kind, payload=payload))


def delete_file(connection: Connection, task_id: str, kind: str) -> None:
    connection.execute(delete(task_files).where(task_files.c.task_id == task_id, task_files.c.kind == kind))


def get_file(connection: Connection, task_id: str, kind: str) -> bytes | None:
    query = select(task_files.c.payload).where(task_files.c.task_id == task_id, task_files.c.kind == kind)
    row = connection.execute(query).first()
    return None if row is None else bytes(row.payload)


def _reported_duration(connection: Connection, task_id: str) -> int:
    """ms that a task's report says it ran; -1 without one."""
    kept = get_file(connection, task_id, REPORT)
    if kept is None:
        return -1
    return int(from_payload(kept)["multiStageQuery"]["payload"]["status"]["durationMs"])


def recover(connection: Connection, data_dir: Path, except_process: str | None = None) -> list[str]:
    """Ends the tasks whose process is gone and frees what they held; answers their ids.

    They failed, unless their segments had been published: only the word about it was lost then. Those that had not
    begun stay as they are, for a server to adopt (controller.metadata.waiting).
    """
    lost = []
    waiting = {row.task_id for row in connection.execute(
        select(task_files.c.task_id).where(task_files.c.kind == "request")
    )}  # fmt: skip
    for row in connection.execute(select(task_owners)).all():
        if row.process == except_process or is_alive(data_dir, row.process):
            continue
        if row.task_id in waiting:
            let_go(connection, row.task_id)
            continue
        found = task(connection, row.task_id)
        status = TaskStatus(row.task_id) if found is None else found.status
        if found is not None and get_file(connection, found.group_id, PUBLISHED) is not None:
            duration = _reported_duration(connection, found.group_id)
            end_task(connection, replace(status, status="SUCCESS", duration=duration))
        else:
            end_task(connection, replace(
                status, status="FAILED",
                error_msg=f"Task [{row.task_id}] ended with its process before it published. Submit it again.",
            ))  # fmt: skip
        lost.append(row.task_id)
    return lost
