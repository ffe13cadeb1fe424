"""What is written comes back: every kind of column, with nulls, empties and unusual text, in the promised order."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from msq.intervals import Interval
from msq.segment.reader import Segment, open_segment
from msq.segment.reader.generic import bitmap_rows
from msq.segment.schema import DimensionSchema, IndexSpec, SegmentSchema
from msq.segment.writer import constant_files, sort_rows, write_segment
from msq.segment.writer.dictionary import _mostly_unique, encode_strings
from msq.segment.writer.generic import binary_array, value_list
from msq.segment.writer.roaring import bitmap_list, roaring_bitmaps, rows_by_id
from msq.segment.writer.sort import SortKey, bits_of, sort_order

T = 1_704_067_200_000
DAY = Interval.parse("2024-01-01/2024-01-02")
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXT = st.one_of(st.sampled_from(["", "a", "b", "\uff5e", "\U0001f600", "\ue000"]), st.text(max_size=5))
LONGS = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1))
DOUBLES = st.one_of(st.sampled_from([0.0, -0.0, math.nan, math.inf]), st.floats())


def lists(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.none() | values, max_size=4)


KINDS: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "string": ({"type": "string"}, pa.string(), TEXT),
    "multi": ({"type": "string"}, pa.list_(pa.string()), lists(TEXT)),
    "kept": (
        {"type": "string", "multiValueHandling": "ARRAY"}, pa.list_(pa.string()), lists(TEXT),
    ),
    "long": ({"type": "long"}, pa.int64(), LONGS),
    "double": ({"type": "double"}, pa.float64(), DOUBLES),
    "float": ({"type": "float"}, pa.float32(), st.floats(width=32)),
    "auto string": ({"type": "auto", "castToType": "STRING"}, pa.string(), TEXT),
    "auto long": ({"type": "auto", "castToType": "LONG"}, pa.int64(), LONGS),
    "auto double": ({"type": "auto", "castToType": "DOUBLE"}, pa.float64(), DOUBLES),
    "strings": (
        {"type": "auto", "castToType": "ARRAY<STRING>"}, pa.list_(pa.string()), lists(TEXT),
    ),
    "longs": ({"type": "auto", "castToType": "ARRAY<LONG>"}, pa.list_(pa.int64()), lists(LONGS)),
    "doubles": (
        {"type": "auto", "castToType": "ARRAY<DOUBLE>"}, pa.list_(pa.float64()), lists(DOUBLES),
    ),
}  # fmt: skip
SPECS = [
    {},
    {"dimensionCompression": "uncompressed", "metricCompression": "uncompressed"},
    {"dimensionCompression": "zstd", "metricCompression": "none", "longEncoding": "auto"},
    {"stringDictionaryEncoding": {"type": "frontCoded", "bucketSize": 4, "formatVersion": 0}, "longEncoding": "auto"},
    {"stringDictionaryEncoding": {"type": "frontCoded", "bucketSize": 16}},
]


def at_rest(name: str, value: Any) -> Any:
    """What a segment keeps of a value: several values sorted, none and a single null as null."""
    if name in ("multi", "kept") and value is not None:
        value = value if name == "kept" else sorted(value, key=text_key)
        return None if value in ([], [None]) else value
    return value


def text_key(value: str | None) -> bytes:
    return b"" if value is None else b"\0\1" + value.encode("utf-16-be")


def comparable(value: Any) -> Any:
    """A form in which NaN equals NaN, and -0.0 differs from 0.0."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    return [comparable(v) for v in value] if isinstance(value, list) else value


def written(rows: Any, schema: SegmentSchema, folder: Path) -> Segment:
    made = write_segment(folder, rows, schema, DAY)
    segment = open_segment(folder)
    assert made.stored == segment.stored
    return segment


def key_of(name: str, value: Any) -> Any:
    """A key that sorts in Python as the segment sorts."""
    if value is None:
        return (0,)
    if isinstance(value, list):
        return (1, [key_of("", v) for v in value])
    if isinstance(value, str):
        return (1, text_key(value))
    if isinstance(value, float):
        return (1, math.isnan(value), value if not math.isnan(value) else 0.0, math.copysign(1, value))
    return (1, value)


@pytest.mark.parametrize("name", list(KINDS))
@SETTINGS
@given(data=st.data())
def test_rows_come_back_in_order(name: str, data: st.DataObject) -> None:
    spec, kind, values = KINDS[name]
    given_values = data.draw(st.lists(st.none() | values, min_size=1, max_size=30))
    times = data.draw(st.lists(st.integers(0, 2), min_size=len(given_values), max_size=len(given_values)))
    index_spec = IndexSpec.from_json(data.draw(st.sampled_from(SPECS)))
    schema = SegmentSchema((DimensionSchema.from_json({"name": "x", **spec}),), index_spec=index_spec)
    rows = pa.table({"__time": pa.array([T + t for t in times], pa.int64()), "x": pa.array(given_values, kind)})
    stored = [v["x"] for v in rows.to_pylist()]
    if name in ("multi", "kept") and all(v is None or len(v) < 2 for v in stored):
        wanted = [(T + t, v[0] if v else None) for t, v in zip(times, stored)]
    elif name in ("multi", "kept") and all(v is None for row in stored for v in row or []):
        wanted = [(T + t, None) for t in times]
    else:
        wanted = [(T + t, at_rest(name, v)) for t, v in zip(times, stored)]
    wanted.sort(key=lambda r: (r[0], key_of(name, r[1])))
    with tempfile.TemporaryDirectory() as folder:
        segment = written(rows, schema, Path(folder))
        found = [(r["__time"], r["x"]) for r in segment.read().to_pylist()]
        assert comparable([list(r) for r in found]) == comparable([list(r) for r in wanted])
        again = sort_rows(rows, schema).to_pylist()
        if name not in ("multi", "kept"):
            assert comparable([[r["__time"], r["x"]] for r in again]) == comparable([list(r) for r in wanted])


@SETTINGS
@given(
    data=st.lists(
        st.none()
        | st.recursive(
            st.none() | st.booleans() | LONGS | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
            max_leaves=8,
        ),
        min_size=1,
        max_size=12,
    )
)
def test_documents_come_back(data: list[Any]) -> None:
    texts = pa.array([None if d is None else json.dumps(d) for d in data], pa.string())
    rows = pa.table({"__time": pa.array([T + i for i in range(len(data))], pa.int64()), "j": texts})
    schema = SegmentSchema((DimensionSchema.from_json({"type": "json", "name": "j"}),))
    with tempfile.TemporaryDirectory() as folder:
        found = written(rows, schema, Path(folder)).read(["j"]).column(0).to_pylist()
    assert [None if f is None else json.loads(f) for f in found] == [
        None if t is None else json.loads(t) for t in texts.to_pylist()
    ]


@SETTINGS
@given(columns=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40), st.integers(0, 1)), max_size=40))
def test_sort_order_is_stable_and_marks_groups(columns: list[tuple[int, int, int]]) -> None:
    arrays = [np.asarray([c[i] for c in columns], np.int64) for i in range(3)]
    keys = [SortKey(bits_of(2**bits - 1), lambda a=a: a) for a, bits in zip(arrays, (2, 41, 1))]
    found = sort_order(keys, len(columns))
    wanted = sorted(range(len(columns)), key=lambda i: columns[i])
    rows = list(range(len(columns))) if found.rows is None else found.rows.tolist()
    assert rows == wanted
    in_order = [columns[i] for i in rows]
    starts = [i == 0 or in_order[i] != in_order[i - 1] for i in range(len(rows))]
    assert ([True] * len(rows) if found.starts is None else found.starts.tolist()) == starts


def test_wide_keys_are_sorted_by_all_their_bits() -> None:
    rng = np.random.default_rng(3)
    wide = [rng.integers(0, 2**63, 500).astype(np.uint64) * np.uint64(2) for _ in range(2)]
    few = rng.integers(0, 2, 500)
    keys = [
        SortKey(1, lambda: few),
        SortKey(64, lambda: wide[0] % np.uint64(7) + np.uint64(2**63)),
        SortKey(64, lambda: wide[1]),
    ]
    found = sort_order(keys, 500).rows
    assert found is not None
    assert found.tolist() == np.lexsort((wide[1], wide[0] % np.uint64(7), few)).tolist()


@SETTINGS
@given(
    parts=st.lists(
        st.one_of(
            st.tuples(st.just("run"), st.integers(0, 200_000), st.integers(1, 9_000)),
            st.tuples(st.just("some"), st.integers(0, 200_000), st.integers(1, 50)),
            st.tuples(st.just("dense"), st.integers(0, 2), st.integers(4_000, 9_000)),
        ),
        max_size=4,
    )
)
def test_bitmaps_hold_their_rows(parts: list[tuple[str, int, int]]) -> None:
    rows: set[int] = set()
    for kind, start, count in parts:
        if kind == "run":
            rows.update(range(start, start + count))
        elif kind == "some":
            rows.update(range(start, start + count * 17, 17))
        else:
            rows.update(range(start * 65536, start * 65536 + count * 3, 3))
    made = np.asarray(sorted(rows), np.int64)
    data, _ = roaring_bitmaps(np.asarray([len(made)]), made)
    assert np.array_equal(bitmap_rows(memoryview(data.tobytes())), made)


def test_bitmaps_of_a_column_partition_its_rows(tmp_path: Path) -> None:
    """150,000 rows over three containers: array, bitmap and run containers in one column."""
    rng = np.random.default_rng(5)
    ids = np.where(np.arange(150_000) % 60_000 < 20_000, 0, rng.integers(0, 40, 150_000))
    values = pa.array([f"{v:02d}" if v else None for v in ids.tolist()])
    rows = pa.table({"__time": pa.array(np.arange(150_000) + T), "s": values})
    segment = written(rows, SegmentSchema((DimensionSchema.from_json("s"),)), tmp_path)
    column: Any = segment.column("s")
    found = [column.rows_of(i) for i in range(column.cardinality)]
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(150_000))
    for value_id, held in enumerate(found):
        assert np.array_equal(held, np.flatnonzero(ids == (value_id if value_id else 0)))
    assert segment.read(["s"]).column(0).to_pylist() == values.to_pylist()


@pytest.mark.parametrize("distinct", [255, 256, 257, 65_535, 65_536, 65_537])
def test_widths_of_ids(tmp_path: Path, distinct: int) -> None:
    """The width follows the cardinality, null counted, not the largest id."""
    values = np.arange(140_000) % distinct
    texts = pa.DictionaryArray.from_arrays(
        pa.array(values.astype(np.int32)), pa.array([f"{v:06d}" for v in range(distinct)])
    )
    rows = pa.table({"__time": pa.array(np.arange(140_000) + T), "s": texts})
    segment = written(rows, SegmentSchema((DimensionSchema.from_json("s"),)), tmp_path)
    column: Any = segment.column("s")
    assert column._single.width == (1 if distinct < 256 else 2 if distinct < 65_536 else 3)
    assert segment.info("s").cardinality == distinct
    for start, stop in ((0, 140_000), (32_767, 32_769), (131_071, 140_000)):
        found = segment.read(["s"], start, stop).column(0)
        assert found.to_pylist() == texts.slice(start, stop - start).to_pylist()


def test_chunks_are_split_before_they_pass_the_limit(tmp_path: Path) -> None:
    rows = pa.table({"__time": pa.array(np.arange(5_000) + T), "s": pa.array([f"v{i}" for i in range(5_000)]),
                     "l": pa.array(np.random.default_rng(1).integers(0, 2**60, 5_000))})  # fmt: skip
    schema = SegmentSchema((DimensionSchema.from_json("s"), DimensionSchema.from_json({"type": "long", "name": "l"})))
    write_segment(tmp_path, rows, schema, DAY, max_chunk_bytes=210_000)
    assert sorted(f.name for f in tmp_path.glob("*.smoosh")) == [*(f"0000{i}.smoosh" for i in range(3)), "meta.smoosh"]
    assert all(f.stat().st_size <= 210_000 for f in tmp_path.iterdir())
    assert open_segment(tmp_path).read().to_pydict() == rows.to_pydict()


def test_dictionaries_of_every_form_give_the_same_segment(tmp_path: Path) -> None:
    """Unsorted, repeated, unused and null entries of a dictionary; several chunks with dictionaries of their own."""
    plain = ["b", "a", None, "b", "c", "a"]
    forms = {
        "plain": pa.array(plain),
        "dictionary": pa.DictionaryArray.from_arrays(
            pa.array([0, 3, None, 2, 4, 1], pa.int8()), ["b", "a", "b", "a", "c", "zz"]
        ),
        "null entry": pa.DictionaryArray.from_arrays(pa.array([1, 2, 0, 1, 3, 2]), pa.array([None, "b", "a", "c"])),
        "chunks": pa.chunked_array([pa.array(plain[:2]).dictionary_encode(), pa.array(plain[2:]).dictionary_encode()]),
        "large": pa.array(plain, pa.large_string()),
        "view": pa.array(plain, pa.string_view()),
    }  # fmt: skip
    images = set()
    for name, data in forms.items():
        rows = pa.table({"__time": pa.array([T] * 6, pa.int64()), "s": data})
        write_segment(tmp_path / name, rows, SegmentSchema((DimensionSchema.from_json("s"),)), DAY)
        images.add((tmp_path / name / "00000.smoosh").read_bytes())
    assert len(images) == 1


def test_sorted_rows_and_a_hash_table_encode_alike() -> None:
    """Texts that hardly repeat, with nulls, empty ones, repeats and characters that UTF-16 orders otherwise."""
    rng = np.random.default_rng(11)
    texts = [f"{chr(0xE000 if v % 3 else 0x1F600)}{v}" if v % 7 else f"{v}" for v in rng.integers(0, 10**9, 9_000)]
    made: list[str | None] = [None if i % 100 == 5 else text for i, text in enumerate(texts)]
    made[10], made[8_000], made[8_001] = "", made[20], made[20]
    column = pa.chunked_array([pa.array(made[:6_000]), pa.array(made[6_000:])])
    assert _mostly_unique(column)
    found, wanted = encode_strings(column), encode_strings(column.dictionary_encode())
    assert found.has_null and found.values.equals(wanted.values) and np.array_equal(found.ids, wanted.ids)
    assert found.values.to_pylist() == sorted(
        {v.encode() for v in made if v is not None}, key=lambda v: v.decode().encode("utf-16-be")
    )
    assert not _mostly_unique(pa.chunked_array([pa.array([f"{v}" for v in range(500)] * 20)]))


@pytest.mark.parametrize("runs", [False, True])
def test_lists_of_mostly_single_rows_are_those_of_any_bitmaps(runs: bool) -> None:
    """Bitmaps of one row beside some of none, of several rows and of long runs, which make odd lengths."""
    ids = np.arange(150_000)
    ids[70_000:70_040] = 3
    ids[100:140_000:1_000] = 5
    if runs:
        ids[80_000:80_900] = 9
    counts, rows = np.bincount(ids, minlength=150_010), rows_by_id(ids, 150_010)
    data, lengths = roaring_bitmaps(counts, rows)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    wanted = value_list(binary_array(ends, data), False, False)
    found = bitmap_list(ids, 150_010)
    assert b"".join(bytes(p) for p in found) == b"".join(bytes(p) for p in wanted)


def test_time_behind_other_columns(tmp_path: Path) -> None:
    """forceSegmentSortByTime=false: rows go by the dimensions before `__time`, and the metadata says so."""
    schema = SegmentSchema.from_data_schema({
        "dimensionsSpec": {"dimensions": [{"type": "string", "name": "s"}, {"type": "long", "name": "__time"}, "t"],
                           "forceSegmentSortByTime": False},
    })  # fmt: skip
    rows = pa.table({"__time": pa.array([T + 2, T, T + 1], pa.int64()), "s": ["a", "b", "a"], "t": ["x", "y", "z"]})
    segment = written(rows, schema, tmp_path)
    assert segment.read(["s", "__time"]).to_pylist() == [
        {"s": "a", "__time": T + 1}, {"s": "a", "__time": T + 2}, {"s": "b", "__time": T},
    ]  # fmt: skip
    assert [o["columnName"] for o in segment.metadata["ordering"]] == ["s", "__time", "t"]
    assert segment.dimensions == ("s", "t")


def test_columns_made_side_by_side_give_the_same_bytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    texts = {f"s{i}": pa.array([f"{v}" for v in rng.integers(0, 5**i, 3_000)]) for i in range(6)}
    rows = pa.table({"__time": pa.array(rng.integers(T, T + 1000, 3_000)), **texts})
    schema = SegmentSchema(tuple(DimensionSchema.from_json(f"s{i}") for i in range(6)))
    for threads in (1, 3):
        write_segment(tmp_path / f"{threads}", rows, schema, DAY, threads=threads)
    for file in (tmp_path / "1").iterdir():
        assert file.read_bytes() == (tmp_path / "3" / file.name).read_bytes()


def test_a_column_that_fails_in_a_thread_is_named(tmp_path: Path) -> None:
    rows = pa.table({"__time": pa.array([T, T]), "a": ["x", "y"], "l": ["no", "numbers"]})
    schema = SegmentSchema((DimensionSchema.from_json("a"), DimensionSchema.from_json({"type": "long", "name": "l"})))
    for threads in (1, 2):
        with pytest.raises(ValueError, match=r"Column \[l\] cannot be stored as \[long\]"):
            write_segment(tmp_path / f"{threads}", rows, schema, DAY, threads=threads)


def test_segments_may_share_the_files_that_all_have(tmp_path: Path) -> None:
    rows, schema = pa.table({"__time": pa.array([T], pa.int64())}), SegmentSchema(())
    shared = constant_files(tmp_path / "constant")
    alone = write_segment(tmp_path / "alone", rows, schema, DAY)
    linked = write_segment(tmp_path / "linked", rows, schema, DAY, shared=shared)
    # a folder without them is no hindrance
    other = write_segment(tmp_path / "other", rows, schema, DAY, shared=tmp_path / "nowhere")
    assert alone.size == linked.size == other.size
    for file in (tmp_path / "alone").iterdir():
        assert (tmp_path / "linked" / file.name).read_bytes() == file.read_bytes()
        assert (tmp_path / "other" / file.name).read_bytes() == file.read_bytes()
    assert (shared / "version.bin").samefile(tmp_path / "linked" / "version.bin")
    assert open_segment(tmp_path / "linked").num_rows == 1
