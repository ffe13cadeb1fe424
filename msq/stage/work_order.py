"""What the controller tells a worker to do for one stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from msq.codec import Wire
from msq.stage.inputs import InputSlice

STREAM = "stream"
"""An output mode: nothing is kept. The order runs while its one reader reads partition 0, which can be done once."""


@dataclass(frozen=True)
class WorkOrder(Wire):
    """Run stage `stage` of `query_id` as worker `worker`. The worker holds the QueryDefinition already.

    `inputs`: one slice for each input number. `extra`: processor-specific JSON; for the segment generator
    `{"segments": {"<partition>": DataSegment JSON without size}}`. `output_mode`: memory, localStorage,
    durableStorage, durableStorageQueryResults or STREAM.
    """

    query_id: str
    stage: int
    worker: int
    attempt: int
    inputs: tuple[InputSlice, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    output_mode: str = "localStorage"
