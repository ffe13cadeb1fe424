"""Types of a group-by's columns on both sides of its shuffle, and aggregators as a segment combines them.

A plan holds the families of msq.native; what their members can do is declared in msq.aggregate.
"""

from __future__ import annotations

from typing import cast

from msq.aggregate.base import NativeAggregator
from msq.aggregate.post import NativePostAggregator
from msq.datatypes import ColumnType, RowSignature
from msq.native.aggregators import Aggregator, PostAggregator


def intermediate_type(aggregator: Aggregator) -> ColumnType:
    """The type of an aggregator's state: what the partial stage puts out."""
    return cast(NativeAggregator, aggregator).intermediate_type


def final_type(aggregator: Aggregator) -> ColumnType:
    """The type of an aggregator's finished value."""
    return cast(NativeAggregator, aggregator).final_type


def post_aggregator_type(post: PostAggregator, columns: RowSignature) -> ColumnType:
    """The type of a post-aggregator over aggregated `columns`."""
    return cast(NativePostAggregator, post).output_type(columns)


def combining(aggregator: Aggregator, output: str) -> Aggregator:
    """The aggregator that combines stored values of `aggregator`, named `output`."""
    return cast(NativeAggregator, aggregator).combining(output)
