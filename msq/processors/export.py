"""The `exportResults` processor: one file for each partition of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msq.stage.destination import ColumnMapping
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class ExportResultsProcessor(StageProcessor, tag="exportResults"):
    """`results_context`: `{"sqlTypeNames":[..],"sqlResultsContext":{"timeZone","stringifyArrays"}}`."""

    query_id: str
    export_storage_provider: dict[str, Any]
    export_format: str
    column_mappings: tuple[ColumnMapping, ...]
    results_context: dict[str, Any]
