"""The `limit` processor: OFFSET and LIMIT over one sorted or unordered partition, on one worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from msq.codec import wire
from msq.protocol import ExecutionContext, OutputBatch
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class LimitProcessor(StageProcessor, tag="limit"):
    """Skips `offset` rows, then passes `limit` rows (None: all)."""

    offset: int = wire(default=0, omit=lambda v: v == 0)
    limit: int | None = None

    def run(self, ctx: ExecutionContext) -> Iterator[OutputBatch]:
        skip, left = self.offset, self.limit
        for piece in ctx.inputs[0].pieces():
            if left is not None and left <= 0:
                return
            for batch in piece.read(ctx.stage.signature.names):
                ctx.check_cancelled()
                dropped = min(skip, batch.num_rows)
                skip -= dropped
                batch = batch.slice(dropped, left)
                if left is not None:
                    left -= batch.num_rows
                if batch.num_rows:
                    yield OutputBatch(piece.partition, batch)
                if left is not None and left <= 0:
                    return
