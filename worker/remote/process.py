"""A worker as a process: what runs in the child, and what it needs to begin.

The child prepares itself, waits for the word to begin, and serves the controller's calls until its pipe ends. It ends
with the pipe, whatever it does at that moment: a worker never outlives its controller.
"""

from __future__ import annotations

import logging
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from msq.catalog import Lookups
from msq.codec import decode
from msq.faults import CanceledFault, Fault, fault_of
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.sources.base import SourceAccess
from msq.stage.query import QueryDefinition
from msq.stage.work_order import WorkOrder
from msq.storage import deep_storage_from
from msq.storage.durable import DurableStorage
from msq.storage.folders import folder_at
from worker.chaos import Chaos
from worker.duck import Instance
from worker.remote.endpoint import Endpoint, EndpointClosed
from worker.remote.peers import SharedPartitions
from worker.settings import WorkerSettings
from worker.worker import PartitionReader, Worker

log = logging.getLogger(__name__)

COUNTERS_SECONDS = 0.5
"""How often a worker posts counters that have changed, for live reports."""
ORPHAN_SECONDS = 5
"""How long a worker without a controller may take to remove its files."""
OOM_SCORE = 500
"""Added to the process's own score: when memory runs out the system ends workers, not the server."""


@dataclass(frozen=True)
class WorkerServices:
    """What processors may use, as data: a worker process makes its own of it.

    deep_storage: as msq.storage reads it; segment_cache: where segments from elsewhere are kept. durable: place of
    durable storage (None: there is none), a path or `s3://bucket/prefix`.
    """

    deep_storage: Mapping[str, Any]
    segment_cache: Path
    durable: str | None = None
    access: SourceAccess = field(default_factory=SourceAccess)
    lookups: Lookups = field(default_factory=dict)

    def make(self) -> dict[str, Any]:
        """The services by name."""
        made: dict[str, Any] = {
            "deep_storage": deep_storage_from(self.deep_storage, self.segment_cache, self.access.stores),
            "source_access": self.access,
            "lookups": self.lookups,
        }
        durable = self.durable_storage()
        if durable is not None:
            made["durable_storage"] = durable
        return made

    def durable_storage(self) -> DurableStorage | None:
        if self.durable is None:
            return None
        return DurableStorage(folder_at(self.durable, self.access.stores, self.segment_cache))

    def to_json(self) -> dict[str, Any]:
        return {
            "deepStorage": dict(self.deep_storage), "segmentCache": str(self.segment_cache),
            "durable": self.durable, "access": asdict(self.access),
            "lookups": {name: dict(table) for name, table in self.lookups.items()},
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> WorkerServices:
        access: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value["access"].items()}
        return WorkerServices(
            value["deepStorage"], Path(value["segmentCache"]), value["durable"], SourceAccess(**access),
            value["lookups"],
        )  # fmt: skip


@dataclass(frozen=True)
class ProcessConfig:
    """All that a worker process is told at its start. folder: everything temporary of the worker."""

    number: int
    task_id: str
    folder: Path
    settings: WorkerSettings
    services: WorkerServices

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number, "taskId": self.task_id, "folder": str(self.folder),
            "settings": asdict(self.settings), "services": self.services.to_json(),
        }  # fmt: skip

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ProcessConfig:
        settings = dict(value["settings"])
        chaos = settings.pop("chaos")
        return ProcessConfig(
            value["number"], value["taskId"], Path(value["folder"]),
            WorkerSettings(**settings, chaos=None if chaos is None else Chaos(**chaos)),
            WorkerServices.from_json(value["services"]),
        )  # fmt: skip


class RemoteController:
    """The worker's ControllerClient: its calls go over the pipe."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def post_partial_key_statistics(self, stage: int, worker: int, statistics: KeyStatistics) -> None:
        self._endpoint.tell("post_partial_key_statistics", stage, worker, statistics.to_bytes())

    def post_done_reading(self, stage: int, worker: int) -> None:
        self._endpoint.tell("post_done_reading", stage, worker)

    def post_results_complete(self, stage: int, worker: int, results: list[Any], partitions: Sequence[int]) -> None:
        self._endpoint.tell("post_results_complete", stage, worker, results, partitions)

    def post_warning(self, worker: int, stage: int, fault: Fault) -> None:
        self._endpoint.ask("post_warning", worker, stage, fault.to_json())

    def post_worker_error(self, worker: int, stage: int | None, fault: Fault, trace: str) -> None:
        self._endpoint.tell("post_worker_error", worker, stage, fault.to_json(), trace)

    def post_counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        self._endpoint.tell("post_counters", worker, list(snapshot.items()))


class _Child:
    """The worker of this process, once it has begun."""

    def __init__(self, connection: Connection) -> None:
        self._handlers: dict[str, Callable[..., Any]] = {"begin": self._begin}
        self._endpoint = Endpoint(connection, self._handlers, frozenset({"finish", "share"}))
        self._controller = RemoteController(self._endpoint)
        self._worker: Worker | None = None
        self._ended = threading.Event()

    def run(self) -> None:
        try:
            self._endpoint.serve()
        finally:
            # the system ends the process if it cannot end itself in time: no Python is needed for that
            signal.alarm(ORPHAN_SECONDS)
            self._ended.set()
            if self._worker is not None:
                self._worker.cancel(CanceledFault("UNKNOWN"))
                self._worker.finish()

    def _begin(self, value: Mapping[str, Any]) -> None:
        config = ProcessConfig.from_json(value)
        try:
            worker = self._prepare(config)
        except Exception as error:
            log.exception("worker [%s] could not begin", config.task_id)
            self._endpoint.tell("failed", fault_of(error).to_json(), f"{type(error).__name__}: {error}")
            return
        threading.Thread(target=self._report, args=(worker,), name="counters", daemon=True).start()
        self._endpoint.tell("ready")

    def _prepare(self, config: ProcessConfig) -> Worker:
        """The worker, and what the controller may call of it."""
        peers: dict[int, SharedPartitions] = {}

        def peer(number: int) -> PartitionReader:
            if number == config.number:
                return worker
            return peers.setdefault(number, SharedPartitions(lambda stage: self._endpoint.ask("share", number, stage)))

        worker = self._worker = Worker(
            config.number, config.task_id, self._controller, config.folder, peer, config.settings,
            config.services.make(),
        )  # fmt: skip
        self._handlers.update(
            start_query=lambda text: worker.start_query(QueryDefinition.from_json(text)),
            post_work_order=lambda order: worker.post_work_order(decode(WorkOrder, order)),
            post_result_partition_boundaries=lambda stage, text: worker.post_result_partition_boundaries(
                stage, ClusterByPartitions.from_json(text)
            ),
            cleanup_stage=worker.cleanup_stage,
            share=worker.share,
            counters=lambda: list(worker.counters().items()),
            cancel=lambda fault: worker.cancel(Fault.from_json(fault)),
            finish=worker.finish,
        )
        return worker

    def _report(self, worker: Worker) -> None:
        """Posts the worker's counters while they change."""
        posted: Mapping[int, Mapping[str, Any]] = {}
        while not self._ended.wait(COUNTERS_SECONDS):
            counters = worker.counters()
            if counters == posted:
                continue
            posted = counters
            try:
                self._controller.post_counters(worker.number, counters)
            except EndpointClosed:
                return


def run_worker(connection: Connection) -> None:
    """The child's whole life."""
    # the terminal sends Ctrl-C to every process; stopping workers is the controller's business
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _volunteer_for_the_end()
    # an order finds a database that is ready
    with tempfile.TemporaryDirectory() as folder:
        Instance.lease(64 << 20, 1, Path(folder) / "duckdb").give_back()
    _Child(connection).run()


def _volunteer_for_the_end() -> None:
    path = Path("/proc/self/oom_score_adj")
    with suppress(OSError, ValueError):  # not Linux
        path.write_text(str(min(1000, int(path.read_text()) + OOM_SCORE)))


def main_exit(code: int) -> None:
    """Ends a forked process without what the process it was forked from has planned for its own end."""
    logging.shutdown()
    os._exit(code)
