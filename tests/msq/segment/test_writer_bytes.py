"""Bytes of single parts, from the description of the format: primitives, codecs, encodings, bitmaps, auto columns."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from msq.intervals import Interval
from msq.segment.reader import open_segment
from msq.segment.reader.generic import bitmap_rows
from msq.segment.reader.smoosh import SmooshReader
from msq.segment.schema import DimensionSchema, IndexSpec, MetricSchema, SegmentSchema
from msq.segment.smile import encode_document
from msq.segment.writer import write_segment
from msq.segment.writer.generic import vbyte
from msq.segment.writer.index import index_file
from msq.segment.writer.roaring import roaring_bitmaps

T = 1_704_067_200_000
DAY = Interval.parse("2024-01-01/2024-01-02")


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def bodies(
    folder: Path, columns: dict[str, Any], dimensions: list[dict[str, Any]], spec: dict[str, Any] | None = None
) -> dict[str, bytes]:
    """The bodies (behind descriptors) of column files, and side files, of rows at T, T+1000, ..."""
    count = len(next(iter(columns.values())))
    rows = pa.table({"__time": pa.array([T + 1000 * i for i in range(count)], pa.int64()), **columns})
    made = tuple(DimensionSchema.from_json(d) for d in dimensions)
    write_segment(folder, rows, SegmentSchema(made, index_spec=IndexSpec.from_json(spec)), DAY, lz4_level=9)
    files = SmooshReader(folder)
    out = {n: bytes(files[n]) for n in files}
    for name in ("__time", *(d["name"] for d in dimensions)):
        out[name] = out[name][4 + int.from_bytes(out[name][:4], "big") :]
    return out


STRINGS = pa.array(["b", "a", None, "b", "é"])
LONGS = pa.array([1, 2, None, -4, 5], pa.int64())
DOUBLES = pa.array([0.5, 1.5, 2.5, None, 4.25])
DICTIONARY = (
    "01 01 00000028 00000004 00000004 00000009 0000000e 00000014 ffffffff 00000000 61 00000000 62 00000000 c3a9"
)
IDS = "02 01 00000005 00010000 01 01 00 00000012 00000001 0000000a 00000000 50 0201000203"
BITMAPS = (
    "01 00 0000006e 00000004 00000016 0000002c 00000044 0000005a"
    "00000000 3a300000 01000000 0000 0000 10000000 0200  00000000 3a300000 01000000 0000 0000 10000000 0100"
    "00000000 3a300000 01000000 0000 0100 10000000 0000 0300  00000000 3a300000 01000000 0000 0000 10000000 0400"
)
NULL_ROW_2 = "00000012 3a300000 01000000 0000 0000 10000000 0200"


def test_a_small_segment_byte_for_byte(tmp_path: Path) -> None:
    times = pa.array([T + 4000, T, T + 1000, T + 2000, T + 3000], pa.int64())
    rows = pa.table({
        "__time": times, "s": pa.array(["é", "b", "a", None, "b"]), "l": pa.array([5, 1, 2, None, -4], pa.int64()),
        "d": pa.array([4.25, 0.5, 1.5, 2.5, None]),
    })  # fmt: skip
    kinds = {"s": "string", "l": "long", "d": "double"}
    schema = SegmentSchema(tuple(DimensionSchema.from_json({"type": k, "name": n}) for n, k in kinds.items()))
    written = write_segment(tmp_path, rows, schema, DAY, lz4_level=9)
    assert (tmp_path / "version.bin").read_bytes() == unhex("00000009")
    assert (tmp_path / "factory.json").read_bytes() == b'{"type":"mMapSegmentFactory"}'
    assert (tmp_path / "meta.smoosh").read_text() == (
        "v1,2147483647,1\n__time,0,0,210\nd,0,794,1027\nindex.drd,0,1027,1207\nl,0,570,794\nmetadata.drd,0,1207,1538\n"
        "s,0,210,570\n"
    )
    assert hashlib.sha256((tmp_path / "00000.smoosh").read_bytes()).hexdigest() == (
        "5c419d18bd88ee9006b56cc8884972c104ff77e6a3178b6cdf47ff4c0587e388"
    )
    assert written.size == sum(f.stat().st_size for f in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spec", "index", "wanted"),
    [
        ({}, True, f"02 00000000 {DICTIONARY} {IDS} {BITMAPS}"),
        ({}, False, f"02 00000004 {DICTIONARY} {IDS}"),
        ({"dimensionCompression": "uncompressed"}, True, f"00 {DICTIONARY} 00 01 00000008 0201000203 000000 {BITMAPS}"),
        (
            {"stringDictionaryEncoding": {"type": "frontCoded", "bucketSize": 4, "formatVersion": 1}}, True,
            f"02 00000000 7f 01 01 04 01 83 89 8161 8081 62 8082 c3a9 {IDS} {BITMAPS}",
        ),
    ],
)  # fmt: skip
def test_string_column(tmp_path: Path, spec: dict[str, Any], index: bool, wanted: str) -> None:
    dimension = {"type": "string", "name": "s", "createBitmapIndex": index}
    assert bodies(tmp_path, {"s": STRINGS}, [dimension], spec)["s"] == unhex(wanted)
    assert open_segment(tmp_path).read(["s"]).column(0).to_pylist() == STRINGS.to_pylist()


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, "00000034 02 00000005 00002000 01 01 00 00000024 00000001 0000001c 00000000"
             "22010001002a0200010022fcff01008005 00000000000000"),
        ({"metricCompression": "none"}, "00000032 02 00000005 00000000 fe 0100000000000000 0200000000000000"
                                        "0000000000000000 fcffffffffffffff 0500000000000000"),
        ({"longEncoding": "auto"}, "00000052 02 00000005 00010000 83 01 01 00000005 0000000000000001 0000000000000002"
                                   "0000000000000000 fffffffffffffffc 0000000000000005"
                                   "01 00 00000014 00000001 0000000c 00000000 70 01234000000000"),
    ],
)  # fmt: skip
def test_long_column(tmp_path: Path, spec: dict[str, Any], wanted: str) -> None:
    made = bodies(tmp_path, {"l": LONGS}, [{"type": "long", "name": "l"}], spec)
    assert made["l"] == unhex(wanted + NULL_ROW_2)
    assert open_segment(tmp_path).read(["l"]).column(0).to_pylist() == LONGS.to_pylist()


def test_zstd_blocks_are_standard_frames(tmp_path: Path) -> None:
    made = bodies(tmp_path, {"l": LONGS}, [{"type": "long", "name": "l"}], {"metricCompression": "zstd"})
    assert made["l"][4:14] == unhex("02 00000005 00002000 02")
    assert unhex("28b52ffd") in made["l"]
    assert open_segment(tmp_path).read(["l"]).column(0).to_pylist() == LONGS.to_pylist()


def test_delta_encoding_of_a_sorted_column(tmp_path: Path) -> None:
    times = np.arange(400_000, dtype=np.int64) * 2 + T
    rows = pa.table({"__time": times})
    spec = IndexSpec.from_json({"longEncoding": "auto"})
    write_segment(tmp_path, rows, SegmentSchema((), index_spec=spec), DAY)
    body = bytes(SmooshReader(tmp_path)["__time"])
    assert unhex("02 00061a80 00004000 83 00 01 0000018cc251f400 00000014") in body
    segment = open_segment(tmp_path)
    assert segment.info("__time").encoding == "delta"
    assert np.array_equal(segment.read().column(0).to_numpy(), times)
    assert segment.read(["__time"], 16_380, 16_390).column(0).to_pylist() == times[16_380:16_390].tolist()


MULTI = pa.array([["x", "y"], ["x"], [], None, ["z", None, "x"], ["x"]])
MULTI_DICTIONARY = (
    "01 01 00000027 00000004 00000004 00000009 0000000e 00000013 ffffffff 00000000 78 00000000 79 00000000 7a"
)
MULTI_BITMAPS = (
    "01 00 00000076 00000004 0000001a 00000036 0000004c 00000062 00000000 3a300000 01000000 0000 0200 10000000"
    "0200 0300 0400 00000000 3a300000 01000000 0000 0300 10000000 0000 0100 0400 0500 00000000 3a300000 01000000"
    "0000 0000 10000000 0000 00000000 3a300000 01000000 0000 0000 10000000 0400"
)


def test_multi_value_column(tmp_path: Path) -> None:
    """An empty row is stored as one null, as Druid's own ingestion does."""
    made = bodies(tmp_path, {"mv": MULTI}, [{"type": "string", "name": "mv"}])["mv"]
    assert made.startswith(unhex(f"02 00000002 {MULTI_DICTIONARY} 03 02 00000007 00004000 01"))
    assert made.endswith(unhex(MULTI_BITMAPS))
    assert open_segment(tmp_path).read(["mv"]).column(0).to_pylist() == [
        ["x", "y"], ["x"], None, None, [None, "x", "z"], ["x"],
    ]  # fmt: skip


def test_multi_value_column_uncompressed(tmp_path: Path) -> None:
    spec = {"dimensionCompression": "uncompressed"}
    made = bodies(tmp_path, {"mv": MULTI}, [{"type": "string", "name": "mv"}], spec)["mv"]
    ids = "01 01 00000028 00000006 00000002 00000003 00000004 00000005 00000008 00000009 010201000000010301 000000"
    assert made == unhex(f"01 {MULTI_DICTIONARY} {ids} {MULTI_BITMAPS}")
    assert open_segment(tmp_path).read(["mv"]).column(0).to_pylist()[4] == [None, "x", "z"]


@pytest.mark.parametrize(
    ("handling", "wanted"),
    [("SORTED_ARRAY", ["a", "b", "b"]), ("SORTED_SET", ["a", "b"]), ("ARRAY", ["b", "a", "b"])],
)
def test_multi_value_handling(tmp_path: Path, handling: str, wanted: list[str]) -> None:
    dimension = {"type": "string", "name": "m", "multiValueHandling": handling}
    bodies(tmp_path, {"m": pa.array([["b", "a", "b"], ["c"]])}, [dimension])
    assert open_segment(tmp_path).read(["m"]).column(0).to_pylist() == [wanted, ["c"]]


def test_lists_of_at_most_one_value_are_stored_as_single_values(tmp_path: Path) -> None:
    bodies(tmp_path, {"m": pa.array([["b"], [], None, ["a"]])}, [{"type": "string", "name": "m"}])
    segment = open_segment(tmp_path)
    assert not segment.info("m").has_multiple_values
    assert segment.read(["m"]).column(0).to_pylist() == ["b", None, None, "a"]


def test_float_column(tmp_path: Path) -> None:
    floats = pa.array([1.0, None, 2.0, 3.0, 3.5, 3.5], pa.float32())
    assert bodies(tmp_path, {"f": floats}, [{"type": "float", "name": "f"}])["f"] == unhex(
        "00000032 02 00000006 00004000 01 01 00 00000022 00000001 0000001a 00000000"
        "520000803f000100d040000040400000604000006040 00000012 3a300000 01000000 0000 0000 10000000 0100"
    )


def test_dictionary_is_in_the_order_of_utf16(tmp_path: Path) -> None:
    values = ["\uff5e", "r", "\U0001f600", "q", "\ue000", "\ud7ff", ""]
    bodies(tmp_path, {"s": pa.array(values)}, [{"type": "string", "name": "s"}])
    dictionary = open_segment(tmp_path).column("s").values.to_pylist()  # type: ignore[attr-defined]
    assert dictionary == sorted(values, key=lambda v: v.encode("utf-16-be"))
    assert dictionary.index("\U0001f600") < dictionary.index("\uff5e")


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([0, 1, 2], "3a300000010000000000020010000000000001000200"),
        (range(5), "3b3000000100000400010000000400"),
        (
            [c * 65536 + i for c in range(4) for i in range(10)],
            "3b300300 0f 00000900 01000900 02000900 03000900 25000000 2b000000 31000000 37000000" + "010000000900" * 4,
        ),
        (
            [1, 3, 70000, 70001, 70002, 70003, 70004, 140000],
            "3b300200 02 00000100 01000400 02000000 01000300 01007011 0400 e022",
        ),
    ],
)
def test_roaring(rows: Any, wanted: str) -> None:
    made = np.asarray(rows, np.int64)
    data, lengths = roaring_bitmaps(np.asarray([len(made)]), made)
    assert data.tobytes() == unhex(wanted) and lengths.tolist() == [len(data)]
    assert bitmap_rows(memoryview(data.tobytes())).tolist() == list(rows)


def test_index_file_lists_null_only_columns_by_name() -> None:
    metrics, dimensions = ["cnt", "dsum", "fm", "hu", "ls"], ["mv", "nul", "f", "k"]
    made = index_file(metrics, dimensions, {"nul"}, DAY)
    assert made.endswith(unhex(
        "01 00 00000027 00000004 00000004 0000000b 0000000f 00000013 ffffffff 00000000 6e756c ffffffff ffffffff"
    ))  # fmt: skip
    assert unhex("0000018cc251f400 0000018cc7785000") in made


@pytest.mark.parametrize(("value", "wanted"), [(0, "80"), (3, "83"), (127, "ff"), (128, "0081"), (300, "2c82")])
def test_vbyte(value: int, wanted: str) -> None:
    assert vbyte(value) == unhex(wanted)


def test_null_only_string(tmp_path: Path) -> None:
    bodies(tmp_path, {"s": pa.nulls(3, pa.string()), "l": pa.nulls(3, pa.int64())},
           [{"type": "string", "name": "s"}, {"type": "long", "name": "l"}])  # fmt: skip
    raw = bytes(SmooshReader(tmp_path)["s"])
    assert raw[4:] == (
        b'{"valueType":"STRING","hasMultipleValues":false,"parts":[{"type":"null","numRows":3,'
        b'"bitmapSerdeFactory":{"type":"roaring"}}]}'
    )
    segment = open_segment(tmp_path)
    assert segment.dimensions == ("s", "l")
    assert segment.read(["s", "l"]).to_pylist() == [{"s": None, "l": None}] * 3


# -- auto and JSON ----------------------------------------------------------------------------------------------------


def test_auto_long(tmp_path: Path) -> None:
    made = bodies(
        tmp_path, {"al": pa.array([10, None, 8, 7, 6])}, [{"type": "auto", "name": "al", "castToType": "LONG"}]
    )
    assert made["al"] == unhex("0082616c")
    assert made["al.__longDictionary"] == unhex(
        "0003040000000600000000000000070000000000000008000000000000000a00000000000000"
    )
    assert made["al.__encodedColumn"] == unhex("0201000000050001000001010000000012000000010000000a00000000500400030201")
    assert made["al.__longColumn"] == unhex(
        "02000000050000200001010000000022000000010000001a000000002a0a0001001308080013070800800600000000000000"
    )
    assert open_segment(tmp_path).read(["al"]).column(0).to_pylist() == [10, None, 8, 7, 6]


def test_auto_double_and_string(tmp_path: Path) -> None:
    doubles, strings = pa.array([0, 1.25, 2.5, 3.75, 5]), pa.array(["v0", "v1", None, "v0", "v1"])
    made = bodies(tmp_path, {"ad": doubles, "as": strings}, [
        {"type": "auto", "name": "ad", "castToType": "DOUBLE"}, {"type": "auto", "name": "as", "castToType": "STRING"},
    ])  # fmt: skip
    assert made["ad.__doubleDictionary"][:6] == unhex("0003 05000000")
    assert made["ad.__valueIndexes"][:18] == unhex("01 00") + made["ad.__valueIndexes"][2:6] + unhex(
        "00000006 00000004 0000001a"
    )
    assert made["as.__stringDictionary"] == unhex(
        "01010000002000000003000000040000000a00000010ffffffff000000007630000000007631"
    )
    assert open_segment(tmp_path).read(["ad", "as"]).to_pydict() == {
        "ad": doubles.to_pylist(), "as": strings.to_pylist(),
    }  # fmt: skip


def test_auto_array_of_strings(tmp_path: Path) -> None:
    rows = [["p", "q0", None], ["p", "q1", None], ["p", "q0", None], None, ["p", "q0", None]]
    made = bodies(tmp_path, {"aas": pa.array(rows)}, [{"type": "auto", "name": "aas", "castToType": "ARRAY<STRING>"}])
    assert made["aas.__arrayDictionary"] == unhex(
        "000100829e 0d000000 83010000000200000000000000 83010000000300000000000000"
    )
    assert made["aas.__arrayElementDictionary"] == unhex("00020400000000000000010000000200000003000000")
    assert made["aas.__longDictionary"] == made["aas.__doubleDictionary"] == unhex("000200000000")
    segment = open_segment(tmp_path)
    assert segment.read(["aas"]).column(0).to_pylist() == rows
    column: Any = segment.column("aas")
    assert [column.rows_of(i).tolist() for i in range(6)] == [[3], [], [], [], [0, 2, 4], [1]]


def test_auto_variant(tmp_path: Path) -> None:
    texts = pa.array(['"m"', "1", '"m"', "3", '"m"'])
    made = bodies(tmp_path, {"mix": texts}, [{"type": "auto", "name": "mix"}])
    assert made["mix"] == unhex("00836d697805")
    assert made["mix.__arrayDictionary"] == unhex("0004008080")
    assert made["mix.__arrayElementIndexes"] == unhex("01000000000400000000")
    segment = open_segment(tmp_path)
    assert str(segment.signature.type_of("mix")) == "STRING"
    assert segment.read(["mix"]).column(0).to_pylist() == ["m", "1", "m", "3", "m"]


def test_json_column(tmp_path: Path) -> None:
    texts = [
        '{"a":0,"b":"x0","c":[1.5,0],"n":{"y":0}}', '{"a":1,"b":null,"c":[1.5,1],"n":{"y":"s"}}',
        '{"a":2,"b":"x2","c":[1.5,2],"n":{"y":2}}', '{"a":3,"b":null,"c":[1.5,3],"n":{"y":"s"}}', None,
    ]  # fmt: skip
    made = bodies(tmp_path, {"js": pa.array(texts)}, [{"type": "auto", "name": "js"}])
    assert made["js"] == unhex(
        "00826a73 01010000003200000004000000070000000e000000150000001e 00000000242e61 00000000242e62 00000000242e63"
        "00000000242e6e2e79 04014005"
    )
    assert made["js.__nullIndex"] == unhex("000000123a3000000100000000000000100000000400")
    assert made["js.__raw"] == unhex("0100000005")
    assert made["js.__field_3"].startswith(unhex(
        "02 00000000 0002040000000000000001000000 0400000006000000 00000000 00000000"
        "0201000000050001000001010000000012000000010000000a000000005002 01030100"
    ))  # fmt: skip
    segment = open_segment(tmp_path)
    assert segment.read(["js"]).column(0).to_pylist() == texts
    assert encode_document({"a": 0, "b": "x0", "c": [1.5, 0], "n": {"y": 0}}) == unhex(
        "3a290a00 fa 8061 c0 8062 417830 8063 f8 29 003f7c00000000000000 c0 f9 806e fa 8079 c0 fb fb"
    )


def test_paths_of_unusual_keys_and_of_arrays_of_objects(tmp_path: Path) -> None:
    texts = ['{"a.b":1,"":2,"c":[{"d":1},[2],3],"e":[],"f":{},"g":null}', '{"e":[null],"c":"x"}']
    bodies(tmp_path, {"js": pa.array(texts)}, [{"type": "auto", "name": "js"}])
    column: Any = open_segment(tmp_path).column("js")
    wanted = {"$['a.b']": 4, "$['']": 4, "$.c": 1, "$.c[0].d": 4, "$.c[1]": 32, "$.c[2]": 4, "$.e": 32}
    assert dict(zip(column.paths, column.path_types)) == wanted
    assert column.paths == sorted(wanted)


@pytest.mark.parametrize(
    ("texts", "kind", "values"),
    [
        (["1", None, "-5"], "LONG", [1, None, -5]),
        (["1.5", "2.0"], "DOUBLE", [1.5, 2.0]),
        (["true", "false"], "LONG", [1, 0]),
        (['"a"', None], "STRING", ["a", None]),
        ([None, None], "STRING", [None, None]),
        (["[1,2]", "[]", None], "ARRAY<LONG>", [[1, 2], [], None]),
        (["[]", "[null]"], "ARRAY<LONG>", [[], [None]]),
        (['[1,"a",2.5]'], "ARRAY<STRING>", [["1", "a", "2.5"]]),
        (["[1,2.5]", "[1]"], "ARRAY<DOUBLE>", [[1.0, 2.5], [1.0]]),
        (["1", "2.5"], "DOUBLE", [1.0, 2.5]),
        (["1", "[2,3]"], "ARRAY<LONG>", [[1], [2, 3]]),
        (['"a"', "[]"], "ARRAY<STRING>", [["a"], []]),
    ],
)
def test_json_without_objects_becomes_a_column_of_its_type(
    tmp_path: Path, texts: list[str | None], kind: str, values: list[Any]
) -> None:
    bodies(tmp_path, {"j": pa.array(texts, pa.string())}, [{"type": "auto", "name": "j"}])
    segment = open_segment(tmp_path)
    assert str(segment.signature.type_of("j")) == kind
    assert segment.read(["j"]).column(0).to_pylist() == values


@pytest.mark.parametrize(
    "texts",
    [
        ["1", None, "-5"], ["1.5", "1.0E20"], ['"a\\"b"', None], ["[1,null]", "[]", None], ['["é",null]', '["b"]'],
        ['{"a":1}', "7", None], [None, None],
    ],
)  # fmt: skip
def test_a_json_column_reads_as_json_whatever_it_is_stored_as(tmp_path: Path, texts: list[str | None]) -> None:
    bodies(tmp_path, {"j": pa.array(texts, pa.string())}, [{"type": "auto", "name": "j"}])
    (batch,) = open_segment(tmp_path).batches(["j"], as_json=["j"])
    assert batch.column(0).to_pylist() == texts


def test_text_that_is_no_json_names_the_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Column \[j\] holds a text that is no JSON: \[\{oops\]"):
        bodies(tmp_path, {"j": pa.array(["{oops"])}, [{"type": "auto", "name": "j"}])


# -- what is refused --------------------------------------------------------------------------------------------------


def test_rows_outside_of_the_interval_are_refused(tmp_path: Path) -> None:
    rows = pa.table({"__time": pa.array([T + 86_400_000], pa.int64())})
    with pytest.raises(ValueError, match="do not fit the segment's interval"):
        write_segment(tmp_path, rows, SegmentSchema(()), DAY)


def test_no_rows_and_missing_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be empty"):
        write_segment(tmp_path, pa.table({"__time": pa.array([], pa.int64())}), SegmentSchema(()), DAY)
    schema = SegmentSchema((DimensionSchema.from_json("gone"),))
    with pytest.raises(ValueError, match=r"Columns \[gone\]"):
        write_segment(tmp_path, pa.table({"__time": [T]}), schema, DAY)


@pytest.mark.parametrize(
    ("data_schema", "message"),
    [
        ({"dimensionsSpec": {"dimensions": [{"type": "geo", "name": "g"}]}}, r"\[g\] of type \[geo\]"),
        ({"dimensionsSpec": {"dimensions": ["a,b"]}}, "comma"),
        ({"dimensionsSpec": {"dimensions": ["a", "a"]}}, "twice"),
        (
            {"dimensionsSpec": {"dimensions": []}, "metricsSpec": [{"type": "histogram", "name": "m"}]},
            r"aggregator type \[histogram\]",
        ),
    ],
)
def test_schema_refusals(data_schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SegmentSchema.from_data_schema(data_schema)


def test_metric_types() -> None:
    found = [
        MetricSchema.from_json({"type": t, "name": "m"}).type for t in ("count", "doubleSum", "longLast", "hyperUnique")
    ]
    assert [str(t) for t in found] == [
        "LONG", "DOUBLE", "COMPLEX<serializablePairLongLong>", "COMPLEX<hyperUnique>",
    ]  # fmt: skip
    passed = MetricSchema.from_json({"type": "passthrough", "columnName": "c", "complexTypeName": "HLLSketchMerge"})
    assert (passed.name, str(passed.type)) == ("c", "COMPLEX<HLLSketch>")


def test_an_aggregate_of_text_is_stored_as_a_dimension() -> None:
    schema = SegmentSchema.from_data_schema({
        "dimensionsSpec": {"dimensions": ["k"]},
        "metricsSpec": [{"type": "stringAny", "name": "a"}, {"type": "longAny", "name": "b"}],
    })  # fmt: skip
    assert schema.sort_names == ("__time", "k", "a")
    assert [m.name for m in schema.metrics] == ["b"]


@pytest.mark.parametrize("counts", [[3, 0, 2], [1, 1, 1, 4], [70, 0, 0, 5], [5000, 4], [2]])
@pytest.mark.parametrize("step", [1, 3, 20_000])
def test_bitmaps_are_the_same_with_and_without_room_before_each(counts: list[int], step: int) -> None:
    rows = np.concatenate([np.arange(n, dtype=np.int64) * step + i for i, n in enumerate(counts)])
    plain, lengths = roaring_bitmaps(np.asarray(counts), rows)
    spaced, same = roaring_bitmaps(np.asarray(counts), rows, 4)
    assert lengths.tolist() == same.tolist()
    at, wanted = 0, b""
    for length in lengths.tolist():
        wanted += bytes(4) + plain[at : at + length].tobytes()
        at += length
    assert spaced.tobytes() == wanted
    # each bitmap alone is what it is among others
    ends = np.cumsum(counts)
    alone = [roaring_bitmaps(np.asarray([n]), rows[e - n : e])[0].tobytes() for n, e in zip(counts, ends)]
    assert plain.tobytes() == b"".join(alone)
