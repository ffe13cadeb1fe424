"""The segment generator's `dataSchema`: dimensions in order, metrics, roll-up, granularity. Source: msq-engine 7.3."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msq.codec import encode
from msq.context import QueryContext
from msq.datatypes import ColumnType, RowSignature
from msq.faults import ColumnTypeNotSupportedFault, MSQError, UnknownFault
from msq.frame.keys import ClusterBy
from msq.intervals import ETERNITY
from msq.native.aggregators import Aggregator
from msq.native.query import GroupByQuery, NativeQuery, ScanQuery
from msq.native.virtual import ExpressionVirtualColumn
from msq.plan.types import combining
from msq.stage.destination import ColumnMapping, DataSourceDestination

TIME = "__time"
NO_TRANSFORM: dict[str, Any] = {"filter": None, "transforms": []}


@dataclass(frozen=True)
class IngestColumns:
    """What reaches the segment generator: `columns` of the last stage, their `key`, and which outputs they feed."""

    columns: RowSignature
    key: ClusterBy
    mappings: tuple[ColumnMapping, ...]

    def outputs_of(self, query_column: str) -> tuple[str, ...]:
        return tuple(m.output_column for m in self.mappings if m.query_column == query_column)

    def type_of(self, output: str) -> ColumnType:
        query_column = next(m.query_column for m in self.mappings if m.output_column == output)
        found = self.columns.type_of(query_column)
        if found is None:
            raise ValueError(f"Output column [{output}] maps from [{query_column}], which the query does not produce")
        return found


def data_schema(
    query: NativeQuery, ingest: IngestColumns, destination: DataSourceDestination, context: QueryContext
) -> dict[str, Any]:
    """The JSON of the schema. Raises MSQError(ColumnTypeNotSupported) for a column that segments cannot hold."""
    rollup = is_rollup(query)
    order = segment_column_order(ingest, destination, context)
    aggregators = {a.name: a for a in (query.aggregations or ())} if rollup and isinstance(query, GroupByQuery) else {}
    dimensions: list[dict[str, Any]] = []
    metrics: list[dict[str, Any]] = []
    for output in order:
        column_type = ingest.type_of(output)
        aggregator = _aggregator(output, ingest, aggregators)
        if aggregator is not None:
            metrics.append(encode(combining(aggregator, output)))
        elif column_type.is_complex and not column_type.is_json:
            metrics.append(
                {"type": "passthrough", "columnName": output, "complexTypeName": column_type.complex_name}
            )  # fmt: skip
        else:
            dimensions.append(dimension(output, column_type, context))
    by_time = context.value("forceSegmentSortByTime")
    if by_time or (dimensions and dimensions[0]["name"] == TIME):
        dimensions = [d for d in dimensions if d["name"] != TIME]
    named = {d["name"] for d in dimensions}
    spec: dict[str, Any] = {
        "dimensions": dimensions, "dimensionExclusions": _exclusions(metrics, named), "includeAllDimensions": False,
        "useSchemaDiscovery": False,
    }  # fmt: skip
    if not by_time:
        spec["forceSegmentSortByTime"] = False
    return {
        "dataSource": destination.data_source,
        "timestampSpec": {"column": TIME, "format": "millis", "missingValue": None},
        "dimensionsSpec": spec,
        "metricsSpec": metrics,
        "granularitySpec": {
            "type": "arbitrary", "queryGranularity": query_granularity(query, rollup), "rollup": rollup,
            "intervals": [str(ETERNITY)],
        },
        "transformSpec": transform_spec(query),
    }  # fmt: skip


def is_rollup(query: NativeQuery) -> bool:
    """Whether rows of one group may be combined at rest: a group-by whose aggregates stay intermediate, by request."""
    context = QueryContext(query.context)
    return (
        isinstance(query, GroupByQuery)
        and not context.value("finalizeAggregations")
        and not context.value("groupByEnableMultiValueUnnesting")
    )


def segment_column_order(
    ingest: IngestColumns, destination: DataSourceDestination, context: QueryContext
) -> tuple[str, ...]:
    """Output columns in the order of a segment: requested order, time, clustering key, then the SELECT's."""
    outputs = tuple(m.output_column for m in ingest.mappings)
    order: dict[str, None] = dict.fromkeys(destination.segment_sort_order)
    if TIME in outputs and context.value("forceSegmentSortByTime"):
        order[TIME] = None
    for name in ingest.key.names:
        order.update(dict.fromkeys(ingest.outputs_of(name)))
    order.update(dict.fromkeys(outputs))
    return tuple(order)


def _aggregator(output: str, ingest: IngestColumns, aggregators: Mapping[str, Aggregator]) -> Aggregator | None:
    query_column = next(m.query_column for m in ingest.mappings if m.output_column == output)
    return aggregators.get(query_column)


def dimension(name: str, column_type: ColumnType, context: QueryContext) -> dict[str, Any]:
    """The dimension schema of a column of `column_type`."""
    mvd = context.value("arrayIngestMode") == "mvd"
    if name == TIME:
        return _simple("long", name, bitmap=False)
    if column_type.is_array and mvd:
        if column_type.element is not None and column_type.element.kind == "STRING":
            return {"type": "string", "name": name, "multiValueHandling": "ARRAY", "createBitmapIndex": True}
        # no fault of its own in Druid either
        raise MSQError(UnknownFault(
            f"Numeric arrays can only be ingested when 'arrayIngestMode' is set to 'array': column [{name}] is of type "
            f"[{column_type}]. Current value of the parameter is[mvd]"
        ))  # fmt: skip
    if column_type.is_json:
        return _auto(name, None)
    if column_type.is_array or context.value("useAutoColumnSchemas"):
        return _auto(name, column_type)
    if column_type.kind in ("STRING", "LONG", "FLOAT", "DOUBLE"):
        return _simple(column_type.kind.lower(), name, bitmap=column_type.kind == "STRING")
    raise MSQError(ColumnTypeNotSupportedFault(name, str(column_type)))


def _simple(kind: str, name: str, bitmap: bool) -> dict[str, Any]:
    return {"type": kind, "name": name, "multiValueHandling": "SORTED_ARRAY", "createBitmapIndex": bitmap}


def _auto(name: str, cast: ColumnType | None) -> dict[str, Any]:
    out: dict[str, Any] = {"type": "auto", "name": name}
    if cast is not None:
        out["castToType"] = str(cast)
    return {**out, "multiValueHandling": "SORTED_ARRAY", "createBitmapIndex": True}


def _exclusions(metrics: Iterable[Mapping[str, Any]], dimensions: set[str]) -> list[str]:
    """Names that schema discovery must not take for dimensions: time, and what metrics read and write."""
    names: dict[str, None] = {TIME: None}
    for metric in metrics:
        for key in ("name", "columnName", "fieldName", "timeColumn"):
            if metric.get(key) is not None:
                names[metric[key]] = None
        names.update(dict.fromkeys(metric.get("fieldNames") or ()))
    return [name for name in names if name not in dimensions]


def query_granularity(query: NativeQuery, rollup: bool) -> Any:
    """The floor of the grouping dimension that became `__time`, as the binder marked it; none otherwise."""
    text = query.context.get("timestampResultFieldGranularity")
    if not rollup or text is None:
        return {"type": "none"}
    return json.loads(text) if isinstance(text, str) else text


def transform_spec(query: NativeQuery) -> dict[str, Any]:
    """Filter and virtual columns of a scan with a filter, kept for later compaction; nothing runs it here."""
    if not isinstance(query, ScanQuery) or query.filter is None:
        return dict(NO_TRANSFORM)
    transforms = [
        {"type": "expression", "name": v.name, "expression": v.expression}
        for v in query.virtual_columns or () if isinstance(v, ExpressionVirtualColumn)
    ]  # fmt: skip
    return {"filter": encode(query.filter), "transforms": transforms}
