"""Controller: runs one query from its plan to its final report. Its loop is the only one.

The kernel decides (controller.kernel), controller.actions does what it asks for. This shell keeps the live report and
answers the calls of workers (ControllerClient) and of the launcher (WorkerEvents), which put events into its queue.
Whatever happens ends in a report; whatever fails leaves nothing behind.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from controller import events as ev
from controller.actions import QueryActions, Signals
from controller.admission import Admission, Turn
from controller.error_book import ErrorBook
from controller.export import check_export_folder, discard_export
from controller.fleet import Fleet, quietly
from controller.kernel import ControllerQueryKernel
from controller.live import LiveStatus
from controller.phases import StagePhase
from controller.publishing import Published, Publisher
from controller.task import ControllerServices, ControllerTask
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
from msq.frame.statistics import KeyStatistics
from msq.processors.segment_generator import SegmentGeneratorProcessor
from msq.protocol import WorkerClient
from msq.report import FAILED, SUCCESS, TaskReport
from msq.stage.destination import (
    ExportDestination,
)

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.1

Listener = Callable[[ev.Progress], None]


class Controller:
    """One query. `run` blocks; `snapshot` and `cancel` may be called from any thread at any time.

    `listener` hears of phases and of the end; it is called on the controller's thread and must be quick.
    """

    def __init__(self, task: ControllerTask, services: ControllerServices, listener: Listener | None = None) -> None:
        self.task = task
        self.services = services
        self.context = QueryContext(task.context)
        self._listener = listener
        self._live = LiveStatus(
            task.task_id, services.clock, self.context.value("includeAllCounters"),
            self.context.value("liveReportCounters"), task.rows_in_memory is not None,
        )  # fmt: skip
        self._events: queue.SimpleQueue[ev.Event] = queue.SimpleQueue()
        self._errors = ErrorBook(task.task_id, services.host, task.column_mappings)
        self._fleet = Fleet(task.task_id, services.launcher, self._live)
        self._wake = threading.Event()
        self._deadline: float | None = None
        self._kernel: ControllerQueryKernel | None = None
        self._actions: QueryActions | None = None
        self._exporting: ExportDestination | None = None
        self._warnings: WarningLog | None = None
        self._phases: dict[int, tuple[StagePhase, int, int | None]] = {}
        self._turn: Turn | None = None
        self._timer: threading.Timer | None = None

    @property
    def published(self) -> Published | None:
        """What an ingest made visible; None before it has."""
        return None if self._actions is None else self._actions.conclusion.published

    @property
    def _planned(self) -> QueryActions:
        assert self._actions is not None, "there is a plan once stages run"
        return self._actions

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
        finally:
            if self._turn is not None:
                # whoever reads rows that are still to be made takes his time, which is not the others'
                self._turn.leave()
            if self._rest is None:
                self.close()
        return self._live.report(self.task.task_context)

    @property
    def is_open(self) -> bool:
        """Whether there are rows to be read by `rest`."""
        return self._rest is not None

    @property
    def _rest(self) -> Iterator[list[Any]] | None:
        return None if self._actions is None else self._actions.conclusion.rest

    def rest(self) -> Iterator[list[Any]]:
        """The rows behind those of the report of a query that `streams`; call `close` in the end. Raises MSQError."""
        try:
            yield from self._rest or ()
        except Exception as error:
            # as in the loop: whatever was raised is the query's fault, unless it was cancelled
            raise MSQError(self._errors.cancelled or self._errors.shown(fault_of(error))) from error

    def close(self) -> None:
        """Ends a query that `run` has left open; no thread may be reading its rows. May be called twice."""
        rest, timer = self._rest, self._timer
        if timer is not None:
            timer.cancel()
        if rest is not None:
            quietly("stop reading rows", getattr(rest, "close", lambda: None))
            self._fleet.stop(SUCCESS, self._launched())

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
        if self.services.launcher.runs_inline:
            # the controller's own thread is busy with the work that is to stop
            self._fleet.cancel(fault)

    # -- before the stages -------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        timeout = self.context.value("timeout")
        if timeout:
            self._deadline = time.monotonic() + timeout / 1000
            if self.services.launcher.runs_inline:
                self._timer = threading.Timer(
                    min(timeout / 1000, threading.TIMEOUT_MAX), lambda: self.cancel("QUERY_TIMEOUT")
                )
                self._timer.daemon = True
                self._timer.start()
        self._warnings = WarningLog(self._parse_exception_limit())
        self._check_storage()
        query = self.task.plan()
        destination = self.task.destination
        if isinstance(destination, ExportDestination):
            check_export_folder(destination, self.services.access)
            self._exporting = destination
        waited = False
        if self.services.publisher is not None:
            self._wait_for_locks(self.services.publisher)
        if self.services.admission is not None:
            waited = self._wait_for_turn(self.services.admission)
        if self.services.segments is not None and (waited or self.task.rows_in_memory is None):
            # others may have published while this query waited, or before its locks kept them out
            self.services.segments.refresh()
        generator = query.final.number if isinstance(query.final.processor, SegmentGeneratorProcessor) else None
        self._kernel = ControllerQueryKernel(
            query, task_id=self.task.task_id, needs_segments=generator,
            max_concurrent_stages=self.context.value("maxConcurrentStages"),
            fault_tolerance=self.context.value("faultTolerance"),
        )  # fmt: skip
        signals = Signals(self._events.put, self._tell, self._check_cancelled, self._check_parse_exceptions)
        self._actions = QueryActions(
            self.task, self.services, query, self._kernel, self._live, self._fleet, signals
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

    def _wait_for_turn(self, admission: Admission) -> bool:
        """Whether it had to wait."""
        priority = self.context.value("priority") if self.context.get("priority") is not None else 0
        self._turn = admission.join(priority, self._wake.set)
        waited = False
        while (pause := self._turn.pause()) is not None:
            self._check_cancelled()
            left = pause if self._deadline is None else self._deadline - time.monotonic()
            self._wake.wait(max(0.0, min(pause, left)))
            # whoever woke it had said why before
            self._wake.clear()
            waited = True
        return waited

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
                    answer = self._perform(action)
                except Exception as error:
                    # whatever an action raised ends the query by way of the kernel, so that all is cleaned up
                    fault = self._errors.shown(fault_of(error))
                    if not kernel.ended:
                        self._errors.note_own(fault, traceback.format_exc())
                    answers.clear()
                    answers.append(
                        ev.CancelRequested(fault) if isinstance(fault, CanceledFault) else ev.ControllerFailed(fault)
                    )
                    break
                if answer is not None:
                    answers.append(answer)

    def _perform(self, action: ev.Action) -> ev.Event | None:
        if isinstance(action, ev.Finish):
            self._finish()
        elif isinstance(action, ev.Fail):
            self._fail(action.fault)
        else:
            return self._planned.perform(action)
        return None

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
        assert self._kernel is not None
        for stage in self._planned.query.stages:
            state = self._kernel.state(stage.number)
            if state is None:
                continue
            shown = (state.phase, len(state.workers), state.partitions)
            if self._phases.get(stage.number) != shown:
                self._phases[stage.number] = shown
                self._live.stage(stage.number, *shown)
                if state.workers:
                    self._live.stage_output(stage.number, self._planned.output_mode(stage.number))
                self._tell(ev.StageChanged(stage.number, *shown))

    def _tell(self, progress: ev.Progress) -> None:
        listener = self._listener
        if listener is not None:
            quietly("tell the listener", lambda: listener(progress))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self._fleet.pull_counters()
        if self._rest is None:
            self._fleet.stop(SUCCESS, self._launched())
        self._show_phases()
        self._live.succeed(self._planned.conclusion.rows)
        self._tell(ev.QueryEnded(SUCCESS))

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
        if self._actions is not None:
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
        self._planned.add_statistics(stage, worker, statistics)
        self._events.put(ev.PartialKeyStatistics(stage, worker))

    def post_done_reading(self, stage: int, worker: int) -> None:
        self._events.put(ev.DoneReading(stage, worker))

    def post_results_complete(self, stage: int, worker: int, results: list[Any], partitions: Sequence[int]) -> None:
        self._planned.add_results(stage, worker, results)
        self._events.put(ev.ResultsComplete(stage, worker))

    def post_warning(self, worker: int, stage: int, fault: Fault) -> None:
        assert self._warnings is not None
        try:
            self._warnings.add(worker, fault, self._errors.warning(self._worker_id(worker), stage, fault))
        finally:
            self._live.warnings(self._warnings.items)

    def post_worker_error(self, worker: int, stage: int | None, fault: Fault, trace: str) -> None:
        final = self._planned.query.final
        generating = stage == final.number and isinstance(final.processor, SegmentGeneratorProcessor)
        fault = self._errors.note_worker(worker, self._worker_id(worker), stage, fault, trace, generating)
        self._events.put(ev.WorkerFailed(worker, fault, self._launched().get(worker, 0)))

    def post_counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        self._live.counters(worker, snapshot)

    def _worker_id(self, worker: int) -> str:
        return self._fleet.worker_id(worker, self._launched())

    # -- WorkerEvents: calls of the launcher -------------------------------------------------------------------------

    def worker_ready(self, client: WorkerClient, attempt: int) -> None:
        try:
            client.start_query(self._planned.query)
        except Exception as error:
            # a worker that cannot take its query has failed, however it says so
            self.worker_failed(client.number, attempt, fault_of(error), str(error))
            return
        self._fleet.ready(client)
        self._events.put(ev.WorkerReady(client.number, attempt))

    def worker_failed(self, number: int, attempt: int, fault: Fault | None, message: str) -> None:
        self._events.put(ev.WorkerFailed(number, fault, attempt, message))
