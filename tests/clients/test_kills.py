"""A server that is killed at random moments while it ingests: what it said stays true, and nothing is half there."""

from __future__ import annotations

import random
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.engine import Engine, EngineSettings
from controller.metadata.store import from_payload, to_payload
from controller.metadata.tasks import PUBLISHED, REPORT, add_task, get_file, put_file, task
from tests.clients.process import ServerProcess
from tests.controller.api.conftest import Client, extern, poll

ROUNDS = 5
ROWS, DAYS = 6, 3


class Writer:
    """Sends INSERTs one after the other until the server is gone. Each writes ROWS rows with its own number.

    `next`: the first number that was never sent. `accepted`: task by number, as soon as the server has said 202.
    `succeeded`: numbers whose SUCCESS was seen.
    """

    def __init__(self, client: Client, first: int) -> None:
        self.accepted: dict[int, str] = {}
        self.succeeded: set[int] = set()
        self._base = str(client.http.base_url)
        self.next = first
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with httpx.Client(base_url=self._base, timeout=120) as http:
            try:
                while True:
                    self._send(http)
                    self._look(http)
                    if len(self.accepted) - len(self.succeeded) > 3:
                        time.sleep(0.1)
            except httpx.TransportError:
                return
            except BaseException as error:
                self._failed.append(error)

    def _send(self, http: httpx.Client) -> None:
        number, self.next = self.next, self.next + 1
        answer = http.post("/druid/v2/sql/task", json={"query": insert(number)})
        assert answer.status_code == 202, answer.text
        self.accepted[number] = answer.json()["taskId"]

    def _look(self, http: httpx.Client) -> None:
        for number, name in self.accepted.items():
            if number not in self.succeeded:
                status = http.get(f"/druid/indexer/v1/task/{name}/status").json()["status"]["status"]
                assert status != "FAILED"
                if status == "SUCCESS":
                    self.succeeded.add(number)

    def join(self) -> None:
        self._thread.join()
        assert not self._failed, self._failed


def insert(number: int) -> str:
    rows = [{"t": f"2024-01-0{n % DAYS + 1}T00:00:00Z", "w": number} for n in range(ROWS)]
    source = extern(rows, t="VARCHAR", w="BIGINT")
    return f"INSERT INTO written SELECT TIME_PARSE(t) AS __time, w FROM {source} PARTITIONED BY DAY"


def counts(client: Client) -> dict[int, int]:
    return {int(w): c for w, c in client.rows("SELECT w, COUNT(*) AS c FROM written GROUP BY 1")}


def stored(data_dir: Path) -> set[Path]:
    return {file.parent for file in (data_dir / "segments").rglob("version.bin")}


def settled(client: Client, data_dir: Path, tasks: dict[int, str], seen: set[int]) -> None:
    """What must hold once a server has taken over from a killed one."""
    # also those whose acceptance was never heard of, which wait at first
    poll(
        lambda: [t["id"] for t in client.get("/druid/indexer/v1/tasks").json() if t["status"] == "RUNNING"],
        lambda active: active == [],
    )
    ends = {number: client.wait(task) for number, task in tasks.items()}
    good = {number for number, status in ends.items() if status["status"] == "SUCCESS"}
    assert seen <= good, "a task that had succeeded is no longer there"
    for number in ends.keys() - good:
        assert ends[number]["status"] == "FAILED" and "ended with its process" in ends[number]["errorMsg"], ends[number]
    found = counts(client)
    # an answer that was lost on its way may belong to a task all the same
    assert {n: c for n, c in found.items() if n in tasks} == dict.fromkeys(good, ROWS), "rows are half there, or lost"
    assert set(found.values()) == {ROWS}
    listed = {
        Path(segment["loadSpec"]["path"])
        for segment in client.get("/druid/coordinator/v1/metadata/datasources/written/segments?full").json()
    }
    assert stored(data_dir) == listed, "files that no segment knows, or segments without files"
    locks = client.post("/druid/indexer/v1/activeLocks", [{"datasource": "written"}]).json()
    assert locks == {"datasourceToLocks": {}}


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_killed_at_random_moments(tmp_path: Path, kind: str) -> None:
    data_dir = tmp_path / "data"
    moments = random.Random(kind)
    tasks: dict[int, str] = {}
    seen: set[int] = set()
    rounds = 4 if kind == "thread" else ROUNDS - 4
    with ExitStack() as servers:

        def start() -> ServerProcess:
            return servers.enter_context(ServerProcess(data_dir, "--task-slots", "4", "--workers", kind))

        server = start()
        tasks[0] = server.client.ingest(insert(0))
        seen.add(0)
        for _ in range(rounds):
            writer = Writer(server.client, max(tasks) + 1)
            try:
                poll(lambda w=writer: len(w.accepted), bool)
                time.sleep(moments.uniform(0, 0.8))
            finally:
                server.kill()
                writer.join()
            tasks.update(writer.accepted)
            later = writer.next
            seen |= writer.succeeded
            server = start()
            # before anything else: what was seen as written is there at once
            assert seen <= counts(server.client).keys()
            tasks[later] = server.client.ingest(insert(later))
            seen.add(later)
            settled(server.client, data_dir, tasks, seen)
        assert server.end() == 0
        assert not list((data_dir / "tmp").glob("*")) and not list((data_dir / "run").glob("*.lease"))


def test_killed_right_after_publishing_the_report_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report that the publishing transaction keeps says what the one at the end would have said."""
    monkeypatch.setattr(Engine, "_ended", lambda *_: None)
    with Engine(EngineSettings(data_dir=tmp_path)) as engine:
        told = engine.execute(insert(1), {"sqlQueryId": "done", "waitUntilSegmentsLoad": True}).report
    monkeypatch.undo()
    with Engine(EngineSettings(data_dir=tmp_path)) as engine, engine.store.reading() as connection:
        kept = get_file(connection, "query-done", REPORT)
        found = task(connection, "query-done")
    assert kept is not None and found is not None
    report = from_payload(kept)
    duration = report["multiStageQuery"]["payload"]["status"]["durationMs"]
    assert (found.status.status, found.status.duration, found.active) == ("SUCCESS", duration, False)
    assert duration >= 0 and without_times(report) == without_times(told)


def without_times(value: Any) -> Any:
    """A report without what a clock says: starts and durations."""
    if isinstance(value, dict):
        clocks = ("duration", "durationMs", "startTime", "pendingMs", "cpu")
        return {k: without_times(v) for k, v in value.items() if k not in clocks}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def test_killed_between_publishing_and_saying_so(tmp_path: Path) -> None:
    """The segments are there, so the task has succeeded, and so have its workers; another one has failed."""
    with Engine(EngineSettings(data_dir=tmp_path)) as engine, engine.store.transaction() as connection:
        for name in ("query-done", "query-lost"):
            for of in (name, f"{name}-worker0_0"):
                kind = "query_controller" if of == name else "query_worker"
                add_task(connection, {"id": of, "groupId": name, "type": kind, "dataSource": "t"}, "nobody")
        put_file(connection, "query-done", PUBLISHED, to_payload([]))
    with Engine(EngineSettings(data_dir=tmp_path)) as engine, engine.store.reading() as connection:
        for name, end in (("query-done", "SUCCESS"), ("query-lost", "FAILED")):
            for of in (name, f"{name}-worker0_0"):
                found = task(connection, of)
                assert found is not None and (found.status.status, found.active) == (end, False)
                assert (found.status.error_msg is None) == (end == "SUCCESS")
