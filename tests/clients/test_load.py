"""Many clients at once, clients that go away, and everything mixed for a while."""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.clients.conftest import SLOTS
from tests.clients.process import ServerProcess
from tests.controller.api.conftest import Client, day_table, extern, poll

TASKS = 50
QUERIES, THREADS = 500, 20
BIG_ROWS = 100_000
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "6"))


@pytest.fixture(scope="module")
def big(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table whose rows are more than any buffer on their way holds."""
    file = tmp_path_factory.mktemp("big") / "big.parquet"
    numbers = pa.array(range(BIG_ROWS))
    pq.write_table(
        pa.table({"n": numbers, "text": pa.array([f"row number {n} of many" for n in range(BIG_ROWS)])}), file
    )
    source = json.dumps({"type": "local", "files": [str(file)]})
    client.ingest(
        'REPLACE INTO big OVERWRITE ALL SELECT MILLIS_TO_TIMESTAMP(n) AS __time, n, "text" FROM '
        f' TABLE(EXTERN(\'{source}\', \'{{"type":"parquet"}}\')) EXTEND (n BIGINT, "text" VARCHAR) PARTITIONED BY ALL'
    )
    return "big"


def all_of(jobs: list[Callable[[], Any]], threads: int) -> list[Any]:
    """Results in order; the first error is raised."""
    with ThreadPoolExecutor(threads) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def running(client: Client) -> list[dict[str, Any]]:
    """Tasks that hold slots now."""
    tasks = client.get("/druid/indexer/v1/tasks?state=running").json()
    return [task for task in tasks if task["runnerStatusCode"] == "RUNNING"]


def test_many_tasks_at_once(client: Client) -> None:
    """All succeed, and at no moment hold running tasks more slots than there are."""

    def insert(number: int) -> str:
        source = extern([{"t": "2024-01-01", "w": number}], t="VARCHAR", w="BIGINT")
        # half of them append to one table, half write one of their own
        table = "crowd" if number % 2 else f"crowd_{number}"
        return client.submit(f"INSERT INTO {table} SELECT TIME_PARSE(t) AS __time, w FROM {source} PARTITIONED BY DAY")

    # tasks that run until they are told to stop hold every slot, so that all others must wait behind them
    with ExitStack() as all_slow:
        slow = [all_slow.enter_context(client.slow()) for _ in range(SLOTS)]
        poll(lambda: running(client), bool)
        tasks = all_of([lambda n=n: insert(n) for n in range(TASKS)], THREADS)
        poll(
            lambda: {task["id"] for task in client.get("/druid/indexer/v1/tasks?state=pending").json()},
            lambda pending: pending >= set(tasks),
        )
        held = []
        for task in slow:
            held.append(len(running(client)))
            client.post(f"/druid/indexer/v1/task/{task}/shutdown")
    while any(client.get(f"/druid/indexer/v1/tasks?state={state}").json() for state in ("pending", "running")):
        held.append(len(running(client)))
        time.sleep(0.02)
    assert 0 < max(held) <= SLOTS
    assert {client.state(task)["status"] for task in tasks} == {"SUCCESS"}
    assert client.rows("SELECT COUNT(*), COUNT(DISTINCT w) FROM crowd") == [[TASKS // 2, TASKS // 2]]
    tables = client.rows("SELECT COUNT(*) FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME LIKE 'crowd~_%' ESCAPE '~'")
    assert tables == [[TASKS // 2]]


def test_many_queries_at_once(client: Client, visits: str) -> None:
    kinds: list[tuple[str, list[Any]]] = [
        (f"SELECT COUNT(*) FROM {visits}", [[3]]),
        (f"SELECT city, SUM(x) FROM {visits} WHERE x > 0 GROUP BY 1 ORDER BY 1", [["Köln", 1.5], ["Zürich", 0.5]]),
        (f"SELECT n FROM {visits} WHERE __time >= TIMESTAMP '2024-01-02'", [[9007199254740993]]),
        (f"SELECT COUNT(*) FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{visits}'", [[6]]),
    ]

    def ask(number: int) -> tuple[list[Any], list[Any]]:
        query, wanted = kinds[number % len(kinds)]
        return client.rows(query), wanted

    answers = all_of([lambda n=n: ask(n) for n in range(QUERIES)], THREADS)
    assert len(answers) == QUERIES
    for rows, wanted in answers:
        assert rows == wanted


def send(port: int, query: str) -> socket.socket:
    """A connection over which a query was sent."""
    body = json.dumps({"query": query}).encode()
    head = f"POST /druid/v2/sql HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
    raw = socket.create_connection(("127.0.0.1", port), timeout=120)
    try:
        raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    except BaseException:
        raw.close()
        raise
    return raw


def leave(port: int, query: str, after_bytes: int) -> None:
    """Sends a query, reads so much of the answer and hangs up."""
    with send(port, query) as raw:
        read = 0
        while read < after_bytes:
            piece = raw.recv(min(16_384, after_bytes - read))
            assert piece, "the answer ended too soon"
            read += len(piece)


def test_clients_that_go_away(served: ServerProcess, big: str) -> None:
    """In the middle of a large answer, more of them than there are threads for queries."""
    client = served.client
    all_of([lambda: leave(served.port, f"SELECT * FROM {big}", 100_000) for _ in range(10)], 5)
    assert client.rows(f"SELECT COUNT(*), SUM(n) FROM {big}") == [[BIG_ROWS, BIG_ROWS * (BIG_ROWS - 1) // 2]]
    poll(lambda: client.get("/druid/v2/sql/queries").json()["queries"], lambda running: running == [])
    answer = client.sql(f"SELECT n FROM {big}", resultFormat="csv")
    assert answer.text.count("\n") == BIG_ROWS + 1
    assert "Traceback" not in served.logged(), served.logged()[-3_000:]


def test_a_client_that_does_not_wait_for_its_query(served: ServerProcess, big: str) -> None:
    """What nobody waits for is ended, and takes no thread from others."""
    client = served.client
    endless = f"SELECT COUNT(*) AS c FROM {big} x CROSS JOIN {big} y WHERE MOD(x.n * y.n, 7) = 3"
    with ExitStack() as sockets:
        for _ in range(12):
            sockets.enter_context(send(served.port, endless))
        running = poll(lambda: client.get("/druid/v2/sql/queries").json()["queries"], bool)
        assert running[0]["engine"] == "native"
    assert client.rows("SELECT 1") == [[1]]
    poll(lambda: client.get("/druid/v2/sql/queries").json()["queries"], lambda running: running == [])


def test_statements_with_pages_at_once(client: Client, big: str) -> None:
    count, per_page = 4_000, 1_000

    def fetch(number: int) -> list[int]:
        first = number * 10_000
        made = client.post("/druid/v2/sql/statements", {
            "query": f"SELECT n FROM {big} WHERE n >= {first} AND n < {first + count} ORDER BY n",
            "resultFormat": "arrayLines",
            "context": {"executionMode": "ASYNC", "selectDestination": "durableStorage", "rowsPerPage": per_page},
        }).json()  # fmt: skip
        path = f"/druid/v2/sql/statements/{made['queryId']}"
        done = poll(lambda: client.get(path).json(), lambda s: s["state"] not in ("ACCEPTED", "RUNNING"))
        assert done["state"] == "SUCCESS", done
        assert [p["numRows"] for p in done["result"]["pages"]] == [per_page] * (count // per_page)
        texts = [client.get(f"{path}/results?page={p['id']}").text for p in done["result"]["pages"]]
        assert client.get(f"{path}/results").text.split() == "".join(texts).split()
        return [json.loads(line)[0] - first for text in texts for line in text.splitlines() if line]

    assert all_of([lambda n=n: fetch(n) for n in range(6)], 6) == [list(range(count))] * 6


def test_everything_mixed_for_a_while(served: ServerProcess, big: str, visits: str, tmp_path: Path) -> None:
    """Readers see whole ingests only, whatever else goes on. SOAK_SECONDS makes it longer."""
    client = served.client
    client.ingest(day_table("soaked", days=1))
    end = time.monotonic() + SOAK_SECONDS
    failed: list[BaseException] = []
    done: dict[str, int] = {}

    def replace() -> None:
        days = random.randint(1, 3)
        assert client.wait(client.submit(day_table("soaked", days=days)))["status"] == "SUCCESS"

    def read() -> None:
        ((rows, each),) = client.rows(
            "SELECT COUNT(*), COUNT(*) / COUNT(DISTINCT TIME_FLOOR(__time, 'P1D')) FROM soaked"
        )
        assert rows in (3, 6, 9) and each == 3

    def cancel() -> None:
        client.post(f"/druid/indexer/v1/task/{client.submit(day_table('cancelled'))}/shutdown")

    def refuse() -> None:
        assert client.sql("SELECT nope FROM soaked").status_code == 400

    def look() -> None:
        for path in ("/druid/indexer/v1/tasks", "/druid/coordinator/v1/metadata/segments", "/status"):
            assert client.get(path).status_code == 200

    def go() -> None:
        leave(served.port, f"SELECT * FROM {big}", 50_000)

    def repeat(job: Callable[[], None]) -> None:
        try:
            for number in itertools.count(1):
                job()
                done[job.__name__] = number
                if time.monotonic() > end:
                    return
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=repeat, args=(job,)) for job in (replace, read, read, cancel, refuse, look, go)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and len(done) == 6, (failed, done)
    assert "Traceback" not in served.logged(), served.logged()[-3_000:]
