"""Workers as processes: the same rows as threads give, and what happens when one is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller import events as ev
from controller.catalog import MetadataCatalog
from controller.controller import Controller
from controller.engine import Engine, EngineSettings
from controller.launch.children import CHILDREN
from controller.launch.local_process import ProcessLauncher
from controller.publish.publisher import TablePublisher
from controller.task import ControllerServices, ControllerTask
from msq.context import QueryContext
from msq.plan.planner import plan
from msq.report import TaskReport
from msq.results import ResultsContext
from msq.sql.bind import bind
from msq.sql.statement import parse_statement
from msq.stage.destination import DataSourceDestination
from worker.chaos import Chaos
from worker.remote.process import WorkerServices
from worker.settings import WorkerSettings

SOURCE = """TABLE(EXTERN('{"type":"local","baseDir":"{dir}","filter":"*.json"}', '{"type":"json"}'))
  EXTEND (t VARCHAR, k VARCHAR, v BIGINT, tags VARCHAR)"""
INGEST = f"REPLACE INTO t OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, k, v, tags FROM {SOURCE} PARTITIONED BY DAY"
SELECT = f"SELECT k, COUNT(*) AS c, SUM(v) AS s FROM {SOURCE} GROUP BY k ORDER BY s DESC, k"


class Bench:
    """An engine's folder, and statements run over it with worker processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("a", "b"):
            rows = [
                {"t": f"2024-03-0{n % 3 + 1}", "k": f"{name}{n % 7}", "v": n, "tags": ["x", "y"] if n % 2 else "z"}
                for n in range(60)
            ]
            (folder / f"{name}.json").write_text("".join(json.dumps(r) + "\n" for r in rows))
        self.engine = Engine(EngineSettings(data_dir=folder / "data", threads=1))
        self.launcher: ProcessLauncher

    def controller(
        self, sql: str, task: str, context: Mapping[str, Any], chaos: Chaos | None = None, listener: Any = None
    ) -> Controller:
        engine = self.engine
        given = {"sqlQueryId": task, "queryId": task, "maxNumTasks": 3, **context}
        catalog = MetadataCatalog(engine.store, engine.schema_of)
        bound = bind(
            parse_statement(sql.replace("{dir}", str(self.folder)), given, ()), catalog, QueryContext(given),
            query_id=task, now_ms=0,
        )  # fmt: skip
        data = self.folder / "data"
        services = WorkerServices(
            {"type": "local", "storageDirectory": str(data / "segments")}, data / "cache", str(data / "durable")
        )
        self.launcher = ProcessLauncher(
            self.folder / "tmp" / task, WorkerSettings(threads=1, chaos=chaos, memory_bytes=256 << 20), services
        )
        publisher = None
        if isinstance(bound.destination, DataSourceDestination):
            publisher = TablePublisher(engine.store, f"query-{task}", bound.destination)

        def signature(name: str) -> Any:
            found = catalog.table(name)
            assert found is not None
            return found.signature

        made = ControllerTask(
            f"query-{task}",
            lambda: plan(bound, query_id=f"query-{task}", context=given, max_workers=2, table_signature=signature),
            bound.destination, tuple(bound.column_mappings), given, tuple(bound.sql_type_names), ResultsContext(),
        )  # fmt: skip
        return Controller(made, ControllerServices(self.launcher, segments=catalog, publisher=publisher), listener)

    def run(self, sql: str, task: str, **context: Any) -> TaskReport:
        return self.controller(sql, task, context).run()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.engine.close()
    left = tmp_path / "tmp"
    assert not left.exists() or not list(left.iterdir()), "workers left files behind"
    deadline = time.monotonic() + 60
    while CHILDREN.busy and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not CHILDREN.busy, "workers are still there"


def rows(report: TaskReport) -> list[list[Any]]:
    assert report.status.status == "SUCCESS", report.status.error
    assert report.results is not None
    return report.results.rows


def test_rows_and_segments_are_those_of_threads(bench: Bench) -> None:
    threads = bench.engine.execute(SELECT.replace("{dir}", str(bench.folder)), {"maxNumTasks": 3})
    assert rows(bench.run(SELECT, "select")) == threads.rows
    report = bench.run(INGEST, "ingest", rowsPerSegment=15)
    assert report.status.status == "SUCCESS", report.status.error
    assert sum(s.total_rows or 0 for s in bench.engine.used_segments("t")) == 120
    table = bench.run("SELECT tags, COUNT(*) AS c FROM t GROUP BY 1 ORDER BY 1", "table")
    assert rows(table) == [["x", 60], ["y", 60], ["z", 60]]
    counters = report.counters[0]
    assert sorted(counters) == [0, 1]
    assert sum(sum(c["input0"]["rows"]) for c in counters.values()) == 120


def test_bad_rows_count_over_all_processes(bench: Bench) -> None:
    for name in ("a", "b"):
        with (bench.folder / f"{name}.json").open("a") as file:
            file.write("not json\n" * 3)
    good = bench.run(SELECT, "good", maxParseExceptions=6)
    assert len(rows(good)) == 14
    assert len(good.status.warnings) == 6
    assert {w.stage_number for w in good.status.warnings} == {0}
    bad = bench.run(SELECT, "bad", maxParseExceptions=5)
    assert bad.status.error is not None
    assert bad.status.error.code == "TooManyWarnings"


def kill_first_worker(bench: Bench) -> Any:
    """A listener that kills a worker as soon as it has begun to read."""
    killed = threading.Event()

    def listener(progress: ev.Progress) -> None:
        if isinstance(progress, ev.StageChanged) and progress.phase.value == "READING_INPUT" and not killed.is_set():
            killed.set()
            pid = bench.launcher.pids[0]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)

    return listener


def test_a_killed_worker_fails_the_query(bench: Bench) -> None:
    report = bench.controller(INGEST, "kill", {}, listener=kill_first_worker(bench)).run()
    assert report.status.error is not None
    assert report.status.error.code == "WorkerFailed"
    assert report.status.error.error["workerTaskId"] == "query-kill-worker0_0"
    assert report.status.error.error["errorMsg"] == "its process was killed by signal [9]"
    assert bench.engine.used_segments("t") == []


def test_a_killed_worker_is_replaced_under_fault_tolerance(bench: Bench) -> None:
    calm = rows(bench.run(SELECT, "calm"))
    made = bench.controller(SELECT, "rough", {"faultTolerance": True}, listener=kill_first_worker(bench))
    report = made.run()
    assert rows(report) == calm
    assert report.status.workers[0][0].worker_id == "query-rough-worker0_1"


def test_a_worker_that_cannot_begin_says_why(bench: Bench) -> None:
    made = bench.controller(SELECT, "begin", {})
    bench.launcher._services = WorkerServices({"type": "tape"}, bench.folder)
    error = made.run().status.error
    assert error is not None
    assert "Deep storage of type [tape] is not supported" in (error.message or "")


def test_injected_faults_travel_as_faults(bench: Bench) -> None:
    report = bench.controller(SELECT, "chaos", {}, Chaos(0, {"output": 1.0}, max_attempt=0)).run()
    assert report.status.error is not None
    assert report.status.error.stage_number == 0
    assert "Injected failure" in (report.status.error.message or "")
    assert "InjectedFailure" in (report.status.error.trace or "")


def test_a_cancel_ends_the_processes(bench: Bench) -> None:
    begun = threading.Event()
    made = bench.controller(
        INGEST, "cancel", {}, listener=lambda p: begun.set() if isinstance(p, ev.StageChanged) else None
    )
    done: list[TaskReport] = []
    thread = threading.Thread(target=lambda: done.append(made.run()))
    thread.start()
    assert begun.wait(120)
    made.cancel()
    thread.join()
    assert done[0].status.error is not None
    assert done[0].status.error.code == "Canceled"
