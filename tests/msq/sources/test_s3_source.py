"""S3 against a small server of our own that speaks as much of the protocol as reading needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from msq.codec import encode
from msq.datatypes import LONG, RowSignature
from msq.faults import DruidException, MSQError
from msq.formats import ReadOptions, parse_input_format
from msq.formats.read import read_external
from msq.sources import SourceAccess, parse_input_source, reading
from msq.sources.objects import glob_pattern

OBJECTS = {
    "data/in/a.json": b'{"n":1}\n',
    "data/in/b.csv": b"2\n",
    "data/in/deep/c.json": b'{"n":3}\n' * 1000,
    "data/in/empty.json": b"",
    "data/indeed.json": b'{"n":4}\n',
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._object(body=False)

    def do_GET(self) -> None:
        if "list-type" in parse_qs(urlsplit(self.path).query):
            self._list()
        else:
            self._object(body=True)

    def _object(self, body: bool) -> None:
        data = OBJECTS.get(unquote(urlsplit(self.path).path).lstrip("/"))
        if data is None or "Authorization" not in self.headers:
            self._answer(404 if data is None else 403, b"", {})
            return
        status, headers = 200, {"Last-Modified": "Wed, 01 May 2024 00:00:00 GMT", "ETag": '"x"'}
        if (wanted := self.headers.get("Range")) is not None:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            stop = min(int(end) + 1, len(data)) if end else len(data)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            status, data = 206, data[int(start) : stop]
        self._answer(status, data, headers, body)

    def _list(self) -> None:
        bucket = urlsplit(self.path).path.strip("/")
        query = parse_qs(urlsplit(self.path).query)
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        keys = [k.removeprefix(f"{bucket}/") for k in OBJECTS if k.startswith(f"{bucket}/{prefix}")]
        folders: set[str] = set()
        if delimiter:
            folders = {prefix + k[len(prefix) :].partition("/")[0] for k in keys if "/" in k[len(prefix) :]}
            keys = [k for k in keys if "/" not in k[len(prefix) :]]
        contents = "".join(
            f"<Contents><Key>{k}</Key><LastModified>2024-05-01T00:00:00.000Z</LastModified><ETag>x</ETag>"
            f"<Size>{len(OBJECTS[f'{bucket}/{k}'])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for k in keys
        ) + "".join(f"<CommonPrefixes><Prefix>{folder}/</Prefix></CommonPrefixes>" for folder in folders)
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{prefix}</Prefix><KeyCount>{len(keys)}</KeyCount><MaxKeys>1000</MaxKeys>"
            f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        )
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str], body: bool = True) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def store() -> Iterator[dict[str, Any]]:
    """The properties of a source that reads from the server."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield {
        "type": "s3",
        "properties": {"accessKeyId": "key", "secretAccessKey": {"type": "default", "password": "secret"}},
        "endpointConfig": {"url": f"http://127.0.0.1:{running.server_address[1]}", "signingRegion": "us-east-1"},
    }
    running.shutdown()
    thread.join()
    running.server_close()


def _listed(source: dict[str, Any]) -> list[tuple[str, int]]:
    return [(i.uri or "", i.size) for i in parse_input_source(source).list(SourceAccess())]


def test_objects_by_name_prefix_and_glob(store: dict[str, Any]) -> None:
    a, b = ("s3://data/in/a.json", 8), ("s3://data/in/b.csv", 2)
    c, d = ("s3://data/in/deep/c.json", 8000), ("s3://data/indeed.json", 8)
    assert _listed(store | {"uris": ["s3://data/in/b.csv", "s3://data/in/a.json"]}) == [b, a]
    assert _listed(store | {"objects": [{"bucket": "data", "path": "in/a.json"}]}) == [a]
    assert _listed(store | {"prefixes": ["s3://data/in/"]}) == [a, b, c]
    assert _listed(store | {"prefixes": ["s3://data/in"]}) == [a, b, c, d]
    assert _listed(store | {"prefixes": ["s3://data/in"], "objectGlob": "**.json"}) == [a, c, d]
    assert _listed(store | {"prefixes": ["s3://data/in"], "objectGlob": "in/*.json"}) == [a]
    assert _listed(store | {"prefixes": ["s3://data/none"]}) == []


def test_objects_are_read_and_slices_are_sources(store: dict[str, Any]) -> None:
    source = parse_input_source(store | {"prefixes": ["s3://data/in"], "objectGlob": "**.json"})
    part = source.with_items(source.list(SourceAccess())[1:])
    assert encode(part) == store | {"uris": ["s3://data/in/deep/c.json", "s3://data/indeed.json"]}
    bodies = []
    for item in part.list(SourceAccess()):
        with reading(item), part.open(item, SourceAccess()) as stream:
            bodies.append(stream.read())
    assert bodies == [OBJECTS["data/in/deep/c.json"], OBJECTS["data/indeed.json"]]


def test_rows_of_objects(store: dict[str, Any]) -> None:
    class Sink:
        files = 0

        def rows(self, n: int) -> None: ...
        def bytes(self, n: int) -> None: ...
        def file_done(self) -> None:
            self.files += 1

        def bad_row(self, fault: Any) -> None: ...
        def check_cancelled(self) -> None: ...

    source = parse_input_source(store | {"prefixes": ["s3://data/in"], "objectGlob": "**.json"})
    sink = Sink()
    batches = read_external(
        source, parse_input_format({"type": "json"}), RowSignature([("n", LONG)]), columns=None,
        items=source.list(SourceAccess()), options=ReadOptions(), sink=sink,
    )  # fmt: skip
    assert [v for b in batches for v in b.column(0).to_pylist()] == [1, *[3] * 1000, 4]
    assert sink.files == 3


def test_a_missing_object_is_a_fault(store: dict[str, Any]) -> None:
    source = parse_input_source(store | {"uris": ["s3://data/none.json"]})
    (item,) = source.list(SourceAccess())
    with pytest.raises(MSQError, match=r"Error occurred while trying to read uri: s3://data/none\.json"), reading(item):
        source.open(item, SourceAccess())


def test_the_endpoint_must_be_allowed(store: dict[str, Any]) -> None:
    source = parse_input_source(store | {"uris": ["s3://data/in/a.json"]})
    with pytest.raises(DruidException, match=r"Host \[127.0.0.1\]"):
        source.list(SourceAccess(hosts=("*.amazonaws.com",)))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "Exactly one of uris, prefixes or objects must be specified"),
        ({"uris": ["s3://b/k"], "prefixes": ["s3://b/"]}, "Exactly one of uris, prefixes or objects"),
        ({"uris": ["http://b/k"]}, "must be [s3]"),
        ({"objects": [{"bucket": "b"}]}, "An object needs a bucket and a path"),
        ({"prefixes": ["s3://b/"], "objectGlob": "{a"}, "Invalid objectGlob [{a]"),
    ],
)
def test_refused_with_a_reason(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(DruidException) as caught:
        parse_input_source({"type": "s3", **given})
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("glob", "matching", "other"),
    [
        ("*.json", "a.json", "b/a.json"), ("**.json", "b/a.json", "a.csv"), ("b/?.json", "b/a.json", "b/ab.json"),
        ("b/[!a].json", "b/b.json", "b/a.json"), ("*.{json,csv}", "x.csv", "x.tsv"), ("\\*", "*", "x"),
    ],
)  # fmt: skip
def test_globs(glob: str, matching: str, other: str) -> None:
    assert glob_pattern(glob).fullmatch(matching)
    assert not glob_pattern(glob).fullmatch(other)
