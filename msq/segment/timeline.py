"""Which segments of a table are visible: newer versions overshadow older ones where they overlap.

Follows Druid's VersionedIntervalTimeline: a time chunk is (interval, version); it shows once its core partitions are
all there; of the chunks over an instant the one with the greatest version (compared as text) wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from msq.intervals import Interval, condense
from msq.segment.identity import DataSegment


@dataclass(frozen=True)
class Chunk:
    """All segments of one interval and version, by partition number."""

    interval: Interval
    version: str
    segments: tuple[DataSegment, ...]

    @property
    def core_partitions(self) -> int:
        return max((s.shard_spec.core_partitions for s in self.segments), default=0)

    @property
    def is_complete(self) -> bool:
        numbers = {s.shard_spec.partition_num for s in self.segments}
        return all(n in numbers for n in range(self.core_partitions))

    @property
    def is_tombstone(self) -> bool:
        return all(s.is_tombstone for s in self.segments)


@dataclass(frozen=True)
class VisibleSegment:
    """A segment and the parts of its interval in which nothing overshadows it."""

    segment: DataSegment
    intervals: tuple[Interval, ...]


def chunks(segments: Iterable[DataSegment]) -> tuple[Chunk, ...]:
    """Segments gathered by (interval, version), in order of time and version."""
    grouped: dict[tuple[str, str], list[DataSegment]] = defaultdict(list)
    for segment in segments:
        grouped[segment.interval, segment.version].append(segment)
    made = [
        Chunk(Interval.parse(interval), version, tuple(sorted(members, key=lambda s: s.shard_spec.partition_num)))
        for (interval, version), members in grouped.items()
    ]
    return tuple(sorted(made, key=lambda c: (c.interval, c.version)))


VisibleChunks = tuple[tuple[Chunk, tuple[Interval, ...]], ...]


def visible_chunks(segments: Iterable[DataSegment]) -> VisibleChunks:
    """Every chunk that shows somewhere, with the intervals where it does, in order of time."""
    complete = [c for c in chunks(segments) if c.is_complete]
    if len({(c.version) for c in complete}) <= 1 or not _overlapping(complete):
        return tuple((c, (c.interval,)) for c in complete)
    borders = sorted({t for c in complete for t in (c.interval.start, c.interval.end)})
    position = {t: i for i, t in enumerate(borders)}
    winner: list[Chunk | None] = [None] * (len(borders) - 1)
    for chunk in sorted(complete, key=lambda c: c.version):
        for at in range(position[chunk.interval.start], position[chunk.interval.end]):
            winner[at] = chunk
    shown: dict[int, list[Interval]] = defaultdict(list)
    for at, chosen in enumerate(winner):
        if chosen is not None:
            shown[id(chosen)].append(Interval(borders[at], borders[at + 1]))
    return tuple((c, condense(shown[id(c)])) for c in complete if id(c) in shown)


def visible_segments(
    segments: Iterable[DataSegment], within: Iterable[Interval] | None = None
) -> tuple[VisibleSegment, ...]:
    """Visible segments (tombstones left out) that overlap `within`, each clipped to it; None means all of time."""
    return clipped(visible_chunks(segments), within)


def clipped(shown: VisibleChunks, within: Iterable[Interval] | None = None) -> tuple[VisibleSegment, ...]:
    """`visible_segments` of chunks that are known to be visible."""
    wanted = None if within is None else condense(within)
    out = []
    for chunk, intervals in shown:
        if chunk.is_tombstone:
            continue
        if wanted is not None:
            intervals = condense(i for a in intervals for b in wanted if (i := a.intersect(b)) is not None)
        if intervals:
            out += [VisibleSegment(s, intervals) for s in chunk.segments if not s.is_tombstone]
    return tuple(out)


def overshadowed(segments: Iterable[DataSegment]) -> tuple[DataSegment, ...]:
    """Segments of complete chunks that show nowhere."""
    all_segments = tuple(segments)
    shown = {(str(c.interval), c.version) for c, _ in visible_chunks(all_segments)}
    complete = {(str(c.interval), c.version) for c in chunks(all_segments) if c.is_complete}
    return tuple(s for s in all_segments if (s.interval, s.version) in complete - shown)


def _overlapping(ordered: list[Chunk]) -> bool:
    end = None
    for chunk in ordered:
        if end is not None and chunk.interval.start < end:
            return True
        end = chunk.interval.end if end is None else max(end, chunk.interval.end)
    return False
