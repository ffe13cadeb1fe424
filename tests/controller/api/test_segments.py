"""Metadata and served views, marking, killing, rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controller.api.conftest import Client, day_table, poll

META = "/druid/coordinator/v1/metadata/datasources"
SERVED = "/druid/coordinator/v1/datasources"


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> str:
    """A table of its own for each test: two days, one segment each."""
    name = f"seg_{request.node.name[5:].replace('[', '_').strip(']')}"
    client.ingest(day_table(name))
    return name


def ids_of(client: Client, table: str) -> list[str]:
    return list(client.get(f"{META}/{table}/segments").json())


def test_views_agree(client: Client, table: str) -> None:
    ids = ids_of(client, table)
    assert len(ids) == 2 and client.get(f"{SERVED}/{table}/segments").json() == ids
    full = client.get(f"{META}/{table}/segments?full").json()
    assert [s["identifier"] for s in full] == ids
    assert client.get(f"{META}/{table}/segments/{ids[0]}").json() == full[0]
    served = client.get(f"{SERVED}/{table}/segments/{ids[0]}").json()
    assert served["metadata"] == full[0]
    simple = client.get(f"{SERVED}/{table}").json()["segments"]
    assert (simple["count"], simple["minTime"], simple["maxTime"]) == (
        2, "2024-01-01T00:00:00.000Z", "2024-01-03T00:00:00.000Z"
    )  # fmt: skip
    day = "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z"
    assert client.get(f"{SERVED}/{table}/intervals").json()[0] == day
    assert client.get(f"{SERVED}/{table}/intervals/2024-01-02_2024-01-03").json() == [ids[1]]
    assert client.post(f"{META}/{table}/segments", ["2024-01-02/2024-01-03"]).json() == [ids[1]]
    assert table in client.get(SERVED).json() and table in client.get("/druid/v2/datasources").json()
    status = f"{SERVED}/{table}/loadstatus?forceMetadataRefresh=true"
    assert client.get(f"{status}&interval=2024-01-01/2024-02-01").json() == {table: 100.0}
    assert client.get(status).status_code == 204
    assert client.get(f"{SERVED}/{table}/loadstatus").status_code == 400
    columns = client.get(f"/druid/v2/datasources/{table}?interval=2024-01-01/2024-02-01").json()
    assert columns == {"dimensions": ["n", "page"], "metrics": []}


def test_one_segment_unused_and_back(client: Client, table: str) -> None:
    first, second = ids_of(client, table)
    changed = {"numChangedSegments": 1, "segmentStateChanged": True}
    assert client.delete(f"{SERVED}/{table}/segments/{first}").json() == changed
    assert ids_of(client, table) == [second]
    assert client.rows(f"SELECT COUNT(*) FROM {table}") == [[3]]
    assert client.get(f"{META}/{table}/segments/{first}").status_code == 404
    assert client.get(f"{META}/{table}/segments/{first}?includeUnused=true").status_code == 200
    unused = client.get(f"{META}/{table}/unusedSegments").json()
    assert [u["dataSegment"]["identifier"] for u in unused] == [first]
    assert client.post(f"{SERVED}/{table}/segments/{first}").json() == changed
    assert client.rows(f"SELECT COUNT(*) FROM {table}") == [[6]]
    unknown = f"{table}_2000-01-01T00:00:00.000Z_2000-01-02T00:00:00.000Z_v1"
    assert client.delete(f"{SERVED}/{table}/segments/{unknown}").json()["numChangedSegments"] == 0
    assert client.delete(f"{SERVED}/{table}/segments/odd").status_code == 400


def test_groups(client: Client, table: str) -> None:
    ids = ids_of(client, table)
    path = f"/druid/indexer/v1/datasources/{table}"
    assert (
        client.post(f"{path}/markUnused", {"interval": "2024-01-01/2024-01-02T12:00"}).json()["numChangedSegments"] == 1
    )
    assert ids_of(client, table) == [ids[1]]
    assert client.post(f"{path}/markUsed", {"segmentIds": ids}).json()["numChangedSegments"] == 1
    assert (
        client.post(f"{path}/markUnused", {"interval": "2024-01-01/2025-01-01", "versions": []}).json()[
            "numChangedSegments"
        ]
        == 0
    )
    for body in ({}, {"interval": "2024-01-01/2025-01-01", "segmentIds": ids}, {"segmentIds": []},
                 {"segmentIds": ids, "versions": ["v"]}, {"interval": "odd"}):  # fmt: skip
        assert client.post(f"{path}/markUnused", body).status_code == 400
    assert client.post(f"{SERVED}/unknown_table/markUnused", {"segmentIds": ["x"]}).status_code == 204
    assert ids_of(client, table) == ids


def test_whole_table_unused_then_killed(client: Client, table: str) -> None:
    files = [Path(s["loadSpec"]["path"]) for s in client.get(f"{META}/{table}/segments?full").json()]
    assert all(f.exists() for f in files)
    assert client.delete(f"{SERVED}/{table}").json()["numChangedSegments"] == 2
    assert client.get(f"{META}/{table}/segments").status_code == 404
    assert client.get(f"{SERVED}/{table}").status_code == 204
    assert table not in client.get(META).json()
    assert table in client.get(f"{META}?includeUnused").json()
    assert client.sql(f"SELECT COUNT(*) FROM {table}").status_code == 400
    assert client.delete(f"{SERVED}/{table}/intervals/2024-01-01_2024-01-02").content == b""
    poll(
        lambda: client.get(f"/druid/indexer/v1/tasks?type=kill&datasource={table}&state=complete").json(),
        lambda tasks: len(tasks) == 1 and tasks[0]["status"] == "SUCCESS",
    )
    assert [f.exists() for f in files] == [False, True]
    assert client.post(f"{SERVED}/{table}").json()["numChangedSegments"] == 1
    assert client.rows(f"SELECT COUNT(*) FROM {table}") == [[3]]


def test_kill_leaves_used_segments_alone(client: Client, table: str) -> None:
    task = client.post(
        "/druid/indexer/v1/task", {"type": "kill", "dataSource": table, "interval": "2024-01-01/2025-01-01"}
    ).json()["task"]
    assert client.wait(task)["status"] == "SUCCESS"
    report = client.get(f"/druid/indexer/v1/task/{task}/reports").json()
    assert report["killTaskReport"]["payload"]["numSegmentsKilled"] == 0
    assert client.rows(f"SELECT COUNT(*) FROM {table}") == [[6]]


def test_overshadowed_segments_never_come_back(client: Client, table: str) -> None:
    old = ids_of(client, table)
    client.ingest(day_table(table, rows_per_day=1))
    assert client.rows(f"SELECT COUNT(*) FROM {table}") == [[2]]
    client.post(f"/druid/indexer/v1/datasources/{table}/markUnused", {"segmentIds": old})
    assert client.post(f"{SERVED}/{table}").json()["numChangedSegments"] == 0
    assert client.rows(f"SELECT COUNT(*) FROM {table}") == [[2]]


def test_rules_drop_and_load(client: Client, table: str) -> None:
    path = f"/druid/coordinator/v1/rules/{table}"
    headers = {"X-Druid-Author": "me", "X-Druid-Comment": "why"}
    answer = client.post(path, [{"type": "dropForever"}], headers=headers)
    assert (answer.status_code, answer.content) == (200, b"")
    poll(lambda: client.get(f"{META}/{table}").status_code, lambda status: status == 404)
    assert client.post(path, [{"type": "loadForever", "tieredReplicants": {"_default_tier": 1}}]).status_code == 200
    assert client.post(f"{SERVED}/{table}").json()["numChangedSegments"] == 2
    assert len(client.get(f"{path}?full").json()) == 2
    entries = client.get(f"{path}/history?count=5").json()
    assert [e["payload"] for e in entries][1] == '[{"type":"dropForever"}]'
    assert entries[1]["auditInfo"]["author"] == "me"
    for bad in ({}, [{"type": "odd"}], [{"type": "loadByPeriod"}], [{"type": "loadByInterval", "interval": "odd"}],
                [{"type": "loadForever", "tieredReplicants": {"t": -1}}]):  # fmt: skip
        assert client.post(path, bad).status_code == 400
    assert client.post("/druid/coordinator/v1/rules/_default", []).status_code == 400
