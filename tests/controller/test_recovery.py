"""Queries that lose workers: with fault tolerance they end as calm runs do, without it they leave nothing behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from controller.catalog import MetadataCatalog
from controller.controller import Controller
from controller.engine import Engine, EngineSettings
from controller.launch.in_process import InProcessLauncher
from controller.metadata.tasks import add_task
from controller.publish.publisher import TablePublisher
from controller.task import ControllerServices, ControllerTask
from msq.context import QueryContext
from msq.plan.planner import plan
from msq.report import TaskReport
from msq.results import ResultsContext
from msq.sql.bind import bind
from msq.sql.statement import parse_statement
from msq.stage.destination import DataSourceDestination
from msq.storage.durable import StagePlace
from worker.chaos import PLACES, Chaos
from worker.settings import WorkerSettings

Run = Callable[..., TaskReport]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs a statement over `tmp_path` with faults injected into its workers."""
    for name in ("a", "b", "c"):
        rows = [{"t": f"2024-03-0{n % 3 + 1}", "k": f"{name}{n % 7}", "v": n} for n in range(50)]
        (tmp_path / f"{name}.json").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with Engine(EngineSettings(data_dir=tmp_path / "data", threads=2)) as engine:

        def start(sql: str, context: Mapping[str, Any], chaos: Chaos | None, task: str = "x") -> TaskReport:
            given = {"sqlQueryId": task, "queryId": task, "maxNumTasks": 4, **context}
            settings = QueryContext(given)
            catalog = MetadataCatalog(engine.store, engine.schema_of)
            bound = bind(
                parse_statement(sql.replace("{dir}", str(tmp_path)), given, ()), catalog, settings, query_id=task,
                now_ms=0,
            )  # fmt: skip
            services = {"deep_storage": engine.deep_storage, "durable_storage": engine.durable_storage}
            launcher = InProcessLauncher(tmp_path / "tmp" / task, WorkerSettings(threads=1, chaos=chaos), services)
            publisher = None
            if isinstance(bound.destination, DataSourceDestination):
                publisher = TablePublisher(engine.store, f"query-{task}", bound.destination)
            made = Controller(
                ControllerTask(
                    f"query-{task}",
                    lambda: plan(
                        bound, query_id=f"query-{task}", context=given, max_workers=3,
                        table_signature=lambda name: catalog.table(name).signature,  # type: ignore[union-attr]
                    ),
                    bound.destination, tuple(bound.column_mappings), given, tuple(bound.sql_type_names),
                    ResultsContext(),
                ),
                ControllerServices(launcher, segments=catalog, publisher=publisher),
            )  # fmt: skip
            report = made.run()
            assert not (tmp_path / "tmp" / task).exists()
            start.published = made.published  # type: ignore[attr-defined]
            return report

        start.engine = engine  # type: ignore[attr-defined]
        yield start


SOURCE = """TABLE(EXTERN('{"type":"local","baseDir":"{dir}","filter":"*.json"}', '{"type":"json"}'))
  EXTEND (t VARCHAR, k VARCHAR, v BIGINT)"""
SELECT = f"SELECT k, COUNT(*) AS c, SUM(v) AS s FROM {SOURCE} GROUP BY k ORDER BY s DESC, k"
INGEST = f"""REPLACE INTO t OVERWRITE ALL SELECT TIME_PARSE(t) AS __time, k, v FROM {SOURCE}
PARTITIONED BY DAY CLUSTERED BY k"""
TOLERANT = {"faultTolerance": True, "rowsPerSegment": 20}


def rows(report: TaskReport) -> list[list[Any]]:
    assert report.status.status == "SUCCESS", report.status.error
    assert report.results is not None
    return report.results.rows


@pytest.mark.parametrize("place", PLACES)
def test_a_select_survives_every_first_attempt_failing(run: Run, place: str) -> None:
    calm = rows(run(SELECT, {}, None, "calm"))
    assert len(calm) == 21
    report = run(SELECT, TOLERANT, Chaos(3, {place: 1.0}, max_attempt=0), "rough")
    assert rows(report) == calm
    attempts = {entry.worker_id.rpartition("_")[2] for (entry,) in report.status.workers.values()}
    assert attempts <= {"0", "1"}
    if place != "read":
        assert attempts == {"1"}


@pytest.mark.parametrize("seed", range(4))
def test_an_ingest_under_random_faults_publishes_once(run: Any, seed: int) -> None:
    places = dict.fromkeys(PLACES, 0.25)
    report = run(INGEST, TOLERANT, Chaos(seed, places, max_attempt=1), f"rough{seed}")
    assert report.status.status == "SUCCESS", report.status.error
    segments = run.published.segments
    assert sum(s.total_rows for s in segments) == 150
    assert len({s.id for s in segments}) == len(segments)
    counted = run('SELECT COUNT(*) AS n, SUM("v") AS s FROM t', {}, None, f"count{seed}")
    assert rows(counted) == [[150, 3 * sum(range(50))]]


def test_without_fault_tolerance_nothing_is_left(run: Any) -> None:
    report = run(INGEST, {"rowsPerSegment": 20}, Chaos(0, {"write": 1.0}), "lost")
    assert report.status.status == "FAILED"
    assert report.status.error is not None
    assert report.status.error.task_id.startswith("query-lost-worker")
    assert "Injected failure" in (report.status.error.message or "")
    assert run.published is None
    assert run.engine.used_segments("t") == []
    # the locks are free again
    assert run(INGEST, {}, None, "after").status.status == "SUCCESS"


def test_a_worker_that_fails_every_time_ends_the_query(run: Run) -> None:
    report = run(SELECT, TOLERANT, Chaos(0, {"start": 1.0}, max_attempt=99), "never")
    assert report.status.error is not None
    assert report.status.error.code == "TooManyAttemptsForWorker"


def test_stages_that_run_at_once_give_the_same_rows(run: Run) -> None:
    join = (
        f"SELECT a.k, COUNT(*) AS c FROM {SOURCE} a JOIN (SELECT k FROM {SOURCE} WHERE v < 9) b ON a.k = b.k GROUP BY 1"
    )
    calm = sorted(rows(run(join, {"sqlJoinAlgorithm": "sortMerge"}, None, "one")))
    report = run(join, {"sqlJoinAlgorithm": "sortMerge", "maxConcurrentStages": 3}, None, "three")
    assert sorted(rows(report)) == calm
    assert {stage.output for stage in report.stages or ()} == {"memory"}


def test_outputs_of_a_process_that_is_gone_are_removed(tmp_path: Path) -> None:
    with Engine(EngineSettings(data_dir=tmp_path)) as engine:
        payload = {"id": "query-lost", "groupId": "query-lost", "type": "query_controller", "dataSource": "t"}
        with engine.store.transaction() as connection:
            add_task(connection, payload, "gone")
        for task in ("query-lost", "query-other"):
            engine.durable_storage.succeed(StagePlace(task, 0), 0, f"{task}-worker0_0")
    with Engine(EngineSettings(data_dir=tmp_path)) as engine:
        assert engine.durable_storage.controllers() == ("query-other",)
