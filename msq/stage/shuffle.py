"""How a stage's output is partitioned and ordered for the next one. Source: reference msq-engine 2.5, 4.

| kind | keys gathered first? | order inside a partition | partitions |
|---|---|---|---|
| mix | no | arrival | 1 |
| hash | no | arrival | n, by hash of the key |
| hashLocalSort | no | key | n, by hash of the key |
| globalSort | yes, unless one universal partition suffices | key, and partition p before p+1 | by key ranges |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from msq.codec import Wire, wire
from msq.frame.keys import ClusterBy


class ShuffleSpec(Wire, ABC):
    """Family of shuffle specs. `cluster_by` is empty for mix. `aggregate`: equal keys may be combined while sorting.

    `limit_hint`: no more rows than this are wanted of each worker's sorted output. `adjustable` (never printed):
    the partition count is a placeholder until runtime bounds are known.
    """

    cluster_by: ClusterBy
    aggregate: bool = False
    limit_hint: int | None = None

    @property
    @abstractmethod
    def kind(self) -> str: ...

    @property
    def gathers_statistics(self) -> bool:
        """Whether boundaries depend on the data (reference msq-engine 4.1)."""
        return False


@dataclass(frozen=True)
class MixShuffleSpec(ShuffleSpec, tag="mix"):
    """Everything in one partition, unsorted."""

    @property
    def cluster_by(self) -> ClusterBy:  # type: ignore[override]
        return ClusterBy()

    @property
    def kind(self) -> str:
        return "mix"


@dataclass(frozen=True)
class HashShuffleSpec(ShuffleSpec, tag="hash"):
    cluster_by: ClusterBy
    partitions: int
    adjustable: bool = wire(default=False, omit=lambda v: not v)

    @property
    def kind(self) -> str:
        return "hashLocalSort" if self.cluster_by.sortable else "hash"


@dataclass(frozen=True)
class MaxCountShuffleSpec(ShuffleSpec, tag="maxCount"):
    """At most `partitions` key ranges."""

    cluster_by: ClusterBy
    partitions: int
    aggregate: bool = wire(default=False, omit=lambda v: not v)
    limit_hint: int | None = None
    adjustable: bool = wire(default=False, omit=lambda v: not v)

    @property
    def kind(self) -> str:
        return "globalSort"

    @property
    def gathers_statistics(self) -> bool:
        return self.partitions != 1 or self.cluster_by.bucket_by_count > 0


@dataclass(frozen=True)
class TargetSizeShuffleSpec(ShuffleSpec, tag="targetSize"):
    """Key ranges of about `target_size` rows each, in every bucket."""

    cluster_by: ClusterBy
    target_size: int
    aggregate: bool = wire(default=False, omit=lambda v: not v)

    @property
    def kind(self) -> str:
        return "globalSort"

    @property
    def gathers_statistics(self) -> bool:
        return True


def keeps_arrival(spec: ShuffleSpec | None) -> bool:
    """Whether rows leave in one partition and as they come: nothing is sorted but by __boost, which orders nothing that
    anyone looks at."""
    if spec is None or isinstance(spec, MixShuffleSpec):
        return True
    return (
        isinstance(spec, MaxCountShuffleSpec) and spec.partitions == 1 and spec.limit_hint is None
        and spec.cluster_by.names == ("__boost",)
    )  # fmt: skip
