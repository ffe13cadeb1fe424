"""The `selectResults` processor: the rows of a stage as they are, each partition on the worker that reads it."""

from __future__ import annotations

from dataclasses import dataclass

from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class SelectResultsProcessor(StageProcessor, tag="selectResults"):
    pass
