"""Lookups over HTTP: configured, loaded at once, read by LOOKUP, kept over a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.engine import Engine, EngineSettings
from controller.lookups import LookupStore
from tests.controller.api.conftest import Client, Serving

BASE = "/druid/coordinator/v1/lookups"
CONFIG = f"{BASE}/config"


def spec(version: str | None = "v1", **entries: str) -> dict[str, Any]:
    return {"version": version, "lookupExtractorFactory": {"type": "map", "map": entries}}


@pytest.fixture
def own(client: Client, request: pytest.FixtureRequest) -> str:
    """The path of a lookup of the test's own."""
    return f"{CONFIG}/__default/{request.node.name[5:].replace('[', '_').strip(']')}"


def named(own: str) -> str:
    return own.rsplit("/", 1)[1]


def test_a_lookup_is_configured_read_changed_and_dropped(client: Client, own: str) -> None:
    name = named(own)
    ask = f"SELECT LOOKUP(x, '{name}') FROM (VALUES ('a'), ('b')) AS t(x)"
    assert client.get(own).status_code == 404
    answer = client.post(own, spec(a="one"))
    assert (answer.status_code, answer.content) == (202, b"")
    assert client.get(own).json() == spec(a="one")
    assert client.rows(ask) == [["one"], [None]]
    assert client.rows(f'SELECT k, v FROM lookup."{name}"') == [["a", "one"]]
    assert client.post(own, spec("v1", a="uno")).status_code == 400
    assert client.post(own, spec("v0", a="uno")).status_code == 400
    assert client.post(own, spec("v2", b="due")).status_code == 202
    assert client.rows(ask) == [[None], ["due"]]
    assert client.delete(own).status_code == 202
    assert client.delete(own).status_code == 404
    assert client.sql(ask).status_code == 400


def test_lists_and_states(client: Client, own: str) -> None:
    name = named(own)
    answer = client.post(CONFIG, {"__default": {name: spec(a="one")}, "elsewhere": {"other": spec(b="two")}})
    assert answer.status_code == 202
    assert set(client.get(CONFIG).json()) >= {"__default", "elsewhere"}
    assert "__default" in client.get(f"{CONFIG}?discover=true").json()
    assert client.get(f"{CONFIG}/all").json()["elsewhere"] == {"other": spec(b="two")}
    assert client.get(f"{CONFIG}/elsewhere").json() == ["other"]
    assert client.get(f"{CONFIG}/elsewhere?detailed=true").json() == {"other": spec(b="two")}
    assert client.get(f"{CONFIG}/nowhere").status_code == 404
    assert client.get(f"{BASE}/status").json()["__default"][name] == {"loaded": True}
    detailed = {"loaded": True, "pendingNodes": []}
    assert client.get(f"{BASE}/status/__default?detailed=true").json()[name] == detailed
    assert client.get(f"{BASE}/status/__default/{name}").json() == {"loaded": True}
    nodes = client.get(f"{BASE}/nodeStatus").json()
    (node,) = nodes["__default"]
    assert nodes["elsewhere"] == {} and nodes["__default"][node]["current"][name] == spec(a="one")
    assert client.get(f"{BASE}/nodeStatus/__default/{node}").json()["toLoad"] == {}
    assert client.get(f"{BASE}/nodeStatus/__default/nobody:1").status_code == 404
    assert client.get(f"/druid/listen/v1/lookups/{name}").json() == spec(a="one")
    look = f"/druid/v1/lookups/introspect/{name}"
    found = [client.get(look + more).json() for more in ("", "/keys", "/values", "/version")]
    assert found == [{"a": "one"}, ["a"], ["one"], {"version": "v1"}]
    assert client.sql("SELECT LOOKUP('b', 'other')").status_code == 400
    assert client.delete(f"{CONFIG}/elsewhere").status_code == 202
    assert client.delete(f"{CONFIG}/elsewhere").status_code == 404
    assert client.delete(own).status_code == 202


@pytest.mark.parametrize("body", [
    [], {}, {"version": "v1"}, {"lookupExtractorFactory": 3}, {"version": 1, "lookupExtractorFactory": {"type": "map"}},
    spec() | {"lookupExtractorFactory": {"type": "odd"}}, spec() | {"lookupExtractorFactory": {"type": "map"}},
    {"version": "v1", "lookupExtractorFactory": {"type": "cachedNamespace", "extractionNamespace": {"type": "jdbc"}}},
])  # fmt: skip
def test_what_is_no_lookup_changes_nothing(client: Client, own: str, body: Any) -> None:
    answer = client.post(own, body)
    assert answer.status_code == 400 and answer.json()["error"], answer.text
    assert client.get(own).status_code == 404
    both = client.post(CONFIG, {"__default": {"good_one": spec(a="one"), "bad_one": body}})
    assert both.status_code == 400
    assert client.get(f"{CONFIG}/__default/good_one").status_code == 404
    assert client.get("/druid/listen/v1/lookups/good_one").status_code == 404


def test_lookups_outlive_a_restart_beside_those_of_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "cities.csv"
    file.write_text("zh,Zürich\n")
    listed = {"type": "csv", "columns": ["k", "v"], "keyColumn": "k", "valueColumn": "v"}
    namespace = {"type": "uri", "uri": file.as_uri(), "namespaceParseSpec": {"format": "csv", **listed}}
    cities = {"lookupExtractorFactory": {"type": "cachedNamespace", "extractionNamespace": namespace}, "version": "v1"}
    with Serving(tmp_path / "data") as client:
        assert client.get(CONFIG).status_code == 404
        assert client.get(f"{CONFIG}?discover=true").json() == ["__default"]
        assert client.post(CONFIG, {}).json() == {}
        assert client.get(CONFIG).json() == [] and client.get(f"{BASE}/status").json() == {}
        assert client.post(f"{CONFIG}/__default/kept", spec(a="one")).status_code == 202
        assert client.post(f"{CONFIG}/__default/cities", cities).status_code == 202
        history = client.rows("SELECT LOOKUP('zh', 'cities'), LOOKUP('a', 'kept')")
        assert history == [["Zürich", "one"]]
    settings = EngineSettings(
        tmp_path / "data", lookups=LookupStore({"kept": {"a": "of the settings"}, "own": {"b": "2"}})
    )
    with Engine(settings) as engine:
        report = engine.execute("SELECT LOOKUP('zh', 'cities'), LOOKUP('a', 'kept'), LOOKUP('b', 'own')").report
        assert report["multiStageQuery"]["payload"]["results"]["results"] == [["Zürich", "of the settings", "2"]]
    file.unlink()
    with Serving(tmp_path / "data") as client:
        assert client.get(f"{BASE}/status/__default").json() == {"kept": {"loaded": True}, "cities": {"loaded": False}}
        (state,) = client.get(f"{BASE}/nodeStatus/__default").json().values()
        assert json.dumps(state["toLoad"]["cities"], sort_keys=True) == json.dumps(cities, sort_keys=True)
