"""The `selectResults` processor: the rows of a stage as they are, each partition on the worker that reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msq.protocol import ExecutionContext, OutputBatch
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class SelectResultsProcessor(StageProcessor, tag="selectResults"):
    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        for piece in ctx.inputs[0].pieces():
            for batch in piece.read(ctx.stage.signature.names):
                ctx.check_cancelled()
                yield OutputBatch(piece.partition, batch)
