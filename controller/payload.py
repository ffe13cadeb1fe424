"""The JSON of a `query_controller` task, as it is stored and answered. Source: reference msq-engine 1.4."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from msq.codec import encode
from msq.plan.planner import tuning_config
from msq.stage.destination import DataSourceDestination, ExportDestination

if TYPE_CHECKING:
    from controller.prepared import Prepared

_SECRETS = ("accessKeyId", "secretAccessKey", "sessionToken", "httpAuthenticationPassword", "password", "key")
MASK = "<masked>"


def task_payload(prepared: Prepared) -> dict[str, Any]:
    """The task in Druid's key order; secrets of input sources are masked in its SQL text and query."""
    if prepared.task is not None:
        return dict(masked(prepared.task))
    bound, task_id = prepared.bound, prepared.task_id
    context = prepared.context
    query_context = {key: value for key, value in context.raw.items() if key != "__user"}
    destination = bound.destination
    if isinstance(destination, DataSourceDestination):
        query_context["sqlInsertSegmentGranularity"] = json.dumps(
            destination.segment_granularity.to_json(), separators=(",", ":")
        )
        if destination.replace_time_chunks is not None:
            everything = destination.replace_intervals and destination.replace_intervals[0].is_eternity
            query_context["sqlReplaceTimeChunks"] = "all" if everything else ",".join(destination.replace_time_chunks)
    return {
        "type": "query_controller", "id": task_id,
        "spec": {
            "query": masked(encode(bound.query)),
            "columnMappings": encode(bound.column_mappings),
            "destination": encode(destination),
            "assignmentStrategy": context.value("taskAssignment"),
            "tuningConfig": tuning_config(context, prepared.max_workers),
        },
        "sqlQuery": mask_sql(prepared.statement.text),
        "sqlQueryContext": query_context,
        "sqlResultsContext": bound.results_context.to_json(),
        "sqlTypeNames": list(bound.sql_type_names), "nativeTypeNames": list(bound.native_type_names),
        "context": task_context(bound.lookups), "groupId": task_id, "dataSource": datasource_of(prepared),
        "resource": {"availabilityGroup": task_id, "requiredCapacity": 1},
    }  # fmt: skip


def task_context(lookups: Collection[str]) -> dict[str, Any]:
    """The context of a task that reads these lookups."""
    loading: dict[str, Any] = (
        {"lookupLoadingMode": "ONLY_REQUIRED", "lookupsToLoad": sorted(lookups)}
        if lookups
        else {"lookupLoadingMode": "NONE"}
    )
    return {**loading, "useLineageBasedSegmentAllocation": True, "forceTimeChunkLock": True}


def datasource_of(prepared: Prepared) -> str:
    """The table a task writes, or Druid's names for tasks that write none."""
    destination = prepared.bound.destination
    if isinstance(destination, DataSourceDestination):
        return destination.data_source
    return "__query_export" if isinstance(destination, ExportDestination) else "__query_select"


def masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: MASK if k in _SECRETS and v is not None else masked(v) for k, v in value.items()}
    if isinstance(value, list):
        return [masked(v) for v in value]
    return value


def mask_sources(value: Any) -> Any:
    """Secrets of input sources replaced, wherever these stand."""
    if isinstance(value, dict):
        return {k: masked(v) if k == "inputSource" else mask_sources(v) for k, v in value.items()}
    if isinstance(value, list):
        return [mask_sources(v) for v in value]
    return value


def mask_sql(sql: str) -> str:
    """The statement's text with the values of secret keys in its JSON literals replaced."""
    keys = "|".join(_SECRETS)
    return re.sub(rf'("(?:{keys})"\s*:\s*)("(?:[^"\\]|\\.)*"|\{{[^{{}}]*\}})', rf'\1"{MASK}"', sql)
