"""`python -m bench server`: a running server beside DuckDB.

Submit to published for a small ingest (warm), 50 small tasks at once, queries over ingested order lines against DuckDB
on the same rows as Parquet, one by one and from several clients at once, and the memory of the server, idle and after.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import httpx

from bench import data, jobs

CLIENTS = 8
ROOT = Path(__file__).resolve().parent.parent
SMALL = (
    "REPLACE INTO small_{n} OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, v FROM TABLE(EXTERN("
    '\'{{"type":"inline","data":"2024-01-01,1\\n2024-01-02,2"}}\', \'{{"type":"csv","columns":["t","v"]}}\'))'
    " EXTEND (t VARCHAR, v BIGINT) PARTITIONED BY DAY"
)
QUERIES = {
    "count": ("SELECT COUNT(*) FROM lines", "SELECT count(*) FROM lines"),
    "group by": (
        "SELECT l_shipmode, COUNT(*), SUM(l_quantity) FROM lines GROUP BY 1",
        "SELECT l_shipmode, count(*), sum(l_quantity) FROM lines GROUP BY 1",
    ),
    "top list": (
        "SELECT l_clerk, COUNT(*) AS n FROM lines GROUP BY 1 ORDER BY n DESC LIMIT 10",
        "SELECT l_clerk, count(*) AS n FROM lines GROUP BY 1 ORDER BY n DESC LIMIT 10",
    ),
}


@contextmanager
def serving(folder: Path) -> Iterator[tuple[httpx.Client, int]]:
    """A server of its own over `folder`: a client for it, and its process id."""
    port = 18_888
    process = subprocess.Popen(
        [sys.executable, "-m", "msq", "serve", "--port", str(port), "--data-dir", str(folder), "--memory", "4GiB"],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=300)
    try:
        for _ in range(200):
            try:
                client.get("/status/health")
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield client, process.pid
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def run_task(client: httpx.Client, sql: str) -> float:
    """Seconds from submit to SUCCESS."""
    began = time.perf_counter()
    task = submit(client, sql)
    finish(client, task)
    return time.perf_counter() - began


def submit(client: httpx.Client, sql: str) -> str:
    answer = client.post("/druid/v2/sql/task", json={"query": sql, "context": {"maxNumTasks": 2}})
    return str(answer.raise_for_status().json()["taskId"])


def finish(client: httpx.Client, task: str) -> None:
    while True:
        status = client.get(f"/druid/indexer/v1/task/{task}/status").json()["status"]["status"]
        if status == "SUCCESS":
            return
        if status == "FAILED":
            raise SystemExit(f"{task} failed: {client.get(f'/druid/indexer/v1/task/{task}/reports').text[:2000]}")
        time.sleep(0.005)


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def median_seconds(action: Callable[[], Any], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def measure(folder: Path, rows: int, rounds: int) -> list[dict[str, Any]]:
    """All figures, one row each."""
    out: list[dict[str, Any]] = []
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=folder))
    try:
        with serving(work) as (client, pid):
            time.sleep(2)
            out.append({"what": "idle server", "mib": resident_mib(pid)})
            run_task(client, SMALL.format(n="warm"))
            spent = [run_task(client, SMALL.format(n=n)) for n in range(rounds * 3)]
            out.append({"what": "submit to published", "seconds": statistics.median(spent), "worst": max(spent)})
            began = time.perf_counter()
            tasks = [submit(client, SMALL.format(n=f"many_{n}")) for n in range(50)]
            for task in tasks:
                finish(client, task)
            out.append({"what": "50 small tasks at once", "seconds": time.perf_counter() - began})
            run_task(client, jobs.lines_parquet(folder, rows).sql)
            with duckdb.connect() as connection:
                connection.execute(f"CREATE VIEW lines AS FROM read_parquet('{data.lines(folder, rows, 'parquet')}')")
                for name, (ours, theirs) in QUERIES.items():

                    def ask(sql: str = ours) -> None:
                        client.post("/druid/v2/sql", json={"query": sql}).raise_for_status()

                    def peer(sql: str = theirs) -> None:
                        connection.execute(sql).fetchall()

                    ask()
                    peer()
                    mine, other = median_seconds(ask, rounds), median_seconds(peer, rounds)
                    out.append({
                        "what": f"{name} over {rows:,} rows", "seconds": mine, "duckdb": other, "ratio": mine / other
                    })  # fmt: skip
                mine, other = together(client, connection, rounds)
                out.append({
                    "what": f"queries a second of {CLIENTS} clients", "queries": mine, "duckdb": other,
                    "ratio": other / mine,
                })  # fmt: skip
            out.append({"what": "server after the queries", "mib": resident_mib(pid)})
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def together(client: httpx.Client, connection: Any, rounds: int) -> tuple[float, float]:
    """Queries a second of several clients that ask all of QUERIES in turn: of the server, and of DuckDB's cursors."""

    def rate(ask: Callable[[int], Any]) -> float:
        count = CLIENTS * len(QUERIES) * rounds
        with ThreadPoolExecutor(CLIENTS) as pool:
            began = time.perf_counter()
            list(pool.map(ask, range(count)))
            return count / (time.perf_counter() - began)

    queries = list(QUERIES.values())

    def ours(number: int) -> None:
        client.post("/druid/v2/sql", json={"query": queries[number % len(queries)][0]}).raise_for_status()

    def theirs(number: int) -> None:
        connection.cursor().execute(queries[number % len(queries)][1]).fetchall()

    return rate(ours), rate(theirs)


def main(folder: Path, rows: int, rounds: int) -> list[dict[str, Any]]:
    """Measures, prints a line for each figure and answers them."""
    results = measure(folder, rows, rounds)
    for row in results:
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}))
    return results
