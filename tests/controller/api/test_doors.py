"""The door: methods, media types, limits, users, foreign pages; and the process' own endpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.api.serve import ServeError, open_server
from controller.api.server import ServerSettings
from controller.api.users import User
from controller.engine import Engine, EngineSettings
from msq.faults import DruidException
from msq.sources.base import SourceAccess
from tests.controller.api.conftest import Client, Serving


def test_unknown_paths_and_methods(client: Client) -> None:
    answer = client.get("/druid/nope")
    assert answer.status_code == 404 and "[/druid/nope]" in answer.json()["error"]
    answer = client.http.request("PUT", "/druid/v2/sql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert client.post("/druid/indexer/v1/taskStatus").status_code == 415
    assert client.http.head("/status").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/status", "/status/properties", "/status/selfDiscovered/status", "/proxy/enabled", "/druid/v2/sql/engines",
        "/druid/v2/sql/task/enabled", "/druid/v2/sql/statements/enabled", "/druid/coordinator/v1/isLeader",
        "/druid/coordinator/v1/rules", "/druid/coordinator/v1/config", "/druid/coordinator/v1/config/cloneStatus",
        "/druid/coordinator/v1/loadqueue?simple", "/druid/coordinator/v1/servers?simple", "/druid/indexer/v1/workers",
        "/druid/indexer/v1/supervisor", "/druid/indexer/v1/compaction/config/datasources", "/proxy/overlord/status",
        "/druid/indexer/v1/compaction/status/datasources", "/druid/coordinator/v1/cluster", "/druid/v2/sql/queries",
        "/druid/coordinator/v1/tiers?simple", "/druid/coordinator/v1/intervals", "/druid/indexer/v1/worker",
        "/druid/coordinator/v1/metadata/segments?includeOvershadowedStatus", "/druid/router/v1/brokers",
    ],
)  # fmt: skip
def test_what_consoles_read(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    answer.json()


def test_configuration_keeps_what_is_left_out(client: Client) -> None:
    path = "/druid/coordinator/v1/config"
    answer = client.post(path, {"maxSegmentsToMove": 7, "unknownKey": 1})
    assert (answer.status_code, answer.content) == (200, b"")
    config = client.get(path).json()
    assert (config["maxSegmentsToMove"], config["replicantLifetime"], "unknownKey" in config) == (7, 15, False)
    assert client.post(path, {"maxSegmentsToMove": "many"}).status_code == 400
    assert client.get(f"{path}/history?count=1").json()[0]["type"] == "coordinator.config"
    assert client.get(f"{path}/history?count=0").status_code == 400


def test_foreign_pages_and_names_are_refused(client: Client) -> None:
    body = {"query": "SELECT 1"}
    assert client.post("/druid/v2/sql", body, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/druid/v2/sql", body, headers={"Host": "evil.example:80"}).status_code == 403
    own = str(client.http.base_url).rstrip("/")
    assert client.post("/druid/v2/sql", body, headers={"Origin": own}).status_code == 200


def test_json_that_nests_too_deep(client: Client) -> None:
    body = b'{"query":"SELECT 1","context":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"
    answer = client.http.post("/druid/v2/sql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "too deep" in answer.json()["errorMessage"]


def test_users_limits_and_console(tmp_path: Path) -> None:
    console = tmp_path / "console"
    (console / "public").mkdir(parents=True)
    (console / "unified-console.html").write_text("<html>")
    (console / "public" / "a.js").write_text("1")
    (tmp_path / "secret").write_text("no")
    settings = {"users": {"ann": User("ann", "pass:word")}, "console_dir": console, "max_body_bytes": 1_000}
    with Serving(tmp_path / "data", **settings) as client:
        assert client.get("/status/health").status_code == 200
        refused = client.get("/status")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="msq"')
        assert client.get("/status", auth=("ann", "wrong")).status_code == 401
        assert client.get("/status", auth=("bob", "")).status_code == 401
        assert client.get("/status", auth=("ann", "pass:word")).status_code == 200
        big = {"query": "SELECT 1" + " " * 2_000}
        assert client.post("/druid/v2/sql", big, auth=("ann", "pass:word")).status_code == 413
        assert client.get("/").headers["location"] == "/unified-console.html"
        assert client.get("/public/a.js").headers["content-type"].startswith(("text/javascript", "application/j"))
        assert client.get("/public/%2e%2e/%2e%2e/secret").status_code == 404


def test_listening_beyond_this_machine_needs_users(tmp_path: Path) -> None:
    engine = EngineSettings(data_dir=tmp_path)
    with pytest.raises(ServeError, match="--password-file"):
        open_server(ServerSettings(host="0.0.0.0", port=0), engine)
    with pytest.raises(ServeError, match="too few"):
        open_server(ServerSettings(port=0, task_slots=1), engine)


def test_folders_that_statements_may_touch(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    for folder in (inside, outside):
        (folder / "a.json").write_text('{"a":1}\n')
    (inside / "link.json").symlink_to(outside / "a.json")
    engine = EngineSettings(
        data_dir=tmp_path / "data", access=SourceAccess(folders=(str(inside),)), export_folders=(inside / "exports",)
    )

    def read(file: Path) -> str:
        source = json.dumps({"type": "local", "files": [str(file)]})
        return f"""SELECT a FROM TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND (a BIGINT)"""

    def write(folder: Path) -> str:
        return f"INSERT INTO EXTERN(local(exportPath => '{folder}')) AS CSV SELECT 1 AS a"

    with Engine(engine) as opened:
        assert opened.execute(read(inside / "a.json")).rows == [[1]]
        for file in (outside / "a.json", inside / ".." / "out" / "a.json", inside / "link.json"):
            outcome = opened.execute(read(file))
            assert outcome.status == "FAILED" and outcome.fault is not None
            assert "outside the folders" in outcome.fault["errorMessage"]
        with pytest.raises(DruidException, match="may write to"):
            opened.prepare(write(outside / "x"))
        assert opened.execute(write(inside / "exports" / "x")).status == "SUCCESS"
