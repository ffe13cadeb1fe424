"""The stages of a plan while it is made: numbered from the leaves, as native queries are planned inside out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from msq.datatypes import RowSignature
from msq.plan.clustering import key_first
from msq.processors.window import WindowProcessor
from msq.stage.inputs import InputSpec
from msq.stage.query import StageDefinition, StageProcessor
from msq.stage.shuffle import ShuffleSpec

MAX_WORKERS = 1000
"""Most workers of one stage; runtime bounds lower it to the query's own."""


@dataclass
class PlanBuilder:
    """Collects stages; `add` answers the number of the new one.

    `table_signature`: columns of a table by its name. `max_rows_in_window`: of the query's context.
    """

    table_signature: Callable[[str], RowSignature]
    max_rows_in_window: int = 100_000
    stages: list[StageDefinition] = field(default_factory=list)

    def add(
        self, processor: StageProcessor, inputs: Sequence[InputSpec], input_signatures: Sequence[RowSignature],
        signature: RowSignature, shuffle: ShuffleSpec | None, *, max_workers: int = MAX_WORKERS,
        broadcast: Sequence[int] = (),
    ) -> int:  # fmt: skip
        number = len(self.stages)
        self.stages.append(
            StageDefinition(
                number=number,
                input=tuple(inputs),
                processor=processor,
                signature=signature,
                shuffle_spec=shuffle,
                max_worker_count=max_workers,
                broadcast=tuple(broadcast),
                input_signatures=tuple(input_signatures),
            )
        )
        return number

    def __getitem__(self, number: int) -> StageDefinition:
        return self.stages[number]

    def reshuffle(self, number: int, shuffle: ShuffleSpec) -> None:
        """Gives stage `number` the shuffle its reader wants; the columns of the new key move to the front."""
        stage = self.stages[number]
        signature = key_first(stage.signature, shuffle.cluster_by)
        changes: dict[str, Any] = {"shuffle_spec": shuffle, "signature": signature}
        if isinstance(stage.processor, WindowProcessor):
            changes["processor"] = replace(stage.processor, stage_row_signature=signature)
        self.stages[number] = replace(stage, **changes)
