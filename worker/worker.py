"""Worker: holds a query's stages and their outputs and answers the controller's calls (msq.protocol.WorkerClient)."""

from __future__ import annotations

import logging
import shutil
import threading
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msq.context import QueryContext
from msq.counters import CounterTracker
from msq.faults import CanceledFault, CannotParseExternalDataFault, Fault, MSQError, TooManyWarningsFault, fault_of
from msq.frame.partitions import ClusterByPartitions
from msq.protocol import ControllerClient
from msq.stage.query import QueryDefinition
from msq.stage.work_order import STREAM, WorkOrder
from worker.context import CancelToken
from worker.kernel import (
    Action,
    BoundariesArrived,
    CleanupRequested,
    Event,
    Failed,
    InputRead,
    OutputWritten,
    PostDoneReading,
    PostError,
    PostResults,
    PostStatistics,
    ReadInput,
    Release,
    Start,
    WorkerStageKernel,
    WriteOutput,
)
from worker.memory import choose_allocator, output_account
from worker.outputs.local import LocalOutput
from worker.run import Environment, OrderRun
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

Peers = Callable[[int], "PartitionReader"]
_SHOWN_PARSE_ERRORS = 5


class PartitionReader(ABC):
    """What a worker asks of another one: `read_partition(stage, partition)`; Worker is one itself."""

    @abstractmethod
    def read_partition(self, stage: int, partition: int) -> Iterator[Any]: ...


@dataclass
class _Stage:
    """A stage on this worker: its kernel, its run while it has one, its output until it is cleaned up."""

    kernel: WorkerStageKernel
    run: OrderRun
    output: LocalOutput
    threads: list[threading.Thread] = field(default_factory=list)
    # nobody wants its rows any more: what its threads still run into is no failure
    released: bool = False
    streams: bool = False


class Worker(PartitionReader):
    """One worker of one query.

    `folder`: where everything temporary goes; made when needed, removed by `finish`. `peers(number)` answers the
    worker that holds pieces of stages (this one included). `services`: what processors may use (`deep_storage`,
    `lookups`, `source_access`, ..).
    """

    def __init__(
        self, number: int, task_id: str, controller: ControllerClient, folder: Path, peers: Peers,
        settings: WorkerSettings | None = None, services: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        choose_allocator()
        self.number = number
        self.task_id = task_id
        self._controller = controller
        self._folder = folder
        self._peers = peers
        self._settings = settings or WorkerSettings()
        self._services = dict(services or {})
        self._account = output_account(self._settings.memory_bytes)
        self._token = CancelToken()
        self._lock = threading.RLock()
        self._stages: dict[int, _Stage] = {}
        self._counters: dict[int, CounterTracker] = {}
        self._releases: list[threading.Thread] = []
        self._kept: set[int] = set()
        self._env: Environment | None = None
        self._parse_errors = 0
        self._finished = False

    # -- calls of the controller --------------------------------------------------------------------------------

    def start_query(self, query: QueryDefinition) -> None:
        context = QueryContext(query.context)
        self._max_parse_exceptions = context.max_parse_exceptions
        self._env = Environment(
            query=query, settings=self._settings, services=self._services, token=self._token,
            fetch=lambda worker, stage, partition: self._peers(worker).read_partition(stage, partition),
            warn=self._warn, rows_of=self._rows_of,
            concurrent_orders=min(int(context.value("maxConcurrentStages")), len(query.stages)), task_id=self.task_id,
        )  # fmt: skip

    def post_work_order(self, order: WorkOrder) -> None:
        """Begins the order on a thread of its own, or runs it (`inline`). An order for a stage that is here already is
        refused."""
        env = self._env
        if env is None:
            raise RuntimeError(f"Worker [{self.task_id}] has no query yet")
        with self._lock:
            if self._finished or self._token.is_cancelled:
                return
            if order.stage in self._stages:
                raise RuntimeError(f"Worker [{self.task_id}] has stage [{order.stage}] already")
            output = LocalOutput(self._folder / f"stage_{order.stage}", self._account)
            try:
                run = OrderRun(order, env, output, self._folder / f"order_{order.stage}")
            except Exception as error:
                # whatever opening its inputs raises is the stage's error, not the caller's
                fault = fault_of(error)
                self._controller.post_worker_error(self.number, order.stage, fault, traceback.format_exc())
                return
            streams = order.output_mode == STREAM
            self._stages[order.stage] = _Stage(WorkerStageKernel(), run, output, streams=streams)
            self._counters[order.stage] = run.counters
            if streams:
                self._kept.update(run.stage.input_stages)
        if streams:
            self._controller.post_results_complete(order.stage, self.number, [], (0,))
        else:
            self._event(order.stage, Start())

    def post_result_partition_boundaries(self, stage: int, boundaries: ClusterByPartitions) -> None:
        self._event(stage, BoundariesArrived(boundaries))

    def cleanup_stage(self, stage: int) -> None:
        """Drops the stage's output, unless a streamed stage is still to read it; unknown stages are fine."""
        if stage not in self._kept:
            self._event(stage, CleanupRequested())

    def read_results(self, stage: int, partition: int) -> Iterator[Any]:
        return self.read_partition(stage, partition)

    def counters(self) -> Mapping[int, Mapping[str, Any]]:
        with self._lock:
            trackers = dict(self._counters)
        return {stage: snapshot for stage, tracker in trackers.items() if (snapshot := tracker.snapshot())}

    def cancel(self, fault: Fault) -> None:
        self._token.cancel(fault)
        with self._lock:
            stages = list(self._stages.values())
        for stage in stages:
            stage.run.interrupt()

    def finish(self) -> None:
        """Stops what still runs, waits for it, and removes every file and batch of this worker."""
        with self._lock:
            self._finished = True
            stages = list(self._stages.items())
        self.cancel(CanceledFault("UNKNOWN"))
        for number, stage in stages:
            self._event(number, CleanupRequested())
            for thread in stage.threads:
                if thread is not threading.current_thread():
                    thread.join()
            stage.run.close()
            stage.output.close()
        with self._lock:
            self._stages.clear()
            releases, self._releases = self._releases, []
        for thread in releases:
            if thread is not threading.current_thread():
                thread.join()
        if self._folder.exists():
            shutil.rmtree(self._folder, ignore_errors=True)

    # -- calls of other workers ---------------------------------------------------------------------------------

    def read_partition(self, stage: int, partition: int) -> Iterator[Any]:
        """This worker's piece of a finished stage's partition. Raises LookupError when the output is not here."""
        with self._lock:
            found = self._stages.get(stage)
        if found is None:
            raise LookupError(f"Worker [{self.task_id}] has no output of stage [{stage}]")
        return self._stream(stage, found) if found.streams else found.output.read(partition)

    def _stream(self, number: int, stage: _Stage) -> Iterator[Any]:
        try:
            yield from stage.run.stream()
        except Exception as error:
            # whatever it was, it is told as the error of a stage, and ends the reader
            failed = self._failed(number, stage, error)
            self._controller.post_worker_error(self.number, number, failed.fault, failed.trace)
            raise MSQError(failed.fault) from error
        finally:
            stage.run.close()

    def share(self, stage: int) -> dict[str, Any]:
        """Puts a finished stage's output where other processes can read it, and answers where (LocalOutput.share).
        Raises LookupError when the output is not here."""
        with self._lock:
            found = self._stages.get(stage)
        if found is None:
            raise LookupError(f"Worker [{self.task_id}] has no output of stage [{stage}]")
        return found.output.share()

    # -- the kernel's loop --------------------------------------------------------------------------------------

    def _event(self, number: int, event: Event) -> None:
        with self._lock:
            stage = self._stages.get(number)
            if stage is None:
                return
            actions = stage.kernel.on(event)
        for action in actions:
            self._perform(number, stage, action)

    def _perform(self, number: int, stage: _Stage, action: Action) -> None:
        controller = self._controller
        if isinstance(action, ReadInput):
            self._thread(number, stage, lambda: InputRead(stage.run.read()))
        elif isinstance(action, WriteOutput):
            boundaries = action.boundaries
            self._thread(number, stage, lambda: _written(stage.run, boundaries))
        elif isinstance(action, PostStatistics):
            controller.post_partial_key_statistics(number, self.number, action.statistics)
        elif isinstance(action, PostDoneReading):
            controller.post_done_reading(number, self.number)
        elif isinstance(action, PostResults):
            self._post_counters()
            controller.post_results_complete(number, self.number, list(action.results), action.partitions)
        elif isinstance(action, PostError):
            self._post_counters()
            controller.post_worker_error(self.number, number, action.fault, action.trace)
        elif isinstance(action, Release):
            self._release(number, stage)

    def _thread(self, number: int, stage: _Stage, work: Callable[[], Event]) -> None:
        """Runs `work`, on a thread of its own unless all is `inline`, and feeds the event it ends in, or its failure,
        to the kernel."""

        def body() -> None:
            try:
                event = work()
            except BaseException as error:
                event = self._failed(number, stage, error)
            try:
                self._event(number, event)
            except Exception as error:
                # the controller refused a message: there is nobody left to tell
                log.warning("Worker [%s] could not report on stage [%s]", self.task_id, number, exc_info=error)
                self._event(number, Failed(self._fault(error), traceback.format_exc()))

        if self._settings.inline:
            body()
            return
        thread = threading.Thread(target=body, name=f"stage-{number}-worker-{self.number}", daemon=True)
        stage.threads.append(thread)
        thread.start()

    def _failed(self, number: int, stage: _Stage, error: BaseException) -> Failed:
        """Called where `error` is handled."""
        failed = Failed(self._fault(error), traceback.format_exc())
        if self._token.is_cancelled or stage.released:
            log.info("Stage [%s] of worker [%s] was stopped: %s", number, self.task_id, error)
        else:
            # a fault says all there is to say; only a surprise needs its traceback
            surprise = None if isinstance(error, MSQError) else error
            log.info("Stage [%s] of worker [%s] failed: %s", number, self.task_id, error, exc_info=surprise)
        return failed

    def _fault(self, error: BaseException) -> Fault:
        """The fault of an error; whatever breaks after a cancel is part of the cancel."""
        return self._token.fault if self._token.is_cancelled else fault_of(error)

    def _release(self, number: int, stage: _Stage) -> None:
        stage.released = True
        stage.run.interrupt()

        def remove() -> None:
            for thread in stage.threads:
                if thread is not threading.current_thread():
                    thread.join()
            stage.run.close()
            stage.output.close()
            with self._lock:
                if self._stages.get(number) is stage:
                    del self._stages[number]

        own = threading.current_thread()
        if all(t is own or not t.is_alive() for t in stage.threads):
            with self._lock:
                # the stage is forgotten before its last thread has ended: `finish` waits for that
                self._releases += [t for t in stage.threads if t is own]
            remove()
        else:
            thread = threading.Thread(target=remove, name=f"release-{number}-worker-{self.number}", daemon=True)
            with self._lock:
                self._releases.append(thread)
            thread.start()

    def _post_counters(self) -> None:
        if self._settings.inline:
            return  # its controller asks for those that it shows
        self._controller.post_counters(self.number, self.counters())

    def _rows_of(self, stage: int) -> int | None:
        with self._lock:
            found = self._stages.get(stage)
        return None if found is None else sum(found.output.rows(p) for p in found.output.partitions)

    def _warn(self, stage: int, counters: CounterTracker, fault: Fault) -> None:
        """Counts a warning and reports it. Raises MSQError when it is not, or no longer, tolerated."""
        limit = self._max_parse_exceptions
        counters.warnings().add(fault.code)
        if isinstance(fault, CannotParseExternalDataFault):
            if limit == 0:
                raise MSQError(fault, stage_number=stage, worker=self.number)
            with self._lock:
                self._parse_errors += 1
                count = self._parse_errors
            if limit > 0 and count > limit:
                raise MSQError(TooManyWarningsFault(limit, fault.code), stage_number=stage, worker=self.number)
            if limit < 0 and count > _SHOWN_PARSE_ERRORS:
                return
        self._controller.post_warning(self.number, stage, fault)


def _written(run: OrderRun, boundaries: ClusterByPartitions | None) -> Event:
    results, partitions = run.write(boundaries)
    run.close()
    return OutputWritten(results, partitions)
