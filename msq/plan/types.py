"""Types of a group-by's columns on both sides of its shuffle, and aggregators as a segment combines them."""

from __future__ import annotations

from msq.datatypes import ColumnType, RowSignature
from msq.native.aggregators import Aggregator, PostAggregator


def intermediate_type(aggregator: Aggregator) -> ColumnType:
    """The type of an aggregator's state: what the partial stage puts out."""
    found: ColumnType = aggregator.intermediate_type  # type: ignore[attr-defined]
    return found


def final_type(aggregator: Aggregator) -> ColumnType:
    """The type of an aggregator's finished value."""
    found: ColumnType = aggregator.final_type  # type: ignore[attr-defined]
    return found


def post_aggregator_type(post: PostAggregator, columns: RowSignature) -> ColumnType:
    """The type of a post-aggregator over aggregated `columns`."""
    found: ColumnType = post.output_type(columns)  # type: ignore[attr-defined]
    return found


def combining(aggregator: Aggregator, output: str) -> Aggregator:
    """The aggregator that combines stored values of `aggregator`, named `output`."""
    found: Aggregator = aggregator.combining(output)  # type: ignore[attr-defined]
    return found
