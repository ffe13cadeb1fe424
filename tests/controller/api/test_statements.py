"""Statements: states, pages, formats, detail, failures, cancellation; texts as a real Druid's."""

from __future__ import annotations

from typing import Any

from tests.controller.api.conftest import Client, day_table, extern, poll, slow_query

BASE = "/druid/v2/sql/statements"


def start(client: Client, query: str, **more: Any) -> dict[str, Any]:
    context = {"executionMode": "async", **more.pop("context", {})}
    answer = client.post(BASE, {"query": query, "context": context, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def finish(client: Client, query: str, **more: Any) -> dict[str, Any]:
    made = start(client, query, **more)
    return dict(
        poll(lambda: client.get(f"{BASE}/{made['queryId']}").json(), lambda s: s["state"] in ("SUCCESS", "FAILED"))
    )


def rows_of(count: int) -> str:
    source = extern([{"n": n} for n in range(count)], n="BIGINT")
    return f"SELECT n, 'x' AS s FROM {source} ORDER BY n"


def test_a_select_with_the_report_as_destination(client: Client) -> None:
    made = start(client, rows_of(3))
    assert (made["state"], made["durationMs"]) == ("ACCEPTED", -1)
    assert made["schema"][0] == {"name": "n", "type": "BIGINT", "nativeType": "LONG"}
    path = f"{BASE}/{made['queryId']}"
    done = poll(lambda: client.get(path).json(), lambda s: s["state"] == "SUCCESS")
    result = done["result"]
    assert (result["numTotalRows"], result["dataSource"]) == (3, "__query_select")
    assert result["sampleRecords"] == [[0, "x"], [1, "x"], [2, "x"]]
    assert [(p["id"], p["numRows"]) for p in result["pages"]] == [(0, 3)]
    detail = client.get(f"{path}?detail=true").json()
    assert [s["stageNumber"] for s in detail["stages"]] == list(range(len(detail["stages"])))
    assert detail["counters"] and detail["warnings"] == []
    assert client.get(f"{path}/results").json()[0] == {"n": 0, "s": "x"}
    assert client.get(f"{path}/results?page=0&resultFormat=csv").text == "0,x\n1,x\n2,x\n\n"
    bad = client.get(f"{path}/results?page=1")
    assert (bad.status_code, bad.json()["errorMessage"]) == (400, "Page number [1] is out of the range of results")
    assert client.get(f"{path}/results?page=-1").status_code == 400
    assert client.get(f"{path}/results?page=x").status_code == 404
    assert client.get(f"{path}/results?resultFormat=xml").status_code == 400
    assert client.delete(path).status_code == 200
    assert client.get(path).json()["state"] == "SUCCESS"


def test_durable_results_have_pages(client: Client) -> None:
    context = {"selectDestination": "durableStorage", "rowsPerPage": 20}
    done = finish(client, rows_of(50), context=context)
    pages = done["result"]["pages"]
    assert done["result"]["numTotalRows"] == 50 == sum(p["numRows"] for p in pages)
    assert [p["id"] for p in pages] == list(range(len(pages))) and len(pages) > 1
    path = f"{BASE}/{done['queryId']}/results"
    by_page = [row for p in pages for row in client.get(f"{path}?page={p['id']}&resultFormat=array").json()]
    assert by_page == [[n, "x"] for n in range(50)] == client.get(f"{path}?resultFormat=array").json()
    answer = client.get(f"{path}?page=0&resultFormat=csv&filename=out.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="out.csv"'
    assert client.get(f"{path}?filename=a/b").status_code == 400
    bad = client.get(f"{path}?page={len(pages)}")
    assert (bad.status_code, bad.json()["errorMessage"]) == (400, f"Invalid page id [{len(pages)}] passed.")


def test_the_format_of_the_request_is_kept(client: Client) -> None:
    done = finish(client, rows_of(2), resultFormat="csv")
    path = f"{BASE}/{done['queryId']}/results"
    assert client.get(path).text == "0,x\n1,x\n\n"
    assert client.get(f"{path}?resultFormat=array").json() == [[0, "x"], [1, "x"]]


def test_an_ingest(client: Client) -> None:
    done = finish(client, day_table("stated"))
    assert done["result"] == {"numTotalRows": 6, "totalSizeInBytes": 0, "dataSource": "stated"}
    assert "schema" not in done
    answer = client.get(f"{BASE}/{done['queryId']}/results")
    assert (answer.status_code, answer.content) == (200, b"")
    assert client.rows("SELECT COUNT(*) FROM stated") == [[6]]


def test_a_failure(client: Client) -> None:
    source = extern([{"t": "no time"}], t="VARCHAR")
    query = f"INSERT INTO stated_bad SELECT TIME_PARSE(t) AS __time FROM {source} PARTITIONED BY DAY"
    done = finish(client, query)
    assert done["state"] == "FAILED"
    details = done["errorDetails"]
    assert (details["errorCode"], details["category"], details["persona"]) == (
        "InsertTimeNull", "UNCATEGORIZED", "USER"
    )  # fmt: skip
    answer = client.get(f"{BASE}/{done['queryId']}/results")
    assert answer.status_code == 400
    assert answer.json()["errorMessage"].endswith("failed. Check the status api for more details.")


def test_cancellation(client: Client) -> None:
    made = start(client, slow_query())
    path = f"{BASE}/{made['queryId']}"
    poll(lambda: client.get(path).json()["state"], lambda s: s == "RUNNING")
    waiting = client.get(f"{path}/results")
    assert (waiting.status_code, "[RUNNING] state" in waiting.text) == (400, True)
    assert client.delete(path).status_code == 202
    done = poll(lambda: client.get(path).json(), lambda s: s["state"] == "FAILED")
    assert done["errorDetails"]["errorCode"] == "Canceled"
    assert client.delete(path).status_code == 200


def test_what_is_no_statement(client: Client) -> None:
    task = client.ingest("SELECT 1 AS a")
    assert client.get(f"{BASE}/{task}/results").json() == [{"a": 1}]
    for unknown in (task.removeprefix("query-"), f"{task}-worker0_0", "nope"):
        answer = client.get(f"{BASE}/{unknown}")
        assert (answer.status_code, answer.json()["errorCode"]) == (404, "notFound")
        assert f"Query [{unknown}] was not found." in answer.json()["errorMessage"]
        assert client.delete(f"{BASE}/{unknown}").status_code == 404


def test_the_mode_must_be_async(client: Client) -> None:
    for context, fragment in (({}, "Execution mode is not provided"), ({"executionMode": "SYNC"}, "[SYNC]")):
        answer = client.post(BASE, {"query": "SELECT 1", "context": context})
        assert (answer.status_code, fragment in answer.json()["errorMessage"]) == (400, True)
    assert client.post(BASE, {"query": "SELECT 1", "context": {"executionMode": "odd"}}).status_code == 400


def test_explain_is_answered_at_once(client: Client) -> None:
    answer = client.post(BASE, {"query": "EXPLAIN PLAN FOR SELECT 1", "context": {"executionMode": "ASYNC"}})
    assert "PLAN" in answer.json()[0]
