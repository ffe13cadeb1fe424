"""Every row of Druid's HTTP API, one by one: it answers in its shape, or refuses in its family's and names what lacks.

Rows stand in rows.txt. A shape is JSON with the words str, int, num, bool, any, the names of SHAPES, and `*` for keys
that are not named; a list of one shape is a list of any length; `key?` may be absent. `empty`: no bytes; `text`: some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.controller.api.conftest import Client, Serving, day_table, poll, slow_query

GROUPS = {"S": 5, "C": 75, "T": 16, "O": 23, "M": 6, "P": 2, "H": 2, "B": 9, "R": 4, "N": 42}
"""How many rows each group has."""
SHAPES = {
    "SEGMENT": """{"dataSource": str, "interval": str, "version": str, "loadSpec": any, "dimensions": str,
        "metrics": str, "shardSpec": {"type": str, "partitionNum": int, "*": any}, "binaryVersion": any, "size": int,
        "identifier": str, "*": any}""",
    "SHADOWED": '{"dataSource": str, "identifier": str, "overshadowed": bool, "*": any}',
    "FULL": '{"name": str, "properties": {"created": str}, "segments": [SEGMENT]}',
    "SIMPLE": """{"tiers": {"_default_tier": {"*": int}}, "segments": {"count": int, "size": int,
        "replicatedSize": int, "minTime": str, "maxTime": str}}""",
    "LOCATED": '{"metadata": SEGMENT, "servers": ["{server}"]}',
    "SERVER": '{"name": str, "host": str, "maxSize": int, "type": str, "tier": str, "priority": int, "*": any}',
    "HOST": '{"host": "{server}", "tier": str, "type": str, "priority": int, "currSize": int, "maxSize": int}',
    "CANDIDATE": '{"interval": str, "version": str, "partitionNumber": int, "size": int, "locations": [SERVER]}',
    "CHANGED": '{"numChangedSegments": int, "segmentStateChanged": bool}',
    "RULE": '{"type": str, "*": any}',
    "AUDIT": '{"key": str, "type": str, "auditInfo": any, "payload": str, "auditTime": str}',
    "COMPACTION": '{"dataSource": str, "taskPriority": int, "skipOffsetFromLatest": str, "*": any}',
    "SNAPSHOT": '{"dataSource": str, "scheduleStatus": str, "bytesAwaitingCompaction": int, "*": any}',
    "TASK": """{"id": str, "groupId": str, "type": str, "createdTime": str, "queueInsertionTime": str,
        "statusCode": str, "status": str, "runnerStatusCode": str, "duration": int, "location": any,
        "dataSource": str, "errorMsg": any}""",
    "ERROR": '{"error": str, "*": any}',
    "ERROR3": '{"error": str, "errorCode": str, "persona": str, "category": str, "errorMessage": str, "*": any}',
}
WORDS = {"str": str, "int": int, "num": (int, float), "bool": bool}
_LINE = re.compile(r"(?P<id>[A-Z]+-\d+) (?P<method>[A-Z]+) (?P<path>\S+) (?P<status>\d+) (?P<rest>.*)")


@dataclass(frozen=True)
class Row:
    """One request of a row. `says`: what the text of a refusal must name."""

    id: str
    method: str
    path: str
    status: int
    shape: str
    says: str
    body: str | None


def _rows() -> list[Row]:
    out = []
    for line in Path(__file__).with_name("rows.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        assert found is not None, line
        shape, _, body = found["rest"].partition(" -> ")
        named = re.fullmatch(r"(ERROR\d?) (.+)", shape)
        out.append(Row(
            found["id"], found["method"], found["path"], int(found["status"]), named[1] if named else shape,
            named[2] if named else "", body or None,
        ))  # fmt: skip
    return out


ROWS = _rows()


def test_every_row_is_there() -> None:
    assert {row.id for row in ROWS} == {f"{g}-{n:02d}" for g, count in GROUPS.items() for n in range(1, count + 1)}


def spelled(shape: str) -> Any:
    """A shape as JSON, its words as texts with a mark."""
    marked = re.sub(r'"(?:[^"\\]|\\.)*"|\b([A-Za-z]\w*)\b', lambda m: f'"<{m[1]}>"' if m[1] else m[0], shape)
    return json.loads(re.sub(r'"<(true|false|null)>"', r"\1", marked))


def matches(value: Any, shape: Any, names: dict[str, str], where: str = "answer") -> None:
    if isinstance(shape, str):
        shape = fill(shape, names)
    word = shape[1:-1] if isinstance(shape, str) and re.fullmatch(r"<\w+>", shape) else None
    if word == "any":
        return
    if word in SHAPES:
        matches(value, spelled(SHAPES[word]), names, where)
    elif word is not None:
        assert isinstance(value, WORDS[word]) and (word == "bool" or not isinstance(value, bool)), f"{where}: {value!r}"
    elif isinstance(shape, list):
        assert isinstance(value, list) and (shape or not value), f"{where}: {value!r}"
        for n, element in enumerate(value):
            matches(element, shape[0], names, f"{where}[{n}]")
    elif isinstance(shape, dict):
        _matches_object(value, shape, names, where)
    else:
        assert value == shape, where


def _matches_object(value: Any, shape: dict[str, Any], names: dict[str, str], where: str) -> None:
    assert isinstance(value, dict), f"{where}: {value!r}"
    named = {fill(key, names): inner for key, inner in shape.items()}
    for key, inner in named.items():
        if key == "*":
            continue
        if key.rstrip("?") in value:
            matches(value[key.rstrip("?")], inner, names, f"{where}.{key}")
        else:
            assert key.endswith("?"), f"{where} has no {key}: {value!r}"
    for key in value.keys() - {k.rstrip("?") for k in named}:
        assert "*" in named, f"{where} has {key}"
        matches(value[key], named["*"], names, f"{where}.{key}")


@pytest.mark.parametrize(("value", "shape"), [
    ({"a": 1}, '{"a": str}'), ({"a": True}, '{"a": int}'), ({}, '{"a": int}'), ({"a": 1, "b": 2}, '{"a": int}'),
    ([1, "x"], "[int]"), ([1], "[]"), ({"a": {"b": 1.5}}, '{"*": {"b": int}}'), ({"error": None}, "ERROR"),
    ("x", "true"),
])  # fmt: skip
def test_what_is_of_another_shape_is_found(value: Any, shape: str) -> None:
    with pytest.raises(AssertionError):
        matches(value, spelled(shape), {})


def fill(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, dict[str, str]]]:
    with Serving(tmp_path_factory.mktemp("rows")) as client:
        client.ingest(day_table("ds"))
        task = client.ingest(day_table("spare"))
        meta = "/druid/coordinator/v1/metadata/datasources"
        names = {
            "ds": "ds", "spare": "spare", "sparetask": task, "none": "nothing", "running": client.submit(slow_query()),
            "seg": client.get(f"{meta}/ds/segments").json()[0],
            "server": client.get("/druid/coordinator/v1/servers").json()[0],
            "spareseg": client.get(f"{meta}/spare/segments").json()[0],
        }  # fmt: skip
        poll(lambda: client.state(names["running"])["runnerStatusCode"], lambda state: state == "RUNNING")
        yield client, names


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.id} {row.method} {row.path} {row.status}" for row in ROWS])
def test_row(served: tuple[Client, dict[str, str]], row: Row) -> None:
    client, names = served
    body = None if row.body is None else json.loads(fill(row.body, names))
    answer = client.http.request(row.method, fill(row.path, names), json=body)
    assert answer.status_code == row.status, answer.text
    check_body(answer, row, names)


def check_body(answer: httpx.Response, row: Row, names: dict[str, str]) -> None:
    if row.shape == "empty":
        assert answer.content == b""
    elif row.shape == "text":
        assert answer.text and "<html" not in answer.text
    else:
        assert answer.headers["content-type"].startswith("application/json")
        matches(answer.json(), spelled(row.shape), names)
        assert row.says in answer.text
