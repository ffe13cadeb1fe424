"""The `sortMergeJoin` processor: two stages partitioned alike by their key columns."""

from __future__ import annotations

from dataclasses import dataclass

from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class SortMergeJoinProcessor(StageProcessor, tag="sortMergeJoin"):
    """Input 0 joined with input 1, whose columns come out under `right_prefix`; join_type as in JoinDataSource."""

    right_prefix: str
    condition: str
    join_type: str
