"""A worker as a process: what runs in the child, and what it needs to begin.

The child serves the controller's calls until its pipe ends, and ends with it: a worker never outlives its controller.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msq.processors
from msq.faults import CanceledFault, Fault, fault_of
from msq.frame.partitions import ClusterByPartitions
from msq.frame.statistics import KeyStatistics
from msq.sources.base import SourceAccess
from msq.stage.query import QueryDefinition
from msq.storage import deep_storage_from
from msq.storage.durable import DurableStorage
from worker.remote.endpoint import Endpoint, EndpointClosed
from worker.remote.peers import PartitionServer, RemotePeer
from worker.settings import WorkerSettings
from worker.worker import PartitionReader, Worker

log = logging.getLogger(__name__)

COUNTERS_SECONDS = 0.5
"""How often a worker posts counters that have changed, for live reports."""


@dataclass(frozen=True)
class WorkerServices:
    """What processors may use, as data: a worker process makes its own of it.

    deep_storage: as msq.storage reads it; segment_cache: where segments from elsewhere are kept. durable: folder of
    durable storage (None: there is none).
    """

    deep_storage: Mapping[str, Any]
    segment_cache: Path
    durable: Path | None = None
    access: SourceAccess = field(default_factory=SourceAccess)
    lookups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def make(self) -> dict[str, Any]:
        """The services by name."""
        made: dict[str, Any] = {
            "deep_storage": deep_storage_from(self.deep_storage, self.segment_cache),
            "source_access": self.access,
            "lookups": self.lookups,
        }
        if self.durable is not None:
            made["durable_storage"] = DurableStorage(self.durable)
        return made


@dataclass(frozen=True)
class ProcessConfig:
    """All that a worker process is told at its start; travels pickled. key: what readers of partitions must show."""

    number: int
    task_id: str
    folder: Path
    settings: WorkerSettings
    services: WorkerServices
    key: bytes


class RemoteController:
    """The worker's ControllerClient: its calls go over the pipe."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def post_partial_key_statistics(self, stage: int, worker: int, statistics: KeyStatistics) -> None:
        self._endpoint.tell("post_partial_key_statistics", stage, worker, statistics.to_bytes())

    def post_done_reading(self, stage: int, worker: int) -> None:
        self._endpoint.tell("post_done_reading", stage, worker)

    def post_results_complete(self, stage: int, worker: int, results: list[Any], partitions: Sequence[int]) -> None:
        self._endpoint.tell("post_results_complete", stage, worker, results, tuple(partitions))

    def post_warning(self, worker: int, stage: int, fault: Fault) -> None:
        self._endpoint.ask("post_warning", worker, stage, fault)

    def post_worker_error(self, worker: int, stage: int | None, fault: Fault, trace: str) -> None:
        self._endpoint.tell("post_worker_error", worker, stage, fault, trace)

    def post_counters(self, worker: int, snapshot: Mapping[int, Mapping[str, Any]]) -> None:
        self._endpoint.tell("post_counters", worker, dict(snapshot))


def run_worker(connection: Connection, config: ProcessConfig) -> None:
    """The child's whole life."""
    # the terminal sends Ctrl-C to every process; stopping workers is the controller's business
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handlers: dict[str, Any] = {}
    endpoint = Endpoint(connection, handlers, frozenset({"finish"}))
    try:
        worker, server = _prepare(endpoint, handlers, config)
    except Exception as error:
        log.exception("worker [%s] could not begin", config.task_id)
        endpoint.tell("failed", fault_of(error), f"{type(error).__name__}: {error}")
        return
    ended = threading.Event()
    remote = RemoteController(endpoint)
    reporter = threading.Thread(target=_report, args=(worker, remote, ended), name="counters", daemon=True)
    try:
        endpoint.tell("ready", server.address, os.getpid())
        reporter.start()
        endpoint.serve()
    except EndpointClosed:
        log.debug("worker [%s] has lost its controller", config.task_id)
    finally:
        ended.set()
        server.close()
        worker.cancel(CanceledFault("UNKNOWN"))
        worker.finish()


def _prepare(endpoint: Endpoint, handlers: dict[str, Any], config: ProcessConfig) -> tuple[Worker, PartitionServer]:
    """The worker, its server of partitions, and what the controller may call of it."""
    msq.processors.load()

    def peer(number: int) -> PartitionReader:
        if number == config.number:
            return worker
        return RemotePeer(endpoint.ask("peer_address", number), config.key)

    worker = Worker(
        config.number, config.task_id, RemoteController(endpoint), config.folder, peer, config.settings,
        config.services.make(),
    )  # fmt: skip
    handlers.update(
        start_query=lambda text: worker.start_query(QueryDefinition.from_json(text)),
        post_work_order=worker.post_work_order,
        post_result_partition_boundaries=lambda stage, text: worker.post_result_partition_boundaries(
            stage, ClusterByPartitions.from_json(text)
        ),
        cleanup_stage=worker.cleanup_stage,
        counters=lambda: dict(worker.counters()),
        cancel=worker.cancel,
        finish=worker.finish,
    )
    return worker, PartitionServer(config.key, worker.read_partition)


def _report(worker: Worker, controller: RemoteController, ended: threading.Event) -> None:
    """Posts the worker's counters while they change."""
    posted: Mapping[int, Mapping[str, Any]] = {}
    while not ended.wait(COUNTERS_SECONDS):
        counters = worker.counters()
        if counters == posted:
            continue
        posted = counters
        try:
            controller.post_counters(worker.number, counters)
        except EndpointClosed:
            return
