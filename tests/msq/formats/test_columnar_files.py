"""Parquet, ORC and Avro files: types of theirs as declared types of ours."""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from msq.datatypes import STRING
from msq.faults import Fault
from msq.formats import parquet
from msq.formats.columnar import ArrowColumns

TABLE = pa.table(
    {
        "i": pa.array([1, None, 3], pa.int32()),
        "f": pa.array([1.5, None, 1e20], pa.float32()),
        "d": pa.array([2.9, float("inf"), -1e300]),
        "s": pa.array(["12", "x", None]),
        "b": pa.array([b"ab", None, b"\xff\x00"]),
        "bo": pa.array([True, False, None]),
        "da": pa.array([dt.date(2024, 5, 1), None, dt.date(1960, 1, 1)]),
        "ts": pa.array([1, None, -1], pa.timestamp("ms")),
        "l": pa.array([["a", "b"], [], None]),
        "n": pa.array([[1], [None], None]),
        "st": pa.array([{"a": 1, "b": {"c": "x"}}, None, {"a": None, "b": None}]),
        "m": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    }
)
NAMES = TABLE.schema.names

TEXTS = [
    ["1", "1.5", "2.9", "12", "YWI=", "true", "1714521600000", "1", ["a", "b"], "1", "{a=1, b={c=x}}", "{k=1}"],
    [None, None, "Infinity", "x", None, "false", None, None, None, None, None, None],
    ["3", "1.0E20", "-1.0E300", None, "/wA=", None, "-315619200000", "-1", None, None, "{a=null, b=null}", "{}"],
]
LONGS = [
    [1, 1, 2, 12, None, None, 1714521600000, 1, None, None, None, None],
    [None, None, 2**63 - 1, None, None, None, None, None, None, None, None, None],
    [3, 2**63 - 1, -(2**63), None, None, None, -315619200000, -1, None, None, None, None],
]
JSONS = [
    ["1", "1.5", "2.9", '"12"', '"YWI="', "1", "1714521600000", "1", '["a","b"]', "[1]", '{"a":1,"b":{"c":"x"}}',
     '{"k":1}'],
    [None, None, '"Infinity"', '"x"', None, "0", None, None, "[]", "[null]", None, None],
    ["3", "1.0E20", "-1.0E300", None, '"/wA="', None, "-315619200000", "-1", None, None, '{"a":null,"b":null}', "{}"],
]  # fmt: skip


def _parquet(table: Any, path: Path) -> dict[str, Any]:
    pq.write_table(table, path)
    return {"type": "parquet"}


def _orc(table: Any, path: Path) -> dict[str, Any]:
    orc.write_table(table, path)
    return {"type": "orc"}


@pytest.mark.parametrize("write", [_parquet, _orc])
@pytest.mark.parametrize(("declared", "rows"), [("STRING", TEXTS), ("LONG", LONGS), ("COMPLEX<json>", JSONS)])
def test_every_type(read: Any, tmp_path: Path, write: Callable[..., Any], declared: str, rows: list[list[Any]]) -> None:
    path = tmp_path / "x.file"
    input_format = write(TABLE, path)
    got = read(path, input_format, dict.fromkeys([*NAMES, "absent"], declared))
    assert got.rows == [[*row, None] for row in rows]
    assert (got.sink.counted_rows, got.sink.counted_bytes, got.sink.files) == (3, path.stat().st_size, 1)


@pytest.mark.parametrize(("declared", "rows"), [("STRING", TEXTS), ("LONG", LONGS), ("COMPLEX<json>", JSONS)])
def test_every_type_read_as_dictionaries(
    read: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: str, rows: list[list[Any]]
) -> None:
    monkeypatch.setattr(parquet, "_LARGE_GROUP", 1)
    input_format = _parquet(TABLE, tmp_path / "x.file")
    assert parquet.repeating_texts(pq.read_metadata(tmp_path / "x.file")) == ["s", "b"]
    assert read(tmp_path / "x.file", input_format, dict.fromkeys(NAMES, declared)).rows == rows


def test_texts_of_small_dictionaries_stay_dictionaries(read: Any, tmp_path: Path) -> None:
    path, rows = tmp_path / "x.parquet", 40_000
    few = [None if n % 7 == 0 else f"v{n % 5}" for n in range(rows)]
    table = pa.table({"few": few, "many": [f"{n} of many texts" for n in range(rows)]})
    pq.write_table(table, path, row_group_size=rows)
    assert parquet.repeating_texts(pq.read_metadata(path)) == ["few"]
    got = read(path, {"type": "parquet"}, dict.fromkeys(table.schema.names, "STRING"))
    assert pa.types.is_dictionary(got.batches[0].schema.field("few").type)
    assert [row[0] for row in got.rows] == few
    pq.write_table(table, path, row_group_size=rows // 2)
    assert parquet.repeating_texts(pq.read_metadata(path)) == []


@pytest.mark.parametrize(
    ("dictionary", "texts"),
    [
        (["a", "b"], ["b", None, "a"]),
        (["a", "a"], ["a", None, "a"]),
        (["a", None], [None, None, "a"]),
        ([b"\xfe", b"\xff"], ["\ufffd", None, "\ufffd"]),
        (["a", "b", "c", "d"], ["b", None, "a"]),
    ],
)
def test_only_dictionaries_of_different_valid_texts_stay(dictionary: list[Any], texts: list[str | None]) -> None:
    values = pa.array(dictionary, pa.binary()).view(pa.string())
    column = pa.DictionaryArray.from_arrays(pa.array([1, None, 0], pa.int8()), values)
    typed = ArrowColumns(False, True).typed(column, STRING)
    assert typed.to_pylist() == texts
    stays = dictionary == ["a", "b"]
    assert typed.type == (pa.dictionary(pa.int32(), pa.string()) if stays else pa.string())


@pytest.mark.parametrize("write", [_parquet, _orc])
def test_arrays_projections_and_no_columns(read: Any, tmp_path: Path, write: Callable[..., Any]) -> None:
    path = tmp_path / "x.file"
    input_format = write(TABLE, path)
    signature = {"l": "ARRAY<STRING>", "n": "ARRAY<LONG>", "i": "ARRAY<DOUBLE>", "s": "ARRAY<LONG>"}
    assert read(path, input_format, signature, columns=["n", "l", "i", "s"]).rows == [
        [[1], ["a", "b"], [1.0], [12]],
        [[None], [], None, [None]],
        [None, None, [3.0], None],
    ]
    assert [b.num_rows for b in read(path, input_format, signature, columns=[]).batches] == [3]


def test_parquet_times_decimals_and_paths(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table(
        {
            "us": pa.array([1999, None, -1], pa.timestamp("us", tz="UTC")),
            "ns": pa.array([5, None, -1], pa.timestamp("ns")),
            "de": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25")]),
            "u": pa.array([2**32 - 1, None, 0], pa.uint32()),
            "st": TABLE["st"],
            "m": TABLE["m"],
        }
    )
    spec = {
        "fields": [
            {"type": "path", "name": n, "expr": e} for n, e in [("c", "$.st.b.c"), ("k", "$.m.k"), ("no", "$.st.x")]
        ]
    }
    _parquet(table, path)
    got = read(
        path, {"type": "parquet", "flattenSpec": spec},
        {"us": "LONG", "ns": "LONG", "de": "DOUBLE", "u": "LONG", "c": "STRING", "k": "LONG", "no": "STRING"},
    )  # fmt: skip
    assert got.rows == [
        [1, 5, 1.5, 2**32 - 1, "x", 1, None],
        [None, None, None, None, None, None, None],
        [0, -1, -2.25, 0, None, None, None],
    ]
    assert [r[0] for r in read(path, {"type": "parquet"}, {"de": "STRING"}).rows] == ["1.50", None, "-2.25"]


def test_bytes_as_text_when_asked(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    _parquet(TABLE, path)
    got = read(path, {"type": "parquet", "binaryAsString": True}, {"b": "STRING"}, remove_null_bytes=True)
    assert got.rows == [["ab"], [None], ["�"]]


def test_many_row_groups_come_in_order(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"n": range(10_000)}), path, row_group_size=999)
    got = read(path, {"type": "parquet"}, {"n": "LONG"}, max_batch_rows=256)
    assert [r[0] for r in got.rows] == list(range(10_000))
    assert max(b.num_rows for b in got.batches) <= 256


AVRO = {
    "type": "record", "name": "r",
    "fields": [
        {"name": "a", "type": ["null", "long"]},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "b", "type": "bytes"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
        {"name": "l", "type": {"type": "array", "items": "string"}},
        {"name": "m", "type": {"type": "map", "values": "int"}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_avro(read: Any, tmp_path: Path, codec: str) -> None:
    path = tmp_path / "x.avro"
    records = [
        {"a": 1, "t": 5, "b": b"ab", "e": "X", "l": ["p", "q"], "m": {"k": 1}},
        {"a": None, "t": 6, "b": b"", "e": "Y", "l": [], "m": {}},
    ]
    with path.open("wb") as file:
        fastavro.writer(file, AVRO, records, codec=codec)
    spec = {"fields": [{"type": "path", "name": "k", "expr": "$.m.k"}]}
    signature = {
        "a": "LONG",
        "t": "LONG",
        "b": "STRING",
        "e": "STRING",
        "l": "STRING",
        "m": "COMPLEX<json>",
        "k": "LONG",
    }
    got = read(path, {"type": "avro_ocf", "flattenSpec": spec}, signature)
    assert got.rows == [[1, 5, "YWI=", "X", ["p", "q"], '{"k":1}', 1], [None, 6, "", "Y", None, "{}", None]]
    assert got.sink.counted_bytes == path.stat().st_size


@pytest.mark.parametrize("kind", ["parquet", "orc", "avro_ocf"])
def test_another_file_is_a_fault(fault: Callable[..., Fault], data: Path, kind: str) -> None:
    found = fault(data / "events.json", {"type": kind}, {"a": "STRING"})
    assert found.code == "UnknownError"
    assert "events.json" in (found.message or "")
