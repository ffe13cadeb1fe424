"""Whatever is sent, the answer is an error of the path's family or the thing itself: never a traceback."""

from __future__ import annotations

import itertools
import json
import socket
import string
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from controller.api.app import load_routes
from controller.api.routing import ROUTES
from msq.faults import CATEGORY_STATUS
from tests.clients.process import ServerProcess
from tests.controller.api.conftest import Client, Serving, day_table

load_routes()
# what disables the worker comes first, so that it is enabled again at the end
PATHS = sorted(
    (path for method, path in ROUTES if method == "POST"), key=lambda path: (not path.endswith("disable"), path)
)
FAMILY = {path: ROUTES["POST", path].errors for path in PATHS}
PERSONAS = ("USER", "ADMIN", "OPERATOR", "DEVELOPER")

numbers = st.one_of(st.integers(), st.integers(10**30, 10**40), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=20))
words = st.sampled_from([
    "query", "context", "parameters", "type", "value", "header", "resultFormat", "id", "dataSource", "datasource",
    "interval", "segmentIds", "versions", "runTime", "spec", "ioConfig", "inputSource", "inputFormat", "samplerConfig",
    "dataSchema", "timestampSpec", "numRows", "sqlQueryId", "executionMode", "maxNumTasks", "limit", "tiers", "rules",
    "taskId", "queryId", "data", "columns", "dimensionsSpec", "dimensions", "transformSpec", "timeoutMs",
])  # fmt: skip
known_values = st.sampled_from([
    "SELECT 1", "SELECT ?", "kill", "noop", "inline", "json", "csv", "index_parallel", "x", "1970-01-01/2000-01-01",
    "ASYNC", "local", "http", "a/b", "..", "scan", "P1D", "\ud7ff\u0000é", "forever", "array", "long",
])  # fmt: skip
values = st.recursive(
    st.one_of(scalars, known_values),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(words, st.text(max_size=10)), inner, max_size=6),
    ),
    max_leaves=20,
)
objects = st.dictionaries(words, values, max_size=8)


def check(answer: httpx.Response, family: str) -> None:
    """An error has its family's shape; whatever it is, no Python shines through."""
    text = answer.text
    assert "Traceback" not in text and 'File "' not in text, text
    if answer.status_code < 400:
        return
    assert answer.status_code != 500, (answer.request.url.path, answer.request.content[:500], text)
    kind = answer.headers.get("content-type", "")
    if kind.startswith("text/plain") or not answer.content:
        # texts of the Overlord, and rows whose refusal is a status alone
        assert family == "plain" and answer.status_code in (400, 404), text
        return
    assert kind == "application/json"
    body = answer.json()
    if "taskId" in body and "error" in body:
        assert body["state"] == "FAILED"
        body = body["error"]
    elif family == "plain" and answer.status_code == 404 and "task" in body:
        return
    if family == "plain":
        assert isinstance(body["error"], str) and body["error"]
        return
    assert isinstance(body["errorMessage"], str) and body["errorMessage"]
    assert body["error"] == "druidException" or "errorClass" in body
    assert body["persona"] in PERSONAS and isinstance(body["context"], dict)
    if answer.status_code not in (405, 413, 415):
        assert CATEGORY_STATUS[body["category"]] == answer.status_code


def fill(path: str) -> str:
    return path.format(**{name: "x" for _, name, _, _ in string.Formatter().parse(path) if name})


TOO_DEEP = b"[" * 100_000 + b"]" * 100_000
relaxed = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


NO_JSON = (
    b"", b"{", b"\xff\xfe", b"nul", b'{"a":NaN}', b"1e999999", b"9" * 5_000, TOO_DEEP, b'"\\ud800"', b"{}{}",
)  # fmt: skip
KINDS = ("application/json; charset=utf-8", "text/plain", "application/xml", "x", None)


@relaxed
@given(body=st.one_of(objects, values))
@example(body={"query": "SELECT 1", "context": {"sqlQueryId": "a/b"}})
@example(body={"query": "SELECT ?", "parameters": [{"type": "BIGINT", "value": 10**40}]})
@example(body={"query": "SELECT 1", "context": {"sqlQueryId": " \u65e5\u672c\x00\r\nX-Other: 1 "}})
@example(body={"query": "SELECT 1", "context": {"indexSpec": "true"}})
@example(body={"query": "SELECT 1", "context": {"sqlOuterLimit": 10**30}})
@example(body=[{"type": []}])
@example(body=["x"] * 3)
@example(body=None)
def test_any_json(client: Client, body: Any) -> None:
    for path in PATHS:
        check(client.post(fill(path), body), FAMILY[path])


def test_bodies_that_are_no_json(client: Client) -> None:
    for path in PATHS:
        sent: list[tuple[bytes, str | None]] = [(content, "application/json") for content in NO_JSON]
        for content, kind in sent + [(b"{}", kind) for kind in KINDS]:
            headers = {} if kind is None else {"Content-Type": kind}
            check(client.http.post(fill(path), content=content, headers=headers), FAMILY[path])


@relaxed
@given(text=st.one_of(st.text(max_size=60), st.text("SELECT'\"()*,;-/ \n\\%?{}[]$", max_size=60)))
@example(text="SELECT '\ud7ff'")
@example(text="SELECT \x00")
@example(text="(" * 3_000 + "1" + ")" * 3_000)
@example(text="SELECT " + "1+" * 3_000 + "1")
@example(text="SELECT " + ",".join(["1"] * 5_000))
@example(text='SELECT * FROM "a\'b"."c;d"')
@example(text="SELECT 9999999999999999999999999999")
@example(text="/* " * 500 + "SELECT 1")
def test_any_statement(client: Client, text: str) -> None:
    for path in ("/druid/v2/sql", "/druid/v2/sql/task"):
        check(client.post(path, {"query": text}), "structured")
        plain = {"Content-Type": "text/plain"}
        check(client.http.post(path, content=text.encode("utf-8", "replace"), headers=plain), "structured")


IDS = (
    "a b", "100%", "%", "ä/ö", "a/b", "..", ".", "' OR 1=1 --", '"', "日本", "x" * 5_000, "\n", "a\\b", "?", "#", "+",
    "\x7f", "\0",
)  # fmt: skip
IDS_PER_PATH = 4


def test_any_id(client: Client) -> None:
    """Every path with a parameter gets some of the ids in turn, percent-encoded as clients do."""
    paths = sorted((path, method) for method, path in ROUTES if "{" in path)
    ids = itertools.cycle(IDS)
    for path, method in paths:
        names = [name for _, name, _, _ in string.Formatter().parse(path) if name]
        for given_id in itertools.islice(ids, IDS_PER_PATH):
            url = path.format(**dict.fromkeys(names, urllib.parse.quote(given_id, safe="")))
            answer = client.http.request(method, url, json={} if method == "POST" else None)
            assert answer.status_code < 500 or answer.status_code == 501, (method, url, answer.text)
            assert "Traceback" not in answer.text
            if answer.headers.get("content-type") == "application/json":
                answer.json()


@pytest.mark.parametrize("name", ["a b", "100%", "ä ö", "日本", "O'Neil", 'quo"te', "x+y", "a&b=c", "semi;colon"])
def test_tables_of_unusual_names(client: Client, name: str) -> None:
    """What an ingest accepts can be read, listed, marked and deleted; what it refuses is refused before it runs."""
    query = day_table(name.replace('"', '""'))
    answer = client.post("/druid/v2/sql/task", {"query": query})
    if answer.status_code != 202:
        check(answer, "structured")
        return
    assert client.wait(answer.json()["taskId"])["status"] == "SUCCESS"
    shown = name.replace('"', '""')
    assert client.rows(f'SELECT COUNT(*) FROM "{shown}"') == [[6]]
    path = f"/druid/coordinator/v1/datasources/{urllib.parse.quote(name, safe='')}"
    assert client.get(f"{path}?full").json()["name"] == name
    assert name in client.get("/druid/coordinator/v1/datasources").json()
    ids = client.get(f"{path}/segments").json()
    assert len(ids) == 2
    one = client.get(f"{path}/segments/{urllib.parse.quote(ids[0], safe='')}").json()
    assert one["metadata"]["identifier"] == ids[0]
    assert client.delete(path).status_code == 200
    assert client.sql(f'SELECT COUNT(*) FROM "{shown}"').status_code == 400


def test_unknown_methods(client: Client) -> None:
    by_path: dict[str, set[str]] = {}
    for method, path in ROUTES:
        by_path.setdefault(path, set()).add(method)
    for path, known in sorted(by_path.items()):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "POST", "BREW", "GET"):
            if method in known or (method != "PUT" and "{" in path):
                continue
            answer = client.http.request(method, fill(path))
            assert answer.status_code == 405, (method, path, answer.status_code)
            assert set(answer.headers["allow"].split(", ")) >= known
            assert answer.json()["error"]


def test_bodies_too_large(tmp_path: Path) -> None:
    with Serving(tmp_path / "data", max_body_bytes=10_000) as small:
        long = {"query": "SELECT '" + "x" * 20_000 + "'"}
        for path in PATHS:
            answer = small.post(fill(path), long)
            assert answer.status_code == 413, path
            body = answer.json()
            assert "[10000] bytes" in (body["errorMessage"] if FAMILY[path] == "structured" else body["error"])
        assert small.rows("SELECT 1") == [[1]]


def test_bytes_that_are_no_http(served: ServerProcess) -> None:
    for data in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /\r\n\r\n", b"POST /druid/v2/sql HTTP/1.1\r\n",
        b"GET /status HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /druid/v2/sql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{",
    ):  # fmt: skip
        # the server may hang up at any moment, in the middle of what is sent too
        with socket.create_connection(("127.0.0.1", served.port), timeout=120) as raw, suppress(OSError):
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(65_536):
                pass
    assert served.client.rows("SELECT 1") == [[1]]


def test_nothing_was_logged_as_unforeseen(served: ServerProcess) -> None:
    """Runs last in this file: what surprised the server would stand in its log with a traceback."""
    assert "Traceback" not in served.logged(), served.logged()[-4_000:]


def test_answers_are_json_that_any_reader_takes(client: Client) -> None:
    """Control characters and lone surrogates in a statement come back escaped."""
    answer = client.post("/druid/v2/sql", {"query": "SELECT '\u0001\u2028\t' AS s"})
    assert json.loads(answer.content) == [{"s": "\u0001\u2028\t"}]
