"""Real object stores: inputs, exports, deep storage and durable outputs. Skipped, with the reason, where none runs."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import FileSelector, FileType

from controller.engine import Engine
from controller.settings import EngineSettings
from msq.faults import DruidException, MSQError
from msq.sources import SourceAccess, parse_input_source
from msq.storage.folders import folder_at
from msq.storage.stores import store_filesystem
from tests.harness.stores import Unavailable, google_server, s3_server
from worker.chaos import Chaos

ROWS = [{"t": f"2024-05-0{n % 2 + 1}T00:00:00Z", "k": f"k{n % 3}", "n": n} for n in range(60)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
KEYS = {
    "in/a.json": LINES[: LINES.index(b"\n", 1000) + 1], "in/b c+%41é.json.gz": gzip.compress(LINES),
    "in/deep/c.json": b'{"n":3}\n', "in/empty.json": b"", "indeed.json": b'{"n":4}\n',
}  # fmt: skip


@pytest.fixture(scope="module", params=["s3", "google"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Any]]:
    """A kind of store, and how it is reached."""
    server = {"s3": s3_server, "google": google_server}[request.param]
    try:
        with server(tmp_path_factory.mktemp(request.param)) as settings:
            files = store_filesystem(request.param, {request.param: settings})
            if request.param == "s3":
                from pyarrow.fs import S3FileSystem

                files = S3FileSystem(
                    access_key=settings["accessKey"], secret_key=settings["secretKey"], scheme="http",
                    endpoint_override=settings["endpointUrl"].partition("://")[2], allow_bucket_creation=True,
                    region=settings["region"],
                )  # fmt: skip
            files.create_dir("data")
            for key, body in KEYS.items():
                with files.open_output_stream(f"data/{key}", compression=None) as sink:
                    sink.write(body)
            yield request.param, settings
    except Unavailable as reason:
        pytest.skip(str(reason))


def access_of(store: tuple[str, Any]) -> SourceAccess:
    return SourceAccess(stores={store[0]: store[1]})


Open = Callable[..., Engine]


@pytest.fixture
def opened(store: tuple[str, Any], tmp_path: Path) -> Iterator[Open]:
    made: list[Engine] = []

    def start(**settings: Any) -> Engine:
        engine = Engine(EngineSettings(tmp_path / f"data{len(made)}", threads=1, access=access_of(store), **settings))
        made.append(engine)
        return engine

    yield start
    for engine in made:
        engine.close()


def scheme(store: tuple[str, Any]) -> str:
    return {"s3": "s3", "google": "gs"}[store[0]]


def extern(store: tuple[str, Any], **more: Any) -> str:
    source = json.dumps({"type": store[0], **more})
    return f"TABLE(EXTERN('{source}', '{{\"type\":\"json\"}}')) EXTEND (t VARCHAR, k VARCHAR, n BIGINT)"


def test_objects_are_listed(store: tuple[str, Any]) -> None:
    def listed(**source: Any) -> list[tuple[str, int]]:
        parsed = parse_input_source({"type": store[0], **source})
        found = parsed.list(access_of(store))
        again = parsed.with_items(found).list(access_of(store))
        assert [(i.uri, i.size) for i in again] == [(i.uri, i.size) for i in found]
        return [(i.uri or "", i.size) for i in found]

    base = f"{scheme(store)}://data/"
    a, b, c, d = ((base + key, len(KEYS[name])) for key, name in (
        ("in/a.json", "in/a.json"), ("in/b%20c%2B%2541%C3%A9.json.gz", "in/b c+%41é.json.gz"),
        ("in/deep/c.json", "in/deep/c.json"), ("indeed.json", "indeed.json"),
    ))  # fmt: skip
    assert listed(prefixes=[base + "in/"]) == [a, b, c]
    assert listed(prefixes=[base + "in"]) == [a, b, c, d]
    assert listed(prefixes=[base]) == [a, b, c, d]
    assert listed(prefixes=[base + "in/a", base + "none/"]) == [a]
    assert listed(prefixes=[base + "in"], objectGlob="**.json") == [a, c, d]
    assert listed(objects=[{"bucket": "data", "path": "in/b c+%41é.json.gz"}]) == [b]
    assert listed(uris=[d[0], a[0]]) == [d, a]


def test_objects_are_read(store: tuple[str, Any], opened: Open) -> None:
    source = extern(store, prefixes=[f"{scheme(store)}://data/in"])
    done = opened().execute(
        f"SELECT COUNT(*) AS c, SUM(n) AS s, COUNT(DISTINCT k) AS k FROM {source}", {"maxNumTasks": 3}
    )
    first = [row["n"] for row in map(json.loads, KEYS["in/a.json"].splitlines())]
    expected = {"c": len(first) + 62, "s": sum(first) + sum(range(60)) + 7, "k": 3}
    assert done.status == "SUCCESS" and done.table().to_pylist() == [expected]


def test_what_is_not_there_is_a_fault(store: tuple[str, Any], opened: Open) -> None:
    engine = opened()
    for source, text in (
        ({"uris": [f"{scheme(store)}://data/none.json"]}, "none.json"),
        ({"prefixes": [f"{scheme(store)}://nowhere/x"]}, None),
    ):
        done = engine.execute(f"SELECT COUNT(*) AS c FROM {extern(store, **source)}", {})
        if text is None:
            # a bucket that is not there: S3 says so, Google's listing is empty
            assert done.status == "FAILED" or done.table().to_pylist() == [{"c": 0}]
        else:
            assert done.status == "FAILED" and text in str(done.fault)


def test_an_export(store: tuple[str, Any], opened: Open) -> None:
    engine = opened()
    kind = store[0]

    def export(prefix: str, sql: str, **context: Any) -> Any:
        text = f"INSERT INTO EXTERN({kind}(bucket => 'data', prefix => '{prefix}')) AS CSV {sql}"
        return engine.execute(text, {"sqlQueryId": "x", **context})

    source = extern(store, uris=[f"{scheme(store)}://data/in/b%20c%2B%2541%C3%A9.json.gz"])
    done = export("out/of it", f"SELECT n, k FROM {source}", rowsPerPage=25)
    assert done.status == "SUCCESS", done.fault
    folder = folder_at(f"{scheme(store)}://data/out/of it", access_of(store).stores)
    files = [name for name in folder.names() if name.endswith(".csv")]
    assert files == [f"query-x-worker0-partition{n}.csv" for n in range(len(files))] and len(files) > 1
    assert folder.names() == ["_symlink_format_manifest", *files]
    texts = [folder.text(name) or "" for name in files]
    assert all(text.startswith("n,k\n") and text.endswith("\n\n") for text in texts)
    rows = [line for text in texts for line in text.strip().split("\n")[1:]]
    assert sorted(rows) == sorted(f"{row['n']},{row['k']}" for row in ROWS)
    base = f"{scheme(store)}://data/out/of%20it"
    assert folder.text("_symlink_format_manifest/manifest") == "".join(f"{base}/{name}\n" for name in files)
    assert folder.text("_symlink_format_manifest/druid_export_meta") == "version: 1\n"

    again = export("out/of it", f"SELECT n FROM {source}", sqlQueryId="y")
    assert again.status == "FAILED" and "Found files at provided export destination" in str(again.fault)
    assert [name for name in folder.names() if name.endswith(".csv")] == files

    read = extern(store, prefixes=[f"{base}/query"]).replace('"json"', '"csv","findColumnsFromHeader":true')
    done = engine.execute(f"SELECT SUM(n) AS s FROM {read}", {"sqlQueryId": "z"})
    assert done.table().to_pylist() == [{"s": sum(range(60))}]


def test_an_export_that_fails_leaves_nothing(store: tuple[str, Any], opened: Open) -> None:
    source = extern(store, uris=[f"{scheme(store)}://data/in/a.json"])
    engine = opened(chaos=Chaos(seed=1, probability={"results": 1.0}))
    text = f"INSERT INTO EXTERN({store[0]}(bucket => 'data', prefix => 'lost')) AS CSV SELECT n FROM {source}"
    assert engine.execute(text, {}).status == "FAILED"
    assert folder_at(f"{scheme(store)}://data/lost", access_of(store).stores).names() == []


def test_where_exports_may_go(store: tuple[str, Any], opened: Open) -> None:
    kind, base = store[0], f"{scheme(store)}://data"
    engine = opened(export_folders=(f"{base}/allowed/", "/elsewhere"))

    def sql(bucket: str, prefix: str) -> str:
        return f"INSERT INTO EXTERN({kind}(bucket => '{bucket}', prefix => '{prefix}')) AS CSV SELECT 1 AS a"

    assert engine.execute(sql("data", "allowed/deep"), {}).status == "SUCCESS"
    for bucket, prefix in (("data", "allowedx"), ("data", "other/allowed"), ("datax", "allowed")):
        with pytest.raises(DruidException, match="outside the folders"):
            engine.prepare(sql(bucket, prefix))
    for bucket, prefix in (("data", "allowed/../x"), ("data", ""), ("data", "a//b"), ("a/b", "c"), ("", "allowed")):
        with pytest.raises(DruidException, match=r"must have names|no name of a bucket"):
            engine.prepare(sql(bucket, prefix))


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_outputs_of_stages_in_the_store(store: tuple[str, Any], opened: Open, workers: str) -> None:
    place = f"{scheme(store)}://data/durable"
    seen: list[str] = []
    engine = opened(durable_storage=place, workers=workers)
    remove = engine.durable_storage.delete

    def watch(task: str, **more: Any) -> None:
        seen.extend(engine.durable_storage.controllers())
        remove(task, **more)

    engine.durable_storage.delete = watch  # type: ignore[method-assign]
    source = extern(store, prefixes=[f"{scheme(store)}://data/in/b"])
    sql = f"SELECT k, COUNT(*) AS c FROM {source} GROUP BY 1 ORDER BY 1"
    done = engine.execute(sql, {"durableShuffleStorage": True, "maxNumTasks": 3, "sqlQueryId": "d"})
    assert done.status == "SUCCESS", done.fault
    assert done.table().to_pylist() == [{"k": f"k{n}", "c": 20} for n in range(3)]
    assert seen == ["query-d"] and engine.durable_storage.controllers() == ()


S3_ALONE = pytest.mark.parametrize("store", ["s3"], indirect=True)


@S3_ALONE
@pytest.mark.parametrize("zipped", [True, False])
def test_segments_in_the_store(store: tuple[str, Any], opened: Open, zipped: bool) -> None:
    base = f"segments-{zipped}"
    deep = {"type": "s3", "bucket": "data", "baseKey": base, "zip": zipped}
    engine = opened(deep_storage=deep)
    source = extern(store, prefixes=["s3://data/in/b"])
    ingest = f"OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, k, n FROM {source} PARTITIONED BY DAY"
    done = engine.execute(f"REPLACE INTO kept {ingest}", {"maxNumTasks": 3})
    assert done.status == "SUCCESS", done.fault
    segments = done.published.segments if done.published else ()
    assert len(segments) == 2
    files = store_filesystem("s3", access_of(store).stores)
    for segment in segments:
        spec = segment.load_spec
        assert (spec["type"], spec["bucket"]) == ("s3_zip", "data") and spec["key"].startswith(f"{base}/kept/2024-05-0")
        assert spec["key"].endswith("/0/index.zip" if zipped else "/0/")
    rows = engine.execute("SELECT k, SUM(n) AS s FROM kept GROUP BY 1 ORDER BY 1", {}).table()
    assert rows.to_pylist() == [{"k": f"k{k}", "s": sum(range(k, 60, 3))} for k in range(3)]
    engine.deep_storage.kill(segments[0])
    left = files.get_file_info(FileSelector(f"data/{base}", recursive=True))
    kept = segments[1].load_spec["key"].rstrip("/")
    files_left = {i.path for i in left if i.type == FileType.File and i.size}
    assert files_left and all(path.startswith(f"data/{kept}") for path in files_left)


@S3_ALONE
def test_credentials_and_endpoint_of_the_statement(store: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = store[1]
    monkeypatch.setenv("SECRET_OF_TESTS", s3["secretKey"])
    source = {
        "type": "s3", "uris": ["s3://data/indeed.json"],
        "endpointConfig": {"url": s3["endpointUrl"], "signingRegion": s3["region"]},
        "properties": {
            "accessKeyId": {"type": "default", "password": s3["accessKey"]},
            "secretAccessKey": {"type": "environment", "variable": "SECRET_OF_TESTS"},
        },
    }  # fmt: skip
    (item,) = parse_input_source(source).list(SourceAccess())
    assert item.size == 8
    with parse_input_source(source).open(item, SourceAccess()) as stream:
        assert stream.read() == KEYS["indeed.json"]
    own = SourceAccess(stores={"s3": s3})
    wrong = {**source, "properties": {"accessKeyId": "tester", "secretAccessKey": "wrong"}}
    with pytest.raises(MSQError, match=r"Cannot list the objects of S3InputSource|trying to read"):
        parse_input_source({**wrong, "uris": None, "prefixes": ["s3://data/"]}).list(own)
    # an endpoint that the statement names is not shown the credentials of a process that strangers reach
    named = {**source, "properties": None, "uris": None, "prefixes": ["s3://data/"]}
    with pytest.raises(MSQError, match="Cannot list"):
        parse_input_source(named).list(dataclasses.replace(own, environment=False))
    with pytest.raises(DruidException, match="Host"):
        parse_input_source(source).list(dataclasses.replace(own, hosts=("example.org",)))
