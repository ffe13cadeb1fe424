"""Every kind of column that we write, read by Druid's own code: rows, filters through the indexes, metadata, fields."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasketches as ds
import numpy as np
import pyarrow as pa
import pytest

from msq.intervals import Interval
from msq.segment.reader import open_segment
from msq.segment.reader.smoosh import SmooshReader
from msq.segment.schema import DimensionSchema, IndexSpec, MetricSchema, SegmentSchema
from msq.segment.writer import sort_rows, write_segment
from msq.sketches import hll, kll, quantiles, theta, tuples

pytestmark = pytest.mark.interop

T = 1_704_067_200_000
DAY = Interval.parse("2024-01-01/2024-01-02")
MergeAll = Callable[[bool, Path, Sequence[Path]], None]
DumpAll = Callable[[Sequence[tuple[Any, ...]]], list[list[dict[str, Any]]]]
N = 300


def cycle(values: list[Any], kind: Any) -> Any:
    return pa.array([values[i % len(values)] for i in range(N)], kind)


TEXTS = ["b", None, "", "é", "\uff5e", "\U0001f600", 'a b,c"d', "\ue000"]
DOCUMENTS = [
    '{"a":1,"b":"x","c":[1.5,2],"n":{"y":1}}', None,
    '{"a":-70000,"n":{"y":"s"},"list":[{"k":"v"},{"k":null,"z":[true]}]}',
    '{"long text":"' + "é" * 70 + '","big":5000000000,"e.f":1e300,"":"empty"}', "{}", '{"a":0.1}', '"root"', "[1,[2]]",
]  # fmt: skip


def dimensions() -> dict[str, tuple[dict[str, Any], Any]]:
    """name -> (dimension spec, data)."""
    double = [0.5, -0.0, None, math.nan, math.inf, -1e300, 0.0]
    return {
        "s": ({"type": "string"}, cycle(TEXTS, pa.string())),
        "wide": ({"type": "string"}, pa.array([f"value {i * 7919 % N}" for i in range(N)])),
        "no_index": ({"type": "string", "createBitmapIndex": False}, cycle(["x", "y", None], pa.string())),
        "nothing": ({"type": "string"}, pa.nulls(N, pa.string())),
        "mv": (
            {"type": "string"}, cycle([["b", "a", "b"], ["a"], None, [], [None, "c"], ["é"]], pa.list_(pa.string())),
        ),
        "kept": ({"type": "string", "multiValueHandling": "ARRAY"}, cycle([["b", "a"], ["c"]], pa.list_(pa.string()))),
        "l": ({"type": "long"}, cycle([1, None, -(2**63), 2**63 - 1, 0], pa.int64())),
        "d": ({"type": "double"}, cycle(double, pa.float64())),
        "f": ({"type": "float"}, cycle([1.5, None, -2.25], pa.float32())),
        "all_null": ({"type": "long"}, pa.nulls(N, pa.int64())),
        "auto_s": ({"type": "auto", "castToType": "STRING"}, cycle(TEXTS, pa.string())),
        "auto_l": ({"type": "auto", "castToType": "LONG"}, cycle([5, None, -3], pa.int64())),
        "auto_d": ({"type": "auto", "castToType": "DOUBLE"}, cycle([5.5, None, -0.0, 0.0], pa.float64())),
        "auto_none": ({"type": "auto", "castToType": "LONG"}, pa.nulls(N, pa.int64())),
        "strings": (
            {"type": "auto", "castToType": "ARRAY<STRING>"},
            cycle([["b", "a"], [], None, [None], ["b", None, "é"], ["b"]], pa.list_(pa.string())),
        ),
        "longs": (
            {"type": "auto", "castToType": "ARRAY<LONG>"},
            cycle([[3, 1, 3], None, [], [None, 9]], pa.list_(pa.int64())),
        ),
        "doubles": (
            {"type": "auto", "castToType": "ARRAY<DOUBLE>"}, cycle([[0.5, -1.0], [None], None], pa.list_(pa.float64())),
        ),
        "variant": ({"type": "auto"}, cycle(['"m"', "1", None, "2.5", '["x",null]', "[7]"], pa.string())),
        "json": ({"type": "auto"}, cycle(DOCUMENTS, pa.string())),
    }  # fmt: skip


LARGE_KLL = kll.DOUBLES.build(pa.array(range(40)), np.array([0, 40]), 8)[0].as_py()
"""Made once, as what a sketch drops is drawn by lot."""


def sketches() -> dict[str, tuple[dict[str, Any], list[bytes | None]]]:
    """name -> (aggregator, a few serialised values)."""
    numbers, one = pa.array(range(40)), np.array([0, 40])
    sums = [pa.array([float(i) for i in range(40)])]
    first = [struct.pack("<qbq", T + i, 0, i * 3) for i in range(3)] + [struct.pack("<qb", T, 1), None]
    doubles = [struct.pack("<qbd", T + i * 2**33, 0, i / 4) for i in range(3)]
    floats = [struct.pack("<qbf", T + i, 0, i / 4) for i in range(3)]
    texts = [struct.pack(">qi", T + i, len(t)) + t for i, t in enumerate([b"abc", "é".encode(), b""])]
    return {
        "cnt": ({"type": "longSum"}, []),
        "hll": (
            {"type": "HLLSketchMerge", "lgK": 12, "tgtHllType": "HLL_4"},
            [hll.build(numbers, one, 12)[0].as_py(), None],
        ),
        "theta": ({"type": "thetaSketch", "size": 4096}, [theta.build(numbers, one, 4096)[0].as_py(), None]),
        "q": ({"type": "quantilesDoublesSketchMerge", "k": 128}, [quantiles.build(numbers, one, 128)[0].as_py(), None]),
        "kll": (
            {"type": "KllDoublesSketchMerge", "k": 200},
            [kll.DOUBLES.build(numbers, one, 200)[0].as_py(), LARGE_KLL, None],
        ),
        "kll_f": ({"type": "KllFloatsSketchMerge", "k": 200}, [kll.FLOATS.build(numbers, one, 200)[0].as_py(), None]),
        "tuple": (
            {"type": "arrayOfDoublesSketch", "nominalEntries": 4096, "numberOfValues": 1},
            [tuples.build(numbers, sums, one, 4096)[0].as_py(), None],
        ),
        "hu": ({"type": "hyperUnique"}, [bytes.fromhex("0100000100000000c510"), bytes.fromhex("01000001000000033010")]),
        "pair_l": ({"type": "longLast", "timeColumn": "__time"}, first),
        "pair_d": ({"type": "doubleLast", "timeColumn": "__time"}, doubles),
        "pair_f": ({"type": "floatFirst", "timeColumn": "__time"}, floats),
        "pair_s": ({"type": "stringFirst", "timeColumn": "__time", "maxStringBytes": 1024}, texts),
    }  # fmt: skip


def table_and_schema(spec: dict[str, Any] | None = None) -> tuple[Any, SegmentSchema]:
    made = dimensions()
    metrics = sketches()
    columns: dict[str, Any] = {"__time": pa.array([T + i * 250 for i in range(N)], pa.int64())}
    columns |= {n: data for n, (_, data) in made.items()}
    columns |= {n: cycle(values, pa.binary()) for n, (_, values) in metrics.items() if values}
    columns["cnt"] = pa.array(range(N), pa.int64())
    schema = SegmentSchema(
        tuple(DimensionSchema.from_json({"name": n, **d}) for n, (d, _) in made.items()),
        tuple(MetricSchema.from_json({"name": n, "fieldName": n, **a}) for n, (a, _) in metrics.items()),
        index_spec=IndexSpec.from_json(spec),
    )
    return pa.table(columns), schema


def printed(name: str, value: Any) -> Any:
    """A value of our table as `dump-segment` prints it."""
    if value is None:
        return None
    if name in ("json", "variant"):
        return json.loads(value)
    if name == "pair_s":
        return {"lhs": struct.unpack(">q", value[:8])[0], "rhs": value[12:].decode() or None}
    if name.startswith("pair_"):
        form = {"pair_l": "q", "pair_d": "d", "pair_f": "f"}[name]
        time = struct.unpack("<q", value[:8])[0]
        return {"lhs": time, "rhs": None if value[8] else struct.unpack(f"<{form}", value[9:])[0]}
    if name == "mv":
        value = sorted(value, key=lambda v: "" if v is None else v)
    if name in ("mv", "kept"):
        return None if not value else value[0] if len(value) == 1 else value
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value


SPECS: dict[str, dict[str, Any]] = {
    "default": {},
    "uncompressed": {"dimensionCompression": "uncompressed", "metricCompression": "none"},
    "front coded and auto longs": {
        "stringDictionaryEncoding": {"type": "frontCoded", "bucketSize": 4, "formatVersion": 1},
        "longEncoding": "auto",
    },
    "front coded the old way": {
        "stringDictionaryEncoding": {"type": "frontCoded", "bucketSize": 16, "formatVersion": 0},
    },
    "zstd": {"dimensionCompression": "zstd", "metricCompression": "zstd", "jsonCompression": "zstd"},
}


@pytest.fixture(scope="module")
def dumped(tmp_path_factory: pytest.TempPathFactory, dump_segments: DumpAll) -> dict[str, list[dict[str, Any]]]:
    """Rows of our segments, as Druid reads them, by index spec."""
    requests = []
    for spec in SPECS.values():
        folder: Path = tmp_path_factory.mktemp("segment")
        table, schema = table_and_schema(spec)
        write_segment(folder, table.take(pa.array(np.random.default_rng(1).permutation(N))), schema, DAY)
        requests.append((folder,))
    return dict(zip(SPECS, dump_segments(requests)))


@pytest.mark.parametrize("spec", list(SPECS))
def test_druid_reads_the_rows_that_we_wrote(spec: str, dumped: dict[str, list[dict[str, Any]]]) -> None:
    rows = dumped[spec]
    table, _ = table_and_schema()
    assert len(rows) == N
    for name in table.column_names:
        wanted = [printed(name, v) for v in table.column(name).to_pylist()]
        found = [row[name] for row in rows]
        if name == "hu":  # printed as an estimate
            assert all(isinstance(v, str) and v for v in found)
        elif name == "q":  # Druid prints it after its own serialisation, which flags more
            held = [ds.quantiles_doubles_sketch.deserialize(base64.b64decode(v)) for v in found[::2]]
            assert {(q.n, q.get_quantile(0.5)) for q in held} == {(40, 20.0)}
        elif name in ("hll", "theta", "tuple"):  # a null is printed as an empty sketch
            assert found[::2] == wanted[::2]
        else:
            assert found == wanted, name


def text_equals(column: str, value: str) -> dict[str, Any]:
    return {"type": "equals", "column": column, "matchValueType": "STRING", "matchValue": value}


FILTERS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    (text_equals("s", "\uff5e"), lambda r: r["s"] == "\uff5e"),
    (
        {"type": "range", "column": "s", "matchValueType": "STRING", "lower": "é", "upper": "\ue000"},
        lambda r: r["s"] is not None and "é".encode("utf-16-be") <= r["s"].encode("utf-16-be") <= b"\xe0\x00",
    ),
    ({"type": "null", "column": "s"}, lambda r: r["s"] is None),
    ({"type": "in", "dimension": "s", "values": ["", "\U0001f600", "zz"]}, lambda r: r["s"] in ("", "\U0001f600")),
    (text_equals("mv", "b"), lambda r: "b" in (r["mv"] or [])),
    (text_equals("no_index", "y"), lambda r: r["no_index"] == "y"),
    ({"type": "null", "column": "nothing"}, lambda r: True),
    ({"type": "equals", "column": "l", "matchValueType": "LONG", "matchValue": 1}, lambda r: r["l"] == 1),
    ({"type": "null", "column": "l"}, lambda r: r["l"] is None),
    ({"type": "equals", "column": "auto_l", "matchValueType": "LONG", "matchValue": -3}, lambda r: r["auto_l"] == -3),
    ({"type": "null", "column": "auto_d"}, lambda r: r["auto_d"] is None),
    (
        {"type": "range", "column": "auto_d", "matchValueType": "DOUBLE", "lower": 0.0},
        # by total order -0.0 is below 0.0
        lambda r: r["auto_d"] is not None and math.copysign(1, r["auto_d"]) > 0,
    ),
    (text_equals("auto_s", "é"), lambda r: r["auto_s"] == "é"),
    (
        {
            "type": "arrayContainsElement", "column": "strings", "elementMatchValueType": "STRING",
            "elementMatchValue": "b",
        },
        lambda r: "b" in (r["strings"] or []),
    ),
    (
        {"type": "arrayContainsElement", "column": "longs", "elementMatchValueType": "LONG", "elementMatchValue": 9},
        lambda r: 9 in (r["longs"] or []),
    ),
    (
        {"type": "equals", "column": "longs", "matchValueType": "ARRAY<LONG>", "matchValue": [3, 1, 3]},
        lambda r: r["longs"] == [3, 1, 3],
    ),
    ({"type": "null", "column": "strings"}, lambda r: r["strings"] is None),
]  # fmt: skip


def test_filters_through_our_indexes_find_their_rows(filtered_segment: Path, dump_segments: DumpAll) -> None:
    rows = table_and_schema()[0].to_pylist()
    answers = dump_segments([(filtered_segment, "--filter", json.dumps(f), "--column", "cnt") for f, _ in FILTERS])
    for (query_filter, rule), found in zip(FILTERS, answers, strict=True):
        assert [row["cnt"] for row in found] == [i for i, row in enumerate(rows) if rule(row)], query_filter


@pytest.fixture(scope="module")
def filtered_segment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("filtered")
    table, schema = table_and_schema()
    write_segment(folder, table, schema, DAY)
    return folder


def test_druid_finds_our_metadata_and_fields(filtered_segment: Path, dump_segments: DumpAll) -> None:
    field = ("--dump", "nested", "--column", "json", "--nested-path", "$.n.y")
    (found,), fields = dump_segments([(filtered_segment, "--dump", "metadata"), (filtered_segment, *field)])
    assert '"s"' in json.dumps(fields)
    assert found["numRows"] == N
    assert found["rollup"] is False
    columns = found["columns"]
    table, _ = table_and_schema()
    assert set(columns) == set(table.column_names)
    assert {n: c["typeSignature"] for n, c in columns.items()} | {"__time": "LONG"} == {
        "__time": "LONG", "s": "STRING", "wide": "STRING", "no_index": "STRING", "nothing": "STRING", "mv": "STRING",
        "kept": "STRING", "l": "LONG", "d": "DOUBLE", "f": "FLOAT", "all_null": "LONG", "auto_s": "STRING",
        "auto_l": "LONG", "auto_d": "DOUBLE", "auto_none": "LONG", "strings": "ARRAY<STRING>", "longs": "ARRAY<LONG>",
        "doubles": "ARRAY<DOUBLE>", "variant": "ARRAY<STRING>", "json": "COMPLEX<json>", "cnt": "LONG",
        "hll": "COMPLEX<HLLSketch>", "theta": "COMPLEX<thetaSketch>", "q": "COMPLEX<quantilesDoublesSketch>",
        "hu": "COMPLEX<hyperUnique>", "pair_l": "COMPLEX<serializablePairLongLong>",
        "pair_d": "COMPLEX<serializablePairLongDouble>", "pair_f": "COMPLEX<serializablePairLongFloat>",
        "pair_s": "COMPLEX<serializablePairLongString>", "tuple": "COMPLEX<arrayOfDoublesSketch>",
        "kll": "COMPLEX<KllDoublesSketch>", "kll_f": "COMPLEX<KllFloatsSketch>",
    }  # fmt: skip
    assert columns["s"]["cardinality"] == len(TEXTS)
    assert columns["s"]["hasNulls"] is True and columns["wide"]["hasNulls"] is False
    assert columns["mv"]["hasMultipleValues"] is True


def test_many_rows_in_many_blocks(tmp_path: Path, dump_segments: DumpAll) -> None:
    """70,000 rows: several blocks of every width of ids, bitmaps of all three container kinds."""
    count = 70_000
    rng = np.random.default_rng(2)
    order = rng.permutation(count)
    table = pa.table({
        "__time": pa.array(T + np.sort(rng.integers(0, 86_400_000, count))),
        "two": pa.array([f"{v}" for v in rng.integers(0, 2, count)]),
        "many": pa.array([f"v{v}" for v in rng.integers(0, 300, count)]),
        "unique": pa.array([f"{v:x}" for v in order]),
        "runs": pa.array([f"run {i // 10_000}" for i in range(count)]),
        "mv": pa.array([[f"{v % 7}", f"{v % 11}"] if v % 3 else None for v in order.tolist()], pa.list_(pa.string())),
        "l": pa.array([int(v) if v % 5 else None for v in order], pa.int64()),
        "arr": pa.array([[int(v % 100), None] if v % 4 else [] for v in order], pa.list_(pa.int64())),
    })  # fmt: skip
    kinds = {"l": {"type": "long"}, "arr": {"type": "auto", "castToType": "ARRAY<LONG>"}}
    schema = SegmentSchema(tuple(
        DimensionSchema.from_json({"name": n, **kinds.get(n, {"type": "string"})}) for n in table.column_names[1:]
    ))  # fmt: skip
    write_segment(tmp_path, table, schema, DAY)
    wanted = sort_rows(table, schema)
    filters = [
        text_equals("many", "v7"),
        text_equals("runs", "run 3"),
    ]
    rows, many, runs = dump_segments(
        [(tmp_path,), *((tmp_path, "--filter", json.dumps(f), "--column", "unique") for f in filters)]
    )
    assert len(rows) == count
    for name in table.column_names:
        mine = wanted.column(name).to_pylist()
        assert [r[name] for r in rows] == mine, name
    assert [r["unique"] for r in many] == [r["unique"] for r in rows if r["many"] == "v7"]
    assert [r["unique"] for r in runs] == [r["unique"] for r in rows if r["runs"] == "run 3"]


def test_druid_merges_our_segments_to_the_bytes_that_we_write(tmp_path: Path, merge_segments: MergeAll) -> None:
    """Compaction reads every dictionary, index and the order of two of our segments, and writes one."""
    table, schema = table_and_schema()
    for name, part in (("a", table.slice(0, 150)), ("b", table.slice(150)), ("whole", table)):
        write_segment(tmp_path / name, part, schema, DAY, lz4_level=9)
    merge_segments(False, tmp_path / "merged", [tmp_path / "a", tmp_path / "b"])
    ours, theirs = SmooshReader(tmp_path / "whole"), SmooshReader(tmp_path / "merged")
    # a column of nulls alone is left out where no dimensions are asked for by name
    assert set(ours) - set(theirs) == {"nothing"} and set(theirs) <= set(ours)
    different = {name for name in theirs if bytes(ours[name]) != bytes(theirs[name])}
    # arrays in buckets of four; shared names in documents, and a path of no name that Druid 33 loses; the sketch of
    # quantiles is written in its own form
    assert different <= {
        "index.drd", "metadata.drd", "q", "json", "json.__raw_compressed", "json.__raw_offsets", "json.__field_9",
        *(f"{n}.__arrayDictionary" for n in ("strings", "longs", "doubles", "variant", "json")),
    }  # fmt: skip
    names = [n for n in table.column_names if n not in ("nothing", "q")]
    mine, merged = (open_segment(tmp_path / f).read(names) for f in ("whole", "merged"))
    assert repr(merged.to_pylist()) == repr(mine.to_pylist())


def test_druid_rolls_our_segments_up(tmp_path: Path, merge_segments: MergeAll) -> None:
    hll = ds.hll_sketch(12)
    hll.update(7)
    rows = pa.table({
        "__time": pa.array([T, T, T + 1], pa.int64()), "s": ["a", "b", "a"], "n": pa.array([1, 2, None], pa.int64()),
        "h": pa.array([hll.serialize_compact()] * 3, pa.binary()),
        "k": kll.FLOATS.build(pa.array([1.0, 2.0, 3.0]), np.array([0, 2, 3, 3]), 200),
    })  # fmt: skip
    metrics = (
        MetricSchema.from_json({"type": "longSum", "name": "n", "fieldName": "n"}),
        MetricSchema.from_json(
            {"type": "HLLSketchMerge", "name": "h", "fieldName": "h", "lgK": 12, "tgtHllType": "HLL_4"}
        ),
        MetricSchema.from_json({"type": "KllFloatsSketchMerge", "name": "k", "fieldName": "k", "k": 200}),
    )
    schema = SegmentSchema((DimensionSchema.from_json("s"),), metrics, rollup=True)
    for name in ("a", "b"):
        write_segment(tmp_path / name, rows, schema, DAY)
    merge_segments(True, tmp_path / "merged", [tmp_path / "a", tmp_path / "b"])
    merged = open_segment(tmp_path / "merged")
    assert merged.metadata["rollup"] is True
    found = merged.read().to_pylist()
    assert [(r["__time"], r["s"], r["n"]) for r in found] == [(T, "a", 2), (T, "b", 4), (T + 1, "a", None)]
    assert {ds.hll_sketch.deserialize(r["h"]).get_estimate() for r in found} == {hll.get_estimate()}
    sketches = pa.array([r["k"] for r in found], pa.binary())
    assert kll.FLOATS.counts(sketches).tolist() == [4, 2, 0]
    assert kll.FLOATS.quantiles(sketches, [0.5])[:2, 0].tolist() == [1.0, 3.0]
