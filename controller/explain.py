"""EXPLAIN PLAN FOR: the native query, the resources and the attributes of a statement. Source: sql-surface 1.8."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msq.codec import encode
from msq.report import SUCCESS
from msq.stage.destination import DataSourceDestination

if TYPE_CHECKING:
    from controller.outcome import Outcome
    from msq.sql.bind import BoundQuery
    from msq.sql.statement import Statement

NAMES = ["PLAN", "RESOURCES", "ATTRIBUTES"]
_SYSTEM_KEYS = (
    "__timeColumn", "__user", "finalize", "maxParseExceptions", "rowBasedFrameType", "startTime",
    "windowFunctionOperatorTransformation",
)  # fmt: skip


@dataclass(frozen=True)
class Explained:
    """One row of three JSON texts."""

    plan: str
    resources: str
    attributes: str

    @property
    def names(self) -> list[str]:
        return NAMES

    @property
    def rows(self) -> list[list[Any]]:
        return [[self.plan, self.resources, self.attributes]]

    def outcome(self, task_id: str) -> Outcome:
        """The row as if a task had answered it."""
        from controller.outcome import Outcome

        results = {
            "signature": [{"name": n, "type": "STRING"} for n in NAMES], "sqlTypeNames": ["VARCHAR"] * 3,
            "results": self.rows, "resultsTruncated": False,
        }  # fmt: skip
        payload = {"results": results, "status": {"status": SUCCESS, "durationMs": 0}, "counters": {}}
        report = {"multiStageQuery": {"type": "multiStageQuery", "taskId": task_id, "payload": payload}}
        return Outcome(task_id, SUCCESS, report)


def explain(statement: Statement, bound: BoundQuery) -> Explained:
    """The plan as Druid prints it: the query's context without what only a running task adds."""
    query = encode(bound.query)
    query["context"] = {k: v for k, v in query.get("context", {}).items() if k not in _SYSTEM_KEYS}
    plan = [{
        "query": query,
        "signature": bound.signature.to_json(),
        "columnMappings": encode(bound.column_mappings),
    }]  # fmt: skip
    attributes: dict[str, Any] = {"statementType": statement.kind}
    destination = bound.destination
    if isinstance(destination, DataSourceDestination):
        attributes["targetDataSource"] = destination.data_source
        attributes["partitionedBy"] = destination.segment_granularity.to_json()
        clustered = [name for name in bound.clustered_by if name is not None]
        if clustered:
            attributes["clusteredBy"] = clustered
        if destination.replace_time_chunks is not None:
            whole = destination.replace_intervals is not None and destination.replace_intervals[0].is_eternity
            attributes["replaceTimeChunks"] = "all" if whole else ",".join(destination.replace_time_chunks)
    return Explained(_text(plan), _text(bound.resources()), _text(attributes))


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
