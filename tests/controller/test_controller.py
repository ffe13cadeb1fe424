"""Controller: the loop with workers that do as they are told, so that every end can be brought about."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from controller import controller as controller_module
from controller import events as ev
from controller.phases import StagePhase
from msq.faults import (
    CanceledFault,
    CannotParseExternalDataFault,
    Fault,
    InvalidFieldFault,
    MSQError,
    TooManyColumnsFault,
    UnknownFault,
)
from msq.frame.keys import ClusterBy, KeyColumn
from msq.stage.query import QueryDefinition
from msq.stage.shuffle import MaxCountShuffleSpec, MixShuffleSpec
from msq.stage.work_order import WorkOrder
from tests.controller.fake import FakeLauncher, FakeWorker, controller, simple, stages


def test_a_select_ends_with_its_rows() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.batches = (pa.RecordBatch.from_pydict({"__bucket": [1, 1], "k": ["x", None], "__boost": [0, 1]}),)
        simple(worker, order)

    launcher = FakeLauncher(behaviour)
    heard: list[ev.Progress] = []
    report = controller(stages(MixShuffleSpec()), launcher, listener=heard.append).run()
    assert report.status.status == "SUCCESS"
    assert report.results is not None
    assert report.results.to_json() == {
        "signature": [{"name": "key", "type": "STRING"}], "sqlTypeNames": ["VARCHAR"], "results": [["x"], [None]],
        "resultsTruncated": False,
    }  # fmt: skip
    assert [s.phase for s in report.stages or ()] == ["FINISHED"]
    entry = report.status.workers[0][0]
    assert (entry.worker_id, entry.state) == ("query-t-worker0_0", "SUCCESS")
    assert entry.duration_ms > 0 <= entry.pending_ms
    assert (report.status.pending_tasks, report.status.running_tasks) == (0, 1)
    assert launcher.workers[0].log == ["finish"]
    assert launcher.stopped == 1
    assert heard[0] == ev.StageChanged(0, StagePhase.NEW, 0, None)
    assert heard[-2:] == [ev.StageChanged(0, StagePhase.FINISHED, 1, 1), ev.QueryEnded("SUCCESS")]
    assert report.task_context == {}


def test_pieces_of_a_sorted_partition_are_merged() -> None:
    pieces = [["b", "d"], ["a", "c"]]

    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        keys = pieces[worker.number]
        worker.batches = (pa.RecordBatch.from_pydict({"__bucket": [1, 1], "k": keys, "__boost": [0, 1]}),)
        simple(worker, order)

    from controller.select import read_results

    stage = stages(MaxCountShuffleSpec(ClusterBy((KeyColumn("k", "DESCENDING"),)), 1)).final
    workers = {n: FakeWorker(n, f"w{n}", None, behaviour) for n in range(2)}  # type: ignore[arg-type]
    for worker, keys in zip(workers.values(), ([*reversed(p)] for p in pieces)):
        worker.batches = (pa.RecordBatch.from_pydict({"__bucket": [1, 1], "k": keys, "__boost": [0, 1]}),)
    batches = list(read_results(stage, 1, (0, 1), workers, lambda: None))
    assert [b.column("k").to_pylist() for b in batches] == [["d", "c", "b", "a"]]


def test_planning_that_fails_leaves_no_stages() -> None:
    def refuse() -> QueryDefinition:
        raise MSQError(TooManyColumnsFault(2002, 2000))

    made = controller(refuse, FakeLauncher(simple))
    assert made.snapshot() is None
    report = made.run()
    payload = report.payload()
    assert list(payload) == ["status", "counters"]
    assert payload["status"]["errorReport"]["error"]["errorCode"] == "TooManyColumns"
    assert payload["status"]["errorReport"]["taskId"] == "query-t"
    assert (payload["status"]["pendingTasks"], payload["status"]["runningTasks"]) == (-1, 1)
    assert payload["status"]["workers"] == {}
    assert made.snapshot() is None


def test_a_worker_error_is_the_workers_item() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.controller.post_worker_error(0, 0, CannotParseExternalDataFault("bad"), "trace")

    launcher = FakeLauncher(behaviour)
    report = controller(stages(MixShuffleSpec()), launcher).run()
    assert report.status.error is not None
    assert report.status.error.to_json() == {
        "taskId": "query-t-worker0_0", "host": "h:1", "stageNumber": 0,
        "error": {"errorCode": "CannotParseExternalData", "errorMessage": "bad"}, "exceptionStackTrace": "trace",
    }  # fmt: skip
    assert (report.stages or ())[0].phase is None
    assert report.status.workers[0][0].state == "FAILED"
    assert report.status.workers[0][0].duration_ms == -1
    assert launcher.workers[0].log == ["cancel CannotParseExternalData", "finish"]


def test_errors_that_the_end_provokes_do_not_take_its_place() -> None:
    class Talkative(FakeWorker):
        def cancel(self, fault: Fault) -> None:
            self.controller.post_worker_error(self.number, 7, fault, "too late")

    class Launcher(FakeLauncher):
        def start(self, number: int, attempt: int, task_id: str) -> None:
            self.events.worker_ready(Talkative(number, task_id, self.controller, self.behaviour), attempt)

    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.controller.post_worker_error(0, 0, UnknownFault("first"), "trace")

    error = controller(stages(MixShuffleSpec()), Launcher(behaviour)).run().status.error
    assert error is not None
    assert (error.stage_number, error.trace, error.message) == (0, "trace", "first")


def test_columns_of_faults_are_named_as_the_user_knows_them() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.controller.post_worker_error(0, 0, InvalidFieldFault("s", "k", 4, "/ by zero", "Error of column[k]"), "")

    error = controller(stages(MixShuffleSpec()), FakeLauncher(behaviour)).run().status.error
    assert error is not None
    assert (error.error["column"], error.error["logMsg"]) == ("key", "Error of column[k]")


def test_a_worker_that_cannot_start_fails_the_query() -> None:
    report = controller(stages(MixShuffleSpec()), FakeLauncher(simple, "no memory")).run()
    assert report.status.error is not None
    assert report.status.error.error == {
        "errorCode": "WorkerFailed", "workerTaskId": "query-t-worker0_0", "errorMsg": "no memory",
        "errorMessage": "Worker[query-t-worker0_0] failed: no memory",
    }  # fmt: skip


def warning(worker: FakeWorker, times: int) -> None:
    for number in range(times):
        worker.controller.post_warning(worker.number, 0, CannotParseExternalDataFault(f"row {number}"))


def test_warnings_within_the_limit_are_shown() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        warning(worker, 7)
        simple(worker, order)

    report = controller(stages(MixShuffleSpec()), FakeLauncher(behaviour), context={"maxParseExceptions": 7}).run()
    assert report.status.status == "SUCCESS"
    assert [w.message for w in report.status.warnings] == [f"row {n}" for n in range(5)]
    assert {w.stage_number for w in report.status.warnings} == {0}


def test_one_warning_too_many() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        try:
            warning(worker, 3)
        except MSQError as error:
            worker.controller.post_worker_error(0, 0, error.fault, "trace")

    report = controller(stages(MixShuffleSpec()), FakeLauncher(behaviour), context={"maxParseExceptions": 2}).run()
    assert report.status.error is not None
    assert report.status.error.to_json() == {
        "taskId": "query-t-worker0_0", "host": "h",
        "error": {
            "errorCode": "TooManyWarnings", "maxWarnings": 2, "rootErrorCode": "CannotParseExternalData",
            "errorMessage": "Too many warnings of type CannotParseExternalData generated (max = 2)",
        },
    }  # fmt: skip
    assert [w.message for w in report.status.warnings] == ["row 0", "row 1"]


def test_warnings_that_were_only_counted_count_too() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.held[0] = {"warnings": {"type": "warnings", "CannotParseExternalData": 3}}
        simple(worker, order)

    report = controller(stages(MixShuffleSpec()), FakeLauncher(behaviour), context={"maxParseExceptions": 2}).run()
    assert report.status.error is not None
    assert report.status.error.code == "TooManyWarnings"


def test_a_timeout_cancels(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(controller_module, "time", SimpleNamespace(monotonic=lambda: now))

    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        nonlocal now
        now = 1.0

    launcher = FakeLauncher(behaviour)
    report = controller(stages(MixShuffleSpec()), launcher, context={"timeout": 1_000}).run()
    assert report.status.error is not None
    assert report.status.error.error["reason"] == "QUERY_TIMEOUT"
    assert launcher.workers[0].log == ["cancel Canceled", "finish"]


def test_a_cancel_from_another_thread() -> None:
    begun = threading.Event()
    launcher = FakeLauncher(lambda worker, order: begun.set())
    made = controller(stages(MixShuffleSpec()), launcher)
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(made.run()))
    thread.start()
    assert begun.wait(120)
    live = made.snapshot()
    assert live is not None
    assert live.status.status == "RUNNING"
    assert (live.status.pending_tasks, live.status.running_tasks) == (0, 2)
    assert [s.phase for s in live.stages or ()] == ["READING_INPUT"]
    assert live.task_context is None
    made.cancel()
    thread.join(120)
    assert done[0].status.error.error == {
        "errorCode": "Canceled", "reason": "TASK_SHUTDOWN", "errorMessage": CanceledFault("TASK_SHUTDOWN").message,
    }  # fmt: skip


def test_a_cancel_beats_the_error_that_it_provokes() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        made.cancel("USER_REQUEST")
        worker.controller.post_worker_error(0, 0, UnknownFault("broken pipe"), "trace")

    made = controller(stages(MixShuffleSpec()), FakeLauncher(behaviour))
    error = made.run().status.error
    assert error is not None
    assert error.error["reason"] == "USER_REQUEST"


def test_fault_tolerance_starts_a_worker_again() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        if order.attempt == 0:
            worker.controller.post_worker_error(0, 0, UnknownFault("boom"), "trace")
        else:
            simple(worker, order)

    launcher = FakeLauncher(behaviour)
    report = controller(stages(MixShuffleSpec()), launcher, context={"faultTolerance": True}).run()
    assert report.status.status == "SUCCESS"
    assert report.status.error is None
    assert [w.task_id for w in launcher.workers] == ["query-t-worker0_0", "query-t-worker0_1"]
    assert report.status.workers[0][0].worker_id == "query-t-worker0_1"
    assert (report.stages or ())[0].output == "durableStorage"


def test_fault_tolerance_needs_durable_outputs() -> None:
    context = {"faultTolerance": True, "durableShuffleStorage": False}
    report = controller(stages(MixShuffleSpec()), FakeLauncher(simple), context=context).run()
    assert report.status.error is not None
    assert report.status.error.code == "UnknownError"
    assert report.stages is None


def test_a_broken_worker_cannot_break_the_end() -> None:
    class Broken(FakeWorker):
        def finish(self) -> None:
            raise RuntimeError("finish failed")

        def counters(self) -> Mapping[int, Mapping[str, Any]]:
            raise RuntimeError("counters failed")

    class Launcher(FakeLauncher):
        def start(self, number: int, attempt: int, task_id: str) -> None:
            self.events.worker_ready(Broken(number, task_id, self.controller, simple), attempt)

    report = controller(stages(MixShuffleSpec()), Launcher(simple)).run()
    assert report.status.status == "SUCCESS"
