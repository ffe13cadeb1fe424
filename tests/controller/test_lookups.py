"""Lookups: what specs mean, what is refused, and what statements read of them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

import msq
from controller.cli import exits
from controller.cli.plan import plan_command
from controller.cli.run import run_command
from controller.engine import Engine, EngineSettings
from controller.lookups import LookupSpecError, LookupStore, read_lookups
from controller.payload import task_context
from msq.faults import DruidException
from msq.sources.base import SourceAccess

COUNTRIES = {"de": "Germany", "fr": "France", "xx": None}
FRUIT = "(VALUES ('de', 1), ('zz', 2), (NULL, 3)) AS t(c, n)"


def namespace(path: Path, parse: dict[str, Any], **more: Any) -> dict[str, Any]:
    uri = {"type": "uri", "uri": path.as_uri(), "namespaceParseSpec": parse, **more}
    return {"type": "cachedNamespace", "extractionNamespace": uri}


# -- specs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        COUNTRIES,
        {"type": "map", "map": COUNTRIES},
        {"version": "v1", "lookupExtractorFactory": {"type": "map", "map": COUNTRIES, "isOneToOne": False}},
    ],
    ids=["plain", "map", "container"],
)
def test_a_map_in_every_form(spec: Any) -> None:
    store = LookupStore({"country": spec})
    assert store.tables() == {"country": COUNTRIES}
    found = store.get("country")
    assert found is not None and found.factory["type"] == "map"
    assert found.version == ("v1" if "version" in spec else "v0")


@pytest.mark.parametrize(
    ("text", "parse", "table"),
    [
        ("a,1\nb,2\n", {"format": "csv", "columns": ["k", "v"]}, {"a": "1", "b": "2"}),
        ('"x,y",0,"q""q"\n', {"format": "csv", "columns": ["v", "o", "k"], "keyColumn": "k", "valueColumn": "v"},
         {'q"q': "x,y"}),
        ("#\nk,v\na,1\n", {"format": "csv", "skipHeaderRows": 1, "hasHeaderRow": True}, {"a": "1"}),
        ("a|1\n\nb|2", {"format": "tsv", "columns": ["k", "v"], "delimiter": "|"}, {"a": "1", "b": "2"}),
        ('{"k":"a","v":1}\n{"k":"b"}\n', {"format": "customJson", "keyFieldName": "k", "valueFieldName": "v"},
         {"a": "1"}),
        ('{"a":"1"}\n\n{"b":null}\n', {"format": "simpleJson"}, {"a": "1", "b": None}),
        ("", {"format": "csv", "hasHeaderRow": True}, {}),
    ],
)  # fmt: skip
def test_data_in_files(tmp_path: Path, text: str, parse: dict[str, Any], table: dict[str, Any]) -> None:
    plain, packed = tmp_path / "data.txt", tmp_path / "data.txt.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    store = LookupStore({"plain": namespace(plain, parse), "packed": namespace(packed, parse)})
    assert store.tables() == {"plain": table, "packed": table}


def test_the_newest_file_of_a_prefix(tmp_path: Path) -> None:
    for age, name in enumerate(("names-1.csv", "names-2.csv", "other.csv")):
        (tmp_path / name).write_text(f"k,{name}\n")
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    spec = namespace(tmp_path, {"format": "csv", "columns": ["k", "v"]}, fileRegex="names-[0-9]*\\.csv")
    spec["extractionNamespace"]["uriPrefix"] = spec["extractionNamespace"].pop("uri")
    assert LookupStore({"l": spec}).tables()["l"] == {"k": "names-2.csv"}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ([], "must be an object"),
        ({"type": "kafka", "map": {}}, "Could not resolve type id 'kafka' as a subtype of `LookupExtractorFactory`"),
        ({"type": "map", "map": {"a": [1]}}, r"value of lookup key \[a\] must be a text"),
        ({"type": "map", "map": [1]}, r"needs an object \[map\]"),
        ({"version": 1, "lookupExtractorFactory": {"type": "map", "map": {}}}, r"\[version\] of a lookup must be"),
        ({"type": "cachedNamespace", "map": []}, r"needs an object \[extractionNamespace\]"),
        ({"type": "cachedNamespace", "extractionNamespace": {"type": "jdbc"}}, "type id 'jdbc'"),
        ({"type": "cachedNamespace", "extractionNamespace": {"type": "uri"}}, r"needs either \[uri\] or \[uriPrefix\]"),
        (namespace(Path("/no/such"), {"format": "xml"}), "type id 'xml' as a subtype of `FlatDataParser`"),
        (namespace(Path("/no/such"), {"format": "csv"}), r"\[columns\] of a lookup's data"),
        (namespace(Path("/no/such"), {"format": "csv", "columns": ["a", "b"], "keyColumn": "c"}), "keyColumn"),
        (namespace(Path("/no/such"), {"format": "customJson"}), "keyFieldName"),
        (namespace(Path("/no/such"), {"format": "simpleJson"}), r"Cannot read lookup data from \[/no/such\]"),
        (namespace(Path("/no/such"), {"format": "simpleJson"}, pollPeriod="often"), "Cannot parse period"),
    ],
)
def test_bad_specs_are_named(spec: Any, text: str) -> None:
    with pytest.raises(LookupSpecError, match=text) as caught:
        LookupStore({"bad": spec})
    assert str(caught.value).startswith("Lookup [bad]: ")


def test_bad_data_are_named(tmp_path: Path) -> None:
    file = tmp_path / "short.csv"
    file.write_text("a,1\nb\n")
    with pytest.raises(LookupSpecError, match=r"a line has \[1\] fields of \[2\]: \[b\]"):
        LookupStore({"l": namespace(file, {"format": "csv", "columns": ["k", "v"]})})


# -- the store ---------------------------------------------------------------------------------------------------------


def test_a_snapshot_stays_as_it_is() -> None:
    store = LookupStore({"a": {"k": "1"}})
    before = store.tables()
    store.put("a", {"k": "2"}, "v2")
    store.put("b", {})
    assert (before, dict(store.tables())) == ({"a": {"k": "1"}}, {"a": {"k": "2"}, "b": {}})
    assert [(x.name, x.version, x.fixed) for x in store.all()] == [("a", "v2", False), ("b", "v0", False)]
    assert store.remove("a") and not store.remove("a")
    assert store.get("a") is None


def test_files_are_polled_when_their_period_is_over(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "l.json"

    def write(text: str, at: int) -> None:
        file.write_text(text)
        os.utime(file, (at, at))

    write('{"a":"1"}', 1)
    store = LookupStore({"l": namespace(file, {"format": "simpleJson"}, pollPeriod="PT1M")}, clock=lambda: now)
    write('{"a":"2"}', 2)
    assert store.tables()["l"] == {"a": "1"}
    now = 60.0
    assert store.tables()["l"] == {"a": "2"}
    write("no json", 3)
    now = 120.0
    assert store.tables()["l"] == {"a": "2"}
    file.unlink()
    now = 180.0
    assert store.tables()["l"] == {"a": "2"}


def test_what_is_put_reads_only_what_it_may(tmp_path: Path) -> None:
    file = tmp_path / "l.json"
    file.write_text('{"a":"1"}')
    spec = namespace(file, {"format": "simpleJson"})
    access = SourceAccess(folders=())
    assert LookupStore({"fixed": spec}, access).tables() == {"fixed": {"a": "1"}}
    with pytest.raises(DruidException, match="outside the folders this server may read from"):
        LookupStore({}, access).put("l", spec)


# -- statements --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["thread", "process"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("engine")
    lookups = LookupStore({"country": COUNTRIES, "big": {"unused": "x"}})
    with Engine(EngineSettings(data_dir=folder, lookups=lookups, workers=request.param)) as made:
        yield made


def rows(engine: Engine, sql: str) -> Any:
    payload = engine.execute(sql).report["multiStageQuery"]["payload"]
    assert payload["status"]["status"] == "SUCCESS", payload["status"]
    return payload["results"]["results"]


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        (f"SELECT LOOKUP(c, 'country'), LOOKUP(c, 'country', 'none') FROM {FRUIT} ORDER BY n",
         [["Germany", "Germany"], [None, "none"], [None, "none"]]),
        (f"SELECT LOOKUP(n, 'country', 'none') FROM {FRUIT} ORDER BY n", [["none"]] * 3),
        ("SELECT k, v FROM lookup.country ORDER BY k", [["de", "Germany"], ["fr", "France"], ["xx", None]]),
        (f"SELECT c, v FROM {FRUIT} LEFT JOIN lookup.country ON c = k ORDER BY n",
         [["de", "Germany"], ["zz", None], [None, None]]),
        (f"SELECT LOOKUP(c, 'country') AS name, COUNT(*) FROM {FRUIT} GROUP BY 1 ORDER BY 2",
         [["Germany", 1], [None, 2]]),
        (f"SELECT n FROM {FRUIT} WHERE LOOKUP(c, 'country') = 'Germany'", [[1]]),
        ("SELECT LOOKUP('fr', 'country')", [["France"]]),
    ],
)  # fmt: skip
def test_statements_read_lookups(engine: Engine, sql: str, answer: Any) -> None:
    assert rows(engine, sql) == answer


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        (f"SELECT LOOKUP(c, 'nowhere') FROM {FRUIT}", r"^Lookup \[nowhere\] not found"),
        ("SELECT * FROM lookup.nowhere", "Object 'nowhere' not found within 'lookup'"),
        (f"SELECT LOOKUP(c, c) FROM {FRUIT}", "LOOKUP"),
        (f"SELECT LOOKUP(c) FROM {FRUIT}", "LOOKUP"),
    ],
)
def test_unknown_lookups_are_refused(engine: Engine, sql: str, text: str) -> None:
    with pytest.raises(DruidException, match=text):
        engine.prepare(sql)


def test_a_statement_names_the_lookups_it_reads(engine: Engine) -> None:
    prepared = engine.prepare(f"SELECT LOOKUP(c, 'country'), v FROM {FRUIT} LEFT JOIN lookup.big ON c = k")
    assert prepared.bound.lookups == {"big", "country"}
    assert task_context(prepared.bound.lookups)["lookupsToLoad"] == ["big", "country"]
    assert task_context(()) == {
        "lookupLoadingMode": "NONE", "useLineageBasedSegmentAllocation": True, "forceTimeChunkLock": True
    }  # fmt: skip


# -- where they come from ----------------------------------------------------------------------------------------------


def test_the_library_takes_them(tmp_path: Path) -> None:
    done = msq.run("SELECT LOOKUP('de', 'country') AS name", data_dir=tmp_path, lookups={"country": COUNTRIES})
    assert done.rows is not None and done.rows.to_pylist() == [{"name": "Germany"}]
    with pytest.raises(LookupSpecError, match=r"Lookup \[country\]: "):
        msq.run("SELECT 1", data_dir=tmp_path, lookups={"country": 7})


@pytest.mark.parametrize(("suffix", "text"), [("json", json.dumps({"c": {"a": "b"}})), ("toml", '[c]\na = "b"\n')])
def test_a_file_of_lookups(tmp_path: Path, suffix: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file, statement = tmp_path / f"lookups.{suffix}", tmp_path / "q.sql"
    file.write_text(text)
    statement.write_text("SELECT LOOKUP('a', 'c') AS x")
    assert run_command(str(statement), tmp_path / "d", [], "1GiB", 1, None, "csv", True, file) == exits.SUCCESS
    assert capsys.readouterr().out.split() == ["x", "b"]
    assert plan_command(str(statement), tmp_path / "d", [], False, file) == exits.SUCCESS


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("gone.json", None, "Cannot read lookups file"),
        ("bad.json", "{", "is not JSON"),
        ("bad.toml", "=", "is not TOML"),
        ("list.json", "[]", "must be an object of lookups by name"),
    ],
)
def test_a_bad_file_of_lookups_is_named(tmp_path: Path, name: str, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=told):
        read_lookups(tmp_path / name)
    statement = tmp_path / "q.sql"
    statement.write_text("SELECT 1")
    done = run_command(str(statement), tmp_path / "d", [], "1GiB", 1, None, "csv", True, tmp_path / name)
    assert done == exits.USAGE
