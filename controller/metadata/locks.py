"""Interval locks of tasks, in druid_tasklocks. Source: reference msq-engine 7.6.

| held \\ asked | EXCLUSIVE | SHARED | APPEND | REPLACE |
|---|---|---|---|---|
| EXCLUSIVE | - | - | - | - |
| SHARED | - | yes | - | - |
| APPEND | - | - | yes | yes |
| REPLACE | - | - | yes | - |

A task asks again for an interval it holds and gets the lock it has. A lock of lower priority that stands in the way is
revoked; its task then fails when it publishes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from controller.metadata.schema import task_locks
from controller.metadata.segments import used_segments
from controller.metadata.store import from_payload, now_ms, to_payload
from msq.intervals import Interval, format_instant, parse_instant

COMPATIBLE = {("SHARED", "SHARED"), ("APPEND", "APPEND"), ("APPEND", "REPLACE"), ("REPLACE", "APPEND")}
APPEND_VERSION = "1970-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class TaskLock:
    """One lock. `version` becomes the version of segments written under it."""

    task_id: str
    kind: str
    datasource: str
    interval: Interval
    version: str
    priority: int = 50
    revoked: bool = False
    row: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "granularity": "timeChunk", "type": self.kind, "groupId": self.task_id, "dataSource": self.datasource,
            "interval": str(self.interval), "version": self.version, "priority": self.priority,
            "revoked": self.revoked,
        }  # fmt: skip


def locks_of(connection: Connection, datasource: str | None = None, task_id: str | None = None) -> list[TaskLock]:
    """All locks, or those of a table or of a task, oldest first."""
    query = select(task_locks).order_by(task_locks.c.id)
    if task_id is not None:
        query = query.where(task_locks.c.task_id == task_id)
    found = []
    for row in connection.execute(query):
        value = from_payload(row.lock_payload)
        if datasource is None or value["dataSource"] == datasource:
            found.append(TaskLock(
                row.task_id, value["type"], value["dataSource"], Interval.parse(value["interval"]), value["version"],
                value["priority"], value["revoked"], row.id,
            ))  # fmt: skip
    return found


def acquire(
    connection: Connection, task_id: str, kind: str, datasource: str, interval: Interval, priority: int = 50
) -> TaskLock | None:
    """The task's lock over `interval`, or None while another task's lock is in the way. Call it in a transaction."""
    standing = locks_of(connection, datasource)
    for lock in standing:
        if lock.task_id == task_id and lock.kind == kind and lock.interval.contains(interval):
            return None if lock.revoked else lock
    in_the_way = [
        lock for lock in standing
        if lock.task_id != task_id and not lock.revoked and lock.interval.overlaps(interval)
        and (lock.kind, kind) not in COMPATIBLE
    ]  # fmt: skip
    if any(lock.priority >= priority for lock in in_the_way):
        return None
    for lock in in_the_way:
        revoke(connection, lock)
    version = APPEND_VERSION if kind == "APPEND" else _next_version(connection, datasource, interval, standing)
    made = TaskLock(task_id, kind, datasource, interval, version, priority)
    row = connection.execute(insert(task_locks).values(task_id=task_id, lock_payload=to_payload(made.to_json())))
    return replace(made, row=int(row.inserted_primary_key[0]) if row.inserted_primary_key else 0)


def _next_version(connection: Connection, datasource: str, interval: Interval, standing: list[TaskLock]) -> str:
    # the clock may stand still or run back: a later lock must still overshadow what is there
    now = format_instant(now_ms())
    known = [s.version for s in used_segments(connection, datasource, (interval,))]
    known += [lock.version for lock in standing if lock.interval.overlaps(interval)]
    latest = max(known, default="")
    if latest < now:
        return now
    try:
        return format_instant(parse_instant(latest) + 1)
    except ValueError:
        return latest + "_1"


def revoke(connection: Connection, lock: TaskLock) -> None:
    connection.execute(
        update(task_locks)
        .where(task_locks.c.id == lock.row)
        .values(lock_payload=to_payload(replace(lock, revoked=True).to_json()))
    )


def release(connection: Connection, task_id: str) -> None:
    """Gives up all locks of a task."""
    connection.execute(delete(task_locks).where(task_locks.c.task_id == task_id))
