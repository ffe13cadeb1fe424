"""Tasks of types index_parallel, index and compact: their spec's statement, run under their own id and type."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from controller.catalog import MetadataCatalog
from controller.engine import Engine, Prepared
from controller.tasks.batch_spec import BatchStatement, compact_statement, index_statement
from controller.tasks.batch_sql import part, text_of
from controller.tasks.kill import new_task_id
from controller.tasks.row_meters import row_meters
from msq.faults import invalid_input
from msq.stage.destination import DataSourceDestination

INDEX = ("index_parallel", "index")
KINDS = (*INDEX, "compact")


@dataclass(frozen=True)
class BatchSubmission:
    """A task as it was posted, so that it can be prepared again; `own_context` as Engine.prepare takes it."""

    body: Mapping[str, Any]
    own_context: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "batch", "body": dict(self.body), "ownContext": dict(self.own_context)}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> BatchSubmission:
        return BatchSubmission(value["body"], value["ownContext"])


def with_id(body: Mapping[str, Any], datasource: str, prefix: str = "") -> dict[str, Any]:
    """The task with what Druid fills in: id, group, data source and resource."""
    task_id = str(body.get("id") or new_task_id(prefix, str(body["type"]), datasource))
    return {
        **body, "id": task_id, "groupId": body.get("groupId") or task_id, "dataSource": datasource,
        "resource": body.get("resource") or {"availabilityGroup": task_id, "requiredCapacity": 1},
    }  # fmt: skip


def table_of(body: Mapping[str, Any]) -> str:
    """The table that a task writes. Raises DruidException (400) where its spec names none."""
    if body["type"] not in INDEX:
        return text_of(body, "dataSource", "task")
    schema = part(part(body, "spec", "task", required=True), "dataSchema", "spec", required=True)
    return text_of(schema, "dataSource", "dataSchema")


def _statement(body: Mapping[str, Any], catalog: MetadataCatalog) -> BatchStatement:
    """`catalog`: where a compaction looks its table up. Raises DruidException: 400 for a bad spec, 501 for what no
    statement says."""
    if body["type"] in INDEX:
        return index_statement(body)
    name = table_of(body)
    return compact_statement(body, catalog.table(name), [v.segment for v in catalog.visible(name)])


def prepare_batch(engine: Engine, asked: BatchSubmission) -> Prepared:
    """The statement of a task with an id (see `with_id`), ready to be queued. Raises DruidException."""
    seen = MetadataCatalog(engine.store, engine.schema_of)
    made = _statement(asked.body, seen)
    context = {**made.context, "sqlQueryId": str(uuid.uuid4())}
    prepared = engine.prepare(made.sql, context, own_context=asked.own_context)
    if asked.body["type"] == "compact":
        # a column that comes later would be lost: the statement names those that there are
        if seen.table(made.datasource) != prepared.catalog.table(made.datasource):
            raise invalid_input(f"The columns of table [{made.datasource}] have just changed. Submit the task again.")
        prepared.catalog.unchanged = frozenset({made.datasource})
    destination = prepared.bound.destination
    assert isinstance(destination, DataSourceDestination)
    state = _state(asked.body) if asked.body["type"] == "compact" else None
    kept = replace(destination, keep_untouched=made.keep_untouched, compaction=state)
    return replace(prepared, bound=replace(prepared.bound, destination=kept), task=asked.body)


def _state(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a compaction was asked for, so that the next one finds it done."""
    asked = {key: body.get(key) for key in ("granularitySpec", "dimensionsSpec", "metricsSpec")}
    asked["partitionsSpec"] = (body.get("tuningConfig") or {}).get("partitionsSpec")
    return {
        key: {k: v for k, v in value.items() if v is not None} if isinstance(value, dict) else value
        for key, value in asked.items() if value is not None
    }  # fmt: skip


def ingestion_stats(report: Mapping[str, Any], task_id: str) -> dict[str, Any]:
    """The report of a native ingest, RP-12, from the one of the statement that it ran as. Counts are rows and bytes."""
    payload = report["multiStageQuery"]["payload"]
    status = payload.get("status", {})
    error = (status.get("errorReport") or {}).get("error", {})
    states = {"SUCCESS": "COMPLETED", "FAILED": "FAILED"}
    return {
        "type": "ingestionStatsAndErrors", "taskId": task_id,
        "payload": {
            "ingestionState": states.get(str(status.get("status")), "BUILD_SEGMENTS"), "unparseableEvents": {},
            "rowStats": {"buildSegments": row_meters(payload)}, "errorMsg": error.get("errorMessage"),
            "segmentAvailabilityConfirmed": status.get("status") == "SUCCESS", "segmentAvailabilityWaitTimeMs": 0,
            "recordsProcessed": None,
        },
    }  # fmt: skip
