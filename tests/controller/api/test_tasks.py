"""Tasks: submission, status, report, log, lists, shutdown, slots."""

from __future__ import annotations

from tests.controller.api.conftest import SLOTS, Client, day_table, extern, poll

TASK = "/druid/indexer/v1/task"


def test_an_ingest_from_submission_to_its_segments(client: Client) -> None:
    task = client.ingest(day_table("ingested"), sqlQueryId="ingest-1")
    assert task == "query-ingest-1"
    status = client.state(task)
    assert (status["type"], status["dataSource"], status["runnerStatusCode"]) == (
        "query_controller", "ingested", "NONE"
    )  # fmt: skip
    assert status["duration"] > 0 and status["location"]["port"] > 0
    payload = client.get(f"{TASK}/{task}").json()["payload"]
    assert (payload["sqlQuery"][:7], payload["groupId"]) == ("REPLACE", task)
    report = client.get(f"{TASK}/{task}/reports").json()
    assert report["multiStageQuery"]["payload"]["status"]["status"] == "SUCCESS"
    assert list(report) == ["multiStageQuery", "taskContext"]
    log = client.get(f"{TASK}/{task}/log").text
    assert "published [2] segments with [6] rows" in log and log.endswith("ended: SUCCESS\n")
    assert client.get(f"{TASK}/{task}/log?offset=-8").text == log[-8:]
    assert client.get(f"{TASK}/{task}/log?offset=10").text == log[10:]
    segments = client.get(f"{TASK}/{task}/segments").json()
    assert [s["totalRows"] for s in segments] == [3, 3]
    worker = client.state(f"{task}-worker0_0")
    assert (worker["status"], worker["type"], worker["groupId"]) == ("SUCCESS", "query_worker", task)


def test_an_id_is_taken_once(client: Client) -> None:
    client.ingest("SELECT 1 AS a", sqlQueryId="twice")
    answer = client.post("/druid/v2/sql/task", {"query": "SELECT 1 AS a", "context": {"sqlQueryId": "twice"}})
    assert answer.status_code == 400
    assert (answer.json()["taskId"], answer.json()["state"]) == ("twice", "FAILED")
    assert "exists already" in answer.json()["error"]["errorMessage"]


def test_refusals_stand_in_an_envelope_once_there_is_a_statement(client: Client) -> None:
    bare = client.post("/druid/v2/sql/task", {"query": "INSERT INTO t SELEC 1"})
    assert (bare.status_code, bare.json()["error"]) == (400, "druidException")
    wrapped = client.post("/druid/v2/sql/task", {"query": "SELECT nope FROM nowhere", "context": {"sqlQueryId": "q7"}})
    assert (wrapped.status_code, wrapped.json()["taskId"]) == (400, "q7")
    assert wrapped.json()["error"]["category"] == "INVALID_INPUT"


def test_explain_answers_rows(client: Client) -> None:
    answer = client.post("/druid/v2/sql/task/", {"query": f"EXPLAIN PLAN FOR {day_table('explained')}"})
    assert answer.status_code == 200
    assert list(answer.json()[0]) == ["PLAN", "RESOURCES", "ATTRIBUTES"]
    assert '"statementType":"REPLACE"' in answer.json()[0]["ATTRIBUTES"]


def test_select_has_its_rows_in_the_report(client: Client, wiki: str) -> None:
    task = client.ingest("SELECT page, COUNT(*) AS c FROM wiki GROUP BY 1 ORDER BY 1")
    payload = client.get(f"{TASK}/{task}/reports").json()["multiStageQuery"]["payload"]
    assert payload["results"]["results"] == [["p0", 2], ["p1", 2], ["p2", 2]]
    assert client.state(task)["dataSource"] == "__query_select"


def test_a_failed_task_says_why_and_publishes_nothing(client: Client) -> None:
    source = extern([{"t": "no time"}], t="VARCHAR")
    query = f"REPLACE INTO bad OVERWRITE ALL SELECT TIME_PARSE(t) AS __time FROM {source} PARTITIONED BY DAY"
    task = client.submit(query)
    status = client.wait(task)
    assert (status["status"], status["errorMsg"].partition(":")[0]) == ("FAILED", "InsertTimeNull")
    assert client.sql("SELECT * FROM bad").status_code == 400
    assert client.get(f"{TASK}/{task}/segments").json() == []


def test_unknown_tasks(client: Client) -> None:
    assert client.get(f"{TASK}/nope").json() == {"task": "nope", "payload": None}
    assert client.get(f"{TASK}/nope/status").json() == {"task": "nope", "status": None}
    for path in (f"{TASK}/nope", f"{TASK}/nope/status", f"{TASK}/nope/reports", f"{TASK}/nope/log"):
        assert client.get(path).status_code == 404
    assert client.post(f"{TASK}/nope/shutdown", {}).status_code == 404


def test_lists(client: Client, wiki: str) -> None:
    listed = client.get("/druid/indexer/v1/tasks?state=complete&datasource=wiki").json()
    assert {t["type"] for t in listed} == {"query_controller", "query_worker"}
    assert client.get("/druid/indexer/v1/completeTasks?datasource=wiki").json() == listed
    assert len(client.get("/druid/indexer/v1/tasks?state=complete&max=1").json()) == 1
    assert client.get("/druid/indexer/v1/tasks?type=kill&datasource=wiki").json() == []
    assert client.get("/druid/indexer/v1/tasks?createdTimeInterval=2001-01-01_2001-01-02").json() == []
    assert client.get("/druid/indexer/v1/tasks?state=odd").status_code == 400
    assert client.get("/druid/indexer/v1/tasks?createdTimeInterval=odd").status_code == 400
    ids = [t["id"] for t in listed] + ["nope"]
    statuses = client.post("/druid/indexer/v1/taskStatus", ids).json()
    assert set(statuses) == set(ids) - {"nope"}
    assert client.post("/druid/indexer/v1/taskStatus", []).status_code == 400


def test_shutdown_of_a_running_query(client: Client) -> None:
    with client.slow() as task:
        worker = f"{TASK}/{task}-worker0_0/status"
        poll(lambda: client.get(worker).status_code, lambda code: code == 200)  # noted once it is asked for
        poll(lambda: client.get(f"{TASK}/{task}/reports"), lambda r: r.status_code == 200 and "stages" in r.text)
        live = client.get(f"{TASK}/{task}/reports").json()["multiStageQuery"]["payload"]
        assert live["status"]["status"] == "RUNNING"
        assert client.get("/druid/indexer/v1/totalWorkerCapacity").json()["usedClusterCapacity"] == 2
        assert task in client.get("/druid/worker/v1/tasks").json()
        assert client.post(f"{TASK}/{task}/shutdown", {}).json() == {"task": task}
        status = client.wait(task)
    assert (status["status"], status["errorMsg"]) == ("FAILED", "Shutdown request from user")
    assert client.state(f"{task}-worker0_0")["status"] == "FAILED"
    report = client.get(f"{TASK}/{task}/reports").json()["multiStageQuery"]["payload"]
    assert report["status"]["errorReport"]["error"]["errorCode"] == "Canceled"
    assert client.post(f"{TASK}/{task}/shutdown", {}).status_code == 404
    assert client.get("/druid/indexer/v1/totalWorkerCapacity").json()["usedClusterCapacity"] == 0


def test_a_disabled_worker_keeps_tasks_pending(client: Client) -> None:
    node = next(iter(client.post("/druid/worker/v1/disable").json()))
    try:
        task = client.submit("SELECT 1 AS a")
        poll(lambda: client.state(task)["runnerStatusCode"], lambda s: s == "PENDING")
        assert client.state(task)["status"] == "RUNNING"
        assert [t["id"] for t in client.get("/druid/indexer/v1/pendingTasks").json()] == [task]
        assert client.get(f"{TASK}/{task}/reports").status_code == 404
        dropped = client.submit("SELECT 2 AS a")
        assert client.post(f"{TASK}/{dropped}/shutdown", {}).status_code == 200
        assert client.state(dropped)["errorMsg"] == "Shutdown request from user"
    finally:
        assert client.post("/druid/worker/v1/enable").json() == {node: "enabled"}
    assert client.wait(task)["status"] == "SUCCESS"


def test_a_task_wider_than_the_slots_runs_alone(client: Client, wiki: str) -> None:
    assert client.ingest("SELECT COUNT(*) FROM wiki", maxNumTasks=SLOTS + 3)


def test_shutdown_all_tasks_of_a_table(client: Client) -> None:
    task, other = (
        client.post("/druid/indexer/v1/task", {"type": "noop", "dataSource": name, "runTime": 60_000}).json()["task"]
        for name in ("busy", "other")
    )
    poll(lambda: client.state(task)["runnerStatusCode"], lambda s: s == "RUNNING")
    answer = client.post("/druid/indexer/v1/datasources/busy/shutdownAllTasks")
    assert answer.json() == {"dataSource": "busy"}
    assert client.wait(task)["errorMsg"] == "Shutdown request from user"
    assert client.state(other)["status"] == "RUNNING"
    assert client.post("/druid/indexer/v1/datasources/busy/shutdownAllTasks").status_code == 404
    client.post(f"{TASK}/{other}/shutdown", {})


def test_tasks_that_are_not_there_are_named(client: Client) -> None:
    answer = client.post("/druid/indexer/v1/task", {"type": "index_parallel"})
    assert answer.status_code == 400 and "[task.spec]" in answer.json()["error"]
    answer = client.post("/druid/indexer/v1/task", {"type": "kafka"})
    assert answer.status_code == 400 and "kafka" in answer.json()["error"]
    assert client.post("/druid/indexer/v1/task", {"type": "noop", "id": ".hidden"}).status_code == 400


def test_a_payload_can_be_submitted_again(client: Client) -> None:
    payload = client.get(f"{TASK}/{client.ingest(day_table('again'))}").json()["payload"]
    taken = client.post(TASK, payload)
    assert taken.status_code == 400 and "exists already" in taken.json()["error"]
    task = client.post(TASK, {key: value for key, value in payload.items() if key != "id"}).json()["task"]
    assert client.wait(task)["status"] == "SUCCESS"
    assert client.get(f"{TASK}/{task}").json()["payload"]["sqlQuery"] == payload["sqlQuery"]
    masked = {**payload, "sqlQuery": payload["sqlQuery"].replace("json", "<masked>")}
    assert client.post(TASK, masked).status_code == 400
