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
from controller.metadata.segments import SegmentIndex, used_segments
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


class LockBox:
    """The locks over one table as one transaction sees them: read once, however many intervals are asked for."""

    def __init__(self, connection: Connection, task_id: str, datasource: str, used: SegmentIndex | None = None) -> None:
        """`used`: the table's used segments, read here when they are not at hand."""
        self._used = used or SegmentIndex(used_segments(connection, datasource))
        self._connection = connection
        self._task_id = task_id
        self._datasource = datasource
        standing = locks_of(connection, datasource)
        self._held = [lock for lock in standing if lock.task_id == task_id]
        self._made: dict[tuple[str, Interval], TaskLock] = {}
        self._others = [lock for lock in standing if lock.task_id != task_id]

    def acquire(self, kind: str, interval: Interval, priority: int = 50) -> TaskLock | None:
        """The task's lock over `interval`, or None while another task's lock is in the way."""
        mine = self._made.get((kind, interval)) or next(
            (held for held in self._held if held.kind == kind and held.interval.contains(interval)), None
        )
        if mine is not None:
            return None if mine.revoked else mine
        in_the_way = [
            lock for lock in self._others
            if not lock.revoked and lock.interval.overlaps(interval) and (lock.kind, kind) not in COMPATIBLE
        ]  # fmt: skip
        if any(lock.priority >= priority for lock in in_the_way):
            return None
        for lock in in_the_way:
            revoke(self._connection, lock)
        version = APPEND_VERSION if kind == "APPEND" else self._next_version(interval)
        made = TaskLock(self._task_id, kind, self._datasource, interval, version, priority)
        row = self._connection.execute(
            insert(task_locks).values(task_id=self._task_id, lock_payload=to_payload(made.to_json()))
        )
        made = replace(made, row=int(row.inserted_primary_key[0]) if row.inserted_primary_key else 0)
        self._made[kind, interval] = made
        return made

    def _next_version(self, interval: Interval) -> str:
        # the clock may stand still or run back: a later lock must still overshadow what is there
        now = format_instant(now_ms())
        known = [s.version for s in self._used.overlapping(interval)]
        known += [lock.version for lock in self._others if lock.interval.overlaps(interval)]
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
