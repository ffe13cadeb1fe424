"""Key statistics and partitions: the row counts that a real Druid reported, limits, JSON."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from msq.datatypes import DOUBLE, LONG, STRING, STRING_ARRAY, RowSignature
from msq.faults import MSQError
from msq.frame.keys import ClusterBy, KeyColumn
from msq.frame.order import key_words, new_key_mask, permutation
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics, multi_value_columns, row_weights
from msq.stage.shuffle import MaxCountShuffleSpec, ShuffleSpec, TargetSizeShuffleSpec

KEY = ClusterBy((KeyColumn("k"),))
SIGNATURE = RowSignature([("k", LONG)])
BUCKETED = ClusterBy((KeyColumn("__bucket"), KeyColumn("k")), 1)
BUCKET_SIGNATURE = RowSignature([("__bucket", LONG), ("k", LONG)])


def gathered(columns: list[Any], spec: ShuffleSpec, signature: RowSignature, weights: Any = None) -> KeyStatistics:
    made = KeyStatistics.of(spec, signature)
    count = len(columns[0])
    words = key_words(columns, [c.order for c in spec.cluster_by.columns], count)
    order = permutation(words, count)
    made.add_sorted(columns, count, order, new_key_mask(words, count, order), weights)
    return made


def sizes(bounds: ClusterByPartitions, columns: list[Any]) -> list[int]:
    """Rows of each partition; `columns` must be sorted."""
    return np.diff(bounds.cuts(columns, len(columns[0]))).tolist()


@pytest.mark.parametrize(
    ("rows", "target", "expected"),
    [
        (24433, 5000, [4886, 4887, 4886, 4887, 4887]),
        (22, 7, [5, 6, 5, 6]),
        (21, 7, [7, 7, 7]),
        (17, 7, [5, 6, 6]),
        (60, 10, [10, 10, 10, 10, 9, 11]),
        (60, 1, [1] * 30 + [2] + [1] * 28),
        (3_000, 3_000_000, [3_000]),
    ],
)
def test_rows_of_partitions_by_target_size(rows: int, target: int, expected: list[int]) -> None:
    spec = TargetSizeShuffleSpec(KEY, target)
    values = pa.array(np.arange(rows))
    assert sizes(gathered([values], spec, SIGNATURE).boundaries(spec), [values]) == expected


@pytest.mark.parametrize(("keys", "target", "expected"), [(60, 7, [7] * 8 + [4]), (20, 4, [4] * 5), (5, 7, [5])])
def test_distinct_keys_fill_partitions_up(keys: int, target: int, expected: list[int]) -> None:
    spec = TargetSizeShuffleSpec(KEY, target, aggregate=True)
    repeated = pa.array(np.repeat(np.arange(keys), 3))
    bounds = gathered([repeated], spec, SIGNATURE).boundaries(spec)
    assert sizes(bounds, [pa.array(np.arange(keys))]) == expected


def test_wide_rows_weigh_more() -> None:
    wide = pa.RecordBatch.from_arrays([pa.array(["x" * 6000] * 60)], names=["wide"])
    weights = row_weights(wide)
    assert weights is not None and set(weights.tolist()) == {7}
    assert row_weights(pa.RecordBatch.from_arrays([pa.array(["x" * 900])], names=["x"])) is None
    several = pa.RecordBatch.from_arrays([pa.array(["x" * 900])] * 5, names=list("abcde"))
    assert row_weights(several).tolist() == [3]  # by the length of the row
    spec = TargetSizeShuffleSpec(KEY, 40)
    values = pa.array(np.arange(60))
    bounds = gathered([values], spec, SIGNATURE, weights).boundaries(spec)
    assert sizes(bounds, [values]) == [5, 5, 6, 5, 6, 5, 6, 5, 6, 5, 6]


def test_a_heavy_key_is_split_only_by_what_follows_it() -> None:
    spec = TargetSizeShuffleSpec(KEY, 10)
    values = pa.array([5] * 40 + list(range(10, 30)))
    bounds = gathered([values], spec, SIGNATURE).boundaries(spec)
    assert sizes(bounds, [values]) == [40, 9, 11]


def test_partitions_never_span_buckets() -> None:
    spec = TargetSizeShuffleSpec(BUCKETED, 4)
    buckets, keys = pa.array([0] * 10 + [100] * 3 + [200] * 4), pa.array(list(range(17)))
    made = gathered([buckets, keys], spec, BUCKET_SIGNATURE)
    assert made.buckets == (0, 100, 200)
    bounds = made.boundaries(spec)
    assert sizes(bounds, [buckets, keys]) == [3, 3, 4, 3, 4]
    assert [bounds.bucket(p) for p in range(bounds.count)] == [(0,), (0,), (0,), (100,), (200,)]
    assert bounds.start_key(0) == (0, 0) and bounds.end_key(0) == bounds.start_key(1)
    assert bounds.end_key(4) is None


def test_max_count_gives_at_most_that_many() -> None:
    values = pa.array(np.arange(100))
    for wanted in (2, 3, 7):
        spec = MaxCountShuffleSpec(KEY, wanted)
        assert gathered([values], spec, SIGNATURE).boundaries(spec).count <= wanted
    spec = MaxCountShuffleSpec(KEY, 2)
    assert sizes(gathered([values], spec, SIGNATURE).boundaries(spec), [values]) == [50, 50]
    impossible = MaxCountShuffleSpec(BUCKETED, 2)
    with pytest.raises(RuntimeError, match="partition boundaries"):
        gathered([pa.array([1, 2, 3]), pa.array([1, 1, 1])], impossible, BUCKET_SIGNATURE).boundaries(impossible)


def test_no_keys_make_the_universal_range() -> None:
    spec = TargetSizeShuffleSpec(KEY, 10)
    bounds = KeyStatistics.of(spec, SIGNATURE).boundaries(spec)
    assert (bounds.count, bounds.start_key(0), bounds.end_key(0), bounds.bucket(0)) == (1, None, None, ())
    assert bounds == ClusterByPartitions.universal(KEY, RowSignature([("a", STRING), ("k", LONG)]))


def test_too_many_partitions_and_buckets_and_null_times() -> None:
    spec = TargetSizeShuffleSpec(KEY, 1)
    made = gathered([pa.array(np.arange(200))], spec, SIGNATURE)
    with pytest.raises(MSQError, match="Too many partitions") as caught:
        made.boundaries(spec, max_partitions=100)
    assert caught.value.fault.to_json()["maxPartitions"] == 100
    bucketed = KeyStatistics.of(TargetSizeShuffleSpec(BUCKETED, 1), BUCKET_SIGNATURE)
    with pytest.raises(MSQError, match="Too many partition buckets"):
        bucketed.check_buckets(pa.array(np.arange(5_001)))
    with pytest.raises(MSQError, match="Null timestamp"):
        bucketed.check_buckets(pa.array([1, None], pa.int64()))


def test_several_values_of_key_columns_are_noted() -> None:
    signature = RowSignature([("s", STRING), ("m", STRING), ("a", STRING_ARRAY)])
    columns = [pa.array(["x", "y"]), pa.array([["x"], ["y", "z"]]), pa.array([None, ["x"]])]
    assert multi_value_columns(columns, signature) == (False, True, True)
    singles = [pa.array(["x"]), pa.array([["x"]]), pa.array([None], pa.list_(pa.string()))]
    assert multi_value_columns(singles, signature) == (False, False, False)


def test_partitions_survive_json() -> None:
    signature = RowSignature([("d", DOUBLE), ("s", STRING)])
    key = ClusterBy((KeyColumn("d"), KeyColumn("s", "DESCENDING")))
    values = [pa.array([None, -math.inf, 0.5, math.inf, math.nan]), pa.array(["a", None, "b", "c", "d"])]
    bounds = ClusterByPartitions(key, signature, pa.RecordBatch.from_arrays(values, names=["d", "s"]))
    again = ClusterByPartitions.from_json(bounds.to_json())
    assert again == bounds and again.count == 5
    assert again.start_key(2) == (0.5, "b") and math.isnan(again.start_key(4)[0])  # type: ignore[index]
    lists = ClusterByPartitions(
        KEY, RowSignature([("k", STRING)]), pa.RecordBatch.from_arrays([pa.array([["a", "b"], ["c"]])], names=["k"])
    )
    assert ClusterByPartitions.from_json(lists.to_json()).start_key(0) == (("a", "b"),)
