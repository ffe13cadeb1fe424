"""Concurrent locks: segments appended while a REPLACE runs are published again in the version that it commits.

Source: reference msq-engine 7.6; the table is druid_upgradeSegments.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select

from controller.metadata import locks
from controller.metadata import segments as segment_rows
from controller.metadata.schema import upgrade_segments
from msq.intervals import Interval
from msq.segment.identity import DataSegment, NumberedShardSpec
from msq.segment.stored import StoredSchema


def record_upgrades(connection: Connection, table: str, appended: Sequence[DataSegment]) -> None:
    """Notes for every running REPLACE over an appended segment that it must carry the segment over."""
    running = [lock for lock in locks.locks_of(connection, table) if lock.kind == "REPLACE" and not lock.revoked]
    for segment in appended:
        for lock in running:
            if lock.interval.contains(Interval.parse(segment.interval)):
                connection.execute(insert(upgrade_segments).values(
                    task_id=lock.task_id, segment_id=segment.id, lock_version=lock.version
                ))  # fmt: skip


def publish_upgrades(
    connection: Connection, task_id: str, table: str, written: Sequence[DataSegment],
    schemas: Mapping[str, StoredSchema],
) -> None:  # fmt: skip
    """Publishes the noted segments in the REPLACE's version, numbered behind its own."""
    noted = connection.execute(select(upgrade_segments).where(upgrade_segments.c.task_id == task_id)).all()
    if not noted:
        return
    by_id = {s.id: s for s in segment_rows.used_segments(connection, table)}
    known = segment_rows.schemas_of(connection, table)
    count: dict[str, int] = defaultdict(int)
    for segment in written:
        count[segment.interval] += 1
    taken = dict(count)
    upgraded, origin, carried = [], {}, {}
    for row in noted:
        old = by_id.get(row.segment_id)
        if old is None:
            continue
        number = taken.get(old.interval, 0)
        taken[old.interval] = number + 1
        new = replace(old, version=row.lock_version, shard_spec=NumberedShardSpec(number, count.get(old.interval, 0)))
        upgraded.append(new)
        origin[new.id] = old.id
        if old.id in known:
            carried[new.id] = known[old.id]
    segment_rows.insert_segments(connection, upgraded, {**schemas, **carried}, origin)
    connection.execute(delete(upgrade_segments).where(upgrade_segments.c.task_id == task_id))
