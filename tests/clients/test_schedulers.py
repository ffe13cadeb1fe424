"""Schedulers and loaders: Airflow's Druid hooks, Ibis' loader and Druid's own notebooks, call for call."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clients.process import ServerProcess
from tests.controller.api.conftest import Client, day_table, extern, poll, slow_query

JSON = {"content-type": "application/json"}
PROGRAM = Path(__file__).with_name("airflow_calls.py")


# -- Airflow -----------------------------------------------------------------------------------------------------------


def test_airflow_itself(served: ServerProcess, tmp_path: Path) -> None:
    """Its provider needs a hundred packages, so it may live in an environment of its own: AIRFLOW_PYTHON names it."""
    python = os.environ.get("AIRFLOW_PYTHON") or (sys.executable if find_spec("airflow") else None)
    if python is None:
        pytest.skip("no apache-airflow-providers-apache-druid here: AIRFLOW_PYTHON may name an interpreter that has it")
    name = f"query-{uuid.uuid4()}"
    too_long = json.dumps({"query": slow_query(), "context": {"sqlQueryId": name.removeprefix("query-")}})
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    done = subprocess.run(
        [python, str(PROGRAM), str(served.port), too_long], input=json.dumps({"query": day_table("scheduled")}),
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["ingest"], seen["rows"], seen["first"]) == ("", [[6]], ["p0"])
    assert seen["refused"].startswith("Did not get 200 or 202 when submitting")
    assert seen["too long"] == "Druid ingestion took more than 1 seconds"
    assert served.client.wait(name)["errorMsg"] == "Shutdown request from user"
    # its batch kind asks for the status below the path that it submitted to
    assert seen["batch"] == ""


def airflow_submit(base: str, body: str, endpoint: str, key: str, limit: float | None = None) -> str:
    """The requests of DruidHook.submit_indexing_job, but for the second that it sleeps between two of them."""
    made = httpx.post(f"{base}/{endpoint}", content=body, headers=JSON)
    assert 200 <= made.status_code < 300, made.text
    task = made.json()[key]
    began = time.monotonic()
    while True:
        status = httpx.get(f"{base}/druid/indexer/v1/task/{task}/status").json()["status"]["status"]
        if limit is not None and time.monotonic() - began > limit:
            httpx.post(f"{base}/{endpoint}/{task}/shutdown")
            return "too long"
        assert status in ("RUNNING", "SUCCESS", "FAILED")
        if status != "RUNNING":
            return str(status)
        time.sleep(0.02)


def test_the_calls_of_airflow(client: Client) -> None:
    base = str(client.http.base_url).rstrip("/")
    msq, batch = ("druid/v2/sql/task", "taskId"), ("druid/indexer/v1/task", "task")
    # a text with a slash at its end is what users put into the connection, too
    ingest = json.dumps({"query": day_table("scheduled")})
    assert airflow_submit(base, ingest, "druid/v2/sql/task/", "taskId") == "SUCCESS"
    assert client.rows("SELECT COUNT(*) FROM scheduled") == [[6]]
    failing = "REPLACE INTO scheduled OVERWRITE ALL SELECT TIME_PARSE('') AS __time, 1 AS n PARTITIONED BY DAY"
    assert airflow_submit(base, json.dumps({"query": failing}), *msq) == "FAILED"
    assert client.rows("SELECT COUNT(*) FROM scheduled") == [[6]]
    assert airflow_submit(base, '{"type":"noop","runTime":1}', *batch) == "SUCCESS"
    task = f"query-{uuid.uuid4()}"
    body = json.dumps({"query": slow_query(), "context": {"sqlQueryId": task.removeprefix("query-")}})
    assert airflow_submit(base, body, *msq, limit=0.1) == "too long"
    assert client.wait(task)["status"] == "FAILED"


# -- Ibis --------------------------------------------------------------------------------------------------------------


def ibis_load(base: str, table: str, file: Path, columns: dict[str, str]) -> None:
    """Ibis' test suite loads so: no time column, the signature as JSON, then it waits for the load status."""
    source = json.dumps({"type": "local", "files": [str(file)]})
    signature = json.dumps([{"name": name, "type": kind} for name, kind in columns.items()])
    query = (
        f'REPLACE INTO "{table}" OVERWRITE ALL SELECT * FROM TABLE(EXTERN(\'{source}\', \'{{"type":"parquet"}}\', '
        f"'{signature}')) PARTITIONED BY ALL TIME"
    )
    task = httpx.post(f"{base}/druid/v2/sql/task/", json={"query": query}).json()["taskId"]
    url = f"{base}/druid/indexer/v1/task/{task}/status"
    status = poll(lambda: httpx.get(url).json()["status"], lambda s: s["status"] != "RUNNING")
    assert status["status"] == "SUCCESS", status["errorMsg"]
    url = f"{base}/druid/coordinator/v1/datasources/{table}/loadstatus"
    poll(lambda: httpx.get(url, params={"forceMetadataRefresh": "true"}).json(), lambda js: js[table] == 100.0)


def test_ibis_loads_tables_at_once_and_learns_their_schemas(client: Client, tmp_path: Path) -> None:
    base = str(client.http.base_url).rstrip("/")
    failed: list[BaseException] = []

    def load(number: int) -> None:
        try:
            file = tmp_path / f"{number}.parquet"
            pq.write_table(pa.table({"k": pa.array([f"k{n}" for n in range(10)]), "v": pa.array(range(10))}), file)
            ibis_load(base, f"ibis_{number}", file, {"k": "string", "v": "long"})
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed
    tables = client.sql("SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES", header="true").json()[1:]
    assert {f"ibis_{n}" for n in range(4)} <= {row["TABLE_NAME"] for row in tables}
    explained = client.sql("EXPLAIN PLAN FOR SELECT k, SUM(v) AS s FROM ibis_1 GROUP BY 1", header="true").json()[1:]
    (plan,) = json.loads(next(iter(explained[0].values())))
    # names of the native query, as a Druid prints them
    assert plan["signature"] == [{"name": "d0", "type": "STRING"}, {"name": "a0", "type": "LONG"}]
    assert list(explained[0]) == ["PLAN", "RESOURCES", "ATTRIBUTES"]
    assert client.rows("SELECT MIN(__time), SUM(v) FROM ibis_3") == [["1970-01-01T00:00:00.000Z", 45]]


# -- druidapi ----------------------------------------------------------------------------------------------------------


def test_the_calls_of_druidapi(client: Client) -> None:
    assert client.get("/status/selfDiscovered/status").json() == {"selfDiscovered": True}
    assert client.get("/druid/router/v1/brokers").status_code == 200
    made = client.post("/druid/v2/sql/task", {"query": day_table("noted")}).json()
    assert made["state"] == "RUNNING" and client.wait(made["taskId"])["status"] == "SUCCESS"
    asks = {"forceMetadataRefresh": "true", "interval": "1900-01-01T00:00:00Z/2100-01-01T00:00:00Z"}
    loaded = client.get("/druid/coordinator/v1/datasources/noted/loadstatus", params=asks).json()
    assert loaded == {"noted": 100.0}
    typed = [{"type": "VARCHAR", "value": "p1"}, {"type": "BIGINT", "value": 1}]
    asked = {"query": "SELECT COUNT(*) AS c FROM noted WHERE page = ? AND n = ?", "resultFormat": "object"}
    assert client.post("/druid/v2/sql", {**asked, "parameters": typed}).json() == [{"c": 2}]
    select = client.submit(f"SELECT n FROM {extern([{'n': 5}], n='BIGINT')}")
    client.wait(select)
    results = client.get(f"/druid/indexer/v1/task/{select}/reports").json()["multiStageQuery"]["payload"]["results"]
    assert results["signature"] == [{"name": "n", "type": "LONG"}]
    assert (results["sqlTypeNames"], results["results"]) == (["BIGINT"], [[5]])

    body = {"query": "SELECT n, page FROM noted", "resultFormat": "objectLines", "context": {"executionMode": "ASYNC"}}
    statement = client.post("/druid/v2/sql/statements", body).json()["queryId"]
    path = f"/druid/v2/sql/statements/{statement}"
    done = poll(lambda: client.get(path).json(), lambda s: s["state"] not in ("ACCEPTED", "RUNNING"))
    assert done["state"] == "SUCCESS" and len(done["schema"]) == 2
    texts = [client.get(f"{path}/results?page={n}").text for n in range(len(done["result"]["pages"]))]
    lines: list[Any] = [json.loads(line) for text in texts for line in text.splitlines() if line]
    assert len(lines) == 6 and set(lines[0]) == {"n", "page"}

    nothing = client.post("/druid/indexer/v1/task/query-nothing/shutdown", "")
    assert nothing.status_code == 404
    assert client.delete("/druid/coordinator/v1/datasources/noted").status_code == 200
    assert client.sql("SELECT 1 AS one FROM noted LIMIT 1").status_code == 400
