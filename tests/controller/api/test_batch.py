"""Native batch tasks: index_parallel, index and compact, run as the statements that do the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.controller.api.conftest import Client, Serving, day_table

TASK = "/druid/indexer/v1/task"
SERVED = "/druid/coordinator/v1/datasources"
META = "/druid/coordinator/v1/metadata/datasources"
ROWS = [
    {"t": "2024-01-01T00:10:00Z", "page": "a", "tags": ["x", "y"], "n": 1, "x": 0.5},
    {"t": "2024-01-01T00:20:00Z", "page": "a", "tags": ["x", "y"], "n": 2, "x": 1.5},
    {"t": "2024-01-02T05:00:00Z", "page": "b", "tags": ["z"], "n": 3, "x": 2.5},
    {"t": "nonsense", "page": "c", "tags": [], "n": 4, "x": 0},
]


def spec(
    table: str, rows: list[dict[str, Any]] | None = None, *, schema: dict[str, Any] | None = None,
    io: dict[str, Any] | None = None, tuning: dict[str, Any] | None = None, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """An index_parallel task over inline JSON."""
    data = "\n".join(json.dumps(row) for row in (ROWS if rows is None else rows))
    return {
        "type": "index_parallel",
        "spec": {
            "dataSchema": {
                "dataSource": table, "timestampSpec": {"column": "t", "format": "iso"},
                "dimensionsSpec": {"dimensions": ["page", {"type": "long", "name": "n"}]},
                "granularitySpec": {"segmentGranularity": "DAY", "rollup": False}, **(schema or {}),
            },
            "ioConfig": {
                "type": "index_parallel", "inputSource": {"type": "inline", "data": data},
                "inputFormat": {"type": "json"}, **(io or {}),
            },
            "tuningConfig": {"type": "index_parallel", **(tuning or {})},
        },
        **more,
    }  # fmt: skip


def run(client: Client, body: dict[str, Any]) -> str:
    answer = client.post(TASK, body)
    assert answer.status_code == 200, answer.text
    task = str(answer.json()["task"])
    status = client.wait(task)
    assert status["status"] == "SUCCESS", status
    return task


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return "b_" + request.node.name[5:].split("[")[0]


def intervals(client: Client, table: str) -> list[str]:
    """Starts of the served segments."""
    return [s["interval"][:10] for s in client.get(f"{SERVED}/{table}/segments?full").json()]


def test_rows_as_they_are(client: Client, name: str, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("\n".join(map(json.dumps, ROWS)))
    local = {"inputSource": {"type": "local", "baseDir": str(tmp_path), "filter": "*.json"}}
    task = run(client, spec(name, io=local, id=f"index_{name}"))
    assert task == f"index_{name}"
    assert client.rows(f"SELECT __time, page, n FROM {name} ORDER BY __time") == [
        ["2024-01-01T00:10:00.000Z", "a", 1], ["2024-01-01T00:20:00.000Z", "a", 2],
        ["2024-01-02T05:00:00.000Z", "b", 3],
    ]  # fmt: skip
    status = client.state(task)
    assert (status["type"], status["dataSource"]) == ("index_parallel", name)
    payload = client.get(f"{TASK}/{task}").json()["payload"]
    assert payload["spec"]["dataSchema"]["dataSource"] == name and payload["groupId"] == task
    report = client.get(f"{TASK}/{task}/reports").json()
    stats = report["ingestionStatsAndErrors"]["payload"]
    assert stats["ingestionState"] == "COMPLETED" and report["multiStageQuery"]["taskId"] == task
    meters = stats["rowStats"]["buildSegments"]
    assert (meters["processed"], meters["thrownAway"]) == (3, 1)
    assert len(client.get(f"{TASK}/{task}/segments").json()) == 2
    assert client.post(TASK, spec(name, id=f"index_{name}")).status_code == 400


def test_rolled_up(client: Client, name: str) -> None:
    metrics = [
        {"type": "count", "name": "rows"}, {"type": "longSum", "name": "n", "fieldName": "n"},
        {"type": "doubleMax", "name": "top", "fieldName": "x"}, {"type": "floatSum", "name": "f", "fieldName": "x"},
        {"type": "thetaSketch", "name": "uniques", "fieldName": "n"},
    ]  # fmt: skip
    grains = {"segmentGranularity": "MONTH", "queryGranularity": "hour"}
    schema = {"dimensionsSpec": {"dimensions": ["page"]}, "metricsSpec": metrics, "granularitySpec": grains}
    run(client, spec(name, schema=schema))
    assert client.rows(f'SELECT __time, page, "rows", n, top, f FROM {name} ORDER BY __time') == [
        ["2024-01-01T00:00:00.000Z", "a", 2, 3, 1.5, 2.0], ["2024-01-02T05:00:00.000Z", "b", 1, 3, 2.5, 2.5],
    ]  # fmt: skip
    assert client.rows(f"SELECT APPROX_COUNT_DISTINCT_DS_THETA(uniques) FROM {name}") == [[3]]


def test_only_chunks_with_rows_are_replaced(client: Client, name: str) -> None:
    run(client, spec(name))
    later = [{"t": "2024-01-02T09:00:00Z", "page": "new", "n": 9}, {"t": "2024-01-05T00:00:00Z", "page": "out", "n": 9}]
    grains = {"segmentGranularity": "DAY", "rollup": False, "intervals": ["2024-01-01/2024-01-04"]}
    run(client, spec(name, later, schema={"granularitySpec": grains}))
    assert sorted(client.rows(f"SELECT page FROM {name}")) == [["a"], ["a"], ["new"]]
    run(client, spec(name, later, schema={"granularitySpec": grains}, io={"dropExisting": True}))
    assert client.rows(f"SELECT page FROM {name}") == [["new"]]
    run(client, spec(name, later[:1], io={"appendToExisting": True}))
    assert client.rows(f"SELECT page FROM {name}") == [["new"], ["new"]]


@pytest.mark.parametrize(("form", "value"), [
    ("auto", 1704067200000), ("auto", "2024-01-01"), ("millis", 1704067200000), ("posix", 1704067200),
    ("nano", 1704067200000000000), ("micro", 1704067200000000), ("yyyy/MM/dd", "2024/01/01"), ("iso", None),
])  # fmt: skip
def test_times(client: Client, name: str, form: str, value: Any) -> None:
    time = {"column": "t", "format": form, "missingValue": "2024-01-01"}
    run(client, spec(name, [{"t": value, "page": "p", "n": 1}], schema={"timestampSpec": time}))
    assert client.rows(f"SELECT __time, page FROM {name}") == [["2024-01-01T00:00:00.000Z", "p"]]


def test_kinds_of_columns_and_ranges(client: Client, name: str) -> None:
    dimensions = [
        {"name": "page"}, {"name": "tags", "type": "string"}, {"name": "n", "type": "auto", "castToType": "LONG"},
        {"name": "x", "type": "float"}, {"name": "j", "type": "json"},
        {"name": "l", "type": "auto", "castToType": "ARRAY<LONG>"},
    ]  # fmt: skip
    rows = [
        {
            "t": f"2024-01-01T0{n}:00:00Z", "page": f"p{n}", "tags": ["b", "c"], "n": n, "x": n / 2, "j": {"k": n},
            "l": [n, 1],
        }
        for n in range(4)
    ]  # fmt: skip
    ranged = {"partitionsSpec": {"type": "range", "partitionDimensions": ["page"], "targetRowsPerSegment": 2}}
    run(client, spec(name, rows, schema={"dimensionsSpec": {"dimensions": dimensions}}, tuning=ranged))
    query = f"SELECT page, MV_LENGTH(tags), n, x, JSON_VALUE(j, '$.k' RETURNING BIGINT), l FROM {name}"
    found = client.rows(query, context={"sqlStringifyArrays": False})
    assert sorted(found) == [[f"p{n}", 2, n, n / 2, n, [n, 1]] for n in range(4)]
    specs = [s["shardSpec"] for s in client.get(f"{META}/{name}/segments?full").json()]
    assert {s["type"] for s in specs} == {"range"} and specs[0]["dimensions"] == ["page"]


@pytest.mark.parametrize(("change", "names"), [
    ({"schema": {"dimensionsSpec": {"useSchemaDiscovery": True}}}, "[dimensionsSpec.useSchemaDiscovery]"),
    ({"schema": {"dimensionsSpec": {}}}, "[dimensionsSpec]"),
    ({"schema": {"dimensionsSpec": {"dimensions": [{"name": "g", "type": "spatial"}]}}}, "[dimensions.g.type] spatial"),
    ({"schema": {"dimensionsSpec": {"dimensions": [{"name": "g", "type": "auto"}]}}}, "[dimensions.g]"),
    ({"schema": {"transformSpec": {"filter": {"type": "true"}}}}, "[transformSpec.filter]"),
    ({"schema": {"metricsSpec": [{"type": "hyperUnique", "name": "u", "fieldName": "n"}]}}, "[metricsSpec.u.type]"),
    ({"schema": {"granularitySpec": {"type": "arbitrary"}}}, "[granularitySpec.type] arbitrary"),
    ({"schema": {"timestampSpec": {"column": "t", "format": "ruby"}}}, "[timestampSpec.format] ruby"),
    ({"tuning": {"partitionsSpec": {"type": "hashed"}}}, "[partitionsSpec.type] hashed"),
    ({"tuning": {"maxParseExceptions": 7}}, "[tuningConfig.maxParseExceptions]"),
    ({"tuning": {"somethingNew": 7}}, "[tuningConfig.somethingNew]"),
    ({"io": {"firehose": {"type": "local"}}}, "[ioConfig.firehose]"),
])  # fmt: skip
def test_what_no_statement_says_is_refused_by_name(client: Client, change: dict[str, Any], names: str) -> None:
    answer = client.post(TASK, spec("refused", **change))
    assert answer.status_code == 501 and names in answer.json()["error"], answer.text


@pytest.mark.parametrize("change", [
    {"spec": None}, {"spec": {}}, {"spec": {"dataSchema": [], "ioConfig": {}}}, {"id": "a/b"},
    {"spec": spec("x", io={"inputSource": None})["spec"]},
    {"spec": spec("x", io={"inputSource": {"type": "odd"}})["spec"]},
    {"spec": spec("x", io={"inputFormat": None})["spec"]}, {"spec": spec("x", io={"dropExisting": True})["spec"]},
    {"spec": spec("x", schema={"granularitySpec": {"segmentGranularity": "SOON"}})["spec"]},
    {"spec": spec("x", schema={"granularitySpec": {"intervals": ["soon"]}})["spec"]},
    {"spec": spec("x", schema={"metricsSpec": [{"type": "count", "name": "n"}]})["spec"]},
    {"spec": spec("x", tuning={"maxNumConcurrentSubTasks": 0})["spec"]}, {"spec": spec("", io={})["spec"]},
    {"spec": spec("x", schema={"dimensionsSpec": {"dimensions": [3]}})["spec"]},
])  # fmt: skip
def test_bad_specs(client: Client, change: dict[str, Any]) -> None:
    answer = client.post(TASK, {**spec("x"), **change})
    assert answer.status_code == 400 and answer.json()["error"], answer.text


def test_strict_about_rows_without_time(client: Client, name: str) -> None:
    answer = client.post(TASK, spec(name, tuning={"maxParseExceptions": 0}))
    status = client.wait(answer.json()["task"])
    assert status["status"] == "FAILED" and status["errorMsg"].startswith("InsertTimeNull")
    report = client.get(f"{TASK}/{status['id']}/reports").json()["ingestionStatsAndErrors"]["payload"]
    assert report["ingestionState"] == "FAILED" and report["errorMsg"]


# -- compact -----------------------------------------------------------------------------------------------------------


def compact(table: str, interval: str = "2024-01-01/2024-02-01", **more: Any) -> dict[str, Any]:
    inner = {"type": "interval", "interval": interval}
    return {"type": "compact", "dataSource": table, "ioConfig": {"type": "compact", "inputSpec": inner}, **more}


def test_compaction_keeps_every_row(client: Client, name: str) -> None:
    for _ in range(2):
        client.ingest(day_table(name, days=3, verb="INSERT"))
    before = sorted(client.rows(f"SELECT * FROM {name}"))
    assert len(intervals(client, name)) == 6
    task = run(client, compact(name))
    assert client.state(task)["type"] == "compact" and task.startswith(f"compact_{name}_")
    assert intervals(client, name) == ["2024-01-01", "2024-01-02", "2024-01-03"]
    assert sorted(client.rows(f"SELECT * FROM {name}")) == before
    run(client, compact(name, "2024-01-02/2024-01-03", granularitySpec={"segmentGranularity": "MONTH"}))
    assert intervals(client, name) == ["2024-01-01"]
    assert sorted(client.rows(f"SELECT * FROM {name}")) == before
    state = client.get(f"{SERVED}/{name}/segments?full").json()[0]["lastCompactionState"]
    assert state["granularitySpec"]["segmentGranularity"] == "MONTH"


def test_compaction_that_rolls_up_and_casts(client: Client, name: str) -> None:
    client.ingest(day_table(name, days=2))
    metrics = [{"type": "longSum", "name": "n", "fieldName": "n"}, {"type": "count", "name": "c"}]
    grains = {"segmentGranularity": "DAY", "queryGranularity": "DAY", "rollup": True}
    ids = client.get(f"{META}/{name}/segments").json()
    inner = {"type": "segments", "segments": ids}
    body = {**compact(name), "ioConfig": {"type": "compact", "inputSpec": inner}, "granularitySpec": grains}
    run(client, {**body, "metricsSpec": metrics})
    pages = [["p0", 0, 1], ["p1", 1, 1], ["p2", 2, 1]]
    assert sorted(client.rows(f"SELECT page, n, c FROM {name}")) == sorted(pages * 2)
    run(client, compact(name, dimensionsSpec={"dimensions": ["page", {"name": "n", "type": "string"}]}))
    assert sorted(client.rows(f"SELECT * FROM {name}"))[0] == ["2024-01-01T00:00:00.000Z", "p0", "0"]


@pytest.mark.parametrize(("change", "status"), [
    ({"dataSource": "no_such_table"}, 400), ({"ioConfig": {}}, 400), ({"dimensionsSpec": {"dimensions": ["odd"]}}, 400),
    ({"granularitySpec": {"rollup": True}}, 400), ({"transformSpec": {"filter": {"type": "true"}}}, 501),
    ({"ioConfig": {"inputSpec": {"type": "segments", "segments": ["odd"]}}}, 400), ({"somethingNew": 1}, 501),
    ({"ioConfig": {"inputSpec": {"type": "interval", "interval": "1999/2000"}}}, 400),
])  # fmt: skip
def test_compactions_that_cannot_be(client: Client, wiki: str, change: dict[str, Any], status: int) -> None:
    answer = client.post(TASK, {**compact(wiki), **change})
    assert answer.status_code == status and answer.json()["error"], answer.text


@pytest.mark.parametrize("kind", ["index_parallel", "compact"])
def test_a_task_that_had_not_begun_runs_in_the_next_server(tmp_path: Path, kind: str) -> None:
    with Serving(tmp_path) as client:
        client.ingest(day_table("kept", days=2))
        assert client.post("/druid/worker/v1/disable", {}).status_code == 200
        body = spec("kept", io={"appendToExisting": True}) if kind == "index_parallel" else compact("kept")
        task = client.post(TASK, {**body, "id": "waiting"}).json()["task"]
    with Serving(tmp_path) as client:
        assert client.wait(task)["status"] == "SUCCESS"
        assert client.state(task)["type"] == kind
        expected = {"index_parallel": 9, "compact": 6}[kind]
        assert client.rows("SELECT COUNT(*) FROM kept") == [[expected]]


def test_secrets_of_a_spec_are_kept_to_the_server(client: Client, name: str, tmp_path: Path) -> None:
    source = {"type": "http", "uris": ["http://127.0.0.1:9/x"], "httpAuthenticationUsername": "u",
              "httpAuthenticationPassword": "hidden-word"}  # fmt: skip
    task = client.post(TASK, spec(name, io={"inputSource": source})).json()["task"]
    assert client.wait(task)["status"] == "FAILED"
    for end in ("", "/status", "/reports", "/log"):
        assert "hidden-word" not in client.get(f"{TASK}/{task}{end}").text
