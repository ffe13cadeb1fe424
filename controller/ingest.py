"""What an INSERT or REPLACE decides between its stages: shard columns, segments for partitions, compaction state.

Source: reference msq-engine 2.2, 7.2, 7.8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.publishing import OutputPartition, Publisher, ShardColumns
from msq.datatypes import STRING
from msq.faults import InsertCannotBeEmptyFault, InsertTimeOutOfBoundsFault, MSQError
from msq.frame.keys import ClusterBy
from msq.frame.partitions import ClusterByPartitions
from msq.plan.clustering import BOOST
from msq.plan.planner import INDEX_SPEC_DEFAULTS
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.report import SegmentReport
from msq.segment.identity import DataSegment
from msq.stage.destination import DataSourceDestination
from msq.stage.query import StageDefinition

NUMBERED, RANGE = "NumberedShardSpec", "DimensionRangeShardSpec"
INSERTING = "Using NumberedShardSpec to generate segments since the query is inserting rows."
NOT_CLUSTERED = "CLUSTERED BY clause is empty."
MULTI_VALUED = "Cannot use 'range' shard specs since CLUSTERED BY contains multi-valued fields."
ALL_FIELDS = "Using 'range' shard specs with all CLUSTERED BY fields."


@dataclass(frozen=True)
class GeneratorInput:
    """What is known about the rows that reach the segment generator.

    shuffled: the stage whose shuffle made the partitions. boundaries: its key ranges, None when it gathered no
    statistics. multi_valued: whether some key column held several values (None: nobody looked). rows: by partition.
    """

    shuffled: StageDefinition | None
    boundaries: ClusterByPartitions | None
    multi_valued: bool | None
    rows: Mapping[int, int]

    @property
    def key(self) -> ClusterBy:
        if self.shuffled is None or self.shuffled.shuffle_spec is None:
            return ClusterBy()
        return self.shuffled.shuffle_spec.cluster_by


@dataclass(frozen=True)
class Allocation:
    """Segments by partition, and why they have the shard specs that they have (None without rows)."""

    segments: Mapping[int, DataSegment]
    report: SegmentReport | None


def allocate(
    publisher: Publisher, destination: DataSourceDestination, generator: SegmentGeneratorProcessor,
    given: GeneratorInput, fail_on_empty: bool, chosen: list[SegmentReport],
) -> Allocation:  # fmt: skip
    """A segment for every partition with rows. `chosen` gets the report as soon as the shard spec is decided.

    Raises MSQError: InsertCannotBeEmpty, and what the publisher raises.
    """
    filled = sorted(p for p, rows in given.rows.items() if rows > 0)
    if not filled:
        if fail_on_empty:
            raise MSQError(InsertCannotBeEmptyFault(destination.data_source))
        return Allocation({}, None)
    columns, report = shard_columns(destination, generator, given)
    chosen.append(report)
    width = 0 if columns is None else len(columns.dimensions)
    partitions = [_partition(p, given, width) for p in filled]
    return Allocation(publisher.allocate(partitions, columns), report)


def _partition(number: int, given: GeneratorInput, width: int) -> OutputPartition:
    ranges = given.boundaries
    if ranges is None or ranges.starts is None:
        return OutputPartition(number, 0)
    first = given.key.bucket_by_count
    bucket = ranges.bucket(number)
    time = int(bucket[0]) if bucket else 0
    if not width:
        return OutputPartition(number, time)
    start, end = ranges.start_key(number), ranges.end_key(number)
    return OutputPartition(
        number, time, None if start is None else start[first : first + width],
        None if end is None else end[first : first + width],
    )  # fmt: skip


def check_bounds(destination: DataSourceDestination, boundaries: ClusterByPartitions) -> None:
    """Raises MSQError(InsertTimeOutOfBounds) as soon as the time chunks are known, before anything is sorted."""
    bounds = destination.replace_intervals
    if bounds is None or not boundaries.cluster_by.bucket_by_count:
        return
    for number in range(len(boundaries)):
        bucket = boundaries.bucket(number)
        if bucket:
            chunk = destination.segment_granularity.bucket(int(bucket[0]))
            if not any(b.contains(chunk) for b in bounds):
                raise MSQError(InsertTimeOutOfBoundsFault(str(chunk), tuple(str(b) for b in bounds)))


def shard_columns(
    destination: DataSourceDestination, generator: SegmentGeneratorProcessor, given: GeneratorInput
) -> tuple[ShardColumns | None, SegmentReport]:
    """The columns of `range` shard specs (None: numbered ones), and the reason in Druid's words."""
    if destination.replace_time_chunks is None:
        return None, SegmentReport(NUMBERED, INSERTING)
    key = given.key
    columns = [c for c in key.columns[key.bucket_by_count :] if c.column_name != BOOST]
    if given.multi_valued is None or given.multi_valued:
        return None, SegmentReport(NUMBERED, MULTI_VALUED)
    if not columns:
        return None, SegmentReport(NUMBERED, NOT_CLUSTERED)
    virtual = generator.cluster_by_virtual_column_mappings or {}
    assert given.shuffled is not None
    dimensions: list[str] = []
    computed: list[dict[str, Any]] = []
    reason = None
    for column in columns:
        name, kind = column.column_name, given.shuffled.signature.type_of(column.column_name)
        outputs = [m.output_column for m in generator.column_mappings if m.query_column == name]
        if column.order != "ASCENDING":
            reason = f"is in [{column.order}] order. Only ascending columns are"
        elif kind != STRING:
            reason = f"is of type[{kind}]. Only string columns are"
        elif not outputs and name not in virtual:
            reason = "is not an output of the query. Only output columns and expressions are"
        if reason is not None:
            break
        dimensions.append(outputs[0] if outputs else name)
        if not outputs:
            computed.append(virtual[name])
    details = ALL_FIELDS if reason is None else (
        f"Using[{len(dimensions)}] CLUSTERED BY columns for 'range' shard specs, since the next column {reason} "
        "included in 'range' shard specs."
    )  # fmt: skip
    if not dimensions:
        return None, SegmentReport(NUMBERED, details)
    return ShardColumns(tuple(dimensions), tuple(computed)), SegmentReport(RANGE, details)


def with_compaction_state(
    segments: Sequence[DataSegment], destination: DataSourceDestination, generator: SegmentGeneratorProcessor
) -> list[DataSegment]:
    """`segments` with the `lastCompactionState` that a later compaction compares itself with."""
    schema, tuning = generator.data_schema, generator.tuning_config or {}
    rollup = schema["granularitySpec"]["rollup"]
    made = []
    for segment in segments:
        dimensions = getattr(segment.shard_spec, "dimensions", None)
        state = {
            "partitionsSpec": _partitions_spec(dimensions, tuning.get("rowsPerSegment")),
            "dimensionsSpec": schema["dimensionsSpec"],
            "metricsSpec": [],
            "transformSpec": None,
            "indexSpec": tuning.get("indexSpec") or dict(INDEX_SPEC_DEFAULTS),
            "granularitySpec": {
                "type": "uniform", "segmentGranularity": destination.segment_granularity.to_json(),
                # Druid writes none here whatever the data schema says
                "queryGranularity": {"type": "none"}, "rollup": rollup,
                "intervals": list(destination.replace_time_chunks or ()),
            },
        }  # fmt: skip
        for key, asked in (destination.compaction or {}).items():
            kept = state.get(key)
            state[key] = {**kept, **asked} if isinstance(asked, dict) and isinstance(kept, dict) else asked
        made.append(replace(segment, last_compaction_state=state))
    return made


def _partitions_spec(dimensions: Sequence[str] | None, rows: int | None) -> dict[str, Any]:
    if dimensions:
        return {
            "type": "range", "targetRowsPerSegment": None, "maxRowsPerSegment": rows,
            "partitionDimensions": list(dimensions), "assumeGrouped": False,
        }  # fmt: skip
    return {"type": "dynamic", "maxRowsPerSegment": rows, "maxTotalRows": 9223372036854775807}
