"""Identity of segments: the JSON of real clusters comes back unchanged, ids and tombstones as Druid makes them."""

from __future__ import annotations

import json

import pytest

from msq.codec import CodecError, decode, encode
from msq.segment.identity import DataSegment, RangeShardSpec, ShardSpec

SHARDS = [
    ({"type": "numbered", "partitionNum": 3, "partitions": 5}, 3, 5),
    (
        {"type": "range", "dimensions": ["s", "t"], "start": ["a", None], "end": None, "partitionNum": 1,
         "numCorePartitions": 3}, 1, 3,
    ),
    (
        {"type": "range", "dimensions": ["v1"], "virtualColumns": [{"type": "expression", "name": "v1"}],
         "start": None, "end": ["m"], "partitionNum": 0, "numCorePartitions": 2}, 0, 2,
    ),
    (
        {"type": "single", "start": None, "end": "m", "dimension": "s", "partitionNum": 0, "numCorePartitions": 2},
        0, 2,
    ),
    (
        {"type": "hashed", "partitionNum": 1, "partitions": 2, "bucketId": 1, "numBuckets": 2,
         "partitionDimensions": ["s"], "partitionFunction": "murmur3_32_abs"}, 1, 2,
    ),
    ({"type": "tombstone", "partitions": 0, "partitionNum": 0}, 0, 0),
    ({"type": "none"}, 0, 1),
    ({"type": "linear", "partitionNum": 4}, 4, 0),
    (
        {"type": "numbered_overwrite", "partitionId": 32768, "startRootPartitionId": 0, "endRootPartitionId": 2,
         "minorVersion": 1, "atomicUpdateGroupSize": 1}, 32768, 0,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "partition", "core"), SHARDS, ids=lambda v: v.get("type") if isinstance(v, dict) else ""
)
def test_shard_specs_travel_unchanged(spec: dict[str, object], partition: int, core: int) -> None:
    decoded = decode(ShardSpec, spec)
    assert json.dumps(encode(decoded)) == json.dumps(spec)
    assert (decoded.partition_num, decoded.core_partitions) == (partition, core)


def test_unknown_shard_spec_is_named() -> None:
    with pytest.raises(CodecError, match="building_numbered"):
        decode(ShardSpec, {"type": "building_numbered"})


RECORDED = {
    "dataSource": "g_rollup", "interval": "2016-06-27T00:00:00.000Z/2016-06-28T00:00:00.000Z",
    "version": "2026-11-24T02:47:37.973Z", "loadSpec": {"type": "local", "path": "/s/g_rollup/0/index/"},
    "dimensions": "channel,countryName", "metrics": "cnt,added_sum,deleted_max,users",
    "shardSpec": {"type": "range", "dimensions": ["channel"], "start": None, "end": None, "partitionNum": 0,
                  "numCorePartitions": 1},
    "binaryVersion": 9, "size": 102543, "totalRows": 1741,
    "identifier": "g_rollup_2016-06-27T00:00:00.000Z_2016-06-28T00:00:00.000Z_2026-11-24T02:47:37.973Z",
}  # fmt: skip


def test_recorded_segment_comes_back_in_the_same_text() -> None:
    segment = DataSegment.from_json(RECORDED)
    assert isinstance(segment.shard_spec, RangeShardSpec)
    assert segment.metrics == ("cnt", "added_sum", "deleted_max", "users")
    assert json.dumps(segment.to_json()) == json.dumps(RECORDED)


def test_optional_keys() -> None:
    old = {k: v for k, v in RECORDED.items() if k != "totalRows"}
    assert "totalRows" not in DataSegment.from_json(old).to_json()
    state = {"partitionsSpec": {"type": "dynamic"}}
    made = DataSegment.from_json({**RECORDED, "lastCompactionState": state}).to_json()
    keys = list(made)
    assert keys[keys.index("shardSpec") + 1] == "lastCompactionState" and made["lastCompactionState"] == state


def test_partition_number_is_part_of_the_id_unless_zero() -> None:
    second = {**RECORDED, "shardSpec": {"type": "numbered", "partitionNum": 2, "partitions": 0}}
    assert DataSegment.from_json(second).id.endswith("_2026-11-24T02:47:37.973Z_2")
    assert DataSegment.from_json(RECORDED).id == RECORDED["identifier"]


def test_tombstone() -> None:
    made = DataSegment.tombstone("t", "2016-06-27T00:00:00.000Z/2016-06-28T00:00:00.000Z", "v1")
    assert made.is_tombstone
    assert json.dumps(made.to_json()) == json.dumps({
        "dataSource": "t", "interval": "2016-06-27T00:00:00.000Z/2016-06-28T00:00:00.000Z", "version": "v1",
        "loadSpec": {"path": None, "type": "tombstone"}, "dimensions": "", "metrics": "",
        "shardSpec": {"type": "tombstone", "partitions": 0, "partitionNum": 0}, "binaryVersion": None, "size": 1,
        "totalRows": 0, "identifier": "t_2016-06-27T00:00:00.000Z_2016-06-28T00:00:00.000Z_v1",
    })  # fmt: skip
    assert DataSegment.from_json(made.to_json()) == made
