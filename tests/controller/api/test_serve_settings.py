"""Settings of `msq serve`: options, variables and file say the same, and what a listener bars by default."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller import interactive
from controller.api.serve import ServeError, open_server
from controller.cli import exits
from controller.cli.app import app
from controller.cli.serve import engine_settings, server_settings
from controller.cli.serve_settings import (
    DECLARED,
    ServeSettings,
    SettingError,
    flags_of,
    key_of,
    read_settings,
    unknown_variables,
    variable_of,
)
from controller.engine import Engine, EngineSettings
from controller.native.session import Session
from msq.sources.base import parse_input_source
from tests.controller.api.conftest import Serving

VALUES: dict[str, tuple[Any, Any]] = {
    "host": ("::1", "::1"), "port": (9_000, 9_000), "data_dir": ("/d", Path("/d")), "workers": ("process", "process"),
    "task_slots": (3, 3), "memory": ("1GiB", 1 << 30), "threads": (2, 2), "password_file": ("/p", Path("/p")),
    "lookups": ("/l.json", Path("/l.json")), "console_dir": ("/c", Path("/c")), "storage_deep": ("s3://b/segments", "s3://b/segments"),
    "storage_durable": ("/durable", "/durable"), "s3_endpoint": ("http://127.0.0.1:9", "http://127.0.0.1:9"),
    "s3_region": ("eu-west-1", "eu-west-1"), "google_endpoint": ("http://g", "http://g"),
    "azure_account": ("acc", "acc"), "azure_endpoint": ("http://a", "http://a"),
    "access_folders": (["/a", "/b"], (Path("/a"), Path("/b"))),
    "access_exports": (["/x", "s3://b/out"], ("/x", "s3://b/out")),
    "access_hosts": (["a.org", "*.b.org:81"], ("a.org", "*.b.org:81")),
    "access_databases": (["postgresql://h:1/d"], ("postgresql://h:1/d",)),
    "access_schemes": (["https"], ("https",)), "access_headers": (["X-Key"], ("X-Key",)),
    "limits_body": ("2KiB", 2_048), "limits_json_depth": (9, 9), "limits_rows": (5, 5), "limits_time": (700, 700),
    "limits_queries": (2, 2),
}  # fmt: skip
"""By setting: what is given, and what it means."""


def toml(value: Any) -> str:
    return repr(value).replace("'", '"')


def test_every_setting_has_a_value_here() -> None:
    assert list(VALUES) == list(DECLARED)


@pytest.mark.parametrize("name", VALUES)
def test_option_variable_and_file_say_the_same(name: str, tmp_path: Path) -> None:
    given, meant = VALUES[name]
    file = tmp_path / "msq.toml"
    file.write_text(f"{key_of(name)} = {toml(given)}")
    items = [str(v) for v in given] if isinstance(given, list) else str(given)
    expected = ServeSettings(**{name: meant})
    assert expected != ServeSettings()
    assert read_settings({"settings": str(file)}, {}) == expected
    assert read_settings({}, {"MSQ_SETTINGS": str(file)}) == expected
    assert read_settings({}, {variable_of(name): ",".join(items) if isinstance(items, list) else items}) == expected
    assert read_settings({name: items}, {}) == expected


def test_the_nearer_one_wins(tmp_path: Path) -> None:
    file = tmp_path / "msq.toml"
    file.write_text(
        'port = 1\nthreads = 1\ntask_slots = 4\n[access]\nfolders = ["in"]\nhosts = []\n[limits]\nrows = 7\n'
    )
    found = read_settings(
        {"settings": str(file), "port": "3", "access_folders": []}, {"MSQ_PORT": "2", "MSQ_THREADS": "2"}
    )
    assert (found.port, found.threads, found.task_slots, found.limits_rows) == (3, 2, 4, 7)
    assert (found.access_folders, found.access_hosts) == ((tmp_path / "in",), ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prot = 1", r"unknown key \[prot\]: did you mean \[port\]\?"),
        ("[access]\nfolder = []", r"unknown key \[access.folder\]: did you mean \[access.folders\]"),
        ("[qqqq]\nport = 1", r"unknown key \[qqqq\]: known are \[host, port,"),
        ("port = 70000", r"key \[port\] of .*: \[70000\] must be 0 to 65535"),
        ("port = true", r"key \[port\] of .* takes a text or number, not \[True\]"),
        ("port = [1]", r"key \[port\] of"),
        ("[access]\nhosts = [[1]]", r"key \[access.hosts\] of .* takes a list of texts"),
        ('workers = "fiber"', r"\[fiber\] must be one of \[thread, process\]"),
        ('memory = "much"', r"key \[memory\].*\[much\]"),
        ("port =", "is not TOML"),
    ],
)
def test_what_a_file_may_not_say(text: str, problem: str, tmp_path: Path) -> None:
    file = tmp_path / "msq.toml"
    file.write_text(text)
    with pytest.raises(SettingError, match=problem):
        read_settings({"settings": str(file)}, {})


def test_where_a_bad_value_stands_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"variable MSQ_PORT: \[x\] is not a whole number"):
        read_settings({}, {"MSQ_PORT": "x"})
    with pytest.raises(SettingError, match=r"option --task-slots: \[1\] must be 2 or more"):
        read_settings({"task_slots": "1"}, {})
    with pytest.raises(SettingError, match="Cannot read settings file"):
        read_settings({"settings": str(tmp_path / "none")}, {})
    assert unknown_variables({"MSQ_PROT": "1", "MSQ_PORT": "1", "MSQ_SETTINGS": "x", "HOME": "/"}) == ["MSQ_PROT"]


def test_the_command_line_has_an_option_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def hear(options: dict[str, Any]) -> int:
        seen.update(options)
        return 0

    monkeypatch.setattr("controller.cli.serve.serve_command", hear)
    words = ["serve"]
    expected: dict[str, Any] = {"settings": None}
    for name, (given, _) in VALUES.items():
        items = given if isinstance(given, list) else [given]
        words += [word for item in items for word in (flags_of(name)[0], str(item))]
        expected[name] = items if isinstance(given, list) else str(given)
    assert CliRunner().invoke(app, words).exit_code == 0
    assert seen == expected


def test_listening_beyond_this_machine(tmp_path: Path) -> None:
    open_to_all = ServeSettings(host="0.0.0.0", port=0, data_dir=tmp_path / "data")
    with pytest.raises(ServeError, match="--password-file"):
        open_server(server_settings(open_to_all), engine_settings(open_to_all))
    answer = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "--data-dir", str(tmp_path / "data")])
    assert answer.exit_code == exits.USAGE and "password" in answer.output
    assert not (tmp_path / "data").exists()


def test_what_inputs_may_reach_by_default() -> None:
    local, beyond = engine_settings(ServeSettings()), engine_settings(ServeSettings(host="0.0.0.0"))
    assert (local.access.folders, local.access.hosts, local.access.environment, local.export_folders) == (
        None, None, True, None
    )  # fmt: skip
    assert (beyond.access.folders, beyond.access.hosts, beyond.access.environment, beyond.export_folders) == (
        (), (), False, ()
    )  # fmt: skip
    named = ServeSettings(host="0.0.0.0", access_folders=(Path("/in"),), access_hosts=("*",), access_headers=("X-Key",))
    access = engine_settings(named).access
    assert (access.folders, access.hosts, access.headers) == (("/in",), None, ("x-key",))


def test_places_of_storage() -> None:
    given = ServeSettings(storage_deep="s3://b/a/c", storage_durable="s3://b/d", s3_endpoint="http://h:9")
    made = engine_settings(given)
    assert made.deep_storage == {"type": "s3", "bucket": "b", "baseKey": "a/c"}
    assert (made.durable_storage, made.access.stores) == ("s3://b/d", {"s3": {"endpointUrl": "http://h:9"}})
    assert engine_settings(ServeSettings(storage_deep="/deep")).deep_storage == {
        "type": "local", "storageDirectory": "/deep",
    }  # fmt: skip
    for wrong in ("s3://", "gs://b/a"):
        with pytest.raises(ServeError, match="neither a folder nor s3://bucket/prefix"):
            engine_settings(ServeSettings(storage_deep=wrong))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ({"type": "local", "files": ["/etc/hostname"]}, "outside the folders"),
        ({"type": "local", "baseDir": "/etc", "filter": "hostname"}, "outside the folders"),
        ({"type": "http", "uris": ["http://localhost:1/x"]}, "is not one this server may read from"),
        ({"type": "s3", "uris": ["s3://bucket/x"]}, "may read from"),
    ],
)
def test_nothing_is_read_that_was_not_named(source: dict[str, Any], problem: str) -> None:
    access = engine_settings(ServeSettings(host="0.0.0.0")).access
    with pytest.raises(Exception, match=problem):
        parse_input_source(source).list(access)


def test_limits_of_interactive_queries(tmp_path: Path) -> None:
    with Serving(tmp_path, max_rows=3, max_json_depth=5, max_query_ms=60_000) as client:
        numbers = "SELECT * FROM (VALUES (1), (2), (3){}) AS v(n)"
        assert len(client.rows(numbers.format(""))) == 3
        answer = client.sql(numbers.format(", (4)"))
        assert answer.status_code == 400 and "more than [3] rows" in answer.json()["errorMessage"]
        assert client.rows(numbers.format(", (4)") + " LIMIT 2") == [[1], [2]]
        deep = client.post("/druid/v2/sql", {"query": "SELECT 1", "context": {"a": [[[[1]]]]}})
        assert deep.status_code == 400 and "takes [5] levels" in deep.json()["errorMessage"]
        flat = client.post("/druid/v2/sql", {"query": "SELECT 1", "context": {"a": [[1], [2], [3], [4], [5], [6]]}})
        assert flat.status_code == 200, flat.text


def test_limits_of_native_queries(tmp_path: Path) -> None:
    inline = {"type": "inline", "columnNames": ["n"], "columnTypes": ["LONG"], "rows": [[n] for n in range(4)]}
    body = {"queryType": "scan", "dataSource": inline, "intervals": "2024/2025", "columns": ["n"]}
    with Serving(tmp_path, max_rows=3, max_query_ms=60_000) as client:
        answer = client.post("/druid/v2", body)
        assert answer.status_code == 400 and "more than [3] rows" in answer.json()["errorMessage"]
        (found,) = client.post("/druid/v2", {**body, "limit": 3}).json()
        assert found["events"] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_time_limit_of_native_queries(tmp_path: Path) -> None:
    with Engine(EngineSettings(data_dir=tmp_path, memory_bytes=1 << 28)) as engine:

        def timeout(**context: Any) -> Any:
            return Session(engine, "q", context, lambda c: nullcontext(), None, 700).settings.value("timeout")

        assert timeout() == timeout(timeout=5_000) == timeout(timeout=0) == 700
        assert timeout(timeout=300) == timeout(timeout="300") == 300


def test_time_limit(tmp_path: Path) -> None:
    with Engine(EngineSettings(data_dir=tmp_path, memory_bytes=1 << 28)) as engine:

        def timeout(sql: str, **context: Any) -> Any:
            return interactive.prepare(engine, sql, context, (), None, 700).context.value("timeout")

        assert timeout("SELECT 1") == timeout("SELECT 1", timeout=5_000) == timeout("SELECT 1", timeout=0) == 700
        assert timeout("SET timeout = 300; SELECT 1") == timeout("SELECT 1", timeout="300") == 300
