"""Workers as processes of this machine: a crash, a kill or a cancel ends a worker and never the server."""

from __future__ import annotations

import logging
import multiprocessing
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from controller.launching import WorkerEvents
from msq.faults import Fault, fault_of
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.protocol import ControllerClient
from msq.stage.query import QueryDefinition
from msq.stage.work_order import WorkOrder
from worker.chaos import Chaos
from worker.remote.endpoint import Endpoint, EndpointClosed
from worker.remote.peers import RemotePeer
from worker.remote.process import ProcessConfig, WorkerServices, run_worker
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

FINISH_SECONDS = 20.0
"""How long a worker may take to stop what it does and to remove its files."""
KILL_SECONDS = 5.0
COUNTERS_SECONDS = 5.0
PRELOAD = ["worker.remote.preload"]


def local_process_launcher(
    folder: Path, *, memory_bytes: int, threads: int, max_batch_rows: int | None, services: WorkerServices,
    chaos: Chaos | None = None,
) -> ProcessLauncher:  # fmt: skip
    """A launcher of workers that hold at most `memory_bytes` each; `max_batch_rows` None is the worker's default."""
    settings = WorkerSettings(memory_bytes=memory_bytes, threads=threads, chaos=chaos)
    if max_batch_rows is not None:
        settings = replace(settings, max_batch_rows=max_batch_rows)
    return ProcessLauncher(folder, settings, services)


class ProcessWorker:
    """The controller's WorkerClient of one worker process."""

    def __init__(self, number: int, attempt: int, task_id: str, key: bytes) -> None:
        self.number = number
        self.attempt = attempt
        self.task_id = task_id
        self.address: Any = None
        self.endpoint: Endpoint
        self.process: BaseProcess
        self.ending = False
        self._key = key

    def start_query(self, query: QueryDefinition) -> None:
        self.endpoint.tell("start_query", query.to_json())

    def post_work_order(self, order: WorkOrder) -> None:
        self.endpoint.tell("post_work_order", order)

    def post_result_partition_boundaries(self, stage: int, boundaries: ClusterByPartitions) -> None:
        self.endpoint.tell("post_result_partition_boundaries", stage, boundaries.to_json())

    def cleanup_stage(self, stage: int) -> None:
        self.endpoint.tell("cleanup_stage", stage)

    def read_results(self, stage: int, partition: int) -> Iterator[Any]:
        return RemotePeer(self.address, self._key).read_partition(stage, partition)

    def counters(self) -> Mapping[int, Mapping[str, Any]]:
        found: Mapping[int, Mapping[str, Any]] = self.endpoint.ask("counters", timeout=COUNTERS_SECONDS)
        return found

    def cancel(self, fault: Fault) -> None:
        self.endpoint.tell("cancel", fault)

    def finish(self) -> None:
        """Asks the process to end, and ends it when it does not."""
        self.ending = True
        try:
            self.endpoint.ask("finish", timeout=FINISH_SECONDS)
        except (EndpointClosed, TimeoutError):
            log.warning("worker [%s] did not finish by itself", self.task_id)
        self.stop()

    def stop(self) -> None:
        """Ends the process by force if it has not ended."""
        self.ending = True
        self.endpoint.close()
        self.process.join(KILL_SECONDS)
        for end in (self.process.terminate, self.process.kill):
            if self.process.is_alive():
                end()
                self.process.join(KILL_SECONDS)


class ProcessLauncher:
    """Starts each worker as a process. One launcher serves one query.

    folder: everything temporary of the workers; made when needed, removed by `stop`. settings: of each worker.
    services: what processors may use; each worker makes its own.
    """

    counters_are_cheap = False

    def __init__(self, folder: Path, settings: WorkerSettings, services: WorkerServices) -> None:
        self._folder = folder
        self._settings = settings
        self._services = services
        self._key = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._workers: dict[int, ProcessWorker] = {}
        self._stopped = False
        self._controller: ControllerClient | None = None
        self._events: WorkerEvents | None = None

    def begin(self, query: QueryDefinition, controller: ControllerClient, events: WorkerEvents) -> None:
        self._controller, self._events = controller, events

    def start(self, number: int, attempt: int, task_id: str) -> None:
        worker = ProcessWorker(number, attempt, task_id, self._key)
        thread = threading.Thread(target=self._run, args=(worker,), name=f"launch-{task_id}", daemon=True)
        thread.start()

    def _run(self, worker: ProcessWorker) -> None:
        """Starts the process and serves its calls until it ends."""
        events = self._events
        assert events is not None
        try:
            context = _context()
            ours, theirs = context.Pipe()
            worker.endpoint = Endpoint(ours, self._handlers(worker))
            config = ProcessConfig(
                worker.number, worker.task_id, self._folder / worker.task_id, self._settings, self._services, self._key
            )
            worker.process = context.Process(target=run_worker, args=(theirs, config), name=worker.task_id, daemon=True)
            with self._lock:
                if self._stopped:
                    return
                old, self._workers[worker.number] = self._workers.get(worker.number), worker
                worker.process.start()
            theirs.close()
            if old is not None:
                old.stop()
        except Exception as error:
            log.warning("worker [%s] could not be started", worker.task_id, exc_info=True)
            events.worker_failed(worker.number, worker.attempt, fault_of(error), str(error))
            return
        worker.endpoint.serve()
        if not worker.ending:
            worker.process.join(KILL_SECONDS)
            code = worker.process.exitcode
            what = f"its process was killed by signal [{-code}]" if code is not None and code < 0 else (
                f"its process ended with exit code [{code}]"
            )  # fmt: skip
            events.worker_failed(worker.number, worker.attempt, None, what)

    def _handlers(self, worker: ProcessWorker) -> dict[str, Callable[..., Any]]:
        """What the worker may call: messages of an attempt that was replaced are dropped."""
        controller, events = self._controller, self._events
        assert controller is not None and events is not None

        def ready(address: Any, pid: int) -> None:
            worker.address = address
            log.info("worker [%s] is process [%s]", worker.task_id, pid)
            events.worker_ready(worker, worker.attempt)

        def current(call: Callable[..., Any]) -> Callable[..., Any]:
            def guarded(*args: Any) -> Any:
                with self._lock:
                    if self._workers.get(worker.number) is not worker:
                        return None
                return call(*args)

            return guarded

        def failed(fault: Fault, message: str) -> None:
            worker.ending = True
            events.worker_failed(worker.number, worker.attempt, fault, message)

        calls: dict[str, Callable[..., Any]] = {
            "ready": ready,
            "failed": failed,
            "peer_address": self._address,
            "post_partial_key_statistics": lambda stage, number, data: controller.post_partial_key_statistics(
                stage, number, KeyStatistics.from_bytes(data)
            ),
            "post_done_reading": controller.post_done_reading,
            "post_results_complete": controller.post_results_complete,
            "post_warning": controller.post_warning,
            "post_worker_error": controller.post_worker_error,
            "post_counters": controller.post_counters,
        }
        return {name: current(call) for name, call in calls.items()}

    def _address(self, number: int) -> Any:
        with self._lock:
            worker = self._workers.get(number)
        if worker is None or worker.address is None:
            raise LookupError(f"There is no worker [{number}]")
        return worker.address

    def stop(self) -> None:
        with self._lock:
            self._stopped = True
            workers, self._workers = list(self._workers.values()), {}
        for worker in workers:
            worker.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def warm() -> None:
    """Starts the server that workers are forked from, which loads libraries for a second or two; returns at once."""
    _context()
    forkserver.ensure_running()


_made: Any = None
_made_lock = threading.Lock()


def _context() -> Any:
    """The server that workers are forked from: it has the libraries loaded and no threads."""
    global _made
    with _made_lock:
        if _made is None:
            made = multiprocessing.get_context("forkserver")
            made.set_forkserver_preload(PRELOAD)
            _made = made
    return _made
