"""Tables of the metadata store. Source: reference segment-v9 5.3; the `msq_` tables are ours.

Names, columns and indexes are Druid's, so that a real Druid could be pointed at the database; `payload` holds UTF-8
JSON.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

METADATA = MetaData()
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, **more: object) -> Column[str]:
    return Column(name, String(255), **more)  # type: ignore[arg-type]


segments = Table(
    "druid_segments", METADATA,
    _text("id", primary_key=True), _text("dataSource", nullable=False), _text("created_date", nullable=False),
    _text("start", nullable=False), _text("end", nullable=False), Column("partitioned", Boolean, nullable=False),
    _text("version", nullable=False), Column("used", Boolean, nullable=False),
    Column("payload", LargeBinary, nullable=False), _text("used_status_last_updated", nullable=False),
    _text("upgraded_from_segment_id"), _text("indexing_state_fingerprint"), _text("schema_fingerprint"),
    Column("num_rows", BigInteger),
    Index("idx_druid_segments_datasource_used_end_start", "dataSource", "used", "end", "start"),
    Index("idx_druid_segments_used", "used"),
    Index("idx_druid_segments_datasource_upgraded_from", "dataSource", "upgraded_from_segment_id"),
)  # fmt: skip

pending_segments = Table(
    "druid_pendingSegments", METADATA,
    _text("id", primary_key=True), _text("dataSource", nullable=False), _text("created_date", nullable=False),
    _text("start", nullable=False), _text("end", nullable=False), _text("sequence_name", nullable=False),
    _text("sequence_prev_id", nullable=False), _text("sequence_name_prev_id_sha1", nullable=False, unique=True),
    Column("payload", LargeBinary, nullable=False), _text("upgraded_from_segment_id"), _text("task_allocator_id"),
    Index("idx_druid_pendingSegments_datasource_end", "dataSource", "end"),
    Index("idx_druid_pendingSegments_datasource_sequence", "dataSource", "sequence_name"),
    Index("idx_druid_pendingSegments_datasource_allocator", "dataSource", "task_allocator_id"),
)  # fmt: skip

data_source = Table(
    "druid_dataSource", METADATA,
    _text("dataSource", primary_key=True), _text("created_date", nullable=False),
    Column("commit_metadata_payload", LargeBinary, nullable=False), _text("commit_metadata_sha1", nullable=False),
)  # fmt: skip

tasks = Table(
    "druid_tasks", METADATA,
    _text("id", primary_key=True), _text("created_date", nullable=False), _text("datasource", nullable=False),
    Column("payload", LargeBinary, nullable=False), Column("status_payload", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False, default=False), _text("type"), _text("group_id"),
    Index("idx_druid_tasks_active_created_date", "active", "created_date"),
    Index("idx_druid_tasks_datasource_active", "datasource", "active"),
)  # fmt: skip

task_locks = Table(
    "druid_tasklocks", METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True), _text("task_id"), Column("lock_payload", LargeBinary),
    Index("idx_druid_tasklocks_task_id", "task_id"),
)  # fmt: skip

rules = Table(
    "druid_rules", METADATA,
    _text("id", primary_key=True), _text("dataSource", nullable=False), _text("version", nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Index("idx_druid_rules_datasource", "dataSource"),
)  # fmt: skip

config = Table(
    "druid_config", METADATA, _text("name", primary_key=True), Column("payload", LargeBinary, nullable=False)
)

audit = Table(
    "druid_audit", METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True), _text("audit_key", nullable=False),
    _text("type", nullable=False), _text("author", nullable=False), Column("comment", String(2048), nullable=False),
    _text("created_date", nullable=False), Column("payload", LargeBinary, nullable=False),
    Index("idx_druid_audit_key_time", "audit_key", "created_date"),
    Index("idx_druid_audit_type_time", "type", "created_date"),
    Index("idx_druid_audit_time", "created_date"),
)  # fmt: skip

supervisors = Table(
    "druid_supervisors", METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True), _text("spec_id", nullable=False),
    _text("created_date", nullable=False), Column("payload", LargeBinary, nullable=False),
    Index("idx_druid_supervisors_spec_id", "spec_id"),
)  # fmt: skip

upgrade_segments = Table(
    "druid_upgradeSegments", METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True), _text("task_id", nullable=False),
    _text("segment_id", nullable=False), _text("lock_version", nullable=False),
    Index("idx_druid_upgradeSegments_task", "task_id"),
)  # fmt: skip

segment_schemas = Table(
    "druid_segmentSchemas", METADATA,
    Column("id", _SERIAL, primary_key=True, autoincrement=True), _text("created_date", nullable=False),
    _text("datasource", nullable=False), _text("fingerprint", nullable=False, unique=True),
    Column("payload", LargeBinary, nullable=False), Column("used", Boolean, nullable=False),
    _text("used_status_last_updated", nullable=False), Column("version", Integer, nullable=False),
    Index("idx_druid_segmentSchemas_used", "used"),
)  # fmt: skip

task_files = Table(
    "msq_task_files", METADATA,
    _text("task_id", primary_key=True), _text("kind", primary_key=True), Column("payload", LargeBinary, nullable=False),
)  # fmt: skip
"""What tasks leave behind: kind `report`, `log`, or `segments` (those it published)."""

task_owners = Table(
    "msq_task_owners", METADATA, _text("task_id", primary_key=True), Column("process", Text, nullable=False)
)
"""Which process runs an active task; see `controller.metadata.liveness`."""
