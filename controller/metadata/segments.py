"""Rows of druid_segments and druid_segmentSchemas: reading, inserting, marking."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, true, update

from controller.metadata.schema import segment_schemas, segments
from controller.metadata.store import from_payload, now_iso, to_payload
from msq.datatypes import RowSignature
from msq.intervals import Interval, format_instant
from msq.segment.identity import DataSegment


@dataclass(frozen=True)
class StoredSchema:
    """What a segment's columns are: `multi_value` names those STRING columns that hold several values in some row."""

    signature: RowSignature
    multi_value: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "rowSignature": self.signature.to_json(),
            "aggregators": {},
            "multiValueColumns": list(self.multi_value),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> StoredSchema:
        return StoredSchema(RowSignature.from_json(value["rowSignature"]), tuple(value.get("multiValueColumns", ())))


def used_segments(
    connection: Connection, datasource: str, within: Sequence[Interval] | None = None
) -> list[DataSegment]:
    """Used segments of a table, overshadowed ones too, that overlap `within` (None: all)."""
    query = select(segments.c.payload).where(segments.c.dataSource == datasource, segments.c.used.is_(True))
    if within is not None and within:
        first, last = min(i.start for i in within), max(i.end for i in within)
        query = query.where(overlapping_text(segments.c.start, segments.c.end, Interval(first, last)))
    found = [DataSegment.from_json(from_payload(row.payload)) for row in connection.execute(query)]
    if within is None:
        return found
    return [s for s in found if any(Interval.parse(s.interval).overlaps(i) for i in within)]


_PLAIN_LENGTH = len("2000-01-01T00:00:00.000Z")


def overlapping_text(start: Any, end: Any, interval: Interval) -> Any:
    """A condition that rows overlapping `interval` meet, by their ISO texts; some others may meet it too.

    Texts order as times do only for years of four digits; rows or intervals of other years are not left out.
    """
    low, high = format_instant(interval.start), format_instant(interval.end)
    if len(low) != _PLAIN_LENGTH or len(high) != _PLAIN_LENGTH:
        return true()
    odd = or_(func.length(start) != _PLAIN_LENGTH, func.length(end) != _PLAIN_LENGTH)
    return or_(and_(start < high, end > low), odd)


def insert_segments(
    connection: Connection,
    new: Iterable[DataSegment],
    schemas: Mapping[str, StoredSchema] | None = None,
    upgraded_from: Mapping[str, str] | None = None,
) -> None:
    """Adds segments as used. `schemas` by segment id. An id that is there already is left as it is."""
    now = now_iso()
    for segment in new:
        if exists(connection, segment.id):
            continue
        start, _, end = segment.interval.partition("/")
        schema = (schemas or {}).get(segment.id)
        connection.execute(insert(segments).values(
            id=segment.id, dataSource=segment.datasource, created_date=now, start=start, end=end, partitioned=True,
            version=segment.version, used=True, payload=to_payload(segment.to_json()), used_status_last_updated=now,
            upgraded_from_segment_id=(upgraded_from or {}).get(segment.id), num_rows=segment.total_rows,
            schema_fingerprint=None if schema is None else _store_schema(connection, segment.datasource, schema, now),
        ))  # fmt: skip


def _store_schema(connection: Connection, datasource: str, schema: StoredSchema, now: str) -> str:
    payload = to_payload(schema.to_json())
    fingerprint = hashlib.sha256(datasource.encode() + b"\xff" + payload).hexdigest().upper()
    known = select(segment_schemas.c.id).where(segment_schemas.c.fingerprint == fingerprint)
    if connection.execute(known).first() is None:
        connection.execute(insert(segment_schemas).values(
            created_date=now, datasource=datasource, fingerprint=fingerprint, payload=payload, used=True,
            used_status_last_updated=now, version=1,
        ))  # fmt: skip
    return fingerprint


def schemas_of(connection: Connection, datasource: str) -> dict[str, StoredSchema]:
    """Stored schemas of a table's used segments, by segment id; segments without one are missing."""
    rows = connection.execute(
        select(segments.c.id, segments.c.schema_fingerprint).where(
            segments.c.dataSource == datasource, segments.c.used.is_(True), segments.c.schema_fingerprint.is_not(None)
        )
    ).all()
    payloads = {
        row.fingerprint: StoredSchema.from_json(from_payload(row.payload))
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
