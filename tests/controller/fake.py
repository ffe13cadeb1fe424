"""A controller's surroundings that do as they are told: workers, their launcher, a publisher, and queries for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from controller.controller import Controller
from controller.publishing import FinalReport, OutputPartition, Published, ShardColumns
from controller.task import ControllerServices, ControllerTask
from msq.datatypes import LONG, STRING, RowSignature
from msq.faults import (
    Fault,
    MSQError,
)
from msq.frame.keys import ClusterBy, KeyColumn
from msq.frame.statistics import KeyStatistics
from msq.intervals import Granularity
from msq.native.datasource import InlineDataSource
from msq.processors.limit import LimitProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.protocol import ControllerClient
from msq.segment.identity import DataSegment, NumberedShardSpec
from msq.segment.stored import StoredSchema
from msq.stage.destination import ColumnMapping, DataSourceDestination, TaskReportDestination
from msq.stage.inputs import InlineInputSpec, StageInputSpec
from msq.stage.query import QueryDefinition, StageDefinition
from msq.stage.shuffle import ShuffleSpec, TargetSizeShuffleSpec
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
    runs_inline = False

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

    def publish(
        self, segments: Sequence[DataSegment], schemas: Mapping[str, StoredSchema], report: FinalReport | None = None
    ) -> Published:
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
            columns = StoredSchema(SIGNATURE).to_json()
            made = [{"segment": {**s, "size": 5}, "columns": columns} for s in order.extra["segments"].values()]
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


JANUARY = 19_723 * DAY
ROWS = [(JANUARY, "a", 0), (JANUARY, "b", 1), (JANUARY + DAY, "c", 2)]
