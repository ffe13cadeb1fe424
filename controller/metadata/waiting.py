"""Tasks that have not begun: what it takes to begin them stands in a file of kind `request`, so that they outlive a
process. The file goes when the task begins or ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, select, update

from controller.metadata.liveness import is_alive
from controller.metadata.schema import task_files, task_owners, tasks
from controller.metadata.store import from_payload, to_payload
from controller.metadata.tasks import put_file

REQUEST = "request"


def keep_request(connection: Connection, task_id: str, request: dict[str, Any]) -> None:
    put_file(connection, task_id, REQUEST, to_payload(request))


def begun(connection: Connection, task_id: str) -> None:
    connection.execute(delete(task_files).where(task_files.c.task_id == task_id, task_files.c.kind == REQUEST))


def adopt(connection: Connection, data_dir: Path, process: str) -> list[tuple[str, dict[str, Any]]]:
    """Takes over the tasks of dead processes that have not begun: ids and requests, oldest first."""
    waiting = connection.execute(
        select(tasks.c.id, task_files.c.payload, task_owners.c.process)
        .join(task_files, task_files.c.task_id == tasks.c.id)
        .join(task_owners, task_owners.c.task_id == tasks.c.id)
        .where(task_files.c.kind == REQUEST, tasks.c.active.is_(True))
        .order_by(tasks.c.created_date, tasks.c.id)
    ).all()
    orphans = [row for row in waiting if row.process != process and not is_alive(data_dir, row.process)]
    for row in orphans:
        connection.execute(update(task_owners).where(task_owners.c.task_id == row.id).values(process=process))
    return [(row.id, from_payload(row.payload)) for row in orphans]
