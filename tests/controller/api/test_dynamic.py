"""Configuration that changes while a server runs: compaction, blocked queries, the context queries start from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.controller.api.conftest import Client, day_table, poll

COORDINATOR, OVERLORD = "/druid/coordinator/v1", "/druid/indexer/v1/compaction"
CONFIG, CONFIGS = f"{COORDINATOR}/config/compaction", f"{OVERLORD}/config/datasources"
BROKER = f"{COORDINATOR}/broker/config"


def test_compaction_of_a_table_is_kept_under_both_paths(client: Client) -> None:
    wanted = {"dataSource": "packed", "skipOffsetFromLatest": "PT0S", "granularitySpec": {"segmentGranularity": "DAY"}}
    author = {"X-Druid-Author": "ann", "X-Druid-Comment": "days"}
    assert client.post(CONFIG, wanted, headers=author).json() == {"success": True}
    kept = client.get(f"{CONFIG}/packed").json()
    assert kept.items() >= wanted.items() and kept["taskPriority"] == 25
    assert client.get(f"{CONFIGS}/packed").json() == kept
    assert kept in client.get(CONFIG).json()["compactionConfigs"]
    assert kept in client.get(CONFIGS).json()["compactionConfigs"]
    changed = {**wanted, "taskPriority": 30}
    assert client.post(f"{CONFIGS}/packed", changed).json() == {"success": True}
    entries = client.get(f"{CONFIG}/packed/history?count=50").json()
    assert [e["compactionConfig"]["taskPriority"] for e in entries] == [30, 25]
    assert entries[1]["auditInfo"]["author"] == "ann" and entries[0]["globalConfig"]["engine"] == "msq"
    assert client.get(f"{CONFIGS}/packed/history").json() == entries[::-1]
    assert client.delete(f"{CONFIG}/packed").json() == {"success": True}
    assert client.delete(f"{CONFIGS}/packed").status_code == client.get(f"{CONFIG}/packed").status_code == 404


def test_compaction_runs_by_itself(client: Client) -> None:
    """Hours become days, but for the newest one; what is appended later is compacted again; nothing else runs again."""
    name = "unpacked"
    for _ in range(2):
        client.ingest(day_table(name, days=3, verb="INSERT").replace("BY DAY", "BY HOUR"))
    rows = sorted(client.rows(f"SELECT * FROM {name}"))
    grains = {"segmentGranularity": "DAY", "queryGranularity": "HOUR"}
    client.post(CONFIG, {"dataSource": name, "granularitySpec": grains, "skipOffsetFromLatest": "P1D"})

    def state() -> dict[str, Any]:
        return dict(client.get(f"{OVERLORD}/status/datasources/{name}").json())

    # a day before the newest segment's end is in the second day, so that is too new, too
    done = poll(state, lambda s: s["segmentCountAwaitingCompaction"] == 0)
    assert (done["scheduleStatus"], done["segmentCountCompacted"], done["intervalCountSkipped"]) == ("RUNNING", 1, 6)
    assert sorted(client.rows(f"SELECT * FROM {name}")) == rows
    assert client.get(f"{COORDINATOR}/compaction/progress?dataSource={name}").json() == {"remainingSegmentSize": 0}
    client.ingest(day_table(name, days=1, verb="INSERT"))
    poll(lambda: client.post(f"{COORDINATOR}/compaction/compact", {}) and state(),
         lambda s: (s["segmentCountAwaitingCompaction"], s["segmentCountCompacted"]) == (0, 1))  # fmt: skip
    assert len(client.rows(f"SELECT * FROM {name}")) == len(rows) + 3
    # segments are there a moment before their task has ended
    ran = poll(lambda: client.get(f"/druid/indexer/v1/tasks?type=compact&datasource={name}").json(),
               lambda tasks: all(t["status"] != "RUNNING" for t in tasks))  # fmt: skip
    assert {t["status"] for t in ran} == {"SUCCESS"} and all(t["id"].startswith("coordinator-issued_") for t in ran)
    client.post(f"{COORDINATOR}/compaction/compact", {})
    assert len(client.get(f"/druid/indexer/v1/tasks?type=compact&datasource={name}").json()) == len(ran)
    assert client.delete(f"{CONFIG}/{name}").status_code == 200


def test_what_cannot_be_compacted_says_why_and_is_left_alone(client: Client) -> None:
    client.ingest(day_table("stubborn", days=2))
    tuning = {"partitionsSpec": {"type": "hashed"}}
    client.post(CONFIG, {"dataSource": "stubborn", "skipOffsetFromLatest": "PT0S", "tuningConfig": tuning})
    client.post(f"{COORDINATOR}/compaction/compact", {})
    state = client.get(f"{COORDINATOR}/compaction/status?dataSource=stubborn").json()["latestStatus"][0]
    assert "[partitionsSpec.type] hashed" in state["message"] and state["segmentCountAwaitingCompaction"] == 2
    assert client.get("/druid/indexer/v1/tasks?type=compact&datasource=stubborn").json() == []
    assert client.delete(f"{CONFIG}/stubborn").status_code == 200


@pytest.mark.parametrize("body", [
    [], {}, {"dataSource": 1}, {"dataSource": "x", "skipOffsetFromLatest": "soon"},
    {"dataSource": "x", "engine": "odd"}, {"dataSource": "x", "taskPriority": "high"},
    {"dataSource": "x", "tuningConfig": []}, {"dataSource": "x", "metricsSpec": {}},
])  # fmt: skip
def test_what_is_no_compaction_is_refused(client: Client, body: Any) -> None:
    assert client.post(CONFIG, body).status_code == 400
    assert client.get(f"{CONFIG}/x").status_code == 404


def test_compaction_of_the_cluster(client: Client) -> None:
    before = client.get(f"{OVERLORD}/config/cluster").json()
    assert client.post(f"{CONFIG}/taskslots?ratio=0.5&max=3").json() == {"success": True}
    after = client.get(CONFIG).json()
    assert (after["compactionTaskSlotRatio"], after["maxCompactionTaskSlots"]) == (0.5, 3)
    for bad in ({"compactionTaskSlotRatio": -1}, {"maxCompactionTaskSlots": 1.5}, {"engine": "odd"},
                {"useSupervisors": "yes"}, {"compactionPolicy": []}):  # fmt: skip
        assert client.post(f"{OVERLORD}/config/cluster", bad).status_code == 400
    assert client.post(f"{CONFIG}/taskslots?ratio=half").status_code == 400
    assert client.post(f"{OVERLORD}/config/cluster", before).status_code == 200
    assert client.get(f"{OVERLORD}/config/cluster").json() == before


@pytest.fixture
def broker(client: Client) -> Iterator[Client]:
    """Its configuration is empty again afterwards."""
    yield client
    assert client.post(BROKER, {"queryBlocklist": [], "queryContext": {}}).status_code == 200


@pytest.mark.parametrize(("rule", "blocked"), [
    ({"dataSources": ["wiki"]}, True), ({"dataSources": ["other"]}, False),
    ({"queryTypes": ["groupBy"]}, True), ({"queryTypes": ["scan"]}, False),
    ({"dataSources": ["wiki"], "queryTypes": ["scan"]}, False), ({"contextMatches": {"team": "a"}}, True),
    ({"contextMatches": {"team": "b"}}, False), ({"contextMatches": {"team": "a", "more": 1}}, False),
])  # fmt: skip
def test_blocked_queries(broker: Client, wiki: str, rule: dict[str, Any], blocked: bool) -> None:
    assert broker.post(BROKER, {"queryBlocklist": [{"ruleName": "r", **rule}]}).content == b""
    native = {
        "queryType": "groupBy", "dataSource": wiki, "dimensions": [],
        "granularity": "all", "intervals": "2024/2025", "aggregations": [], "context": {"team": "a"},
    }  # fmt: skip
    answers = [
        broker.sql(f"SELECT COUNT(*) FROM {wiki}", context={"team": "a", "sqlQueryId": "q"}),
        broker.post("/druid/v2", native),
    ]
    assert [a.status_code for a in answers] == [403 if blocked else 200] * 2, answers[1].text
    if blocked:
        assert answers[0].json()["errorMessage"] == "Query[q] blocked by rule[r]"
        assert answers[0].json()["category"] == "FORBIDDEN"


def test_queries_start_from_the_brokers_context(broker: Client) -> None:
    ask = "SELECT CURRENT_TIMESTAMP IS NOT NULL AS a, TIME_FORMAT(MILLIS_TO_TIMESTAMP(0), 'HH:mm') AS t"
    assert broker.post(BROKER, {"queryContext": {"sqlTimeZone": "Asia/Tokyo"}}).status_code == 200
    assert broker.rows(ask) == [[True, "09:00"]]
    assert broker.rows(ask, context={"sqlTimeZone": "Etc/UTC"}) == [[True, "00:00"]]
    assert broker.rows(f"SET sqlTimeZone = 'Europe/Paris'; {ask}") == [[True, "01:00"]]
    task = broker.ingest(ask)
    report = broker.get(f"/druid/indexer/v1/task/{task}/reports").json()
    assert report["multiStageQuery"]["payload"]["results"]["results"] == [[True, "09:00"]]


@pytest.mark.parametrize("body", [
    [], {"queryBlocklist": {}}, {"queryBlocklist": [{}]}, {"queryBlocklist": [{"ruleName": "everything"}]},
    {"queryBlocklist": [{"ruleName": "r", "dataSources": "x"}]},
    {"queryBlocklist": [{"ruleName": "r", "contextMatches": []}]},
    {"queryBlocklist": [{"ruleName": "r", "type": "odd", "dataSources": ["x"]}]},
    {"queryBlocklist": [{"ruleName": "r", "dataSources": ["x"]}] * 2}, {"queryContext": []},
])  # fmt: skip
def test_what_blocks_nothing_or_everything_is_refused(client: Client, body: Any) -> None:
    assert client.post(BROKER, body).status_code == 400
    assert client.get(BROKER).json()["queryBlocklist"] == []


def test_timeouts_for_each_segment_are_refused_by_name(client: Client) -> None:
    answer = client.post(BROKER, {"perSegmentTimeoutConfig": {"wiki": {"timeoutMs": 5}}})
    assert answer.status_code == 501 and "[perSegmentTimeoutConfig]" in answer.json()["error"]


def test_candidates_of_a_query(client: Client, wiki: str) -> None:
    body = {"queryType": "scan", "dataSource": wiki, "intervals": ["2024-01-02/2024-01-03"]}
    (found,) = client.post("/druid/v2/candidates", body).json()
    assert found["interval"] == "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z" and len(found["locations"]) == 1
    assert client.post("/druid/v2/candidates?numCandidates=0", body).json()[0]["locations"] == []
    assert client.post("/druid/v2/candidates", {**body, "dataSource": "nothing"}).json() == []
    union = {"type": "union", "dataSources": [{"type": "table", "name": n} for n in (wiki, "nothing")]}
    for bad in ({}, {**body, "dataSource": union}, {**body, "dataSource": None}, {**body, "intervals": None}):
        assert client.post("/druid/v2/candidates", bad).status_code == 400
