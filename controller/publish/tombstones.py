"""Tombstones: what REPLACE publishes where older data must vanish and no new segment stands. Source: msq-engine 7.7."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from controller.metadata.locks import TaskLock
from msq.faults import InsertLockPreemptedFault, MSQError, TooManyBucketsFault
from msq.intervals import MAX_INSTANT, MIN_INSTANT, Granularity, Interval, subtract
from msq.segment.identity import DataSegment
from msq.segment.timeline import visible_chunks
from msq.stage.destination import DataSourceDestination

MAX_TOMBSTONES = 5_000


def tombstones_for(
    destination: DataSourceDestination, written: Sequence[DataSegment], existing: Iterable[DataSegment],
    held: Sequence[TaskLock],
) -> tuple[DataSegment, ...]:  # fmt: skip
    """One tombstone for each bucket of the statement's granularity that held data, is replaced, and got no rows.

    Raises MSQError: TooManyBuckets beyond 5,000, InsertLockPreempted without a lock over one.
    """
    if destination.keep_untouched:
        return ()
    empty = subtract(destination.replace_intervals or (), [Interval.parse(s.interval) for s in written])
    hidden = [
        part
        for chunk, shown in visible_chunks(existing)
        if not chunk.is_tombstone
        for interval in shown
        for hole in empty
        if (part := interval.intersect(hole)) is not None
    ]
    out: dict[Interval, DataSegment] = {}
    for part in sorted(hidden):
        for bucket in _buckets(destination.segment_granularity, part):
            clipped = _clip(bucket, empty)
            if clipped in out:
                continue
            lock = next((lock for lock in reversed(held) if lock.interval.contains(clipped)), None)
            if lock is None:
                raise MSQError(InsertLockPreemptedFault())
            out[clipped] = DataSegment.tombstone(destination.data_source, str(clipped), lock.version)
            if len(out) > MAX_TOMBSTONES:
                raise MSQError(TooManyBucketsFault(MAX_TOMBSTONES))
    return tuple(out.values())


def _buckets(granularity: Granularity, part: Interval) -> Iterator[Interval]:
    if granularity.is_all or part.start == MIN_INSTANT or part.end == MAX_INSTANT:
        # half-open ends of eternity are kept as one segment: cutting them would never end
        yield part
    else:
        yield from granularity.buckets(part)


def _clip(bucket: Interval, empty: Sequence[Interval]) -> Interval:
    """The bucket inside the hole that it starts in: a tombstone must not hide what was just written."""
    for hole in empty:
        if (inside := bucket.intersect(hole)) is not None:
            return inside
    return bucket
