"""What a segment is called and where it stands: `DataSegment` and its `ShardSpec`, as Druid keeps them.

Owns the JSON of both and the segment id. Knows nothing of the bytes of a segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from msq.codec import Wire, decode, encode, wire

BINARY_VERSION = 9


class ShardSpec(Wire):
    """The place of a segment among the segments of its time chunk and version.

    `partition_num` counts from 0 in the chunk; `core_partitions` is how many segments make the chunk complete (0 where
    every segment is visible by itself).
    """

    partition_num: int

    @property
    def core_partitions(self) -> int:
        return 0


@dataclass(frozen=True)
class NumberedShardSpec(ShardSpec, tag="numbered"):
    partition_num: int
    partitions: int

    @property
    def core_partitions(self) -> int:
        return self.partitions


@dataclass(frozen=True)
class RangeShardSpec(ShardSpec, tag="range"):
    """Rows whose `dimensions` tuple t has start <= t < end; None is unbounded."""

    dimensions: tuple[str, ...]
    start: tuple[str | None, ...] | None = wire(keep_null=True)
    end: tuple[str | None, ...] | None = wire(keep_null=True)
    partition_num: int = 0
    num_core_partitions: int = 0
    virtual_columns: tuple[Any, ...] | None = None

    @property
    def core_partitions(self) -> int:
        return self.num_core_partitions

    def to_wire(self) -> Any:
        body = super().to_wire()
        virtual = body.pop("virtualColumns", None)
        if virtual is None:
            return body
        head = {"type": body.pop("type"), "dimensions": body.pop("dimensions"), "virtualColumns": virtual}
        return {**head, **body}


@dataclass(frozen=True)
class SingleDimensionShardSpec(ShardSpec, tag="single", aliases=("single_dim",)):
    start: str | None = wire(keep_null=True)
    end: str | None = wire(keep_null=True)
    dimension: str = ""
    partition_num: int = 0
    num_core_partitions: int = 0

    @property
    def core_partitions(self) -> int:
        return self.num_core_partitions


@dataclass(frozen=True)
class HashedShardSpec(ShardSpec, tag="hashed"):
    partition_num: int
    partitions: int
    bucket_id: int | None = None
    num_buckets: int | None = None
    partition_dimensions: tuple[str, ...] = ()
    partition_function: str | None = None

    @property
    def core_partitions(self) -> int:
        return self.partitions


@dataclass(frozen=True)
class TombstoneShardSpec(ShardSpec, tag="tombstone"):
    partitions: int = 0
    partition_num: int = 0


@dataclass(frozen=True)
class NoneShardSpec(ShardSpec, tag="none"):
    @property
    def partition_num(self) -> int:  # type: ignore[override]
        return 0

    @property
    def core_partitions(self) -> int:
        return 1


@dataclass(frozen=True)
class LinearShardSpec(ShardSpec, tag="linear"):
    partition_num: int


@dataclass(frozen=True)
class NumberedOverwriteShardSpec(ShardSpec, tag="numbered_overwrite"):
    partition_id: int
    start_root_partition_id: int
    end_root_partition_id: int
    minor_version: int
    atomic_update_group_size: int

    @property
    def partition_num(self) -> int:  # type: ignore[override]
        return self.partition_id


@dataclass(frozen=True)
class DataSegment:
    """One segment as the metadata store knows it.

    `interval` is `start/end` in ISO-8601 with milliseconds. `dimensions` leave `__time` out. `size` is the sum of the
    bytes of the segment's files, uncompressed. `total_rows` and `last_compaction_state` are None when unknown.
    """

    datasource: str
    interval: str
    version: str
    load_spec: dict[str, Any]
    dimensions: tuple[str, ...]
    metrics: tuple[str, ...]
    shard_spec: ShardSpec
    last_compaction_state: dict[str, Any] | None = None
    binary_version: int | None = BINARY_VERSION
    size: int = 0
    total_rows: int | None = None

    @property
    def id(self) -> str:
        """`<datasource>_<start>_<end>_<version>`, with `_<partition>` behind it when that is not 0."""
        return segment_id(self.datasource, self.interval, self.version, self.shard_spec.partition_num)

    @property
    def is_tombstone(self) -> bool:
        return isinstance(self.shard_spec, TombstoneShardSpec)

    @staticmethod
    def tombstone(datasource: str, interval: str, version: str) -> DataSegment:
        """The segment without rows or files that hides older ones in `interval`."""
        return DataSegment(
            datasource=datasource, interval=interval, version=version, load_spec={"path": None, "type": "tombstone"},
            dimensions=(), metrics=(), shard_spec=TombstoneShardSpec(), binary_version=None, size=1, total_rows=0,
        )  # fmt: skip

    def stored(self, load_spec: dict[str, Any], size: int) -> DataSegment:
        """This segment once its files are in deep storage."""
        return replace(self, load_spec=load_spec, size=size)

    def to_json(self) -> dict[str, Any]:
        return dict(self._json)

    @cached_property
    def _json(self) -> dict[str, Any]:
        out: dict[str, Any] = {
            "dataSource": self.datasource,
            "interval": self.interval,
            "version": self.version,
            "loadSpec": self.load_spec,
            "dimensions": ",".join(self.dimensions),
            "metrics": ",".join(self.metrics),
            "shardSpec": encode(self.shard_spec),
        }
        if self.last_compaction_state is not None:
            out["lastCompactionState"] = self.last_compaction_state
        out["binaryVersion"] = self.binary_version
        out["size"] = self.size
        if self.total_rows is not None:
            out["totalRows"] = self.total_rows
        out["identifier"] = self.id
        return out

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> DataSegment:
        """Raises CodecError for an unknown shard spec, KeyError for a missing key."""
        return DataSegment(
            datasource=value["dataSource"],
            interval=value["interval"],
            version=value["version"],
            load_spec=dict(value.get("loadSpec") or {}),
            dimensions=_names(value.get("dimensions")),
            metrics=_names(value.get("metrics")),
            shard_spec=decode(ShardSpec, value.get("shardSpec") or {"type": "none"}),
            last_compaction_state=value.get("lastCompactionState"),
            binary_version=value.get("binaryVersion", BINARY_VERSION),
            size=value.get("size") or 0,
            total_rows=value.get("totalRows"),
        )


def segment_id(datasource: str, interval: str, version: str, partition_num: int) -> str:
    start, _, end = interval.partition("/")
    return f"{datasource}_{start}_{end}_{version}" + (f"_{partition_num}" if partition_num else "")


def _names(value: Any) -> tuple[str, ...]:
    # Druid prints a comma-joined text and reads lists too
    items = value.split(",") if isinstance(value, str) else value or ()
    return tuple(name for name in items if name)
