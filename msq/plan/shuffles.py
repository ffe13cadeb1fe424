"""Which shuffle a query's last stage gets: a function from the key of its rows to a ShuffleSpec.

The destination decides it for the outermost query, the reader for a subquery. Source: reference msq-engine 3.1.
"""

from __future__ import annotations

from collections.abc import Callable

from msq.frame.keys import ClusterBy
from msq.stage.shuffle import (
    HashShuffleSpec,
    MaxCountShuffleSpec,
    MixShuffleSpec,
    ShuffleSpec,
    TargetSizeShuffleSpec,
)

ResultShuffle = Callable[[ClusterBy, bool], ShuffleSpec]
"""(key, whether equal keys may be combined) -> shuffle; an empty key always means mix."""


def single_partition(key: ClusterBy, aggregate: bool = False) -> ShuffleSpec:
    return MixShuffleSpec() if key.is_empty else MaxCountShuffleSpec(key, 1, aggregate)


def limited(limit: int | None) -> ResultShuffle:
    """One partition of which no more than `limit` rows are wanted (None: all)."""
    return lambda key, aggregate: (
        MixShuffleSpec() if key.is_empty else MaxCountShuffleSpec(key, 1, aggregate, limit_hint=limit)
    )


def target_size(rows: int) -> ResultShuffle:
    return lambda key, aggregate: MixShuffleSpec() if key.is_empty else TargetSizeShuffleSpec(key, rows, aggregate)


def adjustable(key: ClusterBy, aggregate: bool = False) -> ShuffleSpec:
    """As many ranges as workers and their threads can read; the count is set by the runtime bounds."""
    return MixShuffleSpec() if key.is_empty else MaxCountShuffleSpec(key, 1, aggregate, adjustable=True)


def hashed(key: ClusterBy) -> ShuffleSpec:
    """Hash partitions, as many as the runtime bounds say."""
    return HashShuffleSpec(key, 1, adjustable=True)
