"""The stage behind a query's last one: segments, result pages or export files. Source: msq-engine 3.4, 3.9, 7.3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from msq.codec import encode
from msq.context import QueryContext
from msq.datatypes import RowSignature
from msq.frame.keys import ClusterBy
from msq.native.query import NativeQuery, ScanQuery
from msq.native.virtual import VirtualColumn
from msq.plan.builder import PlanBuilder
from msq.plan.clustering import RESERVED
from msq.plan.data_schema import IngestColumns, data_schema
from msq.processors.export import ExportResultsProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.processors.select_results import SelectResultsProcessor
from msq.stage.destination import ColumnMapping, DataSourceDestination, ExportDestination
from msq.stage.inputs import StageInputSpec
from msq.stage.query import StageDefinition, StageProcessor


def add_segment_generator(
    builder: PlanBuilder, number: int, query: NativeQuery, mappings: tuple[ColumnMapping, ...],
    destination: DataSourceDestination, context: QueryContext, tuning: dict[str, Any],
) -> int:  # fmt: skip
    """Appends the generator behind stage `number` and lets the last shuffle watch for multi-valued keys."""
    shuffling = last_shuffle(builder.stages, number)
    key = ClusterBy() if shuffling is None else builder[shuffling].shuffle_spec.cluster_by  # type: ignore[union-attr]
    if shuffling is not None:
        builder.stages[shuffling] = replace(builder[shuffling], check_multiple_values=True)
    ingest = IngestColumns(builder[number].signature, key, mappings)
    processor = SegmentGeneratorProcessor(
        data_schema(query, ingest, destination, context), mappings, _unselected_expressions(query, ingest), tuning
    )
    return _add(builder, number, processor, RowSignature())


def add_select_results(builder: PlanBuilder, number: int) -> int:
    """Pages of a SELECT follow the order of partitions: sorted rows are read once more; others are pages already."""
    shuffle = builder[number].shuffle_spec
    if shuffle is None or shuffle.kind != "globalSort":
        return number
    return _add(builder, number, SelectResultsProcessor(), builder[number].signature)


def add_export(
    builder: PlanBuilder, number: int, destination: ExportDestination, mappings: tuple[ColumnMapping, ...],
    query_id: str, results_context: dict[str, Any],
) -> int:  # fmt: skip
    processor = ExportResultsProcessor(
        query_id, destination.export_storage_provider, destination.result_format, mappings, results_context
    )
    return _add(builder, number, processor, builder[number].signature)


def _add(builder: PlanBuilder, number: int, processor: StageProcessor, signature: RowSignature) -> int:
    return builder.add(processor, [StageInputSpec(number)], [builder[number].signature], signature, None)


def last_shuffle(stages: Sequence[StageDefinition], number: int) -> int | None:
    """The last stage that shuffles, walking back from `number` through stages with one input that do not."""
    while stages[number].shuffle_spec is None:
        sources = stages[number].input_stages
        if len(sources) != 1 or len(stages[number].input) != 1:
            return None
        number = sources[0]
    return number


def _unselected_expressions(query: NativeQuery, ingest: IngestColumns) -> dict[str, Any] | None:
    """CLUSTERED BY expressions that are no output, by query column: range shard specs may still be made of them."""
    if not isinstance(query, ScanQuery):
        return None
    virtual: dict[str, VirtualColumn] = {v.output: v for v in query.virtual_columns or ()}
    hidden = {
        name: encode(virtual[name])
        for name in ingest.key.names
        if name in virtual and name not in RESERVED and not ingest.outputs_of(name)
    }
    return hidden or None
