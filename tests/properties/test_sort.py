"""Sorting, merging, partitions and statistics against naive oracles."""

from __future__ import annotations

import functools
import math
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from msq.counters import CounterTracker
from msq.datatypes import DOUBLE, LONG, LONG_ARRAY, STRING, ColumnType, RowSignature, arrow_type
from msq.frame.frame import unify
from msq.frame.hashing import hash_partitions, key_hash
from msq.frame.keys import ClusterBy, KeyColumn
from msq.frame.order import key_words, new_key_mask, permutation, search
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.stage.shuffle import MaxCountShuffleSpec, TargetSizeShuffleSpec
from worker.memory import MemoryAccount, OrderMemory
from worker.outputs.local import LocalOutput
from worker.shuffle.merge import merge
from worker.shuffle.sorter import Sorter, SortSettings

TEXTS = st.sampled_from(
    [None, "", "a", "a\0", "a\0\0", "b", "é", "z" * 8, "z" * 8 + "\0", "z" * 12, "z" * 11 + "y", "😀"]
)
LONGS = st.one_of(st.none(), st.integers(-3, 3), st.sampled_from([2**63 - 1, -(2**63)]))
DOUBLES = st.sampled_from([None, 0.0, -0.0, 1.5, -1.5, math.nan, math.inf, -math.inf, 1e300])
SEVERAL = st.one_of(st.none(), st.lists(st.sampled_from([None, "a", "b", "ab"]), max_size=3))
ARRAYS = st.one_of(st.none(), st.lists(st.sampled_from([None, 1, 2, -1]), max_size=3))

KINDS: dict[str, tuple[ColumnType, bool, Any]] = {
    "text": (STRING, False, TEXTS), "long": (LONG, False, LONGS), "double": (DOUBLE, False, DOUBLES),
    "several": (STRING, True, SEVERAL), "array": (LONG_ARRAY, False, ARRAYS),
}  # fmt: skip
ORDERS = st.sampled_from(["ASCENDING", "DESCENDING"])
FAST = settings(max_examples=120, deadline=None)


def compare_values(a: Any, b: Any) -> int:
    """Druid's order of two key values, written out."""
    if a is None or b is None:
        return (a is not None) - (b is not None)
    if isinstance(a, list):
        for x, y in zip(a, b):
            if found := compare_values(x, y):
                return found
        return (len(a) > len(b)) - (len(a) < len(b))
    if isinstance(a, str):
        a, b = a.encode(), b.encode()
    if isinstance(a, float) and (math.isnan(a) or math.isnan(b)):
        return math.isnan(a) - math.isnan(b)
    return int(a > b) - int(a < b)


def compare_keys(a: tuple[Any, ...], b: tuple[Any, ...], orders: list[str]) -> int:
    for x, y, order in zip(a, b, orders):
        if found := compare_values(x, y) * (1 if order == "ASCENDING" else -1):
            return found
    return 0


def sorted_rows(rows: list[Any], orders: list[str]) -> list[int]:
    keys = functools.cmp_to_key(lambda i, j: compare_keys(rows[i], rows[j], orders))
    return sorted(range(len(rows)), key=keys)


@st.composite
def keyed_rows(draw: Any, max_rows: int = 24) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3))
    orders = [draw(ORDERS) for _ in kinds]
    rows = draw(st.lists(st.tuples(*(KINDS[k][2] for k in kinds)), max_size=max_rows))
    return kinds, orders, rows


def arrays(kinds: list[str], rows: list[tuple[Any, ...]], dictionary: bool = False) -> list[Any]:
    made = [pa.array([r[i] for r in rows], arrow_type(KINDS[k][0], KINDS[k][1])) for i, k in enumerate(kinds)]
    return [a.dictionary_encode() if dictionary and pa.types.is_string(a.type) else a for a in made]


@FAST
@given(keyed_rows(), st.booleans())
def test_codes_sort_as_the_values_do(data: Any, dictionary: bool) -> None:
    kinds, orders, rows = data
    columns = arrays(kinds, rows, dictionary)
    words = key_words(columns, orders, len(rows))
    order = permutation(words, len(rows))
    expected = sorted_rows(rows, orders)
    assert (list(range(len(rows))) if order is None else order.tolist()) == expected
    fresh = new_key_mask(words, len(rows), order)
    assert fresh.tolist() == [
        n == 0 or compare_keys(rows[expected[n - 1]], rows[expected[n]], orders) != 0 for n in range(len(rows))
    ]


@FAST
@given(keyed_rows(), st.sampled_from(["left", "right"]), st.data())
def test_search_counts_the_rows_before_a_key(data: Any, side: str, draw: Any) -> None:
    kinds, orders, rows = data
    wanted = draw.draw(st.lists(st.tuples(*(KINDS[k][2] for k in kinds)), min_size=1, max_size=4))
    expected = sorted_rows(rows, orders)
    found = search(arrays(kinds, rows), len(rows), arrays(kinds, wanted), orders, side, np.array(expected, np.int64))
    limit = 0 if side == "left" else 1
    assert found.tolist() == [sum(compare_keys(r, w, orders) < limit for r in rows) for w in wanted]


@FAST
@given(st.lists(LONGS.filter(lambda v: v is None or abs(v) < 2**53), max_size=20), st.integers(1, 5))
def test_equal_numbers_hash_alike_whatever_their_type(values: list[Any], partitions: int) -> None:
    longs, doubles = pa.array(values, pa.int64()), pa.array(values, pa.float64())
    assert (key_hash([longs], len(values)) == key_hash([doubles], len(values))).all()
    parts = hash_partitions([longs], len(values), partitions)
    assert all(0 <= p < partitions for p in parts.tolist())


@FAST
@given(st.lists(TEXTS, max_size=20))
def test_text_hashes_depend_on_the_value_alone(values: list[Any]) -> None:
    plain = pa.array(values, pa.string())
    several = pa.array([None if v is None else [v] for v in values], pa.list_(pa.string()))
    expected = key_hash([plain], len(values))
    assert (key_hash([plain.dictionary_encode()], len(values)) == expected).all()
    assert (key_hash([several], len(values)) == expected).all()
    shifted = pa.concat_arrays([pa.array(["x", None]), plain]).slice(2)
    assert (key_hash([shifted], len(values)) == expected).all()
    by_value: dict[Any, int] = {}
    for value, code in zip(values, expected.tolist()):
        assert by_value.setdefault(value, code) == code
    assert len(set(by_value.values())) == len(by_value)


@FAST
@given(keyed_rows(max_rows=30), st.integers(1, 4), st.integers(1, 5))
def test_merging_sorted_streams_sorts(data: Any, streams: int, block: int) -> None:
    kinds, orders, rows = data
    names = [f"c{i}" for i in range(len(kinds))]
    key = ClusterBy(tuple(KeyColumn(n, o) for n, o in zip(names, orders)))
    sources = []
    for n in range(streams):
        share = [rows[i] for i in range(len(rows)) if i % streams == n]
        share = [share[i] for i in sorted_rows(share, orders)]
        batch = pa.RecordBatch.from_arrays(arrays(kinds, share), names=names)
        sources.append([batch.slice(at, 2) for at in range(0, batch.num_rows, 2)])
    merged = list(merge(sources, key, block))
    got = [r for b in merged for r in zip(*(c.to_pylist() for c in b.columns))] if merged else []
    expected = [rows[i] for i in sorted_rows(rows, orders)]
    assert len(got) == len(expected)
    assert all(compare_keys(a, b, orders) == 0 for a, b in zip(got, expected))


def run_sorter(
    kinds: list[str], orders: list[str], rows: list[tuple[Any, ...]], *, memory: int, target: int | None = None,
    hashed: int | None = None, fan_in: int | None = None, batch_rows: int = 3, limit: int | None = None,
) -> tuple[dict[int, list[tuple[Any, ...]]], CounterTracker, ClusterByPartitions | None]:  # fmt: skip
    """Sorts rows (plus their number as a last column) and reads the partitions back."""
    names = [f"c{i}" for i in range(len(kinds))]
    signature = RowSignature([*zip(names, (KINDS[k][0] for k in kinds)), ("row", LONG)])
    key = ClusterBy(tuple(KeyColumn(n, o) for n, o in zip(names, orders)))
    counters = CounterTracker()
    spec = TargetSizeShuffleSpec(key, target) if target else MaxCountShuffleSpec(key, 1)
    statistics = KeyStatistics.of(spec, signature) if target else None
    with tempfile.TemporaryDirectory() as folder:
        sorter = Sorter(
            SortSettings(
                signature, key, OrderMemory(memory), Path(folder) / "s", counters, 2, batch_rows, lambda: None,
                hash_partitions=hashed, statistics=statistics, max_fan_in=fan_in, limit=limit,
            )
        )  # fmt: skip
        batch = pa.RecordBatch.from_arrays([*arrays(kinds, rows), pa.array(range(len(rows)))], names=[*names, "row"])
        for at in range(0, len(rows), batch_rows):
            sorter.add(batch.slice(at, batch_rows))
        sorter.finish_reading()
        bounds = None
        if hashed is None:
            bounds = ClusterByPartitions.universal(key, signature)
            if statistics is not None:
                bounds = statistics.boundaries(spec)
        output = LocalOutput(Path(folder) / "o", MemoryAccount(memory))
        sorter.write(bounds, output)
        output.finish()
        found = {
            p: [r for b in output.read(p) for r in zip(*(c.to_pylist() for c in b.columns))] for p in output.partitions
        }
        output.close()
    return found, counters, bounds


@FAST
@given(keyed_rows(max_rows=40), st.sampled_from([1 << 20, 256]), st.integers(1, 9), st.sampled_from([None, 2]))
def test_a_global_sort_orders_all_rows_and_cuts_them_at_the_boundaries(
    data: Any, memory: int, target: int, fan_in: int | None
) -> None:
    kinds, orders, rows = data
    found, counters, bounds = run_sorter(kinds, orders, rows, memory=memory, target=target, fan_in=fan_in)
    got = [r for p in sorted(found) for r in found[p]]
    assert sorted(r[-1] for r in got) == list(range(len(rows)))
    assert all(compare_keys(a, b, orders) <= 0 for a, b in pairwise(got))
    assert all(rows[r[-1]] == r[:-1] or str(rows[r[-1]]) == str(r[:-1]) for r in got)
    assert bounds is not None
    if rows:
        # equal keys are in one partition: a boundary lies between different keys
        ends = [found[p] for p in sorted(found) if found[p]]
        assert all(compare_keys(a[-1], b[0], orders) < 0 for a, b in pairwise(ends))
        progress = counters.snapshot()["sortProgress"]
        assert progress["progressDigest"] == 1.0
        assert progress["levelToTotalBatches"] == progress["levelToMergedBatches"]
        assert progress["totalMergersForUltimateLevel"] == bounds.count


@FAST
@given(keyed_rows(max_rows=40), st.sampled_from([1 << 20, 256]), st.integers(1, 4))
def test_a_hash_shuffle_keeps_equal_keys_together_and_sorted(data: Any, memory: int, partitions: int) -> None:
    kinds, orders, rows = data
    found, _, _ = run_sorter(kinds, orders, rows, memory=memory, hashed=partitions)
    got = [r for p in found.values() for r in p]
    assert sorted(r[-1] for r in got) == list(range(len(rows)))
    homes: dict[str, int] = {}
    for p, members in found.items():
        assert all(compare_keys(a, b, orders) <= 0 for a, b in pairwise(members))
        for row in members:
            key = str(row[:-1]).replace("-0.0", "0.0")
            assert homes.setdefault(key, p) == p


@FAST
@given(keyed_rows(max_rows=40), st.sampled_from([1 << 20, 256]), st.integers(1, 10))
def test_a_limited_sort_gives_the_first_rows(data: Any, memory: int, limit: int) -> None:
    kinds, orders, rows = data
    found, _, _ = run_sorter(kinds, orders, rows, memory=memory, limit=limit)
    got = [r[:-1] for p in sorted(found) for r in found[p]]
    expected = [rows[i] for i in sorted_rows(rows, orders)][:limit]
    assert len(got) == len(expected)
    assert all(compare_keys(a, b, orders) == 0 for a, b in zip(got, expected))


@FAST
@given(st.lists(st.lists(st.integers(0, 30), max_size=30), min_size=1, max_size=4), st.integers(1, 12), st.booleans())
def test_merged_statistics_equal_those_of_all_rows(shares: list[list[int]], target: int, aggregate: bool) -> None:
    key = ClusterBy((KeyColumn("k"),))
    signature = RowSignature([("k", LONG)])
    spec = TargetSizeShuffleSpec(key, target, aggregate)

    def of(values: list[int]) -> KeyStatistics:
        made = KeyStatistics.of(spec, signature)
        array = pa.array(values, pa.int64())
        words = key_words([array], ["ASCENDING"], len(values))
        order = permutation(words, len(values))
        made.add_sorted([array], len(values), order, new_key_mask(words, len(values), order), None)
        return KeyStatistics.from_bytes(made.to_bytes())

    merged = KeyStatistics.of(spec, signature)
    for share in shares:
        merged.merge(of(share))
    whole = of([v for share in shares for v in share])
    assert merged.boundaries(spec) == whole.boundaries(spec)
    values = sorted(v for share in shares for v in share)
    if aggregate:
        values = sorted(set(values))
    bounds = whole.boundaries(spec)
    sizes = np.diff(bounds.cuts([pa.array(values, pa.int64())], len(values))).tolist()
    assert sum(sizes) == len(values)
    if len(set(values)) == len(values):
        assert max(sizes, default=0) <= target + 1


def test_unify_brings_all_forms_of_a_string_column_together() -> None:
    forms = [pa.array(["a", None]), pa.array(["b", "b"]).dictionary_encode(), pa.array([["c", "d"], None, []])]
    table = unify([pa.RecordBatch.from_arrays([f], names=["x"]) for f in forms])
    assert table.column("x").to_pylist() == [["a"], None, ["b"], ["b"], ["c", "d"], None, []]
    plain = unify([pa.RecordBatch.from_arrays([f], names=["x"]) for f in forms[:2]])
    assert plain.column("x").to_pylist() == ["a", None, "b", "b"]


def test_a_sort_beyond_its_memory_spills_and_reports_druids_levels() -> None:
    rows = [((n * 7919) % 1000,) for n in range(300)]
    # (memory, fan-in, partitions) -> levels; see reference 5.1
    one, counters, _ = run_sorter(["long"], ["ASCENDING"], rows, memory=4096, batch_rows=16, fan_in=16)
    progress = counters.snapshot()["sortProgress"]
    assert progress["totalMergingLevels"] == 2 and progress["levelToTotalBatches"]["1"] == 1
    assert [r[0] for r in one[0]] == sorted(r[0] for r in rows)
    runs = progress["levelToTotalBatches"]["0"]
    assert runs >= 3
    several, counters, _ = run_sorter(["long"], ["ASCENDING"], rows, memory=4096, batch_rows=16, target=60, fan_in=16)
    assert counters.snapshot()["sortProgress"]["levelToTotalBatches"] == {"0": runs, "1": 1, "2": 5}
    assert [len(several[p]) for p in sorted(several)] == [60] * 5
    deep, counters, _ = run_sorter(["long"], ["DESCENDING"], rows, memory=1024, batch_rows=16, target=60, fan_in=2)
    totals = counters.snapshot()["sortProgress"]["levelToTotalBatches"]
    assert len(totals) >= 4 and totals["1"] == -(-totals["0"] // 2) and totals[str(len(totals) - 1)] == 5
    assert [r[0] for p in sorted(deep) for r in deep[p]] == sorted((r[0] for r in rows), reverse=True)


@FAST
@given(st.lists(st.integers(0, 400), min_size=1, max_size=400), st.integers(20, 90), st.booleans())
def test_thinned_statistics_cut_near_the_exact_quantiles(values: list[int], target: int, aggregate: bool) -> None:
    key, signature = ClusterBy((KeyColumn("k"),)), RowSignature([("k", LONG)])
    spec = TargetSizeShuffleSpec(key, target, aggregate)
    merged = KeyStatistics.of(spec, signature, 10)
    for at in range(0, len(values), 50):
        share = KeyStatistics.of(spec, signature, 10)
        array = pa.array(values[at : at + 50], pa.int64())
        words = key_words([array], ["ASCENDING"], len(array))
        order = permutation(words, len(array))
        share.add_sorted([array], len(array), order, new_key_mask(words, len(array), order), None)
        merged.merge(share)
    bounds = merged.boundaries(spec)
    assert merged.rows == len(values)
    assert bounds.start_key(0) == (min(values),)
    starts = [bounds.start_key(p) for p in range(bounds.count)]
    assert starts == sorted(set(starts), key=lambda k: k or ())
    if not aggregate:
        # all rows are still counted, so the number of partitions is that of exact statistics or, by ties, fewer
        assert bounds.count <= -(-len(values) // target)
