"""The `limit` processor: OFFSET and LIMIT over one sorted or unordered partition, on one worker."""

from __future__ import annotations

from dataclasses import dataclass

from msq.codec import wire
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class LimitProcessor(StageProcessor, tag="limit"):
    """Skips `offset` rows, then passes `limit` rows (None: all)."""

    offset: int = wire(default=0, omit=lambda v: v == 0)
    limit: int | None = None
