"""The stage of LIMIT and OFFSET behind a scan or group-by stage that left one partition."""

from __future__ import annotations

from msq.plan.builder import PlanBuilder
from msq.plan.clustering import Key
from msq.plan.shuffles import ResultShuffle
from msq.processors.limit import LimitProcessor
from msq.stage.inputs import StageInputSpec


def add_limit(
    builder: PlanBuilder, number: int, offset: int, limit: int | None, key: Key, result_shuffle: ResultShuffle
) -> int:
    """Adds the limit stage over stage `number`, on one worker, with the query's own result shuffle."""
    signature = builder[number].signature
    return builder.add(
        LimitProcessor(offset, limit), [StageInputSpec(number)], [signature], signature,
        result_shuffle(key.cluster_by, False), max_workers=1,
    )  # fmt: skip
