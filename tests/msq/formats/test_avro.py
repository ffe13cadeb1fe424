"""Avro files: schemas that differ, unions, named types, codecs, and what Druid makes of each value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fastavro
import pytest

from tests.harness.reading import read_rows

INNER = {"type": "record", "name": "Inner", "namespace": "acme", "fields": [{"name": "x", "type": "int"}]}
SCHEMA = {
    "type": "record", "name": "Row",
    "fields": [
        {"name": "id", "type": "long"},
        {"name": "u", "type": ["null", "int", "string", "boolean", INNER, {"type": "array", "items": "string"}]},
        {"name": "maybe", "type": ["null", "double"], "default": None},
        {"name": "ts", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "de", "type": {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}},
        {"name": "id16", "type": {"type": "fixed", "name": "F", "size": 2}},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
        {"name": "holes", "type": {"type": "array", "items": ["null", "string"]}},
        {"name": "deep", "type": {"type": "map", "values": {"type": "array", "items": "acme.Inner"}}},
    ],
}  # fmt: skip
BASE = {
    "maybe": None, "ts": 1_500, "day": 3, "de": b"\x04\xd2", "id16": b"ab", "e": "Y", "holes": ["a", None, "b"],
    "deep": {"k": [{"x": 1}, {"x": 2}]},
}  # fmt: skip


def write(path: Path, records: list[dict[str, Any]], schema: Any = SCHEMA, codec: str = "null") -> Path:
    # values of logical types are written as they are stored
    from msq.formats.avro_values import without_logical_types

    with path.open("wb") as file:
        fastavro.writer(file, without_logical_types(schema), records, codec=codec, sync_interval=64)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    values: list[Any] = [1, "t", True, ("acme.Inner", {"x": 5}), ["p", "q"], None]
    return write(tmp_path / "x.avro", [{"id": n, "u": v, **BASE} for n, v in enumerate(values)])


def test_values(file: Path) -> None:
    names = ["ts", "day", "de", "id16", "e", "holes", "deep", "maybe", "u"]
    rows = read_rows(file, {"type": "avro_ocf"}, dict.fromkeys(names, "STRING")).rows
    assert rows[0] == ["1500", "3", "BNI=", "YWI=", "Y", ["a", "b"], "{k=[{x=1}, {x=2}]}", None, ["1"]]
    assert [row[8] for row in rows] == [["1"], ["t"], ["true"], ["{x=5}"], ["p", "q"], None]
    text = read_rows(file, {"type": "avro_ocf", "binaryAsString": True}, {"id16": "STRING", "ts": "LONG"}).rows
    assert text[0] == ["ab", 1500]


def test_paths(file: Path) -> None:
    paths = {"xs": "$.deep.k[*].x", "first": "$.deep.k[0].x", "ux": "$.u.x", "last": "$.holes[-1]"}
    spec = {"fields": [{"type": "path", "name": n, "expr": e} for n, e in paths.items()] + ["id"]}
    form = {"type": "avro_ocf", "flattenSpec": spec}
    rows = read_rows(file, form, {"xs": "ARRAY<LONG>", "first": "LONG", "ux": "LONG", "last": "STRING", "id": "LONG"})
    assert rows.rows[3] == [[1, 2], 1, 5, "b", 3] and rows.rows[1][2] is None


def test_unions_by_type(file: Path) -> None:
    paths = {
        "n": "$.u.int",
        "s": "$.u.string",
        "b": "$.u.boolean",
        "x": "$.u.Inner.x",
        "l": "$.u.array[1]",
        "m": "$.maybe",
    }
    spec = {"fields": [{"type": "path", "name": n, "expr": e} for n, e in paths.items()]}
    form = {"type": "avro_ocf", "flattenSpec": spec, "extractUnionsByType": True}
    signature = {**dict.fromkeys(paths, "STRING"), "u": "STRING", "id": "LONG"}
    rows = read_rows(file, form, signature).rows
    assert [row[:6] for row in rows] == [
        ["1", None, None, None, None, None], [None, "t", None, None, None, None],
        [None, None, "true", None, None, None], [None, None, None, "5", None, None],
        [None, None, None, None, "q", None], [None] * 6,
    ]  # fmt: skip
    # a field by its own name is its value
    assert [row[6] for row in rows] == [["1"], ["t"], ["true"], ["{x=5}"], ["p", "q"], None]


def test_a_reader_s_schema(file: Path, tmp_path: Path) -> None:
    asked = {
        "type": "record", "name": "Row", "fields": [
            {"name": "number", "aliases": ["id"], "type": "double"},
            {"name": "added", "type": "string", "default": "d"},
            {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["X", "Y"]}},
        ],
    }  # fmt: skip
    form = {"type": "avro_ocf", "schema": asked}
    rows = read_rows(file, form, {"number": "STRING", "added": "STRING", "e": "STRING", "ts": "LONG"}).rows
    assert rows[1] == ["1.0", "d", "Y", None]
    impossible = {"type": "record", "name": "Row", "fields": [{"name": "new", "type": "int"}]}
    from msq.faults import MSQError

    with pytest.raises(MSQError, match="Error occurred while trying to read uri"):
        read_rows(file, {"type": "avro_ocf", "schema": impossible}, {"new": "LONG"})


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "snappy", "zstandard", "xz"])
def test_codecs_and_blocks(tmp_path: Path, codec: str) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}
    path = write(tmp_path / "x.avro", [{"n": n} for n in range(500)], schema, codec)
    done = read_rows(path, {"type": "avro_ocf"}, {"n": "LONG"}, max_batch_rows=64)
    assert [row[0] for row in done.rows] == list(range(500)) and done.batches[0].num_rows == 64
    assert read_rows(path, {"type": "avro_ocf"}, {"n": "LONG"}, columns=[]).sink.counted_rows == 500


def test_numbers_of_32_bits_print_as_in_java(tmp_path: Path) -> None:
    fields = [{"name": "f", "type": "float"}, {"name": "m", "type": ["null", "float"]}, {"name": "d", "type": "double"}]
    schema = {"type": "record", "name": "R", "fields": fields}
    path = write(tmp_path / "x.avro", [{"f": 1.1, "m": None, "d": 1.1}, {"f": 2, "m": 0.3, "d": 1e20}], schema)
    rows = read_rows(path, {"type": "avro_ocf"}, {"f": "STRING", "m": "STRING", "d": "STRING"}).rows
    assert rows == [["1.1", None, "1.1"], ["2.0", "0.3", "1.0E20"]]
    assert read_rows(path, {"type": "avro_ocf"}, {"f": "LONG", "m": "DOUBLE"}).rows[1][0] == 2


def test_a_file_without_records(tmp_path: Path) -> None:
    path = write(tmp_path / "x.avro", [])
    done = read_rows(path, {"type": "avro_ocf"}, {"id": "LONG"})
    assert (done.rows, done.sink.files) == ([], 1)
