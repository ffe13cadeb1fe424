"""The sampler: the steps of the console's data loader, on every kind of format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.controller.api.conftest import Client

EPOCH = {"column": "!!!_no_such_column_!!!", "missingValue": "1970-01-01T00:00:00Z"}


def sample(client: Client, source: dict[str, Any], form: dict[str, Any], rows: int = 50, **schema: Any) -> Any:
    schema = {"dataSource": "sample", "timestampSpec": EPOCH, "dimensionsSpec": {}, **schema}
    answer = client.post("/druid/indexer/v1/sampler?for=test", {
        "type": "index",
        "spec": {"type": "index", "ioConfig": {"type": "index", "inputSource": source, "inputFormat": form},
                 "dataSchema": schema},
        "samplerConfig": {"numRows": rows, "timeoutMs": 15_000},
    })  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.json()


def inline(text: str) -> dict[str, Any]:
    return {"type": "inline", "data": text}


def test_raw_lines_of_a_packed_file(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"a":1}\n{"a":2}\n\xff\xfe\n'))
    source = {"type": "local", "baseDir": str(tmp_path), "filter": "*.gz"}
    form = {"type": "regex", "pattern": "([\\s\\S]*)", "listDelimiter": "56616469-6de2-9da4-efb8-8f416e6e6965",
            "columns": ["raw"]}  # fmt: skip
    found = sample(client, source, form)
    assert [row["input"]["raw"] for row in found["data"]] == ['{"a":1}', '{"a":2}', "\ufffd\ufffd"]


def test_columns_are_found_with_their_types(client: Client) -> None:
    rows = [
        {"t": "2024-01-01T00:00:00Z", "n": 1, "d": 1.5, "s": "x", "tags": ["a", "b"], "o": {"k": 1}, "none": None},
        {"t": "odd", "n": 2, "d": 2},
    ]
    found = sample(
        client, inline("\n".join(map(json.dumps, rows)) + "\n{broken\n"), {"type": "json", "keepNullColumns": True},
        timestampSpec={"column": "t", "format": "auto"}, dimensionsSpec={"useSchemaDiscovery": True},
    )  # fmt: skip
    assert {c["name"]: c["type"] for c in found["logicalSegmentSchema"]} == {
        "__time": "LONG", "n": "LONG", "d": "DOUBLE", "s": "STRING", "tags": "ARRAY<STRING>", "o": "COMPLEX<json>",
        "none": "STRING",
    }  # fmt: skip
    first, second, third = found["data"]
    assert first["input"] == rows[0]
    assert first["parsed"] == {
        "__time": 1704067200000, "n": 1, "d": 1.5, "s": "x", "tags": ["a", "b"], "o": {"k": 1}, "none": None
    }  # fmt: skip
    assert second["unparseable"] and "Timestamp[odd]" in second["error"] and "parsed" not in second
    assert third["unparseable"] and "{broken" in third["error"]
    assert (found["numRowsRead"], found["numRowsIndexed"]) == (3, 1)


def test_declared_types_are_cast(client: Client) -> None:
    dimensions = [{"type": "long", "name": "a"}, {"type": "double", "name": "b"}, "c",
                  {"type": "auto", "castToType": "ARRAY<LONG>", "name": "d"}]  # fmt: skip
    found = sample(
        client, inline("a,b,c,d\n1,2,3,4\nx,,,\n"), {"type": "csv", "findColumnsFromHeader": True},
        dimensionsSpec={"dimensions": dimensions},
    )  # fmt: skip
    assert [row["parsed"] for row in found["data"]] == [
        {"__time": 0, "a": 1, "b": 2.0, "c": "3", "d": [4]}, {"__time": 0, "a": None, "b": None, "c": None, "d": None}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "text", "rows"),
    [
        ({"type": "tsv", "columns": ["a", "b"]}, 'x\t"y\n', [{"a": "x", "b": '"y'}]),
        ({"type": "csv", "columns": ["a"], "skipHeaderRows": 1, "listDelimiter": "|"}, "h\np|q\n", [{"a": ["p", "q"]}]),
        ({"type": "csv", "columns": ["a"]}, '"x\ny"\n', [{"a": "x\ny"}]),
        ({"type": "lines"}, "one\ntwo", [{"line": "one"}, {"line": "two"}]),
        ({"type": "json"}, '{"a":\n 1}\n{"a": 2} {"a": 3}\n', [{"a": 1}, {"a": 2}, {"a": 3}]),
    ],
)
def test_text_formats(client: Client, form: dict[str, Any], text: str, rows: list[Any]) -> None:
    assert [row["input"] for row in sample(client, inline(text), form)["data"]] == rows


def test_parquet(client: Client, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": [1, 2], "ts": pa.array([0, 1_000], pa.timestamp("ms"))}), tmp_path / "a.parquet")
    source = {"type": "local", "files": [str(tmp_path / "a.parquet")]}
    found = sample(client, source, {"type": "parquet"}, timestampSpec={"column": "ts", "format": "millis"})
    assert [row["parsed"] for row in found["data"]] == [{"__time": 0, "n": 1}, {"__time": 1_000, "n": 2}]


def test_limits_and_refusals(client: Client, tmp_path: Path) -> None:
    many = inline("\n".join(json.dumps({"n": n}) for n in range(100)))
    assert sample(client, many, {"type": "json"}, rows=7)["numRowsRead"] == 7
    (tmp_path / "bad.parquet").write_bytes(b"no")
    for body in (
        {}, {"spec": {"ioConfig": {}, "dataSchema": {}}},
        {"spec": {"ioConfig": {"inputSource": {"type": "odd"}}, "dataSchema": {}}},
        {"spec": {"ioConfig": {"inputSource": {"type": "local", "files": [str(tmp_path / "bad.parquet")]},
                               "inputFormat": {"type": "parquet"}}, "dataSchema": {}}},
    ):  # fmt: skip
        answer = client.post("/druid/indexer/v1/sampler", body)
        assert answer.status_code == 400 and answer.json()["errorMessage"]
