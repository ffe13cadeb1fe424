"""Pending segments: ids handed to appending tasks before they publish, in druid_pendingSegments. Source: 7.2."""

from __future__ import annotations

import hashlib
import struct

from sqlalchemy import Connection, delete, insert, select

from controller.metadata.schema import pending_segments, tasks
from controller.metadata.segments import SegmentIndex
from controller.metadata.store import from_payload, now_iso, to_payload
from msq.codec import decode, encode
from msq.intervals import Interval
from msq.segment.identity import DataSegment, NumberedShardSpec, ShardSpec
from msq.segment.timeline import visible_chunks


def allocate(
    connection: Connection, used_index: SegmentIndex, datasource: str, interval: Interval, lock_version: str,
    task_id: str, previous_id: str, count: int = 1,
) -> list[DataSegment] | None:  # fmt: skip
    """The next `count` free segment ids in the time chunk `interval`, recorded as pending for the task.

    `used_index`: the table's used segments as this transaction sees them.

    Joins the newest visible version of the chunk, else the one that other appenders already use, else `lock_version`.
    One answer whose interval is another one means: a coarser segment covers the chunk (nothing is recorded then).
    None: segments of another granularity stand inside it.
    """
    used = used_index.overlapping(interval)
    shown = [chunk for chunk, _ in visible_chunks(used) if chunk.interval.overlaps(interval)]
    other = [chunk for chunk in shown if chunk.interval != interval]
    if other:
        covering = next((c for c in other if c.interval.contains(interval)), None)
        if covering is None:
            return None
        return [_segment(datasource, covering.interval, covering.version, covering.segments[0].shard_spec)]
    waiting = _pending(connection, datasource, interval)
    if shown:
        chunk = shown[-1]
        version, core = chunk.version, chunk.core_partitions
    else:
        version, core = max((s.version for s in waiting), default=lock_version), 0
    taken = [s.shard_spec.partition_num for s in waiting if s.version == version]
    taken += [s.shard_spec.partition_num for s in _all_of(used, interval, version)]
    first = max(taken, default=-1) + 1
    made = [_segment(datasource, interval, version, NumberedShardSpec(first + n, core)) for n in range(count)]
    for segment in made:
        _record(connection, segment, task_id, previous_id)
        previous_id = segment.id
    return made


def _all_of(used: list[DataSegment], interval: Interval, version: str) -> list[DataSegment]:
    return [s for s in used if s.interval == str(interval) and s.version == version]


def _segment(datasource: str, interval: Interval, version: str, spec: ShardSpec) -> DataSegment:
    return DataSegment(datasource, str(interval), version, {}, (), (), spec)


def _pending(connection: Connection, datasource: str, interval: Interval) -> list[DataSegment]:
    start, _, end = str(interval).partition("/")
    found = []
    for row in connection.execute(
        select(pending_segments.c.payload).where(
            pending_segments.c.dataSource == datasource,
            pending_segments.c.start == start,
            pending_segments.c.end == end,
        )
    ):
        value = from_payload(row.payload)
        found.append(_segment(datasource, interval, value["version"], decode(ShardSpec, value["shardSpec"])))
    return found


def _record(connection: Connection, segment: DataSegment, task_id: str, previous_id: str) -> None:
    interval = Interval.parse(segment.interval)
    span = struct.pack("<qq", interval.start, interval.end)
    # the partition number stands in the digest: here a task allocates its chunks in one transaction, not by lineage
    lineage = b"\xff".join((task_id.encode(), span, segment.version.encode(), str(segment.id).encode()))
    connection.execute(insert(pending_segments).values(
        id=segment.id, dataSource=segment.datasource, created_date=now_iso(),
        start=segment.interval.partition("/")[0], end=segment.interval.partition("/")[2],
        sequence_name=task_id, sequence_prev_id=previous_id,
        sequence_name_prev_id_sha1=hashlib.sha1(lineage).hexdigest().upper(),
        payload=to_payload({
            "dataSource": segment.datasource, "interval": segment.interval, "version": segment.version,
            "shardSpec": encode(segment.shard_spec),
        }),
        task_allocator_id=task_id,
    ))  # fmt: skip


def delete_pending(connection: Connection, datasource: str, within: Interval | None = None) -> int:
    """Deletes ids of a table that no running task holds, of one interval if it is given; answers how many."""
    running = {row.id for row in connection.execute(select(tasks.c.id).where(tasks.c.active.is_(True)))}
    found = connection.execute(select(pending_segments).where(pending_segments.c.dataSource == datasource)).all()
    doomed = [
        row.id for row in found
        if row.task_allocator_id not in running
        and (within is None or within.contains(Interval.parse(f"{row.start}/{row.end}")))
    ]  # fmt: skip
    for segment_id in doomed:
        connection.execute(delete(pending_segments).where(pending_segments.c.id == segment_id))
    return len(doomed)
