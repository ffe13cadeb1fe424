"""TablePublisher: allocation and publishing of one INSERT or REPLACE over the metadata store.

Source: reference msq-engine 7.2, 7.6, 7.7. INSERT appends to the newest version of each time chunk under a SHARED (or
APPEND) lock taken at allocation; REPLACE writes a new version under EXCLUSIVE (or REPLACE) locks held from the start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete

from controller.metadata import locks, pending
from controller.metadata import segments as segment_rows
from controller.metadata.schema import pending_segments
from controller.metadata.store import MetadataStore, from_payload, to_payload
from controller.metadata.tasks import PUBLISHED, REPORT, delete_file, get_file, put_file
from controller.publish.tombstones import tombstones_for
from controller.publish.upgrade import publish_upgrades, record_upgrades
from controller.publishing import FinalReport, OutputPartition, Published, ShardColumns
from msq.faults import (
    InsertCannotAllocateSegmentFault,
    InsertLockPreemptedFault,
    InsertTimeOutOfBoundsFault,
    MSQError,
    TooManySegmentsInTimeChunkFault,
    UnknownFault,
)
from msq.intervals import ETERNITY, Interval, format_instant
from msq.segment.identity import DataSegment, NumberedShardSpec, RangeShardSpec, ShardSpec
from msq.segment.stored import StoredSchema
from msq.stage.destination import DataSourceDestination

Discard = Callable[[DataSegment], None]

ALLOCATED = "allocated"
"""Kind of the task file that lists the segments a task may have written and has not published yet."""


@dataclass
class TablePublisher:
    """See controller.publishing.Publisher.

    `discard` deletes the files of a segment that is not published.
    """

    store: MetadataStore
    task_id: str
    destination: DataSourceDestination
    priority: int = 50
    concurrent_locks: bool = False
    lock_type: str | None = None
    max_num_segments: int | None = None
    discard: Discard | None = None
    _allocated: list[DataSegment] = field(default_factory=list)

    @property
    def replacing(self) -> bool:
        return self.destination.replace_time_chunks is not None

    @property
    def lock_kind(self) -> str:
        if self.lock_type is not None:
            return self.lock_type
        if self.replacing:
            return "REPLACE" if self.concurrent_locks else "EXCLUSIVE"
        return "APPEND" if self.concurrent_locks else "SHARED"

    def lock(self) -> bool:
        if not self.replacing:
            return True
        table = self.destination.data_source
        wanted = self.destination.replace_intervals or ()
        with self.store.transaction() as connection:
            box = locks.LockBox(connection, self.task_id, table)
            made = [box.acquire(self.lock_kind, interval, self.priority) for interval in wanted]
            if all(lock is not None for lock in made):
                return True
            # all or none: a task that waits with half its locks could wait for ever
            locks.release(connection, self.task_id)
        return False

    def allocate(
        self, partitions: Sequence[OutputPartition], shard_columns: ShardColumns | None
    ) -> dict[int, DataSegment]:
        granularity = self.destination.segment_granularity
        by_chunk: dict[Interval, list[OutputPartition]] = defaultdict(list)
        for partition in partitions:
            if not ETERNITY.start <= partition.time < ETERNITY.end:
                raise MSQError(UnknownFault(
                    f"Time [{partition.time}] ms of __time lies outside of [{ETERNITY}], all that segments can "
                    "hold. Check the time format, or filter such rows with WHERE."
                ))  # fmt: skip
            by_chunk[granularity.bucket(partition.time)].append(partition)
        for chunk, members in by_chunk.items():
            if self.max_num_segments is not None and len(members) > self.max_num_segments:
                raise MSQError(TooManySegmentsInTimeChunkFault(
                    format_instant(chunk.start), len(members), self.max_num_segments, granularity.name
                ))  # fmt: skip
        with self.store.transaction() as connection:
            if self.replacing:
                made = self._allocate_replace(connection, by_chunk, shard_columns)
            else:
                made = self._allocate_append(connection, by_chunk)
            # what a killed process leaves in deep storage is found by this list
            listed = [s.to_json() for s in made.values()]
            put_file(connection, self.task_id, ALLOCATED, to_payload(listed))
        self._allocated = list(made.values())
        return made

    def _allocate_replace(
        self, connection: Connection, by_chunk: dict[Interval, list[OutputPartition]],
        shard_columns: ShardColumns | None,
    ) -> dict[int, DataSegment]:  # fmt: skip
        bounds = self.destination.replace_intervals or ()
        held = [lock for lock in locks.locks_of(connection, task_id=self.task_id) if not lock.revoked]
        out: dict[int, DataSegment] = {}
        for chunk, members in by_chunk.items():
            if not any(b.contains(chunk) for b in bounds):
                raise MSQError(InsertTimeOutOfBoundsFault(str(chunk), tuple(str(b) for b in bounds)))
            covering = [lock for lock in held if lock.interval.contains(chunk)]
            if not covering:
                raise MSQError(InsertLockPreemptedFault())
            for number, member in enumerate(members):
                spec = _replace_spec(member, number, len(members), shard_columns)
                out[member.partition] = self._segment(chunk, covering[-1].version, spec)
        return out

    def _allocate_append(
        self, connection: Connection, by_chunk: dict[Interval, list[OutputPartition]]
    ) -> dict[int, DataSegment]:
        table = self.destination.data_source
        out: dict[int, DataSegment] = {}
        previous = ""
        used = segment_rows.SegmentIndex(segment_rows.used_segments(connection, table))
        box = locks.LockBox(connection, self.task_id, table, used)
        for chunk, members in by_chunk.items():
            lock = box.acquire(self.lock_kind, chunk, self.priority)
            if lock is None:
                raise MSQError(InsertCannotAllocateSegmentFault(table, str(chunk)))
            made = pending.allocate(
                connection, used, table, chunk, lock.version, self.task_id, previous, count=len(members)
            )
            if made is None:
                raise MSQError(InsertCannotAllocateSegmentFault(table, str(chunk)))
            if made[0].interval != str(chunk):
                raise MSQError(InsertCannotAllocateSegmentFault(table, str(chunk), made[0].interval))
            previous = made[-1].id
            out.update((member.partition, segment) for member, segment in zip(members, made, strict=True))
        return out

    def _segment(self, chunk: Interval, version: str, spec: ShardSpec) -> DataSegment:
        return DataSegment(self.destination.data_source, str(chunk), version, {}, (), (), spec)

    def publish(
        self, segments: Sequence[DataSegment], schemas: Mapping[str, StoredSchema], report: FinalReport | None = None
    ) -> Published:
        with self.store.transaction() as connection:
            held = locks.locks_of(connection, task_id=self.task_id)
            needed = [Interval.parse(s.interval) for s in segments] + list(self.destination.replace_intervals or ())
            for interval in needed:
                if not any(lock.interval.contains(interval) and not lock.revoked for lock in held):
                    raise MSQError(InsertLockPreemptedFault())
            tombstones: tuple[DataSegment, ...] = ()
            if self.replacing:
                existing = segment_rows.used_segments(connection, self.destination.data_source)
                tombstones = tombstones_for(self.destination, segments, existing, held)
            elif self.lock_kind == "APPEND":
                record_upgrades(connection, self.destination.data_source, segments)
            segment_rows.insert_segments(connection, (*segments, *tombstones), schemas)
            if self.lock_kind == "REPLACE":
                publish_upgrades(connection, self.task_id, self.destination.data_source, segments, schemas)
            made = [s.to_json() for s in (*segments, *tombstones)]
            put_file(connection, self.task_id, PUBLISHED, to_payload(made))
            published = Published(tuple(segments), tombstones)
            if report is not None:
                put_file(connection, self.task_id, REPORT, to_payload(report(published)))
            self._free(connection)
        self._allocated = []
        return published

    def abort(self) -> None:
        if self.discard is not None:
            for segment in self._allocated:
                self.discard(segment)
        self._allocated = []
        with self.store.transaction() as connection:
            self._free(connection)

    def _free(self, connection: Connection) -> None:
        delete_file(connection, self.task_id, ALLOCATED)
        connection.execute(delete(pending_segments).where(pending_segments.c.task_allocator_id == self.task_id))
        locks.release(connection, self.task_id)


def discard_unpublished(connection: Connection, task_id: str, discard: Discard) -> None:
    """Deletes what a task that died had written and not published."""
    listed = get_file(connection, task_id, ALLOCATED)
    if listed is None:
        return
    for value in from_payload(listed):
        segment = DataSegment.from_json(value)
        if not segment_rows.exists(connection, segment.id):
            discard(segment)
    delete_file(connection, task_id, ALLOCATED)


def _replace_spec(
    member: OutputPartition, number: int, count: int, shard_columns: ShardColumns | None
) -> NumberedShardSpec | RangeShardSpec:
    if shard_columns is None:
        return NumberedShardSpec(number, count)
    start = None if number == 0 else _texts(member.start)
    end = None if number == count - 1 else _texts(member.end)
    virtual: tuple[Any, ...] | None = shard_columns.virtual_columns or None
    return RangeShardSpec(shard_columns.dimensions, start, end, number, count, virtual)


def _texts(values: tuple[Any, ...] | None) -> tuple[str | None, ...] | None:
    return None if values is None else tuple(None if v is None else str(v) for v in values)
