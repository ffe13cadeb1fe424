"""The `window` processor: window functions over hash-partitioned rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msq.datatypes import RowSignature
from msq.native.query import WindowOperatorQuery
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class WindowProcessor(StageProcessor, tag="window"):
    """Runs `operator_list` (reference msq-engine 3.8); rows come out as `stage_row_signature`."""

    query: WindowOperatorQuery
    operator_list: tuple[dict[str, Any], ...]
    stage_row_signature: RowSignature
    max_rows_materialized_in_window: int
    partition_column_names: tuple[str, ...]
