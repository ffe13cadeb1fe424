"""Runtime bounds: planned maxima brought down to the workers this query really has. Source: msq-engine 3.11."""

from __future__ import annotations

from dataclasses import replace

from msq.stage.query import StageDefinition
from msq.stage.shuffle import HashShuffleSpec, MaxCountShuffleSpec, ShuffleSpec


def bound(stage: StageDefinition, max_workers: int, target_partitions_per_worker: int) -> StageDefinition:
    """`stage` with no more than `max_workers` workers and its adjustable shuffle fixed to workers x partitions."""
    shuffle = stage.shuffle_spec
    if shuffle is not None:
        shuffle = fixed(shuffle, max_workers * target_partitions_per_worker)
    return replace(stage, max_worker_count=min(stage.max_worker_count, max_workers), shuffle_spec=shuffle)


def fixed(shuffle: ShuffleSpec, partitions: int) -> ShuffleSpec:
    if isinstance(shuffle, (HashShuffleSpec, MaxCountShuffleSpec)) and shuffle.adjustable:
        return replace(shuffle, partitions=partitions, adjustable=False)
    return shuffle
