"""Rows of druid_segments and druid_segmentSchemas: reading, inserting, marking."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from controller.metadata.schema import segment_schemas, segments
from controller.metadata.store import from_payload, now_iso, to_payload
from msq.intervals import DAY_MS, Interval
from msq.segment.identity import DataSegment
from msq.segment.stored import StoredSchema

_IDS_A_QUERY = 500


def used_segments(
    connection: Connection, datasource: str, within: Sequence[Interval] | None = None
) -> list[DataSegment]:
    """Used segments of a table, overshadowed ones too, that overlap `within` (None: all)."""
    query = select(segments.c.payload).where(segments.c.dataSource == datasource, segments.c.used.is_(True))
    found = [_segment(bytes(row.payload)) for row in connection.execute(query)]
    if within is None:
        return found
    return [s for s in found if any(Interval.parse(s.interval).overlaps(i) for i in within)]


@lru_cache(maxsize=65_536)
def _segment(payload: bytes) -> DataSegment:
    """A segment of its row; rows never change, and every query reads those of its tables."""
    return DataSegment.from_json(from_payload(payload))


@lru_cache(maxsize=16_384)
def _schema(payload: bytes) -> StoredSchema:
    return StoredSchema.from_json(from_payload(payload))


class SegmentIndex:
    """Segments by time: finds those that overlap an interval without looking at all of them."""

    _WIDE_MS = 370 * DAY_MS

    def __init__(self, found: Iterable[DataSegment]) -> None:
        timed = sorted(((Interval.parse(s.interval), s) for s in found), key=lambda pair: pair[0])
        # the few that span years are looked at each time, so that the rest lie within a known distance
        self._wide = [(i, s) for i, s in timed if i.end - i.start > self._WIDE_MS]
        self._narrow = [(i, s) for i, s in timed if i.end - i.start <= self._WIDE_MS]
        self._starts = [i.start for i, _ in self._narrow]

    def overlapping(self, interval: Interval) -> list[DataSegment]:
        first = bisect_left(self._starts, interval.start - self._WIDE_MS)
        last = bisect_left(self._starts, interval.end)
        return [s for i, s in (*self._wide, *self._narrow[first:last]) if i.overlaps(interval)]


def insert_segments(
    connection: Connection,
    new: Iterable[DataSegment],
    schemas: Mapping[str, StoredSchema] | None = None,
    upgraded_from: Mapping[str, str] | None = None,
) -> None:
    """Adds segments as used. `schemas` by segment id. An id that is there already is left as it is."""
    now = now_iso()
    rows: list[dict[str, Any]] = []
    payloads: dict[str, tuple[str, bytes]] = {}
    wanted = list(new)
    there = _existing(connection, [s.id for s in wanted])
    for segment in wanted:
        if segment.id in there:
            continue
        there.add(segment.id)
        start, _, end = segment.interval.partition("/")
        schema = (schemas or {}).get(segment.id)
        fingerprint = None
        if schema is not None:
            payload = to_payload(schema.to_json())
            fingerprint = hashlib.sha256(segment.datasource.encode() + b"\xff" + payload).hexdigest().upper()
            payloads[fingerprint] = (segment.datasource, payload)
        rows.append({
            "id": segment.id, "dataSource": segment.datasource, "created_date": now, "start": start, "end": end,
            "partitioned": True, "version": segment.version, "used": True, "payload": to_payload(segment.to_json()),
            "used_status_last_updated": now, "upgraded_from_segment_id": (upgraded_from or {}).get(segment.id),
            "num_rows": segment.total_rows, "schema_fingerprint": fingerprint,
        })  # fmt: skip
    for fingerprint, (datasource, payload) in payloads.items():
        _store_schema(connection, datasource, fingerprint, payload, now)
    if rows:
        connection.execute(insert(segments), rows)


def _existing(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those of `ids` that are published, used or not."""
    found: set[str] = set()
    for at in range(0, len(ids), _IDS_A_QUERY):
        some = select(segments.c.id).where(segments.c.id.in_(ids[at : at + _IDS_A_QUERY]))
        found.update(row.id for row in connection.execute(some))
    return found


def _store_schema(connection: Connection, datasource: str, fingerprint: str, payload: bytes, now: str) -> None:
    known = select(segment_schemas.c.id).where(segment_schemas.c.fingerprint == fingerprint)
    if connection.execute(known).first() is None:
        connection.execute(insert(segment_schemas).values(
            created_date=now, datasource=datasource, fingerprint=fingerprint, payload=payload, used=True,
            used_status_last_updated=now, version=1,
        ))  # fmt: skip


def schemas_of(connection: Connection, datasource: str) -> dict[str, StoredSchema]:
    """Stored schemas of a table's used segments, by segment id; segments without one are missing."""
    rows = connection.execute(
        select(segments.c.id, segments.c.schema_fingerprint).where(
            segments.c.dataSource == datasource, segments.c.used.is_(True), segments.c.schema_fingerprint.is_not(None)
        )
    ).all()
    payloads = {
        row.fingerprint: _schema(bytes(row.payload))
        for row in connection.execute(
            select(segment_schemas.c.fingerprint, segment_schemas.c.payload).where(
                segment_schemas.c.datasource == datasource
            )
        )
    }
    return {row.id: payloads[row.schema_fingerprint] for row in rows if row.schema_fingerprint in payloads}


def datasource_names(connection: Connection) -> list[str]:
    """Tables that have used segments, sorted."""
    rows = connection.execute(select(segments.c.dataSource).where(segments.c.used.is_(True)).distinct())
    return sorted(row.dataSource for row in rows)


def exists(connection: Connection, segment_id: str) -> bool:
    """Whether the segment is published, used or not."""
    return connection.execute(select(segments.c.id).where(segments.c.id == segment_id)).first() is not None


def set_used(connection: Connection, ids: Iterable[str], used: bool) -> int:
    """Marks segments; answers how many rows changed."""
    changed = 0
    for segment_id in ids:
        result = connection.execute(
            update(segments)
            .where(segments.c.id == segment_id, segments.c.used.is_(not used))
            .values(used=used, used_status_last_updated=now_iso())
        )
        changed += result.rowcount
    return changed


def delete_segments(connection: Connection, ids: Iterable[str]) -> None:
    """Removes unused rows; used ones stay."""
    for segment_id in ids:
        connection.execute(delete(segments).where(segments.c.id == segment_id, segments.c.used.is_(False)))
