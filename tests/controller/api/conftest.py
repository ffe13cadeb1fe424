"""A real server on a free port, started once for the tests of the HTTP API, and a client that speaks to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.api.serve import RunningServer, open_server
from controller.api.server import ServerSettings
from controller.engine import EngineSettings

SLOTS = 4


class Client:
    """The calls that tests make again and again. Whoever makes one closes it, whatever happens to the test."""

    def __init__(self, base: str) -> None:
        self.http = httpx.Client(base_url=base, timeout=120)

    def close(self) -> None:
        """May be called again."""
        self.http.close()

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.get(path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.post(path, json=body, **more)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(path)

    def sql(self, query: str, **more: Any) -> httpx.Response:
        return self.post("/druid/v2/sql", {"query": query, **more})

    def rows(self, query: str, **more: Any) -> list[Any]:
        """Rows of an interactive query as lists."""
        answer = self.sql(query, resultFormat="array", **more)
        assert answer.status_code == 200, answer.text
        return list(answer.json())

    def submit(self, query: str, **context: Any) -> str:
        answer = self.post("/druid/v2/sql/task", {"query": query, "context": context})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["taskId"])

    @contextmanager
    def slow(self, **context: Any) -> Iterator[str]:
        """A task that runs until it is told to stop, at the end of the block if not before."""
        task = self.submit(slow_query(), **context)
        try:
            yield task
        finally:
            self.post(f"/druid/indexer/v1/task/{task}/shutdown", {})

    def state(self, task: str) -> dict[str, Any]:
        return dict(self.get(f"/druid/indexer/v1/task/{task}/status").json()["status"])

    def wait(self, task: str) -> dict[str, Any]:
        """The task's status once it has ended."""
        return poll(lambda: self.state(task), lambda status: status["status"] != "RUNNING")

    def ingest(self, query: str, **context: Any) -> str:
        task = self.submit(query, **context)
        status = self.wait(task)
        assert status["status"] == "SUCCESS", status["errorMsg"]
        return task


def poll(ask: Callable[[], Any], enough: Callable[[Any], bool], seconds: float = 120.0) -> Any:
    """What `ask` answers as soon as it is enough."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if enough(answer):
            return answer
        assert time.monotonic() < end, f"still {answer}"
        time.sleep(0.02)


def extern(rows: list[dict[str, Any]], **columns: str) -> str:
    """External data that stands in the statement."""
    data = "\n".join(json.dumps(row) for row in rows)
    source = json.dumps({"type": "inline", "data": data}).replace("'", "''")
    extend = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    return f"""TABLE(EXTERN('{source}', '{{"type":"json"}}')) EXTEND ({extend})"""


def day_table(name: str, days: int = 2, rows_per_day: int = 3, verb: str = "REPLACE") -> str:
    """An ingest of some days from 2024-01-01 on, with columns n and page."""
    rows = [
        {"t": f"2024-01-{day + 1:02d}T0{n}:00:00Z", "n": n, "page": f"p{n}"}
        for day in range(days)
        for n in range(rows_per_day)
    ]
    head = f'REPLACE INTO "{name}" OVERWRITE ALL' if verb == "REPLACE" else f'INSERT INTO "{name}"'
    source = extern(rows, t="VARCHAR", n="BIGINT", page="VARCHAR")
    return f"{head} SELECT TIME_PARSE(t) AS __time, n, page FROM {source} PARTITIONED BY DAY"


def slow_query() -> str:
    """A SELECT that no machine ends within a test: it runs until it is cancelled."""
    source = extern([{"a": n} for n in range(1_000)], a="BIGINT")
    return (
        f"SELECT COUNT(*) AS c FROM {source} x CROSS JOIN {source} y CROSS JOIN {source} z CROSS JOIN {source} w "
        "WHERE MOD(x.a * y.a + z.a * w.a, 7) = 3"
    )


class Serving:
    """A server that runs on a thread while the block lasts."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        self.running: RunningServer = open_server(
            ServerSettings(port=0, task_slots=SLOTS, **settings),
            EngineSettings(data_dir=data_dir, memory_bytes=1 << 30),
        )
        self._thread = threading.Thread(target=self.running.run, name="server-under-test")
        self._client = Client(self.running.server.url)

    def __enter__(self) -> Client:
        self._thread.start()
        try:
            poll(lambda: _healthy(self._client), bool)
        except BaseException:
            self.__exit__()
            raise
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self.running.stop()
        self._thread.join(120)
        assert not self._thread.is_alive(), "the server did not end"


def _healthy(client: Client) -> bool:
    try:
        return client.get("/status/health").json() is True
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Serving(tmp_path_factory.mktemp("served")) as client:
        yield client


@pytest.fixture(scope="session")
def wiki(client: Client) -> str:
    """A table of two days with three rows each."""
    client.ingest(day_table("wiki"))
    return "wiki"
