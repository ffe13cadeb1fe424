"""Marking segments used and unused, and deleting unused ones, as the data management API does. Source: http-api 2.6."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from controller.metadata.segment_list import StoredSegment, find_segments, stored_segments
from controller.metadata.segments import delete_segments, set_used
from msq.intervals import Interval
from msq.segment.timeline import overshadowed


def mark_unused(connection: Connection, chosen: Iterable[StoredSegment]) -> int:
    """Answers how many rows changed."""
    return set_used(connection, [s.segment.id for s in chosen], used=False)


def mark_used(connection: Connection, datasource: str, chosen: Iterable[StoredSegment]) -> int:
    """Marks used what the used segments, and the chosen ones together with them, do not overshadow."""
    wanted = [s for s in chosen if not s.used]
    used = [s.segment for s in stored_segments(connection, datasource, used=True)]
    hidden = {s.id for s in overshadowed([*used, *(s.segment for s in wanted)])}
    return set_used(connection, [s.segment.id for s in wanted if s.segment.id not in hidden], used=True)


def within(
    connection: Connection, datasource: str, interval: Interval, versions: Sequence[str] | None,
    used: bool | None = None,
) -> list[StoredSegment]:  # fmt: skip
    """Rows of a table that lie completely in `interval`; of these versions only, if they are given."""
    return [
        s for s in stored_segments(connection, datasource, used)
        if interval.contains(s.interval) and (versions is None or s.segment.version in versions)
    ]  # fmt: skip


def by_ids(connection: Connection, datasource: str, ids: Iterable[str]) -> list[StoredSegment]:
    """Those of the ids that exist and belong to the table."""
    return [s for s in find_segments(connection, ids) if s.segment.datasource == datasource]


def forget(connection: Connection, chosen: Iterable[StoredSegment]) -> list[StoredSegment]:
    """Deletes the rows of those that are still unused; answers those whose files no other row refers to."""
    gone = [s for s in chosen if not s.used]
    delete_segments(connection, [s.segment.id for s in gone])
    kept = _load_specs(connection, {s.segment.datasource for s in gone})
    return [s for s in gone if not s.segment.is_tombstone and str(s.segment.load_spec) not in kept]


def _load_specs(connection: Connection, datasources: Iterable[str]) -> set[str]:
    return {str(s.segment.load_spec) for name in datasources for s in stored_segments(connection, name)}
