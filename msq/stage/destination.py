"""Where the rows of the final stage go, and which query column feeds which output. Source: msq-engine 1.4, 3.1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msq.codec import Wire, wire
from msq.intervals import Granularity, Interval


@dataclass(frozen=True)
class ColumnMapping(Wire):
    """`{"queryColumn","outputColumn"}`; a query column may feed several outputs, names may repeat in SELECT."""

    query_column: str
    output_column: str


class Destination(Wire):
    """Family of destinations as the task payload prints them."""


@dataclass(frozen=True)
class DataSourceDestination(Destination, tag="dataSource"):
    """INSERT (replace_time_chunks None) or REPLACE into a table. Intervals are printed as ISO texts."""

    data_source: str
    segment_granularity: Granularity
    segment_sort_order: tuple[str, ...] = wire(default=(), omit=lambda v: not v)
    replace_time_chunks: tuple[str, ...] | None = None
    terminal_stage_spec: dict[str, Any] = wire(default_factory=lambda: {"type": "segmentGeneration"})
    keep_untouched: bool = wire(default=False, omit=lambda v: not v)
    """Of a REPLACE: time chunks that get no rows stay as they are, as native batch ingestion leaves them."""
    compaction: dict[str, Any] | None = wire(default=None, omit=lambda v: v is None)
    """Parts of a compaction's spec that the state of its segments repeats."""

    @property
    def replace_intervals(self) -> tuple[Interval, ...] | None:
        if self.replace_time_chunks is None:
            return None
        return tuple(Interval.parse(t) for t in self.replace_time_chunks)


@dataclass(frozen=True)
class TaskReportDestination(Destination, tag="taskReport"):
    pass


@dataclass(frozen=True)
class DurableStorageDestination(Destination, tag="durableStorage"):
    pass


@dataclass(frozen=True)
class ExportDestination(Destination, tag="export"):
    """`export_storage_provider`: `{"type":"local","exportPath":..}` and the like; the format is csv."""

    export_storage_provider: dict[str, Any]
    result_format: str = "csv"


@dataclass(frozen=True)
class MSQSpec(Wire):
    """`spec` of a query_controller task: the bound query before stage planning, and how to run it."""

    query: Any
    column_mappings: tuple[ColumnMapping, ...]
    destination: Destination
    assignment_strategy: str
    tuning_config: dict[str, Any]
