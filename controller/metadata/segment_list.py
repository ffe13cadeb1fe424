"""Rows of druid_segments as the metadata API shows and changes them: used and unused, by table, interval and id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from controller.metadata.schema import segments
from controller.metadata.store import from_payload
from msq.intervals import Interval
from msq.segment.identity import DataSegment


@dataclass(frozen=True)
class StoredSegment:
    """A row: the segment, whether it is used, when it was made and when that last changed (ISO)."""

    segment: DataSegment
    used: bool
    created: str
    updated: str | None

    @property
    def interval(self) -> Interval:
        return Interval.parse(self.segment.interval)


_COLUMNS = (segments.c.payload, segments.c.used, segments.c.created_date, segments.c.used_status_last_updated)


def _stored(row: Any) -> StoredSegment:
    return StoredSegment(
        DataSegment.from_json(from_payload(row.payload)), row.used, row.created_date, row.used_status_last_updated
    )


def stored_segments(connection: Connection, datasource: str, used: bool | None = None) -> list[StoredSegment]:
    """Rows of a table; `used` narrows them."""
    query = select(*_COLUMNS).where(segments.c.dataSource == datasource)
    if used is not None:
        query = query.where(segments.c.used.is_(used))
    return [_stored(row) for row in connection.execute(query)]


def find_segment(connection: Connection, segment_id: str) -> StoredSegment | None:
    row = connection.execute(select(*_COLUMNS).where(segments.c.id == segment_id)).first()
    return None if row is None else _stored(row)


def find_segments(connection: Connection, ids: Iterable[str]) -> list[StoredSegment]:
    """Those of the ids that exist."""
    return [found for i in ids if (found := find_segment(connection, i)) is not None]


def all_datasource_names(connection: Connection) -> list[str]:
    """Tables with any row, sorted."""
    return sorted(row.dataSource for row in connection.execute(select(segments.c.dataSource).distinct()))
