"""Controller: runs one query from its plan to its final report. Its loop is the only one.

The kernel decides (controller.kernel); this shell performs what it asks for, keeps the live report, and answers the
calls of workers (ControllerClient) and of the launcher (WorkerEvents), which only put events into its queue. Whatever
happens ends in a report; whatever fails leaves nothing behind.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller import events as ev
from controller.error_book import ErrorBook
from controller.export import check_export_folder, discard_export, write_manifest
from controller.fleet import Fleet, quietly
from controller.ingest import GeneratorInput, allocate, check_bounds, shard_columns, with_compaction_state
from controller.kernel import ControllerQueryKernel
from controller.launching import Launcher
from controller.live import Clock, LiveStatus
from controller.phases import StagePhase
from controller.pruning import prune
from controller.publishing import Published, Publisher
from controller.result_pages import ResultPages
from controller.select import ResultReader, result_columns
from controller.slicing import Assignment, SegmentCatalog, Slicer
from controller.warning_log import WarningLog
from msq.context import QueryContext
from msq.faults import (
    CanceledFault,
    CannotParseExternalDataFault,
    Fault,
    MSQError,
    UnknownFault,
    fault_of,
)
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.plan.terminal import last_shuffle
from msq.processors.export import ExportResultsProcessor
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.protocol import WorkerClient
from msq.report import FAILED, SUCCESS, ResultsReport, SegmentReport, TaskReport
from msq.results import ResultsContext
from msq.segment.identity import DataSegment
from msq.sources.base import SourceAccess
from msq.stage.destination import (
    ColumnMapping,
    DataSourceDestination,
    Destination,
    DurableStorageDestination,
    ExportDestination,
)
from msq.stage.inputs import InputSlice
from msq.stage.query import QueryDefinition
from msq.stage.work_order import WorkOrder

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ControllerTask:
    """What a controller runs.

    plan: makes the stages; may raise MSQError. context: the statement's own. sql_types: names by output column, for
    SELECT and export. task_context: printed in the final report (None: left out). rows_in_memory: rows of a SELECT that
    its report holds, the others going to `result_pages` (None: the report has them all).
    """

    task_id: str
    plan: Callable[[], QueryDefinition]
    destination: Destination
    column_mappings: tuple[ColumnMapping, ...]
    context: Mapping[str, Any] = field(default_factory=dict)
    sql_types: tuple[str, ...] = ()
    results_context: ResultsContext = field(default_factory=ResultsContext)
    task_context: Mapping[str, Any] | None = None
    rows_in_memory: int | None = None


@dataclass(frozen=True)
class ControllerServices:
    """What a controller needs of its surroundings. `publisher` for ingests, `segments` where tables are read,
    `result_pages` for a SELECT to durable storage."""

    launcher: Launcher
    access: SourceAccess = field(default_factory=SourceAccess)
    segments: SegmentCatalog | None = None
    publisher: Publisher | None = None
    host: str = "localhost"
    clock: Clock = lambda: time.time_ns() // 1_000_000
    result_pages: ResultPages | None = None


Listener = Callable[[ev.Progress], None]


class Controller:
    """One query. `run` blocks; `snapshot` and `cancel` may be called from any thread at any time.

    After `run`, `published` says what an ingest made visible. `listener` hears of phases and of the end; it is called
    on the controller's thread and must be quick.
    """

    def __init__(self, task: ControllerTask, services: ControllerServices, listener: Listener | None = None) -> None:
        self.task = task
        self.services = services
        self.context = QueryContext(task.context)
        self.published: Published | None = None
        self._listener = listener
        self._live = LiveStatus(
            task.task_id, services.clock, self.context.value("includeAllCounters"),
            self.context.value("liveReportCounters"),
        )  # fmt: skip
        self._events: queue.SimpleQueue[ev.Event] = queue.SimpleQueue()
        self._errors = ErrorBook(task.task_id, services.host, task.column_mappings)
        self._fleet = Fleet(task.task_id, services.launcher, self._live)
        self._wake = threading.Event()
        self._deadline: float | None = None
        self._kernel: ControllerQueryKernel | None = None
        self._query: QueryDefinition | None = None
        self._slices: dict[int, dict[int, tuple[InputSlice, ...]]] = {}
        self._statistics: dict[int, dict[int, KeyStatistics]] = {}
        self._merged: dict[int, KeyStatistics] = {}
        self._boundaries: dict[int, ClusterByPartitions] = {}
        self._results: dict[int, dict[int, list[Any]]] = {}
        self._allocated: Mapping[int, DataSegment] = {}
        self._rows: ResultsReport | None = None
        self._exporting: ExportDestination | None = None
        self._warnings: WarningLog | None = None
        self._phases: dict[int, tuple[StagePhase, int, int | None]] = {}

    # -- what others may ask -----------------------------------------------------------------------------------------

    def run(self) -> TaskReport:
        """Runs the query to its end and answers the final report. Raises nothing but KeyboardInterrupt and the like."""
        self._live.begin()
        try:
            self._prepare()
            self._loop()
        except Exception as error:
            # the outermost frame of a query: whatever was raised is the fault that its report tells
            fault = fault_of(error)
            self._errors.note_own(fault, traceback.format_exc())
            self._fail(fault)
        return self._live.report(self.task.task_context)

    def snapshot(self) -> TaskReport | None:
        """The report as it stands; None before there is a plan. Asks workers for counters where that is cheap."""
        if not self._live.is_planned:
            return None
        if self.services.launcher.counters_are_cheap:
            self._fleet.pull_counters()
        return self._live.report()

    def cancel(self, reason: str = "TASK_SHUTDOWN") -> None:
        """Asks the query to stop; `run` returns soon with a report that says Canceled."""
        fault = CanceledFault(reason)
        self._errors.cancel(fault)
        self._wake.set()
        self._events.put(ev.CancelRequested(fault))

    # -- before the stages -------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        timeout = self.context.value("timeout")
        if timeout:
            self._deadline = time.monotonic() + timeout / 1000
        self._warnings = WarningLog(self._parse_exception_limit())
        self._check_storage()
        query = self.task.plan()
        destination = self.task.destination
        if isinstance(destination, ExportDestination):
            check_export_folder(destination, self.services.access)
            self._exporting = destination
        if self.services.publisher is not None:
            self._wait_for_locks(self.services.publisher)
        if self.services.segments is not None and self.task.rows_in_memory is None:
            # others may have published while this task waited, or before its locks kept them out
            self.services.segments.refresh()
        self._query = query
        generator = query.final.number if isinstance(query.final.processor, SegmentGeneratorProcessor) else None
        self._kernel = ControllerQueryKernel(
            query, task_id=self.task.task_id, needs_segments=generator,
            max_concurrent_stages=self.context.value("maxConcurrentStages"),
            fault_tolerance=self.context.value("faultTolerance"),
        )  # fmt: skip
        self._live.planned(query)
        self.services.launcher.begin(query, self, self)

    def _parse_exception_limit(self) -> int:
        limit = self.context.max_parse_exceptions
        if limit < -1:
            code = CannotParseExternalDataFault.code
            raise MSQError(UnknownFault(
                f"Invalid limit of {limit} supplied for warnings of type {code}. "
                "Limit can be greater than or equal to -1."
            ))  # fmt: skip
        return limit

    def _check_storage(self) -> None:
        context = self.context
        explicit = context.get("durableShuffleStorage") is not None
        if context.value("faultTolerance") and explicit and not context.value("durableShuffleStorage"):
            raise MSQError(UnknownFault(
                "Context parameter [durableShuffleStorage] cannot be false while [faultTolerance] is true: outputs "
                "must outlive the workers that wrote them."
            ))  # fmt: skip

    def _wait_for_locks(self, publisher: Publisher) -> None:
        while not publisher.lock():
            self._check_cancelled()
            self._wake.wait(LOCK_POLL_SECONDS)

    def _check_cancelled(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._errors.cancel(CanceledFault("QUERY_TIMEOUT"))
        if self._errors.cancelled is not None:
            raise MSQError(self._errors.cancelled)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        assert self._kernel is not None
        kernel = self._kernel
        answers: deque[ev.Event] = deque([ev.Started()])
        while not kernel.ended:
            event = answers.popleft() if answers else self._next_event()
            actions = kernel.on(event)
            self._show_phases()
            for action in actions:
                try:
                    answer = _PERFORM[type(action)](self, action)
                except Exception as error:
                    # whatever an action raised ends the query by way of the kernel, so that all is cleaned up
                    fault = fault_of(error)
                    if not kernel.ended:
                        self._errors.note_own(fault, traceback.format_exc())
                    answers.clear()
                    answers.append(
                        ev.CancelRequested(fault) if isinstance(fault, CanceledFault) else ev.ControllerFailed(fault)
                    )
                    break
                if answer is not None:
                    answers.append(answer)

    def _next_event(self) -> ev.Event:
        if self._deadline is None:
            return self._events.get()
        try:
            return self._events.get(timeout=max(self._deadline - time.monotonic(), 0.001))
        except queue.Empty:
            fault = CanceledFault("QUERY_TIMEOUT")
            self._errors.cancel(fault)
            return ev.CancelRequested(fault)

    def _show_phases(self) -> None:
        assert self._kernel is not None and self._query is not None
        for stage in self._query.stages:
            state = self._kernel.state(stage.number)
            if state is None:
                continue
            shown = (state.phase, len(state.workers), state.partitions)
            if self._phases.get(stage.number) != shown:
                self._phases[stage.number] = shown
                self._live.stage(stage.number, *shown)
                if state.workers:
                    self._live.stage_output(stage.number, self._output_mode(stage.number))
                self._tell(ev.StageChanged(stage.number, *shown))

    def _tell(self, progress: ev.Progress) -> None:
        listener = self._listener
        if listener is not None:
            quietly("tell the listener", lambda: listener(progress))

    # -- actions -----------------------------------------------------------------------------------------------------

    def _slice_inputs(self, action: ev.SliceInputs) -> ev.Event:
        assert self._kernel is not None and self._query is not None
        kernel = self._kernel
        self._check_cancelled()
        slicer = Slicer(
            self.services.segments, self.services.access, lambda stage: kernel.partition_count(stage) or 1,
            kernel.workers, Assignment.of(self.context),
            prune if self.context.value("secondaryPartitionPruning") else None,
        )  # fmt: skip
        slices = slicer.slice_stage(self._query.stages[action.stage], action.max_workers)
        self._slices[action.stage] = slices
        return ev.InputsSliced(action.stage, tuple(sorted(slices)))

    def _allocate_segments(self, action: ev.AllocateSegments) -> ev.Event:
        assert self._query is not None and self.services.publisher is not None
        stage = self._query.stages[action.stage]
        destination, generator = self.task.destination, stage.processor
        assert isinstance(destination, DataSourceDestination) and isinstance(generator, SegmentGeneratorProcessor)
        self._check_parse_exceptions()
        chosen: list[SegmentReport] = []
        try:
            allocation = allocate(
                self.services.publisher, destination, generator, self._generator_input(stage.input_stages[0]),
                self.context.value("failOnEmptyInsert"), chosen,
            )  # fmt: skip
        finally:
            if chosen:
                self._live.segments(chosen[0])
        self._allocated = allocation.segments
        return ev.SegmentsAllocated(action.stage)

    def _generator_input(self, source: int) -> GeneratorInput:
        assert self._query is not None
        self._fleet.pull_counters()
        channel = "output" if self._query.stages[source].shuffle_spec is None else "shuffle"
        rows: dict[int, int] = {}
        for named in self._live.counters_of(source).values():
            for partition, count in enumerate(named.get(channel, {}).get("rows", ())):
                rows[partition] = rows.get(partition, 0) + count
        shuffled = last_shuffle(self._query.stages, source)
        merged = None if shuffled is None else self._merged.get(shuffled)
        return GeneratorInput(
            None if shuffled is None else self._query.stages[shuffled],
            None if shuffled is None else self._boundaries.get(shuffled),
            None if merged is None else any(merged.multi_value),
            rows,
        )

    def _launch(self, action: ev.LaunchWorkers) -> None:
        for number in action.workers:
            self._start_worker(number, 0)

    def _relaunch(self, action: ev.RelaunchWorker) -> None:
        self._start_worker(action.worker, action.attempt)

    def _start_worker(self, number: int, attempt: int) -> None:
        self._tell(ev.WorkerLaunched(number, attempt, self._fleet.worker_id(number, {number: attempt})))
        self._fleet.start(number, attempt)

    def _call(self, worker: int, call: Callable[[WorkerClient], None]) -> None:
        """Calls a worker; one that cannot be reached has failed."""
        assert self._kernel is not None
        fault = self._fleet.call(worker, call)
        if fault is not None:
            self._events.put(ev.WorkerFailed(worker, fault, self._kernel.launched[worker]))

    def _send_orders(self, action: ev.SendWorkOrders) -> None:
        assert self._kernel is not None
        launched = self._kernel.launched
        for worker in action.workers:
            order = WorkOrder(
                query_id=self.task.task_id, stage=action.stage, worker=worker, attempt=launched[worker],
                inputs=self._slices[action.stage][worker], extra=self._extra(action.stage, worker),
                output_mode=self._output_mode(action.stage),
            )  # fmt: skip
            self._call(worker, lambda client, order=order: client.post_work_order(order))  # type: ignore[misc]

    def _extra(self, stage: int, worker: int) -> dict[str, Any]:
        assert self._query is not None
        if not isinstance(self._query.stages[stage].processor, SegmentGeneratorProcessor):
            return {}
        mine = getattr(self._slices[stage][worker][0], "partitions", ())
        return {"segments": {str(p): self._allocated[p].to_json() for p in mine if p in self._allocated}}

    def _output_mode(self, stage: int) -> str:
        assert self._query is not None
        if self.context.value("durableShuffleStorage") or self.context.value("faultTolerance"):
            mode = "durableStorage"
        elif self.context.value("maxConcurrentStages") > 1:
            mode = "memory"
        else:
            mode = "localStorage"
        if isinstance(self.task.destination, DurableStorageDestination) and stage == self._query.final.number:
            mode = "durableStorageQueryResults"
        return mode

    def _compute_boundaries(self, action: ev.ComputeBoundaries) -> ev.Event:
        assert self._query is not None
        stage = self._query.stages[action.stage]
        assert stage.shuffle_spec is not None
        merged = KeyStatistics.of(stage.shuffle_spec, stage.signature)
        for _, statistics in sorted(self._statistics.pop(action.stage, {}).items()):
            merged.merge(statistics)
        boundaries = merged.boundaries(stage.shuffle_spec, self.context.value("maxPartitions"))
        self._merged[action.stage], self._boundaries[action.stage] = merged, boundaries
        return ev.BoundariesComputed(action.stage, len(boundaries))

    def _send_boundaries(self, action: ev.SendBoundaries) -> None:
        self._check_time_chunks(action.stage)
        stage, boundaries = action.stage, self._boundaries[action.stage]
        for worker in action.workers:
            self._call(worker, lambda client: client.post_result_partition_boundaries(stage, boundaries))

    def _check_time_chunks(self, stage: int) -> None:
        """Refuses rows outside of OVERWRITE WHERE as soon as the boundaries show them, before anything is sorted."""
        assert self._query is not None
        destination, final = self.task.destination, self._query.final
        if not isinstance(destination, DataSourceDestination) or not self._query.stages[stage].check_multiple_values:
            return
        assert isinstance(final.processor, SegmentGeneratorProcessor)
        try:
            check_bounds(destination, self._boundaries[stage])
        except MSQError:
            merged = self._merged[stage]
            given = GeneratorInput(
                self._query.stages[stage], self._boundaries[stage], any(merged.multi_value), {0: merged.rows}
            )
            self._live.segments(shard_columns(destination, final.processor, given)[1])
            raise

    def _cleanup(self, action: ev.CleanupStage) -> None:
        for worker in action.workers:
            self._call(worker, lambda client: client.cleanup_stage(action.stage))

    def _conclude(self, action: ev.Conclude) -> ev.Event:
        assert self._query is not None and self._kernel is not None
        self._check_cancelled()
        self._fleet.pull_counters()
        self._check_parse_exceptions()
        final = self._query.final
        results = self._results.get(final.number, {})
        if isinstance(final.processor, SegmentGeneratorProcessor):
            self._publish(final.processor, [value for _, made in sorted(results.items()) for value in made])
        elif isinstance(final.processor, ExportResultsProcessor):
            names = [value for _, made in sorted(results.items()) for value in made]
            write_manifest(final.processor, names, self.services.access)
        else:
            self._rows = self._read_rows()
        return ev.Concluded()

    def _read_rows(self) -> ResultsReport:
        assert self._query is not None and self._kernel is not None
        final = self._query.final
        columns = result_columns(final, self.task.column_mappings, self.task.sql_types)
        reader = ResultReader(final, self._kernel.workers(final.number), self._fleet.holders, self._check_cancelled)
        count = self._kernel.partition_count(final.number) or 1
        pages, kept = self.services.result_pages, self.task.rows_in_memory
        if kept is not None and pages is not None:
            return reader.spilled(count, columns, self.task.results_context, pages, kept)
        if isinstance(self.task.destination, DurableStorageDestination):
            return reader.paged(count, columns, self.task.results_context, pages)
        return reader.whole(count, columns, self.task.results_context)

    def _publish(self, generator: SegmentGeneratorProcessor, made: Sequence[Any]) -> None:
        destination, publisher = self.task.destination, self.services.publisher
        assert isinstance(destination, DataSourceDestination) and publisher is not None
        segments = [s if isinstance(s, DataSegment) else DataSegment.from_json(s) for s in made]
        segments.sort(key=lambda s: (s.interval, s.shard_spec.partition_num))
        replacing = destination.replace_time_chunks is not None
        if replacing and self.context.value("storeCompactionState"):
            segments = with_compaction_state(segments, destination, generator)
        started = self.services.clock()

        def loaded(made: Published) -> dict[str, Any] | None:
            waits = self.context.value("waitUntilSegmentsLoad") and (made.segments or made.tombstones)
            return _loaded(made, started, self.services.clock()) if waits else None

        def report(made: Published) -> dict[str, Any]:
            return self._live.succeeded(loaded(made), self.task.task_context).to_json()

        if segments or replacing:
            self.published = publisher.publish(segments, report)
        else:
            publisher.abort()
            self.published = Published((), ())
        self._live.segments(None, loaded(self.published))

    def _finish(self, action: ev.Finish) -> None:
        self._fleet.pull_counters()
        self._fleet.stop(SUCCESS, self._launched())
        self._show_phases()
        self._live.succeed(self._rows)
        self._tell(ev.QueryEnded(SUCCESS))

    def _fail_query(self, action: ev.Fail) -> None:
        self._fail(action.fault)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _fail(self, fault: Fault) -> None:
        """Cancels what runs and gives back what was taken; nothing here may raise."""
        # workers that are cancelled report errors too, which are nobody's fault
        item = self._errors.choose(fault)
        self._fleet.cancel(fault)
        self._fleet.pull_counters()
        self._fleet.stop(FAILED, self._launched())
        if self.services.publisher is not None:
            quietly("give back segments and locks", self.services.publisher.abort)
        exporting = self._exporting
        if exporting is not None:
            access = self.services.access
            quietly("remove exported files", lambda: discard_export(exporting, self.task.task_id, access))
        if self._query is not None and self._kernel is not None:
            self._show_phases()
        self._live.fail(item)
        self._tell(ev.QueryEnded(FAILED))

    def _launched(self) -> dict[int, int]:
        return {} if self._kernel is None else self._kernel.launched

    def _check_parse_exceptions(self) -> None:
        """Warnings that workers have counted and not posted also count."""
        assert self._warnings is not None
        fault = self._warnings.check_counters(self._live.count_warnings(CannotParseExternalDataFault.code))
        if fault is not None:
            raise MSQError(fault)

    # -- ControllerClient: calls of workers --------------------------------------------------------------------------

    def post_partial_key_statistics(self, stage: int, worker: int, statistics: KeyStatistics) -> None:
        self._statistics.setdefault(stage, {})[worker] = statistics
        self._events.put(ev.PartialKeyStatistics(stage, worker))

    def post_done_reading(self, stage: int, worker: int) -> None:
        self._events.put(ev.DoneReading(stage, worker))

    def post_results_complete(self, stage: int, worker: int, results: list[Any], partitions: Sequence[int]) -> None:
        self._results.setdefault(stage, {})[worker] = results
        self._events.put(ev.ResultsComplete(stage, worker))

    def post_warning(self, worker: int, stage: int, fault: Fault) -> None:
        assert self._warnings is not None
        try:
            self._warnings.add(worker, fault, self._errors.warning(self._worker_id(worker), stage, fault))
        finally:
            self._live.warnings(self._warnings.items)

    def post_worker_error(self, worker: int, stage: int | None, fault: Fault, trace: str) -> None:
        assert self._query is not None
        final = self._query.final
        generating = stage == final.number and isinstance(final.processor, SegmentGeneratorProcessor)
        fault = self._errors.note_worker(worker, self._worker_id(worker), stage, fault, trace, generating)
        self._events.put(ev.WorkerFailed(worker, fault, self._launched().get(worker, 0)))

    def post_counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        self._live.counters(worker, snapshot)

    def _worker_id(self, worker: int) -> str:
        return self._fleet.worker_id(worker, self._launched())

    # -- WorkerEvents: calls of the launcher -------------------------------------------------------------------------

    def worker_ready(self, client: WorkerClient, attempt: int) -> None:
        assert self._query is not None
        try:
            client.start_query(self._query)
        except Exception as error:
            # a worker that cannot take its query has failed, however it says so
            self.worker_failed(client.number, attempt, fault_of(error), str(error))
            return
        self._fleet.ready(client)
        self._events.put(ev.WorkerReady(client.number, attempt))

    def worker_failed(self, number: int, attempt: int, fault: Fault | None, message: str) -> None:
        self._events.put(ev.WorkerFailed(number, fault, attempt, message))


def _loaded(published: Published, started: int, now: int) -> dict[str, Any]:
    """`segmentLoadWaiterStatus`: what is published here is readable at once."""
    from msq.intervals import format_instant

    total = len(published.segments) + len(published.tombstones)
    return {
        "state": "SUCCESS", "startTime": format_instant(started), "duration": now - started, "totalSegments": total,
        "usedSegments": total, "precachedSegments": total, "onDemandSegments": 0, "pendingSegments": 0,
        "unknownSegments": 0,
    }  # fmt: skip


_PERFORM: dict[type[ev.Action], Callable[[Controller, Any], ev.Event | None]] = {
    ev.SliceInputs: Controller._slice_inputs,
    ev.AllocateSegments: Controller._allocate_segments,
    ev.LaunchWorkers: Controller._launch,
    ev.RelaunchWorker: Controller._relaunch,
    ev.SendWorkOrders: Controller._send_orders,
    ev.ComputeBoundaries: Controller._compute_boundaries,
    ev.SendBoundaries: Controller._send_boundaries,
    ev.CleanupStage: Controller._cleanup,
    ev.Conclude: Controller._conclude,
    ev.Finish: Controller._finish,
    ev.Fail: Controller._fail_query,
}
