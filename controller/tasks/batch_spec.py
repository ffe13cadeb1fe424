"""Native batch tasks as SQL statements: `index_parallel`, `index` and `compact`. Source: http-api T-12.

A spec becomes the INSERT or REPLACE that does the same, so it runs as every statement does. Parts of a spec that no
statement says are refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.tasks.batch_sql import (
    CASTABLE,
    Dimension,
    Json,
    Metric,
    TimeColumn,
    floored,
    granularity,
    literal,
    only,
    part,
    partitioned_by,
    quoted,
    text_of,
    unsupported,
    within,
)
from msq.catalog import TableSchema, sql_type_name
from msq.faults import invalid_input
from msq.intervals import Granularity, Interval, condense
from msq.segment.identity import DataSegment

_UNLIMITED = (None, -1, 2_147_483_647)
_IN_MEMORY_ROWS = 5_000_000
_PASSED_ON = ("priority", "useConcurrentLocks", "taskLockType", "storeCompactionState")
# what only says how a JVM should go about it
_IGNORED = (
    "type", "maxRowsInMemory", "maxBytesInMemory", "skipBytesInMemoryOverheadCheck", "splitHintSpec",
    "indexSpecForIntermediatePersists", "maxPendingPersists", "forceGuaranteedRollup", "pushTimeout",
    "segmentWriteOutMediumFactory", "maxRetry", "taskStatusCheckPeriodMs", "chatHandlerTimeout",
    "chatHandlerNumRetries", "maxNumSegmentsToMerge", "totalNumMergeTasks", "logParseExceptions",
    "maxSavedParseExceptions", "maxColumnsToMerge", "awaitSegmentAvailabilityTimeoutMillis", "numPersistThreads",
    "maxAllowedLockCount", "maxTotalRows", "appendableIndexSpec",
)  # fmt: skip
_TUNED = ("maxNumConcurrentSubTasks", "maxParseExceptions", "reportParseExceptions", "partitionsSpec",
          "maxRowsPerSegment", "indexSpec")  # fmt: skip


@dataclass(frozen=True)
class BatchStatement:
    """A spec's statement and its context. keep_untouched: time chunks without new rows stay as they are."""

    datasource: str
    sql: str
    context: Mapping[str, Any]
    keep_untouched: bool = False


# -- index_parallel ----------------------------------------------------------------------------------------------------


def index_statement(body: Json) -> BatchStatement:
    """A task of type index_parallel or index. Raises DruidException: 400 for a bad spec, 501 for what lacks."""
    spec = part(body, "spec", "task", required=True)
    only(spec, ("dataSchema", "ioConfig", "tuningConfig", "type"), "spec")
    schema, io_config = part(spec, "dataSchema", "spec", True), part(spec, "ioConfig", "spec", True)
    only(schema, ("dataSource", "timestampSpec", "dimensionsSpec", "metricsSpec", "granularitySpec", "transformSpec"),
         "dataSchema")  # fmt: skip
    only(io_config, ("type", "inputSource", "inputFormat", "appendToExisting", "dropExisting"), "ioConfig")
    name = text_of(schema, "dataSource", "dataSchema")
    _check_transforms(schema)
    time = TimeColumn.of(part(schema, "timestampSpec", "dataSchema"))
    grains = Grains.of(part(schema, "granularitySpec", "dataSchema"), "DAY")
    dimensions = _dimensions(part(schema, "dimensionsSpec", "dataSchema"), time)
    metrics = [Metric.of(m) for m in _listed(schema, "metricsSpec", "dataSchema")]
    append, drop = bool(io_config.get("appendToExisting")), bool(io_config.get("dropExisting"))
    if drop and (append or not grains.intervals):
        raise invalid_input("[ioConfig.dropExisting] needs [granularitySpec.intervals], and no [appendToExisting]")
    tuning = Tuning.of(part(spec, "tuningConfig", "spec"), append)
    where = [] if tuning.strict else ['"__time" IS NOT NULL']
    where += [f"({within(grains.intervals)})"] if grains.intervals else []
    source = _extern(io_config, time, dimensions, metrics)
    overwrite = f"WHERE {within(grains.intervals)}" if drop else "ALL"
    head = f"INSERT INTO {quoted(name)}" if append else f"REPLACE INTO {quoted(name)} OVERWRITE {overwrite}"
    sql = _statement(head, grains, dimensions, metrics, source, where, tuning.clustered_by)
    return BatchStatement(name, sql, {**tuning.context, **_passed_on(body)}, not append and not drop)


def _extern(io_config: Json, time: TimeColumn, dimensions: Sequence[Dimension], metrics: Sequence[Metric]) -> str:
    """The rows with `__time` and the columns that are read, as a subquery."""
    source = part(io_config, "inputSource", "ioConfig", required=True)
    form = part(io_config, "inputFormat", "ioConfig", required=source.get("type") not in ("druid", "sql"))
    declared = {time.name: time.sql_type}
    for dimension in dimensions:
        declared.setdefault(dimension.name, dimension.sql_type)
    for metric in metrics:
        if metric.field is not None:
            declared.setdefault(metric.field, metric.sql_type)
    columns = ", ".join(f"{quoted(n)} {kind}" for n, kind in declared.items())
    kept = "".join(f", {quoted(n)}" for n in declared if n != "__time")
    given = ", ".join(literal(json.dumps(value, ensure_ascii=False)) for value in (source, form or {"type": "json"}))
    return f'(SELECT {time.expression} AS "__time"{kept} FROM TABLE(EXTERN({given})) EXTEND ({columns}))'


def _dimensions(spec: Json, time: TimeColumn | None) -> list[Dimension]:
    only(spec, ("dimensions", "dimensionExclusions", "useSchemaDiscovery", "includeAllDimensions"), "dimensionsSpec")
    for key in ("useSchemaDiscovery", "includeAllDimensions"):
        if spec.get(key):
            raise unsupported(f"[dimensionsSpec.{key}]", "List the dimensions.")
    found = [Dimension.of(d) for d in _listed(spec, "dimensions", "dimensionsSpec")]
    if not found and time is not None:
        raise unsupported("[dimensionsSpec] without [dimensions]", "List the dimensions.")
    left_out = set(_listed(spec, "dimensionExclusions", "dimensionsSpec"))
    return [d for d in found if d.name not in left_out and d.name != "__time"]


def _listed(value: Json, key: str, where: str) -> list[Any]:
    found = value.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise invalid_input(f"[{where}.{key}] must be a list")
    return found


def _check_transforms(schema: Json) -> None:
    transforms = part(schema, "transformSpec", "dataSchema")
    for key in ("transforms", "filter"):
        if transforms.get(key):
            raise unsupported(f"[transformSpec.{key}]", "Write the ingest as SQL: POST /druid/v2/sql/task.")


def _passed_on(body: Json) -> dict[str, Any]:
    context = part(body, "context", "task")
    return {key: context[key] for key in _PASSED_ON if key in context}


# -- compact -----------------------------------------------------------------------------------------------------------


def compact_statement(body: Json, table: TableSchema | None, used: Sequence[DataSegment]) -> BatchStatement:
    """A task of type compact over a table as it is now. Raises DruidException as `index_statement` does."""
    name = text_of(body, "dataSource", "task")
    only(body, ("type", "id", "groupId", "resource", "dataSource", "ioConfig", "interval", "dimensionsSpec",
                "dimensions", "metricsSpec", "granularitySpec", "segmentGranularity", "transformSpec", "tuningConfig",
                "context", "spec"), "compact")  # fmt: skip
    _check_transforms(body)
    if table is None or not used:
        raise invalid_input(f"Data source [{name}] has no segments to compact")
    asked = _asked(body, used)
    touched = [s for s in used if Interval.parse(s.interval).overlaps(asked)]
    if not touched:
        raise invalid_input(f"Data source [{name}] has no segments in interval [{asked}]")
    given = part(body, "granularitySpec", "task")
    grains = Grains.of(given, body.get("segmentGranularity") or _granularity_of(touched))
    # whole time chunks are rewritten, so that nothing is left beside them
    spans = [asked, *(Interval.parse(s.interval) for s in touched)]
    whole = condense([grains.segment.bucket(edge) for span in spans for edge in (span.start, span.end - 1)] + spans)
    if body.get("dimensions") is not None:
        dimensions = [Dimension.of(d) for d in _listed(body, "dimensions", "task")]
    else:
        dimensions = _dimensions(part(body, "dimensionsSpec", "task"), None)
    metrics = [Metric.of(m) for m in _listed(body, "metricsSpec", "task")]
    if grains.rollup and not metrics:
        raise invalid_input("[granularitySpec.rollup] of a compaction needs [metricsSpec]")
    dimensions = _cast(dimensions, table) or _all_of(table, metrics)
    tuning = Tuning.of(part(body, "tuningConfig", "task"), False)
    grains = Grains(grains.segment, grains.query, (), bool(metrics) and grains.rollup is not False)
    source = f"(SELECT * FROM {quoted(name)} WHERE {within(whole)})"
    overwrite = "ALL" if grains.segment.is_all else f"WHERE {within(whole)}"
    head = f"REPLACE INTO {quoted(name)} OVERWRITE {overwrite}"
    sql = _statement(head, grains, dimensions, metrics, source, [], tuning.clustered_by)
    return BatchStatement(name, sql, {**tuning.context, "storeCompactionState": True, **_passed_on(body)})


def _asked(body: Json, used: Sequence[DataSegment]) -> Interval:
    io_config = part(body, "ioConfig", "task")
    only(io_config, ("type", "inputSpec", "dropExisting"), "ioConfig")
    spec = part(io_config, "inputSpec", "ioConfig")
    if spec.get("type") == "segments":
        ids = set(_listed(spec, "segments", "inputSpec"))
        known = [Interval.parse(s.interval) for s in used if s.id in ids]
        if not ids or len(known) != len(ids):
            raise invalid_input("[inputSpec.segments] must name used segments of the data source")
        return Interval(min(i.start for i in known), max(i.end for i in known))
    only(spec, ("type", "interval"), "inputSpec")
    given = spec.get("interval", body.get("interval"))
    try:
        return Interval.parse(str(given))
    except ValueError as error:
        raise invalid_input(f"A compaction needs an interval as [ioConfig.inputSpec.interval]: {error}") from None


def _granularity_of(segments: Sequence[DataSegment]) -> str:
    """The granularity that all the segments have."""
    intervals = {Interval.parse(s.interval) for s in segments}
    for name in ("ALL", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"):
        if all(Granularity(name).bucket(i.start) == i for i in intervals):
            return name
    raise invalid_input("The segments have no common granularity: name [granularitySpec.segmentGranularity]")


def _cast(dimensions: Sequence[Dimension], table: TableSchema) -> list[Dimension]:
    """Dimensions of a table, cast where they are to be of another type."""
    kinds = {c.name: sql_type_name(c.name, c.type) for c in table.signature}
    for one in dimensions:
        if one.name not in kinds:
            raise invalid_input(f"Data source [{table.name}] has no column [{one.name}]")
    return [replace(d, cast=d.sql_type != kinds[d.name] and d.sql_type in CASTABLE) for d in dimensions]


def _all_of(table: TableSchema, metrics: Sequence[Metric]) -> list[Dimension]:
    """Every column but those that metrics are made of."""
    taken = {m.field for m in metrics} | {m.name for m in metrics}
    return [
        Dimension(c.name, sql_type_name(c.name, c.type))
        for c in table.signature if c.name != "__time" and c.name not in taken
    ]  # fmt: skip


# -- both --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grains:
    """A `granularitySpec`. rollup: None where it says nothing."""

    segment: Granularity
    query: Granularity
    intervals: tuple[Interval, ...]
    rollup: bool | None

    @staticmethod
    def of(spec: Json, default: str) -> Grains:
        only(spec, ("type", "segmentGranularity", "queryGranularity", "rollup", "intervals"), "granularitySpec")
        if spec.get("type") not in (None, "uniform"):
            raise unsupported(f"[granularitySpec.type] {spec['type']}")
        try:
            intervals = [Interval.parse(i) for i in _listed(spec, "intervals", "granularitySpec")]
        except (ValueError, AttributeError, TypeError) as error:
            raise invalid_input(f"[granularitySpec.intervals] must be intervals: {error}") from None
        rollup = spec.get("rollup")
        if rollup is not None and not isinstance(rollup, bool):
            raise invalid_input("[granularitySpec.rollup] must be true or false")
        return Grains(
            granularity(spec.get("segmentGranularity") or default, "granularitySpec.segmentGranularity"),
            granularity(spec.get("queryGranularity") or "NONE", "granularitySpec.queryGranularity"),
            tuple(condense(intervals)), rollup,
        )  # fmt: skip


@dataclass(frozen=True)
class Tuning:
    """A `tuningConfig`: context keys, shard columns, and whether a row without time fails the task."""

    context: Mapping[str, Any]
    clustered_by: tuple[str, ...]
    strict: bool

    @staticmethod
    def of(config: Json, append: bool) -> Tuning:
        only(config, (*_IGNORED, *_TUNED), "tuningConfig")
        limit = 0 if config.get("reportParseExceptions") else config.get("maxParseExceptions")
        if limit not in (*_UNLIMITED, 0):
            raise unsupported(f"[tuningConfig.maxParseExceptions] {limit}", "Use 0 or leave it out.")
        workers = 1 if config.get("maxNumConcurrentSubTasks") is None else config["maxNumConcurrentSubTasks"]
        if type(workers) is not int or workers < 1:
            raise invalid_input(f"[tuningConfig.maxNumConcurrentSubTasks] must be 1 or more, but is [{workers}]")
        spec = part(config, "partitionsSpec", "tuningConfig")
        kind = spec.get("type") or "dynamic"
        rows, dims = spec.get("maxRowsPerSegment") or config.get("maxRowsPerSegment"), ()
        if kind in ("range", "single_dim"):
            if append:
                raise invalid_input(f"[partitionsSpec.type] {kind} does not go with [ioConfig.appendToExisting]")
            only(spec, ("type", "partitionDimensions", "partitionDimension", "targetRowsPerSegment",
                        "maxRowsPerSegment"), "partitionsSpec")  # fmt: skip
            given = spec.get("partitionDimensions") or [spec.get("partitionDimension")]
            if not isinstance(given, list) or not all(isinstance(d, str) and d for d in given):
                raise invalid_input("[partitionsSpec.partitionDimensions] must be a list of names")
            dims, rows = tuple(given), spec.get("targetRowsPerSegment") or rows
        elif kind == "dynamic":
            only(spec, ("type", "maxRowsPerSegment", "maxTotalRows"), "partitionsSpec")
        else:
            raise unsupported(f"[partitionsSpec.type] {kind}", "Known types are [dynamic, range, single_dim].")
        context = {
            "maxNumTasks": 1 + workers, "rowsPerSegment": rows or _IN_MEMORY_ROWS, "finalizeAggregations": False,
            "groupByEnableMultiValueUnnesting": False, "arrayIngestMode": "array",
            "maxParseExceptions": 0 if limit == 0 else -1,
        }  # fmt: skip
        if config.get("indexSpec"):
            context["indexSpec"] = config["indexSpec"]
        return Tuning(context, dims, limit == 0)


def _statement(
    head: str, grains: Grains, dimensions: Sequence[Dimension], metrics: Sequence[Metric], source: str,
    where: Sequence[str], clustered_by: Sequence[str],
) -> str:  # fmt: skip
    grouped = grains.rollup is not False
    names = ["__time", *(d.name for d in dimensions), *(m.name for m in metrics)]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise invalid_input(f"Duplicate columns [{', '.join(twice)}] in dimensions and metrics")
    for name in clustered_by:
        if name not in names:
            raise invalid_input(f"[partitionsSpec] names [{name}], which is no column")
    listed = [f'{floored(quoted("__time"), grains.query)} AS "__time"', *(d.expression for d in dimensions)]
    for metric in metrics:
        made = metric.grouped if grouped else metric.single
        if made is None:
            raise unsupported(f"[metricsSpec.{metric.name}] without rollup")
        listed.append(f"{made} AS {quoted(metric.name)}")
    lines = [head, f"SELECT {', '.join(listed)}", f"FROM {source}"]
    if where:
        lines.append(f"WHERE {' AND '.join(where)}")
    if grouped:
        lines.append(f"GROUP BY {', '.join(str(n) for n in range(1, len(dimensions) + 2))}")
    lines.append(f"PARTITIONED BY {partitioned_by(grains.segment)}")
    if clustered_by:
        lines.append(f"CLUSTERED BY {', '.join(quoted(c) for c in clustered_by)}")
    return "\n".join(lines)
