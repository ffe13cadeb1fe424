"""Tasks as lists show them: rows without their payloads, narrowed by the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from controller.metadata.schema import tasks
from controller.metadata.store import from_payload
from controller.metadata.tasks import TaskStatus


@dataclass(frozen=True)
class TaskSummary:
    """One task: what it is, when it was made (ISO), and its recorded status."""

    id: str
    group_id: str
    kind: str
    datasource: str
    created: str
    status: TaskStatus
    active: bool

    @property
    def is_of_table(self) -> bool:
        """Whether `datasource` is a table: queries and exports have a name of Druid's there."""
        return not self.datasource.startswith("__query_")


@dataclass(frozen=True)
class TaskFilter:
    """Which tasks; None leaves a part open. `created` is a half-open pair of ISO texts."""

    active: bool | None = None
    datasource: str | None = None
    kind: str | None = None
    created: tuple[str, str] | None = None
    id: str | None = None
    group_id: str | None = None


_COLUMNS = (
    tasks.c.id, tasks.c.group_id, tasks.c.type, tasks.c.datasource, tasks.c.created_date, tasks.c.status_payload,
    tasks.c.active,
)  # fmt: skip


def summaries(connection: Connection, wanted: TaskFilter, limit: int | None = None) -> list[TaskSummary]:
    """Tasks, newest first; at most `limit` of them."""
    query = select(*_COLUMNS).order_by(tasks.c.created_date.desc(), tasks.c.id)
    equal = (
        (tasks.c.active, wanted.active), (tasks.c.datasource, wanted.datasource), (tasks.c.type, wanted.kind),
        (tasks.c.id, wanted.id), (tasks.c.group_id, wanted.group_id),
    )  # fmt: skip
    for column, value in equal:
        if value is not None:
            query = query.where(column == value)
    if wanted.created is not None:
        query = query.where(tasks.c.created_date >= wanted.created[0], tasks.c.created_date < wanted.created[1])
    if limit is not None:
        query = query.limit(limit)
    return [
        TaskSummary(
            row.id,
            row.group_id or row.id,
            row.type or "",
            row.datasource,
            row.created_date,
            TaskStatus.from_json(from_payload(row.status_payload)),
            row.active,
        )
        for row in connection.execute(query)
    ]


def summary(connection: Connection, task_id: str) -> TaskSummary | None:
    found = summaries(connection, TaskFilter(id=task_id))
    return found[0] if found else None
