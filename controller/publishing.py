"""Publisher: how the controller turns output partitions into segment ids, and written segments into visible ones.

The controller calls, in this order: `lock` until it answers true (before any stage), `allocate` once the boundaries of
the stage before the segment generator are known, `publish` once all segments are written; `abort` instead of the rest
when the query fails. Implemented by controller.publish.publisher over the metadata store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from msq.segment.identity import DataSegment
from msq.segment.stored import StoredSchema


@dataclass(frozen=True)
class OutputPartition:
    """A non-empty output partition. `time`: ms inside its time chunk (start of `__bucket`; 0 for ALL).

    `start` and `end` are the values of the shard columns at the partition's key borders; None where there are no shard
    columns. The publisher opens the first start and the last end of a chunk itself.
    """

    partition: int
    time: int
    start: tuple[Any, ...] | None = None
    end: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class ShardColumns:
    """Output columns of a `range` shard spec; `virtual_columns` JSON for those that are computed and not stored."""

    dimensions: tuple[str, ...]
    virtual_columns: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Published:
    """What one transaction made visible: `segments` with rows and `tombstones` that hide older ones."""

    segments: tuple[DataSegment, ...]
    tombstones: tuple[DataSegment, ...]


FinalReport = Callable[[Published], dict[str, Any]]
"""The JSON of the report that a task ends with, given what it is about to make visible."""


class Publisher(Protocol):
    def lock(self) -> bool:
        """Whether the task holds the locks it needs to start (REPLACE: every interval it overwrites). Does not wait."""
        ...

    def allocate(
        self, partitions: Sequence[OutputPartition], shard_columns: ShardColumns | None
    ) -> dict[int, DataSegment]:
        """A segment without files (size 0) for every partition, by partition number.

        Raises MSQError: InsertTimeOutOfBounds, InsertCannotAllocateSegment, InsertLockPreempted,
        TooManySegmentsInTimeChunk.
        """
        ...

    def publish(
        self, segments: Sequence[DataSegment], schemas: Mapping[str, StoredSchema], report: FinalReport | None = None
    ) -> Published:
        """Makes the segments, and the tombstones that REPLACE needs, visible in one transaction.

        `schemas`: the columns of each segment, by its id. The same transaction keeps `report`, so that a process that
        dies before it says how its task ended leaves it.

        Raises MSQError: InsertLockPreempted when a lock was lost, TooManyBuckets for too many tombstones; nothing is
        published then.
        """
        ...

    def abort(self) -> None:
        """Gives back what was allocated. May be called at any time, also twice."""
        ...
