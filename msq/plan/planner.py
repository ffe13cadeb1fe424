"""From a bound statement to a QueryDefinition: the stages that run and that reports print.

A plan depends on nothing but its arguments: the same statement gives the same stages, numbered from the leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from msq.context import QueryContext
from msq.datatypes import RowSignature
from msq.native.query import NativeQuery
from msq.plan import group_by, scan, window  # noqa: F401  (each registers its query kind)
from msq.plan.bounds import bound
from msq.plan.builder import PlanBuilder
from msq.plan.checks import check_names, check_stage
from msq.plan.clustering import TIME_COLUMN_KEY
from msq.plan.queries import plan_query
from msq.plan.shuffles import ResultShuffle, single_partition, target_size
from msq.plan.terminal import add_export, add_segment_generator, add_select_results
from msq.stage.destination import (
    ColumnMapping,
    DataSourceDestination,
    Destination,
    DurableStorageDestination,
    ExportDestination,
)
from msq.stage.query import QueryDefinition

TableSignature = Callable[[str], RowSignature]


class BoundQuery(Protocol):
    """What planning needs of a bound statement (msq.sql.bind makes it; tests may make it of a recorded task)."""

    @property
    def query(self) -> NativeQuery:
        """The native query with its nested sources and its context, as a task's payload prints it."""
        ...

    @property
    def column_mappings(self) -> tuple[ColumnMapping, ...]: ...

    @property
    def destination(self) -> Destination: ...


def plan(
    bound_query: BoundQuery, *, query_id: str, context: Mapping[str, Any], max_workers: int,
    target_partitions_per_worker: int = 1, table_signature: TableSignature,
    results_context: Mapping[str, Any] | None = None,
) -> QueryDefinition:  # fmt: skip
    """The stages of `bound_query`, with runtime bounds applied.

    query_id: the controller task's id. context: the statement's own context. max_workers: maxNumTasks - 1.
    target_partitions_per_worker: what adjustable shuffles use when the context does not say. table_signature: columns
    of a table. results_context: `{"sqlTypeNames","sqlResultsContext"}`, kept in export stages.
    Raises MSQError with TooManyColumns, TooManyClusteredByColumns, ColumnNameRestricted, ColumnTypeNotSupported or
    QueryNotSupported.
    """
    settings = QueryContext(context)
    query, destination, mappings = bound_query.query, bound_query.destination, tuple(bound_query.column_mappings)
    check_names(query)
    query = _with_time_column(query, destination, mappings)
    builder = PlanBuilder(table_signature, settings.value("maxRowsMaterializedInWindow"))
    tuning = tuning_config(settings, max_workers)
    number = plan_query(builder, query, result_shuffle(destination, settings))
    if isinstance(destination, DataSourceDestination):
        add_segment_generator(builder, number, query, mappings, destination, settings, tuning)
    elif isinstance(destination, DurableStorageDestination):
        add_select_results(builder, number)
    elif isinstance(destination, ExportDestination):
        add_export(builder, number, destination, mappings, query_id, dict(results_context or {}))
    per_worker = settings.value("targetPartitionsPerWorker") or target_partitions_per_worker
    stages = tuple(bound(stage, max_workers, per_worker) for stage in builder.stages)
    for stage in stages:
        check_stage(stage, settings.value("maxClusteredByColumns"))
    return QueryDefinition(query_id, stages, dict(context))


def result_shuffle(destination: Destination, settings: QueryContext) -> ResultShuffle:
    """The shuffle of the outermost query's rows."""
    if isinstance(destination, DataSourceDestination):
        return target_size(settings.value("rowsPerSegment"))
    if isinstance(destination, (DurableStorageDestination, ExportDestination)):
        return target_size(settings.value("rowsPerPage"))
    return single_partition


def tuning_config(settings: QueryContext, max_workers: int) -> dict[str, Any]:
    """`tuningConfig` of the task's spec and of the segment generator."""
    out = {
        "maxNumWorkers": max_workers, "maxRowsInMemory": settings.value("maxRowsInMemory"),
        "rowsPerSegment": settings.value("rowsPerSegment"),
    }  # fmt: skip
    if settings.value("maxNumSegments") is not None:
        out["maxNumSegments"] = settings.value("maxNumSegments")
    if settings.value("indexSpec") is not None:
        out["indexSpec"] = complete_index_spec(settings.value("indexSpec"))
    return out


INDEX_SPEC_DEFAULTS: dict[str, Any] = {
    "bitmap": {"type": "roaring"}, "dimensionCompression": "lz4", "stringDictionaryEncoding": {"type": "utf8"},
    "metricCompression": "lz4", "longEncoding": "longs",
}  # fmt: skip


def complete_index_spec(given: Mapping[str, Any]) -> dict[str, Any]:
    """An index spec with Druid's defaults filled in, as it prints it."""
    return {**INDEX_SPEC_DEFAULTS, **given}


def _with_time_column(query: NativeQuery, destination: Destination, mappings: tuple[ColumnMapping, ...]) -> NativeQuery:
    """Ingests: the context names the query column that becomes `__time`."""
    if not isinstance(destination, DataSourceDestination):
        return query
    column = next((m.query_column for m in mappings if m.output_column == "__time"), None)
    if column is None:
        return query
    with_time: NativeQuery = query.with_context({**query.context, TIME_COLUMN_KEY: column})
    return with_time
