"""The two group-by processors: partial aggregation before the shuffle, merging, having and post-aggregators behind it."""

from __future__ import annotations

from dataclasses import dataclass

from msq.native.query import GroupByQuery
from msq.stage.query import StageProcessor


@dataclass(frozen=True)
class GroupByPreShuffleProcessor(StageProcessor, tag="groupByPreShuffle"):
    """Output: dimensions, then aggregators in their intermediate types."""

    query: GroupByQuery


@dataclass(frozen=True)
class GroupByPostShuffleProcessor(StageProcessor, tag="groupByPostShuffle"):
    """Input: the output of groupByPreShuffle. Aggregators are finalised unless the context says `finalize` false."""

    query: GroupByQuery
