"""Workers as processes of this machine: a crash, a kill or a cancel ends a worker and never the server.

Calls go over a pipe to each worker. Partitions stay in files, which whoever reads them maps into memory. A worker that
vanishes is noticed by the end of its pipe.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from controller.launch.children import CHILDREN, Child, Children
from controller.launching import WorkerEvents
from msq.codec import encode
from msq.faults import Fault, MSQError, WorkerFailedFault, WorkerRpcFailedFault, fault_of
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.protocol import ControllerClient
from msq.stage.query import QueryDefinition
from msq.stage.work_order import WorkOrder
from msq.storage.durable import DurableStorage, StagePlace
from worker.chaos import Chaos
from worker.remote.endpoint import Endpoint, EndpointClosed
from worker.remote.peers import SharedPartitions
from worker.remote.process import ProcessConfig, WorkerServices
from worker.run import durable_place
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

FINISH_SECONDS = 20.0
"""How long a worker that has done its work may take to remove its files."""
CANCEL_SECONDS = 2.0
"""How long a worker that was cancelled may take to stop; then it is killed."""
KILL_SECONDS = 5.0
COUNTERS_SECONDS = 5.0
LOST_PEER_SECONDS = 30.0
"""How long a worker that reads from one that is gone may wait for its own end, before its read fails."""


def local_process_launcher(
    folder: Path, *, memory_bytes: int, threads: int, max_batch_rows: int | None, services: WorkerServices,
    chaos: Chaos | None = None,
) -> ProcessLauncher:  # fmt: skip
    """A launcher of workers that hold at most `memory_bytes` each; `max_batch_rows` None is the worker's default."""
    settings = WorkerSettings(memory_bytes=memory_bytes, threads=threads, chaos=chaos)
    if max_batch_rows is not None:
        settings = replace(settings, max_batch_rows=max_batch_rows)
    return ProcessLauncher(folder, settings, services)


def warm() -> None:
    """Has processes ready for workers, some a second or two from now; returns at once."""
    CHILDREN.fill()


class ProcessWorker:
    """The controller's WorkerClient of one worker process.

    Calls that need no answer do not fail when the process is gone: the launcher reports that by itself.
    """

    def __init__(self, number: int, attempt: int, task_id: str, child: Child, stored: StoredOutputs) -> None:
        self.number = number
        self.attempt = attempt
        self.task_id = task_id
        self.child = child
        self.endpoint: Endpoint
        self.ending = False
        self.lost = threading.Event()
        """Set once the loss of the process was reported."""
        self._cancelled: float | None = None
        self._stored = stored
        self._shared = SharedPartitions(lambda stage: self._ask("share", stage))

    def _tell(self, name: str, *args: Any) -> None:
        try:
            self.endpoint.tell(name, *args)
        except EndpointClosed:
            log.debug("worker [%s] is gone and cannot be told [%s]", self.task_id, name)

    def _ask(self, name: str, *args: Any, timeout: float | None = None) -> Any:
        return self.endpoint.ask(name, *args, timeout=timeout)

    def start_query(self, query: QueryDefinition) -> None:
        self._tell("start_query", query.to_json())

    def post_work_order(self, order: WorkOrder) -> None:
        self._stored.note(order)
        self._tell("post_work_order", encode(order))

    def post_result_partition_boundaries(self, stage: int, boundaries: ClusterByPartitions) -> None:
        self._tell("post_result_partition_boundaries", stage, boundaries.to_json())

    def cleanup_stage(self, stage: int) -> None:
        self._tell("cleanup_stage", stage)

    def share(self, stage: int) -> Any:
        """Where the output of a stage is (worker.Worker.share). Raises EndpointClosed when the process is gone."""
        return self._ask("share", stage)

    def read_results(self, stage: int, partition: int) -> Iterator[Any]:
        """From durable storage when the output was kept there: it outlives the worker and its successors."""
        stored = self._stored.read(stage, self.number, partition)
        if stored is not None:
            yield from stored
            return
        try:
            yield from self._shared.read_partition(stage, partition)
        except EndpointClosed as error:
            raise MSQError(WorkerFailedFault(self.task_id, ended_how(self.child))) from error

    def counters(self) -> Mapping[int, Mapping[str, Any]]:
        return dict(self._ask("counters", timeout=self._grace(COUNTERS_SECONDS)))

    def cancel(self, fault: Fault) -> None:
        self._cancelled = time.monotonic()
        self._tell("cancel", fault.to_json())

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled is not None

    def _grace(self, seconds: float) -> float:
        """How long to wait for an answer: less once the worker was cancelled."""
        if self._cancelled is None:
            return seconds
        return max(self._cancelled + CANCEL_SECONDS - time.monotonic(), 0.01)

    def finish(self) -> None:
        """Asks the process to end, and ends it when it does not."""
        self.ending = True
        seconds = self._grace(FINISH_SECONDS)
        try:
            self._ask("finish", timeout=seconds)
        except (EndpointClosed, TimeoutError):
            if self.child.is_alive:
                log.warning("worker [%s] did not stop within [%.1f] seconds and is killed", self.task_id, seconds)
            self.child.kill()
        self.stop()

    def stop(self) -> None:
        """Ends the process, by force if it has not ended."""
        self.ending = True
        self.endpoint.close()
        if not self.child.wait(KILL_SECONDS):
            self.child.kill()
            self.child.wait(KILL_SECONDS)


class StoredOutputs:
    """The outputs of a query's stages that are kept in durable storage."""

    def __init__(self, storage: DurableStorage | None) -> None:
        self._storage = storage
        self._places: dict[int, StagePlace] = {}

    def note(self, order: WorkOrder) -> None:
        place = durable_place(order)
        if place is not None:
            self._places[order.stage] = place

    def read(self, stage: int, worker: int, partition: int) -> Iterator[Any] | None:
        """A piece of a stage; None when it was not kept."""
        place = self._places.get(stage)
        if self._storage is None or place is None or self._storage.winner(place, worker) is None:
            return None
        return self._storage.read(place, worker, partition)


class ProcessLauncher:
    """Starts each worker as a process. One launcher serves one query.

    folder: everything temporary of the workers; made when needed, removed by `stop`. settings: of each worker.
    services: what processors may use; each worker makes its own.
    """

    counters_are_cheap = False
    runs_inline = False

    def __init__(
        self, folder: Path, settings: WorkerSettings, services: WorkerServices, children: Children = CHILDREN
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._services = services
        self._children = children
        self._stored = StoredOutputs(services.durable_storage())
        self._lock = threading.Lock()
        self._workers: dict[int, ProcessWorker] = {}
        self._stopped = threading.Event()
        self._controller: ControllerClient | None = None
        self._events: WorkerEvents | None = None

    @property
    def pids(self) -> dict[int, int | None]:
        """Process ids by worker number."""
        with self._lock:
            return {number: worker.child.pid for number, worker in self._workers.items()}

    def begin(self, query: QueryDefinition, controller: ControllerClient, events: WorkerEvents) -> None:
        self._controller, self._events = controller, events

    def start(self, number: int, attempt: int, task_id: str) -> None:
        events = self._events
        assert events is not None
        try:
            worker = ProcessWorker(number, attempt, task_id, self._children.take(), self._stored)
            worker.endpoint = Endpoint(worker.child.connection, self._handlers(worker), frozenset({"share"}))
            config = ProcessConfig(number, task_id, self._folder / task_id, self._settings, self._services)
        except Exception as error:
            # whatever it was, the controller must hear of it: it waits for this worker
            log.warning("worker [%s] could not be started", task_id, exc_info=True)
            events.worker_failed(number, attempt, fault_of(error), str(error))
            return
        with self._lock:
            old, self._workers[number] = self._workers.get(number), worker
        threading.Thread(target=self._serve, args=(worker, config, old), name=f"worker-{task_id}", daemon=True).start()

    def _serve(self, worker: ProcessWorker, config: ProcessConfig, old: ProcessWorker | None) -> None:
        """Serves the worker's calls until it ends."""
        assert self._events is not None
        if old is not None:
            old.child.kill()
            old.stop()
            self._clean(old)
        try:
            worker.endpoint.tell("begin", config.to_json())
        except EndpointClosed:
            log.debug("worker [%s] ended before it began", worker.task_id)
        worker.endpoint.serve()
        if worker.ending:
            return
        worker.child.wait(KILL_SECONDS)
        self._clean(worker)
        what = ended_how(worker.child)
        log.warning("worker [%s]: %s", worker.task_id, what)
        with self._lock:
            replaced = self._workers.get(worker.number) is not worker
        if not replaced and not worker.ending:
            self._events.worker_failed(worker.number, worker.attempt, None, what)
        worker.lost.set()

    def _clean(self, worker: ProcessWorker) -> None:
        """Removes what a worker has left that could not do it: one that did not end by itself."""
        child = worker.child
        if child.exit_code == 0 or child.pid is None:
            return
        shutil.rmtree(self._folder / worker.task_id, ignore_errors=True)
        try:
            self._services.make()["deep_storage"].clean(child.pid)
        except Exception:
            # any store may fail in its own way; half-written files do no harm but take room
            log.warning("what worker [%s] was storing could not be removed", worker.task_id, exc_info=True)

    def _handlers(self, worker: ProcessWorker) -> dict[str, Callable[..., Any]]:
        """What the worker may call: messages of an attempt that was replaced are dropped."""
        controller, events = self._controller, self._events
        assert controller is not None and events is not None

        def ready() -> None:
            worker.child.wait_known(KILL_SECONDS)
            log.info("worker [%s] is process [%s]", worker.task_id, worker.child.pid)
            events.worker_ready(worker, worker.attempt)

        def failed(fault: Any, message: str) -> None:
            worker.ending = True
            events.worker_failed(worker.number, worker.attempt, Fault.from_json(fault), message)

        def current(call: Callable[..., Any]) -> Callable[..., Any]:
            def guarded(*args: Any) -> Any:
                with self._lock:
                    if self._workers.get(worker.number) is not worker:
                        return None
                return call(*args)

            return guarded

        calls: dict[str, Callable[..., Any]] = {
            "ready": ready,
            "failed": failed,
            "share": lambda number, stage: self._share(worker, number, stage),
            "post_partial_key_statistics": lambda stage, number, data: controller.post_partial_key_statistics(
                stage, number, KeyStatistics.from_bytes(data)
            ),
            "post_done_reading": controller.post_done_reading,
            "post_results_complete": controller.post_results_complete,
            "post_warning": lambda number, stage, fault: controller.post_warning(number, stage, Fault.from_json(fault)),
            "post_worker_error": lambda number, stage, fault, trace: controller.post_worker_error(
                number, stage, Fault.from_json(fault), trace
            ),
            "post_counters": lambda number, snapshot: controller.post_counters(number, dict(snapshot)),
        }
        return {name: current(call) for name, call in calls.items()}

    def _share(self, reader: ProcessWorker, number: int, stage: int) -> Any:
        """Where worker `number` keeps the output of a stage, for another worker that reads it."""
        with self._lock:
            owner = self._workers.get(number)
        if owner is None:
            raise LookupError(f"There is no worker [{number}]")
        try:
            return owner.share(stage)
        except EndpointClosed:
            # the query fails of that worker's end, or the worker is replaced: the reader's error must not come first
            owner.lost.wait(KILL_SECONDS)
            deadline = time.monotonic() + LOST_PEER_SECONDS
            while time.monotonic() < deadline and not reader.is_cancelled and not self._stopped.wait(0.02):
                with self._lock:
                    if self._workers.get(number) is not owner:
                        break
            raise MSQError(WorkerRpcFailedFault(owner.task_id, ended_how(owner.child))) from None

    def stop(self) -> None:
        self._stopped.set()
        with self._lock:
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.ending = True
            worker.endpoint.close()
        for worker in workers:
            worker.stop()
            self._clean(worker)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._children.fill_later()


def ended_how(child: Child) -> str:
    """The end of a process in words."""
    code = child.exit_code
    if code is None:
        return "its process is gone"
    if code >= 0:
        return f"its process ended with exit code [{code}]"
    text = f"its process was killed by signal [{-code}]"
    if child.is_out_of_memory:
        text += ", and the system has run out of memory: lower --memory, or let fewer workers run at once"
    return text
