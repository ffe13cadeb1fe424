"""The `segmentGenerator` processor: every partition of its input becomes one segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msq.stage.destination import ColumnMapping
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class SegmentGeneratorProcessor(StageProcessor, tag="segmentGenerator"):
    """The order's `extra` says which segment each partition becomes; results are DataSegment JSON."""

    data_schema: dict[str, Any]
    column_mappings: tuple[ColumnMapping, ...]
    cluster_by_virtual_column_mappings: dict[str, Any] | None = None
    tuning_config: dict[str, Any] | None = None
