"""Controller: the loop with workers that do as they are told, so that every end can be brought about."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from controller import events as ev
from controller.controller import Controller, ControllerServices, ControllerTask
from controller.phases import StagePhase
from controller.publishing import FinalReport, OutputPartition, Published, ShardColumns
from msq.datatypes import LONG, STRING, RowSignature
from msq.faults import (
    CanceledFault,
    CannotParseExternalDataFault,
    Fault,
    InsertLockPreemptedFault,
    InsertTimeNullFault,
    InvalidFieldFault,
    MSQError,
    TooManyColumnsFault,
    UnknownFault,
)
from msq.frame.keys import ClusterBy, KeyColumn
from msq.frame.statistics import KeyStatistics
from msq.intervals import Granularity
from msq.native.datasource import InlineDataSource
from msq.processors.limit import LimitProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.protocol import ControllerClient
from msq.segment.identity import DataSegment, NumberedShardSpec, RangeShardSpec
from msq.stage.destination import ColumnMapping, DataSourceDestination, TaskReportDestination
from msq.stage.inputs import InlineInputSpec, StageInputSpec
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.shuffle import MaxCountShuffleSpec, MixShuffleSpec, ShuffleSpec, TargetSizeShuffleSpec
from msq.stage.work_order import WorkOrder

SIGNATURE = RowSignature([("__bucket", LONG), ("k", STRING), ("__boost", LONG)])
KEY = ClusterBy((KeyColumn("__bucket"), KeyColumn("k"), KeyColumn("__boost")), bucket_by_count=1)
LEAF = InlineInputSpec(InlineDataSource(("k",), (STRING,), (("x",),)))
DAY = 86_400_000


def stages(shuffle: ShuffleSpec, *, generator: bool = False) -> QueryDefinition:
    first = StageDefinition(
        0, (LEAF,), LimitProcessor(), SIGNATURE, shuffle, 1, check_multiple_values=generator,
        input_signatures=(LEAF.data_source.signature,),
    )  # fmt: skip
    if not generator:
        return QueryDefinition("query-t", (first,))
    schema = {"dimensionsSpec": {}, "granularitySpec": {"queryGranularity": {"type": "none"}, "rollup": False}}
    processor = SegmentGeneratorProcessor(schema, (ColumnMapping("k", "key"),), None, {"rowsPerSegment": 2})
    last = StageDefinition(1, (StageInputSpec(0),), processor, RowSignature(), None, 1, input_signatures=(SIGNATURE,))
    return QueryDefinition("query-t", (first, last))


Behaviour = Callable[["FakeWorker", WorkOrder], None]


@dataclass
class FakeWorker:
    """Answers each work order as `behaviour` says, on the controller's own thread."""

    number: int
    task_id: str
    controller: ControllerClient
    behaviour: Behaviour
    log: list[str] = field(default_factory=list)
    held: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    orders: list[WorkOrder] = field(default_factory=list)
    batches: tuple[Any, ...] = ()

    def start_query(self, query: QueryDefinition) -> None:
        self.query = query

    def post_work_order(self, order: WorkOrder) -> None:
        self.orders.append(order)
        self.behaviour(self, order)

    def post_result_partition_boundaries(self, stage: int, boundaries: Any) -> None:
        self.log.append(f"boundaries {stage}: {len(boundaries)}")
        self.controller.post_results_complete(stage, self.number, [], range(len(boundaries)))

    def cleanup_stage(self, stage: int) -> None:
        self.log.append(f"cleanup {stage}")

    def read_results(self, stage: int, partition: int) -> Iterator[Any]:
        return iter(self.batches)

    def counters(self) -> Mapping[int, Mapping[str, Any]]:
        return dict(self.held)

    def finish(self) -> None:
        self.log.append("finish")

    def cancel(self, fault: Fault) -> None:
        self.log.append(f"cancel {fault.code}")


class FakeLauncher:
    counters_are_cheap = True

    def __init__(self, behaviour: Behaviour, fail_to_start: str | None = None) -> None:
        self.behaviour = behaviour
        self.fail_to_start = fail_to_start
        self.workers: list[FakeWorker] = []
        self.stopped = 0

    def begin(self, query: QueryDefinition, controller: ControllerClient, events: Any) -> None:
        self.controller, self.events = controller, events

    def start(self, number: int, attempt: int, task_id: str) -> None:
        if self.fail_to_start is not None:
            self.events.worker_failed(number, attempt, None, self.fail_to_start)
            return
        worker = FakeWorker(number, task_id, self.controller, self.behaviour)
        self.workers.append(worker)
        self.events.worker_ready(worker, attempt)

    def stop(self) -> None:
        self.stopped += 1


class FakePublisher:
    def __init__(self, locks: Sequence[bool] = (True,), publish_error: Fault | None = None) -> None:
        self.locks = list(locks)
        self.publish_error = publish_error
        self.asked: list[tuple[list[OutputPartition], ShardColumns | None]] = []
        self.published: list[DataSegment] | None = None
        self.kept_report: Any = None
        self.aborted = 0

    def lock(self) -> bool:
        return self.locks.pop(0) if len(self.locks) > 1 else self.locks[0]

    def allocate(
        self, partitions: Sequence[OutputPartition], shard_columns: ShardColumns | None
    ) -> dict[int, DataSegment]:
        self.asked.append((list(partitions), shard_columns))
        return {
            p.partition: DataSegment("t", "2024-01-01/2024-01-02", "v", {}, (), (), NumberedShardSpec(n, 1))
            for n, p in enumerate(partitions)
        }

    def publish(self, segments: Sequence[DataSegment], report: FinalReport | None = None) -> Published:
        if self.publish_error is not None:
            raise MSQError(self.publish_error)
        self.published = list(segments)
        made = Published(tuple(segments), ())
        self.kept_report = None if report is None else report(made)
        return made

    def abort(self) -> None:
        self.aborted += 1


def controller(
    query: QueryDefinition | Callable[[], QueryDefinition], launcher: FakeLauncher, *, publisher: Any = None,
    destination: Any = None, context: Mapping[str, Any] | None = None, listener: Any = None,
) -> Controller:  # fmt: skip
    ticks = iter(range(0, 1 << 30, 10))
    task = ControllerTask(
        "query-t", query if callable(query) else lambda: query, destination or TaskReportDestination(),
        (ColumnMapping("k", "key"),), context or {}, ("VARCHAR",), task_context={},
    )  # fmt: skip
    services = ControllerServices(launcher, publisher=publisher, host="h:1", clock=lambda: next(ticks))
    return Controller(task, services, listener)


def ingest(
    behaviour: Behaviour, *, replace: tuple[str, ...] | None = ("2024-01-01/2024-01-03",),
    context: Mapping[str, Any] | None = None, publisher: FakePublisher | None = None,
) -> tuple[Controller, FakeLauncher, FakePublisher]:  # fmt: skip
    destination = DataSourceDestination("t", Granularity("DAY"), replace_time_chunks=replace)
    launcher, publisher = FakeLauncher(behaviour), publisher or FakePublisher()
    query = stages(TargetSizeShuffleSpec(KEY, 2), generator=True)
    made = controller(query, launcher, publisher=publisher, destination=destination, context=context)
    return made, launcher, publisher


def simple(worker: FakeWorker, order: WorkOrder) -> None:
    """A stage without statistics that just ends."""
    worker.controller.post_done_reading(order.stage, worker.number)
    worker.controller.post_results_complete(order.stage, worker.number, [], (0,))


def keyed(rows: Sequence[tuple[int, Any, int]]) -> Behaviour:
    """A first stage with these (bucket, key, boost) rows; a generator that writes every segment it is given."""

    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        if order.stage == 1:
            made = [{**s, "size": 5} for s in order.extra["segments"].values()]
            worker.controller.post_results_complete(1, worker.number, made, (0,))
            return
        spec = worker.query.stages[0].shuffle_spec
        assert spec is not None
        statistics = KeyStatistics.of(spec, SIGNATURE)
        if rows:
            columns = [pa.array(c) for c in zip(*rows)]
            several = any(isinstance(k, list) for _, k, _ in rows)
            statistics.note_multi_values((False, several, False))
            statistics.add_sorted(columns, len(rows), None, [True] * len(rows), None)
        worker.held[0] = {"shuffle": {"type": "channel", "rows": counts(rows)}, "output": {"type": "channel"}}
        worker.controller.post_partial_key_statistics(0, worker.number, statistics)

    return behaviour


def counts(rows: Sequence[tuple[int, Any, int]]) -> list[int]:
    """Rows by partition when every partition takes up to two of a bucket."""
    out: list[int] = []
    for bucket in sorted({r[0] for r in rows}):
        left = sum(r[0] == bucket for r in rows)
        while left > 0:
            out.append(min(left, 2))
            left -= 2
    return out


ROWS = [(0, "a", 0), (0, "b", 1), (DAY, "c", 2)]
JANUARY = 19_723 * DAY
ROWS = [(JANUARY + b, k, n) for b, k, n in ROWS]


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


def test_a_replace_asks_for_range_segments_and_publishes_what_was_written() -> None:
    made, launcher, publisher = ingest(keyed(ROWS))
    report = made.run()
    assert report.status.status == "SUCCESS", report.status.error
    assert publisher.asked == [
        (
            [
                OutputPartition(0, JANUARY, ("a",), ("c",)),
                OutputPartition(1, JANUARY + DAY, ("c",), None),
            ],
            ShardColumns(("key",)),
        )
    ]
    assert publisher.published is not None
    assert [(s.shard_spec.partition_num, s.size) for s in publisher.published] == [(0, 5), (1, 5)]
    kept = publisher.kept_report["multiStageQuery"]["payload"]
    assert kept["status"]["status"] == "SUCCESS" and {s["phase"] for s in kept["stages"]} == {"FINISHED"}
    assert made.published is not None
    assert made.published.segments == tuple(publisher.published)
    assert report.status.segment_report is not None
    assert report.status.segment_report.shard_spec == "DimensionRangeShardSpec"
    assert launcher.workers[0].log == ["boundaries 0: 2", "cleanup 0", "finish"]
    assert [s.partition_count for s in report.stages or ()] == [2, 2]
    assert publisher.aborted == 0


def test_an_insert_is_numbered() -> None:
    made, _, publisher = ingest(keyed(ROWS), replace=None)
    report = made.run()
    assert publisher.asked[0][1] is None
    assert report.status.segment_report is not None
    assert report.status.segment_report.details.endswith("since the query is inserting rows.")


def test_multi_valued_keys_make_no_ranges() -> None:
    rows = [(JANUARY, ["a"], 0), (JANUARY, ["b", "c"], 1)]
    made, _, publisher = ingest(keyed(rows))
    report = made.run()
    assert publisher.asked[0][1] is None
    assert report.status.segment_report is not None
    assert "multi-valued" in report.status.segment_report.details


def test_an_insert_without_rows_publishes_nothing() -> None:
    made, _, publisher = ingest(keyed([]), replace=None)
    report = made.run()
    assert report.status.status == "SUCCESS"
    assert publisher.published is None
    assert publisher.asked == []
    assert report.status.segment_report is None
    assert made.published == Published((), ())


def test_a_replace_without_rows_still_publishes_its_tombstones() -> None:
    made, _, publisher = ingest(keyed([]))
    assert made.run().status.status == "SUCCESS"
    assert publisher.published == []


def test_fail_on_empty_insert() -> None:
    made, _, publisher = ingest(keyed([]), context={"failOnEmptyInsert": True})
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "InsertCannotBeEmpty"
    assert report.status.error.stage_number is None
    assert [s.phase for s in report.stages or ()] == [None, None]
    assert [s.partition_count for s in report.stages or ()] == [1, 0]
    assert publisher.aborted == 1


def test_rows_outside_of_overwrite_where() -> None:
    made, launcher, publisher = ingest(keyed(ROWS), replace=("2024-01-01/2024-01-02",))
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "InsertTimeOutOfBounds"
    assert report.status.error.error["interval"] == "2024-01-02T00:00:00.000Z/2024-01-03T00:00:00.000Z"
    assert report.status.segment_report is not None
    assert (report.stages or ())[0].partition_count == 2
    assert publisher.published is None
    assert publisher.asked == []
    assert launcher.workers[0].log == ["cancel InsertTimeOutOfBounds", "finish"]


def test_compaction_state_says_how_rows_are_partitioned() -> None:
    made, _, publisher = ingest(keyed(ROWS), context={"storeCompactionState": True})
    made.run()
    assert publisher.published is not None
    states = [s.last_compaction_state for s in publisher.published]
    assert all(s is not None and s["partitionsSpec"]["type"] == "dynamic" for s in states)
    assert states[0] is not None
    assert states[0]["granularitySpec"]["segmentGranularity"] == "DAY"


def test_ranges_in_the_compaction_state() -> None:
    from controller.ingest import with_compaction_state

    spec = RangeShardSpec(("a", "b"), None, None, 0, 1)
    segment = DataSegment("t", "2024-01-01/2024-01-02", "v", {}, (), (), spec)
    query = stages(TargetSizeShuffleSpec(KEY, 2), generator=True)
    assert isinstance(query.final.processor, SegmentGeneratorProcessor)
    destination = DataSourceDestination("t", Granularity("DAY"), replace_time_chunks=())
    (made,) = with_compaction_state([segment], destination, query.final.processor)
    assert made.last_compaction_state is not None
    assert made.last_compaction_state["partitionsSpec"] == {
        "type": "range", "targetRowsPerSegment": None, "maxRowsPerSegment": 2, "partitionDimensions": ["a", "b"],
        "assumeGrouped": False,
    }  # fmt: skip


def test_the_compaction_state_repeats_what_was_asked() -> None:
    from controller.ingest import with_compaction_state

    segment = DataSegment("t", "2024-01-01/2024-01-02", "v", {}, (), (), NumberedShardSpec(0, 1))
    query = stages(TargetSizeShuffleSpec(KEY, 2), generator=True)
    assert isinstance(query.final.processor, SegmentGeneratorProcessor)
    asked = {"granularitySpec": {"queryGranularity": "HOUR"}, "metricsSpec": [{"type": "count", "name": "c"}]}
    destination = DataSourceDestination("t", Granularity("DAY"), replace_time_chunks=(), compaction=asked)
    (made,) = with_compaction_state([segment], destination, query.final.processor)
    assert made.last_compaction_state is not None
    assert made.last_compaction_state["metricsSpec"] == asked["metricsSpec"]
    grains = made.last_compaction_state["granularitySpec"]
    assert (grains["segmentGranularity"], grains["queryGranularity"]) == ("DAY", "HOUR")


def test_a_publish_that_fails_fails_the_query() -> None:
    made, _, publisher = ingest(keyed(ROWS), publisher=FakePublisher(publish_error=InsertLockPreemptedFault()))
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "InsertLockPreempted"
    assert made.published is None
    assert publisher.aborted == 1


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


def test_a_null_time_chunk_is_the_controllers_error() -> None:
    def behaviour(worker: FakeWorker, order: WorkOrder) -> None:
        worker.controller.post_worker_error(0, 0, InsertTimeNullFault(), "trace")

    made, _, _ = ingest(behaviour)
    error = made.run().status.error
    assert error is not None
    assert (error.task_id, error.stage_number, error.code) == ("query-t", None, "InsertTimeNull")


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


def test_a_timeout_cancels() -> None:
    launcher = FakeLauncher(lambda worker, order: None)
    report = controller(stages(MixShuffleSpec()), launcher, context={"timeout": 20}).run()
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


def test_waiting_for_a_lock_can_be_cancelled() -> None:
    made, launcher, publisher = ingest(keyed(ROWS), publisher=FakePublisher(locks=(False,)))
    timer = threading.Timer(0.05, made.cancel)
    timer.start()
    report = made.run()
    assert report.status.error is not None
    assert report.status.error.code == "Canceled"
    assert report.stages is None
    assert launcher.workers == []
    assert publisher.aborted == 1


def test_a_lock_that_comes_later() -> None:
    made, _, publisher = ingest(keyed(ROWS), publisher=FakePublisher(locks=(False, False, True)))
    assert made.run().status.status == "SUCCESS"
    assert publisher.published is not None


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
