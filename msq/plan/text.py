"""A plan as text for people: one paragraph a stage. `msq plan` prints it and approved plans are kept in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msq.codec import encode
from msq.intervals import ETERNITY
from msq.native.datasource import DataSource, JoinDataSource, UnnestDataSource
from msq.native.query import DefaultLimitSpec, FilterHaving, GroupByQuery, NativeQuery, ScanQuery, WindowOperatorQuery
from msq.native.virtual import VirtualColumn
from msq.processors.export import ExportResultsProcessor
from msq.processors.join import SortMergeJoinProcessor
from msq.processors.limit import LimitProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.processors.window import WindowProcessor
from msq.results import json_text
from msq.stage.inputs import (
    ExternalInputSpec,
    InlineInputSpec,
    InputSpec,
    LookupInputSpec,
    StageInputSpec,
    TableInputSpec,
)
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.shuffle import HashShuffleSpec, MaxCountShuffleSpec, ShuffleSpec, TargetSizeShuffleSpec


def plan_text(definition: QueryDefinition) -> str:
    """All stages, leaves first. Ids and times are left out: the same statement gives the same text."""
    return "\n\n".join("\n".join(_stage(stage)) for stage in definition.stages)


def _stage(stage: StageDefinition) -> Iterator[str]:
    workers = "1 worker" if stage.max_worker_count == 1 else f"up to {stage.max_worker_count} workers"
    yield f"stage {stage.number}: {stage.processor.TAG} ({workers})"
    for number, spec in enumerate(stage.input):
        yield f"  input {number}: {_input(spec)}{', whole to every worker' if number in stage.broadcast else ''}"
    yield from (f"  {line}" for line in _processor(stage))
    if len(stage.signature):
        yield f"  output: {', '.join(f'{c.name} {c.type}' for c in stage.signature)}"
    if stage.shuffle_spec is not None:
        watch = ", watching for multi-valued keys" if stage.check_multiple_values else ""
        yield f"  shuffle: {_shuffle(stage.shuffle_spec)}{watch}"


def _input(spec: InputSpec) -> str:
    if isinstance(spec, StageInputSpec):
        return f"stage {spec.stage}"
    if isinstance(spec, TableInputSpec):
        eternity = spec.intervals == (str(ETERNITY),)
        return f"table {spec.data_source}" + ("" if eternity else f" in {', '.join(spec.intervals)}")
    if isinstance(spec, ExternalInputSpec):
        return f"external {json_text(spec.input_source)} as {json_text(spec.input_format)}"
    if isinstance(spec, InlineInputSpec):
        return f"inline, {len(spec.data_source.rows)} rows of {', '.join(spec.data_source.column_names)}"
    if isinstance(spec, LookupInputSpec):
        return f"lookup {spec.lookup_name}"
    return str(spec.TAG)


def _processor(stage: StageDefinition) -> Iterator[str]:
    processor = stage.processor
    if isinstance(processor, WindowProcessor):
        for operator in processor.operator_list:
            yield f"{operator['type']}: {json_text({k: v for k, v in operator.items() if k != 'type'})}"
        return
    if isinstance(processor, LimitProcessor):
        yield f"limit: {'all' if processor.limit is None else processor.limit}" + (
            f" after {processor.offset}" if processor.offset else ""
        )
    elif isinstance(processor, SortMergeJoinProcessor):
        yield f"join: {processor.join_type} on {processor.condition}, right columns as {processor.right_prefix}"
    elif isinstance(processor, SegmentGeneratorProcessor):
        yield from _segments(processor)
    elif isinstance(processor, ExportResultsProcessor):
        yield f"to: {json_text(processor.export_storage_provider)} as {processor.export_format}"
    query = getattr(processor, "query", None)
    if isinstance(query, GroupByQuery):
        yield from _grouping(query) if processor.TAG == "groupByPreShuffle" else _merging(query)
    elif isinstance(query, NativeQuery):
        yield from _query(query)


def _query(query: NativeQuery) -> Iterator[str]:
    yield from _source(query.data_source)
    if isinstance(query, ScanQuery):
        yield from _rows(query)
        yield f"select: {', '.join(query.columns)}"
        if query.limit is not None or query.offset:
            yield f"limit: {query.limit if query.limit is not None else 'all'} after {query.offset or 0}"
    elif isinstance(query, WindowOperatorQuery):
        yield f"output: {', '.join(query.output_signature.names)}"


def _rows(query: ScanQuery | GroupByQuery) -> Iterator[str]:
    for virtual in query.virtual_columns or ():
        yield f"compute: {_virtual(virtual)}"
    if query.filter is not None:
        yield f"where: {json_text(encode(query.filter))}"


def _grouping(query: GroupByQuery) -> Iterator[str]:
    """The first stage of a group-by."""
    yield from _source(query.data_source)
    yield from _rows(query)
    yield f"group by: {', '.join(f'{d.dimension} as {d.output_name}' for d in query.dimensions) or 'nothing'}"
    for aggregator in query.aggregations or ():
        yield f"aggregate: {json_text(encode(aggregator))}"


def _merging(query: GroupByQuery) -> Iterator[str]:
    """The second stage: what it does to the groups of the first."""
    yield f"merge groups of: {', '.join(d.output_name for d in query.dimensions) or 'nothing'}"
    for post in query.post_aggregations or ():
        yield f"then: {json_text(encode(post))}"
    if isinstance(query.having, FilterHaving):
        yield f"having: {json_text(encode(query.having.filter))}"
    if isinstance(query.limit_spec, DefaultLimitSpec) and query.limit_spec.columns:
        yield f"order by: {', '.join(f'{c.dimension} {c.direction}' for c in query.limit_spec.columns)}"


def _source(source: DataSource) -> Iterator[str]:
    """What stands between the stage's inputs and its query."""
    for inner in source.walk():
        if isinstance(inner, JoinDataSource):
            yield f"join: {inner.join_type} on {inner.condition}, right columns as {inner.right_prefix}"
        elif isinstance(inner, UnnestDataSource):
            condition = "" if inner.unnest_filter is None else f" where {json_text(encode(inner.unnest_filter))}"
            yield f"unnest: {_virtual(inner.virtual_column)}{condition}"
        elif inner.TAG == "filter":
            yield f"filter: {json_text(encode(getattr(inner, 'filter', None)))}"
        elif inner.TAG == "union":
            yield "union of all inputs"


def _virtual(column: VirtualColumn) -> str:
    expression = getattr(column, "expression", None)
    text = expression if expression is not None else json_text(encode(column))
    return f"{column.output} {column.column_type} = {text}"


def _segments(processor: SegmentGeneratorProcessor) -> Iterator[str]:
    schema: dict[str, Any] = processor.data_schema
    dimensions = [f"{d['name']} {d['type']}" for d in schema["dimensionsSpec"]["dimensions"]]
    yield f"into: {schema['dataSource']}"
    yield f"dimensions: {', '.join(dimensions) or 'none'}"
    if schema["metricsSpec"]:
        yield f"metrics: {', '.join(_metric(m) for m in schema['metricsSpec'])}"
    granularity = schema["granularitySpec"]
    if granularity["rollup"]:
        yield f"roll-up, times floored to {json_text(granularity['queryGranularity'])}"


def _metric(metric: dict[str, Any]) -> str:
    return f"{metric.get('name') or metric.get('columnName')} {metric['type']}"


def _shuffle(shuffle: ShuffleSpec) -> str:
    key = shuffle.cluster_by
    columns = ", ".join(
        c.column_name + {"ASCENDING": "", "DESCENDING": " desc", "NONE": " unsorted"}[c.order] for c in key.columns
    )
    bucket = f", a bucket for each {key.names[0]}" if key.bucket_by_count else ""
    combine = ", equal keys combined" if shuffle.aggregate else ""
    if isinstance(shuffle, TargetSizeShuffleSpec):
        return f"sorted by {columns} into partitions of {shuffle.target_size} rows{bucket}{combine}"
    if isinstance(shuffle, MaxCountShuffleSpec):
        most = "one partition" if shuffle.partitions == 1 else f"at most {shuffle.partitions} partitions"
        hint = f", first {shuffle.limit_hint} rows" if shuffle.limit_hint is not None else ""
        return f"sorted by {columns} into {most}{bucket}{combine}{hint}"
    if isinstance(shuffle, HashShuffleSpec):
        return f"hashed by {columns or 'nothing'} into {shuffle.partitions} partitions"
    return "mixed into one partition"
