"""The `scan` processor: rows of one input, filtered, computed, projected, ordered by the shuffle behind it."""

from __future__ import annotations

from dataclasses import dataclass

from msq.native.query import ScanQuery
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class ScanProcessor(StageProcessor, tag="scan"):
    """`query.data_source` is an inputNumber, an external or inline source, or a join/unnest/filter/union over them."""

    query: ScanQuery
